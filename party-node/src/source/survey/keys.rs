//! Keys of tables compared: duplicates, and keys that are not among a table's. What is held are at most [`HELD`] hashes of 64 bits (16
//! MiB); a table with more keys is read several times, each time for the keys of one part.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use query_planner::catalog::ColumnType;

use super::files::Table;
use crate::fault::NodeError;
use crate::source::parse;

/// Hashes held at a time. Two of 10^7 keys have the same hash by an accident of 3 in 10^6.
const HELD: u64 = 1 << 21;

/// A column of keys.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub table: &'a Table,
    pub column: usize,
    pub expected: ColumnType,
}

impl Keys<'_> {
    /// Rows whose key an earlier row has.
    pub fn repeated(self, rows: u64) -> Result<u64, NodeError> {
        let (parts, mut repeated) = (parts_of(rows), 0);
        for part in 0..parts {
            let mut hashes = self.hashes(parts, part)?;
            let all = hashes.len();
            hashes.sort_unstable();
            hashes.dedup();
            repeated += (all - hashes.len()) as u64;
        }
        Ok(repeated)
    }

    /// Of each of `others`, the rows whose key is not among these.
    pub fn missing(self, rows: u64, others: &[Keys<'_>]) -> Result<Vec<u64>, NodeError> {
        let (parts, mut missing) = (parts_of(rows), vec![0; others.len()]);
        for part in 0..parts {
            let mut known = self.hashes(parts, part)?;
            known.sort_unstable();
            for (other, missing) in others.iter().zip(&mut missing) {
                other.each(|hash| {
                    *missing += u64::from(hash % parts == part && known.binary_search(&hash).is_err());
                })?;
            }
        }
        Ok(missing)
    }

    fn hashes(self, parts: u64, part: u64) -> Result<Vec<u64>, NodeError> {
        let mut hashes = Vec::new();
        self.each(|hash| {
            if hash % parts == part {
                hashes.push(hash);
            }
        })?;
        Ok(hashes)
    }

    /// The hash of every key that is not NULL.
    fn each(self, mut take: impl FnMut(u64)) -> Result<(), NodeError> {
        self.table.visit(&[self.column], |fields| {
            if let Some(text) = fields[0] {
                take(hash(&canonical(text, self.expected)));
            }
        })
    }
}

fn parts_of(rows: u64) -> u64 {
    rows.div_ceil(HELD).max(1)
}

/// 64 bits that stand for a text.
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// One number has one spelling: some programs write a column of whole numbers as `7.0`.
pub(super) fn canonical(text: &str, expected: ColumnType) -> Cow<'_, str> {
    if expected != ColumnType::Int || parse::is_short_int(text) && text != "-0" {
        return Cow::Borrowed(text);
    }
    match parse::int(text.strip_suffix(".0").unwrap_or(text)) {
        Ok(number) => Cow::Owned(number.to_string()),
        Err(_) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_key_however_it_is_written() {
        for text in ["7", "007", "7.0"] {
            assert_eq!(canonical(text, ColumnType::Int), "7");
        }
        assert_eq!(canonical("007", ColumnType::Text), "007");
        assert_eq!(canonical("x", ColumnType::Int), "x");
    }

    #[test]
    fn a_table_of_many_keys_is_read_in_parts() {
        assert_eq!([0, 1, HELD, HELD + 1, 10_000_000].map(parts_of), [1, 1, 1, 2, 5]);
    }
}
