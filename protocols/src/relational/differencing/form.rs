//! In which bins a patient counts once, and which way takes fewer OTs.

use std::time::Duration;

use super::telescope;
use super::{Ledgered, MAX_ANDS};
#[cfg(doc)]
use crate::correlation::Budget;
use crate::matching::rows;

/// How a patient whom several sites have is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// In the bins of its first site, with what all sites behind that say: every site is matched with all others, and differences are bits,
    /// which are counted or thrown into buckets.
    #[default]
    Once,
    /// In every site's bins: where its sets differ by what the sites up to there say, less where they did by what the sites before that say.
    /// Every site is matched with those before it, and differences are numbers with a sign, which buckets do not count.
    Telescoped,
}

impl Form {
    /// How often a circuit of counted sets is evaluated, in the bins of all sites together: once in each, or there with what the receiver says
    /// and without, where the first receiver has nothing without.
    pub(super) fn evaluations(self, sites: usize) -> usize {
        match self {
            Form::Once => sites,
            Form::Telescoped => (2 * sites).saturating_sub(1),
        }
    }
}

impl Ledgered {
    /// The form that takes fewer OTs among so many sites: telescoped for few pairs of sets or few patients, where it can be. Never one beyond
    /// the reviewed sizes where the other is within them. Public: of circuits, which a party that is no site does not have, it looks at what
    /// sites say that they take.
    pub fn in_cheapest_form(self, sites: usize) -> Self {
        let bins = rows(self.patients) * sites;
        let fits = bins.saturating_mul(self.counts()) <= MAX_ANDS / 8;
        let circuits = |form| self.circuit_ots(form, sites);
        let telescoped = self.telescoped_ots(sites, bins).saturating_add(circuits(Form::Telescoped));
        let is_cheaper = telescoped < self.once_ots(sites, bins).saturating_add(circuits(Form::Once));
        let telescopes = self.can_telescope() && fits && is_cheaper;
        Self { form: if telescopes { Form::Telescoped } else { Form::Once }, ..self }
    }

    /// What is left of a set without a site's own part is of bits; and where patients have several keys, who finds whom may depend on who
    /// asks.
    pub(super) fn can_telescope(&self) -> bool {
        self.seen.is_empty() && self.passes == 1 && self.further.keys() == 0
    }

    /// How many pairs are counted.
    pub(super) fn counts(&self) -> usize {
        self.pairs.len() + self.or_equal.len() + self.sized().len()
    }

    /// About how many OTs counting takes in so many bins of all sites together.
    pub(super) fn telescoped_ots(&self, sites: usize, bins: usize) -> usize {
        let (of_set, of_pair) = telescope::ots(sites);
        (bins / sites.max(1)).saturating_mul(self.sets * of_set + self.counts() * of_pair)
    }

    /// The same of the other form, with the matchings that this one does not need.
    fn once_ots(&self, sites: usize, bins: usize) -> usize {
        let matched = (bins / 2).saturating_mul(sites.saturating_sub(1) * OTS_OF_MATCHING);
        // In the bins of site j, counted from 0, the sets of N − j sites.
        let joint = (bins / sites.max(1)).saturating_mul(self.sets * (sites * (sites + 1) / 2).saturating_sub(1));
        let (_, counted) = self.counting_once(sites, bins);
        matched.saturating_add(joint.saturating_add(counted).saturating_mul(sites * sites.saturating_sub(1)))
    }

    /// About how many OTs the circuits of counted sets take: an AND of N sites takes N(N − 1), for which [`Budget::busy`] says 2N² microseconds.
    fn circuit_ots(&self, form: Form, sites: usize) -> usize {
        let (micros, sites) = (self.busy_in(form, sites).as_micros(), sites.max(1) as u128);
        usize::try_from(micros * (sites - 1) / (2 * sites)).unwrap_or(usize::MAX)
    }

    /// What [`Ledgered::busy`] is in a form.
    pub(super) fn busy_in(&self, form: Form, sites: usize) -> Duration {
        let evaluations = |form: Form| form.evaluations(sites).max(1) as u32;
        self.busy.saturating_mul(evaluations(form)) / evaluations(Form::Once)
    }
}

/// Of a bin that is matched with one sender: an equality, and about as much for the OPRF and the payload.
const OTS_OF_MATCHING: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(patients: usize, pairs: usize) -> Ledgered {
        let pairs = (0..pairs).map(|old| (0, old + 1)).collect::<Vec<_>>();
        Ledgered { patients, passes: 1, sets: pairs.len() + 1, pairs, least: 11, ..Ledgered::default() }
    }

    #[test]
    fn few_pairs_telescope_and_many_are_thrown_into_buckets() {
        for sites in [2, 3, 5] {
            assert_eq!(shape(2000, 10).in_cheapest_form(sites).form, Form::Telescoped, "{sites} sites");
            let many = Ledgered { pairs: vec![(0, 1); 3000], ..shape(100_000, 1) };
            assert_eq!(many.in_cheapest_form(sites).form, Form::Once, "{sites} sites");
        }
    }

    #[test]
    fn whatever_one_form_can_compare_is_compared() {
        for sites in [2, 3, 5, 8] {
            for patients in [2000, 100_000, 500_000, 2_000_000] {
                let rows = rows(patients) * sites;
                for old in [1, 20, 60, 150, 500, 1000, 5000] {
                    let shape = shape(patients, old);
                    let ands = |shape: &Ledgered| shape.counting(sites, rows).1;
                    let chosen = shape.clone().in_cheapest_form(sites);
                    let is_within = ands(&shape) > MAX_ANDS || ands(&chosen) <= MAX_ANDS;
                    assert!(is_within, "{sites} sites, {patients} patients, {old} earlier sets");
                }
            }
        }
    }

    #[test]
    fn circuits_that_are_dear_are_not_evaluated_before_and_after() {
        for sites in [2, 3, 5] {
            let (bins, shape) = (rows(2000) * sites, shape(2000, 10));
            let saved = shape.once_ots(sites, bins) - shape.telescoped_ots(sites, bins);
            let form = |busy| Ledgered { busy, ..shape.clone() }.in_cheapest_form(sites).form;
            // N − 1 evaluations of 2N − 1 are more than the other form has; of an AND's 2N² microseconds N(N − 1) are OTs.
            let even = (saved * 2 * sites * sites / (sites - 1).pow(2)) as u64;
            assert_eq!(form(Duration::from_micros(even * 9 / 10)), Form::Telescoped, "{sites} sites");
            assert_eq!(form(Duration::from_micros(even * 11 / 10)), Form::Once, "{sites} sites");
            assert_eq!(form(Duration::MAX), Form::Once, "{sites} sites");
        }
    }

    #[test]
    fn what_every_site_sees_and_patients_with_several_keys_do_not_telescope() {
        let form = |shape: Ledgered| shape.in_cheapest_form(3).form;
        assert_eq!(form(shape(2000, 1)), Form::Telescoped);
        assert_eq!(form(Ledgered { seen: vec![(0, 1)], ..shape(2000, 1) }), Form::Once);
        assert_eq!(form(Ledgered { passes: 2, ..shape(2000, 1) }), Form::Once);
    }
}
