//! One bin: its system of equations solved, and its rows added up.

use mpc_core::{Block, gf128};
use zeroize::Zeroizing;

use super::dense::{self, Equation};
use super::peel::{Peeling, peel};
use super::place;
use crate::parameters::okvs::OkvsShape;

/// The keys of one bin, where their values are, and the values of all keys, `width` blocks each.
pub(super) struct Bin<'a> {
    pub(super) hashes: &'a [Block],
    pub(super) places: &'a [u32],
    pub(super) values: &'a [Block],
    pub(super) width: usize,
}

/// Keys and pivots in the order in which they were peeled.
pub(super) type Order = Zeroizing<Vec<[u16; 2]>>;

/// The harder half, which may fail: an order of the keys, and the dense rows. `rows`, which are random, keep their values where no
/// key determines them. None when the gap is larger than the dense rows, or its equations dependent.
pub(super) fn solve(shape: &OkvsShape, bin: &Bin, rows: &mut [Block]) -> Option<Order> {
    // Numbers of keys and rows have sixteen bits.
    u16::try_from(bin.hashes.len()).ok()?;
    let keys = bin.rows(shape);
    let peeling = peel(&keys, shape.sparse, shape.dense)?;
    let (sparse, dense) = rows.split_at_mut(shape.sparse * bin.width);
    let gap = peeling.gap.iter().map(|key| bin.gap_equation(&keys, &peeling, *key, sparse, shape.dense));
    dense::solve(gap.collect(), dense, bin.width)?;
    Some(peeling.order)
}

/// The other half: the pivots, which always have values.
pub(super) fn finish(shape: &OkvsShape, bin: &Bin, order: &Order, rows: &mut [Block]) {
    let mut values = bin.gathered();
    let (sparse, dense) = rows.split_at_mut(shape.sparse * bin.width);
    add_dense(dense, bin.width, bin.hashes, &mut values);
    bin.substitute(&bin.rows(shape), order, sparse, &values);
}

impl Bin<'_> {
    /// The three rows of each key.
    fn rows(&self, shape: &OkvsShape) -> Zeroizing<Vec<[u16; 3]>> {
        Zeroizing::new(self.hashes.iter().map(|hash| place::rows(*hash, shape.sparse)).collect())
    }

    fn value(&self, key: usize) -> &[Block] {
        &self.values[self.places[key] as usize * self.width..][..self.width]
    }

    fn gathered(&self) -> Zeroizing<Vec<Block>> {
        if self.width == 1 {
            return Zeroizing::new(self.places.iter().map(|place| self.values[*place as usize]).collect());
        }
        let mut gathered = Zeroizing::new(vec![Block::ZERO; self.hashes.len() * self.width]);
        for (key, row) in gathered.chunks_exact_mut(self.width).enumerate() {
            row.copy_from_slice(self.value(key));
        }
        gathered
    }

    /// The equation of a key of the gap after its pivot rows are replaced by what their keys' equations say of them. A pivot's
    /// equation has other rows that are free or pivots of later keys: one pass in peeling order replaces them all.
    fn gap_equation(&self, keys: &[[u16; 3]], peeling: &Peeling, key: u16, sparse: &[Block], dense: usize) -> Equation {
        let width = self.width;
        let mut takes = Zeroizing::new(vec![false; sparse.len() / width]);
        let mut equation = Zeroizing::new(vec![Block::ZERO; dense + width]);
        let mut add = |key: u16, takes: &mut [bool]| {
            let key = usize::from(key);
            keys[key].iter().for_each(|row| takes[usize::from(*row)] ^= true);
            xor(&mut equation[..dense], &gf128::powers(self.hashes[key], dense));
            xor(&mut equation[dense..], self.value(key));
        };
        add(key, &mut takes);
        for [key, pivot] in peeling.order.iter() {
            if takes[usize::from(*pivot)] {
                add(*key, &mut takes);
            }
        }
        for (row, _) in sparse.chunks_exact(width).zip(takes.iter()).filter(|(_, takes)| **takes) {
            xor(&mut equation[dense..], row);
        }
        equation
    }

    /// Pivots in reverse order: each makes its key's three rows add up to the value.
    fn substitute(&self, keys: &[[u16; 3]], order: &Order, sparse: &mut [Block], values: &[Block]) {
        match self.width {
            1 => substitute_blocks(keys, order, sparse, values),
            width => substitute_rows(keys, order, sparse, values, width),
        }
    }
}

fn substitute_blocks(keys: &[[u16; 3]], order: &Order, sparse: &mut [Block], values: &[Block]) {
    for [key, pivot] in order.iter().rev() {
        let [a, b, c] = keys[usize::from(*key)].map(usize::from);
        // The pivot is one of the three, so that its random value cancels.
        let sum = values[usize::from(*key)] ^ sparse[a] ^ sparse[b] ^ sparse[c];
        sparse[usize::from(*pivot)] ^= sum;
    }
}

fn substitute_rows(keys: &[[u16; 3]], order: &Order, sparse: &mut [Block], values: &[Block], width: usize) {
    for [key, pivot] in order.iter().rev() {
        let rows = keys[usize::from(*key)].map(|row| usize::from(row) * width);
        for lane in 0..width {
            let value = values[usize::from(*key) * width + lane];
            let sum = rows.iter().fold(value, |sum, row| sum ^ sparse[row + lane]);
            sparse[usize::from(*pivot) * width + lane] ^= sum;
        }
    }
}

fn xor(sums: &mut [Block], terms: &[Block]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum ^= *term);
}

/// Keys decoded at a time: their hashes, rows and values stay in the first-level cache.
pub(super) const TILE: usize = 256;

/// `out` becomes the values of these hashes in a bin, `width` blocks each.
pub(super) fn decode(shape: &OkvsShape, rows: &[Block], width: usize, hashes: &[Block], out: &mut [Block]) {
    let (sparse, dense) = rows.split_at(shape.sparse * width);
    match width {
        1 => add_rows(shape, sparse, hashes, out),
        width => add_wide_rows(shape, sparse, width, hashes, out),
    }
    add_dense(dense, width, hashes, out);
}

fn add_rows(shape: &OkvsShape, sparse: &[Block], hashes: &[Block], out: &mut [Block]) {
    for (out, hash) in out.iter_mut().zip(hashes) {
        let [a, b, c] = place::rows(*hash, shape.sparse).map(usize::from);
        *out = sparse[a] ^ sparse[b] ^ sparse[c];
    }
}

fn add_wide_rows(shape: &OkvsShape, sparse: &[Block], width: usize, hashes: &[Block], out: &mut [Block]) {
    for (out, hash) in out.chunks_exact_mut(width).zip(hashes) {
        out.fill(Block::ZERO);
        for row in place::rows(*hash, shape.sparse) {
            xor(out, &sparse[usize::from(row) * width..][..width]);
        }
    }
}

/// Adds the dense rows' part to the values of these hashes.
fn add_dense(dense: &[Block], width: usize, hashes: &[Block], values: &mut [Block]) {
    if width == 1 {
        return dense::add_polynomial(dense, hashes, values);
    }
    let mut sums = Zeroizing::new(vec![Block::ZERO; hashes.len()]);
    for lane in 0..width {
        let column: Vec<Block> = dense.iter().skip(lane).step_by(width).copied().collect();
        sums.fill(Block::ZERO);
        dense::add_polynomial(&column, hashes, &mut sums);
        values.iter_mut().skip(lane).step_by(width).zip(sums.iter()).for_each(|(value, sum)| *value ^= *sum);
    }
}
