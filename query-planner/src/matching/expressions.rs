//! Expressions over what is known of a patient as a whole.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Between, BinaryExpr, Case, Cast, InList};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use crate::error::{PlanError, refuse};
use crate::matching::codes;
use crate::matching::home::is_countable;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::unmatchable;
use crate::matching::values::{Choice, Compare, Linear, Truth, Value};
use crate::matching::view::{Col, View};
use crate::value::Value as Constant;
use crate::words::words;

/// The patient's value of an expression.
///
/// # Errors
/// `UNMATCHABLE` for what has no such value, or cannot be computed between sites.
pub(crate) fn value(expr: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    match expr {
        Expr::Alias(alias) => value(&alias.expr, view, nodes),
        Expr::Column(column) => column_value(column, view, nodes),
        Expr::Literal(scalar, _) => literal(scalar),
        Expr::Cast(inner) => cast(inner, view, nodes),
        Expr::Case(case) => choose(case, expr, view, nodes),
        Expr::Negative(inner) => Ok(Value::Number(number(inner, view, nodes)?.times(-1)?)),
        Expr::ScalarFunction(call) if call.name() == "coalesce" => {
            let values = call.args.iter().map(|a| value(a, view, nodes)).collect::<Result<Vec<_>, _>>()?;
            first_present(values, nodes)
        }
        Expr::ScalarFunction(call) if matches!(call.name(), "least" | "greatest") => {
            let numbers = call.args.iter().map(|a| number(a, view, nodes)).collect::<Result<Vec<_>, _>>()?;
            extreme(numbers, call.name() == "greatest", nodes)
        }
        Expr::ScalarFunction(call) if call.name() == "width_bucket" => bucket(&call.args, expr, view, nodes),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) => {
            if !is_countable(expr, &view.schema) {
                let text = format!("{} cannot be computed for matched patients", words(expr));
                return Err(unmatchable(text).hint("cast moments to DATE: days can be added and subtracted"));
            }
            let (a, b) = (number(left, view, nodes)?, number(right, view, nodes)?);
            Ok(Value::Number(if *op == Operator::Plus { a.plus(b, nodes)? } else { a.minus(b, nodes)? }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Multiply, right }) => {
            let (a, b) = (number(left, view, nodes)?, number(right, view, nodes)?);
            product(a, b, nodes).map(Value::Number)
        }
        other => truth(other, view, nodes).map(Value::Truth),
    }
}

fn number(expr: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
    value(expr, view, nodes)?.number(nodes)
}

fn product(a: Linear, b: Linear, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
    let digits = a.digits + b.digits;
    let present = nodes.and(a.present, b.present);
    let scaled = |by: &Linear, other: Linear| Ok(Linear { present, digits, ..other.times(by.constant)? });
    if a.terms.is_empty() {
        return scaled(&a, b);
    }
    if b.terms.is_empty() {
        return scaled(&b, a);
    }
    let (x, y) = (a.node(nodes)?, b.node(nodes)?);
    Ok(Linear { digits, ..Linear::of_node(nodes.multiply(x, y)?, present) })
}

fn column_value(column: &datafusion_common::Column, view: &View, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    match view.named(column)?.clone() {
        Col::Patient(value) => Ok(value),
        Col::Row(part, inner) if view.parts[part].is_unique => codes::only_value(&view.parts[part], &inner, nodes),
        Col::Key(_) => Err(unmatchable(format!("{} is only compared with itself", nodes.catalog.patient_key))),
        Col::Refused(why) => Err(why),
        _ => Err(unmatchable(format!("{column} differs between the rows of a patient"))
            .hint("compare it in a condition of its own, or take its MIN or MAX for each patient first")),
    }
}

/// A constant; an interval of whole days as their number.
pub(crate) fn literal(scalar: &ScalarValue) -> Result<Value, PlanError> {
    let days = match scalar {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 && i.nanoseconds % DAY_NANOSECONDS == 0 => {
            Some(i64::from(i.days) + i.nanoseconds / DAY_NANOSECONDS)
        }
        ScalarValue::IntervalDayTime(Some(i)) if i.milliseconds == 0 => Some(i.days.into()),
        _ => None,
    };
    let value = days.map(Constant::Int).or_else(|| Constant::from_scalar(scalar));
    let value = value.ok_or_else(|| {
        unmatchable(format!("{scalar} cannot be computed with between sites")).hint("write days as a whole number")
    })?;
    Ok(Value::Choice(Choice::constant(value)))
}

/// Casts that keep an exact number; casts of constants.
fn cast(cast: &Cast, view: &View, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let to = cast.field.data_type();
    let from = cast.expr.get_type(view.schema.as_ref()).map_err(|e| refuse(&e))?;
    let refused = || unmatchable(format!("a value of one patient cannot be cast to {to} between sites"));
    match value(&cast.expr, view, nodes)? {
        Value::Choice(choice) => {
            let mut cases = Vec::new();
            for (value, bit) in choice.0 {
                let scalar = value.to_scalar(&from).and_then(|s| s.cast_to(to).ok());
                cases.push((scalar.and_then(|s| Constant::from_scalar(&s)).ok_or_else(refused)?, bit));
            }
            Ok(Value::Choice(Choice(cases).merged(nodes)))
        }
        Value::Truth(truth) if to.is_numeric() => {
            let node = nodes.number(truth.yes)?;
            let present = nodes.or(truth.yes, truth.no);
            Ok(Value::Number(Linear::of_node(node, present)))
        }
        Value::Number(number) => {
            let keeps = match to {
                DataType::Float64 | DataType::Int64 | DataType::UInt64 | DataType::Date32 => {
                    number.digits == 0 || *to == DataType::Float64
                }
                DataType::Decimal128(_, scale) => u8::try_from(*scale).is_ok_and(|s| s >= number.digits),
                _ => from == *to,
            };
            if keeps { Ok(Value::Number(number)) } else { Err(refused()) }
        }
        truth if from == *to => Ok(truth),
        _ => Err(refused()),
    }
}

/// CASE, also in the form with a base.
fn choose(case: &Case, expr: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let mut open = Bit::Yes;
    let mut branches = Vec::new();
    for (when, then) in &case.when_then_expr {
        let condition = match &case.expr {
            Some(base) => (**base).clone().eq((**when).clone()),
            None => (**when).clone(),
        };
        let holds = truth(&condition, view, nodes)?.yes;
        branches.push((nodes.and(open, holds), value(then, view, nodes)?));
        let fails = nodes.not(holds);
        open = nodes.and(open, fails);
    }
    let otherwise = match &case.else_expr {
        Some(otherwise) => value(otherwise, view, nodes)?,
        None => Value::Choice(Choice::constant(Constant::Null)),
    };
    branches.push((open, otherwise));
    branch(branches, nodes).map_err(|e| e.hint(format!("in {}", words(expr))))
}

/// The value whose bit is 1; of the bits exactly one is.
fn branch(branches: Vec<(Bit, Value)>, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    if branches.iter().any(|(_, value)| matches!(value, Value::Number(_))) {
        let mut total = Linear { present: Bit::No, ..Linear::constant(0, 0) };
        let mut present = Bit::No;
        for (bit, value) in branches {
            let number = value.number(nodes)?;
            let known = nodes.and(bit, number.present);
            let node = number.node(nodes)?;
            let chosen = Linear { digits: number.digits, ..Linear::of_node(nodes.select(known, node)?, Bit::Yes) };
            total = Linear { present: Bit::Yes, ..total }.plus(chosen, nodes)?;
            present = nodes.or(present, known);
        }
        return Ok(Value::Number(Linear { present, ..total }));
    }
    let mut cases = Vec::new();
    for (bit, value) in branches {
        let choice = value.choice(nodes).map(|c| c.0).unwrap_or_default();
        for (constant, own) in choice {
            cases.push((constant, nodes.and(bit, own)));
        }
    }
    Ok(Value::Choice(Choice(cases).merged(nodes)))
}

fn first_present(values: Vec<Value>, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let mut open = Bit::Yes;
    let mut branches = Vec::new();
    for value in values {
        let known = value.present(nodes);
        branches.push((nodes.and(open, known), value));
        let unknown = nodes.not(known);
        open = nodes.and(open, unknown);
    }
    branches.push((open, Value::Choice(Choice::constant(Constant::Null))));
    branch(branches, nodes)
}

/// LEAST or GREATEST: the first of those that are not NULL that none of the others exceeds.
fn extreme(numbers: Vec<Linear>, greatest: bool, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let mut branches = Vec::new();
    let mut open = Bit::Yes;
    for number in &numbers {
        let mut best = nodes.and(open, number.present);
        for other in &numbers {
            let (low, high) = if greatest { (number, other) } else { (other, number) };
            let beaten = low.clone().compare(Compare::Less, high.clone(), nodes)?.yes;
            let unbeaten = nodes.not(beaten);
            best = nodes.and(best, unbeaten);
        }
        let rest = nodes.not(best);
        open = nodes.and(open, rest);
        branches.push((best, Value::Number(number.clone())));
    }
    branch(branches, nodes)
}

/// width_bucket(x, low, high, n): how many of the n + 1 bounds from low to high x has reached.
fn bucket(args: &[Expr], whole: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let refused = || unmatchable(format!("{} cannot be computed for matched patients", words(whole)));
    let [x, low, high, _] = args else { return Err(refused()) };
    let x = number(x, view, nodes)?;
    let (low, high) = (number(low, view, nodes)?, number(high, view, nodes)?);
    let (_, last) = crate::bounds::width_buckets(args).ok_or_else(refused)?;
    let span = high.clone().minus(low.clone(), nodes)?;
    if !low.terms.is_empty() || !high.terms.is_empty() || span.constant <= 0 || last > MAX_BUCKETS {
        return Err(refused());
    }
    let (present, buckets) = (x.present, last - 1);
    let scaled = x.minus(low, nodes)?.times(buckets)?;
    let mut cases = Vec::new();
    let mut reached = Bit::Yes;
    for i in 0..=buckets {
        let next = span.clone().times(i)?.compare(Compare::AtMost, scaled.clone(), nodes)?.yes;
        let below = nodes.not(next);
        let bits = nodes.all([reached, below, present]);
        cases.push((Constant::Int(i64::try_from(i).map_err(|_| refused())?), bits));
        reached = next;
    }
    let beyond = nodes.and(reached, present);
    cases.push((Constant::Int(i64::try_from(last).map_err(|_| refused())?), beyond));
    cases.push((Constant::Null, nodes.not(present)));
    Ok(Value::Choice(Choice(cases).merged(nodes)))
}

/// The patient's truth of a condition.
pub(crate) fn truth(expr: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Truth, PlanError> {
    Ok(match expr {
        Expr::Not(inner) => truth(inner, view, nodes)?.not(),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (a, b) = (truth(left, view, nodes)?, truth(right, view, nodes)?);
            if *op == Operator::And { a.and(b, nodes) } else { a.or(b, nodes) }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, expr, view, nodes)?,
        Expr::IsNull(inner) => presence(inner, view, nodes)?.not(),
        Expr::IsNotNull(inner) => presence(inner, view, nodes)?,
        Expr::IsTrue(inner) => {
            let yes = truth(inner, view, nodes)?.yes;
            Truth::of(yes, nodes)
        }
        Expr::IsFalse(inner) => {
            let no = truth(inner, view, nodes)?.no;
            Truth::of(no, nodes)
        }
        Expr::IsNotTrue(inner) => truth(&Expr::IsTrue(inner.clone()), view, nodes)?.not(),
        Expr::IsNotFalse(inner) => truth(&Expr::IsFalse(inner.clone()), view, nodes)?.not(),
        Expr::Between(Between { expr: inner, negated, low, high }) => {
            let above = comparison(inner, Operator::GtEq, low, expr, view, nodes)?;
            let below = comparison(inner, Operator::LtEq, high, expr, view, nodes)?;
            let between = above.and(below, nodes);
            if *negated { between.not() } else { between }
        }
        Expr::InList(InList { expr: inner, list, negated }) => {
            let mut any = Truth { yes: Bit::No, no: Bit::Yes };
            for item in list {
                let same = comparison(inner, Operator::Eq, item, expr, view, nodes)?;
                any = any.or(same, nodes);
            }
            if *negated { any.not() } else { any }
        }
        Expr::Alias(_) | Expr::Column(_) | Expr::Literal(..) | Expr::Case(_) | Expr::Cast(_) => {
            value(expr, view, nodes)?.truth(nodes)?
        }
        other => {
            let text = format!("{} cannot be computed for matched patients", words(other));
            return Err(unmatchable(text));
        }
    })
}

/// Is it not NULL?
fn presence(expr: &Expr, view: &View, nodes: &mut Nodes<'_>) -> Result<Truth, PlanError> {
    let present = match view.key(expr) {
        Some(key) => key,
        None => value(expr, view, nodes)?.present(nodes),
    };
    Ok(Truth::of(present, nodes))
}

fn comparison(
    left: &Expr,
    op: Operator,
    right: &Expr,
    whole: &Expr,
    view: &View,
    nodes: &mut Nodes<'_>,
) -> Result<Truth, PlanError> {
    if let (Some(a), Some(b), Operator::Eq) = (view.key(left), view.key(right), op) {
        let both = nodes.and(a, b);
        return Ok(Truth { yes: both, no: Bit::No });
    }
    let (a, b) = (value(left, view, nodes)?, value(right, view, nodes)?);
    if let (Value::Number(_), _) | (_, Value::Number(_)) = (&a, &b) {
        return numbers(a.number(nodes)?, op, b.number(nodes)?, nodes)?
            .ok_or_else(|| unmatchable(format!("{} cannot be computed for matched patients", words(whole))));
    }
    let (Some(a), Some(b)) = (a.choice(nodes), b.choice(nodes)) else {
        return Err(unmatchable(format!("{} cannot be computed for matched patients", words(whole))));
    };
    match op {
        Operator::Eq => a.compare(&b, |o| o.is_eq(), nodes),
        Operator::NotEq => a.compare(&b, |o| o.is_ne(), nodes),
        Operator::Lt => a.compare(&b, |o| o.is_lt(), nodes),
        Operator::LtEq => a.compare(&b, |o| o.is_le(), nodes),
        Operator::Gt => a.compare(&b, |o| o.is_gt(), nodes),
        Operator::GtEq => a.compare(&b, |o| o.is_ge(), nodes),
        _ => Err(unmatchable(format!("{} cannot be computed for matched patients", words(whole)))),
    }
}

fn numbers(a: Linear, op: Operator, b: Linear, nodes: &mut Nodes<'_>) -> Result<Option<Truth>, PlanError> {
    Ok(Some(match op {
        Operator::Lt => a.compare(Compare::Less, b, nodes)?,
        Operator::LtEq => a.compare(Compare::AtMost, b, nodes)?,
        Operator::Gt => b.compare(Compare::Less, a, nodes)?,
        Operator::GtEq => b.compare(Compare::AtMost, a, nodes)?,
        Operator::Eq => a.compare(Compare::Equal, b, nodes)?,
        Operator::NotEq => a.compare(Compare::Equal, b, nodes)?.not(),
        _ => return Ok(None),
    }))
}

const DAY_NANOSECONDS: i64 = 86_400_000_000_000;
/// Buckets for each patient, each of them a comparison.
const MAX_BUCKETS: i128 = 130;
