//! The conversion against probabilities and logarithms computed here in floating point.

use super::*;

const CASES: [(u64, u32); 8] = [
    (1_000_000, 6),
    (100_000, 5),
    (500_000, 8),
    (3_000_000, 4),
    (10_000, 6),
    (20_000_000, 9),
    (1_000, 7),
    (1_000_000, 18),
];

fn of(epsilon: u64, digits: u32) -> f64 {
    rho(Epsilon(epsilon), digits).0 as f64 / UNIT as f64
}

/// P(X = x) of a discrete Gaussian for |x| up to twelve deviations, and the number that is 0.
fn gaussian(variance: f64) -> (Vec<f64>, i64) {
    let reach = (12.0 * variance.sqrt()).ceil() as i64 + 1;
    let weights: Vec<f64> = (-reach..=reach).map(|x| (-((x * x) as f64) / (2.0 * variance)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (weights.into_iter().map(|weight| weight / sum).collect(), reach)
}

/// δ of one discrete Gaussian at ε, exactly (Canonne, Kamath, Steinke, theorem 7).
fn delta(variance: f64, sensitivity: f64, epsilon: f64) -> f64 {
    let (mass, reach) = gaussian(variance);
    let above = |bound: f64| -> f64 {
        mass.iter().enumerate().filter(|(at, _)| (*at as i64 - reach) as f64 > bound).map(|(_, m)| m).sum()
    };
    let middle = epsilon * variance / sensitivity;
    above(middle - sensitivity / 2.0) - epsilon.exp() * above(middle + sensitivity / 2.0)
}

#[test]
fn one_figures_noise_keeps_epsilon_and_delta_and_is_not_far_above_what_would() {
    for (sensitivity, epsilon, digits) in [(1u64, 1_000_000, 6), (1, 100_000, 5), (5, 500_000, 8), (3, 3_000_000, 4)] {
        let squares = u128::from(sensitivity * sensitivity);
        let variance = variance(squares, rho(Epsilon(epsilon), digits), 1) as f64;
        let at = |share: f64| delta(variance * share, sensitivity as f64, epsilon as f64 / 1e6);
        let allowed = 10_f64.powi(-(digits as i32));
        println!("{sensitivity} {epsilon} {digits}: variance {variance}, δ {:e}, of 0.7 {:e}", at(1.0), at(0.7));
        assert!(at(1.0) <= allowed && at(0.7) > allowed);
    }
}

/// Many figures are a product: δ of eight figures together, of which each moves by one, by the distribution of the whole loss. The loss of a
/// figure at x is (2x + 1)/2σ², so that the loss of all is known from the sum of their x.
#[test]
fn eight_figures_together_keep_epsilon_and_delta() {
    let (figures, epsilon, digits) = (8, 1_000_000, 6);
    let each = Rho(rho(Epsilon(epsilon), digits).0 / figures);
    let variance = variance(1, each, 1) as f64;
    let at = |variance: f64| {
        let (one, reach) = gaussian(variance);
        let mut sum = vec![1.0];
        for _ in 0..figures {
            let mut wider = vec![0.0; sum.len() + one.len() - 1];
            sum.iter().enumerate().for_each(|(i, a)| one.iter().enumerate().for_each(|(j, b)| wider[i + j] += a * b));
            sum = wider;
        }
        let zero = figures as i64 * reach;
        let loss = |at: usize| (2.0 * (at as i64 - zero) as f64 + figures as f64) / (2.0 * variance);
        sum.iter().enumerate().map(|(at, m)| m * (1.0 - (epsilon as f64 / 1e6 - loss(at)).exp()).max(0.0)).sum::<f64>()
    };
    println!("variance {variance}: δ {:e}, of 0.7 {:e}", at(variance), at(0.7 * variance));
    assert!(at(variance) <= 1e-6 && at(0.7 * variance) > 1e-6);
}

#[test]
fn rho_is_below_what_its_formulas_allow_and_near_it() {
    for (epsilon, digits) in CASES {
        let (found, e, log) = (of(epsilon, digits), epsilon as f64 / 1e6, f64::from(digits) * 10_f64.ln());
        // In floating point, over a finer grid of α.
        let by = |alpha: f64| (e + (alpha / (alpha - 1.0)).ln() - (log - alpha.ln()) / (alpha - 1.0)) / alpha;
        let best = (1..40_000).map(|k| by(1.0 + 1.5_f64.powf(f64::from(k) / 1_000.0))).fold(0.0, f64::max);
        let simple = ((log + e).sqrt() - log.sqrt()).powi(2);
        println!("ε = {e}, {digits} digits: ρ {found:e}, at most {best:e}, by the closed form {simple:e}");
        assert!(found <= best && found > 0.69 * best, "ε = {e}");
        assert!(found >= 0.99 * simple, "ε = {e}: never worse than the closed form");
        // Whole numbers α are few where ε is large; where it is small their number is bounded.
        assert!(found > 0.97 * best || !(20_000..=10_000_000).contains(&epsilon), "ε = {e}");
    }
}

#[test]
fn logarithms_are_from_below_and_that_of_ten_from_above() {
    let mut sum = 0;
    for k in 2..2_000 {
        let step = ln_of_step(k);
        assert!(step as f64 / UNIT as f64 <= (k as f64 / (k - 1) as f64).ln() + 1e-15, "{k}");
        sum += step;
        assert!(((k as f64).ln() - sum as f64 / UNIT as f64).abs() < 0.005, "{k}");
    }
    // What is above pays for e^(2·10⁻⁷) in δ, of any number of digits.
    assert!(LN_10 as f64 / UNIT as f64 - 10_f64.ln() > 5e-7);
}

#[test]
fn shares_divide_the_variance_and_none_is_below_four() {
    for honest in 1..=20 {
        for squares in [1, 2, 100, 1 << 60] {
            let whole = variance(squares, Rho(24_000_000_000_000), honest);
            assert!(whole.is_multiple_of(honest.into()) && whole / u128::from(honest) >= 4);
            assert!(whole as f64 >= squares as f64 / (2.0 * 0.024));
        }
    }
    // Great numbers are computed exactly, or are more than anybody draws.
    for (squares, rho) in [(1 << 96, 48_000_000_000_000_000), (1 << 79, u64::MAX), ((1 << 90) + 1, 1 << 40)] {
        let (found, exact) = (variance(squares, Rho(rho), 1) as f64, squares as f64 / 2.0 / (rho as f64 / UNIT as f64));
        assert!((found / exact - 1.0).abs() < 1e-12, "{found} for {exact}");
    }
    for (squares, rho) in [(u128::MAX, 0), (1 << 120, 1 << 30)] {
        assert_eq!(variance(squares, Rho(rho), 20), u128::MAX);
    }
}
