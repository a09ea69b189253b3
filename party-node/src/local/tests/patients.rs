//! Claims about what a site knows of its patients.

use query_planner::matched::{Feature, Matching, Relation, What};
use query_planner::order::{Encoding, Number};

use super::*;
use crate::local::patients::Patients;

const COLUMNS: [(&str, ColumnType); 4] =
    [("id", ColumnType::Text), ("g", ColumnType::Int), ("v", ColumnType::Int), ("f", ColumnType::Bool)];

/// Patient a has three rows, b two, c one; one row has no key and one key has no value.
const ROWS: &str = "id,g,v,f\na,1,5,true\na,1,3,false\na,2,9,true\nb,2,7,\nb,2,,true\n,1,1,true\nc,1,4,false\n";

fn feature(what: What) -> Feature {
    Feature { relation: 0, filter: None, keys: Vec::new(), what, bits: 8 }
}

fn codes() -> Encoding {
    Encoding { number: Number::Exact(0), low: 0, bits: 4, checked: true }
}

fn events(bound: u32) -> What {
    What::Events { column: 2, encoding: codes(), bound }
}

fn matching(features: Vec<Feature>) -> Matching {
    let columns = COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let relation = Relation { contributors: vec![site()], local_work: String::new(), row_bound: 1024, columns };
    Matching {
        sites: vec![site()],
        max_patients: 3,
        passes: 1,
        further_keys: None,
        relations: vec![relation],
        features,
        nodes: Vec::new(),
        row_keys: vec![0],
        patient_keys: Vec::new(),
        key_relation: None,
    }
}

fn run(f: &Fixture, matching: Matching, groups: Groups) -> Result<Patients, NodeError> {
    let columns = COLUMNS.iter().map(|(name, _)| col(*name)).collect();
    let plan = f.project(columns);
    let keys = match groups {
        Groups::Declared => vec![key("g", Some(vec![Value::Int(1), Value::Int(2)]))],
        Groups::Whole => Vec::new(),
        Groups::Agreed { .. } => vec![key("g", None)],
    };
    let mut sum = secure_sum(&plan, groups, keys, Vec::new());
    sum.matching = Some(matching);
    let stage = LocalStage {
        fragments: BTreeMap::new(),
        relations: vec![BTreeMap::from([(site(), plan.clone())])],
        cohort: None,
    };
    let mut partials = partials_blocking(&stage, &sum, &site(), &f.data, NETWORK)?;
    Ok(partials.patients.take().unwrap())
}

/// What is known of patients a, b and c, in the order in which they appear: pairs of a tuple's number and a number, by event.
fn numbers(known: &Patients, feature: usize) -> Vec<Vec<(usize, u64)>> {
    let known_feature = &known.features[feature];
    let order: BTreeMap<&Vec<u8>, ()> = known_feature.tuples.iter().map(|tuple| (tuple, ())).collect();
    let rank = |tuple: usize| order.keys().position(|key| **key == known_feature.tuples[tuple]).unwrap();
    let of = |patient: usize| {
        let entries = known_feature.entries.iter().filter(|entry| entry.patient == patient);
        let mut numbers: Vec<_> = entries.map(|entry| (rank(entry.tuple), entry.at, entry.number)).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(tuple, _, number)| (tuple, number)).collect()
    };
    (0..known.keys.len()).map(of).collect()
}

fn whole(numbers: &[&[u64]]) -> Vec<Vec<(usize, u64)>> {
    numbers.iter().map(|of| of.iter().map(|number| (0, *number)).collect()).collect()
}

#[test]
fn every_kind_of_feature_skips_null_and_rows_without_a_key() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let what = [
        What::Any,
        What::Count(None),
        What::Count(Some(2)),
        What::Sum(2, Scale::Decimal(0)),
        What::Least(2, codes()),
        What::Greatest(2, codes()),
        events(3),
    ];
    let known = run(&f, matching(what.into_iter().map(feature).collect()), Groups::Whole).unwrap();
    assert_eq!(numbers(&known, 0), whole(&[&[1], &[1], &[1]]));
    assert_eq!(numbers(&known, 1), whole(&[&[3], &[2], &[1]]));
    assert_eq!(numbers(&known, 2), whole(&[&[3], &[1], &[1]]));
    assert_eq!(numbers(&known, 3), whole(&[&[17], &[7], &[4]]));
    assert_eq!(numbers(&known, 4), whole(&[&[256 - 3], &[256 - 7], &[256 - 4]]));
    assert_eq!(numbers(&known, 5), whole(&[&[9 + 1], &[7 + 1], &[4 + 1]]));
    assert_eq!(numbers(&known, 6), whole(&[&[512 - 3, 512 - 5, 512 - 9], &[512 - 7], &[512 - 4]]));
}

#[test]
fn a_filter_chooses_rows_and_a_patient_without_any_is_still_entered() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let filtered = |what| Feature { filter: Some(3), ..feature(what) };
    let known = run(&f, matching(vec![filtered(What::Any), filtered(What::Least(2, codes()))]), Groups::Whole).unwrap();
    assert_eq!(numbers(&known, 0), whole(&[&[1], &[1], &[]]));
    assert_eq!(numbers(&known, 1), whole(&[&[256 - 5], &[], &[]]));
    assert_eq!(known.keys.len(), 3);
}

#[test]
fn features_with_keys_have_a_number_for_each_tuple() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let keyed = |what| Feature { keys: vec![1], ..feature(what) };
    let features = vec![keyed(What::Count(None)), feature(What::Count(None)), keyed(events(2))];
    let known = run(&f, matching(features), Groups::Declared).unwrap();
    assert_eq!(numbers(&known, 0), [vec![(0, 2), (1, 1)], vec![(1, 2)], vec![(0, 1)]]);
    assert_eq!(numbers(&known, 1), whole(&[&[3], &[2], &[1]]));
    assert_eq!(numbers(&known, 2)[0], [(0, 512 - 3), (0, 512 - 5), (1, 512 - 9)]);
    assert!(known.offered.is_empty());
}

#[test]
fn agreed_keys_are_offered_with_the_rows_of_patients() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let mut matching = matching(vec![Feature { keys: vec![1], ..feature(What::Any) }, feature(What::Any)]);
    matching.key_relation = Some(0);
    let known = run(&f, matching, agreed()).unwrap();
    let key = |value| keys::encode(&[Value::Int(value)]);
    // The row without a patient key has key 1 and is not counted.
    assert_eq!(known.offered, [(key(1), 3), (key(2), 3)]);
}

#[test]
fn an_empty_site_knows_nobody() {
    let f = Fixture::new("id,g,v,f\n", &COLUMNS);
    let known = run(&f, matching(vec![feature(What::Any), feature(events(2))]), Groups::Whole).unwrap();
    assert!(known.keys.is_empty() && known.features.iter().all(|feature| feature.entries.is_empty()));
}

#[test]
fn a_site_that_has_no_such_rows_knows_nobody() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let mut sum = secure_sum(&f.project(vec![col("id")]), Groups::Whole, vec![], vec![]);
    sum.matching = Some(matching(vec![feature(What::Any)]));
    let stage = LocalStage { fragments: BTreeMap::new(), relations: vec![BTreeMap::new()], cohort: None };
    let partials = partials_blocking(&stage, &sum, &site(), &f.data, NETWORK).unwrap();
    assert!(partials.patients.as_ref().unwrap().keys.is_empty());
}

#[test]
fn bounds_that_rows_exceed_are_refused_without_the_value() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let refused = |matching: Matching| run(&f, matching, Groups::Whole).unwrap_err();
    let error = refused(matching(vec![feature(events(2))]));
    assert_eq!(error.code, "TOO_MANY_EVENTS");
    assert!(error.message.contains("site A") && error.message.contains("2 rows"), "{error}");
    let error = refused(Matching { max_patients: 2, ..matching(vec![feature(What::Any)]) });
    assert_eq!(error.code, "TOO_MANY_PATIENTS");
    // 17 fits five bits at one site, but not at two.
    let mut sums = matching(vec![Feature { bits: 5, ..feature(What::Sum(2, Scale::Decimal(0))) }]);
    assert!(run(&f, sums.clone(), Groups::Whole).is_ok());
    sums.relations[0].contributors.push(SiteName("B".into()));
    let error = refused(sums);
    assert_eq!(error.code, "SUM_OVERFLOW");
    assert!(!error.message.contains("17"), "{error}");
    let wide = matching(vec![Feature { bits: 3, ..feature(What::Least(2, codes())) }]);
    assert_eq!(refused(wide).code, "PLAN_INVALID");
}

#[test]
fn a_patient_has_one_hash_in_every_catalogue_with_the_same_patient_key_and_another_elsewhere() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let first = run(&f, matching(vec![feature(What::Any)]), Groups::Whole).unwrap();
    let turned = Fixture::new("id,g,v,f\nc,1,1,true\na,1,1,true\n", &COLUMNS);
    let second = run(&turned, matching(vec![feature(What::Any)]), Groups::Whole).unwrap();
    assert!(first.keys[2] == second.keys[0] && first.keys[0] == second.keys[1] && first.keys[0] != first.keys[1]);
    let mut columns = COLUMNS;
    columns[1].1 = ColumnType::Real;
    // Patients of earlier releases are recognised when a column's declaration has changed since.
    let later = Fixture::new(ROWS, &columns);
    let later = run(&later, matching(vec![feature(What::Any)]), Groups::Whole).unwrap();
    assert!(later.keys == first.keys);
    let other = Fixture::keyed(ROWS, &COLUMNS, "g");
    let other = run(&other, matching(vec![feature(What::Any)]), Groups::Whole).unwrap();
    assert!(other.keys[0] != first.keys[0]);
}

#[test]
fn patients_do_not_print() {
    let f = Fixture::new(ROWS, &COLUMNS);
    let known = run(&f, matching(vec![feature(What::Any)]), Groups::Whole).unwrap();
    assert_eq!(format!("{known:?}"), "Patients(1 features)");
}
