//! The patients that a site enters into an intersection: their keys, and how the site itself writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::array::ArrayRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use mpc_core::Block;
use query_planner::catalog::SiteName;
use query_planner::value::Value;
use zeroize::{Zeroize, Zeroizing};

use super::patients::own_key;
use super::{batches, plan_invalid};
use crate::fault::NodeError;
use crate::source::BoundData;

/// A site's own set. Private: it never prints, and is wiped when dropped.
#[derive(Default)]
pub struct OwnSet {
    /// What the keys are hashes under.
    pub domain: [u8; 32],
    /// The keys by which patients are found, distinct.
    pub keys: Zeroizing<Vec<Block>>,
    /// How the site writes each of them; several records may be one linked patient.
    pub spellings: Vec<Vec<String>>,
    /// Patients without a valid linkage key, who are not entered. For this site's own log.
    pub excluded: usize,
}

impl Drop for OwnSet {
    fn drop(&mut self) {
        self.spellings.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for OwnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnSet")
    }
}

/// Reads the rows of a fragment whose only column is the patient key, on a runtime of its own in the calling thread.
///
/// # Errors
/// As [`super::partials_blocking`]; `TOO_MANY_PATIENTS` for more than `most`.
pub fn own_set_blocking(
    fragment: &LogicalPlan,
    most: u64,
    site: &SiteName,
    data: &BoundData,
) -> Result<OwnSet, NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime =
        runtime.map_err(|e| NodeError::new("LOCAL_FAILED", format!("site {site}: no runtime: {}", e.kind())))?;
    runtime.block_on(own_set(fragment, most, site, data))
}

async fn own_set(fragment: &LogicalPlan, most: u64, site: &SiteName, data: &BoundData) -> Result<OwnSet, NodeError> {
    let mut found: BTreeMap<u128, BTreeSet<String>> = BTreeMap::new();
    let mut excluded = BTreeSet::new();
    let mut rows = batches(fragment, site, data).await?;
    while let Some(batch) = rows.next().await? {
        let column = batch.columns().first().ok_or_else(|| plan_invalid("an intersection without a patient key"))?;
        for row in 0..batch.num_rows() {
            let Some(own) = own_key(&data.study(), site, column, row)? else { continue };
            let key = match data.linked() {
                None => Some(own),
                Some(linked) => linked.entry(own).and_then(|entry| linked.keys(entry).first().copied().flatten()),
            };
            match key {
                Some(key) => drop(found.entry(key.0).or_default().insert(spelling(column, row)?)),
                None => drop(excluded.insert(own.0)),
            }
        }
    }
    if found.len() as u64 > most {
        let message = format!("site {site}: more than the {most} patients that the plan lets it enter");
        return Err(NodeError::new("TOO_MANY_PATIENTS", message).hint("declare a larger max_patients"));
    }
    let keys = Zeroizing::new(found.keys().map(|key| Block(*key)).collect());
    let spellings = found.into_values().map(|all| all.into_iter().collect()).collect();
    Ok(OwnSet { domain: data.study(), keys, spellings, excluded: excluded.len() })
}

/// The patient key of a row as the site's file has it, but for what reading made equal.
fn spelling(column: &ArrayRef, row: usize) -> Result<String, NodeError> {
    let scalar = ScalarValue::try_from_array(column, row).ok();
    match scalar.and_then(|scalar| Value::from_scalar(&scalar)) {
        Some(Value::Text(text)) => Ok(text),
        Some(value) => Ok(value.to_string()),
        None => Err(plan_invalid("an odd patient key")),
    }
}
