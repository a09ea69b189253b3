//! Claims about plans of tables that policy wants k-anonymous and l-diverse.

mod common;

use common::{OPTIONS, SETTINGS, catalog_of, catalog_with};
use query_planner::catalog::SiteName;
use query_planner::disclosure::Language;
use query_planner::explain::disclosures;
use query_planner::grants::check;
use query_planner::plan::Groups;
use query_planner::released_tables::classes;
use query_planner::value::Value;
use query_planner::{Audience, Compiled, JointPlan, Options, PlanError, Settings, SitePolicy, decode, explain, plan};

const ASKED: &str = "[released_tables]\nk_anonymous = 10\nl_diverse = 2\nsensitive = [\"Person.gender_concept_id\"]\n";

fn asked(released: &str, sql: &str) -> Result<Compiled, PlanError> {
    plan(sql, &catalog_with(&format!("{released}{SETTINGS}")), &OPTIONS)
}

fn joint(released: &str, sql: &str) -> JointPlan {
    asked(released, sql).unwrap_or_else(|e| panic!("{sql}: {e}")).joint
}

#[test]
fn keys_are_sensitive_by_the_columns_they_are_made_of_under_any_name() {
    for (sql, sensitive) in [
        ("SELECT year_of_birth, gender_concept_id, COUNT(*) FROM person GROUP BY 1, 2", vec![1]),
        ("SELECT g, COUNT(*) FROM (SELECT gender_concept_id + 0 AS g FROM person) p GROUP BY g", vec![0]),
        ("SELECT year_of_birth, COUNT(*) FROM person GROUP BY 1", vec![]),
        ("SELECT COUNT(*) FROM person WHERE gender_concept_id = 8507", vec![]),
    ] {
        let known = joint(&ASKED.replace("l_diverse = 2", "l_diverse = 1"), sql);
        assert_eq!(known.sums[0].sensitive, sensitive, "{sql}");
        assert_eq!(joint("", sql).sums[0].sensitive, Vec::<usize>::new(), "{sql}");
    }
}

#[test]
fn a_policy_that_asks_for_nothing_leaves_plans_as_they_are() {
    let sql = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1";
    let text = String::from_utf8(joint("", sql).canonical_bytes()).unwrap();
    assert!(!text.contains("released_tables") && !text.contains("sensitive"), "{text}");
    let hiding = joint(ASKED, sql);
    assert_eq!(JointPlan::from_canonical(&hiding.canonical_bytes()).unwrap(), hiding);
    assert!(hiding.hides() && hiding.min_patients == 2, "single patients beside a hidden class would tell it");
}

#[test]
fn classes_are_the_groups_that_agree_in_what_is_not_sensitive() {
    let sql = "SELECT year_of_birth < 1950 AS old, gender_concept_id, COUNT(*) FROM person GROUP BY 1, 2";
    let plan = joint(ASKED, sql);
    let groups: Vec<_> = plan.sums.iter().map(decode::groups).collect();
    let found = classes(&plan, &groups);
    let mut members: Vec<usize> = found.iter().flat_map(|class| class.groups.clone()).collect();
    members.sort_unstable();
    assert_eq!(members, (0..groups[0].len()).collect::<Vec<_>>(), "every group is in one class");
    for class in &found {
        let first = &groups[0][class.groups[0]][0];
        assert!(class.groups.iter().all(|group| groups[0][*group][0] == *first));
        let [values] = &class.values[..] else { panic!("one sensitive key") };
        let with_value = class.groups.iter().filter(|group| groups[0][**group][1] != Value::Null).count();
        assert_eq!(values.len(), with_value, "NULL is no value");
    }
}

#[test]
fn whether_patients_are_in_one_group_only_follows_from_how_the_key_is_known() {
    let of = |sql: &str| {
        let plan = joint(&ASKED.replace("l_diverse = 2", "l_diverse = 1"), sql);
        let groups: Vec<_> = plan.sums.iter().map(decode::groups).collect();
        classes(&plan, &groups).iter().all(|class| class.apart)
    };
    // The same patient may have rows with another value at another site.
    assert!(!of("SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1"));
    assert!(of(
        "SELECT g, COUNT(*) FROM (SELECT person_id, MAX(gender_concept_id) AS g FROM person GROUP BY person_id) p GROUP BY g"
    ));
}

#[test]
fn what_could_tell_a_class_otherwise_is_refused_where_diversity_is_asked_for() {
    for sql in [
        "SELECT year_of_birth, COUNT(*) FROM person WHERE gender_concept_id = 8507 GROUP BY 1",
        "SELECT year_of_birth, COUNT(*) FILTER (WHERE gender_concept_id = 8507) FROM person GROUP BY 1",
        "SELECT year_of_birth, COUNT(gender_concept_id) FROM person GROUP BY 1",
        "SELECT CASE WHEN gender_concept_id = 8507 THEN 1 ELSE 0 END AS c, COUNT(*) FROM person GROUP BY c",
        "SELECT year_of_birth, COUNT(*) FROM person WHERE EXISTS (SELECT 1 FROM person q WHERE q.person_id = person.person_id AND \
         q.gender_concept_id = 8507) GROUP BY 1",
        "SELECT n > 0 AS some, COUNT(*) FROM (SELECT person_id, COUNT(*) FILTER (WHERE gender_concept_id = 8507) AS n FROM person \
         GROUP BY person_id) p GROUP BY 1",
    ] {
        let refused = asked(ASKED, sql).expect_err(sql);
        assert_eq!(refused.code, "DIVERSITY_UNDECIDED", "{sql}: {refused}");
        // Where only k is asked for, the key is known of each patient or not: the class is no larger than it is said to be.
        assert!(asked(&ASKED.replace("l_diverse = 2", "l_diverse = 1"), sql).is_ok(), "{sql}");
    }
}

#[test]
fn a_key_that_mixes_a_sensitive_column_with_others_is_refused() {
    for sql in [
        "SELECT gender_concept_id = 8507 AND year_of_birth < 1950 AS a, COUNT(*) FROM person GROUP BY 1",
        "SELECT year_of_birth, (gender_concept_id <> 0 AND year_of_birth < 1950) AS a, COUNT(*) FROM person GROUP BY 1, 2",
        "SELECT gender_concept_id + year_of_birth AS a, COUNT(*) FROM person GROUP BY 1",
    ] {
        for released in [ASKED.to_owned(), ASKED.replace("l_diverse = 2", "l_diverse = 1")] {
            let refused = asked(&released, sql).expect_err(sql);
            assert_eq!(refused.code, "DIVERSITY_UNDECIDED", "{sql}: {refused}");
        }
    }
}

#[test]
fn keys_that_are_listed_before_classes_are_judged_are_those_of_k_and_never_sensitive_ones() {
    let sql = "SELECT condition_concept_id, COUNT(*) FROM condition_occurrence GROUP BY 1";
    let plan = joint(ASKED, sql);
    assert!(matches!(plan.sums[0].groups, Groups::Agreed { threshold: 10, .. }), "{:?}", plan.sums[0].groups);
    let sensitive = ASKED.replace("Person.gender_concept_id", "condition_occurrence.condition_concept_id");
    assert_eq!(asked(&sensitive, sql).unwrap_err().code, "DIVERSITY_UNDECIDED");
}

#[test]
fn explain_and_both_languages_say_what_hides_a_class() {
    let sql = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1";
    for audience in [Audience::Analyst, Audience::Everyone] {
        let catalog = catalog_with(&format!("{ASKED}{SETTINGS}"));
        let compiled = plan(sql, &catalog, &Options { audience, ..OPTIONS }).unwrap();
        let text = explain(&compiled);
        assert!(text.contains("all groups that agree in no key: slot"), "{text}");
        assert!(text.contains("values of key 1 against 2"), "{text}");
        assert!(text.contains("one must have 10 patients by itself"), "{text}");
        let english = disclosures(&compiled.joint, Language::English);
        assert!(
            english.contains("fewer than 10") && english.contains("fewer than 2 values of person.gender_concept_id")
        );
        let chinese = disclosures(&compiled.joint, Language::Chinese);
        assert!(
            chinese.contains("少于 10") && chinese.contains("person.gender_concept_id 的取值少于 2 个"),
            "{chinese}"
        );
    }
}

#[test]
fn a_site_refuses_a_plan_that_asks_for_less_than_it_does() {
    let sql = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1";
    let site = SiteName::from("hospital_A");
    let policy = |released: &str| SitePolicy::from_toml(&format!("allow_all = true\n{released}")).unwrap();
    let code = |plan: &str, own: &str| check(&joint(plan, sql), &site, &policy(own), None).err().map(|e| e.code);
    assert_eq!(code(ASKED, ASKED), None);
    assert_eq!(code("", ASKED), Some("TABLE_NOT_ANONYMOUS"));
    assert_eq!(code(ASKED, &ASKED.replace("10", "11")), Some("TABLE_NOT_ANONYMOUS"));
    assert_eq!(code(ASKED, &ASKED.replace("= 2", "= 3")), Some("TABLE_NOT_ANONYMOUS"));
    assert_eq!(code(ASKED, &ASKED.replace("gender_concept_id", "year_of_birth")), Some("TABLE_NOT_ANONYMOUS"));
}

#[test]
fn what_a_site_publishes_is_asked_for_by_the_network() {
    let mut settings = Settings::from_toml(&format!("[released_tables]\nk_anonymous = 20\n{SETTINGS}")).unwrap();
    let policy = SitePolicy::from_toml(&format!("tell_reasons = false\n{ASKED}")).unwrap();
    settings.publish("hospital_B", &policy);
    let joint = catalog_of(&settings).policy.released_tables;
    assert_eq!((joint.k_anonymous, joint.l_diverse), (20, 2));
    assert!(joint.sensitive.contains("person.gender_concept_id"), "{joint:?}");
}
