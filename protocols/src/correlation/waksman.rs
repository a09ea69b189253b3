//! Permutation networks of any size: 2·⌈log2 n⌉ − 1 layers of switches that swap two wires or leave them.
//!
//! # Source
//! Beauquier–Darrot, On arbitrary size Waksman networks and their vulnerability, 2002, §2: a column of ⌊n/2⌋ switches, two
//! networks of ⌈n/2⌉ and ⌊n/2⌋ wires, a column of ⌈n/2⌉ − 1 switches. Routing is the looping algorithm (Waksman, JACM 1968).
//! # Deviations
//! Wires never move. The network of depth d works on all wires of one residue mod 2^d, so a switch of depth d joins the wires
//! x and x + 2^d where bit d of x is 0: on the way in all such pairs below n, on the way out those with x + 2^(d+1) < n. The
//! paper's odd wire and its missing switch both fall out of these bounds, and all networks of one depth are one layer.

use std::ops::Range;

use zeroize::Zeroizing;

/// Switches of a network of n wires: n·log2 n − n + 1 for powers of two.
pub fn switch_count(n: usize) -> usize {
    layers(n).map(|layer| layer.switches()).sum()
}

/// Consecutive switches of one layer: switch i joins the wires `first + i` and `first + i + stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Upper wire of the first switch.
    pub first: usize,
    /// From a switch's upper to its lower wire; not below `switches`.
    pub stride: usize,
    /// How many switches.
    pub switches: usize,
}

/// The switches of a range in topological order, which is the order of their numbers.
pub fn runs(n: usize, range: Range<usize>) -> impl Iterator<Item = Run> {
    let mut start = 0;
    layers(n).flat_map(move |layer| {
        let here = start..start + layer.switches();
        start = here.end;
        let part = range.start.max(here.start) - here.start..range.end.min(here.end).saturating_sub(here.start);
        layer.runs(part)
    })
}

/// The switches that bring value `permutation[i]` to place i, packed 64 to a word, little end first; 1 swaps.
///
/// Time n·log n with accesses that depend on the permutation: memory access is not constant-time, as everywhere in the
/// literature. A secret permutation is its owner's own, and this runs at its owner alone.
///
/// # Panics
/// When it is no permutation of 0 to n − 1 (see [`is_permutation`]).
pub fn route(permutation: &[u32]) -> Vec<u64> {
    assert!(is_permutation(permutation), "only a permutation can be routed");
    let mut router = Router::new(permutation);
    (0..depths(permutation.len())).for_each(|depth| router.settle(depth));
    router.bits
}

/// Does every number from 0 to n − 1 occur once?
pub fn is_permutation(map: &[u32]) -> bool {
    let mut seen = Zeroizing::new(vec![false; map.len()]);
    map.iter().all(|to| seen.get_mut(*to as usize).is_some_and(|seen| !std::mem::replace(seen, true)))
}

/// Sends values through the network.
pub fn apply<T>(bits: &[u64], values: &mut [T]) {
    let n = values.len();
    let mut switch = 0;
    for run in runs(n, 0..switch_count(n)) {
        for wire in run.first..run.first + run.switches {
            if bit(bits, switch) == 1 {
                values.swap(wire, wire + run.stride);
            }
            switch += 1;
        }
    }
}

/// One bit of packed switches.
pub fn bit(bits: &[u64], at: usize) -> u64 {
    bits[at / 64] >> (at % 64) & 1
}

fn depths(n: usize) -> usize {
    n.max(1).next_power_of_two().ilog2() as usize
}

/// Pairs of wires at distance 2^depth, the upper wire below `limit`.
#[derive(Clone, Copy)]
struct Layer {
    depth: usize,
    limit: usize,
}

fn layers(n: usize) -> impl Iterator<Item = Layer> {
    let inward = (0..depths(n)).map(move |depth| Layer { depth, limit: inward_limit(n, depth) });
    let outward = (0..depths(n)).rev().map(move |depth| Layer { depth, limit: outward_limit(n, depth) });
    inward.chain(outward)
}

fn inward_limit(n: usize, depth: usize) -> usize {
    n - (1 << depth)
}

fn outward_limit(n: usize, depth: usize) -> usize {
    n.saturating_sub(2 << depth)
}

impl Layer {
    fn switches(self) -> usize {
        let block = 2 << self.depth;
        self.limit / block * (block / 2) + (self.limit % block).min(block / 2)
    }

    /// Whole blocks of 2^depth neighbouring switches, but for the ends.
    fn runs(self, range: Range<usize>) -> impl Iterator<Item = Run> {
        let stride = 1 << self.depth;
        let mut at = range.start;
        std::iter::from_fn(move || {
            let switches = (stride - at % stride).min(range.end.checked_sub(at)?);
            let run = Run { first: at + (at & !(stride - 1)), stride, switches };
            at += switches;
            (switches > 0).then_some(run)
        })
    }
}

/// The looping algorithm at one depth after the other, for all networks of a depth.
struct Router {
    /// At each depth: wire `from[w]` on the way in must come to wire w on the way out.
    from: Zeroizing<Vec<u32>>,
    /// The inverse of `from`.
    to: Zeroizing<Vec<u32>>,
    /// Both for the next depth.
    next: (Zeroizing<Vec<u32>>, Zeroizing<Vec<u32>>),
    /// Is the switch below this wire set (at this depth, on the way out)?
    settled: Zeroizing<Vec<bool>>,
    /// First switch of each layer.
    starts: Vec<usize>,
    bits: Vec<u64>,
}

impl Router {
    fn new(permutation: &[u32]) -> Self {
        let n = permutation.len();
        let mut to = Zeroizing::new(vec![0; n]);
        (0..).zip(permutation).for_each(|(out, input)| to[*input as usize] = out);
        let zeros = || Zeroizing::new(vec![0; n]);
        let first = |count: &mut usize, layer: Layer| {
            *count += layer.switches();
            Some(*count - layer.switches())
        };
        Self {
            starts: layers(n).scan(0, first).collect(),
            from: Zeroizing::new(permutation.to_vec()),
            to,
            next: (zeros(), zeros()),
            settled: Zeroizing::new(vec![false; n]),
            bits: vec![0; switch_count(n).div_ceil(64)],
        }
    }

    fn settle(&mut self, depth: usize) {
        let n = self.from.len();
        let half = 1 << depth;
        self.settled.fill(false);
        // The last wire of each network has no switch on the way out: it comes from the half that it belongs to.
        (n - half..n).for_each(|wire| self.follow(depth, wire, wire & half));
        for run in (Layer { depth, limit: outward_limit(n, depth) }).runs_whole() {
            for wire in run.first..run.first + run.switches {
                if !self.settled[wire] {
                    self.follow(depth, wire, 0);
                }
            }
        }
        std::mem::swap(&mut self.from, &mut self.next.0);
        std::mem::swap(&mut self.to, &mut self.next.1);
    }

    /// Wire `out` comes from the half `side` (0 or 2^depth): then so must every second wire of its loop.
    fn follow(&mut self, depth: usize, mut out: usize, side: usize) {
        let (n, half) = (self.from.len(), 1 << depth);
        loop {
            self.settled[out & !half] = true;
            let input = self.from[out] as usize;
            self.descend(half, out, input, side);
            let layers = self.starts.len();
            self.set(layers - 1 - depth, depth, outward_limit(n, depth), out, side);
            self.set(depth, depth, inward_limit(n, depth), input, side);
            let partner = input ^ half;
            if partner >= n {
                return;
            }
            // The other input of that switch takes the other half.
            let end = self.to[partner] as usize;
            self.descend(half, end, partner, side ^ half);
            out = end ^ half;
            if self.settled[out & !half] {
                return;
            }
        }
    }

    /// The same pair of wires as the network in the half `side` sees it.
    fn descend(&mut self, half: usize, out: usize, input: usize, side: usize) {
        let (out, input) = (out & !half | side, input & !half | side);
        self.next.0[out] = input as u32;
        self.next.1[input] = out as u32;
    }

    /// Sets the switch at `wire`, if there is one, so that the wire meets the half `side`.
    fn set(&mut self, layer: usize, depth: usize, limit: usize, wire: usize, side: usize) {
        let half = 1 << depth;
        let upper = wire & !half;
        if upper < limit {
            let switch = self.starts[layer] + (upper >> (depth + 1) << depth | upper & (half - 1));
            self.bits[switch / 64] |= u64::from(wire & half != side) << (switch % 64);
        }
    }
}

impl Layer {
    fn runs_whole(self) -> impl Iterator<Item = Run> {
        self.runs(0..self.switches())
    }
}

#[cfg(test)]
mod tests {
    use mpc_core::random::{Domain, PrivateSeed};
    use mpc_core::step::StepPath;

    use super::*;

    const SEED: u8 = 17;

    fn realises(permutation: &[u32]) {
        let mut values: Vec<u32> = (0..).take(permutation.len()).collect();
        apply(&route(permutation), &mut values);
        assert!(values == permutation, "a permutation of {}", values.len());
    }

    fn every_permutation(n: u32, chosen: &mut Vec<u32>, check: &mut impl FnMut(&[u32])) {
        if chosen.len() == n as usize {
            return check(chosen);
        }
        for next in (0..n).filter(|i| !chosen.contains(i)).collect::<Vec<_>>() {
            chosen.push(next);
            every_permutation(n, chosen, check);
            chosen.pop();
        }
    }

    #[test]
    fn every_permutation_of_up_to_eight_wires_is_routed() {
        for (n, factorial) in [(0, 1), (1, 1), (2, 2), (3, 6), (4, 24), (5, 120), (6, 720), (7, 5040), (8, 40320)] {
            let mut count = 0;
            every_permutation(n, &mut Vec::new(), &mut |p| {
                realises(p);
                count += 1;
            });
            assert_eq!(count, factorial);
        }
    }

    #[test]
    fn random_permutations_of_every_size_are_routed() {
        println!("seed {SEED}");
        let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
        for n in (9..300).chain([1023, 1024, 1025, 4097, 65_535, 65_536, 65_537, 99_999, 100_000]) {
            realises(&prg.permutation(n));
        }
    }

    #[test]
    fn the_number_of_switches_is_that_of_the_paper() {
        fn recurrence(n: usize) -> usize {
            if n < 2 { 0 } else { recurrence(n / 2) + recurrence(n.div_ceil(2)) + n - 1 }
        }
        (0..2000).for_each(|n| assert_eq!(switch_count(n), recurrence(n), "{n} wires"));
        (0..25).for_each(|log| assert_eq!(switch_count(1 << log), (log << log) + 1 - (1 << log)));
    }

    #[test]
    fn a_network_cut_anywhere_has_the_same_switches() {
        let switches = |range| {
            let wires = |run: Run| (run.first..run.first + run.switches).map(move |x| (x, x + run.stride));
            runs(37, range).flat_map(wires).collect::<Vec<_>>()
        };
        let whole = switches(0..switch_count(37));
        assert_eq!(whole.len(), switch_count(37));
        for cut in 0..=whole.len() {
            assert_eq!([switches(0..cut), switches(cut..whole.len())].concat(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn switches_of_one_layer_share_no_wire() {
        for layer in layers(100) {
            let mut wires: Vec<_> = layer
                .runs_whole()
                .flat_map(|run| (run.first..run.first + run.switches).flat_map(move |x| [x, x + run.stride]))
                .collect();
            wires.sort_unstable();
            assert!(wires.is_sorted_by(|a, b| a < b) && wires.last().is_none_or(|last| *last < 100));
        }
    }

    #[test]
    fn a_wrong_switch_is_another_permutation() {
        let permutation: Vec<u32> = (0..100).rev().collect();
        let bits = route(&permutation);
        for switch in 0..switch_count(100) {
            let mut wrong = bits.clone();
            wrong[switch / 64] ^= 1 << (switch % 64);
            let mut values: Vec<u32> = (0..100).collect();
            apply(&wrong, &mut values);
            assert_ne!(values, permutation, "switch {switch}");
        }
    }

    #[test]
    fn maps_that_are_no_permutation_are_noticed() {
        assert!(is_permutation(&[]) && is_permutation(&[1, 0, 2]));
        assert!(!is_permutation(&[1]) && !is_permutation(&[0, 0]) && !is_permutation(&[0, 2]));
    }
}
