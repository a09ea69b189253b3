//! Rows to groups by their encoded keys.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{RowConverter, SortField};
use datafusion::scalar::ScalarValue;
use query_planner::catalog::SiteName;
use query_planner::keys;
use query_planner::plan::{Groups, SecureSum};
use query_planner::value::Value;

use super::{is_whole, plan_invalid};
use crate::fault::NodeError;

/// The groups seen so far, numbered in the order they appeared.
pub(super) struct GroupTable<'a> {
    sum: &'a SecureSum,
    site: &'a SiteName,
    domains: Vec<Option<HashSet<&'a Value>>>,
    /// By Arrow's row bytes, which are cheap to make. Two of them may be one group: −0 and 0 are different bytes.
    by_row: HashMap<Box<[u8]>, usize>,
    by_key: BTreeMap<Vec<u8>, usize>,
    converter: Option<RowConverter>,
}

impl<'a> GroupTable<'a> {
    /// No groups yet, or the one group of a sum without GROUP BY.
    pub(super) fn new(sum: &'a SecureSum, site: &'a SiteName) -> Self {
        let domains = sum.keys.iter().map(|key| key.domain.as_ref().map(|d| d.iter().collect())).collect();
        let by_key = if is_whole(sum) { BTreeMap::from([(Vec::new(), 0)]) } else { BTreeMap::new() };
        Self { sum, site, domains, by_row: HashMap::new(), by_key, converter: None }
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The group numbers by encoded key.
    pub(super) fn into_keys(self) -> BTreeMap<Vec<u8>, usize> {
        self.by_key
    }

    /// The group number of every row.
    pub(super) fn assign(&mut self, batch: &RecordBatch) -> Result<Vec<usize>, NodeError> {
        if is_whole(self.sum) {
            return Ok(vec![0; batch.num_rows()]);
        }
        let columns =
            batch.columns().get(..self.sum.keys.len()).ok_or_else(|| plan_invalid("fewer columns than keys"))?;
        let rows = self.converter(columns)?.convert_columns(columns).map_err(|_| unsortable())?;
        let mut groups = Vec::with_capacity(batch.num_rows());
        for (i, row) in rows.iter().enumerate() {
            let group = match self.by_row.get(row.as_ref()) {
                Some(group) => *group,
                None => {
                    let group = self.group(columns, i)?;
                    self.by_row.insert(row.as_ref().into(), group);
                    group
                }
            };
            groups.push(group);
        }
        Ok(groups)
    }

    fn converter(&mut self, columns: &[ArrayRef]) -> Result<&mut RowConverter, NodeError> {
        if self.converter.is_none() {
            let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
            self.converter = Some(RowConverter::new(fields).map_err(|_| unsortable())?);
        }
        self.converter.as_mut().ok_or_else(unsortable)
    }

    /// The group of a row whose bytes are new.
    fn group(&mut self, columns: &[ArrayRef], row: usize) -> Result<usize, NodeError> {
        let values = columns.iter().enumerate().map(|(key, column)| self.value(key, column, row));
        let key = keys::encode(&values.collect::<Result<Vec<_>, _>>()?);
        let next = self.by_key.len();
        if let Some(group) = self.by_key.get(&key) {
            return Ok(*group);
        }
        self.check_limits(&key, next + 1)?;
        self.by_key.insert(key, next);
        Ok(next)
    }

    fn value(&self, key: usize, column: &ArrayRef, row: usize) -> Result<Value, NodeError> {
        let fault = |code, what: &str| {
            let expression = &self.sum.keys[key].expression;
            NodeError::new(code, format!("site {}: GROUP BY {expression}: {what}", self.site))
        };
        let scalar = ScalarValue::try_from_array(column, row).map_err(|_| unsortable())?;
        let value = Value::from_scalar(&scalar)
            .ok_or_else(|| fault("NOT_FINITE", "a key is not a value that can be agreed"))?;
        if self.domains[key].as_ref().is_some_and(|domain| !domain.contains(&value)) {
            return Err(fault("VALUE_OUTSIDE_DOMAIN", "a row's key is outside the declared domain"));
        }
        Ok(value)
    }

    fn check_limits(&self, key: &[u8], groups: usize) -> Result<(), NodeError> {
        let Groups::Agreed { max_groups, max_key_bytes, .. } = self.sum.groups else { return Ok(()) };
        let site = self.site;
        if key.len() > max_key_bytes as usize {
            let message =
                format!("site {site}: a group key is longer than the {max_key_bytes} bytes that can be agreed");
            return Err(NodeError::new("KEY_TOO_LONG", message).hint("group by a code instead of free text"));
        }
        if groups > max_groups as usize {
            let message = format!("site {site}: more than the {max_groups} groups that can be agreed");
            return Err(NodeError::new("TOO_MANY_GROUPS", message).hint("group by fewer or coarser columns"));
        }
        Ok(())
    }
}

fn unsortable() -> NodeError {
    plan_invalid("a group key of a type that has no order")
}
