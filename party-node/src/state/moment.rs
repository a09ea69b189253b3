//! The moments between two durable writes, where tests let a site die.

use std::fmt;
use std::sync::Arc;

/// What was done last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The key is on disk under its first name.
    KeyMade,
    /// An empty ledger is on disk.
    LedgerMade,
    /// The first record is in ledger and log, and the key has not got its name.
    BeforeKeyNamed,
    /// A change is written and not committed.
    BeforeCommit,
    /// A change is committed; the log does not have its records.
    Committed,
    /// The log has half of its bytes.
    HalfLogged,
    /// The log has its records, and they need not be on disk.
    Logged,
    /// Everything is on disk, and nobody was told.
    Synced,
}

/// What happens at these moments: nothing, but in tests.
#[derive(Clone, Default)]
pub struct Hook(Option<Arc<dyn Fn(Moment) + Send + Sync>>);

impl Hook {
    /// Calls `f` at each moment.
    pub fn new(f: impl Fn(Moment) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(f)))
    }

    pub(super) fn at(&self, moment: Moment) {
        self.0.iter().for_each(|f| f(moment));
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook" })
    }
}
