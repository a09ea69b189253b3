//! What plans say they disclose: every name once, every word in both languages, all of it under the digests.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use common::{OPTIONS, SETTINGS, catalog_with};
use query_planner::disclosure::{Compared, Disclosure, Kind, Language, Recipient, Revealed, Why, sentence};
use query_planner::dpia::{self, Purpose};
use query_planner::plan::{Groups, Ring};
use query_planner::{Audience, JointPlan, Options, explain, plan};

/// The plans of all questions of the snapshots, with small cells hidden or not, for either audience.
fn plans() -> Vec<JointPlan> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let questions = paths.filter(|path| path.extension().is_some_and(|e| e == "sql"));
    let questions: Vec<String> = questions.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut plans = Vec::new();
    for least in [1, 11] {
        let catalog = catalog_with(&format!("min_patients = {least}\n{SETTINGS}"));
        for audience in [Audience::Analyst, Audience::Everyone] {
            let options = Options { audience, ..OPTIONS };
            plans.extend(questions.iter().filter_map(|sql| Some(plan(sql, &catalog, &options).ok()?.joint)));
        }
    }
    assert!(plans.len() > 100, "only {} plans", plans.len());
    plans
}

#[test]
fn every_disclosure_of_a_plan_has_a_name_of_its_own() {
    for plan in plans() {
        let names: BTreeSet<_> = plan.disclosures.iter().map(|disclosure| &disclosure.id).collect();
        assert_eq!(names.len(), plan.disclosures.len(), "{}", plan.query);
        let own = !plan.side_by_side.is_empty();
        let compared =
            |of| plan.disclosures.contains(&Disclosure::difference(plan.least_between(), "person_id", of, own));
        let counted = [Compared::All, Compared::Whole, Compared::Groups].map(compared);
        assert_eq!(counted.contains(&true), plan.hides(), "{}", plan.query);
        assert!(!counted[0] || !counted[1], "{}", plan.query);
        assert_eq!(counted[1], counted[2], "{}", plan.query);
        let agreed = plan.sums.iter().any(|sum| matches!(sum.groups, Groups::Agreed { .. }));
        assert!(!counted[1] || agreed, "{}", plan.query);
    }
}

#[test]
fn what_is_opened_goes_to_the_receiver_of_the_answer_and_keys_and_the_ledgers_bit_to_everybody() {
    for plan in plans() {
        let answered = Recipient::from(plan.audience);
        for disclosure in plan.disclosures.iter().filter(|disclosure| disclosure.why.is_opened()) {
            let id = disclosure.id.as_str();
            let before_the_answer = id.starts_with("keys/") || id.starts_with("difference/");
            let to = match disclosure.why {
                Why::Common => Recipient::Receiver,
                _ if before_the_answer => Recipient::Everyone,
                _ => answered,
            };
            assert_eq!(disclosure.to, to, "{}: {disclosure:?}", plan.query);
        }
    }
}

#[test]
fn every_number_that_can_be_opened_is_disclosed() {
    for plan in plans() {
        let named = |id: String| plan.disclosures.iter().any(|disclosure| disclosure.id.as_str() == id);
        for (index, sum) in plan.sums.iter().enumerate() {
            for slot in sum.outputs.iter().flat_map(|output| output.slots(sum)) {
                assert!(named(format!("answer/{index}/slot/{slot}")), "{}", plan.query);
            }
            assert_eq!(named(format!("keys/{index}")), matches!(sum.groups, Groups::Agreed { .. }), "{}", plan.query);
            assert_eq!(named(format!("answer/{index}/top")), sum.top.is_some(), "{}", plan.query);
        }
        assert_eq!(named("hidden/0".into()), plan.hides(), "{}", plan.query);
    }
}

#[test]
fn only_the_number_of_rows_is_opened_without_a_use_in_the_answer() {
    for plan in plans() {
        for disclosure in
            plan.disclosures.iter().filter(|disclosure| [Why::Present, Why::Beside].contains(&disclosure.why))
        {
            assert!(disclosure.id.as_str().ends_with("/slot/0"), "{}: {disclosure:?}", plan.query);
        }
    }
}

#[test]
fn every_sentence_exists_in_both_languages_and_keeps_sql_as_it_is() {
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    for plan in plans() {
        let compared = [Compared::All, Compared::Whole, Compared::Groups];
        let compared = compared.map(|of| Disclosure::difference(11, "person_id", of, true));
        for disclosure in plan.disclosures.iter().chain(&compared) {
            let [english, chinese] = [Language::English, Language::Chinese].map(|l| sentence(disclosure, l));
            for (english, chinese) in [
                (&english.to, &chinese.to),
                (&english.what, &chinese.what),
                (&english.kind, &chinese.kind),
                (&english.why, &chinese.why),
            ] {
                assert!(is_chinese(chinese) && !is_chinese(english), "{english} {chinese}");
            }
            if let Revealed::Figure { place, .. } = &disclosure.what {
                let expressions = place.keys.iter().chain(&place.rows.tables).chain(&place.rows.conditions);
                for text in expressions {
                    assert!(english.what.contains(text) && chinese.what.contains(text), "{text}: {chinese:?}");
                }
            }
            let marked = english.why.starts_with("nothing ") && chinese.why.starts_with("不为此另行公开");
            assert_eq!(marked, !disclosure.why.is_opened(), "{disclosure:?}");
        }
    }
}

#[test]
fn both_digests_cover_every_disclosure() {
    let mut plan = plans().into_iter().find(|plan| plan.disclosures.len() > 2).unwrap();
    assert_eq!(JointPlan::from_canonical(&plan.canonical_bytes()).unwrap(), plan);
    let before = (plan.digest(), plan.disclosure_digest());
    plan.disclosures[1].kind = if plan.disclosures[1].kind == Kind::Bit { Kind::Size } else { Kind::Bit };
    assert!(plan.digest() != before.0 && plan.disclosure_digest() != before.1);
    plan.disclosures.pop();
    assert!(plan.disclosure_digest() != before.1);
}

#[test]
fn wide_sums_are_never_opened_beside_a_choice_of_rows() {
    for plan in plans() {
        let wide = plan.sums.iter().filter(|sum| sum.top.is_some()).flat_map(|sum| &sum.slots);
        assert!(wide.into_iter().all(|slot| slot.ring == Ring::Z64), "{}", plan.query);
    }
}

/// One question in both languages; `UPDATE_SNAPSHOTS=1` writes the texts anew: read them.
#[test]
fn a_question_s_disclosures_and_annex_are_those_of_the_snapshots() {
    let sql = "SELECT drug_concept_id, COUNT(*) AS n, AVG(drug_exposure_end_date - drug_exposure_start_date) AS days FROM drug_exposure \
               WHERE drug_exposure_start_date >= DATE '2020-01-01' GROUP BY drug_concept_id";
    let catalog = catalog_with(&format!("min_patients = 11\n{SETTINGS}"));
    let plan = plan(sql, &catalog, &OPTIONS).unwrap().joint;
    let purpose =
        Purpose { purpose: Some("How often | where".into()), analysts: vec!["a. nalyst".into()], ..Purpose::default() };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disclosures");
    for (language, name) in [(Language::English, "en"), (Language::Chinese, "zh")] {
        let annex = dpia::annex(&plan, Some(&purpose), Some((7, 1234)), language);
        // The catalogue's digest is part of the plan's.
        let annex = annex.replace(&hex(&plan.digest()), "…").replace(&hex(&plan.disclosure_digest()), "…");
        for (text, file) in
            [(explain::disclosures(&plan, language), format!("table.{name}.txt")), (annex, format!("table.{name}.md"))]
        {
            let path = folder.join(file);
            if env::var("UPDATE_SNAPSHOTS").is_ok_and(|v| v == "1") {
                fs::write(&path, &text).unwrap();
            } else {
                assert_eq!(fs::read_to_string(&path).ok().as_ref(), Some(&text), "{}", path.display());
            }
        }
    }
}

#[test]
fn an_annex_without_a_study_leaves_room_for_its_purpose_in_both_languages() {
    for plan in plans() {
        let english = dpia::annex(&plan, None, None, Language::English);
        let chinese = dpia::annex(&plan, None, None, Language::Chinese);
        assert!(english.contains("| Purpose | (to be filled in) |") && chinese.contains("| 目的 | （待填写） |"));
        for disclosure in &plan.disclosures {
            let row = format!("| {} |", disclosure.id);
            assert!(english.contains(&row) && chinese.contains(&row), "{row}");
        }
        let rows = |annex: &str| annex.lines().filter(|line| line.starts_with('|')).count();
        assert_eq!(rows(&english), rows(&chinese));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
