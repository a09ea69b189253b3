//! A site's node: listens, derives the plan itself, does its local work, computes with the others.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mpc_core::handshake::ControlStream;
use mpc_core::identity::{Identity, Pin};
use mpc_core::random::os_bytes;
use mpc_core::stats::Stats;
use mpc_core::transport::quic;
use mpc_core::{Parties, PartyId};
use protocols::additive::Additive;
use query_planner::catalog::SiteName;
use query_planner::decode::Opened;
use query_planner::{Catalog, Compiled, Options};
use quinn::{Connection, Endpoint};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::agree::{Greeting, JobId, PROTOCOL_VERSION, Propose, Reply, Report, Start, session_id};
use crate::blame;
use crate::connect::{self, Link, Place};
use crate::drill::Drill;
use crate::execute;
use crate::fault::{NodeError, printable};
use crate::finish::{self, Finished};
use crate::local::{NetworkFacts, Partials, partials_blocking};
use crate::network::Network;
use crate::output::{Answer, Cost, Format};
use crate::source::BoundData;

/// How long a new connection may take to say what it wants.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// How long a site that is ready waits for the others to become ready.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// Connections of one other site that may wait for runs we have not heard of yet.
const MAX_EARLY_JOINS: usize = 8;
/// How long such a connection may wait.
const EARLY_PATIENCE: Duration = Duration::from_secs(30);
/// Connections whose handshake may be under way.
const MAX_HANDSHAKES: usize = 64;
/// How much longer than a step a site that is done waits to hear how the run ended.
const OUTCOME_MARGIN: Duration = Duration::from_secs(3);
/// A run may not ask for a shorter wait than this at a step.
const MIN_STEP_TIMEOUT: Duration = Duration::from_millis(500);
/// Runs at a time.
const MAX_JOBS: usize = 16;

/// A running node.
pub struct Site {
    identity: Identity,
    network: Network,
    catalog: Arc<Catalog>,
    me: PartyId,
    data: Arc<BoundData>,
    endpoint: Endpoint,
    deadline: Duration,
    drill: Option<Drill>,
    joins: Joins,
    jobs: tokio::sync::Semaphore,
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
}

impl Site {
    /// Puts a node together.
    ///
    /// # Errors
    /// `NOT_IN_NETWORK` when the network file has no such site or another key for it.
    pub fn new(start: Startup) -> Result<Arc<Self>, NodeError> {
        let Startup { identity, network, catalog, name, data, endpoint, deadline, drill } = start;
        let me = place_of(&network, &name, identity.pin())?;
        if let Some(linked) = data.linked() {
            log(&name, &linked.summary.to_string());
        }
        Ok(Arc::new(Self {
            identity,
            network,
            catalog: Arc::new(catalog),
            me,
            data: Arc::new(data),
            endpoint,
            deadline,
            drill,
            joins: Joins::default(),
            jobs: tokio::sync::Semaphore::new(MAX_JOBS),
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
                    site.log(&error.to_string());
                }
            });
        }
    }

    fn log(&self, text: &str) {
        log(self.name(), text);
    }

    fn name(&self) -> &SiteName {
        &self.network.site[self.me.index()].name
    }

    /// Waits for runs that are going on, but no longer than their steps may wait.
    pub async fn drain(&self, patience: Duration) {
        let _ = timeout(patience, self.jobs.acquire_many(MAX_JOBS as u32)).await;
    }

    /// Who is at the other end of a connection, for the log.
    fn peer_name(&self, connection: &Connection) -> String {
        let site = quic::peer_pin(connection).and_then(|pin| self.network.site_of(pin));
        site.map_or_else(|| "an analyst".into(), |site| self.network.site[site].name.0.clone())
    }

    async fn greet(&self, connection: Connection) -> Result<(), NodeError> {
        let pin = quic::peer_pin(&connection).ok_or_else(|| violation("a connection without a key"))?;
        let greeting = async {
            let mut control = ControlStream::accept(&connection, GREETING_PATIENCE).await?;
            let greeting = control.recv().await?;
            Ok::<_, mpc_core::handshake::HandshakeError>((control, greeting))
        };
        let named = |e| violation(&format!("{}, before it said what it wants: {e}", self.peer_name(&connection)));
        let (mut control, greeting) = greeting.await.map_err(named)?;
        match greeting {
            Greeting::Question { version, job } => {
                if let Err(refusal) = self.admit(version, pin) {
                    refuse(&mut control, &refusal).await;
                    control.close().await;
                    return Err(refusal);
                }
                self.job(job, Link { connection, control }).await
            }
            Greeting::Join { version, job } => {
                let from = self.network.site_of(pin).filter(|_| version == PROTOCOL_VERSION);
                let from = from.ok_or_else(|| violation("a join by a party that is no site of this version"))?;
                self.joins.arrive((job, PartyId(from as u8)), Link { connection, control });
                Ok(())
            }
        }
    }

    fn admit(&self, version: u16, pin: Pin) -> Result<(), NodeError> {
        if version != PROTOCOL_VERSION {
            let message = format!("the analyst speaks version {version} of the protocol, this site {PROTOCOL_VERSION}");
            return Err(NodeError::new("VERSION_MISMATCH", message));
        }
        if !self.network.is_analyst(pin) {
            return Err(NodeError::new("NOT_AN_ANALYST", "this key may not ask questions in this network"));
        }
        Ok(())
    }

    async fn job(&self, job: JobId, mut link: Link) -> Result<(), NodeError> {
        let Ok(_permit) = self.jobs.try_acquire() else {
            let busy = NodeError::new("SITE_BUSY", format!("{MAX_JOBS} runs are going on")).hint("try again later");
            refuse(&mut link.control, &busy).await;
            link.control.close().await;
            return Err(busy);
        };
        let propose: Propose = link.control.recv().await.map_err(|e| violation(&e.to_string()))?;
        Drill::at(self.drill.as_ref(), "propose");
        let (compiled, partials) = match self.prepare(&propose).await {
            Ok(ready) => ready,
            Err(refusal) => {
                refuse(&mut link.control, &refusal).await;
                link.control.close().await;
                return Err(refusal);
            }
        };
        let nonce =
            os_bytes().map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
        link.control.send(&Reply::Ready { nonce }).await.map_err(|e| violation(&e.to_string()))?;
        Drill::at(self.drill.as_ref(), "ready");
        // The analyst may leave: another site refused, or it gave up. Nothing was sent.
        let Ok(start) = link.control.recv_within::<Start>(START_PATIENCE).await else { return Ok(()) };
        Drill::at(self.drill.as_ref(), "start");
        self.compute(job, link, &propose, &start, nonce, compiled, partials).await
    }

    /// Derives the plan from the question, compares digests, runs the local stage. No share exists yet; a failure of
    /// the local stage is a fact about this site's rows, so the analyst hears that it failed and nothing else.
    async fn prepare(&self, propose: &Propose) -> Result<(Compiled, Vec<Partials>), NodeError> {
        if propose.network != self.network.digest() {
            return Err(NodeError::new("NETWORK_DIFFERS", "the analyst's network file is not this site's")
                .hint("compare the digests that `consilium check` prints, and exchange the newer file"));
        }
        agree_on_linkage(propose, &self.catalog)?;
        let (propose, catalog, data) = (propose.clone(), self.catalog.clone(), self.data.clone());
        let name = self.name().clone();
        let work = move || {
            let options = Options { now_ms: propose.now_ms, audience: propose.audience };
            let compiled = query_planner::plan(&propose.sql, &catalog, &options)?;
            if compiled.joint.digest() != propose.plan {
                return Err(NodeError::new("PLAN_DIFFERS", "this site derives another plan from the question")
                    .hint("the versions of the programs differ"));
            }
            let network = NetworkFacts::of(&compiled.joint);
            let stages = compiled.local.iter().zip(&compiled.joint.sums);
            let partials = stages.map(|(stage, sum)| partials_blocking(stage, sum, &name, &data, network));
            let partials = partials.collect::<Result<Vec<_>, _>>().map_err(|error| failed_at_home(&name, &error))?;
            log_excluded(&name, &partials);
            Ok((compiled, partials))
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the local work ended unexpectedly")))
    }

    #[expect(clippy::too_many_arguments, reason = "everything the agreement produced, used once")]
    async fn compute(
        &self,
        job: JobId,
        analyst: Link,
        propose: &Propose,
        start: &Start,
        nonce: [u8; 32],
        compiled: Compiled,
        partials: Vec<Partials>,
    ) -> Result<(), NodeError> {
        let place = self.place(&analyst, job, propose, start, nonce)?;
        let asker = analyst.connection.clone();
        let links = self.links(job, analyst, place).await?;
        Drill::at(self.drill.as_ref(), "connected");
        let (session, mut controls) =
            connect::session(place, links, |transport| Drill::wrap(self.drill.as_ref(), transport))
                .await
                .map_err(|error| blame::with_names(error, &self.network))?;
        let mut engine = Additive::new(session, execute::statement(&compiled.joint));
        let result = execute::run(&mut engine, &compiled.joint, Some(&partials)).await;
        let session = engine.into_session();
        let ended = match result {
            Ok(opened) => {
                let stats = session.stats();
                let report = Report { bytes: stats.bytes(), rounds: stats.rounds };
                if let Some(mut control) = place.parties.analyst().and_then(|a| controls.remove(&a))
                    && control.send(&report).await.is_ok()
                {
                    control.close().await;
                }
                let outcome = self.outcome(&asker, place.deadline).await;
                let left = session.finish().await;
                outcome?;
                if let Some(totals) = opened {
                    self.show(&compiled, &totals, &session.stats()).await?;
                }
                left
            }
            Err(error) => {
                session.abort(&error);
                Err(error)
            }
        };
        ended.map_err(|error| blame::explain(&error, &self.network))
    }

    /// Waits until the analyst closes the run, and says why if it closes it for a reason.
    async fn outcome(&self, asker: &Connection, patience: Duration) -> Result<(), NodeError> {
        // An analyst that neither closes nor speaks has what it needs from this site; the site leaves.
        let _ = timeout(patience + OUTCOME_MARGIN, asker.closed()).await;
        quic::abort_notice(asker).map_or(Ok(()), |notice| {
            let stopped = NodeError::new("SESSION_STOPPED", format!("stopped by the analyst: {}", notice.reason));
            Err(blame::with_names(stopped, &self.network))
        })
    }

    /// Prints an answer that was opened to everyone.
    async fn show(&self, compiled: &Compiled, totals: &[Opened], stats: &Stats) -> Result<(), NodeError> {
        let Finished { table, suppressed, disclosures } = finish::answer(compiled, totals).await?;
        let parties = self.network.site.len();
        let cost = Cost { rounds: u64::from(stats.rounds), bytes: stats.bytes(), wall_ms: 0, parties };
        let answer = Answer { table, suppressed, disclosures, cost };
        eprintln!("[{}] received an answer:\n{}", self.name(), answer.render(Format::Table));
        Ok(())
    }

    fn place(
        &self,
        analyst: &Link,
        job: JobId,
        propose: &Propose,
        start: &Start,
        nonce: [u8; 32],
    ) -> Result<Place, NodeError> {
        let sites = self.network.site.len();
        if start.nonces.len() != sites + 1 || start.nonces[self.me.index() + 1] != nonce {
            return Err(violation("the analyst did not take this site's nonce into the session"));
        }
        let asker = quic::peer_pin(&analyst.connection).ok_or_else(|| violation("a connection without a key"))?;
        let mut keys: Vec<Pin> = self.network.site.iter().flat_map(|s| s.pins.iter().copied()).chain([asker]).collect();
        let id = session_id(&mut keys, &job, propose, &start.nonces);
        let parties = Parties::sites_only(sites).map(Parties::with_analyst);
        let parties = parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "too many sites"))?;
        let asked = Duration::from_millis(propose.step_timeout_ms).max(MIN_STEP_TIMEOUT);
        let deadline = self.deadline.min(asked);
        Ok(Place { me: self.me, parties, id, deadline })
    }

    /// Dials the sites before this one and waits for those after it.
    /// Whoever is connected already hears why if that fails.
    async fn links(&self, job: JobId, analyst: Link, place: Place) -> Result<HashMap<PartyId, Link>, NodeError> {
        let mut links: HashMap<_, _> = place.parties.analyst().map(|party| (party, analyst)).into_iter().collect();
        match self.link_all(job, place, &mut links).await {
            Ok(()) => Ok(links),
            Err(error) => {
                connect::abort_all(&links, &error);
                Err(error)
            }
        }
    }

    async fn link_all(&self, job: JobId, place: Place, links: &mut HashMap<PartyId, Link>) -> Result<(), NodeError> {
        let by = Instant::now() + place.deadline;
        for peer in place.parties.sites().filter(|p| *p < self.me) {
            let left = by.saturating_duration_since(Instant::now());
            let (idle, at) = (connect::idle(self.deadline), peer.index());
            let connection = connect::dial(&self.endpoint, &self.identity, &self.network, at, left, idle).await?;
            let link = connect::join(connection, job, place.deadline).await.map_err(|e| violation(&e.to_string()))?;
            links.insert(peer, link);
        }
        for peer in place.parties.sites().filter(|p| *p > self.me) {
            let link = timeout_at(by, self.joins.wait((job, peer))).await.ok().flatten();
            let silent = || {
                let message = format!(
                    "{} did not connect within {} ms",
                    self.network.site[peer.index()].name,
                    place.deadline.as_millis()
                );
                NodeError::new("SITE_SILENT", message)
            };
            links.insert(peer, link.ok_or_else(silent)?);
        }
        Ok(())
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

/// One line on standard error, written at once so that nodes that share it do not garble each other's.
fn log(site: &SiteName, text: &str) {
    let line = format!("[{site}] {}\n", printable(&text.replace('\n', " ")));
    // Without a standard error nobody reads the log.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Sites with different linkage files would make different keys of the same patient, and find nobody.
fn agree_on_linkage(propose: &Propose, catalog: &Catalog) -> Result<(), NodeError> {
    let own = catalog.linkage.as_ref().map(|linkage| linkage.digest.as_str());
    if own == propose.linkage.as_deref() {
        return Ok(());
    }
    let word = |digest: Option<&str>| digest.map_or("none".to_owned(), printable);
    let message = format!(
        "the analyst's linkage file is not this site's: {} and {}",
        word(propose.linkage.as_deref()),
        word(own)
    );
    Err(NodeError::new("LINKAGE_DIFFERS", message)
        .hint("compare what `consilium linkage --file` prints, and exchange the newer file"))
}

/// Who cannot be matched is this site's own affair.
fn log_excluded(site: &SiteName, partials: &[Partials]) {
    for patients in partials.iter().filter_map(|partials| partials.patients.as_ref()) {
        if patients.excluded > 0 {
            log(site, &format!("{} patients of this question have no valid linkage key", patients.excluded));
        }
    }
}

/// Keeps the reason in this site's own log and tells the others only that its work failed: a division by zero or a
/// value out of bounds says something about a row, and a question can be built to make it say what the analyst wants to
/// know.
fn failed_at_home(site: &SiteName, error: &NodeError) -> NodeError {
    log(site, &format!("its own work failed: {error}"));
    NodeError::new("LOCAL_FAILED", "its own work on its rows failed; the reason is in its log and stays there").hint(
        "arithmetic that can fail on a row (division, casts, large squares) wants a CASE around it; a patient may have no more events at a \
         site than max_events",
    )
}

async fn refuse(control: &mut ControlStream, why: &NodeError) {
    let refusal = Reply::Refuse { code: why.code.to_string(), message: why.message.clone(), hint: why.hint.clone() };
    // Whoever left before hearing the refusal does not need it.
    let _ = control.send(&refusal).await;
}

fn violation(what: &str) -> NodeError {
    NodeError::new("PROTOCOL_VIOLATION", what)
}

/// Connections of other sites, by run and party, matched with the runs that wait for them.
#[derive(Default)]
struct Joins(Mutex<HashMap<(JobId, PartyId), Half>>);

enum Half {
    Arrived(Link, Instant),
    Awaited(oneshot::Sender<Link>),
}

impl Joins {
    fn arrive(&self, key: (JobId, PartyId), link: Link) {
        let mut halves = self.0.lock().expect("no code panics while it holds the joins");
        halves.retain(|_, half| match half {
            Half::Arrived(link, since) => link.connection.close_reason().is_none() && since.elapsed() < EARLY_PATIENCE,
            Half::Awaited(waiting) => !waiting.is_closed(),
        });
        match halves.remove(&key) {
            // Whoever stopped waiting drops the link, which closes it.
            Some(Half::Awaited(waiting)) => drop(waiting.send(link)),
            Some(Half::Arrived(..)) => (),
            None => {
                let waiting =
                    halves.iter().filter(|((_, from), half)| *from == key.1 && matches!(half, Half::Arrived(..)));
                if waiting.count() < MAX_EARLY_JOINS {
                    halves.insert(key, Half::Arrived(link, Instant::now()));
                }
            }
        }
    }

    async fn wait(&self, key: (JobId, PartyId)) -> Option<Link> {
        let waiting = {
            let mut halves = self.0.lock().expect("no code panics while it holds the joins");
            match halves.remove(&key) {
                Some(Half::Arrived(link, _)) => return Some(link),
                Some(Half::Awaited(_)) | None => {
                    let (sender, receiver) = oneshot::channel();
                    halves.insert(key, Half::Awaited(sender));
                    receiver
                }
            }
        };
        waiting.await.ok()
    }
}
