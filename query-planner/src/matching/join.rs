//! Joins on the patient key.

use std::sync::Arc;

use datafusion_common::{DFSchemaRef, JoinType};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::error::{PlanError, refuse};
use crate::matching::home::peeled;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::pairs::Side;
use crate::matching::tally::{Only, Tally};
use crate::matching::values::{Truth, Value};
use crate::matching::view::{Col, View, Weight, not_yet_because};
use crate::matching::{NO_PATIENT_KEY, codes, condition, unmatchable, windows};
use crate::words::words;

/// Reads a join.
///
/// # Errors
/// `UNMATCHABLE` for a join on other columns; `NOT_YET` for rows that would have to be kept one by one.
pub(crate) fn join(join: &Join, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
    let left = side(&join.left, join, nodes)?;
    let right = side(&join.right, join, nodes)?;
    let on = Conditions::of(join, &left, &right, nodes)?;
    let schema = join.schema.clone();
    match join.join_type {
        JoinType::Inner => inner(left, right, &on, schema, nodes),
        JoinType::LeftSemi => semi(left, right, &on, schema, nodes),
        JoinType::RightSemi => semi(right, left, &on.turned(), schema, nodes),
        JoinType::LeftAnti => anti(left, right, &on, schema, nodes),
        JoinType::RightAnti => anti(right, left, &on.turned(), schema, nodes),
        JoinType::LeftMark => mark(left, right, &on, schema, nodes),
        JoinType::RightMark => mark(right, left, &on.turned(), schema, nodes),
        JoinType::Left => outer(left, right, &on, schema, nodes),
        JoinType::Right => {
            let (from_right, fields) = (right.columns.len(), left.columns.len());
            let view = outer(right, left, &on.turned(), schema, nodes)?;
            let columns = (0..fields).map(|i| from_right + i).chain(0..from_right);
            Ok(View { columns: columns.map(|i| view.columns[i].clone()).collect(), ..view })
        }
        JoinType::Full => full(left, right, &on, schema, nodes),
    }
}

fn side(plan: &LogicalPlan, join: &Join, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
    View::of(plan, nodes).map_err(|e| match e.code {
        NO_PATIENT_KEY => not_on_the_key(&conditions(join), nodes),
        _ => e,
    })
}

/// What a join asks besides equal patient keys.
struct Conditions {
    /// Where the left and the right key are not NULL.
    left: Bit,
    right: Bit,
    rest: Vec<Expr>,
}

impl Conditions {
    fn of(join: &Join, left: &View, right: &View, nodes: &Nodes<'_>) -> Result<Conditions, PlanError> {
        let (mut keys, mut rest) = (None, Vec::new());
        for condition in conditions(join) {
            match equal_keys(&condition, left, right)? {
                Some(bits) if keys.is_none() => keys = Some(bits),
                _ => rest.push(condition),
            }
        }
        let (left, right) = keys.ok_or_else(|| not_on_the_key(&rest, nodes))?;
        Ok(Conditions { left, right, rest })
    }

    fn turned(self) -> Conditions {
        Conditions { left: self.right, right: self.left, rest: self.rest }
    }
}

fn conditions(join: &Join) -> Vec<Expr> {
    let filter = join.filter.iter().flat_map(|f| split_conjunction(f)).cloned();
    join.on.iter().map(|(l, r)| l.clone().eq(r.clone())).chain(filter).collect()
}

fn not_on_the_key(on: &[Expr], nodes: &Nodes<'_>) -> PlanError {
    let on: Vec<String> = on.iter().map(words).collect();
    let on = if on.is_empty() { "nothing".to_owned() } else { on.join(" AND ") };
    let key = &nodes.catalog.patient_key;
    unmatchable(format!("a join on {on}: rows of several sites are joined on {key} alone"))
        .hint(format!("add an equality of the two {key} to ON, or join tables of one site"))
}

/// Are the two sides of an equality the patient keys of the two views?
fn equal_keys(condition: &Expr, left: &View, right: &View) -> Result<Option<(Bit, Bit)>, PlanError> {
    let Expr::BinaryExpr(equality) = condition else { return Ok(None) };
    if equality.op != datafusion_expr::Operator::Eq {
        return Ok(None);
    }
    for (a, b) in [(&equality.left, &equality.right), (&equality.right, &equality.left)] {
        let (Some(l), Some(r)) = (left.key(a), right.key(b)) else { continue };
        let of = |e: &Expr, view: &View| peeled(e).get_type(view.schema.as_ref()).map_err(|e| refuse(&e));
        let (x, y) = (of(a, left)?, of(b, right)?);
        if x != y {
            let text = format!("{} has types {x} and {y} in the two tables", words(condition));
            return Err(unmatchable(text).hint("declare one type for the patient key in network.toml"));
        }
        return Ok(Some((l, r)));
    }
    Ok(None)
}

fn inner(
    left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    if let Some(view) = windows::neighbours(&left, &right, &on.rest, &schema, nodes)? {
        return Ok(view);
    }
    let right_present = right.present;
    let mut view = both(left, right, schema);
    view.present = nodes.all([view.present, right_present, on.left, on.right]);
    for condition in &on.rest {
        condition::restrict(&mut view, condition, nodes)?;
    }
    Ok(view)
}

/// The parts of two views side by side.
fn both(left: View, right: View, schema: DFSchemaRef) -> View {
    let from = left.parts.len();
    let side = |side: Side| match side {
        Side::Rows { part, column } => Side::Rows { part: part + from, column },
        other => other,
    };
    let moved = right.columns.into_iter().map(|column| match column {
        Col::Row(part, expr) => Col::Row(part + from, expr),
        Col::Rank(part) => Col::Rank(part + from),
        Col::Steps(part, steps) => Col::Steps(part + from, steps),
        other => other,
    });
    let columns = left.columns.into_iter().chain(moved).collect();
    let pairs =
        right.pairs.into_iter().map(|pair| super::pairs::Pair { low: side(pair.low), high: side(pair.high), ..pair });
    View {
        schema,
        columns,
        parts: left.parts.into_iter().chain(right.parts).collect(),
        // Both must hold; the caller joins the other one.
        present: left.present,
        pairs: left.pairs.into_iter().chain(pairs).collect(),
    }
}

/// The right view as one patient of the left sees it: the conditions choose among its rows, and the left's own rows cannot
/// be looked at.
fn seen(left: &View, right: &View, on: &Conditions, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
    let mut hidden = |column: &Col| match column {
        Col::Row(part, expr) if left.parts[*part].is_unique => {
            codes::only_value(&left.parts[*part], expr, nodes).map_or_else(Col::Refused, Col::Patient)
        }
        Col::Row(..) | Col::Rank(_) | Col::Steps(..) => {
            Col::Refused(not_yet_because("a condition between single rows of two tables in this kind of join".into()))
        }
        other => other.clone(),
    };
    let schema = left.schema.join(&right.schema).map_err(|e| refuse(&e))?;
    let columns = left.columns.iter().map(&mut hidden).chain(right.columns.iter().cloned()).collect();
    let mut view = View { schema: Arc::new(schema), columns, ..right.clone() };
    view.present = nodes.all([right.present, on.left, on.right]);
    for condition in &on.rest {
        condition::restrict(&mut view, condition, nodes)?;
    }
    Ok(view)
}

fn existence(view: &View, nodes: &mut Nodes<'_>) -> Result<Bit, PlanError> {
    Tally { view, keyed: None, nodes }.exists(&Only::ALL)
}

fn semi(
    left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    if let Ok(seen) = seen(&left, &right, on, nodes) {
        let there = existence(&seen, nodes)?;
        return Ok(View { present: nodes.and(left.present, there), schema, ..left });
    }
    let columns = left.columns.len();
    let once = |mut part: super::view::Part| {
        part.weight = Weight::Once;
        part
    };
    if right.parts.iter().any(|part| part.ranked.is_some() || matches!(part.weight, Weight::Optional(_))) {
        return Err(not_yet_because(
            "a condition between rows of two tables, one of them numbered or joined by OUTER".into(),
        ));
    }
    let right = View { parts: right.parts.into_iter().map(once).collect(), ..right };
    let joined = Arc::new(left.schema.join(&right.schema).map_err(|e| refuse(&e))?);
    let right_present = right.present;
    let mut view = both(left, right, joined);
    view.present = nodes.all([view.present, right_present, on.left, on.right]);
    for condition in &on.rest {
        condition::restrict(&mut view, condition, nodes)?;
    }
    view.columns.truncate(columns);
    Ok(View { schema, ..view })
}

fn anti(
    left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    let seen = seen(&left, &right, on, nodes)?;
    let there = existence(&seen, nodes)?;
    let absent = nodes.not(there);
    Ok(View { present: nodes.and(left.present, absent), schema, ..left })
}

fn mark(
    mut left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    let seen = seen(&left, &right, on, nodes)?;
    let there = existence(&seen, nodes)?;
    left.columns.push(Col::Patient(Value::Truth(Truth::of(there, nodes))));
    Ok(View { schema, ..left })
}

fn outer(
    left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    let mut seen = seen(&left, &right, on, nodes)?;
    let there = existence(&seen, nodes)?;
    let right_columns: Vec<Col> = seen.columns.split_off(left.columns.len());
    let only = |column: Col, nodes: &mut Nodes<'_>| {
        Ok(match column {
            Col::Key(_) => Col::Key(there),
            Col::Patient(value) => Col::Patient(value.only_if(there, nodes)),
            Col::Row(part, expr) if seen.parts[part].is_unique => {
                match codes::only_value(&seen.parts[part], &expr, nodes) {
                    Ok(value) => Col::Patient(value.only_if(there, nodes)),
                    Err(why) => Col::Refused(why),
                }
            }
            other => other,
        })
    };
    let from = left.parts.len();
    let right_columns = right_columns.into_iter().map(|c| only(c, nodes)).collect::<Result<Vec<_>, PlanError>>()?;
    let at_most_one = seen.parts.iter().all(|part| part.is_unique || part.weight == Weight::Once);
    let mut parts = left.parts;
    let mut columns = left.columns;
    match &mut seen.parts[..] {
        _ if at_most_one => columns.extend(right_columns),
        [only] if only.weight == Weight::Rows && only.ranked.is_none() && seen.pairs.is_empty() => {
            only.weight = Weight::Optional(seen.present);
            parts.push(only.clone());
            columns.extend(right_columns.into_iter().map(|column| match column {
                Col::Row(part, expr) => Col::Row(part + from, expr),
                other => other,
            }));
        }
        _ => {
            let text = "an outer join with rows that are themselves joined or numbered";
            return Err(not_yet_because(text.into()).hint("aggregate them for each patient first"));
        }
    }
    Ok(View { schema, columns, parts, present: left.present, pairs: left.pairs })
}

fn full(
    left: View,
    right: View,
    on: &Conditions,
    schema: DFSchemaRef,
    nodes: &mut Nodes<'_>,
) -> Result<View, PlanError> {
    if !on.rest.is_empty() || !left.parts.is_empty() || !right.parts.is_empty() {
        let text = "a FULL JOIN of anything but one row for each patient on the patient key";
        return Err(not_yet_because(text.into()).hint("aggregate both sides for each patient first"));
    }
    let sides = [(&left, on.left), (&right, on.right)];
    let mut columns = Vec::new();
    for (view, _) in sides {
        for column in &view.columns {
            columns.push(match column.clone() {
                Col::Key(_) => Col::Key(view.present),
                Col::Patient(value) => Col::Patient(value.only_if(view.present, nodes)),
                other => other,
            });
        }
    }
    let present = nodes.or(left.present, right.present);
    Ok(View { schema, columns, parts: Vec::new(), present, pairs: Vec::new() })
}
