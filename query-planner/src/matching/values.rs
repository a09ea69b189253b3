//! What is known of a patient as a whole: numbers, truth values with SQL's third one, and choices among constants.

use arrow::datatypes::DataType;
use datafusion_expr::Expr;

use crate::bounds::Interval;
use crate::error::PlanError;
use crate::matching::nodes::{Bit, Nodes, too_wide};
use crate::matching::unmatchable;
use crate::matching::view::not_yet_because;
use crate::value::Value as Constant;
use crate::words::words;

/// A value of each patient.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Number(Linear),
    Truth(Truth),
    Choice(Choice),
}

/// Σ coefficient · node + constant, unscaled, of so many decimal digits; NULL where `present` is 0.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub terms: Vec<(i128, usize)>,
    pub constant: i128,
    pub present: Bit,
    pub digits: u8,
    /// Its values where it is present, if these are known to be fewer than its nodes have.
    pub range: Option<Interval>,
}

/// TRUE where `yes`, FALSE where `no`, else NULL; never both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truth {
    pub yes: Bit,
    pub no: Bit,
}

/// One of some constants (NULL among them): that whose bit is 1.
#[derive(Debug, Clone)]
pub(crate) struct Choice(pub Vec<(Constant, Bit)>);

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Less,
    AtMost,
    Equal,
}

impl Truth {
    pub fn of(yes: Bit, nodes: &mut Nodes<'_>) -> Truth {
        Truth { yes, no: nodes.not(yes) }
    }

    pub fn not(self) -> Truth {
        Truth { yes: self.no, no: self.yes }
    }

    pub fn and(self, other: Truth, nodes: &mut Nodes<'_>) -> Truth {
        Truth { yes: nodes.and(self.yes, other.yes), no: nodes.or(self.no, other.no) }
    }

    pub fn or(self, other: Truth, nodes: &mut Nodes<'_>) -> Truth {
        self.not().and(other.not(), nodes).not()
    }
}

impl Linear {
    pub fn of_node(node: usize, present: Bit) -> Linear {
        Linear { terms: vec![(1, node)], constant: 0, present, digits: 0, range: None }
    }

    pub fn constant(constant: i128, digits: u8) -> Linear {
        Linear { terms: Vec::new(), constant, present: Bit::Yes, digits, range: None }
    }

    pub fn times(mut self, factor: i128) -> Result<Linear, PlanError> {
        let product = |x: i128| x.checked_mul(factor).ok_or_else(super::nodes::too_wide);
        for (coefficient, _) in &mut self.terms {
            *coefficient = product(*coefficient)?;
        }
        self.constant = product(self.constant)?;
        self.range = None;
        Ok(self)
    }

    pub fn scaled(self, digits: u8) -> Result<Linear, PlanError> {
        let more = u32::from(digits.saturating_sub(self.digits));
        let factor = 10i128.checked_pow(more).ok_or_else(super::nodes::too_wide)?;
        Ok(Linear { digits, ..self.times(factor)? })
    }

    pub fn plus(self, other: Linear, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
        let digits = self.digits.max(other.digits);
        let (mut sum, other) = (self.scaled(digits)?, other.scaled(digits)?);
        for (coefficient, node) in other.terms {
            match sum.terms.iter_mut().find(|(_, known)| *known == node) {
                Some((known, _)) => *known += coefficient,
                None => sum.terms.push((coefficient, node)),
            }
        }
        sum.terms.retain(|(coefficient, _)| *coefficient != 0);
        sum.constant += other.constant;
        sum.present = nodes.and(sum.present, other.present);
        Ok(sum)
    }

    pub fn minus(self, other: Linear, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
        self.plus(other.times(-1)?, nodes)
    }

    /// One node with the number; anything where it is NULL.
    pub fn node(&self, nodes: &mut Nodes<'_>) -> Result<usize, PlanError> {
        let (plus, minus) = self.sides(nodes)?;
        nodes.subtract(plus, minus)
    }

    /// Two nodes whose difference it is, neither with a negative factor.
    fn sides(&self, nodes: &mut Nodes<'_>) -> Result<(usize, usize), PlanError> {
        let side = |sign: i128, nodes: &mut Nodes<'_>| {
            let mut total = nodes.constant((sign * self.constant).max(0))?;
            for (coefficient, node) in self.terms.iter().filter(|(c, _)| c * sign > 0) {
                let factor = nodes.constant(coefficient.abs())?;
                let term = nodes.multiply(factor, *node)?;
                total = nodes.add(total, term)?;
            }
            Ok(total)
        };
        Ok((side(1, nodes)?, side(-1, nodes)?))
    }

    /// Compares with another number.
    pub fn compare(self, how: Compare, other: Linear, nodes: &mut Nodes<'_>) -> Result<Truth, PlanError> {
        let difference = self.minus(other, nodes)?;
        let (left, right) = difference.sides(nodes)?;
        let bit = match how {
            Compare::Less => nodes.less(left, right),
            Compare::AtMost => {
                let more = nodes.less(right, left);
                nodes.not(more)
            }
            Compare::Equal => nodes.equal(left, right),
        };
        let not = nodes.not(bit);
        Ok(Truth { yes: nodes.and(bit, difference.present), no: nodes.and(not, difference.present) })
    }
}

impl Choice {
    pub fn constant(value: Constant) -> Choice {
        Choice(vec![(value, Bit::Yes)])
    }

    pub fn truth(value: Truth, nodes: &mut Nodes<'_>) -> Choice {
        let known = nodes.or(value.yes, value.no);
        let mut choice = vec![(Constant::Bool(false), value.no), (Constant::Bool(true), value.yes)];
        choice.push((Constant::Null, nodes.not(known)));
        Choice(choice).possible()
    }

    /// Without what cannot be chosen, each constant once, in order with NULL last.
    pub fn merged(self, nodes: &mut Nodes<'_>) -> Choice {
        let mut merged: Vec<(Constant, Bit)> = Vec::new();
        for (value, bit) in self.0 {
            match merged.iter_mut().find(|(known, _)| *known == value) {
                Some((_, known)) => *known = nodes.or(*known, bit),
                None => merged.push((value, bit)),
            }
        }
        merged.sort_by(|(a, _), (b, _)| (*a == Constant::Null, a).cmp(&(*b == Constant::Null, b)));
        Choice(merged).possible()
    }

    fn possible(self) -> Choice {
        Choice(self.0.into_iter().filter(|(_, bit)| *bit != Bit::No).collect())
    }

    /// Where it is not NULL.
    pub fn present(&self, nodes: &mut Nodes<'_>) -> Bit {
        let null = self.0.iter().filter(|(value, _)| *value == Constant::Null);
        let null = null.fold(Bit::No, |any, (_, bit)| nodes.or(any, *bit));
        nodes.not(null)
    }

    /// Compares each constant with each other.
    pub fn compare(
        &self,
        other: &Choice,
        holds: impl Fn(std::cmp::Ordering) -> bool,
        nodes: &mut Nodes<'_>,
    ) -> Result<Truth, PlanError> {
        let mut truth = Truth { yes: Bit::No, no: Bit::No };
        for (a, here) in &self.0 {
            for (b, there) in &other.0 {
                if *a == Constant::Null || *b == Constant::Null {
                    continue;
                }
                let both = nodes.and(*here, *there);
                let side = if holds(order(a, b)?) { &mut truth.yes } else { &mut truth.no };
                *side = nodes.or(*side, both);
            }
        }
        Ok(truth)
    }
}

fn order(a: &Constant, b: &Constant) -> Result<std::cmp::Ordering, PlanError> {
    match (a, b) {
        (Constant::Text(a), Constant::Text(b)) => Ok(a.cmp(b)),
        (Constant::Bool(a), Constant::Bool(b)) => Ok(a.cmp(b)),
        (Constant::Real(a), Constant::Real(b)) => {
            let known = f64::from_bits(*a).partial_cmp(&f64::from_bits(*b));
            known.ok_or_else(|| unmatchable("a number that is none".into()))
        }
        _ => match (exact(a), exact(b)) {
            (Some((a, x)), Some((b, y))) => {
                let to = x.max(y);
                let scaled = |n: i128, from: u8| n.checked_mul(10i128.checked_pow(u32::from(to - from))?);
                let both = scaled(a, x).zip(scaled(b, y));
                both.map(|(a, b)| a.cmp(&b)).ok_or_else(super::nodes::too_wide)
            }
            _ => Err(unmatchable("constants of two kinds are compared".into())),
        },
    }
}

/// A constant as an integer of so many decimal digits.
pub(crate) fn exact(value: &Constant) -> Option<(i128, u8)> {
    match value {
        Constant::Int(i) => Some(((*i).into(), 0)),
        Constant::Decimal(x, scale) => Some((*x, u8::try_from(*scale).ok()?)),
        Constant::Date(days) => Some(((*days).into(), 0)),
        Constant::Timestamp(t) => Some(((*t).into(), 0)),
        Constant::Real(bits) => whole(f64::from_bits(*bits)),
        _ => None,
    }
}

/// A double that is a whole number.
fn whole(x: f64) -> Option<(i128, u8)> {
    (x.fract() == 0.0 && x.abs() < 2f64.powi(60)).then_some((x as i128, 0))
}

impl Value {
    /// As a number.
    pub fn number(self, nodes: &mut Nodes<'_>) -> Result<Linear, PlanError> {
        match self {
            Value::Number(number) => Ok(number),
            Value::Truth(_) => Err(unmatchable("a truth value is no number".into())),
            Value::Choice(choice) => {
                let digits = choice.0.iter().filter_map(|(value, _)| exact(value)).map(|(_, d)| d).max().unwrap_or(0);
                let mut total = Linear::constant(0, digits);
                for (value, bit) in choice.0.iter().filter(|(value, _)| *value != Constant::Null) {
                    let (number, own) =
                        exact(value).ok_or_else(|| unmatchable(format!("{value} is no exact number of a patient")))?;
                    let part = match bit {
                        Bit::Yes => Linear::constant(number, own),
                        bit => {
                            let node = nodes.number(*bit)?;
                            Linear { digits: own, ..Linear::of_node(node, Bit::Yes).times(number)? }
                        }
                    };
                    total = total.plus(part, nodes)?;
                }
                Ok(Linear { present: choice.present(nodes), ..total })
            }
        }
    }

    /// As a truth value.
    pub fn truth(self, nodes: &mut Nodes<'_>) -> Result<Truth, PlanError> {
        match self {
            Value::Truth(truth) => Ok(truth),
            Value::Choice(choice) => {
                let of = |wanted: bool, nodes: &mut Nodes<'_>| {
                    let bits = choice.0.iter().filter(|(value, _)| *value == Constant::Bool(wanted));
                    bits.fold(Bit::No, |any, (_, bit)| nodes.or(any, *bit))
                };
                Ok(Truth { yes: of(true, nodes), no: of(false, nodes) })
            }
            Value::Number(_) => Err(unmatchable("a number is no truth value".into())),
        }
    }

    /// As one of some constants, if it is.
    pub fn choice(self, nodes: &mut Nodes<'_>) -> Option<Choice> {
        match self {
            Value::Choice(choice) => Some(choice),
            Value::Truth(truth) => Some(Choice::truth(truth, nodes)),
            Value::Number(_) => None,
        }
    }

    /// Where it is not NULL.
    pub fn present(&self, nodes: &mut Nodes<'_>) -> Bit {
        match self {
            Value::Number(number) => number.present,
            Value::Truth(truth) => nodes.or(truth.yes, truth.no),
            Value::Choice(choice) => choice.present(nodes),
        }
    }

    /// NULL where the bit is 0.
    pub fn only_if(self, bit: Bit, nodes: &mut Nodes<'_>) -> Value {
        match self {
            Value::Number(number) => {
                let present = nodes.and(number.present, bit);
                Value::Number(Linear { present, ..number })
            }
            Value::Truth(truth) => Value::Truth(Truth { yes: nodes.and(truth.yes, bit), no: nodes.and(truth.no, bit) }),
            Value::Choice(choice) => {
                let mut cases: Vec<_> = choice.0.into_iter().map(|(v, b)| (v, nodes.and(b, bit))).collect();
                cases.push((Constant::Null, nodes.not(bit)));
                Value::Choice(Choice(cases).merged(nodes))
            }
        }
    }
}

/// The few values that a number can have, as a choice.
pub(crate) fn values_of(
    number: &Linear,
    data_type: &DataType,
    expr: &Expr,
    nodes: &mut Nodes<'_>,
) -> Result<Choice, PlanError> {
    let node = number.node(nodes)?;
    let range = number.range.unwrap_or_else(|| nodes.range(node));
    let few = range.hi - range.lo < MAX_VALUES && number.digits == 0;
    if !few {
        let text = format!("grouping by {}, which can have too many values for each patient", words(expr));
        return Err(not_yet_because(text)
            .hint("declare the column's range (at most 64 values), or group by a CASE with constant results"));
    }
    let mut cases = Vec::new();
    for value in range.lo..=range.hi {
        let constant = nodes.constant(value)?;
        let same = nodes.equal(node, constant);
        let bit = nodes.and(same, number.present);
        let small = i64::try_from(value).map_err(|_| too_wide())?;
        cases.push((
            match data_type {
                DataType::Date32 => Constant::Date(i32::try_from(small).map_err(|_| too_wide())?),
                _ => Constant::Int(small),
            },
            bit,
        ));
    }
    cases.push((Constant::Null, nodes.not(number.present)));
    Ok(Choice(cases).merged(nodes))
}

/// A number that is a group key has at most so many values.
const MAX_VALUES: i128 = 64;
