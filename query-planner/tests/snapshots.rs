//! Every `snapshots/*.sql` explains to the text beside it; those named `hidden_…` with small cells hidden.
//! `UPDATE_SNAPSHOTS=1` writes the texts anew: read them.

mod common;

use std::path::{Path, PathBuf};
use std::{env, fs};

use query_planner::explain;

#[test]
fn every_question_explains_to_its_snapshot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut differing = Vec::new();
    let questions = questions(&folder);
    for path in &questions {
        let hides = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hidden_"));
        let text = explained(&fs::read_to_string(path).unwrap(), hides);
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

fn explained(sql: &str, hides: bool) -> String {
    let planned = if hides { common::planned_hiding(sql) } else { common::planned(sql) };
    match planned {
        Ok(compiled) => explain(&compiled),
        Err(refusal) => format!("{refusal}\n"),
    }
}

fn questions(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    paths.sort();
    paths
}
