//! Integer `+`, `-`, `*`, negation and SUM that fail on overflow.
//!
//! DataFusion wraps: `9223372036854775807 + 1` is a negative number there, and an error in PostgreSQL. Its physical
//! expression has a switch (`with_fail_on_overflow`) that nothing sets and that no generic walk over physical plans
//! reaches, so the operators are replaced by functions while the plan is still logical. Decimal arithmetic, division and
//! the remainder are checked by Arrow already.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::sum::checked_sum;

/// Replaces integer operators by their checked functions, everywhere in a plan.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(check_node).map(|checked| checked.data)
    }

    fn name(&self) -> &str {
        "checked_arithmetic"
    }
}

fn check_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = match &plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
        }
        other => merge_schema(&other.inputs()),
    };
    let names = NamePreserver::new(&plan);
    let checked = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let checked = expr.transform_up(|expr| check_expr(expr, &schema))?;
        Ok(checked.update_data(|expr| name.restore(expr)))
    })?;
    checked.map_data(LogicalPlan::recompute_schema)
}

fn check_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (checked, args) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let integers = is_integer(&left, schema) && is_integer(&right, schema);
            match Checked::of(op).filter(|_| integers) {
                Some(checked) => (checked, vec![*left, *right]),
                None => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            }
        }
        Expr::Negative(inner) if is_integer(&inner, schema) => (Checked::Negate, vec![*inner]),
        Expr::AggregateFunction(call) if sums_integers(call.func.name(), &call.params, schema) => {
            let call = AggregateFunction { func: checked_sum(), params: call.params };
            return Ok(Transformed::yes(Expr::AggregateFunction(call)));
        }
        other => return Ok(Transformed::no(other)),
    };
    let signature = Signature::any(args.len(), Volatility::Immutable);
    let function = Arc::new(ScalarUDF::new_from_impl(CheckedFunction { checked, signature }));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: function, args })))
}

/// SUM(DISTINCT) stays DataFusion's, and wraps: no question about patients has been seen to need it near 2^63.
fn sums_integers(name: &str, call: &AggregateFunctionParams, schema: &DFSchema) -> bool {
    let [arg] = &call.args[..] else { return false };
    name == "sum" && !call.distinct && arg.get_type(schema).is_ok_and(|t| t == DataType::Int64)
}

fn is_integer(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|t| t.is_integer())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Checked {
    Add,
    Subtract,
    Multiply,
    Negate,
}

impl Checked {
    fn of(op: Operator) -> Option<Self> {
        match op {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    fn apply(self, args: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        match (self, args) {
            (Self::Add, [a, b]) => add(a, b),
            (Self::Subtract, [a, b]) => sub(a, b),
            (Self::Multiply, [a, b]) => mul(a, b),
            (Self::Negate, [a]) => neg(a),
            _ => Err(ArrowError::InvalidArgumentError("wrong number of arguments".into())),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedFunction {
    checked: Checked,
    signature: Signature,
}

impl ScalarUDFImpl for CheckedFunction {
    fn name(&self) -> &str {
        match self.checked {
            Checked::Add => "checked_add",
            Checked::Subtract => "checked_subtract",
            Checked::Multiply => "checked_multiply",
            Checked::Negate => "checked_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one] => Ok(one.clone()),
            [left, right] if left == right => Ok(left.clone()),
            _ => exec_err!("checked arithmetic needs operands of one type"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = self.checked.apply(&arrays)?;
        if constant && result.len() == 1 {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}
