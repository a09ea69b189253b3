//! Record linkage: identifiers to keys that sites can match without showing them.
//!
//! Sites that match patients must spell identifiers alike. A *linkage file* says how, once for all: which columns make a key,
//! in which order, how each is normalised, which check digit must hold, how a site's own duplicates are treated. Its
//! [`digest`](Schema::digest) covers the content and the versions of the Unicode tables; sites compare digests before a run, so
//! that a difference is an error instead of an empty intersection.
//!
//! ```toml
//! study = "breast-2026"
//! duplicates = "first"             # or "refuse", "exclude"
//! further_keys = { patients = 20, each = 1 }
//!
//! [[passes]]                       # a patient is found if any pass matches
//! name = "national id"
//! [[passes.parts]]
//! column = "national_id"
//! steps = ["nfkc", "strip_spaces", "strip_hyphens", "casefold", { check = "gb11643" }]
//!
//! [[passes]]
//! name = "name, date of birth and sex"
//! [[passes.parts]]
//! column = "family_name"
//! steps = ["nfkc", "casefold", "strip_diacritics", "strip_spaces", "strip_punctuation"]
//! [[passes.parts]]
//! column = "birth_date"
//! steps = ["nfkc", "strip_spaces", { dates = ["yyyy-mm-dd", "dd/mm/yyyy", "yyyy年m月d日"] }]
//! [[passes.parts]]
//! column = "sex"
//! steps = ["nfkc", "casefold", "strip_spaces", { codes = { m = ["male", "男", "1"], f = ["female", "女", "2"] } }]
//! ```
//!
//! Steps run in the order written:
//!
//! | step | does |
//! |---|---|
//! | `nfkc` | one code for what looks or means the same: `e` + accent is `é`, full width is ordinary width |
//! | `width` | full and half width to ordinary width, and nothing else |
//! | `casefold` | Unicode's default caseless form: `ß` is `ss`; Turkish `ı` stays |
//! | `strip_diacritics` | accents off letters; voicing of kana, Indic vowel signs and points stay, and so do `ø` and `ł` |
//! | `strip_spaces`, `strip_hyphens`, `strip_controls` | white space; hyphens and dashes; what nobody sees |
//! | `strip_punctuation` | leaves letters, digits, their marks and white space |
//! | `digits_only` | leaves 0 to 9; a text with numerals of other scripts has no key |
//! | `{ prefix = 2 }` | the first characters |
//! | `{ dates = […] }` | one of the forms to `yyyy-mm-dd`; days that do not exist have no key; forms that disagree are refused |
//! | `{ codes = { m = […] } }` | words to codes; other words have no key |
//! | `{ absent = […] }` | words such as `unknown` that mean nothing |
//! | `{ check = "gb11643" }` | `gb11643`, `iso7064_mod11_2`, `iso7064_mod97_10`, `luhn`, `nhs`, `bsn`, `verhoeff` |
//!
//! Chinese, Japanese and Korean text goes through all of them unharmed; traditional and simplified characters, and a name and its
//! transliteration, stay different.
//!
//! # Keys
//!
//! A record has a key in a pass if every part has a value after its steps. An empty part is never hashed: the record is left out of
//! that pass and counted, by column and reason. [`keys`] makes the keys of all records and the [`Report`];
//! [`Keyed::matchable`] applies the rule for duplicates, so that a key stands at one record at most; [`Keyed::patients`] says which
//! records of the site are one patient, so that a patient found in two passes, or by two of its records, counts once. With
//! `duplicates = "first"` an equal key in any pass makes two records one patient; with `"exclude"` it makes both unfindable by that
//! key, and records are never joined.
//!
//! A patient whose records differ has several keys in a pass, and is found by each of them. The work is padded to what the file
//! declares, so that nobody sees who has some: `further_keys = { patients = 20, each = 1 }` is for 20 patients of each site with up to
//! one key beside the first, in every pass. A site that has more, and where nothing is declared any, refuses to start: leaving
//! out a key would lose matches without a word. Its message and the report say what is needed. No two patients of a site share
//! a key of a pass: with `"first"` an equal key makes them one, with `"exclude"` neither has it, with `"refuse"` the site stops.
//!
//! A node finds its file by `[linkage]` in `network.toml`: `file = "linkage.toml"` beside it, and `table`, whose rows hold identifiers
//! and the site's own patient key. [`Linked`] is what its questions use: a patient's keys are those of its rows. Patients without any
//! valid key are in no matching; how many, the site says in its own log. Columns that identify are in no question unless the network
//! file allows them, and are not kept behind the keys.
//!
//! # What this protects, and what not
//!
//! A key is a hash of an identifier. Whoever has it can try names and dates until one fits; the study's name inside keeps keys of
//! two studies apart and is no secret. So a key goes into a matching protocol that hides it, such as an OPRF, and nowhere else: it
//! is not sent, not written and not logged. Matching itself lets a participant test a guessed patient by adding it to its
//! own table; only limits and policy stand against that. Normalised identifiers and keys do not print and are wiped when
//! dropped. What is not wiped: the rows as read from the file, which live as long as the node's tables; a few words in the
//! iterators of the Unicode libraries; the last 64 bytes inside the hash function.
//!
//! The quality report is for the site's own eyes. It holds counts and no values, but a count of one is a fact about one patient.
//! A key of few parts (initials and a date of birth) finds more patients despite typing errors and can bring two people
//! together; whether that happened shows only where the truth is known, so such a pass should be justified by a trial on
//! records with known truth.

mod agreed;
mod check_digit;
pub mod command;
mod dates;
mod keyed;
mod linked;
mod report;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod text;

use arrow::array::{Array, StringArray};
use mpc_core::Block;
use zeroize::Zeroizing;

pub use agreed::Agreed;
pub use check_digit::CheckDigit;
pub use dates::DateForm;
pub use keyed::{FurtherKey, Keyed, RecordKeys};
pub use linked::{Linked, Summary};
pub use report::{PartReport, PassReport, Report, describe};
pub use schema::{Duplicates, Part, Pass, Schema, Unicode};
pub use steps::{Fault, Step};

use crate::fault::NodeError;
use keyed::{Groups, further_keys, key, needed, patients};
use steps::normalise;
use text::Text;

/// Makes the keys of all records. `columns` are the columns of [`Schema::columns`], in that order, a text or NULL for each record;
/// where they come from does not matter.
///
/// # Errors
/// `LINKAGE_SHAPE` when columns are missing, differ in length or have more than 2^32 − 1 records.
pub fn keys(schema: &Schema, columns: &[StringArray]) -> Result<Keyed, NodeError> {
    let names = schema.columns();
    let records = columns.first().map_or(0, |column| column.len());
    let fits = u32::try_from(records).is_ok() && columns.iter().all(|column| column.len() == records);
    if columns.len() != names.len() || !fits {
        return Err(NodeError::new("LINKAGE_SHAPE", format!("linkage takes {} columns of one length", names.len())));
    }
    let column_of = |name: &str| names.iter().position(|known| *known == name).map(|i| &columns[i]);
    let mut passes = Vec::with_capacity(schema.passes.len());
    let mut reports = Vec::with_capacity(schema.passes.len());
    for (number, pass) in schema.passes.iter().enumerate() {
        let columns: Vec<&StringArray> = pass.parts.iter().filter_map(|part| column_of(&part.column)).collect();
        let (keys, report) = keys_of_pass(&schema.study, number, pass, &columns);
        passes.push(keys);
        reports.push(report);
    }
    Ok(finish(schema, records, passes, reports))
}

/// `columns` are those of the pass's parts.
fn keys_of_pass(study: &str, number: usize, pass: &Pass, columns: &[&StringArray]) -> (RecordKeys, PassReport) {
    let records = columns.first().map_or(0, |column| column.len());
    let mut report = PassReport::new(pass);
    let mut keys = Zeroizing::new(Vec::with_capacity(records));
    let mut parts: Vec<Text> = Vec::with_capacity(columns.len());
    for record in 0..records {
        parts.clear();
        for ((part, column), counts) in pass.parts.iter().zip(columns).zip(&mut report.parts) {
            match normalise(&part.steps, column.is_valid(record).then(|| column.value(record))) {
                Ok(text) => parts.push(text),
                Err(fault) => counts.count(fault),
            }
        }
        let complete = parts.len() == pass.parts.len();
        keys.push(complete.then(|| key(study, number, &parts)));
    }
    (RecordKeys::new(keys), report)
}

fn finish(schema: &Schema, records: usize, passes: Vec<RecordKeys>, mut reports: Vec<PassReport>) -> Keyed {
    let groups: Vec<Groups> = passes.iter().map(RecordKeys::groups).collect();
    for (report, groups) in reports.iter_mut().zip(&groups) {
        report.count_groups(groups.iter().map(<[(Block, u32)]>::len));
    }
    let proofs = if schema.duplicates == Duplicates::Exclude { &[] } else { &groups[..] };
    let patients = patients(records, proofs);
    let has_key = |record: &usize| passes.iter().any(|pass| pass.as_slice()[*record].is_some());
    let found = (0..records).filter(has_key);
    let (mut with_key, mut first) = (0, 0);
    for record in found {
        with_key += 1;
        first += usize::from(patients[record] as usize == record);
    }
    let report = Report {
        study: schema.study.clone(),
        digest: hex(&schema.digest()),
        records,
        without_key: records - with_key,
        patients: first,
        // Where duplicates are excluded records are never joined: a patient has one key.
        further_keys: needed(&further_keys(&patients, &passes)),
        passes: reports,
    };
    let further_keys = schema.further_keys.unwrap_or_default();
    Keyed { passes, report, duplicates: schema.duplicates, further_keys, patients }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
