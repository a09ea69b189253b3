//! `consilium linkage`: what a linkage file says, and what it finds in a site's own table.

use std::path::Path;

use arrow::array::StringArray;
use mpc_core::Block;
use sha2::{Digest, Sha256};

use super::{Keyed, Linked, Report, Schema, describe, keys};
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

/// What is reported on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identities<'a> {
    /// A folder with a site's tables.
    pub data: Option<&'a Path>,
    /// The table with identifiers, where the folder has several.
    pub table: Option<&'a str>,
    /// The site's own patient key: records with one value of it are one patient.
    pub patient_key: Option<&'a str>,
}

/// The text to print. Without data: study, digest and passes of the file. With data: the quality report of one table.
///
/// # Errors
/// `BAD_LINKAGE`, what is wrong with the data, `WHICH_TABLE` when the folder has several and none is named.
pub fn run(schema: &Path, identities: Identities<'_>, format: ReportFormat) -> Result<String, NodeError> {
    let schema = load(schema)?;
    let Some(data) = identities.data else {
        return Ok(match format {
            ReportFormat::Text => describe(&schema),
            ReportFormat::Json => format!("{}\n", String::from_utf8_lossy(&schema.canonical())),
        });
    };
    let data = SiteData::open(data)?;
    let table = match identities.table {
        Some(table) => table.to_owned(),
        None => only_table(&data)?,
    };
    let keyed = keys(&schema, &data.texts(&table, &schema.columns())?)?;
    let report = match identities.patient_key {
        Some(column) => of_patients(keyed, &data.texts(&table, &[column])?[0])?,
        None => keyed.report,
    };
    Ok(match format {
        ReportFormat::Text => report.to_text(),
        ReportFormat::Json => report.to_json(),
    })
}

/// The report where records with one own key are one patient.
fn of_patients(keyed: Keyed, own: &StringArray) -> Result<Report, NodeError> {
    let present = |text: &&str| !text.trim().is_empty();
    let own = own.iter().map(|text| text.filter(present).map(hashed)).collect();
    let summary = Linked::unchecked(&keyed, own)?.summary;
    Ok(Report { patients: summary.entered, further_keys: summary.further_keys, ..keyed.report })
}

fn hashed(text: &str) -> Block {
    let digest: [u8; 32] = Sha256::digest(text).into();
    Block(digest[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
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
