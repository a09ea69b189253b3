//! Products of many elements of GF(2^128) that one site knows with one fresh Δ that the other knows: a VOLE, 128 OTs for each
//! element.
//!
//! The rows of SoftSpoken before they are hashed satisfy t = q ⊕ choice·Δ. With the bits of a as choices, 128 of them add up to
//! Σ x^k·t_k = Σ x^k·q_k ⊕ a·Δ. No message but the choices: 512 bytes for each element, from the site that knows it.
//!
//! The Δ is not the one of the session's OTs: those hash rows of theirs. A SoftSpoken of its own grows from 128 of the
//! session's OTs, which the site with Δ chooses by Δ's bits.
//!
//! # Source
//! Gilboa, Crypto'99 (a product from OTs of bits); Roy, Crypto'22, Figure 8 (the rows as a VOLE of bits under one Δ), whose instance at
//! the other end of the session the sites already have.

use mpc_core::gf128::compose;
use mpc_core::{Block, PartyId, Result, Session};
use zeroize::{Zeroize, Zeroizing};

use super::soft_spoken::{CALL_WORDS, GROUPS, OtReceiver, OtSender};
use super::{Ot, grow_trees, hash, regrow_trees, tree};

/// Words of choices for one element.
const WORDS: usize = 2;
const BITS: usize = 128;

/// Elements of one call of SoftSpoken.
const CALL: usize = CALL_WORDS / WORDS;

/// Asks for a SoftSpoken with this Δ. Queues a message of 512 bytes and does not wait.
///
/// # Errors
/// `Link` when the connection is gone.
pub(crate) fn ask(session: &mut Session, ot: &mut Ot, with: PartyId, delta: Block) -> Result<Asked> {
    let choices = Zeroizing::new([!delta.0 as u64, (!delta.0 >> 64) as u64]);
    let received = ot.receiver(with).soft_spoken().choose(session, &choices[..])?;
    let mut asked = Asked { with, delta, chosen: Vec::new() };
    received.hash_into(&mut asked.chosen);
    Ok(asked)
}

/// The site with Δ, after its message. Wiped when dropped.
pub(crate) struct Asked {
    with: PartyId,
    delta: Block,
    chosen: Vec<Block>,
}

impl Asked {
    /// Waits for the answer, 3072 bytes.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    pub(crate) async fn finish(self, session: &mut Session, ot: &mut Ot) -> Result<Multiplier> {
        let corrections: Vec<Block> = session.recv(self.with, GROUPS * tree::CORRECTIONS).await?;
        let seeds = regrow_trees(self.delta, &self.chosen, &corrections);
        let pool = ot.sender(self.with).soft_spoken().pool();
        let hash = hash(session, session.me(), self.with);
        Ok(Multiplier(OtSender::new(self.with, self.delta, &seeds, hash, pool)))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.chosen.zeroize();
    }
}

/// Waits until the other site asks, and answers.
///
/// # Errors
/// As [`Session::recv`] says.
pub(crate) async fn answer(session: &mut Session, ot: &mut Ot, with: PartyId) -> Result<Multiplicand> {
    let offered = ot.sender(with).soft_spoken().offer(session, WORDS).await?;
    let (mut zero, mut one) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
    offered.hash_into(&mut zero, &mut one);
    let pairs: Zeroizing<Vec<[Block; 2]>> =
        Zeroizing::new(zero.iter().zip(one.iter()).map(|(a, b)| [*a, *b]).collect());
    let (seeds, corrections) = grow_trees(&pairs);
    session.send(with, &corrections)?;
    let pool = ot.receiver(with).soft_spoken().pool();
    Ok(Multiplicand(OtReceiver::new(with, &seeds, hash(session, with, session.me()), pool)))
}

/// The site with Δ.
pub(crate) struct Multiplier(OtSender);

impl Multiplier {
    /// Waits for `count` elements and gives a summand of each product with Δ.
    ///
    /// # Errors
    /// `Peer` with fault `Length` when there are not 512 bytes for each, and as [`Session::recv`] says.
    pub(crate) async fn multiply(&mut self, session: &mut Session, count: usize) -> Result<Vec<Block>> {
        let mut sums = Vec::with_capacity(count);
        for start in (0..count).step_by(CALL) {
            let offered = self.0.offer(session, WORDS * CALL.min(count - start)).await?;
            add_up(offered.rows(), &mut sums);
        }
        Ok(sums)
    }
}

/// The site with the elements.
pub(crate) struct Multiplicand(OtReceiver);

impl Multiplicand {
    /// The other summands. Queues 512 bytes for each element and does not wait.
    ///
    /// # Errors
    /// `Link` when the connection is gone.
    pub(crate) fn multiply(&mut self, session: &mut Session, elements: &[Block]) -> Result<Vec<Block>> {
        let mut sums = Vec::with_capacity(elements.len());
        for elements in elements.chunks(CALL) {
            let choices: Zeroizing<Vec<u64>> =
                Zeroizing::new(elements.iter().flat_map(|a| [a.0 as u64, (a.0 >> 64) as u64]).collect());
            let received = self.0.choose(session, &choices)?;
            add_up(received.rows(), &mut sums);
        }
        Ok(sums)
    }
}

fn add_up(rows: &[Block], sums: &mut Vec<Block>) {
    sums.extend(rows.as_chunks::<BITS>().0.iter().map(compose));
}
