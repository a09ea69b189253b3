//! The cells of a question that may be too small to show, and everything public that binds them: what the joint
//! computation needs to choose which ones to hide.

use std::collections::HashMap;

use crate::plan::{Exclusive, JointPlan, Margin, SecureSum, Slot, Summand};
use crate::value::Value;

/// A number of rows behind something that may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Position in `joint.sums`.
    pub sum: usize,
    /// Position in the sum's `slots`.
    pub slot: usize,
    /// Position among the sum's groups.
    pub group: usize,
}

/// total = Σ parts, plus a number of rows that nothing shows if there is a rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equation {
    /// Position in [`CellTable::cells`].
    pub total: usize,
    /// Positions in [`CellTable::cells`].
    pub parts: Vec<usize>,
    /// May there be rows that are in no part?
    pub rest: bool,
    /// May the parts add up to more than the total? Then nothing follows from what they leave over.
    pub overlap: bool,
}

/// All cells of a question in their public order: by sum, slot and group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CellTable {
    /// The cells.
    pub cells: Vec<Cell>,
    /// Pairs (a, b) of positions in `cells`, the rows of a among those of b: a is hidden when b − a is 1 to k − 1.
    pub differences: Vec<(usize, usize)>,
    /// Pairs of positions whose rows may or may not be among each other's: the smaller one is hidden when they differ
    /// by 1 to k − 1. None where it is counted who is between them, but in tables with totals.
    pub apart: Vec<(usize, usize)>,
    /// Pairs (part, total) of positions in two sums that are both seen: the part is hidden where 1 to k − 1 of the patients behind the total are
    /// not behind the part, whatever rows they have.
    pub among: Vec<(usize, usize)>,
    /// Linear relations, totals before what they are parts of.
    pub equations: Vec<Equation>,
    first: Vec<usize>,
}

impl CellTable {
    /// The cells of a plan whose groups are known. `groups[sum]` holds key tuples. Empty where nothing is hidden.
    pub fn new(plan: &JointPlan, groups: &[Vec<Vec<Value>>]) -> CellTable {
        let mut table = CellTable::default();
        for (index, (sum, groups)) in plan.sums.iter().zip(groups).enumerate() {
            table.first.push(table.cells.len());
            for slot in &sum.cells {
                table.cells.extend((0..groups.len()).map(|group| Cell { sum: index, slot: *slot, group }));
            }
        }
        for (index, (sum, groups)) in plan.sums.iter().zip(groups).enumerate() {
            let in_margin =
                |margin: &Margin| margin.total == index || margin.details.iter().any(|part| part.sum == index);
            let shown = Shown::of(sum, plan.margins.iter().any(in_margin));
            for group in 0..groups.len() {
                table.within((index, sum), (group, groups.len()), &shown);
            }
        }
        for margin in &plan.margins {
            table.across(plan, margin, groups);
        }
        table
    }

    /// The position of a cell; none when that slot is no cell.
    pub fn position(&self, sum: &SecureSum, index: usize, slot: usize, group: usize, groups: usize) -> Option<usize> {
        let at = sum.cells.iter().position(|cell| *cell == slot)?;
        Some(self.first[index] + at * groups + group)
    }

    /// What binds the cells of one group that somebody sees: one choice of its rows may be another's but for a few rows.
    fn within(&mut self, (index, sum): (usize, &SecureSum), (group, groups): (usize, usize), shown: &Shown) {
        let at = |position: usize| self.first[index] + position * groups + group;
        let bound = |a: usize, b: usize| shown.both(a, b) && sum.are_related(a, b) && !sum.are_apart(a, b);
        let (mut differences, mut apart) = (Vec::new(), Vec::new());
        for (b, of) in sum.cells.iter().enumerate() {
            for (a, part) in sum.cells.iter().enumerate().filter(|(a, part)| *a != b && bound(**part, *of)) {
                let (part, of) = (&sum.slots[*part], &sum.slots[*of]);
                if !is_alike(part, of, sum) {
                    continue;
                }
                if is_within(part, of, sum) {
                    differences.push((at(a), at(b)));
                } else if a < b && !is_within(of, part, sum) && (shown.in_margin || sum.between.is_empty()) {
                    apart.push((at(a), at(b)));
                }
            }
        }
        let position = |slot: &usize| sum.cells.iter().position(|cell| cell == slot);
        // What is left beside parts tells nothing where nobody sees the total.
        let rows = sum.cells.first().filter(|cell| shown.both(**cell, **cell)).map(|_| 0);
        let equation = |set: &Exclusive| {
            let total = set.total.as_ref().map_or(rows, position)?;
            let parts = set.cells.iter().filter_map(position).map(at).collect();
            Some(Equation { total: at(total), parts, rest: true, overlap: set.overlap })
        };
        let disjoint: Vec<Equation> = sum.disjoint.iter().filter(|set| set.parts).filter_map(equation).collect();
        self.differences.extend(differences);
        self.apart.extend(apart);
        self.equations.extend(disjoint);
    }

    /// The equations of a margin.
    fn across(&mut self, plan: &JointPlan, margin: &Margin, groups: &[Vec<Vec<Value>>]) {
        let (whole, totals) = (&plan.sums[margin.total], &groups[margin.total]);
        let by_key: HashMap<&[Value], usize> = totals.iter().enumerate().map(|(i, key)| (key.as_slice(), i)).collect();
        for slots in &margin.slots {
            let mut parts: Vec<Vec<usize>> = vec![Vec::new(); totals.len()];
            for (detail, slot) in margin.details.iter().zip(&slots[1..]) {
                let own = &groups[detail.sum];
                let told = tells_patients(plan, (margin.total, slots[0]), (detail.sum, *slot));
                for (group, key) in own.iter().enumerate() {
                    let key: Vec<Value> = detail.keys.iter().map(|i| key[*i].clone()).collect();
                    let cell = self.position(&plan.sums[detail.sum], detail.sum, *slot, group, own.len());
                    let Some((total, cell)) = by_key.get(key.as_slice()).copied().zip(cell) else { continue };
                    parts[total].push(cell);
                    let whole = self.position(whole, margin.total, slots[0], total, totals.len()).filter(|_| told);
                    self.among.extend(whole.map(|whole| (cell, whole)));
                }
            }
            for (group, parts) in parts.into_iter().enumerate() {
                if let Some(total) = self.position(whole, margin.total, slots[0], group, totals.len()) {
                    self.equations.push(Equation { total, parts, rest: margin.rest, overlap: false });
                }
            }
        }
    }
}

/// Are both a total's count and a part's seen, and the patients behind them counted? With noise nobody's patients are.
fn tells_patients(plan: &JointPlan, total: (usize, usize), part: (usize, usize)) -> bool {
    let is_seen = |(sum, slot): (usize, usize)| gates(&plan.sums[sum])[slot].is_some();
    let counted = |(sum, _): (usize, usize)| !plan.sums[sum].patients.is_empty();
    plan.noise.is_none() && [total, part].into_iter().all(|cell| is_seen(cell) && counted(cell))
}

/// The slots of a sum that somebody sees, or learns something of by what they add up to or by their order.
struct Shown {
    slots: Vec<bool>,
    /// Also what no figure shows, which is in no pair that patients are counted between.
    in_margin: bool,
}

impl Shown {
    fn of(sum: &SecureSum, in_margin: bool) -> Self {
        let is_ordered = |slot: usize| sum.top.as_ref().is_some_and(|top| top.slot == slot);
        let gates = gates(sum);
        let is_seen = |(slot, gate): (usize, &Option<Vec<usize>>)| in_margin || gate.is_some() || is_ordered(slot);
        Self { slots: gates.iter().enumerate().map(is_seen).collect(), in_margin }
    }

    fn both(&self, a: usize, b: usize) -> bool {
        self.slots[a] && self.slots[b]
    }
}

/// Do both count rows, or both patients? A number of rows less a number of patients counts nobody.
pub(crate) fn is_alike(a: &Slot, b: &Slot, sum: &SecureSum) -> bool {
    let counts_patients = |slot: &Slot| match (slot.what, &sum.matching) {
        (Summand::Patients(node), Some(matching)) => matching.nodes[node].bits == 1,
        _ => false,
    };
    counts_patients(a) == counts_patients(b)
}

/// Is everything that `part` counts provably counted by `of`?
fn is_within(part: &Slot, of: &Slot, sum: &SecureSum) -> bool {
    let filter = of.filter.is_none() || of.filter == part.filter;
    let what = match (part.what, of.what) {
        (_, Summand::Rows) => true,
        (Summand::Patients(a), Summand::Patients(b)) => {
            a == b || sum.matching.as_ref().is_some_and(|matching| matching.implies(a, b))
        }
        // A sum that is a cell adds ones over the rows where its column is not NULL.
        (Summand::Value(a) | Summand::NotNull(a), Summand::NotNull(b)) => a == b,
        (Summand::BothNotNull(a, b), Summand::NotNull(c)) => a == c || b == c,
        (a, b) => a == b,
    };
    filter && what
}

/// The cells that must be shown for a slot to be opened in a group, or none when nothing that is shown needs the slot.
pub fn gates(sum: &SecureSum) -> Vec<Option<Vec<usize>>> {
    let mut gates: Vec<Option<Vec<usize>>> = vec![None; sum.slots.len()];
    for output in &sum.outputs {
        let cells = output.cells(sum);
        let supports = cells.iter().copied().filter(|cell| sum.is_support_only(*cell));
        for slot in output.slots(sum).into_iter().chain(supports) {
            // A count opens by itself; what is computed with it needs both.
            let needed = if sum.cells.contains(&slot) { vec![slot] } else { cells.clone() };
            let gate = gates[slot].get_or_insert_default();
            gate.extend(needed);
            gate.sort_unstable();
            gate.dedup();
        }
    }
    gates
}
