//! Ring triples: shares of random a, b and c = a·b mod 2^BITS.

use mpc_core::random::Domain;
use mpc_core::{Bits, PowerOfTwo, Result, Session};

use super::pool::RingTriples;
use super::products::{self, Buffers};
use crate::ot::Ot;

/// Elements of a batch: 2^18 OTs with each other site in Z64.
pub(crate) const BATCH: usize = 4096;

/// Makes `len` triples for all sites. c is the sum of every site's own a_i·b_i and of a_i·b_j for each ordered pair, bit by
/// bit of a_i (`products.rs`).
///
/// Two rounds a batch; to each other site BITS·32 bits of correction and Σ_j ceil((BITS − j)/8) bytes a triple: 256 + 288
/// bytes in Z64.
///
/// # Source
/// Gilboa, Crypto'99; Demmler–Schneider–Zohner (ABY), NDSS'15, §III-A.5; N parties by ordered pairs.
pub(super) async fn fill<R: PowerOfTwo>(
    session: &mut Session,
    ot: &mut Ot,
    len: usize,
    into: &mut RingTriples<R>,
) -> Result<()> {
    let mut s = session.step("ring triples");
    let mut rng = s.private_rng(Domain::Triple)?;
    let mut buffers = Buffers::default();
    let mut left = len;
    while left > 0 {
        let batch = left.min(BATCH);
        let (mut a, mut b) = (vec![R::default(); batch], vec![R::default(); batch]);
        rng.add_to(&mut a);
        rng.add_to(&mut b);
        let c = cross_products(&mut s, ot, &a, &b, &mut buffers).await?;
        into.push(a, b, c);
        left -= batch;
    }
    Ok(())
}

async fn cross_products<R: PowerOfTwo>(
    s: &mut Session,
    ot: &mut Ot,
    a: &[R],
    b: &[R],
    buffers: &mut Buffers,
) -> Result<Vec<R>> {
    let others = s.other_sites();
    let mut bits = planes(a);
    ot.prepare(s, &others, 64 * bits.words().len()).await?;
    let mut chosen = Vec::with_capacity(others.len());
    for peer in &others {
        chosen.push(products::choose(s, ot.receiver(*peer), &bits)?);
    }
    let mut c: Vec<R> = a.iter().zip(b).map(|(a, b)| a.mul(*b)).collect();
    for peer in &others {
        products::offer(s, ot.sender(*peer), *peer, R::BITS, b, &mut c, buffers).await?;
    }
    for (peer, chosen) in others.iter().zip(chosen) {
        products::take(s, *peer, chosen, &bits, &mut c, buffers).await?;
    }
    bits.wipe();
    Ok(c)
}

/// All bits of every element.
fn planes<R: PowerOfTwo>(column: &[R]) -> Bits {
    let part = |shift: usize| -> Bits {
        let mut words: Vec<u64> = column.iter().map(|x| (x.to_low() >> shift) as u64).collect();
        let bits = Bits::from_column(&words, 64);
        zeroize::Zeroize::zeroize(&mut words);
        bits
    };
    let parts: Vec<Bits> = (0..R::BITS).step_by(64).map(part).collect();
    Bits::beside(&parts.iter().collect::<Vec<_>>())
}
