//! A block of 128 bits: a seed, a row of a correlation, a mask.

use std::fmt;
use std::ops::{BitXor, BitXorAssign};

use crate::wire::Wire;

/// 128 bits, the first bit lowest.
#[derive(Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable, zeroize::Zeroize)]
#[repr(transparent)]
pub struct Block(pub u128);

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

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A block may be a seed or a share: its type prints, its value does not.
        f.write_str("Block")
    }
}

impl Wire for Block {
    const TYPE: &'static str = "block";

    fn to_from_le(self) -> Self {
        Self(u128::from_le(self.0))
    }
}
