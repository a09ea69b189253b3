//! SELECT: tables joined, filtered, grouped, sorted.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, GroupByExpr, Ident, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Value as Literal, Visit,
    Visitor,
};

use regex::Regex;

use super::World;
use super::functions::is_aggregate;
use super::join::renamed;
use super::value::{Kind, Value};
use crate::fault::NodeError;

/// Rows, pairs of rows and values that are looked at for one question.
const MAX_STEPS: u64 = 50_000_000;
/// Bytes of values that are made for one question, whether they are kept or not.
const MAX_MADE: u64 = 64 << 20;

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// The table's name in the question.
    pub table: String,
    /// Its own.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// Rows with their columns.
#[derive(Debug, Clone, Default)]
pub struct Relation {
    /// The columns.
    pub columns: Vec<Column>,
    /// Tables whose further columns are NULL.
    pub open: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// WITH clauses by name.
pub type Ctes = HashMap<String, Rc<Relation>>;

/// Where names are looked up: a row, or a group of rows, within what is around a subquery.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The columns and open tables.
    pub relation: &'a Relation,
    /// The row; none where only kinds are asked for.
    pub row: &'a [Value],
    /// The rows of a group.
    pub group: Option<&'a [&'a Vec<Value>]>,
    /// WITH clauses.
    pub ctes: &'a Ctes,
    /// Around it.
    pub outer: Option<&'a Scope<'a>>,
}

/// Answers questions of one world.
pub struct Engine<'a> {
    /// What the tables are made of.
    pub world: &'a World,
    steps: Cell<u64>,
    made: Cell<u64>,
    /// Patterns that were read.
    pub(super) patterns: RefCell<HashMap<(String, bool), Regex>>,
}

type Result<T> = std::result::Result<T, NodeError>;

/// Says what is not understood.
pub fn unsupported(what: &str) -> NodeError {
    NodeError::new("UNSUPPORTED", format!("the node's own catalogue is not asked with {what}"))
}

impl<'a> Engine<'a> {
    /// Nothing done yet.
    pub fn new(world: &'a World) -> Self {
        Self { world, steps: Cell::new(0), made: Cell::new(0), patterns: RefCell::default() }
    }

    /// Counts bytes of values.
    ///
    /// # Errors
    /// `TOO_MUCH_WORK`.
    pub(super) fn make(&self, bytes: usize) -> Result<()> {
        self.made.set(self.made.get().saturating_add(bytes as u64));
        match self.made.get() > MAX_MADE {
            true => Err(NodeError::new("TOO_MUCH_WORK", "a question of the catalogue makes too many values")),
            false => Ok(()),
        }
    }

    /// Counts values of a row that is made, before it is.
    ///
    /// # Errors
    /// `TOO_MUCH_WORK`.
    pub(super) fn make_row<'v>(&self, values: impl IntoIterator<Item = &'v Value>) -> Result<()> {
        self.make(values.into_iter().map(|value| size_of::<Value>() + value.beside()).sum())
    }

    /// Values that are kept for each row while rows are sorted or put into groups: each is counted as it comes.
    ///
    /// # Errors
    /// Theirs, and `TOO_MUCH_WORK`.
    pub(super) fn kept(&self, values: impl Iterator<Item = Result<Value>>) -> Result<Vec<Value>> {
        let counted = |value| {
            self.steps(1)?;
            self.make(size_of::<Value>())?;
            value
        };
        values.map(counted).collect()
    }

    /// Counts rows or values that are looked at.
    ///
    /// # Errors
    /// `TOO_MUCH_WORK`.
    pub(super) fn steps(&self, count: usize) -> Result<()> {
        self.steps.set(self.steps.get().saturating_add(count as u64));
        match self.steps.get() > MAX_STEPS {
            true => Err(NodeError::new("TOO_MUCH_WORK", "a question of the catalogue looks at too many rows")),
            false => Ok(()),
        }
    }

    /// Runs a query.
    pub fn query(&self, query: &Query, ctes: &Ctes, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let mut known;
        let ctes = match &query.with {
            None => ctes,
            Some(with) => {
                known = ctes.clone();
                for cte in &with.cte_tables {
                    let relation = self.query(&cte.query, &known, outer)?;
                    let renamed = renamed(relation, &Some(cte.alias.clone()));
                    known.insert(cte.alias.name.value.to_lowercase(), Rc::new(renamed));
                }
                &known
            }
        };
        let mut relation = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_ref(), ctes, outer)?,
            other => {
                let mut relation = self.body(other, ctes, outer)?;
                self.sort_plain(&mut relation, query.order_by.as_ref())?;
                relation
            }
        };
        let (skip, take) = self.limits(query, ctes, outer)?;
        relation.rows = relation.rows.into_iter().skip(skip).take(take).collect();
        Ok(relation)
    }

    fn body(&self, body: &SetExpr, ctes: &Ctes, outer: Option<&Scope<'_>>) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, None, ctes, outer),
            SetExpr::Query(query) => self.query(query, ctes, outer),
            SetExpr::Values(values) => {
                let (empty, mut relation) = (Relation::default(), Relation::default());
                let scope = Scope { relation: &empty, row: &[], group: None, ctes, outer };
                for row in &values.rows {
                    let row: Vec<Value> = row.iter().map(|expr| self.value(expr, &scope)).collect::<Result<_>>()?;
                    self.make(size_of_val(row.as_slice()))?;
                    relation.rows.push(row);
                }
                let first =
                    values.rows.first().map(|row| row.iter().map(|expr| self.kind(expr, &scope)).collect::<Vec<_>>());
                let column = |(at, kind): (usize, Kind)| Column {
                    table: String::new(),
                    name: format!("column{}", at + 1),
                    kind,
                };
                relation.columns = first.unwrap_or_default().into_iter().enumerate().map(column).collect();
                Ok(relation)
            }
            SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } => {
                let (mut left, right) = (self.body(left, ctes, outer)?, self.body(right, ctes, outer)?);
                if left.columns.len() != right.columns.len() {
                    return Err(NodeError::new("TYPE_MISMATCH", "the parts of a UNION have as many columns each"));
                }
                left.rows.extend(right.rows);
                if !matches!(set_quantifier, SetQuantifier::All) {
                    left.rows = self.distinct(left.rows, |row| row)?;
                }
                Ok(left)
            }
            _ => Err(unsupported("this kind of query")),
        }
    }

    fn limits(&self, query: &Query, ctes: &Ctes, outer: Option<&Scope<'_>>) -> Result<(usize, usize)> {
        let empty = Relation::default();
        let scope = Scope { relation: &empty, row: &[], group: None, ctes, outer };
        let number = |expr: Option<&Expr>| match expr {
            None => Result::Ok(None),
            Some(expr) => Ok(self.value(expr, &scope)?.int().and_then(|n| usize::try_from(n).ok())),
        };
        let fetch = number(query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()))?;
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                let skip = number(offset.as_ref().map(|offset| &offset.value))?.unwrap_or(0);
                Ok((skip, number(limit.as_ref())?.or(fetch).unwrap_or(usize::MAX)))
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => Err(unsupported("LIMIT with a comma")),
            None => Ok((0, fetch.unwrap_or(usize::MAX))),
        }
    }

    fn select(
        &self,
        select: &Select,
        order: Option<&OrderBy>,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let mut source = self.from(&select.from, select.selection.as_ref(), ctes, outer)?;
        if let Some(condition) = &select.selection {
            let rows = std::mem::take(&mut source.rows);
            for row in rows {
                self.steps(1)?;
                let scope = Scope { relation: &source, row: &row, group: None, ctes, outer };
                if self.value(condition, &scope)?.is_true() {
                    source.rows.push(row);
                }
            }
        }
        let mut items = items(&select.projection, &source)?;
        self.series(&mut items, &mut source, ctes, outer)?;
        self.windows(&mut items, &mut source, ctes, outer)?;
        let none = Scope { relation: &source, row: &[], group: None, ctes, outer };
        let columns: Vec<Column> = items
            .iter()
            .map(|(expr, name)| Column { table: String::new(), name: name.clone(), kind: self.kind(expr, &none) })
            .collect();
        let order = order_of(order)?;
        let mut made: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
        for group in self.groups(select, &items, &source, ctes, outer)? {
            self.steps(1)?;
            let first = group.as_ref().map_or(&[][..], |group| group.first().map_or(&[][..], |row| row.as_slice()));
            let row = group.as_deref().filter(|_| is_grouped(select, &items));
            let scope = Scope { relation: &source, row: first, group: row, ctes, outer };
            if let Some(having) = &select.having
                && !self.value(having, &scope)?.is_true()
            {
                continue;
            }
            let row: Vec<Value> = items.iter().map(|(expr, _)| self.value(expr, &scope)).collect::<Result<_>>()?;
            self.make(size_of_val(row.as_slice()))?;
            let key = |key: &OrderByExpr| self.sort_key(&key.expr, &row, &columns, Some(&scope));
            let keys = self.kept(order.iter().map(key))?;
            made.push((row, keys));
        }
        if select.distinct.is_some() {
            made = self.distinct(made, |(row, _)| row)?;
        }
        made.sort_by(|(_, a), (_, b)| by_keys(a, b, order));
        Ok(Relation { columns, open: Vec::new(), rows: made.into_iter().map(|(row, _)| row).collect() })
    }

    /// The rows in groups; each a group of its own where nothing is grouped.
    fn groups<'r>(
        &self,
        select: &Select,
        items: &[(Expr, String)],
        source: &'r Relation,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<Option<Vec<&'r Vec<Value>>>>> {
        if !is_grouped(select, items) {
            return Ok(source.rows.iter().map(|row| Some(vec![row])).collect());
        }
        let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Err(unsupported("GROUP BY ALL")) };
        if keys.is_empty() {
            return Ok(vec![Some(source.rows.iter().collect())]);
        }
        let mut groups: Vec<(Vec<Value>, Vec<&Vec<Value>>)> = Vec::new();
        for row in &source.rows {
            let scope = Scope { relation: source, row, group: None, ctes, outer };
            let key =
                |expr: &Expr| match ordinal(expr).and_then(|at| items.get(at)).or_else(|| named(expr, items, source)) {
                    Some((item, _)) => self.value(item, &scope),
                    None => self.value(expr, &scope),
                };
            let key = self.kept(keys.iter().map(key))?;
            self.steps(groups.len())?;
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        Ok(groups.into_iter().map(|(_, rows)| Some(rows)).collect())
    }

    fn sort_key(&self, expr: &Expr, row: &[Value], columns: &[Column], scope: Option<&Scope<'_>>) -> Result<Value> {
        let named = |name: &Ident| columns.iter().position(|column| same(&column.name, name));
        let at = ordinal(expr).or_else(|| if let Expr::Identifier(name) = expr { named(name) } else { None });
        if let Some(value) = at.and_then(|at| row.get(at)) {
            self.make(value.beside())?;
            return Ok(value.clone());
        }
        match scope {
            Some(scope) => self.value(expr, scope),
            None => Err(unsupported("this ORDER BY behind a UNION")),
        }
    }

    fn sort_plain(&self, relation: &mut Relation, order: Option<&OrderBy>) -> Result<()> {
        let order = order_of(order)?;
        let rows = std::mem::take(&mut relation.rows);
        let keyed = |row: Vec<Value>| {
            let keys = order.iter().map(|key| self.sort_key(&key.expr, &row, &relation.columns, None));
            let keys = self.kept(keys)?;
            Ok((row, keys))
        };
        let mut keyed: Vec<_> = rows.into_iter().map(keyed).collect::<Result<_>>()?;
        keyed.sort_by(|(_, a), (_, b)| by_keys(a, b, order));
        relation.rows = keyed.into_iter().map(|(row, _)| row).collect();
        Ok(())
    }

    /// The first of those that are equal in what is compared.
    pub(super) fn distinct<T, K: PartialEq>(&self, all: Vec<T>, key: impl Fn(&T) -> &K) -> Result<Vec<T>> {
        let mut kept: Vec<T> = Vec::new();
        for one in all {
            self.steps(kept.len())?;
            if !kept.iter().any(|known| key(known) == key(&one)) {
                kept.push(one);
            }
        }
        Ok(kept)
    }

    /// The value of an argument.
    pub fn argument(&self, arg: &FunctionArg, scope: &Scope<'_>) -> Result<Value> {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.value(expr, scope),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(Value::Int(1)),
            _ => Err(unsupported("arguments by name")),
        }
    }
}

/// What is selected, with names; wildcards written out.
fn items(projection: &[SelectItem], source: &Relation) -> Result<Vec<(Expr, String)>> {
    let mut all = Vec::new();
    let column = |column: &Column| {
        let parts = vec![Ident::with_quote('"', &column.table), Ident::with_quote('"', &column.name)];
        let parts = if column.table.is_empty() { parts[1..].to_vec() } else { parts };
        (Expr::CompoundIdentifier(parts), column.name.clone())
    };
    for item in projection {
        match item {
            SelectItem::UnnamedExpr(expr) => all.push((expr.clone(), name_of(expr))),
            SelectItem::ExprWithAlias { expr, alias } => all.push((expr.clone(), folded(alias))),
            SelectItem::Wildcard(_) => all.extend(source.columns.iter().map(column)),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let table =
                    name.0.last().map(|part| part.to_string().replace('"', "").to_lowercase()).unwrap_or_default();
                all.extend(source.columns.iter().filter(|c| c.table == table).map(column));
            }
            _ => return Err(unsupported("this item of SELECT")),
        }
    }
    Ok(all)
}

/// As PostgreSQL names what has no name.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => folded(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        Expr::Function(function) => {
            function.name.0.last().map(|part| part.to_string().replace('"', "").to_lowercase()).unwrap_or_default()
        }
        Expr::Cast { expr, data_type, .. } => match name_of(expr).as_str() {
            UNNAMED => data_type.to_string().to_lowercase(),
            name => name.to_owned(),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Case { .. } => "case".into(),
        Expr::Exists { .. } => "exists".into(),
        Expr::Array(_) => "array".into(),
        _ => UNNAMED.into(),
    }
}

const UNNAMED: &str = "?column?";

/// Names without quotes are in lower case.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn same(column: &str, name: &Ident) -> bool {
    if name.quote_style.is_some() { column == name.value } else { column.eq_ignore_ascii_case(&name.value) }
}

/// A number that stands for an item of SELECT.
fn ordinal(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let Literal::Number(digits, _) = &value.value else { return None };
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// A name that an item of SELECT has and no column.
fn named<'i>(expr: &Expr, items: &'i [(Expr, String)], source: &Relation) -> Option<&'i (Expr, String)> {
    let Expr::Identifier(name) = expr else { return None };
    let is_column = source.columns.iter().any(|column| same(&column.name, name));
    items.iter().find(|(_, known)| !is_column && same(known, name))
}

fn is_grouped(select: &Select, items: &[(Expr, String)]) -> bool {
    let keys = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    keys || items.iter().any(|(expr, _)| aggregates(expr)) || select.having.as_ref().is_some_and(aggregates)
}

/// Does an aggregate stand in it, outside subqueries?
fn aggregates(expr: &Expr) -> bool {
    struct Found(usize);
    impl Visitor for Found {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(call) if self.0 == 0 && is_aggregate(&call.name.to_string()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Found(0)).is_break()
}

pub(super) fn order_of(order: Option<&OrderBy>) -> Result<&[OrderByExpr]> {
    match order.map(|order| &order.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(keys)) => Ok(keys),
        Some(OrderByKind::All(_)) => Err(unsupported("ORDER BY ALL")),
    }
}

pub(super) fn by_keys(a: &[Value], b: &[Value], order: &[OrderByExpr]) -> Ordering {
    let compared = a.iter().zip(b).zip(order).map(|((a, b), key)| {
        let descends = key.options.asc == Some(false);
        let nulls_first = key.options.nulls_first.unwrap_or(descends);
        match (a, b) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => {
                if nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (_, Value::Null) => {
                if nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (a, b) => {
                let order = a.compare(b).unwrap_or(Ordering::Equal);
                if descends { order.reverse() } else { order }
            }
        }
    });
    compared.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
