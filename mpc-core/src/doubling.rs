//! A length-doubling generator from two public permutations, for trees that are expanded level by level.

use aes::Aes128Enc;
use aes::cipher::{Array, KeyInit};
use zeroize::Zeroize;

use crate::block::Block;
use crate::hash::encrypt;
use crate::simd::WideAes;

/// Parents expanded at a time: their copy and both children stay in the first-level cache.
const TILE: usize = 256;

/// s ↦ (π₀(s) ⊕ s, π₁(s) ⊕ s), with π₀ and π₁ AES-128 under two public keys.
///
/// # Source
/// The Matyas–Meyer–Oseas form of fixed-key AES, as Guo, Katz, Wang, Yu, Efficient and Secure Multiparty Computation from
/// Fixed-Key Block Ciphers, S&P 2020, analyse it: q evaluations of an ideal permutation meet one of n seeds with probability
/// about n·q/2^128.
/// # Deviations
/// The keys are drawn for each batch instead of fixed for all time, so that n counts the seeds of one batch only.
pub struct Doubling {
    left: Permutation,
    right: Permutation,
}

impl Doubling {
    /// From the two public keys.
    pub fn new(left: [u8; 16], right: [u8; 16]) -> Self {
        Self { left: Permutation::new(left), right: Permutation::new(right) }
    }

    /// The children of the zero seed. They are public.
    pub fn of_zero(&self) -> [Block; 2] {
        let mut nodes = [Block::ZERO; 2];
        self.double(&mut nodes, 1);
        nodes
    }

    /// Replaces the first `parents` of `nodes` by their left children and the places behind them by right children: child b of
    /// parent i ends at i + b·parents. Where there are fewer places than children, the last parents have left children only.
    /// Returns the XOR of all left and of all right children.
    ///
    /// Panics when there are more than two places for each parent, or none for one.
    pub fn double(&self, nodes: &mut [Block], parents: usize) -> [Block; 2] {
        assert!((parents..=2 * parents).contains(&nodes.len()), "each parent has one or two places");
        let (left, right) = nodes.split_at_mut(parents);
        let mut right = right.chunks_mut(TILE);
        let mut sums = [Block::ZERO; 2];
        for left in left.chunks_mut(TILE) {
            if let Some(right) = right.next() {
                right.copy_from_slice(&left[..right.len()]);
                sums[1] ^= self.right.children(right);
            }
            sums[0] ^= self.left.children(left);
        }
        sums
    }
}

enum Permutation {
    Wide(WideAes),
    Portable(Aes128Enc),
}

impl Permutation {
    fn new(key: [u8; 16]) -> Self {
        let wide = WideAes::new(Block::from_le_bytes(key));
        wide.map_or_else(|| Self::portable(key), Self::Wide)
    }

    fn portable(key: [u8; 16]) -> Self {
        Self::Portable(Aes128Enc::new(&Array::from(key)))
    }

    /// Replaces at most [`TILE`] seeds by their children on this side and returns the children's XOR.
    fn children(&self, seeds: &mut [Block]) -> Block {
        match self {
            Self::Wide(cipher) => cipher.mmo(seeds),
            Self::Portable(cipher) => mmo(cipher, seeds),
        }
    }
}

fn mmo(cipher: &Aes128Enc, blocks: &mut [Block]) -> Block {
    let mut seeds = [Block::ZERO; TILE];
    let seeds = &mut seeds[..blocks.len()];
    seeds.copy_from_slice(blocks);
    encrypt(cipher, blocks);
    let mut sum = Block::ZERO;
    for (child, seed) in blocks.iter_mut().zip(seeds.iter()) {
        *child ^= *seed;
        sum ^= *child;
    }
    seeds.zeroize();
    sum
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockCipherEncrypt;

    use super::*;

    fn one(key: [u8; 16], seed: Block) -> Block {
        let mut block = Array::from(seed.to_le_bytes());
        Aes128Enc::new(&Array::from(key)).encrypt_block(&mut block);
        Block::from_le_bytes(block.into()) ^ seed
    }

    #[test]
    fn every_kernel_doubles_a_level_as_each_seed_alone_would_be() {
        let keys = [[3; 16], [5; 16]];
        let portable = Doubling { left: Permutation::portable(keys[0]), right: Permutation::portable(keys[1]) };
        let best = Doubling::new(keys[0], keys[1]);
        println!("wide kernel: {}", matches!(best.left, Permutation::Wide(_)));
        for doubling in [portable, best] {
            for parents in [1usize, 2, 31, 32, 33, 255, 256, 257, 700] {
                for right in [0, 1, parents / 2, parents - 1, parents] {
                    let seeds: Vec<Block> = (0..parents as u128).map(|i| Block(i * 0x1234_5678_9abc_def1)).collect();
                    let mut nodes = seeds.clone();
                    nodes.resize(parents + right, Block::ZERO);
                    let sums = doubling.double(&mut nodes, parents);
                    for (side, count) in [parents, right].into_iter().enumerate() {
                        let naive: Vec<Block> = seeds[..count].iter().map(|seed| one(keys[side], *seed)).collect();
                        assert!(nodes[side * parents..][..count] == naive, "{parents} parents, {count} on side {side}");
                        assert!(naive.into_iter().fold(Block::ZERO, |a, b| a ^ b) == sums[side], "sum of side {side}");
                    }
                }
            }
            assert!(doubling.of_zero() == keys.map(|key| one(key, Block::ZERO)), "children of zero");
        }
    }
}
