//! Bit triples of a group of sites: shares of random a, b and c = a ∧ b.

use mpc_core::bits::xor_words;
use mpc_core::random::Domain;
use mpc_core::{PartyId, Result, Session};

use super::pool::BitTriples;
use crate::ot::Ot;

/// Words of a batch: 2^17 OTs with each other member, 512 KiB of corrections.
pub(crate) const BATCH: usize = 1 << 11;

/// Makes triples for `words` words of 64 bits. (Σ a_i)(Σ b_j) is the sum of every site's own a_i·b_i and of a_i·b_j for
/// each ordered pair: one OT with choice a_i, in which j offers messages that differ by b_j. Each site uses the same a_i
/// towards all, and the same b_i.
///
/// Two rounds a batch of 2^17; to each other member 32 bits of correction for its OT as chooser and 1 bit as offerer, a
/// triple.
///
/// # Source
/// Asharov–Lindell–Schneider–Zohner, CCS'13, §5.1 (triples from random OT); Goldreich–Micali–Wigderson for N parties.
pub(super) async fn fill(
    session: &mut Session,
    ot: &mut Ot,
    group: &[PartyId],
    words: usize,
    into: &mut BitTriples,
) -> Result<()> {
    let mut s = session.step("bit triples");
    let mut rng = s.private_rng(Domain::Triple)?;
    let others: Vec<PartyId> = group.iter().copied().filter(|p| *p != s.me()).collect();
    let mut left = words;
    while left > 0 {
        let batch = left.min(BATCH);
        let (mut a, mut b) = (vec![0; batch], vec![0; batch]);
        rng.fill_words(&mut a);
        rng.fill_words(&mut b);
        let c = products(&mut s, ot, &others, &a, &b).await?;
        into.push(a, b, c);
        left -= batch;
    }
    Ok(())
}

async fn products(s: &mut Session, ot: &mut Ot, others: &[PartyId], a: &[u64], b: &[u64]) -> Result<Vec<u64>> {
    ot.prepare(s, others, 64 * a.len()).await?;
    let mut chosen = Vec::with_capacity(others.len());
    for peer in others {
        chosen.push(ot.receiver(*peer).choose(s, a)?);
    }
    let mut c: Vec<u64> = a.iter().zip(b).map(|(a, b)| a & b).collect();
    for peer in others {
        let (zero, mut one) = ot.sender(*peer).offer(s, a.len()).await?.hash_bits();
        xor_words(&mut c, &zero);
        xor_words(&mut one, &zero);
        xor_words(&mut one, b);
        s.send(*peer, &one)?;
    }
    for (peer, chosen) in others.iter().zip(chosen) {
        let corrections: Vec<u64> = s.recv(*peer, a.len()).await?;
        xor_words(&mut c, &chosen.hash_bits());
        c.iter_mut().zip(a).zip(&corrections).for_each(|((c, a), d)| *c ^= a & d);
    }
    Ok(c)
}
