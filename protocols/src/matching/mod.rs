//! Matching: which keys two sites have in common, and what is built on that.

pub mod ecdh;
pub mod okvs;
pub mod oprf;
pub mod psi;
pub mod vole;
