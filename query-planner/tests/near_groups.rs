//! Which groups of one table a question can make of nearly the same patients: these are compared, and their keys are not agreed.

mod common;

use common::{OPTIONS, SETTINGS, catalog_with};
use query_planner::plan::{Groups, JointPlan};
use query_planner::{PlanError, plan};

/// `c` has rows of each patient under both codes; who asks knows somebody's row by its number.
const CODES: &str = "[tables.condition_occurrence.columns.condition_concept_id]\ndomain = [1, 2]\n";

/// Stands for a table of codes, with these short names.
fn planned(sql: &str, codes: &str) -> Result<JointPlan, PlanError> {
    let rows = "(SELECT person_id, condition_concept_id AS code, condition_occurrence_id AS id FROM hospital_A.condition_occurrence)";
    let values = "(SELECT person_id, score, measurement_id AS id FROM hospital_A.measurement)";
    let sql = sql.replace("{c}", rows).replace("{m}", values);
    let catalog = catalog_with(&format!("min_patients = 11\n{SETTINGS}\n{codes}"));
    plan(&sql, &catalog, &OPTIONS).map(|compiled| compiled.joint)
}

/// Groups whose rows a question picks by the key and something else at once.
const PICKED: &[&str] = &[
    // By a condition, in whatever place and words.
    "SELECT code, COUNT(*) FROM {c} c WHERE code = 1 OR id <> 17 GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c WHERE (code = 1 OR id <> 17) = (person_id IS NOT NULL) GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c JOIN {m} m ON c.person_id = m.person_id AND (c.code = 1 OR m.id <> 17) = (m.id > 0) GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c JOIN {m} m ON c.person_id = m.person_id AND c.code * 0 = m.id * 0 WHERE c.code = 1 OR m.id <> 17 GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c WHERE NOT EXISTS (SELECT 1 FROM {c} d WHERE d.person_id = c.person_id AND d.code = c.code AND d.id = 17) GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c WHERE (SELECT COUNT(*) FROM {c} d WHERE d.person_id = c.person_id AND d.code = c.code AND d.id = 17) = 0 GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c LEFT JOIN (SELECT person_id, MAX(code) AS last FROM {c} d GROUP BY person_id) d ON c.person_id = d.person_id AND c.code = d.last WHERE c.code = 1 OR c.id <> 17 GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c LEFT JOIN {m} m ON c.person_id = m.person_id AND c.code = 1 WHERE m.id IS NOT NULL OR c.id <> 17 GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c LEFT JOIN (SELECT person_id, 2 AS last FROM {m} m WHERE id = 17) m ON c.person_id = m.person_id WHERE m.last IS DISTINCT FROM c.code GROUP BY code",
    // By a key.
    "SELECT CASE WHEN code = 1 THEN 1 WHEN id <> 17 THEN 2 END, COUNT(*) FROM {c} c GROUP BY 1",
    "SELECT m.score > 50, COUNT(*) FROM {c} c LEFT JOIN {m} m ON c.person_id = m.person_id AND c.code = 2 AND c.id <> 17 GROUP BY 1",
    "SELECT n > 1, COUNT(*) FROM (SELECT c.person_id, code, COUNT(*) AS n FROM {c} c JOIN {m} m ON c.person_id = m.person_id AND (code = 1 OR c.id <> 17) GROUP BY c.person_id, code) t GROUP BY 1",
    // By a figure.
    "SELECT code, COUNT(*) FILTER (WHERE code = 1 OR id <> 17) FROM {c} c GROUP BY code",
    "SELECT code, COUNT(CASE WHEN code = 1 OR id <> 17 THEN 1 END) FROM {c} c GROUP BY code",
    "SELECT code, COUNT(*), COUNT(*) FILTER (WHERE code = person_id) FROM {c} c WHERE code = 1 OR id <> 17 GROUP BY code",
    // By a table that stands beside all rows, or a list.
    "SELECT code, COUNT(*) FROM {c} c JOIN hospital_A.site_info s ON c.code = s.beds WHERE s.name = 'x' OR c.id <> 17 GROUP BY code",
    "SELECT g, COUNT(DISTINCT person_id) FROM {c} c CROSS JOIN (VALUES (1), (2)) l(g) WHERE g = 1 OR id <> 17 GROUP BY g",
    "SELECT g, COUNT(DISTINCT person_id) FROM {c} c CROSS JOIN (SELECT 1 AS g UNION ALL SELECT 2) l WHERE g = 1 OR id <> 17 GROUP BY g",
    "SELECT g, COUNT(DISTINCT person_id) FROM {c} c JOIN (VALUES (1, 0), (2, 17)) l(g, t) ON id <> t GROUP BY g",
    "SELECT g, COUNT(DISTINCT person_id) FROM {c} c JOIN (VALUES (1, 16), (1, 17), (2, 16)) l(g, t) ON id = t GROUP BY g",
    "SELECT g, COUNT(DISTINCT person_id) FROM {c} c LEFT JOIN (VALUES (2)) l(g) ON id <> 17 AND g = code GROUP BY g",
    // By the branch of a UNION.
    "SELECT g, COUNT(*) FROM (SELECT 1 AS g, person_id FROM {c} c UNION ALL SELECT 2, person_id FROM {c} c WHERE id <> 17) s GROUP BY g",
    "SELECT g, COUNT(DISTINCT person_id) FROM (SELECT 1 AS g, person_id FROM {c} c UNION ALL SELECT 2, person_id FROM {m} m WHERE id <> 17) s GROUP BY g",
    "SELECT code, COUNT(DISTINCT person_id) FROM (SELECT code, person_id FROM {c} c WHERE code = 1 UNION ALL SELECT code, person_id FROM {c} c WHERE code = 2 AND id <> 17) s GROUP BY code",
    "SELECT code, COUNT(DISTINCT person_id) FROM (SELECT code, person_id FROM {c} c WHERE code IN (SELECT g FROM (VALUES (1)) l(g)) AND id NOT IN (SELECT g FROM (VALUES (17)) l(g)) UNION ALL SELECT code, person_id FROM {c} c WHERE code IN (SELECT g FROM (VALUES (2)) l(g)) AND id NOT IN (SELECT g FROM (VALUES (0)) l(g))) s GROUP BY code",
    "SELECT g > 1, COUNT(DISTINCT person_id) FROM (SELECT person_id, MAX(code) AS g, MAX(id) AS id FROM {c} c GROUP BY person_id UNION ALL SELECT person_id, MAX(score), MAX(id) FROM {m} m GROUP BY person_id) s WHERE g = 1 OR id <> 17 GROUP BY 1",
];

/// Groups that differ as the tables say.
const AS_TABLES_SAY: &[&str] = &[
    "SELECT code, COUNT(*) FROM {c} c GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c WHERE id <> 17 AND (id < 5 OR id > 9) GROUP BY code",
    "SELECT code, COUNT(DISTINCT person_id) FROM {c} c WHERE person_id IN (SELECT person_id FROM {m} m WHERE score > 5 UNION SELECT person_id FROM {m} m WHERE score < 3) GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c WHERE EXISTS (SELECT 1 FROM {m} m WHERE m.person_id = c.person_id AND m.score > 5) GROUP BY code",
    "SELECT code, COUNT(*) FROM {c} c JOIN (SELECT person_id, MIN(id) AS first FROM {m} m GROUP BY person_id) m ON c.person_id = m.person_id WHERE c.id >= m.first GROUP BY code",
    "SELECT p.gender_concept_id, code, COUNT(*) FROM hospital_A.person p JOIN {c} c ON p.person_id = c.person_id WHERE p.year_of_birth < 1950 GROUP BY 1, 2",
    "SELECT m.n IS NULL, code, COUNT(*) FROM {c} c LEFT JOIN (SELECT person_id, COUNT(*) AS n FROM {m} m WHERE score > 50 GROUP BY person_id) m ON c.person_id = m.person_id GROUP BY 1, 2",
    "SELECT l.label, COUNT(DISTINCT person_id) FROM {c} c JOIN (VALUES (1, 'a'), (2, 'b')) l(code, label) ON c.code = l.code GROUP BY l.label",
    "SELECT code, COUNT(*) FROM {c} c JOIN hospital_A.site_info s ON c.code = s.beds WHERE s.name = 'x' OR s.name = 'y' GROUP BY code",
    "SELECT code, COUNT(DISTINCT person_id) FROM (SELECT code, person_id FROM {c} c WHERE id < 9 UNION ALL SELECT code, person_id FROM {c} c WHERE id > 99) s GROUP BY code",
];

#[test]
fn groups_that_a_question_picks_patients_for_are_compared() {
    for sql in PICKED {
        match planned(sql, CODES) {
            Ok(plan) => assert_eq!(plan.side_by_side, [(0, 0)], "{sql}"),
            // Sums that repeat rows are judged by nobody, whatever their groups are.
            Err(why) => {
                assert!(["SUM_NOT_JUDGED", "PATIENTS_LOST", "UNSUPPORTED"].contains(&why.code), "{sql}\n{why}")
            }
        }
    }
}

#[test]
fn groups_that_differ_as_tables_say_are_not_compared() {
    for sql in AS_TABLES_SAY {
        let plan = planned(sql, CODES).unwrap_or_else(|why| panic!("{sql}\n{why}"));
        assert_eq!(plan.side_by_side, [], "{sql}");
    }
}

#[test]
fn keys_are_agreed_where_tables_say_how_groups_differ_and_nowhere_else() {
    let of_code = |sql: &&&str| sql.starts_with("SELECT code,") && !sql.contains("FILTER") && !sql.contains("CASE");
    for sql in PICKED.iter().filter(of_code) {
        match planned(sql, "") {
            // The conditions leave the two codes, so that nothing has to be agreed.
            Ok(plan) => {
                assert_eq!((&plan.sums[0].groups, &plan.side_by_side[..]), (&Groups::Declared, &[(0, 0)][..]), "{sql}")
            }
            Err(why) => assert_eq!(why.code, "KEYS_NOT_AGREEABLE", "{sql}"),
        }
    }
    for sql in AS_TABLES_SAY.iter().filter(of_code) {
        planned(sql, "").unwrap_or_else(|why| panic!("{sql}\n{why}"));
    }
    // A figure chooses no rows that have keys.
    planned("SELECT code, COUNT(*) FILTER (WHERE code = 1 OR id <> 17) FROM {c} c GROUP BY code", "").unwrap();
}
