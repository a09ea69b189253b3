//! Interval arithmetic over integers and decimals, and how many bits a sum can need.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use crate::facts::Scope;
use crate::value::Value;

/// A closed range of unscaled values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub lo: i128,
    pub hi: i128,
}

/// The range of an exact number; none for other types.
pub(crate) fn interval(expr: &Expr, scope: &Scope<'_>) -> Option<Interval> {
    let data_type = expr.get_type(scope).ok()?;
    let widest = type_interval(&data_type)?;
    let tight = match expr {
        Expr::Literal(scalar, _) => Value::from_scalar(scalar).and_then(|v| Interval::of_values(&[v])),
        Expr::Cast(cast) => cast_interval(&cast.expr, &data_type, scope),
        Expr::Negative(inner) => fact(inner, scope).and_then(Interval::negate),
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            results.map(|e| fact_or_nothing(e, scope)).reduce(either).flatten()
        }
        Expr::BinaryExpr(binary) => arithmetic(binary, &data_type, scope),
        Expr::ScalarFunction(call) => function(call, scope),
        _ => None,
    };
    // What leaves the type wraps around or fails, so the type's own range always holds.
    Some(tight.filter(|t| t.within(widest)).unwrap_or(widest))
}

/// The range of a type.
pub(crate) fn type_interval(data_type: &DataType) -> Option<Interval> {
    let (lo, hi) = match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        DataType::Decimal32(p, _) | DataType::Decimal64(p, _) | DataType::Decimal128(p, _) => {
            let most = 10i128.checked_pow((*p).into())? - 1;
            (-most, most)
        }
        _ => return None,
    };
    Some(Interval { lo, hi })
}

/// Bits of the largest partial sum: `rows` values of at most `magnitude`. None beyond 127 bits.
pub(crate) fn partial_bits(rows: u64, magnitude: u128) -> Option<u32> {
    let bound = magnitude.checked_mul(rows.into())?;
    let bits = u128::BITS - bound.leading_zeros();
    (bits <= 127).then_some(bits)
}

/// Bits that adding up `sites` partial sums can add.
pub(crate) fn site_bits(sites: usize) -> u32 {
    sites.next_power_of_two().trailing_zeros()
}

/// The buckets of `width_bucket(x, lo, hi, n)` when `n` is written in the query.
pub(crate) fn width_buckets(args: &[Expr]) -> Option<(i128, i128)> {
    let Expr::Literal(ScalarValue::Int64(Some(n)), _) = args.get(3)? else { return None };
    (*n >= 1).then(|| (0, i128::from(*n) + 1))
}

/// The values a part of a date can have.
pub(crate) fn date_part(args: &[Expr]) -> Option<Interval> {
    let Expr::Literal(part, _) = args.first()? else { return None };
    let Value::Text(part) = Value::from_scalar(part)? else { return None };
    let (lo, hi) = match part.to_lowercase().as_str() {
        "quarter" => (1, 4),
        "month" => (1, 12),
        "week" => (1, 53),
        "day" => (1, 31),
        "doy" => (1, 366),
        "dow" => (0, 6),
        "hour" => (0, 23),
        "minute" => (0, 59),
        _ => return None,
    };
    Some(Interval { lo, hi })
}

fn fact(expr: &Expr, scope: &Scope<'_>) -> Option<Interval> {
    scope.interval(expr)
}

/// As [`fact`], but NULL adds no value to a choice.
fn fact_or_nothing(expr: &Expr, scope: &Scope<'_>) -> Option<Interval> {
    match expr {
        Expr::Literal(scalar, _) if scalar.is_null() => Some(Interval { lo: 0, hi: 0 }),
        other => fact(other, scope),
    }
}

fn either(a: Option<Interval>, b: Option<Interval>) -> Option<Interval> {
    Some(a?.hull(b?))
}

fn function(call: &ScalarFunction, scope: &Scope<'_>) -> Option<Interval> {
    match call.name() {
        "width_bucket" => width_buckets(&call.args).map(|(lo, hi)| Interval { lo, hi }),
        "date_part" => date_part(&call.args),
        "abs" => {
            let inner = fact(call.args.first()?, scope)?;
            Some(Interval { lo: 0, hi: i128::try_from(inner.magnitude()).ok()? })
        }
        // All arguments have been coerced to the type of the result.
        "coalesce" => hull(&call.args, scope),
        "greatest" | "least" => extreme(call, scope),
        _ => None,
    }
}

fn hull(args: &[Expr], scope: &Scope<'_>) -> Option<Interval> {
    args.iter().map(|a| fact_or_nothing(a, scope)).reduce(either)?
}

/// One of the arguments that are not NULL, and on the right side of each that never is, as a literal is not.
fn extreme(call: &ScalarFunction, scope: &Scope<'_>) -> Option<Interval> {
    let written = call.args.iter().filter_map(|arg| match arg {
        Expr::Literal(scalar, _) => Interval::of_values(&[Value::from_scalar(scalar)?]),
        _ => None,
    });
    let written = written.reduce(Interval::hull);
    let mut found = hull(&call.args, scope)?;
    match call.name() {
        "least" => found.hi = found.hi.min(written.map_or(found.hi, |ends| ends.lo)),
        _ => found.lo = found.lo.max(written.map_or(found.lo, |ends| ends.hi)),
    }
    Some(found)
}

fn arithmetic(binary: &BinaryExpr, data_type: &DataType, scope: &Scope<'_>) -> Option<Interval> {
    if is_days(binary, scope) {
        return Some(DAYS);
    }
    let scale = scale_of(data_type);
    let side = |e: &Expr| Some((fact(e, scope)?, scale_of(&e.get_type(scope).ok()?)));
    let ((left, left_scale), (right, right_scale)) = (side(&binary.left)?, side(&binary.right)?);
    match binary.op {
        Operator::Plus => left.rescale(left_scale, scale)?.add(right.rescale(right_scale, scale)?),
        Operator::Minus => left.rescale(left_scale, scale)?.add(right.rescale(right_scale, scale)?.negate()?),
        Operator::Multiply => left.multiply(right)?.rescale(left_scale + right_scale, scale),
        Operator::Modulo if left_scale == scale && right_scale == scale => {
            let most = i128::try_from(right.magnitude()).ok()?;
            Some(Interval { lo: if left.lo < 0 { -most } else { 0 }, hi: most })
        }
        Operator::Divide if scale == 0 && left_scale == 0 && right_scale == 0 => {
            // Truncating division by a whole number never makes a number larger.
            let most = i128::try_from(left.magnitude()).ok()?;
            Some(Interval { lo: if left.lo >= 0 && right.lo >= 0 { 0 } else { -most }, hi: most })
        }
        _ => None,
    }
}

/// Is it the number of days between two dates?
fn is_days(binary: &BinaryExpr, scope: &Scope<'_>) -> bool {
    let is_date = |e: &Expr| e.get_type(scope).is_ok_and(|data_type| data_type == DataType::Date32);
    binary.op == Operator::Minus && is_date(&binary.left) && is_date(&binary.right)
}

/// The days between any two dates: a date is a number of days of 32 bits.
pub(crate) const DAYS: Interval = Interval { lo: -(u32::MAX as i128), hi: u32::MAX as i128 };

/// Does `+`, `-`, `*` or negation stay inside its type, whatever the values are?
pub(crate) fn stays_inside(expr: &Expr, scope: &Scope<'_>) -> bool {
    let Ok(data_type) = expr.get_type(scope) else { return false };
    let result = match expr {
        Expr::Negative(inner) => fact(inner, scope).and_then(Interval::negate),
        Expr::BinaryExpr(binary) => arithmetic(binary, &data_type, scope),
        _ => None,
    };
    result.zip(type_interval(&data_type)).is_some_and(|(result, widest)| result.within(widest))
}

/// Is every value of the expression one of the type, once it is converted? Exact numbers alone.
pub(crate) fn converts(inner: &Expr, to: &DataType, scope: &Scope<'_>) -> bool {
    let found = cast_interval(inner, to, scope).zip(type_interval(to));
    found.is_some_and(|(values, widest)| values.within(widest))
}

fn cast_interval(inner: &Expr, to: &DataType, scope: &Scope<'_>) -> Option<Interval> {
    let from = inner.get_type(scope).ok()?;
    if from == DataType::Boolean {
        return Some(Interval { lo: 0, hi: 10i128.checked_pow(scale_of(to).try_into().ok()?)? });
    }
    type_interval(&from)?;
    fact(inner, scope)?.rescale(scale_of(&from), scale_of(to))
}

fn scale_of(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(_, s) | DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => (*s).into(),
        _ => 0,
    }
}

impl Interval {
    /// The smallest interval around exact numbers; none when there is no value or another kind among them.
    pub fn of_values(values: &[Value]) -> Option<Interval> {
        let exact = values.iter().map(|v| match v {
            Value::Int(i) => Some(i128::from(*i)),
            Value::Decimal(x, _) => Some(*x),
            _ => None,
        });
        let exact = exact.collect::<Option<Vec<i128>>>()?;
        Some(Interval { lo: *exact.iter().min()?, hi: *exact.iter().max()? })
    }

    pub fn hull(self, other: Interval) -> Interval {
        Interval { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// Keeps what lies between the ends; contradicting ends leave the interval as it is (there will be no rows).
    pub fn clip(&mut self, low: Option<i128>, high: Option<i128>) {
        let lo = low.map_or(self.lo, |l| l.max(self.lo));
        let hi = high.map_or(self.hi, |h| h.min(self.hi));
        if lo <= hi {
            (self.lo, self.hi) = (lo, hi);
        }
    }

    /// The largest absolute value.
    pub fn magnitude(self) -> u128 {
        self.lo.unsigned_abs().max(self.hi.unsigned_abs())
    }

    pub fn within(self, outer: Interval) -> bool {
        outer.lo <= self.lo && self.hi <= outer.hi
    }

    fn negate(self) -> Option<Interval> {
        Some(Interval { lo: self.hi.checked_neg()?, hi: self.lo.checked_neg()? })
    }

    fn add(self, other: Interval) -> Option<Interval> {
        Some(Interval { lo: self.lo.checked_add(other.lo)?, hi: self.hi.checked_add(other.hi)? })
    }

    pub fn multiply(self, other: Interval) -> Option<Interval> {
        let mut corners = [0i128; 4];
        for (i, (a, b)) in
            [(self.lo, other.lo), (self.lo, other.hi), (self.hi, other.lo), (self.hi, other.hi)].into_iter().enumerate()
        {
            corners[i] = a.checked_mul(b)?;
        }
        Some(Interval { lo: corners.into_iter().min()?, hi: corners.into_iter().max()? })
    }

    /// The same numbers at another scale, rounded outwards.
    fn rescale(self, from: i32, to: i32) -> Option<Interval> {
        let factor = 10i128.checked_pow(from.abs_diff(to))?;
        if to >= from {
            return Some(Interval { lo: self.lo.checked_mul(factor)?, hi: self.hi.checked_mul(factor)? });
        }
        Some(Interval { lo: self.lo.div_euclid(factor), hi: self.hi.div_euclid(factor).checked_add(1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_sums_have_exact_bit_counts() {
        assert_eq!(partial_bits(1024, 1), Some(11));
        assert_eq!(partial_bits(1023, 1), Some(10));
        assert_eq!(partial_bits(4096, u128::from(u64::MAX) / 2 + 1), Some(76));
        assert_eq!(partial_bits(1 << 20, 1 << 126), None);
        assert_eq!(partial_bits(0, 5), Some(0));
    }

    #[test]
    fn sites_add_the_logarithm_of_their_number() {
        assert_eq!([1, 2, 3, 4, 5, 20].map(site_bits), [0, 1, 2, 2, 3, 5]);
    }

    #[test]
    fn products_look_at_all_four_corners() {
        let product = Interval { lo: -3, hi: 2 }.multiply(Interval { lo: -5, hi: 4 }).unwrap();
        assert_eq!(product, Interval { lo: -12, hi: 15 });
        assert_eq!(Interval { lo: 0, hi: i128::MAX }.multiply(Interval { lo: 2, hi: 2 }), None);
    }

    #[test]
    fn rescaling_down_rounds_outwards() {
        let narrow = Interval { lo: -15, hi: 15 }.rescale(1, 0).unwrap();
        assert_eq!(narrow, Interval { lo: -2, hi: 2 });
        assert_eq!(Interval { lo: 1, hi: 2 }.rescale(0, 2), Some(Interval { lo: 100, hi: 200 }));
    }

    #[test]
    fn contradicting_ends_are_ignored() {
        let mut interval = Interval { lo: 0, hi: 10 };
        interval.clip(Some(20), None);
        assert_eq!(interval, Interval { lo: 0, hi: 10 });
        interval.clip(Some(2), Some(5));
        assert_eq!(interval, Interval { lo: 2, hi: 5 });
    }
}
