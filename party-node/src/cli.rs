//! The command line.

mod bench;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use query_planner::noise::{self, Epsilon};
use query_planner::{Audience, Language, Profile};

use protocols::additive::demand::Link as Planned;

use crate::bench::{Protocol, psi};
use crate::console::tokens::TokenCommand;
use crate::data_check::{self, DataArgs};
use crate::drill::Drill;
use crate::fault::NodeError;
use crate::jobs::command::JobsCommand;
use crate::linkage::command::ReportFormat;
use crate::noise::mechanism;
use crate::output::Format;
use crate::steward::StewardCommand;
use crate::wire::accounts::AccountCommand;
use bench::link;
pub use bench::{AskedOf, BenchCommand, Pair, Shares};

/// Joint questions over the records of hospitals that may not share them.
#[derive(Debug, Parser)]
#[command(name = "consilium", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A guided tour: three hospitals as three processes answer questions over the bundled data
    Demo {
        /// How to print the answers
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Run queries over a folder of sites: one node process for each sub-folder, real QUIC over loopback
    Sandbox {
        /// Where the sites are
        #[command(flatten)]
        folder: Folder,
        /// What to ask, and how to answer
        #[command(flatten)]
        queries: Queries,
        /// Keep the sites' ledgers and logs in this folder, for the next sandbox over the same data
        #[arg(long)]
        state: Option<PathBuf>,
        /// Let a node die: SITE:propose|ready|start|connected|FRAME
        #[arg(long, value_name = "SITE:WHEN")]
        drill: Option<String>,
    },
    /// Print the plan of a query, its cost and what it reveals to whom; runs nothing
    Explain {
        /// Only what is revealed
        #[arg(long, conflicts_with_all = ["dpia", "grants"])]
        disclosure: bool,
        /// What each site's policy would have to allow for the query to run there, as policy files; the policies they have are not asked
        #[arg(long, conflicts_with = "dpia")]
        grants: bool,
        /// The smallest cell that those policies let out, in patients; 11 where it is not given
        #[arg(long, requires = "grants", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        min_patients: Option<u32>,
        /// The study file, for the purpose in --dpia
        #[arg(long, requires = "dpia")]
        study: Option<PathBuf>,
        /// An annex for a data protection impact assessment, as Markdown
        #[arg(long)]
        dpia: bool,
        /// The language of --disclosure and --dpia
        #[arg(long, value_enum, default_value_t)]
        lang: Lang,
        /// The network file to plan against
        #[arg(long, conflicts_with = "data")]
        network: Option<PathBuf>,
        /// Or a folder of sites, as for the sandbox
        #[arg(long, required_unless_present = "network")]
        data: Option<PathBuf>,
        /// Override a setting of the folder's network file
        #[arg(long = "set", value_name = "KEY=VALUE", requires = "data")]
        set: Vec<String>,
        /// The text
        #[command(flatten)]
        text: Text,
        /// Who would receive the answer
        #[arg(long, value_enum, default_value_t)]
        to: To,
        /// What would be added to every figure
        #[command(flatten)]
        noise: Noise,
    },
    /// Make a new identity and configuration for a site or an analyst
    Init {
        /// The folder to make it in
        #[arg(long)]
        dir: PathBuf,
        /// The site's or analyst's name
        #[arg(long)]
        name: String,
        /// The folder with the site's CSV or Parquet files
        #[arg(long, required_unless_present = "analyst")]
        data: Option<PathBuf>,
        /// Where the node will listen, as others reach it
        #[arg(long, required_unless_present = "analyst")]
        listen: Option<SocketAddr>,
        /// The network's policy and declarations, if some columns need a declared type
        #[arg(long)]
        settings: Option<PathBuf>,
        /// Tables of a known form, such as omop-5.4, where the settings name none
        #[arg(long, value_parser = data_check::profile, conflicts_with = "analyst")]
        profile: Option<Profile>,
        /// The site's policy; without one it allows nothing until somebody writes it
        #[arg(long, conflicts_with = "analyst")]
        policy: Option<PathBuf>,
        /// An analyst, who owns no data
        #[arg(long, conflicts_with_all = ["data", "listen", "settings"])]
        analyst: bool,
        /// The site whose node keeps the analyst's key and asks for them; it sees the answers
        #[arg(long, value_name = "SITE", requires = "analyst")]
        at: Option<String>,
        /// Other sites cannot dial this node: it dials them
        #[arg(long, conflicts_with = "analyst")]
        only_dials: bool,
    },
    /// Put everybody's public files together to a network file
    Enroll {
        /// The network file to write
        #[arg(long)]
        out: PathBuf,
        /// Policy and declarations
        #[arg(long)]
        settings: Option<PathBuf>,
        /// Tables of a known form, such as omop-5.4, where the settings name none
        #[arg(long, value_parser = data_check::profile)]
        profile: Option<Profile>,
        /// The public files that `init` wrote
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Say what is wrong with a node: key, network file, data, port, peers; or with --data, what is odd about its tables
    Check {
        /// The configuration that `init` wrote
        #[arg(long, required_unless_present = "data")]
        config: Option<PathBuf>,
        /// Its tables
        #[command(flatten)]
        data: DataArgs,
    },
    /// Read a linkage file and say its digest; with data, report the quality of a site's own identifiers
    Linkage {
        /// The linkage file
        #[arg(long)]
        file: PathBuf,
        /// The folder with the site's CSV or Parquet files
        #[arg(long)]
        data: Option<PathBuf>,
        /// The table with the identifiers, if the folder has several
        #[arg(long, requires = "data")]
        table: Option<String>,
        /// The column with the site's own patient key: records with one value are one patient
        #[arg(long, requires = "data")]
        patient_key: Option<String>,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// Serve as a site
    Node {
        /// The configuration that `init` wrote
        #[arg(long)]
        config: PathBuf,
        /// Die at a given moment: propose, ready, start, connected or the number of a frame; or hang where a run starts
        #[arg(long)]
        drill: Option<Drill>,
    },
    /// Ask a running network
    Query {
        /// The analyst's configuration that `init` wrote
        #[arg(long)]
        config: PathBuf,
        /// The study file, if the configuration names none or another
        #[arg(long)]
        study: Option<PathBuf>,
        /// What to ask, and how to answer
        #[command(flatten)]
        queries: Queries,
    },
    /// The questions of an analyst who has an account at a node
    Jobs {
        /// What to do
        #[command(subcommand)]
        what: JobsCommand,
    },
    /// Which accounts of a node log in over the database protocol
    Account {
        /// What to do
        #[command(subcommand)]
        what: AccountCommand,
    },
    /// Make or revoke a token for the node's web console; it is printed once
    ConsoleToken(TokenCommand),
    /// What a site's stewards do
    #[command(flatten)]
    Steward(StewardCommand),
    /// Measure a protocol or a question
    Bench {
        /// Which
        #[command(subcommand)]
        what: BenchCommand,
    },
    /// A node process of a sandbox
    #[command(hide = true)]
    ChildNode {
        /// Its name
        #[arg(long)]
        name: String,
        /// Its folder
        #[arg(long)]
        data: PathBuf,
        /// The column that identifies a patient
        #[arg(long, allow_hyphen_values = true)]
        patient_key: String,
        /// How long a step waits
        #[arg(long)]
        step_timeout_ms: u64,
        /// When to die
        #[arg(long)]
        drill: Option<Drill>,
        /// Where the network's other files are
        #[arg(long)]
        network_folder: PathBuf,
        /// Where it keeps its ledger
        #[arg(long)]
        state: PathBuf,
    },
    /// A party process of a benchmark
    #[command(hide = true)]
    ChildBench {
        /// Which protocol
        #[arg(value_enum)]
        protocol: Protocol,
        /// Which party
        #[arg(long)]
        party: u8,
        /// How many parties
        #[arg(long)]
        parties: usize,
        /// How many elements
        #[arg(long)]
        elements: usize,
        /// How many runs
        #[arg(long)]
        runs: usize,
        /// Planned for what network
        #[arg(long, value_parser = link)]
        link: Planned,
    },
    /// A party process of a matching
    #[command(hide = true)]
    ChildPsi(psi::Job),
}

/// A folder of sites.
#[derive(Debug, Args)]
pub struct Folder {
    /// The folder; each sub-folder is a site, its CSV and Parquet files are tables
    #[arg(long)]
    pub data: PathBuf,
    /// Override a setting: min_sites=2, step_timeout_ms=2000, tables.person.max_rows=5000
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// The text of queries.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Text {
    /// A query; may be given several times, the queries run in order
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    pub execute: Vec<String>,
    /// A file with one query
    #[arg(long)]
    pub file: Option<PathBuf>,
}

/// Queries and how to answer them.
#[derive(Debug, Args)]
pub struct Queries {
    /// The text
    #[command(flatten)]
    pub text: Text,
    /// How to print the answers
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Who receives the answer
    #[arg(long, value_enum, default_value_t)]
    pub to: To,
    /// What is added to every figure
    #[command(flatten)]
    pub noise: Noise,
}

/// Noise on every figure.
#[derive(Debug, Clone, Args)]
pub struct Noise {
    /// Add noise to every figure: the ε of differential privacy that one query may take, as a decimal number
    #[arg(long)]
    pub epsilon: Option<Epsilon>,
    /// How the noise is distributed
    #[arg(long, value_enum, default_value_t, requires = "epsilon")]
    pub mechanism: Mechanism,
    /// Of Gaussian noise: the probability that the promise may fail with is 10 to the minus this; what the sites' policies allow
    /// where it is not given
    #[arg(long, requires = "epsilon", value_name = "DIGITS")]
    pub delta_digits: Option<u32>,
}

impl Noise {
    /// As the planner takes it.
    ///
    /// # Errors
    /// `BAD_DELTA` for a δ of noise that has none.
    pub fn asked(&self) -> Result<Option<noise::Asked>, NodeError> {
        let kind = match self.mechanism {
            Mechanism::Laplace => noise::Kind::Laplace,
            Mechanism::Gaussian => noise::Kind::Gaussian,
        };
        let mechanism = mechanism(kind, self.delta_digits)?;
        Ok(self.epsilon.map(|epsilon| noise::Asked { epsilon, mechanism }))
    }
}

/// How noise is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mechanism {
    /// Discrete Laplace, for ε alone: less noise of a few figures
    #[default]
    Laplace,
    /// Discrete Gaussian, for ε and δ: less noise of many figures
    Gaussian,
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Lang {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Language {
        match lang {
            Lang::En => Language::English,
            Lang::Zh => Language::Chinese,
        }
    }
}

/// Who receives an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum To {
    /// Sealed: only the analyst
    #[default]
    Analyst,
    /// The analyst and every site
    Everyone,
}

impl From<To> for Audience {
    fn from(to: To) -> Audience {
        match to {
            To::Analyst => Audience::Analyst,
            To::Everyone => Audience::Everyone,
        }
    }
}
