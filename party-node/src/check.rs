//! `consilium check`: goes through everything a node needs and says what is wrong.

mod certificate;
mod ports;

use std::path::Path;
use std::time::Duration;

use mpc_core::handshake::{ControlStream, HandshakeError};
use mpc_core::identity::Identity;
use query_planner::Catalog;
use query_planner::catalog::SiteName;
use query_planner::grants;
use query_planner::site_policy::LEAST_PATIENTS;
use quinn::Connection;

use crate::agree::{Checked, Greeting, PROTOCOL_VERSION};
use crate::clock::utc;
use crate::config::Config;
use crate::connect;
use crate::fault::NodeError;
use crate::govern::gate::Posted;
use crate::network::{Network, Reach};
use crate::site::place_of;
use crate::source::{BoundData, OptOut};
use crate::state::{hex, now_ms};

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
    if config.data.is_some() || config.postgres.is_some() {
        site(&mut report, &config, &identity, &network);
    }
    ports::own(&mut report, &config, &identity, &network).await;
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
    if catalog.policy.min_patients < LEAST_PATIENTS {
        report.note("SHOWS_SMALL_CELLS", &shown_from(catalog.policy.min_patients));
    }
    let Some(policy) = report.line("policy file", config.policy()) else { return };
    report.line(
        "the network file has this policy",
        grants::check_current(&catalog, &name, &policy.policy).map_err(NodeError::from),
    );
    let list = policy.opt_out();
    let what = if config.postgres.is_some() { "database" } else { "data files" };
    if let Some(data) = report.line(what, config.tables(list.as_deref())).flatten() {
        let bound = data.bind_linked(&catalog, &name, linkage.as_ref());
        if let Some(bound) = report.line("data fits the declared schema", bound) {
            opted_out(report, &policy, &catalog, bound);
        }
    }
    report.line("accounts", config.accounts(network));
    if let Some(wire) = &config.wire {
        report.line("certificate and accounts of database programs", wire.usable());
        let until = wire.certificate.as_deref().map(|file| certificate::holds_until(file, now_ms()));
        if let Some(until) = until.and_then(|until| report.line("the certificate holds now", until)) {
            println!("       until {}", utc(until));
        }
    }
}

fn shown_from(least: u32) -> String {
    let shown = format!("figures of {least} and more patients are shown, as network and sites have set min_patients");
    format!(
        "{shown}   help: {LEAST_PATIENTS} is usual; with 1 nothing is hidden, and answers are not compared with earlier ones"
    )
}

/// How many patients the opt-out list takes away. A list that cannot be read stops the start of the node.
fn opted_out(report: &mut Report, policy: &Posted, catalog: &Catalog, data: BoundData) {
    let Some(file) = policy.opt_out() else { return };
    let left = OptOut::read(&file, &catalog.patient_key).and_then(|list| data.without(list, catalog));
    if let Some((_, left_out)) = report.line("opt-out list", left) {
        println!("       {left_out}");
    }
}

async fn peers(report: &mut Report, config: &Config, identity: &Identity, network: &Network) {
    let Some(endpoint) = report.line("outgoing UDP", connect::endpoint(([0, 0, 0, 0], 0).into())) else { return };
    for (index, site) in network.site.iter().enumerate() {
        if site.name.0 == config.name {
            continue;
        }
        if site.reach == Reach::Out && config.listen.is_some() {
            report.line(&format!("site {} is not looked at: it dials this one", site.name), Ok(()));
            continue;
        }
        let reached = connect::dial(&endpoint, identity, network, index, PATIENCE, PATIENCE).await;
        let Some(peer) = report.line(&format!("site {} answers with its pinned key", site.name), reached) else {
            continue;
        };
        let what = format!("site {} says what it has", site.name);
        let Some(theirs) = report.line(&what, told(&peer).await) else { continue };
        let own = Checked {
            version: PROTOCOL_VERSION,
            at_ms: now_ms(),
            network: network.digest(),
            schema: network.schema_digest(),
        };
        for (what, found) in compared(&own, &theirs) {
            report.line(&format!("site {}: {what}", site.name), found);
        }
        peer.close(0u32.into(), b"checked");
    }
}

/// What a node has.
pub(crate) async fn told(peer: &Connection) -> Result<Checked, NodeError> {
    let told = async {
        let mut control = ControlStream::open(peer, PATIENCE).await?;
        control.send(&Greeting::Check { version: PROTOCOL_VERSION }).await?;
        control.recv().await
    };
    told.await.map_err(|e: HandshakeError| {
        NodeError::new("VERSION_MISMATCH", format!("the node does not answer as version {PROTOCOL_VERSION} does: {e}"))
            .hint("does it run the same version of the program?")
    })
}

/// What two nodes have, held against each other.
pub(crate) fn compared(own: &Checked, theirs: &Checked) -> Vec<(&'static str, Result<(), NodeError>)> {
    let version = match own.version == theirs.version {
        true => Ok(()),
        false => {
            let message =
                format!("it speaks version {} of the protocol, and this program {}", theirs.version, own.version);
            Err(NodeError::new("VERSION_MISMATCH", message))
        }
    };
    let schema = match own.schema == theirs.schema {
        true => Ok(()),
        false => Err(NodeError::new("SCHEMA_DIFFERS", "its network file has other tables or columns")
            .hint("a site was enrolled again: exchange the newer network file")),
    };
    let network = match own.network == theirs.network {
        true => Ok(()),
        false => {
            let message = format!("its network file has the digest {}", hex::text(&theirs.network));
            Err(NodeError::new("NETWORK_DIFFERS", message)
                .hint("keys, addresses, tables, settings or published policies: exchange the newer file"))
        }
    };
    let clock = match own.at_ms.abs_diff(theirs.at_ms) <= MOST_APART_MS {
        true => Ok(()),
        false => {
            let message = format!("it is {} there and {} here", utc(theirs.at_ms), utc(own.at_ms));
            Err(NodeError::new("CLOCK_DIFFERS", message)
                .hint("approvals and studies end by the clock: set the wrong one, for instance by NTP"))
        }
    };
    vec![
        ("the same version", version),
        ("the same tables", schema),
        ("the same network file", network),
        ("the same time", clock),
    ]
}

/// Clocks may differ by five minutes.
const MOST_APART_MS: u64 = 5 * 60 * 1000;

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

    /// Something that may be as it is meant.
    fn note(&self, code: &str, text: &str) {
        println!("  note {code}: {text}");
    }

    fn end(self) -> Result<(), NodeError> {
        match self.wrong {
            0 => Ok(()),
            n => Err(NodeError::new("CHECK_FAILED", format!("{n} of the things above are wrong"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Checked = Checked { version: 4, at_ms: 1_795_353_605_000, network: [1; 32], schema: [2; 32] };

    fn codes(theirs: Checked) -> Vec<String> {
        let found = compared(&OWN, &theirs).into_iter().filter_map(|(_, found)| found.err());
        found.map(|error| error.code.into_owned()).collect()
    }

    #[test]
    fn each_thing_in_which_two_nodes_differ_is_named() {
        assert_eq!(codes(OWN), [""; 0]);
        assert_eq!(codes(Checked { version: 3, ..OWN }), ["VERSION_MISMATCH"]);
        assert_eq!(codes(Checked { network: [9; 32], ..OWN }), ["NETWORK_DIFFERS"]);
        assert_eq!(codes(Checked { schema: [9; 32], network: [9; 32], ..OWN }), ["SCHEMA_DIFFERS", "NETWORK_DIFFERS"]);
    }

    #[test]
    fn clocks_more_than_five_minutes_apart_are_named_with_both_times() {
        for (apart, wrong) in [(0, false), (300_000, false), (300_001, true)] {
            for at_ms in [OWN.at_ms - apart, OWN.at_ms + apart] {
                assert_eq!(codes(Checked { at_ms, ..OWN }), if wrong { vec!["CLOCK_DIFFERS"] } else { vec![] });
            }
        }
        let found = compared(&OWN, &Checked { at_ms: OWN.at_ms + 3_600_000, ..OWN });
        let error = found.into_iter().find_map(|(_, found)| found.err()).unwrap();
        assert_eq!(error.message, "it is 2026-11-22 14:20:05 UTC there and 2026-11-22 13:20:05 UTC here");
    }
}
