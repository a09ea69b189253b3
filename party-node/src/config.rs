//! A node's or analyst's own configuration and key, and the files that `init` and `enroll` make.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mpc_core::identity::Identity;
use mpc_core::session::DEFAULT_DEADLINE;
use query_planner::catalog::SiteName;
use query_planner::site_policy::SitePolicy;
use query_planner::{Profile, Settings};
use serde::{Deserialize, Serialize};

use crate::exec::Budget;
use crate::fault::{NodeError, printable};
use crate::govern::gate::{POLICY, Posted};
use crate::govern::study::Study;
use crate::linkage::Agreed;
use crate::log::LogForm;
use crate::network::{AnalystEntry, NETWORK_VERSION, Network, Reach, SiteEntry};
use crate::secret_file;
use crate::source::{SiteData, postgres};
use crate::state::State;
use crate::wire;

/// `node.toml` or `analyst.toml`. Paths are relative to the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site's or analyst's name.
    pub name: String,
    /// The private key, readable by its owner only.
    pub key: PathBuf,
    /// The network file.
    pub network: PathBuf,
    /// The folder with the site's tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The database with the site's tables, in the place of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<postgres::settings::Settings>,
    /// Where the node listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The site's policy. Without one nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// The study files that the site takes part in, or of an analyst the one that questions belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<PathBuf>,
    /// The folder of the site's ledger and log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// The key that seals it, which should lie elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<PathBuf>,
    /// How long a step waits for a message.
    #[serde(default = "default_timeout_ms")]
    pub step_timeout_ms: u64,
    /// Can other sites dial this node? As in the network file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reach: Reach,
    /// Where figures about the node can be read, on this machine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// The web console, on this machine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleSettings>,
    /// How the node writes its log.
    #[serde(default, skip_serializing_if = "is_default")]
    pub log: LogForm,
    /// How long runs may go on after the node was told to stop.
    #[serde(default = "default_shutdown_seconds", skip_serializing_if = "is_default_shutdown")]
    pub shutdown_seconds: u64,
    /// What one question's work on the site's rows may hold, in MiB.
    #[serde(default, skip_serializing_if = "is_default")]
    pub work_memory_mb: Budget,
    /// Where database programs of the accounts reach the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<wire::settings::Settings>,
    /// The jobs of the node's accounts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jobs: JobSettings,
    /// The analysts for whom the node asks.
    #[serde(default, rename = "account", skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountEntry>,
}

/// `[console]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Where it listens: an address of this machine alone.
    pub listen: SocketAddr,
}

/// An analyst whose key lies at a node. The node sees the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountEntry {
    /// The name in the network file.
    pub name: String,
    /// The private key that `init --analyst --at` made.
    pub key: PathBuf,
}

/// What a node gives its accounts' jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSettings {
    /// Days after which a job that ended is deleted, its answer with it.
    pub keep_days: u32,
    /// Memory that all jobs that run may be forecast to need, in MiB.
    pub memory_mb: u32,
    /// Jobs that run at a time.
    pub running: u32,
    /// Jobs of one account that have not ended.
    pub unfinished: u32,
    /// Jobs of one account that have ended and are kept; the oldest go first.
    pub kept: u32,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self { keep_days: 30, memory_mb: 2048, running: 4, unfinished: 100, kept: 1000 }
    }
}

impl JobSettings {
    /// # Errors
    /// `BAD_CONFIG` for a zero.
    fn checked(self) -> Result<Self, NodeError> {
        let Self { keep_days, memory_mb, running, unfinished, kept } = self;
        let named = [("keep_days", keep_days), ("memory_mb", memory_mb), ("running", running)];
        match named.iter().chain(&[("unfinished", unfinished), ("kept", kept)]).find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(NodeError::new("BAD_CONFIG", format!("[jobs] {name} is 1 or more"))),
            None => Ok(self),
        }
    }
}

/// How long a node that is told to stop lets its runs end.
const SHUTDOWN_SECONDS: u64 = 60;

fn default_shutdown_seconds() -> u64 {
    SHUTDOWN_SECONDS
}

fn is_default_shutdown(seconds: &u64) -> bool {
    *seconds == SHUTDOWN_SECONDS
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_timeout_ms() -> u64 {
    DEFAULT_DEADLINE.as_millis() as u64
}

/// An analyst for whom a node asks.
#[derive(Debug, Clone)]
pub struct Account {
    /// The name in the network file.
    pub name: String,
    /// The key.
    pub identity: Arc<Identity>,
}

impl Config {
    /// What `init` writes of everybody.
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: "private.key".into(),
            network: "network.toml".into(),
            data: None,
            postgres: None,
            listen: None,
            policy: None,
            studies: Vec::new(),
            state: None,
            state_key: None,
            step_timeout_ms: default_timeout_ms(),
            reach: Reach::default(),
            metrics: None,
            console: None,
            log: LogForm::default(),
            shutdown_seconds: SHUTDOWN_SECONDS,
            work_memory_mb: Budget::default(),
            wire: None,
            jobs: JobSettings::default(),
            accounts: Vec::new(),
        }
    }

    /// Reads a configuration; its paths become absolute or relative to the working folder.
    ///
    /// # Errors
    /// `BAD_CONFIG` with the place and the rule, `NO_SUCH_FILE`.
    pub fn load(path: &Path) -> Result<Self, NodeError> {
        let mut config: Config = toml::from_str(&read(path)?)
            .map_err(|e| NodeError::new("BAD_CONFIG", format!("{}: {}", path.display(), e.to_string().trim_end())))?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.key = base.join(config.key);
        config.network = base.join(config.network);
        config.data = config.data.map(|data| base.join(data));
        config.postgres = config.postgres.map(|settings| settings.beside(base));
        if config.data.is_some() && config.postgres.is_some() {
            let message = format!("{}: 'data' and [postgres] stand beside each other", path.display());
            return Err(NodeError::new("BAD_CONFIG", message).hint("a site has its tables in files or in a database"));
        }
        config.policy = config.policy.map(|policy| base.join(policy));
        config.studies = config.studies.iter().map(|study| base.join(study)).collect();
        config.accounts.iter_mut().for_each(|account| account.key = base.join(&account.key));
        config.jobs.checked().map_err(|error| in_file(path, error))?;
        if config.work_memory_mb.0 == 0 {
            return Err(in_file(path, NodeError::new("BAD_CONFIG", "work_memory_mb is 1 or more")));
        }
        config.wire = config.wire.map(|wire| wire.beside(base));
        config.wire.iter().try_for_each(|wire| wire.checked().map_err(|error| in_file(path, error)))?;
        if config.metrics.is_some_and(|address| !address.ip().is_loopback()) {
            let message =
                format!("{}: metrics are served on this machine alone, such as at 127.0.0.1:9464", path.display());
            return Err(NodeError::new("BAD_CONFIG", message));
        }
        if config.console.is_some_and(|console| !console.listen.ip().is_loopback()) {
            let message =
                format!("{}: [console] listens on this machine alone, such as at 127.0.0.1:7801", path.display());
            return Err(NodeError::new("BAD_CONFIG", message).hint("from another machine: ssh -L 7801:127.0.0.1:7801"));
        }
        config.state = Some(base.join(config.state.unwrap_or_else(|| "state".into())));
        config.state_key = Some(base.join(config.state_key.unwrap_or_else(|| "state.key".into())));
        Ok(config)
    }

    /// The site's tables, with a list of patients who opted out beside them; none for who has no tables.
    ///
    /// # Errors
    /// As [`SiteData::open_beside`] and [`SiteData::of_database`].
    pub fn tables(&self, list: Option<&Path>) -> Result<Option<SiteData>, NodeError> {
        match (&self.data, &self.postgres) {
            (Some(folder), _) => SiteData::open_beside(folder, list).map(Some),
            (None, Some(database)) => SiteData::of_database(database.clone()).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The site's policy; one that allows nothing where the configuration names none.
    ///
    /// # Errors
    /// `BAD_POLICY`, `NO_SUCH_FILE`.
    pub fn policy(&self) -> Result<Posted, NodeError> {
        self.policy.clone().map_or_else(|| Ok(Posted::closed()), Posted::read)
    }

    /// The studies that the site takes part in.
    ///
    /// # Errors
    /// `BAD_STUDY`, `NO_SUCH_FILE`.
    pub fn studies(&self) -> Result<Vec<Study>, NodeError> {
        self.studies.iter().map(|file| Study::read(file)).collect()
    }

    /// The study that an analyst's questions belong to: this file, or the first that the configuration names.
    ///
    /// # Errors
    /// `NO_STUDY`, `BAD_STUDY`, `NO_SUCH_FILE`.
    pub fn study(&self, file: Option<&Path>) -> Result<Study, NodeError> {
        let file = file.or_else(|| self.studies.first().map(PathBuf::as_path));
        let none = || NodeError::new("NO_STUDY", "a question belongs to a study").hint("name its file with --study");
        Study::read(file.ok_or_else(none)?)
    }

    /// What the site keeps.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn state(&self, identity: &Identity) -> Result<State, NodeError> {
        let (Some(folder), Some(key)) = (&self.state, &self.state_key) else {
            return Err(NodeError::new("BAD_CONFIG", "a node needs a folder for its ledger"));
        };
        fs::create_dir_all(folder).map_err(|e| missing(folder, &e))?;
        State::open(folder, key, identity)
    }

    /// The network file it names.
    pub fn network(&self) -> Result<Network, NodeError> {
        Network::from_toml(&read(&self.network)?).map_err(|error| in_file(&self.network, error))
    }

    /// The linkage file that a network names, beside the network file.
    ///
    /// # Errors
    /// `NO_SUCH_FILE`, `BAD_LINKAGE`.
    pub fn linkage(&self, network: &Network) -> Result<Option<Agreed>, NodeError> {
        Agreed::read_beside(&network.settings, &self.network)
    }

    /// The private key it names.
    ///
    /// # Errors
    /// `KEY_FILE_OPEN` when others may read it, `BAD_KEY_FILE` when it is no key.
    pub fn identity(&self) -> Result<Identity, NodeError> {
        key(&self.key)
    }

    /// The keys of the analysts for whom the node asks.
    ///
    /// # Errors
    /// As [`key`]; `ACCOUNT_NOT_PINNED`, `ACCOUNT_ELSEWHERE` where the network file does not say that this key's analyst asks at this
    /// site; `DUPLICATE_ACCOUNT`.
    pub fn accounts(&self, network: &Network) -> Result<Vec<Account>, NodeError> {
        let mut all: Vec<Account> = Vec::with_capacity(self.accounts.len());
        for AccountEntry { name, key: file } in &self.accounts {
            let (shown, identity) = (printable(name), key(file)?);
            if all.iter().any(|other| other.name == *name) {
                return Err(NodeError::new("DUPLICATE_ACCOUNT", format!("account {shown} is listed twice")));
            }
            let entry =
                network.analyst.iter().find(|entry| entry.name == *name && entry.pins.contains(&identity.pin()));
            let entry = entry.ok_or_else(|| {
                let message = format!("the network file has no analyst {shown} with the key of {}", file.display());
                NodeError::new("ACCOUNT_NOT_PINNED", message).hint("enroll the analyst's public file")
            })?;
            if entry.at.as_ref().is_none_or(|at| at.0 != self.name) {
                let message = format!("the network file does not say that analyst {shown} asks through this node");
                return Err(NodeError::new("ACCOUNT_ELSEWHERE", message).hint(format!(
                    "make the key with `init --analyst --at {}`: everybody is to know who sees the answers",
                    self.name
                )));
            }
            all.push(Account { name: name.clone(), identity: Arc::new(identity) });
        }
        Ok(all)
    }

    /// How long a step waits for a message.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.step_timeout_ms)
    }
}

/// The private key of a file.
///
/// # Errors
/// `KEY_FILE_OPEN` when others may read it, `BAD_KEY_FILE` when it is no key.
pub fn key(file: &Path) -> Result<Identity, NodeError> {
    let mut bytes = secret_file::read(file)?;
    Identity::from_pkcs8(std::mem::take(&mut *bytes))
        .map_err(|e| NodeError::new("BAD_KEY_FILE", format!("{}: {e}", file.display())))
}

/// What one public file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<SiteEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    analyst: Option<AnalystEntry>,
    /// What the site publishes of its policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<SitePolicy>,
}

/// Makes a site's key, configuration and public file in `dir`. The key never leaves it.
///
/// # Errors
/// `WOULD_OVERWRITE` when the key exists; whatever is wrong with the data.
pub fn init_site(
    dir: &Path,
    name: &str,
    data: &Path,
    listen: SocketAddr,
    settings: &Settings,
    policy: Option<&Path>,
    reach: Reach,
) -> Result<PathBuf, NodeError> {
    let text = policy.map_or_else(|| Ok(CLOSED.to_owned()), read)?;
    let policy = SitePolicy::from_toml(&text)?;
    let list = policy.opt_out.as_ref().map(|list| PathBuf::from(&list.file));
    let source = SiteData::open_beside(data, list.as_deref())?;
    source.raise_doubts(settings)?;
    let schema = source.published(&settings.patient_key)?;
    let name = SiteName(name.to_owned());
    if !name.is_valid() {
        return Err(NodeError::new("BAD_CONFIG", "a site's name is 1 to 63 letters, digits, '_' or '-'"));
    }
    let data = fs::canonicalize(data).map_err(|e| missing(data, &e))?;
    let identity = new_key(dir)?;
    let config =
        Config { data: Some(data), listen: Some(listen), policy: Some(POLICY.into()), reach, ..Config::new(&name.0) };
    write(&dir.join("node.toml"), &to_toml(&config)?)?;
    write(&dir.join(POLICY), &text)?;
    let site = SiteEntry { name, address: listen, pins: vec![identity.pin()], schema, reach };
    public(dir, &config.name, &Public { site: Some(site), analyst: None, policy: Some(policy.published()) })
}

/// Makes an analyst's key, configuration and public file in `dir`; with a site, the key of an account at its node.
pub fn init_analyst(dir: &Path, name: &str, at: Option<SiteName>) -> Result<PathBuf, NodeError> {
    let (identity, config) = (new_key(dir)?, Config::new(name));
    write(&dir.join("analyst.toml"), &to_toml(&config)?)?;
    let analyst = AnalystEntry { name: name.to_owned(), at, pins: vec![identity.pin()] };
    public(dir, name, &Public { site: None, analyst: Some(analyst), policy: None })
}

/// Puts public files together to a network file. The order of the files is the order of the sites, so everybody must give
/// the same: sites are sorted by name. The profile is for settings that name none.
pub fn enroll(files: &[PathBuf], settings: Option<&Path>, profile: Option<Profile>) -> Result<Network, NodeError> {
    let linkage = settings.map(self::linked_settings).transpose()?;
    let (settings, linkage) = linkage.unzip();
    let mut settings = settings.unwrap_or_default();
    settings.profile = settings.profile.or(profile);
    let mut network = Network { version: NETWORK_VERSION, settings, site: vec![], analyst: vec![] };
    for file in files {
        let public: Public = toml::from_str(&read(file)?).map_err(|e| {
            NodeError::new("BAD_PUBLIC_FILE", format!("{}: {}", file.display(), e.to_string().trim_end()))
        })?;
        if let (Some(site), Some(policy)) = (&public.site, &public.policy) {
            network.settings.publish(&site.name.0, policy);
        }
        network.site.extend(public.site);
        network.analyst.extend(public.analyst);
    }
    network.site.sort_by_key(|site| site.name.0.to_lowercase());
    network.analyst.sort_by(|a, b| a.name.cmp(&b.name));
    let network = network.checked()?;
    network.catalog(linkage.flatten().as_ref())?;
    Ok(network)
}

/// The policy of a site that has decided nothing yet.
const CLOSED: &str = "\
# What this site allows. Nothing that is not written here is allowed.

# Figures of fewer patients are hidden. What is no table of this file comes before the first table.
min_patients = 11

# `consilium explain --grants` says what a question needs. For example:
#
# classes = [\"count\", \"table\"]
#
# [columns.person]
# person_id = [\"link\"]
# gender_concept_id = [\"filter\", \"group\"]
#
# [[approve]]
# classes = [\"count\"]
";

fn new_key(dir: &Path) -> Result<Identity, NodeError> {
    fs::create_dir_all(dir).map_err(|e| missing(dir, &e))?;
    let path = dir.join("private.key");
    let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    secret_file::create(&path, identity.pkcs8()).map_err(|error| match &*error.code {
        "WOULD_OVERWRITE" => error.hint("a key is made once; choose another folder to make a new identity"),
        _ => error,
    })?;
    Ok(identity)
}

fn public(dir: &Path, name: &str, public: &Public) -> Result<PathBuf, NodeError> {
    let path = dir.join(format!("{name}.public.toml"));
    write(&path, &to_toml(public)?)?;
    Ok(path)
}

fn to_toml<T: Serialize>(value: &T) -> Result<String, NodeError> {
    toml::to_string_pretty(value).map_err(|e| NodeError::new("BAD_CONFIG", e.to_string()))
}

/// Reads a file of settings; errors name it.
pub fn settings(path: &Path) -> Result<Settings, NodeError> {
    Settings::from_toml(&read(path)?).map_err(|error| in_file(path, error.into()))
}

/// The same with what the linkage file beside it, if it names one, declares about columns that identify.
///
/// # Errors
/// As [`settings`] and [`Agreed::read`].
pub fn linked_settings(path: &Path) -> Result<(Settings, Option<Agreed>), NodeError> {
    let settings = settings(path)?;
    let linkage = Agreed::read_beside(&settings, path)?;
    Ok((with_linkage(settings, linkage.as_ref()), linkage))
}

/// What a linkage file declares about columns that identify.
pub fn with_linkage(settings: Settings, linkage: Option<&Agreed>) -> Settings {
    match linkage {
        Some(linkage) => settings.with_identifiers(&linkage.catalogued()),
        None => settings,
    }
}

pub(crate) fn in_file(path: &Path, error: NodeError) -> NodeError {
    NodeError { message: format!("{}: {}", path.display(), error.message), ..error }
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String, NodeError> {
    fs::read_to_string(path).map_err(|e| missing(path, &e))
}

/// Writes a text file.
pub fn write(path: &Path, text: &str) -> Result<(), NodeError> {
    fs::write(path, text).map_err(|e| missing(path, &e))
}

/// A file that is not there or cannot be used.
pub(crate) fn missing(path: &Path, error: &std::io::Error) -> NodeError {
    let code = if error.kind() == std::io::ErrorKind::NotFound { "NO_SUCH_FILE" } else { "FILE_FAILED" };
    NodeError::new(code, format!("{}: {error}", path.display()))
}
