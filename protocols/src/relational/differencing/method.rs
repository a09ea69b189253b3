//! How the ones of a column are counted: all of them, or the odd ones of few buckets.

use mpc_core::Bits;
use mpc_core::random::{Domain, PublicSeed};
use mpc_core::step::StepPath;
use zeroize::Zeroizing;

use crate::share::BitShare;

/// How the ones of a column of shared bits are counted.
///
/// Buckets: every row falls into one of `buckets` buckets, by a public hash, and what is counted are the buckets with an odd number of ones.
/// These are never more than the ones, so that a difference that is too small is always found smaller than k. They are fewer if ones meet in a bucket:
/// a sufficient difference may be taken for too small. With several hashes it is only if all of them say so.
///
/// Of d ones the number of odd buckets has the parity of d. It is below k ≤ d by chance; the worst d is k + 1, where any two that meet are
/// too many: 1 − Π (1 − i/M) for i = 1 to k and M buckets (a test of this file compares with every other d). Hashes are taken until that
/// happens to all of them with probability at most 2^−20, for each pair of sets; with any other sufficient difference it is not more likely.
///
/// Where equal sets are fine, a pair with no odd bucket in any hash is taken for equal, and few patients apart then pass. An odd difference
/// leaves an odd bucket; an even one none only where its ones meet in pairs, two of them with probability 1/M, more of them less often (a
/// test of this file). Hashes are taken until that happens in all of them with probability at most 2^−40.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every row.
    Exact,
    /// So many buckets, a multiple of 64, for each of so many hashes.
    Buckets {
        /// Of a hash.
        buckets: usize,
        /// Independent ones.
        hashes: usize,
    },
}

impl Method {
    /// What takes the fewest ANDs for columns of so many rows; exact where that is cheap.
    pub fn cheapest(least: u64, rows: usize, pairs: usize) -> Self {
        Self::within(MAX_WRONG, least, rows, pairs)
    }

    /// The same where a sufficient number must not be taken for too small either, but with probability 2^−40: whoever is not shown is not
    /// compared.
    pub fn certain(least: u64, rows: usize, sets: usize) -> Self {
        Self::within(MAX_EQUAL, least, rows, sets)
    }

    fn within(most_wrong: f64, least: u64, rows: usize, pairs: usize) -> Self {
        if rows.saturating_mul(pairs) <= CHEAP_ANDS {
            return Method::Exact;
        }
        // Fewer would take more than MAX_HASHES, more would hardly save any; steps of a sixty-fourth are fine enough.
        let square = (least * least) as usize;
        let step = (square / 64).next_multiple_of(64).max(64);
        let tried = (1..).map(|steps| step * steps).take_while(|buckets| *buckets <= (2 * square + 64).min(rows));
        let tried = tried.filter(|buckets| 4 * buckets >= square);
        let buckets =
            tried.filter_map(|buckets| Some(Method::Buckets { buckets, hashes: hashes(most_wrong, least, buckets)? }));
        [Method::Exact].into_iter().chain(buckets).min_by_key(|method| method.ands(rows, 1)).unwrap_or(Method::Exact)
    }

    /// About how many ANDs counting so many columns takes: one for each bit, and a few for each count.
    pub fn ands(self, rows: usize, pairs: usize) -> usize {
        let (bits, counts) = match self {
            Method::Exact => (rows, 1),
            Method::Buckets { buckets, hashes } => (buckets, hashes),
        };
        let of_count = 2 * (usize::BITS - bits.leading_zeros()) as usize;
        pairs.saturating_mul(counts).saturating_mul(bits + of_count)
    }

    /// The columns whose ones are counted: one matrix for each hash. Rows beyond the last are zero. No message.
    pub(super) fn columns(self, sets: &BitShare, seed: &PublicSeed) -> Vec<BitShare> {
        let Method::Buckets { buckets, hashes } = self else { return vec![sets.planes(0..sets.width())] };
        let mut prg = seed.prg(Domain::DifferencingHash, &StepPath::root());
        let mut numbers = vec![0u32; sets.rows()];
        // All hashes are drawn first: sets are read 64 at a time.
        let hashes: Vec<Vec<u32>> = (0..hashes)
            .map(|_| {
                prg.fill_u32s(&mut numbers);
                // Uniform up to 2^-32, which is nothing beside 1/buckets.
                numbers.iter().map(|number| ((u64::from(*number) * buckets as u64) >> 32) as u32).collect()
            })
            .collect();
        let mut parts: Vec<Vec<BitShare>> = hashes.iter().map(|_| Vec::new()).collect();
        for first in (0..sets.width()).step_by(64) {
            let width = (sets.width() - first).min(64);
            let rows = Zeroizing::new(sets.planes(first..first + width).bits().to_column());
            for (hash, parts) in hashes.iter().zip(&mut parts) {
                let mut parities = Zeroizing::new(vec![0; buckets]);
                hash.iter().zip(rows.iter()).for_each(|(bucket, row)| parities[*bucket as usize] ^= row);
                parts.push(BitShare::new(Bits::from_column(&parities, width)));
            }
        }
        parts.iter().map(|parts| BitShare::beside(&parts.iter().collect::<Vec<_>>())).collect()
    }
}

/// So many hashes into so many buckets, or None if they would be too many.
fn hashes(most_wrong: f64, least: u64, buckets: usize) -> Option<usize> {
    let one = wrong(least, buckets);
    let mut all = 1.0;
    (1..=MAX_HASHES).find(|hashes| {
        all *= one;
        all <= most_wrong && equal_by_chance(buckets, *hashes) <= MAX_EQUAL
    })
}

/// The probability that two patients meet in a bucket of each hash.
fn equal_by_chance(buckets: usize, hashes: usize) -> f64 {
    (1.0 / buckets as f64).powi(hashes as i32)
}

/// The probability that any two of `least + 1` patients meet in a bucket.
fn wrong(least: u64, buckets: usize) -> f64 {
    let apart = |i: u64| (1.0 - i as f64 / buckets as f64).max(0.0);
    1.0 - (1..=least).map(apart).product::<f64>()
}

/// A sufficient difference is taken for too small with no more than this probability: 2^-20.
const MAX_WRONG: f64 = 1.0 / (1 << 20) as f64;

/// Sets that differ by few patients are taken for equal with no more than this probability: 2^-40.
const MAX_EQUAL: f64 = 1.0 / (1u64 << 40) as f64;

/// More would not be cheaper.
const MAX_HASHES: usize = 64;

/// Up to here counting every row is nothing beside a matching, even of small tables.
const CHEAP_ANDS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability that fewer than `least` buckets are odd, none of them for `least` = 1, for every number of ones up to `most`.
    fn too_few(least: u64, buckets: usize, most: usize) -> Vec<f64> {
        let mut odd = vec![0.0; buckets + 1];
        odd[0] = 1.0;
        let mut out = vec![1.0];
        for _ in 0..most {
            let up = |at: usize| at.checked_sub(1).map_or(0.0, |from| odd[from] * (buckets - from) as f64);
            let down = |at: usize| odd.get(at + 1).map_or(0.0, |p| p * (at + 1) as f64);
            odd = (0..=buckets).map(|at| (up(at) + down(at)) / buckets as f64).collect();
            out.push(odd.iter().take(least as usize).sum());
        }
        out
    }

    #[test]
    fn hashes_are_wrong_most_often_for_one_patient_more_than_enough_and_then_rarely() {
        for least in [2, 3, 5, 10, 11, 20, 40] {
            let Method::Buckets { buckets, hashes } = Method::cheapest(least, 100 * 127_000, 4000) else {
                panic!("buckets are cheaper than so many rows")
            };
            let wrong = too_few(least, buckets, 20 * buckets);
            let worst = super::wrong(least, buckets);
            assert!((wrong[least as usize + 1] - worst).abs() < 1e-9);
            assert!(wrong[least as usize..].iter().all(|p| *p <= worst + 1e-12), "least {least}, {buckets} buckets");
            assert!(worst.powi(hashes as i32) <= MAX_WRONG);
            let Method::Buckets { buckets: of_sizes, hashes: more } = Method::certain(least, 100 * 127_000, 4000)
            else {
                panic!("here, too")
            };
            assert!(super::wrong(least, of_sizes).powi(more as i32) <= MAX_EQUAL);
            println!("least {least}: {buckets} buckets, {hashes} hashes; of sizes {of_sizes}, {more}");
        }
    }

    #[test]
    fn sets_that_differ_by_anybody_are_hardly_ever_taken_for_equal() {
        for least in [2, 3, 4, 5, 8, 11, 20, 40] {
            let Method::Buckets { buckets, hashes } = Method::cheapest(least, 100 * 127_000, 4000) else {
                panic!("buckets are cheaper than so many rows")
            };
            let equal = too_few(1, buckets, 2 * least as usize);
            let worst = equal[1..].iter().copied().fold(0.0, f64::max);
            assert!((equal[2] - worst).abs() < 1e-12, "least {least}: two are the worst");
            let bits = worst.log2() * hashes as f64;
            assert!(bits <= -40.0, "least {least}: {buckets} buckets, {hashes} hashes, 2^{bits:.1}");
        }
    }

    #[test]
    fn all_rows_are_counted_where_that_is_cheap() {
        assert_eq!(Method::cheapest(11, 6000, 2), Method::Exact);
        assert_eq!(Method::cheapest(10_000, 6000, 4000), Method::Exact);
        assert!(Method::cheapest(11, 6000, 4000) != Method::Exact);
    }
}
