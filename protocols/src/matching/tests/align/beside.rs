//! Several tables in one alignment: what each gets of it.

use super::*;
use crate::matching::beside::{Beside, Part};

fn part(tables: &Tables, runs: Vec<Run>) -> Part {
    Part { shapes: tables.shapes.clone(), runs }
}

/// Every site against all others.
fn all(sites: u8) -> Vec<Run> {
    let others = |site: u8| (1..sites).map(|behind| PartyId((site + behind) % sites)).collect();
    (0..sites).map(|site| (PartyId(site), others(site))).collect()
}

/// Bounds are the same for both.
fn tables(patients: Vec<Vec<u64>>, numbers: usize, bits: usize) -> Tables {
    let mut tables = Tables::new(patients, numbers, bits, 0);
    tables.shapes.iter_mut().for_each(|shape| shape.patients = 60);
    tables
}

fn some(first: u64, step: usize, count: usize) -> Vec<u64> {
    (first..).step_by(step).take(count).collect()
}

/// What a site has of a patient in its table, if it is there: numbers and bits.
fn known(tables: &Tables, site: usize, patient: Option<u64>) -> (Vec<Z64>, Vec<bool>) {
    let (table, shape) = (tables.table(site), &tables.shapes[site]);
    let row = patient.and_then(|patient| tables.patients[site].iter().position(|known| *known == patient));
    let number = |column: &Vec<Z64>| row.map_or(Z64(0), |row| column[row]);
    let bit = |plane: usize| row.is_some_and(|row| table.bits.get(row, plane));
    (table.numbers.iter().map(number).collect(), (0..shape.bits).map(bit).collect())
}

#[test]
fn each_part_has_its_own_columns_beside_the_patients_of_all() {
    let one = tables(vec![some(0, 2, 20), some(10, 1, 25), some(0, 5, 10)], 1, 3);
    let other = tables(vec![some(5, 3, 15), some(0, 1, 30), vec![]], 0, 70);
    let beside = Beside::one(part(&one, telescope(3))).with(&part(&other, all(3))).unwrap();
    let (shapes, runs) = (beside.shapes(), beside.runs());
    let entered = |site: usize| beside.table(site, vec![Some(one.table(site)), Some(other.table(site))]);
    let joint = |site: usize| one.patients[site].iter().chain(&other.patients[site]).copied().collect::<BTreeSet<_>>();
    assert!((0..3).all(|site| entered(site).unwrap().rows() == joint(site).len()), "a patient is one row");
    let of_all = || run_entered(memory(3), &shapes, &runs, (0..3).map(entered).collect());
    // Which patient is in a bin, by the numbers of its rows that its receiver enters in both tables.
    let whole = opened(&of_all());
    let patient = |segment: &ClearSegment, bin: usize| {
        let (own, site) = (segment.holders.last().unwrap(), segment.receiver.index());
        let in_one = own.numbers[0][bin].0.checked_sub(1).map(|row| one.patients[site][row as usize]);
        let in_other = own.numbers[2][bin].0.checked_sub(1).map(|row| other.patients[site][row as usize]);
        assert!(in_one.is_none() || in_other.is_none() || in_one == in_other, "a row is of one patient");
        in_one.or(in_other)
    };
    for (at, (tables, runs)) in [(&one, telescope(3)), (&other, all(3))].into_iter().enumerate() {
        let mut outcomes = of_all();
        for outcome in &mut outcomes {
            let segments = std::mem::replace(&mut outcome.result, Ok(Vec::new())).expect("all are honest");
            outcome.result = Ok(beside.cut(segments).remove(at));
        }
        let segments = opened(&outcomes);
        for (segment, (receiver, senders)) in segments.iter().zip(&runs) {
            let of_all =
                |all: &&ClearSegment| all.receiver == *receiver && (all.holders.len() == 1) == senders.is_empty();
            let all = whole.iter().find(of_all).unwrap();
            let sites: Vec<PartyId> = segment.holders.iter().map(|holder| holder.site).collect();
            assert_eq!(sites, senders.iter().chain([receiver]).copied().collect::<Vec<_>>());
            for bin in 0..segment.rows {
                let patient = patient(all, bin);
                for holder in &segment.holders {
                    let numbers: Vec<Z64> = holder.numbers.iter().map(|column| column[bin]).collect();
                    let site = holder.site.index();
                    assert_eq!((numbers, holder.bits[bin].clone()), known(tables, site, patient), "{patient:?}");
                    assert_eq!(holder.member[bin], patient.is_some_and(|patient| joint(site).contains(&patient)));
                }
            }
        }
    }
}

#[test]
fn what_has_another_bound_or_further_keys_does_not_stand_beside() {
    let (one, other) = (tables(vec![some(0, 1, 5); 2], 0, 1), tables(vec![some(0, 1, 5); 2], 0, 1));
    let beside = Beside::one(part(&one, all(2)));
    assert!(beside.with(&part(&other, all(2))).is_some());
    let mut larger = part(&other, all(2));
    larger.shapes[1].patients += 1;
    assert!(beside.with(&larger).is_none());
    let further = part(&other.with_further(2, 1), all(2));
    assert!(beside.with(&further).is_none() && Beside::one(further.clone()).with(&further).is_none());
}

#[test]
fn the_same_key_twice_in_a_table_stays_two_rows() {
    let one = tables(vec![vec![7, 7], vec![1]], 0, 1);
    let beside = Beside::one(part(&one, all(2))).with(&part(&one, all(2))).unwrap();
    let table = beside.table(0, vec![Some(one.table(0)), Some(one.table(0))]).unwrap();
    assert!(table.rows() > 1, "a matching refuses it");
}
