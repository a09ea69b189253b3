//! Expressions in SQL. Each function gives none for what PostgreSQL does not know or means otherwise.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::expr::{Between, InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, Operator};
use datafusion::scalar::ScalarValue;
use query_planner::value::{Value, write_decimal};

use super::super::sql::Writer;
use super::scope::Scope;

/// A column of a projection. It is evaluated on the rows that the node would evaluate it on, so it may fail as the node's would.
pub(super) fn value(writer: &mut Writer, expr: &Expr, scope: &Scope) -> Option<String> {
    Emit { writer, scope, may_fail: true }.expr(expr)
}

/// A condition, which cannot fail.
pub(super) fn condition(writer: &mut Writer, expr: &Expr, scope: &Scope) -> Option<String> {
    Emit { writer, scope, may_fail: false }.expr(expr)
}

/// One pair of a join's columns.
pub(super) fn equality(writer: &mut Writer, a: (&Expr, &Scope), b: (&Expr, &Scope)) -> Option<String> {
    if !are_comparable(&a.0.get_type(&a.1.schema).ok()?, &b.0.get_type(&b.1.schema).ok()?) {
        return None;
    }
    let (a, b) = (condition(writer, a.0, a.1)?, condition(writer, b.0, b.1)?);
    Some(format!("({a} = {b})"))
}

/// A column as the type that the node has it in, called `c{place}`.
pub(super) fn cast(sql: &str, to: &DataType, place: usize) -> Option<String> {
    let collation = if *to == DataType::Utf8 { " COLLATE \"C\"" } else { "" };
    Some(format!("({sql})::{}{collation} AS c{place}", type_name(to)?))
}

/// A constant.
pub(in super::super) fn literal(writer: &mut Writer, scalar: &ScalarValue) -> Option<String> {
    let name = type_name(&scalar.data_type())?;
    let text = match Value::from_scalar(scalar)? {
        Value::Null => return Some(format!("NULL::{name}")),
        Value::Bool(truth) => return Some(if truth { "TRUE".into() } else { "FALSE".into() }),
        Value::Real(_) => return None,
        Value::Int(int) => int.to_string(),
        Value::Decimal(unscaled, scale) => write_decimal(unscaled, scale),
        Value::Date(days) if YEARS.contains(&days.into()) => Value::Date(days).to_string(),
        Value::Timestamp(micros) if YEARS.contains(&micros.div_euclid(DAY_MICROS)) => {
            Value::Timestamp(micros).to_string()
        }
        Value::Date(_) | Value::Timestamp(_) => return None,
        // No text of a database has a NUL, and none can be bound.
        Value::Text(text) if text.contains('\0') => return None,
        Value::Text(text) => return Some(format!("({}::text COLLATE \"C\")", writer.bind(text))),
    };
    Some(format!("({}::text)::{name}", writer.bind(text)))
}

/// Days since 1970-01-01 of the years 1 to 9999, in which both calendars are written alike.
const YEARS: std::ops::Range<i64> = -719_162..2_932_897;
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

fn type_name(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        integer if integer.is_integer() && *integer != DataType::UInt64 => "bigint",
        DataType::Decimal128(..) => "numeric",
        DataType::Float64 => "float8",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp",
        DataType::Boolean => "boolean",
        DataType::Utf8 => "text",
        _ => return None,
    })
}

/// Do both sides order values of these types alike?
fn are_comparable(a: &DataType, b: &DataType) -> bool {
    let integers = a.is_integer() && b.is_integer();
    type_name(a).is_some() && type_name(b).is_some() && (integers || a == b) && *a != DataType::Float64
}

struct Emit<'a> {
    writer: &'a mut Writer,
    scope: &'a Scope,
    may_fail: bool,
}

impl Emit<'_> {
    fn expr(&mut self, expr: &Expr) -> Option<String> {
        Some(match expr {
            Expr::Alias(alias) => self.expr(&alias.expr)?,
            Expr::Column(column) => self.scope.column(column)?,
            Expr::Literal(scalar, _) => literal(self.writer, scalar)?,
            Expr::BinaryExpr(binary) => self.binary(binary)?,
            Expr::Like(like) => self.like(like)?,
            Expr::Not(inner) => format!("(NOT {})", self.expr(inner)?),
            Expr::IsNull(inner) => format!("({} IS NULL)", self.expr(inner)?),
            Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", self.expr(inner)?),
            Expr::IsTrue(inner) => format!("({} IS TRUE)", self.expr(inner)?),
            Expr::IsNotTrue(inner) => format!("({} IS NOT TRUE)", self.expr(inner)?),
            Expr::IsFalse(inner) => format!("({} IS FALSE)", self.expr(inner)?),
            Expr::IsNotFalse(inner) => format!("({} IS NOT FALSE)", self.expr(inner)?),
            Expr::IsUnknown(inner) => format!("({} IS UNKNOWN)", self.expr(inner)?),
            Expr::IsNotUnknown(inner) => format!("({} IS NOT UNKNOWN)", self.expr(inner)?),
            Expr::Between(between) => self.between(between)?,
            Expr::InList(list) => self.in_list(list)?,
            Expr::Case(case) => self.case(case)?,
            Expr::Cast(cast) => self.cast(cast)?,
            Expr::ScalarFunction(call) => self.call(call)?,
            _ => return None,
        })
    }

    fn binary(&mut self, BinaryExpr { left, op, right }: &BinaryExpr) -> Option<String> {
        let word = match op {
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Divide | Operator::Modulo => return self.divide(left, *op, right),
            comparison => {
                if !are_comparable(&self.type_of(left)?, &self.type_of(right)?) {
                    return None;
                }
                comparison_word(*comparison)?
            }
        };
        Some(format!("({} {word} {})", self.expr(left)?, self.expr(right)?))
    }

    /// Whole numbers by a constant: both sides cut towards zero, and nothing can fail.
    fn divide(&mut self, left: &Expr, op: Operator, right: &Expr) -> Option<String> {
        let Expr::Literal(ScalarValue::Int64(Some(divisor)), _) = right else { return None };
        if self.type_of(left)? != DataType::Int64 || [0, -1].contains(divisor) {
            return None;
        }
        let word = if op == Operator::Divide { "/" } else { "%" };
        Some(format!("(({})::bigint {word} {})", self.expr(left)?, self.expr(right)?))
    }

    /// Without escapes, which the two read differently where a pattern is odd.
    fn like(&mut self, like: &Like) -> Option<String> {
        let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = &*like.pattern else { return None };
        let plain = !pattern.contains('\\') && like.escape_char.is_none() && !like.case_insensitive;
        if !plain || self.type_of(&like.expr)? != DataType::Utf8 {
            return None;
        }
        let word = if like.negated { "NOT LIKE" } else { "LIKE" };
        Some(format!("({} {word} {} ESCAPE '')", self.expr(&like.expr)?, self.expr(&like.pattern)?))
    }

    fn between(&mut self, between: &Between) -> Option<String> {
        let own = self.type_of(&between.expr)?;
        if !are_comparable(&own, &self.type_of(&between.low)?) || !are_comparable(&own, &self.type_of(&between.high)?) {
            return None;
        }
        let word = if between.negated { "NOT BETWEEN" } else { "BETWEEN" };
        let (low, high) = (self.expr(&between.low)?, self.expr(&between.high)?);
        Some(format!("({} {word} {low} AND {high})", self.expr(&between.expr)?))
    }

    fn in_list(&mut self, list: &InList) -> Option<String> {
        let own = self.type_of(&list.expr)?;
        let mut members = Vec::with_capacity(list.list.len());
        for member in &list.list {
            if !are_comparable(&own, &self.type_of(member)?) {
                return None;
            }
            members.push(self.expr(member)?);
        }
        if members.is_empty() {
            return None;
        }
        let word = if list.negated { "NOT IN" } else { "IN" };
        Some(format!("({} {word} ({}))", self.expr(&list.expr)?, members.join(", ")))
    }

    /// Both evaluate a branch on the rows that come to it only.
    fn case(&mut self, case: &Case) -> Option<String> {
        let subject = match &case.expr {
            Some(subject) => format!(" {}", self.expr(subject)?),
            None => String::new(),
        };
        let subject_type = case.expr.as_ref().map_or(Some(DataType::Boolean), |subject| self.type_of(subject))?;
        let of_all = self.type_of(&Expr::Case(case.clone()))?;
        let mut sql = format!("(CASE{subject}");
        for (when, then) in &case.when_then_expr {
            if !are_comparable(&subject_type, &self.type_of(when)?) {
                return None;
            }
            sql += &format!(" WHEN {} THEN {}", self.expr(when)?, self.branch(then, &of_all)?);
        }
        if let Some(otherwise) = &case.else_expr {
            sql += &format!(" ELSE {}", self.branch(otherwise, &of_all)?);
        }
        Some(sql + " END)")
    }

    fn branch(&mut self, expr: &Expr, of_all: &DataType) -> Option<String> {
        if self.type_of(expr)? != *of_all {
            return None;
        }
        self.expr(expr)
    }

    /// Casts that lose nothing and cannot fail.
    fn cast(&mut self, cast: &Cast) -> Option<String> {
        let to = cast.field.data_type();
        let is_wider = match (&self.type_of(&cast.expr)?, to) {
            (from, DataType::Int64) => from.is_integer() && *from != DataType::UInt64,
            (from, DataType::Float64) => from.is_integer() && *from != DataType::UInt64,
            (DataType::Int64, DataType::Decimal128(precision, scale)) => {
                i16::from(*precision) - i16::from(*scale) >= 19
            }
            (DataType::Decimal128(p, s), DataType::Decimal128(precision, scale)) => {
                scale >= s && i16::from(*precision) - i16::from(*scale) >= i16::from(*p) - i16::from(*s)
            }
            (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, None)) => true,
            (from, to) => from == to,
        };
        if !is_wider {
            return None;
        }
        Some(format!("({})::{}", self.expr(&cast.expr)?, type_name(to)?))
    }

    fn call(&mut self, call: &ScalarFunction) -> Option<String> {
        match (call.func.name(), &call.args[..]) {
            ("checked_add", [a, b]) => self.arithmetic(a, "+", b),
            ("checked_subtract", [a, b]) => self.arithmetic(a, "-", b),
            ("checked_multiply", [a, b]) => self.arithmetic(a, "*", b),
            ("date_part", [part, of]) => self.date_part(part, of),
            ("coalesce", args) => self.coalesce(call, args),
            _ => None,
        }
    }

    /// Fails on overflow, as the node's does.
    fn arithmetic(&mut self, a: &Expr, word: &str, b: &Expr) -> Option<String> {
        if !self.may_fail || self.type_of(a)? != DataType::Int64 || self.type_of(b)? != DataType::Int64 {
            return None;
        }
        Some(format!("(({})::bigint {word} ({})::bigint)", self.expr(a)?, self.expr(b)?))
    }

    fn date_part(&mut self, part: &Expr, of: &Expr) -> Option<String> {
        let Expr::Literal(ScalarValue::Utf8(Some(part)), _) = part else { return None };
        let part = ["YEAR", "MONTH", "DAY"].into_iter().find(|known| part.eq_ignore_ascii_case(known))?;
        match self.type_of(of)? {
            DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Some(format!("(EXTRACT({part} FROM {})::bigint)", self.expr(of)?))
            }
            _ => None,
        }
    }

    fn coalesce(&mut self, call: &ScalarFunction, args: &[Expr]) -> Option<String> {
        let of_all = self.type_of(&Expr::ScalarFunction(call.clone()))?;
        let args: Vec<String> = args.iter().map(|arg| self.branch(arg, &of_all)).collect::<Option<_>>()?;
        Some(format!("COALESCE({})", args.join(", ")))
    }

    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        expr.get_type(&self.scope.schema).ok()
    }
}

fn comparison_word(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        Operator::IsDistinctFrom => "IS DISTINCT FROM",
        Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        _ => return None,
    })
}
