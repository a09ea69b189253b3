//! A node process of a sandbox: key in memory, loopback only, ends with its parent.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mpc_core::identity::Identity;
use query_planner::catalog::SiteName;
use quinn::Endpoint;

use crate::children::{self, Hello, Line, Parent};
use crate::connect;
use crate::drill::Drill;
use crate::fault::NodeError;
use crate::linkage::Agreed;
use crate::network::Network;
use crate::site::{Site, Startup};
use crate::source::{BoundData, SiteData};

/// Runs until the parent closes our standard input.
///
/// # Errors
/// Failures before serving were told to the parent; they are returned too.
pub async fn run(
    name: SiteName,
    (data, network_folder): (&Path, &Path),
    patient_key: &str,
    deadline: Duration,
    drill: Option<Drill>,
) -> Result<(), NodeError> {
    let mut parent = Parent::listen();
    let (identity, data, endpoint) = match introduce(data, patient_key) {
        Ok((identity, data, endpoint, hello)) => {
            children::tell(&Line::Ok(hello))?;
            (identity, data, endpoint)
        }
        Err(error) => return children::tell(&Line::<Hello>::from(Err(error))),
    };
    // A parent that fails before it knows the network says why itself.
    let Ok(network) = parent.network().await else { return Ok(()) };
    let linkage = Agreed::read(&network.settings, network_folder);
    let ready = linkage.and_then(|linkage| listen(identity, (network, linkage), name, data, endpoint, deadline, drill));
    let site = match ready {
        Ok(site) => site,
        Err(error) => return children::tell(&Line::<()>::from(Err(error))),
    };
    children::tell(&Line::Ok(()))?;
    tokio::select! {
        () = site.clone().serve() => (),
        () = parent.gone() => site.drain(deadline).await,
    }
    Ok(())
}

fn introduce(data: &Path, patient_key: &str) -> Result<(Identity, SiteData, Endpoint, Hello), NodeError> {
    let data = SiteData::open(data)?;
    let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    let (endpoint, address) = loopback()?;
    let schema = data.schema(patient_key);
    let hello = Hello { pin: identity.pin(), address, schema, doubts: doubts(&data) };
    Ok((identity, data, endpoint, hello))
}

/// A loopback endpoint on a free port; it starts to listen once the network is known.
pub fn loopback() -> Result<(Endpoint, SocketAddr), NodeError> {
    let endpoint = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = endpoint.local_addr().map_err(|e| NodeError::new("CANNOT_BIND", e.to_string()))?;
    Ok((endpoint, address))
}

fn listen(
    identity: Identity,
    (network, linkage): (Network, Option<Agreed>),
    name: SiteName,
    data: SiteData,
    endpoint: Endpoint,
    deadline: Duration,
    drill: Option<Drill>,
) -> Result<std::sync::Arc<Site>, NodeError> {
    let catalog = network.catalog(linkage.as_ref())?;
    data.raise_doubts(&network.settings)?;
    let data: BoundData = data.bind_linked(&catalog, &name, linkage.as_ref())?;
    connect::listen(&endpoint, &identity, &network, connect::idle(deadline))?;
    Site::new(Startup { identity, network, catalog, name, data, endpoint, deadline, drill })
}

/// Columns that are nearly of another type. The parent raises them before it compares the sites' schemas: a bad cell then is
/// reported as such, and not as a schema that differs.
fn doubts(data: &SiteData) -> Vec<(String, String, Line<()>)> {
    let doubts = data.doubts().into_iter();
    doubts.map(|d| (d.table.to_owned(), d.column.to_owned(), Line::from(Err(d.fault)))).collect()
}
