//! A network of its own: `init`, `enroll`, three nodes as real processes with files, `check`, `query`; and what is said when
//! a key, a file, a policy or a study is not what the others know.

#![cfg(unix)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Background, Run, Scratch, consilium, ports, run, until};

const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];
/// Cells of each site's table; the answer is computed from these.
const DOSES: [&[i64]; 3] = [&[5, 7, -3], &[], &[11]];

/// What each site allows: what the question below needs.
const POLICY: &str =
    "classes = ['count', 'sum']\n[columns.drug]\ndose = ['sum']\n[[approve]]\nclasses = ['count', 'sum']\n";

const STUDY: &str = "name = 'doses'\npurpose = 'to see that a network answers'\nlegal_basis = 'made-up rows'\n\
                     analysts = ['analyst']\nsites = ['charite', 'huaxi', 'st_mary']\ntables = ['drug']\nends = '2099-12-31'\n";

/// Three sites and an analyst, enrolled with each other.
struct Network {
    folder: Scratch,
    ports: [u16; 3],
    nodes: Vec<Background>,
}

impl Network {
    fn new(label: &str) -> Self {
        Self::under(label, POLICY)
    }

    /// Under a policy that is the same at all sites.
    fn under(label: &str, policy: &str) -> Self {
        let network = Self { folder: Scratch::new(label), ports: ports(), nodes: Vec::new() };
        network.folder.write("policy.toml", policy);
        for (i, site) in SITES.iter().enumerate() {
            let rows = DOSES[i].iter().enumerate().map(|(person, dose)| format!("{person},{dose}\n"));
            network
                .folder
                .write(&format!("{site}-data/drug.csv"), format!("person_id,dose\n{}", rows.collect::<String>()));
            network.succeed(&network.init(site, site));
        }
        network
            .succeed(&["init", "--dir", &network.path("analyst"), "--name", "analyst", "--analyst"].map(String::from));
        network.enroll();
        SITES.iter().chain(&["analyst"]).for_each(|name| network.take_part(name));
        network
    }

    /// Names the study in somebody's configuration.
    fn take_part(&self, name: &str) {
        self.folder.write(&format!("{name}/study.toml"), STUDY);
        let config = fs::read_to_string(self.config(name)).unwrap();
        fs::write(self.config(name), config + "studies = [\"study.toml\"]\n").unwrap();
    }

    fn path(&self, relative: &str) -> String {
        self.folder.at(relative).to_string_lossy().into_owned()
    }

    fn init(&self, dir: &str, site: &str) -> Vec<String> {
        let port = self.ports[SITES.iter().position(|s| *s == site).unwrap()];
        let (data, listen) = (self.path(&format!("{site}-data")), format!("127.0.0.1:{port}"));
        let policy = self.path("policy.toml");
        ["init", "--dir", &self.path(dir), "--name", site, "--data", &data, "--listen", &listen, "--policy", &policy]
            .map(String::from)
            .into()
    }

    fn public(&self, dir: &str, name: &str) -> String {
        self.path(&format!("{dir}/{name}.public.toml"))
    }

    /// Puts the network file together and gives it to everybody.
    fn enroll(&self) {
        let publics = SITES.iter().chain(&["analyst"]).map(|name| self.public(name, name));
        let out = self.path("network.toml");
        let arguments: Vec<String> =
            ["enroll".into(), "--out".into(), out.clone()].into_iter().chain(publics).collect();
        let ended = self.succeed(&arguments);
        assert!(ended.stdout.contains("3 sites, digest "), "{}", ended.stdout);
        for name in SITES.iter().chain(&["analyst"]) {
            fs::copy(&out, self.folder.at(&format!("{name}/network.toml"))).unwrap();
        }
    }

    fn succeed(&self, arguments: &[String]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    fn config(&self, name: &str) -> String {
        let file = if name == "analyst" { "analyst.toml" } else { "node.toml" };
        self.path(&format!("{name}/{file}"))
    }

    fn check(&self, name: &str) -> Run {
        run(&mut consilium(&["check", "--config", &self.config(name)]))
    }

    fn node(&self, name: &str) -> Background {
        Background::start(&mut consilium(&["node", "--config", &self.config(name)]))
    }

    /// Starts all nodes and waits until each answers.
    fn up(&mut self) {
        self.nodes = SITES.iter().map(|site| self.node(site)).collect();
        until("all nodes answer", || self.check("analyst").status == Some(0));
    }

    /// Stops a site's node and starts it again from its files.
    fn restart(&mut self, site: &str) {
        let at = SITES.iter().position(|s| *s == site).unwrap();
        self.nodes.remove(at);
        let node = self.node(site);
        self.nodes.insert(at, node);
        // A fresh node takes a moment to listen; a query dials for seconds before it gives up.
        std::thread::sleep(Duration::from_millis(300));
    }

    fn query(&self, name: &str) -> Run {
        let sql = "SELECT COUNT(*) AS n, SUM(dose) AS total FROM drug";
        run(&mut consilium(&["query", "--config", &self.config(name), "-e", sql, "--format", "csv"]))
    }
}

fn refused(ended: &Run, code: &str, words: &[&str]) {
    assert_eq!((ended.status, ended.code().as_str()), (Some(1), code), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    for word in words {
        assert!(ended.error().contains(word), "{word:?} is not in {}", ended.stderr);
    }
}

#[test]
fn a_network_of_three_nodes_checks_itself_and_answers() {
    let mut network = Network::new("network");
    for site in SITES {
        // Before the others are up, check says whom it cannot reach and that all else is well.
        let ended = network.check(site);
        assert_eq!(ended.code(), "CHECK_FAILED", "{}", ended.stdout);
        assert_eq!(ended.stdout.matches("BAD ").count(), 2, "{}", ended.stdout);
        assert_eq!(ended.stdout.matches("SITE_UNREACHABLE").count(), 2, "{}", ended.stdout);
    }
    network.up();
    for (i, site) in SITES.iter().enumerate() {
        // Everything is well; that the port is taken is the running node's doing.
        let ended = network.check(site);
        assert_eq!(ended.status, Some(0), "{}", ended.stdout);
        let runs = format!("ok   this node runs at 127.0.0.1:{}", network.ports[i]);
        assert!(ended.stdout.contains(&runs), "{}", ended.stdout);
        for same in ["the same version", "the same tables", "the same network file", "the same time"] {
            assert_eq!(ended.stdout.matches(same).count(), 2, "{}", ended.stdout);
        }
        assert_eq!(ended.stdout.matches("answers with its pinned key").count(), 2, "{}", ended.stdout);
    }
    let doses = DOSES.concat();
    let expected = format!("n,total\r\n{},{}\r\n", doses.len(), doses.iter().sum::<i64>());
    for _ in 0..2 {
        let ended = network.query("analyst");
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), expected.as_str()), "{}", ended.stderr);
    }
    let second = run(&mut consilium(&["node", "--config", &network.config("huaxi")]));
    refused(&second, "PORT_IN_USE", &[&network.ports[2].to_string()]);
    assert!(network.nodes.iter_mut().all(|node| !node.has_ended()));
}

#[test]
fn a_site_with_a_new_key_is_not_trusted_until_it_is_enrolled_again() {
    let mut network = Network::new("new-key");
    network.up();
    network.succeed(&network.init("charite-new", "charite"));
    fs::copy(network.folder.at("charite-new/private.key"), network.folder.at("charite/private.key")).unwrap();
    // The site itself notices: its network file pins another key.
    let ended = run(&mut consilium(&["node", "--config", &network.config("charite")]));
    assert!(["NOT_IN_NETWORK", "PORT_IN_USE"].contains(&ended.code().as_str()), "{}", ended.stderr);
    // An impostor whose file pins its own key is found by the others.
    let ours = fs::read_to_string(network.folder.at("charite/network.toml")).unwrap();
    let pin = |file: &str| {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .skip_while(|line| !line.starts_with("pins"))
            .find_map(|line| line.split('"').nth(1).map(str::to_owned))
            .unwrap()
    };
    let (old, new) = (pin(&network.public("charite", "charite")), pin(&network.public("charite-new", "charite")));
    assert_ne!(old, new);
    network.folder.write("charite/network.toml", ours.replace(&old, &new));
    network.restart("charite");
    refused(
        &network.query("analyst"),
        "KEY_NOT_PINNED",
        &["charite", &network.ports[1].to_string(), "consilium check"],
    );
    let seen = network.check("huaxi").stdout;
    assert!(seen.contains("KEY_NOT_PINNED") && seen.contains("charite"), "{seen}");
    // With the new public file in everybody's network file the answer is back.
    fs::copy(network.public("charite-new", "charite"), network.public("charite", "charite")).unwrap();
    network.enroll();
    SITES.iter().for_each(|site| network.restart(site));
    assert_eq!(network.query("analyst").status, Some(0));
}

#[test]
fn a_site_with_another_network_file_refuses() {
    let mut network = Network::new("differs");
    network.up();
    let file = network.folder.at("huaxi/network.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("max_groups = 4096"), "{text}");
    fs::write(&file, text.replace("max_groups = 4096", "max_groups = 4095")).unwrap();
    network.restart("huaxi");
    refused(&network.query("analyst"), "NETWORK_DIFFERS", &["site huaxi", "digest"]);
    let seen = network.check("charite").stdout;
    let bad: Vec<&str> = seen.lines().filter(|line| line.contains("BAD ")).collect();
    assert!(bad.len() == 1 && bad[0].contains("huaxi") && bad[0].contains("NETWORK_DIFFERS"), "{seen}");
}

#[test]
fn check_names_a_port_that_is_not_the_enrolled_one_or_that_another_program_has() {
    let network = Network::new("port");
    let taken = UdpSocket::bind(("127.0.0.1", network.ports[0])).unwrap();
    let seen = network.check("st_mary").stdout;
    assert!(seen.contains("PORT_IN_USE"), "{seen}");
    drop(taken);
    let config = fs::read_to_string(network.config("st_mary")).unwrap();
    let [old, new] = [network.ports[0], ports::<1>()[0]].map(|port| format!("127.0.0.1:{port}"));
    fs::write(network.config("st_mary"), config.replace(&old, &new)).unwrap();
    let seen = network.check("st_mary").stdout;
    assert!(seen.contains("PORT_DIFFERS") && seen.contains(&network.ports[0].to_string()), "{seen}");
}

#[test]
fn a_key_that_is_not_enrolled_may_not_ask() {
    let mut network = Network::new("stranger");
    network.up();
    network.succeed(&["init", "--dir", &network.path("stranger"), "--name", "stranger", "--analyst"].map(String::from));
    fs::copy(network.folder.at("network.toml"), network.folder.at("stranger/network.toml")).unwrap();
    let config = network.path("stranger/analyst.toml");
    let ended = run(&mut consilium(&["query", "--config", &config, "-e", "SELECT COUNT(*) FROM drug"]));
    refused(&ended, "NOT_AN_ANALYST", &[]);
    // A site's own key is known to the others, yet no analyst's.
    let ended = network.query("huaxi");
    refused(&ended, "NOT_AN_ANALYST", &["may not ask"]);
}

#[test]
fn a_site_that_is_down_is_named() {
    let mut network = Network::new("down");
    network.up();
    network.nodes.remove(0);
    refused(&network.query("analyst"), "SITE_UNREACHABLE", &["st_mary", &network.ports[0].to_string(), "running"]);
}

#[test]
fn a_private_key_that_others_may_read_is_refused() {
    let network = Network::new("open-key");
    let key = network.folder.at("charite/private.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let node = run(&mut consilium(&["node", "--config", &network.config("charite")]));
    refused(&node, "KEY_FILE_OPEN", &["private.key", "644", "chmod 600"]);
    let checked = network.check("charite");
    assert!(checked.stdout.contains("KEY_FILE_OPEN") && checked.code() == "CHECK_FAILED", "{}", checked.stdout);
    let key = network.folder.at("analyst/private.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused(&network.query("analyst"), "KEY_FILE_OPEN", &["private.key", "640"]);
}

#[test]
fn a_site_without_a_policy_allows_nothing() {
    let mut network = Network::under("closed", "");
    network.up();
    refused(&network.query("analyst"), "CLASS_NOT_ALLOWED", &["count"]);
}

#[test]
fn a_question_of_no_study_or_of_an_unknown_one_is_refused() {
    let mut network = Network::new("study");
    network.up();
    let other = STUDY.replace("made-up rows", "made-up rows, in other words");
    network.folder.write("analyst/study.toml", other);
    refused(&network.query("analyst"), "STUDY_UNKNOWN", &["site"]);
    fs::remove_file(network.folder.at("analyst/study.toml")).unwrap();
    refused(&network.query("analyst"), "NO_SUCH_FILE", &["study.toml"]);
    let config = fs::read_to_string(network.config("analyst")).unwrap();
    fs::write(network.config("analyst"), config.replace("studies", "# studies")).unwrap();
    refused(&network.query("analyst"), "NO_STUDY", &["--study"]);
}

#[test]
fn a_plan_that_no_rule_approves_waits() {
    let mut network = Network::under("waits", POLICY.split("[[approve]]").next().unwrap());
    network.up();
    refused(&network.query("analyst"), "WAITING_FOR_APPROVAL", &SITES);
}
