//! What is used once: a study's ε, and indices of correlations.

use std::ops::Range;

use super::State;
use super::audit::Event;
use super::limits::Spend;
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

    /// What of a study's ε was taken, in millionths.
    pub fn spent(&self, study: &[u8; 32]) -> Result<u64, NodeError> {
        Ok(self.view()?.get(Table::Counters, &budget(study))?.unwrap_or(0))
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
    let key = budget(study);
    let spent = spend.after(change.get(Table::Counters, &key)?.unwrap_or(0))?;
    change.put(Table::Counters, &key, &spent)?;
    change.log(Event::Reserved { study: *study, millionths: spend.millionths, spent });
    Ok(())
}

fn budget(study: &[u8; 32]) -> Vec<u8> {
    [b"epsilon ", study.as_slice()].concat()
}
