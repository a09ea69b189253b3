//! Noise for ε-differential privacy: one site's share of it, by integers only, because floating point would leak what it is added to
//! in its last bits (Mironov, CCS'12).
//!
//! How long a draw takes depends on its value: draw before the session, never between two messages.
//!
//! # Source
//! Canonne, Kamath, Steinke, *The Discrete Gaussian for Differential Privacy*, NeurIPS'20, algorithms 1 and 2.
//!
//! # Deviations
//! A Laplace variable is the difference of two geometric ones, so that it has shares: a geometric variable is the sum of h independent
//! NB(1/h) (Goryczka and Xiong, TDSC 2017).

use mpc_core::random::Prg;

/// What all honest sites together add to a figure. Public: only what is drawn is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Discrete Laplace, P(x) ∝ e^(−|x|·ε/Δ).
    Laplace {
        /// Δ: by how much one patient can change the figure.
        sensitivity: u64,
        /// ε of this figure, in millionths.
        epsilon_millionths: u64,
        /// The shares of so many sites make the whole noise.
        honest: u32,
    },
}

/// Parameters that noise cannot be drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// Sensitivity, ε or the number of honest sites is 0.
    #[error("noise needs a sensitivity, an epsilon and at least one honest site")]
    Zero,
    /// The draw does not fit 128 bits.
    #[error("noise of this size cannot be drawn exactly")]
    TooLarge,
}

impl Noise {
    /// One site's share. A secret of that site.
    ///
    /// # Errors
    /// [`NoiseError`], as its variants say.
    pub fn sample(&self, rng: &mut Prg) -> Result<i128, NoiseError> {
        let Self::Laplace { sensitivity, epsilon_millionths, honest } = *self;
        if [sensitivity, epsilon_millionths, honest.into()].contains(&0) {
            return Err(NoiseError::Zero);
        }
        let scale = (u128::from(sensitivity) * 1_000_000, u128::from(epsilon_millionths));
        let [plus, minus] = [share(rng, scale, honest)?, share(rng, scale, honest)?];
        Ok(plus - minus)
    }
}

/// NB(1/h): x of a geometric variable, kept with probability Π (h(i−1) + 1)/(h·i), i = 1 to x, which is Γ(x + 1/h)/(Γ(1/h)·x!).
fn share(rng: &mut Prg, scale: (u128, u128), honest: u32) -> Result<i128, NoiseError> {
    let h = u128::from(honest);
    loop {
        let x = geometric(rng, scale).ok_or(NoiseError::TooLarge)?;
        if h == 1 || (1..=x).all(|i| happens(rng, h * (i - 1) + 1, h * i)) {
            return i128::try_from(x).map_err(|_| NoiseError::TooLarge);
        }
    }
}

/// P(n) ∝ e^(−n·b/a): of scale a from its remainder and quotient, then divided by b.
fn geometric(rng: &mut Prg, (a, b): (u128, u128)) -> Option<u128> {
    let remainder = loop {
        let u = below(rng, a);
        if happens_exp(rng, u, a) {
            break u;
        }
    };
    let mut quotient: u128 = 0;
    while happens_exp(rng, 1, 1) {
        quotient += 1;
    }
    Some(quotient.checked_mul(a)?.checked_add(remainder)? / b)
}

/// With probability e^(−n/d), n ≤ d: trials of 1/k·n/d until one fails, at an odd place.
fn happens_exp(rng: &mut Prg, n: u128, d: u128) -> bool {
    let mut k = 1;
    while happens(rng, 1, k) && happens(rng, n, d) {
        k += 1;
    }
    k % 2 == 1
}

fn happens(rng: &mut Prg, n: u128, d: u128) -> bool {
    below(rng, d) < n
}

/// Uniform below a bound that is not 0, by rejection.
fn below(rng: &mut Prg, bound: u128) -> u128 {
    let mask = u128::MAX.checked_shr((bound - 1).leading_zeros()).unwrap_or(0);
    loop {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        let drawn = u128::from_le_bytes(bytes) & mask;
        if drawn < bound {
            return drawn;
        }
    }
}
