//! Patients that are linked by identifiers: those that cannot be, those with several keys, and those whose keys change.

use std::path::Path;

use serde_json::json;

use crate::common::{Run, Scratch, sandbox};
use crate::world::answers;

/// A patient's row: the site's own number, what it is linked by (empty is nothing), and a group; in the table also as a column that declares
/// no values, with the number in a column that anybody may ask for.
type Row = (u32, String, u32);

fn network(label: &str, sites: &[(&str, Vec<Row>)]) -> Scratch {
    let folder = Scratch::new(label);
    for (site, rows) in sites {
        write(&folder, site, rows);
    }
    let linkage = "study = \"s\"\nduplicates = \"exclude\"\nfurther_keys = { patients = 20, each = 1 }\n\
                   [[passes]]\nname = \"id\"\n[[passes.parts]]\ncolumn = \"id\"\n";
    folder.write("linkage.toml", linkage);
    folder.write(
        "network.toml",
        "min_patients = 11\nmin_sites = 2\npatient_key = \"mrn\"\n[linkage]\nfile = \"linkage.toml\"\ntable = \"p\"\n\
         [tables.p.columns.k]\ndomain = [1, 2, 3]\n",
    );
    folder
}

fn write(folder: &Scratch, site: &str, rows: &[Row]) {
    let lines: String = rows.iter().map(|(mrn, id, k)| format!("{mrn},{id},{k},{k},{mrn}\n")).collect();
    folder.write(&format!("{site}/p.csv"), format!("mrn,id,k,f,z\n{lines}"));
}

fn ask(folder: &Scratch, more: &[&str], questions: &[&str]) -> Run {
    let asked = questions.iter().flat_map(|sql| ["-e", sql]);
    let all: Vec<&str> = ["--format", "json"].into_iter().chain(more.iter().copied()).chain(asked).collect();
    sandbox(folder.path(), &all)
}

/// Patients of a site, from this number on, who are linked by a number of their own.
fn people(from: u32, count: u32, k: u32) -> Vec<Row> {
    (from..from + count).map(|n| (n, format!("id{n}"), k)).collect()
}

#[test]
fn a_cell_of_patients_who_cannot_be_linked_is_hidden_however_many_rows_it_has() {
    let nobodys = |from: u32, k: u32| (from..from + 30).map(move |n| (n, String::new(), k));
    let a = [people(100, 12, 1), nobodys(500, 2).collect(), people(200, 5, 3), nobodys(600, 3).collect()].concat();
    let folder = network("unlinked", &[("A", a), ("B", people(300, 12, 1))]);
    let sql = "SELECT k, COUNT(*) AS n FROM p WHERE k IS NOT NULL GROUP BY k ORDER BY k";
    for more in [&[][..], &["--set", "zero_allowed=true"], &["--to", "everyone"]] {
        let run = ask(&folder, more, &[sql]);
        println!("{more:?}: {:?}", answers(&run));
        assert_eq!(answers(&run), [json!([[1, 24], [2, null], [3, null]])], "{}", run.all());
    }
}

#[test]
fn patients_who_cannot_be_linked_are_in_the_sets_of_their_figures() {
    // Twelve, and seven, who are in one figure only, and nobody of them linked.
    for (others, answered) in [(12, true), (7, false)] {
        let a = [people(100, 12, 1), (500..500 + others).map(|n| (n, String::new(), 2)).collect()].concat();
        let folder = network("unlinked-sets", &[("A", a), ("B", people(300, 12, 1))]);
        let run = ask(&folder, &[], &["SELECT COUNT(*) AS n FROM p", "SELECT COUNT(*) AS n FROM p WHERE k = 1"]);
        println!("{others}: {:?} {}", answers(&run), run.code());
        let both = [json!([[24 + others]]), json!([[24]])];
        assert_eq!(answers(&run), both[..1 + usize::from(answered)], "{}", run.all());
        assert!(answered || run.code() == "RELEASE_TOO_CLOSE", "{}", run.all());
    }
}

/// Patients of A put keys into both lists, but twelve whom nobody can link: these are in the figures of a table of rows alone.
#[test]
fn lists_of_keys_one_patient_apart_are_refused_though_more_patients_cannot_be_linked() {
    let nobodys: Vec<Row> = (500..512).map(|n| (n, String::new(), 1)).collect();
    let a = [people(100, 30, 1), people(130, 12, 2), nobodys].concat();
    // B's part of the question moves who is counted away from every figure of A's table.
    let folder = network("unlinked-keys", &[("A", a), ("B", [people(100, 30, 1), people(130, 12, 3)].concat())]);
    let rows = "SELECT f, COUNT(*) AS n FROM A.p GROUP BY f";
    let matched = |apart: &str| {
        format!(
            "SELECT a.f, COUNT(DISTINCT a.mrn) AS n FROM A.p a JOIN B.p b ON a.mrn = b.mrn \
             WHERE b.k = 1 AND a.z {apart} GROUP BY a.f"
        )
    };
    let [near, far] = [matched("<> 100"), matched("> 110")];
    for (first, second, code) in [
        (rows, near.as_str(), "RELEASE_TOO_CLOSE"),
        (&near, rows, "RELEASE_TOO_CLOSE"),
        (rows, &far, ""),
        (&far, rows, ""),
    ] {
        let run = ask(&folder, &[], &[first, second]);
        println!("{first}\n{second}\n  {} {:?}", run.code(), answers(&run));
        let answered = if code.is_empty() { 2 } else { 1 };
        assert_eq!((answers(&run).len(), run.code().as_str()), (answered, code), "{}", run.all());
    }
}

#[test]
fn a_table_beside_the_total_of_another_one_is_answered_though_some_patients_cannot_be_linked() {
    let a = [people(100, 30, 1), (500..503).map(|n| (n, String::new(), 1)).collect()].concat();
    let folder = network("unlinked-beside", &[("A", a), ("B", people(300, 12, 1))]);
    for site in ["A", "B"] {
        std::fs::copy(folder.at(&format!("{site}/p.csv")), folder.at(&format!("{site}/q.csv"))).unwrap();
    }
    let sql = "SELECT f, COUNT(*) AS n FROM A.p GROUP BY f UNION ALL SELECT NULL AS f, COUNT(*) AS n FROM A.q";
    let run = ask(&folder, &[], &[sql]);
    println!("{:?} {}", answers(&run), run.code());
    assert_eq!(answers(&run), [json!([[1, 33], [null, 33]])], "{}", run.all());
}

#[test]
fn patients_are_compared_by_all_their_keys() {
    // Six patients whom A knows by two keys each, and B by the second; six more with one.
    let several = |n: u32| [(n, format!("old{n}"), 1), (n, format!("id{n}"), 1)];
    let a = [(100..106).flat_map(several).collect(), people(106, 6, 1)].concat();
    let b: Vec<Row> = people(100, 12, 1).into_iter().map(|(mrn, id, k)| (mrn + 1000, id, k)).collect();
    let folder = network("further", &[("A", a), ("B", b)]);
    let [at_a, at_b] = ["A", "B"].map(|site| format!("SELECT COUNT(*) AS n FROM {site}.p"));
    let run = ask(&folder, &[], &[&at_a, &at_b]);
    println!("A, then B: {:?} {}", answers(&run), run.code());
    assert_eq!((answers(&run).len(), run.code().as_str()), (1, "RELEASE_TOO_CLOSE"), "{}", run.all());
    assert_eq!(answers(&ask(&folder, &[], &[&at_b])), [json!([[12]])]);
}

#[test]
fn a_patient_whose_identifier_was_corrected_is_the_same_patient() {
    let folder = network("corrected", &[("A", people(100, 30, 1)), ("B", people(300, 12, 1))]);
    let states = Scratch::new("corrected-state");
    let kept = states.at("kept").to_string_lossy().into_owned();
    let sql = "SELECT COUNT(*) AS n FROM p";
    assert_eq!(answers(&ask(&folder, &["--state", &kept], &[sql])), [json!([[42]])]);
    // Of twelve patients another identifier, and one patient more.
    let correct = |(mrn, id, k): Row| (mrn, if mrn < 112 { format!("new{mrn}") } else { id }, k);
    write(&folder, "A", &people(100, 31, 1).into_iter().map(correct).collect::<Vec<_>>());
    let later = ask(&folder, &["--state", &kept], &[sql]);
    println!("one patient more: {}", later.code());
    assert_eq!(later.code(), "RELEASE_TOO_CLOSE", "{}", later.all());
    assert_eq!(answers(&ask(&folder, &[], &[sql])), [json!([[43]])]);
}

/// How many releases began at A.
fn begun_at_a(state: &str) -> usize {
    let log = std::fs::read_to_string(Path::new(state).join("A/audit.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("\"kind\":\"begun\"")).count()
}

#[test]
fn patients_who_cannot_be_linked_or_are_gone_count_against_the_bound_before_anything_begins() {
    let sql = "SELECT COUNT(*) AS n FROM p";
    let nobodys: Vec<Row> = (500..515).map(|n| (n, String::new(), 1)).collect();
    // A table has no more than 30 at any time; with those of the first question there are more.
    for (label, later) in [("gone", people(200, 25, 1)), ("unlinked", [people(100, 12, 1), nobodys].concat())] {
        let folder = network(label, &[("A", people(100, 25, 1)), ("B", people(300, 12, 1))]);
        let states = Scratch::new(&format!("{label}-state"));
        let kept = states.at("kept").to_string_lossy().into_owned();
        let asked = || ask(&folder, &["--state", &kept, "--set", "max_patients=30"], &[sql]);
        assert_eq!(answers(&asked()), [json!([[37]])]);
        write(&folder, "A", &later);
        let refused = asked();
        println!("{label}: {}", refused.code());
        assert_eq!((refused.code().as_str(), begun_at_a(&kept)), ("LOCAL_FAILED", 1), "{}", refused.all());
    }
}
