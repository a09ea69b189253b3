//! What is left of a set to a site that takes off what it put in itself: whom the other sites put in.

use mpc_core::{PartyId, Result};

use super::counter::{Ands, products};
use super::once::is_later;
use crate::engine::Engine;
use crate::matching::{Holder, Segment};
use crate::relational::shape::beneath;
use crate::share::BitShare;

/// Sets that every site sees.
pub(super) struct Seen<'a> {
    /// Their numbers.
    pub sets: Vec<usize>,
    /// For each site the columns in which it says who is in them.
    pub columns: Vec<Vec<usize>>,
    /// For each segment all joint sets: what any site says.
    pub joint: &'a [BitShare],
}

/// For every site these sets as the other sites say them, each patient in the row of its first site. That a site knows a patient itself
/// does not take it off: its figures less its own part still are about the other sites' rows of that patient.
/// ANDs for each set, bin of site j (counted from 0) and site from j on: N − 1 − j (one less in the first site's bins). The ANDs of all views are made at
/// once. To a site before j nobody in the bins of site j is its own: it sees the joint sets.
pub(super) async fn of_others<E: Engine>(
    ands: &mut Ands<'_, E>,
    segments: &[Segment],
    first: &[BitShare],
    seen: &Seen<'_>,
) -> Result<Vec<BitShare>> {
    let (sites, width) = (segments.len(), seen.sets.len());
    let first: Vec<BitShare> = first.iter().map(|first| BitShare::beside(&vec![first; width])).collect();
    let mut unsaid = Vec::new();
    for site in (0..sites).map(|site| PartyId(site as u8)) {
        for (segment, first) in segments.iter().zip(&first).filter(|(segment, _)| segment.receiver <= site) {
            let is_other = |holder: &&Holder| holder.site >= segment.receiver && holder.site != site;
            let others = segment.holders.iter().filter(is_other);
            let said = others.map(|holder| planes(&holder.bits, &seen.columns[holder.site.index()]));
            let mut factors: Vec<BitShare> = said.map(|said| ands.e.not(&said)).collect();
            if is_later(segment) || factors.is_empty() {
                factors.push(first.planes(0..width));
            }
            unsaid.push(factors);
        }
    }
    let mut unsaid = products(ands, unsaid).await?.into_iter();
    let mut views = Vec::with_capacity(sites);
    for site in (0..sites).map(|site| PartyId(site as u8)) {
        let column = |((segment, first), joint): ((&Segment, &BitShare), &BitShare)| {
            let own = if segment.receiver <= site { unsaid.next() } else { None };
            // first ∧ ∨ x = first ⊕ first ∧ ∧ ¬x.
            own.map_or_else(|| planes(joint, &seen.sets), |unsaid| first.xor(&unsaid))
        };
        let columns: Vec<BitShare> = segments.iter().zip(&first).zip(seen.joint).map(column).collect();
        views.push(beneath(&columns.iter().collect::<Vec<_>>()));
    }
    Ok(views)
}

/// These bits of every row.
fn planes(bits: &BitShare, at: &[usize]) -> BitShare {
    BitShare::beside(&at.iter().map(|at| bits.plane(*at)).collect::<Vec<_>>().iter().collect::<Vec<_>>())
}
