//! Random questions over random tables, asked through real processes, equal what SQLite says about all rows in one table.

mod common;
#[path = "common/gen.rs"]
mod generator;

use common::{Scratch, date, sandbox, seed};
use generator::{Compare, Maker, Patient, Question, Random, Visit, patients, visits};
use rusqlite::types::Value as Lite;
use rusqlite::{Connection, params};
use serde_json::Value;
use std::fmt::Write;

/// Questions asked of one network, so one start of its processes.
const QUESTIONS: usize = 35;
/// Networks of each number of sites.
const NETWORKS: u64 = 2;
/// Relative error of a real number.
const RELATIVE: f64 = 1e-9;
/// Sums of reals are rounded once at each site, by at most 2^-41: at five sites less than this.
const ABSOLUTE: f64 = 1e-11;

/// The rows of every site, as files and in SQLite.
struct Network {
    folder: Scratch,
    names: Vec<String>,
    pooled: Connection,
}

impl Network {
    fn new(random: &mut Random, sites: usize) -> Self {
        let folder = Scratch::new("random");
        let names: Vec<String> = (0..sites).map(|i| format!("site_{}", (b'a' + i as u8) as char)).collect();
        let pooled = Connection::open_in_memory().unwrap();
        pooled.execute_batch(&format!("PRAGMA case_sensitive_like = ON; {}", tables("main"))).unwrap();
        let empty = random.below(sites as u64 * 2) as usize;
        for (i, name) in names.iter().enumerate() {
            let rows = if i == empty { 0 } else { 20 + random.below(120) };
            let (visits, patients) = (visits(random, rows), patients(random));
            folder.write(&format!("{name}/visit.csv"), visit_csv(&visits));
            folder.write(&format!("{name}/patient.csv"), patient_csv(&patients));
            pooled.execute_batch(&format!("ATTACH ':memory:' AS {name}; {}", tables(name))).unwrap();
            for schema in ["main", name] {
                insert(&pooled, schema, &visits, &patients);
            }
        }
        folder.write("network.toml", settings(random));
        Self { folder, names, pooled }
    }

    /// What is wrong with the answers to some questions.
    fn ask(&self, questions: &[Question]) -> Vec<String> {
        let (mut wrong, mut next) = (Vec::new(), 0);
        while next < questions.len() {
            let mut arguments = vec!["--format", "json", "--set", "min_sites=2"];
            questions[next..].iter().for_each(|question| arguments.extend(["-e", &question.ours]));
            let ended = sandbox(self.folder.path(), &arguments);
            for (question, line) in questions[next..].iter().zip(ended.stdout.lines()) {
                wrong.extend(self.compare(question, &serde_json::from_str(line).unwrap()));
            }
            next += ended.stdout.lines().count();
            if let Some(refused) = questions.get(next) {
                wrong.push(format!("{}\n  {}\n", refused.ours, ended.stderr.trim_end()));
                next += 1;
            }
        }
        wrong
    }

    fn compare(&self, question: &Question, answer: &Value) -> Option<String> {
        let mut ours: Vec<Vec<Value>> = serde_json::from_value(answer["rows"].clone()).unwrap();
        let mut theirs = self.pooled_answer(question);
        if !question.ordered {
            ours.sort_by_cached_key(|row| sort_key(&row.iter().map(plain).collect::<Vec<_>>()));
            theirs.sort_by_cached_key(|row| sort_key(&row.iter().map(plain_lite).collect::<Vec<_>>()));
        }
        let same_row = |a: &Vec<Value>, b: &Vec<Lite>| {
            a.len() == b.len() && a.iter().zip(b).zip(&question.columns).all(|((a, b), how)| same(a, b, *how))
        };
        let same = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| same_row(a, b));
        let shown = |rows: &[Vec<Value>]| rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>().join("\n    ");
        (!same).then(|| {
            format!("{}\n  {}\n  ours:\n    {}\n  pooled: {theirs:?}\n", question.ours, question.lite, shown(&ours))
        })
    }

    fn pooled_answer(&self, question: &Question) -> Vec<Vec<Lite>> {
        let mut statement = self.pooled.prepare(&question.lite).unwrap_or_else(|e| panic!("{}: {e}", question.lite));
        let width = statement.column_count();
        let rows = statement.query_map([], |row| (0..width).map(|i| row.get(i)).collect());
        rows.unwrap().collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{}: {e}", question.lite))
    }
}

/// Equal: integers and texts exactly, reals nearly.
fn same(ours: &Value, theirs: &Lite, how: Compare) -> bool {
    match (ours, theirs) {
        (Value::Null, Lite::Null) => true,
        (Value::Bool(a), Lite::Integer(b)) => i64::from(*a) == *b,
        (Value::String(a), Lite::Text(b)) => a == b,
        (Value::Number(a), Lite::Integer(b)) if how.unit == 1.0 && !how.root => {
            a.as_i64().map_or(a.as_f64() == Some(*b as f64), |a| a == *b)
        }
        (Value::Number(a), Lite::Integer(b)) => near(a.as_f64().unwrap(), *b as f64, how),
        (Value::Number(a), Lite::Real(b)) => near(a.as_f64().unwrap(), *b, how),
        _ => false,
    }
}

fn near(ours: f64, theirs: f64, how: Compare) -> bool {
    let scaled = theirs / how.unit;
    let theirs = if how.root { scaled.max(0.0).sqrt() } else { scaled };
    (ours - theirs).abs() <= RELATIVE * ours.abs().max(theirs.abs()) + ABSOLUTE
}

/// Rows without an order are sorted by their keys and counts, which come first and are exact; rows of one answer differ there.
fn sort_key(cells: &[String]) -> String {
    cells.join("|")
}

fn plain(cell: &Value) -> String {
    match cell {
        Value::Bool(b) => i64::from(*b).to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn plain_lite(cell: &Lite) -> String {
    match cell {
        Lite::Null => "null".to_owned(),
        Lite::Integer(i) => i.to_string(),
        Lite::Real(x) => x.to_string(),
        Lite::Text(text) => text.clone(),
        Lite::Blob(_) => unreachable!("no table has blobs"),
    }
}

fn tables(schema: &str) -> String {
    format!(
        "CREATE TABLE {schema}.visit (person_id INTEGER, n INTEGER, k INTEGER, dose REAL, dose8 INTEGER, cost REAL, cents INTEGER, \
         sex TEXT, code TEXT, day TEXT, days INTEGER, ok INTEGER); \
         CREATE TABLE {schema}.patient (person_id INTEGER, sex TEXT, year_of_birth INTEGER);"
    )
}

fn insert(pooled: &Connection, schema: &str, visits: &[Visit], patients: &[Patient]) {
    let sql = format!("INSERT INTO {schema}.visit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let mut statement = pooled.prepare(&sql).unwrap();
    for v in visits {
        let (dose, cost) = (v.dose8.map(|d| d as f64 / 8.0), v.cents.map(|c| c as f64 / 100.0));
        let day = v.day.map(date);
        let row = params![v.person, v.n, v.k, dose, v.dose8, cost, v.cents, v.sex, v.code, day, v.day, v.ok];
        statement.execute(row).unwrap();
    }
    let mut statement = pooled.prepare(&format!("INSERT INTO {schema}.patient VALUES (?, ?, ?)")).unwrap();
    for Patient(id, sex, year) in patients {
        statement.execute(params![id, sex, year]).unwrap();
    }
}

fn visit_csv(visits: &[Visit]) -> String {
    let mut text = String::from("person_id,n,k,dose,cost,sex,code,day,ok\n");
    for v in visits {
        let number = |x: Option<i64>| x.map_or(String::new(), |x| x.to_string());
        let dose = v.dose8.map_or(String::new(), |d| format!("{:.3}", d as f64 / 8.0));
        let sign = if v.cents.is_some_and(|c| c < 0) { "-" } else { "" };
        let cost = v.cents.map_or(String::new(), |c| format!("{sign}{}.{:02}", c.abs() / 100, c.abs() % 100));
        let code = v.code.map_or(String::new(), |c| format!("\"{}\"", c.replace('"', "\"\"")));
        let ok = v.ok.map_or("", |ok| if ok { "true" } else { "FALSE" });
        let day = v.day.map_or(String::new(), date);
        let (n, k, sex) = (number(v.n), number(v.k), v.sex.unwrap_or(""));
        let _ = writeln!(text, "{},{n},{k},{dose},{cost},{sex},{code},{day},{ok}", v.person);
    }
    text
}

fn patient_csv(patients: &[Patient]) -> String {
    let row = |Patient(id, sex, year): &Patient| format!("{id},{},{year}\n", sex.unwrap_or(""));
    format!("person_id,sex,year_of_birth\n{}", patients.iter().map(row).collect::<String>())
}

/// Declared domains or agreed keys, ranges or none.
fn settings(random: &mut Random) -> String {
    let mut text = String::from("[tables.visit.columns.cost]\ntype = \"decimal(10,2)\"\n");
    if random.chance(50) {
        text +=
            "[tables.visit.columns.k]\ndomain = [3, 0, 1, 2]\n[tables.visit.columns.sex]\ndomain = [\"M\", \"F\"]\n";
    }
    if random.chance(50) {
        text += "[tables.visit.columns.n]\nrange = [-100, 100]\n";
    }
    text
}

fn answers_equal_the_pooled_ones(sites: usize) {
    let seed = seed();
    println!("CONSILIUM_TEST_SEED={seed}");
    let mut wrong = Vec::new();
    for number in 0..NETWORKS {
        let mut random = Random::new(seed ^ (sites as u64) << 32 ^ number << 48);
        let network = Network::new(&mut random, sites);
        let mut maker = Maker::new(&mut random, &network.names);
        let questions: Vec<Question> = (0..QUESTIONS).map(|_| maker.question()).collect();
        wrong.extend(network.ask(&questions));
    }
    let all = QUESTIONS * NETWORKS as usize;
    assert!(wrong.is_empty(), "seed {seed}: {} of {all} questions:\n{}", wrong.len(), wrong.join("\n"));
    println!("{all} questions over {sites} sites, all as SQLite says");
}

#[test]
fn random_questions_over_two_sites_are_answered_as_by_a_plain_database() {
    answers_equal_the_pooled_ones(2);
}

#[test]
fn random_questions_over_three_sites_are_answered_as_by_a_plain_database() {
    answers_equal_the_pooled_ones(3);
}

#[test]
fn random_questions_over_five_sites_are_answered_as_by_a_plain_database() {
    answers_equal_the_pooled_ones(5);
}
