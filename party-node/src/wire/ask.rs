//! A question from a connection: planned, submitted as a job of the account, waited for, read.

use std::sync::Arc;

use futures::{Sink, SinkExt};
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use query_planner::{Options, explain};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::cells::Shown;
use super::desk::Desk;
use super::session::Settings;
use crate::fault::{NodeError, printable};
use crate::jobs::Jobs;
use crate::jobs::answer::sheet;
use crate::jobs::control::Submission;
use crate::jobs::job::{At, Job, State};
use crate::network::AnalystEntry;
use crate::output::Sheet;
use crate::plans::{self, Wanted};
use crate::state::{hex, now_ms};

/// What is known of a question before it is asked.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The answer's columns.
    pub columns: Vec<Shown>,
    /// What it would reveal, in words.
    pub reveals: String,
    /// Digest of the plan that says so.
    digest: [u8; 32],
    /// When it was planned: what `now()` means.
    now_ms: i64,
}

/// Somebody who asks.
#[derive(Clone)]
pub struct Asker {
    /// The node's jobs.
    pub jobs: Arc<Jobs>,
    /// The account.
    pub account: String,
    /// The connection's settings at this moment.
    pub settings: Settings,
    /// Where work on statements takes its turn.
    pub desk: Arc<Desk>,
}

/// What may end the wait for an answer before there is one.
pub struct Ends {
    /// The client asked for an end.
    pub cancel: watch::Receiver<()>,
    /// The node stops.
    pub stopping: watch::Receiver<bool>,
}

impl Asker {
    /// Plans a question.
    ///
    /// # Errors
    /// What the planner refuses.
    pub async fn plan(&self, text: &str) -> Result<Planned, NodeError> {
        let (catalog, text) = (self.jobs.catalog().clone(), text.to_owned());
        let options =
            Options { now_ms: now_ms() as i64, audience: self.settings.audience, noise: self.settings.noise() };
        let language = self.settings.language;
        self.work(move || {
            let compiled = query_planner::plan(&text, &catalog, &options)?;
            let fields = compiled.finish.schema().fields();
            // Behind the answer's columns stand the marks of what is hidden.
            let shown = if compiled.joint.hides() { fields.len() / 2 } else { fields.len() };
            let columns = fields.iter().take(shown).map(|field| Shown::of(field.name(), field.data_type())).collect();
            let reveals = explain::disclosures(&compiled.joint, language);
            Ok(Planned { columns, reveals, digest: compiled.joint.digest(), now_ms: options.now_ms })
        })
        .await
    }

    /// What a question would do, line by line; or only what it would reveal.
    ///
    /// # Errors
    /// What the planner refuses.
    pub async fn explain(&self, text: &str, disclosure: bool) -> Result<Vec<String>, NodeError> {
        let (jobs, text, noise) = (self.jobs.clone(), text.to_owned(), self.settings.noise());
        let (account, audience, language) = (self.account.clone(), self.settings.audience, self.settings.language);
        self.work(move || {
            let what = if disclosure { Wanted::Disclosures } else { Wanted::Plan };
            let asked = plans::Asked { what, language, study: None, audience, noise };
            let mut out = plans::explained(&text, jobs.catalog(), &asked)?;
            let entry = jobs.network().analyst.iter().find(|entry| entry.name == account);
            out += &entry.map_or_else(String::new, AnalystEntry::seen_through);
            Ok(out.lines().map(str::to_owned).collect())
        })
        .await
    }

    /// Submits what was planned. Whoever leaves meanwhile has asked nothing.
    ///
    /// # Errors
    /// As [`Jobs::submit`].
    pub async fn submit(&self, text: &str, planned: &Planned) -> Result<Awaited, NodeError> {
        let submission = Submission {
            sql: text.to_owned(),
            study: self.settings.study.clone(),
            audience: self.settings.audience,
            noise: self.settings.noise(),
            now_ms: Some(planned.now_ms),
            plan: Some(planned.digest),
        };
        let (jobs, account) = (self.jobs.clone(), self.account.clone());
        let (hand, handed) = oneshot::channel();
        tokio::spawn(async move {
            let job = jobs.submit(&account, submission).await;
            // Where nobody takes it, it is dropped here.
            let _ = hand.send(job.map(|job| Awaited { jobs, account, job, armed: true }));
        });
        handed.await.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "a question was not taken")))
    }

    /// Waits until a job is done; the client is told for whom. Whoever stops waiting, takes the job back unless it has begun.
    ///
    /// # Errors
    /// Why it ended without an answer, `WAITING_FOR_APPROVAL` when it waits for longer than the connection does, `JOB_CANCELLED` when the
    /// client asked for an end, `NODE_STOPPED`.
    pub async fn wait<C>(&self, mut awaited: Awaited, mut ends: Ends, client: &mut C) -> Result<Job, NodeError>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
    {
        let mut until = Instant::now() + self.settings.wait;
        let (mut job, mut told) = (awaited.job.clone(), String::new());
        let id = hex::text(&job.id);
        while !job.state.is_over() {
            // A time limit counts the waiting for people, not the work.
            if job.state != State::Waiting {
                until = Instant::now() + self.settings.wait;
            }
            let words = waits(&job);
            if !words.is_empty() && words != told {
                notice(client, &self.settings, &format!("job {id} waits: {words}")).await;
                told = words;
            }
            job = tokio::select! {
                newer = self.jobs.follow(&self.account, &id, job.revision) => newer?,
                () = asked_to_end(&mut ends.cancel) => {
                    self.jobs.cancel(&self.account, &id).await?;
                    awaited.armed = false;
                    return Err(NodeError::new("JOB_CANCELLED", format!("job {id} was taken back; what has begun counts as a release")));
                }
                () = stops(&mut ends.stopping) => {
                    awaited.armed = false;
                    // What waits goes on when the node is back; what runs is ended by the node with its own word.
                    let over = self.follow_briefly(&id, &job).await?;
                    if !over.state.is_over() {
                        return Err(NodeError::new("NODE_STOPPED", format!("the node stops; job {id} goes on when it is back")).hint(fetch(&id)));
                    }
                    over
                }
                () = tokio::time::sleep_until(until) => {
                    awaited.armed = false;
                    let words = waits(&job);
                    let words = if words.is_empty() { "for consent" } else { &words };
                    let message = format!("job {id} still waits: {words}");
                    return Err(NodeError::new("WAITING_FOR_APPROVAL", message).hint(fetch(&id)));
                }
            };
        }
        awaited.armed = false;
        match job.refusal {
            Some(why) => Err(why.into()),
            None => Ok(job),
        }
    }

    /// A job that runs while the node stops: it has as long as the node gives it.
    async fn follow_briefly(&self, id: &str, job: &Job) -> Result<Job, NodeError> {
        let mut job = job.clone();
        while job.state == State::Running {
            job = self.jobs.follow(&self.account, id, job.revision).await?;
        }
        Ok(job)
    }

    /// Works on a statement in its turn, which lasts until the work is done, also when nobody waits for it any more.
    ///
    /// # Errors
    /// As [`blocking`] and [`Desk::turn`].
    pub async fn work<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, NodeError> + Send + 'static,
    ) -> Result<R, NodeError> {
        let turn = self.desk.turn(&self.account).await?;
        blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }

    /// A job's answer, whole.
    ///
    /// # Errors
    /// As [`Jobs::page`].
    pub async fn answer(&self, name: &str) -> Result<Sheet, NodeError> {
        let (mut pages, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let page = self.jobs.page(&self.account, name, from).await?;
            next = page.next;
            pages.push(page);
        }
        sheet(pages)
    }
}

/// Tells the client something beside an answer, unless it wants to hear of errors only.
pub async fn notice<C>(client: &mut C, settings: &Settings, text: &str)
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
{
    if settings.quiet {
        return;
    }
    // Notices have a bounded length on the wire.
    let text: String = text.trim_end().chars().take(7_000).collect();
    let mut info = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), text);
    info.severity_nonlocalized = Some("NOTICE".to_owned());
    // A client that left is noticed elsewhere.
    let _ = client.send(PgWireBackendMessage::NoticeResponse(info.into())).await;
}

/// Waits until the client asks for an end.
pub async fn asked_to_end(cancel: &mut watch::Receiver<()>) {
    // The sender lives as long as the connection.
    let _ = cancel.changed().await;
}

/// Waits until the node stops.
async fn stops(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the door, which the connection holds.
    let _ = stopping.wait_for(|stops| *stops).await;
}

fn fetch(id: &str) -> String {
    format!(
        "look at it with SELECT * FROM consilium.jobs, and fetch it with SELECT * FROM consilium.answer('{}')",
        &id[..12]
    )
}

/// For whom a job waits.
pub fn waits(job: &Job) -> String {
    let words = job.sites.iter().filter_map(|site| {
        let name = printable(&site.site);
        match (site.state, &site.waits_for) {
            (At::Waiting, Some(waits)) => {
                Some(format!("{name}: {} of its stewards to say yes to plan {}", waits.needs, printable(&waits.plan)))
            }
            (At::Waiting, None) => Some(format!("{name}: its stewards")),
            (At::Silent, _) => Some(format!("{name}: does not answer")),
            (At::Asked, _) => site.refusal.as_ref().map(|refusal| format!("{name}: {}", refusal.code)),
            _ => None,
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

/// A job that somebody waits for: it is taken back when nobody does any more, unless it has begun.
pub struct Awaited {
    jobs: Arc<Jobs>,
    account: String,
    /// As it was submitted.
    job: Job,
    armed: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (jobs, account, id) = (self.jobs.clone(), std::mem::take(&mut self.account), hex::text(&self.job.id));
        tokio::spawn(async move {
            let begun = async {
                Ok::<_, NodeError>(!matches!(jobs.show(&account, &id).await?.state, State::Waiting | State::Queued))
            };
            if begun.await.is_ok_and(|begun| !begun) {
                let _ = jobs.cancel(&account, &id).await;
            }
        });
    }
}

/// Work that would hold up the network, and that recurses: on a thread of its own with room for it.
///
/// # Errors
/// Its own, `INTERNAL` where there is no thread for it.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, NodeError> + Send + 'static,
) -> Result<R, NodeError> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wire".into()).stack_size(STACK_BYTES);
    let spawned = thread.spawn(move || {
        // Whoever asked may have left.
        let _ = done.send(work());
    });
    let lost = |_| NodeError::new("INTERNAL", "work on a statement ended unexpectedly");
    spawned.map_err(|_| NodeError::new("INTERNAL", "no thread could be started"))?;
    result.await.unwrap_or_else(|e| Err(lost(e)))
}

/// As the planner's: untouched pages cost nothing.
const STACK_BYTES: usize = 256 << 20;
