//! Bit matrices, rows × width, bit-sliced: plane j holds bit j of every row, 64 rows to a word.

/// Rows of `width` bits each, stored plane by plane. Bits beyond the last row are unspecified.
#[derive(Clone, Default)]
pub struct Bits {
    rows: usize,
    width: usize,
    words: Vec<u64>,
}

impl Bits {
    /// All zero.
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self { rows, width, words: vec![0; rows.div_ceil(64) * width] }
    }

    /// From planes, `width` times `rows.div_ceil(64)` words.
    ///
    /// # Panics
    /// When there are more or fewer words.
    pub fn from_words(rows: usize, width: usize, words: Vec<u64>) -> Self {
        assert_eq!(words.len(), rows.div_ceil(64) * width, "a plane has one word for 64 rows");
        Self { rows, width, words }
    }

    /// The low `width` bits of every value, transposed.
    pub fn from_column(column: &[u64], width: usize) -> Self {
        assert!(width <= 64, "a value has 64 bits");
        let mut bits = Self::zeros(column.len(), width);
        let stride = bits.stride();
        for (at, chunk) in column.chunks(64).enumerate() {
            let mut block = [0; 64];
            block[..chunk.len()].copy_from_slice(chunk);
            transpose_64(&mut block);
            (0..width).for_each(|plane| bits.words[plane * stride + at] = block[plane]);
        }
        bits
    }

    /// Every row as a number; bit j of it is plane j.
    pub fn to_column(&self) -> Vec<u64> {
        assert!(self.width <= 64, "a value has 64 bits");
        let mut column = vec![0; self.rows];
        for (at, chunk) in column.chunks_mut(64).enumerate() {
            let mut block = [0; 64];
            (0..self.width).for_each(|plane| block[plane] = self.words[plane * self.stride() + at]);
            transpose_64(&mut block);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        column
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Words of a plane.
    pub fn stride(&self) -> usize {
        self.rows.div_ceil(64)
    }

    /// All planes, one after the other.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All planes, one after the other.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The planes, taken out.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// One plane.
    pub fn plane(&self, plane: usize) -> &[u64] {
        let stride = self.stride();
        &self.words[plane * stride..(plane + 1) * stride]
    }

    /// One plane.
    pub fn plane_mut(&mut self, plane: usize) -> &mut [u64] {
        let stride = self.stride();
        &mut self.words[plane * stride..(plane + 1) * stride]
    }

    /// One bit.
    pub fn get(&self, row: usize, plane: usize) -> bool {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.plane(plane)[row / 64] >> (row % 64) & 1 == 1
    }

    /// Sets one bit.
    pub fn set(&mut self, row: usize, plane: usize, bit: bool) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let word = &mut self.plane_mut(plane)[row / 64];
        *word = *word & !(1 << (row % 64)) | u64::from(bit) << (row % 64);
    }

    /// The planes of a range.
    pub fn planes(&self, range: std::ops::Range<usize>) -> Self {
        let stride = self.stride();
        let words = self.words[range.start * stride..range.end * stride].to_vec();
        Self { rows: self.rows, width: range.len(), words }
    }

    /// The planes of all parts, side by side.
    ///
    /// # Panics
    /// When the parts differ in rows.
    pub fn beside(parts: &[&Bits]) -> Self {
        let rows = parts.first().map_or(0, |p| p.rows);
        assert!(parts.iter().all(|p| p.rows == rows), "planes of one matrix have the same rows");
        let words = parts.iter().flat_map(|p| p.words.iter().copied()).collect();
        Self { rows, width: parts.iter().map(|p| p.width).sum(), words }
    }

    /// The named rows, in this order; a row may be named several times.
    pub fn gather(&self, rows: &[usize]) -> Self {
        let mut out = Self::zeros(rows.len(), self.width);
        let stride = out.stride();
        for plane in 0..self.width {
            let from = self.plane(plane);
            let to = &mut out.words[plane * stride..(plane + 1) * stride];
            for (at, row) in rows.iter().enumerate() {
                to[at / 64] |= (from[row / 64] >> (row % 64) & 1) << (at % 64);
            }
        }
        out
    }

    /// `self ^= other`, of the same shape.
    pub fn xor_assign(&mut self, other: &Bits) {
        assert_eq!((self.rows, self.width), (other.rows, other.width), "shapes");
        xor_words(&mut self.words, &other.words);
    }

    /// Overwrites what was secret.
    pub fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.words);
    }
}

/// `acc[i] ^= words[i]`
pub fn xor_words(acc: &mut [u64], words: &[u64]) {
    acc.iter_mut().zip(words).for_each(|(a, w)| *a ^= w);
}

/// This party's part of x ∧ y from a triple (a, b, c = a ∧ b) and the opened d = x ⊕ a and e = y ⊕ b, in place of c:
/// c ⊕ d ∧ b ⊕ e ∧ a, and d ∧ e at the one party that adds it (Beaver, Crypto'91).
pub fn beaver_and(c: &mut [u64], a: &[u64], b: &[u64], d: &[u64], e: &[u64], adds_product: bool) {
    let all = if adds_product { u64::MAX } else { 0 };
    for ((((c, a), b), d), e) in c.iter_mut().zip(a).zip(b).zip(d).zip(e) {
        *c ^= d & b ^ e & a ^ d & e & all;
    }
}

/// Transposes a 64×64 bit matrix in place: bit j of word i becomes bit i of word j (Hacker's Delight, §7-3).
pub fn transpose_64(block: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = u64::MAX >> 32;
    while width > 0 {
        let mut row = 0;
        while row < 64 {
            for i in row..row + width {
                let swap = (block[i] >> width ^ block[i + width]) & mask;
                block[i] ^= swap << width;
                block[i + width] ^= swap;
            }
            row += 2 * width;
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<u64> {
        (0..len as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left((i % 63) as u32)).collect()
    }

    #[test]
    fn bit_j_of_row_i_is_bit_i_of_plane_j() {
        let column = numbers(130);
        let bits = Bits::from_column(&column, 64);
        for (row, value) in column.iter().enumerate() {
            assert!((0..64).all(|plane| bits.get(row, plane) == (value >> plane & 1 == 1)), "row {row}");
        }
    }

    #[test]
    fn transposing_back_gives_the_low_bits_of_the_column() {
        for (len, width) in [(0, 5), (1, 64), (64, 7), (65, 33), (200, 1)] {
            let column = numbers(len);
            let low = column.iter().map(|v| if width == 64 { *v } else { v & ((1 << width) - 1) });
            assert_eq!(Bits::from_column(&column, width).to_column(), low.collect::<Vec<_>>());
        }
    }

    #[test]
    fn gathered_rows_and_joined_planes_are_those_of_the_columns() {
        let column = numbers(100);
        let bits = Bits::from_column(&column, 64);
        let rows = [99, 0, 64, 63, 64];
        assert_eq!(bits.gather(&rows).to_column(), rows.map(|r| column[r]));
        let joined = Bits::beside(&[&bits.planes(0..20), &bits.planes(20..64)]);
        assert_eq!(joined.to_column(), column);
    }
}
