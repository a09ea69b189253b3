//! One column of identifiers of a CSV file, in the order of its rows.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use protocols::matching::texts::{self, Texts};

use super::Origin;
use super::csv::{MAX_LINE_BYTES, visit_column};
use super::watch::{Watched, unreadable};
use crate::fault::{NodeError, printable};

/// Identifiers as a file spells them, without quotes. Does not print; wiped when dropped.
pub struct Ids {
    /// The column's name.
    pub column: String,
    /// One for each row.
    pub texts: Texts,
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
}

/// By its own name only: messages name no folders.
fn origin(path: &Path) -> Origin {
    let name = |part: Option<&std::ffi::OsStr>| printable(&part.unwrap_or_default().to_string_lossy());
    Origin { table: name(path.file_stem()).to_lowercase(), file: name(path.file_name()) }
}

fn whole(mut file: File, bytes: u64, origin: &Origin) -> Result<Vec<u8>, NodeError> {
    // One more than it has: reading to the end then never grows, which would leave a copy behind.
    let mut text = Vec::with_capacity(bytes as usize + 1);
    file.by_ref().take(bytes).read_to_end(&mut text).map_err(|e| unreadable(origin, &e))?;
    Ok(text)
}

/// The lines of a file that has this column alone and nothing to look out for: no quotes, no separators. None for any other.
fn plain(text: Vec<u8>, column: &str) -> Option<Ids> {
    let is_plain = texts::is_utf8_without(&text, *b"\",\0");
    let mut texts = Texts::lines(text, MAX_LINE_BYTES)?;
    let is_named = texts.take_first()? == column.as_bytes();
    (is_plain && is_named).then(|| Ids { column: column.to_owned(), texts })
}

/// The column of any CSV file.
fn split(path: &Path, origin: &Origin, column: &str) -> Result<Ids, NodeError> {
    let mut texts = Texts::default();
    visit_column(path, origin, column, |field| texts.push(field))?;
    Ok(Ids { column: column.to_owned(), texts })
}
