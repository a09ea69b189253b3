//! What an analyst should know about the dialect and the answer before believing a number.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use crate::plan::SecureSum;

/// Notes on integer division and the order of NULLs.
pub(crate) fn question(plan: &LogicalPlan, notes: &mut Vec<String>) {
    let (mut sorts, mut divides) = (false, false);
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        sorts |= matches!(node, LogicalPlan::Sort(_));
        let _ = node.apply_expressions(|top| {
            top.apply(|expr| {
                divides |= divides_integers(expr, node);
                Ok(TreeNodeRecursion::Continue)
            })
        });
        Ok(TreeNodeRecursion::Continue)
    });
    if divides {
        notes.push(
            "an integer divided by an integer is truncated, as in PostgreSQL: cast one to DOUBLE for a ratio".into(),
        );
    }
    if sorts {
        notes.push("ORDER BY puts NULLs last, with DESC first, as in PostgreSQL".into());
    }
}

/// What the analyst sees beyond the final answer, or does not.
pub(crate) fn finish(finish: &LogicalPlan, sums: &[SecureSum]) -> Option<String> {
    if sums.iter().any(|sum| sum.top.is_some()) {
        return Some(TOP.to_owned());
    }
    let mut hides = false;
    // The closure never fails.
    let _ = finish.apply_with_subqueries(|node| {
        hides |= matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Limit(_));
        Ok(TreeNodeRecursion::Continue)
    });
    hides.then(|| "HAVING, WHERE and LIMIT on revealed rows hide nothing: all groups are revealed first".to_owned())
}

const TOP: &str = "only the rows of the answer are revealed: of rows with equal figures those that ORDER BY, then the order of the \
                   keys, puts first; hidden figures come behind all shown ones";

fn divides_integers(expr: &Expr, node: &LogicalPlan) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = expr else { return false };
    let whole = |e: &Expr| {
        let data_type = node.inputs().into_iter().find_map(|input| e.get_type(input.schema().as_ref()).ok());
        data_type.is_some_and(|t| t.is_integer())
    };
    whole(left) && whole(right)
}
