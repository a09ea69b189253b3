//! The streams of a group of seeds and their folds: what small-field VOLE costs.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use crate::block::{Block, TILE_WORDS, Tile};

/// Index bits of a leaf: groups have 2^4 leaves. Each OT costs 128/4 bits on the wire and 128/4 · 2^4 bits of stream.
pub const LEAF_BITS: usize = 4;

/// Leaves of a group.
pub const LEAVES: usize = 1 << LEAF_BITS;

/// Cipher blocks of a tile of one stream.
pub const TILE_BLOCKS: usize = TILE_WORDS / 2;

/// AES-128 in counter mode under each of 16 seeds.
pub struct Leaves {
    ciphers: [Aes128Enc; LEAVES],
}

/// Where the streams of one group are written; wiped when dropped.
pub struct Streams {
    counters: [[u8; 16]; TILE_BLOCKS],
    blocks: usize,
    tiles: [Tile; LEAVES],
}

impl Streams {
    /// On the heap: 17 KiB.
    pub fn new() -> Box<Self> {
        Box::new(Self { counters: [[0; 16]; TILE_BLOCKS], blocks: 0, tiles: [[0; TILE_WORDS]; LEAVES] })
    }

    /// The next tile starts at this block of every stream and has so many blocks, at most [`TILE_BLOCKS`].
    pub fn seek(&mut self, first: u64, blocks: usize) {
        assert!(blocks <= TILE_BLOCKS, "a tile has {TILE_BLOCKS} blocks");
        self.blocks = blocks;
        for (counter, value) in self.counters.iter_mut().zip(u128::from(first)..) {
            *counter = value.to_le_bytes();
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.tiles.as_flattened_mut().zeroize();
    }
}

impl Leaves {
    /// From the seed of each leaf.
    pub fn new(seeds: &[Block; LEAVES]) -> Self {
        Self { ciphers: std::array::from_fn(|x| Aes128Enc::new(&Array::from(seeds[x].to_le_bytes()))) }
    }

    /// `sum` = Σ stream_x and `planes[j]` = Σ stream_x over the x with bit j set, in GF(2), for the tile that `streams`
    /// stands at. Time and memory access depend on the number of blocks only.
    pub fn fold(&self, streams: &mut Streams, sum: &mut Tile, planes: &mut [Tile; LEAF_BITS]) {
        let counters = Array::cast_slice_from_core(&streams.counters[..streams.blocks]);
        for (cipher, tile) in self.ciphers.iter().zip(&mut streams.tiles) {
            let bytes = bytemuck::cast_slice_mut::<u64, [u8; 16]>(&mut tile[..2 * streams.blocks]);
            cipher.encrypt_blocks_b2b(counters, Array::cast_slice_from_core_mut(bytes)).expect("equal lengths");
        }
        if cfg!(target_endian = "big") {
            streams.tiles.as_flattened_mut().iter_mut().for_each(|word| *word = word.swap_bytes());
        }
        fold_tiles(&streams.tiles, 2 * streams.blocks, sum, planes);
    }
}

/// Pairs of leaves are added up bit by bit: 26 additions instead of the 48 of five separate sums.
fn fold_tiles(tiles: &[Tile; LEAVES], words: usize, sum: &mut Tile, planes: &mut [Tile; LEAF_BITS]) {
    for w in 0..words.min(TILE_WORDS) {
        let mut level: [u64; LEAVES] = std::array::from_fn(|x| tiles[x][w]);
        let mut left = LEAVES;
        for plane in planes.iter_mut() {
            let mut odd = 0;
            for pair in 0..left / 2 {
                odd ^= level[2 * pair + 1];
                level[pair] = level[2 * pair] ^ level[2 * pair + 1];
            }
            plane[w] = odd;
            left /= 2;
        }
        sum[w] = level[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u128 = 7;

    fn seeds() -> [Block; LEAVES] {
        println!("seed {SEED}");
        std::array::from_fn(|x| Block(SEED << 64 | x as u128))
    }

    fn stream(seed: Block, first: u64, blocks: usize) -> Vec<u64> {
        let cipher = Aes128Enc::new(&Array::from(seed.to_le_bytes()));
        let block = |i: u64| {
            let mut block = Array::from(u128::from(first + i).to_le_bytes());
            cipher.encrypt_block(&mut block);
            let value = Block::from_le_bytes(block.into()).0;
            [value as u64, (value >> 64) as u64]
        };
        (0..blocks as u64).flat_map(block).collect()
    }

    #[test]
    fn folds_are_the_sums_of_the_streams() {
        let leaves = Leaves::new(&seeds());
        let mut streams = Streams::new();
        for (first, blocks) in [(0, TILE_BLOCKS), (64, 1), (1 << 40, 33)] {
            let (mut sum, mut planes) = ([0; TILE_WORDS], [[0; TILE_WORDS]; LEAF_BITS]);
            streams.seek(first, blocks);
            leaves.fold(&mut streams, &mut sum, &mut planes);
            let all: Vec<Vec<u64>> = seeds().iter().map(|s| stream(*s, first, blocks)).collect();
            let add = |keep: &dyn Fn(usize) -> bool, w: usize| {
                (0..LEAVES).filter(|x| keep(*x)).fold(0, |word, x| word ^ all[x][w])
            };
            for w in 0..2 * blocks {
                assert_eq!(sum[w], add(&|_| true, w));
                for (j, plane) in planes.iter().enumerate() {
                    assert_eq!(plane[w], add(&|x| x >> j & 1 == 1, w), "word {w} of plane {j}");
                }
            }
        }
    }
}
