//! The end of a study: what could name patients is deleted, what happened stays known.

use std::sync::PoisonError;

use zeroize::Zeroize;

use super::State;
use super::audit::Event;
use super::beside::Write;
use super::inbox::{delete_waiting, forget_decided};
use super::ledger::{Release, outlines, row};
use super::past::delete_sets;
use super::store::{Change, Rows, Table};
use crate::fault::NodeError;

impl State {
    /// Deletes the patient sets, the questions' texts, also of those that wait, the answers, the lists of matched patients and the
    /// jobs of a study, and closes it: without the sets no further release could be compared with the earlier ones. Releases and log stay. Returns the receipt: the log's line, which is
    /// signed by the site's key and holds what was deleted.
    ///
    /// # Errors
    /// `STUDY_CLOSED` when that was done before.
    pub fn forget(&self, study: &[u8; 32]) -> Result<String, NodeError> {
        // A job that ends meanwhile is written before this, and deleted, or not at all.
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the receipt: it is signed for what has been done.
        let jobs = self.beside.forget_jobs(study)?;
        self.change(|change| {
            if change.bytes(Table::Closed, study)?.is_some() {
                return Err(NodeError::new("STUDY_CLOSED", "what this study kept was deleted before"));
            }
            change.put(Table::Closed, study, &true)?;
            let releases = outlines(change, study)?;
            let answers = delete_answers(change, study)?;
            let deleted = releases.len() as u64;
            let mut sets = 0;
            for (order, release) in releases.into_iter().enumerate() {
                sets += delete_sets(change, &release.id)?;
                self.remove_matched(&release.id)?;
                delete_text(change, study, order as u64, release)?;
            }
            delete_waiting(change, study)?;
            forget_decided(change, study)?;
            change.log(Event::Deleted { study: *study, releases: deleted, sets, answers, jobs });
            Ok(())
        })?;
        drop(closing);
        self.receipt(study)
    }

    /// Writes rows of a study beside the ledger.
    ///
    /// # Errors
    /// `STUDY_CLOSED` after [`State::forget`]; as [`Beside::write`](super::beside::Beside::write).
    pub fn write_beside(&self, study: &[u8; 32], write: Write) -> Result<(), NodeError> {
        let _closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed(study)? {
            return Err(NodeError::new(
                "STUDY_CLOSED",
                "what was kept of the study was deleted: it takes nothing more",
            ));
        }
        self.beside.write(write)
    }

    /// Was a study closed by [`State::forget`]?
    pub fn is_closed(&self, study: &[u8; 32]) -> Result<bool, NodeError> {
        Ok(self.view()?.bytes(Table::Closed, study)?.is_some())
    }

    /// The receipt of a closed study, as [`State::forget`] gave it.
    ///
    /// # Errors
    /// `STUDY_OPEN` when nothing was deleted.
    pub fn receipt(&self, study: &[u8; 32]) -> Result<String, NodeError> {
        let open = || NodeError::new("STUDY_OPEN", "nothing of this study was deleted");
        // Nobody appends while it is read.
        let _writer = self.writer()?;
        super::audit::find_line(
            &self.log_path,
            |event| matches!(event, Event::Deleted { study: of, .. } if of == study),
        )?
        .ok_or_else(open)
    }
}

fn delete_text(change: &mut Change, study: &[u8; 32], order: u64, mut release: Release) -> Result<(), NodeError> {
    release.text.zeroize();
    change.put(Table::Releases, &row(study, order), &release)
}

fn delete_answers(change: &mut Change, study: &[u8; 32]) -> Result<u64, NodeError> {
    let keys: Vec<Vec<u8>> = change.rows(Table::Answers, study, study)?.into_iter().map(|(key, _)| key).collect();
    keys.iter().try_for_each(|key| change.remove(Table::Answers, key).map(drop))?;
    Ok(keys.len() as u64)
}
