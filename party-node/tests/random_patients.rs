//! Random questions that count patients once, asked through real processes over random patients who are at several sites,
//! equal what SQLite says about all rows in one table.

mod common;
#[path = "common/gen.rs"]
#[allow(dead_code, reason = "only its random numbers are used here")]
mod generator;
#[path = "common/patients.rs"]
mod patients;

use common::{Scratch, date, sandbox, seed};
use generator::Random;
use patients::{Maker, Overlap, Question, Site, sites};
use rusqlite::types::Value as Lite;
use rusqlite::{Connection, params};
use serde_json::Value;

/// Questions asked of one network, so one start of its processes.
const QUESTIONS: usize = 17;
/// Asked of one sandbox, so that a slow machine has its time for each.
const AT_ONCE: usize = 6;
/// Relative error of a real number.
const RELATIVE: f64 = 1e-9;

/// The rows of every site, as files and in SQLite.
struct Network {
    folder: Scratch,
    names: Vec<String>,
    pooled: Connection,
}

impl Network {
    fn new(random: &mut Random, count: usize, overlap: Overlap) -> Self {
        let folder = Scratch::new("patients");
        let names: Vec<String> = (0..count).map(|i| format!("site_{}", (b'a' + i as u8) as char)).collect();
        let pooled = Connection::open_in_memory().unwrap();
        pooled.execute_batch(&tables("main")).unwrap();
        for (name, site) in names.iter().zip(sites(random, count, overlap)) {
            folder.write(&format!("{name}/event.csv"), event_csv(&site));
            folder.write(&format!("{name}/patient.csv"), patient_csv(&site));
            pooled.execute_batch(&format!("ATTACH ':memory:' AS {name}; {}", tables(name))).unwrap();
            for schema in ["main", name] {
                insert(&pooled, schema, &site);
            }
        }
        folder.write("network.toml", settings(random));
        Self { folder, names, pooled }
    }

    /// What is wrong with the answers to some questions.
    fn ask(&self, questions: &[Question]) -> Vec<String> {
        let ours: Vec<String> =
            questions.iter().map(|question| spelled(&question.text, |day| format!("DATE '{}'", date(day)))).collect();
        let (mut wrong, mut next) = (Vec::new(), 0);
        while next < questions.len() {
            let mut arguments = vec!["--format", "json", "--set", "min_sites=2"];
            let asked = &ours[next..ours.len().min(next + AT_ONCE)];
            asked.iter().for_each(|text| arguments.extend(["-e", text]));
            let ended = sandbox(self.folder.path(), &arguments);
            for (question, line) in questions[next..].iter().zip(ended.stdout.lines()) {
                wrong.extend(self.compare(question, &serde_json::from_str(line).unwrap()));
            }
            let answered = ended.stdout.lines().count();
            next += answered;
            if let Some(refused) = asked.get(answered) {
                wrong.push(format!("{refused}\n  {}\n", ended.stderr.trim_end()));
                next += 1;
            }
        }
        wrong
    }

    fn compare(&self, question: &Question, answer: &Value) -> Option<String> {
        let mut ours: Vec<Vec<Value>> = serde_json::from_value(answer["rows"].clone()).unwrap();
        let text = spelled(&question.text, |day| day.to_string());
        let mut theirs = self.pooled_answer(&text);
        if !question.ordered {
            ours.sort_by_cached_key(|row| format!("{row:?}"));
            theirs.sort_by_cached_key(|row| format!("{:?}", row.iter().map(as_json).collect::<Vec<_>>()));
        }
        let same_row =
            |(a, b): (&Vec<Value>, &Vec<Lite>)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
        let same = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same_row);
        (!same).then(|| format!("{text}\n  ours: {ours:?}\n  pooled: {theirs:?}\n"))
    }

    fn pooled_answer(&self, text: &str) -> Vec<Vec<Lite>> {
        let mut statement = self.pooled.prepare(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let width = statement.column_count();
        let rows = statement.query_map([], |row| (0..width).map(|i| row.get(i)).collect());
        rows.unwrap().collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{text}: {e}"))
    }
}

/// The question with its dates `{17}` written by `day`.
fn spelled(text: &str, day: impl Fn(i64) -> String) -> String {
    let mut parts = text.split(['{', '}']);
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let (Some(number), Some(rest)) = (parts.next(), parts.next()) {
        out += &day(number.parse().expect("a day is a number"));
        out += rest;
    }
    out
}

fn as_json(value: &Lite) -> Value {
    match value {
        Lite::Null => Value::Null,
        Lite::Integer(i) => (*i).into(),
        Lite::Real(x) => (*x).into(),
        Lite::Text(text) => text.clone().into(),
        Lite::Blob(_) => unreachable!("no table has blobs"),
    }
}

/// Equal: integers and texts exactly, reals nearly.
fn same(ours: &Value, theirs: &Lite) -> bool {
    match (ours.as_f64(), theirs) {
        (Some(a), Lite::Real(b)) => (a - b).abs() <= RELATIVE * a.abs().max(b.abs()),
        _ => *ours == as_json(theirs),
    }
}

fn tables(schema: &str) -> String {
    format!(
        "CREATE TABLE {schema}.event (person_id INTEGER, code TEXT, day INTEGER, n INTEGER); \
         CREATE TABLE {schema}.patient (person_id INTEGER, sex TEXT, year_of_birth INTEGER);"
    )
}

fn insert(pooled: &Connection, schema: &str, site: &Site) {
    let mut statement = pooled.prepare(&format!("INSERT INTO {schema}.event VALUES (?, ?, ?, ?)")).unwrap();
    for event in &site.events {
        statement.execute(params![event.person, event.code, event.day, event.n]).unwrap();
    }
    let mut statement = pooled.prepare(&format!("INSERT INTO {schema}.patient VALUES (?, ?, ?)")).unwrap();
    for person in &site.people {
        statement.execute(params![person.id, person.sex, person.year]).unwrap();
    }
}

fn event_csv(site: &Site) -> String {
    let row = |e: &patients::Event| {
        let n = e.n.map_or(String::new(), |n| n.to_string());
        format!("{},{},{},{n}\n", e.person, e.code.unwrap_or(""), date(e.day))
    };
    format!("person_id,code,day,n\n{}", site.events.iter().map(row).collect::<String>())
}

fn patient_csv(site: &Site) -> String {
    let row = |p: &patients::Person| format!("{},{},{}\n", p.id, p.sex, p.year);
    format!("person_id,sex,year_of_birth\n{}", site.people.iter().map(row).collect::<String>())
}

/// Types, also for a site without rows; declared domains or agreed keys.
fn settings(random: &mut Random) -> String {
    let domains = random.chance(70);
    let domain = |values: &[&str]| if domains { format!("domain = {values:?}\n") } else { String::new() };
    format!(
        "max_groups = 16\nmax_events = {most_events}\n[tables.event.columns.code]\ntype = \"text\"\n{}[tables.event.columns.day]\ntype = \"date\"\n\
         [tables.event.columns.n]\ntype = \"int\"\nrange = [-100, 100]\n[tables.event.columns.person_id]\ntype = \"int\"\n\
         [tables.patient.columns.person_id]\ntype = \"int\"\n[tables.patient.columns.sex]\ntype = \"text\"\n{}\
         [tables.patient.columns.year_of_birth]\ntype = \"int\"\n",
        domain(&patients::CODES),
        domain(&["F", "M"]),
        most_events = patients::MOST_EVENTS,
    )
}

fn answers_equal_the_pooled_ones(count: usize, overlaps: &[Overlap]) {
    let seed = seed();
    println!("CONSILIUM_TEST_SEED={seed}");
    let mut wrong = Vec::new();
    for (number, overlap) in overlaps.iter().enumerate() {
        let mut random = Random::new(seed ^ (count as u64) << 32 ^ (number as u64) << 48);
        let network = Network::new(&mut random, count, *overlap);
        let mut maker = Maker { random: &mut random, sites: &network.names };
        let questions: Vec<Question> = (0..QUESTIONS).map(|i| maker.question(i)).collect();
        wrong.extend(network.ask(&questions).into_iter().map(|text| format!("{overlap:?}: {text}")));
    }
    let all = QUESTIONS * overlaps.len();
    assert!(wrong.is_empty(), "seed {seed}: {} of {all} questions:\n{}", wrong.len(), wrong.join("\n"));
    println!("{all} questions over {count} sites, all as SQLite says");
}

#[test]
fn random_questions_count_patients_of_two_sites_once() {
    answers_equal_the_pooled_ones(2, &[Overlap::Some, Overlap::Disjoint, Overlap::Equal]);
}

#[test]
fn random_questions_count_patients_of_three_sites_once() {
    answers_equal_the_pooled_ones(3, &[Overlap::Some, Overlap::OneEmpty, Overlap::Equal]);
}

#[test]
fn random_questions_count_patients_of_five_sites_once() {
    answers_equal_the_pooled_ones(5, &[Overlap::Some]);
}
