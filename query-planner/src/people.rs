//! Counts of distinct patients beside sums of rows: those asked for, and those behind cells that may be too small.

use arrow::datatypes::DataType;
use datafusion_common::Column;
use datafusion_expr::{Expr, cast, lit};

use crate::bounds::partial_bits;
use crate::plan::{Ring, Scale, Slot, Summand};
use crate::slots::Slots;

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
        let slot = self.slots[cell].clone();
        if let Some(rows) = self.supports.iter().find(|s| s.cell == cell).and_then(|s| s.rows.clone()) {
            return self.patients(Some(rows));
        }
        let column = |at: usize| self.columns[at].1.clone();
        let what = match slot.what {
            Summand::Patients(_) => return cell,
            Summand::NotNull(a) => Some(column(a).is_not_null()),
            // Such a cell adds ones.
            Summand::Value(a) => Some(cast(column(a), DataType::Int64).eq(lit(1i64))),
            _ => None,
        };
        let condition = what.into_iter().chain(slot.filter.map(column)).reduce(Expr::and);
        self.patients(condition)
    }
}
