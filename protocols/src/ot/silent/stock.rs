//! Rows that were prepared and not used yet.

use std::sync::Arc;

use mpc_core::Block;
use mpc_core::hash::CorrelationHash;
use zeroize::Zeroize;

use super::super::soft_spoken::{Pool, Rows, Tweaks};

/// Rows in the order both sides take them. Does not print; wiped when dropped and where taken.
pub(super) struct Stock {
    rows: Vec<Block>,
    taken: usize,
    /// The tweak of the next row: each row is hashed under its own for good.
    next: u64,
    hash: Arc<CorrelationHash>,
    pool: Arc<Pool>,
}

impl Stock {
    pub(super) fn new(hash: CorrelationHash, pool: Arc<Pool>) -> Self {
        Self { rows: Vec::new(), taken: 0, next: 0, hash: Arc::new(hash), pool }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.taken
    }

    /// Puts a batch behind what is left.
    pub(super) fn add(&mut self, mut batch: Vec<Block>) {
        if self.len() == 0 {
            std::mem::swap(&mut self.rows, &mut batch);
        } else {
            let rows = [&self.rows[self.taken..], &batch].concat();
            self.rows.zeroize();
            self.rows = rows;
        }
        self.taken = 0;
        batch.zeroize();
    }

    /// The next `count` rows; None, and nothing is taken, when there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<Rows> {
        let rows = self.rows[self.taken..].get_mut(..count)?;
        let taken = Rows::copy(rows, self.next, self.hash.clone(), self.pool.clone());
        rows.zeroize();
        self.taken += count;
        self.next += count as u64;
        Some(taken)
    }

    /// As many tweaks, which no row will have.
    pub(super) fn tweaks(&mut self, count: usize) -> Tweaks {
        let first = self.next;
        self.next += count as u64;
        Tweaks::new(first..self.next)
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.rows.zeroize();
    }
}
