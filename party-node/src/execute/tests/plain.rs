//! A matching evaluated in plain numbers, patient by patient.

use query_planner::catalog::SiteName;
use query_planner::decode;
use query_planner::matched::{Matching, Node, What};
use query_planner::plan::{SecureSum, Summand};
use query_planner::value::Value;

use crate::local::patients::Patients;

/// A sum, and what every site knows.
#[derive(Clone)]
pub struct Case {
    pub sites: Vec<SiteName>,
    pub sum: SecureSum,
    /// `facts[feature][patient][tuple]`: all sites' rows together.
    pub facts: Vec<Vec<Vec<Facts>>>,
    /// The same, by site, as the local stage has it.
    pub known: Vec<Patients>,
}

/// The rows of one patient and tuple.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    pub any: bool,
    pub number: i128,
    pub codes: Vec<u64>,
}

/// `totals[slot][group]`, less what nobody would count.
pub fn expected(case: &Case) -> Vec<Vec<i64>> {
    let matching = case.sum.matching.as_ref().unwrap();
    let groups = decode::groups(&case.sum);
    let patients = case.facts[0].len();
    let nothing: Vec<Vec<Facts>> = case.facts.iter().map(|of| vec![Facts::default(); of[0].len()]).collect();
    let slots = case.sum.slots.iter().filter_map(|slot| match slot.what {
        Summand::Patients(node) => Some(node),
        _ => None,
    });
    let total = |node: usize, group: &Vec<Value>| -> i64 {
        let of = |patient: usize| {
            let facts: Vec<Vec<Facts>> = case.facts.iter().map(|of| of[patient].clone()).collect();
            of_patient(case, matching, &facts, node, group) - of_patient(case, matching, &nothing, node, group)
        };
        (0..patients).map(of).sum::<i128>() as i64
    };
    slots.map(|node| groups.iter().map(|group| total(node, group)).collect()).collect()
}

/// A node of one patient in a group, 0 outside of it.
pub fn of_patient(case: &Case, matching: &Matching, facts: &[Vec<Facts>], node: usize, group: &[Value]) -> i128 {
    let tuple = match matching.row_keys.first() {
        Some(key) => case.sum.keys[*key].domain.as_ref().unwrap().iter().position(|v| *v == group[*key]).unwrap(),
        None => 0,
    };
    let mut values: Vec<i128> = Vec::new();
    for step in &matching.nodes {
        values.push(value(matching, facts, &step.node, tuple, &values));
        assert!(values.last().unwrap().unsigned_abs() < 1 << step.bits.max(1) || step.bits == 0, "{step:?}");
    }
    let inside = matching.patient_keys.iter().all(|key| {
        let at = case.sum.keys[key.key].domain.as_ref().unwrap().iter().position(|v| *v == group[key.key]).unwrap();
        values[key.values[at]] == 1
    });
    if inside { values[node] } else { 0 }
}

fn value(matching: &Matching, facts: &[Vec<Facts>], node: &Node, tuple: usize, values: &[i128]) -> i128 {
    let known = |feature: usize| {
        let of = &facts[feature];
        (&matching.features[feature], if of.len() == 1 { &of[0] } else { &of[tuple] })
    };
    match node {
        Node::Feature(feature) => {
            let (feature, facts) = known(*feature);
            match feature.what {
                What::Any => i128::from(facts.any),
                What::Count(_) | What::Sum(..) => facts.number,
                What::Least(..) => facts.codes.iter().min().map_or(1 << feature.bits, |code| i128::from(*code)),
                What::Greatest(..) => facts.codes.iter().max().map_or(-1, |code| i128::from(*code)),
                What::Events { .. } => unreachable!(),
            }
        }
        Node::Constant(value) => i128::from(*value),
        Node::Not(a) => 1 - values[*a],
        Node::And(a, b) => values[*a] & values[*b],
        Node::Or(a, b) => values[*a] | values[*b],
        Node::Differ(a, b) => values[*a] ^ values[*b],
        Node::Less(a, b) => i128::from(values[*a] < values[*b]),
        Node::Equal(a, b) => i128::from(values[*a] == values[*b]),
        Node::Add(a, b) => values[*a] + values[*b],
        Node::Subtract(a, b) => values[*a] - values[*b],
        Node::Multiply(a, b) => values[*a] * values[*b],
        Node::Number(a) => values[*a],
        Node::Select(a, b) => values[*a] * values[*b],
        Node::Gaps { feature, at_least, at_most } => {
            let codes = sorted(known(*feature).1);
            let counts = |pair: &&[u64]| {
                let step = pair[1] - pair[0];
                step >= *at_least && at_most.is_none_or(|most| step <= most)
            };
            codes.windows(2).filter(counts).count() as i128
        }
        Node::Nth { feature, n } => {
            let (feature, facts) = known(*feature);
            sorted(facts).get(*n as usize).map_or(1 << feature.bits, |code| i128::from(*code))
        }
        Node::Length(feature) => known(*feature).1.codes.len() as i128,
    }
}

fn sorted(facts: &Facts) -> Vec<u64> {
    let mut codes = facts.codes.clone();
    codes.sort_unstable();
    codes
}
