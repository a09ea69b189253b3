//! All-but-one OT of 16 seeds from 4 OTs of two: GGM trees.
//!
//! The sender of the base OTs grows a binary tree; both keys of OT ℓ mask the sums of all left and of all right nodes of
//! level ℓ. The receiver, whose hidden leaf is Δ, chooses the sums that its path to Δ is not in, and so learns every seed but
//! the one at Δ.
//!
//! # Source
//! Goldreich, Goldwasser, Micali 1986, punctured as in Boyle et al., Efficient Two-Round OT Extension and Silent Non-Interactive
//! Secure Computation, CCS'19 (ePrint 2019/1159); as Roy, Crypto'22, uses it, without the check against a malicious sender.
//! # Deviations
//! The base OTs are random, so the keys of the first are the two nodes of level one and nothing is sent for it. The receiver
//! keeps its leaves in the order y = x ⊕ Δ: the hidden one is always leaf 0, so no access to memory depends on Δ.

use mpc_core::block::Block;
use mpc_core::leaves::{LEAF_BITS, LEAVES};
use sha2::{Digest, Sha256};
use subtle::ConditionallySelectable;
use zeroize::{Zeroize, Zeroizing};

/// Blocks of correction for one tree: two for each level but the first.
pub const CORRECTIONS: usize = 2 * (LEAF_BITS - 1);

/// The seeds of a tree's leaves.
pub type Seeds = Zeroizing<[Block; LEAVES]>;

/// Grows the tree of these base OTs' keys, a pair for each of [`LEAF_BITS`] levels, and appends its [`CORRECTIONS`] blocks. Leaf `x`
/// went right at level ℓ where bit ℓ of `x` is set.
pub fn grow(keys: &[[Block; 2]], corrections: &mut Vec<Block>) -> Seeds {
    let mut nodes = Zeroizing::new([Block::ZERO; LEAVES]);
    nodes[..2].copy_from_slice(&keys[0]);
    for (level, keys) in keys.iter().enumerate().skip(1) {
        let width = 1 << level;
        let mut sums = *keys;
        for node in 0..width {
            let [left, right] = children(nodes[node]);
            sums[0] ^= left;
            sums[1] ^= right;
            nodes[node] = left;
            nodes[node + width] = right;
        }
        corrections.extend(sums);
    }
    nodes
}

/// The tree as the receiver sees it whose chosen keys these are: it chose ¬bit ℓ of `delta` in base OT ℓ. Leaf `y` is the
/// sender's leaf `y ⊕ delta`; leaf 0 is unknown and stands as zero. `delta` decides over data only.
pub fn regrow(delta: Block, keys: &[Block], corrections: &[Block]) -> Seeds {
    let mut nodes = Zeroizing::new([Block::ZERO; LEAVES]);
    nodes[1] = keys[0];
    for (level, pair) in (1..LEAF_BITS).zip(corrections.chunks_exact(2)) {
        let (width, right) = (1 << level, delta.bit(level));
        // The sum of all nodes on the side that the hidden path does not take, and what is left of it: the path's sibling.
        let mut sibling = keys[level] ^ Block::conditional_select(&pair[1], &pair[0], right);
        for node in 1..width {
            let [mut here, mut there] = children(nodes[node]);
            Block::conditional_swap(&mut here, &mut there, right);
            sibling ^= there;
            nodes[node] = here;
            nodes[node + width] = there;
        }
        nodes[width] = sibling;
    }
    nodes
}

/// The two children of a node.
fn children(node: Block) -> [Block; 2] {
    let mut bytes = node.to_le_bytes();
    let mut hash: [u8; 32] =
        Sha256::new().chain_update(b"consilium ot tree v1\0").chain_update(bytes).finalize().into();
    let half = |at: usize| Block::from_le_bytes(hash[at..at + 16].try_into().expect("16 of 32 bytes"));
    let children = [half(0), half(16)];
    bytes.zeroize();
    hash.zeroize();
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_learns_every_leaf_but_the_one_it_hides() {
        let keys: [[Block; 2]; LEAF_BITS] = std::array::from_fn(|l| [Block(1000 + l as u128), Block(2000 + l as u128)]);
        let mut corrections = Vec::new();
        let seeds = grow(&keys, &mut corrections);
        assert_eq!(corrections.len(), CORRECTIONS);
        for delta in 0..LEAVES {
            let chosen: Vec<Block> = (0..LEAF_BITS).map(|l| keys[l][1 - (delta >> l & 1)]).collect();
            let seen = regrow(Block(delta as u128), &chosen, &corrections);
            assert!(seen[0] == Block::ZERO, "leaf {delta} is hidden");
            assert!((1..LEAVES).all(|y| seen[y] == seeds[y ^ delta]), "hidden leaf {delta}");
        }
    }
}
