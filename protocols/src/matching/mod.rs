//! Matching: which keys two sites have in common, and what is built on that.

pub mod vole;
