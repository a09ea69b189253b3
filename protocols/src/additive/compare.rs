//! Sign, zero test and bits of shared numbers.

use mpc_core::bits::xor_words;
use mpc_core::{Bits, Result, Session, Z64};

use super::adder::{self, Merge, sum_planes};
use super::and::{And, and_all};
use super::opening::{Opening, open};
use super::prefix::{self, Carries};
use super::{all_sites, demand_edabits, low};
use crate::correlation::{Budget, Chains, Group, Pool};
use crate::share::{ArithShare, BitShare};

/// From so many sites on, comparisons open the number under an edaBit's mask: then only the last borrow chain, not the whole
/// tree of adders, is worked off online.
pub(super) const EDABIT_SITES: usize = 4;

/// The low `bits` bits: the sites' summands added up by the tree of adders.
///
/// `bits − 1` rounds, or 1 + log2(bits) for each level of the tree; see `adder.rs`.
pub(super) async fn a2b(s: &mut Session, pool: &mut Pool, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
    let mut s = s.step("a2b");
    let mut own = Bits::from_column(a.low_words(), bits);
    let levels = adder::levels(&all_sites(&s));
    let sum = sum_planes(&mut s, pool, &levels, &own, 0..bits).await?;
    own.wipe();
    Ok(BitShare::new(sum))
}

/// Bit `bits − 1`.
///
/// Two and three sites: the tree of adders over the summands themselves, `bits − 1` rounds. Adding bits that the sites hold
/// privately takes as many ANDs as making an edaBit, and saves the second chain that opening under an edaBit takes: half the
/// work in all, and as little online. More sites: masked opening and one chain among all.
///
/// # Source
/// Escudero et al., Crypto'20, §5 (comparison with edaBits); Demmler–Schneider–Zohner, NDSS'15, §IV-B (A2B by adding private
/// summands).
pub(super) async fn negative(s: &mut Session, pool: &mut Pool, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
    let mut s = s.step("negative");
    let sites = all_sites(&s);
    if sites.len() >= EDABIT_SITES {
        return masked_sign(&mut s, pool, &sites, a, bits).await;
    }
    let mut own = Bits::from_column(a.low_words(), bits);
    let sign = sum_planes(&mut s, pool, &adder::levels(&sites), &own, bits - 1..bits).await?;
    own.wipe();
    Ok(BitShare::new(sign))
}

/// Bit triples, or edaBits and what they are made of, for one sign of each of so many words of rows.
pub(super) fn demand_negative(budget: &mut Budget, sites: &Group, words: usize, bits: usize) {
    if sites.len() < EDABIT_SITES {
        return adder::demand(budget, &adder::levels(sites), words, bits, &(bits - 1..bits));
    }
    demand_edabits(budget, sites, bits, words);
    let borrows = match budget.chains {
        Chains::Ripple => bits - 1,
        Chains::Prefix => prefix::last_ands(bits - 1),
    };
    budget.add_bit_triples(sites, words * borrows);
}

/// Opens c = a + r for a random r whose bits are shared; a = c − r, whose top bit is c's ⊕ r's ⊕ the last borrow.
async fn masked_sign(
    s: &mut Session,
    pool: &mut Pool,
    sites: &Group,
    a: &ArithShare<Z64>,
    bits: usize,
) -> Result<BitShare> {
    let words = a.len().div_ceil(64);
    let mask = pool.edabits(s, bits, words)?;
    // Only the low bits leave: the mask has no more.
    let masked = a.column().iter().zip(&mask.numbers).map(|(a, r)| low(a.0.wrapping_add(r.0), bits)).collect();
    let opened = open(s, vec![Opening::new(sites.clone(), masked, add_words)]).await?.remove(0);
    let public = Bits::from_column(&opened, bits);

    let first = s.me() == sites[0];
    let borrow = match pool.chains {
        Chains::Ripple => ripple_borrow(s, pool, sites, &mask.planes, &public).await?,
        Chains::Prefix if bits == 1 => vec![0; words],
        Chains::Prefix => {
            // A borrow arises where r has a bit that c has not, and passes where they are the same.
            let generate = |bit: usize| mask.planes[bit].iter().zip(public.plane(bit)).map(|(r, c)| r & !c).collect();
            let unlike = |c: &u64| if first { !c } else { 0 };
            let propagate =
                |bit: usize| mask.planes[bit].iter().zip(public.plane(bit)).map(|(r, c)| r ^ unlike(c)).collect();
            let (generate, propagate) = ((0..bits - 1).map(generate).collect(), (0..bits - 1).map(propagate).collect());
            Carries { generate, propagate }.last(s, pool, sites).await?
        }
    };
    let mut sign = mask.planes[bits - 1].clone();
    xor_words(&mut sign, &borrow);
    if first {
        xor_words(&mut sign, public.plane(bits - 1));
    }
    Ok(BitShare::new(Bits::from_words(a.len(), 1, sign)))
}

/// b' = r ∧ b ⊕ ¬c ∧ (r ⊕ b) from bit to bit, of which only r ∧ b is an AND of secrets.
async fn ripple_borrow(s: &mut Session, pool: &mut Pool, sites: &Group, r: &[Vec<u64>], c: &Bits) -> Result<Vec<u64>> {
    let mut borrow = vec![0; c.stride()];
    for (bit, r) in r.iter().enumerate().take(c.width() - 1) {
        let and = And { group: sites.clone(), left: r.clone(), right: borrow.clone() };
        let mut next = and_all(s, pool, vec![and]).await?.remove(0);
        for (((next, r), b), c) in next.iter_mut().zip(r).zip(&borrow).zip(c.plane(bit)) {
            *next ^= !c & (r ^ b);
        }
        borrow = next;
    }
    Ok(borrow)
}

fn add_words(acc: &mut [u64], words: &[u64]) {
    acc.iter_mut().zip(words).for_each(|(a, w)| *a = a.wrapping_add(*w));
}

/// Are the low `bits` bits all zero? The sum is zero if the bits of the left half's sum are those of the right half's
/// negated sum; both sums come from their trees of adders, then the bits are compared by a tree of ANDs.
///
/// log2(bits) rounds for two sites, `bits − 1` more for three and more.
pub(super) async fn is_zero(s: &mut Session, pool: &mut Pool, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
    let mut s = s.step("is zero");
    let sites = all_sites(&s);
    let levels = adder::levels(&sites);
    let negated = adder::in_last_right(&s, &levels);
    let mut own: Vec<u64> = a.low_words().to_vec();
    if negated {
        own.iter_mut().for_each(|x| *x = x.wrapping_neg());
    }
    let mut planes = Bits::from_column(&own, bits);
    zeroize::Zeroize::zeroize(&mut own);
    let halves = sum_planes(&mut s, pool, below_last(&levels), &planes, 0..bits).await?;
    planes.wipe();
    let mut equal = halves.into_words();
    if s.me() == sites[0] {
        equal.iter_mut().for_each(|w| *w = !*w);
    }
    let all = all_ones(&mut s, pool, &sites, equal, a.len().div_ceil(64)).await?;
    Ok(BitShare::new(Bits::from_words(a.len(), 1, all)))
}

/// Bit triples for one zero test of each of so many words of rows.
pub(super) fn demand_is_zero(budget: &mut Budget, sites: &Group, words: usize, bits: usize) {
    adder::demand(budget, below_last(&adder::levels(sites)), words, bits, &(0..bits));
    budget.add_bit_triples(sites, words * bits.saturating_sub(1));
}

pub(super) fn below_last(levels: &[Vec<Merge>]) -> &[Vec<Merge>] {
    levels.split_last().map_or(&[], |(_, below)| below)
}

/// AND of all planes, halving their number in each round.
async fn all_ones(
    s: &mut Session,
    pool: &mut Pool,
    sites: &Group,
    mut planes: Vec<u64>,
    stride: usize,
) -> Result<Vec<u64>> {
    while planes.len() > stride {
        let half = planes.len() / stride / 2 * stride;
        let odd = planes.split_off(2 * half);
        let right = planes.split_off(half);
        planes = and_all(s, pool, vec![And { group: sites.clone(), left: planes, right }]).await?.remove(0);
        planes.extend(odd);
    }
    Ok(planes)
}
