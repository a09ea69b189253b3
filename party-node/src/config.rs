//! A node's or analyst's own configuration and key, and the files that `init` and `enroll` make.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mpc_core::identity::Identity;
use mpc_core::session::DEFAULT_DEADLINE;
use query_planner::Settings;
use query_planner::catalog::SiteName;
use serde::{Deserialize, Serialize};

use crate::fault::NodeError;
use crate::linkage::Agreed;
use crate::network::{AnalystEntry, NETWORK_VERSION, Network, SiteEntry};
use crate::secret_file;
use crate::source::SiteData;

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
    /// Where the node listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// How long a step waits for a message.
    #[serde(default = "default_timeout_ms")]
    pub step_timeout_ms: u64,
}

fn default_timeout_ms() -> u64 {
    DEFAULT_DEADLINE.as_millis() as u64
}

impl Config {
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
        Ok(config)
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
        let mut bytes = secret_file::read(&self.key)?;
        Identity::from_pkcs8(std::mem::take(&mut *bytes))
            .map_err(|e| NodeError::new("BAD_KEY_FILE", format!("{}: {e}", self.key.display())))
    }

    /// How long a step waits for a message.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.step_timeout_ms)
    }
}

/// What one public file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<SiteEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    analyst: Option<AnalystEntry>,
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
) -> Result<PathBuf, NodeError> {
    let source = SiteData::open(data)?;
    source.raise_doubts(settings)?;
    let schema = source.schema(&settings.patient_key);
    let name = SiteName(name.to_owned());
    if !name.is_valid() {
        return Err(NodeError::new("BAD_CONFIG", "a site's name is 1 to 63 letters, digits, '_' or '-'"));
    }
    let data = fs::canonicalize(data).map_err(|e| missing(data, &e))?;
    let identity = new_key(dir)?;
    let config = Config {
        name: name.0.clone(),
        key: "private.key".into(),
        network: "network.toml".into(),
        data: Some(data),
        listen: Some(listen),
        step_timeout_ms: default_timeout_ms(),
    };
    write(&dir.join("node.toml"), &to_toml(&config)?)?;
    let site = SiteEntry { name, address: listen, pins: vec![identity.pin()], schema };
    public(dir, &config.name, &Public { site: Some(site), analyst: None })
}

/// Makes an analyst's key, configuration and public file in `dir`.
pub fn init_analyst(dir: &Path, name: &str) -> Result<PathBuf, NodeError> {
    let identity = new_key(dir)?;
    let config = Config {
        name: name.to_owned(),
        key: "private.key".into(),
        network: "network.toml".into(),
        data: None,
        listen: None,
        step_timeout_ms: default_timeout_ms(),
    };
    write(&dir.join("analyst.toml"), &to_toml(&config)?)?;
    let analyst = AnalystEntry { name: name.to_owned(), pins: vec![identity.pin()] };
    public(dir, name, &Public { site: None, analyst: Some(analyst) })
}

/// Puts public files together to a network file. The order of the files is the order of the sites, so everybody must give
/// the same: sites are sorted by name.
pub fn enroll(files: &[PathBuf], settings: Option<&Path>) -> Result<Network, NodeError> {
    let linkage = settings.map(self::linked_settings).transpose()?;
    let (settings, linkage) = linkage.unzip();
    let mut network =
        Network { version: NETWORK_VERSION, settings: settings.unwrap_or_default(), site: vec![], analyst: vec![] };
    for file in files {
        let public: Public = toml::from_str(&read(file)?).map_err(|e| {
            NodeError::new("BAD_PUBLIC_FILE", format!("{}: {}", file.display(), e.to_string().trim_end()))
        })?;
        network.site.extend(public.site);
        network.analyst.extend(public.analyst);
    }
    network.site.sort_by_key(|site| site.name.0.to_lowercase());
    network.analyst.sort_by(|a, b| a.name.cmp(&b.name));
    let network = network.checked()?;
    network.catalog(linkage.flatten().as_ref())?;
    Ok(network)
}

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

fn in_file(path: &Path, error: NodeError) -> NodeError {
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
