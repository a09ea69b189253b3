//! How a release's sets of patients come of what sites know of them. Public, without a value of any key: which tuple of keys a column
//! is of is its position alone.

use mpc_core::PartyId;
use query_planner::Compiled;
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::matched::{Matching, Relation};
use query_planner::plan::Summand;
use query_planner::value::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The sets of a release, in order: those that sites say, then those of each sum over matched patients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// So many sets are a bit of every patient: a patient is in one if any site says so.
    pub said: usize,
    /// Of the others it is known on shares only who is in them.
    pub counted: Vec<Counted>,
    /// Did every site receive the answer?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
}

/// A sum over matched patients: who counts is whoever's node is not zero. For each node, where there is more than one group, a set of the
/// patients of all groups; then one for each group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The features and nodes; not what sites read, nor the keys.
    pub matching: Matching,
    /// Of row keys.
    pub tuples: usize,
    /// What makes each group.
    pub groups: Vec<Group>,
    /// The nodes of its slots, each once.
    pub nodes: Vec<usize>,
}

/// One group of a sum over patients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its tuple of row keys.
    pub tuple: usize,
    /// The nodes that must be true for a patient to be in it.
    pub bits: Vec<usize>,
}

impl Figures {
    /// How many sets there are.
    pub fn sets(&self) -> usize {
        self.counted.iter().map(Counted::sets).fold(self.said, usize::saturating_add)
    }

    /// Equal where sites make their sets in the same way.
    pub fn digest(&self) -> [u8; 32] {
        let text = serde_json::to_vec(self).expect("figures have no maps");
        Sha256::new().chain_update(b"consilium figures v1\0").chain_update(text).finalize().into()
    }
}

impl Counted {
    /// Of a sum all of whose slots are over its matched patients; None for any other.
    pub fn of(compiled: &Compiled, sum: usize, (tuples, groups): (usize, Vec<Group>)) -> Option<Self> {
        let sum = &compiled.joint.sums[sum];
        // Percentiles and sketches are of the sites' own rows.
        if !sum.orders.is_empty() || !sum.sketches.is_empty() {
            return None;
        }
        let matching = recorded(sum.matching.as_ref()?);
        // Who is between two figures is in neither alone.
        let slots = sum.slots.iter().enumerate().filter(|(at, _)| !sum.is_between_only(*at));
        let nodes = slots.map(|(_, slot)| match slot.what {
            Summand::Patients(node) => Some(node),
            _ => None,
        });
        let mut nodes = nodes.collect::<Option<Vec<usize>>>()?;
        nodes.sort_unstable();
        nodes.dedup();
        Some(Self { matching, tuples, groups, nodes })
    }

    /// How many sets there are.
    pub fn sets(&self) -> usize {
        let whole = usize::from(self.groups.len() > 1);
        self.nodes.len().saturating_mul(self.groups.len().saturating_add(whole))
    }

    /// Which group one of these sets is of; none for that of all groups.
    pub fn group(&self, set: usize) -> Option<usize> {
        match self.groups.len() {
            0 | 1 => Some(0),
            groups => (set % (groups + 1)).checked_sub(1),
        }
    }

    /// The matched sites' places among all, in order.
    ///
    /// # Errors
    /// What contradicts itself, in words.
    pub fn parties(&self, all: &[SiteName]) -> Result<Vec<PartyId>, String> {
        parties(all, &self.matching)
    }
}

/// The matched sites' places, in order.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub fn parties(all: &[SiteName], matching: &Matching) -> Result<Vec<PartyId>, String> {
    let place = |site| all.iter().position(|known| known.same(site));
    let places = matching.sites.iter().map(place).collect::<Option<Vec<_>>>();
    let mut places = places.ok_or("a matched site that does not compute")?;
    places.sort_unstable();
    Ok(places.into_iter().map(|place| PartyId(place as u8)).collect())
}

/// What of a matching is needed to see who counts.
fn recorded(matching: &Matching) -> Matching {
    let mut recorded = matching.clone();
    for relation in &mut recorded.relations {
        let contributors = std::mem::take(&mut relation.contributors);
        *relation = Relation { contributors, local_work: String::new(), row_bound: 0, columns: Vec::new() };
    }
    for feature in &mut recorded.features {
        feature.filter = None;
        // That it has keys is all that matters of them.
        feature.keys.truncate(1);
    }
    (recorded.row_keys, recorded.patient_keys) = (Vec::new(), Vec::new());
    Matching { key_relation: None, further_keys: None, ..recorded }
}

/// The tuple of a group's row keys, encoded.
pub fn tuple(matching: &Matching, group: &[Value]) -> Option<Vec<u8>> {
    let parts = matching.row_keys.iter().map(|key| group.get(*key).cloned());
    parts.collect::<Option<Vec<Value>>>().map(|parts| keys::encode(&parts))
}
