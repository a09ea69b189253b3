//! Runs a joint plan: agree keys where none are declared, put the partials in, hide and find on shares, open the
//! answer.

mod aligned;
mod classes;
mod forecast;
mod inputs;
pub mod intersection;
mod layout;
mod ledgered;
mod near;
mod nodes;
pub(crate) mod patients;
mod program;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use mpc_core::error::LocalFault;
use mpc_core::step::StepPath;
use mpc_core::{Error, PartyId, Result};
use protocols::Engine;
use protocols::additive::Additive;
use protocols::additive::demand::{self, Link};
use protocols::key_union::{self, Limits};
use protocols::matching::Segment;
use protocols::relational::differencing::MAX_ANDS;
use protocols::relational::frequent_keys::{self, Counted, frequent_keys};
use query_planner::catalog::SiteName;
use query_planner::decode::Opened;
use query_planner::disclosure::DisclosureId;
use query_planner::matched::Relation;
use query_planner::plan::{Groups, SecureSum};
use query_planner::value::Value;
use query_planner::{Audience, Compiled, JointPlan, decode, keys};
use sha2::{Digest, Sha256};

use crate::fault::NodeError;
use crate::govern::meeting::{Earlier, Extent};
use crate::govern::sets::{MAX_SETS, Planned, Sets};
use crate::local::Partials;
use crate::local::patients::Patients;
use aligned::aligned;
pub use forecast::{forecast, prepared};
pub use inputs::Own;
use ledgered::Ledgered;
pub use near::{Unfit, comparable};
pub use patients::Matched;
pub use program::{Public, program};
pub use statement::statement;

/// What a run meets besides the plan.
pub struct Met<'a> {
    /// Earlier releases of the study that this one is compared with, where small cells are hidden. Public.
    pub earlier: &'a [Earlier],
    /// What a site knows of its own patients behind each of them.
    pub noted: &'a [Sets],
    /// What a site's patients are known by.
    pub domain: [u8; 32],
}

/// Keeps these of a site's sets of patients, durably.
pub type Keep<'a> = &'a (dyn Fn(Extent, Sets) -> BoxFuture<'static, std::result::Result<(), NodeError>> + Sync);

/// How a run ended.
pub enum Ended {
    /// What was opened, for whoever is in the plan's audience.
    Released(Option<Vec<Opened>>),
    /// Its patients are too near to those of an earlier release: nothing was opened but that and, if they were agreed before, the group
    /// keys.
    TooClose {
        /// Were they?
        after_keys: bool,
    },
    /// The agreed groups make more figures than a ledger keeps: nothing was opened but the groups.
    TooWide(NodeError),
}

/// Runs the plan at this party. A site gives its partials, one for each sum; the analyst gives none. Where small cells are hidden, the
/// ledger is asked beside the work on the figures, of which nothing is revealed unless it says that they are far from earlier ones; where
/// group keys are agreed, it is asked before about the figures that need none of them. A site keeps its patients behind the figures before
/// anything of them is opened: first, if it is asked twice, behind those, then behind all.
///
/// # Errors
/// The protocols' own; `Local` when more keys are agreed than the plan allows, and as `keep`.
pub async fn run(
    engine: &mut Additive,
    compiled: &Compiled,
    own: Option<&[Partials]>,
    met: Met<'_>,
    keep: Keep<'_>,
) -> Result<Ended> {
    let plan = &compiled.joint;
    if plan.noise.is_some() && own.is_some_and(|own| own.iter().any(|partials| !partials.noised)) {
        return Err(engine.fault(LocalFault::Other("figures without the noise that the plan promises".into())));
    }
    let ledgered = Ledgered { compiled, own, met: &met };
    let (whole, is_close) = ledgered.ask_whole(engine, keep).await?;
    if is_close {
        return Ok(Ended::TooClose { after_keys: false });
    }
    let Agreed { groups, encoded } = Agreed::new(engine, plan, own).await?;
    let me = engine.session().me().index();
    let public = Public::new(plan, groups, me).map_err(|why| engine.fault(LocalFault::Other(why)))?;
    if !plan.is_ledgered() {
        let bins = aligned(engine, &public, own, None).await?;
        let inputs = Own::new(plan, &encoded, own, me);
        return figures(engine, &public, (inputs, &encoded), bins.sums).await.map(Ended::Released);
    }
    let planned = Planned::new(compiled, &public.groups).map_err(at_home)?;
    if let Err(wide) = few_enough(compiled, &planned) {
        return Ok(Ended::TooWide(wide));
    }
    ledgered.figures(engine, (&public, &encoded), (planned, whole), keep).await
}

/// The group keys of a run.
struct Agreed {
    groups: Vec<Vec<Vec<Value>>>,
    encoded: Vec<Vec<Vec<u8>>>,
}

impl Agreed {
    async fn new(engine: &mut Additive, plan: &JointPlan, own: Option<&[Partials]>) -> Result<Self> {
        let (mut groups, mut encoded) = (Vec::with_capacity(plan.sums.len()), Vec::with_capacity(plan.sums.len()));
        for (index, sum) in plan.sums.iter().enumerate() {
            let keys = group_keys(engine, plan, index, own.map(|partials| &partials[index])).await?;
            groups.push(decode_keys(engine, sum, &keys)?);
            encoded.push(keys);
        }
        Ok(Self { groups, encoded })
    }
}

/// The answer, from the bins of its sums on.
async fn figures(
    engine: &mut Additive,
    public: &Public<'_>,
    (inputs, encoded): (Own<'_>, &[Vec<Vec<u8>>]),
    segments: Vec<Vec<Segment>>,
) -> Result<Option<Vec<Opened>>> {
    let (plan, me) = (public.plan, engine.session().me().index());
    if !plan.is_linear() {
        let budget = demand::budget(plan.sites.len(), link(plan), async |e| {
            program(e, public, Own::new(plan, encoded, None, me), public.empty()).await
        })?;
        engine.prepare(&budget).await?;
    }
    program(engine, public, inputs, segments).await
}

/// Nothing, where it was decided that nothing is opened.
async fn unless_held<T>(work: impl Future<Output = Result<Option<T>>>) -> Result<Option<T>> {
    match work.await {
        Err(Error::Local { fault: LocalFault::Held, .. }) => Ok(None),
        done => done,
    }
}

/// A fault of this site's own that belongs to no step.
fn at_home(what: String) -> Error {
    Error::Local { step: StepPath::root(), fault: LocalFault::Other(what) }
}

/// Where small cells are hidden, a plan says by itself how many figures it has, those that need agreed keys aside, and what comparing them
/// takes: it is refused before anything is agreed.
///
/// # Errors
/// `TOO_MANY_FIGURES`.
pub fn fits_a_ledger(compiled: &Compiled) -> std::result::Result<(), NodeError> {
    let plan = &compiled.joint;
    if !plan.is_ledgered() {
        return Ok(());
    }
    few_enough(compiled, &Planned::whole(compiled).map_err(|why| NodeError::new("PLAN_INVALID", why))?)
}

/// A study goes on only if later releases can be compared with this one.
fn few_enough(compiled: &Compiled, planned: &Planned) -> std::result::Result<(), NodeError> {
    let (count, most) = (planned.figures().sets(), MAX_SETS);
    if count > most {
        let message =
            format!("{count} figures and groups: a site holds at most {most} of an answer against later ones");
        return Err(NodeError::new("TOO_MANY_FIGURES", message).hint("ask for fewer groups"));
    }
    let work = near::ands(compiled, planned).map_err(|why| NodeError::new("PLAN_INVALID", why))?;
    if work > MAX_OWN_ANDS {
        let message = format!(
            "comparing this answer's patients takes {work} operations, of which a comparison has {MAX_ANDS}; one answer may take {MAX_OWN_ANDS}"
        );
        let hint = "ask for fewer groups, or declare lower bounds (max_patients, max_events)";
        return Err(NodeError::new("TOO_MANY_FIGURES", message).hint(hint));
    }
    Ok(())
}

/// What one release may take of a comparison, an eighth: its sets of every later one, and its pairs of its own; not the pairs with later sets.
const MAX_OWN_ANDS: usize = MAX_ANDS / 8;

/// The plan's choice in the protocols' words.
fn link(plan: &JointPlan) -> Link {
    match plan.link {
        query_planner::catalog::Link::Local => Link::Local,
        query_planner::catalog::Link::Far => Link::Far,
        query_planner::catalog::Link::Narrow => Link::Narrow,
    }
}

/// The limits of a sum's key exchange, if it has one that shows every key that is put in.
pub fn limits(sum: &SecureSum) -> Option<Limits> {
    match sum.groups {
        Groups::Agreed { max_groups, max_key_bytes, .. } if !sum.counts_keys() => {
            let contributors = sum.key_contributors().len();
            Some(Limits { max_keys: max_groups as usize, contributors, max_key_bytes: max_key_bytes as usize })
        }
        _ => None,
    }
}

/// The rows that say which keys there are, where those are a relation's.
fn key_relation(sum: &SecureSum) -> Option<&Relation> {
    let matching = sum.matching.as_ref()?;
    matching.relations.get(matching.key_relation?)
}

/// The sites that have such rows, as parties.
fn key_holders(plan: &JointPlan, sum: &SecureSum) -> std::result::Result<Vec<PartyId>, String> {
    let place = |site: &SiteName| plan.sites.iter().position(|known| known.same(site));
    let places: Option<Vec<usize>> = sum.key_contributors().iter().map(place).collect();
    let places = places.ok_or("keys of a site that does not compute")?;
    Ok(places.into_iter().map(|place| PartyId(place as u8)).collect())
}

fn audience(plan: &JointPlan) -> protocols::Audience {
    match plan.audience {
        Audience::Analyst => protocols::Audience::Analyst,
        Audience::Everyone => protocols::Audience::Everyone,
    }
}

async fn group_keys(
    engine: &mut Additive,
    plan: &JointPlan,
    index: usize,
    own: Option<&Partials>,
) -> Result<Vec<Vec<u8>>> {
    let sum = &plan.sums[index];
    let Groups::Agreed { max_groups, max_key_bytes, threshold } = sum.groups else {
        return Ok(decode::groups(sum).iter().map(|group| keys::encode(group)).collect());
    };
    let own = own.map(|own| counted(sum, own)).unwrap_or_default();
    if let Some(limits) = limits(sum) {
        // The only contributor keeps back the keys that are too rare.
        let keys = own.into_iter().filter(|(_, count)| *count >= u64::from(threshold)).map(|(key, _)| key);
        return key_union::agree(engine, &keys.collect::<Vec<_>>(), limits, DisclosureId::keys(index).as_str()).await;
    }
    let limits = frequent_keys::Limits {
        max_keys: max_groups as usize,
        max_key_bytes: max_key_bytes as usize,
        count_bits: count_bits(sum) as usize,
        threshold: threshold.into(),
    };
    let holders = key_holders(plan, sum).map_err(|why| engine.fault(LocalFault::Other(why)))?;
    agree_frequent(engine, &own, &holders, (limits, link(plan)), DisclosureId::keys(index).as_str()).await
}

async fn agree_frequent(
    engine: &mut Additive,
    own: &[Counted],
    holders: &[PartyId],
    (limits, link): (frequent_keys::Limits, Link),
    id: &str,
) -> Result<Vec<Vec<u8>>> {
    let salt: [u8; 32] = Sha256::new()
        .chain_update(b"consilium key salt v1\0")
        .chain_update(engine.session().id().0)
        .chain_update(id)
        .finalize()
        .into();
    let keys = frequent_keys(engine, own, holders, (limits, &salt, link), id).await?.unwrap_or_default();
    if keys.len() > limits.max_keys {
        let message = format!("{} group keys: the plan allows {}", keys.len(), limits.max_keys);
        return Err(engine.fault(LocalFault::Other(message)));
    }
    Ok(keys)
}

/// Bits of the number of rows of one site that have a key.
fn count_bits(sum: &SecureSum) -> u32 {
    key_relation(sum).map_or(sum.slots[0].partial_bits, |relation| u64::BITS - relation.row_bound.leading_zeros())
}

/// A site's keys and how many rows each has; where rare keys stay unknown, how many patients, whom no join multiplies.
fn counted(sum: &SecureSum, own: &Partials) -> Vec<Counted> {
    let patients = own.patients.as_ref().or(own.cohort.as_ref());
    if let (Groups::Agreed { threshold: 2.., .. }, Some(patients)) = (&sum.groups, patients) {
        return per_key(patients);
    }
    if let (Some(_), Some(patients)) = (key_relation(sum), &own.patients) {
        return patients.offered.clone();
    }
    let counts = own.slots[0].iter().map(|count| u64::try_from(*count).unwrap_or_default());
    own.keys.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// How many of a site's patients have each key: by the feature that has the most of them, which is of all rows.
fn per_key(patients: &Patients) -> Vec<Counted> {
    let mut most: BTreeMap<&[u8], u64> = BTreeMap::new();
    for feature in patients.features.iter().filter(|feature| feature.tuples.iter().any(|tuple| !tuple.is_empty())) {
        let mut pairs: Vec<(usize, usize)> = feature.entries.iter().map(|entry| (entry.tuple, entry.patient)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        for tuple in pairs.chunk_by(|a, b| a.0 == b.0) {
            let known = most.entry(&feature.tuples[tuple[0].0]).or_default();
            *known = (*known).max(tuple.len() as u64);
        }
    }
    most.into_iter().map(|(key, count)| (key.to_vec(), count)).collect()
}

/// The keys as values, which must be as many as the plan has keys.
fn decode_keys(engine: &mut Additive, sum: &SecureSum, keys: &[Vec<u8>]) -> Result<Vec<Vec<Value>>> {
    let bad = |what: &str| LocalFault::Other(format!("an agreed key is no key of the plan: {what}"));
    let decode = |key: &Vec<u8>| {
        let values = keys::decode(key).map_err(|e| bad(&e.message))?;
        if values.len() == sum.keys.len() { Ok(values) } else { Err(bad("wrong number of parts")) }
    };
    let decoded: std::result::Result<_, LocalFault> = keys.iter().map(decode).collect();
    decoded.map_err(|fault| -> Error { engine.session().local(fault) })
}
