//! From the opened levels of a union sketch to the number of elements.
//!
//! # Source
//! Ertl, New cardinality estimation algorithms for HyperLogLog sketches, 2017 (arXiv:1702.01284), section 2.4 and algorithms 5
//! and 6: unbiased over the whole range, without tables. The standard error is about 1.04/√m (Flajolet et al. 2007).

/// log2 of the number of registers, m.
pub const LOG_REGISTERS: u32 = 12;
/// Ranks end here; enough for 2^36 patients.
pub const LEVELS: u32 = 32;

/// How many registers, m.
pub const REGISTERS: u64 = 1 << LOG_REGISTERS;
/// Most sketches in one sum, over all groups: combining one takes 2^17 ANDs for each site and as many conversions.
pub const MAX_SKETCHES: usize = 64;

/// The standard error of an estimate, relative: 1.04/√m.
pub const STANDARD_ERROR: f64 = 1.04 / (1u64 << (LOG_REGISTERS / 2)) as f64;

/// The estimate from `levels[k − 1]`, the number of registers of rank k or more, of `registers`.
pub fn estimate(levels: &[u64], registers: u64) -> f64 {
    let m = registers as f64;
    let reached = |k: usize| if k == 0 { registers } else { levels.get(k - 1).copied().unwrap_or(0) };
    let of_rank = |k: usize| reached(k).saturating_sub(reached(k + 1)) as f64;
    let last = levels.len();
    let mut z = m * tau(1.0 - of_rank(last) / m);
    for k in (1..last).rev() {
        z = 0.5 * (z + of_rank(k));
    }
    z += m * sigma(of_rank(0) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// σ(x) = x + Σ x^(2^k)·2^(k − 1).
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// τ(x) = (1 − x − Σ (1 − x^(2^−k))²·2^−k) / 3.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(x: u64) -> u64 {
        let z = (x + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn sketched(elements: impl Iterator<Item = u64>, registers: u64) -> f64 {
        let mut ranks = vec![0u32; registers as usize];
        for hash in elements.map(mixed) {
            let register = (hash % registers) as usize;
            let rank = ((hash / registers).leading_zeros() - registers.trailing_zeros() + 1).min(LEVELS);
            ranks[register] = ranks[register].max(rank);
        }
        let levels: Vec<u64> = (1..=LEVELS).map(|k| ranks.iter().filter(|rank| **rank >= k).count() as u64).collect();
        estimate(&levels, registers)
    }

    #[test]
    fn an_empty_sketch_estimates_nothing() {
        assert_eq!(sketched(0..0, 1 << LOG_REGISTERS), 0.0);
    }

    #[test]
    fn estimates_stay_within_five_standard_errors_at_every_size() {
        for n in [1, 2, 10, 100, 1000, 5000, 10_000, 30_000, 100_000, 1_000_000] {
            for part in 0..5u64 {
                let found = sketched(part << 32..(part << 32) + n, 1 << LOG_REGISTERS);
                let error = (found - n as f64) / n as f64;
                assert!(error.abs() <= 5.0 * STANDARD_ERROR, "{n} elements: {found}");
            }
        }
    }

    #[test]
    fn estimates_have_no_bias_beyond_their_error() {
        let n = 20_000u64;
        let trials = 60u64;
        let mean = (0..trials).map(|t| sketched(t << 32..(t << 32) + n, 1 << 8)).sum::<f64>() / trials as f64;
        let of_mean = 1.04 / 16.0 / (trials as f64).sqrt();
        assert!((mean / n as f64 - 1.0).abs() <= 4.0 * of_mean, "mean {mean} of {n}");
    }
}
