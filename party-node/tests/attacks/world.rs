//! Three small hospitals with overlapping patients, what they hold in plain sight, and how an attack is tried.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Run, Scratch, sandbox};

/// The smallest cell of every network here.
pub const LEAST: usize = 11;

/// One patient; every site that knows it has the same row.
#[derive(Debug, Clone)]
pub struct Patient {
    pub id: i64,
    /// 1 to 4.
    pub k: i64,
    /// 0 or 1.
    pub f: i64,
    /// 0 to 99.
    pub x: i64,
    /// No two patients have the same: what an attacker knows somebody by.
    pub z: i64,
    pub sites: Vec<&'static str>,
}

/// Patients in a folder of three sites. Table `t` is everywhere, `u` has the same rows at A and B only.
pub struct World {
    pub folder: Scratch,
    pub patients: Vec<Patient>,
}

/// Numbers from a printed seed.
pub struct Random(pub u64);

impl Random {
    /// Below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl World {
    /// 150 patients; four of them are at C alone, so that C cannot be left out.
    pub fn new(label: &str) -> Self {
        let seed = 20_261_122;
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut patients = Vec::new();
        for number in 0..150i64 {
            let sites: &[&'static str] = match random.below(10) {
                _ if number < 4 => &["C"],
                _ if number < 8 => &["A", "B"],
                0..=3 => &["A"],
                4..=6 => &["B"],
                7 => &["A", "B"],
                8 => &["B", "C"],
                _ => &["A", "B", "C"],
            };
            let [k, f, x] = [1 + random.below(4), random.below(2), random.below(100)].map(|n| n as i64);
            patients.push(Patient { id: 1000 + number, k, f, x, z: 5000 + number, sites: sites.to_vec() });
        }
        let world = Self { folder: Scratch::new(label), patients };
        world.write();
        world.folder.write("network.toml", NETWORK);
        world
    }

    /// Writes every site's rows as the patients are now.
    pub fn write(&self) {
        for site in ["A", "B", "C"] {
            let own = self.patients.iter().filter(|patient| patient.sites.contains(&site));
            let rows: String = own.map(|p| format!("{},{},{},{},{}\n", p.id, p.k, p.f, p.x, p.z)).collect();
            let text = format!("person_id,k,f,x,z\n{rows}");
            self.folder.write(&format!("{site}/t.csv"), &text);
            if site != "C" {
                self.folder.write(&format!("{site}/u.csv"), &text);
            }
        }
    }

    /// Somebody of the cohort `x > 30` who is at A and B.
    pub fn target(&self) -> &Patient {
        let known = |p: &&Patient| p.x > 30 && p.f == 1 && p.sites == ["A", "B"];
        self.patients.iter().find(known).expect("somebody is at A and B")
    }

    /// Somebody outside of it.
    pub fn outsider(&self) -> &Patient {
        self.patients.iter().find(|p| p.x <= 30 && p.sites.len() == 1).expect("not everybody is above 30")
    }

    /// Rows of all sites together, of patients that fit.
    pub fn rows(&self, fits: impl Fn(&Patient) -> bool) -> i64 {
        self.patients.iter().filter(|p| fits(p)).map(|p| p.sites.len() as i64).sum()
    }

    /// Asks in one sandbox, one after the other, until the first refusal.
    pub fn ask(&self, more: &[&str], questions: &[&str]) -> Run {
        let asked = questions.iter().flat_map(|sql| ["-e", sql]);
        let arguments: Vec<&str> = ["--format", "json"].into_iter().chain(more.iter().copied()).chain(asked).collect();
        sandbox(self.folder.path(), &arguments)
    }

    /// The same with ledgers that stay in `state`.
    pub fn ask_again(&self, state: &Path, questions: &[&str]) -> Run {
        self.ask(&["--state", &state.to_string_lossy()], questions)
    }
}

/// The rows of each answer that came out.
pub fn answers(run: &Run) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    run.stdout.lines().map(parse).map(|answer| answer["rows"].clone()).collect()
}

/// One attack: the last question is the one that would tell.
pub struct Attack {
    pub name: &'static str,
    pub questions: Vec<String>,
    /// The code of the refusal.
    pub code: &'static str,
}

impl Attack {
    pub fn new(name: &'static str, first: impl Into<String>, second: impl Into<String>) -> Self {
        Self { name, questions: vec![first.into(), second.into()], code: "RELEASE_TOO_CLOSE" }
    }

    /// The last question is refused after the first, and answered when asked alone.
    pub fn fails_in(&self, world: &World) {
        let questions: Vec<&str> = self.questions.iter().map(String::as_str).collect();
        let (last, earlier) = questions.split_last().unwrap();
        let run = world.ask(&[], &questions);
        let told = answers(&run);
        println!("{}", self.name);
        for (at, sql) in questions.iter().enumerate() {
            let out = told.get(at).map_or_else(|| format!("refused: {}", run.code()), Value::to_string);
            println!("  {sql}\n    {}", brief(&out));
        }
        assert_eq!((told.len(), run.code().as_str()), (earlier.len(), self.code), "{}: {}", self.name, run.all());
        let alone = world.ask(&[], &[last]);
        let shown = &alone.answers()[0];
        println!("  alone: {}", brief(&shown["rows"].to_string()));
        assert_eq!(shown["suppressed"], serde_json::json!([]), "{}: nothing is hidden when asked alone", self.name);
    }
}

fn brief(text: &str) -> &str {
    text.get(..200).unwrap_or(text)
}

/// Everything of a folder, once more.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const NETWORK: &str = "min_patients = 11\n[tables.t.columns.k]\ndomain = [1, 2, 3, 4]\n";
