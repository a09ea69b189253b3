//! What a site can do alone: plans whose pooled rows are the union of what each site makes of its own tables.

use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, JoinType};
use datafusion_expr::logical_plan::{Distinct, Join};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::split::{Sites, sites_of, subqueries};

/// The sites whose own rows make up a plan; none when rows of several must meet.
pub(crate) fn home(plan: &LogicalPlan) -> Option<Sites> {
    let sites = sites_of(plan);
    if sites.len() < 2 {
        return (sites.len() == 1).then_some(sites);
    }
    if subqueries(plan).iter().any(|inner| !sites_of(inner).is_empty()) {
        return None;
    }
    match plan {
        LogicalPlan::TableScan(_) => Some(sites),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => home(plan.inputs()[0]),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => home(&sort.input),
        LogicalPlan::Union(union) => {
            union.inputs.iter().try_fold(Sites::new(), |all, input| Some(&all | &home(input)?))
        }
        LogicalPlan::Join(join) => home_of_join(join),
        _ => None,
    }
}

/// A join with rows written in the query, none of which it keeps by themselves.
fn home_of_join(join: &Join) -> Option<Sites> {
    let (left, right) = (sites_of(&join.left), sites_of(&join.right));
    match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti if right.is_empty() => {
            home(&join.left)
        }
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti if left.is_empty() => {
            home(&join.right)
        }
        _ => None,
    }
}

/// Is this column of a plan the patient key, unchanged?
pub(crate) fn is_key(plan: &LogicalPlan, at: usize, catalog: &Catalog) -> bool {
    key_at(plan, at, catalog, true)
}

/// The same of a column that no outer join leaves empty: whose rows they are.
pub(crate) fn is_key_of_rows(plan: &LogicalPlan, at: usize, catalog: &Catalog) -> bool {
    key_at(plan, at, catalog, false)
}

fn key_at(plan: &LogicalPlan, at: usize, catalog: &Catalog, may_miss: bool) -> bool {
    let below = |input: &LogicalPlan, at: usize| key_at(input, at, catalog, may_miss);
    let through = |expr: &Expr, input: &LogicalPlan| {
        column(expr).and_then(|c| input.schema().maybe_index_of_column(c)).is_some_and(|i| below(input, i))
    };
    match plan {
        LogicalPlan::TableScan(scan) => {
            let network = scan.source.downcast_ref::<NetworkTable>().is_some();
            network && catalog.is_patient_key(scan.projected_schema.field(at).name())
        }
        LogicalPlan::Projection(p) => through(&p.expr[at], &p.input),
        LogicalPlan::Aggregate(a) => a.group_expr.get(at).is_some_and(|key| through(key, &a.input)),
        LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => below(plan.inputs()[0], at),
        LogicalPlan::Window(w) => at < w.input.schema().fields().len() && below(&w.input, at),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| below(input, at)),
        LogicalPlan::Join(join) => key_of_join(join, at, may_miss).is_some_and(|(side, at)| below(side, at)),
        _ => false,
    }
}

/// The side of a join that a column is of, and its place there; none if the column is of neither or may be empty.
fn key_of_join(join: &Join, at: usize, may_miss: bool) -> Option<(&LogicalPlan, usize)> {
    let left = join.left.schema().fields().len();
    match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Some((&*join.right, at)),
        JoinType::Right | JoinType::Full if at < left => may_miss.then_some((&*join.left, at)),
        _ if at < left => Some((&*join.left, at)),
        JoinType::Inner | JoinType::Right => Some((&*join.right, at - left)),
        JoinType::Left | JoinType::Full => may_miss.then_some((&*join.right, at - left)),
        _ => None,
    }
}

/// Does one site alone make at most one row of each patient?
pub(crate) fn is_unique(plan: &LogicalPlan, catalog: &Catalog) -> bool {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) => {
            is_unique(plan.inputs()[0], catalog)
        }
        LogicalPlan::Aggregate(a) => sites_of(plan).len() == 1 && a.group_expr.len() == 1 && is_key(plan, 0, catalog),
        _ => false,
    }
}

/// An expression without names and without casts that keep a whole number as it is.
pub(crate) fn kept<'e>(expr: &'e Expr, schema: &DFSchema) -> &'e Expr {
    match expr {
        Expr::Alias(alias) => kept(&alias.expr, schema),
        Expr::Cast(cast) => {
            let to = cast.field.data_type();
            let exact = to.is_integer() || matches!(to, DataType::Decimal128(..) | DataType::Float64);
            match cast.expr.get_type(schema) {
                Ok(from) if from == *to || from.is_integer() && exact => kept(&cast.expr, schema),
                _ => expr,
            }
        }
        other => other,
    }
}

/// Can sums and differences of this type be taken as those of numbers or days? Those of moments are of another unit.
pub(crate) fn is_countable(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|t| t.is_numeric() || t == DataType::Date32)
}

/// The column that an expression is but for its name.
pub(crate) fn column(expr: &Expr) -> Option<&datafusion_common::Column> {
    match expr {
        Expr::Alias(alias) => column(&alias.expr),
        Expr::Column(found) => Some(found),
        _ => None,
    }
}

/// An expression without the names and casts around it.
pub(crate) fn peeled(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => peeled(&alias.expr),
        Expr::Cast(cast) => peeled(&cast.expr),
        other => other,
    }
}

/// An expression without the name around it.
pub(crate) fn unnamed(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => unnamed(*alias.expr),
        other => other,
    }
}
