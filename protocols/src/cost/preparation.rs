//! Making correlations. With E(n) the bytes in which a site chooses in n OTs with another (4·n, silent n/8) and N sites, a batch
//! takes, to each other site:
//!
//! | correlation | a batch | rounds | bytes |
//! |---|---|---|---|
//! | bit triples of a group | w ≤ 2^11 words | 2 | E(64·w) + 8·w |
//! | ring triples | n ≤ 2^12 | 2 | E(BITS·n) + n·Σ_j ⌈(BITS − j)/8⌉ |
//! | daBits | w ≤ 2^10 words | N | E(64·w) to those before it, 8·BITS·w to those behind it |
//! | selections | w ≤ 2^10 words | 2N | a daBit's, and E(64·w) + 8·BITS·w |
//! | a shuffle | a window of OTs | 2 | E(S) + 8·L·S for S switches and L lanes |
//! | edaBits of b bits | all at once | those of `a2b` | those of `a2b` |
//!
//! Silent OT adds its batches ([`super::silent_batch`]) whenever too few OTs are left with another site. Every message has a header for
//! each started MiB.

use mpc_core::{PartyId, PowerOfTwo, Result, Ring, Z32, Z64, Z128};

use super::tally::Tally;
use super::{SiteCost, message};
use crate::additive::traffic::{self, Step};
use crate::correlation::held::{self, Held, Work};
use crate::correlation::ones::{self, Difference};
use crate::correlation::{Budget, Group, Layout, batches, message_len, schedule};
use crate::ot::Extension;
use crate::parameters::Lpn;

/// Making everything a budget names among so many sites, base OTs included: rounds, and bytes of the site that sends most.
///
/// A budget that continues another one (after [`Budget::without`]) takes up to [`super::ot_setup`] less.
pub fn of(budget: &Budget, sites: u64) -> SiteCost {
    let sites = sites as usize;
    if budget.is_empty() || sites < 2 {
        return SiteCost::default();
    }
    let mut count = Preparation::new(budget.extension, sites);
    count.set_up();
    for (group, words) in &budget.bit_triples {
        count.bit_triples(group, *words);
    }
    count.of_ring::<Z64>(budget);
    count.of_ring::<Z128>(budget);
    for (rows, words) in &budget.shuffles {
        count.shuffle(*rows, Layout::new(words).lanes());
    }
    for (bits, words) in &budget.edabits {
        let group: Group = (0..sites as u8).map(mpc_core::PartyId).collect();
        count.tally.open_all(&traffic::a2b(&group, budget.chains, 64 * words, *bits));
    }
    count.tally.cost()
}

pub(crate) struct Preparation {
    pub(super) tally: Tally,
    all: Vec<usize>,
    /// For silent OT: the table's instance, and what is left for each sender and receiver.
    silent: Option<(Lpn, Vec<Vec<usize>>)>,
}

/// Sizes of batches that a count is made in.
fn in_batches(count: usize, batch: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(batch).map(move |start| batch.min(count - start))
}

impl Preparation {
    /// Before anything was sent.
    pub fn new(extension: Extension, sites: usize) -> Self {
        let silent = match extension {
            Extension::SoftSpoken => None,
            Extension::Silent { batch, code } => Lpn::silent(batch, code),
        };
        let silent = silent.map(|lpn| (lpn, vec![vec![0; sites]; sites]));
        Self { tally: Tally::new(sites), all: (0..sites).collect(), silent }
    }

    /// Rounds so far, and bytes of the site that sent most.
    pub fn cost(&self) -> SiteCost {
        self.tally.cost()
    }

    /// Openings of the online work, one after the other.
    pub fn open_all(&mut self, steps: &[Step]) {
        self.tally.open_all(steps);
    }

    /// Base OTs: points, then corrections of trees, to every other site.
    fn set_up(&mut self) {
        let all = self.all.clone();
        self.tally.ask_and_answer(&all, |_, _| true, message(257 * 32), message(192 * 16));
    }

    /// Silent batches until every two members have so many OTs in both directions.
    pub fn prepare(&mut self, group: &[usize], ots: usize) {
        let Some((lpn, left)) = &mut self.silent else { return };
        let (base, trees) = (lpn.base_ots() as u64, lpn.noise_blocks as u64);
        let pairs = || group.iter().flat_map(|a| group.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
        while pairs().any(|(sender, receiver)| left[sender][receiver] < ots) {
            let lacks = |receiver: usize, sender: usize| left[sender][receiver] < ots;
            self.tally.ask_and_answer(group, lacks, message(4 * base), message(16 * (2 * base + trees)));
            for (sender, receiver) in pairs() {
                if left[sender][receiver] < ots {
                    left[sender][receiver] += lpn.outputs;
                }
            }
        }
    }

    /// Bytes by which `receiver` chooses in so many OTs, a multiple of 64.
    pub fn choose(&mut self, sender: usize, receiver: usize, ots: usize) -> u64 {
        match &mut self.silent {
            None => message(4 * ots as u64),
            Some((_, left)) => {
                left[sender][receiver] -= ots;
                message(ots as u64 / 8)
            }
        }
    }

    /// Every member chooses in `ots` OTs with every other, and gets an answer.
    fn products(&mut self, group: &[usize], ots: usize, answer: u64) {
        self.prepare(group, ots);
        let mut question = 0;
        for (a, b) in group.iter().flat_map(|a| group.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
            question = self.choose(a, b, ots);
        }
        self.tally.ask_and_answer(group, |_, _| true, question, answer);
    }

    fn bit_triples(&mut self, group: &Group, words: usize) {
        let group: Vec<usize> = group.iter().map(|p| p.index()).collect();
        for words in in_batches(words, batches::BIT_TRIPLES) {
            self.products(&group, 64 * words, message(8 * words as u64));
        }
    }

    fn of_ring<R: PowerOfTwo>(&mut self, budget: &Budget) {
        let needed = |of: &std::collections::BTreeMap<&str, usize>| of.get(<R as Ring>::NAME).copied().unwrap_or(0);
        let all = self.all.clone();
        for len in in_batches(needed(&budget.ring_triples), batches::RING_TRIPLES) {
            let answer = message(message_len::<R>(R::BITS, len) as u64);
            self.products(&all, R::BITS * len.next_multiple_of(64), answer);
        }
        for words in in_batches(needed(&budget.dabits), batches::DABITS) {
            self.prepare(&all, 64 * words);
            self.bits_as_numbers::<R>(words);
        }
        for words in in_batches(needed(&budget.selections), batches::SELECTIONS) {
            self.prepare(&all, 2 * 64 * words);
            self.bits_as_numbers::<R>(words);
            self.chain::<R>(words);
        }
    }

    fn bits_as_numbers<R: PowerOfTwo>(&mut self, words: usize) {
        self.in_turn(&self.all.clone(), 64 * words, message(message_len::<R>(1, 64 * words) as u64));
    }

    /// As `dabits::numbers`: each site in turn hears of those before it, and then answers those behind it. Everybody has asked before.
    fn in_turn(&mut self, group: &[usize], ots: usize, answer: u64) {
        let sites = self.all.len();
        let asked_at: Vec<u32> = (0..sites).map(|site| self.tally.depth(site)).collect();
        let mut answered_at = vec![vec![0; sites]; sites];
        for (place, me) in group.iter().copied().enumerate() {
            for before in group[..place].iter().copied() {
                let question = self.choose(before, me, ots);
                self.tally.sends(me, question);
                self.tally.receives(me, answered_at[before][me]);
            }
            for behind in group[place + 1..].iter().copied() {
                self.tally.receives(me, asked_at[behind]);
                self.tally.sends(me, answer);
                answered_at[me][behind] = self.tally.depth(me);
            }
        }
    }

    /// As `selections::chain`: each site in turn asks all others.
    fn chain<R: PowerOfTwo>(&mut self, words: usize) {
        let (all, answer) = (self.all.clone(), message(message_len::<R>(1, 64 * words) as u64));
        for owner in 0..all.len() {
            let mut question = 0;
            for sender in all.iter().filter(|sender| **sender != owner) {
                question = self.choose(*sender, owner, 64 * words);
            }
            self.tally.ask_and_answer(&all, |a, _| a == owner, question, answer);
        }
    }

    /// As `held::cross`.
    fn held_batch(&mut self, pairs: &[(&Held, &Held)], batch: &[held::Part]) {
        let all = self.all.clone();
        let party = |site: usize| PartyId(site as u8);
        self.prepare(&all, 64 * held::words_of(batch));
        let mut of = vec![vec![None; all.len()]; all.len()];
        for (asks, answers) in all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b) {
            let words = held::words_of(held::crossed(batch, pairs, [party(answers), party(asks)]));
            if words > 0 {
                of[asks][answers] = Some((self.choose(answers, asks, 64 * words), message(8 * words as u64)));
            }
        }
        self.tally.ask_and_answer_each(&all, |asks, answers| of[asks][answers]);
    }

    fn shuffle(&mut self, rows: usize, lanes: usize) {
        let all = self.all.clone();
        for window in schedule(rows, lanes, all.len()) {
            let ots = |call: &std::ops::Range<usize>| call.len().next_multiple_of(64);
            self.prepare(&all, window.iter().map(ots).sum());
            let mut question = 0;
            for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
                question = window.iter().map(|call| self.choose(a, b, ots(call))).sum();
            }
            let answer = window.iter().map(|call| message(8 * (lanes * call.len()) as u64)).sum();
            self.tally.ask_and_answer(&all, |_, _| true, question, answer);
        }
    }
}

/// Counts instead of sending; all bits are zero.
impl Work for Preparation {
    async fn and_all(&mut self, pairs: &[(&Held, &Held)]) -> Result<Vec<Held>> {
        for batch in held::batches(pairs.iter().map(|(a, _)| a.words.len())) {
            self.held_batch(pairs, &batch);
        }
        let none = |(a, b): &(&Held, &Held)| Held { by: &a.by | &b.by, words: vec![0; a.words.len()] };
        Ok(pairs.iter().map(none).collect())
    }

    async fn ones(&mut self, columns: &[Held], differences: &[Difference], bits: usize) -> Result<Vec<Z32>> {
        for job in ones::jobs(columns, differences).iter().filter(|job| job.by.len() > 1) {
            let members: Vec<usize> = job.by.iter().map(|site| site.index()).collect();
            for range in job.ranges() {
                let ots = 64 * range.len() * job.extended.len();
                let answer = ones::number_bytes(bits) * 64 * range.len() * job.counts.len();
                self.prepare(&members, ots);
                self.in_turn(&members, ots, message(answer as u64));
            }
        }
        Ok(vec![Z32(0); differences.len()])
    }
}
