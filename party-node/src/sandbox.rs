//! A network on one machine: one node process for each sub-folder, real QUIC and mutual TLS over loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mpc_core::identity::Identity;
use mpc_core::party::MAX_SITES;
use mpc_core::random::os_bytes;
use mpc_core::session::DEFAULT_DEADLINE;
use query_planner::Catalog;
use tokio::time::timeout;

use query_planner::Settings;
use query_planner::catalog::SiteName;

use crate::analyst::{Analyst, Listener, Who};
use crate::children::{Children, Hello, Line};
use crate::config;
use crate::connect;
use crate::fault::{NodeError, printable};
use crate::govern::gate::Posted;
use crate::govern::study::Study;
use crate::linkage::Agreed;
use crate::network::{self, AnalystEntry, NETWORK_VERSION, Network, Reach, SiteEntry};
use crate::source::SiteData;

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Names and folders, in party order.
    pub sites: Vec<(SiteName, PathBuf)>,
    /// From `network.toml` and `--set`.
    pub settings: Settings,
    /// How long a step waits for a message.
    pub deadline: Duration,
    /// A planned failure: the site and when.
    pub drill: Option<(SiteName, String)>,
    /// The linkage file that the settings name.
    pub linkage: Option<Agreed>,
    /// The study that questions belong to; one of everything where the folder has no `study.toml`.
    pub study: Option<Study>,
    /// Where the sites keep their ledgers; none: in a folder that goes with the sandbox.
    pub state: Option<PathBuf>,
    /// The folder of all this.
    folder: PathBuf,
}

/// A sandbox whose nodes are up.
pub struct Running {
    /// Ready to ask.
    pub analyst: Analyst,
    children: Children,
    _state: Kept,
}

impl Running {
    /// Lets the nodes end in good order: each still says in its log what became of a run that failed.
    pub async fn close(self) {
        // The reason why a run failed travels in the packets that close its connections.
        let _ = timeout(CLOSING, self.analyst.endpoint.wait_idle()).await;
        self.children.close(self.analyst.deadline + CLOSING).await;
    }
}

/// How long the last packets may take.
const CLOSING: Duration = Duration::from_secs(2);

impl Sandbox {
    /// Reads a folder: its sub-folders are sites, its `network.toml` the settings.
    ///
    /// # Errors
    /// `NO_SUCH_FOLDER`, `NO_SITES`, `BAD_SITE_NAME`, `BAD_NUMBER_OF_SITES` and whatever is wrong with the settings.
    pub fn open(dir: &Path, assignments: &[String]) -> Result<Self, NodeError> {
        let mut sites = Vec::new();
        let no_folder = |e| NodeError::new("NO_SUCH_FOLDER", format!("{}: {e}", dir.display()));
        for entry in fs::read_dir(dir).map_err(no_folder)? {
            let entry = entry.map_err(no_folder)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().is_dir() {
                sites.push((SiteName(name), entry.path()));
            }
        }
        sites.sort();
        if let Some((bad, _)) = sites.iter().find(|(name, _)| !name.is_valid()) {
            let message = format!("folder {} cannot name a site", printable(&bad.0));
            return Err(NodeError::new("BAD_SITE_NAME", message).hint("use letters, digits, '_' and '-', at most 63"));
        }
        if sites.len() == 1 || sites.len() > usize::from(MAX_SITES) {
            let count = if sites.len() == 1 { "1 site".into() } else { format!("{} sites", sites.len()) };
            let message = format!("{} has {count}, and a network has 2 to {MAX_SITES}", dir.display());
            return Err(NodeError::new("BAD_NUMBER_OF_SITES", message));
        }
        if sites.is_empty() {
            return Err(NodeError::new("NO_SITES", format!("{} has no sub-folders", dir.display()))
                .hint("give each site a folder with its CSV or Parquet files"));
        }
        let file = dir.join("network.toml");
        let mut settings = if file.exists() { config::settings(&file)? } else { Settings::default() };
        let mut deadline = DEFAULT_DEADLINE;
        for assignment in assignments {
            match assignment.strip_prefix("step_timeout_ms=") {
                Some(text) => deadline = milliseconds(text)?,
                None => settings.set(assignment)?,
            }
        }
        for (site, folder) in &sites {
            if let Some(posted) = Posted::beside(folder)? {
                settings.publish(&site.0, &posted.policy);
            }
        }
        let linkage = Agreed::read(&settings, dir)?;
        let settings = config::with_linkage(settings, linkage.as_ref());
        let study = Some(dir.join(STUDY)).filter(|file| file.exists());
        let study = study.map(|file| Study::read(&file)).transpose()?;
        Ok(Self { sites, settings, deadline, drill: None, linkage, study, state: None, folder: dir.to_owned() })
    }

    /// The catalogue, for planning without running.
    ///
    /// # Errors
    /// Whatever is wrong with the sites' data.
    pub fn catalog(&self) -> Result<Catalog, NodeError> {
        let schema = |(name, path): &(SiteName, PathBuf)| {
            let list = Posted::beside(path)?.and_then(|posted| posted.opt_out());
            let data = SiteData::open_beside(path, list.as_deref())?;
            data.raise_doubts(&self.settings)?;
            Ok((name.clone(), data.published(&self.settings.patient_key)?))
        };
        let schemas = self.sites.iter().map(schema).collect::<Result<Vec<_>, NodeError>>()?;
        network::catalog(&schemas, &self.settings, self.linkage.as_ref())
    }

    /// Starts the nodes and an analyst; the listener hears how its runs go.
    ///
    /// # Errors
    /// What a node reports about its data, with the site's name; `SCHEMA_DIFFERS` and the like.
    pub async fn start(&self, listener: Arc<dyn Listener>) -> Result<Running, NodeError> {
        let state = Kept::of(self.state.as_deref())?;
        let commands = self.sites.iter().map(|(name, path)| self.command(name, path, state.path()));
        let mut children = Children::start(commands.collect())?;
        let hellos: Vec<Hello> = children.lines().await?;
        self.raise_doubts(&hellos)?;
        let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
        let network = self.network(hellos, &identity).checked()?;
        let catalog = network.catalog(self.linkage.as_ref())?;
        children.introduce(&network).await?;
        let _: Vec<()> = children.lines().await?;
        let endpoint = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let study = self.study.clone().unwrap_or_else(|| everything(&catalog));
        let who = Who { identity: Arc::new(identity), network: Arc::new(network), catalog: Arc::new(catalog) };
        let analyst = Analyst::new(who, study, endpoint, self.deadline, listener);
        Ok(Running { analyst, children, _state: state })
    }

    /// A column that is nearly of another type is an error unless its type is declared.
    fn raise_doubts(&self, hellos: &[Hello]) -> Result<(), NodeError> {
        for ((name, _), hello) in self.sites.iter().zip(hellos) {
            let mut undeclared =
                hello.doubts.iter().filter(|(table, column, _)| !self.settings.declares_type(table, column));
            if let Some((_, _, Line::Failed { code, message, hint })) = undeclared.next() {
                return Err(NodeError::remote(&name.0, code, message, hint.as_deref()));
            }
        }
        Ok(())
    }

    fn command(&self, name: &SiteName, path: &Path, state: &Path) -> (String, Vec<String>) {
        let mut arguments = vec!["child-node".into(), "--name".into(), name.0.clone(), "--data".into()];
        arguments.push(path.to_string_lossy().into_owned());
        arguments.extend(["--network-folder".into(), self.folder.to_string_lossy().into_owned()]);
        arguments.extend(["--patient-key".into(), self.settings.patient_key.clone()]);
        arguments.extend(["--step-timeout-ms".into(), self.deadline.as_millis().to_string()]);
        arguments.extend(["--state".into(), state.join(&name.0).to_string_lossy().into_owned()]);
        if let Some((_, when)) = self.drill.as_ref().filter(|(site, _)| site.same(name)) {
            arguments.extend(["--drill".into(), when.clone()]);
        }
        (name.0.clone(), arguments)
    }

    fn network(&self, hellos: Vec<Hello>, analyst: &Identity) -> Network {
        let site = self.sites.iter().zip(hellos).map(|((name, _), hello)| SiteEntry {
            name: name.clone(),
            address: hello.address,
            pins: vec![hello.pin],
            schema: hello.schema,
            reach: Reach::Both,
        });
        Network {
            version: NETWORK_VERSION,
            settings: self.settings.clone(),
            site: site.collect(),
            analyst: vec![AnalystEntry { name: ANALYST.into(), at: None, pins: vec![analyst.pin()] }],
        }
    }
}

/// The study of a sandbox whose folder has none.
pub fn everything(catalog: &Catalog) -> Study {
    let tables = catalog.tables.iter().map(|table| table.name.clone()).collect();
    Study::sandbox(ANALYST, catalog.sites.clone(), tables)
}

/// The folder in which sites keep their ledgers.
struct Kept {
    path: PathBuf,
    /// It goes when this is dropped.
    ours: bool,
}

impl Kept {
    fn of(folder: Option<&Path>) -> Result<Self, NodeError> {
        if let Some(folder) = folder {
            return Ok(Self { path: folder.to_owned(), ours: false });
        }
        let name =
            os_bytes().map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
        let name: String = name[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: std::env::temp_dir().join(format!("consilium-state-{name}")), ours: true })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.ours {
            // Sealed under a key that goes with it; what stays tells nobody anything.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The analyst of a sandbox.
const ANALYST: &str = "sandbox";

/// The study file of a sandbox.
pub const STUDY: &str = "study.toml";

fn milliseconds(text: &str) -> Result<Duration, NodeError> {
    let parsed = text.trim().parse().ok().filter(|ms| (10..=3_600_000).contains(ms)).map(Duration::from_millis);
    parsed.ok_or_else(|| NodeError::new("BAD_SETTINGS", "step_timeout_ms is 10 to 3600000 milliseconds"))
}
