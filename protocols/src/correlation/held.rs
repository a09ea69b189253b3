//! Bits of which only some sites hold a share: their products and the number of ones, by OTs among these sites alone and without
//! triples.
//!
//! A triple of all N sites takes N(N−1) OTs. A product of bits that two sites share, of which one knows the other factor, takes one.
//!
//! # Source
//! Goldreich–Micali–Wigderson, STOC'87, with the inputs' own shares as choices: (Σ a_p)(Σ b_q) is what each site has of both, and one OT
//! for each a_p·b_q of two sites, whose messages differ by a_p (Asharov–Lindell–Schneider–Zohner, CCS'13). Bits to numbers: `ones.rs`.
//! # Deviations
//! Only pairs of sites that hold a share run: who they are is public. Where more than one site holds a share, every output is masked by an OT of its own at each pair, so that
//! products may be opened, or used again, as those of triples.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use mpc_core::bits::xor_words;
use mpc_core::{PartyId, Result, Session, Z32};
use zeroize::{Zeroize, Zeroizing};

use super::ones::{self, Difference};
use crate::ot::{CALL_WORDS, Ot};

/// Sites in order.
pub(crate) type Sites = BTreeSet<PartyId>;

/// A site's share of words of bits, and who holds one that may not be zero, which everybody knows. It does not print and is wiped when
/// dropped.
pub(crate) struct Held {
    pub by: Sites,
    pub words: Vec<u64>,
}

impl Held {
    /// Zeros, of which nobody holds more.
    pub fn zeros(words: usize) -> Self {
        Self { by: Sites::new(), words: vec![0; words] }
    }

    /// Exactly one of both. No message.
    pub fn xor(&self, other: &Held) -> Self {
        let mut words = self.words.clone();
        xor_words(&mut words, &other.words);
        Self { by: &self.by | &other.by, words }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// What is done with such bits, in a session or to count what it costs.
pub(crate) trait Work {
    /// Of each pair both, word by word. For each batch of [`batches`] two rounds; from a site 256 bytes a word to each site that holds the
    /// left part where it holds the right one, and 8 to each that holds the right part where it holds the left one.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    fn and_all(&mut self, pairs: &[(&Held, &Held)]) -> impl Future<Output = Result<Vec<Held>>> + Send;

    /// How many bits of each of these are 1, mod 2^`bits`, at most 32, of a column or of the XOR of two of one length. For each batch as many
    /// rounds as there are holders, none for one. From a holder 256 bytes for each word of a column, or of a difference where these are fewer, to every
    /// holder before it, and 64 numbers of `bits` bits, in whole bytes, for each word of a difference to every holder behind it.
    ///
    /// # Errors
    /// As [`Session::recv`] says.
    fn ones(
        &mut self,
        columns: &[Held],
        differences: &[Difference],
        bits: usize,
    ) -> impl Future<Output = Result<Vec<Z32>>> + Send;
}

/// A session with OTs.
pub(crate) struct Among<'a> {
    pub session: &'a mut Session,
    pub ot: &'a mut Ot,
}

impl Work for Among<'_> {
    async fn and_all(&mut self, pairs: &[(&Held, &Held)]) -> Result<Vec<Held>> {
        let mut s = self.session.step("held and");
        // Sites come to each other's batches after those for other receivers.
        s.wait_longer(pairs.iter().map(|(a, b)| busy(&(&a.by | &b.by), a.words.len())).sum());
        // A site's own part; whoever holds no share has zeros.
        let own = |(a, b): &(&Held, &Held)| Held { by: &a.by | &b.by, words: both(&a.words, &b.words) };
        let mut products: Vec<Held> = pairs.iter().map(own).collect();
        for batch in batches(pairs.iter().map(|(a, _)| a.words.len())) {
            cross(&mut s, self.ot, pairs, &batch, &mut products).await?;
        }
        Ok(products)
    }

    async fn ones(&mut self, columns: &[Held], differences: &[Difference], bits: usize) -> Result<Vec<Z32>> {
        let mut s = self.session.step("held ones");
        let mut ones = vec![Z32(0); differences.len()];
        let jobs = ones::jobs(columns, differences);
        s.wait_longer(jobs.iter().map(|job| busy(&job.by, job.words * job.counts.len())).sum());
        for job in jobs {
            // Also who has no part takes the step, so that it has the same number at all sites.
            let mut s = s.step("group");
            if job.by.contains(&s.me()) {
                let counts = ones::of_job(&mut s, self.ot, &job, (columns, bits)).await?;
                job.counts.iter().zip(counts).for_each(|(at, count)| ones[*at] = count);
            }
        }
        Ok(ones)
    }
}

/// Words of one of the columns.
pub(crate) type Part = (usize, Range<usize>);

/// What runs together: columns of so many words, one after the other, cut where a call of OTs is full.
pub(crate) fn batches(columns: impl Iterator<Item = usize>) -> Vec<Vec<Part>> {
    let mut batches: Vec<Vec<Part>> = Vec::new();
    let mut room = 0;
    for (at, words) in columns.enumerate() {
        let mut start = 0;
        while start < words {
            if room == 0 {
                batches.push(Vec::new());
                room = CALL_WORDS;
            }
            let end = words.min(start + room);
            batches.last_mut().expect("there is room in one").push((at, start..end));
            room -= end - start;
            start = end;
        }
    }
    batches
}

/// The parts of a batch in which one site offers its share of the left column and another chooses by its share of the right one.
pub(crate) fn crossed<'b>(
    batch: &'b [Part],
    pairs: &[(&Held, &Held)],
    [offers, chooses]: [PartyId; 2],
) -> Vec<&'b Part> {
    let has = |(at, _): &&Part| pairs[*at].0.by.contains(&offers) && pairs[*at].1.by.contains(&chooses);
    batch.iter().filter(has).collect()
}

/// Words of these parts.
pub(crate) fn words_of<'p>(parts: impl IntoIterator<Item = &'p Part>) -> usize {
    parts.into_iter().map(|(_, range)| range.len()).sum()
}

/// Every pair's OTs of a batch: all choices first, then the answers to the others'.
async fn cross(
    s: &mut Session,
    ot: &mut Ot,
    pairs: &[(&Held, &Held)],
    batch: &[Part],
    products: &mut [Held],
) -> Result<()> {
    let (me, others) = (s.me(), s.other_sites());
    ot.prepare(s, &others, 64 * words_of(batch)).await?;
    let mut chosen = Vec::with_capacity(others.len());
    for peer in &others {
        let parts = crossed(batch, pairs, [*peer, me]);
        let choices = gathered(&parts, |at| &pairs[at].1.words);
        let received = ot.receiver(*peer).choose(s, &choices)?;
        chosen.push((*peer, parts, choices, received));
    }
    for peer in &others {
        let parts = crossed(batch, pairs, [me, *peer]);
        let left = gathered(&parts, |at| &pairs[at].0.words);
        if !left.is_empty() {
            let (zero, one) = ot.sender(*peer).offer(s, left.len()).await?.hash_bits();
            let (zero, mut one) = (Zeroizing::new(zero), Zeroizing::new(one));
            add(products, &parts, &zero);
            xor_words(&mut one, &zero);
            xor_words(&mut one, &left);
            s.send(*peer, &one)?;
        }
    }
    for (peer, parts, choices, received) in chosen.into_iter().filter(|(_, parts, ..)| !parts.is_empty()) {
        let corrections: Vec<u64> = s.recv(peer, choices.len()).await?;
        let mut masks = Zeroizing::new(received.hash_bits());
        xor_words(&mut masks, &Zeroizing::new(both(&choices, &corrections)));
        add(products, &parts, &masks);
    }
    Ok(())
}

/// About thirty times what the OTs of a group take.
fn busy(group: &Sites, words: usize) -> Duration {
    Duration::from_micros((64 * words * group.len().pow(2)) as u64)
}

fn gathered<'w>(parts: &[&Part], column: impl Fn(usize) -> &'w Vec<u64>) -> Zeroizing<Vec<u64>> {
    let mut all = Zeroizing::new(Vec::with_capacity(words_of(parts.iter().copied())));
    parts.iter().for_each(|(at, range)| all.extend_from_slice(&column(*at)[range.clone()]));
    all
}

fn add(products: &mut [Held], parts: &[&Part], words: &[u64]) {
    let mut rest = words;
    for (at, range) in parts {
        let (own, others) = rest.split_at(range.len());
        xor_words(&mut products[*at].words[range.clone()], own);
        rest = others;
    }
}

fn both(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a & b).collect()
}
