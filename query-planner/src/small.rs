//! Which slots of a sum are numbers of rows that may be too few to show, and which of them count different rows.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use datafusion_expr::utils::split_conjunction;

use crate::error::PlanError;
use crate::plan::{Output, Ring, Slot, Summand};
use crate::relate::contradicts;
use crate::slots::Slots;

impl Slots<'_> {
    /// The cells: the rows of a group, the rows behind every output, and sums that are counts themselves.
    ///
    /// # Errors
    /// `TOO_MANY_ROWS` when a count could exceed 63 bits.
    pub(crate) fn cells(&self, outputs: &[Output]) -> Result<Vec<usize>, PlanError> {
        let counts = outputs.iter().filter_map(|output| match output {
            Output::Key(_) => None,
            Output::Count(slot) => Some(*slot),
            Output::Sum { count, .. } | Output::Avg { count, .. } | Output::Variance { count, .. } => Some(*count),
            Output::Point { order, .. } => Some(self.orders[*order].count),
        });
        let mut cells: Vec<usize> = counts.chain([0]).chain(self.ones.iter().copied()).collect();
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
            let excludes = |other: &Expr| {
                let theirs = split_conjunction(other);
                split_conjunction(condition).iter().any(|a| theirs.iter().any(|b| contradicts(a, b)))
            };
            let at = sets.iter().position(|set| set.iter().all(|(_, other)| excludes(other)));
            match at {
                Some(at) => sets[at].push((slot, condition)),
                None => sets.push(vec![(slot, condition)]),
            }
        }
        let slots = |set: Vec<(usize, &Expr)>| set.into_iter().map(|(slot, _)| slot).collect();
        sets.into_iter().filter(|set| set.len() > 1).map(slots).collect()
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
const MAX_BITS: u32 = 50;
