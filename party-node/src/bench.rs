//! `consilium bench`: protocols × parties × sizes × networks, one JSON object or table row a run.

mod joint;
mod matched;
mod measure;
mod net;
pub mod psi;
pub mod questions;
mod render;

use std::str::FromStr;
use std::time::Duration;

use mpc_core::transport::memory::Link;
use mpc_core::world::Net;
use protocols::additive::demand::Link as Planned;
use protocols::parameters::matching::MAX_PATIENTS;

use crate::fault::NodeError;

pub use net::party_process;
pub use render::render;

/// A protocol that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Element-wise sum of one Z64 vector of each party, committed, echoed and opened to all.
    Sum,
    /// The same over Z128.
    Sum128,
    /// Products of two shared Z64 vectors.
    Mul,
    /// ANDs of two shared bit vectors.
    And,
    /// Signed comparisons of two shared Z64 vectors, 64 bits.
    Compare,
    /// Sort of shared 32-bit keys.
    Sort,
    /// Making bit triples, and using each once.
    Triples,
    /// How many keys two sites have in common.
    PsiCount,
    /// The sum of one site's values for the keys that two have in common.
    PsiSum,
}

impl Protocol {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Sum => "sum",
            Protocol::Sum128 => "sum128",
            Protocol::Mul => "mul",
            Protocol::And => "and",
            Protocol::Compare => "compare",
            Protocol::Sort => "sort",
            Protocol::Triples => "triples",
            Protocol::PsiCount => "psi-count",
            Protocol::PsiSum => "psi-sum",
        }
    }
}

/// The network of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Every party its own process, QUIC over loopback.
    Loopback,
    /// All parties in this process, no network.
    Memory,
    /// All parties in this process, simulated links.
    Simulated(Link),
}

impl Network {
    /// What a planner would choose for it.
    pub fn planned(self) -> Planned {
        match self {
            Network::Simulated(link) if (1..NARROW).contains(&link.bits_per_second) => Planned::Narrow,
            Network::Simulated(link) if link.latency > Duration::from_millis(1) => Planned::Far,
            _ => Planned::Local,
        }
    }
}

/// Below 30 MB/s silent OT is the faster one.
const NARROW: u64 = 240_000_000;

impl FromStr for Network {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        match text {
            "loopback" => Ok(Network::Loopback),
            "memory" => Ok(Network::Memory),
            _ => link(text).map(Network::Simulated).ok_or_else(|| {
                NodeError::new("BAD_NETWORK", format!("'{text}' is no network"))
                    .hint("loopback, memory, or a simulated link such as rtt=30ms,rate=1gbit")
            }),
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Network::Loopback => f.write_str("loopback"),
            Network::Memory => f.write_str("memory"),
            Network::Simulated(link) => {
                write!(f, "rtt={}ms,rate={}mbit", 2 * link.latency.as_millis(), link.bits_per_second / 1_000_000)
            }
        }
    }
}

/// `rtt=30ms,rate=1gbit`; without a rate the link is unlimited.
fn link(text: &str) -> Option<Link> {
    let mut link = Link { latency: Duration::ZERO, bits_per_second: 0 };
    for part in text.split(',') {
        let (key, value) = part.split_once('=')?;
        match key {
            "rtt" => link.latency = Duration::from_millis(value.strip_suffix("ms")?.parse().ok()?) / 2,
            "rate" => {
                let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit())?);
                let unit = match unit {
                    "mbit" => 1_000_000,
                    "gbit" => 1_000_000_000,
                    _ => return None,
                };
                link.bits_per_second = number.parse::<u64>().ok()?.checked_mul(unit)?;
            }
            _ => return None,
        }
    }
    Some(link)
}

/// One benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// What.
    pub protocol: Protocol,
    /// How many parties.
    pub parties: usize,
    /// How many elements.
    pub elements: usize,
    /// Over what.
    pub network: Network,
    /// For what kind of network the work is planned.
    pub link: Planned,
    /// How many runs, one after the other in one session; the median counts.
    pub runs: usize,
}

/// What a benchmark found. Times exclude process start and connection set-up and include preprocessing.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measurement {
    /// [`Protocol::name`].
    pub protocol: String,
    /// Parties.
    pub parties: usize,
    /// Elements.
    pub elements: usize,
    /// The network's text.
    pub network: String,
    /// Median over the runs of the slowest party; on a simulated link network and compute time together.
    pub wall_ms: f64,
    /// Without preprocessing.
    pub online_ms: f64,
    /// Sent by the party that sent most, in one run.
    pub bytes_per_party: u64,
    /// The same without preprocessing.
    pub online_bytes_per_party: u64,
    /// Longest chain of messages of one run, without preprocessing.
    pub rounds: u32,
    /// Largest resident memory of one party's process; of all together when they share one.
    pub peak_rss_mb: f64,
    /// Compute time of all parties on this machine, when the network is simulated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compute_ms: Option<f64>,
}

/// Runs a benchmark.
///
/// # Errors
/// `BAD_NUMBER_OF_SITES`, or what stopped a session.
pub fn run(bench: Bench) -> Result<Measurement, NodeError> {
    if !(2..=20).contains(&bench.parties) {
        return Err(NodeError::new("BAD_NUMBER_OF_SITES", "a benchmark has 2 to 20 parties"));
    }
    if matches!(bench.protocol, Protocol::PsiCount | Protocol::PsiSum) && bench.elements > MAX_PATIENTS {
        return Err(NodeError::new("BAD_NUMBER_OF_ELEMENTS", format!("matching takes at most {MAX_PATIENTS} keys")));
    }
    match bench.network {
        Network::Loopback => net::run(bench),
        Network::Memory => measure::in_process(bench, Net::Memory),
        Network::Simulated(link) => measure::in_process(bench, Net::Simulated(link)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_and_written() {
        let network: Network = "rtt=30ms,rate=1gbit".parse().unwrap();
        assert_eq!(network, Network::Simulated(Link::wan()));
        assert_eq!(network.to_string(), "rtt=30ms,rate=1000mbit");
        assert_eq!("carrier pigeon".parse::<Network>().unwrap_err().code, "BAD_NETWORK");
    }

    #[test]
    fn twenty_sites_sum_ten_thousand_cells_and_every_cell_is_right() {
        // The measuring code checks every sum; a wrong one is an error.
        let bench = Bench {
            protocol: Protocol::Sum,
            parties: 20,
            elements: 10_000,
            network: Network::Memory,
            link: Planned::Local,
            runs: 1,
        };
        let found = run(bench).unwrap();
        assert_eq!((found.rounds, found.parties), (3, 20));
    }

    #[test]
    fn two_sites_count_and_sum_what_they_have_in_common() {
        // The measuring code compares the opened total with plain arithmetic.
        for (protocol, elements) in [(Protocol::PsiCount, 1000), (Protocol::PsiSum, 1000), (Protocol::PsiSum, 1)] {
            let network = Network::Memory;
            let bench = Bench { protocol, parties: 2, elements, network, link: Planned::Local, runs: 2 };
            assert_eq!(run(bench).unwrap().elements, elements);
        }
    }
}
