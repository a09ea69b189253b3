//! Connections of other sites, matched with the runs that wait for them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use mpc_core::PartyId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::agree::RunId;
use crate::connect::Link;

/// Connections of one other site that may wait for runs we have not heard of yet.
const MAX_EARLY_JOINS: usize = 8;
/// How long such a connection may wait.
const EARLY_PATIENCE: Duration = Duration::from_secs(30);

/// Connections of other sites, by run and party, matched with the runs that wait for them.
#[derive(Default)]
pub struct Joins(Mutex<HashMap<(RunId, PartyId), Half>>);

enum Half {
    Arrived(Link, Instant),
    Awaited(oneshot::Sender<Link>),
}

impl Joins {
    /// A site joins a run.
    pub fn arrive(&self, key: (RunId, PartyId), link: Link) {
        let mut halves = self.0.lock().expect("no code panics while it holds the joins");
        halves.retain(|_, half| match half {
            Half::Arrived(link, since) => link.connection.close_reason().is_none() && since.elapsed() < EARLY_PATIENCE,
            Half::Awaited(waiting) => !waiting.is_closed(),
        });
        match halves.remove(&key) {
            // Whoever stopped waiting drops the link, which closes it.
            Some(Half::Awaited(waiting)) => drop(waiting.send(link)),
            Some(Half::Arrived(..)) => (),
            None => {
                let waiting =
                    halves.iter().filter(|((_, from), half)| *from == key.1 && matches!(half, Half::Arrived(..)));
                if waiting.count() < MAX_EARLY_JOINS {
                    halves.insert(key, Half::Arrived(link, Instant::now()));
                }
            }
        }
    }

    /// Waits for a site to join a run.
    pub async fn wait(&self, key: (RunId, PartyId)) -> Option<Link> {
        let waiting = {
            let mut halves = self.0.lock().expect("no code panics while it holds the joins");
            match halves.remove(&key) {
                Some(Half::Arrived(link, _)) => return Some(link),
                Some(Half::Awaited(_)) | None => {
                    let (sender, receiver) = oneshot::channel();
                    halves.insert(key, Half::Awaited(sender));
                    receiver
                }
            }
        };
        waiting.await.ok()
    }
}
