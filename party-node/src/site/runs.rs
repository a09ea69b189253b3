//! The runs that a node takes part in, for whoever looks on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mpc_core::stats::{Counters, Latest};

use crate::agree::RunId;

/// What each run counts, by its id.
#[derive(Debug, Default)]
pub struct Runs(Mutex<HashMap<RunId, Arc<Counters>>>);

/// A run goes on as long as this lives.
pub struct Going {
    runs: Arc<Runs>,
    run: RunId,
}

impl Runs {
    /// A run's session begins.
    pub fn begin(self: &Arc<Self>, run: RunId, counters: Arc<Counters>) -> Going {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, counters);
        Going { runs: self.clone(), run }
    }

    /// Where a run is at this site; nothing before its session and after it.
    pub fn latest(&self, run: &RunId) -> Option<Latest> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(run).map(|counters| counters.latest())
    }

    /// How many go on.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.runs.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
    }
}
