//! What is used once: ε and δ of a study and of the site, and indices of correlations.

use std::ops::Range;

use super::State;
use super::audit::Event;
use super::limits::{Spend, Spent, Taken};
use super::store::{Change, Rows, Table};
use crate::fault::NodeError;

impl State {
    /// Takes ε and δ of a study, durably, both or neither. They are never given back, whether or not an answer comes. Of two that race for the last of it, one wins.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED`, `BAD_EPSILON`.
    pub fn reserve(&self, study: &[u8; 32], spend: &Spend) -> Result<(), NodeError> {
        self.change(|change| self::spend(change, study, spend))
    }

    /// What was taken of a study's budget, and of all studies' together.
    pub fn spent(&self, study: &[u8; 32]) -> Result<Spent, NodeError> {
        spent(&self.view()?, study)
    }

    /// The latter alone, of ε and of δ.
    pub fn spent_in_all(&self) -> Result<[u64; 2], NodeError> {
        let view = self.view()?;
        let counter = |key| view.get(Table::Counters, key).map(Option::unwrap_or_default);
        Ok([counter(EPSILON)?, counter(DELTA)?])
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
    for (what, taken) in [(EPSILON, after.epsilon), (DELTA, after.delta)] {
        change.put(Table::Counters, &of_study(what, study), &taken.in_study)?;
        // Also where the policy names no limit: one that comes later counts what was taken before.
        change.put(Table::Counters, what, &taken.in_all)?;
    }
    change.log(Event::Reserved {
        study: *study,
        millionths: spend.epsilon.takes,
        spent: after.epsilon.in_study,
        delta: spend.delta.takes,
        delta_spent: after.delta.in_study,
    });
    Ok(())
}

fn spent(rows: &impl Rows, study: &[u8; 32]) -> Result<Spent, NodeError> {
    let counter = |key: &[u8]| rows.get(Table::Counters, key).map(Option::unwrap_or_default);
    let taken = |what| -> Result<Taken, NodeError> {
        Ok(Taken { in_study: counter(&of_study(what, study))?, in_all: counter(what)? })
    };
    Ok(Spent { epsilon: taken(EPSILON)?, delta: taken(DELTA)? })
}

fn of_study(what: &[u8], study: &[u8; 32]) -> Vec<u8> {
    [what, b" ".as_slice(), study.as_slice()].concat()
}

/// What all studies took together. No study's key: those are longer.
const EPSILON: &[u8] = b"epsilon";

/// The same of δ.
const DELTA: &[u8] = b"delta";
