//! Set intersection of two sites.

use super::{SiteCost, message};
use crate::matching::psi::{Method, list_bytes};

/// Matching `sender` items against `receiver` items (see `matching/psi.rs`): at the sender, and at the receiver.
pub fn psi(method: Method, sender: u64, receiver: u64) -> (SiteCost, SiteCost) {
    if sender == 0 || receiver == 0 {
        return Default::default();
    }
    let tags = list_bytes(sender as usize, receiver as usize).into_iter().map(message).sum::<u64>();
    match method {
        Method::DiffieHellman => {
            let points = message(32 * receiver);
            (SiteCost { rounds: 2, bytes: points + tags }, SiteCost { rounds: 2, bytes: points })
        }
    }
}
