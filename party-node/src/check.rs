//! `consilium check`: goes through everything a node needs and says what is wrong.

use std::path::Path;
use std::time::Duration;

use mpc_core::identity::Identity;
use query_planner::catalog::SiteName;
use query_planner::grants;

use crate::config::Config;
use crate::connect;
use crate::fault::NodeError;
use crate::network::Network;
use crate::site::place_of;
use crate::source::SiteData;

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints a line for each thing looked at.
///
/// # Errors
/// `CHECK_FAILED` when something is wrong; what, was printed.
pub async fn run(path: &Path) -> Result<(), NodeError> {
    let mut report = Report { wrong: 0 };
    let Some(config) = report.line("configuration", Config::load(path)) else { return report.end() };
    let identity = report.line("private key", config.identity());
    let network = report.line("network file", config.network());
    if let Some(identity) = &identity {
        println!("       key pin {}", identity.pin());
    }
    let (Some(identity), Some(network)) = (identity, network) else { return report.end() };
    println!("       network digest {}", network.digest().iter().map(|b| format!("{b:02x}")).collect::<String>());
    report.line("study files", config.studies());
    if config.data.is_some() {
        site(&mut report, &config, &identity, &network);
    }
    peers(&mut report, &config, &identity, &network).await;
    report.end()
}

fn site(report: &mut Report, config: &Config, identity: &Identity, network: &Network) {
    let name = SiteName(config.name.clone());
    report.line("place in the network", place_of(network, &name, identity.pin()));
    let Some(linkage) = report.line("linkage file", config.linkage(network)) else { return };
    if let Some(linkage) = &linkage {
        println!("       linkage digest {}", linkage.catalogued().digest);
    }
    let Some(catalog) = report.line("tables agree between the sites", network.catalog(linkage.as_ref())) else {
        return;
    };
    let Some(policy) = report.line("policy file", config.policy()) else { return };
    report.line(
        "the network file has this policy",
        grants::check_current(&catalog, &name, &policy.policy).map_err(NodeError::from),
    );
    let list = policy.opt_out();
    let data = config.data.as_deref().map(|folder| SiteData::open_beside(folder, list.as_deref()));
    if let Some(data) = data.and_then(|data| report.line("data files", data)) {
        report.line("data fits the declared schema", data.bind_linked(&catalog, &name, linkage.as_ref()));
    }
    if let Some(listen) = config.listen {
        report.line(&format!("port {listen} is free"), connect::endpoint(listen).map(drop));
    }
}

async fn peers(report: &mut Report, config: &Config, identity: &Identity, network: &Network) {
    let Some(endpoint) = report.line("outgoing UDP", connect::endpoint(([0, 0, 0, 0], 0).into())) else { return };
    for (index, site) in network.site.iter().enumerate() {
        if site.name.0 != config.name {
            let reached = connect::dial(&endpoint, identity, network, index, PATIENCE, PATIENCE).await;
            report.line(&format!("site {} answers with its pinned key", site.name), reached);
        }
    }
}

struct Report {
    wrong: usize,
}

impl Report {
    fn line<T>(&mut self, what: &str, result: Result<T, NodeError>) -> Option<T> {
        match result {
            Ok(value) => {
                println!("  ok   {what}");
                Some(value)
            }
            Err(error) => {
                self.wrong += 1;
                println!("  BAD  {what}: {error}");
                None
            }
        }
    }

    fn end(self) -> Result<(), NodeError> {
        match self.wrong {
            0 => Ok(()),
            n => Err(NodeError::new("CHECK_FAILED", format!("{n} of the things above are wrong"))),
        }
    }
}
