//! Shared columns put into the shape the next operation wants. No message but where a function takes an engine.

use mpc_core::{Bits, PowerOfTwo, Result, Z64};

use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// All planes below each other: one bit a row, row `plane·rows + row`, the order of [`Engine::b2a`].
pub fn stacked(bits: &BitShare) -> BitShare {
    let rows = bits.rows();
    let mut out = Bits::zeros(rows * bits.width(), 1);
    (0..bits.width()).for_each(|plane| put_bits(out.words_mut(), plane * rows, bits.bits().plane(plane), rows));
    BitShare::new(out)
}

/// The opposite of [`stacked`].
pub fn unstacked(column: &BitShare, rows: usize) -> BitShare {
    let width = column.rows().checked_div(rows).unwrap_or(0);
    let plane = |at: usize| column.gather(&(at * rows..(at + 1) * rows).collect::<Vec<_>>());
    let planes: Vec<BitShare> = (0..width).map(plane).collect();
    if planes.is_empty() { BitShare::zeros(rows, 0) } else { BitShare::beside(&planes.iter().collect::<Vec<_>>()) }
}

/// The rows of all parts, one part after the other; all have the width of the first.
pub fn beneath(parts: &[&BitShare]) -> BitShare {
    let width = parts.first().map_or(0, |p| p.width());
    let mut out = Bits::zeros(parts.iter().map(|p| p.rows()).sum(), width);
    for plane in 0..width {
        let mut at = 0;
        for part in parts {
            put_bits(out.plane_mut(plane), at, part.bits().plane(plane), part.rows());
            at += part.rows();
        }
    }
    BitShare::new(out)
}

/// XORs the first `len` bits of `from` into `to`, beginning at bit `at`.
fn put_bits(to: &mut [u64], at: usize, from: &[u64], len: usize) {
    for (i, word) in from.iter().enumerate().take(len.div_ceil(64)) {
        let left = len - 64 * i;
        // Bits beyond the last row are unspecified and must not reach a neighbour.
        let word = if left < 64 { word & ((1 << left) - 1) } else { *word };
        let bit = at + 64 * i;
        to[bit / 64] ^= word << (bit % 64);
        if !bit.is_multiple_of(64) && bit / 64 + 1 < to.len() {
            to[bit / 64 + 1] ^= word >> (64 - bit % 64);
        }
    }
}

/// The XOR of all rows: one row.
pub fn xor_of_rows(bits: &BitShare) -> BitShare {
    let mut out = Bits::zeros(1, bits.width());
    for plane in 0..bits.width() {
        let words = bits.bits().plane(plane);
        let whole = words.iter().take(bits.rows() / 64).fold(0, |a, w| a ^ w);
        let tail = bits.rows() % 64;
        let rest = if tail == 0 { 0 } else { words[bits.rows() / 64] & ((1 << tail) - 1) };
        out.plane_mut(plane)[0] = u64::from((whole ^ rest).count_ones() & 1);
    }
    BitShare::new(out)
}

/// A column everybody knows, as a share. No message.
pub fn public<E: Engine>(e: &mut E, column: &[u64]) -> Result<ArithShare<Z64>> {
    let column: Vec<Z64> = column.iter().copied().map(Z64).collect();
    e.add_public(&ArithShare::zeros(column.len()), &column)
}

/// Zero minus the column.
pub fn minus(a: &ArithShare<Z64>) -> ArithShare<Z64> {
    a.times(Z64(u64::MAX))
}

/// The number every row's bits stand for; bit j counts 2^j. One `b2a` of rows·width bits.
pub async fn numbers<E: Engine>(e: &mut E, bits: &BitShare) -> Result<ArithShare<Z64>> {
    let places = e.b2a::<Z64>(bits).await?;
    let rows = bits.rows();
    let mut sum = ArithShare::zeros(rows);
    for plane in 0..bits.width() {
        let part = places.slice(plane * rows..(plane + 1) * rows).times(Z64::power(plane));
        sum = e.add(&sum, &part)?;
    }
    Ok(sum)
}

/// The sum of all elements: one element. No message.
pub fn total(column: &ArithShare<Z64>) -> ArithShare<Z64> {
    if column.is_empty() { ArithShare::zeros(1) } else { column.block_sums(column.len()) }
}

/// The sum of consecutive parts of `len` elements, element by element. No message.
pub fn fold<E: Engine>(e: &mut E, column: &ArithShare<Z64>, len: usize) -> Result<ArithShare<Z64>> {
    let mut sum = ArithShare::zeros(len);
    for at in (0..column.len()).step_by(len.max(1)) {
        sum = e.add(&sum, &column.slice(at..at + len))?;
    }
    Ok(sum)
}

/// Are all bits of a row 1? ⌈log2 width⌉ rounds of `and`, width − 1 ANDs a row.
pub async fn all<E: Engine>(e: &mut E, bits: &BitShare) -> Result<BitShare> {
    let mut left = bits.planes(0..bits.width());
    if left.width() == 0 {
        return Ok(e.not(&BitShare::zeros(left.rows(), 1)));
    }
    while left.width() > 1 {
        let half = left.width() / 2;
        let joined = e.and(&left.planes(0..half), &left.planes(half..2 * half)).await?;
        left = BitShare::beside(&[&joined, &left.planes(2 * half..left.width())]);
    }
    Ok(left)
}

/// Is any bit of a row 1? As [`all`].
pub async fn any<E: Engine>(e: &mut E, bits: &BitShare) -> Result<BitShare> {
    let none = e.not(bits);
    let none = all(e, &none).await?;
    Ok(e.not(&none))
}

/// Bits brought side by side: row i has the bits named by `lists[i]`, then `neutral` up to the longest list. No
/// message.
pub fn lined_up<E: Engine>(e: &mut E, bits: &BitShare, lists: &[Vec<usize>], neutral: bool) -> BitShare {
    let zero = BitShare::zeros(1, 1);
    let filler = if neutral { e.not(&zero) } else { zero };
    let extended = beneath(&[bits, &filler]);
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let plane = |at: usize| {
        extended.gather(&lists.iter().map(|list| list.get(at).copied().unwrap_or(bits.rows())).collect::<Vec<_>>())
    };
    let planes: Vec<BitShare> = (0..longest).map(plane).collect();
    if planes.is_empty() {
        return BitShare::zeros(lists.len(), 0);
    }
    BitShare::beside(&planes.iter().collect::<Vec<_>>())
}

/// Is any of the bits named by `lists[i]` 1, for each i? Rounds of [`any`] over the longest list.
pub async fn any_of<E: Engine>(e: &mut E, bits: &BitShare, lists: &[Vec<usize>]) -> Result<BitShare> {
    let lined_up = lined_up(e, bits, lists, false);
    any(e, &lined_up).await
}

/// Element-wise OR: one `and`.
pub async fn or<E: Engine>(e: &mut E, a: &BitShare, b: &BitShare) -> Result<BitShare> {
    let both = e.and(a, b).await?;
    Ok(a.xor(b).xor(&both))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(column: &[u64], width: usize) -> BitShare {
        BitShare::new(Bits::from_column(column, width))
    }

    fn numbers(len: u64) -> Vec<u64> {
        (1..=len).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57).collect()
    }

    #[test]
    fn stacked_planes_come_back_and_stand_in_the_order_of_b2a() {
        for rows in [1, 63, 64, 65, 130] {
            let column = numbers(rows);
            let stack = stacked(&bits(&column, 7));
            assert!((0..7 * rows as usize).all(|i| {
                let (plane, row) = (i / rows as usize, i % rows as usize);
                stack.bits().get(i, 0) == (column[row] >> plane & 1 == 1)
            }));
            assert_eq!(unstacked(&stack, rows as usize).bits().to_column(), column);
        }
    }

    #[test]
    fn parts_beneath_each_other_keep_their_rows_and_the_xor_of_rows_is_that_of_the_column() {
        let column = numbers(200);
        let parts = [bits(&column[..70], 7), bits(&column[70..71], 7), bits(&column[71..], 7)];
        let joined = beneath(&parts.iter().collect::<Vec<_>>());
        assert_eq!(joined.bits().to_column(), column);
        assert_eq!(xor_of_rows(&joined).bits().to_column(), [column.iter().fold(0, |a, b| a ^ b)]);
    }
}
