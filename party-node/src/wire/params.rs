//! Parameters of prepared statements: read by their types, and bound as literals of the parsed question.
//!
//! Sites plan from a question's text, so the bound question is printed once; it is asked only if the printed text parses to the
//! question that was bound. So whatever a value holds, it stays one literal.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::array::{Array, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    DataType as SqlType, Expr, Query, Statement, TypedString, UnaryOperator, Value, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};
use pgwire::api::Type;
use query_planner::Catalog;
use query_planner::catalog::ColumnType;

use super::cells::{DAY_MICROS, EPOCH_DAYS};
use crate::fault::NodeError;

/// Parameters of one statement.
const MAX_PARAMETERS: usize = 1000;

/// A value as it stands in a question. It does not print.
#[derive(Clone, PartialEq)]
pub enum Literal {
    /// NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// Digits, perhaps with a sign, a point and an exponent.
    Number(String),
    /// Text.
    Text(String),
    /// A day, as year, month and day.
    Date(String),
    /// A moment without a zone.
    Timestamp(String),
}

/// The number of a placeholder, from 0.
pub fn number(placeholder: &str) -> Option<usize> {
    placeholder.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < MAX_PARAMETERS)
}

/// The types of a statement's parameters: those that the client states, else those of the columns that they stand beside, else text.
///
/// # Errors
/// `SQL_SYNTAX` for a placeholder that is none.
pub fn kinds(node: &impl Visit, catalog: &Catalog, given: &[Option<Type>]) -> Result<Vec<Type>, NodeError> {
    let mut found = Found { catalog, kinds: HashMap::new(), bad: false };
    let _ = node.visit(&mut found);
    if found.bad {
        return Err(NodeError::new("SQL_SYNTAX", format!("parameters are $1 to ${MAX_PARAMETERS}")));
    }
    let count = found.kinds.keys().max().map_or(0, |most| most + 1).max(given.len().min(MAX_PARAMETERS));
    let kind = |at: usize| {
        let stated = given.get(at).cloned().flatten().filter(|kind| *kind != Type::UNKNOWN);
        stated.or_else(|| found.kinds.get(&at).cloned().flatten()).unwrap_or(Type::TEXT)
    };
    Ok((0..count).map(kind).collect())
}

struct Found<'a> {
    catalog: &'a Catalog,
    kinds: HashMap<usize, Option<Type>>,
    bad: bool,
}

impl Found<'_> {
    fn meet(&mut self, parameter: &Expr, beside: &Expr) {
        let (Some(at), Some(kind)) = (placeholder(parameter), self.kind_of(beside)) else { return };
        self.kinds.insert(at, Some(kind));
    }

    /// The type of a column of that name, if all columns of that name have it.
    fn kind_of(&self, expr: &Expr) -> Option<Type> {
        let name = match expr {
            Expr::Identifier(name) => name,
            Expr::CompoundIdentifier(parts) => parts.last()?,
            Expr::Nested(inner) => return self.kind_of(inner),
            _ => return None,
        };
        let columns = self.catalog.tables.iter().flat_map(|table| &table.columns);
        let mut types =
            columns.filter(|column| column.name.eq_ignore_ascii_case(&name.value)).map(|c| pg_type(c.data_type));
        let first = types.next()?;
        types.all(|other| other == first).then_some(first)
    }
}

impl Visitor for Found<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, right, .. } => {
                self.meet(left, right);
                self.meet(right, left);
            }
            Expr::InList { expr, list, .. } => list.iter().for_each(|item| self.meet(item, expr)),
            Expr::Between { expr, low, high, .. } => {
                self.meet(low, expr);
                self.meet(high, expr);
            }
            _ => (),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &value.value {
            match number(name) {
                Some(at) => _ = self.kinds.entry(at).or_default(),
                None => self.bad = true,
            }
        }
        ControlFlow::Continue(())
    }
}

fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => number(name),
        Expr::Nested(inner) => placeholder(inner),
        _ => None,
    }
}

/// The type that a declared column has for a client.
pub fn pg_type(column: ColumnType) -> Type {
    match column {
        ColumnType::Int => Type::INT8,
        ColumnType::Real => Type::FLOAT8,
        ColumnType::Decimal { .. } => Type::NUMERIC,
        ColumnType::Date => Type::DATE,
        ColumnType::Timestamp => Type::TIMESTAMP,
        ColumnType::Bool => Type::BOOL,
        ColumnType::Text => Type::TEXT,
    }
}

/// A value of this type for planning alone.
pub fn sample(kind: &Type) -> Literal {
    match *kind {
        Type::BOOL => Literal::Bool(true),
        Type::DATE => Literal::Date("2000-01-01".into()),
        Type::TIMESTAMP => Literal::Timestamp("2000-01-01 00:00:00".into()),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Literal::Number("1".into()),
        Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => Literal::Number("1.0".into()),
        _ => Literal::Text("a".into()),
    }
}

/// Reads a value that a client sent.
///
/// # Errors
/// `BAD_PARAMETER` for what is no value of the type, `UNSUPPORTED` for another type.
pub fn read(bytes: Option<&[u8]>, kind: &Type, is_binary: bool) -> Result<Literal, NodeError> {
    let Some(bytes) = bytes else { return Ok(Literal::Null) };
    let value = if is_binary { of_binary(bytes, kind) } else { of_text(bytes, kind) };
    value.ok_or_else(|| match *kind {
        Type::BOOL
        | Type::INT2
        | Type::INT4
        | Type::INT8
        | Type::OID
        | Type::FLOAT4
        | Type::FLOAT8
        | Type::NUMERIC
        | Type::DATE
        | Type::TIMESTAMP
        | Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN => {
            NodeError::new("BAD_PARAMETER", format!("a parameter is no value of its type, {}", kind.name()))
        }
        _ => NodeError::new("UNSUPPORTED", format!("parameters of type {} cannot be bound", kind.name()))
            .hint("numbers, texts, truth values, dates and timestamps without a zone can"),
    })
}

fn of_text(bytes: &[u8], kind: &Type) -> Option<Literal> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = text.trim();
    Some(match *kind {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Literal::Number(plain.parse::<i64>().ok()?.to_string()),
        Type::NUMERIC => Literal::Number(decimal(plain)?.to_owned()),
        Type::FLOAT4 | Type::FLOAT8 => real(plain.parse().ok()?)?,
        Type::BOOL => Literal::Bool(match plain.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" => true,
            "f" | "false" | "0" | "off" | "no" => false,
            _ => return None,
        }),
        Type::DATE => Literal::Date(canonical(plain, &DataType::Date32)?),
        Type::TIMESTAMP => Literal::Timestamp(canonical(plain, &MICROS)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => Literal::Text(text.to_owned()),
        _ => return None,
    })
}

fn of_binary(bytes: &[u8], kind: &Type) -> Option<Literal> {
    let int = |value: i64| Some(Literal::Number(value.to_string()));
    match *kind {
        Type::INT2 => int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::OID => int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT4 => real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT8 => real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::NUMERIC => numeric(bytes).map(Literal::Number),
        Type::BOOL => match bytes {
            [0] => Some(Literal::Bool(false)),
            [1] => Some(Literal::Bool(true)),
            _ => None,
        },
        Type::DATE => {
            let days = i64::from(i32::from_be_bytes(bytes.try_into().ok()?)) + EPOCH_DAYS;
            let days = Date32Array::from(vec![i32::try_from(days).ok()?]);
            Some(Literal::Date(written(&days)?))
        }
        Type::TIMESTAMP => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS * DAY_MICROS)?;
            Some(Literal::Timestamp(written(&TimestampMicrosecondArray::from(vec![micros]))?))
        }
        // Texts have one form.
        _ => of_text(bytes, kind),
    }
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A date or timestamp as it is written in one form only.
fn canonical(text: &str, data_type: &DataType) -> Option<String> {
    // Arrow reads a zone into the timestamp and drops it.
    let has_zone = text.ends_with(['Z', 'z']) || text.get(10..).is_some_and(|rest| rest.contains(['+', '-']));
    if has_zone || text.len() > 40 {
        return None;
    }
    let read = cast_with_options(&StringArray::from(vec![text]), data_type, &CastOptions::default()).ok()?;
    written(&read)
}

fn written(array: &dyn Array) -> Option<String> {
    let text = cast_with_options(array, &DataType::Utf8, &CastOptions::default()).ok()?;
    let text = text.as_string::<i32>();
    let text = text.is_valid(0).then(|| text.value(0).replacen('T', " ", 1))?;
    // Years beyond 9999 have a sign that no literal has.
    text.starts_with(|c: char| c.is_ascii_digit()).then_some(text)
}

fn decimal(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fine = |part: &str| !part.is_empty() && part.len() <= 40 && part.bytes().all(|b| b.is_ascii_digit());
    (fine(whole) && fine(fraction)).then_some(text)
}

/// With an exponent, so that it is read as a real again and never as a decimal.
fn real(value: f64) -> Option<Literal> {
    value.is_finite().then(|| Literal::Number(format!("{value:e}")))
}

/// PostgreSQL's binary form of `numeric`.
fn numeric(bytes: &[u8]) -> Option<String> {
    let part = |at: usize| Some(i16::from_be_bytes(bytes.get(2 * at..2 * at + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (part(0)?, part(1)?, part(2)?, part(3)?);
    if !(0..=20).contains(&count)
        || !(-10..=10).contains(&weight)
        || !(0..=40).contains(&scale)
        || ![0, 0x4000].contains(&sign)
    {
        return None;
    }
    let group = |place: i16| {
        let at = weight - place;
        let group = if (0..count).contains(&at) { part(4 + at as usize)? } else { 0 };
        (0..10_000).contains(&group).then(|| format!("{group:04}"))
    };
    let whole: String = (0..=weight.max(0)).rev().map(group).collect::<Option<_>>()?;
    let fraction: String = (1..=(scale + 3) / 4).map(|place| group(-place)).collect::<Option<_>>()?;
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale > 0 { format!(".{}", &fraction[..scale as usize]) } else { String::new() };
    Some(format!("{}{whole}{point}", if sign == 0 { "" } else { "-" }))
}

/// The question with values in the place of its parameters, as the text that is asked.
///
/// # Errors
/// `PARAMETERS_DIFFER` for a parameter without a value, `UNSUPPORTED` where the printed text would not be this question.
pub fn bound(statement: &Statement, values: &[Literal]) -> Result<String, NodeError> {
    let mut statement = statement.clone();
    let mut binder = Binder { values, missing: false };
    let _ = VisitMut::visit(&mut statement, &mut binder);
    if binder.missing {
        return Err(missing_values());
    }
    query_planner::printed(&statement).map_err(|error| match error.code {
        "UNSUPPORTED" => NodeError::from(error).hint("ask it without parameters, with its values as literals"),
        _ => error.into(),
    })
}

/// A question of the node's own catalogue gets its values.
///
/// # Errors
/// `PARAMETERS_DIFFER` for a parameter without a value.
pub fn fill(query: &mut Query, values: &[Literal]) -> Result<(), NodeError> {
    let mut binder = Binder { values, missing: false };
    let _ = VisitMut::visit(query, &mut binder);
    match binder.missing {
        true => Err(missing_values()),
        false => Ok(()),
    }
}

fn missing_values() -> NodeError {
    NodeError::new("PARAMETERS_DIFFER", "the statement has more parameters than values were given")
}

/// Values for binding.
struct Binder<'a> {
    values: &'a [Literal],
    missing: bool,
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr else {
            return ControlFlow::Continue(());
        };
        match number(name).and_then(|at| self.values.get(at)) {
            Some(value) => *expr = literal(value),
            None => self.missing = true,
        }
        ControlFlow::Continue(())
    }
}

/// A value as an expression.
pub fn literal(value: &Literal) -> Expr {
    let plain = |value: Value| Expr::Value(value.into());
    let typed = |data_type: SqlType, text: &str| {
        let value = Value::SingleQuotedString(text.to_owned()).into();
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
    };
    match value {
        Literal::Null => plain(Value::Null),
        Literal::Bool(value) => plain(Value::Boolean(*value)),
        Literal::Number(text) => match text.strip_prefix('-') {
            Some(digits) => {
                let expr = Box::new(plain(Value::Number(digits.to_owned(), false)));
                Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Minus, expr }))
            }
            None => plain(Value::Number(text.clone(), false)),
        },
        Literal::Text(text) => plain(Value::SingleQuotedString(text.clone())),
        Literal::Date(text) => typed(SqlType::Date, text),
        Literal::Timestamp(text) => {
            typed(SqlType::Timestamp(None, datafusion::sql::sqlparser::ast::TimezoneInfo::None), text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(sql: &str, value: &Literal) -> String {
        bound(&query_planner::statement(sql).unwrap(), std::slice::from_ref(value))
            .unwrap_or_else(|e| e.code.into_owned())
    }

    #[test]
    fn whatever_a_text_holds_it_stays_one_literal() {
        let statement = query_planner::statement("SELECT COUNT(*) FROM t WHERE a = $1 AND b = 1").unwrap();
        let hostile = [
            "'",
            "''",
            "'''",
            "\\'",
            "\\''",
            "\\\\'",
            "\\' OR 1=1 --",
            "' OR 1=1 --",
            "'' OR 1=1 --",
            "x'; DROP TABLE t; --",
            "\\''; SELECT",
            "$1",
            "\"",
            "E'\\n'",
            "/* */",
            "--",
            "é'é",
            "a\nb",
            "",
            "'\\",
            "\\",
            "%' OR 'a'='a",
        ];
        for text in hostile {
            let printed = bound(&statement, &[Literal::Text(text.into())]).unwrap_or_else(|e| panic!("{text}: {e}"));
            let mut again = query_planner::statement(&printed).unwrap();
            // Taking the value out again gives the statement that was prepared.
            let mut back = Back(text);
            let _ = VisitMut::visit(&mut again, &mut back);
            assert!(again == statement, "{text:?} became {printed}");
        }
    }

    struct Back<'a>(&'a str);

    impl VisitorMut for Back<'_> {
        type Break = ();

        fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            if value.value == Value::SingleQuotedString(self.0.to_owned()) {
                value.value = Value::Placeholder("$1".into());
            }
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn values_are_literals_of_their_types() {
        let text = |bytes: &str, kind: &Type| read(Some(bytes.as_bytes()), kind, false).ok();
        let sql = "SELECT COUNT(*) FROM t WHERE a < $1";
        let shown = |value: Option<Literal>| asked(sql, &value.unwrap()).split("< ").nth(1).unwrap_or("?").to_owned();
        assert_eq!(shown(text(" -5", &Type::INT4)), "(-5)");
        assert_eq!(shown(text("10.50", &Type::NUMERIC)), "10.50");
        assert_eq!(shown(text("0.1", &Type::FLOAT8)), "1e-1");
        assert_eq!(shown(text("T", &Type::BOOL)), "true");
        assert_eq!(shown(text("2020-02-29", &Type::DATE)), "DATE '2020-02-29'");
        assert_eq!(shown(text("2020-02-29 01:02:03.5", &Type::TIMESTAMP)), "TIMESTAMP '2020-02-29 01:02:03.500'");
        assert_eq!(shown(Some(Literal::Null)), "NULL");
        for (bad, kind) in [
            ("1; DROP", Type::INT8),
            ("1 OR 1", Type::NUMERIC),
            ("nan", Type::FLOAT8),
            ("x", Type::BOOL),
            ("2020-02-30", Type::DATE),
            ("2020-02-28 00:00:00+02", Type::TIMESTAMP),
            ("2020-01-01'", Type::DATE),
            ("", Type::INT8),
            ("1.", Type::NUMERIC),
        ] {
            assert!(text(bad, &kind).is_none(), "{bad} is no {kind}");
        }
        assert_eq!(read(Some(b"{1}"), &Type::INT8_ARRAY, false).err().unwrap().code, "UNSUPPORTED");
        assert_eq!(asked("SELECT COUNT(*) FROM t WHERE a < $2", &Literal::Null), "PARAMETERS_DIFFER");
    }

    #[test]
    fn binary_values_are_read_as_clients_write_them() {
        use tokio_postgres::types::ToSql;
        fn written(value: &(dyn ToSql + Sync), kind: &Type) -> Option<Literal> {
            let mut bytes = bytes::BytesMut::new();
            let _ = value.to_sql_checked(kind, &mut bytes).unwrap();
            read(Some(&bytes), kind, true).ok()
        }
        let number = |text: &str| Some(Literal::Number(text.into()));
        assert!(written(&-3i16, &Type::INT2) == number("-3") && written(&7i32, &Type::INT4) == number("7"));
        assert!(written(&i64::MIN, &Type::INT8) == number("-9223372036854775808"));
        assert!(written(&0.25f64, &Type::FLOAT8) == number("2.5e-1") && written(&f64::NAN, &Type::FLOAT8).is_none());
        assert!(written(&true, &Type::BOOL) == Some(Literal::Bool(true)));
        assert!(written(&"é", &Type::TEXT) == Some(Literal::Text("é".into())));
        let parts = |parts: &[i16]| parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<u8>>();
        let numeric = |bytes: Vec<u8>| read(Some(&bytes), &Type::NUMERIC, true).ok();
        assert!(numeric(parts(&[3, 1, 0x4000, 3, 1, 2345, 6780])) == number("-12345.678"));
        assert!(
            numeric(parts(&[0, 0, 0, 2])) == number("0.00")
                && numeric(parts(&[2, -1, 0, 5, 1, 2000])) == number("0.00012")
        );
        assert!(numeric(parts(&[1, 0, -16384, 0, 1])).is_none() && numeric(vec![1]).is_none());
        assert!(read(Some(&1i32.to_be_bytes()), &Type::DATE, true).ok() == Some(Literal::Date("2000-01-02".into())));
        assert!(read(Some(&i32::MAX.to_be_bytes()), &Type::DATE, true).is_err());
    }
}
