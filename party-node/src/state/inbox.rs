//! Plans that wait for somebody at the site, and what was decided about them.
//!
//! What is decided is a case: one plan, of one study, for one analyst's key. Two analysts who ask the same are two cases.

use query_planner::{Audience, noise};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit::{Asked, Event};
use super::ledger::still_open;
use super::store::{Change, Rows, Table};
use super::{State, hex, now_ms};
use crate::fault::NodeError;
use crate::govern::approval::{Approval, By};

/// A plan that somebody has to decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Digest of the plan.
    #[serde(with = "hex")]
    pub plan: [u8; 32],
    /// Digest of the study.
    #[serde(with = "hex")]
    pub study: [u8; 32],
    /// Digest of the disclosures.
    #[serde(with = "hex")]
    pub disclosure: [u8; 32],
    /// The study's name.
    pub study_name: String,
    /// Who asks.
    pub analyst: String,
    /// The analyst's key.
    pub analyst_pin: String,
    /// The question.
    pub query: String,
    /// The plan as stewards read it.
    pub explained: String,
    /// When it was first asked, in ms since 1970.
    pub since_ms: u64,
    /// What now() means in it.
    pub now_ms: i64,
    /// To whom the answer goes.
    pub audience: Audience,
    /// What is to be added to every figure, if anything is.
    #[serde(default)]
    pub noise: Option<noise::Asked>,
    /// Stewards who have said yes, where it takes two.
    pub consents: Vec<Consent>,
}

/// One steward's yes, where it takes two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Who.
    pub by: String,
    /// The last moment, in ms since 1970, at which a run may begin.
    pub until_ms: i64,
    /// Digest of the policy under which it was said.
    #[serde(with = "hex")]
    pub policy: [u8; 32],
}

/// What was decided about a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It may run.
    Approved(Box<Approval>),
    /// It may not.
    Rejected {
        /// Who said so.
        by: String,
        /// Why: the analyst is told.
        reason: String,
        /// Digest of the plan.
        #[serde(default, with = "hex")]
        plan: [u8; 32],
    },
}

/// A case's name: the first 8 bytes of the plan's digest, by which analyst and stewards speak of it, then 24 bytes of SHA-256 over
/// plan, study and the analyst's key, as texts have it.
pub fn case(plan: &[u8; 32], study: &[u8; 32], analyst_pin: &str) -> [u8; 32] {
    let hash = Sha256::new().chain_update(b"consilium case v1\0").chain_update(plan).chain_update(study);
    let mut name: [u8; 32] = hash.chain_update(analyst_pin).finalize().into();
    name.copy_within(..24, 8);
    name[..8].copy_from_slice(&plan[..8]);
    name
}

/// What stewards read of a decision afterwards. Deleted with its study, as the questions of releases are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Digest of the study.
    #[serde(with = "hex")]
    pub study: [u8; 32],
    /// Its name.
    pub study_name: String,
    /// Who asked.
    pub analyst: String,
    /// The question; its first part if it is long.
    pub query: String,
    /// When it was decided, in ms since 1970.
    pub at_ms: u64,
}

/// A case, what was decided about it, and what stewards read of that.
pub type Made = ([u8; 32], Decision, Option<Decided>);

impl State {
    /// Puts a plan into the inbox, if this case is not there.
    ///
    /// # Errors
    /// `INBOX_FULL` when too many plans wait, or too many of this analyst; `STUDY_CLOSED`.
    pub fn wait(&self, waiting: &Waiting) -> Result<(), NodeError> {
        self.change(|change| {
            if change.bytes(Table::Inbox, &waiting.case())?.is_some() {
                return Ok(());
            }
            still_open(change, &waiting.study)?;
            has_room(&cases(change.list(Table::Inbox, &[])?), &waiting.analyst)?;
            change.put(Table::Inbox, &waiting.case(), waiting)?;
            change.log(Event::Waiting(asked(waiting)));
            Ok(())
        })
    }

    /// The plans that wait, the oldest first.
    pub fn inbox(&self) -> Result<Vec<Waiting>, NodeError> {
        let mut all = cases(self.view()?.list(Table::Inbox, &[])?);
        all.sort_by_key(|plan| plan.since_ms);
        Ok(all)
    }

    /// This case, if it waits.
    pub fn waits(&self, case: &[u8; 32]) -> Result<Option<Waiting>, NodeError> {
        self.view()?.get(Table::Inbox, case)
    }

    /// The case that stewards name so: its first digits, at least four; where two analysts ask the same, more than sixteen.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when none waits or several do.
    pub fn waiting(&self, name: &str) -> Result<Waiting, NodeError> {
        let mut found = self.inbox()?.into_iter().filter(|plan| named(&plan.case(), name));
        match (found.next(), found.next()) {
            (Some(plan), None) => Ok(plan),
            _ => Err(NodeError::new("NO_SUCH_PLAN", "no plan, or more than one, of that name waits for a decision")
                .hint("see `consilium inbox`")),
        }
    }

    /// Notes that a steward said yes, where it takes another one. Who did so far, each once and under the same policy.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when it no longer waits.
    pub fn consent(&self, case: &[u8; 32], consent: Consent) -> Result<Vec<Consent>, NodeError> {
        self.change(|change| {
            let mut waiting: Waiting = change.get(Table::Inbox, case)?.ok_or_else(not_waiting)?;
            waiting.consents.retain(|other| other.by != consent.by && other.policy == consent.policy);
            let (by, until_ms) = (format!("{} (one of two)", consent.by), consent.until_ms as u64);
            waiting.consents.push(consent);
            change.put(Table::Inbox, case, &waiting)?;
            change.log(Event::Approved { plan: waiting.plan, by, until_ms });
            Ok(waiting.consents)
        })
    }

    /// Writes a decision about a case down that waits; it no longer does.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when it does not wait: somebody else has decided.
    pub fn decide(&self, case: &[u8; 32], decision: &Decision) -> Result<(), NodeError> {
        self.change(|change| {
            let waiting: Waiting = change.get(Table::Inbox, case)?.ok_or_else(not_waiting)?;
            let plan = waiting.plan;
            change.remove(Table::Inbox, case)?;
            change.put(Table::Approvals, case, decision)?;
            change.put(Table::Decided, case, &Decided::of(waiting))?;
            change.log(match decision {
                Decision::Approved(approval) => {
                    let by = approval.terms.by.names();
                    Event::Approved { plan, by, until_ms: approval.terms.until_ms as u64 }
                }
                Decision::Rejected { by, reason, .. } => {
                    Event::Rejected { plan, by: by.clone(), reason: reason.clone() }
                }
            });
            Ok(())
        })
    }

    /// Takes a decision back: the plan may wait again. The case, and what had been decided.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when nothing was decided about it, or the name fits several.
    pub fn withdraw(&self, name: &str, by: &str) -> Result<([u8; 32], Decision), NodeError> {
        self.change(|change: &mut Change| {
            let decided = change.list(Table::Approvals, &[])?.into_iter();
            let decided = decided.filter_map(|(key, decision)| Some((<[u8; 32]>::try_from(&key[..]).ok()?, decision)));
            let mut found = decided.filter(|(case, _)| named(case, name));
            let (Some((case, decision)), None) = (found.next(), found.next()) else {
                return Err(NodeError::new(
                    "NO_SUCH_PLAN",
                    "nothing was decided about a plan, or one plan only, of that name",
                ));
            };
            change.remove(Table::Approvals, &case)?;
            change.remove(Table::Decided, &case)?;
            let plan = match &decision {
                Decision::Approved(approval) => approval.terms.plan,
                Decision::Rejected { plan, .. } => *plan,
            };
            change.log(Event::Withdrawn { plan, by: by.to_owned() });
            Ok((case, decision))
        })
    }

    /// Everything that was decided and can be withdrawn, the newest first, with what stewards read of it where it is kept.
    pub fn decided(&self) -> Result<Vec<Made>, NodeError> {
        let view = self.view()?;
        let mut all = Vec::new();
        for (key, decision) in view.list(Table::Approvals, &[])? {
            let Ok(case) = <[u8; 32]>::try_from(&key[..]) else { continue };
            all.push((case, decision, view.get::<Decided>(Table::Decided, &key)?));
        }
        all.sort_by_key(|(case, _, kept)| (std::cmp::Reverse(kept.as_ref().map(|kept| kept.at_ms)), *case));
        Ok(all)
    }

    /// What was decided about a case, if anything was.
    pub fn decision(&self, case: &[u8; 32]) -> Result<Option<Decision>, NodeError> {
        self.view()?.get(Table::Approvals, case)
    }
}

impl Waiting {
    /// Its name.
    pub fn case(&self) -> [u8; 32] {
        case(&self.plan, &self.study, &self.analyst_pin)
    }

    /// For how long it has waited, in ms.
    pub fn age_ms(&self) -> u64 {
        now_ms().saturating_sub(self.since_ms)
    }
}

impl Decided {
    fn of(waiting: Waiting) -> Self {
        let Waiting { study, study_name, analyst, query, .. } = waiting;
        let query = match query.char_indices().nth(QUERY_CHARS) {
            Some((end, _)) => format!("{}…", &query[..end]),
            None => query,
        };
        Self { study, study_name, analyst, query, at_ms: now_ms() }
    }
}

/// The questions of these decisions are deleted.
pub(super) fn forget_decided(change: &mut Change, study: &[u8; 32]) -> Result<(), NodeError> {
    let kept: Vec<(Vec<u8>, Decided)> = change.list(Table::Decided, &[])?;
    let own = kept.into_iter().filter(|(_, decided)| decided.study == *study);
    own.map(|(key, _)| key).try_for_each(|key| change.remove(Table::Decided, &key).map(drop))
}

/// Does an approval still stand? One by rule does unless somebody decided otherwise.
///
/// # Errors
/// `NOT_APPROVED` when it was withdrawn, or another decision took its place.
pub(super) fn stands(rows: &impl Rows, approval: &Approval) -> Result<(), NodeError> {
    let stands = match (rows.get(Table::Approvals, &approval.terms.case())?, &approval.terms.by) {
        (Some(Decision::Rejected { .. }), _) | (None, By::Hand(_)) => false,
        (Some(Decision::Approved(now)), By::Hand(_)) => *now == *approval,
        (_, By::Rule(_)) => true,
    };
    let withdrawn = || NodeError::new("NOT_APPROVED", "the approval was withdrawn before the run began");
    if stands { Ok(()) } else { Err(withdrawn()) }
}

/// The questions of a study that wait are deleted.
pub(super) fn delete_waiting(change: &mut Change, study: &[u8; 32]) -> Result<(), NodeError> {
    let all: Vec<(Vec<u8>, Waiting)> = change.list(Table::Inbox, &[])?;
    let own = all.into_iter().filter(|(_, waiting)| waiting.study == *study);
    own.map(|(key, _)| key).try_for_each(|key| change.remove(Table::Inbox, &key).map(drop))
}

/// The rows that are cases. Versions before this one named a row by its plan alone: nobody asks for such a one any more, and nobody
/// can decide about it.
fn cases(rows: Vec<(Vec<u8>, Waiting)>) -> Vec<Waiting> {
    rows.into_iter().filter(|(key, waiting)| *key == waiting.case()).map(|(_, waiting)| waiting).collect()
}

/// May one more plan of this analyst wait?
fn has_room(all: &[Waiting], analyst: &str) -> Result<(), NodeError> {
    let own = all.iter().filter(|waiting| waiting.analyst == analyst).count();
    let message = if all.len() >= MAX_WAITING {
        format!("{MAX_WAITING} plans wait for a decision at this site")
    } else if own >= MAX_OF_ONE {
        format!("{MAX_OF_ONE} plans of this analyst wait for a decision at this site")
    } else {
        return Ok(());
    };
    Err(NodeError::new(INBOX_FULL, message).hint("its stewards have to decide about some of them"))
}

/// Do these first digits, at least four, name the case?
fn named(case: &[u8; 32], name: &str) -> bool {
    name.len() >= 4 && hex::text(case).starts_with(&name.to_lowercase())
}

fn not_waiting() -> NodeError {
    NodeError::new("NO_SUCH_PLAN", "this plan no longer waits for a decision").hint("see `consilium inbox`")
}

fn asked(waiting: &Waiting) -> Asked {
    let Waiting { study, plan, disclosure, analyst, .. } = waiting;
    Asked { study: *study, plan: *plan, disclosure: *disclosure, analyst: analyst.clone() }
}

/// What of a question stands in a list.
pub(crate) const QUERY_CHARS: usize = 1000;

/// An analyst can fill an inbox with questions; stewards should not have to read more.
const MAX_WAITING: usize = 256;
/// One analyst cannot fill it for the others.
const MAX_OF_ONE: usize = 64;

/// It passes by itself, and says nothing of anybody's rows: it is charged to nobody.
pub(crate) const INBOX_FULL: &str = "INBOX_FULL";
