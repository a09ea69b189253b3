//! The public domain of an expression: every value it can have, when catalogue and query say so.

use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Between, BinaryExpr, Case, InList};
use datafusion_expr::utils::{split_binary, split_conjunction};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use crate::bounds::{Interval, width_buckets};
use crate::facts::{Fact, Scope};
use crate::value::Value;

/// Every value of `expr` except NULL, or none when only the rows know.
pub(crate) fn domain(expr: &Expr, scope: &Scope<'_>) -> Option<Vec<Value>> {
    let values = match expr {
        Expr::Literal(scalar, _) => Some(literal(scalar)?),
        Expr::Cast(cast) => cast_domain(scope.domain(&cast.expr), cast.field.data_type()),
        Expr::Case(case) => case_domain(case, scope),
        Expr::ScalarFunction(call) => match call.name() {
            "width_bucket" => width_buckets(&call.args).and_then(|(lo, hi)| integers(lo, hi)),
            "date_part" => crate::bounds::date_part(&call.args).and_then(|i| integers(i.lo, i.hi)),
            "coalesce" => call.args.iter().map(|a| scope.domain(a)).reduce(union).flatten(),
            _ => None,
        },
        _ => None,
    };
    values.or_else(|| booleans(expr, scope)).filter(|v| v.len() <= MAX_DOMAIN)
}

/// The values of either, or none when one is unknown.
pub(crate) fn union(a: Option<Vec<Value>>, b: Option<Vec<Value>>) -> Option<Vec<Value>> {
    let mut all = a?;
    all.extend(b?);
    bounded(all)
}

/// Sorted, without repetitions, and none when there are too many.
fn bounded(mut values: Vec<Value>) -> Option<Vec<Value>> {
    values.sort();
    values.dedup();
    (values.len() <= MAX_DOMAIN).then_some(values)
}

/// Takes in what a WHERE clause says about single columns: `c = 1`, `c IN (1, 2)`, `c < 5`, `c <> 0`, `c IS NOT NULL`.
pub(crate) fn narrow(facts: &mut [Fact], predicate: &Expr, scope: &Scope<'_>) {
    let conditions = split_conjunction(predicate);
    // What is not an end before the others are taken in may be one then.
    for condition in conditions.iter().chain(&conditions) {
        let position = |e: &Expr| match e {
            Expr::Column(column) => scope.position(column),
            _ => None,
        };
        if let Some((column, values)) = listed(condition)
            && let Some(fact) = position(column).and_then(|i| facts.get_mut(i))
        {
            restrict(fact, values);
        } else if let Some((column, low, high)) = ranged(condition)
            && let Some(fact) = position(column).and_then(|i| facts.get_mut(i))
        {
            fact.nullable = false;
            if let Some(interval) = &mut fact.interval {
                interval.clip(low, high);
            }
        } else if let Some((column, value)) = unequal(condition)
            && let Some(fact) = position(column).and_then(|i| facts.get_mut(i))
        {
            fact.nullable = false;
            if let Some(interval) = &mut fact.interval {
                interval.clip((interval.lo == value).then_some(value + 1), (interval.hi == value).then_some(value - 1));
            }
        } else if let Expr::IsNotNull(column) = condition
            && let Some(fact) = position(column).and_then(|i| facts.get_mut(i))
        {
            fact.nullable = false;
        }
    }
}

fn restrict(fact: &mut Fact, values: Vec<Value>) {
    let domain = match fact.domain.take() {
        // `listed` gives its values in order.
        Some(domain) => domain.into_iter().filter(|v| values.binary_search(v).is_ok()).collect(),
        None => values,
    };
    if let (Some(interval), Some(hull)) = (&mut fact.interval, Interval::of_values(&domain)) {
        interval.clip(Some(hull.lo), Some(hull.hi));
    }
    fact.domain = (domain.len() <= MAX_DOMAIN).then_some(domain);
    fact.nullable = false;
}

/// `c = 1`, `c IN (1, 2)`, `c = 1 OR c = 2`: a column and the constants it equals.
pub(crate) fn listed(condition: &Expr) -> Option<(&Expr, Vec<Value>)> {
    let mut found: Option<(&Expr, Vec<Value>)> = None;
    for branch in split_binary(condition, Operator::Or) {
        let (column, values) = listed_once(branch)?;
        match &mut found {
            None => found = Some((column, values)),
            Some((same, all)) if *same == column => all.extend(values),
            Some(_) => return None,
        }
    }
    let (column, mut values) = found?;
    values.sort();
    values.dedup();
    Some((column, values))
}

fn listed_once(condition: &Expr) -> Option<(&Expr, Vec<Value>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (column @ Expr::Column(_), Expr::Literal(v, _)) | (Expr::Literal(v, _), column @ Expr::Column(_)) => {
                Some((column, literal(v)?))
            }
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let values = list.iter().map(|item| match item {
                Expr::Literal(v, _) => literal(v),
                _ => None,
            });
            Some((expr, values.collect::<Option<Vec<_>>>()?.concat()))
        }
        _ => None,
    }
}

/// Can no value meet both? Of conditions like `c < 5` and `c BETWEEN 5 AND 9` on the same column.
pub(crate) fn exclude(a: &Expr, b: &Expr) -> bool {
    let (Some((column, a_low, a_high)), Some((other, b_low, b_high))) = (ranged(a), ranged(b)) else { return false };
    let before = |high: Option<i128>, low: Option<i128>| matches!((high, low), (Some(high), Some(low)) if high < low);
    column == other && (before(a_high, b_low) || before(b_high, a_low))
}

/// `c < 5`, `5 >= c`, `c BETWEEN 1 AND 5`: a column and its inclusive ends, unscaled.
fn ranged(condition: &Expr) -> Option<(&Expr, Option<i128>, Option<i128>)> {
    if let Expr::Between(Between { expr, negated: false, low, high }) = condition {
        return Some((expr, exact(low), exact(high)));
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op, constant) = match (&**left, &**right) {
        (column @ Expr::Column(_), constant @ Expr::Literal(..)) => (column, *op, constant),
        (constant @ Expr::Literal(..), column @ Expr::Column(_)) => (column, op.swap()?, constant),
        _ => return None,
    };
    // Whole numbers and decimals have a next one.
    match op {
        Operator::Lt => Some((column, None, exact(constant).map(|end| end.saturating_sub(1)))),
        Operator::LtEq => Some((column, None, exact(constant))),
        Operator::Gt => Some((column, exact(constant).map(|end| end.saturating_add(1)), None)),
        Operator::GtEq => Some((column, exact(constant), None)),
        _ => None,
    }
}

/// `c <> 5`: a column and what it is not, unscaled.
fn unequal(condition: &Expr) -> Option<(&Expr, i128)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::NotEq, right }) => match (&**left, &**right) {
            (column @ Expr::Column(_), constant) | (constant, column @ Expr::Column(_)) => {
                Some((column, exact(constant)?))
            }
            _ => None,
        },
        _ => None,
    }
}

fn exact(expr: &Expr) -> Option<i128> {
    let Expr::Literal(scalar, _) = expr else { return None };
    match Value::from_scalar(scalar)? {
        Value::Int(i) => Some(i.into()),
        Value::Decimal(x, _) => Some(x),
        _ => None,
    }
}

/// The values of a constant: one, or none at all for NULL.
fn literal(scalar: &ScalarValue) -> Option<Vec<Value>> {
    match Value::from_scalar(scalar)? {
        Value::Null => Some(Vec::new()),
        value => Some(vec![value]),
    }
}

fn case_domain(case: &Case, scope: &Scope<'_>) -> Option<Vec<Value>> {
    let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    results.map(|result| scope.domain(result)).reduce(union).flatten()
}

fn cast_domain(domain: Option<Vec<Value>>, to: &arrow::datatypes::DataType) -> Option<Vec<Value>> {
    let cast = |value: Value| {
        let scalar = value.to_scalar(&natural_type(&value)?)?;
        Value::from_scalar(&scalar.cast_to(to).ok()?)
    };
    bounded(domain?.into_iter().map(cast).collect::<Option<_>>()?)
}

fn natural_type(value: &Value) -> Option<arrow::datatypes::DataType> {
    use arrow::datatypes::{DataType, TimeUnit};
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => DataType::Boolean,
        Value::Int(_) => DataType::Int64,
        Value::Real(_) => DataType::Float64,
        Value::Decimal(_, scale) => DataType::Decimal128(38, *scale),
        Value::Date(_) => DataType::Date32,
        Value::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Value::Text(_) => DataType::Utf8,
    })
}

fn booleans(expr: &Expr, scope: &Scope<'_>) -> Option<Vec<Value>> {
    let data_type = expr.get_type(scope).ok()?;
    (data_type == arrow::datatypes::DataType::Boolean).then(|| vec![Value::Bool(false), Value::Bool(true)])
}

fn integers(lo: i128, hi: i128) -> Option<Vec<Value>> {
    let (lo, hi) = (i64::try_from(lo).ok()?, i64::try_from(hi).ok()?);
    let count = usize::try_from(hi.checked_sub(lo)?.checked_add(1)?).ok()?;
    (count <= MAX_DOMAIN).then(|| (lo..=hi).map(Value::Int).collect())
}

/// No policy allows more groups, so a longer list could not be used.
const MAX_DOMAIN: usize = 1 << 16;
