//! What holds for every plan: it is the same each time, its bytes are canonical, its parts fit together.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{OPTIONS, catalog, planned};
use datafusion_expr::{InvariantLevel, LogicalPlan};
use proptest::prelude::*;
use query_planner::bind::{RevealedTable, SiteTable};
use query_planner::catalog::SiteName;
use query_planner::plan::{Groups, PLAN_VERSION, Ring, Scale, Summand};
use query_planner::{Compiled, JointPlan, cost, plan};

fn questions() -> Vec<(String, Compiled)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let texts = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = texts.filter(|path| path.extension().is_some_and(|e| e == "sql"));
    texts
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter_map(|sql| planned(&sql).ok().map(|c| (sql, c)))
        .collect()
}

#[test]
fn the_same_question_gives_the_same_bytes_every_time() {
    for (sql, first) in questions() {
        for _ in 0..5 {
            let again = planned(&sql).unwrap();
            assert_eq!(again.joint.canonical_bytes(), first.joint.canonical_bytes(), "{sql}");
            assert_eq!(again.joint.digest(), first.joint.digest());
        }
    }
}

#[test]
fn the_printed_question_plans_to_the_same_plan() {
    for (sql, compiled) in questions() {
        let again = planned(&compiled.joint.query).unwrap();
        assert_eq!(again.joint, compiled.joint, "{sql}");
    }
}

#[test]
fn canonical_bytes_come_back_and_mutated_ones_do_not() {
    for (sql, compiled) in questions() {
        let bytes = compiled.joint.canonical_bytes();
        assert_eq!(JointPlan::from_canonical(&bytes).unwrap(), compiled.joint, "{sql}");
        for spoilt in [[&bytes[..], b" "].concat(), [b" ", &bytes[..]].concat(), bytes[..bytes.len() - 1].to_vec()] {
            assert_eq!(JointPlan::from_canonical(&spoilt).unwrap_err().code, "BAD_PLAN");
        }
        let text = String::from_utf8(bytes).unwrap();
        let (now, next) = (format!("\"version\":{PLAN_VERSION}"), format!("\"version\":{}", PLAN_VERSION + 1));
        let version = text.replacen(&now, &next, 1);
        assert_eq!(JointPlan::from_canonical(version.as_bytes()).unwrap_err().code, "PLAN_VERSION");
        let unknown = text.replacen(&now, &format!("{now},\"extra\":0"), 1);
        assert_eq!(JointPlan::from_canonical(unknown.as_bytes()).unwrap_err().code, "BAD_PLAN");
    }
}

#[test]
fn no_flipped_byte_reads_as_the_same_plan() {
    let joint = planned("SELECT COUNT(*) FROM person").unwrap().joint;
    let bytes = joint.canonical_bytes();
    for at in 0..bytes.len() {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1;
        assert_ne!(JointPlan::from_canonical(&spoilt).ok(), Some(joint.clone()));
    }
}

#[test]
fn fragments_read_only_their_own_site_and_the_finish_only_revealed_rows() {
    for (sql, compiled) in questions() {
        if let Some(common) = &compiled.joint.intersection {
            assert_eq!((compiled.local.len(), compiled.joint.sums.len(), compiled.revealed.len()), (1, 0, 0), "{sql}");
            for (fragments, relation) in compiled.local[0].relations.iter().zip(&common.relations) {
                check_fragments(fragments, &relation.contributors, &relation.columns, &sql);
            }
            continue;
        }
        assert_eq!(compiled.local.len(), compiled.joint.sums.len());
        assert_eq!(compiled.revealed.len(), compiled.joint.sums.len());
        for (stage, sum) in compiled.local.iter().zip(&compiled.joint.sums) {
            if sum.slots.iter().any(|slot| !matches!(slot.what, Summand::Patients(_))) {
                check_fragments(&stage.fragments, &sum.contributors, &sum.columns, &sql);
            }
            let relations = sum.matching.as_ref().map_or(&[][..], |matching| &matching.relations);
            assert_eq!(stage.relations.len(), relations.len(), "{sql}");
            for (fragments, relation) in stage.relations.iter().zip(relations) {
                check_fragments(fragments, &relation.contributors, &relation.columns, &sql);
            }
        }
        each_scan(&compiled.finish, &mut |scan| {
            let revealed = scan.source.downcast_ref::<RevealedTable>().expect(&sql);
            assert_eq!(scan.table_name.table(), format!("revealed_{}", revealed.index));
            assert_eq!(revealed.schema, compiled.revealed[revealed.index]);
        });
        compiled.finish.check_invariants(InvariantLevel::Executable).expect(&sql);
    }
}

fn check_fragments(fragments: &BTreeMap<SiteName, LogicalPlan>, sites: &[SiteName], columns: &[String], sql: &str) {
    assert_eq!(fragments.keys().collect::<Vec<_>>(), sites.iter().collect::<Vec<_>>());
    for (site, fragment) in fragments {
        each_scan(fragment, &mut |scan| {
            assert_eq!(&scan.source.downcast_ref::<SiteTable>().expect(sql).site, site);
        });
        assert_eq!(fragment.schema().fields().len(), columns.len().max(1), "{sql}");
        fragment.check_invariants(InvariantLevel::Executable).expect(sql);
    }
}

#[test]
fn where_cells_are_hidden_every_column_of_the_answer_has_its_companion() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let texts = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = texts.filter(|path| path.extension().is_some_and(|e| e == "sql"));
    let mut planned = 0;
    for sql in texts.map(|path| fs::read_to_string(path).unwrap()) {
        let (Ok(plain), Ok(hiding)) = (common::planned(&sql), common::planned_hiding(&sql)) else { continue };
        hiding.finish.check_invariants(InvariantLevel::Executable).expect(&sql);
        let names =
            |plan: &LogicalPlan| -> Vec<String> { plan.schema().fields().iter().map(|f| f.name().clone()).collect() };
        let (columns, all) = (names(&plain.finish), names(&hiding.finish));
        if hiding.joint.intersection.is_some() {
            assert_eq!(all, columns, "where and by whom the list is kept is no figure");
            continue;
        }
        assert_eq!((all.len(), &all[..columns.len()]), (2 * columns.len(), &columns[..]), "{sql}");
        planned += 1;
    }
    assert!(planned > 20);
}

fn each_scan(plan: &LogicalPlan, check: &mut dyn FnMut(&datafusion_expr::logical_plan::TableScan)) {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            check(scan);
        }
        Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
    })
    .unwrap();
}

#[test]
fn the_first_slot_counts_the_rows_or_the_patients_of_the_group() {
    for (sql, compiled) in questions() {
        for sum in &compiled.joint.sums {
            let counts = matches!(sum.slots[0].what, Summand::Rows | Summand::Patients(_));
            assert!(counts && sum.slots[0].filter.is_none(), "{sql}");
        }
    }
}

#[test]
fn every_slot_leaves_room_for_all_sites_and_a_sign() {
    for (sql, compiled) in questions() {
        for slot in compiled.joint.sums.iter().flat_map(|s| &s.slots) {
            let width = if slot.ring == Ring::Z64 { 64 } else { 128 };
            assert!(slot.partial_bits + 2 < width, "{sql}: three sites need two bits more, and a sign");
        }
    }
}

fn only_slot(sql: &str, position: usize) -> query_planner::plan::Slot {
    planned(sql).unwrap().joint.sums[0].slots[position].clone()
}

#[test]
fn declared_ranges_prove_small_rings_and_unknown_ones_large() {
    let declared = only_slot("SELECT SUM(score) FROM measurement", 1);
    assert_eq!((declared.ring, declared.partial_bits, declared.proven), (Ring::Z64, 20, true));
    let age = only_slot("SELECT SUM(2 * score - 50) FROM measurement", 1);
    // 8192 rows of at most 150 in size.
    assert_eq!((age.ring, age.partial_bits, age.proven), (Ring::Z64, 21, true));
    let narrowed = only_slot("SELECT SUM(year_of_birth) FROM person WHERE year_of_birth BETWEEN 1900 AND 2020", 1);
    assert_eq!((narrowed.ring, narrowed.partial_bits), (Ring::Z64, 22));
    let undeclared = only_slot("SELECT SUM(year_of_birth) FROM person", 1);
    assert_eq!((undeclared.ring, undeclared.proven), (Ring::Z128, true));
    let squares = only_slot("SELECT VAR_POP(year_of_birth) FROM person", 3);
    assert_eq!((squares.what, squares.proven), (Summand::Square(0), false));
    assert_eq!(squares.partial_bits, 125);
    let real = only_slot("SELECT SUM(value_as_number) FROM measurement", 1);
    assert_eq!((real.ring, real.scale, real.proven), (Ring::Z128, Scale::Binary(40), false));
    let decimal = only_slot("SELECT VAR_POP(cost) FROM measurement", 3);
    assert_eq!(decimal.scale, Scale::Decimal(4));
}

#[test]
fn equal_slots_and_equal_sums_are_shared() {
    let one =
        planned("SELECT COUNT(*), COUNT(score), SUM(score), AVG(score), VAR_POP(score) FROM measurement").unwrap();
    assert_eq!(one.joint.sums[0].slots.len(), 4);
    let twice =
        planned("WITH n AS (SELECT COUNT(*) AS n FROM person) SELECT a.n, b.n FROM n a CROSS JOIN n b").unwrap();
    assert_eq!(twice.joint.sums.len(), 1);
}

#[test]
fn group_domains_come_from_catalogue_and_query() {
    let groups = |sql: &str| planned(sql).unwrap().joint.sums[0].groups.clone();
    for sql in [
        "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1",
        "SELECT CAST(gender_concept_id AS TEXT), COUNT(*) FROM person GROUP BY 1",
        "SELECT year_of_birth < 1960, COUNT(*) FROM person GROUP BY 1",
        "SELECT EXTRACT(MONTH FROM birth_date), COUNT(*) FROM person GROUP BY 1",
        "SELECT COALESCE(CASE WHEN year_of_birth < 1960 THEN 'old' END, 'young') AS band, COUNT(*) FROM person GROUP BY 1",
        "SELECT year_of_birth, COUNT(*) FROM person WHERE year_of_birth = 1960 OR year_of_birth = 1961 GROUP BY 1",
    ] {
        assert_eq!(groups(sql), Groups::Declared, "{sql}");
    }
    let agreed = groups("SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1");
    assert_eq!(agreed, Groups::Agreed { max_groups: 4096, max_key_bytes: 9, threshold: 0 });
}

#[test]
fn sums_cost_three_rounds_and_agreed_keys_five_more() {
    let rounds = |sql: &str| cost(&planned(sql).unwrap().joint).rounds;
    assert_eq!(rounds("SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1"), 3);
    assert_eq!(rounds("SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1"), 8);
}

#[test]
fn now_is_a_constant_of_the_plan() {
    let sql = "SELECT COUNT(*) FROM person WHERE birth_date < current_date";
    let later = query_planner::Options { now_ms: OPTIONS.now_ms + 86_400_000, ..OPTIONS };
    let today = plan(sql, &catalog(), &OPTIONS).unwrap().joint;
    let tomorrow = plan(sql, &catalog(), &later).unwrap().joint;
    assert!(today.sums[0].local_work.contains("2026-11-22"), "{}", today.sums[0].local_work);
    assert_ne!(today.digest(), tomorrow.digest());
}

#[test]
fn another_catalogue_is_another_plan() {
    let sql = "SELECT COUNT(*) FROM person";
    let other = common::catalog_with("max_groups = 17");
    assert_ne!(planned(sql).unwrap().joint.digest(), plan(sql, &other, &OPTIONS).unwrap().joint.digest());
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "UNION ALL",
    "IN",
    "NOT",
    "EXISTS",
    "(",
    ")",
    ",",
    "*",
    "+",
    "-",
    "/",
    "=",
    "<",
    "AND",
    "OR",
    "NULL",
    "1",
    "0.5",
    "'x'",
    "person",
    "measurement",
    "hospital_A.person",
    "hospital_B.person",
    "p",
    "person_id",
    "score",
    "cost",
    "value_as_number",
    "year_of_birth",
    "birth_date",
    "gender_concept_id",
    "COUNT(*)",
    "COUNT(DISTINCT score)",
    "SUM(score)",
    "AVG(cost)",
    "MAX(score)",
    "CASE WHEN",
    "THEN",
    "ELSE",
    "END",
    "AS",
    "WITH p AS",
    "OVER ()",
    "DISTINCT",
    "FILTER (WHERE",
    "CAST(",
    "INTERVAL '1 day'",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_planner_panic(sql in "\\PC{0,80}") {
        if let Err(refusal) = planned(&sql) {
            prop_assert_ne!(refusal.code, "INTERNAL");
        }
    }

    #[test]
    fn no_heap_of_words_makes_the_planner_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let sql = format!("SELECT COUNT(*) FROM person {}", words.join(" "));
        if let Err(refusal) = planned(&sql) {
            prop_assert_ne!(refusal.code, "INTERNAL", "{}", sql);
        }
    }

    #[test]
    fn no_expression_makes_the_planner_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..9)) {
        let sql = format!("SELECT {} FROM hospital_A.measurement GROUP BY 1", words.join(" "));
        if let Err(refusal) = planned(&sql) {
            prop_assert_ne!(refusal.code, "INTERNAL", "{}", sql);
        }
    }
}
