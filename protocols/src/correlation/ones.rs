//! How many bits are 1 of columns that some sites share, and of the XORs of two of them.
//!
//! Bits become numbers as in [`dabits`](super::dabits): the sites come in turn, and each multiplies its own bit with the number that those before it share, by
//! OTs whose choices are its bits. A XOR of two columns has as bits the XORs of theirs, so its OTs are sums of those that are extended for the columns
//! ([`Received::join`]): what a site sends to choose is for each column and not for each XOR. Whoever multiplies sends for each XOR and bit the low bytes of a number:
//! more than the low bits of a count nobody asks for, and what is above them never gets below.
//!
//! # Source
//! As `dabits`; OTs of XORs: [`Received::join`].

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::ops::Range;

use mpc_core::bits::xor_words;
use mpc_core::{Block, PartyId, PowerOfTwo, Result, Ring, Session, Z32};
use zeroize::{Zeroize, Zeroizing};

use super::held::{Held, Sites};
use crate::ot::{CALL_WORDS, Offered, Ot, Parts, Received, Tweaks};

/// A column, or where it differs from another one.
pub(crate) type Difference = (usize, Option<usize>);

/// Differences whose ones are counted by the same sites, in columns of the same length.
pub(crate) struct Job {
    pub by: Sites,
    /// Of a column.
    pub words: usize,
    /// Which differences.
    pub counts: Vec<usize>,
    /// In what OTs are extended: the columns, or the differences where these are fewer.
    pub extended: Vec<Difference>,
    /// Of which of these each difference is.
    rows: Vec<Difference>,
}

impl Job {
    fn new(by: Sites, words: usize, (counts, of): (Vec<usize>, Vec<Difference>)) -> Self {
        let columns: BTreeSet<usize> = of.iter().flat_map(both).collect();
        if columns.len() < of.len() {
            let place: BTreeMap<usize, usize> = columns.iter().copied().zip(0..).collect();
            let rows = of.iter().map(|(a, b)| (place[a], b.map(|b| place[&b]))).collect();
            return Self { by, words, counts, extended: columns.into_iter().map(|at| (at, None)).collect(), rows };
        }
        let rows = (0..of.len()).map(|at| (at, None)).collect();
        Self { by, words, counts, extended: of, rows }
    }

    /// Words that run together: no more of all differences than a call of OTs has, but one of each.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let (words, most) = (self.words, (CALL_WORDS / self.counts.len().max(1)).max(1));
        (0..words).step_by(most).map(move |start| start..words.min(start + most))
    }

    fn members(&self) -> Vec<PartyId> {
        self.by.iter().copied().collect()
    }
}

/// What is counted where, without what nobody holds. All parties make the same of the same.
pub(crate) fn jobs(columns: &[Held], differences: &[Difference]) -> Vec<Job> {
    let is_held = |at: &usize| !columns[*at].by.is_empty();
    let mut alike: BTreeMap<(Sites, usize), (Vec<usize>, Vec<Difference>)> = BTreeMap::new();
    for (count, difference) in differences.iter().enumerate() {
        let mut held = both(difference).filter(is_held);
        let Some(a) = held.next() else { continue };
        let difference = (a, held.next());
        let by = both(&difference).fold(Sites::new(), |by, at| &by | &columns[at].by);
        let (counts, of) = alike.entry((by, columns[a].words.len())).or_default();
        counts.push(count);
        of.push(difference);
    }
    let cut = |((by, words), (counts, of)): ((Sites, usize), (Vec<usize>, Vec<Difference>))| {
        let parts = counts.chunks(CALL_WORDS).zip(of.chunks(CALL_WORDS));
        parts.map(|(counts, of)| Job::new(by.clone(), words, (counts.to_vec(), of.to_vec()))).collect::<Vec<_>>()
    };
    alike.into_iter().flat_map(cut).collect()
}

/// Bytes that a number of so many bits is sent in.
pub(crate) fn number_bytes(bits: usize) -> usize {
    bits.clamp(1, Z32::BITS).div_ceil(8)
}

/// This site's summands of a job's counts, mod 2^`bits`; it is one of those who hold the columns.
pub(super) async fn of_job(
    s: &mut Session,
    ot: &mut Ot,
    job: &Job,
    (columns, bits): (&[Held], usize),
) -> Result<Vec<Z32>> {
    let mut counts = vec![Z32(0); job.counts.len()];
    let mut buffers = Buffers::default();
    for range in job.ranges() {
        let own = Zeroizing::new(words(columns, &job.extended, &range));
        let mut batch = Batch { job, words: range.len(), bytes: number_bytes(bits), own: &own, numbers: Vec::new() };
        // Nothing is shared.
        if job.by.len() == 1 {
            counts.iter_mut().enumerate().for_each(|(at, count)| *count = count.add(batch.ones(at)));
            continue;
        }
        batch.run(s, ot, &mut buffers).await?;
        for (count, numbers) in counts.iter_mut().zip(batch.numbers.chunks(64 * range.len())) {
            *count = numbers.iter().fold(*count, |sum, number| sum.add(*number));
        }
    }
    Ok(counts)
}

/// The same words of all of them, one column after the other.
fn words(columns: &[Held], of: &[Difference], range: &Range<usize>) -> Vec<u64> {
    let mut all = Vec::with_capacity(of.len() * range.len());
    for (a, b) in of {
        let at = all.len();
        all.extend_from_slice(&columns[*a].words[range.clone()]);
        if let Some(b) = b {
            xor_words(&mut all[at..], &columns[*b].words[range.clone()]);
        }
    }
    all
}

fn both((a, b): &Difference) -> impl Iterator<Item = usize> + use<> {
    once(*a).chain(*b)
}

/// Words that run together. Numbers are wiped when dropped.
struct Batch<'a> {
    job: &'a Job,
    words: usize,
    /// Of a number in a message.
    bytes: usize,
    /// This site's share of what OTs are extended in.
    own: &'a [u64],
    /// Its summands of each difference's bits.
    numbers: Vec<Z32>,
}

impl Batch<'_> {
    /// Its own bits.
    fn begin(&mut self) {
        let rows = 64 * self.words;
        self.numbers = Vec::with_capacity(rows * self.job.rows.len());
        for at in 0..self.job.rows.len() {
            let bits = Zeroizing::new(self.bits(at));
            self.numbers.extend((0..rows).map(|row| Z32((bits[row / 64] >> (row % 64)) as u32 & 1)));
        }
    }

    /// The sites in turn, as `dabits::numbers`: all choices first.
    async fn run(&mut self, s: &mut Session, ot: &mut Ot, buffers: &mut Buffers) -> Result<()> {
        let (me, members) = (s.me(), self.job.members());
        let others: Vec<PartyId> = members.into_iter().filter(|site| *site != me).collect();
        ot.prepare(s, &others, 64 * self.own.len()).await?;
        let sums = self.words * self.job.rows.len();
        let mut chosen = Vec::with_capacity(others.len());
        for peer in others.iter().filter(|peer| **peer < me) {
            let receiver = ot.receiver(*peer);
            chosen.push((*peer, receiver.choose(s, self.own)?, receiver.tweaks(sums)));
        }
        self.begin();
        for (peer, received, tweaks) in chosen {
            self.take(s, peer, (received, tweaks), buffers).await?;
        }
        for peer in others.iter().filter(|peer| **peer > me) {
            let sender = ot.sender(*peer);
            let offered = sender.offer(s, self.own.len()).await?;
            let message = self.offer(&offered, sender.tweaks(sums), buffers);
            s.send(*peer, message)?;
        }
        Ok(())
    }

    /// As receiver: my bits with the numbers of a site before me.
    async fn take(
        &mut self,
        s: &mut Session,
        from: PartyId,
        (received, mut tweaks): (Received, Tweaks),
        buffers: &mut Buffers,
    ) -> Result<()> {
        let len = self.bytes * self.numbers.len();
        let message = buffers.message(len);
        let mut at = 0;
        let take = |block: &[u8]| {
            message[at..at + block.len()].copy_from_slice(block);
            at += block.len();
        };
        s.recv_blocks(from, len, take).await?;
        let (rows, mut joined) = (64 * self.words, received.none());
        for at in 0..self.job.rows.len() {
            let bits = Zeroizing::new(self.bits(at));
            joined.join(&received, &self.parts(at), &mut tweaks);
            joined.hash_into(&mut buffers.zero);
            let (message, numbers) =
                (&buffers.message[self.bytes * rows * at..], &mut self.numbers[rows * at..][..rows]);
            Z32::take_plane(0, &buffers.zero, &bits, self.bytes, message, numbers);
        }
        Ok(())
    }

    /// As sender: what I hold by now with the bits of a site behind me.
    fn offer<'b>(&mut self, offered: &Offered, mut tweaks: Tweaks, buffers: &'b mut Buffers) -> &'b [u8] {
        let (rows, len) = (64 * self.words, self.bytes * self.numbers.len());
        buffers.message(len);
        let (mut minus_twice, mut joined) = (Zeroizing::new(vec![Z32(0); rows]), offered.none());
        for at in 0..self.job.rows.len() {
            let Buffers { zero, one, message } = buffers;
            joined.join(offered, &self.parts(at), &mut tweaks);
            joined.hash_into(zero, one);
            let numbers = &mut self.numbers[rows * at..][..rows];
            minus_twice.iter_mut().zip(numbers.iter()).for_each(|(twice, x)| *twice = Z32(0).sub(x.add(*x)));
            Z32::offer_plane(0, (zero, one), &minus_twice, numbers, self.bytes, &mut message[self.bytes * rows * at..]);
        }
        &buffers.message[..len]
    }

    /// How many of its own bits are 1.
    fn ones(&self, at: usize) -> Z32 {
        // `sum` branches on an overflow, which a secret has a part in.
        let bits = Zeroizing::new(self.bits(at));
        bits.iter().fold(Z32(0), |ones, word| ones.add(Z32(word.count_ones())))
    }

    /// This site's share of a difference.
    fn bits(&self, at: usize) -> Vec<u64> {
        let (a, b) = self.job.rows[at];
        let mut bits = self.own[self.words * a..][..self.words].to_vec();
        if let Some(b) = b {
            xor_words(&mut bits, &self.own[self.words * b..][..self.words]);
        }
        bits
    }

    /// The OTs of a difference.
    fn parts(&self, at: usize) -> Parts {
        let (rows, (a, b)) = (64 * self.words, self.job.rows[at]);
        let of = |at: usize| rows * at..rows * (at + 1);
        (of(a), b.map(of))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.numbers.iter_mut().for_each(|number| number.0.zeroize());
    }
}

/// Columns that are used again from batch to batch.
#[derive(Default)]
struct Buffers {
    zero: Vec<Block>,
    one: Vec<Block>,
    message: Vec<u8>,
}

impl Buffers {
    /// A message of so many bytes, and what kernels read and write behind it. What it had is nothing that its receiver may not see.
    fn message(&mut self, len: usize) -> &mut [u8] {
        if self.message.len() < len + SLACK {
            self.message.resize(len + SLACK, 0);
        }
        &mut self.message
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.zero.zeroize();
        self.one.zeroize();
    }
}

/// See [`PowerOfTwo::offer_plane`].
const SLACK: usize = 16;
