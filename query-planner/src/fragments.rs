//! What each site runs: a sum's own work over the network's tables, then each site's version of it over its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_common::TableReference;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::logical_plan::{
    Aggregate, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, TableScanBuilder, Union,
};
use datafusion_expr::{Expr, lit};

use crate::bind::{NetworkTable, SiteTable, table_schema};
use crate::catalog::{Catalog, SiteName};
use crate::clamp::clamped_scan;
use crate::error::{PlanError, refuse};
use crate::kept;
use crate::matching::Laid;
use crate::plan::{LocalStage, TableRead};
use crate::slots::{Slots, window_name};
use crate::split::{Sites, sites_of};

/// Every table that is scanned, also for COUNT(*) alone, and at which sites.
pub(crate) fn tables_read(works: &[LogicalPlan], catalog: &Catalog) -> Vec<TableRead> {
    let mut read: BTreeMap<String, Sites> = BTreeMap::new();
    for work in works {
        // The closure never fails.
        let _ = work.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
            {
                read.entry(network.table.name.to_lowercase()).or_default().extend(sites_of(node));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    let named = |sites: Sites| sites.into_iter().map(|site| catalog.sites[site].clone()).collect();
    read.into_iter().map(|(table, sites)| TableRead { table, sites: named(sites) }).collect()
}

/// What a contributor runs, before its own tables are put in: keys, then arguments, over the aggregate's input.
pub(crate) fn fragment(aggregate: &Aggregate, slots: &Slots<'_>) -> Result<LogicalPlan, PlanError> {
    let mut input = LogicalPlanBuilder::from(aggregate.input.clone());
    // One node for each window: DataFusion's physical planner wants one partitioning in a node.
    for (i, window) in slots.windows.iter().enumerate() {
        input = input.window([window.clone().alias(window_name(i))]).map_err(|e| refuse(&e))?;
    }
    let mut columns: Vec<Expr> = slots.columns.iter().map(|(name, expr)| expr.clone().alias(name)).collect();
    if columns.is_empty() {
        // COUNT(*) needs no column, but a plan without any cannot say how many rows it has.
        columns.push(lit(1i64).alias("row"));
    }
    input.project(columns).and_then(LogicalPlanBuilder::build).map_err(|e| refuse(&e))
}

pub(crate) fn stage(generic: &LogicalPlan, sites: &Sites, catalog: &Catalog) -> Result<LocalStage, PlanError> {
    let mut fragments = BTreeMap::new();
    for site in sites {
        fragments.insert(catalog.sites[*site].clone(), localise(generic, *site, catalog)?);
    }
    Ok(LocalStage { fragments, relations: Vec::new(), cohort: None })
}

/// What each site runs for each relation.
pub(crate) fn fragments_of(
    relations: &[Laid],
    catalog: &Catalog,
) -> Result<Vec<BTreeMap<SiteName, LogicalPlan>>, PlanError> {
    relations.iter().map(|laid| Ok(stage(&laid.plan, &laid.sites, catalog)?.fragments)).collect()
}

/// One site's version of a plan: its own tables for the network's, and of a union only the branches it has rows for.
fn localise(plan: &LogicalPlan, site: usize, catalog: &Catalog) -> Result<LogicalPlan, PlanError> {
    use datafusion_common::tree_node::{Transformed, TreeNode};
    let external = |e: PlanError| datafusion_common::DataFusionError::External(Box::new(e));
    match plan {
        LogicalPlan::TableScan(scan) => own_scan(scan, &catalog.sites[site], catalog),
        LogicalPlan::Union(union) => own_union(union, site, catalog),
        other => other
            .clone()
            .map_subqueries(|p| localise(&p, site, catalog).map(Transformed::yes).map_err(external))
            .and_then(|t| t.data.map_children(|p| localise(&p, site, catalog).map(Transformed::yes).map_err(external)))
            .map(|t| t.data)
            .map_err(|e| refuse(&e)),
    }
}

fn own_scan(scan: &TableScan, site: &SiteName, catalog: &Catalog) -> Result<LogicalPlan, PlanError> {
    let Some(network) = scan.source.downcast_ref::<NetworkTable>() else {
        return Ok(LogicalPlan::TableScan(scan.clone()));
    };
    let table = network.table.name.clone();
    let reference = TableReference::partial(site.0.clone(), table.clone());
    let source = SiteTable { site: site.clone(), table, schema: table_schema(&network.table) };
    let own = TableScanBuilder::new(reference, Arc::new(source)).with_projection(scan.projection.clone()).build();
    let own = own.map_err(|e| refuse(&e))?;
    let own = match network.rows_per_patient {
        Some(rows) => kept::first_rows(&own, rows, catalog)?,
        None => LogicalPlan::TableScan(own),
    };
    let own = clamped_scan(own, &network.table)?;
    SubqueryAlias::try_new(Arc::new(own), scan.table_name.clone())
        .map(LogicalPlan::SubqueryAlias)
        .map_err(|e| refuse(&e))
}

fn own_union(union: &Union, site: usize, catalog: &Catalog) -> Result<LogicalPlan, PlanError> {
    let has_rows = |plan: &LogicalPlan| {
        let sites = sites_of(plan);
        sites.is_empty() || sites.contains(&site)
    };
    let mut branches = Vec::new();
    for input in union.inputs.iter().filter(|input| has_rows(input)) {
        branches.push(Arc::new(localise(input, site, catalog)?));
    }
    if branches.len() != 1 {
        return Ok(LogicalPlan::Union(Union { inputs: branches, schema: union.schema.clone() }));
    }
    let only = branches.remove(0);
    let columns = only.schema().columns().into_iter().zip(union.schema.iter());
    let columns =
        columns.map(|(from, (qualifier, field))| Expr::Column(from).alias_qualified(qualifier.cloned(), field.name()));
    Projection::try_new(columns.collect(), only).map(LogicalPlan::Projection).map_err(|e| refuse(&e))
}
