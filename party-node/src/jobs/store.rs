//! Jobs at rest: sealed rows beside the ledger, each under its account and id.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpc_core::identity::Pin;
use query_planner::Disclosure;
use sha2::{Digest, Sha256};

use super::answer::{Head, Page, Rows};
use super::job::{Id, Job, State as Stage};
use crate::fault::NodeError;
use crate::output::Answer;
use crate::state::beside::Write;
use crate::state::{State, Table, hex};

/// What a node keeps of its accounts' jobs. Its methods block on the disk.
#[derive(Clone)]
pub struct Kept {
    state: Arc<State>,
    /// The keys that each account has, by its name.
    keys: Arc<BTreeMap<String, Vec<Pin>>>,
}

impl Kept {
    /// In this state, for accounts with these keys. Two while a key is being replaced.
    pub fn new(state: Arc<State>, keys: BTreeMap<String, Vec<Pin>>) -> Self {
        Self { state, keys: Arc::new(keys) }
    }

    /// Was it asked under a key that its account has? A name alone may be somebody else's by now.
    pub fn is_own(&self, job: &Job) -> bool {
        self.keys.get(&job.account).is_some_and(|keys| job.pin.is_some_and(|pin| keys.contains(&pin)))
    }

    /// All jobs of an account, the newest first.
    ///
    /// # Errors
    /// As [`Beside::get`](crate::state::beside::Beside::get).
    pub fn jobs(&self, account: &str) -> Result<Vec<Job>, NodeError> {
        let mut all = self.all(&prefix(account))?;
        all.retain(|job| self.is_own(job));
        all.sort_by_key(|job| (std::cmp::Reverse(job.submitted_ms), job.id));
        Ok(all)
    }

    /// All jobs of all accounts, also of those that the node no longer has; the oldest first.
    pub fn everybodys(&self) -> Result<Vec<Job>, NodeError> {
        let mut all = self.all(&[])?;
        all.sort_by_key(|job| (job.submitted_ms, job.id));
        Ok(all)
    }

    fn all(&self, prefix: &[u8]) -> Result<Vec<Job>, NodeError> {
        Ok(self.state.beside().list(Table::Jobs, prefix)?.into_iter().map(|(_, job)| job).collect())
    }

    /// A job of an account, by its whole id.
    pub fn job(&self, account: &str, id: &Id) -> Result<Option<Job>, NodeError> {
        let job: Option<Job> = self.state.beside().get(Table::Jobs, &key(account, id))?;
        Ok(job.filter(|job| self.is_own(job)))
    }

    /// The one job of an account whose id begins with these digits, at least four. Its other rows are not read.
    pub fn named(&self, account: &str, name: &str) -> Result<Option<Job>, NodeError> {
        let keys = self.state.beside().keys(Table::Jobs, &prefix(account))?;
        let ids = keys.iter().filter_map(|key| key.last_chunk::<16>().copied());
        let mut found = ids.filter(|id| named(id, name));
        match (found.next(), found.next()) {
            (Some(id), None) => self.job(account, &id),
            _ => Ok(None),
        }
    }

    /// The account's jobs that asked the same in the same study and have an answer.
    pub fn answered(&self, job: &Job) -> Result<Vec<Job>, NodeError> {
        let mut all = self.jobs(&job.account)?;
        let same = |other: &Job| (other.plan, other.study_digest) == (job.plan, job.study_digest);
        all.retain(|other| other.state == Stage::Done && same(other));
        Ok(all)
    }

    /// Deletes the oldest ended jobs of an account that are more than this many.
    pub fn trim(&self, account: &str, most: usize) -> Result<(), NodeError> {
        let mut ended = self.all(&prefix(account))?;
        ended.retain(|job| job.state.is_over());
        ended.sort_by_key(|job| std::cmp::Reverse(job.ended_ms));
        ended.iter().skip(most).try_for_each(|job| self.forget(job))
    }

    /// Has its study been closed?
    pub fn is_closed(&self, job: &Job) -> Result<bool, NodeError> {
        self.state.is_closed(&job.study_digest)
    }

    /// What the run of a job revealed.
    ///
    /// # Errors
    /// `NO_SUCH_ANSWER`.
    pub fn disclosures(&self, account: &str, id: &Id) -> Result<Vec<Disclosure>, NodeError> {
        Ok(self.head(&key(account, id))?.disclosures)
    }

    /// Keeps a job as it is now.
    ///
    /// # Errors
    /// `STUDY_CLOSED`: what was deleted does not come back.
    pub fn keep(&self, job: &Job) -> Result<(), NodeError> {
        let write = Write::new().put(Table::Jobs, &key(&job.account, &job.id), job)?;
        self.state.write_beside(&job.study_digest, write)
    }

    /// Keeps a job with its answer.
    ///
    /// # Errors
    /// As [`Kept::keep`].
    pub fn keep_answer(&self, job: &Job, answer: &Answer) -> Result<(), NodeError> {
        let (head, parts) = super::answer::kept(answer);
        self.keep_parts(job, &head, &parts)
    }

    fn keep_parts(&self, job: &Job, head: &Head, parts: &[Rows]) -> Result<(), NodeError> {
        let key = key(&job.account, &job.id);
        let mut write = Write::new().put(Table::Jobs, &key, job)?.put(Table::JobAnswers, &key, head)?;
        for (first, rows) in head.parts.iter().zip(parts) {
            write = write.put(Table::JobAnswers, &part(&key, *first), rows)?;
        }
        self.state.write_beside(&job.study_digest, write)
    }

    /// Keeps a job with the answer of an earlier one of its account.
    ///
    /// # Errors
    /// `NO_SUCH_ANSWER` when there is none.
    pub fn keep_again(&self, job: &Job, earlier: &Id) -> Result<Head, NodeError> {
        let from = key(&job.account, earlier);
        let head = self.head(&from)?;
        let rows = |first: &u64| self.rows(&from, *first);
        let parts = head.parts.iter().map(rows).collect::<Result<Vec<_>, _>>()?;
        self.keep_parts(job, &head, &parts)?;
        Ok(head)
    }

    /// A part of a job's answer, from this row on.
    ///
    /// # Errors
    /// `NO_SUCH_ANSWER`.
    pub fn page(&self, account: &str, id: &Id, from: u64) -> Result<Page, NodeError> {
        let key = key(account, id);
        let head = self.head(&key)?;
        if from > 0 && from >= head.rows {
            return Ok(head.page(from, Rows::new(), from, None));
        }
        match head.part_of(from) {
            Some((first, next)) => Ok(head.page(first, self.rows(&key, first)?, from, next)),
            None => Ok(head.page(0, Rows::new(), 0, None)),
        }
    }

    /// Deletes a job with its answer.
    pub fn forget(&self, job: &Job) -> Result<(), NodeError> {
        let key = key(&job.account, &job.id);
        self.state.beside().write(Write::new().remove(Table::Jobs, &key).remove(Table::JobAnswers, &key))
    }

    fn head(&self, key: &[u8]) -> Result<Head, NodeError> {
        self.state.beside().get(Table::JobAnswers, key)?.ok_or_else(no_answer)
    }

    fn rows(&self, key: &[u8], first: u64) -> Result<Rows, NodeError> {
        self.state.beside().get(Table::JobAnswers, &part(key, first))?.ok_or_else(no_answer)
    }
}

fn no_answer() -> NodeError {
    NodeError::new("NO_SUCH_ANSWER", "this job has no answer, or it is kept no longer")
}

/// What the keys of an account's rows begin with: names may be of any length, and are not told by the file.
fn prefix(account: &str) -> [u8; 16] {
    let digest: [u8; 32] =
        Sha256::new().chain_update(b"consilium account v1\0").chain_update(account).finalize().into();
    *digest.first_chunk().expect("a digest has 32 bytes")
}

fn key(account: &str, id: &Id) -> Vec<u8> {
    [prefix(account), *id].concat()
}

fn part(key: &[u8], first: u64) -> Vec<u8> {
    [key, &first.to_be_bytes()].concat()
}

/// Do these first digits, at least four, name a job?
pub fn named(id: &Id, name: &str) -> bool {
    name.len() >= 4 && hex::text(id).starts_with(&name.to_lowercase())
}
