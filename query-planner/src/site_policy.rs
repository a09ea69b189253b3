//! What one site allows: uses of its columns, classes of questions, analysts, and the numbers it asks for. Nothing that
//! is not written down is allowed.

mod columns;
mod privacy;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table as TomlTable, Value as Toml};

pub use columns::{Clamp, ColumnGrant};
pub use privacy::Privacy;
pub use words::{Class, Purpose};

use crate::catalog::MAX_SITES;
use crate::error::PlanError;
use crate::released_tables::{self, ReleasedTables};
use crate::settings::{MAX_GROUPS, MAX_MIN_PATIENTS, MAX_PATIENTS};
use crate::toml_keys::{Unknown, known, members, place};

/// The smallest cell, in patients, that a new policy lets out.
pub const LEAST_PATIENTS: u32 = 11;

/// A site's policy. The default allows nothing, and asks for no number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SitePolicy {
    /// Every use of every column, and every class but `intersection`, which must be named: what else `classes` and `columns` list is not
    /// asked.
    pub allow_all: bool,
    /// The classes a question may have; it may have several.
    pub classes: BTreeSet<Class>,
    /// Who may ask; every analyst of the study where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysts: Option<BTreeSet<String>>,
    /// `false`: a refusal says only which site refuses, and what is published does not say why.
    pub tell_reasons: bool,
    /// Smallest cell that may be released, in patients of all sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_patients: Option<u32>,
    /// Fewer sites than this cannot run a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_sites: Option<u32>,
    /// `false`: no zero may be shown, whatever the network says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_allowed: Option<bool>,
    /// `true`: extreme shares are flagged, whatever the network says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag_extreme_shares: Option<bool>,
    /// Most groups a query may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_groups: Option<u32>,
    /// Does an approval by hand take two persons?
    #[serde(skip_serializing_if = "is_default")]
    pub two_persons: bool,
    /// Who approves by hand, and the SHA-256 of each one's own public key. Whoever holds the site's key where nobody is listed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stewards: BTreeMap<String, String>,
    /// What each column may be used for, by table and column, in lower case.
    pub columns: BTreeMap<String, BTreeMap<String, ColumnGrant>>,
    /// Sets of patients that are matched.
    #[serde(skip_serializing_if = "is_default")]
    pub matching: MatchedSets,
    /// `true`: answers in one study alone of those that share a table, because answers of different studies are not compared.
    #[serde(skip_serializing_if = "is_default")]
    pub one_ledger: bool,
    /// What tables with group keys must be to be shown.
    #[serde(skip_serializing_if = "is_default")]
    pub released_tables: ReleasedTables,
    /// Most answers in a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub releases: Option<Limit>,
    /// Most refusals in a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusals: Option<Limit>,
    /// The patients who are left out of everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out: Option<OptOut>,
    /// What is approved without a person: the first rule that fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approve: Vec<ApprovalRule>,
    /// The budget of noisy answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
}

/// Bounds on a site's own set of patients where it is matched with others'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchedSets {
    /// The smallest that may be matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_patients: Option<u64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_patients: Option<u64>,
}

/// At most so many in so many days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many of one analyst in one study.
    pub most: u32,
    /// How many in all; four times as many where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// The period.
    pub days: u32,
}

/// Where the list of patients who opted out is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptOut {
    /// Beside the policy file: one column, named as the patient key, or the identifiers of the linkage.
    pub file: String,
}

/// Questions that are approved by rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Every class of the question must be among these.
    pub classes: BTreeSet<Class>,
    /// The analyst must be among these; any analyst where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysts: Option<BTreeSet<String>>,
}

impl Default for SitePolicy {
    fn default() -> Self {
        SitePolicy {
            allow_all: false,
            classes: BTreeSet::new(),
            analysts: None,
            tell_reasons: true,
            min_patients: None,
            min_sites: None,
            zero_allowed: None,
            flag_extreme_shares: None,
            max_groups: None,
            two_persons: false,
            stewards: BTreeMap::new(),
            columns: BTreeMap::new(),
            matching: MatchedSets::default(),
            one_ledger: false,
            released_tables: ReleasedTables::default(),
            releases: None,
            refusals: None,
            opt_out: None,
            approve: Vec::new(),
            privacy: None,
        }
    }
}

impl SitePolicy {
    /// Allows everything and asks for nothing: a site of a sandbox without a policy file.
    pub fn open() -> SitePolicy {
        SitePolicy { allow_all: true, ..SitePolicy::default() }
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// `BAD_POLICY` with line and column; for an unknown key, class or purpose with the one that was probably meant.
    pub fn from_toml(text: &str) -> Result<SitePolicy, PlanError> {
        let spelled = |e: toml::de::Error| bad(e.to_string().trim_end());
        let table: TomlTable = toml::from_str(text).map_err(spelled)?;
        known_keys(&table, &[]).map_err(|unknown| unknown.refusal_in(text, CODE))?;
        let policy: SitePolicy = toml::from_str(text).map_err(spelled)?;
        policy.normal().map_err(|(path, rule)| bad(&format!("{}{rule}", place(text, &path))))
    }

    /// Writes it as a policy file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a policy holds texts, numbers and truth values under keys that are texts")
    }

    /// What the other sites know of it: what they need to plan, and the reasons of refusals they may be told. Approval,
    /// limits, the opt-out list and budgets stay at the site; that there is a budget does not.
    pub fn published(&self) -> SitePolicy {
        let (approve, releases, refusals, opt_out) = (Vec::new(), None, None, None);
        let privacy = self.privacy.as_ref().map(Privacy::published);
        let (known, stewards) = (self.clone(), BTreeMap::new());
        let one_ledger = false;
        let known = SitePolicy {
            two_persons: false,
            stewards,
            one_ledger,
            approve,
            releases,
            refusals,
            opt_out,
            privacy,
            ..known
        };
        if self.tell_reasons {
            return known;
        }
        let matching = MatchedSets::default();
        let columns = only_clamps(known.columns);
        // Whether it grants an intersection, the site says when it is asked.
        let classes = BTreeSet::from([Class::Intersection]);
        SitePolicy { allow_all: true, classes, analysts: None, columns, matching, ..known }
    }

    /// The same with the strictest numbers of both.
    pub(crate) fn with_numbers_of(self, other: &SitePolicy) -> SitePolicy {
        let either =
            |a: Option<u32>, b: Option<u32>, strictest: fn(u32, u32) -> u32| a.into_iter().chain(b).reduce(strictest);
        SitePolicy {
            min_patients: either(self.min_patients, other.min_patients, u32::max),
            min_sites: either(self.min_sites, other.min_sites, u32::max),
            max_groups: either(self.max_groups, other.max_groups, u32::min),
            zero_allowed: self.zero_allowed.into_iter().chain(other.zero_allowed).reduce(|a, b| a && b),
            flag_extreme_shares: self
                .flag_extreme_shares
                .into_iter()
                .chain(other.flag_extreme_shares)
                .reduce(|a, b| a || b),
            released_tables: self.released_tables.strictest(&other.released_tables),
            privacy: match self.privacy {
                Some(privacy) => Some(privacy.with_numbers_of(other.privacy.as_ref())),
                None => other.privacy.as_ref().map(Privacy::published),
            },
            ..self
        }
    }

    /// SHA-256 of the policy, independent of the file's layout.
    pub fn digest(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(self).expect("a policy has string keys only");
        Sha256::new().chain_update(b"consilium site policy v1\0").chain_update(bytes).finalize().into()
    }

    /// What a column may be used for, names compared without case.
    pub fn column(&self, table: &str, column: &str) -> Option<&ColumnGrant> {
        self.columns.get(&table.to_lowercase())?.get(&column.to_lowercase())
    }

    /// May the column be used for this?
    pub fn allows(&self, table: &str, column: &str, purpose: Purpose) -> bool {
        self.allow_all || self.column(table, column).is_some_and(|grant| grant.uses.contains(&purpose))
    }

    /// May the table be read at all? A table that is listed may, also without any of its columns: its rows can be counted.
    pub fn allows_table(&self, table: &str) -> bool {
        self.allow_all || self.columns.contains_key(&table.to_lowercase())
    }

    /// May a question be of this class?
    pub fn allows_class(&self, class: Class) -> bool {
        self.allow_all && class != Class::Intersection || self.classes.contains(&class)
    }

    /// May this analyst ask?
    pub fn allows_analyst(&self, analyst: &str) -> bool {
        self.analysts.as_ref().is_none_or(|names| names.contains(analyst))
    }

    /// The position of the first rule that approves such a question, if any does.
    pub fn approved_by(&self, classes: &[Class], analyst: &str) -> Option<usize> {
        self.approve.iter().position(|rule| {
            let known = rule.analysts.as_ref().is_none_or(|names| names.contains(analyst));
            known && !classes.is_empty() && classes.iter().all(|class| rule.classes.contains(class))
        })
    }

    /// Names in lower case, every rule of the form kept.
    ///
    /// # Errors
    /// The path of the key that breaks a rule, and the rule.
    pub(crate) fn normal(mut self) -> Result<SitePolicy, (Vec<String>, String)> {
        let mut columns = BTreeMap::new();
        for (table, of_table) in std::mem::take(&mut self.columns) {
            let mut lower = BTreeMap::new();
            for (column, grant) in of_table {
                if lower.insert(column.to_lowercase(), grant).is_some() {
                    let path = ["columns", &table, &column].map(str::to_owned).to_vec();
                    return Err((path, format!("the column {table}.{column} appears twice")));
                }
            }
            if columns.insert(table.to_lowercase(), lower).is_some() {
                return Err((vec!["columns".into(), table.clone()], format!("the table {table} appears twice")));
            }
        }
        self.columns = columns;
        self.released_tables = self.released_tables.in_lower_case();
        match self.broken_rule() {
            Some((path, rule)) => Err((path.split('.').map(str::to_owned).collect(), rule)),
            None => Ok(self),
        }
    }

    fn broken_rule(&self) -> Option<(&'static str, String)> {
        let within = |value: Option<u64>, lo: u64, hi: u64| value.is_none_or(|x| (lo..=hi).contains(&x));
        let MatchedSets { min_patients: least, max_patients: most } = self.matching;
        let numbers = [
            ("min_patients", self.min_patients.map(u64::from), 1, u64::from(MAX_MIN_PATIENTS)),
            ("min_sites", self.min_sites.map(u64::from), 2, MAX_SITES as u64),
            ("max_groups", self.max_groups.map(u64::from), 1, u64::from(MAX_GROUPS)),
            ("matching.min_patients", least, 1, MAX_PATIENTS),
            ("matching.max_patients", most, 1, MAX_PATIENTS),
            ("releases.most", self.releases.map(|l| l.most.into()), 0, u32::MAX.into()),
            (
                "releases.total",
                self.releases.and_then(|l| l.total).map(u64::from),
                least_total(self.releases),
                u32::MAX.into(),
            ),
            ("releases.days", self.releases.map(|l| l.days.into()), 1, MAX_DAYS),
            ("refusals.most", self.refusals.map(|l| l.most.into()), 0, u32::MAX.into()),
            (
                "refusals.total",
                self.refusals.and_then(|l| l.total).map(u64::from),
                least_total(self.refusals),
                u32::MAX.into(),
            ),
            ("refusals.days", self.refusals.map(|l| l.days.into()), 1, MAX_DAYS),
        ];
        if let Some((key, _, lo, hi)) = numbers.into_iter().find(|(_, value, lo, hi)| !within(*value, *lo, *hi)) {
            return Some((key, format!("{key} is {lo} to {hi}")));
        }
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            return Some(("matching.min_patients", "matching.min_patients is above matching.max_patients".into()));
        }
        if let Some(broken) = self.released_tables.broken_rule() {
            return Some(broken);
        }
        if let Some(rule) = self.broken_stewards() {
            return Some(("stewards", rule));
        }
        self.privacy.as_ref().and_then(Privacy::broken_rule)
    }

    fn broken_stewards(&self) -> Option<String> {
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let keys: BTreeSet<&String> = self.stewards.values().collect();
        if keys.iter().any(|key| key.len() != 64 || !key.bytes().all(hex)) {
            return Some("a steward's key is given by its pin, 64 lower-case hexadecimal digits".into());
        }
        let printable = |name: &String| (1..=64).contains(&name.len()) && !name.chars().any(char::is_control);
        if !self.stewards.keys().all(printable) {
            return Some("a steward's name has 1 to 64 bytes and no control characters".into());
        }
        if keys.len() < self.stewards.len() {
            return Some("two stewards have the same key: each has one of their own".into());
        }
        let few = self.two_persons && self.stewards.len() < 2;
        few.then(|| "two_persons needs at least two stewards, each with a key of their own".into())
    }
}

/// Unknown keys are refused before serde reads the table, so that the message can name the nearest one.
pub(crate) fn known_keys(table: &TomlTable, at: &[&str]) -> Result<(), Unknown> {
    known(table, KEYS, at)?;
    for (name, keys) in SECTIONS {
        if let Some(Toml::Table(section)) = table.get(name) {
            known(section, keys, &[at, &[name]].concat())?;
        }
    }
    for rule in table.get("approve").and_then(Toml::as_array).into_iter().flatten() {
        if let Toml::Table(rule) = rule {
            known(rule, &["classes", "analysts"], &[at, &["approve"]].concat())?;
        }
    }
    for (name, columns) in members(table.get("columns")) {
        for (column, grant) in members(Some(columns)) {
            let Toml::Table(grant) = grant else { continue };
            known(grant, &["uses", "clamp"], &[at, &["columns", name, column]].concat())?;
        }
    }
    Ok(())
}

fn only_clamps(
    columns: BTreeMap<String, BTreeMap<String, ColumnGrant>>,
) -> BTreeMap<String, BTreeMap<String, ColumnGrant>> {
    let clamp = |(name, grant): (String, ColumnGrant)| {
        grant.clamp.map(|clamp| (name, ColumnGrant { uses: BTreeSet::new(), clamp: Some(clamp) }))
    };
    let tables = columns.into_iter().map(|(table, columns)| (table, columns.into_iter().filter_map(clamp).collect()));
    tables.filter(|(_, columns): &(String, BTreeMap<_, _>)| !columns.is_empty()).collect()
}

/// A total is not below what one analyst may have.
fn least_total(limit: Option<Limit>) -> u64 {
    limit.map_or(0, |limit| limit.most.into())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn bad(text: &str) -> PlanError {
    PlanError::new(CODE, text)
}

const CODE: &str = "BAD_POLICY";

const KEYS: &[&str] = &[
    "allow_all",
    "classes",
    "analysts",
    "tell_reasons",
    "min_patients",
    "min_sites",
    "zero_allowed",
    "flag_extreme_shares",
    "max_groups",
    "two_persons",
    "stewards",
    "columns",
    "matching",
    "one_ledger",
    "released_tables",
    "releases",
    "refusals",
    "opt_out",
    "approve",
    "privacy",
];

const SECTIONS: [(&str, &[&str]); 6] = [
    ("matching", &["min_patients", "max_patients"]),
    ("released_tables", released_tables::KEYS),
    ("releases", &["most", "total", "days"]),
    ("refusals", &["most", "total", "days"]),
    ("opt_out", &["file"]),
    ("privacy", privacy::KEYS),
];

/// A hundred years.
const MAX_DAYS: u64 = 36_525;

#[cfg(test)]
mod tests;
