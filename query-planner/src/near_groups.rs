//! May two groups of one table be of the same patients but for few whom the question picks? A patient can be in several groups. Where each
//! key is a column as the tables have it, and rows are chosen by conditions on other columns, every group's patients are chosen alike, and
//! how groups differ is what the tables say. A question can choose otherwise: by a key or a condition over a key and another column
//! (`kind = 1 OR z <> 115`), by a UNION whose branches are told apart, by a list beside which rows are repeated.
//!
//! What is followed are sources: a column of a table, the rows of a list, the branches of a UNION. Sources that an equality ties count as one
//! class. Where in doubt the answer is yes: then groups are compared, or keys are not agreed.

mod trace;

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion_expr::logical_plan::Aggregate;

use crate::catalog::Catalog;
use trace::{Condition, Made, Trace};

/// See the module.
pub(crate) fn near_groups(aggregate: &Aggregate, catalog: &Catalog) -> bool {
    let (trace, keys) = trace::of(aggregate, catalog);
    let classes = Classes::of(&trace);
    let of_keys: BTreeSet<usize> = keys.iter().flat_map(|key| classes.of_sources(&key.sources)).collect();
    let is_a_patients = |class: &usize| trace.patients.iter().any(|source| classes.0[*source] == *class);
    let is_copied = trace.copied.iter().any(|source| of_keys.contains(&classes.0[*source]));
    // What follows from the patient alone puts each patient into one group.
    if !is_copied && of_keys.iter().all(is_a_patients) {
        return false;
    }
    let mixed = keys.iter().any(|key| classes.of_sources(&key.sources).len() > 1);
    is_copied
        || mixed
        || of_keys.iter().any(|class| classes.is_of_two_columns(*class, &trace))
        || trace.conditions.iter().any(|condition| picks(condition, &keys, &of_keys, &classes, &trace))
        || trace.unions.iter().any(|branches| differ_by_key(branches, &of_keys, &classes, &trace))
}

/// For each source the number of its class.
struct Classes(Vec<usize>);

impl Classes {
    fn of(trace: &Trace<'_>) -> Self {
        let mut classes: Vec<usize> = (0..trace.leaves.len()).collect();
        let equal = trace.conditions.iter().filter(|condition| condition.equal.is_some());
        for sources in equal.map(|condition| &condition.sources).chain(&trace.tied) {
            let all: BTreeSet<usize> = sources.iter().map(|source| classes[*source]).collect();
            let Some(one) = all.first().copied() else { continue };
            classes.iter_mut().filter(|class| all.contains(class)).for_each(|class| *class = one);
        }
        Self(classes)
    }

    fn of_sources(&self, sources: &BTreeSet<usize>) -> BTreeSet<usize> {
        sources.iter().map(|source| self.0[*source]).collect()
    }

    /// Are two columns of one table tied to each other, or two of a list to something?
    fn is_of_two_columns(&self, class: usize, trace: &Trace<'_>) -> bool {
        let sources: Vec<usize> = (0..self.0.len()).filter(|source| self.0[*source] == class).collect();
        let leaves: BTreeSet<usize> = sources.iter().map(|source| trace.leaves[*source]).collect();
        let ties = |source: &usize| {
            let equal = trace.conditions.iter().filter_map(|condition| condition.equal.as_ref());
            equal.filter(|(a, b)| a.sources.contains(source) || b.sources.contains(source)).count()
        };
        leaves.len() < sources.len() || sources.iter().any(|source| trace.lists.contains(source) && ties(source) > 1)
    }

    /// Does the key say all of this class: is one the column as it is, and all that is equal to it?
    fn is_told(&self, class: usize, keys: &[Made], trace: &Trace<'_>) -> bool {
        let is_of = |made: &Made| made.sources.iter().any(|source| self.0[*source] == class);
        let equal = trace.conditions.iter().filter_map(|condition| condition.equal.as_ref());
        let mut equal = equal.filter(|(a, b)| is_of(a) || is_of(b));
        keys.iter().any(|key| is_of(key) && key.is_plain) && equal.all(|(a, b)| a.is_plain && b.is_plain)
    }
}

/// Does the condition choose rows by a key and something else at once?
fn picks(
    condition: &Condition,
    keys: &[Made],
    of_keys: &BTreeSet<usize>,
    classes: &Classes,
    trace: &Trace<'_>,
) -> bool {
    let looked_at = classes.of_sources(&condition.sources);
    condition.equal.is_none()
        && looked_at.len() > 1
        && !looked_at.is_disjoint(of_keys)
        && !looked_at.iter().all(|class| of_keys.contains(class) && classes.is_told(*class, keys, trace))
}

/// Is a key looked at in a branch under conditions that are not those of all branches?
fn differ_by_key(branches: &[Range<usize>], of_keys: &BTreeSet<usize>, classes: &Classes, trace: &Trace<'_>) -> bool {
    let mut conditions = branches.iter().flat_map(|branch| &trace.conditions[branch.clone()]);
    let is_looked_at = |condition: &Condition| !classes.of_sources(&condition.sources).is_disjoint(of_keys);
    conditions.any(is_looked_at) && !trace.are_chosen_alike(branches)
}
