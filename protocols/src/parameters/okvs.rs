//! Sizes of the oblivious key-value store: how many rows, so that an encoding fails with probability at most 2^-40.

/// The public shape of an encoding: `bins` equal parts, each with `sparse` rows of which a key takes three, and `dense` rows of
/// which it takes a multiple each.
///
/// # Source
/// Raghuraman, Rindal, Blazing Fast PSI, CCS'22 (ePrint 2022/320): weight 3, dense columns over GF(2^128), clustering. For m
/// keys in R sparse rows more than a handful of keys stay unpeeled with probability 2^-λ,
/// λ = L·(R/m − 1.223) − 9.2 with log2 L = 0.555·log2 m + 2.336: the authors' fit to experiments, as their implementation has it
/// (github.com/Visa-Research/volepsi, `PaxosParam::init`, read on 2026-11-22). It extrapolates. Where failures can be counted, at
/// 400 to 4000 keys down to 2^-14, we see fewer, by 2 to 7 bits, and λ grows faster the more rows there are; a test repeats
/// a part of that.
/// # Estimates
/// - Small cores: what stays unpeeled beside that is, up to lower orders, pairs of keys on the same three rows, about
///   q = C(m, 2) / C(R, 3) of them; more than g with probability about q^(g+1) / (g+1)!. This is stricter than the authors' g.
/// - Up to 32 keys: three sparse rows and a dense row for each key, a polynomial. It always is solvable but for coefficients
///   that collide: at most n²/2^72.
/// - A singular dense system: at most g²/2^72, see `matching::okvs`.
/// # Deviations
/// The authors bound the load of a bin with 2^-40 and then its failure given that load. We sum over all loads instead,
/// bins · Σ_m P(load = m) · 2^-λ(m), with a failure taken for certain where λ ≤ 0: 1.28 rows for each key instead of 1.31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OkvsShape {
    /// Bins, to which keys are hashed.
    pub bins: usize,
    /// Sparse rows of a bin; at most 2^16.
    pub sparse: usize,
    /// Dense rows of a bin.
    pub dense: usize,
}

/// Most keys of an encoding.
pub const MAX_ITEMS: usize = 1 << 24;

/// Mean load of a bin at most: its rows, 0.8 MiB for one block each, stay in a second-level cache.
const BIN_ITEMS: usize = 40_960;

/// Up to so many keys are interpolated by a polynomial.
const DENSE_ONLY: usize = 32;

/// (keys up to, sparse rows for 1000 keys, dense rows): where λ and the small cores reach 41 bits for all numbers of keys above
/// the row before.
const TABLE: [(usize, usize, usize); 11] = [
    (64, 2680, 5),
    (128, 2210, 5),
    (256, 1900, 5),
    (512, 1680, 4),
    (1024, 1540, 4),
    (2048, 1440, 4),
    (4096, 1370, 3),
    (8192, 1325, 3),
    (16_384, 1295, 3),
    (BIN_ITEMS, 1272, 3),
    (MAX_ITEMS, 1280, 3),
];

impl OkvsShape {
    /// The shape for `items` keys; None for no key and for more than the table has.
    pub fn new(items: usize) -> Option<Self> {
        if (1..=DENSE_ONLY).contains(&items) {
            return Some(Self { bins: 1, sparse: 3, dense: items });
        }
        let (_, per_mille, dense) = TABLE.into_iter().find(|(most, ..)| items > 0 && items <= *most)?;
        let bins = items.div_ceil(BIN_ITEMS);
        Some(Self { bins, sparse: (items * per_mille).div_ceil(1000 * bins), dense })
    }

    /// Rows of a bin.
    pub fn bin_rows(&self) -> usize {
        self.sparse + self.dense
    }

    /// Rows of an encoding.
    pub fn rows(&self) -> usize {
        self.bins * self.bin_rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// λ of the source for m keys in R rows; 0 where it claims nothing.
    fn peeling_bits(m: f64, rows: f64) -> f64 {
        let slope = (0.555 * m.log2() + 2.336).exp2();
        (slope * (rows / m - 1.223) - 9.2).max(0.0)
    }

    fn small_core_bits(m: f64, rows: f64, dense: usize) -> f64 {
        let pairs = m * (m - 1.0) / 2.0 / (rows * (rows - 1.0) * (rows - 2.0) / 6.0);
        (1..=dense + 1).map(|k| (k as f64).log2() - pairs.log2()).sum()
    }

    fn bin_failure(m: f64, shape: &OkvsShape) -> f64 {
        let rows = shape.sparse as f64;
        ((-peeling_bits(m, rows)).exp2() + (-small_core_bits(m, rows, shape.dense)).exp2()).min(1.0)
    }

    /// −log2 of the probability that some bin fails. Loads are binomial; the walk from the mean goes by quotients of neighbours.
    fn failure_bits(items: usize) -> f64 {
        let shape = OkvsShape::new(items).expect("in the table");
        if shape.bins == 1 {
            return -bin_failure(items as f64, &shape).log2();
        }
        let (n, p) = (items as f64, 1.0 / shape.bins as f64);
        let (mean, deviation) = (n * p, (n * p * (1.0 - p)).sqrt());
        let mut load = mean.floor();
        // Of the most likely load, by Stirling's formula, whose factors are below 1.01 at these sizes.
        let mut probability = 1.01 / (deviation * std::f64::consts::TAU.sqrt());
        // Lower loads fail less often.
        let mut total = bin_failure(load, &shape);
        while load < (mean + 14.0 * deviation).min(n) {
            total += probability * bin_failure(load, &shape);
            probability *= (n - load) / (load + 1.0) * p / (1.0 - p);
            load += 1.0;
        }
        -(total * shape.bins as f64).log2()
    }

    #[test]
    fn every_size_of_the_table_fails_with_probability_at_most_2_to_the_minus_40() {
        let edges = TABLE.iter().flat_map(|(most, ..)| [most + 1, *most, most - 1]);
        let bins =
            (1..=410).flat_map(|bins| [bins * BIN_ITEMS, bins * BIN_ITEMS + 1, bins * BIN_ITEMS + BIN_ITEMS / 2]);
        let small = DENSE_ONLY + 1..3000;
        let weakest = edges.chain(bins).chain(small).filter(|n| (DENSE_ONLY + 1..=MAX_ITEMS).contains(n));
        let weakest = weakest.map(|n| (failure_bits(n), n)).min_by(|a, b| a.0.total_cmp(&b.0)).expect("sizes");
        println!("weakest size: {weakest:?}");
        assert!(weakest.0 >= 40.0, "{weakest:?}");
    }

    #[test]
    fn sizes_outside_the_table_are_refused() {
        assert_eq!(OkvsShape::new(0), None);
        assert_eq!(OkvsShape::new(MAX_ITEMS + 1), None);
    }

    #[test]
    fn large_encodings_have_at_most_1_281_rows_for_each_key_and_bins_that_sixteen_bits_address() {
        for items in [1 << 18, 1 << 20, 1 << 22, MAX_ITEMS] {
            let shape = OkvsShape::new(items).expect("in the table");
            assert!(shape.rows() * 1000 <= 1281 * items && shape.bin_rows() <= 1 << 16, "{shape:?}");
        }
    }
}
