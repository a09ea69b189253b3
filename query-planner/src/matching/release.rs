//! The aggregate at the release point: figures of matched patients as slots, keys as columns or bits.

use std::collections::BTreeSet;

use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlanBuilder, cast};

use arrow::datatypes::DataType;

use crate::bounds::partial_bits;
use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::matched::Node;
use crate::matching::between::{Behind, in_one_only};
use crate::matching::choices::Choices;
use crate::matching::keys::Keys;
use crate::matching::layout::{Laid, LaidOut, Roots, lay_out};
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::rolled_up::{AddedUp, beside_each_other};
use crate::matching::rollup::with_value;
use crate::matching::supports::parts;
use crate::matching::tally::{Arg, Only, Tally, distinct_only_of_key, no_key_value};
use crate::matching::values::{Linear, Value};
use crate::matching::view::{View, not_yet_because};
use crate::measured::{Measured, Powers};
use crate::plan::{Between, Exclusive, Groups, Output, Ring, Scale, SecureSum, Slot, Summand};
use crate::small::{
    carries_condition, conditional_columns, is_stored, looks_past, optional_columns, rolled_up_columns,
};
use crate::supports::{Drawn, Leaf, Support, are_apart_in, is_made, measure_alike, needed, numbers, whole};
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
    let (optional, made, rolled_up) = match catalog.policy.hides() {
        true => {
            let input = &aggregate.input;
            (columns_of_choice(aggregate), conditional_columns(input), rolled_up_columns(input))
        }
        false => Default::default(),
    };
    let added_up = Vec::new();
    let mut figures =
        Figures { tally, measured, optional, made, rolled_up, added_up, slots, cells, behind, drawn, leaves };
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
    let (between, disjoint) = figures.related(&outputs, &supports, judged)?;
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

/// The slots while they are being collected: nodes and decimal digits.
struct Figures<'v, 'n, 'a> {
    tally: Tally<'v, 'n, 'a>,
    /// Where it is judged how much of a sum is whose.
    measured: Option<Measured<'a>>,
    /// The input's columns whose being empty is a choice.
    optional: BTreeSet<String>,
    /// Those whose values a condition made.
    made: BTreeSet<String>,
    /// Those that count or add up rows below.
    rolled_up: BTreeSet<String>,
    slots: Vec<(usize, u8)>,
    /// Slots that are counts, and those of the patients behind them.
    cells: Vec<(usize, usize)>,
    /// What these and the cells of values are counts of.
    behind: Vec<Behind>,
    /// The cells that figures of value are shown with.
    drawn: Vec<Drawn>,
    /// What they measure.
    leaves: Vec<Leaf>,
    /// What figures add up of rolled up columns.
    added_up: Vec<AddedUp>,
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
    fn count(&mut self, node: usize, only: &Only, choice: Only) -> Result<usize, PlanError> {
        let slot = self.slot(node, 0);
        if self.tally.nodes.catalog.policy.hides() {
            let exists = self.tally.exists(only)?;
            let patients = self.tally.nodes.place(exists)?;
            let patients = self.slot(patients, 0);
            self.cells.push((slot, patients));
            self.behind.push(Behind { cell: slot, patients: exists, only: only.clone(), choice });
        }
        Ok(slot)
    }

    /// The number of patients that have a row.
    fn patients(&mut self, key: Bit, only: &Only) -> Result<usize, PlanError> {
        let bit = self.tally.nodes.and(only.bit, key);
        let only = Only { bit, ..only.clone() };
        let exists = self.tally.exists(&only)?;
        let node = self.tally.nodes.place(exists)?;
        self.count(node, &only, only.clone())
    }

    /// The number of rows where an aggregate's argument has a value.
    fn rows(&mut self, call: &AggregateFunction, arg: Arg, filter: &Only) -> Result<usize, PlanError> {
        let only = with_value(arg, filter.clone(), &mut self.tally)?;
        let node = self.tally.count(&only)?;
        let stored = call.params.args.iter().all(|arg| is_stored(arg, &self.optional));
        let choice = if stored { filter.clone() } else { only.clone() };
        self.count(node, &only, choice)
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
            return Ok(Output::Count(self.rows(call, arg, &only)?));
        }
        let kind = crate::slots::Kind::of(name).ok_or_else(|| crate::slots::not_a_sum(name))?;
        let (sum, squares) = self.sums(name, &arg, &only, kind.is_variance())?;
        let is_count = self.is_count(sum, &arg);
        if self.measured.is_none() || is_count {
            self.tells_no_count(sum, is_count, &call.params.args[0], name)?;
        }
        let count = self.rows(call, arg, &only)?;
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
        let Arg::Patient(value) = arg else { return false };
        let known = if let Value::Number(number) = value { number.range } else { None };
        let range = known.unwrap_or_else(|| self.tally.nodes.range(self.slots[slot].0));
        (range.lo, range.hi) == (0, 1)
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
        for part in parts(call, figures[0] != figures[1], only, measured, (&self.rolled_up, &mut self.tally))? {
            let cell = match part.whose {
                Some(only) => {
                    let patients = self.tally.exists(&only)?;
                    let node = self.tally.nodes.place(patients)?;
                    let cell = self.slot(node, 0);
                    self.behind.push(Behind { cell, patients, choice: only.clone(), only });
                    cell
                }
                None => count,
            };
            let measures = !part.counts;
            let leaves = if measures { numbers(&mut self.leaves, &part.atoms, part.rest) } else { Vec::new() };
            let whole = whole(&part.term, (part.rest, cell), count, part.range);
            let conditions = part.term.when.iter().chain(call.params.filter.as_deref()).cloned().collect();
            let drawn = Drawn { cell, figures: figures.to_vec(), leaves, conditions, rows: None, whole };
            if part.rest == 0 && measures && is_made(&part.term, &self.made) {
                self.drawn.push(Drawn { leaves: Vec::new(), whole: None, ..drawn.clone() });
            }
            self.drawn.push(drawn);
            if let Some(adds) = part.adds.filter(|_| part.rest == 0 && measures) {
                self.added_up.push(AddedUp { cell, only: only.clone(), adds });
            }
        }
        Ok(())
    }

    /// How cells are related that are hidden where they are small: whom some of them tell together, which is asked of those that are `judged`, and
    /// which of them have no row in common.
    fn related(
        &mut self,
        outputs: &[Output],
        supports: &[Support],
        judged: bool,
    ) -> Result<(Vec<Between>, Vec<Exclusive>), PlanError> {
        let mut behind: Vec<Behind> = self.behind.clone();
        behind.sort_by_key(|of| of.cell);
        behind.dedup_by_key(|of| of.cell);
        let is_shown = |cell: usize| cell != 0 || outputs.iter().any(|output| output.count(&[]) == Some(0));
        let literal = |cell: usize| supports.iter().any(|support| support.cell == cell && support.leaves.is_empty());
        let is_count = |cell: usize| self.cells.iter().any(|(count, _)| *count == cell);
        let counts: Vec<usize> =
            behind.iter().map(|of| of.cell).filter(|cell| is_count(*cell) || literal(*cell)).collect();
        let shown: Vec<usize> = counts.iter().copied().filter(|cell| is_shown(*cell) || literal(*cell)).collect();
        let choices = Choices::of(behind.iter().filter(|of| shown.contains(&of.cell)));
        choices.understood(self.tally.nodes)?;
        let is_bit = |slot: usize| matches!(self.slots[slot], (node, _) if self.tally.nodes.range(node).hi <= 1);
        let of_patients: Vec<bool> = (0..self.slots.len()).map(is_bit).collect();
        let disjoint = choices.disjoint(self.tally.nodes, |slot| of_patients[slot]);
        if !judged {
            return Ok((Vec::new(), disjoint));
        }
        let mut told = Vec::new();
        for (at, a) in behind.iter().enumerate() {
            for b in &behind[at + 1..] {
                let both_shown = shown.contains(&a.cell) && shown.contains(&b.cell);
                let related = both_shown || measure_alike(supports, a.cell, b.cell);
                if related && !are_apart_in(&[], supports, a.cell, b.cell) {
                    told.extend(in_one_only(a, b, &mut self.tally)?);
                }
            }
        }
        told.extend(choices.beside_others(&mut self.tally)?);
        told.extend(beside_each_other(&self.added_up, &mut self.tally)?);
        let mut between = Vec::new();
        for (cell, bit) in told {
            let patients = self.tally.nodes.place(bit)?;
            let pair = Between { cell, patients: self.slot(patients, 0) };
            if !between.contains(&pair) {
                between.push(pair);
            }
        }
        Ok((between, disjoint))
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
            let only = Only { rows: None, bit: patients };
            self.behind.push(Behind { cell: slot, patients, choice: only.clone(), only });
            return Ok(());
        }
        if carries_condition(expr) || expr.column_refs().iter().any(|column| self.made.contains(&column.name)) {
            let text =
                format!("{name} of {} could tell how many patients meet a condition, which may be few", words(expr));
            return Err(PlanError::new("CONDITIONAL_VALUE", text)
                .hint("put the condition into FILTER (WHERE …) of the figure itself"));
        }
        Ok(())
    }
}

/// The columns whose being empty is a choice: a condition leaves them so, or looks at whether they are.
fn columns_of_choice(aggregate: &Aggregate) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for expr in &aggregate.aggr_expr {
        if let Expr::AggregateFunction(call) = expr.clone().unalias() {
            call.params.filter.iter().for_each(|filter| looks_past(filter, &mut names));
        }
    }
    optional_columns(&aggregate.input, names)
}

fn overflow() -> PlanError {
    PlanError::new("SUM_OVERFLOW", "a sum over the patients could exceed 64 bits")
        .hint("declare the column's range in network.toml")
}
