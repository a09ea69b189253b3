//! Runs a joint plan: agree keys where none are declared, put the partials in, open the sums.

use futures::future::try_join;
use mpc_core::error::LocalFault;
use mpc_core::field::F61;
use mpc_core::{Error, Result, Z64, Z128};
use protocols::additive::Additive;
use protocols::key_union::{self, Limits};
use protocols::{Engine, Release};
use query_planner::plan::{Groups, Ring, SecureSum};
use query_planner::value::Value;
use query_planner::{Audience, JointPlan, decode, keys};

use crate::local::Partials;

/// What one secure sum revealed: its groups, and `totals[slot][group]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// In the order of the released vector.
    pub groups: Vec<Vec<Value>>,
    /// Signed integers, scaled as the plan says.
    pub totals: Vec<Vec<i128>>,
}

/// Runs the plan at this party. A site gives its partials, one for each sum; the analyst gives none. Whoever is in the
/// plan's audience gets the totals.
///
/// # Errors
/// The protocols' own; `Local` when more keys are agreed than the plan allows.
pub async fn run(engine: &mut Additive, plan: &JointPlan, own: Option<&[Partials]>) -> Result<Option<Vec<Totals>>> {
    let mut groups = Vec::with_capacity(plan.sums.len());
    for (index, sum) in plan.sums.iter().enumerate() {
        let own_keys = own.map_or(&[][..], |partials| &partials[index].keys);
        let keys = group_keys(engine, sum, index, own_keys).await?;
        decode_keys(engine, sum, &keys)?;
        groups.push(keys);
    }
    let narrow = vector(plan, &groups, own, Ring::Z64, |x| Z64::from_signed(x as i64));
    let wide = vector(plan, &groups, own, Ring::Z128, Z128::from_signed);
    let opened = open(engine, audience(plan), narrow, wide).await?;
    opened.map(|(narrow, wide)| totals(engine, plan, &groups, narrow, wide)).transpose()
}

/// The releases a plan declares before the run; the vectors of sums follow when their groups are known.
pub fn declared(plan: &JointPlan) -> Vec<Release> {
    let sketches = plan.sums.iter().enumerate().filter_map(|(index, sum)| {
        let elements = limits(sum)?.sketch_elements();
        Some(Release::of::<F61>(sketch_name(index), elements, protocols::Audience::Analyst))
    });
    sketches.collect()
}

/// The limits of a sum's key exchange, if it has one.
pub fn limits(sum: &SecureSum) -> Option<Limits> {
    match sum.groups {
        Groups::Agreed { max_groups, max_key_bytes } => {
            let contributors = sum.contributors.len();
            Some(Limits { max_keys: max_groups as usize, contributors, max_key_bytes: max_key_bytes as usize })
        }
        Groups::Whole | Groups::Declared => None,
    }
}

fn sketch_name(index: usize) -> String {
    format!("keys/{index}")
}

fn audience(plan: &JointPlan) -> protocols::Audience {
    match plan.audience {
        Audience::Analyst => protocols::Audience::Analyst,
        Audience::Everyone => protocols::Audience::Everyone,
    }
}

async fn group_keys(engine: &mut Additive, sum: &SecureSum, index: usize, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    match limits(sum) {
        Some(limits) => key_union::agree(engine, own, limits, &sketch_name(index)).await,
        None => Ok(decode::groups(sum).iter().map(|group| keys::encode(group)).collect()),
    }
}

/// The elements of one ring, sum by sum, slot by slot, group by group; zero where this party has no rows. Sized before it is
/// filled, because a vector that grows leaves copies of unmasked partials behind that nobody wipes.
fn vector<R>(
    plan: &JointPlan,
    groups: &[Vec<Vec<u8>>],
    own: Option<&[Partials]>,
    ring: Ring,
    element: fn(i128) -> R,
) -> Vec<R> {
    let slots = |sum: &SecureSum| sum.slots.iter().filter(|slot| slot.ring == ring).count();
    let mut out = Vec::with_capacity(plan.sums.iter().zip(groups).map(|(sum, keys)| slots(sum) * keys.len()).sum());
    for (index, sum) in plan.sums.iter().enumerate() {
        let own = own.map(|partials| &partials[index]);
        let at: Vec<Option<usize>> =
            groups[index].iter().map(|key| own.and_then(|p| p.keys.binary_search(key).ok())).collect();
        for (slot, _) in sum.slots.iter().enumerate().filter(|(_, s)| s.ring == ring) {
            let partial = |group: &Option<usize>| group.and_then(|g| own.map(|p| p.slots[slot][g])).unwrap_or(0);
            out.extend(at.iter().map(|group| element(partial(group))));
        }
    }
    out
}

type Opened = Option<(Vec<Z64>, Vec<Z128>)>;

/// Opens both vectors, side by side when there are two.
async fn open(
    engine: &mut Additive,
    audience: protocols::Audience,
    narrow: Vec<Z64>,
    wide: Vec<Z128>,
) -> Result<Opened> {
    engine.declare(Release::of::<Z64>("sums64", narrow.len(), audience));
    if wide.is_empty() {
        let column = engine.input(narrow);
        let opened = engine.reveal(column, "sums64").await?;
        return Ok(opened.map(|values| (values, Vec::new())));
    }
    engine.declare(Release::of::<Z128>("sums128", wide.len(), audience));
    let [mut left, mut right] = engine.fork(["sums64", "sums128"]);
    let (narrow, wide) = (left.input(narrow), right.input(wide));
    let (narrow, wide) = try_join(left.reveal(narrow, "sums64"), right.reveal(wide, "sums128")).await?;
    Ok(narrow.zip(wide))
}

fn totals(
    engine: &mut Additive,
    plan: &JointPlan,
    groups: &[Vec<Vec<u8>>],
    narrow: Vec<Z64>,
    wide: Vec<Z128>,
) -> Result<Vec<Totals>> {
    let mut narrow = narrow.into_iter().map(|x| i128::from(x.to_signed()));
    let mut wide = wide.into_iter().map(Z128::to_signed);
    let mut all = Vec::with_capacity(plan.sums.len());
    for (sum, keys) in plan.sums.iter().zip(groups) {
        let slots = sum.slots.iter().map(|slot| match slot.ring {
            Ring::Z64 => narrow.by_ref().take(keys.len()).collect(),
            Ring::Z128 => wide.by_ref().take(keys.len()).collect(),
        });
        let totals = slots.collect();
        all.push(Totals { groups: decode_keys(engine, sum, keys)?, totals });
    }
    Ok(all)
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
