//! A node process of a sandbox: key in memory, loopback only, ends with its parent.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mpc_core::identity::Identity;
use query_planner::catalog::SiteName;
use quinn::Endpoint;

use crate::children::{self, Hello, Line, Parent};
use crate::config;
use crate::connect;
use crate::drill::Drill;
use crate::fault::NodeError;
use crate::govern::gate::{self, Posted};
use crate::govern::study::Study;
use crate::linkage::Agreed;
use crate::network::Network;
use crate::sandbox::{STUDY, everything};
use crate::site::{Site, Startup};
use crate::source::{BoundData, SiteData};
use crate::state::State;

/// Where a node process finds and leaves things.
#[derive(Clone, Copy)]
pub struct Folders<'a> {
    /// The site's tables, and its policy if it has one.
    pub data: &'a Path,
    /// The network's other files.
    pub network: &'a Path,
    /// What the site keeps.
    pub state: &'a Path,
}

/// Runs until the parent closes our standard input.
///
/// # Errors
/// Failures before serving were told to the parent; they are returned too.
pub async fn run(
    name: SiteName,
    Folders { data, network: network_folder, state }: Folders<'_>,
    patient_key: &str,
    deadline: Duration,
    drill: Option<Drill>,
) -> Result<(), NodeError> {
    let mut parent = Parent::listen();
    let own = match introduce(data, patient_key) {
        Ok((own, hello)) => {
            children::tell(&Line::Ok(hello))?;
            own
        }
        Err(error) => return children::tell(&Line::<Hello>::from(Err(error))),
    };
    // A parent that fails before it knows the network says why itself.
    let Ok(network) = parent.network().await else { return Ok(()) };
    let linkage = Agreed::read(&network.settings, network_folder);
    let study = Some(network_folder.join(STUDY)).filter(|file| file.exists());
    let study = study.map(|file| Study::read(&file)).transpose();
    let ready = linkage.and_then(|linkage| listen(own, (network, linkage, study?), name, state, deadline, drill));
    let site = match ready {
        Ok(site) => site,
        Err(error) => return children::tell(&Line::<()>::from(Err(error))),
    };
    children::tell(&Line::Ok(()))?;
    tokio::select! {
        () = site.clone().serve() => (),
        // What still runs then is the peers' to notice.
        () = parent.gone() => drop(site.drain(deadline).await),
    }
    Ok(())
}

/// What a node has before it knows the network.
struct Own {
    identity: Identity,
    data: SiteData,
    policy: Posted,
    endpoint: Endpoint,
}

fn introduce(folder: &Path, patient_key: &str) -> Result<(Own, Hello), NodeError> {
    let policy = Posted::beside(folder)?.unwrap_or_else(Posted::open);
    let data = SiteData::open_beside(folder, policy.opt_out().as_deref())?;
    let identity = Identity::generate().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    let (endpoint, address) = loopback()?;
    let schema = data.published(patient_key)?;
    let hello = Hello { pin: identity.pin(), address, schema, doubts: doubts(&data) };
    Ok((Own { identity, data, policy, endpoint }, hello))
}

/// A loopback endpoint on a free port; it starts to listen once the network is known.
pub fn loopback() -> Result<(Endpoint, SocketAddr), NodeError> {
    let endpoint = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = endpoint.local_addr().map_err(|e| NodeError::new("CANNOT_BIND", e.to_string()))?;
    Ok((endpoint, address))
}

fn listen(
    Own { identity, data, policy, endpoint }: Own,
    (network, linkage, study): (Network, Option<Agreed>, Option<Study>),
    name: SiteName,
    state: &Path,
    deadline: Duration,
    drill: Option<Drill>,
) -> Result<std::sync::Arc<Site>, NodeError> {
    let catalog = network.catalog(linkage.as_ref())?;
    data.raise_doubts(&network.settings)?;
    let data: BoundData = data.bind_linked(&catalog, &name, linkage.as_ref())?;
    let data = gate::left_out(data, &policy, &catalog, &name)?;
    fs::create_dir_all(state).map_err(|e| config::missing(state, &e))?;
    let state = State::open_with(state, &state.with_extension("key"), &identity, Drill::hook(drill.as_ref()))?;
    let studies = vec![study.unwrap_or_else(|| everything(&catalog))];
    connect::listen(&endpoint, &identity, &network, connect::idle(deadline))?;
    Site::new(Startup { identity, network, catalog, name, data, endpoint, deadline, drill, policy, studies, state })
}

/// Columns that are nearly of another type. The parent raises them before it compares the sites' schemas: a bad cell then is
/// reported as such, and not as a schema that differs.
fn doubts(data: &SiteData) -> Vec<(String, String, Line<()>)> {
    let doubts = data.doubts().into_iter();
    doubts.map(|d| (d.table.to_owned(), d.column.to_owned(), Line::from(Err(d.fault)))).collect()
}
