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
    router.settle(Network { depth: 0, residue: 0, first: 0, wires: permutation.len() });
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
    let inward = (0..depths(n)).map(move |depth| Layer { depth, limit: n - (1 << depth) });
    let outward = (0..depths(n)).rev().map(move |depth| Layer { depth, limit: n.saturating_sub(2 << depth) });
    inward.chain(outward)
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

/// The looping algorithm, for one network after the other, from the whole inwards.
struct Router {
    /// Of each network at its place, of depth d in `[d % 2]`: input `from[o]` must come to output o, both counted in the
    /// network. A network's wires are together here, unlike in rows: at a stride of 2^d they would share few cache lines.
    from: [Zeroizing<Vec<u32>>; 2],
    /// The inverse of `from`.
    to: [Zeroizing<Vec<u32>>; 2],
    /// Are both outputs of this pair settled?
    settled: Zeroizing<Vec<bool>>,
    /// First switch of each layer.
    starts: Vec<usize>,
    bits: Vec<u64>,
}

/// A network of the wires `residue` mod 2^depth, at place `first` of the router's columns.
#[derive(Clone, Copy)]
struct Network {
    depth: usize,
    residue: usize,
    first: usize,
    wires: usize,
}

impl Network {
    fn halves(self) -> [Self; 2] {
        let (depth, wires) = (self.depth + 1, self.wires.div_ceil(2));
        let even = Self { depth, wires, ..self };
        let residue = self.residue + (1 << self.depth);
        [even, Self { depth, residue, first: self.first + wires, wires: self.wires / 2 }]
    }

    /// Switches on the way out; on the way in there are `wires / 2`.
    fn outward(self) -> usize {
        self.wires.div_ceil(2) - 1
    }
}

impl Router {
    fn new(permutation: &[u32]) -> Self {
        let n = permutation.len();
        let zeros = || Zeroizing::new(vec![0; n]);
        let mut to = zeros();
        (0..).zip(permutation).for_each(|(out, input)| to[*input as usize] = out);
        let first = |count: &mut usize, layer: Layer| {
            *count += layer.switches();
            Some(*count - layer.switches())
        };
        Self {
            from: [Zeroizing::new(permutation.to_vec()), zeros()],
            to: [to, zeros()],
            settled: Zeroizing::new(vec![false; n]),
            starts: layers(n).scan(0, first).collect(),
            bits: vec![0; switch_count(n).div_ceil(64)],
        }
    }

    fn settle(&mut self, network: Network) {
        let Network { first, wires, .. } = network;
        if wires < 2 {
            return;
        }
        self.settled[first..first + wires.div_ceil(2)].fill(false);
        // The last wire has no switch on the way out: it comes from the half that it belongs to.
        self.follow(network, wires - 1, (wires - 1) % 2);
        for pair in 0..network.outward() {
            if !self.settled[first + pair] {
                self.follow(network, 2 * pair, 0);
            }
        }
        network.halves().into_iter().for_each(|half| self.settle(half));
    }

    /// Output `out` comes from the half `side`: then so must every second output of its loop.
    fn follow(&mut self, network: Network, mut out: usize, side: usize) {
        let Network { depth, first, wires, .. } = network;
        loop {
            self.settled[first + out / 2] = true;
            let input = self.from[depth % 2][first + out] as usize;
            self.descend(network, out, input, side);
            if out / 2 < network.outward() {
                self.set(network, self.starts.len() - 1 - depth, out / 2, out % 2 != side);
            }
            if input / 2 < wires / 2 {
                self.set(network, depth, input / 2, input % 2 != side);
            }
            let partner = input ^ 1;
            if partner >= wires {
                return;
            }
            // The other input of that switch takes the other half.
            let end = self.to[depth % 2][first + partner] as usize;
            self.descend(network, end, partner, 1 - side);
            out = end ^ 1;
            if self.settled[first + out / 2] {
                return;
            }
        }
    }

    /// The same wires as the half `side` counts them.
    fn descend(&mut self, network: Network, out: usize, input: usize, side: usize) {
        let Network { depth, first, .. } = network.halves()[side];
        self.from[depth % 2][first + out / 2] = (input / 2) as u32;
        self.to[depth % 2][first + input / 2] = (out / 2) as u32;
    }

    fn set(&mut self, network: Network, layer: usize, pair: usize, swaps: bool) {
        let switch = self.starts[layer] + (pair << network.depth | network.residue);
        self.bits[switch / 64] |= u64::from(swaps) << (switch % 64);
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
                .runs(0..layer.switches())
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
