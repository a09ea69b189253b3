//! `consilium check --data`: what is odd about a site's own tables, before anybody asks about them. The report is for the site itself: it
//! has full counts, names of tables and columns, and never a value of a row.

mod findings;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use query_planner::{Profile, Settings};

pub use findings::{Finding, Severity};
pub use report::{ColumnReport, Report, TableReport};

use crate::config::{self, Config};
use crate::fault::NodeError;
use crate::govern::gate::Posted;
use crate::source::survey::{self, Place};
use crate::state::now_ms;

/// What is looked at, and how it is told.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArgs {
    /// Look at the tables alone and report what is odd about them: those of the configuration, or of this folder
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    pub data: Option<Option<PathBuf>>,
    /// For --data: the network's settings, where no configuration names a network file
    #[arg(long, requires = "data")]
    pub settings: Option<PathBuf>,
    /// For --data: tables of a known form, such as omop-5.4
    #[arg(long, requires = "data", value_parser = profile)]
    pub profile: Option<Profile>,
    /// For --data: how to print
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReportFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on one line.
    Json,
}

/// A profile by its name.
///
/// # Errors
/// The names there are.
pub fn profile(name: &str) -> Result<Profile, String> {
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::named(name).ok_or_else(|| format!("known profiles: {}", known()))
}

/// Looks at the tables and prints the report.
///
/// # Errors
/// `DATA_HAS_ERRORS` when one of the findings is an error; `WHICH_DATA` when nothing says where the tables are; what is wrong with the
/// configuration, and with the folder or database as a whole.
pub fn run(
    config: Option<&Path>,
    args: &DataArgs,
    print: impl Fn(&str) -> Result<(), NodeError>,
) -> Result<(), NodeError> {
    let (place, settings) = wanted(config, args)?;
    let report = look(&place, &settings, today())?;
    print(&match args.format {
        ReportFormat::Text => report.to_text(),
        ReportFormat::Json => report.to_json()?,
    })?;
    match report.errors {
        0 => Ok(()),
        n => Err(NodeError::new("DATA_HAS_ERRORS", format!("{n} of the findings are errors"))),
    }
}

/// The report on tables as these settings declare them; `today` is a day since 1970-01-01.
///
/// # Errors
/// What is wrong with the folder or database as a whole.
pub fn look(place: &Place, settings: &Settings, today: i32) -> Result<Report, NodeError> {
    Ok(Report::new(settings, &survey::survey(place, settings, today)?))
}

fn wanted(config: Option<&Path>, args: &DataArgs) -> Result<(Place, Settings), NodeError> {
    let config = config.map(Config::load).transpose()?;
    let mut settings = match (&config, &args.settings) {
        (_, Some(file)) => config::linked_settings(file)?.0,
        (Some(config), None) => {
            let network = config.network()?;
            let linkage = config.linkage(&network)?;
            config::with_linkage(network.settings, linkage.as_ref())
        }
        (None, None) => Settings::default(),
    };
    settings.profile = args.profile.or(settings.profile);
    let place = match (args.data.clone().flatten(), config) {
        (Some(folder), _) => {
            let list = Posted::beside(&folder)?.and_then(|posted| posted.opt_out());
            Place::Folder(folder, list)
        }
        (None, Some(config)) => {
            let list = config.policy()?.opt_out();
            match (config.data, config.postgres) {
                (Some(folder), _) => Place::Folder(folder, list),
                (None, Some(database)) => Place::Database(database),
                (None, None) => return Err(nowhere()),
            }
        }
        (None, None) => return Err(nowhere()),
    };
    Ok((place, settings))
}

fn nowhere() -> NodeError {
    NodeError::new("WHICH_DATA", "nothing says where the tables are")
        .hint("say --data FOLDER, or --data --config node.toml of a site")
}

fn today() -> i32 {
    i32::try_from(now_ms() / DAY_MS).unwrap_or(i32::MAX)
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
