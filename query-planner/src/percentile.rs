//! `percentile_disc(p) WITHIN GROUP (ORDER BY x)`, which DataFusion lacks.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::utils::SingleRowListArrayBuilder;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::format_state_name;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, TypeSignature, Volatility,
};

use crate::plan::{Fraction, Point};

/// PostgreSQL's `percentile_disc`: the first value whose place is at or beyond the share; of the value's own type.
pub fn percentile_disc() -> Arc<AggregateUDF> {
    let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(PercentileDisc { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileDisc {
    signature: Signature,
}

impl AggregateUDFImpl for PercentileDisc {
    fn name(&self) -> &str {
        "percentile_disc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, share] if share.is_numeric() => Ok(vec![value.clone(), DataType::Float64]),
            _ => plan_err!(
                "percentile_disc has the function signature percentile_disc(share) WITHIN GROUP (ORDER BY value)"
            ),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| exec_err!("percentile_disc needs a value"), Ok)
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), item, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // A constant has a value without any row.
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let share = match args.exprs.get(1).map(|e| e.evaluate(&nothing)).transpose()? {
            Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(x)))) => Fraction::of_decimal(x),
            _ => None,
        };
        let Some(share) = share else { return exec_err!("percentile_disc needs a constant share from 0 to 1") };
        let descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        let data_type = args.expr_fields[0].data_type().clone();
        Ok(Box::new(Values { point: Point::Disc { share, descending }, data_type, values: Vec::new() }))
    }
}

/// All values of a group.
#[derive(Debug)]
struct Values {
    point: Point,
    data_type: DataType,
    values: Vec<ScalarValue>,
}

impl Accumulator for Values {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for row in 0..columns[0].len() {
            let value = ScalarValue::try_from_array(&columns[0], row)?;
            if !value.is_null() {
                self.values.push(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values.is_empty() {
            return ScalarValue::try_from(&self.data_type);
        }
        self.values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        // The value at a position is found by sorting the positions themselves.
        let positions: Vec<u64> = (0..self.values.len() as u64).collect();
        let at = usize::try_from(self.point.of_sorted(&positions)).unwrap_or_default();
        Ok(self.values[at].clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = match self.values.is_empty() {
            true => arrow::array::new_empty_array(&self.data_type),
            false => ScalarValue::iter_to_array(self.values.clone())?,
        };
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }
}
