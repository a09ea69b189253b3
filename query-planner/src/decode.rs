//! From opened totals to revealed rows. Everything is computed on integers; doubles appear only in the last division.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef, i256};
use datafusion_common::ScalarValue;

use crate::approximate::{LEVELS, REGISTERS, estimate};
use crate::error::PlanError;
use crate::plan::{Form, Groups, Output, Point, Scale, SecureSum};
use crate::value::Value;

/// The groups of a sum with declared domains, the last key fastest; one empty tuple without keys; none when the groups
/// are agreed at run time.
pub fn groups(sum: &SecureSum) -> Vec<Vec<Value>> {
    if matches!(sum.groups, Groups::Agreed { .. }) {
        return Vec::new();
    }
    let mut tuples = vec![Vec::new()];
    for key in &sum.keys {
        let domain = key.domain.as_deref().unwrap_or_default();
        tuples = tuples.iter().flat_map(|tuple| domain.iter().map(move |v| extended(tuple, v))).collect();
    }
    tuples
}

/// What one secure sum revealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The groups, in the order of the numbers.
    pub groups: Vec<Vec<Value>>,
    /// `totals[slot][group]`, signed; none where it is hidden or was not opened.
    pub totals: Vec<Vec<Option<i128>>>,
    /// `points[order][point][group]`: codes, or numerators of interpolated codes; 0 where hidden.
    pub points: Vec<Vec<Vec<i128>>>,
    /// `levels[sketch][group][k − 1]`: how many registers are of rank k or more.
    pub levels: Vec<Vec<Vec<u64>>>,
}

impl Opened {
    /// Sums alone, of which nothing is hidden.
    pub fn sums(groups: &[Vec<Value>], totals: &[Vec<i128>]) -> Opened {
        let totals = totals.iter().map(|slot| slot.iter().copied().map(Some).collect()).collect();
        Opened { groups: groups.to_vec(), totals, points: Vec::new(), levels: Vec::new() }
    }
}

/// The revealed rows. Where cells are hidden every group is a row, and behind the columns stand as many truth values as
/// there are aggregates: is this one hidden? Where totals are noised every group is a row too, and counts may be negative. Else
/// groups without rows are dropped, except the one row of a sum without keys.
///
/// # Errors
/// `BAD_TOTALS` when the shape is not the plan's or a count is negative; `SUM_TOO_LARGE` when a sum does not fit its
/// SQL type.
pub fn decode(sum: &SecureSum, schema: SchemaRef, opened: &Opened) -> Result<RecordBatch, PlanError> {
    check_shape(sum, &schema, opened)?;
    // What a noised total says of whether there are rows is not certain.
    let all = sum.groups == Groups::Whole || !sum.cells.is_empty() || !sum.noised.is_empty();
    let kept = (0..opened.groups.len()).filter(|g| all || opened.totals[0][*g] != Some(0));
    let rows = |field| kept.clone().map(move |group| Row { sum, opened, group, field });
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (output, field) in sum.outputs.iter().zip(schema.fields()) {
        let scalars = rows(field).map(|row| row.scalar(output)).collect::<Result<Vec<_>, _>>()?;
        columns.push(array(scalars, field.data_type())?);
    }
    let marks = sum.outputs.iter().filter(|output| !matches!(output, Output::Key(_)));
    for (output, field) in marks.zip(schema.fields().iter().skip(sum.outputs.len())) {
        let hidden = rows(field).map(|row| Some(row.is_hidden(output)));
        columns.push(Arc::new(hidden.collect::<BooleanArray>()));
    }
    RecordBatch::try_new(schema, columns).map_err(|e| bad(&e.to_string()))
}

fn extended(tuple: &[Value], value: &Value) -> Vec<Value> {
    let mut longer = tuple.to_vec();
    longer.push(value.clone());
    longer
}

fn check_shape(sum: &SecureSum, schema: &SchemaRef, opened: &Opened) -> Result<(), PlanError> {
    let (keys, groups) = (sum.keys.len(), opened.groups.len());
    let values = sum.outputs.iter().filter(|output| !matches!(output, Output::Key(_))).count();
    let columns = sum.outputs.len() + if sum.cells.is_empty() { 0 } else { values };
    if columns != schema.fields().len() || opened.totals.len() != sum.slots.len() || opened.totals.is_empty() {
        return Err(bad("as many outputs as columns and as many totals as slots are expected"));
    }
    let points: Vec<usize> = sum.orders.iter().map(|order| order.points.len()).collect();
    let revealed: Vec<usize> = opened.points.iter().map(Vec::len).collect();
    if opened.groups.iter().any(|g| g.len() != keys)
        || opened.totals.iter().any(|t| t.len() != groups)
        || points != revealed
        || opened.points.iter().flatten().any(|p| p.len() != groups)
        || opened.levels.len() != sum.sketches.len()
        || opened.levels.iter().any(|l| l.len() != groups)
    {
        return Err(bad("one total per slot and group is expected"));
    }
    let known = |output: &Output| match output {
        Output::Key(i) => *i < keys,
        Output::Point { order, point } => points.get(*order).is_some_and(|points| point < points),
        Output::Approximate(sketch) => *sketch < sum.sketches.len(),
        other => other.slots(sum).into_iter().chain(other.cells(sum)).all(|slot| slot < sum.slots.len()),
    };
    let cells = sum.cells.iter().chain(sum.orders.iter().map(|order| &order.count)).all(|slot| *slot < sum.slots.len());
    if cells && sum.outputs.iter().all(known) { Ok(()) } else { Err(bad("an output names a slot that is not there")) }
}

fn array(scalars: Vec<ScalarValue>, data_type: &DataType) -> Result<ArrayRef, PlanError> {
    if scalars.is_empty() {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    ScalarValue::iter_to_array(scalars).map_err(|e| bad(&e.strip_backtrace()))
}

/// One cell's surroundings.
struct Row<'a> {
    sum: &'a SecureSum,
    opened: &'a Opened,
    group: usize,
    field: &'a Arc<Field>,
}

impl Row<'_> {
    fn scalar(&self, output: &Output) -> Result<ScalarValue, PlanError> {
        if self.is_hidden(output) {
            return self.null();
        }
        match output {
            Output::Key(i) => {
                let key = &self.opened.groups[self.group][*i];
                key.to_scalar(self.to()).ok_or_else(|| bad("a group key is not of its column's type"))
            }
            Output::Count(slot) => self.whole(self.count(*slot)?, 0),
            Output::Sum { sum, .. } if self.sum.shows_sums_alone() => self.total(*sum),
            Output::Sum { sum, count } => {
                if self.count(*count)? == 0 {
                    self.null()
                } else {
                    self.total(*sum)
                }
            }
            Output::Avg { sum, count } => match self.count(*count)? {
                ..=0 => self.null(),
                n => self.average(*sum, n),
            },
            Output::Variance { sum, squares, count, form, root } => self.variance(*sum, *squares, *count, *form, *root),
            Output::Point { order, point } => match self.count(self.sum.orders[*order].count)? {
                0 => self.null(),
                _ => self.point(*order, *point),
            },
            Output::Approximate(sketch) => self.approximate(&self.opened.levels[*sketch][self.group]),
        }
    }

    /// Is a total missing that it needs?
    fn is_hidden(&self, output: &Output) -> bool {
        let shown = output.slots(self.sum).into_iter().chain(output.cells(self.sum));
        shown.into_iter().any(|slot| self.opened.totals[slot][self.group].is_none())
    }

    fn point(&self, order: usize, point: usize) -> Result<ScalarValue, PlanError> {
        let code = self.opened.points[order][point][self.group];
        let order = &self.sum.orders[order];
        match order.points[point] {
            Point::Cont { share } => self.real(order.encoding.interpolated(code, share.denominator)),
            _ => {
                let code = u64::try_from(code).map_err(|_| bad("a code is negative"))?;
                order.encoding.value(code, self.to()).ok_or_else(|| bad("a code is not of its column's type"))
            }
        }
    }

    /// Registers that reach a level reach all lower ones.
    fn approximate(&self, levels: &[u64]) -> Result<ScalarValue, PlanError> {
        let falls = levels.is_sorted_by(|lower, higher| lower >= higher);
        if levels.len() != LEVELS as usize || !falls || levels.first().is_some_and(|first| *first > REGISTERS) {
            return Err(bad("the levels of a sketch do not fall"));
        }
        self.whole(estimate(levels, REGISTERS).round() as i128, 0)
    }

    fn to(&self) -> &DataType {
        self.field.data_type()
    }

    /// A total that is shown.
    fn at(&self, slot: usize) -> Result<i128, PlanError> {
        self.opened.totals[slot][self.group].ok_or_else(|| bad("a total is missing"))
    }

    fn count(&self, slot: usize) -> Result<i128, PlanError> {
        match self.at(slot)? {
            n if n >= 0 || self.sum.is_noised(slot) => Ok(n),
            _ => Err(bad("a count is negative")),
        }
    }

    fn null(&self) -> Result<ScalarValue, PlanError> {
        ScalarValue::try_from(self.to()).map_err(|e| bad(&e.strip_backtrace()))
    }

    fn total(&self, slot: usize) -> Result<ScalarValue, PlanError> {
        match self.sum.slots[slot].scale {
            Scale::Decimal(digits) => self.whole(self.at(slot)?, digits),
            Scale::Binary(bits) => self.real(self.at(slot)? as f64 / 2f64.powi(bits.into())),
        }
    }

    /// An exact number of so many decimals in the column's type.
    fn whole(&self, unscaled: i128, digits: u8) -> Result<ScalarValue, PlanError> {
        let too_large = || {
            let text = format!("a sum in column {} does not fit its type {}", self.field.name(), self.to());
            PlanError::new("SUM_TOO_LARGE", text).hint("cast its argument to DOUBLE or to a wider DECIMAL")
        };
        match self.to() {
            DataType::Int64 if digits == 0 => {
                i64::try_from(unscaled).map(|i| ScalarValue::Int64(Some(i))).map_err(|_| too_large())
            }
            DataType::UInt64 if digits == 0 => {
                u64::try_from(unscaled).map(|i| ScalarValue::UInt64(Some(i))).map_err(|_| too_large())
            }
            DataType::Float64 => self.real(unscaled as f64 / power_of_ten(digits)),
            DataType::Decimal128(precision, scale) => {
                let to = u8::try_from(*scale).map_err(|_| bad("a negative scale"))?;
                let value = rescale(unscaled, digits, to).filter(|v| fits(*v, *precision)).ok_or_else(too_large)?;
                Ok(ScalarValue::Decimal128(Some(value), *precision, *scale))
            }
            other => Err(bad(&format!("a sum cannot be of type {other}"))),
        }
    }

    fn real(&self, x: f64) -> Result<ScalarValue, PlanError> {
        match self.to() {
            DataType::Float64 => Ok(ScalarValue::Float64(Some(x))),
            other => Err(bad(&format!("a real number cannot be of type {other}"))),
        }
    }

    fn average(&self, slot: usize, n: i128) -> Result<ScalarValue, PlanError> {
        let total = self.at(slot)?;
        match self.sum.slots[slot].scale {
            // One rounding where the denominator fits 128 bits, which it does for every column of up to 18 digits.
            Scale::Decimal(digits) => match 10i128.checked_pow(digits.into()).and_then(|unit| unit.checked_mul(n)) {
                Some(denominator) => self.real(quotient(total, denominator)),
                None => self.real(quotient(total, n) / power_of_ten(digits)),
            },
            Scale::Binary(bits) => self.real(quotient(total, n) / 2f64.powi(bits.into())),
        }
    }

    /// (n·Σx² − (Σx)²) / (n·m) with m = n or n − 1; the difference is taken in 256 bits, where it cannot cancel.
    fn variance(
        &self,
        sum: usize,
        squares: usize,
        count: usize,
        form: Form,
        root: bool,
    ) -> Result<ScalarValue, PlanError> {
        let n = self.count(count)?;
        let m = if form == Form::Sample { n - 1 } else { n };
        if m <= 0 {
            return self.null();
        }
        let (total, squares, unit) = match self.sum.slots[sum].scale {
            Scale::Decimal(digits) => (self.at(sum)?, i256::from_i128(self.at(squares)?), power_of_ten(digits).powi(2)),
            Scale::Binary(bits) => {
                // Both are held with `bits` fractional bits; the square of the sum has twice as many.
                let lifted = i256::from_i128(self.at(squares)?).checked_mul(i256::from_i128(1i128 << bits));
                (self.at(sum)?, lifted.ok_or_else(overflow)?, 2f64.powi(2 * i32::from(bits)))
            }
        };
        let square = i256::from_i128(total).checked_mul(i256::from_i128(total)).ok_or_else(overflow)?;
        let spread =
            squares.checked_mul(i256::from_i128(n)).and_then(|s| s.checked_sub(square)).ok_or_else(overflow)?;
        // Rounding of real numbers at the sites may leave a spread just below zero.
        let spread = if spread.is_negative() { 0.0 } else { to_f64(spread) };
        let variance = spread / (n as f64 * m as f64) / unit;
        self.real(if root { variance.sqrt() } else { variance })
    }
}

/// total / n with the whole part taken out first, so that a large total loses nothing.
fn quotient(total: i128, n: i128) -> f64 {
    (total / n) as f64 + (total % n) as f64 / n as f64
}

fn rescale(unscaled: i128, from: u8, to: u8) -> Option<i128> {
    match to.checked_sub(from) {
        Some(more) => unscaled.checked_mul(10i128.checked_pow(more.into())?),
        None => None,
    }
}

fn fits(value: i128, precision: u8) -> bool {
    10i128.checked_pow(precision.into()).is_none_or(|limit| value.unsigned_abs() < limit.unsigned_abs())
}

fn power_of_ten(digits: u8) -> f64 {
    10f64.powi(digits.into())
}

/// The nearest double of a number that is not negative.
fn to_f64(x: i256) -> f64 {
    let (low, high) = x.to_parts();
    high as f64 * 2f64.powi(128) + low as f64
}

fn overflow() -> PlanError {
    PlanError::new("SUM_TOO_LARGE", "a variance needs more than 256 bits")
}

fn bad(text: &str) -> PlanError {
    PlanError::new("BAD_TOTALS", format!("opened totals do not match the plan: {text}"))
}
