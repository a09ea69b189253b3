//! Which cells of the answer derive from hidden ones. A hidden cell is NULL among the revealed rows, and beside every
//! column of the analyst's part runs a truth value: does the cell derive from a hidden one? It takes the same way
//! through filters, sorts, limits, joins and unions as its cell does, so it is right for whatever row ends up in the
//! answer.
//!
//! - An expression derives from a hidden cell if an operand does. A CASE does if a condition that was looked at does, or
//!   the result that was chosen; a COALESCE if a value that was passed over or taken does. So `COALESCE(n, 0)` of a hidden
//!   n is hidden: a made-up 0 is not shown.
//! - An aggregate or window function over revealed rows derives from what any of its rows does.
//! - A sort puts what derives from hidden cells behind everything else, in both directions.
//! - A row that HAVING or WHERE drops because a hidden cell is NULL is not there, and nothing is said about it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, TableReference};
use datafusion_expr::expr::{AggregateFunction, Case, ScalarFunction, Sort as SortKey, WindowFunction};
use datafusion_expr::logical_plan::{
    Aggregate, Distinct, LogicalPlan, Projection, Sort, Subquery, SubqueryAlias, TableScan, Union, Window,
};
use datafusion_expr::{Expr, ExprFunctionExt, WindowFunctionDefinition, lit};
use datafusion_functions_aggregate::bool_and_or::bool_or_udaf;

use crate::bind::RevealedTable;
use crate::error::{PlanError, refuse};

/// The column of revealed rows that says whether `value_i` is hidden.
pub fn mark(i: usize) -> String {
    format!("hidden_{i}")
}

/// How the columns of revealed rows begin that hold group keys.
pub const KEY: &str = "key_";

/// The analyst's part with its truth values: the columns of `finish`, then one truth value for each.
///
/// # Errors
/// `UNSUPPORTED` for a node that could mix hidden cells in a way that is not followed.
pub(crate) fn carry(finish: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    carried(&finish).and_then(|plan| in_order(plan, finish.schema())).map_err(|e| refuse(&e))
}

/// A plan with the columns of `plan` and, for those that can derive from hidden cells, a companion each.
fn carried(plan: &LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::TableScan(scan) => scanned(plan, scan),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Ok(plan.clone()),
        LogicalPlan::Projection(p) => projected(p),
        LogicalPlan::Sort(sort) => sorted(sort),
        LogicalPlan::Aggregate(aggregate) => aggregated(aggregate),
        LogicalPlan::Window(window) => windowed(window),
        LogicalPlan::Union(union) => united(union),
        LogicalPlan::SubqueryAlias(alias) => {
            SubqueryAlias::try_new(Arc::new(carried(&alias.input)?), alias.alias.clone())
                .map(LogicalPlan::SubqueryAlias)
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => {
            if matches!(plan, LogicalPlan::Distinct(_)) && has_groups(plan) {
                return Err(counts_groups());
            }
            let inputs = plan.inputs().into_iter().map(carried).collect::<Result<Vec<_>>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)
        }
        other => {
            let text = format!("{} over cells that may be hidden is not supported", other.display());
            Err(DataFusionError::External(Box::new(PlanError::new("UNSUPPORTED", text))))
        }
    }
}

/// The columns of `schema`, then their companions.
fn in_order(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = schema.columns();
    let companions = columns.iter().map(|c| named(derives(&Expr::Column(c.clone()), &plan)?, c));
    let companions = companions.collect::<Result<Vec<Expr>>>()?;
    let columns = columns.iter().cloned().map(Expr::Column).chain(companions).collect();
    Projection::try_new(columns, Arc::new(plan)).map(LogicalPlan::Projection)
}

fn scanned(plan: &LogicalPlan, scan: &TableScan) -> Result<LogicalPlan> {
    if scan.source.downcast_ref::<RevealedTable>().is_none() {
        return Ok(plan.clone());
    }
    let values = scan.projected_schema.columns().into_iter();
    let mut exprs = Vec::new();
    for column in values.filter(|c| !c.name.starts_with("hidden_")) {
        let hidden = column.name.strip_prefix("value_").and_then(|i| i.parse().ok()).map(mark);
        if let Some(hidden) = hidden {
            let hidden = Expr::Column(Column::new(column.relation.clone(), hidden));
            exprs.push(named(hidden, &column)?);
        }
        exprs.push(Expr::Column(column));
    }
    Projection::try_new(exprs, Arc::new(plan.clone())).map(LogicalPlan::Projection)
}

fn projected(projection: &Projection) -> Result<LogicalPlan> {
    let input = carried(&projection.input)?;
    let mut exprs = projection.expr.clone();
    for (expr, column) in projection.expr.iter().zip(projection.schema.columns()) {
        exprs.push(named(derives(expr, &input)?, &column)?);
    }
    Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection)
}

fn sorted(sort: &Sort) -> Result<LogicalPlan> {
    let input = carried(&sort.input)?;
    let mut keys = Vec::with_capacity(2 * sort.expr.len());
    for key in &sort.expr {
        let hidden = derives(&key.expr, &input)?;
        if hidden != lit(false) {
            keys.push(SortKey::new(hidden, true, false));
        }
        keys.push(key.clone());
    }
    Ok(LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input), fetch: sort.fetch }))
}

/// Are the rows groups? Where cells are hidden, every declared group is a row, also an empty one, and rare undeclared ones are none:
/// what counts such rows, or says which there are, would say something else than on pooled rows.
fn has_groups(plan: &LogicalPlan) -> bool {
    let grouped = |node: &LogicalPlan| {
        Ok(match node {
            LogicalPlan::TableScan(scan) => scan.source.schema().fields().iter().any(|f| f.name().starts_with(KEY)),
            _ => false,
        })
    };
    plan.exists(grouped).unwrap_or(true)
}

fn counts_groups() -> DataFusionError {
    let text = "what counts groups, aggregates their keys or lists those that occur cannot be answered while small cells are \
                hidden: which groups have rows is hidden too";
    let refusal = PlanError::new("UNSUPPORTED", text).hint("ask for the groups themselves, or for the total");
    DataFusionError::External(Box::new(refusal))
}

fn aggregated(aggregate: &Aggregate) -> Result<LogicalPlan> {
    let input = carried(&aggregate.input)?;
    let columns = aggregate.schema.columns();
    let sources = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
    let mut marks = Vec::with_capacity(columns.len());
    for (i, expr) in sources.enumerate() {
        let hidden = derives(expr, &input)?;
        if hidden == lit(false) && i >= aggregate.group_expr.len() && has_groups(&aggregate.input) {
            return Err(counts_groups());
        }
        marks.push(any(hidden).alias(temporary(i)));
    }
    let aggregates = aggregate.aggr_expr.iter().cloned().chain(marks).collect();
    let plan = Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), aggregates)?;
    renamed(LogicalPlan::Aggregate(plan), columns)
}

fn windowed(window: &Window) -> Result<LogicalPlan> {
    let input = carried(&window.input)?;
    let before = window.input.schema().fields().len();
    let columns = window.schema.columns().split_off(before);
    let mut exprs = window.window_expr.clone();
    for (i, expr) in window.window_expr.iter().enumerate() {
        let hidden = derives(expr, &input)?;
        exprs.push(any_in_partition(hidden, expr)?.alias(temporary(i)));
    }
    let mut kept: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut plan = input;
    // One node for each: the physical planner wants one partitioning in a node.
    for expr in exprs {
        plan = LogicalPlan::Window(Window::try_new(vec![expr], Arc::new(plan))?);
    }
    for (i, column) in columns.into_iter().enumerate() {
        kept.push(named(is_true(Column::new_unqualified(temporary(i))), &column)?);
        kept.push(Expr::Column(column));
    }
    Projection::try_new(kept, Arc::new(plan)).map(LogicalPlan::Projection)
}

fn united(union: &Union) -> Result<LogicalPlan> {
    let inputs = union.inputs.iter().map(|input| Ok(Arc::new(in_order(carried(input)?, input.schema())?)));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> =
        union.schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
    for column in union.schema.columns() {
        let Column { relation, name, .. } = companion(&column);
        fields.push((relation, Arc::new(Field::new(name, DataType::Boolean, true))));
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, union.schema.metadata().clone())?);
    Ok(LogicalPlan::Union(Union { inputs, schema }))
}

/// Gives the columns `hidden 0`, `hidden 1`… the names of the companions they are.
fn renamed(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    let mut exprs = Vec::with_capacity(2 * columns.len());
    for (i, column) in columns.into_iter().enumerate() {
        exprs.push(named(is_true(Column::new_unqualified(temporary(i))), &column)?);
        exprs.push(Expr::Column(column));
    }
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// True where the value of `expr` over `input` derives from a hidden cell; never NULL.
fn derives(expr: &Expr, input: &LogicalPlan) -> Result<Expr> {
    match expr {
        Expr::Alias(alias) => derives(&alias.expr, input),
        Expr::Column(column) => {
            let companion = companion(column);
            Ok(if input.schema().has_column(&companion) { is_true(companion) } else { lit(false) })
        }
        Expr::Case(case) => case_derives(case, input),
        Expr::ScalarFunction(call) if call.name() == "coalesce" => coalesce_derives(call, input),
        Expr::ScalarSubquery(subquery) => subquery_derives(subquery),
        other => {
            let mut any = Vec::new();
            let mut failed = Ok(());
            other.apply_children(|child| {
                match derives(child, input) {
                    Ok(child) => any.push(child),
                    Err(error) => failed = Err(error),
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            failed?;
            let any = any.into_iter().filter(|e| *e != lit(false));
            Ok(any.reduce(Expr::or).unwrap_or_else(|| lit(false)))
        }
    }
}

/// Conditions are looked at one after the other until one holds.
fn case_derives(case: &Case, input: &LogicalPlan) -> Result<Expr> {
    let mut branches = Vec::new();
    let mut branch = |when: Expr, then: Expr| branches.push((Box::new(when), Box::new(then)));
    if let Some(base) = &case.expr {
        branch(derives(base, input)?, lit(true));
    }
    for (when, then) in &case.when_then_expr {
        branch(derives(when, input)?, lit(true));
        let condition = match &case.expr {
            Some(base) => (**base).clone().eq((**when).clone()),
            None => (**when).clone(),
        };
        branch(condition, derives(then, input)?);
    }
    let otherwise = case.else_expr.as_ref().map_or(Ok(lit(false)), |e| derives(e, input))?;
    simplest(branches, otherwise)
}

/// Values are looked at one after the other until one is not NULL.
fn coalesce_derives(call: &ScalarFunction, input: &LogicalPlan) -> Result<Expr> {
    let mut branches = Vec::new();
    for arg in &call.args {
        branches.push((Box::new(derives(arg, input)?), Box::new(lit(true))));
        branches.push((Box::new(arg.clone().is_not_null()), Box::new(lit(false))));
    }
    simplest(branches, lit(false))
}

fn simplest(branches: Vec<(Box<Expr>, Box<Expr>)>, otherwise: Expr) -> Result<Expr> {
    let results = branches.iter().filter(|(when, _)| **when != lit(false)).map(|(_, then)| then.as_ref());
    if results.chain([&otherwise]).all(|e| *e == lit(false)) {
        return Ok(lit(false));
    }
    let branches = branches.into_iter().filter(|(when, _)| **when != lit(false)).collect();
    Ok(Expr::Case(Case { expr: None, when_then_expr: branches, else_expr: Some(Box::new(otherwise)) }))
}

/// The companion of the subquery's one value; without a row there is nothing hidden.
fn subquery_derives(subquery: &Subquery) -> Result<Expr> {
    let inner = subquery.subquery.as_ref();
    let column = inner.schema().columns().into_iter().next();
    let Some(column) = column else { return Ok(lit(false)) };
    let plan = carried(inner)?;
    let hidden = derives(&Expr::Column(column.clone()), &plan)?;
    if hidden == lit(false) {
        return Ok(hidden);
    }
    let plan = Projection::try_new(vec![named(hidden, &column)?], Arc::new(plan)).map(LogicalPlan::Projection)?;
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() }).is_true())
}

/// Is it true for any row of a group?
fn any(hidden: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(bool_or_udaf(), vec![hidden], false, None, vec![], None))
}

fn any_in_partition(hidden: Expr, expr: &Expr) -> Result<Expr> {
    let partition = match expr {
        Expr::Alias(alias) => return any_in_partition(hidden, &alias.expr),
        Expr::WindowFunction(call) => call.params.partition_by.clone(),
        _ => Vec::new(),
    };
    let any = WindowFunction::new(WindowFunctionDefinition::AggregateUDF(bool_or_udaf()), vec![hidden]);
    Expr::from(any).partition_by(partition).build()
}

fn is_true(column: Column) -> Expr {
    Expr::Column(column).is_true()
}

fn named(hidden: Expr, column: &Column) -> Result<Expr> {
    let Column { relation, name, .. } = companion(column);
    Ok(hidden.alias_qualified(relation, name))
}

/// The companion of a column. No column of a query has this name: control characters are refused in its text.
fn companion(column: &Column) -> Column {
    Column::new(column.relation.clone(), format!("{}\u{1}hidden", column.name))
}

fn temporary(i: usize) -> String {
    format!("\u{1}hidden {i}")
}
