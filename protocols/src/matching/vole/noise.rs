//! The sender's leaves compressed, and the receiver's noise and its products with Δ side by side.

use mpc_core::Block;
use zeroize::Zeroize;

use super::Received;
use crate::ot::silent::expand_convolute::{Element, ExpandConvolute, Pair, Sweep};
use crate::ot::silent::pprf::Hidden;

/// Begins to compress the noise, which is `values[j]` at the hidden leaf of tree j, to A and `leaves` to C.
pub(super) fn compress_both(
    code: &ExpandConvolute,
    hidden: &Hidden,
    values: &[Block],
    mut leaves: Vec<Block>,
) -> BothShrinking {
    let (trees, n) = (values.len(), leaves.len() / 2);
    let tree_len = leaves.len() / trees;
    // The first half of the trees is the first half of the positions.
    let mut a = vec![Block::ZERO; n];
    for (tree, a) in a.chunks_exact_mut(tree_len).enumerate() {
        hidden.noise(tree, values[tree], a);
    }
    let mut parity = vec![Pair::default(); n];
    let mut noise = vec![Block::ZERO; tree_len];
    let pairs = parity.chunks_exact_mut(tree_len).zip(leaves[n..].chunks_exact_mut(tree_len));
    for (tree, (pairs, leaves)) in (trees / 2..).zip(pairs) {
        hidden.noise(tree, values[tree], &mut noise);
        for (pair, (noise, leaf)) in pairs.iter_mut().zip(noise.iter().zip(leaves.iter())) {
            *pair = Pair([Element(*noise), Element(*leaf)]);
        }
        leaves.zeroize();
    }
    noise.zeroize();
    leaves.truncate(n);
    leaves.shrink_to_fit();
    BothShrinking { sweep: code.sweep(n), parity, received: Received { a, c: leaves } }
}

/// The receiver's two columns on their way. Wiped when dropped.
pub(super) struct BothShrinking {
    sweep: Sweep<Pair>,
    parity: Vec<Pair>,
    received: Received,
}

impl BothShrinking {
    /// The next part. False when nothing is left to do.
    pub(super) fn step(&mut self) -> bool {
        let Received { a, c } = &mut self.received;
        self.sweep.step(&mut self.parity, &mut |at, Pair([noise, leaf])| {
            a[at] ^= noise.0;
            c[at] ^= leaf.0;
        })
    }

    /// The first `n` of both.
    pub(super) fn finish(mut self, n: usize) -> Received {
        let mut received =
            Received { a: std::mem::take(&mut self.received.a), c: std::mem::take(&mut self.received.c) };
        received.a.truncate(n);
        received.c.truncate(n);
        received
    }
}

impl Drop for BothShrinking {
    fn drop(&mut self) {
        self.parity.zeroize();
    }
}

/// The sender's column on its way. Wiped when dropped.
pub(super) struct Shrinking {
    sweep: Sweep<Element>,
    leaves: Vec<Block>,
}

impl Shrinking {
    pub(super) fn new(code: &ExpandConvolute, leaves: Vec<Block>) -> Self {
        Self { sweep: code.sweep(leaves.len() / 2), leaves }
    }

    /// As [`BothShrinking::step`].
    pub(super) fn step(&mut self) -> bool {
        let half = self.leaves.len() / 2;
        let (systematic, parity) = self.leaves.split_at_mut(half);
        let add = &mut |at: usize, Element(sum): Element| systematic[at] ^= sum;
        self.sweep.step(bytemuck::cast_slice_mut(parity), add)
    }

    /// The first `n`.
    pub(super) fn finish(mut self, n: usize) -> Vec<Block> {
        let mut b = std::mem::take(&mut self.leaves);
        // What is cut off are the wiped half and, of what was compressed, a few more than were asked for.
        b.truncate(n);
        b.shrink_to_fit();
        b
    }
}

impl Drop for Shrinking {
    fn drop(&mut self) {
        self.leaves.zeroize();
    }
}
