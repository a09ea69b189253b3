//! A site's own data: one folder with a table for each CSV or Parquet file in it, or the tables of a PostgreSQL database.

mod bind;
mod clamped;
mod csv;
mod identities;
mod ids;
mod infer;
pub(crate) mod left;
mod opt_out;
mod parquet;
pub(crate) mod parse;
mod patients;
pub mod postgres;
mod snapshot;
pub mod survey;
#[cfg(test)]
mod tests;
mod texts;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, StringArray};
use query_planner::Settings;
use query_planner::catalog::ColumnType;
use query_planner::merge::{InferredType, SiteSchema, SiteTableSchema, row_bound};

pub use bind::{BoundData, BoundTable, Moment};
pub use clamped::Clamped;
pub use csv::MAX_LINE_BYTES;
pub use identities::Known;
pub use ids::Ids;
pub use left::{Leave, Left};
pub use opt_out::{LeftOut, OptOut};

use crate::fault::{NodeError, printable};
use infer::Shape;
use parse::Rule;

/// All tables of one site, as they stand in its files: text is not yet typed. Or what its database says of itself.
#[derive(Debug)]
pub struct SiteData {
    /// By table name; none where the site has a database.
    tables: BTreeMap<String, SourceTable>,
    database: Option<postgres::Tables>,
}

/// A column whose inferred type is probably not what its owner means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The column's name, as the file spells it.
    pub column: &'a str,
    /// The first field that is not of the type of the others.
    pub fault: NodeError,
}

/// One file.
#[derive(Debug)]
struct SourceTable {
    origin: Origin,
    rows: usize,
    place: Place,
    columns: Vec<RawColumn>,
}

/// One column of a file.
#[derive(Debug)]
struct RawColumn {
    name: String,
    values: Values,
    /// What the fields of a text file look like; none when the file has types.
    shape: Option<Shape>,
}

/// The fields of a column.
#[derive(Debug)]
enum Values {
    /// Not yet typed.
    Text(StringArray),
    /// Of one of the types that [`parquet::canonical`] makes.
    Typed(ArrayRef),
}

/// Where rows stand in their file.
#[derive(Debug)]
enum Place {
    /// The line on which each row starts.
    Lines(Vec<u64>),
    /// The file has no lines; rows are counted from 1.
    Rows,
    /// A database's rows have no places.
    Nowhere,
}

/// Names of a table and of its file, for messages.
#[derive(Debug, Clone)]
struct Origin {
    table: String,
    /// Empty where the table is a database's.
    file: String,
}

impl SiteData {
    /// Reads every `*.csv` and `*.parquet` of a folder. A table is named by its file's stem, in lower case. Where the folder has a
    /// `postgres.toml` instead, the tables are those of a database.
    ///
    /// # Errors
    /// A stable code with the file, and the line and column where there is one; `TWO_SOURCES` for files beside a database.
    pub fn open(dir: &Path) -> Result<Self, NodeError> {
        Self::open_beside(dir, None)
    }

    /// The same, but for one file of the folder that is no table: a list of patients who opted out.
    ///
    /// # Errors
    /// As [`SiteData::open`].
    pub fn open_beside(dir: &Path, list: Option<&Path>) -> Result<Self, NodeError> {
        let database = dir.join(postgres::settings::POSTGRES);
        if database.exists() {
            return Self::of_database_in(dir, &database, list);
        }
        let mut tables = BTreeMap::new();
        let is_list = |path: &PathBuf| list.is_some_and(|list| path.file_name() == list.file_name());
        for path in table_files(dir)?.into_iter().filter(|path| !is_list(path)) {
            let table = read_table(dir, &path)?;
            let (name, file) = (table.origin.table.clone(), table.origin.file.clone());
            if let Some(other) = tables.insert(name.clone(), table) {
                let message = format!("files {} and {file} are both table {name}", other.origin.file);
                return Err(NodeError::new("DUPLICATE_TABLE", message).hint("keep one of them in the folder"));
            }
        }
        Ok(Self { tables, database: None })
    }

    /// Looks at a database.
    ///
    /// # Errors
    /// `DATABASE_UNREACHABLE`, `DATABASE_REFUSED`, `DATABASE_TLS`, `DATABASE_DENIED`, `DATABASE_ENCODING`, `NO_TABLES`,
    /// `DUPLICATE_TABLE`, `DUPLICATE_COLUMN`, `TABLE_NAME`, and what is wrong with the files it names.
    pub fn of_database(settings: postgres::settings::Settings) -> Result<Self, NodeError> {
        Ok(Self { tables: BTreeMap::new(), database: Some(postgres::Tables::open(settings)?) })
    }

    fn of_database_in(dir: &Path, file: &Path, list: Option<&Path>) -> Result<Self, NodeError> {
        alone(dir, file, list)?;
        Self::of_database(postgres::settings::Settings::read(file)?)
    }

    /// What a site says of its tables to the network: [`SiteData::schema`], or the same of a database.
    ///
    /// # Errors
    /// A database's.
    pub fn published(&self, patient_key: &str) -> Result<SiteSchema, NodeError> {
        match &self.database {
            Some(database) => database.schema(patient_key),
            None => Ok(self.schema(patient_key)),
        }
    }

    /// What the files look like: names, inferred types, row counts rounded up, and so the number of patients.
    pub fn schema(&self, patient_key: &str) -> SiteSchema {
        let patients = patients::in_files(&self.tables, patient_key) as u64;
        SiteSchema { tables: self.tables.values().map(SourceTable::schema).collect(), patients: row_bound(patients) }
    }

    /// Columns that are text only because some fields are nearly, but not quite, of the type of all others (`1,234`
    /// among numbers, 30 February among days). A caller raises the fault unless the network declares the column's type.
    pub fn doubts<'a>(&'a self) -> Vec<Doubt<'a>> {
        let of_table = |table: &'a SourceTable| table.columns.iter().filter_map(|column| table.doubt(column));
        self.tables.values().flat_map(of_table).collect()
    }

    /// Raises the first doubt about a column whose type the network does not declare.
    ///
    /// # Errors
    /// The doubt's fault.
    pub fn raise_doubts(&self, settings: &Settings) -> Result<(), NodeError> {
        let doubts = self.doubts();
        let doubt = doubts.into_iter().find(|doubt| !settings.declares_type(doubt.table, doubt.column));
        doubt.map_or(Ok(()), |doubt| Err(doubt.fault))
    }
}

impl RawColumn {
    fn inferred(&self) -> InferredType {
        match &self.values {
            Values::Typed(array) => parquet::declared(array.data_type()),
            // Parquet says itself that a column is text; the shape is CSV's.
            Values::Text(_) => self.shape.as_ref().map_or(InferredType::Typed(ColumnType::Text), Shape::inferred),
        }
    }
}

impl SourceTable {
    fn schema(&self) -> SiteTableSchema {
        let columns = self.columns.iter().map(|column| (column.name.clone(), column.inferred())).collect();
        SiteTableSchema { name: self.origin.table.clone(), columns, rows: row_bound(self.rows as u64) }
    }

    fn doubt<'a>(&'a self, column: &'a RawColumn) -> Option<Doubt<'a>> {
        let (row, rule) = column.shape.as_ref()?.doubt()?;
        let fault = self.broken(column, row, rule);
        Some(Doubt { table: &self.origin.table, column: &column.name, fault })
    }

    /// The fault of one field.
    fn broken(&self, column: &RawColumn, row: usize, rule: Rule) -> NodeError {
        let fault = self.fault_at(column, row, rule.code(), rule.sentence());
        match rule.help() {
            Some(help) => fault.hint(help),
            None => fault,
        }
    }

    fn fault_at(&self, column: &RawColumn, row: usize, code: &'static str, what: &str) -> NodeError {
        let name = printable(&column.name);
        self.origin.fault(code, &format!("{}, column {name}: a value {what}", self.place.name(row)))
    }
}

impl Place {
    fn name(&self, row: usize) -> String {
        match self {
            Self::Lines(lines) => format!("line {}", lines.get(row).copied().unwrap_or(0)),
            Self::Rows => format!("row {}", row + 1),
            Self::Nowhere => "a row".into(),
        }
    }
}

impl Origin {
    fn of_database(table: &str) -> Self {
        Self { table: printable(table), file: String::new() }
    }

    fn fault(&self, code: &'static str, what: &str) -> NodeError {
        NodeError::new(
            code,
            match self.file.as_str() {
                "" => format!("table {} of the database: {what}", self.table),
                file => format!("file {file} (table {}): {what}", self.table),
            },
        )
    }

    fn at_line(&self, line: u64, code: &'static str, what: &str) -> NodeError {
        self.fault(code, &format!("line {line}: {what}"))
    }
}

/// A folder whose tables are a database's has no others.
fn alone(dir: &Path, file: &Path, list: Option<&Path>) -> Result<(), NodeError> {
    let beside = table_files(dir).unwrap_or_default();
    let Some(other) = beside.iter().find(|path| list.is_none_or(|list| path.file_name() != list.file_name())) else {
        return Ok(());
    };
    let other = printable(&other.file_name().unwrap_or_default().to_string_lossy());
    let message = format!("{} stands beside the table file {other}", file.display());
    Err(NodeError::new("TWO_SOURCES", message).hint("a site has its tables in files or in a database"))
}

/// The data files of a folder, sorted by name.
fn table_files(dir: &Path) -> Result<Vec<PathBuf>, NodeError> {
    let shown = printable(&dir.display().to_string());
    let fault = |code, what: &str| NodeError::new(code, format!("data folder {shown} {what}"));
    let meta = fs::metadata(dir).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => fault("FOLDER_MISSING", "does not exist"),
        kind => fault("FOLDER_UNREADABLE", &format!("cannot be read: {kind}")),
    })?;
    if !meta.is_dir() {
        return Err(fault("NOT_A_FOLDER", "is not a folder"));
    }
    let entries = fs::read_dir(dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|e| fault("FOLDER_UNREADABLE", &format!("cannot be read: {}", e.kind())))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(|p| format_of(p).is_some()).collect();
    if files.is_empty() {
        let hint = "put one .csv or .parquet file for each table into it; compressed files are not read";
        return Err(fault("NO_TABLES", "has no .csv and no .parquet file").hint(hint));
    }
    files.sort();
    Ok(files)
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
enum Format {
    Csv,
    Parquet,
}

fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?;
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

fn read_table(dir: &Path, path: &Path) -> Result<SourceTable, NodeError> {
    let origin = origin_in(dir, path)?;
    match format_of(path) {
        Some(Format::Parquet) => parquet::read(path, origin),
        _ => csv::read(path, origin),
    }
}

/// The names of a file of the folder that is no link to elsewhere.
fn origin_in(dir: &Path, path: &Path) -> Result<Origin, NodeError> {
    let origin = origin_of(path)?;
    let real = |path: &Path| path.canonicalize().map_err(|e| watch::unreadable(&origin, &e));
    if !real(path)?.starts_with(real(dir)?) {
        return Err(origin
            .fault("SYMLINK_OUTSIDE", "is a link that leaves the data folder")
            .hint("copy the file instead"));
    }
    Ok(origin)
}

fn origin_of(path: &Path) -> Result<Origin, NodeError> {
    let utf8 = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(str::to_owned);
    let file = printable(&path.file_name().unwrap_or_default().to_string_lossy());
    match utf8(path.file_stem()).filter(|stem| !stem.trim().is_empty() && *stem == printable(stem)) {
        Some(stem) => Ok(Origin { table: stem.to_lowercase(), file }),
        None => Err(NodeError::new("TABLE_NAME", format!("file {file}: its name cannot name a table"))),
    }
}

/// Column names must be there and differ, compared without case.
fn check_names(names: &[String], origin: &Origin) -> Result<(), NodeError> {
    let mut seen = BTreeMap::new();
    for (i, name) in names.iter().enumerate().map(|(i, name)| (i + 1, name)) {
        if name.is_empty() {
            return Err(origin.at_line(1, "EMPTY_COLUMN_NAME", &format!("column {i} has no name")));
        }
        if let Some(first) = seen.insert(name.to_lowercase(), i) {
            let what = format!("columns {first} and {i} have the same name{}", quoted_name(name));
            let fault = origin.at_line(1, "DUPLICATE_COLUMN", &what);
            return Err(fault.hint("names are compared without case; the first line must name the columns"));
        }
    }
    Ok(())
}

/// A name that is safe to repeat. In a file without a header line the first line is a row, so only what looks like a
/// column's name is shown.
fn quoted_name(name: &str) -> String {
    let word = name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if word && plain { format!(" ({name})") } else { String::new() }
}
