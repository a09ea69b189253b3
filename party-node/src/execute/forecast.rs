//! What the work on shares of a plan will take, for EXPLAIN: the plan's own program, run on an engine that only counts.

use protocols::additive::demand;
use protocols::cost::{self, SiteCost};
use query_planner::plan::Groups;
use query_planner::{JointPlan, decode};

use super::{Own, Public, link, program};

/// One line on the correlated randomness that the sites make first. Nothing for a plan without such work, and for one whose
/// group keys are agreed during the run: its program is not known before.
pub fn forecast(plan: &JointPlan) -> Vec<String> {
    prepared(plan).map(|preparation| vec![line(&preparation)]).unwrap_or_default()
}

/// Rounds of that work and bytes sent by each site.
pub fn prepared(plan: &JointPlan) -> Option<SiteCost> {
    let known = plan.sums.iter().all(|sum| !matches!(sum.groups, Groups::Agreed { .. }));
    if plan.is_linear() || !known {
        return None;
    }
    let groups: Vec<_> = plan.sums.iter().map(decode::groups).collect();
    let encoded: Vec<Vec<Vec<u8>>> =
        groups.iter().map(|of_sum| of_sum.iter().map(|group| query_planner::keys::encode(group)).collect()).collect();
    let public = Public::new(plan, groups, 0).ok()?;
    let counted = demand::budget(plan.sites.len(), link(plan), async |e| {
        program(e, &public, Own::new(plan, &encoded, None, 0), public.empty()).await
    });
    counted.ok().map(|budget| cost::of(&budget, plan.sites.len() as u64))
}

fn line(preparation: &SiteCost) -> String {
    format!(
        "correlated randomness for it, made by the sites before: {} rounds, at most {} bytes from each site",
        preparation.rounds, preparation.bytes
    )
}
