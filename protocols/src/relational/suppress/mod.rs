//! Which cells of an answer may be shown, decided on shares before anything is opened: the small ones are hidden, and
//! others with them, so that what is shown does not tell a hidden one.
//!
//! # What is promised
//! Let k be the threshold. A shown count is at least k, or 0 if zero is allowed; so is every shown count without the
//! part of any one site that receives the answer (where zero is not allowed, a label would else tell such a site whether
//! the others have somebody), and every declared difference of two shown counts and what a total leaves beside its parts, with and without
//! that part (0 always allowed here). Hidden cells whose sum follows from shown ones hold at least k together, or nothing if zero is allowed.
//! And for every hidden cell and every v from 0 to k − 1 there is a table of counts ≥ 0 that agrees with all that is
//! shown, all [`Table`]s and all declared pairs, in which the hidden cell is v. The same holds for what the other sites
//! contribute, seen by a receiving site, except that where zero is allowed it may learn that the others contribute
//! nothing to some hidden cells. The proofs are in `sums.rs`, `cubes.rs` and `places.rs`; all rest on `cover.rs`. More is
//! hidden than need be: which cells is found by fixed rules in a public order, not by optimisation. There is one pass over
//! places, sums, cubes and light cells each, in public order, so the work is bounded by the rules' size.
//!
//! Not promised: that knowledge of this procedure tells nothing (which cells are hidden is itself shown), and anything
//! that needs more than the declared tables and pairs.

pub mod classes;
mod cover;
mod cubes;
mod places;
mod sums;

use mpc_core::error::LocalFault;
use mpc_core::{PowerOfTwo, Result, Z64};

use super::shape;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// The public rules of one answer. Cells are numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// k: counts from 1 to k − 1 are never shown. At least 1.
    pub threshold: u64,
    /// The same for what one cell has more than another, where that is more than [`Rules::threshold`]. Beside a 0 that may be shown it is a
    /// count as any other.
    pub between: u64,
    /// May a count of 0 be shown?
    pub zero_allowed: bool,
    /// Every count is below 2^`bound_bits`.
    pub bound_bits: usize,
    /// Pairs (a, b) where the patients of cell a are among those of cell b: b − a must be 0 or at least k (or
    /// [`Rules::between`]), else a is hidden. Everybody knows that a ≤ b. Where the totals of two sums and all their parts but the last are pairs, in
    /// the order of the parts, the last parts are taken as a pair too (the rows outside all groups).
    pub differences: Vec<(usize, usize)>,
    /// Cells that are never shown, whatever comes out: each is b in pairs and nothing else, so that knowing a ≤ b tells
    /// nothing.
    pub unseen: Vec<usize>,
    /// Those of the unseen cells that are another cell's count and its patients together: where they are equal nobody is behind a cell, which is
    /// allowed only of a cell that is 0.
    pub peopled: Vec<usize>,
    /// Cells that are what a total leaves beside parts: as a difference of two counts they may be 0.
    pub rests: Vec<usize>,
    /// How cells add up.
    pub tables: Vec<Table>,
}

/// Cells that add up to others, as everybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// One cell is the sum of others. A cell may be the total of several sums (and of none), but a part of one only:
    /// nested totals, as of ROLLUP. It is not in a cube.
    Sum {
        /// The sum.
        total: usize,
        /// Its summands, at least one.
        parts: Vec<usize>,
    },
    /// All margins of a table of several dimensions, as of CUBE; the first dimension is the last to lose its margin.
    Cube {
        /// Categories of each dimension, at least 2.
        sizes: Vec<usize>,
        /// The cells, row by row: each dimension has its categories and then "all". Every cell of the cube has a count,
        /// also those the caller does not show. In no other table.
        cells: Vec<usize>,
    },
}

/// One bit for each cell: may it be shown? `counts` holds each cell's count, `without` for each site that receives the
/// answer the counts without that site's part (see [`without_each`]).
///
/// c cells, v = 1 + receiving sites, d differences: `negative` and `is_zero` of v·(c + d) in bound_bits + 1, an OR
/// tree, one over the cells of each place and one over those around each light cell (`places.rs`), with one AND; for
/// each level of nested sums two ORs and one cover (a row for each column and view), for each cube of D dimensions one
/// cover and O(D) ANDs (and with zero allowed one more `select` and `is_zero` of the cube's cells). A cover of members m
/// and rows r is one `select` of r·m, `negative` [and `is_zero`] of r·m and ⌈log2 m⌉ + ⌈log2 r⌉ + 3 ANDs deep. Nothing is
/// opened.
///
/// # Source
/// The interval rule is the usual one for complementary suppression (Hundepool et al., Statistical Disclosure Control,
/// 2012, ch. 4 and 5); deciding it on shares, by covers and levels, is ours.
/// # Errors
/// `Local(Lengths)` when a column has not one count for each cell; `Local(Other)` when the rules are not as their types
/// say; as the engine's operations.
pub async fn visible<E: Engine>(
    e: &mut E,
    rules: &Rules,
    counts: &ArithShare<Z64>,
    without: &[ArithShare<Z64>],
) -> Result<BitShare> {
    decide(e, rules, None, counts, without).await
}

/// Cells that are hidden for a reason that the rules do not know; with each of them all cells that it is declared to be within.
pub struct Also {
    /// Bits that are 1 where something is to be hidden.
    pub bits: BitShare,
    /// For each cell, which bit hides it, if any does.
    pub of: Vec<Option<usize>>,
    /// Hidden cells whose sum follows from shown ones hold at least so many together, if this is more than the threshold;
    /// unless they are all there are of a shown total.
    pub together: u64,
}

impl Also {
    /// One bit for each cell.
    fn of_cells(&self) -> BitShare {
        let (bits, none) = (shape::beneath(&[&self.bits, &BitShare::zeros(1, 1)]), self.bits.rows());
        bits.gather(&self.of.iter().map(|bit| bit.unwrap_or(none)).collect::<Vec<_>>())
    }
}

/// [`visible`], with cells that are hidden in any case. All that is promised of a hidden cell holds of them. Two ANDs for each
/// cell more.
///
/// # Errors
/// As [`visible`]; `Local(Lengths)` when it is not said of each cell which bit hides it; `Local(Other)` for rules with a cube, whose
/// zeros are shown by rules of their own.
pub async fn visible_but<E: Engine>(
    e: &mut E,
    rules: &Rules,
    also: &Also,
    counts: &ArithShare<Z64>,
    without: &[ArithShare<Z64>],
) -> Result<BitShare> {
    e.same_length(counts.len(), also.of.len())?;
    if rules.tables.iter().any(|table| matches!(table, Table::Cube { .. })) {
        return Err(e.fault(LocalFault::Other("cells of a cube are hidden by its own rules only".into())));
    }
    decide(e, rules, Some(also), counts, without).await
}

async fn decide<E: Engine>(
    e: &mut E,
    rules: &Rules,
    also: Option<&Also>,
    counts: &ArithShare<Z64>,
    without: &[ArithShare<Z64>],
) -> Result<BitShare> {
    without.iter().try_for_each(|view| e.same_length(counts.len(), view.len()))?;
    check(rules, counts.len()).map_err(|why| e.fault(LocalFault::Other(why.into())))?;
    let pairs = places::pairs(rules);
    let places = places::places(rules, &pairs, counts.len());
    let (primary, zero) = primary(e, rules, &pairs, (counts, without)).await?;
    let also_bits = also.map(|also| also.of_cells());
    let hidden = or_also(e, primary, also_bits.as_ref()).await?;
    let together = rules.threshold.max(also.map_or(0, |also| also.together));
    let one = shape::public(e, &[1])?;
    let views: Vec<&ArithShare<Z64>> = std::iter::once(counts).chain(without).chain([&one]).collect();
    let (cells, amounts) = (counts.len(), ArithShare::concat(&views));
    let facts = Facts { rules, together, cells, views: 1 + without.len(), amounts, zero };
    let hidden = sums::protect(e, &facts, &places, hidden).await?;
    let hidden = cubes::protect(e, &facts, &places, hidden).await?;
    let hidden = places::hide_light(e, &facts, &places, hidden).await?;
    // A light 0 that would be shown stays hidden where there is another reason.
    let hidden = or_also(e, hidden, also_bits.as_ref()).await?;
    Ok(e.not(&hidden))
}

async fn or_also<E: Engine>(e: &mut E, hidden: BitShare, also: Option<&BitShare>) -> Result<BitShare> {
    match also {
        Some(also) => shape::or(e, &hidden, also).await,
        None => Ok(hidden),
    }
}

/// Hides values: zero where the cell is not shown. `per_cell` values for each cell, one after the other. One `select`.
///
/// # Errors
/// `Local(Lengths)` when there are not `per_cell` values for each cell; as the engine's operations.
pub async fn mask<E: Engine, R: PowerOfTwo>(
    e: &mut E,
    shown: &BitShare,
    values: &ArithShare<R>,
    per_cell: usize,
) -> Result<ArithShare<R>> {
    e.same_length(values.len(), shown.rows() * per_cell)?;
    let choices: Vec<usize> = (0..values.len()).map(|i| i / per_cell).collect();
    e.select(&shown.gather(&choices), values).await
}

/// The counts without each site's part, for all `sites`: `own` is this party's part, `me` its number. No message.
pub fn without_each<E: Engine>(e: &mut E, own: &[Z64], me: usize, sites: usize) -> Vec<ArithShare<Z64>> {
    let part = |site: usize| if site == me { vec![Z64(0); own.len()] } else { own.to_vec() };
    (0..sites).map(|site| e.input(part(site))).collect()
}

/// What the complementary rules look at.
struct Facts<'a> {
    rules: &'a Rules,
    /// What hidden cells hold together, at least the threshold.
    together: u64,
    cells: usize,
    views: usize,
    /// Every view's counts one after the other, then a 1.
    amounts: ArithShare<Z64>,
    /// One bit for each cell: is its count 0?
    zero: BitShare,
}

impl Facts<'_> {
    /// What a set of hidden cells must hold together: in the joint counts and in each view, at least k, so that each of
    /// them can have 0 to k − 1 and they are not small together. `cells` is one cell for each member.
    fn rows(&self, cells: &[usize], zero_is_enough: bool) -> Vec<cover::Row> {
        let row = |view: usize| cover::Row {
            amounts: cells.iter().map(|cell| view * self.cells + cell).collect(),
            least: self.together,
            zero_is_enough: zero_is_enough || view > 0 && self.rules.zero_allowed,
        };
        (0..self.views).map(row).collect()
    }

    /// At least two members.
    fn two_of(&self, members: usize) -> cover::Row {
        cover::Row { amounts: vec![self.amounts.len() - 1; members], least: 2, zero_is_enough: false }
    }

    /// Width of a comparison of counts, or of up to `members`, with a threshold.
    fn bits(&self, members: usize) -> usize {
        let bits_of = |x: u64| 64 - x.leading_zeros() as usize;
        self.rules.bound_bits.max(bits_of(self.together)).max(bits_of(members as u64)).max(2) + 1
    }
}

/// The cells that are hidden for their own sake, and which counts are 0.
async fn primary<E: Engine>(
    e: &mut E,
    rules: &Rules,
    pairs: &[(usize, usize)],
    (counts, without): (&ArithShare<Z64>, &[ArithShare<Z64>]),
) -> Result<(BitShare, BitShare)> {
    let cells = counts.len();
    let inside: Vec<usize> = pairs.iter().map(|pair| pair.0).collect();
    let around: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
    let mut tests = Vec::new();
    // Which cell a failed test hides.
    let mut about: Vec<usize> = Vec::new();
    for view in std::iter::once(counts).chain(without) {
        let difference = e.sub(&view.gather(&around), &view.gather(&inside))?;
        tests.push(ArithShare::concat(&[view, &difference]));
        about.extend((0..cells).chain(inside.iter().copied()));
    }
    let tests = ArithShare::concat(&tests.iter().collect::<Vec<_>>());
    let between = rules.threshold.max(rules.between);
    let threshold_bits = 64 - between.leading_zeros() as usize;
    let bits = rules.bound_bits.max(threshold_bits) + 1;
    // The patients behind a cell are no difference of two.
    let least_of = |pair: &(usize, usize)| if rules.peopled.contains(&pair.1) { rules.threshold } else { between };
    let of_view: Vec<u64> = std::iter::repeat_n(rules.threshold, cells).chain(pairs.iter().map(least_of)).collect();
    let least: Vec<Z64> = (0..tests.len()).map(|test| Z64(of_view[test % of_view.len()])).collect();
    let small = e.less_than_public(&tests, &least, bits).await?;
    let zero = e.is_zero(&tests, bits).await?;
    let of_cells: Vec<usize> = (0..cells).collect();
    let zero_of_cells = zero.gather(&of_cells);
    // A zero is small: taking it away where it is allowed needs no AND.
    let per_view = cells + pairs.len();
    let is_count = |test: &usize| test % per_view.max(1) < cells;
    let is_rest = |test: &usize| rules.rests.contains(&(test % per_view.max(1)));
    let may_be_zero = |test: &usize| rules.zero_allowed || !is_count(test) || is_rest(test);
    let forgiving: Vec<usize> = (0..tests.len()).filter(may_be_zero).collect();
    // Whose rows are not there has no patients: then that test is small, too.
    let by = |test: &usize| match pairs.get((test % per_view).wrapping_sub(cells)) {
        Some((inside, around)) if rules.peopled.contains(around) => test / per_view * per_view + inside,
        _ => *test,
    };
    let forgiven = zero.gather(&forgiving.iter().map(by).collect::<Vec<_>>());
    let forgiven = replace(&BitShare::zeros(tests.len(), 1), &forgiving, &forgiven);
    let failed = small.xor(&forgiven);
    let mut lists = vec![Vec::new(); cells];
    about.iter().enumerate().for_each(|(test, cell)| lists[*cell].push(test));
    Ok((shape::any_of(e, &failed, &lists).await?, zero_of_cells))
}

fn check(rules: &Rules, cells: usize) -> std::result::Result<(), &'static str> {
    let sums = rules.tables.iter().filter_map(|table| match table {
        Table::Sum { total, parts } => Some(parts.iter().chain([total])),
        Table::Cube { .. } => None,
    });
    let cubes = rules.tables.iter().filter_map(|table| match table {
        Table::Cube { cells, .. } => Some(cells.iter()),
        Table::Sum { .. } => None,
    });
    let pairs = rules.differences.iter().flat_map(|pair| [pair.0, pair.1]);
    let in_sums: Vec<usize> = sums.flatten().copied().collect();
    let in_cubes: Vec<usize> = cubes.flatten().copied().collect();
    if in_sums.iter().chain(&in_cubes).copied().chain(pairs).any(|cell| cell >= cells) {
        return Err("a rule names a cell that does not exist");
    }
    let mut once = vec![false; cells];
    in_sums.iter().for_each(|cell| once[*cell] = true);
    if in_cubes.iter().any(|cell| std::mem::replace(&mut once[*cell], true)) {
        return Err("a cell of a cube is in another table");
    }
    let sums: Vec<(usize, &[usize])> = places::sums(rules).collect();
    if !sums::nested(&sums, cells) {
        return Err("a cell is a part of two sums, or of itself, or a sum is empty");
    }
    let bound = |cell: &usize| once.get(*cell) != Some(&false) || rules.differences.iter().any(|pair| pair.0 == *cell);
    if rules.peopled.iter().any(|cell| !rules.unseen.contains(cell)) {
        return Err("a cell's patients are shown");
    }
    if rules.unseen.iter().any(bound) {
        return Err("a cell that is never shown is in a table, or within another cell");
    }
    if rules.threshold == 0 || rules.bound_bits >= 63 || (rules.threshold | rules.between) >> 62 != 0 {
        return Err("a threshold is 1 to 2^62, a count has fewer than 63 bits");
    }
    Ok(())
}

/// The same bits but for some cells. No message.
fn replace(bits: &BitShare, cells: &[usize], new: &BitShare) -> BitShare {
    let mut places: Vec<usize> = (0..bits.rows()).collect();
    cells.iter().enumerate().for_each(|(at, cell)| places[*cell] = bits.rows() + at);
    shape::beneath(&[bits, new]).gather(&places)
}
