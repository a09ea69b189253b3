//! A network whose first node is reached with database programs, as real processes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub use super::until;
use super::{Run, Scratch, consilium, ports, run};

pub const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];
/// The node with the accounts.
pub const HOME: &str = SITES[0];
/// The site that decides by hand what its rules do not.
pub const BY_HAND: &str = SITES[1];
/// The accounts' password: hostile to whoever quotes badly.
pub const PASSWORD: &str = "Quaxolotl's \"word\" é";
pub const ACCOUNTS: [&str; 2] = ["ines", "joao"];

pub const BY_RULE: &str = "allow_all = true\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching', 'extreme']\n";

/// How a network is made.
pub struct Plan<'a> {
    pub label: &'a str,
    /// Names of the sites, the first one's node has the accounts.
    pub sites: [&'a str; 3],
    /// The folder with a folder for each site.
    pub data: PathBuf,
    pub settings: &'a str,
    /// What the site that decides by hand allows by rule.
    pub by_hand: &'a str,
    /// Names of the tables of the study.
    pub tables: &'a [&'a str],
    /// Further lines of `[wire]`, `%` for the network's folder.
    pub wire: &'a str,
    pub listen: &'a str,
}

pub struct Net {
    pub folder: Scratch,
    pub port: u16,
    sites: [String; 3],
    nodes: Vec<(usize, Child)>,
}

impl Drop for Net {
    fn drop(&mut self) {
        for (_, node) in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Net {
    /// Made, not started.
    pub fn new(plan: &Plan<'_>, folder: Scratch) -> Self {
        let [port, others @ ..] = ports::<4>();
        let net = Self { folder, port, sites: plan.sites.map(str::to_owned), nodes: Vec::new() };
        net.folder.write("settings.toml", plan.settings);
        let study = format!(
            "name = 'doses'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = {ACCOUNTS:?}\nsites = {:?}\ntables = {:?}\nends = '9999-01-01'\n",
            plan.sites, plan.tables
        );
        net.folder.write("study.toml", study);
        let settings = net.path("settings.toml");
        for (at, (site, own)) in plan.sites.iter().zip(others).enumerate() {
            let by_rule = if at == 1 { plan.by_hand } else { BY_RULE };
            let policy = net.folder.write(&format!("{site}.policy.toml"), by_rule).to_string_lossy().into_owned();
            let (dir, data) = (net.path(site), plan.data.join(site).to_string_lossy().into_owned());
            let listen = format!("127.0.0.1:{own}");
            let init = [
                "init",
                "--dir",
                &dir,
                "--name",
                site,
                "--data",
                &data,
                "--listen",
                &listen,
                "--policy",
                &policy,
                "--settings",
                &settings,
            ];
            net.succeed(&init);
            let accounts: String = ACCOUNTS
                .iter()
                .map(|name| format!("[[account]]\nname = '{name}'\nkey = '../{name}/private.key'\n"))
                .collect();
            let extra = plan.wire.replace('%', &net.folder.path().to_string_lossy());
            let listen = plan.listen;
            let wire = if at == 0 {
                format!("{accounts}[wire]\nlisten = '{listen}:{port}'\n{extra}\n")
            } else {
                String::new()
            };
            net.append(&format!("{site}/node.toml"), &format!("studies = ['../study.toml']\n{wire}"));
        }
        for name in ACCOUNTS {
            net.succeed(&["init", "--dir", &net.path(name), "--name", name, "--analyst", "--at", plan.sites[0]]);
        }
        let names: Vec<&str> = plan.sites.into_iter().chain(ACCOUNTS).collect();
        let publics: Vec<String> = names.iter().map(|name| net.path(&format!("{name}/{name}.public.toml"))).collect();
        let out = net.path("network.toml");
        let enroll =
            ["enroll", "--out", &out, "--settings", &settings].into_iter().chain(publics.iter().map(String::as_str));
        net.succeed(&enroll.collect::<Vec<_>>());
        for site in plan.sites {
            fs::copy(&out, net.folder.at(&format!("{site}/network.toml"))).unwrap();
        }
        for name in ACCOUNTS {
            net.set_password(name, PASSWORD);
        }
        net
    }

    pub fn up(mut self) -> Self {
        (0..3).for_each(|site| self.start(site));
        self
    }

    pub fn path(&self, relative: &str) -> String {
        self.folder.at(relative).to_string_lossy().into_owned()
    }

    pub fn config(&self, site: usize) -> String {
        self.path(&format!("{}/node.toml", self.sites[site]))
    }

    fn append(&self, file: &str, text: &str) {
        let file = self.folder.at(file);
        // Tables of `node.toml` come last.
        fs::write(&file, fs::read_to_string(&file).unwrap() + text).unwrap();
    }

    pub fn succeed(&self, arguments: &[&str]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// As a steward pipes it.
    pub fn set_password(&self, name: &str, password: &str) {
        let ended = self.account(&["set", name], password);
        assert!(ended.0, "{}", ended.1);
    }

    /// Did it succeed, and what did it say?
    pub fn account(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let config = self.config(0);
        let mut command = consilium(&["account"]);
        command.args(arguments).args(["--config", &config]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may end before it reads.
        let _ = child.stdin.take().unwrap().write_all(format!("{input}\n").as_bytes());
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), said)
    }

    pub fn log(&self, site: usize) -> String {
        fs::read_to_string(self.folder.at(&format!("{}.log", self.sites[site]))).unwrap_or_default()
    }

    pub fn start(&mut self, site: usize) {
        let name = format!("{}.log", self.sites[site]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.at(&name)).unwrap();
        let before = self.log(site).matches("serving at").count();
        let mut command = consilium(&["node", "--config", &self.config(site)]);
        let node = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes.push((site, node));
        until("it serves", || self.log(site).matches("serving at").count() > before);
    }

    /// Sends a signal to a node.
    pub fn signal(&self, site: usize, name: &str) {
        let (_, node) = self.nodes.iter().find(|(at, _)| *at == site).unwrap();
        let _ = Command::new("kill").args([&format!("-{name}"), &node.id().to_string()]).status();
    }

    /// The account's jobs at the node, by state.
    pub fn jobs(&self) -> Vec<serde_json::Value> {
        let listed = self.succeed(&["jobs", "list", "--json", "--config", &self.config(0), "--account", ACCOUNTS[0]]);
        listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Approves what waits at the site that decides by hand.
    pub fn approve(&self, plan: &str) {
        self.succeed(&["approve", plan, "--config", &self.config(1)]);
    }

    /// For a client of this account.
    pub fn client(&self, account: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(account).password(PASSWORD).dbname("study");
        config.connect_timeout(Duration::from_secs(10));
        config
    }
}

/// Is there a program of this name? With CI=true it must be.
pub fn program(name: &str, argument: &str) -> bool {
    let there = Command::new(name)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "CI without {name}");
    if !there {
        println!("SKIPPED: there is no {name} on this machine");
    }
    there
}

/// Writes a site's table.
pub fn table(folder: &Scratch, site: &str, name: &str, text: &str) -> PathBuf {
    folder.write(&format!("data/{site}/{name}.csv"), text)
}

/// The folder that such tables are in.
pub fn data(folder: &Scratch) -> PathBuf {
    Path::new(folder.path()).join("data")
}
