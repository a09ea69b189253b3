//! Matching: which keys sites have in common, and what is built on that.
//!
//! Two ways that tell one site the common keys: [`psi`] and [`ecdh`]. And one that tells nobody anything: [`align()`] takes tables of
//! patients and gives columns of shares, other sites' values beside one's own patients. Under it, from the bottom: [`vole`], [`okvs`],
//! [`oprf`], `opprf`, [`circuit_psi`] between two sites with `cuckoo`, `equality` and `payload`, and `passes` where patients have
//! several keys, in one pass or in several. [`Beside`] has several tables of the same patients share one alignment.

pub mod align;
mod beside;
pub mod circuit_psi;
pub mod clear;
mod cuckoo;
pub mod ecdh;
pub(crate) mod equality;
pub mod identifiers;
pub mod okvs;
pub(crate) mod opprf;
pub mod oprf;
pub(crate) mod passes;
pub(crate) mod payload;
pub mod psi;
pub mod table;
pub mod texts;
pub mod vole;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

pub use align::{Holder, Run, Segment, align, empty};
pub use beside::{Beside, Part};
pub use table::{Further, PatientTable, Places, Shape, rows};
