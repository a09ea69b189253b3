//! What each operation opens, step by step: enough to know its messages without sending any.

use super::compare::{EDABIT_SITES, below_last};
use super::{adder, prefix};
use crate::correlation::{Chains, Group};

/// A column that a group opens.
pub(crate) struct Opened {
    pub group: Group,
    pub elements: usize,
    pub element_bytes: usize,
}

/// What is opened side by side.
pub(crate) type Step = Vec<Opened>;

fn one(sites: &Group, elements: usize, element_bytes: usize) -> Opened {
    Opened { group: sites.clone(), elements, element_bytes }
}

/// An AND opens both of its factors.
fn ands(step: Vec<(Group, usize)>, words: usize) -> Step {
    step.into_iter().map(|(group, planes)| Opened { group, elements: 2 * words * planes, element_bytes: 8 }).collect()
}

fn all_ands(steps: Vec<Vec<(Group, usize)>>, words: usize) -> Vec<Step> {
    steps.into_iter().map(|step| ands(step, words)).collect()
}

pub(crate) fn mul(sites: &Group, elements: usize, element_bytes: usize) -> Vec<Step> {
    vec![vec![one(sites, 2 * elements, element_bytes)]]
}

pub(crate) fn and(sites: &Group, rows: usize, width: usize) -> Vec<Step> {
    vec![ands(vec![(sites.clone(), width)], rows.div_ceil(64))]
}

pub(crate) fn b2a(sites: &Group, rows: usize, width: usize) -> Vec<Step> {
    vec![vec![one(sites, rows.div_ceil(64) * width, 8)]]
}

pub(crate) fn select(sites: &Group, rows: usize, element_bytes: usize) -> Vec<Step> {
    vec![vec![one(sites, rows.div_ceil(64), 8), one(sites, rows, element_bytes)]]
}

pub(crate) fn places(sites: &Group, rows: usize) -> Vec<Step> {
    vec![vec![one(sites, rows, 4)]]
}

pub(crate) fn a2b(sites: &Group, chains: Chains, rows: usize, bits: usize) -> Vec<Step> {
    all_ands(adder::steps(&adder::levels(sites), chains, bits, &(0..bits)), rows.div_ceil(64))
}

pub(crate) fn negative(sites: &Group, chains: Chains, rows: usize, bits: usize) -> Vec<Step> {
    let words = rows.div_ceil(64);
    if sites.len() < EDABIT_SITES {
        return all_ands(adder::steps(&adder::levels(sites), chains, bits, &(bits - 1..bits)), words);
    }
    let borrows: Vec<usize> = match chains {
        Chains::Ripple => vec![1; bits - 1],
        Chains::Prefix => prefix::last_pairs(bits - 1).iter().map(|pairs| 2 * pairs.len()).collect(),
    };
    let masked = vec![one(sites, rows, 8)];
    let chain = borrows.into_iter().map(|planes| ands(vec![(sites.clone(), planes)], words));
    [masked].into_iter().chain(chain).collect()
}

pub(crate) fn is_zero(sites: &Group, chains: Chains, rows: usize, bits: usize) -> Vec<Step> {
    let (words, levels) = (rows.div_ceil(64), adder::levels(sites));
    let mut steps = all_ands(adder::steps(below_last(&levels), chains, bits, &(0..bits)), words);
    let mut planes = bits;
    while planes > 1 {
        steps.push(ands(vec![(sites.clone(), planes / 2)], words));
        planes -= planes / 2;
    }
    steps
}
