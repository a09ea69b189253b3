//! Errors say who, where and what.

use std::time::Duration;

use crate::party::PartyId;
use crate::step::StepPath;

/// The result of a protocol step.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a session stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A party sent something it should not have, or nothing at all.
    #[error("{party} at {step}: {fault}")]
    Peer {
        /// Whose message it was.
        party: PartyId,
        /// Where in the protocol.
        step: StepPath,
        /// What was wrong.
        fault: PeerFault,
    },
    /// The connection to a party is gone.
    #[error("{party} at {step}: {detail}")]
    Link {
        /// The other end.
        party: PartyId,
        /// Where in the protocol.
        step: StepPath,
        /// What the transport said.
        detail: String,
    },
    /// Another party stopped the session and said why.
    #[error("stopped by {by}: {reason}")]
    Stopped {
        /// Who told us.
        by: PartyId,
        /// Whom it blames, if anybody.
        blamed: Option<PartyId>,
        /// Its reason in words.
        reason: String,
    },
    /// Our own side cannot go on.
    #[error("at {step}: {fault}")]
    Local {
        /// Where in the protocol.
        step: StepPath,
        /// What was wrong.
        fault: LocalFault,
    },
}

impl Error {
    /// The parties under suspicion; one of them deviated or failed. Where reports contradict each other, all who could have
    /// caused it are named; where another party stopped the session, that party and the one it blames.
    pub fn blamed(&self) -> Vec<PartyId> {
        match self {
            Error::Peer { party, fault: PeerFault::Echo { suspects }, .. } => {
                std::iter::once(*party).chain(suspects.iter().copied().filter(|p| p != party)).collect()
            }
            Error::Peer { party, .. } | Error::Link { party, .. } => vec![*party],
            Error::Stopped { by, blamed, .. } => blamed.iter().chain([by]).copied().collect(),
            Error::Local { .. } => Vec::new(),
        }
    }
}

/// What a party did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// Nothing came before the deadline.
    #[error("nothing came for {} ms", .0.as_millis())]
    Silent(Duration),
    /// A frame that is not of this protocol version.
    #[error("sent a malformed frame: {0}")]
    Malformed(&'static str),
    /// A frame of another session.
    #[error("sent a frame of another session")]
    WrongSession,
    /// A frame that claims another sender.
    #[error("sent a frame in the name of {0}")]
    WrongSender(PartyId),
    /// A frame of another step.
    #[error("is at another step of the protocol")]
    WrongStep,
    /// A repeated, lost or reordered frame.
    #[error("sent frame {sent} where frame {expected} was due")]
    WrongSequence {
        /// Its number.
        sent: u32,
        /// The number due.
        expected: u32,
    },
    /// A message of another length than the receiver stated.
    #[error("sent {sent} bytes, expected {expected}")]
    Length {
        /// Bytes sent.
        sent: usize,
        /// Bytes due.
        expected: usize,
    },
    /// Bytes that are no element of the type.
    #[error("sent a non-canonical {0}")]
    NonCanonical(&'static str),
    /// An opening that its commitment does not bind.
    #[error("opened something else than it had committed to")]
    Commitment,
    /// Two parties saw different broadcasts.
    #[error("reports a broadcast that another report contradicts")]
    Echo {
        /// Who else may have caused it: the broadcaster, and the other reporter if that is not us.
        suspects: Vec<PartyId>,
    },
    /// A handshake fact (version, session, key) that differs from ours.
    #[error("disagrees on {0}")]
    Disagrees(&'static str),
}

/// What our own side ran into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalFault {
    /// The same randomness was asked for twice.
    #[error("randomness of this step was already used")]
    RandomnessReused,
    /// A value would be opened that the plan does not declare.
    #[error("{0:?} is not a declared release")]
    Undeclared(String),
    /// Columns whose lengths should match do not.
    #[error("columns of {left} and {right} elements")]
    Lengths {
        /// One.
        left: usize,
        /// The other.
        right: usize,
    },
    /// More correlated randomness was asked for than the plan's budget holds.
    #[error("the budget of correlated randomness is used up")]
    Budget,
    /// It was decided that nothing of what was computed is opened.
    #[error("what was computed may not be opened")]
    Held,
    /// A role that this party does not have.
    #[error("{0}")]
    Role(&'static str),
    /// Anything else, in words without values.
    #[error("{0}")]
    Other(String),
}
