//! Several tables in one alignment against each alone.

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

#[test]
fn each_part_has_its_own_columns_in_its_own_bins() {
    let one = tables(vec![some(0, 2, 20), some(10, 1, 25), some(0, 5, 10)], 1, 3);
    let other = tables(vec![some(5, 3, 15), some(0, 1, 30), vec![]], 0, 70);
    let beside = Beside::one(part(&one, telescope(3))).with(&part(&other, all(3))).unwrap();
    let (shapes, runs) = (beside.shapes(), beside.runs());
    println!("seed {SEED}, shapes {shapes:?}, runs {runs:?}");
    let entered = [0, 1, 2].map(|site| beside.table(site, vec![Some(one.table(site)), Some(other.table(site))]));
    let joint = |site: usize| one.patients[site].iter().chain(&other.patients[site]).collect::<BTreeSet<_>>().len();
    assert!((0..3).all(|site| entered[site].as_ref().unwrap().rows() == joint(site)), "a patient is one row");
    let program = move |session: Session, own: Option<PatientTable>| {
        let (shapes, runs) = (shapes.clone(), runs.clone());
        async move {
            let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
            let result = align(&mut engine, &shapes, &runs, own).await;
            (engine.into_session(), result)
        }
    };
    let mut outcomes = memory(3).run(program, entered.into());
    let mut cut: Vec<Vec<Vec<Segment>>> = Vec::new();
    for outcome in &mut outcomes {
        let segments = std::mem::replace(&mut outcome.result, Ok(Vec::new())).expect("all are honest");
        cut.push(beside.cut(segments));
    }
    for (at, (tables, runs)) in [(&one, telescope(3)), (&other, all(3))].into_iter().enumerate() {
        let of_part = cut.iter_mut().map(|parts| std::mem::take(&mut parts[at]));
        outcomes.iter_mut().zip(of_part).for_each(|(outcome, segments)| outcome.result = Ok(segments));
        let mut segments = opened(&outcomes);
        let places = places(&segments);
        let clear: Vec<PatientTable> = (0..3).map(|site| tables.table(site)).collect();
        let mut want = clear::align(&clear, &tables.shapes, &runs, &places);
        for (segment, want) in segments.iter_mut().zip(&mut want) {
            // Whoever is in any of a site's tables is its patient.
            for (holder, want) in segment.holders.iter_mut().zip(&mut want.holders) {
                let is_known = holder.member.iter().zip(&want.member).all(|(joint, own)| *joint || !own);
                assert!(is_known, "a patient of a part is one of all");
                (holder.member, want.member) = (Vec::new(), Vec::new());
            }
            assert_eq!(segment, want);
        }
        let found = places.iter().zip(&runs).map(|(places, (receiver, _))| (places.iter().flatten().count(), receiver));
        assert!(found.into_iter().all(|(count, receiver)| count == tables.patients[receiver.index()].len()));
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
