//! Every refusal has its code, whatever the wording.

mod common;

use common::{OPTIONS, catalog, catalog_with, planned, planned_hiding};
use query_planner::{PlanError, plan};

fn code(sql: &str) -> &'static str {
    match planned(sql) {
        Ok(_) => "planned",
        Err(refusal) => refusal.code,
    }
}

#[track_caller]
fn all(expected: &str, questions: &[&str]) {
    for sql in questions {
        assert_eq!(code(sql), expected, "{sql}\n{:?}", planned(sql).err());
    }
}

#[test]
fn names_that_do_not_exist_are_named_with_the_nearest() {
    all("UNKNOWN_TABLE", &["SELECT COUNT(*) FROM persons", "SELECT COUNT(*) FROM a.b.person"]);
    all("UNKNOWN_SITE", &["SELECT COUNT(*) FROM hospital_D.person"]);
    all("UNKNOWN_COLUMN", &["SELECT SUM(ages) FROM person", "SELECT COUNT(*) FROM person WHERE p.x = 1"]);
    all("UNKNOWN_FUNCTION", &["SELECT AVERAGE(year_of_birth) FROM person"]);
    let hint = |sql: &str| planned(sql).unwrap_err().hint.unwrap();
    assert_eq!(hint("SELECT COUNT(*) FROM persn"), "did you mean 'person'?");
    assert_eq!(hint("SELECT COUNT(*) FROM hospitalA.person"), "did you mean hospital_A.person?");
}

#[test]
fn names_are_compared_without_case() {
    all(
        "planned",
        &[
            "SELECT COUNT(*) FROM PERSON",
            "select count(*) from Network.Person where YEAR_OF_BIRTH > 1950",
            "SELECT COUNT(*) FROM HOSPITAL_a.person",
            "SELECT COUNT(*) FROM \"hospital_A\".person",
        ],
    );
}

#[test]
fn text_that_is_not_one_select_is_refused() {
    all("SQL_SYNTAX", &["SELECT COUNT( FROM person", "SELEC 1", "SELECT 'a"]);
    all("ONE_STATEMENT", &["SELECT COUNT(*) FROM person; SELECT 1"]);
    all("NOT_A_QUERY", &["DELETE FROM person", "INSERT INTO person VALUES (1)", "EXPLAIN SELECT 1", "", ";"]);
    all("CONTROL_CHARACTERS", &["SELECT COUNT(*)\u{0} FROM person"]);
    all("QUERY_TOO_LONG", &[&format!("SELECT COUNT(*) FROM person -- {}", "x".repeat(70_000))]);
    all(
        "QUERY_TOO_DEEP",
        &[
            &format!("SELECT COUNT(*) FROM person WHERE {}TRUE{}", "(".repeat(100), ")".repeat(100)),
            &format!("SELECT COUNT(*) FROM person WHERE TRUE{}", " OR year_of_birth = 1".repeat(2000)),
        ],
    );
}

#[test]
fn rows_of_patients_never_leave() {
    all(
        "ROWS_NOT_RELEASED",
        &[
            "SELECT * FROM person",
            "SELECT person_id FROM hospital_A.person LIMIT 1",
            "SELECT * FROM person ORDER BY year_of_birth",
            "SELECT person_id FROM hospital_A.person UNION ALL SELECT person_id FROM hospital_A.measurement",
        ],
    );
    all(
        "PATIENT_KEY_GROUP",
        &[
            "SELECT person_id, COUNT(*) FROM person GROUP BY person_id",
            "SELECT DISTINCT person_id FROM hospital_A.person",
        ],
    );
    all("PATIENT_KEY_VALUE", &["SELECT SUM(person_id) FROM person", "SELECT AVG(person_id) FROM hospital_A.person"]);
    all(
        "NOT_RELEASED",
        &[
            "SELECT STRING_AGG(race_source_value, ',') FROM person",
            "SELECT ARRAY_AGG(year_of_birth) FROM hospital_A.person",
        ],
    );
}

#[test]
fn predicates_may_not_single_a_patient_out() {
    all(
        "PREDICATE_ISOLATES",
        &[
            "SELECT COUNT(*) FROM person WHERE person_id = 5",
            "SELECT COUNT(*) FROM person WHERE 5 = person_id",
            "SELECT COUNT(*) FROM person WHERE person_id IN (1, 2, 3, 4, 5)",
            "SELECT COUNT(*) FROM person WHERE person_id BETWEEN 5 AND 5",
            "SELECT COUNT(*) FROM person WHERE CAST(person_id AS TEXT) LIKE '12%'",
            "SELECT COUNT(*) FROM person WHERE person_id % 1000 = 7",
            "SELECT SUM(CASE WHEN person_id = 7 THEN 1 ELSE 0 END) FROM person",
            "SELECT width_bucket(person_id, 0, 10, 10), COUNT(*) FROM person GROUP BY 1",
            "SELECT COUNT(*) FILTER (WHERE person_id < 7) FROM person",
            "SELECT COUNT(*) FROM (SELECT person_id AS x FROM hospital_A.person) t WHERE x = 5",
            "SELECT COUNT(*) FROM person WHERE race_source_value = 'white'",
        ],
    );
    all("planned", &["SELECT COUNT(*) FROM person WHERE person_id IS NOT NULL", "SELECT COUNT(person_id) FROM person"]);
}

#[test]
fn what_needs_more_than_matching_is_not_yet_available() {
    all(
        "NOT_YET",
        &[
            "SELECT COUNT(DISTINCT gender_concept_id) FROM person",
            "SELECT COUNT(*) FROM person WHERE year_of_birth > (SELECT AVG(year_of_birth) FROM person)",
            "SELECT COUNT(*) FROM (SELECT * FROM person LIMIT 10) t",
            "SELECT SUM(y) FROM (SELECT LAG(year_of_birth) OVER (ORDER BY person_id) AS y FROM person) t",
            "SELECT MEDIAN(n) FROM (SELECT person_id, COUNT(*) AS n FROM person GROUP BY person_id) t",
        ],
    );
}

#[test]
fn joins_between_sites_are_on_the_patient_key() {
    all(
        "UNMATCHABLE",
        &[
            "SELECT COUNT(*) FROM hospital_A.person a JOIN hospital_B.person b ON a.year_of_birth = b.year_of_birth",
            "SELECT COUNT(*) FROM hospital_A.person a CROSS JOIN hospital_B.person b",
            "SELECT COUNT(*) FROM hospital_A.person a JOIN hospital_B.site_info s ON a.race_source_value = s.name",
            "SELECT n, COUNT(*) FROM (SELECT person_id, CAST(COUNT(*) AS TEXT) n FROM person GROUP BY person_id) t GROUP BY 1",
        ],
    );
    let text =
        planned("SELECT COUNT(*) FROM person a JOIN measurement b ON a.year_of_birth = b.score").unwrap_err().message;
    assert!(text.contains("a.year_of_birth = b.score"), "{text}");
}

#[test]
fn rows_that_would_have_to_be_compared_one_by_one_are_refused_with_the_reason() {
    all(
        "NOT_YET",
        &[
            "SELECT COUNT(*) FROM person a JOIN person b ON a.person_id = b.person_id AND a.year_of_birth = b.year_of_birth",
            "SELECT COUNT(*) FROM condition_occurrence c JOIN drug_exposure d ON c.person_id = d.person_id WHERE d.drug_exposure_start_date > c.condition_start_date",
            "SELECT COUNT(DISTINCT a.person_id) FROM condition_occurrence a JOIN condition_occurrence b ON a.person_id = b.person_id WHERE b.condition_start_date BETWEEN a.condition_start_date + 15 AND a.condition_start_date + 56",
            "SELECT COUNT(*) FROM person p LEFT JOIN condition_occurrence c ON p.person_id = c.person_id WHERE c.condition_concept_id = 5",
            "SELECT p.gender_concept_id, c.condition_concept_id, COUNT(*) FROM person p JOIN condition_occurrence c ON p.person_id = c.person_id GROUP BY 1, 2",
            "SELECT COUNT(*) FROM (SELECT DISTINCT person_id, condition_concept_id FROM condition_occurrence) t",
            "SELECT COUNT(*) FROM (SELECT person_id, RANK() OVER (PARTITION BY person_id ORDER BY condition_start_date) r FROM condition_occurrence) t WHERE r = 1",
            "SELECT n, COUNT(*) FROM (SELECT person_id, COUNT(*) n FROM condition_occurrence GROUP BY person_id) t GROUP BY n",
            "SELECT AVG(m.value_as_number) FROM measurement m WHERE m.person_id IN (SELECT person_id FROM condition_occurrence)",
        ],
    );
}

#[test]
fn a_patient_stays_unknown_whatever_is_matched() {
    all(
        "PATIENT_KEY_GROUP",
        &[
            "SELECT a.person_id, COUNT(*) FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id GROUP BY 1",
            "SELECT person_id FROM (SELECT person_id, COUNT(*) n FROM condition_occurrence GROUP BY person_id) t GROUP BY person_id",
        ],
    );
    all(
        "PATIENT_KEY_VALUE",
        &["SELECT SUM(a.person_id) FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id"],
    );
    all(
        "PREDICATE_ISOLATES",
        &[
            "SELECT COUNT(*) FROM person p JOIN condition_occurrence c ON p.person_id = c.person_id WHERE c.person_id = 7",
            "SELECT COUNT(*) FROM person p JOIN condition_occurrence c ON p.person_id + 1 = c.person_id",
            "SELECT COUNT(*) FROM (SELECT person_id, MAX(race_source_value) r FROM person GROUP BY person_id) t WHERE r = 'x'",
        ],
    );
}

#[test]
fn small_cells_of_matched_patients_go_to_the_analyst_alone() {
    let everyone = query_planner::Options { audience: query_planner::Audience::Everyone, ..OPTIONS };
    let hiding = catalog_with(&format!("min_patients = 11\n{}", common::SETTINGS));
    let sql = "SELECT COUNT(DISTINCT person_id) FROM person";
    assert_eq!(plan(sql, &hiding, &everyone).unwrap_err().code, "SEAL_TO_ANALYST");
    assert!(plan(sql, &catalog(), &everyone).is_ok());
    let rows = plan("SELECT COUNT(*) FROM person", &hiding, &everyone).unwrap();
    assert!(!rows.joint.sums[0].patients.is_empty(), "rows for everyone are judged by their patients");
}

#[test]
fn counts_of_patients_are_not_taken_for_parts_of_each_other() {
    let code = |sql: &str| planned_hiding(sql).err().map(|e| e.code);
    let total = "SELECT COUNT(DISTINCT person_id) AS n FROM condition_occurrence";
    let table = "SELECT condition_concept_id, COUNT(DISTINCT person_id) AS n FROM condition_occurrence WHERE condition_concept_id IN (1, 2) GROUP BY 1";
    let both = format!("SELECT a.n, b.n FROM ({total}) a CROSS JOIN ({table}) b");
    assert_eq!(code(&both), Some("RELATED_TABLES"));
    let overlapping = "SELECT COUNT(*) FILTER (WHERE d > DATE '2000-01-01'), COUNT(*) FILTER (WHERE n > 2), COUNT(*) FILTER (WHERE n > 4), \
                       COUNT(*) FILTER (WHERE n > 6) FROM (SELECT person_id, MIN(condition_start_date) d, COUNT(*) n FROM condition_occurrence GROUP BY person_id) t";
    assert_eq!(code(overlapping), Some("RELATED_TABLES"));
    let beside = "SELECT COUNT(*), COUNT(DISTINCT person_id) FILTER (WHERE condition_concept_id < 5), COUNT(DISTINCT person_id) FILTER (WHERE \
                  condition_concept_id > 3), COUNT(DISTINCT person_id) FILTER (WHERE condition_start_date IS NULL), COUNT(DISTINCT person_id) \
                  FILTER (WHERE condition_concept_id IN (1, 4)) FROM condition_occurrence";
    assert_eq!(code(beside), Some("RELATED_TABLES"));
    assert!(planned(beside).is_ok());
}

#[test]
fn a_local_minimum_over_many_patients_is_no_way_round() {
    all(
        "NOT_RELEASED",
        &[
            "SELECT SUM(m) FROM (SELECT MAX(year_of_birth) AS m FROM hospital_A.person) t",
            "SELECT SUM(m) FROM (SELECT gender_concept_id, MIN(year_of_birth) AS m FROM hospital_A.person GROUP BY 1) t",
            "SELECT COUNT(*) FROM hospital_A.person WHERE year_of_birth = (SELECT MAX(year_of_birth) FROM hospital_A.person)",
        ],
    );
    all(
        "planned",
        &[
            "SELECT AVG(m) FROM (SELECT person_id, MAX(score) AS m FROM hospital_A.measurement GROUP BY person_id) t",
            "SELECT MAX(n) FROM (SELECT gender_concept_id, COUNT(*) AS n FROM person GROUP BY 1) t",
        ],
    );
}

#[test]
fn constructs_without_a_secure_form_are_refused() {
    all(
        "UNSUPPORTED",
        &[
            "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY ROLLUP (gender_concept_id)",
            "SELECT CORR(year_of_birth, gender_concept_id) FROM person",
            "SELECT 1",
            "SELECT BOOL_AND(year_of_birth > 1900) FROM person",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT COUNT(*) FROM r",
        ],
    );
    all("UNKNOWN_FUNCTION", &["SELECT COUNT(*) FROM person WHERE random() < 0.5"]);
    all(
        "TYPE_MISMATCH",
        &[
            "SELECT SUM(race_source_value) FROM person",
            "SELECT SUM(birth_date) FROM person",
            "SELECT AVG(birth_date) FROM person",
        ],
    );
    all("INVALID_QUERY", &["SELECT COUNT(*) FROM person WHERE year_of_birth = $1"]);
    // What would end in a fault of the optimizer, or at the sites.
    let list = "SELECT m.score FROM hospital_A.measurement m";
    all(
        "UNSUPPORTED",
        &[
            "SELECT DISTINCT ON (year_of_birth) year_of_birth FROM person",
            "SELECT COUNT(*) FROM (SELECT DISTINCT ON (person_id) person_id FROM hospital_A.person ORDER BY person_id) p",
            &format!(
                "SELECT COUNT(*) FROM hospital_A.person p WHERE p.year_of_birth NOT IN ({list} WHERE m.person_id = p.person_id)"
            ),
        ],
    );
    all("planned", &[&format!("SELECT COUNT(*) FROM hospital_A.person p WHERE p.year_of_birth NOT IN ({list})")]);
    all("AMBIGUOUS_COLUMN", &["SELECT SUM(person_id) FROM hospital_A.person a, hospital_A.person b"]);
}

#[test]
fn order_statistics_that_cannot_be_found_are_refused() {
    all(
        "TYPE_MISMATCH",
        &["SELECT MIN(condition_source_value) FROM condition_occurrence", "SELECT MEDIAN(birth_date) FROM person"],
    );
    all("PATIENT_KEY_VALUE", &["SELECT MAX(person_id) FROM person"]);
    all("UNSUPPORTED", &["SELECT MEDIAN(DISTINCT score) FROM measurement"]);
    all(
        "INVALID_QUERY",
        &[
            "SELECT PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY score) FROM measurement",
            "SELECT PERCENTILE_DISC(score) WITHIN GROUP (ORDER BY score) FROM measurement",
        ],
    );
    all(
        "PERCENTILE_TOO_FINE",
        &["SELECT PERCENTILE_CONT(0.12345678901) WITHIN GROUP (ORDER BY year_of_birth) FROM person"],
    );
    let many = "[tables.person]\nmax_rows = 1000000";
    let refusal = under(many, "SELECT MEDIAN(year_of_birth) FROM person").unwrap_err();
    assert_eq!(refusal.code, "TOO_MANY_ROWS");
    assert!(refusal.hint.unwrap().contains("range"));
    let ranged = "[tables.person]\nmax_rows = 1000000\n[tables.person.columns.year_of_birth]\nrange = [1880, 2026]";
    assert!(under(ranged, "SELECT MEDIAN(2026 - year_of_birth) FROM person").is_ok());
}

#[test]
fn tables_that_together_could_undo_the_hiding_are_refused() {
    let code = |sql: &str| common::planned_hiding(sql).map_or_else(|e| e.code, |_| "planned");
    let by_year = "SELECT year_of_birth AS k, COUNT(*) AS n FROM person GROUP BY 1";
    for sql in [
        // Two margins without what they are margins of.
        format!("SELECT gender_concept_id AS k, COUNT(*) AS n FROM person GROUP BY 1 UNION ALL {by_year}"),
        // Overlapping choices of rows.
        "SELECT (SELECT COUNT(*) FROM person WHERE year_of_birth < 1950) AS a, (SELECT COUNT(*) FROM person WHERE gender_concept_id = 8507) AS b".into(),
        // The same table, alone and joined.
        "SELECT (SELECT COUNT(*) FROM hospital_A.person) AS a, (SELECT COUNT(*) FROM hospital_A.person p JOIN hospital_A.measurement m ON p.person_id = m.person_id) AS b".into(),
        // Two tables by keys that look alike and are not.
        "SELECT g, COUNT(*) FROM (SELECT year_of_birth < 1950 AS g FROM person) t GROUP BY g UNION ALL SELECT g, COUNT(*) FROM (SELECT year_of_birth < 1960 AS g FROM person) t GROUP BY g".into(),
    ] {
        assert_eq!(code(&sql), "RELATED_TABLES", "{sql}");
    }
    for sql in [
        format!("SELECT NULL AS k, COUNT(*) AS n FROM person UNION ALL {by_year}"),
        "SELECT gender_concept_id, CAST(COUNT(*) AS DOUBLE) / (SELECT COUNT(*) FROM person) FROM person GROUP BY 1".into(),
        "SELECT (SELECT COUNT(*) FROM person WHERE year_of_birth = 1950) AS a, (SELECT COUNT(*) FROM person WHERE year_of_birth = 1951) AS b".into(),
        "SELECT (SELECT COUNT(*) FROM hospital_A.person) AS a, (SELECT COUNT(*) FROM hospital_B.person) AS b, (SELECT COUNT(*) FROM person) AS c".into(),
        "SELECT (SELECT COUNT(*) FROM person) AS a, (SELECT COUNT(*) FROM measurement) AS b".into(),
    ] {
        assert_eq!(code(&sql), "planned", "{sql}");
    }
}

fn under(settings: &str, sql: &str) -> Result<query_planner::Compiled, PlanError> {
    plan(sql, &catalog_with(settings), &OPTIONS)
}

#[test]
fn the_joint_policy_is_obeyed() {
    let by_sex = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY gender_concept_id";
    assert_eq!(under("min_sites = 4", by_sex).unwrap_err().code, "TOO_FEW_SITES");
    let hidden = "[tables.person.columns.gender_concept_id]\nallowed = false";
    assert_eq!(under(hidden, by_sex).unwrap_err().code, "COLUMN_NOT_ALLOWED");
    assert!(under(hidden, "SELECT COUNT(*) FROM (SELECT * FROM person) t").is_ok());
    let private = "[tables.person.columns.gender_concept_id]\nagree_keys = false";
    assert_eq!(under(private, by_sex).unwrap_err().code, "KEYS_NOT_AGREEABLE");
    let quasi = "[tables.person.columns.gender_concept_id]\nquasi_identifier = true";
    assert_eq!(under(quasi, by_sex).unwrap_err().code, "KEYS_NOT_AGREEABLE");
    let narrow = "max_groups = 2\n[tables.person.columns.gender_concept_id]\ndomain = [1, 2, 3]\nagree_keys = false";
    assert_eq!(under(narrow, by_sex).unwrap_err().code, "TOO_MANY_GROUPS");
}

#[test]
fn a_decimal_sum_that_could_exceed_128_bits_is_refused_at_plan_time() {
    let wide = "[tables.measurement.columns.cost]\ntype = \"decimal(38,2)\"";
    assert_eq!(under(wide, "SELECT SUM(cost) FROM measurement").unwrap_err().code, "SUM_OVERFLOW");
    let bounded = "[tables.measurement.columns.cost]\ntype = \"decimal(38,2)\"\nrange = [0, 100000]";
    assert!(under(bounded, "SELECT SUM(cost) FROM measurement").is_ok());
}

#[test]
fn a_broken_catalogue_is_refused() {
    let mut broken = catalog();
    broken.sites.push(broken.sites[0].clone());
    assert_eq!(plan("SELECT COUNT(*) FROM person", &broken, &OPTIONS).unwrap_err().code, "BAD_CATALOG");
    let mut broken = catalog();
    broken.tables[0].columns[0].range = Some((5, 1));
    assert_eq!(broken.validate().unwrap_err().code, "BAD_CATALOG");
}

#[test]
fn the_deepest_texts_the_limits_allow_do_not_exhaust_the_stack() {
    let nested = |levels: usize| {
        let open = "SELECT * FROM (".repeat(levels);
        format!("SELECT COUNT(*) FROM ({open}SELECT * FROM person{}) t", ") t".repeat(levels))
    };
    all("planned", &[&nested(20)]);
    let brackets = format!("SELECT COUNT(*) FROM person WHERE {}year_of_birth = 1{}", "(".repeat(60), ")".repeat(60));
    all("planned", &[&brackets]);
    for sql in [
        nested(60),
        format!("SELECT COUNT(*) FROM person WHERE {} year_of_birth > 0", "NOT ".repeat(240)),
        format!("SELECT SUM(year_of_birth{}) FROM person", " + year_of_birth".repeat(1000)),
        format!("SELECT COUNT(*) FROM person WHERE year_of_birth > 0{}", " AND year_of_birth > 0".repeat(500)),
        format!("SELECT COUNT(*) FROM person{}", " UNION ALL SELECT COUNT(*) FROM person".repeat(120)),
        format!("SELECT {}1{} FROM person", "CASE WHEN TRUE THEN ".repeat(60), " END".repeat(60)),
        format!("SELECT {}1{} FROM person", "abs(".repeat(64), ")".repeat(64)),
        format!("SELECT COUNT(*) FROM person WHERE year_of_birth = {}1{}", "(SELECT ".repeat(40), ")".repeat(40)),
        format!("SELECT COUNT(*) FROM person WHERE {}TRUE{}", "EXISTS (SELECT 1 WHERE ".repeat(40), ")".repeat(40)),
        format!("SELECT SUM({}year_of_birth{}) FROM person", "abs(".repeat(30), ")".repeat(30)),
        format!(
            "SELECT SUM(y) FROM ({}SELECT year_of_birth AS y FROM person{}) t",
            "SELECT abs(y) AS y FROM (".repeat(30),
            ") t".repeat(30)
        ),
    ] {
        assert!(
            matches!(code(&sql), "planned" | "QUERY_TOO_DEEP" | "ROWS_NOT_RELEASED" | "SQL_SYNTAX"),
            "{}",
            code(&sql)
        );
    }
}

/// Whatever the small cells of the figure itself: the subquery's value decides about everybody's rows.
#[test]
fn a_value_of_some_patients_rows_decides_nothing_about_others_where_cells_are_hidden() {
    let one = "(SELECT SUM(value_as_number) FROM hospital_A.measurement WHERE measurement_id = 7)";
    let largest = "(SELECT MAX(year_of_birth) FROM hospital_A.person)";
    for sql in [
        format!("SELECT COUNT(*) FROM hospital_A.person WHERE {one} > 5"),
        format!("SELECT COUNT(*) FILTER (WHERE {one} > 5) FROM hospital_A.person"),
        format!("SELECT SUM(year_of_birth) FILTER (WHERE {one} > 5) FROM hospital_A.person"),
        format!("SELECT SUM(CASE WHEN {one} > 5 THEN year_of_birth END) FROM hospital_A.person"),
        format!("SELECT COUNT(DISTINCT person_id) FILTER (WHERE {one} > 5) FROM hospital_A.person"),
        format!("SELECT COUNT(*) FILTER (WHERE year_of_birth = {largest}) FROM hospital_A.person"),
        format!("SELECT CASE WHEN {one} > 5 THEN 1 ELSE 2 END AS g, COUNT(*) FROM hospital_A.person GROUP BY 1"),
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM hospital_A.measurement WHERE value_as_number > 5) THEN 1 ELSE 2 END AS g, COUNT(*) \
         FROM hospital_A.person GROUP BY 1"
            .to_owned(),
    ] {
        let refusal = planned_hiding(&sql).expect_err(&sql);
        assert!(["PATIENTS_LOST", "NOT_RELEASED"].contains(&refusal.code), "{sql}: {refusal}");
    }
    assert!(
        planned("SELECT COUNT(*) FROM hospital_A.person WHERE (SELECT COUNT(*) FROM hospital_A.measurement) > 5")
            .is_ok()
    );
    planned_hiding(
        "SELECT COUNT(*) FILTER (WHERE year_of_birth > 1950) AS n, (SELECT COUNT(*) FROM measurement) AS m FROM person",
    )
    .unwrap();
}

/// Questions from which a hidden small cell would follow although every pair of shown cells looks harmless.
#[test]
fn what_would_tell_a_hidden_cell_together_is_refused() {
    let hiding = |sql: &str| planned_hiding(sql).err().map_or("planned", |refusal| refusal.code);
    let refused = |code: &str, questions: &[&str]| {
        questions.iter().for_each(|sql| assert_eq!(hiding(sql), code, "{sql}"));
    };
    let g = "gender_concept_id";
    let key_of_a_key = format!(
        "SELECT {g} k, COUNT(*) n FROM person GROUP BY {g} \
         UNION ALL SELECT CASE WHEN {g} = 8507 THEN 10 ELSE 20 END, COUNT(*) FROM person GROUP BY CASE WHEN {g} = 8507 THEN 10 ELSE 20 END \
         UNION ALL SELECT NULL, COUNT(*) FROM person"
    );
    let filter_beside_group = format!(
        "SELECT {g}, COUNT(*) n, 0 c FROM person GROUP BY {g} \
         UNION ALL SELECT NULL, COUNT(*), COUNT(*) FILTER (WHERE {g} = 8507) FROM person"
    );
    let sites = |order: [&str; 3]| {
        let branch = |(i, site): (usize, &&str)| format!("SELECT {} AS s FROM hospital_{site}.person", i + 1);
        format!("({}) u", order.iter().enumerate().map(branch).collect::<Vec<_>>().join(" UNION ALL "))
    };
    let sites_exchanged = format!(
        "SELECT s, COUNT(*) FROM {} GROUP BY s UNION ALL SELECT s, COUNT(*) FROM {} GROUP BY s",
        sites(["A", "B", "C"]),
        sites(["B", "C", "A"])
    );
    let inclusion_exclusion = format!(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE {g} = 8507) a, COUNT(*) FILTER (WHERE year_of_birth > 1990) b, \
         COUNT(*) FILTER (WHERE {g} = 8507 OR year_of_birth > 1990) u, COUNT(*) FILTER (WHERE year_of_birth < 1995) c FROM person"
    );
    refused("RELATED_TABLES", &[&key_of_a_key, &filter_beside_group, &sites_exchanged, &inclusion_exclusion]);
    refused(
        "CONDITIONAL_VALUE",
        &[
            "SELECT MAX(CASE WHEN year_of_birth > 1990 THEN 1 ELSE 0 END) FROM person",
            "SELECT MAX(c) FROM (SELECT CASE WHEN year_of_birth > 1990 THEN 2 ELSE 0 END AS c FROM person) t",
            "SELECT MAX(d) FROM (SELECT c + 1 AS d FROM (SELECT CASE WHEN year_of_birth > 1990 THEN 2 ELSE 0 END AS c FROM person) t) u",
            "SELECT MAX(year_of_birth > 1990) FROM person",
        ],
    );
    // Of sums every term is judged by its own rows.
    refused(
        "planned",
        &[
            "SELECT COUNT(*), SUM(CASE WHEN year_of_birth > 1990 THEN 2 ELSE 0 END) FROM person",
            "SELECT AVG(CASE WHEN year_of_birth > 1990 THEN 1.0 ELSE 0.0 END) FROM person",
            "SELECT SUM(c) FROM (SELECT CASE WHEN year_of_birth > 1990 THEN 2 ELSE 0 END AS c FROM person) t",
            "SELECT SUM(d) FROM (SELECT c + 1 AS d FROM (SELECT CASE WHEN year_of_birth > 1990 THEN 2 ELSE 0 END AS c FROM person) t) u",
        ],
    );
    let bands = "SELECT COUNT(*), COUNT(*) FILTER (WHERE year_of_birth <= 1950), \
                 COUNT(*) FILTER (WHERE year_of_birth BETWEEN 1951 AND 1990), COUNT(*) FILTER (WHERE year_of_birth >= 1991) FROM person";
    let funnel = format!(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE {g} = 8507), COUNT(*) FILTER (WHERE {g} = 8507 AND year_of_birth > 1950), \
         COUNT(*) FILTER (WHERE {g} = 8507 AND year_of_birth > 1950 AND birth_date IS NOT NULL) FROM person"
    );
    refused(
        "planned",
        &[bands, &funnel, "SELECT SUM(CASE WHEN year_of_birth > 1990 THEN year_of_birth END) FROM person"],
    );
    let counts_groups = format!("SELECT COUNT(*) FROM (SELECT {g}, COUNT(*) n FROM person GROUP BY {g}) t");
    refused("UNSUPPORTED", &[&counts_groups]);
}

#[test]
fn sketches_are_refused_where_they_would_tell_small_numbers() {
    let questions = [
        "SELECT APPROX_COUNT_DISTINCT(person_id) FROM person",
        "SELECT gender_concept_id, COUNT(*), APPROX_DISTINCT(year_of_birth) FROM person GROUP BY gender_concept_id",
        "SELECT APPROX_COUNT_DISTINCT(person_id) FROM hospital_A.person",
    ];
    for sql in questions {
        let refusal = planned_hiding(sql).unwrap_err();
        assert_eq!(refusal.code, "SKETCH_REVEALS", "{sql}");
        assert!(refusal.hint.unwrap().contains("COUNT(DISTINCT"), "{sql}");
        assert_eq!(code(sql), "planned", "{sql}");
    }
}

#[test]
fn sketches_that_cannot_be_made_are_refused() {
    all(
        "TOO_MANY_GROUPS",
        &[
            "SELECT width_bucket(year_of_birth, 1900, 2000, 100), APPROX_COUNT_DISTINCT(person_id) FROM person GROUP BY 1",
        ],
    );
    all("TYPE_MISMATCH", &["SELECT APPROX_COUNT_DISTINCT() FROM person"]);
    all("UNSUPPORTED", &["SELECT MAX(n) FROM (SELECT APPROX_COUNT_DISTINCT(person_id) AS n FROM hospital_A.person) t"]);
    let joined = "SELECT APPROX_COUNT_DISTINCT(p.person_id) FROM person p JOIN condition_occurrence c ON p.person_id = c.person_id";
    all("NOT_YET", &[joined]);
    all("planned", &["SELECT gender_concept_id FROM person GROUP BY 1 HAVING APPROX_COUNT_DISTINCT(person_id) > 100"]);
}
