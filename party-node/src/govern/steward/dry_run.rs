//! The site's own part of a question on its own rows, as counts. Nothing of it leaves the steward's screen.

use query_planner::catalog::SiteName;
use query_planner::plan::LocalStage;
use query_planner::{Audience, grants};
use serde::{Deserialize, Serialize};

use super::{Desk, Question};
use crate::analyst::options_now;
use crate::fault::NodeError;
use crate::local::{self, NetworkFacts, Partials};
use crate::plans::planned_anyway;
use crate::source::BoundData;

/// What the site's own work found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// Digest of the plan.
    pub plan: [u8; 32],
    /// Why this site's policy refuses the question, or another's as it is published, if one does.
    pub refused: Option<String>,
    /// One for each of the plan's sums.
    pub sums: Vec<Counted>,
}

/// What a site has of one sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Rows of the site that count.
    pub rows: u64,
    /// Groups that it has rows of; none where patients are matched, whose groups are of all sites.
    pub groups: Option<u64>,
    /// Its patients behind the sum; none where the plan does not tell patients apart.
    pub patients: Option<u64>,
    /// Patients who cannot be matched for want of a valid key.
    pub excluded: u64,
}

pub(super) fn run(desk: &Desk<'_>, question: &Question) -> Result<DryRun, NodeError> {
    let data = desk.data.ok_or_else(|| NodeError::new("INTERNAL", "a dry run without the site's tables"))?;
    let (compiled, refused) = match question {
        Question::Waiting(name) => (super::look::planned(desk, &desk.gate.state.waiting(name)?)?, None),
        Question::Sql(sql) => planned_anyway(sql, desk.catalog, &options_now(Audience::Analyst, None))?,
    };
    let (plan, site) = (&compiled.joint, &desk.gate.name);
    let own = || grants::check(plan, site, &desk.gate.policy.policy, None).err();
    let refused = refused.or_else(own).map(|why| format!("{}: {}", why.code, why.message));
    let network = NetworkFacts::of(plan);
    let moment = data.at_one_moment(&compiled.local, site, false)?;
    let data: &BoundData = &moment.data;
    let stages = compiled.local.iter().zip(&plan.sums);
    let sums = stages.map(|(stage, sum)| {
        let partials = local::partials_blocking(stage, sum, site, data, network)?;
        counted(&partials, related(stage, site, data)?)
    });
    Ok(DryRun { plan: plan.digest(), refused, sums: sums.collect::<Result<_, _>>()? })
}

fn counted(partials: &Partials, related: u64) -> Result<Counted, NodeError> {
    let (matched, own) = (partials.patients.as_ref(), partials.patients.as_ref().or(partials.cohort.as_ref()));
    // Slot 0 counts rows where patients are not matched.
    let rows = partials.slots.first().map_or(0, |rows| rows.iter().sum::<i128>());
    let rows = u64::try_from(rows).map_err(|_| NodeError::new("INTERNAL", "a number of rows that is none"))?;
    Ok(Counted {
        rows: if matched.is_some() { related } else { rows },
        groups: matched.is_none().then_some(partials.keys.len() as u64),
        patients: own.map(|patients| patients.keys.len() as u64),
        excluded: matched.map_or(0, |patients| patients.excluded as u64),
    })
}

/// Rows of the relations whose patients are matched.
fn related(stage: &LocalStage, site: &SiteName, data: &BoundData) -> Result<u64, NodeError> {
    let own = stage.relations.iter().flatten().filter(|(name, _)| name.same(site));
    own.map(|(_, relation)| local::count_blocking(relation, site, data)).sum()
}
