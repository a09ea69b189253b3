//! Expressions as a steward reads them: no type names around constants, no casts that change no value.

use arrow::datatypes::DataType;
use datafusion_expr::expr::{Between, BinaryExpr, Case, Cast, InList, Like};
use datafusion_expr::{Expr, Operator};

use crate::value::Value;

/// An expression in SQL's words.
pub(crate) fn words(expr: &Expr) -> String {
    match expr {
        Expr::Alias(alias) => words(&alias.expr),
        Expr::Column(column) => match &column.relation {
            Some(relation) => format!("{}.{}", relation.table(), column.name),
            None => column.name.clone(),
        },
        Expr::Literal(scalar, _) => match Value::from_scalar(scalar) {
            Some(Value::Date(days)) => format!("DATE '{}'", Value::Date(days)),
            Some(value) => value.to_string(),
            None => scalar.to_string(),
        },
        Expr::Cast(cast) if is_widening(cast) => words(&cast.expr),
        Expr::Cast(cast) => format!("CAST({} AS {})", words(&cast.expr), cast.field.data_type()),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            format!("{} {op} {}", operand(left, *op), operand(right, *op))
        }
        Expr::ScalarFunction(call) => format!("{}({})", call.name(), list(&call.args)),
        Expr::Case(case) => case_words(case),
        Expr::Not(inner) => format!("NOT ({})", words(inner)),
        Expr::Negative(inner) => format!("-({})", words(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", words(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", words(inner)),
        Expr::InList(InList { expr, list: items, negated }) => {
            format!("{} {}IN ({})", words(expr), not(*negated), list(items))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            format!("{} {}BETWEEN {} AND {}", words(expr), not(*negated), words(low), words(high))
        }
        Expr::Like(Like { expr, negated, pattern, .. }) => {
            format!("{} {}LIKE {}", words(expr), not(*negated), words(pattern))
        }
        other => other.human_display().to_string(),
    }
}

fn operand(expr: &Expr, outer: Operator) -> String {
    match expr {
        Expr::Alias(alias) => operand(&alias.expr, outer),
        Expr::Cast(cast) if is_widening(cast) => operand(&cast.expr, outer),
        // Equal precedence needs brackets too: a − (b − c) is not a − b − c. Chains of AND and OR do not.
        Expr::BinaryExpr(inner) if inner.op.precedence() <= outer.precedence() && !is_chain(inner.op, outer) => {
            format!("({})", words(expr))
        }
        other => words(other),
    }
}

fn is_chain(inner: Operator, outer: Operator) -> bool {
    inner == outer && matches!(outer, Operator::And | Operator::Or)
}

/// Casts that coercion adds and that change no value a reader would care about.
fn is_widening(cast: &Cast) -> bool {
    match cast.field.data_type() {
        DataType::Float64 => true,
        DataType::Int64 => matches!(&*cast.expr, Expr::ScalarFunction(call) if call.name() == "date_part"),
        _ => false,
    }
}

fn case_words(case: &Case) -> String {
    let base = case.expr.iter().map(|base| format!(" {}", words(base)));
    let branches = case.when_then_expr.iter().map(|(when, then)| format!(" WHEN {} THEN {}", words(when), words(then)));
    let otherwise = case.else_expr.iter().map(|e| format!(" ELSE {}", words(e)));
    format!("CASE{} END", base.chain(branches).chain(otherwise).collect::<String>())
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{cast, col, lit};

    use super::*;

    #[test]
    fn constants_lose_their_types_and_brackets_stay_where_they_matter() {
        let age = lit(2019i64) - (col("p.born") - lit(1i64));
        assert_eq!(words(&age), "2019 - (p.born - 1)");
        assert_eq!(words(&(col("a") + col("b") * lit(2i64))), "a + b * 2");
        assert_eq!(words(&cast(col("a").eq(lit("x'y")), DataType::Float64)), "a = 'x''y'");
        assert_eq!(words(&cast(col("a"), DataType::Int64)), "CAST(a AS Int64)");
    }
}
