//! Of which sources the columns of a plan are made, and which conditions choose its rows.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, JoinType};
use datafusion_expr::logical_plan::{Aggregate, Distinct, Join, TableScan, Union, Values};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::matching::home::{column, is_key, kept};
use crate::relate::wording;

/// A column of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// What decides its value.
    pub sources: BTreeSet<usize>,
    /// How it is made, in a wording in which equal things are equal.
    text: String,
    /// Is it a source as it stands?
    pub is_plain: bool,
    /// Of a list: may two of its rows have the same value here?
    repeats: bool,
}

/// What chooses rows.
#[derive(Debug)]
pub(super) struct Condition {
    pub sources: BTreeSet<usize>,
    pub text: String,
    /// Both sides of an equality.
    pub equal: Option<(Made, Made)>,
}

/// What is found in a plan, from the scans up.
pub(super) struct Trace<'c> {
    catalog: &'c Catalog,
    /// For each source the number of its table, list or union.
    pub leaves: Vec<usize>,
    /// For each of these what it is, with its sites.
    tables: Vec<String>,
    /// The first leaf of the branch of a union that is looked at.
    first: usize,
    /// Sources that follow from the patient.
    pub patients: BTreeSet<usize>,
    /// Sources that are rows of a list.
    pub lists: BTreeSet<usize>,
    /// Sources that say which of a row's copies it is.
    pub copied: BTreeSet<usize>,
    pub conditions: Vec<Condition>,
    /// Sources of one column that the branches of a union make alike.
    pub tied: Vec<BTreeSet<usize>>,
    /// For each union the conditions of each branch.
    pub unions: Vec<Vec<Range<usize>>>,
}

/// Everything below an aggregate and in its figures, and its keys.
pub(super) fn of<'c>(aggregate: &Aggregate, catalog: &'c Catalog) -> (Trace<'c>, Vec<Made>) {
    let mut trace = Trace {
        catalog,
        leaves: Vec::new(),
        tables: Vec::new(),
        first: 0,
        patients: BTreeSet::new(),
        lists: BTreeSet::new(),
        copied: BTreeSet::new(),
        conditions: Vec::new(),
        tied: Vec::new(),
        unions: Vec::new(),
    };
    let columns = trace.rows(&aggregate.input);
    let input = Input { schema: aggregate.input.schema(), columns: &columns };
    for figure in aggregate.aggr_expr.iter().flat_map(asked) {
        trace.choose(figure, &input);
    }
    let keys = aggregate.group_expr.iter().map(|key| trace.made(key, &input)).collect();
    (trace, keys)
}

/// What may look at a key: conditions and expressions of a figure.
fn asked(figure: &Expr) -> Vec<&Expr> {
    match figure {
        Expr::Alias(alias) => asked(&alias.expr),
        Expr::AggregateFunction(call) => call.params.args.iter().chain(call.params.filter.as_deref()).collect(),
        other => vec![other],
    }
}

/// The columns that an expression can name.
struct Input<'a> {
    schema: &'a DFSchema,
    columns: &'a [Made],
}

impl Input<'_> {
    fn column(&self, column: &Column) -> Option<&Made> {
        self.columns.get(self.schema.maybe_index_of_column(column)?)
    }
}

impl Trace<'_> {
    /// The columns of a plan.
    fn rows(&mut self, plan: &LogicalPlan) -> Vec<Made> {
        match plan {
            LogicalPlan::TableScan(scan) => self.table(scan),
            LogicalPlan::Values(values) => self.list(plan.schema().fields().len(), |at| column_of(values, at)),
            LogicalPlan::EmptyRelation(empty) => self.list(empty.schema.fields().len(), |_| None),
            LogicalPlan::Union(union) if reads_nothing(plan) => {
                self.list(plan.schema().fields().len(), |at| of_branches(union, at))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate),
            LogicalPlan::Filter(filter) => {
                let columns = self.rows(&filter.input);
                self.choose_all(&filter.predicate, &Input { schema: filter.input.schema(), columns: &columns });
                columns
            }
            LogicalPlan::Projection(projection) => {
                let columns = self.rows(&projection.input);
                let input = Input { schema: projection.input.schema(), columns: &columns };
                projection.expr.iter().map(|expr| self.made(expr, &input)).collect()
            }
            LogicalPlan::Window(window) => {
                let mut columns = self.rows(&window.input);
                let input = Input { schema: window.input.schema(), columns: &columns };
                // The other rows decide, too.
                let numbers: Vec<Made> =
                    window.window_expr.iter().map(|expr| self.beside_others(expr, &input)).collect();
                columns.extend(numbers);
                columns
            }
            LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => self.rows(plan.inputs()[0]),
            _ => {
                plan.inputs().into_iter().for_each(|input| drop(self.rows(input)));
                let source = self.leaf();
                self.copied.insert(source);
                vec![Made { sources: [source].into(), ..Made::default() }; plan.schema().fields().len()]
            }
        }
    }

    /// One source of a leaf of its own.
    fn leaf(&mut self) -> usize {
        self.leaves.push(self.tables.len());
        self.tables.push(String::new());
        self.leaves.len() - 1
    }

    fn table(&mut self, scan: &TableScan) -> Vec<Made> {
        let network = scan.source.downcast_ref::<NetworkTable>();
        let place = self.tables.len() - self.first;
        let mut columns = Vec::new();
        for field in scan.projected_schema.fields() {
            let source = self.leaves.len();
            self.leaves.push(self.tables.len());
            if network.is_some() && self.catalog.is_patient_key(field.name()) {
                self.patients.insert(source);
            }
            let text = format!("{} of {place}", field.name().to_lowercase());
            columns.push(Made { sources: [source].into(), text, is_plain: true, repeats: false });
        }
        self.tables.push(wording(&LogicalPlan::TableScan(scan.clone())));
        let input = Input { schema: &scan.projected_schema, columns: &columns };
        scan.filters.iter().for_each(|filter| self.choose_all(filter, &input));
        columns
    }

    /// Rows that are written in the question: any of their columns says which row it is.
    fn list(&mut self, columns: usize, values: impl Fn(usize) -> Option<Vec<Expr>>) -> Vec<Made> {
        if columns == 0 {
            return Vec::new();
        }
        let source = self.leaf();
        self.lists.insert(source);
        let column = |at: usize| {
            let texts: Option<Vec<String>> = values(at).map(|values| values.iter().map(Expr::to_string).collect());
            let is_one = |texts: &Vec<String>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
            let repeats = !texts.as_ref().is_some_and(is_one);
            let text = format!("list {texts:?} {}", self.tables.len() - self.first);
            Made { sources: [source].into(), text, is_plain: false, repeats }
        };
        (0..columns).map(column).collect()
    }

    /// Columns that all branches make alike stay what they are; others say which branch it is.
    fn union(&mut self, union: &Union) -> Vec<Made> {
        let (outer, mut branches, mut ranges) = (self.first, Vec::new(), Vec::new());
        for input in &union.inputs {
            let from = self.conditions.len();
            self.first = self.tables.len();
            branches.push(self.rows(input));
            ranges.push(from..self.conditions.len());
        }
        self.first = outer;
        let branch = self.leaf();
        self.copied.insert(branch);
        let are_chosen_alike = self.are_chosen_alike(&ranges);
        let mut columns = Vec::new();
        for at in 0..union.schema.fields().len() {
            let all: Vec<&Made> = branches.iter().filter_map(|columns| columns.get(at)).collect();
            let mut made = all.first().map(|first| Made::clone(first)).unwrap_or_default();
            let is_like = |other: &&Made| {
                other.text == made.text && (are_chosen_alike || self.tables_of(other) == self.tables_of(&made))
            };
            let are_alike = all.iter().all(is_like) && all.len() == branches.len();
            made.repeats = all.iter().any(|made| made.repeats);
            made.sources = all.iter().flat_map(|made| made.sources.iter().copied()).collect();
            if are_alike {
                self.tied.push(made.sources.clone());
            } else {
                made.sources.insert(branch);
                (made.text, made.is_plain) = (format!("branch {branch}"), false);
            }
            columns.push(made);
        }
        self.unions.push(ranges);
        columns
    }

    /// Are the rows of all these branches chosen by the same conditions?
    pub fn are_chosen_alike(&self, branches: &[Range<usize>]) -> bool {
        let texts = |branch: &Range<usize>| {
            self.conditions[branch.clone()].iter().map(|condition| &condition.text).collect::<BTreeSet<_>>()
        };
        branches.windows(2).all(|pair| texts(&pair[0]) == texts(&pair[1]))
    }

    fn tables_of(&self, made: &Made) -> BTreeSet<&str> {
        made.sources.iter().map(|source| &self.tables[self.leaves[*source]][..]).collect()
    }

    fn join(&mut self, join: &Join) -> Vec<Made> {
        let kept = match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Some(&join.left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Some(&join.right),
            _ => None,
        };
        let Some(kept) = kept else { return self.pairs(join) };
        let mut columns = self.rows(kept);
        let input = Input { schema: kept.schema(), columns: &columns };
        // Whatever the other side is: it chooses by these columns together.
        let named = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
        let all: Vec<Made> = named.map(|expr| self.made(expr, &input)).collect();
        let sources: BTreeSet<usize> = all.iter().flat_map(|made| made.sources.iter().copied()).collect();
        let texts: Vec<&str> = all.iter().map(|made| &made.text[..]).collect();
        if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
            let mark = self.leaf();
            let sources = sources.into_iter().chain([mark]).collect();
            columns.push(Made { sources, text: format!("mark {mark}"), is_plain: false, repeats: false });
        } else {
            let text = format!("{} {}", join.join_type, texts.join(", "));
            self.conditions.push(Condition { sources, text, equal: None });
        }
        columns
    }

    /// The columns of both sides.
    fn pairs(&mut self, join: &Join) -> Vec<Made> {
        let (left, right) = (self.rows(&join.left), self.rows(&join.right));
        for (ours, theirs) in &join.on {
            let ours = self.made(ours, &Input { schema: join.left.schema(), columns: &left });
            let theirs = self.made(theirs, &Input { schema: join.right.schema(), columns: &right });
            self.equal(ours, theirs);
        }
        let columns = [left, right].concat();
        if let Some(filter) = &join.filter {
            self.choose_all(filter, &Input { schema: &join.schema, columns: &columns });
        }
        columns
    }

    /// A row of each patient is the patient; what others add up to is its own.
    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Vec<Made> {
        let from = self.conditions.len();
        let columns = self.rows(&aggregate.input);
        let input = Input { schema: aggregate.input.schema(), columns: &columns };
        let keys: Vec<Made> = aggregate.group_expr.iter().map(|key| self.made(key, &input)).collect();
        let mut chosen: Vec<&str> = self.conditions[from..].iter().map(|condition| &condition.text[..]).collect();
        chosen.sort_unstable();
        let by: Vec<&str> = keys.iter().map(|key| &key.text[..]).collect();
        let wording = format!("by {} where {}", by.join(", "), chosen.join(" and "));
        if aggregate.group_expr.len() == 1 && is_key(plan, 0, self.catalog) {
            let patient = self.leaf();
            self.patients.insert(patient);
            let own = |expr: &Expr| {
                let text = format!("{} {wording}", self.made(expr, &input).text);
                Made { sources: [patient].into(), text, is_plain: false, repeats: false }
            };
            let figures = aggregate.aggr_expr.iter().map(own).collect();
            return [keys, figures].concat();
        }
        let figures: Vec<Made> = aggregate.aggr_expr.iter().map(|expr| self.beside_others(expr, &input)).collect();
        let named = |figure: Made| Made { text: format!("{} {wording}", figure.text), ..figure };
        [keys, figures.into_iter().map(named).collect()].concat()
    }

    /// Made of columns of its row and of other rows.
    fn beside_others(&mut self, expr: &Expr, input: &Input<'_>) -> Made {
        let others = self.leaf();
        let mut made = self.made(expr, input);
        made.sources.insert(others);
        made.is_plain = false;
        made
    }

    fn made(&self, expr: &Expr, input: &Input<'_>) -> Made {
        let expr = kept(expr, input.schema);
        if let Expr::Column(column) = expr {
            return input.column(column).cloned().unwrap_or_default();
        }
        let sources: BTreeSet<usize> = named(expr)
            .iter()
            .filter_map(|column| input.column(column))
            .flat_map(|made| made.sources.clone())
            .collect();
        let repeats = sources.iter().any(|source| self.lists.contains(source));
        let rename = |e: Expr| {
            Ok(match &e {
                Expr::Column(column) => match input.column(column) {
                    Some(made) => Transformed::yes(Expr::Column(Column::new_unqualified(made.text.clone()))),
                    None => Transformed::no(e),
                },
                _ => Transformed::no(e),
            })
        };
        let text =
            expr.clone().transform_up(rename).map_or_else(|_| expr.to_string(), |renamed| renamed.data.to_string());
        Made { sources, text, is_plain: false, repeats }
    }

    fn choose_all(&mut self, predicate: &Expr, input: &Input<'_>) {
        split_conjunction(predicate).into_iter().for_each(|condition| self.choose(condition, input));
    }

    fn choose(&mut self, condition: &Expr, input: &Input<'_>) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition {
            let (left, right) = (self.made(left, input), self.made(right, input));
            if !left.sources.is_empty() && !right.sources.is_empty() {
                return self.equal(left, right);
            }
        }
        let Made { sources, text, .. } = self.made(condition, input);
        self.conditions.push(Condition { sources, text, equal: None });
    }

    /// Of a list, one row at most is equal to any value, or rows are repeated for several.
    fn equal(&mut self, left: Made, right: Made) {
        for side in [&left, &right].into_iter().filter(|side| side.repeats) {
            self.copied.extend(side.sources.intersection(&self.lists));
        }
        let sources = left.sources.union(&right.sources).copied().collect();
        let text = format!("{} = {}", left.text, right.text);
        self.conditions.push(Condition { sources, text, equal: Some((left, right)) });
    }
}

/// The columns that an expression names, also in its subqueries.
fn named(expr: &Expr) -> Vec<Column> {
    let mut columns: Vec<Column> = expr.column_refs().into_iter().cloned().collect();
    let mut outer = |subquery: &datafusion_expr::Subquery| {
        let named = subquery.outer_ref_columns.iter().filter_map(|column| match column {
            Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
            _ => None,
        });
        columns.extend(named);
    };
    // The closure never fails.
    let _ = expr.apply(|part| {
        match part {
            Expr::Exists(exists) => outer(&exists.subquery),
            Expr::InSubquery(within) => outer(&within.subquery),
            Expr::ScalarSubquery(subquery) => outer(subquery),
            Expr::SetComparison(comparison) => outer(&comparison.subquery),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    columns
}

/// Is no table read?
fn reads_nothing(plan: &LogicalPlan) -> bool {
    // The closure never fails.
    !plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(_)))).unwrap_or(true)
}

fn column_of(values: &Values, at: usize) -> Option<Vec<Expr>> {
    let literals = values.values.iter().map(|row| row.get(at).filter(|value| matches!(value, Expr::Literal(..))));
    literals.map(|value| value.cloned()).collect()
}

/// The literals that branches without a table have in a column.
fn of_branches(union: &Union, at: usize) -> Option<Vec<Expr>> {
    let literals = union.inputs.iter().map(|input| literals(input, at));
    literals.collect::<Option<Vec<_>>>().map(|branches| branches.concat())
}

fn literals(plan: &LogicalPlan, at: usize) -> Option<Vec<Expr>> {
    match plan {
        LogicalPlan::Values(values) => column_of(values, at),
        LogicalPlan::SubqueryAlias(_) => literals(plan.inputs()[0], at),
        LogicalPlan::Projection(projection) => match (projection.expr.get(at)?, projection.input.as_ref()) {
            (Expr::Alias(alias), LogicalPlan::EmptyRelation(_)) => literal(&alias.expr),
            (expr, LogicalPlan::EmptyRelation(_)) => literal(expr),
            (expr, input) => literals(input, input.schema().maybe_index_of_column(column(expr)?)?),
        },
        LogicalPlan::Union(union) => of_branches(union, at),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<Vec<Expr>> {
    matches!(expr, Expr::Literal(..)).then(|| vec![expr.clone()])
}
