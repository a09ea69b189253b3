//! Patients who do not take part: their rows are dropped before anything is computed or shared.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use query_planner::catalog::Catalog;

use super::{BoundData, BoundTable, Ids};
use crate::fault::NodeError;

/// The patient keys of a site's opt-out list, as its file spells them. Does not print.
#[derive(Default)]
pub struct OptOut(HashSet<Box<str>>);

/// What a list took away. A site's own figures: they stay in its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
        Ok(Self(texts.filter(|text| !text.trim().is_empty()).map(|text| text.trim().into()).collect()))
    }
}

impl BoundData {
    /// The same data without the rows of patients on the list. Tables without a patient key stay as they are.
    ///
    /// # Errors
    /// `INTERNAL` for a patient key of a type that has no text.
    pub fn without(mut self, list: &OptOut, catalog: &Catalog) -> Result<(Self, LeftOut), NodeError> {
        let (mut seen, mut rows) = (HashSet::new(), 0);
        for table in self.tables.values_mut() {
            let key = table.schema.fields().iter().position(|field| catalog.is_patient_key(field.name()));
            if let Some(key) = key {
                rows += table.drop_rows(key, list, &mut seen)?;
            }
        }
        let (patients, unknown) = (seen.len(), list.0.len() - seen.len());
        Ok((self, LeftOut { patients, rows, unknown }))
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
        let listed = text.map(str::trim).filter(|text| list.0.contains(*text));
        if let Some(text) = listed
            && !seen.contains(text)
        {
            seen.insert(text.into());
        }
        Some(listed.is_none())
    };
    Ok(texts.as_string::<i32>().iter().map(&mut keep).collect())
}

fn odd() -> NodeError {
    NodeError::new("INTERNAL", "a patient key of a type that has no text")
}
