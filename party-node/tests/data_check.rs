//! `consilium check --data`: every finding is found alike in CSV, Parquet and PostgreSQL, and no value of a row is repeated.

mod common;
#[path = "data_check/planted.rs"]
mod planted;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use common::{Run, Scratch, consilium, run, sandbox, shared};
use party_node::data_check::look;
use party_node::source::SiteData;
use party_node::source::survey::Place;
use planted::{FOUND, FOUND_MISTYPED, Found, MISTYPED, PLANTED, Planted, write_files};
use query_planner::catalog::SiteName;
use query_planner::{Catalog, Profile, Settings, merge};
use serde_json::Value;

/// What stands in a cell that must never be seen again, in letters and in digits.
const CANARY: &str = "Quaxolotl";
const NUMBER: &str = "8675309";

/// 2026-06-15, which the tests take for today.
const TODAY: i32 = 20_619;

#[cfg(unix)]
fn write_database(folder: &Scratch, server: &common::postgres::Server, database: &str, tables: &[Planted]) {
    server.create(database);
    tables.iter().for_each(|table| server.load(database, table.name, &[table.batch()]));
    server.settings(folder, "postgres", database, "");
}

fn settings(text: &str) -> Settings {
    Settings::from_toml(&format!("profile = \"omop-5.4\"\n{text}")).unwrap()
}

const GENDERS: &str = "[tables.person.columns.gender_concept_id]\ndomain = [8507, 8532]\n";

fn report(dir: PathBuf, settings: &Settings) -> Value {
    let report = look(&Place::Folder(dir, None), settings, TODAY).unwrap();
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

fn findings(report: &Value) -> Vec<(String, String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let all = report["findings"].as_array().unwrap();
    let one = |f: &Value| (text(&f["table"]), text(&f["column"]), text(&f["code"]), f["count"].as_u64().unwrap());
    let mut all: Vec<_> = all.iter().map(one).collect();
    all.sort();
    all
}

fn expected(found: &[Found]) -> Vec<(String, String, String, u64)> {
    found.iter().map(|(t, c, code, count)| ((*t).into(), (*c).into(), (*code).into(), *count)).collect()
}

/// What the source itself says of types is not the same everywhere: a CSV file says nothing.
fn without_inferred(mut report: Value) -> Value {
    for table in report["tables"].as_array_mut().unwrap() {
        for column in table["columns"].as_array_mut().unwrap() {
            column.as_object_mut().unwrap().remove("inferred");
        }
    }
    report
}

fn all_alike(tables: &[Planted], settings: &Settings, found: &[Found]) {
    let folder = Scratch::new("planted");
    write_files(&folder, tables);
    let csv = report(folder.at("csv"), settings);
    assert_eq!(findings(&csv), expected(found));
    let parquet = report(folder.at("parquet"), settings);
    assert_eq!(without_inferred(parquet), without_inferred(csv.clone()));
    #[cfg(unix)]
    if let Some(server) = common::postgres::Server::start() {
        write_database(&folder, &server, "planted", tables);
        assert_eq!(without_inferred(report(folder.at("postgres"), settings)), without_inferred(csv));
    }
}

#[test]
fn each_finding_planted_in_csv_parquet_and_postgres_gives_the_same_report() {
    all_alike(PLANTED, &settings(GENDERS), FOUND);
}

#[test]
fn values_of_another_type_than_declared_are_counted_alike_in_all_sources() {
    all_alike(MISTYPED, &settings(""), FOUND_MISTYPED);
}

#[test]
fn codes_are_named_by_our_list_and_counted_each() {
    let folder = Scratch::new("codes");
    write_files(&folder, PLANTED);
    let report = report(folder.at("csv"), &settings(GENDERS));
    let codes = report["findings"].as_array().unwrap().iter().find(|f| f["column"] == "gender_source_value").unwrap();
    assert_eq!(codes["codes"], serde_json::json!({ "NA": 1, "N/A": 1, "-": 1, "?": 1 }));
    let text = look(&Place::Folder(folder.at("csv"), None), &settings(GENDERS), TODAY).unwrap().to_text();
    assert!(text.contains("4 values look like a code for a missing value: NA 1, N/A 1, - 1, ? 1"), "{text}");
}

/// An identifier may be any number, and what a domain lists is a value.
#[test]
fn numbers_that_are_values_are_no_codes() {
    let folder = Scratch::new("numbers");
    folder.write("A/t.csv", "person_id,visit_id,grade,free\n9999,-1,-1,-1\n-9,9999,1,2\n");
    let settings = Settings::from_toml("[tables.t.columns.grade]\ndomain = [-1, 1]").unwrap();
    let found = findings(&report(folder.at("A"), &settings));
    assert_eq!(found, expected(&[("t", "free", "DATA_NULL_CODES", 1)]));
}

fn check(dir: &Path, more: &[&str]) -> Run {
    run(consilium(&["check", "--data", &dir.to_string_lossy()]).args(more))
}

#[test]
fn no_value_of_a_row_is_in_any_output() {
    let folder = Scratch::new("canary");
    let row = format!("{NUMBER},{NUMBER},{CANARY},{CANARY},{NUMBER}.5,{CANARY}");
    let header = "person_id,year_of_birth,birth_datetime,gender_source_value,month_of_birth,wing";
    folder.write("typed/person.csv", format!("{header}\n{row}\n{row}\n"));
    folder.write("typed/death.csv", format!("person_id,death_date\n{CANARY},{CANARY}\n"));
    // No header line: the first row stands in its place.
    folder.write("bare/person.csv", format!("1,{CANARY} {CANARY},1950-01-01\n2,x y,1960-01-01\n"));
    folder.write("ragged/person.csv", format!("person_id,year_of_birth\n{CANARY},{CANARY},{CANARY}\n"));
    folder.write("ragged/death.csv", format!("person_id\n\"{CANARY}\n"));
    let mut outputs = Vec::new();
    for dir in ["typed", "bare", "ragged"] {
        for format in ["text", "json"] {
            let output = check(&folder.at(dir), &["--profile", "omop-5.4", "--format", format]);
            outputs.push((output, dir != "bare"));
        }
    }
    #[cfg(unix)]
    if let Some(server) = common::postgres::Server::start() {
        server.create("canary");
        let sql = format!(
            "CREATE TABLE person (person_id text, year_of_birth bigint, birth_datetime text, \"{CANARY}'s \"\" ward\" text);
             INSERT INTO person VALUES ('{CANARY}', {NUMBER}, '{CANARY}', '{CANARY}'), ('{CANARY}', {NUMBER}, 'NA', 'NA')"
        );
        server.run("canary", &sql);
        server.settings(&folder, "postgres", "canary", "");
        outputs.push((check(&folder.at("postgres"), &["--profile", "omop-5.4"]), true));
    }
    for (output, is_wrong) in outputs {
        let expected = if is_wrong { (Some(1), "DATA_HAS_ERRORS") } else { (Some(0), "") };
        assert_eq!((output.status, &*output.code()), expected, "{}", output.all());
        assert!(!output.stdout.is_empty());
        let all = output.all();
        assert!(!all.contains(CANARY) && !all.contains(NUMBER), "{all}");
    }
}

#[test]
fn a_table_that_cannot_be_read_is_a_finding_and_the_others_are_looked_at() {
    let folder = Scratch::new("broken");
    folder.write("A/person.csv", "person_id,year_of_birth\n1,1950\n");
    folder.write("A/death.csv", "person_id,death_date\n1\n");
    folder.write("A/visit_occurrence.parquet", "PAR1 nothing of the kind PAR1");
    folder.write("A/measurement.csv", "");
    let found = findings(&report(folder.at("A"), &settings("")));
    let broken = [
        ("death", "", "RAGGED_ROW", 0),
        ("measurement", "", "EMPTY_FILE", 0),
        ("visit_occurrence", "", "PARQUET_DAMAGED", 0),
    ];
    assert_eq!(found, expected(&broken));
}

/// Whatever characters names and literals have, they end no quotes.
#[cfg(unix)]
#[test]
fn names_and_literals_with_quotes_reach_the_database_as_they_are() {
    let Some(server) = common::postgres::Server::start() else { return };
    let folder = Scratch::new("quotes");
    server.create("quotes");
    let sql = "CREATE TABLE \"we\"\"ird; DROP TABLE person; --\" (\"a\"\"b'); --\" text, \"$1\" bigint);
        INSERT INTO \"we\"\"ird; DROP TABLE person; --\" VALUES ('it''s', 1), ('NA', -1), ('other', 2);
        CREATE TABLE person (person_id bigint); INSERT INTO person VALUES (1)";
    server.run("quotes", sql);
    server.settings(&folder, "A", "quotes", "");
    let mut settings = settings("");
    let table = settings.tables.entry("we\"ird; DROP TABLE person; --".into()).or_default();
    let column = table.columns.entry("a\"b'); --".into()).or_default();
    column.domain = Some(vec!["it's".into(), "NA".into()]);
    let found = findings(&report(folder.at("A"), &settings));
    let table = "we\"ird; drop table person; --";
    let expected = expected(&[
        (table, "", "DATA_NOT_IN_PROFILE", 0),
        (table, "column 1", "DATA_OUT_OF_DOMAIN", 1),
        (table, "column 2", "DATA_NULL_CODES", 1),
    ]);
    assert_eq!(found, expected);
    server.run("quotes", "SELECT person_id FROM person");
}

fn examples(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(relative)
}

/// Rows whose value in a column an earlier row has, counted by a set of all of them.
fn repeated(dir: &Path, table: &str, column: &str) -> u64 {
    let values = SiteData::open(dir).unwrap().texts(table, &[column]).unwrap().remove(0);
    (values.iter().count() - values.iter().collect::<BTreeSet<_>>().len()) as u64
}

/// Some of their rows have the number of another, their codes of drugs are numbers in the files, where the model has text, and their
/// measurements hold no value at all.
#[test]
fn of_the_bundled_hospitals_only_what_is_true_is_said() {
    for site in SITES {
        let dir = examples("data/omop").join(site);
        let report = report(dir.clone(), &settings(""));
        let tables = report["tables"].as_array().unwrap();
        let rows = |name: &str| tables.iter().find(|table| table["table"] == name).unwrap()["rows"].as_u64().unwrap();
        let [drugs, measurements] = [("drug_exposure", "drug_exposure_id"), ("measurement", "measurement_id")]
            .map(|(t, c)| repeated(&dir, t, c));
        assert!(drugs > 0 && measurements > 0);
        let expected = expected(&[
            ("drug_exposure", "drug_exposure_id", "DATA_DUPLICATE_KEY", drugs),
            ("drug_exposure", "drug_source_value", "DATA_TYPE", rows("drug_exposure")),
            ("measurement", "measurement_id", "DATA_DUPLICATE_KEY", measurements),
            ("measurement", "value_as_number", "DATA_EMPTY_COLUMN", rows("measurement")),
        ]);
        assert_eq!(findings(&report), expected, "{site}");
    }
}

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

/// The profile for the columns of the bundled hospitals, by hand; `measurement_id` is declared by the network itself.
const TWIN: &str = r#"
[tables.person.columns]
person_id = { type = "int", agree_keys = false }
gender_concept_id = { type = "int", agree_keys = true }
year_of_birth = { type = "int", range = [1850, 2100] }
month_of_birth = { type = "int", range = [1, 12] }
day_of_birth = { type = "int", range = [1, 31] }
race_concept_id = { type = "int", agree_keys = true }
ethnicity_concept_id = { type = "int", agree_keys = true }
person_source_value = { type = "text", agree_keys = false, quasi_identifier = true }
gender_source_value = { type = "text", agree_keys = false }
race_source_value = { type = "text", agree_keys = false }

[tables.condition_occurrence.columns]
condition_occurrence_id = { type = "int", agree_keys = false }
person_id = { type = "int", agree_keys = false }
condition_concept_id = { type = "int" }
condition_start_date = { type = "date" }
condition_end_date = { type = "date" }
condition_source_value = { type = "text", agree_keys = false }

[tables.drug_exposure.columns]
drug_exposure_id = { type = "int", agree_keys = false }
person_id = { type = "int", agree_keys = false }
drug_concept_id = { type = "int" }
drug_exposure_start_date = { type = "date" }
drug_exposure_end_date = { type = "date" }
drug_source_value = { type = "text", agree_keys = false }

[tables.procedure_occurrence.columns]
procedure_occurrence_id = { type = "int", agree_keys = false }
person_id = { type = "int", agree_keys = false }
procedure_concept_id = { type = "int" }
procedure_date = { type = "date" }

[tables.visit_occurrence.columns]
visit_occurrence_id = { type = "int", agree_keys = false }
person_id = { type = "int", agree_keys = false }
visit_concept_id = { type = "int" }
visit_start_date = { type = "date" }
visit_end_date = { type = "date" }

[tables.measurement.columns]
measurement_id = { type = "real", agree_keys = false }
person_id = { type = "int", agree_keys = false }
measurement_concept_id = { type = "int" }
measurement_date = { type = "date" }
value_as_number = { type = "real", agree_keys = false }
unit_concept_id = { type = "int" }
measurement_source_value = { type = "text", agree_keys = false }
"#;

const OWN: &str = "profile = \"omop-5.4\"\n[tables.measurement.columns.measurement_id]\ntype = \"real\"\n";

#[test]
fn the_profile_gives_the_bundled_hospitals_the_catalogue_of_its_twin_written_by_hand() {
    let schema = |site: &str| {
        let data = SiteData::open(&examples("data/omop").join(site)).unwrap();
        (SiteName(site.into()), data.published("person_id").unwrap())
    };
    let schemas = SITES.map(schema);
    let catalog = |text: &str| -> Catalog { merge::merge(&schemas, &Settings::from_toml(text).unwrap()).unwrap() };
    let (by_profile, by_hand) = (catalog(OWN), catalog(TWIN));
    assert_eq!(by_profile.tables, by_hand.tables);
    assert_eq!(by_profile.digest(), by_hand.digest());
    assert_ne!(by_profile.digest(), catalog("").digest());
}

fn copy(from: &Path, to: &Scratch, site: &str) {
    fs::create_dir_all(to.at(site)).unwrap();
    for file in fs::read_dir(from.join(site)).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.at(site).join(file.file_name())).unwrap();
    }
}

/// Equal, numbers to ten digits.
fn close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| close(one, other))
        }
        _ => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= other.abs() * 1e-10,
            _ => one == other,
        },
    }
}

/// Real nodes under the profile answer the questions of the development data as a plain SQL database does.
#[test]
fn nodes_under_the_profile_answer_as_before() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let folder = Scratch::new("profile");
    SITES.iter().for_each(|site| copy(&data, &folder, site));
    folder.write("network.toml", OWN);
    let queries: Vec<Value> = serde_json::from_slice(&fs::read(data.join("queries.json")).unwrap()).unwrap();
    let kinds = ["sum", "site-local", "quantile"];
    let is_wanted = |query: &&Value| kinds.iter().any(|kind| query["kind"].as_str().unwrap().starts_with(kind));
    let queries: Vec<&Value> = queries.iter().filter(is_wanted).collect();
    assert!(queries.len() >= 5, "{}", queries.len());
    let asked = queries.iter().flat_map(|query| ["-e", query["sql"].as_str().unwrap()]);
    let arguments: Vec<&str> = ["--format", "json"].into_iter().chain(asked).collect();
    let answers = sandbox(folder.path(), &arguments).answers();
    for (query, answer) in queries.iter().zip(&answers) {
        assert!(close(&answer["rows"], &query["rows"]), "{}: {}", query["sql"], answer["rows"]);
    }
}

/// Codes of drugs that are numbers in Parquet files are text by the profile: without a word of the network the nodes refuse them, as
/// the report says.
#[test]
fn the_bundled_hospitals_answer_under_the_profile_and_one_declaration_of_their_own() {
    let sql = "SELECT gender_concept_id, COUNT(*) FROM person GROUP BY gender_concept_id ORDER BY 1";
    let asked = |more: &[&str]| sandbox(&examples("data/omop"), &[&["--format", "json", "-e", sql], more].concat());
    let profile = ["--set", "profile=omop-5.4"];
    assert_eq!(asked(&profile).code(), "TYPE_MISMATCH");
    let own = ["--set", "tables.drug_exposure.columns.drug_source_value.type=int"];
    let own = [profile, own].concat();
    let [with, without] = [&own[..], &[]].map(|more| asked(more).answers().remove(0));
    assert_eq!(with["rows"], without["rows"]);
    assert!(with["rows"].as_array().unwrap().len() > 1);
}

/// The commands from `init` on, as a hospital gives them.
#[test]
fn a_site_is_set_up_with_the_profile_and_looks_at_its_data_by_its_configuration() {
    let folder = Scratch::new("set-up");
    let at = |relative: &str| folder.at(relative).to_string_lossy().into_owned();
    for (i, site) in ["A", "B"].iter().enumerate() {
        let year = if i == 0 { "1950" } else { "2999" };
        folder.write(&format!("{site}-data/person.csv"), format!("person_id,year_of_birth\n1,{year}\n2,1960\n"));
        let (dir, data, listen) = (at(site), at(&format!("{site}-data")), format!("127.0.0.1:{}", 7400 + i));
        let init =
            ["init", "--dir", &dir, "--name", site, "--data", &data, "--listen", &listen, "--profile", "omop-5.4"];
        let made = run(&mut consilium(&init));
        assert_eq!(made.status, Some(0), "{}", made.stderr);
    }
    let (network, public) = (at("network.toml"), ["A/A.public.toml", "B/B.public.toml"].map(at));
    let enroll = ["enroll", "--out", &network, "--profile", "omop-5.4", &public[0], &public[1]];
    let enrolled = run(&mut consilium(&enroll));
    assert_eq!(enrolled.status, Some(0), "{}", enrolled.stderr);
    assert!(fs::read_to_string(&network).unwrap().contains("profile = \"omop-5.4\""));
    for (site, errors, status) in [("A", 0, 0), ("B", 1, 1)] {
        fs::copy(&network, folder.at(&format!("{site}/network.toml"))).unwrap();
        let config = at(&format!("{site}/node.toml"));
        let looked = run(&mut consilium(&["check", "--data", "--config", &config, "--format", "json"]));
        assert_eq!(looked.status, Some(status), "{}", looked.all());
        let report: Value = serde_json::from_str(&looked.stdout).unwrap();
        assert_eq!((&report["errors"], &report["profile"]), (&errors.into(), &"omop-5.4".into()), "{report}");
    }
    let config = at("B/node.toml");
    let bound = run(&mut consilium(&["check", "--config", &config]));
    assert!(
        bound.stdout.contains("VALUE_OUT_OF_RANGE"),
        "the node refuses what the report calls an error: {}",
        bound.all()
    );
}

#[test]
fn what_cannot_be_looked_at_is_refused_with_a_code() {
    let nowhere = run(&mut consilium(&["check", "--data"]));
    assert_eq!((nowhere.status, &*nowhere.code()), (Some(1), "WHICH_DATA"), "{}", nowhere.all());
    let folder = Scratch::new("refused");
    assert_eq!(check(&folder.at("none"), &[]).code(), "FOLDER_MISSING");
    folder.write("A/t.csv", "person_id\n1\n");
    let unknown = check(&folder.at("A"), &["--profile", "omop-9"]);
    assert!(unknown.status == Some(2) && unknown.stderr.contains("omop-5.4"), "{}", unknown.all());
    assert_eq!(check(&folder.at("A"), &[]).status, Some(0));
    assert_eq!(Profile::ALL.len(), 1);
}

/// Rows pass through: the process does not grow with them.
#[cfg(target_os = "linux")]
#[test]
fn a_file_much_larger_than_the_memory_used_is_looked_at() {
    use std::io::Write;
    let folder = Scratch::new("large");
    let mut file = std::io::BufWriter::new(File::create(folder.write("A/person.csv", "")).unwrap());
    writeln!(file, "person_id,year_of_birth,gender_source_value").unwrap();
    let rows = 400_000;
    for person in 0..rows {
        writeln!(file, "{person},1950,{:0>200}x", person).unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let bytes = fs::metadata(folder.at("A/person.csv")).unwrap().len() / 1024;
    let dir = folder.at("A").to_string_lossy().into_owned();
    let mut process = consilium(&["check", "--data", &dir, "--profile", "omop-5.4"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        let text = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    println!("{bytes} KiB of file, {peak} KiB of memory at most");
    assert!(status.success() && peak > 0);
    assert!(peak < bytes / 2, "{peak} KiB for a file of {bytes} KiB");
}
