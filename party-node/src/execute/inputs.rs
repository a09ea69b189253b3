//! What this party puts in, in the order of the agreed groups. The analyst, and whoever only counts what a run needs,
//! puts in zeros of the same shape.

use std::collections::{HashMap, HashSet};

use mpc_core::{Ring, Z64};
use protocols::relational::union_sketch::{Seat, Sketch};
use query_planner::JointPlan;
use query_planner::matched::{Matching, Node};
use query_planner::plan::{Order, Path, SecureSum, Summand};

use crate::joint::{Rows, SKETCH, Values};
use crate::local::Partials;
use crate::local::patients::Patients;

/// One party's numbers by group.
pub struct Own<'a> {
    plan: &'a JointPlan,
    keys: Vec<Vec<Vec<u8>>>,
    partials: Option<&'a [Partials]>,
    /// `at[sum][group]`: where this party holds the group.
    at: Vec<Vec<Option<usize>>>,
    me: usize,
}

impl<'a> Own<'a> {
    /// Of a site with its partials, one for each sum, or of a party without rows. `keys[sum]` are the groups' encoded
    /// keys.
    pub fn new(plan: &'a JointPlan, keys: &[Vec<Vec<u8>>], partials: Option<&'a [Partials]>, me: usize) -> Self {
        let place = |sum: usize, key: &Vec<u8>| partials.and_then(|p| p[sum].keys.binary_search(key).ok());
        let at = keys.iter().enumerate().map(|(sum, keys)| keys.iter().map(|key| place(sum, key)).collect()).collect();
        Self { plan, keys: keys.to_vec(), partials, at, me }
    }

    /// A slot's numbers by group. Sized before it is filled, because a vector that grows leaves copies of unmasked
    /// partials behind that nobody wipes.
    pub fn slot<R: Ring>(&self, sum: usize, slot: usize, element: fn(i128) -> R) -> Vec<R> {
        let mut out = Vec::with_capacity(self.at[sum].len());
        out.extend(self.at[sum].iter().map(|at| element(self.number(sum, slot, *at))));
        out
    }

    /// What this party knows by itself of a slot's totals, by group: its rows, or its own patients where matched ones are counted.
    pub fn known(&self, sum: usize, slot: usize) -> Vec<Z64> {
        let of = &self.plan.sums[sum];
        let (Summand::Patients(node), Some(matching)) = (of.slots[slot].what, &of.matching) else {
            return self.slot(sum, slot, |x| Z64(x as u64));
        };
        let own = self.partials.and_then(|partials| partials[sum].patients.as_ref());
        let Some(own) = own else { return vec![Z64(0); self.at[sum].len()] };
        let mut counts: HashMap<&[u8], u64> = HashMap::new();
        for (tuple, _) in with(matching, own, node) {
            *counts.entry(tuple).or_default() += 1;
        }
        self.keys[sum].iter().map(|key| Z64(counts.get(&key[..]).copied().unwrap_or_default())).collect()
    }

    fn number(&self, sum: usize, slot: usize, at: Option<usize>) -> i128 {
        at.zip(self.partials).map_or(0, |(at, partials)| partials[sum].slots[slot][at])
    }

    /// What the positions of an order are found in.
    pub fn values(&self, sum: usize, order: usize) -> Values {
        let (whole, at) = (&self.plan.sums[sum], &self.at[sum]);
        let row_bits = row_bits(whole);
        let mut values = Values::new(at.len(), row_bits);
        let codes = |group: usize| {
            let held = at[group].zip(self.partials);
            held.map_or(&[][..], |(at, partials)| &partials[sum].orders[order][at])
        };
        let order = &whole.orders[order];
        match order.path {
            Path::Histogram { cells } => values.histogram = histogram(at.len(), cells as usize, codes),
            Path::Sort { rows_per_site } => {
                values.rows =
                    rows(self.block(whole), whole.contributors.len(), rows_per_site as usize, at.len(), codes);
            }
            Path::Local => values.found = found(order, at.len(), codes),
        }
        values
    }

    /// This party's sketch of each group, or nothing; and who puts in which.
    pub fn sketches(&self, sum: usize, sketch: usize) -> (Vec<Sketch>, Seat) {
        let whole = &self.plan.sums[sum];
        let sites = whole.contributors.len();
        let seat = Seat { me: self.block(whole).unwrap_or(sites), sites };
        let Some(partials) = self.partials.filter(|_| seat.me < sites) else { return (Vec::new(), seat) };
        let held = &partials[sum].sketches[sketch];
        let of_group = |at: &Option<usize>| at.map_or_else(|| Sketch::new(SKETCH), |at| held[at].clone());
        (self.at[sum].iter().map(of_group).collect(), seat)
    }

    /// This party's place among the contributors of a sum.
    fn block(&self, sum: &SecureSum) -> Option<usize> {
        let me = self.plan.sites.get(self.me)?;
        sum.contributors.iter().position(|site| site == me)
    }
}

/// Which of a site's own patients have a feature, or one of two and not the other, each with the keys; nobody, where it takes more to know.
fn with<'p>(matching: &Matching, own: &'p Patients, node: usize) -> HashSet<(&'p [u8], usize)> {
    match matching.nodes[node].node {
        Node::Feature(feature) => {
            let known = own.features.get(feature);
            let entries = known.into_iter().flat_map(|known| known.entries.iter().map(move |entry| (known, entry)));
            entries.map(|(known, entry)| (&known.tuples[entry.tuple][..], entry.patient)).collect()
        }
        Node::Differ(a, b) => &with(matching, own, a) ^ &with(matching, own, b),
        _ => HashSet::new(),
    }
}

/// Bits of the number of rows of all contributors.
pub fn row_bits(sum: &SecureSum) -> usize {
    let rows = sum.row_bound.saturating_mul(sum.contributors.len() as u64);
    (u64::BITS - rows.leading_zeros()) as usize
}

fn histogram<'c>(groups: usize, cells: usize, codes: impl Fn(usize) -> &'c [u64]) -> Vec<Z64> {
    let mut histogram = vec![Z64(0); groups * cells];
    for group in 0..groups {
        for code in codes(group) {
            let cell = &mut histogram[group * cells + *code as usize];
            *cell = Z64(cell.0 + 1);
        }
    }
    histogram
}

fn rows<'c>(
    block: Option<usize>,
    blocks: usize,
    rows_per_site: usize,
    groups: usize,
    codes: impl Fn(usize) -> &'c [u64],
) -> Rows {
    let all = blocks * rows_per_site;
    let mut rows = Rows { codes: vec![0; all], valid: vec![0; all], groups: vec![0; all] };
    let Some(block) = block else { return rows };
    let values = (0..groups).flat_map(|group| codes(group).iter().map(move |code| (group, *code)));
    for (row, (group, code)) in (block * rows_per_site..).zip(values) {
        (rows.codes[row], rows.valid[row], rows.groups[row]) = (code, 1, group as u64);
    }
    rows
}

fn found<'c>(order: &Order, groups: usize, codes: impl Fn(usize) -> &'c [u64]) -> Vec<Z64> {
    let mut found = Vec::with_capacity(groups * order.points.len());
    for group in 0..groups {
        // A code of 64 bits is itself; interpolated codes were bounded to fewer when the question was planned.
        found.extend(order.points.iter().map(|point| Z64(point.of_sorted(codes(group)) as u64)));
    }
    found
}
