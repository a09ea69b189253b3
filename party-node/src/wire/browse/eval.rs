//! Expressions: their values in a row, and what kind of values they have.

use std::cmp::Ordering;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArguments,
    Ident, Query, Subscript, UnaryOperator, Value as Literal,
};

use super::functions::{self, is_aggregate};
use super::kinds::{kind_of_type, type_name};
use super::select::{Engine, Scope, unsupported};
use super::value::{Kind, Value};
use crate::fault::{NodeError, printable};

type Result<T> = std::result::Result<T, NodeError>;

/// The most that a pattern takes when it is read, and what it counts for.
const PATTERN_BYTES: usize = 256 << 10;

impl Engine<'_> {
    /// The value of an expression in a row or group.
    pub fn value(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Value> {
        let value = self.evaluated(expr, scope)?;
        self.steps(1)?;
        self.make(value.beside())?;
        Ok(value)
    }

    fn evaluated(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Value> {
        Ok(match expr {
            Expr::Identifier(name) => self.column(None, name, scope)?,
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, name] => self.column(Some(table), name, scope)?,
                _ => return Err(unsupported("this name")),
            },
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } | Expr::Prefixed { value: inner, .. } => {
                self.value(inner, scope)?
            }
            Expr::Value(value) => literal(&value.value)?,
            Expr::TypedString(typed) => typed.value.clone().into_string().map_or(Value::Null, Value::Text),
            Expr::Cast { expr, data_type, .. } => self.cast(self.value(expr, scope)?, data_type)?,
            Expr::UnaryOp { op, expr } => unary(*op, self.value(expr, scope)?)?,
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, scope)?,
            Expr::IsNull(inner) => Value::Bool(self.value(inner, scope)? == Value::Null),
            Expr::IsNotNull(inner) => Value::Bool(self.value(inner, scope)? != Value::Null),
            Expr::IsTrue(inner) => Value::Bool(self.value(inner, scope)?.is_true()),
            Expr::IsNotTrue(inner) => Value::Bool(!self.value(inner, scope)?.is_true()),
            Expr::IsFalse(inner) => Value::Bool(is_false(&self.value(inner, scope)?)),
            Expr::IsNotFalse(inner) => Value::Bool(!is_false(&self.value(inner, scope)?)),
            Expr::IsDistinctFrom(a, b) => Value::Bool(!same(&self.value(a, scope)?, &self.value(b, scope)?)),
            Expr::IsNotDistinctFrom(a, b) => Value::Bool(same(&self.value(a, scope)?, &self.value(b, scope)?)),
            Expr::InList { expr, list, negated } => {
                let list: Vec<Value> = list.iter().map(|item| self.value(item, scope)).collect::<Result<_>>()?;
                not_if(*negated, self.any(&self.value(expr, scope)?, &BinaryOperator::Eq, &list)?)
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let list = self.first_column(subquery, scope)?;
                not_if(*negated, self.any(&self.value(expr, scope)?, &BinaryOperator::Eq, &list)?)
            }
            Expr::AnyOp { left, compare_op, right, .. } => {
                self.any(&self.value(left, scope)?, compare_op, &self.elements(right, scope)?)?
            }
            Expr::AllOp { left, compare_op, right } => {
                let (left, list) = (self.value(left, scope)?, self.elements(right, scope)?);
                let each = list.iter().map(|item| self.operate(compare_op, &left, item));
                Value::Bool(each.collect::<Result<Vec<_>>>()?.iter().all(Value::is_true))
            }
            Expr::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.value(expr, scope)?, self.value(low, scope)?, self.value(high, scope)?);
                let within = self.operate(&BinaryOperator::GtEq, &value, &low)?.is_true()
                    && self.operate(&BinaryOperator::LtEq, &value, &high)?.is_true();
                not_if(*negated, Value::Bool(within))
            }
            Expr::Like { negated, expr, pattern, .. } => {
                not_if(*negated, self.like(&self.value(expr, scope)?, &self.value(pattern, scope)?, false)?)
            }
            Expr::ILike { negated, expr, pattern, .. } => {
                not_if(*negated, self.like(&self.value(expr, scope)?, &self.value(pattern, scope)?, true)?)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_ref().map(|operand| self.value(operand, scope)).transpose()?;
                for CaseWhen { condition, result } in conditions {
                    let met = self.value(condition, scope)?;
                    let met = match &operand {
                        Some(operand) => operand.compare(&met) == Some(Ordering::Equal),
                        None => met.is_true(),
                    };
                    if met {
                        return self.value(result, scope);
                    }
                }
                else_result.as_ref().map_or(Ok(Value::Null), |expr| self.value(expr, scope))?
            }
            Expr::Exists { subquery, negated } => {
                Value::Bool(self.query(subquery, scope.ctes, Some(scope))?.rows.is_empty() == *negated)
            }
            Expr::Subquery(query) => match self.first_column(query, scope)?.as_slice() {
                [] => Value::Null,
                [one] => one.clone(),
                _ => {
                    return Err(NodeError::new(
                        "INVALID_QUERY",
                        "a subquery in the place of a value has more than one row",
                    ));
                }
            },
            Expr::Array(array) => {
                Value::List(array.elem.iter().map(|item| self.value(item, scope)).collect::<Result<_>>()?)
            }
            Expr::Function(function) => self.call(function, scope)?,
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.access(self.value(root, scope)?, access_chain, scope)?
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.value(expr, scope)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    args.push(self.value(part, scope)?);
                }
                functions::call(self.world, "substring", &args)?
            }
            Expr::Position { expr, r#in } => {
                functions::call(self.world, "strpos", &[self.value(r#in, scope)?, self.value(expr, scope)?])?
            }
            Expr::Trim { expr, .. } => functions::call(self.world, "btrim", &[self.value(expr, scope)?])?,
            // A row that is compared as a whole.
            Expr::Tuple(items) => Value::List(items.iter().map(|item| self.value(item, scope)).collect::<Result<_>>()?),
            _ => return Err(unsupported("this expression")),
        })
    }

    fn column(&self, table: Option<&Ident>, name: &Ident, scope: &Scope<'_>) -> Result<Value> {
        match find(table, name, scope)? {
            Found::At(scope, at) => Ok(scope.row.get(at).cloned().unwrap_or(Value::Null)),
            Found::Open => Ok(Value::Null),
        }
    }

    fn first_column(&self, query: &Query, scope: &Scope<'_>) -> Result<Vec<Value>> {
        let rows = self.query(query, scope.ctes, Some(scope))?.rows;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// The elements behind ANY and ALL.
    fn elements(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Vec<Value>> {
        let expr = if let Expr::Nested(inner) = expr { inner } else { expr };
        if let Expr::Subquery(query) = expr {
            return self.first_column(query, scope);
        }
        match self.value(expr, scope)? {
            Value::List(list) => Ok(list),
            Value::Text(text) => Ok(functions::list(&text)),
            _ => Ok(Vec::new()),
        }
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope<'_>) -> Result<Value> {
        let left = self.value(left, scope)?;
        match op {
            BinaryOperator::And if is_false(&left) => Ok(left),
            BinaryOperator::Or if left.is_true() => Ok(left),
            _ => self.operate(op, &left, &self.value(right, scope)?),
        }
    }

    /// A cast; to `regclass` and its like a name becomes a number, and a number a name.
    fn cast(&self, value: Value, to: &DataType) -> Result<Value> {
        let name = type_name(to);
        if value == Value::Null {
            return Ok(value);
        }
        Ok(match (name.as_str(), &value) {
            ("regclass", Value::Text(text)) if value.int().is_none() => {
                let unknown = || NodeError::new("UNKNOWN_TABLE", format!("there is no table '{}'", printable(text)));
                Value::Int(self.world.table_oid(text).ok_or_else(unknown)?)
            }
            ("regclass", _) => value.int().and_then(|oid| self.world.table_name(oid)).map_or(value, Value::Text),
            ("regtype", Value::Text(text)) if value.int().is_none() => {
                functions::type_oid(text).map_or(Value::Null, Value::Int)
            }
            ("regtype", _) => functions::format_type(value.int().unwrap_or(0), None).map_or(Value::Null, Value::Text),
            ("regnamespace" | "regproc" | "regprocedure" | "regrole" | "regoper" | "regconfig", _) => value,
            (_, _) => match kind_of_type(to) {
                Kind::Bool => Value::Bool(value.is_true() || matches!(value, Value::Int(n) if n != 0)),
                Kind::Int => value
                    .int()
                    .map(Value::Int)
                    .ok_or_else(|| NodeError::new("CAST_FAILED", format!("that is no {}", printable(&name))))?,
                Kind::Real => value.shown().and_then(|text| text.parse().ok()).map_or(Value::Null, Value::Real),
                Kind::Texts | Kind::Ints => match value {
                    Value::Text(text) => Value::List(functions::list(&text)),
                    other => other,
                },
                Kind::Text if name == "text" || name == "name" || name.contains("char") => match value {
                    Value::Bool(value) => Value::text(value.to_string()),
                    other => other.shown().map_or(Value::Null, Value::Text),
                },
                Kind::Text => value,
            },
        })
    }

    fn access(&self, root: Value, chain: &[AccessExpr], scope: &Scope<'_>) -> Result<Value> {
        let mut value = root;
        for access in chain {
            value = match (access, value) {
                (AccessExpr::Subscript(Subscript::Index { index }), Value::List(list)) => {
                    // `int2vector` counts from 0 and arrays from 1; nothing here is such a vector.
                    let at = self.value(index, scope)?.int().unwrap_or(0);
                    let at = at.checked_sub(1).and_then(|at| usize::try_from(at).ok());
                    at.and_then(|at| list.get(at).cloned()).unwrap_or(Value::Null)
                }
                (_, Value::Null) => Value::Null,
                _ => return Err(unsupported("this access")),
            };
        }
        Ok(value)
    }

    fn call(&self, function: &Function, scope: &Scope<'_>) -> Result<Value> {
        let name = function.name.to_string().replace('"', "").to_lowercase();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        if function.over.is_some() {
            return Err(unsupported("window functions"));
        }
        let args = match &function.args {
            FunctionArguments::None => &[][..],
            FunctionArguments::List(list) => &list.args[..],
            FunctionArguments::Subquery(query) if name == "array" => {
                return Ok(Value::List(self.first_column(query, scope)?));
            }
            FunctionArguments::Subquery(_) => return Err(unsupported("a subquery in the place of arguments")),
        };
        if is_aggregate(name) {
            return self.aggregate(name, function, args, scope);
        }
        if name == "coalesce" {
            for arg in args {
                let value = self.argument(arg, scope)?;
                if value != Value::Null {
                    return Ok(value);
                }
            }
            return Ok(Value::Null);
        }
        let values: Vec<Value> = args.iter().map(|arg| self.argument(arg, scope)).collect::<Result<_>>()?;
        functions::call(self.world, name, &values)
    }

    fn aggregate(&self, name: &str, function: &Function, args: &[FunctionArg], scope: &Scope<'_>) -> Result<Value> {
        let Some(group) = scope.group else {
            return Err(NodeError::new("INVALID_QUERY", format!("{name} stands outside of groups")));
        };
        let mut values = Vec::new();
        for row in group {
            let inner = Scope { row, group: None, ..*scope };
            if let Some(filter) = &function.filter
                && !self.value(filter, &inner)?.is_true()
            {
                continue;
            }
            values.push(args.first().map_or(Ok(Value::Int(1)), |arg| self.argument(arg, &inner))?);
        }
        let only_distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct));
        if only_distinct {
            values = self.distinct(values, |value| value)?;
        }
        let between = match (name, args.get(1), group.first()) {
            ("string_agg", Some(arg), Some(row)) => self.argument(arg, &Scope { row, group: None, ..*scope })?.shown(),
            _ => None,
        };
        functions::aggregate(name, values, between.as_deref().unwrap_or(","))
    }

    /// NULL where nothing fits and something was NULL.
    fn any(&self, left: &Value, op: &BinaryOperator, list: &[Value]) -> Result<Value> {
        self.steps(list.len())?;
        let mut unknown = *left == Value::Null && !list.is_empty();
        for item in list {
            match self.operate(op, left, item)? {
                Value::Null => unknown = true,
                value if value.is_true() => return Ok(value),
                _ => (),
            }
        }
        Ok(if unknown { Value::Null } else { Value::Bool(false) })
    }

    fn operate(&self, op: &BinaryOperator, a: &Value, b: &Value) -> Result<Value> {
        use BinaryOperator as Op;
        let custom;
        let op = match op {
            Op::PGCustomBinaryOperator(parts) => {
                custom = match parts.last().map(String::as_str) {
                    Some("=") => Op::Eq,
                    Some("<>" | "!=") => Op::NotEq,
                    Some("~") => Op::PGRegexMatch,
                    Some("~*") => Op::PGRegexIMatch,
                    Some("!~") => Op::PGRegexNotMatch,
                    Some("~~") => Op::PGLikeMatch,
                    Some("||") => Op::StringConcat,
                    Some("<") => Op::Lt,
                    Some(">") => Op::Gt,
                    Some("<=") => Op::LtEq,
                    Some(">=") => Op::GtEq,
                    _ => return Err(unsupported("this operator")),
                };
                &custom
            }
            other => other,
        };
        let compared =
            |fits: fn(Ordering) -> bool| Ok(a.compare(b).map_or(Value::Null, |order| Value::Bool(fits(order))));
        match op {
            Op::And => Ok(match (a, b) {
                (a, b) if is_false(a) || is_false(b) => Value::Bool(false),
                (Value::Null, _) | (_, Value::Null) => Value::Null,
                (a, b) => Value::Bool(a.is_true() && b.is_true()),
            }),
            Op::Or => Ok(match (a, b) {
                (a, b) if a.is_true() || b.is_true() => Value::Bool(true),
                (Value::Null, _) | (_, Value::Null) => Value::Null,
                _ => Value::Bool(false),
            }),
            Op::Eq => compared(Ordering::is_eq),
            Op::NotEq => compared(Ordering::is_ne),
            Op::Lt => compared(Ordering::is_lt),
            Op::LtEq => compared(Ordering::is_le),
            Op::Gt => compared(Ordering::is_gt),
            Op::GtEq => compared(Ordering::is_ge),
            _ if *a == Value::Null || *b == Value::Null => Ok(Value::Null),
            Op::StringConcat => Ok(match (a, b) {
                (Value::List(a), Value::List(b)) => Value::List(a.iter().chain(b).cloned().collect()),
                (a, b) => Value::Text(a.shown().unwrap_or_default() + &b.shown().unwrap_or_default()),
            }),
            Op::PGRegexMatch => self.matches(a, b, false),
            Op::PGRegexIMatch => self.matches(a, b, true),
            Op::PGRegexNotMatch => Ok(not_if(true, self.matches(a, b, false)?)),
            Op::PGRegexNotIMatch => Ok(not_if(true, self.matches(a, b, true)?)),
            Op::PGLikeMatch => self.like(a, b, false),
            Op::PGILikeMatch => self.like(a, b, true),
            Op::PGNotLikeMatch => Ok(not_if(true, self.like(a, b, false)?)),
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::BitwiseAnd | Op::BitwiseOr => {
                arithmetic(op, a, b)
            }
            _ => Err(unsupported("this operator")),
        }
    }

    fn matches(&self, text: &Value, pattern: &Value, folds: bool) -> Result<Value> {
        let (Some(text), Some(pattern)) = (text.shown(), pattern.shown()) else { return Ok(Value::Null) };
        self.steps(text.len())?;
        let mut known = self.patterns.borrow_mut();
        let key = (pattern, folds);
        if let Some(read) = known.get(&key) {
            return Ok(Value::Bool(read.is_match(&text)));
        }
        self.make(PATTERN_BYTES)?;
        let read = regex::RegexBuilder::new(&key.0).case_insensitive(folds).size_limit(PATTERN_BYTES).build();
        let read = read.map_err(|_| NodeError::new("INVALID_QUERY", "that is no regular expression"))?;
        let is_match = read.is_match(&text);
        known.insert(key, read);
        Ok(Value::Bool(is_match))
    }

    fn like(&self, text: &Value, pattern: &Value, folds: bool) -> Result<Value> {
        let Some(pattern) = pattern.shown() else { return Ok(Value::Null) };
        let (mut regex, mut letters) = ("(?s)^".to_owned(), pattern.chars());
        while let Some(letter) = letters.next() {
            match letter {
                '%' => regex += ".*",
                '_' => regex += ".",
                '\\' => regex += &regex::escape(&letters.next().map(String::from).unwrap_or_default()),
                letter => regex += &regex::escape(&letter.to_string()),
            }
        }
        self.matches(text, &Value::Text(regex + "$"), folds)
    }
}

pub(super) enum Found<'a> {
    At(&'a Scope<'a>, usize),
    /// A column that nothing is known of.
    Open,
}

pub(super) fn find<'a>(table: Option<&Ident>, name: &Ident, scope: &'a Scope<'a>) -> Result<Found<'a>> {
    let mut around = Some(scope);
    let mut open = false;
    while let Some(scope) = around {
        let fits = |column: &super::select::Column| {
            column.name.eq_ignore_ascii_case(&name.value)
                && table.is_none_or(|table| column.table.eq_ignore_ascii_case(&table.value))
        };
        if let Some(at) = scope.relation.columns.iter().position(fits) {
            return Ok(Found::At(scope, at));
        }
        open |= match table {
            Some(table) => scope.relation.open.iter().any(|known| known.eq_ignore_ascii_case(&table.value)),
            // Columns that every table has.
            None => !scope.relation.open.is_empty() && ["ctid", "tableoid", "xmin"].contains(&name.value.as_str()),
        };
        if open {
            return Ok(Found::Open);
        }
        around = scope.outer;
    }
    let shown = table.map_or(name.value.clone(), |table| format!("{}.{}", table.value, name.value));
    Err(NodeError::new("UNKNOWN_COLUMN", format!("there is no column '{}'", printable(&shown))))
}

fn literal(value: &Literal) -> Result<Value> {
    Ok(match value {
        Literal::Number(digits, _) => match digits.parse() {
            Ok(int) => Value::Int(int),
            Err(_) => digits.parse().map_or(Value::Null, Value::Real),
        },
        Literal::SingleQuotedString(text)
        | Literal::EscapedStringLiteral(text)
        | Literal::UnicodeStringLiteral(text) => Value::text(text),
        Literal::DollarQuotedString(text) => Value::text(&text.value),
        Literal::Boolean(value) => Value::Bool(*value),
        Literal::Null => Value::Null,
        _ => return Err(unsupported("this literal")),
    })
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false)) || matches!(value, Value::Text(text) if text == "f" || text == "false")
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (a, b) => a.compare(b) == Some(Ordering::Equal),
    }
}

fn not_if(negated: bool, value: Value) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(value != negated),
        other => other,
    }
}

fn unary(op: UnaryOperator, value: Value) -> Result<Value> {
    Ok(match (op, value) {
        (_, Value::Null) => Value::Null,
        (UnaryOperator::Not, value) => Value::Bool(!value.is_true()),
        (UnaryOperator::Minus, Value::Real(value)) => Value::Real(-value),
        (UnaryOperator::Minus, value) => value.int().and_then(i64::checked_neg).map_or(Value::Null, Value::Int),
        (UnaryOperator::Plus, value) => value,
        _ => return Err(unsupported("this operator")),
    })
}

fn arithmetic(op: &BinaryOperator, a: &Value, b: &Value) -> Result<Value> {
    let (Some(a), Some(b)) = (a.int(), b.int()) else {
        return Err(unsupported("arithmetic on what are no whole numbers"));
    };
    let value = match op {
        BinaryOperator::Plus => a.checked_add(b),
        BinaryOperator::Minus => a.checked_sub(b),
        BinaryOperator::Multiply => a.checked_mul(b),
        BinaryOperator::Divide if b == 0 => return Err(NodeError::new("DIVISION_BY_ZERO", "division by zero")),
        BinaryOperator::Divide => a.checked_div(b),
        BinaryOperator::BitwiseAnd => Some(a & b),
        BinaryOperator::BitwiseOr => Some(a | b),
        _ => a.checked_rem(b),
    };
    value.map(Value::Int).ok_or_else(|| NodeError::new("ARITHMETIC_OVERFLOW", "the result is too large"))
}
