//! Opening masked intermediates: values that a fresh random mask hides, so that everybody may see them.

use std::ops::Range;

use mpc_core::wire::Wire;
use mpc_core::{PartyId, Result, Session};

use crate::correlation::Group;

/// From so many bytes on, three and more sites open by reduce-scatter: fewer bytes, one more round.
const SCATTER_BYTES: usize = 1 << 15;

/// Do so many members open a column of so many bytes by reduce-scatter?
pub(crate) fn scatters(members: usize, bytes: usize) -> bool {
    members > 2 && bytes >= SCATTER_BYTES
}

/// The part of a column of `len` elements that the member at place `at` of a group sums up for all.
pub(crate) fn part(len: usize, members: usize, at: usize) -> Range<usize> {
    len * at / members..len * (at + 1) / members
}

/// One column that the members of a group open to each other.
pub(super) struct Opening<T> {
    group: Group,
    column: Vec<T>,
    combine: fn(&mut [T], &[T]),
}

impl<T: Wire> Opening<T> {
    /// `own` is this member's summand; `combine(acc, x)` adds x to acc.
    pub fn new(group: Group, own: Vec<T>, combine: fn(&mut [T], &[T])) -> Self {
        Self { group, column: own, combine }
    }

    fn scatters(&self) -> bool {
        scatters(self.group.len(), self.column.len() * T::BYTES)
    }

    fn others(&self, s: &Session) -> Vec<PartyId> {
        self.group.iter().copied().filter(|p| *p != s.me()).collect()
    }

    fn part(&self, of: PartyId) -> Range<usize> {
        let at = self.group.iter().position(|p| *p == of).unwrap_or(0);
        part(self.column.len(), self.group.len(), at)
    }

    /// Sends each member its part, or everything.
    pub fn start(&self, s: &mut Session) -> Result<()> {
        if !self.scatters() {
            return s.send_all(&self.others(s), &self.column);
        }
        self.others(s).into_iter().try_for_each(|to| s.send(to, &self.column[self.part(to)]))
    }

    /// Adds up what came; with reduce-scatter, sends the sum of the own part to everybody.
    pub async fn settle(&mut self, s: &mut Session) -> Result<()> {
        let range = if self.scatters() { self.part(s.me()) } else { 0..self.column.len() };
        let others = self.others(s);
        for from in &others {
            let mut rest = &mut self.column[range.clone()];
            s.recv_blocks(*from, range.len(), |block: &[T]| {
                let (head, tail) = std::mem::take(&mut rest).split_at_mut(block.len());
                (self.combine)(head, block);
                rest = tail;
            })
            .await?;
        }
        if self.scatters() { s.send_all(&others, &self.column[range]) } else { Ok(()) }
    }

    /// The opened column.
    pub async fn conclude(mut self, s: &mut Session) -> Result<Vec<T>> {
        if self.scatters() {
            for from in self.others(s) {
                let range = self.part(from);
                let mut rest = &mut self.column[range.clone()];
                s.recv_blocks(from, range.len(), |block: &[T]| {
                    let (head, tail) = std::mem::take(&mut rest).split_at_mut(block.len());
                    head.copy_from_slice(block);
                    rest = tail;
                })
                .await?;
            }
        }
        Ok(self.column)
    }
}

/// Opens several columns side by side, each within its group. One round, two with reduce-scatter; to each other member the
/// whole column, or with reduce-scatter 2/|group| of it.
///
/// # Source
/// All-to-all: the textbook. Reduce-scatter and all-gather: Thakur–Rabenseifner–Gropp, Int. J. HPC Applications 2005, §4.2,
/// as in the king's opening of Damgård–Nielsen, Crypto'07, with every member king of its part. Semi-honest: a member that
/// adds up wrongly makes the result wrong, and no value is opened that was not masked.
pub(super) async fn open<T: Wire>(s: &mut Session, mut openings: Vec<Opening<T>>) -> Result<Vec<Vec<T>>> {
    let mut s = s.step("open");
    for opening in &openings {
        opening.start(&mut s)?;
    }
    for opening in &mut openings {
        opening.settle(&mut s).await?;
    }
    let mut columns = Vec::with_capacity(openings.len());
    for opening in openings {
        columns.push(opening.conclude(&mut s).await?);
    }
    Ok(columns)
}
