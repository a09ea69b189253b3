//! A site's own part of a secure sum: its rows to one integer for each group and slot, and to sortable codes.
//!
//! DataFusion evaluates the fragment's expressions; grouping and adding are ours, because every partial must be exact:
//! integers and decimals in checked 128 bits, doubles without any rounding before the one to the slot's scale.

pub mod common;
mod exact;
mod features;
mod groups;
pub mod noise;
mod numbers;
mod orders;
pub mod patients;
mod sketches;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use futures::StreamExt;
use protocols::relational::union_sketch::Sketch;
use query_planner::JointPlan;
use query_planner::bind::SiteTable;
use query_planner::catalog::SiteName;
use query_planner::plan::{Groups, LocalStage, Ring, SecureSum};
use zeroize::Zeroize;

use crate::exec::{self, Rows, external, in_our_words};
use crate::fault::NodeError;
use crate::source::{BoundData, postgres};
use groups::GroupTable;
use orders::Codes;
use patients::Patients;
use sketches::Sketches;
use totals::Totals;

/// What a local stage knows of the network.
#[derive(Debug, Clone, Copy)]
pub struct NetworkFacts<'p> {
    /// How many sites compute.
    pub sites: usize,
    /// The catalogue's digest: values are hashed under it.
    pub catalog: &'p str,
}

impl<'p> NetworkFacts<'p> {
    /// Of a plan.
    pub fn of(plan: &'p JointPlan) -> Self {
        Self { sites: plan.sites.len(), catalog: &plan.catalog }
    }
}

/// One site's contribution to a secure sum. Private: it never prints and never leaves the site unshared.
#[derive(Clone, PartialEq, Eq)]
pub struct Partials {
    /// The groups this site has rows of, as [`query_planner::keys::encode`] writes them: sorted and distinct. Without
    /// GROUP BY, the one empty key.
    pub keys: Vec<Vec<u8>>,
    /// `slots[slot][group]`, each within the slot's declared bits.
    pub slots: Vec<Vec<i128>>,
    /// `orders[order][group]`: the codes of the values of each group, in ascending order.
    pub orders: Vec<Vec<Vec<u64>>>,
    /// `sketches[sketch][group]`: of the values of each group.
    pub sketches: Vec<Vec<Sketch>>,
    /// What is matched, where the sum is over matched patients.
    pub patients: Option<Patients>,
    /// Whose rows the figures are made of, where that is not matched: for this site's own ledger.
    pub cohort: Option<Patients>,
    /// Do `slots` have this site's noise, as the plan wants it? See [`noise::add`].
    pub noised: bool,
}

/// Runs the local stage of one site.
///
/// # Errors
/// `SUM_OVERFLOW` when a partial exceeds its bound, `NOT_FINITE`, `VALUE_OUTSIDE_DOMAIN`, `TOO_MANY_GROUPS`,
/// `KEY_TOO_LONG`, `TOO_MANY_PATIENTS`, `TOO_MANY_EVENTS`, the codes of failed evaluation (`DIVISION_BY_ZERO`, `ARITHMETIC_OVERFLOW`, `CAST_FAILED`,
/// `LOCAL_FAILED`…), and `PLAN_INVALID` for a plan that contradicts itself. They name the site and the expression.
pub async fn partials(
    stage: &LocalStage,
    sum: &SecureSum,
    site: &SiteName,
    data: &BoundData,
    network: NetworkFacts<'_>,
) -> Result<Partials, NodeError> {
    check_rings(sum, network.sites)?;
    let mut groups = GroupTable::new(sum, site);
    let (mut totals, mut codes) = (Totals::new(sum, site), Codes::new(sum, site));
    let mut sketches = Sketches::new(sum, site, network.catalog);
    let fragment = stage.fragments.iter().find(|(name, _)| name.same(site)).map(|(_, fragment)| fragment);
    if let Some(made) = fragment.map(|fragment| made_groups(fragment, sum, site, data)).transpose()?.flatten() {
        add_groups(made, sum, &mut groups, &mut totals).await?;
    } else if let Some(fragment) = fragment {
        let mut batches = batches(fragment, site, data).await?;
        while let Some(batch) = batches.next().await? {
            let rows = groups.assign(&batch)?;
            totals.add(&batch, &rows, groups.len())?;
            codes.add(&batch, &rows, groups.len())?;
            sketches.add(&batch, &rows, groups.len())?;
        }
    }
    let mut partials = finish(groups, totals, codes, sketches)?;
    if let Some(matching) = &sum.matching {
        partials.patients = Some(patients::patients(&stage.relations, sum, matching, site, data).await?);
    }
    if let Some(cohort) = &stage.cohort {
        partials.cohort = Some(patients::patients(&cohort.relations, sum, &cohort.matching, site, data).await?);
    }
    Ok(partials)
}

/// [`partials`] on a runtime of its own in the calling thread, which must not drive a runtime itself: DataFusion's work
/// would hold up the network's. Call it from `spawn_blocking` or a thread.
///
/// # Errors
/// As [`partials`], and `LOCAL_FAILED` when the system refuses a runtime.
pub fn partials_blocking(
    stage: &LocalStage,
    sum: &SecureSum,
    site: &SiteName,
    data: &BoundData,
    network: NetworkFacts<'_>,
) -> Result<Partials, NodeError> {
    runtime(site)?.block_on(partials(stage, sum, site, data, network))
}

/// How many rows one of a stage's relations has at its site; blocks as [`partials_blocking`] does.
///
/// # Errors
/// The codes of failed evaluation, and `LOCAL_FAILED` when the system refuses a runtime.
pub fn count_blocking(relation: &LogicalPlan, site: &SiteName, data: &BoundData) -> Result<u64, NodeError> {
    runtime(site)?.block_on(async {
        let (mut batches, mut rows) = (batches(relation, site, data).await?, 0);
        while let Some(batch) = batches.next().await? {
            rows += batch.num_rows() as u64;
        }
        Ok(rows)
    })
}

fn runtime(site: &SiteName) -> Result<tokio::runtime::Runtime, NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|e| NodeError::new("LOCAL_FAILED", format!("site {site}: no runtime: {}", e.kind())))
}

impl Drop for Partials {
    fn drop(&mut self) {
        self.slots.iter_mut().for_each(Zeroize::zeroize);
        self.orders.iter_mut().flatten().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Partials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partials({} slots of {} groups)", self.slots.len(), self.keys.len())
    }
}

/// The rows of a fragment.
async fn batches<'a>(fragment: &LogicalPlan, site: &'a SiteName, data: &BoundData) -> Result<Batches<'a>, NodeError> {
    let rows_of = |scan: &TableScan| site_rows(scan, site, data);
    let stream = match data.database() {
        Some(database) => database.rows(fragment, data.budget()).await,
        None => exec::run(fragment.clone(), data.budget(), rows_of).await,
    };
    Ok(Batches { stream: stream.map_err(|e| failed(site, &e))?, site })
}

/// What a site's database is asked for a sum, as SQL without any value; nothing where its tables are files. `data` is of
/// [`BoundData::at_one_moment`].
///
/// # Errors
/// `LOCAL_FAILED` for a plan that cannot be laid out.
pub fn asked_of_database(
    stage: &LocalStage,
    sum: &SecureSum,
    site: &SiteName,
    data: &BoundData,
) -> Result<Vec<String>, NodeError> {
    let fragment = stage.fragments.iter().find(|(name, _)| name.same(site)).map(|(_, fragment)| fragment);
    let Some((database, fragment)) = data.database().zip(fragment) else { return Ok(Vec::new()) };
    database.asked(fragment, sum).map_err(|e| failed(site, &e))
}

/// The groups of a fragment with their totals, where the site's database makes them.
fn made_groups<'a>(
    fragment: &LogicalPlan,
    sum: &SecureSum,
    site: &'a SiteName,
    data: &BoundData,
) -> Result<Option<Batches<'a>>, NodeError> {
    let Some(database) = data.database() else { return Ok(None) };
    let stream = database.groups(fragment, sum).map_err(|e| failed(site, &e))?;
    Ok(stream.map(|stream| Batches { stream, site }))
}

async fn add_groups(
    mut made: Batches<'_>,
    sum: &SecureSum,
    groups: &mut GroupTable<'_>,
    totals: &mut Totals<'_>,
) -> Result<(), NodeError> {
    while let Some(batch) = made.next().await? {
        let (keys, slots) = postgres::split(&batch, sum.keys.len());
        let rows = groups.assign(&keys)?;
        totals.add_made(&slots, &rows, groups.len())?;
    }
    Ok(())
}

struct Batches<'a> {
    stream: SendableRecordBatchStream,
    site: &'a SiteName,
}

impl Batches<'_> {
    async fn next(&mut self) -> Result<Option<RecordBatch>, NodeError> {
        self.stream.next().await.transpose().map_err(|e| failed(self.site, &e))
    }
}

fn failed(site: &SiteName, error: &DataFusionError) -> NodeError {
    in_our_words(error, &format!("site {site}, its local stage"), "LOCAL_FAILED")
}

/// Sorts the groups by their keys, and everything else with them.
fn finish(
    groups: GroupTable<'_>,
    totals: Totals<'_>,
    codes: Codes<'_>,
    sketches: Sketches<'_>,
) -> Result<Partials, NodeError> {
    let slots = totals.finish(groups.len())?;
    let orders = codes.finish(groups.len());
    let sketches = sketches.finish(groups.len());
    let order: BTreeMap<Vec<u8>, usize> = groups.into_keys();
    let sorted = |totals: Vec<i128>| order.values().map(|group| totals[*group]).collect();
    let slots = slots.into_iter().map(sorted).collect();
    let sorted = |mut codes: Vec<Vec<u64>>| order.values().map(|group| std::mem::take(&mut codes[*group])).collect();
    let orders = orders.into_iter().map(sorted).collect();
    let sorted = |sketches: Vec<Sketch>| order.values().map(|group| sketches[*group].clone()).collect();
    let sketches = sketches.into_iter().map(sorted).collect();
    Ok(Partials {
        keys: order.into_keys().collect(),
        slots,
        orders,
        sketches,
        patients: None,
        cohort: None,
        noised: false,
    })
}

/// The rows of this site's own table, in the columns that the scan knows.
fn site_rows(scan: &TableScan, site: &SiteName, data: &BoundData) -> PlanResult<Rows> {
    let table = scan.source.downcast_ref::<SiteTable>();
    let table = table.ok_or_else(|| invalid("a scan of something else than a site's table"))?;
    if !table.site.same(site) {
        return Err(invalid("a scan of another site's table"));
    }
    let bound = data.table(&table.table).ok_or_else(|| invalid("a scan of a table that this site does not hold"))?;
    let columns = table.schema.fields().iter().map(|field| bound.schema().index_of(field.name()));
    let columns =
        columns.collect::<Result<Vec<_>, _>>().map_err(|_| invalid("a column that the table does not have"))?;
    let batches = bound.batches().iter().map(|batch| batch.project(&columns)).collect::<Result<_, _>>()?;
    Ok(Rows { schema: std::sync::Arc::new(bound.schema().project(&columns)?), batches })
}

fn invalid(what: &str) -> DataFusionError {
    external(plan_invalid(what))
}

fn plan_invalid(what: &str) -> NodeError {
    NodeError::new("PLAN_INVALID", format!("the plan has {what}"))
}

/// The truth values of a filter, if there is one.
fn chosen(batch: &RecordBatch, filter: Option<usize>) -> Result<Option<&BooleanArray>, NodeError> {
    let Some(filter) = filter else { return Ok(None) };
    match batch.columns().get(filter) {
        Some(column) if *column.data_type() == DataType::Boolean => Ok(Some(column.as_boolean())),
        _ => Err(plan_invalid("a filter that is not a truth value")),
    }
}

/// Each slot's ring must hold the sum of all sites' partials with its sign.
fn check_rings(sum: &SecureSum, sites: usize) -> Result<(), NodeError> {
    let site_bits = sites.max(1).next_power_of_two().trailing_zeros();
    for slot in &sum.slots {
        let ring_bits = if slot.ring == Ring::Z64 { 64 } else { 128 };
        if slot.partial_bits.saturating_add(site_bits + 1) > ring_bits {
            return Err(plan_invalid("a slot whose sum over all sites may not fit its ring"));
        }
    }
    Ok(())
}

/// Is there exactly one group, also without rows?
fn is_whole(sum: &SecureSum) -> bool {
    sum.groups == Groups::Whole
}
