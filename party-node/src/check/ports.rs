//! The node's own ports, and who has them.

use std::net::SocketAddr;

use mpc_core::identity::Identity;

use super::{PATIENCE, Report};
use crate::config::Config;
use crate::connect;
use crate::fault::NodeError;
use crate::http;
use crate::network::{Network, SiteEntry};

/// The node's own address, and whether it is that of the network file; then those of its other doors, unless the node runs and has them.
pub(super) async fn own(report: &mut Report, config: &Config, identity: &Identity, network: &Network) {
    let Some(listen) = config.listen else { return };
    if let Some(entry) = network.site.iter().find(|site| site.name.0 == config.name) {
        report.line("the network file has this port and reach", as_enrolled(config, entry));
    }
    match connect::endpoint(listen) {
        Err(taken) if taken.code == "PORT_IN_USE" => {
            let (from, pins) = (connect::endpoint(([0, 0, 0, 0], 0).into()), [identity.pin()]);
            let running = match from {
                Ok(from) => connect::dial_own(&from, identity, &pins, listen, PATIENCE).await.map(drop),
                Err(error) => Err(error),
            };
            // Somebody else's program has it.
            let running = report.line(&format!("this node runs at {listen}"), running.map_err(|_| taken));
            if running.is_some() {
                return;
            }
        }
        free => {
            report.line(&format!("port {listen} is free"), free.map(drop));
        }
    }
    for (name, address) in doors(config) {
        let free = http::listen(name, address).await.map(drop);
        report.line(&format!("port {address} of {name} is free"), free);
    }
}

/// Where others than sites reach the node.
fn doors(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let wire = config.wire.as_ref().map(|wire| ("[wire]", wire.listen));
    let console = config.console.map(|console| ("[console]", console.listen));
    [wire, console, config.metrics.map(|address| ("metrics", address))].into_iter().flatten()
}

fn as_enrolled(config: &Config, entry: &SiteEntry) -> Result<(), NodeError> {
    let (own, known) = (config.listen.map(|listen| listen.port()), entry.address.port());
    if own.is_some_and(|own| own != known) {
        let message =
            format!("this node listens at port {}, and the network file says {known}", own.unwrap_or_default());
        return Err(NodeError::new("PORT_DIFFERS", message)
            .hint("right where a router passes one port on to the other; else enroll the site's public file again"));
    }
    if config.reach != entry.reach {
        let message = "this node's configuration and the network file differ in `reach`";
        return Err(NodeError::new("REACH_DIFFERS", message).hint("enroll the site's public file again"));
    }
    Ok(())
}
