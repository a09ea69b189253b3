//! Windows over the rows of each patient: numbered rows, and the row before or after.

use std::collections::BTreeMap;

use datafusion_common::DFSchemaRef;
use datafusion_expr::expr::{BinaryExpr, NullTreatment, WindowFunction};
use datafusion_expr::logical_plan::Window;
use datafusion_expr::{Expr, Operator};

use crate::bounds::Interval;
use crate::error::PlanError;
use crate::facts::Scope;
use crate::matched::Node;
use crate::matching::codes::{self, Choose};
use crate::matching::home::{is_countable, kept, peeled};
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::values::{Linear, Value, exact};
use crate::matching::view::{Col, Part, View, Weight, not_yet_because};
use crate::value::Value as Constant;
use crate::wording::wording;
use crate::words::words;

/// The order in which the rows of a patient are numbered, and which of them are kept.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    /// Over the part's columns.
    pub order: Expr,
    pub descending: bool,
    /// Do rows without a value come before all others?
    nulls_first: bool,
    keep: Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Rows numbered `from` (1 is the first) to `to`.
    Ranks { from: u64, to: Option<u64> },
    /// Rows whose distance from their neighbour is in these bounds.
    Gaps { at_least: u64, at_most: Option<u64> },
}

/// Σ coefficient · the ranked column so many rows further (in ascending order) + constant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Steps {
    terms: BTreeMap<i64, i128>,
    constant: i128,
}

const ALL: Keep = Keep::Ranks { from: 1, to: None };

/// Takes in a window: ROW_NUMBER, LAG and LEAD over the rows of each patient.
///
/// # Errors
/// `NOT_YET` for other functions, partitions and orders.
pub(crate) fn ranked(mut view: View, window: &Window, nodes: &Nodes<'_>) -> Result<View, PlanError> {
    for expr in &window.window_expr {
        let function = function(expr)
            .ok_or_else(|| PlanError::new("UNSUPPORTED", format!("{} is not supported", expr.human_display())))?;
        let column = add(&mut view, function, nodes)?;
        view.columns.push(column);
    }
    Ok(View { schema: window.schema.clone(), ..view })
}

fn function(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => function(&alias.expr),
        Expr::WindowFunction(function) => Some(function),
        _ => None,
    }
}

fn add(view: &mut View, function: &WindowFunction, nodes: &Nodes<'_>) -> Result<Col, PlanError> {
    let (name, key) = (function.fun.name(), &nodes.catalog.patient_key);
    let params = &function.params;
    if !matches!(&params.partition_by[..], [only] if view.key(only).is_some()) {
        let text = format!("{name} over the rows of several sites that is not PARTITION BY {key}");
        return Err(not_yet_because(text));
    }
    let plain =
        params.filter.is_none() && !params.distinct && params.null_treatment != Some(NullTreatment::IgnoreNulls);
    let order = params.order_by.first().and_then(|first| Some((view.local(&first.expr)?, first)));
    let (Some(((part, order), sort)), true) = (order, plain) else {
        return Err(not_yet_because(format!("{name} without an ORDER BY of a column of the same rows")));
    };
    let ranked = Ranked { order, descending: !sort.asc, nulls_first: sort.nulls_first, keep: ALL };
    let target = &mut view.parts[part];
    let known = target.ranked.get_or_insert_with(|| ranked.clone());
    let same = (&known.order, known.descending, known.keep) == (&ranked.order, ranked.descending, ALL);
    if !same || view.parts.len() != 1 || view.parts[0].weight != Weight::Rows || !view.pairs.is_empty() {
        return Err(not_yet_because(format!("{name} over rows that are joined, or numbered in another order, before")));
    }
    let back = match name {
        "row_number" => return Ok(Col::Rank(part)),
        "lag" => -1,
        "lead" => 1,
        _ => {
            let text = format!("{name} over the rows of several sites");
            return Err(not_yet_because(text).hint("available for each patient: ROW_NUMBER, LAG and LEAD"));
        }
    };
    let one =
        |arg: &Expr| matches!(peeled(arg), Expr::Literal(s, _) if Constant::from_scalar(s) == Some(Constant::Int(1)));
    if !is_countable(&ranked.order, view.parts[part].schema()) {
        return Err(not_yet_because(format!("{name} of anything but dates and numbers")));
    }
    let of_order = params.args.first().and_then(|arg| view.local(arg)).is_some_and(|(_, inner)| inner == ranked.order);
    if !of_order || params.args.len() > 2 || !params.args[1..].iter().all(one) {
        return Err(not_yet_because(format!(
            "{name} of another column than that of ORDER BY, or of another row than the next"
        )));
    }
    let by = if ranked.descending { -back } else { back };
    Ok(Col::Steps(part, Steps { terms: BTreeMap::from([(by, 1)]), constant: 0 }))
}

/// The steps of an expression over the ranked column of one part and its neighbours.
pub(crate) fn steps(view: &View, expr: &Expr) -> Option<(usize, Steps)> {
    match kept(expr, &view.schema) {
        Expr::Column(column) => match view.named(column).ok()? {
            Col::Steps(part, steps) => Some((*part, steps.clone())),
            Col::Row(part, inner) => {
                let ranked = view.parts[*part].ranked.as_ref()?;
                let here = Steps { terms: BTreeMap::from([(0, 1)]), constant: 0 };
                (ranked.order == *inner).then_some((*part, here))
            }
            _ => None,
        },
        sum @ Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right })
            if is_countable(sum, &view.schema) =>
        {
            let sign = if *op == Operator::Plus { 1 } else { -1 };
            match (steps(view, left), steps(view, right)) {
                (Some((part, a)), Some((other, b))) if part == other => Some((part, a.plus(&b, sign))),
                (Some((part, a)), None) => {
                    let constant = a.constant + sign * constant(right)?;
                    Some((part, Steps { constant, ..a }))
                }
                (None, Some((part, b))) => {
                    let constant = constant(left)?;
                    Some((part, Steps { constant, ..Steps::default() }.plus(&b, sign)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

impl Steps {
    fn plus(mut self, other: &Steps, sign: i128) -> Steps {
        for (by, coefficient) in &other.terms {
            *self.terms.entry(*by).or_default() += sign * coefficient;
        }
        self.terms.retain(|_, coefficient| *coefficient != 0);
        self.constant += sign * other.constant;
        self
    }

    /// ±1 and the constant when it is ±(a row − the row before it) + constant.
    fn gap(&self) -> Option<(i128, i128)> {
        let terms: Vec<(i64, i128)> = self.terms.iter().map(|(by, coefficient)| (*by, *coefficient)).collect();
        match terms[..] {
            [(a, x), (b, y)] if b == a + 1 && x == -y && y.abs() == 1 => Some((y, self.constant)),
            _ => None,
        }
    }
}

fn constant(expr: &Expr) -> Option<i128> {
    let Expr::Literal(scalar, _) = peeled(expr) else { return None };
    let Ok(Value::Choice(choice)) = crate::matching::expressions::literal(scalar) else { return None };
    match exact(&choice.0.first()?.0)? {
        (number, 0) => Some(number),
        _ => None,
    }
}

/// Takes in a condition on a row's number or its distance from its neighbour. False: it is of another kind.
///
/// # Errors
/// `NOT_YET` for such a condition beside another one that does not go with it.
pub(crate) fn restrict(view: &mut View, condition: &Expr, nodes: &mut Nodes<'_>) -> Result<bool, PlanError> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return Ok(false) };
    let Some((part, number, range)) = bounds(view, left, *op, right) else { return Ok(false) };
    let Some(ranked) = &view.parts[part].ranked else { return Ok(false) };
    let low = |x: Option<i128>| u64::try_from(x.unwrap_or(0).max(0)).unwrap_or(u64::MAX);
    let high = |x: Option<i128>| x.map(|x| u64::try_from(x.max(0)).unwrap_or(u64::MAX));
    let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    if range.1.is_some_and(|most| most < i128::from(number)) {
        view.present = Bit::No;
        return Ok(true);
    }
    let keep = match (number, ranked.keep) {
        (true, Keep::Ranks { from, to }) => Keep::Ranks { from: from.max(low(range.0)), to: least(to, high(range.1)) },
        (false, Keep::Ranks { from: 1 | 2, to: None }) => Keep::Gaps { at_least: low(range.0), at_most: high(range.1) },
        (false, Keep::Gaps { at_least, at_most }) => {
            Keep::Gaps { at_least: at_least.max(low(range.0)), at_most: least(at_most, high(range.1)) }
        }
        _ => return Err(not_yet_because(format!("{} beside another condition on numbered rows", words(condition)))),
    };
    if let Some(ranked) = &mut view.parts[part].ranked {
        ranked.keep = keep;
    }
    match keep {
        Keep::Ranks { from, to: Some(to) } if from == to => single(view, part, from, nodes)?,
        Keep::Ranks { from, to: Some(to) } if from > to => view.present = Bit::No,
        Keep::Gaps { at_least, at_most: Some(most) } if at_least > most => view.present = Bit::No,
        _ => {}
    }
    Ok(true)
}

/// The smallest and the largest number that a comparison leaves.
type Ends = (Option<i128>, Option<i128>);

/// The part, whether its rows' numbers (rather than distances) are meant, and the bounds that a comparison sets.
fn bounds(view: &View, left: &Expr, op: Operator, right: &Expr) -> Option<(usize, bool, Ends)> {
    let rank = |e: &Expr| match peeled(e) {
        Expr::Column(column) => match view.named(column).ok()? {
            Col::Rank(part) => Some(*part),
            _ => None,
        },
        _ => None,
    };
    let ends = |op: Operator, x: i128| match op {
        Operator::Eq => Some((Some(x), Some(x))),
        Operator::Lt => Some((None, Some(x - 1))),
        Operator::LtEq => Some((None, Some(x))),
        Operator::Gt => Some((Some(x + 1), None)),
        Operator::GtEq => Some((Some(x), None)),
        _ => None,
    };
    if let (Some(part), Some(x)) = (rank(left), constant(right)) {
        return Some((part, true, ends(op, x)?));
    }
    if let (Some(part), Some(x)) = (rank(right), constant(left)) {
        return Some((part, true, ends(op.swap()?, x)?));
    }
    // left op right is left − right op 0.
    let (part, difference) = match (steps(view, left), steps(view, right)) {
        (Some((part, a)), Some((other, b))) if part == other => (part, a.plus(&b, -1)),
        (Some((part, a)), None) => (part, Steps { constant: a.constant - constant(right)?, ..a }),
        (None, Some((part, b))) => (part, Steps { constant: constant(left)?, ..Steps::default() }.plus(&b, -1)),
        _ => return None,
    };
    match difference.gap()? {
        (1, constant) => Some((part, false, ends(op, -constant)?)),
        (_, constant) => Some((part, false, ends(op.swap()?, constant)?)),
    }
}

/// Only the row of one number is left: a patient has at most one.
fn single(view: &mut View, part: usize, rank: u64, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
    let of = view.parts[part].clone();
    let Some(ranked) = of.ranked.clone() else { return Ok(()) };
    let there = at_least(&of, &Choose::default(), rank, nodes)?;
    view.present = nodes.and(view.present, there);
    let value = nth(&of, &ranked, rank, nodes);
    for column in &mut view.columns {
        match column {
            Col::Row(_, inner) if *inner == ranked.order => {
                *column = match &value {
                    Ok(number) => Col::Patient(Value::Number(number.clone())),
                    Err(why) => Col::Refused(why.clone()),
                };
            }
            Col::Rank(_) => *column = Col::Patient(Value::Number(Linear::constant(rank.into(), 0))),
            Col::Row(..) | Col::Steps(..) => {
                let text = "another column than the ordered one of the row with that number";
                *column = Col::Refused(not_yet_because(text.into()));
            }
            _ => {}
        }
    }
    view.parts.clear();
    Ok(())
}

/// The ordered column in the row of that number.
fn nth(part: &Part, ranked: &Ranked, rank: u64, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
    let relation = part.facts(nodes)?;
    let nullable = Scope::over(part.schema(), &relation).fact(&ranked.order).nullable;
    if ranked.nulls_first && nullable {
        let text = format!("the row of a number where rows without {} come first", words(&ranked.order));
        return Err(not_yet_because(text).hint("order with NULLS LAST, or add WHERE … IS NOT NULL below"));
    }
    if rank == 1 {
        return codes::extreme(part, &ranked.order, &Choose::default(), ranked.descending, nodes);
    }
    if ranked.descending {
        return Err(not_yet_because("the second row or a later one in descending order".into()));
    }
    let (feature, encoding) = codes::events(part, &ranked.order, &Choose::default(), nodes)?;
    let n = u32::try_from(rank - 1).map_err(|_| super::nodes::too_wide())?;
    codes::nth(feature, n, encoding, nodes)
}

/// Has the patient so many rows?
fn at_least(part: &Part, rows: &Choose, least: u64, nodes: &mut Nodes<'_>) -> Result<Bit, PlanError> {
    if least <= 1 {
        return Ok(codes::any(part, rows, nodes));
    }
    let count = codes::count(part, rows, nodes)?;
    let before = nodes.constant(i128::from(least) - 1)?;
    Ok(nodes.less(before, count))
}

impl Ranked {
    /// Do rows without this come last?
    pub fn has_last(&self, expr: &Expr) -> bool {
        self.order == *expr && !self.nulls_first
    }
}

/// Is a row of a ranked part kept?
pub(crate) fn exists(part: &Part, rows: &Choose, nodes: &mut Nodes<'_>) -> Result<Bit, PlanError> {
    match part.ranked.as_ref().map(|ranked| ranked.keep) {
        Some(Keep::Ranks { from, .. }) => at_least(part, rows, from, nodes),
        Some(Keep::Gaps { .. }) => {
            let gaps = count(part, rows, nodes)?;
            let none = nodes.constant(0)?;
            Ok(nodes.less(none, gaps))
        }
        None => Ok(codes::any(part, rows, nodes)),
    }
}

/// How many rows of a ranked part are kept.
pub(crate) fn count(part: &Part, rows: &Choose, nodes: &mut Nodes<'_>) -> Result<usize, PlanError> {
    let Some(ranked) = &part.ranked else { return codes::count(part, rows, nodes) };
    match ranked.keep {
        Keep::Gaps { at_least, at_most } => {
            let (feature, _) = codes::events(part, &ranked.order, rows, nodes)?;
            let most = i128::from(nodes.catalog.max_events) * part.source.sites.len() as i128;
            nodes.checked(Node::Gaps { feature, at_least, at_most }, Interval { lo: 0, hi: most })
        }
        Keep::Ranks { from, to } => {
            let all = codes::count(part, rows, nodes)?;
            let mut kept = all;
            if let Some(to) = to {
                let most = nodes.constant(to.into())?;
                let more = nodes.less(most, all);
                let beyond = nodes.subtract(all, most)?;
                let beyond = nodes.select(more, beyond)?;
                kept = nodes.subtract(all, beyond)?;
            }
            if from <= 1 {
                return Ok(kept);
            }
            let there = at_least(part, rows, from, nodes)?;
            let before = nodes.constant(i128::from(from) - 1)?;
            let after = nodes.subtract(kept, before)?;
            nodes.select(there, after)
        }
    }
}

/// A numbered table joined with itself, each row with the next: then the rows are the pairs of neighbours.
pub(crate) fn neighbours(
    left: &View,
    right: &View,
    rest: &[Expr],
    schema: &DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<Option<View>, PlanError> {
    let ([a], [b]) = (&left.parts[..], &right.parts[..]) else { return Ok(None) };
    let (Some(first), Some(second)) = (&a.ranked, &b.ranked) else { return Ok(None) };
    let Some(at) = rest.iter().position(|condition| next(condition, left, right).is_some()) else { return Ok(None) };
    let same = wording(&a.source.plan) == wording(&b.source.plan)
        && a.source.sites == b.source.sites
        && (first.descending, first.keep, second.keep) == (second.descending, ALL, ALL)
        && first.order.to_string() == second.order.to_string();
    let further = next(&rest[at], left, right).filter(|further| further.abs() == 1);
    let (Some(further), true) = (further, same) else {
        let text = format!("{} between numbered rows that are not neighbours in one table", words(&rest[at]));
        return Err(not_yet_because(text));
    };
    let by = if first.descending { -further } else { further };
    let moved = |column: &Col| match column {
        Col::Row(_, inner) if *inner == second.order => {
            Col::Steps(0, Steps { terms: BTreeMap::from([(by, 1)]), constant: 0 })
        }
        Col::Row(..) | Col::Rank(_) | Col::Steps(..) => {
            Col::Refused(not_yet_because("another column than the ordered one of the neighbouring row".into()))
        }
        other => other.clone(),
    };
    let mut view = View {
        schema: schema.clone(),
        columns: left.columns.iter().cloned().chain(right.columns.iter().map(moved)).collect(),
        present: nodes.and(left.present, right.present),
        ..left.clone()
    };
    if let Some(ranked) = &mut view.parts[0].ranked {
        ranked.keep = Keep::Ranks { from: 2, to: None };
    }
    for (i, condition) in rest.iter().enumerate().filter(|(i, _)| *i != at) {
        let _ = i;
        super::condition::restrict(&mut view, condition, nodes)?;
    }
    Ok(Some(view))
}

/// How many places the right row's number is beyond the left's, where a condition says so.
fn next(condition: &Expr, left: &View, right: &View) -> Option<i64> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition else { return None };
    let mut total = (0i128, 0i128, 0i128);
    ranks(a, 1, left, right, &mut total)?;
    ranks(b, -1, left, right, &mut total)?;
    match total {
        (1, -1, constant) => i64::try_from(constant).ok(),
        (-1, 1, constant) => i64::try_from(-constant).ok(),
        _ => None,
    }
}

/// Adds the terms of an expression over the two row numbers: coefficients of the left and the right, and the constant.
fn ranks(expr: &Expr, sign: i128, left: &View, right: &View, total: &mut (i128, i128, i128)) -> Option<()> {
    match peeled(expr) {
        Expr::BinaryExpr(BinaryExpr { left: a, op: op @ (Operator::Plus | Operator::Minus), right: b }) => {
            ranks(a, sign, left, right, total)?;
            ranks(b, if *op == Operator::Plus { sign } else { -sign }, left, right, total)
        }
        Expr::Column(column) => {
            let is_rank = |view: &View| matches!(view.named(column), Ok(Col::Rank(_)));
            match (is_rank(left), is_rank(right)) {
                (true, false) => total.0 += sign,
                (false, true) => total.1 += sign,
                _ => return None,
            }
            Some(())
        }
        other => {
            total.2 += sign * constant(other)?;
            Some(())
        }
    }
}
