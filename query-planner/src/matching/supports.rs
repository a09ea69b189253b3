//! Whose values are in a sum over matched patients: for each of its terms, and each value that many may share, the patients who have another.

use std::collections::BTreeSet;

use datafusion_expr::Expr;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::utils::conjunction;

use crate::bounds::Interval;
use crate::error::PlanError;
use crate::facts::Scope;
use crate::matching::nodes::Bit;
use crate::matching::rolled_up::Adds;
use crate::matching::tally::{Only, Tally};
use crate::matching::values::{Compare, Linear};
use crate::matching::view::{Col, not_yet_because};
use crate::measured::{Measured, Term, not_one_of_two, resting, short_ends};
use crate::supports::{added_up, is_made};
use crate::words::words;

/// A term of a figure: who has part in it beside a value that many may share, and what it measures.
pub(crate) struct Part {
    /// The rows that have another; none where these are all that have a value.
    pub whose: Option<Only>,
    /// The value, unscaled.
    pub rest: i128,
    /// Does it count who meets something?
    pub counts: bool,
    /// Values that it can have, if that is known.
    pub range: Option<Interval>,
    pub term: Term,
    pub atoms: crate::measured::Atoms,
    /// What is added, where it is a rolled up column.
    pub adds: Option<Adds>,
}

/// Whose values are in a figure, term by term; none for literals that are added to everybody's.
///
/// # Errors
/// `SUM_NOT_JUDGED`, `MEASURE_IN_CONDITION`; `NOT_YET` for conditions that cannot be followed.
pub(crate) fn parts(
    call: &AggregateFunction,
    squares: bool,
    only: &Only,
    measured: &mut Measured<'_>,
    (rolled_up, tally): (&BTreeSet<String>, &mut Tally<'_, '_, '_>),
) -> Result<Vec<Part>, PlanError> {
    let figure = measured.figure(call, squares)?;
    let many = figure.iter().filter(|(term, _)| !term.is_literal()).count() > 1;
    let whole = call.params.args.first().filter(|_| many);
    let mut parts = Vec::new();
    for (term, atoms) in figure.iter().filter(|(term, _)| !term.is_literal()) {
        let rolls_up = is_made(term, rolled_up);
        let Whose { values, counts, range, adds } = match in_rows(term, (whole, rolls_up), only, tally)? {
            Some(whose) => whose,
            None => of_patient(term, (whole, rolls_up), only, tally)?,
        };
        let part = |(rest, whose)| {
            let (term, atoms, adds) = (term.clone(), atoms.clone(), adds.clone());
            Part { whose, rest, counts, range, term, atoms, adds }
        };
        parts.extend(values.into_iter().map(part));
    }
    Ok(parts)
}

/// Who is not at each of the values that many may share.
struct Whose {
    values: Vec<(i128, Option<Only>)>,
    counts: bool,
    range: Option<Interval>,
    adds: Option<Adds>,
}

/// Of a term of one part's rows; none where it is not.
fn in_rows(
    term: &Term,
    (whole, rolls_up): (Option<&Expr>, bool),
    only: &Only,
    tally: &Tally<'_, '_, '_>,
) -> Result<Option<Whose>, PlanError> {
    let all = term.leaf.iter().chain(&term.when).chain(whole);
    let Some(all) = conjunction(all.map(|expr| expr.clone().is_not_null())) else { return Ok(None) };
    let Some((part, _)) = tally.view.local(&all) else { return Ok(None) };
    let inner = |expr: &Expr| tally.view.local(expr).map_or_else(|| expr.clone(), |(_, inner)| inner);
    let term = Term { leaf: term.leaf.as_ref().map(inner), when: term.when.iter().map(inner).collect() };
    let of = &tally.view.parts[part];
    let relation = of.facts(tally.nodes)?;
    let scope = Scope::over(of.schema(), &relation);
    let chosen: Vec<Expr> = only.rows.iter().filter(|(of, _)| *of == part).map(|(_, filter)| filter.clone()).collect();
    let resting = resting(&term, &chosen, &scope)?;
    let whole = whole.map(inner).filter(|whole| scope.fact(whole).nullable);
    let whose = |(rest, mut rows): (i128, Vec<Expr>)| {
        if !rows.is_empty() {
            rows.extend(whole.clone().map(Expr::is_not_null));
        }
        let whose = conjunction(rows).map(|rows| tally.also(part, rows, only)).transpose()?;
        Ok((rest, whose))
    };
    let values = resting.values.into_iter().map(whose).collect::<Result<_, PlanError>>()?;
    let adds = rolls_up.then(|| added_up(&term, &chosen, &scope).map(|value| Adds::Rows(part, value))).transpose()?;
    Ok(Some(Whose { values, counts: resting.counts, range: resting.range, adds }))
}

/// Of numbers of the patient.
fn of_patient(
    term: &Term,
    (whole, rolls_up): (Option<&Expr>, bool),
    only: &Only,
    tally: &mut Tally<'_, '_, '_>,
) -> Result<Whose, PlanError> {
    let (view, nodes) = (tally.view, &mut *tally.nodes);
    let mut bit = only.bit;
    for condition in &term.when {
        let holds = view.truth(condition, nodes)?.yes;
        bit = nodes.and(bit, holds);
    }
    let number = |expr: &Expr, nodes: &mut _| match view.column(expr, nodes) {
        Col::Patient(value) => value.number(nodes),
        Col::Refused(why) => Err(why),
        _ => Err(not_yet_because(format!("a sum of {}", words(expr)))),
    };
    if let Some(whole) = whole {
        let present = number(whole, nodes)?.present;
        bit = nodes.and(bit, present);
    }
    let of = |bit| Some(Only { bit, ..only.clone() });
    let Some(leaf) = &term.leaf else {
        return Ok(Whose { values: vec![(0, of(bit))], counts: true, range: None, adds: None });
    };
    let measured = number(leaf, nodes)?;
    let node = measured.node(nodes)?;
    let (range, digits) = (measured.range.unwrap_or_else(|| nodes.range(node)), measured.digits);
    let counts = (range.lo, range.hi) == (0, 1);
    not_one_of_two(leaf, Some(range).filter(|range| range.hi - range.lo == 1))?;
    let ends = short_ends(range).into_iter().filter(|end| *end != 0 && !counts);
    let mut values = Vec::new();
    for rest in std::iter::once(0).chain(ends) {
        let differs = measured.clone().compare(Compare::Equal, Linear::constant(rest, digits), nodes)?.no;
        values.push((rest, of(nodes.and(bit, differs))));
    }
    let adds = match rolls_up {
        true => {
            let there = nodes.and(bit, measured.present);
            let adds = nodes.select(there, node)?;
            Some(Adds::Patient(Linear { digits, ..Linear::of_node(adds, Bit::Yes) }))
        }
        false => None,
    };
    Ok(Whose { values, counts, range: Some(range), adds })
}

impl Tally<'_, '_, '_> {
    /// Of the rows that are left, those of a part that meet one more condition.
    fn also(&self, part: usize, condition: Expr, only: &Only) -> Result<Only, PlanError> {
        let own = match &only.rows {
            Some((of, filter)) if *of == part => Some(filter.clone()),
            Some(_) => {
                return Err(not_yet_because(format!(
                    "FILTER on another table's rows than {} is in",
                    words(&condition)
                )));
            }
            None => None,
        };
        let filter = own.map_or(condition.clone(), |own| own.and(condition));
        Ok(Only { rows: Some((part, filter)), bit: only.bit })
    }
}
