//! Yes, no, and neither any more.

use mpc_core::identity::Pin;

use super::{Desk, Proof, Reply};
use crate::fault::{NodeError, hostile, printable};
use crate::govern::approval::{Approval, Asked, By};
use crate::govern::gate::Gate;
use crate::state::inbox::{Consent, Decision, Waiting};
use crate::state::now_ms;

const DAY_MS: i64 = 86_400_000;
/// An approval lasts a year at most.
const MAX_DAYS: u32 = 366;
/// A steward's signature is used at once; clocks may differ by as much.
const FRESH_MS: u64 = 15 * 60 * 1000;
/// Characters of a reason, and of a note of who decides.
const MAX_REASON: usize = 500;
const MAX_NOTE: usize = 64;

pub(super) fn approve(
    desk: &Desk<'_>,
    plan: &[u8; 32],
    days: u32,
    note: &str,
    proof: Option<&Proof>,
) -> Result<Reply, NodeError> {
    let gate = desk.gate;
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(NodeError::new("BAD_DAYS", format!("an approval lasts 1 to {MAX_DAYS} days")));
    }
    gate.policy.unchanged()?;
    let waiting = gate.state.inbox()?.into_iter().find(|waiting| waiting.case() == *plan);
    let waiting = waiting.ok_or_else(|| NodeError::new("NO_SUCH_PLAN", "this plan no longer waits for a decision"))?;
    let now = now_ms();
    gate.study(&waiting.study)?.goes_on(now as i64)?;
    let by = steward(gate, &waiting, (days, now), note, proof)?;
    let until_ms = now as i64 + i64::from(days) * DAY_MS;
    let policy = &gate.policy.policy;
    if !policy.two_persons {
        return sign(gate, &waiting, vec![by], until_ms);
    }
    let consent = Consent { by: by.clone(), until_ms, policy: policy.digest() };
    let consents = gate.state.consent(plan, consent)?;
    if consents.len() < 2 {
        return Ok(Reply::OneOfTwo { plan: *plan, by });
    }
    let until_ms = consents.iter().map(|consent| consent.until_ms).min().unwrap_or(until_ms);
    sign(gate, &waiting, consents.into_iter().map(|consent| consent.by).collect(), until_ms)
}

/// The site's own key signs what its stewards have decided.
fn sign(gate: &Gate, waiting: &Waiting, by: Vec<String>, until_ms: i64) -> Result<Reply, NodeError> {
    let analyst: Pin =
        waiting.analyst_pin.parse().map_err(|_| NodeError::new("LEDGER_DAMAGED", "a plan waits for nobody's key"))?;
    let asked = Asked { plan: waiting.plan, study: waiting.study, network: gate.network, analyst };
    let now = now_ms() as i64;
    let terms = gate.terms(&asked, By::Hand(by), now, until_ms - now);
    let approval = Approval::sign(terms, &gate.identity);
    let plan = waiting.case();
    gate.state.decide(&plan, &Decision::Approved(Box::new(approval)))?;
    Ok(Reply::Approved { plan, until_ms })
}

/// Who decides: a steward of the policy by their own signature, or by a note whoever holds the site's key.
fn steward(
    gate: &Gate,
    waiting: &Waiting,
    (days, now): (u32, u64),
    note: &str,
    proof: Option<&Proof>,
) -> Result<String, NodeError> {
    let stewards = &gate.policy.policy.stewards;
    if stewards.is_empty() {
        return noted(note);
    }
    let proof = proof.ok_or_else(|| {
        NodeError::new(
            "STEWARD_KEY_NEEDED",
            "the site's policy lists stewards, and one of them approves by their own key",
        )
        .hint("name its file with --steward-key")
    })?;
    let not =
        || NodeError::new("NOT_A_STEWARD", "this signature is none of the stewards' that the site's policy lists");
    let pin = proof.signer(&waiting.case(), gate.identity.pin(), days).ok_or_else(not)?.to_string();
    // One made for an earlier wait is not used again after that was withdrawn.
    if proof.at_ms < waiting.since_ms || proof.at_ms.abs_diff(now) > FRESH_MS {
        let message =
            "the steward's signature is of another time: older than the wait of this plan, or not of these minutes";
        return Err(NodeError::new("SIGNATURE_TOO_OLD", message).hint("sign again; compare the clocks"));
    }
    stewards.iter().find(|(_, known)| **known == pin).map(|(name, _)| name.clone()).ok_or_else(not)
}

pub(super) fn reject(desk: &Desk<'_>, name: &str, reason: &str, note: &str) -> Result<Reply, NodeError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(hostile) {
        let message = format!("a reason is one line of 1 to {MAX_REASON} characters; the analyst is told");
        return Err(NodeError::new("BAD_REASON", message));
    }
    let (by, state) = (noted(note)?, &desk.gate.state);
    let waiting = state.waiting(name)?;
    let (case, plan) = (waiting.case(), waiting.plan);
    state.decide(&case, &Decision::Rejected { by, reason: reason.to_owned(), plan })?;
    Ok(Reply::Rejected { plan: case })
}

pub(super) fn withdraw(desk: &Desk<'_>, name: &str, note: &str) -> Result<Reply, NodeError> {
    let state = &desk.gate.state;
    let (plan, decided) = state.withdraw(name, &noted(note)?)?;
    let begun = match decided {
        Decision::Approved(approval) => {
            let releases = state.outlines(&approval.terms.study)?;
            releases.iter().any(|release| release.plan == approval.terms.plan && release.progress.counts())
        }
        Decision::Rejected { .. } => false,
    };
    Ok(Reply::Withdrawn { plan, begun })
}

fn noted(note: &str) -> Result<String, NodeError> {
    let note = printable(note.trim());
    if note.is_empty() || note.chars().count() > MAX_NOTE {
        return Err(NodeError::new("BAD_NAME", format!("who decides is named in 1 to {MAX_NOTE} characters")));
    }
    Ok(note)
}
