//! A small interpreter of what sites run, on rows in the clear: scans, filters, projections, unions, aggregates by key.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use query_planner::bind::SiteTable;
use query_planner::value::Value;

/// One row.
pub type Row = Vec<ScalarValue>;

/// The rows of each site's tables, columns in the catalogue's order.
pub type Tables = BTreeMap<(String, String), Vec<Row>>;

/// The rows of a plan.
pub fn rows(plan: &LogicalPlan, tables: &Tables) -> Vec<Row> {
    let input = || rows(plan.inputs()[0], tables);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source = scan.source.downcast_ref::<SiteTable>().unwrap();
            let all = tables.get(&(source.site.0.clone(), source.table.clone())).cloned().unwrap_or_default();
            let pick = |row: Row| match &scan.projection {
                Some(columns) => columns.iter().map(|at| row[*at].clone()).collect(),
                None => row,
            };
            all.into_iter().map(pick).collect()
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) => input(),
        LogicalPlan::Filter(filter) => {
            let schema = filter.input.schema();
            input().into_iter().filter(|row| is_true(&eval(&filter.predicate, schema, row))).collect()
        }
        LogicalPlan::Projection(p) => {
            let schema = p.input.schema();
            input().iter().map(|row| p.expr.iter().map(|e| eval(e, schema, row)).collect()).collect()
        }
        LogicalPlan::Union(union) => union.inputs.iter().flat_map(|input| rows(input, tables)).collect(),
        LogicalPlan::Aggregate(aggregate) => {
            let schema = aggregate.input.schema();
            let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
            for row in input() {
                let key: Row = aggregate.group_expr.iter().map(|e| eval(e, schema, &row)).collect();
                match groups.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, rows)) => rows.push(row),
                    None => groups.push((key, vec![row])),
                }
            }
            let figures =
                |rows: &[Row]| -> Row { aggregate.aggr_expr.iter().map(|e| figure(e, schema, rows)).collect() };
            groups.into_iter().map(|(key, rows)| [key, figures(&rows)].concat()).collect()
        }
        other => panic!("the interpreter does not know {}", other.display()),
    }
}

fn figure(expr: &Expr, schema: &DFSchema, rows: &[Row]) -> ScalarValue {
    let Expr::AggregateFunction(call) = expr else { panic!("{expr} is no aggregate") };
    let values = rows.iter().map(|row| eval(&call.params.args[0], schema, row)).filter(|v| !v.is_null());
    let values: Vec<ScalarValue> = values.collect();
    let null = || ScalarValue::try_from(expr.get_type(schema).unwrap()).unwrap();
    let best = |wanted: Ordering| {
        values.iter().cloned().reduce(|a, b| if b.partial_cmp(&a) == Some(wanted) { b } else { a }).unwrap_or_else(null)
    };
    match call.func.name() {
        "count" => ScalarValue::Int64(Some(values.len() as i64)),
        "min" => best(Ordering::Less),
        "max" => best(Ordering::Greater),
        "sum" if values.is_empty() => null(),
        "sum" => ScalarValue::Int64(Some(values.iter().map(int).sum())),
        other => panic!("the interpreter does not know {other}"),
    }
}

fn is_true(value: &ScalarValue) -> bool {
    *value == ScalarValue::Boolean(Some(true))
}

fn int(value: &ScalarValue) -> i64 {
    match value {
        ScalarValue::Date32(Some(days)) => (*days).into(),
        ScalarValue::IntervalMonthDayNano(Some(i)) => i64::from(i.days) + i.nanoseconds / 86_400_000_000_000,
        other => match other.cast_to(&DataType::Int64).unwrap() {
            ScalarValue::Int64(Some(i)) => i,
            _ => panic!("{other} is no number"),
        },
    }
}

/// The value of an expression in a row.
pub fn eval(expr: &Expr, schema: &DFSchema, row: &Row) -> ScalarValue {
    let of = |e: &Expr| eval(e, schema, row);
    let truth = |t: Option<bool>| ScalarValue::Boolean(t);
    match expr {
        Expr::Alias(alias) => of(&alias.expr),
        Expr::Column(column) => row[schema.index_of_column(column).unwrap()].clone(),
        Expr::Literal(scalar, _) => scalar.clone(),
        Expr::Cast(cast) => of(&cast.expr).cast_to(cast.field.data_type()).unwrap(),
        Expr::IsNull(inner) => truth(Some(of(inner).is_null())),
        Expr::IsNotNull(inner) => truth(Some(!of(inner).is_null())),
        Expr::IsTrue(inner) => truth(Some(is_true(&of(inner)))),
        Expr::IsFalse(inner) => truth(Some(of(inner) == ScalarValue::Boolean(Some(false)))),
        Expr::Not(inner) => truth(boolean(&of(inner)).map(|b| !b)),
        Expr::InList(list) => {
            let value = of(&list.expr);
            let found = list.list.iter().any(|item| of(item) == value);
            truth((!value.is_null()).then_some(found != list.negated))
        }
        Expr::Case(case) => {
            let hit = case.when_then_expr.iter().find(|(when, _)| is_true(&of(when)));
            match (hit, &case.else_expr) {
                (Some((_, then)), _) => of(then),
                (None, Some(otherwise)) => of(otherwise),
                (None, None) => ScalarValue::Null,
            }
        }
        Expr::BinaryExpr(binary) => {
            let (a, b) = (of(&binary.left), of(&binary.right));
            match binary.op {
                Operator::And => truth(match (boolean(&a), boolean(&b)) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }),
                Operator::Or => truth(match (boolean(&a), boolean(&b)) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                }),
                op => arithmetic(&a, op, &b, &expr.get_type(schema).unwrap()),
            }
        }
        other => panic!("the interpreter does not know {other}"),
    }
}

fn boolean(value: &ScalarValue) -> Option<bool> {
    match value {
        ScalarValue::Boolean(b) => *b,
        _ => None,
    }
}

fn arithmetic(a: &ScalarValue, op: Operator, b: &ScalarValue, to: &DataType) -> ScalarValue {
    if a.is_null() || b.is_null() {
        return ScalarValue::try_from(to).unwrap();
    }
    let number = |x: i64| match to {
        DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(x).unwrap())),
        _ => ScalarValue::Int64(Some(x)).cast_to(to).unwrap(),
    };
    let compare = |holds: fn(Ordering) -> bool| {
        let order = a.partial_cmp(b).unwrap_or_else(|| int(a).cmp(&int(b)));
        ScalarValue::Boolean(Some(holds(order)))
    };
    match op {
        Operator::Plus => number(int(a) + int(b)),
        Operator::Minus => number(int(a) - int(b)),
        Operator::Multiply => number(int(a) * int(b)),
        Operator::Eq => compare(Ordering::is_eq),
        Operator::NotEq => compare(Ordering::is_ne),
        Operator::Lt => compare(Ordering::is_lt),
        Operator::LtEq => compare(Ordering::is_le),
        Operator::Gt => compare(Ordering::is_gt),
        Operator::GtEq => compare(Ordering::is_ge),
        other => panic!("the interpreter does not know {other}"),
    }
}

/// A scalar as a value of the plan.
pub fn value(scalar: &ScalarValue) -> Value {
    Value::from_scalar(scalar).unwrap()
}
