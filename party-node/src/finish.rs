//! From revealed totals to the answer's rows: decode, then the last part of the query as plain SQL.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::TableScan;
use futures::TryStreamExt;
use query_planner::bind::RevealedTable;
use query_planner::decode::Opened;
use query_planner::plan::Disclosure;
use query_planner::shares::extreme_shares;
use query_planner::{Compiled, decode};

use crate::exec::{self, Budget, Rows, external, in_our_words};
use crate::fault::NodeError;
use crate::output::Suppressed;

/// The answer's rows, in the order the query asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names as the query shows them, and types.
    pub columns: Vec<(String, DataType)>,
    /// The rows, one column for each of `columns`.
    pub rows: RecordBatch,
}

/// An answer without its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The rows.
    pub table: Table,
    /// The cells that derive from hidden ones, row by row.
    pub suppressed: Vec<Suppressed>,
    /// What the run revealed, what is remarkable about it included.
    pub disclosures: Vec<Disclosure>,
}

/// The answer that the opened sums of `compiled.joint.sums` give, at whoever received them.
///
/// # Errors
/// `SUM_TOO_LARGE` when a total does not fit its SQL type, and as [`finish`].
pub async fn answer(compiled: &Compiled, opened: &[Opened]) -> Result<Finished, NodeError> {
    let sums = compiled.joint.sums.iter().zip(&compiled.revealed).zip(opened);
    let revealed = sums.map(|((sum, schema), opened)| decode::decode(sum, schema.clone(), opened));
    let (table, suppressed) = finish(compiled, revealed.collect::<Result<Vec<_>, _>>()?).await?;
    let mut disclosures = compiled.joint.disclosures.clone();
    disclosures.extend(extreme_shares(&compiled.joint, opened));
    Ok(Finished { table, suppressed, disclosures })
}

/// Runs the last part of a query over the revealed rows, one batch for each of `compiled.joint.sums`.
///
/// # Errors
/// The codes of failed evaluation (`DIVISION_BY_ZERO`, `ARITHMETIC_OVERFLOW`, `CAST_FAILED`, `FINISH_FAILED`…), and
/// `PLAN_INVALID` when the rows are not those the plan expects.
pub async fn finish(compiled: &Compiled, revealed: Vec<RecordBatch>) -> Result<(Table, Vec<Suppressed>), NodeError> {
    let failed = |e: DataFusionError| in_our_words(&e, "the analyst's part", "FINISH_FAILED");
    let rows_of = |scan: &TableScan| revealed_rows(scan, &revealed);
    let stream = exec::run(compiled.finish.clone(), Budget::default(), rows_of).await.map_err(failed)?;
    let schema = stream.schema();
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(failed)?;
    let rows = concat_batches(&schema, &batches).map_err(|e| failed(e.into()))?;
    // The query's own names: the optimizer keeps them, but the physical plan's schema has no qualifiers to strip.
    let names = compiled.finish.schema().fields().iter().map(|field| field.name().clone());
    let types = schema.fields().iter().map(|field| field.data_type().clone());
    let mut columns: Vec<(String, DataType)> = names.zip(types).collect();
    if !compiled.joint.hides() {
        return Ok((Table { columns, rows }, Vec::new()));
    }
    // Behind the answer's columns stands for each of them where it is hidden.
    columns.truncate(columns.len() / 2);
    let suppressed = suppressed(compiled, &columns, &rows);
    let shown: Vec<usize> = (0..columns.len()).collect();
    let rows = rows.project(&shown).map_err(|e| failed(e.into()))?;
    Ok((Table { columns, rows }, suppressed))
}

fn suppressed(compiled: &Compiled, columns: &[(String, DataType)], rows: &RecordBatch) -> Vec<Suppressed> {
    let label = format!("<{}", compiled.joint.min_patients);
    let hidden = |row: usize, at: usize| {
        let mark = rows.column(columns.len() + at).as_boolean_opt();
        // A mark of another type would be a fault of ours: then nothing of the column is shown.
        mark.is_none_or(|mark| mark.is_valid(row) && mark.value(row))
    };
    let cells = (0..rows.num_rows()).flat_map(|row| (0..columns.len()).map(move |at| (row, at)));
    let cells = cells.filter(|(row, at)| hidden(*row, *at));
    cells.map(|(row, at)| Suppressed { row, at, column: columns[at].0.clone(), label: label.clone() }).collect()
}

/// The rows that a scan stands for.
fn revealed_rows(scan: &TableScan, revealed: &[RecordBatch]) -> PlanResult<Rows> {
    let invalid = |what: &str| external(NodeError::new("PLAN_INVALID", format!("the analyst's part has {what}")));
    let table = scan.source.downcast_ref::<RevealedTable>();
    let table = table.ok_or_else(|| invalid("a scan of something else than revealed rows"))?;
    let rows = revealed.get(table.index).ok_or_else(|| invalid("a scan of rows that were not revealed"))?;
    let batch = RecordBatch::try_new(table.schema.clone(), rows.columns().to_vec());
    let batch = batch.map_err(|_| invalid("revealed rows with other columns than planned"))?;
    Ok(Rows { schema: table.schema.clone(), batches: vec![batch] })
}
