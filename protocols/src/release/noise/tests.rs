//! Draws against probabilities computed here by formula. Chi-square, each a false alarm with probability e^-14 < 10^-6.

use mpc_core::random::{Domain, Prg, PrivateSeed};
use mpc_core::step::StepPath;

use super::draw::{Scale, below, happens_exp, happens_exp_product, negative_binomial};
use super::*;

const SEED: u8 = 23;

fn stream(label: &str) -> Prg {
    println!("seed {SEED}, {label}");
    PrivateSeed::new([SEED; 32]).prg(Domain::FigureNoise, &StepPath::root().child(label, 0))
}

/// A distribution: the probability of each of some neighbours, the first of which is `from`.
struct Law {
    from: i128,
    mass: Vec<f64>,
}

impl Law {
    fn of(from: i128, to: i128, weight: impl Fn(i128) -> f64) -> Self {
        let mass: Vec<f64> = (from..=to).map(weight).collect();
        let sum: f64 = mass.iter().sum();
        Self { from, mass: mass.into_iter().map(|m| m / sum).collect() }
    }

    fn laplace(scale: f64) -> Self {
        let reach = (40.0 * scale).ceil() as i128 + 1;
        Self::of(-reach, reach, |x| (-(x.abs() as f64) / scale).exp())
    }

    fn gaussian(variance: f64) -> Self {
        let reach = (12.0 * variance.sqrt()).ceil() as i128 + 1;
        Self::of(-reach, reach, |x| (-((x * x) as f64) / (2.0 * variance)).exp())
    }

    /// Not normalised: Γ(y+r)/(Γ(r)·y!)·(1−p)^r·p^y as it is.
    fn negative_binomial(r: f64, p: f64) -> Self {
        let mut mass = vec![(1.0 - p).powf(r)];
        while mass.len() < (40.0 / -p.ln()) as usize + 2 {
            let y = (mass.len() - 1) as f64;
            mass.push(mass[mass.len() - 1] * (y + r) / (y + 1.0) * p);
        }
        Self { from: 0, mass }
    }

    fn variance(&self) -> f64 {
        self.points().map(|(x, m)| m * (x * x) as f64).sum()
    }

    /// P(|X| ≥ bound), summed from its small end.
    fn tail(&self, bound: i128) -> f64 {
        let far: Vec<f64> = self.points().filter(|(x, _)| x.abs() >= bound).map(|(_, m)| m).collect();
        far.iter().take(far.len() / 2).sum::<f64>() + far.iter().rev().take(far.len().div_ceil(2)).sum::<f64>()
    }

    fn plus(&self, other: &Self) -> Self {
        let mut mass = vec![0.0; self.mass.len() + other.mass.len() - 1];
        for (i, a) in self.mass.iter().enumerate() {
            other.mass.iter().enumerate().for_each(|(j, b)| mass[i + j] += a * b);
        }
        Self { from: self.from + other.from, mass }
    }

    fn points(&self) -> impl Iterator<Item = (i128, f64)> {
        self.mass.iter().enumerate().map(|(i, m)| (self.from + i as i128, *m))
    }

    /// Neighbours in bins of at least 50 expected draws; the last takes what is left. Panics beyond the limit.
    fn fits(&self, mut draws: Vec<i128>, what: &str) {
        draws.sort_unstable();
        let total = draws.len() as f64;
        let (mut chi, mut bins, mut done, mut mass, mut spent) = (0.0, 0u32, 0, 0.0, 0.0);
        let mut close = |mass: f64, seen: usize| {
            chi += (seen as f64 - total * mass).powi(2) / (total * mass);
            bins += 1;
        };
        for (x, m) in self.points() {
            mass += m;
            if mass * total >= 50.0 && (1.0 - spent - mass) * total >= 50.0 {
                let upto = draws.partition_point(|d| *d <= x);
                close(mass, upto - done);
                (done, spent, mass) = (upto, spent + mass, 0.0);
            }
        }
        close(1.0 - spent, draws.len() - done);
        let limit = limit(bins - 1);
        println!("{what}: {} draws, {bins} bins, chi-square {chi:.1}, limit {limit:.1}", draws.len());
        assert!(bins > 1 && chi < limit, "{what}: chi-square {chi} of {bins} bins");
    }
}

/// A chi-square variable exceeds this with probability e^-14 at most (Laurent and Massart, Ann. Stat. 2000, lemma 1).
fn limit(degrees: u32) -> f64 {
    let k = f64::from(degrees);
    k + 2.0 * (14.0 * k).sqrt() + 28.0
}

/// What `sites` sites add together, as often as asked.
fn totals(noise: Noise, sites: u32, draws: usize, rng: &mut Prg) -> Vec<i128> {
    (0..draws).map(|_| (0..sites).map(|_| noise.sample(rng).unwrap()).sum()).collect()
}

fn laplace(sensitivity: u64, epsilon_millionths: u64, honest: u32) -> Noise {
    Noise::Laplace { sensitivity, epsilon_millionths, honest }
}

#[test]
fn numbers_below_a_bound_are_uniform_also_where_the_bound_is_no_power_of_two() {
    let mut rng = stream("below");
    for bound in [1, 2, 3, 7, 64, 100, 257] {
        let draws = (0..100_000).map(|_| below(&mut rng, bound) as i128).collect();
        if bound == 1 {
            assert_eq!(draws, vec![0; 100_000]);
        } else {
            Law::of(0, bound as i128 - 1, |_| 1.0).fits(draws, &format!("below {bound}"));
        }
    }
    // Three quarters of 128 bits: the third quarter holds a third.
    let bound = 3 << 126;
    let quarters = (0..100_000).map(|_| (below(&mut rng, bound) >> 126) as i128).collect();
    Law::of(0, 2, |_| 1.0).fits(quarters, "quarters of 3·2^126");
}

#[test]
fn a_trial_of_an_exponential_succeeds_as_often_as_it_says() {
    let mut rng = stream("exponential");
    for (num, den) in [(1, 1_000), (1, 3), (1, 1), (5, 4), (7, 2), (u128::from(u64::MAX), 1 << 63)] {
        let chance = (-(num as f64) / den as f64).exp();
        let draws = (0..200_000).map(|_| i128::from(happens_exp(&mut rng, num, den))).collect();
        Law { from: 0, mass: vec![1.0 - chance, chance] }.fits(draws, &format!("exp(-{num}/{den})"));
    }
}

#[test]
fn a_trial_of_a_product_of_fractions_succeeds_as_often_as_it_says() {
    let mut rng = stream("product");
    let huge = 1 << 113;
    for (a, b, c, d) in [(1, 3, 2, 5), (7, 3, 1, 4), (5, 2, 4, 3), (3, 1, 1, 2), (huge / 3, huge, 3, 2), (0, 9, 9, 1)] {
        let chance = (-(a as f64 / b as f64) * (c as f64 / d as f64)).exp();
        let trial = |_| i128::from(happens_exp_product(&mut rng, [a, b], [c, d]).unwrap());
        let draws: Vec<i128> = (0..200_000).map(trial).collect();
        if a == 0 {
            assert!(draws.iter().all(|happened| *happened == 1));
        } else {
            Law { from: 0, mass: vec![1.0 - chance, chance] }.fits(draws, &format!("exp(-{a}/{b}·{c}/{d})"));
        }
    }
}

#[test]
fn one_half_of_a_share_is_negative_binomial() {
    let mut rng = stream("negative binomial");
    for honest in [1, 2, 3, 8] {
        for (sensitivity, epsilon) in [(1, 3_000_000), (1, 500_000), (3, 70_000), (100, 100_000)] {
            let p = (-(epsilon as f64) / 1e6 / sensitivity as f64).exp();
            let scale = Scale::of(sensitivity, epsilon);
            let draws = (0..60_000).map(|_| negative_binomial(&mut rng, scale, honest).unwrap() as i128).collect();
            let law = Law::negative_binomial(1.0 / f64::from(honest), p);
            law.fits(draws, &format!("NB(1/{honest}, e^-{epsilon}e-6/{sensitivity})"));
        }
    }
}

#[test]
fn shares_of_the_honest_sites_sum_to_a_discrete_laplace_variable() {
    let mut rng = stream("laplace");
    for honest in [1, 2, 3, 5, 8] {
        for (sensitivity, epsilon) in [(1, 5_000_000), (1, 1_000_000), (2, 300_000), (7, 12_345), (1, 1_000)] {
            let draws = totals(laplace(sensitivity, epsilon, honest), honest, 40_000, &mut rng);
            let scale = sensitivity as f64 * 1e6 / epsilon as f64;
            Law::laplace(scale).fits(draws, &format!("Laplace {sensitivity}/{epsilon}e-6 of {honest}"));
        }
    }
}

/// Scale 10^9: bins an eighth of the scale wide, by the exact distribution function of the absolute value.
#[test]
fn shares_of_a_great_scale_sum_to_a_discrete_laplace_variable() {
    let mut rng = stream("great scale");
    let (scale, width) = (1e9, 125_000_000);
    let p = (-1.0_f64 / scale).exp();
    // P(|X| < k) = 1 − 2p^k/(1+p).
    let below = |k: i128| if k == 0 { 0.0 } else { 1.0 - 2.0 * (-(k as f64) / scale).exp() / (1.0 + p) };
    let law = Law { from: 0, mass: (0..100).map(|i| below((i + 1) * width) - below(i * width)).collect() };
    for honest in [1, 4, 8] {
        let draws = totals(laplace(1_000_000, 1_000, honest), honest, 40_000, &mut rng);
        law.fits(draws.iter().map(|d| d.abs() / width).collect(), &format!("scale 10^9 of {honest}"));
        let signs = draws.iter().map(|d| i128::from(*d > 0)).collect();
        Law { from: 0, mass: vec![0.5, 0.5] }.fits(signs, "signs");
    }
}

#[test]
fn shares_of_the_honest_sites_sum_to_a_discrete_gaussian_variable() {
    let mut rng = stream("gaussian");
    for (variance, honest) in [(4, 1), (100, 1), (1_000, 1), (8, 2), (150, 3), (20_000, 5)] {
        let draws = totals(Noise::Gaussian { variance, honest }, honest, 40_000, &mut rng);
        Law::gaussian(variance as f64).fits(draws, &format!("Gaussian {variance} of {honest}"));
    }
}

/// The variance of what all sites add is what each of them adds, and what any of them that are counted on add is what is promised: chi-square
/// against the continuous distribution, from which sums over bins of a tenth of the deviation differ by less than 10⁻⁶ of them. Shares as
/// small as they get, and as great.
#[test]
fn any_honest_sites_add_the_promised_variance_and_all_sites_no_more_than_theirs() {
    let mut rng = stream("sites");
    for (promised, honest, sites) in [(1u128 << 20, 2, 5), (3 << 80, 3, 4), (2 * MAX_VARIANCE, 2, 3)] {
        let noise = Noise::Gaussian { variance: promised, honest };
        let draws: Vec<Vec<i128>> =
            (0..40_000).map(|_| (0..sites).map(|_| noise.sample(&mut rng).unwrap()).collect()).collect();
        // The last of them, so that it is not always the same ones.
        for adding in [honest as usize, sites] {
            let variance = promised as f64 * adding as f64 / f64::from(honest);
            let width = (variance.sqrt() / 10.0).round() as i128;
            let mass =
                |k: i128| normal((k + 1) as f64 * width as f64, variance) - normal(k as f64 * width as f64, variance);
            let law = Law { from: -60, mass: (-60..60).map(mass).collect() };
            let add = |shares: &Vec<i128>| shares.iter().rev().take(adding).sum::<i128>().div_euclid(width);
            let totals = draws.iter().map(add);
            law.fits(totals.collect(), &format!("{adding} of {sites} sites, {promised} promised of {honest}"));
        }
        let said = noise.standard_deviation(sites as u32);
        assert!((said / (promised as f64 / f64::from(honest) * sites as f64).sqrt() - 1.0).abs() < 1e-9);
    }
}

/// P(X ≤ x − ½) of a normal variable, which a discrete one of great variance follows at whole x: by Simpson's rule from −8 deviations on.
fn normal(x: f64, variance: f64) -> f64 {
    let z = (x - 0.5) / variance.sqrt();
    let density = |z: f64| (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let step = (z + 8.0) / 2_000.0;
    let at = |k: u32| density(-8.0 + f64::from(k) * step);
    (0..1_000).map(|k| at(2 * k) + 4.0 * at(2 * k + 1) + at(2 * k + 2)).sum::<f64>() * step / 3.0
}

/// The two factors e^{±τ} of the module's argument, where τ is large enough to see: shares of variance 1, τ = 5·1.01·e^{−π²}.
#[test]
fn a_sum_of_discrete_gaussians_is_as_close_to_one_as_argued() {
    let share = Law::gaussian(1.0);
    let mut sum = Law { from: share.from, mass: share.mass.clone() };
    for sites in 2..=6 {
        sum = sum.plus(&share);
        let whole = Law::of(sum.from, -sum.from, |x| (-((x * x) as f64) / (2.0 * f64::from(sites))).exp());
        let near = sum.points().zip(&whole.mass).filter(|((x, _), _)| x.abs() < 9);
        let worst = near.map(|((_, a), b)| (a / b).ln().abs()).fold(0.0, f64::max);
        let tau = 5.05 * (-std::f64::consts::PI.powi(2)).exp() * f64::from(sites - 1);
        println!("{sites} sites: {worst:e}, tau {tau:e}");
        // The first sum is the least smooth; it shows that the bound is not vastly too large.
        assert!(worst <= tau && (sites > 2 || worst > tau / 10.0));
    }
}

#[test]
fn the_standard_deviation_is_that_of_the_distribution() {
    for (sensitivity, epsilon) in [(1, 1_000_000), (2, 30_000), (1, 8_000_000)] {
        let exact = Law::laplace(sensitivity as f64 * 1e6 / epsilon as f64).variance().sqrt();
        let said = laplace(sensitivity, epsilon, 3).standard_deviation(3);
        assert!((said / exact - 1.0).abs() < 1e-6, "{said} {exact}");
        assert!((laplace(sensitivity, epsilon, 3).standard_deviation(12) / said - 2.0).abs() < 1e-9);
    }
    assert_eq!(Noise::Gaussian { variance: 300, honest: 3 }.standard_deviation(12), 1200_f64.sqrt());
}

/// The exact tail at 2^bits is below 2^-40, and four bits fewer would not do.
#[test]
fn bits_hold_the_noise_of_all_sites_except_with_the_probability_stated() {
    let rare = 2_f64.powi(-40);
    for (sensitivity, epsilon, honest, sites) in [(1, 1_000_000, 1, 1), (3, 400_000, 1, 3), (5, 900_000, 2, 5)] {
        let noise = laplace(sensitivity, epsilon, honest);
        let bits = noise.bits(sites).unwrap();
        let p = (-(epsilon as f64) / 1e6 / sensitivity as f64).exp();
        let half = Law::negative_binomial(f64::from(sites) / f64::from(honest), p);
        let other = Law { from: 1 - half.mass.len() as i128, mass: half.mass.iter().rev().copied().collect() };
        let law = half.plus(&other);
        println!("{noise:?} of {sites}: {bits} bits, tail {:e}", law.tail(1 << bits));
        assert!(law.tail(1 << bits) <= rare && law.tail(1 << (bits - 4)) > rare);
    }
    for (variance, honest, sites) in [(100, 1, 1), (100, 1, 4), (5_000, 3, 5)] {
        let noise = Noise::Gaussian { variance, honest };
        let bits = noise.bits(sites).unwrap();
        let law = Law::gaussian(f64::from(sites) * share_variance(variance, honest) as f64);
        assert!(law.tail(1 << bits) <= rare && law.tail(1 << (bits - 2)) > rare);
    }
}

#[test]
fn extreme_parameters_are_drawn_or_refused_in_words() {
    let mut rng = stream("extreme");
    for noise in [laplace(u64::MAX, 1, 1), laplace(u64::MAX, 1, u32::MAX), laplace(u64::MAX, u64::MAX, 2)] {
        let bits = noise.bits(20).unwrap();
        assert!((0..100).all(|_| noise.sample(&mut rng).unwrap().unsigned_abs() < 1 << bits), "{noise:?}");
    }
    assert!(totals(laplace(1, u64::MAX, 1), 1, 100, &mut rng).iter().all(|x| *x == 0));
    let largest = Noise::Gaussian { variance: MAX_VARIANCE, honest: 1 };
    assert!((0..100).all(|_| largest.sample(&mut rng).is_ok()));
    for noise in [laplace(0, 1, 1), laplace(1, 0, 1), laplace(1, 1, 0), Noise::Gaussian { variance: 0, honest: 1 }] {
        assert_eq!(noise.sample(&mut rng), Err(NoiseError::Zero));
    }
    assert_eq!(Noise::Gaussian { variance: MAX_VARIANCE + 1, honest: 1 }.bits(1), Err(NoiseError::TooLarge));
}

#[test]
fn the_same_stream_gives_the_same_share_and_another_stream_another() {
    let noise = laplace(1_000, 1_000, 2);
    assert_eq!(noise.sample(&mut stream("a")), noise.sample(&mut stream("a")));
    assert_ne!(noise.sample(&mut stream("a")), noise.sample(&mut stream("b")));
}
