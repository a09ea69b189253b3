//! Which cells are hidden together. All of this is public: it follows from the rules alone.
//!
//! That a ≤ b is known for a declared pair (a, b). If b is hidden and a shown, b is at least a; if a is hidden and b
//! shown, a is at most b, and what adds up with a is at least something. So both cells of a pair have one *place*, and a
//! place is shown or hidden as a whole: the sums of COUNT(x) and of COUNT(*) over the same groups become one sum of
//! places with two *columns*. Cells go their own way only where no harm follows:
//!
//! - A pair that follows from the sums and other pairs (a part and its total; a, b and what b is a part of) binds
//!   nothing more.
//! - A *light* cell is in no table, nor is any cell declared to be within it. It is hidden if a cell it is within is
//!   hidden, but does not hide that cell. A light 0 is shown where zero may be: it bounds nothing.
//!
//! **Clean** components of tables and pairs are those where (1) each place is a part of one sum of places only, and these
//! are nested; (2) two columns of a sum have the same order at all its parts; (3) places above one light cell lie on one
//! way up; (4) no cube is bound by a pair. Everything else has a single place: it is shown whole or hidden whole.
//!
//! **Therefore** the proof of `sums.rs` holds with "x" read as "x_c in each column c, with x_a ≤ x_b for a pair". The
//! cell h and what is on its way up and on one way down has v in all columns, the other parts 0: equal numbers keep
//! pairs. Where another hidden part gets R_c − v, R_a ≤ R_b since the true counts keep the pairs of all parts, by (2);
//! cells of that place outside the sum get the largest of what is within them. Hidden light cells are 0. A light h
//! itself is v, with the cells it is within: by (3) they can be v together, or are shown and at least k (not 0, since h
//! is not 0 or 0 is never shown). In a component hidden whole, take v patients of one and the same kind, who are in h:
//! every table and pair agrees with them as far as the rules leave room for somebody in h at all. ∎

use std::collections::{BTreeMap, BTreeSet};

use mpc_core::Result;

use super::super::shape;
use super::{Facts, Rules, Table};
use crate::engine::Engine;
use crate::share::BitShare;

/// A sum of places, and the cells of its columns: total and parts.
pub struct Sum {
    pub total: usize,
    pub parts: Vec<usize>,
    pub columns: Vec<(usize, Vec<usize>)>,
}

/// The places of all cells.
pub struct Places {
    /// For each place its cells; none where it became one with another.
    pub cells: Vec<Vec<usize>>,
    /// For each cell its place.
    pub of: Vec<usize>,
    pub sums: Vec<Sum>,
    /// Cubes that are protected as such, positions in the rules' tables.
    pub cubes: Vec<usize>,
    /// For each light cell all cells it is within.
    light: Vec<(usize, Vec<usize>)>,
}

/// The declared pairs and those that come with them: where the totals of two sums and all their parts but the last are
/// pairs, the last parts are one too.
pub fn pairs(rules: &Rules) -> Vec<(usize, usize)> {
    let mut known: BTreeSet<(usize, usize)> = rules.differences.iter().copied().collect();
    let by_total: BTreeMap<usize, Vec<&[usize]>> = sums(rules).fold(BTreeMap::new(), |mut map, (total, parts)| {
        map.entry(total).or_insert_with(Vec::new).push(parts);
        map
    });
    let mut pairs = rules.differences.clone();
    for (a, b) in &rules.differences {
        let sums_of = |total: &usize| by_total.get(total).into_iter().flatten();
        for (inside, around) in sums_of(a).flat_map(|x| sums_of(b).map(move |y| (x, y))) {
            let (Some((last_a, first_a)), Some((last_b, first_b))) = (inside.split_last(), around.split_last()) else {
                continue;
            };
            let paired = first_a.iter().zip(first_b.iter()).all(|(a, b)| known.contains(&(*a, *b)));
            if paired && !first_a.is_empty() && first_a.len() == first_b.len() && known.insert((*last_a, *last_b)) {
                pairs.push((*last_a, *last_b));
            }
        }
    }
    pairs
}

/// The rules' sums: total and parts.
pub fn sums(rules: &Rules) -> impl Iterator<Item = (usize, &[usize])> {
    rules.tables.iter().filter_map(|table| match table {
        Table::Sum { total, parts } => Some((*total, parts.as_slice())),
        Table::Cube { .. } => None,
    })
}

/// Finds the places. The sums of the rules must be nested.
pub fn places(rules: &Rules, pairs: &[(usize, usize)], cells: usize) -> Places {
    let unseen: BTreeSet<usize> = rules.unseen.iter().copied().collect();
    let pairs: Vec<(usize, usize)> = pairs.iter().copied().filter(|pair| !unseen.contains(&pair.1)).collect();
    let around = Around::new(rules, &pairs, cells);
    let is_light = light(rules, &pairs, cells);
    let heavy: Vec<(usize, usize)> =
        pairs.iter().copied().filter(|(a, b)| !is_light[*a] && !is_light[*b] && !around.follows(*a, *b)).collect();
    let mut together = Union::new(cells);
    heavy.iter().for_each(|(a, b)| together.join(*a, *b));
    let mut component = together.clone();
    for table in &rules.tables {
        let (Table::Sum { parts: of, .. } | Table::Cube { cells: of, .. }) = table;
        of.windows(2).for_each(|two| component.join(two[0], two[1]));
        if let (Table::Sum { total, .. }, Some(part)) = (table, of.first()) {
            component.join(*total, *part);
        }
    }
    let light: Vec<(usize, Vec<usize>)> = (0..cells)
        .filter(|cell| is_light[*cell])
        .map(|cell| (cell, around.pairs[cell].iter().copied().filter(|b| *b != cell).collect()))
        .collect();
    let unclean = unclean(rules, &heavy, &light, &is_light, &around, (&together, &component));
    for cell in (0..cells).filter(|cell| unclean.contains(&component.root(*cell))) {
        together.join(component.root(cell), cell);
    }
    finish(rules, light, cells, &together, |cell| unclean.contains(&component.root(cell)))
}

fn finish(
    rules: &Rules,
    light: Vec<(usize, Vec<usize>)>,
    cells: usize,
    together: &Union,
    single: impl Fn(usize) -> bool,
) -> Places {
    let mut by_parts: BTreeMap<Vec<usize>, Sum> = BTreeMap::new();
    for (total, parts) in sums(rules).filter(|(total, _)| !single(*total)) {
        let key = together.places(parts);
        let none = Sum { total: together.root(total), parts: key.clone(), columns: Vec::new() };
        by_parts.entry(key).or_insert(none).columns.push((total, parts.to_vec()));
    }
    let whole =
        |table: &Table| matches!(table, Table::Cube { cells, .. } if cells.first().is_none_or(|cell| !single(*cell)));
    let mut members = vec![Vec::new(); cells];
    (0..cells).for_each(|cell| members[together.root(cell)].push(cell));
    Places {
        of: (0..cells).map(|cell| together.root(cell)).collect(),
        cells: members,
        sums: by_parts.into_values().collect(),
        cubes: (0..rules.tables.len()).filter(|at| whole(&rules.tables[*at])).collect(),
        light,
    }
}

/// Hides light cells within hidden ones, and shows a light 0 where that is allowed.
pub async fn hide_light<E: Engine>(
    e: &mut E,
    facts: &Facts<'_>,
    places: &Places,
    hidden: BitShare,
) -> Result<BitShare> {
    let cells: Vec<usize> = places.light.iter().map(|(cell, _)| *cell).collect();
    let lists: Vec<Vec<usize>> =
        places.light.iter().map(|(cell, around)| [around.as_slice(), &[*cell]].concat()).collect();
    let mut bits = shape::any_of(e, &hidden, &lists).await?;
    if facts.rules.zero_allowed {
        let some = e.not(&facts.zero.gather(&cells));
        bits = e.and(&bits, &some).await?;
    }
    Ok(super::replace(&hidden, &cells, &bits))
}

/// In no table, and nothing but light cells is within it.
fn light(rules: &Rules, pairs: &[(usize, usize)], cells: usize) -> Vec<bool> {
    let mut light = vec![true; cells];
    for table in &rules.tables {
        let (Table::Sum { parts: of, .. } | Table::Cube { cells: of, .. }) = table;
        of.iter().for_each(|cell| light[*cell] = false);
        if let Table::Sum { total, .. } = table {
            light[*total] = false;
        }
    }
    while let Some((_, b)) = pairs.iter().find(|(a, b)| !light[*a] && light[*b]) {
        light[*b] = false;
    }
    light
}

/// What a cell is within.
struct Around {
    /// By pairs, and pairs of pairs.
    pairs: Vec<BTreeSet<usize>>,
    /// By declared pairs alone.
    declared: Vec<Vec<usize>>,
    /// By tables.
    tables: Vec<BTreeSet<usize>>,
}

impl Around {
    fn new(rules: &Rules, pairs: &[(usize, usize)], cells: usize) -> Self {
        let mut declared = vec![Vec::new(); cells];
        pairs.iter().for_each(|(a, b)| declared[*a].push(*b));
        let mut up = vec![Vec::new(); cells];
        for table in &rules.tables {
            match table {
                Table::Sum { total, parts } => parts.iter().for_each(|part| up[*part].push(*total)),
                Table::Cube { sizes, cells } => margins(sizes, cells).for_each(|(cell, margin)| up[cell].push(margin)),
            }
        }
        let tables = (0..cells).map(|cell| reached(&up, cell)).collect();
        Self { pairs: (0..cells).map(|cell| reached(&declared, cell)).collect(), declared, tables }
    }

    /// Does a ≤ b follow from the tables, or from them and another pair (a, c)?
    fn follows(&self, a: usize, b: usize) -> bool {
        self.tables[a].contains(&b) || self.declared[a].iter().any(|c| self.tables[*c].contains(&b))
    }
}

/// Each cell of a cube with each of its margins that is one dimension shorter.
fn margins<'a>(sizes: &'a [usize], cells: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let strides = sizes.iter().rev().scan(1usize, |stride, size| {
        let this = *stride;
        *stride = stride.saturating_mul(size.saturating_add(1));
        Some((this, *size))
    });
    let strides: Vec<(usize, usize)> = strides.collect();
    (0..cells.len()).flat_map(move |at| {
        let of_one = move |(stride, size): (usize, usize)| {
            let place = at / stride % (size + 1);
            let margin = cells.get(at + (size - place) * stride)?;
            (place < size).then_some((cells[at], *margin))
        };
        strides.clone().into_iter().filter_map(of_one)
    })
}

/// All that is reached from a cell by at least one step.
fn reached(steps: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = steps[from].clone();
    while let Some(cell) = open.pop() {
        if found.insert(cell) {
            open.extend_from_slice(&steps[cell]);
        }
    }
    found
}

/// The components that are not clean, by their roots.
fn unclean(
    rules: &Rules,
    heavy: &[(usize, usize)],
    light: &[(usize, Vec<usize>)],
    is_light: &[bool],
    around: &Around,
    (together, component): (&Union, &Union),
) -> BTreeSet<usize> {
    let mut unclean = BTreeSet::new();
    // (1) and (2)
    let mut part_of: BTreeMap<usize, (usize, &[usize])> = BTreeMap::new();
    for (total, parts) in sums(rules) {
        let places = together.places(parts);
        let distinct: BTreeSet<usize> = places.iter().copied().collect();
        let same_sum = |first: &(usize, &[usize])| {
            together.root(first.0) == together.root(total) && together.places(first.1) == places
        };
        let fits = places.iter().all(|place| same_sum(part_of.entry(*place).or_insert((total, parts))));
        let columns = sums(rules).filter(|other| same_sum(other));
        if distinct.len() < places.len() || !fits || columns.into_iter().any(|c| !same_order(around, parts, c.1)) {
            unclean.insert(component.root(total));
        }
    }
    let mut up = vec![Vec::new(); together.0.len()];
    for (total, parts) in sums(rules) {
        parts.iter().for_each(|part| up[together.root(*part)].push(together.root(total)));
    }
    let above: BTreeMap<usize, BTreeSet<usize>> = part_of.keys().map(|place| (*place, reached(&up, *place))).collect();
    unclean
        .extend(above.iter().filter(|(place, above)| above.contains(place)).map(|(place, _)| component.root(*place)));
    // (3)
    let on_one_way = |a: usize, b: usize| a == b || above.get(&a).is_some_and(|above| above.contains(&b));
    for (_, cells) in light {
        let places: Vec<usize> = cells.iter().filter(|c| !is_light[**c]).map(|c| together.root(*c)).collect();
        for (a, b) in places.iter().flat_map(|a| places.iter().map(move |b| (*a, *b))) {
            if component.root(a) == component.root(b) && !on_one_way(a, b) && !on_one_way(b, a) {
                unclean.insert(component.root(a));
            }
        }
    }
    // (4)
    for table in &rules.tables {
        let Table::Cube { cells, .. } = table else { continue };
        let cells: BTreeSet<usize> = cells.iter().copied().collect();
        let bound = heavy.iter().find(|(a, b)| cells.contains(a) || cells.contains(b));
        unclean.extend(bound.map(|(a, _)| component.root(*a)));
    }
    unclean
}

/// Have two columns the same order at all parts?
fn same_order(around: &Around, one: &[usize], other: &[usize]) -> bool {
    let mut orders = one.iter().zip(other).map(|(a, b)| (around.pairs[*a].contains(b), around.pairs[*b].contains(a)));
    let first = orders.next();
    orders.all(|order| Some(order) == first)
}

/// Sets that grow together; a set is named by its smallest member.
#[derive(Clone)]
struct Union(Vec<usize>);

impl Union {
    fn new(members: usize) -> Self {
        Self((0..members).collect())
    }

    fn root(&self, mut member: usize) -> usize {
        while self.0[member] != member {
            member = self.0[member];
        }
        member
    }

    fn places(&self, members: &[usize]) -> Vec<usize> {
        members.iter().map(|member| self.root(*member)).collect()
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
