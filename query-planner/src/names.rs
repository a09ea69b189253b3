//! Names for result columns that SQL leaves unnamed and DataFusion would name alike: `SELECT COUNT(*), COUNT(*)` is fine in
//! PostgreSQL, and an error in a library that finds columns by name.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, Statement, VisitMut, VisitorMut};

/// Names the columns of every SELECT whose items would otherwise clash.
pub(crate) fn name_columns(statement: &mut Statement) {
    let _ = statement.visit(&mut Namer);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            name_items(&mut select.projection);
        }
        ControlFlow::Continue(())
    }
}

fn name_items(items: &mut [SelectItem]) {
    let kinds: Vec<Option<String>> = items.iter().map(kind).collect();
    let clashes = |kind: &Option<String>| kind.is_some() && kinds.iter().filter(|k| *k == kind).count() > 1;
    let mut taken: Vec<String> = Vec::new();
    for (item, kind) in items.iter_mut().zip(&kinds) {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if clashes(kind) {
            let text = expr.to_string().to_lowercase();
            let same = taken.iter().filter(|other| **other == text).count();
            let name = if same == 0 { text.clone() } else { format!("{text} ({})", same + 1) };
            taken.push(text);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}

/// What a library may name an unnamed item by: a function's name, or the whole text.
fn kind(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Function(call)) => Some(call.name.to_string().to_lowercase()),
        SelectItem::UnnamedExpr(expr) => Some(expr.to_string().to_lowercase()),
        _ => None,
    }
}
