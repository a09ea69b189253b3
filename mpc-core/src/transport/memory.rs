//! Parties in one process: frames go straight into the other's inbox, at once or over a simulated link.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::inbox::Inbox;
use super::{AbortNotice, BoxFuture, Frame, LaneId, LinkError, Transport};
use crate::party::{Parties, PartyId};

/// A network link as we simulate it: every party sends through one uplink of `bits_per_second`, and what has left it
/// arrives `latency` later. Runs on tokio's paused clock, so simulated time costs no real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// One way.
    pub latency: Duration,
    /// Of each party's uplink; 0 means unlimited.
    pub bits_per_second: u64,
}

impl Link {
    /// A wide-area link: 30 ms round trip, 1 Gbit/s.
    pub fn wan() -> Self {
        Self { latency: Duration::from_millis(15), bits_per_second: 1_000_000_000 }
    }
}

/// One party's end of an in-process network.
pub struct MemoryTransport {
    me: PartyId,
    net: Arc<Net>,
}

struct Net {
    inboxes: Vec<Inbox>,
    link: Option<Link>,
    /// When each party's uplink is free again.
    uplinks: Mutex<Vec<Option<Instant>>>,
}

/// One transport for each party, in order.
pub fn network(parties: Parties, link: Option<Link>) -> Vec<MemoryTransport> {
    let inboxes = parties.all().map(|_| Inbox::default()).collect();
    let net = Arc::new(Net { inboxes, link, uplinks: Mutex::new(vec![None; parties.count()]) });
    parties.all().map(|me| MemoryTransport { me, net: net.clone() }).collect()
}

impl Net {
    fn arrival(&self, from: PartyId, bytes: usize) -> Option<Instant> {
        let link = self.link?;
        let now = Instant::now();
        let mut uplinks = self.uplinks.lock().expect("no code panics while it holds the uplinks");
        let free = uplinks[from.index()].map_or(now, |at| at.max(now));
        let nanos = (bytes as u64 * 8).saturating_mul(1_000_000_000).checked_div(link.bits_per_second).unwrap_or(0);
        let left = free + Duration::from_nanos(nanos);
        uplinks[from.index()] = Some(left);
        Some(left + link.latency)
    }
}

impl Transport for MemoryTransport {
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError> {
        let ready = self.net.arrival(self.me, frame.wire_len());
        self.net.inboxes[to.index()].push(self.me, lane, ready, frame);
        Ok(())
    }

    fn recv(&self, from: PartyId, lane: LaneId) -> BoxFuture<'_, Result<Frame, LinkError>> {
        Box::pin(self.net.inboxes[self.me.index()].pop(from, lane))
    }

    fn abort(&self, notice: &AbortNotice) {
        for (index, inbox) in self.net.inboxes.iter().enumerate() {
            if index != self.me.index() {
                inbox.fail_session(LinkError::Aborted { by: self.me, notice: notice.clone() });
            }
        }
    }

    fn finish(&self, _patience: Duration) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { Ok(()) })
    }
}
