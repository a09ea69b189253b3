//! Every `snapshots/*.sql` explains to the text beside it; those named `hidden_…` with small cells hidden.
//! `UPDATE_SNAPSHOTS=1` writes the texts anew: read them. And the plans that the fuzz target begins with.

mod common;

use std::path::{Path, PathBuf};
use std::{env, fs};

use query_planner::{Compiled, PlanError, explain};

#[test]
fn every_question_explains_to_its_snapshot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut differing = Vec::new();
    let questions = questions(&folder);
    for path in &questions {
        let text = planned(path).map_or_else(|refusal| format!("{refusal}\n"), |compiled| explain(&compiled));
        let snapshot = path.with_extension("explain");
        if env::var("UPDATE_SNAPSHOTS").is_ok_and(|v| v == "1") {
            fs::write(&snapshot, &text).unwrap();
        } else if fs::read_to_string(&snapshot).ok().as_ref() != Some(&text) {
            differing.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(questions.len() >= 14);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// What the fuzz target begins with would be refused by its version otherwise, and nothing behind that tried.
#[test]
fn the_seeds_of_the_plan_fuzz_target_are_plans_of_this_version() {
    const QUESTIONS: [&str; 9] = [
        "count_rows",
        "filter_clause",
        "hidden_median",
        "intersection",
        "matched_distinct",
        "order_histogram",
        "sketch_patients",
        "top_declared",
        "two_sites_union",
    ];
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in QUESTIONS {
        let compiled = planned(&package.join(format!("tests/snapshots/{name}.sql"))).unwrap();
        let (plan, seed) = (compiled.joint.canonical_bytes(), package.join("fuzz/seeds/plan").join(name));
        assert!(plan.len() <= FUZZED, "{name} has {} bytes, and what is longer is cut", plan.len());
        if env::var("UPDATE_SNAPSHOTS").is_ok_and(|v| v == "1") {
            fs::write(&seed, &plan).unwrap();
        }
        assert!(fs::read(&seed).is_ok_and(|seed| seed == plan), "{}", seed.display());
    }
    assert_eq!(fs::read_dir(package.join("fuzz/seeds/plan")).unwrap().count(), QUESTIONS.len());
}

/// The longest input of a fuzz target, as `.ci/run` calls it.
const FUZZED: usize = 8192;

/// The plan of a question in a file.
fn planned(path: &Path) -> Result<Compiled, PlanError> {
    let (sql, name) = (fs::read_to_string(path).unwrap(), path.file_name().unwrap().to_string_lossy());
    if name.starts_with("hidden_") { common::planned_hiding(&sql) } else { common::planned(&sql) }
}

fn questions(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    paths.sort();
    paths
}
