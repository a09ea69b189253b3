//! The running totals of every slot and group.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;
use query_planner::catalog::SiteName;
use query_planner::plan::{Scale, SecureSum, Slot, Summand};

use super::exact::ExactSum;
use super::numbers::Numbers;
use super::plan_invalid;
use crate::fault::NodeError;
use crate::source::parse::{self, Rule};

/// The totals of one site.
pub(super) struct Totals<'a> {
    sum: &'a SecureSum,
    site: &'a SiteName,
    /// `slots[slot][group]`
    slots: Vec<Vec<Total>>,
}

/// The total of one slot and group.
#[derive(Debug, Clone)]
enum Total {
    /// Of a count or a decimal slot; none after an overflow.
    Exact(Option<i128>),
    /// Of a slot with binary fraction bits.
    Real(ExactSum),
}

/// Why a batch cannot be added.
enum Trouble {
    NotFinite,
    Invalid(&'static str),
}

impl<'a> Totals<'a> {
    /// All zero.
    pub(super) fn new(sum: &'a SecureSum, site: &'a SiteName) -> Self {
        Self { sum, site, slots: vec![Vec::new(); sum.slots.len()] }
    }

    /// Adds a batch whose rows belong to these groups, of which there are `groups` so far.
    pub(super) fn add(&mut self, batch: &RecordBatch, rows: &[usize], groups: usize) -> Result<(), NodeError> {
        for (slot, totals) in self.sum.slots.iter().zip(&mut self.slots) {
            totals.resize(groups, Total::zero(slot));
            add_slot(slot, batch, rows, totals).map_err(|trouble| match trouble {
                Trouble::NotFinite => {
                    let what = describe(slot, &self.sum.columns);
                    NodeError::new("NOT_FINITE", format!("site {}: {what}: a value is NaN or infinite", self.site))
                }
                Trouble::Invalid(what) => plan_invalid(what),
            })?;
        }
        Ok(())
    }

    /// Adds totals of whole groups: `made[slot][row]` as text, none for nothing.
    pub(super) fn add_made(
        &mut self,
        made: &[Vec<Option<String>>],
        rows: &[usize],
        groups: usize,
    ) -> Result<(), NodeError> {
        for ((slot, totals), made) in self.sum.slots.iter().zip(&mut self.slots).zip(made) {
            totals.resize(groups, Total::zero(slot));
            let digits = match slot.scale {
                Scale::Decimal(digits) if !counts(slot.what) => digits,
                _ => 0,
            };
            for (group, text) in rows.iter().zip(made) {
                let Some(text) = text else { continue };
                totals[*group].add_exact(unscaled(text, digits)?);
            }
        }
        Ok(())
    }

    /// `slots[slot][group]` as integers within their bounds.
    pub(super) fn finish(mut self, groups: usize) -> Result<Vec<Vec<i128>>, NodeError> {
        let slots = std::mem::take(&mut self.slots);
        let pairs = self.sum.slots.iter().zip(slots);
        pairs.map(|(slot, totals)| self.finish_slot(slot, totals, groups)).collect()
    }

    fn finish_slot(&self, slot: &Slot, mut totals: Vec<Total>, groups: usize) -> Result<Vec<i128>, NodeError> {
        totals.resize(groups, Total::zero(slot));
        let integers = totals.iter().map(|total| total.finish(slot)).collect::<Option<Vec<_>>>();
        integers.ok_or_else(|| {
            let (site, what, bits) = (self.site, describe(slot, &self.sum.columns), slot.partial_bits);
            let message = format!("site {site}: {what}: a total does not fit the {bits} bits that the plan gives it");
            NodeError::new("SUM_OVERFLOW", message).hint("declare a range for the column, or sum smaller values")
        })
    }
}

impl Total {
    fn zero(slot: &Slot) -> Self {
        match slot.scale {
            Scale::Binary(_) if !counts(slot.what) => Self::Real(ExactSum::default()),
            _ => Self::Exact(Some(0)),
        }
    }

    /// The integer that is shared, if it is within the slot's bound.
    fn finish(&self, slot: &Slot) -> Option<i128> {
        let integer = match (self, slot.scale) {
            (Self::Exact(total), _) => (*total)?,
            (Self::Real(total), Scale::Binary(bits)) => total.round(bits)?,
            (Self::Real(_), Scale::Decimal(_)) => return None,
        };
        let bound = 1u128.checked_shl(slot.partial_bits).unwrap_or(u128::MAX);
        (integer.unsigned_abs() < bound).then_some(integer)
    }

    fn add_exact(&mut self, value: Option<i128>) {
        if let Self::Exact(total) = self {
            *total = total.zip(value).and_then(|(total, value)| total.checked_add(value));
        }
    }
}

/// An exact number as an integer with so many digits after the point; none where that has more than 38 digits.
fn unscaled(text: &str, digits: u8) -> Result<Option<i128>, NodeError> {
    let digits = i8::try_from(digits).map_err(|_| plan_invalid("a slot with too many digits"))?;
    match parse::decimal(text, 38, digits) {
        Ok(total) => Ok(Some(total)),
        Err(Rule::DecimalOverflow) => Ok(None),
        Err(_) => Err(plan_invalid("a slot with fewer digits than its column")),
    }
}

fn counts(what: Summand) -> bool {
    matches!(what, Summand::Rows | Summand::NotNull(_) | Summand::BothNotNull(..))
}

fn add_slot(slot: &Slot, batch: &RecordBatch, rows: &[usize], totals: &mut [Total]) -> Result<(), Trouble> {
    let filter = slot.filter.map(|column| boolean(batch, column)).transpose()?;
    let counted = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    let rows = rows.iter().copied().enumerate().filter(|(row, _)| counted(*row));
    match slot.what {
        Summand::Rows => rows.for_each(|(_, group)| totals[group].add_exact(Some(1))),
        // Comes from the matched patients.
        Summand::Patients(_) => {}
        Summand::NotNull(a) => {
            let a = column(batch, a)?.logical_nulls();
            let valid = rows.filter(|(row, _)| a.as_ref().is_none_or(|nulls| nulls.is_valid(*row)));
            valid.for_each(|(_, group)| totals[group].add_exact(Some(1)));
        }
        Summand::BothNotNull(a, b) => {
            let nulls = [column(batch, a)?.logical_nulls(), column(batch, b)?.logical_nulls()];
            let valid = rows.filter(|(row, _)| nulls.iter().flatten().all(|nulls| nulls.is_valid(*row)));
            valid.for_each(|(_, group)| totals[group].add_exact(Some(1)));
        }
        Summand::Value(a) => add_values(slot, &numbers(batch, a)?, rows, totals)?,
        Summand::Square(a) => {
            let a = numbers(batch, a)?;
            add_pairs(slot, &a, &a, rows, totals)?;
        }
        Summand::Product(a, b) => add_pairs(slot, &numbers(batch, a)?, &numbers(batch, b)?, rows, totals)?,
    }
    Ok(())
}

/// Adds the values of one column.
fn add_values(
    slot: &Slot,
    a: &Numbers,
    rows: impl Iterator<Item = (usize, usize)>,
    totals: &mut [Total],
) -> Result<(), Trouble> {
    let Scale::Decimal(digits) = slot.scale else {
        for (row, group) in rows {
            let Some(a) = a.real(row) else { continue };
            let Total::Real(total) = &mut totals[group] else { continue };
            total.add(finite(a)?);
        }
        return Ok(());
    };
    let factor = factor(digits, a.digits())?;
    for (row, group) in rows {
        if let Some(a) = a.exact(row) {
            totals[group].add_exact(a.checked_mul(factor));
        }
    }
    Ok(())
}

/// Adds the products of two columns.
fn add_pairs(
    slot: &Slot,
    a: &Numbers,
    b: &Numbers,
    rows: impl Iterator<Item = (usize, usize)>,
    totals: &mut [Total],
) -> Result<(), Trouble> {
    let Scale::Decimal(digits) = slot.scale else {
        for (row, group) in rows {
            let Some((a, b)) = a.real(row).zip(b.real(row)) else { continue };
            let Total::Real(total) = &mut totals[group] else { continue };
            total.add_product(finite(a)?, finite(b)?);
        }
        return Ok(());
    };
    let own = a.digits().zip(b.digits()).and_then(|(a, b)| a.checked_add(b));
    let factor = factor(digits, own)?;
    for (row, group) in rows {
        if let Some((a, b)) = a.exact(row).zip(b.exact(row)) {
            totals[group].add_exact(a.checked_mul(b).and_then(|product| product.checked_mul(factor)));
        }
    }
    Ok(())
}

/// What brings a value with `own` digits after the point to a slot with `digits`.
fn factor(digits: u8, own: Option<u8>) -> Result<i128, Trouble> {
    let own = own.ok_or(Trouble::Invalid("a decimal slot over doubles"))?;
    let missing = digits.checked_sub(own).ok_or(Trouble::Invalid("a slot with fewer digits than its column"))?;
    10i128.checked_pow(missing.into()).ok_or(Trouble::Invalid("a slot with too many digits"))
}

fn finite(value: f64) -> Result<f64, Trouble> {
    if value.is_finite() { Ok(value) } else { Err(Trouble::NotFinite) }
}

fn column(batch: &RecordBatch, column: usize) -> Result<&ArrayRef, Trouble> {
    batch.columns().get(column).ok_or(Trouble::Invalid("a slot over a column that is not there"))
}

fn numbers(batch: &RecordBatch, i: usize) -> Result<Numbers, Trouble> {
    Numbers::read(column(batch, i)?).ok_or(Trouble::Invalid("a sum over a column that is not a number"))
}

fn boolean(batch: &RecordBatch, i: usize) -> Result<&BooleanArray, Trouble> {
    let column = column(batch, i)?;
    if *column.data_type() != DataType::Boolean {
        return Err(Trouble::Invalid("a filter that is not a truth value"));
    }
    Ok(column.as_boolean())
}

/// The slot in SQL's words.
fn describe(slot: &Slot, names: &[String]) -> String {
    let name = |column: usize| names.get(column).map_or("?", String::as_str);
    match slot.what {
        Summand::Rows => "COUNT(*)".to_owned(),
        Summand::NotNull(a) => format!("COUNT({})", name(a)),
        Summand::Value(a) => format!("SUM({})", name(a)),
        Summand::Square(a) => format!("SUM({0} * {0})", name(a)),
        Summand::Product(a, b) => format!("SUM({} * {})", name(a), name(b)),
        Summand::BothNotNull(a, b) => format!("COUNT({}, {})", name(a), name(b)),
        Summand::Patients(node) => format!("patients {node}"),
    }
}
