//! Complementary suppression for nested sums.
//!
//! Two passes. Upwards: a total with a hidden part is hidden too when it is 0, or when that part is its only one.
//! Downwards, from the topmost total: all parts of a hidden total are hidden; where the total is shown, its hidden
//! parts are covered: parts are added in public order until there are two and they hold at least k together.
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
//! total, the hidden parts hold R ≥ k > v together: another hidden part gets R − v, the rest 0, by the lemma. All
//! else stays as it is; sums hold, nothing shown has changed, all counts are ≥ 0. ∎
//!
//! "Cell" is read as "place" here, a total or part as one in each column (`places.rs`): a place is hidden if one of its
//! cells is, a total is 0 if it is in one column, and the hidden parts hold R ≥ k in each column.
//!
//! In the view of a receiving site the same numbers are the other sites' parts; there R may also be 0 where zero may be
//! shown, and then it knows that the others contribute nothing to these hidden cells.

use std::collections::BTreeMap;

use mpc_core::Result;

use super::super::shape;
use super::Facts;
use super::cover::{Problem, cover};
use super::places::{Places, Sum};
use crate::engine::Engine;
use crate::share::BitShare;

/// The cells hidden after complementary suppression in all sums.
pub async fn protect<E: Engine>(e: &mut E, facts: &Facts<'_>, places: &Places, cells: BitShare) -> Result<BitShare> {
    let mut hidden = shape::any_of(e, &cells, &places.cells).await?;
    let levels = levels(&places.sums);
    for level in levels.iter().rev() {
        hidden = upwards(e, facts, hidden, level).await?;
    }
    for level in &levels {
        hidden = downwards(e, hidden, level).await?;
        hidden = cover_parts(e, facts, hidden, level).await?;
    }
    Ok(hidden.gather(&places.of))
}

async fn upwards<E: Engine>(e: &mut E, facts: &Facts<'_>, hidden: BitShare, level: &[&Sum]) -> Result<BitShare> {
    let parts: Vec<Vec<usize>> = level.iter().map(|sum| sum.parts.clone()).collect();
    let some_part = shape::any_of(e, &hidden, &parts).await?;
    // A single part is its total, whatever its count.
    let single: Vec<u64> = level.iter().map(|sum| u64::from(sum.parts.len() == 1)).collect();
    let single = e.xor_public(&BitShare::zeros(level.len(), 1), &mpc_core::Bits::from_column(&single, 1))?;
    let totals: Vec<Vec<usize>> = level.iter().map(|sum| sum.columns.iter().map(|c| c.0).collect()).collect();
    let zero = shape::any_of(e, &facts.zero, &totals).await?;
    let telling = shape::or(e, &zero, &single).await?;
    let why = e.and(&some_part, &telling).await?;
    let targets: Vec<(usize, usize)> = level.iter().enumerate().map(|(at, sum)| (sum.total, at)).collect();
    hide(e, hidden, &why, &targets).await
}

async fn downwards<E: Engine>(e: &mut E, hidden: BitShare, level: &[&Sum]) -> Result<BitShare> {
    let why = hidden.planes(0..1);
    let targets = level.iter().flat_map(|sum| sum.parts.iter().map(|part| (*part, sum.total)));
    let targets: Vec<(usize, usize)> = targets.collect();
    hide(e, hidden, &why, &targets).await
}

async fn cover_parts<E: Engine>(e: &mut E, facts: &Facts<'_>, hidden: BitShare, level: &[&Sum]) -> Result<BitShare> {
    let problem = |sum: &&Sum| {
        let mut rows: Vec<_> = sum.columns.iter().flat_map(|(_, parts)| facts.rows(parts, false)).collect();
        rows.push(facts.two_of(sum.parts.len()));
        Problem { members: sum.parts.len(), rows }
    };
    let problems: Vec<Problem> = level.iter().map(problem).collect();
    let members: Vec<usize> = level.iter().flat_map(|sum| sum.parts.iter().copied()).collect();
    let chosen = hidden.gather(&members);
    let most = problems.iter().map(|p| p.members).max().unwrap_or(0);
    let covered = cover(e, &chosen, &problems, &facts.amounts, facts.bits(most)).await?;
    Ok(super::replace(&hidden, &members, &covered))
}

/// Hides places: (place, where the bit stands that hides it).
async fn hide<E: Engine>(e: &mut E, hidden: BitShare, why: &BitShare, targets: &[(usize, usize)]) -> Result<BitShare> {
    let all = shape::beneath(&[&hidden, why]);
    let mut lists: Vec<Vec<usize>> = (0..hidden.rows()).map(|place| vec![place]).collect();
    targets.iter().for_each(|(place, at)| lists[*place].push(hidden.rows() + at));
    shape::any_of(e, &all, &lists).await
}

/// The sums of places by depth, the topmost first. They are nested: `places` sees to it.
fn levels(sums: &[Sum]) -> Vec<Vec<&Sum>> {
    let part_of: BTreeMap<usize, usize> =
        sums.iter().flat_map(|sum| sum.parts.iter().map(|part| (*part, sum.total))).collect();
    let mut levels = vec![Vec::new(); sums.len()];
    for sum in sums {
        let depth = std::iter::successors(Some(sum.total), |total| part_of.get(total).copied()).count() - 1;
        levels[depth].push(sum);
    }
    levels.retain(|level| !level.is_empty());
    levels
}

/// Is every cell a part of one sum at most, and of no sum above itself?
pub fn nested(sums: &[(usize, &[usize])], cells: usize) -> bool {
    let mut part_of = vec![None; cells];
    for (at, (_, parts)) in sums.iter().enumerate() {
        if parts.is_empty() || parts.iter().any(|part| part_of[*part].replace(at).is_some()) {
            return false;
        }
    }
    sums.iter().all(|sum| {
        let above = |total: &usize| part_of[*total].map(|at: usize| sums[at].0);
        std::iter::successors(Some(sum.0), above).take(sums.len() + 2).count() <= sums.len() + 1
    })
}
