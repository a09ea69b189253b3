//! The plaintext twin of [`super::Check`]. For tests only.

use mpc_core::PartyId;

use super::{Check, Form};
use crate::matching::PatientTable;
use crate::matching::clear::{ClearSegment, align};
use crate::relational::patients::When;
use crate::relational::patients::clear::flags;

/// How many patients each of the pairs differs by, those that may be equal last, from all sites' tables.
///
/// # Panics
/// When tables and shapes differ.
pub fn differences(check: &Check, tables: &[PatientTable]) -> Vec<u64> {
    // In which bins patients are makes no difference to how many they are.
    let places: Vec<Vec<_>> = tables.iter().map(|table| (0..table.rows()).map(Some).collect()).collect();
    let segments = align(tables, check.shapes(), check.runs(), &places);
    if check.ledgered.form == Form::Telescoped {
        return telescoped(check, &segments);
    }
    let patients: Vec<Vec<bool>> = segments.iter().flat_map(|segment| first_seen(check, segment)).collect();
    let differ = |(new, old): &(usize, usize)| patients.iter().filter(|sets| sets[*new] != sets[*old]).count() as u64;
    check.ledgered.all(tables.len()).iter().map(differ).collect()
}

/// Over all bins, the rows that differ after their receiver said what it knows less those that did before.
fn telescoped(check: &Check, segments: &[ClearSegment]) -> Vec<u64> {
    let said = check.said_sets();
    let known = |segment: &ClearSegment, when: When| {
        let mut sets = match &check.counted {
            Some(counted) => flags(&counted.circuit, segment, check.ledgered.sets, when),
            None => vec![vec![false; check.ledgered.sets]; segment.rows],
        };
        let telling = || segment.holders.iter().filter(|holder| when == When::After || holder.site != segment.receiver);
        for (row, sets) in sets.iter_mut().enumerate() {
            for set in &said {
                sets[*set] = telling().any(|holder| holder.bits[row][check.column(*set, holder.site.index())]);
            }
        }
        sets
    };
    let differ = |sets: &[Vec<bool>], (new, old): (usize, usize)| {
        sets.iter().filter(|sets| sets[new] != sets[old]).count() as u64
    };
    let known: Vec<_> =
        segments.iter().map(|segment| [When::After, When::Before].map(|when| known(segment, when))).collect();
    let of_pair = |pair: (usize, usize)| {
        let sum = |at: usize| known.iter().map(|times| differ(&times[at], pair)).sum::<u64>();
        sum(0) - sum(1)
    };
    check.ledgered.all(check.shapes().len()).into_iter().map(of_pair).collect()
}

/// The sets of the receiver's patients that no site before it has; behind them, for each site, those that any other one says.
fn first_seen(check: &Check, segment: &ClearSegment) -> Vec<Vec<bool>> {
    let has = |site: usize, row: usize| {
        let holder = segment.holders.iter().find(|holder| holder.site == PartyId(site as u8));
        holder.is_some_and(|holder| holder.member[row])
    };
    let is_first = |row: &usize| !(0..segment.receiver.index()).any(|site| has(site, *row));
    let sets = match &check.counted {
        Some(counted) => flags(&counted.circuit, segment, check.ledgered.sets, When::After),
        None => said(segment),
    };
    let seen = check.ledgered.seen_sets();
    let others_say = |site: usize, row: usize, set: usize| {
        let mut others = segment.holders.iter().filter(|holder| holder.site.index() != site);
        others.any(|holder| holder.bits[row][check.column(set, holder.site.index())])
    };
    let with_views = |(row, sets): (usize, Vec<bool>)| {
        let sites = 0..check.shapes().len();
        let views = sites.flat_map(|site| seen.iter().map(move |set| (site, *set)));
        let views: Vec<bool> = views.map(|(site, set)| others_say(site, row, set)).collect();
        [sets, views].concat()
    };
    let rows = sets.into_iter().enumerate().filter(|(row, _)| is_first(row));
    rows.map(with_views).collect()
}

/// The sets that any site says of each row.
fn said(segment: &ClearSegment) -> Vec<Vec<bool>> {
    let width = segment.holders[0].bits.first().map_or(0, Vec::len);
    let any = |row: usize, set: usize| segment.holders.iter().any(|holder| holder.bits[row][set]);
    (0..segment.rows).map(|row| (0..width).map(|set| any(row, set)).collect()).collect()
}
