//! DataFusion's part of the work: types are made to agree, then a chosen list of rewrites brings subqueries and joins
//! into the shapes the splitter knows. Rules that hide those shapes are left out.

use std::sync::Arc;

use arrow::temporal_conversions::timestamp_ms_to_datetime;
use datafusion_common::Column;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Distinct, Expr, LogicalPlan, Volatility};
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext, OptimizerRule};

use crate::error::{PlanError, refuse};
use crate::parse::MAX_CALLS;
use crate::{aggregates, in_lists};

/// Coerces types, freezes `now()` and applies the rewrites. `hides`: counts may come back as NULL.
pub(crate) fn optimize(plan: LogicalPlan, now_ms: i64, hides: bool) -> Result<LogicalPlan, PlanError> {
    check_depth(&plan)?;
    column_calls(&plan)?;
    let now = timestamp_ms_to_datetime(now_ms)
        .ok_or_else(|| PlanError::new("BAD_OPTIONS", "now_ms is outside the calendar"))?
        .and_utc();
    no_distinct_on(&plan)?;
    let plan = aggregates::normalize(plan, hides)?;
    let analyzed =
        Analyzer::new().execute_and_check(plan, &ConfigOptions::default(), |_, _| {}).map_err(|e| refuse(&e))?;
    let analyzed = in_lists::guard(analyzed)?;
    let context = OptimizerContext::new().with_query_execution_start_time(now).with_max_passes(PASSES);
    let optimized = Optimizer::with_rules(rules()).optimize(analyzed, &context, |_, _| {}).map_err(|e| refuse(&e))?;
    check_depth(&optimized)?;
    Ok(optimized)
}

/// Refuses DISTINCT ON, which the rules cannot bear without an ORDER BY.
fn no_distinct_on(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut found = false;
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Distinct(Distinct::On(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    if !found {
        return Ok(());
    }
    Err(PlanError::new("UNSUPPORTED", "DISTINCT ON is not supported").hint(
        "number the rows with ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) in a subquery, and keep those numbered 1",
    ))
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// Does the meaning of the question depend on when it is asked? Only then is the moment a part of its plan.
pub(crate) fn asks_for_now(plan: &LogicalPlan) -> bool {
    let depends = |expr: &Expr| match expr {
        // now(), current_date and their like; volatile functions are not to be had.
        Expr::ScalarFunction(call) => Ok(call.func.signature().volatility != Volatility::Immutable),
        _ => Ok(false),
    };
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(depends)?;
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found || walked.is_err()
}

/// Refuses plans so deep that a later recursion, here or in the executor, could exhaust its stack.
fn check_depth(plan: &LogicalPlan) -> Result<(), PlanError> {
    let depth = plan_depth(plan);
    if depth > MAX_DEPTH {
        return Err(PlanError::new("QUERY_TOO_DEEP", format!("the plan nests {depth} levels, at most {MAX_DEPTH}")));
    }
    Ok(())
}

/// Levels of nodes and, where deeper, of the expressions in them.
fn plan_depth(plan: &LogicalPlan) -> usize {
    let mut deepest = 0;
    let mut expressions = 0;
    // The closures never fail.
    let _ = plan.apply_expressions(|e| {
        expressions = expressions.max(expr_depth(e));
        Ok(TreeNodeRecursion::Continue)
    });
    let _ = plan.apply_subqueries(|p| {
        deepest = deepest.max(plan_depth(p));
        Ok(TreeNodeRecursion::Continue)
    });
    for input in plan.inputs() {
        deepest = deepest.max(plan_depth(input));
    }
    (deepest + 1).max(expressions)
}

fn expr_depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let _ = expr.apply_children(|e| {
        deepest = deepest.max(expr_depth(e));
        Ok(TreeNodeRecursion::Continue)
    });
    deepest + 1
}

/// Levels of function calls behind each output column, as if all projections were merged into one, which is what the
/// optimizer tends to do: each level doubles its work.
fn column_calls(plan: &LogicalPlan) -> Result<Vec<usize>, PlanError> {
    let inputs = plan.inputs();
    let known = inputs.iter().map(|input| column_calls(input)).collect::<Result<Vec<_>, _>>()?;
    let below = |column: &Column| {
        let found = inputs.iter().zip(&known).find_map(|(p, k)| k.get(p.schema().maybe_index_of_column(column)?));
        found.copied().unwrap_or(0)
    };
    let (mut each, mut inner) = (Vec::new(), Ok(()));
    // The closures never fail: a refusal is carried out in `inner`.
    let _ = plan.apply_expressions(|e| {
        each.push(expr_calls(e, &below));
        Ok(TreeNodeRecursion::Continue)
    });
    let _ = plan.apply_subqueries(|p| {
        if inner.is_ok() {
            inner = column_calls(p).map(|_| ());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    inner?;
    if each.iter().any(|calls| *calls > MAX_CALLS) {
        let text = format!("function calls nest deeper than {MAX_CALLS} levels once subqueries are written out");
        return Err(PlanError::new("QUERY_TOO_DEEP", text));
    }
    let mut columns = match plan {
        LogicalPlan::Projection(_) => each,
        // Nothing is merged through an aggregate.
        LogicalPlan::Aggregate(_) => Vec::new(),
        LogicalPlan::Union(_) => {
            known.into_iter().reduce(|a, b| a.iter().zip(&b).map(|(x, y)| *x.max(y)).collect()).unwrap_or_default()
        }
        _ => known.concat(),
    };
    columns.resize(plan.schema().fields().len(), 0);
    Ok(columns)
}

fn expr_calls(expr: &Expr, below: &dyn Fn(&Column) -> usize) -> usize {
    if let Expr::Column(column) = expr {
        return below(column);
    }
    let mut deepest = 0;
    // The closure never fails.
    let _ = expr.apply_children(|child| {
        deepest = deepest.max(expr_calls(child, below));
        Ok(TreeNodeRecursion::Continue)
    });
    deepest + usize::from(matches!(expr, Expr::ScalarFunction(_)))
}

/// DataFusion's own default: the rules settle in two passes on every plan of our tests.
const PASSES: u8 = 3;

/// Levels of plan nodes, and of one expression. A question of 64 nested brackets stays below it.
const MAX_DEPTH: usize = 200;
