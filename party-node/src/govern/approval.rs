//! A site's consent to one plan, signed by its key: under which study, policy and network, by whom, until when.

use mpc_core::identity::{Identity, Pin, PublicKey};
use serde::{Deserialize, Serialize};

use crate::fault::NodeError;
use crate::state::inbox;

/// What a site consents to. Nothing else may run under its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Digest of the plan; the disclosures are part of it.
    pub plan: [u8; 32],
    /// Digest of the study.
    pub study: [u8; 32],
    /// Digest of the network file.
    pub network: [u8; 32],
    /// Digest of the site's own policy when it consented.
    pub policy: [u8; 32],
    /// Who asks: the analyst's key.
    pub analyst: Pin,
    /// Who consented.
    pub by: By,
    /// From and until, milliseconds since 1970-01-01.
    pub from_ms: i64,
    /// The last moment at which a run may begin.
    pub until_ms: i64,
}

/// Who consents for a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// A rule of its policy, counted from 1; 0 at a site that allows everything.
    Rule(u32),
    /// Stewards, by name.
    Hand(Vec<String>),
}

impl By {
    /// In words.
    pub fn names(&self) -> String {
        match self {
            By::Rule(rule) => format!("rule {rule}"),
            By::Hand(names) => names.join(" and "),
        }
    }
}

/// Terms with the site's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What it consents to.
    pub terms: Terms,
    /// By the site's key.
    pub signature: Vec<u8>,
}

/// What a run is about, for comparison with terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Digest of the plan.
    pub plan: [u8; 32],
    /// Digest of the study.
    pub study: [u8; 32],
    /// Digest of the network file.
    pub network: [u8; 32],
    /// Who asks.
    pub analyst: Pin,
}

impl Terms {
    /// How the site that consents names what it is about.
    pub fn case(&self) -> [u8; 32] {
        inbox::case(&self.plan, &self.study, &self.analyst.to_string())
    }
}

impl Asked {
    /// How a site names what is asked.
    pub fn case(&self) -> [u8; 32] {
        inbox::case(&self.plan, &self.study, &self.analyst.to_string())
    }
}

impl Approval {
    /// Signs terms.
    pub fn sign(terms: Terms, identity: &Identity) -> Self {
        let signature = identity.sign(PURPOSE, &message(&terms)).to_vec();
        Self { terms, signature }
    }

    /// Does it cover this run, now, by the owner of this key?
    ///
    /// # Errors
    /// `NOT_APPROVED`: another plan, study, network or analyst, expired, or signed by somebody else.
    pub fn covers(&self, asked: &Asked, key: &PublicKey, now_ms: i64) -> Result<(), NodeError> {
        let terms = &self.terms;
        let not = |what: &str| Err(NodeError::new("NOT_APPROVED", what));
        if !key.verify(PURPOSE, &message(terms), &self.signature) {
            return not("the approval is not signed by the site's key");
        }
        let same = Asked { plan: terms.plan, study: terms.study, network: terms.network, analyst: terms.analyst };
        if same != *asked {
            return not("the approval is for another plan, study, network or analyst");
        }
        if now_ms > terms.until_ms {
            return not("the approval has expired");
        }
        Ok(())
    }
}

/// How a steward names a plan: the first 16 hexadecimal digits of its digest.
pub fn short(plan: &[u8; 32]) -> String {
    plan[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What every site signs once for a study: that under this network file it takes part in it.
pub fn agree(identity: &Identity, network: &[u8; 32], study: &[u8; 32]) -> Vec<u8> {
    identity.sign(AGREEMENT, &[*network, *study].concat()).to_vec()
}

/// Did the owner of this key sign that?
pub fn agrees(key: &PublicKey, network: &[u8; 32], study: &[u8; 32], signature: &[u8]) -> bool {
    key.verify(AGREEMENT, &[*network, *study].concat(), signature)
}

fn message(terms: &Terms) -> Vec<u8> {
    serde_json::to_vec(terms).expect("terms have no maps")
}

const PURPOSE: &str = "approval v1";
const AGREEMENT: &str = "agreement v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(analyst: Pin) -> Terms {
        let (plan, study, network, policy) = ([1; 32], [2; 32], [3; 32], [4; 32]);
        Terms { plan, study, network, policy, analyst, by: By::Rule(1), from_ms: 0, until_ms: 10 }
    }

    #[test]
    fn an_approval_covers_its_own_plan_until_it_expires_and_nothing_else() {
        let (site, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let approval = Approval::sign(terms(site.pin()), &site);
        let asked = Asked { plan: [1; 32], study: [2; 32], network: [3; 32], analyst: site.pin() };
        assert_eq!(approval.covers(&asked, &site.public_key(), 10), Ok(()));
        let refused = |approval: &Approval, asked: &Asked, key: &Identity, now| {
            approval.covers(asked, &key.public_key(), now).unwrap_err().code == "NOT_APPROVED"
        };
        assert!(refused(&approval, &asked, &site, 11));
        assert!(refused(&approval, &asked, &other, 10));
        assert!(refused(&approval, &Asked { plan: [9; 32], ..asked }, &site, 10));
        assert!(refused(&approval, &Asked { study: [9; 32], ..asked }, &site, 10));
        assert!(refused(&approval, &Asked { network: [9; 32], ..asked }, &site, 10));
        assert!(refused(&approval, &Asked { analyst: other.pin(), ..asked }, &site, 10));
        let longer = Terms { until_ms: 100, ..approval.terms.clone() };
        assert!(refused(&Approval { terms: longer, signature: approval.signature }, &asked, &site, 10));
    }
}
