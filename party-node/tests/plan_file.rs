//! A plan file asks the same question again: with its time, under its plan and no other.

#![cfg(unix)]

mod common;

use common::wire::{ACCOUNTS, BY_RULE, Net, Plan, SITES, data, table, until};
use common::{Run, Scratch, consilium, run};
use serde_json::{Value, json};

/// Two of three lie in the past.
const ROWS: &str = "person_id,at\n1,2020-01-01T00:00:00\n2,2999-01-01T00:00:00\n3,2021-06-01T12:00:00\n";
const SQL: &str = "SELECT COUNT(*) AS n FROM drug WHERE at < NOW()";

fn jobs(net: &Net, arguments: &[&str]) -> Run {
    run(consilium(&["jobs"]).args(arguments).args(["--config", &net.config(0), "--account", ACCOUNTS[0]]))
}

fn said(net: &Net, arguments: &[&str]) -> String {
    let ended = jobs(net, arguments);
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// The job once it is done.
fn done(net: &Net, id: &str) -> Value {
    let look = || serde_json::from_str::<Value>(&said(net, &["show", id, "--json"])).unwrap();
    until("it ends", || ["done", "failed"].contains(&look()["state"].as_str().unwrap()));
    let job = look();
    assert_eq!(job["state"], "done", "{job:#}");
    job
}

#[test]
fn a_plan_file_runs_the_question_of_its_own_time_again_and_is_refused_where_the_plan_is_another() {
    let folder = Scratch::new("plan-file");
    SITES.iter().for_each(|site| drop(table(&folder, site, "drug", ROWS)));
    let plan = Plan {
        label: "plan-file",
        sites: SITES,
        data: data(&folder),
        settings: "[tables.drug.columns.at]\ntype = 'timestamp'\n",
        by_hand: BY_RULE,
        tables: &["drug"],
        wire: "",
        listen: "127.0.0.1",
    };
    let net = Net::new(&plan, folder).up();
    let first = done(&net, said(&net, &["submit", "-e", SQL]).trim());
    let id = first["id"].as_str().unwrap();
    let answer = said(&net, &["fetch", id, "--format", "csv"]);
    assert_eq!(answer, "n\r\n6\r\n");
    // At another moment the same text has another plan.
    let digest = first["plan"].as_str().unwrap();
    assert_eq!(jobs(&net, &["submit", "-e", SQL, "--plan", digest]).code(), "PLAN_DIFFERS");
    // As the console writes it.
    let file = json!({
        "consilium_plan": 1, "sql": first["sql"], "study": first["study"], "audience": first["audience"], "noise": null,
        "now_ms": first["now_ms"], "plan": digest, "disclosure": first["disclosure"],
        "study_digest": first["study_digest"], "network": first["network"], "planner": first["planner"],
    });
    let write = |file: &Value| net.folder.write("run.plan.json", file.to_string()).to_string_lossy().into_owned();
    let path = write(&file);
    let again = done(&net, said(&net, &["submit", "--plan-file", &path]).trim());
    assert_ne!(again["id"], first["id"]);
    assert_eq!([&again["plan"], &again["now_ms"]], [&first["plan"], &first["now_ms"]]);
    assert_eq!(said(&net, &["fetch", again["id"].as_str().unwrap(), "--format", "csv"]), answer);
    // What is no plan file, and one of another plan.
    for (field, value, code) in [
        ("now_ms", json!(first["now_ms"].as_i64().unwrap() + 1), "PLAN_DIFFERS"),
        ("sql", json!("SELECT COUNT(*) AS m FROM drug"), "PLAN_DIFFERS"),
        ("study", json!("another"), "NO_SUCH_STUDY"),
        ("consilium_plan", json!(2), "BAD_PLAN_FILE"),
        ("plan", json!("short"), "BAD_PLAN_FILE"),
        ("noise", json!({ "epsilon": "1", "mechanism": "laplace", "delta_digits": 6 }), "BAD_DELTA"),
    ] {
        let mut other = file.clone();
        other[field] = value;
        let path = write(&other);
        assert_eq!(jobs(&net, &["submit", "--plan-file", &path]).code(), code, "{field}");
    }
    let ended = jobs(&net, &["submit", "--plan-file", &path, "-e", SQL]);
    assert_eq!(ended.status, Some(2), "one of the two: {}", ended.stderr);
}
