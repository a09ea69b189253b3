//! The optional `network.toml`: the patient key, the joint policy, and what is declared about tables and columns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table as TomlTable, Value as Toml};

use crate::catalog::{ColumnType, Link, MAX_ROWS, Policy};
use crate::error::PlanError;
use crate::linkage::LinkageSettings;
use crate::profile::Profile;
use crate::released_tables::{self, ReleasedTables};
use crate::site_policy::{self, SitePolicy};
use crate::toml_keys::{Unknown, known, members};
use crate::value::{Value, read_decimal};

/// What the network file says. Everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is declared about tables of a known form, unless it is declared here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The column that identifies a patient.
    pub patient_key: String,
    /// Smallest cell that may be released.
    pub min_patients: u32,
    /// May a cell of exactly zero be shown although `min_patients` is above 1?
    pub zero_allowed: bool,
    /// Say so where an answer shows that all or none of a group have something?
    pub flag_extreme_shares: bool,
    /// Fewer sites than this cannot run a query.
    pub min_sites: u32,
    /// Most groups a query may have.
    pub max_groups: u32,
    /// Public bound on the patients of one site; as the sites report where it is not given.
    pub max_patients: Option<u64>,
    /// Most rows of one patient at one site where they are ordered by a date or number.
    pub max_events: u32,
    /// What connects the sites: local, far or narrow.
    pub link: Link,
    /// What tables with group keys must be to be shown.
    #[serde(skip_serializing_if = "ReleasedTables::is_silent")]
    pub released_tables: ReleasedTables,
    /// How patients are found at several sites; by the patient key itself where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linkage: Option<LinkageSettings>,
    /// What single sites allow and ask for beyond the above, by site name: of numbers the strictest wins. A site that lists neither
    /// classes nor columns here says nothing about them.
    pub sites: BTreeMap<String, SitePolicy>,
    /// Declarations by table name.
    pub tables: BTreeMap<String, TableSettings>,
}

/// What is declared about one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableSettings {
    /// Public bound on the rows of one site.
    pub max_rows: Option<u64>,
    /// Where an answer is noised, each site keeps so many rows of a patient.
    pub rows_per_patient: Option<u64>,
    /// Declarations by column name.
    pub columns: BTreeMap<String, ColumnSettings>,
}

/// What is declared about one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnSettings {
    /// Instead of the inferred type.
    #[serde(rename = "type")]
    pub data_type: Option<ColumnType>,
    /// The public domain, without NULL; dates as "YYYY-MM-DD", decimals as integers or text.
    pub domain: Option<Vec<Toml>>,
    /// The closed range of an int or decimal column, in the column's own unit.
    pub range: Option<[Toml; 2]>,
    /// May the union of its values be agreed as group keys?
    pub agree_keys: Option<bool>,
    /// May it not be agreed nor compared with a constant?
    pub quasi_identifier: Option<bool>,
    /// May it be used at all?
    pub allowed: Option<bool>,
}

impl ColumnSettings {
    /// The declared domain, as values of a type.
    ///
    /// # Errors
    /// `BAD_SETTINGS` for an entry that is no value of it.
    pub fn domain_of(&self, data_type: ColumnType, place: &str) -> Result<Option<Vec<Value>>, PlanError> {
        self.domain.as_ref().map(|domain| read_domain(domain, data_type, place)).transpose()
    }

    /// The declared range of a type, unscaled.
    ///
    /// # Errors
    /// `BAD_SETTINGS` where it is none of this type.
    pub fn range_of(&self, data_type: ColumnType, place: &str) -> Result<Option<(i64, i64)>, PlanError> {
        self.range.as_ref().map(|range| read_range(range, data_type, place)).transpose()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: None,
            patient_key: "person_id".into(),
            min_patients: 1,
            zero_allowed: false,
            flag_extreme_shares: true,
            min_sites: 3,
            max_groups: 4096,
            max_patients: None,
            max_events: 32,
            link: Link::Local,
            released_tables: ReleasedTables::default(),
            linkage: None,
            sites: BTreeMap::new(),
            tables: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Reads a network file.
    ///
    /// # Errors
    /// `BAD_SETTINGS` with line and column, or the unknown key and the one that was probably meant.
    pub fn from_toml(text: &str) -> Result<Settings, PlanError> {
        let table: TomlTable = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end().to_owned()))?;
        Settings::from_table(table)
    }

    /// Overrides one value: `min_sites=2`, `tables.person.max_rows=4096`, `tables.person.columns.sex.domain=["F","M"]`.
    ///
    /// # Errors
    /// `BAD_SETTINGS` when the text is not `key=value`, the key is unknown or the value has the wrong type.
    pub fn set(&mut self, assignment: &str) -> Result<(), PlanError> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| bad(format!("'{assignment}' is not of the form key=value")))?;
        let (key, value) = (key.trim(), value.trim());
        let path: Vec<&str> = key.split('.').collect();
        if path.iter().any(|part| part.is_empty()) {
            return Err(bad(format!("'{key}' is not a key")));
        }
        let mut table = TomlTable::try_from(&*self).map_err(|e| bad(e.to_string()))?;
        put(&mut table, &path, parse_value(value)).map_err(|()| bad(format!("'{key}' is not a key")))?;
        *self = Settings::from_table(table)?;
        Ok(())
    }

    /// Is the type of this column declared?
    pub fn declares_type(&self, table: &str, column: &str) -> bool {
        self.declared(table, column).data_type.is_some()
    }

    /// The joint policy: of what the network and its sites ask for, the strictest. Where classes of groups are judged some cells are
    /// hidden, and small ones with them: single patients beside a hidden class would tell it.
    pub fn policy(&self) -> Policy {
        let sites = || self.sites.values();
        let released = self.released_tables.in_lower_case();
        let released_tables = sites().fold(released, |strictest, site| strictest.strictest(&site.released_tables));
        let least = if released_tables.asks() { self.min_patients.max(2) } else { self.min_patients };
        Policy {
            min_sites: sites().filter_map(|site| site.min_sites).fold(self.min_sites, u32::max),
            min_patients: sites().filter_map(|site| site.min_patients).fold(least, u32::max),
            zero_allowed: self.zero_allowed && sites().all(|site| site.zero_allowed != Some(false)),
            flag_extreme_shares: self.flag_extreme_shares || sites().any(|site| site.flag_extreme_shares == Some(true)),
            max_groups: sites().filter_map(|site| site.max_groups).fold(self.max_groups, u32::min),
            link: self.link,
            released_tables,
        }
    }

    /// Puts what a site publishes of its policy in the place of what the file says about its classes, analysts and columns;
    /// of numbers the strictest of both stays.
    pub fn publish(&mut self, site: &str, policy: &SitePolicy) {
        let known = self.sites.keys().find(|name| name.eq_ignore_ascii_case(site)).cloned();
        let entry = self.sites.entry(known.unwrap_or_else(|| site.to_owned())).or_insert_with(SitePolicy::open);
        *entry = policy.published().with_numbers_of(entry);
    }

    fn from_table(mut table: TomlTable) -> Result<Settings, PlanError> {
        check_keys(&table).map_err(|unknown| unknown.refusal(CODE))?;
        open_where_nothing_is_said(&mut table);
        let mut settings: Settings = table.try_into().map_err(|e| bad(e.to_string().trim_end().to_owned()))?;
        for (name, policy) in &mut settings.sites {
            let broken = |(_, rule)| bad(format!("sites.{name}: {rule}"));
            *policy = std::mem::take(policy).normal().map_err(broken)?;
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), PlanError> {
        if self.patient_key.is_empty() {
            return Err(bad("patient_key is empty"));
        }
        if self.min_sites < 2 {
            return Err(bad("min_sites is at least 2: with one site there is nothing to hide"));
        }
        if !(1..=MAX_MIN_PATIENTS).contains(&self.min_patients) {
            return Err(bad(format!("min_patients is 1 to {MAX_MIN_PATIENTS}")));
        }
        if !(1..=MAX_GROUPS).contains(&self.max_groups) {
            return Err(bad(format!("max_groups is 1 to {MAX_GROUPS}")));
        }
        if !(1..=MAX_EVENTS).contains(&self.max_events) {
            return Err(bad(format!("max_events is 1 to {MAX_EVENTS}")));
        }
        if self.max_patients.is_some_and(|patients| !(1..=MAX_PATIENTS).contains(&patients)) {
            return Err(bad(format!("max_patients is 1 to {MAX_PATIENTS}")));
        }
        if let Some((_, rule)) = self.released_tables.broken_rule() {
            return Err(bad(rule));
        }
        match self.tables.iter().find(|(_, t)| t.max_rows.is_some_and(|rows| !(1..=MAX_ROWS).contains(&rows))) {
            Some((name, _)) => Err(bad(format!("tables.{name}.max_rows is 1 to {MAX_ROWS}"))),
            None => Ok(()),
        }
    }
}

/// The declared domain as values of the column's type.
pub(crate) fn read_domain(domain: &[Toml], column: ColumnType, place: &str) -> Result<Vec<Value>, PlanError> {
    domain
        .iter()
        .map(|entry| {
            read_value(entry, column)
                .ok_or_else(|| bad(format!("{place}.domain: {entry} is not a value of type {column}")))
        })
        .collect()
}

/// The declared range, unscaled.
pub(crate) fn read_range(range: &[Toml; 2], column: ColumnType, place: &str) -> Result<(i64, i64), PlanError> {
    let unscaled = |entry: &Toml| match read_value(entry, column) {
        Some(Value::Int(i)) => Some(i),
        Some(Value::Decimal(x, _)) => i64::try_from(x).ok(),
        _ => None,
    };
    match (unscaled(&range[0]), unscaled(&range[1])) {
        (Some(lo), Some(hi)) if lo <= hi => Ok((lo, hi)),
        (Some(_), Some(_)) => Err(bad(format!("{place}.range is empty"))),
        _ => Err(bad(format!("{place}.range: two numbers of type {column} (int or decimal) within 64 bits"))),
    }
}

pub(crate) fn read_value(entry: &Toml, column: ColumnType) -> Option<Value> {
    Some(match (column, entry) {
        (ColumnType::Int, Toml::Integer(i)) => Value::Int(*i),
        (ColumnType::Real, Toml::Integer(i)) => Value::real(*i as f64)?,
        (ColumnType::Real, Toml::Float(x)) => Value::real(*x)?,
        (ColumnType::Bool, Toml::Boolean(b)) => Value::Bool(*b),
        (ColumnType::Text, Toml::String(s)) => Value::Text(s.clone()),
        (ColumnType::Decimal { scale, .. }, Toml::Integer(i)) => {
            Value::Decimal(read_decimal(&i.to_string(), scale)?, scale)
        }
        (ColumnType::Decimal { scale, .. }, Toml::String(s)) => Value::Decimal(read_decimal(s, scale)?, scale),
        (ColumnType::Date | ColumnType::Timestamp, Toml::String(s)) => read_time(s, column)?,
        (ColumnType::Date | ColumnType::Timestamp, Toml::Datetime(t)) => read_time(&t.to_string(), column)?,
        _ => return None,
    })
}

fn read_time(text: &str, column: ColumnType) -> Option<Value> {
    let to = crate::bind::arrow_type(column);
    let scalar = datafusion_common::ScalarValue::Utf8(Some(text.to_owned())).cast_to(&to).ok()?;
    Value::from_scalar(&scalar).filter(|v| *v != Value::Null)
}

/// Unknown keys are refused here, before serde, so that the message can name the nearest one.
fn check_keys(table: &TomlTable) -> Result<(), Unknown> {
    known(table, TOP_KEYS, &[])?;
    if let Some(Toml::Table(entry)) = table.get("linkage") {
        known(entry, &["file", "table"], &["linkage"])?;
    }
    if let Some(Toml::Table(entry)) = table.get("released_tables") {
        known(entry, released_tables::KEYS, &["released_tables"])?;
    }
    for (name, entry) in members(table.get("sites")) {
        let Toml::Table(entry) = entry else { continue };
        site_policy::known_keys(entry, &["sites", name])?;
    }
    for (name, entry) in members(table.get("tables")) {
        let Toml::Table(entry) = entry else { continue };
        known(entry, &["max_rows", "rows_per_patient", "columns"], &["tables", name])?;
        for (column, entry) in members(entry.get("columns")) {
            let Toml::Table(entry) = entry else { continue };
            let keys = ["type", "domain", "range", "agree_keys", "quasi_identifier", "allowed"];
            known(entry, &keys, &["tables", name, "columns", column])?;
        }
    }
    Ok(())
}

/// A site that lists neither classes nor columns in the network file asks for numbers alone.
fn open_where_nothing_is_said(table: &mut TomlTable) {
    for (_, entry) in table.get_mut("sites").and_then(Toml::as_table_mut).into_iter().flatten() {
        let Toml::Table(site) = entry else { continue };
        if !["allow_all", "classes", "columns"].iter().any(|key| site.contains_key(*key)) {
            site.insert("allow_all".into(), Toml::Boolean(true));
        }
    }
}

/// A value in TOML's spelling; anything else is a text, so that `patient_key=nhs_number` needs no quotes.
fn parse_value(text: &str) -> Toml {
    let parsed = toml::from_str::<TomlTable>(&format!("value = {text}"));
    let value = parsed.ok().filter(|t| t.len() == 1).and_then(|mut t| t.remove("value"));
    value.unwrap_or_else(|| Toml::String(text.to_owned()))
}

fn put(table: &mut TomlTable, path: &[&str], value: Toml) -> Result<(), ()> {
    match path {
        [] => Err(()),
        [key] => {
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        [key, rest @ ..] => {
            let entry = table.entry((*key).to_owned()).or_insert_with(|| Toml::Table(TomlTable::new()));
            put(entry.as_table_mut().ok_or(())?, rest, value)
        }
    }
}

fn bad(text: impl Into<String>) -> PlanError {
    PlanError::new(CODE, text)
}

const CODE: &str = "BAD_SETTINGS";

/// Most groups a policy may allow: 2^20 sums of 16 bytes stay below one frame.
pub(crate) const MAX_GROUPS: u32 = 1 << 20;

/// Most rows of one patient at one site that can be merged with others': each is carried for every patient.
const MAX_EVENTS: u32 = 256;

/// Most patients of one site: what matching is designed for, with room.
pub(crate) const MAX_PATIENTS: u64 = 1 << 24;

/// Largest cell that can be called small: far above any rule in use, far below what a comparison of counts must bear.
pub(crate) const MAX_MIN_PATIENTS: u32 = 10_000;

const TOP_KEYS: &[&str] = &[
    "profile",
    "patient_key",
    "min_patients",
    "zero_allowed",
    "flag_extreme_shares",
    "min_sites",
    "max_groups",
    "max_patients",
    "max_events",
    "link",
    "released_tables",
    "linkage",
    "sites",
    "tables",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Settings::from_toml("").unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let error = Settings::from_toml("min_patient = 11").unwrap_err();
        assert_eq!(error.code, "BAD_SETTINGS");
        assert_eq!(error.hint.as_deref(), Some("did you mean 'min_patients'?"));
        let error = Settings::from_toml("[tables.person.columns.sex]\ndomian = [1]").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean 'tables.person.columns.sex.domain'?"));
    }

    #[test]
    fn set_overrides_one_value_and_keeps_the_rest() {
        let mut settings = Settings::from_toml("min_patients = 11").unwrap();
        settings.set("min_sites=2").unwrap();
        settings.set("patient_key = nhs_number").unwrap();
        settings.set("tables.person.columns.sex.domain=[\"F\", \"M\"]").unwrap();
        assert_eq!((settings.min_patients, settings.min_sites), (11, 2));
        assert_eq!(settings.patient_key, "nhs_number");
        assert_eq!(settings.tables["person"].columns["sex"].domain.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn of_what_the_sites_ask_for_the_strictest_wins() {
        let text =
            "min_patients = 5\nzero_allowed = true\n[sites.A]\nmin_patients = 11\n[sites.B]\nzero_allowed = false";
        let mut settings = Settings::from_toml(text).unwrap();
        assert_eq!((settings.policy().min_patients, settings.policy().zero_allowed), (11, false));
        settings.set("min_patients=20").unwrap();
        assert_eq!(settings.policy().min_patients, 20);
        let error = Settings::from_toml("[sites.A]\nmin_patient = 3").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean 'sites.A.min_patients'?"));
        let text =
            "max_groups = 50\n[sites.A]\nmax_groups = 60\nmin_sites = 2\n[sites.B]\nmax_groups = 40\nmin_sites = 4";
        let policy = Settings::from_toml(text).unwrap().policy();
        assert_eq!((policy.max_groups, policy.min_sites), (40, 4));
    }

    #[test]
    fn a_site_that_says_nothing_about_columns_here_forbids_none() {
        let text =
            "[sites.A]\nmin_patients = 5\n[sites.B]\nclasses = [\"count\"]\n[sites.B.columns.Person]\nSex = [\"sum\"]";
        let mut settings = Settings::from_toml(text).unwrap();
        assert!(settings.sites["A"].allow_all && !settings.sites["B"].allow_all);
        assert!(settings.sites["B"].column("person", "sex").is_some());
        let before = settings.clone();
        settings.set("min_sites=2").unwrap();
        assert_eq!(settings.sites, before.sites, "written and read again");
        for wrong in ["[sites.A]\nmin_patients = 0", "[sites.A.columns.t]\nx = [\"add\"]"] {
            assert_eq!(Settings::from_toml(wrong).unwrap_err().code, "BAD_SETTINGS");
        }
    }

    #[test]
    fn what_a_site_publishes_never_loosens_the_networks_numbers() {
        let mut settings = Settings::from_toml("[sites.A]\nmin_patients = 11\nmax_groups = 5").unwrap();
        let policy =
            SitePolicy::from_toml("min_patients = 5\nmax_groups = 3\nmin_sites = 4\n[releases]\nmost = 1\ndays = 1");
        settings.publish("a", &policy.unwrap());
        let known = &settings.sites["A"];
        assert_eq!((known.min_patients, known.max_groups, known.min_sites), (Some(11), Some(3), Some(4)));
        assert!(!known.allow_all && known.releases.is_none());
        assert_eq!(settings.sites.len(), 1);
    }

    #[test]
    fn set_refuses_what_is_not_a_setting_and_changes_nothing() {
        let mut settings = Settings::default();
        for text in ["min_sites", "min_sites=many", "min_sites=1", "colour=red", "min_sites.x=1", "=1", "a..b=1"] {
            assert_eq!(settings.set(text).unwrap_err().code, "BAD_SETTINGS", "{text}");
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn domains_and_ranges_are_read_in_the_columns_type() {
        let decimal = ColumnType::Decimal { precision: 10, scale: 2 };
        let domain = read_domain(&[Toml::String("1.5".into()), Toml::Integer(2)], decimal, "c").unwrap();
        assert_eq!(domain, [Value::Decimal(150, 2), Value::Decimal(200, 2)]);
        let day = read_domain(&[Toml::String("1970-01-02".into())], ColumnType::Date, "c").unwrap();
        assert_eq!(day, [Value::Date(1)]);
        assert_eq!(read_range(&[Toml::Integer(0), Toml::Integer(3)], decimal, "c").unwrap(), (0, 300));
        assert!(read_range(&[Toml::Integer(3), Toml::Integer(0)], ColumnType::Int, "c").is_err());
        assert!(read_domain(&[Toml::String("x".into())], ColumnType::Int, "c").is_err());
    }
}
