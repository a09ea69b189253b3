//! Oblivious key-value store: a column that gives each of n keys its value and hides which keys those are.
//!
//! A key is hashed to a bin, to three of the bin's sparse rows and to an element h of GF(2^128). Its value is the sum of the three
//! rows and of h·D₁ + h²·D₂ + … with the bin's dense rows D. Decoding is linear in the column.
//!
//! Encoding a bin: a row that one key alone takes is that key's pivot; the key is set aside, which leaves other rows to one key
//! (peeling). Keys that are left when no such row is, the gap, determine dense rows by Gaussian elimination; then the pivots follow in
//! reverse. All other rows are random, so the column is a uniform solution: for random values it is uniformly random whatever
//! the keys are. Peeling and elimination may fail and come first, for all bins; the pivots always have values, so bins may leave as
//! they are completed ([`Encoding`]).
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
use bin::{Bin, Order};
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
        let mut encoding = self.begin(keys, width, prg);
        while encoding.solve_bin(values)? {}
        while encoding.next_bin(values).is_some() {}
        Some(std::mem::take(&mut *encoding.rows))
    }

    /// The same a bin at a time, of all bins first what may fail. 4 bytes of memory for each key besides.
    pub fn begin(&self, keys: &[Block], width: usize, prg: &mut Prg) -> Encoding {
        let mut rows = Zeroizing::new(vec![Block::ZERO; self.blocks() * width]);
        fill(prg, &mut rows);
        let (sorted, orders) = (self.placement.sort(keys), Vec::with_capacity(self.shape.bins));
        Encoding { shape: self.shape, orders, sorted, width, rows, done: 0 }
    }

    /// Decodes `keys` while an encoding of one block a row arrives.
    pub fn decode_arriving(&self, keys: &[Block]) -> Arriving {
        let bin_by_bin = self.shape.bins > 1 && keys.len() <= DECODE_KEYS;
        let sorted = bin_by_bin.then(|| self.placement.sort(keys));
        Arriving { sorted, done: 0, out: Zeroizing::new(vec![Block::ZERO; keys.len()]) }
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
        for (keys, out) in keys.chunks(DECODE_KEYS).zip(out.chunks_mut(DECODE_KEYS * width)) {
            let sorted = self.placement.sort(keys);
            for (index, rows) in encoded.chunks_exact(self.shape.bin_rows() * width).enumerate() {
                self.decode_bin(&sorted, index, rows, width, out);
            }
        }
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
            scatter(values, places, width, out);
        }
    }
}

/// Puts the values of keys in their places. A store of one block does not wait for the one before, as a call would.
fn scatter(values: &[Block], places: &[u32], width: usize, out: &mut [Block]) {
    if width == 1 {
        values.iter().zip(places).for_each(|(value, place)| out[*place as usize] = *value);
        return;
    }
    for (value, place) in values.chunks_exact(width).zip(places) {
        out[*place as usize * width..][..width].copy_from_slice(value);
    }
}

/// Keys decoded between two sorts: 20 MiB of hashes and places at most.
const DECODE_KEYS: usize = 1 << 20;

fn bin_of<'a>(sorted: &'a Sorted, index: usize, values: &'a [Block], width: usize) -> Bin<'a> {
    let (hashes, places) = sorted.bin(index);
    Bin { hashes, places, values, width }
}

/// An encoding that is made. Does not print; wiped when dropped.
pub struct Encoding {
    shape: OkvsShape,
    /// Of each bin whose dense rows are solved: its keys in order.
    orders: Vec<Order>,
    sorted: Sorted,
    width: usize,
    rows: Zeroizing<Vec<Block>>,
    /// Bins whose other rows are solved too.
    done: usize,
}

impl Encoding {
    /// The part of the next bin that may fail. `values` is the same at every call, `width` blocks for each key. Whether bins are left;
    /// None when this one has no solution.
    pub fn solve_bin(&mut self, values: &[Block]) -> Option<bool> {
        let index = self.orders.len();
        let len = self.shape.bin_rows() * self.width;
        let bin = bin_of(&self.sorted, index, values, self.width);
        self.orders.push(bin::solve(&self.shape, &bin, &mut self.rows[index * len..][..len])?);
        Some(self.orders.len() < self.shape.bins)
    }

    /// The rows of the next bin; None after the last.
    ///
    /// # Panics
    /// When some bin is not solved.
    pub fn next_bin(&mut self, values: &[Block]) -> Option<&[Block]> {
        assert_eq!(self.orders.len(), self.shape.bins, "all bins are solved before one is taken");
        let order = self.orders.get(self.done)?;
        let len = self.shape.bin_rows() * self.width;
        let rows = &mut self.rows[self.done * len..][..len];
        bin::finish(&self.shape, &bin_of(&self.sorted, self.done, values, self.width), order, rows);
        self.done += 1;
        Some(rows)
    }

    /// The same keys, to be decoded in another encoding of one block a row: they are sorted already.
    pub fn decode_others(self) -> Arriving {
        let out = Zeroizing::new(vec![Block::ZERO; self.sorted.len()]);
        Arriving { sorted: Some(self.sorted), done: 0, out }
    }
}

/// The values of keys in an encoding that arrives from its first row to its last. Does not print; wiped when dropped.
pub struct Arriving {
    /// None where keys are decoded at the end.
    sorted: Option<Sorted>,
    /// Bins that are decoded.
    done: usize,
    out: Zeroizing<Vec<Block>>,
}

impl Arriving {
    /// Decodes what there is of `okvs`, which made this: the first `arrived` rows of the encoding.
    pub fn advance(&mut self, okvs: &Okvs, arrived: &[Block]) {
        while self.next_bin(okvs, arrived) {}
    }

    /// Decodes the next bin. False when it has not arrived or is none, or all are decoded at the end.
    pub fn next_bin(&mut self, okvs: &Okvs, arrived: &[Block]) -> bool {
        let rows = arrived.chunks_exact(okvs.shape.bin_rows()).nth(self.done);
        let Some((sorted, rows)) = self.sorted.as_ref().zip(rows) else { return false };
        okvs.decode_bin(sorted, self.done, rows, 1, &mut self.out);
        self.done += 1;
        true
    }

    /// The values of `keys`, the same as before, in order.
    pub fn finish(mut self, okvs: &Okvs, encoded: &[Block], keys: &[Block]) -> Vec<Block> {
        match self.sorted {
            Some(_) => self.advance(okvs, encoded),
            None => okvs.decode_into(encoded, 1, keys, &mut self.out),
        }
        std::mem::take(&mut *self.out)
    }
}

/// Free rows.
fn fill(prg: &mut Prg, rows: &mut [Block]) {
    prg.fill(bytemuck::cast_slice_mut(rows));
}

#[cfg(test)]
mod tests;
