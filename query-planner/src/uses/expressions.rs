//! Flows of expressions, figures and conditions.

use std::collections::BTreeSet;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::{AggregateFunction, BinaryExpr, Case, WindowFunction};
use datafusion_expr::{Expr, Operator};

use crate::error::PlanError;
use crate::orders::is_order;
use crate::site_policy::Purpose;
use crate::slots::is_sum;
use crate::uses::flow::{Flow, Scope};
use crate::uses::{Walk, untraced};
use crate::{approx_distinct, words};

impl Walk<'_> {
    /// Where the values of an expression come from. Kinds that are not known here are refused, so that none passes in
    /// silence.
    pub(super) fn expr(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        match expr {
            Expr::Column(column) => {
                let found = scope.iter().find_map(|(schema, flows)| flows.get(schema.maybe_index_of_column(column)?));
                found.cloned().ok_or_else(|| untraced(&column.to_string()))
            }
            Expr::Literal(..) => Ok(Flow::default()),
            Expr::Alias(alias) => self.expr(&alias.expr, scope),
            // Another type of the same values.
            Expr::Cast(cast) => self.expr(&cast.expr, scope),
            Expr::TryCast(cast) => self.expr(&cast.expr, scope),
            Expr::Case(case) => self.case(case, scope),
            Expr::ScalarFunction(call) if call.name() == "coalesce" => {
                let args = call.args.iter().map(|arg| self.expr(arg, scope)).collect::<Result<Vec<_>, _>>()?;
                Ok(args.into_iter().reduce(Flow::or).unwrap_or_default())
            }
            // Behind a join, whether there is a key says whether there was a partner, which the link says.
            Expr::IsNotNull(inner) | Expr::IsNull(inner) => {
                let flow = self.expr(inner, scope)?;
                if !flow.is_key {
                    return Ok(flow);
                }
                self.uses.record_all(&flow, Purpose::Link);
                Ok(Flow { made_of: BTreeSet::new(), is_key: false, ..flow })
            }
            Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::ScalarFunction(_) => self.computed(expr, scope),
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                Ok(self.plan(&subquery.subquery)?.into_iter().reduce(Flow::and).unwrap_or_default())
            }
            Expr::Exists(exists) if exists.subquery.outer_ref_columns.is_empty() => {
                self.plan(&exists.subquery.subquery).map(|_| Flow::default())
            }
            Expr::InSubquery(within) if within.subquery.outer_ref_columns.is_empty() => {
                let (value, list) = (self.expr(&within.expr, scope)?, self.plan(&within.subquery.subquery)?);
                let list = list.into_iter().reduce(Flow::and).unwrap_or_default();
                Ok(self.met(value, list))
            }
            other => Err(untraced(&words::words(other))),
        }
    }

    /// Computed from all parts.
    fn computed(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        let mut flow = Ok(Flow::default());
        // The closure never fails: a refusal is carried out in `flow`.
        let _ = expr.apply_children(|child| {
            let child = self.expr(child, scope);
            flow = std::mem::replace(&mut flow, Ok(Flow::default())).and_then(|all| Ok(all.and(child?)));
            Ok(TreeNodeRecursion::Continue)
        });
        flow
    }

    fn case(&mut self, case: &Case, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        let base = case.expr.as_ref().map(|base| self.expr(base, scope)).transpose()?;
        let (mut results, mut by) = (Vec::new(), base.unwrap_or_default());
        for (when, then) in &case.when_then_expr {
            by = by.and(self.expr(when, scope)?);
            results.push(self.expr(then, scope)?);
        }
        if let Some(otherwise) = &case.else_expr {
            results.push(self.expr(otherwise, scope)?);
        }
        Ok(results.into_iter().reduce(Flow::or).unwrap_or_default().chosen(&by))
    }

    /// An aggregate of rows. `of_one_patient`: within groups that are single patients, a smallest value is a step like
    /// another, and what it is used for depends on what follows.
    pub(super) fn figure(&mut self, expr: &Expr, scope: &Scope<'_>, of_one_patient: bool) -> Result<Flow, PlanError> {
        let AggregateFunction { func, params } = match expr {
            Expr::Alias(alias) => return self.figure(&alias.expr, scope, of_one_patient),
            Expr::AggregateFunction(call) => call,
            other => return Err(untraced(&words::words(other))),
        };
        if let Some(filter) = &params.filter {
            let condition = self.expr(filter, scope)?;
            self.uses.record_all(&condition, Purpose::Filter);
        }
        let args = params.args.iter().chain(params.order_by.iter().map(|key| &key.expr));
        let args = args.map(|arg| self.expr(arg, scope)).collect::<Result<Vec<_>, _>>()?;
        let name = func.name();
        let distinct = (name == "count" && params.distinct) || name == approx_distinct::NAME;
        if distinct
            && let [key] = &args[..]
            && key.is_key
        {
            self.uses.record_all(key, Purpose::Link);
            return Ok(Flow::default());
        }
        let values = args.into_iter().reduce(Flow::and).unwrap_or_default();
        self.valued(name, &values, of_one_patient);
        Ok(Flow { is_key: false, ..values })
    }

    /// The use that an aggregate makes of its values.
    fn valued(&mut self, name: &str, values: &Flow, of_one_patient: bool) {
        if is_sum(name) || name == approx_distinct::NAME {
            self.uses.record_flow(values, Purpose::Sum);
        } else if is_order(name) {
            if !of_one_patient {
                self.uses.record_flow(values, Purpose::Extreme);
            }
        } else {
            self.uses.record_unknown(values);
        }
    }

    pub(super) fn window_figure(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        let WindowFunction { fun, params } = match expr {
            Expr::Alias(alias) => return self.window_figure(&alias.expr, scope),
            Expr::WindowFunction(call) => &**call,
            other => return Err(untraced(&words::words(other))),
        };
        let mut of_one_patient = false;
        for key in &params.partition_by {
            let flow = self.expr(key, scope)?;
            self.grouped(&flow);
            of_one_patient |= flow.is_key;
        }
        let mut order = Flow::default();
        for key in params.order_by.iter().map(|key| &key.expr).chain(params.filter.as_deref()) {
            let flow = self.expr(key, scope)?;
            self.uses.record_all(&flow, Purpose::Filter);
            order = order.and(flow);
        }
        let args = params.args.iter().map(|arg| self.expr(arg, scope)).collect::<Result<Vec<_>, _>>()?;
        let values = args.into_iter().reduce(Flow::and).unwrap_or_default();
        let name = fun.name();
        if POSITIONS.contains(&name) {
            if !of_one_patient {
                self.uses.record_flow(&values, Purpose::Extreme);
            }
        } else if !NUMBERING.contains(&name) {
            self.valued(name, &values, of_one_patient);
        }
        Ok(Flow { is_key: false, ..values }.chosen(&order))
    }

    /// A condition of a join.
    pub(super) fn join_condition(&mut self, condition: &Expr, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq | Operator::IsNotDistinctFrom, right }) = condition
        {
            return self.meeting(left, right, scope);
        }
        let flow = self.expr(condition, scope)?;
        self.uses.record_all(&flow, Purpose::Filter);
        Ok(flow)
    }

    /// Rows meet where two expressions are equal. What is left to be told by whether they do: nothing of patient keys
    /// beyond their link.
    pub(super) fn meeting(&mut self, a: &Expr, b: &Expr, scope: &Scope<'_>) -> Result<Flow, PlanError> {
        let (a, b) = (self.expr(a, scope)?, self.expr(b, scope)?);
        Ok(self.met(a, b))
    }

    fn met(&mut self, a: Flow, b: Flow) -> Flow {
        let linked = a.is_key && b.is_key;
        let both = a.and(b);
        self.uses.record_all(&both, if linked { Purpose::Link } else { Purpose::Filter });
        if linked { Flow::default() } else { both }
    }
}

/// Windows that show a value at a position of the order.
const POSITIONS: [&str; 3] = ["first_value", "last_value", "nth_value"];

/// Windows that number rows, or look at the row before or after.
const NUMBERING: [&str; 8] = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];
