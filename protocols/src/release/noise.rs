//! Noise for differential privacy: one site's share of it, exact, by integers only.
//!
//! Every site adds a share to its own part of a figure before anything is compared or opened. The shares of any `honest` sites
//! sum to the whole noise; what further sites add is added to a figure that is private already. Floating point would leak the
//! figure in its last bits (Mironov, CCS'12), so that nothing here computes with it but [`Noise::standard_deviation`], for print.
//!
//! How long a draw takes depends on its value: draw before the session, never between two messages.
//!
//! # Laplace
//! The discrete Laplace distribution, P(x) ∝ e^{−|x|·ε/Δ}, gives ε-differential privacy at sensitivity Δ (Ghosh, Roughgarden,
//! Sundararajan, STOC'09). It is the difference of two geometric variables, each the sum of h independent NB(1/h, e^{−ε/Δ})
//! (Goryczka and Xiong, TDSC 2017): a share is the difference of two of these.
//!
//! # Gaussian
//! A share is a discrete Gaussian of variance v = max(4, ⌈σ²/h⌉). The sum of h of them is close to one of variance h·v (Kairouz,
//! Liu, Steinke, ICML'21, Proposition 6, with a constant of our own): at every point the two probabilities differ by a factor
//! of e^{±τ} at most, τ = 4·10⁻¹⁷·(h − 1). By induction over the shares: the convolution of the densities of k·v and v at x is
//! the density of (k+1)·v times c·Θ(x), Θ(x) = Σ_j e^{−(j−μ)²/2s} with s = v·k/(k+1) ≥ 2 and some μ that depends on x. By
//! Poisson's formula Θ(x) = √(2πs)·(1 ± 2B) with B ≤ 1.01·e^{−2π²s} < 7.3·10⁻¹⁸; the factor's mean is 1, so that it lies
//! between (1−2B)/(1+2B) and its inverse, and |ln| ≤ 5B.
//!
//! How large σ² must be for (ε, δ) and several figures, and what τ costs, is the planner's affair (`query_planner::noise::gaussian`).

mod draw;

use mpc_core::random::Prg;

use draw::Scale;

/// What is added to a figure by all honest sites together. Public: only what is drawn is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Discrete Laplace of scale Δ/ε, for ε-differential privacy.
    Laplace {
        /// Δ: by how much one patient can change the figure, in its own units. For several figures see `epsilon_millionths`.
        sensitivity: u64,
        /// ε of this one figure, in millionths. Figures with a patient in common add up.
        epsilon_millionths: u64,
        /// h: the least number of sites that are trusted to add their share.
        honest: u32,
    },
    /// About a discrete Gaussian, for (ε, δ)-differential privacy.
    Gaussian {
        /// σ² of the sum over the honest sites, in squared units of the figure.
        variance: u128,
        /// h: the least number of sites that are trusted to add their share.
        honest: u32,
    },
}

/// Parameters that noise cannot be drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// Nothing to draw: sensitivity, ε, the variance or the number of honest sites is 0.
    #[error("noise needs a sensitivity and an epsilon, or a variance, and at least one honest site")]
    Zero,
    /// Beyond what is computed exactly: the variance of a share is above [`MAX_VARIANCE`].
    #[error("noise of this size cannot be drawn exactly: lower the bound of a patient's part, or raise epsilon")]
    TooLarge,
}

/// The largest variance of a share: its multiples by 2¹⁶ fit 128 bits.
pub const MAX_VARIANCE: u128 = 1 << 112;

/// [`Noise::bits`] fails with probability 2 to the minus this.
pub const FAILURE_BITS: u32 = 40;

impl Noise {
    /// Can shares of this noise be drawn?
    ///
    /// # Errors
    /// [`NoiseError`] as its variants say.
    pub fn check(&self) -> Result<(), NoiseError> {
        match *self {
            Self::Laplace { sensitivity, epsilon_millionths, honest } => {
                if sensitivity == 0 || epsilon_millionths == 0 || honest == 0 {
                    return Err(NoiseError::Zero);
                }
            }
            Self::Gaussian { variance, honest } => {
                if variance == 0 || honest == 0 {
                    return Err(NoiseError::Zero);
                }
                if share_variance(variance, honest) > MAX_VARIANCE {
                    return Err(NoiseError::TooLarge);
                }
            }
        }
        Ok(())
    }

    /// One site's share. A secret of that site: not to be printed, and to be drawn before the session (see above).
    ///
    /// # Errors
    /// As [`Noise::check`]; `TooLarge` for a draw that 128 bits do not hold, less likely than 2⁻¹⁶⁰.
    pub fn sample(&self, rng: &mut Prg) -> Result<i128, NoiseError> {
        self.check()?;
        let share = match *self {
            Self::Laplace { sensitivity, epsilon_millionths, honest } => {
                draw::laplace_share(rng, Scale::of(sensitivity, epsilon_millionths), honest)
            }
            Self::Gaussian { variance, honest } => draw::gaussian(rng, share_variance(variance, honest)),
        };
        share.ok_or(NoiseError::TooLarge)
    }

    /// The standard deviation of what `sites` sites add together, for print. It is that of the discrete Laplace, or σ, where
    /// exactly the honest sites add.
    pub fn standard_deviation(&self, sites: u32) -> f64 {
        let variance = match *self {
            // 2p/(1−p)² with p = e^{−ε/Δ}.
            Self::Laplace { sensitivity, epsilon_millionths, honest } => {
                let half = epsilon_millionths as f64 / 2e6 / sensitivity as f64;
                f64::from(sites) / f64::from(honest) / (2.0 * half.sinh().powi(2))
            }
            Self::Gaussian { variance, honest } => f64::from(sites) * share_variance(variance, honest) as f64,
        };
        variance.sqrt()
    }

    /// What `sites` sites add together is below 2^bits in absolute value, except with probability 2⁻⁴⁰.
    ///
    /// Laplace: with m = ⌈sites/h⌉ each of the two sums is at most that of m geometric variables of p = e^{−ε/Δ}; that one of
    /// these 2m reaches T/m has probability 2m·p^{T/m} ≤ 2⁻⁴⁰ for T = m·(Δ/ε)·(41 + log2 m)·ln 2. Gaussian: a discrete Gaussian is
    /// subgaussian with its variance (Canonne, Kamath, Steinke, Corollary 17), so that the sum reaches T with probability
    /// 2·e^{−T²/(2·sites·v)} ≤ 2⁻⁴⁰ for T² = 82·ln 2·sites·v.
    ///
    /// # Errors
    /// As [`Noise::check`].
    pub fn bits(&self, sites: u32) -> Result<u32, NoiseError> {
        self.check()?;
        Ok(match *self {
            Self::Laplace { sensitivity, epsilon_millionths, honest } => {
                let each = u128::from(sites.div_ceil(honest));
                let doublings = u128::from(FAILURE_BITS + 1 + log2_up(each));
                // ln 2 < 7/10. At most 32 + 84 + 9 bits.
                let reach = each * u128::from(sensitivity) * 1_000_000 * doublings * 7;
                log2_up(reach.div_ceil(10 * u128::from(epsilon_millionths)))
            }
            Self::Gaussian { variance, honest } => {
                // 82·ln 2 < 57. A number of sites and 57 take 38 bits, which the largest variance does not leave.
                let whole = (57 * u128::from(sites)).saturating_mul(share_variance(variance, honest));
                log2_up(whole).div_ceil(2)
            }
        })
    }
}

/// v. Not below 4, for τ above.
fn share_variance(variance: u128, honest: u32) -> u128 {
    variance.div_ceil(u128::from(honest)).max(MIN_SHARE_VARIANCE)
}

/// The smallest b with 2^b ≥ x.
fn log2_up(x: u128) -> u32 {
    u128::BITS - x.saturating_sub(1).leading_zeros()
}

const MIN_SHARE_VARIANCE: u128 = 4;

#[cfg(test)]
mod tests;
