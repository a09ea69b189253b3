//! Where a site's database is: the table `[postgres]` of `node.toml`, or a sandbox's `postgres.toml`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use query_planner::error::nearest;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::fault::{NodeError, printable};

/// The file of a sandbox's site that keeps its tables in a database.
pub const POSTGRES: &str = "postgres.toml";

/// How a database is reached, and what of it is read. Holds no secret: the password is in a file of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Settings {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    /// The same for all ways to reach it.
    pub port: u16,
    /// The database.
    pub dbname: String,
    /// A role that may read the tables, and should be able to do nothing else.
    pub user: String,
    /// Its tables and views are the site's tables.
    pub schema: String,
    /// A file of mode 0600 with the password, which is sent over TLS or a Unix socket only; none where the database lets the role in without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Is the connection encrypted?
    pub tls: Tls,
    /// The certificates, in PEM, of who vouches for the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long the database may take over one statement.
    pub statement_timeout_ms: u64,
    /// Who does the local work.
    pub local_work: LocalWork,
}

/// Is the connection to the database encrypted?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// By TLS 1.3, and the database shows a certificate for its name.
    Required,
    /// No: over loopback and Unix sockets only.
    Off,
}

/// Who filters, joins and adds up. The answer is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalWork {
    /// The database, as far as it means the same as the node by it.
    Database,
    /// The node: the database filters rows of single tables.
    Node,
}

/// What may stand in the table.
#[derive(Deserialize)]
struct Written {
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
    user: Option<String>,
    schema: Option<String>,
    password_file: Option<PathBuf>,
    tls: Option<Tls>,
    ca_file: Option<PathBuf>,
    statement_timeout_ms: Option<u64>,
    local_work: Option<LocalWork>,
}

const KEYS: [&str; 11] = [
    "url",
    "host",
    "port",
    "dbname",
    "user",
    "schema",
    "password_file",
    "tls",
    "ca_file",
    "statement_timeout_ms",
    "local_work",
];

/// Longest a statement may be allowed to take, and what it is allowed where nothing is said.
const MAX_STATEMENT_MS: u64 = 24 * 3600 * 1000;
const STATEMENT_MS: u64 = 10 * 60 * 1000;

impl Settings {
    /// Reads a sandbox's file; paths in it are relative to it.
    ///
    /// # Errors
    /// `BAD_CONFIG` with the file and the rule, `NO_SUCH_FILE`.
    pub fn read(file: &Path) -> Result<Self, NodeError> {
        let bad = |what: String| NodeError::new("BAD_CONFIG", format!("{}: {}", file.display(), what.trim_end()));
        let settings: Settings = toml::from_str(&config::read(file)?).map_err(|e| bad(e.to_string()))?;
        Ok(settings.beside(file.parent().unwrap_or(Path::new("."))))
    }

    /// The same with paths that are relative to `base`.
    pub fn beside(mut self, base: &Path) -> Self {
        self.password_file = self.password_file.map(|file| base.join(file));
        self.ca_file = self.ca_file.map(|file| base.join(file));
        self
    }

    /// How long the database may take over one statement.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// Does the connection stay on this machine?
    fn is_local(&self) -> bool {
        let loopback = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.is_socket() || loopback || self.host.eq_ignore_ascii_case("localhost")
    }

    fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    fn checked(self) -> Result<Self, String> {
        if self.tls == Tls::Off && !self.is_local() {
            return Err("tls = \"off\" is for loopback and Unix sockets".into());
        }
        // Whoever listens there while the database is down could ask for it.
        if self.tls == Tls::Off && self.password_file.is_some() && !self.is_socket() {
            return Err(
                "'password_file' with tls = \"off\" is for Unix sockets: over TCP anybody may listen there".into()
            );
        }
        if self.tls == Tls::Required && self.ca_file.is_none() {
            return Err("'ca_file' is missing: the certificates of who vouches for the database".into());
        }
        if !(1..=MAX_STATEMENT_MS).contains(&self.statement_timeout_ms) {
            return Err(format!("statement_timeout_ms is 1 to {MAX_STATEMENT_MS} milliseconds"));
        }
        Ok(self)
    }
}

impl TryFrom<toml::Table> for Settings {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let help = match nearest(key, KEYS.into_iter()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known here: {}", KEYS.join(", ")),
            };
            return Err(format!("unknown key '{}': {help}", printable(key)));
        }
        let written: Written = table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
        written.settings()?.checked()
    }
}

impl Written {
    fn settings(self) -> Result<Settings, String> {
        let url = self.url.as_deref().map(Address::read).transpose()?;
        let twice = |name: &str| format!("'{name}' stands beside 'url', which has it");
        let Address { host, port, dbname, user } = match url {
            Some(url) => {
                let beside = [("host", self.host.is_some()), ("port", self.port.is_some())];
                let beside =
                    beside.into_iter().chain([("dbname", self.dbname.is_some()), ("user", self.user.is_some())]);
                beside.into_iter().find(|(_, there)| *there).map_or(Ok(url), |(name, _)| Err(twice(name)))?
            }
            None => Address { host: self.host, port: self.port, dbname: self.dbname, user: self.user },
        };
        let missing = |name: &str| format!("'{name}' is missing");
        Ok(Settings {
            host: host.filter(|host| !host.is_empty()).ok_or_else(|| missing("host"))?,
            port: port.unwrap_or(5432),
            dbname: dbname.ok_or_else(|| missing("dbname"))?,
            user: user.ok_or_else(|| missing("user"))?,
            schema: self.schema.unwrap_or_else(|| "public".into()),
            password_file: self.password_file,
            tls: self.tls.unwrap_or(Tls::Required),
            ca_file: self.ca_file,
            statement_timeout_ms: self.statement_timeout_ms.unwrap_or(STATEMENT_MS),
            local_work: self.local_work.unwrap_or(LocalWork::Database),
        })
    }
}

/// The parts of a URL that we take.
struct Address {
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
    user: Option<String>,
}

impl Address {
    /// Reads `postgresql://USER@HOST:PORT/DBNAME`. What is wrong with it is not repeated: it may hold a password.
    fn read(url: &str) -> Result<Self, String> {
        let parts: tokio_postgres::Config =
            url.parse().map_err(|_| "'url' is not postgresql://USER@HOST:PORT/DBNAME")?;
        if parts.get_password().is_some() {
            return Err("'url' has a password: put it into 'password_file', mode 0600".into());
        }
        if url.contains('?') || parts.get_hosts().len() != 1 || parts.get_ports().len() > 1 {
            return Err("'url' has one host and nothing after the database's name".into());
        }
        use tokio_postgres::config::Host;
        let host = match &parts.get_hosts()[0] {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.to_string_lossy().into_owned(),
        };
        let text = |part: Option<&str>| part.map(str::to_owned);
        let (dbname, user) = (text(parts.get_dbname()), text(parts.get_user()));
        Ok(Self { host: Some(host), port: parts.get_ports().first().copied(), dbname, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|e: toml::de::Error| e.message().to_owned())
    }

    const LOCAL: &str = "host = \"/run/postgresql\"\ndbname = \"omop\"\nuser = \"reader\"\ntls = \"off\"\n";

    #[test]
    fn a_url_says_the_same_as_its_parts() {
        let url = "url = \"postgresql://reader@127.0.0.1:5433/omop\"\ntls = \"off\"";
        let parts = "host = \"127.0.0.1\"\nport = 5433\ndbname = \"omop\"\nuser = \"reader\"\ntls = \"off\"";
        assert_eq!(read(url).unwrap(), read(parts).unwrap());
        read(&format!("{LOCAL}password_file = \"pw\"")).expect("a socket lies in a folder that has an owner");
    }

    #[test]
    fn what_is_not_meant_is_refused_and_no_password_is_repeated() {
        for (text, expected) in [
            (format!("{LOCAL}hots = \"x\""), "did you mean 'host'?"),
            (format!("{LOCAL}quux = 1"), "known here: url, host"),
            ("host = \"db.example\"\ndbname = \"d\"\nuser = \"u\"\ntls = \"off\"".into(), "loopback and Unix sockets"),
            ("host = \"db.example\"\ndbname = \"d\"\nuser = \"u\"".into(), "'ca_file' is missing"),
            (LOCAL.replace("/run/postgresql", "127.0.0.1") + "password_file = \"pw\"", "Unix sockets: over TCP"),
            (LOCAL.replace("/run/postgresql", "localhost") + "password_file = \"pw\"", "Unix sockets: over TCP"),
            ("url = \"postgresql://u:s3cret@127.0.0.1/d\"\ntls = \"off\"".into(), "password_file"),
            ("url = \"postgresql://u@127.0.0.1/d?sslmode=disable\"\ntls = \"off\"".into(), "nothing after"),
            (format!("url = \"postgresql://u@127.0.0.1/d\"\n{LOCAL}"), "beside 'url'"),
            ("host = \"127.0.0.1\"\nuser = \"u\"\ntls = \"off\"".into(), "'dbname' is missing"),
            (format!("{LOCAL}statement_timeout_ms = 0"), "milliseconds"),
            (format!("{LOCAL}local_work = \"both\""), "both"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
