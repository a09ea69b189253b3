//! Oblivious transfer between every two sites, in both directions: base OTs once per session, then extension.
//!
//! What an OT gives is a random mask: the sender gets two for each OT, the receiver the one it chose. Protocols put their
//! messages under the masks themselves, or use single bits of them.

mod base;
pub(crate) mod correlated;
mod extension;
pub mod silent;
mod soft_spoken;
pub mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use mpc_core::block::Block;
use mpc_core::error::PeerFault;
use mpc_core::hash::CorrelationHash;
use mpc_core::leaves::LEAF_BITS;
use mpc_core::random::{Domain, Prg};
use mpc_core::wire::{Bytes32, Wire};
use mpc_core::{PartyId, Result, Session};
use zeroize::{Zeroize, Zeroizing};

use base::Context;
use soft_spoken::{GROUPS, Pool};
use tree::Seeds;

use soft_spoken::{OtReceiver as SoftSpokenReceiver, OtSender as SoftSpokenSender};

pub use extension::{Extension, OtReceiver, OtSender};
pub use soft_spoken::{CALL_WORDS, Offered, Received};
pub(crate) use soft_spoken::{Parts, Tweaks};

/// Both directions of OT of this party with every other site.
pub struct Ot {
    directions: HashMap<PartyId, (OtSender, OtReceiver)>,
}

impl Ot {
    /// For work that takes no OT: nothing is set up with anybody.
    pub fn none() -> Ot {
        Ot { directions: HashMap::new() }
    }

    /// Base OTs with all other sites, all directions at once, and the seeds that extension needs. Every site calls it at the
    /// same step. Two rounds; 11,296 bytes and two frame headers to each other site: 257 points, then 192 blocks. About 20 ms
    /// of computation and half a MiB of memory for each other site.
    ///
    /// # Errors
    /// `Peer` with fault `NonCanonical` for a point that is none or the neutral one, and as [`Session::recv`] says.
    pub async fn setup(session: &mut Session) -> Result<Ot> {
        Self::setup_with(session, Extension::SoftSpoken).await
    }

    /// The same with a choice of extension; every site makes the same one. No more rounds or bytes for any of them.
    ///
    /// # Errors
    /// As [`Ot::setup`]; `Local` when a silent batch is not in the table of parameters.
    pub async fn setup_with(session: &mut Session, extension: Extension) -> Result<Ot> {
        Self::setup_meanwhile(session, extension, || ()).await.map(|(ot, ())| ot)
    }

    /// The same with work to do while the first messages travel and the other sites make theirs.
    ///
    /// # Errors
    /// As [`Ot::setup_with`].
    pub async fn setup_meanwhile<R>(
        session: &mut Session,
        extension: Extension,
        work: impl FnOnce() -> R,
    ) -> Result<(Ot, R)> {
        if !session.is_site() {
            return Ok((Ot::none(), work()));
        }
        let others = session.other_sites();
        Self::setup_among(session, &others, extension, work).await
    }

    /// Base OTs with one other site alone, which calls it at the same step; nobody else does. As [`Ot::setup`].
    ///
    /// # Errors
    /// As [`Ot::setup`].
    pub async fn setup_with_one(session: &mut Session, with: PartyId) -> Result<Ot> {
        Self::setup_among(session, &[with], Extension::SoftSpoken, || ()).await.map(|(ot, ())| ot)
    }

    async fn setup_among<R>(
        session: &mut Session,
        others: &[PartyId],
        extension: Extension,
        work: impl FnOnce() -> R,
    ) -> Result<(Ot, R)> {
        let mut session = session.step("ot");
        let mut prg = session.private_rng(Domain::BaseOt)?;
        let mut starts = Vec::new();
        for with in others {
            starts.push(Start::send(&mut session, *with, &mut prg)?);
        }
        session.let_send(TURNS).await;
        let worked = work();
        let pool = Arc::new(Pool::default());
        let mut grown = Vec::new();
        for start in starts {
            grown.push(start.grow(&mut session, pool.clone()).await?);
        }
        let mut based = Vec::new();
        for half in grown {
            based.push((half.with, half.regrow(&mut session, pool.clone()).await?));
        }
        Ok((Ot { directions: extension.wrap(&mut session, based)? }, worked))
    }

    /// OTs for work beside this: of the same base OTs, by further parts of their streams, none of which serves both. All sites call
    /// it at the same step. No message.
    ///
    /// # Errors
    /// `Local` as [`Session::private_rng`].
    pub fn split(&mut self, session: &mut Session) -> Result<Ot> {
        let mut session = session.step("ot");
        let mut offsets = session.private_rng(Domain::SilentOffset)?;
        let split = |(with, (sender, receiver)): (&PartyId, &mut (OtSender, OtReceiver))| {
            (*with, (sender.split(&session, *with, &mut offsets), receiver.split(&session, *with)))
        };
        Ok(Ot { directions: self.directions.iter_mut().map(split).collect() })
    }

    /// Has at least `ots` OTs ready with each of `others` in both directions. They call it at the same step with the same
    /// number. Nothing to do for SoftSpoken; for silent OT two rounds and [`crate::cost::silent_batch`] bytes for each batch.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    pub async fn prepare(&mut self, session: &mut Session, others: &[PartyId], ots: usize) -> Result<()> {
        let mut session = session.step("prepare");
        let (mut roots, mut noise) =
            (session.private_rng(Domain::SilentRoots)?, session.private_rng(Domain::SilentNoise)?);
        loop {
            let mut begun = Vec::new();
            for with in others {
                begun.extend(self.receiver(*with).begin(&mut session, ots, &mut noise)?.map(|batch| (*with, batch)));
            }
            let mut answered = false;
            for with in others {
                answered |= self.sender(*with).answer(&mut session, ots, &mut roots).await?;
            }
            if begun.is_empty() && !answered {
                return Ok(());
            }
            for (with, batch) in begun {
                self.receiver(with).finish(&mut session, batch).await?;
            }
        }
    }

    /// The direction in which this party has both masks and `with` chooses.
    ///
    /// # Panics
    /// When `with` is not another site.
    pub fn sender(&mut self, with: PartyId) -> &mut OtSender {
        &mut self.both(with).0
    }

    /// The direction in which this party chooses and `with` has both masks.
    ///
    /// # Panics
    /// When `with` is not another site.
    pub fn receiver(&mut self, with: PartyId) -> &mut OtReceiver {
        &mut self.both(with).1
    }

    fn both(&mut self, with: PartyId) -> &mut (OtSender, OtReceiver) {
        self.directions.get_mut(&with).expect("OT is with the other sites")
    }
}

/// Turns of the network in which a message of 8 KiB leaves.
const TURNS: usize = 8;

/// With one other site, after our first message.
///
/// The extension's sender is the receiver of the base OTs and the other way round: the site that will have both masks of every
/// OT may see only all seeds but one.
struct Start {
    with: PartyId,
    delta: Zeroizing<Block>,
    sender: base::Sender,
    receiver: base::Receiver,
}

impl Start {
    /// Our part of the base OTs of both directions.
    fn send(session: &mut Session, with: PartyId, prg: &mut Prg) -> Result<Self> {
        let delta = draw_delta(prg);
        // Base OT ℓ of a group gives the sum that the path to Δ is not in: its choice is the complement of Δ's bit.
        let choices = *delta ^ Block(u128::MAX);
        let sender = base::Sender::new(prg);
        let receiver = base::Receiver::new(&Context::new(session, with, session.me()), choices, prg);
        let message = [&[sender.message()], receiver.message()].concat();
        session.send(with, &message)?;
        Ok(Self { with, delta, sender, receiver })
    }

    /// The base OTs' keys and, from those where we have both, our trees and their corrections.
    async fn grow(self, session: &mut Session, pool: Arc<Pool>) -> Result<Grown> {
        let (with, me) = (self.with, session.me());
        let theirs: Vec<Bytes32> = session.recv(with, 1 + base::REQUEST_POINTS).await?;
        let refused = |session: &Session| session.peer(with, PeerFault::NonCanonical("point"));
        let pairs = self.sender.keys(&Context::new(session, me, with), &theirs[1..]).ok_or_else(|| refused(session))?;
        let chosen =
            self.receiver.keys(&Context::new(session, with, me), &theirs[0]).ok_or_else(|| refused(session))?;
        let (seeds, corrections) = grow_trees(&pairs);
        session.send(with, &corrections)?;
        let receiver = SoftSpokenReceiver::new(with, &seeds, hash(session, with, me), pool);
        Ok(Grown { with, delta: self.delta, chosen, receiver })
    }
}

/// With one other site, after our second message.
struct Grown {
    with: PartyId,
    delta: Zeroizing<Block>,
    chosen: Zeroizing<Vec<Block>>,
    receiver: SoftSpokenReceiver,
}

impl Grown {
    /// The other site's trees, all leaves but the ones at Δ.
    async fn regrow(self, session: &mut Session, pool: Arc<Pool>) -> Result<(SoftSpokenSender, SoftSpokenReceiver)> {
        let corrections: Vec<Block> = session.recv(self.with, GROUPS * tree::CORRECTIONS).await?;
        let seeds = regrow_trees(*self.delta, &self.chosen, &corrections);
        let sender =
            SoftSpokenSender::new(self.with, *self.delta, &seeds, hash(session, session.me(), self.with), pool);
        Ok((sender, self.receiver))
    }
}

/// The trees of these base OTs' keys, and their corrections.
fn grow_trees(pairs: &[[Block; 2]]) -> (Vec<Seeds>, Vec<Block>) {
    let mut corrections = Vec::with_capacity(GROUPS * tree::CORRECTIONS);
    let seeds = pairs.chunks_exact(LEAF_BITS).map(|keys| tree::grow(keys, &mut corrections)).collect();
    (seeds, corrections)
}

/// The same trees, all leaves but the ones at Δ.
fn regrow_trees(delta: Block, chosen: &[Block], corrections: &[Block]) -> Vec<Seeds> {
    let trees = chosen.chunks_exact(LEAF_BITS).zip(corrections.chunks_exact(tree::CORRECTIONS));
    let regrow = |(group, (keys, corrections))| tree::regrow(Block(delta.0 >> (LEAF_BITS * group)), keys, corrections);
    trees.enumerate().map(regrow).collect()
}

/// The hash of the masks that `sender` offers and `receiver` chooses.
fn hash(session: &Session, sender: PartyId, receiver: PartyId) -> CorrelationHash {
    CorrelationHash::new(session.id(), session.path(), sender, receiver)
}

fn draw_delta(prg: &mut Prg) -> Zeroizing<Block> {
    let mut bytes = [0; Block::BYTES];
    prg.fill(&mut bytes);
    let delta = Block::from_le_bytes(bytes);
    bytes.zeroize();
    Zeroizing::new(delta)
}
