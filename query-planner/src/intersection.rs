//! Patients that two sites have in common, told to one of them: who learns what of whom, by which protocol, and what that takes.
//!
//! The receiver learns which of its own patients the sender has too, and keeps that at home; the sender learns nothing, and whoever
//! asked learns that it was done. Both sets are padded to public sizes before anything is sent.

use datafusion_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, SiteName};
use crate::cost::{Cost, message};
use crate::error::{PlanError, refuse};
use crate::matched::Relation;
use crate::notes::Note;

/// An opened intersection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intersection {
    /// The site that learns which of its patients the other has.
    pub receiver: SiteName,
    /// The other.
    pub sender: SiteName,
    /// How.
    pub method: Method,
    /// Why so, with what both methods take.
    pub why: String,
    /// Ways to find a patient: one.
    pub passes: u32,
    /// So many keys each enters, dummies included: the receiver, then the sender.
    pub sizes: [u64; 2],
    /// The rows whose patients are meant: the receiver's, then the sender's.
    pub relations: [Relation; 2],
}

/// How two sites find their common patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// An oblivious pseudo-random function from silent VOLE and a key-value store.
    Oprf,
    /// Diffie–Hellman on Ristretto.
    Ecdh,
}

/// Diffie–Hellman is the quicker method up to so many keys, one of the receiver's counted three times, where base OTs are made for
/// this one matching: it takes 40 µs for each, they take 20 ms. The protocols have the same number.
pub const ECDH_WORK: u64 = 500;

impl Method {
    /// The quicker one for sets of so many keys, both public.
    pub fn choose([receiver, sender]: [u64; 2]) -> Method {
        let work = sender.saturating_add(receiver.saturating_mul(3));
        if work <= ECDH_WORK { Method::Ecdh } else { Method::Oprf }
    }

    /// As EXPLAIN calls it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Oprf => "OPRF from silent VOLE",
            Method::Ecdh => "ECDH on Ristretto",
        }
    }

    fn other(self) -> Method {
        match self {
            Method::Oprf => Method::Ecdh,
            Method::Ecdh => Method::Oprf,
        }
    }

    /// Computation of both sites together, one after the other.
    fn microseconds(self, [receiver, sender]: [u64; 2]) -> u64 {
        match self {
            Method::Ecdh => receiver.saturating_mul(130).saturating_add(sender.saturating_mul(40)),
            Method::Oprf => 20_000 + receiver.saturating_add(sender),
        }
    }

    /// Rounds, and bytes that the receiver and the sender send, base OTs included.
    pub fn sent(self, sizes: [u64; 2]) -> (u32, [u64; 2]) {
        let [receiver, _] = sizes;
        match self {
            Method::Ecdh => (2, [message(32 * receiver), message(32 * receiver) + tags(sizes)]),
            Method::Oprf => {
                let (rounds, [asked, answered]) = vole(store(receiver));
                let column = message(32) + message(16 * store(receiver));
                (rounds + BASE_ROUNDS, [BASE_OTS + asked + column, BASE_OTS + answered + tags(sizes)])
            }
        }
    }
}

impl Intersection {
    pub(crate) fn new([receiver, sender]: [SiteName; 2], relations: [Relation; 2], catalog: &Catalog) -> Self {
        // Never a function of the filtered size: of the table's public bound.
        let sizes = [0, 1].map(|at: usize| relations[at].row_bound.min(catalog.max_patients).max(1));
        let method = Method::choose(sizes);
        let taken = |method: Method| {
            let (micros, (_, bytes)) = (method.microseconds(sizes), method.sent(sizes));
            format!("about {} ms and {} bytes", micros.div_ceil(1000), bytes[0] + bytes[1])
        };
        let why = format!(
            "the quicker one for {} keys against {}: {}; {} would take {}",
            sizes[0],
            sizes[1],
            taken(method),
            method.other().name(),
            taken(method.other())
        );
        Intersection { receiver, sender, method, why, passes: catalog.passes(), sizes, relations }
    }

    /// Has the site a part in it?
    pub fn is_between(&self, site: &SiteName) -> bool {
        self.receiver.same(site) || self.sender.same(site)
    }

    /// What a site enters, if it has a part: its relation and its padded size.
    pub fn part(&self, site: &SiteName) -> Option<usize> {
        [&self.receiver, &self.sender].into_iter().position(|of| of.same(site))
    }

    /// Rounds and bytes. Behind the matching the receiver tells everybody that it is done.
    pub(crate) fn cost(&self, sites: u64) -> Cost {
        let (rounds, [receiver, sender]) = self.method.sent(self.sizes);
        let done = sites.saturating_mul(message(DONE_BYTES));
        let bytes_total = receiver.saturating_add(sender).saturating_add(done);
        Cost { rounds: rounds + 1, bytes_per_site: receiver.saturating_add(done).max(sender), bytes_total }
    }

    /// The analyst's answer: where the patients are, and not which or how many.
    pub(crate) fn told(&self) -> Result<LogicalPlan, PlanError> {
        let (receiver, sender) = (&self.receiver.0, &self.sender.0);
        let text = format!(
            "{receiver} keeps the list of its patients that {sender} has too in a file of its own; neither the list nor its length \
             leaves {receiver}"
        );
        LogicalPlanBuilder::empty(true)
            .project([lit(receiver.clone()).alias("site"), lit(text).alias("answer")])
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| refuse(&e))
    }

    pub(crate) fn notes(&self, catalog: &Catalog) -> [Note; 3] {
        let (receiver, patient_key) = (self.receiver.clone(), catalog.patient_key.clone());
        [Note::ListInFile { receiver, patient_key }, Note::NoLeastList, Note::EnteredKept]
    }
}

/// The tags of the sender's keys (`protocols/src/matching/psi/tags.rs`).
fn tags([receiver, sender]: [u64; 2]) -> u64 {
    let log = |x: u64| u64::from(x.next_power_of_two().ilog2());
    let rest = STATISTICAL_BITS + log(receiver.saturating_mul(sender)) - log(sender);
    let words = [sender + sender.next_power_of_two(), sender.saturating_mul(rest)].map(|bits| bits.div_ceil(64));
    words.into_iter().map(|words| message(8 * words)).sum()
}

/// Rows of a key-value store (`protocols/src/parameters/okvs.rs`).
fn store(keys: u64) -> u64 {
    if keys <= 32 {
        return keys + 3;
    }
    let (_, per_mille, dense) = STORES.into_iter().find(|(most, ..)| keys <= *most).unwrap_or(LARGE_STORE);
    let bins = keys.div_ceil(BIN_KEYS);
    bins * (keys.saturating_mul(per_mille).div_ceil(1000 * bins) + dense)
}

/// Rounds of an OPRF and its tags, and bytes that the VOLE's receiver and sender send (`protocols/src/cost.rs`).
fn vole(elements: u64) -> (u32, [u64; 2]) {
    if elements <= DIRECT_MOST {
        return (3, [message(3072) + message(512 * elements), message(512)]);
    }
    let trees = 576;
    let depth = (2 * elements.max(1 << 14)).div_ceil(trees).next_power_of_two().ilog2();
    let ots = trees * u64::from(depth);
    let receiver = message(4 * ots) + message(3072) + message(512 * trees);
    (5, [receiver, message(512) + message(16 * (2 * ots + trees))])
}

/// Keys up to, rows for a thousand, and rows besides.
const STORES: [(u64, u64, u64); 10] = [
    (64, 2680, 5),
    (128, 2210, 5),
    (256, 1900, 5),
    (512, 1680, 4),
    (1024, 1540, 4),
    (2048, 1440, 4),
    (4096, 1370, 3),
    (8192, 1325, 3),
    (16_384, 1295, 3),
    (BIN_KEYS, 1272, 3),
];
const LARGE_STORE: (u64, u64, u64) = (u64::MAX, 1280, 3);
const BIN_KEYS: u64 = 40_960;
const STATISTICAL_BITS: u64 = 40;
/// The longest VOLE that is made of OTs alone.
const DIRECT_MOST: u64 = 768;
/// Base OTs of both directions, with two headers.
const BASE_OTS: u64 = 11_296 + 64;
const BASE_ROUNDS: u32 = 2;
/// What the receiver says when it is done.
const DONE_BYTES: u64 = 8;
