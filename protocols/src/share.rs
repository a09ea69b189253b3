//! One party's summand of a column: what it can do alone.

use std::fmt;
use std::ops::Range;

use mpc_core::{Bits, PowerOfTwo, Ring, Z64};

use crate::relational::shape::beneath;

/// A share of an arithmetic column. It does not print, is not compared and is wiped when dropped; only `reveal` opens it.
pub struct ArithShare<R: Ring> {
    column: Vec<R>,
}

impl<R: Ring> ArithShare<R> {
    pub(crate) fn new(column: Vec<R>) -> Self {
        Self { column }
    }

    /// Zeros, which everybody knows.
    pub fn zeros(len: usize) -> Self {
        Self::new(vec![R::default(); len])
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.column.len()
    }

    /// Has it no elements?
    pub fn is_empty(&self) -> bool {
        self.column.is_empty()
    }

    pub(crate) fn column(&self) -> &[R] {
        &self.column
    }

    pub(crate) fn column_mut(&mut self) -> &mut [R] {
        &mut self.column
    }

    /// The column itself, after it was sent and is no longer a secret of this party.
    pub(crate) fn into_column(mut self) -> Vec<R> {
        std::mem::take(&mut self.column)
    }

    pub(crate) fn zip_with(&self, other: &[R], operation: fn(R, R) -> R) -> Self {
        Self::new(self.column.iter().zip(other).map(|(a, b)| operation(*a, *b)).collect())
    }

    /// The elements at public positions, in this order; one may be named several times.
    pub fn gather(&self, at: &[usize]) -> Self {
        Self::new(at.iter().map(|i| self.column[*i]).collect())
    }

    /// The elements of a range.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self::new(self.column[range].to_vec())
    }

    /// All parts, one after the other.
    pub fn concat(parts: &[&Self]) -> Self {
        Self::new(parts.iter().flat_map(|p| p.column.iter().copied()).collect())
    }

    /// Element i becomes the sum of elements 0 to i.
    pub fn prefix_sums(&self) -> Self {
        let mut sum = R::default();
        let step = |x: &R| {
            sum = sum.add(*x);
            sum
        };
        Self::new(self.column.iter().map(step).collect())
    }

    /// The sums of consecutive blocks of `block` elements.
    pub fn block_sums(&self, block: usize) -> Self {
        let sum = |part: &[R]| part.iter().fold(R::default(), |a, b| a.add(*b));
        Self::new(self.column.chunks(block.max(1)).map(sum).collect())
    }
}

impl<R: PowerOfTwo> ArithShare<R> {
    /// Element-wise product with numbers everybody knows.
    pub fn times_public(&self, public: &[R]) -> Self {
        self.zip_with(public, R::mul)
    }

    /// Every element times one number everybody knows.
    pub fn times(&self, public: R) -> Self {
        Self::new(self.column.iter().map(|x| x.mul(public)).collect())
    }
}

impl ArithShare<Z64> {
    pub(crate) fn low_words(&self) -> &[u64] {
        bytemuck::cast_slice(&self.column)
    }
}

impl<R: Ring> fmt::Debug for ArithShare<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArithShare<{}>(len {})", R::NAME, self.column.len())
    }
}

impl<R: Ring> Drop for ArithShare<R> {
    fn drop(&mut self) {
        R::wipe(&mut self.column);
    }
}

/// A share of a bit matrix, rows × width: the XOR of all parties' shares is the matrix. It does not print and is wiped when
/// dropped.
pub struct BitShare {
    bits: Bits,
}

impl BitShare {
    pub(crate) fn new(bits: Bits) -> Self {
        Self { bits }
    }

    /// Zeros, which everybody knows.
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self::new(Bits::zeros(rows, width))
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.bits.rows()
    }

    /// Bits of a row.
    pub fn width(&self) -> usize {
        self.bits.width()
    }

    pub(crate) fn bits(&self) -> &Bits {
        &self.bits
    }

    /// Some of the bits of every row.
    pub fn planes(&self, range: Range<usize>) -> Self {
        Self::new(self.bits.planes(range))
    }

    /// One bit of every row.
    pub fn plane(&self, plane: usize) -> Self {
        self.planes(plane..plane + 1)
    }

    /// The bits of all parts side by side; the first part has the lowest.
    pub fn beside(parts: &[&BitShare]) -> Self {
        Self::new(Bits::beside(&parts.iter().map(|p| &p.bits).collect::<Vec<_>>()))
    }

    /// The rows of all parts, one part after the other; all have the width of the first.
    pub fn beneath(parts: &[&BitShare]) -> Self {
        beneath(parts)
    }

    /// The rows at public positions, in this order; one may be named several times.
    pub fn gather(&self, rows: &[usize]) -> Self {
        Self::new(self.bits.gather(rows))
    }

    /// Element-wise XOR.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn xor(&self, other: &BitShare) -> Self {
        let mut sum = self.bits.clone();
        sum.xor_assign(&other.bits);
        Self::new(sum)
    }
}

impl fmt::Debug for BitShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BitShare({} × {})", self.rows(), self.width())
    }
}

impl Drop for BitShare {
    fn drop(&mut self) {
        self.bits.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_prints_its_type_and_length_only() {
        assert_eq!(format!("{:?}", ArithShare::new(vec![Z64(77), Z64(88)])), "ArithShare<Z64>(len 2)");
        assert_eq!(format!("{:?}", BitShare::new(Bits::from_column(&[77, 88], 7))), "BitShare(2 × 7)");
    }

    #[test]
    fn block_sums_and_prefix_sums_are_those_of_the_column() {
        let share = ArithShare::new([1, 2, 3, 4, 5, 6].map(Z64).to_vec());
        assert_eq!(share.prefix_sums().column(), [1, 3, 6, 10, 15, 21].map(Z64));
        assert_eq!(share.block_sums(3).column(), [6, 15].map(Z64));
    }
}
