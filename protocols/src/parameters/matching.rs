//! Parameters of matching: bins of a cuckoo table, bits of a tag.

/// Most patients of a site's table.
pub const MAX_PATIENTS: usize = 1 << 22;

/// Most passes of a matching, each a matching of its own: what a linkage file may declare.
pub const MAX_PASSES: usize = 16;

/// Bins that a key may take.
pub const CUCKOO_HASHES: usize = 3;

/// Statistical security in bits: what may go wrong by chance does so in fewer than one of 2^40 runs.
pub const STATISTICAL_BITS: usize = 40;

/// Bins of a cuckoo table without a stash beyond 1.3 for each item: for at most so many items, so many.
const EXTRA_BINS: [(usize, usize); 6] = [(3, 3), (8, 60), (16, 78), (32, 96), (240, 106), (MAX_PATIENTS, 40)];

/// Bins of a cuckoo table without a stash for `items` keys of which each may take three distinct bins; None when there is no
/// reviewed size. 1.3 for each item, and between 3 and 106 more.
///
/// # Source
/// Pinkas, Schneider, Segev, Zohner, USENIX Security'15 and Pinkas, Schneider, Weinert, Zohner, Eurocrypt'18, take 1.27 for each item
/// from experiments at 2^12 items and more (as Chandran et al., PETS'22, do); read on 2026-11-22. We do not extrapolate: the sizes here are where a proven
/// bound of the failure is below 2^-40, and the test of this file computes it.
///
/// The bound: keys cannot all be placed only if, for some s, s + 1 of them have all their bins among s (Hall), and if s is least
/// possible each of the s is then a bin of at least two of them. There are C(n, s+1)·C(m, s) ways to choose both. All 3(s+1) choices
/// lie in the s bins and meet each at least twice in at most (3(s+1))!·(e^x − 1 − x)^s / x^(3(s+1)) ways, for any x > 0, of
/// (m(m−1)(m−2))^(s+1). The sum over s is below 2^-40. Insertion by shortest paths fails in no other case.
pub fn cuckoo_bins(items: usize) -> Option<usize> {
    let extra = EXTRA_BINS.iter().find(|(most, _)| items <= *most)?.1;
    Some(items + (3 * items).div_ceil(10) + extra)
}

/// Bits of the tags of `bins` bins: a tag that is no target passes for one with probability 2^-bits, and in any bin with less
/// than 2^-40. At most 63, so that a count of differing bits has six.
pub fn tag_bits(bins: usize) -> usize {
    STATISTICAL_BITS + bins.max(2).next_power_of_two().ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln k! for every k below `len`.
    fn ln_factorials(len: usize) -> Vec<f64> {
        let mut sum = 0.0;
        let next = |k: usize| {
            sum += (k.max(1) as f64).ln();
            sum
        };
        (0..len).map(next).collect()
    }

    /// ln of the least (e^x − 1 − x)^bins / x^balls.
    fn ln_each_twice(balls: f64, bins: f64) -> f64 {
        let (mut low, mut high) = (1e-9, balls / bins + 1.0);
        for _ in 0..50 {
            let x = (low + high) / 2.0;
            let grows = x * x.exp_m1() / (x.exp_m1() - x) > balls / bins;
            if grows { high = x } else { low = x }
        }
        bins * (low.exp_m1() - low).ln() - balls * low.ln()
    }

    /// log2 of the bound.
    fn failure_log2(ln: &[f64], items: usize, bins: usize) -> f64 {
        let choose = |n: usize, k: usize| ln[n] - ln[k] - ln[n - k];
        let distinct = |n: f64| n.ln() + (n - 1.0).ln() + (n - 2.0).ln();
        let term = |s: usize| {
            let keys = (s + 1) as f64;
            let twice = ln[3 * (s + 1)] + ln_each_twice(3.0 * keys, s as f64);
            // Three distinct bins among s, which is better for small s.
            let inside = twice.min(keys * distinct(s as f64));
            (choose(items, s + 1) + choose(bins, s) + inside - keys * distinct(bins as f64)).exp()
        };
        (3..items).map(term).sum::<f64>().log2()
    }

    #[test]
    fn a_cuckoo_table_fails_with_probability_below_2_to_the_minus_40_at_every_size() {
        let ln = ln_factorials(3 * (1 << 18) + 10);
        let large = [1 << 12, 6000, 1 << 13, 12_000, 1 << 14, 23_000, 1 << 16, 1 << 18];
        let mut weakest = (0, f64::MIN);
        for items in (1..700).chain((700..4096).step_by(97)).chain(large) {
            let log2 = failure_log2(&ln, items, cuckoo_bins(items).expect("a listed size"));
            assert!(log2 < -(STATISTICAL_BITS as f64), "{items} items: 2^{log2}");
            weakest = if log2 > weakest.1 { (items, log2) } else { weakest };
        }
        println!("weakest: {weakest:?}");
    }

    #[test]
    fn the_usual_1_27_is_not_enough_below_2_to_the_12() {
        let ln = ln_factorials(1 << 14);
        assert!(failure_log2(&ln, 200, 254) > -40.0);
        assert!(failure_log2(&ln, 2048, 2602) > -40.0);
    }

    #[test]
    fn tags_have_40_bits_more_than_the_bins_and_at_most_63() {
        for bins in [1, 2, 3, 107, 1 << 14, (1 << 14) + 1, cuckoo_bins(MAX_PATIENTS).expect("the largest")] {
            let bits = tag_bits(bins);
            assert!((41..=63).contains(&bits) && bins as f64 * 0.5f64.powi(bits as i32) <= 0.5f64.powi(40), "{bins}");
        }
    }

    #[test]
    fn sizes_outside_the_table_are_refused() {
        assert_eq!(cuckoo_bins(MAX_PATIENTS + 1), None);
    }
}
