//! A summed expression as a sum of terms: each a literal factor times a product of measured columns, where some conditions hold.
//! Pure: an expression, its types, and what is known of columns.
//!
//! Why so few forms: what is not a sum of such terms has values at which it stands still, and an analyst can choose them:
//! `GREATEST(x, 7)` is 7 for everybody but the patients above, `x / 1000` of whole numbers 0 for all below 1000. That is a condition on the
//! measured column, and its total is the value of whoever is left.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use datafusion_common::{Column, ExprSchema, ScalarValue};
use datafusion_expr::expr::{BinaryExpr, Case, ScalarFunction};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use crate::error::PlanError;
use crate::value::Value;
use crate::words::words;

/// A part of a sum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    /// What is measured, without its literal factor; none for a literal alone.
    pub leaf: Option<Expr>,
    /// Conditions that are all true where the term is not 0.
    pub when: Vec<Expr>,
}

/// Reads expressions over some columns.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    schema: &'a dyn ExprSchema,
    /// Refuses a column that is not one term itself.
    known: &'a dyn Fn(&Column) -> Result<(), PlanError>,
    /// Is it computed in doubles, which round?
    rounds: bool,
}

impl<'a> Reader<'a> {
    /// `known`: refuses a column that is not one term itself.
    pub fn new(schema: &'a dyn ExprSchema, known: &'a dyn Fn(&Column) -> Result<(), PlanError>) -> Self {
        Reader { schema, known, rounds: false }
    }

    /// The terms of an expression, each leaf under the same conditions once; literals that are 0 or NULL are none.
    ///
    /// # Errors
    /// `SUM_NOT_JUDGED`.
    pub fn terms(&self, expr: &Expr) -> Result<Vec<Term>, PlanError> {
        let reader = Reader { rounds: self.rounds(expr), ..*self };
        let read = reader.read(expr, 1.0)?;
        if reader.rounds && !is_one_value(&read) {
            return Err(not_judged(expr));
        }
        let mut terms: Vec<Term> = Vec::new();
        for term in read {
            if !terms.contains(&term) {
                terms.push(term);
            }
        }
        let columns =
            |term: &Term| -> HashSet<Column> { term.leaf.iter().flat_map(Expr::column_refs).cloned().collect() };
        let shared = |a: &Term, b: &Term| !columns(a).is_disjoint(&columns(b));
        if terms.len() > MOST_TERMS || overlap(&terms, |term| &term.when, shared) {
            Err(not_judged(expr))
        } else {
            Ok(terms)
        }
    }

    /// `factor`: the product of the literals that it is multiplied by.
    fn read(&self, expr: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        match expr {
            Expr::Alias(alias) => self.read(&alias.expr, factor),
            Expr::Negative(inner) => self.read(inner, factor),
            Expr::Literal(scalar, _) => self.literal(scalar, expr, factor),
            Expr::Cast(cast) => self.cast(&cast.expr, expr, factor),
            Expr::Case(case) => self.case(case, factor),
            Expr::BinaryExpr(binary) => self.binary(binary, expr, factor),
            Expr::ScalarFunction(call) => self.function(call, expr, factor),
            Expr::Column(column) => (self.known)(column).map(|()| vec![Term::of(expr)]),
            other => Err(not_judged(other)),
        }
    }

    fn literal(&self, scalar: &ScalarValue, expr: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        if scalar.is_null() || is_zero(scalar) {
            return Ok(Vec::new());
        }
        self.plain(expr, factor * number(scalar).ok_or_else(|| not_judged(expr))?)?;
        Ok(vec![Term { leaf: None, when: Vec::new() }])
    }

    fn cast(&self, inner: &Expr, whole: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        let (Ok(from), Ok(to)) = (inner.get_type(self.schema), whole.get_type(self.schema)) else {
            return Err(not_judged(whole));
        };
        if from == DataType::Boolean {
            return Ok(vec![Term { leaf: None, when: vec![inner.clone()] }]);
        }
        let is_column = matches!(inner, Expr::Column(_));
        if is_exact(&from, &to) {
            return self.read(inner, factor);
        }
        // A date written as text is a date; a real with some digits is one column still, as it stands in the table.
        let of_column = is_column && (is_moment(&to) || from.is_floating() && digits(&to) >= LEAST_DIGITS);
        match inner {
            Expr::Column(column) if of_column => (self.known)(column).map(|()| vec![Term::of(whole)]),
            _ => Err(not_judged(whole)),
        }
    }

    /// Each branch under its condition, and not the earlier ones.
    fn case(&self, case: &Case, factor: f64) -> Result<Vec<Term>, PlanError> {
        let (mut terms, mut earlier) = (Vec::new(), Vec::new());
        for (when, then) in &case.when_then_expr {
            let condition = match &case.expr {
                Some(base) => base.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            let branch = self.read(then, factor)?;
            terms.extend(branch.into_iter().map(|term| term.under(&earlier).under(std::slice::from_ref(&condition))));
            earlier.push(condition.is_not_true());
        }
        let rest = case.else_expr.as_ref().map_or(Ok(Vec::new()), |rest| self.read(rest, factor))?;
        terms.extend(rest.into_iter().map(|term| term.under(&earlier)));
        Ok(terms)
    }

    fn binary(&self, binary: &BinaryExpr, whole: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        let BinaryExpr { left, op, right } = binary;
        match op {
            Operator::Minus if self.is_moment_of_column(left) && self.is_moment_of_column(right) => {
                self.columns(whole)?;
                Ok(vec![Term::of(whole)])
            }
            Operator::Plus | Operator::Minus => Ok([self.read(left, factor)?, self.read(right, factor)?].concat()),
            Operator::Multiply => match (constant(left), constant(right)) {
                (Some(x), _) => self.scaled(right, factor * x, whole),
                (_, Some(x)) => self.scaled(left, factor * x, whole),
                _ if self.rounds => Err(not_judged(whole)),
                _ => self.products(left, right, whole, factor),
            },
            Operator::Divide if self.is_real(whole) => match constant(right) {
                Some(x) if x != 0.0 => self.scaled(left, factor / x, whole),
                _ => Err(not_judged(whole)),
            },
            _ => Err(not_judged(whole)),
        }
    }

    fn scaled(&self, expr: &Expr, factor: f64, whole: &Expr) -> Result<Vec<Term>, PlanError> {
        if factor == 0.0 {
            return Ok(Vec::new());
        }
        self.plain(whole, factor)?;
        self.read(expr, factor)
    }

    fn products(&self, left: &Expr, right: &Expr, whole: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        let (left, right) = (self.read(left, factor)?, self.read(right, factor)?);
        if left.len() * right.len() > MOST_TERMS {
            return Err(not_judged(whole));
        }
        let product = |a: &Term, b: &Term| Term {
            leaf: match (&a.leaf, &b.leaf) {
                (Some(a), Some(b)) => Some(a.clone() * b.clone()),
                (a, b) => a.clone().or_else(|| b.clone()),
            },
            when: [a.when.clone(), b.when.clone()].concat(),
        };
        Ok(left.iter().flat_map(|a| right.iter().map(move |b| product(a, b))).collect())
    }

    fn function(&self, call: &ScalarFunction, whole: &Expr, factor: f64) -> Result<Vec<Term>, PlanError> {
        match (call.name(), &call.args[..]) {
            ("coalesce", [first, rest @ ..]) => {
                let value = rest.iter().find(|e| !matches!(e, Expr::Literal(scalar, _) if scalar.is_null()));
                let filled = match value {
                    Some(value @ Expr::Literal(..)) => self.read(value, factor)?,
                    None => Vec::new(),
                    Some(_) => return Err(not_judged(whole)),
                };
                let missing = [first.clone().is_null()];
                let filled = filled.into_iter().map(|term| term.under(&missing)).collect();
                Ok([self.read(first, factor)?, filled].concat())
            }
            ("nullif", [value, none @ Expr::Literal(..)]) => {
                let kept = [value.clone().not_eq(none.clone())];
                Ok(self.read(value, factor)?.into_iter().map(|term| term.under(&kept)).collect())
            }
            ("date_part", [Expr::Literal(..), of]) if self.is_moment_of_column(of) => {
                self.columns(whole)?;
                Ok(vec![Term::of(whole)])
            }
            _ => Err(not_judged(whole)),
        }
    }

    /// A date or moment as a column has it.
    fn is_moment_of_column(&self, expr: &Expr) -> bool {
        let of_column = match expr {
            Expr::Alias(alias) => return self.is_moment_of_column(&alias.expr),
            Expr::Cast(cast) => matches!(&*cast.expr, Expr::Column(_) | Expr::Literal(..)),
            Expr::Column(_) | Expr::Literal(..) => true,
            _ => false,
        };
        of_column && expr.get_type(self.schema).is_ok_and(|t| is_moment(&t))
    }

    fn columns(&self, expr: &Expr) -> Result<(), PlanError> {
        expr.column_refs().into_iter().try_for_each(|column| (self.known)(column))
    }

    fn is_real(&self, expr: &Expr) -> bool {
        expr.get_type(self.schema).is_ok_and(|t| t.is_floating())
    }

    /// Is it computed in doubles? What is exact and only made a double at the end is summed as it is.
    fn rounds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Alias(alias) => self.rounds(&alias.expr),
            Expr::Cast(cast) => self.is_real(expr) && self.rounds(&cast.expr),
            _ => self.is_real(expr),
        }
    }

    /// Doubles round: beside 10^17 all values below 8 are 0. Whole numbers and decimals are exact, or fail.
    fn plain(&self, expr: &Expr, factor: f64) -> Result<(), PlanError> {
        let fits = (SMALLEST..=1.0 / SMALLEST).contains(&factor.abs());
        if fits || !self.rounds && !self.is_real(expr) { Ok(()) } else { Err(not_judged(expr)) }
    }
}

impl Term {
    /// Is it a literal that everybody's value has?
    pub fn is_literal(&self) -> bool {
        self.leaf.is_none() && self.when.is_empty()
    }

    /// What is multiplied in its leaf.
    pub fn factors(&self) -> Vec<&Expr> {
        fn collect<'e>(expr: &'e Expr, factors: &mut Vec<&'e Expr>) {
            match expr {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Multiply, right }) => {
                    collect(left, factors);
                    collect(right, factors);
                }
                other => factors.push(other),
            }
        }
        let mut factors = Vec::new();
        self.leaf.iter().for_each(|leaf| collect(leaf, &mut factors));
        factors
    }

    fn of(leaf: &Expr) -> Term {
        Term { leaf: Some(leaf.clone()), when: Vec::new() }
    }

    fn under(mut self, conditions: &[Expr]) -> Term {
        self.when.extend_from_slice(conditions);
        self
    }
}

/// Doubles absorb: beside a large term, or a product of literals, a small one is 0. So there is one measured value and one literal.
fn is_one_value(read: &[Term]) -> bool {
    let leaves: Vec<&Expr> = read.iter().filter_map(|term| term.leaf.as_ref()).collect();
    let literals = read.len() - leaves.len();
    read.len() <= MOST_TERMS && leaves.iter().all(|leaf| *leaf == leaves[0]) && (leaves.is_empty() || literals <= 1)
}

/// Do two terms measure something in common under different conditions that can both hold? Of the difference of one column's sums under two
/// conditions nobody knows how many patients it is over, whatever the wording: `a * b` is `b * a`, and `x - y` is `y - x` but for its sign.
pub(super) fn overlap<T>(terms: &[T], when: impl Fn(&T) -> &[Expr], shared: impl Fn(&T, &T) -> bool) -> bool {
    let twice = |a: &T, b: &T| {
        let (ours, theirs) = (when(a), when(b));
        ours != theirs && !are_apart(ours, theirs) && shared(a, b)
    };
    terms.iter().enumerate().any(|(i, a)| terms[i + 1..].iter().any(|b| twice(a, b)))
}

/// Does one list ask for what the other rules out, as the branches of a CASE do?
pub(crate) fn are_apart(a: &[Expr], b: &[Expr]) -> bool {
    let rules_out = |x: &Expr, y: &Expr| matches!(x, Expr::IsNotTrue(inner) if **inner == *y);
    a.iter().any(|x| b.iter().any(|y| rules_out(x, y) || rules_out(y, x)))
}

/// Is it written in the question?
pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_literal(&alias.expr),
        Expr::Cast(cast) => is_literal(&cast.expr),
        Expr::Negative(inner) => is_literal(inner),
        other => matches!(other, Expr::Literal(..)),
    }
}

/// The number of a literal.
pub(super) fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Alias(alias) => constant(&alias.expr),
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Negative(inner) => constant(inner).map(|x| -x),
        Expr::Literal(scalar, _) => number(scalar),
        _ => None,
    }
}

fn number(scalar: &ScalarValue) -> Option<f64> {
    match Value::from_scalar(scalar)? {
        Value::Int(x) => Some(x as f64),
        Value::Decimal(x, scale) => Some(x as f64 / 10f64.powi(scale.into())),
        Value::Real(bits) => Some(f64::from_bits(bits)).filter(|x| x.is_finite()),
        _ => None,
    }
}

fn is_zero(scalar: &ScalarValue) -> bool {
    number(scalar) == Some(0.0)
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// The same numbers in another type, or a failure.
fn is_exact(from: &DataType, to: &DataType) -> bool {
    let known = |t: &DataType| t.is_integer() || t.is_floating() || matches!(t, DataType::Decimal128(..));
    let keeps = match to {
        // Shorter ones than a double absorb sooner.
        to if to.is_floating() => *to == DataType::Float64,
        to if to.is_integer() => from.is_integer(),
        to => !from.is_floating() && digits(to) >= digits(from),
    };
    from == to || known(from) && known(to) && keeps
}

fn digits(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// Refuses an expression.
pub(super) fn not_judged(expr: &Expr) -> PlanError {
    refusal(&words(expr))
}

/// Refuses what the words say.
pub(crate) fn refusal(what: &str) -> PlanError {
    let text = format!(
        "small cells are hidden, and how many patients' values are in a sum over {what} cannot be told: of sums and products of columns, \
         literal factors and CASE it can, up to {MOST_TERMS} terms"
    );
    PlanError::new("SUM_NOT_JUDGED", text).hint("sum the column itself, or ask with --epsilon")
}

/// Each has a cell of its own in every group.
const MOST_TERMS: usize = 4;
/// 2^-20. Beside a literal of 2^20 a double keeps 2^-32, which is 2^-12 of what was multiplied by 2^-20: finer than what is measured.
const SMALLEST: f64 = 1.0 / 1_048_576.0;
/// Of a real that is cast to a decimal.
const LEAST_DIGITS: i8 = 2;
