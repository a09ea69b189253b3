//! Frames that have arrived and wait for their step, by sender and lane.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Frame, LaneId, LinkError};
use crate::party::PartyId;

/// Frames a network reader may leave unread on one lane before it stops reading: with 1 MiB frames, 4 MiB.
const ROOM: usize = 4;
/// Lanes one peer may use in a session: with four frames each, it can make us hold 64 MiB beside its connection's window.
pub const MAX_LANES: usize = 16;

/// The queues of one party.
#[derive(Default)]
pub struct Inbox {
    lanes: Mutex<HashMap<(PartyId, LaneId), Arc<Lane>>>,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Lane {
    frames: Mutex<VecDeque<(Option<Instant>, Frame)>>,
    arrived: Notify,
    drained: Notify,
}

#[derive(Default)]
struct Faults {
    /// Breaks every receive: an abort, or the loss of a party.
    session: Option<LinkError>,
    /// Breaks receives from this party only: it left in good order.
    party: BTreeMap<PartyId, LinkError>,
}

impl Inbox {
    /// Adds a frame, to be seen not before `ready`.
    pub fn push(&self, from: PartyId, lane: LaneId, ready: Option<Instant>, frame: Frame) {
        let lane = self.lane(from, lane);
        lock(&lane.frames).push_back((ready, frame));
        lane.arrived.notify_one();
    }

    /// Registers a lane that a network peer opened. False when it has more lanes than a session may.
    pub fn open(&self, from: PartyId, lane: LaneId) -> bool {
        let mut lanes = lock(&self.lanes);
        let theirs = lanes.keys().filter(|(party, _)| *party == from).count();
        let known = lanes.contains_key(&(from, lane));
        if known || theirs < MAX_LANES {
            lanes.entry((from, lane)).or_default();
        }
        known || theirs < MAX_LANES
    }

    /// Waits until the reader of a lane may bring more. False when nothing will be read any more.
    pub async fn room(&self, from: PartyId, lane: LaneId) -> bool {
        let lane = self.lane(from, lane);
        loop {
            if lock(&self.faults).session.is_some() {
                return false;
            }
            if lock(&lane.frames).len() < ROOM {
                return true;
            }
            lane.drained.notified().await;
        }
    }

    /// The next frame of a lane. What arrived before a party left is still handed out; after an abort nothing is.
    pub async fn pop(&self, from: PartyId, lane_id: LaneId) -> Result<Frame, LinkError> {
        let lane = self.lane(from, lane_id);
        loop {
            if let Some(fault) = lock(&self.faults).session.clone() {
                return Err(fault);
            }
            let next = lock(&lane.frames).pop_front();
            if let Some((ready, frame)) = next {
                lane.drained.notify_one();
                if let Some(at) = ready {
                    tokio::time::sleep_until(at).await;
                }
                return Ok(frame);
            }
            if let Some(fault) = lock(&self.faults).party.get(&from).cloned() {
                return Err(fault);
            }
            lane.arrived.notified().await;
        }
    }

    /// Breaks every receive from now on. The first fault stands.
    pub fn fail_session(&self, fault: LinkError) {
        lock(&self.faults).session.get_or_insert(fault);
        self.wake_all();
    }

    /// Breaks receives from one party once its frames are read.
    pub fn fail_party(&self, party: PartyId, fault: LinkError) {
        lock(&self.faults).party.entry(party).or_insert(fault);
        self.wake_all();
    }

    fn wake_all(&self) {
        for lane in lock(&self.lanes).values() {
            lane.arrived.notify_one();
            lane.drained.notify_one();
        }
    }

    fn lane(&self, from: PartyId, lane: LaneId) -> Arc<Lane> {
        lock(&self.lanes).entry((from, lane)).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds an inbox lock")
}
