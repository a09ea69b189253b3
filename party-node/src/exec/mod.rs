//! Running a logical plan over tables in memory, for a site's local stage and for the analyst's finish.

mod checked;
mod fault;
mod sum;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use serde::{Deserialize, Serialize};

pub(crate) use checked::CheckedArithmetic;
pub(crate) use fault::in_our_words;

/// Rows of a table held in memory.
pub(crate) struct Rows {
    /// All columns.
    pub schema: SchemaRef,
    /// Each with that schema.
    pub batches: Vec<RecordBatch>,
}

/// Plans and starts a query whose every scan is given its rows by `rows_of`.
pub(crate) async fn run(
    plan: LogicalPlan,
    budget: Budget,
    rows_of: impl Fn(&TableScan) -> Result<Rows>,
) -> Result<SendableRecordBatchStream> {
    let session = session(budget)?;
    let plan = session.create_physical_plan(&with_rows(plan, rows_of)?).await?;
    execute_stream(plan, session.task_ctx())
}

/// Plans and starts a query over other sources, which `rewrite` puts something in the place of once the plan is optimized.
pub(crate) async fn run_with(
    plan: LogicalPlan,
    budget: Budget,
    source_of: impl Fn(&TableScan) -> Result<Arc<dyn TableSource>>,
    rewrite: impl Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<SendableRecordBatchStream> {
    let session = session(budget)?;
    let plan = rewrite(session.optimize(&with_sources(plan, source_of)?)?)?;
    let plan = session.query_planner().create_physical_plan(&plan, &session).await?;
    execute_stream(plan, session.task_ctx())
}

/// The plan as it would be run over these sources.
pub(crate) fn optimized(
    plan: LogicalPlan,
    source_of: impl Fn(&TableScan) -> Result<Arc<dyn TableSource>>,
) -> Result<LogicalPlan> {
    session(Budget::default())?.optimize(&with_sources(plan, source_of)?)
}

fn with_rows(plan: LogicalPlan, rows_of: impl Fn(&TableScan) -> Result<Rows>) -> Result<LogicalPlan> {
    with_sources(plan, |scan| {
        let Rows { schema, batches } = rows_of(scan)?;
        let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(schema, vec![batches])?);
        Ok(provider_as_source(table))
    })
}

/// Replaces the source of every scan, those inside subqueries included.
fn with_sources(
    plan: LogicalPlan,
    source_of: impl Fn(&TableScan) -> Result<Arc<dyn TableSource>>,
) -> Result<LogicalPlan> {
    let replace = |node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        scan.source = source_of(&scan)?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    };
    plan.transform_up_with_subqueries(replace).map(|changed| changed.data)
}

/// MiB that a plan's joins, sorts and groups may hold; what needs more fails (`OUT_OF_MEMORY`), and the node stays up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Budget(pub u32);

impl Default for Budget {
    fn default() -> Self {
        Self(4096)
    }
}

/// One partition, the planner's functions, arithmetic that does not wrap, and no files: rows never touch the disk.
fn session(Budget(mib): Budget) -> Result<SessionState> {
    let no_files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let bytes = usize::try_from(u64::from(mib) << 20).unwrap_or(usize::MAX);
    let runtime =
        RuntimeEnvBuilder::new().with_disk_manager_builder(no_files).with_memory_limit(bytes, 1.0).build_arc()?;
    let functions = query_planner::functions();
    let mut rules = Analyzer::new().rules;
    // Last: types are coerced by then, so both sides of an operator are of one type.
    rules.push(Arc::new(CheckedArithmetic));
    Ok(SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_runtime_env(runtime)
        .with_scalar_functions(functions.scalar)
        .with_aggregate_functions(functions.aggregate)
        .with_window_functions(functions.window)
        .with_expr_planners(functions.planners)
        .with_analyzer_rules(rules)
        .build())
}

/// A fault of ours on its way through DataFusion.
pub(crate) fn external(fault: crate::fault::NodeError) -> DataFusionError {
    DataFusionError::External(Box::new(fault))
}
