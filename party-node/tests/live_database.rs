//! A site whose database changes, hangs or falls silent while questions come: one real node over QUIC, and a PostgreSQL of its own.

#![cfg(unix)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use std::{fs, iter};

use common::postgres::{READER, Server};
use common::sites::{self, Own};
use common::{LIMIT, Scratch, until};
use mpc_core::identity::Identity;
use party_node::agree::Reply;
use party_node::analyst::{Analyst, Question};
use party_node::child::loopback;
use party_node::connect::Link;
use party_node::govern::gate::Posted;
use party_node::local::{NetworkFacts, partials_blocking};
use party_node::network::{AnalystEntry, NETWORK_VERSION, Network};
use party_node::site::Site;
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Options, Settings};
use tokio::runtime::Runtime;

const TABLE: &str =
    "CREATE TABLE t (person_id bigint, x bigint); INSERT INTO t SELECT i, i FROM generate_series(1, 40) AS i";
const SQL: &str = "SELECT COUNT(*) AS n, SUM(x) AS s FROM t";
const OPTIONS: Options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };

/// Site `a` of two, which has its table in a database and consents by rule; the other is never asked.
struct World {
    runtime: Runtime,
    site: Arc<Site>,
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
        let (site, analyst) = {
            let _inside = runtime.enter();
            node(&folder)
        };
        Some(Self { runtime, site, analyst, folder, server })
    }

    /// Proposes the question to the site, and hears nothing yet.
    fn propose(&self) -> Link {
        let question = Question { sql: SQL, options: OPTIONS };
        let plan = self.analyst.plan(question).unwrap().joint.digest();
        self.runtime.block_on(sites::propose(&self.analyst, 0, &self.analyst.proposal(question, plan)))
    }

    /// Hears that the site is ready, and leaves.
    fn poll(&self) {
        let mut link = self.propose();
        let reply = self.runtime.block_on(link.control.recv_within::<Reply>(LIMIT)).unwrap();
        assert!(matches!(reply, Reply::Ready(_)), "{reply:?}");
        link.connection.close(0u32.into(), b"");
    }

    /// Refusals that the site has charged, once it has written whatever the last question costs.
    fn charged(&self) -> usize {
        assert!(self.runtime.block_on(self.site.drain(LIMIT)), "the question does not end");
        fs::read_to_string(self.folder.at("a-state/audit.log")).unwrap().matches("\"denied\"").count()
    }
}

/// Starts the node, and makes whoever asks it.
fn node(folder: &Scratch) -> (Arc<Site>, Analyst) {
    let names = ["a", "b"];
    let [identity, other, asker]: [Identity; 3] = std::array::from_fn(|_| Identity::generate().unwrap());
    let policy = "allow_all = true\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching']\n";
    let policy = Posted::read(folder.write("a.toml", policy)).unwrap();
    let data = SiteData::open(&folder.at("a")).unwrap();
    let (endpoint, address) = loopback().unwrap();
    let mut settings = Settings::from_toml("min_sites = 2\nmin_patients = 2\n").unwrap();
    settings.publish("a", &policy.policy);
    let schema = data.published("person_id").unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let entries = iter::zip(names, [(address, &identity), (nowhere, &other)]);
    let site = entries.map(|(name, (address, key))| sites::site_entry(name, address, key, schema.clone())).collect();
    let analyst = vec![AnalystEntry { name: "ana".into(), at: None, pins: vec![asker.pin()] }];
    let network = Network { version: NETWORK_VERSION, settings, site, analyst }.checked().unwrap();
    let study = sites::study(&["ana"], &names);
    let own = Own { name: "a", data, policy, endpoint };
    let site = sites::serve(folder, own, identity, &network, &study);
    (site, sites::analyst(Arc::new(asker), &network, &study))
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
    let locked = world.server.lock("live", "t");
    let link = world.propose();
    until("the node waits for the lock", || world.server.ask("live", &waits) == "1");
    link.connection.close(0u32.into(), b"");
    until("the node gives it up", || world.server.ask("live", &works) == "0");
    assert_eq!(world.charged(), 0, "it heard nothing");
    // Only now: what was given up had the lock to wait for all the time.
    drop(locked);
    world.poll();
}

/// How many of the node's sessions are like this.
fn sessions(like: &str) -> String {
    format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'consilium' AND {like}")
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
    let (catalog, data) = bound(&server, &folder, 3000);
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
    assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    drop(moment);
    until("its session ends", || server.ask("silent", &sessions("true")) == "0");
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
    let opened = result.recv_timeout(LIMIT).expect("it is given up");
    assert_eq!(opened.expect_err("it is no database").code, "DATABASE_UNREACHABLE");
}
