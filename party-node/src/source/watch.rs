//! A file that must not change while it is read.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Origin;
use crate::fault::NodeError;

/// An open data file and what it looked like when it was opened.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    stamp: Stamp,
}

/// Length and time of the last change.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Watched {
    /// Opens `path` and remembers its length and time.
    pub(super) fn open(path: &Path, origin: &Origin) -> Result<(File, Self), NodeError> {
        let file = File::open(path).map_err(|e| unreadable(origin, &e))?;
        let meta = file.metadata().map_err(|e| unreadable(origin, &e))?;
        if !meta.is_file() {
            return Err(origin.fault("NOT_A_FILE", "is not a regular file"));
        }
        Ok((file, Self { path: path.to_owned(), stamp: Stamp::of(&meta) }))
    }

    /// Length in bytes when it was opened.
    pub(super) fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// Looks again, by path: a file replaced under the same name has changed too.
    pub(super) fn verify(&self, origin: &Origin) -> Result<(), NodeError> {
        let now = std::fs::metadata(&self.path).map(|meta| Stamp::of(&meta));
        if now.is_ok_and(|now| now == self.stamp) {
            return Ok(());
        }
        let hint = "write the file under another name and rename it when it is complete, then run again";
        Err(origin.fault("FILE_CHANGED", "changed while it was read").hint(hint))
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self { bytes: meta.len(), modified: meta.modified().ok() }
    }
}

/// The operating system's reason, without any content.
pub(super) fn unreadable(origin: &Origin, error: &std::io::Error) -> NodeError {
    origin.fault("FILE_UNREADABLE", &format!("cannot be read: {}", error.kind()))
}
