//! What analyst and sites say before a session: the question, everybody's consent to exactly the same plan, the nonces.

use mpc_core::identity::Pin;
use mpc_core::session::SessionId;
use query_planner::Audience;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of these messages and of the protocols behind them.
pub const PROTOCOL_VERSION: u16 = 1;

/// A run, named by the analyst at random.
pub type JobId = [u8; 16];

/// First message on every connection, from the side that dials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// An analyst with a question.
    Question {
        /// [`PROTOCOL_VERSION`].
        version: u16,
        /// The run.
        job: JobId,
    },
    /// A site that joins another in a run.
    Join {
        /// [`PROTOCOL_VERSION`].
        version: u16,
        /// The run.
        job: JobId,
    },
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
    /// Digest of the analyst's network file.
    pub network: [u8; 32],
    /// Digest of the analyst's linkage file, in hex, if the network has one.
    pub linkage: Option<String>,
    /// Digest of the plan the analyst derived.
    pub plan: [u8; 32],
    /// How long a step waits for a message.
    pub step_timeout_ms: u64,
}

/// A site's reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It derived the same plan, its policy allows it, and its local work is done.
    Ready {
        /// Fresh, for the session id.
        nonce: [u8; 32],
    },
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

/// Sent to all sites once all are ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The analyst's, then every site's in party order.
    pub nonces: Vec<[u8; 32]>,
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

/// The id of a session: the hash of everything its parties agreed on. Keys are sorted, nonces are in party order behind
/// the analyst's.
pub fn session_id(keys: &mut [Pin], job: &JobId, propose: &Propose, nonces: &[[u8; 32]]) -> SessionId {
    keys.sort_unstable();
    let mut hash =
        Sha256::new().chain_update(b"consilium session v1\0").chain_update([MODE.len() as u8]).chain_update(MODE);
    hash.update(PROTOCOL_VERSION.to_le_bytes());
    hash.update(job);
    hash.update((keys.len() as u64).to_le_bytes());
    keys.iter().for_each(|key| hash.update(key.0));
    hash.update(propose.network);
    hash.update(propose.plan);
    hash.update(propose.step_timeout_ms.to_le_bytes());
    hash.update((nonces.len() as u64).to_le_bytes());
    nonces.iter().for_each(|nonce| hash.update(nonce));
    SessionId(hash.finalize().into())
}
