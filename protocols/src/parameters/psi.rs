//! Sizes of two-party set intersection.

/// Statistical security: a false match, or a failure, in all of one run with probability at most 2^-40.
pub const STATISTICAL_BITS: u32 = 40;

/// Most items of a set.
pub const MAX_ITEMS: usize = 1 << 24;

/// Diffie–Hellman is the quicker method up to so many keys, one of the receiver's counted three times. Measured over QUIC on loopback
/// with base OTs at hand, 2026-11-22: 0.4 against 0.8 ms for one key against one, 0.7 against 0.8 ms for four, 3.3 against 0.8 ms for
/// sixteen.
pub const DIFFIE_HELLMAN_WORK: usize = 16;

/// The same where base OTs are made for this one matching: they take 20 ms, Diffie–Hellman 40 µs for each.
pub const DIFFIE_HELLMAN_WORK_ALONE: usize = 500;

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
