//! Order statistics in the plan: which positions of which sorted column are wanted, and how a value becomes an unsigned
//! integer that sorts as the value does.

use datafusion_common::ScalarValue;
use serde::{Deserialize, Serialize};

use crate::value::Value;

/// MIN, MAX and percentiles of one column over one choice of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Column of the local stage that is sorted; NULL is left out.
    pub column: usize,
    /// Column of the local stage that must be true for a row to count (FILTER).
    pub filter: Option<usize>,
    /// Slot that counts the values.
    pub count: usize,
    /// How a value becomes an integer.
    pub encoding: Encoding,
    /// How the positions are found.
    pub path: Path,
    /// The positions wanted.
    pub points: Vec<Point>,
}

/// An order-preserving map from values to integers of [`Encoding::bits`] bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// What is mapped.
    pub number: Number,
    /// The number that becomes code 0.
    pub low: i128,
    /// Codes are below 2^bits, 1 to 64.
    pub bits: u32,
    /// True: a site may hold values outside, and checks its own before it shares anything. False: follows from
    /// declarations.
    pub checked: bool,
}

/// What integer a value stands for before `low` is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Number {
    /// An integer, a decimal's unscaled value with so many digits after the point, a day, a microsecond, a truth value.
    Exact(u8),
    /// A double by its place among all doubles: any value, exactly, but nothing can be interpolated.
    Place,
    /// A double rounded to so many fractional bits.
    Fixed(u8),
}

/// How the joint computation finds a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// One count for each code below `cells` and group, added up and searched.
    Histogram {
        /// How many codes there are.
        cells: u32,
    },
    /// Every contributor's codes, padded, sorted together.
    Sort {
        /// Rows of each contributor after padding, a power of two.
        rows_per_site: u64,
    },
    /// Found by the only contributor alone.
    Local,
}

/// A position among n sorted values, and what is taken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// PERCENTILE_DISC: the first value at or beyond the share, counted from the smallest or (`descending`) the
    /// largest.
    Disc {
        /// The share.
        share: Fraction,
        /// Counted from the largest?
        descending: bool,
    },
    /// PERCENTILE_CONT: at position share · (n − 1), interpolated between its neighbours.
    Cont {
        /// The share, of ascending order.
        share: Fraction,
    },
}

/// A fraction from 0 to 1 in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fraction {
    /// At most the denominator.
    pub numerator: u64,
    /// At least 1.
    pub denominator: u64,
}

impl Fraction {
    /// One half.
    pub const HALF: Fraction = Fraction { numerator: 1, denominator: 2 };

    /// The fraction that a double's shortest decimal digits say; none outside 0 to 1 or with more than 18 digits.
    pub fn of_decimal(x: f64) -> Option<Fraction> {
        if !(0.0..=1.0).contains(&x) {
            return None;
        }
        let text = format!("{x}");
        let (whole, digits) = text.split_once('.').unwrap_or((&text, ""));
        let denominator = 10u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
        let numerator = format!("{whole}{digits}").parse::<u64>().ok()?;
        let common = gcd(numerator, denominator);
        Some(Fraction { numerator: numerator / common, denominator: denominator / common })
    }

    /// One minus it.
    pub fn complement(self) -> Fraction {
        Fraction { numerator: self.denominator - self.numerator, ..self }
    }

    /// Bits of the denominator.
    pub fn bits(self) -> u32 {
        u64::BITS - self.denominator.leading_zeros()
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Encoding {
    /// The code of a value, or none when it lies outside.
    pub fn code(&self, value: &Value) -> Option<u64> {
        let number = match (self.number, value) {
            (Number::Place, Value::Real(bits)) => i128::from(place(*bits)),
            (Number::Fixed(fraction), Value::Real(bits)) => fixed(f64::from_bits(*bits), fraction)?,
            (Number::Exact(_), Value::Int(i)) => (*i).into(),
            (Number::Exact(digits), Value::Decimal(x, scale)) if i16::from(digits) == i16::from(*scale) => *x,
            (Number::Exact(_), Value::Date(days)) => (*days).into(),
            (Number::Exact(_), Value::Timestamp(t)) => (*t).into(),
            (Number::Exact(_), Value::Bool(b)) => i128::from(*b),
            _ => return None,
        };
        let code = number.checked_sub(self.low)?;
        let below = code >= 0 && code < 1i128 << self.bits;
        below.then_some(code).and_then(|code| u64::try_from(code).ok())
    }

    /// The value of a code in a column of type `to`: the inverse of [`Encoding::code`].
    pub fn value(&self, code: u64, to: &arrow::datatypes::DataType) -> Option<ScalarValue> {
        use arrow::datatypes::DataType;
        let number = i128::from(code) + self.low;
        let value = match (self.number, to) {
            (Number::Place, _) => Value::real(double_at(u64::try_from(number).ok()?))?,
            (Number::Fixed(_), _) | (Number::Exact(_), DataType::Float64) => {
                Value::real(self.interpolated(i128::from(code), 1))?
            }
            (Number::Exact(digits), DataType::Decimal128(..)) => Value::Decimal(number, i8::try_from(digits).ok()?),
            (Number::Exact(_), DataType::Date32) => Value::Date(i32::try_from(number).ok()?),
            (Number::Exact(_), DataType::Timestamp(..)) => Value::Timestamp(i64::try_from(number).ok()?),
            (Number::Exact(_), DataType::Boolean) => Value::Bool(number != 0),
            (Number::Exact(_), _) => Value::Int(i64::try_from(number).ok()?),
        };
        value.to_scalar(to)
    }

    /// The double that stands for `numerator / denominator` codes.
    pub fn interpolated(&self, numerator: i128, denominator: u64) -> f64 {
        let denominator = i128::from(denominator);
        // A code has at most 64 bits and a denominator 32, so this is far inside 128.
        let total = numerator + self.low * denominator;
        let quotient = |unit: i128| {
            (total / (denominator * unit)) as f64 + (total % (denominator * unit)) as f64 / (denominator * unit) as f64
        };
        match self.number {
            Number::Exact(digits) => {
                quotient(10i128.pow(digits.min(18).into())) / 10f64.powi(i32::from(digits) - i32::from(digits.min(18)))
            }
            // Rounding went to the 2^-32nd, so nine decimals are what is known: 0.1 comes back as 0.1.
            Number::Fixed(fraction) => (quotient(1i128 << fraction) * 1e9).round() / 1e9,
            Number::Place => f64::NAN,
        }
    }
}

/// The place of a double among all doubles, from −∞ up. −0 was folded to 0 before.
fn place(bits: u64) -> u64 {
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn double_at(place: u64) -> f64 {
    f64::from_bits(if place >> 63 == 1 { place & !(1 << 63) } else { !place })
}

fn fixed(x: f64, fraction: u8) -> Option<i128> {
    let scaled = (x * 2f64.powi(fraction.into())).round();
    (scaled.abs() < 2f64.powi(100)).then_some(scaled as i128)
}

impl Point {
    /// What is taken from codes in ascending order: a code, or for [`Point::Cont`] the numerator over the share's
    /// denominator, lower · (b − r) + upper · r with r = a·(n−1) mod b. 0 when there are none. This is the definition
    /// that the joint computation must meet.
    pub fn of_sorted(self, codes: &[u64]) -> u128 {
        let Some(last) = codes.len().checked_sub(1) else { return 0 };
        let at = |i: u128| u128::from(codes[usize::try_from(i).map_or(last, |i| i.min(last))]);
        let (n, last) = (codes.len() as u128, last as u128);
        match self {
            Point::Min => at(0),
            Point::Max => at(last),
            Point::Disc { share, descending } => {
                let rank = (u128::from(share.numerator) * n).div_ceil(share.denominator.into()).max(1);
                at(if descending { n - rank } else { rank - 1 })
            }
            Point::Cont { share } => {
                let (position, b) = (u128::from(share.numerator) * last, u128::from(share.denominator));
                let rest = position % b;
                at(position / b) * (b - rest) + at(position / b + 1) * rest
            }
        }
    }

    /// Does it show a value that one row holds, rather than one between two?
    pub fn is_one_rows_value(self) -> bool {
        !matches!(self, Point::Cont { .. })
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_is_what_its_digits_say() {
        let fraction = |x| Fraction::of_decimal(x).map(|f| (f.numerator, f.denominator));
        assert_eq!(fraction(0.9), Some((9, 10)));
        assert_eq!(fraction(0.975), Some((39, 40)));
        assert_eq!((fraction(0.0), fraction(1.0)), (Some((0, 1)), Some((1, 1))));
        assert_eq!((fraction(-0.1), fraction(1.5), fraction(f64::NAN)), (None, None, None));
    }

    #[test]
    fn percentiles_are_postgresqls() {
        let disc = |a, b, descending| Point::Disc { share: Fraction { numerator: a, denominator: b }, descending };
        let codes = [10, 20, 30, 40];
        assert_eq!(disc(0, 1, false).of_sorted(&codes), 10);
        assert_eq!(disc(1, 2, false).of_sorted(&codes), 20);
        assert_eq!(disc(1, 2, true).of_sorted(&codes), 30);
        assert_eq!(disc(3, 4, false).of_sorted(&codes), 30);
        assert_eq!(disc(1, 1, false).of_sorted(&codes), 40);
        assert_eq!(Point::Cont { share: Fraction::HALF }.of_sorted(&codes), 50);
        let tenth = Point::Cont { share: Fraction { numerator: 1, denominator: 10 } };
        assert_eq!(tenth.of_sorted(&codes), 7 * 10 + 3 * 20);
        assert_eq!((Point::Min.of_sorted(&[]), tenth.of_sorted(&[7])), (0, 70));
    }

    #[test]
    fn doubles_keep_their_order_and_come_back() {
        let encoding = Encoding { number: Number::Place, low: 0, bits: 64, checked: false };
        let values = [f64::NEG_INFINITY, -1e300, -1.5, -5e-324, 0.0, 5e-324, 0.1, 2.0, f64::INFINITY];
        let codes: Vec<u64> = values.iter().map(|x| encoding.code(&Value::real(*x).unwrap()).unwrap()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b));
        for (x, code) in values.iter().zip(&codes) {
            assert_eq!(encoding.value(*code, &DataType::Float64), Some(ScalarValue::Float64(Some(*x))));
        }
    }

    #[test]
    fn rounded_doubles_come_back_to_nine_decimals() {
        let encoding = Encoding { number: Number::Fixed(32), low: -(1 << 57), bits: 58, checked: true };
        for x in [0.1, -273.15, 98.6, 250_000.0] {
            let code = encoding.code(&Value::real(x).unwrap()).unwrap();
            assert_eq!(encoding.interpolated(code.into(), 1), x);
        }
        assert_eq!(encoding.code(&Value::real(1e9).unwrap()), None);
        assert_eq!(encoding.code(&Value::real(f64::INFINITY).unwrap()), None);
    }

    proptest! {
        #[test]
        fn codes_of_integers_sort_as_they_do(a in -2_000_000_000i64..2_000_000_000, b in -2_000_000_000i64..2_000_000_000) {
            let encoding = Encoding { number: Number::Exact(0), low: -(1 << 31), bits: 32, checked: true };
            let code = |i| encoding.code(&Value::Int(i)).unwrap();
            prop_assert_eq!(code(a).cmp(&code(b)), a.cmp(&b));
            prop_assert_eq!(encoding.value(code(a), &DataType::Int64), Some(ScalarValue::Int64(Some(a))));
        }

        #[test]
        fn values_outside_have_no_code(x in any::<i64>()) {
            let encoding = Encoding { number: Number::Exact(0), low: 10, bits: 7, checked: true };
            prop_assert_eq!(encoding.code(&Value::Int(x)).is_some(), (10..138).contains(&x));
        }
    }
}
