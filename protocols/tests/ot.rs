//! Oblivious transfer between all sites, on every transport, with its cost, and against a party that deviates.

use std::time::Duration;

use mpc_core::error::PeerFault;
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::transport::Header;
use mpc_core::transport::record::Log;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Block, Error, PartyId, Result, Session};
use protocols::cost;
use protocols::ot::Ot;

const SEED: u64 = 20_261_122;

/// What one party has of the OTs with one other site, one entry for each call.
struct Seen {
    with: PartyId,
    choices: Vec<u64>,
    chosen: Vec<Block>,
    chosen_bits: Vec<u64>,
    zero: Vec<Block>,
    one: Vec<Block>,
    zero_bits: Vec<u64>,
    one_bits: Vec<u64>,
}

fn choices(me: PartyId, with: PartyId, call: usize, words: usize) -> Vec<u64> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEED.to_le_bytes());
    seed[8..11].copy_from_slice(&[me.0, with.0, call as u8]);
    let mut bytes = vec![0; 8 * words];
    PrivateSeed::new(seed).prg(Domain::Test, &StepPath::root()).fill(&mut bytes);
    bytes.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap())).collect()
}

/// Set-up, then for each number of words a call in both directions with every other site.
async fn calls(session: &mut Session, words: &[usize]) -> Result<Vec<Seen>> {
    let mut ot = Ot::setup(session).await?;
    let (me, others, mut seen) = (session.me(), session.other_sites(), Vec::new());
    for (call, words) in words.iter().enumerate() {
        let mut session = session.step("call");
        let mut received = Vec::new();
        for with in &others {
            let choices = choices(me, *with, call, *words);
            received.push((ot.receiver(*with).choose(&mut session, &choices)?, choices));
        }
        for (with, (received, choices)) in others.iter().zip(received) {
            let offered = ot.sender(*with).offer(&mut session, *words).await?;
            assert_eq!(format!("{received:?} {offered:?}"), format!("Received(len {0}) Offered(len {0})", 64 * words));
            let (mut chosen, mut zero, mut one) = (Vec::new(), vec![Block(1); 3], Vec::new());
            received.hash_into(&mut chosen);
            offered.hash_into(&mut zero, &mut one);
            let (zero_bits, one_bits) = offered.hash_bits();
            let chosen_bits = received.hash_bits();
            seen.push(Seen { with: *with, choices, chosen, chosen_bits, zero, one, zero_bits, one_bits });
        }
    }
    Ok(seen)
}

fn run(world: &World, sites: usize, words: &[usize]) -> Vec<Outcome<Vec<Seen>>> {
    println!("seed {SEED}, {sites} sites, calls of {words:?} words");
    let words = words.to_vec();
    let program = move |mut session: Session, (): ()| {
        let words = words.clone();
        async move {
            let result = calls(&mut session, &words).await;
            (session, result)
        }
    };
    world.run(program, vec![(); sites])
}

/// The OTs of a call in which the chosen mask is not the offered one of the same choice, or is the other one too.
fn faulty(receiver: &Seen, sender: &Seen) -> Vec<usize> {
    let bit = |words: &[u64], i: usize| words[i / 64] >> (i % 64) & 1;
    let is_faulty = |i: &usize| {
        let masks = [sender.zero[*i], sender.one[*i]];
        let bits = [bit(&sender.zero_bits, *i), bit(&sender.one_bits, *i)];
        let choice = bit(&receiver.choices, *i) as usize;
        receiver.chosen[*i] != masks[choice]
            || receiver.chosen[*i] == masks[1 - choice]
            || bit(&receiver.chosen_bits, *i) != bits[choice]
            || bits != masks.map(|m| m.0 as u64 & 1)
    };
    (0..receiver.chosen.len()).filter(is_faulty).collect()
}

/// All calls' OTs in every direction, the receiver's view beside the sender's.
fn pairs(outcomes: &[Outcome<Vec<Seen>>], calls: usize) -> Vec<(&Seen, &Seen)> {
    let seen: Vec<&Vec<Seen>> = outcomes.iter().map(|o| o.result.as_ref().unwrap()).collect();
    let of = |me: usize, with: usize, call: usize| {
        let found = seen[me].iter().filter(|s| s.with.index() == with).nth(call);
        found.expect("each call has OTs with every other site")
    };
    let directions = (0..seen.len()).flat_map(|a| (0..seen.len()).map(move |b| (a, b))).filter(|(a, b)| a != b);
    directions.flat_map(|(a, b)| (0..calls).map(move |call| (of(a, b, call), of(b, a, call)))).collect()
}

#[test]
fn the_chosen_mask_is_the_offered_one_and_the_other_differs_on_every_transport() {
    let words = [0, 1, 2, 3, 127, 128, 129, 1000, 4097];
    for (net, sites) in [(Net::Memory, 2), (Net::Memory, 3), (Net::Quic, 2), (Net::Quic, 3)] {
        let outcomes = run(&World::new(sites).seed(SEED).over(net), sites, &words);
        for (receiver, sender) in pairs(&outcomes, words.len()) {
            assert_eq!(faulty(receiver, sender), Vec::<usize>::new(), "over {net:?}, {sites} sites");
        }
    }
}

#[test]
fn calls_queued_before_any_is_answered_cost_one_round_and_agree() {
    let program = |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let mut session = session.step("calls");
            let with = session.other_sites()[0];
            let received: Result<Vec<_>> =
                [300, 1, 2].into_iter().map(|n| ot.receiver(with).choose(&mut session, &vec![0; n])).collect();
            let mut zero = Vec::new();
            for words in [300, 1, 2] {
                zero.push(ot.sender(with).offer(&mut session, words).await?.hash_bits().0);
            }
            Ok((received?.iter().map(|r| r.hash_bits()).collect::<Vec<_>>(), zero))
        };
        let result = result.await;
        (session, result)
    };
    println!("seed {SEED}");
    let outcomes = World::new(2).seed(SEED).run(program, vec![(), ()]);
    let [a, b] = [0, 1].map(|party: usize| outcomes[party].result.as_ref().unwrap());
    assert!(a.0 == b.1 && b.0 == a.1);
    assert_eq!(outcomes.iter().map(|o| o.stats.rounds).max(), Some(3));
}

#[test]
fn no_mask_occurs_twice_in_any_call_or_direction() {
    let outcomes = run(&World::new(3).seed(SEED), 3, &[3, 128, 5]);
    let mut masks: Vec<u128> = outcomes
        .iter()
        .flat_map(|o| o.result.as_ref().unwrap())
        .flat_map(|seen| seen.zero.iter().chain(&seen.one).map(|m| m.0))
        .collect();
    let all = masks.len();
    masks.sort_unstable();
    masks.dedup();
    assert_eq!(masks.len(), all);
}

#[test]
fn set_up_and_extension_cost_what_is_documented() {
    for (sites, words) in [(2, vec![1]), (3, vec![2, 130]), (4, vec![128])] {
        let outcomes = run(&World::new(sites).seed(SEED), sites, &words);
        let calls = words.iter().map(|w| cost::ot_extension(sites as u64, 64 * *w as u64));
        let predicted = calls.fold(cost::ot_setup(sites as u64), |sum, call| sum.then(call));
        let others = sites as u64 - 1;
        let bodies: u64 = 257 * 32 + 192 * 16 + words.iter().map(|w| 4 * 64 * *w as u64).sum::<u64>();
        let headers = (2 + words.len() as u64) * Header::BYTES as u64;
        for outcome in &outcomes {
            assert_eq!(outcome.stats.bytes(), others * (bodies + headers));
            assert_eq!(outcome.stats.bytes(), predicted.bytes);
        }
        assert_eq!(outcomes.iter().map(|o| o.stats.rounds).max(), Some(predicted.rounds), "{sites} sites, {words:?}");
    }
}

/// Chi-square over bytes: 255 degrees of freedom, 380 is beyond 2^-20.
fn bytes_are_uniform(what: &str, bytes: impl Iterator<Item = u8>) {
    let mut counts = [0u32; 256];
    bytes.for_each(|b| counts[usize::from(b)] += 1);
    let expected = f64::from(counts.iter().sum::<u32>()) / 256.0;
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    println!("{what}: chi-square {chi:.1} over {} bytes", 256.0 * expected);
    assert!(expected > 5.0 && chi < 380.0, "chi-square {chi} for {what}");
}

#[test]
fn corrections_look_random_whatever_was_chosen() {
    // All choices zero: what travels is nothing but the mask of the choices.
    let log = Log::default();
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let mut session = session.step("call");
            let with = session.other_sites()[0];
            let received = ot.receiver(with).choose(&mut session, &[0; 4096])?;
            let offered = ot.sender(with).offer(&mut session, 4096).await?;
            Ok((received.hash_bits(), offered.hash_bits()))
        };
        let result = result.await;
        (session, result)
    };
    println!("seed {SEED}");
    let outcomes = World::new(2).seed(SEED).record(PartyId(0), log.clone()).run(program, vec![(), ()]);
    let correction = log.lock().unwrap().last().unwrap().2.body.clone();
    assert_eq!(correction.len(), 4 * 64 * 4096);
    bytes_are_uniform("correction", correction.iter().copied());
    let (received, (zero, one)) = outcomes[0].result.as_ref().unwrap();
    for (what, bits) in [("chosen", received), ("zero", zero), ("one", one)] {
        bytes_are_uniform(what, bits.iter().flat_map(|w| w.to_le_bytes()));
    }
    bytes_are_uniform("zero ⊕ one", zero.iter().zip(one).flat_map(|(a, b)| (a ^ b).to_le_bytes()));
}

/// Frames of a site of two: 0 the points, 1 the corrections of trees, then one for each call.
const FIRST_CALL: usize = 2;

fn tampered(frame: usize, change: Change) -> Vec<Outcome<Vec<Seen>>> {
    let world = World::new(2).seed(SEED).deadline(Duration::from_millis(300));
    run(&world.tamper(PartyId(0), frame, change), 2, &[2])
}

#[test]
fn one_changed_bit_of_a_correction_spoils_one_ot_unless_delta_has_a_zero_there() {
    // A group's correction enters a row times 4 bits of Δ, which are all zero for one group in 16.
    let mut spoiled = 0;
    for group in 0..32 {
        let outcomes = tampered(FIRST_CALL, Change::FlipBody(16 * group));
        let [(receiver, sender), (other_receiver, other_sender)] = pairs(&outcomes, 1)[..] else { panic!("two") };
        let faults = faulty(receiver, sender);
        assert!(faults.is_empty() || faults == [0], "group {group}: {faults:?}");
        assert!(faulty(other_receiver, other_sender).is_empty());
        spoiled += faults.len();
    }
    println!("{spoiled} of 32 changed bits spoiled an OT");
    assert!(spoiled >= 20, "the check of these tests sees a changed bit");
}

#[test]
fn a_changed_tree_correction_spoils_ots() {
    let spoils = |at: usize| {
        let outcomes = tampered(1, Change::FlipBody(at));
        pairs(&outcomes, 1).iter().any(|(receiver, sender)| !faulty(receiver, sender).is_empty())
    };
    // Of the two blocks of a level the other side uses one.
    assert!(spoils(0) ^ spoils(16));
}

#[test]
fn a_correction_of_another_length_is_refused_and_its_sender_named() {
    for (change, sent) in [(Change::Truncate, 511), (Change::Extend, 513)] {
        let outcomes = tampered(FIRST_CALL, change);
        let Err(Error::Peer { party, fault, .. }) = &outcomes[1].result else { panic!("accepted {change:?}") };
        assert_eq!((*party, fault), (PartyId(0), &PeerFault::Length { sent, expected: 512 }));
    }
}

#[test]
fn a_point_that_is_none_is_refused_and_its_sender_named() {
    // The lowest bit of an encoding's first byte is its sign: set, the encoding is not canonical.
    for point in [0, 1, 200] {
        let outcomes = tampered(0, Change::FlipBody(32 * point));
        let Err(Error::Peer { party, fault, .. }) = &outcomes[1].result else { panic!("accepted point {point}") };
        assert_eq!((*party, fault), (PartyId(0), &PeerFault::NonCanonical("point")));
    }
}
