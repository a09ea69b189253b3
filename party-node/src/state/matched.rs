//! The patients that an intersection told this site: one file for each release, readable by its owner alone, until the study is
//! forgotten.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::State;
use super::hex;
use crate::config::missing;
use crate::fault::NodeError;
use crate::secret_file;

impl State {
    /// Writes what a release told, durably. Returns where it is.
    ///
    /// # Errors
    /// `WOULD_OVERWRITE`, `FILE_FAILED`.
    pub fn keep_matched(&self, release: &[u8; 16], text: &str) -> Result<PathBuf, NodeError> {
        let path = self.matched_file(release);
        secret_file::create(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Removes it, if there is one.
    pub(super) fn remove_matched(&self, release: &[u8; 16]) -> Result<(), NodeError> {
        let path = self.matched_file(release);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(missing(&path, &e)),
            _ => Ok(()),
        }
    }

    fn matched_file(&self, release: &[u8; 16]) -> PathBuf {
        self.log_path().with_file_name(format!("matched-{}.csv", hex::text(release)))
    }
}
