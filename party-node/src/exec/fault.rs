//! DataFusion's errors in our words. Its own texts may quote a value of a row, so none of them is passed on.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use query_planner::PlanError;

use crate::fault::NodeError;

/// The fault behind an error. `place` says whose work failed; `otherwise` is the code when nothing better is known.
pub(crate) fn in_our_words(error: &DataFusionError, place: &str, otherwise: &'static str) -> NodeError {
    let root = error.find_root();
    if let Some(ours) = ours(root) {
        return ours;
    }
    let kind = kind(root);
    let (code, what) = match kind {
        Kind::DivisionByZero => ("DIVISION_BY_ZERO", "a division by zero"),
        Kind::Overflow => ("ARITHMETIC_OVERFLOW", "a result that does not fit its type"),
        Kind::Cast => ("CAST_FAILED", "a value that cannot be converted to the type asked for"),
        Kind::ManyRows => ("SUBQUERY_ROWS", "a subquery used as a value has more than one row"),
        Kind::Bucket => ("BAD_ARGUMENT", "width_bucket needs finite bounds that differ, and at least one bucket"),
        Kind::Memory => ("OUT_OF_MEMORY", "the query needs more memory than it may use"),
        Kind::NotImplemented => ("UNSUPPORTED", "the query uses something that cannot be run"),
        Kind::Other => (otherwise, "the query could not be run"),
    };
    let fault = NodeError::new(code, format!("{place}: {what}"));
    match kind {
        Kind::DivisionByZero => fault.hint("divide by NULLIF(x, 0), or filter the rows first"),
        Kind::Overflow => fault.hint("cast an operand to DOUBLE or DECIMAL"),
        Kind::Cast => fault.hint("filter the rows first, or use TRY_CAST, which gives NULL"),
        _ => fault,
    }
}

/// A fault of ours that came back through DataFusion.
fn ours(error: &DataFusionError) -> Option<NodeError> {
    let inner = match error {
        DataFusionError::External(inner) => inner.as_ref(),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::ExternalError(inner) => inner.as_ref(),
            _ => return None,
        },
        _ => return None,
    };
    let node = inner.downcast_ref::<NodeError>().cloned();
    node.or_else(|| inner.downcast_ref::<PlanError>().cloned().map(NodeError::from))
}

#[derive(Clone, Copy)]
enum Kind {
    DivisionByZero,
    Overflow,
    Cast,
    ManyRows,
    Bucket,
    Memory,
    NotImplemented,
    Other,
}

fn kind(error: &DataFusionError) -> Kind {
    match error {
        DataFusionError::ArrowError(arrow, _) => arrow_kind(arrow),
        DataFusionError::External(inner) => match inner.downcast_ref::<ArrowError>() {
            Some(arrow) => arrow_kind(arrow),
            None => Kind::Other,
        },
        DataFusionError::ResourcesExhausted(_) => Kind::Memory,
        DataFusionError::NotImplemented(_) => Kind::NotImplemented,
        DataFusionError::Execution(text) => text_kind(text),
        _ => Kind::Other,
    }
}

fn arrow_kind(error: &ArrowError) -> Kind {
    match error {
        ArrowError::DivideByZero => Kind::DivisionByZero,
        ArrowError::ArithmeticOverflow(_) | ArrowError::OffsetOverflowError(_) => Kind::Overflow,
        ArrowError::CastError(_) | ArrowError::ParseError(_) => Kind::Cast,
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => text_kind(text),
        ArrowError::NotYetImplemented(_) => Kind::NotImplemented,
        _ => Kind::Other,
    }
}

/// What a function's own message is about, by its words.
fn text_kind(text: &str) -> Kind {
    let text = text.to_lowercase();
    let has = |word: &str| text.contains(word);
    if has("more than one row") {
        Kind::ManyRows
    } else if text.starts_with("width_bucket") {
        Kind::Bucket
    } else if has("zero") && has("divi") {
        Kind::DivisionByZero
    } else if has("overflow") || has("too large to store") || has("out of range") {
        Kind::Overflow
    } else if has("cast") || has("convert") || has("parse") || has("parsing") {
        Kind::Cast
    } else {
        Kind::Other
    }
}
