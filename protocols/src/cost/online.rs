//! Operations of the additive engine, once their correlations are made. Rows and elements at least one.
//!
//! With N sites, Open(B) is opening B bytes of masks: below 2^15 bytes, or for two sites, one round and (N−1)·B to the others;
//! else two rounds and about 2·B·(N−1)/N, by reduce-scatter. ⌈rows/64⌉ words are W. A frame header of 32 bytes for each started
//! MiB of a message is included.

use mpc_core::PartyId;

use super::tally::Tally;
use super::{SiteCost, shuffle};
use crate::additive::traffic::{self, Step};
use crate::correlation::{Chains, Group};

fn of(sites: u64, steps: impl FnOnce(&Group) -> Vec<Step>) -> SiteCost {
    let mut tally = Tally::new(sites as usize);
    let group: Group = (0..sites as u8).map(PartyId).collect();
    tally.open_all(&steps(&group));
    tally.cost()
}

/// [`crate::Engine::mul`]: Open(2·elements·element_bytes).
pub fn mul(sites: u64, elements: u64, element_bytes: u64) -> SiteCost {
    of(sites, |group| traffic::mul(group, elements as usize, element_bytes as usize))
}

/// [`crate::Engine::and`]: Open(16·W·width).
pub fn and(sites: u64, rows: u64, width: u64) -> SiteCost {
    of(sites, |group| traffic::and(group, rows as usize, width as usize))
}

/// [`crate::Engine::b2a`] into any ring: Open(8·W·width).
pub fn b2a(sites: u64, rows: u64, width: u64) -> SiteCost {
    of(sites, |group| traffic::b2a(group, rows as usize, width as usize))
}

/// [`crate::Engine::select`]: Open(8·W) beside Open(rows·element_bytes).
pub fn select(sites: u64, rows: u64, element_bytes: u64) -> SiteCost {
    of(sites, |group| traffic::select(group, rows as usize, element_bytes as usize))
}

/// [`crate::Engine::a2b`]. Ripple: bits − 1 times Open(16·W) among every group of the tree of adders that a site is in, all at
/// once. Prefix: for each level of the tree Open(16·W·(bits − 1)), then log2(bits − 1) times up to Open(16·W·(bits − 1)).
pub fn a2b(sites: u64, chains: Chains, rows: u64, bits: u64) -> SiteCost {
    of(sites, |group| traffic::a2b(group, chains, rows as usize, bits as usize))
}

/// [`crate::Engine::negative`], and so every comparison. Up to three sites as [`a2b`], with half of the network at the last level
/// (prefix); from four on Open(8·rows), then bits − 1 times Open(16·W) (ripple), or log2(bits − 1) times, Open(32·W·(bits − 2)) in
/// all (prefix).
pub fn negative(sites: u64, chains: Chains, rows: u64, bits: u64) -> SiteCost {
    of(sites, |group| traffic::negative(group, chains, rows as usize, bits as usize))
}

/// [`crate::Engine::is_zero`], and so `equals`: as [`a2b`] without the last level of the tree, then log2(bits) times Open, 16·W·(bits − 1)
/// bytes in all.
pub fn is_zero(sites: u64, chains: Chains, rows: u64, bits: u64) -> SiteCost {
    of(sites, |group| traffic::is_zero(group, chains, rows as usize, bits as usize))
}

/// [`crate::Engine::place`] of rows whose words, places included, take `lanes` lanes: a [`shuffle`], then Open(4·rows).
pub fn place(sites: u64, rows: u64, lanes: u64) -> SiteCost {
    shuffle(sites, rows, lanes).then(of(sites, |group| traffic::places(group, rows as usize)))
}
