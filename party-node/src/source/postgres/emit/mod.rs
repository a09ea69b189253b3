//! From the part of a local stage that PostgreSQL means exactly as the node does, to its SQL. Whatever is not known here is not written: the
//! node does it, over the rows of what is below it.
//!
//! A relation's columns are called `c0`, `c1`… by position, so no name of a plan stands in the SQL but those of tables and columns,
//! which are quoted; every literal is bound. Text is compared byte by byte (`COLLATE "C"`), as the node does it.
//!
//! # Deviations
//! What can fail on a row (integer `+`, `-`, `*`) is written in the columns of a projection only: PostgreSQL may evaluate conditions in
//! another order than the node, and would then fail where the node does not. Doubles are handed on and never compared: the node
//! tells −0 from 0. Division is written by constants that are neither 0 nor −1.

mod expr;
mod scope;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::logical_plan::{Filter, Join, Projection, TableScan, Union};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::sql::{Statement, Writer, quoted};
use super::table::{DatabaseTable, Held};
pub(super) use expr::literal;
use scope::Scope;

/// A relation in SQL.
pub(super) struct Relation {
    /// A SELECT whose columns are `c0`, `c1`…
    pub sql: String,
    /// How many columns.
    pub width: usize,
    /// Of one table whose columns only the node can read; nothing can be built on it.
    pub alone: Option<Arc<Held>>,
}

/// The whole plan as one statement, whose columns are texts.
///
/// None for a plan of which PostgreSQL does not know a part, or means it otherwise.
pub(super) fn statement(plan: &LogicalPlan) -> Option<(Statement, Relation)> {
    let mut writer = Writer::default();
    let relation = relation(&mut writer, plan)?;
    let columns = (0..relation.width).map(|i| format!("(a.c{i})::text")).collect::<Vec<_>>().join(", ");
    let text = format!("SELECT {columns} FROM ({}) AS a", relation.sql);
    Some((writer.finish(text), relation))
}

/// The plan as a subquery, with what it binds in `writer`.
pub(super) fn relation(writer: &mut Writer, plan: &LogicalPlan) -> Option<Relation> {
    match plan {
        LogicalPlan::TableScan(node) => scan(writer, node),
        LogicalPlan::SubqueryAlias(node) => relation(writer, &node.input),
        LogicalPlan::Projection(node) => projection(writer, node),
        LogicalPlan::Filter(node) => filter(writer, node),
        LogicalPlan::Join(node) => join(writer, node),
        LogicalPlan::Union(node) => union(writer, node),
        _ => None,
    }
}

/// Can the database keep only the rows of a table that meet this?
pub(super) fn is_condition(table: &DatabaseTable, filter: &Expr) -> bool {
    condition_of(&mut Writer::default(), table, filter).is_some()
}

fn scan(writer: &mut Writer, scan: &TableScan) -> Option<Relation> {
    let table = scan.source.downcast_ref::<DatabaseTable>()?;
    let held = &table.held;
    let wanted: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..held.columns.len()).collect());
    let columns = wanted.iter().enumerate().map(|(i, at)| Some(format!("{} AS c{i}", held.columns.get(*at)?.sql)));
    let columns = columns.collect::<Option<Vec<_>>>()?.join(", ");
    let mut conditions = Vec::new();
    for filter in &scan.filters {
        conditions.push(condition_of(writer, table, filter)?);
    }
    conditions.extend(table.opted_in(writer));
    let place = format!("{}.{} AS t", quoted(&held.schema_name), quoted(&held.name));
    let keep = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let foreign = wanted.iter().any(|at| !held.columns[*at].is_same);
    Some(Relation {
        sql: format!("SELECT {columns} FROM {place}{keep}"),
        width: wanted.len(),
        alone: foreign.then(|| held.clone()),
    })
}

fn condition_of(writer: &mut Writer, table: &DatabaseTable, filter: &Expr) -> Option<String> {
    let bare = filter.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    let schema = DFSchema::try_from(table.held.schema.clone()).ok()?;
    let names = table.held.columns.iter().map(|column| column.is_same.then(|| column.sql.clone())).collect();
    expr::condition(writer, &bare.ok()?.data, &Scope::new(schema, names))
}

fn projection(writer: &mut Writer, node: &Projection) -> Option<Relation> {
    let input = below(writer, &node.input)?;
    let scope = Scope::of(&node.input, "a");
    let mut columns = Vec::with_capacity(node.expr.len());
    for (i, wanted) in node.expr.iter().enumerate() {
        columns.push(format!("{} AS c{i}", expr::value(writer, wanted, &scope)?));
    }
    let sql = format!("SELECT {} FROM ({}) AS a", columns.join(", "), input.sql);
    Some(Relation { sql, width: columns.len(), alone: None })
}

fn filter(writer: &mut Writer, node: &Filter) -> Option<Relation> {
    let input = below(writer, &node.input)?;
    let condition = expr::condition(writer, &node.predicate, &Scope::of(&node.input, "a"))?;
    let sql = format!("SELECT a.* FROM ({}) AS a WHERE {condition}", input.sql);
    Some(Relation { sql, width: input.width, alone: None })
}

fn join(writer: &mut Writer, node: &Join) -> Option<Relation> {
    if node.null_equality != NullEquality::NullEqualsNothing || node.null_aware || node.on.is_empty() {
        return None;
    }
    let (left, right) = (below(writer, &node.left)?, below(writer, &node.right)?);
    let (of_left, of_right) = (Scope::of(&node.left, "a"), Scope::of(&node.right, "b"));
    let mut conditions = Vec::new();
    for (a, b) in &node.on {
        conditions.push(expr::equality(writer, (a, &of_left), (b, &of_right))?);
    }
    if let Some(rest) = &node.filter {
        conditions.push(expr::condition(writer, rest, &of_left.beside(of_right)?)?);
    }
    let (on, left_sql, right_sql) = (conditions.join(" AND "), left.sql, right.sql);
    let kept = |word: &str| {
        let sql =
            format!("SELECT a.* FROM ({left_sql}) AS a WHERE {word} (SELECT 1 FROM ({right_sql}) AS b WHERE {on})");
        Some(Relation { sql, width: left.width, alone: None })
    };
    let word = match node.join_type {
        JoinType::Inner => "JOIN",
        JoinType::Left => "LEFT JOIN",
        JoinType::LeftSemi => return kept("EXISTS"),
        JoinType::LeftAnti => return kept("NOT EXISTS"),
        _ => return None,
    };
    let of = |side: &'static str, width: usize, from: usize| {
        (0..width).map(move |i| format!("{side}.c{i} AS c{}", from + i))
    };
    let columns = of("a", left.width, 0).chain(of("b", right.width, left.width)).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {columns} FROM ({left_sql}) AS a {word} ({right_sql}) AS b ON {on}");
    Some(Relation { sql, width: left.width + right.width, alone: None })
}

fn union(writer: &mut Writer, node: &Union) -> Option<Relation> {
    let types = |schema: &DFSchema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    let wanted = types(&node.schema);
    let mut parts = Vec::with_capacity(node.inputs.len());
    for input in &node.inputs {
        if types(input.schema()) != wanted {
            return None;
        }
        // PostgreSQL makes the columns of all parts one type; so they are of one before.
        let columns = wanted.iter().enumerate().map(|(i, data_type)| expr::cast(&format!("a.c{i}"), data_type, i));
        let columns = columns.collect::<Option<Vec<_>>>()?.join(", ");
        parts.push(format!("(SELECT {columns} FROM ({}) AS a)", below(writer, input)?.sql));
    }
    if parts.is_empty() {
        return None;
    }
    Some(Relation { sql: parts.join(" UNION ALL "), width: wanted.len(), alone: None })
}

/// Something that can be built on.
fn below(writer: &mut Writer, plan: &LogicalPlan) -> Option<Relation> {
    relation(writer, plan).filter(|relation| relation.alone.is_none())
}
