//! The best few of publicly ordered totals, without a word about the rest.

use mpc_core::error::LocalFault;
use mpc_core::{Result, Z64};

use super::{shape, sort};
use crate::engine::{Engine, Rows};
use crate::share::{ArithShare, BitShare};

/// Which totals are best, and how many of them are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Best {
    /// Every total, eligible or not, is a signed number of this many bits.
    pub bits: usize,
    /// How many positions are wanted.
    pub limit: usize,
    /// Are the greatest best, or the smallest?
    pub direction: Direction,
}

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smallest first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The best rows, best first.
#[derive(Debug)]
pub struct Top {
    /// Their positions in the public order, from 0; as many as the limit, or as there are rows.
    pub positions: ArithShare<Z64>,
    /// Their part of every column that was carried along.
    pub carried: Vec<ArithShare<Z64>>,
}

/// The positions of the `limit` best totals in the given public order, and the carried columns at these positions. Ties
/// go to the earlier position; rows that are not `eligible` come after all others, in public order, so a caller who
/// opens the result carries a column that says who is eligible. Nothing is opened but what `place` opens.
///
/// n rows. Up to [`PAIRWISE_ROWS`] rows of at most [`PAIRWISE_BITS`] bits, every pair is compared at once and each
/// row's rank is the number of rows before it: [mux of n], `less_than` of n(n−1)/2 in bits + 2, `b2a` of as many,
/// `place` of n rows: rounds [select +] negative + b2a + place. Otherwise `a2b` of n totals, [`and` of n·bits] and one
/// stable [`sort::sort`] by (ineligible, total).
///
/// # Source
/// Rank by counting: Bogdanov, Laur, Talviste, NordSec'14 (their naive comparison sort), placed by [`Engine::place`].
/// # Errors
/// `Local(Lengths)` when the columns differ in length; `Local(Other)` when `bits` is not 1 to 64; as the engine's
/// operations.
pub async fn top_k<E: Engine>(
    e: &mut E,
    totals: &ArithShare<Z64>,
    best: Best,
    eligible: Option<&BitShare>,
    carried: Vec<ArithShare<Z64>>,
) -> Result<Top> {
    let rows = totals.len();
    carried.iter().try_for_each(|column| e.same_length(rows, column.len()))?;
    eligible.map_or(Ok(()), |bit| e.same_length(rows, bit.rows()))?;
    if !(1..=64).contains(&best.bits) {
        return Err(e.fault(LocalFault::Other(format!("totals of {} bits: 1 to 64 can be ordered", best.bits))));
    }
    let numbered: Vec<u64> = (0..rows as u64).collect();
    let mut columns = vec![shape::public(e, &numbered)?];
    columns.extend(carried);
    let payload = Rows { bits: BitShare::zeros(rows, 0), columns };
    let sorted = if rows <= PAIRWISE_ROWS && best.bits <= PAIRWISE_BITS {
        let ranks = ranks(e, totals, best, eligible).await?;
        e.place(payload, ranks).await?
    } else {
        let keys = keys(e, totals, best, eligible).await?;
        sort::sort(e, keys, payload).await?.1
    };
    let first = 0..best.limit.min(rows);
    let mut columns = sorted.columns.iter().map(|column| column.slice(first.clone()));
    let positions = columns.next().unwrap_or_else(|| ArithShare::zeros(0));
    Ok(Top { positions, carried: columns.collect() })
}

/// The rank of every row: how many rows come before it.
async fn ranks<E: Engine>(
    e: &mut E,
    totals: &ArithShare<Z64>,
    best: Best,
    eligible: Option<&BitShare>,
) -> Result<ArithShare<Z64>> {
    let rows = totals.len();
    // From here on the smaller one is better.
    let mut costs = match best.direction {
        Direction::Ascending => totals.slice(0..rows),
        Direction::Descending => shape::minus(totals),
    };
    if let Some(eligible) = eligible {
        // Beyond every total, also beyond the negative of the least one.
        let worst = shape::public(e, &vec![(1 << (best.bits - 1)) + 1; rows])?;
        costs = e.mux(eligible, &costs, &worst).await?;
    }
    let pairs: Vec<(usize, usize)> = (0..rows).flat_map(|i| (i + 1..rows).map(move |j| (i, j))).collect();
    let earlier = costs.gather(&pairs.iter().map(|p| p.0).collect::<Vec<_>>());
    let later = costs.gather(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
    let later_is_better = e.less_than(&later, &earlier, best.bits + 2).await?;
    let later_is_better = e.b2a::<Z64>(&later_is_better).await?;
    rows_before(e, rows, &pairs, &later_is_better)
}

/// A row is after those earlier rows it does not beat and those later rows that beat it.
fn rows_before<E: Engine>(
    e: &mut E,
    rows: usize,
    pairs: &[(usize, usize)],
    later_is_better: &ArithShare<Z64>,
) -> Result<ArithShare<Z64>> {
    let earlier_rows: Vec<u64> = (0..rows as u64).collect();
    let earlier_rows = shape::public(e, &earlier_rows)?;
    let mut beaten = Vec::with_capacity(rows);
    for row in 0..rows {
        let pairs_as = |this: fn(&(usize, usize)) -> usize| {
            let mine = pairs.iter().enumerate().filter(move |(_, pair)| this(pair) == row);
            mine.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let by_later = later_is_better.gather(&pairs_as(|p| p.0));
        let by_me = later_is_better.gather(&pairs_as(|p| p.1));
        let (by_later, by_me) = (shape::total(&by_later), shape::total(&by_me));
        beaten.push(e.sub(&by_later, &by_me)?);
    }
    let beaten = ArithShare::concat(&beaten.iter().collect::<Vec<_>>());
    e.add(&earlier_rows, &beaten)
}

/// Unsigned keys whose smallest is best: the total with its sign bit flipped, everything flipped for descending order,
/// and on top a bit that is 1 for the ineligible.
async fn keys<E: Engine>(
    e: &mut E,
    totals: &ArithShare<Z64>,
    best: Best,
    eligible: Option<&BitShare>,
) -> Result<BitShare> {
    let bits = e.a2b(totals, best.bits).await?;
    let (number, sign) = (bits.planes(0..best.bits - 1), bits.plane(best.bits - 1));
    let (number, sign) = match best.direction {
        Direction::Ascending => (number, e.not(&sign)),
        Direction::Descending => (e.not(&number), sign),
    };
    let total = BitShare::beside(&[&number, &sign]);
    let Some(eligible) = eligible else { return Ok(total) };
    // The totals of the ineligible must not order them.
    let total = e.and(&total, &BitShare::beside(&vec![eligible; best.bits])).await?;
    Ok(BitShare::beside(&[&total, &e.not(eligible)]))
}

/// Up to here n²/2 comparisons in one step cost less than the passes of a sort, each with its own rounds.
pub const PAIRWISE_ROWS: usize = 128;
/// The difference of two totals, one of them beyond all others, must fit a ring element.
pub const PAIRWISE_BITS: usize = 62;
