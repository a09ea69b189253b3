//! Transports move frames between parties. They know bytes, parties and lanes; sessions know everything else.

pub mod inbox;
pub mod memory;
pub mod quic;
pub mod record;
pub mod tamper;
pub mod tls;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::party::PartyId;
use crate::step::{StepId, StepPath};
use crate::wire::MAX_FRAME_BYTES;

/// A boxed future, so that [`Transport`] stays object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An ordered byte stream between two parties for one fork: the first 8 bytes of the hash of the fork's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

impl LaneId {
    /// The lane of the session's root.
    pub const ROOT: LaneId = LaneId(0);

    /// The lane of the fork at `path`.
    pub fn of(path: &StepPath) -> Self {
        LaneId(u64::from_le_bytes(path.id().0))
    }
}

/// What travels: a fixed header and at most [`MAX_FRAME_BYTES`] of body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The encoded [`Header`].
    pub header: [u8; Header::BYTES],
    /// Elements, little-endian.
    pub body: Bytes,
}

impl Frame {
    /// Header and body as they stand on the wire.
    pub fn wire_len(&self) -> usize {
        Header::BYTES + self.body.len()
    }
}

/// The facts every frame carries; checked before its body is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Who sent it.
    pub sender: PartyId,
    /// Bytes of the body.
    pub body_len: u32,
    /// The first 8 bytes of the session id.
    pub session: [u8; 8],
    /// The step it belongs to.
    pub step: StepId,
    /// Its number among the frames from this sender to this receiver on this lane.
    pub sequence: u32,
    /// The longest chain of messages that led to it.
    pub depth: u32,
}

impl Header {
    /// Length of an encoded header.
    pub const BYTES: usize = 32;
    const MAGIC: [u8; 3] = *b"CF\x01";

    /// The header's fixed little-endian form.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..3].copy_from_slice(&Self::MAGIC);
        out[3] = self.sender.0;
        out[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.session);
        out[16..24].copy_from_slice(&self.step.0);
        out[24..28].copy_from_slice(&self.sequence.to_le_bytes());
        out[28..32].copy_from_slice(&self.depth.to_le_bytes());
        out
    }

    /// Reads a header; the reason when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().map_err(|_| "header is not 32 bytes")?;
        if bytes[..3] != Self::MAGIC {
            return Err("unknown frame version");
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let eight = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).expect("a slice of 8 is 8 long");
        if word(4) as usize > MAX_FRAME_BYTES {
            return Err("frame body over 1 MiB");
        }
        Ok(Self {
            sender: PartyId(bytes[3]),
            body_len: word(4),
            session: eight(8),
            step: StepId(eight(16)),
            sequence: word(24),
            depth: word(28),
        })
    }
}

/// Why a transport has nothing more to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkError {
    /// The connection to this party broke.
    Lost {
        /// The other end.
        party: PartyId,
        /// The transport's words.
        detail: String,
    },
    /// This party sent bytes that are no frame.
    Malformed {
        /// The sender.
        party: PartyId,
        /// What was wrong.
        reason: &'static str,
    },
    /// A party stopped the session and said why.
    Aborted {
        /// Who told us.
        by: PartyId,
        /// What it said.
        notice: AbortNotice,
    },
}

/// What a party says when it stops a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AbortNotice {
    /// Whom it blames, if anybody.
    pub blamed: Option<PartyId>,
    /// Why, in words without values; cut to [`AbortNotice::MAX_REASON`] bytes.
    pub reason: String,
}

impl AbortNotice {
    /// Longest reason that travels.
    pub const MAX_REASON: usize = 500;

    /// A notice whose reason fits and has no control characters.
    pub fn new(blamed: Option<PartyId>, reason: &str) -> Self {
        let mut clean: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = (0..=Self::MAX_REASON).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
        clean.truncate(cut);
        Self { blamed, reason: clean }
    }
}

/// Moves frames. Object safe, bytes only.
pub trait Transport: Send + Sync {
    /// Queues a frame; never waits for the receiver.
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError>;

    /// The next frame of a lane, in the order it was sent.
    fn recv(&self, from: PartyId, lane: LaneId) -> BoxFuture<'_, Result<Frame, LinkError>>;

    /// Tells every party that the session is over, and why.
    fn abort(&self, notice: &AbortNotice);

    /// Waits until everything sent has arrived, but no longer than `patience`, then lets the parties go. An error names a party
    /// that did not take everything.
    fn finish(&self, patience: Duration) -> BoxFuture<'_, Result<(), LinkError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            sender: PartyId(3),
            body_len: 16,
            session: *b"session!",
            step: StepPath::root().child("test", 0).id(),
            sequence: 7,
            depth: 2,
        }
    }

    #[test]
    fn a_header_survives_the_wire() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let notice = AbortNotice::new(None, &"é\n".repeat(400));
        assert!(notice.reason.len() <= AbortNotice::MAX_REASON && !notice.reason.contains('\n'));
    }
}
