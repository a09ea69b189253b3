//! Frequent keys.

use std::collections::BTreeMap;

use mpc_core::Result;
use protocols::relational::frequent_keys::{Counted, Limits, Seat, frequent_keys};
use protocols::{Audience, Engine};

use super::Case;

const SALT: [u8; 32] = [7; 32];

/// Keys of all lengths, the empty one among them, some of them prefixes of others or with zeros at the end.
fn key(case: &mut Case, max_bytes: usize) -> Vec<u8> {
    let length = case.below(max_bytes as u64 + 1) as usize;
    let mut key = vec![b'k'; length];
    if let Some(last) = key.last_mut() {
        *last = case.below(3) as u8;
    }
    key
}

fn lists(case: &mut Case, limits: Limits) -> Vec<Vec<Counted>> {
    let site = |case: &mut Case| {
        let mut list = BTreeMap::new();
        for _ in 0..case.below(limits.max_keys as u64 + 1) {
            list.insert(key(case, limits.max_key_bytes), 1 + case.below((1 << limits.count_bits) - 1));
        }
        list.into_iter().collect()
    };
    (0..case.sites).map(|_| site(case)).collect()
}

/// The keys whose joint count reaches the threshold, and no others, at every party.
pub async fn the_frequent_keys_come_out<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (max_keys, max_key_bytes, count_bits, threshold) in
        [(0, 4, 4, 3), (1, 0, 3, 1), (1, 8, 3, 9), (6, 3, 3, 11), (20, 17, 5, 11), (20, 8, 5, 1), (9, 2, 2, 1 << 40)]
    {
        let limits = Limits { max_keys, max_key_bytes, count_bits, threshold };
        let lists = lists(case, limits);
        let own = lists.get(case.me).cloned().unwrap_or_default();
        let seat = Seat { me: case.me, sites: case.sites };
        let name = format!("keys {max_keys} {threshold}");
        let keys = frequent_keys(e, &own, limits, seat, &SALT, (&name, Audience::Everyone)).await?;
        let mut joint: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        lists.into_iter().flatten().for_each(|(key, count)| *joint.entry(key).or_default() += count);
        let want: Vec<_> = joint.into_iter().filter(|(_, count)| *count >= threshold).map(|(key, _)| key).collect();
        assert_eq!(keys, Some(want), "{limits:?}");
    }
    Ok(())
}

/// Keys sealed to the analyst reach nobody else.
pub async fn sealed_keys_reach_the_analyst_only<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let limits = Limits { max_keys: 2, max_key_bytes: 9, count_bits: 4, threshold: case.sites as u64 };
    let own = if case.is_site() { vec![(b"everywhere".to_vec()[..9].to_vec(), 1)] } else { Vec::new() };
    let seat = Seat { me: case.me, sites: case.sites };
    let keys = frequent_keys(e, &own, limits, seat, &SALT, ("sealed", Audience::Analyst)).await?;
    let want = (!case.is_site()).then(|| vec![b"everywher".to_vec()]);
    assert_eq!(keys, want);
    Ok(())
}

/// Lists beyond the public limits never enter.
pub async fn keys_beyond_the_limits_are_refused<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let limits = Limits { max_keys: 2, max_key_bytes: 3, count_bits: 4, threshold: 5 };
    let key = |text: &str, count: u64| (text.as_bytes().to_vec(), count);
    let wrong = [
        vec![key("a", 1), key("b", 1), key("c", 1)],
        vec![key("a", 1), key("a", 2)],
        vec![key("long", 1)],
        vec![key("a", 0)],
        vec![key("a", 16)],
    ];
    for own in wrong {
        let seat = Seat { me: case.me, sites: case.sites };
        let refused = frequent_keys(e, &own, limits, seat, &SALT, ("refused", Audience::Everyone)).await;
        assert!(refused.is_err(), "{} keys", own.len());
    }
    let many = Limits { max_keys: 1 << 28, ..limits };
    let seat = Seat { me: case.me, sites: case.sites };
    let refused = frequent_keys(e, &[], many, seat, &SALT, ("many", Audience::Everyone)).await;
    assert!(refused.is_err(), "more rows than fingerprints tell apart");
    Ok(())
}
