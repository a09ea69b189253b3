//! Permutations and shuffles in sessions, with OTs made there.

use std::collections::HashMap;

use WordKind::*;
use mpc_core::error::{Error, LocalFault, PeerFault};
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{PartyId, Result, Session};

use super::permutation::Part;
use super::*;
use crate::cost;
use crate::ot::Ot;

mod canaries;
mod once;
mod ones;
mod relations;
mod samplers;

const SEED: u64 = 20_261_122;

/// What a party had and has, and what it sent to prepare and to shuffle.
struct Ran {
    own: Vec<u64>,
    map: Vec<u32>,
    out: Vec<u64>,
    prepare_bytes: u64,
    shuffle_bytes: u64,
}

fn random_words(seed: u64, party: usize, len: usize) -> Vec<u64> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = party as u8;
    let mut words = vec![0; len];
    PrivateSeed::new(bytes).prg(Domain::Test, &StepPath::root()).fill(bytemuck::cast_slice_mut(&mut words));
    words
}

fn own_map(permutations: &[Permutation]) -> Vec<u32> {
    let map = |p: &Permutation| match &p.part {
        Part::Owner { map, .. } => Some(map.to_vec()),
        _ => None,
    };
    permutations.iter().find_map(map).unwrap_or_default()
}

async fn shuffle_once(session: &mut Session, n: usize, words: &[WordKind], own: Vec<u64>) -> Result<Ran> {
    let mut ot = Ot::setup(session).await?;
    let before = session.stats().bytes();
    let prepared = Permutation::shuffle(session, &mut ot, n, words).await?;
    let between = session.stats().bytes();
    let map = own_map(&prepared.permutations);
    let out = prepared.apply(session, own.clone()).await?;
    let after = session.stats().bytes();
    Ok(Ran { own, map, out, prepare_bytes: between - before, shuffle_bytes: after - between })
}

fn run(world: &World, sites: usize, n: usize, words: &'static [WordKind]) -> Vec<Outcome<Ran>> {
    println!("seed {SEED}, {sites} sites, {n} rows of {words:?}");
    let program = move |mut session: Session, own: Vec<u64>| async move {
        let result = shuffle_once(&mut session, n, words, own).await;
        (session, result)
    };
    world.run(program, (0..sites).map(|party| random_words(SEED, party, n * words.len())).collect())
}

/// What the shares stand for.
fn pooled(shares: &[&Vec<u64>], words: &[WordKind]) -> Vec<u64> {
    let mut sum = vec![0u64; shares[0].len()];
    for share in shares {
        for (at, (sum, x)) in sum.iter_mut().zip(share.iter()).enumerate() {
            *sum = match words[at % words.len()] {
                Xor => *sum ^ x,
                Add => sum.wrapping_add(*x),
                Xor32 => u64::from((*sum ^ x) as u32),
                Add32 => u64::from((*sum as u32).wrapping_add(*x as u32)),
            };
        }
    }
    sum
}

fn permuted(rows: &[u64], map: &[u32], width: usize) -> Vec<u64> {
    map.iter().flat_map(|from| rows[*from as usize * width..][..width].to_vec()).collect()
}

/// Are the pooled rows those that went in, after all sites' permutations in turn?
fn is_shuffled(ran: &[&Ran], words: &[WordKind]) -> bool {
    let mut expected = pooled(&ran.iter().map(|r| &r.own).collect::<Vec<_>>(), words);
    for ran in ran {
        expected = permuted(&expected, &ran.map, words.len());
    }
    pooled(&ran.iter().map(|r| &r.out).collect::<Vec<_>>(), words) == expected
}

fn conforms(net: Net, sites: usize, n: usize, words: &'static [WordKind]) {
    let outcomes = run(&World::new(sites).seed(SEED).over(net), sites, n, words);
    let ran: Vec<&Ran> = outcomes.iter().map(|o| o.result.as_ref().expect("all sites are honest")).collect();
    assert!(is_shuffled(&ran, words), "{n} rows of {words:?} at {sites} sites");
    let (sites, n, lanes) = (sites as u64, n as u64, Layout::new(words).lanes() as u64);
    let (prepare, shuffle) = (cost::shuffle_prepare(sites, n, lanes), cost::shuffle(sites, n, lanes));
    for ran in ran {
        assert_eq!((ran.prepare_bytes, ran.shuffle_bytes), (prepare.bytes, shuffle.bytes), "bytes of a site");
    }
    let rounds = outcomes.iter().map(|o| o.stats.rounds).max();
    assert_eq!(rounds, Some(cost::ot_setup(sites).then(prepare).then(shuffle).rounds), "rounds");
}

#[test]
fn shuffled_rows_are_permuted_by_all_sites_at_the_predicted_cost() {
    for sites in [2, 3, 5] {
        conforms(Net::Memory, sites, 200, &[Xor]);
        conforms(Net::Memory, sites, 77, &[Add, Xor]);
        conforms(Net::Memory, sites, 64, &[Xor32, Add32]);
        conforms(Net::Memory, sites, 100, &[Xor, Add32, Add, Xor, Xor32, Add32, Add]);
    }
}

#[test]
fn the_smallest_shuffles_work() {
    for n in [0, 1, 2, 3] {
        conforms(Net::Memory, 2, n, &[Xor, Add]);
        conforms(Net::Memory, 3, n, &[Add32]);
    }
}

#[test]
fn shuffled_rows_are_permuted_by_all_sites_over_quic() {
    for sites in [2, 3, 5] {
        conforms(Net::Quic, sites, 3000, &[Xor, Add]);
    }
    conforms(Net::Quic, 2, 20_000, &[Xor32, Add32, Xor, Add, Add]);
}

#[test]
fn shuffles_of_many_calls_and_windows_work() {
    conforms(Net::Memory, 2, 30_000, &[Xor, Add, Add]);
    assert_eq!(schedule(260_000, 1, 2).len(), 2);
    conforms(Net::Memory, 2, 260_000, &[Xor]);
}

#[test]
fn calls_cover_every_switch_once_and_start_at_whole_words() {
    for (n, lanes, sites) in [(0, 1, 3), (1, 2, 2), (100, 0, 2), (100_000, 2, 3), (100_000, 3, 20), (50_000, 400, 1)] {
        let calls: Vec<_> = schedule(n, lanes, sites).concat();
        let covered = calls.iter().fold(0, |at, call| {
            assert!(call.start == at && at % 64 == 0 && call.end > at);
            call.end
        });
        assert_eq!(covered, if lanes == 0 { 0 } else { waksman::switch_count(n) });
    }
}

/// Chi-square over the 6 orders of 3 rows; 5 degrees of freedom, 37 is beyond 2^-20.
#[test]
fn all_orders_are_equally_likely() {
    const DRAWS: usize = 6000;
    println!("seed {SEED}");
    let program = |mut session: Session, own: Vec<u64>| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let mut all = Vec::new();
            for _ in 0..DRAWS {
                let prepared = Permutation::shuffle(&mut session, &mut ot, 3, &[Add]).await?;
                all.push(prepared.apply(&mut session, own.clone()).await?);
            }
            Ok(all)
        };
        let result = result.await;
        (session, result)
    };
    let outcomes = World::new(2).seed(SEED).run(program, vec![vec![10, 20, 30], vec![1, 2, 3]]);
    let all: Vec<_> = outcomes.into_iter().map(|o| o.result.expect("both sites are honest")).collect();
    let mut counts = HashMap::<Vec<u64>, usize>::new();
    for (a, b) in all[0].iter().zip(&all[1]) {
        *counts.entry(pooled(&[a, b], &[Add])).or_default() += 1;
    }
    assert!(counts.len() == 6 && counts.keys().all(|order| order.iter().sum::<u64>() == 66));
    let expected = DRAWS as f64 / 6.0;
    let chi: f64 = counts.values().map(|c| (*c as f64 - expected).powi(2) / expected).sum();
    assert!(chi < 37.0, "chi-square {chi}");
}

/// One permutation that `owner` brings, at three sites and an analyst.
fn run_owned(owner: PartyId, map: &[u32], brings: fn(PartyId, PartyId) -> bool) -> Vec<Outcome<(Vec<u64>, Vec<u64>)>> {
    let (map, n) = (map.to_vec(), 40);
    let program = move |mut session: Session, own: Vec<u64>| {
        let map = map.clone();
        async move {
            let result = async {
                let me = session.me();
                let mut ot = Ot::setup(&mut session).await?;
                let map = brings(me, owner).then_some(&map[..]);
                let one = Permutation::owned(&mut session, &mut ot, owner, map, n, &[Xor, Add]).await?;
                Ok((own.clone(), one.apply(&mut session, own).await?))
            };
            let result = result.await;
            (session, result)
        }
    };
    let mut inputs: Vec<_> = (0..3).map(|party| random_words(SEED, party, 2 * n)).collect();
    inputs.push(vec![0; 2 * n]);
    World::new(3).with_analyst().seed(SEED).run(program, inputs)
}

#[test]
fn a_site_permutes_rows_as_it_chose_to() {
    println!("seed {SEED}");
    let map = PrivateSeed::new([3; 32]).prg(Domain::Test, &StepPath::root()).permutation(40);
    for owner in [0, 1, 2].map(PartyId) {
        let outcomes = run_owned(owner, &map, |me, owner| me == owner);
        let rows: Vec<_> = outcomes.iter().map(|o| o.result.as_ref().expect("all are honest")).collect();
        let before = pooled(&rows.iter().map(|r| &r.0).collect::<Vec<_>>(), &[Xor, Add]);
        let after = pooled(&rows.iter().map(|r| &r.1).collect::<Vec<_>>(), &[Xor, Add]);
        assert_eq!(after, permuted(&before, &map, 2));
        assert!(rows[3].1.iter().all(|x| *x == 0), "the analyst has no part in it");
        assert!(rows[..3].iter().all(|r| r.0 != r.1 && permuted(&r.0, &map, 2) != r.1), "shares are fresh");
    }
}

#[test]
fn permutations_that_are_none_or_nobodys_are_refused() {
    let map: Vec<u32> = (0..40).collect();
    let mut twice = map.clone();
    twice[3] = 4;
    let owner = PartyId(1);
    for wrong in [&map[..39], &twice] {
        let outcomes = run_owned(owner, wrong, |me, owner| me == owner);
        assert!(matches!(&outcomes[1].result, Err(Error::Local { fault: LocalFault::Other(_), .. })));
    }
    let owner_without: fn(PartyId, PartyId) -> bool = |_, _| false;
    for (owner, brings) in [(owner, owner_without), (owner, |_, _| true), (PartyId(3), |me, owner| me == owner)] {
        let outcomes = run_owned(owner, &map, brings);
        let role = |e: &Error| matches!(e, Error::Local { fault: LocalFault::Role(_), .. });
        assert!(outcomes.iter().any(|o| o.result.as_ref().is_err_and(role)));
        assert!(outcomes[..3].iter().all(|o| o.result.is_err()), "whoever did not notice was told");
    }
}

/// Frames of one of two sites: base OTs and their seeds, its choices, its corrections, its masked share.
const CHOICES: usize = 2;
const CORRECTIONS: usize = 3;
const MASKED: usize = 4;

#[test]
fn one_flipped_choice_or_masked_word_makes_other_rows() {
    let wrong = |frame, at| {
        let world = World::new(2).seed(SEED).tamper(PartyId(1), frame, Change::FlipBody(at));
        let outcomes = run(&world, 2, 100, &[Xor, Add]);
        let ran: Vec<&Ran> = outcomes.iter().map(|o| o.result.as_ref().expect("nobody notices")).collect();
        !is_shuffled(&ran, &[Xor, Add])
    };
    assert!(!wrong(MASKED + 1, 0), "there is no such frame");
    assert!((0..10).all(|word| wrong(MASKED, 8 * word)));
    assert!((0..10).all(|byte| wrong(CHOICES, byte)));
    // A correction counts where the owner swaps.
    let noticed = (0..40).filter(|switch| wrong(CORRECTIONS, 16 * switch)).count();
    assert!((1..40).contains(&noticed), "{noticed} of 40 corrections");
}

#[test]
fn a_message_of_another_length_is_blamed_on_its_sender() {
    for frame in CHOICES..=MASKED {
        for change in [Change::Truncate, Change::Extend] {
            let world = World::new(2).seed(SEED).tamper(PartyId(1), frame, change);
            let outcomes = run(&world, 2, 100, &[Xor, Add]);
            let error = outcomes[0].result.as_ref().err();
            let length =
                |e: &Error| matches!(e, Error::Peer { party: PartyId(1), fault: PeerFault::Length { .. }, .. });
            assert!(error.is_some_and(length), "frame {frame}, {change:?}: {error:?}");
        }
    }
}

#[test]
fn rows_of_another_number_are_refused() {
    let program = |mut session: Session, rows: usize| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let prepared = Permutation::shuffle(&mut session, &mut ot, 10, &[Xor, Add]).await?;
            prepared.apply(&mut session, vec![0; rows]).await
        };
        let result = result.await;
        (session, result)
    };
    let outcomes = World::new(2).seed(SEED).run(program, vec![20, 19]);
    let fault = LocalFault::Lengths { left: 19, right: 20 };
    assert!(matches!(&outcomes[1].result, Err(Error::Local { fault: f, .. }) if *f == fault));
}
