//! An answer's cells as PostgreSQL's types, in text and in binary.
//!
//! # Source
//! PostgreSQL's documentation, "Frontend/Backend Protocol", and the send functions of its types: big-endian numbers, days and
//! microseconds since 2000-01-01, `numeric` as base-10000 digits.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;

use crate::fault::NodeError;
use crate::output::Cell;

/// A column as it is described to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Digits of a `numeric`, packed as PostgreSQL does; -1 where there is nothing to say.
    pub modifier: i32,
}

impl Shown {
    /// A column of this type.
    pub fn new(name: impl Into<String>, kind: Type) -> Self {
        Self { name: name.into(), kind, modifier: -1 }
    }

    /// What a column of an answer is for a client.
    pub fn of(name: &str, data_type: &DataType) -> Self {
        let name = name.to_owned();
        let (kind, modifier) = match data_type {
            DataType::Decimal128(precision, scale) => {
                (Type::NUMERIC, ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4)
            }
            DataType::UInt64 => (Type::NUMERIC, -1),
            other if other.is_integer() => (Type::INT8, -1),
            DataType::Float64 | DataType::Float32 | DataType::Float16 => (Type::FLOAT8, -1),
            DataType::Date32 => (Type::DATE, -1),
            DataType::Timestamp(..) => (Type::TIMESTAMP, -1),
            DataType::Boolean => (Type::BOOL, -1),
            _ => (Type::TEXT, -1),
        };
        Self { name, kind, modifier }
    }

    /// As a row description says it.
    pub fn field(&self, format: FieldFormat) -> FieldInfo {
        let size = match self.kind {
            Type::BOOL => 1,
            Type::INT4 | Type::DATE | Type::OID => 4,
            Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP => 8,
            _ => -1,
        };
        FieldInfo::new(self.name.clone(), None, None, self.kind.clone(), format)
            .with_type_size(size)
            .with_type_modifier(self.modifier)
    }
}

/// A row under its description.
pub fn row(cells: &[Cell], fields: &Arc<Vec<FieldInfo>>) -> Result<DataRow, NodeError> {
    let mut out = BytesMut::new();
    for (cell, field) in cells.iter().zip(fields.iter()) {
        let Some(text) = text(cell, field.datatype()) else {
            out.put_i32(-1);
            continue;
        };
        let at = out.len();
        out.put_i32(0);
        match field.format() {
            FieldFormat::Text => out.put_slice(text.as_bytes()),
            FieldFormat::Binary => binary(&text, field.datatype(), &mut out).ok_or_else(|| {
                NodeError::new("INTERNAL", format!("a value of column '{}' is of another type", field.name()))
            })?,
        }
        let length = i32::try_from(out.len() - at - 4)
            .map_err(|_| NodeError::new("INTERNAL", "a value is longer than the protocol can say"))?;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(DataRow::new(out, fields.len() as i16))
}

/// As PostgreSQL writes it; nothing for NULL and for what is hidden.
fn text(cell: &Cell, kind: &Type) -> Option<String> {
    match cell {
        Cell::Null | Cell::Hidden(_) => None,
        Cell::Bool(value) => Some(if *value { "t" } else { "f" }.to_owned()),
        Cell::Number(text) if *kind == Type::FLOAT8 => Some(text.strip_suffix(".0").unwrap_or(text).to_owned()),
        Cell::Text(text) if *kind == Type::TIMESTAMP => Some(text.replacen('T', " ", 1)),
        Cell::Number(text) | Cell::Text(text) => Some(text.clone()),
    }
}

fn binary(text: &str, kind: &Type, out: &mut BytesMut) -> Option<()> {
    match *kind {
        Type::BOOL => out.put_u8(u8::from(text == "t")),
        Type::INT8 => out.put_i64(text.parse().ok()?),
        Type::INT4 => out.put_i32(text.parse().ok()?),
        Type::OID => out.put_u32(text.parse().ok()?),
        Type::FLOAT8 => out.put_f64(text.parse().ok()?),
        Type::NUMERIC => numeric(text, out)?,
        Type::DATE => out.put_i32(i32::try_from(parsed(text, &DataType::Date32)? - EPOCH_DAYS).ok()?),
        Type::TIMESTAMP => {
            let micros = parsed(text, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            out.put_i64(micros.checked_sub(EPOCH_DAYS * DAY_MICROS)?);
        }
        Type::TEXT_ARRAY | Type::INT8_ARRAY => list(text, kind, out)?,
        _ => out.put_slice(text.as_bytes()),
    }
    Some(())
}

/// 2000-01-01 in days since 1970-01-01.
pub const EPOCH_DAYS: i64 = 10_957;
/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A date's days or a timestamp's microseconds since 1970.
fn parsed(text: &str, data_type: &DataType) -> Option<i64> {
    let array = cast_with_options(&StringArray::from(vec![text]), data_type, &CastOptions::default()).ok()?;
    let there = array.is_valid(0);
    let value = match data_type {
        DataType::Date32 => i64::from(array.as_primitive::<Date32Type>().value(0)),
        _ => array.as_primitive::<TimestampMicrosecondType>().value(0),
    };
    there.then_some(value)
}

/// Decimal digits in groups of four: how many, the first one's weight, the sign, digits after the point, the groups.
fn numeric(text: &str, out: &mut BytesMut) -> Option<()> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let front = "0".repeat((4 - whole.len() % 4) % 4);
    let back = "0".repeat((4 - fraction.len() % 4) % 4);
    let all = format!("{front}{whole}{fraction}{back}");
    let groups = all.as_bytes().chunks(4).map(|four| four.iter().fold(0, |n, digit| n * 10 + i16::from(digit - b'0')));
    let groups: Vec<i16> = groups.collect();
    let weight = (front.len() + whole.len()) / 4;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    out.put_i16(i16::try_from(kept.len()).ok()?);
    out.put_i16(if kept.is_empty() { 0 } else { i16::try_from(weight as i64 - 1 - leading as i64).ok()? });
    out.put_u16(if negative && !kept.is_empty() { 0x4000 } else { 0 });
    out.put_i16(i16::try_from(fraction.len()).ok()?);
    kept.iter().for_each(|group| out.put_i16(*group));
    Some(())
}

/// `{a,b}` as [`write_list`] writes it: one dimension, elements by their lengths.
fn list(text: &str, kind: &Type, out: &mut BytesMut) -> Option<()> {
    let (element, is_text) = if *kind == Type::TEXT_ARRAY { (Type::TEXT, true) } else { (Type::INT8, false) };
    let elements = read_list(text)?;
    out.put_i32(i32::from(!elements.is_empty()));
    out.put_i32(0);
    out.put_u32(element.oid());
    if elements.is_empty() {
        return Some(());
    }
    out.put_i32(i32::try_from(elements.len()).ok()?);
    out.put_i32(1);
    for element in elements {
        if is_text {
            out.put_i32(i32::try_from(element.len()).ok()?);
            out.put_slice(element.as_bytes());
        } else {
            out.put_i32(8);
            out.put_i64(element.parse().ok()?);
        }
    }
    Some(())
}

/// An array's text form.
pub fn write_list(elements: &[String]) -> String {
    let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let plain = |text: &String| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) && text != "NULL"
    };
    let elements: Vec<String> =
        elements.iter().map(|text| if plain(text) { text.clone() } else { quoted(text) }).collect();
    format!("{{{}}}", elements.join(","))
}

fn read_list(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?.chars().peekable();
    let mut elements = Vec::new();
    while rest.peek().is_some() {
        let (mut element, mut quoted) = (String::new(), false);
        while let Some(c) = rest.next() {
            match c {
                '"' => quoted = !quoted,
                '\\' => element.push(rest.next()?),
                ',' if !quoted => break,
                c => element.push(c),
            }
        }
        elements.push(element);
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::{FromSql, Kind};

    use super::*;

    fn bytes(text: &str, kind: &Type) -> Vec<u8> {
        let mut out = BytesMut::new();
        binary(text, kind, &mut out).unwrap_or_else(|| panic!("{text} is no {kind}"));
        out.to_vec()
    }

    #[test]
    fn values_read_back_as_a_client_reads_them() {
        assert_eq!(i64::from_sql(&Type::INT8, &bytes("-7", &Type::INT8)).unwrap(), -7);
        assert_eq!(f64::from_sql(&Type::FLOAT8, &bytes("1e300", &Type::FLOAT8)).unwrap(), 1e300);
        assert!(f64::from_sql(&Type::FLOAT8, &bytes("NaN", &Type::FLOAT8)).unwrap().is_nan());
        assert_eq!(f64::from_sql(&Type::FLOAT8, &bytes("-Infinity", &Type::FLOAT8)).unwrap(), f64::NEG_INFINITY);
        assert!(bool::from_sql(&Type::BOOL, &bytes("t", &Type::BOOL)).unwrap());
        let texts = vec!["a".to_owned(), "b, \"c\\".to_owned(), String::new(), "NULL".to_owned()];
        assert_eq!(
            Vec::<String>::from_sql(&Type::TEXT_ARRAY, &bytes(&write_list(&texts), &Type::TEXT_ARRAY)).unwrap(),
            texts
        );
        assert_eq!(
            Vec::<i64>::from_sql(&Type::INT8_ARRAY, &bytes("{}", &Type::INT8_ARRAY)).unwrap(),
            Vec::<i64>::new()
        );
        assert!(matches!(Type::TEXT_ARRAY.kind(), Kind::Array(_)));
        assert_eq!(bytes("2000-01-02", &Type::DATE), 1i32.to_be_bytes());
        assert_eq!(bytes("1999-12-31 23:59:59.999999", &Type::TIMESTAMP), (-1i64).to_be_bytes());
    }

    #[test]
    fn a_numeric_has_its_groups_weight_sign_and_scale() {
        let group = |parts: &[i16]| parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<u8>>();
        // As PostgreSQL's numeric_send writes them: count, weight, sign, scale, groups.
        assert_eq!(bytes("0", &Type::NUMERIC), group(&[0, 0, 0, 0]));
        assert_eq!(bytes("0.00", &Type::NUMERIC), group(&[0, 0, 0, 2]));
        assert_eq!(bytes("1", &Type::NUMERIC), group(&[1, 0, 0, 0, 1]));
        assert_eq!(bytes("-12345.678", &Type::NUMERIC), group(&[3, 1, 0x4000, 3, 1, 2345, 6780]));
        assert_eq!(bytes("0.00012", &Type::NUMERIC), group(&[2, -1, 0, 5, 1, 2000]));
        assert_eq!(bytes("10000.0000", &Type::NUMERIC), group(&[1, 1, 0, 4, 1]));
        assert!(numeric("x", &mut BytesMut::new()).is_none() && numeric("", &mut BytesMut::new()).is_none());
    }

    #[test]
    fn hidden_cells_and_nulls_are_null_and_reals_are_written_as_postgres_writes_them() {
        assert_eq!(text(&Cell::Hidden("<11".into()), &Type::INT8), None);
        assert_eq!(text(&Cell::Null, &Type::INT8), None);
        assert_eq!(text(&Cell::Number("58.0".into()), &Type::FLOAT8).as_deref(), Some("58"));
        assert_eq!(
            text(&Cell::Text("2020-01-02T03:04:05".into()), &Type::TIMESTAMP).as_deref(),
            Some("2020-01-02 03:04:05")
        );
        assert_eq!(Shown::of("x", &DataType::Decimal128(10, 2)).modifier, (10 << 16 | 2) + 4);
    }
}
