//! What is odd, in words: one finding for each column and code.

use std::borrow::Cow;
use std::collections::BTreeMap;

use query_planner::merge::InferredType;
use serde::Serialize;

use super::report::{counted, shown};
use crate::source::survey::{ColumnSurvey, Counts, TableSurvey, null_codes};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The node refuses these data, or its figures would be wrong without a word.
    Error,
    /// Figures may not mean what they seem to.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that is odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable: `DATA_TYPE`, `DATA_NULL_CODES`…, or the code of the fault for which a table cannot be read.
    pub code: Cow<'static, str>,
    /// The table.
    pub table: String,
    /// The column, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How many rows, or things where the sentence says so.
    pub count: u64,
    /// Codes for a missing value, by our own names for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<&'static str, u64>,
    /// A sentence.
    pub text: String,
}

/// All that is odd about a table, its columns in their order.
pub(super) fn of_table(survey: &TableSurvey) -> Vec<Finding> {
    let mut found = Found { table: &survey.name, all: Vec::new() };
    if let Some(fault) = &survey.fault {
        found.add(Severity::Error, fault.code.clone(), None, 0, fault.message.clone());
        return found.all;
    }
    if survey.is_known == Some(false) {
        found.add(Severity::Note, "DATA_NOT_IN_PROFILE".into(), None, 0, "the profile has no such table".into());
    }
    if survey.rows == 0 {
        found.add(Severity::Note, "DATA_EMPTY_TABLE".into(), None, 0, "it has no rows".into());
    }
    for (at, column) in survey.columns.iter().enumerate() {
        found.of_column(survey, at, column);
    }
    found.of_keys(survey);
    found.all
}

struct Found<'a> {
    table: &'a str,
    all: Vec<Finding>,
}

impl Found<'_> {
    fn add(&mut self, severity: Severity, code: Cow<'static, str>, column: Option<String>, count: u64, text: String) {
        let table = crate::fault::printable(self.table);
        self.all.push(Finding { severity, code, table, column, count, codes: BTreeMap::new(), text });
    }

    fn of_column(&mut self, survey: &TableSurvey, at: usize, column: &ColumnSurvey) {
        let (name, counts, rows) = (shown(column, at), &column.counts, survey.rows);
        if let Some(misfit) = &column.misfit {
            self.add(Severity::Error, misfit.code.clone(), Some(name.clone()), 0, misfit.message.clone());
        }
        let values = rows.saturating_sub(counts.nulls);
        for (severity, code, count, what) in odd(column, counts) {
            if count > 0 {
                let text = format!("{} of {} {what}", counted(count), plural(values, "value", "values"));
                self.add(severity, code.into(), Some(name.clone()), count, text);
            }
        }
        self.of_codes(&name, counts);
        let is_patient = survey.patient_key == Some(at);
        if is_patient && counts.nulls > 0 {
            let text = format!("{} of {} have no patient", counted(counts.nulls), plural(rows, "row", "rows"));
            self.add(Severity::Warning, "DATA_NO_PATIENT".into(), Some(name.clone()), counts.nulls, text);
        } else if column.is_required && counts.nulls > 0 {
            let text =
                format!("{} of {} have none, where each has one", counted(counts.nulls), plural(rows, "row", "rows"));
            self.add(Severity::Warning, "DATA_REQUIRED".into(), Some(name.clone()), counts.nulls, text);
        } else if rows > 0 && counts.nulls == rows {
            self.add(
                Severity::Note,
                "DATA_EMPTY_COLUMN".into(),
                Some(name.clone()),
                rows,
                "every value is NULL".into(),
            );
        }
        if column.is_known == Some(false) {
            let text = "the profile has no such column".into();
            self.add(Severity::Note, "DATA_NOT_IN_PROFILE".into(), Some(name), 0, text);
        }
    }

    fn of_codes(&mut self, name: &str, counts: &Counts) {
        let codes: BTreeMap<&'static str, u64> =
            null_codes().zip(counts.codes).filter(|(_, count)| *count > 0).collect();
        let count: u64 = codes.values().sum();
        if count == 0 {
            return;
        }
        let named = null_codes().filter_map(|code| Some(format!("{code} {}", counted(*codes.get(code)?))));
        let named = named.collect::<Vec<_>>().join(", ");
        let text = format!("{} like a code for a missing value: {named}", plural(count, "value looks", "values look"));
        self.add(Severity::Warning, "DATA_NULL_CODES".into(), Some(name.to_owned()), count, text);
        if let Some(last) = self.all.last_mut() {
            last.codes = codes;
        }
    }

    fn of_keys(&mut self, survey: &TableSurvey) {
        let name = |at: usize| shown(&survey.columns[at], at);
        if let Some((at, count)) = survey.duplicates.filter(|(_, count)| *count > 0) {
            let text = format!("{} the key of an earlier one", plural(count, "row has", "rows have"));
            self.add(Severity::Error, "DATA_DUPLICATE_KEY".into(), Some(name(at)), count, text);
        }
        if let Some((at, count)) = survey.orphans.filter(|(_, count)| *count > 0) {
            let text = format!(
                "{} a patient who is in no row of the table of patients",
                plural(count, "row has", "rows have")
            );
            self.add(Severity::Warning, "DATA_ORPHANS".into(), Some(name(at)), count, text);
        }
        for (start, end, count) in survey.periods.iter().filter(|(_, _, count)| *count > 0) {
            let text = format!("{} before {}", plural(*count, "row ends", "rows end"), name(*start));
            self.add(Severity::Warning, "DATA_END_BEFORE_START".into(), Some(name(*end)), *count, text);
        }
        if let Some((what, unit, count)) = survey.units.filter(|(_, _, count)| *count > 0) {
            let text = format!("{} of {} in more than one unit", counted(count), name(what));
            self.add(Severity::Warning, "DATA_UNITS".into(), Some(name(unit)), count, text);
        }
    }
}

/// What single values can be.
fn odd(column: &ColumnSurvey, counts: &Counts) -> [(Severity, &'static str, u64, String); 5] {
    let read = match (column.declared, column.inferred) {
        (None, InferredType::Typed(found)) if found != column.expected => " like the others",
        _ => "",
    };
    [
        (Severity::Error, "DATA_TYPE", counts.misfits, format!("are not of type {}{read}", column.expected)),
        (Severity::Error, "DATA_OUT_OF_RANGE", counts.out_of_range, "are outside the declared range".into()),
        (Severity::Error, "DATA_OUT_OF_DOMAIN", counts.outside_domain, "are not in the declared domain".into()),
        (Severity::Warning, "DATA_BEFORE_1900", counts.before_1900, "are before 1900".into()),
        (Severity::Warning, "DATA_IN_FUTURE", counts.in_future, "are in the future".into()),
    ]
}

pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", counted(count), if count == 1 { one } else { many })
}
