//! The field GF(2^128) of blocks: GF(2)\[x\] modulo x^128 + x^7 + x^2 + x + 1, where bit i of a block is the coefficient of x^i.
//!
//! The polynomial is that of GCM; the order of bits is not (GCM writes x^0 as the highest bit of the first byte). Addition is XOR,
//! one is `Block(1)`.
//!
//! Constant time: work and memory access depend on the lengths of slices only. The portable kernel multiplies words and looks
//! nothing up; that a multiplication of two 64-bit words takes the same time for all of them holds on every processor with a
//! 64-bit multiplier.
//!
//! # Source
//! Gueron, Kounavis, Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode, 2010: product by four
//! carry-less multiplications, then reduction. Portable kernel: integer products of words with holes that take up the carries, as in
//! Pornin, BearSSL, "Constant-Time Crypto". Inverse: Itoh, Tsujii, 1988.
//! # Deviations
//! Holes of five bits instead of four, so that the high half of a product needs no reversal of bits.

use crate::block::Block;
use crate::simd::Clmul;

/// The neutral element of the multiplication.
pub const ONE: Block = Block(1);

/// x^7 + x^2 + x + 1, which is x^128.
pub(crate) const REDUCTION: u128 = 0x87;

/// a·b.
#[inline]
pub fn mul(a: Block, b: Block) -> Block {
    match Clmul::new() {
        Some(kernel) => kernel.mul(a, b),
        None => portable::mul(a, b),
    }
}

/// x·a, where x is the element `Block(2)`.
#[inline(always)]
pub fn times_x(a: Block) -> Block {
    Block(a.0 << 1 ^ REDUCTION & 0u128.wrapping_sub(a.0 >> 127))
}

/// The sum of all x^i·`bits[i]`, for 128 blocks: where bit i of a is c_i and `bits[i]` is c_i·Δ, it is a·Δ.
pub fn compose(bits: &[Block; 128]) -> Block {
    inner_product(&std::array::from_fn::<Block, 128, _>(|i| Block(1 << i)), bits)
}

/// `acc[i] += scalar·xs[i]`. Both slices have the same length.
pub fn mul_add_into(acc: &mut [Block], scalar: Block, xs: &[Block]) {
    assert_eq!(acc.len(), xs.len(), "one sum for each product");
    match Clmul::new() {
        Some(kernel) => kernel.mul_add_into(acc, scalar, xs),
        None => acc.iter_mut().zip(xs).for_each(|(acc, x)| *acc ^= portable::mul(scalar, *x)),
    }
}

/// `xs[i] = scalar·xs[i]`.
pub fn scale(xs: &mut [Block], scalar: Block) {
    match Clmul::new() {
        Some(kernel) => kernel.scale(xs, scalar),
        None => xs.iter_mut().for_each(|x| *x = portable::mul(scalar, *x)),
    }
}

/// `acc[i] += xs[i]·ys[i]`. All slices have the same length.
pub fn mul_each_add_into(acc: &mut [Block], xs: &[Block], ys: &[Block]) {
    assert!(acc.len() == xs.len() && xs.len() == ys.len(), "one sum for each product");
    match Clmul::new() {
        Some(kernel) => kernel.mul_each_add_into(acc, xs, ys),
        None => acc.iter_mut().zip(xs.iter().zip(ys)).for_each(|(acc, (x, y))| *acc ^= portable::mul(*x, *y)),
    }
}

/// The sum of all `xs[i]·ys[i]`. Both slices have the same length.
pub fn inner_product(xs: &[Block], ys: &[Block]) -> Block {
    assert_eq!(xs.len(), ys.len(), "one factor for each");
    match Clmul::new() {
        Some(kernel) => kernel.inner_product(xs, ys),
        None => xs.iter().zip(ys).fold(Block::ZERO, |sum, (x, y)| sum ^ portable::mul(*x, *y)),
    }
}

/// x, x², x³ …: `count` powers.
pub fn powers(x: Block, count: usize) -> Vec<Block> {
    let mut out = Vec::with_capacity(count);
    let mut power = ONE;
    for _ in 0..count {
        power = mul(power, x);
        out.push(power);
    }
    out
}

/// 1/x, and zero for zero: x^(2^128 − 2). 127 squarings and 12 products.
pub fn invert(x: Block) -> Block {
    // x^(2^width − 1), for widths 1, 3, 7 … 127.
    let (mut power, mut width) = (x, 1);
    while width < 127 {
        power = mul(squared(power, width), power);
        power = mul(squared(power, 1), x);
        width = 2 * width + 1;
    }
    squared(power, 1)
}

/// x^(2^times).
fn squared(x: Block, times: usize) -> Block {
    (0..times).fold(x, |x, _| mul(x, x))
}

/// The twin for processors without carry-less multiplication.
mod portable {
    use super::{Block, REDUCTION};

    pub(super) fn mul(a: Block, b: Block) -> Block {
        let [a0, a1] = halves(a.0);
        let [b0, b1] = halves(b.0);
        // Karatsuba: three products of halves instead of four.
        let (low, high) = (carry_less(a0, b0), carry_less(a1, b1));
        let middle = carry_less(a0 ^ a1, b0 ^ b1) ^ low ^ high;
        reduce(low ^ middle << 64, high ^ middle >> 64)
    }

    fn halves(x: u128) -> [u64; 2] {
        [x as u64, (x >> 64) as u64]
    }

    /// Every fifth bit.
    const FIFTH: u128 = {
        let (mut mask, mut bit) = (0u128, 0);
        while bit < 128 {
            mask |= 1 << bit;
            bit += 5;
        }
        mask
    };

    /// The bits whose position is `class` modulo 5. Of a word there are at most 13 of them, so that the sums in an integer product of
    /// two such words stay below 32 and carry into the holes only.
    fn class(x: u128, class: usize) -> u128 {
        x & FIFTH << class
    }

    fn carry_less(a: u64, b: u64) -> u128 {
        let mut product = 0;
        for i in 0..5 {
            for j in 0..5 {
                let sums = class(a.into(), i) * class(b.into(), j);
                product ^= class(sums, (i + j) % 5);
            }
        }
        product
    }

    /// low + x^128·high.
    fn reduce(low: u128, high: u128) -> Block {
        // What x^128·high overflows by has seven bits.
        let over = high >> 127 ^ high >> 126 ^ high >> 121;
        Block(low ^ times_reduction(high) ^ times_reduction(over))
    }

    /// x·(x^7 + x^2 + x + 1), cut to 128 bits.
    fn times_reduction(x: u128) -> u128 {
        const _: () = assert!(REDUCTION == 1 << 7 | 1 << 2 | 1 << 1 | 1);
        x ^ x << 1 ^ x << 2 ^ x << 7
    }
}

#[cfg(test)]
mod tests;
