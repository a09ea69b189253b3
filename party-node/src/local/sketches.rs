//! The distinct values of a column, as sketches that unite with those of other sites.

use arrow::array::{Array, RecordBatch};
use datafusion::scalar::ScalarValue;
use protocols::relational::union_sketch::Sketch;
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::plan::SecureSum;
use query_planner::value::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{chosen, plan_invalid};
use crate::fault::NodeError;
use crate::joint::SKETCH;

/// The sketches of one site. They wipe themselves.
pub(super) struct Sketches<'a> {
    sum: &'a SecureSum,
    site: &'a SiteName,
    /// What comes before every value.
    prefix: Sha256,
    /// `sketches[sketch][group]`
    sketches: Vec<Vec<Sketch>>,
}

impl<'a> Sketches<'a> {
    /// None yet. Sites whose catalogues have the same digest hash a value alike, in every run.
    pub(super) fn new(sum: &'a SecureSum, site: &'a SiteName, catalog: &str) -> Self {
        let prefix = Sha256::new().chain_update(DOMAIN).chain_update(catalog);
        Self { sum, site, prefix, sketches: vec![Vec::new(); sum.sketches.len()] }
    }

    /// Adds a batch whose rows belong to these groups, of which there are `groups` so far.
    pub(super) fn add(&mut self, batch: &RecordBatch, rows: &[usize], groups: usize) -> Result<(), NodeError> {
        for (of, sketches) in self.sum.sketches.iter().zip(&mut self.sketches) {
            sketches.resize(groups, Sketch::new(SKETCH));
            let column = batch.columns().get(of.column).ok_or_else(|| plan_invalid("a sketch of no column"))?;
            let filter = chosen(batch, of.filter)?;
            for (row, group) in rows.iter().enumerate() {
                let counted = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
                if !counted || column.is_null(row) {
                    continue;
                }
                let scalar = ScalarValue::try_from_array(column, row).map_err(|_| plan_invalid("an odd column"))?;
                let name = self.sum.columns.get(of.column).map_or("?", String::as_str);
                let value = Value::from_scalar(&scalar).ok_or_else(|| not_finite(self.site, name))?;
                sketches[*group].add(hashed(&self.prefix, value));
            }
        }
        Ok(())
    }

    /// `sketches[sketch][group]`
    pub(super) fn finish(mut self, groups: usize) -> Vec<Vec<Sketch>> {
        self.sketches.iter_mut().for_each(|sketches| sketches.resize(groups, Sketch::new(SKETCH)));
        self.sketches
    }
}

/// The first 64 bits of SHA-256, little-endian.
fn hashed(prefix: &Sha256, value: Value) -> u64 {
    let bytes = Zeroizing::new(keys::encode(&[value]));
    let hash: [u8; 32] = prefix.clone().chain_update(&*bytes).finalize().into();
    let (first, _) = hash.split_first_chunk().expect("a hash of 32 bytes has 8");
    u64::from_le_bytes(*first)
}

fn not_finite(site: &SiteName, name: &str) -> NodeError {
    NodeError::new("NOT_FINITE", format!("site {site}: counting distinct {name}: a value cannot be compared"))
}

const DOMAIN: &[u8] = b"consilium union sketch v1\0";
