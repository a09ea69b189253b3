//! Matching of patients between sites: which of my keys another site has too, and its values for them, as shares.

mod cuckoo;
mod equality;
pub mod okvs;
mod payload;
mod windows;

#[cfg(test)]
mod tests;
