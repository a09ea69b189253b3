//! What is publicly known about every column of a plan before it runs: its possible values, its range, the catalogue
//! columns it comes from, whether it can be NULL; and how many rows there can be. One pass, from the scans up.

use std::collections::BTreeSet;

use arrow::datatypes::FieldRef;
use datafusion_common::{Column, DFSchema, ExprSchema, JoinType, Result as DfResult};
use datafusion_expr::expr::Case;
use datafusion_expr::logical_plan::{FetchType, Join, LogicalPlan, TableScan};
use datafusion_expr::{Expr, ExprSchemable};

use crate::bind::NetworkTable;
use crate::bounds::{Interval, type_interval};
use crate::error::{PlanError, refuse};
use crate::value::Value;
use crate::{bounds, clamp, domain};

/// What is known about one column or expression.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fact {
    /// Every value it can have, without NULL.
    pub domain: Option<Vec<Value>>,
    /// For integers and decimals: its range, unscaled.
    pub interval: Option<Interval>,
    /// The catalogue columns whose values it is made of.
    pub origins: BTreeSet<Origin>,
    pub nullable: bool,
}

/// A column of the catalogue that a value comes from, and what is declared about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub table: String,
    pub column: String,
    pub agree_keys: bool,
    pub quasi_identifier: bool,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

/// What is known about the rows of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub facts: Vec<Fact>,
    /// Bound on the rows of one site.
    pub rows: u64,
}

/// The columns an expression may name: those of a node's inputs.
pub(crate) struct Scope<'a> {
    parts: Vec<(&'a DFSchema, &'a [Fact])>,
    /// Bound on the rows of the first input at one site.
    pub rows: u64,
}

/// Called with each node once its inputs are known.
pub(crate) type Visit<'v> = dyn FnMut(&LogicalPlan, &Scope<'_>) -> Result<(), PlanError> + 'v;

/// Derives the facts of a plan and shows every node with its scope to `visit`, inputs first.
pub(crate) fn walk(plan: &LogicalPlan, visit: &mut Visit<'_>) -> Result<Relation, PlanError> {
    walk_rows(plan, Rows::Kept, visit)
}

/// As [`walk`], with facts that hold for every row of the tables: what a site runs may compute an expression before a filter that
/// stands below it, also on rows that the filter drops.
pub(crate) fn walk_unfiltered(plan: &LogicalPlan, visit: &mut Visit<'_>) -> Result<Relation, PlanError> {
    walk_rows(plan, Rows::All, visit)
}

/// For which rows facts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Those that filters keep.
    Kept,
    /// All of them.
    All,
}

fn walk_rows(plan: &LogicalPlan, hold: Rows, visit: &mut Visit<'_>) -> Result<Relation, PlanError> {
    let inputs = plan.inputs();
    let relations = inputs.iter().map(|input| walk_rows(input, hold, visit)).collect::<Result<Vec<_>, _>>()?;
    let parts = inputs.iter().zip(&relations).map(|(p, r)| (p.schema().as_ref(), &r.facts[..])).collect();
    let scope = Scope { parts, rows: relations.first().map_or(0, |r| r.rows) };
    visit(plan, &scope)?;
    match (plan, hold) {
        // A filter has one input.
        (LogicalPlan::Filter(_), Rows::All) => Ok(relations[0].clone()),
        _ => derive(plan, &scope, &relations),
    }
}

fn derive(plan: &LogicalPlan, scope: &Scope<'_>, inputs: &[Relation]) -> Result<Relation, PlanError> {
    let same = |rows: u64| Relation { facts: inputs.first().map(|r| r.facts.clone()).unwrap_or_default(), rows };
    let rows = inputs.first().map_or(0, |r| r.rows);
    Ok(match plan {
        LogicalPlan::TableScan(scan) => scan_relation(scan),
        LogicalPlan::Projection(p) => Relation { facts: p.expr.iter().map(|e| scope.fact(e)).collect(), rows },
        LogicalPlan::Filter(f) => {
            let mut relation = same(rows);
            domain::narrow(&mut relation.facts, &f.predicate, scope);
            relation
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) | LogicalPlan::Subquery(_) | LogicalPlan::Distinct(_) => {
            same(rows)
        }
        LogicalPlan::Limit(l) => match l.get_fetch_type().map_err(|e| refuse(&e))? {
            FetchType::Literal(Some(fetch)) => same(rows.min(fetch as u64)),
            _ => same(rows),
        },
        LogicalPlan::Aggregate(a) => {
            let mut facts: Vec<Fact> = a.group_expr.iter().map(|e| scope.fact(e)).collect();
            computed(&mut facts, &a.aggr_expr, plan, scope, rows);
            Relation { facts, rows: if a.group_expr.is_empty() { 1 } else { rows } }
        }
        LogicalPlan::Window(w) => {
            let mut relation = same(rows);
            computed(&mut relation.facts, &w.window_expr, plan, scope, rows);
            relation
        }
        LogicalPlan::Join(join) => join_relation(join, plan, inputs),
        LogicalPlan::Union(_) => union_relation(inputs),
        LogicalPlan::Values(v) => listed(plan, &v.values, scope),
        LogicalPlan::EmptyRelation(e) => by_type(plan, u64::from(e.produce_one_row)),
        other => {
            let text = format!("{} is not supported", other.display());
            return Err(PlanError::new("UNSUPPORTED", text));
        }
    })
}

fn scan_relation(scan: &TableScan) -> Relation {
    let Some(network) = scan.source.downcast_ref::<NetworkTable>() else {
        return by_type(&LogicalPlan::TableScan(scan.clone()), u64::MAX);
    };
    let facts = scan.projected_schema.fields().iter().map(|field| {
        let declared = network.table.columns.iter().find(|c| c.name.eq_ignore_ascii_case(field.name()));
        let range = declared.and_then(|c| c.range).map(|(lo, hi)| Interval { lo: lo.into(), hi: hi.into() });
        let known = range.or_else(|| type_interval(field.data_type()));
        Fact {
            domain: declared.and_then(clamp::domain),
            interval: declared.map_or(known, |column| clamp::interval(column, known)),
            origins: declared
                .map(|c| Origin {
                    table: network.table.name.to_lowercase(),
                    column: c.name.to_lowercase(),
                    agree_keys: c.agree_keys,
                    quasi_identifier: c.quasi_identifier,
                })
                .into_iter()
                .collect(),
            nullable: field.is_nullable(),
        }
    });
    Relation { facts: facts.collect(), rows: network.table.max_rows }
}

fn join_relation(join: &Join, plan: &LogicalPlan, inputs: &[Relation]) -> Relation {
    let (left, right) = (&inputs[0], &inputs[1]);
    let product = left.rows.saturating_mul(right.rows);
    let rows = match join.join_type {
        JoinType::Inner => product,
        JoinType::Left => product.max(left.rows),
        JoinType::Right => product.max(right.rows),
        JoinType::Full => product.max(left.rows.saturating_add(right.rows)),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.rows,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.rows,
    };
    let mut facts: Vec<Fact> = match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            left.facts.iter().chain(&right.facts).cloned().collect()
        }
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.facts.clone(),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.facts.clone(),
    };
    let (left_null, right_null) = match join.join_type {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    };
    let from_left = left.facts.len();
    for (i, fact) in facts.iter_mut().enumerate() {
        fact.nullable |= if i < from_left { left_null } else { right_null };
    }
    typed_rest(&mut facts, plan);
    Relation { facts, rows }
}

fn union_relation(inputs: &[Relation]) -> Relation {
    let rows = inputs.iter().fold(0u64, |sum, r| sum.saturating_add(r.rows));
    let facts = (0..inputs.first().map_or(0, |r| r.facts.len()))
        .map(|i| inputs.iter().filter_map(|r| r.facts.get(i)).cloned().reduce(Fact::either).unwrap_or_default())
        .collect();
    Relation { facts, rows }
}

/// Adds the columns of aggregates or window functions: known by their type, made of their arguments' values.
fn computed(facts: &mut Vec<Fact>, exprs: &[Expr], plan: &LogicalPlan, scope: &Scope<'_>, rows: u64) {
    let first = facts.len();
    typed_rest(facts, plan);
    for (fact, expr) in facts[first..].iter_mut().zip(exprs) {
        let Some((name, args)) = call(expr) else { continue };
        // A count or a rank is at most the number of rows and holds nothing of the values it looked at.
        if COUNTING.contains(&name) {
            fact.interval = fact.interval.map(|_| Interval { lo: 0, hi: rows.into() });
        } else if !NUMBERS.contains(&name) {
            fact.origins = args.iter().flat_map(|arg| scope.origins(arg)).collect();
        }
        let [arg] = args else { continue };
        let of = fact_of_chosen(arg, filter(expr), scope);
        let nullable = of.nullable || fact.nullable && !is_of_some_row(plan, expr);
        match name {
            // One of their argument's values.
            "min" | "max" => *fact = Fact { nullable, ..of },
            "sum" | "avg" => fact.nullable = nullable,
            _ => {}
        }
    }
}

/// What is known of an argument in the rows that a FILTER leaves, and of `CASE WHEN c THEN x END` of x in those that meet c.
pub(crate) fn fact_of_chosen(arg: &Expr, filter: Option<&Expr>, scope: &Scope<'_>) -> Fact {
    let (value, when) = match arg {
        Expr::Case(Case { expr: None, when_then_expr, else_expr: None }) if when_then_expr.len() == 1 => {
            (when_then_expr[0].1.as_ref(), Some(when_then_expr[0].0.as_ref()))
        }
        other => (other, None),
    };
    let relation = scope.narrowed(when.into_iter().chain(filter));
    let nullable = scope.fact(arg).nullable;
    Fact { nullable, ..scope.knowing(&relation).fact(value) }
}

/// The FILTER of an aggregate.
fn filter(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Alias(alias) => filter(&alias.expr),
        Expr::AggregateFunction(call) => call.params.filter.as_deref(),
        _ => None,
    }
}

/// Has an aggregate a row in every group?
fn is_of_some_row(plan: &LogicalPlan, expr: &Expr) -> bool {
    let is_grouped = matches!(plan, LogicalPlan::Aggregate(a) if !a.group_expr.is_empty());
    is_grouped && filter(expr).is_none() && matches!(expr.clone().unalias(), Expr::AggregateFunction(_))
}

/// Name and arguments of an aggregate or window function.
pub(crate) fn call(expr: &Expr) -> Option<(&str, &[Expr])> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::AggregateFunction(call) => Some((call.func.name(), &call.params.args)),
        Expr::WindowFunction(call) => Some((call.fun.name(), &call.params.args)),
        _ => None,
    }
}

const COUNTING: [&str; 4] = ["count", "row_number", "rank", "dense_rank"];
/// Nothing of the values either; an estimate may exceed the number of rows.
const NUMBERS: [&str; 3] = ["percent_rank", "cume_dist", crate::approx_distinct::NAME];

/// Columns that the inputs do not explain (aggregates, window functions, marks) are known by their type only.
fn typed_rest(facts: &mut Vec<Fact>, plan: &LogicalPlan) {
    for field in plan.schema().fields().iter().skip(facts.len()) {
        facts.push(Fact::of_field(field));
    }
}

/// Rows that are written in the question: their columns have the values that are written there.
fn listed(plan: &LogicalPlan, rows: &[Vec<Expr>], scope: &Scope<'_>) -> Relation {
    let of_column =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|value| scope.fact(value)).reduce(Fact::either);
    let facts = (0..plan.schema().fields().len()).map_while(of_column).collect();
    Relation { facts, rows: rows.len() as u64 }
}

fn by_type(plan: &LogicalPlan, rows: u64) -> Relation {
    let mut facts = Vec::new();
    typed_rest(&mut facts, plan);
    Relation { facts, rows }
}

impl Fact {
    fn of_field(field: &FieldRef) -> Fact {
        Fact { interval: type_interval(field.data_type()), nullable: field.is_nullable(), ..Fact::default() }
    }

    /// What is known of a value that is one or the other.
    pub fn either(self, other: Fact) -> Fact {
        let interval = match (self.interval, other.interval) {
            (Some(a), Some(b)) => Some(a.hull(b)),
            _ => None,
        };
        Fact {
            domain: domain::union(self.domain, other.domain),
            interval,
            origins: self.origins.into_iter().chain(other.origins).collect(),
            nullable: self.nullable || other.nullable,
        }
    }
}

impl<'a> Scope<'a> {
    /// The scope of a node with that one input.
    pub fn over(schema: &'a DFSchema, relation: &'a Relation) -> Scope<'a> {
        Scope { parts: vec![(schema, &relation.facts)], rows: relation.rows }
    }
}

impl<'a> Scope<'a> {
    /// The same columns with other facts about those of the first input.
    pub fn knowing<'b>(&'b self, relation: &'b Relation) -> Scope<'b>
    where
        'a: 'b,
    {
        let first = self.parts.iter().take(1).map(|(schema, _)| (*schema, &relation.facts[..]));
        Scope { parts: first.chain(self.parts.iter().skip(1).copied()).collect(), rows: relation.rows }
    }
}

impl Scope<'_> {
    /// What is known of the rows of the first input that meet all of these.
    pub fn narrowed<'e>(&self, conditions: impl Iterator<Item = &'e Expr>) -> Relation {
        let mut facts = self.parts.first().map(|(_, facts)| facts.to_vec()).unwrap_or_default();
        conditions.for_each(|condition| domain::narrow(&mut facts, condition, self));
        Relation { facts, rows: self.rows }
    }

    /// What is known about an expression.
    pub fn fact(&self, expr: &Expr) -> Fact {
        if let Expr::Alias(alias) = expr {
            return self.fact(&alias.expr);
        }
        if let Expr::Column(column) = expr {
            return self.column(column).cloned().unwrap_or_default();
        }
        Fact {
            domain: domain::domain(expr, self),
            interval: bounds::interval(expr, self),
            origins: self.origins(expr),
            nullable: expr.nullable(self).unwrap_or(true),
        }
    }

    /// The domain alone. Domain and interval recurse apart: together, each level would double the work of the one above.
    pub fn domain(&self, expr: &Expr) -> Option<Vec<Value>> {
        match expr {
            Expr::Alias(alias) => self.domain(&alias.expr),
            Expr::Column(column) => self.column(column)?.domain.clone(),
            other => domain::domain(other, self),
        }
    }

    /// The interval alone.
    pub fn interval(&self, expr: &Expr) -> Option<Interval> {
        match expr {
            Expr::Alias(alias) => self.interval(&alias.expr),
            Expr::Column(column) => self.column(column)?.interval,
            other => bounds::interval(other, self),
        }
    }

    pub fn column(&self, column: &Column) -> Option<&Fact> {
        self.parts.iter().find_map(|(schema, facts)| facts.get(schema.maybe_index_of_column(column)?))
    }

    /// Position of a column among those of the first input.
    pub fn position(&self, column: &Column) -> Option<usize> {
        self.parts.first()?.0.maybe_index_of_column(column)
    }

    /// The catalogue columns a value is made of. A CASE is made of its results: its conditions choose among them.
    pub fn origins(&self, expr: &Expr) -> BTreeSet<Origin> {
        let mut found = BTreeSet::new();
        self.collect_origins(expr, &mut found);
        found
    }

    fn collect_origins(&self, expr: &Expr, found: &mut BTreeSet<Origin>) {
        use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
        match expr {
            Expr::Column(column) => found.extend(self.column(column).into_iter().flat_map(|f| f.origins.clone())),
            Expr::Case(case) => {
                case.when_then_expr.iter().for_each(|(_, then)| self.collect_origins(then, found));
                case.else_expr.iter().for_each(|e| self.collect_origins(e, found));
            }
            other => {
                // The closure never fails.
                let _ = other.apply_children(|child| {
                    self.collect_origins(child, found);
                    Ok(TreeNodeRecursion::Continue)
                });
            }
        }
    }
}

impl ExprSchema for Scope<'_> {
    fn field_from_column(&self, column: &Column) -> DfResult<&FieldRef> {
        let found = self.parts.iter().find_map(|(schema, _)| schema.field_from_column(column).ok());
        found.ok_or_else(|| datafusion_common::DataFusionError::Plan(format!("no column '{column}'")))
    }
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|(schema, _)| schema)).finish()
    }
}
