//! What the catalogue says about linkage: how patients are found at several sites where a shared number is not enough.

use serde::{Deserialize, Serialize};

use crate::catalog::ColumnType;
use crate::settings::{Settings, TableSettings};

/// The linkage file that all sites agreed on. Its content is the node's business; the planner knows its digest, so that sites with
/// another file derive another plan, and how many ways to find a patient it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linkage {
    /// SHA-256 of its canonical form, in hex.
    pub digest: String,
    /// The table whose rows hold identifiers beside the patient key.
    pub table: String,
    /// The columns of that table that identify, in lower case.
    pub columns: Vec<String>,
    /// A patient is found if any pass matches.
    pub passes: u32,
    /// Patients with several keys in a pass; where it is not declared there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_keys: Option<FurtherKeys>,
}

/// Keys of a patient beside its first in a pass: a bound for every site, declared in the linkage file, or what a site has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherKeys {
    /// Patients of a site that have any in any pass.
    pub patients: u64,
    /// Most of one patient in one pass.
    pub each: u64,
}

impl FurtherKeys {
    /// Is so much within this bound?
    pub fn allows(&self, needed: &FurtherKeys) -> bool {
        needed.patients <= self.patients && needed.each <= self.each
    }

    /// The bound, where a site has so many patients at most.
    pub fn among(self, patients: u64) -> FurtherKeys {
        FurtherKeys { patients: self.patients.min(patients), ..self }
    }
}

/// Where the network file says that the linkage file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkageSettings {
    /// Beside the network file.
    pub file: String,
    /// The table whose rows hold identifiers beside the patient key.
    pub table: String,
}

impl Settings {
    /// These settings, and for each column that identifies, unless they declare it otherwise: it is text, as identifiers are
    /// compared as text, and no question may use it. The patient key stays what it is.
    pub fn with_identifiers(mut self, linkage: &Linkage) -> Settings {
        let key = self.patient_key.clone();
        let table = entry(&mut self.tables, &linkage.table, TableSettings::default);
        for column in linkage.columns.iter().filter(|column| !column.eq_ignore_ascii_case(&key)) {
            let column = entry(&mut table.columns, column, Default::default);
            column.data_type.get_or_insert(ColumnType::Text);
            column.allowed.get_or_insert(false);
        }
        self
    }
}

/// What stands under a name, compared without case.
fn entry<'a, T>(map: &'a mut std::collections::BTreeMap<String, T>, name: &str, new: impl FnOnce() -> T) -> &'a mut T {
    let known = map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
    map.entry(known.unwrap_or_else(|| name.to_owned())).or_insert_with(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkage() -> Linkage {
        let columns = vec!["national_id".into(), "sex".into(), "person_id".into()];
        Linkage { digest: "00".into(), table: "Patient".into(), columns, passes: 1, further_keys: None }
    }

    #[test]
    fn identifiers_are_text_that_no_question_may_use_unless_declared_otherwise() {
        let text = "[tables.patient.columns.SEX]\nallowed = true";
        let settings = Settings::from_toml(text).unwrap().with_identifiers(&linkage());
        let columns = &settings.tables["patient"].columns;
        assert_eq!(settings.tables.len(), 1);
        assert_eq!((columns["SEX"].allowed, columns["SEX"].data_type), (Some(true), Some(ColumnType::Text)));
        assert_eq!(columns["national_id"].allowed, Some(false));
        assert!(!columns.contains_key("person_id"), "the patient key stays what it is");
        assert_eq!(settings.clone().with_identifiers(&linkage()), settings);
    }

    #[test]
    fn a_bound_of_further_keys_holds_for_patients_and_for_keys() {
        let bound = FurtherKeys { patients: 5, each: 2 };
        assert!(bound.allows(&FurtherKeys { patients: 5, each: 2 }) && bound.allows(&FurtherKeys::default()));
        assert!(!bound.allows(&FurtherKeys { patients: 6, each: 1 }));
        assert!(!bound.allows(&FurtherKeys { patients: 1, each: 3 }));
        assert_eq!((bound.among(3).patients, bound.among(9)), (3, bound));
    }

    #[test]
    fn an_unknown_key_of_linkage_is_refused_with_the_nearest_one() {
        let error = Settings::from_toml("[linkage]\nfiel = \"a\"").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean 'linkage.file'?"));
        let settings = Settings::from_toml("[linkage]\nfile = \"a\"\ntable = \"b\"").unwrap();
        assert_eq!(settings.linkage.unwrap().table, "b");
    }
}
