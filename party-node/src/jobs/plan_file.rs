//! A job's plan file: all that another run needs to be the same one. It holds no data and no answer. Source of its form:
//! `party-node/console/src/files/plan_file.ts`.

use std::path::Path;

use query_planner::Audience;
use serde::Deserialize;

use super::control::Submission;
use crate::config;
use crate::fault::NodeError;
use crate::noise::Wanted;
use crate::state::hex;

/// What of a plan file the node is told; the rest says what it was understood by, and is in the plan's digest.
#[derive(Deserialize)]
struct PlanFile {
    consilium_plan: u32,
    sql: String,
    study: String,
    audience: Audience,
    /// Files of before there was noise have none.
    #[serde(default)]
    noise: Option<Wanted>,
    /// 0 where the question does not ask for the time.
    now_ms: i64,
    plan: String,
}

/// Reads a plan file as the question that it asks again: the node refuses any other plan.
///
/// # Errors
/// `NO_SUCH_FILE`, `BAD_PLAN_FILE`; `BAD_EPSILON` and `BAD_DELTA` of its noise.
pub fn read(path: &Path) -> Result<Submission, NodeError> {
    let bad = || NodeError::new("BAD_PLAN_FILE", format!("{} is no plan file of version 1", path.display()));
    // serde's message may quote the question.
    let file: PlanFile = serde_json::from_str(&config::read(path)?).map_err(|_| bad())?;
    let PlanFile { consilium_plan: 1, sql, study, audience, noise, now_ms, plan } = file else { return Err(bad()) };
    let noise = noise.map(|noise| noise.asked()).transpose()?;
    let plan = Some(hex::parse(&plan).ok_or_else(bad)?);
    Ok(Submission { sql, study: Some(study), audience, noise, now_ms: Some(now_ms).filter(|ms| *ms != 0), plan })
}
