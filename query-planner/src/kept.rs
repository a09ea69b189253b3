//! The rows of a patient that a site keeps where an answer is noised: a bound on what one patient can change has to hold whatever the
//! data are.

use std::sync::Arc;

use datafusion_expr::expr::WindowFunction;
use datafusion_expr::logical_plan::{LogicalPlan, LogicalPlanBuilder, TableScan, TableScanBuilder};
use datafusion_expr::{Expr, ExprFunctionExt, WindowFunctionDefinition, ident, lit};

use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};

/// A site's scan with at most the first `rows` rows of each patient, in the order of all columns of the table, and none without a key:
/// which rows of a patient are kept depends on that patient's rows alone.
pub(crate) fn first_rows(scan: &TableScan, rows: u64, catalog: &Catalog) -> Result<LogicalPlan, PlanError> {
    let whole = TableScanBuilder::new(scan.table_name.clone(), scan.source.clone()).build().map_err(|e| refuse(&e))?;
    let columns = whole.projected_schema.columns();
    let Some(key) = columns.iter().find(|column| catalog.is_patient_key(&column.name)).cloned() else {
        return Ok(LogicalPlan::TableScan(scan.clone()));
    };
    let key = Expr::Column(key);
    let order = columns.into_iter().map(|column| Expr::Column(column).sort(true, true)).collect();
    let row_number = datafusion_functions_window::row_number::row_number_udwf();
    let number = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number), vec![]))
        .partition_by(vec![key.clone()])
        .order_by(order)
        .build()
        .map_err(|e| refuse(&e))?;
    let wanted: Vec<Expr> = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::new_from_arc(Arc::new(LogicalPlan::TableScan(whole)))
        .filter(key.is_not_null())
        .and_then(|plan| plan.window([number.alias(PLACE)]))
        .and_then(|plan| plan.filter(ident(PLACE).lt_eq(lit(rows))))
        .and_then(|plan| plan.project(wanted))
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| refuse(&e))
}

/// A row's place among its patient's: no column of a table is called so, because names are those of SQL in lower case.
const PLACE: &str = "Place among the patient's rows";
