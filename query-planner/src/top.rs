//! `GROUP BY … ORDER BY total LIMIT m`, where the groups that are left out need not be revealed at all.

use datafusion_expr::expr::Sort as SortKey;
use datafusion_expr::logical_plan::{FetchType, Limit, SkipType, Sort};
use datafusion_expr::{Expr, LogicalPlan};

use crate::bind::RevealedTable;
use crate::cells::gates;
use crate::cost::max_groups;
use crate::plan::{Output, Ring, SecureSum, Summand, Tie, Top};

/// The top of the one sum whose rows a finish only sorts, renames and cuts; none when it does anything else with them.
pub(crate) fn top(finish: &LogicalPlan, sums: &[SecureSum]) -> Option<Top> {
    let [sum] = sums else { return None };
    let (limit, sort) = cut(finish)?;
    let limit = rows(limit)?;
    let keys = sort.expr.iter().map(|key| Some((output(&key.expr, &sort.input, sum)?, key)));
    let keys = keys.collect::<Option<Vec<(&Output, &SortKey)>>>()?;
    let ((total, first), ties) = keys.split_first()?;
    let slot = comparable(total, sum)?;
    let ties = ties.iter().map(|(output, key)| match output {
        Output::Key(i) => Some(Tie { key: *i, descending: !key.asc, nulls_first: key.nulls_first }),
        _ => None,
    });
    let ties = ties.collect::<Option<Vec<Tie>>>()?;
    // What goes on with a chosen group is carried through the selection, in the smaller ring.
    let gates = gates(sum);
    let opened = sum.slots.iter().zip(&gates).filter(|(_, gate)| sum.cells.is_empty() || gate.is_some());
    let narrow = opened.into_iter().all(|(slot, _)| slot.ring == Ring::Z64);
    (narrow && limit < max_groups(sum)).then_some(Top { slot, descending: !first.asc, limit, ties })
}

/// The limit and the sort, when between them and above them columns are only renamed.
fn cut(plan: &LogicalPlan) -> Option<(&Limit, &Sort)> {
    match plan {
        LogicalPlan::Projection(p) if p.expr.iter().all(is_column) => cut(&p.input),
        LogicalPlan::SubqueryAlias(alias) => cut(&alias.input),
        LogicalPlan::Limit(limit) => Some((limit, sorted(&limit.input)?)),
        _ => None,
    }
}

fn sorted(plan: &LogicalPlan) -> Option<&Sort> {
    match plan {
        LogicalPlan::Projection(p) if p.expr.iter().all(is_column) => sorted(&p.input),
        LogicalPlan::SubqueryAlias(alias) => sorted(&alias.input),
        LogicalPlan::Sort(sort) => Some(sort),
        _ => None,
    }
}

/// The rows that are wanted, those that are skipped included.
fn rows(limit: &Limit) -> Option<u64> {
    let FetchType::Literal(Some(fetch)) = limit.get_fetch_type().ok()? else { return None };
    let SkipType::Literal(skip) = limit.get_skip_type().ok()? else { return None };
    let rows = u64::try_from(fetch.checked_add(skip)?).ok()?;
    (rows > 0).then_some(rows)
}

/// The output that an expression over renamed revealed rows stands for.
fn output<'s>(expr: &Expr, below: &LogicalPlan, sum: &'s SecureSum) -> Option<&'s Output> {
    let column = match expr {
        Expr::Alias(alias) => return output(&alias.expr, below, sum),
        Expr::Column(column) => column,
        _ => return None,
    };
    match below {
        LogicalPlan::Projection(p) => {
            let at = p.schema.maybe_index_of_column(column)?;
            // The other columns may be computed: no row is left out for them.
            output(&p.expr[at], &p.input, sum)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.maybe_index_of_column(column)?;
            let (qualifier, field) = alias.input.schema().qualified_field(at);
            let inner = datafusion_common::Column::new(qualifier.cloned(), field.name());
            output(&Expr::Column(inner), &alias.input, sum)
        }
        LogicalPlan::TableScan(scan) => {
            scan.source.downcast_ref::<RevealedTable>()?;
            let at = scan.source.schema().index_of(&column.name).ok()?;
            sum.outputs.get(at)
        }
        _ => None,
    }
}

/// The slot of an output whose order is the order of one total. A sum that can be NULL has its place elsewhere.
fn comparable(output: &Output, sum: &SecureSum) -> Option<usize> {
    match output {
        Output::Count(slot) => Some(*slot),
        Output::Sum { sum: slot, count } => {
            // A group is hidden with its rows alone.
            let is_judged = sum.supports_of(*slot).next().is_some();
            let count = &sum.slots[*count];
            (count.what == Summand::Rows && count.filter.is_none() && !is_judged).then_some(*slot)
        }
        _ => None,
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_column(&alias.expr),
        other => matches!(other, Expr::Column(_)),
    }
}
