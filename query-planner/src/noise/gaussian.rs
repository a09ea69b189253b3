//! How much Gaussian noise (ε, δ) asks for, by integers alone: the plan's digest depends on it, and rounding goes to more noise.
//!
//! # Argument
//! A figure with discrete Gaussian noise of variance σ², which one patient moves by a vector (over its groups) whose squares sum to
//! Δ₂², is ρ-zCDP with ρ = Δ₂²/2σ², and figures together have the sum of their ρ (Canonne, Kamath, Steinke, NeurIPS'20, theorems 4
//! and 14). For every α > 1 ρ-zCDP implies (ε, δ)-differential privacy where
//!
//! ```text
//! ε = α·ρ + (ln(1/δ) − ln α)/(α − 1) − ln(α/(α − 1))
//! ```
//!
//! (ibid., Corollary 13: with the privacy loss Z, δ is at most E[max(0, 1 − e^(ε−Z))], and max(0, 1 − e^(ε−z)) is at most
//! e^((α−1)(z−ε))·(1 − 1/α)^α/(α − 1), the largest ratio of the two by calculus; E[e^((α−1)Z)] ≤ e^((α−1)αρ).) So for every integer α
//!
//! ```text
//! ρ = (ε + ln(α/(α − 1)) − (ln(1/δ) − ln α)/(α − 1))/α
//! ```
//!
//! will do, with any smaller number for either logarithm of α and any larger one for ln(1/δ). The largest over α is taken. ε²/(4L + 2ε)
//! with L = ln(1/δ) will do as well: ε = ρ + 2√(ρL) (Bun, Steinke, TCC'16, Proposition 1.3) gives ρ = ε²/(√(L+ε) + √L)², and the
//! geometric mean of L + ε and L is below their arithmetic one. It serves where the α that is needed is beyond `MAX_ALPHA`.
//!
//! # Shares
//! Sites add discrete Gaussians of variance σ²/h, which only sum to something close to one: at every point the probabilities differ by a
//! factor of e^(±τ), τ < 4·10⁻¹⁷·(h − 1), where a share's variance is 4 at least (`protocols::Noise`). Over the m totals that a patient
//! can move, this adds 2mτ to ε and a factor of e^(mτ) to δ (what it cannot move is distributed alike with and without it). With m·h ≤ 2³²
//! these are below 4·10⁻⁷ and e^(2·10⁻⁷): ε is taken a millionth smaller for the first, and ln 10 rounded up pays for the second.

use super::amounts::Epsilon;

/// ρ of zero-concentrated differential privacy, in units of 10⁻¹⁵.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Rho(pub u64);

/// The largest variance of a site's share: what `protocols::Noise` can draw.
pub const MAX_SHARE_VARIANCE: u128 = 1 << 112;

/// The most totals times honest sites that the slack of the argument pays for.
pub(super) const MAX_TOTALS: u64 = 1 << 32;

/// The largest ρ for which ρ-zCDP implies (ε, 10^−`delta_digits`)-differential privacy, as far as the argument finds it; not above it.
pub(super) fn rho(epsilon: Epsilon, delta_digits: u32) -> Rho {
    let epsilon = i128::from(epsilon.0.saturating_sub(SUM_SLACK_MILLIONTHS)) * (UNIT / 1_000_000);
    let log = i128::from(delta_digits) * LN_10;
    let (mut best, mut ln_alpha) = (by_closed_form(epsilon, log), 0);
    // The best α is about ln(1/δ)·2/ε.
    let last = (4 * log / epsilon.max(1)).clamp(2, MAX_ALPHA);
    for alpha in 2..=last {
        let step = ln_of_step(alpha);
        ln_alpha += step;
        let rest = div_ceil(log - ln_alpha, alpha - 1);
        best = best.max((epsilon + step - rest) / alpha);
    }
    Rho(u64::try_from(best.max(0)).unwrap_or(u64::MAX))
}

/// σ² of all honest sites' shares together, for one figure that has this part of ρ: `honest` times a share's, so that it divides evenly.
/// Beyond what is computed exactly it is the largest number there is, which nobody can draw.
pub(super) fn variance(squares: u128, each: Rho, honest: u32) -> u128 {
    let (unit, twice) = (UNIT as u128, 2 * u128::from(each.0.max(1)));
    // The remainder's product has 65 and 50 bits at most.
    let rest = (squares % twice * unit).div_ceil(twice);
    let whole = (squares / twice).checked_mul(unit).and_then(|whole| whole.checked_add(rest));
    let share = whole.map(|whole| whole.div_ceil(honest.into()).max(MIN_SHARE_VARIANCE));
    share.and_then(|share| share.checked_mul(honest.into())).unwrap_or(u128::MAX)
}

/// ε²/(4L + 2ε), rounded down.
fn by_closed_form(epsilon: i128, log: i128) -> i128 {
    epsilon * epsilon / (4 * log + 2 * epsilon)
}

/// ln(k/(k − 1)) = 2·artanh(1/(2k − 1)), from below: the first two terms of its series, of which all are positive.
fn ln_of_step(k: i128) -> i128 {
    let odd = 2 * k - 1;
    2 * UNIT / odd + 2 * UNIT / (3 * odd.pow(3))
}

fn div_ceil(above: i128, below: i128) -> i128 {
    above.div_euclid(below) + i128::from(above.rem_euclid(below) > 0)
}

/// Logarithms, ε and ρ are counted in 10⁻¹⁵.
const UNIT: i128 = 1_000_000_000_000_000;

/// ln 10 = 2.302585092994…, rounded up by 9·10⁻⁷, which pays for the sum of shares.
const LN_10: i128 = 2_302_586_000_000_000;

/// What is taken off ε because a sum of discrete Gaussians is not quite one.
pub(super) const SUM_SLACK_MILLIONTHS: u64 = 1;

/// For smaller ε the closed form stands.
const MAX_ALPHA: i128 = 1 << 14;

/// For τ above.
const MIN_SHARE_VARIANCE: u128 = 4;

#[cfg(test)]
mod tests;
