//! By how much one patient can change a figure. The unit is a patient with everything it has at all sites.
//!
//! # Argument
//! A figure is a sum over rows (or over patients), and every row that is summed is made of rows of one patient: its *owner*. A scan's
//! rows belong to the patient in their key. Filters, projections and renamings look at one row; a join by the patient key brings rows
//! of one owner together; an aggregate or window within one value of the key looks at one owner's rows. Everything
//! else is refused, because in it the rows of one patient can change what becomes of another's.
//!
//! Of a table that declares `rows_per_patient` = r, each site keeps r rows of a patient at most ([`crate::bind::SiteTable`]'s scan does
//! so whatever the data are), chosen by looking at that patient's rows alone. So at most r rows of a scan have one owner, r₁·r₂ of a
//! join, r₁ + r₂ of a union. A value between −m and m then moves a total by r·m at one site and by c·r·m at c contributors; a row
//! is in one group, so this holds for all groups of a slot together.
//!
//! Where patients are matched, each counts once over all sites: a bit moves the totals by 1 in each group the patient can be in.

use datafusion_expr::expr::WindowFunctionParams;
use datafusion_expr::logical_plan::{Aggregate, Distinct, Join, LogicalPlan};
use datafusion_expr::{Expr, ExprSchemable, JoinType};

use crate::bind::NetworkTable;
use crate::bounds::{DAYS, type_interval};
use crate::catalog::Catalog;
use crate::cost::max_groups;
use crate::error::PlanError;
use crate::matched::Matching;
use crate::matching::Laid;
use crate::noise::{Noised, available, needed, not_available};
use crate::plan::{Groups, SecureSum, Summand};
use crate::slots::Slots;
use crate::split::subqueries;
use crate::words::words;

/// The noised slots of a sum over rows. `fragment` is all that a site does, conditions and arguments of
/// the sum itself included.
///
/// # Errors
/// `NOISE_NOT_AVAILABLE`, `NOISE_NEEDS_BOUND`.
pub(crate) fn of_rows(
    sum: &SecureSum,
    fragment: &LogicalPlan,
    slots: &Slots<'_>,
    catalog: &Catalog,
) -> Result<Vec<Noised>, PlanError> {
    unlinked(catalog)?;
    available(sum)?;
    let owned = owned(fragment, catalog)?;
    let sensitivity = |slot: usize| {
        let rows = || owned.rows.clone().into_bound().map(|rows| rows.saturating_mul(sum.contributors.len() as u64));
        let magnitude = match sum.slots[slot].what {
            Summand::Rows | Summand::NotNull(_) => 1,
            Summand::Value(column) => magnitude(&slots.columns[column].1, slots)?,
            Summand::Patients(node) => return of_patients(sum, node, rows().ok()).map(Moved::by_ones),
            _ => return Err(not_available("a sum of squares or products cannot be answered with noise")),
        };
        Ok(Moved::at_once(rows()?.saturating_mul(magnitude)))
    };
    needed(sum).into_iter().map(|slot| noised(slot, sensitivity(slot)?)).collect()
}

/// The same of a sum over matched patients alone.
///
/// # Errors
/// As [`of_rows`].
pub(crate) fn of_matched(sum: &SecureSum, relations: &[Laid], catalog: &Catalog) -> Result<Vec<Noised>, PlanError> {
    unlinked(catalog)?;
    available(sum)?;
    for laid in relations {
        owned(&laid.plan, catalog)?;
    }
    let sensitivity = |slot: usize| match sum.slots[slot].what {
        Summand::Patients(node) => of_patients(sum, node, None).map(Moved::by_ones),
        _ => Err(not_available("rows beside matched patients cannot be answered with noise")),
    };
    needed(sum).into_iter().map(|slot| noised(slot, sensitivity(slot)?)).collect()
}

/// What one patient changes in a slot's totals.
struct Moved {
    /// In all groups together.
    sum: u64,
    /// The squares of what it changes in each group, together.
    squares: u128,
}

impl Moved {
    /// So much, perhaps all in one group.
    fn at_once(sum: u64) -> Moved {
        Moved { sum, squares: u128::from(sum).pow(2) }
    }

    /// 1 in each of so many groups.
    fn by_ones(groups: u64) -> Moved {
        Moved { sum: groups, squares: groups.into() }
    }
}

fn noised(slot: usize, moved: Moved) -> Result<Noised, PlanError> {
    if moved.sum > MAX_SENSITIVITY {
        let text = format!("one patient could change a figure by {}: noise would drown it", moved.sum);
        return Err(PlanError::new("NOISE_NEEDS_BOUND", text).hint("declare smaller rows_per_patient, or clamp values"));
    }
    Ok(Noised { slot, sensitivity: moved.sum.max(1), squares: moved.squares.max(1) })
}

/// A patient is found by one key at each site: with several keys the rows of one patient are not known to be one's.
fn unlinked(catalog: &Catalog) -> Result<(), PlanError> {
    match catalog.linkage {
        Some(_) => Err(not_available("patients who are linked by identifiers may have several keys at a site")),
        None => Ok(()),
    }
}

/// A count of matched patients: 1 in each group that a patient can be in. With at most `rows` rows in all it is in no more groups than that,
/// where the bit says that it has such rows.
fn of_patients(sum: &SecureSum, node: usize, rows: Option<u64>) -> Result<u64, PlanError> {
    let matching = sum.matching.as_ref().filter(|matching| matching.nodes[node].bits == 1);
    let matching =
        matching.ok_or_else(|| not_available("a number of each matched patient cannot be summed with noise"))?;
    let groups = if sum.groups == Groups::Whole { 1 } else { max_groups(sum) };
    let by_rows = rows.filter(|_| is_presence(matching, node));
    Ok(by_rows.map_or(groups, |rows| rows.min(groups)))
}

fn is_presence(matching: &Matching, node: usize) -> bool {
    use crate::matched::{Node, What};
    match matching.nodes[node].node {
        Node::Feature(feature) => matching.features[feature].what == What::Any,
        _ => false,
    }
}

/// The largest absolute value of what is summed, from declarations and not from its type.
fn magnitude(column: &Expr, slots: &Slots<'_>) -> Result<u64, PlanError> {
    let known = slots.scope.fact(column).interval;
    let widest = column.get_type(slots.scope).ok().and_then(|data_type| type_interval(&data_type));
    let declared = known.filter(|interval| Some(*interval) != widest && *interval != DAYS);
    let magnitude = declared.and_then(|interval| u64::try_from(interval.magnitude()).ok());
    magnitude.filter(|magnitude| *magnitude <= MAX_MAGNITUDE).ok_or_else(|| {
        let text = format!("noise needs a bound on {}, of which one patient may have any value", words(column));
        PlanError::new("NOISE_NEEDS_BOUND", text)
            .hint("declare range or clamp of its column (int or decimal), or bound it with LEAST and GREATEST")
    })
}

/// Rows that each belong to one patient.
struct Owned {
    /// So many of one patient at one site, at most.
    rows: Rows,
    /// For each column: is it the owner's key?
    keys: Vec<bool>,
}

/// A bound on the rows of one patient.
#[derive(Clone)]
enum Rows {
    Bound(u64),
    /// This table declares none.
    Undeclared(String),
}

impl Rows {
    fn with(self, other: Rows, together: fn(u64, u64) -> u64) -> Rows {
        match (self, other) {
            (Rows::Bound(a), Rows::Bound(b)) => Rows::Bound(together(a, b)),
            (Rows::Bound(_), none) | (none, _) => none,
        }
    }

    fn into_bound(self) -> Result<u64, PlanError> {
        match self {
            Rows::Bound(rows) => Ok(rows),
            Rows::Undeclared(table) => {
                let text = format!("noise needs a bound on the rows of one patient in {table}");
                let hint = format!("declare rows_per_patient under [tables.{table}] in network.toml");
                Err(PlanError::new("NOISE_NEEDS_BOUND", text).hint(hint))
            }
        }
    }
}

/// Whose the rows of a plan are.
///
/// # Errors
/// `NOISE_NOT_AVAILABLE` where they are not one patient's each.
fn owned(plan: &LogicalPlan, catalog: &Catalog) -> Result<Owned, PlanError> {
    if !subqueries(plan).is_empty() {
        return Err(not_available("a subquery inside a condition cannot be answered with noise"));
    }
    let inputs = plan.inputs().into_iter().map(|input| owned(input, catalog)).collect::<Result<Vec<_>, _>>()?;
    let input = |at: usize| plan.inputs()[at];
    let mut of = inputs.into_iter();
    let mut only =
        || of.next().ok_or_else(|| not_available("rows written in the question cannot be answered with noise"));
    match plan {
        LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<NetworkTable>() {
            Some(network) => scanned(network, plan, catalog),
            None => Err(not_available("rows of no table cannot be answered with noise")),
        },
        LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => only(),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => only(),
        LogicalPlan::Projection(projection) => {
            let below = only()?;
            let keys = projection.expr.iter().map(|expr| is_key(expr, input(0), &below)).collect();
            Ok(Owned { keys, ..below })
        }
        LogicalPlan::Join(join) => joined(join, only()?, only()?),
        LogicalPlan::Union(_) => {
            let first = only()?;
            Ok(of.fold(first, |a, b| Owned {
                rows: a.rows.with(b.rows, u64::saturating_add),
                keys: a.keys.into_iter().zip(b.keys).map(|(a, b)| a && b).collect(),
            }))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, only()?),
        LogicalPlan::Window(window) => {
            let below = only()?;
            window.window_expr.iter().try_for_each(|expr| within_owner(expr, input(0), &below))?;
            let keys = (0..plan.schema().fields().len()).map(|at| below.keys.get(at) == Some(&true)).collect();
            Ok(Owned { keys, ..below })
        }
        LogicalPlan::Distinct(Distinct::All(_)) => {
            let below = only()?;
            if below.keys.contains(&true) { Ok(below) } else { Err(mixed("DISTINCT")) }
        }
        _ => Err(mixed("this kind of work (LIMIT, for example)")),
    }
}

fn scanned(network: &NetworkTable, plan: &LogicalPlan, catalog: &Catalog) -> Result<Owned, PlanError> {
    let table = &network.table;
    if !table.columns.iter().any(|column| catalog.is_patient_key(&column.name)) {
        let text = format!("{} does not say whose its rows are: it has no column {}", table.name, catalog.patient_key);
        return Err(not_available(&text));
    }
    let keys = plan.schema().fields().iter().map(|field| catalog.is_patient_key(field.name())).collect();
    let rows = table.rows_per_patient.map_or_else(|| Rows::Undeclared(table.name.clone()), Rows::Bound);
    Ok(Owned { rows, keys })
}

fn joined(join: &Join, left: Owned, right: Owned) -> Result<Owned, PlanError> {
    let by_owner = |(a, b): &(Expr, Expr)| is_key(a, &join.left, &left) && is_key(b, &join.right, &right);
    if join.null_aware {
        return Err(mixed("NOT IN where a row without a key says no for everybody"));
    }
    if !join.on.iter().any(by_owner) {
        return Err(mixed("a join otherwise than by the patient key"));
    }
    let both: fn(u64, u64) -> u64 = u64::saturating_mul;
    let all = || left.keys.iter().chain(&right.keys).copied().collect();
    Ok(match join.join_type {
        JoinType::Inner => Owned { keys: all(), rows: left.rows.clone().with(right.rows.clone(), both) },
        // A row that is kept alone has no key on the other side, which may not be joined by again.
        JoinType::Left => {
            let keys = left.keys.iter().copied().chain(right.keys.iter().map(|_| false)).collect();
            Owned { keys, rows: left.rows.with(right.rows, both) }
        }
        JoinType::Right => {
            let keys = left.keys.iter().map(|_| false).chain(right.keys.iter().copied()).collect();
            Owned { keys, rows: left.rows.with(right.rows, both) }
        }
        JoinType::LeftSemi | JoinType::LeftAnti => left,
        JoinType::RightSemi | JoinType::RightAnti => right,
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => return Err(mixed("this kind of join")),
    })
}

fn grouped(aggregate: &Aggregate, below: Owned) -> Result<Owned, PlanError> {
    let keys: Vec<bool> = aggregate.group_expr.iter().map(|key| is_key(key, &aggregate.input, &below)).collect();
    if !keys.contains(&true) {
        return Err(mixed("a GROUP BY below the answer without the patient key"));
    }
    // Grouped by the key alone, a patient has one row, however many it had. Rows without a key would be one more: they are left out
    // of tables that declare how many rows a patient has.
    let rows = match below.rows {
        Rows::Bound(_) if keys.iter().all(|key| *key) => Rows::Bound(1),
        rows => rows,
    };
    let figures = aggregate.aggr_expr.iter().map(|_| false);
    Ok(Owned { rows, keys: keys.into_iter().chain(figures).collect() })
}

/// A window that looks at rows of one owner only.
fn within_owner(window: &Expr, input: &LogicalPlan, below: &Owned) -> Result<(), PlanError> {
    match window {
        Expr::Alias(alias) => within_owner(&alias.expr, input, below),
        Expr::WindowFunction(call) => {
            let WindowFunctionParams { partition_by, .. } = &call.params;
            let by_owner = partition_by.iter().any(|key| is_key(key, input, below));
            if by_owner { Ok(()) } else { Err(mixed("a window or DISTINCT over rows of several patients")) }
        }
        _ => Err(mixed("this kind of window")),
    }
}

/// Is it the owner's key, as it stands?
fn is_key(expr: &Expr, input: &LogicalPlan, below: &Owned) -> bool {
    match expr {
        Expr::Alias(alias) => is_key(&alias.expr, input, below),
        Expr::Column(column) => {
            input.schema().maybe_index_of_column(column).is_some_and(|at| below.keys.get(at) == Some(&true))
        }
        _ => false,
    }
}

fn mixed(what: &str) -> PlanError {
    not_available(&format!(
        "{what} cannot be answered with noise: rows of one patient could change what becomes of another's"
    ))
    .hint("keep each patient's rows apart: join, group and number them by the patient key")
}

/// A value of more is bounded by its type at most, not by a declaration.
const MAX_MAGNITUDE: u64 = 1 << 40;

/// Noise for more fills 64 bits.
const MAX_SENSITIVITY: u64 = 1 << 48;
