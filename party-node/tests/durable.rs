//! A node that is killed between two durable writes of a question starts again with everything it had told, nothing reused,
//! and a log that verifies.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, Scratch, in_parallel, sandbox};
use mpc_core::identity::Pin;
use party_node::state::audit::{Event, entries};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SITES: [&str; 3] = ["A", "B", "C"];
const SQL: &str = "SELECT COUNT(*) AS n FROM visit";
/// Keys are agreed: there is one write more.
const KEYED: &str = "SELECT k, COUNT(*) AS n FROM visit GROUP BY k";
/// The same of all patients but one.
const NEAR: &str = "SELECT k, COUNT(*) AS n FROM visit WHERE z <> 7 GROUP BY k";
/// More moments than a node has from its first start to the end of one question.
const MOMENTS: usize = 45;
/// Runs at a time: most of a run is waiting.
const THREADS: usize = 4;

fn hospitals(folder: &Scratch) {
    folder.write("network.toml", "min_patients = 11\n");
    for (number, site) in SITES.iter().enumerate() {
        let row = |row: usize| format!("{},{},{}\n", 100 * number + row, row % 2, 12 * number + row);
        let rows: String = (0..12).map(row).collect();
        folder.write(&format!("{site}/visit.csv"), format!("person_id,k,z\n{rows}"));
    }
}

fn ask(folder: &Scratch, state: &Path, sql: &str, more: &[&str]) -> Run {
    let state = state.to_string_lossy();
    let fixed = ["--state", &*state, "-e", sql, "--format", "csv"];
    sandbox(folder.path(), &[&fixed, more].concat())
}

/// With a death of A, for which the others need not wait long.
fn killed(folder: &Scratch, state: &Path, sql: &str, at: usize) -> Run {
    ask(folder, state, sql, &["--set", "step_timeout_ms=2500", "--drill", &format!("A:write-{at}")])
}

/// A folder with hospitals in it, and one for what they keep.
fn world(label: &str) -> (Scratch, PathBuf) {
    let folder = Scratch::new(label);
    hospitals(&folder);
    let name = format!("{}-state", folder.path().file_name().unwrap().to_string_lossy());
    let state = folder.path().parent().unwrap().join(name);
    (folder, state)
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
    let (folder, state) = world(&format!("durable-{at}"));
    let first = killed(&folder, &state, SQL, at);
    let died = first.status != Some(0);
    // What was told before the kill: of a question that the analyst has the answer of, every site has begun and noted it.
    let again = ask(&folder, &state, SQL, &[]);
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

/// How often a site kept sets of the question whose keys are agreed.
fn noted(state: &Path, site: &str) -> usize {
    let log = state.join(site).join("audit.log");
    let (keyed, mut first, mut noted): ([u8; 32], _, _) = (Sha256::digest(KEYED).into(), None, 0);
    let each = |entry: &party_node::state::audit::Entry| match &entry.event {
        Event::Begun { release, text, .. } if *text == keyed => first = Some(*release),
        Event::Noted { release, .. } if Some(*release) == first => noted += 1,
        _ => {}
    };
    entries(&log, &pins(&log), each).unwrap_or_else(|error| panic!("{site}: {error}"));
    noted
}

/// Kills A at a moment of a question whose keys are agreed, and asks the same of one patient fewer. How often each site had kept sets of
/// the first, and whether A died.
fn kill_keyed(at: usize) -> ([usize; 3], bool) {
    let (folder, state) = world(&format!("keyed-{at}"));
    let first = killed(&folder, &state, KEYED, at);
    let near = ask(&folder, &state, NEAR, &[]);
    let kept = SITES.map(|site| noted(&state, site));
    // What every site keeps is compared, whether or not a figure came out; no key does before every site has kept.
    let is_refused = near.code() == "RELEASE_TOO_CLOSE";
    assert_eq!(is_refused, kept.iter().all(|kept| *kept > 0), "write {at}, kept {kept:?}: {}", near.all());
    assert!(is_refused || near.status == Some(0), "write {at}: {}", near.all());
    assert!(first.status != Some(0) || is_refused, "write {at}: an answer came out");
    fs::remove_dir_all(&state).unwrap();
    (kept, first.status != Some(0))
}

#[test]
fn keys_that_came_out_before_a_site_was_killed_are_compared_with_whatever_is_asked_next() {
    let moments: Vec<usize> = (0..MOMENTS).collect();
    let ended = in_parallel(&moments, THREADS, |at| kill_keyed(*at));
    println!("{ended:?}");
    // A had kept what needs no key and not the groups: keys may be out, and every site compares by what all keep.
    let between = |(kept, died): &([usize; 3], bool)| *died && kept[0] == 1;
    assert!(ended.iter().any(between) && !ended[MOMENTS - 1].1);
}
