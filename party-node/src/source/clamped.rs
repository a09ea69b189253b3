//! How many values of a site a clamp moves. Which they are nobody is told.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use query_planner::catalog::{Catalog, SiteName};

use super::BoundData;

/// A clamped column, and how many of a site's values lie outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clamped {
    /// In the catalogue's spelling.
    pub table: String,
    /// The same.
    pub column: String,
    /// Values, over all rows.
    pub values: usize,
}

impl BoundData {
    /// For each clamped column of this site that has values outside, how many.
    pub fn clamped(&self, catalog: &Catalog, site: &SiteName) -> Vec<Clamped> {
        let mut found = Vec::new();
        for table in catalog.tables.iter().filter(|table| table.held_by(site)) {
            let Some(bound) = self.table(&table.name) else { continue };
            for column in &table.columns {
                let place =
                    bound.schema().fields().iter().position(|field| field.name().eq_ignore_ascii_case(&column.name));
                let Some((place, clamp)) = place.zip(column.clamp) else { continue };
                let values = bound.batches().iter().map(|batch| outside(batch.column(place), clamp)).sum();
                if values > 0 {
                    found.push(Clamped { table: table.name.clone(), column: column.name.clone(), values });
                }
            }
        }
        found
    }
}

/// The ends are in a decimal column's own digits.
fn outside(values: &ArrayRef, (lo, hi): (i64, i64)) -> usize {
    let is_outside = |value: i128| value < lo.into() || value > hi.into();
    if let DataType::Decimal128(..) = values.data_type() {
        return values.as_primitive::<Decimal128Type>().iter().flatten().filter(|value| is_outside(*value)).count();
    }
    // A clamp is of numbers: see the catalogue.
    let Ok(numbers) = cast(values, &DataType::Int64) else { return 0 };
    numbers.as_primitive::<Int64Type>().iter().flatten().filter(|value| is_outside((*value).into())).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Int64Array};

    use super::*;

    #[test]
    fn values_outside_are_counted_and_missing_ones_are_not() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), Some(0), None, Some(5), Some(6), Some(7)]));
        assert_eq!(outside(&numbers, (0, 5)), 3);
        let cents: ArrayRef = Arc::new(Decimal128Array::from(vec![Some(-1), Some(500), Some(501), None]));
        assert_eq!(outside(&cents, (0, 500)), 2);
    }
}
