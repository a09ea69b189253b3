//! Changes as server-sent events: jobs for their analyst, the length of the inbox for stewards.
//!
//! Nothing is queued for a reader: what changed is looked up when the reader takes it, so that one who reads slowly skips states.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::refused::Refused;
use super::tokens::Role;
use super::view::job::Job;
use super::{Console, Visit};
use crate::fault::NodeError;
use crate::http::Reply;
use crate::jobs::job::Id;
use crate::jobs::{Changed, Jobs};
use crate::places::Place;

/// A comment line keeps the connection open.
const QUIET: Duration = Duration::from_secs(15);
/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(200);

/// One reader's stream.
struct Told {
    console: Arc<Console>,
    visit: Visit,
    jobs: Option<(Arc<Jobs>, broadcast::Receiver<Changed>)>,
    inbox: Option<watch::Receiver<()>>,
    /// Jobs that changed and were not told of: a wait for more of them may be broken off.
    changed: BTreeSet<Id>,
    begun: bool,
    _room: Place<[u8; 32]>,
}

/// What happened.
enum News {
    Jobs,
    /// So much that some of it was not heard.
    AllJobs,
    Inbox,
    Nothing,
    End,
}

impl Console {
    /// A stream that lasts as long as its session.
    pub(super) fn events(self: &Arc<Self>, visit: Visit) -> Result<Reply, Refused> {
        let too_many = |_| Refused::new("TOO_MANY_STREAMS", "too many streams of events are open");
        let room = self.streams.take(visit.session.holder.hash).map_err(too_many)?;
        let jobs = self.jobs.clone().filter(|_| visit.is(Role::Analyst)).map(|jobs| {
            let changes = jobs.subscribe();
            (jobs, changes)
        });
        let inbox = visit.is(Role::Steward).then(|| self.site.inbox_changes());
        let told =
            Told { console: self.clone(), visit, jobs, inbox, changed: BTreeSet::new(), begun: false, _room: room };
        let frames = stream::unfold(told, async |mut told| {
            let text = told.next().await?;
            Some((Ok::<_, NodeError>(Frame::data(Bytes::from(text))), told))
        });
        let mut reply: Reply = Response::new(StreamBody::new(frames).boxed_unsync());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(reply)
    }
}

impl Told {
    /// The next text, or the end of the session.
    async fn next(&mut self) -> Option<String> {
        let news = if self.begun { self.hear().await } else { News::AllJobs };
        if !self.is_open().await {
            return None;
        }
        let text = match news {
            News::End => return None,
            News::Nothing => Ok(": \n\n".to_owned()),
            News::Inbox => self.waiting().await,
            News::Jobs => self.changed().await,
            News::AllJobs if self.begun => self.newest().await,
            News::AllJobs => self.first().await,
        };
        self.begun = true;
        // A disk that fails is told where somebody asks; the page asks by itself when the stream ends.
        text.ok()
    }

    async fn is_open(&self) -> bool {
        let open = self.console.sessions.is_open(&self.visit.cookie);
        open && self.console.still_holds(&self.visit.session.holder).await.unwrap_or(false)
    }

    /// Waits for something.
    async fn hear(&mut self) -> News {
        let jobs = async {
            match &mut self.jobs {
                Some((_, changes)) => heard(changes, &self.visit.session.holder.name, &mut self.changed).await,
                None => std::future::pending().await,
            }
        };
        let inbox = async {
            match &mut self.inbox {
                Some(inbox) => inbox.changed().await.map_or(News::End, |()| News::Inbox),
                None => std::future::pending().await,
            }
        };
        let either = async {
            tokio::select! {
                news = jobs => news,
                news = inbox => news,
            }
        };
        timeout(QUIET, either).await.unwrap_or(News::Nothing)
    }

    /// What the page begins with.
    async fn first(&self) -> Result<String, NodeError> {
        let jobs = self.open_jobs()?;
        let inbox = if self.inbox.is_some() { self.waiting().await? } else { String::new() };
        Ok(format!("retry: 3000\n\n{inbox}{jobs}"))
    }

    async fn waiting(&self) -> Result<String, NodeError> {
        let waiting = self.console.site.look(|desk| Ok(desk.gate.state.inbox()?.len())).await?;
        event("inbox", &serde_json::json!({ "waiting": waiting }))
    }

    fn open_jobs(&self) -> Result<String, NodeError> {
        let Some((jobs, _)) = &self.jobs else { return Ok(String::new()) };
        jobs.unfinished(self.visit.name()).into_iter().map(|job| event("job", &Job::from(job))).collect()
    }

    /// After changes that were not heard: the newest, ended ones too.
    async fn newest(&self) -> Result<String, NodeError> {
        let Some((jobs, _)) = &self.jobs else { return Ok(String::new()) };
        let (jobs, _) = jobs.list(self.visit.name(), 0).await?;
        jobs.into_iter().map(|job| event("job", &Job::from(job))).collect()
    }

    async fn changed(&mut self) -> Result<String, NodeError> {
        let ids = std::mem::take(&mut self.changed);
        let Some((jobs, _)) = &self.jobs else { return Ok(String::new()) };
        let mut text = String::new();
        for id in ids {
            if let Some(job) = jobs.now(self.visit.name(), id).await? {
                text += &event("job", &Job::from(job))?;
            }
        }
        Ok(if text.is_empty() { ": \n\n".to_owned() } else { text })
    }
}

/// Waits for jobs of an account that change, and for more of them within a short time.
async fn heard(changes: &mut broadcast::Receiver<Changed>, account: &str, ids: &mut BTreeSet<Id>) -> News {
    while ids.is_empty() {
        match changes.recv().await {
            Ok(changed) if changed.account == account => _ = ids.insert(changed.id),
            Ok(_) => (),
            Err(broadcast::error::RecvError::Lagged(_)) => return News::AllJobs,
            Err(broadcast::error::RecvError::Closed) => return News::End,
        }
    }
    sleep(TOGETHER).await;
    loop {
        match changes.try_recv() {
            Ok(changed) if changed.account == account => _ = ids.insert(changed.id),
            Ok(_) => (),
            Err(broadcast::error::TryRecvError::Empty) => return News::Jobs,
            Err(broadcast::error::TryRecvError::Lagged(_)) => return News::AllJobs,
            Err(broadcast::error::TryRecvError::Closed) => return News::End,
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Result<String, NodeError> {
    // JSON has no line ends outside of texts, and none in them.
    let data = serde_json::to_string(data).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    Ok(format!("event: {name}\ndata: {data}\n\n"))
}
