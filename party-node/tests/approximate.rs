//! Approximate numbers of distinct values over three sites that share patients, by real processes.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;

use common::{Scratch, sandbox};
use query_planner::approximate::STANDARD_ERROR;
use serde_json::Value;

/// Patients 0 to 5999; each site knows those from its own first on, 3000 of them, so that most are known twice.
const SITES: [(&str, u64); 3] = [("A", 0), ("B", 1500), ("C", 3000)];
const PATIENTS: u64 = 3000;
/// The bound on rows is part of the catalogue, under whose digest values are hashed.
const SETTINGS: &str =
    "max_groups = 8\n[tables.visit]\nmax_rows = 8192\n[tables.visit.columns.sex]\ndomain = [\"F\", \"M\", \"X\"]\n";

/// Three in four are F, the others M, nobody is X; a ward is one of four.
fn row(person: u64) -> String {
    let sex = if person.is_multiple_of(4) { "M" } else { "F" };
    format!("p{person},{sex},{},{}\n", person % 4, person * 7 % 1000)
}

/// `times` rows of each patient, and at each site one row without a patient.
fn folder(times: usize) -> Scratch {
    let folder = Scratch::new("approximate");
    folder.write("network.toml", SETTINGS);
    for (site, first) in SITES {
        let mut text = String::from("person_id,sex,ward,code\n,F,0,1\n");
        for person in first..first + PATIENTS {
            (0..times).for_each(|_| text.write_str(&row(person)).unwrap());
        }
        folder.write(&format!("{site}/visit.csv"), text);
    }
    folder
}

/// The exact number of distinct elements of the patients that are known somewhere.
fn exact(element: impl Fn(u64) -> Option<u64>) -> u64 {
    let all = SITES.iter().flat_map(|(_, first)| *first..first + PATIENTS);
    all.filter_map(element).collect::<BTreeSet<_>>().len() as u64
}

fn rows(folder: &Scratch, sql: &str) -> Value {
    let run = sandbox(folder.path(), &["--format", "json", "-e", sql]);
    let answer = run.answers().remove(0);
    println!("{sql}\n  {} in {:?}, {}", answer["rows"], run.took, answer["cost"]);
    answer["rows"].clone()
}

#[track_caller]
fn near(found: &Value, exact: u64) {
    let error = (found.as_f64().unwrap() - exact as f64).abs() / exact as f64;
    assert!(error <= 5.0 * STANDARD_ERROR, "{found} is not about {exact}");
}

#[test]
fn patients_of_several_sites_are_counted_once_within_five_standard_errors() {
    let (once, twice) = (folder(1), folder(2));
    let sql = "SELECT COUNT(*) AS n, APPROX_COUNT_DISTINCT(person_id) AS patients, \
               APPROX_DISTINCT(code) FILTER (WHERE ward = 1) AS codes, \
               APPROX_COUNT_DISTINCT(person_id) FILTER (WHERE ward > 3) AS nobody FROM visit";
    let (found, again) = (rows(&once, sql), rows(&twice, sql));
    assert_eq!(found[0][0], 3 * (PATIENTS + 1));
    near(&found[0][1], exact(Some));
    near(&found[0][2], exact(|person| (person % 4 == 1).then_some(person * 7 % 1000)));
    assert_eq!(found[0][3], 0);
    assert_eq!(again[0][0], 3 * (2 * PATIENTS + 1));
    for column in 1..4 {
        assert_eq!(found[0][column], again[0][column], "a row that is there twice changes column {column}");
    }
    let empty = rows(&once, "SELECT APPROX_COUNT_DISTINCT(person_id) FROM visit WHERE code > 1000");
    assert_eq!(empty[0][0], 0);
}

#[test]
fn every_group_has_its_own_number_of_patients() {
    let folder = folder(1);
    // By declared keys, and by keys that the sites agree; the group without rows is no row.
    let declared = rows(&folder, "SELECT sex, APPROX_COUNT_DISTINCT(person_id) FROM visit GROUP BY sex ORDER BY sex");
    assert_eq!(declared.as_array().unwrap().len(), 2);
    near(&declared[0][1], exact(|person| (person % 4 != 0).then_some(person)));
    near(&declared[1][1], exact(|person| (person % 4 == 0).then_some(person)));
    let agreed = rows(&folder, "SELECT ward, APPROX_COUNT_DISTINCT(person_id) FROM visit GROUP BY ward ORDER BY ward");
    assert_eq!(agreed.as_array().unwrap().len(), 4);
    for ward in 0..4 {
        assert_eq!(agreed[ward as usize][0], ward);
        near(&agreed[ward as usize][1], exact(|person| (person % 4 == ward).then_some(person)));
    }
    let top =
        "SELECT ward, COUNT(*) AS n, APPROX_COUNT_DISTINCT(person_id) FROM visit GROUP BY ward ORDER BY n DESC LIMIT 1";
    assert_eq!(rows(&folder, top)[0][2], agreed[0][1], "the first group's sketch goes with it");
    let one = rows(&folder, "SELECT APPROX_COUNT_DISTINCT(person_id) FROM B.visit WHERE ward = 2");
    near(&one[0][0], PATIENTS / 4);
}
