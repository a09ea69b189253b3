//! `consilium explain`: what a question would do, reveal and need, without running it.

use std::path::PathBuf;

use query_planner::{Audience, Catalog, Compiled, Language, Options, PlanError, dpia, explain, grants, noise};

use crate::analyst::options_now;
use crate::config;
use crate::execute;
use crate::fault::NodeError;
use crate::govern::study::Study;
use crate::linkage::Agreed;
use crate::network::{AnalystEntry, Network};
use crate::sandbox::Sandbox;

/// The plan of a question, also of one that some site's published policy refuses, with that refusal: whoever looks at it may want to
/// change the policy. Such a plan has another digest than the one that would run.
///
/// # Errors
/// What the planner refuses by itself.
pub fn planned_anyway(
    sql: &str,
    catalog: &Catalog,
    options: &Options,
) -> Result<(Compiled, Option<PlanError>), PlanError> {
    match query_planner::plan(sql, catalog, options) {
        Ok(compiled) => Ok((compiled, None)),
        Err(why) => Ok((query_planner::plan(sql, &grants::without_policies(catalog), options)?, Some(why))),
    }
}

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The whole plan.
    Plan,
    /// What it reveals.
    Disclosures,
    /// The policies under which it runs, where no cell of fewer patients than this is shown.
    Grants(u32),
    /// An annex for an impact assessment.
    Annex,
}

/// How it is explained.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which part.
    pub what: Wanted,
    /// Of disclosures and annex.
    pub language: Language,
    /// The study file, for the annex.
    pub study: Option<PathBuf>,
    /// Who would receive the answer.
    pub audience: Audience,
    /// What would be added to every figure.
    pub noise: Option<noise::Asked>,
}

/// What it is planned against.
#[derive(Debug, Clone)]
pub enum Planned {
    /// A network file.
    Network(PathBuf),
    /// A folder of sites and settings for it, as for the sandbox.
    Folder(PathBuf, Vec<String>),
}

impl Planned {
    /// The catalogue.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub fn catalog(&self) -> Result<Catalog, NodeError> {
        match self {
            Planned::Network(file) => {
                let network = Network::from_toml(&config::read(file)?)?;
                network.catalog(Agreed::read_beside(&network.settings, file)?.as_ref())
            }
            Planned::Folder(folder, set) => Sandbox::open(folder, set)?.catalog(),
        }
    }

    /// Who sees the answers of which analysts besides themselves: a paragraph for the plan, or nothing.
    ///
    /// # Errors
    /// Whatever is wrong with the network file.
    pub fn homes(&self) -> Result<String, NodeError> {
        let Planned::Network(file) = self else { return Ok(String::new()) };
        let network = Network::from_toml(&config::read(file)?)?;
        Ok(network.analyst.iter().map(AnalystEntry::seen_through).collect())
    }
}

/// The text.
///
/// # Errors
/// Whatever is wrong with the study file, and what the planner refuses; what sites have published of their policies is not asked where
/// the question is what they would have to allow.
pub fn explained(sql: &str, catalog: &Catalog, asked: &Asked) -> Result<String, NodeError> {
    let plan = |catalog: &Catalog| query_planner::plan(sql, catalog, &options_now(asked.audience, asked.noise));
    Ok(match asked.what {
        Wanted::Grants(least) => {
            let catalog = grants::showing_none_below(grants::without_policies(catalog), least);
            grants::needed_everywhere(&plan(&catalog)?.joint, least)
        }
        Wanted::Plan => {
            let compiled = plan(catalog)?;
            explain::explain_with(&compiled, &execute::forecast(&compiled.joint))
        }
        Wanted::Disclosures => explain::disclosures(&plan(catalog)?.joint, asked.language),
        Wanted::Annex => annex(&plan(catalog)?, asked)?,
    })
}

fn annex(compiled: &Compiled, asked: &Asked) -> Result<String, NodeError> {
    let study = asked.study.as_deref().map(Study::read).transpose()?;
    let purpose = study.map(|study| study.purpose());
    let prepared = execute::prepared(&compiled.joint).map(|cost| (u64::from(cost.rounds), cost.bytes));
    Ok(dpia::annex(&compiled.joint, purpose.as_ref(), prepared, asked.language))
}
