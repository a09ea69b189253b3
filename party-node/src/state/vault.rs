//! Encryption of what lies on disk, under a key that is kept apart.
//!
//! A record is sealed with AES-256-GCM under a key derived from `state.key`, a nonce of 96 random bits from the operating
//! system, and its table and its key in that table as associated data: what is stored in one place does not open in
//! another. Random nonces allow 2^32 records under one key (NIST SP 800-38D, 8.3: a repeated nonce then has a probability
//! below 2^-32); the store counts what was sealed and stops there ([`MAX_SEALED`]).
//!
//! An old record put back in its own place would open. So the store also keeps the sum (XOR) of a pseudo-random mark of
//! every row, [`Vault::mark`], in its sealed head: rows that are changed, removed, added or put back one by one give
//! another sum. Whoever has the files and not the key sees marks of no row, so that he can find no rows whose sums agree.
//!
//! What is not hidden: how many rows there are, their lengths (sixteen bytes for each patient of a set), when they were written,
//! and their keys in the tables, which are digests and random numbers. `ring` does not wipe its expanded keys.

use std::fmt;

use mpc_core::random;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::store::Table;
use crate::fault::NodeError;

/// Records that one key may seal.
pub const MAX_SEALED: u64 = 1 << 32;

/// Bytes of a key file.
pub(super) const KEY_BYTES: usize = 32;

const TAG_BYTES: usize = 16;

/// Seals and opens records. Does not print.
pub(super) struct Vault {
    seal: LessSafeKey,
    mark: hmac::Key,
}

/// What a row adds to the sum of all rows.
pub(super) type Mark = [u8; 32];

impl Vault {
    /// From the bytes of a key file, for what is kept beside the ledger: nothing that one of the two seals opens with the other.
    pub(super) fn beside(key: &[u8]) -> Result<Self, NodeError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, key);
        let own = hmac::sign(&root, b"consilium state v1 beside");
        if key.len() == KEY_BYTES { Self::new(own.as_ref()) } else { Self::new(key) }
    }

    /// From the bytes of a key file.
    pub(super) fn new(key: &[u8]) -> Result<Self, NodeError> {
        if key.len() != KEY_BYTES {
            return Err(NodeError::new("BAD_KEY_FILE", format!("a state key has {KEY_BYTES} bytes")));
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, key);
        let seal = hmac::sign(&root, b"consilium state v1 seal");
        let mark = hmac::sign(&root, b"consilium state v1 mark");
        // SHA-256 has the 32 bytes that AES-256 takes.
        let seal = UnboundKey::new(&AES_256_GCM, seal.as_ref()).expect("32 bytes");
        Ok(Self { seal: LessSafeKey::new(seal), mark: hmac::Key::new(hmac::HMAC_SHA256, mark.as_ref()) })
    }

    /// Pseudo-random bytes for a label; no row has a mark of its form.
    pub(super) fn secret(&self, label: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.mark, format!("consilium secret v1 {label}").as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// Nonce, ciphertext and tag: 28 bytes more than the record.
    pub(super) fn seal(&self, table: Table, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, NodeError> {
        let nonce: [u8; NONCE_LEN] = fresh()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.seal.seal_in_place_separate_tag(nonce, place(table, key), &mut sealed[NONCE_LEN..]);
        // GCM takes 64 GiB at a time; a record of that length has no memory to be in.
        sealed.extend_from_slice(tag.expect("shorter than 64 GiB").as_ref());
        Ok(sealed)
    }

    /// The record; wiped when dropped.
    ///
    /// # Errors
    /// `LEDGER_DAMAGED` when it was sealed elsewhere, by another key, or was changed.
    pub(super) fn open(&self, table: Table, key: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NodeError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(|| damaged(table))?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.seal.open_in_place(nonce, place(table, key), &mut plain).map_err(|_| damaged(table))?.len();
        plain.truncate(opened);
        Ok(plain)
    }

    /// A row's mark: HMAC-SHA256 of its place, its nonce and its tag. A row with these and another ciphertext does not open.
    pub(super) fn mark(&self, table: Table, key: &[u8], sealed: &[u8]) -> Mark {
        let mut context = hmac::Context::with_key(&self.mark);
        let (nonce, rest) = sealed.split_at(NONCE_LEN.min(sealed.len()));
        for part in [place(table, key).as_ref(), nonce, &rest[rest.len().saturating_sub(TAG_BYTES)..]] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

/// Random bytes of the operating system, up to 32.
pub(super) fn fresh<const N: usize>() -> Result<[u8; N], NodeError> {
    let bytes = random::os_bytes().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    Ok(*bytes.first_chunk().expect("no more than 32 bytes are asked for"))
}

fn place(table: Table, key: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([b"consilium ", table.name().as_bytes(), b"\0", key].concat())
}

fn damaged(table: Table) -> NodeError {
    NodeError::new("LEDGER_DAMAGED", format!("a record of table {} does not open", table.name()))
        .hint("is state.key the key of this folder? A changed record cannot be repaired, only restored with its log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_in_its_own_place_under_its_own_key_only() {
        let (vault, other) = (Vault::new(&[1; 32]).unwrap(), Vault::new(&[2; 32]).unwrap());
        let sealed = vault.seal(Table::Releases, b"a", b"record").unwrap();
        assert_eq!(*vault.open(Table::Releases, b"a", &sealed).unwrap(), b"record");
        assert!(vault.open(Table::Releases, b"b", &sealed).is_err());
        assert!(vault.open(Table::Answers, b"a", &sealed).is_err());
        assert_eq!(other.open(Table::Releases, b"a", &sealed).unwrap_err().code, "LEDGER_DAMAGED");
        assert_ne!(vault.mark(Table::Releases, b"a", &sealed), other.mark(Table::Releases, b"a", &sealed));
    }

    #[test]
    fn no_byte_of_a_record_can_be_changed_or_left_out() {
        let vault = Vault::new(&[1; 32]).unwrap();
        let sealed = vault.seal(Table::Releases, b"a", b"record").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(Table::Releases, b"a", &changed).is_err(), "byte {at}");
            assert!(vault.open(Table::Releases, b"a", &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn equal_records_look_different() {
        let vault = Vault::new(&[1; 32]).unwrap();
        let seal = || vault.seal(Table::Releases, b"a", b"record").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn what_is_kept_beside_the_ledger_has_a_key_of_its_own() {
        let (vault, beside) = (Vault::new(&[1; 32]).unwrap(), Vault::beside(&[1; 32]).unwrap());
        let sealed = beside.seal(Table::Jobs, b"a", b"record").unwrap();
        assert!(vault.open(Table::Jobs, b"a", &sealed).is_err());
        assert_eq!(*Vault::beside(&[1; 32]).unwrap().open(Table::Jobs, b"a", &sealed).unwrap(), b"record");
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(Vault::new(&[1; 31]).unwrap_err().code, "BAD_KEY_FILE");
    }
}
