//! `APPROX_COUNT_DISTINCT(x)`: over rows of the sites a sketch of their union, which several sites can make together
//! without matching anything; over rows that one party has by itself, the exact number.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ExprSchemable, Signature, Volatility};
use datafusion_functions_aggregate::count::Count;

use crate::approximate::{LEVELS, MAX_SKETCHES, REGISTERS, STANDARD_ERROR};
use crate::error::{PlanError, refuse};
use crate::plan::{Groups, Output, SketchOf};
use crate::slots::{Slots, as_carrier};
use crate::value::carrier;
use crate::words::words;

/// DataFusion's name, under which it stands in plans.
pub(crate) const NAME: &str = "approx_distinct";

/// The function, in the place of DataFusion's own.
pub(crate) fn approx_distinct() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(ApproxDistinct {
        count: Count::new(),
        signature: Signature::any(1, Volatility::Immutable),
        aliases: vec!["approx_count_distinct".into()],
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ApproxDistinct {
    count: Count,
    signature: Signature,
    aliases: Vec<String>,
}

impl AggregateUDFImpl for ApproxDistinct {
    fn name(&self) -> &str {
        NAME
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.count.state_fields(StateFieldsArgs { is_distinct: true, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.count.accumulator(AccumulatorArgs { is_distinct: true, ..args })
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }
}

impl Slots<'_> {
    /// Adds a sketch of the values of a column. DISTINCT changes nothing.
    ///
    /// # Errors
    /// `SKETCH_REVEALS` where small cells are hidden, `TYPE_MISMATCH` for values that have no canonical form,
    /// `UNSUPPORTED` for an order.
    pub(crate) fn sketch(&mut self, call: &AggregateFunction) -> std::result::Result<Output, PlanError> {
        let [arg] = &call.params.args[..] else {
            return Err(PlanError::new("UNSUPPORTED", "APPROX_COUNT_DISTINCT of several columns is not supported"));
        };
        if !call.params.order_by.is_empty() || call.params.null_treatment.is_some() {
            return Err(PlanError::new("UNSUPPORTED", "APPROX_COUNT_DISTINCT has no order"));
        }
        if self.hides() {
            let text = format!(
                "APPROX_COUNT_DISTINCT of {} tells small numbers almost exactly, and whether a number of patients is small \
                 cannot be judged by it without telling it",
                words(arg)
            );
            return Err(PlanError::new("SKETCH_REVEALS", text)
                .hint("ask for COUNT(DISTINCT …) of the patient key: it is exact, and small counts are hidden"));
        }
        let data_type = arg.get_type(self.scope).map_err(|e| refuse(&e))?;
        let carrier = carrier(&data_type).ok_or_else(|| {
            let text =
                format!("APPROX_COUNT_DISTINCT of {}: values of type {data_type} cannot be compared", words(arg));
            PlanError::new("TYPE_MISMATCH", text)
        })?;
        let column = self.column("arg", as_carrier(arg.clone(), &carrier, self.scope), words(arg));
        let filter = call.params.filter.as_deref();
        let filter = filter.map(|f| self.column("filter", f.clone(), format!("only where {}", words(f))));
        let sketch = SketchOf { column, filter };
        let at = self.sketches.iter().position(|known| *known == sketch).unwrap_or(self.sketches.len());
        if at == self.sketches.len() {
            self.sketches.push(sketch);
        }
        Ok(Output::Approximate(at))
    }
}

/// Refuses more sketches than can be combined in reasonable time. How many keys are agreed is known during the run only,
/// and judged there.
///
/// # Errors
/// `TOO_MANY_GROUPS`.
pub(crate) fn few_enough(sketches: usize, groups: &Groups, most: u64) -> std::result::Result<(), PlanError> {
    let all = (sketches as u64).saturating_mul(most);
    if matches!(groups, Groups::Agreed { .. }) || all <= MAX_SKETCHES as u64 {
        return Ok(());
    }
    let text = format!("{sketches} sketches in each of {most} groups are too many: at most {MAX_SKETCHES} in all");
    Err(PlanError::new("TOO_MANY_GROUPS", text).hint("group by fewer or coarser columns"))
}

/// The error as a reader would say it.
pub(crate) fn error_words() -> String {
    format!("standard error {:.1} % (1.04/√{REGISTERS})", 100.0 * STANDARD_ERROR)
}

/// What a sketch is made of.
pub(crate) fn size_words() -> String {
    format!("{REGISTERS} registers of {LEVELS} levels")
}
