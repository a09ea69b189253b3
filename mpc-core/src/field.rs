//! The prime field of 2^61 − 1, for linear sketches whose weights must be invertible.

use std::fmt;

use crate::ring::{Ring, column_kernels};

/// 2^61 − 1, a Mersenne prime.
const P: u64 = (1 << 61) - 1;

/// An element of the field of 2^61 − 1, always below the modulus.
#[derive(Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable, zeroize::Zeroize)]
#[repr(transparent)]
pub struct F61(u64);

impl F61 {
    /// Bytes that fit one element whatever they are.
    pub const PAYLOAD_BYTES: usize = 7;
    /// The neutral element of multiplication.
    pub const ONE: F61 = F61(1);

    /// The element of a canonical integer; None at or above the modulus.
    pub fn from_canonical(value: u64) -> Option<Self> {
        (value < P).then_some(Self(value))
    }

    /// The element of any integer, reduced.
    pub fn reduce(value: u64) -> Self {
        let folded = (value & P) + (value >> 61);
        Self(if folded >= P { folded - P } else { folded })
    }

    /// The canonical integer.
    pub fn value(self) -> u64 {
        self.0
    }

    /// Product in the field.
    pub fn times(self, other: Self) -> Self {
        let wide = u128::from(self.0) * u128::from(other.0);
        let low = (wide as u64) & P;
        let high = (wide >> 61) as u64;
        Self::reduce(low + high)
    }

    /// The inverse by Fermat's little theorem; zero maps to zero.
    pub fn invert(self) -> Self {
        let (mut base, mut exponent, mut out) = (self, P - 2, Self::ONE);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = out.times(base);
            }
            base = base.times(base);
            exponent >>= 1;
        }
        out
    }
}

impl fmt::Debug for F61 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("F61")
    }
}

impl Ring for F61 {
    const NAME: &'static str = "F61";

    fn add(self, other: Self) -> Self {
        Self::reduce(self.0 + other.0)
    }

    fn sub(self, other: Self) -> Self {
        Self::reduce(self.0 + P - other.0)
    }

    fn from_uniform(bytes: &[u8]) -> Option<Self> {
        // 61 uniform bits; 2^61 − 1 itself is rejected, so every element is equally likely.
        let bits = u64::from_le_bytes(bytes.try_into().ok()?) >> 3;
        Self::from_canonical(bits)
    }

    column_kernels!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn big(x: F61) -> u128 {
        u128::from(x.value())
    }

    proptest! {
        #[test]
        fn field_operations_agree_with_integers_mod_p(a in 0..P, b in 0..P) {
            let (x, y) = (F61(a), F61(b));
            prop_assert_eq!(big(x.times(y)), u128::from(a) * u128::from(b) % u128::from(P));
            prop_assert_eq!(big(x.add(y)), (u128::from(a) + u128::from(b)) % u128::from(P));
            prop_assert_eq!(x.sub(y).add(y), x);
            prop_assert!(a == 0 || x.times(x.invert()) == F61::ONE);
        }
    }

    #[test]
    fn the_modulus_itself_is_not_an_element() {
        assert_eq!(F61::from_canonical(P), None);
        assert_eq!(F61::from_uniform(&u64::MAX.to_le_bytes()), None);
        assert_eq!(F61::reduce(u64::MAX).value(), u64::MAX % P);
    }
}
