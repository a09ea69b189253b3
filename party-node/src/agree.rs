//! What analyst and sites say before a session: the question, everybody's consent to exactly the same plan, the nonces.

use mpc_core::control;
use mpc_core::identity::{Identity, Pin, PublicKey};
use mpc_core::session::SessionId;
use query_planner::{Audience, noise};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::govern::approval::Approval;
use crate::govern::meeting::Past;
use crate::state::audit::Head;

/// Version of these messages and of the protocols behind them; also of what each side works out for itself and nobody compares, as the form
/// of a comparison.
pub const PROTOCOL_VERSION: u16 = 9;

/// A run, named by the analyst at random.
pub type RunId = [u8; 16];

/// First message on every connection, from the side that dials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// An analyst with a question.
    Question {
        /// [`PROTOCOL_VERSION`].
        version: u16,
        /// The run.
        run: RunId,
    },
    /// A site that joins another in a run.
    Join {
        /// [`PROTOCOL_VERSION`].
        version: u16,
        /// The run.
        run: RunId,
    },
    /// A steward of this site, under the site's own key: one [`Order`](crate::govern::steward::Order) follows.
    Steward {
        /// [`PROTOCOL_VERSION`].
        version: u16,
    },
    /// An analyst who asks for consent alone: one [`Consult`] follows.
    Consult {
        /// [`PROTOCOL_VERSION`].
        version: u16,
    },
    /// An analyst with an account at this node, under the account's key: one [`JobOrder`](crate::jobs::control::JobOrder) follows.
    Jobs {
        /// [`PROTOCOL_VERSION`].
        version: u16,
    },
    /// A site that others cannot dial: it leaves the connection open, and is dialled on the way that it came.
    Stand {
        /// [`PROTOCOL_VERSION`].
        version: u16,
    },
    /// Whoever the network knows, to compare what both have: a [`Checked`] is the answer.
    Check {
        /// [`PROTOCOL_VERSION`].
        version: u16,
    },
}

/// What a node has, for `consilium check` at another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// [`PROTOCOL_VERSION`].
    pub version: u16,
    /// Its clock, milliseconds since 1970.
    pub at_ms: u64,
    /// Digest of its network file.
    pub network: [u8; 32],
    /// Digest of the tables that the network file says the sites have.
    pub schema: [u8; 32],
}

/// A question that a site is to decide about. It does no work on its rows for it and gives no word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consult {
    /// The question.
    pub propose: Propose,
    /// For how long the site may wait with its reply for somebody's decision, in milliseconds; it waits less if it likes.
    pub hold_ms: u64,
}

/// The question, with digests of everything it is to be understood by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propose {
    /// The SQL text.
    pub sql: String,
    /// What `now()` means.
    pub now_ms: i64,
    /// Who receives the answer.
    pub audience: Audience,
    /// What is to be added to every figure, if anything is.
    pub noise: Option<noise::Asked>,
    /// Digest of the analyst's network file.
    pub network: [u8; 32],
    /// Digest of the analyst's linkage file, in hex, if the network has one.
    pub linkage: Option<String>,
    /// Digest of the study it belongs to.
    pub study: [u8; 32],
    /// Digest of the plan the analyst derived.
    pub plan: [u8; 32],
    /// How long a step waits for a message.
    pub step_timeout_ms: u64,
}

/// A site's reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It derived the same plan, its policy allows it, it is approved, and its local work is done.
    Ready(Box<Signed>),
    /// The plan waits for somebody at this site.
    Waiting {
        /// How the site's stewards name the plan.
        plan: String,
        /// How many stewards have to say yes.
        needs: u32,
        /// Who has, if the site tells.
        consents: Vec<String>,
    },
    /// It consents to this plan. The reply to [`Consult`] alone.
    Approved,
    /// It has verified everybody's words and joins the run.
    Entered,
    /// It will not or cannot.
    Refuse {
        /// Stable code.
        code: String,
        /// A sentence without row values.
        message: String,
        /// Advice.
        hint: Option<String>,
    },
}

/// A word under its site's signature: the analyst brings it to the others and must not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What the site says.
    pub word: Word,
    /// By its key.
    pub signature: Vec<u8>,
}

/// What a site that is ready says to everybody: its consent, and where its records stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The run.
    pub run: RunId,
    /// Fresh, for the session id.
    pub nonce: [u8; 32],
    /// The site's public key, which the network file pins.
    pub key: [u8; 32],
    /// That it takes part in this study under this network file.
    pub agreement: Vec<u8>,
    /// That it consents to this plan.
    pub approval: Approval,
    /// The study's releases that count, as this site knows them.
    pub past: Vec<Past>,
    /// The end of its log.
    pub head: Head,
    /// The end of every site's log when this site last computed with it, in party order.
    pub seen: Vec<Head>,
}

/// Sent to all sites once all are ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The analyst's, for the session id.
    pub nonce: [u8; 32],
    /// Every site's, in party order.
    pub words: Vec<Signed>,
}

impl Signed {
    /// Signs a word.
    pub fn new(word: Word, identity: &Identity) -> Self {
        let signature = identity.sign(WORD, &message(&word)).to_vec();
        Self { word, signature }
    }

    /// Did the owner of this key say so?
    pub fn is_of(&self, key: &PublicKey) -> bool {
        key.verify(WORD, &message(&self.word), &self.signature)
    }
}

const WORD: &str = "word v1";

/// Canonical: two words have two messages.
fn message(word: &Word) -> Vec<u8> {
    serde_json::to_vec(word).expect("a word has no maps")
}

/// What a site tells the analyst when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes it sent, frame headers included.
    pub bytes: u64,
    /// Longest chain of messages it saw.
    pub rounds: u32,
}

/// Security mode, bound into the session id: another mode is another session.
const MODE: &[u8] = b"semi-honest, dishonest majority, additive";

/// The id of a session: the hash of everything its parties agreed on. Keys are sorted; the words hold every site's nonce.
///
/// # Panics
/// When the words exceed a control message, in which they came.
pub fn session_id(keys: &mut [Pin], run: &RunId, propose: &Propose, start: &Start) -> SessionId {
    keys.sort_unstable();
    let mut hash =
        Sha256::new().chain_update(b"consilium session v2\0").chain_update([MODE.len() as u8]).chain_update(MODE);
    hash.update(PROTOCOL_VERSION.to_le_bytes());
    hash.update(run);
    hash.update((keys.len() as u64).to_le_bytes());
    keys.iter().for_each(|key| hash.update(key.0));
    hash.update(propose.network);
    hash.update(propose.study);
    hash.update(propose.plan);
    hash.update(propose.step_timeout_ms.to_le_bytes());
    hash.update(control::encode(start).expect("came in a control message"));
    SessionId(hash.finalize().into())
}
