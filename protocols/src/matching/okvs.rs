//! Oblivious key-value store: a column that gives each of n keys its value and hides which keys those are.
//!
//! A key is hashed to a bin, to three of the bin's sparse rows and to an element h of GF(2^128). Its value is the sum of the three
//! rows and of h·D₁ + h²·D₂ + … with the bin's dense rows D. Decoding is linear in the column.
//!
//! Encoding a bin: a row that one key alone takes is that key's pivot; the key is set aside, which leaves other rows to one key
//! (peeling). Keys that are left when no such row is, the gap, determine dense rows by Gaussian elimination; then the pivots follow in
//! reverse. All other rows are random, so the column is a uniform solution: for random values it is uniformly random whatever
//! the keys are.
//!
//! Everything here is local and on the site's own keys. Time and memory access depend on them and never leave the site but
//! as the time an encoding takes; only its shape, which is public, is sent.
//!
//! # Source
//! Raghuraman, Rindal, Blazing Fast PSI, CCS'22 (ePrint 2022/320), sections 2 to 4; the three-row form and its security are of
//! Garimella et al., Crypto'21 (ePrint 2021/883).
//! # Deviations
//! - h is the whole 128-bit hash from which bin and rows are taken too. Given those, which are fewer than 56 bits, it still is
//!   uniform over at least 2^72 elements; a dense system of g rows is a non-zero polynomial of degree at most g² in these
//!   elements and so singular with probability at most g²/2^72 (Schwartz–Zippel).
//! - Of the gap's keys the one that shares most rows with only one other key is set aside first, which needs no queue by
//!   weight: gaps are rare and small.

mod bin;
mod dense;
mod peel;
mod place;

use mpc_core::Block;
use mpc_core::random::{Prg, PublicSeed};
use zeroize::Zeroizing;

use crate::parameters::okvs::OkvsShape;
use place::{Placement, Sorted};

/// The public shape and hash of an encoding.
pub struct Okvs {
    shape: OkvsShape,
    placement: Placement,
}

impl Okvs {
    /// For `items` keys, hashed under a public seed that is fresh for each encoding. None outside the table of
    /// parameters: 1 to 2^24 keys.
    pub fn new(items: usize, seed: PublicSeed) -> Option<Self> {
        OkvsShape::new(items).map(|shape| Self::with_shape(shape, seed))
    }

    fn with_shape(shape: OkvsShape, seed: PublicSeed) -> Self {
        Self { shape, placement: Placement::new(&shape, seed) }
    }

    /// Rows of an encoding, of `width` blocks each.
    pub fn blocks(&self) -> usize {
        self.shape.rows()
    }

    /// The column that decodes to `values` (`width` blocks for each key, row-major) at `keys`, and to noise from `prg` anywhere else.
    /// Keys are hashes already; there may be fewer than the shape is for. 32 bytes of memory for each key beside the
    /// column.
    ///
    /// None when two keys are equal, or with probability 2^-40 for other keys: the caller takes another seed, before it has sent
    /// anything that depends on keys.
    ///
    /// # Panics
    /// When the width is 0 or there are not `width` values for each key.
    pub fn encode(&self, keys: &[Block], values: &[Block], width: usize, prg: &mut Prg) -> Option<Vec<Block>> {
        assert!(width > 0 && values.len() == keys.len() * width, "each key has `width` values");
        let sorted = self.placement.sort(keys);
        let mut encoded = Zeroizing::new(vec![Block::ZERO; self.blocks() * width]);
        fill(prg, &mut encoded);
        for (index, rows) in encoded.chunks_exact_mut(self.shape.bin_rows() * width).enumerate() {
            let (hashes, places) = sorted.bin(index);
            bin::encode(&self.shape, hashes, gather(values, width, places), width, rows)?;
        }
        Some(std::mem::take(&mut *encoded))
    }

    /// `out` becomes the values of `keys`, `width` blocks each.
    ///
    /// # Panics
    /// When the column is not of this shape and width, or `out` not of `width` blocks for each key.
    pub fn decode_into(&self, encoded: &[Block], width: usize, keys: &[Block], out: &mut [Block]) {
        assert!(width > 0 && encoded.len() == self.blocks() * width, "a column of this shape");
        assert_eq!(out.len(), keys.len() * width, "`width` values for each key");
        if self.shape.bins == 1 {
            return self.decode_in_place(encoded, width, keys, out);
        }
        self.decode_steps(encoded, width, keys, out).for_each(drop);
    }

    /// The same a bin at a time: an iterator that decodes as it is advanced, so that the caller may do something else between.
    ///
    /// # Panics
    /// As [`Okvs::decode_into`].
    pub fn decode_steps<'a>(
        &'a self,
        encoded: &'a [Block],
        width: usize,
        keys: &'a [Block],
        out: &'a mut [Block],
    ) -> impl Iterator<Item = ()> + 'a {
        assert!(width > 0 && encoded.len() == self.blocks() * width, "a column of this shape");
        assert_eq!(out.len(), keys.len() * width, "`width` values for each key");
        let parts = keys.chunks(DECODE_KEYS).zip(out.chunks_mut(DECODE_KEYS * width));
        parts.flat_map(move |(keys, out)| {
            let sorted = self.placement.sort(keys);
            let bins = encoded.chunks_exact(self.shape.bin_rows() * width).enumerate();
            bins.map(move |(index, rows)| self.decode_bin(&sorted, index, rows, width, out))
        })
    }

    fn decode_in_place(&self, rows: &[Block], width: usize, keys: &[Block], out: &mut [Block]) {
        for (keys, out) in keys.chunks(bin::TILE).zip(out.chunks_mut(bin::TILE * width)) {
            let mut hashes = Zeroizing::new([Block::ZERO; bin::TILE]);
            let hashes = &mut hashes[..keys.len()];
            hashes.copy_from_slice(keys);
            self.placement.hash(hashes);
            bin::decode(&self.shape, rows, width, hashes, out);
        }
    }

    fn decode_bin(&self, sorted: &Sorted, index: usize, rows: &[Block], width: usize, out: &mut [Block]) {
        let (hashes, places) = sorted.bin(index);
        let mut values = Zeroizing::new(vec![Block::ZERO; bin::TILE * width]);
        for (hashes, places) in hashes.chunks(bin::TILE).zip(places.chunks(bin::TILE)) {
            let values = &mut values[..hashes.len() * width];
            bin::decode(&self.shape, rows, width, hashes, values);
            for (value, place) in values.chunks_exact(width).zip(places) {
                out[*place as usize * width..][..width].copy_from_slice(value);
            }
        }
    }
}

/// Keys decoded between two sorts: 20 MiB of hashes and places at most.
const DECODE_KEYS: usize = 1 << 20;

fn gather(values: &[Block], width: usize, places: &[u32]) -> Zeroizing<Vec<Block>> {
    let mut gathered = Zeroizing::new(vec![Block::ZERO; places.len() * width]);
    for (row, place) in gathered.chunks_exact_mut(width).zip(places) {
        row.copy_from_slice(&values[*place as usize * width..][..width]);
    }
    gathered
}

/// Free rows.
fn fill(prg: &mut Prg, rows: &mut [Block]) {
    prg.fill(bytemuck::cast_slice_mut(rows));
}

#[cfg(test)]
mod tests;
