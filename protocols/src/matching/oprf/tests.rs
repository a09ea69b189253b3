use std::time::Duration;

use mpc_core::error::{Error, PeerFault};
use mpc_core::random::PrivateSeed;
use mpc_core::step::StepPath;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Outcome, World};

use super::*;
use crate::cost;

const SEED: u64 = 20_261_122;

fn keys(label: &'static str, len: usize) -> Vec<Block> {
    let mut keys = vec![Block::ZERO; len];
    let mut prg = PrivateSeed::new([22; 32]).prg(Domain::Test, &StepPath::root().child(label, 0));
    prg.fill(bytemuck::cast_slice_mut(&mut keys));
    keys
}

/// Party 0 receives F at its keys, party 1 evaluates it at its own. `declared` keys are prepared for at party 0.
fn run(world: &World, declared: usize, theirs: Vec<Block>, ours: Vec<Block>) -> Vec<Outcome<Vec<Block>>> {
    println!("seed {SEED}, {declared} keys");
    let program = move |mut session: Session, keys: Vec<Block>| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            if session.me() == PartyId(0) {
                prepare_receive(&mut session, &mut ot, PartyId(1), declared).await?.receive(&mut session, &keys).await
            } else {
                Ok(send(&mut session, &mut ot, PartyId(0), declared).await?.evaluate(&keys))
            }
        };
        let result = result.await;
        (session, result)
    };
    world.run(program, vec![theirs, ours])
}

fn outputs(outcomes: &[Outcome<Vec<Block>>]) -> [&Vec<Block>; 2] {
    [0, 1].map(|party: usize| outcomes[party].result.as_ref().unwrap())
}

#[test]
fn both_sides_agree_on_common_keys_and_on_no_others() {
    for count in [0, 1, 2, 100, 1000, 20_000, 1 << 16] {
        let theirs = keys("common", count);
        // Another order, and others between.
        let ours: Vec<Block> =
            theirs.iter().rev().copied().zip(keys("own", count)).flat_map(<[Block; 2]>::from).collect();
        let outcomes = run(&World::new(2).seed(SEED), count, theirs, ours);
        let [received, evaluated] = outputs(&outcomes);
        assert!(received.iter().rev().eq(evaluated.iter().step_by(2)), "{count} keys");
        let mut all: Vec<u128> = evaluated.iter().map(|f| f.0).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * count, "outputs differ");
    }
}

#[test]
fn working_while_the_other_side_works_gives_both_sides_the_same_values() {
    let program = |mut session: Session, (count, keys): (usize, Vec<Block>)| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            if session.me() == PartyId(0) {
                receive(&mut session, &mut ot, PartyId(1), &keys).await
            } else {
                let sender = prepare_send(&mut session, &mut ot, PartyId(0), count).await?;
                sender.evaluate(&mut session, &keys).await
            }
        };
        let result = result.await;
        (session, result)
    };
    println!("seed {SEED}");
    // One bin; several bins, whose rows do and do not end with a frame's.
    for count in [1, 500, 50_000, 200_000] {
        let theirs = keys("common", count);
        let ours: Vec<Block> = theirs.iter().rev().copied().collect();
        let outcomes = World::new(2).seed(SEED).run(program, vec![(count, theirs), (count, ours)]);
        let [received, evaluated] = outputs(&outcomes);
        assert!(received.iter().rev().eq(evaluated), "{count} keys");
    }
}

/// Chi-square over bytes: 255 degrees of freedom, 380 is beyond 2^-20.
#[test]
fn outputs_of_the_simplest_keys_look_random_at_both_sides() {
    let simple: Vec<Block> = (0..10_000).map(Block).collect();
    let outcomes = run(&World::new(2).seed(SEED), 10_000, simple, (5_000..25_000).map(Block).collect());
    for column in outputs(&outcomes) {
        let mut counts = [0u32; 256];
        column.iter().flat_map(|block| block.to_le_bytes()).for_each(|byte| counts[usize::from(byte)] += 1);
        let expected = column.len() as f64 / 16.0;
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        assert!(chi < 380.0, "chi-square {chi}");
    }
}

#[test]
fn each_evaluation_is_another_function() {
    let program = |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let keys = keys("common", 300);
            let mut all = Vec::new();
            for _ in 0..2 {
                all.push(if session.me() == PartyId(0) {
                    receive(&mut session, &mut ot, PartyId(1), &keys).await?
                } else {
                    send(&mut session, &mut ot, PartyId(0), 300).await?.evaluate(&keys)
                });
            }
            Ok(all)
        };
        let result = result.await;
        (session, result)
    };
    let outcomes = World::new(2).seed(SEED).run(program, vec![(); 2]);
    let [receiver, sender] = [0, 1].map(|party: usize| outcomes[party].result.as_ref().unwrap());
    assert!(receiver == sender && receiver[0].iter().all(|f| !receiver[1].contains(f)));
}

#[test]
fn an_evaluation_costs_what_is_documented() {
    let program = |mut session: Session, (): ()| async move {
        let result = Ot::setup(&mut session).await.map(drop);
        (session, result)
    };
    let base = World::new(2).seed(SEED).run(program, vec![(); 2]);
    for count in [0, 1, 100, 3000, 100_000] {
        let outcomes = run(&World::new(2).seed(SEED), count, keys("common", count), Vec::new());
        let (receiver, sender) = cost::oprf(count).unwrap();
        for (party, cost) in [receiver, sender].into_iter().enumerate() {
            let (before, after) = (&base[party].stats, &outcomes[party].stats);
            assert_eq!(after.bytes() - before.bytes(), cost.bytes, "{count} keys, party {party}");
            assert_eq!(after.rounds - before.rounds, cost.rounds, "{count} keys, party {party}");
        }
    }
}

#[test]
fn equal_keys_another_number_of_keys_and_too_many_are_errors_of_our_own() {
    let error = |declared: usize, keys: Vec<Block>| {
        let world = World::new(2).seed(SEED).deadline(Duration::from_millis(500));
        run(&world, declared, keys, Vec::new()).swap_remove(0).result.unwrap_err()
    };
    let mut equal = keys("common", 100);
    equal[99] = equal[0];
    assert!(matches!(error(100, equal), Error::Local { fault: LocalFault::Other(_), .. }));
    let fault = LocalFault::Lengths { left: 99, right: 100 };
    assert!(matches!(error(100, keys("common", 99)), Error::Local { fault: f, .. } if f == fault));
    assert!(error((1 << 24) + 1, Vec::new()).to_string().contains("16777217"));
}

/// Frames of the receiver: two of the set-up, two of a short VOLE, the seed, the encoding.
const SEED_FRAME: usize = 4;

fn tampered(frame: usize, change: Change) -> Vec<Outcome<Vec<Block>>> {
    let world = World::new(2).seed(SEED).deadline(Duration::from_millis(500));
    run(&world.tamper(PartyId(0), frame, change), 100, keys("common", 100), keys("common", 100))
}

#[test]
fn an_encoding_or_seed_of_another_length_is_refused_and_its_sender_named() {
    for frame in [SEED_FRAME, SEED_FRAME + 1] {
        for change in [Change::Truncate, Change::Extend] {
            let outcomes = tampered(frame, change);
            let Err(Error::Peer { party, fault, .. }) = &outcomes[1].result else { panic!("accepted {change:?}") };
            assert!(*party == PartyId(0) && matches!(fault, PeerFault::Length { .. }), "{fault}");
        }
    }
}

/// Semi-honest: nobody checks it. The sender's function is another one where the flipped row is read.
#[test]
fn a_flipped_bit_of_the_seed_or_the_encoding_changes_outputs_and_is_not_noticed() {
    for (frame, at) in [(SEED_FRAME, 7), (SEED_FRAME + 1, 16 * 20 + 3)] {
        let outcomes = tampered(frame, Change::FlipBody(at));
        let [received, evaluated] = outputs(&outcomes);
        let wrong = received.iter().zip(evaluated).filter(|(r, e)| r != e).count();
        println!("{wrong} of 100 outputs differ");
        assert!(wrong > 0);
    }
}
