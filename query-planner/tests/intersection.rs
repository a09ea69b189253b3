//! Which questions are for the patients that two sites have in common, and what is planned for them.

mod common;

use common::{OPTIONS, planned, planned_hiding};
use query_planner::disclosure::{DisclosureId, Recipient};
use query_planner::grants::{check, needed};
use query_planner::intersection::{Intersection, Method};
use query_planner::linkage::Linkage;
use query_planner::site_policy::{Class, SitePolicy};
use query_planner::{JointPlan, PlanError, plan};

fn found(sql: &str) -> Intersection {
    let compiled = planned(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
    assert!(compiled.joint.sums.is_empty() && compiled.local.len() == 1 && compiled.local[0].relations.len() == 2);
    compiled.joint.intersection.unwrap_or_else(|| panic!("{sql}: no intersection"))
}

fn code_of(planned: Result<query_planner::Compiled, PlanError>) -> &'static str {
    planned.map_or_else(|refusal| refusal.code, |_| "planned")
}

const PLAIN: &str =
    "SELECT DISTINCT a.person_id FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id";

#[test]
fn every_way_to_ask_for_common_patients_is_recognised_and_the_selected_site_receives_them() {
    for (sql, receiver, sender) in [
        (PLAIN, "hospital_A", "hospital_B"),
        (&PLAIN.replace("a.person_id FROM", "b.person_id FROM"), "hospital_B", "hospital_A"),
        (&format!("{PLAIN} WHERE a.year_of_birth < 1950 AND b.gender_concept_id = 8507"), "hospital_A", "hospital_B"),
        (&format!("{PLAIN} ORDER BY 1"), "hospital_A", "hospital_B"),
        (
            "SELECT a.person_id FROM hospital_A.person a JOIN hospital_B.person b ON a.year_of_birth > 1950 AND \
             a.person_id = b.person_id GROUP BY a.person_id",
            "hospital_A",
            "hospital_B",
        ),
        (
            "SELECT DISTINCT person_id FROM hospital_C.drug_exposure WHERE person_id IN (SELECT person_id FROM hospital_B.person)",
            "hospital_C",
            "hospital_B",
        ),
        (
            "SELECT DISTINCT person_id AS id FROM hospital_C.person c WHERE EXISTS \
          (SELECT 1 FROM hospital_B.condition_occurrence o WHERE o.person_id = c.person_id AND o.condition_concept_id = 7)",
            "hospital_C",
            "hospital_B",
        ),
        // Both sides have one row of each patient: nothing repeats without DISTINCT.
        (
            "SELECT a.person_id FROM (SELECT person_id FROM hospital_A.drug_exposure GROUP BY person_id HAVING COUNT(*) > 2) a \
          JOIN (SELECT DISTINCT person_id FROM hospital_B.person) b ON a.person_id = b.person_id",
            "hospital_A",
            "hospital_B",
        ),
    ] {
        let found = found(sql);
        assert_eq!((found.receiver.0.as_str(), found.sender.0.as_str()), (receiver, sender), "{sql}");
        let of = |at: usize| found.relations[at].contributors[0].0.as_str();
        assert_eq!((of(0), of(1)), (receiver, sender), "{sql}");
    }
}

#[test]
fn anything_else_stays_refused() {
    let three = format!("{PLAIN} JOIN hospital_C.person c ON a.person_id = c.person_id");
    for sql in [
        &PLAIN.replace("DISTINCT ", ""),
        &PLAIN.replace("DISTINCT a.person_id", "DISTINCT a.person_id, b.year_of_birth"),
        &PLAIN.replace("a.person_id = b.person_id", "a.year_of_birth = b.year_of_birth"),
        &PLAIN.replace("JOIN", "LEFT JOIN"),
        &PLAIN.replace("hospital_B.person", "person"),
        &PLAIN.replace("hospital_B.person", "hospital_A.person"),
        &format!("{PLAIN} WHERE a.year_of_birth < b.year_of_birth"),
        &format!("{PLAIN} LIMIT 3"),
        &three,
        &"SELECT DISTINCT person_id FROM hospital_A.person WHERE person_id NOT IN (SELECT person_id FROM hospital_B.person)".to_owned(),
    ] {
        let planned = planned(sql);
        assert!(planned.as_ref().map_or(true, |compiled| compiled.joint.intersection.is_none()), "{sql}");
        assert_ne!(code_of(planned), "planned", "{sql}");
    }
    let refusal = planned(&PLAIN.replace("DISTINCT ", "")).unwrap_err();
    assert_eq!(refusal.code, "ROWS_NOT_RELEASED");
    assert!(refusal.hint.unwrap().contains("DISTINCT"));
}

#[test]
fn the_plan_discloses_the_patients_to_the_receiver_alone_and_hides_no_cells() {
    for compiled in [planned(PLAIN).unwrap(), planned_hiding(PLAIN).unwrap()] {
        let plan = &compiled.joint;
        let told = |to| plan.disclosures.iter().filter(|d| d.to == to).map(|d| d.id.clone()).collect::<Vec<_>>();
        assert_eq!(told(Recipient::Receiver), [DisclosureId::intersection()]);
        assert_eq!(told(Recipient::Everyone), [DisclosureId::entered()]);
        assert_eq!(plan.disclosures.len(), 2);
        assert_eq!(plan.classes, [Class::Intersection]);
        assert!(!plan.hides() && plan.is_linear());
        assert_eq!(JointPlan::from_canonical(&plan.canonical_bytes()).unwrap(), *plan);
    }
    let sum = planned("SELECT COUNT(*) FROM person").unwrap().joint;
    assert!(!String::from_utf8(sum.canonical_bytes()).unwrap().contains("\"intersection\""));
}

#[test]
fn both_sites_grant_the_class_and_the_link_and_the_sender_the_reveal_and_nobody_else_anything() {
    let plan = planned(PLAIN).unwrap().joint;
    let [a, b, c] = [0, 1, 2].map(|at| needed(&plan, &plan.sites[at]));
    let purposes = |policy: &SitePolicy| {
        policy.column("person", "person_id").map_or(Vec::new(), |g| g.uses.iter().map(|u| u.name()).collect())
    };
    assert_eq!((purposes(&a), purposes(&b)), (vec!["link"], vec!["link", "reveal"]));
    assert_eq!(c, SitePolicy::default());
    for (at, policy) in [&a, &b, &c].into_iter().enumerate() {
        check(&plan, &plan.sites[at], policy, None).unwrap();
    }
    let refused = |at: usize, policy: &SitePolicy| check(&plan, &plan.sites[at], policy, None).unwrap_err().code;
    for at in [0, 1] {
        // Whoever allows everything did not mean this.
        assert_eq!(refused(at, &SitePolicy::open()), "CLASS_NOT_ALLOWED");
        let mut class_alone = SitePolicy { classes: a.classes.clone(), ..SitePolicy::default() };
        assert_eq!(refused(at, &class_alone), "TABLE_NOT_ALLOWED");
        class_alone.columns.insert("person".into(), Default::default());
        assert_eq!(refused(at, &class_alone), "COLUMN_NOT_ALLOWED");
    }
    assert_eq!(refused(1, &a), "COLUMN_NOT_ALLOWED");
}

#[test]
fn small_sets_are_matched_by_diffie_hellman_and_sizes_do_not_follow_conditions() {
    let all = found(PLAIN);
    assert_eq!(all.method, Method::Oprf);
    assert_eq!(found(&format!("{PLAIN} WHERE a.year_of_birth = 1950")).sizes, all.sizes);
    assert_eq!(Method::choose([125, 125]), Method::Ecdh);
    assert_eq!(Method::choose([125, 126]), Method::Oprf);
    assert_eq!(Method::choose([1, 400]), Method::Ecdh);
    assert_eq!(Method::choose([400, 1]), Method::Oprf);
}

#[test]
fn several_passes_are_refused_by_name() {
    for (passes, code) in [(1, "planned"), (2, "NOT_YET")] {
        let mut catalog = common::catalog();
        let (digest, table) = ("00".repeat(32), "person".to_owned());
        catalog.linkage = Some(Linkage { digest, table, columns: Vec::new(), passes, further_keys: None });
        assert_eq!(code_of(plan(PLAIN, &catalog, &OPTIONS)), code);
    }
}
