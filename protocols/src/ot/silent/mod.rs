//! Silent random OT.

pub mod expand_convolute;
pub mod pprf;
