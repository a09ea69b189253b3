//! Patients with several keys: in several passes, and in one.

use super::*;

#[test]
fn a_patient_is_found_by_any_pass_and_has_the_values_of_the_first_that_finds_it() {
    for sites in [2, 3] {
        for passes in [2, 3] {
            for (rows, slack) in [(40, 0), (60, 7), (1, 0), (0, 2)] {
                let patients = (0..sites as u64).map(|site| (0..rows + site * rows / 3).collect()).collect();
                let tables = Tables::new(patients, 2, 70, slack).in_passes(passes);
                is_that_of_the_twin(memory(sites), &tables, &telescope(sites));
            }
        }
    }
}

#[test]
fn a_patient_with_several_keys_in_a_pass_is_found_by_any_of_them_and_counts_once() {
    for (sites, passes) in [(2, 1), (2, 3), (3, 1), (3, 2)] {
        for (rows, slack) in [(40, 0), (60, 7), (1, 0), (0, 2)] {
            for (further, each) in [(1, 1), (9, 3), (200, 2)] {
                let patients = (0..sites as u64).map(|site| (0..rows + site * rows / 3).collect()).collect();
                let tables = Tables::new(patients, 2, 70, slack).in_passes(passes).with_further(further, each);
                is_that_of_the_twin(memory(sites), &tables, &telescope(sites));
            }
        }
    }
}

#[test]
fn two_patients_meet_whichever_of_their_keys_are_the_same() {
    // Row i of both sites has the keys i and 100 + i. Of every patient the sites first see different ones.
    let mut tables = Tables::new(vec![(0..20).collect(), (0..20).collect()], 1, 1, 0);
    for site in 0..2 {
        tables.shapes[site].further = Further { rows: 20, each: 1 };
        let number = |row: usize, nth: usize| key((100 * ((site + nth) % 2) + row) as u64);
        tables.keys[site] = vec![(0..20).map(|row| Some(number(row, 0))).collect()];
        tables.further[site] = vec![(0..20).map(|row| (row, number(row, 1))).collect()];
    }
    let count = |tables: &Tables| {
        let segments = opened(&is_that_of_the_twin(memory(2), tables, &telescope(2)));
        segments[1].holders[0].member.iter().filter(|member| **member).count()
    };
    assert_eq!(count(&tables), 20);
    // With one key each, nobody is found; with the sender's alone or the receiver's alone, everybody.
    for (of, found) in [([false, false], 0), ([true, false], 20), ([false, true], 20)] {
        let mut some = tables.clone();
        for site in (0..2).filter(|site| !of[*site]) {
            some.shapes[site].further = Further::NONE;
            some.further[site] = Vec::new();
        }
        assert_eq!(count(&some), found);
    }
}

#[test]
fn what_is_sent_depends_on_the_bound_of_further_keys_and_not_on_who_has_some() {
    let bytes = |full: bool| {
        let tables = Tables::new(vec![(0..50).collect(), (25..75).collect()], 1, 1, 0).with_further(10, 2);
        let mut tables = tables.clone();
        if !full {
            tables.further = vec![Vec::new(); 2];
        }
        let outcomes = run(memory(2), &tables, &telescope(2));
        outcomes.iter().map(|outcome| (outcome.stats.bytes(), outcome.stats.rounds)).collect::<Vec<_>>()
    };
    assert_eq!(bytes(true), bytes(false));
}

#[test]
fn more_further_keys_than_declared_are_refused() {
    type Change = fn(&mut Tables);
    let changes: [(Change, &str); 5] = [
        (|tables| tables.further[0] = vec![vec![(4, key(900))]], "a row behind those that may have some"),
        (|tables| tables.further[0] = vec![(0..3).map(|n| (1, key(900 + n))).collect()], "too many for one row"),
        (|tables| tables.further[0] = vec![vec![(0, key(3))]], "a key of another row"),
        (|tables| tables.further[0] = vec![vec![(0, key(900)), (1, key(900))]], "the same for two rows"),
        (|tables| tables.shapes.iter_mut().for_each(|shape| shape.further.rows = 11), "more than there are rows"),
    ];
    for (change, why) in changes {
        let mut tables = Tables::new(vec![(0..10).collect(), (0..10).collect()], 0, 0, 0);
        tables.shapes.iter_mut().for_each(|shape| shape.further = Further { rows: 4, each: 2 });
        change(&mut tables);
        let outcome = &run(memory(2), &tables, &telescope(2))[0];
        assert!(outcome.result.is_err(), "{why}");
    }
}

#[test]
fn passes_with_the_same_keys_find_what_one_pass_finds() {
    let one = Tables::new(vec![(0..50).collect(), (30..90).collect()], 1, 1, 3);
    let mut twice = one.clone();
    twice.keys.iter_mut().for_each(|keys| keys.push(keys[0].clone()));
    twice.shapes.iter_mut().for_each(|shape| shape.passes = 2);
    let common = |tables: &Tables| {
        let segments = opened(&is_that_of_the_twin(memory(2), tables, &telescope(2)));
        segments[1].holders[0].member.iter().filter(|member| **member).count()
    };
    assert_eq!((common(&one), common(&twice)), (20, 20));
}

#[test]
fn a_key_of_one_pass_is_no_key_of_another() {
    let mut tables = Tables::new(vec![(0..30).collect(), (0..30).collect()], 0, 0, 0);
    for (site, keys) in tables.keys.iter_mut().enumerate() {
        let without = vec![None; 30];
        keys.insert(if site == 0 { 0 } else { 1 }, without);
    }
    tables.shapes.iter_mut().for_each(|shape| shape.passes = 2);
    let segments = opened(&is_that_of_the_twin(memory(2), &tables, &telescope(2)));
    assert!(segments[1].holders[0].member.iter().all(|member| !member));
}

#[test]
fn in_several_passes_too_one_site_s_shares_look_uniform() {
    let mut tables = Tables::new(vec![(0..3000).collect(), (2000..5000).collect()], 0, 64, 0);
    // The second pass finds everybody whom the first does, and some more.
    tables.keys.iter_mut().for_each(|keys| keys.push(keys[0].clone()));
    tables.keys.iter_mut().for_each(|keys| keys[0].iter_mut().skip(1).step_by(3).for_each(|key| *key = None));
    tables.shapes.iter_mut().for_each(|shape| shape.passes = 2);
    for outcome in &is_that_of_the_twin(memory(2), &tables, &telescope(2)) {
        let holder = &outcome.result.as_ref().unwrap()[1].holders[0];
        look_uniform(bytemuck::cast_slice(holder.numbers[0].column()));
        look_uniform(&holder.bits.bits().to_column());
        let member = holder.member.bits();
        let ones = (0..member.rows()).filter(|row| bit(member.words(), *row)).count() as f64;
        // Six standard deviations.
        assert!((ones - member.rows() as f64 / 2.0).abs() < 3.0 * (member.rows() as f64).sqrt());
    }
}

#[test]
fn sites_with_another_number_of_passes_are_refused() {
    let mut tables = Tables::new(vec![(0..4).collect(), (2..6).collect()], 0, 0, 0);
    tables.shapes[1].passes = 2;
    assert!(run(memory(2), &tables, &telescope(2)).iter().all(|outcome| outcome.result.is_err()));
}
