//! Correlated randomness, made by the sites themselves from oblivious transfer: nobody deals.
//!
//! A pool is filled from a [`Budget`] before it is used; what is taken is gone (a correlation used twice would be a
//! two-time pad), and taking more than there is fails at once.

mod bit_triples;
mod budget;
mod dabits;
mod edabits;
pub(crate) mod held;
mod masks;
pub(crate) mod ones;
mod permutation;
mod pool;
mod products;
mod ring_triples;
mod selections;
mod switching;
pub mod waksman;
mod words;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Chains, Group};
pub(crate) use masks::{Expansion, MaskBuffer};
pub(crate) use permutation::schedule;
pub use permutation::{Permutation, Shuffle};
pub(crate) use pool::{BitTriples, Pool};
pub(crate) use products::message_len;
pub(crate) use words::sub;
pub use words::{Layout, WordKind};

/// Elements, or words of bits, that are made at once.
pub(crate) mod batches {
    pub(crate) use super::bit_triples::BATCH as BIT_TRIPLES;
    pub(crate) use super::dabits::BATCH as DABITS;
    pub(crate) use super::ring_triples::BATCH as RING_TRIPLES;
    pub(crate) use super::selections::BATCH as SELECTIONS;
}
