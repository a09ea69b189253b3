//! Three sites and two analysts with accounts at the first, as real processes with files.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{LIMIT, Run, Scratch, consilium, run, until};

pub const ACCOUNTS: [&str; 2] = ["ines", "joao"];

/// Sites go by their numbers.
pub struct Net {
    pub folder: Scratch,
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

/// What a site is made with.
pub struct Own<'a> {
    pub data: &'a Path,
    pub port: u16,
    pub policy: &'a str,
    /// Further arguments of `init`.
    pub init: &'a [&'a str],
    /// Further lines of `node.toml`, its tables last.
    pub lines: &'a str,
}

impl Net {
    /// With a study of these tables, and nobody in it yet.
    pub fn new(folder: Scratch, sites: [&str; 3], tables: &[&str]) -> Self {
        let study = format!(
            "name = 'doses'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = {ACCOUNTS:?}\nsites = {sites:?}\ntables = {tables:?}\nends = '9999-01-01'\n"
        );
        folder.write("study.toml", study);
        Self { folder, sites: sites.map(str::to_owned), nodes: Vec::new() }
    }

    pub fn init(&self, site: usize, own: &Own<'_>) {
        let Own { data, port, policy, init, lines } = own;
        let name = &self.sites[site];
        let policy = self.folder.write(&format!("{name}.policy.toml"), policy).to_string_lossy().into_owned();
        let (dir, data, listen) = (self.path(name), data.to_string_lossy(), format!("127.0.0.1:{port}"));
        let fixed = ["init", "--dir", &dir, "--name", name, "--data", &data, "--listen", &listen, "--policy", &policy];
        self.succeed(&[&fixed, *init].concat());
        let account = |name: &str| format!("[[account]]\nname = '{name}'\nkey = '../{name}/private.key'\n");
        let accounts = if site == 0 { ACCOUNTS.map(account).concat() } else { String::new() };
        let file = self.config(site);
        let config = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{config}studies = ['../study.toml']\n{lines}\n{accounts}")).unwrap();
    }

    /// Puts the network file together, once all sites are made, and gives it to them.
    pub fn enroll(&self, more: &[&str]) {
        for name in ACCOUNTS {
            self.succeed(&["init", "--dir", &self.path(name), "--name", name, "--analyst", "--at", &self.sites[0]]);
        }
        let names = self.sites.iter().map(String::as_str).chain(ACCOUNTS);
        let publics: Vec<String> = names.map(|name| self.path(&format!("{name}/{name}.public.toml"))).collect();
        let out = self.path("network.toml");
        let publics: Vec<&str> = publics.iter().map(String::as_str).collect();
        self.succeed(&[&["enroll", "--out", &out], more, &publics].concat());
        for site in &self.sites {
            fs::copy(&out, self.folder.at(&format!("{site}/network.toml"))).unwrap();
        }
    }

    pub fn path(&self, relative: &str) -> String {
        self.folder.at(relative).to_string_lossy().into_owned()
    }

    pub fn config(&self, site: usize) -> String {
        self.path(&format!("{}/node.toml", self.sites[site]))
    }

    pub fn succeed(&self, arguments: &[&str]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    pub fn log(&self, site: usize) -> String {
        fs::read_to_string(self.folder.at(&format!("{}.log", self.sites[site]))).unwrap_or_default()
    }

    /// Starts a node and waits until it serves.
    pub fn start(&mut self, site: usize) {
        self.start_with(site, &[]);
    }

    pub fn start_with(&mut self, site: usize, more: &[&str]) {
        // One that was told to end gives its port back first.
        if self.nodes.iter().any(|(at, _)| *at == site) {
            self.ended(site);
        }
        let name = format!("{}.log", self.sites[site]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.at(&name)).unwrap();
        let before = self.log(site).matches("serving at").count();
        let mut command = consilium(&["node", "--config", &self.config(site)]);
        let node = command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes.push((site, node));
        until("it serves", || {
            assert!(self.node(site).try_wait().unwrap().is_none(), "it ended: {}", self.log(site));
            self.log(site).matches("serving at").count() > before
        });
    }

    pub fn node(&mut self, site: usize) -> &mut Child {
        &mut self.nodes.iter_mut().find(|(at, _)| *at == site).unwrap().1
    }

    /// Sends a signal to a node.
    pub fn signal(&self, site: usize, name: &str) {
        let (_, node) = self.nodes.iter().find(|(at, _)| *at == site).unwrap();
        let _ = Command::new("kill").args([&format!("-{name}"), &node.id().to_string()]).status();
    }

    /// Waits for the end of a node; its exit status.
    pub fn ended(&mut self, site: usize) -> Option<i32> {
        let mut status = None;
        until(&format!("{} ends within {LIMIT:?}", self.sites[site]), || {
            status = self.node(site).try_wait().unwrap();
            status.is_some()
        });
        self.nodes.retain(|(at, _)| *at != site);
        status.unwrap().code()
    }
}
