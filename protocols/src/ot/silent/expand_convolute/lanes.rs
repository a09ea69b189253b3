//! What the code compresses.

use bytemuck::{Pod, Zeroable};
use mpc_core::Block;
use zeroize::DefaultIsZeroes;

/// Values that the code's public matrix adds up. A pair is two of them that share the reading of the matrix.
pub trait Lanes: DefaultIsZeroes {
    /// The sum.
    fn plus(self, other: Self) -> Self;

    /// Itself where all bits of the mask are set, zero where none is.
    fn masked(self, mask: u64) -> Self;

    /// The product with the code's constant θ.
    fn times_theta(self) -> Self;
}

/// 128 bits that are compressed alike: the matrix is binary.
impl Lanes for Block {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn masked(self, mask: u64) -> Self {
        Block(self.0 & (u128::from(mask) << 64 | u128::from(mask)))
    }

    #[inline(always)]
    fn times_theta(self) -> Self {
        self
    }
}

/// An element of GF(2^128), see [`mpc_core::gf128`]. Its θ is x.
///
/// Noise with values in GF(2^128) must not meet a binary matrix: to it the values are 128 rows of bits that are noisy at the same t
/// positions. If J is any set of n + 127 positions with fewer than 128 noisy ones, and with t = 256 every second set is one, then some
/// sum of the rows is zero on J, and the only word with that property among those whose syndrome is a sum of the 128 known ones
/// shows most noisy positions: one system of linear equations. (Metzner, Kapturowski, 1990, on codes whose words have errors at the
/// same positions.) x lies in no smaller field, so a convolution that multiplies by it mixes the rows.
#[derive(Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Element(pub Block);

impl DefaultIsZeroes for Element {}

impl Lanes for Element {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Element(self.0 ^ other.0)
    }

    #[inline(always)]
    fn masked(self, mask: u64) -> Self {
        Element(self.0.masked(mask))
    }

    #[inline(always)]
    fn times_theta(self) -> Self {
        Element(mpc_core::gf128::times_x(self.0))
    }
}

/// Two elements side by side, in one line of the cache.
#[derive(Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(32))]
pub struct Pair(pub [Element; 2]);

impl DefaultIsZeroes for Pair {}

impl Lanes for Pair {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Pair([a.plus(c), b.plus(d)])
    }

    #[inline(always)]
    fn masked(self, mask: u64) -> Self {
        Pair(self.0.map(|element| element.masked(mask)))
    }

    #[inline(always)]
    fn times_theta(self) -> Self {
        Pair(self.0.map(Element::times_theta))
    }
}
