//! Sketches of unions.

use std::collections::BTreeSet;

use mpc_core::Result;
use protocols::Engine;
use protocols::relational::union_sketch::{Seat, Shape, Sketch, level_counts};

use super::Case;

/// The level counts are those of one sketch of all sites' elements, however often and wherever an element is.
pub async fn level_counts_are_those_of_the_union<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (log_registers, levels, groups) in [(4, 5, 1), (5, 20, 3), (6, 8, 0)] {
        let shape = Shape { log_registers, levels };
        let elements: Vec<Vec<Vec<u64>>> = (0..case.sites)
            .map(|_| (0..groups).map(|_| (0..case.below(40)).map(|_| hash(case.below(50))).collect()).collect())
            .collect();
        let sketch = |elements: &mut dyn Iterator<Item = u64>| {
            let mut sketch = Sketch::new(shape);
            elements.for_each(|element| sketch.add(element));
            sketch
        };
        let own: Vec<Sketch> = match elements.get(case.me) {
            Some(own) => own.iter().map(|group| sketch(&mut group.iter().copied())).collect(),
            None => Vec::new(),
        };
        let seat = Seat { me: case.me, sites: case.sites };
        let counts = level_counts(e, &own, groups, shape, seat).await?;
        let counts = case.open_numbers(e, counts).await?;
        let want: Vec<u64> =
            (0..groups).flat_map(|group| plain(shape, elements.iter().map(|site| &site[group]))).collect();
        assert_eq!(counts, want, "{shape:?}, {groups} groups");
    }
    Ok(())
}

/// Registers of rank k or more, from the definition.
fn plain<'a>(shape: Shape, sites: impl Iterator<Item = &'a Vec<u64>>) -> Vec<u64> {
    let union: BTreeSet<u64> = sites.flatten().copied().collect();
    let rank_of = |element: u64| {
        let zeros = (shape.log_registers..64).rev().take_while(|bit| element >> bit & 1 == 0).count() as u32;
        (zeros + 1).min(shape.levels)
    };
    let reached = |register: u64, level: u32| {
        union.iter().any(|x| x % (1 << shape.log_registers) == register && rank_of(*x) >= level)
    };
    (1..=shape.levels)
        .map(|level| (0..1 << shape.log_registers).filter(|register| reached(*register, level)).count() as u64)
        .collect()
}

/// Sebastiano Vigna's finaliser of SplitMix64: uniform enough for a test.
fn hash(x: u64) -> u64 {
    let z = (x + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
