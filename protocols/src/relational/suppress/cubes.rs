//! Complementary suppression for a table with all its margins.
//!
//! Order the dimensions 0 to D − 1. Level l holds the cells (α, b): b a category of dimension l, α a category or "all"
//! for each earlier dimension, all later dimensions "all". (α, ∗) is the cell with dimension l at "all"; it belongs to
//! an earlier level or is the grand total. Level l is *under trouble* when a cell of an earlier level, or the grand
//! total, is hidden for its own sake.
//!
//! - A level under trouble is hidden whole.
//! - Otherwise the set J of categories with a hidden cell in this level is covered: categories are added in public
//!   order until there are two, and for each combination a of categories (no "all") of the earlier dimensions the
//!   cells (a, b), b ∈ J, hold M(a) ≥ k together. Then all cells (α, b), b ∈ J, are hidden.
//!
//! So one level (the first with a hidden cell) loses some of its categories, as if they were one unnamed category, and
//! all later levels are hidden. Where zero may be shown, cells whose class is known to be empty stay visible: (α, b)
//! with (α, ∗) = 0 shown, in a level under trouble; with M(α) = Σ over J of (α, b) = 0 in the other; and M(a) = 0 is as
//! good as M(a) ≥ k.
//!
//! **Therefore** every hidden cell h = (α, b) of level l can be any v from 0 to k − 1. Lemma: counts for all earlier
//! levels that add up extend to a level under trouble, with (α, b) any number up to (α, ∗): give each combination a's
//! count to categories as you like, there are two at least. Shown cells of that level are zeros below a shown zero and
//! stay 0. If l is under trouble: (α, ∗) is shown and at least k (if 0, h would be shown), or hidden and can be v by
//! induction; by the lemma (α, b) can be v, and later levels, under trouble too, extend. If not: all earlier levels are
//! shown and stay. M(α) ≠ 0, so some a below α has M(a) ≥ k > v; give v of it to b and all the rest, of every
//! combination, to another category of J. Shown cells are those outside J, untouched, and those with M = 0, still 0.
//! Later levels extend by the lemma. When the cover takes all categories, M(a) = (a, ∗) is shown, so it is 0 where that
//! is allowed, or at least k. If the grand total is hidden, all cells are, and it can be anything. ∎
//!
//! A cell hidden for its own sake stays hidden unless it is 0 and 0 may be shown.

use mpc_core::Result;
use mpc_core::error::LocalFault;

use super::super::shape;
use super::cover::{Problem, cover};
use super::places::Places;
use super::{Facts, Table, replace};
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// The cells hidden after complementary suppression in all cubes.
pub async fn protect<E: Engine>(
    e: &mut E,
    facts: &Facts<'_>,
    places: &Places,
    mut hidden: BitShare,
) -> Result<BitShare> {
    for (at, table) in facts.rules.tables.iter().enumerate() {
        let Table::Cube { sizes, cells } = table else { continue };
        let levels = levels(sizes, cells).ok_or_else(|| {
            let why = "a dimension of a cube has two categories at least, and a cube a cell for each combination";
            e.fault(LocalFault::Other(why.into()))
        })?;
        // A cube that is shown or hidden whole is a single place.
        if !places.cubes.contains(&at) {
            continue;
        }
        let total = *cells.last().expect("a cube of no dimensions has one cell");
        hidden = protect_one(e, facts, hidden, &levels, total).await?;
    }
    Ok(hidden)
}

/// One level: for each α its margin (α, ∗), its cells (α, b), and whether it names a category in every earlier
/// dimension.
struct Level {
    size: usize,
    groups: Vec<Group>,
}

struct Group {
    margin: usize,
    cells: Vec<usize>,
    combination: bool,
}

async fn protect_one<E: Engine>(
    e: &mut E,
    facts: &Facts<'_>,
    mut hidden: BitShare,
    levels: &[Level],
    total: usize,
) -> Result<BitShare> {
    let categories: Vec<Vec<usize>> = levels.iter().flat_map(Level::categories).collect();
    let touched = shape::any_of(e, &hidden, &categories).await?;
    let problems: Vec<Problem> = levels.iter().map(|level| problem(facts, level)).collect();
    let most = levels.iter().map(|level| level.size).max().unwrap_or(0);
    let covered = cover(e, &touched, &problems, &facts.amounts, facts.bits(most)).await?;
    let empty = if facts.rules.zero_allowed { Some(empty_classes(e, facts, levels, &covered).await?) } else { None };

    let mut trouble = hidden.gather(&[total]);
    let (mut category, mut group) = (0, 0);
    for level in levels {
        let mine: Vec<usize> = (category..category + level.size).collect();
        let groups: Vec<usize> = (group..group + level.groups.len()).collect();
        (category, group) = (category + level.size, group + level.groups.len());
        let taken = shape::or(e, &covered.gather(&mine), &trouble.gather(&vec![0; level.size])).await?;
        let cells: Vec<usize> = level.groups.iter().flat_map(|g| g.cells.iter().copied()).collect();
        let mut bits = taken.gather(&(0..cells.len()).map(|i| i % level.size).collect::<Vec<_>>());
        if let Some(empty) = &empty {
            let shown = zeros_to_show(e, facts, &hidden, level, &trouble, &empty.gather(&groups)).await?;
            let kept = e.not(&shown.gather(&(0..cells.len()).map(|i| i / level.size).collect::<Vec<_>>()));
            bits = e.and(&bits, &kept).await?;
        }
        hidden = replace(&hidden, &cells, &bits);
        let here = shape::any_of(e, &touched, &[mine]).await?;
        trouble = shape::or(e, &trouble, &here).await?;
    }
    Ok(hidden)
}

fn problem(facts: &Facts<'_>, level: &Level) -> Problem {
    let combinations = level.groups.iter().filter(|g| g.combination);
    let mut rows: Vec<_> = combinations.flat_map(|g| facts.rows(&g.cells, facts.rules.zero_allowed)).collect();
    rows.push(facts.two_of(level.size));
    Problem { members: level.size, rows }
}

/// One bit for each group of each level: is M(α) = 0?
async fn empty_classes<E: Engine>(
    e: &mut E,
    facts: &Facts<'_>,
    levels: &[Level],
    covered: &BitShare,
) -> Result<BitShare> {
    let (mut choices, mut cells, mut first) = (Vec::new(), Vec::new(), 0);
    for level in levels {
        for group in &level.groups {
            choices.extend(first..first + level.size);
            cells.extend_from_slice(&group.cells);
        }
        first += level.size;
    }
    let inside = e.select(&covered.gather(&choices), &facts.amounts.gather(&cells)).await?;
    let (mut sums, mut at) = (Vec::new(), 0);
    for level in levels {
        let len = level.size * level.groups.len();
        sums.push(inside.slice(at..at + len).block_sums(level.size));
        at += len;
    }
    let sums = ArithShare::concat(&sums.iter().collect::<Vec<_>>());
    e.is_zero(&sums, facts.bits(0)).await
}

/// One bit for each group: do its cells show that they are 0? Under trouble when the margin is a shown 0, else when the
/// class is empty.
async fn zeros_to_show<E: Engine>(
    e: &mut E,
    facts: &Facts<'_>,
    hidden: &BitShare,
    level: &Level,
    trouble: &BitShare,
    empty: &BitShare,
) -> Result<BitShare> {
    let margins: Vec<usize> = level.groups.iter().map(|g| g.margin).collect();
    let shown = e.not(&hidden.gather(&margins));
    let shown_zero = e.and(&shown, &facts.zero.gather(&margins)).await?;
    let trouble = trouble.gather(&vec![0; margins.len()]);
    let change = e.and(&trouble, &shown_zero.xor(empty)).await?;
    Ok(empty.xor(&change))
}

impl Level {
    /// The cells of each category.
    fn categories(&self) -> Vec<Vec<usize>> {
        (0..self.size).map(|b| self.groups.iter().map(|g| g.cells[b]).collect()).collect()
    }
}

/// The levels of a cube, in the order of its dimensions; None when the sizes do not fit the cells.
fn levels(sizes: &[usize], cells: &[usize]) -> Option<Vec<Level>> {
    let count = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(size.checked_add(1)?))?;
    if count != cells.len() || sizes.iter().any(|size| *size < 2) {
        return None;
    }
    // With the later dimensions at "all".
    let cell = |coordinates: &[usize]| {
        let place = |at: usize, size: &usize| coordinates.get(at).copied().unwrap_or(*size);
        cells[sizes.iter().enumerate().fold(0, |index, (at, size)| index * (size + 1) + place(at, size))]
    };
    let level = |l: usize| {
        let groups = prefixes(&sizes[..l]).into_iter().map(|alpha| Group {
            margin: cell(&alpha),
            cells: (0..sizes[l]).map(|b| cell(&[alpha.as_slice(), &[b]].concat())).collect(),
            combination: alpha.iter().zip(sizes).all(|(at, size)| at < size),
        });
        Level { size: sizes[l], groups: groups.collect() }
    };
    Some((0..sizes.len()).map(level).collect())
}

/// All coordinates, each from 0 to its size; the size itself means "all".
fn prefixes(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![Vec::new()], |short, size| {
        let longer = |p: &Vec<usize>| (0..=*size).map(|c| [p.as_slice(), &[c]].concat()).collect::<Vec<_>>();
        short.iter().flat_map(longer).collect()
    })
}
