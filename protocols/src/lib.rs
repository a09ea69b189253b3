//! Protocols over one concrete [`mpc_core::Session`]: plain async functions that read like their papers.
//!
//! | protocol | parties | security | source | rounds | bytes sent by a site | file |
//! |---|---|---|---|---|---|---|
//! | masked sum, opened to all | 2–20 sites | semi-honest, dishonest majority | Bonawitz et al. CCS'17 §4.0.1 (pairwise masks), commit and echo | 3 (2 for two sites) | (N−1)·(8 or 16 per element + commitment, echo, salt) | `additive/reveal.rs` |
//! | masked sum, sealed | 2–20 sites and an analyst | the same; sites learn nothing | the same | 3 (2 for two sites) | 8 or 16 per element + echo and salt to the analyst, commitment and echo to each site | `additive/reveal.rs` |
//! | union of keys | 2–20 sites and an analyst | the same, given that each key's count is released | Goodrich–Mitzenmacher 2011 (sketch) with random weights, argued in the file | a sealed sum, then 3 (2) | the sealed sum of 2·max_groups cells | `key_union.rs` |
//!
//! Exact bytes are in [`cost`], and a test compares them with what sessions count.

pub mod additive;
pub mod clear;
pub mod cost;
pub mod engine;
pub mod key_union;
pub mod relational;
pub mod release;
pub mod share;
pub mod sketch;

pub use engine::{Engine, Rows};
pub use release::{Audience, Release};
pub use share::{ArithShare, BitShare};
