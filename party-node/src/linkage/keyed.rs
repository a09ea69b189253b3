//! Keys of records: made, grouped, and reduced by the rule for duplicates.

use std::fmt;

use mpc_core::Block;
use query_planner::linkage::FurtherKeys;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::report::Report;
use super::schema::Duplicates;
use super::text::Text;
use crate::fault::{NodeError, printable};

/// The keys of one site's records in every pass, and the report about them.
#[derive(Debug)]
pub struct Keyed {
    /// In the order of the schema's passes.
    pub passes: Vec<RecordKeys>,
    /// Counts.
    pub report: Report,
    pub(super) duplicates: Duplicates,
    /// What the schema allows.
    pub(super) further_keys: FurtherKeys,
    pub(super) patients: Vec<u32>,
}

/// One pass's key of every record, or none. A key says who somebody is to anybody with a list of names, so keys do not
/// print and are wiped when dropped.
#[derive(PartialEq, Eq)]
pub struct RecordKeys {
    keys: Zeroizing<Vec<Option<Block>>>,
}

impl Keyed {
    /// The keys after the schema's rule for duplicates: in each pass every key stands at one record at most.
    ///
    /// # Errors
    /// `LINKAGE_DUPLICATES` when the rule is to refuse them and there are some: the pass and how many.
    pub fn matchable(&self) -> Result<Vec<RecordKeys>, NodeError> {
        let named = self.passes.iter().zip(&self.report.passes);
        named.map(|(keys, report)| keys.without_duplicates(self.duplicates, &report.name)).collect()
    }

    /// For every record the first record of the same patient: records that share a key of any pass, directly or through
    /// others, are one patient. A patient of the receiving site counts once, whichever records match in whichever pass.
    /// Where duplicates are excluded, an equal key is no proof, and every record is a patient of its own.
    pub fn patients(&self) -> &[u32] {
        &self.patients
    }

    /// Is the patient found? For every record that is the first of its patient: did any record of the patient match in any
    /// pass? `matched` has, for every pass, a truth value for every record; records that are not the first are false.
    ///
    /// # Errors
    /// `LINKAGE_SHAPE` when a pass or a record is missing.
    pub fn matched_patients(&self, matched: &[Vec<bool>]) -> Result<Vec<bool>, NodeError> {
        let records = self.patients.len();
        if matched.len() != self.passes.len() || matched.iter().any(|pass| pass.len() != records) {
            return Err(NodeError::new("LINKAGE_SHAPE", "a match is said for every pass and every record"));
        }
        let mut found = vec![false; records];
        for pass in matched {
            for (first, matched) in self.patients.iter().zip(pass) {
                found[*first as usize] |= *matched;
            }
        }
        Ok(found)
    }
}

impl RecordKeys {
    pub(super) fn new(keys: Zeroizing<Vec<Option<Block>>>) -> Self {
        Self { keys }
    }

    /// By record.
    pub fn as_slice(&self) -> &[Option<Block>] {
        &self.keys
    }

    /// Records that share a key, group by group, each in the order of the file.
    pub(super) fn groups(&self) -> Groups {
        let with_key = self.keys.iter().zip(0..).filter_map(|(key, record)| key.map(|key| (key, record)));
        let mut order = Zeroizing::new(Vec::with_capacity(self.keys.len()));
        order.extend(with_key);
        // In place: a stable sort would leave a copy of the keys behind.
        order.sort_unstable_by_key(|(key, record): &(Block, u32)| (key.0, *record));
        Groups { order }
    }

    fn without_duplicates(&self, rule: Duplicates, pass: &str) -> Result<RecordKeys, NodeError> {
        let mut keys = self.keys.clone();
        let mut repeated = 0;
        let groups = self.groups();
        for group in groups.iter().filter(|group| group.len() > 1) {
            repeated += 1;
            let kept = if rule == Duplicates::First { 1 } else { 0 };
            for (_, record) in &group[kept..] {
                keys[*record as usize].zeroize();
            }
        }
        if rule == Duplicates::Refuse && repeated > 0 {
            let message = format!("pass {}: {repeated} keys are shared by several records", printable(pass));
            let hint = "remove the duplicates, or agree on duplicates = \"first\" or \"exclude\"";
            return Err(NodeError::new("LINKAGE_DUPLICATES", message).hint(hint));
        }
        Ok(RecordKeys { keys })
    }
}

impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKeys({} records)", self.keys.len())
    }
}

/// Keys and their records, sorted by key.
pub(super) struct Groups {
    order: Zeroizing<Vec<(Block, u32)>>,
}

impl Groups {
    pub fn iter(&self) -> impl Iterator<Item = &[(Block, u32)]> {
        self.order.chunk_by(|a, b| a.0 == b.0)
    }
}

/// The first record of each record's patient.
pub(super) fn patients(records: usize, passes: &[Groups]) -> Vec<u32> {
    let mut first: Vec<u32> = (0..).take(records).collect();
    for group in passes.iter().flat_map(Groups::iter) {
        for (_, record) in &group[1..] {
            let (one, other) = (root(&mut first, group[0].1), root(&mut first, *record));
            // Towards the lower number, so that a patient is named by the first record.
            first[one.max(other) as usize] = one.min(other);
        }
    }
    (0..).take(records).map(|record| root(&mut first, record)).collect()
}

/// A key of a patient beside the first that its records have in that pass. It does not print; who holds it wipes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FurtherKey {
    /// Whose: the number of its entry, or of its first record.
    pub patient: usize,
    /// In which pass.
    pub pass: usize,
    /// The key.
    pub key: Block,
}

impl Zeroize for FurtherKey {
    fn zeroize(&mut self) {
        self.key.zeroize();
    }
}

/// All further keys, each once, by patient and pass and then in the order of the file. `first` is the first record of each record's
/// patient.
pub(super) fn further_keys(first: &[u32], passes: &[RecordKeys]) -> Zeroizing<Vec<FurtherKey>> {
    let mut found: Zeroizing<Vec<(u32, u32, Block, u32)>> = Zeroizing::new(Vec::new());
    for (pass, keys) in (0..).zip(passes) {
        let mut known: Zeroizing<Vec<Option<Block>>> = Zeroizing::new(vec![None; first.len()]);
        for ((record, patient), key) in (0..).zip(first).zip(keys.as_slice()) {
            let (known, Some(key)) = (&mut known[*patient as usize], *key) else { continue };
            if *known.get_or_insert(key) != key {
                found.push((*patient, pass, key, record));
            }
        }
    }
    // Of several records with one key the first stays.
    found.sort_unstable_by_key(|(patient, pass, key, record)| (*patient, *pass, key.0, *record));
    found.dedup_by_key(|(patient, pass, key, _)| (*patient, *pass, key.0));
    found.sort_unstable_by_key(|(patient, pass, _, record)| (*patient, *pass, *record));
    let further = |(patient, pass, key, _): &(u32, u32, Block, u32)| FurtherKey {
        patient: *patient as usize,
        pass: *pass as usize,
        key: *key,
    };
    Zeroizing::new(found.iter().map(further).collect())
}

/// What a linkage file must allow for these.
pub(super) fn needed(further: &[FurtherKey]) -> FurtherKeys {
    let patients = further.chunk_by(|a, b| a.patient == b.patient).count();
    let in_pass = further.chunk_by(|a, b| (a.patient, a.pass) == (b.patient, b.pass));
    FurtherKeys { patients: patients as u64, each: in_pass.map(<[FurtherKey]>::len).max().unwrap_or(0) as u64 }
}

/// Follows a record to the first of its patient, halving the way for those who come later.
fn root(first: &mut [u32], mut record: u32) -> u32 {
    while first[record as usize] != record {
        first[record as usize] = first[first[record as usize] as usize];
        record = first[record as usize];
    }
    record
}

/// The key of one record in one pass: 16 bytes of SHA-256 over the domain, the study, the number of the pass and the parts with
/// their numbers, every text after its length, so that ("ab", "c") and ("a", "bc") differ. Two of 2^24 records of either
/// side meet by chance with probability 2^-80.
pub(super) fn key(study: &str, pass: usize, parts: &[Text]) -> Block {
    let length = |bytes: usize| (bytes as u64).to_le_bytes();
    let texts: usize = parts.iter().map(|part| 16 + part.as_str().len()).sum();
    let mut message = Zeroizing::new(Vec::with_capacity(DOMAIN.len() + 24 + study.len() + texts));
    message.extend_from_slice(DOMAIN);
    message.extend_from_slice(&length(study.len()));
    message.extend_from_slice(study.as_bytes());
    message.extend_from_slice(&length(pass));
    message.extend_from_slice(&length(parts.len()));
    for (i, part) in parts.iter().enumerate() {
        message.extend_from_slice(&length(i));
        message.extend_from_slice(&length(part.as_str().len()));
        message.extend_from_slice(part.as_str().as_bytes());
    }
    let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(&*message)));
    let (half, _) = digest.split_first_chunk().expect("32 bytes have a first half");
    Block::from_le_bytes(*half)
}

const DOMAIN: &[u8] = b"consilium/linkage/key/v1";
