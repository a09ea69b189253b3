//! Steps: named positions in a protocol. A step tags every frame, keys the randomness and names the metrics.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Where a session is: `/query/reveal#1/commit`. A label that occurs again in the same place gets a number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepPath(Arc<str>);

/// The first 8 bytes of the hash of a step path; carried by every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepId(pub [u8; 8]);

impl StepPath {
    /// The root of every session.
    pub fn root() -> Self {
        Self("".into())
    }

    /// The `occurrence`-th child of this step with that label.
    pub fn child(&self, label: &str, occurrence: u32) -> Self {
        match occurrence {
            0 => Self(format!("{}/{label}", self.0).into()),
            n => Self(format!("{}/{label}#{n}", self.0).into()),
        }
    }

    /// The tag of frames sent at this step.
    pub fn id(&self) -> StepId {
        let digest = Sha256::new().chain_update(b"consilium step v1\0").chain_update(self.0.as_bytes()).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        StepId(id)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
