//! A study: why questions are asked, by whom, of which tables, at which sites, until when. Every site signs it together with the
//! network file; a question outside it is refused.

use std::path::Path;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use query_planner::catalog::SiteName;
use query_planner::dpia::Purpose;
use query_planner::error::nearest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config;
use crate::fault::{NodeError, printable};

/// What is agreed about a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Its name, by which analysts refer to it.
    pub name: String,
    /// What the answers are for.
    pub purpose: String,
    /// Why the law allows it, as the sites word it.
    pub legal_basis: String,
    /// The ethics committee's number, if there is one.
    #[serde(default)]
    pub ethics: Option<String>,
    /// Names of analysts in the network file.
    pub analysts: Vec<String>,
    /// The sites that take part: all of the network's.
    pub sites: Vec<SiteName>,
    /// The tables that may be read.
    pub tables: Vec<String>,
    /// Its last day, UTC: `2027-06-30`.
    pub ends: Day,
}

/// A calendar day, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(i32);

/// What a question wants of a study.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The analyst's name in the network file.
    pub analyst: &'a str,
    /// Tables that are read.
    pub tables: &'a [String],
    /// Sites that compute.
    pub sites: &'a [SiteName],
    /// Milliseconds since 1970-01-01.
    pub now_ms: i64,
}

impl Study {
    /// Reads a study file.
    ///
    /// # Errors
    /// `BAD_STUDY`, naming the file, the key and the rule; `NO_SUCH_FILE`.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        Self::from_toml(&config::read(path)?)
            .map_err(|error| NodeError { message: format!("{}: {}", path.display(), error.message), ..error })
    }

    /// Reads a study.
    ///
    /// # Errors
    /// `BAD_STUDY`.
    pub fn from_toml(text: &str) -> Result<Self, NodeError> {
        let table: toml::Table = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end()))?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let error = bad(&format!("unknown key '{}'", printable(key)));
            return Err(match nearest(key, KEYS.iter().copied()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint(format!("known here: {}", KEYS.join(", "))),
            });
        }
        let study: Self = table.try_into().map_err(|e: toml::de::Error| bad(e.to_string().trim_end()))?;
        for (what, text) in [("name", &study.name), ("purpose", &study.purpose), ("legal_basis", &study.legal_basis)] {
            if text.trim().is_empty() {
                return Err(bad(&format!("{what} is empty")));
            }
        }
        Ok(study)
    }

    /// A study of everything for everybody named, without an end: for a sandbox.
    pub fn sandbox(analyst: &str, sites: Vec<SiteName>, tables: Vec<String>) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: text("sandbox"),
            purpose: text("trying out"),
            legal_basis: text("none: data for trials"),
            ethics: None,
            analysts: vec![text(analyst)],
            sites,
            tables,
            ends: Day(LAST_DAY),
        }
    }

    /// SHA-256 of its canonical form; independent of the file's layout.
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(self).expect("a study has no maps");
        Sha256::new().chain_update(b"consilium study v1\0").chain_update(canonical).finalize().into()
    }

    /// Is there a table that both may read?
    pub fn shares_a_table_with(&self, other: &Self) -> bool {
        self.tables.iter().any(|table| other.tables.iter().any(|theirs| theirs.eq_ignore_ascii_case(table)))
    }

    /// Is the question one of this study's?
    ///
    /// # Errors
    /// `STUDY_ENDED`, `NOT_IN_STUDY`.
    pub fn admits(&self, wanted: Wanted<'_>) -> Result<(), NodeError> {
        let outside = |what: String| {
            let message = format!("study {} does not have {what}", printable(&self.name));
            Err(NodeError::new("NOT_IN_STUDY", message).hint("a larger study is another study, signed by every site"))
        };
        self.goes_on(wanted.now_ms)?;
        if !self.analysts.iter().any(|name| name == wanted.analyst) {
            return outside(format!("the analyst {}", printable(wanted.analyst)));
        }
        let listed = |table: &&String| !self.tables.iter().any(|known| known.eq_ignore_ascii_case(table));
        if let Some(table) = wanted.tables.iter().find(listed) {
            return outside(format!("the table {}", printable(table)));
        }
        // Fewer sites are another release about other patients: another study.
        let same = self.sites.len() == wanted.sites.len()
            && wanted.sites.iter().all(|site| self.sites.iter().any(|known| known.same(site)));
        if !same {
            return outside("exactly the sites of this network".into());
        }
        Ok(())
    }
}

impl Study {
    /// Has it not ended?
    ///
    /// # Errors
    /// `STUDY_ENDED`.
    pub fn goes_on(&self, now_ms: i64) -> Result<(), NodeError> {
        if now_ms.div_euclid(DAY_MS) <= i64::from(self.ends.0) {
            return Ok(());
        }
        let message = format!("study {} ended on {}", printable(&self.name), String::from(self.ends));
        Err(NodeError::new("STUDY_ENDED", message))
    }

    /// What an impact assessment says of it.
    pub fn purpose(&self) -> Purpose {
        Purpose {
            purpose: Some(self.purpose.clone()),
            legal_basis: Some(self.legal_basis.clone()),
            ethics: self.ethics.clone(),
            analysts: self.analysts.clone(),
            ends: Some(self.ends.into()),
        }
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let day = ScalarValue::Utf8(Some(text.clone())).cast_to(&DataType::Date32);
        match day {
            Ok(ScalarValue::Date32(Some(day))) => Ok(Self(day)),
            _ => Err(format!("'{}' is not a day: write \"2027-06-30\"", printable(&text))),
        }
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        let text = ScalarValue::Date32(Some(day.0)).cast_to(&DataType::Utf8);
        text.map_or_else(|_| day.0.to_string(), |text| text.to_string())
    }
}

fn bad(what: &str) -> NodeError {
    NodeError::new("BAD_STUDY", what)
}

const DAY_MS: i64 = 86_400_000;

/// 9999-12-31.
const LAST_DAY: i32 = 2_932_896;

const KEYS: &[&str] = &["name", "purpose", "legal_basis", "ethics", "analysts", "sites", "tables", "ends"];

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"s\"\npurpose = \"p\"\nlegal_basis = \"l\"\nanalysts = [\"anna\"]\nsites = [\"A\", \"B\"]\n\
        tables = [\"person\"]\nends = \"2026-11-30\"\n";

    fn wanted<'a>(analyst: &'a str, tables: &'a [String], sites: &'a [SiteName], day: i64) -> Wanted<'a> {
        Wanted { analyst, tables, sites, now_ms: day * DAY_MS + 1 }
    }

    #[test]
    fn a_question_outside_its_study_is_refused() {
        let study = Study::from_toml(FILE).unwrap();
        let (tables, others) = (["Person".to_owned()], ["visit".to_owned()]);
        let sites = [SiteName("b".into()), SiteName("a".into())];
        let last = i64::from(study.ends.0);
        let code = |wanted| study.admits(wanted).unwrap_err().code;
        assert_eq!(study.admits(wanted("anna", &tables, &sites, last)), Ok(()));
        assert_eq!(code(wanted("anna", &tables, &sites, last + 1)), "STUDY_ENDED");
        assert_eq!(code(wanted("bert", &tables, &sites, last)), "NOT_IN_STUDY");
        assert_eq!(code(wanted("anna", &others, &sites, last)), "NOT_IN_STUDY");
        assert_eq!(code(wanted("anna", &tables, &sites[..1], last)), "NOT_IN_STUDY");
    }

    #[test]
    fn a_study_file_is_checked_key_by_key() {
        let near = Study::from_toml(&FILE.replace("purpose", "purpos")).unwrap_err();
        assert_eq!((near.code.as_ref(), near.hint.as_deref()), ("BAD_STUDY", Some("did you mean 'purpose'?")));
        assert_eq!(Study::from_toml(&FILE.replace("2026-11-30", "2026-11-31")).unwrap_err().code, "BAD_STUDY");
        assert_eq!(Study::from_toml(&FILE.replace("\"p\"", "\" \"")).unwrap_err().code, "BAD_STUDY");
        assert_eq!(String::from(Study::from_toml(FILE).unwrap().ends), "2026-11-30");
        assert_eq!(String::from(Day(LAST_DAY)), "9999-12-31");
    }
}
