//! What the parties prepare before they know their inputs; each correlation is used once.

mod permutation;
mod switching;
pub mod waksman;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use permutation::schedule;
pub use permutation::{Permutation, Shuffle};
pub use words::{Layout, WordKind};
