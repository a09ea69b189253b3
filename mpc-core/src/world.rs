//! N parties in one process, from one seed: for tests, benchmarks and examples.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::handshake::{ControlStream, pair_seed};
use crate::identity::Identity;
use crate::party::{Parties, PartyId};
use crate::random::{PairSeed, PrivateSeed};
use crate::session::{DEFAULT_DEADLINE, Seeds, Session, SessionId, Setup};
use crate::stats::Stats;
use crate::transport::memory::{self, Link};
use crate::transport::quic::{self, QuicTransport};
use crate::transport::tamper::{Change, Tamper};
use crate::transport::{Transport, record, tls};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How the parties of a [`World`] are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Straight into the other's inbox.
    Memory,
    /// A simulated link on a paused clock: network time passes, real time does not.
    Simulated(Link),
    /// Real QUIC with mutual TLS over loopback, one thread and one runtime for each party.
    Quic,
}

/// What one party of a [`World`] came to.
#[derive(Debug)]
pub struct Outcome<T> {
    /// Its result.
    pub result: Result<T>,
    /// What it sent.
    pub stats: Stats,
    /// Network time when it was done (simulated) or real time since the sessions began.
    pub elapsed: Duration,
}

/// A network to run protocols in.
#[derive(Clone)]
pub struct World {
    parties: Parties,
    seed: u64,
    net: Net,
    deadline: Duration,
    tamper: Option<(PartyId, usize, Change)>,
    record: Option<(PartyId, record::Log)>,
}

impl World {
    /// `sites` computing parties in memory. Panics outside 1 to 20: a test that asks for that is wrong.
    pub fn new(sites: usize) -> Self {
        let parties = Parties::sites_only(sites).expect("a world has 1 to 20 sites");
        Self { parties, seed: 0, net: Net::Memory, deadline: DEFAULT_DEADLINE, tamper: None, record: None }
    }

    /// Adds an analyst after the sites.
    pub fn with_analyst(mut self) -> Self {
        self.parties = self.parties.with_analyst();
        self
    }

    /// The seed all randomness comes from (over QUIC the pair seeds are real and differ).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The kind of network.
    pub fn over(mut self, net: Net) -> Self {
        self.net = net;
        self
    }

    /// How long a receive waits.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets one party deviate in its `frame`-th message.
    pub fn tamper(mut self, party: PartyId, frame: usize, change: Change) -> Self {
        self.tamper = Some((party, frame, change));
        self
    }

    /// Records what one party sends.
    pub fn record(mut self, party: PartyId, log: record::Log) -> Self {
        self.record = Some((party, log));
        self
    }

    /// Runs `program` at every party with its input and returns what each came to, in party order. A party that fails
    /// tells the others.
    pub fn run<I, T, F, Fut>(&self, program: F, inputs: Vec<I>) -> Vec<Outcome<T>>
    where
        I: Send + 'static,
        T: Send + 'static,
        F: Fn(Session, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = (Session, Result<T>)> + Send,
    {
        assert_eq!(inputs.len(), self.parties.count(), "one input for each party");
        match self.net {
            Net::Memory => self.run_in_one_runtime(false, None, program, inputs),
            Net::Simulated(link) => self.run_in_one_runtime(true, Some(link), program, inputs),
            Net::Quic => self.run_over_quic(Arc::new(program), inputs),
        }
    }

    fn run_in_one_runtime<I, T, F, Fut>(
        &self,
        paused: bool,
        link: Option<Link>,
        program: F,
        inputs: Vec<I>,
    ) -> Vec<Outcome<T>>
    where
        F: Fn(Session, I) -> Fut,
        Fut: Future<Output = (Session, Result<T>)>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(paused).build();
        runtime.expect("a runtime without I/O can always be built").block_on(async {
            let start = tokio::time::Instant::now();
            let transports = memory::network(self.parties, link);
            let runs = self.parties.all().zip(transports).zip(inputs).map(|((me, transport), input)| {
                let session =
                    self.session(me, SessionId(self.bytes("session", &[])), self.test_seeds(me), Arc::new(transport));
                let run = program(session, input);
                async move { conclude(run.await, start).await }
            });
            join_all(runs).await
        })
    }

    fn run_over_quic<I, T, F, Fut>(&self, program: Arc<F>, inputs: Vec<I>) -> Vec<Outcome<T>>
    where
        I: Send + 'static,
        T: Send + 'static,
        F: Fn(Session, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = (Session, Result<T>)> + Send,
    {
        let identities: Vec<_> =
            self.parties.all().map(|_| Arc::new(Identity::generate().expect("the system has randomness"))).collect();
        let mesh = Arc::new(Mesh::new(self.parties.count()));
        let barrier = Arc::new(tokio::sync::Barrier::new(self.parties.count()));
        let threads: Vec<_> = self
            .parties
            .all()
            .zip(inputs)
            .map(|(me, input)| {
                let (world, program, mesh, barrier) = (self.clone(), program.clone(), mesh.clone(), barrier.clone());
                let identities = identities.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.expect("the system grants an event queue").block_on(async {
                        let (endpoint, session) = world.connect(me, &identities, &mesh).await;
                        barrier.wait().await;
                        let start = tokio::time::Instant::now();
                        let outcome = conclude(program(session, input).await, start).await;
                        endpoint.wait_idle().await;
                        outcome
                    })
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("a party's thread does not panic")).collect()
    }

    async fn connect(&self, me: PartyId, identities: &[Arc<Identity>], mesh: &Mesh) -> (quinn::Endpoint, Session) {
        let pins = identities.iter().map(|i| i.pin()).collect();
        let idle = self.deadline;
        let server = tls::server_config(&identities[me.index()], pins, idle, LOOPBACK)
            .expect("a generated key makes a configuration");
        let endpoint = quic::endpoint(LOOPBACK, Some(server)).expect("loopback can be bound");
        let addresses = mesh.publish(me, endpoint.local_addr().expect("a bound socket has an address"));
        let id = SessionId(self.bytes("session", &[]));
        let mut connections = HashMap::new();
        let mut pairs = HashMap::new();
        for peer in self.parties.all().filter(|p| *p != me) {
            let (connection, mut control) = if peer < me {
                let (address, pin) = (addresses[peer.index()], identities[peer.index()].pin());
                let config = tls::client_config(&identities[me.index()], pin, idle, address).expect("as above");
                let connecting =
                    endpoint.connect_with(config, address, "site").expect("a loopback address can be dialled");
                let connection = connecting.await.expect("the listener is up");
                let control = ControlStream::open(&connection, idle).await.expect("a new connection opens streams");
                (connection, control)
            } else {
                mesh.accept(&endpoint, me, peer, identities, idle).await
            };
            let seed = pair_seed(&connection, &mut control, id, me, peer, idle).await.expect("both run this function");
            pairs.insert(peer, seed);
            connections.insert(peer, connection);
        }
        let private = PrivateSeed::from_os().expect("the system has randomness");
        let transport = Arc::new(QuicTransport::new(connections));
        (endpoint, self.session(me, id, Seeds { private, pairs }, transport))
    }

    fn session(&self, me: PartyId, id: SessionId, seeds: Seeds, transport: Arc<dyn Transport>) -> Session {
        let mut transport = transport;
        if let Some((party, frame, change)) = self.tamper
            && party == me
        {
            transport = Arc::new(Tamper::new(transport, frame, change));
        }
        if let Some((party, log)) = &self.record
            && *party == me
        {
            transport = Arc::new(record::Recorder::new(transport, log.clone()));
        }
        Session::new(Setup { me, parties: self.parties, id, seeds, transport, deadline: self.deadline })
    }

    fn test_seeds(&self, me: PartyId) -> Seeds {
        let pair = |other: PartyId| self.bytes("pair", &[me.min(other).0, me.max(other).0]);
        let pairs = self.parties.all().filter(|p| *p != me).map(|p| (p, PairSeed::new(pair(p)))).collect();
        Seeds { private: PrivateSeed::new(self.bytes("private", &[me.0])), pairs }
    }

    fn bytes(&self, label: &str, extra: &[u8]) -> [u8; 32] {
        let hash = Sha256::new().chain_update(b"consilium world v1\0").chain_update(self.seed.to_le_bytes());
        hash.chain_update(label).chain_update(extra).finalize().into()
    }
}

/// Tells the others about a failure, or takes leave.
async fn conclude<T>((session, result): (Session, Result<T>), start: tokio::time::Instant) -> Outcome<T> {
    let elapsed = start.elapsed();
    let result = match result {
        Ok(value) => session.finish().await.map(|()| value),
        Err(error) => {
            session.abort(&error);
            Err(error)
        }
    };
    Outcome { result, stats: session.stats(), elapsed }
}

/// Addresses of all parties of an in-process mesh, and the connections each has accepted out of turn.
struct Mesh {
    addresses: std::sync::Mutex<Vec<Option<SocketAddr>>>,
    complete: std::sync::Condvar,
    early: std::sync::Mutex<HashMap<(PartyId, PartyId), quinn::Connection>>,
}

impl Mesh {
    fn new(count: usize) -> Self {
        Self {
            addresses: std::sync::Mutex::new(vec![None; count]),
            complete: Default::default(),
            early: Default::default(),
        }
    }

    fn publish(&self, me: PartyId, address: SocketAddr) -> Vec<SocketAddr> {
        let mut all = self.addresses.lock().expect("no thread panics here");
        all[me.index()] = Some(address);
        self.complete.notify_all();
        while all.iter().any(Option::is_none) {
            all = self.complete.wait(all).expect("no thread panics here");
        }
        all.iter().flatten().copied().collect()
    }

    async fn accept(
        &self,
        endpoint: &quinn::Endpoint,
        me: PartyId,
        peer: PartyId,
        identities: &[Arc<Identity>],
        patience: Duration,
    ) -> (quinn::Connection, ControlStream) {
        let connection = loop {
            if let Some(connection) = self.early.lock().expect("no thread panics here").remove(&(me, peer)) {
                break connection;
            }
            let incoming = endpoint.accept().await.expect("the endpoint is open");
            let connection = incoming.await.expect("only pinned keys connect");
            let pin = quic::peer_pin(&connection).expect("mutual TLS gives a key");
            let from = identities.iter().position(|i| i.pin() == pin).expect("only pinned keys connect");
            self.early.lock().expect("no thread panics here").insert((me, PartyId(from as u8)), connection);
        };
        let control = ControlStream::accept(&connection, patience).await.expect("the dialler opens a stream");
        (connection, control)
    }
}
