//! A subplan read patient by patient: parts that hold rows of each patient, joined on the patient key, and what is known
//! of the patient as a whole.
//!
//! The rows of a view for one patient are the product of the parts' rows, if `present` holds. A view without parts has at
//! most one row of each patient.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DFSchemaRef};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::error::{PlanError, refuse};
use crate::facts::Relation;
use crate::matching::home::{home, is_key, is_unique};
use crate::matching::nodes::{Bit, Nodes, Source};
use crate::matching::pairs::Pair;
use crate::matching::values::{Truth, Value};
use crate::matching::windows::{Ranked, Steps};
use crate::matching::{NO_PATIENT_KEY, condition, join, not_yet, rollup, unmatchable, windows};
use crate::policy::check_local;
use crate::split::subqueries;
use crate::words::words;

/// A subplan's rows of each patient.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub schema: DFSchemaRef,
    /// One for each column of the schema.
    pub columns: Vec<Col>,
    pub parts: Vec<Part>,
    pub present: Bit,
    /// Conditions between rows of two parts.
    pub pairs: Vec<Pair>,
}

/// Where a column's values are.
#[derive(Debug, Clone)]
pub(crate) enum Col {
    /// The patient key; NULL where the bit is 0.
    Key(Bit),
    /// In the rows of a part: an expression over the part's own columns.
    Row(usize, Expr),
    /// The number of a row of a ranked part, from 1.
    Rank(usize),
    /// Made of the ranked column in this row and its neighbours.
    Steps(usize, Steps),
    /// The same for all rows of a patient.
    Patient(Value),
    /// Refused if it is used, for this reason.
    Refused(PlanError),
}

/// Rows of each patient.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub source: Source,
    pub weight: Weight,
    /// At most one row of each patient?
    pub is_unique: bool,
    /// Set where rows were numbered: then no condition may be moved below.
    pub ranked: Option<Ranked>,
}

/// How often a part's rows count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Weight {
    /// Each row.
    Rows,
    /// Once if there is any.
    Once,
    /// Once for each distinct tuple of these.
    Tuples(Vec<Expr>),
    /// Each row if the bit holds; once if it does not, or if there are none (the outer side of a join).
    Optional(Bit),
}

impl View {
    /// Reads a plan.
    ///
    /// # Errors
    /// `UNMATCHABLE` or `NOT_YET` with the reason; what policy and expressions refuse.
    pub fn of(plan: &LogicalPlan, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
        if let Some(sites) = home(plan) {
            return View::leaf(plan, sites, nodes);
        }
        if !subqueries(plan).is_empty() {
            return Err(not_yet("using another site's rows inside a site's own filter"));
        }
        let renamed = |view: View| View { schema: plan.schema().clone(), ..view };
        match plan {
            LogicalPlan::Projection(p) => View::of(&p.input, nodes)?.project(&p.expr, &p.schema, nodes),
            LogicalPlan::Filter(filter) => {
                let mut view = View::of(&filter.input, nodes)?;
                for conjunct in split_conjunction(&filter.predicate) {
                    condition::restrict(&mut view, conjunct, nodes)?;
                }
                Ok(view)
            }
            LogicalPlan::SubqueryAlias(alias) => View::of(&alias.input, nodes).map(renamed),
            LogicalPlan::Subquery(subquery) => View::of(&subquery.subquery, nodes).map(renamed),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => View::of(&sort.input, nodes),
            LogicalPlan::Join(inner) => join::join(inner, nodes),
            LogicalPlan::Aggregate(aggregate) => {
                let view = View::of(&aggregate.input, nodes)?;
                rollup::roll_up(&view, aggregate, nodes)
            }
            LogicalPlan::Window(window) => windows::ranked(View::of(&window.input, nodes)?, window, nodes),
            LogicalPlan::Union(_) => Err(not_yet("a union of rows that are matched between sites")),
            LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => Err(not_yet("LIMIT over the rows of several sites")),
            other => Err(PlanError::new("UNSUPPORTED", format!("{} is not supported", other.display()))),
        }
    }

    fn leaf(plan: &LogicalPlan, sites: crate::split::Sites, nodes: &Nodes<'_>) -> Result<View, PlanError> {
        let rows = check_local(plan, nodes.catalog)?.rows;
        let fields = plan.schema().fields().len();
        let keys: Vec<usize> = (0..fields).filter(|at| is_key(plan, *at, nodes.catalog)).collect();
        let Some(key) = keys.first().copied() else {
            let text = format!("rows without {} cannot be matched to patients", nodes.catalog.patient_key);
            return Err(PlanError::new(NO_PATIENT_KEY, text));
        };
        let column = |at: usize| match keys.contains(&at) {
            true => Col::Key(Bit::Yes),
            false => Col::Row(0, Expr::from(plan.schema().qualified_field(at))),
        };
        let part = Part {
            source: Source { plan: plan.clone(), sites, key, rows },
            weight: Weight::Rows,
            is_unique: is_unique(plan, nodes.catalog),
            ranked: None,
        };
        let columns = (0..fields).map(column).collect();
        Ok(View { schema: plan.schema().clone(), columns, parts: vec![part], present: Bit::Yes, pairs: Vec::new() })
    }

    fn project(self, exprs: &[Expr], schema: &DFSchemaRef, nodes: &mut Nodes<'_>) -> Result<View, PlanError> {
        let columns = exprs.iter().map(|expr| self.column(expr, nodes)).collect();
        Ok(View { schema: schema.clone(), columns, ..self })
    }

    /// What an expression over this view is. One that cannot be followed is refused where it is used.
    pub fn column(&self, expr: &Expr, nodes: &mut Nodes<'_>) -> Col {
        if let Some(column) = crate::matching::home::column(expr) {
            return self.named(column).cloned().unwrap_or_else(Col::Refused);
        }
        if let Some((part, inner)) = self.local(expr) {
            return Col::Row(part, inner);
        }
        if let Some(key) = self.coalesced_key(expr, nodes) {
            return Col::Key(key);
        }
        match self.value(expr, nodes) {
            Ok(value) => Col::Patient(value),
            Err(why) => match windows::steps(self, expr) {
                Some((part, steps)) => Col::Steps(part, steps),
                None => Col::Refused(why),
            },
        }
    }

    pub fn named(&self, column: &datafusion_common::Column) -> Result<&Col, PlanError> {
        let at = self.schema.maybe_index_of_column(column);
        at.and_then(|at| self.columns.get(at)).ok_or_else(|| unmatchable(format!("there is no column {column}")))
    }

    /// `COALESCE(a.key, b.key)` behind a full join, also as the CASE it is rewritten to: all keys of a row are the same.
    fn coalesced_key(&self, expr: &Expr, nodes: &mut Nodes<'_>) -> Option<Bit> {
        match crate::matching::home::peeled(expr) {
            Expr::ScalarFunction(call) if call.name() == "coalesce" => {
                let keys = call.args.iter().map(|arg| self.key(arg)).collect::<Option<Vec<Bit>>>()?;
                Some(keys.into_iter().fold(Bit::No, |any, key| nodes.or(any, key)))
            }
            Expr::Case(case) if case.expr.is_none() => {
                let otherwise = case.else_expr.as_ref().map_or(Some(Bit::No), |e| self.key(e))?;
                let (mut open, mut any) = (Bit::Yes, Bit::No);
                for (when, then) in &case.when_then_expr {
                    let (holds, key) = (self.truth(when, nodes).ok()?.yes, self.key(then)?);
                    let chosen = nodes.all([open, holds, key]);
                    any = nodes.or(any, chosen);
                    let fails = nodes.not(holds);
                    open = nodes.and(open, fails);
                }
                let last = nodes.and(open, otherwise);
                Some(nodes.or(any, last))
            }
            _ => None,
        }
    }

    /// Is the expression the patient key? Then where it is not NULL.
    pub fn key(&self, expr: &Expr) -> Option<Bit> {
        let column = crate::matching::home::column(crate::matching::home::peeled(expr))?;
        match self.named(column) {
            Ok(Col::Key(bit)) => Some(*bit),
            _ => None,
        }
    }

    /// The part in whose rows all of an expression is, and the expression over the part's own columns.
    pub fn local(&self, expr: &Expr) -> Option<(usize, Expr)> {
        let mut part = None;
        for column in expr.column_refs() {
            match self.named(column) {
                Ok(Col::Row(at, _)) if part.is_none_or(|p| p == *at) => part = Some(*at),
                _ => return None,
            }
        }
        let put = |e: Expr| {
            Ok(match &e {
                Expr::Column(column) => match self.named(column) {
                    Ok(Col::Row(_, inner)) => Transformed::yes(inner.clone()),
                    _ => Transformed::no(e),
                },
                _ => Transformed::no(e),
            })
        };
        let inner = expr.clone().transform_down(|e| {
            put(e).map(|t| match t.transformed {
                // What was put in is over other columns.
                true => Transformed::new(t.data, true, datafusion_common::tree_node::TreeNodeRecursion::Jump),
                false => t,
            })
        });
        Some((part?, crate::matching::home::unnamed(inner.ok()?.data)))
    }

    /// Keeps the rows of a part that meet a condition over its own columns.
    pub fn filter_part(&mut self, part: usize, condition: Expr) -> Result<(), PlanError> {
        let part = &mut self.parts[part];
        if matches!(part.weight, Weight::Optional(_)) {
            let text = format!("{} looks at rows that an outer join may not have", words(&condition));
            return Err(not_yet_because(text).hint("put the condition into ON, or use JOIN"));
        }
        if part.ranked.is_some() {
            let text = format!("{} looks at rows that have been numbered before", words(&condition));
            return Err(not_yet_because(text).hint("put the condition below the window"));
        }
        let input = part.source.plan.clone();
        part.source.plan = LogicalPlanBuilder::from(input)
            .filter(condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| refuse(&e))?;
        Ok(())
    }

    /// The patient's value of an expression.
    pub fn value(&self, expr: &Expr, nodes: &mut Nodes<'_>) -> Result<Value, PlanError> {
        crate::matching::expressions::value(expr, self, nodes)
    }

    /// The patient's truth of a condition.
    pub fn truth(&self, expr: &Expr, nodes: &mut Nodes<'_>) -> Result<Truth, PlanError> {
        self.value(expr, nodes)?.truth(nodes)
    }
}

impl Part {
    /// What is known of its columns.
    pub fn facts(&self, nodes: &Nodes<'_>) -> Result<Relation, PlanError> {
        check_local(&self.source.plan, nodes.catalog)
    }

    pub fn schema(&self) -> &DFSchema {
        self.source.plan.schema()
    }
}

pub(crate) fn not_yet_because(text: String) -> PlanError {
    PlanError::new("NOT_YET", format!("{text}: not available yet between sites"))
}
