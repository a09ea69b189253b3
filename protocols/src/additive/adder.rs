//! Adding up the sites' private numbers, bit by bit, in a tree of growing groups.

use std::ops::Range;

use mpc_core::bits::xor_words;
use mpc_core::{Bits, PartyId, Result, Session};

use super::and::{And, and_all};
use super::prefix::{self, Carries};
use crate::correlation::{Budget, Chains, Group, Pool};

/// Two groups whose sums are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    left: Group,
    right: Group,
}

impl Merge {
    fn group(&self) -> Group {
        self.left.iter().chain(&self.right).copied().collect()
    }
}

/// The additions, level by level: pairs first, then pairs of pairs; an odd one waits. An AND among g sites takes g(g − 1)
/// OTs, so that at eight sites the tree takes 88 a bit where eight-party adders throughout would take 392.
pub(super) fn levels(sites: &[PartyId]) -> Vec<Vec<Merge>> {
    let mut groups: Vec<Group> = sites.iter().map(|p| vec![*p]).collect();
    let mut levels = Vec::new();
    while groups.len() > 1 {
        let (pairs, odd) = groups.as_chunks::<2>();
        let merges: Vec<Merge> =
            pairs.iter().map(|[left, right]| Merge { left: left.clone(), right: right.clone() }).collect();
        groups = merges.iter().map(Merge::group).chain(odd.iter().cloned()).collect();
        levels.push(merges);
    }
    levels
}

/// Bit triples for adding rows of `words` words and `width` bits and keeping the planes of `keep`.
pub(super) fn demand(budget: &mut Budget, levels: &[Vec<Merge>], words: usize, width: usize, keep: &Range<usize>) {
    for (at, merge) in levels.iter().enumerate().flat_map(|(at, level)| level.iter().map(move |merge| (at, merge))) {
        let carries = width.saturating_sub(1);
        let ands = match budget.chains {
            Chains::Ripple => carries,
            Chains::Prefix if only_top(levels, at, width, keep) => carries + prefix::last_ands(carries),
            Chains::Prefix => carries + prefix::all_ands(carries),
        };
        budget.add_bit_triples(&merge.group(), words * ands);
    }
}

/// Does nobody need more of this level's sum than its top bit?
fn only_top(levels: &[Vec<Merge>], at: usize, width: usize, keep: &Range<usize>) -> bool {
    at + 1 == levels.len() && keep.start + 1 == width
}

/// One level, as one site sees it.
struct Place {
    group: Group,
    in_left: bool,
    carry: Vec<u64>,
}

/// Shares among all sites of the bits of the sum, mod 2^width, of every site's own rows. `keep` says which planes are wanted;
/// planes below it cost their carries all the same.
pub(super) async fn sum_planes(
    s: &mut Session,
    pool: &mut Pool,
    levels: &[Vec<Merge>],
    own: &Bits,
    keep: Range<usize>,
) -> Result<Bits> {
    let mut s = s.step("add");
    match pool.chains {
        Chains::Ripple => ripple(&mut s, pool, levels, own, keep).await,
        Chains::Prefix => by_prefix(&mut s, pool, levels, own, keep).await,
    }
}

/// Ripple-carry: c' = c ⊕ (x ⊕ c) ∧ (y ⊕ c), one AND a bit and level (Boyar–Peralta). All levels work on the same bit in the
/// same round, because a sum bit needs the carry of the bit before it only: width − 1 rounds (twice that with reduce-scatter)
/// whatever the number of sites, where adders one after the other would take width − 1 each.
async fn ripple(
    s: &mut Session,
    pool: &mut Pool,
    levels: &[Vec<Merge>],
    own: &Bits,
    keep: Range<usize>,
) -> Result<Bits> {
    let (width, stride) = (own.width(), own.stride());
    let mut places = places(s, levels, stride);
    let mut sums = Vec::with_capacity(keep.len() * stride);
    for bit in 0..width {
        let mut current = own.plane(bit).to_vec();
        let mut ands = Vec::with_capacity(places.len());
        for place in &mut places {
            xor_words(&mut current, &place.carry);
            if bit + 1 < width {
                ands.push(place.and(&current));
            }
        }
        if keep.contains(&bit) {
            sums.append(&mut current);
        }
        for (place, product) in places.iter_mut().zip(and_all(s, pool, ands).await?) {
            xor_words(&mut place.carry, &product);
        }
    }
    Ok(Bits::from_words(own.rows(), keep.len(), sums))
}

/// Level by level, each with its carries in logarithmic depth: 1 + log2(width) rounds a level.
async fn by_prefix(
    s: &mut Session,
    pool: &mut Pool,
    levels: &[Vec<Merge>],
    own: &Bits,
    keep: Range<usize>,
) -> Result<Bits> {
    let (width, stride) = (own.width(), own.stride());
    let mut sum = own.clone();
    for at in 0..levels.len() {
        // Also a site that waits takes the step, so that the next one has the same number everywhere.
        let mut s = s.step("level");
        let Some(place) = places(&s, &levels[at..=at], stride).pop() else { continue };
        if width < 2 || stride == 0 {
            continue;
        }
        let below = sum.words()[..(width - 1) * stride].to_vec();
        let zeros = vec![0; below.len()];
        let (left, right) = if place.in_left { (below.clone(), zeros) } else { (zeros, below.clone()) };
        let both = and_all(&mut s, pool, vec![And { group: place.group.clone(), left, right }]).await?.remove(0);
        let planes = |words: &[u64]| words.chunks(stride).map(<[u64]>::to_vec).collect::<Vec<_>>();
        let carries = Carries { generate: planes(&both), propagate: planes(&below) };
        if only_top(levels, at, width, &keep) {
            let top = carries.last(&mut s, pool, &place.group).await?;
            xor_words(sum.plane_mut(width - 1), &top);
        } else {
            let all = carries.all(&mut s, pool, &place.group).await?;
            all.iter().enumerate().for_each(|(bit, carry)| xor_words(sum.plane_mut(bit + 1), carry));
        }
    }
    Ok(sum.planes(keep))
}

impl Place {
    /// (x ⊕ c) ∧ (y ⊕ c), where x is shared in the left half (zero in the right one) and y in the right half.
    fn and(&self, with_carry: &[u64]) -> And {
        let (group, carry) = (self.group.clone(), self.carry.clone());
        match self.in_left {
            true => And { group, left: with_carry.to_vec(), right: carry },
            false => And { group, left: carry, right: with_carry.to_vec() },
        }
    }
}

fn places(s: &Session, levels: &[Vec<Merge>], stride: usize) -> Vec<Place> {
    let me = s.me();
    let mine = levels.iter().flatten().filter(|merge| merge.left.contains(&me) || merge.right.contains(&me));
    mine.map(|merge| Place { group: merge.group(), in_left: merge.left.contains(&me), carry: vec![0; stride] })
        .collect()
}

/// Is this site in the right half of the last addition?
pub(super) fn in_last_right(s: &Session, levels: &[Vec<Merge>]) -> bool {
    levels.last().is_some_and(|last| last.iter().any(|merge| merge.right.contains(&s.me())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sites: u8) -> Vec<Vec<usize>> {
        let sites: Vec<PartyId> = (0..sites).map(PartyId).collect();
        levels(&sites).iter().map(|level| level.iter().map(|m| m.group().len()).collect()).collect()
    }

    #[test]
    fn the_tree_pairs_groups_and_ends_with_all_sites() {
        assert_eq!(sizes(2), [vec![2]]);
        assert_eq!(sizes(3), [vec![2], vec![3]]);
        assert_eq!(sizes(5), [vec![2, 2], vec![4], vec![5]]);
        assert_eq!(sizes(8), [vec![2, 2, 2, 2], vec![4, 4], vec![8]]);
    }

    #[test]
    fn eight_sites_take_88_transfers_a_bit() {
        let ots: usize = sizes(8).iter().flatten().map(|g| g * (g - 1)).sum();
        assert_eq!(ots, 88);
    }
}
