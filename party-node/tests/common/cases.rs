//! Cases of bad input: a folder of three sites, a question, and the error that must come of it.

use std::fmt::Write;

use super::{Run, Scratch, in_parallel, sandbox};

/// Stands in rows of every site's table; no message may repeat it.
pub const CANARY: &str = "Quaxolotl7731";
const HEADER: &str = "person_id,n,day,dose,sex,note";

/// A folder, a question, and what must come of it.
pub struct Case {
    pub name: &'static str,
    pub make: fn(&Scratch),
    pub sql: &'static str,
    pub set: &'static [&'static str],
    pub code: &'static str,
    /// Must stand in the error: site, file, line, column, rule.
    pub words: &'static [&'static str],
    /// The bad value, which must not.
    pub secret: &'static str,
}

pub const COUNT: &str = "SELECT COUNT(*) FROM t";

/// Three sites with a good table.
pub fn good(folder: &Scratch) {
    for site in ["A", "B", "C"] {
        folder.write(&format!("{site}/t.csv"), csv(&["1,5,2020-02-29,1.5,F", "2,,,0.25,M"]));
    }
}

pub fn csv(rows: &[&str]) -> String {
    rows.iter().fold(format!("{HEADER}\n"), |text, row| text + row + "," + CANARY + "\n")
}

/// The good network, with another second row of data in B's table.
pub fn with_row(folder: &Scratch, row: &str) {
    good(folder);
    folder.write("B/t.csv", csv(&["1,5,2020-02-29,1.5,F", row, "3,6,2020-03-01,2,M"]));
}

pub fn with_bytes(folder: &Scratch, bytes: impl AsRef<[u8]>) {
    good(folder);
    folder.write("B/t.csv", bytes);
}

pub fn with_settings(folder: &Scratch, settings: &str) {
    good(folder);
    folder.write("network.toml", settings);
}

pub fn data(
    name: &'static str,
    make: fn(&Scratch),
    code: &'static str,
    words: &'static [&'static str],
    secret: &'static str,
) -> Case {
    Case { name, make, sql: COUNT, set: &[], code, words, secret }
}

pub fn query(name: &'static str, sql: &'static str, code: &'static str, words: &'static [&'static str]) -> Case {
    Case { name, make: good, sql, set: &[], code, words, secret: CANARY }
}

pub fn settings(
    name: &'static str,
    make: fn(&Scratch),
    sql: &'static str,
    code: &'static str,
    words: &'static [&'static str],
) -> Case {
    Case { name, make, sql, set: &[], code, words, secret: CANARY }
}

pub fn set(
    name: &'static str,
    set: &'static [&'static str],
    code: &'static str,
    words: &'static [&'static str],
) -> Case {
    Case { name, make: good, sql: COUNT, set, code, words, secret: CANARY }
}

/// Runs a case; what is wrong with its end, if anything.
fn try_case(case: &Case) -> Option<String> {
    let folder = Scratch::new("bad");
    (case.make)(&folder);
    let sets: Vec<&str> = case.set.iter().flat_map(|set| ["--set", set]).collect();
    // A refusal waits for nobody: one that waits for a step does not end within the time that a run has.
    let fixed = ["--set", "step_timeout_ms=600000", "-e", case.sql, "--format", "json"];
    let ended = sandbox(folder.path(), &[&fixed, &sets[..]].concat());
    faults(case.name, &ended, case.code, case.words, &[case.secret, CANARY])
}

pub fn faults(name: &str, ended: &Run, code: &str, words: &[&str], secrets: &[&str]) -> Option<String> {
    let mut wrong = String::new();
    let mut check = |ok: bool, what: &str| {
        if !ok {
            let _ = writeln!(wrong, "  {what}");
        }
    };
    check(ended.status == Some(1), &format!("exit status {:?} is not 1", ended.status));
    check(ended.error().starts_with(&format!("{code}: ")), &format!("the code is {:?}, not {code}", ended.code()));
    for word in words {
        check(ended.stderr.contains(word), &format!("the error does not say {word:?}"));
    }
    for secret in secrets {
        check(!ended.all().contains(secret), &format!("{secret:?} came out"));
    }
    check(ended.stdout.is_empty(), "something was printed as an answer");
    check(!ended.stderr.contains("panicked") && !ended.stderr.contains("RUST_BACKTRACE"), "it panicked");
    println!("{name}: {}", ended.stderr.trim_end());
    (!wrong.is_empty()).then(|| format!("{name}:\n{wrong}  stderr: {}\n", ended.stderr.trim_end()))
}

pub fn all_refused(cases: &[Case]) {
    let wrong: Vec<String> = in_parallel(cases, 2, try_case).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.concat());
}
