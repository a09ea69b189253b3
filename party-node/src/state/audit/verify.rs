//! Does a log stand as it was written?

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use mpc_core::identity::{Pin, PublicKey};

use super::event::{Event, Head};
use super::record::{Entry, Line};
use crate::config::missing;
use crate::fault::NodeError;

/// The longest line that is read. The longest that we write lists the steps of a release.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// The first line that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BadLine {
    pub(super) fn at(line: u64, why: &'static str) -> Self {
        Self { line, why }
    }
}

impl From<BadLine> for NodeError {
    fn from(bad: BadLine) -> Self {
        let message = format!("line {} of the audit log {}", bad.line, bad.why);
        NodeError::new("AUDIT_BROKEN", message).hint("the log was changed after it was written, or the disk is failing")
    }
}

/// What a log that stands as it was written holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its end.
    pub head: Head,
    /// Number of changes of the ledger.
    pub epoch: u64,
    /// When the first and the last line were written, in ms since 1970.
    pub times_ms: Option<(u64, u64)>,
    /// The keys that signed it, in order.
    pub keys: Vec<PublicKey>,
    pub(super) hashes: Vec<[u8; 32]>,
}

impl Summary {
    fn empty() -> Self {
        Self { head: Head::EMPTY, epoch: 0, times_ms: None, keys: vec![], hashes: vec![] }
    }

    /// Had the log this end once? Asked about the heads that other sites wrote down: if not, it was rewritten since.
    pub fn held(&self, head: &Head) -> bool {
        match head.seq.checked_sub(1).and_then(|at| usize::try_from(at).ok()) {
            None => *head == Head::EMPTY,
            Some(at) => self.hashes.get(at) == Some(&head.hash),
        }
    }
}

/// Checks every byte of a log: form, numbers, hashes, signatures.
///
/// The first line says which key signed it, and so does each line of a start after it; `pins` are the keys that may.
/// What is missing at the end shows only in a head that is known from elsewhere: see [`Summary::held`].
///
/// # Errors
/// `AUDIT_BROKEN` with the first bad line, `NO_SUCH_FILE`, `FILE_FAILED`.
pub fn verify(path: &Path, pins: &[Pin]) -> Result<Summary, NodeError> {
    entries(path, pins, |_| ())
}

/// The same, with every entry as it is read.
///
/// # Errors
/// As [`verify`].
pub fn entries(path: &Path, pins: &[Pin], each: impl FnMut(&Entry)) -> Result<Summary, NodeError> {
    let file = File::open(path).map_err(|e| missing(path, &e))?;
    check_all(file, pins, each).map_err(|e| missing(path, &e))?.map_err(NodeError::from)
}

/// The file fails, or its first bad line is found, or it is good.
pub(in crate::state) fn check_all(
    from: impl Read,
    pins: &[Pin],
    mut each: impl FnMut(&Entry),
) -> std::io::Result<Result<Summary, BadLine>> {
    let mut checker = Checker::new(pins);
    let mut lines = Lines(BufReader::new(from));
    while let Some(text) = lines.next(checker.line())? {
        match text.and_then(|text| checker.take(&text)) {
            Ok(line) => each(&line.entry),
            Err(bad) => return Ok(Err(bad)),
        }
    }
    Ok(Ok(checker.done()))
}

/// The first line whose event fits, unchecked and without its end.
pub(in crate::state) fn find_line(path: &Path, fits: impl Fn(&Event) -> bool) -> Result<Option<String>, NodeError> {
    let mut lines = Lines(BufReader::new(File::open(path).map_err(|e| missing(path, &e))?));
    let mut number = 1;
    while let Some(text) = lines.next(number).map_err(|e| missing(path, &e))? {
        let text = text?;
        let line = Line::parse(&text).map_err(|why| BadLine::at(number, why))?;
        if fits(&line.entry.event) {
            return Ok(Some(text));
        }
        number += 1;
    }
    Ok(None)
}

/// Every entry, unchecked but for its form.
pub(in crate::state) fn read_all(
    from: impl Read,
    mut each: impl FnMut(&Entry),
) -> std::io::Result<Result<(), BadLine>> {
    let mut lines = Lines(BufReader::new(from));
    let mut number = 1;
    while let Some(text) = lines.next(number)? {
        match text.and_then(|text| Line::parse(&text).map_err(|why| BadLine::at(number, why))) {
            Ok(line) => each(&line.entry),
            Err(bad) => return Ok(Err(bad)),
        }
        number += 1;
    }
    Ok(Ok(()))
}

/// Lines of a file as bytes up to their end.
pub(super) struct Lines<R>(pub(super) R);

impl<R: BufRead> Lines<R> {
    /// The next line without its end; a line without an end is bad.
    pub(super) fn next(&mut self, number: u64) -> std::io::Result<Option<Result<String, BadLine>>> {
        let mut bytes = Vec::new();
        self.0.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            return Ok(Some(Err(BadLine::at(number, "is incomplete"))));
        }
        Ok(Some(String::from_utf8(bytes).map_err(|_| BadLine::at(number, "is not UTF-8"))))
    }
}

/// Takes the lines of a log one after the other.
pub(super) struct Checker<'a> {
    pins: &'a [Pin],
    key: Option<PublicKey>,
    summary: Summary,
}

impl<'a> Checker<'a> {
    pub(super) fn new(pins: &'a [Pin]) -> Self {
        Self { pins, key: None, summary: Summary::empty() }
    }

    /// Number of the next line.
    pub(super) fn line(&self) -> u64 {
        self.summary.head.seq + 1
    }

    pub(super) fn take(&mut self, text: &str) -> Result<Line, BadLine> {
        let number = self.line();
        let line = self.check(text).map_err(|why| BadLine::at(number, why))?;
        let entry = &line.entry;
        let first = self.summary.times_ms.map_or(entry.at_ms, |(first, _)| first);
        self.summary.times_ms = Some((first, entry.at_ms));
        self.summary.epoch = entry.epoch;
        self.summary.hashes.push(line.hash);
        Ok(line)
    }

    fn check(&mut self, text: &str) -> Result<Line, &'static str> {
        let line = Line::parse(text)?;
        let head = line.follows(&self.summary.head)?;
        // A change has one line or more; the log has lines of every change.
        if !(self.summary.epoch..=self.summary.epoch + 1).contains(&line.entry.epoch) || line.entry.epoch == 0 {
            return Err("belongs to another change than its place in the log");
        }
        if let Event::Started { key, .. } = &line.entry.event {
            if !self.pins.contains(&key.pin()) {
                return Err("is of a key that the network does not know");
            }
            self.key = Some(*key);
            if self.summary.keys.last() != Some(key) {
                self.summary.keys.push(*key);
            }
        }
        line.signed_by(self.key.as_ref().ok_or("comes before any start of the node")?)?;
        self.summary.head = head;
        Ok(line)
    }

    pub(super) fn done(self) -> Summary {
        self.summary
    }
}
