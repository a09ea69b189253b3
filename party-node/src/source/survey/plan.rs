//! What is looked for in a table: from the settings, their profile, and the columns that are there.

use query_planner::Settings;
use query_planner::catalog::ColumnType;
use query_planner::merge::InferredType;
use query_planner::profile::Facts;
use query_planner::value::Value;

use super::codes::{CODES, FIRST_NUMBER, number, of_text};
use crate::fault::NodeError;

/// What a survey goes by.
#[derive(Debug, Clone)]
pub(in crate::source) struct Wanted {
    pub settings: Settings,
    /// A day since 1970-01-01.
    pub today: i32,
}

/// What is looked for in a table. Columns are positions.
#[derive(Debug, Clone)]
pub(in crate::source) struct TablePlan {
    pub name: String,
    pub is_known: Option<bool>,
    pub columns: Vec<ColumnPlan>,
    pub patient_key: Option<usize>,
    pub primary_key: Option<usize>,
    pub periods: Vec<(usize, usize)>,
    /// What is measured, and its unit.
    pub units: Option<(usize, usize)>,
}

/// What is looked for in a column.
#[derive(Debug, Clone)]
pub(in crate::source) struct ColumnPlan {
    pub name: String,
    pub is_known: Option<bool>,
    pub inferred: InferredType,
    pub declared: Option<ColumnType>,
    /// What its values are read as.
    pub expected: ColumnType,
    /// Unscaled, as in a catalogue.
    pub range: Option<(i64, i64)>,
    pub domain: Option<Vec<Value>>,
    /// The codes that would stand for a missing value here.
    pub codes: Vec<usize>,
    /// May its days lie in the future?
    pub may_be_later: bool,
    pub is_required: bool,
    pub misfit: Option<NodeError>,
}

/// A column as its source has it.
pub(in crate::source) struct Seen {
    pub name: String,
    pub inferred: InferredType,
    /// The type of all its fields but a few, where these few make it text.
    pub likely: Option<ColumnType>,
}

impl Wanted {
    /// What to look for in a table.
    pub fn plan(&self, name: &str, seen: Vec<Seen>) -> TablePlan {
        let none = Facts::default();
        let profile = self.settings.profile;
        let facts = profile.and_then(|profile| profile.facts(name));
        let columns: Vec<ColumnPlan> =
            seen.into_iter().map(|seen| self.column(name, seen, facts.unwrap_or(&none))).collect();
        let at = |wanted: &str| columns.iter().position(|column| column.name.eq_ignore_ascii_case(wanted));
        let facts = facts.unwrap_or(&none);
        TablePlan {
            name: name.to_lowercase(),
            is_known: profile.map(|profile| profile.facts(name).is_some()),
            patient_key: at(&self.settings.patient_key),
            primary_key: facts.primary_key.as_deref().and_then(at),
            periods: facts.periods.iter().filter_map(|[start, end]| Some((at(start)?, at(end)?))).collect(),
            units: facts.units.as_ref().and_then(|[what, unit]| Some((at(what)?, at(unit)?))),
            columns,
        }
    }

    /// The table with a row for each patient, where a profile knows it.
    pub fn patient_table(&self) -> Option<&'static str> {
        self.settings.profile.map(|profile| profile.patient_table())
    }

    fn column(&self, table: &str, seen: Seen, facts: &Facts) -> ColumnPlan {
        let said = self.settings.declared(table, &seen.name);
        let inferred = match seen.inferred {
            InferredType::Typed(found) => found,
            // As the sites' catalogue has it.
            InferredType::Empty => ColumnType::Real,
        };
        let expected = said.data_type.or(seen.likely).unwrap_or(inferred);
        let place = format!("{table}.{}", seen.name);
        let (range, domain) = (said.range_of(expected, &place), said.domain_of(expected, &place));
        let misfit = range.as_ref().err().or(domain.as_ref().err()).cloned().map(NodeError::from);
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(&seen.name));
        let known = self.settings.profile.and_then(|profile| {
            let table = profile.tables().iter().find(|(name, _)| name.eq_ignore_ascii_case(table))?.1;
            Some(table.columns.keys().any(|name| name.eq_ignore_ascii_case(&seen.name)))
        });
        let mut plan = ColumnPlan {
            is_known: known,
            inferred: seen.inferred,
            declared: said.data_type,
            expected,
            range: range.ok().flatten(),
            domain: domain.ok().flatten(),
            codes: Vec::new(),
            may_be_later: named(&facts.later),
            is_required: named(&facts.required),
            misfit,
            name: seen.name,
        };
        let numbers = if self.is_identifier(&plan.name) { FIRST_NUMBER } else { CODES.len() };
        plan.codes = (0..numbers).filter(|code| plan.is_missing(*code)).collect();
        plan
    }

    /// Identifiers may be any number.
    fn is_identifier(&self, column: &str) -> bool {
        let name = column.to_lowercase();
        name.eq_ignore_ascii_case(&self.settings.patient_key) || name.ends_with("_id") && !name.ends_with("concept_id")
    }
}

impl ColumnPlan {
    /// Would this code be no value of the column? What is declared to be one is.
    fn is_missing(&self, code: usize) -> bool {
        let domain = self.domain.as_deref().unwrap_or_default();
        let is_word = |value: &Value| matches!(value, Value::Text(text) if of_text(text) == Some(code));
        let Some(number) = number(code) else { return !domain.iter().any(is_word) };
        let (value, unscaled) = match self.expected {
            ColumnType::Int => (Value::Int(number), number.into()),
            ColumnType::Decimal { scale, .. } => {
                let unscaled = i128::from(number).saturating_mul(10i128.saturating_pow(scale.unsigned_abs().into()));
                (Value::Decimal(unscaled, scale), unscaled)
            }
            ColumnType::Real => match Value::real(number as f64) {
                Some(value) => (value, number.into()),
                None => return false,
            },
            ColumnType::Text => return !domain.iter().any(is_word),
            ColumnType::Date | ColumnType::Timestamp | ColumnType::Bool => return false,
        };
        let in_range = self.range.is_some_and(|(low, high)| (i128::from(low)..=i128::from(high)).contains(&unscaled));
        !in_range && !domain.contains(&value)
    }
}
