//! How many patients a site has: distinct values of the patient key, over all tables that have it.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use query_planner::catalog::{Catalog, SiteName};

use super::{BoundTable, SourceTable, Values};
use crate::fault::{NodeError, printable};

/// The distinct values as the files spell them: never fewer than there are once they are typed.
pub(super) fn in_files(tables: &BTreeMap<String, SourceTable>, key: &str) -> usize {
    let columns = tables.values().flat_map(|table| &table.columns);
    let mut seen = HashSet::new();
    for column in columns.filter(|column| column.name.eq_ignore_ascii_case(key)) {
        match &column.values {
            Values::Text(texts) => note(texts, &mut seen),
            Values::Typed(array) => note_typed(array, &mut seen),
        }
    }
    seen.len()
}

/// Refuses more patients than the network declares for a site.
///
/// # Errors
/// `TOO_MANY_PATIENTS`.
pub(super) fn check(
    tables: &BTreeMap<String, BoundTable>,
    catalog: &Catalog,
    site: &SiteName,
) -> Result<(), NodeError> {
    let mut seen = HashSet::new();
    for table in tables.values() {
        let key = table.schema.fields().iter().position(|field| catalog.is_patient_key(field.name()));
        if let Some(key) = key {
            table.batches.iter().for_each(|batch| note_typed(batch.column(key), &mut seen));
        }
    }
    if seen.len() as u64 <= catalog.max_patients {
        return Ok(());
    }
    let message = format!(
        "site {}: more patients in its tables than the {} that the network declares for a site",
        printable(&site.0),
        catalog.max_patients
    );
    Err(NodeError::new("TOO_MANY_PATIENTS", message).hint("declare a larger max_patients in network.toml"))
}

fn note_typed(array: &ArrayRef, seen: &mut HashSet<Box<str>>) {
    // Every type of a column has a text.
    if let Ok(texts) = cast(array, &DataType::Utf8) {
        note(texts.as_string::<i32>(), seen);
    }
}

fn note(texts: &StringArray, seen: &mut HashSet<Box<str>>) {
    for text in texts.iter().flatten() {
        if !seen.contains(text) {
            seen.insert(text.into());
        }
    }
}
