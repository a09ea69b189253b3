//! Patients that two of three sites have in common, in real processes: told to one site, in a file of its own, where both grant it.

mod common;
#[allow(dead_code, reason = "only its random numbers are used here")]
#[path = "common/gen.rs"]
mod generator;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, Scratch, consilium, run, sandbox, seed};
use generator::Random;
use protocols::cost::psi;
use protocols::matching::psi::{Method as Protocol, choose_alone};
use protocols::parameters::psi::DIFFIE_HELLMAN_WORK_ALONE;
use query_planner::intersection::{ECDH_WORK, Method};
use rusqlite::Connection;

/// A site that grants it, with more lines in the policy.
fn grant(more: &str) -> String {
    format!(
        "classes = [\"intersection\"]\n{more}\n[columns.person]\nperson_id = [\"link\", \"reveal\"]\nsex = [\"filter\"]\n\
         [[approve]]\nclasses = [\"intersection\"]\n"
    )
}

/// Patients with an identifier and a sex; some have several rows.
type Rows = Vec<(i64, i64)>;

fn rows(random: &mut Random, patients: u64, of: u64) -> Rows {
    (0..patients + patients / 8).map(|_| (random.below(of) as i64, random.within(1, 2))).collect()
}

fn csv(rows: &Rows) -> String {
    let lines = rows.iter().map(|(id, sex)| format!("{id},{sex}\n"));
    std::iter::once("person_id,sex\n".to_owned()).chain(lines).collect()
}

/// Three sites; the third has no policy.
fn network([a, b]: [&Rows; 2], [policy_a, policy_b]: [&str; 2]) -> Scratch {
    let folder = Scratch::new("common");
    for (site, rows) in [("A", a), ("B", b), ("C", a)] {
        folder.write(&format!("data/{site}/person.csv"), csv(rows));
    }
    // A table's bound is never below a thousand rows: small hospitals declare theirs.
    if a.len() < 64 {
        folder.write("data/network.toml", "max_patients = 64\n");
    }
    folder.write("data/A/policy.toml", policy_a);
    folder.write("data/B/policy.toml", policy_b);
    folder
}

fn ask(folder: &Scratch, sql: &str) -> Run {
    let state = folder.at("state");
    sandbox(&folder.at("data"), &["--state", &state.to_string_lossy(), "--format", "json", "-e", sql])
}

const SQL: &str = "SELECT DISTINCT a.person_id FROM A.person a JOIN B.person b ON a.person_id = b.person_id \
                   WHERE a.sex = 1 AND b.sex = 2";

/// What SQLite says over tables of one database, in order.
fn pooled([a, b]: [&Rows; 2], sql: &str) -> Vec<i64> {
    let database = Connection::open_in_memory().unwrap();
    for (name, rows) in [("a_person", a), ("b_person", b)] {
        database.execute(&format!("CREATE TABLE {name} (person_id INTEGER, sex INTEGER)"), []).unwrap();
        for (id, sex) in rows {
            database.execute(&format!("INSERT INTO {name} VALUES ({id}, {sex})"), []).unwrap();
        }
    }
    let sql = sql.replace("A.person", "a_person").replace("B.person", "b_person");
    let mut asked = database.prepare(&sql).unwrap();
    let mut ids: Vec<i64> = asked.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    ids.sort_unstable();
    ids
}

/// The lists that sites keep.
fn lists(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| if path.is_dir() { lists(&path) } else { vec![path] });
    found.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("matched-")).collect()
}

fn listed(file: &Path) -> Vec<i64> {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().next(), Some("person_id"));
    let mut ids: Vec<i64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_selected_site_alone_keeps_the_patients_that_sql_finds_and_the_analyst_hears_no_number() {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    // One of few, by Diffie-Hellman, and one of many, by OPRF.
    for patients in [20, 400] {
        let (a, b) = (rows(&mut random, patients, patients), rows(&mut random, patients / 2, patients));
        let folder = network([&a, &b], [&grant(""), &grant("")]);
        let other =
            "SELECT DISTINCT person_id FROM B.person WHERE sex = 1 AND person_id IN (SELECT person_id FROM A.person)";
        for (sql, site) in [(SQL, "A"), (other, "B")] {
            let expected = pooled([&a, &b], sql);
            assert!(!expected.is_empty());
            let before = lists(&folder.at("state"));
            let ended = ask(&folder, sql);
            let answers = ended.answers();
            let answer = &answers[0];
            let row = &answer["rows"][0];
            assert_eq!((answer["rows"].as_array().unwrap().len(), &row[0]), (1, &site.into()), "{answer}");
            let count = expected.len().to_string();
            assert!(!row[1].as_str().unwrap().contains(&count) && row[1].as_str().unwrap().contains(site), "{row}");
            assert_eq!(answer["disclosures"][0]["id"], "intersection/0");
            let new: Vec<PathBuf> = lists(&folder.at("state")).into_iter().filter(|f| !before.contains(f)).collect();
            let [file] = &new[..] else { panic!("{new:?}") };
            assert!(file.starts_with(folder.at("state").join(site)), "{file:?}");
            assert_eq!(listed(file), expected);
            #[cfg(unix)]
            assert_eq!(
                std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions()) & 0o777,
                0o600
            );
            let told = |of: &str| ended.log_of(of).iter().filter(|line| line.contains("in common")).count();
            assert_eq!(["A", "B", "C"].map(told), ["A", "B", "C"].map(|of| usize::from(of == site)));
        }
    }
}

#[test]
fn without_a_grant_of_either_site_nothing_is_told() {
    let (a, b): (Rows, Rows) = (vec![(1, 1), (2, 1)], vec![(1, 2), (2, 2)]);
    let all = grant("");
    let only_link = all.replace("\"link\", \"reveal\"", "\"link\"");
    let no_class = all.replacen("classes = [\"intersection\"]", "classes = [\"matching\", \"count\"]", 1);
    let no_link = all.replace("\"link\", \"reveal\"", "\"filter\"");
    let silent = format!("tell_reasons = false\n{no_class}");
    let open = "allow_all = true\n".to_owned();
    for (policies, code, site) in [
        ([&no_class, &all], "CLASS_NOT_ALLOWED", "A"),
        ([&all, &no_class], "CLASS_NOT_ALLOWED", "B"),
        ([&open, &all], "CLASS_NOT_ALLOWED", "A"),
        ([&all, &open], "CLASS_NOT_ALLOWED", "B"),
        ([&no_link, &all], "COLUMN_NOT_ALLOWED", "A"),
        ([&all, &only_link], "COLUMN_NOT_ALLOWED", "B"),
        ([&all, &silent], "POLICY_REFUSES", "B"),
    ] {
        let folder = network([&a, &b], policies.map(String::as_str));
        let ended = ask(&folder, SQL);
        assert_eq!(ended.code(), code, "{site}: {}", ended.stderr);
        assert!(ended.error().contains(site), "{}", ended.error());
        assert!(lists(&folder.at("state")).is_empty());
    }
    // The receiver reveals nothing, and needs no grant for it.
    let folder = network([&a, &b], [&only_link, &all]);
    assert_eq!(ask(&folder, SQL).answers().len(), 1);
}

#[test]
fn a_set_outside_a_site_s_bounds_is_refused_without_its_size() {
    let (a, b): (Rows, Rows) = ((0..7).map(|id| (id, 1)).collect(), (0..5).map(|id| (id, 2)).collect());
    let small = format!("{}[matching]\nmin_patients = 19\n", grant(""));
    let large = format!("{}[matching]\nmax_patients = 3\n", grant(""));
    for (policies, code) in [
        ([&small, &grant("")], "SET_TOO_SMALL"),
        ([&grant(""), &small], "SET_TOO_SMALL"),
        ([&large, &grant("")], "SET_TOO_LARGE"),
        ([&grant(""), &large], "SET_TOO_LARGE"),
    ] {
        let folder = network([&a, &b], policies.map(String::as_str));
        let ended = ask(&folder, SQL);
        assert_eq!(ended.code(), code, "{}", ended.stderr);
        assert!(!ended.error().contains('7') && !ended.error().contains('5'), "{}", ended.error());
        assert!(lists(&folder.at("state")).is_empty());
    }
}

#[test]
fn explain_shows_diffie_hellman_for_tiny_sets_and_oprf_for_large_ones_with_both_costs() {
    for (patients, method, other) in [(20, "ECDH on Ristretto", "OPRF"), (900, "OPRF from silent VOLE", "ECDH")] {
        let rows: Rows = (0..patients).map(|id| (id, 1)).collect();
        let folder = network([&rows, &rows], [&grant(""), &grant("")]);
        let ended = run(&mut consilium(&["explain", "--data", &folder.at("data").to_string_lossy(), "-e", SQL]));
        let text = &ended.stdout;
        assert!(text.contains(&format!("Method: {method}")), "{}", ended.all());
        let why = text.lines().find(|line| line.contains("because it is the quicker one")).unwrap();
        assert!(why.contains(other) && why.matches(" ms and ").count() == 2 && why.ends_with("bytes"), "{why}");
    }
}

#[test]
fn the_planner_chooses_as_the_protocols_do_and_knows_what_they_send() {
    assert_eq!(ECDH_WORK, DIFFIE_HELLMAN_WORK_ALONE as u64);
    let sizes = [1, 16, 100, 124, 125, 128, 500, 1024, 1 << 14, 1 << 17, 1 << 20];
    for (receiver, sender) in sizes.iter().flat_map(|r| sizes.map(|s| (*r, s))) {
        let planned = Method::choose([receiver, sender]);
        let chosen = choose_alone(sender as usize, receiver as usize);
        assert_eq!(planned == Method::Ecdh, chosen == Protocol::DiffieHellman, "{receiver} {sender}");
        for (planned, protocol) in [(Method::Ecdh, Protocol::DiffieHellman), (Method::Oprf, Protocol::Vole)] {
            let (_, [asked, answered]) = planned.sent([receiver, sender]);
            let (by_sender, by_receiver) = psi(protocol, sender, receiver);
            // The protocol's own formula leaves out base OTs.
            let base = if planned == Method::Oprf { 2 * 11_360 } else { 0 };
            let (estimate, exact) = (asked + answered, by_sender.bytes + by_receiver.bytes + base);
            assert_eq!(estimate, exact, "{planned:?} {receiver} {sender}");
        }
    }
}
