//! May two groups of one table be of the same patients but for few whom the question picks? A patient can be in several groups. Where each
//! key is a column as the tables have it, and rows are chosen by conditions on other columns, every group's patients are chosen alike, and
//! how groups differ is what the tables say. A question can choose otherwise: by a key or a condition over a key and another column
//! (`kind = 1 OR z <> 115`), by a UNION whose branches are told apart, by a list beside which rows are repeated.
//!
//! What is followed are sources: a column of a table, the rows of a list, the branches of a UNION. Sources that an equality ties count as one
//! class, and a key that is looked up in another table, by a column that is no patient key, is a key by that column, too. Where in doubt the answer is
//! yes: then groups are compared, or keys are not agreed.

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
    let named: BTreeSet<usize> = keys.iter().flat_map(|key| classes.of_sources(&key.sources)).collect();
    if trace.copied.iter().any(|source| named.contains(&classes.0[*source])) {
        return true;
    }
    // What follows from the patient alone puts each patient into one group.
    let patients = classes.of_sources(&trace.patients);
    let looked_up = classes.looked_up(&named - &patients, &trace);
    let of_keys = &looked_up - &patients;
    keys.iter().any(|key| classes.of_sources(&key.sources).len() > 1)
        || of_keys.iter().any(|class| classes.is_of_two_columns(*class, &trace))
        || trace.conditions.iter().any(|condition| picks(condition, &keys, &of_keys, &classes, &trace))
        || trace.unions.iter().any(|branches| differ_by_key(branches, &of_keys, &classes, &trace))
}

/// For each source the number of its class.
struct Classes(Vec<usize>);

impl Classes {
    fn of(trace: &Trace<'_>) -> Self {
        let mut classes: Vec<usize> = (0..trace.leaves.len()).collect();
        let ties = trace.conditions.iter().filter(|condition| condition.is_tie);
        for sources in ties.map(|condition| &condition.sources).chain(&trace.tied) {
            let all: BTreeSet<usize> = sources.iter().map(|source| classes[*source]).collect();
            let Some(one) = all.first().copied() else { continue };
            classes.iter_mut().filter(|class| all.contains(class)).for_each(|class| *class = one);
        }
        Self(classes)
    }

    fn of_sources(&self, sources: &BTreeSet<usize>) -> BTreeSet<usize> {
        sources.iter().map(|source| self.0[*source]).collect()
    }

    /// These and the columns by which the rows that have them are found, as of a dictionary.
    fn looked_up(&self, mut known: BTreeSet<usize>, trace: &Trace<'_>) -> BTreeSet<usize> {
        loop {
            let leaf = |source: &usize| trace.leaves[*source];
            let of_known = (0..self.0.len()).filter(|source| known.contains(&self.0[*source]));
            let leaves: BTreeSet<usize> = of_known.map(|source| leaf(&source)).collect();
            let ties = trace.conditions.iter().filter(|condition| condition.is_tie);
            let ties = ties.filter(|tie| !tie.sources.is_subset(&trace.patients));
            let ties = ties.filter(|tie| tie.sources.iter().any(|source| leaves.contains(&leaf(source))));
            let found: BTreeSet<usize> = ties.flat_map(|tie| self.of_sources(&tie.sources)).collect();
            if found.is_subset(&known) {
                return known;
            }
            known.extend(found);
        }
    }

    /// Are two columns of one table tied to each other, or two of a list to something?
    fn is_of_two_columns(&self, class: usize, trace: &Trace<'_>) -> bool {
        let sources: Vec<usize> = (0..self.0.len()).filter(|source| self.0[*source] == class).collect();
        let leaves: BTreeSet<usize> = sources.iter().map(|source| trace.leaves[*source]).collect();
        let ties = |source: &usize| {
            let ties = trace.conditions.iter().filter(|condition| condition.is_tie);
            ties.filter(|condition| condition.sources.contains(source)).count()
        };
        leaves.len() < sources.len() || sources.iter().any(|source| trace.lists.contains(source) && ties(source) > 1)
    }

    /// Does a key say all of this class: is it a column of a table as it is, as is all that is tied to it?
    fn is_told(&self, class: usize, keys: &[Made], trace: &Trace<'_>) -> bool {
        let is_of = |key: &Made| key.is_plain && key.sources.iter().any(|source| self.0[*source] == class);
        keys.iter().any(is_of) && !trace.lists.iter().any(|list| self.0[*list] == class)
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
    !condition.is_tie
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
