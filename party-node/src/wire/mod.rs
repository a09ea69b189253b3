//! PostgreSQL's wire protocol on a node: `psql`, psycopg, SQLAlchemy, R's DBI and DBeaver submit a joint question as ordinary SQL.
//!
//! A connection logs in as an account of the node (SCRAM-SHA-256; TLS 1.3 except on loopback). A question of the sites becomes a job
//! of the account ([`crate::jobs`]) and the connection waits for its answer; what a program asks about tables and types is answered
//! by the node itself (`browse`). Nothing is ever written.
//!
//! # Source
//! PostgreSQL 15's documentation, "Frontend/Backend Protocol", through the crate `pgwire`: it reads and writes messages and keeps
//! statements and portals; TLS, lengths, logging in and everything behind a statement is here.

pub mod accounts;
mod ask;
mod browse;
mod cells;
mod desk;
mod errors;
mod extended;
mod frames;
mod line;
mod login;
mod params;
mod run;
mod scram;
mod session;
pub mod settings;
mod statement;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use pgwire::api::cancel::CancelHandler;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use query_planner::catalog::SiteName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;

use crate::fault::NodeError;
use crate::jobs::Jobs;
use crate::log;
use crate::places::{Place, Places};
use desk::Desk;
use extended::Extended;
use frames::Broken;
use line::{Line, Peer};
use run::Prepared;
use scram::Exchange;
use session::Settings as Session;
use settings::Settings;

/// Connections that have not logged in yet: in all, and from one address.
const ARRIVING: (usize, usize) = (256, 32);
/// How long logging in may take.
const LOGIN: Duration = Duration::from_secs(10);
/// How long a connection that is told to end may take.
const CLOSING: Duration = Duration::from_secs(5);

/// Where analysts' programs come in.
pub struct Door {
    site: SiteName,
    jobs: Arc<Jobs>,
    accounts: PathBuf,
    tls: Option<TlsAcceptor>,
    /// Makes what is shown to somebody without an account; the same when the node starts anew, as an account's own is.
    nobody: [u8; 32],
    arriving: Arc<Places<IpAddr>>,
    desk: Arc<Desk>,
    next_pid: AtomicI32,
    /// Who may be asked to end what runs, by number.
    open: Mutex<HashMap<i32, (SecretKey, watch::Sender<()>)>>,
    stopping: watch::Sender<bool>,
}

impl Door {
    /// Listens.
    ///
    /// # Errors
    /// `PORT_IN_USE`, `CANNOT_BIND`, and what is wrong with certificate, key and accounts.
    pub async fn open(
        settings: &Settings,
        site: SiteName,
        jobs: Arc<Jobs>,
    ) -> Result<(Arc<Self>, TcpListener), NodeError> {
        let tls = settings.tls()?;
        accounts::Logins::read(&settings.accounts)?;
        let address = settings.listen;
        let listener = TcpListener::bind(address).await.map_err(|e| {
            let code = if e.kind() == std::io::ErrorKind::AddrInUse { "PORT_IN_USE" } else { "CANNOT_BIND" };
            NodeError::new(code, format!("[wire] at {address}: {e}"))
        })?;
        let door = Self {
            site,
            accounts: settings.accounts.clone(),
            tls,
            nobody: jobs.secret("wire nobody"),
            jobs,
            arriving: Places::new(ARRIVING.0, ARRIVING.1),
            desk: Arc::new(Desk::new(settings.connections)),
            next_pid: AtomicI32::new(1),
            open: Mutex::default(),
            stopping: watch::Sender::new(false),
        };
        Ok((Arc::new(door), listener))
    }

    /// Answers whoever connects, until it is closed.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stops| *stops) => return,
            };
            let Ok((stream, from)) = accepted else {
                // No file descriptors are left, for a moment.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Whoever comes while so many are logging in finds the connection closed.
            if let Ok(arriving) = self.arriving.take(owner(from.ip())) {
                tokio::spawn(self.clone().talk(stream, from, arriving));
            }
        }
    }

    /// Takes nobody new; whoever is connected is told, once what runs for them has ended.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until all that have logged in have ended, for a while.
    pub async fn close(&self) {
        self.stop();
        // Connections give their number back when they end.
        let _ = timeout(CLOSING, async {
            while !self.lock().is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    async fn talk(self: Arc<Self>, stream: TcpStream, from: SocketAddr, arriving: Place<IpAddr>) {
        let by = Instant::now() + LOGIN;
        let opened = tokio::time::timeout_at(by, line::open(stream, self.tls.as_ref())).await;
        let Ok(Ok(opened)) = opened else { return };
        let known = Arc::new(AtomicBool::new(false));
        let client = DefaultClient::new(from, opened.encrypted);
        let (line, peer) = line::watched(opened, known.clone());
        let mut socket = Framed::new(line, PgWireMessageServerCodec::new(client));
        socket.set_state(PgWireConnectionState::AwaitingStartup);
        let talk = Arc::new(Talk::new(self.clone(), known, arriving));
        let ended = talk.clone().listen(&mut socket, peer, by).await;
        if let Err(Ended::Told(error)) = ended {
            let info: ErrorInfo = error.into();
            let _ = timeout(CLOSING, socket.send(PgWireBackendMessage::ErrorResponse(info.into()))).await;
        }
        let _ = timeout(CLOSING, socket.close()).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, (SecretKey, watch::Sender<()>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a connection, by which with its key another one may ask for an end.
    fn register(&self, key: SecretKey, talk: &Talk) -> i32 {
        let mut open = self.lock();
        loop {
            let pid = self.next_pid.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if pid > 0 && !open.contains_key(&pid) {
                open.insert(pid, (key, talk.cancel.clone()));
                let _ = talk.pid.set(pid);
                return pid;
            }
        }
    }
}

#[async_trait]
impl CancelHandler for Door {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let open = self.lock();
        if let Some((key, cancel)) = open.get(&request.pid)
            && key.eq_value(&request.secret_key)
        {
            // Only what runs now hears it.
            cancel.send_replace(());
        }
    }
}

/// Why a connection ends.
enum Ended {
    /// The peer hears why.
    Told(PgWireError),
    /// It is gone, or said goodbye.
    Silent,
}

/// One connection.
pub struct Talk {
    door: Arc<Door>,
    /// Has it logged in?
    known: Arc<AtomicBool>,
    who: OnceLock<Who>,
    arriving: Mutex<Option<Place<IpAddr>>>,
    exchange: Mutex<Option<Exchange>>,
    settings: Mutex<Session>,
    /// What the connection began with.
    first: OnceLock<Session>,
    cancel: watch::Sender<()>,
    /// The number under which it may be asked to end what runs.
    pid: OnceLock<i32>,
    /// Prepared statements and portals by kind and name, with the bytes that each keeps.
    kept: Mutex<HashMap<String, usize>>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.get() {
            self.door.lock().remove(pid);
        }
    }
}

/// Who has logged in.
struct Who {
    account: String,
    database: String,
    /// Given back when the connection ends.
    _seat: Place<String>,
}

impl Talk {
    fn new(door: Arc<Door>, known: Arc<AtomicBool>, arriving: Place<IpAddr>) -> Self {
        Self {
            door,
            known,
            who: OnceLock::new(),
            arriving: Mutex::new(Some(arriving)),
            exchange: Mutex::default(),
            settings: Mutex::default(),
            first: OnceLock::new(),
            cancel: watch::Sender::default(),
            pid: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// Takes messages until the connection ends.
    async fn listen(
        self: Arc<Self>,
        socket: &mut Framed<Line, PgWireMessageServerCodec<Arc<Prepared>>>,
        mut peer: watch::Receiver<Peer>,
        login_by: Instant,
    ) -> Result<(), Ended> {
        let mut stopping = self.door.stopping.subscribe();
        loop {
            let waits_for_login = !self.known.load(Ordering::Relaxed);
            let message = tokio::select! {
                biased;
                message = socket.next() => message,
                () = sleep_until(login_by), if waits_for_login => return Err(told("BAD_MESSAGE", "logging in took too long")),
                Ok(_) = stopping.wait_for(|stops| *stops) => return Err(told("NODE_STOPPED", "the node stops")),
            };
            let message = match message {
                Some(Ok(PgWireFrontendMessage::Terminate(_))) => return Err(Ended::Silent),
                None => return Err(broken(*peer.borrow())),
                Some(Ok(message)) => message,
                Some(Err(_)) => return Err(broken(Peer::Broken(Broken::Malformed))),
            };
            // Whoever asks for an end leaves at once, and is heard all the same.
            if let PgWireFrontendMessage::CancelRequest(request) = message {
                self.door.on_cancel_request(request).await;
                return Err(Ended::Silent);
            }
            let is_extended = message.is_extended_query();
            let (talk, door, extended) = (self.clone(), self.door.clone(), Arc::new(Extended(self.clone())));
            let done = {
                let work = process_message(message, socket, talk.clone(), talk, extended, NOTHING.clone(), door);
                tokio::select! {
                    done = work => done,
                    // What is dropped here takes its job back.
                    Ok(peer) = peer.wait_for(|peer| *peer != Peer::There) => return Err(broken(*peer)),
                    () = sleep_until(login_by), if waits_for_login => return Err(told("BAD_MESSAGE", "logging in took too long")),
                }
            };
            match done {
                Err(error) if error.is_fatal() || !self.known.load(Ordering::Relaxed) => {
                    return Err(Ended::Told(error));
                }
                Err(error) => process_error(socket, error, is_extended).await.map_err(|_| Ended::Silent)?,
                Ok(()) => (),
            }
        }
    }

    fn entered(&self, account: String, database: String, seat: Place<String>) {
        // A connection logs in once: the protocol goes on from there.
        let _ = self.who.set(Who { account, database, _seat: seat });
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn exchange(&self) -> MutexGuard<'_, Option<Exchange>> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Session> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What RESET goes back to.
    ///
    /// # Errors
    /// `NOT_AN_ACCOUNT` before the login.
    fn first(&self) -> Result<&Session, NodeError> {
        self.first.get().ok_or_else(logged_out)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// `NOT_AN_ACCOUNT` before the login.
    fn who(&self) -> Result<&Who, NodeError> {
        self.who.get().ok_or_else(logged_out)
    }
}

/// Whoever has an IPv6 address has the 2^64 beside it.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// There is no COPY.
static NOTHING: std::sync::LazyLock<Arc<NoopHandler>> = std::sync::LazyLock::new(|| Arc::new(NoopHandler));

fn logged_out() -> NodeError {
    NodeError::new("NOT_AN_ACCOUNT", "log in first")
}

fn told(code: &'static str, text: &str) -> Ended {
    Ended::Told(errors::fatal(&NodeError::new(code, text)))
}

fn broken(peer: Peer) -> Ended {
    match peer {
        Peer::Broken(Broken::TooLong) => {
            told("MESSAGE_TOO_LONG", &format!("a message has at most {} bytes", frames::MAX_MESSAGE))
        }
        Peer::Broken(Broken::Malformed) => told("BAD_MESSAGE", "that is no message of the protocol, in UTF-8"),
        Peer::Broken(Broken::Gone) | Peer::There => Ended::Silent,
    }
}

/// Why a node without accounts cannot have `[wire]`.
pub fn nobody_asks() -> NodeError {
    NodeError::new("BAD_CONFIG", "[wire] without an [[account]]: there is nobody who could log in")
}

/// Listens and serves until the door is closed.
///
/// # Errors
/// As [`Door::open`].
pub async fn start(settings: &Settings, site: SiteName, jobs: Arc<Jobs>) -> Result<Arc<Door>, NodeError> {
    let (door, listener) = Door::open(settings, site, jobs).await?;
    log::say(&door.site, "wire", &format!("database programs reach the accounts at {}", settings.listen));
    tokio::spawn(door.clone().serve(listener));
    Ok(door)
}
