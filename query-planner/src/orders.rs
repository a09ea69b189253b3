//! MIN, MAX, MEDIAN and percentiles over the rows of several sites: which positions of which column, and by which path.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{Expr, ExprSchemable};

use crate::bounds::{Interval, type_interval};
use crate::error::{PlanError, refuse};
use crate::facts::Fact;
use crate::plan::{Encoding, Fraction, Number, Order, Output, Path, Point};
use crate::slots::{Slots, as_carrier, exact};
use crate::value::{Value, carrier};
use crate::words::words;

/// Is this aggregate a value at a position?
pub(crate) fn is_order(name: &str) -> bool {
    ORDERS.contains(&name)
}

const ORDERS: [&str; 7] =
    ["min", "max", "median", "approx_median", "percentile_cont", "approx_percentile_cont", "percentile_disc"];

impl Slots<'_> {
    /// Adds an order statistic.
    ///
    /// # Errors
    /// `TYPE_MISMATCH`, `PATIENT_KEY_VALUE`, `TOO_MANY_ROWS`, `PERCENTILE_TOO_FINE`, `INVALID_QUERY` for a share that
    /// is no constant from 0 to 1.
    pub(crate) fn order(&mut self, call: &AggregateFunction) -> Result<Output, PlanError> {
        let name = call.func.name();
        self.approximate |= name.starts_with("approx_");
        let point = point(call)?;
        let arg = call.params.args.first().ok_or_else(|| unsupported(format!("{name} needs a column")))?;
        if call.params.distinct && !matches!(point, Point::Min | Point::Max) {
            return Err(unsupported(format!("{name} of distinct values is not supported")));
        }
        self.not_the_patient_key(arg, name)?;
        let expr = exact(arg, self.scope);
        let data_type = expr.get_type(self.scope).map_err(|e| refuse(&e))?;
        self.not_a_count(expr, name)?;
        if self.hides() && data_type == DataType::Boolean {
            let text = format!("{name} of {} has two values and could tell how few rows have one", words(expr));
            return Err(PlanError::new("CONDITIONAL_VALUE", text).hint("count the rows with FILTER (WHERE …)"));
        }
        let encoding = encoding((name, expr), &data_type, &self.scope.fact(expr), point)?;
        let carrier = carrier(&data_type).ok_or_else(|| not_ordered(name, expr, &data_type))?;
        let column = self.column("arg", as_carrier(expr.clone(), &carrier, self.scope), words(expr));
        let filter = call.params.filter.as_deref();
        let filter = filter.map(|f| self.column("filter", f.clone(), format!("only where {}", words(f))));
        let count = self.non_null(expr, filter);
        let path = self.path(&encoding, expr)?;
        self.check_width(&encoding, point, name)?;
        let order = Order { column, filter, count, encoding, path, points: Vec::new() };
        let same = |known: &Order| Order { points: Vec::new(), ..known.clone() } == order;
        let at = self.orders.iter().position(same).unwrap_or(self.orders.len());
        if at == self.orders.len() {
            self.orders.push(order);
        }
        let points = &mut self.orders[at].points;
        let position = points.iter().position(|known| *known == point).unwrap_or(points.len());
        if position == points.len() {
            points.push(point);
        }
        Ok(Output::Point { order: at, point: position })
    }

    /// One site finds its own positions; few possible values are counted; else everything is sorted.
    fn path(&self, encoding: &Encoding, expr: &Expr) -> Result<Path, PlanError> {
        if self.contributors == 1 {
            return Ok(Path::Local);
        }
        let cells = 1u64.checked_shl(encoding.bits).filter(|_| !encoding.checked);
        if let Some(cells) = cells.filter(|cells| *cells <= MAX_CELLS_PER_GROUP && cells * self.max_groups <= MAX_CELLS)
        {
            return Ok(Path::Histogram { cells: cells as u32 });
        }
        let rows_per_site = self.rows.checked_next_power_of_two().unwrap_or(u64::MAX);
        if rows_per_site.saturating_mul(self.contributors as u64) <= MAX_SORTED_ROWS {
            return Ok(Path::Sort { rows_per_site });
        }
        let text = format!(
            "sorting {} would take up to {rows_per_site} rows of each of {} sites, at most {MAX_SORTED_ROWS} in all",
            words(expr),
            self.contributors
        );
        Err(PlanError::new("TOO_MANY_ROWS", text)
            .hint("declare the column's range in network.toml (up to 65536 values are counted instead), or filter less than a table with a lower max_rows"))
    }

    /// An interpolation multiplies a code by the share's denominator, and the row count by its numerator, in 62 bits.
    fn check_width(&self, encoding: &Encoding, point: Point, name: &str) -> Result<(), PlanError> {
        let share = match point {
            Point::Cont { share } | Point::Disc { share, .. } => share,
            Point::Min | Point::Max => return Ok(()),
        };
        let rows = self.rows.saturating_mul(self.contributors as u64);
        let row_bits = u64::BITS - rows.leading_zeros();
        let code_bits = if matches!(point, Point::Cont { .. }) { encoding.bits } else { 0 };
        if share.denominator <= MAX_DENOMINATOR && share.bits() + row_bits.max(code_bits) <= POINT_BITS {
            return Ok(());
        }
        let text = format!("{name}: the share has too many digits for the range of values and rows");
        Err(PlanError::new("PERCENTILE_TOO_FINE", text)
            .hint("write it with at most three decimals, or declare a narrower range"))
    }
}

/// The position that a call asks for.
fn point(call: &AggregateFunction) -> Result<Point, PlanError> {
    let name = call.func.name();
    let descending = call.params.order_by.first().is_some_and(|sort| !sort.asc);
    if call.params.null_treatment.is_some() {
        return Err(unsupported(format!("{name} leaves NULL out as it is")));
    }
    Ok(match name {
        "min" => Point::Min,
        "max" => Point::Max,
        "median" | "approx_median" => Point::Cont { share: Fraction::HALF },
        "percentile_disc" => Point::Disc { share: share(call)?, descending },
        _ => {
            let share = share(call)?;
            Point::Cont { share: if descending { share.complement() } else { share } }
        }
    })
}

fn share(call: &AggregateFunction) -> Result<Fraction, PlanError> {
    let constant = match call.params.args.get(1) {
        Some(Expr::Literal(ScalarValue::Float64(Some(x)), _)) => Fraction::of_decimal(*x),
        _ => None,
    };
    constant.ok_or_else(|| {
        PlanError::new("INVALID_QUERY", format!("{}: the share is a constant from 0 to 1", call.func.name()))
    })
}

/// The narrowest code that the declarations allow; where they say nothing, a window that each site checks.
pub(crate) fn encoding(
    (name, expr): (&str, &Expr),
    data_type: &DataType,
    fact: &Fact,
    point: Point,
) -> Result<Encoding, PlanError> {
    let number = match data_type {
        DataType::Decimal128(_, scale) => Number::Exact(u8::try_from(*scale).unwrap_or(0)),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => match point {
            Point::Cont { share } => {
                return Ok(window(Number::Fixed(FRACTION_BITS), REAL_BITS.min(POINT_BITS - share.bits().min(30))));
            }
            _ => return Ok(Encoding { number: Number::Place, low: 0, bits: 64, checked: false }),
        },
        DataType::Boolean | DataType::Date32 | DataType::Timestamp(_, None) => Number::Exact(0),
        integer if integer.is_integer() => Number::Exact(0),
        other => return Err(not_ordered(name, expr, other)),
    };
    let declared = match data_type {
        DataType::Boolean => Some(Interval { lo: 0, hi: 1 }),
        other => fact.domain.as_deref().and_then(hull).or_else(|| {
            // A range that is open at one end says little.
            let widest = type_interval(other)?;
            fact.interval.filter(|interval| interval.lo != widest.lo && interval.hi != widest.hi)
        }),
    };
    let encoding = declared.map(within).filter(|encoding| encoding.bits <= 63);
    Ok(encoding.unwrap_or_else(|| match data_type {
        DataType::Date32 | DataType::Int32 | DataType::UInt32 => natural(32),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 => natural(17),
        DataType::Timestamp(..) => window(number, TIME_BITS),
        DataType::Decimal128(..) => match type_interval(data_type).map(within).filter(|e| e.bits <= DECIMAL_BITS) {
            Some(all) => Encoding { number, ..all },
            None => window(number, DECIMAL_BITS),
        },
        _ => window(number, INTEGER_BITS),
    }))
    .map(|encoding| Encoding { number, ..encoding })
}

/// The values of a declared domain as a range.
fn hull(domain: &[Value]) -> Option<Interval> {
    let integers = domain.iter().map(|value| match value {
        Value::Int(i) => Some(i128::from(*i)),
        Value::Decimal(x, _) => Some(*x),
        Value::Date(days) => Some((*days).into()),
        Value::Timestamp(t) => Some((*t).into()),
        _ => None,
    });
    let integers = integers.collect::<Option<Vec<i128>>>()?;
    Some(Interval { lo: *integers.iter().min()?, hi: *integers.iter().max()? })
}

fn within(interval: Interval) -> Encoding {
    let span = interval.hi.abs_diff(interval.lo);
    let bits = (u128::BITS - span.leading_zeros()).max(1);
    Encoding { number: Number::Exact(0), low: interval.lo, bits, checked: false }
}

/// All values of a type of so many bits.
fn natural(bits: u32) -> Encoding {
    Encoding { checked: false, ..window(Number::Exact(0), bits) }
}

/// The values around zero that fit so many bits; each site checks its own.
fn window(number: Number, bits: u32) -> Encoding {
    Encoding { number, low: -(1i128 << (bits - 1)), bits, checked: true }
}

fn not_ordered(name: &str, expr: &Expr, data_type: &DataType) -> PlanError {
    let text = format!("{name} needs numbers, dates or truth values, and {} is of type {data_type}", words(expr));
    PlanError::new("TYPE_MISMATCH", text)
}

fn unsupported(text: String) -> PlanError {
    PlanError::new("UNSUPPORTED", text)
}

/// Most codes of a column that are counted one by one: a list of ages, of days in a century or of millimetres.
const MAX_CELLS_PER_GROUP: u64 = 1 << 16;
/// Most counts of one order over all groups: 8 MiB for each site.
const MAX_CELLS: u64 = 1 << 20;
/// Most rows that are sorted together.
const MAX_SORTED_ROWS: u64 = 1 << 17;
/// Undeclared integers: keys of 32 bits sort quickest.
const INTEGER_BITS: u32 = 32;
/// Undeclared decimals: 14 digits.
const DECIMAL_BITS: u32 = 48;
/// Microseconds of eleven centuries to either side of 1970.
const TIME_BITS: u32 = 56;
/// A percentile of doubles between 2^-32 and 2^25.
const REAL_BITS: u32 = 58;
const FRACTION_BITS: u8 = 32;
/// Percentiles down to millionths.
const MAX_DENOMINATOR: u64 = 1_000_000;
/// What an interpolated code may take of a 64-bit ring, a sign and a carry left free.
const POINT_BITS: u32 = 62;
