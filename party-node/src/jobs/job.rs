//! A job as its analyst sees it. Source: the console's contract (`api/jobs.ts`), whose field names these are.

use std::fmt;

use mpc_core::identity::Pin;
use query_planner::{Audience, noise};
use serde::{Deserialize, Serialize};

use crate::agree::RunId;
use crate::fault::{NodeError, printable};
use crate::output::Cost;
use crate::state::hex;

/// The name of a job, drawn at random.
pub type Id = [u8; 16];

/// A question that was submitted. Its text may hold literals: it does not print.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    #[serde(with = "hex")]
    pub id: Id,
    /// Grows with every change.
    pub revision: u64,
    /// Whose it is.
    pub account: String,
    /// The key under which it is asked: a name may be given to somebody else.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// Name of the study.
    pub study: String,
    /// Its digest.
    #[serde(with = "hex")]
    pub study_digest: [u8; 32],
    /// Digest of the network file.
    #[serde(with = "hex")]
    pub network: [u8; 32],
    /// The question.
    pub sql: String,
    /// Who receives the answer.
    pub audience: Audience,
    /// What is added to every figure, if anything is.
    pub noise: Option<noise::Asked>,
    /// What `now()` means, milliseconds since 1970.
    pub now_ms: i64,
    /// Digest of the plan.
    #[serde(with = "hex")]
    pub plan: [u8; 32],
    /// Digest of what it reveals.
    #[serde(with = "hex")]
    pub disclosure: [u8; 32],
    /// Version of the planner.
    pub planner: String,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Where it stands.
    pub state: State,
    /// Where it stands at each site, in party order.
    pub sites: Vec<SiteState>,
    /// Why it failed: what the analyst may know.
    pub refusal: Option<Refusal>,
    /// The run that the sites know it by, once it was proposed; of an answer the run that brought it.
    #[serde(default)]
    pub run: Option<Run>,
    /// What it was forecast to cost.
    pub forecast: Forecast,
    /// Is its answer compared with earlier ones of its study?
    pub compared: bool,
    /// What it cost, when it is done.
    pub cost: Option<Cost>,
    /// Rows of the answer, when there is one.
    pub rows: Option<u64>,
    /// Until when the node keeps the answer.
    pub kept_until_ms: Option<u64>,
}

/// The id of a run, which is its release's at the sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run(#[serde(with = "hex")] pub RunId);

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody at a site must decide, or a site does not answer.
    Waiting,
    /// Every site consents, and other jobs run first.
    Queued,
    /// It runs.
    Running,
    /// There is an answer.
    Done,
    /// There is none.
    Failed,
    /// Its analyst took it back.
    Cancelled,
}

impl State {
    /// Every state, for whoever counts them.
    pub const ALL: [State; 6] =
        [State::Waiting, State::Queued, State::Running, State::Done, State::Failed, State::Cancelled];

    /// Has it ended?
    pub fn is_over(self) -> bool {
        matches!(self, State::Done | State::Failed | State::Cancelled)
    }

    /// As it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }
}

/// Where a job stands at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteState {
    /// Its name.
    pub site: String,
    /// Where.
    pub state: At,
    /// Since when.
    pub since_ms: u64,
    /// For whom it waits there.
    pub waits_for: Option<WaitsFor>,
    /// What runs, of the site whose node this is: others do not tell.
    pub step: Option<RunningStep>,
    /// Bytes that the site has sent so far, as far as this node knows.
    pub bytes: u64,
    /// Why it was refused there, as far as the site tells.
    pub refusal: Option<Refusal>,
}

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// It has not answered yet.
    Asked,
    /// Its stewards have the plan.
    Waiting,
    /// It does not want it.
    Rejected,
    /// It consents.
    Approved,
    /// It takes part in the run.
    Running,
    /// The run is over.
    Done,
    /// The run broke off there.
    Failed,
    /// It does not answer.
    Silent,
}

/// For whom a plan waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// How the site's stewards name it: the first digits of its digest.
    pub plan: String,
    /// How many have to say yes.
    pub needs: u32,
    /// Who has, if the site tells.
    pub consents: Vec<String>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningStep {
    /// Its path.
    pub path: String,
    /// Rounds so far.
    pub round: u32,
    /// Rounds of the plan, as far as they are known before.
    pub rounds: u32,
}

/// Why something was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// A sentence without row values.
    pub message: String,
    /// Advice.
    pub hint: Option<String>,
}

/// What a run costs, known before it. All are bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Longest chain of messages.
    pub rounds: u32,
    /// Sent by one site.
    pub bytes_per_site: u64,
    /// Sent by all.
    pub bytes_total: u64,
    /// Rounds and bytes of one site for the randomness that work on shares takes, where it is known before.
    pub preparation: Option<Preparation>,
}

/// Randomness for work on shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// Longest chain of messages.
    pub rounds: u32,
    /// Sent by one site.
    pub bytes_per_site: u64,
}

impl From<&NodeError> for Refusal {
    fn from(error: &NodeError) -> Self {
        Self { code: error.code.to_string(), message: printable(&error.message), hint: error.hint.clone() }
    }
}

impl From<Refusal> for NodeError {
    fn from(Refusal { code, message, hint }: Refusal) -> Self {
        Self { code: code.into(), message, hint }
    }
}

impl SiteState {
    /// A site that has not answered.
    pub fn asked(site: &str, now_ms: u64) -> Self {
        let (site, state) = (site.to_owned(), At::Asked);
        Self { site, state, since_ms: now_ms, waits_for: None, step: None, bytes: 0, refusal: None }
    }

    /// Another state; what belonged to the one before goes.
    pub fn set(&mut self, state: At, now_ms: u64) {
        if self.state != state {
            (self.state, self.since_ms) = (state, now_ms);
        }
        (self.waits_for, self.step, self.refusal) = (None, None, None);
    }
}

impl Job {
    /// Ends it; what did not come to an end at a site did not come to one here.
    pub fn end(&mut self, state: State, refusal: Option<Refusal>, now_ms: u64) {
        (self.state, self.refusal, self.ended_ms) = (state, refusal, Some(now_ms));
        for site in &mut self.sites {
            match (state, site.state) {
                (State::Done, _) => site.set(At::Done, now_ms),
                (_, At::Running) => site.set(At::Failed, now_ms),
                _ => (),
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({}, {}, revision {})", hex::text(&self.id), self.state.name(), self.revision)
    }
}
