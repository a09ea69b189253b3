//! What a question uses is what sites must allow for it: all of it, and no more.

mod common;
#[path = "common/interpret.rs"]
#[expect(dead_code, reason = "only whole plans are run here")]
mod interpret;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use common::{OPTIONS, SETTINGS, catalog, planned, planned_hiding};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;
use query_planner::bind::SiteTable;
use query_planner::catalog::{Catalog, SiteName};
use query_planner::grants::{check, check_current, needed};
use query_planner::site_policy::{Class, Purpose, SitePolicy};
use query_planner::{Compiled, Language, Options, PlanError, plan};

/// The texts of the snapshots, and of the bundled questions where they are there.
fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == "sql"));
    let mut texts: Vec<String> = paths.map(|path| fs::read_to_string(path).unwrap()).collect();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/omop_3hospitals/queries.json");
    match fs::read(&bundled) {
        Ok(bytes) => {
            let queries: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
            texts.extend(queries.iter().map(|query| query["sql"].as_str().unwrap().to_owned()));
        }
        Err(why) => {
            assert!(env::var("CI").as_deref() != Ok("true"), "CI without {}: {why}", bundled.display());
            println!("SKIPPED: {} is not beside the repository", bundled.display());
        }
    }
    texts.sort();
    texts
}

fn each_plan(mut look: impl FnMut(&str, &Compiled)) -> usize {
    let mut planned_texts = 0;
    for sql in texts() {
        for compiled in [planned(&sql), planned_hiding(&sql)].into_iter().flatten() {
            look(&sql, &compiled);
            planned_texts += 1;
        }
    }
    assert!(planned_texts > 60, "{planned_texts}");
    planned_texts
}

/// Table, column and site of everything that sites read.
fn read(compiled: &Compiled) -> BTreeSet<(String, String, SiteName)> {
    let mut found = BTreeSet::new();
    let mut scans = |plan: &LogicalPlan| {
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let source = scan.source.downcast_ref::<SiteTable>().unwrap();
                let fields = scan.projected_schema.fields().iter();
                let names = fields.map(|f| (source.table.to_lowercase(), f.name().clone(), source.site.clone()));
                found.extend(names);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    };
    for stage in &compiled.local {
        let relations = stage.relations.iter().flat_map(|relation| relation.values());
        stage.fragments.values().chain(relations).for_each(&mut scans);
    }
    found
}

#[test]
fn every_column_that_a_site_reads_is_among_the_uses_and_no_other() {
    let plans = each_plan(|sql, compiled| {
        let of = |u: &query_planner::Use| {
            let (table, column) = (u.table.clone(), u.column.clone());
            u.sites.iter().map(move |site| (table.clone(), column.clone(), site.clone())).collect::<Vec<_>>()
        };
        let used: BTreeSet<_> = compiled.joint.uses.iter().flat_map(of).collect();
        assert_eq!(used, read(compiled), "{sql}");
        assert!(compiled.joint.uses.is_sorted() && compiled.joint.classes.is_sorted(), "{sql}");
        assert!(!compiled.joint.classes.is_empty(), "{sql}");
    });
    println!("{plans} plans");
}

fn uses(sql: &str) -> Vec<String> {
    let compiled = planned(sql).unwrap();
    let words = compiled.joint.uses.iter().map(|u| format!("{}.{} {}", u.table, u.column, u.purpose));
    words.collect()
}

#[test]
fn each_part_of_a_question_has_its_purpose() {
    let all = |sql: &str, expected: &[&str]| assert_eq!(uses(sql), expected, "{sql}");
    all("SELECT COUNT(*) FROM person", &[]);
    all("SELECT COUNT(year_of_birth) FROM person", &["person.year_of_birth sum"]);
    all("SELECT COUNT(*) FROM person WHERE year_of_birth < 1950", &["person.year_of_birth filter"]);
    all("SELECT COUNT(*) FILTER (WHERE year_of_birth < 1950) FROM person", &["person.year_of_birth filter"]);
    all("SELECT COUNT(DISTINCT person_id) FROM person", &["person.person_id link"]);
    all("SELECT APPROX_COUNT_DISTINCT(person_id) FROM person", &["person.person_id link"]);
    all("SELECT MAX(score) FROM measurement", &["measurement.score extreme"]);
    all("SELECT MEDIAN(score) FROM measurement", &["measurement.score extreme"]);
    all("SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1", &["person.gender_concept_id group"]);
    all(
        "SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1",
        &["person.year_of_birth group", "person.year_of_birth reveal"],
    );
    all(
        "SELECT CASE WHEN year_of_birth < 1950 THEN 'old' ELSE 'young' END AS band, COUNT(*) FROM person GROUP BY 1",
        &["person.year_of_birth filter", "person.year_of_birth group"],
    );
    all(
        "SELECT SUM(CASE WHEN cost > 5 THEN score END) FROM measurement",
        &["measurement.cost filter", "measurement.score sum"],
    );
    all(
        "SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1 HAVING year_of_birth > 1950 AND COUNT(*) > 3",
        &["person.year_of_birth filter", "person.year_of_birth group", "person.year_of_birth reveal"],
    );
    all(
        "SELECT AVG(x) FROM (SELECT score AS x FROM hospital_A.measurement ORDER BY cost DESC LIMIT 5) t",
        &["measurement.cost extreme", "measurement.score sum"],
    );
    all(
        "SELECT COUNT(*) FROM (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence \
         GROUP BY person_id) t WHERE d > DATE '2020-01-01'",
        &["condition_occurrence.condition_start_date filter", "condition_occurrence.person_id link"],
    );
    all(
        "SELECT COUNT(*) FROM hospital_A.person WHERE person_id IN (SELECT person_id FROM hospital_B.person)",
        &["person.person_id link"],
    );
    all(
        "SELECT COUNT(*) FROM hospital_A.person p JOIN hospital_A.measurement m ON p.year_of_birth = m.score",
        &["measurement.score filter", "person.year_of_birth filter"],
    );
    all(
        "SELECT COUNT(*) FROM (SELECT ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) AS n \
         FROM condition_occurrence) t WHERE n = 2",
        &["condition_occurrence.condition_start_date filter", "condition_occurrence.person_id link"],
    );
}

#[test]
fn patients_that_are_counted_to_hide_small_cells_are_linked() {
    let sql = "SELECT SUM(score) FROM measurement";
    let has_link = |c: Compiled| c.joint.uses.iter().any(|u| u.column == "person_id" && u.purpose == Purpose::Link);
    assert!(!has_link(planned(sql).unwrap()) && has_link(planned_hiding(sql).unwrap()));
}

#[test]
fn uses_name_the_sites_whose_rows_they_mean() {
    let joint = planned("SELECT COUNT(*) FROM hospital_A.person WHERE year_of_birth < 1950").unwrap().joint;
    assert_eq!(joint.uses[0].sites, [SiteName::from("hospital_A")]);
    assert!(needed(&joint, &"hospital_B".into()).columns.is_empty());
    assert_eq!(needed(&joint, &"HOSPITAL_a".into()).columns.len(), 1);
}

#[test]
fn classes_say_what_an_answer_shows() {
    use Class::{Approximate, Count, Extreme, Matching, Sum, Table};
    let all = |sql: &str, expected: &[Class]| assert_eq!(planned(sql).unwrap().joint.classes, expected, "{sql}");
    all("SELECT COUNT(*) FROM person", &[Count]);
    all("SELECT AVG(score) FROM measurement", &[Sum]);
    all("SELECT gender_concept_id, COUNT(*), MAX(year_of_birth) FROM person GROUP BY 1", &[Count, Table, Extreme]);
    all("SELECT COUNT(DISTINCT person_id) FROM person", &[Count, Matching]);
    all("SELECT APPROX_COUNT_DISTINCT(person_id) FROM person", &[Approximate]);
}

/// The test network where every site has such a policy.
fn network(policy: impl Fn(&SiteName) -> SitePolicy) -> Catalog {
    let mut settings = query_planner::Settings::from_toml(SETTINGS).unwrap();
    for site in catalog().sites {
        settings.publish(&site.0, &policy(&site));
    }
    common::catalog_of(&settings)
}

fn asked(sql: &str, catalog: &Catalog) -> Result<Compiled, PlanError> {
    plan(sql, catalog, &OPTIONS)
}

/// Every policy that differs from this one by one grant less: a class, or a purpose of a column.
fn with_one_less(policy: &SitePolicy) -> Vec<SitePolicy> {
    let mut less = Vec::new();
    for class in &policy.classes {
        let mut without = policy.clone();
        without.classes.remove(class);
        less.push(without);
    }
    for (table, columns) in &policy.columns {
        for (column, grant) in columns {
            for purpose in &grant.uses {
                let mut without = policy.clone();
                let uses: BTreeSet<_> = grant.uses.iter().copied().filter(|kept| kept != purpose).collect();
                if let Some(grant) = without.columns.get_mut(table).and_then(|columns| columns.get_mut(column)) {
                    grant.uses = uses;
                }
                less.push(without);
            }
        }
    }
    less
}

#[test]
fn the_policies_derived_for_a_question_let_it_run_and_none_smaller_does() {
    let mut removed = 0;
    let planned_texts = each_plan(|sql, compiled| {
        for site in &compiled.joint.sites {
            let policy = needed(&compiled.joint, site);
            assert_eq!(check(&compiled.joint, site, &policy, Some("ada")), Ok(()), "{sql}");
            let read_again = SitePolicy::from_toml(&policy.to_toml()).unwrap();
            assert_eq!(read_again, policy);
            for less in with_one_less(&policy) {
                let refusal = check(&compiled.joint, site, &less, Some("ada")).unwrap_err();
                assert!(["COLUMN_NOT_ALLOWED", "CLASS_NOT_ALLOWED"].contains(&refusal.code), "{sql}: {refusal}");
                assert!(refusal.message.contains(&site.0), "{refusal}");
                removed += 1;
            }
        }
    });
    println!("{planned_texts} plans, {removed} policies with one grant less");
}

#[test]
fn planning_refuses_by_what_sites_publish_and_runs_with_what_it_needs() {
    let empty = network(|_| SitePolicy::default());
    let questions = [
        "SELECT COUNT(*) FROM person WHERE year_of_birth < 1950",
        "SELECT gender_concept_id, AVG(year_of_birth) FROM person GROUP BY 1",
        "SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        "SELECT COUNT(DISTINCT a.person_id) FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id",
        "SELECT COUNT(*) FROM (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence GROUP BY person_id) t WHERE d > DATE '2020-01-01'",
        "SELECT MEDIAN(score), APPROX_COUNT_DISTINCT(person_id) FROM measurement",
    ];
    for sql in questions {
        assert_eq!(asked(sql, &empty).unwrap_err().code, "CLASS_NOT_ALLOWED", "{sql}");
        let open = planned(sql).unwrap().joint;
        let granted = network(|site| needed(&open, site));
        let joint = asked(sql, &granted).unwrap().joint;
        assert_eq!((&joint.uses, &joint.classes), (&open.uses, &open.classes));
        assert_ne!(joint.catalog, open.catalog, "policies are part of what is agreed");
        for site in &open.sites {
            for less in with_one_less(&needed(&open, site)) {
                let one_less = network(|of| if of == site { less.clone() } else { needed(&open, of) });
                asked(sql, &one_less).unwrap_err();
            }
        }
    }
}

#[test]
fn a_refusal_names_site_column_purpose_and_rule_only_where_the_site_tells_reasons() {
    let sql = "SELECT COUNT(*) FROM person WHERE year_of_birth < 1950";
    let joint = planned(sql).unwrap().joint;
    let mut policy = SitePolicy { classes: [Class::Count].into(), ..SitePolicy::default() };
    let site = SiteName::from("hospital_B");
    let refusal = check(&joint, &site, &policy, None).unwrap_err();
    assert_eq!(refusal.code, "TABLE_NOT_ALLOWED");
    assert!(refusal.message.contains("hospital_B") && refusal.message.contains("rule: columns.person"), "{refusal}");
    policy.columns.insert("person".into(), Default::default());
    let refusal = check(&joint, &site, &policy, None).unwrap_err();
    assert_eq!(refusal.code, "COLUMN_NOT_ALLOWED");
    for word in ["hospital_B", "person.year_of_birth", "(filter)", "rule: columns.person.year_of_birth"] {
        assert!(refusal.message.contains(word), "{refusal}");
    }
    policy.tell_reasons = false;
    let refusal = check(&joint, &site, &policy, None).unwrap_err();
    assert_eq!((refusal.code, refusal.hint.as_ref()), ("POLICY_REFUSES", None));
    assert!(refusal.message.contains("hospital_B") && !refusal.message.contains("year"), "{refusal}");
    assert!(asked(sql, &network(|_| policy.clone())).is_ok(), "others cannot know, and need not");
}

#[test]
fn each_number_of_a_site_has_its_refusal() {
    let site = SiteName::from("hospital_A");
    let by = |sql: &str, rule: &str| {
        let policy = SitePolicy::from_toml(&format!("allow_all = true\n{rule}")).unwrap();
        check(&planned(sql).unwrap().joint, &site, &policy, Some("eve")).unwrap_err().code
    };
    let (count, table) = ("SELECT COUNT(*) FROM person", "SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1");
    assert_eq!(by(count, "analysts = [\"ada\"]"), "ANALYST_NOT_ALLOWED");
    assert_eq!(by(count, "min_sites = 4"), "TOO_FEW_SITES");
    assert_eq!(by("SELECT COUNT(*) FROM hospital_A.person", "min_sites = 2"), "TOO_FEW_SITES");
    assert_eq!(by(count, "min_patients = 5"), "CELLS_TOO_SMALL");
    assert_eq!(by(table, "max_groups = 5"), "TOO_MANY_GROUPS");
    assert_eq!(
        by("SELECT COUNT(DISTINCT person_id) FROM person", "[matching]\nmax_patients = 1023"),
        "MATCHING_TOO_LARGE"
    );
}

#[test]
fn min_sites_counts_the_sites_whose_rows_are_taken_together_with_this_ones() {
    let three = SitePolicy::from_toml("allow_all = true\nmin_sites = 3").unwrap();
    let refuses =
        |sql: &str, site: &str| check(&planned(sql).unwrap().joint, &SiteName::from(site), &three, None).is_err();
    let alone = "SELECT COUNT(*) FROM hospital_A.person";
    let two = "SELECT COUNT(DISTINCT a.person_id) FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id";
    for (sql, refusing) in [(alone, "A"), (two, "AB"), ("SELECT COUNT(*) FROM person", "")] {
        for site in ["A", "B", "C"] {
            let refused = refuses(sql, &format!("hospital_{site}"));
            assert_eq!(refused, refusing.contains(site), "{site}: {sql}");
        }
    }
}

#[test]
fn of_numbers_the_strictest_site_wins() {
    let joint = |text: &str| {
        let site = SitePolicy::from_toml(&format!("allow_all = true\n{text}")).unwrap();
        let catalog = network(|name| if name.0 == "hospital_B" { site.clone() } else { SitePolicy::open() });
        asked("SELECT COUNT(*) FROM person", &catalog)
    };
    assert_eq!(joint("min_patients = 11").unwrap().joint.min_patients, 11);
    assert_eq!(joint("min_sites = 4").unwrap_err().code, "TOO_FEW_SITES");
}

#[test]
fn a_policy_that_was_changed_since_it_was_published_is_noticed() {
    let site = SiteName::from("hospital_A");
    let policy =
        SitePolicy::from_toml("classes = [\"count\"]\nmin_patients = 5\n[releases]\nmost = 1\ndays = 1").unwrap();
    let catalog = network(|_| policy.clone());
    assert_eq!(check_current(&catalog, &site, &policy), Ok(()));
    let looser = SitePolicy { releases: None, min_patients: None, ..policy.clone() };
    assert_eq!(check_current(&catalog, &site, &looser), Ok(()), "what the network knows is stricter");
    for changed in [
        SitePolicy { min_patients: Some(6), ..policy.clone() },
        SitePolicy { classes: [].into(), ..policy.clone() },
        SitePolicy { tell_reasons: false, ..policy.clone() },
    ] {
        assert_eq!(check_current(&catalog, &site, &changed).unwrap_err().code, "POLICY_CHANGED");
    }
}

#[test]
fn a_question_that_does_not_ask_for_now_is_the_same_plan_later() {
    let later = Options { now_ms: OPTIONS.now_ms + 7 * 86_400_000, ..OPTIONS };
    let digests = |sql: &str| [OPTIONS, later].map(|options| plan(sql, &catalog(), &options).unwrap().joint.digest());
    let [today, next_week] = digests("SELECT COUNT(*) FROM person WHERE birth_date < DATE '1950-01-01'");
    assert_eq!(today, next_week);
    for moment in ["now()", "current_date", "current_timestamp", "CAST(now() AS DATE)"] {
        let [today, next_week] = digests(&format!("SELECT COUNT(*) FROM person WHERE birth_date < {moment}"));
        assert_ne!(today, next_week, "{moment}");
        let inside = format!(
            "SELECT COUNT(*) FROM hospital_A.person WHERE person_id IN \
             (SELECT person_id FROM hospital_A.person WHERE birth_date < {moment})"
        );
        let [today, next_week] = digests(&inside);
        assert_ne!(today, next_week, "{inside}");
    }
}

/// The test network where two sites clamp a column.
fn clamping(a: &str, b: &str) -> Result<Catalog, PlanError> {
    let text = |clamp: &str| {
        format!(
            "[columns.person]\nyear_of_birth = {{ clamp = {clamp} }}\n[columns.measurement]\ncost = {{ clamp = {clamp} }}"
        )
    };
    let mut settings = query_planner::Settings::from_toml(SETTINGS).unwrap();
    for (site, clamp) in [("hospital_A", a), ("hospital_B", b)] {
        settings.publish(site, &SitePolicy { allow_all: true, ..SitePolicy::from_toml(&text(clamp)).unwrap() });
    }
    common::try_catalog_of(&settings)
}

#[test]
fn a_clamp_is_the_narrowest_of_all_sites_and_bounds_the_sum() {
    let catalog = clamping("[1900, 2030]", "[1950, 2040]").unwrap();
    let of = |table: &str, column: &str| {
        let table = catalog.table(table).unwrap();
        table.columns.iter().find(|c| c.name == column).unwrap().clamp
    };
    assert_eq!(of("person", "year_of_birth"), Some((1950, 2030)));
    assert_eq!(of("measurement", "cost"), Some((195_000, 203_000)), "in hundredths");
    let sql = "SELECT SUM(year_of_birth) FROM person";
    let (clamped, free) = (asked(sql, &catalog).unwrap(), planned(sql).unwrap());
    // 2048 rows of at most 2030.
    assert_eq!((clamped.joint.sums[0].slots[1].partial_bits, clamped.joint.sums[0].slots[1].proven), (22, true));
    assert!(free.joint.sums[0].slots[1].partial_bits > 22);
    assert!(
        clamped.joint.notes.iter().any(|n| n.to_string().contains("below 1950 or above 2030")
            && n.words(Language::Chinese).contains("低于 1950 或高于 2030")),
        "{:?}",
        clamped.joint.notes
    );
    assert_eq!(clamping("[0, 10]", "[11, 12]").unwrap_err().code, "BAD_SETTINGS");
    assert_eq!(clamping("[0, \"1.5\"]", "[0, 1]").unwrap_err().code, "BAD_SETTINGS");
}

#[test]
fn sites_read_values_outside_a_clamp_as_the_nearest_inside() {
    use datafusion_common::ScalarValue::{Int64, Null};
    use interpret::{Tables, rows};
    let catalog = clamping("[1900, 2030]", "[1950, 2040]").unwrap();
    let years = [Some(1800), Some(1949), Some(1950), Some(2000), Some(2030), Some(2031), Some(i64::MAX), None];
    let table = years.iter().map(|year| vec![Int64(Some(1)), Int64(Some(8507)), Int64(*year), Null, Null]).collect();
    let tables = Tables::from([(("hospital_C".to_owned(), "person".to_owned()), table)]);
    let compiled = asked("SELECT SUM(year_of_birth), COUNT(year_of_birth) FROM person", &catalog).unwrap();
    let found = rows(&compiled.local[0].fragments[&SiteName::from("hospital_C")], &tables);
    let expected = years.map(|year| vec![Int64(year.map(|year| year.clamp(1950, 2030)))]);
    assert_eq!(found, expected);
}
