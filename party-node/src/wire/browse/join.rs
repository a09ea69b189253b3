//! FROM: tables by name, subqueries and functions in their place, joins.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor,
    TableWithJoins, visit_expressions,
};

use super::select::{Column, Ctes, Engine, Relation, Scope, unsupported};
use super::value::{Kind, Value};
use crate::fault::{NodeError, printable};

type Result<T> = std::result::Result<T, NodeError>;

/// How a table comes to those before it.
#[derive(Clone, Copy)]
struct How<'e> {
    operator: &'e JoinOperator,
    /// Conditions of WHERE, which may be looked at as soon as their columns are there.
    early: &'e [&'e Expr],
}

impl Engine<'_> {
    /// The tables of a FROM, joined. Rows that do not meet `condition` may be left out: all columns of all tables with each other are too many.
    pub(super) fn from(
        &self,
        from: &[TableWithJoins],
        condition: Option<&Expr>,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let mut early = Vec::new();
        // A row that is gone would come back as one that nothing was joined to.
        let keeps_right = |join: &Join| {
            use JoinOperator::{FullOuter, Right, RightOuter};
            matches!(join.join_operator, Right(_) | RightOuter(_) | FullOuter(_))
        };
        if !from.iter().flat_map(|table| &table.joins).any(keeps_right) {
            condition.into_iter().for_each(|condition| conjuncts(condition, &mut early));
        }
        let how = |operator| How { operator, early: &early };
        let cross = JoinOperator::CrossJoin(JoinConstraint::None);
        // Of nothing there is one row without columns.
        let mut all = Relation { rows: vec![Vec::new()], ..Relation::default() };
        for table in from {
            all = self.join(all, &table.relation, how(&cross), ctes, outer)?;
            for Join { relation, join_operator, .. } in &table.joins {
                all = self.join(all, relation, how(join_operator), ctes, outer)?;
            }
        }
        Ok(all)
    }

    fn join(
        &self,
        left: Relation,
        right: &TableFactor,
        how: How<'_>,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let (constraint, keeps_left, keeps_right) = match how.operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => (on, false, false),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (on, true, false),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (on, false, true),
            JoinOperator::FullOuter(on) => (on, true, true),
            _ => return Err(unsupported("this kind of join")),
        };
        let none = Scope { relation: &left, row: &[], group: None, ctes, outer };
        let lateral = is_lateral(right);
        let mut fixed = self.table(right, ctes, if lateral { Some(&none) } else { outer })?;
        if !lateral && !keeps_left {
            self.keep(&mut fixed, how.early, ctes, outer)?;
        }
        let columns: Vec<Column> = left.columns.iter().chain(&fixed.columns).cloned().collect();
        let open: Vec<String> = left.open.iter().chain(&fixed.open).cloned().collect();
        let mut joined = Relation { columns, open, rows: Vec::new() };
        let is_new = |condition: &&Expr| is_ready(condition, &joined) && !is_ready(condition, &left);
        let ready: Vec<&Expr> = how.early.iter().copied().filter(is_new).filter(|_| !keeps_left).collect();
        let (mut rows, mut met) = (Vec::new(), vec![false; fixed.rows.len()]);
        let blank = vec![Value::Null; fixed.columns.len()];
        for row in &left.rows {
            if lateral {
                let scope = Scope { row, ..none };
                fixed = self.table(right, ctes, Some(&scope))?;
                met = vec![false; fixed.rows.len()];
            }
            let mut found = false;
            for (at, other) in fixed.rows.iter().enumerate() {
                self.steps(row.len() + other.len())?;
                let both: Vec<Value> = row.iter().chain(other).cloned().collect();
                let scope = Scope { relation: &joined, row: &both, group: None, ctes, outer };
                if self.may_meet(&ready, &scope) && self.fits(constraint, left.columns.len(), &scope)? {
                    self.make_row(&both)?;
                    rows.push(both);
                    (found, met[at]) = (true, true);
                }
            }
            if !found && keeps_left {
                self.make_row(row.iter().chain(&blank))?;
                rows.push(row.iter().chain(&blank).cloned().collect());
            }
        }
        if keeps_right {
            let blank = vec![Value::Null; left.columns.len()];
            for (row, _) in fixed.rows.iter().zip(&met).filter(|(_, met)| !**met) {
                self.make_row(blank.iter().chain(row))?;
                rows.push(blank.iter().chain(row).cloned().collect());
            }
        }
        joined.rows = rows;
        Ok(joined)
    }

    /// Leaves out the rows of a table that do not meet what is asked of its columns alone.
    fn keep(&self, table: &mut Relation, early: &[&Expr], ctes: &Ctes, outer: Option<&Scope<'_>>) -> Result<()> {
        let ready: Vec<&Expr> = early.iter().copied().filter(|condition| is_ready(condition, table)).collect();
        self.steps(ready.len() * table.rows.len())?;
        let rows = std::mem::take(&mut table.rows);
        let meets = |row: &Vec<Value>| {
            let scope = Scope { relation: table, row, group: None, ctes, outer };
            self.may_meet(&ready, &scope)
        };
        let kept = rows.into_iter().filter(|row| meets(row)).collect();
        table.rows = kept;
        Ok(())
    }

    /// Whatever goes wrong is said when the whole condition is looked at.
    fn may_meet(&self, conditions: &[&Expr], scope: &Scope<'_>) -> bool {
        conditions.iter().all(|condition| self.value(condition, scope).map_or(true, |value| value.is_true()))
    }

    fn fits(&self, constraint: &JoinConstraint, split: usize, scope: &Scope<'_>) -> Result<bool> {
        let (columns, row) = (&scope.relation.columns, scope.row);
        let equal = |name: &str| {
            let place = |range: std::ops::Range<usize>| {
                range.into_iter().find(|at| columns[*at].name.eq_ignore_ascii_case(name))
            };
            let (a, b) = (place(0..split), place(split..row.len()));
            a.zip(b).is_some_and(|(a, b)| row[a].compare(&row[b]) == Some(Ordering::Equal))
        };
        match constraint {
            JoinConstraint::None => Ok(true),
            JoinConstraint::On(condition) => Ok(self.value(condition, scope)?.is_true()),
            JoinConstraint::Using(names) => Ok(names.iter().all(|name| equal(&name.to_string().replace('"', "")))),
            JoinConstraint::Natural => {
                let shared = columns[..split].iter().filter(|c| columns[split..].iter().any(|d| d.name == c.name));
                Ok(shared.collect::<Vec<_>>().iter().all(|column| equal(&column.name)))
            }
        }
    }

    fn table(&self, factor: &TableFactor, ctes: &Ctes, outer: Option<&Scope<'_>>) -> Result<Relation> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => Ok(renamed(self.named_table(name, ctes)?, alias)),
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                self.function(name, &args.args, alias, ctes, outer)
            }
            TableFactor::Function { name, args, alias, .. } => self.function(name, args, alias, ctes, outer),
            TableFactor::Derived { subquery, alias, .. } => Ok(renamed(self.query(subquery, ctes, outer)?, alias)),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.from(std::slice::from_ref(table_with_joins.as_ref()), None, ctes, outer)?;
                Ok(if alias.is_some() { renamed(inner, alias) } else { inner })
            }
            _ => Err(unsupported("this kind of table")),
        }
    }

    fn named_table(&self, name: &ObjectName, ctes: &Ctes) -> Result<Relation> {
        let parts: Vec<String> = name.0.iter().map(|part| part.to_string().replace('"', "").to_lowercase()).collect();
        let (schema, table) = match parts.as_slice() {
            [table] => (None, table),
            [.., schema, table] => (Some(schema.as_str()), table),
            [] => return Err(unsupported("a table without a name")),
        };
        if let Some(cte) = ctes.get(table).filter(|_| schema.is_none()) {
            self.copied(&cte.rows)?;
            let mut relation = cte.as_ref().clone();
            relation.columns.iter_mut().for_each(|column| column.table = table.clone());
            return Ok(relation);
        }
        let unknown =
            || NodeError::new("UNKNOWN_TABLE", format!("there is no table '{}'", printable(&name.to_string())));
        let found = self.world.table(schema, table).ok_or_else(unknown)?;
        self.copied(&found.rows)?;
        let columns = found.columns.iter().map(|(name, kind)| Column {
            table: table.clone(),
            name: (*name).to_owned(),
            kind: *kind,
        });
        let open = if found.open { vec![table.clone()] } else { Vec::new() };
        Ok(Relation { columns: columns.collect(), open, rows: found.rows })
    }

    /// Counts rows that are made once more.
    pub(super) fn copied(&self, rows: &[Vec<Value>]) -> Result<()> {
        self.steps(rows.len())?;
        self.make_row(rows.iter().flatten())
    }

    /// A function in the place of a table: elements of an array, numbers in a row.
    fn function(
        &self,
        name: &ObjectName,
        args: &[FunctionArg],
        alias: &Option<TableAlias>,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let empty = Relation::default();
        let scope = Scope { relation: &empty, row: &[], group: None, ctes, outer };
        let values: Vec<Value> = args.iter().map(|arg| self.argument(arg, &scope)).collect::<Result<_>>()?;
        let short = name.0.last().map(|part| part.to_string().to_lowercase()).unwrap_or_default();
        let rows = match (short.as_str(), values.as_slice()) {
            ("unnest", [Value::List(list)]) => list.clone(),
            ("unnest" | "generate_series", [Value::Null, ..] | []) => Vec::new(),
            ("generate_series", [from, to]) => match (from.int(), to.int()) {
                (Some(from), Some(to)) if to.saturating_sub(from) < 10_000 => (from..=to).map(Value::Int).collect(),
                _ => return Err(unsupported("such a series")),
            },
            // One row with one value, as any function gives.
            _ => vec![super::functions::call(self.world, &short, &values)?],
        };
        let named = alias.as_ref().map_or(short, |alias| alias.name.value.to_lowercase());
        let kind = rows
            .first()
            .map_or(Kind::Text, |value| if matches!(value, Value::Int(_)) { Kind::Int } else { Kind::Text });
        let columns = vec![Column { table: named.clone(), name: named, kind }];
        let rows = rows.into_iter().map(|value| vec![value]).collect();
        Ok(renamed(Relation { columns, open: Vec::new(), rows }, alias))
    }
}

/// The conditions that all hold where this one does.
fn conjuncts<'e>(condition: &'e Expr, all: &mut Vec<&'e Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, all);
            conjuncts(right, all);
        }
        Expr::Nested(inner) => conjuncts(inner, all),
        other => all.push(other),
    }
}

/// Does a condition look at columns of these tables alone, and at no question of its own?
fn is_ready(condition: &Expr, relation: &Relation) -> bool {
    let has = |table: Option<&Ident>, name: &Ident| {
        relation.columns.iter().any(|column| {
            column.name.eq_ignore_ascii_case(&name.value)
                && table.is_none_or(|table| column.table.eq_ignore_ascii_case(&table.value))
        })
    };
    let other = visit_expressions(condition, |expr| {
        let is_here = match expr {
            Expr::Identifier(name) => has(None, name),
            Expr::CompoundIdentifier(names) => matches!(&names[..], [table, name] if has(Some(table), name)),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => false,
            _ => true,
        };
        if is_here { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    other.is_continue()
}

fn is_lateral(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::Table { args, .. } => args.is_some(),
        _ => false,
    }
}

/// Under an alias.
pub(super) fn renamed(mut relation: Relation, alias: &Option<TableAlias>) -> Relation {
    let Some(alias) = alias else { return relation };
    let name = alias.name.value.to_lowercase();
    relation.columns.iter_mut().for_each(|column| column.table = name.clone());
    for (column, given) in relation.columns.iter_mut().zip(&alias.columns) {
        column.name = given.name.value.clone();
    }
    if !relation.open.is_empty() {
        relation.open = vec![name];
    }
    relation
}
