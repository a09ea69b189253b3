//! Planted bugs: a check that cannot fail shows nothing, so one wrong bit must make it fail.

use mpc_core::PartyId;
use mpc_core::transport::tamper::Change;
use mpc_core::world::World;

use super::super::Chains;
use super::SEED;
use super::relations::{Column, KINDS, Kind, made, pooled};

use Kind::*;

/// Frames of the last of two sites before its first choice: points of base OTs, corrections of their seeds.
const SET_UP: usize = 2;

fn good(kind: Kind, sites: usize, words: usize, chains: Chains) -> Vec<Vec<Column>> {
    println!("seed {SEED}, {kind:?}, {sites} sites, {words} words, {chains:?}");
    made(&World::new(sites).seed(SEED), kind, sites, words, chains)
}

#[test]
fn every_element_of_every_correlation_satisfies_its_relation() {
    for (kind, sites) in KINDS.into_iter().flat_map(|kind| [2, 3, 5].map(|sites| (kind, sites))) {
        for chains in [Chains::Ripple, Chains::Prefix] {
            assert_eq!(kind.faulty(&good(kind, sites, 2, chains), 2), [], "{kind:?}");
        }
    }
}

#[test]
fn relations_hold_beyond_the_first_batch() {
    // A batch is 2^11 words of bit triples, 2^12 ring triples, 2^10 words of daBits and selections.
    for (kind, words) in [(BitTriples, 2050), (RingTriples64, 65), (DaBits64, 1026), (Selections128, 1025)] {
        assert_eq!(kind.faulty(&good(kind, 3, words, Chains::Ripple), words), [], "{kind:?}");
    }
}

/// Does a wrong lowest bit in this column break the relation of element i? The factors of a product count only where the other
/// one is not zero.
fn counts(kind: Kind, pooled: &[Column], column: usize, i: usize) -> bool {
    match (kind, column) {
        (BitTriples | RingTriples64 | RingTriples128, 0) => pooled[1].get(i) != 0,
        (BitTriples | RingTriples64 | RingTriples128, 1) => pooled[0].get(i) != 0,
        (Selections64 | Selections128, 2) => pooled[0].get(i) != 0,
        _ => true,
    }
}

#[test]
fn one_wrong_bit_in_one_partys_part_is_found_and_only_there() {
    for (kind, sites) in KINDS.into_iter().flat_map(|kind| [2, 3].map(|sites| (kind, sites))) {
        let mut parts = good(kind, sites, 1, Chains::Ripple);
        let whole = pooled(&parts);
        for (party, column) in (0..sites).flat_map(|party| (0..whole.len()).map(move |column| (party, column))) {
            let mut found = 0;
            for i in 0..64 {
                parts[party][column].flip(i);
                let faulty = kind.faulty(&parts, 1);
                parts[party][column].flip(i);
                let expected: Vec<usize> = counts(kind, &whole, column, i).then_some(i).into_iter().collect();
                assert_eq!(faulty, expected, "{kind:?}, column {column} of party {party}");
                found += faulty.len();
            }
            assert!(found >= 16, "{kind:?}, column {column}: {found} of 64 wrong bits are found");
        }
    }
}

/// Runs two sites, the second of which flips the lowest bit of byte `at` of its `frame`-th message, a body of words whose bits
/// stand for rows. No element of another row may be touched. Is that row wrong?
fn flipped(kind: Kind, frame: usize, at: usize) -> bool {
    let world = World::new(2).seed(SEED).tamper(PartyId(1), frame, Change::FlipBody(at));
    let faulty = kind.faulty(&made(&world, kind, 2, 1, Chains::Ripple), 1);
    assert!(faulty.iter().all(|row| *row == 8 * (at % 8)), "{kind:?}, byte {at} of frame {frame}: {faulty:?}");
    !faulty.is_empty()
}

/// The correction of an OT goes into the rows of a group if Δ is not zero there, 15 times of 16. The sender then has two masks
/// that the receiver knows neither of: elements of one bit are wrong half of the time, numbers nearly always.
#[test]
fn a_flipped_ot_correction_makes_its_element_wrong() {
    println!("seed {SEED}");
    for (kind, least) in [
        (BitTriples, 4),
        (RingTriples64, 12),
        (RingTriples128, 12),
        (DaBits64, 12),
        (DaBits128, 12),
        (Selections64, 12),
        (Selections128, 12),
        (EdaBits(8), 4),
    ] {
        // Different groups of base OTs and different rows.
        let wrong = (0..20).filter(|i| flipped(kind, SET_UP, 8 * 3 * i + i % 8)).count();
        println!("{kind:?}: {wrong} of 20");
        assert!(wrong >= least, "{kind:?}: only {wrong} of 20 flipped corrections are found");
    }
}

/// The chain of products chooses for itself.
#[test]
fn a_flipped_ot_correction_of_the_second_choice_of_a_selection_makes_its_element_wrong() {
    println!("seed {SEED}");
    let wrong = (0..20).filter(|i| flipped(Selections64, SET_UP + 2, 8 * 3 * i + i % 8)).count();
    assert!(wrong >= 12, "only {wrong} of 20");
}

/// The sender's correction counts where the receiver chose one.
#[test]
fn a_flipped_bit_of_a_product_makes_its_element_wrong_for_half_of_the_choices() {
    println!("seed {SEED}");
    for kind in [BitTriples, EdaBits(8)] {
        let wrong = (0..40).filter(|i| flipped(kind, SET_UP + 1, *i)).count();
        assert!((4..=36).contains(&wrong), "{kind:?}: {wrong} of 40");
    }
}

#[test]
fn a_change_beyond_the_last_frame_leaves_every_correlation_good() {
    // The control of the tests above.
    println!("seed {SEED}");
    for kind in KINDS {
        assert!(!flipped(kind, 10_000, 0));
    }
}
