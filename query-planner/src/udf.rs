//! Functions that DataFusion lacks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `width_bucket(x, lo, hi, n)` with PostgreSQL's meaning: `[lo, hi)` in `n` equal buckets numbered from 1, 0 below,
/// `n + 1` at or above `hi`; `lo > hi` counts downwards; NULL gives NULL.
pub fn width_bucket() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(WidthBucket { signature: signature() }))
}

/// The bucket of one value, or none when the arguments have no meaning (`n < 1`, `lo = hi`, not finite).
pub fn bucket(x: f64, lo: f64, hi: f64, n: i64) -> Option<i64> {
    if n < 1 || lo == hi || !lo.is_finite() || !hi.is_finite() || x.is_nan() {
        return None;
    }
    // Downward buckets are upward buckets of the mirrored line.
    let (x, lo, hi) = if lo < hi { (x, lo, hi) } else { (-x, -lo, -hi) };
    if x < lo {
        return Some(0);
    }
    if x >= hi {
        return n.checked_add(1);
    }
    // Rounding may lift a value just below `hi` to n + 1: it belongs to bucket n.
    Some((((x - lo) / (hi - lo) * n as f64) as i64 + 1).min(n))
}

fn signature() -> Signature {
    use DataType::{Float64, Int64};
    Signature::exact(vec![Float64, Float64, Float64, Int64], Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WidthBucket {
    signature: Signature,
}

impl ScalarUDFImpl for WidthBucket {
    fn name(&self) -> &str {
        "width_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [x, lo, hi, n] = &arrays[..] else {
            return exec_err!("width_bucket takes four arguments");
        };
        buckets(x, lo, hi, n).map(ColumnarValue::Array)
    }
}

fn buckets(x: &ArrayRef, lo: &ArrayRef, hi: &ArrayRef, n: &ArrayRef) -> Result<ArrayRef> {
    let reals = [x, lo, hi].map(|a| a.as_primitive::<Float64Type>());
    let counts = n.as_primitive::<Int64Type>();
    let rows = (0..counts.len()).map(|i| {
        if counts.is_null(i) || reals.iter().any(|a| a.is_null(i)) {
            return Ok(None);
        }
        match bucket(reals[0].value(i), reals[1].value(i), reals[2].value(i), counts.value(i)) {
            Some(number) => Ok(Some(number)),
            None => exec_err!("width_bucket needs finite bounds that differ, and at least one bucket"),
        }
    });
    Ok(Arc::new(rows.collect::<Result<Int64Array>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_postgresqls() {
        assert_eq!(bucket(5.35, 0.024, 10.06, 5), Some(3));
        assert_eq!(bucket(-1.0, 0.0, 10.0, 5), Some(0));
        assert_eq!(bucket(0.0, 0.0, 10.0, 5), Some(1));
        assert_eq!(bucket(10.0, 0.0, 10.0, 5), Some(6));
        assert_eq!(bucket(9.999, 0.0, 10.0, 5), Some(5));
        assert_eq!(bucket(0.0, 10.0, 0.0, 5), Some(6));
        assert_eq!(bucket(10.0, 10.0, 0.0, 5), Some(1));
        assert_eq!(bucket(1.0, 1.0, 1.0, 5), None);
        assert_eq!(bucket(1.0, 0.0, 2.0, 0), None);
    }
}
