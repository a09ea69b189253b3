//! Bulk data: fixed-width little-endian columns. The receiver states the length; nothing in a body is self-describing.

use std::borrow::Cow;

use crate::field::F61;
use crate::ring::{Z32, Z64, Z128};

/// Largest body of one frame: a column travels in blocks of this size, so a reader never holds more than one block it
/// has not checked. 1 MiB is 2^17 elements of Z64, far below the stream window.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Largest message a step may receive, whatever it asks for.
pub const MAX_MESSAGE_BYTES: usize = 1 << 30;

/// An element with a fixed little-endian encoding.
pub trait Wire: bytemuck::Pod + Send + Sync + 'static {
    /// Bytes of one element.
    const BYTES: usize = size_of::<Self>();
    /// The element's name in error messages.
    const TYPE: &'static str;

    /// Swaps bytes where the machine is big-endian; on little-endian machines the memory is the encoding.
    fn to_from_le(self) -> Self;

    /// Are these decoded elements canonical?
    fn are_canonical(_column: &[Self]) -> bool {
        true
    }
}

/// Encodes a column.
pub fn encode<T: Wire>(values: &[T]) -> Vec<u8> {
    let mut bytes = bytemuck::cast_slice(values).to_vec();
    if cfg!(target_endian = "big") {
        bytemuck::cast_slice_mut::<u8, T>(&mut bytes).iter_mut().for_each(|v| *v = v.to_from_le());
    }
    bytes
}

/// A column as it stands on the wire, without a copy where memory already is little-endian.
pub fn as_le_bytes<T: Wire>(values: &[T]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") { encode(values).into() } else { bytemuck::cast_slice(values).into() }
}

/// The elements of `bytes`, without a copy where memory already is little-endian and aligned; None if they are not whole
/// canonical elements.
pub fn decode<T: Wire>(bytes: &[u8]) -> Option<Cow<'_, [T]>> {
    if !bytes.len().is_multiple_of(T::BYTES) {
        return None;
    }
    let column = match bytemuck::try_cast_slice(bytes) {
        Ok(column) if cfg!(target_endian = "little") => Cow::Borrowed(column),
        _ => Cow::Owned(
            bytes.chunks_exact(T::BYTES).map(|e| bytemuck::pod_read_unaligned::<T>(e).to_from_le()).collect(),
        ),
    };
    T::are_canonical(&column).then_some(column)
}

macro_rules! wire_integer {
    ($type:ty, $inner:ty, $name:literal) => {
        impl Wire for $type {
            const TYPE: &'static str = $name;

            fn to_from_le(self) -> Self {
                bytemuck::cast(<$inner>::from_le(bytemuck::cast(self)))
            }
        }
    };
}

wire_integer!(u8, u8, "byte");
wire_integer!(u32, u32, "u32");
wire_integer!(u64, u64, "u64");
wire_integer!(Z32, u32, "Z32");
wire_integer!(Z64, u64, "Z64");
wire_integer!(Z128, u128, "Z128");

impl Wire for F61 {
    const TYPE: &'static str = "element of the field of 2^61 − 1";

    fn to_from_le(self) -> Self {
        bytemuck::cast(u64::from_le(bytemuck::cast(self)))
    }

    fn are_canonical(column: &[Self]) -> bool {
        column.iter().all(|x| F61::from_canonical(x.value()).is_some())
    }
}

/// A 32-byte digest, commitment or compressed point.
pub type Bytes32 = [u8; 32];

impl Wire for Bytes32 {
    const TYPE: &'static str = "32-byte string";

    fn to_from_le(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_little_endian() {
        assert_eq!(encode(&[Z64(1), Z64(256)]), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(&[Z128(2)])[0], 2);
    }

    #[test]
    fn half_an_element_is_refused() {
        assert_eq!(decode::<Z64>(&[0; 12]), None);
    }

    #[test]
    fn an_element_at_the_modulus_is_refused() {
        assert_eq!(decode::<F61>(&((1u64 << 61) - 1).to_le_bytes()), None);
        assert!(decode::<F61>(&((1u64 << 61) - 2).to_le_bytes()).is_some());
    }

    #[test]
    fn an_unaligned_column_reads_the_same() {
        let bytes = [[9].as_slice(), &encode(&[Z128(5), Z128(6)])].concat();
        assert_eq!(decode::<Z128>(&bytes[1..]).as_deref(), Some([Z128(5), Z128(6)].as_slice()));
    }
}
