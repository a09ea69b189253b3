//! Selections: a random bit r, shared as bit and as number, a random number y, and r·y.

use mpc_core::random::Domain;
use mpc_core::{Bits, PowerOfTwo, Result, Session};

use super::dabits;
use super::pool::Selections;
use super::products::{self, Buffers};
use crate::ot::Ot;
use crate::share::ArithShare;

/// Words of a batch: 2^16 OTs with each other site.
pub(crate) const BATCH: usize = 1 << 10;

/// Makes `words` words of 64 selections. r·y for r = ⊕ r_i is built site by site: with z = (r_0 ⊕ … ⊕ r_{i−1})·y, the next
/// is z + r_i·(y − 2z), where r_i is i's own and y, z are shared among all: one OT with each other site.
///
/// 2N rounds a batch; (3/2)·N(N−1) OTs a selection in all, each 32 bits and BITS/8 bytes. A bit times a number by
/// ring triples would take BITS·N(N−1).
///
/// # Source
/// daBits: `dabits.rs`. The chain is the same identity, applied to y.
pub(super) async fn fill<R: PowerOfTwo>(
    session: &mut Session,
    ot: &mut Ot,
    words: usize,
    into: &mut Selections<R>,
) -> Result<()> {
    let mut s = session.step("selections");
    let mut rng = s.private_rng(Domain::Triple)?;
    let mut buffers = Buffers::default();
    let mut left = words;
    while left > 0 {
        let batch = left.min(BATCH);
        let mut own = vec![0; batch];
        rng.fill_words(&mut own);
        let (others, all) = (s.other_sites(), s.parties().sites().collect::<Vec<_>>());
        ot.prepare(&mut s, &others, 2 * 64 * batch).await?;
        let bits = Bits::from_words(batch * 64, 1, own);
        let mut y = vec![R::default(); batch * 64];
        rng.add_to(&mut y);
        let numbers = dabits::numbers(&mut s, ot, &all, &bits, &mut buffers).await?;
        let products = chain(&mut s, ot, &bits, &y, &mut buffers).await?;
        into.push(bits, numbers, y, products);
        left -= batch;
    }
    Ok(())
}

async fn chain<R: PowerOfTwo>(
    s: &mut Session,
    ot: &mut Ot,
    own: &Bits,
    y: &[R],
    buffers: &mut Buffers,
) -> Result<Vec<R>> {
    let mut z = vec![R::default(); y.len()];
    for owner in s.parties().sites() {
        // Wiped when dropped, as every share is.
        let factor = ArithShare::new(y.iter().zip(&z).map(|(y, z)| y.sub(z.add(*z))).collect());
        if owner != s.me() {
            products::offer(s, ot.sender(owner), owner, 1, factor.column(), &mut z, buffers).await?;
            continue;
        }
        let mut chosen = Vec::new();
        for peer in s.other_sites() {
            chosen.push((peer, products::choose(s, ot.receiver(peer), own)?));
        }
        for (i, (z, factor)) in z.iter_mut().zip(factor.column()).enumerate() {
            *z = z.add(factor.mul(R::from_low(u128::from(own.plane(0)[i / 64] >> (i % 64) & 1))));
        }
        for (peer, received) in chosen {
            products::take(s, peer, received, own, &mut z, buffers).await?;
        }
    }
    Ok(z)
}
