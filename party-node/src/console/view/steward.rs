//! What a site's stewards see. Source: `party-node/console/src/api/steward.ts`.

use query_planner::noise::Delta;
use query_planner::site_policy::SitePolicy;
use serde::Serialize;

use super::super::refused::Refused;
use super::plan::Plan;
use super::{Study, exact};
use crate::fault::printable;
use crate::govern::steward::{Budget, Counted, DryRun as Ran, Entry, Line, Used};
use crate::source::LeftOut;
use crate::state::hex;
use crate::state::inbox::{Decision as Kind, Made};
use crate::state::limits;

/// A plan that waits.
#[derive(Serialize)]
pub struct Waiting {
    plan: String,
    study: String,
    analyst: String,
    since_ms: u64,
    query: String,
    consents: Vec<String>,
}

impl From<Entry> for Waiting {
    fn from(Entry { plan, study, analyst, since_ms, query, consents }: Entry) -> Self {
        Self { plan: hex::text(&plan), study, analyst, since_ms, query, consents }
    }
}

/// Everything that a steward needs to decide.
#[derive(Serialize)]
pub struct Review {
    /// The plan, derived again.
    pub plan: Plan,
    /// The question as it was asked.
    pub sql: String,
    /// What it belongs to.
    pub study: Study,
    /// The analyst's key.
    pub analyst_pin: String,
    /// When it was first asked.
    pub since_ms: u64,
    /// Who has said yes, where it takes two.
    pub consents: Vec<String>,
    /// How many have to.
    pub needs: u32,
    /// Do stewards approve by keys of their own, which no page has?
    pub own_keys: bool,
    /// What the site's own policy says now.
    pub refusal: Option<Refused>,
    /// Earlier answers of this study that count here.
    pub releases_before: usize,
}

/// Counts of the site's own rows.
#[derive(Serialize)]
pub struct DryRun {
    plan: String,
    refused: Option<String>,
    sums: Vec<Sum>,
}

#[derive(Serialize)]
struct Sum {
    rows: u64,
    groups: Option<u64>,
    patients: Option<u64>,
    excluded: u64,
}

impl From<Ran> for DryRun {
    fn from(Ran { plan, refused, sums }: Ran) -> Self {
        let sum = |Counted { rows, groups, patients, excluded }| Sum { rows, groups, patients, excluded };
        Self { plan: hex::text(&plan), refused, sums: sums.into_iter().map(sum).collect() }
    }
}

/// A decision that may be withdrawn.
#[derive(Serialize)]
pub struct Decided {
    plan: String,
    study: String,
    analyst: String,
    query: String,
    at_ms: u64,
    by: String,
    decision: Decision,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Decision {
    Approved { until_ms: i64 },
    Rejected { reason: String },
}

impl Decided {
    /// A decision with what is kept beside it; one that an older version wrote down has its digest and who decided.
    pub fn of((case, decision, kept): Made) -> Self {
        let (by, decision) = match decision {
            Kind::Approved(approval) => {
                (approval.terms.by.names(), Decision::Approved { until_ms: approval.terms.until_ms })
            }
            Kind::Rejected { by, reason, .. } => (by, Decision::Rejected { reason }),
        };
        let (study, analyst, query, at_ms) =
            kept.map(|kept| (kept.study_name, kept.analyst, kept.query, kept.at_ms)).unwrap_or_default();
        Self { plan: hex::text(&case), study, analyst, query, at_ms, by: printable(&by), decision }
    }
}

/// A release.
#[derive(Serialize)]
pub struct Release {
    id: String,
    study: String,
    analyst: String,
    at_ms: u64,
    state: String,
    query: String,
}

impl From<Line> for Release {
    fn from(Line { id, study, analyst, at_ms, state, query }: Line) -> Self {
        Self { id: hex::text(&id), study, analyst, at_ms, state, query }
    }
}

/// The log stands as it was written.
#[derive(Serialize)]
pub struct Verified {
    /// How many.
    pub lines: u64,
    /// Of the last.
    pub hash: String,
    /// Of the first and the last.
    pub times_ms: Option<(u64, u64)>,
    /// Pins of the keys that signed.
    pub keys: Vec<String>,
}

/// The policy as it holds now.
#[derive(Serialize)]
pub struct PolicyView {
    /// Of the policy.
    pub digest: String,
    /// Does the network file publish it?
    pub published: bool,
    /// All of it.
    pub policy: SitePolicy,
}

/// How much of each limit is used now.
#[derive(Serialize)]
pub struct Gauges {
    /// Answers of everybody.
    pub releases: Option<Gauge>,
    /// Refusals of everybody.
    pub refusals: Option<Gauge>,
    /// ε and δ of noisy answers.
    pub privacy: Vec<Spent>,
    /// What the opt-out list took away.
    pub opted_out: Option<LeftOut>,
}

/// A limit per period.
#[derive(Serialize)]
pub struct Gauge {
    most: u32,
    days: u32,
    used: usize,
}

impl Gauge {
    /// Of everybody's: the limit of one analyst in one study is a part of it.
    pub fn of(limit: limits::Limit, used: usize) -> Self {
        Self { most: limit.total, days: limit.days, used }
    }
}

/// ε and δ of a study, or of all.
#[derive(Serialize)]
pub struct Spent {
    study: Option<String>,
    epsilon: Option<Loss>,
    delta: Option<Failing>,
}

/// ε in millionths.
#[derive(Serialize)]
struct Loss {
    spent: u64,
    limit: u64,
}

/// δ, which a page writes and cannot count with.
#[derive(Serialize)]
struct Failing {
    spent: String,
    limit: String,
    /// Of 1000, rounded up: what is spent shows.
    part: u64,
}

impl From<Budget> for Spent {
    fn from(Budget { study, epsilon, delta }: Budget) -> Self {
        let loss = |Used { spent, limit }| Loss { spent: exact(spent), limit: exact(limit) };
        let failing = |Used { spent, limit }: Used| {
            let part = (u128::from(spent) * 1000).div_ceil(u128::from(limit.max(1)));
            Failing { spent: Delta(spent).to_string(), limit: Delta(limit).to_string(), part: part.min(1000) as u64 }
        };
        Self { study, epsilon: epsilon.map(loss), delta: delta.map(failing) }
    }
}
