//! What `consilium bench` is asked.

use clap::{Args, Subcommand};

use protocols::additive::demand::Link as Planned;

use crate::bench::questions::{self, Question};
use crate::bench::{Bench, Network, Protocol, psi};
use crate::output::Format;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Element-wise sum of one Z64 vector of each party, committed, echoed and opened to all
    Sum(Shares),
    /// The same over Z128
    Sum128(Shares),
    /// Products of two shared Z64 vectors
    Mul(Shares),
    /// ANDs of two shared bit vectors
    And(Shares),
    /// Signed comparisons of two shared Z64 vectors, 64 bits
    Compare(Shares),
    /// Sort of shared 32-bit keys
    Sort(Shares),
    /// Making bit triples, and using each once
    Triples(Shares),
    /// How many keys two sites have in common, half of each site's
    PsiCount(Pair),
    /// The sum of one site's 64-bit values for the keys that two have in common
    PsiSum(Pair),
    /// Common identifiers of two CSV files, told to the owner of the left one
    Psi {
        /// What is matched
        #[command(flatten)]
        matching: psi::Matching,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// COUNT(DISTINCT patient) over generated files, asked of real nodes
    Distinct {
        /// How many patients each site has
        #[arg(long, default_value_t = 100_000)]
        elements: usize,
        /// How it is asked
        #[command(flatten)]
        asked: AskedOf,
    },
    /// Aspirin on or after heart disease, over generated files, asked of real nodes
    Aspirin {
        /// How many rows each of the two tables has, over all sites
        #[arg(long, default_value_t = 32_768)]
        elements: usize,
        /// How it is asked
        #[command(flatten)]
        asked: AskedOf,
    },
    /// Infections again within 15 to 56 days, over generated files, asked of real nodes
    Recurrence {
        /// How many patients each site has, with up to four events
        #[arg(long, default_value_t = 8_000)]
        elements: usize,
        /// How it is asked
        #[command(flatten)]
        asked: AskedOf,
    },
}

/// How a question is measured.
#[derive(Debug, Clone, Args)]
pub struct AskedOf {
    /// How many sites
    #[arg(long, default_value_t = 3)]
    pub parties: usize,
    /// How often it is asked; the median counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl AskedOf {
    /// The benchmark of a question.
    pub fn of(&self, question: Question, elements: usize) -> questions::Bench {
        questions::Bench { question, parties: self.parties, elements, runs: usize::from(self.runs) }
    }
}

/// How work on shares is measured.
#[derive(Debug, Clone, Args)]
pub struct Shares {
    /// How many parties
    #[arg(long, default_value_t = 3)]
    pub parties: usize,
    /// How many elements
    #[arg(long, default_value_t = 1_000_000)]
    pub elements: usize,
    /// loopback, memory, or a simulated link such as rtt=30ms,rate=1gbit
    #[arg(long, default_value = "loopback")]
    pub network: Network,
    /// Plan for this kind of network: local, far (rounds are dear) or narrow (bytes too); else as the network is
    #[arg(long, value_parser = link)]
    pub link: Option<Planned>,
    /// Runs in one session; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How matching into shares is measured.
#[derive(Debug, Clone, Args)]
pub struct Pair {
    /// How many keys each site has
    #[arg(long, default_value_t = 65_536)]
    pub elements: usize,
    /// loopback, memory, or a simulated link such as rtt=30ms,rate=1gbit
    #[arg(long, default_value = "loopback")]
    pub network: Network,
    /// Runs, each with its own base OTs; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl Pair {
    /// The benchmark of a protocol between two.
    pub fn of(&self, protocol: Protocol) -> Bench {
        let Self { elements, network, runs, .. } = *self;
        Bench { protocol, parties: 2, elements, network, link: network.planned(), runs: usize::from(runs) }
    }
}

impl Shares {
    /// The benchmark of a protocol.
    pub fn of(&self, protocol: Protocol) -> Bench {
        let Self { parties, elements, network, link, runs, .. } = *self;
        let link = link.unwrap_or_else(|| network.planned());
        Bench { protocol, parties, elements, network, link, runs: usize::from(runs) }
    }
}

pub(super) fn link(name: &str) -> Result<Planned, String> {
    Planned::named(name).ok_or_else(|| "local, far or narrow".to_owned())
}
