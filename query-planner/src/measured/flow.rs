//! What columns are made of and chosen by: the catalogue columns, and the figures of each patient, behind their values and in
//! conditions.
//!
//! What is summed may not also select. A range that all rows meet says the same of everybody and stays; anything else can pick whose value
//! the total is: in `WHERE p OR x = 7` all values but one are known.
//!
//! # Source
//! The field exclusion rules of the Australian Bureau of Statistics' TableBuilder (User Guide, cat. no. 1406.0.55.005) keep certain variables
//! out of one table. Deviation: which ones follows from the question, and ranges are left.

use std::collections::BTreeSet;
use std::fmt;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchemaRef, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, Between, BinaryExpr};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, Operator};

use super::terms::{Reader, Term, constant, is_literal, not_judged};
use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::matching::home;
use crate::words::words;

/// Something that can be measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    /// A column of a table, both in lower case.
    Column(String, String),
    /// A figure of each patient, in words.
    Tally(String),
}

/// Some of them.
pub(crate) type Atoms = BTreeSet<Atom>;

/// Where the values of a column come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    /// Made of.
    pub made_of: Atoms,
    /// Chosen by conditions.
    pub chosen: Atoms,
    /// Chosen by ranges that all rows meet.
    pub ranged: Atoms,
    /// The expression over tables: equal where branches of a union have the same.
    pub text: String,
    /// How many columns are multiplied in it; 0 where nobody counted stands for 1.
    pub factors: usize,
    /// Why it is no term of a sum, if it is none.
    pub refused: Option<PlanError>,
}

/// The rows of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Rows<'a> {
    pub catalog: &'a Catalog,
    pub schema: DFSchemaRef,
    pub columns: Vec<Flow>,
    /// In conditions that are no ranges, and in keys.
    pub excluded: Atoms,
    /// In ranges that every row meets.
    pub ranged: Atoms,
    /// Does the question say how often a row counts?
    pub is_weighted: bool,
}

impl Flow {
    /// Everything it tells something about.
    pub fn told(&self) -> Atoms {
        self.made_of.iter().chain(&self.chosen).chain(&self.ranged).cloned().collect()
    }

    /// Takes in another's columns.
    pub fn take(&mut self, other: &Flow) {
        self.made_of.extend(other.made_of.clone());
        self.chosen.extend(other.chosen.clone());
        self.ranged.extend(other.ranged.clone());
        self.factors = self.factors.max(other.factors);
    }
}

impl Rows<'_> {
    /// The terms of an expression over these rows.
    ///
    /// # Errors
    /// `SUM_NOT_JUDGED`.
    pub fn terms(&self, expr: &Expr) -> Result<Vec<Term>, PlanError> {
        let known = |column: &Column| match self.column(column).map(|flow| flow.refused.clone()) {
            Some(None) => Ok(()),
            Some(Some(why)) => Err(why),
            None => Err(not_judged(&Expr::Column(column.clone()))),
        };
        Reader::new(self.schema.as_ref(), &known).terms(expr)
    }

    /// What terms are made of and chosen by.
    pub fn flow_of(&self, terms: &[Term]) -> Flow {
        let mut all = Flow::default();
        for term in terms {
            self.columns_of(term.leaf.iter()).for_each(|flow| all.take(flow));
            for conjunct in term.when.iter().flat_map(split_conjunction) {
                self.condition(conjunct, (&mut all.chosen, &mut all.ranged));
            }
        }
        all
    }

    /// What the values of an expression come from.
    pub fn flow(&self, expr: &Expr) -> Flow {
        if let Some(flow) = home::column(expr).and_then(|column| self.column(column)) {
            return flow.clone();
        }
        let text = self.over_tables(expr);
        match self.terms(expr) {
            Ok(terms) => {
                let refused = (terms.len() > 1).then(|| not_judged(expr));
                let factors = terms.iter().map(|term| self.factors(term)).max().unwrap_or_default();
                Flow { text, refused, factors, ..self.flow_of(&terms) }
            }
            Err(why) => {
                let told = self.told(expr);
                Flow { made_of: told.clone(), chosen: told, text, refused: Some(why), ..Flow::default() }
            }
        }
    }

    /// How many columns a term multiplies, through the names that products have below.
    pub fn factors(&self, term: &Term) -> usize {
        let of = |factor: &&Expr| self.columns_of([*factor]).map(|flow| flow.factors).max().unwrap_or_default().max(1);
        term.factors().iter().map(of).sum()
    }

    /// What a term measures, over tables' columns; the same for `a * b` and `b * a`.
    pub fn name_of(&self, term: &Term) -> String {
        let mut factors: Vec<String> = term.factors().into_iter().map(|factor| self.over_tables(factor)).collect();
        factors.sort_unstable();
        factors.join(" * ")
    }

    /// Takes in the FILTER clause of a figure.
    pub fn filter_of(&self, call: &AggregateFunction, flow: &mut Flow) {
        for conjunct in call.params.filter.as_deref().into_iter().flat_map(split_conjunction) {
            self.condition(conjunct, (&mut flow.chosen, &mut flow.ranged));
        }
    }

    /// Sorts what a condition tells about: under ranges, if the values of rows that meet it lie between literals.
    pub fn condition(&self, conjunct: &Expr, (excluded, ranged): (&mut Atoms, &mut Atoms)) {
        let Some((value, from_below)) = self.range(conjunct) else {
            excluded.extend(self.told(conjunct));
            return;
        };
        for flow in self.columns_of([value]) {
            ranged.extend(flow.made_of.clone());
            excluded.extend(flow.chosen.clone());
            // Few rows in a range, or none, is a condition on those outside of it.
            if from_below { ranged.extend(flow.ranged.clone()) } else { excluded.extend(flow.ranged.clone()) }
        }
    }

    /// What a condition keeps between literals, if that is one value; and does it only ask for no less than something?
    fn range<'e>(&self, conjunct: &'e Expr) -> Option<(&'e Expr, bool)> {
        let (value, from_below) = match conjunct {
            Expr::IsNotNull(value) => (&**value, true),
            Expr::Between(Between { expr, negated: false, low, high }) if is_literal(low) && is_literal(high) => {
                (&**expr, false)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (value, op, end) = match (is_literal(left), is_literal(right)) {
                    (false, true) => (&**left, *op, right),
                    (true, false) => (&**right, op.swap()?, left),
                    _ => return None,
                };
                let is_column = home::column(home::peeled(value)).is_some();
                match op {
                    Operator::Lt | Operator::LtEq => (value, false),
                    Operator::Gt | Operator::GtEq => (value, is_column),
                    Operator::NotEq if is_column && constant(end) == Some(0.0) => (value, true),
                    _ => return None,
                }
            }
            _ => return None,
        };
        self.is_one_value(value).then_some((value, from_below))
    }

    /// Is it a column, a difference of dates or a year, times a literal, plus literals?
    fn is_one_value(&self, expr: &Expr) -> bool {
        let Ok(terms) = self.terms(expr) else { return false };
        let leaves: Vec<&Expr> = terms.iter().filter_map(|term| term.leaf.as_ref()).collect();
        let [leaf] = leaves[..] else { return false };
        let is_monotone = match leaf {
            Expr::ScalarFunction(call) => call.args.first().is_some_and(is_year),
            Expr::BinaryExpr(binary) => binary.op == Operator::Minus,
            _ => true,
        };
        is_monotone && terms.iter().all(|term| term.when.is_empty())
    }

    /// Everything that an expression tells something about.
    pub fn told(&self, expr: &Expr) -> Atoms {
        let mut told: Atoms = self.columns_of([expr]).flat_map(Flow::told).collect();
        // The closure never fails.
        let _ = expr.apply(|e| {
            if let Expr::ScalarSubquery(inner) = e {
                let rows = Rows::of(&inner.subquery, self.catalog);
                told.extend(rows.columns.iter().flat_map(Flow::told).chain(rows.present()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        told
    }

    /// What it depends on that a row is there.
    pub fn present(&self) -> Atoms {
        self.excluded.union(&self.ranged).cloned().collect()
    }

    /// Of a column.
    pub fn column(&self, column: &Column) -> Option<&Flow> {
        self.columns.get(self.schema.maybe_index_of_column(column)?)
    }

    fn columns_of<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> impl Iterator<Item = &Flow> {
        let columns: Vec<&Column> = exprs.into_iter().flat_map(Expr::column_refs).collect();
        columns.into_iter().filter_map(|column| self.column(column))
    }

    /// An expression in which tables' columns have their own names, whatever they are called in between.
    fn over_tables(&self, expr: &Expr) -> String {
        use datafusion_common::tree_node::Transformed;
        let renamed = expr.clone().transform_up(|e| {
            Ok(match &e {
                Expr::Alias(alias) => Transformed::yes(alias.expr.as_ref().clone()),
                Expr::Column(column) => match self.column(column) {
                    Some(flow) => Transformed::yes(Expr::Column(Column::new_unqualified(flow.text.clone()))),
                    None => Transformed::no(e),
                },
                _ => Transformed::no(e),
            })
        });
        renamed.map_or_else(|_| words(expr), |renamed| renamed.data.to_string())
    }
}

fn is_year(part: &Expr) -> bool {
    matches!(part, Expr::Literal(ScalarValue::Utf8(Some(part)), _) if part.eq_ignore_ascii_case("year"))
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Column(table, column) => write!(f, "{table}.{column}"),
            Atom::Tally(text) => f.write_str(text),
        }
    }
}
