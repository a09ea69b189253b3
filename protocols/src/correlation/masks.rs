//! Masks of OTs, stretched to rows of lanes.

use std::ops::Range;

use mpc_core::hash::CorrelationHash;
use mpc_core::{Block, PartyId, Session};
use zeroize::Zeroizing;

/// Masks of OTs as rows of lanes, for one pair of sites and direction.
///
/// A mask of 128 bits is a row of one or two lanes as it stands. Longer rows are hashes of it, with a tweak that names OT
/// and part: a mask is uniform, and each of its hashes is used once.
pub(crate) struct Expansion {
    hash: CorrelationHash,
}

/// Tweak of part p of OT s: p·2^40 + s; a network of 2^32 wires has fewer than 2^38 switches.
const PART_TWEAK_BITS: u32 = 40;

impl Expansion {
    /// For OTs whose masks `sender` offers, at this step.
    pub fn new(session: &Session, sender: PartyId, receiver: PartyId) -> Self {
        Self { hash: CorrelationHash::new(session.id(), session.path(), sender, receiver) }
    }

    fn part(&self, masks: &[Block], ots: &Range<usize>, part: usize, out: &mut [Block]) {
        let tweak = (part as u64) << PART_TWEAK_BITS | ots.start as u64;
        self.hash.hash(masks, Block::ZERO, tweak, out);
    }
}

/// Masks of one call as the OTs give them, and as rows of lanes. Wiped when dropped.
pub(crate) struct MaskBuffer {
    lanes: usize,
    /// Where OTs put their masks.
    pub blocks: Zeroizing<Vec<Block>>,
    /// The rows.
    pub words: Zeroizing<Vec<u64>>,
    part: Zeroizing<Vec<Block>>,
}

impl MaskBuffer {
    /// Room for calls of at most so many OTs, so that no column grows and leaves a copy.
    pub fn new(longest: usize, lanes: usize) -> Self {
        let part = if lanes > 2 { longest } else { 0 };
        Self {
            lanes,
            blocks: Zeroizing::new(Vec::with_capacity(longest.next_multiple_of(64))),
            words: Zeroizing::new(Vec::with_capacity(longest * lanes)),
            part: Zeroizing::new(vec![Block::ZERO; part]),
        }
    }

    /// `words` from `blocks`: one row for each OT.
    pub fn expand(&mut self, expansion: &Expansion, ots: &Range<usize>) {
        let (masks, lanes) = (&self.blocks[..ots.len()], self.lanes);
        self.words.clear();
        self.words.resize(masks.len() * lanes, 0);
        if lanes <= 2 {
            return spread(masks, 0, lanes, &mut self.words);
        }
        let hashes = &mut self.part[..masks.len()];
        for part in 0..lanes.div_ceil(2) {
            expansion.part(masks, ots, part, hashes);
            spread(hashes, 2 * part, lanes, &mut self.words);
        }
    }
}

/// Writes each block to one or two lanes of its row.
fn spread(blocks: &[Block], lane: usize, lanes: usize, words: &mut [u64]) {
    let both = lane + 1 < lanes;
    for (block, row) in blocks.iter().zip(words.chunks_exact_mut(lanes)) {
        row[lane] = block.0 as u64;
        if both {
            row[lane + 1] = (block.0 >> 64) as u64;
        }
    }
}
