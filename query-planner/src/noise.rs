//! ε-differential privacy: what is asked for, what a plan adds to its figures, and how large that can get.
//!
//! Each site adds its own noise to its own summand of every total before anything is compared or opened. The sum over any `honest_sites`
//! of them is discrete Laplace noise of scale sensitivity / ε, so the promise holds whatever the other sites do with
//! theirs. Thresholds and the rest of the answer see noised numbers only: they are post-processing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounds::site_bits;
use crate::catalog::Catalog;
use crate::cost::max_groups;
use crate::error::PlanError;
use crate::plan::{Audience, Groups, Output, Ring, SecureSum, Slot, Summand, TableRead};
use crate::small::MAX_BITS;

/// A privacy loss, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epsilon(pub u64);

/// How noise is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Discrete Laplace: ε alone.
    Laplace,
}

/// What an analyst asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Of the whole question.
    pub epsilon: Epsilon,
    /// How the noise is distributed.
    pub mechanism: Mechanism,
}

/// What a plan promises of its noise. The figures' own parts are in [`SecureSum::noised`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// How it is distributed.
    pub mechanism: Mechanism,
    /// Of the whole question, for one patient with everything it has at all sites.
    pub epsilon: Epsilon,
    /// The promise holds if at least so many sites add their noise and keep it to themselves.
    pub honest_sites: u32,
    /// Of these tables each site keeps only the first rows of a patient.
    pub tables: Vec<Kept>,
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
    /// By how much one patient, with everything it has at all sites, can change the slot's totals of all groups together, in the
    /// slot's own integers.
    pub sensitivity: u64,
    /// Its part of the question's ε.
    pub epsilon: Epsilon,
}

impl Noised {
    /// Standard deviation of all sites' noise together in one total, in the slot's own integers. For printing only.
    pub fn standard_deviation(&self, noise: &Noise, sites: usize) -> f64 {
        // One honest share has variance 2p/(1 − p)² / h with p = e^(−ε/Δ); every site adds one.
        let p = (-(self.epsilon.0 as f64) / (self.sensitivity as f64 * MILLION as f64)).exp();
        let of_all = 2.0 * p / (1.0 - p).powi(2);
        (of_all * sites as f64 / f64::from(noise.honest_sites)).sqrt()
    }
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

impl Noise {
    /// What a plan over these tables promises.
    pub(crate) fn of(asked: Asked, tables: &[TableRead], audience: Audience, catalog: &Catalog) -> Noise {
        let kept = |read: &TableRead| {
            let rows = catalog.table(&read.table)?.rows_per_patient?;
            Some(Kept { table: read.table.clone(), rows })
        };
        Noise {
            mechanism: asked.mechanism,
            epsilon: asked.epsilon,
            honest_sites: honest_sites(audience, catalog),
            tables: tables.iter().filter_map(kept).collect(),
        }
    }
}

/// The smallest number of sites that every site's policy counts on; one where none says more. A site that sees the answer takes its own
/// noise off it: against that site, only the others are left.
fn honest_sites(audience: Audience, catalog: &Catalog) -> u32 {
    let said = catalog.policies.values().filter_map(|policy| policy.privacy.as_ref());
    let least = said.map(|privacy| privacy.honest_sites.unwrap_or(1)).min().unwrap_or(1);
    let others = match audience {
        Audience::Analyst => catalog.sites.len(),
        Audience::Everyone => catalog.sites.len() - 1,
    };
    least.clamp(1, others as u32)
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

/// Divides ε evenly among all noised slots, and widens them so that noise does not make a total wrap around, but with
/// probability below 2^-40 for the whole question. A total that does is still private: wrapping is post-processing.
///
/// # Errors
/// `EPSILON_TOO_SMALL` where nothing is left for a slot, `NOISE_TOO_WIDE` where the noise does not fit, `NOISE_NOT_AVAILABLE` where
/// something is asked that has none.
pub(crate) fn share_out(sums: &mut [SecureSum], asked: Asked, sites: usize) -> Result<(), PlanError> {
    if sums.is_empty() || sums.iter().any(|sum| sum.noised.is_empty()) {
        return Err(not_available("a question without a figure has nothing that noise could be added to")
            .hint("ask for a COUNT, SUM or AVG of each group"));
    }
    let slots: u64 = sums.iter().map(|sum| sum.noised.len() as u64).sum();
    let each = Epsilon(asked.epsilon.0.checked_div(slots).unwrap_or(0));
    if each.0 == 0 {
        let text = format!("an ε of {} is too small to be divided among {slots} figures", asked.epsilon);
        return Err(PlanError::new("EPSILON_TOO_SMALL", text));
    }
    let of_sum = |sum: &SecureSum| (sum.noised.len() as u64).saturating_mul(max_groups(sum));
    let totals = sums.iter().map(of_sum).fold(0, u64::saturating_add);
    for sum in sums {
        for noised in &mut sum.noised {
            noised.epsilon = each;
            let is_cell = sum.cells.contains(&noised.slot) || sum.patients.contains(&noised.slot);
            widen(&mut sum.slots[noised.slot], share_bits(noised, sites, totals), sites, is_cell)?;
        }
    }
    Ok(())
}

/// One site's share of the noise is below 2 to this in absolute value, but with probability below 2^-40 for all shares of a question
/// together: a share is the difference of two numbers, each at most geometric, P(X > t) ≤ e^(−tε/Δ), so that t = Δ/ε · (41 + log2 of the
/// number of shares) will do.
fn share_bits(noised: &Noised, sites: usize, totals: u64) -> u32 {
    let scale = (u128::from(noised.sensitivity) * u128::from(MILLION)).div_ceil(noised.epsilon.0.into());
    let shares = u128::from(totals).saturating_mul(sites as u128);
    let log = u128::from(u128::BITS - shares.leading_zeros());
    u128::BITS - (scale * (41 + log)).leading_zeros()
}

/// A slot that holds noise of so many bits beside its partial, with a bit to spare for the difference of two totals.
fn widen(slot: &mut Slot, bits: u32, sites: usize, is_cell: bool) -> Result<(), PlanError> {
    slot.partial_bits = slot.partial_bits.max(bits) + 2;
    let total = slot.partial_bits + site_bits(sites) + 1;
    let narrow = is_cell || matches!(slot.what, Summand::Patients(_));
    slot.ring = if total <= 64 { Ring::Z64 } else { Ring::Z128 };
    if total > 128 || narrow && (slot.ring != Ring::Z64 || slot.partial_bits > MAX_BITS) {
        return Err(PlanError::new("NOISE_TOO_WIDE", "the noise would not fit the numbers that are computed with")
            .hint("ask for a larger ε, or declare tighter bounds of rows and values"));
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

const MILLION: u64 = 1_000_000;

/// Beyond this a promise is none.
const MOST: Epsilon = Epsilon(100 * MILLION);

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / MILLION, self.0 % MILLION);
        let digits = format!("{part:06}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}

impl FromStr for Epsilon {
    type Err = String;

    /// Exact: no more than six digits after the point.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a decimal number with at most six digits after the point, such as 0.5");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| (1..=12).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 6 {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| bad())?;
        whole.checked_mul(MILLION).and_then(|all| all.checked_add(part)).map(Epsilon).ok_or_else(bad)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Laplace => "discrete Laplace",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epsilon_is_read_exactly_or_not_at_all() {
        for (text, millionths) in [("0.5", 500_000), ("1", 1_000_000), ("2.000001", 2_000_001), ("0.10", 100_000)] {
            assert_eq!(text.parse(), Ok(Epsilon(millionths)));
        }
        for text in ["", ".5", "1.", "-1", "+1", "1e-3", "0.0000001", "١", "1 ", "9999999999999999999999"] {
            assert!(text.parse::<Epsilon>().is_err(), "{text}");
        }
        for text in ["0.5", "1", "2.000001", "0"] {
            assert_eq!(text.parse::<Epsilon>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_share_exceeds_its_bits_with_probability_below_two_to_minus_forty() {
        for (sensitivity, epsilon, sites, totals) in [(1, 1, 3, 1), (1, 50_000_000, 20, 4096), (300, 250_000, 2, 8)] {
            let noised = Noised { slot: 0, sensitivity, epsilon: Epsilon(epsilon) };
            let most = 2f64.powi(share_bits(&noised, sites, totals) as i32);
            let one = 2.0 * (-most * epsilon as f64 / (sensitivity as f64 * MILLION as f64)).exp();
            assert!(one * sites as f64 * (totals as f64) < 2f64.powi(-40));
        }
    }
}
