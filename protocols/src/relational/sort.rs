//! Stable sorting of shared rows by shared keys: radix sort, two bits a pass.

use mpc_core::{Result, Z64};

use super::shape;
use crate::engine::{Engine, Rows};
use crate::share::{ArithShare, BitShare};

/// Sorts rows by unsigned keys (bit j of a key is plane j), smallest first; rows with equal keys keep their order.
/// Returns the sorted keys and the payload that moved with them. For descending order flip the key bits before and
/// after.
///
/// n rows, w key bits, p = ⌈w / 2⌉ passes. Each pass: one `and` of n bits, one `b2a` of 3n, one `select` of 3n, one
/// `place` of n rows; a wide payload (more than 64 bits with half the key) stays where it is while the passes carry the
/// row's number and the key bits still to be sorted, and one more `place` moves it at the end. Rounds: p·(and + b2a +
/// select + place) [+ place]. Nothing is opened but what `place` opens.
///
/// # Source
/// Bogdanov, Laur, Talviste, "A Practical Analysis of Oblivious Sorting Algorithms", NordSec'14 (radix sort on shared
/// bits); Hamada, Ikarashi, Chida, Takahashi, "Oblivious Radix Sort", ePrint 2014/121 (shuffle and reveal the places,
/// which is [`Engine::place`]); Asharov et al., "Efficient Secure Three-Party Sorting", CCS'22 (digits of several bits;
/// moving keys and payload apart).
/// # Deviations
/// The digit's indicators are made from bits and converted (one `b2a`), so that any engine will do; digit 0 needs
/// neither conversion nor selection: its indicator and its rank follow from the others.
/// # Errors
/// `Local(Lengths)` when keys and payload differ in rows; as the engine's operations.
pub async fn sort<E: Engine>(e: &mut E, keys: BitShare, payload: Rows) -> Result<(BitShare, Rows)> {
    e.same_length(keys.rows(), payload.len())?;
    let width = keys.width();
    let carried = payload.bits.width() + NUMBER_BITS * payload.columns.len() + width / 2;
    let rows = Rows { bits: BitShare::beside(&[&keys, &payload.bits]), columns: payload.columns };
    let rows = if carried <= NUMBER_BITS {
        sort_whole_rows(e, rows, width).await?
    } else {
        let places = order(e, &keys).await?;
        e.place(rows, places).await?
    };
    let payload = Rows { bits: rows.bits.planes(width..rows.bits.width()), columns: rows.columns };
    Ok((rows.bits.planes(0..width), payload))
}

/// [`sort`] without payload.
///
/// # Errors
/// As [`sort`].
pub async fn sort_keys<E: Engine>(e: &mut E, keys: BitShare) -> Result<BitShare> {
    let width = keys.width();
    Ok(sort_whole_rows(e, Rows { bits: keys, columns: Vec::new() }, width).await?.bits)
}

/// Where [`sort`] would put every row: a permutation of 0 to n − 1, for [`Engine::place`]. p passes as in [`sort`], the
/// last of which places one number a row.
///
/// # Errors
/// As [`sort`].
pub async fn order<E: Engine>(e: &mut E, keys: &BitShare) -> Result<ArithShare<Z64>> {
    let rows = keys.rows();
    let numbered: Vec<u64> = (0..rows as u64).collect();
    let mut origins = shape::public(e, &numbered)?;
    let mut bits = keys.planes(0..keys.width());
    while bits.width() > DIGIT {
        let places = destinations(e, &bits.planes(0..DIGIT)).await?;
        let rest = Rows { bits: bits.planes(DIGIT..bits.width()), columns: vec![origins] };
        let mut moved = e.place(rest, places).await?;
        origins = moved.columns.remove(0);
        bits = moved.bits;
    }
    let places = destinations(e, &bits).await?;
    if keys.width() <= DIGIT {
        return Ok(places);
    }
    // Row r here was row origins[r] of the input: to that place goes where it ends.
    let ends = Rows { bits: BitShare::zeros(rows, 0), columns: vec![places] };
    Ok(e.place(ends, origins).await?.columns.remove(0))
}

async fn sort_whole_rows<E: Engine>(e: &mut E, mut rows: Rows, width: usize) -> Result<Rows> {
    for at in (0..width).step_by(DIGIT) {
        let places = destinations(e, &rows.bits.planes(at..width.min(at + DIGIT))).await?;
        rows = e.place(rows, places).await?;
    }
    Ok(rows)
}

/// The place of every row in a stable sort by one digit of 0, 1 or 2 bits: rows with a smaller digit come first, then
/// those with the same digit above it.
async fn destinations<E: Engine>(e: &mut E, digit: &BitShare) -> Result<ArithShare<Z64>> {
    let rows = digit.rows();
    let onehot = digits_but_zero(e, digit).await?;
    let others = e.b2a::<Z64>(&onehot).await?;
    let not_zero = shape::fold(e, &others, rows)?;
    let zero = e.add_public(&shape::minus(&not_zero), &vec![Z64(1); rows])?;
    let counted = ArithShare::concat(&[&zero, &others]).prefix_sums();
    let ranks = e.add_public(&counted, &vec![Z64(u64::MAX); counted.len()])?;
    let rank_of_zero = ranks.slice(0..rows);
    let repeated: Vec<usize> = (0..others.len()).map(|i| i % rows).collect();
    let beyond = e.sub(&ranks.slice(rows..ranks.len()), &rank_of_zero.gather(&repeated))?;
    let chosen = e.select(&shape::stacked(&onehot), &beyond).await?;
    let chosen = shape::fold(e, &chosen, rows)?;
    e.add(&rank_of_zero, &chosen)
}

/// One bit for each value of the digit but zero: is it this one?
async fn digits_but_zero<E: Engine>(e: &mut E, digit: &BitShare) -> Result<BitShare> {
    if digit.width() < DIGIT {
        return Ok(digit.planes(0..digit.width()));
    }
    let (low, high) = (digit.plane(0), digit.plane(1));
    let both = e.and(&low, &high).await?;
    Ok(BitShare::beside(&[&low.xor(&both), &high.xor(&both), &both]))
}

/// Bits of a digit: with three, conversions and selections (2^bits − 1 a row) outgrow what fewer `place` calls save.
const DIGIT: usize = 2;
/// Bits of a number that moves along.
const NUMBER_BITS: usize = 64;
