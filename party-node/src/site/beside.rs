//! What a node answers beside runs: whether it consents, what its accounts order, what it has.

use std::sync::Arc;
use std::time::Duration;

use mpc_core::handshake::ControlStream;
use mpc_core::identity::Pin;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::{Site, violation};
use crate::agree::{Checked, Consult, PROTOCOL_VERSION, Reply};
use crate::connect::Link;
use crate::drill::Drill;
use crate::fault::NodeError;
use crate::govern::gate::Asker;
use crate::govern::steward::Refusal;
use crate::jobs::control::{JobOrder, Part, parts};
use crate::places::{Full, Place, Places};
use crate::state::now_ms;

/// Plans that are derived at a time for whoever asks for consent alone.
const DECIDING: usize = 4;
/// Questions that are read and decided about at a time; whoever comes then is sent away.
const CONSULTING: usize = 32;
/// Orders of accounts at a time, in all and of one key.
const ORDERING: (usize, usize) = (64, 16);
/// Of jobs that are followed likewise: whoever waits for news keeps nobody from ordering, itself neither.
const FOLLOWING: (usize, usize) = (256, 16);
/// How many may wait here for somebody's decision; whoever comes then is told at once that it waits.
const HOLDING: usize = 64;
/// The longest that a node waits with its reply.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// What bounds this work.
pub(super) struct Beside {
    consulting: Semaphore,
    ordering: Arc<Places<Pin>>,
    following: Arc<Places<Pin>>,
    deciding: Semaphore,
    holding: Semaphore,
    /// A steward has ordered something.
    pub(super) decided: Notify,
    /// The inbox may be another one.
    pub(super) inbox: watch::Sender<()>,
}

impl Default for Beside {
    fn default() -> Self {
        let [consulting, deciding, holding] = [CONSULTING, DECIDING, HOLDING].map(Semaphore::new);
        let [ordering, following] = [ORDERING, FOLLOWING].map(|(most, of_one)| Places::new(most, of_one));
        let (decided, inbox) = (Notify::new(), watch::Sender::new(()));
        Self { consulting, ordering, following, deciding, holding, decided, inbox }
    }
}

impl Site {
    /// Says whether this site consents to a question. While somebody has to decide, it waits as long as it is asked to, so that the
    /// analyst hears of a decision when it is made.
    pub(super) async fn consult(self: &Arc<Self>, asker: &Asker, mut link: Link) -> Result<(), NodeError> {
        if let Err(stopping) = self.closing.is_open() {
            return self.turn_away(link, stopping).await;
        }
        // Before it is read: what is read lies in memory until it was decided about.
        let Ok(room) = self.beside.consulting.try_acquire() else {
            return self.turn_away(link, busy(CONSULTING, "questions are being decided about")).await;
        };
        let mut room = Some(room);
        let Consult { propose, hold_ms } = link.control.recv().await.map_err(|e| violation(&e.to_string()))?;
        let holding = self.beside.holding.try_acquire();
        let hold = if holding.is_ok() { Duration::from_millis(hold_ms).min(LONGEST_HOLD) } else { Duration::ZERO };
        let until = Instant::now() + hold;
        let mut before = None;
        let reply = loop {
            // A decision that falls between the look and the wait is not missed.
            let mut decided = std::pin::pin!(self.beside.decided.notified());
            decided.as_mut().enable();
            let looked = {
                let _permit = self.beside.deciding.acquire().await;
                self.consulted(&propose, asker).await
            };
            let waits = match looked {
                Ok(None) => break Reply::Approved,
                Ok(Some(waits)) => waits,
                Err(refusal) => return self.turn_away(link, refusal).await,
            };
            // Of two who have to say yes one has.
            if before.as_ref().is_some_and(|before| *before != waits) {
                break waits.into();
            }
            // Those that wait are counted by themselves.
            drop(room.take());
            let heard = tokio::select! {
                heard = timeout_at(until, decided) => heard.is_ok(),
                _ = link.connection.closed() => return Ok(()),
            };
            if !heard || self.closing.is_open().is_err() {
                break waits.into();
            }
            before = Some(waits);
        };
        // Whoever left before hearing it asks again.
        let _ = link.control.send(&reply).await;
        link.control.close().await;
        Ok(())
    }

    /// Does what an analyst with an account here orders.
    pub(super) async fn job_order(&self, pin: Pin, mut control: ControlStream) -> Result<(), NodeError> {
        let account = self.jobs.get().map(|jobs| jobs.account_of(pin)).transpose();
        let room = || self.beside.ordering.take(pin).map_err(|full| no_place(full, ORDERING, "orders"));
        let room = match account.and_then(|_| room()) {
            Ok(room) => room,
            Err(refused) => {
                let refusal: Result<Part, Refusal> = Err(refused.into());
                let _ = control.send(&refusal).await;
                control.close().await;
                return Ok(());
            }
        };
        let order: JobOrder = control.recv().await.map_err(|e| violation(&format!("an order about jobs: {e}")))?;
        let (_place, done) = self.performed(pin, order, room).await;
        let replies: Vec<Result<Part, Refusal>> = match done {
            Ok(text) => parts(&text).map(Ok).collect(),
            Err(refusal) => vec![Err(refusal.into())],
        };
        for reply in replies {
            // Whoever left before hearing it looks again.
            if control.send(&reply).await.is_err() {
                break;
            }
        }
        control.close().await;
        Ok(())
    }

    /// What an order gives, and the place that it has until its reply is gone: of whoever follows a job not the one that orders are read at.
    async fn performed(
        &self,
        pin: Pin,
        order: JobOrder,
        room: Place<Pin>,
    ) -> (Option<Place<Pin>>, Result<String, NodeError>) {
        let Some(jobs) = self.jobs.get() else {
            return (Some(room), Err(NodeError::new("NOT_AN_ACCOUNT", "this node has no accounts")));
        };
        if !matches!(order, JobOrder::Follow { .. }) {
            return (Some(room), jobs.perform(pin, order).await);
        }
        drop(room);
        match self.beside.following.take(pin) {
            Ok(place) => (Some(place), jobs.perform(pin, order).await),
            Err(full) => (None, Err(no_place(full, FOLLOWING, "jobs"))),
        }
    }

    /// What this node has.
    pub(super) fn compared(&self) -> Checked {
        let (network, schema) = (self.gate.network, self.network.schema_digest());
        let at_ms = now_ms().saturating_add(Drill::ahead_ms(self.drill.as_ref()));
        Checked { version: PROTOCOL_VERSION, at_ms, network, schema }
    }
}

fn no_place(full: Full, (in_all, of_one): (usize, usize), what: &str) -> NodeError {
    match full {
        Full::One => busy(of_one, &format!("{what} of this account are being followed")),
        Full::All => busy(in_all, &format!("{what} are being followed")),
    }
}

fn busy(most: usize, what: &str) -> NodeError {
    NodeError::new("SITE_BUSY", format!("{most} {what}")).hint("try again later")
}
