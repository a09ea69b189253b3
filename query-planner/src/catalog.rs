//! The catalogue every site publishes: tables, columns, declared domains and ranges, and the joint policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::merge::{InferredType, SiteSchema, SiteTableSchema, merge};
pub use crate::settings::Settings;

use crate::error::PlanError;
use crate::linkage::{FurtherKeys, Linkage};
use crate::released_tables::ReleasedTables;
use crate::site_policy::SitePolicy;
use crate::value::Value;

/// The name of a site: letters, digits, `_` and `-`, at most 63 bytes, compared without case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteName(pub String);

/// What all sites agree on. Its digest enters the session id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// In the order of the network file; a site's position is its party number.
    pub sites: Vec<SiteName>,
    /// The column that identifies a patient in every table that has it.
    pub patient_key: String,
    /// Public bound on the patients of one site.
    pub max_patients: u64,
    /// Most rows of one patient at one site where they are ordered by a date or number; a site that has more refuses.
    pub max_events: u32,
    /// Sorted by name.
    pub tables: Vec<Table>,
    /// How patients are found at several sites; by the patient key's value where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linkage: Option<Linkage>,
    /// The joint policy (the strictest site wins).
    pub policy: Policy,
    /// What sites publish of their own policies, by the name in `sites`; one that is absent allows everything as far as others
    /// know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, SitePolicy>,
}

/// A table: the union of the sites' tables of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// As written in SQL, compared without case.
    pub name: String,
    /// In file order.
    pub columns: Vec<Column>,
    /// Public bound on the rows of one site.
    pub max_rows: u64,
    /// Where an answer is noised, each site keeps so many rows of a patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_patient: Option<u64>,
    /// The sites that hold it.
    pub sites: Vec<SiteName>,
}

/// A column and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// As written in SQL, compared without case.
    pub name: String,
    /// Declared or (sandbox) inferred and compared between the sites.
    pub data_type: ColumnType,
    /// The declared public domain, if any (without NULL).
    pub domain: Option<Vec<Value>>,
    /// The declared closed range of an integer or decimal column, unscaled.
    pub range: Option<(i64, i64)>,
    /// What every site reads a value outside as the nearest of: a closed range, unscaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamp: Option<(i64, i64)>,
    /// May a query agree the union of this column's values as group keys?
    pub agree_keys: bool,
    /// May not be agreed as a group key nor compared with a constant.
    pub quasi_identifier: bool,
    /// May the column be used at all?
    pub allowed: bool,
}

/// Types a column can be declared with.
///
/// Spelled `int`, `real`, `decimal(10,2)`, `date`, `timestamp`, `bool`, `text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// 64-bit integer.
    Int,
    /// Double.
    Real,
    /// Exact decimal.
    Decimal {
        /// Total digits, at most 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// Calendar day.
    Date,
    /// Microseconds without a zone.
    Timestamp,
    /// Truth value.
    Bool,
    /// UTF-8 text.
    Text,
}

/// The joint policy of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Fewer sites than this cannot run a query.
    pub min_sites: u32,
    /// Smallest cell that may be released; 1 releases every cell.
    pub min_patients: u32,
    /// May a cell of exactly zero be shown although `min_patients` is above 1?
    pub zero_allowed: bool,
    /// Say so where an answer shows that all or none of a group have something?
    pub flag_extreme_shares: bool,
    /// Most groups a query may have.
    pub max_groups: u32,
    /// What connects the sites.
    pub link: Link,
    /// What tables with group keys must be to be shown.
    #[serde(default, skip_serializing_if = "ReleasedTables::is_silent")]
    pub released_tables: ReleasedTables,
}

/// The kind of network between the sites: decides how work on shares is done, not what it gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Rounds and bytes are cheap.
    #[default]
    Local,
    /// Rounds are dear: sites far apart.
    Far,
    /// Rounds are dear and bandwidth is below about 30 MB/s.
    Narrow,
}

impl Link {
    /// What is done for such a network, for a steward to read.
    pub fn words(self) -> &'static str {
        match self {
            Link::Local => "oblivious transfer by SoftSpoken, carries bit by bit (for a local network)",
            Link::Far => "oblivious transfer by SoftSpoken, carries in logarithmic depth (for distant sites)",
            Link::Narrow => {
                "silent oblivious transfer (expand-convolute code 7×24), carries in logarithmic depth (for narrow links)"
            }
        }
    }
}

impl Policy {
    /// Must small cells be hidden?
    pub fn hides(&self) -> bool {
        self.min_patients > 1
    }
}

impl Catalog {
    /// SHA-256 of the catalogue's canonical bytes.
    pub fn digest(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(self).expect("a catalogue has no maps with keys that are not text");
        Sha256::new().chain_update(b"consilium catalog v1\0").chain_update(bytes).finalize().into()
    }

    /// The table of that name, compared without case.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name.eq_ignore_ascii_case(name))
    }

    /// What a site publishes of its policy, if it does.
    pub fn policy_of(&self, site: &SiteName) -> Option<&SitePolicy> {
        self.policies.iter().find(|(name, _)| name.eq_ignore_ascii_case(&site.0)).map(|(_, policy)| policy)
    }

    /// Ways to find a patient of another site.
    pub fn passes(&self) -> u32 {
        self.linkage.as_ref().map_or(1, |linkage| linkage.passes)
    }

    /// Patients of a site with several keys in a pass, at most; none where nobody has any.
    pub fn further_keys(&self) -> Option<FurtherKeys> {
        let declared = self.linkage.as_ref()?.further_keys?;
        Some(declared.among(self.max_patients))
    }

    /// Is this column the patient key?
    pub fn is_patient_key(&self, column: &str) -> bool {
        self.patient_key.eq_ignore_ascii_case(column)
    }

    /// Refuses a catalogue that contradicts itself.
    ///
    /// # Errors
    /// `BAD_CATALOG`, naming the site, table or column and the rule.
    pub fn validate(&self) -> Result<(), PlanError> {
        let bad = |text: String| Err(PlanError::new("BAD_CATALOG", text));
        if !(2..=MAX_SITES).contains(&self.sites.len()) {
            return bad(format!("a network has 2 to {MAX_SITES} sites, not {}", self.sites.len()));
        }
        if let Some(site) = self.sites.iter().find(|s| !s.is_valid()) {
            return bad(format!("'{site}' is not a site name: letters, digits, _ and -, at most 63 bytes"));
        }
        if let Some(name) = repeated(self.sites.iter().map(|s| s.0.as_str())) {
            return bad(format!("site '{name}' appears twice"));
        }
        if let Some(name) = repeated(self.tables.iter().map(|t| t.name.as_str())) {
            return bad(format!("table '{name}' appears twice"));
        }
        if let Some(name) = self.policies.keys().find(|name| !self.sites.iter().any(|site| site.0 == **name)) {
            return bad(format!("'{name}' has a policy and is not a site of this network"));
        }
        if self.policy.released_tables.asks() && !self.policy.hides() {
            return bad("released_tables hide cells, for which min_patients is at least 2".into());
        }
        if let Some(column) = self.policy.released_tables.unknown_column(self) {
            return bad(format!("released_tables.sensitive: '{column}' is a column of no table"));
        }
        if let Some(further) = self.further_keys() {
            let keys = further.patients.saturating_mul(further.each).saturating_add(self.max_patients);
            if keys > MAX_KEYS {
                return bad(format!(
                    "max_patients and the further_keys of the linkage file are {keys} keys, at most {MAX_KEYS} can be matched"
                ));
            }
        }
        self.tables.iter().try_for_each(|table| table.validate(&self.sites))
    }
}

/// Of one site in one pass.
const MAX_KEYS: u64 = 1 << 22;

impl Table {
    /// Does that site hold the table?
    pub fn held_by(&self, site: &SiteName) -> bool {
        self.sites.iter().any(|s| s.same(site))
    }

    fn validate(&self, sites: &[SiteName]) -> Result<(), PlanError> {
        let bad = |text: String| Err(PlanError::new("BAD_CATALOG", format!("table {}: {text}", self.name)));
        if self.name.is_empty() || self.columns.is_empty() {
            return bad("a table has a name and at least one column".into());
        }
        if self.sites.is_empty() {
            return bad("no site holds it".into());
        }
        if let Some(site) = self.sites.iter().find(|s| !sites.iter().any(|known| known.same(s))) {
            return bad(format!("'{site}' is not a site of this network"));
        }
        if let Some(name) = repeated(self.sites.iter().map(|s| s.0.as_str())) {
            return bad(format!("site '{name}' appears twice"));
        }
        if let Some(name) = repeated(self.columns.iter().map(|c| c.name.as_str())) {
            return bad(format!("column '{name}' appears twice"));
        }
        if !(1..=MAX_ROWS).contains(&self.max_rows) {
            return bad(format!("max_rows is 1 to {MAX_ROWS}"));
        }
        if self.rows_per_patient.is_some_and(|rows| !(1..=MAX_ROWS_PER_PATIENT).contains(&rows)) {
            return bad(format!("rows_per_patient is 1 to {MAX_ROWS_PER_PATIENT}"));
        }
        self.columns.iter().try_for_each(|column| column.validate().or_else(&bad))
    }
}

impl Column {
    fn validate(&self) -> Result<(), String> {
        let name = &self.name;
        if name.is_empty() {
            return Err("a column has no name".into());
        }
        if let ColumnType::Decimal { precision, scale } = self.data_type
            && (!(1..=38).contains(&precision) || !(0..=38).contains(&scale) || scale.unsigned_abs() > precision)
        {
            return Err(format!("{name}: a decimal has 1 to 38 digits, and no more after the point"));
        }
        if let Some(domain) = &self.domain {
            if let Some(value) = domain.iter().find(|v| !self.data_type.admits(v)) {
                return Err(format!("{name}: {value} in its domain is not of type {}", self.data_type));
            }
            if domain.iter().collect::<BTreeSet<_>>().len() != domain.len() {
                return Err(format!("{name}: a value appears twice in its domain"));
            }
        }
        if self.clamp.is_some_and(|(lo, hi)| lo > hi || !self.data_type.is_exact_number()) {
            return Err(format!("{name}: a clamp is a range of an int or decimal column"));
        }
        match self.range {
            Some((lo, hi)) if lo > hi => Err(format!("{name}: its range is empty")),
            Some(_) if !self.data_type.is_exact_number() => {
                Err(format!("{name}: only int and decimal columns have a range"))
            }
            _ => Ok(()),
        }
    }
}

impl SiteName {
    /// Are these the same site (names are compared without case)?
    pub fn same(&self, other: &SiteName) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Letters, digits, `_` and `-`, 1 to 63 bytes, and not the word that means all sites.
    pub fn is_valid(&self) -> bool {
        let plain = self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        plain && (1..=63).contains(&self.0.len()) && !self.0.eq_ignore_ascii_case("network")
    }
}

impl ColumnType {
    /// Is `value` a value of this type (NULL is of none: a domain does not list it)?
    pub fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (ColumnType::Int, Value::Int(_))
            | (ColumnType::Real, Value::Real(_))
            | (ColumnType::Date, Value::Date(_))
            | (ColumnType::Timestamp, Value::Timestamp(_))
            | (ColumnType::Bool, Value::Bool(_))
            | (ColumnType::Text, Value::Text(_)) => true,
            (ColumnType::Decimal { scale, .. }, Value::Decimal(_, s)) => scale == *s,
            _ => false,
        }
    }

    fn is_exact_number(self) -> bool {
        matches!(self, ColumnType::Int | ColumnType::Decimal { .. })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Int => f.write_str("int"),
            ColumnType::Real => f.write_str("real"),
            ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Bool => f.write_str("bool"),
            ColumnType::Text => f.write_str("text"),
        }
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.trim().to_lowercase();
        Ok(match word.as_str() {
            "int" => ColumnType::Int,
            "real" => ColumnType::Real,
            "date" => ColumnType::Date,
            "timestamp" => ColumnType::Timestamp,
            "bool" => ColumnType::Bool,
            "text" => ColumnType::Text,
            other => decimal_type(other).ok_or_else(|| {
                format!("'{text}' is not a type: int, real, decimal(p,s), date, timestamp, bool, text")
            })?,
        })
    }
}

fn decimal_type(word: &str) -> Option<ColumnType> {
    let (precision, scale) = word.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    Some(ColumnType::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? })
}

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ColumnType> for String {
    fn from(column: ColumnType) -> String {
        column.to_string()
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for SiteName {
    fn from(name: &str) -> Self {
        SiteName(name.to_owned())
    }
}

/// The first name that appears a second time, compared without case.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(name.to_lowercase()))
}

/// Most sites of a network: what the protocols are designed and measured for.
pub const MAX_SITES: usize = 20;

/// Most rows a table may declare: 2^40, so that counts and sums of counts stay far inside 63 bits.
pub const MAX_ROWS: u64 = 1 << 40;

/// Most rows of one patient that a table may declare: more would make noise that drowns every figure.
pub const MAX_ROWS_PER_PATIENT: u64 = 1 << 16;
