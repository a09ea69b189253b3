//! The features of one relation. Features with the same keys are counted and sorted together, as the slots and orders of a
//! sum whose groups are pairs of a patient and a tuple of keys.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use query_planner::catalog::SiteName;
use query_planner::matched::{Feature, Matching, Relation, What};
use query_planner::plan::{Encoding, Groups, Order, Path, Ring, Scale, SecureSum, Slot, Summand};

use super::groups::GroupTable;
use super::orders::Codes;
use super::patients::{Entry, Known, Patients, check};
use super::plan_invalid;
use super::totals::Totals;
use crate::fault::NodeError;

/// Features of one relation with the same keys, in the words of a sum.
pub(super) struct ClassPlan {
    sum: SecureSum,
    keys: Vec<usize>,
    /// Each feature's position in the matching, and of its slot or order in `sum`.
    features: Vec<(usize, Kept)>,
}

#[derive(Clone, Copy)]
enum Kept {
    Slot(usize),
    Order(usize),
}

/// The classes of a relation's features.
///
/// # Errors
/// `PLAN_INVALID` for a plan that contradicts itself.
pub(super) fn classes(sum: &SecureSum, matching: &Matching, relation: usize) -> Result<Vec<ClassPlan>, NodeError> {
    let mut classes: Vec<ClassPlan> = Vec::new();
    for (index, feature) in matching.features.iter().enumerate().filter(|(_, f)| f.relation == relation) {
        check(&matching.relations[relation], feature)?;
        let class = match classes.iter().position(|class| class.keys == feature.keys) {
            Some(class) => class,
            None => {
                classes.push(ClassPlan::new(sum, matching, feature)?);
                classes.len() - 1
            }
        };
        classes[class].put(index, feature);
    }
    Ok(classes)
}

impl ClassPlan {
    fn new(sum: &SecureSum, matching: &Matching, feature: &Feature) -> Result<Self, NodeError> {
        let keys = if feature.keys.is_empty() { &[][..] } else { &matching.row_keys };
        if keys.len() != feature.keys.len() || keys.iter().any(|key| *key >= sum.keys.len()) {
            return Err(plan_invalid("a feature with other keys than its sum"));
        }
        let relation = &matching.relations[feature.relation];
        let rows = slot(Summand::Rows, None, Scale::Decimal(0), u64::BITS - 1);
        let sum = SecureSum {
            contributors: relation.contributors.clone(),
            local_work: String::new(),
            row_bound: relation.row_bound,
            columns: relation.columns.clone(),
            keys: keys.iter().map(|key| sum.keys[*key].clone()).collect(),
            groups: if keys.is_empty() { Groups::Whole } else { sum.groups.clone() },
            slots: vec![rows],
            cells: Vec::new(),
            disjoint: Vec::new(),
            orders: Vec::new(),
            sketches: Vec::new(),
            top: None,
            outputs: Vec::new(),
            patients: Vec::new(),
            matching: None,
            between: Vec::new(),
            sensitive: Vec::new(),
            noised: Vec::new(),
            supports: Vec::new(),
        };
        Ok(Self { sum, keys: feature.keys.clone(), features: Vec::new() })
    }

    fn put(&mut self, index: usize, feature: &Feature) {
        let exact = Scale::Decimal(0);
        let kept = match feature.what {
            What::Any => self.put_slot(slot(Summand::Rows, feature.filter, exact, u64::BITS - 1)),
            What::Count(None) => self.put_slot(slot(Summand::Rows, feature.filter, exact, feature.bits)),
            What::Count(Some(column)) => {
                self.put_slot(slot(Summand::NotNull(column), feature.filter, exact, feature.bits))
            }
            What::Sum(column, scale) => {
                self.put_slot(slot(Summand::Value(column), feature.filter, scale, feature.bits))
            }
            What::Least(column, encoding)
            | What::Greatest(column, encoding)
            | What::Events { column, encoding, .. } => self.put_order(column, feature.filter, encoding),
        };
        self.features.push((index, kept));
    }

    fn put_slot(&mut self, slot: Slot) -> Kept {
        self.sum.slots.push(slot);
        Kept::Slot(self.sum.slots.len() - 1)
    }

    fn put_order(&mut self, column: usize, filter: Option<usize>, encoding: Encoding) -> Kept {
        self.sum.orders.push(Order { column, filter, count: 0, encoding, path: Path::Local, points: Vec::new() });
        Kept::Order(self.sum.orders.len() - 1)
    }
}

fn slot(what: Summand, filter: Option<usize>, scale: Scale, bits: u32) -> Slot {
    Slot { what, filter, ring: Ring::Z64, scale, partial_bits: bits, proven: false }
}

/// The rows of a class so far.
pub(super) struct Class<'a> {
    plan: &'a ClassPlan,
    site: &'a SiteName,
    tuples: GroupTable<'a>,
    totals: Totals<'a>,
    codes: Codes<'a>,
    /// The number of each pair of a patient and a tuple.
    cells: HashMap<(usize, usize), usize>,
}

impl<'a> Class<'a> {
    /// No rows yet.
    pub(super) fn new(plan: &'a ClassPlan, site: &'a SiteName) -> Self {
        let sum = &plan.sum;
        let (tuples, totals, codes) = (GroupTable::new(sum, site), Totals::new(sum, site), Codes::new(sum, site));
        Self { plan, site, tuples, totals, codes, cells: HashMap::new() }
    }

    /// Adds a batch whose rows belong to these patients.
    pub(super) fn add(&mut self, batch: &RecordBatch, patients: &[usize]) -> Result<(), NodeError> {
        let keys = batch.project(&self.plan.keys).map_err(|_| plan_invalid("a key that its relation does not have"))?;
        let tuples = self.tuples.assign(&keys)?;
        let mut cells = Vec::with_capacity(patients.len());
        for pair in patients.iter().copied().zip(tuples) {
            let next = self.cells.len();
            cells.push(*self.cells.entry(pair).or_insert(next));
        }
        self.totals.add(batch, &cells, self.cells.len())?;
        self.codes.add(batch, &cells, self.cells.len())
    }

    /// Writes what the rows say of each patient; the keys too, where these are `agreed`.
    pub(super) fn finish(
        self,
        matching: &Matching,
        relation: &Relation,
        agreed: bool,
        known: &mut Patients,
    ) -> Result<(), NodeError> {
        let Self { plan, site, tuples, totals, codes, cells } = self;
        let (slots, orders) = (totals.finish(cells.len())?, codes.finish(cells.len()));
        let numbered = tuples.into_keys();
        let mut rows_of = vec![0; numbered.len()];
        cells.iter().for_each(|((_, tuple), cell)| rows_of[*tuple] += slots[0][*cell] as u64);
        if agreed && !plan.keys.is_empty() {
            known.offered = numbered.iter().map(|(key, tuple)| (key.clone(), rows_of[*tuple])).collect();
        }
        let mut names = vec![Vec::new(); numbered.len()];
        numbered.into_iter().for_each(|(key, tuple)| names[tuple] = key);
        for (index, kept) in &plan.features {
            let limits = Limits { feature: &matching.features[*index], relation, site };
            let mut entries = Vec::with_capacity(cells.len());
            for ((patient, tuple), cell) in &cells {
                let numbers = match kept {
                    Kept::Slot(slot) => limits.number(slots[*slot][*cell])?,
                    Kept::Order(order) => limits.codes(&orders[*order][*cell])?,
                };
                let entry = |(at, number)| Entry { patient: *patient, tuple: *tuple, at, number };
                entries.extend(numbers.into_iter().enumerate().map(entry).filter(|entry| entry.number != 0));
            }
            known.features[*index] = Known { tuples: names.clone(), entries };
        }
        Ok(())
    }
}

/// What a feature's numbers are, and what they may be.
struct Limits<'a> {
    feature: &'a Feature,
    relation: &'a Relation,
    site: &'a SiteName,
}

impl Limits<'_> {
    fn number(&self, total: i128) -> Result<Vec<u64>, NodeError> {
        if self.feature.what == What::Any {
            return Ok(vec![u64::from(total > 0)]);
        }
        let all = total.unsigned_abs().checked_mul(self.relation.contributors.len() as u128);
        if all.is_none_or(|all| all >= 1 << self.feature.bits) {
            let (site, what, bits) = (self.site, self.words(), self.feature.bits);
            let message = format!("site {site}: {what}: all sites' may not fit the {bits} bits that the plan gives it");
            return Err(
                NodeError::new("SUM_OVERFLOW", message).hint("declare a range for the column, or sum smaller values")
            );
        }
        Ok(vec![total as u64])
    }

    /// Of codes in ascending order.
    fn codes(&self, codes: &[u64]) -> Result<Vec<u64>, NodeError> {
        let bits = self.feature.bits;
        Ok(match self.feature.what {
            What::Least(..) => codes.first().map(|code| (1 << bits) - code).into_iter().collect(),
            What::Greatest(..) => codes.last().map(|code| code + 1).into_iter().collect(),
            What::Events { bound, .. } if codes.len() > bound as usize => {
                let (site, what) = (self.site, self.words());
                let message = format!("site {site}: {what}: a patient has more than the {bound} rows of the plan");
                return Err(
                    NodeError::new("TOO_MANY_EVENTS", message).hint("filter the rows, or declare a larger max_events")
                );
            }
            _ => codes.iter().map(|code| (2 << bits) - code).collect(),
        })
    }

    /// The feature in SQL's words.
    fn words(&self) -> String {
        let name = |column: usize| self.relation.columns.get(column).map_or("?", String::as_str);
        match self.feature.what {
            What::Any => "EXISTS".to_owned(),
            What::Count(None) => "COUNT(*) of a patient".to_owned(),
            What::Count(Some(column)) => format!("COUNT({}) of a patient", name(column)),
            What::Sum(column, _) => format!("SUM({}) of a patient", name(column)),
            What::Least(column, _) => format!("MIN({}) of a patient", name(column)),
            What::Greatest(column, _) => format!("MAX({}) of a patient", name(column)),
            What::Events { column, .. } => format!("the {} of a patient in order", name(column)),
        }
    }
}
