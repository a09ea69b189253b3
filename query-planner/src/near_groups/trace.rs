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
use crate::wording::{exactly, wording};

/// A column of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// What decides its value.
    pub sources: BTreeSet<usize>,
    /// How it is made, in a wording in which equal things are equal.
    text: String,
    /// Is it a column of a table or a list as it stands?
    pub is_plain: bool,
    /// Of a list: may two of its rows have the same value here?
    repeats: bool,
}

/// Where columns are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// In every row.
    Everywhere,
    /// In rows that an outer join finds another for.
    WhereFound,
}

/// What chooses rows.
#[derive(Debug)]
pub(super) struct Condition {
    pub sources: BTreeSet<usize>,
    pub text: String,
    /// Does it say no more than that columns are equal?
    pub tie: Option<Tie>,
}

/// What is found in a plan, from the scans up.
pub(super) struct Trace<'c> {
    catalog: &'c Catalog,
    /// For each source the number of its table, list or union.
    pub leaves: Vec<usize>,
    next_leaf: usize,
    /// Sources that follow from the patient.
    pub patients: BTreeSet<usize>,
    /// Sources that are rows of a list: written in the question, or of a table without patients.
    pub lists: BTreeSet<usize>,
    /// Sources that say which of a row's copies it is.
    pub copied: BTreeSet<usize>,
    pub conditions: Vec<Condition>,
    /// So many of these choose rows; those behind are of figures alone.
    pub of_rows: usize,
    /// Sources of one column that the branches of a union make alike.
    pub tied: Vec<BTreeSet<usize>>,
    /// For each union the conditions of each branch, where columns can be alike.
    pub unions: Vec<Vec<Range<usize>>>,
}

/// Everything below an aggregate and in its figures, and its keys.
pub(super) fn of<'c>(aggregate: &Aggregate, catalog: &'c Catalog) -> (Trace<'c>, Vec<Made>) {
    let mut trace = Trace {
        catalog,
        leaves: Vec::new(),
        next_leaf: 0,
        patients: BTreeSet::new(),
        lists: BTreeSet::new(),
        copied: BTreeSet::new(),
        conditions: Vec::new(),
        of_rows: 0,
        tied: Vec::new(),
        unions: Vec::new(),
    };
    let columns = trace.rows(&aggregate.input);
    let input = Input { schema: aggregate.input.schema(), columns: &columns };
    trace.of_rows = trace.conditions.len();
    for figure in aggregate.aggr_expr.iter().flat_map(asked).flat_map(split_conjunction) {
        let made = trace.made(figure, &input);
        trace.choose(made);
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
        let width = plan.schema().fields().len();
        match plan {
            LogicalPlan::TableScan(scan) => self.table(scan),
            LogicalPlan::Values(values) => self.list(width, |at| column_of(values, at)),
            LogicalPlan::EmptyRelation(_) => self.list(width, |_| None),
            LogicalPlan::Union(union) if reads_nothing(plan) => self.list(width, |at| of_branches(union, at)),
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
                let numbers: Vec<Made> = window.window_expr.iter().map(|expr| self.of_rows(expr, &input)).collect();
                columns.extend(numbers);
                columns
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.rows(&sort.input),
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Subquery(_) | LogicalPlan::Distinct(Distinct::All(_)) => {
                self.rows(plan.inputs()[0])
            }
            // What a LIMIT leaves, say: any row may be in for another.
            _ => {
                plan.inputs().into_iter().for_each(|input| drop(self.rows(input)));
                let source = self.leaf();
                self.copied.insert(source);
                vec![Made { sources: [source].into(), text: format!("other {source}"), ..Made::default() }; width]
            }
        }
    }

    /// One source of a leaf of its own.
    fn leaf(&mut self) -> usize {
        self.leaves.push(self.next_leaf);
        self.next_leaf += 1;
        self.leaves.len() - 1
    }

    fn table(&mut self, scan: &TableScan) -> Vec<Made> {
        let network = scan.source.downcast_ref::<NetworkTable>();
        let is_key = |name: &str| self.catalog.is_patient_key(name);
        let has_patients = network.is_some_and(|table| table.schema.fields().iter().any(|field| is_key(field.name())));
        let mut columns = Vec::new();
        for field in scan.projected_schema.fields() {
            // Rows of a table without patients stand beside all patients' rows, as those of a list do.
            if has_patients || columns.is_empty() {
                self.leaves.push(self.next_leaf);
            }
            let source = self.leaves.len() - 1;
            match has_patients {
                true if is_key(field.name()) => self.patients.extend([source]),
                true => {}
                false => self.lists.extend([source]),
            }
            let text = field.name().clone();
            columns.push(Made { sources: [source].into(), text, is_plain: true, repeats: false });
        }
        self.next_leaf += 1;
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
            let texts: Option<Vec<String>> = values(at).map(|values| values.iter().map(exactly).collect());
            let is_one = |texts: &Vec<String>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
            let repeats = !texts.as_ref().is_some_and(is_one);
            Made { sources: [source].into(), text: format!("list {source} {at}"), is_plain: true, repeats }
        };
        (0..columns).map(column).collect()
    }

    /// Of tables as they stand, under conditions: columns that all branches make alike stay what they are, where all branches are of one table
    /// or under the same conditions. All others say which branch it is.
    fn union(&mut self, union: &Union) -> Vec<Made> {
        let (mut branches, mut ranges) = (Vec::new(), Vec::new());
        for input in &union.inputs {
            let from = self.conditions.len();
            branches.push(self.rows(input));
            ranges.push(from..self.conditions.len());
        }
        let branch = self.leaf();
        let tables: Option<BTreeSet<String>> = union.inputs.iter().map(|input| table_of(input)).collect();
        let (are_tables, are_chosen_alike) = (tables.is_some(), self.are_chosen_alike(&ranges));
        let can_be_alike = tables.is_some_and(|tables| tables.len() == 1 || are_chosen_alike);
        // Where no condition differs it is the tables that say how the branches do.
        if !are_tables || !are_chosen_alike {
            self.copied.insert(branch);
        }
        let mut columns = Vec::new();
        for at in 0..union.schema.fields().len() {
            let all: Vec<&Made> = branches.iter().filter_map(|columns| columns.get(at)).collect();
            let mut made = all.first().map(|first| Made::clone(first)).unwrap_or_default();
            let are_alike = all.iter().all(|other| other.text == made.text) && all.len() == branches.len();
            made.repeats = all.iter().any(|made| made.repeats);
            made.sources = all.iter().flat_map(|made| made.sources.iter().copied()).collect();
            if can_be_alike && are_alike {
                self.tied.push(made.sources.clone());
            } else {
                made.sources.insert(branch);
                (made.text, made.is_plain) = (format!("branch {branch}"), false);
            }
            columns.push(made);
        }
        if can_be_alike {
            self.unions.push(ranges);
        }
        columns
    }

    /// Are the rows of all these branches chosen by the same conditions?
    pub fn are_chosen_alike(&self, branches: &[Range<usize>]) -> bool {
        let texts = |branch: &Range<usize>| {
            self.conditions[branch.clone()].iter().map(|condition| &condition.text).collect::<BTreeSet<_>>()
        };
        branches.windows(2).all(|pair| texts(&pair[0]) == texts(&pair[1]))
    }

    fn join(&mut self, join: &Join) -> Vec<Made> {
        match join.join_type {
            JoinType::Inner => self.pairs(join),
            JoinType::Left | JoinType::Right | JoinType::Full => self.outer_pairs(join),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => self.kept(join, &join.left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => self.kept(join, &join.right),
        }
    }

    /// The columns of one side, whose rows the other chooses. Whatever that is: it chooses by these columns together.
    fn kept(&mut self, join: &Join, side: &LogicalPlan) -> Vec<Made> {
        let mut columns = self.rows(side);
        let input = Input { schema: side.schema(), columns: &columns };
        let named = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
        let all: Vec<Made> = named.map(|expr| self.made(expr, &input)).collect();
        let chosen =
            Made { sources: sources_of(&all), text: format!("rows of {}", self.leaves.len()), ..Made::default() };
        if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
            let mark = self.leaf();
            columns.push(Made { sources: &chosen.sources | &[mark].into(), ..chosen });
        } else {
            self.choose(chosen);
        }
        columns
    }

    /// The columns of both sides.
    fn pairs(&mut self, join: &Join) -> Vec<Made> {
        let (left, right) = (self.rows(&join.left), self.rows(&join.right));
        for (ours, theirs) in &join.on {
            let ours = self.made(ours, &Input { schema: join.left.schema(), columns: &left });
            let theirs = self.made(theirs, &Input { schema: join.right.schema(), columns: &right });
            self.equal(&ours, &theirs, join.join_type);
        }
        let columns = [left, right].concat();
        if let Some(filter) = &join.filter {
            let input = Input { schema: &join.schema, columns: &columns };
            split_conjunction(filter)
                .into_iter()
                .for_each(|condition| self.choose_by(condition, &input, join.join_type));
        }
        columns
    }

    /// The same where a row may stand without one of the other side. Whether it does follows from the patient, if that is what they are joined
    /// by, or from a single column, as of a dictionary; else from everything that chooses rows.
    fn outer_pairs(&mut self, join: &Join) -> Vec<Made> {
        let from = self.conditions.len();
        let mut columns = self.pairs(join);
        let joined = join.on.len() + join.filter.as_ref().map_or(0, |filter| split_conjunction(filter).len());
        let joined = self.conditions.len() - joined..self.conditions.len();
        let is_of_patients = |tie: &Condition| tie.tie.is_some() && tie.sources.is_subset(&self.patients);
        let ties = &self.conditions[joined.clone()];
        let by_one = ties.iter().all(is_of_patients) || matches!(ties, [one] if one.tie.is_some());
        let chosen = if by_one { joined } else { from..self.conditions.len() };
        let chosen = self.conditions[chosen].iter().flat_map(|condition| condition.sources.iter().copied());
        let (chosen, left): (BTreeSet<usize>, usize) = (chosen.collect(), join.left.schema().fields().len());
        for (at, column) in columns.iter_mut().enumerate() {
            let may_miss = match join.join_type {
                JoinType::Left => at >= left,
                JoinType::Right => at < left,
                _ => true,
            };
            // A literal says nothing but whether there is a row.
            if may_miss && (!by_one || column.sources.is_empty()) {
                column.sources.extend(&chosen);
                (column.text, column.is_plain) = (format!("{} of {from}", column.text), false);
            }
        }
        columns
    }

    /// A row of each patient is the patient; other figures follow from all that makes and chooses their rows.
    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Vec<Made> {
        let (from, first) = (self.conditions.len(), self.leaves.len());
        let columns = self.rows(&aggregate.input);
        let input = Input { schema: aggregate.input.schema(), columns: &columns };
        let mut made: Vec<Made> = aggregate.group_expr.iter().map(|key| self.made(key, &input)).collect();
        let is_of_patients = made.len() == 1 && is_key(plan, 0, self.catalog);
        let source = self.leaf();
        let sources: BTreeSet<usize> = if is_of_patients {
            self.patients.insert(source);
            [source].into()
        } else {
            let chosen = self.conditions[from..].iter().flat_map(|condition| condition.sources.iter().copied());
            let copied = self.copied.range(first..).copied();
            chosen.chain(copied).chain(sources_of(&made)).chain([source]).collect()
        };
        for figure in &aggregate.aggr_expr {
            let text = format!("{} of {source}", self.made(figure, &input).text);
            let own = if is_of_patients { BTreeSet::new() } else { self.made(figure, &input).sources };
            made.push(Made { sources: &sources | &own, text, is_plain: false, repeats: false });
        }
        made
    }

    /// What other rows decide, too.
    fn of_rows(&mut self, expr: &Expr, input: &Input<'_>) -> Made {
        let others = self.leaf();
        let Made { sources, text, .. } = self.made(expr, input);
        Made { sources: &sources | &[others].into(), text: format!("{text} of {others}"), ..Made::default() }
    }

    fn made(&self, expr: &Expr, input: &Input<'_>) -> Made {
        let expr = kept(expr, input.schema);
        if let Expr::Column(column) = expr {
            return input.column(column).cloned().unwrap_or_default();
        }
        let of: Vec<Made> = named(expr).iter().filter_map(|column| input.column(column)).cloned().collect();
        let rename = |e: Expr| {
            let made = if let Expr::Column(column) = &e { input.column(column) } else { None };
            let renamed = made.map(|made| Expr::Column(Column::new_unqualified(made.text.clone())));
            Ok(renamed.map_or_else(|| Transformed::no(e), Transformed::yes))
        };
        // The closure never fails.
        let text = expr.clone().transform_up(rename).map_or_else(|_| exactly(expr), |renamed| exactly(&renamed.data));
        Made { sources: sources_of(&of), text, is_plain: false, repeats: true }
    }

    fn choose_all(&mut self, predicate: &Expr, input: &Input<'_>) {
        split_conjunction(predicate)
            .into_iter()
            .for_each(|condition| self.choose_by(condition, input, JoinType::Inner));
    }

    fn choose_by(&mut self, condition: &Expr, input: &Input<'_>, join: JoinType) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition {
            return self.equal(&self.made(left, input), &self.made(right, input), join);
        }
        self.choose(self.made(condition, input));
    }

    fn choose(&mut self, Made { sources, text, .. }: Made) {
        self.conditions.push(Condition { sources, text, tie: None });
    }

    /// Columns that are equal are tied. Of a list one row at most is equal to any value, or rows are repeated for several.
    fn equal(&mut self, left: &Made, right: &Made, join: JoinType) {
        for side in [left, right].into_iter().filter(|side| side.repeats) {
            self.copied.extend(side.sources.intersection(&self.lists));
        }
        let tie = if join == JoinType::Inner { Tie::Everywhere } else { Tie::WhereFound };
        let tie = (left.is_plain && right.is_plain).then_some(tie);
        let text = format!("{} = {}", left.text, right.text);
        self.conditions.push(Condition { sources: &left.sources | &right.sources, text, tie });
    }
}

fn sources_of(all: &[Made]) -> BTreeSet<usize> {
    all.iter().flat_map(|made| made.sources.iter().copied()).collect()
}

/// The table, with its sites, of which a plan takes rows and columns; none where it does more.
fn table_of(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(_) => Some(wording(plan)),
        LogicalPlan::Filter(filter) if holds_subquery(&filter.predicate) => None,
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            table_of(plan.inputs()[0])
        }
        _ => None,
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    let is_subquery = |part: &Expr| {
        Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)))
    };
    // The closure never fails.
    expr.exists(is_subquery).unwrap_or(true)
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
