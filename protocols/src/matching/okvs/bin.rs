//! One bin: its system of equations solved, and its rows added up.

use mpc_core::{Block, gf128};
use zeroize::Zeroizing;

use super::dense::{self, Equation};
use super::peel::{Peeling, peel};
use super::place;
use crate::parameters::okvs::OkvsShape;

/// Solves a bin in place: `rows`, which are random, keep their values where no key determines them. `values` has `width` blocks for
/// each hash. None when the gap is larger than the dense rows, or its equations dependent.
pub(super) fn encode(
    shape: &OkvsShape,
    hashes: &[Block],
    mut values: Zeroizing<Vec<Block>>,
    width: usize,
    rows: &mut [Block],
) -> Option<()> {
    // Numbers of keys and rows have sixteen bits.
    u16::try_from(hashes.len()).ok()?;
    let keys: Zeroizing<Vec<_>> = Zeroizing::new(hashes.iter().map(|hash| place::rows(*hash, shape.sparse)).collect());
    let peeling = peel(&keys, shape.sparse, shape.dense)?;
    let (sparse, dense) = rows.split_at_mut(shape.sparse * width);
    let bin = Bin { hashes, keys: &keys, width, peeling };
    dense::solve(bin.gap_equations(sparse, &values, shape.dense), dense, width)?;
    add_dense(dense, width, hashes, &mut values);
    bin.substitute(sparse, &values);
    Some(())
}

struct Bin<'a> {
    hashes: &'a [Block],
    keys: &'a [[u16; 3]],
    width: usize,
    peeling: Peeling,
}

impl Bin<'_> {
    fn gap_equations(&self, sparse: &[Block], values: &[Block], dense: usize) -> Vec<Equation> {
        self.peeling.gap.iter().map(|key| self.gap_equation(*key, sparse, values, dense)).collect()
    }

    /// The equation of a key of the gap after its pivot rows are replaced by what their keys' equations say of them. A pivot's
    /// equation has other rows that are free or pivots of later keys: one pass in peeling order replaces them all.
    fn gap_equation(&self, key: u16, sparse: &[Block], values: &[Block], dense: usize) -> Equation {
        let width = self.width;
        let mut takes = Zeroizing::new(vec![false; sparse.len() / width]);
        let mut equation = Zeroizing::new(vec![Block::ZERO; dense + width]);
        let mut add = |key: u16, takes: &mut [bool]| {
            let key = usize::from(key);
            self.keys[key].iter().for_each(|row| takes[usize::from(*row)] ^= true);
            xor(&mut equation[..dense], &gf128::powers(self.hashes[key], dense));
            xor(&mut equation[dense..], &values[key * width..][..width]);
        };
        add(key, &mut takes);
        for [key, pivot] in self.peeling.order.iter() {
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
    fn substitute(&self, sparse: &mut [Block], values: &[Block]) {
        match self.width {
            1 => self.substitute_blocks(sparse, values),
            width => self.substitute_rows(sparse, values, width),
        }
    }

    fn substitute_blocks(&self, sparse: &mut [Block], values: &[Block]) {
        for [key, pivot] in self.peeling.order.iter().rev() {
            let [a, b, c] = self.keys[usize::from(*key)].map(usize::from);
            // The pivot is one of the three, so that its random value cancels.
            let sum = values[usize::from(*key)] ^ sparse[a] ^ sparse[b] ^ sparse[c];
            sparse[usize::from(*pivot)] ^= sum;
        }
    }

    fn substitute_rows(&self, sparse: &mut [Block], values: &[Block], width: usize) {
        for [key, pivot] in self.peeling.order.iter().rev() {
            let rows = self.keys[usize::from(*key)].map(|row| usize::from(row) * width);
            for lane in 0..width {
                let value = values[usize::from(*key) * width + lane];
                let sum = rows.iter().fold(value, |sum, row| sum ^ sparse[row + lane]);
                sparse[usize::from(*pivot) * width + lane] ^= sum;
            }
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
