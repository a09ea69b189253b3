//! Work on matched patients: one small program for every row of every receiver's bins, and the totals over all rows.
//!
//! A [`Circuit`] is the program: bits and numbers made of what sites know, written down once and then run for all rows of all
//! bins together. What everybody knows (a site that is not there knows nothing of anybody) is computed while the circuit is
//! written, and equal things are made once; so a circuit tells which bins and which senders are needed at all
//! ([`Circuit::needed`]). [`totals`] runs it: gates that need messages go level by level, all of a level and kind together, so
//! that rounds follow the depth of the program and not the number of sites, groups and features. [`flags`] gives bits of every row
//! instead of totals over all of them.
//!
//! # Source
//! Batching by level as in every compiler of circuits (e.g. Keller, MP-SPDZ, CCS'20 §4.3). Counting f(sites ≤ j) −
//! f(sites < j) in the bins of site j is ours: it adds up to f for every patient, whoever holds parts of it.

mod circuit;
pub mod clear;
mod events;
mod run;

pub use circuit::{Bit, Circuit, Number, Place, Trend, When};
pub use run::{Flagged, ands, flags, totals};
pub(super) use run::{opened, padded_bits};
