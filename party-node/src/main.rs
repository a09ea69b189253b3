//! The `consilium` binary.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mpc_core::PartyId;
use party_node::analyst::{Analyst, Listener, Question, Quiet, Terminal, Who, options_now};
use party_node::bench::questions::Question as BenchQuestion;
use party_node::bench::{self, Bench, Network, Protocol};
use party_node::cli::{AskedOf, BenchCommand, Cli, Command, Pair, Queries, Shares, Text};
use party_node::config::{self, Config};
use party_node::fault::{NodeError, printable};
use party_node::network::Reach;
use party_node::output::Format;
use party_node::plans::{self, Asked, Planned, Wanted};
use party_node::sandbox::Sandbox;
use party_node::{check, child, connect, console, data_check, demo, jobs, linkage, serve, steward, wire};
use query_planner::catalog::SiteName;
use query_planner::site_policy::LEAST_PATIENTS;

fn main() -> ExitCode {
    // Memory holds shares and rows: a crash must not leave it on the disk. Where the system has no such limit, it has no core
    // files of this kind either.
    let _ = rlimit::Resource::CORE.set(0, 0);
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        // One thread drives the network: a small message then takes 14 µs instead of 100. Local work has its own.
        Ok(runtime) => match command {
            Command::Bench { what } => measure(what),
            other => runtime.block_on(run(other)),
        },
        Err(error) => Err(NodeError::new("CANNOT_START", error.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), NodeError> {
    match command {
        Command::Demo { format } => demo::run(format).await,
        Command::Sandbox { folder, queries, state, drill } => {
            let mut sandbox = Sandbox::open(&folder.data, &folder.set)?;
            sandbox.state = state;
            sandbox.drill = drill.map(|text| parse_drill(&text, &sandbox)).transpose()?;
            let running = sandbox.start(listener()).await?;
            let asked = ask_all(&running.analyst, &queries).await;
            running.close().await;
            asked
        }
        Command::Explain {
            disclosure,
            grants,
            min_patients,
            study,
            dpia,
            lang,
            network,
            data,
            set,
            text,
            to,
            noise,
        } => {
            let what = if disclosure {
                Wanted::Disclosures
            } else if grants {
                Wanted::Grants(min_patients.unwrap_or(LEAST_PATIENTS))
            } else if dpia {
                Wanted::Annex
            } else {
                Wanted::Plan
            };
            let from = network.map_or_else(|| Planned::Folder(data.unwrap_or_default(), set), Planned::Network);
            let catalog = from.catalog()?;
            let asked = Asked { what, language: lang.into(), study, audience: to.into(), noise: noise.asked()? };
            for sql in texts(&text)? {
                print(&plans::explained(&sql, &catalog, &asked)?)?;
                if asked.what == Wanted::Plan {
                    print(&from.homes()?)?;
                }
            }
            Ok(())
        }
        Command::ConsoleToken(command) => print(&console::tokens::run(command)?),
        Command::Steward(command) => print(&steward::run(command).await?),
        Command::Init { dir, name, data, listen, settings, profile, policy, analyst, at, only_dials } => {
            let reach = if only_dials { Reach::Out } else { Reach::Both };
            let mut settings = settings.map(|file| config::linked_settings(&file)).transpose()?.unwrap_or_default().0;
            settings.profile = settings.profile.or(profile);
            let public = match (analyst, data, listen) {
                (false, Some(data), Some(listen)) => {
                    config::init_site(&dir, &name, &data, listen, &settings, policy.as_deref(), reach)?
                }
                _ => config::init_analyst(&dir, &name, at.map(SiteName))?,
            };
            print(&format!("made a key that stays in {}; give {} to the others\n", dir.display(), public.display()))
        }
        Command::Enroll { out, settings, profile, files } => {
            let network = config::enroll(&files, settings.as_deref(), profile)?;
            config::write(&out, &network.to_toml()?)?;
            print(&format!("{}: {} sites, digest {}\n", out.display(), network.site.len(), hex(&network.digest())))
        }
        Command::Check { config, data } => match (&data.data, config) {
            (None, Some(config)) => check::run(&config).await,
            (_, config) => data_check::run(config.as_deref(), &data, print),
        },
        Command::Linkage { file, data, table, patient_key, format } => {
            let (table, patient_key) = (table.as_deref(), patient_key.as_deref());
            let identities = linkage::command::Identities { data: data.as_deref(), table, patient_key };
            print(&linkage::command::run(&file, identities, format)?)
        }
        Command::Node { config, drill } => serve::run(&Config::load(&config)?, drill).await,
        Command::Jobs { what } => jobs::command::run(what, texts, print).await,
        Command::Account { what } => print(&wire::accounts::run(what)?),
        Command::Query { config, study, queries } => {
            let config = Config::load(&config)?;
            let (identity, network) = (config.identity()?, config.network()?);
            if !network.is_analyst(identity.pin()) {
                let message =
                    format!("the key of {} may not ask: it belongs to no analyst of the network file", config.name);
                return Err(NodeError::new("NOT_AN_ANALYST", message).hint("enroll the analyst's public file"));
            }
            let catalog = network.catalog(config.linkage(&network)?.as_ref())?;
            let endpoint = connect::endpoint(([0, 0, 0, 0], 0).into())?;
            let deadline = config.deadline();
            let study = config.study(study.as_deref())?;
            let who = Who { identity: identity.into(), network: network.into(), catalog: catalog.into() };
            ask_all(&Analyst::new(who, study, endpoint, deadline, listener()), &queries).await
        }
        Command::ChildNode { name, data, patient_key, step_timeout_ms, drill, network_folder, state } => {
            let deadline = Duration::from_millis(step_timeout_ms);
            let folders = child::Folders { data: &data, network: &network_folder, state: &state };
            child::run(SiteName(name), folders, &patient_key, deadline, drill).await
        }
        Command::ChildBench { protocol, party, parties, elements, runs, link } => {
            let bench = Bench { protocol, parties, elements, network: Network::Loopback, link, runs };
            bench::party_process(bench, PartyId(party)).await
        }
        Command::ChildPsi(job) => bench::psi::party_process(job).await,
        Command::Bench { .. } => unreachable!("benchmarks make their own runtimes, see main"),
    }
}

async fn ask_all(analyst: &Analyst, queries: &Queries) -> Result<(), NodeError> {
    for sql in texts(&queries.text)? {
        let question = Question { sql: &sql, options: options_now(queries.to.into(), queries.noise.asked()?) };
        print(&analyst.ask(question).await?.render(queries.format))?;
    }
    Ok(())
}

fn texts(text: &Text) -> Result<Vec<String>, NodeError> {
    match &text.file {
        Some(file) => Ok(vec![config::read(Path::new(file))?]),
        None => Ok(text.execute.clone()),
    }
}

fn parse_drill(text: &str, sandbox: &Sandbox) -> Result<(SiteName, String), NodeError> {
    let no_drill = || NodeError::new("BAD_DRILL", "a drill in the sandbox is SITE:WHEN");
    let (site, when) = text.split_once(':').ok_or_else(no_drill)?;
    when.parse::<party_node::drill::Drill>()?;
    match sandbox.sites.iter().find(|(name, _)| name.same(&SiteName(site.into()))) {
        Some((name, _)) => Ok((name.clone(), when.into())),
        None => Err(NodeError::new("BAD_DRILL", format!("there is no site {}", printable(site)))),
    }
}

fn measure(what: BenchCommand) -> Result<(), NodeError> {
    let shared = |protocol, shares: Shares| print_found(&bench::run(shares.of(protocol))?, shares.format);
    let pair = |protocol, pair: Pair| print_found(&bench::run(pair.of(protocol))?, pair.format);
    let asked = |question, elements, asked: AskedOf| {
        print_found(&bench::questions::run(asked.of(question, elements))?, asked.format)
    };
    match what {
        BenchCommand::Sum(shares) => shared(Protocol::Sum, shares),
        BenchCommand::Sum128(shares) => shared(Protocol::Sum128, shares),
        BenchCommand::Mul(shares) => shared(Protocol::Mul, shares),
        BenchCommand::And(shares) => shared(Protocol::And, shares),
        BenchCommand::Compare(shares) => shared(Protocol::Compare, shares),
        BenchCommand::Sort(shares) => shared(Protocol::Sort, shares),
        BenchCommand::Triples(shares) => shared(Protocol::Triples, shares),
        BenchCommand::PsiCount(sets) => pair(Protocol::PsiCount, sets),
        BenchCommand::PsiSum(sets) => pair(Protocol::PsiSum, sets),
        BenchCommand::Psi { matching, format } => print_found(&bench::psi::run(matching)?, format),
        BenchCommand::Distinct { elements, asked: of } => asked(BenchQuestion::Distinct, elements, of),
        BenchCommand::Aspirin { elements, asked: of } => asked(BenchQuestion::Aspirin, elements, of),
        BenchCommand::Recurrence { elements, asked: of } => asked(BenchQuestion::Recurrence, elements, of),
    }
}

fn print_found(found: &impl serde::Serialize, format: Format) -> Result<(), NodeError> {
    print(&bench::render(found, format)?)
}

fn print(text: &str) -> Result<(), NodeError> {
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|e| NodeError::new("CANNOT_PRINT", e.to_string()))
}

/// Progress goes to people, not to files.
fn listener() -> Arc<dyn Listener> {
    if std::io::stderr().is_terminal() { Arc::new(Terminal) } else { Arc::new(Quiet) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
