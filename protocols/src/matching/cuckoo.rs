//! Cuckoo hashing without a stash: every key has three bins, and the receiver of a matching puts each of its keys into one.
//!
//! # Source
//! Pagh–Rodler, Cuckoo hashing, J. Algorithms 2004, with three bins for a key; for matching Pinkas, Schneider, Zohner, USENIX
//! Security'14, §5.2. Sizes: [`crate::parameters::matching::cuckoo_bins`].
//! # Deviations
//! A key's three bins are distinct. Insertion moves keys along a shortest path to a free bin instead of a random walk, so it fails
//! only where no placement exists, which is what the parameters bound.
//! # Constant time
//! Which bins are read and written depends on a site's own keys: it happens at the one site that knows them, as in the
//! literature. Messages depend on public sizes only.

use mpc_core::Block;
use mpc_core::hash::PlacementHash;
use mpc_core::random::{Domain, PublicSeed};
use mpc_core::step::StepPath;
use zeroize::Zeroize;

use crate::parameters::matching::CUCKOO_HASHES;

/// Which three bins a key may take, from a public seed.
pub(super) struct Hashes {
    hash: PlacementHash,
    /// Makes queries of keys: those of one key in its bins, and of two keys in one bin, all differ.
    offsets: [Block; CUCKOO_HASHES],
    bins: usize,
}

impl Hashes {
    /// `bins` is at least 3 and below 2^32.
    pub fn new(seed: PublicSeed, bins: usize) -> Self {
        let mut prg = seed.prg(Domain::MatchingHash, &StepPath::root());
        let mut next = || {
            let mut bytes = [0; 16];
            prg.fill(&mut bytes);
            Block::from_le_bytes(bytes)
        };
        Self { hash: PlacementHash::new(next()), offsets: std::array::from_fn(|_| next()), bins }
    }

    /// The three distinct bins of every key.
    pub fn bins(&self, keys: &[Block]) -> Vec<[u32; CUCKOO_HASHES]> {
        let mut hashes = keys.to_vec();
        self.hash.replace(&mut hashes);
        let bins = hashes.iter().map(|hash| distinct(hash.0, self.bins as u64)).collect();
        hashes.zeroize();
        bins
    }

    /// What is asked for, or programmed, for a key in its bin number `index`. Two keys' queries are the same with probability
    /// 2^-128 over the seed, which is drawn after them.
    pub fn query(&self, key: Block, index: usize) -> Block {
        key ^ self.offsets[index]
    }
}

/// Three distinct numbers below `bins` from 126 bits, each uniform among those left up to 2^-42·bins.
fn distinct(hash: u128, bins: u64) -> [u32; 3] {
    let part = |at: u32, range: u64| {
        let bits = (hash >> (42 * at)) as u64 & ((1 << 42) - 1);
        ((u128::from(bits) * u128::from(range)) >> 42) as u32
    };
    let first = part(0, bins);
    let mut second = part(1, bins - 1);
    second += u32::from(second >= first);
    let mut third = part(2, bins - 2);
    let (low, high) = (first.min(second), first.max(second));
    third += u32::from(third >= low);
    third += u32::from(third >= high);
    [first, second, third]
}

/// A bin that holds no key.
pub(super) const EMPTY: u32 = u32::MAX;

/// Where each key is: for every bin the key's number, or [`EMPTY`]. Wiped when dropped.
pub(super) struct Placement {
    pub keys: Vec<u32>,
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// Puts every key into one of its bins; None when that cannot be done.
pub(super) fn place(choices: &[[u32; CUCKOO_HASHES]], bins: usize) -> Option<Placement> {
    let mut search = Search { choices, from: vec![0; bins], seen: vec![0; bins], round: 0, queue: Vec::new() };
    let mut placement = Placement { keys: vec![EMPTY; bins] };
    for key in 0..choices.len() as u32 {
        search.insert(key, &mut placement.keys)?;
    }
    Some(placement)
}

/// Breadth-first search for a free bin.
struct Search<'a> {
    choices: &'a [[u32; CUCKOO_HASHES]],
    /// The bin whose key led to this one; meaningful where `seen` is this round.
    from: Vec<u32>,
    seen: Vec<u32>,
    round: u32,
    queue: Vec<u32>,
}

/// The start of a path: no bin leads there.
const START: u32 = u32::MAX;

impl Search<'_> {
    fn insert(&mut self, key: u32, keys: &mut [u32]) -> Option<()> {
        let choices = self.choices;
        if let Some(free) = choices[key as usize].iter().find(|bin| keys[**bin as usize] == EMPTY) {
            keys[*free as usize] = key;
            return Some(());
        }
        self.round += 1;
        self.queue.clear();
        self.reach(key, START);
        let mut at = 0;
        while let Some(bin) = self.queue.get(at).copied() {
            let holder = keys[bin as usize];
            if holder == EMPTY {
                self.shift(key, bin, keys);
                return Some(());
            }
            self.reach(holder, bin);
            at += 1;
        }
        None
    }

    /// Queues the bins that `key` may take and that were not seen.
    fn reach(&mut self, key: u32, from: u32) {
        for bin in self.choices[key as usize] {
            if self.seen[bin as usize] != self.round {
                self.seen[bin as usize] = self.round;
                self.from[bin as usize] = from;
                self.queue.push(bin);
            }
        }
    }

    /// Moves each key of the path one step towards the free bin, and puts `key` at its start.
    fn shift(&mut self, key: u32, free: u32, keys: &mut [u32]) {
        let mut to = free;
        while self.from[to as usize] != START {
            let from = self.from[to as usize];
            keys[to as usize] = keys[from as usize];
            to = from;
        }
        keys[to as usize] = key;
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.queue.zeroize();
        self.from.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::matching::cuckoo_bins;
    use mpc_core::random::PrivateSeed;

    const SEED: u8 = 31;

    fn keys(len: usize) -> Vec<Block> {
        println!("seed {SEED}");
        let mut keys = vec![Block::ZERO; len];
        let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
        prg.fill(bytemuck::cast_slice_mut(&mut keys));
        keys
    }

    #[test]
    fn every_key_is_in_one_of_its_bins_and_no_bin_has_two() {
        for items in [0, 1, 2, 3, 4, 17, 240, 241, 5000, 1 << 16] {
            let (keys, bins) = (keys(items), cuckoo_bins(items).unwrap());
            let choices = Hashes::new(PublicSeed([SEED; 32]), bins).bins(&keys);
            let placement = place(&choices, bins).expect("fails once in 2^40");
            let mut found = vec![false; items];
            for (bin, key) in placement.keys.iter().enumerate().filter(|(_, key)| **key != EMPTY) {
                assert!(choices[*key as usize].contains(&(bin as u32)), "{items} items");
                assert!(!std::mem::replace(&mut found[*key as usize], true), "a key has one place");
            }
            assert!(found.iter().all(|f| *f), "{items} items");
        }
    }

    #[test]
    fn four_keys_with_the_same_three_bins_have_no_placement_and_three_have() {
        assert!(place(&[[0, 1, 2]; 3], 8).is_some());
        assert!(place(&[[0, 1, 2]; 4], 8).is_none());
    }

    #[test]
    fn a_placement_is_found_wherever_one_exists() {
        // Small tables at their limit, against all ways to place the keys.
        fn exists(choices: &[[u32; 3]], taken: u32) -> bool {
            let Some((first, rest)) = choices.split_first() else { return true };
            first.iter().any(|bin| taken >> bin & 1 == 0 && exists(rest, taken | 1 << bin))
        }
        let mut outcomes = [0; 2];
        for chunk in keys(9 * 500).chunks_exact(9) {
            let choices: Vec<_> = chunk.iter().map(|key| distinct(key.0, 9)).collect();
            let found = place(&choices, 9).is_some();
            assert_eq!(found, exists(&choices, 0));
            outcomes[usize::from(found)] += 1;
        }
        assert!(outcomes.iter().all(|count| *count > 0), "both happen: {outcomes:?}");
    }

    #[test]
    fn bins_of_a_key_are_distinct_and_spread_evenly() {
        let bins = 12;
        let mut counts = vec![[0u32; 3]; bins];
        for choice in Hashes::new(PublicSeed([SEED; 32]), bins).bins(&keys(120_000)) {
            assert!(choice[0] != choice[1] && choice[0] != choice[2] && choice[1] != choice[2]);
            choice.iter().enumerate().for_each(|(index, bin)| counts[*bin as usize][index] += 1);
        }
        for index in 0..3 {
            let chi: f64 = counts.iter().map(|c| (f64::from(c[index]) - 10_000.0).powi(2) / 10_000.0).sum();
            // 11 degrees of freedom: 48 is beyond 2^-19.
            assert!(chi < 48.0, "bin number {index}: chi-square {chi}");
        }
    }
}
