//! The values that order statistics look at, as codes that sort alike.

use arrow::array::{Array, RecordBatch};
use datafusion::scalar::ScalarValue;
use query_planner::catalog::SiteName;
use query_planner::plan::{Order, SecureSum};
use query_planner::value::Value;
use zeroize::Zeroize;

use super::{chosen, plan_invalid};
use crate::fault::NodeError;

/// The codes of one site. Wiped when dropped.
pub(super) struct Codes<'a> {
    sum: &'a SecureSum,
    site: &'a SiteName,
    /// `orders[order][group]`
    orders: Vec<Vec<Vec<u64>>>,
}

impl<'a> Codes<'a> {
    /// None yet.
    pub(super) fn new(sum: &'a SecureSum, site: &'a SiteName) -> Self {
        Self { sum, site, orders: vec![Vec::new(); sum.orders.len()] }
    }

    /// Adds a batch whose rows belong to these groups, of which there are `groups` so far.
    pub(super) fn add(&mut self, batch: &RecordBatch, rows: &[usize], groups: usize) -> Result<(), NodeError> {
        let Self { sum, site, orders } = self;
        for (order, codes) in sum.orders.iter().zip(orders) {
            let name = sum.columns.get(order.column).map_or("?", String::as_str);
            codes.resize(groups, Vec::new());
            let column = batch.columns().get(order.column).ok_or_else(|| plan_invalid("an order over no column"))?;
            let filter = chosen(batch, order.filter)?;
            for (row, group) in rows.iter().enumerate() {
                let counted = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
                if counted && column.is_valid(row) {
                    let scalar = ScalarValue::try_from_array(column, row).map_err(|_| plan_invalid("an odd column"))?;
                    codes[*group].push(code(order, &scalar).map_err(|trouble| trouble.said(site, name))?);
                }
            }
        }
        Ok(())
    }

    /// `orders[order][group]`, in ascending order.
    pub(super) fn finish(mut self, groups: usize) -> Vec<Vec<Vec<u64>>> {
        let mut orders = std::mem::take(&mut self.orders);
        for codes in &mut orders {
            codes.resize(groups, Vec::new());
            codes.iter_mut().for_each(|codes| codes.sort_unstable());
        }
        orders
    }
}

fn code(order: &Order, scalar: &ScalarValue) -> Result<u64, Trouble> {
    let value = Value::from_scalar(scalar).ok_or(Trouble::NoPlace)?;
    order.encoding.code(&value).ok_or(Trouble::Outside)
}

/// Why a value has no code.
enum Trouble {
    NoPlace,
    Outside,
}

impl Trouble {
    fn said(self, site: &SiteName, name: &str) -> NodeError {
        let fault = |code, what: &str| NodeError::new(code, format!("site {site}: sorting {name}: {what}"));
        match self {
            Trouble::NoPlace => fault("NOT_FINITE", "a value has no place in an order"),
            Trouble::Outside => {
                fault("VALUE_OUTSIDE_RANGE", "a value lies outside the range that the plan gives the column")
                    .hint("declare the column's range in network.toml, or filter the rows")
            }
        }
    }
}

impl Drop for Codes<'_> {
    fn drop(&mut self) {
        self.orders.iter_mut().flatten().for_each(Zeroize::zeroize);
    }
}
