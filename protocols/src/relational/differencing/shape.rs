//! What a check is of, as everybody knows it, and what a site enters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mpc_core::{Bits, Block};

use super::{Form, Method};
#[cfg(doc)]
use crate::correlation::Budget;
use crate::matching::{Further, PatientTable};
use crate::relational::patients::Circuit;

/// The public shape of a check; by default of nothing, which is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledgered {
    /// A bound of every site's patients; tables are padded to it.
    pub patients: usize,
    /// Ways to find a patient, at least one.
    pub passes: usize,
    /// Sets, new and old.
    pub sets: usize,
    /// Which are compared.
    pub pairs: Vec<(usize, usize)>,
    /// Which are compared too, but may be equal.
    pub or_equal: Vec<(usize, usize)>,
    /// Which of all these every site sees: they are compared once more without what each site says itself, and may then be equal. These
    /// sets are said, not [`Counted`] by the circuit alone.
    pub seen: Vec<(usize, usize)>,
    /// Ways in which a patient is found beside the first keys.
    pub further: Further,
    /// k, from 2 to 10,000: fewer differing patients are too few.
    pub least: u64,
    /// A figure of fewer patients is shown to nobody: two such sets of those that may be equal may be as near as they are. 0 where this is not
    /// asked.
    pub shown: u64,
    /// What working out the sets that are [`Counted`] may take whoever waits, in the form [`Form::Once`] and as [`Budget::busy`] says; nothing
    /// where all sets are said.
    pub busy: Duration,
    /// How patients are counted once: see [`Ledgered::in_cheapest_form`].
    pub form: Form,
}

impl Ledgered {
    /// How the differences of these pairs are counted among so many sites, whose bins have so many rows together, and about how many ANDs
    /// counting takes.
    pub fn counting(&self, sites: usize, rows: usize) -> (Method, usize) {
        let (method, ands) = self.counting_once(sites, rows);
        match self.form {
            Form::Once => (method, ands),
            Form::Telescoped => (method, rows.saturating_mul(self.counts())),
        }
    }

    pub(super) fn counting_once(&self, sites: usize, rows: usize) -> (Method, usize) {
        let may_be_equal = self.or_equal.len().saturating_add(self.seen.len().saturating_mul(sites));
        // Equal sets are looked for by themselves.
        let counts = self.pairs.len().saturating_add(may_be_equal.saturating_mul(2));
        let method = Method::cheapest(self.least, rows, counts);
        let sizes = self.sized().len();
        let of_sizes = Method::certain(self.shown, rows, sizes).ands(rows, sizes);
        (method, method.ands(rows, counts).saturating_add(of_sizes))
    }

    /// All pairs, those that may be equal last. Behind the sets stand those that [every site sees](Ledgered::seen_sets) without what the
    /// first site says, then without what the second says….
    pub(super) fn all(&self, sites: usize) -> Vec<(usize, usize)> {
        self.pairs.iter().copied().chain(self.may_be_equal(sites)).collect()
    }

    pub(super) fn may_be_equal(&self, sites: usize) -> Vec<(usize, usize)> {
        let sets = self.seen_sets();
        let place = |site: usize, set: usize| self.sets + site * sets.len() + sets.partition_point(|seen| *seen < set);
        let without = |site: usize| self.seen.iter().map(move |(a, b)| (place(site, *a), place(site, *b)));
        self.or_equal.iter().copied().chain((0..sites).flat_map(without)).collect()
    }

    /// The sets of the pairs that every site sees, each once, in order.
    pub(super) fn seen_sets(&self) -> Vec<usize> {
        sets_of(&self.seen)
    }

    /// The sets of which it is asked whether they are shown, each once, in order.
    pub(super) fn sized(&self) -> Vec<usize> {
        if self.shown == 0 { Vec::new() } else { sets_of(&self.or_equal) }
    }

    /// For each pair that may be equal the places of its sets among those of which it is asked whether they are shown; none where it counts in
    /// any case, as beside an earlier release.
    pub(super) fn shown_by(&self, sites: usize) -> Vec<Option<(usize, usize)>> {
        let (sized, own) = (self.sized(), self.or_equal.iter().copied().collect::<BTreeSet<_>>());
        let place = |set: usize| sized.partition_point(|sized| *sized < set);
        let of_pair =
            |pair: &(usize, usize)| (!sized.is_empty() && own.contains(pair)).then(|| (place(pair.0), place(pair.1)));
        let seen = (0..sites).flat_map(|_| &self.seen);
        self.or_equal.iter().chain(seen).map(of_pair).collect()
    }
}

fn sets_of(pairs: &[(usize, usize)]) -> Vec<usize> {
    pairs.iter().flat_map(|(a, b)| [*a, *b]).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Sets that are not said but follow: a patient's bits and numbers at all sites decide which sets it is in. Public. The flags for receiver
/// j are made of the columns of the sites j, j + 1, …; they are 0 for a patient of whom those know nothing.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Flags every set in every receiver's bins.
    pub circuit: Circuit,
    /// What every site enters, by site.
    pub columns: Vec<Columns>,
    /// Sets that are said all the same, by number: each site's column of bits for it, by site. The circuit flags whom any site says.
    pub said: BTreeMap<usize, Vec<usize>>,
}

impl Counted {
    /// Does each site have a column of its own for this set?
    pub(super) fn is_said(&self, set: usize) -> bool {
        let has = |said: &Vec<usize>| {
            said.len() == self.columns.len() && said.iter().zip(&self.columns).all(|(at, own)| *at < own.bits)
        };
        self.said.get(&set).is_some_and(has)
    }
}

/// The width of a site's table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of numbers.
    pub numbers: usize,
    /// Of bits.
    pub bits: usize,
}

/// What a site enters: its patients, and which sets each contributes to. Private: it does not print and is wiped when dropped.
pub struct SetTable(pub(super) PatientTable);

impl SetTable {
    /// For each pass the patients' keys (as [`PatientTable::keys`]), and bits, patients × sets.
    pub fn new(keys: Vec<Vec<Option<Block>>>, sets: Bits) -> Self {
        Self(PatientTable { keys, further: Vec::new(), numbers: Vec::new(), bits: sets })
    }

    /// What is known of patients by columns, where sets are [`Counted`], and patients have [further keys](PatientTable::further).
    pub fn of(table: PatientTable) -> Self {
        Self(table)
    }
}

impl fmt::Debug for SetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetTable({} patients, {} sets)", self.0.rows(), self.0.bits.width())
    }
}
