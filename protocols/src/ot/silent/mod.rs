//! Silent random OT.

pub mod expand_convolute;
