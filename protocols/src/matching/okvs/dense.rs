//! The dense rows: polynomials in a key's hash, and the system of the gap.

use mpc_core::{Block, gf128};
use zeroize::Zeroizing;

/// Hashes evaluated at a time: three columns of 1 KiB in the first-level cache.
const TILE: usize = 64;

/// `sums[i] += h·D₁ + h²·D₂ + …` for each hash h, by Horner's rule.
pub(super) fn add_polynomial(dense: &[Block], hashes: &[Block], sums: &mut [Block]) {
    let Some((highest, others)) = dense.split_last() else { return };
    for (hashes, sums) in hashes.chunks(TILE).zip(sums.chunks_mut(TILE)) {
        let mut value = [*highest; TILE];
        let mut next = [Block::ZERO; TILE];
        for coefficient in others.iter().rev() {
            next.fill(*coefficient);
            gf128::mul_each_add_into(&mut next[..hashes.len()], &value[..hashes.len()], hashes);
            std::mem::swap(&mut value, &mut next);
        }
        gf128::mul_each_add_into(sums, &value[..hashes.len()], hashes);
    }
}

/// One linear equation in the dense rows: coefficients, then `width` blocks of its right side.
pub(super) type Equation = Zeroizing<Vec<Block>>;

/// Makes the dense rows satisfy the equations; unknowns that these leave free keep their values. `dense` is row-major. None when
/// the equations are dependent.
pub(super) fn solve(mut equations: Vec<Equation>, dense: &mut [Block], width: usize) -> Option<()> {
    let unknowns = dense.len() / width;
    let mut pivots = Vec::with_capacity(equations.len());
    for index in 0..equations.len() {
        let (done, rest) = equations.split_at_mut(index);
        let (equation, later) = rest.split_first_mut()?;
        let pivot = (0..unknowns).find(|k| equation[*k] != Block::ZERO)?;
        let inverse = gf128::invert(equation[pivot]);
        gf128::scale(equation, inverse);
        for other in done.iter_mut().chain(later) {
            let factor = other[pivot];
            gf128::mul_add_into(other, factor, equation);
        }
        pivots.push(pivot);
    }
    for (equation, pivot) in equations.iter().zip(&pivots) {
        let (coefficients, right) = equation.split_at(unknowns);
        let mut value = Zeroizing::new(right.to_vec());
        for free in (0..unknowns).filter(|k| !pivots.contains(k)) {
            gf128::mul_add_into(&mut value, coefficients[free], &dense[free * width..][..width]);
        }
        dense[pivot * width..][..width].copy_from_slice(&value);
    }
    Some(())
}
