//! What a plan costs before it runs: rounds and bytes from public sizes only.

use serde::{Deserialize, Serialize};

use crate::plan::{Groups, JointPlan, Ring, SecureSum};

/// Rounds and bytes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Longest chain of dependent messages.
    pub rounds: u32,
    /// Sent by one site, at most.
    pub bytes_per_site: u64,
    /// Sent by all sites, at most.
    pub bytes_total: u64,
}

/// The cost of a plan. Agreed groups are counted at their bound.
pub fn cost(plan: &JointPlan) -> Cost {
    let sites = plan.sites.len() as u64;
    let agrees = plan.sums.iter().any(|s| matches!(s.groups, Groups::Agreed { .. }));
    let vectors: u64 = plan.sums.iter().map(|sum| exchange_bytes(sum).saturating_add(vector_bytes(sum))).sum();
    let openings = if agrees { 2 } else { 1 };
    // A commitment and an echo hash go to every other site and to the analyst, for each opening.
    let per_site = vectors.saturating_add(openings * 2 * HASH_BYTES * sites);
    Cost {
        rounds: SUM_ROUNDS + if agrees { AGREE_ROUNDS } else { 0 },
        bytes_per_site: per_site,
        bytes_total: per_site.saturating_mul(sites),
    }
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

fn vector_bytes(sum: &SecureSum) -> u64 {
    let row: u64 = sum.slots.iter().map(|s| if s.ring == Ring::Z64 { 8 } else { 16 }).sum();
    row.saturating_mul(max_groups(sum))
}

fn exchange_bytes(sum: &SecureSum) -> u64 {
    match &sum.groups {
        Groups::Agreed { max_groups, max_key_bytes } => u64::from(*max_groups) * u64::from(*max_key_bytes),
        _ => 0,
    }
}

/// Commit, echo, open.
const SUM_ROUNDS: u32 = 3;
/// The same three for the keys, and the list of keys back to the sites.
const AGREE_ROUNDS: u32 = 4;
const HASH_BYTES: u64 = 32;
