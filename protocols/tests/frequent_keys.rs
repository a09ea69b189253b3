//! Frequent keys in a whole session: matching, and what is opened of it.

mod conformance;

use conformance::Case;
use conformance::keys::{expected, lists, sites as some};
use mpc_core::world::{Net, World};
use mpc_core::{PartyId, Result, Session};
use protocols::additive::Additive;
use protocols::additive::demand::Link;
use protocols::relational::frequent_keys::{Counted, Exchange, Limits, frequent_keys};
use protocols::{Audience, Item, Kind, Statement};

const SEED: u64 = 20_261_122;
const SALT: [u8; 32] = [7; 32];

/// What a party got, and the rounds and bytes it took.
type Got = (Option<Vec<Vec<u8>>>, u32, u64);

fn run(world: World, own: Vec<Vec<Counted>>, holders: usize, asked: (Limits, Link, Audience)) -> Vec<Result<Got>> {
    let (limits, link, audience) = asked;
    let program = move |session: Session, own: Vec<Counted>| async move {
        let items = vec![Item::new("keys", audience, Kind::Keys), Item::to_everyone("keys/count")];
        let mut engine = Additive::new(session, Statement::new(items));
        let keys = frequent_keys(&mut engine, &own, &some(holders), (limits, &SALT, link), "keys").await;
        let stats = engine.session().stats();
        (engine.into_session(), keys.map(|keys| (keys, stats.rounds, stats.bytes())))
    };
    world.run(program, own).into_iter().map(|outcome| outcome.result).collect()
}

#[test]
fn every_party_gets_the_frequent_keys_of_all_sites_and_no_others() {
    let mut found = 0;
    for (sites, analyst, holders, net, link) in [
        (2, false, 2, Net::Memory, Link::Local),
        (2, true, 2, Net::Quic, Link::Narrow),
        (3, true, 3, Net::Memory, Link::Far),
        (3, false, 2, Net::Memory, Link::Local),
        (3, false, 1, Net::Memory, Link::Local),
        (5, false, 5, Net::Memory, Link::Local),
    ] {
        for (max_keys, max_key_bytes, threshold) in [(40, 9, 40), (40, 9, 1), (7, 64, 12)] {
            println!("seed {SEED}, {sites} sites, {holders} holders, analyst {analyst}, {net:?}, {link:?}");
            let limits = Limits { max_keys, max_key_bytes, count_bits: 5, threshold };
            let mut own = lists(&mut Case::at(0, sites, SEED), limits, holders);
            let want = expected(&own, threshold);
            found += want.len();
            let world = World::new(sites).seed(SEED).over(net);
            let world = if analyst { world.with_analyst() } else { world };
            own.resize(sites + usize::from(analyst), Vec::new());
            for got in run(world, own, holders, (limits, link, Audience::Everyone)) {
                assert_eq!(got.unwrap().0.as_ref(), Some(&want), "{limits:?}");
            }
        }
    }
    assert!(found > 30, "only {found} keys were frequent");
}

#[test]
fn keys_sealed_to_the_analyst_reach_nobody_else() {
    println!("seed {SEED}");
    for sites in [2, 5] {
        let limits = Limits { max_keys: 2, max_key_bytes: 9, count_bits: 4, threshold: sites as u64 };
        let mut own = vec![vec![(b"somewhere".to_vec(), 1)]; sites];
        own.push(Vec::new());
        let world = World::new(sites).seed(SEED).with_analyst();
        let got = run(world, own, sites, (limits, Link::Local, Audience::Analyst));
        for (party, got) in got.into_iter().enumerate() {
            let want = (party == sites).then(|| vec![b"somewhere".to_vec()]);
            assert_eq!(got.unwrap().0, want, "party {party}");
        }
    }
}

#[test]
fn keys_beyond_the_limits_never_enter() {
    let limits = Limits { max_keys: 2, max_key_bytes: 3, count_bits: 4, threshold: 5 };
    let exchange = Exchange::new(limits, 3, &some(2)).unwrap();
    let key = |text: &str, count: u64| (text.as_bytes().to_vec(), count);
    let wrong = [
        vec![key("a", 1), key("b", 1), key("c", 1)],
        vec![key("a", 1), key("a", 2)],
        vec![key("long", 1)],
        vec![key("a", 0)],
        vec![key("a", 16)],
    ];
    for own in wrong {
        assert!(exchange.table(PartyId(0), &own, &SALT).is_err(), "{own:?}");
    }
    let sound = [key("a", 1)];
    assert!(exchange.table(PartyId(1), &sound, &SALT).unwrap().is_some());
    assert!(exchange.table(PartyId(2), &sound, &SALT).is_err(), "no holder");
    assert!(exchange.table(PartyId(2), &[], &SALT).unwrap().is_none());
}

#[test]
fn limits_without_a_reviewed_size_are_refused() {
    let limits = Limits { max_keys: 2, max_key_bytes: 3, count_bits: 4, threshold: 5 };
    let refused = |limits: Limits| Exchange::new(limits, 3, &some(3)).is_err();
    assert!(!refused(limits));
    assert!(refused(Limits { max_keys: 1 << 28, ..limits }));
    assert!(refused(Limits { threshold: 0, ..limits }));
    assert!(refused(Limits { threshold: 1 << 62, ..limits }));
    assert!(refused(Limits { count_bits: 61, ..limits }));
    assert!(Exchange::new(limits, 3, &some(4)).is_err() && Exchange::new(limits, 3, &[]).is_err());
}

#[test]
fn what_is_sent_does_not_depend_on_the_keys() {
    println!("seed {SEED}");
    let limits = Limits { max_keys: 30, max_key_bytes: 12, count_bits: 6, threshold: 60 };
    let key = |site: usize, at: usize| ((100 * site + at).to_string().into_bytes(), 1 + at as u64);
    // No key is frequent: the number of those is opened, and the length of what is opened then depends on it.
    let apart: Vec<Vec<Counted>> = (0..3).map(|site| (0..30).map(|at| key(site, at)).collect()).collect();
    let shared: Vec<Vec<Counted>> = (0..3).map(|_| (0..15).map(|at| key(0, at)).collect()).collect();
    let costs = |own: Vec<Vec<Counted>>| -> Vec<(u32, u64)> {
        let got = run(World::new(3).seed(SEED), own, 3, (limits, Link::Local, Audience::Everyone));
        got.into_iter()
            .map(|got| got.unwrap())
            .map(|(keys, rounds, bytes)| {
                assert_eq!(keys, Some(Vec::new()));
                (rounds, bytes)
            })
            .collect()
    };
    let none = costs(vec![Vec::new(); 3]);
    assert_eq!(costs(apart), none);
    assert_eq!(costs(shared), none);
}
