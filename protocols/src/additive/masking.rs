//! Pairwise-seeded zero-shares.

use mpc_core::random::Domain;
use mpc_core::{Result, Ring, Session};

/// Adds this site's part of a fresh sharing of zero: for each other site ± the stream of their common seed, so that the
/// parts of all sites cancel. No message; (N−1) streams of the column's length.
///
/// A coalition knows every stream that one of its members shares. The streams between two sites outside it stay uniform to
/// it, so the masked summands of all sites outside are uniform subject to their sum; with one site outside, that sum is
/// what the answer and the coalition's own inputs already tell.
///
/// # Source
/// Bonawitz et al., Practical Secure Aggregation, CCS'17, §4.0.1 (masking with pairwise one-time pads).
/// # Deviations
/// No dropout recovery: a site that leaves ends the session, and a retry has new seeds.
/// # Errors
/// `Local(RandomnessReused)` when a zero-share was already taken at this step.
pub(super) fn add_zero_share<R: Ring>(session: &mut Session, domain: Domain, column: &mut [R]) -> Result<()> {
    let me = session.me();
    for other in session.other_sites() {
        let mut stream = session.shared_rng(other, domain)?;
        if me < other { stream.add_to(column) } else { stream.sub_from(column) }
    }
    Ok(())
}
