//! How many correlations of each kind a program takes.

use std::collections::BTreeMap;
use std::time::Duration;

use mpc_core::{PartyId, PowerOfTwo};

use super::WordKind;
use crate::ot::Extension;

/// A set of sites that compute together, in party order.
pub type Group = Vec<PartyId>;

/// How carries run through adders and comparisons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Chains {
    /// Bit by bit: one AND a bit, a round for each. For local networks.
    #[default]
    Ripple,
    /// In logarithmic depth: twice the ANDs (more where all carries are wanted). For networks where a round is dear.
    Prefix,
}

/// Correlations of each kind. Two programs that run one after the other take the sum of their budgets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// What the counts were made for; the run does the same.
    pub chains: Chains,
    /// How OTs are made.
    pub extension: Extension,
    /// Words of 64 bit triples of each group.
    pub bit_triples: BTreeMap<Group, usize>,
    /// Ring triples by [`mpc_core::Ring::NAME`].
    pub ring_triples: BTreeMap<&'static str, usize>,
    /// Words of 64 random bits shared as bits and as numbers, by ring.
    pub dabits: BTreeMap<&'static str, usize>,
    /// Words of 64 random bits with a random number and their product, by ring.
    pub selections: BTreeMap<&'static str, usize>,
    /// Words of 64 random numbers of so many bits, shared as a number and as bits.
    pub edabits: BTreeMap<usize, usize>,
    /// Shuffles in the order in which they are used: rows, and the words of a row.
    pub shuffles: Vec<(usize, Vec<WordKind>)>,
}

impl Budget {
    /// Nothing yet.
    pub fn empty(chains: Chains, extension: Extension) -> Self {
        Self { chains, extension, ..Self::default() }
    }

    /// Is nothing needed?
    pub fn is_empty(&self) -> bool {
        *self == Self::empty(self.chains, self.extension)
    }

    /// How long somebody who does not compute should be ready to wait for those who do: a minute, and thirty times what OTs take
    /// on a machine of 2026. A lost site is noticed by its connection long before.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(60) + self.busy()
    }

    /// How long a site may work on its part of this before it comes to another's: thirty times what the OTs take.
    pub fn busy(&self) -> Duration {
        let groups = self.bit_triples.iter().map(|(group, words)| 128 * words * group.len().pow(2));
        let rings = self.ring_triples.values().sum::<usize>() * 64 + self.selections.values().sum::<usize>() * 256;
        let moved: usize = self.shuffles.iter().map(|(rows, _)| rows * rows.max(&2).ilog2() as usize).sum();
        let ots = groups.sum::<usize>() + (rings + self.dabits.values().sum::<usize>() * 128 + moved) * 16;
        Duration::from_micros(ots as u64)
    }

    /// What this budget holds beyond `part`, of which it is a continuation: the same shuffles first, then more.
    pub fn without(mut self, part: &Budget) -> Self {
        fn subtract<K: Ord>(from: &mut BTreeMap<K, usize>, part: &BTreeMap<K, usize>) {
            from.iter_mut().for_each(|(kind, count)| *count -= part.get(kind).copied().unwrap_or(0).min(*count));
        }
        subtract(&mut self.bit_triples, &part.bit_triples);
        subtract(&mut self.ring_triples, &part.ring_triples);
        subtract(&mut self.dabits, &part.dabits);
        subtract(&mut self.selections, &part.selections);
        subtract(&mut self.edabits, &part.edabits);
        self.shuffles.drain(..part.shuffles.len().min(self.shuffles.len()));
        self
    }

    pub(crate) fn add_bit_triples(&mut self, group: &[PartyId], words: usize) {
        *self.bit_triples.entry(group.to_vec()).or_default() += words;
    }

    pub(crate) fn add_ring_triples<R: PowerOfTwo>(&mut self, len: usize) {
        *self.ring_triples.entry(R::NAME).or_default() += len;
    }

    pub(crate) fn add_dabits<R: PowerOfTwo>(&mut self, words: usize) {
        *self.dabits.entry(R::NAME).or_default() += words;
    }

    pub(crate) fn add_selections<R: PowerOfTwo>(&mut self, words: usize) {
        *self.selections.entry(R::NAME).or_default() += words;
    }

    pub(crate) fn add_edabits(&mut self, bits: usize, words: usize) {
        *self.edabits.entry(bits).or_default() += words;
    }
}
