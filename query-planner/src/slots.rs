//! Aggregates as sums: which numbers each group needs, at which scale and in which ring.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion_common::Column;
use datafusion_expr::expr::{AggregateFunction, WindowFunction};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, ExprFunctionExt, ExprSchemable, WindowFunctionDefinition, cast, lit};

use crate::approx_distinct;
use crate::bounds::{partial_bits, site_bits, type_interval};
use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::groups::GroupKey;
use crate::measured::Measured;
use crate::orders::is_order;
use crate::people::Whom;
use crate::plan::{Form, Order, Output, Ring, Scale, SketchOf, Slot, Summand};
use crate::small::carries_condition;
use crate::split::not_yet;
use crate::supports::{Added, AddedUp, Drawn, Leaf};
use crate::words::words;

/// The slots of one secure sum while they are being collected.
#[derive(Debug)]
pub(crate) struct Slots<'a> {
    pub slots: Vec<Slot>,
    /// The local stage's columns by name: keys, then arguments and filters.
    pub columns: Vec<(String, Expr)>,
    /// The columns as a reader would write them.
    pub texts: Vec<String>,
    /// Window functions the local stage needs below its columns (DISTINCT at a single site).
    pub windows: Vec<Expr>,
    /// The order statistics.
    pub orders: Vec<Order>,
    /// The approximate numbers of distinct values.
    pub sketches: Vec<SketchOf>,
    /// Was an approximation asked for?
    pub approximate: bool,
    /// Slots that add ones, and so count rows.
    pub ones: Vec<usize>,
    /// The input's columns whose being empty is a choice, where small cells are hidden: a condition may leave them so, or looks at whether they are.
    pub optional: BTreeSet<String>,
    /// Those whose values a condition made, where small cells are hidden.
    pub made: BTreeSet<String>,
    /// Those that count or add up rows of each group below, where figures of value are judged.
    pub rolled_up: BTreeSet<String>,
    /// The patient key among the input's columns, where rows of several sites are matched by it.
    pub patient_key: Option<Column>,
    /// What rows must meet for their patients to be counted; [`Summand::Patients`] names a position here until the nodes are
    /// known.
    pub people: Vec<Whom>,
    /// What figures of value add up, where it is judged.
    pub measured: Option<Measured<'a>>,
    /// The cells that figures of value are shown with.
    pub supports: Vec<Drawn>,
    /// What they measure.
    pub leaves: Vec<Leaf>,
    /// What figures add up of rolled up columns.
    pub added_up: Vec<AddedUp>,
    keys: Vec<Expr>,
    pub scope: &'a Scope<'a>,
    /// Bound on the rows of one contributor.
    pub rows: u64,
    /// Bound on the groups.
    pub max_groups: u64,
    /// How many sites have rows.
    pub contributors: usize,
    pub catalog: &'a Catalog,
}

/// How large a sum can be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Rows of one contributor.
    pub rows: u64,
    /// Groups.
    pub groups: u64,
    /// Sites that have rows.
    pub contributors: usize,
}

impl<'a> Slots<'a> {
    pub fn new(keys: &[GroupKey], scope: &'a Scope<'a>, size: Size, catalog: &'a Catalog) -> Self {
        let columns = keys
            .iter()
            .enumerate()
            .map(|(i, k)| (format!("key_{}", i + 1), as_carrier(k.expr.clone(), &k.carrier, scope)));
        let mut slots = Slots {
            slots: Vec::new(),
            columns: columns.collect(),
            texts: keys.iter().map(|k| k.key.expression.clone()).collect(),
            windows: Vec::new(),
            orders: Vec::new(),
            sketches: Vec::new(),
            approximate: false,
            ones: Vec::new(),
            optional: BTreeSet::new(),
            made: BTreeSet::new(),
            rolled_up: BTreeSet::new(),
            patient_key: None,
            people: Vec::new(),
            measured: None,
            supports: Vec::new(),
            leaves: Vec::new(),
            added_up: Vec::new(),
            keys: keys.iter().map(|k| k.expr.clone()).collect(),
            scope,
            rows: size.rows,
            max_groups: size.groups,
            contributors: size.contributors,
            catalog,
        };
        slots.count(Summand::Rows, None);
        slots
    }

    /// Adds the slots of every aggregate; the outputs are the keys, then the aggregates.
    pub fn outputs(&mut self, aggregate: &Aggregate) -> Result<Vec<Output>, PlanError> {
        let mut outputs: Vec<Output> = (0..self.keys.len()).map(Output::Key).collect();
        for expr in &aggregate.aggr_expr {
            outputs.push(self.output(expr)?);
        }
        Ok(outputs)
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
        if is_order(name) {
            self.measured.as_ref().map_or(Ok(()), |measured| measured.counts_rows_once(call))?;
            return self.order(call);
        }
        if name == approx_distinct::NAME {
            return self.sketch(call);
        }
        let kind = Kind::of(name).ok_or_else(|| not_a_sum(name))?;
        let [arg] = &call.params.args[..] else {
            return Err(PlanError::new("UNSUPPORTED", format!("{name} of several columns is not supported")));
        };
        if !call.params.order_by.is_empty() || call.params.null_treatment.is_some() {
            return Err(PlanError::new("UNSUPPORTED", format!("{name} has no order")));
        }
        if kind == Kind::Count && call.params.distinct && self.is_patient_key(arg) {
            let condition = call.params.filter.as_deref().cloned();
            return Ok(Output::Count(self.patients(condition)));
        }
        if let Some(measured) = &self.measured
            && !(kind == Kind::Count && call.params.distinct)
        {
            measured.counts_rows_once(call)?;
            measured.no_distinct(call)?;
        }
        let filter = self.filter(call, arg)?;
        if kind == Kind::Count {
            return Ok(Output::Count(self.non_null(arg, filter)));
        }
        let number = self.number(arg, name)?;
        // A sum of zeros and ones is a count, whatever it is made of, and a cell itself.
        let terms = match &mut self.measured {
            _ if number.is_one_or_zero => None,
            Some(measured) => Some(measured.figure(call, kind.is_variance())?),
            None => {
                self.not_a_count(&number.expr, name)?;
                None
            }
        };
        let sum = self.sum(&number, filter)?;
        let count = self.non_null(&number.expr, filter);
        let squares = if kind.is_variance() { self.squares(&number, filter)? } else { sum };
        if let Some(terms) = terms {
            let added = Added { expr: &number.expr, terms, clause: call.params.filter.as_deref() };
            self.supported(&added, filter, count, &[sum, squares])?;
        }
        Ok(kind.output(sum, squares, count))
    }

    /// The column that says whether a row counts: the FILTER clause and, for DISTINCT, "the first row of its value".
    fn filter(&mut self, call: &AggregateFunction, arg: &Expr) -> Result<Option<usize>, PlanError> {
        let clause = call.params.filter.as_deref();
        if !call.params.distinct {
            return Ok(clause.map(|f| self.column("filter", f.clone(), format!("only where {}", words(f)))));
        }
        if self.contributors > 1 {
            return Err(not_yet("counting distinct values across sites"));
        }
        let text = match clause {
            Some(f) => format!("{ONCE}{} once, and only where {}", words(arg), words(f)),
            None => format!("{ONCE}{} once", words(arg)),
        };
        let first = self.first_of_value(exact(arg, self.scope), clause)?;
        Ok(Some(self.column("filter", first, text)))
    }

    /// True for one row of each value in a group (among those that pass the FILTER).
    fn first_of_value(&mut self, arg: &Expr, clause: Option<&Expr>) -> Result<Expr, PlanError> {
        let partition: Vec<Expr> = self.keys.iter().chain([arg]).chain(clause).cloned().collect();
        let definition =
            WindowFunctionDefinition::WindowUDF(datafusion_functions_window::row_number::row_number_udwf());
        let number = Expr::from(WindowFunction::new(definition, vec![]))
            .partition_by(partition)
            .build()
            .map_err(|e| refuse(&e))?;
        let position = self.windows.iter().position(|known| *known == number).unwrap_or(self.windows.len());
        if position == self.windows.len() {
            self.windows.push(number);
        }
        let first = first_of(position);
        Ok(match clause {
            Some(f) => first.and(f.clone()),
            None => first,
        })
    }

    /// A count of rows where `arg` is not NULL; of all rows when it cannot be.
    pub(crate) fn non_null(&mut self, arg: &Expr, filter: Option<usize>) -> usize {
        if !self.scope.fact(arg).nullable {
            return self.count(Summand::Rows, filter);
        }
        let data_type = arg.get_type(self.scope).unwrap_or(DataType::Null);
        // Only "NULL or not" matters, so a type without a carrier is counted through its NULL test.
        let column = match crate::value::carrier(&data_type) {
            Some(carrier) => self.column("arg", as_carrier(arg.clone(), &carrier, self.scope), words(arg)),
            None => {
                let present = datafusion_expr::when(arg.clone().is_not_null(), lit(true)).end();
                self.column("arg", present.unwrap_or_else(|_| arg.clone()), words(arg))
            }
        };
        self.count(Summand::NotNull(column), filter)
    }

    pub(crate) fn count(&mut self, what: Summand, filter: Option<usize>) -> usize {
        let sized = partial_bits(self.rows, 1).and_then(|bits| self.proven(bits));
        // A count of at most 2^64 rows at 20 sites needs 70 bits.
        let (ring, partial_bits) = sized.unwrap_or((Ring::Z128, 64));
        self.slot(Slot { what, filter, ring, scale: Scale::Decimal(0), partial_bits, proven: true })
    }

    fn sum(&mut self, number: &Number, filter: Option<usize>) -> Result<usize, PlanError> {
        let scale = number.scale.map_or(Scale::Binary(BINARY_DIGITS), Scale::Decimal);
        let slot = self.number_slot(Summand::Value(number.column), number, number.magnitude, scale, filter)?;
        if number.is_one_or_zero && !self.ones.contains(&slot) {
            self.ones.push(slot);
        }
        Ok(slot)
    }

    fn squares(&mut self, number: &Number, filter: Option<usize>) -> Result<usize, PlanError> {
        let scale = number.scale.map_or(Scale::Binary(BINARY_DIGITS), |digits| Scale::Decimal(2 * digits));
        let magnitude = number.magnitude.and_then(|m| m.checked_mul(m));
        self.number_slot(Summand::Square(number.column), number, magnitude, scale, filter)
    }

    fn number_slot(
        &mut self,
        what: Summand,
        number: &Number,
        magnitude: Option<u128>,
        scale: Scale,
        filter: Option<usize>,
    ) -> Result<usize, PlanError> {
        let proven = magnitude.and_then(|m| partial_bits(self.rows, m)).and_then(|bits| self.proven(bits));
        let slot = match proven {
            Some((ring, partial_bits)) => Slot { what, filter, ring, scale, partial_bits, proven: true },
            None if number.narrow => {
                let partial_bits = 127 - site_bits(self.catalog.sites.len());
                Slot { what, filter, ring: Ring::Z128, scale, partial_bits, proven: false }
            }
            None => {
                let text = format!("the sum over {} could exceed 128 bits", words(&number.expr));
                return Err(PlanError::new("SUM_OVERFLOW", text)
                    .hint("declare the column's range in network.toml, or cast to fewer digits"));
            }
        };
        Ok(self.slot(slot))
    }

    /// The smaller ring that holds the total of all sites with its sign.
    fn proven(&self, partial_bits: u32) -> Option<(Ring, u32)> {
        let total = partial_bits + site_bits(self.catalog.sites.len()) + 1;
        match total {
            0..=64 => Some((Ring::Z64, partial_bits)),
            65..=128 => Some((Ring::Z128, partial_bits)),
            _ => None,
        }
    }

    pub(crate) fn slot(&mut self, slot: Slot) -> usize {
        match self.slots.iter().position(|known| *known == slot) {
            Some(position) => position,
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    pub(crate) fn column(&mut self, kind: &str, expr: Expr, text: String) -> usize {
        let keys = self.keys.len();
        if let Some(position) = self.columns[keys..].iter().position(|(_, known)| *known == expr) {
            return keys + position;
        }
        self.columns.push((format!("{kind}_{}", self.columns.len() + 1 - keys), expr));
        self.texts.push(text);
        self.columns.len() - 1
    }

    /// The argument of a sum as an exact number where possible, in the local stage.
    fn number(&mut self, arg: &Expr, name: &str) -> Result<Number, PlanError> {
        let expr = exact(arg, self.scope);
        self.not_the_patient_key(expr, name)?;
        let data_type = expr.get_type(self.scope).map_err(|e| refuse(&e))?;
        let scale = digits(&data_type).map_err(|()| {
            let text = format!("{name} needs a number, and {} is of type {data_type}", words(expr));
            PlanError::new("TYPE_MISMATCH", text)
        })?;
        let carrier = match scale {
            Some(_) if data_type.is_integer() => DataType::Int64,
            Some(_) => data_type.clone(),
            None => DataType::Float64,
        };
        let column = self.column("arg", as_carrier(expr.clone(), &carrier, self.scope), words(expr));
        let widest = type_interval(&data_type);
        let interval = self.scope.fact(expr).interval;
        Ok(Number {
            column,
            expr: expr.clone(),
            scale,
            magnitude: interval.map(|i| i.magnitude()),
            is_one_or_zero: scale == Some(0) && interval.is_some_and(|i| i.lo >= 0 && i.hi <= 1),
            narrow: widest.is_none_or(|w| w.magnitude() <= 1 << 64),
        })
    }
}

impl Slots<'_> {
    /// Refuses values that say how many rows meet a condition, where such a count may have to be hidden.
    pub(crate) fn not_a_count(&self, expr: &Expr, name: &str) -> Result<(), PlanError> {
        if !self.catalog.policy.hides() || !carries_condition(expr) {
            return Ok(());
        }
        let text = format!("{name} of {} could tell how many rows meet its condition, which may be few", words(expr));
        Err(PlanError::new("CONDITIONAL_VALUE", text).hint(
            "put the condition into FILTER (WHERE …), or leave out ELSE: then the rows behind the figure are counted",
        ))
    }

    /// Refuses the same where the condition is in work below: `SUM(c)` over `SELECT CASE … END AS c`.
    ///
    /// # Errors
    /// `CONDITIONAL_VALUE`.
    pub(crate) fn no_hidden_counts(&self) -> Result<(), PlanError> {
        let summed = self.slots.iter().enumerate().filter(|(at, _)| !self.ones.contains(at));
        let summed = summed.filter_map(|(_, slot)| match slot.what {
            Summand::Value(column) | Summand::Square(column) => Some(column),
            _ => None,
        });
        // What is judged term by term is read through all of it.
        let summed = summed.filter(|_| self.measured.is_none());
        let values = summed.chain(self.orders.iter().map(|order| order.column));
        for (_, expr) in values.filter_map(|column| self.columns.get(column)) {
            if let Some(column) = expr.column_refs().iter().find(|column| self.made.contains(&column.name)) {
                let text =
                    format!("values of {} could tell how many rows meet a condition, which may be few", column.name);
                return Err(PlanError::new("CONDITIONAL_VALUE", text)
                    .hint("put the condition into FILTER (WHERE …) of the figure itself"));
            }
        }
        Ok(())
    }

    pub(crate) fn hides(&self) -> bool {
        self.catalog.policy.hides()
    }

    /// Refuses values of the patient key.
    pub(crate) fn not_the_patient_key(&self, expr: &Expr, name: &str) -> Result<(), PlanError> {
        match self.scope.origins(expr).iter().find(|o| self.catalog.is_patient_key(&o.column)) {
            Some(origin) => {
                let text = format!("{name} of {origin} would reveal something about single patients' identifiers");
                Err(PlanError::new("PATIENT_KEY_VALUE", text).hint("count it instead"))
            }
            None => Ok(()),
        }
    }
}

/// Is this aggregate made of sums and counts?
pub(crate) fn is_sum(name: &str) -> bool {
    Kind::of(name).is_some()
}

/// A number that can be summed.
struct Number {
    column: usize,
    expr: Expr,
    /// Decimal digits, or none for doubles.
    scale: Option<u8>,
    /// Largest absolute value, unscaled; none for doubles.
    magnitude: Option<u128>,
    /// Is every value 0 or 1, so that the sum is a count?
    is_one_or_zero: bool,
    /// Does its type fit 64 bits (or is it a double), so that a site can check its own partial in 128?
    narrow: bool,
}

/// Aggregates that are sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Sum,
    Avg,
    Variance(Form, bool),
}

impl Kind {
    pub fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "count" => Kind::Count,
            "sum" => Kind::Sum,
            "avg" => Kind::Avg,
            "var" | "var_samp" => Kind::Variance(Form::Sample, false),
            "var_pop" => Kind::Variance(Form::Population, false),
            "stddev" | "stddev_samp" => Kind::Variance(Form::Sample, true),
            "stddev_pop" => Kind::Variance(Form::Population, true),
            _ => return None,
        })
    }
}

impl Kind {
    pub fn is_variance(self) -> bool {
        matches!(self, Kind::Variance(..))
    }

    /// The output made of a sum, a sum of squares and the number of values.
    pub fn output(self, sum: usize, squares: usize, count: usize) -> Output {
        match self {
            Kind::Variance(form, root) => Output::Variance { sum, squares, count, form, root },
            Kind::Avg => Output::Avg { sum, count },
            Kind::Sum | Kind::Count => Output::Sum { sum, count },
        }
    }
}

pub(crate) fn not_a_sum(name: &str) -> PlanError {
    const LISTING: [&str; 5] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];
    if is_order(name) {
        let text =
            format!("{name} over the rows of many patients, inside a site's own work, is the value of one of them");
        return PlanError::new("NOT_RELEASED", text)
            .hint("take it at the end of the question, or group by the patient key first");
    }
    if LISTING.contains(&name) {
        return PlanError::new(
            "NOT_RELEASED",
            format!("{name} would list values of single rows, which are never released"),
        );
    }
    PlanError::new("UNSUPPORTED", format!("{name} cannot be computed as a sum"))
        .hint("available: COUNT, SUM, AVG, VAR_SAMP, VAR_POP, STDDEV_SAMP, STDDEV_POP, MIN, MAX, MEDIAN, PERCENTILE_CONT, PERCENTILE_DISC, APPROX_COUNT_DISTINCT, each with FILTER")
}

/// Takes off the casts to double that type coercion put around an exact number: the exact sum is the better one.
pub(crate) fn exact<'e>(expr: &'e Expr, scope: &Scope<'_>) -> &'e Expr {
    match expr {
        Expr::Alias(alias) => exact(&alias.expr, scope),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            let inner = exact(&cast.expr, scope);
            let is_exact = inner.get_type(scope).is_ok_and(|t| matches!(digits(&t), Ok(Some(_))));
            if is_exact { inner } else { expr }
        }
        other => other,
    }
}

/// Decimal digits of an exact type; none for doubles.
pub(crate) fn digits(data_type: &DataType) -> Result<Option<u8>, ()> {
    match data_type {
        integer if integer.is_integer() => Ok(Some(0)),
        DataType::Decimal128(_, scale) => u8::try_from(*scale).map(Some).map_err(|_| ()),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok(None),
        _ => Err(()),
    }
}

pub(crate) fn as_carrier(expr: Expr, carrier: &DataType, scope: &Scope<'_>) -> Expr {
    match expr.get_type(scope) {
        Ok(data_type) if data_type == *carrier => expr,
        _ => cast(expr, carrier.clone()),
    }
}

/// Is a row the first that this window numbers?
pub(crate) fn first_of(window: usize) -> Expr {
    Expr::Column(Column::new_unqualified(window_name(window))).eq(lit(1u64))
}

/// What the window functions of a local stage are called: their own names hide casts, so two could be alike.
pub(crate) fn window_name(position: usize) -> String {
    format!("occurrence_{}", position + 1)
}

/// How the words for a DISTINCT filter begin.
pub(crate) const ONCE: &str = "counting each ";

/// Fractional bits of a double in a sum: 2^-40 per site is far below what a double sum itself loses.
const BINARY_DIGITS: u8 = 40;
