//! What is used once: ε of a study and of the site, and indices of correlations.

use std::ops::Range;

use super::State;
use super::audit::Event;
use super::limits::{Spend, Spent};
use super::store::{Change, Rows, Table};
use crate::fault::NodeError;

impl State {
    /// Takes ε of a study, durably. It is never given back, whether or not an answer comes. Of two that race for the last of it, one wins.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED`, `BAD_EPSILON`.
    pub fn reserve(&self, study: &[u8; 32], spend: &Spend) -> Result<(), NodeError> {
        self.change(|change| self::spend(change, study, spend))
    }

    /// What of ε was taken: of a study's, and of all studies' together.
    pub fn spent(&self, study: &[u8; 32]) -> Result<Spent, NodeError> {
        spent(&self.view()?, study)
    }

    /// The latter alone.
    pub fn spent_in_all(&self) -> Result<u64, NodeError> {
        Ok(self.view()?.get(Table::Counters, IN_ALL)?.unwrap_or(0))
    }

    /// Takes the next `count` indices of a kind, durably. No index is given twice.
    ///
    /// # Errors
    /// `INDICES_USED_UP` after 2^64.
    pub fn take(&self, of: &str, count: u64) -> Result<Range<u64>, NodeError> {
        self.change(|change| {
            let key = [b"index ", of.as_bytes()].concat();
            let first: u64 = change.get(Table::Counters, &key)?.unwrap_or(0);
            let used_up = || NodeError::new("INDICES_USED_UP", format!("{of}: no {count} indices are left"));
            let end = first.checked_add(count).ok_or_else(used_up)?;
            change.put(Table::Counters, &key, &end)?;
            change.log(Event::Taken { of: of.to_owned(), first, count });
            Ok(first..end)
        })
    }
}

pub(super) fn spend(change: &mut Change, study: &[u8; 32], spend: &Spend) -> Result<(), NodeError> {
    let after = spend.after(spent(change, study)?)?;
    change.put(Table::Counters, &budget(study), &after.in_study)?;
    // Also where the policy names no limit: one that comes later counts what was taken before.
    change.put(Table::Counters, IN_ALL, &after.in_all)?;
    change.log(Event::Reserved { study: *study, millionths: spend.millionths, spent: after.in_study });
    Ok(())
}

fn spent(rows: &impl Rows, study: &[u8; 32]) -> Result<Spent, NodeError> {
    let counter = |key: &[u8]| rows.get(Table::Counters, key).map(Option::unwrap_or_default);
    Ok(Spent { in_study: counter(&budget(study))?, in_all: counter(IN_ALL)? })
}

fn budget(study: &[u8; 32]) -> Vec<u8> {
    [b"epsilon ", study.as_slice()].concat()
}

/// No study's key: those are longer.
const IN_ALL: &[u8] = b"epsilon";
