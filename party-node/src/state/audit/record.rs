//! One line of the log.
//!
//! A line is canonical JSON: `{"seq":…,"epoch":…,"at_ms":…,"event":{…},"previous":"…","signature":"…","hash":"…"}` without
//! spaces, keys in this order, digests in lower-case hexadecimal. `previous` is the hash of the line before, zeros at the
//! first. The signature (Ed25519, purpose "audit line v1") is over the line up to and without `,"signature"`, closed by `}`;
//! `hash` is SHA-256 of "consilium audit line v1", a zero byte, the same text and the signature, so that a chain of hashes holds
//! every byte and is checked at a start without the signatures. A line that means the same in other bytes is not accepted.

use mpc_core::identity::{Identity, PublicKey, SIGNATURE_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::{Event, Head};
use crate::fault::NodeError;
use crate::state::hex;

/// Purpose of the signatures.
const PURPOSE: &str = "audit line v1";

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the line, from 1.
    pub seq: u64,
    /// Number of the change of the ledger that it belongs to, from 1; lines of one change have the same.
    pub epoch: u64,
    /// Milliseconds since 1970 by the site's clock.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
    /// Hash of the line before.
    #[serde(with = "hex")]
    pub previous: [u8; 32],
}

/// A line with its proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::state) struct Line {
    #[serde(flatten)]
    pub(in crate::state) entry: Entry,
    #[serde(with = "hex")]
    pub(super) signature: [u8; SIGNATURE_BYTES],
    #[serde(with = "hex")]
    pub(super) hash: [u8; 32],
}

impl Entry {
    /// The text that is signed.
    fn text(&self) -> Result<String, NodeError> {
        serde_json::to_string(self).map_err(|e| NodeError::new("INTERNAL", format!("an event: {e}")))
    }

    /// The line, with its end, and its head.
    pub(in crate::state) fn sign(self, identity: &Identity) -> Result<(String, Head), NodeError> {
        let text = self.text()?;
        let signature = identity.sign(PURPOSE, text.as_bytes());
        let head = Head { seq: self.seq, hash: hash(&text, &signature) };
        let line = Line { entry: self, signature, hash: head.hash };
        let text = serde_json::to_string(&line).map_err(|e| NodeError::new("INTERNAL", format!("an event: {e}")))?;
        Ok((text + "\n", head))
    }
}

fn hash(text: &str, signature: &[u8; SIGNATURE_BYTES]) -> [u8; 32] {
    let domain = b"consilium audit line v1\0";
    Sha256::new().chain_update(domain).chain_update(text).chain_update(signature).finalize().into()
}

impl Line {
    /// A line without its end. The reason if it is none of ours.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let line: Line = serde_json::from_str(text).map_err(|_| "is no record of this log")?;
        if serde_json::to_string(&line).ok().as_deref() != Some(text) {
            return Err("is not in canonical form");
        }
        Ok(line)
    }

    /// Does it follow `before`? Its head if so.
    pub(super) fn follows(&self, before: &Head) -> Result<Head, &'static str> {
        if self.entry.seq != before.seq + 1 {
            return Err("has another number than its place in the log");
        }
        if self.entry.previous != before.hash {
            return Err("does not follow the line before it");
        }
        if self.entry.text().map(|text| hash(&text, &self.signature)) != Ok(self.hash) {
            return Err("has another hash than its words");
        }
        Ok(Head { seq: self.entry.seq, hash: self.hash })
    }

    /// Is it signed by this key?
    pub(super) fn signed_by(&self, key: &PublicKey) -> Result<(), &'static str> {
        let signed = self.entry.text().is_ok_and(|text| key.verify(PURPOSE, text.as_bytes(), &self.signature));
        if signed { Ok(()) } else { Err("has a wrong signature") }
    }
}
