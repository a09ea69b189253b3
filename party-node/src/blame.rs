//! A failed session in the words of the network: parties by their sites' names, a stable code for each kind of failure.

use mpc_core::error::PeerFault;
use mpc_core::{Error, PartyId};

use crate::fault::{NodeError, printable};
use crate::network::Network;

/// Says what stopped a session.
pub fn explain(error: &Error, network: &Network) -> NodeError {
    let code = match error {
        Error::Peer { fault: PeerFault::Silent(_), .. } => "SITE_SILENT",
        Error::Peer { .. } => "PROTOCOL_VIOLATION",
        Error::Link { .. } => "SITE_LOST",
        Error::Stopped { .. } => "SESSION_STOPPED",
        Error::Local { .. } => "SESSION_FAILED",
    };
    let blamed: Vec<String> = error.blamed().into_iter().map(|p| name(p, network)).collect();
    let message = named(&printable(&error.to_string()), network);
    let error = NodeError::new(code, message);
    match blamed.as_slice() {
        [] => error,
        [one] => error.hint(format!("ask {one}; a new run draws new randomness and counts as a new release")),
        many => error.hint(format!("the cause is at one of {}", many.join(", "))),
    }
}

/// The same error with the sites' names for party numbers.
pub fn with_names(error: NodeError, network: &Network) -> NodeError {
    NodeError { message: named(&error.message, network), ..error }
}

/// The name of a party.
pub fn name(party: PartyId, network: &Network) -> String {
    match network.site.get(party.index()) {
        Some(site) => site.name.0.clone(),
        None if party.index() == network.site.len() => "the analyst".into(),
        None => "an unknown party".into(),
    }
}

/// Replaces party numbers by names, the highest first so that `party 1` is not found in `party 12`.
fn named(text: &str, network: &Network) -> String {
    let all = (0..=network.site.len()).rev();
    all.fold(text.to_owned(), |text, i| text.replace(&format!("party {i}"), &name(PartyId(i as u8), network)))
}
