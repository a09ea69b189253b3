//! What a site keeps on disk: `ledger.redb` (sealed tables), `audit.log` (signed lines) and, apart from them, `state.key`.
//!
//! # Two files, one order
//! Whatever changes the ledger also logs. A change is
//! 1. one transaction of the ledger, with the new rows, and a head: the number of the change, the sum of all rows' marks, the
//!    lines for the log as signed bytes, and where the log ends before and after them. Its commit (fsync) is the moment at which
//!    the change is made;
//! 2. the lines, appended to the log; fsync. Only then does the caller hear that it is done.
//!
//! Killed before the commit, nothing happened, and the caller had not been told that it had. Killed after it, the
//! change stands: the log lacks its last lines, or has a part of them, and the next start writes them from the head, byte for
//! byte, and logs how many it wrote. So nothing that was reserved or begun is forgotten, whether or not the
//! caller heard of it, and nothing is refunded. The log is never ahead of the ledger: a longer log is an older ledger, a log
//! shorter than the end before the last change an older or cut log; both are `LEDGER_ROLLED_BACK`, and the node does not
//! start. Within the ledger, rows put back one by one give another sum: the same code. A log cut exactly behind the
//! last change but one looks like a crash, and is completed.
//!
//! Both files put back together to one earlier moment look like that moment, to this site. The others have its newer head in their
//! logs and state it when they are ready for a release: see [`audit::Event::Heads`]. A folder deleted as a whole shows
//! in the key that is left; folder and key deleted together only at the other sites.
//!
//! When a commit or an append fails (the disk is full), it is not known what is on disk. The state then refuses every change
//! until it is opened again.
//!
//! # First start
//! The key is made under another name and gets its own when ledger and log have their first record. A start that was interrupted
//! before that begins anew: nothing had been answered under it.
//!
//! # Beside the ledger
//! `jobs.redb` holds what a node does for its own analysts ([`beside`]): sealed under a key of its own, made of the same file. It is no
//! record of what came out, so that it is not logged and not summed; whoever puts it back to an earlier state gets jobs
//! that ask again, which the ledger judges as it judges every question.
//!
//! # Deletion
//! A deleted row is gone from the tables; its ciphertext may lie in unused pages of the file until they are written again.
//! It opens with the key only.

pub mod audit;
pub mod beside;
mod budget;
mod closing;
pub(crate) mod hex;
pub mod inbox;
pub mod ledger;
pub mod limits;
mod matched;
pub mod moment;
mod open;
mod past;
mod review;
mod store;
#[cfg(test)]
mod tests;
mod vault;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use mpc_core::identity::Identity;
use serde::{Deserialize, Serialize};

use crate::fault::NodeError;
use audit::{Entry, Event, Head, LogFile, Tail};
use beside::Beside;
use moment::{Hook, Moment};
use store::Store;
pub use store::{Change, Row, Rows, Table, View};
pub use vault::MAX_SEALED;
use vault::{Mark, Vault};

/// What a site keeps. Its methods block on the disk. One process has a folder at a time.
#[derive(Debug)]
pub struct State {
    log_path: PathBuf,
    identity: Identity,
    vault: Vault,
    store: Store,
    beside: Beside,
    /// Held while a study is closed, and while something of a study is written beside the ledger.
    closing: Mutex<()>,
    writer: Mutex<Writer>,
    hook: Hook,
    /// Held as long as the state is open.
    lock: File,
}

/// What only one change at a time may touch.
#[derive(Debug)]
struct Writer {
    top: Top,
    log: LogFile,
    /// What is on disk is not known.
    broken: bool,
}

/// The ledger's head.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Top {
    /// Number of the last change.
    epoch: u64,
    /// Records sealed so far.
    sealed: u64,
    /// Sum of the marks of all rows.
    #[serde(with = "hex")]
    sum: Mark,
    tail: Tail,
}

impl State {
    /// Opens the state in a folder, or makes it; the key file is made with it. Holds log and ledger against each other,
    /// completes what a crash interrupted, and logs the start.
    ///
    /// # Errors
    /// `LEDGER_ROLLED_BACK`, `AUDIT_BROKEN`, `LEDGER_DAMAGED` when the files are not as they were left; `KEY_FILE_OPEN`,
    /// `BAD_KEY_FILE`, `NO_STATE_KEY`; `STATE_IN_USE` when another process has the folder; `STATE_FAILED`, `FILE_FAILED`.
    pub fn open(folder: &Path, key_path: &Path, identity: &Identity) -> Result<Self, NodeError> {
        Self::open_with(folder, key_path, identity, Hook::default())
    }

    /// Makes a change, as a whole or not at all, durably. Changes wait for each other: what `make` reads stays true until it
    /// is done. It must log what it writes, and not call the state.
    ///
    /// # Errors
    /// Those of `make`, after which nothing is changed; `STATE_FAILED`, after which the change may have been made, and
    /// none is possible until the state is opened again; `STATE_KEY_WORN`.
    pub fn change<R>(&self, make: impl FnOnce(&mut Change) -> Result<R, NodeError>) -> Result<R, NodeError> {
        let mut writer = self.writer()?;
        let transaction = self.store.begin()?;
        let mut change = Change::new(&self.vault, &transaction, writer.top.sum);
        let made = make(&mut change)?;
        if change.events.is_empty() && change.sum == writer.top.sum {
            return Ok(made);
        }
        let top = self.extended(&writer.top, &mut change)?;
        change.put_head(&store::to_bytes(&top)?)?;
        drop(change);
        // From here on an error leaves open what is on disk.
        writer.broken = true;
        self.hook.at(Moment::BeforeCommit);
        transaction.commit().map_err(|e| store::failed_in("ledger.redb", e))?;
        self.hook.at(Moment::Committed);
        writer.top = top;
        let Writer { top, log, broken } = &mut *writer;
        log.append(&top.tail.lines, &self.hook)?;
        self.hook.at(Moment::Synced);
        *broken = false;
        Ok(made)
    }

    /// The state as it is now.
    pub fn view(&self) -> Result<View<'_>, NodeError> {
        self.store.view(&self.vault)
    }

    /// What is kept beside the ledger.
    pub fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Logs something that changes nothing else.
    pub fn log(&self, event: Event) -> Result<(), NodeError> {
        self.change(|change| {
            change.log(event);
            Ok(())
        })
    }

    /// Where the log ends.
    pub fn head(&self) -> Result<Head, NodeError> {
        Ok(self.writer()?.top.tail.to.head)
    }

    /// Number of the last change.
    pub fn epoch(&self) -> Result<u64, NodeError> {
        Ok(self.writer()?.top.epoch)
    }

    /// The log's file, for [`audit::verify()`] and [`audit::entries`].
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// The log as JSON lines, and a signed line that says where it ends.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), NodeError> {
        let end = self.writer()?.top.tail.to;
        audit::export(&self.log_path, end.bytes, (end.head, now_ms()), &self.identity, out)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, NodeError> {
        let stopped = || NodeError::new("STATE_FAILED", "an earlier change failed").hint("restart the node");
        let writer = self.writer.lock().map_err(|_| stopped())?;
        if writer.broken { Err(stopped()) } else { Ok(writer) }
    }

    /// The head after a change, with the lines that it logs.
    fn extended(&self, top: &Top, change: &mut Change) -> Result<Top, NodeError> {
        if change.events.is_empty() {
            return Err(NodeError::new("INTERNAL", "a change of the ledger was not logged"));
        }
        let sealed = top.sealed + change.sealed + 1;
        if sealed > MAX_SEALED {
            return Err(NodeError::new("STATE_KEY_WORN", format!("the state key sealed {MAX_SEALED} records")));
        }
        let (from, epoch, at_ms) = (top.tail.to, top.epoch + 1, now_ms());
        let (mut to, mut lines) = (from, String::new());
        for event in change.events.drain(..) {
            let entry = Entry { seq: to.head.seq + 1, epoch, at_ms, event, previous: to.head.hash };
            let (line, head) = entry.sign(&self.identity)?;
            lines += &line;
            to.head = head;
            to.bytes += line.len() as u64;
        }
        Ok(Top { epoch, sealed, sum: change.sum, tail: Tail { from, to, lines } })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // A process that is being started has a copy of every open file for a moment: closing ours alone would leave the lock to it.
        // What cannot be unlocked is unlocked when the last copy is closed.
        let _ = self.lock.unlock();
    }
}

/// Milliseconds since 1970 by the system's clock.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
