//! Whose rows a sum's figures are made of, where its patients are not matched anyway: what a site notes in its ledger.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{Expr, LogicalPlan};

use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::matching::beside::{beside, wider_scan};
use crate::matching::layout::LaidOut;

/// For each tuple of keys and each condition, the patients with such rows in `input`. None where no table knows patients.
///
/// # Errors
/// `PATIENTS_LOST` where the tables know patients and the rows no longer do. A larger set would not do in its place: of two
/// figures that differ by one patient, one could be noted with everybody and pass.
pub(crate) fn cohort(
    input: &LogicalPlan,
    keys: &[Expr],
    conditions: &[Option<Expr>],
    catalog: &Catalog,
) -> Result<Option<LaidOut>, PlanError> {
    match beside(input, keys, conditions, catalog)? {
        None if knows_patients(input, catalog)? => Err(patients_lost(&catalog.patient_key)),
        found => Ok(found),
    }
}

fn knows_patients(input: &LogicalPlan, catalog: &Catalog) -> Result<bool, PlanError> {
    let mut known = Ok(false);
    // The closure never fails: the refusal is carried out in `known`.
    let _ = input.apply_with_subqueries(|node| {
        if let (LogicalPlan::TableScan(scan), Ok(false)) = (node, &known) {
            known = wider_scan(scan, catalog).map(|wider| wider.is_some());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    known
}

fn patients_lost(key: &str) -> PlanError {
    let message = "while small cells are hidden it must be known whose rows a figure is made of, and a DISTINCT, GROUP BY, LIMIT or EXCEPT \
                   below it drops the patient";
    PlanError::new("PATIENTS_LOST", message).hint(format!("keep {key} among its columns or keys"))
}
