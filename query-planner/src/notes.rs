//! What an analyst should know about the dialect before believing a number.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

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

/// What the analyst sees beyond the final answer.
pub(crate) fn hidden_groups(finish: &LogicalPlan) -> Option<String> {
    let mut hides = false;
    // The closure never fails.
    let _ = finish.apply_with_subqueries(|node| {
        hides |= matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Limit(_));
        Ok(TreeNodeRecursion::Continue)
    });
    hides.then(|| "HAVING, WHERE and LIMIT on revealed rows hide nothing: all groups are revealed first".to_owned())
}

fn divides_integers(expr: &Expr, node: &LogicalPlan) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = expr else { return false };
    let whole = |e: &Expr| {
        let data_type = node.inputs().into_iter().find_map(|input| e.get_type(input.schema().as_ref()).ok());
        data_type.is_some_and(|t| t.is_integer())
    };
    whole(left) && whole(right)
}
