//! Oblivious pseudo-random function: the receiver learns F at its keys, the sender a key of F, and neither anything else.
//!
//! With a VOLE C = A·Δ + B as long as an encoding of the receiver's keys, the receiver encodes key ↦ H₁(key) in a column P and sends
//! A + P, which is uniform. The sender has K = B + Δ·(A + P) = C + Δ·P and F(y) = H₂(Decode(K, y) − Δ·H₁(y)); at the receiver's keys
//! that is H₂(Decode(C, y)). At any other y it hides Δ times an element that is not zero but with probability 2^-128.
//!
//! The VOLE needs no keys: [`prepare_receive`] and [`prepare_send`] may run before files are read. The sender's part of the
//! second half is free of messages. A prepared VOLE is used by value, once.
//!
//! Preparing costs a VOLE ([`super::vole`]) of [`Okvs::blocks`] elements, the second half one round: 32 bytes and 16 for each of these
//! blocks, from the receiver. For 2^20 keys 21.5 MB. Memory: 48 bytes for each block at the receiver, 16 at the sender, and 16 for
//! each key.
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
use mpc_core::wire::{Bytes32, Wire};
use mpc_core::{Block, PartyId, Result, Session};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::okvs::Okvs;
use super::vole;
use crate::ot::Ot;

/// Seeds tried for an encoding. Distinct keys need a second one with probability 2^-40.
const SEEDS: usize = 3;

/// F at `keys`, in order: [`prepare_receive`] and [`Receiver::receive`]. `from` calls [`send`] at the same step.
///
/// # Errors
/// As these.
pub async fn receive(session: &mut Session, ot: &mut Ot, from: PartyId, keys: &[Block]) -> Result<Vec<Block>> {
    prepare_receive(session, ot, from, keys.len()).await?.receive(session, keys).await
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
    Ok(Receiver { from, count, hashes, vole })
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
        let mut prg = session.private_rng(Domain::OprfStore)?;
        let (seed, okvs, column) = self.encode(keys, &mut prg).ok_or_else(|| session.local(equal_keys()))?;
        let mut masked = std::mem::take(&mut self.vole.a);
        masked.iter_mut().zip(column.iter()).for_each(|(a, p)| *a ^= *p);
        session.send(self.from, &[seed.0])?;
        session.send(self.from, &masked)?;
        let mut out = vec![Block::ZERO; keys.len()];
        for () in okvs.decode_steps(&self.vole.c, 1, keys, &mut out) {
            session.let_send(TURNS).await;
        }
        self.hashes.output.replace(&mut out);
        Ok(out)
    }

    /// Nothing of the keys is sent while seeds are tried.
    fn encode(&self, keys: &[Block], prg: &mut Prg) -> Option<(PublicSeed, Okvs, Zeroizing<Vec<Block>>)> {
        let mut elements = Zeroizing::new(keys.to_vec());
        self.hashes.element.replace(&mut elements);
        (0..SEEDS).find_map(|_| {
            let mut seed = PublicSeed([0; 32]);
            prg.fill(&mut seed.0);
            let okvs = okvs(keys.len(), seed)?;
            let column = okvs.encode(keys, &elements, 1, prg)?;
            Some((seed, okvs, Zeroizing::new(column)))
        })
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
    pub async fn send(mut self, session: &mut Session) -> Result<Key> {
        let mut session = session.step("keys");
        let seed: Vec<Bytes32> = session.recv(self.to, 1).await?;
        let mut column = std::mem::take(&mut self.vole.b);
        let (delta, mut at) = (self.vole.delta, 0);
        let multiply = |masked: &[Block]| {
            mul_add_into(&mut column[at..at + masked.len()], delta, masked);
            at += masked.len();
        };
        let len = blocks(&session, self.their_count)?;
        session.recv_blocks(self.to, len, multiply).await?;
        let okvs = okvs(self.their_count, PublicSeed(seed[0])).expect("prepared for a length of the table");
        Ok(Key { okvs, column, delta, hashes: self.hashes })
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
