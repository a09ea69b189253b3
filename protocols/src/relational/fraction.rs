//! The remainder of shared numbers by a public one.

use mpc_core::{PowerOfTwo, Result, Z64};

use super::shape;
use crate::engine::Engine;
use crate::share::ArithShare;

/// a mod `den` for numbers 0 ≤ a < 2^`bits`; other numbers give an unspecified result. `den` is 1 to 2^56.
///
/// a ≡ Σ bit_i·(2^i mod den), a sum below bits·den, from which at most ⌈log2 bits⌉ + 1 multiples den·2^j are taken
/// away, greatest first. For a power of two only the low bits count and nothing is left to take away. n numbers: `a2b`
/// and `b2a` of n·bits, then for each multiple `negative` and `b2a` of n. Rounds: a2b + b2a + multiples·(negative +
/// b2a).
///
/// # Source
/// Restoring division, with the powers of two reduced beforehand so that its length is log bits instead of bits.
/// # Errors
/// As the engine's operations.
pub async fn remainders<E: Engine>(e: &mut E, a: &ArithShare<Z64>, bits: usize, den: u64) -> Result<ArithShare<Z64>> {
    // 2^i mod den; for a power of two they are 0 from log2 den on.
    let powers: Vec<u64> = (0..bits.min(64)).map(|i| ((1u128 << i) % u128::from(den)) as u64).collect();
    let telling = powers.iter().rposition(|p| *p != 0).map_or(0, |i| i + 1);
    let rows = a.len();
    if telling == 0 || rows == 0 {
        return Ok(ArithShare::zeros(rows));
    }
    let bits = e.a2b(a, telling).await?;
    let places = e.b2a::<Z64>(&bits).await?;
    let weights: Vec<Z64> = (0..places.len()).map(|i| Z64(powers[i / rows])).collect();
    let mut rest = shape::fold(e, &places.times_public(&weights), rows)?;
    let mut bound: u64 = powers.iter().sum();
    for multiple in multiples(den, bound) {
        let width = 65 - bound.max(multiple).leading_zeros() as usize;
        let below = e.less_than_public(&rest, &vec![Z64(multiple); rows], width).await?;
        let reaches = e.not(&below);
        let taken = e.b2a::<Z64>(&reaches).await?.times(Z64(multiple));
        rest = e.sub(&rest, &taken)?;
        bound = multiple - 1;
    }
    Ok(rest)
}

/// den·2^j from the greatest that is at most `bound` down to den.
fn multiples(den: u64, bound: u64) -> Vec<u64> {
    let mut all: Vec<u64> =
        (0..).map(|j| Z64(den).mul(Z64::power(j)).0).take_while(|m| *m <= bound && *m != 0).collect();
    all.reverse();
    all
}
