//! The patients of a figure.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::store::{Change, Rows, Table};
use crate::fault::NodeError;

/// Bytes of a patient: a hash of its key.
const PATIENT_BYTES: usize = 16;

/// A site's own patients that contribute to one figure of a release. Does not print and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientSet {
    label: String,
    patients: Vec<[u8; PATIENT_BYTES]>,
}

impl PatientSet {
    /// From hashes of patients' keys in any order; each counts once.
    pub fn new(label: impl Into<String>, mut patients: Vec<[u8; PATIENT_BYTES]>) -> Self {
        patients.sort_unstable();
        patients.dedup();
        Self { label: label.into(), patients }
    }

    /// Which figure.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The patients, ascending.
    pub fn patients(&self) -> &[[u8; PATIENT_BYTES]] {
        &self.patients
    }

    /// Length of the label, label, patients.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length = 4 + self.label.len() + PATIENT_BYTES * self.patients.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend_from_slice(&(self.label.len() as u32).to_be_bytes());
        bytes.extend_from_slice(self.label.as_bytes());
        bytes.extend_from_slice(self.patients.as_flattened());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (label, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (patients, []) = rest.as_chunks() else { return None };
        Some(Self { label: std::str::from_utf8(label).ok()?.to_owned(), patients: patients.to_vec() })
    }
}

impl fmt::Debug for PatientSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientSet")
    }
}

impl Drop for PatientSet {
    fn drop(&mut self) {
        self.label.zeroize();
        self.patients.zeroize();
    }
}

/// Writes the sets of a release.
pub(super) fn put(change: &mut Change, release: &[u8; 16], sets: &[PatientSet]) -> Result<(), NodeError> {
    for (number, set) in sets.iter().enumerate() {
        let key = [release.as_slice(), &(number as u32).to_be_bytes()].concat();
        change.put_bytes(Table::Sets, &key, &set.to_bytes())?;
    }
    Ok(())
}

/// The sets of a release, in order.
pub(super) fn of(rows: &impl Rows, release: &[u8; 16]) -> Result<Vec<PatientSet>, NodeError> {
    let damaged = || NodeError::new("LEDGER_DAMAGED", "a set of patients has another form");
    let rows = rows.rows(Table::Sets, release, release)?;
    rows.iter().map(|(_, bytes)| PatientSet::from_bytes(bytes).ok_or_else(damaged)).collect()
}

/// Deletes the sets of a release. How many there were.
pub(super) fn delete(change: &mut Change, release: &[u8; 16]) -> Result<u64, NodeError> {
    let keys: Vec<Vec<u8>> = change.rows(Table::Sets, release, release)?.into_iter().map(|(key, _)| key).collect();
    keys.iter().try_for_each(|key| change.remove(Table::Sets, key).map(drop))?;
    Ok(keys.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_its_bytes_and_no_shorter_ones_are_taken() {
        for patients in [vec![], vec![[2; 16], [1; 16], [2; 16]]] {
            let set = PatientSet::new("Köln", patients);
            let bytes = set.to_bytes();
            assert!(PatientSet::from_bytes(&bytes) == Some(set));
            assert!(
                (0..bytes.len()).all(
                    |end| (bytes.len() - end).is_multiple_of(16) || PatientSet::from_bytes(&bytes[..end]).is_none()
                )
            );
        }
    }
}
