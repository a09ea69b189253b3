//! Equality of two sites' private tags, as bits that are shared between the two.
//!
//! Two steps. First the number of differing bits of each row, shared mod 64: for each bit one OT, in which the site that holds
//! y offers r + y and r + 1 − y, and the other takes r + (x ⊕ y). Then, as there are at most 63 differences, the tags are the same
//! if both sides' sums are: six more OTs are one of 64 bits of a table that is set at the offering side's sum alone.
//!
//! # Source
//! Couteau, New Protocols for Secure Equality Test and Comparison, ACNS'18 (ePrint 2016/544), §4: equality by Hamming distances
//! from OTs of short strings, semi-honest.
//! # Deviations
//! After one reduction to 6 bits Couteau reduces again, to 3 and 2 bits and an AND (71 OTs for 62 bits); a table of 64
//! bits by 1-of-64 OT (Naor–Pinkas, STOC'99: six pairs of masks make 64 pads, here bit v of each pad comes from bit v of the
//! masks, so that the pads are independent) takes 68, and four rounds in all. Each site chooses in half of the rows, so that both have
//! the same work.

use std::ops::Range;

use mpc_core::random::Domain;
use mpc_core::{Bits, Block, PartyId, Result, Session};
use zeroize::{Zeroize, Zeroizing};

use super::windows::{Stage, StageShape, halves, run};
use crate::ot::{Offered, Ot, Received};

/// A share of [x_i = y_i] for each row: words of a plane, whose bits beyond the last row are unspecified. `tags` are this site's, of
/// `bits` bits (at most 63); `with` calls it at the same step with as many. One side's shares alone are uniform.
///
/// Two rounds for each window of 2·8 chunks of 4096 rows, and two for each of 2·8 chunks of 2^15. A site sends 4 bytes an OT, `bits` + 6 for
/// each row of its half, and 8·⌈bits/10⌉ + 8 for each row of the other half: about 180 bytes a row for 62 bits.
///
/// # Errors
/// As [`Session::recv`] says.
pub(super) async fn equal(
    session: &mut Session,
    ot: &mut Ot,
    with: PartyId,
    tags: &[u64],
    bits: usize,
) -> Result<Vec<u64>> {
    assert!((1..=MAX_BITS).contains(&bits), "a count of differences has six bits");
    let mut session = session.step("equality");
    let rows = halves(session.me(), with, tags.len());
    let mut distances = Distances::new(tags, bits);
    run(&mut session.step("distance"), ot, with, &mut distances, rows.clone()).await?;
    let mut table = Table::new(&mut session, distances)?;
    run(&mut session.step("table"), ot, with, &mut table, rows).await?;
    Ok(std::mem::take(&mut table.shares))
}

/// Most bits of a tag.
const MAX_BITS: usize = 63;

/// Bits of a count of differences.
const COUNT_BITS: usize = 6;

/// Counts of one bit in a word of an answer.
const PACKED: usize = 10;

/// Sizes of the first step.
pub(crate) fn distance_shape(bits: usize) -> StageShape {
    StageShape { chunk: 1 << 12, ots: bits, answer: bits.div_ceil(PACKED) }
}

/// Sizes of the second.
pub(crate) fn table_shape() -> StageShape {
    StageShape { chunk: 1 << 15, ots: COUNT_BITS, answer: 1 }
}

/// The number of differing bits, shared mod 64: the chooser's count minus the offering side's.
struct Distances<'a> {
    tags: &'a [u64],
    bits: usize,
    counts: Zeroizing<Vec<u64>>,
    masks: Masks,
}

/// Masks of OTs, used again from chunk to chunk.
#[derive(Default)]
struct Masks {
    zero: Zeroizing<Vec<Block>>,
    one: Zeroizing<Vec<Block>>,
}

impl<'a> Distances<'a> {
    fn new(tags: &'a [u64], bits: usize) -> Self {
        Self { tags, bits, counts: Zeroizing::new(vec![0; tags.len()]), masks: Masks::default() }
    }
}

impl Stage for Distances<'_> {
    fn shape(&self) -> StageShape {
        distance_shape(self.bits)
    }

    fn choices(&self, rows: Range<usize>) -> Vec<u64> {
        Bits::from_column(&self.tags[rows], self.bits).into_words()
    }

    fn answer(&mut self, rows: Range<usize>, offered: &Offered) -> Vec<u64> {
        let Masks { zero, one } = &mut self.masks;
        offered.hash_into(zero, one);
        let (len, stride) = (rows.len(), rows.len().next_multiple_of(64));
        let (tags, counts) = (&self.tags[rows.clone()], &mut self.counts[rows]);
        let mut answer = vec![0; len * self.bits.div_ceil(PACKED)];
        for plane in 0..self.bits {
            let masks = zero[plane * stride..].iter().zip(&one[plane * stride..]);
            let packed = &mut answer[plane / PACKED * len..][..len];
            let shift = COUNT_BITS * (plane % PACKED);
            for (((tag, count), packed), (zero, one)) in tags.iter().zip(counts.iter_mut()).zip(packed).zip(masks) {
                let (bit, zero, one) = (tag >> plane & 1, zero.0 as u64, one.0 as u64);
                // r = zero − y, so that r + y is the mask of choice 0 as it stands.
                let summand = zero.wrapping_sub(bit);
                *count = count.wrapping_add(summand);
                let correction = summand.wrapping_add(1 - bit).wrapping_sub(one);
                *packed |= low_count(correction) << shift;
            }
        }
        answer
    }

    fn take(&mut self, rows: Range<usize>, received: &Received, answer: &[u64]) {
        let masks = &mut self.masks.zero;
        received.hash_into(masks);
        let (len, stride) = (rows.len(), rows.len().next_multiple_of(64));
        let (tags, counts) = (&self.tags[rows.clone()], &mut self.counts[rows]);
        for plane in 0..self.bits {
            let packed = &answer[plane / PACKED * len..][..len];
            let shift = COUNT_BITS * (plane % PACKED);
            for (((tag, count), packed), mask) in
                tags.iter().zip(counts.iter_mut()).zip(packed).zip(&masks[plane * stride..])
            {
                let chosen = (tag >> plane & 1).wrapping_neg();
                *count = count.wrapping_add(mask.0 as u64).wrapping_add(packed >> shift & chosen);
            }
        }
    }
}

fn low_count(word: u64) -> u64 {
    word & ((1 << COUNT_BITS) - 1)
}

/// [count = count of the other side], by a table of 64 bits for each row.
struct Table {
    counts: Zeroizing<Vec<u64>>,
    shares: Vec<u64>,
    masks: Masks,
}

/// Bit v of word i is bit i of v: which of the masks of OT i the pad of entry v takes.
const CHOSEN_BY_ENTRY: [u64; COUNT_BITS] = [
    0xaaaa_aaaa_aaaa_aaaa,
    0xcccc_cccc_cccc_cccc,
    0xf0f0_f0f0_f0f0_f0f0,
    0xff00_ff00_ff00_ff00,
    0xffff_0000_ffff_0000,
    0xffff_ffff_0000_0000,
];

impl Table {
    /// Shares of the rows in which we answer are drawn at once.
    fn new(session: &mut Session, distances: Distances<'_>) -> Result<Self> {
        let Distances { mut counts, masks, .. } = distances;
        counts.iter_mut().for_each(|count| *count = low_count(*count));
        let mut shares = vec![0; counts.len().div_ceil(64)];
        session.private_rng(Domain::EqualityMask)?.fill_words(&mut shares);
        Ok(Self { counts, shares, masks })
    }
}

impl Stage for Table {
    fn shape(&self) -> StageShape {
        table_shape()
    }

    fn choices(&self, rows: Range<usize>) -> Vec<u64> {
        Bits::from_column(&self.counts[rows], COUNT_BITS).into_words()
    }

    fn answer(&mut self, rows: Range<usize>, offered: &Offered) -> Vec<u64> {
        let Masks { zero, one } = &mut self.masks;
        offered.hash_into(zero, one);
        let stride = rows.len().next_multiple_of(64);
        let row_number = rows.clone();
        let entry = |(row, count): (usize, &u64)| (self.shares[row / 64] >> (row % 64) & 1).wrapping_neg() ^ 1 << count;
        let mut answer: Vec<u64> = row_number.zip(&self.counts[rows]).map(entry).collect();
        for (index, chosen) in CHOSEN_BY_ENTRY.iter().enumerate() {
            let masks = zero[index * stride..].iter().zip(&one[index * stride..]);
            for (answer, (zero, one)) in answer.iter_mut().zip(masks) {
                *answer ^= zero.0 as u64 & !chosen ^ one.0 as u64 & chosen;
            }
        }
        answer
    }

    fn take(&mut self, rows: Range<usize>, received: &Received, answer: &[u64]) {
        let masks = &mut self.masks.zero;
        received.hash_into(masks);
        let stride = rows.len().next_multiple_of(64);
        for (at, (row, entries)) in rows.zip(answer).enumerate() {
            let pad = (0..COUNT_BITS).fold(0, |pad, index| pad ^ masks[index * stride + at].0 as u64);
            let bit = (entries ^ pad) >> self.counts[row] & 1;
            let word = &mut self.shares[row / 64];
            *word = *word & !(1 << (row % 64)) | bit << (row % 64);
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.shares.zeroize();
    }
}
