//! What stewards and auditors read of the ledger and the log. Nothing here changes either.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use mpc_core::identity::Pin;

use super::audit::{self, Entry, Summary};
use super::ledger::Release;
use super::store::{Rows, Table};
use super::{State, hex, now_ms};
use crate::config::missing;
use crate::fault::NodeError;

impl State {
    /// The releases of one study, or of all, without their sets; the oldest first.
    pub fn releases(&self, study: Option<&[u8; 32]>) -> Result<Vec<Release>, NodeError> {
        let prefix = study.map_or(&[] as &[u8], |study| study);
        let rows: Vec<(Vec<u8>, Release)> = self.view()?.list(Table::Releases, prefix)?;
        let mut releases: Vec<Release> = rows.into_iter().map(|(_, release)| release).collect();
        releases.sort_by_key(|release| release.at_ms);
        Ok(releases)
    }

    /// Checks every byte of the log, up to the end that the ledger knows. The node may go on meanwhile.
    ///
    /// # Errors
    /// `AUDIT_BROKEN` with the first bad line, `LEDGER_ROLLED_BACK` when it does not end where the ledger says.
    pub fn check_log(&self, pins: &[Pin]) -> Result<Summary, NodeError> {
        let (log, head) = self.log_now()?;
        let summary = audit::check_all(log, pins, |_| ()).map_err(|e| missing(self.log_path(), &e))??;
        if summary.head != head {
            return Err(audit::rolled_back("the log does not end where the ledger says"));
        }
        Ok(summary)
    }

    /// What the log says of the release whose id begins with these digits, in order. It is not checked here.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE` when there is none, or several.
    pub fn trail(&self, name: &str) -> Result<Vec<Entry>, NodeError> {
        let name = name.to_lowercase();
        let mut entries: Vec<Entry> = Vec::new();
        let of_it = |entry: &Entry| {
            let release = entry.event.release().filter(|id| name.len() >= 4 && hex::text(id).starts_with(&name));
            entries.extend(release.map(|_| entry.clone()));
        };
        audit::read_all(self.log_now()?.0, of_it).map_err(|e| missing(self.log_path(), &e))??;
        let one = |entry: &Entry| entry.event.release() == entries[0].event.release();
        if entries.is_empty() || !entries.iter().all(one) {
            let message = "no release, or more than one, has such an id";
            return Err(NodeError::new("NO_SUCH_RELEASE", message).hint("see `consilium ledger`"));
        }
        Ok(entries)
    }

    /// So many lines of the log, the newest first, after this many newer ones; and how many there are. They are not checked here.
    pub fn newest(&self, after: u64, most: u64) -> Result<(Vec<Entry>, u64), NodeError> {
        let all = self.head()?.seq;
        let last = all.saturating_sub(after);
        if last == 0 || most == 0 {
            return Ok((Vec::new(), all));
        }
        let lines = audit::lines(self.log_path(), last.saturating_sub(most - 1).max(1)..=last)?;
        Ok((lines.into_iter().rev().map(|line| line.entry).collect(), all))
    }

    /// At most so many bytes of an export from a place on, and the place after them; none with the export's last line. What is
    /// logged between two parts is in a later one.
    ///
    /// # Errors
    /// `FILE_FAILED`.
    pub fn export_part(&self, from: u64, most: u64) -> Result<(Vec<u8>, Option<u64>), NodeError> {
        let end = self.writer()?.top.tail.to;
        let failed = |e: std::io::Error| missing(self.log_path(), &e);
        let mut log = File::open(self.log_path()).map_err(failed)?;
        log.seek(SeekFrom::Start(from.min(end.bytes))).map_err(failed)?;
        let mut part = Vec::new();
        log.take(most.min(end.bytes.saturating_sub(from))).read_to_end(&mut part).map_err(failed)?;
        let next = from.saturating_add(part.len() as u64);
        if next < end.bytes && !part.is_empty() {
            return Ok((part, Some(next)));
        }
        part.extend(audit::seal(end.head, now_ms(), &self.identity)?.into_bytes());
        Ok((part, None))
    }

    /// The log as it is now: what is appended later is not in it.
    fn log_now(&self) -> Result<(impl Read, audit::Head), NodeError> {
        let end = self.writer()?.top.tail.to;
        let log = File::open(self.log_path()).map_err(|e| missing(self.log_path(), &e))?;
        Ok((log.take(end.bytes), end.head))
    }
}
