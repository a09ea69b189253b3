//! What a plan costs before it runs: rounds and bytes from public sizes only. The formulas are those of the protocols; a test
//! of the node holds them against the protocols' own and against what sessions count.

use serde::{Deserialize, Serialize};

use crate::plan::{Audience, Groups, JointPlan, Ring, SecureSum};

/// Rounds and bytes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Longest chain of dependent messages.
    pub rounds: u32,
    /// Sent by one site; exact but for agreed keys, which are counted at their bound.
    pub bytes_per_site: u64,
    /// Sent by all sites and the analyst.
    pub bytes_total: u64,
}

/// The cost of a plan. Agreed groups are counted at their bound.
pub fn cost(plan: &JointPlan) -> Cost {
    let sites = plan.sites.len() as u64;
    let mut total = Cost { rounds: 0, bytes_per_site: 0, bytes_total: 0 };
    let mut analyst = 0;
    for sum in &plan.sums {
        if let Groups::Agreed { max_groups, max_key_bytes } = sum.groups {
            let sketch = sketch_elements(sum.contributors.len(), max_groups, max_key_bytes);
            total.bytes_per_site += opening(sites, Audience::Analyst, sketch, 8);
            // The sites compare the lists they got.
            total.bytes_per_site += (sites - 1) * message(HASH_BYTES);
            total.rounds += opening_rounds(sites) + LIST_ROUNDS;
            let (groups, key_bytes) = (u64::from(max_groups), u64::from(max_key_bytes));
            analyst += sites * (message(4) + message(4 * groups) + message(groups * key_bytes));
        }
    }
    let elements = |ring| plan.sums.iter().map(|sum| vector(sum, ring)).sum::<u64>();
    total.bytes_per_site += opening(sites, plan.audience, elements(Ring::Z64), 8);
    if elements(Ring::Z128) > 0 {
        total.bytes_per_site += opening(sites, plan.audience, elements(Ring::Z128), 16);
    }
    total.rounds += opening_rounds(sites);
    total.bytes_total = sites.saturating_mul(total.bytes_per_site).saturating_add(analyst);
    total
}

/// Most groups a sum can have.
pub fn max_groups(sum: &SecureSum) -> u64 {
    match &sum.groups {
        Groups::Whole => 1,
        Groups::Declared => {
            let sizes = sum.keys.iter().map(|k| k.domain.as_ref().map_or(1, |d| d.len() as u64));
            sizes.fold(1u64, u64::saturating_mul)
        }
        Groups::Agreed { max_groups, .. } => u64::from(*max_groups),
    }
}

/// Field elements of the sketch that carries every contributor's keys: six subtables, two cells for each key, and in each
/// cell a weight, a check value and the key with its length in pieces of seven bytes.
pub fn sketch_elements(contributors: usize, max_groups: u32, max_key_bytes: u32) -> u64 {
    let subtable = (2 * contributors as u64 * u64::from(max_groups)).div_ceil(6).max(2048);
    6 * subtable * (2 + (u64::from(max_key_bytes) + 2).div_ceil(7))
}

fn vector(sum: &SecureSum, ring: Ring) -> u64 {
    let slots = sum.slots.iter().filter(|slot| slot.ring == ring).count() as u64;
    slots.saturating_mul(max_groups(sum))
}

/// A site's bytes when a column is opened: commitments to the other sites, echoes to them (three sites or more) and to the
/// analyst, salt and column to the audience.
fn opening(sites: u64, audience: Audience, elements: u64, element_bytes: u64) -> u64 {
    let others = sites - 1;
    let echoes = 1 + if others < 2 { 0 } else { others };
    let openings = 1 + if audience == Audience::Everyone { others } else { 0 };
    let column = message(elements.saturating_mul(element_bytes));
    others * message(HASH_BYTES) + echoes * message(HASH_BYTES * sites) + openings * (message(HASH_BYTES) + column)
}

/// Commit, echo, open; two sites need no echo.
fn opening_rounds(sites: u64) -> u32 {
    if sites < 3 { 2 } else { 3 }
}

/// A body and a header for each started frame.
fn message(body_bytes: u64) -> u64 {
    body_bytes.saturating_add(HEADER_BYTES * body_bytes.div_ceil(FRAME_BYTES).max(1))
}

/// The list of keys comes back from the analyst, and the sites compare it.
const LIST_ROUNDS: u32 = 2;
const HASH_BYTES: u64 = 32;
const HEADER_BYTES: u64 = 32;
const FRAME_BYTES: u64 = 1 << 20;
