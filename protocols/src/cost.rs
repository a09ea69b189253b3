//! What a protocol will send, known before it runs. Tests hold these formulas against what sessions count.

mod matching;
mod online;
mod preparation;
mod psi;
mod tally;

pub use matching::align;
pub use online::{a2b, and, b2a, is_zero, mul, negative, place, select};
pub(crate) use preparation::Preparation;
pub use preparation::of;
pub use psi::psi;

use mpc_core::random::PublicSeed;
use mpc_core::transport::Header;
use mpc_core::wire::MAX_FRAME_BYTES;

use crate::correlation::schedule;
use crate::matching::okvs::Okvs;
use crate::matching::vole::DIRECT_MAX;
use crate::parameters::{Code, Lpn};
use crate::release::Audience;

/// Messages of one site, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SiteCost {
    /// Longest chain of dependent messages.
    pub rounds: u32,
    /// Bytes sent, frame headers included.
    pub bytes: u64,
}

impl SiteCost {
    /// One after the other.
    pub fn then(self, next: SiteCost) -> SiteCost {
        SiteCost { rounds: self.rounds + next.rounds, bytes: self.bytes + next.bytes }
    }

    /// Side by side.
    pub fn beside(self, other: SiteCost) -> SiteCost {
        SiteCost { rounds: self.rounds.max(other.rounds), bytes: self.bytes + other.bytes }
    }
}

/// Bytes of one message: its body and a header for each started block.
pub fn message(body_bytes: u64) -> u64 {
    let frames = body_bytes.div_ceil(MAX_FRAME_BYTES as u64).max(1);
    body_bytes + frames * Header::BYTES as u64
}

/// Opening a column of `elements` elements of `element_bytes` (see `additive/reveal.rs`).
pub fn reveal(sites: u64, analyst: bool, audience: Audience, elements: u64, element_bytes: u64) -> SiteCost {
    let others = sites - 1;
    let analysts = u64::from(analyst);
    let echoes = if others < 2 { 0 } else { others } + analysts;
    let openings = analysts + if audience == Audience::Everyone { others } else { 0 };
    let bytes = others * message(32)
        + echoes * message(32 * sites)
        + openings * (message(32) + message(elements * element_bytes));
    SiteCost { rounds: if others < 2 { 2 } else { 3 }, bytes }
}

/// Agreeing a union of keys (see `key_union.rs`): the sealed sketch, the list back from the analyst, and the sites' echo.
pub fn key_union(sites: u64, sketch_elements: u64) -> SiteCost {
    let others = sites - 1;
    let back = SiteCost { rounds: 2, bytes: others * message(32) };
    reveal(sites, true, Audience::Analyst, sketch_elements, 8).then(back)
}

/// Base OTs and seeds of both directions with every other site (see `ot/mod.rs`): 257 points, then 192 blocks.
pub fn ot_setup(sites: u64) -> SiteCost {
    SiteCost { rounds: 2, bytes: (sites - 1) * (message(257 * 32) + message(192 * 16)) }
}

/// A call of `ots` OTs, a multiple of 64, in both directions with every other site: 4 bytes for each OT in which a site chooses.
pub fn ot_extension(sites: u64, ots: u64) -> SiteCost {
    SiteCost { rounds: 1, bytes: (sites - 1) * message(4 * ots) }
}

/// A silent batch in both directions with every other site: the corrections of its base OTs, then two blocks for each of them and one
/// for each tree (see `ot/silent/mod.rs`).
pub fn silent_batch(sites: u64, lpn: &Lpn) -> SiteCost {
    let (ots, trees) = (lpn.base_ots() as u64, lpn.noise_blocks as u64);
    SiteCost { rounds: 2, bytes: (sites - 1) * (message(4 * ots) + message(16 * (2 * ots + trees))) }
}

/// A call of `ots` prepared silent OTs, a multiple of 64, in both directions with every other site: a bit for each OT in which a
/// site chooses.
pub fn silent_call(sites: u64, ots: u64) -> SiteCost {
    SiteCost { rounds: 1, bytes: (sites - 1) * message(ots / 8) }
}

/// A VOLE of `elements` elements (see `matching/vole.rs`), or None outside the table: at its receiver, and at its sender.
pub fn vole(elements: usize) -> Option<(SiteCost, SiteCost)> {
    let (asked, answered) = (message(512), message(3072));
    if elements <= DIRECT_MAX {
        let values = if elements == 0 { 0 } else { message(512 * elements as u64) };
        return Some((SiteCost { rounds: 1, bytes: answered + values }, SiteCost { rounds: 2, bytes: asked }));
    }
    let lpn = Lpn::vole(elements, Code::ExpandConvolute7)?;
    let (ots, trees) = (lpn.base_ots() as u64, lpn.noise_blocks as u64);
    let receiver = message(4 * ots) + answered + message(512 * trees);
    let sender = asked + message(16 * (2 * ots + trees));
    Some((SiteCost { rounds: 3, bytes: receiver }, SiteCost { rounds: 2, bytes: sender }))
}

/// An OPRF at `keys` keys (see `matching/oprf.rs`), or None outside the table: at its receiver, and at its sender.
pub fn oprf(keys: usize) -> Option<(SiteCost, SiteCost)> {
    let blocks = Okvs::new(keys.max(1), PublicSeed([0; 32]))?.blocks();
    let (receiver, sender) = vole(blocks)?;
    let column = message(32) + message(16 * blocks as u64);
    // The receiver's last message is one round behind what it waited for.
    let rounds = receiver.rounds + 1;
    Some((SiteCost { bytes: receiver.bytes + column, ..receiver }, SiteCost { rounds, ..sender }))
}

/// Preparing one permutation of `rows` rows of `lanes` 8-byte lanes (see `correlation/permutation.rs`): at its owner, and at each
/// other site.
pub fn permutation_prepare(sites: u64, rows: u64, lanes: u64) -> (SiteCost, SiteCost) {
    let windows = schedule(rows as usize, lanes as usize, sites as usize);
    let calls = || windows.iter().flatten().map(|call| call.len() as u64);
    let choices = calls().map(|ots| message(4 * ots.next_multiple_of(64))).sum::<u64>();
    let corrections = calls().map(|ots| message(8 * lanes * ots)).sum();
    let rounds = if sites > 1 { 2 * windows.len() as u32 } else { 0 };
    (SiteCost { rounds, bytes: (sites - 1) * choices }, SiteCost { rounds, bytes: corrections })
}

/// Preparing a shuffle: a permutation of every site, all at once.
pub fn shuffle_prepare(sites: u64, rows: u64, lanes: u64) -> SiteCost {
    let (owner, other) = permutation_prepare(sites, rows, lanes);
    SiteCost { rounds: owner.rounds, bytes: owner.bytes + (sites - 1) * other.bytes }
}

/// A prepared shuffle of rows: a site's masked share to each other site in turn.
pub fn shuffle(sites: u64, rows: u64, lanes: u64) -> SiteCost {
    let rounds = if sites > 1 { sites as u32 } else { 0 };
    SiteCost { rounds, bytes: (sites - 1) * message(8 * lanes * rows) }
}
