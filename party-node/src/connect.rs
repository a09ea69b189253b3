//! Connections of one session: dial some sites, wait for the others, agree a seed with each.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use mpc_core::handshake::{ControlStream, HandshakeError, pair_seed};
use mpc_core::identity::{Identity, Pin};
use mpc_core::random::{PairSeed, PrivateSeed};
use mpc_core::session::{Seeds, SessionId, Setup};
use mpc_core::transport::quic::{self, QuicTransport};
use mpc_core::transport::{AbortNotice, Transport, tls};
use mpc_core::{Parties, PartyId, Session};
use quinn::{Connection, Endpoint};
use tokio::time::timeout;

use crate::agree::{Greeting, PROTOCOL_VERSION, RunId};
use crate::fault::{NodeError, printable};
use crate::network::{Network, SiteEntry};

/// A site links to all others within its deadline and agrees seeds with them within one margin more. The analyst has two: it
/// agrees seeds once every site has entered, so that one lost site silences it too. The session waits with three margins
/// more: whoever waits for the lost site itself gives up, and says so, before those who wait for the messenger. Who lets steps
/// wait longer, for a slow machine or network, has longer margins too.
fn stage_margin(deadline: Duration) -> Duration {
    (deadline / 8).max(Duration::from_millis(400))
}

/// How long a connection may be silent before it counts as lost, given how long a step may wait. Kept alive at a quarter of
/// it.
pub fn idle(deadline: Duration) -> Duration {
    deadline.clamp(Duration::from_secs(1), Duration::from_secs(10))
}

/// A connection with its control stream.
pub struct Link {
    /// The connection.
    pub connection: Connection,
    /// Its one control stream.
    pub control: ControlStream,
}

/// Who a party is in a session, and how long it waits.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its number.
    pub me: PartyId,
    /// Everybody.
    pub parties: Parties,
    /// What they agreed on.
    pub id: SessionId,
    /// How long a step waits for a message.
    pub deadline: Duration,
}

/// Dials a site and accepts only the keys pinned for it.
///
/// # Errors
/// `SITE_UNREACHABLE` when nobody answers in time, `KEY_NOT_PINNED` when somebody else does.
pub async fn dial(
    endpoint: &Endpoint,
    identity: &Identity,
    network: &Network,
    site: usize,
    patience: Duration,
    idle: Duration,
) -> Result<Connection, NodeError> {
    let entry = &network.site[site];
    dial_at((endpoint, entry.address), identity, entry, patience, idle).await
}

/// Dials a site at the address where it is now.
///
/// # Errors
/// As [`dial`].
pub async fn dial_at(
    (endpoint, address): (&Endpoint, SocketAddr),
    identity: &Identity,
    entry: &SiteEntry,
    patience: Duration,
    idle: Duration,
) -> Result<Connection, NodeError> {
    let mut last = unreachable(&entry.name.0, address, "no key is pinned for it");
    for pin in &entry.pins {
        match dial_pin(endpoint, identity, *pin, address, patience, idle).await {
            Ok(connection) => return Ok(connection),
            Err(why) if why.contains(tls::NOT_PINNED) => {
                let message = format!("the node at {address} does not own the key pinned for site {}", entry.name.0);
                last = NodeError::new("KEY_NOT_PINNED", message)
                    .hint("compare the pin in the network file with what `consilium check` prints at that site");
            }
            Err(why) => last = unreachable(&entry.name.0, address, &printable(&why)),
        }
    }
    Err(last)
}

/// Dials a node that runs on this machine under one of these keys.
///
/// # Errors
/// `NODE_SILENT`.
pub async fn dial_own(
    endpoint: &Endpoint,
    identity: &Identity,
    pins: &[Pin],
    listen: SocketAddr,
    patience: Duration,
) -> Result<Connection, NodeError> {
    // A node that listens on every address is reached on this machine's own.
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, listen.port())),
        _ => listen,
    };
    let mut last = "no key is pinned for it".to_owned();
    for pin in pins {
        match dial_pin(endpoint, identity, *pin, here, patience, idle(patience)).await {
            Ok(connection) => return Ok(connection),
            Err(why) => last = why,
        }
    }
    Err(NodeError::new("NODE_SILENT", format!("this site's node at {here}: {}", printable(&last)))
        .hint("no node answers at the address of the configuration, or a process has its state folder"))
}

async fn dial_pin(
    endpoint: &Endpoint,
    identity: &Identity,
    pin: Pin,
    address: SocketAddr,
    patience: Duration,
    idle: Duration,
) -> Result<Connection, String> {
    let config = tls::client_config(identity, pin, idle, address).map_err(|e| e.to_string())?;
    let connecting = endpoint.connect_with(config, address, "consilium").map_err(|e| e.to_string())?;
    match timeout(patience, connecting).await {
        Ok(connected) => connected.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer in {} s", patience.as_secs_f32())),
    }
}

fn unreachable(name: &str, address: SocketAddr, why: &str) -> NodeError {
    NodeError::new("SITE_UNREACHABLE", format!("site {name} at {address}: {why}"))
        .hint("is its node running, and does the firewall let UDP through?")
}

/// A session over links to all other parties: agrees a seed with each, in party order, and takes the links over. Returns
/// the control streams, for what is said beside the protocol. Whoever is linked hears why there is none.
///
/// # Errors
/// `HANDSHAKE_FAILED` naming the party and what it disagrees on, and what `stop` says if it says something before.
pub async fn session(
    place: Place,
    mut links: HashMap<PartyId, Link>,
    wrap: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>,
    stop: impl Future<Output = NodeError>,
) -> Result<(Session, HashMap<PartyId, ControlStream>), NodeError> {
    let agreed = tokio::select! {
        agreed = agree_seeds(place, &mut links) => agreed,
        why = stop => Err(why),
    };
    let pairs = match agreed {
        Ok(pairs) => pairs,
        Err(error) => {
            abort_all(&links, &error);
            return Err(error);
        }
    };
    let private = PrivateSeed::from_os().map_err(|_| failed(place.me, &HandshakeError::Random))?;
    let (connections, controls): (HashMap<_, _>, HashMap<_, _>) =
        links.into_iter().map(|(party, link)| ((party, link.connection), (party, link.control))).unzip();
    let setup = Setup {
        me: place.me,
        parties: place.parties,
        id: place.id,
        seeds: Seeds { private, pairs },
        transport: wrap(Arc::new(QuicTransport::new(connections))),
        deadline: place.deadline + 3 * stage_margin(place.deadline),
    };
    Ok((Session::new(setup), controls))
}

/// With everybody at once, so that whoever is silent is silent for reasons of its own.
async fn agree_seeds(
    place: Place,
    links: &mut HashMap<PartyId, Link>,
) -> Result<HashMap<PartyId, PairSeed>, NodeError> {
    if let Some(peer) = place.parties.all().find(|p| *p != place.me && !links.contains_key(p)) {
        return Err(failed(peer, &HandshakeError::Disagrees("being here")));
    }
    let exchanges = links.iter_mut().map(|(peer, link)| async {
        let margins = if place.parties.analyst() == Some(*peer) { 2 } else { 1 };
        let patience = place.deadline + margins * stage_margin(place.deadline);
        let seed = pair_seed(&link.connection, &mut link.control, place.id, place.me, *peer, patience).await;
        let seed = seed.map_err(|e| stopped(*peer, link).unwrap_or_else(|| failed(*peer, &e)))?;
        Ok::<_, NodeError>((*peer, seed))
    });
    Ok(try_join_all(exchanges).await?.into_iter().collect())
}

/// Tells everybody who is connected why there will be no session.
pub fn abort_all(links: &HashMap<PartyId, Link>, error: &NodeError) {
    let notice = AbortNotice::new(None, &error.to_string());
    links.values().for_each(|link| quic::abort(&link.connection, &notice));
}

/// What the other side said when it closed the connection, if it said something.
pub(crate) fn stopped(by: PartyId, link: &Link) -> Option<NodeError> {
    let notice = quic::abort_notice(&link.connection)?;
    Some(NodeError::new("SESSION_STOPPED", format!("stopped by {by}: {}", printable(&notice.reason))))
}

fn failed(party: PartyId, why: &HandshakeError) -> NodeError {
    let code = if *why == HandshakeError::Silent { "SITE_SILENT" } else { "HANDSHAKE_FAILED" };
    NodeError::new(code, printable(&format!("{party} at /connect: {why}")))
}

/// An endpoint that dials only; [`listen`] makes it listen too.
///
/// # Errors
/// `PORT_IN_USE` or `CANNOT_BIND`.
pub fn endpoint(address: SocketAddr) -> Result<Endpoint, NodeError> {
    quic::endpoint(address, None).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            NodeError::new("PORT_IN_USE", format!("{address} is in use by another program"))
                .hint("stop it, or choose another port with --listen")
        }
        _ => NodeError::new("CANNOT_BIND", format!("{address}: {e}")),
    })
}

/// Opens the control stream of a connection to another site and says which run it is for.
///
/// # Errors
/// The handshake's own.
pub async fn join(connection: Connection, run: RunId, patience: Duration) -> Result<Link, HandshakeError> {
    let mut control = ControlStream::open(&connection, patience).await?;
    control.send(&Greeting::Join { version: PROTOCOL_VERSION, run }).await?;
    Ok(Link { connection, control })
}

/// Links of one party to all others where everybody runs the same code and nobody asks: dials those before it, accepts
/// those after it.
///
/// # Errors
/// As [`dial`], and `HANDSHAKE_FAILED`.
pub async fn mesh(
    endpoint: &Endpoint,
    identity: &Identity,
    network: &Network,
    me: PartyId,
    run: RunId,
    patience: Duration,
) -> Result<HashMap<PartyId, Link>, NodeError> {
    let mut links = HashMap::new();
    let later = network.site.len() - 1 - me.index();
    for site in 0..me.index() {
        let connection = dial(endpoint, identity, network, site, patience, idle(patience)).await?;
        let link = join(connection, run, patience).await.map_err(|e| failed(PartyId(site as u8), &e))?;
        links.insert(PartyId(site as u8), link);
    }
    let mut arrived = Vec::new();
    while arrived.len() < later {
        let incoming = timeout(patience, endpoint.accept()).await.ok().flatten();
        let incoming = incoming.ok_or_else(|| NodeError::new("SITE_SILENT", "not all parties connected in time"))?;
        arrived.push(incoming.await.map_err(|e| NodeError::new("HANDSHAKE_FAILED", e.to_string()))?);
    }
    for connection in arrived {
        let from = quic::peer_pin(&connection).and_then(|pin| network.site_of(pin));
        let from = from.ok_or_else(|| NodeError::new("HANDSHAKE_FAILED", "a party that is no site"))?;
        let greeted = async {
            let mut control = ControlStream::accept(&connection, patience).await?;
            Ok::<_, HandshakeError>((control.recv::<Greeting>().await?, control))
        };
        let (greeting, control) = greeted.await.map_err(|e| failed(PartyId(from as u8), &e))?;
        if greeting != (Greeting::Join { version: PROTOCOL_VERSION, run }) {
            return Err(failed(PartyId(from as u8), &HandshakeError::Disagrees("the run")));
        }
        links.insert(PartyId(from as u8), Link { connection, control });
    }
    Ok(links)
}

/// Makes an endpoint listen for the keys of a network.
pub fn listen(endpoint: &Endpoint, identity: &Identity, network: &Network, idle: Duration) -> Result<(), NodeError> {
    let address = endpoint.local_addr().map_err(|e| NodeError::new("CANNOT_BIND", e.to_string()))?;
    let config = tls::server_config(identity, network.all_pins().collect(), idle, address);
    endpoint.set_server_config(Some(config.map_err(|e| NodeError::new("CANNOT_BIND", e.to_string()))?));
    Ok(())
}
