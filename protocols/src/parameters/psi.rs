//! Sizes of two-party set intersection.

/// Statistical security: a false match, or a failure, in all of one run with probability at most 2^-40.
pub const STATISTICAL_BITS: u32 = 40;

/// Most items of a set.
pub const MAX_ITEMS: usize = 1 << 24;

/// Bits of a tag so that two different of `sender` and `receiver` items have the same one in no pair, but with probability 2^-40:
/// 40 + ⌈log2(sender·receiver)⌉, at most 88.
///
/// # Source
/// The union bound over all pairs, as in Raghuraman, Rindal, CCS'22 (ePrint 2022/320); read on 2026-11-22.
pub fn tag_bits(sender: usize, receiver: usize) -> u32 {
    let pairs = sender.max(1) as u64 * receiver.max(1) as u64;
    STATISTICAL_BITS + pairs.next_power_of_two().ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_separates_all_pairs_with_40_bits_to_spare() {
        for (n, m) in [(1, 1), (3, 5), (10, 1 << 20), (1 << 20, 1 << 20), (MAX_ITEMS, MAX_ITEMS)] {
            let collision = (n as f64) * (m as f64) * (-f64::from(tag_bits(n, m))).exp2();
            assert!(collision <= 2f64.powi(-40) && tag_bits(n, m) <= 88, "{n} and {m}");
        }
    }
}
