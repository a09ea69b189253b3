//! The linkage file: which columns make a key, how they are normalised, and what duplicates mean.

use std::collections::{BTreeMap, BTreeSet};

use protocols::parameters::matching::MAX_PATIENTS as MOST;
use query_planner::error::nearest;
use query_planner::linkage::FurtherKeys;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table as TomlTable, Value as Toml};

use super::check_digit::CheckDigit;
use super::dates::two_readings;
use super::steps::Step;
use crate::fault::{NodeError, printable};

/// What all sites of a study agree about linkage before any of them makes a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Goes into every key, so that keys of two studies differ. It is public: it separates, it does not protect.
    pub study: String,
    /// What becomes of records of one site that share a key.
    pub duplicates: Duplicates,
    /// How many patients of a site may have several keys in a pass, and how many more than one; not declared, none may. The work
    /// is padded to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_keys: Option<FurtherKeys>,
    /// Two records belong together if the keys of any pass are equal.
    pub passes: Vec<Pass>,
}

/// What becomes of records of one site that share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// They are one patient; the first in the order of the file keeps the key.
    First,
    /// There must not be any.
    Refuse,
    /// They may be several people: none of them has the key.
    Exclude,
}

/// One way to make a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// For reports.
    pub name: String,
    /// In the order in which they are hashed. A record with an empty or bad part has no key in this pass.
    pub parts: Vec<Part>,
}

/// One column of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The column's name, compared without case.
    pub column: String,
    /// Done in this order; none for the text as it stands.
    #[serde(default)]
    pub steps: Vec<Step>,
}

impl Schema {
    /// Reads a linkage file.
    ///
    /// # Errors
    /// `BAD_LINKAGE` with the place and the rule, or the unknown word and the one that was probably meant.
    pub fn from_toml(text: &str) -> Result<Self, NodeError> {
        let table: TomlTable = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end()))?;
        check_words(&table)?;
        let mut schema: Schema = table.try_into().map_err(|e: toml::de::Error| bad(e.to_string().trim_end()))?;
        for part in schema.passes.iter_mut().flat_map(|pass| &mut pass.parts) {
            part.column = part.column.trim().to_lowercase();
        }
        schema.check()?;
        Ok(schema)
    }

    /// The columns of all passes, in lower case, each once, in the order of their first use.
    pub fn columns(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let parts = self.passes.iter().flat_map(|pass| &pass.parts);
        parts.map(|part| part.column.as_str()).filter(|column| seen.insert(*column)).collect()
    }

    /// The agreement as bytes: JSON of the content without spacing and comments, and the versions of the Unicode tables that
    /// normalise. Two sites whose bytes are equal make equal keys of equal records.
    pub fn canonical(&self) -> Vec<u8> {
        let canonical = Canonical { linkage: FORM, unicode: Unicode::BUILT_IN, schema: self };
        serde_json::to_vec(&canonical).expect("text, lists and maps with text keys have a JSON form")
    }

    /// SHA-256 of [`Schema::canonical`]; sites compare it before they make keys.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.canonical()).into()
    }

    fn check(&self) -> Result<(), NodeError> {
        if self.study.trim().is_empty() || self.study.len() > MAX_NAME_BYTES || printable(&self.study) != self.study {
            return Err(bad(&format!("study is a text of 1 to {MAX_NAME_BYTES} bytes without control characters")));
        }
        if !(1..=MAX_PASSES).contains(&self.passes.len()) {
            return Err(bad(&format!("there are 1 to {MAX_PASSES} [[passes]]")));
        }
        if let Some(FurtherKeys { patients, each }) = self.further_keys
            && !((1..=MAX_PATIENTS).contains(&patients) && (1..=MAX_FURTHER).contains(&each))
        {
            let text = format!("further_keys has patients of 1 to {MAX_PATIENTS} and each of 1 to {MAX_FURTHER}");
            return Err(bad(&text));
        }
        let mut names = BTreeSet::new();
        for pass in &self.passes {
            let name = &pass.name;
            if name.is_empty() || name.len() > MAX_NAME_BYTES || printable(name) != *name || !names.insert(name) {
                return Err(bad("every pass has a name of its own, without control characters"));
            }
            if !(1..=MAX_PARTS).contains(&pass.parts.len()) {
                return Err(bad(&format!("pass '{name}' has 1 to {MAX_PARTS} [[passes.parts]]")));
            }
            pass.parts.iter().try_for_each(|part| part.check(name))?;
        }
        Ok(())
    }
}

impl Part {
    fn check(&self, pass: &str) -> Result<(), NodeError> {
        let place = format!("pass '{pass}', column '{}'", printable(&self.column));
        if self.column.is_empty() || printable(&self.column) != self.column {
            return Err(bad(&format!("{place}: this is no name of a column")));
        }
        self.steps.iter().try_for_each(|step| check_step(step).map_err(|what| bad(&format!("{place}: {what}"))))
    }
}

fn check_step(step: &Step) -> Result<(), String> {
    match step {
        Step::Prefix(0) => Err("prefix is at least 1".into()),
        Step::Dates(forms) if forms.is_empty() => Err("dates needs at least one form".into()),
        Step::Dates(forms) => match two_readings(forms) {
            Some((one, other)) => Err(format!("{one} and {other} read the same text as different days")),
            None => Ok(()),
        },
        Step::Codes(codes) => check_codes(codes),
        Step::Absent(words) if words.is_empty() => Err("absent needs at least one word".into()),
        _ => Ok(()),
    }
}

fn check_codes(codes: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if codes.is_empty() || codes.keys().any(|code| code.trim().is_empty()) {
        return Err("codes needs at least one code, and no empty one".into());
    }
    let own = codes.keys();
    match own
        .chain(codes.iter().flat_map(|(code, words)| words.iter().filter(move |word| *word != code)))
        .find(|word| !seen.insert(*word))
    {
        Some(word) => Err(format!("'{}' stands for two codes", printable(word))),
        None => Ok(()),
    }
}

/// What is hashed: fields in this order.
#[derive(Serialize)]
struct Canonical<'a> {
    linkage: u32,
    unicode: Unicode,
    #[serde(flatten)]
    schema: &'a Schema,
}

/// Versions of the tables behind the foldings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unicode {
    /// Of NFKC and of what is an accent.
    pub normalization: (u8, u8, u8),
    /// Of case folding.
    pub case_folding: (u64, u64, u64),
    /// Of what is a letter, a digit or a space.
    pub properties: (u8, u8, u8),
}

impl Unicode {
    /// Those of this build.
    pub const BUILT_IN: Self = Self {
        normalization: unicode_normalization::UNICODE_VERSION,
        case_folding: caseless::UNICODE_VERSION,
        properties: char::UNICODE_VERSION,
    };
}

/// Unknown words are refused here, before serde, so that the message can name the nearest one.
fn check_words(table: &TomlTable) -> Result<(), NodeError> {
    known(table.keys(), &["study", "duplicates", "further_keys", "passes"], "key")?;
    if let Some(Toml::Table(further)) = table.get("further_keys") {
        known(further.keys(), &["patients", "each"], "key of further_keys")?;
    }
    known(text_of(table.get("duplicates")), &["first", "refuse", "exclude"], "rule for duplicates")?;
    for pass in tables(table.get("passes")) {
        known(pass.keys(), &["name", "parts"], "key of a pass")?;
        for part in tables(pass.get("parts")) {
            known(part.keys(), &["column", "steps"], "key of a part")?;
            part.get("steps").and_then(Toml::as_array).into_iter().flatten().try_for_each(check_step_words)?;
        }
    }
    Ok(())
}

fn check_step_words(step: &Toml) -> Result<(), NodeError> {
    match step {
        Toml::String(word) if Step::WITH_VALUE.contains(&word.as_str()) => {
            Err(bad(&format!("step '{word}' needs a value")).hint(format!("write {{ {word} = … }}")))
        }
        Toml::String(_) => known(text_of(Some(step)), &Step::WORDS, "step"),
        Toml::Table(step) => {
            known(step.keys(), &Step::WITH_VALUE, "step with a value")?;
            known(text_of(step.get("check")), &CheckDigit::NAMES, "check digit")
        }
        _ => Err(bad("a step is a word such as \"nfkc\" or a table such as { prefix = 2 }")),
    }
}

fn known<'a>(mut given: impl Iterator<Item = &'a String>, words: &[&str], what: &str) -> Result<(), NodeError> {
    let Some(word) = given.find(|word| !words.contains(&word.as_str())) else { return Ok(()) };
    let error = bad(&format!("unknown {what} '{}'", printable(word)));
    Err(match nearest(word, words.iter().copied()) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint(format!("known here: {}", words.join(", "))),
    })
}

fn text_of(value: Option<&Toml>) -> impl Iterator<Item = &String> {
    value.into_iter().filter_map(|value| match value {
        Toml::String(text) => Some(text),
        _ => None,
    })
}

fn tables(value: Option<&Toml>) -> impl Iterator<Item = &TomlTable> {
    value.and_then(Toml::as_array).into_iter().flatten().filter_map(Toml::as_table)
}

fn bad(what: &str) -> NodeError {
    NodeError::new("BAD_LINKAGE", what)
}

/// Version of the canonical form and of the keys.
const FORM: u32 = 1;

/// Every pass is a matching of its own; more than this nobody can explain to an ethics board.
const MAX_PASSES: usize = 16;

/// Of the reviewed sizes of a matching.
const MAX_PATIENTS: u64 = MOST as u64;

/// A patient with more than this is several people who share a placeholder.
const MAX_FURTHER: u64 = 15;

/// Columns of one key.
const MAX_PARTS: usize = 16;

/// Names are shown in one line of a report.
const MAX_NAME_BYTES: usize = 128;
