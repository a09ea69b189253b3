//! daBits: random bits, shared as bits and as numbers.

use mpc_core::random::Domain;
use mpc_core::{Bits, PartyId, PowerOfTwo, Result, Session};

use super::pool::DaBits;
use super::products::{self, Buffers};
use crate::ot::Ot;
use crate::share::ArithShare;

/// Words of a batch: 2^16 OTs with each other site.
pub(crate) const BATCH: usize = 1 << 10;

/// Makes `words` words of 64 daBits. Every site draws its own bit r_i; the shared bit is their XOR. As a number it is built
/// site by site: A ⊕ r_i = A + r_i − 2·A·r_i, where A is shared among the sites before i and r_i is i's own, so that
/// A_j·r_i takes one OT for each j before i.
///
/// N rounds a batch (the sites come in turn); N(N−1)/2 OTs a bit in all, each 32 bits and BITS/8 bytes.
///
/// # Source
/// Rotaru–Wood, MArBled Circuits, Indocrypt'19 (daBits); Escudero et al., Crypto'20, §3; here semi-honest, with the XOR of
/// private bits computed by OT.
pub(super) async fn fill<R: PowerOfTwo>(
    session: &mut Session,
    ot: &mut Ot,
    words: usize,
    into: &mut DaBits<R>,
) -> Result<()> {
    let mut s = session.step("dabits");
    let mut rng = s.private_rng(Domain::Triple)?;
    let mut buffers = Buffers::default();
    let mut left = words;
    while left > 0 {
        let batch = left.min(BATCH);
        let mut own = vec![0; batch];
        rng.fill_words(&mut own);
        let others = s.other_sites();
        ot.prepare(&mut s, &others, 64 * batch).await?;
        let bits = Bits::from_words(batch * 64, 1, own);
        let all: Vec<PartyId> = s.parties().sites().collect();
        let numbers = numbers(&mut s, ot, &all, &bits, &mut buffers).await?;
        into.push(bits, numbers);
        left -= batch;
    }
    Ok(())
}

/// This site's summands of the XOR of a group's bits, among which it is. The group's sites come in turn, in this order.
pub(super) async fn numbers<R: PowerOfTwo>(
    s: &mut Session,
    ot: &mut Ot,
    group: &[PartyId],
    own: &Bits,
    buffers: &mut Buffers,
) -> Result<Vec<R>> {
    let me = s.me();
    let plane = own.plane(0);
    let bit = |row: usize| R::from_low(u128::from(plane[row / 64] >> (row % 64) & 1));
    let mut numbers: Vec<R> = (0..own.rows()).map(bit).collect();
    let others = group.iter().filter(|p| **p != me);
    // As receiver, when my turn comes: my bit with the summands of everybody before me.
    let mut chosen = Vec::new();
    for peer in others.clone().filter(|p| **p < me) {
        chosen.push((*peer, products::choose(s, ot.receiver(*peer), own)?));
    }
    for (peer, received) in chosen {
        products::take(s, peer, received, own, &mut numbers, buffers).await?;
    }
    // As sender, for everybody after me, in turn: each multiplies what I hold by then.
    for peer in others.filter(|p| **p > me) {
        // Wiped when dropped, as every share is.
        let minus_twice = ArithShare::new(numbers.iter().map(|x| R::default().sub(x.add(*x))).collect());
        products::offer(s, ot.sender(*peer), *peer, 1, minus_twice.column(), &mut numbers, buffers).await?;
    }
    Ok(numbers)
}
