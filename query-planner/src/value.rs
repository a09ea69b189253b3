//! Public values: group keys, declared domains, literals. Never a row of a site.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use serde::{Deserialize, Serialize};

/// A public value with exact equality. Doubles are held by their bits (−0 folded to 0, NaN refused).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// SQL NULL: a group of its own in GROUP BY.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any integer column.
    Int(i64),
    /// A double, by its bits.
    Real(u64),
    /// A decimal: unscaled value and scale.
    Decimal(i128, i8),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01, no zone.
    Timestamp(i64),
    /// Text, as it stands.
    Text(String),
}

impl Value {
    /// A double as a value; NaN has none.
    pub fn real(x: f64) -> Option<Value> {
        // Adding 0 turns −0 into +0 and changes nothing else.
        (!x.is_nan()).then(|| Value::Real((x + 0.0).to_bits()))
    }

    /// The value of a scalar, or none when its type has no value (NaN, nested types, zones, wide integers).
    pub fn from_scalar(scalar: &ScalarValue) -> Option<Value> {
        use ScalarValue as S;
        if scalar.is_null() {
            return Some(Value::Null);
        }
        Some(match scalar {
            S::Boolean(Some(b)) => Value::Bool(*b),
            S::Int8(Some(i)) => Value::Int((*i).into()),
            S::Int16(Some(i)) => Value::Int((*i).into()),
            S::Int32(Some(i)) => Value::Int((*i).into()),
            S::Int64(Some(i)) => Value::Int(*i),
            S::UInt8(Some(i)) => Value::Int((*i).into()),
            S::UInt16(Some(i)) => Value::Int((*i).into()),
            S::UInt32(Some(i)) => Value::Int((*i).into()),
            S::UInt64(Some(i)) => Value::Int(i64::try_from(*i).ok()?),
            S::Float32(Some(x)) => Value::real((*x).into())?,
            S::Float64(Some(x)) => Value::real(*x)?,
            S::Decimal128(Some(x), _, scale) => Value::Decimal(*x, *scale),
            S::Date32(Some(days)) => Value::Date(*days),
            S::TimestampSecond(Some(t), None) => Value::Timestamp(t.checked_mul(1_000_000)?),
            S::TimestampMillisecond(Some(t), None) => Value::Timestamp(t.checked_mul(1_000)?),
            S::TimestampMicrosecond(Some(t), None) => Value::Timestamp(*t),
            S::TimestampNanosecond(Some(t), None) if t % 1_000 == 0 => Value::Timestamp(t / 1_000),
            S::Utf8(Some(s)) | S::LargeUtf8(Some(s)) | S::Utf8View(Some(s)) => Value::Text(s.clone()),
            _ => return None,
        })
    }

    /// The scalar of this value in a column of type `to`, or none when it does not fit the type.
    pub fn to_scalar(&self, to: &DataType) -> Option<ScalarValue> {
        let scalar = match self {
            Value::Null => return ScalarValue::try_from(to).ok(),
            Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
            Value::Int(i) => ScalarValue::Int64(Some(*i)),
            Value::Real(bits) => ScalarValue::Float64(Some(f64::from_bits(*bits))),
            Value::Decimal(x, scale) => ScalarValue::Decimal128(Some(*x), 38, *scale),
            Value::Date(days) => ScalarValue::Date32(Some(*days)),
            Value::Timestamp(t) => ScalarValue::TimestampMicrosecond(Some(*t), None),
            Value::Text(s) => ScalarValue::Utf8(Some(s.clone())),
        };
        if self.same_kind(to) { scalar.cast_to(to).ok().filter(|s| !s.is_null()) } else { None }
    }

    /// Is `to` a type this value can be written in without changing its kind?
    fn same_kind(&self, to: &DataType) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(_) => *to == DataType::Boolean,
            Value::Int(_) => to.is_integer(),
            Value::Real(_) => matches!(to, DataType::Float32 | DataType::Float64),
            Value::Decimal(_, scale) => matches!(to, DataType::Decimal128(_, s) if s == scale),
            Value::Date(_) => *to == DataType::Date32,
            Value::Timestamp(_) => matches!(to, DataType::Timestamp(_, None)),
            Value::Text(_) => matches!(to, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        }
    }
}

/// The type a column of values has in a local stage: integers widen to 64 bits, text is UTF-8, time is microseconds.
pub fn carrier(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Null | DataType::Boolean => DataType::Boolean,
        integer if integer.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        _ => return None,
    })
}

/// Writes `unscaled · 10^−scale` with its point.
pub fn write_decimal(unscaled: i128, scale: i8) -> String {
    let Ok(digits) = usize::try_from(scale) else {
        return format!("{unscaled}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    if digits == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", unscaled.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    format!("{sign}{whole}.{fraction}")
}

/// Reads a decimal text as an unscaled value of that scale; none if it has more digits than the scale or does not fit.
pub fn read_decimal(text: &str, scale: i8) -> Option<i128> {
    let digits = usize::try_from(scale).ok()?;
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let plain = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !plain || fraction.len() > digits {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<digits$}").parse().ok()?;
    Some(sign * unscaled)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Real(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Value::Decimal(x, scale) => f.write_str(&write_decimal(*x, *scale)),
            Value::Date(days) => write_time(f, &ScalarValue::Date32(Some(*days))),
            Value::Timestamp(t) => write_time(f, &ScalarValue::TimestampMicrosecond(Some(*t), None)),
            Value::Text(s) => write!(f, "'{}'", s.replace('\'', "''")),
        }
    }
}

/// Writes a day or a moment as ISO 8601; one outside the calendar as its number.
fn write_time(f: &mut fmt::Formatter<'_>, scalar: &ScalarValue) -> fmt::Result {
    match scalar.cast_to(&DataType::Utf8) {
        Ok(ScalarValue::Utf8(Some(text))) => f.write_str(&text),
        _ => write!(f, "{scalar}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_zero_is_zero_and_nan_has_no_value() {
        assert_eq!(Value::real(-0.0), Value::real(0.0));
        assert_eq!(Value::real(f64::NAN), None);
    }

    #[test]
    fn decimals_are_written_and_read_with_their_point() {
        for (unscaled, scale, text) in [(-5, 2, "-0.05"), (1234, 2, "12.34"), (7, 0, "7"), (0, 3, "0.000")] {
            assert_eq!(write_decimal(unscaled, scale), text);
            assert_eq!(read_decimal(text, scale), Some(unscaled));
        }
        assert_eq!(read_decimal("1.234", 2), None);
        assert_eq!(read_decimal("1e3", 2), None);
    }

    #[test]
    fn a_value_does_not_change_its_kind_when_it_becomes_a_scalar() {
        assert_eq!(Value::Int(3).to_scalar(&DataType::Int32), Some(ScalarValue::Int32(Some(3))));
        assert_eq!(Value::Int(1 << 40).to_scalar(&DataType::Int32), None);
        assert_eq!(Value::Text("3".into()).to_scalar(&DataType::Int64), None);
    }
}
