//! What a site learns about its own records before a run: counts, never a value.

use std::fmt::Write;

use query_planner::linkage::FurtherKeys;
use serde::Serialize;

use super::schema::{Pass, Schema};
use super::steps::Fault;
use crate::fault::printable;

/// The quality of one site's identifiers. It is for the site itself: small counts are facts about few patients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The study.
    pub study: String,
    /// The schema's digest, in hex.
    pub digest: String,
    /// Records.
    pub records: usize,
    /// Records that have a key in no pass: they cannot be found by anybody.
    pub without_key: usize,
    /// Different patients among the others, by [`Keyed::patients`](super::Keyed::patients).
    pub patients: usize,
    /// What the linkage file must allow at least: patients with several keys in a pass, and most of them beside the first.
    pub further_keys: FurtherKeys,
    /// In the order of the schema.
    pub passes: Vec<PassReport>,
}

/// One pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Its name.
    pub name: String,
    /// Records with a key.
    pub valid_keys: usize,
    /// Different keys.
    pub distinct_keys: usize,
    /// Keys of more than one record.
    pub repeated_keys: usize,
    /// Records whose key is that of another one, too.
    pub records_repeated: usize,
    /// Most records with one key; many mean a placeholder such as 1900-01-01 that is not declared absent.
    pub most_repeated: usize,
    /// In the order of the schema. A record with several bad parts counts in each.
    pub parts: Vec<PartReport>,
}

/// One part of a key: how many records have none, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Its column.
    pub column: String,
    /// Nothing there.
    pub missing: usize,
    /// In no declared form, or not a day.
    pub unreadable_dates: usize,
    /// Not declared.
    pub unknown_codes: usize,
    /// Not an identifier of its kind.
    pub check_digit_failures: usize,
    /// Numerals other than 0 to 9.
    pub other_numerals: usize,
}

impl PassReport {
    pub(super) fn new(pass: &Pass) -> Self {
        let part = |column: &str| PartReport { column: column.to_owned(), ..PartReport::default() };
        Self {
            name: pass.name.clone(),
            valid_keys: 0,
            distinct_keys: 0,
            repeated_keys: 0,
            records_repeated: 0,
            most_repeated: 0,
            parts: pass.parts.iter().map(|p| part(&p.column)).collect(),
        }
    }

    /// Takes the sizes of the groups of records with equal keys.
    pub(super) fn count_groups(&mut self, sizes: impl Iterator<Item = usize>) {
        for size in sizes {
            self.valid_keys += size;
            self.distinct_keys += 1;
            self.most_repeated = self.most_repeated.max(size);
            if size > 1 {
                self.repeated_keys += 1;
                self.records_repeated += size;
            }
        }
    }
}

impl PartReport {
    pub(super) fn count(&mut self, fault: Fault) {
        *match fault {
            Fault::Missing => &mut self.missing,
            Fault::UnreadableDate => &mut self.unreadable_dates,
            Fault::UnknownCode => &mut self.unknown_codes,
            Fault::CheckDigit => &mut self.check_digit_failures,
            Fault::OtherNumerals => &mut self.other_numerals,
        } += 1;
    }

    fn faults(&self) -> Vec<String> {
        let counts = [
            (self.missing, "missing"),
            (self.unreadable_dates, "not a date in a declared form"),
            (self.unknown_codes, "not a declared code"),
            (self.check_digit_failures, "with a wrong check digit or shape"),
            (self.other_numerals, "with numerals other than 0 to 9"),
        ];
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect()
    }
}

impl Report {
    /// For people: some lines, the last with a line end.
    pub fn to_text(&self) -> String {
        let mut out = format!("study {}\nlinkage digest {}\n", printable(&self.study), self.digest);
        let found = self.records - self.without_key;
        let _ = writeln!(out, "{} records: {found} with a key, {} without any", self.records, self.without_key);
        let _ = writeln!(out, "{} patients among those with a key", self.patients);
        let FurtherKeys { patients, each } = self.further_keys;
        if patients > 0 {
            let _ = writeln!(out, "{patients} patients have several keys in a pass, at most {each} beside the first:");
            let _ = writeln!(
                out,
                "  the linkage file needs further_keys = {{ patients = {patients}, each = {each} }} or more"
            );
        }
        self.passes.iter().for_each(|pass| out += &pass.to_text());
        out
    }

    /// One JSON object on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("counts and texts have a JSON form") + "\n"
    }
}

impl PassReport {
    fn to_text(&self) -> String {
        let name = printable(&self.name);
        let mut out =
            format!("pass {name}: {} records with a key, {} different keys\n", self.valid_keys, self.distinct_keys);
        if self.repeated_keys > 0 {
            let Self { repeated_keys, records_repeated, most_repeated, .. } = self;
            let _ = writeln!(
                out,
                "  {repeated_keys} keys are shared by {records_repeated} records, at most {most_repeated} on one key"
            );
        }
        for part in &self.parts {
            let faults = part.faults();
            let faults = if faults.is_empty() { "all there".to_owned() } else { faults.join(", ") };
            let _ = writeln!(out, "  column {}: {faults}", printable(&part.column));
        }
        out
    }
}

/// What a file alone says: study, digest, passes.
pub fn describe(schema: &Schema) -> String {
    let mut out = format!("study {}\nlinkage digest {}\n", printable(&schema.study), super::hex(&schema.digest()));
    if let Some(FurtherKeys { patients, each }) = schema.further_keys {
        let _ = writeln!(out, "up to {patients} patients of a site have up to {each} keys more in a pass");
    }
    for pass in &schema.passes {
        let columns: Vec<String> = pass.parts.iter().map(|part| printable(&part.column)).collect();
        let _ = writeln!(out, "pass {}: {}", printable(&pass.name), columns.join(", "));
    }
    out
}
