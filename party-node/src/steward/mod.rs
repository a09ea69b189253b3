//! `consilium inbox`, `approve` and the other commands of a site's stewards.

mod args;
mod reach;
mod words;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use mpc_core::identity::Identity;

use args::{At, By};
pub use args::{AuditCommand, StewardCommand};
use reach::{Reach, pins_of};

use crate::cli::Lang;
use crate::config::{self, Config, missing};
use crate::fault::NodeError;
use crate::govern::steward::{Budget, Entry, Line, Order, Proof, Question, Reply};
use crate::govern::study::Study;
use crate::network::Network;
use crate::secret_file;
use crate::state::audit::verify_export;
use crate::state::now_ms;

/// Runs a command; what it prints.
///
/// # Errors
/// As [`perform`](crate::govern::steward::perform), and what is wrong with the site's files.
pub async fn run(command: StewardCommand) -> Result<String, NodeError> {
    match command {
        StewardCommand::Inbox { at, plan: None, .. } => Ok(words::inbox(&inbox(&open(&at)?, None).await?)),
        StewardCommand::Inbox { at, plan: Some(plan), lang } => {
            let chinese = lang == Lang::Zh;
            text(&open(&at)?, |from| Order::Plan { plan: plan.clone(), chinese, from }).await
        }
        StewardCommand::Approve { at, plan, days, by, steward_key } => approve(&at, &plan, days, by, steward_key).await,
        StewardCommand::Reject { at, plan, reason, by } => {
            once(&at, Order::Reject { plan, reason, note: by.name }).await
        }
        StewardCommand::Withdraw { at, plan, by } => once(&at, Order::Withdraw { plan, note: by.name }).await,
        StewardCommand::DryRun { at, plan, execute } => {
            let of = execute.map(Question::Sql).or(plan.map(Question::Waiting));
            let of = of.ok_or_else(|| NodeError::new("NO_QUESTION", "a dry run is of a plan or a question"))?;
            once(&at, Order::DryRun(of)).await
        }
        StewardCommand::Ledger { at, study } => {
            let (releases, budgets) = ledger(&open(&at)?, study).await?;
            Ok(words::ledger(&releases, &budgets))
        }
        StewardCommand::Audit { what } => audit(what).await,
        StewardCommand::Forget { at, study } => {
            let study = Study::read(&study)?.digest();
            once(&at, Order::Forget { study }).await
        }
        StewardCommand::StewardKey { out } => {
            let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
            secret_file::create(&out, identity.pkcs8())?;
            Ok(format!(
                "made {}, which stays with its steward; the pin for the policy:\n{}\n",
                out.display(),
                identity.pin()
            ))
        }
    }
}

async fn audit(what: AuditCommand) -> Result<String, NodeError> {
    match what {
        AuditCommand::Show { at, release } => {
            text(&open(&at)?, |from| Order::Trail { release: release.clone(), from }).await
        }
        AuditCommand::Verify { at, file, pins } => {
            let config = Config::load(&at.config)?;
            let mut known = Vec::new();
            for file in pins {
                known.extend(pins_of(&Network::from_toml(&config::read(&file)?)?, &config.name));
            }
            match file {
                Some(file) => {
                    known.extend(pins_of(&config.network()?, &config.name));
                    let summary = verify_export(File::open(&file).map_err(|e| missing(&file, &e))?, &known)?;
                    let keys = summary.keys.iter().map(|key| key.pin()).collect::<Vec<_>>();
                    Ok(words::verified(summary.head.seq, &summary.head.hash, summary.times_ms, &keys))
                }
                None => once(&at, Order::Verify { pins: known }).await,
            }
        }
        AuditCommand::Export { at, out } => export(&open(&at)?, &out).await,
    }
}

fn open(at: &At) -> Result<Reach, NodeError> {
    Reach::open(Config::load(&at.config)?, false)
}

/// An order whose reply is printed.
async fn once(at: &At, order: Order) -> Result<String, NodeError> {
    let site = Reach::open(Config::load(&at.config)?, order.needs_data())?;
    words::reply(site.give(order).await?).ok_or_else(unexpected)
}

async fn approve(at: &At, name: &str, days: u32, by: By, key: Option<PathBuf>) -> Result<String, NodeError> {
    let site = open(at)?;
    let waiting = inbox(&site, Some(name.to_owned())).await?;
    let [Entry { plan, .. }] = waiting[..] else { return Err(unexpected()) };
    let proof = match key {
        Some(file) => Some(Proof::sign(&config::key(&file)?, &plan, site.pin(), days, now_ms())),
        None => None,
    };
    let reply = site.give(Order::Approve { plan, days, note: by.name, proof }).await?;
    words::reply(reply).ok_or_else(unexpected)
}

async fn inbox(site: &Reach, plan: Option<String>) -> Result<Vec<Entry>, NodeError> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let Reply::Inbox { plans, next: then } = site.give(Order::Inbox { plan: plan.clone(), from }).await? else {
            return Err(unexpected());
        };
        all.extend(plans);
        next = then;
    }
    Ok(all)
}

async fn ledger(site: &Reach, study: Option<String>) -> Result<(Vec<Line>, Vec<Budget>), NodeError> {
    let (mut all, mut left, mut next) = (Vec::new(), Vec::new(), Some(0));
    while let Some(from) = next {
        let order = Order::Ledger { study: study.clone(), from };
        let Reply::Ledger { releases, budgets, next: then } = site.give(order).await? else {
            return Err(unexpected());
        };
        all.extend(releases);
        left.extend(budgets);
        next = then;
    }
    Ok((all, left))
}

async fn text(site: &Reach, order: impl Fn(u64) -> Order) -> Result<String, NodeError> {
    let (mut all, mut next) = (String::new(), Some(0));
    while let Some(from) = next {
        let Reply::Text { text, next: then } = site.give(order(from)).await? else { return Err(unexpected()) };
        all += &text;
        next = then;
    }
    Ok(all)
}

async fn export(site: &Reach, out: &Path) -> Result<String, NodeError> {
    let failed = |e: std::io::Error| missing(out, &e);
    let mut file = OpenOptions::new().write(true).create_new(true).open(out).map_err(failed)?;
    let (mut next, mut written) = (Some(0), 0);
    while let Some(from) = next {
        let Reply::Export { bytes, next: then } = site.give(Order::Export { from }).await? else {
            return Err(unexpected());
        };
        file.write_all(&bytes).map_err(failed)?;
        written += bytes.len();
        next = then;
    }
    file.sync_all().map_err(failed)?;
    Ok(format!("{}: {written} bytes; the last line is the seal\n", out.display()))
}

fn unexpected() -> NodeError {
    NodeError::new("NODE_REFUSED", "the node answered something else").hint("is it of this version?")
}
