//! The bundled hospitals, from their files and from databases.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use party_node::local::{NetworkFacts, partials_blocking};
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Catalog, Options, Settings, merge};
use serde_json::Value;

use super::both::same;
use super::common::postgres::Server;
use super::common::{Scratch, sandbox, shared};

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The three bundled hospitals from their files.
fn hospitals() -> (Catalog, [BoundData; 3]) {
    let site = |name: &str| SiteData::open(&examples().join("data/omop").join(name)).unwrap();
    let settings = Settings::default();
    let schemas = SITES.map(|name| (SiteName(name.into()), site(name).schema(&settings.patient_key)));
    let catalog = merge::merge(&schemas, &settings).unwrap();
    let data = SITES.map(|name| site(name).bind(&catalog, &SiteName(name.into())).unwrap());
    (catalog, data)
}

/// Loads them into a database each.
fn load_hospitals(server: &Server) {
    for (name, data) in SITES.iter().zip(hospitals().1) {
        server.create(name);
        data.tables().for_each(|(table, rows)| server.load(name, table, rows.batches()));
    }
}

/// What each hospital works out for itself, from its file and from its database.
fn compare_own_parts(server: &Server, sql: &str) {
    let (folder, (catalog, files)) = (Scratch::new("parts"), hospitals());
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan(sql, &catalog, &options).unwrap();
    let parts = |data: &BoundData, site: &SiteName| {
        let moment = data.at_one_moment(&compiled.local, site, true).unwrap();
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        let part = |(stage, sum)| partials_blocking(stage, sum, site, &moment.data, NetworkFacts::of(&compiled.joint));
        stages.map(|stage| part(stage).map_err(|e| e.code.to_string())).collect::<Vec<_>>()
    };
    for (name, file) in SITES.iter().zip(&files) {
        let site = SiteName((*name).into());
        server.settings(&folder, name, name, "");
        let database = SiteData::open(&folder.at(name)).unwrap().bind(&catalog, &site).unwrap();
        for (file, database) in parts(file, &site).iter().zip(parts(&database, &site)) {
            same(sql, "the database", file, &database);
        }
    }
}

/// The example network, with the tables in files or in the server's databases.
fn network(server: Option<&Server>, files: &[&str]) -> Scratch {
    let folder = Scratch::new("omop");
    let copy = |from: &Path, to: &str| drop(folder.write(to, fs::read(from).unwrap()));
    files.iter().for_each(|file| copy(&examples().join("network").join(file), file));
    for site in SITES {
        if !files.is_empty() {
            copy(&examples().join("network").join(site).join("policy.toml"), &format!("{site}/policy.toml"));
        }
        match server {
            Some(server) => server.settings(&folder, site, site, ""),
            None => {
                for entry in fs::read_dir(examples().join("data/omop").join(site)).unwrap() {
                    let path = entry.unwrap().path();
                    copy(&path, &format!("{site}/{}", path.file_name().unwrap().to_string_lossy()));
                }
            }
        }
    }
    folder
}

pub fn answers(folder: &Scratch, questions: &[String]) -> Vec<[Value; 3]> {
    let asked = questions.iter().flat_map(|sql| ["-e", sql]);
    let arguments: Vec<&str> = ["--format", "json"].into_iter().chain(asked).collect();
    let run = sandbox(folder.path(), &arguments);
    let answers = run.answers();
    let took: Vec<String> = answers.iter().map(|answer| format!("{} ms", answer["cost"]["wall_ms"])).collect();
    println!("{:?}: {}", run.took, took.join(", "));
    answers.into_iter().map(|answer| ["columns", "rows", "suppressed"].map(|part| answer[part].clone())).collect()
}

#[test]
fn the_bundled_hospitals_answer_alike_from_files_and_from_databases() {
    let Some(server) = Server::start() else { return };
    load_hospitals(&server);
    let text = fs::read_to_string(examples().join("network/questions.sql")).unwrap();
    let mut seen = BTreeSet::new();
    let study = of_each_shape(text.lines().filter(|line| !line.trim().is_empty()), &mut seen);
    // Under policies, with every release compared with the earlier ones.
    compare(&server, &["network.toml", "study.toml"], &study);
    let bundled = shared("data/omop_3hospitals/queries.json");
    let Some(bundled) = bundled else { return };
    let bundled: Vec<Value> = serde_json::from_slice(&fs::read(bundled).unwrap()).unwrap();
    let open = of_each_shape(bundled.iter().map(|query| query["sql"].as_str().unwrap()), &mut seen);
    // A window over matched patients takes the sites together longer than all others: of these the sites' own parts are compared.
    let (windows, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|sql| sql.contains("ROW_NUMBER"));
    assert!(!windows.is_empty(), "none of these has a window");
    windows.iter().for_each(|sql| compare_own_parts(&server, sql));
    compare(&server, &[], &open);
}

/// Those that are not an earlier one with other numbers or another table of events: what the database is asked for these is the same, and
/// every release is compared with all earlier ones.
fn of_each_shape<'a>(questions: impl Iterator<Item = &'a str>, seen: &mut BTreeSet<String>) -> Vec<String> {
    let all: Vec<&str> = questions.collect();
    let kept: Vec<String> = all.iter().filter(|sql| seen.insert(shape(sql))).map(|sql| (*sql).to_owned()).collect();
    println!("{} of {} questions: one of each shape", kept.len(), all.len());
    kept
}

/// Its words without numbers and without which kind of events they are of.
fn shape(sql: &str) -> String {
    let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut shape: Vec<&str> = words
        .map(|word| match word {
            number if number.starts_with(|c: char| c.is_ascii_digit()) => "#",
            "condition_occurrence" | "drug_exposure" | "procedure_occurrence" | "measurement" => "events",
            concept if concept.ends_with("_concept_id") && concept != "gender_concept_id" => "concept",
            other => other,
        })
        .collect();
    shape.dedup();
    shape.join(" ")
}

fn compare(server: &Server, files: &[&str], questions: &[String]) {
    let (files_of, databases_of) = (network(None, files), network(Some(server), files));
    let (from_files, from_databases) = thread::scope(|scope| {
        let from_files = scope.spawn(|| answers(&files_of, questions));
        let from_databases = answers(&databases_of, questions);
        (from_files.join().expect("the files answer"), from_databases)
    });
    for ((sql, files), databases) in questions.iter().zip(from_files).zip(from_databases) {
        assert_eq!(files, databases, "{sql}");
    }
}
