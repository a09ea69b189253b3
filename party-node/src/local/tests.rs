//! Claims about the local stage. The pooled answers come from DataFusion's own aggregates over the same rows.

mod patients;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::functions_aggregate::expr_fn::sum as sql_sum;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit, when};
use datafusion::prelude::SessionContext;
use query_planner::bind::{SiteTable, table_schema};
use query_planner::catalog::{Catalog, Column, ColumnType, Policy, Table};
use query_planner::keys;
use query_planner::plan::{Key, Output, Scale, Slot, Summand};
use query_planner::value::Value;

use super::*;
use crate::source::SiteData;

/// A site with one table `t`, read from CSV text.
struct Fixture {
    data: BoundData,
    table: Table,
}

impl Fixture {
    fn new(csv: &str, columns: &[(&str, ColumnType)]) -> Self {
        Self::keyed(csv, columns, "id")
    }

    fn keyed(csv: &str, columns: &[(&str, ColumnType)], patient_key: &str) -> Self {
        let column = |(name, data_type): &(&str, ColumnType)| Column {
            name: (*name).to_owned(),
            data_type: *data_type,
            domain: None,
            range: None,
            clamp: None,
            agree_keys: true,
            quasi_identifier: false,
            allowed: true,
        };
        let columns = columns.iter().map(column).collect();
        let table = Table { name: "t".into(), columns, max_rows: 1 << 20, rows_per_patient: None, sites: vec![site()] };
        let policy = Policy {
            min_sites: 2,
            min_patients: 1,
            zero_allowed: false,
            flag_extreme_shares: true,
            max_groups: 100,
            link: Default::default(),
            released_tables: Default::default(),
        };
        let catalog = Catalog {
            sites: vec![site()],
            patient_key: patient_key.into(),
            max_patients: 1024,
            max_events: 32,
            linkage: None,
            tables: vec![table.clone()],
            policy,
            policies: Default::default(),
        };
        let data = folder(csv).bind(&catalog, &site()).unwrap();
        Self { data, table }
    }

    fn scan(&self) -> LogicalPlanBuilder {
        self.scan_of(&site())
    }

    fn scan_of(&self, site: &SiteName) -> LogicalPlanBuilder {
        let source = SiteTable { site: site.clone(), table: "T".into(), schema: table_schema(&self.table) };
        LogicalPlanBuilder::scan("anything", Arc::new(source), None).unwrap()
    }

    fn project(&self, columns: Vec<Expr>) -> LogicalPlan {
        self.scan().project(columns).unwrap().build().unwrap()
    }

    /// The partials of a plan for these groups, keys and slots.
    fn run(&self, plan: LogicalPlan, groups: Groups, keys: Vec<Key>, slots: Vec<Slot>) -> Result<Partials, NodeError> {
        let stage =
            LocalStage { fragments: BTreeMap::from([(site(), plan.clone())]), relations: Vec::new(), cohort: None };
        partials_blocking(&stage, &secure_sum(&plan, groups, keys, slots), &site(), &self.data, NETWORK)
    }

    fn whole(&self, columns: Vec<Expr>, slots: Vec<Slot>) -> Result<Partials, NodeError> {
        self.run(self.project(columns), Groups::Whole, vec![], slots)
    }

    /// One number: the only slot of the only group.
    fn one(&self, column: Expr, slot: Slot) -> Result<i128, NodeError> {
        self.whole(vec![column], vec![slot]).map(|p| p.slots[0][0])
    }
}

fn site() -> SiteName {
    SiteName("A".into())
}

/// Reads `t.csv` from a folder of its own.
const NETWORK: NetworkFacts<'_> = NetworkFacts { sites: 3, catalog: "00" };

fn folder(csv: &str) -> SiteData {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("consilium-local-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("t.csv"), csv).unwrap();
    let data = SiteData::open(&path).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    data
}

fn secure_sum(plan: &LogicalPlan, groups: Groups, keys: Vec<Key>, slots: Vec<Slot>) -> SecureSum {
    let columns = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    let (contributors, outputs) = (vec![site()], vec![Output::Count(0)]);
    let (cells, disjoint, orders, top) = (Vec::new(), Vec::new(), Vec::new(), None);
    let (local_work, row_bound) = (String::new(), 1 << 20);
    SecureSum {
        contributors,
        local_work,
        row_bound,
        columns,
        keys,
        groups,
        slots,
        cells,
        disjoint,
        orders,
        sketches: Vec::new(),
        top,
        outputs,
        patients: Vec::new(),
        matching: None,
        between: Vec::new(),
        sensitive: Vec::new(),
        noised: Vec::new(),
        supports: Vec::new(),
    }
}

fn slot(what: Summand, scale: Scale) -> Slot {
    Slot { what, filter: None, ring: Ring::Z128, scale, partial_bits: 100, proven: false }
}

fn exact(what: Summand) -> Slot {
    slot(what, Scale::Decimal(0))
}

fn agreed() -> Groups {
    Groups::Agreed { max_groups: 100, max_key_bytes: 64, threshold: 0 }
}

fn key(expression: &str, domain: Option<Vec<Value>>) -> Key {
    Key { expression: expression.into(), domain }
}

fn ints(csv: &str) -> Fixture {
    Fixture::new(csv, &[("a", ColumnType::Int), ("b", ColumnType::Int)])
}

#[test]
fn counts_sums_squares_and_products_skip_null() {
    let f = ints("a,b\n1,2\n,3\n4,\n-5,6\n");
    let what = [
        Summand::Rows,
        Summand::NotNull(0),
        Summand::Value(0),
        Summand::Square(0),
        Summand::Product(0, 1),
        Summand::BothNotNull(0, 1),
    ];
    let partials = f.whole(vec![col("a"), col("b")], what.map(exact).to_vec()).unwrap();
    assert_eq!(partials.keys, [Vec::<u8>::new()]);
    assert_eq!(partials.slots.concat(), [4, 3, 0, 42, -28, 2]);
}

#[test]
fn a_filter_column_chooses_the_rows_of_its_slot_only() {
    let f = ints("a,b\n1,2\n10,3\n100,\n");
    let filtered = Slot { filter: Some(1), ..exact(Summand::Value(0)) };
    let rows = Slot { filter: Some(1), ..exact(Summand::Rows) };
    let columns = vec![col("a"), col("b").gt(lit(2i64))];
    let partials = f.whole(columns, vec![exact(Summand::Rows), rows, filtered]).unwrap();
    assert_eq!(partials.slots.concat(), [3, 1, 10]);
}

#[test]
fn no_rows_make_one_zero_group_without_group_by_and_no_group_with_it() {
    let f = ints("a,b\n");
    let slots = vec![exact(Summand::Rows), slot(Summand::Value(0), Scale::Binary(8))];
    assert_eq!(f.whole(vec![col("a")], slots.clone()).unwrap().slots, [vec![0], vec![0]]);
    let grouped = f.run(f.project(vec![col("a")]), agreed(), vec![key("a", None)], slots.clone()).unwrap();
    assert!(grouped.keys.is_empty() && grouped.slots == [Vec::<i128>::new(), vec![]]);
    let none = LocalStage { fragments: BTreeMap::new(), relations: Vec::new(), cohort: None };
    let sum = secure_sum(&f.project(vec![col("a")]), Groups::Whole, vec![], slots);
    assert_eq!(partials_blocking(&none, &sum, &site(), &f.data, NETWORK).unwrap().slots, [vec![0], vec![0]]);
}

#[test]
fn groups_are_sorted_by_their_encoded_keys_and_null_is_one() {
    let f = Fixture::new("k,v\nb,1\n,2\na,4\nb,8\n,16\n", &[("k", ColumnType::Text), ("v", ColumnType::Int)]);
    let slots = vec![exact(Summand::Rows), exact(Summand::Value(1))];
    let partials = f.run(f.project(vec![col("k"), col("v")]), agreed(), vec![key("k", None)], slots).unwrap();
    let text = |t: &str| keys::encode(&[Value::Text(t.into())]);
    assert_eq!(partials.keys, [keys::encode(&[Value::Null]), text("a"), text("b")]);
    assert_eq!(partials.slots, [vec![2, 1, 2], vec![18, 4, 9]]);
}

#[test]
fn minus_zero_and_zero_are_one_group() {
    let f = Fixture::new("x\n0.0\n-0.0\n1.5\n", &[("x", ColumnType::Real)]);
    let partials =
        f.run(f.project(vec![col("x")]), agreed(), vec![key("x", None)], vec![exact(Summand::Rows)]).unwrap();
    assert_eq!(partials.slots, [vec![2, 1]]);
}

#[test]
fn keys_outside_their_domain_too_many_or_too_long_are_refused_without_the_value() {
    let f = Fixture::new("k\n4711\n4712\n", &[("k", ColumnType::Text)]);
    let run = |groups, domain| {
        let fault =
            f.run(f.project(vec![col("k")]), groups, vec![key("k", domain)], vec![exact(Summand::Rows)]).unwrap_err();
        assert!(fault.message.contains("site A") && !fault.to_string().contains("471"), "{fault}");
        fault.code
    };
    assert_eq!(run(Groups::Declared, Some(vec![Value::Text("x".into())])), "VALUE_OUTSIDE_DOMAIN");
    assert_eq!(run(Groups::Agreed { max_groups: 1, max_key_bytes: 64, threshold: 0 }, None), "TOO_MANY_GROUPS");
    assert_eq!(run(Groups::Agreed { max_groups: 9, max_key_bytes: 8, threshold: 0 }, None), "KEY_TOO_LONG");
}

#[test]
fn doubles_are_added_without_loss_and_rounded_once() {
    let f = Fixture::new("x\n1e16\n1\n-1e16\n0.25\n", &[("x", ColumnType::Real)]);
    assert_eq!(f.one(col("x"), slot(Summand::Value(0), Scale::Binary(2))).unwrap(), 5);
    let f = Fixture::new("x,y\n134217729,134217729\n1e9,-1e9\n", &[("x", ColumnType::Real), ("y", ColumnType::Real)]);
    let slots = vec![slot(Summand::Product(0, 1), Scale::Binary(0)), slot(Summand::Square(0), Scale::Binary(0))];
    let squares = 134_217_729i128.pow(2);
    let partials = f.whole(vec![col("x"), col("y")], slots).unwrap();
    assert_eq!(partials.slots.concat(), [squares - 10i128.pow(18), squares + 10i128.pow(18)]);
}

#[test]
fn decimals_are_exact_at_the_slots_scale() {
    let cents = ColumnType::Decimal { precision: 10, scale: 2 };
    let f = Fixture::new("x\n0.10\n0.20\n-12.34\n", &[("x", cents)]);
    assert_eq!(f.one(col("x"), slot(Summand::Value(0), Scale::Decimal(2))).unwrap(), -1204);
    assert_eq!(f.one(col("x"), slot(Summand::Value(0), Scale::Decimal(4))).unwrap(), -120_400);
    assert_eq!(f.one(col("x"), slot(Summand::Square(0), Scale::Decimal(4))).unwrap(), 100 + 400 + 1234 * 1234);
    assert_eq!(f.one(col("x"), slot(Summand::Value(0), Scale::Binary(1))).unwrap(), -24);
    assert_eq!(f.one(col("x"), slot(Summand::Square(0), Scale::Decimal(2))).unwrap_err().code, "PLAN_INVALID");
}

#[test]
fn totals_beyond_their_bits_name_the_site_and_the_expression() {
    let f = ints("a,b\n9223372036854775807,1\n9223372036854775807,1\n9223372036854775807,1\n");
    let bits = |what, partial_bits, ring| Slot { partial_bits, ring, ..exact(what) };
    let check = |slot: Slot, what: &str| {
        let fault = f.one(col("a"), slot).unwrap_err();
        assert_eq!(fault.code, "SUM_OVERFLOW");
        assert!(fault.message.contains("site A") && fault.message.contains(what), "{fault}");
        assert!(!fault.to_string().contains("922337"), "{fault}");
    };
    check(bits(Summand::Value(0), 61, Ring::Z64), "SUM(a)");
    check(bits(Summand::Rows, 1, Ring::Z64), "COUNT(*)");
    // 3 · (2^63 − 1)^2 exceeds 2^127: the checked addition itself fails.
    check(bits(Summand::Square(0), 125, Ring::Z128), "SUM(a * a)");
    assert_eq!(f.one(col("a"), bits(Summand::Value(0), 65, Ring::Z128)).unwrap(), 3 * i128::from(i64::MAX));
    assert_eq!(f.one(col("a"), bits(Summand::Rows, 62, Ring::Z64)).unwrap_err().code, "PLAN_INVALID");
}

#[test]
fn a_bound_is_exclusive_on_both_sides() {
    let at_most = |csv: &str| ints(csv).one(col("a"), Slot { partial_bits: 3, ..exact(Summand::Value(0)) });
    assert_eq!(at_most("a,b\n7,\n").unwrap(), 7);
    assert_eq!(at_most("a,b\n-7,\n").unwrap(), -7);
    assert_eq!(at_most("a,b\n8,\n").unwrap_err().code, "SUM_OVERFLOW");
    assert_eq!(at_most("a,b\n-8,\n").unwrap_err().code, "SUM_OVERFLOW");
}

#[test]
fn integer_arithmetic_never_wraps_silently() {
    let f = ints("a,b\n9223372036854775807,2\n-9223372036854775808,1\n");
    let high = || when(col("b").eq(lit(2i64)), col("a")).end().unwrap();
    let low = || when(col("b").eq(lit(1i64)), col("a")).end().unwrap();
    for expr in
        [high() + lit(1i64), low() - lit(1i64), col("a") * col("b"), -low(), lit(i64::MAX) + col("b") * lit(1i64)]
    {
        let fault = f.one(expr.clone(), exact(Summand::Value(0))).unwrap_err();
        assert_eq!(fault.code, "ARITHMETIC_OVERFLOW", "{expr}");
        assert!(fault.message.contains("site A") && !fault.to_string().contains("922337"), "{fault}");
    }
    assert_eq!(f.one(high() - lit(1i64), exact(Summand::Value(0))).unwrap(), i128::from(i64::MAX) - 1);
    assert_eq!(f.one(-col("b"), exact(Summand::Value(0))).unwrap(), -3);
}

#[test]
fn overflow_is_found_in_filters_and_subqueries_too() {
    let f = ints("a,b\n9223372036854775807,2\n");
    let filter = f
        .scan()
        .filter((col("a") + lit(1i64)).gt(lit(0i64)))
        .unwrap()
        .project(vec![col("a")])
        .unwrap()
        .build()
        .unwrap();
    let fault = f.run(filter, Groups::Whole, vec![], vec![exact(Summand::Rows)]).unwrap_err();
    assert_eq!(fault.code, "ARITHMETIC_OVERFLOW");
    let most =
        f.scan().aggregate(Vec::<Expr>::new(), vec![sql_sum(col("a") * col("b")).alias("m")]).unwrap().build().unwrap();
    let whole =
        f.scan().project(vec![col("b"), datafusion::logical_expr::scalar_subquery(Arc::new(most)).alias("m")]).unwrap();
    let fault = f.run(whole.build().unwrap(), Groups::Whole, vec![], vec![exact(Summand::Value(1))]).unwrap_err();
    assert_eq!(fault.code, "ARITHMETIC_OVERFLOW");
}

#[test]
fn a_sum_inside_a_fragment_does_not_wrap_either() {
    let sums = |csv: &str| {
        let f = ints(csv);
        let grouped = f.scan().aggregate(vec![col("b")], vec![sql_sum(col("a")).alias("s")]).unwrap();
        f.run(
            grouped.build().unwrap(),
            Groups::Whole,
            vec![],
            vec![exact(Summand::Value(1)), exact(Summand::NotNull(1))],
        )
    };
    let fault = sums("a,b\n9223372036854775807,1\n9223372036854775807,1\n").unwrap_err();
    assert_eq!(fault.code, "ARITHMETIC_OVERFLOW", "{fault}");
    // The total of one group passes 64 bits on its way and comes back.
    let fine = sums("a,b\n9223372036854775807,1\n9223372036854775807,1\n-9223372036854775807,1\n5,2\n,3\n").unwrap();
    assert_eq!(fine.slots.concat(), [i128::from(i64::MAX) + 5, 2]);
}

#[test]
fn failed_evaluation_has_a_code_and_no_value() {
    let f = Fixture::new("a,t\n0,4711x\n", &[("a", ColumnType::Int), ("t", ColumnType::Text)]);
    let check = |expr: Expr, code: &str| {
        let fault = f.one(expr, exact(Summand::Value(0))).unwrap_err();
        assert_eq!(fault.code, code, "{fault}");
        assert!(fault.message.contains("site A") && !fault.to_string().contains("4711"), "{fault}");
    };
    check(lit(1i64) / col("a"), "DIVISION_BY_ZERO");
    check(lit(1i64) % col("a"), "DIVISION_BY_ZERO");
    check(datafusion::logical_expr::cast(col("t"), DataType::Int64), "CAST_FAILED");
    check(datafusion::logical_expr::cast(col("t"), DataType::Date32), "CAST_FAILED");
}

#[test]
fn values_that_are_not_finite_name_the_expression() {
    let f = Fixture::new("x\n0\n", &[("x", ColumnType::Real)]);
    for what in [Summand::Value(0), Summand::Square(0), Summand::Product(0, 0)] {
        let fault = f.one(lit(1.0) / col("x"), slot(what, Scale::Binary(8))).unwrap_err();
        assert_eq!(fault.code, "NOT_FINITE");
        assert!(fault.message.contains("site A: SUM("), "{fault}");
    }
}

#[test]
fn another_sites_table_is_out_of_reach() {
    let f = ints("a,b\n1,2\n");
    let plan = f.scan_of(&SiteName("B".into())).project(vec![col("a")]).unwrap().build().unwrap();
    assert_eq!(f.run(plan, Groups::Whole, vec![], vec![exact(Summand::Rows)]).unwrap_err().code, "PLAN_INVALID");
}

#[test]
fn partials_do_not_print() {
    let f = ints("a,b\n4711,2\n");
    let partials = f.whole(vec![col("a")], vec![exact(Summand::Value(0))]).unwrap();
    assert_eq!(format!("{partials:?}"), "Partials(1 slots of 1 groups)");
}

/// Pseudo-random numbers, the same for one seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn random_tables_agree_with_datafusions_own_aggregates() {
    let seed = 20_240_229;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut csv = String::from("k,a,b\n");
    for _ in 0..30_000 {
        let k = ["x", "y", "", "病人"][random.below(4) as usize];
        let a = random.below(2_000_000) as i64 - 1_000_000;
        let b = if random.below(5) == 0 { String::new() } else { (random.below(2000) as i64 - 1000).to_string() };
        csv += &format!("{k},{a},{b}\n");
    }
    let f = Fixture::new(&csv, &[("k", ColumnType::Text), ("a", ColumnType::Int), ("b", ColumnType::Int)]);
    let what = [Summand::Rows, Summand::NotNull(2), Summand::Value(1), Summand::Square(2), Summand::Product(1, 2)];
    let plan = f.project(vec![col("k"), col("a"), col("b")]);
    let partials = f.run(plan, agreed(), vec![key("k", None)], what.map(exact).to_vec()).unwrap();
    let sql = "SELECT k, count(*), count(b), sum(a), sum(b * b), sum(a * b) FROM t GROUP BY k";
    let pooled = pooled(&f, sql);
    assert_eq!(partials.keys.len(), pooled.num_rows());
    for row in 0..pooled.num_rows() {
        let k = pooled.column(0).as_string::<i32>();
        let k = if k.is_null(row) { Value::Null } else { Value::Text(k.value(row).to_owned()) };
        let group = partials.keys.iter().position(|key| *key == keys::encode(std::slice::from_ref(&k))).unwrap();
        for slot in 0..what.len() {
            let expected = pooled.column(slot + 1).as_primitive::<Int64Type>().value(row);
            assert_eq!(partials.slots[slot][group], i128::from(expected), "slot {slot} of {k}");
        }
    }
}

/// DataFusion's own answer over the fixture's rows.
fn pooled(f: &Fixture, sql: &str) -> RecordBatch {
    let table = f.data.table("t").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let context = SessionContext::new();
        let provider =
            datafusion::datasource::MemTable::try_new(table.schema().clone(), vec![table.batches().to_vec()]);
        context.register_table("t", Arc::new(provider.unwrap())).unwrap();
        let frame = context.sql(sql).await.unwrap();
        let schema = frame.schema().inner().clone();
        arrow::compute::concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
    })
}

#[test]
fn every_column_type_of_a_local_stage_can_be_read() {
    let arrays: [ArrayRef; 4] = [
        Arc::new(Int64Array::from(vec![Some(3), None])),
        Arc::new(arrow::array::UInt64Array::from(vec![Some(3), None])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Float64Array::from(vec![Some(3.0), None])),
    ];
    for array in arrays {
        let numbers = numbers::Numbers::read(&array).unwrap();
        assert!(numbers.real(0).is_some() && numbers.real(1).is_none(), "{}", array.data_type());
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert!(numbers::Numbers::read(&text).is_none());
}

#[tokio::test]
async fn the_blocking_form_runs_beside_a_current_thread_runtime() {
    let f = ints("a,b\n1,2\n2,3\n");
    let plan = f.project(vec![col("a")]);
    let sum = secure_sum(&plan, Groups::Whole, vec![], vec![exact(Summand::Value(0))]);
    let stage = LocalStage { fragments: BTreeMap::from([(site(), plan)]), relations: Vec::new(), cohort: None };
    let run = move || partials_blocking(&stage, &sum, &site(), &f.data, NETWORK).map(|p| p.slots[0][0]);
    assert_eq!(tokio::task::spawn_blocking(run).await.unwrap().unwrap(), 3);
}
