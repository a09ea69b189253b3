//! Patients who do not take part: their rows are dropped before anything is computed or shared.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use caseless::Caseless;
use query_planner::catalog::Catalog;
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use super::{BoundData, BoundTable, Ids};
use crate::fault::NodeError;

/// The patient keys of a site's opt-out list, each in one spelling whatever the list's own. Does not print.
#[derive(Default)]
pub struct OptOut(HashSet<Box<str>>);

/// What a list took away. A site's own figures: its stewards alone see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Entries of the list that have rows.
    pub patients: usize,
    /// Rows of theirs, over all tables.
    pub rows: usize,
    /// Entries that have none: of nobody here, or spelled otherwise than in the tables.
    pub unknown: usize,
}

impl OptOut {
    /// Reads a file with a column that is named as the patient key.
    ///
    /// # Errors
    /// What is wrong with the file, as for any data file.
    pub fn read(file: &Path, patient_key: &str) -> Result<Self, NodeError> {
        let ids = Ids::read(file, patient_key)?;
        let texts = (0..ids.texts.len()).map(|row| String::from_utf8_lossy(ids.texts.get(row)));
        Ok(Self(texts.filter(|text| !text.trim().is_empty()).map(|text| one_spelling(&text)).collect()))
    }
}

impl OptOut {
    /// A key in the list's spelling, if it is on the list.
    pub(super) fn entry(&self, key: &str) -> Option<Box<str>> {
        Some(one_spelling(key)).filter(|key| self.0.contains(key))
    }

    /// Number of patients on the list.
    pub fn patients(&self) -> usize {
        self.0.len()
    }
}

impl BoundData {
    /// The same data without the rows of patients on the list. Tables without a patient key stay as they are.
    ///
    /// # Errors
    /// `INTERNAL` for a patient key of a type that has no text; a database's when it is one.
    pub fn without(mut self, list: OptOut, catalog: &Catalog) -> Result<(Self, LeftOut), NodeError> {
        if let Some(database) = self.database.take() {
            let (database, left_out) = database.without(list)?;
            (self.database, self.left_out) = (Some(database), Some(left_out));
            return Ok((self, left_out));
        }
        let (mut seen, mut rows) = (HashSet::new(), 0);
        for table in self.tables.values_mut() {
            let key = table.schema.fields().iter().position(|field| catalog.is_patient_key(field.name()));
            if let Some(key) = key {
                rows += table.drop_rows(key, &list, &mut seen)?;
            }
        }
        let (patients, unknown) = (seen.len(), list.0.len() - seen.len());
        let left_out = LeftOut { patients, rows, unknown };
        self.left_out = Some(left_out);
        Ok((self, left_out))
    }

    /// What an opt-out list took away when it was read; none without a list.
    pub fn left_out(&self) -> Option<LeftOut> {
        self.left_out
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { patients, rows, unknown } = self;
        write!(f, "{patients} patients with {rows} rows are left out; {unknown} entries have no rows here")
    }
}

impl BoundTable {
    fn drop_rows(&mut self, key: usize, list: &OptOut, seen: &mut HashSet<Box<str>>) -> Result<usize, NodeError> {
        let before = self.rows;
        for batch in &mut self.batches {
            let kept = kept(batch.column(key), list, seen)?;
            if kept.true_count() < kept.len() {
                *batch = filter_record_batch(batch, &kept).map_err(|_| odd())?;
            }
        }
        self.batches.retain(|batch| batch.num_rows() > 0);
        self.rows = self.batches.iter().map(|batch| batch.num_rows()).sum();
        Ok(before - self.rows)
    }
}

fn kept(keys: &ArrayRef, list: &OptOut, seen: &mut HashSet<Box<str>>) -> Result<BooleanArray, NodeError> {
    let texts = cast(&Arc::clone(keys), &DataType::Utf8).map_err(|_| odd())?;
    let mut keep = |text: Option<&str>| {
        let listed = text.and_then(|text| list.entry(text));
        let keep = listed.is_none();
        seen.extend(listed);
        Some(keep)
    };
    Ok(texts.as_string::<i32>().iter().map(&mut keep).collect())
}

/// A key as it is compared with the list: compatibility forms, case, spaces around it and the form of a number make no difference. Who
/// would be somebody else to a matching is left out all the same: that is the side to err on.
fn one_spelling(text: &str) -> Box<str> {
    let folded: String = match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.nfkc().default_case_fold().nfkc().collect(),
    };
    number(folded.trim()).unwrap_or_else(|| folded.trim().to_owned()).into()
}

/// A decimal number without sign of nothing, zeros in front and zeros behind its point: `007`, `7.0` and `+7` are `7`.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if sign == "-" && (whole, part) != ("0", "") { "-" } else { "" };
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

fn odd() -> NodeError {
    NodeError::new("INTERNAL", "a patient key of a type that has no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_however_it_is_spelled() {
        for same in [
            ["007", " 7 ", "7.0", "+7", "７"],
            ["-0.50", "-0.5", "-00.5", "-0.500", "-0.5 "],
            ["Ab-1", "AB-1", "ab-1 ", "aB-1", "Ａb-1"],
            ["0", "-0", "000", "0.0", "+0"],
        ] {
            let spelled: Vec<_> = same.iter().map(|text| one_spelling(text)).collect();
            assert!(spelled.iter().all(|text| *text == spelled[0]), "{spelled:?}");
        }
        let other = ["7", "70", "-7", "7.5", "7a", "a7", "", "1e3", "1000"].map(one_spelling);
        assert_eq!(other.iter().collect::<HashSet<_>>().len(), other.len());
    }
}
