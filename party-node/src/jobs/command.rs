//! `consilium jobs`: what an analyst with an account at a node does from the command line, over the node's control.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use mpc_core::handshake::{ControlStream, HandshakeError};
use serde::de::DeserializeOwned;

use super::answer::{Page, sheet};
use super::control::{JobOrder, Listed, Part, Submission};
use super::job::{At, Job, Refusal as Told, SiteState};
use super::plan_file;
use crate::agree::{Greeting, PROTOCOL_VERSION};
use crate::cli::{Noise, Text, To};
use crate::clock::utc;
use crate::config::{Account, Config};
use crate::connect;
use crate::fault::{NodeError, printable};
use crate::govern::steward::Refusal;
use crate::output::Format;
use crate::state::hex;

/// What is done with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Hand a question to the node, which waits for every site's consent, runs it in turn and keeps the answer
    Submit {
        /// Where
        #[command(flatten)]
        at: Where,
        /// The question
        #[command(flatten)]
        question: Submitted,
        /// Name of the study, if the account may ask in several
        #[arg(long)]
        study: Option<String>,
        /// Who receives the answer
        #[arg(long, value_enum, default_value_t)]
        to: To,
        /// What is added to every figure
        #[command(flatten)]
        noise: Noise,
        /// Digest of the plan that is to run; another one is refused
        #[arg(long)]
        plan: Option<String>,
    },
    /// The account's jobs, the newest first
    List {
        /// Where
        #[command(flatten)]
        at: Where,
        /// As JSON, one job a line
        #[arg(long)]
        json: bool,
    },
    /// Where a job stands, at each site
    Show {
        /// Where
        #[command(flatten)]
        at: Where,
        /// The job, by its first digits
        job: String,
        /// Print every change until it has ended
        #[arg(long)]
        follow: bool,
        /// As JSON, one line for each state
        #[arg(long)]
        json: bool,
    },
    /// A job's answer
    Fetch {
        /// Where
        #[command(flatten)]
        at: Where,
        /// The job, by its first digits
        job: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Take a job back; one that has begun counts as a release all the same
    Cancel {
        /// Where
        #[command(flatten)]
        at: Where,
        /// The job, by its first digits
        job: String,
    },
}

/// What is submitted.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Submitted {
    /// A query; may be given several times, the queries run in order
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    pub execute: Vec<String>,
    /// A file with one query
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// A plan file of an earlier job: its question, study, receiver, noise and time, under its plan and no other
    #[arg(long, conflicts_with_all = ["study", "to", "plan", "epsilon", "mechanism", "delta_digits"])]
    pub plan_file: Option<PathBuf>,
}

/// Which node, and whose jobs.
#[derive(Debug, Args)]
pub struct Where {
    /// The configuration of the node that has the account
    #[arg(long)]
    pub config: PathBuf,
    /// The account, if the node has several
    #[arg(long)]
    pub account: Option<String>,
}

/// Runs a command; `print` is given every piece of text as it comes.
///
/// # Errors
/// As the node's own, `NO_SUCH_ACCOUNT`, `NODE_SILENT`, `NODE_REFUSED`.
pub async fn run(
    command: JobsCommand,
    texts: impl Fn(&Text) -> Result<Vec<String>, NodeError>,
    print: impl Fn(&str) -> Result<(), NodeError>,
) -> Result<(), NodeError> {
    match command {
        JobsCommand::Submit { at, question, study, to, noise, plan } => {
            let node = Node::of(&at)?;
            let Submitted { execute, file, plan_file } = question;
            let submissions = match plan_file {
                Some(file) => vec![plan_file::read(&file)?],
                None => {
                    let plan = plan.map(|text| hex::parse(&text).ok_or_else(bad_digest)).transpose()?;
                    let (audience, noise) = (to.into(), noise.asked()?);
                    let submission =
                        |sql| Submission { sql, study: study.clone(), audience, noise, now_ms: None, plan };
                    texts(&Text { execute, file })?.into_iter().map(submission).collect()
                }
            };
            for submission in submissions {
                let job: Job = node.give(&JobOrder::Submit(submission)).await?;
                print(&format!("{}\n", hex::text(&job.id)))?;
            }
            Ok(())
        }
        JobsCommand::List { at, json } => {
            let (node, mut next) = (Node::of(&at)?, Some(0));
            while let Some(from) = next {
                let listed: Listed = node.give(&JobOrder::List { from }).await?;
                for job in &listed.items {
                    print(&if json { line(job)? } else { short(job) })?;
                }
                next = listed.next;
            }
            Ok(())
        }
        JobsCommand::Show { at, job, follow, json } => {
            let node = Node::of(&at)?;
            let mut shown: Job = node.give(&JobOrder::Show { job: job.clone() }).await?;
            let mut said = String::new();
            loop {
                let text = if json { line(&shown)? } else { long(&shown) };
                if text != said {
                    print(&text)?;
                }
                said = text;
                let after = shown.revision;
                while follow && !shown.state.is_over() && shown.revision <= after {
                    shown = node.give(&JobOrder::Follow { job: job.clone(), after }).await?;
                }
                if shown.revision <= after {
                    return Ok(());
                }
            }
        }
        JobsCommand::Fetch { at, job, format } => {
            let (node, mut pages, mut next) = (Node::of(&at)?, Vec::new(), Some(0));
            while let Some(from) = next {
                let page: Page = node.give(&JobOrder::Fetch { job: job.clone(), from }).await?;
                next = page.next;
                pages.push(page);
            }
            print(&sheet(pages)?.render(format))
        }
        JobsCommand::Cancel { at, job } => {
            let job: Job = Node::of(&at)?.give(&JobOrder::Cancel { job }).await?;
            print(&short(&job))
        }
    }
}

/// A node, as one of its accounts reaches it.
struct Node {
    config: Config,
    account: Account,
    pins: Vec<mpc_core::identity::Pin>,
}

/// How long the node may take to answer a connection, and to do what is ordered.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
const WORK_PATIENCE: Duration = Duration::from_secs(120);

impl Node {
    fn of(at: &Where) -> Result<Self, NodeError> {
        let config = Config::load(&at.config)?;
        let network = config.network()?;
        let mut accounts = config.accounts(&network)?;
        let known: Vec<String> = accounts.iter().map(|account| printable(&account.name)).collect();
        accounts.retain(|account| at.account.as_ref().is_none_or(|name| account.name == *name));
        let (Some(account), true) = (accounts.pop(), accounts.is_empty()) else {
            let message = "the configuration has no such account, or several, and none is named";
            return Err(NodeError::new("NO_SUCH_ACCOUNT", message)
                .hint(format!("name one with --account: {}", known.join(", "))));
        };
        let own = network.site.iter().find(|site| site.name.0 == config.name);
        let pins = own.map(|site| site.pins.clone()).unwrap_or_default();
        Ok(Self { config, account, pins })
    }

    /// One order.
    async fn give<T: DeserializeOwned>(&self, order: &JobOrder) -> Result<T, NodeError> {
        let listen = self.config.listen.ok_or_else(|| NodeError::new("BAD_CONFIG", "a node needs `listen`"))?;
        let from = if listen.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let endpoint = connect::endpoint(from.parse().expect("an address"))?;
        let connection =
            connect::dial_own(&endpoint, &self.account.identity, &self.pins, listen, DIAL_PATIENCE).await?;
        let refused = |e: HandshakeError| {
            NodeError::new("NODE_REFUSED", format!("the node did not answer: {e}")).hint("is it of this version?")
        };
        let said = async {
            let mut control = ControlStream::open(&connection, DIAL_PATIENCE).await?;
            control.send(&Greeting::Jobs { version: PROTOCOL_VERSION }).await?;
            control.send(order).await?;
            let mut all = String::new();
            loop {
                match control.recv_within::<Result<Part, Refusal>>(WORK_PATIENCE).await? {
                    Ok(Part { text, more }) => {
                        all += &text;
                        if !more {
                            return Ok(Ok(all));
                        }
                    }
                    Err(refusal) => return Ok(Err(NodeError::from(refusal))),
                }
            }
        };
        let said = said.await.map_err(refused);
        connection.close(0u32.into(), b"done");
        endpoint.wait_idle().await;
        // serde's message may quote the reply.
        serde_json::from_str(&said??).map_err(|_| refused(HandshakeError::Disagrees("the form of its reply")))
    }
}

fn bad_digest() -> NodeError {
    NodeError::new("BAD_DIGEST", "the digest of a plan has 64 hexadecimal digits")
}

fn line(job: &Job) -> Result<String, NodeError> {
    let text = serde_json::to_string(job).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    Ok(text + "\n")
}

/// One line.
fn short(job: &Job) -> String {
    let code = job.refusal.as_ref().map_or_else(String::new, |why| format!(" {}", printable(&why.code)));
    let (id, when, study) = (&hex::text(&job.id)[..12], utc(job.submitted_ms), printable(&job.study));
    format!("{id}  {}{code}  {when}  {study}  {}\n", job.state.name(), printable(&job.sql))
}

/// One line and one for each site.
fn long(job: &Job) -> String {
    let mut text = short(job);
    job.sites.iter().for_each(|site| text += &format!("  {}\n", at(site)));
    if let Some(Told { code, message, hint }) = &job.refusal {
        text += &format!("  {}: {}\n", printable(code), printable(message));
        hint.iter().for_each(|hint| text += &format!("  help: {}\n", printable(hint)));
    }
    if let (Some(rows), Some(cost)) = (job.rows, job.cost) {
        text += &format!("  {rows} rows; {} rounds, {} bytes, {} ms\n", cost.rounds, cost.bytes, cost.wall_ms);
    }
    text
}

fn at(site: &SiteState) -> String {
    let state = match site.state {
        At::Asked => "asked",
        At::Waiting => "waiting",
        At::Rejected => "refused",
        At::Approved => "consents",
        At::Running => "running",
        At::Done => "done",
        At::Failed => "failed",
        At::Silent => "silent",
    };
    let mut text = format!("{}: {state} since {}", site.site, utc(site.since_ms));
    if let Some(waits) = &site.waits_for {
        let consents: Vec<String> = waits.consents.iter().map(|name| printable(name)).collect();
        let said = if consents.is_empty() {
            "nobody has said yes".into()
        } else {
            format!("{} said yes", consents.join(", "))
        };
        text += &format!(", plan {}, {} to say yes, {said}", printable(&waits.plan), waits.needs);
    }
    if let Some(step) = &site.step {
        text += &format!(
            ", at {}, round {} of {}, {} bytes sent",
            printable(&step.path),
            step.round,
            step.rounds,
            site.bytes
        );
    }
    if let Some(why) = &site.refusal {
        text += &format!(", {}", printable(&why.code));
    }
    text
}
