//! A node that is killed between two durable writes of a question starts again with everything it had told, nothing reused,
//! and a log that verifies.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use common::{Run, Scratch, in_parallel, sandbox};
use mpc_core::identity::Pin;
use party_node::state::audit::{Event, entries};
use serde_json::Value;

const SITES: [&str; 3] = ["A", "B", "C"];
const SQL: &str = "SELECT COUNT(*) AS n FROM visit";
/// More moments than a node has from its first start to the end of one question.
const MOMENTS: usize = 40;
/// Runs at a time: most of a run is waiting.
const THREADS: usize = 4;

fn hospitals(folder: &Scratch) {
    folder.write("network.toml", "min_patients = 11\n");
    for (number, site) in SITES.iter().enumerate() {
        let rows: String = (0..12).map(|row| format!("{}\n", 100 * number + row)).collect();
        folder.write(&format!("{site}/visit.csv"), format!("person_id\n{rows}"));
    }
}

fn ask(folder: &Scratch, state: &Path, more: &[&str]) -> Run {
    let state = state.to_string_lossy();
    let fixed = ["--set", "step_timeout_ms=2500", "--state", &*state, "-e", SQL, "--format", "csv"];
    sandbox(folder.path(), &[&fixed, more].concat())
}

/// The keys that a log itself names: a sandbox makes new ones at each start.
fn pins(log: &Path) -> Vec<Pin> {
    let lines = fs::read_to_string(log).unwrap();
    let parsed = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    let started = parsed.filter(|line| line["event"]["kind"] == "started");
    let key = |line: Value| {
        let hex = line["event"]["key"].as_str().unwrap().to_owned();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        mpc_core::identity::PublicKey(std::array::from_fn(byte)).pin()
    };
    started.map(key).collect()
}

/// Releases that a site began, in order, and how many ended, if its log is whole.
fn released(state: &Path, site: &str) -> (Vec<[u8; 16]>, usize) {
    let log = state.join(site).join("audit.log");
    let (mut begun, mut ended) = (Vec::new(), 0);
    let each = |entry: &party_node::state::audit::Entry| match &entry.event {
        Event::Begun { release, .. } => begun.push(*release),
        Event::Released { .. } => ended += 1,
        _ => {}
    };
    entries(&log, &pins(&log), each).unwrap_or_else(|error| panic!("{site}: {error}"));
    (begun, ended)
}

/// Kills A at a moment of its first question, and lets everybody start again. Did A die?
fn kill(at: usize) -> bool {
    let folder = Scratch::new(&format!("durable-{at}"));
    hospitals(&folder);
    let state =
        folder.path().parent().unwrap().join(format!("{}-state", folder.path().file_name().unwrap().to_string_lossy()));
    let first = ask(&folder, &state, &["--drill", &format!("A:write-{at}")]);
    let died = first.status != Some(0);
    // What was told before the kill: of a question that the analyst has the answer of, every site has begun and noted it.
    let again = ask(&folder, &state, &[]);
    let came = again.stdout == "n\r\n36\r\n";
    assert!(came || again.code() == "ALREADY_RELEASED", "write {at}: {}", again.all());
    assert!(came || first.status == Some(0) || released(&state, "B").1 > 0, "write {at}: an answer came out somewhere");
    for site in SITES {
        let (begun, ended) = released(&state, site);
        let ids: HashSet<_> = begun.iter().collect();
        assert_eq!(ids.len(), begun.len(), "write {at}: no release begins twice at {site}");
        assert!(ended <= begun.len() && (!came || ended > 0), "write {at}: {site}");
    }
    fs::remove_dir_all(&state).unwrap();
    died
}

#[test]
fn a_node_killed_at_any_durable_write_starts_again_with_nothing_reused_and_a_whole_log() {
    let moments: Vec<usize> = (0..MOMENTS).collect();
    let died = in_parallel(&moments, THREADS, |at| kill(*at));
    let deaths = died.iter().filter(|died| **died).count();
    println!("{deaths} kills");
    // From the first start: the key, the ledger and its name, then five moments of each change: start, policy, begin, note, end.
    assert!(deaths >= 20 && !died[MOMENTS - 1], "{died:?}");
}
