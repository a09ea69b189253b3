//! Attacks on a budget of ε: averaging the noise away, racing for the last of it, getting it back.

use std::fs;
use std::thread;

use super::OPEN;
use crate::common::{Background, Run, Scratch, consilium, ports, run, until};
use crate::world::{World, answers};

pub const SITES: [&str; 3] = ["A", "B", "C"];

/// Nothing is hidden, so that only the budget stands against the attacker.
pub const NETWORK: &str =
    "min_patients = 1\n[tables.t]\nrows_per_patient = 1\n[tables.t.columns.k]\ndomain = [1, 2, 3, 4]\n";

pub const EVERYBODY: &str = "SELECT COUNT(*) AS n FROM t";

pub fn policy(epsilon: &str, most: &str) -> String {
    format!("{OPEN}[privacy]\nepsilon = \"{epsilon}\"\nmost_per_release = \"{most}\"\n")
}

/// A world where A keeps a budget.
fn world(label: &str, epsilon: &str, most: &str) -> World {
    let world = World::new(label);
    world.folder.write("network.toml", NETWORK);
    world.folder.write("A/policy.toml", policy(epsilon, most));
    world
}

/// The one number of each answer.
pub fn numbers(run: &Run) -> Vec<i64> {
    answers(run).iter().map(|rows| rows[0][0].as_i64().unwrap()).collect()
}

#[test]
fn noise_cannot_be_averaged_away() {
    let world = world("averaging", "2", "0.5");
    let states = Scratch::new("averaging-state");
    let state = states.at("kept").to_string_lossy().into_owned();
    let asked = ["--epsilon", "0.5", "--state", &state];
    let exact = world.rows(|_| true);
    // The same question of the same data is answered from what the analyst keeps: no fresh noise, and nothing is spent.
    let same = world.ask(&asked, &[EVERYBODY; 6]);
    println!("exactly {exact}; the same question six times: {:?}", numbers(&same));
    assert_eq!(same.answers().len(), 6, "{}", same.stderr);
    assert!(numbers(&same).windows(2).all(|pair| pair[0] == pair[1]), "noise was drawn again");
    // In other words it is another question, and takes ε again, until nothing is left; also over restarts.
    let other: Vec<String> = (0..9).map(|x| format!("SELECT COUNT(*) AS n FROM t WHERE x > -{x} - 1")).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let more = world.ask(&asked, &other);
    let told = [&numbers(&same)[..1], &numbers(&more)[..]].concat();
    let mean = told.iter().sum::<i64>() as f64 / told.len() as f64;
    println!("in other words: {:?}, then {}; all {} average to {mean}", numbers(&more), more.code(), told.len());
    assert_eq!((told.len(), more.code().as_str()), (4, "BUDGET_EXHAUSTED"), "{}", more.all());
    assert!(more.error().contains("A: "), "{}", more.error());
    // Nor does a program that lost its answers get more.
    let again = world.ask(&asked, &[EVERYBODY]);
    println!("again without the kept answer: {}", again.code());
    assert_eq!(again.code(), "BUDGET_EXHAUSTED", "{}", again.all());
}

#[test]
fn a_budget_is_not_given_back_when_a_run_breaks_off() {
    let world = world("broken-off", "1", "0.6");
    let states = Scratch::new("broken-off-state");
    let ask = |state: &str, more: &[&str]| {
        let state = states.at(state).to_string_lossy().into_owned();
        world.ask(&[&["--epsilon", "0.6", "--state", &state], more].concat(), &[EVERYBODY])
    };
    // C dies when the release has begun: A has spent, and nobody has an answer.
    let broken = ask("broken", &["--drill", "C:connected"]);
    let after = ask("broken", &[]);
    println!("broken off: {}; then {}", broken.code(), after.code());
    assert!(broken.stdout.is_empty() && broken.status != Some(0), "{}", broken.all());
    assert_eq!(after.code(), "BUDGET_EXHAUSTED", "{}", after.all());
    // A run that never began took nothing.
    let early = ask("early", &["--drill", "C:ready"]);
    let after = ask("early", &[]);
    println!("broken off before it began: {}; then {:?}", early.code(), answers(&after));
    assert!(early.stdout.is_empty());
    assert_eq!(after.answers().len(), 1);
}

#[test]
fn a_site_with_a_budget_gives_no_figure_without_noise() {
    let world = world("bare", "1", "0.6");
    let bare = world.ask(&[], &[EVERYBODY]);
    let greedy = world.ask(&["--epsilon", "0.600001"], &[EVERYBODY]);
    let unbounded = world.ask(&["--epsilon", "0.6"], &["SELECT SUM(x) AS s FROM t"]);
    let one = world.ask(&["--epsilon", "0.6"], &["SELECT MAX(x) AS s FROM t"]);
    let codes = [bare, greedy, unbounded, one].map(|run| run.code());
    println!("without noise, with too little of it, of an unbounded sum, of one patient's value: {codes:?}");
    assert_eq!(codes, ["NOISE_NEEDED", "EPSILON_TOO_LARGE", "NOISE_NEEDS_BOUND", "NOISE_NOT_AVAILABLE"]);
    let table = "SELECT k, COUNT(*) AS n, COUNT(DISTINCT person_id) AS p FROM t GROUP BY k ORDER BY k";
    let told = world.ask(&["--epsilon", "0.6"], &[table]);
    println!("with noise {}", answers(&told)[0]);
    // Four values, and NULL.
    assert_eq!(told.answers()[0]["rows"].as_array().unwrap().len(), 5, "{}", told.stderr);
    assert!(told.stdout.contains("never without"), "the answer says so");
}

#[test]
fn small_cells_are_judged_by_noised_counts() {
    let world = world("small", "100", "100");
    world.folder.write("network.toml", NETWORK.replace("min_patients = 1\n", "min_patients = 11\n"));
    // With so much ε noise is nearly nothing, and the answer what it is without: half of it is for the rows, of which a patient has three,
    // so that one of six shares of two geometric variables each is not zero with probability 12·e^(−50/3) < 10⁻⁶ (and of the
    // patients, of whom it changes two, e^(−25) each).
    let table = "SELECT k, COUNT(*) AS n FROM t WHERE x < 25 AND k IN (3, 4) GROUP BY k ORDER BY k";
    let told = &world.ask(&["--epsilon", "100"], &[table]).answers()[0];
    world.folder.write("A/policy.toml", OPEN);
    let exact = &world.ask(&[], &[table]).answers()[0];
    println!("with noise {}, without {}", told["rows"], exact["rows"]);
    assert!(exact["suppressed"].as_array().is_some_and(|cells| !cells.is_empty()));
    assert_eq!((&told["rows"], &told["suppressed"]), (&exact["rows"], &exact["suppressed"]));
}

#[test]
fn no_fact_comes_out_without_noise_beside_the_figures() {
    let world = world("exact-bits", "9", "3");
    let [own, z] = [world.patients[5].x, world.patients[5].z];
    let subquery = format!("(SELECT SUM(x) FROM A.t WHERE z = {z}) > {}", own - 1);
    let mut found = Vec::new();
    for sql in [
        // One patient's row decides about everybody's.
        format!("SELECT COUNT(*) FILTER (WHERE {subquery}) AS n FROM A.t"),
        format!("SELECT COUNT(CASE WHEN {subquery} THEN 1 END) AS n FROM A.t"),
        // Or whether the site's own work fails, which is told for no ε.
        format!("SELECT COUNT(*) AS n FROM A.t WHERE 1 / (z - {z}) = 5"),
        format!("SELECT COUNT(*) FILTER (WHERE 9223372036854775807 + (z - {}) > 0) AS n FROM A.t", z - 1),
        format!("SELECT COUNT(*) AS n FROM A.t WHERE CAST(CASE WHEN z = {z} THEN 'x' ELSE '1' END AS INT) = 1"),
    ] {
        let run = world.ask(&["--epsilon", "3"], &[&sql]);
        println!("{sql}\n  {}", run.code());
        found.push(run.code());
    }
    let [not, bound] = ["NOISE_NOT_AVAILABLE", "NOISE_NEEDS_BOUND"];
    assert_eq!(found, [not, not, bound, bound, not]);
}

/// A policy that answers with hardly any noise and counts on three sites.
fn loud() -> String {
    format!("{}honest_sites = 3\n", policy("200", "100"))
}

#[test]
fn two_noised_counts_that_differ_by_two_patients_are_both_answered() {
    let world = world("two-patients", "200", "100");
    world.folder.write("network.toml", NETWORK.replace("min_patients = 1\n", "min_patients = 3\n"));
    let all = "SELECT COUNT(*) AS n FROM t WHERE x > 30".to_owned();
    let [a, b] = [world.target().z, world.patients.iter().rfind(|p| p.x > 30).unwrap().z];
    let fewer = format!("{all} AND z <> {a} AND z <> {b}");
    let noised = world.ask(&["--epsilon", "100"], &[&all, &fewer]);
    println!("with noise {:?}", answers(&noised));
    // The ledger's bit would say that they are near each other, for no ε.
    assert_eq!(noised.answers().len(), 2, "{}", noised.all());
    world.folder.write("A/policy.toml", OPEN);
    assert_eq!(world.ask(&[], &[&all, &fewer]).code(), "RELEASE_TOO_CLOSE");
}

#[test]
fn for_everyone_a_count_is_judged_with_all_sites_noise() {
    let world = world("everyone", "200", "100");
    world.folder.write("network.toml", NETWORK.replace("min_patients = 1\n", "min_patients = 11\n"));
    // Of A's alone, so that without A nobody is left.
    let own = world.patients.iter().filter(|p| p.sites == ["A"]).map(|p| p.z.to_string());
    let own: Vec<String> = own.collect();
    assert!(own.len() > 20);
    let sql = format!("SELECT COUNT(*) AS n FROM t WHERE z IN ({})", own.join(", "));
    for site in SITES {
        world.folder.write(&format!("{site}/policy.toml"), loud());
    }
    let told = world.ask(&["--epsilon", "100", "--to", "everyone"], &[&sql]);
    println!("with noise {:?}", told.stdout);
    // Less one site's part there would be less noise than the promise counts on.
    assert_eq!(told.answers()[0]["suppressed"], serde_json::json!([]), "{}", told.all());
    for site in SITES {
        world.folder.write(&format!("{site}/policy.toml"), OPEN);
    }
    let exact = world.ask(&["--to", "everyone"], &[&sql]);
    assert_ne!(exact.answers()[0]["suppressed"], serde_json::json!([]), "{}", exact.all());
}

#[test]
fn a_larger_budget_of_the_study_does_not_renew_that_of_all() {
    let world = world("in-all", "0.6", "0.6");
    world.folder.write("A/policy.toml", format!("{}epsilon_in_all = \"1\"\n", policy("0.6", "0.6")));
    let states = Scratch::new("in-all-state");
    let state = states.at("kept").to_string_lossy().into_owned();
    let ask = |sql: &str| world.ask(&["--epsilon", "0.6", "--state", &state], &[sql]);
    assert_eq!(ask(EVERYBODY).answers().len(), 1);
    world.folder.write("A/policy.toml", format!("{}epsilon_in_all = \"1\"\n", policy("9", "0.6")));
    let second = ask("SELECT COUNT(*) AS n FROM t WHERE k = 1");
    println!("{}", second.all());
    assert_eq!(second.code(), "BUDGET_EXHAUSTED");
}

/// Three nodes that keep a budget each, and an analyst.
pub struct Nodes {
    pub world: World,
    _nodes: Vec<Background>,
}

const STUDY: &str = "name = \"budget\"\npurpose = \"noise\"\nlegal_basis = \"consent\"\nanalysts = [\"analyst\"]\n\
    sites = [\"A\", \"B\", \"C\"]\ntables = [\"t\"]\nends = \"9999-01-01\"\n";

impl Nodes {
    /// Each with this policy.
    pub fn new(label: &str, policy: &str) -> Self {
        let world = World::new(label);
        let path = |relative: &str| world.folder.at(relative).to_string_lossy().into_owned();
        let succeed = |arguments: &[&str]| {
            let ended = run(&mut consilium(arguments));
            assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        };
        for (file, text) in [("study.toml", STUDY), ("settings.toml", NETWORK), ("policy.toml", policy)] {
            world.folder.write(file, text);
        }
        let (settings, policy) = (path("settings.toml"), path("policy.toml"));
        for (site, port) in SITES.iter().zip(ports::<3>()) {
            let _ = fs::remove_file(world.folder.at(&format!("{site}/u.csv")));
            let (dir, data, listen) = (path(&format!("node-{site}")), path(site), format!("127.0.0.1:{port}"));
            succeed(&[
                "init", "--dir", &dir, "--name", site, "--data", &data, "--listen", &listen, "--policy", &policy,
            ]);
            let config = world.folder.at(&format!("node-{site}/node.toml"));
            fs::write(&config, fs::read_to_string(&config).unwrap() + "studies = [\"../study.toml\"]\n").unwrap();
        }
        succeed(&["init", "--dir", &path("node-analyst"), "--name", "analyst", "--analyst"]);
        let everybody = SITES.iter().chain(&["analyst"]);
        let publics: Vec<String> = everybody.map(|name| path(&format!("node-{name}/{name}.public.toml"))).collect();
        let out = path("enrolled.toml");
        let enroll =
            ["enroll", "--out", &out, "--settings", &settings].into_iter().chain(publics.iter().map(String::as_str));
        succeed(&enroll.collect::<Vec<_>>());
        for name in SITES.iter().chain(&["analyst"]) {
            fs::copy(&out, world.folder.at(&format!("node-{name}/network.toml"))).unwrap();
        }
        let start = |site: &&str| {
            Background::start(&mut consilium(&["node", "--config", &path(&format!("node-{site}/node.toml"))]))
        };
        let nodes: Vec<Background> = SITES.iter().map(start).collect();
        let config = path("node-analyst/analyst.toml");
        let check = || run(&mut consilium(&["check", "--config", &config])).stdout;
        let answers = |said: &str, site: &str| {
            said.lines().any(|line| line.contains("ok ") && line.contains(&format!("site {site} answers")))
        };
        until("all sites answer", || Some(check()).is_some_and(|said| SITES.iter().all(|site| answers(&said, site))));
        Self { world, _nodes: nodes }
    }

    pub fn ask(world: &World, sql: &str, noise: &[&str]) -> Run {
        let path = |relative: &str| world.folder.at(relative).to_string_lossy().into_owned();
        let (config, study) = (path("node-analyst/analyst.toml"), path("study.toml"));
        let asked = ["query", "--config", &config, "--study", &study, "--format", "json", "-e", sql];
        run(&mut consilium(&[&asked[..], noise].concat()))
    }

    pub fn ledger(&self, site: &str) -> String {
        let config = self.world.folder.at(&format!("node-{site}/node.toml"));
        run(&mut consilium(&["ledger", "--config", &config.to_string_lossy()])).stdout
    }
}

#[test]
fn of_two_questions_that_race_for_the_last_budget_one_begins_at_every_site() {
    let nodes = Nodes::new("race", &policy("0.6", "0.6"));
    let questions = [EVERYBODY, "SELECT COUNT(*) AS n FROM t WHERE k = 1"];
    let world = &nodes.world;
    let runs = thread::scope(|scope| {
        let asking = questions.map(|sql| scope.spawn(move || Nodes::ask(world, sql, &["--epsilon", "0.6"])));
        asking.map(|run| run.join().unwrap())
    });
    let answered = runs.iter().filter(|run| run.status == Some(0)).count();
    println!("answered {answered}, codes {:?}", [runs[0].code(), runs[1].code()]);
    assert!(answered <= 1, "{}{}", runs[0].all(), runs[1].all());
    for loser in runs.iter().filter(|run| run.status != Some(0)) {
        let code = loser.code();
        let lost = ["BUDGET_EXHAUSTED", "LEDGER_MOVED"].contains(&code.as_str());
        // Where each of them began at some site, both are refused at another.
        assert!(lost || answered == 0, "{}", loser.all());
        assert!(loser.stdout.is_empty());
    }
    for site in SITES {
        let ledger = nodes.ledger(site);
        println!("{site}: {}", ledger.lines().last().unwrap_or_default());
        assert!(ledger.contains("study budget: ε of 0.6 spent, 0 of 0.6 left"), "{site}: {ledger}");
        assert_eq!(ledger.matches("analyst analyst").count(), 1, "one release began at {site}: {ledger}");
    }
    assert_eq!(Nodes::ask(world, EVERYBODY, &["--epsilon", "0.000001"]).code(), "BUDGET_EXHAUSTED");
}
