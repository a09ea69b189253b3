//! The way to a site: through its node if one runs, else its folder.

use std::sync::Arc;
use std::time::Duration;

use mpc_core::handshake::{ControlStream, HandshakeError};
use mpc_core::identity::{Identity, Pin};
use query_planner::Catalog;
use query_planner::catalog::SiteName;

use crate::agree::{Greeting, PROTOCOL_VERSION};
use crate::config::Config;
use crate::connect;
use crate::fault::NodeError;
use crate::govern::gate::{self, Gate};
use crate::govern::steward::{Desk, Order, Refusal, Reply, perform};
use crate::network::Network;
use crate::site::place_of;
use crate::source::BoundData;

/// How long the node may take to answer a connection, and to do what is ordered.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
const WORK_PATIENCE: Duration = Duration::from_secs(600);

/// A site, as its stewards reach it.
pub(super) struct Reach {
    config: Config,
    identity: Arc<Identity>,
    folder: Option<Arc<Folder>>,
}

/// A site without a running node.
struct Folder {
    gate: Gate,
    catalog: Catalog,
    data: Option<BoundData>,
    pins: Vec<Pin>,
}

impl Reach {
    /// Opens the state folder if it is free, with the tables if the orders read them. A running node has it: then orders go there.
    ///
    /// # Errors
    /// Whatever is wrong with the site's files.
    pub(super) fn open(config: Config, needs_data: bool) -> Result<Self, NodeError> {
        let identity = Arc::new(config.identity()?);
        let folder = match Folder::open(&config, identity.clone(), needs_data) {
            Ok(folder) => Some(Arc::new(folder)),
            Err(error) if error.code == "STATE_IN_USE" => None,
            Err(error) => return Err(error),
        };
        Ok(Self { config, identity, folder })
    }

    pub(super) fn pin(&self) -> Pin {
        self.identity.pin()
    }

    /// One order.
    ///
    /// # Errors
    /// As [`perform`]; `NODE_SILENT`, `NODE_REFUSED`.
    pub(super) async fn give(&self, order: Order) -> Result<Reply, NodeError> {
        let Some(folder) = self.folder.clone() else { return self.to_node(order).await };
        let work = move || {
            let Folder { gate, catalog, data, pins } = &*folder;
            perform(&Desk { gate, catalog, data: data.as_ref(), pins }, order)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the order ended unexpectedly")))
    }

    async fn to_node(&self, order: Order) -> Result<Reply, NodeError> {
        let listen = self.config.listen.ok_or_else(|| NodeError::new("BAD_CONFIG", "a node needs `listen`"))?;
        let from = if listen.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let endpoint = connect::endpoint(from.parse().expect("an address"))?;
        let connection = connect::dial_own(&endpoint, &self.identity, &[self.pin()], listen, DIAL_PATIENCE).await?;
        let refused = |e: HandshakeError| {
            NodeError::new("NODE_REFUSED", format!("the node did not answer: {e}"))
                .hint("is it of this version, and does it have the same key?")
        };
        let said = async {
            let mut control = ControlStream::open(&connection, DIAL_PATIENCE).await?;
            control.send(&Greeting::Steward { version: PROTOCOL_VERSION }).await?;
            control.send(&order).await?;
            control.recv_within::<Result<Reply, Refusal>>(WORK_PATIENCE).await
        };
        let said = said.await.map_err(refused);
        connection.close(0u32.into(), b"done");
        endpoint.wait_idle().await;
        said?.map_err(NodeError::from)
    }
}

impl Folder {
    fn open(config: &Config, identity: Arc<Identity>, needs_data: bool) -> Result<Self, NodeError> {
        let (network, name) = (config.network()?, SiteName(config.name.clone()));
        let place = place_of(&network, &name, identity.pin())?;
        let (policy, studies) = (config.policy()?, config.studies()?);
        // Nothing else is read while a node has the folder.
        let state = Arc::new(config.state(&identity)?);
        let linkage = config.linkage(&network)?;
        let catalog = network.catalog(linkage.as_ref())?;
        let wanted = if needs_data { config.tables(policy.opt_out().as_deref())? } else { None };
        let data = match wanted {
            Some(data) => {
                data.raise_doubts(&network.settings)?;
                let data = data.bind_linked(&catalog, &name, linkage.as_ref())?;
                Some(gate::left_out(data, &policy, &catalog, &name)?)
            }
            None => None,
        };
        let pins = network.site[place.index()].pins.clone();
        let gate = Gate { name, identity, network: network.digest(), studies, policy, state };
        Ok(Self { gate, catalog, data, pins })
    }
}

/// The keys of a site in a network file.
pub(super) fn pins_of(network: &Network, name: &str) -> Vec<Pin> {
    let site = network.position(&SiteName(name.to_owned()));
    site.map(|at| network.site[at].pins.clone()).unwrap_or_default()
}
