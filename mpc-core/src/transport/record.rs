//! Records every frame a party sends, for golden frames and for tests that search the wire.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{AbortNotice, BoxFuture, Frame, LaneId, LinkError, Transport};
use crate::party::PartyId;

/// Frames in the order they were sent.
pub type Log = Arc<Mutex<Vec<(PartyId, LaneId, Frame)>>>;

/// Passes everything through and keeps a copy of what was sent.
pub struct Recorder {
    inner: Arc<dyn Transport>,
    log: Log,
}

impl Recorder {
    /// Wraps a transport; the log fills as the party sends.
    pub fn new(inner: Arc<dyn Transport>, log: Log) -> Self {
        Self { inner, log }
    }
}

impl Transport for Recorder {
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError> {
        self.log.lock().expect("no code panics while it holds the log").push((to, lane, frame.clone()));
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
