//! Whose rows a sum's figures are made of, where its patients are not matched anyway: what a site notes in its ledger.

use datafusion_expr::{Expr, LogicalPlan};

use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::matching::beside::beside;
use crate::matching::layout::LaidOut;
use crate::people::Whom;
use crate::policy::knows_patients;

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
    let people: Vec<Whom> = conditions.iter().cloned().map(Whom::With).collect();
    match beside(input, keys, &people, catalog)? {
        None if knows_patients(input, catalog) => Err(patients_lost(&catalog.patient_key)),
        found => Ok(found),
    }
}

fn patients_lost(key: &str) -> PlanError {
    let message = "while small cells are hidden it must be known whose rows a figure is made of, and a DISTINCT, GROUP BY, LIMIT, EXCEPT or \
                   FULL JOIN below it drops the patient";
    let hint = format!(
        "keep {key} among its columns or keys; instead of a FULL JOIN, LEFT JOIN both tables to one of all patients"
    );
    PlanError::new("PATIENTS_LOST", message).hint(hint)
}
