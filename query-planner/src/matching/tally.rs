//! How many rows a view has for each patient, what they add up to, and whether there are any.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use datafusion_expr::expr::AggregateFunction;

use crate::error::PlanError;
use crate::matching::codes::{self, Choose};
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::values::{Linear, Value};
use crate::matching::view::{Col, Part, View, Weight, not_yet_because};
use crate::matching::{home, pairs, unmatchable, windows};
use crate::words::words;

/// A view with the part whose columns are group keys, if there is one.
pub(crate) struct Tally<'v, 'n, 'a> {
    pub view: &'v View,
    /// Position of the part, and the keys over its columns.
    pub keyed: Option<(usize, Vec<Expr>)>,
    pub nodes: &'n mut Nodes<'a>,
}

/// What a FILTER clause leaves.
#[derive(Debug, Clone)]
pub(crate) struct Only {
    pub rows: Option<(usize, Expr)>,
    pub bit: Bit,
}

/// What an aggregate is over.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    /// Every row.
    All,
    /// Rows with a patient key.
    Key(Bit),
    Row(usize, Expr),
    Patient(Value),
}

impl Only {
    pub const ALL: Only = Only { rows: None, bit: Bit::Yes };
}

impl Tally<'_, '_, '_> {
    pub fn filter(&mut self, call: &AggregateFunction) -> Result<Only, PlanError> {
        let Some(clause) = call.params.filter.as_deref() else { return Ok(Only::ALL) };
        if let Some((part, inner)) = self.view.local(clause) {
            if matches!(self.view.parts[part].weight, Weight::Once) || self.view.parts[part].ranked.is_some() {
                return Err(not_yet_because(format!("FILTER (WHERE {})", words(clause))));
            }
            return Ok(Only { rows: Some((part, inner)), bit: Bit::Yes });
        }
        Ok(Only { rows: None, bit: self.view.truth(clause, self.nodes)?.yes })
    }

    pub fn arg(&mut self, call: &AggregateFunction) -> Result<Arg, PlanError> {
        let name = call.func.name();
        let [arg] = &call.params.args[..] else {
            return Err(PlanError::new("UNSUPPORTED", format!("{name} of several columns is not supported")));
        };
        let inner = home::peeled(arg);
        if let Some(key) = self.view.key(inner) {
            return Ok(Arg::Key(key));
        }
        match inner {
            Expr::Literal(scalar, _) if name == "count" && *scalar != ScalarValue::Null => return Ok(Arg::All),
            _ => {}
        }
        if let Some((part, inner)) = self.view.local(arg) {
            return Ok(Arg::Row(part, inner));
        }
        match self.view.column(arg, self.nodes) {
            Col::Refused(why) => Err(why),
            Col::Patient(value) => Ok(Arg::Patient(value)),
            Col::Key(key) => Ok(Arg::Key(key)),
            _ => Err(not_yet_because(format!("{name} of {}", words(arg)))),
        }
    }

    /// The rows of a part that a figure looks at.
    pub fn choose(&self, part: usize, only: &Only) -> Choose {
        let keys = match &self.keyed {
            Some((keyed, keys)) if *keyed == part => keys.clone(),
            _ => Vec::new(),
        };
        let filter = only.rows.as_ref().filter(|(of, _)| *of == part).map(|(_, filter)| filter.clone());
        Choose { filter, keys }
    }

    /// Is there a row?
    pub fn exists(&mut self, only: &Only) -> Result<Bit, PlanError> {
        let mut all = self.nodes.and(self.view.present, only.bit);
        for (at, part) in self.view.parts.iter().enumerate() {
            let rows = self.choose(at, only);
            let any = match &part.weight {
                // One row is there in any case, but it meets no condition on columns that it lacks.
                Weight::Optional(_) if rows.filter.is_none() => continue,
                Weight::Optional(bit) => {
                    let any = codes::any(part, &rows, self.nodes);
                    self.nodes.and(any, *bit)
                }
                _ if part.ranked.is_some() => windows::exists(part, &rows, self.nodes)?,
                _ => codes::any(part, &rows, self.nodes),
            };
            all = self.nodes.and(all, any);
        }
        let pairs = pairs::holds(self, only)?;
        Ok(self.nodes.and(all, pairs))
    }

    /// How many rows there are.
    pub fn count(&mut self, only: &Only) -> Result<usize, PlanError> {
        self.product(only, None)
    }

    /// The number added up over all rows, where it is not NULL.
    pub fn total(&mut self, number: &Linear, only: &Only) -> Result<usize, PlanError> {
        let node = number.node(self.nodes)?;
        let bit = self.nodes.and(only.bit, number.present);
        self.product(&Only { bit, ..only.clone() }, Some((None, node)))
    }

    /// A column of a part added up over all rows, and its decimal digits.
    pub fn total_of_rows(&mut self, part: usize, expr: &Expr, only: &Only) -> Result<(usize, u8), PlanError> {
        let (of, rows) = (&self.view.parts[part], self.choose(part, only));
        if of.ranked.is_some() || !matches!(of.weight, Weight::Rows | Weight::Optional(_)) {
            return Err(not_yet_because(format!("the sum of {} over these rows", words(expr))));
        }
        let (sum, digits) = codes::sum(of, expr, &rows, self.nodes)?;
        let only = match of.weight {
            Weight::Optional(bit) => Only { bit: self.nodes.and(only.bit, bit), ..only.clone() },
            _ => only.clone(),
        };
        Ok((self.product(&only, Some((Some(part), sum)))?, digits))
    }

    /// The same with "is not NULL".
    pub fn not_null(&mut self, part: usize, expr: &Expr, only: &Only) -> Result<Only, PlanError> {
        let own = only.rows.as_ref().filter(|(of, _)| *of == part).map(|(_, filter)| filter.clone());
        if own.is_none() && only.rows.is_some() {
            return Err(not_yet_because(format!("FILTER on another table's rows than {} is in", words(expr))));
        }
        let rows =
            codes::not_null(&self.view.parts[part], expr, &Choose { filter: own, keys: Vec::new() }, self.nodes)?;
        let numbered = self.view.parts[part].ranked.as_ref();
        if rows.filter.is_some() && numbered.is_some_and(|numbered| !numbered.has_last(expr)) {
            // Rows are numbered before it is asked which of them have a value.
            return Err(not_yet_because(format!("whether {} is NULL in rows that are numbered", words(expr))));
        }
        // An outer join's missing row has no value, whatever the column says of itself.
        let filter = match (&rows.filter, &self.view.parts[part].weight) {
            (None, Weight::Optional(_)) => Some(codes::always()),
            (filter, _) => filter.clone(),
        };
        Ok(Only { rows: filter.map(|filter| (part, filter)), bit: only.bit })
    }

    /// The product of what each part adds, with `instead` in the place of one of them.
    fn product(&mut self, only: &Only, instead: Option<(Option<usize>, usize)>) -> Result<usize, PlanError> {
        let replaced = instead.and_then(|(of, _)| of);
        if !pairs::are_countable(self.view) || replaced.is_some_and(|part| pairs::is_compared(self.view, part)) {
            let text = "counting or adding up the pairs of rows that a comparison between two tables leaves";
            return Err(not_yet_because(text.into())
                .hint("count the patients that have such a pair: COUNT(DISTINCT …), or use EXISTS"));
        }
        let mut bit = self.nodes.and(self.view.present, only.bit);
        let mut product = match instead {
            Some((_, node)) => node,
            None => self.nodes.constant(1)?,
        };
        for (at, part) in self.view.parts.iter().enumerate() {
            if instead.is_some_and(|(of, _)| of == Some(at)) {
                continue;
            }
            match self.weight(at, part, only)? {
                Times::Bit(any) => bit = self.nodes.and(bit, any),
                Times::Number(node) => product = self.nodes.multiply(product, node)?,
            }
        }
        self.nodes.select(bit, product)
    }

    /// How many rows of a part meet what they are compared with.
    fn hits(&mut self, part: usize, only: &Only) -> Result<usize, PlanError> {
        let mut total = self.nodes.constant(0)?;
        for hit in pairs::hits(self, part, only)? {
            let one = self.nodes.number(hit)?;
            total = self.nodes.add(total, one)?;
        }
        Ok(total)
    }

    /// How many distinct tuples of some columns with few possible values a patient has.
    fn distinct(&mut self, part: &Part, columns: &[&Expr], rows: &Choose) -> Result<usize, PlanError> {
        let Some(tuples) = codes::tuples(part, columns, MAX_TUPLES, self.nodes)? else {
            let names: Vec<String> = columns.iter().map(|column| words(column)).collect();
            let text = format!("counting the distinct values of {} of each patient", names.join(", "));
            return Err(not_yet_because(text).hint(
                "group by all of them, declare their domains (at most 64 values together), or count the patients",
            ));
        };
        let mut total = self.nodes.constant(0)?;
        for tuple in tuples {
            let any = codes::any(part, &rows.and(tuple), self.nodes);
            let one = self.nodes.number(any)?;
            total = self.nodes.add(total, one)?;
        }
        Ok(total)
    }

    fn weight(&mut self, at: usize, part: &Part, only: &Only) -> Result<Times, PlanError> {
        let rows = self.choose(at, only);
        Ok(match &part.weight {
            _ if part.ranked.is_some() => Times::Number(windows::count(part, &rows, self.nodes)?),
            Weight::Rows if pairs::is_compared(self.view, at) => Times::Number(self.hits(at, only)?),
            _ if pairs::is_compared(self.view, at) => {
                return Err(not_yet_because(
                    "counting distinct rows that are compared with dates of the patient".into(),
                ));
            }
            Weight::Rows if part.is_unique => Times::Bit(codes::any(part, &rows, self.nodes)),
            Weight::Rows => Times::Number(codes::count(part, &rows, self.nodes)?),
            Weight::Once => Times::Bit(codes::any(part, &rows, self.nodes)),
            Weight::Tuples(tuple) => {
                let rest: Vec<&Expr> = tuple.iter().filter(|key| !rows.keys.contains(key)).collect();
                match rest.is_empty() {
                    true => Times::Bit(codes::any(part, &rows, self.nodes)),
                    false => Times::Number(self.distinct(part, &rest, &rows)?),
                }
            }
            Weight::Optional(bit) => {
                let count = codes::count(part, &rows, self.nodes)?;
                let count = self.nodes.select(*bit, count)?;
                if rows.filter.is_some() {
                    return Ok(Times::Number(count));
                }
                let any = codes::any(part, &rows, self.nodes);
                let matched = self.nodes.and(*bit, any);
                let alone = self.nodes.not(matched);
                let alone = self.nodes.number(alone)?;
                Times::Number(self.nodes.add(count, alone)?)
            }
        })
    }
}

/// Each tuple is a feature of its own.
const MAX_TUPLES: usize = 64;

enum Times {
    Bit(Bit),
    Number(usize),
}

/// A count as a value of the patient.
pub(crate) fn as_value(node: usize) -> Value {
    Value::Number(Linear::of_node(node, Bit::Yes))
}

pub(crate) fn no_key_value(name: &str, key: &str) -> PlanError {
    let text = format!("{name} of {key} would reveal something about single patients' identifiers");
    PlanError::new("PATIENT_KEY_VALUE", text).hint("count it instead")
}

pub(crate) fn distinct_only_of_key(name: &str) -> PlanError {
    unmatchable(format!("{name}(DISTINCT …) over matched patients counts nothing but patients"))
}
