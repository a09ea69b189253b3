//! Decoded totals against figures computed by hand or with doubles.

mod common;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type, SchemaRef};
use common::planned;
use proptest::prelude::*;
use query_planner::approximate::{LEVELS, REGISTERS};
use query_planner::decode::{Opened, groups};
use query_planner::plan::{Scale, SecureSum, Summand};
use query_planner::value::Value;
use query_planner::{Compiled, PlanError};

/// Adds up integers as the sites would: one column of local values, no keys, no filters.
fn totals(sum: &SecureSum, values: &[Option<i128>]) -> Vec<Vec<i128>> {
    let known = || values.iter().flatten();
    let total = |what: Summand| match what {
        Summand::Rows => values.len() as i128,
        Summand::NotNull(_) => known().count() as i128,
        Summand::Value(_) => known().sum(),
        Summand::Square(_) => known().map(|v| v * v).sum(),
        Summand::Product(..) | Summand::BothNotNull(..) => unreachable!("no aggregate of two columns in these tests"),
        Summand::Patients(_) => unreachable!("no patients are matched in these tests"),
    };
    sum.slots.iter().map(|slot| vec![total(slot.what)]).collect()
}

fn decode(
    sum: &SecureSum,
    schema: SchemaRef,
    groups: &[Vec<Value>],
    totals: &[Vec<i128>],
) -> Result<RecordBatch, PlanError> {
    query_planner::decode::decode(sum, schema, &Opened::sums(groups, totals))
}

fn whole(compiled: &Compiled, values: &[Option<i128>]) -> Result<RecordBatch, PlanError> {
    let sum = &compiled.joint.sums[0];
    decode(sum, compiled.revealed[0].clone(), &groups(sum), &totals(sum, values))
}

fn real(batch: &RecordBatch, column: usize) -> Option<f64> {
    let array = batch.column(column).as_primitive::<Float64Type>();
    (!array.is_null(0)).then(|| array.value(0))
}

#[test]
fn an_empty_cohort_has_counts_of_zero_and_null_sums() {
    let compiled = planned("SELECT COUNT(*), SUM(score), AVG(score), VAR_SAMP(score) FROM measurement").unwrap();
    let batch = whole(&compiled, &[]).unwrap();
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 0);
    assert!((1..4).all(|i| batch.column(i).is_null(0)));
}

#[test]
fn one_value_has_no_sample_variance_but_a_population_one() {
    let compiled = planned("SELECT VAR_SAMP(score), STDDEV(score), VAR_POP(score) FROM measurement").unwrap();
    let batch = whole(&compiled, &[Some(7), None]).unwrap();
    assert_eq!((real(&batch, 0), real(&batch, 1), real(&batch, 2)), (None, None, Some(0.0)));
}

#[test]
fn an_average_of_decimals_is_an_exact_sum_over_a_count() {
    let compiled = planned("SELECT SUM(cost), AVG(cost) FROM measurement").unwrap();
    let batch = whole(&compiled, &[Some(1), Some(1), Some(0)]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value(0), 2);
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), 0.02 / 3.0);
    let mut values = vec![Some(0); 31];
    values.push(Some(-1));
    let batch = whole(&compiled, &values).unwrap();
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), -0.01 / 32.0);
}

#[test]
fn a_sum_beyond_its_type_is_an_error_with_a_code() {
    let compiled = planned("SELECT SUM(year_of_birth) FROM person").unwrap();
    let error = whole(&compiled, &[Some(i64::MAX.into()), Some(1)]).unwrap_err();
    assert_eq!(error.code, "SUM_TOO_LARGE");
    assert!(whole(&compiled, &[Some(i64::MAX.into()), Some(-1)]).is_ok());
}

#[test]
fn a_large_offset_does_not_cancel_in_the_variance() {
    let compiled = planned("SELECT VAR_SAMP(year_of_birth) FROM person").unwrap();
    let base = 1_000_000_000_000_000_i128;
    let batch = whole(&compiled, &[Some(base + 4), Some(base + 7), Some(base + 13), Some(base + 16)]).unwrap();
    assert_eq!(real(&batch, 0), Some(30.0));
}

#[test]
fn reals_come_back_through_their_binary_scale() {
    let compiled =
        planned("SELECT SUM(value_as_number), AVG(value_as_number), VAR_POP(value_as_number) FROM measurement")
            .unwrap();
    let sum = &compiled.joint.sums[0];
    let values = [1.5f64, -2.25, 8.0];
    let scaled = |x: f64| (x * 2f64.powi(40)) as i128;
    let totals: Vec<Vec<i128>> = sum
        .slots
        .iter()
        .map(|slot| {
            assert!(slot.scale == Scale::Binary(40) || slot.scale == Scale::Decimal(0));
            vec![match slot.what {
                Summand::Value(_) => scaled(values.iter().sum()),
                Summand::Square(_) => scaled(values.iter().map(|x| x * x).sum()),
                _ => 3,
            }]
        })
        .collect();
    let batch = decode(sum, compiled.revealed[0].clone(), &groups(sum), &totals).unwrap();
    assert_eq!(real(&batch, 0), Some(7.25));
    assert!((real(&batch, 1).unwrap() - 7.25 / 3.0).abs() < 1e-15);
    let mean = 7.25 / 3.0;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 3.0;
    assert!((real(&batch, 2).unwrap() - variance).abs() < 1e-12);
}

#[test]
fn groups_are_the_product_of_the_domains_and_empty_ones_are_dropped() {
    let sql = "SELECT gender_concept_id, year_of_birth < 1960, COUNT(*) FROM person GROUP BY 1, 2";
    let compiled = planned(sql).unwrap();
    let sum = &compiled.joint.sums[0];
    let tuples = groups(sum);
    assert_eq!(tuples.len(), 9);
    assert_eq!(tuples[1], [Value::Int(8507), Value::Bool(true)]);
    let mut counts = vec![0; 9];
    (counts[1], counts[8]) = (5, 2);
    let batch = decode(sum, compiled.revealed[0].clone(), &tuples, &[counts]).unwrap();
    assert_eq!(batch.num_rows(), 2);
    assert!(batch.column(0).is_null(1) && batch.column(1).is_null(1));
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[5, 2]);
}

#[test]
fn no_group_with_rows_is_an_empty_table() {
    let compiled = planned("SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1").unwrap();
    let sum = &compiled.joint.sums[0];
    assert!(groups(sum).is_empty());
    let batch = decode(sum, compiled.revealed[0].clone(), &[], &[vec![]]).unwrap();
    assert_eq!(batch.num_rows(), 0);
}

#[test]
fn keys_return_to_the_type_of_the_query() {
    let compiled = planned("SELECT CAST(year_of_birth AS INTEGER) AS y, COUNT(*) FROM person GROUP BY 1").unwrap();
    let sum = &compiled.joint.sums[0];
    let tuples = [vec![Value::Int(1950)], vec![Value::Null]];
    let batch = decode(sum, compiled.revealed[0].clone(), &tuples, &[vec![3, 1]]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(0), 1950);
    let wrong = [vec![Value::Text("1950".into())], vec![Value::Null]];
    let error = decode(sum, compiled.revealed[0].clone(), &wrong, &[vec![3, 1]]).unwrap_err();
    assert_eq!(error.code, "BAD_TOTALS");
}

#[test]
fn totals_of_another_shape_are_refused() {
    let compiled = planned("SELECT COUNT(*), SUM(score) FROM measurement").unwrap();
    let sum = &compiled.joint.sums[0];
    let schema = || compiled.revealed[0].clone();
    for totals in [vec![], vec![vec![1]], vec![vec![1], vec![], vec![1]], vec![vec![-1], vec![1], vec![-1]]] {
        assert_eq!(decode(sum, schema(), &groups(sum), &totals).unwrap_err().code, "BAD_TOTALS");
    }
}

proptest! {
    #[test]
    fn mean_and_variance_agree_with_two_pass_doubles(values in prop::collection::vec(-100_000i64..100_000, 2..50)) {
        let compiled = planned("SELECT AVG(year_of_birth), VAR_SAMP(year_of_birth), STDDEV_POP(year_of_birth) FROM person").unwrap();
        let wide: Vec<Option<i128>> = values.iter().map(|v| Some((*v).into())).collect();
        let batch = whole(&compiled, &wide).unwrap();
        let n = values.len() as f64;
        let mean = values.iter().sum::<i64>() as f64 / n;
        let spread: f64 = values.iter().map(|v| (*v as f64 - mean).powi(2)).sum();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs().max(1e-6);
        prop_assert!(close(real(&batch, 0).unwrap(), mean));
        prop_assert!(close(real(&batch, 1).unwrap(), spread / (n - 1.0)));
        prop_assert!(close(real(&batch, 2).unwrap(), (spread / n).sqrt()));
    }
}

fn approximate(levels: &[u64]) -> Result<i64, PlanError> {
    let compiled = planned("SELECT APPROX_COUNT_DISTINCT(person_id) FROM person").unwrap();
    let sum = &compiled.joint.sums[0];
    let opened = Opened { levels: vec![vec![levels.to_vec()]], ..Opened::sums(&groups(sum), &[vec![5]]) };
    let batch = query_planner::decode::decode(sum, compiled.revealed[0].clone(), &opened)?;
    Ok(batch.column(0).as_primitive::<Int64Type>().value(0))
}

#[test]
fn a_sketch_decodes_to_its_estimate() {
    let levels = |first: &[u64]| [first, &[0; LEVELS as usize]].concat()[..LEVELS as usize].to_vec();
    assert_eq!(approximate(&levels(&[])).unwrap(), 0);
    // One element fills one register up to its rank, whatever that is.
    for rank in 1..=LEVELS as usize {
        assert_eq!(approximate(&levels(&vec![1; rank])).unwrap(), 1, "rank {rank}");
    }
    // A register of m stays below rank k of n elements with probability about exp(−n / (m·2^(k − 1))).
    for n in [100.0, 10_000.0, 1e6, 1e9] {
        let m = REGISTERS as f64;
        let expected: Vec<u64> =
            (0..LEVELS as i32).map(|k| (m * (1.0 - (-n / m * 2f64.powi(-k)).exp())).round() as u64).collect();
        let found = approximate(&expected).unwrap() as f64;
        assert!((found / n - 1.0).abs() < 0.01, "{found} of {n}");
    }
}

#[test]
fn levels_that_no_sketch_has_are_refused() {
    let mut rising = vec![0; LEVELS as usize];
    rising[1] = 1;
    let full = vec![REGISTERS + 1; LEVELS as usize];
    for levels in [rising, full, vec![0; 3], Vec::new()] {
        assert_eq!(approximate(&levels).unwrap_err().code, "BAD_TOTALS", "{levels:?}");
    }
}
