//! The aggregate at the release point: figures of matched patients as slots, keys as columns or bits.

use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlanBuilder, cast};

use arrow::datatypes::DataType;

use crate::bounds::partial_bits;
use crate::catalog::Catalog;
use crate::cost::most_groups;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::groups::{self, GroupKey};
use crate::matched::Node;
use crate::matching::between::{Behind, in_one_only, understood};
use crate::matching::layout::{Laid, LaidOut, Roots, carried, lay_out};
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::not_yet;
use crate::matching::rollup::with_value;
use crate::matching::supports::parts;
use crate::matching::tally::{Arg, Only, Tally, distinct_only_of_key, no_key_value};
use crate::matching::values::{Choice, Linear, Value, values_of};
use crate::matching::view::{Col, View, Weight, not_yet_because};
use crate::measured::{Measured, Powers};
use crate::plan::{Between, Groups, Key, Output, Ring, Scale, SecureSum, Slot, Summand};
use crate::small::{carries_condition, conditional_columns};
use crate::supports::{Drawn, Leaf, Support, are_apart_in, measure_alike, needed, numbers, whole};
use crate::words::words;

/// A sum over matched patients.
#[derive(Debug)]
pub(crate) struct Matched {
    pub sum: SecureSum,
    /// One for each of its relations.
    pub relations: Vec<Laid>,
    /// What its figures measure, where it is judged.
    pub powers: Powers,
}

/// Lowers an aggregate over rows that are matched between sites. `inside`: its rows are not themselves the answer; `judged`: it is
/// known how much of a sum is whose.
///
/// # Errors
/// `UNMATCHABLE`, `NOT_YET`, `NO_PATIENT_KEY`, `NUMBER_TOO_WIDE`, `SUM_OVERFLOW`, `SUM_NOT_JUDGED`, `MEASURE_IN_CONDITION`; what keys and
/// policy refuse.
pub(crate) fn matched(
    aggregate: &Aggregate,
    catalog: &Catalog,
    (inside, judged): (bool, bool),
) -> Result<Matched, PlanError> {
    let mut nodes = Nodes::new(catalog);
    let view = View::of(&aggregate.input, &mut nodes)?;
    let keys = Keys::of(aggregate, &view, inside, &mut nodes)?;
    let groups = keys.groups(catalog)?;
    let tally = Tally { view: &view, keyed: keys.keyed.clone(), nodes: &mut nodes };
    let measured = judged.then(|| Measured::of(aggregate, catalog));
    let (slots, cells, behind, drawn, leaves) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut figures = Figures { tally, aggregate, measured, slots, cells, behind, drawn, leaves };
    figures.patients(Bit::Yes, &Only::ALL)?;
    let mut outputs: Vec<Output> = (0..keys.keys.len()).map(Output::Key).collect();
    for expr in &aggregate.aggr_expr {
        outputs.push(figures.output(expr)?);
    }
    figures.cells.sort_unstable();
    figures.cells.dedup();
    if !catalog.policy.hides() {
        figures.cells.clear();
    }
    let counts: Vec<usize> = figures.cells.iter().map(|(cell, _)| *cell).collect();
    let supports = needed(&figures.drawn, &counts, &figures.leaves);
    let between = if judged { figures.between(&outputs, &supports)? } else { Vec::new() };
    let Figures { slots, mut cells, measured, .. } = figures;
    let powers = measured.map(|measured| measured.powers).unwrap_or_default();
    let roots = Roots {
        slots: slots.iter().map(|(node, _)| *node).collect(),
        patient_keys: keys.patient_keys(&mut nodes)?,
        row_keys: keys.row_keys(),
        key_source: match (&groups, &keys.keyed) {
            (Groups::Agreed { .. }, Some((part, _))) => Some(view.parts[*part].source.clone()),
            _ => None,
        },
    };
    let ranges: Vec<_> = slots.iter().map(|(node, _)| nodes.range(*node)).collect();
    let LaidOut { matching, slots: places, relations } = lay_out(&nodes, roots)?;
    if !matching.is_grounded(&places) {
        return Err(
            PlanError::new("INTERNAL", "a figure counts patients that nobody has").hint("please report the query")
        );
    }
    let counted: Vec<(usize, usize)> = cells.iter().map(|(cell, _)| (*cell, places[*cell])).collect();
    let disjoint = understood(&matching, &counted[cells.len().min(1)..])?;
    for support in &supports {
        if !cells.iter().any(|(cell, _)| *cell == support.cell) {
            cells.push((support.cell, support.cell));
        }
    }
    cells.sort_unstable();
    let slots = places.iter().zip(&slots).zip(ranges).map(|((place, (_, digits)), range)| {
        let magnitude = range.magnitude();
        let bits = partial_bits(catalog.max_patients, magnitude).filter(|bits| bits + nodes.site_bits() < 64);
        Ok(Slot {
            what: Summand::Patients(*place),
            filter: None,
            ring: Ring::Z64,
            scale: Scale::Decimal(*digits),
            partial_bits: bits.ok_or_else(overflow)?,
            proven: true,
        })
    });
    let sum = SecureSum {
        contributors: matching.sites.clone(),
        local_work: String::new(),
        row_bound: matching.relations.iter().map(|relation| relation.row_bound).max().unwrap_or(0),
        columns: Vec::new(),
        keys: keys.keys.into_iter().map(|key| key.key).collect(),
        groups,
        slots: slots.collect::<Result<_, PlanError>>()?,
        patients: cells.iter().map(|(_, patients)| *patients).collect(),
        cells: cells.into_iter().map(|(cell, _)| cell).collect(),
        disjoint,
        orders: Vec::new(),
        sketches: Vec::new(),
        top: None,
        outputs,
        supports,
        matching: Some(matching),
        between,
        sensitive: Vec::new(),
        noised: Vec::new(),
    };
    Ok(Matched { sum, relations, powers })
}

/// The keys of the sum: columns of one part, or computed for each patient.
struct Keys {
    keys: Vec<GroupKey>,
    computed: Vec<Option<Choice>>,
    keyed: Option<(usize, Vec<Expr>)>,
}

impl Keys {
    fn of(aggregate: &Aggregate, view: &View, inside: bool, nodes: &mut Nodes<'_>) -> Result<Keys, PlanError> {
        let mut keys = Keys { keys: Vec::new(), computed: Vec::new(), keyed: None };
        for expr in &aggregate.group_expr {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Err(PlanError::new("UNSUPPORTED", "GROUPING SETS, ROLLUP and CUBE are not supported")
                    .hint("ask one question for each grouping, or use UNION ALL"));
            }
            match view.column(expr, nodes) {
                Col::Key(_) if inside => return Err(not_yet("one row for each patient across sites")),
                Col::Key(_) => {
                    let text = format!("grouping by {} would reveal a row for each patient", words(expr));
                    return Err(PlanError::new("PATIENT_KEY_GROUP", text));
                }
                Col::Refused(why) => return Err(why),
                Col::Row(part, inner) => keys.row(expr, part, inner, view, nodes)?,
                Col::Patient(value) => keys.computed(expr, value, aggregate, nodes)?,
                Col::Rank(_) | Col::Steps(..) => {
                    return Err(not_yet_because(format!("grouping by {}, which numbers rows", words(expr))));
                }
            }
        }
        Ok(keys)
    }

    fn row(&mut self, expr: &Expr, part: usize, inner: Expr, view: &View, nodes: &Nodes<'_>) -> Result<(), PlanError> {
        let of = &view.parts[part];
        if matches!(of.weight, Weight::Optional(_)) || of.ranked.is_some() {
            let text =
                format!("grouping by {} of rows that are numbered, or that an outer join may not have", words(expr));
            return Err(not_yet_because(text));
        }
        let (keyed, exprs) = self.keyed.get_or_insert_with(|| (part, Vec::new()));
        if *keyed != part {
            return Err(not_yet_because("grouping by columns of two tables that are matched".into())
                .hint("group by columns of one of them, or by a CASE on each patient"));
        }
        let relation = of.facts(nodes)?;
        let mut key = groups::key(&inner, &Scope::over(of.schema(), &relation), nodes.catalog, false)?;
        key.key.expression = words(expr);
        let carried = cast(inner.clone(), key.carrier.clone());
        let same = inner.get_type(of.schema()).is_ok_and(|t| t == key.carrier);
        exprs.push(if same { inner } else { carried });
        self.keys.push(key);
        self.computed.push(None);
        Ok(())
    }

    fn computed(
        &mut self,
        expr: &Expr,
        value: Value,
        aggregate: &Aggregate,
        nodes: &mut Nodes<'_>,
    ) -> Result<(), PlanError> {
        let data_type = expr.get_type(aggregate.input.schema()).map_err(|e| refuse(&e))?;
        let choice = match value {
            Value::Number(number) => values_of(&number, &data_type, expr, nodes)?,
            other => other.choice(nodes).unwrap_or(Choice(Vec::new())).merged(nodes),
        };
        let domain = choice.0.iter().map(|(value, _)| value.clone()).collect();
        self.keys.push(GroupKey {
            key: Key { expression: words(expr), domain: Some(domain) },
            expr: expr.clone(),
            carrier: carried(&data_type, expr)?,
            origins: Vec::new(),
        });
        self.computed.push(Some(choice));
        Ok(())
    }

    fn groups(&self, catalog: &Catalog) -> Result<Groups, PlanError> {
        let groups = groups::groups(&self.keys, catalog)?;
        let Groups::Agreed { max_groups, max_key_bytes, threshold } = groups else {
            let keys: Vec<Key> = self.keys.iter().map(|key| key.key.clone()).collect();
            let cells = most_groups(&keys, &groups).saturating_mul(catalog.max_patients);
            if cells > MAX_CELLS {
                let text = format!(
                    "{} groups of up to {} patients are too many",
                    cells / catalog.max_patients,
                    catalog.max_patients
                );
                return Err(PlanError::new("TOO_MANY_GROUPS", text).hint("group by fewer or coarser keys"));
            }
            return Ok(groups);
        };
        if self.computed.iter().any(Option::is_some) {
            let text = "agreed group keys beside a key that is computed for each patient";
            return Err(not_yet_because(text.into()).hint("declare the column's domain in network.toml"));
        }
        // The counts that come with keys are of rows, which is not what is asked.
        Ok(Groups::Agreed { max_groups, max_key_bytes, threshold: threshold.max(1) })
    }

    fn row_keys(&self) -> Vec<usize> {
        (0..self.computed.len()).filter(|at| self.computed[*at].is_none()).collect()
    }

    fn patient_keys(&self, nodes: &mut Nodes<'_>) -> Result<Vec<(usize, Vec<usize>)>, PlanError> {
        let computed = self.computed.iter().enumerate().filter_map(|(at, choice)| Some((at, choice.as_ref()?)));
        computed
            .map(|(at, choice)| {
                let bits = choice.0.iter().map(|(_, bit)| nodes.place(*bit)).collect::<Result<_, _>>()?;
                Ok((at, bits))
            })
            .collect()
    }
}

/// The slots while they are being collected: nodes and decimal digits.
struct Figures<'v, 'n, 'a> {
    tally: Tally<'v, 'n, 'a>,
    aggregate: &'v Aggregate,
    /// Where it is judged how much of a sum is whose.
    measured: Option<Measured<'a>>,
    slots: Vec<(usize, u8)>,
    /// Slots that are counts, and those of the patients behind them.
    cells: Vec<(usize, usize)>,
    /// What these and the cells of values are counts of.
    behind: Vec<Behind>,
    /// The cells that figures of value are shown with.
    drawn: Vec<Drawn>,
    /// What they measure.
    leaves: Vec<Leaf>,
}

impl Figures<'_, '_, '_> {
    fn slot(&mut self, node: usize, digits: u8) -> usize {
        // A bit counts 1.
        let node = match self.tally.nodes.steps[node].0 {
            Node::Number(bit) => bit,
            _ => node,
        };
        match self.slots.iter().position(|known| *known == (node, digits)) {
            Some(position) => position,
            None => {
                self.slots.push((node, digits));
                self.slots.len() - 1
            }
        }
    }

    /// The slot of a count of the rows that `only` leaves.
    fn count(&mut self, node: usize, only: &Only) -> Result<usize, PlanError> {
        let slot = self.slot(node, 0);
        if self.tally.nodes.catalog.policy.hides() {
            let exists = self.tally.exists(only)?;
            let patients = self.tally.nodes.place(exists)?;
            let patients = self.slot(patients, 0);
            self.cells.push((slot, patients));
            self.behind.push(Behind { cell: slot, patients: exists, only: only.clone() });
        }
        Ok(slot)
    }

    /// The number of patients that have a row.
    fn patients(&mut self, key: Bit, only: &Only) -> Result<usize, PlanError> {
        let bit = self.tally.nodes.and(only.bit, key);
        let only = Only { bit, ..only.clone() };
        let exists = self.tally.exists(&only)?;
        let node = self.tally.nodes.place(exists)?;
        self.count(node, &only)
    }

    /// The number of rows with a value.
    fn rows(&mut self, arg: Arg, only: Only) -> Result<usize, PlanError> {
        let only = with_value(arg, only, &mut self.tally)?;
        let node = self.tally.count(&only)?;
        self.count(node, &only)
    }

    fn output(&mut self, expr: &Expr) -> Result<Output, PlanError> {
        match expr {
            Expr::Alias(alias) => self.output(&alias.expr),
            Expr::AggregateFunction(call) => self.call(call),
            other => Err(PlanError::new("UNSUPPORTED", format!("{} is not an aggregate", other.human_display()))),
        }
    }

    fn call(&mut self, call: &AggregateFunction) -> Result<Output, PlanError> {
        let name = call.func.name();
        if crate::orders::is_order(name) {
            let text = format!("{name} of values of patients that are matched between sites");
            return Err(not_yet_because(text).hint("ask for COUNT, SUM, AVG, VAR or STDDEV"));
        }
        if name == crate::approx_distinct::NAME {
            let text = "APPROX_COUNT_DISTINCT of patients that are matched between sites".to_owned();
            return Err(not_yet_because(text).hint("ask for COUNT(DISTINCT …) of the patient key, which is exact"));
        }
        let only = self.tally.filter(call)?;
        let arg = self.tally.arg(call)?;
        if name == "count" && call.params.distinct {
            return match arg {
                Arg::Key(key) => Ok(Output::Count(self.patients(key, &only)?)),
                _ => Err(distinct_only_of_key(name)),
            };
        }
        if call.params.distinct {
            return Err(distinct_only_of_key(name));
        }
        if let Some(measured) = &self.measured {
            measured.counts_rows_once(call)?;
        }
        if name == "count" {
            return Ok(Output::Count(self.rows(arg, only)?));
        }
        let kind = crate::slots::Kind::of(name).ok_or_else(|| crate::slots::not_a_sum(name))?;
        let (sum, squares) = self.sums(name, &arg, &only, kind.is_variance())?;
        let is_count = self.is_count(sum, &arg);
        if self.measured.is_none() || is_count {
            self.tells_no_count(sum, is_count, &call.params.args[0], name)?;
        }
        let count = self.rows(arg, only.clone())?;
        if !is_count {
            self.supported(call, &only, count, &[sum, squares])?;
        }
        Ok(kind.output(sum, squares, count))
    }

    /// The slots of a sum and of a sum of squares.
    fn sums(&mut self, name: &str, arg: &Arg, only: &Only, squares: bool) -> Result<(usize, usize), PlanError> {
        let (sum, digits, square) = match arg {
            Arg::Key(_) => return Err(no_key_value(name, &self.tally.nodes.catalog.patient_key)),
            Arg::All => return Err(not_yet_because(format!("{name} of a constant"))),
            Arg::Row(part, inner) => {
                let (sum, digits) = self.tally.total_of_rows(*part, inner, only)?;
                let square = if squares { Some(self.squares_of_rows(*part, inner, only)?) } else { None };
                (sum, digits, square)
            }
            Arg::Patient(value) => {
                let number = value.clone().number(self.tally.nodes)?;
                let sum = self.tally.total(&number, only)?;
                let node = number.node(self.tally.nodes)?;
                let square = match squares {
                    true => {
                        let square = self.tally.nodes.multiply(node, node)?;
                        Some(self.tally.total(&Linear::of_node(square, number.present), only)?)
                    }
                    false => None,
                };
                (sum, number.digits, square)
            }
        };
        let slot = self.slot(sum, digits);
        let squares = square.map_or(slot, |square| self.slot(square, 2 * digits));
        Ok((slot, squares))
    }

    fn squares_of_rows(&mut self, part: usize, expr: &Expr, only: &Only) -> Result<usize, PlanError> {
        let of = &self.tally.view.parts[part];
        let relation = of.facts(self.tally.nodes)?;
        let scope = Scope::over(of.schema(), &relation);
        let expr = crate::slots::exact(expr, &scope);
        let wide = match expr.get_type(&scope).map_err(|e| refuse(&e))? {
            integer if integer.is_integer() => cast(expr.clone(), DataType::Decimal128(18, 0)),
            _ => expr.clone(),
        };
        // The product's type must exist; it is checked here, where the refusal can say why.
        let square = wide.clone() * wide;
        LogicalPlanBuilder::from(of.source.plan.clone()).project([square.clone()]).map_err(|e| refuse(&e))?;
        Ok(self.tally.total_of_rows(part, &square, only)?.0)
    }

    /// Is it a sum of zeros and ones, one for each patient?
    fn is_count(&self, slot: usize, arg: &Arg) -> bool {
        let range = self.tally.nodes.range(self.slots[slot].0);
        matches!((range.lo, range.hi, arg), (0, 1, Arg::Patient(_)))
    }

    /// A cell for each term of a figure, and each value that many may share.
    fn supported(
        &mut self,
        call: &AggregateFunction,
        only: &Only,
        count: usize,
        figures: &[usize],
    ) -> Result<(), PlanError> {
        let Some(measured) = &mut self.measured else { return Ok(()) };
        for part in parts(call, figures[0] != figures[1], only, measured, &mut self.tally)? {
            let cell = match part.whose {
                Some(only) => {
                    let patients = self.tally.exists(&only)?;
                    let node = self.tally.nodes.place(patients)?;
                    let cell = self.slot(node, 0);
                    self.behind.push(Behind { cell, patients, only });
                    cell
                }
                None => count,
            };
            let measures = !part.counts;
            let leaves = if measures { numbers(&mut self.leaves, &part.atoms, part.rest) } else { Vec::new() };
            let whole = whole(&part.term, (part.rest, cell), count, part.range);
            let conditions = part.term.when.iter().chain(call.params.filter.as_deref()).cloned().collect();
            self.drawn.push(Drawn { cell, figures: figures.to_vec(), leaves, conditions, rows: None, whole });
        }
        Ok(())
    }

    /// For each two cells that can tell something together: two counts that are shown, or two that measure something in common.
    fn between(&mut self, outputs: &[Output], supports: &[Support]) -> Result<Vec<Between>, PlanError> {
        let shown = |cell: usize| cell != 0 || outputs.iter().any(|output| output.count(&[]) == Some(0));
        let literal = |cell: usize| supports.iter().any(|support| support.cell == cell && support.leaves.is_empty());
        let counts = |cell: usize| literal(cell) || self.cells.iter().any(|(count, _)| *count == cell) && shown(cell);
        let bound = |a: usize, b: usize| {
            let related = counts(a) && counts(b) || measure_alike(supports, a, b);
            a != b && related && !are_apart_in(&[], supports, a, b)
        };
        let mut behind: Vec<Behind> = self.behind.clone();
        behind.sort_by_key(|of| of.cell);
        behind.dedup_by_key(|of| of.cell);
        let pairs = (0..behind.len()).flat_map(|a| (a + 1..behind.len()).map(move |b| (a, b)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(a, b)| bound(behind[*a].cell, behind[*b].cell)).collect();
        let mut between = Vec::new();
        for (a, b) in pairs {
            for (cell, bit) in in_one_only(&behind[a], &behind[b], &mut self.tally)? {
                let node = self.tally.nodes.place(bit)?;
                between.push(Between { cell, patients: self.slot(node, 0) });
            }
        }
        Ok(between)
    }

    /// Where cells are hidden: a sum of zeros and ones is a count like others; one whose values a condition made could tell a
    /// count that is too small.
    fn tells_no_count(&mut self, slot: usize, is_count: bool, expr: &Expr, name: &str) -> Result<(), PlanError> {
        if !self.tally.nodes.catalog.policy.hides() {
            return Ok(());
        }
        if is_count {
            // Who counts 1 is a patient: the sum is the number behind it.
            self.cells.push((slot, slot));
            let (node, _) = self.slots[slot];
            let zero = self.tally.nodes.constant(0)?;
            let patients = match self.tally.nodes.is_bit(node) {
                true => Bit::At(node),
                false => self.tally.nodes.less(zero, node),
            };
            self.behind.push(Behind { cell: slot, patients, only: Only { rows: None, bit: patients } });
            return Ok(());
        }
        let made = conditional_columns(&self.aggregate.input);
        if carries_condition(expr) || expr.column_refs().iter().any(|column| made.contains(&column.name)) {
            let text =
                format!("{name} of {} could tell how many patients meet a condition, which may be few", words(expr));
            return Err(PlanError::new("CONDITIONAL_VALUE", text)
                .hint("put the condition into FILTER (WHERE …) of the figure itself"));
        }
        Ok(())
    }
}

fn overflow() -> PlanError {
    PlanError::new("SUM_OVERFLOW", "a sum over the patients could exceed 64 bits")
        .hint("declare the column's range in network.toml")
}

/// Groups times patients of one site: beyond it a run would take minutes.
const MAX_CELLS: u64 = 1 << 26;
