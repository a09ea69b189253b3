use std::time::Duration;

use mpc_core::error::{Error, PeerFault};
use mpc_core::gf128::mul;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Outcome, World};

use super::*;
use crate::cost;
use crate::ot::Extension;

const SEED: u64 = 20_261_122;

/// What a party got, and what it had sent and seen when it began.
enum Got {
    Received(Received),
    Sent(Sent),
}

/// Party 0 receives, party 1 sends.
async fn vole(session: &mut Session, ot: &mut Ot, n: usize) -> Result<Got> {
    if session.me() == PartyId(0) {
        receive(session, ot, PartyId(1), n).await.map(Got::Received)
    } else {
        send(session, ot, PartyId(0), n).await.map(Got::Sent)
    }
}

fn run(world: &World, extension: Extension, lengths: &[usize]) -> Vec<Outcome<Vec<Got>>> {
    println!("seed {SEED}, {extension:?}, lengths {lengths:?}");
    let lengths = lengths.to_vec();
    let program = move |mut session: Session, (): ()| {
        let lengths = lengths.clone();
        async move {
            let result = async {
                let mut ot = Ot::setup_with(&mut session, extension).await?;
                let mut all = Vec::new();
                for n in lengths {
                    all.push(vole(&mut session, &mut ot, n).await?);
                }
                Ok(all)
            };
            let result = result.await;
            (session, result)
        }
    };
    world.run(program, vec![(); 2])
}

fn pairs(outcomes: &[Outcome<Vec<Got>>]) -> Vec<(&Received, &Sent)> {
    let [receiver, sender] = [0, 1].map(|party: usize| outcomes[party].result.as_ref().unwrap());
    let both = receiver.iter().zip(sender).map(|both| match both {
        (Got::Received(received), Got::Sent(sent)) => (received, sent),
        _ => unreachable!("party 0 receives"),
    });
    both.collect()
}

fn related(received: &Received, sent: &Sent) -> bool {
    let products = received.a.iter().zip(&sent.b).map(|(a, b)| mul(*a, sent.delta) ^ *b);
    received.c.iter().copied().eq(products)
}

#[test]
fn c_is_a_times_delta_plus_b_at_every_length() {
    let lengths =
        [0, 1, 2, 100, DIRECT_MAX, DIRECT_MAX + 1, (1 << 12) - 1, (1 << 12) + 1, 1 << 14, 20_000, (1 << 18) + 3];
    let outcomes = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &lengths);
    for ((received, sent), n) in pairs(&outcomes).into_iter().zip(lengths) {
        assert_eq!([received.a.len(), received.c.len(), sent.b.len()], [n; 3]);
        assert!(related(received, sent), "{n} elements");
    }
}

#[test]
fn a_vole_stands_on_silent_ot_too_and_uses_none_of_its_batches() {
    let silent = Extension::Silent { batch: 1 << 14, code: Code::ExpandConvolute7 };
    let outcomes = run(&World::new(2).seed(SEED), silent, &[10, 2000]);
    assert!(pairs(&outcomes).into_iter().all(|(received, sent)| related(received, sent)));
}

#[test]
fn every_call_has_another_delta_and_other_vectors() {
    let outcomes = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &[1000, 1000, 50, 50]);
    let pairs = pairs(&outcomes);
    let mut seen: Vec<u128> = pairs.iter().flat_map(|(r, s)| r.a.iter().chain(&s.b)).map(|block| block.0).collect();
    seen.extend(pairs.iter().map(|(_, sent)| sent.delta.0));
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
}

/// Chi-square over bytes: 255 degrees of freedom, 380 is beyond 2^-20.
fn bytes_are_uniform(what: &str, blocks: &[Block]) {
    let mut counts = [0u32; 256];
    blocks.iter().flat_map(|block| block.to_le_bytes()).for_each(|byte| counts[usize::from(byte)] += 1);
    let expected = blocks.len() as f64 / 16.0;
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    println!("{what}: chi-square {chi:.1}");
    assert!(expected > 5.0 && chi < 380.0, "chi-square {chi} for {what}");
}

#[test]
fn vectors_and_sums_of_neighbours_look_random() {
    for n in [DIRECT_MAX, 1 << 16] {
        let outcomes = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &[n]);
        let (received, sent) = pairs(&outcomes)[0];
        for (what, column) in [("A", &received.a), ("B", &sent.b), ("C", &received.c)] {
            bytes_are_uniform(what, column);
            let sums: Vec<Block> = column.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
            bytes_are_uniform(what, &sums);
        }
    }
}

#[test]
fn a_vole_costs_what_is_documented() {
    for n in [1, 100, DIRECT_MAX, DIRECT_MAX + 1, 1 << 14, 100_000] {
        let base = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &[]);
        let outcomes = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &[n]);
        let (receiver, sender) = cost::vole(n).unwrap();
        for (party, cost) in [receiver, sender].into_iter().enumerate() {
            let (before, after) = (&base[party].stats, &outcomes[party].stats);
            assert_eq!(after.bytes() - before.bytes(), cost.bytes, "{n} elements, party {party}");
            assert_eq!(after.rounds - before.rounds, cost.rounds, "{n} elements, party {party}");
        }
    }
}

#[test]
fn lengths_outside_the_table_are_refused() {
    let outcomes = run(&World::new(2).seed(SEED), Extension::SoftSpoken, &[(3 << 23) + 1]);
    let error = outcomes[0].result.as_ref().err().unwrap();
    assert!(error.to_string().contains("25165825"), "{error}");
}

/// Frames of a party after the two of the set-up.
const FIRST: usize = 2;

fn tampered(party: u8, frame: usize, change: Change, n: usize) -> Vec<Outcome<Vec<Got>>> {
    let world = World::new(2).seed(SEED).deadline(Duration::from_millis(500));
    run(&world.tamper(PartyId(party), FIRST + frame, change), Extension::SoftSpoken, &[n])
}

#[test]
fn messages_of_another_length_are_refused_and_their_sender_named() {
    for (n, party, frame) in
        [(2000, 0, 0), (2000, 0, 1), (2000, 0, 2), (2000, 1, 0), (2000, 1, 1), (9, 0, 0), (9, 0, 1), (9, 1, 0)]
    {
        for change in [Change::Truncate, Change::Extend] {
            let outcomes = tampered(party, frame, change, n);
            let Err(Error::Peer { party: blamed, fault, .. }) = &outcomes[usize::from(1 - party)].result else {
                panic!("accepted {change:?} of frame {frame} of party {party}");
            };
            assert!(*blamed == PartyId(party) && matches!(fault, PeerFault::Length { .. }), "{fault}");
        }
    }
}

/// Semi-honest: nobody checks it. Of most messages a party reads only what its secrets choose, about half; and what a tree of the
/// first half gets wrong stays with it, and is cut off with it.
#[test]
fn flipped_bits_of_any_message_break_the_relation_and_are_not_noticed() {
    for (party, frame) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
        let broken = |at: &usize| {
            let outcomes = tampered(party, frame, Change::FlipBody(at * 24_001), 2000);
            let (received, sent) = pairs(&outcomes)[0];
            !related(received, sent)
        };
        let count = (1..=12).filter(broken).count();
        assert!(count > 0, "party {party}, frame {frame}");
    }
}
