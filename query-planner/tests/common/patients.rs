//! The answer of a matched sum on rows in the clear: features of each patient at each site, nodes, totals.

use std::collections::BTreeSet;

use query_planner::Compiled;
use query_planner::decode::{Opened, decode, groups};
use query_planner::matched::{Feature, Matching, What};
use query_planner::matching::evaluate::{Known, absent, combined, nodes};
use query_planner::plan::{Groups, Scale, SecureSum, Slot, Summand};
use query_planner::value::Value;

use super::interpret::{Row, Tables, rows, value};

/// The revealed rows of the first sum, as text.
pub fn answer(compiled: &Compiled, tables: &Tables) -> Vec<Vec<String>> {
    let sum = &compiled.joint.sums[0];
    let matching = sum.matching.as_ref().expect("patients are matched");
    let parts = Parts::new(compiled, matching, tables);
    let own: Vec<Row> = compiled.local[0].fragments.values().flat_map(|plan| rows(plan, tables)).collect();
    let groups = match sum.groups {
        Groups::Agreed { .. } if matching.key_relation.is_some() => parts.agreed(matching),
        Groups::Agreed { .. } => own.iter().map(|row| tuple(row, sum)).collect::<BTreeSet<_>>().into_iter().collect(),
        _ => groups(sum),
    };
    let total = |slot: &Slot, group: &Vec<Value>| match slot.what {
        Summand::Patients(node) => parts.total(matching, node, group),
        _ => own.iter().filter(|row| tuple(row, sum) == *group).map(|row| summand(slot, row)).sum(),
    };
    let totals: Vec<Vec<i128>> =
        sum.slots.iter().map(|slot| groups.iter().map(|group| total(slot, group)).collect()).collect();
    let batch = decode(sum, compiled.revealed[0].clone(), &Opened::sums(&groups, &totals)).unwrap();
    let cell = |column: usize, row: usize| {
        let scalar = datafusion_common::ScalarValue::try_from_array(batch.column(column), row).unwrap();
        value(&scalar).to_string()
    };
    (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| cell(column, row)).collect()).collect()
}

fn tuple(row: &Row, sum: &SecureSum) -> Vec<Value> {
    row[..sum.keys.len()].iter().map(value).collect()
}

/// What one row adds to a slot over rows.
fn summand(slot: &Slot, row: &Row) -> i128 {
    let at = |column: usize| value(&row[column]);
    if slot.filter.is_some_and(|column| at(column) != Value::Bool(true)) {
        return 0;
    }
    let number = |column: usize| if at(column) == Value::Null { 0 } else { unscaled(&at(column)) };
    match slot.what {
        Summand::Rows => 1,
        Summand::NotNull(column) => i128::from(at(column) != Value::Null),
        Summand::Value(column) => number(column),
        Summand::Square(column) => number(column).pow(2),
        other => panic!("no question here has {other:?}"),
    }
}

/// `rows[relation][site]`.
struct Parts {
    rows: Vec<Vec<Vec<Row>>>,
    patients: BTreeSet<Value>,
    domains: Vec<Vec<Value>>,
}

impl Parts {
    fn new(compiled: &Compiled, matching: &Matching, tables: &Tables) -> Parts {
        let keys = &compiled.joint.sums[0].keys;
        let domains = keys.iter().map(|key| key.domain.clone().unwrap_or_default()).collect();
        let mut parts = Parts { rows: Vec::new(), patients: BTreeSet::new(), domains };
        for (fragments, relation) in compiled.local[0].relations.iter().zip(&matching.relations) {
            let mut sites = Vec::new();
            for site in &matching.sites {
                assert_eq!(fragments.contains_key(site), relation.contributors.contains(site));
                let mut own = fragments.get(site).map(|plan| rows(plan, tables)).unwrap_or_default();
                own.retain(|row| !row[0].is_null());
                parts.patients.extend(own.iter().map(|row| value(&row[0])));
                sites.push(own);
            }
            parts.rows.push(sites);
        }
        parts
    }

    fn agreed(&self, matching: &Matching) -> Vec<Vec<Value>> {
        let relation = matching.key_relation.expect("keys come from a relation");
        let keys = |f: &&Feature| f.relation == relation && !f.keys.is_empty();
        let keys = &matching.features.iter().find(keys).expect("a feature has keys").keys;
        let tuples = self.rows[relation].iter().flatten();
        let tuples: BTreeSet<Vec<Value>> = tuples.map(|row| keys.iter().map(|k| value(&row[*k])).collect()).collect();
        tuples.into_iter().collect()
    }

    /// Telescoping, as the sites do it: f(what sites ≤ j know) − f(what sites < j know), where j has the patient.
    fn total(&self, matching: &Matching, slot: usize, group: &[Value]) -> i128 {
        let mut total = 0;
        for patient in &self.patients {
            for site in 0..matching.sites.len() {
                if self.rows.iter().any(|sites| sites[site].iter().any(|row| value(&row[0]) == *patient)) {
                    total += self.figure(matching, slot, group, patient, site + 1);
                    total -= self.figure(matching, slot, group, patient, site);
                }
            }
        }
        total
    }

    /// The slot of one patient as the first sites know it.
    fn figure(&self, matching: &Matching, slot: usize, group: &[Value], patient: &Value, sites: usize) -> i128 {
        let tuple: Vec<&Value> = matching.row_keys.iter().map(|key| &group[*key]).collect();
        let known = |at: usize| {
            let feature = &matching.features[at];
            let parts = (0..sites).map(|site| {
                let of_patient = |row: &&Row| {
                    let key = feature.keys.iter().zip(&tuple).all(|(column, wanted)| value(&row[*column]) == **wanted);
                    let chosen = feature.filter.is_none_or(|column| value(&row[column]) == Value::Bool(true));
                    value(&row[0]) == *patient && key && chosen
                };
                let rows: Vec<&Row> = self.rows[feature.relation][site].iter().filter(of_patient).collect();
                local(matching, at, &rows)
            });
            parts.fold(absent(matching, at), |a, b| combined(matching, at, &a, &b))
        };
        let features: Vec<Known> = (0..matching.features.len()).map(known).collect();
        let values = nodes(matching, &features);
        for (value, step) in values.iter().zip(&matching.nodes) {
            assert!(value.unsigned_abs() < 1 << step.bits, "{value} has more than {} bits", step.bits);
        }
        let keys = matching.patient_keys.iter().map(|key| {
            let domain = self.domains[key.key].iter().position(|value| *value == group[key.key]);
            values[key.values[domain.expect("the group is of the domain")]]
        });
        keys.product::<i128>() * values[slot]
    }
}

/// What a site knows of its own rows of a patient.
fn local(matching: &Matching, at: usize, rows: &[&Row]) -> Known {
    let feature = &matching.features[at];
    let values = |column: usize| rows.iter().map(move |row| value(&row[column])).filter(|v| *v != Value::Null);
    let none = || absent(matching, at);
    match feature.what {
        What::Any => Known::Bit(!rows.is_empty()),
        What::Count(None) => Known::Number(rows.len() as i128),
        What::Count(Some(column)) => Known::Number(values(column).count() as i128),
        What::Sum(column, Scale::Decimal(_)) => Known::Number(values(column).map(|v| unscaled(&v)).sum()),
        What::Sum(_, Scale::Binary(_)) => panic!("numbers of patients are exact"),
        What::Least(column, encoding) => {
            let codes = values(column).map(|v| encoding.code(&v).unwrap());
            codes.min().map_or_else(none, |code| Known::Number(code.into()))
        }
        What::Greatest(column, encoding) => {
            let codes = values(column).map(|v| encoding.code(&v).unwrap());
            codes.max().map_or_else(none, |code| Known::Number(code.into()))
        }
        What::Events { column, encoding, bound } => {
            let mut codes: Vec<u64> = values(column).map(|v| encoding.code(&v).unwrap()).collect();
            assert!(codes.len() <= bound as usize);
            codes.sort_unstable();
            Known::Events(codes)
        }
    }
}

fn unscaled(value: &Value) -> i128 {
    match value {
        Value::Int(i) => (*i).into(),
        Value::Decimal(x, _) => *x,
        other => panic!("{other} is no number"),
    }
}
