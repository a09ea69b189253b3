//! One party's summand of a column.

use std::fmt;

use mpc_core::Ring;

/// A share of an arithmetic column. It does not print, is not compared and is wiped when dropped; only `reveal` opens it.
pub struct ArithShare<R: Ring> {
    column: Vec<R>,
}

impl<R: Ring> ArithShare<R> {
    pub(super) fn new(column: Vec<R>) -> Self {
        Self { column }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.column.len()
    }

    /// Has it no elements?
    pub fn is_empty(&self) -> bool {
        self.column.is_empty()
    }

    pub(super) fn column(&self) -> &[R] {
        &self.column
    }

    pub(super) fn column_mut(&mut self) -> &mut [R] {
        &mut self.column
    }

    /// The column itself, after it was sent and is no longer a secret of this party.
    pub(super) fn into_column(mut self) -> Vec<R> {
        std::mem::take(&mut self.column)
    }

    pub(super) fn zip_with(&self, other: &[R], operation: fn(R, R) -> R) -> Self {
        Self::new(self.column.iter().zip(other).map(|(a, b)| operation(*a, *b)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use mpc_core::Z64;

    #[test]
    fn a_share_prints_its_type_and_length_only() {
        assert_eq!(format!("{:?}", ArithShare::new(vec![Z64(77), Z64(88)])), "ArithShare<Z64>(len 2)");
    }
}
