//! Oblivious pseudo-random function: the receiver learns F at its keys, the sender a key of F, and neither anything else.
//!
//! With a VOLE C = A·Δ + B as long as an encoding of the receiver's keys, the receiver encodes key ↦ H₁(key) in a column P and sends
//! A + P, which is uniform. The sender has K = B + Δ·(A + P) = C + Δ·P and F(y) = H₂(Decode(K, y) − Δ·H₁(y)); at the receiver's keys
//! that is H₂(Decode(C, y)). At any other y it hides Δ times an element that is not zero but with probability 2^-128.
//!
//! The VOLE needs no keys: [`prepare_receive`] and [`prepare_send`] may run before files are read. Where keys are at hand already,
//! [`prepare_receive_for`] solves their encoding while the sender grows its trees. The column travels bin by bin as it is encoded, and
//! [`Sender::evaluate`] decodes it as it comes. A prepared VOLE is used by value, once.
//!
//! Preparing costs a VOLE ([`super::vole`]) of [`Okvs::blocks`] elements, the second half one round: 32 bytes and 16 for each of these
//! blocks, from the receiver. For 2^20 keys 21.5 MB. Memory: 48 bytes for each block at the receiver, 16 at the sender, and 16 for
//! each key; 40 more for each key where it is encoded while the VOLE is made, and 36 where it is evaluated while the column comes.
//!
//! Security: semi-honest, a dishonest majority of two. The receiver's keys are hidden by dual LPN over GF(2^128) (statistically below
//! [`super::vole::DIRECT_MAX`] blocks, given OT); F by H₂, which is assumed to be correlation robust for Δ and its known
//! multiples, as π(x) ⊕ x is where π is an ideal cipher. H₁ has the same form; it must send keys that the sender picks, knowing
//! nothing of P, to elements independent of what P decodes to there. Both π are AES-128 under public keys that bind session, step
//! and both parties. A sender that deviates, or a bit that flips on the way, changes what the receiver learns and is not
//! noticed; a receiver can evaluate F at keys it guesses by naming them among its own.
//!
//! Accesses to memory depend on a site's own keys, at that site (see [`super::okvs`]); not on Δ or the vectors.
//!
//! # Source
//! Rindal, Schoppmann, VOLE-PSI, Eurocrypt'21 (ePrint 2021/266), Figure 4 (Π_oprf), in the semi-honest form of Raghuraman, Rindal,
//! CCS'22 (ePrint 2022/320), §5: without the coins that bind a malicious receiver.
//! # Deviations
//! H₂ does not take the key besides: two keys share an output only where two blocks that depend on Δ collide.

use mpc_core::error::LocalFault;
use mpc_core::gf128::mul_add_into;
use mpc_core::hash::PlacementHash;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::wire::{Bytes32, MAX_FRAME_BYTES, Wire};
use mpc_core::{Block, PartyId, Result, Session};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::okvs::{Arriving, Encoding, Okvs};
use super::vole;
use crate::ot::Ot;

/// Seeds tried for an encoding. Distinct keys need a second one with probability 2^-40.
const SEEDS: usize = 3;

/// F at `keys`, in order: [`prepare_receive_for`] and [`Receiver::receive`]. `from` calls [`send`] at the same step.
///
/// # Errors
/// As these.
pub async fn receive(session: &mut Session, ot: &mut Ot, from: PartyId, keys: &[Block]) -> Result<Vec<Block>> {
    prepare_receive_for(session, ot, from, keys).await?.receive(session, keys).await
}

/// A key of F: [`prepare_send`] and [`Sender::send`]. `to` calls [`receive`] at the same step with `their_count` keys.
///
/// # Errors
/// As these.
pub async fn send(session: &mut Session, ot: &mut Ot, to: PartyId, their_count: usize) -> Result<Key> {
    prepare_send(session, ot, to, their_count).await?.send(session).await
}

/// The part of an evaluation at `count` keys that needs no keys. `from` calls [`prepare_send`] at the same step.
///
/// # Errors
/// `Local` for more than 2^24 keys, and as [`vole::receive`].
pub async fn prepare_receive(session: &mut Session, ot: &mut Ot, from: PartyId, count: usize) -> Result<Receiver> {
    let mut session = session.step("oprf");
    let hashes = Hashes::new(&session, from, session.me());
    let blocks = blocks(&session, count)?;
    let vole = vole::receive(&mut session, ot, from, blocks).await?;
    Ok(Receiver { from, count, hashes, vole, encoder: None })
}

/// As [`prepare_receive`] for keys that are at hand: their encoding is solved while the sender works. [`Receiver::receive`] gets
/// the same keys.
///
/// # Errors
/// As [`prepare_receive`] and, if two keys are equal, [`Receiver::receive`].
pub async fn prepare_receive_for(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    keys: &[Block],
) -> Result<Receiver> {
    let mut session = session.step("oprf");
    let hashes = Hashes::new(&session, from, session.me());
    let blocks = blocks(&session, keys.len())?;
    let mut encoder = Encoder::new(session.private_rng(Domain::OprfStore)?, &hashes, keys);
    let vole = vole::receive_meanwhile(&mut session, ot, from, blocks, || encoder.step(keys)).await?;
    Ok(Receiver { from, count: keys.len(), hashes, vole, encoder: Some(encoder) })
}

/// As [`prepare_receive`], at the other side.
///
/// # Errors
/// As there.
pub async fn prepare_send(session: &mut Session, ot: &mut Ot, to: PartyId, their_count: usize) -> Result<Sender> {
    let mut session = session.step("oprf");
    let hashes = Hashes::new(&session, session.me(), to);
    let blocks = blocks(&session, their_count)?;
    let vole = vole::send(&mut session, ot, to, blocks).await?;
    Ok(Sender { to, their_count, hashes, vole })
}

/// The receiver before it needs its keys.
pub struct Receiver {
    from: PartyId,
    count: usize,
    hashes: Hashes,
    vole: vole::Received,
    encoder: Option<Encoder>,
}

impl Receiver {
    /// F at `keys`, in order. Sends 32 bytes and 16 for each block of their encoding while it decodes. Keys are 128-bit hashes already,
    /// all different.
    ///
    /// # Errors
    /// `Local` when there are not as many keys as were prepared for, or two are equal; `Link` when the connection is gone.
    pub async fn receive(mut self, session: &mut Session, keys: &[Block]) -> Result<Vec<Block>> {
        let mut session = session.step("keys");
        if keys.len() != self.count {
            return Err(session.local(LocalFault::Lengths { left: keys.len(), right: self.count }));
        }
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(session.private_rng(Domain::OprfStore)?, &self.hashes, keys),
        };
        while encoder.step(keys) {}
        let Encoder { tried, elements, .. } = encoder;
        let Some(Tried { seed, okvs, encoding }) = tried else { return Err(session.local(equal_keys())) };
        session.send(self.from, &[seed.0])?;
        let masked = Zeroizing::new(std::mem::take(&mut self.vole.a));
        let mut column = Masking { encoding, elements, masked, ready: 0, sent: 0 };
        while let Some(frame) = column.next_frame() {
            session.send(self.from, frame)?;
            session.let_send(TURNS).await;
        }
        let mut own = column.encoding.decode_others();
        while own.next_bin(&okvs, &self.vole.c) {
            session.let_send(TURNS).await;
        }
        let mut out = own.finish(&okvs, &self.vole.c, keys);
        self.hashes.output.replace(&mut out);
        Ok(out)
    }
}

/// Tries seeds until the keys have an encoding under one: nothing of the keys is sent meanwhile.
struct Encoder {
    prg: Prg,
    /// H₁ of the keys.
    elements: Zeroizing<Vec<Block>>,
    /// Seeds that failed.
    failed: usize,
    tried: Option<Tried>,
    is_solved: bool,
}

/// A seed that has not failed so far.
struct Tried {
    seed: PublicSeed,
    okvs: Okvs,
    encoding: Encoding,
}

impl Encoder {
    fn new(prg: Prg, hashes: &Hashes, keys: &[Block]) -> Self {
        let mut elements = Zeroizing::new(keys.to_vec());
        hashes.element.replace(&mut elements);
        Self { prg, elements, failed: 0, tried: None, is_solved: false }
    }

    /// Begins an encoding, or solves a bin. False when all bins are solved, or no seed is left, and none is tried then.
    fn step(&mut self, keys: &[Block]) -> bool {
        if self.is_solved || self.failed == SEEDS {
            return false;
        }
        let Some(tried) = &mut self.tried else {
            let mut seed = PublicSeed([0; 32]);
            self.prg.fill(&mut seed.0);
            let okvs = okvs(keys.len(), seed).expect("prepared for a length of the table");
            let encoding = okvs.begin(keys, 1, &mut self.prg);
            self.tried = Some(Tried { seed, okvs, encoding });
            return true;
        };
        match tried.encoding.solve_bin(&self.elements) {
            Some(bins_left) => self.is_solved = !bins_left,
            None => {
                self.tried = None;
                self.failed += 1;
            }
        }
        true
    }
}

/// The receiver's column on its way: bins are encoded, masked and sent one after the other, so that the sender works on some while
/// others are made. That every bin has a solution under this seed is certain by then; what is left, the substitution, cannot fail. So
/// nothing depends on the keys but the column as a whole, which is uniform.
struct Masking {
    encoding: Encoding,
    elements: Zeroizing<Vec<Block>>,
    /// A, where rows are not ready yet, and A + P.
    masked: Zeroizing<Vec<Block>>,
    ready: usize,
    sent: usize,
}

/// Rows of a frame: as many as a message of the whole column would have in each.
const FRAME: usize = MAX_FRAME_BYTES / Block::BYTES;

impl Masking {
    /// The next frame; None after the last.
    fn next_frame(&mut self) -> Option<&[Block]> {
        let frame = self.sent..self.masked.len().min(self.sent + FRAME);
        while self.ready < frame.end {
            let rows = self.encoding.next_bin(&self.elements)?;
            let masked = &mut self.masked[self.ready..self.ready + rows.len()];
            masked.iter_mut().zip(rows).for_each(|(a, p)| *a ^= *p);
            self.ready += rows.len();
        }
        self.sent = frame.end;
        (!frame.is_empty()).then(|| &self.masked[frame])
    }
}

/// The sender before the receiver needs its keys.
pub struct Sender {
    to: PartyId,
    their_count: usize,
    hashes: Hashes,
    vole: vole::Sent,
}

impl Sender {
    /// Waits for the receiver's encoding.
    ///
    /// # Errors
    /// `Peer` with fault `Length` when it has another length, and as [`Session::recv`] says.
    pub async fn send(self, session: &mut Session) -> Result<Key> {
        self.arrive(session, &[]).await.map(|(key, _)| key)
    }

    /// The same, and F at `keys`, in order, as [`Key::evaluate`]: decoded while the encoding arrives.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn evaluate(self, session: &mut Session, keys: &[Block]) -> Result<Vec<Block>> {
        let (key, arriving) = self.arrive(session, keys).await?;
        Ok(key.hash(arriving.finish(&key.okvs, &key.column, keys), keys))
    }

    async fn arrive(mut self, session: &mut Session, keys: &[Block]) -> Result<(Key, Arriving)> {
        let mut session = session.step("keys");
        let seed: Vec<Bytes32> = session.recv(self.to, 1).await?;
        let len = blocks(&session, self.their_count)?;
        let okvs = okvs(self.their_count, PublicSeed(seed[0])).expect("prepared for a length of the table");
        let mut arriving = okvs.decode_arriving(keys);
        let column = std::mem::take(&mut self.vole.b);
        let mut key = Key { okvs, column, delta: self.vole.delta, hashes: self.hashes };
        let mut at = 0;
        let take = |masked: &[Block]| {
            mul_add_into(&mut key.column[at..at + masked.len()], key.delta, masked);
            at += masked.len();
            arriving.advance(&key.okvs, &key.column[..at]);
        };
        session.recv_blocks(self.to, len, take).await?;
        Ok((key, arriving))
    }
}

/// A key of F. Does not print; wiped when dropped.
pub struct Key {
    okvs: Okvs,
    /// K = C + Δ·P.
    column: Vec<Block>,
    delta: Block,
    hashes: Hashes,
}

impl Key {
    /// F at `keys`, in order. Uniform 128 bits to the receiver unless it evaluated F there; callers truncate.
    pub fn evaluate(&self, keys: &[Block]) -> Vec<Block> {
        let mut out = vec![Block::ZERO; keys.len()];
        self.okvs.decode_into(&self.column, 1, keys, &mut out);
        self.hash(out, keys)
    }

    /// What is decoded at `keys`, hashed.
    fn hash(&self, mut out: Vec<Block>, keys: &[Block]) -> Vec<Block> {
        let mut elements = Zeroizing::new([Block::ZERO; TILE]);
        for (keys, out) in keys.chunks(TILE).zip(out.chunks_mut(TILE)) {
            let elements = &mut elements[..keys.len()];
            elements.copy_from_slice(keys);
            self.hashes.element.replace(elements);
            mul_add_into(out, self.delta, elements);
            self.hashes.output.replace(out);
        }
        out
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.column.zeroize();
    }
}

/// Turns of the network for each bin of some 2^14 keys: its 350 kB leave in as many.
const TURNS: usize = 4;

/// Keys hashed at a time: 16 KiB of them stay in the first-level cache.
const TILE: usize = 1024;

/// H₁ and H₂ of one evaluation.
struct Hashes {
    element: PlacementHash,
    output: PlacementHash,
}

impl Hashes {
    fn new(session: &Session, sender: PartyId, receiver: PartyId) -> Self {
        let key = |purpose: u8| {
            let digest = Sha256::new()
                .chain_update(b"consilium oprf v1\0")
                .chain_update([purpose, sender.0, receiver.0])
                .chain_update(session.id().0)
                .chain_update(session.path().as_str().as_bytes())
                .finalize();
            Block::from_le_bytes(digest[..Block::BYTES].try_into().expect("16 of 32 bytes"))
        };
        Self { element: PlacementHash::new(key(1)), output: PlacementHash::new(key(2)) }
    }
}

/// The shape for so many keys; for none that of one, whose encoding is noise then.
fn okvs(count: usize, seed: PublicSeed) -> Option<Okvs> {
    Okvs::new(count.max(1), seed)
}

/// Blocks of an encoding of so many keys.
fn blocks(session: &Session, count: usize) -> Result<usize> {
    let refused = || session.local(LocalFault::Other(format!("no reviewed parameters for an OPRF at {count} keys")));
    okvs(count, PublicSeed([0; 32])).map(|okvs| okvs.blocks()).ok_or_else(refused)
}

fn equal_keys() -> LocalFault {
    LocalFault::Other("two keys of an OPRF are equal".into())
}

#[cfg(test)]
mod tests;
