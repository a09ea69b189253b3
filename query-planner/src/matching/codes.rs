//! Columns of a part as numbers of each patient: how values become codes, and how many bits sums can need.

use arrow::datatypes::DataType;
use datafusion_expr::{Expr, ExprSchemable, cast, lit};

use crate::bounds::{Interval, partial_bits};
use crate::error::{PlanError, refuse};
use crate::facts::{Scope, fact_of_chosen};
use crate::matched::Node;
use crate::matching::nodes::{Bit, MAX_BITS, Nodes, Spec, Want};
use crate::matching::values::{Linear, Truth, Value};
use crate::matching::view::{Part, not_yet_because};
use crate::measured::hull;
use crate::order::{Encoding, Number};
use crate::plan::{Point, Scale};
use crate::slots::{digits, exact};
use crate::words::words;

/// Some rows of a part, for each tuple of keys if there are any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choose {
    pub filter: Option<Expr>,
    pub keys: Vec<Expr>,
}

impl Choose {
    /// Those that meet one more condition.
    pub fn and(&self, condition: Expr) -> Choose {
        let filter = match self.filter.clone() {
            Some(known) => known.and(condition),
            None => condition,
        };
        Choose { filter: Some(filter), keys: self.keys.clone() }
    }
}

/// Is there such a row?
pub(crate) fn any(part: &Part, rows: &Choose, nodes: &mut Nodes<'_>) -> Bit {
    nodes.any(&part.source, rows.filter.clone(), rows.keys.clone())
}

/// How many such rows there are.
pub(crate) fn count(part: &Part, rows: &Choose, nodes: &mut Nodes<'_>) -> Result<usize, PlanError> {
    let most = i128::from(part.source.rows) * part.source.sites.len() as i128;
    let range = Interval { lo: 0, hi: most };
    let spec = spec(part, rows, Want::Count, super::nodes::bits_of(range));
    nodes.number_of(spec, range)
}

/// The rows where an expression is not NULL.
pub(crate) fn not_null(part: &Part, expr: &Expr, rows: &Choose, nodes: &Nodes<'_>) -> Result<Choose, PlanError> {
    let relation = part.facts(nodes)?;
    let nullable = Scope::over(part.schema(), &relation).fact(expr).nullable;
    Ok(if nullable { rows.and(expr.clone().is_not_null()) } else { rows.clone() })
}

/// The smallest or the largest value of an expression; NULL where there is none.
pub(crate) fn extreme(
    part: &Part,
    expr: &Expr,
    rows: &Choose,
    largest: bool,
    nodes: &mut Nodes<'_>,
) -> Result<Linear, PlanError> {
    let encoding = encoding(part, expr, nodes)?;
    let known = not_null(part, expr, rows, nodes)?;
    let present = any(part, &known, nodes);
    let (want, range) = match largest {
        true => (Want::Greatest(expr.clone(), encoding), Interval { lo: -1, hi: (1 << encoding.bits) - 1 }),
        false => (Want::Least(expr.clone(), encoding), Interval { lo: 0, hi: 1 << encoding.bits }),
    };
    let node = nodes.number_of(spec(part, rows, want, encoding.bits), range)?;
    let number = Linear { constant: encoding.low, digits: decimals(encoding), ..Linear::of_node(node, present) };
    let codes = Interval { lo: encoding.low, hi: encoding.low + (1 << encoding.bits) - 1 };
    let fewer = |values: &Interval| codes.lo <= values.lo && values.hi <= codes.hi;
    Ok(Linear { range: range_of(part, expr, rows, nodes)?.filter(fewer).or(Some(codes)), ..number })
}

/// What values the rows have that are chosen, as far as that is declared or follows: numbers alone.
fn range_of(part: &Part, expr: &Expr, rows: &Choose, nodes: &mut Nodes<'_>) -> Result<Option<Interval>, PlanError> {
    let relation = part.facts(nodes)?;
    let scope = Scope::over(part.schema(), &relation);
    let data_type = expr.get_type(&scope).map_err(|e| refuse(&e))?;
    let known = hull(&fact_of_chosen(expr, rows.filter.as_ref(), &scope));
    Ok(known.filter(|_| matches!(digits(&data_type), Ok(Some(_)))))
}

/// The sum of an expression, and its decimal digits; 0 where there are no rows.
pub(crate) fn sum(part: &Part, expr: &Expr, rows: &Choose, nodes: &mut Nodes<'_>) -> Result<(usize, u8), PlanError> {
    let relation = part.facts(nodes)?;
    let scope = Scope::over(part.schema(), &relation);
    let expr = exact(expr, &scope);
    let data_type = expr.get_type(&scope).map_err(|e| refuse(&e))?;
    let digits = match digits(&data_type) {
        Ok(Some(digits)) => digits,
        Ok(None) => return Err(no_reals(expr)),
        Err(()) => {
            let text = format!("SUM needs a number, and {} is of type {data_type}", words(expr));
            return Err(PlanError::new("TYPE_MISMATCH", text));
        }
    };
    let proven = scope.interval(expr).and_then(|i| partial_bits(part.source.rows, i.magnitude()));
    let bits = proven.map(|bits| bits + nodes.site_bits()).filter(|bits| *bits < SUM_BITS).unwrap_or(SUM_BITS);
    let most = (1i128 << bits) - 1;
    let carried = if data_type.is_integer() { cast(expr.clone(), DataType::Int64) } else { expr.clone() };
    let carried = if data_type == DataType::Int64 { expr.clone() } else { carried };
    let want = Want::Sum(carried, Scale::Decimal(digits));
    Ok((nodes.number_of(spec(part, rows, want, bits), Interval { lo: -most, hi: most })?, digits))
}

/// For each tuple of values that some columns can have, the condition of having it; none when there are more than `most`, or
/// when only rows know.
pub(crate) fn tuples(
    part: &Part,
    columns: &[&Expr],
    most: usize,
    nodes: &Nodes<'_>,
) -> Result<Option<Vec<Expr>>, PlanError> {
    let relation = part.facts(nodes)?;
    let scope = Scope::over(part.schema(), &relation);
    let mut all: Vec<Option<Expr>> = vec![None];
    for column in columns {
        let data_type = column.get_type(&scope).map_err(|e| refuse(&e))?;
        let fact = scope.fact(column);
        let values = fact.domain.unwrap_or_default();
        let equal = |value: &crate::value::Value| Some((*column).clone().eq(lit(value.to_scalar(&data_type)?)));
        let Some(mut conditions) = values.iter().map(equal).collect::<Option<Vec<Expr>>>() else { return Ok(None) };
        if conditions.is_empty() || conditions.len() * all.len() > most {
            return Ok(None);
        }
        if fact.nullable {
            conditions.push((*column).clone().is_null());
        }
        let joined = |known: &Option<Expr>, next: &Expr| match known {
            Some(known) => known.clone().and(next.clone()),
            None => next.clone(),
        };
        all = all.iter().flat_map(|a| conditions.iter().map(move |b| Some(joined(a, b)))).collect();
    }
    Ok(Some(all.into_iter().flatten().collect()))
}

/// The values of an expression in order: a feature.
pub(crate) fn events(
    part: &Part,
    expr: &Expr,
    rows: &Choose,
    nodes: &mut Nodes<'_>,
) -> Result<(usize, Encoding), PlanError> {
    let encoding = encoding(part, expr, nodes)?;
    let want = Want::Events { column: expr.clone(), encoding, bound: nodes.catalog.max_events };
    Ok((nodes.spec(spec(part, rows, want, encoding.bits)), encoding))
}

/// The value at a position (from 0) of such a feature; NULL where there are fewer.
pub(crate) fn nth(feature: usize, n: u32, encoding: Encoding, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
    let none = 1i128 << encoding.bits;
    let node = nodes.checked(Node::Nth { feature, n }, Interval { lo: 0, hi: none })?;
    let limit = nodes.constant(none)?;
    let present = nodes.less(node, limit);
    Ok(Linear { constant: encoding.low, digits: decimals(encoding), ..Linear::of_node(node, present) })
}

/// The value in the only row a patient has.
pub(crate) fn only_value(part: &Part, expr: &Expr, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
    let data_type = expr.get_type(part.schema()).map_err(|e| refuse(&e))?;
    let all = Choose::default();
    if data_type == DataType::Boolean {
        let yes = any(part, &all.and(expr.clone().is_true()), nodes);
        let no = any(part, &all.and(expr.clone().is_false()), nodes);
        return Ok(Value::Truth(Truth { yes, no }));
    }
    extreme(part, expr, &all, false, nodes).map(Value::Number)
}

/// How values become codes: as declared; dates of four-digit years, numbers of 32 bits else.
pub(crate) fn encoding(part: &Part, expr: &Expr, nodes: &Nodes<'_>) -> Result<Encoding, PlanError> {
    let relation = part.facts(nodes)?;
    let scope = Scope::over(part.schema(), &relation);
    let data_type = expr.get_type(&scope).map_err(|e| refuse(&e))?;
    if matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64) {
        return Err(no_reals(expr));
    }
    let found = crate::orders::encoding(("MIN or MAX", expr), &data_type, &scope.fact(expr), Point::Min)?;
    let found = match data_type {
        DataType::Date32 if found.bits > DATE_BITS => {
            Encoding { number: Number::Exact(0), low: FIRST_DAY, bits: DATE_BITS, checked: true }
        }
        _ => found,
    };
    match found.bits {
        0..MAX_BITS => Ok(found),
        _ => Err(super::nodes::too_wide()),
    }
}

fn decimals(encoding: Encoding) -> u8 {
    match encoding.number {
        Number::Exact(digits) => digits,
        Number::Place | Number::Fixed(_) => 0,
    }
}

pub(crate) fn spec(part: &Part, rows: &Choose, want: Want, bits: u32) -> Spec {
    Spec { source: part.source.clone(), filter: rows.filter.clone(), keys: rows.keys.clone(), want, bits }
}

/// True in every row: a condition that keeps all.
pub(crate) fn always() -> Expr {
    lit(true)
}

fn no_reals(expr: &Expr) -> PlanError {
    let text = format!("{} is a real number, and numbers of matched patients are exact", words(expr));
    not_yet_because(text).hint("declare the column as decimal, or cast it: CAST(x AS DECIMAL(18, 4))")
}

/// 0001-01-01 as days since 1970-01-01.
const FIRST_DAY: i128 = -719_162;
/// The days up to 9999-12-31 (the 3,652,059th) have numbers below 2^22.
const DATE_BITS: u32 = 22;
/// A sum over the rows of one patient without declared ranges: each site checks its own.
pub(crate) const SUM_BITS: u32 = 40;
