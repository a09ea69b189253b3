//! Whose rows a sum's figures are made of, where its patients are not matched anyway: what a site notes in its ledger.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{Expr, LogicalPlan};

use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::matching::beside::{beside, key_column, wider_scan};
use crate::matching::layout::{LaidOut, Roots, lay_out};
use crate::matching::nodes::{Nodes, Source};
use crate::policy::check_local;
use crate::split::sites_of;

/// For each tuple of keys and each condition, the patients with such rows in `input`. Where the rows are not those of
/// patients, everybody in the tables that they are made of: a set that is too large still says which tables were read.
/// None where no table knows patients.
pub(crate) fn cohort(
    input: &LogicalPlan,
    keys: &[Expr],
    conditions: &[Option<Expr>],
    catalog: &Catalog,
) -> Result<Option<LaidOut>, PlanError> {
    match beside(input, keys, conditions, catalog) {
        Ok(Some(found)) => Ok(Some(found)),
        // What cannot be laid out cell by cell is taken whole.
        Ok(None) | Err(_) => everybody(input, catalog),
    }
}

fn everybody(input: &LogicalPlan, catalog: &Catalog) -> Result<Option<LaidOut>, PlanError> {
    let mut tables = Vec::new();
    // The closure never fails: the refusal is carried out in `tables`.
    let _ = input.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.extend(wider_scan(scan, catalog).transpose());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let mut nodes = Nodes::new(catalog);
    let mut slots = Vec::new();
    for plan in tables {
        let plan = plan?;
        let Some(key) = key_column(&plan, catalog) else { continue };
        let key = plan.schema().index_of_column(&key).map_err(|e| crate::error::refuse(&e))?;
        let source = Source { rows: check_local(&plan, catalog)?.rows, sites: sites_of(&plan), plan, key };
        let any = nodes.any(&source, None, Vec::new());
        slots.push(nodes.place(any)?);
    }
    if slots.is_empty() {
        return Ok(None);
    }
    let roots = Roots { slots, patient_keys: Vec::new(), row_keys: Vec::new(), key_source: None };
    lay_out(&nodes, roots).map(Some)
}
