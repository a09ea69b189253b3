//! Aligning patients. For one receiver of m bins and one sender of n patients, with rows of L words and tags of t bits, E(x) the
//! bytes in which a site chooses in x OTs (4·x, silent x/8):
//!
//! | step | rounds | receiver sends | sender sends |
//! |---|---|---|---|
//! | OPRF at m points | 4; 2 for a VOLE of OTs alone | [`super::oprf`] | [`super::oprf`] |
//! | the store of 3·n values | 1 | | 32 + 16·R·(L/2 + 1), R ≈ 1.28·3·n rows |
//! | differing bits | 2 for each window of 16 chunks of 2^12 bins | E(t·m/2) + 8·⌈t/10⌉·m/2 | the same |
//! | the table of 64 bits | 2 for each window of 16 chunks of 2^15 bins | E(6·m/2) + 8·m/2 | the same |
//! | payload | 2 for each window of 8 chunks | E(m) + 8·L·m | the same |
//! | all sites meet, if they are more than two | 1 at the end | 1 to each other site | the same |
//!
//! Where a patient may have several keys, m and n count keys and not patients ([`Shape::keys`]). With P passes of K layers, of which
//! layer 0 has all rows of the receiver and every other r' of them, each pass takes all but the payload, and then, with S switches of a
//! network of m wires and r the rows of a layer:
//!
//! | step | rounds | receiver sends | sender sends |
//! |---|---|---|---|
//! | permutation | 2 for each window of 2^22 OTs, and 1 | E(S) | 8·(L + 1)·S + 8·(L + 1)·m |
//! | found, for each layer but the first of all | 2 for each window of 8 chunks | E(r) + 8·r | the same |
//! | payload, for each layer | 2 for each window of 8 chunks | E(r) + 8·L·r | the same |
//!
//! Silent OT adds its batches. Every message has a header for each started MiB.

use std::ops::Range;

use mpc_core::PartyId;
use mpc_core::random::PublicSeed;

use super::preparation::Preparation;
use super::{SiteCost, message};
use crate::correlation::{Layout, schedule};
use crate::matching::okvs::Okvs;
use crate::matching::vole::DIRECT_MAX;
use crate::matching::windows::{StageShape, halves};
use crate::matching::{Run, Shape, circuit_psi, equality, opprf, passes, payload, rows};
use crate::ot::Extension;
use crate::parameters::matching::{CUCKOO_HASHES, tag_bits};

/// [`crate::matching::align()`] of tables of these shapes: rounds, and bytes of the site that sends most, after the set-up of OT
/// ([`super::ot_setup`]) and with no silent OT left over.
pub fn align(shapes: &[Shape], runs: &[Run], extension: Extension) -> SiteCost {
    let mut count = Preparation::new(extension, shapes.len());
    for (receiver, senders) in runs {
        let shape = &shapes[receiver.index()];
        for sender in senders {
            let mut pair = Pair { count: &mut count, receiver: receiver.index(), sender: sender.index() };
            match shape.is_by_bins() {
                true => pair.all(rows(shape.patients), &shapes[sender.index()]),
                false => pair.passes(shape, &shapes[sender.index()]),
            }
        }
    }
    if shapes.len() > 2 {
        count.tally.meet(message(1));
    }
    count.tally.cost()
}

/// One receiver and one sender.
struct Pair<'a> {
    count: &'a mut Preparation,
    receiver: usize,
    sender: usize,
}

impl Pair<'_> {
    fn all(&mut self, bins: usize, sender: &Shape) {
        let lanes = sender.layout().lanes();
        self.summands(bins, sender);
        self.product(bins, lanes);
    }

    fn passes(&mut self, receiver: &Shape, sender: &Shape) {
        let (bins, lanes) = (rows(receiver.keys()), sender.layout().lanes());
        for _ in 0..receiver.passes {
            self.summands(bins, sender);
            self.permutation(bins, Layout::new(&passes::with_bit(&sender.layout())).lanes());
        }
        let layers = (0..receiver.passes).flat_map(|_| receiver.layers());
        for (at, rows) in layers.enumerate() {
            if at > 0 {
                self.product(rows, 1);
            }
            self.product(rows, lanes);
        }
    }

    /// The receiver brings its bins into the order of its rows.
    fn permutation(&mut self, bins: usize, lanes: usize) {
        let sites = [self.receiver, self.sender];
        for window in schedule(bins, lanes, sites.len()) {
            let ots = |call: &Range<usize>| call.len().next_multiple_of(64);
            self.count.prepare(&sites, window.iter().map(ots).sum());
            let question = window.iter().map(|call| self.count.choose(self.sender, self.receiver, ots(call))).sum();
            self.sends(self.receiver, self.sender, question);
            let answer = window.iter().map(|call| message(8 * (lanes * call.len()) as u64)).sum();
            self.sends(self.sender, self.receiver, answer);
        }
        self.sends(self.sender, self.receiver, message(8 * (lanes * bins) as u64));
    }

    fn product(&mut self, rows: usize, lanes: usize) {
        if lanes > 0 {
            self.stage(payload::shape(lanes), [0..rows, 0..rows]);
        }
    }

    fn summands(&mut self, bins: usize, sender: &Shape) {
        let lanes = sender.layout().lanes();
        self.oprf(bins);
        self.store(CUCKOO_HASHES * sender.padded_keys(), circuit_psi::value_blocks(lanes));
        let party = |site: usize| PartyId(site as u8);
        let halves = halves(party(self.receiver), party(self.sender), bins);
        self.stage(equality::distance_shape(tag_bits(bins)), halves.clone());
        self.stage(equality::table_shape(), halves);
    }

    /// As `matching/oprf.rs` over `matching/vole.rs`: a large VOLE begins with the receiver's choices and ends with the sender's trees.
    fn oprf(&mut self, bins: usize) {
        let (receiver, sender) = (self.receiver, self.sender);
        let Some((by_receiver, by_sender)) = super::oprf(bins) else { return };
        let is_large = Okvs::new(bins, PublicSeed([0; 32])).is_some_and(|store| store.blocks() > DIRECT_MAX);
        let tally = &mut self.count.tally;
        tally.sends(receiver, by_receiver.bytes);
        tally.sends(sender, by_sender.bytes);
        let chosen_at = tally.depth(receiver);
        tally.receives(receiver, tally.depth(sender));
        if is_large {
            tally.receives(sender, chosen_at);
        }
        tally.receives(sender, tally.depth(receiver));
        if is_large {
            tally.receives(receiver, tally.depth(sender));
        }
        tally.receives(sender, tally.depth(receiver));
    }

    fn store(&mut self, points: usize, blocks: usize) {
        // Only the shape is asked for, which is the same under every seed.
        let rows = Okvs::new(points, PublicSeed([0; 32])).map_or(0, |store| store.blocks());
        let passes = opprf::passes(points, blocks).map(|pass| message(16 * (rows * pass.len()) as u64));
        self.sends(self.sender, self.receiver, message(32) + passes.sum::<u64>());
    }

    fn sends(&mut self, from: usize, to: usize, bytes: u64) {
        let sent_at = self.count.tally.depth(from);
        self.count.tally.sends(from, bytes);
        self.count.tally.receives(to, sent_at);
    }

    /// As `matching/windows.rs`: rows in which the receiver chooses, and in which the sender does.
    fn stage(&mut self, shape: StageShape, rows: [Range<usize>; 2]) {
        let windows = rows.map(|rows| shape.windows(rows));
        for window in 0..windows[0].len().max(windows[1].len()) {
            let chunks = windows.each_ref().map(|windows| windows.get(window).map_or(&[][..], Vec::as_slice));
            self.window(&shape, chunks);
        }
    }

    fn window(&mut self, shape: &StageShape, chunks: [&[Range<usize>]; 2]) {
        let sites = [self.receiver, self.sender];
        let ots = |chunk: &Range<usize>| 64 * shape.words(chunk);
        let most = chunks.map(|chunks| chunks.iter().map(ots).sum::<usize>()).into_iter().max();
        self.count.prepare(&sites, most.unwrap_or(0));
        let chosen_at = sites.map(|site| self.count.tally.depth(site));
        let mut answered_at = [0; 2];
        for (chooser, other) in [(0, 1), (1, 0)] {
            for chunk in chunks[chooser] {
                let question = self.count.choose(sites[other], sites[chooser], ots(chunk));
                self.count.tally.sends(sites[chooser], question);
                self.count.tally.receives(sites[other], chosen_at[chooser]);
                self.count.tally.sends(sites[other], message(8 * (shape.answer * chunk.len()) as u64));
                answered_at[other] = self.count.tally.depth(sites[other]);
            }
        }
        for (chooser, other) in [(0, 1), (1, 0)] {
            if !chunks[chooser].is_empty() {
                self.count.tally.receives(sites[chooser], answered_at[other]);
            }
        }
    }
}
