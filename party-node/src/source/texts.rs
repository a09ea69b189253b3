//! Columns as the text that stands in their file, for identifiers: `0071` must not become the number 71.

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use query_planner::error::nearest;

use super::{RawColumn, SiteData, SourceTable, Values};
use crate::fault::{NodeError, printable};

impl SiteData {
    /// The names of all tables, in lower case, sorted.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Columns of one table as text, in the order asked for; names are compared without case. Integers of a Parquet file are
    /// written in decimal, its days as `yyyy-mm-dd`.
    ///
    /// # Errors
    /// `UNKNOWN_TABLE` and `COLUMN_MISSING` with the nearest name, `TYPE_MISMATCH` for a Parquet column of another type.
    pub fn texts(&self, table: &str, columns: &[&str]) -> Result<Vec<StringArray>, NodeError> {
        let found = self.tables.get(&table.to_lowercase()).ok_or_else(|| {
            let error = NodeError::new("UNKNOWN_TABLE", format!("there is no table '{}'", printable(table)));
            suggest(error, table, self.table_names())
        })?;
        columns.iter().map(|column| found.text(column)).collect()
    }
}

impl SourceTable {
    fn text(&self, wanted: &str) -> Result<StringArray, NodeError> {
        let same = |column: &&RawColumn| column.name.to_lowercase() == wanted.to_lowercase();
        let column = self.columns.iter().find(same).ok_or_else(|| {
            let error = self.origin.fault("COLUMN_MISSING", &format!("has no column {}", printable(wanted)));
            suggest(error, wanted, self.columns.iter().map(|column| column.name.as_str()))
        })?;
        match &column.values {
            Values::Text(texts) => Ok(texts.clone()),
            Values::Typed(array) => as_text(array).ok_or_else(|| {
                let what = format!("column {}: has type {}", printable(&column.name), array.data_type());
                self.origin.fault("TYPE_MISMATCH", &what).hint("identifiers are text, integers or dates")
            }),
        }
    }
}

fn as_text(array: &dyn Array) -> Option<StringArray> {
    match array.data_type() {
        DataType::Int64 | DataType::Date32 | DataType::Null => {
            cast(array, &DataType::Utf8).ok().map(|texts| texts.as_string().clone())
        }
        _ => None,
    }
}

fn suggest<'a>(error: NodeError, wanted: &str, names: impl Iterator<Item = &'a str>) -> NodeError {
    match nearest(wanted, names) {
        Some(near) => error.hint(format!("did you mean '{}'?", printable(&near))),
        None => error,
    }
}
