//! Noise in plans: what one patient can change, what is refused because nobody knows, and what policies ask for.

mod common;
#[path = "noise/gaussian.rs"]
mod gaussian;

use common::{OPTIONS, SETTINGS, catalog_of, try_catalog_of};
use query_planner::catalog::SiteName;
use query_planner::grants::{self, check};
use query_planner::noise::{Asked, Epsilon, Mechanism, Shape};
use query_planner::plan::{Ring, Summand};
use query_planner::site_policy::SitePolicy;
use query_planner::{Audience, Compiled, Language, Options, PlanError, Settings, explain, plan};

fn asking(epsilon: &str) -> Options {
    let asked = Asked { epsilon: epsilon.parse().unwrap(), mechanism: Mechanism::Laplace };
    Options { noise: Some(asked), ..OPTIONS }
}

fn settings(more: &[&str]) -> Settings {
    let mut settings = Settings::from_toml(SETTINGS).unwrap();
    let rows = ["tables.person.rows_per_patient=1", "tables.measurement.rows_per_patient=5"];
    rows.iter().chain(more).for_each(|set| settings.set(set).unwrap());
    settings
}

fn noised(sql: &str, more: &[&str]) -> Result<Compiled, PlanError> {
    plan(sql, &catalog_of(&settings(more)), &asking("1"))
}

/// Slot, sensitivity and ε of each noised slot of the first sum.
fn figures(compiled: &Compiled) -> Vec<(usize, u64, u64)> {
    let Some(Shape::Laplace { each }) = compiled.joint.noise.as_ref().map(|noise| noise.shape) else {
        panic!("Laplace noise is asked for")
    };
    compiled.joint.sums[0].noised.iter().map(|noised| (noised.slot, noised.sensitivity, each.0)).collect()
}

#[test]
fn one_patient_moves_a_sum_by_sites_times_rows_times_the_largest_value() {
    let of = |sql: &str| figures(&noised(sql, &[]).unwrap());
    // Three sites, five rows of a patient at each.
    assert_eq!(of("SELECT COUNT(*) FROM measurement"), [(0, 15, 1_000_000)]);
    assert_eq!(of("SELECT SUM(score) FROM measurement"), [(1, 1500, 1_000_000)]);
    assert_eq!(of("SELECT SUM(50 - score) FROM measurement"), [(1, 750, 1_000_000)]);
    // Two decimals.
    assert_eq!(of("SELECT SUM(cost) FROM measurement"), [(1, 1_500_000_000, 1_000_000)]);
    assert_eq!(of("SELECT SUM(score) FROM hospital_B.measurement"), [(1, 500, 1_000_000)]);
    // An average is two figures, which share ε.
    assert_eq!(of("SELECT AVG(score) FROM measurement"), [(1, 1500, 500_000), (2, 15, 500_000)]);
    let joined = "SELECT COUNT(*) FROM hospital_A.person p JOIN hospital_A.measurement m ON p.person_id = m.person_id";
    assert_eq!(of(joined), [(0, 5, 1_000_000)]);
    let twice =
        "SELECT COUNT(*) FROM hospital_A.measurement a JOIN hospital_A.measurement b ON a.person_id = b.person_id";
    assert_eq!(of(twice), [(0, 25, 1_000_000)]);
    let both = "SELECT COUNT(*) FROM (SELECT person_id FROM person UNION ALL SELECT person_id FROM measurement) s";
    assert_eq!(of(both), [(0, 18, 1_000_000)]);
    // A row is in one group.
    let grouped = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY gender_concept_id";
    assert_eq!(of(grouped), [(0, 3, 1_000_000)]);
}

#[test]
fn a_matched_patient_counts_once_in_each_group() {
    let of = |sql: &str| figures(&noised(sql, &[]).unwrap());
    assert_eq!(of("SELECT COUNT(DISTINCT person_id) FROM drug_exposure"), [(0, 1, 1_000_000)]);
    let both = "SELECT COUNT(DISTINCT p.person_id) FROM person p JOIN drug_exposure d ON p.person_id = d.person_id";
    assert_eq!(of(both), [(0, 1, 1_000_000)]);
    let grouped = "SELECT gender_concept_id, COUNT(DISTINCT person_id) FROM person GROUP BY gender_concept_id";
    assert_eq!(of(grouped)[0].1, 3);
}

#[test]
fn all_that_is_compared_or_opened_is_noised_and_nothing_else() {
    for (sql, hides) in [
        ("SELECT gender_concept_id, COUNT(*), AVG(year_of_birth) FROM person GROUP BY gender_concept_id", false),
        ("SELECT gender_concept_id, COUNT(*) FROM person GROUP BY gender_concept_id", true),
        ("SELECT COUNT(*), COUNT(*) FILTER (WHERE gender_concept_id = 8507) FROM person", true),
        ("SELECT SUM(score) FROM measurement", true),
    ] {
        let range = "tables.person.columns.year_of_birth.range=[1900, 2030]";
        let hidden = if hides { "min_patients=11" } else { "min_patients=1" };
        let compiled = noised(sql, &[range, hidden]).unwrap();
        let mut total = 0;
        for (index, sum) in compiled.joint.sums.iter().enumerate() {
            let ids = compiled.joint.disclosures.iter().map(|disclosure| disclosure.id.to_string());
            let opened: Vec<usize> =
                ids.filter_map(|id| id.strip_prefix(&format!("answer/{index}/slot/"))?.parse().ok()).collect();
            assert!(opened.iter().all(|slot| sum.is_noised(*slot)), "{sql}: opens {opened:?}");
            assert!(sum.cells.iter().chain(&sum.patients).all(|slot| sum.is_noised(*slot)), "{sql}");
            let read = |slot: &usize| opened.contains(slot) || sum.cells.contains(slot) || sum.patients.contains(slot);
            assert!(sum.noised.iter().all(|noised| read(&noised.slot)), "{sql}: ε for what nobody sees");
            let Some(Shape::Laplace { each }) = compiled.joint.noise.as_ref().map(|noise| noise.shape) else {
                panic!("Laplace noise is asked for")
            };
            total += each.0 * sum.noised.len() as u64;
        }
        assert!(total <= 1_000_000 && total > 999_990, "{sql}: {total} millionths");
    }
}

#[test]
fn what_no_bound_is_known_for_is_refused() {
    let refused = |code: &str, sqls: &[&str]| {
        for sql in sqls {
            let found = noised(sql, &[]).map(|compiled| figures(&compiled)).map_err(|error| error.code);
            assert_eq!(found, Err(code), "{sql}");
        }
    };
    refused(
        "NOISE_NEEDS_BOUND",
        &[
            "SELECT COUNT(*) FROM drug_exposure",
            "SELECT SUM(year_of_birth) FROM person",
            "SELECT SUM(value_as_number) FROM measurement",
            "SELECT SUM(CAST(value_as_number AS DECIMAL(18, 2))) FROM measurement",
        ],
    );
    refused(
        "NOISE_NOT_AVAILABLE",
        &[
            "SELECT COUNT(*) FROM site_info",
            "SELECT MEDIAN(score) FROM measurement",
            "SELECT MAX(score) FROM measurement",
            "SELECT STDDEV(score) FROM measurement",
            "SELECT APPROX_COUNT_DISTINCT(score) FROM measurement",
            "SELECT year_of_birth, COUNT(*) FROM person GROUP BY year_of_birth",
            "SELECT COUNT(DISTINCT score) FROM hospital_A.measurement",
            "SELECT COUNT(*) FROM hospital_A.person p JOIN hospital_A.measurement m ON p.year_of_birth = m.score",
            "SELECT COUNT(*) FROM hospital_A.person p CROSS JOIN hospital_A.site_info",
            "SELECT COUNT(*) FROM (SELECT score FROM hospital_A.measurement LIMIT 10) s",
            "SELECT COUNT(*) FROM (SELECT score, COUNT(*) AS n FROM hospital_A.measurement GROUP BY score) s WHERE n > 3",
            "SELECT COUNT(*) FROM hospital_A.measurement WHERE score > (SELECT AVG(score) FROM hospital_A.measurement)",
            "SELECT COUNT(*) FROM (SELECT person_id, RANK() OVER (ORDER BY score) AS place FROM hospital_A.measurement) s \
         WHERE place < 10",
        ],
    );
    let error = noised("SELECT COUNT(*) FROM drug_exposure", &[]).unwrap_err();
    assert!(error.hint.unwrap().contains("rows_per_patient under [tables.drug_exposure]"));
}

#[test]
fn noise_that_promises_nothing_is_refused() {
    let catalog = catalog_of(&settings(&[]));
    let of = |epsilon: &str, sql: &str| plan(sql, &catalog, &asking(epsilon)).map(|_| ()).map_err(|error| error.code);
    let count = "SELECT COUNT(*) FROM person";
    assert_eq!(of("0", count), Err("BAD_EPSILON"));
    assert_eq!(of("100.000001", count), Err("BAD_EPSILON"));
    assert_eq!(of("0.000001", "SELECT AVG(score) FROM measurement"), Err("EPSILON_TOO_SMALL"));
    // A slot grows with its noise, to the larger ring if need be; a count that is compared may not.
    let long = ["tables.measurement.rows_per_patient=60000", "min_patients=11"];
    let [catalog, hiding] = [1, 2].map(|sets| catalog_of(&settings(&long[..sets])));
    let ring = |epsilon: &str| {
        plan("SELECT SUM(cost) FROM measurement", &catalog, &asking(epsilon)).unwrap().joint.sums[0].slots[1].ring
    };
    assert_eq!([ring("1"), ring("0.000001")], [Ring::Z64, Ring::Z128]);
    let pairs =
        "SELECT COUNT(*) FROM hospital_A.measurement a JOIN hospital_A.measurement b ON a.person_id = b.person_id";
    let of = |epsilon: &str| plan(pairs, &hiding, &asking(epsilon)).map(|_| ()).map_err(|error| error.code);
    assert_eq!([of("1"), of("0.00001")], [Ok(()), Err("NOISE_TOO_WIDE")]);
}

#[test]
fn without_noise_the_plan_is_what_it_was() {
    let plain = catalog_of(&Settings::from_toml(SETTINGS).unwrap());
    let bounded = catalog_of(&settings(&[]));
    for sql in ["SELECT COUNT(*) FROM person", "SELECT SUM(score), AVG(score) FROM measurement"] {
        let mut of_bounded = plan(sql, &bounded, &OPTIONS).unwrap();
        let of_plain = plan(sql, &plain, &OPTIONS).unwrap();
        of_bounded.joint.catalog.clone_from(&of_plain.joint.catalog);
        assert_eq!(of_bounded.joint, of_plain.joint);
        assert_eq!(of_bounded.local[0].fragments, of_plain.local[0].fragments, "every row is meant");
        let text = String::from_utf8(of_plain.joint.canonical_bytes()).unwrap();
        assert!(!text.contains("noise"));
    }
}

#[test]
fn the_wish_for_noise_is_part_of_what_is_agreed() {
    let catalog = catalog_of(&settings(&[]));
    let digest = |options: &Options| plan("SELECT COUNT(*) FROM person", &catalog, options).unwrap().joint.digest();
    let all = [digest(&OPTIONS), digest(&asking("1")), digest(&asking("0.999999"))];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    let noised = plan("SELECT COUNT(*) FROM person", &catalog, &asking("1")).unwrap().joint;
    assert_eq!(query_planner::JointPlan::from_canonical(&noised.canonical_bytes()).unwrap(), noised);
}

#[test]
fn the_first_groups_by_a_noised_total_are_chosen_from_noised_totals() {
    let sql = "SELECT gender_concept_id, COUNT(*) AS n FROM person GROUP BY gender_concept_id ORDER BY n DESC LIMIT 1";
    let compiled = noised(sql, &[]).unwrap();
    assert!(compiled.joint.sums[0].top.is_none() && compiled.joint.is_linear());
}

const BUDGET: &str = "allow_all = true\n[privacy]\nepsilon = \"2\"\nmost_per_release = \"0.5\"\n";

#[test]
fn a_site_with_a_budget_answers_with_noise_only_and_with_little_of_it() {
    let (catalog, site) = (catalog_of(&settings(&[])), SiteName::from("hospital_A"));
    let policy = SitePolicy::from_toml(BUDGET).unwrap();
    let of = |options: &Options| {
        let joint = plan("SELECT COUNT(*) FROM person", &catalog, options).unwrap().joint;
        check(&joint, &site, &policy, None).map_err(|error| error.code)
    };
    assert_eq!(of(&OPTIONS), Err("NOISE_NEEDED"));
    assert_eq!(of(&asking("0.500001")), Err("EPSILON_TOO_LARGE"));
    assert_eq!(of(&asking("0.5")), Ok(()));
}

#[test]
fn the_smallest_number_of_honest_sites_counts_and_is_public() {
    let sql = "SELECT COUNT(*) FROM person";
    let with = |honest: [&str; 2]| {
        let mut settings = settings(&[]);
        for (site, honest) in ["hospital_A", "hospital_B"].iter().zip(honest) {
            settings.publish(site, &SitePolicy::from_toml(&format!("{BUDGET}{honest}")).unwrap());
        }
        settings
    };
    let joint = |settings: &Settings| plan(sql, &catalog_of(settings), &asking("0.5")).unwrap().joint;
    let [two, three] = ["honest_sites = 2", "honest_sites = 3"];
    assert_eq!(joint(&with([two, three])).noise.unwrap().honest_sites, 2);
    assert_eq!(joint(&with([three, three])).noise.unwrap().honest_sites, 3);
    assert_eq!(joint(&with([three, ""])).noise.unwrap().honest_sites, 1);
    // Where every site sees the answer, each of them takes its own noise off.
    let everyone = Options { audience: Audience::Everyone, ..asking("0.5") };
    let told = plan(sql, &catalog_of(&with([three, three])), &everyone).unwrap().joint;
    assert_eq!(told.noise.unwrap().honest_sites, 2);
    // What the others know suffices to refuse a question without noise, and holds no budget.
    let catalog = catalog_of(&with([two, three]));
    assert_eq!(plan(sql, &catalog, &OPTIONS).unwrap_err().code, "NOISE_NEEDED");
    assert!(!catalog.to_toml().unwrap().contains("most_per_release"));
    assert!(plan(sql, &grants::without_policies(&catalog), &OPTIONS).is_ok());
    // A site that counts on fewer than the plan does refuses.
    let counted = joint(&with([three, three]));
    let policy = SitePolicy::from_toml(&format!("{BUDGET}{two}")).unwrap();
    assert_eq!(check(&counted, &"hospital_A".into(), &policy, None).unwrap_err().code, "TOO_FEW_HONEST_SITES");
}

#[test]
fn the_promise_and_each_figures_noise_are_told_before_the_run() {
    let compiled = noised("SELECT COUNT(*), AVG(score) FROM measurement", &["min_patients=11"]).unwrap();
    let text = explain::explain(&compiled);
    for part in
        ["discrete Laplace, ε = 1\n", "one patient moves it by at most 1500", "standard deviation", "measurement: "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let english = explain::disclosures(&compiled.joint, Language::English);
    let chinese = explain::disclosures(&compiled.joint, Language::Chinese);
    assert!(english.contains("ε = 1") && english.contains("judged by the noised ones"), "{english}");
    assert!(chinese.contains("ε = 1") && chinese.contains("按加噪后的数值判断"), "{chinese}");
    let everyone = Options { audience: Audience::Everyone, ..asking("1") };
    let plain = plan("SELECT COUNT(*) FROM person", &catalog_of(&settings(&[])), &everyone).unwrap();
    assert_eq!(plain.joint.noise.unwrap().epsilon, Epsilon(1_000_000));
    assert!(matches!(plain.joint.sums[0].slots[0].what, Summand::Rows));
}

/// As [`noised`], of tables whose bounds are all declared.
fn judged(sql: &str) -> Result<(), PlanError> {
    let more = [
        "tables.person.columns.year_of_birth.range=[1900, 2030]",
        "tables.drug_exposure.rows_per_patient=9",
        "tables.condition_occurrence.rows_per_patient=30",
        "tables.measurement.columns.measurement_id.range=[1, 1000000]",
    ];
    noised(sql, &more).map(drop)
}

#[test]
fn expressions_that_have_a_value_for_every_row_are_answered() {
    let of_patients = "SELECT COUNT(*) FROM (SELECT person_id, SUM(score) AS s, MAX(value_as_number) AS v, COUNT(*) AS n \
         FROM hospital_A.measurement GROUP BY person_id) t WHERE s > 100 AND v > 1.5 AND n > 1";
    let windows = "SELECT COUNT(*) FROM (SELECT LAG(score) OVER (PARTITION BY person_id ORDER BY measurement_id) AS l, \
         SUM(score) OVER (PARTITION BY person_id ORDER BY measurement_id ROWS 3 PRECEDING) AS s FROM hospital_A.measurement) t \
         WHERE l > 3 AND s < 9";
    for sql in [
        of_patients,
        windows,
        "SELECT COUNT(*) FILTER (WHERE 2026 - year_of_birth > 40) FROM person",
        "SELECT COUNT(*) FROM person WHERE EXTRACT(YEAR FROM birth_date) - 1900 > 40 AND birth_date < DATE '1980-01-01'",
        "SELECT SUM(score * 2 - 7) FROM measurement WHERE -score < -3 AND score % 7 = 1 AND ABS(score - 50) < 9",
        "SELECT COUNT(*) FROM person WHERE DATE '2020-01-01' - birth_date > 7300",
        "SELECT COUNT(*) FROM condition_occurrence WHERE condition_end_date - condition_start_date BETWEEN 2 AND 30",
        "SELECT COUNT(*) FROM measurement WHERE score / measurement_id = 0 AND 100 / NULLIF(score, 0) > 3",
        "SELECT COUNT(*) FROM measurement WHERE value_as_number / score > 0.5 AND cost + 1 > 30.5 AND cost * 2 < 70",
        "SELECT COUNT(*) FROM person WHERE UPPER(TRIM(race_source_value)) IS NULL",
        "SELECT COUNT(*) FROM condition_occurrence WHERE condition_source_value LIKE 'E11%'",
        "SELECT COUNT(*) FROM condition_occurrence WHERE LEFT(condition_source_value, 3) IN ('I10', 'I11')",
        "SELECT COUNT(*) FROM condition_occurrence WHERE CHAR_LENGTH(condition_source_value) > 3",
        "SELECT COUNT(*) FROM condition_occurrence WHERE TRY_CAST(condition_source_value AS INT) = 3",
        "SELECT width_bucket(score, 0, 100, 10), COUNT(*) FROM measurement GROUP BY 1",
        "SELECT CASE WHEN score < 10 THEN 1 ELSE 2 END, COUNT(*) FROM measurement GROUP BY 1",
        "SELECT COUNT(*) FROM measurement WHERE CAST(score AS TEXT) = '4' AND CAST(score AS DECIMAL(9, 2)) > 3.5",
        "SELECT COUNT(*) FROM measurement WHERE CAST(GREATEST(LEAST(measurement_id, 9), 0) AS SMALLINT) = 3",
        "SELECT COUNT(DISTINCT person_id) FROM measurement WHERE score + 1 > 7",
        "SELECT COUNT(*) FROM (SELECT person_id FROM measurement GROUP BY person_id HAVING SUM(score) > 60) t",
    ] {
        assert_eq!(judged(sql).map_err(|error| error.to_string()), Ok(()), "{sql}");
    }
}

#[test]
fn expressions_that_can_fail_on_a_row_are_refused() {
    let measured = |condition: &str| format!("SELECT COUNT(*) FROM measurement WHERE {condition}");
    let conditions = [
        ("NOISE_NEEDS_BOUND", "100 / score > 3"),
        ("NOISE_NEEDS_BOUND", "100 % score > 3"),
        ("NOISE_NEEDS_BOUND", "CASE WHEN score <> 0 THEN 100 / score END > 3"),
        ("NOISE_NEEDS_BOUND", "score > 0 AND 100 / score > 3"),
        ("NOISE_NEEDS_BOUND", "cost / 3 > 3.5"),
        ("NOISE_NEEDS_BOUND", "measurement_id / NULLIF(score - 2, 0) > 3"),
        ("NOISE_NEEDS_BOUND", "measurement_id + score > 3"),
        ("NOISE_NEEDS_BOUND", "score * 1000000000000000000 > 3"),
        ("NOISE_NEEDS_BOUND", "CAST(measurement_id * 10000 AS INT) > 3"),
        ("NOISE_NEEDS_BOUND", "CAST(score AS DECIMAL(3, 1)) > cost"),
        ("NOISE_NOT_AVAILABLE", "ABS(measurement_id) < 3"),
        ("NOISE_NOT_AVAILABLE", "CAST(value_as_number AS INT) > 3"),
        ("NOISE_NOT_AVAILABLE", "CAST(CAST(score AS TEXT) AS INT) > 3"),
        ("NOISE_NOT_AVAILABLE", "SQRT(value_as_number) > 3"),
        ("NOISE_NOT_AVAILABLE", "REPEAT('a', score) = 'a'"),
        ("NOISE_NOT_AVAILABLE", "width_bucket(score, 0, value_as_number, 10) > 3"),
        ("NOISE_NOT_AVAILABLE", "width_bucket(score, 0, 100, score) > 3"),
        ("NOISE_NOT_AVAILABLE", "width_bucket(value_as_number / value_as_number, 0, 100, 3) > 3"),
        ("NOISE_NOT_AVAILABLE", "LEFT('abc', score) = 'a'"),
        ("NOISE_NOT_AVAILABLE", "CAST(score AS TEXT) LIKE CAST(score AS TEXT)"),
    ];
    let others = [
        // A filter below may be computed beside it, and does not make it safe.
        (
            "NOISE_NEEDS_BOUND",
            "SELECT COUNT(*) FROM (SELECT score FROM measurement WHERE score > 0) t WHERE 100 / score > 3",
        ),
        // A constant that fails does so where there is a row.
        (
            "NOISE_NEEDS_BOUND",
            "SELECT COUNT(*) FROM (SELECT score FROM measurement WHERE score = 40) t WHERE 1 / (score - score) > 0",
        ),
        ("NOISE_NEEDS_BOUND", "SELECT COUNT(*) FILTER (WHERE 100 / score > 3) FROM measurement"),
        ("NOISE_NEEDS_BOUND", "SELECT SUM(LEAST(GREATEST(100 / score, 0), 9)) FROM measurement"),
        (
            "NOISE_NEEDS_BOUND",
            "SELECT CASE WHEN 100 / score > 3 THEN 1 ELSE 2 END, COUNT(*) FROM measurement GROUP BY 1",
        ),
        (
            "NOISE_NEEDS_BOUND",
            "SELECT COUNT(*) FROM (SELECT person_id, SUM(year_of_birth * 1) AS s FROM person GROUP BY person_id) t WHERE s > 3",
        ),
        ("NOISE_NEEDS_BOUND", "SELECT COUNT(DISTINCT person_id) FROM measurement WHERE 100 / score > 3"),
        (
            "NOISE_NEEDS_BOUND",
            "SELECT COUNT(*) FROM (SELECT person_id FROM measurement GROUP BY person_id HAVING SUM(measurement_id) > 60) t",
        ),
        ("NOISE_NEEDS_BOUND", "SELECT COUNT(*) FROM person WHERE birth_date + INTERVAL '9 days' < DATE '2020-01-01'"),
    ];
    let of_dates = noised(others[others.len() - 1].1, &[]).unwrap_err();
    assert!(of_dates.hint.unwrap().contains("date_a - date_b < 30"), "it says what can be asked");
    let conditions = conditions.map(|(code, condition)| (code, measured(condition)));
    let all = conditions.into_iter().chain(others.map(|(code, sql)| (code, sql.to_owned())));
    for (code, sql) in all {
        let found = noised(&sql, &[]).map(drop).map_err(|error| (error.code, error.hint.is_some()));
        assert_eq!(found, Err((code, true)), "{sql}");
        // Without noise it is asked as ever.
        let plain = plan(&sql, &catalog_of(&settings(&[])), &OPTIONS).map(drop).map_err(|error| error.to_string());
        assert_eq!(plain, Ok(()), "{sql}");
    }
}

#[test]
fn least_and_greatest_bound_what_one_patient_can_change() {
    let of = |value: &str| noised(&format!("SELECT SUM({value}) FROM measurement"), &[]).map(|it| figures(&it)[0].1);
    let code = |value: &str| of(value).map_err(|error| error.code);
    assert_eq!(code("GREATEST(LEAST(measurement_id, 10), 0)"), Ok(150));
    assert_eq!(code("LEAST(GREATEST(measurement_id, -20), 10)"), Ok(300));
    assert_eq!(code("LEAST(score, 10)"), Ok(150));
    assert_eq!(code("LEAST(score, 10, 7)"), Ok(105));
    assert_eq!(code("GREATEST(-3 - score, -10)"), Ok(150));
    // NULL is left out, so that another argument which may be NULL bounds nothing.
    assert_eq!(code("GREATEST(LEAST(measurement_id, score), 0)"), Err("NOISE_NEEDS_BOUND"));
    assert_eq!(code("LEAST(measurement_id, 10)"), Err("NOISE_NEEDS_BOUND"));
    // Days between dates are bounded by their type alone, which is no bound to make noise for.
    let days = |value: &str| {
        let sql = format!("SELECT SUM({value}) FROM condition_occurrence");
        let found = noised(&sql, &["tables.condition_occurrence.rows_per_patient=2"]).map(|it| figures(&it)[0].1);
        found.map_err(|error| error.code)
    };
    assert_eq!(days("condition_end_date - condition_start_date"), Err("NOISE_NEEDS_BOUND"));
    assert_eq!(days("LEAST(GREATEST(condition_end_date - condition_start_date, 0), 365)"), Ok(2190));
}

#[test]
fn what_has_no_figure_has_no_noise() {
    for sql in [
        "SELECT DISTINCT gender_concept_id FROM person",
        "SELECT gender_concept_id FROM person GROUP BY gender_concept_id",
        "SELECT (SELECT COUNT(*) FROM person), s.g FROM (SELECT gender_concept_id AS g FROM person GROUP BY gender_concept_id) s",
    ] {
        assert_eq!(noised(sql, &[]).map(drop).unwrap_err().code, "NOISE_NOT_AVAILABLE", "{sql}");
    }
}

#[test]
fn a_sums_own_conditions_arguments_and_keys_look_at_one_patients_rows() {
    let others = "(SELECT SUM(score) FROM hospital_A.measurement WHERE score = 40)";
    for sql in [
        format!("SELECT COUNT(*) FILTER (WHERE {others} > 0) FROM hospital_A.measurement"),
        format!("SELECT SUM(LEAST(GREATEST(score * {others}, 0), 9)) FROM hospital_A.measurement"),
        format!("SELECT COUNT(CASE WHEN {others} > 0 THEN 1 END) FROM hospital_A.measurement"),
        format!("SELECT CASE WHEN {others} > 0 THEN 1 ELSE 2 END, COUNT(*) FROM hospital_A.measurement GROUP BY 1"),
    ] {
        assert_eq!(noised(&sql, &[]).map(drop).unwrap_err().code, "NOISE_NOT_AVAILABLE", "{sql}");
    }
}

#[test]
fn noised_figures_are_not_held_against_the_ledger() {
    let catalog = catalog_of(&settings(&["min_patients=11"]));
    let of = |options: &Options| plan("SELECT COUNT(*) FROM measurement", &catalog, options).unwrap();
    let [plain, noised] =
        [OPTIONS, asking("1")].map(|options| of(&Options { audience: Audience::Everyone, ..options }));
    let compared =
        |compiled: &Compiled| compiled.joint.disclosures.iter().any(|d| d.id.to_string().starts_with("difference"));
    assert_eq!([plain.joint.is_ledgered(), noised.joint.is_ledgered()], [true, false]);
    assert_eq!([compared(&plain), compared(&noised)], [true, false]);
    // Cells without noise are judged by their patients, who are the ledger's sets, too.
    assert_eq!([plain.joint.sums[0].matching.is_some(), noised.local[0].cohort.is_some()], [true, false]);
    assert!(noised.joint.hides());
}

#[test]
fn the_patient_key_has_no_clamp() {
    let clamped = |table: &str, column: &str| {
        let mut settings = settings(&[]);
        let policy = format!("[columns.{table}]\n{column} = {{ clamp = [1, 9] }}");
        settings.publish("hospital_A", &SitePolicy::from_toml(&policy).unwrap());
        try_catalog_of(&settings).map(drop).map_err(|error| error.code)
    };
    assert_eq!(clamped("measurement", "person_id"), Err("BAD_SETTINGS"));
    assert_eq!(clamped("measurement", "score"), Ok(()));
}

#[test]
fn grouped_by_its_key_a_patient_has_one_row_only_where_rows_have_owners() {
    let by_key = "SELECT COUNT(*) FROM (SELECT person_id, COUNT(*) AS n FROM hospital_A.drug_exposure GROUP BY person_id) t \
         WHERE n > 1";
    // Without a number of rows nobody leaves out those without a key, which would be one row more.
    assert_eq!(noised(by_key, &[]).unwrap_err().code, "NOISE_NEEDS_BOUND");
    let declared = noised(by_key, &["tables.drug_exposure.rows_per_patient=7"]).unwrap();
    assert_eq!(figures(&declared)[0].1, 1);
}
