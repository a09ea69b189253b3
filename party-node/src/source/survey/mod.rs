//! What stands in a site's own tables, counted: for `consilium check --data`. Counts and names, never a value.
//!
//! Files are read as a stream, several times where keys are compared; what a database can count it counts. Memory does not grow with
//! the rows (`keys.rs` says of the one thing that is held how much it is at most).

mod codes;
mod column;
mod files;
mod keys;
mod plan;

use std::path::PathBuf;

use query_planner::Settings;
use query_planner::catalog::ColumnType;
use query_planner::merge::InferredType;

pub(super) use codes::{CODES, FIRST_NUMBER};
pub(super) use column::{Reads, Tally};
pub(super) use plan::{ColumnPlan, Seen, TablePlan, Wanted};

use super::postgres;
use crate::fault::NodeError;

/// Where the tables are.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of files; one with a `postgres.toml` means that database. The list of patients who opted out is no table of it.
    Folder(PathBuf, Option<PathBuf>),
    /// A database.
    Database(postgres::settings::Settings),
}

/// What was found in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSurvey {
    /// In lower case.
    pub name: String,
    /// Does the profile know it, if there is a profile?
    pub is_known: Option<bool>,
    /// Rows.
    pub rows: u64,
    /// In the table's order.
    pub columns: Vec<ColumnSurvey>,
    /// Of a primary key: its column, and how many rows have a value that an earlier one has.
    pub duplicates: Option<(usize, u64)>,
    /// Of the patient key: its column, and how many rows have one that no row of the table of patients has; none where that table
    /// is not there.
    pub orphans: Option<(usize, u64)>,
    /// Pairs of columns that are a start and an end, and the rows in which the end is first.
    pub periods: Vec<(usize, usize, u64)>,
    /// What is measured and its unit: the columns, and how many things are measured in more than one unit.
    pub units: Option<(usize, usize, u64)>,
    /// The patient key, if the table has it.
    pub patient_key: Option<usize>,
    /// Why the table cannot be read; then nothing else is known.
    pub fault: Option<NodeError>,
}

/// What was found in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSurvey {
    /// As the source spells it.
    pub name: String,
    /// Does the profile know it? None where it does not know the table.
    pub is_known: Option<bool>,
    /// What its values look like, or what the file or database says.
    pub inferred: InferredType,
    /// By the network or its profile.
    pub declared: Option<ColumnType>,
    /// What it is read as.
    pub expected: ColumnType,
    /// Has it no NULL by the profile?
    pub is_required: bool,
    /// Settings that do not fit its type.
    pub misfit: Option<NodeError>,
    /// The figures.
    pub counts: Counts,
}

/// Rows of a column, by what is odd about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// NULL; in a CSV file an empty field.
    pub nulls: u64,
    /// What looks like a code for a missing value, by the names of [`null_codes`].
    pub codes: [u64; CODES.len()],
    /// No value of the type that the column is read as.
    pub misfits: u64,
    /// Outside the declared range.
    pub out_of_range: u64,
    /// Outside the declared domain.
    pub outside_domain: u64,
    /// Days before 1900.
    pub before_1900: u64,
    /// Days after tomorrow.
    pub in_future: u64,
}

/// Names of the codes for missing values that are looked for.
pub fn null_codes() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|code| code.name)
}

/// Counts what stands in every table; `today` is a day since 1970-01-01.
///
/// # Errors
/// A folder's or database's as a whole; what is wrong with one table is in its survey.
pub fn survey(place: &Place, settings: &Settings, today: i32) -> Result<Vec<TableSurvey>, NodeError> {
    let wanted = Wanted { settings: settings.clone(), today };
    match place {
        Place::Folder(dir, list) => {
            let file = dir.join(postgres::settings::POSTGRES);
            if file.exists() {
                super::alone(dir, &file, list.as_deref())?;
                return postgres::survey(postgres::settings::Settings::read(&file)?, wanted);
            }
            files::survey(dir, list.as_deref(), &wanted)
        }
        Place::Database(database) => postgres::survey(database.clone(), wanted),
    }
}

impl TableSurvey {
    /// One that cannot be read.
    pub(super) fn broken(name: String, fault: NodeError) -> Self {
        let plan = TablePlan {
            name,
            is_known: None,
            columns: vec![],
            patient_key: None,
            primary_key: None,
            periods: vec![],
            units: None,
        };
        Self { fault: Some(fault), ..Self::of(plan, 0, vec![]) }
    }

    /// A plan with what was counted by it. Keys and units are not.
    pub(super) fn of(plan: TablePlan, rows: u64, counts: Vec<Counts>) -> Self {
        let column = |(plan, counts): (ColumnPlan, Counts)| ColumnSurvey {
            name: plan.name,
            is_known: plan.is_known,
            inferred: plan.inferred,
            declared: plan.declared,
            expected: plan.expected,
            is_required: plan.is_required,
            misfit: plan.misfit,
            counts,
        };
        Self {
            name: plan.name,
            is_known: plan.is_known,
            rows,
            columns: plan.columns.into_iter().zip(counts).map(column).collect(),
            duplicates: None,
            orphans: None,
            periods: vec![],
            units: None,
            patient_key: plan.patient_key,
            fault: None,
        }
    }
}
