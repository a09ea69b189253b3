//! Conditions between the rows of two parts, where only the existence of such a pair of rows matters:
//! there are a, b with a + c ≤ b exactly if the smallest a + c ≤ the largest b.

use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::{Expr, Operator};

use crate::error::PlanError;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::tally::Tally;
use crate::matching::values::{Compare, Linear, Value};
use crate::matching::view::{Col, View, not_yet_because};
use crate::matching::{codes, home};
use crate::words::words;

/// low + offset < high, or ≤.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub low: Side,
    pub offset: i128,
    pub high: Side,
    pub strict: bool,
}

/// One side: rows of a part, or a number of the patient.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    Rows { part: usize, column: Expr },
    Patient(Linear),
}

/// A sum of row columns and numbers of the patient, each once.
#[derive(Debug, Default)]
struct Form {
    rows: Vec<(bool, usize, Expr)>,
    patient: Option<Linear>,
}

/// Takes in a comparison between the rows of two parts, or between rows and a number of the patient.
///
/// # Errors
/// `NOT_YET` with the reason when the condition is not of that form.
pub(crate) fn restrict(view: &mut View, condition: &Expr, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
    let unknown = || {
        not_yet_because(format!("the condition {} between rows of two tables", words(condition))).hint(
            "only one comparison by <, <=, > or >= of dates or numbers, or conditions on each patient's MIN and MAX",
        )
    };
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return Err(unknown()) };
    let (low, high, strict) = match op {
        Operator::Lt => (left, right, true),
        Operator::LtEq => (left, right, false),
        Operator::Gt => (right, left, true),
        Operator::GtEq => (right, left, false),
        _ => return Err(unknown()),
    };
    let mut form = Form::default();
    gather(low, true, view, &mut form, nodes)?;
    gather(high, false, view, &mut form, nodes)?;
    let mut sides = (None, None);
    for (is_low, part, column) in form.rows {
        let side = if is_low { &mut sides.0 } else { &mut sides.1 };
        if side.replace(Side::Rows { part, column }).is_some() || view.parts[part].ranked.is_some() {
            return Err(unknown());
        }
    }
    let rest = form.patient.unwrap_or_else(|| Linear::constant(0, 0));
    let (low, high, offset) = match sides {
        (Some(low), Some(high)) if rest.terms.is_empty() => (low, high, rest.constant),
        (Some(low), None) => (low, Side::Patient(rest.times(-1)?), 0),
        (None, Some(high)) => (Side::Patient(rest), high, 0),
        _ => return Err(unknown()),
    };
    view.pairs.push(Pair { low, offset, high, strict });
    consistent(view).then_some(()).ok_or_else(unknown)
}

/// Adds the terms of `expr`, with their sign on the low side.
fn gather(expr: &Expr, plus: bool, view: &View, form: &mut Form, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
    match home::peeled(expr) {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) => {
            gather(left, plus, view, form, nodes)?;
            gather(right, plus == (*op == Operator::Plus), view, form, nodes)
        }
        Expr::Column(column) if matches!(view.named(column)?, Col::Row(part, _) if !view.parts[*part].is_unique) => {
            let Col::Row(part, inner) = view.named(column)?.clone() else { return Ok(()) };
            form.rows.push((plus, part, inner));
            Ok(())
        }
        other => {
            let number = match view.value(other, nodes)? {
                Value::Truth(_) => return Err(super::unmatchable(format!("{} is no number", words(other)))),
                value => value.number(nodes)?,
            };
            let signed = if plus { number } else { number.times(-1)? };
            form.patient = Some(match form.patient.take() {
                Some(known) => known.plus(signed, nodes)?,
                None => signed,
            });
            Ok(())
        }
    }
}

/// The smallest rows of a part serve all conditions in which it is the low side, and the largest where it is the high
/// side, if it is always the same column; a part that is both needs its rows one by one.
fn consistent(view: &View) -> bool {
    let role = |part: usize| {
        let sides = view.pairs.iter().flat_map(|pair| [(true, &pair.low), (false, &pair.high)]);
        sides.filter_map(move |(low, side)| match side {
            Side::Rows { part: of, column } if *of == part => Some((low, column)),
            _ => None,
        })
    };
    (0..view.parts.len()).all(|part| role(part).all(|one| role(part).all(|other| one == other)))
}

/// Is there a row in every part such that all conditions hold?
pub(crate) fn holds(tally: &mut Tally<'_, '_, '_>, filter: &super::tally::Only) -> Result<Bit, PlanError> {
    let mut all = Bit::Yes;
    for pair in tally.view.pairs.clone() {
        let low = side(&pair.low, false, tally, filter)?;
        let high = side(&pair.high, true, tally, filter)?;
        let nodes = &mut *tally.nodes;
        let low = low.plus(Linear::constant(pair.offset, 0), nodes)?;
        let how = if pair.strict { Compare::Less } else { Compare::AtMost };
        let holds = low.compare(how, high, nodes)?.yes;
        all = nodes.and(all, holds);
    }
    Ok(all)
}

fn side(
    side: &Side,
    largest: bool,
    tally: &mut Tally<'_, '_, '_>,
    filter: &super::tally::Only,
) -> Result<Linear, PlanError> {
    match side {
        Side::Patient(number) => Ok(number.clone()),
        Side::Rows { part, column } => {
            let rows = tally.choose(*part, filter);
            codes::extreme(&tally.view.parts[*part], column, &rows, largest, tally.nodes)
        }
    }
}
