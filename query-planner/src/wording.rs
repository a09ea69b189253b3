//! Plans in words. Those that people read are DataFusion's, with what it leaves out; those by which it is known whether two plans look at the same
//! rows are longer and equal only where the plans are.

use std::fmt::Write;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion_common::{NullEquality, Result, ScalarValue};
use datafusion_expr::logical_plan::{Projection, TableScan};
use datafusion_expr::{Expr, LogicalPlan};

use crate::bind::NetworkTable;

/// A node by itself. DataFusion's own line leaves out the rows of a list behind the fifth, and what a join does with NULL.
pub(crate) fn line(node: &LogicalPlan) -> String {
    match node {
        LogicalPlan::Values(list) => {
            let row = |row: &Vec<Expr>| {
                let values: Vec<String> = row.iter().map(Expr::to_string).collect();
                format!("({})", values.join(", "))
            };
            format!("Values: {}", list.values.iter().map(row).collect::<Vec<_>>().join(", "))
        }
        LogicalPlan::Join(join) => {
            let equal = if join.null_equality == NullEquality::NullEqualsNull { " NULL equals NULL" } else { "" };
            format!("{}{equal}", node.display())
        }
        _ => node.display().to_string(),
    }
}

/// An expression such that others are other texts: DataFusion's own has no parentheses around what IS NOT TRUE, and quotes in a string as they are.
pub(crate) fn exactly(expr: &Expr) -> String {
    let quoted = |part: Expr| {
        Ok(match &part {
            Expr::Literal(value, _) => match value.try_as_str() {
                Some(Some(text)) => Transformed::yes(Expr::Literal(ScalarValue::from(format!("{text:?}")), None)),
                _ => Transformed::no(part),
            },
            _ => Transformed::no(part),
        })
    };
    // The closure never fails.
    let quoted = expr.clone().transform_up(quoted).map_or_else(|_| expr.clone(), |quoted| quoted.data);
    format!("{quoted:?}")
}

/// A node by itself, such that others are other texts.
fn exact_line(node: &LogicalPlan) -> String {
    let expressions: Vec<String> = node.expressions().iter().map(exactly).collect();
    format!("{} {}", line(node), expressions.join("; "))
}

/// A whole plan, a line for each node, with the plans of subqueries.
pub(crate) fn indented(plan: &LogicalPlan) -> String {
    lines(plan, line)
}

/// The same, such that other plans are other texts.
pub(crate) fn indented_exactly(plan: &LogicalPlan) -> String {
    lines(plan, exact_line)
}

fn lines(plan: &LogicalPlan, line: fn(&LogicalPlan) -> String) -> String {
    let mut lines = Lines { text: String::new(), depth: 0, line };
    // It never fails.
    let _ = plan.visit_with_subqueries(&mut lines);
    lines.text
}

struct Lines {
    text: String,
    depth: usize,
    line: fn(&LogicalPlan) -> String,
}

impl TreeNodeVisitor<'_> for Lines {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: &LogicalPlan) -> Result<TreeNodeRecursion> {
        let end = if self.depth > 0 { "\n" } else { "" };
        // Writing to a string never fails.
        let _ = write!(self.text, "{end}{:indent$}{}", "", (self.line)(node), indent = 2 * self.depth);
        self.depth += 1;
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _: &LogicalPlan) -> Result<TreeNodeRecursion> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}

/// A whole plan in words, without what a scan happens to read.
pub(crate) fn wording(plan: &LogicalPlan) -> String {
    match plan {
        // Below other work each scan's own sites matter: those of the whole are the same when they are exchanged.
        LogicalPlan::TableScan(scan) => {
            let sites = scan.source.downcast_ref::<NetworkTable>().map(|network| format!("{:?}", network.sites));
            format!("{} of {}", name(scan), sites.unwrap_or_default())
        }
        LogicalPlan::Projection(p) if passes_through(p) => wording(&p.input),
        other => {
            let inputs: Vec<String> = other.inputs().into_iter().map(wording).collect();
            format!("{}({})", exact_line(other), inputs.join("; "))
        }
    }
}

/// A table's name, whatever the question calls it.
pub(crate) fn name(scan: &TableScan) -> String {
    match scan.source.downcast_ref::<NetworkTable>() {
        Some(network) => network.table.name.to_lowercase(),
        None => scan.table_name.to_string(),
    }
}

/// Only columns, under their own names?
pub(crate) fn passes_through(projection: &Projection) -> bool {
    projection.expr.iter().all(|e| match e {
        Expr::Column(_) => true,
        Expr::Alias(alias) => matches!(&*alias.expr, Expr::Column(c) if c.name == alias.name),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion_common::JoinType;
    use datafusion_expr::{LogicalPlanBuilder, col, lit};

    use super::*;

    fn list(values: impl Iterator<Item = i64>) -> LogicalPlanBuilder {
        LogicalPlanBuilder::values(values.map(|value| vec![lit(value)]).collect()).unwrap()
    }

    fn both(plan: &LogicalPlan) -> [String; 2] {
        [indented(plan), wording(plan)]
    }

    #[test]
    fn lists_that_differ_in_their_sixth_row_are_worded_differently() {
        let [a, b] = [1..=7, 2..=8].map(|last| list([0; 5].into_iter().chain(last)).build().unwrap());
        for (a, b) in both(&a).iter().zip(both(&b)) {
            assert_ne!(*a, b);
        }
    }

    #[test]
    fn joins_that_differ_in_what_null_equals_are_worded_differently() {
        let joined = |null_equals_null: bool| {
            let [left, right] = ["a", "b"].map(|name| list(0..2).alias(name).unwrap().build().unwrap());
            let on = (vec!["a.column1"], vec!["b.column1"]);
            let equality =
                if null_equals_null { NullEquality::NullEqualsNull } else { NullEquality::NullEqualsNothing };
            let builder = LogicalPlanBuilder::from(left);
            let join = builder.join_detailed(right, JoinType::Inner, on, None, equality);
            join.unwrap().build().unwrap()
        };
        for (a, b) in both(&joined(true)).iter().zip(both(&joined(false))) {
            assert_ne!(*a, b);
        }
    }

    #[test]
    fn expressions_that_differ_in_where_is_not_true_stands_or_in_a_quote_are_worded_differently() {
        let [a, b] = [col("l.column1").gt(lit(1)), col("l.column1").lt(lit(5))];
        let (all, one) = (a.clone().or(b.clone()).is_not_true(), a.or(b.is_not_true()));
        let strings = |texts: [&str; 2]| lit("x").in_list(texts.map(lit).to_vec(), false);
        let one_text = lit("x").in_list(vec![lit("y\"), Utf8(\"z")], false);
        for (a, b) in [(all, one), (strings(["y", "z"]), one_text)] {
            assert_eq!(a.to_string(), b.to_string(), "as DataFusion words them");
            let plan = |condition: Expr| list(0..3).alias("l").unwrap().filter(condition).unwrap().build().unwrap();
            assert_ne!(indented_exactly(&plan(a.clone())), indented_exactly(&plan(b.clone())));
            assert_ne!(wording(&plan(a.clone())), wording(&plan(b.clone())));
            assert_ne!(exactly(&a), exactly(&b));
        }
    }

    #[test]
    fn other_plans_are_worded_as_usual() {
        let inner = Arc::new(list(0..3).alias("l").unwrap().build().unwrap());
        let column = col("l.column1");
        let exists = datafusion_expr::exists(Arc::clone(&inner));
        let plan =
            LogicalPlanBuilder::from(inner.as_ref().clone()).filter(exists).unwrap().sort([column.sort(true, false)]);
        let plan = plan.unwrap().build().unwrap();
        assert_eq!(indented(&plan), plan.display_indent().to_string());
    }
}
