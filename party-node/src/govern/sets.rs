//! Whose rows the figures of a release are made of: one set of patients for each figure and group, known to each site of its
//! own patients. What makes the sets is public, and the same at every party.

use std::collections::HashMap;
use std::fmt;

use query_planner::Compiled;
use query_planner::keys;
use query_planner::matched::Matching;
use query_planner::value::Value;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::local::Partials;
use crate::local::patients::{Known, Patients};

/// The patients of one site behind each figure of a release. Does not print; wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sets {
    /// What the patients' keys are hashes under: see [`crate::source::BoundData::study`].
    pub domain: [u8; 32],
    /// Each patient's keys, by which matching finds it; one for each pass.
    pub people: Vec<Vec<Option<[u8; 16]>>>,
    /// For each of the release's sets, positions in `people`, ascending.
    pub members: Vec<Vec<u32>>,
}

/// What one set is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    sum: usize,
    feature: usize,
    /// An encoded tuple of the feature's keys; none for all of them together.
    tuple: Option<Vec<u8>>,
}

/// How many sets a release has, once its groups are known.
pub fn count(compiled: &Compiled, groups: &[Vec<Vec<Value>>]) -> usize {
    figures(compiled, groups).len()
}

/// A site's own patients in each of these sets.
pub fn of(compiled: &Compiled, groups: &[Vec<Vec<Value>>], partials: &[Partials], domain: [u8; 32]) -> Sets {
    let mut people = People::default();
    let figures = figures(compiled, groups);
    let members = figures.iter().map(|figure| {
        let partials = partials.get(figure.sum);
        let known = partials.and_then(|partials| partials.patients.as_ref().or(partials.cohort.as_ref()));
        known.map(|known| people.members(known, figure)).unwrap_or_default()
    });
    let members = members.collect();
    Sets { domain, people: people.keys.clone(), members }
}

/// One figure for each thing that is known of patients, and one for each of its groups.
fn figures(compiled: &Compiled, groups: &[Vec<Vec<Value>>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (sum, groups) in groups.iter().enumerate() {
        let Some(matching) = matching(compiled, sum) else { continue };
        for (feature, known) in matching.features.iter().enumerate() {
            figures.push(Figure { sum, feature, tuple: None });
            let tuples = groups.iter().filter(|_| !known.keys.is_empty());
            let mut tuples: Vec<Vec<u8>> = tuples.filter_map(|group| tuple(matching, group)).collect();
            tuples.sort();
            tuples.dedup();
            figures.extend(tuples.into_iter().map(|tuple| Figure { sum, feature, tuple: Some(tuple) }));
        }
    }
    figures
}

/// What is known of patients for a sum: what is matched, or what the site notes for itself.
fn matching(compiled: &Compiled, sum: usize) -> Option<&Matching> {
    let cohort = compiled.local.get(sum).and_then(|stage| stage.cohort.as_ref());
    compiled.joint.sums[sum].matching.as_ref().or(cohort.map(|cohort| &cohort.matching))
}

fn tuple(matching: &Matching, group: &[Value]) -> Option<Vec<u8>> {
    let parts = matching.row_keys.iter().map(|key| group.get(*key).cloned());
    parts.collect::<Option<Vec<Value>>>().map(|parts| keys::encode(&parts))
}

/// A bound of each site's patients, and in how many ways they are found at other sites.
pub fn bounds(compiled: &Compiled) -> (usize, usize) {
    let all = (0..compiled.joint.sums.len()).filter_map(|sum| matching(compiled, sum));
    let bounds = all.map(|matching| (matching.max_patients as usize, matching.passes as usize));
    bounds.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))).unwrap_or((0, 1))
}

/// Patients of several sums or releases, each once.
#[derive(Default)]
pub struct People {
    keys: Vec<Vec<Option<[u8; 16]>>>,
    places: HashMap<Vec<Option<[u8; 16]>>, u32>,
}

impl People {
    /// Each patient's keys.
    pub fn keys(&self) -> &[Vec<Option<[u8; 16]>>] {
        &self.keys
    }

    /// The members of a release's sets among these patients, who join them; `sets` of them, empty where it has fewer.
    pub fn take(&mut self, of: &Sets, sets: usize) -> Vec<Vec<u32>> {
        let places: Vec<u32> = of.people.iter().map(|keys| self.place(keys.clone())).collect();
        let members = |set: usize| of.members.get(set).map(Vec::as_slice).unwrap_or_default();
        (0..sets).map(|set| members(set).iter().map(|patient| places[*patient as usize]).collect()).collect()
    }

    fn members(&mut self, known: &Patients, figure: &Figure) -> Vec<u32> {
        let Some(feature) = known.features.get(figure.feature) else { return Vec::new() };
        let mut members: Vec<u32> = patients(feature, figure.tuple.as_deref())
            .filter_map(|patient| known.keys.get(patient))
            .map(|keys| self.place(keys.iter().map(|key| key.map(|key| key.to_le_bytes())).collect()))
            .collect();
        members.sort_unstable();
        members.dedup();
        members
    }

    fn place(&mut self, keys: Vec<Option<[u8; 16]>>) -> u32 {
        let next = self.keys.len() as u32;
        *self.places.entry(keys).or_insert_with_key(|keys| {
            self.keys.push(keys.clone());
            next
        })
    }
}

fn patients<'a>(feature: &'a Known, tuple: Option<&'a [u8]>) -> impl Iterator<Item = usize> + 'a {
    let wanted = move |at: usize| tuple.is_none_or(|tuple| feature.tuples[at] == tuple);
    feature.entries.iter().filter(move |entry| wanted(entry.tuple)).map(|entry| entry.patient)
}

impl Drop for People {
    fn drop(&mut self) {
        self.keys.iter_mut().flatten().for_each(Zeroize::zeroize);
    }
}

impl Drop for Sets {
    fn drop(&mut self) {
        self.people.iter_mut().flatten().for_each(Zeroize::zeroize);
        self.members.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sets({} of one site's patients)", self.members.len())
    }
}

/// Most sets of one release: a site keeps each of them for the rest of the study, and every later release is compared with
/// each. One with more is refused: kept as a whole, its cells could be set against a later figure.
pub const MAX_SETS: usize = 1024;
