//! Which slots of a sum are numbers of rows that may be too few to show, and which of them count different rows.

use std::collections::BTreeSet;

use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, LogicalPlan, Operator};

use crate::error::PlanError;
use crate::people::Whom;
use crate::plan::{Output, Ring, Slot, Summand};
use crate::relate::contradicts;
use crate::slots::Slots;

impl Slots<'_> {
    /// The cells that count: the rows of a group, the rows behind every output, those that meet a literal's condition, and sums that are
    /// counts themselves.
    ///
    /// # Errors
    /// `TOO_MANY_ROWS` when a count could exceed 63 bits.
    pub(crate) fn cells(&self, outputs: &[Output]) -> Result<Vec<usize>, PlanError> {
        let counts = outputs.iter().filter_map(|output| output.count(&self.orders));
        let literals = self.supports.iter().filter(|support| support.leaves.is_empty()).map(|support| support.cell);
        let mut cells: Vec<usize> = counts.chain([0]).chain(self.ones.iter().copied()).chain(literals).collect();
        cells.sort_unstable();
        cells.dedup();
        let too_wide =
            |slot: &&usize| self.slots[**slot].ring != Ring::Z64 || self.slots[**slot].partial_bits > MAX_BITS;
        match cells.iter().find(too_wide) {
            None => Ok(cells),
            Some(_) => {
                Err(PlanError::new("TOO_MANY_ROWS", "the public row bounds are too large to compare counts under them")
                    .hint("declare max_rows of the tables in network.toml"))
            }
        }
    }

    /// Sets of cells whose conditions exclude each other: `FILTER (WHERE x = 1)`, `FILTER (WHERE x = 2)`…
    pub(crate) fn disjoint(&self, cells: &[usize]) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<(usize, &Expr)>> = Vec::new();
        let conditioned = cells.iter().filter_map(|slot| Some((*slot, self.condition(&self.slots[*slot])?)));
        for (slot, condition) in conditioned {
            let at = sets.iter().position(|set| set.iter().all(|(_, other)| excludes(condition, other)));
            match at {
                Some(at) => sets[at].push((slot, condition)),
                None => sets.push(vec![(slot, condition)]),
            }
        }
        let slots = |set: Vec<(usize, &Expr)>| set.into_iter().map(|(slot, _)| slot).collect();
        sets.into_iter().filter(|set| set.len() > 1).map(slots).collect()
    }

    /// Refuses three and more choices of a group's rows whose relation is not plain: from counts of overlapping choices the
    /// count of a further one follows (inclusion and exclusion), and rules for pairs do not see it.
    ///
    /// # Errors
    /// `RELATED_TABLES`.
    pub(crate) fn understood(&self, cells: &[usize]) -> Result<(), PlanError> {
        let rows: Vec<&Expr> = cells.iter().filter_map(|slot| self.condition(&self.slots[*slot])).collect();
        // Patients with such rows: where rows exclude each other patients may not, but then no count is that of a union.
        let patients: Vec<&Expr> = self.people.iter().filter_map(Whom::condition).collect();
        if cells.is_empty() || are_understood(&rows) && are_understood(&patients) {
            return Ok(());
        }
        Err(overlapping())
    }

    /// What a row must meet to be counted, if the slot counts rows that meet something.
    fn condition(&self, slot: &Slot) -> Option<&Expr> {
        let expr = |column: usize| self.columns.get(column).map(|(_, expr)| expr);
        match (slot.what, slot.filter) {
            (Summand::Rows, Some(filter)) => expr(filter),
            (Summand::NotNull(column), None) => chosen(expr(column)?, false),
            (Summand::Value(column), None) => chosen(expr(column)?, true),
            _ => None,
        }
    }
}

pub(crate) fn overlapping() -> PlanError {
    let text = "three or more counts choose rows by conditions that may overlap, so that a hidden small cell might follow \
                from them together";
    PlanError::new("RELATED_TABLES", text)
        .hint("let the conditions exclude each other (x < 18, x BETWEEN 18 AND 64…) or narrow each other (a, a AND b…), or GROUP BY")
}

pub(crate) fn are_understood(conditions: &[&Expr]) -> bool {
    let all = |holds: &dyn Fn(&Expr, &Expr) -> bool| {
        conditions.iter().enumerate().all(|(i, a)| conditions[i + 1..].iter().all(|b| holds(a, b)))
    };
    conditions.len() < 3 || all(&excludes) || all(&|a, b| narrows(a, b) || narrows(b, a))
}

/// Can no row meet both?
pub(crate) fn excludes(a: &Expr, b: &Expr) -> bool {
    let theirs = split_conjunction(b);
    split_conjunction(a).iter().any(|a| theirs.iter().any(|b| contradicts(a, b)))
}

/// Does every row that meets `a` meet `b`?
pub(crate) fn narrows(a: &Expr, b: &Expr) -> bool {
    let ours = split_conjunction(a);
    split_conjunction(b).iter().all(|b| ours.contains(b))
}

/// Could the values of this expression say how many rows meet a condition? A single `CASE WHEN c THEN x END` may: what it counts is
/// counted, as the rows where it is not NULL.
pub(crate) fn carries_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => carries_condition(&alias.expr),
        Expr::Cast(cast) => carries_condition(&cast.expr),
        Expr::Case(case) => {
            let [(_, then)] = &case.when_then_expr[..] else { return true };
            let is_null = |e: &Expr| matches!(e, Expr::Literal(scalar, _) if scalar.is_null());
            case.expr.is_some() || !case.else_expr.as_deref().is_none_or(is_null) || decides(then)
        }
        other => decides(other),
    }
}

/// The columns below an aggregate whose values are made by a condition, or by the branch of a union that they come from.
pub(crate) fn conditional_columns(input: &LogicalPlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Nodes come before their inputs, so names travel up one level a pass.
    loop {
        let before = names.len();
        collect_conditional(input, &mut names);
        if names.len() == before {
            return names;
        }
    }
}

fn collect_conditional(input: &LogicalPlan, names: &mut BTreeSet<String>) {
    // The closure never fails.
    let _ = input.apply_with_subqueries(|node| {
        let made = match node {
            LogicalPlan::Projection(_) | LogicalPlan::Window(_) | LogicalPlan::Aggregate(_) => node.expressions(),
            _ => Vec::new(),
        };
        for expr in made {
            let inner = expr.clone().unalias_nested().data;
            let known = inner.column_refs().iter().any(|column| names.contains(&column.name));
            if known || matches!(inner, Expr::Literal(..)) || carries_condition(&inner) {
                names.insert(expr.qualified_name().1);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
}

/// Is there a condition anywhere in it?
fn decides(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(match e {
            Expr::Case(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Like(_) => true,
            Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) | Expr::SimilarTo(_) => true,
            Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
            Expr::Between(_) | Expr::InList(_) => true,
            Expr::BinaryExpr(binary) => !matches!(
                binary.op,
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
            ),
            // COUNT(x) counts the rows where x is there, which an outer join or a column can make a condition.
            Expr::AggregateFunction(call) => call.params.filter.is_some() || counts_present(call),
            _ => false,
        })
    })
    .unwrap_or(true)
}

fn counts_present(call: &AggregateFunction) -> bool {
    let constant = |e: &Expr| matches!(e, Expr::Literal(scalar, _) if !scalar.is_null());
    call.func.name() == "count" && !call.params.args.iter().all(constant)
}

/// The condition of `CASE WHEN c THEN x END`, or for a sum also of `CASE WHEN c THEN 1 ELSE 0 END`.
fn chosen(expr: &Expr, is_sum: bool) -> Option<&Expr> {
    let case = match expr {
        Expr::Alias(alias) => return chosen(&alias.expr, is_sum),
        Expr::Cast(cast) => return chosen(&cast.expr, is_sum),
        Expr::Case(case) => case,
        _ => return None,
    };
    let [(when, _)] = &case.when_then_expr[..] else { return None };
    let nothing = |e: &Expr| match e {
        Expr::Literal(scalar, _) => scalar.is_null() || is_sum && *scalar == ScalarValue::Int64(Some(0)),
        _ => false,
    };
    (case.expr.is_none() && case.else_expr.as_deref().is_none_or(nothing)).then_some(&**when)
}

/// A count of 20 sites then has at most 55 bits, and a comparison of counts fits its ring.
pub(crate) const MAX_BITS: u32 = 50;
