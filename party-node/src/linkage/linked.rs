//! From a site's own patient keys to the patients that are matched: who has which keys, and who has none.

use std::collections::HashMap;
use std::fmt;

use mpc_core::Block;
use query_planner::linkage::FurtherKeys;
use zeroize::{Zeroize, Zeroizing};

use super::keyed::{FurtherKey, Groups, Keyed, RecordKeys, further_keys, needed, patients};
use super::schema::Duplicates;
use crate::fault::{NodeError, printable};

/// The patients of one site as others can find them. Keys do not print and are wiped when dropped.
pub struct Linked {
    /// By the hash of the site's own patient key: which entry, none for a patient without any valid key.
    entries: HashMap<u128, Option<usize>>,
    /// Of each entry, its first key in every pass.
    keys: Vec<Vec<Option<Block>>>,
    /// Of entries that have several in a pass.
    further: Zeroizing<Vec<FurtherKey>>,
    /// Counts, for the site's own eyes.
    pub summary: Summary,
}

/// What linking found. For the site itself: small counts are facts about few patients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of the table with identifiers.
    pub records: usize,
    /// Patients with a valid key, each counted once.
    pub entered: usize,
    /// Patients without any: they are not matched.
    pub excluded: usize,
    /// Patients whose records have several keys in a pass, and most of them beside the first.
    pub further_keys: FurtherKeys,
}

impl Linked {
    /// Puts together what the records say of each patient. `own` is the hash of the site's own patient key of every record. Records
    /// with one such key are one patient; those with an equal key of a pass too, where the rule for duplicates is `first`.
    ///
    /// # Errors
    /// `LINKAGE_DUPLICATES` when the rule is to refuse keys that several patients have, and there are some; `LINKAGE_FURTHER_KEYS` when
    /// patients have more keys than the schema allows.
    pub fn new(keyed: &Keyed, own: Vec<Option<Block>>) -> Result<Self, NodeError> {
        let linked = Self::unchecked(keyed, own)?;
        let needed = linked.summary.further_keys;
        if keyed.further_keys.allows(&needed) {
            return Ok(linked);
        }
        let message = format!("{} where the linkage file allows {}", several(&needed), bound(&keyed.further_keys));
        let hint = format!(
            "agree on further_keys = {{ patients = {}, each = {} }} or more in the linkage file, or correct the records",
            needed.patients.max(keyed.further_keys.patients),
            needed.each.max(keyed.further_keys.each)
        );
        Err(NodeError::new("LINKAGE_FURTHER_KEYS", message).hint(hint))
    }

    /// [`Linked::new`], but with as many further keys as there are.
    pub(super) fn unchecked(keyed: &Keyed, own: Vec<Option<Block>>) -> Result<Self, NodeError> {
        let records = own.len();
        let own = RecordKeys::new(Zeroizing::new(own));
        let passes = keyed.passes.iter().zip(&keyed.report.passes);
        let usable = passes.map(|(keys, report)| usable(keys, &own, keyed.duplicates, &report.name));
        let usable = usable.collect::<Result<Vec<_>, _>>()?;
        let mut proofs: Vec<Groups> = vec![own.groups()];
        if keyed.duplicates == Duplicates::First {
            proofs.extend(usable.iter().map(RecordKeys::groups));
        }
        let first = patients(records, &proofs);
        let further = further_keys(&first, &usable);
        let summary = Summary { records, further_keys: needed(&further), ..Summary::default() };
        let mut all: Vec<Vec<Option<Block>>> = vec![Vec::new(); records];
        for (record, patient) in first.iter().enumerate() {
            let keys = &mut all[*patient as usize];
            keys.resize(usable.len(), None);
            for (known, key) in keys.iter_mut().zip(usable.iter().map(|pass| pass.as_slice()[record])) {
                *known = known.or(key);
            }
        }
        Ok(Self::numbered(all, further, &first, &own, summary))
    }

    /// Numbers the patients with a key, in the order of their first records.
    fn numbered(
        all: Vec<Vec<Option<Block>>>,
        mut further: Zeroizing<Vec<FurtherKey>>,
        first: &[u32],
        own: &RecordKeys,
        mut summary: Summary,
    ) -> Self {
        let mut keys = Vec::new();
        let mut numbers = vec![None; all.len()];
        for (patient, known) in all.into_iter().enumerate().filter(|(patient, _)| first[*patient] as usize == *patient)
        {
            if known.iter().any(Option::is_some) {
                numbers[patient] = Some(keys.len());
                keys.push(known);
            } else {
                summary.excluded += 1;
            }
        }
        summary.entered = keys.len();
        let entry = |(own, patient): (&Option<Block>, &u32)| Some(((*own)?.0, numbers[*patient as usize]));
        let entries = own.as_slice().iter().zip(first).filter_map(entry).collect();
        let number = |patient: usize| numbers[patient].expect("a patient with a further key has a first one");
        further.iter_mut().for_each(|key| key.patient = number(key.patient));
        Self { entries, keys, further, summary }
    }

    /// The entry of a patient by the hash of the site's own key; none for one that is not matched.
    pub fn entry(&self, own: Block) -> Option<usize> {
        self.entries.get(&own.0).copied().flatten()
    }

    /// Has the table such a patient, linked or not?
    pub fn has(&self, own: Block) -> bool {
        self.entries.contains_key(&own.0)
    }

    /// The first keys of an entry, one for each pass.
    ///
    /// # Panics
    /// When there is no such entry.
    pub fn keys(&self, entry: usize) -> &[Option<Block>] {
        &self.keys[entry]
    }

    /// The further keys of all entries.
    pub fn further(&self) -> &[FurtherKey] {
        &self.further
    }
}

fn several(needed: &FurtherKeys) -> String {
    let FurtherKeys { patients, each } = needed;
    format!("{patients} patients whose records differ have several keys in a pass, up to {each} beside the first")
}

fn bound(allowed: &FurtherKeys) -> String {
    match allowed {
        FurtherKeys { patients: 0, .. } => "nobody more than one".into(),
        FurtherKeys { patients, each } => format!("{patients} patients up to {each}"),
    }
}

/// The keys of a pass without those that several patients have, where these mean nothing.
fn usable(keys: &RecordKeys, own: &RecordKeys, rule: Duplicates, pass: &str) -> Result<RecordKeys, NodeError> {
    let mut usable = Zeroizing::new(keys.as_slice().to_vec());
    let mut repeated = 0;
    if rule != Duplicates::First {
        let groups = keys.groups();
        let patient = |record: u32| own.as_slice()[record as usize];
        // Two records without a key of the site's own may be two patients.
        let one = |group: &[(Block, u32)]| {
            let of_first = patient(group[0].1);
            of_first.is_some() && group.iter().all(|(_, record)| patient(*record) == of_first)
        };
        for group in groups.iter().filter(|group| group.len() > 1 && !one(group)) {
            repeated += 1;
            group.iter().for_each(|(_, record)| usable[*record as usize].zeroize());
        }
    }
    if rule == Duplicates::Refuse && repeated > 0 {
        let message = format!("pass {}: {repeated} keys are shared by several patients", printable(pass));
        let hint = "remove the duplicates, or agree on duplicates = \"first\" or \"exclude\"";
        return Err(NodeError::new("LINKAGE_DUPLICATES", message).hint(hint));
    }
    Ok(RecordKeys::new(usable))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { records, entered, excluded, further_keys } = self;
        write!(
            f,
            "linkage: {records} records, {entered} patients that can be matched, {excluded} without any valid key, "
        )?;
        f.write_str(&several(further_keys))
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linked({} patients)", self.keys.len())
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.keys.iter_mut().flatten().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::super::{Schema, keys};
    use super::*;

    /// Records as (own key, id, name); empty is NULL.
    type Records<'a> = [(&'a str, &'a str, &'a str)];

    fn link(rule: &str, records: &Records<'_>) -> Result<Linked, NodeError> {
        let pass = |column: &str| format!("[[passes]]\nname = \"{column}\"\n[[passes.parts]]\ncolumn = \"{column}\"\n");
        let further = "further_keys = { patients = 2, each = 2 }";
        let file = format!("study = \"s\"\nduplicates = \"{rule}\"\n{further}\n{}{}", pass("id"), pass("name"));
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let column = |of: fn(&(&str, &str, &str)) -> String| -> StringArray {
            records.iter().map(|record| present(&of(record))).collect()
        };
        let columns = [column(|r| r.1.to_owned()), column(|r| r.2.to_owned())];
        let keyed = keys(&Schema::from_toml(&file)?, &columns)?;
        Linked::new(&keyed, records.iter().map(|record| present(record.0).map(|_| own(record.0))).collect())
    }

    const NOBODY: FurtherKeys = FurtherKeys { patients: 0, each: 0 };

    fn own(key: &str) -> Block {
        Block(key.bytes().fold(7, |sum, byte| sum * 257 + u128::from(byte)))
    }

    fn same(linked: &Linked, a: &str, b: &str) -> bool {
        linked.entry(own(a)).is_some() && linked.entry(own(a)) == linked.entry(own(b))
    }

    #[test]
    fn records_with_an_equal_key_or_one_number_of_the_site_are_one_patient() {
        let records =
            [("a", "1", "x"), ("b", "1", "y"), ("c", "", "y"), ("d", "2", ""), ("d", "", "z"), ("e", "3", "")];
        let linked = link("first", &records).unwrap();
        assert!(same(&linked, "a", "b") && same(&linked, "a", "c") && !same(&linked, "a", "d"));
        let counts =
            Summary { records: 6, entered: 3, excluded: 0, further_keys: FurtherKeys { patients: 1, each: 1 } };
        assert_eq!(linked.summary, counts);
        // One row lends d its first key, the other its second.
        assert!(linked.keys(linked.entry(own("d")).unwrap()).iter().all(Option::is_some));
    }

    /// The further keys of a pass, in order.
    fn further(linked: &Linked, entry: &str, pass: usize) -> Vec<Block> {
        let entry = linked.entry(own(entry)).unwrap();
        let of = linked.further().iter().filter(|key| (key.patient, key.pass) == (entry, pass));
        of.map(|key| key.key).collect()
    }

    #[test]
    fn a_patient_keeps_every_key_of_its_records_once_in_the_order_of_the_file() {
        let records =
            [("x", "9", ""), ("a", "1", "n"), ("a", "2", "n"), ("a", "1", "m"), ("a", "3", "m"), ("a", "2", "n")];
        let linked = link("first", &records).unwrap();
        let key = |id: &str, name: &str| link("first", &[("b", id, name)]).unwrap().keys(0).to_vec();
        assert_eq!(linked.keys(1), key("1", "n"));
        assert!(further(&linked, "a", 0).into_iter().map(Some).eq([key("2", "")[0], key("3", "")[0]]));
        assert!(further(&linked, "a", 1).into_iter().map(Some).eq([key("", "m")[1]]));
        assert!(further(&linked, "x", 0).is_empty());
        assert_eq!(linked.summary.further_keys, FurtherKeys { patients: 1, each: 2 });
    }

    #[test]
    fn more_keys_than_the_schema_allows_are_refused_with_what_to_declare() {
        let of_one =
            |keys: usize| (0..keys).map(|n| ["1", "2", "3", "4"][n]).map(|id| ("a", id, "")).collect::<Vec<_>>();
        assert!(link("exclude", &of_one(3)).is_ok());
        let error = link("exclude", &of_one(4)).unwrap_err();
        assert_eq!(error.code, "LINKAGE_FURTHER_KEYS");
        assert!(error.hint.unwrap().contains("further_keys = { patients = 2, each = 3 }"));
        let of_three = ["a", "b", "c"].map(|own| [(own, "", "n"), (own, "", "m")]);
        let mut records = of_three.concat();
        records.iter_mut().enumerate().for_each(|(at, record)| record.1 = ["1", "2", "3", "4", "5", "6"][at]);
        assert!(link("exclude", &records).unwrap_err().hint.unwrap().contains("patients = 3, each = 2"));
    }

    #[test]
    fn patients_without_a_valid_key_are_counted_and_not_entered() {
        let linked = link("first", &[("a", "1", ""), ("b", "", ""), ("c", "", ""), ("", "", "")]).unwrap();
        assert_eq!(linked.summary, Summary { records: 4, entered: 1, excluded: 3, further_keys: NOBODY });
        assert_eq!((linked.entry(own("b")), linked.entry(own("nobody"))), (None, None));
    }

    #[test]
    fn keys_of_two_patients_are_nobodys_where_duplicates_are_excluded() {
        let linked = link("exclude", &[("a", "1", "x"), ("b", "1", ""), ("c", "2", ""), ("c", "2", "")]).unwrap();
        assert_eq!(linked.summary, Summary { records: 4, entered: 2, excluded: 1, further_keys: NOBODY });
        let keys = linked.keys(linked.entry(own("a")).unwrap());
        assert!(keys[0].is_none() && keys[1].is_some());
        assert_eq!(linked.entry(own("b")), None);
        assert!(linked.entry(own("c")).is_some(), "two rows of one patient are no duplicate");
    }

    #[test]
    fn the_rule_to_refuse_duplicates_looks_at_patients_not_at_rows() {
        assert!(link("refuse", &[("a", "1", ""), ("a", "1", "")]).is_ok());
        let error = link("refuse", &[("a", "1", ""), ("b", "1", "")]).unwrap_err();
        assert_eq!(error.code, "LINKAGE_DUPLICATES");
        assert!(error.message.contains("pass id: 1 keys"), "{error}");
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", link("first", &[("a", "1", "x")]).unwrap()), "Linked(1 patients)");
    }
}
