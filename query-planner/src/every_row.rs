//! Expressions that have a value for every row. That a site's own work failed is an exact fact about some row, told before any ε is
//! taken; where figures have noise, what can fail is therefore refused before it is run.
//!
//! The list names what cannot fail; everything else is refused. What is known of values is what holds for all rows of the tables:
//! an expression may be computed for rows that a filter drops.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::{
    AggregateFunction, BinaryExpr, Cast, Like, ScalarFunction, WindowFunction, WindowFunctionParams,
};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator, WindowFrame, WindowFrameBound, WindowFrameUnits};

use crate::bounds::{Interval, converts, date_part, stays_inside, type_interval};
use crate::error::PlanError;
use crate::facts::{Scope, walk_unfiltered};
use crate::matched::{Matching, What};
use crate::matching::SUM_BITS;
use crate::noise::not_available;
use crate::words::words;

/// Refuses work with an expression that may have no value for some row.
///
/// # Errors
/// `NOISE_NOT_AVAILABLE`, or `NOISE_NEEDS_BOUND` where a declaration would do.
pub(crate) fn has_values(plan: &LogicalPlan) -> Result<(), PlanError> {
    walk_unfiltered(plan, &mut |node, scope| {
        let mut found = Ok(());
        // The closures never fail: the refusal is carried out in `found`.
        let _ = node.apply_expressions(|top| {
            top.apply(|expr| {
                if found.is_ok() {
                    found = has_value(expr, scope);
                }
                Ok(if found.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        });
        found
    })
    .map(drop)
}

/// Refuses sums of each patient that may not fit the bits of the plan.
///
/// # Errors
/// `NOISE_NEEDS_BOUND`.
pub(crate) fn fit(matching: Option<&Matching>) -> Result<(), PlanError> {
    let features = matching.iter().flat_map(|matching| &matching.features);
    let mut sums = features.filter(|feature| matches!(feature.what, What::Sum(..)));
    match sums.any(|feature| feature.bits >= SUM_BITS) {
        true => Err(needs_bound(
            "the sum of a patient's values may not fit its bits".into(),
            "declare range or clamp of its column",
        )),
        false => Ok(()),
    }
}

/// Has it a value wherever its operands have one?
fn has_value(expr: &Expr, scope: &Scope<'_>) -> Result<(), PlanError> {
    match expr {
        Expr::Alias(_) | Expr::Column(_) | Expr::Literal(..) | Expr::TryCast(_) => Ok(()),
        Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) => Ok(()),
        Expr::IsUnknown(_) | Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => Ok(()),
        Expr::Between(_) | Expr::InList(_) | Expr::Case(_) => Ok(()),
        Expr::Negative(inner) if is_real(inner, scope) || stays_inside(expr, scope) => Ok(()),
        Expr::Negative(inner) => Err(beyond_its_type(expr, inner)),
        Expr::BinaryExpr(binary) => operator(expr, binary, scope),
        Expr::Like(like) if is_short(like) => Ok(()),
        Expr::Like(_) => Err(may_fail(expr, "compare with a short pattern that is written in the question")),
        Expr::Cast(cast) => conversion(expr, cast, scope),
        Expr::ScalarFunction(call) => function(expr, call, scope),
        Expr::AggregateFunction(call) => aggregate(expr, call, scope),
        Expr::WindowFunction(call) => window(expr, call, scope),
        _ => Err(may_fail(expr, "leave it out")),
    }
}

fn operator(expr: &Expr, binary: &BinaryExpr, scope: &Scope<'_>) -> Result<(), PlanError> {
    use Operator::{And, Divide, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, Minus, Modulo};
    use Operator::{Multiply, NotEq, Or, Plus};
    let reals = is_real(&binary.left, scope) && is_real(&binary.right, scope);
    match binary.op {
        Eq | NotEq | Lt | LtEq | Gt | GtEq | And | Or | IsDistinctFrom | IsNotDistinctFrom => Ok(()),
        // A double that is too large, or divided by 0, is infinite or no number: a value for what compares it.
        Plus | Minus | Multiply | Divide | Modulo if reals => Ok(()),
        Plus | Minus | Multiply if stays_inside(expr, scope) => Ok(()),
        Plus | Minus if is_time(&binary.left, scope) || is_time(&binary.right, scope) => Err(needs_bound(
            format!("{} may leave its type", words(expr)),
            "compare days between two dates with a number: date_a - date_b < 30",
        )),
        Plus | Minus | Multiply => Err(beyond_its_type(expr, expr)),
        Divide | Modulo if divides(binary, scope) => Ok(()),
        Divide | Modulo => Err(needs_bound(
            format!("{} may divide by 0 or leave its type", words(expr)),
            "declare a range of the divisor without 0, divide integers by NULLIF(x, 0), or divide doubles (CAST AS DOUBLE)",
        )),
        _ => Err(may_fail(expr, "leave it out")),
    }
}

/// Division of integers that are never divided by 0, nor the least one by −1, which has no place in the type.
fn divides(binary: &BinaryExpr, scope: &Scope<'_>) -> bool {
    let integers = [&binary.left, &binary.right].map(|side| side.get_type(scope).is_ok_and(|t| t.is_integer()));
    let Some((left, right)) = scope.interval(&binary.left).zip(scope.interval(&binary.right)) else { return false };
    let has = |interval: Interval, value: i128| (interval.lo..=interval.hi).contains(&value);
    let least = binary.left.get_type(scope).ok().and_then(|t| type_interval(&t)).map(|widest| widest.lo);
    let leaves = least.is_none_or(|least| has(left, least)) && has(right, -1);
    integers == [true, true] && (is_never_zero(&binary.right) || !has(right, 0)) && !leaves
}

/// `NULLIF(x, 0)`.
fn is_never_zero(divisor: &Expr) -> bool {
    match divisor {
        Expr::ScalarFunction(call) if call.name() == "nullif" => {
            matches!(call.args.get(1), Some(Expr::Literal(ScalarValue::Int64(Some(0)), _)))
        }
        _ => false,
    }
}

fn is_short(like: &Like) -> bool {
    text(&like.pattern).is_some_and(|pattern| pattern.len() <= MAX_PATTERN) && like.escape_char.is_none()
}

fn conversion(expr: &Expr, cast: &Cast, scope: &Scope<'_>) -> Result<(), PlanError> {
    use DataType::{Boolean, Date32, Decimal128, Float64, Int32, Int64, LargeUtf8, Null, Utf8, Utf8View};
    let Ok(from) = cast.expr.get_type(scope) else { return Err(may_fail(expr, "leave it out")) };
    let to = cast.field.data_type();
    let exact = from.is_integer() || matches!(from, Decimal128(..));
    let is_text = |data_type: &DataType| matches!(data_type, Utf8 | LargeUtf8 | Utf8View);
    let never_fails = match to {
        same if *same == from || from == Null => true,
        Utf8 | LargeUtf8 | Utf8View => exact || is_text(&from) || matches!(from, Boolean | Float64 | Date32),
        Float64 => exact || matches!(from, Boolean | DataType::Float32),
        Boolean => from.is_integer(),
        Int32 | Int64 if from == Date32 => true,
        _ => converts(&cast.expr, to, scope),
    };
    let declared = exact && type_interval(to).is_some();
    match (never_fails, declared) {
        (true, _) => Ok(()),
        (false, true) => Err(needs_bound(
            format!("not every value of {} is known to fit {to}", words(&cast.expr)),
            "declare a range of its column that fits, or use TRY_CAST, which gives NULL",
        )),
        (false, false) => Err(may_fail(expr, "use TRY_CAST, which gives NULL")),
    }
}

fn function(expr: &Expr, call: &ScalarFunction, scope: &Scope<'_>) -> Result<(), PlanError> {
    let args = &call.args[..];
    let has = match call.name() {
        name if ALWAYS.contains(&name) => true,
        name if OF_A_REAL.contains(&name) => args.len() == 1 && is_real(&args[0], scope),
        "abs" => match args {
            // The least integer has no absolute value in its type.
            [of] => is_real(of, scope) || stays_inside(&Expr::Negative(Box::new(of.clone())), scope),
            _ => false,
        },
        "date_part" => {
            let year = || args.first().and_then(text).is_some_and(|part| part.eq_ignore_ascii_case("year"));
            date_part(args).is_some() || year()
        }
        "substr" | "left" | "right" => args[1..].iter().all(|place| small(place).is_some()),
        "width_bucket" => has_buckets(args, scope),
        _ => false,
    };
    if has {
        Ok(())
    } else {
        Err(may_fail(expr, "declare ranges of its arguments, write its bounds, or do without it"))
    }
}

/// Bounds that are written in the question and make buckets, of a value that is a number.
fn has_buckets(args: &[Expr], scope: &Scope<'_>) -> bool {
    let real = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Float64(Some(bound)), _) if bound.is_finite() => Some(*bound),
        _ => None,
    };
    // What tables hold is finite; what is computed may be no number at all.
    let is_number = |expr: &Expr| match expr {
        Expr::Column(column) => scope.column(column).is_some_and(|fact| fact.origins.len() == 1),
        Expr::Cast(cast) => cast.expr.get_type(scope).is_ok_and(|t| type_interval(&t).is_some()),
        _ => false,
    };
    let [value, lo, hi, number] = args else { return false };
    let differ = real(lo).zip(real(hi)).is_some_and(|(lo, hi)| lo != hi);
    is_number(value) && differ && small(number).is_some_and(|number| number >= 1)
}

fn aggregate(expr: &Expr, call: &AggregateFunction, scope: &Scope<'_>) -> Result<(), PlanError> {
    match call.func.name() {
        "count" | "min" | "max" | "bool_and" | "bool_or" => Ok(()),
        "avg" if call.params.args.iter().all(|arg| is_real(arg, scope)) => Ok(()),
        "sum" => sum(expr, &call.params.args, scope),
        _ => Err(may_fail(expr, AVAILABLE)),
    }
}

/// As many values as there can be rows fit the type of their sum.
fn sum(expr: &Expr, args: &[Expr], scope: &Scope<'_>) -> Result<(), PlanError> {
    let [arg] = args else { return Err(may_fail(expr, AVAILABLE)) };
    if is_real(arg, scope) {
        return Ok(());
    }
    let rows = Interval { lo: 0, hi: scope.rows.into() };
    let all = scope.interval(arg).and_then(|of_one| of_one.multiply(rows));
    let widest = expr.get_type(scope).ok().and_then(|data_type| type_interval(&data_type));
    match all.zip(widest).is_some_and(|(all, widest)| all.within(widest)) {
        true => Ok(()),
        false => Err(beyond_its_type(expr, arg)),
    }
}

fn window(expr: &Expr, call: &WindowFunction, scope: &Scope<'_>) -> Result<(), PlanError> {
    let WindowFunctionParams { args, window_frame, .. } = &call.params;
    let is_of_places = |frame: &WindowFrame| {
        let bound = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::CurrentRow => true,
            WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => {
                // Of values, a bound is computed from the row's own.
                by.is_null() || frame.units == WindowFrameUnits::Rows && scalar_small(by).is_some()
            }
        };
        bound(&frame.start_bound) && bound(&frame.end_bound)
    };
    let written = args.iter().skip(1).all(|arg| small(arg).is_some());
    match call.fun.name() {
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" => Ok(()),
        "lag" | "lead" if written => Ok(()),
        "first_value" | "last_value" | "count" | "min" | "max" if is_of_places(window_frame) => Ok(()),
        "avg" if is_of_places(window_frame) && args.iter().all(|arg| is_real(arg, scope)) => Ok(()),
        "sum" if is_of_places(window_frame) => sum(expr, args, scope),
        _ => Err(may_fail(expr, AVAILABLE)),
    }
}

fn is_time(expr: &Expr, scope: &Scope<'_>) -> bool {
    expr.get_type(scope).is_ok_and(|data_type| data_type.is_temporal())
}

fn is_real(expr: &Expr, scope: &Scope<'_>) -> bool {
    expr.get_type(scope).is_ok_and(|data_type| data_type == DataType::Float64)
}

/// A text that is written in the question.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(scalar, _) => scalar.try_as_str().flatten(),
        _ => None,
    }
}

/// A number that is written in the question and far from the ends of its type.
fn small(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Literal(scalar, _) => scalar_small(scalar),
        _ => None,
    }
}

fn scalar_small(scalar: &ScalarValue) -> Option<u64> {
    let number = match scalar {
        ScalarValue::Int64(Some(number)) => u64::try_from(*number).ok()?,
        ScalarValue::UInt64(Some(number)) => *number,
        _ => return None,
    };
    (number <= 1 << 20).then_some(number)
}

fn beyond_its_type(expr: &Expr, of: &Expr) -> PlanError {
    let hint = format!(
        "declare range or clamp of the columns of {}, bound it with LEAST and GREATEST, or compute with doubles (CAST AS DOUBLE)",
        words(of)
    );
    needs_bound(format!("{} may leave its type", words(expr)), &hint)
}

fn needs_bound(what: String, hint: &str) -> PlanError {
    let text = format!("{what}: that it failed on a row would be told without noise");
    PlanError::new("NOISE_NEEDS_BOUND", text).hint(hint)
}

fn may_fail(expr: &Expr, hint: &str) -> PlanError {
    not_available(&format!("{} may fail on a row, which would be told without noise", words(expr))).hint(hint)
}

const AVAILABLE: &str = "below the answer there are COUNT, SUM, AVG, MIN, MAX, ranks, LAG and LEAD";

/// Functions that have a value for all arguments of their types. None makes texts much longer than its own: a batch of rows
/// has room for 2^31 bytes.
const ALWAYS: [&str; 18] = [
    "coalesce",
    "nullif",
    "nvl",
    "greatest",
    "least",
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "character_length",
    "octet_length",
    "starts_with",
    "ends_with",
    "contains",
    "strpos",
    "isnan",
    "iszero",
];

/// The same of one double.
const OF_A_REAL: [&str; 5] = ["floor", "ceil", "round", "signum", "exp"];

/// A longer pattern could be more than can be compiled.
const MAX_PATTERN: usize = 128;
