//! What the joint policy forbids, checked on the final plan: after every rewrite, before anything is split.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::{BinaryExpr, InList, Like};
use datafusion_expr::logical_plan::{Aggregate, Join, TableScan};
use datafusion_expr::{Expr, LogicalPlan, Operator};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::facts::{self, Relation, Scope, walk};
use crate::slots;

/// A plan that no rule forbids; only this can be lowered.
#[derive(Debug)]
pub(crate) struct CheckedPlan(pub LogicalPlan);

/// Refuses networks that may not answer anything.
pub(crate) fn check_network(catalog: &Catalog) -> Result<(), PlanError> {
    catalog.validate()?;
    let policy = &catalog.policy;
    if catalog.sites.len() < policy.min_sites as usize {
        let text = format!("this network has {} sites, its policy asks for {}", catalog.sites.len(), policy.min_sites);
        return Err(PlanError::new("TOO_FEW_SITES", text).hint("run with more sites, or agree on a lower min_sites"));
    }
    Ok(())
}

/// Checks every node, also inside subqueries.
///
/// # Errors
/// `COLUMN_NOT_ALLOWED`, `PREDICATE_ISOLATES`, `UNSUPPORTED` for node kinds that cannot be split.
pub(crate) fn check(plan: LogicalPlan, catalog: &Catalog) -> Result<CheckedPlan, PlanError> {
    check_tree(&plan, catalog)?;
    Ok(CheckedPlan(plan))
}

/// Checks what a site does alone below a release point, and derives its facts. A MIN or MAX over many patients is the
/// value of one of them, and a sum over it would carry it out; over the rows of each patient it is a step like another.
///
/// # Errors
/// As at the release point: `NOT_YET`, `NOT_RELEASED` or `UNSUPPORTED`.
pub(crate) fn check_local(plan: &LogicalPlan, catalog: &Catalog) -> Result<Relation, PlanError> {
    walk(plan, &mut |node, scope| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            check_local_aggregate(aggregate, scope, catalog)?;
        }
        if let LogicalPlan::Join(join) = node {
            check_not_in(join)?;
            if catalog.policy.hides() {
                check_local_join(join, scope, catalog)?;
            }
        }
        let mut found = Ok(());
        // The closure never fails: the refusal is carried out in `found`.
        let _ = node.apply_subqueries(|subquery| {
            if found.is_ok() {
                found = check_local_subquery(subquery, catalog);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found
    })
}

/// What is left of subqueries has one value for all rows: of one patient's rows, it would decide about everybody's, and neither small
/// cells nor the ledger would see whose rows the figure is made of.
fn check_local_subquery(subquery: &LogicalPlan, catalog: &Catalog) -> Result<(), PlanError> {
    if catalog.policy.hides() && knows_patients(subquery, catalog) {
        let key = &catalog.patient_key;
        let text =
            "small cells are hidden, and a subquery carries what some patients' rows say into the figures of others";
        return Err(PlanError::new("PATIENTS_LOST", text).hint(format!("ask for it by itself, or join it by {key}")));
    }
    check_local(subquery, catalog).map(|_| ())
}

fn check_local_aggregate(aggregate: &Aggregate, scope: &Scope<'_>, catalog: &Catalog) -> Result<(), PlanError> {
    let per_patient = aggregate
        .group_expr
        .iter()
        .any(|key| scope.origins(key).iter().any(|origin| catalog.is_patient_key(&origin.column)));
    let foreign = aggregate.aggr_expr.iter().filter_map(facts::call).find(|(name, _)| !slots::is_sum(name));
    match foreign {
        Some((name, _)) if !per_patient => Err(slots::not_a_sum(name)),
        _ => Ok(()),
    }
}

/// Whether a NULL is in a list depends on the row outside where the list does.
fn check_not_in(join: &Join) -> Result<(), PlanError> {
    if !join.null_aware || join.on.len() == 1 && join.filter.is_none() {
        return Ok(());
    }
    let text = "NOT IN of a subquery that looks at the row outside is not supported";
    Err(PlanError::new("UNSUPPORTED", text).hint("write it as NOT EXISTS, with the comparison in its WHERE"))
}

/// Rows of two patients that meet make a number of products: how many there are of one kind follows from it, and neither
/// small cells nor the ledger look at more than one patient of a row.
fn check_local_join(join: &Join, scope: &Scope<'_>, catalog: &Catalog) -> Result<(), PlanError> {
    let is_key = |expr: &Expr| {
        let origins = scope.origins(expr);
        !origins.is_empty() && origins.iter().all(|origin| catalog.is_patient_key(&origin.column))
    };
    let by_patient = join.on.iter().any(|(left, right)| is_key(left) && is_key(right));
    if by_patient || !knows_patients(&join.left, catalog) || !knows_patients(&join.right, catalog) {
        return Ok(());
    }
    let key = &catalog.patient_key;
    let text = format!("small cells are hidden, and two tables of patients are joined otherwise than by {key}");
    Err(PlanError::new("PATIENTS_LOST", text).hint(format!("join them by {key}, besides other columns if need be")))
}

/// Is there a table with the patient key among those that are read?
pub(crate) fn knows_patients(plan: &LogicalPlan, catalog: &Catalog) -> bool {
    let mut known = false;
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            known |= network.table.columns.iter().any(|column| catalog.is_patient_key(&column.name));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    known
}

fn check_tree(plan: &LogicalPlan, catalog: &Catalog) -> Result<(), PlanError> {
    walk(plan, &mut |node, scope| check_node(node, scope, catalog)).map(|_| ())
}

fn check_node(node: &LogicalPlan, scope: &Scope<'_>, catalog: &Catalog) -> Result<(), PlanError> {
    if let LogicalPlan::TableScan(scan) = node {
        check_scan(scan)?;
    }
    let mut found = Ok(());
    // The closures never fail: the refusal is carried out in `found`.
    let _ = node.apply_expressions(|top| {
        top.apply(|expr| {
            if found.is_ok() {
                found = check_expr(expr, scope, catalog);
            }
            Ok(if found.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    });
    found?;
    let mut inner = Ok(());
    let _ = node.apply_subqueries(|subquery| {
        if inner.is_ok() {
            inner = check_tree(subquery, catalog);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    inner
}

fn check_scan(scan: &TableScan) -> Result<(), PlanError> {
    let Some(network) = scan.source.downcast_ref::<NetworkTable>() else { return Ok(()) };
    let used = scan.projected_schema.fields();
    let denied = network.table.columns.iter().filter(|c| !c.allowed);
    for column in denied {
        if used.iter().any(|f| f.name().eq_ignore_ascii_case(&column.name)) {
            let text = format!("the policy does not allow the column {}.{}", network.table.name, column.name);
            return Err(PlanError::new("COLUMN_NOT_ALLOWED", text));
        }
    }
    Ok(())
}

fn check_expr(expr: &Expr, scope: &Scope<'_>, catalog: &Catalog) -> Result<(), PlanError> {
    if matches!(expr, Expr::Placeholder(_)) {
        return Err(PlanError::new("INVALID_QUERY", "a query has no parameters: write the value"));
    }
    let Some(sides) = meeting(expr) else { return Ok(()) };
    if !sides.iter().any(|side| is_constant(side)) {
        return Ok(());
    }
    for origin in sides.iter().flat_map(|side| scope.origins(side)) {
        if catalog.is_patient_key(&origin.column) {
            let text = format!("{origin} identifies a patient: it may not meet a constant, which could single one out");
            return Err(PlanError::new("PREDICATE_ISOLATES", text).hint("join on it, or count it; use NULL tests only"));
        }
        if origin.quasi_identifier && compares(expr) {
            let text = format!("{origin} is a quasi-identifier: it may not be compared with a constant");
            return Err(PlanError::new("PREDICATE_ISOLATES", text));
        }
    }
    Ok(())
}

/// The expressions that meet in `expr`: compared, computed with each other or passed to one function.
fn meeting(expr: &Expr) -> Option<Vec<&Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if !matches!(op, Operator::And | Operator::Or) => {
            Some(vec![left, right])
        }
        Expr::InList(InList { expr, list, .. }) => Some(std::iter::once(&**expr).chain(list).collect()),
        Expr::Between(b) => Some(vec![&b.expr, &b.low, &b.high]),
        Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => {
            Some(vec![expr, pattern])
        }
        Expr::Case(case) => {
            let base = case.expr.as_ref()?;
            Some(std::iter::once(&**base).chain(case.when_then_expr.iter().map(|(when, _)| &**when)).collect())
        }
        // COALESCE only fills in for NULL.
        Expr::ScalarFunction(call) if call.args.len() > 1 && call.name() != "coalesce" => {
            Some(call.args.iter().collect())
        }
        _ => None,
    }
}

fn compares(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => !matches!(
            binary.op,
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
        ),
        Expr::ScalarFunction(call) => call.name() == "width_bucket" || call.name() == "nullif",
        _ => true,
    }
}

fn is_constant(expr: &Expr) -> bool {
    let depends = |e: &Expr| {
        Ok(matches!(
            e,
            Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_) | Expr::AggregateFunction(_)
        ))
    };
    !expr.exists(depends).unwrap_or(true)
}
