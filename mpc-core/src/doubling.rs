//! A length-doubling generator from two public permutations, for trees that are expanded level by level.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use crate::block::Block;

/// Parents expanded at a time: their copy and both children stay in the first-level cache.
const TILE: usize = 128;

/// s ↦ (π₀(s) ⊕ s, π₁(s) ⊕ s), with π₀ and π₁ AES-128 under two public keys.
///
/// # Source
/// The Matyas–Meyer–Oseas form of fixed-key AES, as Guo, Katz, Wang, Yu, Efficient and Secure Multiparty Computation from
/// Fixed-Key Block Ciphers, S&P 2020, analyse it: q evaluations of an ideal permutation meet one of n seeds with probability
/// about n·q/2^128.
/// # Deviations
/// The keys are drawn for each batch instead of fixed for all time, so that n counts the seeds of one batch only.
pub struct Doubling {
    left: Aes128Enc,
    right: Aes128Enc,
}

impl Doubling {
    /// From the two public keys.
    pub fn new(left: [u8; 16], right: [u8; 16]) -> Self {
        Self { left: Aes128Enc::new(&Array::from(left)), right: Aes128Enc::new(&Array::from(right)) }
    }

    /// The children of the zero seed. They are public.
    pub fn of_zero(&self) -> [Block; 2] {
        let mut nodes = [Block::default(); 2];
        self.double(&mut nodes);
        nodes
    }

    /// Replaces the first half of `nodes`, the parents, by their left children and the second half by their right
    /// children: child b of parent i ends at i + b·parents. Returns the XOR of all left and of all right children.
    ///
    /// Panics when the length is odd.
    pub fn double(&self, nodes: &mut [Block]) -> [Block; 2] {
        let parents = nodes.len() / 2;
        assert_eq!(nodes.len(), 2 * parents, "each parent has two places");
        let (left, right) = nodes.split_at_mut(parents);
        let mut seeds = [Block::default(); TILE];
        let mut sums = [Block::default(); 2];
        for (left, right) in left.chunks_mut(TILE).zip(right.chunks_mut(TILE)) {
            let seeds = &mut seeds[..left.len()];
            seeds.copy_from_slice(left);
            right.copy_from_slice(left);
            sums[0] ^= permute(&self.left, seeds, left);
            sums[1] ^= permute(&self.right, seeds, right);
        }
        seeds.zeroize();
        sums
    }
}

/// Turns a copy of the seeds into their children and returns the children's XOR.
fn permute(key: &Aes128Enc, seeds: &[Block], children: &mut [Block]) -> Block {
    let bytes: &mut [[u8; 16]] = bytemuck::cast_slice_mut(children);
    key.encrypt_blocks(Array::cast_slice_from_core_mut(bytes));
    let mut sum = Block::default();
    for (child, seed) in children.iter_mut().zip(seeds) {
        *child ^= *seed;
        sum ^= *child;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: [u8; 16], seed: Block) -> Block {
        let mut block = Array::from(bytemuck::cast::<Block, [u8; 16]>(seed));
        Aes128Enc::new(&Array::from(key)).encrypt_block(&mut block);
        Block(u128::from_ne_bytes(block.into())) ^ seed
    }

    #[test]
    fn a_level_is_doubled_as_each_seed_alone_would_be() {
        let keys = [[3; 16], [5; 16]];
        let doubling = Doubling::new(keys[0], keys[1]);
        for parents in [1usize, 2, 127, 128, 129, 300] {
            let seeds: Vec<Block> = (0..parents as u128).map(|i| Block(i * 0x1234_5678_9abc_def1)).collect();
            let mut nodes = seeds.clone();
            nodes.resize(2 * parents, Block::default());
            let sums = doubling.double(&mut nodes);
            for side in 0..2 {
                let naive: Vec<Block> = seeds.iter().map(|seed| one(keys[side], *seed)).collect();
                assert!(nodes[side * parents..][..parents] == naive, "{parents} parents, side {side}");
                assert!(naive.into_iter().fold(Block::default(), |a, b| a ^ b) == sums[side], "sum of side {side}");
            }
        }
        assert!(doubling.of_zero() == keys.map(|key| one(key, Block::default())), "children of zero");
    }
}
