//! The rows below a sum, from the scans up: which conditions they meet, and what their columns are.

use std::collections::BTreeSet;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, DFSchemaRef, JoinType};
use datafusion_expr::logical_plan::{Aggregate, Join, TableScan, Union, Window};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, LogicalPlan};

use super::flow::{Atom, Atoms, Flow, Rows};
use super::terms::{not_judged, refusal};
use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::split::sites_of;
use crate::wording::line;
use crate::words::words;

impl<'a> Rows<'a> {
    /// Of a plan below a release point.
    pub fn of(plan: &LogicalPlan, catalog: &'a Catalog) -> Rows<'a> {
        match plan {
            LogicalPlan::TableScan(scan) => Rows::scan(scan, catalog),
            LogicalPlan::Projection(p) => {
                let below = Rows::of(&p.input, catalog);
                let columns = p.expr.iter().map(|expr| below.flow(expr)).collect();
                Rows { schema: p.schema.clone(), columns, ..below }
            }
            LogicalPlan::Filter(filter) => {
                let below = Rows::of(&filter.input, catalog);
                let mut rows = below.clone();
                for conjunct in split_conjunction(&filter.predicate) {
                    below.condition(conjunct, (&mut rows.excluded, &mut rows.ranged));
                }
                rows
            }
            LogicalPlan::SubqueryAlias(alias) => {
                Rows { schema: alias.schema.clone(), ..Rows::of(&alias.input, catalog) }
            }
            LogicalPlan::Subquery(subquery) => Rows::of(&subquery.subquery, catalog),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Rows::of(&sort.input, catalog),
            LogicalPlan::Aggregate(aggregate) => Rows::rolled_up(aggregate, catalog),
            LogicalPlan::Join(join) => Rows::joined(join, catalog),
            LogicalPlan::Union(union) => Rows::united(union, catalog),
            LogicalPlan::Window(window) => Rows::windowed(window, catalog),
            other => Rows::unread(other, catalog),
        }
    }

    fn new(schema: &DFSchemaRef, columns: Vec<Flow>, catalog: &'a Catalog) -> Self {
        let (excluded, ranged) = (Atoms::new(), Atoms::new());
        Rows { catalog, schema: schema.clone(), columns, excluded, ranged, is_weighted: false }
    }

    /// With the conditions of these rows.
    fn within(mut self, below: &[Rows<'_>]) -> Self {
        for rows in below {
            self.excluded.extend(rows.excluded.clone());
            self.ranged.extend(rows.ranged.clone());
            self.is_weighted |= rows.is_weighted;
        }
        self
    }

    fn scan(scan: &TableScan, catalog: &'a Catalog) -> Self {
        let network = scan.source.downcast_ref::<NetworkTable>();
        let table = network.map_or_else(|| scan.table_name.to_string(), |n| n.table.name.to_lowercase());
        let column = |name: &String| {
            let name = name.to_lowercase();
            let text = format!("{table}.{name}");
            Flow { made_of: [Atom::Column(table.clone(), name)].into(), text, ..Flow::default() }
        };
        let columns = scan.projected_schema.fields().iter().map(|field| column(field.name()));
        Rows::new(&scan.projected_schema, columns.collect(), catalog)
    }

    /// Numbers of rows and what is next to them: each tells about its arguments and order, and about which rows there are.
    fn windowed(window: &Window, catalog: &'a Catalog) -> Self {
        let below = Rows::of(&window.input, catalog);
        let made = window.window_expr.iter().map(|expr| {
            let told: Atoms = below.told(expr).union(&below.present()).cloned().collect();
            let (text, refused) = (words(expr), Some(not_judged(expr)));
            Flow { made_of: told.clone(), chosen: told, text, refused, ..Flow::default() }
        });
        let columns = below.columns.iter().cloned().chain(made).collect();
        Rows::new(&window.schema, columns, catalog).within(std::slice::from_ref(&below))
    }

    /// Rows that are not followed: each column tells about everything below, what an order cuts off with it, and is no term.
    fn unread(plan: &LogicalPlan, catalog: &'a Catalog) -> Self {
        let below: Vec<Rows<'_>> = plan.inputs().into_iter().map(|input| Rows::of(input, catalog)).collect();
        let told: Atoms = below.iter().flat_map(|rows| rows.columns.iter().flat_map(Flow::told)).collect();
        let column = |column: Column| Flow {
            made_of: told.clone(),
            chosen: told.clone(),
            text: line(plan),
            refused: Some(not_judged(&Expr::Column(column))),
            ..Flow::default()
        };
        let columns = plan.schema().columns().into_iter().map(column).collect();
        let mut rows = Rows::new(plan.schema(), columns, catalog).within(&below);
        rows.excluded.extend(told);
        rows
    }

    /// One row for each tuple of keys.
    fn rolled_up(aggregate: &Aggregate, catalog: &'a Catalog) -> Self {
        let below = Rows::of(&aggregate.input, catalog);
        let keys: Vec<Flow> = aggregate.group_expr.iter().map(|key| below.flow(key)).collect();
        let of_patient =
            |flow: &Flow| !flow.made_of.is_empty() && flow.made_of.iter().all(|atom| is_key(atom, catalog));
        let tallies = aggregate.aggr_expr.iter().map(|expr| below.tally(expr, &aggregate.input));
        let columns = keys.iter().cloned().chain(tallies).collect();
        let mut rows = Rows::new(&aggregate.schema, columns, catalog).within(std::slice::from_ref(&below));
        // Within the rows of one patient nobody is told from another.
        if !keys.iter().any(of_patient) {
            rows.excluded.extend(keys.iter().flat_map(Flow::told));
        }
        // Each patient once, however often a row below is written.
        let is_same = |key: &Flow| of_patient(key) && key.refused.is_none() && key.chosen.is_empty();
        if aggregate.aggr_expr.is_empty() && !keys.is_empty() && keys.iter().all(is_same) {
            rows.is_weighted = false;
        }
        rows
    }

    /// A figure of each patient.
    fn tally(&self, expr: &Expr, input: &LogicalPlan) -> Flow {
        let call = match expr {
            Expr::Alias(alias) => return self.tally(&alias.expr, input),
            Expr::AggregateFunction(call) => call,
            other => return Flow { refused: Some(not_judged(other)), ..Flow::default() },
        };
        let tables: BTreeSet<String> = scanned(input).into_iter().map(|(table, _)| table).collect();
        let name = format!("{} of {}", words(expr), tables.into_iter().collect::<Vec<_>>().join(", "));
        let mut flow = Flow { ranged: self.ranged.clone(), text: name.clone(), ..Flow::default() };
        let counts = call.func.name() == "count";
        let mut is_one = counts;
        for arg in &call.params.args {
            let of = self.flow(arg);
            // COUNT(x) counts rows in which x is there.
            match (counts, arg) {
                (true, Expr::Literal(..)) => {}
                (true, Expr::Column(_)) => {
                    self.condition(&arg.clone().is_not_null(), (&mut flow.chosen, &mut flow.ranged))
                }
                (true, _) => flow.chosen.extend(of.told()),
                (false, _) => {
                    flow.take(&of);
                    is_one = of.refused.is_none();
                }
            }
        }
        flow.made_of.insert(Atom::Tally(name));
        self.filter_of(call, &mut flow);
        let known = is_one && ["count", "sum", "avg", "min", "max"].contains(&call.func.name());
        flow.refused = (!known).then(|| not_judged(expr));
        flow
    }

    fn joined(join: &Join, catalog: &'a Catalog) -> Self {
        use JoinType as J;
        let sides = [Rows::of(&join.left, catalog), Rows::of(&join.right, catalog)];
        let [left, right] = &sides;
        let (mut met, mut ranged) = (Atoms::new(), Atoms::new());
        for (a, b) in &join.on {
            let told = sides.iter().flat_map(|side| [a, b].into_iter().flat_map(|expr| side.told(expr)));
            met.extend(told.filter(|atom| !is_key(atom, catalog)));
        }
        let keeps_who_meets = matches!(join.join_type, J::Inner | J::LeftSemi | J::RightSemi);
        for conjunct in join.filter.iter().flat_map(split_conjunction) {
            let own = sides.iter().find(|side| conjunct.column_refs().iter().all(|c| side.column(c).is_some()));
            match own.filter(|_| keeps_who_meets) {
                Some(side) => side.condition(conjunct, (&mut met, &mut ranged)),
                None => met.extend(sides.iter().flat_map(|side| side.told(conjunct))),
            }
        }
        let [in_left, in_right] = [left, right].map(|side| side.present().union(&met).cloned().collect::<Atoms>());
        let (l, r) = (left.columns.clone(), right.columns.clone());
        let columns = match join.join_type {
            J::Inner => [l, r].concat(),
            J::Left => [l, optional(r, &in_right)].concat(),
            J::Right => [optional(l, &in_left), r].concat(),
            J::Full => [optional(l, &in_left), optional(r, &in_right)].concat(),
            J::LeftSemi | J::LeftAnti => l,
            J::RightSemi | J::RightAnti => r,
            J::LeftMark => [l, vec![mark(&in_right)]].concat(),
            J::RightMark => [r, vec![mark(&in_left)]].concat(),
        };
        let mut rows = Rows::new(&join.schema, columns, catalog).within(&sides);
        rows.excluded.extend(met);
        rows.ranged.extend(ranged);
        // Whoever has no such row is told from whoever has one.
        match join.join_type {
            J::LeftAnti => rows.excluded.extend(in_right),
            J::RightAnti => rows.excluded.extend(in_left),
            _ => {}
        }
        let repeats = matches!(join.join_type, J::Inner | J::Left | J::Right | J::Full);
        rows.is_weighted |= repeats && (sites_of(&join.left).is_empty() || sites_of(&join.right).is_empty());
        rows
    }

    /// Which branch a row is of is a condition, and its branch's ranges are not met by others.
    fn united(union: &Union, catalog: &'a Catalog) -> Self {
        let branches: Vec<Rows<'_>> = union.inputs.iter().map(|input| Rows::of(input, catalog)).collect();
        let column = |(at, column): (usize, Column)| {
            let flows: Vec<&Flow> = branches.iter().filter_map(|rows| rows.columns.get(at)).collect();
            let mut joined = flows.first().map(|flow| (*flow).clone()).unwrap_or_default();
            flows.iter().for_each(|flow| joined.take(flow));
            joined.refused = flows.iter().find_map(|flow| flow.refused.clone());
            if flows.iter().any(|flow| flow.text != joined.text) {
                joined.chosen.extend(joined.told());
                joined.refused = Some(of_branches(&column));
            }
            joined
        };
        let columns = union.schema.columns().into_iter().enumerate().map(column).collect();
        let mut rows = Rows::new(&union.schema, columns, catalog).within(&branches);
        let ranged = std::mem::take(&mut rows.ranged);
        rows.excluded.extend(ranged);
        // A row of a place that two branches read counts twice.
        let mut seen = BTreeSet::new();
        let mut places = union.inputs.iter().flat_map(|input| scanned(input));
        rows.is_weighted |= places.any(|place| !seen.insert(place));
        rows
    }
}

/// Of a side whose rows may be missing, which its columns then tell.
fn optional(mut columns: Vec<Flow>, there: &Atoms) -> Vec<Flow> {
    columns.iter_mut().for_each(|flow| flow.ranged.extend(there.clone()));
    columns
}

/// Whether the other side has a row.
fn mark(there: &Atoms) -> Flow {
    Flow { chosen: there.clone(), refused: Some(refusal("whether there is a row")), ..Flow::default() }
}

fn is_key(atom: &Atom, catalog: &Catalog) -> bool {
    matches!(atom, Atom::Column(_, column) if catalog.is_patient_key(column))
}

/// Each table and site that a plan reads.
fn scanned(plan: &LogicalPlan) -> BTreeSet<(String, usize)> {
    let mut found = BTreeSet::new();
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            found.extend(network.sites.iter().map(|site| (network.table.name.to_lowercase(), *site)));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn of_branches(column: &Column) -> PlanError {
    refusal(&format!("{}, which the branches of a UNION make of different columns", column.name))
        .hint("write the same columns in every branch, or ask for each by itself")
}
