//! How much of a sum is whose, where small cells are hidden: what a figure of value adds up, term by term, so that the patients whose
//! term is not 0 can be counted as those who have a row are.
//!
//! # Source
//! Thresholds for magnitude tables: Hundepool et al., Statistical Disclosure Control, Wiley 2012, chapter 4. Deviation: a cell counts
//! who contributes something else to each term than 0 or an end of a short range; dominance of one contributor is not judged.

mod flow;
mod resting;
mod rows;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, LogicalPlan};

use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};
use crate::matching::home;
use crate::slots::Kind;
use crate::words::words;
pub(crate) use flow::{Atom, Atoms};
use flow::{Flow, Rows};
pub(crate) use resting::{hull, not_one_of_two, resting, short_ends};
pub(crate) use terms::{Term, are_apart};

/// The rows of a release point, for the figures of value over them.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    rows: Rows<'a>,
    /// What the group keys tell about.
    keys: Atoms,
    /// What the figures read so far measure.
    pub powers: Powers,
}

/// What is measured, each with the products that it is measured in.
pub(crate) type Powers = BTreeSet<(Atom, String)>;

impl<'a> Measured<'a> {
    pub fn of(aggregate: &Aggregate, catalog: &'a Catalog) -> Measured<'a> {
        let rows = Rows::of(&aggregate.input, catalog);
        let keys = aggregate.group_expr.iter().flat_map(|key| rows.told(key)).collect();
        Measured { rows, keys, powers: Powers::new() }
    }

    /// The terms of a figure, each with what it measures. `squares`: are products of terms added up too?
    ///
    /// # Errors
    /// `SUM_NOT_JUDGED`, `MEASURE_IN_CONDITION`.
    pub fn figure(&mut self, call: &AggregateFunction, squares: bool) -> Result<Vec<(Term, Atoms)>, PlanError> {
        let [arg] = &call.params.args[..] else { return Ok(Vec::new()) };
        let terms = self.rows.terms(arg)?;
        if squares && terms.iter().filter(|term| !term.is_literal()).count() > 1 {
            return Err(terms::not_judged(arg));
        }
        self.counts_rows_once(call)?;
        let mut flow = self.rows.flow_of(&terms);
        self.rows.filter_of(call, &mut flow);
        let Flow { made_of, chosen, .. } = flow;
        let conditions = [&self.rows.excluded, &self.keys, &chosen];
        if let Some(atom) = made_of.iter().find(|atom| conditions.iter().any(|atoms| atoms.contains(atom))) {
            return Err(in_condition(atom));
        }
        let measured = |term: &Term| self.rows.flow_of(&[Term { when: Vec::new(), ..term.clone() }]).made_of;
        let terms: Vec<(Term, Atoms)> = terms.iter().map(|term| (term.clone(), measured(term))).collect();
        // Two names can stand for one column.
        if terms::overlap(&terms, |(term, _)| &term.when, |(_, a), (_, b)| !a.is_disjoint(b)) {
            return Err(terms::not_judged(arg));
        }
        self.measure(&terms, squares).then_some(terms).ok_or_else(|| terms::not_judged(arg))
    }

    /// Notes what a figure measures. False: more than [`MOST_FACTORS`] columns are multiplied.
    fn measure(&mut self, terms: &[(Term, Atoms)], squares: bool) -> bool {
        for (term, atoms) in terms.iter().filter(|(term, _)| term.leaf.is_some()) {
            let (name, factors) = (self.rows.name_of(term), self.rows.factors(term));
            let square = squares.then(|| format!("{name} * {name}"));
            if factors * (1 + usize::from(squares)) > MOST_FACTORS {
                return false;
            }
            for name in [name].into_iter().chain(square) {
                self.powers.extend(atoms.iter().map(|atom| (atom.clone(), name.clone())));
            }
        }
        true
    }

    /// Refuses a figure over rows that the question repeats: the patients behind it do not say how often each of them counts.
    ///
    /// # Errors
    /// `SUM_NOT_JUDGED`.
    pub fn counts_rows_once(&self, call: &AggregateFunction) -> Result<(), PlanError> {
        if !self.rows.is_weighted {
            return Ok(());
        }
        let what = call.params.args.first().map_or_else(|| "rows".to_owned(), words);
        let hint = format!(
            "write each table once, and no rows of your own, or count patients: COUNT(DISTINCT {})",
            self.rows.catalog.patient_key
        );
        Err(terms::refusal(&format!("{what}, whose rows the question repeats,")).hint(hint))
    }

    /// Refuses a sum of distinct values: a value that somebody else has too adds nothing, and nobody's term says so.
    ///
    /// # Errors
    /// `SUM_NOT_JUDGED`.
    pub fn no_distinct(&self, call: &AggregateFunction) -> Result<(), PlanError> {
        match call.params.args.first().filter(|_| call.params.distinct) {
            Some(arg) => Err(terms::refusal(&format!("DISTINCT {}", words(arg))).hint("leave out DISTINCT")),
            None => Ok(()),
        }
    }

    /// Does one of these figures add up a column that is a sum of terms itself?
    fn needs_more(&self, aggregate: &Aggregate) -> bool {
        let refused = |expr: &Expr| match expr.clone().unalias() {
            Expr::AggregateFunction(call) if Kind::of(call.func.name()).is_some_and(|kind| kind != Kind::Count) => {
                call.params.args.iter().any(|arg| self.rows.terms(arg).is_err())
            }
            _ => false,
        };
        aggregate.aggr_expr.iter().any(refused)
    }
}

/// The same aggregate over what its columns are made of, as far as sums need it to be read term by term.
///
/// # Errors
/// What DataFusion refuses.
pub(crate) fn written_out(aggregate: &Aggregate, catalog: &Catalog) -> Result<Aggregate, PlanError> {
    let mut aggregate = aggregate.clone();
    while Measured::of(&aggregate, catalog).needs_more(&aggregate) {
        let below = |column: &Column| match aggregate.input.as_ref() {
            LogicalPlan::Projection(p) => {
                Some(home::unnamed(p.expr.get(p.schema.maybe_index_of_column(column)?)?.clone()))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let at = alias.schema.maybe_index_of_column(column)?;
                Some(Expr::from(alias.input.schema().qualified_field(at)))
            }
            _ => None,
        };
        let input = match aggregate.input.as_ref() {
            LogicalPlan::Projection(p) => p.input.clone(),
            LogicalPlan::SubqueryAlias(alias) => alias.input.clone(),
            _ => break,
        };
        let put = |expr: &Expr| {
            let inner = expr.clone().transform_up(|e| {
                let found = if let Expr::Column(column) = &e { below(column) } else { None };
                Ok(found.map_or_else(|| Transformed::no(e), Transformed::yes))
            });
            inner.map(|changed| changed.data)
        };
        let keys = aggregate.group_expr.iter().map(put).collect::<Result<_, _>>().map_err(|e| refuse(&e))?;
        let figures = aggregate.aggr_expr.iter().map(put).collect::<Result<_, _>>().map_err(|e| refuse(&e))?;
        aggregate =
            Aggregate::try_new_with_schema(input, keys, figures, aggregate.schema.clone()).map_err(|e| refuse(&e))?;
    }
    Ok(aggregate)
}

/// Refuses questions that measure one thing in many ways: from as many power sums as there are different values, it follows how many
/// patients have each (Newton's identities), and of few patients their values.
///
/// # Errors
/// `SUM_NOT_JUDGED`.
pub(crate) fn few_powers<'p>(all: impl Iterator<Item = &'p Powers>) -> Result<(), PlanError> {
    let mut ways: BTreeMap<&Atom, BTreeSet<&str>> = BTreeMap::new();
    for (atom, name) in all.flatten() {
        ways.entry(atom).or_default().insert(name);
    }
    match ways.into_iter().find(|(_, names)| names.len() > MOST_WAYS) {
        None => Ok(()),
        Some((atom, names)) => {
            let names: Vec<&str> = names.into_iter().collect();
            let text = format!(
                "small cells are hidden, and {atom} is measured in {} ways ({}), from which follows how many patients have a value",
                names.len(),
                names.join(", ")
            );
            Err(PlanError::new("SUM_NOT_JUDGED", text)
                .hint(format!("measure it in at most {MOST_WAYS} ways, as x and x * x, or ask with --epsilon")))
        }
    }
}

/// Of columns multiplied in a term, the terms of a variance squared.
const MOST_FACTORS: usize = 2;
/// One column and its square, or its product with another.
const MOST_WAYS: usize = 2;

fn in_condition(atom: &Atom) -> PlanError {
    let text = format!(
        "small cells are hidden, and {atom} is both summed and in a condition or a group key: a condition could fix everybody's value but one"
    );
    PlanError::new("MEASURE_IN_CONDITION", text).hint(
        "keep it to a range that every row meets (x >= 5 AND x < 10, BETWEEN, IS NOT NULL), choose by another column, or ask with --epsilon",
    )
}
