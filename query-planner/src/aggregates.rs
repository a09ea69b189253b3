//! Aggregates as PostgreSQL means them, before types are coerced: a key named twice is one key, and the average or
//! median of a decimal is not cut to a few digits (DataFusion keeps four more than the column has, or none). Where
//! small cells are hidden, a count can be NULL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan, cast};

use crate::error::{PlanError, refuse};
use crate::nullable_count::nullable_count;

/// Rewrites every aggregate of a plan.
pub(crate) fn normalize(plan: LogicalPlan, hides: bool) -> std::result::Result<LogicalPlan, PlanError> {
    let count = hides.then(nullable_count);
    let node = |node| match node {
        LogicalPlan::Aggregate(aggregate) => {
            Ok(Transformed::yes(LogicalPlan::Aggregate(normal(aggregate, count.as_ref())?)))
        }
        // What an aggregate below returns may have another type now.
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    };
    plan.transform_up_with_subqueries(node).map(|changed| changed.data).map_err(|e| refuse(&e))
}

fn normal(aggregate: Aggregate, count: Option<&Arc<AggregateUDF>>) -> Result<Aggregate> {
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let mut keys: Vec<Expr> = Vec::with_capacity(group_expr.len());
    for key in group_expr {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let normal = |e| average_as_double(counting(e, count)?, &input);
    let aggregates = aggr_expr.into_iter().map(normal).collect::<Result<_>>()?;
    Aggregate::try_new(input, keys, aggregates)
}

/// Puts the nullable count in the place of COUNT.
fn counting(expr: Expr, count: Option<&Arc<AggregateUDF>>) -> Result<Expr> {
    let Some(count) = count else { return Ok(expr) };
    let replace = |e| match e {
        Expr::AggregateFunction(mut call) if call.func.name() == "count" => {
            call.func = count.clone();
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    };
    expr.transform_up(replace).map(|changed| changed.data)
}

/// `avg(x)` or `median(x)` of a decimal becomes that of `CAST(x AS DOUBLE)` under its old name. The slots look through
/// the cast, so the sum stays exact and only the quotient is a double.
fn average_as_double(expr: Expr, input: &LogicalPlan) -> Result<Expr> {
    let name = expr.schema_name().to_string();
    match expr {
        Expr::AggregateFunction(mut call)
            if matches!(call.func.name(), "avg" | "median") && call.params.args.len() == 1 =>
        {
            let arg = call.params.args.remove(0);
            let decimal = matches!(arg.get_type(input.schema())?, DataType::Decimal128(..) | DataType::Decimal256(..));
            call.params.args.push(if decimal { cast(arg, DataType::Float64) } else { arg });
            let call = Expr::AggregateFunction(call);
            Ok(if decimal { call.alias(name) } else { call })
        }
        other => Ok(other),
    }
}
