//! Benchmarks over loopback: every party its own process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mpc_core::handshake::ControlStream;
use mpc_core::identity::Identity;
use mpc_core::session::SessionId;
use mpc_core::transport::Transport;
use mpc_core::{Parties, PartyId, Session};
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
use crate::network::{NETWORK_VERSION, Network, Reach, SiteEntry};

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
    let names = (0..hellos.len()).map(|i| format!("party_{i}"));
    named_network(names, hellos)
}

/// A network of the parties that say hello.
pub(super) fn named_network(names: impl Iterator<Item = String>, hellos: Vec<Hello>) -> Network {
    let site = names.zip(hellos).map(|(name, hello)| SiteEntry {
        name: SiteName(name),
        address: hello.address,
        pins: vec![hello.pin],
        schema: hello.schema,
        reach: Reach::Both,
    });
    Network { version: NETWORK_VERSION, settings: Settings::default(), site: site.collect(), analyst: Vec::new() }
}

/// One party's process.
///
/// # Errors
/// What stopped it; the parent was told too.
pub async fn party_process(bench: Bench, party: PartyId) -> Result<(), NodeError> {
    let joining = Joining::introduce().await?;
    let measured = measured(bench, party, &joining).await;
    children::tell(&Line::from(measured))?;
    joining.endpoint.wait_idle().await;
    Ok(())
}

async fn measured(bench: Bench, me: PartyId, joining: &Joining) -> Result<(Found, f64), NodeError> {
    let (session, _controls) = joining.session(me).await?;
    let (session, result) = program(session, bench).await;
    let found = joining.end(&session, result).await?;
    Ok((found, peak_rss_mb()))
}

/// A party process that knows its network.
pub(super) struct Joining {
    identity: Identity,
    pub endpoint: quinn::Endpoint,
    network: Network,
    // A dropped parent would end the thread that reads its lines.
    _parent: Parent,
}

impl Joining {
    /// Tells the parent key and address, hears from it of the others, and listens.
    pub async fn introduce() -> Result<Self, NodeError> {
        let mut parent = Parent::listen();
        let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
        let (endpoint, address) = loopback()?;
        let schema = SiteSchema::default();
        children::tell(&Line::Ok(Hello { pin: identity.pin(), address, schema, doubts: Vec::new() }))?;
        let network = parent.network().await?;
        connect::listen(&endpoint, &identity, &network, connect::idle(DEADLINE))?;
        Ok(Self { identity, endpoint, network, _parent: parent })
    }

    /// A session of all parties, and the control streams, which stay open as long as it lasts.
    pub async fn session(&self, me: PartyId) -> Result<(Session, HashMap<PartyId, ControlStream>), NodeError> {
        let Self { identity, endpoint, network, .. } = self;
        let links = connect::mesh(endpoint, identity, network, me, [0; 16], DEADLINE).await?;
        let parties = Parties::sites_only(network.site.len());
        let parties =
            parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "a benchmark has 2 to 20 parties"))?;
        // Fresh keys made this network: its digest names the session.
        let place = Place { me, parties, id: SessionId(network.digest()), deadline: DEADLINE };
        let keep = |transport: Arc<dyn Transport>| transport;
        connect::session(place, links, keep, std::future::pending()).await
    }

    /// Ends a session in good order, or says to the others why not.
    pub async fn end<T>(&self, session: &Session, result: mpc_core::Result<T>) -> Result<T, NodeError> {
        let ended = match result {
            Ok(found) => session.finish().await.map(|()| found),
            Err(error) => {
                session.abort(&error);
                Err(error)
            }
        };
        ended.map_err(|error| self.explain(&error))
    }

    /// Says what stopped a session.
    pub fn explain(&self, error: &mpc_core::Error) -> NodeError {
        blame::explain(error, &self.network)
    }
}
