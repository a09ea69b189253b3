//! Complementary suppression for nested sums.
//!
//! Two passes. Upwards: a total with a hidden part is hidden too when it is 0, or when that part is its only one.
//! Downwards, from the topmost total: all parts of a hidden total are hidden; where the total is shown, its hidden
//! parts are covered: parts are added in public order until there are two and they hold at least k − 1 together.
//!
//! **Afterwards** (1) every part of a hidden total is hidden, and (2) a shown total has no hidden part, or at least two
//! which hold R ≥ k − 1 together, R = total − shown parts. (1) is the downward pass, after which nothing else hides a
//! total: a cell is hidden downwards only as a part of its one sum, before the sums it is the total of are looked at.
//! (2) Where the cover stops early this is what it asks for. Where it takes all parts, there are two of them (a single
//! part hides its total, upwards) and R is the total, which is shown, so at least k (a total of 0 with a hidden part
//! was hidden, upwards; and a part hidden downwards has a hidden total or one that is at least k).
//!
//! **Therefore** every hidden cell h can be any v from 0 to k − 1. Lemma: a hidden cell can be given any x ≥ 0 if only
//! the cells below it change: in each sum whose total it is, all parts are hidden by (1); one of them gets x, the
//! others 0, and so on down. Now follow from h the totals it is part of up to the last hidden one, a. Set a and all
//! cells on the way to v, their other parts to 0, and complete what hangs below by the lemma. If a is part of a shown
//! total, the hidden parts hold R ≥ k − 1 ≥ v together: another hidden part gets R − v, the rest 0, by the lemma. All
//! else stays as it is; sums hold, nothing shown has changed, all counts are ≥ 0. ∎
//!
//! In the view of a receiving site the same numbers are the other sites' parts; there R may also be 0, and then it
//! knows that the others contribute nothing to these hidden cells.

use mpc_core::Result;
use mpc_core::error::LocalFault;

use super::super::shape;
use super::cover::{Problem, cover};
use super::{Facts, Table};
use crate::engine::Engine;
use crate::share::BitShare;

/// One sum: its total and parts.
type Sum<'a> = (usize, &'a [usize]);

/// The cells hidden after complementary suppression in all sums.
pub async fn protect<E: Engine>(e: &mut E, facts: &Facts<'_>, mut hidden: BitShare) -> Result<BitShare> {
    let sums: Vec<Sum> = facts.rules.tables.iter().filter_map(as_sum).collect();
    let Some(levels) = levels(&sums, facts.cells) else {
        return Err(e.fault(LocalFault::Other("a cell is a part of two sums, or of itself, or a sum is empty".into())));
    };
    for level in levels.iter().rev() {
        hidden = upwards(e, facts, hidden, level).await?;
    }
    for level in &levels {
        hidden = downwards(e, hidden, level).await?;
        hidden = cover_parts(e, facts, hidden, level).await?;
    }
    Ok(hidden)
}

fn as_sum(table: &Table) -> Option<Sum<'_>> {
    match table {
        Table::Sum { total, parts } => Some((*total, parts)),
        Table::Cube { .. } => None,
    }
}

async fn upwards<E: Engine>(e: &mut E, facts: &Facts<'_>, hidden: BitShare, level: &[Sum<'_>]) -> Result<BitShare> {
    let parts: Vec<Vec<usize>> = level.iter().map(|(_, parts)| parts.to_vec()).collect();
    let some_part = shape::any_of(e, &hidden, &parts).await?;
    // A single part is its total, whatever its count.
    let single = mpc_core::Bits::from_column(&level.iter().map(|s| u64::from(s.1.len() == 1)).collect::<Vec<_>>(), 1);
    let single = e.xor_public(&BitShare::zeros(level.len(), 1), &single)?;
    let zero = facts.zero.gather(&level.iter().map(|(total, _)| *total).collect::<Vec<_>>());
    let telling = shape::or(e, &zero, &single).await?;
    let why = e.and(&some_part, &telling).await?;
    let targets: Vec<(usize, usize)> = level.iter().enumerate().map(|(at, (total, _))| (*total, at)).collect();
    hide(e, hidden, &why, &targets).await
}

async fn downwards<E: Engine>(e: &mut E, hidden: BitShare, level: &[Sum<'_>]) -> Result<BitShare> {
    let why = hidden.planes(0..1);
    let targets = level.iter().flat_map(|(total, parts)| parts.iter().map(|part| (*part, *total)));
    let targets: Vec<(usize, usize)> = targets.collect();
    hide(e, hidden, &why, &targets).await
}

async fn cover_parts<E: Engine>(e: &mut E, facts: &Facts<'_>, hidden: BitShare, level: &[Sum<'_>]) -> Result<BitShare> {
    let problem = |parts: &[usize]| {
        let mut rows = facts.rows(parts, false);
        rows.push(facts.two_of(parts.len()));
        Problem { members: parts.len(), rows }
    };
    let problems: Vec<Problem> = level.iter().map(|(_, parts)| problem(parts)).collect();
    let members: Vec<usize> = level.iter().flat_map(|(_, parts)| parts.iter().copied()).collect();
    let chosen = hidden.gather(&members);
    let most = problems.iter().map(|p| p.members).max().unwrap_or(0);
    let covered = cover(e, &chosen, &problems, &facts.amounts, facts.bits(most)).await?;
    Ok(super::replace(&hidden, &members, &covered))
}

/// Hides cells: (cell, where the bit stands that hides it).
async fn hide<E: Engine>(e: &mut E, hidden: BitShare, why: &BitShare, targets: &[(usize, usize)]) -> Result<BitShare> {
    let all = shape::beneath(&[&hidden, why]);
    let mut lists: Vec<Vec<usize>> = (0..hidden.rows()).map(|cell| vec![cell]).collect();
    targets.iter().for_each(|(cell, at)| lists[*cell].push(hidden.rows() + at));
    shape::any_of(e, &all, &lists).await
}

/// The sums by depth, the topmost first; None when they are not nested.
fn levels<'a>(sums: &[Sum<'a>], cells: usize) -> Option<Vec<Vec<Sum<'a>>>> {
    let mut part_of = vec![None; cells];
    for (at, (_, parts)) in sums.iter().enumerate() {
        if parts.is_empty() || parts.iter().any(|part| part_of[*part].replace(at).is_some()) {
            return None;
        }
    }
    let mut levels = vec![Vec::new(); sums.len()];
    for sum in sums {
        let mut depth = 0;
        let mut total = sum.0;
        while let Some(above) = part_of[total] {
            total = sums[above].0;
            depth += 1;
            if depth >= sums.len() {
                return None;
            }
        }
        levels[depth].push(*sum);
    }
    levels.retain(|level| !level.is_empty());
    Some(levels)
}
