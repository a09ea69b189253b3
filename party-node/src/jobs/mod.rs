//! The questions of analysts who have an account at this node: asked under the analyst's own key, waited for, run in turn, kept.
//!
//! # The life of a job
//! It is *waiting* while a site has not consented: sites are asked for consent alone ([`crate::agree::Consult`]), which costs no work on
//! rows and is not charged, again and again until all have said yes or one has said no. Then it is *queued*
//! ([`queue`]), and *running* from a durable write before the question is proposed. It ends *done*, *failed* or *cancelled*, and is kept for some days.
//!
//! # After a restart
//! What was waiting or queued goes on. What was running failed (`NODE_RESTARTED`) and is never run again by itself: sites may have
//! begun a release, which counts.

pub mod answer;
pub mod command;
pub mod control;
pub mod job;
mod look;
mod plan_file;
pub mod queue;
mod store;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mpc_core::identity::Pin;
use query_planner::cost::cost;
use query_planner::{Catalog, Compiled, Options};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::analyst::Who;
use crate::config::{Account, JobSettings};
use crate::execute;
use crate::fault::{NodeError, printable};
use crate::govern::study::Study;
use crate::metrics::told_apart;
use crate::network::Network;
use crate::site::Home;
use crate::site::stopped;
use crate::state::now_ms;
use control::Submission;
use job::{Forecast, Id, Job, Preparation, Refusal, SiteState, State};
use queue::{Demand, Queue, Room};
use store::Kept;
use work::Work;

/// The jobs of a node.
pub struct Jobs {
    home: Home,
    accounts: Vec<Arc<Asker>>,
    settings: JobSettings,
    deadline: Duration,
    kept: Kept,
    queue: Arc<Queue>,
    /// Questions that are being planned.
    planning: Semaphore,
    live: Mutex<HashMap<Id, Arc<Live>>>,
    changes: broadcast::Sender<Changed>,
    /// How jobs ended since the node started, by code; `DONE` for an answer.
    ended: Mutex<BTreeMap<String, u64>>,
}

/// An account, with what all its jobs share.
struct Asker {
    name: String,
    pin: Pin,
    who: Arc<Who>,
    /// Its questions that are being taken.
    taken: AtomicUsize,
}

/// A question that is being taken; it counts as a job that has not ended.
struct Place(Arc<Asker>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A job that has not ended.
struct Live {
    job: watch::Sender<Job>,
    /// Why it is to end, if somebody said so.
    stop: watch::Sender<Option<NodeError>>,
}

/// That a job changed. Whoever missed some looks at the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub account: String,
    /// Which.
    pub id: Id,
    /// Its new revision.
    pub revision: u64,
}

impl Jobs {
    /// Takes up what the node keeps: jobs that ran have failed, jobs that waited go on, old ones are deleted.
    ///
    /// # Errors
    /// What is wrong with the state folder.
    pub fn open(
        home: Home,
        accounts: Vec<Account>,
        settings: JobSettings,
        deadline: Duration,
    ) -> Result<Arc<Self>, NodeError> {
        let asker = |Account { name, identity }: Account| {
            let (pin, network, catalog) = (identity.pin(), home.network.clone(), home.catalog.clone());
            let who = Arc::new(Who { identity, network, catalog });
            Arc::new(Asker { name, pin, who, taken: AtomicUsize::new(0) })
        };
        let keys = accounts.iter().map(|account| (account.name.clone(), home.network.pins_of(&account.name)));
        let keys = keys.collect();
        let room = Room { bytes: u64::from(settings.memory_mb) << 20, running: settings.running as usize };
        let jobs = Arc::new(Self {
            accounts: accounts.into_iter().map(asker).collect(),
            kept: Kept::new(home.gate.state.clone(), keys),
            home,
            settings,
            deadline,
            queue: Queue::new(room),
            planning: Semaphore::new(PLANNED),
            live: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES),
            ended: Mutex::default(),
        });
        jobs.forget_old()?;
        for job in jobs.kept.everybodys()? {
            jobs.take_up(job)?;
        }
        Ok(jobs)
    }

    fn take_up(self: &Arc<Self>, mut job: Job) -> Result<(), NodeError> {
        let restarted = match job.state {
            State::Waiting | State::Queued | State::Running if !self.kept.is_own(&job) => {
                let message = "the node no longer asks for the analyst who submitted this, under that name and key";
                Some(NodeError::new("NOT_AN_ACCOUNT", message))
            }
            State::Waiting | State::Queued if job.network == self.home.gate.network => None,
            State::Waiting | State::Queued => {
                let message = "the network file changed since this was submitted";
                Some(NodeError::new("NETWORK_DIFFERS", message).hint("submit it again"))
            }
            State::Running => Some(
                NodeError::new(
                    "NODE_RESTARTED",
                    "the node was started anew while this ran; it is not run again by itself",
                )
                .hint("what has begun counts as a release at the sites; submit it again"),
            ),
            State::Done | State::Failed | State::Cancelled => return Ok(()),
        };
        job.revision += 1;
        match restarted {
            None => self.start(job),
            Some(why) => {
                self.over(&mut job, State::Failed, Some(Refusal::from(&why)));
                self.kept.keep(&job)?;
                self.count(&job);
            }
        }
        Ok(())
    }

    /// The account that has this key.
    ///
    /// # Errors
    /// `NOT_AN_ACCOUNT`.
    pub fn account_of(&self, pin: Pin) -> Result<String, NodeError> {
        let account = self.accounts.iter().find(|asker| asker.pin == pin);
        let none = || NodeError::new("NOT_AN_ACCOUNT", "this node asks for no analyst with this key");
        account.map(|asker| asker.name.clone()).ok_or_else(none)
    }

    /// Does the node ask for somebody of this name?
    pub fn has_account(&self, name: &str) -> bool {
        self.asker(name).is_ok()
    }

    /// What questions are planned against.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.home.catalog
    }

    /// Bytes that only this node's state has, the same for the same label whenever the node runs.
    pub fn secret(&self, label: &str) -> [u8; 32] {
        self.home.gate.state.beside().secret(label)
    }

    /// The network that they are asked in.
    pub fn network(&self) -> &Network {
        &self.home.network
    }

    /// Takes a question. Durable when it returns; the sites are asked from then on.
    ///
    /// # Errors
    /// What the planner refuses, `PLAN_DIFFERS` for another plan than the one that was shown, `NO_SUCH_STUDY`, `STUDY_ENDED`, `STUDY_CLOSED`,
    /// `TOO_MANY_JOBS`, `SITE_BUSY` where questions of the account are being taken, `TOO_MANY_FIGURES`, `JOB_TOO_LARGE`.
    pub async fn submit(self: &Arc<Self>, account: &str, submission: Submission) -> Result<Job, NodeError> {
        let (jobs, place) = (self.clone(), self.place(account)?);
        // Whoever leaves meanwhile leaves no job behind that is kept and not at work.
        let taken = tokio::spawn(async move { jobs.take(place, submission).await });
        taken.await.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "a question was not taken")))
    }

    /// A place among the account's jobs, before anything is done for it.
    fn place(&self, account: &str) -> Result<Place, NodeError> {
        let asker = self.asker(account)?;
        let live = self.lock();
        let taken = asker.taken.load(Ordering::Relaxed);
        let unfinished = taken + live.values().filter(|live| live.job.borrow().account == account).count();
        if unfinished >= self.settings.unfinished as usize {
            let message = format!("{unfinished} jobs of this account have not ended");
            return Err(NodeError::new("TOO_MANY_JOBS", message).hint("wait for some of them, or cancel some"));
        }
        if taken >= TAKEN {
            let message = format!("{TAKEN} questions of this account are being taken");
            return Err(NodeError::new("SITE_BUSY", message).hint("submit them one after the other"));
        }
        asker.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Place(asker.clone()))
    }

    async fn take(self: Arc<Self>, place: Place, submission: Submission) -> Result<Job, NodeError> {
        let _planned = self.planning.acquire().await;
        let (jobs, account) = (self.clone(), place.0.name.clone());
        let job = blocking(move || {
            let job = jobs.planned(account, submission)?;
            jobs.kept.trim(&job.account, jobs.settings.kept as usize)?;
            jobs.kept.keep(&job)?;
            Ok(job)
        });
        let job = job.await?;
        self.start(job.clone());
        self.unless_closed(&job).await?;
        Ok(job)
    }

    /// A study that was closed when the job was kept and not yet at work ended all its jobs but this one.
    async fn unless_closed(self: &Arc<Self>, job: &Job) -> Result<(), NodeError> {
        let (kept, copy) = (self.kept.clone(), job.clone());
        if !blocking(move || kept.is_closed(&copy)).await? {
            return Ok(());
        }
        self.study_closed(&job.study_digest).await;
        Err(study_closed())
    }

    fn planned(&self, account: String, submission: Submission) -> Result<Job, NodeError> {
        let Submission { sql, study, audience, noise, now_ms: asked_ms, plan } = submission;
        let study = self.study(&account, study.as_deref())?;
        let pin = Some(self.asker(&account)?.pin);
        study.goes_on(now_ms() as i64)?;
        let (now, options) = (now_ms(), Options { now_ms: asked_ms.unwrap_or(now_ms() as i64), audience, noise });
        let compiled = query_planner::plan(&sql, &self.home.catalog, &options)?;
        execute::fits_a_ledger(&compiled)?;
        self.queue.fits(needed(&forecast(&compiled)))?;
        let digest = compiled.joint.digest();
        if plan.is_some_and(|shown| shown != digest) {
            return Err(NodeError::new(
                "PLAN_DIFFERS",
                "the question has another plan now than the one that was shown",
            )
            .hint("look at the plan again: the network file or the time it asks for changed"));
        }
        let sites = self.home.network.site.iter().map(|site| SiteState::asked(&site.name.0, now));
        Ok(Job {
            id: random_id()?,
            revision: 1,
            account,
            pin,
            study: study.name.clone(),
            study_digest: study.digest(),
            network: self.home.gate.network,
            sql,
            audience,
            noise,
            now_ms: options.now_ms,
            plan: digest,
            disclosure: compiled.joint.disclosure_digest(),
            planner: env!("CARGO_PKG_VERSION").to_owned(),
            submitted_ms: now,
            ended_ms: None,
            state: State::Waiting,
            sites: sites.collect(),
            refusal: None,
            run: None,
            forecast: forecast(&compiled),
            compared: compiled.joint.is_ledgered(),
            cost: None,
            rows: None,
            kept_until_ms: None,
        })
    }

    /// The study of this name, or the first, of those that the account may ask in.
    fn study(&self, account: &str, name: Option<&str>) -> Result<&Study, NodeError> {
        let own = |study: &&Study| study.analysts.iter().any(|analyst| analyst == account);
        let mut own = self.home.gate.studies.iter().filter(own);
        own.find(|study| name.is_none_or(|name| study.name == name)).ok_or_else(|| {
            let which = name.map_or("any study".to_owned(), |name| format!("study {}", printable(name)));
            NodeError::new("NO_SUCH_STUDY", format!("this account may not ask in {which} of this node"))
        })
    }

    /// Takes a job back. One that has begun counts as a release all the same; one that has ended stays as it is.
    ///
    /// # Errors
    /// `NO_SUCH_JOB`.
    pub async fn cancel(self: &Arc<Self>, account: &str, name: &str) -> Result<Job, NodeError> {
        let job = self.show(account, name).await?;
        if let Some(live) = self.live(&job.id) {
            let mut watched = live.job.subscribe();
            live.end(NodeError::new(CANCELLED, "its analyst took the question back"));
            let _ = timeout(ENDING, watched.wait_for(|job| job.state.is_over())).await;
        }
        self.show(account, name).await
    }

    /// Lets no job begin any more, those that run end as long as `patience`, and ends those that are left. What waits goes on when
    /// the node is back.
    pub async fn close(&self, patience: Duration) {
        self.queue.close();
        if timeout(patience, self.none_runs()).await.is_ok() {
            return;
        }
        let ending = async {
            let mut changes = self.subscribe();
            // A job that had its turn when the queue closed may be running only now.
            loop {
                self.running().iter().for_each(|live| live.end(stopped()));
                tokio::select! {
                    () = self.none_runs() => return,
                    _ = changes.recv() => (),
                }
            }
        };
        let _ = timeout(ENDING, ending).await;
    }

    /// Waits until no job runs, nor has a turn to run. A try that failed before anything had begun waits again: it goes on when the
    /// node is back.
    async fn none_runs(&self) {
        self.queue.all_back().await;
        for live in self.running() {
            let _ = live.job.subscribe().wait_for(|job| job.state != State::Running).await;
        }
    }

    fn running(&self) -> Vec<Arc<Live>> {
        let running = |live: &&Arc<Live>| live.job.borrow().state == State::Running;
        self.lock().values().filter(running).cloned().collect()
    }

    /// Deletes what is over and older than it is to be, as long as the node runs.
    pub async fn keep_house(self: Arc<Self>) {
        loop {
            tokio::time::sleep(HOUSEKEEPING).await;
            let jobs = self.clone();
            if let Err(error) = blocking(move || jobs.forget_old()).await {
                crate::log::fault(&self.home.name, "jobs", None, &error);
            }
        }
    }

    fn forget_old(&self) -> Result<(), NodeError> {
        let now = now_ms();
        for job in self.kept.everybodys()? {
            if self.kept_until(&job).is_some_and(|until| until < now) || self.kept.is_closed(&job)? {
                self.kept.forget(&job)?;
            }
        }
        Ok(())
    }

    fn kept_until(&self, job: &Job) -> Option<u64> {
        job.ended_ms.map(|ended| ended + u64::from(self.settings.keep_days) * DAY_MS)
    }

    /// Ends all jobs of a study that was closed: what is kept of them is deleted by then, and does not come back.
    pub async fn study_closed(&self, study: &[u8; 32]) {
        let all: Vec<_> =
            self.lock().values().filter(|live| live.job.borrow().study_digest == *study).cloned().collect();
        for live in &all {
            live.end(study_closed());
        }
        let by = Instant::now() + ENDING;
        for live in &all {
            let _ = timeout_at(by, live.job.subscribe().wait_for(|job| job.state.is_over())).await;
        }
    }

    /// Ends a job. It is counted once that stands.
    fn over(&self, job: &mut Job, state: State, refusal: Option<Refusal>) {
        job.end(state, refusal, now_ms());
        job.kept_until_ms = self.kept_until(job);
    }

    /// Counts how a job ended.
    fn count(&self, job: &Job) {
        let code = job.refusal.as_ref().map_or("DONE", |refusal| &refusal.code);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let code = told_apart(&ended, code).to_owned();
        *ended.entry(code).or_default() += 1;
    }

    fn start(self: &Arc<Self>, job: Job) {
        let (id, account) = (job.id, job.account.clone());
        let live = Arc::new(Live { job: watch::Sender::new(job), stop: watch::Sender::new(None) });
        self.lock().insert(id, live.clone());
        self.tell(&live);
        let Ok(asker) = self.asker(&account) else { return };
        let work = Work::new(self.clone(), live, asker.who.clone());
        tokio::spawn(async move {
            let jobs = work.jobs.clone();
            work.see_through().await;
            jobs.lock().remove(&id);
        });
    }

    fn asker(&self, account: &str) -> Result<&Arc<Asker>, NodeError> {
        let none = || NodeError::new("NOT_AN_ACCOUNT", format!("this node asks for no analyst {}", printable(account)));
        self.accounts.iter().find(|asker| asker.name == account).ok_or_else(none)
    }

    fn live(&self, id: &Id) -> Option<Arc<Live>> {
        self.lock().get(id).cloned()
    }

    fn tell(&self, live: &Live) {
        let job = live.job.borrow();
        // Nobody may listen.
        let _ = self.changes.send(Changed { account: job.account.clone(), id: job.id, revision: job.revision });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// It is to end, and why; the first reason stands.
    fn end(&self, why: NodeError) {
        self.stop.send_if_modified(|stop| stop.is_none() && stop.replace(why).is_none());
    }

    /// Waits until it is to end.
    async fn ended(&self) -> NodeError {
        let mut stop = self.stop.subscribe();
        match stop.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) {
            Some(why) => why,
            // The sender is this.
            None => std::future::pending().await,
        }
    }
}

fn study_closed() -> NodeError {
    NodeError::new("STUDY_CLOSED", "what this site kept of the study was deleted")
}

fn forecast(compiled: &Compiled) -> Forecast {
    let known = cost(&compiled.joint);
    let preparation = execute::prepared(&compiled.joint);
    let preparation = preparation.map(|cost| Preparation { rounds: cost.rounds, bytes_per_site: cost.bytes });
    let (rounds, bytes_per_site) = (known.rounds, known.bytes_per_site);
    Forecast { rounds, bytes_per_site, bytes_total: known.bytes_total, preparation }
}

fn demand(job: &Job) -> Demand {
    Demand { bytes: needed(&job.forecast), alone_in: Some(job.study_digest) }
}

/// Bytes that a job is taken to need while it runs: what a site sends of it lies in memory when it is sent and when it is received.
fn needed(forecast: &Forecast) -> u64 {
    let prepared = forecast.preparation.map_or(0, |preparation| preparation.bytes_per_site);
    forecast.bytes_per_site.saturating_add(prepared).saturating_mul(2).max(LEAST_BYTES)
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, NodeError> + Send + 'static,
) -> Result<R, NodeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "work on jobs ended unexpectedly")))
}

fn random_id() -> Result<Id, NodeError> {
    let bytes = mpc_core::random::os_bytes();
    let bytes = bytes.map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
    Ok(*bytes.first_chunk().expect("no fewer than 16 bytes"))
}

/// Its analyst does not want it any more.
const CANCELLED: &str = "JOB_CANCELLED";
/// Questions that are planned at a time, and of one account that are being taken.
const PLANNED: usize = 4;
const TAKEN: usize = 4;
/// Changes that a slow listener may be behind.
const CHANGES: usize = 1024;
/// How long a job that is told to end may take.
const ENDING: Duration = Duration::from_secs(5);
/// How often old jobs are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The least that a job is taken to need: connections, a plan, a table.
const LEAST_BYTES: u64 = 32 << 20;
