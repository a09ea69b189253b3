//! From collected nodes to the plan's form: only what a figure needs, relations with their columns, and what sites run.

use arrow::datatypes::DataType;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};

use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};
use crate::matched::{Feature, Matching, Node, PatientKey, Relation, Step, What};
use crate::matching::nodes::{Nodes, Source, Want, bits_of};
use crate::matching::unmatchable;
use crate::split::Sites;
use crate::value::carrier;
use crate::wording::indented;
use crate::words::words;

/// A relation with what its sites run, before their own tables are put in.
#[derive(Debug)]
pub(crate) struct Laid {
    pub plan: LogicalPlan,
    pub sites: Sites,
}

/// The plan's form, where the slots' nodes are in it, and the work of its relations.
#[derive(Debug)]
pub(crate) struct LaidOut {
    pub matching: Matching,
    pub slots: Vec<usize>,
    pub relations: Vec<Laid>,
}

/// What a figure of the sum needs.
pub(crate) struct Roots {
    /// Nodes of slots.
    pub slots: Vec<usize>,
    /// For each key computed from shares: its position and the bits of its values.
    pub patient_keys: Vec<(usize, Vec<usize>)>,
    /// Positions of the keys that are columns.
    pub row_keys: Vec<usize>,
    /// The rows that say which keys there are.
    pub key_source: Option<Source>,
}

/// Lays out what the roots need.
pub(crate) fn lay_out(nodes: &Nodes<'_>, roots: Roots) -> Result<LaidOut, PlanError> {
    let wanted = roots.slots.iter().chain(roots.patient_keys.iter().flat_map(|(_, bits)| bits));
    let (steps, places) = live(nodes, wanted.copied().collect());
    let mut tables: Vec<Table> = Vec::new();
    if let Some(source) = &roots.key_source {
        tables.push(Table::of(source, nodes.catalog)?);
    }
    let (mut features, mut known) = (Vec::new(), vec![None; nodes.specs.len()]);
    let mut moved = Vec::with_capacity(steps.len());
    for (node, bits) in steps {
        let node = with_feature(node, |spec| {
            if known[spec].is_none() {
                features.push(feature(nodes, spec, &mut tables)?);
                known[spec] = Some(features.len() - 1);
            }
            Ok(known[spec].unwrap_or_default())
        })?;
        moved.push(Step { node, bits });
    }
    let place = |at: &usize| places[*at].unwrap_or_default();
    let keys = roots.patient_keys.iter();
    let matching = Matching {
        sites: sites(&tables, nodes.catalog),
        max_patients: nodes.catalog.max_patients,
        passes: nodes.catalog.passes(),
        further_keys: nodes.catalog.further_keys(),
        features,
        nodes: moved,
        row_keys: roots.row_keys,
        patient_keys: keys
            .map(|(key, bits)| PatientKey { key: *key, values: bits.iter().map(place).collect() })
            .collect(),
        key_relation: roots.key_source.is_some().then_some(0),
        relations: Vec::new(),
    };
    let slots = roots.slots.iter().map(place).collect();
    let tables = tables.into_iter().map(|table| table.finish(nodes.catalog)).collect::<Result<Vec<_>, _>>()?;
    let (relations, laid) = tables.into_iter().unzip();
    Ok(LaidOut { matching: Matching { relations, ..matching }, slots, relations: laid })
}

/// The nodes that are needed, renumbered, and for each old position its new one.
fn live(nodes: &Nodes<'_>, mut open: Vec<usize>) -> (Vec<(Node, u32)>, Vec<Option<usize>>) {
    let mut needed = vec![false; nodes.steps.len()];
    while let Some(at) = open.pop() {
        if !needed[at] {
            needed[at] = true;
            open.extend(nodes.steps[at].0.operands());
        }
    }
    let mut places = vec![None; nodes.steps.len()];
    let mut steps = Vec::new();
    for at in (0..nodes.steps.len()).filter(|at| needed[*at]) {
        let (node, range) = &nodes.steps[at];
        places[at] = Some(steps.len());
        let bits = if node.is_bit() { 1 } else { bits_of(*range) };
        steps.push((node.with_operands(|old| places[old].unwrap_or_default()), bits));
    }
    (steps, places)
}

fn with_feature(node: Node, mut place: impl FnMut(usize) -> Result<usize, PlanError>) -> Result<Node, PlanError> {
    Ok(match node {
        Node::Feature(spec) => Node::Feature(place(spec)?),
        Node::Gaps { feature, at_least, at_most } => Node::Gaps { feature: place(feature)?, at_least, at_most },
        Node::Nth { feature, n } => Node::Nth { feature: place(feature)?, n },
        Node::Length(feature) => Node::Length(place(feature)?),
        other => other,
    })
}

fn feature(nodes: &Nodes<'_>, spec: usize, tables: &mut Vec<Table>) -> Result<Feature, PlanError> {
    let spec = &nodes.specs[spec];
    let at = match tables.iter().position(|table| table.source == spec.source) {
        Some(at) => at,
        None => {
            tables.push(Table::of(&spec.source, nodes.catalog)?);
            tables.len() - 1
        }
    };
    let table = &mut tables[at];
    let keys = spec.keys.iter().map(|key| table.column("key", key)).collect::<Result<_, _>>()?;
    let filter = spec.filter.as_ref().map(|f| table.column("filter", f)).transpose()?;
    let what = match &spec.want {
        Want::Any => What::Any,
        Want::Count => What::Count(None),
        Want::Sum(expr, scale) => What::Sum(table.column("arg", expr)?, *scale),
        Want::Least(expr, encoding) => What::Least(table.column("arg", expr)?, *encoding),
        Want::Greatest(expr, encoding) => What::Greatest(table.column("arg", expr)?, *encoding),
        Want::Events { column, encoding, bound } => {
            What::Events { column: table.column("arg", column)?, encoding: *encoding, bound: *bound }
        }
    };
    Ok(Feature { relation: at, filter, keys, what, bits: spec.bits })
}

fn sites(tables: &[Table], catalog: &Catalog) -> Vec<crate::catalog::SiteName> {
    let all = tables.iter().fold(Sites::new(), |all, table| &all | &table.source.sites);
    all.into_iter().map(|site| catalog.sites[site].clone()).collect()
}

/// A relation whose columns are being collected.
struct Table {
    source: Source,
    columns: Vec<(String, Expr)>,
    texts: Vec<String>,
}

impl Table {
    fn of(source: &Source, catalog: &Catalog) -> Result<Table, PlanError> {
        let key = Expr::from(source.plan.schema().qualified_field(source.key));
        let mut table = Table { source: source.clone(), columns: Vec::new(), texts: Vec::new() };
        table.column("patient", &key)?;
        table.texts = vec![catalog.patient_key.clone()];
        Ok(table)
    }

    fn column(&mut self, kind: &str, expr: &Expr) -> Result<usize, PlanError> {
        let data_type = expr.get_type(self.source.plan.schema()).map_err(|e| refuse(&e))?;
        let carrier = carrier(&data_type)
            .ok_or_else(|| unmatchable(format!("{} has type {data_type}, which cannot be matched", words(expr))))?;
        let carried = if data_type == carrier { expr.clone() } else { datafusion_expr::cast(expr.clone(), carrier) };
        let same = |(name, known): &(String, Expr)| *known == carried && name.starts_with(kind);
        if let Some(at) = self.columns.iter().position(same) {
            return Ok(at);
        }
        let number = self.columns.len();
        let name = if number == 0 { kind.to_owned() } else { format!("{kind}_{number}") };
        self.columns.push((name, carried));
        let text = words(expr);
        self.texts.push(if kind == "filter" { format!("only where {text}") } else { text });
        Ok(number)
    }

    fn finish(self, catalog: &Catalog) -> Result<(Relation, Laid), PlanError> {
        let columns = self.columns.into_iter().map(|(name, expr)| expr.alias(name));
        let plan = LogicalPlanBuilder::from(self.source.plan)
            .project(columns.collect::<Vec<_>>())
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| refuse(&e))?;
        let relation = Relation {
            contributors: self.source.sites.iter().map(|site| catalog.sites[*site].clone()).collect(),
            local_work: indented(&plan),
            row_bound: self.source.rows,
            columns: self.texts,
        };
        Ok((relation, Laid { plan, sites: self.source.sites }))
    }
}

/// The type in which a site gives a value of this type.
pub(crate) fn carried(data_type: &DataType, expr: &Expr) -> Result<DataType, PlanError> {
    carrier(data_type).ok_or_else(|| {
        PlanError::new("UNSUPPORTED", format!("{} has type {data_type}, which cannot be a group key", words(expr)))
    })
}
