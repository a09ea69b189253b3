//! Declarations for tables of a known form, so that no network has to write them: `profile = "omop-5.4"`.
//!
//! A profile is a file of settings that lies in the program. What a network's own settings say about a column wins; tables and
//! columns that no site has are left out. The catalogue that follows is the one that the same lines in the settings give: it does not
//! know of the profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::catalog::SiteSchema;
use crate::settings::{ColumnSettings, Settings, TableSettings};

/// A known form of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// The OMOP Common Data Model, version 5.4, and of 5.3 what is the same there.
    #[serde(rename = "omop-5.4")]
    Omop54,
}

/// What is known of a table beyond the types of its columns: for a report on the data, not for questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// No two rows have the same value here.
    pub primary_key: Option<String>,
    /// Columns that have no NULL.
    pub required: Vec<String>,
    /// Of each two the second is not before the first.
    pub periods: Vec<[String; 2]>,
    /// What is measured, and the unit it is measured in.
    pub units: Option<[String; 2]>,
    /// Columns of days that may lie in the future.
    pub later: Vec<String>,
}

impl Profile {
    /// Every profile there is.
    pub const ALL: [Profile; 1] = [Profile::Omop54];

    /// The profile of that name, if there is one.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// As settings and command line spell it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Omop54 => "omop-5.4",
        }
    }

    /// The file, as TOML.
    pub fn text(self) -> &'static str {
        match self {
            Profile::Omop54 => include_str!("profile/omop_5_4.toml"),
        }
    }

    /// What it declares, as a network's settings would, about every table it knows.
    pub fn tables(self) -> &'static BTreeMap<String, TableSettings> {
        &self.file().tables
    }

    /// What it knows of a table, by its name without case; none of a table that it does not know.
    pub fn facts(self, table: &str) -> Option<&'static Facts> {
        self.file().facts.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, facts)| facts)
    }

    /// The table with a row for each patient.
    pub fn patient_table(self) -> &'static str {
        &self.file().patient_table
    }

    /// The column that identifies a patient.
    pub fn patient_key(self) -> &'static str {
        &self.file().patient_key
    }

    fn file(self) -> &'static ProfileFile {
        static OMOP_5_4: LazyLock<ProfileFile> = LazyLock::new(|| read(Profile::Omop54));
        match self {
            Profile::Omop54 => &OMOP_5_4,
        }
    }

    fn table(self, name: &str) -> Option<&'static TableSettings> {
        self.tables().iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, table)| table)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    patient_key: String,
    patient_table: String,
    tables: BTreeMap<String, TableSettings>,
    facts: BTreeMap<String, Facts>,
}

fn read(profile: Profile) -> ProfileFile {
    toml::from_str(profile.text()).expect("the tests read every profile")
}

impl Settings {
    /// What is declared about a column, by these settings or else by their profile.
    pub fn declared(&self, table: &str, column: &str) -> ColumnSettings {
        let own = self.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, table)| table);
        let own = own.and_then(|table| find(&table.columns, column));
        let known = self.profile.and_then(|profile| profile.table(table));
        let known = known.and_then(|table| find(&table.columns, column));
        match (own, known) {
            (Some(own), Some(known)) => own.clone().or(known),
            (one, other) => one.or(other).cloned().unwrap_or_default(),
        }
    }

    /// These settings with what their profile declares of tables and columns that some site has.
    pub(crate) fn with_profile<'s>(&self, sites: impl Iterator<Item = &'s SiteSchema>) -> Settings {
        let mut settings = self.clone();
        let Some(profile) = settings.profile.take() else { return settings };
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for table in sites.flat_map(|site| &site.tables) {
            let columns = there.entry(table.name.to_lowercase()).or_default();
            columns.extend(table.columns.iter().map(|(name, _)| name.to_lowercase()));
        }
        for (table, columns) in there {
            let Some(known) = profile.table(&table) else { continue };
            let own = settings.tables.keys().find(|name| name.eq_ignore_ascii_case(&table)).cloned();
            let own = settings.tables.entry(own.unwrap_or(table)).or_default();
            for (column, known) in known.columns.iter().filter(|(name, _)| columns.contains(&name.to_lowercase())) {
                let spelled = own.columns.keys().find(|name| name.eq_ignore_ascii_case(column)).cloned();
                let said = own.columns.entry(spelled.unwrap_or_else(|| column.clone())).or_default();
                *said = std::mem::take(said).or(known);
            }
        }
        settings
    }
}

fn find<'a>(columns: &'a BTreeMap<String, ColumnSettings>, name: &str) -> Option<&'a ColumnSettings> {
    columns.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, column)| column)
}

impl ColumnSettings {
    /// These declarations, and where they say nothing, those of a profile. Its values belong to its type: beside another type they
    /// are not taken.
    fn or(self, known: &ColumnSettings) -> ColumnSettings {
        let same = self.data_type.is_none() || self.data_type == known.data_type;
        let known = known.clone();
        ColumnSettings {
            data_type: self.data_type.or(known.data_type),
            domain: self.domain.or(known.domain.filter(|_| same)),
            range: self.range.or(known.range.filter(|_| same)),
            agree_keys: self.agree_keys.or(known.agree_keys),
            quasi_identifier: self.quasi_identifier.or(known.quasi_identifier),
            allowed: self.allowed.or(known.allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ColumnType, SiteName, SiteTableSchema};
    use crate::merge::{InferredType, merge};
    use crate::{Catalog, PlanError};

    fn sites(tables: &[(&str, &[&str])]) -> Vec<(SiteName, SiteSchema)> {
        let column = |name: &&str| ((*name).to_owned(), InferredType::Empty);
        let table = |(name, columns): &(&str, &[&str])| SiteTableSchema {
            name: (*name).to_owned(),
            columns: columns.iter().map(column).collect(),
            rows: 10,
        };
        let schema = SiteSchema { tables: tables.iter().map(table).collect(), patients: 1024 };
        ["A", "B"].map(|name| (name.into(), schema.clone())).to_vec()
    }

    fn catalog(settings: &str, tables: &[(&str, &[&str])]) -> Result<Catalog, PlanError> {
        merge(&sites(tables), &Settings::from_toml(settings)?)
    }

    #[test]
    fn every_profile_is_a_file_of_settings_whose_facts_name_its_own_columns() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
            let all: Vec<(&str, Vec<&str>)> = profile
                .tables()
                .iter()
                .map(|(name, table)| (name.as_str(), table.columns.keys().map(String::as_str).collect()))
                .collect();
            let all: Vec<(&str, &[&str])> = all.iter().map(|(name, columns)| (*name, columns.as_slice())).collect();
            let catalog = catalog(&format!("profile = \"{profile}\""), &all).unwrap();
            assert!(catalog.table(profile.patient_table()).is_some());
            for (table, facts) in &profile.file().facts {
                let known = &catalog.table(table).unwrap().columns;
                let named = facts.primary_key.iter().chain(&facts.required).chain(facts.periods.iter().flatten());
                let named = named.chain(facts.units.iter().flatten()).chain(&facts.later);
                let unknown: Vec<_> = named.filter(|name| !known.iter().any(|c| c.name == **name)).collect();
                assert!(unknown.is_empty(), "{table}: {unknown:?}");
            }
        }
    }

    #[test]
    fn a_profile_gives_the_catalogue_that_its_lines_written_out_give() {
        let tables: &[(&str, &[&str])] = &[("Person", &["PERSON_ID", "year_of_birth", "note"]), ("lab", &["value"])];
        let by_profile = catalog("profile = \"omop-5.4\"", tables).unwrap();
        let by_hand = "[tables.person.columns]\nperson_id = { type = \"int\", agree_keys = false }\n\
            year_of_birth = { type = \"int\", range = [1850, 2100] }";
        assert_eq!(by_profile.digest(), catalog(by_hand, tables).unwrap().digest());
        assert_ne!(by_profile.digest(), catalog("", tables).unwrap().digest());
    }

    #[test]
    fn what_the_settings_say_themselves_wins_and_the_rest_stays() {
        let own = "profile = \"omop-5.4\"\n[tables.Person.columns]\nYear_of_birth = { range = [1900, 1950] }\n\
            month_of_birth = { type = \"text\" }\nperson_source_value = { quasi_identifier = false }";
        let columns = &["person_id", "year_of_birth", "month_of_birth", "person_source_value"];
        let catalog = catalog(own, &[("person", columns)]).unwrap();
        let [_, year, month, source] = &catalog.tables[0].columns[..] else { panic!("four columns") };
        assert_eq!((year.data_type, year.range), (ColumnType::Int, Some((1900, 1950))));
        assert_eq!((month.data_type, month.range), (ColumnType::Text, None));
        assert!(!source.quasi_identifier && !source.agree_keys);
        let settings = Settings::from_toml(own).unwrap();
        assert!(settings.declares_type("PERSON", "year_of_birth") && !settings.declares_type("person", "colour"));
    }

    #[test]
    fn tables_and_columns_that_no_site_has_are_no_error_unless_the_settings_name_them() {
        let tables: &[(&str, &[&str])] = &[("t", &["x"])];
        assert!(catalog("profile = \"omop-5.4\"", tables).is_ok());
        let named = "profile = \"omop-5.4\"\n[tables.measurement.columns.value_as_number]\ntype = \"real\"";
        assert_eq!(catalog(named, tables).unwrap_err().code, "BAD_SETTINGS");
    }

    #[test]
    fn an_unknown_profile_is_refused_with_the_known_ones() {
        let error = Settings::from_toml("profile = \"omop-9\"").unwrap_err();
        assert!(error.code == "BAD_SETTINGS" && error.message.contains("omop-5.4"), "{error}");
        let mut settings = Settings::default();
        settings.set("profile=omop-5.4").unwrap();
        assert_eq!(settings.profile, Some(Profile::Omop54));
    }
}
