//! Differential privacy: what is asked for, what a plan adds to its figures, and how large that can get.
//!
//! Each site adds its own noise to its own summand of every total before anything is compared or opened. The sum over any `honest_sites`
//! of them is all the noise that the promise needs, so that it holds whatever the other sites do with theirs. Thresholds and the
//! rest of the answer see noised numbers only: they are post-processing.
//!
//! With discrete Laplace noise of scale Δ₁/ε a figure is ε-differentially private, and the ε of figures add up. With discrete Gaussian
//! noise of variance Δ₂²/2ρ it is ρ-zero-concentrated; the ρ of figures add up, and all together are (ε, δ)-differentially
//! private ([`gaussian`]): the deviation grows with the square root of the number of figures. A question has one of the two.

mod amounts;
pub mod gaussian;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds::site_bits;
use crate::catalog::Catalog;
use crate::cost::max_groups;
use crate::error::PlanError;
use crate::plan::{Audience, Groups, Output, Ring, SecureSum, Slot, Summand, TableRead};
use crate::site_policy::Privacy;
use crate::small::MAX_BITS;

use amounts::MILLION;
pub use amounts::{Delta, Epsilon, MAX_DELTA_DIGITS, MIN_DELTA_DIGITS};
use gaussian::Rho;

/// A kind of noise, as policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Discrete Laplace: ε alone.
    Laplace,
    /// Discrete Gaussian: ε and δ.
    Gaussian,
}

/// The noise that an analyst asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Discrete Laplace.
    Laplace,
    /// Discrete Gaussian.
    Gaussian {
        /// δ of the whole question is 10 to the minus this; the largest that all sites' policies allow where it is not given.
        delta_digits: Option<u32>,
    },
}

/// What an analyst asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Of the whole question.
    pub epsilon: Epsilon,
    /// How the noise is distributed.
    pub mechanism: Mechanism,
}

/// What a plan promises of its noise. What one patient can change in a figure is in [`SecureSum::noised`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// How it is distributed, in every figure.
    pub shape: Shape,
    /// Of the whole question, for one patient with everything it has at all sites.
    pub epsilon: Epsilon,
    /// The promise holds if at least so many sites add their noise and keep it to themselves.
    pub honest_sites: u32,
    /// Of these tables each site keeps only the first rows of a patient.
    pub tables: Vec<Kept>,
}

/// How a plan's noise is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// Discrete Laplace.
    Laplace {
        /// Each figure's part of the question's ε.
        each: Epsilon,
    },
    /// Discrete Gaussian.
    Gaussian {
        /// δ of the whole question is 10 to the minus this.
        delta_digits: u32,
        /// Each figure's part of the ρ that ε and δ allow.
        each: Rho,
    },
}

/// How many rows of one patient a site keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The table, in lower case.
    pub table: String,
    /// So many.
    pub rows: u64,
}

/// A slot with noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noised {
    /// Position in the sum's slots.
    pub slot: usize,
    /// Δ₁: by how much one patient, with everything it has at all sites, can change the slot's totals of all groups together, in the
    /// slot's own integers.
    pub sensitivity: u64,
    /// Δ₂²: the most that the squares of what one patient changes in each group can sum to.
    pub squares: u128,
}

/// The noise of all honest sites together in one total, in the slot's own integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Discrete Laplace of scale sensitivity/ε.
    Laplace {
        /// Δ₁.
        sensitivity: u64,
        /// Of this figure.
        epsilon: Epsilon,
    },
    /// About a discrete Gaussian: the sum of one for each honest site.
    Gaussian {
        /// σ², a multiple of the number of honest sites.
        variance: u128,
    },
}

impl Noise {
    /// What a plan over these tables promises.
    pub(crate) fn of(
        (asked, shape): (Asked, Shape),
        tables: &[TableRead],
        audience: Audience,
        catalog: &Catalog,
    ) -> Noise {
        let kept = |read: &TableRead| {
            let rows = catalog.table(&read.table)?.rows_per_patient?;
            Some(Kept { table: read.table.clone(), rows })
        };
        Noise {
            shape,
            epsilon: asked.epsilon,
            honest_sites: honest_sites(audience, catalog),
            tables: tables.iter().filter_map(kept).collect(),
        }
    }

    /// Of the whole question; 0 where ε promises alone.
    pub fn delta(&self) -> Delta {
        match self.shape {
            Shape::Laplace { .. } => Delta(0),
            Shape::Gaussian { delta_digits, .. } => Delta::of_digits(delta_digits),
        }
    }

    /// What is added to a figure. Every figure of a plan has the same kind.
    pub fn law(&self, noised: &Noised) -> Law {
        self.shape.law(noised, self.honest_sites)
    }

    /// Standard deviation of all sites' noise together in one total, in the slot's own integers. For printing only.
    pub fn standard_deviation(&self, noised: &Noised, sites: usize) -> f64 {
        let of_honest = match self.law(noised) {
            Law::Laplace { sensitivity, epsilon } => {
                // 2p/(1 − p)² with p = e^(−ε/Δ).
                let p = (-(epsilon.0 as f64) / (sensitivity as f64 * MILLION as f64)).exp();
                2.0 * p / (1.0 - p).powi(2)
            }
            Law::Gaussian { variance } => variance as f64,
        };
        // Every site adds a share, which has 1/h of it.
        (of_honest * sites as f64 / f64::from(self.honest_sites)).sqrt()
    }

    /// The same in tenths, by integers, and not below it: √2·Δ/ε is above the deviation of discrete Laplace noise, because
    /// 2p/(1 − p)² = 1/(2·sinh²(ε/2Δ)) and sinh x is above x.
    pub(crate) fn deviation_tenths(&self, noised: &Noised, sites: usize) -> u128 {
        let (sites, honest) = (sites as u128, u128::from(self.honest_sites));
        let root = |square: u128| square.isqrt() + 1;
        match self.law(noised) {
            Law::Laplace { sensitivity, epsilon } => {
                let scale = u128::from(sensitivity) * u128::from(MILLION);
                let thousandths = scale * root(2 * 100 * 1_000_000 * sites / honest);
                thousandths.div_ceil(u128::from(epsilon.0) * 1_000)
            }
            Law::Gaussian { variance } => root((variance / honest).saturating_mul(100 * sites)),
        }
    }
}

impl Shape {
    /// What policies call it.
    pub fn kind(&self) -> Kind {
        match self {
            Shape::Laplace { .. } => Kind::Laplace,
            Shape::Gaussian { .. } => Kind::Gaussian,
        }
    }

    fn law(&self, noised: &Noised, honest: u32) -> Law {
        match *self {
            Shape::Laplace { each } => Law::Laplace { sensitivity: noised.sensitivity, epsilon: each },
            Shape::Gaussian { each, .. } => {
                Law::Gaussian { variance: gaussian::variance(noised.squares, each, honest) }
            }
        }
    }

    /// Of the whole question's ε, divided evenly among so many figures.
    fn divided(asked: Asked, catalog: &Catalog, figures: u64) -> Result<Shape, PlanError> {
        let shape = match asked.mechanism {
            Mechanism::Laplace => Shape::Laplace { each: Epsilon(asked.epsilon.0 / figures.max(1)) },
            Mechanism::Gaussian { delta_digits } => {
                let delta_digits = digits(delta_digits, catalog)?;
                let whole = gaussian::rho(asked.epsilon, delta_digits);
                Shape::Gaussian { delta_digits, each: Rho(whole.0 / figures.max(1)) }
            }
        };
        match shape {
            Shape::Laplace { each: Epsilon(1..) } | Shape::Gaussian { each: Rho(1..), .. } => Ok(shape),
            _ => {
                let text = format!("an ε of {} is too small to be divided among {figures} figures", asked.epsilon);
                Err(PlanError::new("EPSILON_TOO_SMALL", text))
            }
        }
    }
}

/// δ as asked for, or else the largest that every policy allows for an answer.
fn digits(asked: Option<u32>, catalog: &Catalog) -> Result<u32, PlanError> {
    let allowed = privacies(catalog).filter_map(Privacy::release_digits).max();
    let bad = |text: &str| PlanError::new("BAD_DELTA", text).hint("say how small it is, such as --delta-digits 6");
    let digits = asked.or(allowed).ok_or_else(|| bad("no policy says which δ an answer may have"))?;
    if (MIN_DELTA_DIGITS..=MAX_DELTA_DIGITS).contains(&digits) {
        return Ok(digits);
    }
    Err(bad(&format!("δ is 10^-{MIN_DELTA_DIGITS} to 10^-{MAX_DELTA_DIGITS}")))
}

impl Asked {
    /// Refuses what promises nothing.
    ///
    /// # Errors
    /// `BAD_EPSILON`.
    pub fn checked(self) -> Result<Self, PlanError> {
        if (1..=MOST.0).contains(&self.epsilon.0) {
            return Ok(self);
        }
        Err(PlanError::new("BAD_EPSILON", format!("ε is above 0 and at most {MOST}")))
    }
}

/// The smallest number of sites that every site's policy counts on; one where none says more. A site that sees the answer takes its own
/// noise off it: against that site, only the others are left.
fn honest_sites(audience: Audience, catalog: &Catalog) -> u32 {
    let least = privacies(catalog).map(|privacy| privacy.honest_sites.unwrap_or(1)).min().unwrap_or(1);
    let others = match audience {
        Audience::Analyst => catalog.sites.len(),
        Audience::Everyone => catalog.sites.len() - 1,
    };
    least.clamp(1, others as u32)
}

fn privacies(catalog: &Catalog) -> impl Iterator<Item = &Privacy> {
    catalog.policies.values().filter_map(|policy| policy.privacy.as_ref())
}

/// The slots that are compared or opened. A sum whose cells are not hidden is shown without the count beside it: whether there are
/// any values is a fact that would cost ε of its own.
pub(crate) fn needed(sum: &SecureSum) -> Vec<usize> {
    let of_output = |output: &Output| match output {
        Output::Count(slot) | Output::Sum { sum: slot, .. } => vec![*slot],
        other => other.slots(sum),
    };
    let mut slots: Vec<usize> = sum.outputs.iter().flat_map(of_output).collect();
    slots.extend(sum.cells.iter().chain(&sum.patients));
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// Divides what is asked for evenly among all noised slots, and widens them so that noise does not make a total wrap around, but with
/// probability below 2^-40 for the whole question. A total that does is still private: wrapping is post-processing.
///
/// # Errors
/// `EPSILON_TOO_SMALL` where nothing is left for a slot, `BAD_DELTA`, `NOISE_TOO_WIDE` where the noise does not fit,
/// `NOISE_NOT_AVAILABLE` where something is asked that has none.
pub(crate) fn share_out(
    sums: &mut [SecureSum],
    asked: Asked,
    audience: Audience,
    catalog: &Catalog,
) -> Result<Shape, PlanError> {
    if sums.is_empty() || sums.iter().any(|sum| sum.noised.is_empty()) {
        return Err(not_available("a question without a figure has nothing that noise could be added to")
            .hint("ask for a COUNT, SUM or AVG of each group"));
    }
    let (sites, honest) = (catalog.sites.len(), honest_sites(audience, catalog));
    let shape = Shape::divided(asked, catalog, sums.iter().map(|sum| sum.noised.len() as u64).sum())?;
    let of_sum = |sum: &SecureSum| (sum.noised.len() as u64).saturating_mul(max_groups(sum));
    let totals = sums.iter().map(of_sum).fold(0, u64::saturating_add);
    if shape.kind() == Kind::Gaussian && totals.saturating_mul(honest.into()) > gaussian::MAX_TOTALS {
        return Err(not_available("so many totals cannot be answered with Gaussian noise").hint("group by fewer keys"));
    }
    let shares = u128::from(totals) * sites as u128;
    for sum in sums {
        for noised in &sum.noised {
            let is_cell = sum.cells.contains(&noised.slot) || sum.patients.contains(&noised.slot);
            let bits = share_bits(shape.law(noised, honest), honest, shares)?;
            widen(&mut sum.slots[noised.slot], bits, sites, is_cell)?;
        }
    }
    Ok(shape)
}

/// One site's share of the noise is below 2 to this in absolute value, but with probability below 2^-40 for all `shares` of a question
/// together.
///
/// Laplace: a share is the difference of two numbers, each at most geometric, P(X > t) ≤ e^(−tε/Δ), so that t = Δ/ε · (41 + log2 of the
/// number of shares) will do. Gaussian: a discrete Gaussian of variance v is subgaussian (Canonne, Kamath, Steinke, Corollary 17),
/// P(|X| ≥ t) ≤ 2e^(−t²/2v), so that t² = 2v · ln 2 · (41 + log2 of the number of shares) will do, and ln 2 < 7/10.
fn share_bits(law: Law, honest: u32, shares: u128) -> Result<u32, PlanError> {
    let doublings = 41 + u128::from(u128::BITS - shares.leading_zeros());
    match law {
        Law::Laplace { sensitivity, epsilon } => {
            let scale = (u128::from(sensitivity) * u128::from(MILLION)).div_ceil(epsilon.0.into());
            Ok(bits(scale * doublings))
        }
        Law::Gaussian { variance } => {
            let share = Some(variance.div_ceil(honest.into())).filter(|share| *share <= gaussian::MAX_SHARE_VARIANCE);
            Ok(bits(share.ok_or_else(too_wide)? * doublings * 14 / 10 + 1).div_ceil(2))
        }
    }
}

/// How many bits a number has.
fn bits(number: u128) -> u32 {
    u128::BITS - number.leading_zeros()
}

fn too_wide() -> PlanError {
    PlanError::new("NOISE_TOO_WIDE", "the noise would not fit the numbers that are computed with")
        .hint("ask for a larger ε, or declare tighter bounds of rows and values")
}

/// A slot that holds noise of so many bits beside its partial, with a bit to spare for the difference of two totals.
fn widen(slot: &mut Slot, bits: u32, sites: usize, is_cell: bool) -> Result<(), PlanError> {
    slot.partial_bits = slot.partial_bits.max(bits) + 2;
    let total = slot.partial_bits + site_bits(sites) + 1;
    let narrow = is_cell || matches!(slot.what, Summand::Patients(_));
    slot.ring = if total <= 64 { Ring::Z64 } else { Ring::Z128 };
    if total > 128 || narrow && (slot.ring != Ring::Z64 || slot.partial_bits > MAX_BITS) {
        return Err(too_wide());
    }
    Ok(())
}

/// Refuses figures that no bound on one patient is known for.
pub(crate) fn available(sum: &SecureSum) -> Result<(), PlanError> {
    let what = if matches!(sum.groups, Groups::Agreed { .. }) {
        "groups whose values are not declared"
    } else if !sum.orders.is_empty() {
        "MIN, MAX and percentiles"
    } else if !sum.sketches.is_empty() {
        "approximate numbers of distinct values"
    } else if sum.outputs.iter().any(|output| matches!(output, Output::Variance { .. })) {
        "variances and standard deviations"
    } else {
        return Ok(());
    };
    let hint = match sum.groups {
        Groups::Agreed { .. } => "declare the domains of the group keys in network.toml",
        _ => "COUNT, SUM and AVG have noise",
    };
    Err(not_available(&format!("{what} cannot be answered with noise")).hint(hint))
}

pub(crate) fn not_available(text: &str) -> PlanError {
    PlanError::new("NOISE_NOT_AVAILABLE", text)
}

/// Beyond this a promise is none.
const MOST: Epsilon = Epsilon(100 * MILLION);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Laplace => "discrete Laplace",
            Kind::Gaussian => "discrete Gaussian",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_exceeds_its_bits_with_probability_below_two_to_minus_forty() {
        for (sensitivity, epsilon, shares) in [(1, 1, 3), (1, 50_000_000, 20 * 4096), (300, 250_000, 16)] {
            let law = Law::Laplace { sensitivity, epsilon: Epsilon(epsilon) };
            let most = 2f64.powi(share_bits(law, 1, shares).unwrap() as i32);
            let one = 2.0 * (-most * epsilon as f64 / (sensitivity as f64 * MILLION as f64)).exp();
            assert!(one * (shares as f64) < 2f64.powi(-40));
        }
        for (variance, honest, shares) in [(12, 3, 3), (1 << 100, 1, 20 * 4096), (90_000, 2, 16)] {
            let bits = share_bits(Law::Gaussian { variance }, honest, shares).unwrap() as i32;
            let all = |bits: i32| {
                let share = variance as f64 / f64::from(honest);
                2.0 * (-2f64.powi(2 * bits) / (2.0 * share)).exp() * shares as f64
            };
            println!("{variance} of {honest}, {shares} shares: {bits} bits, {:e}", all(bits));
            assert!(all(bits) < 2f64.powi(-40) && all(bits - 2) > 2f64.powi(-40));
        }
        let beyond = Law::Gaussian { variance: 2 * gaussian::MAX_SHARE_VARIANCE + 2 };
        assert_eq!(share_bits(beyond, 2, 1).unwrap_err().code, "NOISE_TOO_WIDE");
    }
}
