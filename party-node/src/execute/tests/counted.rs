//! Who counts in a sum over matched patients: what sites note, and the circuit that flags it, against a plain evaluation.

use std::collections::BTreeMap;

use mpc_core::random::PublicSeed;
use mpc_core::{Bits, Block, Z64};
use protocols::matching::PatientTable;
use protocols::relational::differencing::{Check, Columns, Counted as Sets, Form, Ledgered, clear};
use protocols::relational::patients::Circuit;
use query_planner::decode;
use query_planner::plan::Summand;

use super::plain::{Case, Facts, of_patient};
use super::random;
use crate::execute::nodes::mark;
use crate::execute::patients::{Layout, keyed, layout};
use crate::govern::figures::Counted;
use crate::govern::sets::People;

/// The grounded slots' nodes.
fn nodes(case: &Case) -> Vec<usize> {
    let matching = case.sum.matching.as_ref().unwrap();
    let nodes = case.sum.slots.iter().filter_map(|slot| match slot.what {
        Summand::Patients(node) => Some(node),
        _ => None,
    });
    let mut nodes: Vec<usize> = nodes.filter(|node| matching.is_grounded(&[*node])).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// How many patients are in each set, as sites' columns and the circuit say.
fn flagged(case: &Case, nodes: &[usize], form: Form) -> Vec<u64> {
    let matching = case.sum.matching.clone().unwrap();
    let (tuples, groups) = keyed(&case.sum, &matching, &decode::groups(&case.sum)).unwrap();
    let counted = Counted { matching, tuples: tuples.len(), groups, nodes: nodes.to_vec() };
    let layouts: Vec<Layout> = case.sites.iter().map(|s| layout(&counted.matching, s, counted.tuples)).collect();
    let matched = counted.parties(&case.sites).unwrap();
    let circuit = mark(&counted, (&matched, &layouts), (0, form), Circuit::default()).unwrap();
    let tables: Vec<PatientTable> = case
        .known
        .iter()
        .zip(&layouts)
        .map(|(known, layout)| {
            let mut people = People::default();
            let own = people.columns(known, (&counted, layout, &tuples));
            let rows = people.all().len();
            let mut planes = Bits::zeros(rows, layout.bits);
            for (column, members) in own.bits.iter().enumerate() {
                members.iter().for_each(|patient| planes.set(*patient as usize, column, true));
            }
            let mut columns = vec![vec![Z64(0); rows]; layout.numbers];
            for (column, known) in columns.iter_mut().zip(&own.numbers) {
                known.iter().for_each(|(patient, number)| column[*patient as usize] = Z64(*number));
            }
            let keys = people.all().iter().map(|person| person.keys[0].map(Block::from_le_bytes)).collect();
            PatientTable { keys: vec![keys], further: Vec::new(), numbers: columns, bits: planes }
        })
        .collect();
    // Each set against one of nobody.
    let (sets, patients) = (counted.sets(), tables.iter().map(PatientTable::rows).max().unwrap());
    let pairs = (0..sets).map(|set| (set, sets)).collect();
    let shape = Ledgered { patients, passes: 1, sets: sets + 1, pairs, least: 2, form, ..Ledgered::default() };
    let columns = layouts.iter().map(|own| Columns { numbers: own.numbers, bits: own.bits }).collect();
    let check =
        Check::of(&shape, &Sets { circuit, columns, said: BTreeMap::new() }, case.sites.len(), PublicSeed([0; 32]))
            .unwrap();
    clear::differences(&check, &tables)
}

/// The same, patient by patient.
fn expected(case: &Case, nodes: &[usize]) -> Vec<u64> {
    let matching = case.sum.matching.as_ref().unwrap();
    let groups = decode::groups(&case.sum);
    let mut sets = Vec::new();
    for node in nodes {
        let counts = |patient: usize| -> Vec<bool> {
            let facts: Vec<Vec<Facts>> = case.facts.iter().map(|of| of[patient].clone()).collect();
            groups.iter().map(|group| of_patient(case, matching, &facts, *node, group) != 0).collect()
        };
        let patients: Vec<Vec<bool>> = (0..case.facts[0].len()).map(counts).collect();
        if groups.len() > 1 {
            sets.push(patients.iter().filter(|groups| groups.contains(&true)).count() as u64);
        }
        sets.extend((0..groups.len()).map(|at| patients.iter().filter(|groups| groups[at]).count() as u64));
    }
    sets
}

#[test]
fn flagged_is_whoever_s_node_is_not_zero_in_a_group() {
    let (mut some, mut none) = (0, 0);
    for seed in 1..=60 {
        println!("seed {seed}");
        for sites in [2, 3, 5] {
            let case = random::case(seed, sites, 12);
            let nodes = nodes(&case);
            if nodes.is_empty() {
                continue;
            }
            let want = expected(&case, &nodes);
            for form in [Form::Once, Form::Telescoped] {
                let flagged = flagged(&case, &nodes, form);
                assert_eq!(flagged, want, "seed {seed}, {sites} sites, {form:?}: {:#?}", case.sum.matching);
            }
            some += want.iter().filter(|patients| **patients > 0).count();
            none += want.iter().filter(|patients| **patients == 0).count();
        }
    }
    println!("{some} sets of somebody, {none} of nobody");
    assert!(some > 300 && none > 10, "{some} sets of somebody, {none} of nobody");
}
