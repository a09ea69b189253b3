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
use trace::{Condition, Made, Tie, Trace};

/// See the module: of a table with its figures, and of its keys alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    /// Patients of two groups, as they are behind the figures.
    pub figures: bool,
    /// Patients who put in two keys, where these are agreed.
    pub keys: bool,
}

impl Near {
    pub fn of(aggregate: &Aggregate, catalog: &Catalog) -> Near {
        let (trace, keys) = trace::of(aggregate, catalog);
        let near = |conditions: usize| may_be_near(&trace, &keys, &trace.conditions[..conditions]);
        Near { figures: near(trace.conditions.len()), keys: near(trace.of_rows) }
    }
}

fn may_be_near(trace: &Trace<'_>, keys: &[Made], conditions: &[Condition]) -> bool {
    let classes = Classes::of(trace, |_| true);
    if trace.copied.iter().any(|source| keys.iter().any(|key| classes.has_one(&key.sources, *source))) {
        return true;
    }
    // What follows from the patient alone puts each patient into one group.
    let everywhere = Classes::of(trace, |tie| tie == Tie::Everywhere);
    let is_a_patients =
        |source: &usize| trace.patients.iter().any(|patient| everywhere.0[*patient] == everywhere.0[*source]);
    let named = keys.iter().flat_map(|key| key.sources.iter().copied()).filter(|source| !is_a_patients(source));
    let of_keys = classes.looked_up(classes.of_sources(&named.collect()), trace);
    keys.iter().any(|key| classes.of_sources(&key.sources).len() > 1)
        || of_keys.iter().any(|class| classes.is_of_two_columns(*class, trace))
        || conditions.iter().any(|condition| picks(condition, keys, &of_keys, &classes, trace))
        || trace.unions.iter().any(|branches| differ_by_key(branches, &of_keys, &classes, trace))
}

/// For each source the number of its class.
struct Classes(Vec<usize>);

impl Classes {
    /// What such ties make one.
    fn of(trace: &Trace<'_>, counts: impl Fn(Tie) -> bool) -> Self {
        let mut classes: Vec<usize> = (0..trace.leaves.len()).collect();
        let ties = trace.conditions.iter().filter(|condition| condition.tie.is_some_and(&counts));
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

    /// Is one of these in the class of that one?
    fn has_one(&self, sources: &BTreeSet<usize>, of: usize) -> bool {
        sources.iter().any(|source| self.0[*source] == self.0[of])
    }

    /// These and the columns by which the rows that have them are found, as of a dictionary.
    fn looked_up(&self, mut known: BTreeSet<usize>, trace: &Trace<'_>) -> BTreeSet<usize> {
        loop {
            let leaf = |source: &usize| trace.leaves[*source];
            let of_known = (0..self.0.len()).filter(|source| known.contains(&self.0[*source]));
            let leaves: BTreeSet<usize> = of_known.map(|source| leaf(&source)).collect();
            let ties = trace.conditions.iter().filter(|condition| condition.tie.is_some());
            let ties = ties.filter(|tie| !tie.sources.is_subset(&trace.patients));
            let ties = ties.filter(|tie| tie.sources.iter().any(|source| leaves.contains(&leaf(source))));
            let found: BTreeSet<usize> = ties.flat_map(|tie| self.of_sources(&tie.sources)).collect();
            if found.is_subset(&known) {
                return known;
            }
            known.extend(found);
        }
    }

    /// Are two columns of one table tied to each other, or two columns to a list?
    fn is_of_two_columns(&self, class: usize, trace: &Trace<'_>) -> bool {
        let sources: Vec<usize> = (0..self.0.len()).filter(|source| self.0[*source] == class).collect();
        let leaves: BTreeSet<usize> = sources.iter().map(|source| trace.leaves[*source]).collect();
        let ends_in_list = |condition: &&Condition| {
            let mut lists = condition.sources.iter().map(|source| trace.lists.contains(source));
            condition.tie.is_some()
                && self.has_one(&condition.sources, sources[0])
                && lists.clone().any(|is| is)
                && !lists.all(|is| is)
        };
        leaves.len() < sources.len() || trace.conditions.iter().filter(ends_in_list).count() > 1
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
    condition.tie.is_none()
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
