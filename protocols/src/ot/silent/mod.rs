//! Silent random OT: a batch of n correlations from t·log2(2n/t) base OTs, t = 256.
//!
//! The sender has Δ and w, the receiver a sparse e and v = w ⊕ e·Δ, of 2n blocks each, from punctured trees (`pprf.rs`). A public
//! linear code compresses them to q, c and t = q ⊕ c·Δ of n blocks (`expand_convolute.rs`), where c looks random by dual LPN. The
//! lowest bit of t is c. A call gives its choices by one bit for each OT: the difference d = choice ⊕ c, by which the sender moves
//! its rows, q ⊕ d·Δ.
//!
//! A batch costs two rounds: 4·256·log2(2n/256) bytes from the receiver (the correction of the base OTs), then
//! 32·256·log2(2n/256) + 4096 from the sender; for n = 2^20, 13,312 and 110,592 bytes, 0.95 bits for each OT. A call costs one round
//! and a bit for each OT, from the receiver. A batch takes 32 bytes of memory for each OT while it is made and 16 after, at either side.
//!
//! Constant time: memory access and control flow depend on sizes and public seeds only, not on noise, choices, Δ or rows.
//!
//! # Source
//! Boyle, Couteau, Gilboa, Ishai, Kohl, Rindal, Scholl, Efficient Two-Round OT Extension and Silent Non-Interactive Secure
//! Computation, CCS'19 (ePrint 2019/1159), Figure 3, semi-honest, with regular noise. Parameters: [`crate::parameters::Lpn`].
//! # Deviations
//! Δ is odd, so that choice bits stay in the rows; this leaves 127 secret bits. All batches of one direction have the same Δ. Base
//! OTs come from SoftSpokenOT. No check against a malicious sender or receiver.

pub mod expand_convolute;
pub mod pprf;
mod stock;

use mpc_core::doubling::Doubling;
use mpc_core::error::LocalFault;
use mpc_core::hash::CorrelationHash;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::{Block, PartyId, Result, Session};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::soft_spoken::{Offered, OtReceiver as BaseReceiver, OtSender as BaseSender, Received, Tweaks};
use crate::parameters::Lpn;
use expand_convolute::ExpandConvolute;
use pprf::{Grown, Hidden, Leaf, Shape};
use stock::Stock;

/// The side with Δ and both masks of every OT.
pub struct SilentSender {
    base: BaseSender,
    direction: Direction,
    delta: Block,
    stock: Stock,
}

/// The choosing side.
pub struct SilentReceiver {
    base: BaseReceiver,
    direction: Direction,
    stock: Stock,
}

/// A batch whose noise positions are chosen and whose base OTs are under way.
pub struct Begun {
    public: Public,
    hidden: Hidden,
    base: Received,
}

impl SilentSender {
    pub(super) fn new(session: &Session, with: PartyId, base: BaseSender, lpn: Lpn, offsets: &mut Prg) -> Self {
        let direction = Direction { with, sender: session.me(), receiver: with, lpn, batches: 0 };
        Self { delta: pprf::offset(offsets), stock: Stock::new(direction.hash(session), base.pool()), base, direction }
    }

    /// Where base OTs come from.
    pub(super) fn base(&mut self) -> &mut BaseSender {
        &mut self.base
    }

    /// The parameters of its batches.
    pub(super) fn lpn(&self) -> Lpn {
        self.direction.lpn
    }

    /// OTs that are prepared and not used.
    pub fn ready(&self) -> usize {
        self.stock.len()
    }

    /// See [`Tweaks`]. Nothing of the stock is used up.
    pub(super) fn tweaks(&mut self, words: usize) -> Tweaks {
        self.stock.tweaks(64 * words)
    }

    /// Prepares one more batch while the receiver calls [`SilentReceiver::prepare`] at the same step. Two rounds.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    pub async fn prepare(&mut self, session: &mut Session) -> Result<()> {
        let mut session = session.step("silent");
        let mut roots = session.private_rng(Domain::SilentRoots)?;
        self.answer(&mut session, &mut roots).await
    }

    pub(super) async fn answer(&mut self, session: &mut Session, roots: &mut Prg) -> Result<()> {
        let public = self.direction.next_batch(session);
        // Grown while the receiver's choices travel, compressed while the receiver grows its own.
        let grown = Grown::new(public.shape, &public.doubling, roots);
        let base = self.base.offer(session, public.shape.ots() / 64).await?;
        let (mut zero, mut one) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        base.hash_into(&mut zero, &mut one);
        let shifts = Zeroizing::new(vec![self.delta; public.shape.trees]);
        session.send(self.direction.with, &grown.message(&zero, &one, &shifts))?;
        let mut rows = grown.into_leaves();
        public.code.compress(&mut rows);
        self.stock.add(rows);
        Ok(())
    }

    /// Waits for the receiver's choice in 64·`words` OTs. One round, no bytes of our own.
    ///
    /// # Errors
    /// `Local` when fewer OTs are prepared; `Peer` with fault `Length` when the choice is not one bit per OT, and as
    /// [`Session::recv`] says.
    pub async fn offer(&mut self, session: &mut Session, words: usize) -> Result<Offered> {
        let mut rows = self.stock.take(64 * words).ok_or_else(|| used_up(session))?;
        if words > 0 {
            let differences: Vec<u64> = session.recv(self.direction.with, words).await?;
            for (rows, word) in rows.column_mut().chunks_exact_mut(64).zip(differences) {
                for (bit, row) in rows.iter_mut().enumerate() {
                    row.0 ^= self.delta.0 & 0u128.wrapping_sub(u128::from(word >> bit & 1));
                }
            }
        }
        Ok(Offered::new(rows, self.delta))
    }
}

impl Drop for SilentSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl SilentReceiver {
    pub(super) fn new(session: &Session, with: PartyId, base: BaseReceiver, lpn: Lpn) -> Self {
        let direction = Direction { with, sender: with, receiver: session.me(), lpn, batches: 0 };
        Self { stock: Stock::new(direction.hash(session), base.pool()), base, direction }
    }

    /// Where base OTs come from.
    pub(super) fn base(&mut self) -> &mut BaseReceiver {
        &mut self.base
    }

    /// The parameters of its batches.
    pub(super) fn lpn(&self) -> Lpn {
        self.direction.lpn
    }

    /// OTs that are prepared and not used.
    pub fn ready(&self) -> usize {
        self.stock.len()
    }

    /// See [`Tweaks`]. Nothing of the stock is used up.
    pub(super) fn tweaks(&mut self, words: usize) -> Tweaks {
        self.stock.tweaks(64 * words)
    }

    /// Prepares one more batch while the sender calls [`SilentSender::prepare`] at the same step. Two rounds.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    pub async fn prepare(&mut self, session: &mut Session) -> Result<()> {
        let mut session = session.step("silent");
        let mut noise = session.private_rng(Domain::SilentNoise)?;
        let begun = self.begin(&mut session, &mut noise)?;
        self.finish(&mut session, begun).await
    }

    pub(super) fn begin(&mut self, session: &mut Session, noise: &mut Prg) -> Result<Begun> {
        let public = self.direction.next_batch(session);
        let hidden = Hidden::new(public.shape, noise);
        let base = self.base.choose(session, hidden.choices())?;
        Ok(Begun { public, hidden, base })
    }

    pub(super) async fn finish(&mut self, session: &mut Session, begun: Begun) -> Result<()> {
        let Begun { public, hidden, base } = begun;
        let message: Vec<Block> = session.recv(self.direction.with, public.shape.message_blocks()).await?;
        let mut masks = Zeroizing::new(Vec::new());
        base.hash_into(&mut masks);
        let shifts = vec![Block::ZERO; public.shape.trees];
        let mut rows = hidden.leaves(&public.doubling, &masks, &message, &shifts);
        public.code.compress(&mut rows);
        self.stock.add(rows);
        Ok(())
    }

    /// Chooses in 64·`choices.len()` OTs: bit i of `choices` (64 per word, little end first) for OT i. Queues one bit per OT at the
    /// session's step and does not wait. No message for no words.
    ///
    /// # Errors
    /// `Local` when fewer OTs are prepared; `Link` when the connection is gone.
    pub fn choose(&mut self, session: &mut Session, choices: &[u64]) -> Result<Received> {
        let rows = self.stock.take(64 * choices.len()).ok_or_else(|| used_up(session))?;
        if !choices.is_empty() {
            let random = rows.column().chunks_exact(64).map(lowest_bits);
            let differences: Vec<u64> = choices.iter().zip(random).map(|(choice, random)| choice ^ random).collect();
            session.send(self.direction.with, &differences)?;
        }
        Ok(Received::new(rows))
    }
}

/// The choice bits of 64 rows, the first lowest.
fn lowest_bits(rows: &[Block]) -> u64 {
    rows.iter().rev().fold(0, |word, row| word << 1 | row.0 as u64 & 1)
}

fn used_up(session: &Session) -> mpc_core::Error {
    session.local(LocalFault::Other("fewer silent OTs are prepared than the step takes".into()))
}

/// Who is on which side, and how far they are.
struct Direction {
    with: PartyId,
    sender: PartyId,
    receiver: PartyId,
    lpn: Lpn,
    /// Batches begun so far.
    batches: u64,
}

impl Direction {
    fn hash(&self, session: &Session) -> CorrelationHash {
        CorrelationHash::new(session.id(), session.path(), self.sender, self.receiver)
    }

    /// What both sides know of the next batch. Its seed is public but not chosen by either: the session's id contains a nonce of each.
    fn next_batch(&mut self, session: &Session) -> Public {
        let seed = Sha256::new()
            .chain_update(b"consilium silent batch v1\0")
            .chain_update(session.id().0)
            .chain_update([self.sender.0, self.receiver.0])
            .chain_update(self.batches.to_le_bytes())
            .chain_update(session.path().as_str().as_bytes())
            .finalize();
        self.batches += 1;
        Public::new(&self.lpn, Leaf::Choice, PublicSeed(seed.into()))
    }
}

/// The public parts of one batch.
pub(crate) struct Public {
    pub(crate) shape: Shape,
    pub(crate) doubling: Doubling,
    pub(crate) code: ExpandConvolute,
}

impl Public {
    pub(crate) fn new(lpn: &Lpn, leaf: Leaf, seed: PublicSeed) -> Self {
        let mut keys = [[0; 16]; 2];
        seed.prg(Domain::TreeKeys, &mpc_core::step::StepPath::root()).fill(keys.as_flattened_mut());
        Self {
            shape: Shape { trees: lpn.noise_blocks, tree_len: lpn.block_len, leaf },
            doubling: Doubling::new(keys[0], keys[1]),
            code: ExpandConvolute::new(lpn.code, seed),
        }
    }
}

#[cfg(test)]
mod tests;
