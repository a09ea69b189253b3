//! Both sides' way through a network: what a site that masks and the site that permutes do with the masks of the OTs.
//!
//! A switch joins two wires that carry the masks r0 and r1 of the masking site. It leaves as s0 = r0 − h and s1 = r1 + h, with h
//! the mask of the OT for choice 0. The permuting site needs r0 − s0 = h if it lets the values pass, and r1 − s0 = h + (r1 − r0)
//! if it swaps them: it gets the second as one correction under the mask for choice 1. On the other output it needs the
//! negative of the same, so there is one word to a switch, not two. Summed along the way of a value through the network the
//! differences are what turns its first mask into its last.

use std::ops::Range;

use zeroize::Zeroizing;

use super::waksman::{Run, bit, runs};
use super::words::{Layout, add, sub};

/// The masks of all wires at a site that masks: at first those of the inputs, in the end those of the outputs. Wiped when
/// dropped.
pub(super) struct Masks {
    pub(super) rows: Zeroizing<Vec<u64>>,
}

impl Masks {
    /// Takes the masks through switches of the network; `zero` and `one` are the OTs' masks, a row for each switch. `one`
    /// becomes the corrections.
    ///
    /// Time and memory access depend on the number of rows only.
    pub(super) fn pass(&mut self, layout: &Layout, switches: Range<usize>, zero: &[u64], one: &mut [u64]) {
        let lanes = layout.lanes();
        let mut at = 0;
        for run in runs(self.rows.len() / lanes, switches) {
            let part = at * lanes..(at + run.switches) * lanes;
            let (x, y) = wires(&mut self.rows, run, lanes);
            let (h, k) = (&zero[part.clone()], &mut one[part]);
            // A constant number of lanes lets the compiler unroll.
            match layout.carries() {
                [c] => mask_run(&[*c], x, y, h, k),
                [c, d] => mask_run(&[*c, *d], x, y, h, k),
                [c, d, e] => mask_run(&[*c, *d, *e], x, y, h, k),
                carries => mask_run(carries, x, y, h, k),
            }
            at += run.switches;
        }
    }
}

#[inline(always)]
fn mask_run(carries: &[u64], x: &mut [u64], y: &mut [u64], h: &[u64], k: &mut [u64]) {
    let lanes = carries.len();
    let wires = x.chunks_exact_mut(lanes).zip(y.chunks_exact_mut(lanes));
    for ((x, y), (h, k)) in wires.zip(h.chunks_exact(lanes).zip(k.chunks_exact_mut(lanes))) {
        for (lane, c) in carries.iter().enumerate() {
            let (r0, r1, h) = (x[lane], y[lane], h[lane]);
            k[lane] = add(k[lane], add(sub(r1, r0, *c), h, *c), *c);
            x[lane] = sub(r0, h, *c);
            y[lane] = add(r1, h, *c);
        }
    }
}

/// The permuting site's way: its switches, and what it knows of the masks so far, summed over all masking sites. Wiped when
/// dropped.
pub(super) struct Differences {
    pub(super) bits: Zeroizing<Vec<u64>>,
    pub(super) rows: Zeroizing<Vec<u64>>,
}

impl Differences {
    /// Adds to `sums`, a row for each switch from `first` on (a multiple of 64), what one masking site's OTs and corrections
    /// give. Time and memory access depend on the number of rows only.
    pub(super) fn collect(&self, layout: &Layout, first: usize, chosen: &[u64], corrections: &[u64], sums: &mut [u64]) {
        let bits = &self.bits[first / 64..];
        match layout.carries() {
            [c] => collect(&[*c], bits, chosen, corrections, sums),
            [c, d] => collect(&[*c, *d], bits, chosen, corrections, sums),
            carries => collect(carries, bits, chosen, corrections, sums),
        }
    }

    /// Takes the differences through switches of the network. Time and memory access depend on the number of rows only.
    pub(super) fn pass(&mut self, layout: &Layout, switches: Range<usize>, sums: &[u64]) {
        let lanes = layout.lanes();
        let (first, mut at) = (switches.start, 0);
        for run in runs(self.rows.len() / lanes, switches) {
            let (x, y) = wires(&mut self.rows, run, lanes);
            let sums = &sums[at * lanes..(at + run.switches) * lanes];
            let bits = (&self.bits[..], first + at);
            match layout.carries() {
                [c] => move_run(&[*c], bits, x, y, sums),
                [c, d] => move_run(&[*c, *d], bits, x, y, sums),
                [c, d, e] => move_run(&[*c, *d, *e], bits, x, y, sums),
                carries => move_run(carries, bits, x, y, sums),
            }
            at += run.switches;
        }
    }
}

#[inline(always)]
fn collect(carries: &[u64], bits: &[u64], chosen: &[u64], corrections: &[u64], sums: &mut [u64]) {
    let lanes = carries.len();
    let rows = sums.chunks_exact_mut(lanes).zip(chosen.chunks_exact(lanes).zip(corrections.chunks_exact(lanes)));
    for (switch, (sum, (mask, correction))) in rows.enumerate() {
        let swaps = bit(bits, switch).wrapping_neg();
        for (lane, c) in carries.iter().enumerate() {
            let (passed, swapped) = (mask[lane], sub(correction[lane], mask[lane], *c));
            sum[lane] = add(sum[lane], passed ^ (passed ^ swapped) & swaps, *c);
        }
    }
}

#[inline(always)]
fn move_run(carries: &[u64], (bits, first): (&[u64], usize), x: &mut [u64], y: &mut [u64], sums: &[u64]) {
    let lanes = carries.len();
    let wires = x.chunks_exact_mut(lanes).zip(y.chunks_exact_mut(lanes));
    for (switch, ((x, y), u)) in wires.zip(sums.chunks_exact(lanes)).enumerate() {
        let swaps = bit(bits, first + switch).wrapping_neg();
        for (lane, c) in carries.iter().enumerate() {
            let change = (x[lane] ^ y[lane]) & swaps;
            x[lane] = add(x[lane] ^ change, u[lane], *c);
            y[lane] = sub(y[lane] ^ change, u[lane], *c);
        }
    }
}

/// The upper and the lower wires of a run's switches.
#[inline(always)]
fn wires(rows: &mut [u64], run: Run, lanes: usize) -> (&mut [u64], &mut [u64]) {
    let (upper, lower) = rows.split_at_mut((run.first + run.stride) * lanes);
    (&mut upper[run.first * lanes..][..run.switches * lanes], &mut lower[..run.switches * lanes])
}

#[cfg(test)]
mod tests {
    use WordKind::*;
    use mpc_core::random::{Domain, Prg, PrivateSeed};
    use mpc_core::step::StepPath;

    use super::super::waksman::{route, switch_count};
    use super::super::words::WordKind;
    use super::*;

    const SEED: u8 = 23;

    fn words(prg: &mut Prg, len: usize) -> Vec<u64> {
        let mut words = vec![0; len];
        prg.fill(bytemuck::cast_slice_mut(&mut words));
        words
    }

    /// One run of both sides with OTs from a dealer, in parts of `part` switches. `wrong` may change what is chosen in the OTs,
    /// and the corrections. Is Δ = π(a) − b?
    fn translates(
        kinds: &[WordKind],
        n: usize,
        sites: usize,
        part: usize,
        wrong: impl Fn(&mut [u64], &mut [u64]),
    ) -> bool {
        let layout = Layout::new(kinds);
        let (lanes, count) = (layout.lanes(), switch_count(n));
        let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
        let permutation = prg.permutation(n);
        let mut bits = Zeroizing::new(route(&permutation));
        let first: Vec<Vec<u64>> = (0..sites).map(|_| words(&mut prg, n * lanes)).collect();
        let mut masks: Vec<Masks> = first.iter().map(|a| Masks { rows: Zeroizing::new(a.clone()) }).collect();
        let mut differences = Differences { bits: bits.clone(), rows: Zeroizing::new(vec![0; n * lanes]) };
        wrong(&mut bits, &mut []);
        let in_the_ots = Differences { bits: bits.clone(), rows: Zeroizing::default() };
        for start in (0..count).step_by(part) {
            let range = start..count.min(start + part);
            let mut sums = vec![0; range.len() * lanes];
            for masks in &mut masks {
                let (zero, mut one) = (words(&mut prg, sums.len()), words(&mut prg, sums.len()));
                let choice = |i: usize| if bit(&bits, start + i / lanes) == 1 { one[i] } else { zero[i] };
                let chosen: Vec<u64> = (0..sums.len()).map(choice).collect();
                masks.pass(&layout, range.clone(), &zero, &mut one);
                wrong(&mut [], &mut one);
                in_the_ots.collect(&layout, start, &chosen, &one, &mut sums);
            }
            differences.pass(&layout, range, &sums);
        }
        let mut expected = vec![0; n * lanes];
        for (a, masks) in first.iter().zip(&masks) {
            let moved: Vec<u64> =
                permutation.iter().flat_map(|from| a[*from as usize * lanes..][..lanes].to_vec()).collect();
            layout.add_to(&mut expected, &moved);
            layout.sub_from(&mut expected, &masks.rows);
        }
        *differences.rows == expected
    }

    #[test]
    fn differences_turn_the_first_masks_into_the_last_for_every_kind_of_word() {
        println!("seed {SEED}");
        let kinds: [&[WordKind]; 6] =
            [&[Xor], &[Add], &[Xor, Add], &[Add32, Xor32], &[Add, Xor, Add32], &[Xor, Add, Xor32, Add32, Add]];
        for kinds in kinds {
            for (n, part) in [(1, 64), (2, 64), (3, 64), (65, 64), (100, 128), (1000, 1 << 18)] {
                for sites in [1, 3] {
                    assert!(translates(kinds, n, sites, part, |_, _| ()), "{kinds:?}, {n} rows, {sites} sites");
                }
            }
        }
    }

    #[test]
    fn one_wrong_switch_or_correction_is_noticed() {
        let count = switch_count(50);
        let swaps = {
            let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
            route(&prg.permutation(50))
        };
        for switch in 0..count {
            let flipped = |bits: &mut [u64], _: &mut [u64]| {
                bits.iter_mut().skip(switch / 64).take(1).for_each(|word| *word ^= 1 << (switch % 64));
            };
            assert!(!translates(&[Xor, Add], 50, 1, 1 << 18, flipped), "switch {switch}");
            // Whoever lets the values pass does not look at the correction.
            let corrupted = |_: &mut [u64], corrections: &mut [u64]| {
                corrections.iter_mut().skip(2 * switch + 1).take(1).for_each(|word| *word ^= 1);
            };
            assert_eq!(translates(&[Xor, Add], 50, 1, 1 << 18, corrupted), bit(&swaps, switch) == 0, "{switch}");
        }
    }
}
