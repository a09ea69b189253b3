//! edaBits: random numbers, shared as numbers and as bits.

use mpc_core::random::Domain;
use mpc_core::{Bits, Result, Session, Z64};
use zeroize::Zeroize;

use super::pool::{EdaBits, Pool};
use crate::additive;

/// Makes random numbers of `bits` bits for `words` words of rows. Every site draws its own; the shared number is their sum
/// mod 2^bits, whose bits come from the tree of adders (`additive/adder.rs`), with bit triples that the budget holds.
///
/// # Source
/// Escudero–Ghosh–Keller–Rachuri–Scholl, Crypto'20, §4 (edaBits from private edaBits); semi-honest, so without the check.
pub(super) async fn make(session: &mut Session, pool: &mut Pool, bits: usize, words: usize) -> Result<EdaBits> {
    let mut s = session.step("edabits");
    let mut own = vec![0; words * 64];
    s.private_rng(Domain::Triple)?.fill_words(&mut own);
    own.iter_mut().for_each(|x| *x = additive::low(*x, bits));
    let mut planes = Bits::from_column(&own, bits);
    let sums = additive::sum_of_private(&mut s, pool, &planes).await?;
    planes.wipe();
    let numbers = own.iter().map(|x| Z64(*x)).collect();
    own.zeroize();
    Ok(EdaBits { numbers, planes: (0..bits).map(|plane| sums.plane(plane).to_vec()).collect() })
}
