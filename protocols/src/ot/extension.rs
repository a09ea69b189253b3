//! Which extension makes OTs of the base OTs.

use std::collections::HashMap;

use mpc_core::error::LocalFault;
use mpc_core::random::{Domain, Prg};
use mpc_core::{Block, PartyId, Result, Session};
use zeroize::Zeroizing;

use super::silent::{Begun, SilentReceiver, SilentSender};
use super::soft_spoken::{Offered, OtReceiver as SoftSpokenReceiver, OtSender as SoftSpokenSender, Received, Tweaks};
use crate::parameters::{Code, Lpn};

/// How OTs are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extension {
    /// Four bytes for each OT, no preparation, no assumption beyond AES.
    #[default]
    SoftSpoken,
    /// About a bit for each OT to prepare and a bit to choose, in batches of a fixed size; assumes dual LPN with regular noise.
    Silent {
        /// OTs of a batch, a size of [`crate::parameters::SILENT_LOG_OUTPUTS`].
        batch: usize,
        /// The code.
        code: Code,
    },
}

type Directions = HashMap<PartyId, (OtSender, OtReceiver)>;

impl Extension {
    /// Puts this extension on top of SoftSpoken's directions, whose OTs serve silent OT as base OTs.
    pub(super) fn wrap(
        self,
        session: &mut Session,
        based: Vec<(PartyId, (SoftSpokenSender, SoftSpokenReceiver))>,
    ) -> Result<Directions> {
        let Extension::Silent { batch, code } = self else {
            let plain = |(sender, receiver)| (OtSender::SoftSpoken(sender), OtReceiver::SoftSpoken(receiver));
            return Ok(based.into_iter().map(|(with, both)| (with, plain(both))).collect());
        };
        let refused = || LocalFault::Other(format!("no reviewed parameters for silent batches of {batch} OTs"));
        let lpn = Lpn::silent(batch, code).ok_or_else(|| session.local(refused()))?;
        let session = session.step("silent");
        silent(session, lpn, based)
    }
}

fn silent(
    mut session: mpc_core::session::Step<'_>,
    lpn: Lpn,
    based: Vec<(PartyId, (SoftSpokenSender, SoftSpokenReceiver))>,
) -> Result<Directions> {
    let mut offsets = session.private_rng(Domain::SilentOffset)?;
    let over = |(with, (sender, receiver))| {
        let sender = SilentSender::new(&session, with, sender, lpn, &mut offsets);
        let receiver = SilentReceiver::new(&session, with, receiver, lpn);
        (with, (OtSender::Silent(sender), OtReceiver::Silent(receiver)))
    };
    Ok(based.into_iter().map(over).collect())
}

/// The side that gets both masks of the OTs with one other site.
pub enum OtSender {
    /// See `soft_spoken.rs`.
    SoftSpoken(SoftSpokenSender),
    /// See `silent/mod.rs`.
    Silent(SilentSender),
}

impl OtSender {
    /// Waits for the choice of 64·`words` OTs. One round, no bytes of our own.
    ///
    /// # Errors
    /// `Peer` with fault `Length` when the message is not 4 bytes (silent: one bit) per OT, and as [`Session::recv`] says; `Local`
    /// when fewer silent OTs are prepared.
    pub async fn offer(&mut self, session: &mut Session, words: usize) -> Result<Offered> {
        match self {
            OtSender::SoftSpoken(sender) => sender.offer(session, words).await,
            OtSender::Silent(sender) => sender.offer(session, words).await,
        }
    }

    /// Numbers for sums of this direction's OTs, 64·`words` of them: see [`Received::join`]. The other side takes them, too, between the same
    /// calls. No message.
    pub(crate) fn tweaks(&mut self, words: usize) -> Tweaks {
        match self {
            OtSender::SoftSpoken(sender) => sender.tweaks(words),
            OtSender::Silent(sender) => sender.tweaks(words),
        }
    }

    /// Both masks of 64·`words` OTs that need no preparation. The receiver calls [`OtReceiver::choose_masks`]. One round.
    ///
    /// # Errors
    /// `Peer` with fault `Length` when the message is not 4 bytes for each OT, and as [`Session::recv`] says.
    pub(crate) async fn offer_masks(
        &mut self,
        session: &mut Session,
        words: usize,
    ) -> Result<[Zeroizing<Vec<Block>>; 2]> {
        let offered = self.soft_spoken().offer(session, words).await?;
        let [mut zero, mut one] = <[Zeroizing<Vec<Block>>; 2]>::default();
        offered.hash_into(&mut zero, &mut one);
        Ok([zero, one])
    }

    /// Another one of the same base OTs, which has nothing prepared.
    pub(super) fn split(&mut self, session: &Session, with: PartyId, offsets: &mut Prg) -> OtSender {
        match self {
            OtSender::SoftSpoken(sender) => OtSender::SoftSpoken(sender.split()),
            OtSender::Silent(sender) => {
                let (base, lpn) = (sender.base().split(), sender.lpn());
                OtSender::Silent(SilentSender::new(session, with, base, lpn, offsets))
            }
        }
    }

    /// The extension that needs no preparation, which silent OT stands on too.
    pub(super) fn soft_spoken(&mut self) -> &mut SoftSpokenSender {
        match self {
            OtSender::SoftSpoken(sender) => sender,
            OtSender::Silent(sender) => sender.base(),
        }
    }

    /// The sender's part of a batch, if it needs one for `ots` OTs.
    pub(super) async fn answer(&mut self, session: &mut Session, ots: usize, roots: &mut Prg) -> Result<bool> {
        match self {
            OtSender::Silent(sender) if sender.ready() < ots => sender.answer(session, roots).await.map(|()| true),
            _ => Ok(false),
        }
    }
}

/// The choosing side of the OTs with one other site.
pub enum OtReceiver {
    /// See `soft_spoken.rs`.
    SoftSpoken(SoftSpokenReceiver),
    /// See `silent/mod.rs`.
    Silent(SilentReceiver),
}

impl OtReceiver {
    /// Chooses in 64·`choices.len()` OTs: bit i of `choices` (64 per word, little end first) for OT i. Queues 4 bytes (silent: one
    /// bit) per OT at the session's step and does not wait; the sender calls [`OtSender::offer`] at the same step with the same
    /// number of words. No message for no words.
    ///
    /// # Errors
    /// `Link` when the connection is gone; `Local` when fewer silent OTs are prepared.
    pub fn choose(&mut self, session: &mut Session, choices: &[u64]) -> Result<Received> {
        match self {
            OtReceiver::SoftSpoken(receiver) => receiver.choose(session, choices),
            OtReceiver::Silent(receiver) => receiver.choose(session, choices),
        }
    }

    /// Numbers for sums of this direction's OTs, 64·`words` of them: see [`Received::join`]. The other side takes them, too, between the same
    /// calls. No message.
    pub(crate) fn tweaks(&mut self, words: usize) -> Tweaks {
        match self {
            OtReceiver::SoftSpoken(receiver) => receiver.tweaks(words),
            OtReceiver::Silent(receiver) => receiver.tweaks(words),
        }
    }

    /// The chosen masks of OTs that need no preparation; see [`OtReceiver::choose`]. Queues 4 bytes for each and does not wait.
    ///
    /// # Errors
    /// `Link` when the connection is gone.
    pub(crate) fn choose_masks(&mut self, session: &mut Session, choices: &[u64]) -> Result<Zeroizing<Vec<Block>>> {
        let received = self.soft_spoken().choose(session, choices)?;
        let mut masks = Zeroizing::new(Vec::new());
        received.hash_into(&mut masks);
        Ok(masks)
    }

    /// Another one of the same base OTs, which has nothing prepared.
    pub(super) fn split(&mut self, session: &Session, with: PartyId) -> OtReceiver {
        match self {
            OtReceiver::SoftSpoken(receiver) => OtReceiver::SoftSpoken(receiver.split()),
            OtReceiver::Silent(receiver) => {
                let (base, lpn) = (receiver.base().split(), receiver.lpn());
                OtReceiver::Silent(SilentReceiver::new(session, with, base, lpn))
            }
        }
    }

    /// The extension that needs no preparation, which silent OT stands on too.
    pub(super) fn soft_spoken(&mut self) -> &mut SoftSpokenReceiver {
        match self {
            OtReceiver::SoftSpoken(receiver) => receiver,
            OtReceiver::Silent(receiver) => receiver.base(),
        }
    }

    /// The receiver's first part of a batch, if it needs one for `ots` OTs.
    pub(super) fn begin(&mut self, session: &mut Session, ots: usize, noise: &mut Prg) -> Result<Option<Begun>> {
        match self {
            OtReceiver::Silent(receiver) if receiver.ready() < ots => receiver.begin(session, noise).map(Some),
            _ => Ok(None),
        }
    }

    /// The receiver's second part of a batch it has begun.
    pub(super) async fn finish(&mut self, session: &mut Session, batch: Begun) -> Result<()> {
        match self {
            OtReceiver::Silent(receiver) => receiver.finish(session, batch).await,
            OtReceiver::SoftSpoken(_) => Ok(()),
        }
    }
}
