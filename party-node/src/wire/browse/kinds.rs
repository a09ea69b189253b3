//! What an expression's values are, known before there is one: a description comes before the rows.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query,
    UnaryOperator, Value as Literal,
};

use super::eval::{Found, find};
use super::functions;
use super::select::{Engine, Relation, Scope};
use super::value::Kind;

impl Engine<'_> {
    /// What an expression's values are, known without a row.
    pub fn kind(&self, expr: &Expr, scope: &Scope<'_>) -> Kind {
        match expr {
            Expr::Identifier(name) => kind_of_column(None, name, scope),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, name] => kind_of_column(Some(table), name, scope),
                _ => Kind::Text,
            },
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } | Expr::Prefixed { value: inner, .. } => {
                self.kind(inner, scope)
            }
            Expr::Value(value) => match &value.value {
                Literal::Number(digits, _) if digits.parse::<i64>().is_ok() => Kind::Int,
                Literal::Number(..) => Kind::Real,
                Literal::Boolean(_) => Kind::Bool,
                _ => Kind::Text,
            },
            Expr::Cast { data_type, .. } => kind_of_type(data_type),
            Expr::UnaryOp { op: UnaryOperator::Not, .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::Exists { .. } => Kind::Bool,
            Expr::UnaryOp { expr, .. } => self.kind(expr, scope),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo => {
                    let either = [left, right].map(|side| self.kind(side, scope));
                    if either.contains(&Kind::Real) { Kind::Real } else { Kind::Int }
                }
                BinaryOperator::BitwiseAnd | BinaryOperator::BitwiseOr => Kind::Int,
                BinaryOperator::StringConcat => Kind::Text,
                _ => Kind::Bool,
            },
            Expr::Case { conditions, else_result, .. } => {
                let results = conditions.iter().map(|when| &when.result).chain(else_result.as_deref());
                let says = |expr: &&Expr| !matches!(expr, Expr::Value(value) if value.value == Literal::Null);
                results.into_iter().find(says).map_or(Kind::Text, |expr| self.kind(expr, scope))
            }
            Expr::Subquery(query) => self.kind_of_query(query, scope),
            Expr::Array(array) => array.elem.first().map_or(Kind::Texts, |item| self.kind(item, scope).list()),
            Expr::Function(function) => self.kind_of_call(function, scope),
            Expr::Position { .. } => Kind::Int,
            _ => Kind::Text,
        }
    }

    fn kind_of_query(&self, query: &Query, scope: &Scope<'_>) -> Kind {
        let relation: Option<Relation> = self.query(query, scope.ctes, Some(scope)).ok();
        relation.and_then(|relation| relation.columns.first().map(|column| column.kind)).unwrap_or(Kind::Text)
    }

    fn kind_of_call(&self, function: &Function, scope: &Scope<'_>) -> Kind {
        let name = function.name.to_string().replace('"', "").to_lowercase();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        let first = match &function.args {
            FunctionArguments::List(list) => list.args.first().and_then(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(self.kind(expr, scope)),
                _ => None,
            }),
            FunctionArguments::Subquery(query) => Some(self.kind_of_query(query, scope)),
            FunctionArguments::None => None,
        };
        functions::kind(name, first)
    }
}

fn kind_of_column(table: Option<&Ident>, name: &Ident, scope: &Scope<'_>) -> Kind {
    match find(table, name, scope) {
        Ok(Found::At(scope, at)) => scope.relation.columns[at].kind,
        _ => Kind::Text,
    }
}

/// A type's name without schema and quotes.
pub(super) fn type_name(data_type: &DataType) -> String {
    let name = data_type.to_string().replace('"', "").to_lowercase();
    name.strip_prefix("pg_catalog.").map(str::to_owned).unwrap_or(name)
}

/// What values of a type are.
pub(super) fn kind_of_type(data_type: &DataType) -> Kind {
    let name = type_name(data_type);
    if let Some(element) = name.strip_suffix("[]") {
        let is_int = ["int", "oid", "bigint", "smallint"].iter().any(|word| element.starts_with(word));
        return if is_int { Kind::Ints } else { Kind::Texts };
    }
    match name.split(['(', ' ']).next().unwrap_or_default() {
        "bool" | "boolean" => Kind::Bool,
        "int" | "int2" | "int4" | "int8" | "integer" | "bigint" | "smallint" | "oid" | "xid" | "cid" => Kind::Int,
        "float4" | "float8" | "double" | "real" | "float" | "numeric" | "decimal" => Kind::Real,
        _ => Kind::Text,
    }
}
