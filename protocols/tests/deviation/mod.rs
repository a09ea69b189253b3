//! A site that deviates in one frame: what it may do, and what honest sites should say to it.

use mpc_core::error::PeerFault;
use mpc_core::transport::tamper::Change;
use mpc_core::world::Outcome;
use mpc_core::{Error, PartyId};

/// Changes after which the receiver has something else than it waits for, by byte of the header where one is flipped.
pub const MALFORMED: [Change; 11] = [
    Change::Truncate,
    Change::Extend,
    Change::Drop,
    Change::Replay,
    Change::Delay,
    Change::FlipHeader(1),
    Change::FlipHeader(3),
    Change::FlipHeader(11),
    Change::FlipHeader(16),
    Change::FlipHeader(23),
    Change::FlipHeader(24),
];

/// An honest site names `by` for the right fault. Where nothing came, both sides may wait for each other; if the deviating site
/// gives up first, the others suspect it because it stopped.
pub fn is_blamed<T>(outcomes: &[Outcome<T>], by: usize, change: Change, what: &str) {
    let by_id = PartyId(by as u8);
    let missing = matches!(change, Change::Drop | Change::Delay | Change::Replay);
    let honest = outcomes.iter().enumerate().filter(|(party, _)| *party != by);
    let errors: Vec<&Error> = honest.filter_map(|(_, o)| o.result.as_ref().err()).collect();
    let named = errors.iter().any(|error| match error {
        Error::Peer { party, fault, .. } => *party == by_id && fits(fault, change),
        Error::Stopped { by, .. } => missing && *by == by_id,
        _ => false,
    });
    assert!(named, "{what}: not named in {errors:?}");
}

/// Is this what an honest site should say to that change?
fn fits(fault: &PeerFault, change: Change) -> bool {
    use PeerFault::*;
    match change {
        Change::Truncate | Change::Extend => matches!(fault, Length { .. }),
        // Nothing follows, or what follows has the wrong number.
        Change::Drop | Change::Delay | Change::Replay => matches!(fault, WrongSequence { .. } | Silent(_)),
        Change::Duplicate => matches!(fault, WrongSequence { .. }),
        Change::FlipHeader(0..=2) => matches!(fault, Malformed(_)),
        Change::FlipHeader(3) => matches!(fault, WrongSender(_)),
        Change::FlipHeader(8..=15) => matches!(fault, WrongSession),
        Change::FlipHeader(16..=23) => matches!(fault, WrongStep),
        Change::FlipHeader(24..=27) => matches!(fault, WrongSequence { .. }),
        Change::FlipHeader(_) | Change::FlipBody(_) => false,
    }
}
