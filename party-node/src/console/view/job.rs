//! A job and its answer. Source: `party-node/console/src/api/jobs.ts`.

use query_planner::Audience;
use serde::Serialize;

use super::super::refused::Refused;
use super::exact;
use super::plan::Disclosure;
use crate::fault::NodeError;
use crate::jobs::answer::{Column, Hidden, Page, Value};
use crate::jobs::job::{self, At, Preparation, Refusal, RunningStep, State, WaitsFor};
use crate::noise::Wanted;
use crate::output::Cost;
use crate::state::hex;

/// A job, without what only the node needs.
#[derive(Serialize)]
pub struct Job {
    id: String,
    revision: u64,
    study: String,
    study_digest: String,
    network: String,
    sql: String,
    audience: Audience,
    noise: Option<Wanted>,
    now_ms: i64,
    plan: String,
    disclosure: String,
    planner: String,
    submitted_ms: u64,
    ended_ms: Option<u64>,
    state: State,
    sites: Vec<SiteState>,
    refusal: Option<Refused>,
    forecast: Bounds,
    cost: Option<Cost>,
    rows: Option<u64>,
    kept_until_ms: Option<u64>,
}

#[derive(Serialize)]
struct SiteState {
    site: String,
    state: At,
    since_ms: u64,
    waits_for: Option<WaitsFor>,
    step: Option<RunningStep>,
    bytes: u64,
    refusal: Option<Refused>,
}

#[derive(Serialize)]
struct Bounds {
    rounds: u32,
    bytes_per_site: u64,
    bytes_total: u64,
    preparation: Option<Preparation>,
}

impl From<job::Job> for Job {
    fn from(job: job::Job) -> Self {
        let job::Forecast { rounds, bytes_per_site, bytes_total, preparation } = job.forecast;
        Self {
            id: hex::text(&job.id),
            revision: job.revision,
            study: job.study,
            study_digest: hex::text(&job.study_digest),
            network: hex::text(&job.network),
            sql: job.sql,
            audience: job.audience,
            noise: job.noise.map(Wanted::from),
            now_ms: job.now_ms,
            plan: hex::text(&job.plan),
            disclosure: hex::text(&job.disclosure),
            planner: job.planner,
            submitted_ms: job.submitted_ms,
            ended_ms: job.ended_ms,
            state: job.state,
            sites: job.sites.into_iter().map(SiteState::from).collect(),
            refusal: job.refusal.map(refused),
            forecast: Bounds {
                rounds,
                bytes_per_site: exact(bytes_per_site),
                bytes_total: exact(bytes_total),
                preparation: preparation.map(|of| Preparation { bytes_per_site: exact(of.bytes_per_site), ..of }),
            },
            cost: job.cost,
            rows: job.rows,
            // Of an answer: a job without one is kept as long.
            kept_until_ms: job.rows.and(job.kept_until_ms),
        }
    }
}

impl From<job::SiteState> for SiteState {
    fn from(at: job::SiteState) -> Self {
        let job::SiteState { site, state, since_ms, waits_for, step, bytes, refusal } = at;
        Self { site, state, since_ms, waits_for, step, bytes: exact(bytes), refusal: refusal.map(refused) }
    }
}

fn refused(refusal: Refusal) -> Refused {
    NodeError::from(refusal).into()
}

/// A part of an answer.
#[derive(Serialize)]
pub struct Answer {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    suppressed: Vec<Hidden>,
    disclosures: Vec<Disclosure>,
    cost: Cost,
    next: Option<u64>,
}

impl Answer {
    /// A part, with what the run revealed in the reader's language.
    pub fn of(page: Page, disclosures: Vec<Disclosure>) -> Self {
        let Page { columns, rows, suppressed, cost, next, .. } = page;
        Self { columns, rows, suppressed, disclosures, cost, next }
    }
}
