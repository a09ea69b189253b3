//! Looks at jobs: lists, single ones, their answers, and changes as they come.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use query_planner::Disclosure;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::answer::Page;
use super::job::{Id, Job, State};
use super::{Changed, Jobs, blocking};
use crate::fault::NodeError;

impl Jobs {
    /// The account's jobs, the newest first, from a place in the list on, and where the next are.
    pub async fn list(self: &Arc<Self>, account: &str, from: u64) -> Result<(Vec<Job>, Option<u64>), NodeError> {
        let all = self.all(account).await?;
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
        let end = (from + LISTED).min(all.len());
        let next = (end < all.len()).then_some(end as u64);
        Ok((all.into_iter().skip(from).take(end - from).collect(), next))
    }

    /// One job.
    ///
    /// # Errors
    /// `NO_SUCH_JOB`.
    pub async fn show(self: &Arc<Self>, account: &str, name: &str) -> Result<Job, NodeError> {
        self.asker(account)?;
        let (kept, account, name) = (self.kept.clone(), account.to_owned(), name.to_owned());
        let found = blocking(move || kept.named(&account, &name)).await?;
        let none = || NodeError::new("NO_SUCH_JOB", "this account has no job, or more than one, of that name");
        found.map(|job| self.as_now(job)).ok_or_else(none)
    }

    /// One job, once it is newer than this revision, or after a while.
    ///
    /// # Errors
    /// `NO_SUCH_JOB`.
    pub async fn follow(self: &Arc<Self>, account: &str, name: &str, after: u64) -> Result<Job, NodeError> {
        let job = self.show(account, name).await?;
        let Some(live) = self.live(&job.id) else { return self.show(account, name).await };
        let mut watched = live.job.subscribe();
        let newer = timeout(FOLLOWED, watched.wait_for(|job| job.revision > after)).await;
        let newer = newer.ok().and_then(Result::ok).map(|job| job.clone());
        match newer {
            Some(job) => Ok(job),
            None => self.show(account, name).await,
        }
    }

    /// A part of a job's answer, from a row on.
    ///
    /// # Errors
    /// `NO_SUCH_JOB`, `NO_SUCH_ANSWER`.
    pub async fn page(self: &Arc<Self>, account: &str, name: &str, from: u64) -> Result<Page, NodeError> {
        let (job, kept) = (self.show(account, name).await?, self.kept.clone());
        blocking(move || kept.page(&job.account, &job.id, from)).await
    }

    /// What a job's run revealed.
    ///
    /// # Errors
    /// `NO_SUCH_ANSWER`.
    pub async fn disclosures(self: &Arc<Self>, job: &Job) -> Result<Vec<Disclosure>, NodeError> {
        let (kept, account, id) = (self.kept.clone(), job.account.clone(), job.id);
        blocking(move || kept.disclosures(&account, &id)).await
    }

    /// A job as it is now, by its whole id.
    pub async fn now(self: &Arc<Self>, account: &str, id: Id) -> Result<Option<Job>, NodeError> {
        let live = self.live(&id).map(|live| live.job.borrow().clone()).filter(|job| job.account == account);
        if live.is_some() {
            return Ok(live);
        }
        let (kept, account) = (self.kept.clone(), account.to_owned());
        blocking(move || kept.job(&account, &id)).await
    }

    /// Those of an account that have not ended.
    pub fn unfinished(&self, account: &str) -> Vec<Job> {
        let all: Vec<Job> = self.lock().values().map(|live| live.job.borrow().clone()).collect();
        all.into_iter().filter(|job| job.account == account && !job.state.is_over()).collect()
    }

    /// Hears of every change of every job.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Jobs that have not ended, by state, and how the others ended since the node started.
    pub fn counts(&self) -> (BTreeMap<State, u64>, BTreeMap<String, u64>) {
        let mut states: BTreeMap<State, u64> =
            State::ALL.into_iter().filter(|s| !s.is_over()).map(|s| (s, 0)).collect();
        for live in self.lock().values() {
            *states.entry(live.job.borrow().state).or_default() += 1;
        }
        states.retain(|state, _| !state.is_over());
        (states, self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// All jobs of an account as they are now, the newest first.
    pub(crate) async fn all(self: &Arc<Self>, account: &str) -> Result<Vec<Job>, NodeError> {
        self.asker(account)?;
        let (kept, account) = (self.kept.clone(), account.to_owned());
        let all = blocking(move || kept.jobs(&account)).await?;
        Ok(all.into_iter().map(|job| self.as_now(job)).collect())
    }

    /// What is on disk may be behind.
    fn as_now(&self, job: Job) -> Job {
        let now = self.live(&job.id).map(|live| live.job.borrow().clone());
        now.filter(|now| now.revision > job.revision).unwrap_or(job)
    }
}

/// Jobs in one reply.
const LISTED: usize = 50;
/// How long somebody waits for a change in one call.
const FOLLOWED: Duration = Duration::from_secs(25);
