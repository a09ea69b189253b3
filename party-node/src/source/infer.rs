//! The type of a text column, from all its fields.

use query_planner::catalog::ColumnType;
use query_planner::merge::InferredType;

use super::parse::{self, Rule};

/// What the fields of one column have looked like so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Kinds seen, one bit each.
    kinds: u16,
    /// First field that is nearly of a type: its row and what is wrong with it.
    spoiler: Option<(usize, Rule)>,
}

const INT: u16 = 1;
const REAL: u16 = 1 << 1;
const DATE: u16 = 1 << 2;
const TIMESTAMP: u16 = 1 << 3;
const BOOL: u16 = 1 << 4;
/// Digits beyond 64 bits: a double among doubles, an overflow among integers, an identifier otherwise.
const HUGE: u16 = 1 << 5;
/// Nearly a number: separators, foreign digits, NaN.
const BAD_NUMBER: u16 = 1 << 6;
/// Shaped like a day that is not in the calendar.
const BAD_DATE: u16 = 1 << 7;
/// A word for a missing value.
const MISSING: u16 = 1 << 8;
/// Anything else, codes with leading zeros included.
const TEXT: u16 = 1 << 9;

impl Shape {
    /// Adds one field; an empty one says nothing.
    pub(super) fn see(&mut self, row: usize, text: &str) {
        if text.is_empty() || self.kinds & TEXT != 0 || self.is_as_before(text) {
            return;
        }
        let (kind, spoiler) = kind(text);
        self.kinds |= kind;
        if let (None, Some(rule)) = (self.spoiler, spoiler) {
            self.spoiler = Some((row, rule));
        }
    }

    /// Most columns are of one kind: a look at that kind alone spares a million fields the search through all of them.
    fn is_as_before(&self, text: &str) -> bool {
        match self.kinds {
            INT => parse::is_short_int(text),
            REAL => parse::is_short_real(text),
            DATE => parse::is_date(text),
            TIMESTAMP => parse::is_timestamp(text),
            _ => false,
        }
    }

    /// The narrowest type that every field has.
    pub(super) fn inferred(&self) -> InferredType {
        InferredType::Typed(match self.kinds {
            0 => return InferredType::Empty,
            INT => ColumnType::Int,
            DATE => ColumnType::Date,
            TIMESTAMP => ColumnType::Timestamp,
            BOOL => ColumnType::Bool,
            kinds if kinds & REAL != 0 && kinds & !(INT | REAL | HUGE) == 0 => ColumnType::Real,
            _ => ColumnType::Text,
        })
    }

    /// A column that is text only because some fields are nearly, but not quite, of the type of the others: the first
    /// such row and its rule. Unless the column is declared as text, its file needs mending.
    pub(super) fn doubt(&self) -> Option<(usize, Rule)> {
        if self.inferred() != InferredType::Typed(ColumnType::Text) || self.kinds & TEXT != 0 {
            return None;
        }
        let good = self.kinds & (INT | REAL | DATE | TIMESTAMP | BOOL);
        let one_family = good == INT | REAL || good.count_ones() == 1;
        let bad = self.kinds & (HUGE | BAD_NUMBER | BAD_DATE);
        let same_family = if good & (INT | REAL) != 0 { bad & BAD_DATE == 0 } else { bad & !BAD_DATE == 0 };
        if one_family && same_family { self.spoiler } else { None }
    }

    /// The type of all the fields but those in doubt.
    pub(super) fn likely(&self) -> Option<ColumnType> {
        self.doubt()?;
        Some(match self.kinds & (INT | REAL | DATE | TIMESTAMP | BOOL) {
            INT => ColumnType::Int,
            DATE => ColumnType::Date,
            TIMESTAMP => ColumnType::Timestamp,
            BOOL => ColumnType::Bool,
            _ => ColumnType::Real,
        })
    }
}

/// The kind of one field, and the rule it breaks if it is nearly of a type.
fn kind(text: &str) -> (u16, Option<Rule>) {
    let numeric = parse::is_code(text);
    match parse::int(text) {
        Ok(_) if !numeric => return (INT, None),
        Err(Rule::IntegerOverflow) if !numeric => return (HUGE, Some(Rule::IntegerOverflow)),
        _ if numeric && !parse::is_date_shaped(text) => return (other(text), None),
        _ => {}
    }
    match parse::real(text) {
        Ok(_) => return (REAL, None),
        Err(Rule::MissingWord) => return (MISSING, Some(Rule::MissingWord)),
        Err(rule @ (Rule::NotFinite | Rule::ThousandsSeparator | Rule::ForeignDigits)) => {
            return (BAD_NUMBER, Some(rule));
        }
        _ => {}
    }
    match parse::date(text) {
        Ok(_) => (DATE, None),
        Err(rule) if parse::is_date_shaped(text) => (BAD_DATE, Some(rule)),
        Err(_) => (other(text), None),
    }
}

fn other(text: &str) -> u16 {
    if parse::timestamp(text).is_ok() {
        TIMESTAMP
    } else if parse::bool(text).is_ok() {
        BOOL
    } else {
        TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(fields: &[&str]) -> Shape {
        let mut shape = Shape::default();
        fields.iter().enumerate().for_each(|(row, text)| shape.see(row, text));
        shape
    }

    #[test]
    fn a_column_has_the_narrowest_type_of_all_its_fields() {
        for (fields, expected) in [
            (&["", ""][..], InferredType::Empty),
            (&[], InferredType::Empty),
            (&["1", "", "-0", "-12"], InferredType::Typed(ColumnType::Int)),
            (&["1", "2.5"], InferredType::Typed(ColumnType::Real)),
            (&["1e3", "99999999999999999999"], InferredType::Typed(ColumnType::Real)),
            (&["2020-02-29", ""], InferredType::Typed(ColumnType::Date)),
            (&["2020-02-29 10:00:00", "2020-02-29T10:00:00.5"], InferredType::Typed(ColumnType::Timestamp)),
            (&["0999-01-01 10:00:00"], InferredType::Typed(ColumnType::Timestamp)),
            (&["0999-01-01"], InferredType::Typed(ColumnType::Date)),
            (&["true", "FALSE"], InferredType::Typed(ColumnType::Bool)),
            (&["007", "1"], InferredType::Typed(ColumnType::Text)),
            (&["00.5"], InferredType::Typed(ColumnType::Text)),
            (&["+5"], InferredType::Typed(ColumnType::Text)),
            (&["1", "x"], InferredType::Typed(ColumnType::Text)),
            (&["2020-02-29", "2020-02-29 10:00:00"], InferredType::Typed(ColumnType::Text)),
            (&["99999999999999999999"], InferredType::Typed(ColumnType::Text)),
        ] {
            assert_eq!(shape(fields).inferred(), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_nearly_numeric_column_names_its_first_odd_row() {
        for (fields, rule) in [
            (&["1", "1,234"], Rule::ThousandsSeparator),
            (&["2.5", "１２"], Rule::ForeignDigits),
            (&["2.5", "NaN"], Rule::NotFinite),
            (&["1", "99999999999999999999"], Rule::IntegerOverflow),
            (&["1", "NA"], Rule::MissingWord),
            (&["2020-02-29", "2021-02-29"], Rule::InvalidDate),
            (&["true", "NULL"], Rule::MissingWord),
        ] {
            assert_eq!(shape(fields).doubt(), Some((1, rule)), "{fields:?}");
        }
    }

    #[test]
    fn honest_text_raises_no_doubt() {
        let columns: [&[&str]; 7] =
            [&["a", "1,234"], &["NA", "M"], &["1,234"], &["1", "2"], &["NaN"], &["007", "1,2"], &["1", "2021-02-29"]];
        for fields in columns {
            assert_eq!(shape(fields).doubt(), None, "{fields:?}");
        }
    }
}
