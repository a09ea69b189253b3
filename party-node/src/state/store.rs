//! Tables of sealed records in one file, `ledger.redb`. A transaction is durable when it returns.
//!
//! What a row is called (its key) stands in clear; it is a digest, a random number or a count. What it holds is sealed.

use std::path::Path;

use mpc_core::control;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::audit::Event;
use super::vault::{Mark, Vault};
use crate::fault::NodeError;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Releases, by study and order.
    Releases,
    /// Where a release is, by its id.
    Places,
    /// The patients of a release, by its id and which of its sets.
    Sets,
    /// What counts against limits per period, by kind and time.
    Charges,
    /// Plans that wait for a decision.
    Inbox,
    /// What was approved.
    Approvals,
    /// What stewards read of a decision afterwards.
    Decided,
    /// Answers, by study, plan and snapshot.
    Answers,
    /// Budgets and use-once indices.
    Counters,
    /// Studies whose patient sets were deleted.
    Closed,
    /// The head, alone.
    Head,
    /// Jobs, by account and id: in a file of their own.
    Jobs,
    /// Their answers, by account, id and part: there too.
    JobAnswers,
}

impl Table {
    /// All of the ledger that hold rows; the head is the sum of them.
    pub(super) const ROWS: [Table; 10] = [
        Table::Releases,
        Table::Places,
        Table::Sets,
        Table::Charges,
        Table::Inbox,
        Table::Approvals,
        Table::Decided,
        Table::Answers,
        Table::Counters,
        Table::Closed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Releases => "releases",
            Table::Places => "places",
            Table::Sets => "sets",
            Table::Charges => "charges",
            Table::Inbox => "inbox",
            Table::Approvals => "approvals",
            Table::Decided => "decided",
            Table::Answers => "answers",
            Table::Counters => "counters",
            Table::Closed => "closed",
            Table::Head => "head",
            Table::Jobs => "jobs",
            Table::JobAnswers => "job answers",
        }
    }

    pub(super) fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// A row: its key in its table and its record, which is wiped when dropped.
pub type Row = (Vec<u8>, Zeroizing<Vec<u8>>);

/// What can be read in a transaction.
pub trait Rows {
    /// One record.
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError>;

    /// The rows whose keys are `from` or more, in order, as long as their keys begin with `prefix`.
    fn rows(&self, table: Table, prefix: &[u8], from: &[u8]) -> Result<Vec<Row>, NodeError>;

    /// One record as a value.
    fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, NodeError> {
        self.bytes(table, key)?.map(|bytes| from_bytes(table, &bytes)).transpose()
    }

    /// All records whose keys begin with `prefix`, as values, in the order of their keys.
    fn list<T: DeserializeOwned>(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, T)>, NodeError> {
        let rows = self.rows(table, prefix, prefix)?;
        rows.into_iter().map(|(key, bytes)| Ok((key, from_bytes(table, &bytes)?))).collect()
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
}

/// Pages that are kept in memory: 16 MiB hold the ledger of thousands of releases without their sets.
const CACHE_BYTES: usize = 16 << 20;

/// Rows of the head.
const HEAD: &[u8] = b"head";

impl Store {
    /// Opens the file, which must exist; an empty one is laid out.
    pub(super) fn open(path: &Path) -> Result<Self, NodeError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let database = database.map_err(|e| failed_in(&file, e))?;
        Ok(Self { database })
    }

    /// The state as of now.
    pub(super) fn view<'a>(&'a self, vault: &'a Vault) -> Result<View<'a>, NodeError> {
        Ok(View { vault, transaction: self.database.begin_read().map_err(failed)? })
    }

    /// An exclusive change.
    pub(super) fn begin(&self) -> Result<WriteTransaction, NodeError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::Immediate).map_err(failed)?;
        Ok(transaction)
    }
}

/// A table as it lies on disk.
pub(super) type Sealed = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A reader's transaction.
pub struct View<'a> {
    vault: &'a Vault,
    transaction: ReadTransaction,
}

impl View<'_> {
    /// The head's record.
    pub(super) fn head(&self) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
        self.bytes(Table::Head, HEAD)
    }

    /// The sum of the marks of all rows.
    pub(super) fn sum(&self) -> Result<Mark, NodeError> {
        let mut sum = [0; 32];
        for table in Table::ROWS {
            let Some(rows) = self.table(table)? else { continue };
            for row in rows.iter().map_err(failed)? {
                let (key, sealed) = row.map_err(failed)?;
                add(&mut sum, &self.vault.mark(table, key.value(), sealed.value()));
            }
        }
        Ok(sum)
    }

    pub(super) fn table(&self, table: Table) -> Result<Option<Sealed>, NodeError> {
        match self.transaction.open_table(table.definition()) {
            Ok(rows) => Ok(Some(rows)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Rows for View<'_> {
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
        self.table(table)?.map_or(Ok(None), |rows| one(self.vault, table, &rows, key))
    }

    fn rows(&self, table: Table, prefix: &[u8], from: &[u8]) -> Result<Vec<Row>, NodeError> {
        self.table(table)?.map_or(Ok(vec![]), |rows| range(self.vault, table, &rows, prefix, from))
    }
}

/// A change that is made as a whole or not at all. What it writes it also logs.
pub struct Change<'a> {
    vault: &'a Vault,
    transaction: &'a WriteTransaction,
    /// Sum of the marks of all rows.
    pub(super) sum: Mark,
    /// Records that were sealed in this change.
    pub(super) sealed: u64,
    pub(super) events: Vec<Event>,
}

impl<'a> Change<'a> {
    pub(super) fn new(vault: &'a Vault, transaction: &'a WriteTransaction, sum: Mark) -> Self {
        Self { vault, transaction, sum, sealed: 0, events: Vec::new() }
    }

    /// Appends to the log.
    pub fn log(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Writes a value.
    pub fn put<T: Serialize>(&mut self, table: Table, key: &[u8], value: &T) -> Result<(), NodeError> {
        self.put_bytes(table, key, &to_bytes(value)?)
    }

    /// Writes a record.
    pub fn put_bytes(&mut self, table: Table, key: &[u8], plain: &[u8]) -> Result<(), NodeError> {
        let sealed = self.vault.seal(table, key, plain)?;
        self.sealed += 1;
        let mut rows = self.transaction.open_table(table.definition()).map_err(failed)?;
        let old = rows.insert(key, sealed.as_slice()).map_err(failed)?;
        if let Some(old) = old {
            add(&mut self.sum, &self.vault.mark(table, key, old.value()));
        }
        add(&mut self.sum, &self.vault.mark(table, key, &sealed));
        Ok(())
    }

    /// Removes a record. Was there one?
    pub fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, NodeError> {
        let mut rows = self.transaction.open_table(table.definition()).map_err(failed)?;
        let old = rows.remove(key).map_err(failed)?;
        if let Some(old) = &old {
            add(&mut self.sum, &self.vault.mark(table, key, old.value()));
        }
        Ok(old.is_some())
    }

    /// Writes the head, which has no mark.
    pub(super) fn put_head(&self, plain: &[u8]) -> Result<(), NodeError> {
        let sealed = self.vault.seal(Table::Head, HEAD, plain)?;
        let mut rows = self.transaction.open_table(Table::Head.definition()).map_err(failed)?;
        rows.insert(HEAD, sealed.as_slice()).map_err(failed)?;
        Ok(())
    }
}

impl Rows for Change<'_> {
    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
        one(self.vault, table, &self.transaction.open_table(table.definition()).map_err(failed)?, key)
    }

    fn rows(&self, table: Table, prefix: &[u8], from: &[u8]) -> Result<Vec<Row>, NodeError> {
        range(self.vault, table, &self.transaction.open_table(table.definition()).map_err(failed)?, prefix, from)
    }
}

pub(super) fn one(
    vault: &Vault,
    table: Table,
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
    let sealed = rows.get(key).map_err(failed)?;
    sealed.map(|sealed| vault.open(table, key, sealed.value())).transpose()
}

pub(super) fn range(
    vault: &Vault,
    table: Table,
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    from: &[u8],
) -> Result<Vec<Row>, NodeError> {
    let mut found = Vec::new();
    for row in rows.range(from..).map_err(failed)? {
        let (key, sealed) = row.map_err(failed)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_vec(), vault.open(table, key.value(), sealed.value())?));
    }
    Ok(found)
}

/// The keys that begin so.
pub(super) fn keys(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
) -> Result<Vec<Vec<u8>>, NodeError> {
    let mut found = Vec::new();
    for row in rows.range(prefix..).map_err(failed)? {
        let (key, _) = row.map_err(failed)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push(key.value().to_vec());
    }
    Ok(found)
}

fn add(sum: &mut Mark, mark: &Mark) {
    sum.iter_mut().zip(mark).for_each(|(sum, mark)| *sum ^= mark);
}

/// A value as JSON; wiped when dropped. Written once its length is known: a buffer that grows leaves copies behind.
pub(super) fn to_bytes<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    let mut length = Length(0);
    let unwritable = |e: serde_json::Error| NodeError::new("INTERNAL", format!("a record has no JSON form: {e}"));
    serde_json::to_writer(&mut length, value).map_err(unwritable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value).map_err(unwritable)?;
    Ok(bytes)
}

pub(super) fn from_bytes<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, NodeError> {
    // serde's message may quote the record.
    serde_json::from_slice(bytes).map_err(|_| other_form(table))
}

fn other_form(table: Table) -> NodeError {
    NodeError::new("LEDGER_DAMAGED", format!("a record of table {} has another form", table.name()))
        .hint("was the folder written by another version?")
}

/// A large value in the form of control messages: what has a thousand numbers is read many times as fast as JSON.
pub(super) fn to_record<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    control::encode_record(value).map_err(|e| NodeError::new("INTERNAL", format!("a record has no form: {e}")))
}

pub(super) fn from_record<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, NodeError> {
    control::decode_record(bytes).map_err(|_| other_form(table))
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failed(error: impl Into<redb::Error>) -> NodeError {
    failed_in("a database of the state", error)
}

/// What a fault of redb is, in a file.
pub(super) fn failed_in(file: &str, error: impl Into<redb::Error>) -> NodeError {
    let error = error.into();
    let code = match &error {
        redb::Error::DatabaseAlreadyOpen => "STATE_IN_USE",
        redb::Error::Corrupted(_) => "LEDGER_DAMAGED",
        _ => "STATE_FAILED",
    };
    NodeError::new(code, format!("{file}: {error}"))
}
