//! The catalogue as TOML: types and values spelled as in the network file, columns in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use crate::catalog::{Catalog, Column, ColumnType, Policy, SiteName, Table};
use crate::error::PlanError;
use crate::linkage::Linkage;
use crate::settings::read_value;
use crate::site_policy::SitePolicy;
use crate::value::{Value, write_decimal};

impl Catalog {
    /// Writes the catalogue as TOML.
    ///
    /// # Errors
    /// `BAD_CATALOG` when a domain holds a value that TOML cannot say (an infinite double is the only one).
    pub fn to_toml(&self) -> Result<String, PlanError> {
        let file = CatalogFile {
            sites: self.sites.clone(),
            patient_key: self.patient_key.clone(),
            max_patients: self.max_patients,
            max_events: self.max_events,
            linkage: self.linkage.clone(),
            policy: self.policy.clone(),
            policies: self.policies.clone(),
            table: self.tables.iter().map(TableFile::of).collect(),
        };
        toml::to_string_pretty(&file).map_err(|e| bad(&e.to_string()))
    }

    /// Reads and validates a catalogue.
    ///
    /// # Errors
    /// `BAD_CATALOG` with the place in the text, or the rule that is broken.
    pub fn from_toml(text: &str) -> Result<Catalog, PlanError> {
        let file: CatalogFile = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end()))?;
        let tables = file.table.into_iter().map(TableFile::table).collect::<Result<_, _>>()?;
        let CatalogFile { sites, patient_key, max_patients, max_events, linkage, policy, policies, table: _ } = file;
        let catalog = Catalog { sites, patient_key, max_patients, max_events, tables, linkage, policy, policies };
        catalog.validate()?;
        Ok(catalog)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    sites: Vec<SiteName>,
    patient_key: String,
    max_patients: u64,
    max_events: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    linkage: Option<Linkage>,
    policy: Policy,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    policies: BTreeMap<String, SitePolicy>,
    table: Vec<TableFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    name: String,
    max_rows: u64,
    rows_per_patient: Option<u64>,
    sites: Vec<SiteName>,
    column: Vec<ColumnFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnFile {
    name: String,
    #[serde(rename = "type")]
    data_type: ColumnType,
    domain: Option<Vec<Toml>>,
    /// Unscaled, as in the catalogue.
    range: Option<(i64, i64)>,
    /// Unscaled too.
    clamp: Option<(i64, i64)>,
    agree_keys: bool,
    quasi_identifier: bool,
    allowed: bool,
}

impl TableFile {
    fn of(table: &Table) -> TableFile {
        let column = table.columns.iter().map(ColumnFile::of).collect();
        let Table { name, max_rows, rows_per_patient, sites, .. } = table.clone();
        TableFile { name, max_rows, rows_per_patient, sites, column }
    }

    fn table(self) -> Result<Table, PlanError> {
        let place = self.name.clone();
        let TableFile { name, max_rows, rows_per_patient, sites, column } = self;
        let columns = column.into_iter().map(|c| c.column(&place)).collect::<Result<_, _>>()?;
        Ok(Table { name, columns, max_rows, rows_per_patient, sites })
    }
}

impl ColumnFile {
    fn of(column: &Column) -> ColumnFile {
        ColumnFile {
            name: column.name.clone(),
            data_type: column.data_type,
            domain: column.domain.as_ref().map(|domain| domain.iter().map(write_value).collect()),
            range: column.range,
            clamp: column.clamp,
            agree_keys: column.agree_keys,
            quasi_identifier: column.quasi_identifier,
            allowed: column.allowed,
        }
    }

    fn column(self, table: &str) -> Result<Column, PlanError> {
        let read = |entry: &Toml| {
            read_value(entry, self.data_type).ok_or_else(|| {
                bad(&format!("{table}.{}: {entry} is not a value of type {}", self.name, self.data_type))
            })
        };
        let domain = self.domain.as_ref().map(|d| d.iter().map(read).collect::<Result<_, _>>()).transpose()?;
        Ok(Column {
            name: self.name,
            data_type: self.data_type,
            domain,
            range: self.range,
            clamp: self.clamp,
            agree_keys: self.agree_keys,
            quasi_identifier: self.quasi_identifier,
            allowed: self.allowed,
        })
    }
}

fn write_value(value: &Value) -> Toml {
    match value {
        Value::Bool(b) => Toml::Boolean(*b),
        Value::Int(i) => Toml::Integer(*i),
        Value::Real(bits) => Toml::Float(f64::from_bits(*bits)),
        Value::Decimal(x, scale) => Toml::String(write_decimal(*x, *scale)),
        Value::Text(text) => Toml::String(text.clone()),
        Value::Null | Value::Date(_) | Value::Timestamp(_) => Toml::String(value.to_string()),
    }
}

fn bad(text: &str) -> PlanError {
    PlanError::new("BAD_CATALOG", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linkage::FurtherKeys;
    use crate::released_tables::ReleasedTables;

    fn catalog() -> Catalog {
        let column = |name: &str, data_type: &str, domain: Option<Vec<Value>>| Column {
            name: name.into(),
            data_type: data_type.parse().unwrap(),
            domain,
            range: None,
            clamp: (name == "a").then_some((-1, 1)),
            agree_keys: true,
            quasi_identifier: false,
            allowed: true,
        };
        let columns = vec![
            column("a", "int", Some(vec![Value::Int(-1)])),
            column("b", "real", Some(vec![Value::real(0.5).unwrap(), Value::real(3.0).unwrap()])),
            column("c", "decimal(10,2)", Some(vec![Value::Decimal(-5, 2)])),
            column("d", "date", Some(vec![Value::Date(-1), Value::Date(20_000)])),
            column("e", "timestamp", Some(vec![Value::Timestamp(1_500_000)])),
            column("f", "bool", Some(vec![Value::Bool(true)])),
            column("g", "text", Some(vec![Value::Text("it's".into())])),
            column("h", "text", None),
        ];
        let sites: Vec<SiteName> = vec!["A".into(), "B".into()];
        let table =
            Table { name: "t".into(), columns, max_rows: 1024, rows_per_patient: Some(3), sites: sites.clone() };
        let policy = Policy {
            min_sites: 2,
            min_patients: 1,
            zero_allowed: false,
            flag_extreme_shares: true,
            max_groups: 10,
            link: Default::default(),
            released_tables: ReleasedTables { sensitive: ["t.a".into()].into(), ..ReleasedTables::default() },
        };
        let columns = vec!["h".into()];
        let further_keys = FurtherKeys { patients: 7, each: 1 };
        let digest = "0f".into();
        let linkage = Linkage { digest, table: "t".into(), columns, passes: 2, further_keys: Some(further_keys) };
        Catalog {
            sites,
            patient_key: "id".into(),
            max_patients: 1024,
            max_events: 32,
            tables: vec![table],
            linkage: Some(linkage),
            policy,
            policies: BTreeMap::from([("A".into(), SitePolicy::default()), ("B".into(), SitePolicy::open())]),
        }
    }

    #[test]
    fn a_catalogue_comes_back_from_toml_with_the_same_digest() {
        let text = catalog().to_toml().unwrap();
        assert_eq!(Catalog::from_toml(&text).unwrap().digest(), catalog().digest(), "{text}");
    }

    #[test]
    fn unknown_keys_and_broken_rules_are_refused() {
        let text = catalog().to_toml().unwrap();
        assert_eq!(Catalog::from_toml(&format!("colour = 1\n{text}")).unwrap_err().code, "BAD_CATALOG");
        assert_eq!(Catalog::from_toml(&text.replace("1024", "0")).unwrap_err().code, "BAD_CATALOG");
        let too_many = text.replace("each = 1", "each = 4000000");
        assert!(Catalog::from_toml(&too_many).unwrap_err().to_string().contains("further_keys"));
        let asks = text.replace("k_anonymous = 1", "k_anonymous = 2");
        assert!(Catalog::from_toml(&asks).unwrap_err().to_string().contains("min_patients"), "{asks}");
        let unknown = text.replace("t.a", "t.zz");
        assert!(Catalog::from_toml(&unknown).unwrap_err().to_string().contains("t.zz"), "{unknown}");
    }
}
