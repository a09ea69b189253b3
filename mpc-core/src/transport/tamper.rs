//! A party that deviates: changes one frame it sends, for tests that this is caught and blamed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::{AbortNotice, BoxFuture, Frame, LaneId, LinkError, Transport};
use crate::party::PartyId;

/// What happens to the chosen frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One bit of the body's byte at this position (modulo its length) is flipped.
    FlipBody(usize),
    /// One bit of the header's byte at this position is flipped.
    FlipHeader(usize),
    /// The body loses its last byte.
    Truncate,
    /// The body gains a byte.
    Extend,
    /// The frame is sent twice.
    Duplicate,
    /// The frame is not sent.
    Drop,
    /// The previous frame to the same party is sent in its place.
    Replay,
    /// The next frame to the same party goes first.
    Delay,
}

/// Passes everything through but for one frame.
pub struct Tamper {
    inner: Arc<dyn Transport>,
    frame: usize,
    change: Change,
    sent: AtomicUsize,
    held: Mutex<Option<(PartyId, Frame)>>,
    last: Mutex<Vec<(PartyId, LaneId, Frame)>>,
}

impl Tamper {
    /// Changes the `frame`-th frame (0-based) this party sends.
    pub fn new(inner: Arc<dyn Transport>, frame: usize, change: Change) -> Self {
        Self { inner, frame, change, sent: AtomicUsize::new(0), held: Mutex::default(), last: Mutex::default() }
    }

    fn changed(&self, to: PartyId, frame: &Frame) -> Vec<Frame> {
        let body = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = frame.body.to_vec();
            edit(&mut bytes);
            let mut header = frame.header;
            header[4..8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            vec![Frame { header, body: Bytes::from(bytes) }]
        };
        match self.change {
            Change::FlipBody(at) => body(&|b| {
                let len = b.len().max(1);
                if let Some(byte) = b.get_mut(at % len) {
                    *byte ^= 1;
                }
            }),
            Change::Truncate => body(&|b| b.truncate(b.len().saturating_sub(1))),
            Change::Extend => body(&|b| b.push(0)),
            Change::FlipHeader(at) => {
                let mut header = frame.header;
                header[at % header.len()] ^= 1;
                vec![Frame { header, body: frame.body.clone() }]
            }
            Change::Duplicate => vec![frame.clone(), frame.clone()],
            Change::Drop => Vec::new(),
            Change::Delay => {
                *self.held.lock().expect("no code panics while it holds the frame") = Some((to, frame.clone()));
                Vec::new()
            }
            Change::Replay => {
                let last = self.last.lock().expect("no code panics while it holds the last frames");
                last.iter().rev().find(|(p, ..)| *p == to).map(|(_, _, f)| f.clone()).into_iter().collect()
            }
        }
    }
}

impl Transport for Tamper {
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let frames = if number == self.frame {
            self.changed(to, &frame)
        } else {
            let mut held = self.held.lock().expect("no code panics while it holds the frame");
            let late = held.take_if(|(party, _)| *party == to).map(|(_, frame)| frame);
            [frame.clone()].into_iter().chain(late).collect()
        };
        self.last.lock().expect("no code panics while it holds the last frames").push((to, lane, frame));
        frames.into_iter().try_for_each(|f| self.inner.send(to, lane, f))
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
