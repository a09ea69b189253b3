//! A site's node: listens, derives the plan itself, decides, does its local work, computes with the others.

mod beside;
mod closing;
mod desk;
mod figures;
mod prepare;
mod run;
pub mod runs;
mod standing;
mod unstarted;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mpc_core::PartyId;
use mpc_core::handshake::ControlStream;
use mpc_core::identity::{Identity, Pin};
use mpc_core::transport::quic;
use query_planner::Catalog;
use query_planner::catalog::SiteName;
use quinn::{Connection, Endpoint};
use tokio::time::timeout;

use crate::agree::{Greeting, PROTOCOL_VERSION, Reply};
use crate::callers::Callers;
use crate::connect::Link;
use crate::drill::Drill;
use crate::fault::{NodeError, printable};
use crate::govern::gate::{Asker, Gate, Posted};
use crate::govern::steward::{Order, Refusal};
use crate::govern::study::Study;
use crate::jobs::Jobs;
use crate::jobs::control::Part;
use crate::joins::Joins;
use crate::log;
use crate::metrics::Meter;
use crate::network::Network;
use crate::source::BoundData;
use crate::state::State;
use crate::state::audit::Event;
use beside::Beside;
use closing::Closing;
pub(crate) use closing::stopped;
use runs::Runs;
use unstarted::Unstarted;

/// How long a new connection may take to say what it wants.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// Connections whose handshake may be under way.
const MAX_HANDSHAKES: usize = 64;
/// Runs at a time.
const MAX_RUNS: usize = 16;

/// How long runs that are ended may take to say so.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// What of a node its jobs are made with.
pub struct Home {
    /// The site.
    pub name: SiteName,
    /// The network.
    pub network: Arc<Network>,
    /// Its catalogue.
    pub catalog: Arc<Catalog>,
    /// How the site decides, and what it keeps.
    pub gate: Arc<Gate>,
    /// The runs that it takes part in.
    pub runs: Arc<Runs>,
    /// The sites that keep a connection open to it.
    pub callers: Arc<Callers>,
}

/// A running node.
pub struct Site {
    network: Arc<Network>,
    catalog: Arc<Catalog>,
    me: PartyId,
    data: Arc<BoundData>,
    /// Digest of the data, where they are files.
    snapshot: [u8; 32],
    gate: Arc<Gate>,
    unstarted: Unstarted,
    /// Held while a release is decided about and begins.
    beginning: Mutex<()>,
    endpoint: Endpoint,
    deadline: Duration,
    drill: Option<Drill>,
    joins: Joins,
    callers: Arc<Callers>,
    /// Runs at a time.
    room: tokio::sync::Semaphore,
    runs: Arc<Runs>,
    beside: Beside,
    closing: Closing,
    meter: Arc<Meter>,
    /// What its accounts ask.
    jobs: OnceLock<Arc<Jobs>>,
}

/// What a node is started with.
pub struct Startup {
    /// Its key.
    pub identity: Identity,
    /// The network it belongs to.
    pub network: Network,
    /// The network's catalogue.
    pub catalog: Catalog,
    /// Its name there.
    pub name: SiteName,
    /// Its tables, typed.
    pub data: BoundData,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Longest a step waits for a message.
    pub deadline: Duration,
    /// A planned failure, for drills.
    pub drill: Option<Drill>,
    /// What it allows.
    pub policy: Posted,
    /// The studies it has signed.
    pub studies: Vec<Study>,
    /// What it keeps.
    pub state: State,
}

impl Site {
    /// Puts a node together.
    ///
    /// # Errors
    /// `NOT_IN_NETWORK` when the network file has no such site or another key for it.
    pub fn new(start: Startup) -> Result<Arc<Self>, NodeError> {
        let Startup { identity, network, catalog, name, data, endpoint, deadline, drill, policy, studies, state } =
            start;
        let me = place_of(&network, &name, identity.pin())?;
        state.log(Event::Policy { policy: policy.policy.digest() })?;
        if let Some(linked) = data.linked() {
            log::say(&name, "linkage", &linked.summary.to_string());
        }
        for crate::source::Clamped { table, column, values } in data.clamped(&catalog, &name) {
            let place = printable(&format!("{table}.{column}"));
            let text = format!("{place}: {values} values lie outside the clamp, and count as its nearest end");
            log::say(&name, "clamp", &text);
        }
        let (identity, state) = (Arc::new(identity), Arc::new(state));
        let gate = Gate { name, identity, network: network.digest(), studies, policy, state };
        Ok(Arc::new(Self {
            network: Arc::new(network),
            catalog: Arc::new(catalog),
            me,
            snapshot: data.snapshot(),
            data: Arc::new(data),
            gate: Arc::new(gate),
            unstarted: Unstarted::default(),
            beginning: Mutex::default(),
            callers: Arc::new(Callers::new(endpoint.clone())),
            endpoint,
            deadline,
            drill,
            joins: Joins::default(),
            room: tokio::sync::Semaphore::new(MAX_RUNS),
            runs: Arc::default(),
            beside: Beside::default(),
            closing: Closing::default(),
            meter: Arc::default(),
            jobs: OnceLock::new(),
        }))
    }

    /// Accepts connections until the endpoint closes.
    pub async fn serve(self: Arc<Self>) {
        let handshakes = Arc::new(tokio::sync::Semaphore::new(MAX_HANDSHAKES));
        while let Some(incoming) = self.endpoint.accept().await {
            // An address that cannot be answered gets no memory of ours.
            if !incoming.remote_address_validated() {
                drop(incoming.retry());
                continue;
            }
            let Ok(permit) = handshakes.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let site = self.clone();
            tokio::spawn(async move {
                let connected = incoming.await;
                drop(permit);
                // Whoever owns no pinned key does not get this far; a failed handshake is the other side's to report.
                if let Ok(connection) = connected
                    && let Err(error) = site.greet(connection).await
                {
                    log::fault(site.name(), "connection", None, &error);
                }
            });
        }
    }

    /// Takes the jobs of this node's accounts in.
    pub fn serve_jobs(&self, jobs: Arc<Jobs>) {
        let _ = self.jobs.set(jobs);
    }

    /// What this node's jobs are made with.
    pub fn home(&self) -> Home {
        let (network, catalog) = (self.network.clone(), self.catalog.clone());
        Home {
            name: self.name().clone(),
            network,
            catalog,
            gate: self.gate.clone(),
            runs: self.runs.clone(),
            callers: self.callers.clone(),
        }
    }

    fn name(&self) -> &SiteName {
        &self.gate.name
    }

    /// Waits for runs that are going on, but no longer than this. Did all end?
    pub async fn drain(&self, patience: Duration) -> bool {
        timeout(patience, self.room.acquire_many(MAX_RUNS as u32)).await.is_ok()
    }

    /// Takes no new question, lets runs end as long as `patience`, and ends those that are left with a code that says why. They
    /// count as releases all the same.
    pub async fn shut(&self, patience: Duration) {
        self.closing.drain();
        if !self.drain(patience).await {
            self.closing.abort();
            self.drain(ABORT_PATIENCE).await;
        }
    }

    /// Who is at the other end of a connection, for the log.
    fn peer_name(&self, connection: &Connection) -> String {
        let site = quic::peer_pin(connection).and_then(|pin| self.network.site_of(pin));
        site.map_or_else(|| "an analyst".into(), |site| self.network.site[site].name.0.clone())
    }

    async fn greet(self: &Arc<Self>, connection: Connection) -> Result<(), NodeError> {
        let pin = quic::peer_pin(&connection).ok_or_else(|| violation("a connection without a key"))?;
        let greeting = async {
            let mut control = ControlStream::accept(&connection, GREETING_PATIENCE).await?;
            let greeting = control.recv().await?;
            Ok::<_, mpc_core::handshake::HandshakeError>((control, greeting))
        };
        let named = |e| violation(&format!("{}, before it said what it wants: {e}", self.peer_name(&connection)));
        let (mut control, greeting) = greeting.await.map_err(named)?;
        match greeting {
            Greeting::Question { version, run } => {
                let asker = match self.admit(version, pin) {
                    Ok(asker) => asker,
                    Err(refusal) => return self.sent_away(control, refusal).await,
                };
                let began = std::time::Instant::now();
                let ended = self.take_part(run, &asker, Link { connection, control }).await;
                self.meter.ended(ended.as_ref().err().map(|error| &*error.code), began.elapsed());
                // The run's own line: the connection it came by is no more.
                if let Err(error) = &ended {
                    log::fault(self.name(), "run", Some(run), error);
                }
                Ok(())
            }
            Greeting::Join { version, run } => {
                let from = self.network.site_of(pin).filter(|_| version == PROTOCOL_VERSION);
                let from = from.ok_or_else(|| violation("a join by a party that is no site of this version"))?;
                self.meter.met(from);
                self.joins.arrive((run, PartyId(from as u8)), Link { connection, control });
                Ok(())
            }
            Greeting::Steward { version } => {
                if version != PROTOCOL_VERSION || pin != self.gate.identity.pin() {
                    return Err(violation("an order that does not come under this site's own key and version"));
                }
                self.steward(control).await
            }
            Greeting::Consult { version } => {
                let asker = match self.admit(version, pin) {
                    Ok(asker) => asker,
                    Err(refusal) => return self.sent_away(control, refusal).await,
                };
                self.consult(&asker, Link { connection, control }).await
            }
            Greeting::Jobs { version } => {
                if let Err(refusal) = self.admit(version, pin) {
                    let _ = control.send(&Err::<Part, _>(Refusal::from(refusal.clone()))).await;
                    control.close().await;
                    return Err(refusal);
                }
                self.job_order(pin, control).await
            }
            Greeting::Stand { version } => {
                let from = self.network.site_of(pin).filter(|_| version == PROTOCOL_VERSION);
                let from = from.ok_or_else(|| violation("a connection to be kept, of no site of this version"))?;
                self.meter.met(from);
                self.callers.arrived(from, connection);
                Ok(())
            }
            Greeting::Check { .. } => {
                // Whoever left before hearing it asks again.
                let _ = control.send(&self.compared()).await;
                control.close().await;
                Ok(())
            }
        }
    }

    /// Does what a steward orders, beside whatever runs.
    async fn steward(self: &Arc<Self>, mut control: ControlStream) -> Result<(), NodeError> {
        let order: Order = control.recv().await.map_err(|e| violation(&format!("a steward's order: {e}")))?;
        let done = self.order(order).await;
        // Whoever left before hearing it looks again.
        let _ = control.send(&done.map_err(Refusal::from)).await;
        control.close().await;
        Ok(())
    }

    async fn sent_away(&self, mut control: ControlStream, why: NodeError) -> Result<(), NodeError> {
        refuse(&mut control, &why).await;
        control.close().await;
        Err(why)
    }

    fn admit(&self, version: u16, pin: Pin) -> Result<Asker, NodeError> {
        if version != PROTOCOL_VERSION {
            let message = format!("the analyst speaks version {version} of the protocol, this site {PROTOCOL_VERSION}");
            return Err(NodeError::new("VERSION_MISMATCH", message));
        }
        let analyst = self
            .network
            .analyst_of(pin)
            .ok_or_else(|| NodeError::new("NOT_AN_ANALYST", "this key may not ask questions in this network"))?;
        Ok(Asker { name: analyst.name.clone(), pin, at: analyst.at.clone() })
    }
}

/// A site's number in a network that pins its key.
pub fn place_of(network: &Network, name: &SiteName, pin: Pin) -> Result<PartyId, NodeError> {
    let index = network.position(name).ok_or_else(|| {
        NodeError::new("NOT_IN_NETWORK", format!("the network file has no site {}", printable(&name.0)))
    })?;
    if !network.site[index].pins.contains(&pin) {
        let message = format!("the network file pins another key for site {name}");
        return Err(NodeError::new("NOT_IN_NETWORK", message).hint("enroll this site's public file again"));
    }
    Ok(PartyId(index as u8))
}

async fn refuse(control: &mut ControlStream, why: &NodeError) {
    let refusal = Reply::Refuse { code: why.code.to_string(), message: why.message.clone(), hint: why.hint.clone() };
    // Whoever left before hearing the refusal does not need it.
    let _ = control.send(&refusal).await;
}

fn violation(what: &str) -> NodeError {
    NodeError::new("PROTOCOL_VIOLATION", what)
}
