//! The plaintext twin of [`super::flags`]. For tests only.

use super::circuit::{Circuit, Gate, Place, When};
use crate::matching::clear::{ClearHolder, ClearSegment};

/// In each row of a segment, which of so many sets its patient is in, as is known at a time.
///
/// # Panics
/// When the circuit asks for columns that the segment does not have.
pub fn flags(circuit: &Circuit, segment: &ClearSegment, sets: usize, when: When) -> Vec<Vec<bool>> {
    let row = |row: usize| {
        let values = gates(circuit, segment, row);
        let mut flags = vec![false; sets];
        let own = circuit.flags.iter().filter(|flag| flag.receiver == segment.receiver && flag.when == when);
        own.for_each(|flag| flags[flag.set] = values[flag.bit.0] == 1);
        flags
    };
    (0..segment.rows).map(row).collect()
}

/// The value of every gate in one row; 0 for what other receivers' bins say.
fn gates(circuit: &Circuit, segment: &ClearSegment, row: usize) -> Vec<u64> {
    let mut values: Vec<u64> = Vec::with_capacity(circuit.gates.len());
    for gate in &circuit.gates {
        let value = match *gate {
            Gate::PublicBit(bit) => bit.into(),
            Gate::PublicNumber(number) => number,
            Gate::KnownBit(place) => known(segment, place, |holder| holder.bits[row][place.column].into()),
            Gate::KnownNumber(place) => known(segment, place, |holder| holder.numbers[place.column][row].0),
            Gate::Not(a) => 1 - values[a.0],
            Gate::Xor(a, b) => values[a.0] ^ values[b.0],
            Gate::And(a, b) => values[a.0] & values[b.0],
            Gate::Add(a, b) => values[a.0].wrapping_add(values[b.0]),
            Gate::Subtract(a, b) => values[a.0].wrapping_sub(values[b.0]),
            Gate::Scale(a, factor) => values[a.0].wrapping_mul(factor),
            Gate::Shift(a, by) => values[a.0].wrapping_add(by),
            Gate::Multiply(a, b) => values[a.0].wrapping_mul(values[b.0]),
            Gate::Select(choice, a) => values[choice.0] * values[a.0],
            Gate::FromBit(a) => values[a.0],
            Gate::Negative(a, width) => values[a.0] >> (width - 1) & 1,
            Gate::IsZero(a, width) => u64::from(values[a.0] << (64 - width) == 0),
        };
        values.push(value);
    }
    values
}

fn known(segment: &ClearSegment, place: Place, value: impl FnOnce(&ClearHolder) -> u64) -> u64 {
    let holder = segment.holders.iter().find(|holder| holder.site == place.site);
    if segment.receiver == place.receiver { holder.map_or(0, value) } else { 0 }
}
