//! Exact draws by integers: Bernoulli, geometric, negative binomial, discrete Laplace and Gaussian.
//!
//! # Source
//! Canonne, Kamath, Steinke, *The Discrete Gaussian for Differential Privacy*, NeurIPS'20, algorithms 1 to 3.
//!
//! # Deviations
//! A Laplace variable is the difference of two geometric ones, not a signed one with a rejected zero, so that it has shares. A
//! trial of γ/k is two trials, of γ and of 1/k, whose numbers stay small; so is that of a γ that is a product.

use mpc_core::random::Prg;

/// The scale Δ/ε of a Laplace variable, in lowest terms.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    above: u128,
    below: u128,
}

impl Scale {
    /// Neither is 0.
    pub(super) fn of(sensitivity: u64, epsilon_millionths: u64) -> Self {
        let (above, below) = (u128::from(sensitivity) * 1_000_000, u128::from(epsilon_millionths));
        let common = greatest_divisor(above, below);
        Self { above: above / common, below: below / common }
    }
}

/// One of `honest` independent summands of a discrete Laplace variable. `None` when 128 bits do not hold it.
pub(super) fn laplace_share(rng: &mut Prg, scale: Scale, honest: u32) -> Option<i128> {
    let plus = negative_binomial(rng, scale, honest)?;
    let minus = negative_binomial(rng, scale, honest)?;
    i128::try_from(plus).ok()?.checked_sub(i128::try_from(minus).ok()?)
}

/// A discrete Gaussian (algorithm 3): a Laplace variable of scale t near σ, kept with probability e^{−(|y| − v/t)²/2v}. With
/// g = ||y|·t − v| the exponent is (g/v)·(g/2t²).
pub(super) fn gaussian(rng: &mut Prg, variance: u128) -> Option<i128> {
    let t = variance.isqrt() + 1;
    loop {
        let y = laplace_share(rng, Scale { above: t, below: 1 }, 1)?;
        let gap = y.unsigned_abs().checked_mul(t)?.abs_diff(variance);
        if happens_exp_product(rng, [gap, variance], [gap, 2 * t * t])? {
            return Some(y);
        }
    }
}

/// True with probability e^{−(a/b)·(c/d)}, without the product of `b` and `d`, which 128 bits may not hold: with a/b = m + p and
/// c/d = n + q, trials of e^{−m·c/d}, e^{−p·n} and e^{−p·q}. `None` where 128 bits do not hold m·c or n times the remainder of a/b.
pub(super) fn happens_exp_product(rng: &mut Prg, [a, b]: [u128; 2], [c, d]: [u128; 2]) -> Option<bool> {
    let (m, p, n, q) = (a / b, a % b, c / d, c % d);
    let first = happens_exp(rng, m.checked_mul(c)?, d);
    let second = first && happens_exp(rng, n.checked_mul(p)?, b);
    Some(second && happens_exp_fraction(rng, |rng| happens(rng, p, b) && happens(rng, q, d)))
}

/// NB(r, p) with r = 1/`honest` and p = e^{−1/scale}: P(y) = Γ(y+r)/(Γ(r)·y!)·(1−p)^r·p^y. About 2 + ln(scale) steps.
///
/// The `honest` sites share n, which is geometric: the cycles of a random permutation of n things are dealt out at random. A cycle
/// that a given thing lies in has length 1 to n, each as likely, and the rest is a random permutation of what is left.
///
/// It is that distribution. Let f_n(z) be the generating function of what one site gets of n, F(q) = Σ f_n·q^n. The first cycle gives
/// n·f_n = Σ_{l=1..n} (r·z^l + 1 − r)·f_{n−l}, which says F'/F = r·z/(1 − zq) + (1 − r)/(1 − q), and with F(0) = 1
/// F(q) = (1 − zq)^{−r}·(1 − q)^{r−1}. With n geometric the site gets (1 − p)·F(p) = ((1 − p)/(1 − zp))^r, the generating function
/// of NB(r, p).
pub(super) fn negative_binomial(rng: &mut Prg, scale: Scale, honest: u32) -> Option<u128> {
    let mut left = geometric(rng, scale)?;
    let mut own = 0;
    while left > 0 {
        let cycle = 1 + below(rng, left);
        if happens(rng, 1, honest.into()) {
            own += cycle;
        }
        left -= cycle;
    }
    Some(own)
}

/// P(n) ∝ e^{−n/scale} (inside algorithm 2): of scale `above` from its remainder and quotient, then divided by `below`.
fn geometric(rng: &mut Prg, scale: Scale) -> Option<u128> {
    let remainder = loop {
        let u = below(rng, scale.above);
        if happens_exp_fraction(rng, |rng| happens(rng, u, scale.above)) {
            break u;
        }
    };
    let mut quotient: u128 = 0;
    while happens_exp_fraction(rng, |_| true) {
        quotient += 1;
    }
    Some(quotient.checked_mul(scale.above)?.checked_add(remainder)? / scale.below)
}

/// True with probability e^{−num/den} (algorithm 1).
pub(super) fn happens_exp(rng: &mut Prg, num: u128, den: u128) -> bool {
    let whole = (0..num / den).all(|_| happens_exp_fraction(rng, |_| true));
    whole && happens_exp_fraction(rng, |rng| happens(rng, num % den, den))
}

/// The same for an exponent γ ≤ 1 of which a trial is given: trials of γ/1, γ/2, γ/3, … until one fails, at an odd place with
/// probability Σ (−γ)^k/k!.
fn happens_exp_fraction(rng: &mut Prg, gamma: impl Fn(&mut Prg) -> bool) -> bool {
    let mut k = 1;
    while happens(rng, 1, k) && gamma(rng) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability num/den.
fn happens(rng: &mut Prg, num: u128, den: u128) -> bool {
    below(rng, den) < num
}

/// A uniform number below `bound`, which is not 0, by rejection from the next power of two.
pub(super) fn below(rng: &mut Prg, bound: u128) -> u128 {
    let bits = u128::BITS - (bound - 1).leading_zeros();
    let mask = u128::MAX.checked_shr(u128::BITS - bits).unwrap_or(0);
    loop {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes[..bits.div_ceil(8) as usize]);
        let drawn = u128::from_le_bytes(bytes) & mask;
        if drawn < bound {
            return drawn;
        }
    }
}

/// Euclid.
fn greatest_divisor(mut a: u128, mut b: u128) -> u128 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
