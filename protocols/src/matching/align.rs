//! The form of matched patients: what a site enters, and the shares that come out in one receiver's bins.

use std::fmt;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Block, PartyId, Result, Ring, Z64};
use zeroize::Zeroize;

use crate::additive::Additive;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// What a site enters: one row for each of its patients. Private: it does not print and is wiped when dropped.
pub struct PatientTable {
    /// Distinct hashes of the patients' keys.
    pub keys: Vec<Block>,
    /// Columns of numbers, one for each key.
    pub numbers: Vec<Vec<Z64>>,
    /// Columns of bits, a row for each key.
    pub bits: Bits,
}

/// What a site's table looks like. Public: tables are padded with dummies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Rows after padding.
    pub patients: usize,
    /// Columns of numbers.
    pub numbers: usize,
    /// Columns of bits.
    pub bits: usize,
}

/// One receiver's bins.
pub struct Segment {
    /// Whose bins.
    pub receiver: PartyId,
    /// How many.
    pub rows: usize,
    /// The senders in order, then the receiver itself.
    pub holders: Vec<Holder>,
}

/// What one site knows of the patient in each bin; zeros where it does not know the patient.
pub struct Holder {
    /// The site.
    pub site: PartyId,
    /// Does it know the patient?
    pub member: BitShare,
    /// Its columns of numbers.
    pub numbers: Vec<ArithShare<Z64>>,
    /// Its columns of bits.
    pub bits: BitShare,
}

/// Stands where the matching will be.
///
/// # Errors
/// `Local(Other)`.
pub async fn align(
    engine: &mut Additive,
    _: &[Shape],
    _: &[(PartyId, Vec<PartyId>)],
    _: Option<PatientTable>,
) -> Result<Vec<Segment>> {
    Err(engine.fault(LocalFault::Other("patients cannot be matched yet".into())))
}

/// Zeros of the right shape: for counting budgets, and for the analyst.
pub fn empty(shapes: &[Shape], runs: &[(PartyId, Vec<PartyId>)]) -> Vec<Segment> {
    let segment = |(receiver, senders): &(PartyId, Vec<PartyId>)| {
        let rows = shapes[receiver.index()].patients;
        let holder = |site: &PartyId| Holder {
            site: *site,
            member: BitShare::zeros(rows, 1),
            numbers: (0..shapes[site.index()].numbers).map(|_| ArithShare::zeros(rows)).collect(),
            bits: BitShare::zeros(rows, shapes[site.index()].bits),
        };
        Segment { receiver: *receiver, rows, holders: senders.iter().chain([receiver]).map(holder).collect() }
    };
    runs.iter().map(segment).collect()
}

impl Drop for PatientTable {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.numbers.iter_mut().for_each(|column| Z64::wipe(column));
        self.bits.wipe();
    }
}

impl fmt::Debug for PatientTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatientTable({} numbers, {} bits)", self.numbers.len(), self.bits.width())
    }
}
