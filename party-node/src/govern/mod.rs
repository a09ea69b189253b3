//! The hospital decides: what a site checks before it computes, what it consents to, and what it keeps of each run.

pub mod approval;
pub mod figures;
pub mod gate;
pub mod meeting;
pub mod sets;
pub mod steward;
pub mod study;
#[cfg(test)]
mod tests;
