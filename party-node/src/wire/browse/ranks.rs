//! What SELECT computes from many rows, or into many, beside groups: places in an order, and functions that give rows.

use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArguments, Ident, OrderByExpr, WindowSpec, WindowType};

use super::select::{Column, Ctes, Engine, Relation, Scope, by_keys, unsupported};
use super::value::{Kind, Value};
use crate::fault::NodeError;

type Result<T> = std::result::Result<T, NodeError>;

/// An item of SELECT with its name.
type Item = (Expr, String);

impl Engine<'_> {
    /// Where one item is `generate_subscripts` or `unnest`, each row becomes as many as it gives.
    pub(super) fn series(
        &self,
        items: &mut [Item],
        source: &mut Relation,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<()> {
        let mut gives_rows = items.iter_mut().filter(|(expr, _)| series(expr).is_some());
        let Some((item, _)) = gives_rows.next() else { return Ok(()) };
        if gives_rows.next().is_some() {
            return Err(unsupported("two functions that give rows"));
        }
        let Some((function, name)) = series(item) else { return Ok(()) };
        let FunctionArguments::List(list) = &function.args else { return Err(unsupported("this function")) };
        let Some(array) = list.args.first() else { return Err(unsupported("this function")) };
        let mut rows = Vec::new();
        for row in &source.rows {
            let scope = Scope { relation: source, row, group: None, ctes, outer };
            let Value::List(list) = self.argument(array, &scope)? else { continue };
            for (at, value) in (1..).zip(list) {
                let mut row = row.clone();
                row.push(if name == SUBSCRIPTS { Value::Int(at) } else { value });
                self.copied(std::slice::from_ref(&row))?;
                rows.push(row);
            }
        }
        let kind = if name == SUBSCRIPTS { Kind::Int } else { Kind::Text };
        source.rows = rows;
        *item = added(source, kind);
        Ok(())
    }

    /// Puts the places of rows in an order where `rank()` and `row_number()` stand.
    pub(super) fn windows(
        &self,
        items: &mut [Item],
        source: &mut Relation,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<()> {
        for (item, _) in items {
            let Some((window, ties)) = window(item)? else { continue };
            let places = self.places(&window, ties, source, ctes, outer)?;
            for (row, place) in source.rows.iter_mut().zip(places) {
                row.push(Value::Int(place));
            }
            *item = added(source, Kind::Int);
        }
        Ok(())
    }

    /// The place of each row among those of its part, from 1; with `ties`, equal rows share the first of theirs.
    fn places(
        &self,
        window: &WindowSpec,
        ties: bool,
        source: &Relation,
        ctes: &Ctes,
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<i64>> {
        let keyed = |row: &Vec<Value>| {
            let scope = Scope { relation: source, row, group: None, ctes, outer };
            let part = self.kept(window.partition_by.iter().map(|expr| self.value(expr, &scope)))?;
            let keys = self.kept(window.order_by.iter().map(|key| self.value(&key.expr, &scope)))?;
            Ok((part, keys))
        };
        let keyed = source.rows.iter().map(keyed).collect::<Result<Vec<_>>>()?;
        let is_before = |a: usize, b: usize, order: &[OrderByExpr]| {
            let order = by_keys(&keyed[a].1, &keyed[b].1, order);
            order.is_lt() || order.is_eq() && !ties && a < b
        };
        let mut places = Vec::with_capacity(keyed.len());
        for (at, (part, _)) in keyed.iter().enumerate() {
            self.steps(keyed.len())?;
            let others = (0..keyed.len()).filter(|other| keyed[*other].0 == *part);
            places.push(others.filter(|other| is_before(*other, at, &window.order_by)).count() as i64 + 1);
        }
        Ok(places)
    }
}

const SUBSCRIPTS: &str = "generate_subscripts";

/// A function that gives rows.
fn series(expr: &Expr) -> Option<(Function, String)> {
    let Expr::Function(function) = expr else { return None };
    let name = short(function);
    [SUBSCRIPTS, "unnest"].contains(&name.as_str()).then(|| (function.clone(), name))
}

/// A place in an order; with whether equal rows have one place.
fn window(expr: &Expr) -> Result<Option<(WindowSpec, bool)>> {
    let Expr::Function(function) = expr else { return Ok(None) };
    match (&function.over, short(function).as_str()) {
        (None, _) => Ok(None),
        (Some(WindowType::WindowSpec(window)), name @ ("rank" | "row_number")) => {
            Ok(Some((window.clone(), name == "rank")))
        }
        _ => Err(unsupported("this window function")),
    }
}

fn short(function: &Function) -> String {
    function.name.0.last().map(|part| part.to_string().replace('"', "").to_lowercase()).unwrap_or_default()
}

/// The expression of a column that was added behind the others.
fn added(source: &mut Relation, kind: Kind) -> Expr {
    // No program's name has a space in front.
    let name = format!(" {}", source.columns.len());
    source.columns.push(Column { table: String::new(), name: name.clone(), kind });
    Expr::Identifier(Ident::with_quote('"', name))
}
