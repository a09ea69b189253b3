//! One column's fields, counted one after the other.

use std::collections::HashSet;

use query_planner::catalog::ColumnType;
use query_planner::value::Value;

use super::Counts;
use super::codes::{self, FIRST_NUMBER};
use super::plan::ColumnPlan;
use crate::source::parse::{self, Rule};

/// Counts the fields of a column.
pub(in crate::source) struct Tally<'a> {
    plan: &'a ColumnPlan,
    members: Option<HashSet<&'a Value>>,
    /// Codes that are numbers, where the column has numbers.
    numbers: Vec<(usize, i64)>,
    today: i32,
    reads: Reads,
    /// What was found so far.
    pub counts: Counts,
}

/// How a source's fields become values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Reads {
    /// Texts of this type.
    As(ColumnType),
    /// The same, and an empty one is NULL.
    Nullable(ColumnType),
    /// The source has another type: no value fits.
    Nothing,
}

impl<'a> Tally<'a> {
    /// Nothing counted yet.
    pub fn new(plan: &'a ColumnPlan, reads: Reads, today: i32) -> Self {
        let members = plan.domain.as_ref().map(|domain| domain.iter().collect());
        let numbers = plan.codes.iter().filter_map(|code| Some((*code, codes::number(*code)?))).collect();
        Self { plan, members, numbers, today, reads, counts: Counts::default() }
    }

    /// Counts a field; its moment, in microseconds since 1970, if it has one.
    pub fn see(&mut self, field: Option<&str>) -> Option<i64> {
        let Some(text) = field else {
            self.counts.nulls += 1;
            return None;
        };
        let is_text = matches!(self.reads, Reads::As(ColumnType::Text) | Reads::Nullable(ColumnType::Text));
        // Of a number it is the value that may be a code, however it is written.
        let code = codes::of_text(text).filter(|code| is_text || *code < FIRST_NUMBER);
        if let Some(code) = code.filter(|code| self.plan.codes.contains(code)) {
            self.counts.codes[code] += 1;
        }
        let read = match self.reads {
            Reads::Nullable(_) if text.is_empty() => return None,
            _ if is_text => return self.see_text(text),
            Reads::As(data_type) | Reads::Nullable(data_type) => value(text, data_type),
            Reads::Nothing => Err(Rule::NotAnInteger),
        };
        match read {
            Ok(value) => self.see_value(&value),
            Err(_) => {
                self.counts.misfits += 1;
                None
            }
        }
    }

    fn see_text(&mut self, text: &str) -> Option<i64> {
        // A word of a domain is looked up as a value; most columns of text have no domain.
        if let Some(members) = &self.members
            && !members.contains(&Value::Text(text.to_owned()))
        {
            self.counts.outside_domain += 1;
        }
        None
    }

    fn see_value(&mut self, value: &Value) -> Option<i64> {
        if let Some((code, _)) = self.numbers.iter().find(|(_, number)| is_number(value, *number)) {
            self.counts.codes[*code] += 1;
        }
        let outside = |(low, high): (i64, i64)| unscaled(value).is_some_and(|v| v < low.into() || v > high.into());
        self.counts.out_of_range += u64::from(self.plan.range.is_some_and(outside));
        let foreign = self.members.as_ref().is_some_and(|members| !members.contains(value));
        self.counts.outside_domain += u64::from(foreign);
        let moment = moment(value)?;
        let day = moment.div_euclid(DAY_MICROS);
        self.counts.before_1900 += u64::from(day < FIRST_OF_1900);
        self.counts.in_future += u64::from(!self.plan.may_be_later && day > i64::from(self.today) + 1);
        Some(moment)
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// 1900-01-01.
const FIRST_OF_1900: i64 = -25_567;

fn value(text: &str, data_type: ColumnType) -> Result<Value, Rule> {
    Ok(match data_type {
        ColumnType::Int => Value::Int(parse::int(text)?),
        ColumnType::Real => Value::real(parse::real(text)?).ok_or(Rule::NotFinite)?,
        ColumnType::Decimal { precision, scale } => Value::Decimal(parse::decimal(text, precision, scale)?, scale),
        ColumnType::Date => Value::Date(parse::date(text)?),
        ColumnType::Timestamp => Value::Timestamp(parse::timestamp(text)?),
        ColumnType::Bool => Value::Bool(parse::bool(text)?),
        ColumnType::Text => Value::Text(text.to_owned()),
    })
}

fn unscaled(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some((*number).into()),
        Value::Decimal(number, _) => Some(*number),
        _ => None,
    }
}

fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::Date(day) => Some(i64::from(*day) * DAY_MICROS),
        Value::Timestamp(micros) => Some(*micros),
        _ => None,
    }
}

fn is_number(value: &Value, number: i64) -> bool {
    match value {
        Value::Int(found) => *found == number,
        Value::Real(bits) => f64::from_bits(*bits) == number as f64,
        Value::Decimal(found, scale) => {
            i128::from(number).checked_mul(10i128.saturating_pow(scale.unsigned_abs().into())) == Some(*found)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_of_1900_is_the_first_that_is_not_before_it() {
        assert_eq!(parse::date("1900-01-01").map(i64::from), Ok(FIRST_OF_1900));
    }
}
