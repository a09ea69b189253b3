//! One catalogue from what each site says about its own files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Column, ColumnType, SiteName, Table};
use crate::error::{PlanError, nearest};
use crate::linkage::Linkage;
use crate::settings::{ColumnSettings, Settings, TableSettings};
use crate::site_policy::{Clamp, SitePolicy};

/// What one site says about its own tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSchema {
    /// In any order.
    pub tables: Vec<SiteTableSchema>,
    /// A bound on its distinct patients, already rounded up ([`row_bound`]) so that the true count stays at the site.
    pub patients: u64,
}

/// One table of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteTableSchema {
    /// The file's stem.
    pub name: String,
    /// Names and types, in file order.
    pub columns: Vec<(String, InferredType)>,
    /// A bound on its rows, already rounded up ([`row_bound`]) so that the true count stays at the site.
    pub rows: u64,
}

/// What a site can tell about a column from its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InferredType {
    /// Every value is NULL: any type fits.
    Empty,
    /// The narrowest type that holds every value.
    Typed(ColumnType),
}

/// The bound a site publishes for its row count: the next power of two, at least 1024.
pub fn row_bound(rows: u64) -> u64 {
    rows.checked_next_power_of_two().unwrap_or(u64::MAX).max(1024)
}

/// Makes the catalogue all sites agree on. `sites` is in party order.
///
/// # Errors
/// `SCHEMA_DIFFERS` with every difference on a line; `BAD_SETTINGS` for declarations about what does not exist or does
/// not fit; `BAD_CATALOG` for names that clash.
pub fn merge(sites: &[(SiteName, SiteSchema)], settings: &Settings) -> Result<Catalog, PlanError> {
    if let Some(linkage) = &settings.linkage {
        let text = format!("the network declares the linkage file '{}', which was not read", linkage.file);
        return Err(PlanError::new("BAD_SETTINGS", text));
    }
    merge_all(sites, settings, None)
}

/// [`merge`] for sites that link their patients.
///
/// # Errors
/// As [`merge`]; `SCHEMA_DIFFERS` also where a site with the table lacks a column that identifies.
pub fn merge_linked(
    sites: &[(SiteName, SiteSchema)],
    settings: &Settings,
    linkage: Linkage,
) -> Result<Catalog, PlanError> {
    let settings = settings.clone().with_identifiers(&linkage);
    merge_all(sites, &settings, Some(linkage))
}

fn merge_all(
    sites: &[(SiteName, SiteSchema)],
    settings: &Settings,
    linkage: Option<Linkage>,
) -> Result<Catalog, PlanError> {
    let settings = &settings.with_profile(sites.iter().map(|(_, schema)| schema));
    let mut differences = Vec::new();
    let mut tables = Vec::new();
    for (key, holders) in holders(sites)? {
        let declared = settings.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)).map(|(_, t)| t);
        tables.push(merge_table(&holders, declared, settings, &mut differences)?);
    }
    check_names(&tables, settings)?;
    check_sites(sites, settings)?;
    if !differences.is_empty() {
        let text = format!("the sites' tables do not match:\n{}", differences.join("\n"));
        return Err(
            PlanError::new("SCHEMA_DIFFERS", text).hint("correct the files, or declare the type in network.toml")
        );
    }
    let catalog = Catalog {
        sites: sites.iter().map(|(name, _)| name.clone()).collect(),
        patient_key: settings.patient_key.clone(),
        max_patients: settings.max_patients.unwrap_or_else(|| most_patients(sites)),
        max_events: settings.max_events,
        tables,
        linkage,
        policy: settings.policy(),
        policies: policies(sites, settings),
    };
    catalog.validate()?;
    Ok(catalog)
}

/// What each site publishes, under the name it has here.
fn policies(sites: &[(SiteName, SiteSchema)], settings: &Settings) -> BTreeMap<String, SitePolicy> {
    let of = |site: &SiteName| settings.sites.iter().find(|(name, _)| name.eq_ignore_ascii_case(&site.0));
    sites.iter().filter_map(|(site, _)| Some((site.0.clone(), of(site)?.1.published()))).collect()
}

fn most_patients(sites: &[(SiteName, SiteSchema)]) -> u64 {
    sites.iter().map(|(_, schema)| schema.patients).max().unwrap_or(0).max(1)
}

type Holders<'a> = Vec<(&'a SiteName, &'a SiteTableSchema)>;

/// The sites that hold each table, by its lower-case name.
fn holders(sites: &[(SiteName, SiteSchema)]) -> Result<BTreeMap<String, Holders<'_>>, PlanError> {
    let mut map: BTreeMap<String, Holders<'_>> = BTreeMap::new();
    for (site, schema) in sites {
        for table in &schema.tables {
            let list = map.entry(table.name.to_lowercase()).or_default();
            if list.iter().any(|(other, _)| *other == site) {
                let text = format!("{site} has two tables named '{}' (names are compared without case)", table.name);
                return Err(PlanError::new("BAD_CATALOG", text));
            }
            list.push((site, table));
        }
    }
    Ok(map)
}

fn merge_table(
    holders: &Holders<'_>,
    declared: Option<&TableSettings>,
    settings: &Settings,
    differences: &mut Vec<String>,
) -> Result<Table, PlanError> {
    let (_, first) = holders[0];
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in holders.iter().flat_map(|(_, table)| &table.columns) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    let mut columns = Vec::new();
    for name in names {
        let said = declared.and_then(|t| t.columns.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))).map(|(_, c)| c);
        let types: Vec<_> = holders.iter().map(|(site, table)| (*site, find(table, name))).collect();
        let place = format!("{}.{name}", first.name);
        let data_type = merge_types(&types, said.and_then(|c| c.data_type)).unwrap_or_else(|| {
            differences.push(describe(&place, &types));
            ColumnType::Text
        });
        let clamps = holders.iter().filter_map(|(site, _)| Some((*site, clamp(site, &first.name, name, settings)?)));
        let clamp = narrowest(clamps, data_type, &place)?;
        if clamp.is_some() && name.eq_ignore_ascii_case(&settings.patient_key) {
            // It would make one patient of several.
            return Err(PlanError::new("BAD_SETTINGS", format!("{place} identifies patients: it has no clamp")));
        }
        columns.push(Column { clamp, ..column(name, data_type, said, settings, &place)? });
    }
    let reported = holders.iter().map(|(_, table)| table.rows).max().unwrap_or(0);
    Ok(Table {
        name: first.name.clone(),
        columns,
        max_rows: declared.and_then(|t| t.max_rows).unwrap_or_else(|| row_bound(reported)),
        rows_per_patient: declared.and_then(|t| t.rows_per_patient),
        sites: holders.iter().map(|(site, _)| (*site).clone()).collect(),
    })
}

fn find(table: &SiteTableSchema, name: &str) -> Option<InferredType> {
    table.columns.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, t)| *t)
}

/// The one type for all sites, or none when they differ.
fn merge_types(types: &[(&SiteName, Option<InferredType>)], declared: Option<ColumnType>) -> Option<ColumnType> {
    let present: Vec<InferredType> = types.iter().map(|(_, t)| *t).collect::<Option<_>>()?;
    if declared.is_some() {
        return declared;
    }
    let merged = present.into_iter().try_fold(InferredType::Empty, unify)?;
    match merged {
        InferredType::Typed(column) => Some(column),
        InferredType::Empty => Some(ColumnType::Real),
    }
}

fn unify(a: InferredType, b: InferredType) -> Option<InferredType> {
    use ColumnType::{Int, Real};
    use InferredType::{Empty, Typed};
    match (a, b) {
        (Empty, other) | (other, Empty) => Some(other),
        (Typed(a), Typed(b)) if a == b => Some(Typed(a)),
        (Typed(Int), Typed(Real)) | (Typed(Real), Typed(Int)) => Some(Typed(Real)),
        _ => None,
    }
}

fn describe(place: &str, types: &[(&SiteName, Option<InferredType>)]) -> String {
    let each: Vec<String> = types
        .iter()
        .map(|(site, t)| format!("{site}: {}", t.map_or_else(|| "missing".to_owned(), String::from)))
        .collect();
    format!("  {place}: {}", each.join(", "))
}

/// What a site says about how far a column's values go.
fn clamp<'s>(site: &SiteName, table: &str, column: &str, settings: &'s Settings) -> Option<&'s Clamp> {
    let policy = settings.sites.iter().find(|(name, _)| name.eq_ignore_ascii_case(&site.0)).map(|(_, policy)| policy);
    policy?.column(table, column)?.clamp.as_ref()
}

/// What all clamps of a column have in common.
fn narrowest<'s>(
    clamps: impl Iterator<Item = (&'s SiteName, &'s Clamp)>,
    data_type: ColumnType,
    place: &str,
) -> Result<Option<(i64, i64)>, PlanError> {
    let mut narrowest: Option<(i64, i64)> = None;
    for (site, clamp) in clamps {
        let (lo, hi) = clamp.bounds(data_type).ok_or_else(|| {
            let text =
                format!("{site} clamps {place} to {clamp}, which is no range of type {data_type} (int or decimal)");
            PlanError::new("BAD_SETTINGS", text)
        })?;
        let (lo, hi) = narrowest.map_or((lo, hi), |(a, b)| (a.max(lo), b.min(hi)));
        if lo > hi {
            return Err(PlanError::new("BAD_SETTINGS", format!("the sites' clamps of {place} have nothing in common")));
        }
        narrowest = Some((lo, hi));
    }
    Ok(narrowest)
}

fn column(
    name: &str,
    data_type: ColumnType,
    said: Option<&ColumnSettings>,
    settings: &Settings,
    place: &str,
) -> Result<Column, PlanError> {
    let is_key = settings.patient_key.eq_ignore_ascii_case(name);
    let domain = said.map(|c| c.domain_of(data_type, place)).transpose()?.flatten();
    let range = said.map(|c| c.range_of(data_type, place)).transpose()?.flatten();
    Ok(Column {
        name: name.to_owned(),
        data_type,
        domain,
        range,
        clamp: None,
        agree_keys: said.and_then(|c| c.agree_keys).unwrap_or(!is_key),
        quasi_identifier: said.and_then(|c| c.quasi_identifier).unwrap_or(false),
        allowed: said.and_then(|c| c.allowed).unwrap_or(true),
    })
}

/// A declaration about a table or column that no site has is a slip of the pen, and would silently do nothing.
fn check_names(tables: &[Table], settings: &Settings) -> Result<(), PlanError> {
    let key = settings.patient_key.as_str();
    let columns = || tables.iter().flat_map(|t| &t.columns).map(|c| c.name.as_str());
    // Without its column nothing would protect the patients; the default key may be absent from data without patients.
    if key != Settings::default().patient_key && !columns().any(|name| name.eq_ignore_ascii_case(key)) {
        return Err(no_such("patient key", key, nearest(key, columns())));
    }
    for (name, declared) in &settings.tables {
        let Some(table) = tables.iter().find(|t| t.name.eq_ignore_ascii_case(name)) else {
            return Err(no_such("table", name, nearest(name, tables.iter().map(|t| t.name.as_str()))));
        };
        let has = |column: &str| table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(column));
        if let Some(column) = declared.columns.keys().find(|c| !has(c)) {
            let near = nearest(column, table.columns.iter().map(|c| c.name.as_str()));
            return Err(no_such("column", &format!("{name}.{column}"), near));
        }
    }
    Ok(())
}

/// A site's own rules must be some site's: a slip in its name would silently drop them.
fn check_sites(sites: &[(SiteName, SiteSchema)], settings: &Settings) -> Result<(), PlanError> {
    let names = || sites.iter().map(|(name, _)| name.0.as_str());
    match settings.sites.keys().find(|key| !names().any(|name| name.eq_ignore_ascii_case(key))) {
        Some(key) => Err(no_such("site", key, nearest(key, names()))),
        None => Ok(()),
    }
}

fn no_such(kind: &str, name: &str, near: Option<String>) -> PlanError {
    let error = PlanError::new("BAD_SETTINGS", format!("the settings name the {kind} '{name}', which is not there"));
    match near {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    }
}

impl TryFrom<String> for InferredType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "empty" { Ok(InferredType::Empty) } else { text.parse().map(InferredType::Typed) }
    }
}

impl From<InferredType> for String {
    fn from(inferred: InferredType) -> String {
        match inferred {
            InferredType::Empty => "empty".to_owned(),
            InferredType::Typed(column) => column.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: InferredType = InferredType::Typed(ColumnType::Int);
    const REAL: InferredType = InferredType::Typed(ColumnType::Real);
    const TEXT: InferredType = InferredType::Typed(ColumnType::Text);

    fn site(name: &str, table: &str, columns: &[(&str, InferredType)], rows: u64) -> (SiteName, SiteSchema) {
        let columns = columns.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect();
        let table = SiteTableSchema { name: table.to_owned(), columns, rows };
        (name.into(), SiteSchema { tables: vec![table], patients: 1024 })
    }

    #[test]
    fn empty_unifies_with_anything_and_int_widens_to_real() {
        let empty = InferredType::Empty;
        let sites = [
            site("A", "lab", &[("id", INT), ("value", INT), ("unit", empty), ("note", empty)], 10),
            site("B", "LAB", &[("ID", INT), ("value", REAL), ("unit", TEXT), ("note", empty)], 3000),
        ];
        let catalog = merge(&sites, &Settings::default()).unwrap();
        let types: Vec<String> = catalog.tables[0].columns.iter().map(|c| c.data_type.to_string()).collect();
        assert_eq!(types, ["int", "real", "text", "real"]);
        assert_eq!(catalog.tables[0].max_rows, 4096);
    }

    #[test]
    fn differences_are_all_listed_with_their_sites() {
        let sites = [site("A", "t", &[("x", INT), ("y", INT)], 1), site("B", "t", &[("x", TEXT)], 1)];
        let error = merge(&sites, &Settings::default()).unwrap_err();
        assert_eq!(error.code, "SCHEMA_DIFFERS");
        assert!(error.message.contains("t.x: A: int, B: text"), "{error}");
        assert!(error.message.contains("t.y: A: int, B: missing"), "{error}");
    }

    #[test]
    fn a_declared_type_settles_a_difference() {
        let sites = [site("A", "t", &[("x", INT)], 1), site("B", "t", &[("x", TEXT)], 1)];
        let settings = Settings::from_toml("[tables.t.columns.x]\ntype = \"text\"\ndomain = [\"1\"]").unwrap();
        let catalog = merge(&sites, &settings).unwrap();
        assert_eq!(catalog.tables[0].columns[0].data_type, ColumnType::Text);
    }

    #[test]
    fn a_table_may_be_absent_at_a_site() {
        let sites = [site("A", "t", &[("x", INT)], 1), site("B", "u", &[("x", INT)], 1)];
        let catalog = merge(&sites, &Settings::default()).unwrap();
        assert_eq!(catalog.table("T").unwrap().sites, [SiteName::from("A")]);
    }

    #[test]
    fn settings_about_nothing_are_refused() {
        let sites = [site("A", "person", &[("sex", INT)], 1), site("B", "person", &[("sex", INT)], 1)];
        for text in ["[tables.persons]\nmax_rows = 5", "[tables.person.columns.sexx]\nallowed = false"] {
            let error = merge(&sites, &Settings::from_toml(text).unwrap()).unwrap_err();
            assert_eq!(error.code, "BAD_SETTINGS");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn a_misspelt_patient_key_is_refused() {
        let sites = [site("A", "t", &[("nhs_number", INT)], 1), site("B", "t", &[("nhs_number", INT)], 1)];
        let error = merge(&sites, &Settings::from_toml("patient_key = \"nhs_nmber\"").unwrap()).unwrap_err();
        assert_eq!((error.code, error.hint.as_deref()), ("BAD_SETTINGS", Some("did you mean 'nhs_number'?")));
        assert!(merge(&sites, &Settings::from_toml("patient_key = \"NHS_Number\"").unwrap()).is_ok());
    }

    #[test]
    fn the_patient_key_is_never_agreed_as_a_group() {
        let sites = [site("A", "t", &[("person_id", INT)], 1), site("B", "t", &[("person_id", INT)], 1)];
        assert!(!merge(&sites, &Settings::default()).unwrap().tables[0].columns[0].agree_keys);
    }
}
