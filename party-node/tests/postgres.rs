//! A site's tables in PostgreSQL: the same answers as from files, whoever does the local work.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use common::postgres::{PASSWORD, READER, Server, private};
use common::{Scratch, sandbox};
use party_node::local::{NetworkFacts, Partials, asked_of_database, partials_blocking};
use party_node::source::postgres::settings::Settings as Database;
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Catalog, Options, Settings, merge};
use serde_json::Value;

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

/// One site's table in a database, and the same rows in a file.
struct Both {
    catalog: Catalog,
    file: BoundData,
    /// The database does the work, or the node.
    database: [BoundData; 2],
    _folder: Scratch,
}

const SITE: &str = "A";

impl Both {
    /// `tables`: names and CSV text.
    fn new(server: &Server, database: &str, tables: &[(&str, &str)], settings: &str) -> Self {
        let folder = Scratch::new("both");
        tables.iter().for_each(|(table, text)| drop(folder.write(&format!("files/{table}.csv"), text)));
        let settings = Settings::from_toml(settings).unwrap();
        let open = || SiteData::open(&folder.at("files")).unwrap();
        let site = SiteName(SITE.into());
        // A network has two sites; the other's tables are the same.
        let schemas = [SITE, "B"].map(|name| (SiteName(name.into()), open().schema(&settings.patient_key)));
        let catalog = merge::merge(&schemas, &settings).unwrap();
        let file = open().bind(&catalog, &site).unwrap();
        server.create(database);
        file.tables().for_each(|(name, table)| server.load(database, name, table.batches()));
        let database = ["database", "node"].map(|work| {
            let name = format!("by-{work}");
            server.settings(&folder, &name, database, &format!("local_work = \"{work}\"\n"));
            SiteData::open(&folder.at(&name)).unwrap().bind(&catalog, &site).unwrap()
        });
        Self { catalog, file, database, _folder: folder }
    }

    /// The site's own part of a question three times over; what the database was asked where it does the work. None for a question
    /// that the planner refuses.
    fn agree(&self, sql: &str) -> Option<Vec<String>> {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let planned = query_planner::plan(sql, &self.catalog, &options);
        let compiled = planned.inspect_err(|refused| println!("refused: {sql}: {refused}")).ok()?;
        let (site, network) = (SiteName(SITE.into()), NetworkFacts::of(&compiled.joint));
        let mut asked = Vec::new();
        let mut parts = |data: &BoundData| -> Vec<Result<Partials, String>> {
            let moment = data.at_one_moment(&compiled.local, &site, true).unwrap();
            let stages = compiled.local.iter().zip(&compiled.joint.sums);
            let part = |(stage, sum)| {
                asked.extend(asked_of_database(stage, sum, &site, &moment.data).unwrap());
                partials_blocking(stage, sum, &site, &moment.data, network).map_err(|e| e.code.to_string())
            };
            stages.map(part).collect()
        };
        let [by_database, by_node] = self.database.each_ref().map(&mut parts);
        let first = asked.clone();
        let from_file = {
            let mut none = Vec::new();
            let moment = self.file.at_one_moment(&compiled.local, &site, true).unwrap();
            for (stage, sum) in compiled.local.iter().zip(&compiled.joint.sums) {
                let part = partials_blocking(stage, sum, &site, &moment.data, network);
                none.push(part.map_err(|e| e.code.to_string()));
            }
            none
        };
        for ((file, database), node) in from_file.iter().zip(&by_database).zip(&by_node) {
            same(sql, "the database", file, database);
            same(sql, "the node", file, node);
        }
        Some(first)
    }
}

/// Equal but for the order in which patients were met.
fn same(sql: &str, who: &str, file: &Result<Partials, String>, other: &Result<Partials, String>) {
    let (file, other) = match (file, other) {
        (Ok(file), Ok(other)) => (file, other),
        (file, other) => {
            assert_eq!(file.as_ref().err(), other.as_ref().err(), "{sql}: by {who}");
            return;
        }
    };
    assert!(file.keys == other.keys, "{sql}: other groups by {who}");
    assert!(file.slots == other.slots, "{sql}: other totals by {who}");
    assert!(file.orders == other.orders && file.sketches == other.sketches, "{sql}: other values by {who}");
    for (file, other) in [(&file.patients, &other.patients), (&file.cohort, &other.cohort)] {
        assert!(file.as_ref().map(by_key) == other.as_ref().map(by_key), "{sql}: other patients by {who}");
    }
}

type ByKey = BTreeMap<Vec<Option<u128>>, Vec<(usize, Vec<u8>, usize, u64)>>;

fn by_key(patients: &party_node::local::patients::Patients) -> ByKey {
    let key = |at: usize| patients.keys[at].iter().map(|key| key.map(|key| key.0)).collect::<Vec<_>>();
    let mut all: ByKey = (0..patients.keys.len()).map(|at| (key(at), Vec::new())).collect();
    for (feature, known) in patients.features.iter().enumerate() {
        for entry in &known.entries {
            let what = (feature, known.tuples[entry.tuple].clone(), entry.at, entry.number);
            all.get_mut(&key(entry.patient)).unwrap().push(what);
        }
    }
    all.values_mut().for_each(|entries| entries.sort());
    all
}

const ROWS: &str = "\
person_id,n,m,cost,x,day,at,sex,note,ok
1,7,2,10.50,0.5,2020-02-29,2020-02-29 10:00:00,F,abc,true
2,-7,2,-0.05,-2.25,1999-12-31,1999-12-31 23:59:59.5,M,ABC,false
3,,3,,,,,,,
4,9223372036854775807,1,99999999.99,1000.25,0001-01-01,0001-01-01 00:00:00,F,a%c,true
5,0,-3,0,-0.0,2024-02-29,2024-02-29 00:00:00,m,a_c,
6,-9223372036854775807,-1,1.00,3,1970-01-01,1970-01-01 00:00:00,Ä,\"it's \"\"so\"\"; DROP TABLE t; --\",false
7,3,5,1.01,1.1,2020-03-01,2020-03-01 12:30:00,é,back\\slash,true
7,4,5,2.00,0.1,2020-03-01,2020-03-01 12:30:01,z,\"two
lines\",true
8,5,0,3.33,0.2,2021-07-01,2021-07-01 00:00:00,Z,Zebra,false
";

const TYPES: &str = "\
min_sites = 2
[tables.t.columns]
cost = { type = \"decimal(10,2)\", agree_keys = true }
sex = { agree_keys = true }
note = { agree_keys = true }
ok = { agree_keys = true }
day = { agree_keys = true }
at = { agree_keys = true }
n = { agree_keys = true }
m = { agree_keys = true }
[tables.u.columns]
label = { agree_keys = true }
";

fn both(server: &Server, name: &str) -> Both {
    let other = "person_id,code,label\n1,7,F\n2,,M\n4,3,\n4,3,F\n9,1,z\n,7,F\n";
    Both::new(server, name, &[("t", ROWS), ("u", other)], TYPES)
}

#[test]
fn a_condition_means_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "conditions");
    let (mut asked, mut pushed, mut wrong) = (0, 0, Vec::new());
    for condition in [
        "n > 3",
        "n <> 7",
        "NOT (n > 3)",
        "n IS NULL",
        "n IN (7, 0, -7)",
        "n NOT IN (7, 0)",
        "n BETWEEN -7 AND 7",
        "n IS DISTINCT FROM m",
        "cost > 1.00",
        "cost = 1",
        "cost < 0",
        "day >= DATE '2020-02-29'",
        "day < DATE '1970-01-01'",
        "day BETWEEN DATE '1999-01-01' AND DATE '2020-12-31'",
        "EXTRACT(YEAR FROM day) = 2020",
        "EXTRACT(MONTH FROM day) IN (2, 12)",
        "at > TIMESTAMP '2020-02-29 10:00:00'",
        "at <= TIMESTAMP '1999-12-31 23:59:59.5'",
        "sex = 'F'",
        "sex < 'a'",
        "sex >= 'm'",
        "sex > 'z'",
        "sex <> 'M'",
        "note LIKE 'a%c'",
        "note LIKE '_b_'",
        "note NOT LIKE 'A%'",
        "note LIKE 'a\\%c'",
        "note LIKE '%two%lines%'",
        "note LIKE 'two_lines'",
        "note = 'it''s \"so\"; DROP TABLE t; --'",
        "note ILIKE 'abc'",
        "ok",
        "NOT ok",
        "ok IS NOT TRUE",
        "ok OR n > 0",
        "ok AND n > 0",
        "x > 0",
        "x = 0",
        "x IS NULL",
        "CASE WHEN n > 0 THEN ok WHEN sex = 'M' THEN TRUE ELSE NULL END",
        "COALESCE(sex, 'none') = 'none'",
        "n / 2 = 3",
        "n % 4 = -3",
        "m <> 0 AND 12 / m > 3",
        "n + 1 > 0",
        "NULLIF(m, 0) IS NULL",
        "n = 7 OR NULL",
    ] {
        let rows = both.agree(&format!("SELECT COUNT(*), SUM(m), COUNT(sex), SUM(x) FROM t WHERE {condition}"));
        let counted = both.agree(&format!("SELECT COUNT(*), SUM(m) FROM t WHERE {condition}"));
        let (Some(rows), Some(counted)) = (rows, counted) else { continue };
        asked += 1;
        let by_groups = counted.iter().any(|sql| sql.contains("sum("));
        pushed += usize::from(by_groups);
        println!("{} {condition}", if by_groups { "database" } else { "node    " });
        wrong.extend(rows.into_iter().chain(counted).filter(|sql| sql.contains("DROP") || sql.contains("'F'")));
    }
    assert!(wrong.is_empty(), "a literal stands in {wrong:?}");
    println!("{pushed} of {asked} conditions were the database's");
    assert!(asked >= 40, "only {asked} of the conditions were asked");
    assert!(pushed >= 25, "only {pushed} of the conditions were left to the database");
}

#[test]
fn columns_keys_and_sums_mean_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "columns");
    let mut asked = 0;
    for sql in [
        "SELECT sex, COUNT(*), SUM(m), SUM(cost) FROM t GROUP BY sex",
        "SELECT sex, ok, COUNT(*), COUNT(n), AVG(m), VAR_SAMP(m) FROM t GROUP BY sex, ok",
        "SELECT note, COUNT(*) FROM t GROUP BY note",
        "SELECT day, COUNT(*) FROM t GROUP BY day",
        "SELECT at, COUNT(*) FROM t GROUP BY at",
        "SELECT cost, COUNT(*) FROM t GROUP BY cost",
        "SELECT EXTRACT(YEAR FROM day) AS y, COUNT(*), SUM(cost) FROM t GROUP BY 1",
        "SELECT m / 2 AS half, COUNT(*) FROM t GROUP BY 1",
        "SELECT m % 2 AS odd, COUNT(*) FROM t GROUP BY 1",
        "SELECT m / -2 AS half, COUNT(*) FROM t GROUP BY 1",
        "SELECT CASE WHEN n > 0 THEN 'more' WHEN n < 0 THEN 'less' ELSE sex END AS k, COUNT(*) FROM t GROUP BY 1",
        "SELECT CASE sex WHEN 'F' THEN 1 WHEN 'M' THEN 2 ELSE 3 END AS k, COUNT(*) FROM t GROUP BY 1",
        "SELECT COUNT(*) FILTER (WHERE ok), SUM(m) FILTER (WHERE sex = 'F') FROM t",
        "SELECT SUM(m * m), SUM(2019 - m) FROM t",
        "SELECT SUM(n) FROM t",
        "SELECT SUM(n + n) FROM t",
        "SELECT SUM(n + 1) FROM t WHERE n > 0",
        "SELECT SUM(12 / m) FROM t",
        "SELECT SUM(CASE WHEN m <> 0 THEN 12 / m ELSE 0 END) FROM t",
        "SELECT SUM(x), AVG(x), VAR_POP(x) FROM t WHERE x < 100",
        "SELECT MEDIAN(m), MIN(n), MAX(m) FROM t",
        "SELECT COUNT(DISTINCT person_id) FROM t WHERE m > 1",
        "SELECT COUNT(*), CORR(m, n) FROM t WHERE n BETWEEN -10 AND 10",
        "SELECT COUNT(*), SUM(m) FROM t WHERE n > 1000 AND n < 2000",
        "SELECT sex, COUNT(*) FROM t WHERE FALSE GROUP BY sex",
        "SELECT COUNT(*) FROM t",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.person_id = b.person_id",
        "SELECT b.label, COUNT(*), SUM(a.m) FROM A.t a JOIN A.u b ON a.person_id = b.person_id AND a.n > b.code GROUP BY b.label",
        "SELECT COUNT(*), COUNT(b.code) FROM A.t a LEFT JOIN A.u b ON a.person_id = b.person_id",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.sex = b.label",
        "SELECT COUNT(*) FROM A.t WHERE person_id IN (SELECT person_id FROM A.u WHERE code > 2)",
        "SELECT COUNT(*) FROM A.t a WHERE NOT EXISTS (SELECT 1 FROM A.u b WHERE b.person_id = a.person_id)",
        "SELECT COUNT(*) FROM A.t WHERE n NOT IN (SELECT code FROM A.u)",
        "SELECT COUNT(*) FROM (SELECT person_id, m FROM A.t UNION ALL SELECT person_id, code FROM A.u) s WHERE m > 2",
        "SELECT COUNT(*) FROM (SELECT DISTINCT person_id, sex FROM A.t) s",
        "SELECT COUNT(*) FROM A.t WHERE m > (SELECT AVG(code) FROM A.u)",
    ] {
        if let Some(done) = both.agree(sql) {
            asked += 1;
            println!("{}\n    {}", sql, done.join("\n    "));
        }
    }
    assert!(asked >= 25, "only {asked} of the questions were asked");
}

#[test]
fn patients_behind_hidden_cells_are_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let other = "person_id,code,label\n1,7,F\n2,,M\n4,3,\n4,3,F\n9,1,z\n,7,F\n";
    let settings = format!("min_patients = 2\n{TYPES}");
    let both = Both::new(&server, "hidden", &[("t", ROWS), ("u", other)], &settings);
    for sql in [
        "SELECT COUNT(*) AS n FROM t WHERE m > 1",
        "SELECT sex, COUNT(*) AS n, SUM(m) AS s FROM t WHERE note LIKE 'a%' GROUP BY sex",
        "SELECT COUNT(DISTINCT person_id) AS n FROM t WHERE day > DATE '2000-01-01'",
        "SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id FROM t WHERE m > 1) a JOIN (SELECT DISTINCT person_id FROM u) b \
         ON a.person_id = b.person_id",
    ] {
        println!("{}\n    {}", sql, both.agree(sql).expect("the planner answers this").join("\n    "));
    }
}

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

fn answers(folder: &Scratch, questions: &[String]) -> Vec<[Value; 3]> {
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
    let bundled = common::shared("data/omop_3hospitals/queries.json");
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

#[test]
fn names_of_any_characters_are_quoted_and_mean_what_they_say() {
    let Some(server) = Server::start() else { return };
    server.create("names");
    let (table, column) = (r#""t""; DROP TABLE keep; --""#, r#""a""b;c""#);
    let make = format!(
        "CREATE TABLE keep (person_id bigint, n bigint); INSERT INTO keep VALUES (1, 5);
         CREATE TABLE {table} (person_id bigint, {column} bigint, \"select\" text);
         INSERT INTO {table} VALUES (1, 2, 'x''; --'), (2, 40, NULL)"
    );
    server.run("names", &make);
    let folder = Scratch::new("names");
    ["A", "B", "C"].into_iter().for_each(|site| server.settings(&folder, site, "names", ""));
    let questions = [
        format!("SELECT COUNT(*), SUM({column}) FROM {table} WHERE \"select\" = 'x''; --' OR {column} > 3"),
        "SELECT SUM(n) FROM keep".to_owned(),
    ];
    let answers = answers(&folder, &questions);
    assert_eq!(answers[0][1], serde_json::json!([[6, 126]]));
    assert_eq!(answers[1][1], serde_json::json!([[15]]));
}

/// A word of a row, which no message may repeat.
const CANARY: &str = "Zanzibaralda";

/// Makes database `name`, and opens it as site A of a network whose other site has these files.
fn opened(server: &Server, name: &str, make: &str, settings: &str) -> Result<BoundData, party_node::fault::NodeError> {
    let folder = Scratch::new("bad");
    folder.write("B/t.csv", "person_id,n,sex\n1,5,F\n");
    server.create(name);
    server.run(name, make);
    server.settings(&folder, "A", name, "");
    let settings = Settings::from_toml(settings).unwrap();
    let other = SiteData::open(&folder.at("B")).unwrap().schema(&settings.patient_key);
    let catalog = merge::merge(&["A", "B"].map(|site| (SiteName(site.into()), other.clone())), &settings).unwrap();
    SiteData::open(&folder.at("A"))?.bind(&catalog, &SiteName("A".into()))
}

#[test]
fn rows_that_are_not_as_declared_are_refused_by_a_code_and_without_a_value() {
    let Some(server) = Server::start() else { return };
    let table = |columns: &str, rows: &str| format!("CREATE TABLE t ({columns}); INSERT INTO t VALUES {rows}");
    let cases = [
        ("missing table", "CREATE TABLE other (person_id bigint)".into(), "", "TABLE_MISSING"),
        ("missing column", table("person_id bigint, n bigint", "(1, 5)"), "", "COLUMN_MISSING"),
        ("no table", String::new(), "", "NO_TABLES"),
        (
            "two tables",
            "CREATE TABLE t (person_id bigint); CREATE TABLE \"T\" (person_id bigint)".into(),
            "",
            "DUPLICATE_TABLE",
        ),
        (
            "a word for nothing",
            table("person_id bigint, n text, sex text", &format!("(1, 'NA', '{CANARY}')")),
            "",
            "MISSING_VALUE_WORD",
        ),
        (
            "not a number",
            table("person_id bigint, n text, sex text", &format!("(1, '{CANARY}', 'F')")),
            "",
            "NOT_AN_INTEGER",
        ),
        (
            "too large",
            table("person_id bigint, n numeric, sex text", "(1, 9223372036854775808, 'F')"),
            "",
            "INTEGER_OVERFLOW",
        ),
        (
            "out of range",
            table("person_id bigint, n int, sex text", "(1, 773177, 'F'), (2, NULL, 'M')"),
            "[tables.t.columns.n]\nrange = [0, 10]\n",
            "VALUE_OUT_OF_RANGE",
        ),
        (
            "outside a domain",
            table("person_id bigint, n int, sex text", &format!("(1, 7, '{CANARY}'), (2, NULL, NULL)")),
            "[tables.t.columns.sex]\ndomain = [\"F\", \"M\"]\n",
            "VALUE_OUTSIDE_DOMAIN",
        ),
        (
            "a text outside a range",
            table("person_id bigint, n varchar(9), sex text", "(1, '773177', 'F')"),
            "[tables.t.columns.n]\nrange = [0, 10]\n",
            "VALUE_OUT_OF_RANGE",
        ),
        (
            "not finite",
            table("person_id bigint, n float8, sex text", "(1, 'NaN', 'F')"),
            "[tables.t.columns.n]\ntype = \"real\"\n",
            "NOT_FINITE",
        ),
        (
            "no day",
            table("person_id bigint, n date, sex text", "(1, 'infinity', 'F')"),
            "[tables.t.columns.n]\ntype = \"date\"\n",
            "INVALID_DATE",
        ),
        (
            "many rows",
            table("person_id bigint, n int, sex text", "(1, 1, 'F'), (2, 2, 'M')"),
            "[tables.t]\nmax_rows = 1\n",
            "TOO_MANY_ROWS",
        ),
        (
            "many patients",
            table("person_id bigint, n int, sex text", "(1, 1, 'F'), (2, 2, 'M')"),
            "max_patients = 1\n",
            "TOO_MANY_PATIENTS",
        ),
    ];
    for (i, (name, make, settings, code)) in cases.iter().enumerate() {
        let refused = opened(&server, &format!("bad{i}"), make, settings).map(drop).expect_err(name);
        println!("{name}: {refused}");
        assert_eq!(refused.code, *code, "{name}: {refused}");
        for value in [CANARY, "773177", "9223372036854775808"] {
            assert!(!refused.to_string().contains(value), "{name}: {refused}");
        }
    }
    let good = table("person_id int, n text, sex varchar(3)", "(1, '5', 'F'), (2, '', NULL)");
    opened(&server, "good", &good, "").expect("whole numbers that stand in a text are read, and nothing is NULL");
}

#[test]
fn a_connection_that_cannot_be_had_is_refused_by_a_code_and_without_the_password() {
    let Some(server) = Server::start() else { return };
    server.create("closed");
    server.run("closed", "CREATE TABLE t (person_id bigint); REVOKE ALL ON t FROM reader");
    let folder = Scratch::new("refused");
    let good = format!(
        "host = \"{}\"\ndbname = \"closed\"\nuser = \"{READER}\"\npassword_file = \"password\"\ntls = \"off\"\n",
        server.host().display()
    );
    let open = |text: &str, password: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.write("A/password", password);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        folder.write("A/postgres.toml", text);
        let refused = SiteData::open(&folder.at("A")).expect_err(text);
        println!("{refused}");
        assert!(!refused.to_string().contains(password), "{refused}");
        refused.code.to_string()
    };
    assert_eq!(open(&good, PASSWORD, 0o600), "NO_TABLES", "a table that the role may not read is none");
    assert_eq!(open(&good, "wrong word", 0o600), "DATABASE_REFUSED");
    assert_eq!(open(&good, PASSWORD, 0o644), "KEY_FILE_OPEN");
    assert_eq!(open(&good.replace("closed", "nowhere"), PASSWORD, 0o600), "DATABASE_REFUSED");
    assert_eq!(open(&good.replace("dbname", "port = 9\ndbname"), PASSWORD, 0o600), "DATABASE_UNREACHABLE");
    assert_eq!(open(&good.replace("dbname", "dbnam"), PASSWORD, 0o600), "BAD_CONFIG");
    let (ca, tls) = (folder.write("A/ca.pem", "no certificate"), "tls = \"required\"\nca_file = \"ca.pem\"");
    assert_eq!(open(&good.replace("tls = \"off\"", tls), PASSWORD, 0o600), "BAD_CONFIG");
    drop(ca);
    folder.write("A/t.csv", "person_id\n1\n");
    assert_eq!(open(&good, PASSWORD, 0o600), "TWO_SOURCES");
    private(&folder.at("A/password"));
}

#[test]
fn a_database_is_known_by_a_certificate_that_the_hospital_vouches_for() {
    let keys = Scratch::new("keys");
    let Some((certificate, key)) = common::postgres::certificate(&keys, "server") else { return };
    let Some((other, _)) = common::postgres::certificate(&keys, "other") else { return };
    let Some(server) = Server::start_with_tls(&certificate, &key) else { return };
    server.create("tls");
    server.run("tls", "CREATE TABLE t (person_id bigint)");
    let folder = Scratch::new("tls");
    let open = |host: &str, tls: &str| {
        let text = format!("host = \"{host}\"\nport = {}\ndbname = \"tls\"\nuser = \"{READER}\"\n{tls}", server.port);
        private(&folder.write("A/password", PASSWORD));
        folder.write("A/postgres.toml", text + "\npassword_file = \"password\"\n");
        SiteData::open(&folder.at("A")).map(drop).map_err(|refused| refused.code.to_string())
    };
    let trusted = |file: &Path| format!("ca_file = \"{}\"", file.display());
    assert_eq!(open("localhost", &trusted(&certificate)), Ok(()));
    assert_eq!(open("localhost", &trusted(&other)), Err("DATABASE_TLS".into()), "another certificate");
    assert_eq!(open("127.0.0.1", &trusted(&certificate)), Err("DATABASE_TLS".into()), "another name");
    assert_eq!(
        open("localhost", "tls = \"off\""),
        Err("BAD_CONFIG".into()),
        "whoever listens there would get the password"
    );
}

#[test]
fn the_service_lets_a_node_reach_a_database_by_its_socket() {
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/consilium.service")).unwrap();
    let families = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
    assert!(
        ["AF_INET", "AF_INET6", "AF_UNIX"].iter().all(|family| families.split(' ').any(|f| f == *family)),
        "{families}"
    );
}

#[test]
fn a_table_of_which_a_policy_hides_rows_is_refused_and_not_read_in_part() {
    let Some(server) = Server::start() else { return };
    let hide =
        format!("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t FOR SELECT TO {READER} USING (m > 1)");
    let both = both(&server, "policy");
    assert!(both.agree("SELECT COUNT(*) FROM t").is_some());
    server.run("policy", &hide);
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan("SELECT COUNT(*) FROM t", &both.catalog, &options).unwrap();
    for data in &both.database {
        let refused = data.at_one_moment(&compiled.local, &SiteName(SITE.into()), false).map(drop);
        assert_eq!(refused.expect_err("rows are hidden").code, "DATABASE_DENIED");
    }
    let make = format!(
        "CREATE TABLE t (person_id bigint, n int, m int, sex text); INSERT INTO t VALUES (1, 1, 2, 'F'), (2, 2, 0, 'M'); {hide}"
    );
    assert_eq!(opened(&server, "policy2", &make, "").map(drop).expect_err("rows are hidden").code, "DATABASE_DENIED");
}

fn snapshot(both: &Both, sql: &str) -> [u8; 32] {
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan(sql, &both.catalog, &options).unwrap();
    both.database[0].at_one_moment(&compiled.local, &SiteName(SITE.into()), true).unwrap().snapshot.unwrap()
}

#[test]
fn the_digest_of_the_data_is_the_same_until_a_row_that_is_read_changes() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "digest");
    let sql = "SELECT COUNT(*), SUM(m) FROM t";
    let first = snapshot(&both, sql);
    server.run("digest", "UPDATE t SET m = m + 1 WHERE person_id = 5");
    assert_ne!(snapshot(&both, sql), first, "a value changed");
    server.run("digest", "UPDATE t SET m = m - 1 WHERE person_id = 5");
    assert_eq!(snapshot(&both, sql), first, "the rows are as they were, in another order");
    server.run("digest", "UPDATE t SET note = 'other'");
    assert_eq!(snapshot(&both, sql), first, "no column that is read changed");
    server.run("digest", "DELETE FROM t WHERE person_id = 8");
    assert_ne!(snapshot(&both, sql), first, "a row is gone");
}

#[test]
fn a_question_sees_one_moment_and_the_next_one_sees_the_next() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "moment");
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan("SELECT COUNT(*) FROM t", &both.catalog, &options).unwrap();
    let (site, network) = (SiteName(SITE.into()), NetworkFacts::of(&compiled.joint));
    let count = |data: &BoundData| {
        partials_blocking(&compiled.local[0], &compiled.joint.sums[0], &site, data, network).unwrap().slots[0][0]
    };
    for data in &both.database {
        let before = data.at_one_moment(&compiled.local, &site, false).unwrap();
        let rows = count(&before.data);
        server.run("moment", "INSERT INTO t SELECT * FROM t WHERE person_id = 1 LIMIT 1");
        assert_eq!(count(&before.data), rows);
        assert_eq!(count(&data.at_one_moment(&compiled.local, &site, false).unwrap().data), rows + 1);
    }
}

#[test]
fn patients_who_opted_out_are_left_out_by_the_database_and_by_the_node() {
    let Some(server) = Server::start() else { return };
    let mut both = both(&server, "optout");
    let list = Scratch::new("list");
    let list = list.write("list.csv", "person_id\n007\n 4\n99\n");
    let out = |data: BoundData| {
        let entries = party_node::source::OptOut::read(&list, "person_id").unwrap();
        let (data, left_out) = data.without(entries, &both.catalog).unwrap();
        assert_eq!((left_out.patients, left_out.rows, left_out.unknown), (2, 5, 1));
        data
    };
    let (file, database) = (out(both.file.clone()), both.database.clone().map(out));
    (both.file, both.database) = (file, database);
    for sql in [
        "SELECT COUNT(*), SUM(m) FROM t",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.person_id = b.person_id",
        "SELECT MEDIAN(m) FROM t",
        "SELECT sex, COUNT(*) FROM t GROUP BY sex",
    ] {
        both.agree(sql).expect("the planner answers this");
    }
}

#[test]
fn long_texts_reach_the_node_in_portions_that_memory_has_room_for() {
    let Some(server) = Server::start() else { return };
    // 240 MB of notes, which the database keeps compressed; only the node knows this condition.
    let rows = 240;
    let make = format!(
        "CREATE TABLE t (person_id bigint, note text);
         INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN 'B' ELSE 'c' END || repeat('x', 1000000) FROM generate_series(1, {rows}) AS i"
    );
    let sql = "SELECT COUNT(*) AS n FROM t WHERE note ILIKE 'b%'";
    let (counts, [_, peak]) = peaks_of(&server, "notes", &make, "", sql);
    assert_eq!(counts, [3 * rows / 4]);
    assert!(peak < 350 * 1024, "a node held {peak} KiB");
}

/// Rows of the large table: 10^6, or what the variable says.
fn large() -> u64 {
    std::env::var("CONSILIUM_LARGE_ROWS").ok().map_or(1_000_000, |text| text.parse().unwrap())
}

/// A grouped count over so many rows at three sites: the counts, and a node's largest VmHWM and RssAnon in KiB.
fn counted(server: &Server, name: &str, rows: u64) -> (Vec<u64>, [u64; 2]) {
    let make = format!(
        "CREATE TABLE t (person_id bigint, k int, cost numeric(8,2));
         INSERT INTO t SELECT i, i % 5, (i % 1000) / 100.0 FROM generate_series(1, {rows}) AS i"
    );
    println!("{rows} rows:");
    let sql = "SELECT COUNT(*) AS n, k, SUM(cost) AS s FROM t WHERE k < 3 GROUP BY k ORDER BY k";
    peaks_of(server, name, &make, "[tables.t.columns.k]\ndomain = [0, 1, 2, 3, 4]\n", sql)
}

/// Asks three sites over one database: the answer's first column, and a node's largest VmHWM and RssAnon in KiB.
fn peaks_of(server: &Server, name: &str, make: &str, settings: &str, sql: &str) -> (Vec<u64>, [u64; 2]) {
    server.create(name);
    server.run(name, make);
    let folder = Scratch::new("large");
    folder.write("network.toml", settings);
    ["A", "B", "C"].into_iter().for_each(|site| server.settings(&folder, site, name, ""));
    let data = folder.path().to_string_lossy().into_owned();
    let command = common::consilium(&["sandbox", "--data", &data, "--format", "json", "-e", sql]);
    let (run, peaks) = common::postgres::with_peaks(command, "child-node");
    println!("VmHWM {} KiB, RssAnon {} KiB, the run took {:?}", peaks[0], peaks[1], run.took);
    let answer = run.answers().remove(0);
    (answer["rows"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()).collect(), peaks)
}

#[test]
fn a_grouped_count_of_many_rows_reaches_the_node_as_groups() {
    let Some(server) = Server::start() else { return };
    let rows = large();
    let (_, small) = counted(&server, "small", 10);
    let (counts, large) = counted(&server, "large", rows);
    // i mod 5 over 1..=rows, at three sites.
    let of = |k: u64| 3 * (rows / 5 + u64::from(k != 0 && k <= rows % 5));
    assert_eq!(counts, (0..3).map(of).collect::<Vec<_>>());
    assert!(small[0] > 0, "no node was seen");
    // Of the program's own pages a debug build maps nearly 100 MB; what the rows cost is what it has beyond those.
    assert!(large[1] <= 100 * 1024, "a node took {} KiB", large[1]);
    assert!(large[0] <= small[0] + 10 * 1024, "a node's memory grew with the table: {small:?} to {large:?} KiB");
}

#[test]
fn settings_of_a_database_are_read_from_a_nodes_configuration() {
    let folder = Scratch::new("config");
    let text = "name = \"A\"\nkey = \"k\"\nnetwork = \"n\"\nlisten = \"127.0.0.1:7000\"\n\
                [postgres]\nhost = \"/run/postgresql\"\ndbname = \"omop\"\nuser = \"reader\"\ntls = \"off\"\npassword_file = \"pw\"\n";
    let file = folder.write("node.toml", text);
    let config = party_node::config::Config::load(&file).unwrap();
    let database: Database = config.postgres.unwrap();
    assert_eq!((database.port, &*database.schema), (5432, "public"));
    assert_eq!(database.password_file, Some(folder.at("pw")));
    folder.write("node.toml", text.replace("dbname", "dbnmae"));
    let refused = party_node::config::Config::load(&file).unwrap_err();
    assert_eq!(refused.code, "BAD_CONFIG");
    assert!(refused.message.contains("did you mean 'dbname'?"), "{refused}");
    folder.write("node.toml", text.replace("listen", "data = \"d\"\nlisten"));
    assert_eq!(party_node::config::Config::load(&file).unwrap_err().code, "BAD_CONFIG");
}
