//! Every patient in one row, at its first site, with what the sites behind it say: joint sets, and how they differ.

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Result};

use super::counter::{Ands, products};
use super::{Counted, NO_SET};
use crate::engine::Engine;
use crate::matching::Segment;
use crate::relational::patients::{Flagged, flags};
use crate::share::BitShare;

/// The joint sets, patients × sets, each patient in one row; rows of nobody are zero. For each segment its bins.
/// ANDs for each set and bin of site j, counted from 0: N − j (one less in the first).
pub(super) async fn joint_sets<E: Engine>(
    ands: &mut Ands<'_, E>,
    segments: &[Segment],
    first: &[BitShare],
    sets: usize,
) -> Result<Vec<BitShare>> {
    let first: Vec<BitShare> = first.iter().map(|first| BitShare::beside(&vec![first; sets])).collect();
    let mut unsaid = Vec::with_capacity(segments.len());
    for (segment, first) in segments.iter().zip(&first) {
        let after = segment.holders.iter().filter(|holder| holder.site >= segment.receiver);
        let mut factors: Vec<BitShare> = after.map(|holder| ands.e.not(&holder.bits)).collect();
        if is_later(segment) {
            factors.push(first.planes(0..sets));
        }
        unsaid.push(factors);
    }
    // first ∧ ∨ x = first ⊕ first ∧ ∧ ¬x: one AND for each factor.
    let unsaid = products(ands, unsaid).await?;
    Ok(first.iter().zip(&unsaid).map(|(first, unsaid)| first.xor(unsaid)).collect())
}

/// The same of sets that a circuit flags. Behind it one AND for each bin and set, none in the first site's bins.
pub(super) async fn counted_sets<E: Engine>(
    ands: &mut Ands<'_, E>,
    segments: &[Segment],
    first: &[BitShare],
    (counted, sets): (&Counted, usize),
) -> Result<Vec<BitShare>> {
    let flagged = flags(ands.e, &counted.circuit, segments).await?;
    let mut factors = Vec::with_capacity(segments.len());
    for (segment, first) in segments.iter().zip(first) {
        let mut columns: Vec<BitShare> = (0..sets).map(|_| BitShare::zeros(segment.rows, 1)).collect();
        for Flagged { set, bits, .. } in flagged.iter().filter(|flagged| flagged.receiver == segment.receiver) {
            let column = columns.get_mut(*set).ok_or_else(|| ands.e.fault(LocalFault::Other(NO_SET.into())))?;
            *column = BitShare::new(Bits::from_words(segment.rows, 1, bits.bits().words().to_vec()));
        }
        let columns = BitShare::beside(&columns.iter().collect::<Vec<_>>());
        let seen = is_later(segment).then(|| BitShare::beside(&vec![first; sets]));
        factors.push([columns].into_iter().chain(seen).collect());
    }
    products(ands, factors).await
}

/// For each segment one bit a row: no site before the receiver has this patient. ANDs for each bin of site j, counted
/// from 0: j − 1 (at least 0).
pub(super) async fn first_seen<E: Engine>(ands: &mut Ands<'_, E>, segments: &[Segment]) -> Result<Vec<BitShare>> {
    let mut absent = Vec::with_capacity(segments.len());
    for segment in segments {
        let before = segment.holders.iter().filter(|holder| holder.site < segment.receiver);
        let mut members: Vec<BitShare> = before.map(|holder| ands.e.not(&holder.member)).collect();
        // At the first site everybody is seen for the first time.
        if members.is_empty() {
            members.push(ands.e.not(&BitShare::zeros(segment.rows, 1)));
        }
        absent.push(members);
    }
    products(ands, absent).await
}

/// May another site have the segment's patients before its receiver?
pub(super) fn is_later(segment: &Segment) -> bool {
    segment.holders.iter().any(|holder| holder.site < segment.receiver)
}

/// The XOR of each pair's columns, or a column as it is, word by word: in word w, rows 64·i to 64·i + 63 are those of pair i, the pairs of the
/// second part after those of the first.
pub(super) fn differences(parts: &[BitShare], pairs: &[(usize, Option<usize>)]) -> Vec<BitShare> {
    let instances = || parts.iter().flat_map(|part| pairs.iter().map(move |pair| (part.bits(), pair)));
    let count = parts.len() * pairs.len();
    let words = parts.first().map_or(0, |part| part.bits().stride());
    let other = |bits: &Bits, old: Option<usize>, at: usize| old.map_or(0, |old| bits.plane(old)[at]);
    let word = |at: usize| instances().map(|(bits, (new, old))| bits.plane(*new)[at] ^ other(bits, *old, at)).collect();
    (0..words).map(|at| BitShare::new(Bits::from_words(64 * count, 1, word(at)))).collect()
}
