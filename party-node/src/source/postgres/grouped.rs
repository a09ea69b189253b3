//! A sum's own work in the database: `SELECT keys, count(*), sum(x)… GROUP BY keys`, so that groups reach the node and not rows.
//!
//! Whole numbers and decimals are added up as `numeric`, which is exact. Sums of doubles are the node's: they are not rounded there before
//! the end, and the database adds in whatever order it reads.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use query_planner::plan::{Scale, SecureSum, Slot, Summand};

use super::emit;
use super::sql::Writer;
use super::stream::Reading;

/// What is read of a grouped sum: keys as the local stage has them, then for each slot its total as a text (NULL for none).
pub(super) fn reading(plan: &LogicalPlan, sum: &SecureSum) -> Option<Reading> {
    if !sum.orders.is_empty() || !sum.sketches.is_empty() {
        return None;
    }
    let mut writer = Writer::default();
    let relation = emit::relation(&mut writer, plan).filter(|relation| relation.alone.is_none())?;
    let types: Vec<DataType> = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let keys = types.get(..sum.keys.len())?;
    // −0 and 0 are two keys to one side and one to the other.
    if keys.contains(&DataType::Float64) {
        return None;
    }
    let of_key = |(i, data_type): (usize, &DataType)| Field::new(format!("key {i}"), data_type.clone(), true);
    let mut fields: Vec<Field> = keys.iter().enumerate().map(of_key).collect();
    let mut wanted: Vec<String> = (0..keys.len()).map(|i| format!("(a.c{i})::text")).collect();
    for (i, slot) in sum.slots.iter().enumerate() {
        fields.push(Field::new(format!("slot {i}"), DataType::Utf8, true));
        wanted.push(format!("({})::text", total(slot, &types)?));
    }
    let by = (0..keys.len()).map(|i| format!("a.c{i}")).collect::<Vec<_>>().join(", ");
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {by}") };
    let text = format!("SELECT {} FROM ({}) AS a{group}", wanted.join(", "), relation.sql);
    Reading::new(writer.finish(text), Arc::new(Schema::new(fields)), None)
}

/// The total of a slot in SQL.
fn total(slot: &Slot, types: &[DataType]) -> Option<String> {
    let mut conditions = Vec::new();
    let exact = |column: usize| {
        let is_exact = matches!(types.get(column)?, DataType::Int64 | DataType::Int32 | DataType::Decimal128(..));
        (is_exact && matches!(slot.scale, Scale::Decimal(_))).then(|| format!("(a.c{column})::numeric"))
    };
    let there = |column: usize| types.get(column).map(|_| format!("a.c{column} IS NOT NULL"));
    let what = match slot.what {
        Summand::Rows => "count(*)".to_owned(),
        // Comes from the matched patients.
        Summand::Patients(_) => return Some("0".into()),
        Summand::NotNull(a) => {
            conditions.push(there(a)?);
            "count(*)".into()
        }
        Summand::BothNotNull(a, b) => {
            conditions.extend([there(a)?, there(b)?]);
            "count(*)".into()
        }
        Summand::Value(a) => format!("sum({})", exact(a)?),
        Summand::Square(a) => format!("sum({0} * {0})", exact(a)?),
        Summand::Product(a, b) => format!("sum({} * {})", exact(a)?, exact(b)?),
    };
    if let Some(filter) = slot.filter {
        types.get(filter).filter(|data_type| **data_type == DataType::Boolean)?;
        conditions.push(format!("a.c{filter}"));
    }
    match conditions.is_empty() {
        true => Some(what),
        false => Some(format!("{what} FILTER (WHERE {})", conditions.join(" AND "))),
    }
}

/// A batch of groups: the keys, and `slots[slot][row]` as texts.
pub(crate) fn split(batch: &RecordBatch, keys: usize) -> (RecordBatch, Vec<Vec<Option<String>>>) {
    use arrow::array::AsArray;
    let slots = batch.columns()[keys..].iter();
    let texts =
        slots.map(|slot| slot.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()).collect();
    let positions: Vec<usize> = (0..keys).collect();
    (batch.project(&positions).expect("the keys are the first columns"), texts)
}
