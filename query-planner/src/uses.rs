//! What a question uses each column for, read off the final plan: every way by which a column could influence the answer
//! becomes a use. What cannot be read is refused, and a column that is read for no known reason has every purpose that
//! could show it.
//!
//! One pass over what lies below each release point, from the scans up. Every column of every node has a flow: the
//! catalogue columns its values are made of and those that chose among them. Where a flow ends in something, that is a
//! use. Above a release point there are only figures that were released.

mod expressions;
mod flow;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::{Aggregate, Join, TableScan, Window};
use serde::{Deserialize, Serialize};

use crate::bind::NetworkTable;
use crate::catalog::{Catalog, SiteName};
use crate::error::PlanError;
use crate::matching::Laid;
use crate::plan::{Groups, JointPlan, Key, Output};
use crate::site_policy::{Class, Purpose};
use crate::split::Sites;
use flow::{Flow, Source};

/// A purpose that a column of some sites serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// In lower case.
    pub table: String,
    /// In lower case.
    pub column: String,
    /// What for.
    pub purpose: Purpose,
    /// The sites whose rows are meant, in party order.
    pub sites: Vec<SiteName>,
}

/// The uses below one release point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses {
    found: BTreeMap<(String, String, Purpose), Sites>,
    /// Columns that are read.
    read: BTreeMap<(String, String), Sites>,
    /// For each group key, the columns that it tells something about.
    pub keys: Vec<BTreeSet<(String, String)>>,
}

/// A release point with what became of its keys.
pub(crate) struct Released<'a> {
    pub aggregate: &'a Aggregate,
    pub keys: &'a [Key],
    pub groups: &'a Groups,
    /// What sites run to say what they know of each patient; column 0 is the patient key.
    pub relations: &'a [Laid],
}

impl Uses {
    /// The uses of what a release point and its matching read.
    ///
    /// # Errors
    /// `UNSUPPORTED` for nodes and expressions that cannot be traced to columns.
    pub fn of(released: &Released<'_>, catalog: &Catalog) -> Result<Uses, PlanError> {
        let mut walk = Walk { uses: Uses::default(), catalog };
        let flows = walk.aggregate(released.aggregate)?;
        walk.uses.keys = flows.iter().take(released.keys.len()).map(Flow::columns).collect();
        if matches!(released.groups, Groups::Agreed { .. }) {
            let open = flows.iter().zip(released.keys).filter(|(_, key)| key.domain.is_none());
            open.for_each(|(flow, _)| walk.uses.record_all(flow, Purpose::Reveal));
        }
        for laid in released.relations {
            // Its other columns are figures and conditions of the aggregate, whose uses are known.
            let flows = walk.plan(&laid.plan)?;
            flows.first().into_iter().for_each(|key| walk.uses.record_all(key, Purpose::Link));
            walk.identifiers(&laid.sites);
        }
        walk.uses.unexplained();
        Ok(walk.uses)
    }

    /// The uses of an intersection: the key brings patients together, and the `sender`'s becomes known.
    ///
    /// # Errors
    /// As [`Uses::of`].
    pub fn of_intersection(relations: &[Laid], sender: &Sites, catalog: &Catalog) -> Result<Uses, PlanError> {
        let mut walk = Walk { uses: Uses::default(), catalog };
        for laid in relations {
            for key in walk.plan(&laid.plan)? {
                walk.uses.record_all(&key, Purpose::Link);
                if laid.sites == *sender {
                    walk.uses.record_all(&key, Purpose::Reveal);
                }
            }
            walk.identifiers(&laid.sites);
        }
        walk.uses.unexplained();
        Ok(walk.uses)
    }

    /// All of them as they stand in a plan.
    pub fn listed(all: &[Uses], catalog: &Catalog) -> Vec<Use> {
        let mut joint: BTreeMap<&(String, String, Purpose), BTreeSet<usize>> = BTreeMap::new();
        for (place, sites) in all.iter().flat_map(|uses| &uses.found) {
            joint.entry(place).or_default().extend(sites);
        }
        let named = |sites: BTreeSet<usize>| sites.into_iter().map(|site| catalog.sites[site].clone()).collect();
        let list = joint.into_iter().map(|((table, column, purpose), sites)| Use {
            table: table.clone(),
            column: column.clone(),
            purpose: *purpose,
            sites: named(sites),
        });
        list.collect()
    }

    /// The columns that are used for more than this.
    pub fn columns_beyond(&self, purpose: Purpose) -> impl Iterator<Item = (String, String)> {
        let beyond = self.found.keys().filter(move |(.., used)| *used != purpose);
        beyond.map(|(table, column, _)| (table.clone(), column.clone()))
    }

    fn record(&mut self, source: &Source, purpose: Purpose) {
        let place = (source.table.clone(), source.column.clone(), purpose);
        self.found.entry(place).or_default().extend(&source.sites);
    }

    /// The purpose is that of the values; what chose among them filters.
    fn record_flow(&mut self, flow: &Flow, purpose: Purpose) {
        flow.made_of.iter().for_each(|source| self.record(source, purpose));
        flow.chosen_by.iter().for_each(|source| self.record(source, Purpose::Filter));
    }

    /// The purpose is that of whatever the values tell something about.
    fn record_all(&mut self, flow: &Flow, purpose: Purpose) {
        self.record_flow(flow, purpose);
        flow.chosen_by.iter().for_each(|source| self.record(source, purpose));
    }

    /// Whatever could show the values.
    fn record_unknown(&mut self, flow: &Flow) {
        UNKNOWN.into_iter().for_each(|purpose| self.record_all(flow, purpose));
    }

    /// A column that is read at a site has a use there.
    fn unexplained(&mut self) {
        for ((table, column), sites) in self.read.clone() {
            let explains = |purpose| self.found.get(&(table.clone(), column.clone(), purpose));
            let known: Sites = Purpose::ALL.into_iter().filter_map(explains).flatten().copied().collect();
            let sites: Sites = sites.difference(&known).copied().collect();
            if !sites.is_empty() {
                let source = Source { table, column, sites };
                UNKNOWN.into_iter().for_each(|purpose| self.record(&source, purpose));
            }
        }
    }
}

/// What a use may be that nobody understood.
const UNKNOWN: [Purpose; 3] = [Purpose::Filter, Purpose::Sum, Purpose::Reveal];

/// What kinds of questions a plan is.
pub(crate) fn classes(plan: &JointPlan) -> Vec<Class> {
    let mut classes: BTreeSet<Class> = plan.intersection.iter().map(|_| Class::Intersection).collect();
    for sum in &plan.sums {
        let has = |is: fn(&Output) -> bool| sum.outputs.iter().any(is);
        let of = [
            (Class::Count, has(|output| matches!(output, Output::Count(_)))),
            (Class::Sum, has(|o| matches!(o, Output::Sum { .. } | Output::Avg { .. } | Output::Variance { .. }))),
            (Class::Table, !sum.keys.is_empty()),
            (Class::Matching, sum.matching.is_some()),
            (Class::Extreme, !sum.orders.is_empty()),
            (Class::Approximate, !sum.sketches.is_empty()),
        ];
        classes.extend(of.into_iter().filter(|(_, is)| *is).map(|(class, _)| class));
    }
    classes.into_iter().collect()
}

/// One pass from the scans up.
struct Walk<'a> {
    uses: Uses,
    catalog: &'a Catalog,
}

impl Walk<'_> {
    /// The flows of a plan's columns; its uses are recorded on the way.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Vec<Flow>, PlanError> {
        let flows = match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan)?,
            LogicalPlan::Projection(p) => {
                let below = self.plan(&p.input)?;
                let scope = [(p.input.schema().as_ref(), &below[..])];
                p.expr.iter().map(|expr| self.expr(expr, &scope)).collect::<Result<_, _>>()?
            }
            LogicalPlan::Filter(filter) => {
                let below = self.plan(&filter.input)?;
                let predicate = self.expr(&filter.predicate, &[(filter.input.schema().as_ref(), &below[..])])?;
                self.uses.record_all(&predicate, Purpose::Filter);
                below
            }
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input)?,
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery)?,
            // An order matters where rows are cut off it, which shows the values at its ends.
            LogicalPlan::Sort(sort) => {
                let below = self.plan(&sort.input)?;
                for key in &sort.expr {
                    let flow = self.expr(&key.expr, &[(sort.input.schema().as_ref(), &below[..])])?;
                    self.uses.record_all(&flow, Purpose::Extreme);
                }
                below
            }
            LogicalPlan::Limit(limit) => self.plan(&limit.input)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Window(window) => self.window(window)?,
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.plan(input)).collect::<Result<Vec<_>, _>>()?;
                let branches = inputs.into_iter().reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a.or(b)).collect());
                branches.unwrap_or_default()
            }
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
                plan.schema().fields().iter().map(|_| Flow::default()).collect()
            }
            other => return Err(untraced(&other.display().to_string())),
        };
        if flows.len() != plan.schema().fields().len() {
            return Err(untraced(&plan.display().to_string()));
        }
        Ok(flows)
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Vec<Flow>, PlanError> {
        let network = scan.source.downcast_ref::<NetworkTable>().ok_or_else(|| untraced("a scan of revealed rows"))?;
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(untraced("a scan with conditions"));
        }
        let sites: Sites = network.sites.iter().copied().collect();
        let table = network.table.name.to_lowercase();
        let mut flows = Vec::new();
        for field in scan.projected_schema.fields() {
            let column = field.name().to_lowercase();
            self.uses.read.entry((table.clone(), column.clone())).or_default().extend(&sites);
            let is_key = self.catalog.is_patient_key(&column);
            flows.push(Flow::of(Source { table: table.clone(), column, sites: sites.clone() }, is_key));
        }
        Ok(flows)
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Vec<Flow>, PlanError> {
        let below = self.plan(&aggregate.input)?;
        let scope = [(aggregate.input.schema().as_ref(), &below[..])];
        let mut flows = Vec::new();
        for key in &aggregate.group_expr {
            let flow = self.expr(key, &scope)?;
            self.grouped(&flow);
            flows.push(flow);
        }
        let of_one_patient = flows.iter().any(|flow| flow.is_key);
        for expr in &aggregate.aggr_expr {
            flows.push(self.figure(expr, &scope, of_one_patient)?);
        }
        Ok(flows)
    }

    fn window(&mut self, window: &Window) -> Result<Vec<Flow>, PlanError> {
        let below = self.plan(&window.input)?;
        let scope = [(window.input.schema().as_ref(), &below[..])];
        let added = window.window_expr.iter().map(|expr| self.window_figure(expr, &scope));
        let added = added.collect::<Result<Vec<_>, _>>()?;
        Ok(below.into_iter().chain(added).collect())
    }

    /// Rows are divided by these values.
    fn grouped(&mut self, flow: &Flow) {
        self.uses.record_all(flow, if flow.is_key { Purpose::Link } else { Purpose::Group });
    }

    fn join(&mut self, join: &Join) -> Result<Vec<Flow>, PlanError> {
        let (left, right) = (self.plan(&join.left)?, self.plan(&join.right)?);
        let scope = [(join.left.schema().as_ref(), &left[..]), (join.right.schema().as_ref(), &right[..])];
        let mut mark = Flow::default();
        for (a, b) in &join.on {
            mark = mark.chosen(&self.meeting(a, b, &scope)?);
        }
        for conjunct in join.filter.iter().flat_map(datafusion_expr::utils::split_conjunction) {
            mark = mark.chosen(&self.join_condition(conjunct, &scope)?);
        }
        use datafusion_common::JoinType as J;
        Ok(match join.join_type {
            J::Inner | J::Left | J::Right | J::Full => [left, right].concat(),
            J::LeftSemi | J::LeftAnti => left,
            J::RightSemi | J::RightAnti => right,
            J::LeftMark => [left, vec![mark]].concat(),
            J::RightMark => [right, vec![mark]].concat(),
        })
    }

    /// Where sites agreed on identifiers, patients are linked by these.
    fn identifiers(&mut self, sites: &Sites) {
        let Some(linkage) = &self.catalog.linkage else { return };
        for column in &linkage.columns {
            let (table, column) = (linkage.table.to_lowercase(), column.to_lowercase());
            self.uses.record(&Source { table, column, sites: sites.clone() }, Purpose::Link);
        }
    }
}

fn untraced(what: &str) -> PlanError {
    PlanError::new("UNSUPPORTED", format!("what {what} uses cannot be traced to columns"))
}
