//! Recognising a question for patients that two sites have in common: one patient key, selected over an inner or semi join on
//! the key of what two sites make each of its own rows.

use datafusion_common::JoinType;
use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::{Distinct, Join};

use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::intersection::Intersection;
use crate::matching::home::{column, home, is_key, is_unique, kept};
use crate::matching::layout::{Laid, Roots, lay_out};
use crate::matching::nodes::{Nodes, Source};
use crate::matching::not_yet;
use crate::policy::check_local;
use crate::split::Sites;

/// An intersection with the work of its relations.
pub(crate) struct Common {
    pub intersection: Intersection,
    /// The receiver's, then the sender's.
    pub relations: Vec<Laid>,
    /// Alone.
    pub sender: Sites,
}

/// Reads a whole question. None where it asks for something else.
///
/// # Errors
/// `ROWS_NOT_RELEASED` where a patient could be listed twice; `NOT_YET` where patients are found in several passes or by several
/// keys; what a site may not do alone.
pub(crate) fn common(plan: &LogicalPlan, catalog: &Catalog) -> Result<Option<Common>, PlanError> {
    let Some(found) = Found::of(plan, catalog) else { return Ok(None) };
    if found.may_repeat(catalog) {
        let text = "a patient with several rows would be listed several times";
        return Err(PlanError::new("ROWS_NOT_RELEASED", text).hint("write SELECT DISTINCT"));
    }
    if catalog.passes() != 1 || catalog.further_keys().is_some() {
        return Err(not_yet("an intersection of patients that are linked by several passes or keys"));
    }
    let mut nodes = Nodes::new(catalog);
    let mut slots = Vec::new();
    for side in [&found.receiver, &found.sender] {
        let rows = check_local(&side.plan, catalog)?.rows;
        let source = Source { plan: side.plan.clone(), sites: side.sites.clone(), key: side.key, rows };
        let any = nodes.any(&source, None, Vec::new());
        slots.push(nodes.place(any)?);
    }
    let roots = Roots { slots, patient_keys: Vec::new(), row_keys: Vec::new(), key_source: None };
    let laid = lay_out(&nodes, roots)?;
    let Ok(relations) = <[_; 2]>::try_from(laid.matching.relations) else { return Ok(None) };
    let names = [&found.receiver, &found.sender].map(|side| side.sites.iter().map(|at| catalog.sites[*at].clone()));
    let [Some(receiver), Some(sender)] = names.map(|mut sites| sites.next()) else { return Ok(None) };
    let intersection = Intersection::new([receiver, sender], relations, catalog);
    Ok(Some(Common { intersection, relations: laid.relations, sender: found.sender.sites }))
}

/// One site's rows, and where the patient key is among their columns.
struct Side {
    plan: LogicalPlan,
    sites: Sites,
    key: usize,
}

struct Found {
    receiver: Side,
    sender: Side,
    /// Does the sender's side only say which rows of the receiver's stay?
    is_semi: bool,
    is_distinct: bool,
}

impl Found {
    fn of(plan: &LogicalPlan, catalog: &Catalog) -> Option<Found> {
        if plan.schema().fields().len() != 1 {
            return None;
        }
        let (join, at, is_distinct) = selected(plan)?;
        let [(left, right)] = &join.on[..] else { return None };
        let side = |plan: &LogicalPlan, key| {
            let key = column(kept(key, plan.schema())).and_then(|c| plan.schema().maybe_index_of_column(c))?;
            let sites = home(plan).filter(|sites| sites.len() == 1)?;
            is_key(plan, key, catalog).then(|| Side { plan: plan.clone(), sites, key })
        };
        let (left, right) = (side(&join.left, left)?, side(&join.right, right)?);
        if join.filter.is_some() || left.sites == right.sites {
            return None;
        }
        let width = left.plan.schema().fields().len();
        let (receiver, sender, at, is_semi) = match join.join_type {
            JoinType::Inner if at < width => (left, right, at, false),
            JoinType::Inner => (right, left, at - width, false),
            JoinType::LeftSemi => (left, right, at, true),
            JoinType::RightSemi => (right, left, at, true),
            _ => return None,
        };
        (receiver.key == at).then_some(Found { receiver, sender, is_semi, is_distinct })
    }

    fn may_repeat(&self, catalog: &Catalog) -> bool {
        let (receiver, sender) = (is_unique(&self.receiver.plan, catalog), is_unique(&self.sender.plan, catalog));
        !(self.is_distinct || receiver && (self.is_semi || sender))
    }
}

/// The join below, which of its columns is selected, and whether each value is listed once.
fn selected(plan: &LogicalPlan) -> Option<(&Join, usize, bool)> {
    let (mut plan, mut at, mut is_distinct) = (plan, 0, false);
    loop {
        let (input, expr) = match plan {
            LogicalPlan::Join(join) => return Some((join, at, is_distinct)),
            LogicalPlan::Projection(p) => (&p.input, p.expr.get(at)?),
            LogicalPlan::Aggregate(a) if a.aggr_expr.is_empty() && a.group_expr.len() == 1 => {
                is_distinct = true;
                (&a.input, a.group_expr.first()?)
            }
            LogicalPlan::Distinct(Distinct::All(input)) if input.schema().fields().len() == 1 => {
                is_distinct = true;
                plan = input;
                continue;
            }
            LogicalPlan::SubqueryAlias(alias) => {
                plan = &alias.input;
                continue;
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                plan = &sort.input;
                continue;
            }
            _ => return None,
        };
        at = input.schema().maybe_index_of_column(column(expr)?)?;
        plan = input;
    }
}
