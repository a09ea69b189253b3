//! The receiver's noise and its products with Δ, compressed side by side.

use mpc_core::Block;
use zeroize::Zeroize;

use super::Received;
use crate::ot::silent::expand_convolute::{Element, ExpandConvolute, Pair};
use crate::ot::silent::pprf::Hidden;

/// Compresses the noise, which is `values[j]` at the hidden leaf of tree j, to A and `leaves` to C.
pub(super) fn compress_both(
    code: &ExpandConvolute,
    hidden: &Hidden,
    values: &[Block],
    mut leaves: Vec<Block>,
) -> Received {
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
    let mut c = leaves;
    code.add_parity(&mut parity, |at, Pair([noise, leaf])| {
        a[at] ^= noise.0;
        c[at] ^= leaf.0;
    });
    Received { a, c }
}
