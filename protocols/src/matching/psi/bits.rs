//! Numbers of the same width, packed.

/// Packs numbers into words, lowest bits first.
pub(super) struct Writer {
    words: Vec<u64>,
    pending: u128,
    bits: u32,
}

impl Writer {
    /// For so many words.
    pub(super) fn new(words: usize) -> Self {
        Self { words: Vec::with_capacity(words), pending: 0, bits: 0 }
    }

    /// Appends a number of at most `width` bits, `width` at most 64.
    #[inline(always)]
    pub(super) fn push(&mut self, number: u64, width: u32) {
        self.pending |= u128::from(number) << self.bits;
        self.bits += width;
        if self.bits >= 64 {
            self.words.push(self.pending as u64);
            self.pending >>= 64;
            self.bits -= 64;
        }
    }

    /// The words, the last one filled with zeros.
    pub(super) fn finish(mut self) -> Vec<u64> {
        if self.bits > 0 {
            self.words.push(self.pending as u64);
        }
        self.words
    }
}

/// Takes packed numbers out again.
pub(super) struct Reader<'a> {
    words: std::slice::Iter<'a, u64>,
    pending: u128,
    bits: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a [u64]) -> Self {
        Self { words: words.iter(), pending: 0, bits: 0 }
    }

    /// The next number of `width` bits, at most 64; zeros after the end.
    #[inline(always)]
    pub(super) fn take(&mut self, width: u32) -> u64 {
        if self.bits < width {
            self.pending |= u128::from(self.words.next().copied().unwrap_or(0)) << self.bits;
            self.bits += 64;
        }
        let number = self.pending as u64 & (u64::MAX >> (64 - width));
        self.pending >>= width;
        self.bits -= width;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_out_as_they_went_in() {
        for width in 1..=64 {
            let numbers: Vec<u64> =
                (1..100u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - width)).collect();
            let mut writer = Writer::new(0);
            numbers.iter().for_each(|number| writer.push(*number, width));
            let words = writer.finish();
            assert_eq!(words.len(), (99 * width as usize).div_ceil(64));
            let mut reader = Reader::new(&words);
            assert!(numbers.iter().all(|number| reader.take(width) == *number), "{width} bits");
        }
    }
}
