//! Where small cells are hidden: two figures of one question between which there are few patients, in one sum or in two.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{OPTIONS, planned_hiding};
use query_planner::catalog::{InferredType, SiteName, SiteSchema, SiteTableSchema, merge};
use query_planner::matched::{Node, What};
use query_planner::plan::{SecureSum, Summand};
use query_planner::{Compiled, Settings, explain, plan};

fn compiled(sql: &str) -> Compiled {
    planned_hiding(sql).unwrap_or_else(|why| panic!("{sql}\n{why}"))
}

fn sum(sql: &str) -> SecureSum {
    let compiled = compiled(sql);
    assert_eq!(compiled.joint.sums.len(), 1, "{sql}");
    compiled.joint.sums[0].clone()
}

/// The cells that are hidden where few patients are between them and another.
fn between(sql: &str) -> usize {
    let sum = sum(sql);
    for pair in &sum.between {
        assert!(sum.cells.contains(&pair.cell), "{sql}");
        assert!(matches!(sum.slots[pair.patients].what, Summand::Patients(_)), "{sql}");
    }
    sum.between.len()
}

const M: &str = "FROM measurement";
const LESS: &str = "measurement_id <> 17";

#[test]
fn sums_of_one_column_have_the_patients_between_them_judged() {
    for (what, pairs) in [
        // Between everybody's and all but one.
        (format!("SUM(score) AS a, SUM(CASE WHEN {LESS} THEN score ELSE 0 END) AS b"), 1),
        ("SUM(CASE WHEN measurement_id <> 17 THEN score ELSE 0 END) AS a, SUM(CASE WHEN measurement_id <> 18 THEN score ELSE 0 END) AS b".into(), 1),
        // A literal under a condition is a count.
        (format!("COUNT(*) AS n, SUM(CASE WHEN {LESS} THEN 2 ELSE 0 END) AS b"), 1),
        // Of nobody in common, and of no column in common, nothing follows.
        ("SUM(CASE WHEN measurement_id > 17 THEN score ELSE 0 END) AS a, SUM(CASE WHEN measurement_id <= 17 THEN score ELSE 0 END) AS b".into(), 0),
        ("SUM(CASE WHEN measurement_id <> 17 THEN score ELSE 0 END) AS a, SUM(CASE WHEN measurement_id <> 18 THEN cost ELSE 0 END) AS b".into(), 0),
    ] {
        let sql = format!("SELECT {what} {M}");
        let sum = sum(&sql);
        let of_supports = sum.between.iter().filter(|pair| sum.supports.iter().any(|s| s.cell == pair.cell)).count();
        // By rows that one alone counts, and by who is behind one alone.
        assert_eq!(of_supports, 2 * pairs, "{sql}\n{:?}", sum.between);
        between(&sql);
    }
}

#[test]
fn sums_in_two_subqueries_that_measure_one_column_of_other_rows_are_held_against_each_other() {
    let of = |a: &str, b: &str| compiled(&format!("SELECT (SELECT {a}) AS a, (SELECT {b}) AS b")).joint.side_by_side;
    // Without NULL, so that each counts all rows.
    let all = format!("SUM(COALESCE(score, 0)) {M} WHERE score >= 0");
    let without =
        |column: &str| format!("SUM(CASE WHEN {LESS} THEN COALESCE({column}, 0) ELSE 0 END) {M} WHERE score >= 0");
    assert_eq!(of(&all, &without("score")), [(0, 1)]);
    // The same of the same, and another column.
    assert_eq!(of(&all, &format!("AVG(2 * COALESCE(score, 0)) {M} WHERE score >= 0")), []);
    assert_eq!(of(&all, &without("cost")), []);
    let plain = planned_hiding(&format!(
        "SELECT (SELECT SUM(score) {M}) AS a, (SELECT SUM(CASE WHEN {LESS} THEN score ELSE 0 END) {M}) AS b"
    ));
    assert_eq!(plain.map(drop).unwrap_err().code, "RELATED_TABLES", "they count other rows");
}

#[test]
fn sums_of_rows_under_two_conditions_are_held_against_each_other() {
    let of = |a: &str, b: &str| {
        compiled(&format!("SELECT (SELECT SUM(score) {a}) AS a, (SELECT SUM(score) {b}) AS b")).joint.side_by_side
    };
    let less = format!("{M} WHERE {LESS}");
    assert_eq!(of(M, &less), [(0, 1)]);
    assert_eq!(of(&format!("{M} WHERE score >= 0"), &format!("{M} WHERE score >= 0 AND {LESS}")), [(0, 1)]);
    assert_eq!(of(M, "FROM hospital_A.measurement"), [(0, 1)]);
    // No row is in both, but the patients may be the same.
    assert_eq!(of(&format!("{M} WHERE cost > 5"), &format!("{M} WHERE cost <= 5")), [(0, 1)]);
}

#[test]
fn a_table_beside_its_total_stays_known() {
    for total in ["COUNT(*) AS n", "SUM(score) AS s", "COUNT(*) AS n, AVG(score) AS s"] {
        let table = format!(
            "SELECT gender_concept_id AS g, {total} FROM person JOIN hospital_A.measurement m USING (person_id)"
        );
        let table = table.replace("FROM person", "FROM hospital_A.person");
        let (parts, whole) = (format!("{table} GROUP BY 1"), table.replace("gender_concept_id AS g", "NULL AS g"));
        let compiled = compiled(&format!("{parts} UNION ALL {whole}"));
        assert_eq!(compiled.joint.side_by_side, [], "{total}");
        assert!(!compiled.joint.margins.is_empty(), "{total}");
    }
}

/// Rows of patients that are matched.
const JOINED: &str = "FROM measurement m LEFT JOIN (SELECT person_id, COUNT(*) AS c FROM drug_exposure GROUP BY person_id) d \
                      ON m.person_id = d.person_id";

#[test]
fn matched_figures_have_the_patients_between_them_judged() {
    let of = |what: &str| format!("SELECT {what} {JOINED}");
    for (what, least) in [
        (
            "SUM(m.score) FILTER (WHERE m.measurement_id <> 17) AS a, SUM(m.score) FILTER (WHERE m.measurement_id <> 18) AS b",
            2,
        ),
        ("COUNT(DISTINCT m.person_id) AS a, COUNT(*) FILTER (WHERE m.measurement_id <> 17) AS b", 1),
        ("COUNT(DISTINCT m.person_id) AS a, COUNT(DISTINCT m.person_id) FILTER (WHERE m.measurement_id <> 17) AS b", 1),
        ("SUM(m.score) AS a, SUM(CASE WHEN m.measurement_id <> 17 THEN m.score ELSE 0 END) AS b", 1),
        ("COUNT(*) AS a, COUNT(*) FILTER (WHERE d.c > 1) AS b", 1),
    ] {
        let sql = of(what);
        let sum = sum(&sql);
        println!("{}", explain(&compiled(&sql)));
        assert!(sum.matching.is_some(), "{sql}");
        assert!(between(&sql) >= least, "{sql}");
        // Who is between two is somebody of both, and never a cell of its own.
        let matching = sum.matching.as_ref().unwrap();
        for pair in &sum.between {
            let Summand::Patients(node) = sum.slots[pair.patients].what else { panic!("{sql}") };
            assert_eq!(matching.nodes[node].bits, 1, "{sql}");
            assert!(!matches!(matching.nodes[node].node, Node::Constant(_)), "{sql}");
        }
    }
    for (what, told) in [
        ("COUNT(*) AS a, COUNT(DISTINCT m.person_id) AS b", 0),
        ("AVG(m.score) AS a", 0),
        // Of a number of rows that the question makes, who has another one than 1.
        ("AVG(d.c) AS a", 1),
    ] {
        assert_eq!(between(&of(what)), told, "{what}");
    }
}

#[test]
fn matched_figures_under_conditions_on_rows_of_two_tables_have_the_patients_between_them_judged() {
    let from = "FROM hospital_A.measurement m JOIN hospital_B.drug_exposure d ON m.person_id = d.person_id";
    let sql = format!(
        "SELECT COUNT(*) FILTER (WHERE m.measurement_id <> 17) AS a, COUNT(*) FILTER (WHERE d.drug_concept_id <> 18) AS b {from}"
    );
    let sum = sum(&sql);
    let matching = sum.matching.as_ref().unwrap();
    println!("{}", explain(&compiled(&sql)));
    // Of each table who has a row that meets its condition, and who has one that does not.
    let met = |relation: usize| {
        let of = matching.features.iter().filter(move |f| f.relation == relation && matches!(f.what, What::Any));
        of.filter_map(|feature| feature.filter).collect::<BTreeSet<_>>().len()
    };
    assert_eq!([met(0), met(1)], [2, 2]);
    assert_eq!(sum.between.len(), 2, "by rows and by patients: {:?}", sum.between);
}

#[test]
fn figures_behind_a_window_have_the_patients_between_them_judged_or_are_refused() {
    let numbered = |table: &str| {
        let number = "ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date)";
        let columns =
            "person_id, condition_concept_id AS c, condition_start_date AS since, condition_end_date AS until";
        format!("(SELECT {columns}, {number} AS n FROM {table}) t")
    };
    let pairs = [
        "COUNT(*) AS a, COUNT(until) AS b",
        "COUNT(*) AS a, COUNT(since) AS b",
        "COUNT(*) AS a, COUNT(*) FILTER (WHERE c <> 17) AS b",
        "COUNT(DISTINCT person_id) AS a, COUNT(DISTINCT person_id) FILTER (WHERE c <> 17) AS b",
    ];
    let (mut judged, mut refused) = (0, 0);
    for table in ["condition_occurrence", "hospital_A.condition_occurrence"] {
        for what in pairs {
            for condition in ["", " WHERE n = 1", " WHERE n >= 2", " WHERE n <= 3"] {
                let sql = format!("SELECT {what} FROM {}{condition}", numbered(table));
                match planned_hiding(&sql) {
                    Ok(compiled) => {
                        judged += 1;
                        // By rows and by patients, which are the same where the window leaves a patient one row.
                        let between = compiled.joint.sums[0].between.len();
                        assert!(between == 2 || between == 1 && condition == " WHERE n = 1", "{between}: {sql}");
                    }
                    Err(why) => {
                        refused += 1;
                        assert!(why.code == "NOT_YET" && !condition.is_empty() && !table.contains('.'), "{sql}: {why}");
                    }
                }
            }
        }
    }
    println!("{judged} judged, {refused} refused");
    assert!(judged >= 20);
}

#[test]
fn two_matched_sums_that_choose_different_patients_of_the_same_rows_are_refused() {
    let of = |z: u32| format!("(SELECT COUNT(DISTINCT m.person_id) FILTER (WHERE m.measurement_id <> {z}) {JOINED})");
    let refusal = planned_hiding(&format!("SELECT {} AS a, {} AS b", of(17), of(18)));
    assert_eq!(refusal.map(drop).unwrap_err().code, "RELATED_TABLES");
}

/// Tables and columns of the hospitals that come with the examples.
const HOSPITAL: [(&str, &str); 6] = [
    ("person", "person_id:int gender_concept_id:int year_of_birth:int"),
    (
        "condition_occurrence",
        "person_id:int condition_concept_id:int condition_start_date:date condition_end_date:date visit_occurrence_id:int",
    ),
    (
        "drug_exposure",
        "person_id:int drug_concept_id:int drug_exposure_start_date:date drug_exposure_end_date:date visit_occurrence_id:int",
    ),
    ("measurement", "person_id:int measurement_concept_id:int measurement_date:date value_as_number:real"),
    ("procedure_occurrence", "person_id:int procedure_concept_id:int procedure_date:date"),
    ("visit_occurrence", "person_id:int visit_concept_id:int visit_start_date:date visit_occurrence_id:int"),
];

/// The twenty of the study, and the bundled ones where they are there.
#[test]
fn what_is_asked_of_the_hospitals_of_the_examples_is_planned_where_small_cells_are_hidden() {
    let tables = HOSPITAL.map(|(name, columns)| {
        let columns = columns.split_whitespace().map(|column| {
            let (name, kind) = column.split_once(':').unwrap();
            (name.to_owned(), InferredType::Typed(kind.parse().unwrap()))
        });
        SiteTableSchema { name: name.into(), columns: columns.collect(), rows: 23_000 }
    });
    let schema = SiteSchema { tables: tables.to_vec(), patients: 1500 };
    let sites = ["hospital_A", "hospital_B", "hospital_C"].map(|name| (SiteName::from(name), schema.clone()));
    let catalog = merge(&sites, &Settings::from_toml("min_patients = 11").unwrap()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let study = fs::read_to_string(root.join("examples/network/questions.sql")).unwrap();
    let mut questions: Vec<String> =
        study.lines().filter(|line| line.starts_with("SELECT")).map(str::to_owned).collect();
    assert_eq!(questions.len(), 20);
    if let Ok(bytes) = fs::read(root.join("../shared/data/omop_3hospitals/queries.json")) {
        let bundled: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        questions.extend(bundled.iter().map(|query| query["sql"].as_str().unwrap().to_owned()));
    }
    for sql in questions {
        let compiled = plan(&sql, &catalog, &OPTIONS).unwrap_or_else(|why| panic!("{sql}\n{why}"));
        assert_eq!(compiled.joint.side_by_side, [], "{sql}");
    }
}
