//! Planned failures, so that an operator (and our tests) can see what the others do when a node dies at a given moment.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mpc_core::PartyId;
use mpc_core::transport::{AbortNotice, BoxFuture, Frame, LaneId, LinkError, Transport};
use query_planner::catalog::SiteName;

use crate::fault::NodeError;
use crate::log;
use crate::state::moment::Hook;

/// Exit status of a node that died in a drill: that of a process killed by signal 9.
pub const EXIT_STATUS: i32 = 137;

/// When the process ends without a word: at a named moment, before its n-th frame, or at the n-th moment between two durable writes;
/// or that it stays and takes no step of a run. Or a clock that is wrong, which ends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drill {
    /// `propose`, `ready`, `start` or `connected`.
    Moment(String),
    /// `hang`: stays where a run starts, for ever.
    Hang,
    /// Before this frame (0-based) is sent.
    Frame(usize),
    /// At this moment (0-based) of those between two durable writes, from the start of the node on.
    Write(usize),
    /// What it tells others of its clock is this many seconds ahead.
    Ahead(u64),
}

impl FromStr for Drill {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        if let Some(Ok(write)) = text.strip_prefix("write-").map(str::parse) {
            return Ok(Drill::Write(write));
        }
        if let Some(Ok(seconds)) = text.strip_prefix("ahead-").map(str::parse) {
            return Ok(Drill::Ahead(seconds));
        }
        match (text, text.parse()) {
            (_, Ok(frame)) => Ok(Drill::Frame(frame)),
            ("propose" | "ready" | "start" | "connected", Err(_)) => Ok(Drill::Moment(text.into())),
            ("hang", Err(_)) => Ok(Drill::Hang),
            _ => {
                let message = "a drill is propose, ready, start, connected, hang, the number of a frame, write-NUMBER or ahead-SECONDS";
                Err(NodeError::new("BAD_DRILL", message))
            }
        }
    }
}

impl Drill {
    /// Ends the process if this is the planned moment.
    pub fn at(drill: Option<&Drill>, moment: &str) {
        if matches!(drill, Some(Drill::Moment(planned)) if planned == moment) {
            std::process::exit(EXIT_STATUS);
        }
    }

    /// Stays here for ever, if that is planned.
    pub async fn stays(drill: Option<&Drill>, site: &SiteName) {
        if drill == Some(&Drill::Hang) {
            log::say(site, "drill", "the drill: this site takes no step of the run");
            std::future::pending().await
        }
    }

    /// How far its clock is ahead, in milliseconds.
    pub fn ahead_ms(drill: Option<&Drill>) -> u64 {
        match drill {
            Some(Drill::Ahead(seconds)) => seconds.saturating_mul(1000),
            _ => 0,
        }
    }

    /// What the ledger calls between its writes.
    pub fn hook(drill: Option<&Drill>) -> Hook {
        let Some(Drill::Write(at)) = drill else { return Hook::default() };
        let left = AtomicUsize::new(*at);
        Hook::new(move |_| {
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err() {
                std::process::exit(EXIT_STATUS);
            }
        })
    }

    /// Wraps a transport when a frame is planned.
    pub fn wrap(drill: Option<&Drill>, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match drill {
            Some(Drill::Frame(at)) => Arc::new(Dying { inner, left: AtomicUsize::new(*at) }),
            _ => inner,
        }
    }
}

struct Dying {
    inner: Arc<dyn Transport>,
    left: AtomicUsize,
}

impl Transport for Dying {
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_err() {
            std::process::exit(EXIT_STATUS);
        }
        self.inner.send(to, lane, frame)
    }

    fn recv(&self, from: PartyId, lane: LaneId) -> BoxFuture<'_, Result<Frame, LinkError>> {
        self.inner.recv(from, lane)
    }

    fn abort(&self, notice: &AbortNotice) {
        self.inner.abort(notice);
    }

    fn finish(&self, patience: Duration) -> BoxFuture<'_, Result<(), LinkError>> {
        self.inner.finish(patience)
    }
}
