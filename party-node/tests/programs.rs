//! Programs that analysts use, against a running node: psql, psycopg, SQLAlchemy and pandas, R.

#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::postgres::{self, Server};
use common::until;
use common::wire::{ACCOUNTS, BY_RULE, Net, PASSWORD, Plan, program};
use common::{Scratch, shared};
use party_node::source::SiteData;
use query_planner::Settings;
use query_planner::catalog::{SiteName, merge};
use serde_json::Value;

fn examples(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/omop").join(relative)
}

/// Three hospitals of the bundled data.
const HOSPITALS: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

fn hospitals(label: &str, data: PathBuf, tables: &[&str], wire: &str, listen: &str, folder: Scratch) -> Net {
    let plan =
        Plan { label, sites: HOSPITALS, data, settings: "max_groups = 4096", by_hand: BY_RULE, tables, wire, listen };
    Net::new(&plan, folder).up()
}

/// A program that finds the node by the environment.
fn told(net: &Net, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PGHOST", "localhost").env("PGPORT", net.port.to_string()).env("PGUSER", ACCOUNTS[0]);
    command.env("PGPASSWORD", PASSWORD).env("PGDATABASE", "study").env("PGCONNECT_TIMEOUT", "20");
    command
}

fn psql(net: &Net, arguments: &[&str]) -> (String, String) {
    let ended = common::run(told(net, "psql").args(["-X", "-v", "ON_ERROR_STOP=1"]).args(arguments));
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    (ended.stdout, ended.stderr)
}

#[test]
fn every_bundled_question_asked_with_psql_of_databases_gives_the_known_answer_also_after_a_kill() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let (Some(server), true) = (Server::start(), program("psql", "--version")) else { return };
    let folder = Scratch::new("programs-omop");
    let tables = load(&server, &data);
    HOSPITALS.into_iter().for_each(|site| server.settings(&folder, &format!("data/{site}"), site, ""));
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let inner = folder.at("data");
    let mut net = hospitals("programs-omop", inner, &tables, "", "127.0.0.1", folder);
    let questions: Vec<Value> = serde_json::from_slice(&fs::read(data.join("queries.json")).unwrap()).unwrap();
    for question in &questions {
        answers(&net, question);
        println!("{}: ok", question["id"]);
    }
    assert!(questions.len() >= 19, "{} questions", questions.len());
    dies_while_it_asks(&mut net, &questions);
}

/// Asks a bundled question, and compares.
fn answers(net: &Net, question: &Value) {
    let (out, notices) = psql(net, &["--csv", "-c", question["sql"].as_str().unwrap()]);
    let mut lines = out.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names: Vec<&str> = question["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(lines.next().unwrap(), names, "{}", question["id"]);
    let expected = question["rows"].as_array().unwrap();
    let rows: Vec<Vec<String>> = lines.collect();
    assert_eq!(rows.len(), expected.len(), "{}: {out}", question["id"]);
    for (row, expected) in rows.iter().zip(expected) {
        let cells = row.iter().zip(expected.as_array().unwrap());
        assert!(cells.clone().all(|(cell, value)| same(cell, value)), "{}: {row:?} is not {expected}", question["id"]);
    }
    assert!(notices.contains("NOTICE:") && notices.contains("cost: "), "{notices}");
}

/// The node with the accounts is killed in the middle of a question, starts anew, says what became of it, and answers it.
fn dies_while_it_asks(net: &mut Net, questions: &[Value]) {
    for question in questions.iter().cycle().take(3 * questions.len()) {
        let before = net.jobs().len();
        let mut asked = told(net, "psql");
        let asked =
            asked.args(["-X", "-c", question["sql"].as_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut asked = asked.spawn().unwrap();
        let newest = |net: &Net| net.jobs().into_iter().next().unwrap_or_default();
        let begun = |state: &Value| state == "running" || state == "done";
        until("it runs", || net.jobs().len() > before && begun(&newest(net)["state"]));
        net.signal(0, "KILL");
        let told = asked.wait().unwrap();
        net.start(0);
        let job = newest(net);
        if job["state"] == "done" {
            // It was quicker than the kill.
            continue;
        }
        assert!(!told.success() && job["refusal"]["code"] == "NODE_RESTARTED", "{told}: {job}");
        let (failed, _) = psql(net, &["-At", "-c", "SELECT count(*) FROM consilium.jobs WHERE state = 'failed'"]);
        assert_eq!(failed.trim(), "1");
        answers(net, question);
        return;
    }
    panic!("no question took long enough to be killed in");
}

/// A text of a cell and a value of JSON; reals to nine digits.
fn same(cell: &str, value: &Value) -> bool {
    match value {
        Value::Null => cell.is_empty(),
        Value::Number(number) if number.is_f64() => {
            let (x, y) = (cell.parse::<f64>().unwrap_or(f64::NAN), number.as_f64().unwrap());
            (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        Value::String(text) => cell == text,
        other => cell == format!("{other}"),
    }
}

/// Loads each hospital's tables into a database of its own; the names of the tables.
fn load(server: &Server, data: &Path) -> Vec<String> {
    let site = |name: &str| SiteData::open(&data.join(name)).unwrap();
    let settings = Settings::default();
    let schemas = HOSPITALS.map(|name| (SiteName(name.into()), site(name).schema(&settings.patient_key)));
    let catalog = merge(&schemas, &settings).unwrap();
    for name in HOSPITALS {
        server.create(name);
        let data = site(name).bind(&catalog, &SiteName(name.into())).unwrap();
        data.tables().for_each(|(table, rows)| server.load(name, table, rows.batches()));
    }
    catalog.tables.iter().map(|table| table.name.clone()).collect()
}

#[test]
fn psql_browses_the_catalogue_over_tls_and_asks() {
    if !program("psql", "--version") {
        return;
    }
    let folder = Scratch::new("programs-psql");
    let Some((certificate, key)) = postgres::certificate(&folder, "node") else { return };
    postgres::private(&key);
    let wire = "certificate = '%/node.crt'\nkey = '%/node.key'";
    let net = hospitals(
        "programs-psql",
        examples(""),
        &["person", "condition_occurrence", "drug_exposure"],
        wire,
        "0.0.0.0",
        folder,
    );
    let secure = |arguments: &[&str]| {
        let mut command = told(&net, "psql");
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &certificate);
        let ended = common::run(command.args(["-X", "-v", "ON_ERROR_STOP=1"]).args(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    };
    let listed = secure(&["-At", "-c", "\\dt"]);
    assert!(listed.contains("public|person|table|ines"), "{listed}");
    let described = secure(&["-At", "-c", "\\d person"]);
    assert!(described.contains("year_of_birth|bigint|||"), "{described}");
    let sites = secure(&["-At", "-c", "\\dn"]);
    assert!(HOSPITALS.iter().all(|site| sites.contains(site)), "{sites}");
    for command in [
        "\\d",
        "\\d+ person",
        "\\dt+",
        "\\dt hospital_A.*",
        "\\l",
        "\\du",
        "\\conninfo",
        "\\dv",
        "\\di",
        "\\df",
        "\\dT",
        "\\dx",
        "\\dp",
        "\\encoding",
    ] {
        secure(&["-At", "-c", command]);
    }
    let tls = secure(&["-c", "\\conninfo"]);
    assert!(tls.contains("TLSv1.3"), "{tls}");
    assert_eq!(secure(&["-At", "-c", "SELECT version()"]).split(' ').next(), Some("PostgreSQL"));
    let counted = secure(&["-At", "-c", "SELECT COUNT(*) > 0 AS some FROM person"]);
    assert_eq!(counted, "t\n");
    // Without TLS a connection from elsewhere than loopback is refused before any password; here that address is this machine's own.
    if let Some(address) = own_address() {
        let mut command = told(&net, "psql");
        command.env("PGSSLMODE", "disable").env("PGHOST", &address);
        let ended = common::run(command.args(["-X", "-c", "SELECT 1"]));
        assert!(ended.stderr.contains("TLS_REQUIRED"), "{}", ended.stderr);
    }
    // A certificate of somebody else is not the node's.
    let other = Scratch::new("programs-other");
    let (other_certificate, _) = postgres::certificate(&other, "other").unwrap();
    let mut command = told(&net, "psql");
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", other_certificate);
    assert_ne!(common::run(command.args(["-X", "-c", "SELECT 1"])).status, Some(0));
}

/// An address of this machine that is not loopback.
fn own_address() -> Option<String> {
    let out = Command::new("hostname").arg("-I").output().ok()?;
    let address = String::from_utf8_lossy(&out.stdout).split_whitespace().next().map(str::to_owned);
    if address.is_none() {
        println!("SKIPPED: this machine has no address but loopback");
    }
    address
}

/// The blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(path).unwrap();
    let open = format!("```{language}\n");
    text.split(&open).skip(1).map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_for_python_run() {
    let python = std::env::var("CONSILIUM_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_all = Command::new(&python).args(["-c", "import psycopg, pandas, sqlalchemy"]).output();
    if !has_all.is_ok_and(|out| out.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without psycopg, pandas and SQLAlchemy");
        println!("SKIPPED: {python} has no psycopg, pandas and SQLAlchemy; CONSILIUM_TEST_PYTHON names one that has");
        return;
    }
    let folder = Scratch::new("programs-python");
    let net = hospitals(
        "programs-python",
        examples(""),
        &["person", "condition_occurrence", "drug_exposure"],
        "",
        "127.0.0.1",
        folder,
    );
    let scripts = blocks("python.md", "python");
    assert_eq!(scripts.len(), 3);
    let mut said = String::new();
    for script in scripts {
        let ended = common::run(told(&net, &python).args(["-c", &script]));
        assert_eq!(ended.status, Some(0), "{script}\n{}", ended.stderr);
        said += &ended.stdout;
    }
    for words in ["gender 8507 records", "cost: ", "year_of_birth", "n_suppressed", "'done'"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn the_example_for_r_runs() {
    let driver = "library(DBI); if (!requireNamespace('RPostgres', quietly = TRUE)) library(RPostgreSQL)";
    let has_all = Command::new("Rscript").args(["-e", driver]).output();
    if !has_all.is_ok_and(|out| out.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without R and a driver for PostgreSQL");
        println!("SKIPPED: there is no R with a driver for PostgreSQL on this machine");
        return;
    }
    let folder = Scratch::new("programs-r");
    let net = hospitals(
        "programs-r",
        examples(""),
        &["person", "condition_occurrence", "drug_exposure"],
        "",
        "127.0.0.1",
        folder,
    );
    for script in blocks("r.md", "r") {
        let ended = common::run(told(&net, "Rscript").args(["-e", &script]));
        assert_eq!(ended.status, Some(0), "{script}\n{}", ended.stderr);
        for word in ["8507", "n_suppressed", "person"] {
            assert!(ended.stdout.contains(word), "{}", ended.stdout);
        }
    }
}

/// DBeaver and other programs in Java read the catalogue through this driver.
#[test]
fn a_program_in_java_finds_tables_and_columns_and_asks() {
    let jar = Path::new("/usr/share/java/postgresql.jar");
    if !program("javac", "-version") || !jar.exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without {}", jar.display());
        println!("SKIPPED: there is no JDBC driver for PostgreSQL on this machine");
        return;
    }
    let folder = Scratch::new("programs-java");
    let net = hospitals("programs-java", examples(""), &["person"], "", "127.0.0.1", folder);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/Catalogue.java");
    let mut java = told(&net, "java");
    let ended = common::run(java.arg("-cp").arg(jar).arg(&source).arg(net.port.to_string()).arg(PASSWORD));
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    for line in [
        "product PostgreSQL 15.0",
        "schema public",
        "table public person TABLE",
        "column person_id int8",
        "column gender_concept_id int8",
        "no keys",
        "prepared 5 times",
        "hidden null",
    ] {
        assert!(lines.contains(&line), "{line} is not in {}", ended.stdout);
    }
    let counted: Vec<&&str> = lines.iter().filter(|line| line.starts_with("gender ")).collect();
    assert!(counted.len() >= 2 && lines.iter().any(|line| line.starts_with("warning ")), "{}", ended.stdout);
}
