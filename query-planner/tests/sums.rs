//! Where small cells are hidden, it is known of every sum whose values are in it: what is read, what is judged, what is refused.

mod common;

use std::fs;
use std::path::Path;

use common::{OPTIONS, SETTINGS, catalog_with, planned_hiding};
use query_planner::cells::gates;
use query_planner::noise::{Asked, Mechanism};
use query_planner::plan::{Output, SecureSum, Summand};
use query_planner::{Options, plan};

fn code(sql: &str) -> &'static str {
    planned_hiding(sql).map_or_else(|refusal| refusal.code, |_| "planned")
}

#[track_caller]
fn all(expected: &str, questions: &[&str]) {
    for sql in questions {
        assert_eq!(code(sql), expected, "{sql}\n{:?}", planned_hiding(sql).err());
    }
}

fn sum(sql: &str) -> SecureSum {
    let compiled = planned_hiding(sql).unwrap_or_else(|why| panic!("{sql}\n{why}"));
    compiled.joint.sums[0].clone()
}

const M: &str = "FROM measurement";

#[test]
fn a_sum_of_terms_is_judged_term_by_term() {
    let supports = |what: &str| sum(&format!("SELECT {what} AS s {M}")).supports.len();
    let judged = [
        ("SUM(score)", 1),
        ("AVG(2 * score - 7)", 1),
        ("VAR_SAMP(score)", 1),
        ("SUM(1000000 * score + measurement_id)", 2),
        ("SUM(score - measurement_id)", 2),
        ("SUM(score * cost)", 1),
        ("SUM((score + measurement_id) * (cost + 1))", 4),
        ("SUM(CASE WHEN person_id IS NOT NULL THEN score ELSE 0 END)", 1),
        ("SUM(COALESCE(score, 0))", 1),
        ("SUM(NULLIF(score, 0))", 1),
        ("SUM(CASE WHEN measurement_id > 5 THEN 1000 ELSE 1 END)", 2),
        ("SUM(value_as_number / 18.0)", 1),
        ("SUM(score) FILTER (WHERE measurement_id > 5)", 1),
    ];
    for (what, cells) in judged {
        assert_eq!(supports(what), cells, "{what}");
    }
}

#[test]
fn a_support_is_judged_and_never_opened_as_a_number() {
    let sum = sum(&format!("SELECT SUM(score) AS s {M}"));
    let [support] = &sum.supports[..] else { panic!("{:?}", sum.supports) };
    assert!(sum.is_support_only(support.cell) && sum.cells.contains(&support.cell));
    let gates = gates(&sum);
    for figure in &support.figures {
        assert!(gates[*figure].as_ref().unwrap().contains(&support.cell));
    }
    let compiled = planned_hiding(&format!("SELECT SUM(score) AS s {M}")).unwrap();
    let told = compiled.joint.disclosures.iter().map(|d| format!("{d:?}")).filter(|d| d.contains("Enough"));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_column_that_cannot_be_zero_costs_no_more_than_before() {
    for sql in [
        "SELECT AVG(2019 - year_of_birth) AS a FROM person WHERE year_of_birth > 1900".to_owned(),
        format!("SELECT SUM(score) AS s {M} WHERE score BETWEEN 1 AND 90"),
        format!("SELECT SUM(score + 1000) AS s, SUM(2 * score) AS t {M} WHERE score >= 5"),
        format!("SELECT SUM(CASE WHEN score > 5 THEN 1 ELSE 0 END) AS n {M}"),
    ] {
        let sum = sum(&sql);
        assert!(sum.supports.is_empty(), "{sql}: {:?}", sum.supports);
    }
    // Of a column that can, a sum without a condition and one with are compared with each other although the first has no new cell.
    let both = sum(&format!(
        "SELECT SUM(score) AS s, SUM(CASE WHEN measurement_id > 9 THEN score ELSE 0 END) AS t {M} WHERE score > 0"
    ));
    assert_eq!(both.supports.len(), 2, "{:?}", both.supports);
    assert_eq!(both.supports[0].leaves, both.supports[1].leaves);
}

#[test]
fn what_pins_values_is_no_term() {
    let wrapped = [
        "GREATEST(score, 7)",
        "LEAST(score, 7)",
        "score / 10",
        "score % 10",
        "ABS(score - 7)",
        "ROUND(value_as_number)",
        "FLOOR(value_as_number)",
        "width_bucket(value_as_number, 0.0, 10.0, 5)",
        "CAST(value_as_number AS INTEGER)",
        "CAST(value_as_number / 1000.0 AS DECIMAL(18, 4))",
        "SQRT(value_as_number)",
        "cost / 100000.0 * CAST(10 AS DECIMAL(3, 0)) % 2",
        "value_as_number + 1e17 - 1e17",
        "value_as_number * 1e-10 * 1e-10",
        "score + measurement_id + cost + value_as_number + score * score",
    ];
    for expr in wrapped {
        all("SUM_NOT_JUDGED", &[&format!("SELECT SUM({expr}) AS s {M}"), &format!("SELECT AVG({expr}) AS s {M}")]);
    }
    all(
        "SUM_NOT_JUDGED",
        &[
            &format!("SELECT SUM(g) AS s FROM (SELECT GREATEST(score, 7) AS g {M}) t"),
            &format!("SELECT VAR_SAMP(score + measurement_id) AS s {M}"),
            // The difference of one column's sums under two conditions.
            &format!(
                "SELECT SUM(CASE WHEN measurement_id > 5 THEN score ELSE 0 END - CASE WHEN measurement_id > 6 THEN score ELSE 0 END) AS s {M}"
            ),
        ],
    );
}

#[test]
fn a_branch_of_a_union_and_rows_of_ones_own_are_no_weights() {
    let union = |a: &str, b: &str| format!("SELECT SUM(v) AS s FROM (SELECT {a} UNION ALL SELECT {b}) u");
    let (at_a, at_b) = ("FROM hospital_A.measurement", "FROM hospital_B.measurement");
    all("planned", &[&union(&format!("score AS v {at_a}"), &format!("score {at_b}"))]);
    all(
        "SUM_NOT_JUDGED",
        &[
            &union(&format!("score AS v {at_a}"), &format!("1000 * score {at_b}")),
            &union(&format!("score AS v {at_a}"), &format!("measurement_id {at_b}")),
            &union(&format!("score AS v {at_a}"), &format!("score {at_a} WHERE measurement_id = 5")),
            "SELECT SUM(m.score) AS s FROM measurement m JOIN (VALUES (5), (5), (6)) w(id) ON m.measurement_id = w.id",
            "SELECT SUM(m.score * w.f) AS s FROM measurement m JOIN (VALUES (5, 1000), (6, 1)) w(id, f) ON m.measurement_id = w.id",
        ],
    );
}

#[test]
fn what_has_one_of_two_values_is_counted_or_refused() {
    for what in ["SUM(score)", "AVG(score)", "SUM(2 * score - 3)", "VAR_SAMP(score)"] {
        all("SUM_NOT_JUDGED", &[&format!("SELECT COUNT(*) AS n, {what} AS s {M} WHERE score BETWEEN 7 AND 8")]);
        all("planned", &[&format!("SELECT COUNT(*) AS n, {what} AS s {M} WHERE score BETWEEN 7 AND 9")]);
    }
    let flag = sum(&format!("SELECT COUNT(*) AS n, SUM(2 * score) AS s {M} WHERE score BETWEEN 0 AND 1"));
    let [support] = &flag.supports[..] else { panic!("{:?}", flag.supports) };
    // It is compared with the rows, so that few zeros are hidden too.
    assert!(support.leaves.is_empty() && flag.cells.contains(&0) && flag.cells.contains(&support.cell));
}

/// Supports of one figure, and what they count.
fn supports(sql: &str) -> Vec<String> {
    let sum = sum(sql);
    let mut told: Vec<String> = Vec::new();
    for support in &sum.supports {
        let words = match sum.slots[support.cell].what {
            Summand::NotNull(column) => sum.columns[column].clone(),
            _ => "all".into(),
        };
        if !told.contains(&words) {
            told.push(words);
        }
    }
    told
}

#[test]
fn the_ends_of_a_short_range_are_judged_beside_zero() {
    let of = |what: &str, condition: &str| supports(&format!("SELECT {what} AS s {M} WHERE {condition}"));
    let score =
        |ends: &[&str]| -> Vec<String> { ends.iter().map(|end| format!("score != {end} THEN true END")).collect() };
    let has = |told: &[String], end: &String| told.iter().any(|text| text.ends_with(end.as_str()));
    // 0 is no value: whoever has one is in the count.
    let short = of("SUM(score)", "score BETWEEN 7 AND 20");
    println!("{short:?}");
    assert!(score(&["7", "20"]).iter().all(|end| has(&short, end)) && short.len() == 2, "{short:?}");
    for (condition, ends) in [
        ("score BETWEEN 0 AND 10", vec!["0", "10"]),
        // The values next to those that are left out.
        ("score > 6 AND score < 21", vec!["7", "20"]),
        ("score <> 0 AND score BETWEEN 0 AND 20", vec!["1", "20"]),
    ] {
        let told = of("AVG(score)", condition);
        assert!(score(&ends).iter().all(|end| has(&told, end)), "{condition}: {told:?}");
    }
    // Of a wide one no end is.
    assert_eq!(of("SUM(score)", "score >= 0").len(), 1);
    assert_eq!(of("SUM(score)", "score BETWEEN 7 AND 80"), Vec::<String>::new());
    // A product of short columns, however wide its own range is.
    let square = of("SUM(score * score)", "score BETWEEN 2 AND 11");
    assert!(square.iter().any(|text| text.ends_with("!= 4 THEN true END")), "{square:?}");
    assert!(square.iter().any(|text| text.ends_with("!= 121 THEN true END")), "{square:?}");
    // By what the figure itself chooses.
    let filtered = |what: &str| supports(&format!("SELECT {what} AS s {M}"));
    assert!(has(&filtered("SUM(score) FILTER (WHERE score BETWEEN 7 AND 20)"), &score(&["20"])[0]));
    let case = filtered("SUM(CASE WHEN score BETWEEN 7 AND 20 THEN score ELSE 0 END)");
    assert!(case.iter().any(|text| text.contains("score != 20")), "{case:?}");
    for two in
        ["SUM(score) FILTER (WHERE score BETWEEN 7 AND 8)", "SUM(CASE WHEN score BETWEEN 7 AND 8 THEN score END)"]
    {
        assert_eq!(code(&format!("SELECT {two} AS s {M}")), "SUM_NOT_JUDGED", "{two}");
    }
    for two in ["score > 6 AND score < 9", "score BETWEEN 0 AND 2 AND score <> 0"] {
        assert_eq!(code(&format!("SELECT SUM(score) AS s {M} WHERE {two}")), "SUM_NOT_JUDGED", "{two}");
    }
    assert_eq!(code("SELECT SUM(gender_concept_id) AS s FROM person"), "SUM_NOT_JUDGED");
}

#[test]
fn cells_beside_two_values_are_not_compared_and_beside_one_they_are() {
    let one = sum(&format!("SELECT SUM(score) AS s {M} WHERE score BETWEEN 7 AND 20"));
    assert!(one.between.is_empty(), "{:?}", one.between);
    // What the second cannot have is an end of the first: everybody in the second is beside it.
    let two = sum(&format!(
        "SELECT SUM(score) AS a, SUM(score) FILTER (WHERE score <= 19 AND measurement_id <> 17) AS b {M} WHERE score BETWEEN 7 AND 20"
    ));
    let cell = |ending: &str| {
        let of =
            |slot: &usize| matches!(two.slots[*slot].what, Summand::NotNull(c) if two.columns[c].ends_with(ending));
        two.cells.iter().copied().find(|slot| two.slots[*slot].filter.is_none() && of(slot)).unwrap()
    };
    let end = cell("score != 20 THEN true END");
    let of = |cell: usize| two.supports.iter().filter(move |s| s.cell == cell).flat_map(|s| s.leaves.clone());
    let Output::Sum { count: rows, .. } = two.outputs[1] else { panic!("{:?}", two.outputs) };
    assert!(of(end).any(|leaf| of(rows).any(|other| other == leaf)), "{:?}", two.supports);
}

#[test]
fn whoever_has_no_value_has_no_part_in_a_sum_under_a_case() {
    let sql = format!("SELECT SUM(CASE WHEN measurement_id > 5 THEN score ELSE 0 END) AS s {M}");
    let catalog = catalog_with(&format!("min_patients = 11\n{SETTINGS}").replace("[0, 100]", "[5, 100]"));
    let sum = plan(&sql, &catalog, &OPTIONS).unwrap().joint.sums[0].clone();
    let [support] = &sum.supports[..] else { panic!("{:?}", sum.supports) };
    let Summand::NotNull(column) = sum.slots[support.cell].what else { panic!("{:?}", sum.slots) };
    assert!(sum.columns[column].contains("score IS NOT NULL"), "{}", sum.columns[column]);
}

#[test]
fn zeros_and_ones_of_matched_patients_are_counted_whatever_they_are_multiplied_by() {
    let joined = "hospital_A.measurement m JOIN hospital_B.person p ON m.person_id = p.person_id";
    let of_rows =
        sum(&format!("SELECT COUNT(*) AS n, SUM(2 * m.score) AS s FROM {joined} WHERE m.score BETWEEN 0 AND 1"));
    let [support] = &of_rows.supports[..] else { panic!("{:?}", of_rows.supports) };
    assert!(of_rows.matching.is_some() && support.leaves.is_empty() && support.cell != 0, "{support:?}");
    // Who has 0 is between it and all.
    assert!(of_rows.between.iter().any(|pair| [0, support.cell].contains(&pair.cell)), "{:?}", of_rows.between);
    let flag = "MAX(CASE WHEN measurement_id > 5 THEN 1 ELSE 0 END)";
    let flags = format!("(SELECT person_id, {flag} AS flag FROM measurement GROUP BY person_id) t");
    let of_patients = sum(&format!("SELECT COUNT(*) AS n, SUM(2 * flag) AS s FROM {flags}"));
    let [support] = &of_patients.supports[..] else { panic!("{:?}", of_patients.supports) };
    assert!(support.leaves.is_empty() && support.cell != 0, "{support:?}");
    let told = of_patients.between.iter().any(|pair| [0, support.cell].contains(&pair.cell));
    assert!(told, "{:?}", of_patients.between);
}

#[test]
fn power_sums_of_a_column_are_refused_from_the_third_on() {
    let one = |what: &str| format!("(SELECT {what} {M})");
    let by_patient =
        |what: &str| format!("SELECT SUM(s) AS s FROM (SELECT person_id, SUM({what}) AS s {M} GROUP BY person_id) t");
    all(
        "SUM_NOT_JUDGED",
        &[
            &format!("SELECT SUM(score) AS a, SUM(score * score) AS b, SUM(score * score * score) AS c {M}"),
            &format!("SELECT SUM(score * score * score) AS c {M}"),
            &format!("SELECT SUM(q * score) AS c FROM (SELECT score * score AS q, score {M}) t"),
            &format!("SELECT VAR_SAMP(score * score) AS v {M}"),
            &format!("SELECT SUM(score) AS a, SUM(score * score) AS b, SUM(score * cost) AS c {M}"),
            &format!("SELECT VAR_SAMP(score) AS a, SUM(cost * score) AS c {M}"),
            &format!(
                "SELECT {} AS a, {} AS b, {} AS c",
                one("SUM(score)"),
                one("SUM(score * score)"),
                one("SUM(score * cost)")
            ),
            &by_patient("score * score * score"),
            "SELECT SUM(n) AS a, SUM(n * n) AS b, SUM(n * n * n) AS c FROM (SELECT person_id, COUNT(*) AS n FROM measurement GROUP BY 1) t",
        ],
    );
    all(
        "planned",
        &[
            &format!("SELECT SUM(score) AS a, SUM(score * score) AS b, VAR_SAMP(score) AS c, AVG(7 - score) AS d {M}"),
            &format!("SELECT SUM(score) AS a, SUM(score * cost) AS b, SUM(cost * score) AS c, SUM(cost) AS d {M}"),
            &by_patient("score"),
            "SELECT AVG(n) AS a, STDDEV_SAMP(n) AS b, COUNT(*) AS c FROM (SELECT person_id, COUNT(*) AS n FROM measurement GROUP BY 1) t",
        ],
    );
}

#[test]
fn a_double_is_one_column_and_one_literal() {
    let weight = "CASE WHEN measurement_id <> 17 THEN 1000000.0 ELSE 1.0 END";
    for expr in [
        "value_as_number + measurement_id * measurement_id - measurement_id * measurement_id",
        "value_as_number + cost",
        "value_as_number * value_as_number",
        "value_as_number + CAST(1048576 AS DOUBLE) + CAST(1048575 AS DOUBLE)",
        &format!("value_as_number + {weight} * {weight} * {weight} - {weight} * {weight} * {weight}"),
        &format!("value_as_number * {weight} * {weight} * {weight}"),
        "value_as_number + CAST(1048576 * 1048576 * 1048576 AS DOUBLE)",
        "CAST(value_as_number * 0.00000095367431640625 AS REAL) + CAST(1048576 AS REAL)",
        "CAST(value_as_number AS REAL)",
    ] {
        all("SUM_NOT_JUDGED", &[&format!("SELECT SUM({expr}) AS s {M}"), &format!("SELECT AVG({expr}) AS s {M}")]);
    }
    for expr in [
        "value_as_number",
        "2.5 * value_as_number - 7",
        "value_as_number / 18.0",
        "score * 2.5",
        "CAST(score + cost AS DOUBLE)",
        "score + measurement_id",
        "CASE WHEN measurement_id <> 17 THEN value_as_number ELSE 0 END",
        "COALESCE(value_as_number, 0)",
    ] {
        all("planned", &[&format!("SELECT SUM({expr}) AS s {M}"), &format!("SELECT AVG({expr}) AS s {M}")]);
    }
}

#[test]
fn a_column_under_two_conditions_is_the_same_column_however_it_is_written() {
    let less = |from: &str, a: &str, b: &str| {
        format!(
            "SELECT SUM(CASE WHEN measurement_id <> 17 THEN {a} ELSE 0 END - CASE WHEN measurement_id <> 18 THEN {b} ELSE 0 END) AS s FROM {from}"
        )
    };
    let (start, end) = ("drug_exposure_start_date", "drug_exposure_end_date");
    let drugs = |a: &str, b: &str| less("drug_exposure", a, b).replace("measurement_id", "drug_exposure_id");
    let twice = "(SELECT a.measurement_id, a.score AS one, b.score AS other FROM hospital_A.measurement a JOIN hospital_A.measurement b \
                 ON a.person_id = b.person_id) t";
    all(
        "SUM_NOT_JUDGED",
        &[
            &less("measurement", "score", "score"),
            &less("measurement", "score * cost", "cost * score"),
            &less("measurement", "score * score", "score"),
            &less(twice, "one", "other"),
            &drugs(&format!("({end} - {start})"), &format!("({start} - {end})")),
            &drugs(&format!("({end} - DATE '2000-01-01')"), &format!("({end} - DATE '2000-01-02')")),
        ],
    );
    all(
        "planned",
        &[
            &less("measurement", "score", "cost"),
            "SELECT SUM(CASE WHEN measurement_id <> 17 THEN score ELSE score * cost END) AS s FROM measurement",
        ],
    );
}

#[test]
fn a_distinct_at_one_site_is_judged_by_patients_beside_all_others() {
    let at_a = "FROM hospital_A.measurement WHERE measurement_id = 5";
    for what in [
        "SUM(score), COUNT(*), COUNT(DISTINCT score)",
        "COUNT(DISTINCT person_id)",
        "COUNT(*), COUNT(DISTINCT score) FILTER (WHERE cost > 5)",
    ] {
        let sum = sum(&format!("SELECT {what} {at_a}"));
        assert!(sum.matching.is_some(), "{what}");
        assert_eq!(sum.patients.len(), sum.cells.len(), "{what}: {:?}", sum.patients);
    }
    for what in
        ["SUM(DISTINCT score)", "AVG(DISTINCT cost)", "VAR_SAMP(DISTINCT score)", "COUNT(*), SUM(DISTINCT score)"]
    {
        let code = code(&format!("SELECT {what} {at_a}"));
        assert!(["SUM_NOT_JUDGED", "PATIENTS_LOST"].contains(&code), "{what}: {code}");
        println!("{what}: {code}");
    }
}

#[test]
fn rows_that_the_question_repeats_are_not_counted_and_their_patients_are() {
    let copies = "(SELECT person_id, score FROM measurement UNION ALL SELECT person_id, score FROM measurement UNION ALL \
                  SELECT person_id, score FROM measurement WHERE measurement_id = 17 AND score > 5) s";
    let own = "measurement m JOIN (VALUES (5), (5), (6)) w(id) ON m.measurement_id = w.id";
    let once = "(SELECT person_id FROM measurement UNION SELECT person_id FROM measurement WHERE score > 5) s";
    let at_a = copies.replace("FROM measurement", "FROM hospital_A.measurement");
    for what in ["COUNT(*)", "COUNT(score)", "SUM(1)", "MEDIAN(score)", "SUM(CASE WHEN score > 5 THEN 1 ELSE 0 END)"] {
        all(
            "SUM_NOT_JUDGED",
            &[copies, &at_a, own].map(|rows| format!("SELECT {what} AS n FROM {rows}")).each_ref().map(String::as_str),
        );
    }
    let by_copy = "(SELECT 1 AS g, person_id FROM measurement UNION ALL SELECT 2 AS g, person_id FROM measurement WHERE measurement_id <> 17) s";
    all("SUM_NOT_JUDGED", &[&format!("SELECT g, COUNT(*) AS n FROM {by_copy} GROUP BY g")]);
    let matched = copies.replace("FROM measurement", "FROM hospital_A.measurement");
    let joined = format!("SELECT COUNT(*) AS n FROM {matched} JOIN hospital_B.person b ON s.person_id = b.person_id");
    assert_ne!(code(&joined), "planned");
    all(
        "planned",
        &[
            &format!("SELECT COUNT(DISTINCT person_id) AS n FROM {copies}"),
            &format!("SELECT COUNT(*) AS n FROM {once}"),
            "SELECT COUNT(*) AS n FROM (SELECT person_id FROM hospital_A.person UNION ALL SELECT person_id FROM hospital_B.person) s",
        ],
    );
}

/// The questions of the study of twenty, and those bundled where they are there; plans may want tables that this catalogue lacks.
#[test]
fn no_question_of_the_examples_is_refused_as_a_sum() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let study = fs::read_to_string(root.join("../examples/network/questions.sql")).unwrap();
    let mut questions: Vec<String> = study.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if let Ok(bytes) = fs::read(root.join("../../shared/data/omop_3hospitals/queries.json")) {
        let bundled: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        questions.extend(bundled.iter().map(|question| question["sql"].as_str().unwrap().to_owned()));
    }
    questions.extend([
        "SELECT COUNT(*) AS n, AVG(2019 - year_of_birth) AS mean_age, STDDEV_SAMP(2019 - year_of_birth) AS sd_age FROM person".into(),
        "SELECT gender_concept_id, COUNT(*) AS n, AVG(2019 - year_of_birth) AS age FROM person GROUP BY 1 ORDER BY 1".into(),
        "SELECT 100.0 * SUM(CASE WHEN drug_concept_id IN (1112807, 19059056) THEN 1 ELSE 0 END) / COUNT(*) AS p FROM drug_exposure".into(),
        "SELECT COUNT(*) AS records, COUNT(DISTINCT person_id) AS patients FROM person".into(),
    ]);
    let mut planned = 0;
    for sql in &questions {
        match code(sql) {
            "planned" => planned += 1,
            code => {
                println!("{code}: {sql}");
                assert!(["UNKNOWN_TABLE", "UNKNOWN_COLUMN"].contains(&code), "{code}: {sql}");
            }
        }
    }
    println!("{planned} of {} planned", questions.len());
    assert!(planned >= 20, "{planned}");
}

#[test]
fn what_is_summed_may_stand_in_ranges_that_every_row_meets_and_nowhere_else() {
    let with = |condition: &str| format!("SELECT SUM(score) AS s {M} WHERE {condition}");
    let ranges = [
        "score >= 5",
        "5 < score",
        "score BETWEEN 5 AND 50 AND measurement_id = 5",
        "score IS NOT NULL",
        "score <> 0",
        "measurement_id = 5 OR cost = 7",
        "score + 3 > 5",
    ];
    for condition in ranges {
        all("planned", &[&with(condition)]);
    }
    let pins = [
        "measurement_id = 5 OR score = 0",
        "measurement_id = 5 OR score BETWEEN 7 AND 8",
        "score = 7",
        "score IN (7, 8)",
        "NOT (score BETWEEN 1 AND 99)",
        "score <> 7",
        "score * measurement_id > 5",
        "score > measurement_id",
        "CASE WHEN measurement_id = 5 THEN TRUE ELSE score < 8 END",
        "score IS NULL OR measurement_id = 5",
        "score % 2 >= 1",
    ];
    for condition in pins {
        all("MEASURE_IN_CONDITION", &[&with(condition)]);
        // Counting is another matter, and another figure's condition is none of this one's.
        all("planned", &[&format!("SELECT COUNT(*) AS n {M} WHERE {condition}")]);
    }
    all(
        "MEASURE_IN_CONDITION",
        &[
            &format!("SELECT SUM(score) FILTER (WHERE score = 7 OR measurement_id = 5) AS s {M}"),
            &format!("SELECT SUM(CASE WHEN score = 7 OR measurement_id = 5 THEN score END) AS s {M}"),
            &format!("SELECT SUM(CASE WHEN score > 7 THEN score ELSE 7 END) AS s {M}"),
            &format!("SELECT SUM(COALESCE(score, 7)) AS s {M}"),
            &format!("SELECT SUM(NULLIF(score, 7)) AS s {M}"),
            &format!("SELECT width_bucket(score, 0, 100, 5) AS b, SUM(score) AS s {M} GROUP BY 1"),
            &format!("SELECT SUM(score) AS s FROM (SELECT score, score = 7 OR measurement_id = 5 AS c {M}) t WHERE c"),
            "SELECT SUM(v) AS s FROM (SELECT score AS v FROM hospital_A.measurement WHERE measurement_id = 5 UNION ALL \
             SELECT score FROM hospital_B.measurement WHERE score BETWEEN 7 AND 7) u",
        ],
    );
    all("planned", &[&format!("SELECT SUM(score) AS s, COUNT(*) FILTER (WHERE score = 7) AS n {M}")]);
    all("planned", &[&format!("SELECT SUM(score) FILTER (WHERE score >= 7) AS s {M}")]);
}

#[test]
fn conditions_on_other_rows_of_the_patient_are_conditions() {
    let of = |m: &str| format!("SELECT SUM(m.score) AS s FROM hospital_A.measurement m {m}");
    let inner = "SELECT person_id FROM hospital_A.measurement WHERE score";
    all("planned", &[&of(&format!("WHERE m.person_id IN ({inner} >= 7)"))]);
    all(
        "MEASURE_IN_CONDITION",
        &[
            &of(&format!("WHERE m.person_id IN ({inner} = 7)")),
            &of(&format!("WHERE m.measurement_id = 5 OR m.person_id IN ({inner} >= 7)")),
            &of(&format!("WHERE m.person_id NOT IN ({inner} >= 7)")),
            &of(&format!(
                "LEFT JOIN ({inner} >= 7) r ON r.person_id = m.person_id WHERE m.measurement_id = 5 OR r.person_id IS NOT NULL"
            )),
        ],
    );
}

#[test]
fn figures_of_each_patient_are_measured_like_columns() {
    let tally = "SELECT person_id, COUNT(*) AS n FROM drug_exposure GROUP BY person_id";
    all(
        "planned",
        &[
            &format!("SELECT SUM(n) AS s FROM ({tally}) t"),
            &format!("SELECT SUM(n) AS s FROM ({tally} HAVING COUNT(*) >= 3) t"),
            "SELECT SUM(d.n - m.n) AS s FROM (SELECT person_id, COUNT(*) AS n FROM drug_exposure GROUP BY person_id) d \
             JOIN (SELECT person_id, COUNT(*) AS n FROM measurement GROUP BY person_id) m ON d.person_id = m.person_id",
            "SELECT AVG(s) AS a FROM (SELECT person_id, SUM(score) AS s FROM measurement GROUP BY person_id) t",
        ],
    );
    all(
        "MEASURE_IN_CONDITION",
        &[
            &format!("SELECT SUM(n) AS s FROM ({tally}) t WHERE n = 3"),
            &format!("SELECT SUM(n) AS s FROM ({tally} HAVING COUNT(*) IN (1, 3)) t"),
        ],
    );
    all(
        "SUM_NOT_JUDGED",
        &[
            "SELECT SUM(s) AS a FROM (SELECT person_id, SUM(score + 1) AS s FROM measurement GROUP BY person_id) t",
            &format!("SELECT SUM(GREATEST(n, 3)) AS s FROM ({tally}) t"),
        ],
    );
    let difference = sum(
        "SELECT SUM(d.n - m.n) AS s FROM (SELECT person_id, COUNT(*) AS n FROM drug_exposure GROUP BY person_id) d \
         LEFT JOIN (SELECT person_id, COUNT(*) AS n FROM measurement GROUP BY person_id) m ON d.person_id = m.person_id",
    );
    assert_eq!(difference.supports.len(), 2, "{:?}", difference.supports);
}

#[test]
fn plain_questions_stay_plain() {
    all(
        "planned",
        &[
            &format!("SELECT AVG(score) AS a, AVG(cost) AS b, AVG(value_as_number) AS c, SUM(score) AS d {M}"),
            &format!(
                "SELECT measurement_id > 5 AS g, AVG(score) AS a, AVG(cost) AS b, AVG(value_as_number) AS c {M} GROUP BY 1"
            ),
            "SELECT AVG(drug_exposure_end_date - drug_exposure_start_date) AS los FROM drug_exposure \
             WHERE drug_exposure_start_date >= DATE '2000-01-01' AND drug_exposure_end_date IS NOT NULL",
            "SELECT AVG(drug_exposure_end_date - drug_exposure_start_date + 1) AS los FROM drug_exposure \
             WHERE drug_exposure_end_date - drug_exposure_start_date BETWEEN 1 AND 90",
            "SELECT AVG(EXTRACT(YEAR FROM birth_date)) AS y FROM person WHERE EXTRACT(YEAR FROM birth_date) >= 1950",
            "WITH p AS (SELECT gender_concept_id AS g, 2019 - year_of_birth AS age FROM person) \
             SELECT g, AVG(age) AS a FROM p WHERE age >= 18 GROUP BY g",
            // Each branch is a term by itself.
            &format!("SELECT SUM(CASE WHEN measurement_id = 5 THEN score WHEN score > 7 THEN score END) AS s {M}"),
            "WITH p AS (SELECT DISTINCT person_id, year_of_birth FROM hospital_A.person) SELECT AVG(2019 - year_of_birth) AS a FROM p",
            "SELECT SUM(t) AS s FROM (SELECT score + measurement_id AS t FROM measurement) x",
            &format!(
                "SELECT SUM(score) AS a, SUM(score) FILTER (WHERE measurement_id > 5) AS b, SUM(score) FILTER (WHERE measurement_id <= 5) AS c {M}"
            ),
        ],
    );
}

#[test]
fn three_overlapping_choices_of_one_column_are_refused_and_of_three_columns_are_not() {
    let of = |a: &str, b: &str, c: &str| {
        format!(
            "SELECT SUM({a}) FILTER (WHERE measurement_id > 5) AS a, SUM({b}) FILTER (WHERE cost > 5) AS b, \
             SUM({c}) FILTER (WHERE measurement_id > 5 OR cost > 5) AS c {M}"
        )
    };
    all("RELATED_TABLES", &[&of("score", "score", "score")]);
}

#[test]
fn with_noise_everything_stays_as_it_was() {
    let catalog = catalog_with(&format!("min_patients = 11\ntables.measurement.rows_per_patient = 3\n{SETTINGS}"));
    let noise = Some(Asked { epsilon: "1".parse().unwrap(), mechanism: Mechanism::Laplace });
    let options = Options { noise, ..OPTIONS };
    let compiled =
        plan(&format!("SELECT SUM(score) AS s {M} WHERE measurement_id = 5 OR score = 0"), &catalog, &options);
    println!("{:?}", compiled.as_ref().err());
    assert!(compiled.unwrap().joint.sums[0].supports.is_empty());
}
