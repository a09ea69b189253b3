//! Which slots of a sum are numbers of rows that may be too few to show, and which of them count different rows.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{JoinType, ScalarValue};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast, lit};

use crate::error::PlanError;
use crate::plan::{Exclusive, Output, Ring, Summand};
use crate::relate::contradicts;
use crate::slots::Slots;
use crate::wording::passes_through;

impl Slots<'_> {
    /// The cells that count: the rows of a group, the rows behind every output, those that meet a literal's condition, and sums that are
    /// counts themselves.
    ///
    /// # Errors
    /// `TOO_MANY_ROWS` when a count could exceed 63 bits.
    pub(crate) fn cells(&self, outputs: &[Output]) -> Result<Vec<usize>, PlanError> {
        let counts = outputs.iter().filter_map(|output| output.count(&self.orders));
        let literals = self.supports.iter().filter(|support| support.leaves.is_empty()).map(|support| support.cell);
        let mut cells: Vec<usize> = counts.chain([0]).chain(self.ones.iter().copied()).chain(literals).collect();
        cells.sort_unstable();
        cells.dedup();
        let too_wide =
            |slot: &&usize| self.slots[**slot].ring != Ring::Z64 || self.slots[**slot].partial_bits > MAX_BITS;
        match cells.iter().find(too_wide) {
            None => Ok(cells),
            Some(_) => {
                Err(PlanError::new("TOO_MANY_ROWS", "the public row bounds are too large to compare counts under them")
                    .hint("declare max_rows of the tables in network.toml"))
            }
        }
    }

    /// Sets of cells whose conditions exclude each other: `FILTER (WHERE x = 1)`, `FILTER (WHERE x = 2)`… And what counts all beside them.
    pub(crate) fn disjoint(&self, cells: &[usize], outputs: &[Output]) -> Vec<Exclusive> {
        let mut sets: Vec<Vec<(usize, Expr)>> = Vec::new();
        let chosen = cells.iter().filter_map(|slot| Some((*slot, self.choice(*slot)?)));
        for (slot, rows) in chosen {
            let once = self.counts_once(slot);
            let fits = |set: &&mut Vec<(usize, Expr)>| {
                set.iter().all(|(other, theirs)| self.counts_once(*other) == once && excludes(&rows, theirs))
            };
            match sets.iter_mut().find(fits) {
                Some(set) => set.push((slot, rows)),
                None => sets.push(vec![(slot, rows)]),
            }
        }
        let shown = outputs.iter().filter_map(|output| output.count(&self.orders));
        let totals: Vec<usize> = shown.filter(|slot| self.choice(*slot).is_none()).collect();
        let exclusive = |set: Vec<(usize, Expr)>| {
            let cells: Vec<usize> = set.into_iter().map(|(slot, _)| slot).collect();
            let (total, overlap) = self.total(&totals, &cells);
            Exclusive { cells, parts: true, total, overlap }
        };
        let mut others = Vec::new();
        for (at, set) in sets.iter().enumerate() {
            let pairs = set.iter().flat_map(|a| sets[at + 1..].iter().flatten().map(move |b| (a, b)));
            let apart = pairs.filter(|((_, ours), (_, theirs))| excludes(ours, theirs));
            others.extend(apart.map(|((a, _), (b, _))| Exclusive::pair(*a, *b)));
        }
        sets.into_iter().filter(|set| set.len() > 1).map(exclusive).chain(others).collect()
    }

    /// Of what counts all, that which parts are held against, and whether they may be more.
    fn total(&self, totals: &[usize], parts: &[usize]) -> (Option<usize>, bool) {
        let what = |slot: usize| self.slots[slot].what;
        let once = self.counts_once(parts[0]);
        let same = totals
            .iter()
            .copied()
            .find(|total| self.counts_once(*total) == once && parts.iter().all(|part| what(*part) == what(*total)));
        match same {
            Some(total) => (Some(total), once),
            None if totals.is_empty() => (None, false),
            // Of all rows there are as many as of parts, whatever is counted of each.
            None if !once => (Some(0), false),
            None => (totals.iter().copied().find(|total| self.counts_once(*total)).or(Some(0)), true),
        }
    }

    /// Does a slot count each of several rows once, of one value or of one patient?
    fn counts_once(&self, slot: usize) -> bool {
        let slot = &self.slots[slot];
        let is_first = |at: usize| self.of_every_row(&self.columns[at].1).as_ref() != Some(&self.columns[at].1);
        matches!(slot.what, Summand::Patients(_)) || slot.filter.is_some_and(is_first)
    }

    /// Refuses choices of a group's rows whose relation is not plain, where they are more than are judged together: from counts of overlapping
    /// choices the count of a further one follows (inclusion and exclusion), and rules for pairs do not see it.
    ///
    /// # Errors
    /// `RELATED_TABLES`.
    pub(crate) fn understood(&self, cells: &[usize], most: usize) -> Result<(), PlanError> {
        let mut chosen: Vec<Expr> = Vec::new();
        for rows in cells.iter().filter_map(|slot| self.choice(*slot)) {
            if !chosen.contains(&rows) {
                chosen.push(rows);
            }
        }
        if chosen.len() <= most || are_plain(&chosen.iter().collect::<Vec<_>>()) { Ok(()) } else { Err(overlapping()) }
    }

    /// The columns whose being empty is a choice.
    pub(crate) fn columns_of_choice(&self, input: &LogicalPlan) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let filters =
            self.slots.iter().filter_map(|slot| slot.filter).filter_map(|at| self.of_every_row(&self.columns[at].1));
        let cases = self.columns.iter().filter_map(|(_, expr)| chosen(expr, true).cloned());
        let people = self.people.iter().filter_map(|whom| whom.condition().cloned());
        filters.chain(cases).chain(people).for_each(|condition| looks_past(&condition, &mut names));
        optional_columns(input, names)
    }

    /// By what a count chooses rows, if it does: conditions of the question, and where a column is empty that joins or expressions made. That
    /// a column is empty as it stands in a table is no choice.
    pub(crate) fn choice(&self, cell: usize) -> Option<Expr> {
        if let Some(rows) = self.support_rows(cell) {
            return Some(rows.clone());
        }
        let slot = &self.slots[cell];
        let expr = |column: usize| &self.columns[column].1;
        let what = match slot.what {
            Summand::Patients(at) => return self.people[at].condition().cloned(),
            Summand::NotNull(column) => {
                let made =
                    || Some(expr(column).clone().is_not_null()).filter(|_| !is_stored(expr(column), &self.optional));
                chosen(expr(column), false).cloned().or_else(made)
            }
            // Such a cell adds ones.
            Summand::Value(column) if matches!(expr(column), Expr::Literal(..)) => None,
            Summand::Value(column) => {
                let ones = || cast(expr(column).clone(), DataType::Int64).eq(lit(1i64));
                Some(chosen(expr(column), true).cloned().unwrap_or_else(ones))
            }
            _ => None,
        };
        let filter = slot.filter.and_then(|at| self.of_every_row(expr(at)));
        what.into_iter().chain(filter).reduce(Expr::and)
    }
}

/// Is an expression empty only where a column of a table is, and not by a condition? These columns may be.
pub(crate) fn is_stored(expr: &Expr, optional: &BTreeSet<String>) -> bool {
    let stored = |expr: &Expr| is_stored(expr, optional);
    match expr {
        Expr::Alias(alias) => stored(&alias.expr),
        Expr::Cast(cast) => stored(&cast.expr),
        Expr::Column(column) => !optional.contains(&column.name),
        Expr::Literal(scalar, _) => !scalar.is_null(),
        Expr::Negative(of) => stored(of),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => is_strict(*op) && stored(left) && stored(right),
        Expr::ScalarFunction(call) => STRICT.contains(&call.name()) && call.args.iter().all(stored),
        _ => false,
    }
}

/// Is what it makes empty where an operand is, and nowhere else?
fn is_strict(op: Operator) -> bool {
    use Operator::{Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo | Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Functions of which the same holds.
const STRICT: [&str; 24] = [
    "abs",
    "btrim",
    "cbrt",
    "ceil",
    "character_length",
    "date_part",
    "date_trunc",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "power",
    "radians",
    "round",
    "rtrim",
    "signum",
    "sqrt",
    "trunc",
    "upper",
];

pub(crate) fn overlapping() -> PlanError {
    let text = "several counts choose rows by conditions that may overlap, so that a hidden small cell might follow from them together";
    PlanError::new("RELATED_TABLES", text)
        .hint("let the conditions exclude each other (x < 18, x BETWEEN 18 AND 64…) or narrow each other (a, a AND b…), or GROUP BY them; of three that choose patients' rows all that follows is looked at")
}

/// Do any two exclude or contain each other?
pub(crate) fn are_plain(choices: &[&Expr]) -> bool {
    let is_plain = |a: &Expr, b: &Expr| excludes(a, b) || narrows(a, b) || narrows(b, a);
    choices.iter().enumerate().all(|(at, a)| choices[at + 1..].iter().all(|b| is_plain(a, b)))
}

pub(crate) fn are_understood(conditions: &[&Expr]) -> bool {
    let all = |holds: &dyn Fn(&Expr, &Expr) -> bool| {
        conditions.iter().enumerate().all(|(i, a)| conditions[i + 1..].iter().all(|b| holds(a, b)))
    };
    conditions.len() < 3 || all(&excludes) || all(&|a, b| narrows(a, b) || narrows(b, a))
}

/// Can no row meet both?
pub(crate) fn excludes(a: &Expr, b: &Expr) -> bool {
    let theirs = split_conjunction(b);
    split_conjunction(a).iter().any(|a| theirs.iter().any(|b| contradicts(a, b)))
}

/// Does every row that meets `a` meet `b`?
pub(crate) fn narrows(a: &Expr, b: &Expr) -> bool {
    let ours = split_conjunction(a);
    split_conjunction(b).iter().all(|b| ours.contains(b))
}

/// Could the values of this expression say how many rows meet a condition? A single `CASE WHEN c THEN x END` may: what it counts is
/// counted, as the rows where it is not NULL.
pub(crate) fn carries_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => carries_condition(&alias.expr),
        Expr::Cast(cast) => carries_condition(&cast.expr),
        Expr::Case(case) => {
            let [(_, then)] = &case.when_then_expr[..] else { return true };
            let is_null = |e: &Expr| matches!(e, Expr::Literal(scalar, _) if scalar.is_null());
            case.expr.is_some() || !case.else_expr.as_deref().is_none_or(is_null) || decides(then)
        }
        other => decides(other),
    }
}

/// The columns below an aggregate whose values are made by a condition, or by the branch of a union that they come from.
pub(crate) fn conditional_columns(input: &LogicalPlan) -> BTreeSet<String> {
    made_columns(input, &|expr| matches!(expr, Expr::Literal(..)) || carries_condition(expr))
}

/// The columns below an aggregate that count or add up rows of each group, and what is made of them.
pub(crate) fn rolled_up_columns(input: &LogicalPlan) -> BTreeSet<String> {
    let chooses = |call: &AggregateFunction| ["min", "max"].contains(&call.func.name());
    made_columns(input, &|expr| matches!(expr, Expr::AggregateFunction(call) if !chooses(call)))
}

/// The columns below that an expression makes of which this holds, or one over such columns.
fn made_columns(input: &LogicalPlan, makes: &dyn Fn(&Expr) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Nodes come before their inputs, so names travel up one level a pass.
    loop {
        let before = names.len();
        collect_made(input, makes, &mut names);
        if names.len() == before {
            return names;
        }
    }
}

/// The columns below an aggregate that may be empty though the columns of tables that they are made of are not: what an outer join leaves
/// empty where its condition is not met, an expression where its own is not, an aggregate over rows that meet one. Whether a value is in a table
/// is no condition, unless conditions look at columns that are empty then. These columns are some of them.
pub(crate) fn optional_columns(input: &LogicalPlan, mut names: BTreeSet<String>) -> BTreeSet<String> {
    let (looked_past, mut before) = (!names.is_empty(), None);
    // Nodes come before their inputs, so names travel up one level a pass.
    while before != Some(names.len()) {
        before = Some(names.len());
        // The closure never fails.
        let _ = input.apply_with_subqueries(|node| {
            let made = optional_in(node, looked_past, &names);
            names.extend(made);
            Ok(TreeNodeRecursion::Continue)
        });
    }
    names
}

fn optional_in(node: &LogicalPlan, looked_past: bool, known: &BTreeSet<String>) -> Vec<String> {
    match node {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => {
            let made = node.expressions().into_iter();
            let made = made.filter(|expr| !is_made_stored(&expr.clone().unalias_nested().data, known));
            made.map(|expr| expr.qualified_name().1).collect()
        }
        LogicalPlan::Join(join) => {
            let (left, right) = match join.join_type {
                JoinType::Left => (None, Some(&join.right)),
                JoinType::Right => (Some(&join.left), None),
                JoinType::Full => (Some(&join.left), Some(&join.right)),
                _ => (None, None),
            };
            let is_column = |expr: &Expr| matches!(expr, Expr::Column(_)) && is_stored(expr, known);
            let by_one_column =
                matches!(&join.on[..], [(a, b)] if is_column(a) && is_column(b)) && join.filter.is_none();
            let is_whole = |side: &LogicalPlan| by_one_column && !looked_past && is_whole_table(side);
            let sides = left.into_iter().chain(right).filter(|side| !is_whole(side));
            sides.flat_map(|side| side.schema().columns()).map(|column| column.name).collect()
        }
        LogicalPlan::Union(union) => {
            let is_known = |at: usize| union.inputs.iter().any(|input| known.contains(input.schema().field(at).name()));
            let fields = union.schema.fields().iter().enumerate();
            fields.filter(|(at, _)| is_known(*at)).map(|(_, field)| field.name().clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// The same of what a projection, an aggregate or a window function makes.
fn is_made_stored(expr: &Expr, optional: &BTreeSet<String>) -> bool {
    const NEVER_EMPTY: [&str; 6] = ["count", "row_number", "rank", "dense_rank", "percent_rank", "cume_dist"];
    match expr {
        Expr::AggregateFunction(call) => {
            let of_all = call.params.filter.is_none() && call.params.args.iter().all(|arg| is_stored(arg, optional));
            of_all || call.func.name() == "count"
        }
        Expr::WindowFunction(call) => NEVER_EMPTY.contains(&call.fun.name()),
        other => is_stored(other, optional),
    }
}

/// The columns of a condition that may hold where they are empty.
pub(crate) fn looks_past(condition: &Expr, names: &mut BTreeSet<String>) {
    for part in split_conjunction(condition) {
        if !is_strict_in_all(part) {
            names.extend(part.column_refs().into_iter().map(|column| column.name.clone()));
        }
    }
}

fn is_strict_in_all(expr: &Expr) -> bool {
    let all = is_strict_in_all;
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => all(&alias.expr),
        Expr::Cast(cast) => all(&cast.expr),
        Expr::Not(of) | Expr::Negative(of) | Expr::IsNotNull(of) | Expr::IsTrue(of) | Expr::IsFalse(of) => all(of),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => is_strict(*op) && all(left) && all(right),
        Expr::ScalarFunction(call) => STRICT.contains(&call.name()) && call.args.iter().all(all),
        Expr::Between(between) => [&between.expr, &between.low, &between.high].into_iter().all(|expr| all(expr)),
        Expr::InList(list) => all(&list.expr) && list.list.iter().all(all),
        Expr::Like(like) => all(&like.expr) && all(&like.pattern),
        _ => false,
    }
}

/// All rows of a table.
fn is_whole_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => is_whole_table(&alias.input),
        LogicalPlan::Projection(p) => passes_through(p) && is_whole_table(&p.input),
        LogicalPlan::TableScan(scan) => scan.filters.is_empty() && scan.fetch.is_none(),
        _ => false,
    }
}

fn collect_made(input: &LogicalPlan, makes: &dyn Fn(&Expr) -> bool, names: &mut BTreeSet<String>) {
    // The closure never fails.
    let _ = input.apply_with_subqueries(|node| {
        let made = match node {
            LogicalPlan::Projection(_) | LogicalPlan::Window(_) | LogicalPlan::Aggregate(_) => node.expressions(),
            _ => Vec::new(),
        };
        for expr in made {
            let inner = expr.clone().unalias_nested().data;
            let known = inner.column_refs().iter().any(|column| names.contains(&column.name));
            if known || makes(&inner) {
                names.insert(expr.qualified_name().1);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
}

/// Is there a condition anywhere in it?
fn decides(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(match e {
            Expr::Case(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Like(_) => true,
            Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) | Expr::SimilarTo(_) => true,
            Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
            Expr::Between(_) | Expr::InList(_) => true,
            Expr::BinaryExpr(binary) => !matches!(
                binary.op,
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
            ),
            // COUNT(x) counts the rows where x is there, which an outer join or a column can make a condition.
            Expr::AggregateFunction(call) => call.params.filter.is_some() || counts_present(call),
            _ => false,
        })
    })
    .unwrap_or(true)
}

fn counts_present(call: &AggregateFunction) -> bool {
    let constant = |e: &Expr| matches!(e, Expr::Literal(scalar, _) if !scalar.is_null());
    call.func.name() == "count" && !call.params.args.iter().all(constant)
}

/// The condition of `CASE WHEN c THEN x END`, or for a sum also of `CASE WHEN c THEN 1 ELSE 0 END`.
fn chosen(expr: &Expr, is_sum: bool) -> Option<&Expr> {
    let case = match expr {
        Expr::Alias(alias) => return chosen(&alias.expr, is_sum),
        Expr::Cast(cast) => return chosen(&cast.expr, is_sum),
        Expr::Case(case) => case,
        _ => return None,
    };
    let [(when, _)] = &case.when_then_expr[..] else { return None };
    let nothing = |e: &Expr| match e {
        Expr::Literal(scalar, _) => scalar.is_null() || is_sum && *scalar == ScalarValue::Int64(Some(0)),
        _ => false,
    };
    (case.expr.is_none() && case.else_expr.as_deref().is_none_or(nothing)).then_some(&**when)
}

/// A count of 20 sites then has at most 55 bits, and a comparison of counts fits its ring.
pub(crate) const MAX_BITS: u32 = 50;
