//! Counts of distinct patients beside sums of rows: those asked for, and those behind cells that may be too small.

use arrow::datatypes::DataType;
use datafusion_common::Column;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, cast, lit};

use crate::bounds::partial_bits;
use crate::plan::{Between, Output, Ring, Scale, Slot, Summand};
use crate::slots::{Slots, first_of};
use crate::small::{excludes, narrows};
use crate::supports::{Support, are_apart_in, measure_alike};

impl Slots<'_> {
    /// Is it the column by which rows of several sites are matched?
    pub(crate) fn is_patient_key(&self, expr: &Expr) -> bool {
        let column = match expr {
            Expr::Alias(alias) => return self.is_patient_key(&alias.expr),
            Expr::Column(column) => column,
            _ => return false,
        };
        let place = |c: &Column| self.scope.position(c);
        self.patient_key.as_ref().is_some_and(|key| place(key).is_some() && place(key) == place(column))
    }

    /// A count of the distinct patients of rows that meet a condition.
    pub(crate) fn patients(&mut self, condition: Option<Expr>) -> usize {
        let at = self.people.iter().position(|known| *known == condition).unwrap_or(self.people.len());
        if at == self.people.len() {
            self.people.push(condition);
        }
        let partial_bits = partial_bits(self.catalog.max_patients, 1).unwrap_or(64);
        let (what, scale) = (Summand::Patients(at), Scale::Decimal(0));
        self.slot(Slot { what, filter: None, ring: Ring::Z64, scale, partial_bits, proven: true })
    }

    /// For each cell, the slot that counts the patients behind it.
    pub(crate) fn patients_behind(&mut self, cells: &[usize]) -> Vec<usize> {
        cells.iter().map(|cell| self.patients_of(*cell)).collect()
    }

    fn patients_of(&mut self, cell: usize) -> usize {
        let says_rows = self.support_rows(cell).is_some();
        if !says_rows && matches!(self.slots[cell].what, Summand::Patients(_)) {
            return cell;
        }
        let condition = self.rows_of(cell);
        self.patients(condition)
    }

    fn support_rows(&self, cell: usize) -> Option<&Expr> {
        self.supports.iter().find(|support| support.cell == cell)?.rows.as_ref()
    }

    /// What the rows or patients of a cell must meet to be counted; none where all are.
    fn rows_of(&self, cell: usize) -> Option<Expr> {
        if let Some(rows) = self.support_rows(cell) {
            return Some(rows.clone());
        }
        let slot = &self.slots[cell];
        let column = |at: usize| self.columns[at].1.clone();
        let filter = slot.filter.and_then(|at| self.of_every_row(&self.columns[at].1));
        let what = match slot.what {
            Summand::Patients(at) => return self.people[at].clone(),
            Summand::NotNull(a) => Some(column(a).is_not_null()),
            // Such a cell adds ones.
            Summand::Value(a) => Some(cast(column(a), DataType::Int64).eq(lit(1i64))),
            _ => None,
        };
        what.into_iter().chain(filter).reduce(Expr::and)
    }

    /// A filter without what DISTINCT leaves out: patients are those of every row with the value, not of the row that counts for it, and
    /// what a window numbers is not there to be asked for again.
    fn of_every_row(&self, filter: &Expr) -> Option<Expr> {
        let is_first = |expr: &Expr| (0..self.windows.len()).any(|window| *expr == first_of(window));
        split_conjunction(filter).into_iter().filter(|expr| !is_first(expr)).cloned().reduce(Expr::and)
    }

    /// For each two cells that can tell something together, unless no row is in both: the patients of rows that one of them counts and the
    /// other does not. Those are the counts that the outputs show, and the cells of sums that measure something in common.
    pub(crate) fn patients_between(
        &mut self,
        cells: &[usize],
        outputs: &[Output],
        (supports, disjoint): (&[Support], &[Vec<usize>]),
    ) -> Vec<Between> {
        let shown = outputs.iter().filter_map(|output| output.count(&self.orders));
        let literals = supports.iter().filter(|support| support.leaves.is_empty()).map(|support| support.cell);
        let counts: Vec<usize> = shown.chain(self.ones.iter().copied()).chain(literals).collect();
        let bound = |a: usize, b: usize| {
            let related = counts.contains(&a) && counts.contains(&b) || measure_alike(supports, a, b);
            related && !are_apart_in(disjoint, supports, a, b)
        };
        let rows: Vec<(usize, Option<Expr>)> = cells.iter().map(|cell| (*cell, self.rows_of(*cell))).collect();
        let mut between = Vec::new();
        for (at, (first, ours)) in rows.iter().enumerate() {
            for (second, theirs) in rows[at + 1..].iter().filter(|(second, _)| bound(*first, *second)) {
                let Some((part_is_ours, one_only)) = in_one_only(ours.as_ref(), theirs.as_ref()) else { continue };
                let cell = if part_is_ours { *first } else { *second };
                between.push(Between { cell, patients: self.patients(Some(one_only)) });
            }
        }
        between
    }
}

/// What rows meet that are in one of two cells alone, and whether the first is the one to hide: the part, not the whole. None where there
/// is no such row, or no row of both.
fn in_one_only(ours: Option<&Expr>, theirs: Option<&Expr>) -> Option<(bool, Expr)> {
    let outside = |part: &Expr| Expr::IsNotTrue(part.clone().into());
    let is_true = |rows: &Expr| Expr::IsTrue(rows.clone().into());
    match (ours, theirs) {
        (ours, theirs) if ours == theirs => None,
        (Some(ours), Some(theirs)) if excludes(ours, theirs) => None,
        (Some(ours), Some(theirs)) => Some((narrows(ours, theirs), is_true(ours).not_eq(is_true(theirs)))),
        (Some(part), None) => Some((true, outside(part))),
        (None, Some(part)) => Some((false, outside(part))),
        (None, None) => None,
    }
}
