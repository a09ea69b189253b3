use std::time::Duration;

use mpc_core::error::{Error, PeerFault};
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Outcome, World};

use super::super::{Extension, Ot, OtReceiver, OtSender};
use super::*;
use crate::parameters::Code;

const SEED: u64 = 20_261_122;
const BATCH: usize = 1 << 14;

/// The rows of one party in both directions with the other one.
struct Rows {
    q: Vec<Block>,
    delta: Block,
    t: Vec<Block>,
}

fn rows(world: &World, code: Code, ots: usize) -> Vec<Outcome<Rows>> {
    println!("seed {SEED}, {code:?}, {ots} OTs");
    let program = move |mut session: Session, (): ()| async move {
        let result = both_directions(&mut session, code, ots).await;
        (session, result)
    };
    world.run(program, vec![(); 2])
}

async fn both_directions(session: &mut Session, code: Code, ots: usize) -> Result<Rows> {
    let mut ot = Ot::setup_with(session, Extension::Silent { batch: BATCH, code }).await?;
    let others = session.other_sites();
    ot.prepare(session, &others, ots).await?;
    let with = session.other_sites()[0];
    let OtSender::Silent(sender) = ot.sender(with) else { unreachable!("silent was asked for") };
    let (q, delta) = (sender.stock.take(ots).unwrap().column().to_vec(), sender.delta);
    let OtReceiver::Silent(receiver) = ot.receiver(with) else { unreachable!("silent was asked for") };
    Ok(Rows { q, delta, t: receiver.stock.take(ots).unwrap().column().to_vec() })
}

/// t = q ⊕ c·Δ with c the lowest bit of t, and q's clear.
fn related(sender: &Rows, receiver: &Rows) -> bool {
    let shift = |t: Block| Block(sender.delta.0 * (t.0 & 1));
    let pairs = sender.q.iter().zip(&receiver.t);
    sender.delta.0 & 1 == 1 && pairs.clone().all(|(q, t)| q.0 & 1 == 0 && *t == *q ^ shift(*t))
}

/// Chi-square over bytes: 255 degrees of freedom, 380 is beyond 2^-20.
fn bytes_are_uniform(what: &str, bytes: &[u8]) {
    let mut counts = [0u32; 256];
    bytes.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let expected = bytes.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    println!("{what}: chi-square {chi:.1} over {} bytes", bytes.len());
    assert!(expected > 5.0 && chi < 380.0, "chi-square {chi} for {what}");
}

#[test]
fn rows_differ_by_delta_where_the_choice_bit_is_one_over_several_batches_and_both_codes() {
    for code in [Code::ExpandConvolute7, Code::ExpandConvolute21] {
        let outcomes = rows(&World::new(2).seed(SEED), code, 2 * BATCH + 64);
        let [a, b] = [0, 1].map(|party| outcomes[party].result.as_ref().unwrap());
        assert!(related(a, b) && related(b, a), "{code:?}");
        assert!(a.delta != b.delta && !related(b, b));
    }
}

#[test]
fn choice_bits_and_rows_look_random() {
    let outcomes = rows(&World::new(2).seed(SEED), Code::ExpandConvolute7, 4 * BATCH);
    let Rows { q, t, .. } = outcomes[0].result.as_ref().unwrap();
    let byte = |rows: &[Block]| rows.iter().fold(0, |byte, row| byte << 1 | row.0 as u8 & 1);
    bytes_are_uniform("choice bits", &t.chunks_exact(8).map(byte).collect::<Vec<u8>>());
    let pairs = t.chunks_exact(2).map(|rows| rows[0].0 ^ rows[1].0).collect::<Vec<u128>>();
    bytes_are_uniform("sums of neighbours", &pairs.iter().map(|row| (row >> 64) as u8).collect::<Vec<u8>>());
    bytes_are_uniform("rows of the sender", &q.iter().map(|row| (row.0 >> 8) as u8).collect::<Vec<u8>>());
    let ones = t.iter().filter(|row| row.0 & 1 == 1).count();
    // 2^16 fair bits deviate by 7 standard deviations (896) once in 2^38.
    assert!(ones.abs_diff(2 * BATCH) < 896, "{ones} ones");
}

/// Frames of a site of two: 0 the points, 1 the corrections of SoftSpoken's trees, 2 the choices of base OTs, 3 the sums.
const SUMS: usize = 3;

fn tampered(frame: usize, change: Change) -> Vec<Outcome<Rows>> {
    let world = World::new(2).seed(SEED).deadline(Duration::from_millis(500));
    rows(&world.tamper(PartyId(0), frame, change), Code::ExpandConvolute7, BATCH)
}

#[test]
fn one_changed_bit_of_a_level_sum_breaks_the_relation_in_that_direction_only() {
    let depth = Lpn::silent(BATCH, Code::ExpandConvolute7).unwrap().depth();
    for ot in [0, depth - 1, 100 * depth + 3] {
        let spoils = |side: usize| {
            // The second byte: the lowest bit of a node is cleared at the leaves.
            let outcomes = tampered(SUMS, Change::FlipBody(16 * (2 * ot + side) + 1));
            let [a, b] = [0, 1].map(|party| outcomes[party].result.as_ref().unwrap());
            assert!(related(b, a), "the other direction is untouched");
            !related(a, b)
        };
        // Of the two sums of a level the receiver reads one.
        assert!(spoils(0) ^ spoils(1), "OT {ot}");
    }
}

#[test]
fn a_changed_correction_of_a_tree_breaks_the_relation() {
    let lpn = Lpn::silent(BATCH, Code::ExpandConvolute7).unwrap();
    let outcomes = tampered(SUMS, Change::FlipBody(16 * (2 * lpn.base_ots() + 5) + 1));
    let [a, b] = [0, 1].map(|party| outcomes[party].result.as_ref().unwrap());
    assert!(!related(a, b) && related(b, a));
}

#[test]
fn messages_of_another_length_are_refused_and_their_sender_named() {
    for frame in [SUMS - 1, SUMS] {
        for change in [Change::Truncate, Change::Extend] {
            let outcomes = tampered(frame, change);
            let Err(Error::Peer { party, fault, .. }) = &outcomes[1].result else { panic!("accepted {change:?}") };
            assert!(*party == PartyId(0) && matches!(fault, PeerFault::Length { .. }), "{fault}");
        }
    }
}
