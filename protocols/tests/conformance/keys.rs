//! Frequent keys, from bins that are filled in the clear: matching has its own tests, and both together are in
//! `tests/frequent_keys.rs`.

use std::collections::BTreeMap;

use mpc_core::{PartyId, Result};
use protocols::matching::clear::{self, ClearHolder, ClearSegment};
use protocols::matching::{Holder, PatientTable, Places, Segment};
use protocols::relational::frequent_keys::{Counted, Exchange, Limits};
use protocols::{BitShare, Engine};

use super::Case;

const SALT: [u8; 32] = [7; 32];

/// Keys of all lengths, the empty one among them, some of them prefixes of others or with zeros or ones at the end.
fn key(case: &mut Case, max_bytes: usize) -> Vec<u8> {
    let length = case.below(max_bytes as u64 + 1) as usize;
    let mut key = vec![b'k'; length];
    if let Some(last) = key.last_mut() {
        *last = case.below(3) as u8;
    }
    key
}

/// Distinct keys of each of the first `holders` sites, with their counts.
pub fn lists(case: &mut Case, limits: Limits, holders: usize) -> Vec<Vec<Counted>> {
    let site = |case: &mut Case| {
        let mut list = BTreeMap::new();
        for _ in 0..case.below(limits.max_keys as u64 + 1) {
            list.insert(key(case, limits.max_key_bytes), 1 + case.below((1 << limits.count_bits) - 1));
        }
        list.into_iter().collect()
    };
    (0..case.sites).map(|at| if at < holders { site(case) } else { Vec::new() }).collect()
}

/// The keys whose joint count reaches the threshold.
pub fn expected(lists: &[Vec<Counted>], threshold: u64) -> Vec<Vec<u8>> {
    let mut joint: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    lists.iter().flatten().for_each(|(key, count)| *joint.entry(key.clone()).or_default() += count);
    joint.into_iter().filter(|(_, count)| *count >= threshold).map(|(key, _)| key).collect()
}

pub fn sites(count: usize) -> Vec<PartyId> {
    (0..count as u8).map(PartyId).collect()
}

/// The bins that an alignment of these keys gives, shared anew. Their order is random, and as in a session the receiver
/// alone knows it.
fn segments<E: Engine>(e: &mut E, case: &mut Case, exchange: &Exchange, lists: &[Vec<Counted>]) -> Vec<Segment> {
    let table = |site: usize| exchange.table(PartyId(site as u8), &lists[site], &SALT).unwrap().unwrap_or_default();
    let tables: Vec<PatientTable> = (0..case.sites).map(table).collect();
    let places: Vec<Vec<Option<usize>>> = exchange
        .empty()
        .iter()
        .map(|segment| {
            let keys = lists[segment.receiver.index()].len();
            let mut places: Vec<_> = (0..segment.rows).map(|row| (row < keys).then_some(row)).collect();
            (1..places.len()).for_each(|at| places.swap(at, case.below(at as u64 + 1) as usize));
            places
        })
        .collect();
    let aligned = clear::align(&tables, exchange.shapes(), exchange.runs(), &places);
    aligned.into_iter().zip(places).map(|(segment, places)| shared(e, case, segment, places)).collect()
}

fn shared<E: Engine>(e: &mut E, case: &mut Case, segment: ClearSegment, places: Vec<Option<usize>>) -> Segment {
    let rows = segment.rows;
    let mut holder = |holder: ClearHolder| {
        let member: Vec<u64> = holder.member.into_iter().map(u64::from).collect();
        Holder {
            site: holder.site,
            member: case.share_bits(e, &member, 1),
            numbers: holder.numbers.iter().map(|column| case.share(e, column)).collect(),
            bits: BitShare::zeros(rows, 0),
        }
    };
    let holders = segment.holders.into_iter().map(&mut holder).collect();
    let places = if case.me == segment.receiver.index() { Places::new(places) } else { Places::default() };
    Segment { receiver: segment.receiver, rows, holders, places }
}

/// How many exchanges the case below runs.
pub const EXCHANGES: usize = 9;

/// The keys whose joint count reaches the threshold, and no others, at every party.
pub async fn the_frequent_keys_come_out<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let exchanges: [_; EXCHANGES] = [
        (0, 4, 4, 3, 8),
        (1, 0, 3, 1, 8),
        (1, 8, 3, 9, 8),
        (6, 3, 3, 11, 8),
        (20, 17, 5, 11, 8),
        (20, 8, 5, 1, 8),
        (20, 7, 5, 20, 2),
        (20, 7, 5, 1, 1),
        (9, 2, 2, 1 << 40, 8),
    ];
    for (number, (max_keys, max_key_bytes, count_bits, threshold, holders)) in exchanges.into_iter().enumerate() {
        let limits = Limits { max_keys, max_key_bytes, count_bits, threshold };
        let holders = holders.min(case.sites);
        let exchange = Exchange::new(limits, case.sites, &sites(holders)).unwrap();
        let lists = lists(case, limits, holders);
        let segments = segments(e, case, &exchange, &lists);
        let own = lists.get(case.me).cloned().unwrap_or_default();
        let keys = exchange.keys(e, &own, &segments, &format!("keys {number}")).await?;
        assert_eq!(keys, Some(expected(&lists, threshold)), "{limits:?}");
    }
    Ok(())
}
