//! Figures as data: what a slot, a point or a patient's node says, with its expressions as SQL text.

use serde::{Deserialize, Serialize};

use crate::matched::{Feature, Matching, Node, What};
use crate::plan::{Fraction, Order, Point, SecureSum, Slot, Summand};

/// A number that is summed over rows or patients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What is summed.
    pub of: Operation,
    /// Which rows count (FILTER).
    pub filter: Option<String>,
}

/// What a figure sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Rows.
    Rows,
    /// Rows where it is not NULL.
    NotNull(String),
    /// It.
    Value(String),
    /// Its square.
    Square(String),
    /// The product of both.
    Product(String, String),
    /// Rows where neither is NULL.
    BothNotNull(String, String),
    /// Patients of whom it is true.
    PatientsWith(Known),
    /// A number of each patient.
    OverPatients(Known),
}

/// What is known of one patient, as an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Something about the patient's rows.
    Rows(Facts),
    /// A number.
    Constant(i64),
    /// Not so.
    Not(Box<Known>),
    /// Both.
    And(Box<Known>, Box<Known>),
    /// Either.
    Or(Box<Known>, Box<Known>),
    /// Either, and not both.
    Differ(Box<Known>, Box<Known>),
    /// The first below the second.
    Less(Box<Known>, Box<Known>),
    /// The same number.
    Equal(Box<Known>, Box<Known>),
    /// Both together.
    Add(Box<Known>, Box<Known>),
    /// The first less the second.
    Subtract(Box<Known>, Box<Known>),
    /// The product.
    Multiply(Box<Known>, Box<Known>),
    /// 1 if so.
    Number(Box<Known>),
    /// The second if the first.
    Select(Box<Known>, Box<Known>),
    /// How many neighbours in order are so far apart.
    Gaps {
        /// What is in order.
        of: Facts,
        /// At least.
        at_least: u64,
        /// At most.
        at_most: Option<u64>,
    },
    /// The n-th in order, from 1.
    Nth {
        /// What is in order.
        of: Facts,
        /// The place.
        n: u32,
    },
    /// How many there are.
    Length(Facts),
    /// A deeper expression, by the name that EXPLAIN gives it.
    Node(usize),
}

/// What the rows of one patient say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Which of the plan's relations holds the rows.
    pub relation: usize,
    /// What they say.
    pub what: Says,
    /// Which of them count.
    pub filter: Option<String>,
    /// For each value of these.
    pub keys: Vec<String>,
}

/// What rows say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// That there are some.
    Any,
    /// How many, or how many where a column is not NULL.
    Count(Option<String>),
    /// The sum of a column.
    Sum(String),
    /// The smallest.
    Least(String),
    /// The largest.
    Greatest(String),
    /// Each, in order.
    Events {
        /// The column.
        column: String,
        /// Most of them at one site.
        bound: u32,
    },
}

/// An order statistic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointOf {
    /// Which.
    pub point: Point,
    /// Of what.
    pub column: String,
    /// Which rows count (FILTER).
    pub filter: Option<String>,
}

impl Figure {
    /// Of a slot.
    pub(crate) fn of(slot: &Slot, sum: &SecureSum) -> Self {
        let text = |column: usize| text(&sum.columns, column);
        let of = match slot.what {
            Summand::Rows => Operation::Rows,
            Summand::NotNull(c) => Operation::NotNull(text(c)),
            Summand::Value(c) => Operation::Value(text(c)),
            Summand::Square(c) => Operation::Square(text(c)),
            Summand::Product(a, b) => Operation::Product(text(a), text(b)),
            Summand::BothNotNull(a, b) => Operation::BothNotNull(text(a), text(b)),
            Summand::Patients(node) => over_patients(sum, node),
        };
        Self { of, filter: slot.filter.map(text) }
    }
}

impl PointOf {
    /// Of a point of an order.
    pub(crate) fn of(point: Point, order: &Order, sum: &SecureSum) -> Self {
        let text = |column: usize| text(&sum.columns, column);
        Self { point, column: text(order.column), filter: order.filter.map(text) }
    }

    /// Is it the median?
    pub(crate) fn is_median(&self) -> bool {
        matches!(self.point, Point::Cont { share: Fraction::HALF })
    }
}

fn over_patients(sum: &SecureSum, node: usize) -> Operation {
    let Some(matching) = &sum.matching else { return Operation::OverPatients(Known::Node(node)) };
    let step = &matching.nodes[node];
    let known = Known::of(matching, node, DEPTH);
    if step.node.is_bit() || step.bits == 1 { Operation::PatientsWith(known) } else { Operation::OverPatients(known) }
}

impl Known {
    /// Is it written as one thing beside another, so that it stands in parentheses within a third?
    pub(crate) fn has_two_sides(&self) -> bool {
        use Known::{Add, And, Differ, Equal, Less, Or, Subtract};
        matches!(self, And(..) | Or(..) | Differ(..) | Less(..) | Equal(..) | Add(..) | Subtract(..))
    }

    fn of(matching: &Matching, node: usize, depth: usize) -> Self {
        let Some(deeper) = depth.checked_sub(1) else { return Known::Node(node) };
        let inner = |at: usize| Box::new(Known::of(matching, at, deeper));
        let facts = |feature: usize| Facts::of(matching, &matching.features[feature]);
        match matching.nodes[node].node {
            Node::Feature(feature) => Known::Rows(facts(feature)),
            Node::Constant(x) => Known::Constant(x),
            Node::Not(a) => Known::Not(inner(a)),
            Node::And(a, b) => Known::And(inner(a), inner(b)),
            Node::Or(a, b) => Known::Or(inner(a), inner(b)),
            Node::Differ(a, b) => Known::Differ(inner(a), inner(b)),
            Node::Less(a, b) => Known::Less(inner(a), inner(b)),
            Node::Equal(a, b) => Known::Equal(inner(a), inner(b)),
            Node::Add(a, b) => Known::Add(inner(a), inner(b)),
            Node::Subtract(a, b) => Known::Subtract(inner(a), inner(b)),
            Node::Multiply(a, b) => Known::Multiply(inner(a), inner(b)),
            Node::Number(a) => Known::Number(inner(a)),
            Node::Select(a, b) => Known::Select(inner(a), inner(b)),
            Node::Gaps { feature, at_least, at_most } => Known::Gaps { of: facts(feature), at_least, at_most },
            Node::Nth { feature, n } => Known::Nth { of: facts(feature), n: n + 1 },
            Node::Length(feature) => Known::Length(facts(feature)),
        }
    }
}

impl Facts {
    /// Of a feature.
    pub(crate) fn of(matching: &Matching, feature: &Feature) -> Self {
        let columns = &matching.relations[feature.relation].columns;
        let text = |column: usize| text(columns, column);
        let what = match feature.what {
            What::Any => Says::Any,
            What::Count(column) => Says::Count(column.map(text)),
            What::Sum(column, _) => Says::Sum(text(column)),
            What::Least(column, _) => Says::Least(text(column)),
            What::Greatest(column, _) => Says::Greatest(text(column)),
            What::Events { column, bound, .. } => Says::Events { column: text(column), bound },
        };
        let keys = feature.keys.iter().map(|column| text(*column)).collect();
        Self { relation: feature.relation, what, filter: feature.filter.map(text), keys }
    }
}

fn text(columns: &[String], column: usize) -> String {
    columns.get(column).cloned().unwrap_or_else(|| "?".into())
}

/// Deeper expressions are named by their node, which EXPLAIN lists.
const DEPTH: usize = 8;
