//! Carries in logarithmic depth, for networks where a round is dear: twice the ANDs of a ripple chain, a tenth of its rounds.

use mpc_core::bits::xor_words;
use mpc_core::{Result, Session};

use super::and::{And, and_all};
use crate::correlation::{Group, Pool};

/// Generate and propagate bits, plane by plane: plane i says whether a carry leaves bit i, and whether one passes through it.
pub(super) struct Carries {
    pub generate: Vec<Vec<u64>>,
    pub propagate: Vec<Vec<u64>>,
}

impl Carries {
    /// (g, p) of a range from those of its upper and lower halves: g = g_up ⊕ p_up ∧ g_low, p = p_up ∧ p_low. All pairs in one
    /// round. The two terms of g are never both 1, so that XOR is OR.
    async fn join(&mut self, s: &mut Session, pool: &mut Pool, group: &Group, pairs: &[(usize, usize)]) -> Result<()> {
        let column = |of: &[Vec<u64>], at: &[usize]| -> Vec<u64> { at.iter().flat_map(|i| of[*i].clone()).collect() };
        let (up, low): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let gates = column(&self.propagate, &up);
        let left = [gates.as_slice(), gates.as_slice()].concat();
        let right = [column(&self.generate, &low), column(&self.propagate, &low)].concat();
        let products = and_all(s, pool, vec![And { group: group.clone(), left, right }]).await?.remove(0);
        let stride = gates.len() / pairs.len().max(1);
        let (generated, propagated) = products.split_at(gates.len());
        for (at, (up, _)) in pairs.iter().enumerate() {
            let range = at * stride..(at + 1) * stride;
            xor_words(&mut self.generate[*up], &generated[range.clone()]);
            self.propagate[*up].copy_from_slice(&propagated[range]);
        }
        Ok(())
    }

    /// Afterwards plane i says whether a carry leaves bits 0 to i together. log2(width) rounds.
    ///
    /// # Source
    /// Sklansky, Conditional-Sum Addition Logic, IRE Trans. 1960; on shares: Catrina–de Hoogh, SCN'10, §4.
    pub async fn all(mut self, s: &mut Session, pool: &mut Pool, group: &Group) -> Result<Vec<Vec<u64>>> {
        for pairs in all_pairs(self.generate.len()) {
            self.join(s, pool, group, &pairs).await?;
        }
        Ok(self.generate)
    }

    /// Whether a carry leaves all bits together. log2(width) rounds.
    pub async fn last(mut self, s: &mut Session, pool: &mut Pool, group: &Group) -> Result<Vec<u64>> {
        for pairs in last_pairs(self.generate.len()) {
            self.join(s, pool, group, &pairs).await?;
        }
        Ok(self.generate.pop().unwrap_or_default())
    }
}

/// Sklansky's network: in round d every position whose bit d is set takes the last position of the block below it.
pub(super) fn all_pairs(width: usize) -> Vec<Vec<(usize, usize)>> {
    let rounds = width.next_power_of_two().trailing_zeros();
    let pairs = |d: u32| (0..width).filter(|i| i >> d & 1 == 1).map(|i| (i, (i >> d << d) - 1)).collect();
    (0..rounds).map(pairs).collect()
}

/// A tree that ends in the top position: in every round the positions that are left join in pairs, from the top.
pub(super) fn last_pairs(width: usize) -> Vec<Vec<(usize, usize)>> {
    let mut left: Vec<usize> = (0..width).rev().collect();
    let mut rounds = Vec::new();
    while left.len() > 1 {
        rounds.push(left.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
        left = left.into_iter().step_by(2).collect();
    }
    rounds
}

/// ANDs for one row of the tree that ends in the top position.
pub(super) fn last_ands(width: usize) -> usize {
    2 * last_pairs(width).iter().map(Vec::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which positions each position covers after the network, if every pair joins adjacent ranges.
    fn covered(width: usize, rounds: &[Vec<(usize, usize)>]) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = (0..width).map(|i| (i, i)).collect();
        for round in rounds {
            let before = ranges.clone();
            for (up, low) in round {
                assert_eq!(before[*up].0, before[*low].1 + 1, "ranges are adjacent");
                ranges[*up].0 = before[*low].0;
            }
        }
        ranges
    }

    #[test]
    fn every_prefix_is_covered_and_the_tree_covers_the_whole() {
        for width in 1..=64 {
            let all = covered(width, &all_pairs(width));
            assert!(all.iter().enumerate().all(|(i, range)| *range == (0, i)), "width {width}");
            assert_eq!(covered(width, &last_pairs(width))[width - 1], (0, width - 1));
        }
    }
}
