//! The plaintext twin of [`super::Check`]. For tests only.

use mpc_core::PartyId;

use super::Check;
use crate::matching::PatientTable;
use crate::matching::clear::{ClearSegment, align};

/// How many patients each of the pairs differs by, from all sites' tables.
///
/// # Panics
/// When tables and shapes differ.
pub fn differences(check: &Check, tables: &[PatientTable]) -> Vec<u64> {
    // In which bins patients are makes no difference to how many they are.
    let places: Vec<Vec<_>> = tables.iter().map(|table| (0..table.rows()).map(Some).collect()).collect();
    let segments = align(tables, check.shapes(), check.runs(), &places);
    let patients: Vec<Vec<bool>> = segments.iter().flat_map(first_seen).collect();
    let differ = |(new, old): &(usize, usize)| patients.iter().filter(|sets| sets[*new] != sets[*old]).count() as u64;
    check.ledgered.pairs.iter().map(differ).collect()
}

/// The sets of the receiver's patients that no site before it has.
fn first_seen(segment: &ClearSegment) -> Vec<Vec<bool>> {
    let is_before = |site: PartyId| site < segment.receiver;
    let is_first = |row: &usize| !segment.holders.iter().any(|holder| is_before(holder.site) && holder.member[*row]);
    let sets = |row: usize| {
        let width = segment.holders[0].bits[row].len();
        (0..width).map(|set| segment.holders.iter().any(|holder| holder.bits[row][set])).collect()
    };
    (0..segment.rows).filter(is_first).map(sets).collect()
}
