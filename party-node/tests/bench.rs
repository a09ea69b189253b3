//! Benchmarks end to end: real processes, and answers that are the plain ones.

mod common;

use std::collections::HashSet;
use std::fs;

use common::{Run, Scratch, consilium, in_parallel, run};
use serde_json::Value;

const SEED: u64 = 20_261_122;

/// `bench psi` over two files; what it printed, and the answer's file.
fn matched(folder: &Scratch, left: &str, right: &str, more: &[&str]) -> (Run, Option<String>) {
    let (left, right) = (folder.write("left.csv", left), folder.write("right.csv", right));
    let out = folder.at("out.csv");
    let mut command = consilium(&["bench", "psi", "--format", "json"]);
    command.arg("--left").arg(left).arg("--right").arg(right).arg("--out").arg(&out).args(more);
    let ended = run(&mut command);
    (ended, fs::read_to_string(out).ok())
}

/// The left identifiers that the right file has too, in order, each once.
fn common_ids(left: &[String], right: &[String]) -> String {
    let right: HashSet<&String> = right.iter().collect();
    let mut seen = HashSet::new();
    let common = left.iter().filter(|id| !id.is_empty() && right.contains(id) && seen.insert(*id));
    common.fold("id\n".to_owned(), |text, id| text + id + "\n")
}

fn file(ids: &[String]) -> String {
    ids.iter().fold("id\n".to_owned(), |text, id| text + id + "\n")
}

/// Identifiers in an order that looks random, numbers from `first` on.
fn ids(first: u64, count: u64) -> Vec<String> {
    let mut numbers: Vec<u64> = (first..first + count).collect();
    numbers.sort_by_key(|n| (n ^ SEED).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    numbers.into_iter().map(|n| format!("P-{n:07}")).collect()
}

#[test]
fn the_answer_is_the_plain_intersection_for_sets_of_all_sizes() {
    println!("seed {SEED}");
    // Set sizes, first number of the right set, method.
    let cases: [(u64, u64, u64, &[&str]); 9] = [
        (1024, 1024, 512, &[]),
        (1024, 1024, 512, &["--method", "vole"]),
        (100, 100, 50, &["--method", "ecdh"]),
        (0, 5, 0, &[]),
        (5, 0, 0, &["--method", "vole"]),
        (1, 1, 0, &[]),
        (1, 1, 7, &["--method", "vole"]),
        (10, 5000, 5, &[]),
        (5000, 10, 4995, &[]),
    ];
    in_parallel(&cases, 2, |(left, right, first, more)| {
        let (left, right) = (ids(0, *left), ids(*first, *right));
        let expected = common_ids(&left, &right);
        let (ended, answer) = matched(&Scratch::new("psi"), &file(&left), &file(&right), more);
        let told = &ended.answers()[0];
        let case = format!("{} and {} from {first} {more:?}", left.len(), right.len());
        assert_eq!(answer.as_deref(), Some(expected.as_str()), "{case}");
        assert_eq!(told["matched"], expected.lines().count() - 1, "{case}");
        assert_eq!(told["sender"]["matched"], Value::Null, "{case}");
    });
}

#[test]
fn identifiers_come_out_as_the_receivers_file_has_them_once_and_in_order() {
    let left = "age,patient\n1,\"x,1\"\n2,zoë\n3,\n4,b\n5,zoë\n6,\"say \"\"a\"\"\"\n7,only here\n8,\n";
    let right = "\u{feff}patient\r\nb\r\nzoë\r\n\"say \"\"a\"\"\"\r\nb\r\n\"x,1\"\r\n";
    let (ended, answer) = matched(&Scratch::new("psi"), left, right, &["--column", "patient"]);
    let told = &ended.answers()[0];
    assert_eq!(answer.as_deref(), Some("patient\n\"x,1\"\nzoë\nb\n\"say \"\"a\"\"\"\n"));
    let counts = |side: &str| ["rows", "keys", "duplicates", "empty"].map(|count| told[side][count].as_u64().unwrap());
    assert_eq!(counts("receiver"), [8, 5, 1, 2]);
    assert_eq!(counts("sender"), [5, 4, 1, 0]);
}

#[test]
fn a_bad_file_is_named_with_its_side_and_line_and_nothing_of_it_is_printed() {
    const CANARY: &str = "Quaxolotl7731";
    let good = "id\n1\n2\n";
    let bad: [(&str, &str, &[&str]); 8] = [
        ("", "EMPTY_FILE", &["empty"]),
        ("name\nQuaxolotl7731\n", "UNKNOWN_COLUMN", &["no column id", "name"]),
        ("id\n1\nQuaxolotl7731,5\n", "RAGGED_ROW", &["line 3"]),
        ("id\n1\n\"Quaxolotl7731\n", "UNTERMINATED_QUOTE", &["line 3"]),
        ("id\nQuaxolotl7731\0\n", "NUL_BYTE", &["line 2"]),
        ("id,id\n1,Quaxolotl7731\n", "DUPLICATE_COLUMN", &["id"]),
        ("\u{1f}\u{8b}", "UNKNOWN_COLUMN", &["no column id"]),
        ("id\rQuaxolotl7731\r", "CR_LINE_ENDS", &["line 1"]),
    ];
    in_parallel(&bad, 2, |(text, code, words)| {
        for side in ["left", "right"] {
            let (left, right) = if side == "left" { (*text, good) } else { (good, *text) };
            let (ended, answer) = matched(&Scratch::new("psi"), left, right, &[]);
            assert_eq!((ended.status, ended.code().as_str()), (Some(1), *code), "{}", ended.stderr);
            let named = format!("{side}.csv");
            assert!([&[side, named.as_str()], *words].concat().iter().all(|word| ended.stderr.contains(word)));
            assert!(!ended.all().contains(CANARY) && !ended.stderr.contains("panicked"), "{}", ended.all());
            assert_eq!(answer, None);
        }
    });
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_not_there_are_refused() {
    let folder = Scratch::new("psi");
    let (left, right) = (folder.write("left.csv", "id\n1\n"), folder.write("right.csv", b"id\n\xff\xfe\n"));
    let bench = |right: &std::path::Path, out: &std::path::Path| {
        let mut command = consilium(&["bench", "psi"]);
        run(command.arg("--left").arg(&left).arg("--right").arg(right).arg("--out").arg(out))
    };
    let out = folder.at("out.csv");
    assert_eq!(bench(&right, &out).code(), "NOT_UTF8");
    assert_eq!(bench(&folder.at("missing.csv"), &out).code(), "FILE_UNREADABLE");
    assert_eq!(bench(&left, &folder.at("no/folder.csv")).code(), "CANNOT_WRITE");
}

#[test]
fn generated_sets_are_matched_and_their_figures_printed() {
    let mut told = run(&mut consilium(&["bench", "psi", "--log-size", "10", "--format", "json"])).answers();
    let told = told.remove(0);
    assert_eq!((&told["matched"], &told["method"]), (&512.into(), &"vole".into()));
    for side in ["receiver", "sender"] {
        for figure in ["read_ms", "base_ms", "core_ms", "total_ms", "bytes", "peak_rss_mb"] {
            assert!(told[side][figure].as_f64().unwrap() > 0.0, "{side}.{figure}");
        }
    }
    let too_large = run(&mut consilium(&["bench", "psi", "--log-size", "25"]));
    assert_eq!(too_large.code(), "BAD_NUMBER_OF_ELEMENTS");
}

#[test]
fn questions_over_generated_hospitals_have_the_pooled_answers() {
    // A benchmark compares its own answer, and fails when it is another.
    for (question, elements, parties) in [("distinct", "300", "3"), ("aspirin", "600", "3"), ("recurrence", "60", "2")]
    {
        let arguments = ["bench", question, "--elements", elements, "--parties", parties, "--format", "json"];
        let told = run(&mut consilium(&arguments)).answers().remove(0);
        assert!(told["answer"].as_u64().unwrap() > 0 && told["rounds"].as_u64().unwrap() > 0, "{told}");
    }
    let count = run(&mut consilium(&["bench", "psi-count", "--elements", "500", "--runs", "1", "--format", "json"]));
    assert_eq!(count.answers()[0]["parties"], 2);
}
