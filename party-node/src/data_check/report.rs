//! The whole report, as lines for people or as JSON.

use std::fmt::Write;

use query_planner::Settings;
use serde::Serialize;

use super::findings::{self, Finding, Severity, plural};
use crate::fault::{NodeError, printable};
use crate::source::survey::{ColumnSurvey, TableSurvey};

/// What `consilium check --data` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// The profile, if the settings name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<&'static str>,
    /// The column that identifies a patient.
    pub patient_key: String,
    /// Findings that are errors.
    pub errors: usize,
    /// Findings that are warnings.
    pub warnings: usize,
    /// Findings that are notes.
    pub notes: usize,
    /// By name.
    pub tables: Vec<TableReport>,
    /// The tables' findings, one after the other.
    pub findings: Vec<Finding>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// In the table's order; none of a table that cannot be read.
    pub columns: Vec<ColumnReport>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub column: String,
    /// What it is read as.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What its values, its file or its database say it is.
    pub inferred: String,
    /// Is its type declared by the network or its profile?
    pub is_declared: bool,
    /// Rows without a value.
    pub nulls: u64,
}

impl Report {
    /// What was counted, in words.
    pub(super) fn new(settings: &Settings, surveys: &[TableSurvey]) -> Self {
        let findings: Vec<Finding> = surveys.iter().flat_map(findings::of_table).collect();
        let so_bad = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            version: VERSION,
            profile: settings.profile.map(|profile| profile.name()),
            patient_key: settings.patient_key.clone(),
            errors: so_bad(Severity::Error),
            warnings: so_bad(Severity::Warning),
            notes: so_bad(Severity::Note),
            tables: surveys.iter().map(TableReport::of).collect(),
            findings,
        }
    }

    /// Lines for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            table.write(&mut text);
            for finding in self.findings.iter().filter(|finding| finding.table == table.table) {
                finding.write(&mut text);
            }
            text.push('\n');
        }
        let all = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let all = all.map(|(count, one)| plural(count as u64, one, &format!("{one}s")));
        line(&mut text, format_args!("{}", all.join(", ")));
        text
    }

    /// One JSON object on one line.
    ///
    /// # Errors
    /// None that can happen.
    pub fn to_json(&self) -> Result<String, NodeError> {
        let text = serde_json::to_string(self);
        text.map(|text| format!("{text}\n")).map_err(|e| NodeError::new("CANNOT_PRINT", e.to_string()))
    }
}

/// Of the report's form.
const VERSION: u32 = 1;

impl TableReport {
    fn of(survey: &TableSurvey) -> Self {
        let column = |(at, column): (usize, &ColumnSurvey)| ColumnReport {
            column: shown(column, at),
            data_type: column.expected.to_string(),
            inferred: column.inferred.into(),
            is_declared: column.declared.is_some(),
            nulls: column.counts.nulls,
        };
        Self {
            table: printable(&survey.name),
            rows: survey.rows,
            columns: survey.columns.iter().enumerate().map(column).collect(),
        }
    }

    fn write(&self, text: &mut String) {
        line(text, format_args!("{}: {} rows", self.table, counted(self.rows)));
        let widest = self.columns.iter().map(|column| column.column.chars().count()).max().unwrap_or(0);
        for ColumnReport { column, data_type, inferred, is_declared, nulls } in &self.columns {
            let kind = match *is_declared && data_type != inferred {
                true => format!("{data_type}, looks {inferred}"),
                false => data_type.clone(),
            };
            line(text, format_args!("  {column:widest$}  {kind:22}  {:>12} NULL", counted(*nulls)));
        }
    }
}

impl Finding {
    fn write(&self, text: &mut String) {
        let severity = match self.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let Self { code, table, column, text: sentence, .. } = self;
        let place = column.as_ref().map_or_else(|| table.clone(), |column| format!("{table}.{column}"));
        line(text, format_args!("  {severity:7}  {code:21}  {place}: {sentence}"));
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // A String takes whatever is written.
    let _ = writeln!(text, "{words}");
}

/// A column's name, where it can be one: in a file without a header line the first line is a patient's, so what neither the profile
/// knows nor looks like a name of a column is not repeated.
pub(super) fn shown(column: &ColumnSurvey, at: usize) -> String {
    let name = &column.name;
    let word = name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = word && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain || column.is_known == Some(true) || column.declared.is_some() {
        printable(name)
    } else {
        format!("column {}", at + 1)
    }
}

/// A number with its thousands apart.
pub(super) fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 12_345_678].map(counted), ["0", "999", "1 000", "12 345 678"]);
    }
}
