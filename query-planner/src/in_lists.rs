//! A guard against a wrong answer of DataFusion 55.2: it folds `k NOT IN (1, 2) OR k NOT IN (3)` to TRUE, and likewise every
//! other condition that holds for each value of `k`, although it is NULL, and so does not hold, where `k` is NULL. Such
//! conditions are written as what they mean before the simplifier sees them.

use datafusion_common::ScalarValue;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::expr::InList;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};

use crate::error::{PlanError, refuse};

/// Rewrites every expression of a plan.
pub(crate) fn guard(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let node = |node: LogicalPlan| node.map_expressions(|e| Ok(Transformed::yes(guarded(e, false))));
    plan.transform_up_with_subqueries(node).map(|changed| changed.data).map_err(|e| refuse(&e))
}

/// `negated` says whether an odd number of NOTs stands above.
fn guarded(expr: Expr, negated: bool) -> Expr {
    match expr {
        Expr::Not(inner) => Expr::Not(Box::new(guarded(*inner, !negated))),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if matches!(op, Operator::And | Operator::Or) => {
            let mut terms = Vec::new();
            flatten(*left, op, negated, &mut terms);
            flatten(*right, op, negated, &mut terms);
            // Read without NOTs, this is an OR.
            if (op == Operator::Or) != negated {
                terms = without_tautologies(terms, negated);
            }
            joined(terms, op)
        }
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(guarded(*alias.expr, negated));
            Expr::Alias(alias)
        }
        other => other,
    }
}

fn flatten(expr: Expr, op: Operator, negated: bool, terms: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: same, right }) if same == op => {
            flatten(*left, op, negated, terms);
            flatten(*right, op, negated, terms);
        }
        other => terms.push(guarded(other, negated)),
    }
}

/// Balanced, so that a long list of conditions does not nest deeply.
fn joined(mut terms: Vec<Expr>, op: Operator) -> Expr {
    if terms.len() == 1 {
        return terms.remove(0);
    }
    let right = terms.split_off(terms.len() / 2);
    Expr::BinaryExpr(BinaryExpr::new(Box::new(joined(terms, op)), op, Box::new(joined(right, op))))
}

/// Replaces the memberships of one subject that together hold for each of its values.
fn without_tautologies(terms: Vec<Expr>, negated: bool) -> Vec<Expr> {
    let memberships: Vec<Option<Membership>> = terms.iter().map(|term| Membership::of(term, negated)).collect();
    let mut subjects: Vec<&Expr> = Vec::new();
    for membership in memberships.iter().flatten() {
        if !subjects.contains(&&membership.subject) {
            subjects.push(&membership.subject);
        }
    }
    let always: Vec<&Expr> = subjects.into_iter().filter(|subject| holds_always(subject, &memberships)).collect();
    let mut kept: Vec<Expr> = always.iter().map(|subject| true_unless_null((*subject).clone(), negated)).collect();
    for (term, membership) in terms.into_iter().zip(&memberships) {
        if !membership.as_ref().is_some_and(|m| always.contains(&&m.subject)) {
            kept.push(term);
        }
    }
    kept
}

/// Is every value outside one of the excluded lists or in an included one?
fn holds_always(subject: &Expr, memberships: &[Option<Membership>]) -> bool {
    let ours = || memberships.iter().flatten().filter(|m| m.subject == *subject);
    let mut excluded = ours().filter(|m| !m.included);
    let Some(first) = excluded.next() else { return false };
    let rest: Vec<&Membership> = excluded.collect();
    let everywhere = first.values.iter().filter(|value| rest.iter().all(|m| m.values.contains(value)));
    let mut left = everywhere.filter(|value| !ours().any(|m| m.included && m.values.contains(value)));
    // A single NOT IN that nothing joins is left as it stands.
    ours().count() > 1 && left.next().is_none()
}

/// TRUE for a value, NULL for NULL; under a NOT the same with FALSE.
fn true_unless_null(subject: Expr, negated: bool) -> Expr {
    let null = lit(ScalarValue::Boolean(None));
    if negated { subject.is_null().and(null) } else { subject.is_not_null().or(null) }
}

/// `subject` is, or is not, one of these constants.
struct Membership {
    subject: Expr,
    values: Vec<ScalarValue>,
    included: bool,
}

impl Membership {
    fn of(term: &Expr, negated: bool) -> Option<Self> {
        let (subject, list, included) = match term {
            Expr::Not(inner) => return Self::of(inner, !negated),
            Expr::InList(InList { expr, list, negated }) => (expr, list.iter().collect(), !negated),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if matches!(op, Operator::Eq | Operator::NotEq) => {
                let (subject, value) = if left.as_literal().is_some() { (right, left) } else { (left, right) };
                (subject, vec![value.as_ref()], *op == Operator::Eq)
            }
            _ => return None,
        };
        let values: Option<Vec<ScalarValue>> =
            list.into_iter().map(|value: &Expr| value.as_literal().cloned()).collect();
        let values = values.filter(|values| values.iter().all(|v| !v.is_null()))?;
        Some(Self { subject: subject.as_ref().clone(), values, included: included != negated })
    }
}
