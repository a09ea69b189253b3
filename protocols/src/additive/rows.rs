//! Moving rows: shuffles, and permutations that are themselves shared.

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Result, Session, Z64};

use super::all_sites;
use super::opening::{Opening, open};
use crate::clear::inverse;
use crate::correlation::Pool;
use crate::engine::Rows;
use crate::share::{ArithShare, BitShare};

/// The rows in an order nobody knows: each site in turn permutes them by a random permutation of its own
/// (`correlation/permutation.rs`). One round for each site; every other site sends it all rows, masked.
pub(super) async fn shuffle(s: &mut Session, pool: &mut Pool, rows: Rows) -> Result<Rows> {
    let mut s = s.step("shuffle");
    let (xor_words, add_words) = words_of(&rows);
    let shuffle = pool.shuffle(&s, rows.len(), xor_words, add_words)?;
    let moved = shuffle.apply(&mut s, pack(&rows)).await?;
    Ok(unpack(&rows, moved))
}

/// Applies a shared permutation: shuffles rows and places together, opens the shuffled places, which are uniform among all
/// permutations whatever the places were, and rearranges in the clear. A shuffle, and one opening of n elements.
///
/// # Source
/// Asharov et al., CCS'22, §2.2 (applying and composing shared permutations by shuffle and reveal), after Chida et al.
pub(super) async fn place(s: &mut Session, pool: &mut Pool, mut rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
    let mut s = s.step("place");
    rows.columns.push(places);
    let mut shuffled = shuffle(&mut s, pool, rows).await?;
    let places = shuffled.columns.pop().map_or(Vec::new(), ArithShare::into_column);
    let group = all_sites(&s);
    let opened = open(&mut s, vec![Opening::new(group, places, mpc_core::Ring::add_columns)]).await?.remove(0);
    let places: Vec<usize> = opened.iter().map(|x: &Z64| usize::try_from(x.0).unwrap_or(usize::MAX)).collect();
    let order = inverse(&places);
    let order = order.ok_or_else(|| s.local(LocalFault::Other("shared places are no permutation".into())))?;
    Ok(shuffled.gather(&order))
}

/// Words of a row: those that are XORed, and those that are added.
pub(super) fn words_of(rows: &Rows) -> (usize, usize) {
    (rows.bits.width().div_ceil(64), rows.columns.len())
}

/// Row by row: its bits, 64 to a word, then its numbers.
fn pack(rows: &Rows) -> Vec<u64> {
    let (xor_words, add_words) = words_of(rows);
    let width = xor_words + add_words;
    let mut packed = vec![0; rows.len() * width];
    for word in 0..xor_words {
        let planes = word * 64..rows.bits.width().min(word * 64 + 64);
        let column = rows.bits.bits().planes(planes).to_column();
        column.iter().enumerate().for_each(|(row, bits)| packed[row * width + word] = *bits);
    }
    for (at, column) in rows.columns.iter().enumerate() {
        let column = column.column().iter().enumerate();
        column.for_each(|(row, x)| packed[row * width + xor_words + at] = x.0);
    }
    packed
}

fn unpack(like: &Rows, packed: Vec<u64>) -> Rows {
    let (xor_words, add_words) = words_of(like);
    let (width, len) = (xor_words + add_words, like.len());
    let column = |word: usize| -> Vec<u64> { (0..len).map(|row| packed[row * width + word]).collect() };
    let parts: Vec<Bits> =
        (0..xor_words).map(|word| Bits::from_column(&column(word), (like.bits.width() - word * 64).min(64))).collect();
    let bits = match parts.as_slice() {
        [] => Bits::zeros(len, 0),
        parts => Bits::beside(&parts.iter().collect::<Vec<_>>()),
    };
    let columns = (0..add_words).map(|at| ArithShare::new(column(xor_words + at).into_iter().map(Z64).collect()));
    Rows { bits: BitShare::new(bits), columns: columns.collect() }
}
