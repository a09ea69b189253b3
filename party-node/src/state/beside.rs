//! Sealed rows in a file of their own, `jobs.redb`: durable when a call returns, not logged, and deleted when their time is over.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::hex;
use super::store::{self, Store, Table};
use super::vault::Vault;
use crate::config::missing;
use crate::fault::NodeError;
use crate::secret_file::owned;

/// Its name in the state's folder.
pub(super) const FILE: &str = "jobs.redb";

/// The file, which is made when it is first used. Its methods block on the disk.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    vault: Vault,
    store: OnceLock<Store>,
    /// Held while the file is opened: one process opens it once.
    opening: Mutex<()>,
}

/// What is read of a job to learn whose it is.
#[derive(Deserialize)]
struct Of {
    #[serde(with = "hex")]
    study_digest: [u8; 32],
}

/// What a change writes: rows and their values, or keys whose beginnings are deleted.
pub struct Write {
    put: Vec<(Table, Vec<u8>, Zeroizing<Vec<u8>>)>,
    remove: Vec<(Table, Vec<u8>)>,
}

impl Write {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { put: Vec::new(), remove: Vec::new() }
    }

    /// A row.
    pub fn put<T: Serialize>(mut self, table: Table, key: &[u8], value: &T) -> Result<Self, NodeError> {
        self.put.push((table, key.to_vec(), store::to_bytes(value)?));
        Ok(self)
    }

    /// All rows whose keys begin so are deleted first.
    pub fn remove(mut self, table: Table, prefix: &[u8]) -> Self {
        self.remove.push((table, prefix.to_vec()));
        self
    }
}

impl Default for Write {
    fn default() -> Self {
        Self::new()
    }
}

impl Beside {
    pub(super) fn new(path: PathBuf, vault: Vault) -> Self {
        Self { path, vault, store: OnceLock::new(), opening: Mutex::default() }
    }

    /// Makes a change as a whole.
    ///
    /// # Errors
    /// `STATE_FAILED`, `FILE_FAILED`.
    pub fn write(&self, write: Write) -> Result<(), NodeError> {
        let transaction = self.store()?.begin()?;
        for (table, prefix) in &write.remove {
            let mut rows = transaction.open_table(table.definition()).map_err(failed)?;
            for key in store::keys(&rows, prefix)? {
                rows.remove(key.as_slice()).map_err(failed)?;
            }
        }
        for (table, key, plain) in &write.put {
            let sealed = self.vault.seal(*table, key, plain)?;
            let mut rows = transaction.open_table(table.definition()).map_err(failed)?;
            rows.insert(key.as_slice(), sealed.as_slice()).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// One record as a value.
    ///
    /// # Errors
    /// `LEDGER_DAMAGED` when it was changed, `STATE_FAILED`.
    pub fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, NodeError> {
        let view = self.store()?.view(&self.vault)?;
        let Some(rows) = view.table(table)? else { return Ok(None) };
        let bytes = store::one(&self.vault, table, &rows, key)?;
        bytes.map(|bytes| store::from_bytes(table, &bytes)).transpose()
    }

    /// All records whose keys begin so, with their keys, in the order of these.
    ///
    /// # Errors
    /// As [`Beside::get`].
    pub fn list<T: DeserializeOwned>(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, T)>, NodeError> {
        let view = self.store()?.view(&self.vault)?;
        let Some(rows) = view.table(table)? else { return Ok(Vec::new()) };
        let rows = store::range(&self.vault, table, &rows, prefix, prefix)?;
        rows.into_iter().map(|(key, bytes)| Ok((key, store::from_bytes(table, &bytes)?))).collect()
    }

    /// The keys that begin so; no record is opened.
    ///
    /// # Errors
    /// `STATE_FAILED`.
    pub fn keys(&self, table: Table, prefix: &[u8]) -> Result<Vec<Vec<u8>>, NodeError> {
        let view = self.store()?.view(&self.vault)?;
        view.table(table)?.map_or_else(|| Ok(Vec::new()), |rows| store::keys(&rows, prefix))
    }

    /// Deletes every job of a study with its answer. How many jobs there were.
    pub(super) fn forget_jobs(&self, study: &[u8; 32]) -> Result<u64, NodeError> {
        if self.store.get().is_none() && !self.path.exists() {
            return Ok(0);
        }
        let all: Vec<(Vec<u8>, Of)> = self.list(Table::Jobs, &[])?;
        let keys: Vec<Vec<u8>> =
            all.into_iter().filter(|(_, of)| of.study_digest == *study).map(|(key, _)| key).collect();
        let both = |write: Write, key: &Vec<u8>| write.remove(Table::Jobs, key).remove(Table::JobAnswers, key);
        self.write(keys.iter().fold(Write::new(), both))?;
        Ok(keys.len() as u64)
    }

    /// Bytes that only this key gives.
    pub fn secret(&self, label: &str) -> [u8; 32] {
        self.vault.secret(label)
    }

    fn store(&self) -> Result<&Store, NodeError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let _first = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        owned(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&self.path)
            .map_err(|e| missing(&self.path, &e))?;
        let store = Store::open(&self.path)?;
        Ok(self.store.get_or_init(|| store))
    }
}

fn failed(error: impl Into<redb::Error>) -> NodeError {
    store::failed_in(FILE, error)
}
