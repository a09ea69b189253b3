//! What a session sent and how long its longest chain of messages was.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::step::StepPath;

/// Counts of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Messages sent (a broadcast to three parties is three).
    pub messages: u64,
    /// Bytes sent, frame headers included.
    pub bytes: u64,
}

/// Counters shared by all forks of a session.
#[derive(Debug, Default)]
pub struct Counters {
    steps: Mutex<Steps>,
    rounds: AtomicU32,
}

#[derive(Debug, Default)]
struct Steps {
    counts: BTreeMap<StepPath, StepStats>,
    last: Option<StepPath>,
    bytes: u64,
}

/// Where a session is, for whoever looks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The step at which this party last sent something; the root before that.
    pub step: StepPath,
    /// The longest chain of dependent messages so far. A peer can inflate it.
    pub rounds: u32,
    /// Bytes sent so far, frame headers included.
    pub bytes: u64,
}

impl Counters {
    /// Counts one message sent at `step`.
    pub fn sent(&self, step: &StepPath, bytes: usize) {
        let mut steps = self.steps.lock().expect("no code panics while it holds the counters");
        let entry = steps.counts.entry(step.clone()).or_default();
        entry.messages += 1;
        entry.bytes += bytes as u64;
        steps.bytes += bytes as u64;
        steps.last = Some(step.clone());
    }

    /// Notes that a message of this depth arrived.
    pub fn reached(&self, depth: u32) {
        self.rounds.fetch_max(depth, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn snapshot(&self) -> Stats {
        let steps = self.steps.lock().expect("no code panics while it holds the counters").counts.clone();
        Stats { steps, rounds: self.rounds.load(Ordering::Relaxed) }
    }

    /// Where the session is now.
    pub fn latest(&self) -> Latest {
        let steps = self.steps.lock().expect("no code panics while it holds the counters");
        let step = steps.last.clone().unwrap_or_else(StepPath::root);
        Latest { step, rounds: self.rounds.load(Ordering::Relaxed), bytes: steps.bytes }
    }
}

/// What one party sent in one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// By step path.
    pub steps: BTreeMap<StepPath, StepStats>,
    /// The longest chain of dependent messages this party saw. For cost only: a peer can inflate it.
    pub rounds: u32,
}

impl Stats {
    /// Bytes sent in all.
    pub fn bytes(&self) -> u64 {
        self.steps.values().map(|s| s.bytes).sum()
    }

    /// Messages sent in all.
    pub fn messages(&self) -> u64 {
        self.steps.values().map(|s| s.messages).sum()
    }
}
