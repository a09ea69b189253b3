//! Values that many may share, so that a total less what it would be if all had them is the total of the few that have not.
//!
//! Let v be public, and n how many rows a sum of x is over. Then the sum less v·n adds up x − v over those alone whose x is not v: for v = 0 these
//! are the patients who have something, and for an end of the range those who are not at it. An analyst finds v in the declared range, or
//! makes it one (`x BETWEEN 7 AND 20`). So who is not at v is judged for v = 0 and, where the range is short, for its two ends; of a
//! wide one nearly nobody is at an end. A value within the range that all others have is not judged.

use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, ExprSchemable, lit};

use super::terms::{Term, refusal};
use crate::bounds::Interval;
use crate::error::{PlanError, refuse};
use crate::facts::{Fact, Scope};
use crate::value::Value;
use crate::words::words;

/// Who is not at each of a term's resting values.
#[derive(Debug, Clone)]
pub(crate) struct Resting {
    /// Does it count who meets something, so that it is a count like others?
    pub counts: bool,
    /// For each value, unscaled, 0 first: what the rows of the others meet besides that the sum takes them.
    pub values: Vec<(i128, Vec<Expr>)>,
    /// Values that rows can have, if that is known.
    pub range: Option<Interval>,
}

/// Of a term over rows that meet `chosen`.
///
/// # Errors
/// `SUM_NOT_JUDGED` where a range leaves two values.
pub(crate) fn resting(term: &Term, chosen: &[Expr], scope: &Scope<'_>) -> Result<Resting, PlanError> {
    let Some(leaf) = &term.leaf else {
        return Ok(Resting { counts: true, values: vec![(0, term.when.clone())], range: None });
    };
    let relation = scope.narrowed(term.when.iter().chain(chosen));
    let scope = &scope.knowing(&relation);
    let fact = scope.fact(leaf);
    let range = hull(&fact);
    let counts = is_flag(leaf, &fact)?;
    let mut rests = vec![0];
    if !counts && is_short(term, &fact, scope) {
        rests.extend(range.iter().flat_map(|values| [values.lo, values.hi]).filter(|end| *end != 0));
        rests.dedup();
    }
    let others = |rest| Ok((rest, others(term, rest, (range, fact.nullable), scope)?));
    Ok(Resting { counts, values: rests.into_iter().map(others).collect::<Result<_, PlanError>>()?, range })
}

/// The ends of a range of values that is short.
pub(crate) fn short_ends(values: Interval) -> Vec<i128> {
    let is_short = values.lo < values.hi && values.hi.checked_sub(values.lo).is_some_and(|width| width < SHORT);
    if is_short { vec![values.lo, values.hi] } else { Vec::new() }
}

/// What rows meet of which the term is there and not at that value; nothing where a value is there anyway.
fn others(
    term: &Term,
    rest: i128,
    (range, nullable): (Option<Interval>, bool),
    scope: &Scope<'_>,
) -> Result<Vec<Expr>, PlanError> {
    let mut rows = term.when.clone();
    let Some(leaf) = &term.leaf else { return Ok(rows) };
    if range.is_none_or(|values| (values.lo..=values.hi).contains(&rest)) {
        rows.push(leaf.clone().not_eq(lit(literal(rest, leaf, scope)?)));
    } else if !rows.is_empty() && nullable {
        rows.push(leaf.clone().is_not_null());
    }
    Ok(rows)
}

/// Is it one value or 0? Refuses what has one of two values else: its sum and the number of rows say how many have which.
fn is_flag(leaf: &Expr, fact: &Fact) -> Result<bool, PlanError> {
    let listed = fact.domain.as_ref().filter(|values| values.len() == 2).and_then(|values| Interval::of_values(values));
    let one_of_two = listed.or(fact.interval.filter(|values| values.hi.checked_sub(values.lo) == Some(1)));
    not_one_of_two(leaf, one_of_two).map(|()| one_of_two.is_some())
}

/// Refuses an interval whose ends alone are values and none of them 0 and the lower.
///
/// # Errors
/// `SUM_NOT_JUDGED`.
pub(crate) fn not_one_of_two(leaf: &Expr, ends: Option<Interval>) -> Result<(), PlanError> {
    match ends {
        Some(ends) if ends.lo != 0 => Err(refusal(&format!("{}, of which a range leaves two values,", words(leaf)))
            .hint("count one of them: COUNT(*) FILTER (WHERE …), or take a wider range")),
        _ => Ok(()),
    }
}

/// The ends of what is known of its values.
pub(crate) fn hull(fact: &Fact) -> Option<Interval> {
    let listed = fact.domain.as_ref().and_then(|values| Interval::of_values(values));
    match (listed, fact.interval) {
        (Some(listed), Some(mut range)) => {
            range.clip(Some(listed.lo), Some(listed.hi));
            Some(range)
        }
        (listed, range) => listed.or(range),
    }
}

/// Has it few values, or each column that it multiplies?
fn is_short(term: &Term, fact: &Fact, scope: &Scope<'_>) -> bool {
    let few = |fact: &Fact| {
        let listed = fact.domain.as_ref().is_some_and(|values| (2..=SHORT as usize).contains(&values.len()));
        listed || hull(fact).is_some_and(|values| !short_ends(values).is_empty())
    };
    few(fact) || term.factors().len() > 1 && term.factors().into_iter().all(|factor| few(&scope.fact(factor)))
}

fn literal(rest: i128, leaf: &Expr, scope: &Scope<'_>) -> Result<ScalarValue, PlanError> {
    let data_type = leaf.get_type(scope).map_err(|e| refuse(&e))?;
    if rest == 0 {
        return ScalarValue::new_zero(&data_type).map_err(|e| refuse(&e));
    }
    let value = match crate::slots::digits(&data_type) {
        Ok(Some(scale)) if !data_type.is_integer() => Some(Value::Decimal(rest, scale as i8)),
        _ => i64::try_from(rest).ok().map(Value::Int),
    };
    let scalar = value.and_then(|value| value.to_scalar(&data_type));
    scalar.ok_or_else(|| super::terms::not_judged(leaf))
}

/// Scales of clinical scores have fewer values.
const SHORT: i128 = 64;
