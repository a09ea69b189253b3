//! A network whose first node is reached with database programs, as real processes.

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use super::net::ACCOUNTS;
use super::net::{self, Own};
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use super::until;
use super::{Scratch, consilium, ports};

pub const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];
/// The node with the accounts.
pub const HOME: &str = SITES[0];
/// The site that decides by hand what its rules do not.
pub const BY_HAND: &str = SITES[1];
/// The accounts' password: hostile to whoever quotes badly.
pub const PASSWORD: &str = "Quaxolotl's \"word\" é";

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
    pub port: u16,
    net: net::Net,
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
    /// Made, not started.
    pub fn new(plan: &Plan<'_>, folder: Scratch) -> Self {
        let [port, others @ ..] = ports::<4>();
        let net = Self { port, net: net::Net::new(folder, plan.sites, plan.tables) };
        net.folder.write("settings.toml", plan.settings);
        let settings = net.path("settings.toml");
        let settings = ["--settings", settings.as_str()];
        let further = plan.wire.replace('%', &net.folder.path().to_string_lossy());
        let wire = format!("[wire]\nlisten = '{}:{port}'\n{further}\n", plan.listen);
        for (at, port) in others.into_iter().enumerate() {
            let (data, policy) = (plan.data.join(plan.sites[at]), if at == 1 { plan.by_hand } else { BY_RULE });
            net.init(at, &Own { data: &data, port, policy, init: &settings, lines: if at == 0 { &wire } else { "" } });
        }
        net.enroll(&settings);
        for name in ACCOUNTS {
            net.set_password(name, PASSWORD);
        }
        net
    }

    pub fn up(mut self) -> Self {
        (0..3).for_each(|site| self.start(site));
        self
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
