//! Correlated randomness, made by the sites themselves from oblivious transfer: nobody deals.
//!
//! A [`Pool`] is filled from a [`Budget`] before it is used; what is taken is gone (a correlation used twice would be a
//! two-time pad), and taking more than there is fails at once.

mod bit_triples;
mod budget;
mod dabits;
mod edabits;
mod permutation;
mod pool;
mod products;
mod ring_triples;
mod selections;

pub use budget::{Budget, Group};
pub(crate) use pool::{BitTriples, Pool};
