//! Integers mod 2^64 and 2^128. Wrapping is a property of these types; a plain `u64` is a count.

use std::fmt;

use crate::block::Block;
use crate::wire::Wire;

/// An additive group a column can be shared in.
pub trait Ring: Wire + Default + PartialEq {
    /// Short name for plans and benchmarks.
    const NAME: &'static str;
    /// Addition in the group.
    fn add(self, other: Self) -> Self;
    /// Subtraction in the group.
    fn sub(self, other: Self) -> Self;
    /// An element from `Self::BYTES` uniform bytes, or None to reject them and draw again.
    fn from_uniform(bytes: &[u8]) -> Option<Self>;

    // Kernels over whole columns are methods of the type, so that they are compiled here, optimised in every profile.

    /// `acc[i] += values[i]`
    fn add_columns(acc: &mut [Self], values: &[Self]);

    /// Appends `values[i] − masks[i]` to `out`.
    fn append_masked(out: &mut Vec<Self>, values: &[Self], masks: &[Self]);

    /// Overwrites a column that was secret.
    fn wipe(column: &mut [Self]);

    /// `acc[i] ±= mask[i]` with the elements that `bytes` encode; a rejected one is drawn from `again`.
    fn mask_column(acc: &mut [Self], bytes: &[u8], sign: Sign, again: &mut dyn FnMut() -> Self);
}

/// Integers mod 2^BITS: the rings that can be multiplied in and that comparisons and selections work on.
pub trait PowerOfTwo: Ring {
    /// Width.
    const BITS: usize;
    /// Multiplication in the ring.
    fn mul(self, other: Self) -> Self;
    /// The number 2^bit; 0 from `BITS` on.
    fn power(bit: usize) -> Self;
    /// The low bits of a number.
    fn from_low(value: u128) -> Self;
    /// The number from 0 to 2^BITS − 1.
    fn to_low(self) -> u128;

    /// This party's part of x·y from a triple (a, b, c = a·b) and the opened d = x − a and e = y − b, in place of c:
    /// c + d·b + e·a, and d·e at the one party that adds it (Beaver, Crypto'91).
    fn beaver_mul(c: &mut [Self], a: &[Self], b: &[Self], opened: (&[Self], &[Self]), adds_product: bool);

    /// The offering side of products of a bit, a value and 2^plane, one correlated OT each: takes `zero·2^plane` off `acc` and
    /// writes the low `bytes` bytes of `zero − one + value` to `message`, which is 16 bytes longer than it need be.
    fn offer_plane(
        plane: usize,
        masks: (&[Block], &[Block]),
        values: &[Self],
        acc: &mut [Self],
        bytes: usize,
        message: &mut [u8],
    );

    /// The choosing side: adds `(mask + choice·correction)·2^plane` to `acc`. Corrections are `bytes` bytes each, and `message`
    /// is 16 bytes longer than they are; `choices` has 64 bits to a word.
    fn take_plane(plane: usize, masks: &[Block], choices: &[u64], bytes: usize, message: &[u8], acc: &mut [Self]);
}

/// Whether a mask is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Taken away.
    Minus,
}

/// The column kernels of a ring, from its element operations.
macro_rules! column_kernels {
    () => {
        fn add_columns(acc: &mut [Self], values: &[Self]) {
            acc.iter_mut().zip(values).for_each(|(a, v)| *a = a.add(*v));
        }

        fn append_masked(out: &mut Vec<Self>, values: &[Self], masks: &[Self]) {
            out.extend(values.iter().zip(masks).map(|(x, m)| x.sub(*m)));
        }

        fn wipe(column: &mut [Self]) {
            zeroize::Zeroize::zeroize(&mut column.iter_mut());
        }

        fn mask_column(acc: &mut [Self], bytes: &[u8], sign: $crate::ring::Sign, again: &mut dyn FnMut() -> Self) {
            let masks = bytes.chunks_exact(<Self as $crate::wire::Wire>::BYTES);
            let masks = masks.map(|bytes| Self::from_uniform(bytes).unwrap_or_else(|| again()));
            match sign {
                $crate::ring::Sign::Plus => acc.iter_mut().zip(masks).for_each(|(a, m)| *a = a.add(m)),
                $crate::ring::Sign::Minus => acc.iter_mut().zip(masks).for_each(|(a, m)| *a = a.sub(m)),
            }
        }
    };
}
pub(crate) use column_kernels;

/// Every bit as 0 or −1. The compiler must not know that there is nothing else: where it does, it makes a branch of each choice.
fn spread_choices(word: u64, spread: &mut [i64; 64]) -> &[i64; 64] {
    spread.iter_mut().enumerate().for_each(|(bit, chosen)| *chosen = -((word >> bit & 1) as i64));
    std::hint::black_box(spread)
}

macro_rules! ring {
    ($name:ident, $unsigned:ty, $signed:ty, $text:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable, zeroize::Zeroize)]
        #[repr(transparent)]
        pub struct $name(pub $unsigned);

        impl $name {
            /// The element a signed integer stands for.
            pub fn from_signed(value: $signed) -> Self {
                Self(value as $unsigned)
            }

            /// Read as a signed integer, as every released sum is.
            pub fn to_signed(self) -> $signed {
                self.0 as $signed
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // An element may be a share: its type prints, its value does not.
                f.write_str($text)
            }
        }

        impl Ring for $name {
            const NAME: &'static str = $text;

            fn add(self, other: Self) -> Self {
                Self(self.0.wrapping_add(other.0))
            }

            fn sub(self, other: Self) -> Self {
                Self(self.0.wrapping_sub(other.0))
            }

            fn from_uniform(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(|b| Self(<$unsigned>::from_le_bytes(b)))
            }

            column_kernels!();
        }

        impl PowerOfTwo for $name {
            const BITS: usize = <$unsigned>::BITS as usize;

            fn mul(self, other: Self) -> Self {
                Self(self.0.wrapping_mul(other.0))
            }

            fn power(bit: usize) -> Self {
                Self(u32::try_from(bit).ok().and_then(|bit| (1 as $unsigned).checked_shl(bit)).unwrap_or(0))
            }

            fn from_low(value: u128) -> Self {
                Self(value as $unsigned)
            }

            fn to_low(self) -> u128 {
                self.0 as u128
            }

            fn beaver_mul(c: &mut [Self], a: &[Self], b: &[Self], opened: (&[Self], &[Self]), adds_product: bool) {
                let one = Self(adds_product as $unsigned);
                for ((((c, a), b), d), e) in c.iter_mut().zip(a).zip(b).zip(opened.0).zip(opened.1) {
                    *c = c.add(d.mul(b.add(e.mul(one)))).add(e.mul(*a));
                }
            }

            fn offer_plane(
                plane: usize,
                (zero, one): (&[Block], &[Block]),
                values: &[Self],
                acc: &mut [Self],
                bytes: usize,
                message: &mut [u8],
            ) {
                let power = Self::power(plane);
                let mut at = 0;
                for (((zero, one), value), acc) in zero.iter().zip(one).zip(values).zip(acc) {
                    let (zero, one) = (Self(zero.0 as $unsigned), Self(one.0 as $unsigned));
                    *acc = acc.sub(zero.mul(power));
                    // A whole element is written, of which the next one overwrites what is too much.
                    let element = zero.sub(one).add(*value).0.to_le_bytes();
                    message[at..at + size_of::<Self>()].copy_from_slice(&element);
                    at += bytes;
                }
            }

            fn take_plane(
                plane: usize,
                masks: &[Block],
                choices: &[u64],
                bytes: usize,
                message: &[u8],
                acc: &mut [Self],
            ) {
                let power = Self::power(plane);
                let mut spread = zeroize::Zeroizing::new([0; 64]);
                for ((masks, acc), (choices, word)) in
                    masks.chunks(64).zip(acc.chunks_mut(64)).zip(choices.iter().zip(0..))
                {
                    let mut at = word * 64 * bytes;
                    for ((mask, acc), chosen) in masks.iter().zip(acc).zip(spread_choices(*choices, &mut spread)) {
                        let mut element = [0; size_of::<Self>()];
                        element.copy_from_slice(&message[at..at + size_of::<Self>()]);
                        let correction = Self(<$unsigned>::from_le_bytes(element) & *chosen as $signed as $unsigned);
                        *acc = acc.add(Self(mask.0 as $unsigned).add(correction).mul(power));
                        at += bytes;
                    }
                }
            }
        }
    };
}

ring!(Z32, u32, i32, "Z32", "An integer mod 2^32: counts, whose messages are half as long.");
ring!(Z64, u64, i64, "Z64", "An integer mod 2^64.");
ring!(Z128, u128, i128, "Z128", "An integer mod 2^128.");
