//! The sums over matched patients: what each site enters, whose bins are needed, and the circuit over them.

use std::collections::{BTreeMap, HashMap};

use mpc_core::{Bits, PartyId, Result, Z64};
use protocols::matching::{Further, PatientTable, Segment, Shape, empty};
use protocols::relational::patients::{Circuit, totals};
use protocols::{ArithShare, Engine};
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::linkage::FurtherKeys;
use query_planner::matched::{Feature, Matching, What};
use query_planner::plan::{Ring, SecureSum, Summand};
use query_planner::value::Value;

use super::nodes::write;
use crate::govern::figures::{Group, parties};
use crate::local::patients::{MAX_BITS, Patients};

/// Where a site's features stand in its table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// For each feature the site has: its first column, of bits for `Any`, of numbers for everything else. The columns of a
    /// tuple of row keys follow each other.
    pub features: Vec<Option<usize>>,
    /// Columns of numbers.
    pub numbers: usize,
    /// Columns of bits.
    pub bits: usize,
}

/// Where an entry of a feature stands in its site's table.
pub(crate) enum Stands {
    Bit(usize),
    Number(usize),
}

impl Layout {
    /// The column of an entry of a feature in so manieth a tuple; None for a feature that the site does not have.
    pub fn column(&self, matching: &Matching, feature: usize, tuple: usize, at: usize) -> Option<Stands> {
        let first = *self.features.get(feature)?.as_ref()?;
        Some(match width(&matching.features[feature].what) {
            BIT => Stands::Bit(first + tuple),
            width => Stands::Number(first + tuple * width + at),
        })
    }

    /// The same features behind so many other columns.
    pub fn behind(self, matching: &Matching, bits: usize, numbers: usize) -> Self {
        let moved = |(first, feature): (Option<usize>, &Feature)| {
            Some(first? + if width(&feature.what) == BIT { bits } else { numbers })
        };
        let features = self.features.into_iter().zip(&matching.features).map(moved).collect();
        Self { features, ..self }
    }
}

/// The matching of one sum, once its groups are known. Public.
pub struct Matched {
    shapes: Vec<Shape>,
    runs: Vec<(PartyId, Vec<PartyId>)>,
    circuit: Circuit,
    /// The slots that are totals over patients, in the order of the circuit's totals; each has one for each group.
    slots: Vec<usize>,
    groups: usize,
    layouts: Vec<Layout>,
    /// By encoded row keys.
    tuples: HashMap<Vec<u8>, usize>,
    /// How many numbers each feature has for a tuple.
    widths: Vec<usize>,
    passes: usize,
}

impl Matched {
    /// What a sum does with matched patients, if anything. `all` are the plan's sites, in party order.
    ///
    /// # Errors
    /// What contradicts itself in the plan, in words.
    pub fn new(all: &[SiteName], sum: &SecureSum, groups: &[Vec<Value>]) -> std::result::Result<Option<Self>, String> {
        let Some(matching) = &sum.matching else { return Ok(None) };
        let slots: Vec<(usize, usize)> = sum.slots.iter().enumerate().filter_map(patients_slot).collect();
        if slots.iter().any(|(slot, _)| sum.slots[*slot].ring != Ring::Z64) {
            return Err("a total over patients that does not fit 64 bits".into());
        }
        check(matching)?;
        let (tuples, groups) = keyed(sum, matching, groups)?;
        let sites = parties(all, matching)?;
        let layouts: Vec<Layout> = all.iter().map(|site| layout(matching, site, tuples.len())).collect();
        let nodes: Vec<usize> = slots.iter().map(|(_, node)| *node).collect();
        let circuit = write(matching, (&sites, &layouts), tuples.len(), &groups, &nodes)?;
        let runs = runs(&circuit);
        let patients = usize::try_from(matching.max_patients).map_err(|_| "more patients than memory".to_owned())?;
        let passes = matching.passes as usize;
        let further = further(matching)?;
        let shape = |layout: &Layout| Shape { patients, passes, further, numbers: layout.numbers, bits: layout.bits };
        Ok(Some(Self {
            shapes: layouts.iter().map(shape).collect(),
            runs,
            circuit,
            slots: slots.into_iter().map(|(slot, _)| slot).collect(),
            groups: groups.len(),
            layouts,
            tuples,
            passes,
            widths: matching.features.iter().map(|feature| width(&feature.what)).collect(),
        }))
    }

    /// What sites enter: by party.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Whose bins are needed, and who is matched with them.
    pub fn runs(&self) -> &[(PartyId, Vec<PartyId>)] {
        &self.runs
    }

    /// Bins that nobody knows anything in.
    pub fn empty(&self) -> Vec<Segment> {
        empty(&self.shapes, &self.runs)
    }

    /// What a party enters; nothing if it is not matched.
    pub fn table(&self, me: usize, known: &Patients) -> Option<PatientTable> {
        let layout = self.layouts.get(me)?;
        let is_me = |party: &PartyId| party.index() == me;
        if !self.runs.iter().any(|(receiver, senders)| is_me(receiver) || senders.iter().any(is_me)) {
            return None;
        }
        let rows = known.keys.len();
        let row = further_first(known);
        let mut numbers = vec![vec![Z64(0); rows]; layout.numbers];
        let mut bits = Bits::zeros(rows, layout.bits);
        for ((feature, width), first) in known.features.iter().zip(&self.widths).zip(&layout.features) {
            let Some(first) = *first else { continue };
            // What a site has of keys that were not agreed is of no group.
            let tuples: Vec<Option<usize>> =
                feature.tuples.iter().map(|tuple| self.tuples.get(tuple).copied().or_else(|| whole(tuple))).collect();
            for entry in &feature.entries {
                match tuples[entry.tuple] {
                    Some(tuple) if *width == BIT => bits.set(row[entry.patient], first + tuple, entry.number != 0),
                    Some(tuple) => numbers[first + tuple * width + entry.at][row[entry.patient]] = Z64(entry.number),
                    None => {}
                }
            }
        }
        let mut keys = vec![vec![None; rows]; self.passes];
        for (patient, of_patient) in known.keys.iter().enumerate() {
            keys.iter_mut().zip(of_patient).for_each(|(pass, key)| pass[row[patient]] = *key);
        }
        let mut further = vec![Vec::new(); self.passes];
        known.further.iter().for_each(|key| further[key.pass].push((row[key.patient], key.key)));
        Some(PatientTable { keys, further, numbers, bits })
    }

    /// The totals of every slot over patients, by group.
    ///
    /// # Errors
    /// As [`totals`].
    pub async fn totals<E: Engine>(&self, e: &mut E, segments: &[Segment]) -> Result<BTreeMap<usize, ArithShare<Z64>>> {
        let all = totals(e, &self.circuit, segments, self.slots.len() * self.groups).await?;
        let of_slot = |(at, slot): (usize, &usize)| (*slot, all.slice(at * self.groups..(at + 1) * self.groups));
        Ok(self.slots.iter().enumerate().map(of_slot).collect())
    }
}

/// How many further keys there are.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub(crate) fn further(matching: &Matching) -> std::result::Result<Further, String> {
    let Some(FurtherKeys { patients, each }) = matching.further_keys else { return Ok(Further::NONE) };
    let bound = usize::try_from(patients).ok().zip(usize::try_from(each).ok());
    let (rows, each) = bound.ok_or("more further keys than memory")?;
    Ok(Further { rows, each })
}

/// The row of each patient: those with further keys come first, as only the first rows have places for them.
fn further_first(known: &Patients) -> Vec<usize> {
    let mut has_further = vec![false; known.keys.len()];
    known.further.iter().for_each(|key| has_further[key.patient] = true);
    let (mut first, mut then) = (0, has_further.iter().filter(|has| **has).count());
    let mut next = |has: bool| {
        let row = if has { &mut first } else { &mut then };
        *row += 1;
        *row - 1
    };
    has_further.into_iter().map(&mut next).collect()
}

fn patients_slot((index, slot): (usize, &query_planner::plan::Slot)) -> Option<(usize, usize)> {
    match slot.what {
        Summand::Patients(node) => Some((index, node)),
        _ => None,
    }
}

fn check(matching: &Matching) -> std::result::Result<(), String> {
    let fits = |bits: u32| (1..=MAX_BITS).contains(&bits);
    let known =
        matching.features.iter().all(|feature| fits(feature.bits) && feature.relation < matching.relations.len());
    let steps = matching.nodes.iter().all(|step| step.bits <= MAX_BITS);
    if known && steps { Ok(()) } else { Err("a number over patients that does not fit 61 bits".into()) }
}

/// Numbers of the tuples of row keys, and groups.
pub(crate) type Keyed = (HashMap<Vec<u8>, usize>, Vec<Group>);

/// The tuples of row keys in the order in which groups name them, and what makes each group.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub(crate) fn keyed(sum: &SecureSum, matching: &Matching, groups: &[Vec<Value>]) -> std::result::Result<Keyed, String> {
    let mut tuples: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut keyed = Vec::with_capacity(groups.len());
    for group in groups {
        let part = |key: &usize| group.get(*key).cloned().ok_or("a row key that its sum does not have");
        let tuple = matching.row_keys.iter().map(part).collect::<std::result::Result<Vec<Value>, _>>()?;
        let next = tuples.len();
        let tuple = *tuples.entry(keys::encode(&tuple)).or_insert(next);
        let mut bits = Vec::with_capacity(matching.patient_keys.len());
        for key in &matching.patient_keys {
            let domain = sum.keys.get(key.key).and_then(|key| key.domain.as_ref());
            let at = domain.and_then(|domain| domain.iter().position(|value| *value == group[key.key]));
            bits.push(*at.and_then(|at| key.values.get(at)).ok_or("a patient's key without a bit for each value")?);
        }
        keyed.push(Group { tuple, bits });
    }
    // A sum of no groups has nothing to match.
    Ok((tuples, keyed))
}

/// Where a site's features stand in its table.
pub(crate) fn layout(matching: &Matching, site: &SiteName, tuples: usize) -> Layout {
    let mut layout = Layout::default();
    for feature in &matching.features {
        let relation = &matching.relations[feature.relation];
        if !relation.contributors.iter().any(|name| name.same(site)) {
            layout.features.push(None);
            continue;
        }
        let tuples = if feature.keys.is_empty() { 1 } else { tuples };
        let (columns, first) = match width(&feature.what) {
            BIT => (tuples, &mut layout.bits),
            width => (tuples * width, &mut layout.numbers),
        };
        layout.features.push(Some(*first));
        *first += columns;
    }
    layout
}

/// Numbers that a feature has for each tuple; none for a bit.
fn width(what: &What) -> usize {
    match what {
        What::Any => BIT,
        What::Events { bound, .. } => *bound as usize,
        _ => 1,
    }
}

const BIT: usize = 0;

/// The only tuple of a feature without keys.
pub(crate) fn whole(tuple: &[u8]) -> Option<usize> {
    tuple.is_empty().then_some(0)
}

/// The bins a circuit needs, each with the sites it needs beside the receiver.
fn runs(circuit: &Circuit) -> Vec<(PartyId, Vec<PartyId>)> {
    let senders = |(receiver, sites): (PartyId, std::collections::BTreeSet<PartyId>)| {
        (receiver, sites.into_iter().filter(|site| *site != receiver).collect())
    };
    circuit.needed().into_iter().map(senders).collect()
}
