//! Set intersection of two sites: the receiver learns which of its keys the sender has too, the sender nothing.
//!
//! The receiver gets a pseudo-random value for each of its keys from a function that the sender has; the sender sends the values of its
//! own keys, cut to tags and sorted; the receiver looks its own up. Semi-honest. What both learn besides are the numbers of
//! keys, which are public: sets may be padded. Both work at once: the receiver's column, the sender's decoding and the receiver's own
//! overlap bin by bin.
//!
//! # Source
//! Raghuraman, Rindal, Blazing Fast PSI, CCS'22 (ePrint 2022/320), after Rindal, Schoppmann, Eurocrypt'21. For small sets 2HashDH,
//! see [`super::ecdh`].
//! # Deviations
//! Tags travel as a sorted list of fixed length, see `tags.rs`: 18 bits less for each at 2^20 items, and nothing to hash at the receiver.

mod bits;
mod tags;

use mpc_core::error::LocalFault;
use mpc_core::random::Domain;
use mpc_core::{Block, Error, PartyId, PeerFault, Result, Session};
use zeroize::Zeroizing;

use crate::matching::{ecdh, oprf};
use crate::ot::Ot;
use crate::parameters::psi::{DIFFIE_HELLMAN_WORK, DIFFIE_HELLMAN_WORK_ALONE, MAX_ITEMS};
use tags::{TagShape, Tags};

/// What the pseudo-random function is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Diffie–Hellman, see [`ecdh`]: nothing to set up, 130 µs of both sites' computation for each of the receiver's keys and 40 µs for
    /// each of the sender's; 64 bytes for each of the receiver's.
    DiffieHellman,
    /// Silent VOLE and a key-value store, see [`oprf`]: a fixed cost, then below a microsecond and 21 bytes for each key.
    Vole,
}

/// The quicker method for so many keys of the sender and of the receiver, when base OTs are made already. Both sites take the same.
pub fn choose(sender: usize, receiver: usize) -> Method {
    up_to(DIFFIE_HELLMAN_WORK, sender, receiver)
}

/// The same for sites that would make base OTs for this one matching alone: Diffie–Hellman up to about 100 keys against 100.
pub fn choose_alone(sender: usize, receiver: usize) -> Method {
    up_to(DIFFIE_HELLMAN_WORK_ALONE, sender, receiver)
}

fn up_to(most: usize, sender: usize, receiver: usize) -> Method {
    // A key of the receiver's is hashed, multiplied three times and encoded; one of the sender's is hashed and multiplied once.
    let work = sender.saturating_add(receiver.saturating_mul(3));
    if work <= most { Method::DiffieHellman } else { Method::Vole }
}

/// Public sizes of the two sets, which both sites know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Keys of the sender.
    pub sender: usize,
    /// Keys of the receiver.
    pub receiver: usize,
}

/// Sends `keys`, distinct 128-bit hashes, to be compared with `their_items` keys of `to`: [`prepare_send`] and [`Sender::send`]. Bytes
/// and rounds are in [`crate::cost::psi`].
///
/// # Errors
/// As these.
pub async fn send(
    session: &mut Session,
    ot: &mut Ot,
    method: Method,
    to: PartyId,
    keys: &[Block],
    their_items: usize,
) -> Result<()> {
    let sizes = Sizes { sender: keys.len(), receiver: their_items };
    prepare_send(session, ot, method, to, sizes).await?.send(session, keys).await
}

/// The positions in `keys`, distinct 128-bit hashes, of those that are among the `their_items` keys of `from`, ascending:
/// [`prepare_receive_for`] and [`Receiver::receive`].
///
/// # Errors
/// As these.
pub async fn receive(
    session: &mut Session,
    ot: &mut Ot,
    method: Method,
    from: PartyId,
    keys: &[Block],
    their_items: usize,
) -> Result<Vec<usize>> {
    let sizes = Sizes { sender: their_items, receiver: keys.len() };
    prepare_receive_for(session, ot, method, from, sizes, keys).await?.receive(session, keys).await
}

/// Keys and behind them dummies up to a public size: random ones of this site's own, which nobody else has.
///
/// # Errors
/// `Local` when there are more keys than that.
pub fn padded(session: &mut Session, keys: &[Block], size: usize) -> Result<Zeroizing<Vec<Block>>> {
    if keys.len() > size {
        return Err(session.local(LocalFault::Lengths { left: keys.len(), right: size }));
    }
    let mut padded = Zeroizing::new(vec![Block::ZERO; size]);
    session.private_rng(Domain::MatchingDummy)?.fill(bytemuck::cast_slice_mut(&mut padded[..]));
    padded[..keys.len()].copy_from_slice(keys);
    Ok(padded)
}

/// What needs no keys, so that it may run while they are still read. `to` calls [`prepare_receive`] at the same step.
///
/// # Errors
/// `Local` for a set of more than 2^24 keys, and as [`oprf::prepare_send`].
pub async fn prepare_send(
    session: &mut Session,
    ot: &mut Ot,
    method: Method,
    to: PartyId,
    sizes: Sizes,
) -> Result<Sender> {
    let mut session = session.step("psi");
    check_sizes(&session, sizes)?;
    let function = match Function::of(method, sizes) {
        Function::None => Function::None,
        Function::DiffieHellman => Function::DiffieHellman,
        Function::Vole(()) => Function::Vole(oprf::prepare_send(&mut session, ot, to, sizes.receiver).await?),
    };
    Ok(Sender { to, sizes, function })
}

/// As [`prepare_send`], at the other side.
///
/// # Errors
/// As there.
pub async fn prepare_receive(
    session: &mut Session,
    ot: &mut Ot,
    method: Method,
    from: PartyId,
    sizes: Sizes,
) -> Result<Receiver> {
    let mut session = session.step("psi");
    check_sizes(&session, sizes)?;
    let function = match Function::of(method, sizes) {
        Function::None => Function::None,
        Function::DiffieHellman => Function::DiffieHellman,
        Function::Vole(()) => Function::Vole(oprf::prepare_receive(&mut session, ot, from, sizes.receiver).await?),
    };
    Ok(Receiver { from, sizes, function })
}

/// As [`prepare_receive`] for keys that are at hand, which [`Receiver::receive`] gets again: part of the work on them is done while
/// the sender prepares.
///
/// # Errors
/// As [`prepare_receive`] and [`Receiver::receive`].
pub async fn prepare_receive_for(
    session: &mut Session,
    ot: &mut Ot,
    method: Method,
    from: PartyId,
    sizes: Sizes,
    keys: &[Block],
) -> Result<Receiver> {
    let mut session = session.step("psi");
    check_sizes(&session, sizes)?;
    check_count(&session, keys, sizes.receiver)?;
    let function = match Function::of(method, sizes) {
        Function::None => Function::None,
        Function::DiffieHellman => Function::DiffieHellman,
        Function::Vole(()) => Function::Vole(oprf::prepare_receive_for(&mut session, ot, from, keys).await?),
    };
    Ok(Receiver { from, sizes, function })
}

/// What a site has prepared of the function.
enum Function<V> {
    /// A set is empty: nothing is sent.
    None,
    DiffieHellman,
    Vole(V),
}

impl Function<()> {
    fn of(method: Method, sizes: Sizes) -> Self {
        match method {
            _ if sizes.sender == 0 || sizes.receiver == 0 => Function::None,
            Method::DiffieHellman => Function::DiffieHellman,
            Method::Vole => Function::Vole(()),
        }
    }
}

/// The sender before it needs its keys.
pub struct Sender {
    to: PartyId,
    sizes: Sizes,
    function: Function<oprf::Sender>,
}

impl Sender {
    /// Sends the tags of `keys`, distinct 128-bit hashes: at most 40 + ⌈log2(n·m)⌉ − ⌈log2 n⌉ + 3 bits for each of n.
    ///
    /// # Errors
    /// `Local` when two keys are equal or there are not as many as was said; `Peer` as [`ecdh::send`] and [`oprf::Sender::send`] say.
    pub async fn send(self, session: &mut Session, keys: &[Block]) -> Result<()> {
        let mut session = session.step("match");
        check_count(&session, keys, self.sizes.sender)?;
        let values = Zeroizing::new(match self.function {
            Function::None => return Ok(()),
            Function::DiffieHellman => ecdh::send(&mut session, self.to, self.sizes.receiver).await?.evaluate(keys),
            Function::Vole(prepared) => prepared.evaluate(&mut session, keys).await?,
        });
        let tags = TagShape::new(self.sizes.sender, self.sizes.receiver).sorted(&values);
        // Different keys have equal tags too, now and then, in a large set that meets a small one.
        if tags.repeated {
            check_distinct(&session, keys)?;
        }
        session.send(self.to, &tags.buckets)?;
        session.send(self.to, &tags.rests)
    }
}

/// The receiver before it needs its keys.
pub struct Receiver {
    from: PartyId,
    sizes: Sizes,
    function: Function<oprf::Receiver>,
}

impl Receiver {
    /// The positions in `keys`, distinct 128-bit hashes, of those that the sender has too, ascending. A key that it has not is among
    /// them with probability at most 2^-40 in all.
    ///
    /// # Errors
    /// `Local` when two keys are equal or there are not as many as was said; `Peer` with fault `NonCanonical` for a list of tags that is
    /// none, and as [`ecdh::receive`] and [`oprf::Receiver::receive`] say.
    pub async fn receive(self, session: &mut Session, keys: &[Block]) -> Result<Vec<usize>> {
        let mut session = session.step("match");
        check_count(&session, keys, self.sizes.receiver)?;
        let values = Zeroizing::new(match self.function {
            Function::None => return Ok(Vec::new()),
            Function::DiffieHellman => {
                check_distinct(&session, keys)?;
                ecdh::receive(&mut session, self.from, keys).await?
            }
            // Equal keys have no encoding: that is found before anything of them is sent.
            Function::Vole(prepared) => match prepared.receive(&mut session, keys).await {
                Err(error @ Error::Local { .. }) => return Err(check_distinct(&session, keys).err().unwrap_or(error)),
                values => values?,
            },
        });
        let shape = TagShape::new(self.sizes.sender, self.sizes.receiver);
        let asked = shape.asked(&values);
        let buckets = session.recv(self.from, shape.bucket_words()).await?;
        let rests = session.recv(self.from, shape.rest_words()).await?;
        let matches = asked.matches(&Tags { buckets, rests, repeated: false });
        matches.ok_or_else(|| session.peer(self.from, PeerFault::NonCanonical("list of tags")))
    }
}

/// Bytes of the two parts of the list of tags that `sender` items make for `receiver` items, both more than none.
pub fn list_bytes(sender: usize, receiver: usize) -> [u64; 2] {
    let shape = TagShape::new(sender, receiver);
    [shape.bucket_words(), shape.rest_words()].map(|words| 8 * words as u64)
}

fn check_sizes(session: &Session, Sizes { sender, receiver }: Sizes) -> Result<()> {
    if sender.max(receiver) <= MAX_ITEMS {
        return Ok(());
    }
    let text = format!("sets of {sender} and {receiver} keys; matching takes at most {MAX_ITEMS}");
    Err(session.local(LocalFault::Other(text)))
}

fn check_count(session: &Session, keys: &[Block], items: usize) -> Result<()> {
    if keys.len() == items {
        return Ok(());
    }
    Err(session.local(LocalFault::Lengths { left: keys.len(), right: items }))
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
