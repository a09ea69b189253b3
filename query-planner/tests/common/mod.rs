//! A small network of three hospitals for the tests of this crate.

#![allow(dead_code, reason = "each test file uses its own part")]

use query_planner::catalog::{Catalog, InferredType, SiteName, SiteSchema, SiteTableSchema, merge};
use query_planner::{Audience, Compiled, Options, PlanError, Settings, plan};

/// 2026-11-22 00:00 UTC.
pub const OPTIONS: Options = Options { now_ms: 1_795_305_600_000, audience: Audience::Analyst, noise: None };

/// Three hospitals with OMOP tables; some columns have declared domains and ranges.
pub fn catalog() -> Catalog {
    catalog_with(SETTINGS)
}

/// The same tables under other settings.
pub fn catalog_with(settings: &str) -> Catalog {
    catalog_of(&Settings::from_toml(settings).unwrap())
}

/// The same tables under settings that were read.
pub fn catalog_of(settings: &Settings) -> Catalog {
    try_catalog_of(settings).unwrap()
}

/// The same where they may not fit.
pub fn try_catalog_of(settings: &Settings) -> Result<Catalog, PlanError> {
    let site = |name: &str| (SiteName::from(name), SiteSchema { tables: tables(), patients: 1024 });
    let sites = [site("hospital_A"), site("hospital_B"), site("hospital_C")];
    merge(&sites, settings)
}

/// Plans under the test catalogue.
pub fn planned(sql: &str) -> Result<Compiled, PlanError> {
    plan(sql, &catalog(), &OPTIONS)
}

/// Plans under the same catalogue with cells below 11 hidden.
pub fn planned_hiding(sql: &str) -> Result<Compiled, PlanError> {
    plan(sql, &catalog_with(&format!("min_patients = 11\n{SETTINGS}")), &OPTIONS)
}

fn tables() -> Vec<SiteTableSchema> {
    vec![
        table(
            "person",
            "person_id:int gender_concept_id:int year_of_birth:int birth_date:date race_source_value:text",
            1400,
        ),
        table(
            "condition_occurrence",
            "condition_occurrence_id:int person_id:int condition_concept_id:int condition_start_date:date \
             condition_end_date:date condition_source_value:text",
            22_000,
        ),
        table(
            "measurement",
            "measurement_id:int person_id:int value_as_number:real cost:decimal(10,2) score:int",
            5000,
        ),
        table(
            "drug_exposure",
            "drug_exposure_id:int person_id:int drug_concept_id:int drug_exposure_start_date:date \
             drug_exposure_end_date:date",
            23_000,
        ),
        table("site_info", "name:text beds:int", 3),
    ]
}

fn table(name: &str, columns: &str, rows: u64) -> SiteTableSchema {
    let columns = columns.split_whitespace().map(|column| {
        let (name, kind) = column.split_once(':').unwrap();
        (name.to_owned(), InferredType::Typed(kind.parse().unwrap()))
    });
    SiteTableSchema { name: name.into(), columns: columns.collect(), rows }
}

pub const SETTINGS: &str = r#"
[tables.person.columns.gender_concept_id]
domain = [8507, 8532]

[tables.person.columns.race_source_value]
quasi_identifier = true

[tables.measurement.columns.score]
range = [0, 100]

[tables.measurement.columns.cost]
range = [0, 1000000]

[tables.condition_occurrence.columns.condition_source_value]
agree_keys = false
"#;
