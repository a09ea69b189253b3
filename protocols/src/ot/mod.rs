//! Oblivious transfer.

pub mod silent;
