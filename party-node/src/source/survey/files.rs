//! A folder's files, read as streams.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use query_planner::catalog::ColumnType;

use super::column::{Reads, Tally};
use super::keys::{self, Keys};
use super::plan::{Seen, TablePlan, Wanted};
use super::{Counts, TableSurvey};
use crate::fault::NodeError;
use crate::source::infer::Shape;
use crate::source::{Format, Origin, csv, format_of, origin_in, parquet, table_files};

/// A file that is read as a stream of rows.
pub(super) struct Table {
    path: PathBuf,
    origin: Origin,
    format: Format,
    names: Vec<String>,
    /// Of a Parquet file.
    types: Vec<DataType>,
}

/// Counts what stands in every file of a folder but a list of patients who opted out.
pub(super) fn survey(dir: &Path, list: Option<&Path>, wanted: &Wanted) -> Result<Vec<TableSurvey>, NodeError> {
    let mut read: BTreeMap<String, (Table, TablePlan)> = BTreeMap::new();
    let mut surveys: BTreeMap<String, TableSurvey> = BTreeMap::new();
    for path in table_files(dir)? {
        if list.is_some_and(|list| list.file_name() == path.file_name()) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let found = if surveys.contains_key(&name) {
            let message = format!("two files of the folder are table {}", crate::fault::printable(&name));
            Err(NodeError::new("DUPLICATE_TABLE", message).hint("keep one of them in the folder"))
        } else {
            one(dir, &path, wanted)
        };
        match found {
            Ok((table, plan, survey)) => {
                surveys.insert(name.clone(), survey);
                read.insert(name, (table, plan));
            }
            Err(fault) => {
                read.remove(&name);
                surveys.insert(name.clone(), TableSurvey::broken(name, fault));
            }
        }
    }
    orphans(&read, &mut surveys, wanted)?;
    Ok(surveys.into_values().collect())
}

fn one(dir: &Path, path: &Path, wanted: &Wanted) -> Result<(Table, TablePlan, TableSurvey), NodeError> {
    let (table, seen) = Table::open(path, origin_in(dir, path)?)?;
    let plan = wanted.plan(&table.origin.table, seen);
    let mut survey = table.count(&plan, wanted.today)?;
    if let Some(column) = plan.primary_key {
        let keys = Keys { table: &table, column, expected: plan.columns[column].expected };
        survey.duplicates = Some((column, keys.repeated(survey.rows)?));
    }
    Ok((table, plan, survey))
}

/// Looks for patients of other tables who are not in the table of patients.
fn orphans(
    read: &BTreeMap<String, (Table, TablePlan)>,
    surveys: &mut BTreeMap<String, TableSurvey>,
    wanted: &Wanted,
) -> Result<(), NodeError> {
    let Some(patients) = wanted.patient_table() else { return Ok(()) };
    let (Some(known), Some(of_patients)) = (read.get(patients).and_then(keys_of), surveys.get(patients)) else {
        return Ok(());
    };
    let rows = of_patients.rows;
    let others = read.iter().filter(|(name, _)| *name != patients);
    let others: Vec<(&String, Keys<'_>)> = others.filter_map(|(name, read)| Some((name, keys_of(read)?))).collect();
    let columns: Vec<Keys<'_>> = others.iter().map(|(_, keys)| *keys).collect();
    let missing = known.missing(rows, &columns)?;
    for ((name, keys), missing) in others.iter().zip(missing) {
        if let Some(survey) = surveys.get_mut(*name) {
            survey.orphans = Some((keys.column, missing));
        }
    }
    Ok(())
}

fn keys_of((table, plan): &(Table, TablePlan)) -> Option<Keys<'_>> {
    let column = plan.patient_key?;
    Some(Keys { table, column, expected: plan.columns[column].expected })
}

impl Table {
    /// Reads the names of the columns, and of a CSV file all fields once for their types.
    fn open(path: &Path, origin: Origin) -> Result<(Self, Vec<Seen>), NodeError> {
        let path = path.to_owned();
        if let Some(Format::Parquet) = format_of(&path) {
            let columns = parquet::columns(&path, &origin)?;
            let seen = columns.iter().map(|(name, found)| Seen {
                name: name.clone(),
                inferred: parquet::declared(found),
                likely: None,
            });
            let seen = seen.collect();
            let (names, types) = columns.into_iter().unzip();
            return Ok((Self { path, origin, format: Format::Parquet, names, types }, seen));
        }
        let (mut shapes, mut row): (Vec<Shape>, usize) = (Vec::new(), 0);
        let names = csv::visit(&path, &origin, |fields| {
            shapes.resize_with(fields.len(), Shape::default);
            fields.iter().zip(&mut shapes).for_each(|(field, shape)| shape.see(row, field));
            row += 1;
        })?;
        shapes.resize_with(names.len(), Shape::default);
        let seen = names.iter().zip(&shapes).map(|(name, shape)| Seen {
            name: name.clone(),
            inferred: shape.inferred(),
            likely: shape.likely(),
        });
        let seen = seen.collect();
        Ok((Self { path, origin, format: Format::Csv, names, types: vec![] }, seen))
    }

    /// Hands on these columns of every row.
    pub fn visit(&self, columns: &[usize], mut take: impl FnMut(&[Option<&str>])) -> Result<(), NodeError> {
        match self.format {
            Format::Parquet => parquet::visit(&self.path, &self.origin, columns, take),
            Format::Csv => {
                let names = csv::visit(&self.path, &self.origin, |fields| {
                    if fields.len() != self.names.len() {
                        return;
                    }
                    let row: Vec<Option<&str>> =
                        columns.iter().map(|at| Some(fields[*at]).filter(|field| !field.is_empty())).collect();
                    take(&row);
                })?;
                if names != self.names {
                    return Err(self.origin.fault("FILE_CHANGED", "changed while it was read"));
                }
                Ok(())
            }
        }
    }

    fn reads(&self, column: usize, expected: ColumnType) -> Reads {
        let Some(found) = self.types.get(column) else { return Reads::As(expected) };
        match (found, expected) {
            (DataType::Null | DataType::Utf8, _) => Reads::As(expected),
            (DataType::Int64, ColumnType::Int | ColumnType::Real | ColumnType::Decimal { .. }) => Reads::As(expected),
            (DataType::Float64, ColumnType::Real) => Reads::As(expected),
            (DataType::Decimal128(..), ColumnType::Real | ColumnType::Decimal { .. }) => Reads::As(expected),
            (DataType::Decimal128(_, 0), ColumnType::Int) => Reads::As(expected),
            // A day is a moment at its beginning.
            (DataType::Date32, ColumnType::Date | ColumnType::Timestamp) => Reads::As(ColumnType::Date),
            (DataType::Timestamp(..), ColumnType::Timestamp) | (DataType::Boolean, ColumnType::Bool) => {
                Reads::As(expected)
            }
            _ => Reads::Nothing,
        }
    }

    fn count(&self, plan: &TablePlan, today: i32) -> Result<TableSurvey, NodeError> {
        let all: Vec<usize> = (0..plan.columns.len()).collect();
        let tally = |(at, column)| Tally::new(column, self.reads(at, column.expected), today);
        let mut tallies: Vec<Tally<'_>> = plan.columns.iter().enumerate().map(tally).collect();
        let mut periods: Vec<(usize, usize, u64)> = plan.periods.iter().map(|(start, end)| (*start, *end, 0)).collect();
        let (mut rows, mut moments, mut units) = (0, vec![None; all.len()], Units::default());
        self.visit(&all, |fields| {
            rows += 1;
            for ((tally, moment), field) in tallies.iter_mut().zip(&mut moments).zip(fields) {
                *moment = tally.see(*field);
            }
            for (start, end, wrong) in &mut periods {
                *wrong +=
                    u64::from(matches!((moments[*start], moments[*end]), (Some(start), Some(end)) if end < start));
            }
            if let Some((what, unit)) = plan.units.and_then(|(what, unit)| fields[what].zip(fields[unit])) {
                units.see(what, unit);
            }
        })?;
        let counts: Vec<Counts> = tallies.into_iter().map(|tally| tally.counts).collect();
        let units = plan.units.map(|(what, unit)| (what, unit, units.several()));
        Ok(TableSurvey { periods, units, ..TableSurvey::of(plan.clone(), rows, counts) })
    }
}

/// The units of what is measured: of each thing its first unit, and whether there is another.
#[derive(Default)]
struct Units(HashMap<u64, (u64, bool)>);

impl Units {
    fn see(&mut self, what: &str, unit: &str) {
        let (what, unit) = (keys::hash(what), keys::hash(unit));
        // A vocabulary is finite; a column that is none must not fill the memory.
        if self.0.len() >= MOST_MEASURED && !self.0.contains_key(&what) {
            return;
        }
        let known = self.0.entry(what).or_insert((unit, false));
        known.1 |= known.0 != unit;
    }

    fn several(&self) -> u64 {
        self.0.values().filter(|(_, several)| *several).count() as u64
    }
}

/// Things whose units are looked at in a file: 2^18, 10 MiB.
const MOST_MEASURED: usize = 1 << 18;
