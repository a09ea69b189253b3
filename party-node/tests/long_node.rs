//! A node that runs for long, as real processes: jobs from the command line, kills and restarts, orderly ends, figures, logs.

#![cfg(unix)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::Duration;

use common::net::{self, Own};
use common::{Run, Scratch, consilium, ports, run, until};
use serde_json::Value;

const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];
/// The node with the accounts.
const HOME: usize = 0;
/// The site that approves by hand.
const BY_HAND: usize = 1;
const HUAXI: usize = 2;
const DOSES: [&[i64]; 3] = [&[5, 7, -3], &[2, 2], &[11]];
const SQL: &str = "SELECT COUNT(*) AS n, SUM(dose) AS total FROM drug";
/// A number that stands in a question and in the data, and nowhere else.
const CANARY: &str = "7373731984";

struct Net {
    net: net::Net,
    metrics: u16,
}

impl Deref for Net {
    type Target = net::Net;

    fn deref(&self) -> &net::Net {
        &self.net
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut net::Net {
        &mut self.net
    }
}

impl Net {
    /// Two accounts at the first node, whose configuration has `more` in it.
    fn new(label: &str, more: &str) -> Self {
        Self::with(label, more, None)
    }

    /// The same, where other sites cannot dial one of them.
    fn with(label: &str, more: &str, only_dials: Option<usize>) -> Self {
        let [metrics, others @ ..] = ports::<4>();
        let net = Self { net: net::Net::new(Scratch::new(label), SITES, &["drug"]), metrics };
        for (at, port) in others.into_iter().enumerate() {
            let rows: String = (0..).zip(DOSES[at]).map(|(person, dose)| format!("{person},{dose}\n")).collect();
            let planted = if at == HOME { format!("99,{CANARY}\n") } else { String::new() };
            let data = net.folder.at(&format!("data/{}", SITES[at]));
            net.folder.write(&format!("data/{}/drug.csv", SITES[at]), format!("person_id,dose\n{rows}{planted}"));
            let by_rule = if at == BY_HAND { "" } else { "[[approve]]\nclasses = ['count', 'sum']\n" };
            let policy = format!(
                "classes = ['count', 'sum']\n[columns.drug]\nperson_id = ['link']\ndose = ['sum', 'filter']\n{by_rule}"
            );
            let shown = format!("metrics = '127.0.0.1:{metrics}'\nlog = 'json'\n{more}\n");
            let init: &[&str] = if only_dials == Some(at) { &["--only-dials"] } else { &[] };
            let lines = if at == HOME { &*shown } else { "" };
            net.init(at, &Own { data: &data, port, policy: &policy, init, lines });
            // Whoever waits for a step waits longer than any test does.
            let config = fs::read_to_string(net.config(at)).unwrap();
            assert!(config.contains("step_timeout_ms = 30000"), "{config}");
            fs::write(net.config(at), config.replace("step_timeout_ms = 30000", "step_timeout_ms = 600000")).unwrap();
        }
        net.enroll(&[]);
        net
    }

    fn up(mut self) -> Self {
        (0..3).for_each(|site| self.start(site));
        self
    }

    /// With a site that takes no step of the first run: the others wait for it longer than any test takes.
    fn up_but_one(mut self) -> Self {
        self.start(HOME);
        self.start(BY_HAND);
        self.start_with(HUAXI, &["--drill", "hang"]);
        self
    }

    /// Submits a question, lets it be approved, and waits until its run hangs, begun wherever it begins.
    fn hangs(&mut self) -> String {
        let id = self.submit(SQL);
        let plan = self.waits(&id);
        self.approve(&plan);
        until("the run hangs", || self.log(HUAXI).contains("takes no step"));
        let begun = |at: usize| fs::read_to_string(self.folder.at(&format!("{}/state/audit.log", SITES[at]))).unwrap();
        until("it has begun elsewhere", || [HOME, BY_HAND].iter().all(|at| begun(*at).contains("\"begun\"")));
        assert_eq!(self.job(&id)["state"], "running");
        id
    }

    fn jobs(&self, arguments: &[&str]) -> Run {
        let config = self.config(HOME);
        run(consilium(&["jobs"]).args(arguments).args(["--config", &config, "--account", "ines"]))
    }

    fn said(&self, arguments: &[&str]) -> String {
        let ended = self.jobs(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    fn submit(&self, sql: &str) -> String {
        self.said(&["submit", "-e", sql]).trim().to_owned()
    }

    fn job(&self, id: &str) -> Value {
        serde_json::from_str(&self.said(&["show", id, "--json"])).unwrap()
    }

    /// The job once its state is this.
    fn comes_to(&self, id: &str, state: &str) -> Value {
        until(state, || self.job(id)["state"] == state);
        self.job(id)
    }

    /// The name of the plan that waits at the site that approves by hand.
    fn waits(&self, id: &str) -> String {
        until("it waits", || self.job(id)["sites"][0]["state"] == "waiting");
        let job = self.job(id);
        // In party order: charite, huaxi, st_mary.
        assert_eq!(job["sites"][0]["site"], SITES[BY_HAND]);
        job["sites"][0]["waits_for"]["plan"].as_str().unwrap().to_owned()
    }

    fn approve(&self, plan: &str) {
        self.succeed(&["approve", plan, "--config", &self.config(BY_HAND)]);
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

fn answer() -> String {
    let doses = DOSES.concat();
    let canary: i64 = CANARY.parse().unwrap();
    format!("n,total\r\n{},{}\r\n", doses.len() + 1, doses.iter().sum::<i64>() + canary)
}

#[test]
fn a_job_is_submitted_watched_fetched_and_listed_from_the_command_line() {
    let net = Net::new("cli", "").up();
    let id = net.submit(SQL);
    let plan = net.waits(&id);
    until("the others consent", || [1, 2].iter().all(|site| net.job(&id)["sites"][site]["state"] == "approved"));
    let shown = net.said(&["show", &id[..8]]);
    for word in ["waiting", "charite: waiting since", "1 to say yes, nobody has said yes", "st_mary: consents", &plan] {
        assert!(shown.contains(word), "{word:?} is not in {shown}");
    }
    net.approve(&plan);
    let followed = net.said(&["show", &id, "--follow"]);
    assert!(followed.contains("done") && followed.contains("1 rows;"), "{followed}");
    assert_eq!(net.said(&["fetch", &id, "--format", "csv"]), answer());
    let json: Value = serde_json::from_str(&net.said(&["fetch", &id, "--format", "json"])).unwrap();
    assert_eq!(json["rows"][0][0], DOSES.concat().len() as i64 + 1);
    let other = net.submit("SELECT COUNT(*) FROM drug WHERE dose > 2");
    assert!(net.said(&["cancel", &other]).contains("cancelled JOB_CANCELLED"));
    let list = net.said(&["list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.lines().next().unwrap().starts_with(&other[..12]), "the newest first: {list}");
    // Another account has nothing, and whoever has no account is refused.
    let of = |account: &str| {
        run(&mut consilium(&["jobs", "fetch", &id, "--config", &net.config(HOME), "--account", account]))
    };
    assert_eq!((of("joao").code(), of("eve").code()), ("NO_SUCH_JOB".to_owned(), "NO_SUCH_ACCOUNT".to_owned()));
    let at_another = run(&mut consilium(&["jobs", "list", "--config", &net.config(HUAXI)]));
    assert_eq!(at_another.code(), "NO_SUCH_ACCOUNT", "{}", at_another.stderr);
}

#[test]
fn after_a_kill_what_ran_has_failed_and_what_waited_goes_on() {
    let mut net = Net::new("kill", "");
    net.start(HOME);
    net.start(BY_HAND);
    net.start_with(HUAXI, &["--drill", "start"]);
    let second = net.submit("SELECT COUNT(*) AS n FROM drug WHERE dose > 4");
    let plan = net.waits(&second);
    let first = net.submit(SQL);
    net.approve(&net.waits(&first));
    // One dies in the run, and the node of the job before anybody gives the first one up.
    assert_eq!(net.ended(HUAXI), Some(137), "it dies in the run");
    net.node(HOME).kill().unwrap();
    net.ended(HOME);
    net.start(HUAXI);
    net.start(HOME);
    let failed = net.comes_to(&first, "failed");
    assert_eq!(failed["refusal"]["code"], "NODE_RESTARTED");
    assert_eq!(net.job(&second)["state"], "waiting");
    net.approve(&plan);
    net.comes_to(&second, "done");
    let above = DOSES.concat().iter().filter(|dose| **dose > 4).count() + 1;
    assert_eq!(net.said(&["fetch", &second, "--format", "csv"]), format!("n\r\n{above}\r\n"));
    assert_eq!(net.job(&first)["state"], "failed", "it is not run again by itself");
}

#[test]
fn a_node_that_is_told_to_stop_ends_its_runs_by_name_and_leaves() {
    let mut net = Net::new("stop", "shutdown_seconds = 2").up_but_one();
    let id = net.hangs();
    net.signal(HOME, "TERM");
    assert_eq!(net.ended(HOME), Some(0), "{}", net.log(HOME));
    let config = fs::read_to_string(net.config(HOME)).unwrap();
    fs::write(net.config(HOME), config.replace("shutdown_seconds = 2", "shutdown_seconds = 600")).unwrap();
    net.start(HOME);
    assert_eq!(net.comes_to(&id, "failed")["refusal"]["code"], "NODE_STOPPED");
    // With nothing to wait for it leaves at once, however long it may take.
    net.signal(HOME, "INT");
    assert_eq!(net.ended(HOME), Some(0));
}

#[test]
fn a_job_that_is_cancelled_while_it_runs_ends_at_once_and_counts_as_a_release() {
    let mut net = Net::new("cancel", "").up_but_one();
    let id = net.hangs();
    // No command may take as long as the others wait for the site that is silent.
    assert!(net.said(&["cancel", &id]).contains("cancelled JOB_CANCELLED"));
    let ledger = net.succeed(&["ledger", "--config", &net.config(HOME)]).stdout;
    assert_eq!(ledger.matches("analyst ines").count(), 1, "{ledger}");
}

#[test]
fn a_second_signal_leaves_at_once() {
    let mut net = Net::new("twice", "shutdown_seconds = 600").up_but_one();
    net.hangs();
    net.signal(HOME, "TERM");
    until("it stops", || net.log(HOME).contains("\"stopping\""));
    thread::sleep(Duration::from_secs(1));
    assert!(net.node(HOME).try_wait().unwrap().is_none(), "it waits for its run");
    net.signal(HOME, "TERM");
    assert_eq!(net.ended(HOME), Some(1), "long before the ten minutes are over");
}

#[test]
fn logs_and_figures_are_complete_and_hold_no_literal_no_row_and_no_analyst() {
    let net = Net::new("canary", "").up();
    let id = net.submit(&format!("SELECT COUNT(*) AS n FROM drug WHERE dose < {CANARY}"));
    net.approve(&net.waits(&id));
    net.comes_to(&id, "done");
    // One that fails at a row, one that a policy refuses, one that is no SQL.
    for (sql, code) in [
        (format!("SELECT SUM(1 / (dose - {CANARY})) AS s FROM drug"), "LOCAL_FAILED"),
        (format!("SELECT MAX(dose) AS s FROM drug WHERE dose < {CANARY}"), "CLASS_NOT_ALLOWED"),
    ] {
        let ended = net.jobs(&["submit", "-e", &sql]);
        if ended.status == Some(0) {
            let id = ended.stdout.trim().to_owned();
            until("it waits or ends", || net.job(&id)["sites"][0]["state"] != "asked");
            if net.job(&id)["state"] == "waiting" {
                net.approve(&net.waits(&id));
            }
            assert_eq!(net.comes_to(&id, "failed")["refusal"]["code"], code, "{sql}");
        } else {
            assert_eq!(ended.code(), code, "{}", ended.stderr);
        }
    }
    let figures = net.metrics();
    assert!(figures.starts_with("HTTP/1.1 200 OK\r\n"), "{figures}");
    for line in [
        "consilium_questions_total{code=\"DONE\"} 1",
        "consilium_questions_total{code=\"LOCAL_FAILED\"} 1",
        "consilium_jobs{state=\"waiting\"} 0",
        "consilium_jobs_ended_total{code=\"DONE\"} 1",
        "consilium_plans_waiting 0",
        "consilium_releases 1",
        "consilium_peer_last_met_seconds{site=\"charite\"}",
        "consilium_memory_bytes",
    ] {
        assert!(figures.contains(line), "{line} is not in {figures}");
    }
    let log = net.log(HOME);
    for line in log.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for field in ["time", "level", "site", "event", "text"] {
            assert!(json[field].is_string(), "{field} is not in {line}");
        }
    }
    assert!(log.contains(&format!("\"job\":\"{id}\"")), "{log}");
    assert!(log.contains("\"code\":\"LOCAL_FAILED\""), "{log}");
    for (what, text) in [("log", log), ("log", net.log(BY_HAND)), ("figures", figures.clone())] {
        assert!(!text.contains(CANARY), "the canary is in the {what}: {text}");
    }
    let mut words = figures.split(|c: char| !c.is_alphanumeric());
    assert!(!words.any(|word| ["ines", "joao"].contains(&word)), "{figures}");
}

#[test]
fn a_site_that_others_cannot_dial_takes_part_and_two_of_them_are_no_network() {
    let net = Net::with("reach", "", Some(1)).up();
    let id = net.submit(SQL);
    net.approve(&net.waits(&id));
    net.comes_to(&id, "done");
    assert_eq!(net.said(&["fetch", &id, "--format", "csv"]), answer());
    let seen = run(&mut consilium(&["check", "--config", &net.config(HUAXI)]));
    assert_eq!(seen.status, Some(0), "{}", seen.stdout);
    assert!(seen.stdout.contains("site charite is not looked at: it dials this one"), "{}", seen.stdout);
    // Another such site, and some pair could never meet.
    let public = net.folder.at("huaxi/huaxi.public.toml");
    let text = fs::read_to_string(&public).unwrap();
    fs::write(&public, text.replacen("[site]\n", "[site]\nreach = \"out\"\n", 1)).unwrap();
    let publics = SITES.map(|site| net.path(&format!("{site}/{site}.public.toml")));
    let out = net.path("other.toml");
    let enroll = ["enroll", "--out", &out].into_iter().chain(publics.iter().map(String::as_str));
    let ended = run(&mut consilium(&enroll.collect::<Vec<_>>()));
    assert_eq!(ended.code(), "NEITHER_REACHES", "{}", ended.stderr);
    let config = fs::read_to_string(net.config(HUAXI)).unwrap();
    fs::write(net.config(HUAXI), format!("reach = \"out\"\n{config}")).unwrap();
    let seen = run(&mut consilium(&["check", "--config", &net.config(HUAXI)])).stdout;
    assert!(seen.contains("REACH_DIFFERS"), "{seen}");
}

#[test]
fn an_account_that_the_network_file_does_not_know_at_this_site_stops_the_start() {
    let net = Net::new("accounts", "");
    let config = fs::read_to_string(net.config(HOME)).unwrap();
    let starts = |config: &str| {
        fs::write(net.config(HOME), config).unwrap();
        run(&mut consilium(&["node", "--config", &net.config(HOME)])).error()
    };
    let said = starts(&config.replace("'../joao/private.key'", "'../ines/private.key'"));
    assert!(said.starts_with("ACCOUNT_NOT_PINNED"), "{said}");
    let said = starts(&config.replace("metrics = '127.0.0.1:", "metrics = '0.0.0.0:"));
    assert!(said.starts_with("BAD_CONFIG"), "{said}");
    fs::write(net.config(HOME), &config).unwrap();
    let network = net.folder.at(&format!("{}/network.toml", SITES[HOME]));
    let text = fs::read_to_string(&network).unwrap();
    fs::write(&network, text.replace("at = \"st_mary\"", "at = \"huaxi\"")).unwrap();
    let said = run(&mut consilium(&["node", "--config", &net.config(HOME)])).error();
    assert!(said.starts_with("ACCOUNT_ELSEWHERE"), "{said}");
}
