//! Patients beside rows: a sum over the sites' own rows that also counts the distinct patients of some of them.

use std::sync::Arc;

use datafusion_common::{Column, JoinType};
use datafusion_expr::logical_plan::{
    Filter, Join, Projection, Sort, SubqueryAlias, TableScan, TableScanBuilder, Union,
};
use datafusion_expr::{Expr, LogicalPlan};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::cube::off_plane_of;
use crate::error::{PlanError, refuse};
use crate::matching::home::is_key_of_rows;
use crate::matching::layout::{LaidOut, Roots, lay_out};
use crate::matching::nodes::{Bit, Nodes, Source};
use crate::people::Whom;
use crate::policy::check_local;
use crate::split::sites_of;

/// Counts, for each tuple of keys, these patients: one node for each of `people`, all over the columns of `input`. None when the rows are not those of patients.
pub(crate) fn beside(
    input: &LogicalPlan,
    keys: &[Expr],
    people: &[Whom],
    catalog: &Catalog,
) -> Result<Option<LaidOut>, PlanError> {
    let Some((plan, key)) = with_key(input, catalog)? else { return Ok(None) };
    let rows = check_local(&plan, catalog)?.rows;
    let key = plan.schema().index_of_column(&key).map_err(|e| refuse(&e))?;
    let source = Source { sites: sites_of(&plan), plan, key, rows };
    let mut nodes = Nodes::new(catalog);
    let mut slots = Vec::new();
    for whom in people {
        let mut with = |rows: Option<&Expr>| nodes.any(&source, rows.cloned(), keys.to_vec());
        let bit = match whom {
            Whom::With(condition) => with(condition.as_ref()),
            Whom::InOneOnly(ours, theirs) => {
                let (ours, theirs) = (with(ours.as_ref()), with(theirs.as_ref()));
                nodes.differ(ours, theirs)
            }
            Whom::InBothOrNeither(total, either) => {
                let all = with(total.as_ref());
                let [ours, theirs] = either.each_ref().map(|rows| with(Some(rows)));
                let in_one = nodes.differ(ours, theirs);
                let outside = nodes.not(in_one);
                nodes.and(all, outside)
            }
            Whom::OffPlane(total, choices, corner) => {
                let all = with(total.as_ref());
                let within = |rows: &Expr| total.iter().cloned().fold(rows.clone(), |rows, all| all.and(rows));
                let bits = choices.each_ref().map(|rows| with(Some(&within(rows))));
                let others = total.as_ref().map_or(Bit::No, |total| {
                    let off = off_plane_of(Some(total), choices, *corner);
                    with(Some(&total.clone().is_not_true().and(off)))
                });
                let off = nodes.off_plane(bits, *corner);
                let own = nodes.and(all, off);
                nodes.or(own, others)
            }
        };
        slots.push(nodes.place(bit)?);
    }
    let roots = Roots { slots, patient_keys: Vec::new(), row_keys: (0..keys.len()).collect(), key_source: None };
    lay_out(&nodes, roots).map(Some)
}

/// Is it COUNT(DISTINCT …)?
pub(crate) fn counts_distinct(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => counts_distinct(&alias.expr),
        Expr::AggregateFunction(call) => call.func.name() == "count" && call.params.distinct,
        _ => false,
    }
}

/// The patient key among the columns of a plan: no row is without it that had one.
pub(crate) fn key_column(plan: &LogicalPlan, catalog: &Catalog) -> Option<Column> {
    let at = (0..plan.schema().fields().len()).find(|at| is_key_of_rows(plan, *at, catalog))?;
    Some(Column::from(plan.schema().qualified_field(at)))
}

/// The same rows with the patient key among their columns, which the optimizer took away where nothing asked for it.
fn with_key(plan: &LogicalPlan, catalog: &Catalog) -> Result<Option<(LogicalPlan, Column)>, PlanError> {
    if let Some(key) = key_column(plan, catalog) {
        return Ok(Some((plan.clone(), key)));
    }
    let widened = match plan {
        LogicalPlan::TableScan(scan) => wider_scan(scan, catalog)?,
        LogicalPlan::Projection(p) => match with_key(&p.input, catalog)? {
            Some((input, key)) => {
                let columns = p.expr.iter().cloned().chain([Expr::Column(key)]).collect();
                Some(
                    Projection::try_new(columns, Arc::new(input))
                        .map(LogicalPlan::Projection)
                        .map_err(|e| refuse(&e))?,
                )
            }
            None => None,
        },
        LogicalPlan::Filter(filter) => match with_key(&filter.input, catalog)? {
            Some((input, _)) => {
                let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input)).map_err(|e| refuse(&e))?;
                Some(LogicalPlan::Filter(filter))
            }
            None => None,
        },
        LogicalPlan::SubqueryAlias(alias) => match with_key(&alias.input, catalog)? {
            Some((input, _)) => {
                let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone()).map_err(|e| refuse(&e))?;
                Some(LogicalPlan::SubqueryAlias(alias))
            }
            None => None,
        },
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => with_key(&sort.input, catalog)?
            .map(|(input, _)| LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort.clone() })),
        LogicalPlan::Join(join) => wider_join(join, catalog)?,
        LogicalPlan::Union(union) => wider_union(union, catalog)?,
        _ => None,
    };
    Ok(widened.and_then(|plan| key_column(&plan, catalog).map(|key| (plan, key))))
}

fn wider_scan(scan: &TableScan, catalog: &Catalog) -> Result<Option<LogicalPlan>, PlanError> {
    let Some(network) = scan.source.downcast_ref::<NetworkTable>() else { return Ok(None) };
    let at = network.schema.fields().iter().position(|field| catalog.is_patient_key(field.name()));
    let (Some(at), Some(mut columns)) = (at, scan.projection.clone()) else { return Ok(None) };
    columns.push(at);
    let scan =
        TableScanBuilder::new(scan.table_name.clone(), scan.source.clone()).with_projection(Some(columns)).build();
    scan.map(|scan| Some(LogicalPlan::TableScan(scan))).map_err(|e| refuse(&e))
}

fn wider_join(join: &Join, catalog: &Catalog) -> Result<Option<LogicalPlan>, PlanError> {
    // Of an outer join the side that is always there has the key of all rows.
    let right_first = join.join_type == JoinType::Right;
    let (left, right) = match (with_key(&join.left, catalog)?, with_key(&join.right, catalog)?) {
        (left, Some((right, _))) if right_first || left.is_none() => (join.left.clone(), Arc::new(right)),
        (Some((left, _)), _) => (Arc::new(left), join.right.clone()),
        _ => return Ok(None),
    };
    let wider = Join::try_new(
        left,
        right,
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    );
    wider.map(|join| Some(LogicalPlan::Join(join))).map_err(|e| refuse(&e))
}

/// Every branch with the key as its last column.
fn wider_union(union: &Union, catalog: &Catalog) -> Result<Option<LogicalPlan>, PlanError> {
    let mut branches = Vec::new();
    for input in &union.inputs {
        let Some((wider, key)) = with_key(input, catalog)? else { return Ok(None) };
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let columns = columns.chain([Expr::Column(key).alias(&catalog.patient_key)]).collect();
        let branch = Projection::try_new(columns, Arc::new(wider)).map_err(|e| refuse(&e))?;
        branches.push(Arc::new(LogicalPlan::Projection(branch)));
    }
    let wider = Union::try_new_with_loose_types(branches).map_err(|e| refuse(&e))?;
    // Names above are those of the union before it was widened.
    let columns = wider.schema.columns().into_iter().zip(union.schema.iter());
    let mut columns: Vec<Expr> = columns
        .map(|(from, (qualifier, field))| Expr::Column(from).alias_qualified(qualifier.cloned(), field.name()))
        .collect();
    columns.extend(wider.schema.columns().into_iter().next_back().map(Expr::Column));
    let plan = Projection::try_new(columns, Arc::new(LogicalPlan::Union(wider))).map_err(|e| refuse(&e))?;
    Ok(Some(LogicalPlan::Projection(plan)))
}
