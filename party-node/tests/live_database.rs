//! A site whose database changes, hangs or falls silent while questions come: one real node over QUIC, and a PostgreSQL of its own.

#![cfg(unix)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, iter};

use common::Scratch;
use common::postgres::{READER, Server};
use mpc_core::handshake::ControlStream;
use mpc_core::identity::Identity;
use mpc_core::random::os_bytes;
use party_node::agree::{Greeting, PROTOCOL_VERSION, Reply};
use party_node::analyst::{Analyst, Question, Quiet, Who};
use party_node::child::loopback;
use party_node::connect::{self, Link};
use party_node::govern::gate::Posted;
use party_node::govern::study::Study;
use party_node::local::{NetworkFacts, partials_blocking};
use party_node::network::{AnalystEntry, NETWORK_VERSION, Network, Reach, SiteEntry};
use party_node::site::{Site, Startup};
use party_node::source::{BoundData, SiteData};
use party_node::state::State;
use query_planner::catalog::SiteName;
use query_planner::{Audience, Options, Settings};
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(10);
const TABLE: &str =
    "CREATE TABLE t (person_id bigint, x bigint); INSERT INTO t SELECT i, i FROM generate_series(1, 40) AS i";
const SQL: &str = "SELECT COUNT(*) AS n, SUM(x) AS s FROM t";
const OPTIONS: Options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };

/// Site `a` of two, which has its table in a database and consents by rule; the other is never asked.
struct World {
    runtime: Runtime,
    analyst: Analyst,
    folder: Scratch,
    server: Server,
}

impl World {
    fn start() -> Option<Self> {
        let (server, folder) = (Server::start()?, Scratch::new("live"));
        server.create("live");
        server.run("live", TABLE);
        server.settings(&folder, "a", "live", "");
        let runtime = Runtime::new().unwrap();
        let analyst = {
            let _inside = runtime.enter();
            node(&folder)
        };
        Some(Self { runtime, analyst, folder, server })
    }

    /// Proposes the question to the site, and hears nothing yet.
    fn propose(&self) -> Link {
        let Analyst { who, endpoint, .. } = &self.analyst;
        let question = Question { sql: SQL, options: OPTIONS };
        let plan = self.analyst.plan(question).unwrap().joint.digest();
        let job = os_bytes().unwrap()[..16].try_into().unwrap();
        self.runtime.block_on(async {
            let connection = connect::dial(endpoint, &who.identity, &who.network, 0, DEADLINE, DEADLINE).await.unwrap();
            let mut control = ControlStream::open(&connection, DEADLINE).await.unwrap();
            control.send(&Greeting::Question { version: PROTOCOL_VERSION, job }).await.unwrap();
            control.send(&self.analyst.proposal(question, plan)).await.unwrap();
            Link { connection, control }
        })
    }

    /// Hears that the site is ready, and leaves.
    fn poll(&self) {
        let mut link = self.propose();
        let reply = self.runtime.block_on(link.control.recv_within::<Reply>(DEADLINE)).unwrap();
        assert!(matches!(reply, Reply::Ready(_)), "{reply:?}");
        link.connection.close(0u32.into(), b"");
        // The charge is written after that, if there is one.
        thread::sleep(Duration::from_millis(500));
    }

    /// Refusals that the site has charged.
    fn charged(&self) -> usize {
        fs::read_to_string(self.folder.at("state/audit.log")).unwrap().matches("\"denied\"").count()
    }
}

/// Starts the node, and makes whoever asks it.
fn node(folder: &Scratch) -> Analyst {
    let names = ["a", "b"].map(|name| SiteName(name.into()));
    let identities: [Identity; 3] = std::array::from_fn(|_| Identity::generate().unwrap());
    let policy = "allow_all = true\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching']\n";
    let policy = Posted::read(folder.write("a.toml", policy)).unwrap();
    let data = SiteData::open(&folder.at("a")).unwrap();
    let (endpoint, address) = loopback().unwrap();
    let mut settings = Settings::from_toml("min_sites = 2\nmin_patients = 2\n").unwrap();
    settings.publish("a", &policy.policy);
    let schema = data.published("person_id").unwrap();
    let site = iter::zip(&names, &identities).map(|(name, identity)| SiteEntry {
        name: name.clone(),
        address: if name.0 == "a" { address } else { SocketAddr::from(([127, 0, 0, 1], 9)) },
        pins: vec![identity.pin()],
        schema: schema.clone(),
        reach: Reach::Both,
    });
    let analyst = vec![AnalystEntry { name: "ana".into(), at: None, pins: vec![identities[2].pin()] }];
    let network = Network { version: NETWORK_VERSION, settings, site: site.collect(), analyst }.checked().unwrap();
    let study = "name = 's'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = ['ana']\nsites = ['a', 'b']\ntables = ['t']\nends = '9999-01-01'\n";
    let study = Study::from_toml(study).unwrap();
    let [identity, _, asker] = identities;
    let (catalog, name) = (network.catalog(None).unwrap(), names[0].clone());
    let data = data.bind(&catalog, &name).unwrap();
    let state = State::open(&folder.at("state"), &folder.at("state.key"), &identity).unwrap();
    connect::listen(&endpoint, &identity, &network, connect::idle(DEADLINE)).unwrap();
    let who = Who { identity: Arc::new(asker), network: Arc::new(network.clone()), catalog: Arc::new(catalog.clone()) };
    let (deadline, drill, studies) = (DEADLINE, None, vec![study.clone()]);
    let start = Startup { identity, network, catalog, name, data, endpoint, deadline, drill, policy, studies, state };
    tokio::spawn(Site::new(start).unwrap().serve());
    let from = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    Analyst::new(who, study, from, DEADLINE, Arc::new(Quiet))
}

#[test]
fn hearing_of_every_change_of_a_live_database_is_charged_and_asking_again_between_changes_is_not() {
    let Some(world) = World::start() else { return };
    world.poll();
    assert_eq!(world.charged(), 1, "that it would have answered is a word");
    world.poll();
    assert_eq!(world.charged(), 1, "nothing new was said");
    world.server.run("live", "UPDATE t SET x = x + 1 WHERE person_id = 5");
    world.poll();
    assert_eq!(world.charged(), 2, "that the data are others now is a word");
    world.server.run("live", "UPDATE t SET x = x - 1 WHERE person_id = 5");
    world.poll();
    assert_eq!(world.charged(), 3, "and so is that they are as they were");
}

#[test]
fn an_analyst_who_leaves_ends_the_databases_work_and_is_not_charged() {
    let Some(world) = World::start() else { return };
    let (waits, works) = (sessions("wait_event_type = 'Lock'"), sessions("state = 'active'"));
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            world.server.run("live", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(12); COMMIT")
        });
        thread::sleep(Duration::from_millis(500));
        let link = world.propose();
        within(8, || world.server.ask("live", &waits) == "1");
        link.connection.close(0u32.into(), b"");
        within(4, || world.server.ask("live", &works) == "0");
        assert!(began.elapsed() < Duration::from_secs(11), "the lock was given back before: nothing is shown");
    });
    assert_eq!(world.charged(), 0, "it heard nothing");
    world.poll();
}

/// How many of the node's sessions are like this.
fn sessions(like: &str) -> String {
    format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'consilium' AND {like}")
}

fn within(seconds: u64, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(seconds), "it did not come to this within {seconds} s");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The table as the only site's but one, whose database has so long for a statement.
fn bound(server: &Server, folder: &Scratch, timeout_ms: u64) -> (query_planner::Catalog, BoundData) {
    server.create("silent");
    server.run("silent", TABLE);
    server.settings(folder, "a", "silent", &format!("statement_timeout_ms = {timeout_ms}\n"));
    let open = || SiteData::open(&folder.at("a")).unwrap();
    let schemas = ["a", "b"].map(|name| (SiteName(name.into()), open().published("person_id").unwrap()));
    let catalog = query_planner::merge::merge(&schemas, &Settings::from_toml("min_sites = 2\n").unwrap()).unwrap();
    let data = open().bind(&catalog, &schemas[0].0).unwrap();
    (catalog, data)
}

#[test]
fn a_database_that_falls_silent_in_a_transaction_is_given_up_soon_after_its_own_limit() {
    let Some(server) = Server::start() else { return };
    let folder = Scratch::new("silent");
    let (catalog, data) = bound(&server, &folder, 500);
    let compiled = query_planner::plan(SQL, &catalog, &OPTIONS).unwrap();
    let site = SiteName("a".into());
    let moment = data.at_one_moment(&compiled.local, &site, true).unwrap();
    let session =
        "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'consilium' AND state = 'idle in transaction'";
    let backend = server.ask("silent", session);
    let signal = |name: &str| assert!(Command::new("kill").args([name, &backend]).status().unwrap().success());
    signal("-STOP");
    let began = Instant::now();
    let network = NetworkFacts::of(&compiled.joint);
    let part = partials_blocking(&compiled.local[0], &compiled.joint.sums[0], &site, &moment.data, network);
    signal("-CONT");
    let refused = part.map(drop).expect_err("nothing comes from it");
    assert_eq!(refused.code, "DATABASE_SILENT", "{refused}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(moment);
    within(8, || server.ask("silent", &sessions("true")) == "0");
}

#[test]
fn a_server_that_accepts_a_connection_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Scratch::new("mute");
    let port = silent.local_addr().unwrap().port();
    let text = format!("host = \"127.0.0.1\"\nport = {port}\ndbname = \"d\"\nuser = \"{READER}\"\ntls = \"off\"\n");
    let file: PathBuf = folder.write("a/postgres.toml", text);
    let (done, result) = std::sync::mpsc::channel();
    let data = file.parent().unwrap().to_owned();
    thread::spawn(move || done.send(SiteData::open(&data).map(drop)));
    let opened = result.recv_timeout(Duration::from_secs(25)).expect("it is given up");
    assert_eq!(opened.expect_err("it is no database").code, "DATABASE_UNREACHABLE");
}
