//! One column of identifiers of a CSV file, in the order of its rows.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;

use protocols::matching::identifiers::Keys;
use zeroize::Zeroizing;

use super::Origin;
use super::csv::{MAX_LINE_BYTES, visit_column};
use super::watch::{Watched, unreadable};
use crate::fault::{NodeError, printable};

/// Identifiers as a file spells them, without quotes. Does not print; wiped when dropped.
pub struct Ids {
    /// The column's name.
    pub column: String,
    text: Zeroizing<Vec<u8>>,
    /// Where each begins and ends.
    places: Zeroizing<Vec<[u32; 2]>>,
}

impl Ids {
    /// Reads a column of a file. 8 bytes of memory for each row beside the text. Blank lines are no rows.
    ///
    /// # Errors
    /// `UNKNOWN_COLUMN`, `FILE_TOO_LARGE` above 4 GiB, and the codes of every CSV file: `EMPTY_FILE`, `RAGGED_ROW`, `NOT_UTF8`… with
    /// file and line.
    pub fn read(path: &Path, column: &str) -> Result<Ids, NodeError> {
        let origin = origin(path);
        let (file, watched) = Watched::open(path, &origin)?;
        if watched.bytes() > u64::from(u32::MAX) {
            return Err(origin.fault("FILE_TOO_LARGE", "has more than 4 GiB"));
        }
        let plain = plain(whole(file, watched.bytes(), &origin)?, column);
        let ids = plain.map_or_else(|| split(path, &origin, column), Ok)?;
        watched.verify(&origin)?;
        Ok(ids)
    }

    /// Their distinct keys.
    pub fn keys(&self) -> Keys {
        Keys::new(&self.text, &self.places)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A row's identifier; empty where it has none.
    pub fn get(&self, row: usize) -> &[u8] {
        let [begin, end] = self.places[row];
        &self.text[begin as usize..end as usize]
    }
}

/// By its own name only: messages name no folders.
fn origin(path: &Path) -> Origin {
    let name = |part: Option<&std::ffi::OsStr>| printable(&part.unwrap_or_default().to_string_lossy());
    Origin { table: name(path.file_stem()).to_lowercase(), file: name(path.file_name()) }
}

fn whole(mut file: File, bytes: u64, origin: &Origin) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    // One more than it has: reading to the end then never grows, which would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes as usize + 1));
    file.by_ref().take(bytes).read_to_end(&mut text).map_err(|e| unreadable(origin, &e))?;
    Ok(text)
}

/// The lines of a file that has this column alone and nothing to look out for: no quotes, no separators. None for any other.
fn plain(text: Zeroizing<Vec<u8>>, column: &str) -> Option<Ids> {
    if b"\",\0".iter().any(|special| text.contains(special)) || std::str::from_utf8(&text).is_err() {
        return None;
    }
    let mut places = Zeroizing::new(Vec::with_capacity(text.len() / 8));
    let mut lines = Lines { left: &text, at: 0 };
    if line_end(lines.next()?, &text)? != column.as_bytes() {
        return None;
    }
    for place in lines {
        let id = line_end(place, &text)?;
        if !id.is_empty() {
            places.push([place[0] as u32, (place[0] + id.len()) as u32]);
        }
    }
    Some(Ids { column: column.to_owned(), text, places })
}

/// A line without its end; None when it is too long.
fn line_end([begin, end]: [usize; 2], text: &[u8]) -> Option<&[u8]> {
    let line = &text[begin..end];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.len() < MAX_LINE_BYTES).then(|| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Begin and end of each line.
struct Lines<'a> {
    left: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = [usize; 2];

    fn next(&mut self) -> Option<[usize; 2]> {
        // Reading from memory does not fail.
        let bytes = self.left.skip_until(b'\n').ok().filter(|bytes| *bytes > 0)?;
        self.at += bytes;
        Some([self.at - bytes, self.at])
    }
}

/// The column of any CSV file.
fn split(path: &Path, origin: &Origin, column: &str) -> Result<Ids, NodeError> {
    let mut ids = Ids { column: column.to_owned(), text: Zeroizing::default(), places: Zeroizing::default() };
    visit_column(path, origin, column, |field| {
        let begin = ids.text.len() as u32;
        ids.text.extend_from_slice(field.as_bytes());
        ids.places.push([begin, ids.text.len() as u32]);
    })?;
    Ok(ids)
}
