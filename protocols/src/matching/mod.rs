//! Matching of patients between sites: which of my keys another site has too, and its values for them, as shares.
//!
//! [`align`] is what operators use: tables of patients in, columns of shares out. Under it, from the bottom: [`okvs`], [`oprf`],
//! `opprf`, [`circuit_psi`] between two sites with `cuckoo`, `equality` and `payload`, and `passes` where patients have several keys.

pub mod align;
pub mod circuit_psi;
pub mod clear;
mod cuckoo;
pub(crate) mod equality;
pub mod okvs;
pub(crate) mod opprf;
pub mod oprf;
pub(crate) mod passes;
pub(crate) mod payload;
pub mod table;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

pub use align::{Holder, Run, Segment, align, empty};
pub use table::{PatientTable, Shape, rows};
