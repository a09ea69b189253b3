//! A log for an auditor: its lines, and after them one signed line that says where it ends.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use mpc_core::identity::{Identity, Pin, PublicKey, SIGNATURE_BYTES};
use serde::{Deserialize, Serialize};

use super::event::{Head, key};
use super::verify::{BadLine, Checker, Lines, Summary};
use crate::config::missing;
use crate::fault::NodeError;
use crate::state::hex;

/// Purpose of the signature.
const PURPOSE: &str = "audit export v1";

/// The last line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    head: Head,
    at_ms: u64,
    #[serde(with = "key")]
    key: PublicKey,
    #[serde(with = "hex")]
    signature: [u8; SIGNATURE_BYTES],
}

impl Seal {
    fn message(head: &Head, at_ms: u64) -> Vec<u8> {
        [&head.seq.to_le_bytes(), head.hash.as_slice(), &at_ms.to_le_bytes()].concat()
    }
}

/// Copies the first `bytes` of a log, which end at `head`, and seals them.
pub(in crate::state) fn export(
    log: &Path,
    bytes: u64,
    (head, at_ms): (Head, u64),
    identity: &Identity,
    out: &mut dyn Write,
) -> Result<(), NodeError> {
    let file = File::open(log).map_err(|e| missing(log, &e))?;
    let seal = seal(head, at_ms, identity)?;
    std::io::copy(&mut file.take(bytes), out)
        .and_then(|_| out.write_all(seal.as_bytes()))
        .and_then(|()| out.flush())
        .map_err(|e| NodeError::new("FILE_FAILED", format!("the export: {e}")))
}

/// The last line of an export of a log that ends at `head`.
pub(in crate::state) fn seal(head: Head, at_ms: u64, identity: &Identity) -> Result<String, NodeError> {
    let signature = identity.sign(PURPOSE, &Seal::message(&head, at_ms));
    let seal = Seal { head, at_ms, key: identity.public_key(), signature };
    let line = serde_json::to_string(&seal).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    Ok(line + "\n")
}

/// Checks an export as [`super::verify()`] does a log; here what is missing at the end shows too.
///
/// # Errors
/// `AUDIT_BROKEN` with the first bad line, `FILE_FAILED`.
pub fn verify_export(from: impl Read, pins: &[Pin]) -> Result<Summary, NodeError> {
    let mut checker = Checker::new(pins);
    let mut lines = Lines(BufReader::new(from));
    let mut next = |number| lines.next(number).map_err(|e| NodeError::new("FILE_FAILED", format!("the export: {e}")));
    let mut last = next(1)?.ok_or_else(|| BadLine::at(1, "is missing"))??;
    while let Some(text) = next(checker.line() + 1)? {
        checker.take(&last)?;
        last = text?;
    }
    let number = checker.line();
    let summary = checker.done();
    check_seal(&last, &summary).map_err(|why| BadLine::at(number, why))?;
    Ok(summary)
}

fn check_seal(text: &str, summary: &Summary) -> Result<(), &'static str> {
    let seal: Seal = serde_json::from_str(text).map_err(|_| "does not close the export")?;
    if serde_json::to_string(&seal).ok().as_deref() != Some(text) {
        return Err("is not in canonical form");
    }
    if seal.head != summary.head || summary.keys.last() != Some(&seal.key) {
        return Err("closes another log");
    }
    if !seal.key.verify(PURPOSE, &Seal::message(&seal.head, seal.at_ms), &seal.signature) {
        return Err("has a wrong signature");
    }
    Ok(())
}
