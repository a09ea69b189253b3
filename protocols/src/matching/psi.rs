//! Set intersection of two sites: the receiver learns which of its keys the sender has too, the sender nothing.
//!
//! The receiver gets a pseudo-random value for each of its keys from a function that the sender has; the sender sends the values of its
//! own keys, cut to tags and sorted; the receiver looks its own up. Semi-honest. What both learn besides are the numbers of
//! keys, which are public: sets may be padded.
//!
//! # Source
//! Raghuraman, Rindal, Blazing Fast PSI, CCS'22 (ePrint 2022/320), after Rindal, Schoppmann, Eurocrypt'21. For small sets 2HashDH,
//! see [`super::ecdh`].
//! # Deviations
//! Tags travel as a sorted list of fixed length, see `tags.rs`: 18 bits less for each at 2^20 items, and nothing to hash at the receiver.

mod bits;
mod tags;

use mpc_core::error::LocalFault;
use mpc_core::{Block, PartyId, PeerFault, Result, Session};
use zeroize::Zeroizing;

use crate::matching::ecdh;
use crate::parameters::psi::MAX_ITEMS;
use tags::{TagShape, Tags};

/// What the pseudo-random function is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Diffie–Hellman: nothing to set up, 130 µs of computation for each of the receiver's keys and 40 µs for each of the sender's.
    DiffieHellman,
}

/// Sends `keys`, distinct 128-bit hashes, to be compared with `their_items` keys of `to`. Two rounds; 32 bytes for each of its keys and
/// 40 + ⌈log2(n·m)⌉ − ⌈log2 n⌉ + 3 bits or less for each of ours.
///
/// # Errors
/// `Local` when two keys are equal or a set has more than 2^24; `Peer` as [`ecdh::send`] says.
pub async fn send(
    session: &mut Session,
    method: Method,
    to: PartyId,
    keys: &[Block],
    their_items: usize,
) -> Result<()> {
    let mut session = session.step("psi");
    check_sizes(&session, keys.len(), their_items)?;
    if keys.is_empty() || their_items == 0 {
        return Ok(());
    }
    let values = match method {
        Method::DiffieHellman => ecdh::send(&mut session, to, their_items).await?.evaluate(keys),
    };
    let tags = TagShape::new(keys.len(), their_items).sorted(&Zeroizing::new(values));
    // Different keys have equal tags too, now and then, in a large set that meets a small one.
    if tags.repeated {
        check_distinct(&session, keys)?;
    }
    session.send(to, &tags.buckets)?;
    session.send(to, &tags.rests)
}

/// The positions in `keys`, distinct 128-bit hashes, of those that are among the `their_items` keys of `from`, ascending. A key that is
/// not is among them with probability at most 2^-40 in all. Rounds and bytes as in [`send`].
///
/// # Errors
/// `Local` when two keys are equal or a set has more than 2^24; `Peer` with fault `NonCanonical` for a list that is none, and as
/// [`ecdh::receive`] says.
pub async fn receive(
    session: &mut Session,
    method: Method,
    from: PartyId,
    keys: &[Block],
    their_items: usize,
) -> Result<Vec<usize>> {
    let mut session = session.step("psi");
    check_sizes(&session, keys.len(), their_items)?;
    if keys.is_empty() || their_items == 0 {
        return Ok(Vec::new());
    }
    let values = Zeroizing::new(match method {
        Method::DiffieHellman => {
            check_distinct(&session, keys)?;
            ecdh::receive(&mut session, from, keys).await?
        }
    });
    let shape = TagShape::new(their_items, keys.len());
    let buckets = session.recv(from, shape.bucket_words()).await?;
    let rests = session.recv(from, shape.rest_words()).await?;
    let matches = shape.matches(&Tags { buckets, rests, repeated: false }, &values);
    matches.ok_or_else(|| session.peer(from, PeerFault::NonCanonical("list of tags")))
}

/// Bytes of the two parts of the list of tags that `sender` items make for `receiver` items, both more than none.
pub fn list_bytes(sender: usize, receiver: usize) -> [u64; 2] {
    let shape = TagShape::new(sender, receiver);
    [shape.bucket_words(), shape.rest_words()].map(|words| 8 * words as u64)
}

fn check_sizes(session: &Session, ours: usize, theirs: usize) -> Result<()> {
    if ours.max(theirs) <= MAX_ITEMS {
        return Ok(());
    }
    Err(session
        .local(LocalFault::Other(format!("sets of {ours} and {theirs} keys; matching takes at most {MAX_ITEMS}"))))
}

fn check_distinct(session: &Session, keys: &[Block]) -> Result<()> {
    let mut sorted: Zeroizing<Vec<u128>> = Zeroizing::new(keys.iter().map(|key| key.0).collect());
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(());
    }
    Err(session
        .local(LocalFault::Other("a key occurs twice in our own set; collapse duplicates before matching".into())))
}
