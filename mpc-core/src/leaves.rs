//! The streams of a group of seeds and their folds: what small-field VOLE costs.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use crate::block::{Block, TILE_WORDS, Tile};
use crate::simd::WideAes;

/// Index bits of a leaf: groups have 2^4 leaves. Each OT costs 128/4 bits on the wire and 128/4 · 2^4 bits of stream.
pub const LEAF_BITS: usize = 4;

/// Leaves of a group.
pub const LEAVES: usize = 1 << LEAF_BITS;

/// Cipher blocks of a tile of one stream.
pub const TILE_BLOCKS: usize = TILE_WORDS / 2;

/// AES-128 in counter mode under each of 16 seeds.
pub struct Leaves {
    ciphers: [Cipher; LEAVES],
}

enum Cipher {
    Wide(WideAes),
    Portable(Aes128Enc),
}

/// Where the streams of one group are written; wiped when dropped.
#[repr(align(64))]
pub struct Streams {
    tiles: [[Block; TILE_BLOCKS]; LEAVES],
    first: u64,
    blocks: usize,
}

impl Streams {
    /// On the heap: 16 KiB.
    pub fn new() -> Box<Self> {
        Box::new(Self { tiles: [[Block::ZERO; TILE_BLOCKS]; LEAVES], first: 0, blocks: 0 })
    }

    /// The next tile starts at this block of every stream and has so many blocks, at most [`TILE_BLOCKS`].
    pub fn seek(&mut self, first: u64, blocks: usize) {
        assert!(blocks <= TILE_BLOCKS, "a tile has {TILE_BLOCKS} blocks");
        (self.first, self.blocks) = (first, blocks);
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
        let cipher = |seed| WideAes::new(seed).map_or_else(|| Cipher::portable(seed), Cipher::Wide);
        Self { ciphers: seeds.map(cipher) }
    }

    /// `sum` = Σ stream_x and `planes[j]` = Σ stream_x over the x with bit j set, in GF(2), for the tile that `streams`
    /// stands at. Time and memory access depend on the number of blocks only.
    pub fn fold(&self, streams: &mut Streams, sum: &mut Tile, planes: &mut [Tile; LEAF_BITS]) {
        for (cipher, tile) in self.ciphers.iter().zip(&mut streams.tiles) {
            cipher.stream(streams.first, &mut tile[..streams.blocks]);
        }
        if cfg!(target_endian = "big") {
            // The low word of a block goes first, as it does in the memory of other machines.
            streams.tiles.as_flattened_mut().iter_mut().for_each(|block| block.0 = block.0.rotate_left(64));
        }
        let tiles: &[Tile; LEAVES] = bytemuck::cast_ref(&streams.tiles);
        fold_tiles(tiles, 2 * streams.blocks, sum, planes);
    }
}

impl Cipher {
    fn portable(seed: Block) -> Self {
        Cipher::Portable(Aes128Enc::new(&Array::from(seed.to_le_bytes())))
    }

    /// `out[i]` is the encryption of `first + i`.
    fn stream(&self, first: u64, out: &mut [Block]) {
        match self {
            Cipher::Wide(cipher) => cipher.stream(first, out),
            Cipher::Portable(cipher) => {
                out.iter_mut().zip(first..).for_each(|(block, i)| *block = Block(u128::from(i).to_le()));
                let bytes = bytemuck::cast_slice_mut::<Block, [u8; 16]>(out);
                cipher.encrypt_blocks(Array::cast_slice_from_core_mut(bytes));
                out.iter_mut().for_each(|block| block.0 = u128::from_le(block.0));
            }
        }
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
        std::array::from_fn(|x| Block(SEED << 64 | x as u128))
    }

    /// The leaves with each kernel that this processor has.
    fn kernels() -> Vec<Leaves> {
        let wide = WideAes::new(Block::ZERO).is_some();
        println!("seed {SEED}, wide kernel: {wide}");
        let portable = Leaves { ciphers: seeds().map(Cipher::portable) };
        [Some(portable), wide.then(|| Leaves::new(&seeds()))].into_iter().flatten().collect()
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
    fn folds_of_every_kernel_are_the_sums_of_the_streams() {
        let mut streams = Streams::new();
        let tiles = [(0, TILE_BLOCKS), (64, 1), (1 << 40, 33), (u64::from(u32::MAX), 17)];
        for (leaves, (first, blocks)) in kernels().iter().flat_map(|leaves| tiles.map(|tile| (leaves, tile))) {
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
