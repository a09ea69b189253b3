//! The stewards' commands over real processes: three nodes, one of which approves by hand.

#![cfg(unix)]

mod common;

use std::fs;
use std::time::Duration;

use common::{Background, Run, Scratch, consilium, ports, run, until};
use mpc_core::handshake::ControlStream;
use party_node::agree::{Greeting, PROTOCOL_VERSION};
use party_node::config::Config;
use party_node::connect;
use party_node::govern::steward::{Order, Refusal, Reply};

const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];
/// The one that approves by hand.
const BY_HAND: &str = "charite";
/// Cells of each site's table; the answer is computed from these.
const DOSES: [&[i64]; 3] = [&[5, 7, -3], &[2, 2], &[11]];
const SQL: &str = "SELECT COUNT(*) AS n, SUM(dose) AS total FROM drug";
const BY_RULE: &str = "[[approve]]\nclasses = [\"count\", \"sum\", \"table\"]\n";
const STUDY: &str = "name = \"doses\"\npurpose = \"how much is given\"\nlegal_basis = \"consent\"\nanalysts = [\"analyst\"]\n\
    sites = [\"st_mary\", \"charite\", \"huaxi\"]\ntables = [\"drug\"]\nends = \"9999-01-01\"\n";

struct Network {
    folder: Scratch,
    nodes: Vec<(&'static str, Background)>,
}

impl Network {
    /// Enrolls everybody under the smallest policies that let [`SQL`] run; the site that approves by hand has `more` in its own.
    fn new(label: &str, more: &str) -> Self {
        let mut network = Self { folder: Scratch::new(label), nodes: Vec::new() };
        for (site, doses) in SITES.iter().zip(DOSES) {
            let rows = doses.iter().enumerate().map(|(person, dose)| format!("{person},{dose}\n"));
            let table = format!("person_id,dose\n{}", rows.collect::<String>());
            network.folder.write(&format!("data/{site}/drug.csv"), table);
        }
        network.folder.write("study.toml", STUDY);
        let granted = network
            .succeed(&["explain", "--grants", "--min-patients", "1", "--data", &network.path("data"), "-e", SQL])
            .stdout;
        for (site, port) in SITES.iter().zip(ports::<3>()) {
            let (_, policy) = granted.split_once(&format!("# {site}\n")).expect("every site is named");
            let policy = policy.split("# ").next().unwrap();
            let own = if *site == BY_HAND { more } else { BY_RULE };
            // What is no table of the file comes first.
            let policy = if own.starts_with('[') { format!("{policy}\n{own}") } else { format!("{own}\n{policy}") };
            let policy = network.folder.write(&format!("{site}.policy.toml"), policy);
            let (dir, data, listen) =
                (network.path(site), network.path(&format!("data/{site}")), format!("127.0.0.1:{port}"));
            let policy = policy.to_string_lossy();
            network.succeed(&[
                "init", "--dir", &dir, "--name", site, "--data", &data, "--listen", &listen, "--policy", &policy,
            ]);
            let config = network.folder.at(&format!("{site}/node.toml"));
            fs::write(&config, fs::read_to_string(&config).unwrap() + "studies = [\"../study.toml\"]\n").unwrap();
        }
        network.succeed(&["init", "--dir", &network.path("analyst"), "--name", "analyst", "--analyst"]);
        let publics: Vec<String> =
            SITES.iter().chain(&["analyst"]).map(|name| network.path(&format!("{name}/{name}.public.toml"))).collect();
        let out = network.path("network.toml");
        let enroll = ["enroll", "--out", &out].into_iter().chain(publics.iter().map(String::as_str));
        network.succeed(&enroll.collect::<Vec<_>>());
        for name in SITES.iter().chain(&["analyst"]) {
            fs::copy(&out, network.folder.at(&format!("{name}/network.toml"))).unwrap();
        }
        SITES.iter().for_each(|site| network.start(site));
        network
    }

    fn path(&self, relative: &str) -> String {
        self.folder.at(relative).to_string_lossy().into_owned()
    }

    fn succeed(&self, arguments: &[&str]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// Starts a node and waits until it answers.
    fn start(&mut self, site: &'static str) {
        let config = self.path(&format!("{site}/node.toml"));
        self.nodes.push((site, Background::start(&mut consilium(&["node", "--config", &config]))));
        let name = format!("site {site} answers");
        let check = || run(&mut consilium(&["check", "--config", &self.path("analyst/analyst.toml")])).stdout;
        until(&name, || check().lines().any(|line| line.contains("ok ") && line.contains(&name)));
    }

    fn stop(&mut self, site: &str) -> String {
        let at = self.nodes.iter().position(|(name, _)| *name == site).unwrap();
        self.nodes.remove(at).1.stop()
    }

    fn ask(&self) -> Run {
        let (config, study) = (self.path("analyst/analyst.toml"), self.path("study.toml"));
        run(&mut consilium(&["query", "--config", &config, "--study", &study, "-e", SQL, "--format", "csv"]))
    }

    fn answered(&self) {
        let doses = DOSES.concat();
        let expected = format!("n,total\r\n{},{}\r\n", doses.len(), doses.iter().sum::<i64>());
        let ended = self.ask();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), expected.as_str()), "{}", ended.stderr);
    }

    /// The name of the plan that waits at the site that approves by hand, and nowhere else.
    fn waits(&self) -> String {
        let ended = self.ask();
        refused(&ended, "WAITING_FOR_APPROVAL", &[BY_HAND]);
        let error = ended.error();
        assert!(SITES.iter().all(|site| *site == BY_HAND || !error.contains(site)), "{error}");
        error.split("plan ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }

    /// A command of the steward of the site that approves by hand.
    fn steward(&self, arguments: &[&str]) -> Run {
        run(consilium(arguments).args(["--config", &self.path(&format!("{BY_HAND}/node.toml"))]))
    }

    fn said(&self, arguments: &[&str]) -> String {
        let ended = self.steward(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }
}

fn refused(ended: &Run, code: &str, words: &[&str]) {
    assert_eq!((ended.status, ended.code().as_str()), (Some(1), code), "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("panicked") && ended.stdout.is_empty(), "{}{}", ended.stdout, ended.stderr);
    words.iter().for_each(|word| assert!(ended.error().contains(word), "{word:?} is not in {}", ended.stderr));
}

fn has(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in {text}"));
}

#[test]
fn a_plan_runs_once_it_is_approved_and_no_longer_when_that_is_withdrawn_or_rejected() {
    let network = Network::new("approve", "");
    assert_eq!(network.said(&["inbox"]), "no plan waits\n");
    let plan = network.waits();
    assert_eq!(network.waits(), plan, "the same question is the same plan, and waits once");
    let inbox = network.said(&["inbox"]);
    has(&inbox, &[&plan, "study doses", "analyst analyst", SQL]);
    assert_eq!(inbox.matches(&plan).count(), 1, "{inbox}");
    has(&network.said(&["inbox", "--plan", &plan]), &["Question", "Promise", "drug.dose"]);
    has(&network.said(&["inbox", "--plan", &plan, "--lang", "zh"]), &["Question", "分析者"]);
    // The site's own figures, for its steward.
    has(&network.said(&["dry-run", &plan]), &[&plan, "allows it", "sum 0: 2 rows"]);
    has(
        &network.said(&["dry-run", "-e", "SELECT COUNT(*) FROM drug WHERE dose > 2"]),
        &["COLUMN_NOT_ALLOWED", "sum 0: 0 rows"],
    );
    refused(&network.steward(&["approve", &plan, "--days", "0"]), "BAD_DAYS", &[]);
    refused(&network.steward(&["approve", "0123"]), "NO_SUCH_PLAN", &["inbox"]);
    network.waits();
    has(&network.said(&["approve", &plan, "--days", "2", "--as", "ada"]), &[&plan, "may run until"]);
    assert_eq!(network.said(&["inbox"]), "no plan waits\n");
    network.answered();
    network.answered();
    has(&network.said(&["withdraw", &plan]), &[&plan, "had begun before"]);
    assert_eq!(network.waits(), plan);
    refused(&network.steward(&["reject", &plan, "--reason", " "]), "BAD_REASON", &[]);
    has(&network.said(&["reject", &plan, "--reason", "ask the board first"]), &["is rejected"]);
    refused(&network.ask(), "REJECTED", &[BY_HAND, "ask the board first"]);
    refused(&network.steward(&["approve", &plan]), "NO_SUCH_PLAN", &[]);
    assert!(!network.said(&["withdraw", &plan]).contains("begun"));
    assert_eq!(network.waits(), plan);
}

#[test]
fn what_came_out_is_in_the_ledger_and_the_log_until_the_study_is_forgotten() {
    let mut network = Network::new("records", "");
    assert_eq!(network.said(&["ledger"]), "nothing came out\n");
    let plan = network.waits();
    // Without a node the folder is opened, and what is decided there holds when the node starts.
    network.stop(BY_HAND);
    has(&network.said(&["inbox"]), &[&plan]);
    has(&network.said(&["dry-run", &plan]), &["sum 0: 2 rows"]);
    network.said(&["approve", &plan]);
    network.start(BY_HAND);
    network.answered();
    // The analyst has the answer a moment before the site has written that it came out.
    until("it is in the ledger", || network.said(&["ledger"]).contains("released"));
    let ledger = network.said(&["ledger", "--study", "doses"]);
    has(&ledger, &["released", "study doses", "analyst analyst", SQL]);
    refused(&network.steward(&["ledger", "--study", "dose"]), "NO_SUCH_STUDY", &["doses"]);
    let release = ledger.split(' ').next().unwrap();
    until("the log says what was sent", || network.said(&["audit", "show", release]).contains("sent "));
    let trail = network.said(&["audit", "show", release]);
    has(
        &trail,
        &["began, asked by analyst", &plan, "st_mary line", "huaxi line", "its answer came out", "sent ", " bytes "],
    );
    refused(&network.steward(&["audit", "show", "ffff"]), "NO_SUCH_RELEASE", &[]);
    has(&network.said(&["audit", "verify"]), &["stands as it was written", "signed by"]);
    let export = network.path("export.jsonl");
    network.said(&["audit", "export", "--out", &export]);
    has(&network.said(&["audit", "verify", "--file", &export]), &["stands as it was written"]);
    let text = fs::read_to_string(&export).unwrap();
    fs::write(&export, text.replacen("analyst", "bnalyst", 1)).unwrap();
    refused(&network.steward(&["audit", "verify", "--file", &export]), "AUDIT_BROKEN", &["line"]);
    let study = network.path("study.toml");
    has(&network.said(&["forget", "--study", &study]), &["\"kind\":\"deleted\"", "\"signature\":"]);
    refused(&network.steward(&["forget", "--study", &study]), "STUDY_CLOSED", &[]);
    let ledger = network.said(&["ledger"]);
    assert!(ledger.contains(release) && !ledger.contains(SQL), "{ledger}");
    refused(&network.ask(), "STUDY_CLOSED", &[BY_HAND]);
    // A changed byte of the log stops the next start, and is found without a node.
    network.stop(BY_HAND);
    let log = network.folder.at(&format!("{BY_HAND}/state/audit.log"));
    fs::write(&log, fs::read_to_string(&log).unwrap().replacen("analyst", "bnalyst", 1)).unwrap();
    let ended = network.steward(&["audit", "verify"]);
    assert!(["AUDIT_BROKEN", "LEDGER_ROLLED_BACK"].contains(&ended.code().as_str()), "{}", ended.stderr);
}

#[test]
fn an_approval_under_another_policy_is_none() {
    let mut network = Network::new("policy", "");
    let plan = network.waits();
    network.said(&["approve", &plan]);
    network.answered();
    // The others know nothing of this part of a policy, and the plan is the same.
    let file = network.folder.at(&format!("{BY_HAND}/policy.toml"));
    let policy = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{policy}\n[releases]\nmost = 1\ndays = 1\n")).unwrap();
    refused(&network.ask(), "POLICY_CHANGED", &[BY_HAND]);
    refused(&network.steward(&["approve", &plan]), "NO_SUCH_PLAN", &[]);
    fs::write(&file, format!("{policy}\n[releases]\nmost = 3\ndays = 1\n")).unwrap();
    network.stop(BY_HAND);
    network.start(BY_HAND);
    assert_eq!(network.waits(), plan);
    network.said(&["approve", &plan]);
    network.answered();
    // Nor may one be given under a policy that the node does not have.
    network.said(&["withdraw", &plan]);
    assert_eq!(network.waits(), plan);
    fs::write(&file, &policy).unwrap();
    refused(&network.steward(&["approve", &plan]), "POLICY_CHANGED", &[]);
}

#[test]
fn two_persons_are_two_keys_of_the_policy() {
    let folder = Scratch::new("keys");
    let key = |name: &str| folder.at(name).to_string_lossy().into_owned();
    let pin = |name: &str| {
        let made = run(&mut consilium(&["steward-key", "--out", &key(name)]));
        assert_eq!(made.status, Some(0), "{}", made.stderr);
        made.stdout.lines().last().unwrap().to_owned()
    };
    let (ada, bob, _) = (pin("ada"), pin("bob"), pin("eve"));
    let policy = format!("two_persons = true\nstewards = {{ ada = \"{ada}\", bob = \"{bob}\" }}\n");
    let network = Network::new("persons", &policy);
    let plan = network.waits();
    refused(&network.steward(&["approve", &plan, "--as", "ada"]), "STEWARD_KEY_NEEDED", &["--steward-key"]);
    refused(&network.steward(&["approve", &plan, "--steward-key", &key("eve")]), "NOT_A_STEWARD", &[]);
    for _ in 0..2 {
        let said = network.said(&["approve", &plan, "--as", "bob", "--steward-key", &key("ada")]);
        has(&said, &["ada", "second steward"]);
        has(&network.said(&["inbox"]), &["approved by ada\n"]);
        assert_eq!(network.waits(), plan);
    }
    has(&network.said(&["approve", &plan, "--steward-key", &key("bob")]), &["may run until"]);
    network.answered();
    let log = fs::read_to_string(network.folder.at(&format!("{BY_HAND}/state/audit.log"))).unwrap();
    has(&log, &["ada (one of two)", "ada and bob"]);
    // Withdrawn, it takes both again.
    network.said(&["withdraw", &plan]);
    assert_eq!(network.waits(), plan);
    has(&network.said(&["approve", &plan, "--steward-key", &key("bob")]), &["bob", "second steward"]);
    assert_eq!(network.waits(), plan);
}

#[test]
fn a_node_takes_orders_under_its_own_key_only() {
    let network = Network::new("orders", "");
    let load = |file: String| Config::load(file.as_ref()).unwrap();
    let site = load(network.path(&format!("{BY_HAND}/node.toml")));
    let order = async |config: Config| {
        let (identity, known) = (config.identity().unwrap(), config.network().unwrap());
        let at = known.site.iter().position(|entry| entry.name.0 == BY_HAND).unwrap();
        let endpoint = connect::endpoint("127.0.0.1:0".parse().unwrap()).unwrap();
        let patience = Duration::from_secs(10);
        let connection = connect::dial(&endpoint, &identity, &known, at, patience, patience).await.unwrap();
        let mut control = ControlStream::open(&connection, patience).await.unwrap();
        control.send(&Greeting::Steward { version: PROTOCOL_VERSION }).await.unwrap();
        // The connection may be gone before the order is sent.
        let _ = control.send(&Order::Inbox { plan: None, from: 0 }).await;
        control.recv::<Result<Reply, Refusal>>().await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let empty = Reply::Inbox { plans: vec![], next: None };
    assert_eq!(runtime.block_on(order(site)), Ok(Ok(empty)));
    for other in ["analyst/analyst.toml", "huaxi/node.toml"] {
        let heard = runtime.block_on(order(load(network.path(other))));
        assert!(heard.is_err(), "{other} was told {heard:?}");
    }
}
