//! OT extension: any number of OTs from 128 base OTs.
//!
//! The base OTs give the receiver 32 groups of 16 seeds and the sender all but one seed of each group, the one at 4 bits of
//! its secret Δ. Summed over the streams of a group, that is a vector OLE over the field of 16 elements; the receiver corrects
//! the 32 of them to its choices. The rows of the resulting bit matrix satisfy q_i = t_i ⊕ choice_i·Δ, and hashing makes masks
//! of them.
//!
//! Both sides keep their place in the streams from call to call. A call costs the receiver one message of 4 bytes per OT
//! (128/k bits with k = 4) and the sender nothing.
//!
//! Constant time: all work and all memory access depend on the number of OTs only, never on choices, Δ, seeds or rows; that
//! AES is, on machines without AES instructions, is the promise of the `aes` crate (bit-sliced).
//!
//! # Source
//! Roy, SoftSpokenOT: Quieter OT Extension from Small-Field Silent VOLE in the Minicrypt Model, Crypto'22 (ePrint 2022/192),
//! semi-honest: Figure 7 (small-field VOLE), Figure 8 with the repetition code (subspace VOLE), Figure 11 (OTs by hashing). The
//! hash is TMMO, see [`mpc_core::hash`].
//! # Deviations
//! The receiver's choices are its inputs, not random: the first group is corrected too, 1/32 more traffic, one call less.
//! No consistency check: a malicious receiver can learn bits of Δ. Streams are AES-128 in counter mode.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use mpc_core::block::{Block, Planes, TILE_WORDS, Tile, transpose_128};
use mpc_core::hash::CorrelationHash;
use mpc_core::leaves::{LEAF_BITS, Leaves, Streams};
use mpc_core::{PartyId, Result, Session};
use zeroize::Zeroize;

use super::tree::Seeds;

/// Groups of base OTs.
pub(super) const GROUPS: usize = 128 / LEAF_BITS;

/// Words of choices that fill one frame with their correction: 2^18 OTs. A call of this size needs 4 MiB of rows and as much
/// for each column of masks; callers with more OTs call again.
pub const CALL_WORDS: usize = 1 << 12;

/// OTs of a tile and of a cipher block.
const TILE_OTS: usize = 64 * TILE_WORDS;
const BLOCK_OTS: u64 = 128;
/// Blocks of a stream: rows have tweaks of 64 bits.
const BLOCKS: u64 = 1 << 56;

/// The choosing side of the OTs with one other site.
pub struct OtReceiver {
    with: PartyId,
    extension: Extension,
}

/// The side that gets both masks of the OTs with one other site.
pub struct OtSender {
    with: PartyId,
    delta: Block,
    extension: Extension,
}

/// What both sides keep.
struct Extension {
    groups: Arc<Vec<Leaves>>,
    hash: Arc<CorrelationHash>,
    pool: Arc<Pool>,
    /// Blocks of every stream that were used, or belong to another.
    used: u64,
    /// Where the blocks of another begin.
    end: u64,
    streams: Box<Streams>,
    planes: Box<Planes>,
}

impl Extension {
    fn new(seeds: &[Seeds], hash: CorrelationHash, pool: Arc<Pool>) -> Self {
        let groups = seeds.iter().map(|seeds| Leaves::new(seeds)).collect();
        Self::of(Arc::new(groups), Arc::new(hash), pool, 0..BLOCKS)
    }

    fn of(groups: Arc<Vec<Leaves>>, hash: Arc<CorrelationHash>, pool: Arc<Pool>, blocks: Range<u64>) -> Self {
        let (streams, planes) = (Streams::new(), Box::default());
        Self { groups, hash, pool, used: blocks.start, end: blocks.end, streams, planes }
    }

    /// Gives half of what is left of every stream to another one, and with it the tweaks of its rows.
    fn split(&mut self) -> Self {
        let middle = self.used + (self.end - self.used) / 2;
        let other = Self::of(self.groups.clone(), self.hash.clone(), self.pool.clone(), middle..self.end);
        self.end = middle;
        other
    }

    /// Folds the streams of each group into its planes, lets `correct` see the group's number, sum and planes, and turns the
    /// planes into rows.
    fn next_tile(&mut self, rows: &mut [Block], mut correct: impl FnMut(usize, &Tile, &mut [Tile])) {
        let blocks = rows.len().div_ceil(BLOCK_OTS as usize);
        self.streams.seek(self.used, blocks);
        self.used += self.next_blocks(blocks as u64);
        let mut sum = [0; TILE_WORDS];
        let (planes, _) = self.planes.0.as_chunks_mut::<LEAF_BITS>();
        for (group, (leaves, planes)) in self.groups.iter().zip(planes).enumerate() {
            leaves.fold(&mut self.streams, &mut sum, planes);
            correct(group, &sum, planes);
        }
        sum.zeroize();
        transpose_128(&self.planes, rows);
    }

    fn rows(&self, words: usize) -> Rows {
        let (hash, pool) = (self.hash.clone(), self.pool.clone());
        Rows { rows: pool.take(64 * words), first: BLOCK_OTS * self.used, hash, pool }
    }

    /// The tweaks of the next rows, which are not made.
    fn tweaks(&mut self, words: usize) -> Tweaks {
        let (rows, first) = (64 * words as u64, BLOCK_OTS * self.used);
        self.used += self.next_blocks(rows.div_ceil(BLOCK_OTS));
        Tweaks(first..first + rows)
    }

    /// As many, where they are this one's.
    fn next_blocks(&self, blocks: u64) -> u64 {
        // Twenty splits leave 2^43 OTs, which no run comes to.
        assert!(blocks <= self.end - self.used, "a part of a stream does not reach into the next one");
        blocks
    }
}

impl OtReceiver {
    /// Another one of the same base OTs, whose OTs are none of this one's.
    pub(super) fn split(&mut self) -> Self {
        Self { with: self.with, extension: self.extension.split() }
    }

    pub(super) fn new(with: PartyId, seeds: &[Seeds], hash: CorrelationHash, pool: Arc<Pool>) -> Self {
        Self { with, extension: Extension::new(seeds, hash, pool) }
    }

    /// Where wiped columns are kept.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.extension.pool.clone()
    }

    /// See [`Tweaks`].
    pub(super) fn tweaks(&mut self, words: usize) -> Tweaks {
        self.extension.tweaks(words)
    }

    /// Chooses in 64·`choices.len()` OTs: bit i of `choices` (64 per word, little end first) for OT i. Queues the correction,
    /// 4 bytes per OT, at the session's step, and does not wait; the sender calls [`OtSender::offer`] at the same step with
    /// the same number of words. No message for no words. Calls of 128 to [`CALL_WORDS`] words are fastest; a call costs at least
    /// as much as 2^10 OTs.
    ///
    /// The sender learns nothing about the choices; to it the correction is masked by a stream whose seed it does not have.
    ///
    /// # Errors
    /// `Link` when the connection is gone.
    pub fn choose(&mut self, session: &mut Session, choices: &[u64]) -> Result<Received> {
        let mut received = Received(self.extension.rows(choices.len()));
        let mut corrections = Vec::with_capacity(GROUPS * choices.len());
        for (choices, rows) in choices.chunks(TILE_WORDS).zip(received.0.rows.chunks_mut(TILE_OTS)) {
            self.extension.next_tile(rows, |_, sum, _| corrections.extend(sum.iter().zip(choices).map(|(u, b)| u ^ b)));
        }
        if !choices.is_empty() {
            session.send(self.with, &corrections)?;
        }
        Ok(received)
    }
}

impl OtSender {
    /// Another one of the same base OTs and Δ, whose OTs are none of this one's.
    pub(super) fn split(&mut self) -> Self {
        Self { with: self.with, delta: self.delta, extension: self.extension.split() }
    }

    pub(super) fn new(with: PartyId, delta: Block, seeds: &[Seeds], hash: CorrelationHash, pool: Arc<Pool>) -> Self {
        Self { with, delta, extension: Extension::new(seeds, hash, pool) }
    }

    /// Where wiped columns are kept.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.extension.pool.clone()
    }

    /// See [`Tweaks`].
    pub(super) fn tweaks(&mut self, words: usize) -> Tweaks {
        self.extension.tweaks(words)
    }

    /// Waits for the correction for 64·`words` OTs. One round, no bytes of our own.
    ///
    /// # Errors
    /// `Peer` with fault `Length` when the correction is not 4 bytes per OT, and as [`Session::recv`] says.
    pub async fn offer(&mut self, session: &mut Session, words: usize) -> Result<Offered> {
        let mut offered = Offered { rows: self.extension.rows(words), delta: self.delta };
        if words > 0 {
            let with = self.with;
            let mut tiles = offered.rows.rows.chunks_mut(TILE_OTS);
            // A frame holds a whole number of full tiles.
            let take = |frame: &[u64]| {
                for (corrections, rows) in frame.chunks(GROUPS * TILE_WORDS).zip(&mut tiles) {
                    self.correct_tile(corrections, rows);
                }
            };
            session.recv_blocks(with, GROUPS * words, take).await?;
        }
        Ok(offered)
    }

    fn correct_tile(&mut self, corrections: &[u64], rows: &mut [Block]) {
        let (delta, words) = (self.delta, rows.len() / 64);
        self.extension.next_tile(rows, |group, _, planes| {
            let correction = &corrections[group * words..(group + 1) * words];
            for (bit, plane) in planes.iter_mut().enumerate() {
                let mask = u64::from(delta.bit(LEAF_BITS * group + bit).unwrap_u8()).wrapping_neg();
                plane.iter_mut().zip(correction).for_each(|(p, c)| *p ^= c & mask);
            }
        });
    }
}

impl Drop for OtSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

/// Wiped row columns of earlier calls: taking fresh memory from the system costs more than filling it.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Vec<Block>>>);

impl Pool {
    /// Columns that are kept: one for each direction. Larger ones than those of a [`CALL_WORDS`] call are not.
    const COLUMNS: usize = 2;

    fn take(&self, len: usize) -> Vec<Block> {
        let mut column = self.0.lock().expect("no code panics while it holds the pool").pop().unwrap_or_default();
        column.resize(len, Block::ZERO);
        column
    }

    fn put_back(&self, mut column: Vec<Block>) {
        column.as_mut_slice().zeroize();
        let mut columns = self.0.lock().expect("no code panics while it holds the pool");
        if columns.len() < Self::COLUMNS && column.capacity() <= 64 * CALL_WORDS {
            columns.push(column);
        }
    }
}

/// Rows of the bit matrix and the tweak of the first. Does not print; wiped when dropped.
pub(super) struct Rows {
    rows: Vec<Block>,
    first: u64,
    hash: Arc<CorrelationHash>,
    pool: Arc<Pool>,
}

impl Rows {
    /// A copy of another extension's rows; `first` is the tweak of the first, never used before with this hash.
    pub(super) fn copy(rows: &[Block], first: u64, hash: Arc<CorrelationHash>, pool: Arc<Pool>) -> Self {
        let mut column = pool.take(rows.len());
        column.copy_from_slice(rows);
        Self { rows: column, first, hash, pool }
    }

    pub(super) fn column(&self) -> &[Block] {
        &self.rows
    }

    pub(super) fn column_mut(&mut self) -> &mut [Block] {
        &mut self.rows
    }

    fn none(&self) -> Self {
        Self { rows: Vec::new(), first: 0, hash: self.hash.clone(), pool: self.pool.clone() }
    }

    fn join(&mut self, of: &Rows, (part, other): &Parts, tweaks: &mut Tweaks) {
        if self.rows.len() != part.len() {
            self.pool.put_back(std::mem::take(&mut self.rows));
            self.rows = self.pool.take(part.len());
        }
        self.first = tweaks.take(part.len());
        let part = &of.rows[part.clone()];
        match other {
            Some(other) => {
                let others = &of.rows[other.clone()];
                self.rows.iter_mut().zip(part.iter().zip(others)).for_each(|(row, (a, b))| *row = *a ^ *b);
            }
            None => self.rows.copy_from_slice(part),
        }
    }

    fn hash_into(&self, offset: Block, out: &mut Vec<Block>) {
        if out.len() != self.rows.len() {
            // Growing would leave a copy of what was in the column, so it is emptied first.
            out.clear();
            out.resize(self.rows.len(), Block::ZERO);
        }
        self.hash.hash(&self.rows, offset, self.first, out);
    }

    fn hash_bits(&self, offset: Block) -> Vec<u64> {
        let mut bits = vec![0; self.rows.len() / 64];
        self.hash.hash_bits(&self.rows, offset, self.first, &mut bits);
        bits
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.pool.put_back(std::mem::take(&mut self.rows));
    }
}

/// Rows of a call, and others that as many of them are added to.
pub(crate) type Parts = (Range<usize>, Option<Range<usize>>);

/// Numbers of OTs that are not made, under which the sums of others are hashed: see [`Received::join`]. Both sides take them at the same place
/// in the same order. No number is that of a row or of another sum, as the streams' blocks behind it are passed over; it cannot be copied.
pub(crate) struct Tweaks(Range<u64>);

impl Tweaks {
    /// These numbers, which no row of the hash has had.
    pub(super) fn new(tweaks: Range<u64>) -> Self {
        Self(tweaks)
    }

    fn take(&mut self, rows: usize) -> u64 {
        let first = self.0.start;
        assert!(rows as u64 <= self.0.end - first, "there is a tweak for each row");
        self.0.start += rows as u64;
        first
    }
}

/// The receiver's rows of a call: t_i, whose hash is the chosen mask of OT i. Does not print; wiped when dropped.
pub struct Received(Rows);

impl Received {
    /// The rows of a receiver of any extension.
    pub(super) fn new(rows: Rows) -> Self {
        Self(rows)
    }

    /// How many OTs.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// No OTs?
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// The rows themselves: t_i = q_i ⊕ choice_i·Δ. Whoever uses them must not hash rows of the same Δ besides.
    pub(super) fn rows(&self) -> &[Block] {
        &self.0.rows
    }

    /// No OTs, for [`Received::join`].
    pub(crate) fn none(&self) -> Self {
        Self(self.0.none())
    }

    /// Replaces these OTs by some whose choices are the sums of two parts of another call's choices, or one part as it is: they have the sums of its
    /// rows, and are hashed under numbers of their own. No message; the sender calls [`Offered::join`].
    ///
    /// t_a ⊕ t_b = (q_a ⊕ q_b) ⊕ (choice_a ⊕ choice_b)·Δ, as Δ is the same for all rows. The mask that was not chosen is
    /// H(t_a ⊕ t_b ⊕ Δ, i) with an i that nothing else of this Δ is hashed under: to the receiver, who knows every t, it looks random
    /// beside those of all other rows and sums, whatever these have to do with each other.
    ///
    /// # Source
    /// Guo, Katz, Wang, Yu, S&P 2020, §7.4: TMMO is tweakable circular correlation robust. There whoever attacks picks the x of
    /// H(x ⊕ Δ, i); it may pick sums.
    pub(crate) fn join(&mut self, of: &Received, parts: &Parts, tweaks: &mut Tweaks) {
        self.0.join(&of.0, parts, tweaks);
    }

    /// Replaces `out` by the chosen mask of each OT: H(t_i).
    pub fn hash_into(&self, out: &mut Vec<Block>) {
        self.0.hash_into(Block::ZERO, out);
    }

    /// The lowest bit of the chosen mask of each OT, 64 per word, little end first: for OTs of single bits, instead of
    /// [`Received::hash_into`] and not beside it.
    pub fn hash_bits(&self) -> Vec<u64> {
        self.0.hash_bits(Block::ZERO)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received(len {})", self.len())
    }
}

/// The sender's rows of a call: q_i, and Δ. Does not print; wiped when dropped.
pub struct Offered {
    rows: Rows,
    delta: Block,
}

impl Offered {
    /// The rows of a sender of any extension.
    pub(super) fn new(rows: Rows, delta: Block) -> Self {
        Self { rows, delta }
    }

    /// How many OTs.
    pub fn len(&self) -> usize {
        self.rows.rows.len()
    }

    /// No OTs?
    pub fn is_empty(&self) -> bool {
        self.rows.rows.is_empty()
    }

    /// The rows themselves: q_i, as [`Received::rows`].
    pub(super) fn rows(&self) -> &[Block] {
        &self.rows.rows
    }

    /// No OTs, for [`Offered::join`].
    pub(crate) fn none(&self) -> Self {
        Self { rows: self.rows.none(), delta: self.delta }
    }

    /// Replaces these OTs by sums of another call's, with this Δ: see [`Received::join`].
    pub(crate) fn join(&mut self, of: &Offered, parts: &Parts, tweaks: &mut Tweaks) {
        self.rows.join(&of.rows, parts, tweaks);
    }

    /// Replaces `zero` and `one` by both masks of each OT: H(q_i) and H(q_i ⊕ Δ).
    pub fn hash_into(&self, zero: &mut Vec<Block>, one: &mut Vec<Block>) {
        self.rows.hash_into(Block::ZERO, zero);
        self.rows.hash_into(self.delta, one);
    }

    /// The lowest bit of both masks of each OT, 64 per word, little end first: for choice zero, for choice one.
    pub fn hash_bits(&self) -> (Vec<u64>, Vec<u64>) {
        (self.rows.hash_bits(Block::ZERO), self.rows.hash_bits(self.delta))
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offered(len {})", self.len())
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

#[cfg(test)]
mod tests;
