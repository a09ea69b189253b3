//! How the cells of a sum over matched patients relate: who stands behind one of two and not the other, and what of them is refused.

use datafusion_expr::Expr;

use crate::error::PlanError;
use crate::matching::nodes::Bit;
use crate::matching::tally::{Only, Tally};
use crate::matching::view::not_yet_because;
use crate::small::{excludes, narrows};

/// A cell: the patients behind it, and the rows.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub cell: usize,
    pub patients: Bit,
    pub only: Only,
    /// By what it chooses them: all of `only`, but not that a column is empty as it stands in a table.
    pub choice: Only,
}

/// Who has a row that one of two cells counts and the other does not, and who is behind one and not behind the other; and which cell is
/// hidden where either are few: the part, else the later one. None where there is nobody, or nobody in both.
///
/// # Errors
/// As [`Tally::exists`]; `NOT_YET` for conditions on rows of two tables that are compared with each other, and on numbered rows.
pub(crate) fn in_one_only(
    a: &Behind,
    b: &Behind,
    tally: &mut Tally<'_, '_, '_>,
) -> Result<Vec<(usize, Bit)>, PlanError> {
    let behind_one = tally.nodes.differ(a.patients, b.patients);
    let both = tally.nodes.and(a.patients, b.patients);
    let rows = match (&a.only.rows, &b.only.rows) {
        (Some((p, f)), Some((q, g))) if p == q && excludes(f, g) => {
            return Ok(told([(b.cell, behind_one)]));
        }
        (Some((p, f)), Some((q, g))) if p == q && f != g => {
            let is_true = |filter: &Expr| Expr::IsTrue(filter.clone().into());
            Some((*p, is_true(f).not_eq(is_true(g)), narrows(f, g)))
        }
        (Some((p, f)), None) => Some((*p, Expr::IsNotTrue(f.clone().into()), true)),
        (None, Some((p, f))) => Some((*p, Expr::IsNotTrue(f.clone().into()), false)),
        _ => None,
    };
    if both == Bit::No {
        return Ok(Vec::new());
    }
    let differing = [&a.only.rows, &b.only.rows].into_iter().flatten().filter(|_| a.only.rows != b.only.rows);
    if differing.into_iter().any(|(part, _)| tally.view.parts[*part].ranked.is_some()) {
        let text = "two figures of which one leaves out numbered rows, where small cells are hidden";
        return Err(not_yet_because(text.into()).hint("ask for one of them at a time"));
    }
    let of_two_tables = match (&a.only.rows, &b.only.rows) {
        (Some((p, _)), Some((q, _))) if p != q => one_and_not_other(a, b, tally)?,
        _ => Bit::No,
    };
    let mut one_only = tally.nodes.or(behind_one, of_two_tables);
    let mut is_part = both == a.patients;
    if let Some((part, filter, narrow)) = rows {
        is_part = both != b.patients && narrow;
        let bit = tally.nodes.and(a.only.bit, b.only.bit);
        let other_rows = tally.exists(&Only { rows: Some((part, filter)), bit })?;
        one_only = tally.nodes.or(one_only, other_rows);
    }
    let cell = if is_part { a.cell } else { b.cell };
    Ok(told([(cell, one_only), (cell, behind_one)]))
}

/// Each once, and only where there may be somebody.
fn told<const N: usize>(bits: [(usize, Bit); N]) -> Vec<(usize, Bit)> {
    let mut told: Vec<(usize, Bit)> = bits.into_iter().filter(|(_, bit)| *bit != Bit::No).collect();
    told.dedup();
    told
}

/// Who has a row of one table that meets its condition beside one of the other table that does not meet its own: all rows of a patient
/// stand beside each other. Who has no row of one of the tables is in one cell alone.
fn one_and_not_other(a: &Behind, b: &Behind, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
    if !tally.view.pairs.is_empty() {
        let text = "figures under conditions on rows of two tables that are compared with each other, where small cells are hidden";
        return Err(not_yet_because(text.into()).hint("ask for one of them at a time"));
    }
    let bit = tally.nodes.and(a.only.bit, b.only.bit);
    let mut any = Bit::No;
    for (one, other) in [(a, b), (b, a)] {
        let (Some((p, f)), Some((q, g))) = (&one.only.rows, &other.only.rows) else { continue };
        let meets = tally.exists(&Only { rows: Some((*p, f.clone())), bit })?;
        let fails = tally.exists(&Only { rows: Some((*q, Expr::IsNotTrue(g.clone().into()))), bit })?;
        let both = tally.nodes.and(meets, fails);
        any = tally.nodes.or(any, both);
    }
    Ok(any)
}
