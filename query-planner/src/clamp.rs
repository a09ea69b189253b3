//! Clamps: a site reads a value outside what the strictest policy says as the nearest one inside, in everything it does with
//! the column. So a clamp is a range that holds, and one patient moves a sum by no more than its width.

use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_expr::logical_plan::{LogicalPlan, Projection};
use datafusion_expr::{Expr, lit, when};

use crate::bounds::Interval;
use crate::catalog::{Catalog, Column, ColumnType, Table};
use crate::error::{PlanError, refuse};
use crate::notes::Note;
use crate::uses::Use;
use crate::value::{Value, write_decimal};

/// A site's scan with every clamped column inside its clamp.
pub(crate) fn clamped_scan(scan: LogicalPlan, table: &Table) -> Result<LogicalPlan, PlanError> {
    let clamped = |name: &str| table.columns.iter().find(|c| c.clamp.is_some() && c.name.eq_ignore_ascii_case(name));
    if !scan.schema().fields().iter().any(|field| clamped(field.name()).is_some()) {
        return Ok(scan);
    }
    let columns = scan.schema().columns().into_iter().map(|column| {
        let name = column.name.clone();
        match clamped(&name).and_then(ends) {
            Some([lo, hi]) => {
                let value = Expr::Column(column);
                let mut below = when(value.clone().lt(lit(lo.clone())), lit(lo));
                let inside = below.when(value.clone().gt(lit(hi.clone())), lit(hi)).otherwise(value);
                inside.map(|inside| inside.alias(name))
            }
            None => Ok(Expr::Column(column)),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| refuse(&e))?;
    Projection::try_new(columns, Arc::new(scan)).map(LogicalPlan::Projection).map_err(|e| refuse(&e))
}

fn ends(column: &Column) -> Option<[ScalarValue; 2]> {
    let (lo, hi) = column.clamp?;
    let end = |x: i64| match column.data_type {
        ColumnType::Int => Some(ScalarValue::Int64(Some(x))),
        ColumnType::Decimal { precision, scale } => Some(ScalarValue::Decimal128(Some(x.into()), precision, scale)),
        _ => None,
    };
    Some([end(lo)?, end(hi)?])
}

/// The range of a column's values once they are clamped.
pub(crate) fn interval(column: &Column, known: Option<Interval>) -> Option<Interval> {
    let Some((lo, hi)) = column.clamp.map(|(lo, hi)| (i128::from(lo), i128::from(hi))) else { return known };
    let known = known.unwrap_or(Interval { lo, hi });
    Some(Interval { lo: known.lo.clamp(lo, hi), hi: known.hi.clamp(lo, hi) })
}

/// Its declared values once they are clamped.
pub(crate) fn domain(column: &Column) -> Option<Vec<Value>> {
    let mut domain = column.domain.clone()?;
    if let Some((lo, hi)) = column.clamp {
        for value in &mut domain {
            match value {
                Value::Int(x) => *x = (*x).clamp(lo, hi),
                Value::Decimal(x, _) => *x = (*x).clamp(lo.into(), hi.into()),
                _ => {}
            }
        }
        domain.sort();
        domain.dedup();
    }
    Some(domain)
}

/// A note for each clamped column that a question uses.
pub(crate) fn notes(uses: &[Use], catalog: &Catalog) -> Vec<Note> {
    let mut lines: Vec<Note> = uses.iter().filter_map(|used| note(used, catalog)).collect();
    lines.dedup();
    lines
}

fn note(used: &Use, catalog: &Catalog) -> Option<Note> {
    let columns = &catalog.table(&used.table)?.columns;
    let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(&used.column))?;
    let (lo, hi) = column.clamp?;
    let scale = match column.data_type {
        ColumnType::Decimal { scale, .. } => scale,
        _ => 0,
    };
    let [lo, hi] = [lo, hi].map(|x| if scale == 0 { x.to_string() } else { write_decimal(x.into(), scale) });
    Some(Note::Clamped { table: used.table.clone(), column: used.column.clone(), lo, hi })
}
