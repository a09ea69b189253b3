//! Columns: what decodes encodes to the same bytes; what does not is not whole or not canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_core::field::F61;
use mpc_core::wire::{Bytes32, Wire, as_le_bytes, decode, encode};
use mpc_core::{Z64, Z128};

fn round_trip<T: Wire>(bytes: &[u8]) -> bool {
    let Some(column) = decode::<T>(bytes) else { return false };
    assert_eq!(encode(&column), bytes);
    assert_eq!(*as_le_bytes(&column), *bytes);
    // Wherever the bytes lie in memory, they are the same column.
    let shifted = [&[0xa5], bytes].concat();
    let again = decode::<T>(&shifted[1..]).expect("the same bytes decode again");
    assert_eq!(encode(&again), bytes);
    true
}

fuzz_target!(|data: &[u8]| {
    let whole = |bytes: usize| data.len().is_multiple_of(bytes);
    assert_eq!(round_trip::<Z64>(data), whole(8));
    assert_eq!(round_trip::<Z128>(data), whole(16));
    assert_eq!(round_trip::<u32>(data), whole(4));
    assert_eq!(round_trip::<Bytes32>(data), whole(32));
    let below_modulus = |word: &[u8]| u64::from_le_bytes(word.try_into().expect("8 bytes")) < (1 << 61) - 1;
    assert_eq!(round_trip::<F61>(data), whole(8) && data.chunks_exact(8).all(below_modulus));
});
