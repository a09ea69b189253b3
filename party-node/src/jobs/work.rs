//! One job from its submission to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use query_planner::Options;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::job::{At, Job, Refusal, Run, RunningStep, State, WaitsFor};
use super::queue::Turn;
use super::{CANCELLED, Jobs, Live, blocking, demand};
use crate::agree::Propose;
use crate::analyst::{Analyst, Awaited, Consent, Listener, News, Question, Quiet, Who};
use crate::answers::Answers;
use crate::connect;
use crate::fault::NodeError;
use crate::log::{self, Entry, Level};
use crate::output::Answer;
use crate::state::now_ms;

/// How long a site may hold its reply until somebody there has decided.
const HOLD: Duration = Duration::from_secs(30);
/// Pauses between one look and the next, where a site does not hold its reply or does not answer at all.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the state of a run is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often a run is tried again that a site refused for a reason that passes: before each, the other sites do their work.
const AGAIN: usize = 10;
/// Another release of the study began between a site's word and the run: at another node, as jobs of this one wait for each other.
const MOVED: &str = "LEDGER_MOVED";
/// How often that is tried again. Each try may have begun at some site, and counts there.
const MOVED_TRIES: usize = 3;

/// A job at work.
pub(super) struct Work {
    pub(super) jobs: Arc<Jobs>,
    live: Arc<Live>,
    who: Arc<Who>,
}

/// What a job's question is, once planned.
struct Asked {
    analyst: Analyst,
    sql: String,
    options: Options,
    propose: Propose,
}

/// Why a try did not bring an answer.
enum Failure {
    /// Nothing has begun anywhere, and it may be tried again.
    Again(NodeError),
    /// This run brought the answer before.
    Before(Run, NodeError),
    Final(NodeError),
}

/// How often a job may still be tried again.
struct Tries {
    again: usize,
    moved: usize,
}

impl Tries {
    fn of(options: &Options) -> Self {
        // Every try that has begun takes its ε.
        Self { again: AGAIN, moved: if options.noise.is_some() { 0 } else { MOVED_TRIES } }
    }

    /// May it be tried again after this?
    fn take(&mut self, why: &NodeError) -> bool {
        let left = if why.code == MOVED { &mut self.moved } else { &mut self.again };
        let taken = left.checked_sub(1);
        *left = taken.unwrap_or(0);
        taken.is_some()
    }
}

impl Work {
    pub(super) fn new(jobs: Arc<Jobs>, live: Arc<Live>, who: Arc<Who>) -> Self {
        Self { jobs, live, who }
    }

    /// Does everything, and keeps how it ended.
    pub(super) async fn see_through(self) {
        let ended = match self.answered().await {
            Ok(()) => return,
            Err(why) => why,
        };
        let (name, id) = (&self.jobs.home.name, self.live.job.borrow().id);
        log::fault(name, "job", Some(id), &ended);
        let state = if ended.code == CANCELLED { State::Cancelled } else { State::Failed };
        let mut job = self.next();
        self.jobs.over(&mut job, state, Some(Refusal::from(&ended)));
        let (kept, copy) = (self.jobs.kept.clone(), job.clone());
        if let Err(error) = blocking(move || kept.keep(&copy)).await {
            log::fault(name, "job", Some(id), &error);
        }
        self.replace(job);
    }

    async fn answered(&self) -> Result<(), NodeError> {
        let asked = self.asked()?;
        let mut pause = FIRST_PAUSE;
        let mut tries = Tries::of(&asked.options);
        loop {
            self.unless_ended(self.consented(&asked)).await??;
            self.settle(|job| job.state = State::Queued).await?;
            let demand = demand(&self.live.job.borrow());
            let account = self.live.job.borrow().account.clone();
            let turn = self.unless_ended(self.jobs.queue.turn(&account, demand)).await??;
            let tried = self.run(&asked, Arc::new(turn)).await;
            let why = match tried {
                Ok(answer) => return self.done(answer).await,
                Err(Failure::Before(run, why)) => return self.done_before(run, why).await,
                Err(Failure::Final(why)) if why.code != MOVED => return Err(why),
                Err(Failure::Again(why) | Failure::Final(why)) => why,
            };
            if !tries.take(&why) {
                return Err(why);
            }
            log::fault(&self.jobs.home.name, "job_again", Some(self.live.job.borrow().id), &why);
            self.settle(|job| job.state = State::Waiting).await?;
            self.unless_ended(sleep(self.scattered(pause))).await?;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn asked(&self) -> Result<Asked, NodeError> {
        let job = self.live.job.borrow().clone();
        let study = self.jobs.home.gate.study(&job.study_digest)?.clone();
        let (endpoint, listener) = (connect::endpoint(([0, 0, 0, 0], 0).into())?, Arc::new(Quiet));
        let (who, answers, deadline) = (self.who.clone(), Arc::default(), self.jobs.deadline);
        let callers = Some(self.jobs.home.callers.clone());
        let analyst = Analyst { who, study, answers, endpoint, callers, deadline, listener };
        let options = Options { now_ms: job.now_ms, audience: job.audience, noise: job.noise };
        let question = Question { sql: &job.sql, options };
        // Under the plan that was submitted: sites that derive another one today refuse it.
        let propose = analyst.proposal(question, job.plan);
        Ok(Asked { analyst, options, propose, sql: job.sql })
    }

    /// Waits until every site consents.
    async fn consented(&self, asked: &Asked) -> Result<(), NodeError> {
        let sites = 0..self.who.network.site.len();
        try_join_all(sites.map(|site| self.consented_at(site, asked))).await.map(drop)
    }

    async fn consented_at(&self, site: usize, asked: &Asked) -> Result<(), NodeError> {
        // At first it does not hold the reply: the analyst sees at once where it waits.
        let (mut hold, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        loop {
            let began = Instant::now();
            let reply = asked.analyst.consult(site, &asked.propose, hold).await;
            self.note(|job| hear(job, site, &reply));
            match reply {
                Ok(Consent::Given) => return Ok(()),
                Ok(Consent::Awaited(_)) => (),
                Err(why) if is_passing(&why) => (),
                Err(why) => return Err(why),
            }
            hold = HOLD;
            if began.elapsed() < HOLD / 2 {
                sleep(self.scattered(pause)).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }

    /// One try. It is on disk that it runs before any site hears of it.
    async fn run(&self, asked: &Asked, turn: Arc<Turn>) -> Result<Answer, Failure> {
        self.settle(|job| job.state = State::Running).await.map_err(Failure::Final)?;
        let hears = Arc::new(Hears::of(self, turn));
        // A run's last packets wait for nobody else's.
        let endpoint = connect::endpoint(([0, 0, 0, 0], 0).into()).map_err(Failure::Final)?;
        let answers = Arc::new(self.answered_runs().await.map_err(Failure::Final)?);
        let analyst = Analyst { listener: hears.clone(), endpoint, answers, ..asked.analyst.clone() };
        let question = Question { sql: &asked.sql, options: asked.options };
        let mut asking = std::pin::pin!(analyst.ask_until(question, self.live.ended()));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let answer = loop {
            tokio::select! {
                answer = &mut asking => break answer,
                _ = looks.tick() => self.look(),
            }
        };
        answer.map_err(|why| hears.failure(why))
    }

    /// The runs whose answers are kept with the account's jobs: nothing else keeps them.
    async fn answered_runs(&self) -> Result<Answers, NodeError> {
        let (kept, job) = (self.jobs.kept.clone(), self.live.job.borrow().clone());
        let earlier = blocking(move || kept.answered(&job)).await?;
        Ok(Answers::Elsewhere(earlier.into_iter().filter_map(|job| job.run).map(|run| run.0).collect()))
    }

    /// Where the run is at this node's own site: others do not tell.
    fn look(&self) {
        let Some(Run(run)) = self.live.job.borrow().run else { return };
        let home = &self.jobs.home;
        let (Some(me), Some(latest)) = (home.network.position(&home.name), home.runs.latest(&run)) else { return };
        let forecast = self.live.job.borrow().forecast;
        let known = forecast.rounds + forecast.preparation.map_or(0, |preparation| preparation.rounds);
        let step = RunningStep {
            path: latest.step.as_str().to_owned(),
            round: latest.rounds,
            rounds: known.max(latest.rounds),
        };
        let site = self.live.job.borrow().sites[me].clone();
        if site.step.as_ref() != Some(&step) || site.bytes != latest.bytes {
            self.note(|job| {
                let site = &mut job.sites[me];
                site.set(At::Running, now_ms());
                (site.step, site.bytes) = (Some(step), latest.bytes);
            });
        }
    }

    /// There is an answer: on disk before anybody hears of it.
    async fn done(&self, answer: Answer) -> Result<(), NodeError> {
        let mut job = self.next();
        (job.cost, job.rows) = (Some(answer.cost), Some(answer.table.rows.num_rows() as u64));
        self.jobs.over(&mut job, State::Done, None);
        let (kept, copy) = (self.jobs.kept.clone(), job.clone());
        blocking(move || kept.keep_answer(&copy, &answer)).await?;
        let job_id = Some(job.id);
        let entry = Entry { level: Level::Info, event: "job", code: None, job: job_id, text: "a job is done" };
        log::write(&self.jobs.home.name, entry);
        self.replace(job);
        Ok(())
    }

    /// The sites say that this run answered the same question about the same data: the answer is the one that was kept of it, if it
    /// still is. Another run's is of other data, whatever its question.
    async fn done_before(&self, run: Run, why: NodeError) -> Result<(), NodeError> {
        let mut job = self.next();
        let (kept, copy) = (self.jobs.kept.clone(), job.clone());
        let earlier = blocking(move || kept.answered(&copy)).await?;
        let Some(earlier) = earlier.iter().find(|other| other.run == Some(run)) else { return Err(why) };
        (job.cost, job.rows, job.run) = (earlier.cost, earlier.rows, earlier.run);
        self.jobs.over(&mut job, State::Done, None);
        let (kept, copy, earlier) = (self.jobs.kept.clone(), job.clone(), earlier.id);
        blocking(move || kept.keep_again(&copy, &earlier)).await?;
        self.replace(job);
        Ok(())
    }

    /// Does something unless the job is to end before.
    async fn unless_ended<R>(&self, work: impl Future<Output = R>) -> Result<R, NodeError> {
        tokio::select! {
            done = work => Ok(done),
            why = self.live.ended() => Err(why),
        }
    }

    /// A change that is on disk before anybody hears of it.
    async fn settle(&self, change: impl FnOnce(&mut Job)) -> Result<(), NodeError> {
        let mut job = self.next();
        change(&mut job);
        let (kept, copy) = (self.jobs.kept.clone(), job.clone());
        blocking(move || kept.keep(&copy)).await?;
        self.replace(job);
        Ok(())
    }

    /// A change that need not outlive the node.
    fn note(&self, change: impl FnOnce(&mut Job)) {
        let mut job = self.next();
        change(&mut job);
        self.replace(job);
    }

    /// The job as it is, under its next revision.
    fn next(&self) -> Job {
        let mut job = self.live.job.borrow().clone();
        job.revision += 1;
        job
    }

    fn replace(&self, job: Job) {
        if job.state.is_over() {
            self.jobs.count(&job);
        }
        self.live.job.send_replace(job);
        self.jobs.tell(&self.live);
    }

    /// Jobs that were turned away together do not come back together.
    fn scattered(&self, pause: Duration) -> Duration {
        let part = f64::from(self.live.job.borrow().id[0]) / 256.0;
        pause.mul_f64(0.5 + part)
    }
}

/// A site's part of a run, as the analyst hears of it.
struct Hears {
    live: Arc<Live>,
    jobs: Arc<Jobs>,
    /// The run that brought the answer before.
    before: Mutex<Option<Run>>,
    /// A site may have begun a release.
    begun: AtomicBool,
    turn: Arc<Turn>,
}

impl Hears {
    fn of(work: &Work, turn: Arc<Turn>) -> Self {
        let (live, jobs) = (work.live.clone(), work.jobs.clone());
        Self { live, jobs, before: Mutex::default(), begun: AtomicBool::new(false), turn }
    }

    /// Why there is no answer.
    fn failure(&self, why: NodeError) -> Failure {
        // A site alone may say that something was answered before, and means this or not.
        match *self.before.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(run) => Failure::Before(run, why),
            None if is_passing(&why) && !self.begun.load(Ordering::Relaxed) => Failure::Again(why),
            None => Failure::Final(why),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        self.live.job.send_modify(|job| {
            change(job);
            job.revision += 1;
        });
        self.jobs.tell(&self.live);
    }
}

impl Listener for Hears {
    fn hear(&self, news: News<'_>) {
        match news {
            News::Proposed { run } => self.change(|job| job.run = Some(Run(run))),
            News::Repeated { run } => *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Run(run)),
            News::Awaited { site, awaited } => {
                self.change(|job| hear(job, site, &Ok(Consent::Awaited(awaited.clone()))));
            }
            News::Refused { site, why } => self.change(|job| hear(job, site, &Err(why.clone()))),
            News::Starting => self.begun.store(true, Ordering::Relaxed),
            News::Entered { site } => self.change(|job| job.sites[site].set(At::Running, now_ms())),
            // A release that is compared with others is to be kept everywhere before the next one asks what there is.
            News::Computing { .. } if !self.live.job.borrow().compared => self.turn.share_study(),
            News::Ready { .. } | News::Computing { .. } | News::Note { .. } => (),
        }
    }
}

/// What a site said about a job.
fn hear(job: &mut Job, site: usize, said: &Result<Consent, NodeError>) {
    let (at, now) = (&mut job.sites[site], now_ms());
    match said {
        Ok(Consent::Given) => at.set(At::Approved, now),
        Ok(Consent::Awaited(Awaited { plan, needs, consents })) => {
            at.set(At::Waiting, now);
            at.waits_for = Some(WaitsFor { plan: plan.clone(), needs: *needs, consents: consents.clone() });
        }
        Err(why) => {
            let state = match &*why.code {
                "SITE_UNREACHABLE" | "SITE_LOST" | "SITE_SILENT" | "SITE_STOPPING" => At::Silent,
                "SITE_BUSY" | "INBOX_FULL" => At::Asked,
                _ => At::Rejected,
            };
            at.set(state, now);
            at.refusal = Some(Refusal::from(why));
        }
    }
}

/// Does it pass by itself? Only before anything has begun.
fn is_passing(why: &NodeError) -> bool {
    let codes = ["SITE_UNREACHABLE", "SITE_LOST", "SITE_BUSY", "SITE_STOPPING", "WAITING_FOR_APPROVAL", "INBOX_FULL"];
    codes.contains(&&*why.code)
}

#[cfg(test)]
mod tests {
    use query_planner::Audience;

    use super::*;

    #[test]
    fn what_passes_by_itself_and_does_not_is_given_up_after_ten_tries() {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let mut tries = Tries::of(&options);
        let (busy, moved) = (NodeError::new("SITE_BUSY", ""), NodeError::new(MOVED, ""));
        assert!((0..AGAIN).all(|_| tries.take(&busy)));
        assert!(!tries.take(&busy) && !tries.take(&busy), "it goes on for ever");
        assert!((0..MOVED_TRIES).all(|_| tries.take(&moved)), "these count by themselves");
        assert!(!tries.take(&moved));
    }
}
