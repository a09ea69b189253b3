//! Whose values are in a sum over matched patients: for each of its terms the patients for whom it is not 0.

use datafusion_expr::Expr;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::utils::conjunction;

use crate::error::PlanError;
use crate::facts::Scope;
use crate::matching::nodes::Bit;
use crate::matching::tally::{Only, Tally};
use crate::matching::values::{Compare, Linear};
use crate::matching::view::{Col, not_yet_because};
use crate::measured::{Measured, Term};
use crate::supports::{not_one_of_two, not_zero};
use crate::words::words;

/// A term of a figure: who has part in it, and what it measures.
pub(crate) struct Part {
    /// The rows whose term is not 0; none where these are all that have a value.
    pub whose: Option<Only>,
    pub term: Term,
    pub atoms: crate::measured::Atoms,
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
    tally: &mut Tally<'_, '_, '_>,
) -> Result<Vec<Part>, PlanError> {
    let figure = measured.figure(call, squares)?;
    let many = figure.iter().filter(|(term, _)| !term.is_literal()).count() > 1;
    let mut parts = Vec::new();
    for (term, atoms) in figure {
        if term.is_literal() {
            continue;
        }
        let whole = call.params.args.first().filter(|_| many);
        let whose = whose(&term, whole, only, tally)?;
        parts.push(Part { whose, term, atoms });
    }
    Ok(parts)
}

fn whose(
    term: &Term,
    whole: Option<&Expr>,
    only: &Only,
    tally: &mut Tally<'_, '_, '_>,
) -> Result<Option<Only>, PlanError> {
    match in_rows(term, whole, tally)? {
        Some((_, None)) => Ok(None),
        Some((part, Some(rows))) => tally.also(part, rows, only).map(Some),
        None => {
            let bit = of_patient(term, whole, tally)?;
            let bit = tally.nodes.and(only.bit, bit);
            Ok(Some(Only { bit, ..only.clone() }))
        }
    }
}

/// The part whose rows a term is in, and what these meet; none where it is not of one part's rows.
fn in_rows(
    term: &Term,
    whole: Option<&Expr>,
    tally: &Tally<'_, '_, '_>,
) -> Result<Option<(usize, Option<Expr>)>, PlanError> {
    let all = term.leaf.iter().chain(&term.when).chain(whole);
    let Some(all) = conjunction(all.map(|expr| expr.clone().is_not_null())) else { return Ok(None) };
    let Some((part, _)) = tally.view.local(&all) else { return Ok(None) };
    let inner = |expr: &Expr| tally.view.local(expr).map_or_else(|| expr.clone(), |(_, inner)| inner);
    let term = Term { leaf: term.leaf.as_ref().map(inner), when: term.when.iter().map(inner).collect() };
    let of = &tally.view.parts[part];
    let relation = of.facts(tally.nodes)?;
    let scope = Scope::over(of.schema(), &relation);
    let mut rows = not_zero(&term, &scope)?;
    let whole = whole.filter(|_| !rows.is_empty()).map(inner);
    rows.extend(whole.filter(|whole| scope.fact(whole).nullable).map(Expr::is_not_null));
    Ok(Some((part, conjunction(rows))))
}

/// Of numbers of the patient.
fn of_patient(term: &Term, whole: Option<&Expr>, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
    let (view, nodes) = (tally.view, &mut *tally.nodes);
    let mut bit = Bit::Yes;
    for condition in &term.when {
        let holds = view.truth(condition, nodes)?.yes;
        bit = nodes.and(bit, holds);
    }
    let number = |expr: &Expr, nodes: &mut _| match view.column(expr, nodes) {
        Col::Patient(value) => value.number(nodes),
        Col::Refused(why) => Err(why),
        _ => Err(not_yet_because(format!("a sum of {}", words(expr)))),
    };
    if let Some(leaf) = &term.leaf {
        let measured = number(leaf, nodes)?;
        let node = measured.node(nodes)?;
        not_one_of_two(leaf, Some(nodes.range(node)))?;
        let differs = measured.compare(Compare::Equal, Linear::constant(0, 0), nodes)?.no;
        bit = nodes.and(bit, differs);
    }
    if let Some(whole) = whole {
        let present = number(whole, nodes)?.present;
        bit = nodes.and(bit, present);
    }
    Ok(bit)
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
