//! The log's file: opened against what the ledger knows of it, and appended to.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::Head;
use super::record::Line;
use super::verify::{BadLine, Lines};
use crate::config::missing;
use crate::fault::NodeError;
use crate::secret_file::owned;
use crate::state::moment::{Hook, Moment};

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::state) struct End {
    pub(in crate::state) head: Head,
    pub(in crate::state) bytes: u64,
}

/// The lines of the last change and the ends before and after them. The ledger has them before the log does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::state) struct Tail {
    pub(in crate::state) from: End,
    pub(in crate::state) to: End,
    pub(in crate::state) lines: String,
}

impl Tail {
    /// Of a log without lines.
    pub(in crate::state) fn empty() -> Self {
        let end = End { head: Head::EMPTY, bytes: 0 };
        Self { from: end, to: end, lines: String::new() }
    }
}

/// `audit.log`.
#[derive(Debug)]
pub(in crate::state) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens the log, or makes it.
    pub(in crate::state) fn open(path: &Path) -> Result<Self, NodeError> {
        let file = owned(OpenOptions::new().read(true).append(true).create(true)).open(path);
        Ok(Self { path: path.to_owned(), file: file.map_err(|e| missing(path, &e))? })
    }

    /// Holds the log against what the ledger knows, by its hashes, and writes again what a crash kept from its end. How many
    /// bytes were written again.
    ///
    /// # Errors
    /// `LEDGER_ROLLED_BACK` when one of the two is older than the other, `AUDIT_BROKEN` when a line was changed.
    pub(in crate::state) fn reconcile(&mut self, tail: &Tail) -> Result<u64, NodeError> {
        let bytes = self.file.metadata().map_err(|e| missing(&self.path, &e))?.len();
        if bytes > tail.to.bytes {
            return Err(rolled_back("the audit log is longer than the ledger knows: the ledger is an older one"));
        }
        if bytes < tail.from.bytes {
            return Err(rolled_back(
                "the audit log is shorter than the ledger knows: the log was cut or is an older one",
            ));
        }
        self.check(&tail.from)?;
        let mut rest = Vec::new();
        self.read_from(tail.from.bytes)?.read_to_end(&mut rest).map_err(|e| missing(&self.path, &e))?;
        self.complete(tail, &rest)
    }

    /// Does the log have these lines up to here?
    fn check(&self, end: &End) -> Result<(), NodeError> {
        let mut head = Head::EMPTY;
        let mut lines = Lines(BufReader::new(self.read_from(0)?.take(end.bytes)));
        while let Some(text) = lines.next(head.seq + 1).map_err(|e| missing(&self.path, &e))? {
            let number = head.seq + 1;
            let follows = Line::parse(&text?).and_then(|line| line.follows(&head));
            head = follows.map_err(|why| BadLine::at(number, why))?;
        }
        if head == end.head {
            return Ok(());
        }
        Err(rolled_back("the audit log is not the one that the ledger knows"))
    }

    fn complete(&mut self, tail: &Tail, rest: &[u8]) -> Result<u64, NodeError> {
        let lines = tail.lines.as_bytes();
        let same = lines.iter().zip(rest).take_while(|(a, b)| a == b).count();
        // What was not on disk before a loss of power may be missing or read as zeros; anything else somebody wrote.
        if rest[same..].iter().any(|byte| *byte != 0) {
            let line = tail.from.head.seq + 1 + lines[..same].iter().filter(|byte| **byte == b'\n').count() as u64;
            return Err(BadLine::at(line, "is not the one that the ledger knows").into());
        }
        if same == lines.len() {
            return Ok(0);
        }
        self.file.set_len(tail.from.bytes).map_err(|e| missing(&self.path, &e))?;
        self.append(&tail.lines, &Hook::default())?;
        Ok((lines.len() - same) as u64)
    }

    /// Appends lines, durably.
    pub(in crate::state) fn append(&mut self, lines: &str, hook: &Hook) -> Result<(), NodeError> {
        let failed = |e| missing(&self.path, &e);
        let (first, second) = lines.as_bytes().split_at(lines.len() / 2);
        self.file.write_all(first).map_err(failed)?;
        hook.at(Moment::HalfLogged);
        self.file.write_all(second).map_err(failed)?;
        hook.at(Moment::Logged);
        self.file.sync_data().map_err(failed)
    }

    fn read_from(&self, at: u64) -> Result<File, NodeError> {
        let mut file = File::open(&self.path).map_err(|e| missing(&self.path, &e))?;
        file.seek(SeekFrom::Start(at)).map_err(|e| missing(&self.path, &e))?;
        Ok(file)
    }
}

/// One of the two was put back.
pub(in crate::state) fn rolled_back(what: &str) -> NodeError {
    NodeError::new("LEDGER_ROLLED_BACK", what).hint(
        "an older ledger would answer again what it refused: restore ledger.redb and audit.log of one moment, the last one, \
         or close the studies of this site",
    )
}
