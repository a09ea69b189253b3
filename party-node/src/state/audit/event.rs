//! What a site logs. Digests, names, codes and counts of bytes: no literal of a question, no value of a row, and no
//! counts of patients. Unknown fields are not refused here: a line with one is not canonical.

use mpc_core::identity::PublicKey;
use serde::{Deserialize, Serialize};

use crate::state::hex;

/// One thing that happened. Each line of the log has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The node started. The lines from this one to the next of its kind are signed by this key.
    Started {
        /// The site's public key.
        #[serde(with = "key")]
        key: PublicKey,
        /// Version of the program.
        version: String,
        /// Bytes at the log's end that a crash had kept from the disk and that were written again.
        repaired_bytes: u64,
    },
    /// The site's policy, as it is from now on.
    Policy {
        /// SHA-256 of the policy.
        #[serde(with = "hex")]
        policy: [u8; 32],
    },
    /// A plan waits for a decision.
    Waiting(Asked),
    /// A plan may run.
    Approved {
        /// Digest of the plan.
        #[serde(with = "hex")]
        plan: [u8; 32],
        /// Who or which rule.
        by: String,
        /// Until when, in ms since 1970; 0 for no end.
        until_ms: u64,
    },
    /// A plan may not run.
    Rejected {
        /// Digest of the plan.
        #[serde(with = "hex")]
        plan: [u8; 32],
        /// Who or which rule.
        by: String,
        /// Why, in the site's words.
        reason: String,
    },
    /// An approval was taken back, or its time had passed.
    Withdrawn {
        /// Digest of the plan.
        #[serde(with = "hex")]
        plan: [u8; 32],
        /// Who, or "expiry".
        by: String,
    },
    /// A release begins: from here on it counts.
    Begun {
        /// Its id.
        #[serde(with = "hex")]
        release: [u8; 16],
        /// What was asked.
        #[serde(flatten)]
        asked: Asked,
        /// SHA-256 of the question's text.
        #[serde(with = "hex")]
        text: [u8; 32],
        /// Digest of the site's data.
        #[serde(with = "hex")]
        snapshot: [u8; 32],
        /// The sites that take part.
        sites: Vec<String>,
    },
    /// The site's own patients behind each figure are kept.
    Noted {
        /// The release.
        #[serde(with = "hex")]
        release: [u8; 16],
        /// How many figures.
        sets: u64,
    },
    /// An answer came out.
    Released {
        /// The release.
        #[serde(with = "hex")]
        release: [u8; 16],
    },
    /// A release was refused after it had begun.
    Refused {
        /// The release.
        #[serde(with = "hex")]
        release: [u8; 16],
        /// Stable code of the reason.
        code: String,
    },
    /// A refused release counts all the same, because it does at another site.
    Counted {
        /// The release.
        #[serde(with = "hex")]
        release: [u8; 16],
    },
    /// A question was refused before it began.
    Denied {
        /// What was asked.
        #[serde(flatten)]
        asked: Asked,
        /// Stable code of the reason.
        code: String,
    },
    /// What left the site for a release.
    Sent {
        /// The release.
        #[serde(with = "hex")]
        release: [u8; 16],
        /// By step of the protocol.
        steps: Vec<Step>,
    },
    /// Where the logs of the other sites ended.
    Heads {
        /// Of which release; all zeros for none.
        #[serde(with = "hex")]
        release: [u8; 16],
        /// One for each site.
        heads: Vec<SiteHead>,
    },
    /// Some of a study's ε and δ was spent, whether or not an answer comes.
    Reserved {
        /// The study.
        #[serde(with = "hex")]
        study: [u8; 32],
        /// How much, in millionths.
        millionths: u64,
        /// All that was spent so far.
        spent: u64,
        /// How much of δ, in units of 10⁻¹⁸; nothing of it stands where there is none.
        #[serde(default, skip_serializing_if = "is_zero")]
        delta: u64,
        /// All of δ that was spent so far.
        #[serde(default, skip_serializing_if = "is_zero")]
        delta_spent: u64,
    },
    /// Use-once indices were taken.
    Taken {
        /// Of what.
        of: String,
        /// The first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Patient sets, texts, answers and jobs of a study were deleted; it takes no more questions.
    Deleted {
        /// The study.
        #[serde(with = "hex")]
        study: [u8; 32],
        /// Releases whose sets and texts went.
        releases: u64,
        /// Sets.
        sets: u64,
        /// Answers.
        answers: u64,
        /// Jobs of this node's accounts, with their answers.
        #[serde(default, skip_serializing_if = "is_zero")]
        jobs: u64,
    },
}

/// What was asked, in digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Digest of the study.
    #[serde(with = "hex")]
    pub study: [u8; 32],
    /// Digest of the plan.
    #[serde(with = "hex")]
    pub plan: [u8; 32],
    /// Digest of the disclosure statement.
    #[serde(with = "hex")]
    pub disclosure: [u8; 32],
    /// Who asked.
    pub analyst: String,
}

/// What was sent in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its path.
    pub step: String,
    /// Messages.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// The end of another site's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteHead {
    /// The site.
    pub site: String,
    /// Its last line.
    #[serde(flatten)]
    pub head: Head,
}

/// The last line of a log: everything before it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; the first line has 1. 0 for an empty log.
    pub seq: u64,
    /// Its hash.
    #[serde(with = "hex")]
    pub hash: [u8; 32],
}

impl Head {
    /// Of a log without lines.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };
}

impl Event {
    /// The release it belongs to.
    pub fn release(&self) -> Option<[u8; 16]> {
        match self {
            Event::Begun { release, .. }
            | Event::Released { release }
            | Event::Noted { release, .. }
            | Event::Refused { release, .. }
            | Event::Counted { release }
            | Event::Sent { release, .. }
            | Event::Heads { release, .. } => Some(*release),
            _ => None,
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A public key in hexadecimal.
pub(super) mod key {
    use mpc_core::identity::PublicKey;
    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(key: &PublicKey, out: S) -> Result<S::Ok, S::Error> {
        crate::state::hex::serialize(&key.0, out)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        crate::state::hex::deserialize(from).map(PublicKey)
    }
}
