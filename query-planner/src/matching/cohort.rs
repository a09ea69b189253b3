//! Whose rows a sum's figures are made of, where its patients are not matched anyway: what a site notes in its ledger.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{Expr, LogicalPlan};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::matching::beside::beside;
use crate::matching::layout::LaidOut;

/// For each tuple of keys and each condition, the patients with such rows in `input`. None where no table knows patients.
///
/// # Errors
/// `PATIENTS_NOT_TOLD` where tables know patients, and not whose the rows are that are added up: a ledger that took
/// everybody in their place would not see two answers that differ by one patient.
pub(crate) fn cohort(
    input: &LogicalPlan,
    keys: &[Expr],
    conditions: &[Option<Expr>],
    catalog: &Catalog,
) -> Result<Option<LaidOut>, PlanError> {
    match beside(input, keys, conditions, catalog) {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) if !knows_patients(input, catalog) => Ok(None),
        Ok(None) | Err(_) => Err(not_told()),
    }
}

/// The refusal where it cannot be told whose rows a figure is made of.
pub(crate) fn not_told() -> PlanError {
    let text = "small cells are hidden, and whose rows these figures are made of cannot be told behind a nested GROUP BY, DISTINCT, LIMIT or window";
    PlanError::new("PATIENTS_NOT_TOLD", text).hint("group by the patient key inside, or ask over the rows themselves")
}

fn knows_patients(input: &LogicalPlan, catalog: &Catalog) -> bool {
    let mut known = false;
    // The closure never fails.
    let _ = input.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            known |= network.table.columns.iter().any(|column| catalog.is_patient_key(&column.name));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    known
}
