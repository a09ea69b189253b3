//! Plans that wait for somebody at the site, and what was decided about them.

use query_planner::{Audience, noise};
use serde::{Deserialize, Serialize};

use super::audit::{Asked, Event};
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
    },
}

impl State {
    /// Puts a plan into the inbox, if it is not there.
    ///
    /// # Errors
    /// `INBOX_FULL` when too many plans wait.
    pub fn wait(&self, waiting: &Waiting) -> Result<(), NodeError> {
        self.change(|change| {
            if change.bytes(Table::Inbox, &waiting.plan)?.is_some() {
                return Ok(());
            }
            if change.rows(Table::Inbox, &[], &[])?.len() >= MAX_WAITING {
                let message = format!("{MAX_WAITING} plans wait for a decision at this site");
                return Err(
                    NodeError::new("INBOX_FULL", message).hint("its stewards have to decide about some of them")
                );
            }
            change.put(Table::Inbox, &waiting.plan, waiting)?;
            change.log(Event::Waiting(asked(waiting)));
            Ok(())
        })
    }

    /// The plans that wait, the oldest first.
    pub fn inbox(&self) -> Result<Vec<Waiting>, NodeError> {
        let mut all: Vec<Waiting> = self.view()?.list(Table::Inbox, &[])?.into_iter().map(|(_, plan)| plan).collect();
        all.sort_by_key(|plan| plan.since_ms);
        Ok(all)
    }

    /// The plan that stewards name so: the first digits of its digest, at least four.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when none waits or several do.
    pub fn waiting(&self, name: &str) -> Result<Waiting, NodeError> {
        let mut found = self.inbox()?.into_iter().filter(|plan| named(&plan.plan, name));
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
    pub fn consent(&self, plan: &[u8; 32], consent: Consent) -> Result<Vec<Consent>, NodeError> {
        self.change(|change| {
            let mut waiting: Waiting = change.get(Table::Inbox, plan)?.ok_or_else(not_waiting)?;
            waiting.consents.retain(|other| other.by != consent.by && other.policy == consent.policy);
            let (by, until_ms) = (format!("{} (one of two)", consent.by), consent.until_ms as u64);
            waiting.consents.push(consent);
            change.put(Table::Inbox, plan, &waiting)?;
            change.log(Event::Approved { plan: *plan, by, until_ms });
            Ok(waiting.consents)
        })
    }

    /// Writes a decision about a plan down that waits; it no longer does.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when it does not wait: somebody else has decided.
    pub fn decide(&self, plan: &[u8; 32], decision: &Decision) -> Result<(), NodeError> {
        self.change(|change| {
            if !change.remove(Table::Inbox, plan)? {
                return Err(not_waiting());
            }
            change.put(Table::Approvals, plan, decision)?;
            change.log(match decision {
                Decision::Approved(approval) => {
                    let by = match &approval.terms.by {
                        By::Rule(rule) => format!("rule {rule}"),
                        By::Hand(names) => names.join(" and "),
                    };
                    Event::Approved { plan: *plan, by, until_ms: approval.terms.until_ms as u64 }
                }
                Decision::Rejected { by, reason } => {
                    Event::Rejected { plan: *plan, by: by.clone(), reason: reason.clone() }
                }
            });
            Ok(())
        })
    }

    /// Takes a decision back: the plan may wait again. What had been decided.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when nothing was decided about it, or the name fits several.
    pub fn withdraw(&self, name: &str, by: &str) -> Result<([u8; 32], Decision), NodeError> {
        self.change(|change: &mut Change| {
            let decided = change.list(Table::Approvals, &[])?.into_iter();
            let decided = decided.filter_map(|(key, decision)| Some((<[u8; 32]>::try_from(&key[..]).ok()?, decision)));
            let mut found = decided.filter(|(plan, _)| named(plan, name));
            let (Some((plan, decision)), None) = (found.next(), found.next()) else {
                return Err(NodeError::new(
                    "NO_SUCH_PLAN",
                    "nothing was decided about a plan, or one plan only, of that name",
                ));
            };
            change.remove(Table::Approvals, &plan)?;
            change.log(Event::Withdrawn { plan, by: by.to_owned() });
            Ok((plan, decision))
        })
    }

    /// What was decided about a plan, if anything was.
    pub fn decision(&self, plan: &[u8; 32]) -> Result<Option<Decision>, NodeError> {
        self.view()?.get(Table::Approvals, plan)
    }
}

impl Waiting {
    /// For how long it has waited, in ms.
    pub fn age_ms(&self) -> u64 {
        now_ms().saturating_sub(self.since_ms)
    }
}

/// Does an approval still stand? One by rule does unless somebody decided otherwise.
///
/// # Errors
/// `NOT_APPROVED` when it was withdrawn, or another decision took its place.
pub(super) fn stands(rows: &impl Rows, approval: &Approval) -> Result<(), NodeError> {
    let stands = match (rows.get(Table::Approvals, &approval.terms.plan)?, &approval.terms.by) {
        (Some(Decision::Rejected { .. }), _) | (None, By::Hand(_)) => false,
        (Some(Decision::Approved(now)), By::Hand(_)) => *now == *approval,
        (_, By::Rule(_)) => true,
    };
    let withdrawn = || NodeError::new("NOT_APPROVED", "the approval was withdrawn before the run began");
    if stands { Ok(()) } else { Err(withdrawn()) }
}

/// Do these first digits, at least four, name the plan?
fn named(plan: &[u8; 32], name: &str) -> bool {
    name.len() >= 4 && hex::text(plan).starts_with(&name.to_lowercase())
}

fn not_waiting() -> NodeError {
    NodeError::new("NO_SUCH_PLAN", "this plan no longer waits for a decision").hint("see `consilium inbox`")
}

fn asked(waiting: &Waiting) -> Asked {
    let Waiting { study, plan, disclosure, analyst, .. } = waiting;
    Asked { study: *study, plan: *plan, disclosure: *disclosure, analyst: analyst.clone() }
}

/// An analyst can fill an inbox with questions; stewards should not have to read more.
const MAX_WAITING: usize = 256;
