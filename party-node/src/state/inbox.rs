//! Plans that wait for somebody at the site, and what was decided about them.

use serde::{Deserialize, Serialize};

use super::audit::{Asked, Event};
use super::store::{Change, Rows, Table};
use super::{State, hex, now_ms};
use crate::fault::NodeError;
use crate::govern::approval::{Approval, By, short};

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
    /// What now() means in it, and to whom the answer goes: what a dry run needs.
    pub now_ms: i64,
    /// The names of stewards who have said yes, where it takes two.
    pub consents: Vec<String>,
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
    /// `INBOX_FULL` at [`MAX_WAITING`] plans.
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
        let mut found = self.inbox()?.into_iter().filter(|plan| name.len() >= 4 && short(&plan.plan).starts_with(name));
        match (found.next(), found.next()) {
            (Some(plan), None) => Ok(plan),
            _ => Err(NodeError::new("NO_SUCH_PLAN", "no plan, or more than one, of that name waits for a decision")
                .hint("see `consilium inbox`")),
        }
    }

    /// Notes that a steward said yes, where it takes another one.
    pub fn consented(&self, waiting: &Waiting, by: &str) -> Result<(), NodeError> {
        self.change(|change| {
            let mut waiting = waiting.clone();
            waiting.consents.push(by.to_owned());
            change.put(Table::Inbox, &waiting.plan, &waiting)?;
            change.log(Event::Approved { plan: waiting.plan, by: format!("{by} (one of two)"), until_ms: 0 });
            Ok(())
        })
    }

    /// Writes a decision down. The plan no longer waits.
    pub fn decide(&self, plan: &[u8; 32], decision: &Decision) -> Result<(), NodeError> {
        self.change(|change| {
            change.remove(Table::Inbox, plan)?;
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

    /// Takes a decision back: the plan may wait again.
    ///
    /// # Errors
    /// `NO_SUCH_PLAN` when nothing was decided about it.
    pub fn withdraw(&self, name: &str, by: &str) -> Result<[u8; 32], NodeError> {
        self.change(|change: &mut Change| {
            let decided = change.rows(Table::Approvals, &[], &[])?;
            let mut found = decided.iter().filter_map(|(key, _)| <[u8; 32]>::try_from(&key[..]).ok());
            let plan = found.find(|plan| name.len() >= 4 && short(plan).starts_with(name));
            let plan = plan.ok_or_else(|| NodeError::new("NO_SUCH_PLAN", "nothing was decided about such a plan"))?;
            change.remove(Table::Approvals, &plan)?;
            change.log(Event::Withdrawn { plan, by: by.to_owned() });
            Ok(plan)
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

fn asked(waiting: &Waiting) -> Asked {
    let Waiting { study, plan, disclosure, analyst, .. } = waiting;
    Asked { study: *study, plan: *plan, disclosure: *disclosure, analyst: analyst.clone() }
}

/// An analyst can fill an inbox with questions; stewards should not have to read more.
const MAX_WAITING: usize = 256;
