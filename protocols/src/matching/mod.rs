//! Matching of patients between sites: which of my keys another site has too, and its values for them, as shares.
//!
//! [`align`] is what operators use: tables of patients in, columns of shares out. Under it, from the bottom: [`okvs`], [`oprf`],
//! `opprf`, [`circuit_psi`] between two sites with `cuckoo`, `equality` and `payload`.

pub mod align;
pub mod circuit_psi;
pub mod clear;
mod cuckoo;
mod equality;
pub mod okvs;
mod opprf;
pub mod oprf;
mod payload;
pub mod table;
mod windows;

#[cfg(test)]
mod tests;

pub use align::{Holder, Segment, align, empty};
pub use table::{PatientTable, Shape, rows};
