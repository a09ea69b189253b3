//! Lines near the end of a log, without reading what stands before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use super::record::Line;
use crate::config::missing;
use crate::fault::NodeError;

/// The hash of a line by its number, unchecked; none if the log has no such line.
pub(in crate::state) fn line_hash(path: &Path, seq: u64) -> Result<Option<[u8; 32]>, NodeError> {
    Ok(lines(path, seq..=seq)?.pop().map(|line| line.hash))
}

/// The lines of these numbers, unchecked, as far as the log has them.
pub(in crate::state) fn lines(path: &Path, wanted: RangeInclusive<u64>) -> Result<Vec<Line>, NodeError> {
    let mut file = File::open(path).map_err(|e| missing(path, &e))?;
    let bytes = file.metadata().map_err(|e| missing(path, &e))?.len();
    let mut back = FIRST_READ;
    loop {
        let from = bytes.saturating_sub(back);
        file.seek(SeekFrom::Start(from)).map_err(|e| missing(path, &e))?;
        let mut read = Vec::new();
        (&mut file).take(bytes - from).read_to_end(&mut read).map_err(|e| missing(path, &e))?;
        // What stands before the first end of a line may be half a line.
        let whole = if from == 0 { &read[..] } else { read.splitn(2, |b| *b == b'\n').nth(1).unwrap_or_default() };
        let text = String::from_utf8_lossy(whole);
        if from == 0 || text.lines().find_map(number).is_some_and(|first| first <= *wanted.start()) {
            let named = text.lines().filter(|line| number(line).is_some_and(|number| wanted.contains(&number)));
            return Ok(named.filter_map(|line| Line::parse(line).ok()).collect());
        }
        back = back.saturating_mul(8);
    }
}

/// A line's own number, without reading the rest of it.
fn number(line: &str) -> Option<u64> {
    line.strip_prefix(FIRST_KEY)?.split_once(',')?.0.parse().ok()
}

/// A line begins with its number.
const FIRST_KEY: &str = "{\"seq\":";

/// Some hundred lines.
const FIRST_READ: u64 = 1 << 16;
