//! Benchmarks over loopback: every party its own process.

use std::sync::Arc;
use std::time::Duration;

use mpc_core::identity::Identity;
use mpc_core::session::SessionId;
use mpc_core::transport::Transport;
use mpc_core::{Parties, PartyId};
use protocols::additive::demand::Link as Planned;
use query_planner::Settings;
use query_planner::catalog::SiteName;
use query_planner::merge::SiteSchema;

use super::measure::{Found, peak_rss_mb, program, slowest, summary};
use super::{Bench, Measurement};
use crate::blame;
use crate::child::loopback;
use crate::children::{self, Children, Hello, Line, Parent};
use crate::connect::{self, Place};
use crate::fault::NodeError;
use crate::network::{NETWORK_VERSION, Network, SiteEntry};

/// No step of a benchmark waits longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Starts the parties, introduces them, waits for their findings.
pub fn run(bench: Bench) -> Result<Measurement, NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| NodeError::new("CANNOT_START", e.to_string()))?;
    runtime.block_on(async {
        let command = |i: usize| {
            let mut arguments = vec!["child-bench".to_owned(), bench.protocol.name().into()];
            let numbers =
                [("--party", i), ("--parties", bench.parties), ("--elements", bench.elements), ("--runs", bench.runs)];
            let link =
                Planned::NAMES.into_iter().find(|(_, link)| *link == bench.link).map_or("local", |(name, _)| name);
            arguments.extend(["--link".to_owned(), link.to_owned()]);
            arguments.extend(numbers.iter().flat_map(|(flag, n)| [(*flag).to_owned(), n.to_string()]));
            (format!("party_{i}"), arguments)
        };
        let mut children = Children::start((0..bench.parties).map(command).collect())?;
        let hellos: Vec<Hello> = children.lines().await?;
        children.introduce(&network(hellos).checked()?).await?;
        let found: Vec<(Found, f64)> = children.lines().await?;
        let peak = found.iter().map(|(_, rss)| *rss).fold(0.0, f64::max);
        let found: Vec<Found> = found.into_iter().map(|(f, _)| f).collect();
        let times = |times| (0..bench.runs).map(|run| slowest(&found, run, times)).collect();
        Ok(summary(bench, [times(|f| &f.seconds), times(|f| &f.online_seconds)], &found, peak, None))
    })
}

fn network(hellos: Vec<Hello>) -> Network {
    let site = hellos.into_iter().enumerate().map(|(i, hello)| SiteEntry {
        name: SiteName(format!("party_{i}")),
        address: hello.address,
        pins: vec![hello.pin],
        schema: hello.schema,
    });
    Network { version: NETWORK_VERSION, settings: Settings::default(), site: site.collect(), analyst: Vec::new() }
}

/// One party's process.
///
/// # Errors
/// What stopped it; the parent was told too.
pub async fn party_process(bench: Bench, party: PartyId) -> Result<(), NodeError> {
    let mut parent = Parent::listen();
    let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    let (endpoint, address) = loopback()?;
    children::tell(&Line::Ok(Hello {
        pin: identity.pin(),
        address,
        schema: SiteSchema::default(),
        doubts: Vec::new(),
    }))?;
    let network = parent.network().await?;
    connect::listen(&endpoint, &identity, &network, connect::idle(DEADLINE))?;
    let measured = measured(bench, party, &identity, &network, &endpoint).await;
    children::tell(&Line::from(measured))?;
    endpoint.wait_idle().await;
    Ok(())
}

async fn measured(
    bench: Bench,
    me: PartyId,
    identity: &Identity,
    network: &Network,
    endpoint: &quinn::Endpoint,
) -> Result<(Found, f64), NodeError> {
    let links = connect::mesh(endpoint, identity, network, me, [0; 16], DEADLINE).await?;
    let parties = Parties::sites_only(bench.parties);
    let parties = parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "a benchmark has 2 to 20 parties"))?;
    // Fresh keys made this network: its digest names the session.
    let place = Place { me, parties, id: SessionId(network.digest()), deadline: DEADLINE };
    let keep = |transport: Arc<dyn Transport>| transport;
    let (session, _controls) = connect::session(place, links, keep).await?;
    let (session, result) = program(session, bench).await;
    let ended = match result {
        Ok(found) => session.finish().await.map(|()| found),
        Err(error) => {
            session.abort(&error);
            Err(error)
        }
    };
    let found = ended.map_err(|error| blame::explain(&error, network))?;
    Ok((found, peak_rss_mb()))
}
