//! Aggregates below the release point: one row for each patient, or the distinct values of each patient.

use datafusion_expr::Expr;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::logical_plan::Aggregate;

use crate::error::PlanError;
use crate::matching::codes;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::not_yet;
use crate::matching::tally::{Arg, Only, Tally, as_value, distinct_only_of_key, no_key_value};
use crate::matching::values::{Linear, Truth, Value};
use crate::matching::view::{Col, View, Weight, not_yet_because};
use crate::words::words;

/// Reads an aggregate whose keys hold the patient key.
///
/// # Errors
/// `NOT_YET` for other keys; what one of its figures refuses comes out where the figure is used.
pub(crate) fn roll_up(view: &View, aggregate: &Aggregate, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
    let mut keys: Vec<Col> = aggregate.group_expr.iter().map(|key| view.column(key, nodes)).collect();
    let Some(known) = keys.iter().find_map(|key| if let Col::Key(bit) = key { Some(*bit) } else { None }) else {
        let key = &nodes.catalog.patient_key;
        return Err(not_yet(&format!("an aggregate of several sites' rows, not grouped by {key}, inside a question")));
    };
    if let Some(why) = keys.iter().find_map(|key| if let Col::Refused(why) = key { Some(why.clone()) } else { None }) {
        return Err(why);
    }
    let view = View { present: nodes.and(view.present, known), ..view.clone() };
    let tuple: Vec<(usize, Expr)> = keys
        .iter()
        .filter_map(|key| if let Col::Row(part, expr) = key { Some((*part, expr.clone())) } else { None })
        .collect();
    for key in &mut keys {
        if let Col::Key(bit) = key {
            *bit = Bit::Yes;
        }
    }
    if !tuple.is_empty() || keys.iter().any(|key| matches!(key, Col::Rank(_) | Col::Steps(..))) {
        return tuples(view, aggregate, keys, &tuple, nodes);
    }
    let mut tally = Tally { view: &view, keyed: None, nodes };
    let present = tally.exists(&Only::ALL)?;
    let figures = aggregate.aggr_expr.iter().map(|expr| figure(expr, &mut tally));
    let columns = keys.into_iter().chain(figures).collect();
    Ok(View { schema: aggregate.schema.clone(), columns, parts: Vec::new(), present, pairs: Vec::new() })
}

/// The distinct values of some columns of one part, for each patient.
fn tuples(
    view: View,
    aggregate: &Aggregate,
    keys: Vec<Col>,
    tuple: &[(usize, Expr)],
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    let names: Vec<String> = aggregate.group_expr.iter().map(words).collect();
    let refused = |why: &str| not_yet_because(format!("grouping by {} inside a question, {why}", names.join(", ")));
    let Some((part, _)) = tuple.first() else { return Err(refused("which numbers rows")) };
    if tuple.iter().any(|(other, _)| other != part) {
        return Err(refused("columns of two tables"));
    }
    if !aggregate.aggr_expr.is_empty() {
        return Err(refused("with figures for each of its values"));
    }
    let own = &view.parts[*part];
    if own.ranked.is_some() || !view.pairs.is_empty() || matches!(own.weight, Weight::Optional(_)) {
        return Err(refused("over rows that are numbered, compared or joined by OUTER"));
    }
    let mut present = view.present;
    for (at, other) in view.parts.iter().enumerate().filter(|(at, _)| at != part) {
        let _ = at;
        let any = match other.weight {
            Weight::Optional(_) => Bit::Yes,
            _ if other.ranked.is_some() => return Err(refused("beside numbered rows")),
            _ => codes::any(other, &codes::Choose::default(), nodes),
        };
        present = nodes.and(present, any);
    }
    let mut own = own.clone();
    own.weight = Weight::Tuples(tuple.iter().map(|(_, expr)| expr.clone()).collect());
    let moved = |key: Col| match key {
        Col::Row(_, expr) => Col::Row(0, expr),
        other => other,
    };
    let columns = keys.into_iter().map(moved).collect();
    Ok(View { schema: aggregate.schema.clone(), columns, parts: vec![own], present, pairs: Vec::new() })
}

fn figure(expr: &Expr, tally: &mut Tally<'_, '_, '_>) -> Col {
    let found = match expr {
        Expr::Alias(alias) => return figure(&alias.expr, tally),
        Expr::AggregateFunction(call) => of_call(call, tally),
        other => Err(PlanError::new("UNSUPPORTED", format!("{} is not an aggregate", other.human_display()))),
    };
    found.map_or_else(Col::Refused, Col::Patient)
}

/// The patient's value of an aggregate.
fn of_call(call: &AggregateFunction, tally: &mut Tally<'_, '_, '_>) -> Result<Value, PlanError> {
    let name = call.func.name();
    let only = tally.filter(call)?;
    let arg = tally.arg(call)?;
    let extreme = matches!(name, "min" | "max");
    if call.params.distinct && !extreme {
        return match (name, &arg) {
            ("count", Arg::Key(key)) => {
                let bit = tally.nodes.and(only.bit, *key);
                let bit = tally.exists(&Only { bit, ..only })?;
                tally.nodes.number(bit).map(as_value)
            }
            _ => Err(distinct_only_of_key(name)),
        };
    }
    match (name, arg) {
        ("count", arg) => counted(arg, only, tally).map(as_value),
        ("sum", Arg::Row(part, expr)) => {
            let (sum, digits) = tally.total_of_rows(part, &expr, &only)?;
            let known = tally.not_null(part, &expr, &only)?;
            let present = tally.exists(&known)?;
            Ok(Value::Number(Linear { digits, ..Linear::of_node(sum, present) }))
        }
        ("sum", Arg::Patient(value)) => {
            let number = value.number(tally.nodes)?;
            let total = tally.total(&number, &only)?;
            let bit = tally.nodes.and(only.bit, number.present);
            let present = tally.exists(&Only { bit, ..only })?;
            Ok(Value::Number(Linear { digits: number.digits, ..Linear::of_node(total, present) }))
        }
        ("min" | "max", Arg::Row(part, expr)) => {
            let of = &tally.view.parts[part];
            if of.ranked.is_some() || !tally.view.pairs.is_empty() {
                return Err(not_yet_because(format!("{name} over rows that are numbered or compared")));
            }
            let known = tally.not_null(part, &expr, &only)?;
            let present = tally.exists(&known)?;
            let rows = tally.choose(part, &only);
            let number = codes::extreme(of, &expr, &rows, name == "max", tally.nodes)?;
            Ok(Value::Number(Linear { present, ..number }))
        }
        ("min" | "max", Arg::Patient(value)) => {
            let present = tally.exists(&only)?;
            Ok(value.only_if(present, tally.nodes))
        }
        ("bool_or" | "bool_and", Arg::Row(part, expr)) => {
            let with = |condition: Expr, tally: &mut Tally<'_, '_, '_>| {
                let rows = tally.choose(part, &only).and(condition);
                tally.exists(&Only { rows: rows.filter.map(|f| (part, f)), bit: only.bit })
            };
            if only.rows.as_ref().is_some_and(|(of, _)| *of != part) {
                return Err(not_yet_because(format!("{name} with FILTER on another table's rows")));
            }
            let yes = with(expr.clone().is_true(), tally)?;
            let no = with(expr.is_false(), tally)?;
            let clear = |bit: Bit, against: Bit, tally: &mut Tally<'_, '_, '_>| {
                let not = tally.nodes.not(against);
                tally.nodes.and(bit, not)
            };
            Ok(Value::Truth(match name {
                "bool_or" => Truth { yes, no: clear(no, yes, tally) },
                _ => Truth { yes: clear(yes, no, tally), no },
            }))
        }
        (_, Arg::Key(_)) => Err(no_key_value(name, &tally.nodes.catalog.patient_key)),
        _ => Err(not_yet_because(format!("{name} of each patient"))
            .hint("available for each patient: COUNT, SUM, MIN, MAX, BOOL_OR and BOOL_AND")),
    }
}

/// How many rows have a value.
fn counted(arg: Arg, only: Only, tally: &mut Tally<'_, '_, '_>) -> Result<usize, PlanError> {
    let only = with_value(arg, only, tally)?;
    tally.count(&only)
}

/// Of the rows that are left, those with a value.
pub(crate) fn with_value(arg: Arg, only: Only, tally: &mut Tally<'_, '_, '_>) -> Result<Only, PlanError> {
    Ok(match arg {
        Arg::All => only,
        Arg::Key(key) => Only { bit: tally.nodes.and(only.bit, key), ..only },
        Arg::Row(part, expr) => tally.not_null(part, &expr, &only)?,
        Arg::Patient(value) => {
            let present = value.present(tally.nodes);
            Only { bit: tally.nodes.and(only.bit, present), ..only }
        }
    })
}
