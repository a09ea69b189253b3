//! The catalogue. Source: `party-node/console/src/api/plan.ts`.

use query_planner::catalog::{self, ColumnType};
use query_planner::site_policy::Purpose;
use query_planner::value::{Value, write_decimal};
use serde::Serialize;

use super::exact;

/// What the network publishes.
#[derive(Serialize)]
pub struct Catalog {
    sites: Vec<String>,
    patient_key: String,
    max_patients: u64,
    tables: Vec<Table>,
    policy: Policy,
}

#[derive(Serialize)]
struct Table {
    name: String,
    max_rows: u64,
    sites: Vec<String>,
    columns: Vec<Column>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    data_type: String,
    domain: Option<Vec<String>>,
    range: Option<[String; 2]>,
    clamp: Option<[String; 2]>,
    agree_keys: bool,
    quasi_identifier: bool,
    uses: Vec<Purpose>,
}

/// The strictest numbers of network and sites.
#[derive(Serialize)]
struct Policy {
    #[serde(flatten)]
    thresholds: Thresholds,
    min_sites: u32,
    max_groups: u32,
}

/// How small cells are treated.
#[derive(Serialize)]
pub struct Thresholds {
    /// 1 hides none.
    pub min_patients: u32,
    /// Is a zero shown all the same?
    pub zero_allowed: bool,
    /// Are all and none of a group flagged?
    pub flag_extreme_shares: bool,
}

impl Catalog {
    /// A column that may not be used at all is left out.
    pub fn of(catalog: &catalog::Catalog) -> Self {
        let policy = &catalog.policy;
        let thresholds = Thresholds {
            min_patients: policy.min_patients,
            zero_allowed: policy.zero_allowed,
            flag_extreme_shares: policy.flag_extreme_shares,
        };
        Self {
            sites: names(&catalog.sites),
            patient_key: catalog.patient_key.clone(),
            max_patients: exact(catalog.max_patients),
            tables: catalog.tables.iter().map(|table| Table::of(table, catalog)).collect(),
            policy: Policy { thresholds, min_sites: policy.min_sites, max_groups: policy.max_groups },
        }
    }
}

impl Table {
    fn of(table: &catalog::Table, catalog: &catalog::Catalog) -> Self {
        let columns = table.columns.iter().filter(|column| column.allowed);
        Self {
            name: table.name.clone(),
            max_rows: exact(table.max_rows),
            sites: names(&table.sites),
            columns: columns.map(|column| Column::of(column, table, catalog)).collect(),
        }
    }
}

impl Column {
    fn of(column: &catalog::Column, table: &catalog::Table, catalog: &catalog::Catalog) -> Self {
        // What a site keeps to itself is known when it is asked.
        let telling: Vec<_> = table
            .sites
            .iter()
            .filter_map(|site| catalog.policy_of(site))
            .filter(|policy| policy.tell_reasons)
            .collect();
        let allowed =
            |purpose: &Purpose| telling.iter().all(|policy| policy.allows(&table.name, &column.name, *purpose));
        let ends = |ends: Option<(i64, i64)>| ends.map(|(lo, hi)| [lo, hi].map(|end| unscaled(end, column.data_type)));
        Self {
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            domain: column.domain.as_ref().map(|values| values.iter().map(text).collect()),
            range: ends(column.range),
            clamp: ends(column.clamp),
            agree_keys: column.agree_keys,
            quasi_identifier: column.quasi_identifier,
            uses: Purpose::ALL.into_iter().filter(allowed).collect(),
        }
    }
}

fn unscaled(end: i64, data_type: ColumnType) -> String {
    match data_type {
        ColumnType::Decimal { scale, .. } => write_decimal(end.into(), scale),
        _ => end.to_string(),
    }
}

/// Without the quotes of SQL.
fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn names(sites: &[catalog::SiteName]) -> Vec<String> {
    sites.iter().map(|site| site.0.clone()).collect()
}
