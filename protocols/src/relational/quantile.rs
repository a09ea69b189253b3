//! Order statistics of shared values: minimum, maximum, percentiles with PostgreSQL's meaning.
//!
//! Every statistic asks for an order statistic t of n values (from 0), and "the i-th cell ends before it" is a
//! comparison a·C < T of the count C up to that cell with a target T = u·n + v for public a, u, v: no division on
//! shares.
//!
//! | point | cells before the answer have | a | T |
//! |---|---|---|---|
//! | `Min` | C ≤ 0 | 1 | 1 |
//! | `Max` | C ≤ n − 1 | 1 | n |
//! | `Disc(p/q)` | C < ⌈p·n/q⌉ | q | p·n |
//! | `Cont(p/q)`, lower | C ≤ ⌊p(n−1)/q⌋ | q | p·(n−1) + 1 |
//! | `Cont(p/q)`, upper | C − 1 ≤ ⌊p(n−1)/q⌋ | q | p·(n−1) + q + 1 |

use mpc_core::error::LocalFault;
use mpc_core::{Result, Z64};

use super::fraction;
use super::shape;
use super::sort;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// Which order statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The smallest value.
    Min,
    /// The greatest value.
    Max,
    /// `percentile_disc(num / den)`: the smallest value whose cumulative share is at least the fraction.
    Disc {
        /// Numerator, at most the denominator.
        num: u64,
        /// Denominator, 1 to [`MAX_DENOMINATOR`].
        den: u64,
    },
    /// `percentile_cont(num / den)`, times `den`: between the two order statistics around position (n − 1)·num / den.
    Cont {
        /// Numerator, at most the denominator.
        num: u64,
        /// Denominator, 1 to [`MAX_DENOMINATOR`].
        den: u64,
    },
}

/// Finer fractions than millionths are refused.
pub const MAX_DENOMINATOR: u64 = 1_000_000;

/// Up to here every cell is compared; beyond, √cells blocks and then the cells of one block.
pub const ONE_LEVEL_CELLS: usize = 1024;

/// Order statistics from histograms: for each group and point (element `group·points + point`) the index of the cell
/// that holds it, from 0; for `Cont` the sum lower·(den − r) + upper·r of the two cells' indices, which the caller
/// divides by `den` (a cell index is affine in the value, so both ways lead to the value). `histogram` counts values,
/// element `group·cells + cell`; a group has fewer than 2^`count_bits` values. The result of an empty group is
/// unspecified: hide it by its count.
///
/// g groups, p points (a `Cont` counts twice), c cells, w = count_bits + ⌈log2 den⌉ + 2 bits. One level: `less_than`
/// and `b2a` of g·p·(c − 1). More than [`ONE_LEVEL_CELLS`] cells: twice g·p·(√c − 1) of both with one `select` of g·p·c
/// between, so that nobody learns which block was refined. `Cont` adds one `mul` and the remainder of
/// [`fraction::remainders`]. Rounds: levels·(negative + b2a) [+ select] [+ remainder + mul].
///
/// # Source
/// The counting is ours; the meaning of the points is PostgreSQL's (`orderedsetaggs.c`). Two levels as in Aggarwal,
/// Mishra, Pinkas, Eurocrypt'04 (k-th ranked element by refinement), with the path kept secret.
/// # Errors
/// `Local(Lengths)` for another histogram length; `Local(Other)` for a fraction outside 0 to 1 or too fine, or when w >
/// 64; as the engine's operations.
pub async fn by_histogram<E: Engine>(
    e: &mut E,
    histogram: &ArithShare<Z64>,
    (groups, cells): (usize, usize),
    count_bits: usize,
    points: &[Point],
) -> Result<ArithShare<Z64>> {
    e.same_length(histogram.len(), groups * cells)?;
    let plan = Plan::new(e, points, count_bits)?;
    let mut totals = Vec::with_capacity(groups);
    let mut counts = Vec::with_capacity(groups);
    for group in 0..groups {
        let own = histogram.slice(group * cells..(group + 1) * cells);
        totals.push(shape::total(&own));
        counts.push(own.prefix_sums());
    }
    let (totals, counts) = (joined(&totals), joined(&counts));
    let targets = plan.targets(e, &totals)?;
    let indices = if cells <= ONE_LEVEL_CELLS {
        let repeated = repeat_for_targets(&counts, groups, plan.targets.len());
        count_before(e, &plan, &repeated, &targets, cells).await?
    } else {
        refine(e, &plan, &counts, &targets, (groups, cells)).await?
    };
    plan.finish(e, &indices, &totals).await
}

/// Order statistics of one group of shared values, unsigned numbers as bits (bit j is plane j; encode signed ones with
/// an offset), of which those with a `valid` bit count. One element for each point: the value, or for `Cont` the sum
/// lower·(den − r) + upper·r, mod 2^64, of the two values. Fewer than 2^`count_bits` values are valid. The result of no
/// valid value is unspecified.
///
/// n rows of b bits, p points (a `Cont` counts twice): one sort of n keys of b + 1 bits, `b2a` of n, `less_than` of
/// p·n, `and` of p·n·b, `b2a` of p·b. Rounds: sort + negative + and + b2a [+ remainder + mul].
///
/// # Errors
/// As [`by_histogram`].
pub async fn by_sort<E: Engine>(
    e: &mut E,
    values: &BitShare,
    valid: &BitShare,
    count_bits: usize,
    points: &[Point],
) -> Result<ArithShare<Z64>> {
    let ones = e.b2a::<Z64>(valid).await?;
    let groups = Groups { ids: BitShare::zeros(values.rows(), 0), counts: shape::total(&ones) };
    by_sort_grouped(e, values, valid, groups, count_bits, points).await
}

/// Which group every row belongs to, and how many valid rows each group has.
#[derive(Debug)]
pub struct Groups {
    /// Every row's group as an unsigned number, below the length of `counts`.
    pub ids: BitShare,
    /// Valid rows of each group.
    pub counts: ArithShare<Z64>,
}

/// [`by_sort`] for each group: element `group·points + point`. One sort by (invalid, group, value) serves all groups;
/// then every group looks at every row, so g groups cost g times the comparisons and ANDs: for more than about 64
/// groups use a histogram. All rows together are fewer than 2^`count_bits`.
///
/// # Errors
/// As [`by_histogram`].
pub async fn by_sort_grouped<E: Engine>(
    e: &mut E,
    values: &BitShare,
    valid: &BitShare,
    groups: Groups,
    count_bits: usize,
    points: &[Point],
) -> Result<ArithShare<Z64>> {
    let (rows, width) = (values.rows(), values.width());
    e.same_length(rows, valid.rows())?;
    e.same_length(rows, groups.ids.rows())?;
    let plan = Plan::new(e, points, count_bits)?;
    let keys = BitShare::beside(&[values, &groups.ids, &e.not(valid)]);
    let sorted = sort::sort_keys(e, keys).await?.planes(0..width);
    let targets = plan.targets(e, &groups.counts)?;
    if rows == 0 {
        return plan.finish(e, &targets, &groups.counts).await;
    }
    // A group's rows begin after those of all earlier groups.
    let starts = e.sub(&groups.counts.prefix_sums(), &groups.counts)?;
    let shifted = plan.shift(e, &targets, &starts)?;
    let rank_of_rows: Vec<u64> = (1..=rows as u64).collect();
    let counts = shape::public(e, &rank_of_rows.repeat(shifted.len()))?;
    let before = before(e, &plan, &counts, &shifted, rows).await?;
    let found = pick(e, &sorted, &before).await?;
    plan.finish(e, &found, &groups.counts).await
}

/// The value of the first row that is not before its target, for each target. One `and`, one `b2a`.
async fn pick<E: Engine>(e: &mut E, sorted: &BitShare, before: &BitShare) -> Result<ArithShare<Z64>> {
    let rows = sorted.rows();
    let chosen = one_hot(e, before);
    let repeated: Vec<BitShare> =
        (0..chosen.width()).map(|target| BitShare::beside(&vec![&chosen.plane(target); sorted.width()])).collect();
    let targets = repeated.len();
    let repeated = shape::beneath(&repeated.iter().collect::<Vec<_>>());
    let values = shape::beneath(&vec![sorted; targets]);
    let kept = e.and(&repeated, &values).await?;
    let each =
        |target: usize| shape::xor_of_rows(&kept.gather(&(target * rows..(target + 1) * rows).collect::<Vec<_>>()));
    let found: Vec<BitShare> = (0..targets).map(each).collect();
    let found = shape::beneath(&found.iter().collect::<Vec<_>>());
    shape::numbers(e, &found).await
}

/// From bits that are 1 up to some row and 0 from there on (each plane for itself): 1 at the first row with a 0. The
/// last row counts as 0. No message.
fn one_hot<E: Engine>(e: &mut E, before: &BitShare) -> BitShare {
    let rows = before.rows();
    let ones = e.not(&BitShare::zeros(1, before.width()));
    let zeros = BitShare::zeros(1, before.width());
    let inner = before.gather(&(0..rows - 1).collect::<Vec<_>>());
    shape::beneath(&[&ones, &inner]).xor(&shape::beneath(&[&inner, &zeros]))
}

/// Bit (cell, target): does this cell end before the target? `counts` is target-major.
async fn before<E: Engine>(
    e: &mut E,
    plan: &Plan,
    counts: &ArithShare<Z64>,
    targets: &ArithShare<Z64>,
    cells: usize,
) -> Result<BitShare> {
    let factors: Vec<Z64> = (0..counts.len()).map(|i| Z64(plan.targets[i / cells % plan.targets.len()].a)).collect();
    let repeated: Vec<usize> = (0..counts.len()).map(|i| i / cells).collect();
    let left = counts.times_public(&factors);
    let bits = e.less_than(&left, &targets.gather(&repeated), plan.bits).await?;
    Ok(shape::unstacked(&bits, cells))
}

/// How many cells end before each target; the last one never does. `counts` is target-major.
async fn count_before<E: Engine>(
    e: &mut E,
    plan: &Plan,
    counts: &ArithShare<Z64>,
    targets: &ArithShare<Z64>,
    cells: usize,
) -> Result<ArithShare<Z64>> {
    let inner: Vec<usize> = (0..counts.len()).filter(|i| i % cells + 1 < cells).collect();
    if inner.is_empty() {
        return Ok(ArithShare::zeros(targets.len()));
    }
    let bits = before(e, plan, &counts.gather(&inner), targets, cells - 1).await?;
    Ok(e.b2a::<Z64>(&bits).await?.block_sums(cells - 1))
}

/// Two levels: the block that holds each target, then the cell within it.
async fn refine<E: Engine>(
    e: &mut E,
    plan: &Plan,
    counts: &ArithShare<Z64>,
    targets: &ArithShare<Z64>,
    (groups, cells): (usize, usize),
) -> Result<ArithShare<Z64>> {
    let block = (1..=cells).find(|b| b * b >= cells).unwrap_or(1);
    let blocks = cells.div_ceil(block);
    // Cells past the end hold nothing: the count there is that of the last cell.
    let at = |group: usize, cell: usize| group * cells + cell.min(cells - 1);
    let per_group = plan.targets.len();
    let ends: Vec<usize> = (0..groups * per_group)
        .flat_map(|t| (0..blocks).map(move |b| at(t / per_group, b * block + block - 1)))
        .collect();
    let ends = before(e, plan, &counts.gather(&ends), targets, blocks).await?;
    let chosen = shape::stacked(&one_hot(e, &ends));
    let block_index = block_index(e, &chosen, blocks).await?;

    // Element (target, cell in block, block), so that the sum over blocks leaves the chosen block's counts.
    let place = |i: usize| (i / (block * blocks), i / blocks % block, i % blocks);
    let all = targets.len() * block * blocks;
    let candidates: Vec<usize> = (0..all).map(place).map(|(t, i, b)| at(t / per_group, b * block + i)).collect();
    let choices: Vec<usize> = (0..all).map(place).map(|(t, _, b)| t * blocks + b).collect();
    let inside = e.select(&chosen.gather(&choices), &counts.gather(&candidates)).await?.block_sums(blocks);
    let inner = count_before(e, plan, &inside, targets, block).await?;
    e.add(&block_index.times(Z64(block as u64)), &inner)
}

/// The index of the one bit that is set among each `blocks` bits.
async fn block_index<E: Engine>(e: &mut E, chosen: &BitShare, blocks: usize) -> Result<ArithShare<Z64>> {
    let weights: Vec<Z64> = (0..chosen.rows()).map(|i| Z64((i % blocks) as u64)).collect();
    Ok(e.b2a::<Z64>(chosen).await?.times_public(&weights).block_sums(blocks))
}

/// a·C < u·n + v
struct Target {
    a: u64,
    u: u64,
    v: i64,
}

/// What to look for, for every group: two targets for a `Cont`, one for another point.
struct Plan {
    points: Vec<Point>,
    targets: Vec<Target>,
    count_bits: usize,
    /// Of the difference of both sides of the comparison, with its sign.
    bits: usize,
}

impl Plan {
    fn new<E: Engine>(e: &E, points: &[Point], count_bits: usize) -> Result<Self> {
        let points: Vec<Point> = points.iter().map(|p| p.reduced(e)).collect::<Result<_>>()?;
        let targets: Vec<Target> = points.iter().flat_map(Point::targets).collect();
        let a_bits = targets.iter().map(|t| 64 - t.a.leading_zeros() as usize).max().unwrap_or(0);
        let bits = count_bits + a_bits + 2;
        if bits > 64 {
            return Err(e.fault(LocalFault::Other(format!("a percentile of counts of {count_bits} bits: too many"))));
        }
        Ok(Self { points, targets, count_bits, bits })
    }

    /// Element `group·targets + target`.
    fn targets<E: Engine>(&self, e: &mut E, totals: &ArithShare<Z64>) -> Result<ArithShare<Z64>> {
        let all = totals.len() * self.targets.len();
        let of = |i: usize| &self.targets[i % self.targets.len()];
        let repeated: Vec<usize> = (0..all).map(|i| i / self.targets.len()).collect();
        let factors: Vec<Z64> = (0..all).map(|i| Z64(of(i).u)).collect();
        let constants: Vec<Z64> = (0..all).map(|i| Z64::from_signed(of(i).v)).collect();
        e.add_public(&totals.gather(&repeated).times_public(&factors), &constants)
    }

    /// Targets for counts that begin at `starts` instead of 0.
    fn shift<E: Engine>(
        &self,
        e: &mut E,
        targets: &ArithShare<Z64>,
        starts: &ArithShare<Z64>,
    ) -> Result<ArithShare<Z64>> {
        let per_group = self.targets.len();
        let repeated: Vec<usize> = (0..targets.len()).map(|i| i / per_group).collect();
        let factors: Vec<Z64> = (0..targets.len()).map(|i| Z64(self.targets[i % per_group].a)).collect();
        e.add(targets, &starts.gather(&repeated).times_public(&factors))
    }

    /// One element for each group and point from one for each group and target.
    async fn finish<E: Engine>(
        &self,
        e: &mut E,
        found: &ArithShare<Z64>,
        totals: &ArithShare<Z64>,
    ) -> Result<ArithShare<Z64>> {
        let per_group = self.targets.len();
        let mut at = 0;
        let mut columns = Vec::with_capacity(self.points.len());
        for point in &self.points {
            let of =
                |target: usize| found.gather(&(0..totals.len()).map(|g| g * per_group + target).collect::<Vec<_>>());
            let lower = of(at);
            at += 1;
            columns.push(match *point {
                Point::Cont { num, den, .. } => {
                    let upper = of(at);
                    at += 1;
                    self.between(e, (num, den), &lower, &upper, totals).await?
                }
                _ => lower,
            });
        }
        let (all, points) = (joined(&columns), self.points.len());
        let groups = totals.len();
        Ok(all.gather(&(0..groups * points).map(|i| i % points * groups + i / points).collect::<Vec<_>>()))
    }

    /// lower·den + (upper − lower)·r with r = num·(n − 1) mod den.
    async fn between<E: Engine>(
        &self,
        e: &mut E,
        (num, den): (u64, u64),
        lower: &ArithShare<Z64>,
        upper: &ArithShare<Z64>,
        totals: &ArithShare<Z64>,
    ) -> Result<ArithShare<Z64>> {
        let (reduced_num, reduced_den) = reduce(num, den);
        let less_one = e.add_public(totals, &vec![Z64(u64::MAX); totals.len()])?;
        let position = less_one.times(Z64(reduced_num));
        let position_bits = self.count_bits + 64 - reduced_num.leading_zeros() as usize;
        let rest = fraction::remainders(e, &position, position_bits, reduced_den).await?;
        let distance = e.sub(upper, lower)?;
        let part = e.mul(&distance, &rest.times(Z64(den / reduced_den))).await?;
        e.add(&lower.times(Z64(den)), &part)
    }
}

impl Point {
    fn reduced<E: Engine>(&self, e: &E) -> Result<Self> {
        match *self {
            Point::Disc { num, den } | Point::Cont { num, den }
                if num > den || !(1..=MAX_DENOMINATOR).contains(&den) =>
            {
                Err(e.fault(LocalFault::Other(format!("fraction {num}/{den}: 0 to 1 in millionths can be asked for"))))
            }
            // percentile_disc(0) is the first value, not the one before it.
            Point::Disc { num: 0, .. } => Ok(Point::Min),
            Point::Disc { num, den } => {
                let (num, den) = reduce(num, den);
                Ok(Point::Disc { num, den })
            }
            // Its denominator is the caller's divisor.
            other => Ok(other),
        }
    }

    fn targets(&self) -> Vec<Target> {
        match *self {
            Point::Min => vec![Target { a: 1, u: 0, v: 1 }],
            Point::Max => vec![Target { a: 1, u: 1, v: 0 }],
            Point::Disc { num, den } => vec![Target { a: den, u: num, v: 0 }],
            Point::Cont { num, den } => {
                let (num, den) = reduce(num, den);
                let first = 1 - num as i64;
                vec![Target { a: den, u: num, v: first }, Target { a: den, u: num, v: first + den as i64 }]
            }
        }
    }
}

fn reduce(num: u64, den: u64) -> (u64, u64) {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (num / a.max(1), den / a.max(1))
}

fn joined(parts: &[ArithShare<Z64>]) -> ArithShare<Z64> {
    ArithShare::concat(&parts.iter().collect::<Vec<_>>())
}

/// Each group's cells once for each of its targets.
fn repeat_for_targets(counts: &ArithShare<Z64>, groups: usize, targets: usize) -> ArithShare<Z64> {
    let cells = counts.len().checked_div(groups).unwrap_or(0);
    let at = (0..groups).flat_map(|g| (0..targets).flat_map(move |_| g * cells..(g + 1) * cells));
    counts.gather(&at.collect::<Vec<_>>())
}
