//! Divides a plan at its release points: what every site does alone goes below, what the analyst does with revealed
//! rows stays above, and between them stands one secure sum.
//!
//! A relation is *distributed* over sites when the pooled relation is the UNION ALL over them of one subplan, run on
//! each site's own table. Over several sites only filters, projections and renamings keep that property, so the first
//! aggregate is the release point. At a single site everything keeps it, so the topmost aggregate is.

use std::collections::BTreeSet;

use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_common::{DataFusionError, JoinType};
use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::{Distinct, Join, Subquery};

use crate::bind::NetworkTable;
use crate::error::{PlanError, refuse};
use crate::lower::Lowering;
use crate::matching::NO_PATIENT_KEY;
use crate::policy::CheckedPlan;

/// Party positions.
pub(crate) type Sites = BTreeSet<usize>;

/// Splits a checked plan; the secure sums are collected in `lowering`, the plan over revealed rows is returned.
pub(crate) fn split(plan: CheckedPlan, lowering: &mut Lowering<'_>) -> Result<LogicalPlan, PlanError> {
    if let Some(told) = lowering.intersection(&plan.0)? {
        return Ok(told);
    }
    let part = Splitter { lowering }.split(plan.0, false)?;
    match part.class {
        Class::Revealed => Ok(part.plan),
        Class::Distributed(_) => Splitter { lowering }.release(part),
        Class::Constant => {
            Err(PlanError::new("UNSUPPORTED", "the question reads no table of the network, so there is nothing to ask"))
        }
    }
}

/// Where the rows of a subplan are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Class {
    /// Written in the query.
    Constant,
    /// Known to the analyst.
    Revealed,
    /// At these sites.
    Distributed(Sites),
}

#[derive(Debug)]
struct Part {
    plan: LogicalPlan,
    class: Class,
}

struct Splitter<'s, 'a> {
    lowering: &'s mut Lowering<'a>,
}

impl Splitter<'_, '_> {
    /// `inside`: is there an aggregate, join or window above, so that these rows are not themselves the answer?
    fn split(&mut self, plan: LogicalPlan, inside: bool) -> Result<Part, PlanError> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return self.split_as_sums(plan, inside) };
        let aggregate = aggregate.clone();
        let before = self.lowering.mark();
        let refusal = match self.split_as_sums(plan, inside) {
            Err(refusal) if MATCHING_HELPS.contains(&refusal.code) => refusal,
            settled => return settled,
        };
        // What sums of the sites' own rows cannot answer may be one sum over matched patients.
        self.lowering.back_to(before);
        match self.lowering.matched_sum(&aggregate, inside) {
            Ok(plan) => Ok(Part { plan, class: Class::Revealed }),
            Err(why) => Err(if why.code == NO_PATIENT_KEY { refusal } else { why }),
        }
    }

    fn split_as_sums(&mut self, plan: LogicalPlan, inside: bool) -> Result<Part, PlanError> {
        match &plan {
            LogicalPlan::TableScan(_) => {
                let class = Class::Distributed(sites_of(&plan));
                return Ok(Part { plan, class });
            }
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
                return Ok(Part { plan, class: Class::Constant });
            }
            LogicalPlan::Subquery(subquery) if !subquery.outer_ref_columns.is_empty() => return Err(correlated()),
            _ => {}
        }
        let below = inside || matches!(plan, LogicalPlan::Aggregate(_) | LogicalPlan::Join(_) | LogicalPlan::Window(_));
        let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
        let inputs = inputs.into_iter().map(|p| self.split(p, below)).collect::<Result<Vec<_>, _>>()?;
        let subqueries = subqueries(&plan).into_iter().map(|p| self.split(p, true)).collect::<Result<Vec<_>, _>>()?;
        self.join_parts(plan, inputs, subqueries, inside)
    }

    /// The class of a node from those of its parts; parts that cannot stay at a site are released first.
    fn join_parts(
        &mut self,
        plan: LogicalPlan,
        inputs: Vec<Part>,
        subqueries: Vec<Part>,
        inside: bool,
    ) -> Result<Part, PlanError> {
        let homes: BTreeSet<Sites> = inputs.iter().chain(&subqueries).filter_map(Part::home).collect();
        let any_revealed = inputs.iter().chain(&subqueries).any(|p| p.class == Class::Revealed);
        let single = homes.iter().next().filter(|sites| sites.len() == 1 && homes.len() == 1);
        if homes.is_empty() {
            let class = if any_revealed { Class::Revealed } else { Class::Constant };
            return Ok(Part { plan: rebuild(plan, inputs, subqueries)?, class });
        }
        if let Some(site) = single.filter(|_| !any_revealed) {
            let class = Class::Distributed(site.clone());
            return Ok(Part { plan: rebuild(plan, inputs, subqueries)?, class });
        }
        if !any_revealed && let Some(class) = pooled(&plan, &inputs, &subqueries)? {
            let plan = rebuild(plan, inputs, subqueries)?;
            return match plan {
                LogicalPlan::Aggregate(aggregate) => {
                    let plan = self.lowering.secure_sum(&aggregate, inside)?;
                    Ok(Part { plan, class: Class::Revealed })
                }
                plan => Ok(Part { plan, class }),
            };
        }
        if inputs.iter().chain(&subqueries).any(|p| p.home().is_some() && !releasable(&p.plan)) {
            return Err(across_sites(&plan));
        }
        let inputs = inputs.into_iter().map(|p| self.step(p, &plan)).collect::<Result<Vec<_>, _>>()?;
        let subqueries = subqueries.into_iter().map(|p| self.step(p, &plan)).collect::<Result<Vec<_>, _>>()?;
        Ok(Part { plan: rebuild(plan, inputs, subqueries)?, class: Class::Revealed })
    }

    /// Releases a part that is only a step of `above`: a row for each patient was meant to be matched, not shown.
    fn step(&mut self, part: Part, above: &LogicalPlan) -> Result<Part, PlanError> {
        self.released(part).map_err(|e| if e.code == "PATIENT_KEY_GROUP" { across_sites(above) } else { e })
    }

    fn released(&mut self, part: Part) -> Result<Part, PlanError> {
        match part.class {
            Class::Distributed(_) => Ok(Part { plan: self.release(part)?, class: Class::Revealed }),
            _ => Ok(part),
        }
    }

    fn release(&mut self, part: Part) -> Result<LogicalPlan, PlanError> {
        if !releasable(&part.plan) {
            let text = "the answer would hold rows of single patients, which are never released";
            return Err(PlanError::new("ROWS_NOT_RELEASED", text)
                .hint("ask for COUNT, SUM, AVG, VAR or STDDEV, with GROUP BY for a table"));
        }
        self.release_topmost(part.plan)
    }

    /// Releases the topmost aggregates of one site's plan; what is above them becomes the analyst's.
    fn release_topmost(&mut self, plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
        if sites_of(&plan).is_empty() {
            return Ok(plan);
        }
        if let LogicalPlan::Aggregate(aggregate) = &plan {
            return self.lowering.secure_sum(aggregate, false);
        }
        let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
        let inputs = inputs.into_iter().map(|p| self.release_topmost(p)).collect::<Result<Vec<_>, _>>()?;
        let inner = subqueries(&plan).into_iter().map(|p| self.release_topmost(p)).collect::<Result<Vec<_>, _>>()?;
        let revealed = |plans: Vec<LogicalPlan>| {
            plans.into_iter().map(|plan| Part { plan, class: Class::Revealed }).collect::<Vec<_>>()
        };
        rebuild(plan, revealed(inputs), revealed(inner))
    }
}

impl Part {
    fn home(&self) -> Option<Sites> {
        match &self.class {
            Class::Distributed(sites) => Some(sites.clone()),
            _ => None,
        }
    }
}

/// The class of a node over relations of several sites, when it commutes with their union; none when its parts would
/// have to be released first.
fn pooled(plan: &LogicalPlan, inputs: &[Part], subqueries: &[Part]) -> Result<Option<Class>, PlanError> {
    if subqueries.iter().any(|p| p.home().is_some()) {
        return Ok(None);
    }
    let homes: Vec<Sites> = inputs.iter().filter_map(Part::home).collect();
    match plan {
        LogicalPlan::Join(join) if homes.len() == 1 => joins_constant(join, inputs).map(Some),
        LogicalPlan::Join(_) => Ok(None),
        LogicalPlan::Union(_) => pooled_union(inputs, &homes),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Aggregate(_) => Ok(Some(Class::Distributed(homes[0].clone()))),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => Ok(Some(Class::Distributed(homes[0].clone()))),
        LogicalPlan::Window(_) => Err(not_yet("a window over the rows of several sites")),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err(not_yet("LIMIT over the rows of several sites")),
        LogicalPlan::Distinct(Distinct::All(_) | Distinct::On(_)) => Err(not_yet("DISTINCT rows of several sites")),
        other => Err(PlanError::new("UNSUPPORTED", format!("{} is not supported", other.display()))),
    }
}

/// A join with rows written in the query commutes unless it would keep those rows once for each site.
fn joins_constant(join: &Join, inputs: &[Part]) -> Result<Class, PlanError> {
    let left_is_home = inputs[0].home().is_some();
    let keeps_constant = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => !left_is_home,
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => left_is_home,
        JoinType::Full => true,
    };
    if keeps_constant {
        return Err(not_yet("an outer join that keeps rows written in the query"));
    }
    Ok(Class::Distributed(inputs.iter().filter_map(Part::home).next().unwrap_or_default()))
}

fn pooled_union(inputs: &[Part], homes: &[Sites]) -> Result<Option<Class>, PlanError> {
    let aggregated = inputs.iter().filter(|p| p.home().is_some() && releasable(&p.plan)).count();
    if aggregated == homes.len() {
        return Ok(None);
    }
    if aggregated > 0 || homes.len() < inputs.len() {
        return Err(not_yet("a union of rows of several sites with aggregated rows or rows written in the query"));
    }
    Ok(Some(Class::Distributed(homes.iter().flatten().copied().collect())))
}

/// Is there an aggregate on every way down to a site's rows?
fn releasable(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::TableScan(_) => false,
        other => other.inputs().into_iter().all(releasable) && subqueries(other).iter().all(releasable),
    }
}

/// The sites whose tables a plan reads.
pub(crate) fn sites_of(plan: &LogicalPlan) -> Sites {
    let mut sites = Sites::new();
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            sites.extend(&network.sites);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sites
}

pub(crate) fn subqueries(plan: &LogicalPlan) -> Vec<LogicalPlan> {
    let mut found = Vec::new();
    // The closure never fails.
    let _ = plan.apply_subqueries(|p| {
        found.push(p.clone());
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Puts the parts in the place of the node's inputs and subqueries, which come in the same order as they were taken.
fn rebuild(plan: LogicalPlan, inputs: Vec<Part>, subqueries: Vec<Part>) -> Result<LogicalPlan, PlanError> {
    let mut inputs = inputs.into_iter();
    let mut subqueries = subqueries.into_iter();
    let missing = || DataFusionError::Internal("a part of the plan was lost while it was split".into());
    plan.map_subqueries(|old| {
        let part = subqueries.next().ok_or_else(missing)?;
        Ok(Transformed::yes(as_subquery(part.plan, old)))
    })
    .and_then(|t| {
        use datafusion_common::tree_node::TreeNode;
        t.data.map_children(|_| Ok(Transformed::yes(inputs.next().ok_or_else(missing)?.plan)))
    })
    .map(|t| t.data)
    .map_err(|e| refuse(&e))
}

/// `map_subqueries` wants its plans wrapped as they were given.
fn as_subquery(plan: LogicalPlan, old: LogicalPlan) -> LogicalPlan {
    match (plan, old) {
        (plan @ LogicalPlan::Subquery(_), _) => plan,
        (plan, LogicalPlan::Subquery(old)) => LogicalPlan::Subquery(Subquery { subquery: plan.into(), ..old }),
        (plan, _) => plan,
    }
}

fn across_sites(plan: &LogicalPlan) -> PlanError {
    match plan {
        LogicalPlan::Join(_) => not_yet("matching patients across sites")
            .hint("join tables of one site (SITE.table JOIN SITE.other), or aggregate each side first"),
        LogicalPlan::Union(_) => not_yet("a union of site rows with revealed rows"),
        _ => not_yet("using a revealed answer, or another site's rows, inside a site's own filter")
            .hint("ask the inner question first, then write its answer into the outer one"),
    }
}

fn correlated() -> PlanError {
    PlanError::new("UNSUPPORTED", "this form of correlated subquery cannot be rewritten as a join")
        .hint("write it as a join, or as IN or EXISTS")
}

pub(crate) fn not_yet(what: &str) -> PlanError {
    PlanError::new("NOT_YET", format!("{what} is not available yet between sites"))
}

/// Refusals that matching patients may get over.
const MATCHING_HELPS: [&str; 3] = ["NOT_YET", "UNMATCHABLE", NO_PATIENT_KEY];
