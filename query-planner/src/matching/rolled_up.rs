//! What figures add up of rolled up columns of matched patients, against each other and against the number of rows: see [`crate::supports::AddedUp`].

use arrow::datatypes::DataType;
use datafusion_expr::{Expr, cast, lit};

use crate::error::PlanError;
use crate::matching::nodes::Bit;
use crate::matching::tally::{Only, Tally};
use crate::matching::values::{Compare, Linear};
use crate::matching::view::not_yet_because;

/// What a figure adds up.
pub(crate) struct AddedUp {
    /// The cell that it is shown with.
    pub cell: usize,
    /// The rows that are in it.
    pub only: Only,
    pub adds: Adds,
}

/// What is added of a patient, 0 where nothing is.
#[derive(Debug, Clone)]
pub(crate) enum Adds {
    /// Of each row of a part.
    Rows(usize, Expr),
    /// Of the patient.
    Patient(Linear),
}

/// For whom a figure adds not 1, which is the number of rows, and for whom two add not the same; with the cell that is hidden where they are few.
///
/// # Errors
/// `NOT_YET` where one adds rows of a part and another numbers of patients; as [`Tally::exists`].
pub(crate) fn beside_each_other(
    added: &[AddedUp],
    tally: &mut Tally<'_, '_, '_>,
) -> Result<Vec<(usize, Bit)>, PlanError> {
    let mut told = Vec::new();
    for (at, one) in added.iter().enumerate() {
        told.push((one.cell, adds_not_one(one, tally)?));
        for other in &added[at + 1..] {
            told.push((other.cell, differ(&one.adds, &other.adds, tally)?));
        }
    }
    told.retain(|(_, bit)| *bit != Bit::No);
    Ok(told)
}

fn adds_not_one(AddedUp { only, adds, .. }: &AddedUp, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
    match adds {
        Adds::Rows(part, value) => {
            let differs = float(value).not_eq(lit(1.0));
            let own = only.rows.iter().filter(|(of, _)| of == part).map(|(_, rows)| rows.clone());
            let rows = own.fold(differs, |differs, rows| rows.and(differs));
            tally.exists(&Only { rows: Some((*part, rows)), bit: only.bit })
        }
        Adds::Patient(number) => {
            let differs = number.clone().compare(Compare::Equal, Linear::constant(1, 0), tally.nodes)?.no;
            let there = tally.exists(only)?;
            Ok(tally.nodes.and(there, differs))
        }
    }
}

fn differ(a: &Adds, b: &Adds, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
    match (a, b) {
        (Adds::Rows(p, a), Adds::Rows(q, b)) if p == q => {
            let rows = float(a).not_eq(float(b));
            tally.exists(&Only { rows: Some((*p, rows)), bit: Bit::Yes })
        }
        (Adds::Patient(a), Adds::Patient(b)) => {
            let differs = a.clone().compare(Compare::Equal, b.clone(), tally.nodes)?.no;
            Ok(tally.nodes.and(tally.view.present, differs))
        }
        _ => {
            let text = "sums of what two tables count or add up for each patient, where small cells are hidden";
            Err(not_yet_because(text.into()).hint("ask for one of them at a time"))
        }
    }
}

/// Numbers of two types side by side.
fn float(value: &Expr) -> Expr {
    cast(value.clone(), DataType::Float64)
}
