//! Conditions between the rows of two parts, where only the existence of such a pair of rows matters:
//! there are a, b with a + c ≤ b exactly if the smallest a + c ≤ the largest b. And conditions between rows and numbers of
//! the patient, for which rows can also be looked at one by one.

use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::{Expr, Operator};

use crate::error::PlanError;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::tally::{Only, Tally};
use crate::matching::values::{Compare, Linear, Value};
use crate::matching::view::{View, Weight, not_yet_because};
use crate::matching::{codes, home};
use crate::words::words;

/// low + offset < high, or ≤.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub low: Side,
    /// Unscaled, and its decimal digits.
    pub offset: (i128, u8),
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
        if side.replace(Side::Rows { part, column }).is_some()
            || view.parts[part].ranked.is_some()
            || matches!(view.parts[part].weight, Weight::Optional(_))
        {
            return Err(unknown());
        }
    }
    let rest = form.patient.unwrap_or_else(|| Linear::constant(0, 0));
    let (low, high, offset) = match sides {
        (Some(low), Some(high)) if rest.terms.is_empty() => (low, high, (rest.constant, rest.digits)),
        (Some(low), None) => (low, Side::Patient(rest.times(-1)?), (0, 0)),
        (None, Some(high)) => (Side::Patient(rest), high, (0, 0)),
        _ => return Err(unknown()),
    };
    view.pairs.push(Pair { low, offset, high, strict });
    consistent(view).then_some(()).ok_or_else(unknown)
}

/// Adds the terms of `expr`, with their sign on the low side.
fn gather(expr: &Expr, plus: bool, view: &View, form: &mut Form, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
    match expr {
        Expr::Alias(alias) => gather(&alias.expr, plus, view, form, nodes),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right })
            if home::is_countable(expr, &view.schema) =>
        {
            gather(left, plus, view, form, nodes)?;
            gather(right, plus == (*op == Operator::Plus), view, form, nodes)
        }
        _ if view.local(expr).is_some_and(|(part, _)| !view.parts[part].is_unique) => {
            form.rows.extend(view.local(expr).map(|(part, inner)| (plus, part, inner)));
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
/// side, if it is always the same column. A part that is both has its rows looked at one by one, beside numbers of the
/// patient only.
fn consistent(view: &View) -> bool {
    (0..view.parts.len()).all(|part| {
        let roles = roles(view, part);
        let same_side = roles.iter().all(|one| one.0 == roles[0].0);
        roles.iter().all(|one| one.1 == roles[0].1) && (same_side || roles.iter().all(|one| one.2))
    })
}

/// For each condition on a part: is it the low side, its column, and is the other side a number of the patient?
fn roles(view: &View, part: usize) -> Vec<(bool, &Expr, bool)> {
    let of = |side: &'_ Side| matches!(side, Side::Patient(_));
    let sides =
        view.pairs.iter().flat_map(|pair| [(true, &pair.low, of(&pair.high)), (false, &pair.high, of(&pair.low))]);
    sides
        .filter_map(|(low, side, alone)| match side {
            Side::Rows { part: own, column } if *own == part => Some((low, column, alone)),
            _ => None,
        })
        .collect()
}

/// Is it in a condition at all?
pub(crate) fn is_compared(view: &View, part: usize) -> bool {
    !roles(view, part).is_empty()
}

/// Are all conditions on rows beside numbers of the patient, so that rows can be counted one by one?
pub(crate) fn are_countable(view: &View) -> bool {
    (0..view.parts.len()).all(|part| roles(view, part).iter().all(|role| role.2))
}

/// Is there a row in every part such that all conditions hold?
pub(crate) fn holds(tally: &mut Tally<'_, '_, '_>, filter: &Only) -> Result<Bit, PlanError> {
    let (mut all, mut one_by_one) = (Bit::Yes, Vec::new());
    for part in 0..tally.view.parts.len() {
        let roles = roles(tally.view, part);
        if roles.iter().any(|role| role.0) && roles.iter().any(|role| !role.0) {
            let any = any_of(hits(tally, part, filter)?, tally.nodes);
            all = tally.nodes.and(all, any);
            one_by_one.push(part);
        }
    }
    let seen = |side: &Side| matches!(side, Side::Rows { part, .. } if one_by_one.contains(part));
    for pair in tally.view.pairs.iter().filter(|pair| !seen(&pair.low) && !seen(&pair.high)).cloned() {
        let low = side(&pair.low, false, tally, filter)?;
        let high = side(&pair.high, true, tally, filter)?;
        let holds = pair.compare(low, high, tally.nodes)?;
        all = tally.nodes.and(all, holds);
    }
    Ok(all)
}

impl Pair {
    fn compare(&self, low: Linear, high: Linear, nodes: &mut Nodes<'_>) -> Result<Bit, PlanError> {
        let low = low.plus(Linear::constant(self.offset.0, self.offset.1), nodes)?;
        let how = if self.strict { Compare::Less } else { Compare::AtMost };
        Ok(low.compare(how, high, nodes)?.yes)
    }
}

/// Pairwise, so that the depth is logarithmic.
fn any_of(mut bits: Vec<Bit>, nodes: &mut Nodes<'_>) -> Bit {
    while bits.len() > 1 {
        bits = bits.chunks(2).map(|pair| pair.iter().fold(Bit::No, |any, bit| nodes.or(any, *bit))).collect();
    }
    bits.first().copied().unwrap_or(Bit::No)
}

/// For each row of a part in the order of the compared column: do all conditions hold?
pub(crate) fn hits(tally: &mut Tally<'_, '_, '_>, part: usize, filter: &Only) -> Result<Vec<Bit>, PlanError> {
    let (of, rows) = (&tally.view.parts[part], tally.choose(part, filter));
    let Some((_, column, _)) = roles(tally.view, part).first().copied() else { return Ok(Vec::new()) };
    if !rows.keys.is_empty() {
        let text = format!("comparing each {} with dates of the patient, for each group of its rows", words(column));
        return Err(not_yet_because(text).hint("group by columns of another table, or compare one end only"));
    }
    let (feature, encoding) = codes::events(of, column, &rows, tally.nodes)?;
    let places = tally.nodes.catalog.max_events * u32::try_from(of.source.sites.len()).unwrap_or(u32::MAX);
    let own = |side: &Side| matches!(side, Side::Rows { part: own, .. } if *own == part);
    let pairs: Vec<Pair> = tally.view.pairs.iter().filter(|p| own(&p.low) || own(&p.high)).cloned().collect();
    let mut hits = Vec::new();
    for n in 0..places {
        let value = codes::nth(feature, n, encoding, tally.nodes)?;
        let mut hit = value.present;
        for pair in &pairs {
            let number = |side: &Side| match side {
                Side::Patient(number) => number.clone(),
                Side::Rows { .. } => value.clone(),
            };
            let holds = pair.compare(number(&pair.low), number(&pair.high), tally.nodes)?;
            hit = tally.nodes.and(hit, holds);
        }
        hits.push(hit);
    }
    Ok(hits)
}

fn side(side: &Side, largest: bool, tally: &mut Tally<'_, '_, '_>, filter: &Only) -> Result<Linear, PlanError> {
    match side {
        Side::Patient(number) => Ok(number.clone()),
        Side::Rows { part, column } => {
            let rows = tally.choose(*part, filter);
            codes::extreme(&tally.view.parts[*part], column, &rows, largest, tally.nodes)
        }
    }
}
