//! The web console of a node, for its stewards and for analysts who have an account here. On this machine's own addresses alone.
//!
//! The contract with the pages is `console/src/api.ts` and `console/src/api/`; this module answers each of its paths, in its words.
//! Whatever changes something is done by the same functions as the commands' ([`crate::govern::steward::perform`],
//! [`Jobs`]).
//!
//! # Who may what
//! A token ([`tokens`]) opens a session (`sessions`); its cookie alone reads, and what changes something carries the session's
//! CSRF token besides. A request under another name of this machine, or from another page, is refused before anything else is
//! looked at (`door`).

mod analyst;
mod door;
mod events;
mod files;
mod peers;
mod place;
mod refused;
mod routes;
mod sessions;
mod steward;
pub mod tokens;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use query_planner::Language;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::fault::NodeError;
use crate::http::{self, Reply};
use crate::jobs::Jobs;
use crate::places::Places;
use crate::site::Site;
use hyper::StatusCode;
use peers::Peers;
use refused::Refused;
use sessions::{Session, Sessions};
use tokens::{Role, Tokens};

/// Connections at a time. A browser has up to seven.
const CONNECTIONS: usize = 128;
/// Wrong tokens that are waited for at a time.
const TRIES: usize = 4;
/// Questions that are planned at a time for whoever types; what is given up meanwhile is not planned.
const PLANNING: usize = 2;
/// Streams of events at a time, and of one token.
const STREAMS: (usize, usize) = (64, 8);

/// The console of a running node.
pub struct Console {
    site: Arc<Site>,
    jobs: Option<Arc<Jobs>>,
    address: SocketAddr,
    tokens: Tokens,
    sessions: Sessions,
    peers: Peers,
    trying: Semaphore,
    planning: Arc<Semaphore>,
    /// A dry run reads the site's tables: one at a time.
    counting: Semaphore,
    streams: Arc<Places<[u8; 32]>>,
}

/// What somebody who is logged in asks.
struct Visit {
    session: Session,
    cookie: String,
    language: Language,
    /// Of lists: where the part begins.
    from: u64,
    /// Of releases: of which study.
    study: Option<String>,
}

impl Console {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// `PORT_IN_USE`, `CANNOT_BIND`.
    pub async fn listen(
        config: &Config,
        address: SocketAddr,
        site: Arc<Site>,
        jobs: Option<Arc<Jobs>>,
    ) -> Result<(Arc<Self>, TcpListener), NodeError> {
        let listener = http::listen("the console", address).await?;
        let address = listener.local_addr().map_err(|e| NodeError::new("CANNOT_BIND", e.to_string()))?;
        let console = Self {
            site,
            jobs,
            address,
            tokens: Tokens::of(config),
            sessions: Sessions::default(),
            peers: Peers::default(),
            trying: Semaphore::new(TRIES),
            planning: Arc::new(Semaphore::new(PLANNING)),
            counting: Semaphore::new(1),
            streams: Places::new(STREAMS.0, STREAMS.1),
        };
        Ok((Arc::new(console), listener))
    }

    /// Answers until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        http::serve(listener, CONNECTIONS, move |asked| {
            let console = self.clone();
            async move { console.answer(asked).await }
        })
        .await;
    }

    /// The jobs of the node's accounts.
    fn jobs(&self) -> Result<&Arc<Jobs>, Refused> {
        self.jobs.as_ref().ok_or_else(|| Refused::new("NOT_YOURS", "this node has no accounts of analysts"))
    }
}

impl Visit {
    fn name(&self) -> &str {
        &self.session.holder.name
    }

    fn is(&self, role: Role) -> bool {
        self.session.holder.roles.contains(&role)
    }
}

/// A part of a list.
#[derive(Serialize)]
struct Part<T> {
    items: Vec<T>,
    /// The `from` of the following part.
    next: Option<u64>,
}

impl<T> Part<T> {
    /// Of a whole list, as the site's other lists are cut.
    fn of<S>(all: Vec<S>, from: u64, each: impl FnMut(S) -> T) -> Self {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
        let end = (from + LISTED).min(all.len());
        let next = (end < all.len()).then_some(end as u64);
        Self { items: all.into_iter().skip(from).take(end - from).map(each).collect(), next }
    }
}

/// Entries in a part.
const LISTED: usize = 50;

/// A reply with content.
fn json(value: &impl Serialize) -> Result<Reply, Refused> {
    let body = serde_json::to_vec(value).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    Ok(http::whole(StatusCode::OK, "application/json", body))
}

/// A reply without content.
fn done() -> Reply {
    let mut reply = Reply::new(http::nothing());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// Work that blocks.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, NodeError> + Send + 'static,
) -> Result<R, NodeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the work for the console ended unexpectedly")))
}
