//! The joint operators in the plan's words: what the SQL needs of them, and how it is said to the protocols.
//!
//! | question | operator |
//! |---|---|
//! | group keys that enough rows have | [`protocols::relational::frequent_keys`] |
//! | which cells may be shown | [`protocols::relational::suppress`] |
//! | which combinations of group keys | [`protocols::relational::suppress::classes`] |
//! | MIN, MAX, percentiles | [`protocols::relational::quantile`] |
//! | APPROX_COUNT_DISTINCT | [`protocols::relational::union_sketch`] |
//! | ORDER BY a total, LIMIT | [`protocols::relational::top_k`] |

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Result, Ring, Z64};
use protocols::relational::quantile::{self, Groups};
use protocols::relational::suppress::{self, Also, Rules, Table};
use protocols::relational::top_k::{self, Best, Direction};
use protocols::relational::union_sketch::{Seat, Shape, Sketch, level_counts};
use protocols::{ArithShare, BitShare, Engine};
use query_planner::approximate;
use query_planner::cells::{CellTable, Equation};
use query_planner::plan::{Order, Path, Point};
use zeroize::Zeroize;

/// The policy's part of the rules of suppression.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// k: counts from 1 to k − 1 are hidden.
    pub threshold: u64,
    /// So many patients, or rows, at least are between two cells that are shown beside each other, or none.
    pub between: u64,
    /// May a zero be shown?
    pub zero_allowed: bool,
    /// Every count of all sites together is below 2^`bits`.
    pub bits: usize,
}

/// Cells that have numbers of patients beside their rows.
#[derive(Debug)]
pub struct Few {
    /// Positions among the cells; first those whose own patients are counted.
    pub cells: Vec<usize>,
    /// How many of them are counted by their own patients. Of the others those are counted by whom they differ from another cell: nobody is
    /// not few.
    pub own: usize,
    /// Their patients.
    pub patients: ArithShare<Z64>,
    /// For each site that receives the answer, those of them that it does not have.
    pub without: Vec<ArithShare<Z64>>,
}

/// One bit for each cell of the table: may it be shown? `counts` are the cells' counts; `without`, for each site that
/// receives the answer, the counts without its part.
///
/// Cells of `also` are hidden whatever their counts.
///
/// What the table says beyond the operator's rules is said with further counts that are never shown: the rows of a
/// total that are in no part, and of two choices of rows that may or may not be nested the larger count, of which both
/// are then parts. A cell of `few` that is not 0 is hidden where its number of patients is below k, whatever its rows: it is taken as
/// a part of its rows and patients together.
///
/// # Errors
/// As [`suppress::visible`].
pub async fn visible<E: Engine>(
    e: &mut E,
    table: &CellTable,
    policy: Policy,
    few: &Few,
    also: Option<Also>,
    (counts, without): (&ArithShare<Z64>, &[ArithShare<Z64>]),
) -> Result<BitShare> {
    let cells = counts.len();
    let mut differences = table.differences.clone();
    for (i, (a, b)) in table.apart.iter().enumerate() {
        let larger = cells + i;
        differences.extend([(*a, larger), (*b, larger)]);
    }
    let first_few = cells + table.apart.len();
    differences.extend(few.cells.iter().enumerate().map(|(i, cell)| (*cell, first_few + i)));
    let first_rest = first_few + few.cells.len();
    let unseen = (cells..first_rest).collect();
    let peopled = (first_few..first_few + few.own).collect();
    let rests = table.equations.iter().filter(|equation| equation.rest).enumerate();
    let rests: Vec<usize> = rests.map(|(i, _)| first_rest + i).collect();
    let mut rest_of = rests.iter().copied();
    let tables = table.equations.iter().map(|equation| {
        let rest = if equation.rest { rest_of.next() } else { None };
        Table::Sum { total: equation.total, parts: equation.parts.iter().copied().chain(rest).collect() }
    });
    let tables: Vec<Table> = tables.filter(|t| !matches!(t, Table::Sum { parts, .. } if parts.is_empty())).collect();
    e.same_length(without.len(), few.without.len())?;
    let counts = extended(e, table, policy, (few, &few.patients), counts).await?;
    let mut views = Vec::with_capacity(without.len());
    for (view, patients) in without.iter().zip(&few.without) {
        views.push(extended(e, table, policy, (few, patients), view).await?);
    }
    let Policy { threshold, between, zero_allowed, bits } = policy;
    // Rows and patients together.
    let bound_bits = bits + usize::from(!few.cells.is_empty());
    let rules = Rules { threshold, between, zero_allowed, bound_bits, differences, unseen, peopled, rests, tables };
    let shown = match also {
        None => suppress::visible(e, &rules, &counts, &views).await?,
        Some(mut also) => {
            also.of.resize(counts.len(), None);
            suppress::visible_but(e, &rules, &also, &counts, &views).await?
        }
    };
    Ok(shown.gather(&(0..cells).collect::<Vec<_>>()))
}

/// Counts with the larger of each pair, those of few patients and the rest of each equation behind them.
async fn extended<E: Engine>(
    e: &mut E,
    table: &CellTable,
    policy: Policy,
    (few, patients): (&Few, &ArithShare<Z64>),
    counts: &ArithShare<Z64>,
) -> Result<ArithShare<Z64>> {
    let left = counts.gather(&table.apart.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let right = counts.gather(&table.apart.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let larger = if table.apart.is_empty() {
        left
    } else {
        let less = e.less_than(&left, &right, policy.bits + 1).await?;
        e.mux(&less, &right, &left).await?
    };
    let with_patients = e.add(&counts.gather(&few.cells), patients)?;
    let mut all = vec![counts.slice(0..counts.len()), larger, with_patients];
    for equation in table.equations.iter().filter(|equation| equation.rest) {
        all.push(rest(e, equation, policy, counts).await?);
    }
    Ok(ArithShare::concat(&all.iter().collect::<Vec<_>>()))
}

/// What a total has beside its parts; enough where these overlap and add up to more, so that nothing follows from them.
async fn rest<E: Engine>(
    e: &mut E,
    equation: &Equation,
    policy: Policy,
    counts: &ArithShare<Z64>,
) -> Result<ArithShare<Z64>> {
    let total = counts.slice(equation.total..equation.total + 1);
    if equation.parts.is_empty() {
        return Ok(total);
    }
    let parts = counts.gather(&equation.parts).block_sums(equation.parts.len());
    let rest = e.sub(&total, &parts)?;
    if !equation.overlap {
        return Ok(rest);
    }
    let sign = 1 + equation.parts.len().next_power_of_two().trailing_zeros() as usize;
    let overlaps = e.negative(&rest, policy.bits + sign).await?;
    let none = e.sub(&rest, &rest)?;
    let enough = e.add_public(&none, &[Z64(policy.threshold)])?;
    e.mux(&overlaps, &enough, &rest).await
}

/// What the positions of one order are found in, at this party. Private: it does not print and is wiped when dropped.
pub struct Values {
    /// How many groups.
    pub groups: usize,
    /// Bits of the number of all sites' rows.
    pub row_bits: usize,
    /// For counts of each value: element `group·cells + code`, this site's.
    pub histogram: Vec<Z64>,
    /// For sorting: every contributor's rows in its own block, this site's filled in, the others' zero.
    pub rows: Rows,
    /// For a single contributor: element `group·points + point`, as [`Point::of_sorted`] says; zeros elsewhere.
    pub found: Vec<Z64>,
}

impl Values {
    /// Nothing yet.
    pub fn new(groups: usize, row_bits: usize) -> Self {
        Self { groups, row_bits, histogram: Vec::new(), rows: Rows::default(), found: Vec::new() }
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        Z64::wipe(&mut self.histogram);
        Z64::wipe(&mut self.found);
        let Rows { codes, valid, groups } = &mut self.rows;
        [codes, valid, groups].into_iter().for_each(Zeroize::zeroize);
    }
}

/// Rows that are sorted together.
#[derive(Default)]
pub struct Rows {
    /// Codes.
    pub codes: Vec<u64>,
    /// 1 for a row that counts, 0 for padding.
    pub valid: Vec<u64>,
    /// Group numbers.
    pub groups: Vec<u64>,
}

/// The positions of an order, element `group·points + point`: a code, or for an interpolated one lower·(b − r) +
/// upper·r with b the share's denominator and r = a·(n − 1) mod b, which the analyst divides by b. `counts` is the
/// number of values of each group; where it is 0 the result means nothing and must be hidden.
///
/// # Errors
/// As [`quantile::by_histogram`]; `Local(Other)` when sorting would look at too many rows for too many groups.
pub async fn points<E: Engine>(
    e: &mut E,
    order: &Order,
    mut values: Values,
    counts: &ArithShare<Z64>,
) -> Result<ArithShare<Z64>> {
    let is_downward = |point: &Point| matches!(point, Point::Disc { descending: true, .. });
    let (points, groups) = (order.points.len(), values.groups);
    if order.path == Path::Local {
        return Ok(e.input(std::mem::take(&mut values.found)));
    }
    let shared = put_in(e, order, &mut values);
    let mut columns: Vec<(usize, ArithShare<Z64>)> = Vec::with_capacity(points);
    for downward in [false, true] {
        let chosen: Vec<usize> = (0..points).filter(|i| is_downward(&order.points[*i]) == downward).collect();
        if chosen.is_empty() {
            continue;
        }
        let wanted: Vec<quantile::Point> = chosen.iter().map(|i| wanted(order.points[*i])).collect();
        let found = one_way(e, order, &shared, counts, (groups, values.row_bits), (&wanted, downward)).await?;
        for (at, point) in chosen.iter().enumerate() {
            let column: Vec<usize> = (0..groups).map(|group| group * chosen.len() + at).collect();
            columns.push((*point, found.gather(&column)));
        }
    }
    columns.sort_by_key(|(point, _)| *point);
    let all = ArithShare::concat(&columns.iter().map(|(_, column)| column).collect::<Vec<_>>());
    Ok(all.gather(&(0..groups * points).map(|i| i % points * groups + i / points).collect::<Vec<_>>()))
}

enum Shared {
    Histogram(ArithShare<Z64>, usize),
    Rows { codes: BitShare, valid: BitShare, groups: BitShare },
}

fn put_in<E: Engine>(e: &mut E, order: &Order, values: &mut Values) -> Shared {
    if let Path::Histogram { cells } = order.path {
        return Shared::Histogram(e.input(std::mem::take(&mut values.histogram)), cells as usize);
    }
    let mut bits = |column: &[u64], width: usize| e.input_bits(Bits::from_column(column, width));
    let group_bits = usize::BITS - values.groups.saturating_sub(1).leading_zeros();
    Shared::Rows {
        codes: bits(&values.rows.codes, order.encoding.bits as usize),
        valid: bits(&values.rows.valid, 1),
        groups: bits(&values.rows.groups, group_bits as usize),
    }
}

/// Positions counted from the smallest, or from the largest by turning the codes round.
async fn one_way<E: Engine>(
    e: &mut E,
    order: &Order,
    shared: &Shared,
    counts: &ArithShare<Z64>,
    (groups, row_bits): (usize, usize),
    (wanted, downward): (&[quantile::Point], bool),
) -> Result<ArithShare<Z64>> {
    let (found, highest) = match shared {
        Shared::Histogram(histogram, cells) => {
            let turned = |i: usize| if downward { i / cells * cells + cells - 1 - i % cells } else { i };
            let histogram = histogram.gather(&(0..histogram.len()).map(turned).collect::<Vec<_>>());
            let found = quantile::by_histogram(e, &histogram, (groups, *cells), row_bits, wanted).await?;
            (found, *cells as u64 - 1)
        }
        Shared::Rows { codes, valid, groups: ids } => {
            if codes.rows().saturating_mul(groups) > MAX_LOOKS {
                return Err(e.fault(LocalFault::Other(format!("{groups} groups are too many to sort rows for"))));
            }
            let codes = if downward { e.not(codes) } else { codes.planes(0..codes.width()) };
            let groups = Groups { ids: ids.planes(0..ids.width()), counts: counts.slice(0..counts.len()) };
            let found = quantile::by_sort_grouped(e, &codes, valid, groups, row_bits, wanted).await?;
            (found, u64::MAX >> (64 - order.encoding.bits))
        }
    };
    if downward { e.add_public(&found.times(Z64(u64::MAX)), &vec![Z64(highest); found.len()]) } else { Ok(found) }
}

fn wanted(point: Point) -> quantile::Point {
    match point {
        Point::Min => quantile::Point::Min,
        Point::Max => quantile::Point::Max,
        Point::Disc { share, .. } => quantile::Point::Disc { num: share.numerator, den: share.denominator },
        Point::Cont { share } => quantile::Point::Cont { num: share.numerator, den: share.denominator },
    }
}

/// Of the sites' united sketches, how many registers reach each level, element `level·groups + group`. `own` is this
/// party's sketch of each group, or nothing.
///
/// # Errors
/// As [`level_counts`].
pub async fn levels<E: Engine>(e: &mut E, own: &[Sketch], groups: usize, seat: Seat) -> Result<ArithShare<Z64>> {
    let counts = level_counts(e, own, groups, SKETCH, seat).await?;
    let levels = SKETCH.levels as usize;
    Ok(counts.gather(&(0..groups * levels).map(|i| i % groups * levels + i / groups).collect::<Vec<_>>()))
}

/// The planner's choice.
pub const SKETCH: Shape = Shape { log_registers: approximate::LOG_REGISTERS, levels: approximate::LEVELS };

/// The first groups: their positions, then their part of each column, one after the other. Ties go to the earlier
/// position; groups that are not eligible come last.
///
/// # Errors
/// As [`top_k::top_k`].
pub async fn top<E: Engine>(
    e: &mut E,
    totals: &ArithShare<Z64>,
    eligible: Option<&BitShare>,
    columns: Vec<ArithShare<Z64>>,
    (bits, limit, descending): (usize, usize, bool),
) -> Result<ArithShare<Z64>> {
    let direction = if descending { Direction::Descending } else { Direction::Ascending };
    let found = top_k::top_k(e, totals, Best { bits, limit, direction }, eligible, columns).await?;
    let parts: Vec<&ArithShare<Z64>> = std::iter::once(&found.positions).chain(&found.carried).collect();
    Ok(ArithShare::concat(&parts))
}

/// Rows times groups: every group looks at every sorted row.
const MAX_LOOKS: usize = 1 << 22;
