//! What follows from shown cells, found by search: an independent check of suppression.

use protocols::relational::suppress::{Rules, Table};

/// total = Σ parts
pub type Equation = (usize, Vec<usize>);

/// Every equation between cells, of a cube in every dimension.
pub fn equations(tables: &[Table]) -> Vec<Equation> {
    tables.iter().flat_map(of_table).collect()
}

fn of_table(table: &Table) -> Vec<Equation> {
    let (sizes, cells) = match table {
        Table::Sum { total, parts } => return vec![(*total, parts.clone())],
        Table::Cube { sizes, cells } => (sizes, cells),
    };
    let mut equations = Vec::new();
    for at in 0..cells.len() {
        let mut stride = 1;
        for size in sizes.iter().rev() {
            if at / stride % (size + 1) == *size {
                equations.push((cells[at], (1..=*size).map(|back| cells[at - back * stride]).collect()));
            }
            stride *= size + 1;
        }
    }
    equations
}

/// What everybody knows about the numbers.
pub struct Known<'a> {
    pub equations: Vec<Equation>,
    /// (a, b): a ≤ b
    pub pairs: &'a [(usize, usize)],
}

/// Cells between bounds, and what they must fulfil.
#[derive(Clone)]
struct Bounds {
    low: Vec<i64>,
    high: Vec<i64>,
}

/// Narrows bounds until nothing changes; false when nothing is left.
fn narrow(bounds: &mut Bounds, known: &Known<'_>) -> bool {
    if (0..bounds.low.len()).any(|cell| bounds.low[cell] > bounds.high[cell]) {
        return false;
    }
    loop {
        let mut changed = false;
        for (a, b) in known.pairs {
            let (low, high) = (bounds.low[*a], bounds.high[*b]);
            changed |= clamp(bounds, *a, 0, high) | clamp(bounds, *b, low, i64::MAX);
            if bounds.low[*a] > bounds.high[*a] || bounds.low[*b] > bounds.high[*b] {
                return false;
            }
        }
        for (total, parts) in &known.equations {
            let sum = |of: &Vec<i64>| parts.iter().map(|p| of[*p]).sum::<i64>();
            let (low, high) = (sum(&bounds.low), sum(&bounds.high));
            changed |= clamp(bounds, *total, low, high);
            let (low, high) = (sum(&bounds.low), sum(&bounds.high));
            for part in parts {
                let rest_low = low - bounds.low[*part];
                let rest_high = high - bounds.high[*part];
                let (at_least, at_most) = (bounds.low[*total] - rest_high, bounds.high[*total] - rest_low);
                // `low` and `high` are those before this sweep; being wider they stay right.
                changed |= clamp(bounds, *part, at_least, at_most);
            }
            if parts.iter().chain([total]).any(|cell| bounds.low[*cell] > bounds.high[*cell]) {
                return false;
            }
        }
        if !changed {
            return true;
        }
    }
}

fn clamp(bounds: &mut Bounds, cell: usize, low: i64, high: i64) -> bool {
    let before = (bounds.low[cell], bounds.high[cell]);
    bounds.low[cell] = before.0.max(low);
    bounds.high[cell] = before.1.min(high);
    before != (bounds.low[cell], bounds.high[cell])
}

/// Is there a table of numbers within these bounds? `near` is where to look first. None when the search became too
/// long.
fn feasible(mut bounds: Bounds, known: &Known<'_>, near: &[i64], budget: &mut usize) -> Option<bool> {
    if !narrow(&mut bounds, known) {
        return Some(false);
    }
    *budget = budget.checked_sub(1)?;
    let free = (0..bounds.low.len()).filter(|c| bounds.low[*c] < bounds.high[*c]);
    let Some(cell) = free.min_by_key(|c| bounds.high[*c] - bounds.low[*c]) else { return Some(true) };
    let mut values: Vec<i64> = (bounds.low[cell]..=bounds.high[cell]).collect();
    values.sort_by_key(|v| (v - near[cell]).abs());
    for value in values {
        let mut fixed = bounds.clone();
        (fixed.low[cell], fixed.high[cell]) = (value, value);
        if feasible(fixed, known, near, budget)? {
            return Some(true);
        }
    }
    Some(false)
}

/// A hidden cell and a value it cannot have, given what is shown. `counts` is the true table.
pub fn excluded(rules: &Rules, counts: &[u64], shown: &[bool], values: &[u64]) -> Option<(usize, u64)> {
    let hidden = (0..counts.len()).filter(|cell| !shown[*cell]);
    let mut asked = hidden.flat_map(|cell| values.iter().map(move |value| (cell, *value)));
    asked.find(|(cell, value)| is_excluded(rules, counts, shown, *cell, *value))
}

/// Is a cell, given what is shown, known not to have this value? The search begins near the true table.
pub fn is_excluded(rules: &Rules, counts: &[u64], shown: &[bool], cell: usize, value: u64) -> bool {
    let near: Vec<i64> = counts.iter().map(|n| *n as i64).collect();
    let most = 2 * near.iter().sum::<i64>() + 64;
    let known = |cell: usize, hidden: i64| if shown[cell] { near[cell] } else { hidden };
    let mut bounds = Bounds {
        low: (0..near.len()).map(|cell| known(cell, 0)).collect(),
        high: (0..near.len()).map(|cell| known(cell, most)).collect(),
    };
    clamp(&mut bounds, cell, value as i64, value as i64);
    let mut budget = 200_000;
    let facts = Known { equations: equations(&rules.tables), pairs: &rules.differences };
    !feasible(bounds, &facts, &near, &mut budget).expect("a small table is searched in time")
}
