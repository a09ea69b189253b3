//! `consilium linkage`: what a linkage file says, and what it finds in a site's own table.

use std::path::Path;

use super::{Schema, describe, keys};
use crate::config;
use crate::fault::{NodeError, printable};
use crate::source::SiteData;

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ReportFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on one line.
    Json,
}

/// The text to print. Without data: study, digest and passes of the file. With data: the quality report of one table.
///
/// # Errors
/// `BAD_LINKAGE`, what is wrong with the data, `WHICH_TABLE` when the folder has several and none is named.
pub fn run(schema: &Path, data: Option<&Path>, table: Option<&str>, format: ReportFormat) -> Result<String, NodeError> {
    let schema = load(schema)?;
    let Some(data) = data else {
        return Ok(match format {
            ReportFormat::Text => describe(&schema),
            ReportFormat::Json => format!("{}\n", String::from_utf8_lossy(&schema.canonical())),
        });
    };
    let data = SiteData::open(data)?;
    let table = match table {
        Some(table) => table.to_owned(),
        None => only_table(&data)?,
    };
    let report = keys(&schema, &data.texts(&table, &schema.columns())?)?.report;
    Ok(match format {
        ReportFormat::Text => report.to_text(),
        ReportFormat::Json => report.to_json(),
    })
}

/// Reads a linkage file; errors name it.
pub fn load(path: &Path) -> Result<Schema, NodeError> {
    let named = |error: NodeError| NodeError { message: format!("{}: {}", path.display(), error.message), ..error };
    Schema::from_toml(&config::read(path)?).map_err(named)
}

fn only_table(data: &SiteData) -> Result<String, NodeError> {
    let tables: Vec<&str> = data.table_names().collect();
    match tables[..] {
        [table] => Ok(table.to_owned()),
        _ => {
            let tables: Vec<String> = tables.into_iter().map(printable).collect();
            let error = NodeError::new("WHICH_TABLE", format!("the folder has {} tables", tables.len()));
            Err(error.hint(format!("say --table with one of: {}", tables.join(", "))))
        }
    }
}
