//! One value of an answer in each of the formats.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use query_planner::value::write_decimal;
use serde::{Deserialize, Serialize};

use crate::fault::hostile;

/// A value, or what stands in its place. It does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// Hidden; the label.
    Hidden(String),
    /// No value.
    Null,
    /// Written as a JSON number.
    Number(String),
    /// True or false.
    Bool(bool),
    /// Anything else.
    Text(String),
}

impl Cell {
    /// Reads a cell; a hidden one is not looked at.
    pub(super) fn read(array: &ArrayRef, row: usize, label: Option<&str>) -> Self {
        if let Some(label) = label {
            return Self::Hidden(label.to_owned());
        }
        if array.is_null(row) || *array.data_type() == DataType::Null {
            return Self::Null;
        }
        match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            DataType::Float64 => real(array.as_primitive::<Float64Type>().value(row)),
            // Through its own digits: 0.1f32 widened is 0.10000000149011612.
            DataType::Float32 => match array.as_primitive::<Float32Type>().value(row) {
                x if x.is_finite() => serde_json::to_string(&x).map_or(Self::Null, Self::Number),
                x => real(x.into()),
            },
            DataType::Decimal128(_, scale) => {
                Self::Number(write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale))
            }
            data_type => {
                let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
                let text = formatter.map_or_else(|_| "?".to_owned(), |f| f.value(row).to_string());
                if data_type.is_integer() { Self::Number(text) } else { Self::Text(text) }
            }
        }
    }

    /// What a hidden cell shows.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Hidden(label) => Some(label),
            _ => None,
        }
    }

    /// NULL in capitals, control characters escaped.
    pub(super) fn for_people(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Hidden(text) => escaped(text),
            Self::Number(text) => text.clone(),
            Self::Bool(b) => b.to_string(),
            Self::Text(text) => escaped(text),
        }
    }

    /// NULL is nothing; an empty text is quoted.
    pub(super) fn for_csv(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Hidden(text) => quoted(text),
            Self::Number(text) => text.clone(),
            Self::Bool(b) => b.to_string(),
            Self::Text(text) => quoted(text),
        }
    }

    /// A hidden cell is null: its label is in the list beside the rows.
    pub(super) fn for_json(&self) -> String {
        match self {
            Self::Null | Self::Hidden(_) => "null".to_owned(),
            Self::Number(text) => text.clone(),
            Self::Bool(b) => b.to_string(),
            Self::Text(text) => json(text),
        }
    }
}

/// The shortest digits that read back as the same double. JSON has no NaN and no infinity: those are texts.
fn real(x: f64) -> Cell {
    if x.is_finite() {
        return serde_json::to_string(&x).map_or(Cell::Null, Cell::Number);
    }
    let word = if x.is_nan() { "NaN" } else { "Infinity" };
    Cell::Text(if x < 0.0 { format!("-{word}") } else { word.to_owned() })
}

/// A JSON string.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A CSV field, quoted when it must be.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// Text that cannot move the cursor, start a line or turn the direction.
pub(super) fn escaped(text: &str) -> String {
    let one = |c: char| if hostile(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(one).collect()
}

/// Pads to a width in terminal columns.
pub(super) fn pad(text: &str, columns: usize, right: bool) -> String {
    let space = " ".repeat(columns.saturating_sub(width(text)));
    if right { space + text } else { text.to_owned() + &space }
}

/// Terminal columns: East Asian wide characters take two.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{20000}'..='\u{3fffd}')
}
