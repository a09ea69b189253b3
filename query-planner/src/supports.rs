//! Whose values are in a sum: for each term of a figure of value, and each value that many may share (`measured/resting.rs`), a cell of
//! its own, the patients who have another. It is judged as other cells are, and never opened; the figure is shown only with it.
//!
//! Which of these cells are related: a figure tells the sum over the patients of its cell, and two figures tell the sum over those in
//! which their cells differ only if both add up the same values, less the same for everybody. So cells that measure a column in common, beside
//! one value, are compared with each other, as counts are, and cells that do not are not: nothing but the figures depends on them, and a
//! sum of one column less one of another is a figure of nobody. Where the rows of a figure cannot have a value, all of them are its cell. A term that is a literal counts its condition's rows, and so is a count like others.

use std::collections::BTreeSet;

use datafusion_common::ScalarValue;
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, ExprSchemable, lit, when};
use serde::{Deserialize, Serialize};

use crate::bounds::Interval;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::measured::{Atom, Atoms, Term, are_apart, resting};
use crate::plan::{Exclusive, SecureSum, Summand};
use crate::slots::Slots;
use crate::small::{are_understood, excludes, overlapping};
use crate::words::words;

/// A cell that figures of value are shown with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Support {
    /// Its slot, one of the sum's cells.
    pub cell: usize,
    /// The slots that are shown only if it is large enough.
    pub figures: Vec<usize>,
    /// Numbers of the columns that it measures, each beside the value that its rows have not; none for a literal.
    pub leaves: Vec<usize>,
    /// Cells of others that have no row in common with it.
    pub apart: Vec<usize>,
}

/// A support while slots are being collected.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub cell: usize,
    pub figures: Vec<usize>,
    pub leaves: Vec<usize>,
    /// What chooses its rows, besides what they have not.
    pub conditions: Vec<Expr>,
    /// What its rows meet, without what DISTINCT leaves out; none where it is a count that there is anyway.
    pub rows: Option<Expr>,
    /// Said with one cell of each term: the cell of all that are in it, and which values they can have.
    pub whole: Option<(usize, Interval)>,
}

/// What a figure adds up of a rolled up column. An analyst chooses which rows such columns count, so that all but few patients may have the same of two,
/// or one row each.
#[derive(Debug, Clone)]
pub(crate) struct AddedUp {
    /// The cell that the figure is shown with.
    pub cell: usize,
    /// Of a row, 0 where it adds nothing.
    pub value: Expr,
    /// What rows meet that are in the figure.
    pub rows: Option<Expr>,
}

/// A column that is measured, and a value, unscaled.
pub(crate) type Leaf = (Atom, i128);

/// What a figure adds up.
pub(crate) struct Added<'e> {
    pub expr: &'e Expr,
    pub terms: Vec<(Term, Atoms)>,
    pub clause: Option<&'e Expr>,
}

impl SecureSum {
    /// Is a slot judged for figures of value alone, so that nothing but "large enough" comes out of it?
    pub fn is_support_only(&self, slot: usize) -> bool {
        let shown = slot == 0 || self.outputs.iter().any(|output| output.slots(self).contains(&slot));
        !shown && self.supports.iter().any(|support| support.cell == slot)
    }

    /// Does a slot count nothing but who is between two cells? It can be who stands behind a third, too.
    pub fn is_between_only(&self, slot: usize) -> bool {
        let shown = self.cells.contains(&slot) || self.outputs.iter().any(|output| output.slots(self).contains(&slot));
        let between = self.between.iter().any(|between| between.patients == slot);
        between && !shown && !self.patients.contains(&slot)
    }

    /// Can two cells tell something together: two counts, or two that measure something in common?
    pub(crate) fn are_related(&self, a: usize, b: usize) -> bool {
        self.counts(a) && self.counts(b) || measure_alike(&self.supports, a, b)
    }

    /// Is it a count, shown or not?
    pub(crate) fn counts(&self, cell: usize) -> bool {
        !self.is_support_only(cell) || self.supports.iter().any(|s| s.cell == cell && s.leaves.is_empty())
    }

    /// Has no row of one cell a place in the other?
    pub(crate) fn are_apart(&self, a: usize, b: usize) -> bool {
        are_apart_in(&self.disjoint, &self.supports, a, b)
    }

    /// The cells that a slot's figures are shown with, besides the count.
    pub(crate) fn supports_of(&self, slot: usize) -> impl Iterator<Item = usize> {
        self.supports.iter().filter(move |support| support.figures.contains(&slot)).map(|support| support.cell)
    }
}

/// Do two cells measure a column in common?
pub(crate) fn measure_alike(supports: &[Support], a: usize, b: usize) -> bool {
    let leaves = |cell: usize| supports.iter().filter(move |s| s.cell == cell).flat_map(|s| &s.leaves);
    leaves(a).any(|leaf| leaves(b).any(|other| other == leaf))
}

/// Has no row of one cell a place in the other, as sets of cells and supports say?
pub(crate) fn are_apart_in(disjoint: &[Exclusive], supports: &[Support], a: usize, b: usize) -> bool {
    disjoint.iter().any(|set| set.cells.contains(&a) && set.cells.contains(&b))
        || supports.iter().any(|support| support.cell == a && support.apart.contains(&b))
}

impl Slots<'_> {
    /// A cell for each term of a figure, and each value that many may share.
    pub(crate) fn supported(
        &mut self,
        added: &Added<'_>,
        filter: Option<usize>,
        count: usize,
        figures: &[usize],
    ) -> Result<(), PlanError> {
        let many = added.terms.iter().filter(|(term, _)| !term.is_literal()).count() > 1;
        let clause: Vec<Expr> = added.clause.into_iter().cloned().collect();
        for (term, atoms) in added.terms.iter().filter(|(term, _)| !term.is_literal()) {
            let resting = resting(term, &clause, self.scope)?;
            for (rest, mut rows) in resting.values {
                // A sum with a NULL in it is NULL.
                if many && !rows.is_empty() && self.scope.fact(added.expr).nullable {
                    rows.push(added.expr.clone().is_not_null());
                }
                let (cell, met) = match conjunction(rows) {
                    None => (count, None),
                    Some(met) => {
                        let there = when(met.clone(), lit(true)).end().map_err(|e| refuse(&e))?;
                        let text = words(&there);
                        let column = self.column("arg", there, text);
                        (self.count(Summand::NotNull(column), filter), Some(met))
                    }
                };
                let conditions = [&term.when[..], &clause].concat();
                let rows =
                    met.map(|met| conjunction(clause.iter().cloned()).map_or(met.clone(), |clause| met.and(clause)));
                let leaves = if resting.counts { Vec::new() } else { numbers(&mut self.leaves, atoms, rest) };
                let whole = whole(term, (rest, cell), count, resting.range);
                let drawn = Drawn { cell, figures: figures.to_vec(), leaves, conditions, rows, whole };
                if rest == 0 && !resting.counts && is_made(term, &self.made) {
                    self.supports.push(Drawn { leaves: Vec::new(), whole: None, ..drawn.clone() });
                }
                if rest == 0 && !resting.counts && is_made(term, &self.rolled_up) {
                    let (value, rows) = (added_up(term, &clause, self.scope)?, conjunction(clause.iter().cloned()));
                    self.added_up.push(AddedUp { cell, value, rows });
                }
                self.supports.push(drawn);
            }
        }
        Ok(())
    }

    /// The supports of a sum with these counts as cells.
    ///
    /// # Errors
    /// `RELATED_TABLES` where three and more sums of one column choose rows by conditions that overlap.
    pub(crate) fn supports(&self, counts: &[usize]) -> Result<Vec<Support>, PlanError> {
        for leaf in 0..self.leaves.len() {
            let chosen = self.supports.iter().filter(|s| s.leaves.contains(&leaf) && !s.conditions.is_empty());
            let mut rows: Vec<Expr> = Vec::new();
            for met in chosen.filter_map(|s| s.conditions.iter().cloned().reduce(Expr::and)) {
                if !rows.contains(&met) {
                    rows.push(met);
                }
            }
            if !are_understood(&rows.iter().collect::<Vec<_>>()) {
                return Err(overlapping());
            }
        }
        Ok(needed(&self.supports, counts, &self.leaves))
    }
}

/// The cell of all that are in a term: those who are not at 0 where nobody can be, else the count where no CASE chooses.
pub(crate) fn whole(
    term: &Term,
    (rest, cell): (i128, usize),
    count: usize,
    range: Option<Interval>,
) -> Option<(usize, Interval)> {
    let range = range.filter(|_| rest == 0)?;
    let is_zero_out = !(range.lo..=range.hi).contains(&0);
    let cell = if term.when.is_empty() { Some(count) } else { Some(cell).filter(|_| is_zero_out) };
    cell.map(|cell| (cell, range))
}

/// What a row adds by a term to a figure under a clause, 0 where it adds nothing.
///
/// # Errors
/// As types that do not fit.
pub(crate) fn added_up(term: &Term, clause: &[Expr], scope: &Scope<'_>) -> Result<Expr, PlanError> {
    let leaf = term.leaf.clone().unwrap_or_else(|| lit(1i64));
    let zero = ScalarValue::new_zero(&leaf.get_type(scope).map_err(|e| refuse(&e))?).map_err(|e| refuse(&e))?;
    let there = [leaf.clone().is_not_null()];
    let met = conjunction(term.when.iter().chain(clause).chain(&there).cloned()).unwrap_or_else(|| lit(true));
    when(met, leaf).otherwise(lit(zero)).map_err(|e| refuse(&e))
}

/// Is what a term measures made of such columns? What a condition below made may count who meets that, whatever else its values could be.
pub(crate) fn is_made(term: &Term, made: &BTreeSet<String>) -> bool {
    term.leaf.iter().flat_map(Expr::column_refs).any(|column| made.contains(&column.name))
}

/// Beside a value that a term cannot have, all that are in it.
fn beside_all(drawn: &[Drawn], leaves: &[Leaf]) -> Vec<Drawn> {
    let mut all = Vec::new();
    for (of, (cell, range)) in drawn.iter().filter_map(|of| Some((of, of.whole?))) {
        let measures = |atom: &Atom| of.leaves.iter().any(|leaf| leaves[*leaf].0 == *atom);
        let cannot = |(_, (atom, rest)): &(usize, &Leaf)| measures(atom) && !(range.lo..=range.hi).contains(rest);
        let beside: Vec<usize> = leaves.iter().enumerate().filter(cannot).map(|(leaf, _)| leaf).collect();
        if !beside.is_empty() {
            all.push(Drawn { cell, leaves: beside, rows: None, whole: None, ..of.clone() });
        }
    }
    all
}

/// Where the only cells that measure something are counts anyway, these are compared as counts, and nothing is added.
pub(crate) fn needed(drawn: &[Drawn], counts: &[usize], leaves: &[Leaf]) -> Vec<Support> {
    let drawn = [drawn, &beside_all(drawn, leaves)].concat();
    let is_new = |s: &&Drawn| !counts.contains(&s.cell);
    let needed = |s: &&Drawn| {
        let shares = |other: &Drawn| other.leaves.iter().any(|leaf| s.leaves.contains(leaf));
        is_new(s) || s.leaves.is_empty() || drawn.iter().filter(is_new).any(shares)
    };
    let mut supports: Vec<Support> = Vec::new();
    for s in drawn.iter().filter(needed) {
        let others = drawn.iter().filter(|other| other.cell != s.cell && has_no_row_of(s, other));
        let apart: Vec<usize> = others.map(|other| other.cell).collect();
        let known = supports.iter_mut().find(|known| known.cell == s.cell && known.leaves == s.leaves);
        match known {
            Some(known) => known.figures.extend(&s.figures),
            None => {
                supports.push(Support { cell: s.cell, figures: s.figures.clone(), leaves: s.leaves.clone(), apart })
            }
        }
    }
    for support in &mut supports {
        support.figures.sort_unstable();
        support.figures.dedup();
        support.apart.sort_unstable();
        support.apart.dedup();
    }
    supports
}

/// The numbers of what is measured, beside a value, among all that is.
pub(crate) fn numbers(known: &mut Vec<Leaf>, atoms: &Atoms, rest: i128) -> Vec<usize> {
    let mut number = |atom: &Atom| {
        let leaf = (atom.clone(), rest);
        known.iter().position(|other| *other == leaf).unwrap_or_else(|| {
            known.push(leaf);
            known.len() - 1
        })
    };
    atoms.iter().map(&mut number).collect()
}

fn has_no_row_of(a: &Drawn, b: &Drawn) -> bool {
    are_apart(&a.conditions, &b.conditions) || a.conditions.iter().any(|x| b.conditions.iter().any(|y| excludes(x, y)))
}
