//! What should be uniform is: summands, pooled values and everything that hides a choice.

use mpc_core::transport::record::Log;
use mpc_core::world::World;
use mpc_core::{PartyId, Session};

use super::super::Chains;
use super::SEED;
use super::relations::{Column, Kind, low, made, pooled};
use crate::ot::Ot;

use Kind::*;

/// Chi-square over equally likely bins.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum()
}

/// 255 degrees of freedom: 380 is beyond 2^-20.
fn bytes_are_uniform(bytes: impl Iterator<Item = u8>, what: &str) {
    let mut counts = [0; 256];
    bytes.for_each(|byte| counts[usize::from(byte)] += 1);
    let chi = chi_square(&counts);
    println!("{what}: {} bytes, chi-square {chi:.0}", counts.iter().sum::<u32>());
    assert!(chi < 380.0, "{what}: chi-square {chi}");
}

/// Every byte of every element.
fn column_is_uniform(column: &Column, what: &str) {
    match column {
        Column::Bits(words) => bytes_are_uniform(words.iter().flat_map(|w| w.to_le_bytes()), what),
        Column::Numbers(numbers, width) => {
            (0..*width / 8).for_each(|at| {
                bytes_are_uniform(numbers.iter().map(|x| (x >> (8 * at)) as u8), &format!("{what}, byte {at}"));
            });
        }
    }
}

/// Pooled, and each party's own.
fn columns_are_uniform(kind: Kind, words: usize, columns: &[usize]) {
    println!("seed {SEED}, {kind:?}");
    let parts = made(&World::new(2).seed(SEED), kind, 2, words, Chains::Ripple);
    let whole = pooled(&parts);
    for column in columns {
        column_is_uniform(&whole[*column], &format!("{kind:?}, column {column}"));
        for (party, part) in parts.iter().enumerate() {
            column_is_uniform(&part[*column], &format!("{kind:?}, column {column} of party {party}"));
        }
    }
}

#[test]
fn bit_triples_have_uniform_factors_and_every_partys_product_is_uniform() {
    columns_are_uniform(BitTriples, 4096, &[0, 1]);
    let parts = made(&World::new(2).seed(SEED), BitTriples, 2, 4096, Chains::Ripple);
    parts.iter().for_each(|part| column_is_uniform(&part[2], "a party's c"));
}

/// 3 degrees of freedom: 31 is beyond 2^-20.
#[test]
fn factors_of_a_triple_are_independent_of_each_other() {
    println!("seed {SEED}");
    let whole = pooled(&made(&World::new(2).seed(SEED), BitTriples, 2, 1024, Chains::Ripple));
    let mut counts = [0; 4];
    (0..65_536).for_each(|i| counts[(whole[0].get(i) + 2 * whole[1].get(i)) as usize] += 1);
    let chi = chi_square(&counts);
    assert!(chi < 31.0, "chi-square {chi}");
}

#[test]
fn ring_triples_have_uniform_factors_at_every_byte() {
    columns_are_uniform(RingTriples64, 256, &[0, 1]);
    columns_are_uniform(RingTriples128, 128, &[0, 1]);
}

#[test]
fn dabits_are_uniform_bits_and_selections_have_uniform_numbers() {
    columns_are_uniform(DaBits64, 2048, &[0]);
    columns_are_uniform(DaBits128, 2048, &[0]);
    columns_are_uniform(Selections64, 1024, &[0, 2]);
    columns_are_uniform(Selections128, 1024, &[0, 2]);
}

/// A party's summand of a number that is 0 or 1 has to hide which: it is uniform.
#[test]
fn each_partys_summand_of_a_dabit_is_uniform() {
    println!("seed {SEED}");
    let parts = made(&World::new(2).seed(SEED), DaBits64, 2, 256, Chains::Ripple);
    parts.iter().for_each(|part| column_is_uniform(&part[1], "a party's summand"));
}

#[test]
fn edabits_are_uniform_over_all_numbers_of_their_width() {
    columns_are_uniform(EdaBits(8), 256, &[0]);
    columns_are_uniform(EdaBits(64), 256, &[0, 1, 64]);
    // A width that is no byte: all 2^5 numbers; 31 degrees of freedom, 84 is beyond 2^-20.
    let whole = pooled(&made(&World::new(3).seed(SEED), EdaBits(5), 3, 256, Chains::Prefix));
    let mut counts = [0; 32];
    (0..64 * 256).for_each(|i| counts[low(whole[0].get(i), 5) as usize] += 1);
    let chi = chi_square(&counts);
    assert!(chi < 84.0, "chi-square {chi}");
}

/// What an OT receiver sends is its choices under a mask. With constant choices it is the mask alone.
fn corrections_of(choices: u64) -> Vec<u8> {
    let log = Log::default();
    let world = World::new(2).seed(SEED).record(PartyId(1), log.clone());
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            match session.me() {
                PartyId(0) => ot.sender(PartyId(1)).offer(&mut session, 2048).await.map(drop),
                _ => ot.receiver(PartyId(0)).choose(&mut session, &vec![choices; 2048]).map(drop),
            }
        };
        let result = result.await;
        (session, result)
    };
    assert!(world.run(program, vec![(); 2]).iter().all(|o| o.result.is_ok()));
    let log = log.lock().expect("no code panics while it holds the log");
    log.last().map(|(.., frame)| frame.body.to_vec()).expect("the correction was sent")
}

#[test]
fn corrections_of_choices_are_uniform_whatever_the_choices_are() {
    println!("seed {SEED}");
    for choices in [0, u64::MAX] {
        let corrections = corrections_of(choices);
        assert_eq!(corrections.len(), 4 * 64 * 2048);
        bytes_are_uniform(corrections.into_iter(), "corrections");
    }
}
