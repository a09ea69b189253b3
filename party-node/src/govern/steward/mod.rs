//! What a site's stewards ask of it and order: from the command line through the running node, or on the folder itself where no node
//! runs. The same function serves both.

mod decide;
mod dry_run;
pub(crate) mod look;
#[cfg(test)]
mod tests;
mod trail;

use mpc_core::identity::{Identity, Pin, PublicKey};
use query_planner::{Catalog, Language};
use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::fault::NodeError;
use crate::source::BoundData;
pub use dry_run::{Counted, DryRun};

/// Where stewards work: a site as its node has it.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// How the site decides, and what it keeps.
    pub gate: &'a Gate,
    /// The network's catalogue.
    pub catalog: &'a Catalog,
    /// The site's tables, where they are read: see [`Order::needs_data`].
    pub data: Option<&'a BoundData>,
    /// The keys that the network pins for the site.
    pub pins: &'a [Pin],
}

/// One thing that a steward asks or orders. A plan is named by the first digits of its case ([`case`](crate::state::inbox::case)), which are the
/// plan's own as far as sixteen, a release by those of its id; at least four.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The plans that wait, or the one of this name, from a place in the list on.
    Inbox {
        /// Of a plan.
        plan: Option<String>,
        /// 0 at first.
        from: u64,
    },
    /// The whole text of a plan that waits, from a place in the text on.
    Plan {
        /// Its name.
        plan: String,
        /// What is revealed in Chinese, after the plan.
        chinese: bool,
        /// 0 at first.
        from: u64,
    },
    /// Approve a plan that waits.
    Approve {
        /// Its case, whole.
        plan: [u8; 32],
        /// For how many days.
        days: u32,
        /// A note of who orders it, where the policy lists no stewards.
        note: String,
        /// The steward's own signature, where it does.
        proof: Option<Proof>,
    },
    /// Reject a plan that waits.
    Reject {
        /// Its name.
        plan: String,
        /// Why; the analyst is told.
        reason: String,
        /// A note of who orders it.
        note: String,
    },
    /// Take back what was decided about a plan.
    Withdraw {
        /// Its name.
        plan: String,
        /// A note of who orders it.
        note: String,
    },
    /// Do the site's own work for a question and count.
    DryRun(Question),
    /// What came out, from a place in the list on.
    Ledger {
        /// Of the study of this name only.
        study: Option<String>,
        /// 0 at first.
        from: u64,
    },
    /// What the log says of a release, from a place in the text on.
    Trail {
        /// Its id's first digits.
        release: String,
        /// 0 at first.
        from: u64,
    },
    /// Check the log.
    Verify {
        /// Keys that the site had before, besides those of the network file.
        pins: Vec<Pin>,
    },
    /// The log as bytes, from a place on.
    Export {
        /// 0 at first.
        from: u64,
    },
    /// Delete what is kept of a study.
    Forget {
        /// Its digest.
        study: [u8; 32],
    },
}

/// What a dry run is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// A plan that waits, by its name.
    Waiting(String),
    /// A text.
    Sql(String),
}

/// A steward's own consent to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The steward's public key.
    pub key: [u8; 32],
    /// When it was signed, milliseconds since 1970.
    pub at_ms: u64,
    /// Of case, site, days and time.
    pub signature: Vec<u8>,
}

/// What a steward hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Plans that wait, the oldest first.
    Inbox {
        /// Some of them.
        plans: Vec<Entry>,
        /// Where the next are.
        next: Option<u64>,
    },
    /// Text.
    Text {
        /// A part.
        text: String,
        /// Where the next is.
        next: Option<u64>,
    },
    /// The plan may run.
    Approved {
        /// Its case.
        plan: [u8; 32],
        /// Until when.
        until_ms: i64,
    },
    /// One steward has consented, and it takes another one.
    OneOfTwo {
        /// Its case.
        plan: [u8; 32],
        /// Who.
        by: String,
    },
    /// The plan may not run.
    Rejected {
        /// Its case.
        plan: [u8; 32],
    },
    /// Nothing is decided about the plan any more.
    Withdrawn {
        /// Its case.
        plan: [u8; 32],
        /// Has a run of it begun before? What came out stays out.
        begun: bool,
    },
    /// What the site's own work found.
    DryRun(DryRun),
    /// Releases, the oldest first.
    Ledger {
        /// Some of them.
        releases: Vec<Line>,
        /// What is left of each study's ε and δ and of all studies', where the policy keeps such budgets; with the first part.
        budgets: Vec<Budget>,
        /// Where the next are.
        next: Option<u64>,
    },
    /// The log stands as it was written.
    Verified {
        /// Number of its lines.
        lines: u64,
        /// Hash of the last.
        hash: [u8; 32],
        /// When the first and the last were written, milliseconds since 1970.
        times_ms: Option<(u64, u64)>,
        /// The keys that signed it.
        keys: Vec<Pin>,
    },
    /// A part of the log; the last ends with the signed line that closes it.
    Export {
        /// The part.
        bytes: Vec<u8>,
        /// Where the next is.
        next: Option<u64>,
    },
    /// What was deleted, as a signed line of the log.
    Receipt {
        /// The line.
        line: String,
    },
}

/// A plan that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its case: of the plan, the study and who asks.
    pub plan: [u8; 32],
    /// The study's name.
    pub study: String,
    /// Who asks.
    pub analyst: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// The question; its first part if it is long.
    pub query: String,
    /// Who has consented, where it takes two.
    pub consents: Vec<String>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id.
    pub id: [u8; 16],
    /// The study's name; the first digits of its digest where the site no longer takes part in it.
    pub study: String,
    /// Who asked.
    pub analyst: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// How far it came: begun, released, or the code with which it was refused.
    pub state: String,
    /// The question; its first part if it is long, nothing where the study was closed.
    pub query: String,
}

/// ε and δ at this site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The study's name; none of all studies together.
    pub study: Option<String>,
    /// In millionths; none where there is no limit.
    pub epsilon: Option<Used>,
    /// In units of 10⁻¹⁸; none where there is no limit, or none to spend.
    pub delta: Option<Used>,
}

/// What of a budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// What was taken, whether or not an answer came.
    pub spent: u64,
    /// All there is.
    pub limit: u64,
}

/// Why an order was not done, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    code: String,
    message: String,
    hint: Option<String>,
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Self { code: error.code.into_owned(), message: error.message, hint: error.hint }
    }
}

impl From<Refusal> for NodeError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.into(), message: refusal.message, hint: refusal.hint }
    }
}

/// Does what a steward orders. Blocks on the disk, and in a dry run on the site's own work.
///
/// # Errors
/// `NO_SUCH_PLAN`, `NO_SUCH_RELEASE`, `NO_SUCH_STUDY`; of decisions `POLICY_CHANGED`, `STUDY_UNKNOWN`, `STUDY_ENDED`, `BAD_DAYS`, `BAD_REASON`,
/// `STEWARD_KEY_NEEDED`, `NOT_A_STEWARD`, `SIGNATURE_TOO_OLD`; of a dry run what the planner and the site's work refuse; of the log
/// `AUDIT_BROKEN`, `LEDGER_ROLLED_BACK`; `STUDY_CLOSED`; and whatever the disk does.
pub fn perform(desk: &Desk<'_>, order: Order) -> Result<Reply, NodeError> {
    match order {
        Order::Inbox { plan, from } => look::inbox(desk, plan.as_deref(), from),
        Order::Plan { plan, chinese, from } => look::plan(desk, &plan, chinese, from),
        Order::Approve { plan, days, note, proof } => decide::approve(desk, &plan, days, &note, proof.as_ref()),
        Order::Reject { plan, reason, note } => decide::reject(desk, &plan, &reason, &note),
        Order::Withdraw { plan, note } => decide::withdraw(desk, &plan, &note),
        Order::DryRun(question) => dry_run::run(desk, &question).map(Reply::DryRun),
        Order::Ledger { study, from } => look::ledger(desk, study.as_deref(), from),
        Order::Trail { release, from } => trail::show(desk, &release, from),
        Order::Verify { pins } => trail::verify(desk, &pins),
        Order::Export { from } => trail::export(desk, from),
        Order::Forget { study } => Ok(Reply::Receipt { line: desk.gate.state.forget(&study)? }),
    }
}

impl Order {
    /// The study that it closes.
    pub fn closes(&self) -> Option<[u8; 32]> {
        match self {
            Order::Forget { study } => Some(*study),
            _ => None,
        }
    }

    /// May it change what waits, or what was decided?
    pub fn decides(&self) -> bool {
        matches!(self, Order::Approve { .. } | Order::Reject { .. } | Order::Withdraw { .. } | Order::Forget { .. })
    }

    /// Does it read the site's tables?
    pub fn needs_data(&self) -> bool {
        matches!(self, Order::DryRun(_))
    }
}

impl Proof {
    /// A steward's consent to a case at the site that has this key.
    pub fn sign(steward: &Identity, plan: &[u8; 32], site: Pin, days: u32, at_ms: u64) -> Self {
        let signature = steward.sign(CONSENT, &message(plan, site, days, at_ms)).to_vec();
        Self { key: steward.public_key().0, at_ms, signature }
    }

    /// The key under which it holds, if it does.
    fn signer(&self, plan: &[u8; 32], site: Pin, days: u32) -> Option<Pin> {
        let key = PublicKey(self.key);
        key.verify(CONSENT, &message(plan, site, days, self.at_ms), &self.signature).then(|| key.pin())
    }
}

/// Purpose of a steward's signature.
const CONSENT: &str = "steward consent v1";

fn message(plan: &[u8; 32], site: Pin, days: u32, at_ms: u64) -> Vec<u8> {
    [plan.as_slice(), &site.0, &days.to_le_bytes(), &at_ms.to_le_bytes()].concat()
}

fn language(chinese: bool) -> Language {
    if chinese { Language::Chinese } else { Language::English }
}

/// The longest part of a text or of the log in one reply: a control message has 1 MiB.
const PART_BYTES: usize = 256 << 10;
