//! 128-bit blocks and the turn of 128 bit-planes into blocks.

use std::fmt;
use std::ops::{BitAnd, BitXor, BitXorAssign};

use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

use crate::simd::widest;
use crate::wire::Wire;

/// 128 bits: an OT mask, a seed or a row of a bit matrix. It does not print.
#[derive(Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Block(pub u128);

impl Block {
    /// All bits zero.
    pub const ZERO: Block = Block(0);

    /// From 16 bytes, little end first.
    pub fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// The 16 bytes, little end first.
    pub fn to_le_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// Bit `index` (0 to 127) as a choice that must not be branched on.
    pub fn bit(self, index: usize) -> Choice {
        Choice::from((self.0 >> index) as u8 & 1)
    }
}

impl zeroize::DefaultIsZeroes for Block {}

impl BitXor for Block {
    type Output = Self;

    #[inline]
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for Block {
    #[inline]
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl BitAnd for Block {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl ConditionallySelectable for Block {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(u128::conditional_select(&a.0, &b.0, choice))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Block")
    }
}

impl Wire for Block {
    const TYPE: &'static str = "block";

    fn to_from_le(self) -> Self {
        Self(u128::from_le(self.0))
    }
}

/// Words of one plane of a [`Planes`]: 8192 bits, so that the 128 planes (128 KiB) and their rows stay in the second-level
/// cache.
pub const TILE_WORDS: usize = 128;

/// Bits of one plane, 64 per word, little end first.
pub type Tile = [u64; TILE_WORDS];

/// 128 bit-planes of a tile.
#[derive(Clone)]
#[repr(align(64))]
pub struct Planes(pub [Tile; 128]);

impl Default for Planes {
    fn default() -> Self {
        Self([[0; TILE_WORDS]; 128])
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// Words turned together: as many as the widest vector register holds.
const LANES: usize = 8;

/// One word of each of `LANES` columns.
type Lane = [u64; LANES];

/// `rows[i]` becomes bit `i` of each of the 128 planes; plane `p` gives bit `p`. `rows.len()` is a multiple of 64, at most
/// 64·[`TILE_WORDS`]. Time and memory access depend on the length only.
pub fn transpose_128(planes: &Planes, rows: &mut [Block]) {
    assert!(rows.len() <= 64 * TILE_WORDS && rows.len().is_multiple_of(64), "a tile has whole words");
    widest(
        #[inline(always)]
        || transpose_tile(&planes.0, rows),
    );
}

#[inline(always)]
fn transpose_tile(planes: &[Tile; 128], rows: &mut [Block]) {
    let mut squares = Squares([[[0; LANES]; 64]; 2]);
    for (part, rows) in rows.chunks_mut(64 * LANES).enumerate() {
        for (half, square) in squares.0.iter_mut().enumerate() {
            load(planes, half, part * LANES, square);
            transpose_64(square);
        }
        store(&squares, rows);
    }
    squares.0.as_flattened_mut().as_flattened_mut().zeroize();
}

/// The low and the high halves of 512 rows.
#[repr(align(64))]
struct Squares([[Lane; 64]; 2]);

#[inline(always)]
fn load(planes: &[Tile; 128], half: usize, word: usize, square: &mut [Lane; 64]) {
    for (lane, plane) in square.iter_mut().zip(&planes[64 * half..64 * half + 64]) {
        lane.copy_from_slice(&plane[word..word + LANES]);
    }
}

#[inline(always)]
fn store(squares: &Squares, rows: &mut [Block]) {
    for (word, rows) in rows.chunks_exact_mut(64).enumerate() {
        for (row, (low, high)) in rows.iter_mut().zip(squares.0[0].iter().zip(&squares.0[1])) {
            *row = Block(u128::from(low[word]) | u128::from(high[word]) << 64);
        }
    }
}

/// Transposes `LANES` 64×64 bit matrices side by side: row r, bit c becomes row c, bit r. Warren, Hacker's Delight, §7-3,
/// three of the six exchanges at a time on eight rows, so that they happen in registers.
#[inline(always)]
fn transpose_64(square: &mut [Lane; 64]) {
    for first in 0..8 {
        exchange_thrice::<8>(square, first, [32, 16, 8]);
    }
    for first in 0..8 {
        exchange_thrice::<1>(square, 8 * first, [4, 2, 1]);
    }
}

/// Exchanges between the eight rows `first + STRIDE·i`: those 4, 2 and 1 apart (in `i`), with these shifts.
#[inline(always)]
fn exchange_thrice<const STRIDE: usize>(square: &mut [Lane; 64], first: usize, shifts: [u32; 3]) {
    let mut rows = [[0; LANES]; 8];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = square[first + STRIDE * i];
    }
    for i in [0, 1, 2, 3] {
        exchange(&mut rows, i, i + 4, shifts[0]);
    }
    for i in [0, 1, 4, 5] {
        exchange(&mut rows, i, i + 2, shifts[1]);
    }
    for i in [0, 2, 4, 6] {
        exchange(&mut rows, i, i + 1, shifts[2]);
    }
    for (i, row) in rows.into_iter().enumerate() {
        square[first + STRIDE * i] = row;
    }
}

#[inline(always)]
fn exchange(rows: &mut [Lane; 8], low: usize, high: usize, shift: u32) {
    let mask = u64::MAX / ((1 << shift) + 1);
    let [low, high] = rows.get_disjoint_mut([low, high]).expect("two of eight rows");
    for (low, high) in low.iter_mut().zip(high) {
        let swap = ((*low >> shift) ^ *high) & mask;
        *low ^= swap << shift;
        *high ^= swap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Domain, PrivateSeed};
    use crate::step::StepPath;

    const SEED: u8 = 5;

    #[test]
    fn rows_have_the_bits_of_the_planes_at_every_length() {
        println!("seed {SEED}");
        let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
        let mut planes = Box::new(Planes::default());
        prg.fill(bytemuck::cast_slice_mut(planes.0.as_flattened_mut()));
        for words in [0, 1, 7, 8, 9, TILE_WORDS] {
            let mut rows = vec![Block::ZERO; 64 * words];
            transpose_128(&planes, &mut rows);
            for (i, row) in rows.iter().enumerate() {
                let bit = |p: usize| u128::from(planes.0[p][i / 64] >> (i % 64) & 1) << p;
                assert_eq!(row.0, (0..128).map(bit).sum::<u128>(), "row {i} of {words} words");
            }
        }
    }

    #[test]
    fn a_block_prints_its_type_only() {
        assert_eq!(format!("{:?}", Block(77)), "Block");
    }

    #[test]
    fn a_block_is_little_endian_on_the_wire() {
        assert_eq!(crate::wire::encode(&[Block(0x0102)])[..3], [2, 1, 0]);
    }
}
