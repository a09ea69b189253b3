//! Moving rows: shuffles, and permutations that are themselves shared.

use mpc_core::error::LocalFault;
use mpc_core::random::Domain;
use mpc_core::{Bits, Result, Session, Z64};

use super::all_sites;
use super::masking::add_zero_share;
use super::opening::{Opening, open};
use crate::clear::inverse;
use crate::correlation::{Pool, WordKind};
use crate::engine::Rows;
use crate::share::{ArithShare, BitShare};

/// The rows in an order nobody knows: each site in turn permutes them by a random permutation of its own
/// (`correlation/permutation.rs`). One round for each site; every other site sends it all rows, masked.
pub(super) async fn shuffle(s: &mut Session, pool: &mut Pool, rows: Rows) -> Result<Rows> {
    let words = words_of(&rows);
    shuffle_words(s, pool, rows, &words).await
}

async fn shuffle_words(s: &mut Session, pool: &mut Pool, rows: Rows, words: &[WordKind]) -> Result<Rows> {
    let mut s = s.step("shuffle");
    let shuffle = pool.shuffle(&s, rows.len(), words)?;
    let moved = shuffle.apply(&mut s, pack(&rows, words.len())).await?;
    Ok(unpack(&rows, &moved))
}

/// Applies a shared permutation: shuffles rows and places together, opens the shuffled places, which are uniform among all
/// permutations whatever the places were, and rearranges in the clear. A shuffle, and one opening of n places; every site adds
/// a fresh zero-share first, because the owner of the last permutation knows how the others' summands changed.
///
/// # Source
/// Asharov et al., CCS'22 (applying and composing shared permutations by shuffle and reveal), after Chida et al.
pub(super) async fn place(s: &mut Session, pool: &mut Pool, mut rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
    let mut s = s.step("place");
    let words = words_with_places(&rows);
    rows.columns.push(places);
    let mut shuffled = shuffle_words(&mut s, pool, rows, &words).await?;
    let mut places = shuffled.columns.pop().unwrap_or_else(|| ArithShare::zeros(0));
    add_zero_share(&mut s, Domain::SumZeroShare, places.column_mut())?;
    // Only the 32 bits of a place: the carry of the summands beyond them is nobody's business.
    let own = places.low_words().iter().map(|x| *x as u32).collect();
    let opening = Opening::new(all_sites(&s), own, add_places);
    let opened = open(&mut s, vec![opening]).await?.remove(0);
    let places: Vec<usize> = opened.into_iter().map(|x: u32| x as usize).collect();
    let order = inverse(&places);
    let order = order.ok_or_else(|| s.local(LocalFault::Other("shared places are no permutation".into())))?;
    Ok(shuffled.gather(&order))
}

fn add_places(acc: &mut [u32], places: &[u32]) {
    acc.iter_mut().zip(places).for_each(|(a, p)| *a = a.wrapping_add(*p));
}

/// The words of a row: its bits, 64 or 32 to a word, then its numbers.
pub(super) fn words_of(rows: &Rows) -> Vec<WordKind> {
    let width = rows.bits.width();
    let mut words = vec![WordKind::Xor; width / 64];
    match width % 64 {
        0 => (),
        1..=32 => words.push(WordKind::Xor32),
        _ => words.push(WordKind::Xor),
    }
    words.extend(rows.columns.iter().map(|_| WordKind::Add));
    words
}

/// The same with a place behind, which has 32 bits.
pub(super) fn words_with_places(rows: &Rows) -> Vec<WordKind> {
    let mut words = words_of(rows);
    words.push(WordKind::Add32);
    words
}

/// Row by row, word by word.
fn pack(rows: &Rows, words: usize) -> Vec<u64> {
    let mut packed = vec![0; rows.len() * words];
    let bit_words = rows.bits.width().div_ceil(64);
    for word in 0..bit_words {
        let planes = word * 64..rows.bits.width().min(word * 64 + 64);
        let column = rows.bits.bits().planes(planes).to_column();
        column.iter().enumerate().for_each(|(row, bits)| packed[row * words + word] = *bits);
    }
    for (at, column) in rows.columns.iter().enumerate() {
        let column = column.column().iter().enumerate();
        column.for_each(|(row, x)| packed[row * words + bit_words + at] = x.0);
    }
    packed
}

fn unpack(like: &Rows, packed: &[u64]) -> Rows {
    let (bit_words, len) = (like.bits.width().div_ceil(64), like.len());
    let words = bit_words + like.columns.len();
    let column = |word: usize| -> Vec<u64> { (0..len).map(|row| packed[row * words + word]).collect() };
    let part = |word: usize| Bits::from_column(&column(word), (like.bits.width() - word * 64).min(64));
    let parts: Vec<Bits> = (0..bit_words).map(part).collect();
    let bits = match parts.as_slice() {
        [] => Bits::zeros(len, 0),
        parts => Bits::beside(&parts.iter().collect::<Vec<_>>()),
    };
    let columns = (bit_words..words).map(|word| ArithShare::new(column(word).into_iter().map(Z64).collect()));
    Rows { bits: BitShare::new(bits), columns: columns.collect() }
}
