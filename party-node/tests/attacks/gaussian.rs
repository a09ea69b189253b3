//! Attacks on a budget of δ, and answers with Gaussian noise as they come out.

use std::thread;

use super::noise::{EVERYBODY, NETWORK, Nodes, SITES, numbers, policy};
use crate::common::{Scratch, consilium, run};
use crate::world::{World, answers};

/// Of each question here.
const ASKED: [&str; 4] = ["--epsilon", "0.5", "--mechanism", "gaussian"];

/// A world where A has enough ε, and this of δ.
fn world(label: &str, delta: &str) -> World {
    let world = World::new(label);
    world.folder.write("network.toml", NETWORK);
    world.folder.write("A/policy.toml", format!("{}{delta}\n", policy("90", "0.5")));
    world
}

fn explained(world: &World, sql: &str) -> String {
    let data = world.folder.path().to_string_lossy().into_owned();
    let told = run(&mut consilium(&[&["explain", "--data", &data, "-e", sql], &ASKED[..]].concat()));
    assert_eq!(told.status, Some(0), "{}", told.all());
    told.stdout
}

/// What EXPLAIN prints for each figure.
fn standard_deviations(text: &str) -> Vec<f64> {
    let after = text.lines().filter_map(|line| Some(line.split_once(", standard deviation ")?.1));
    after.map(|number| number.trim().parse().unwrap()).collect()
}

/// A figure within nine deviations is what a sum of discrete Gaussians is with probability 1 − 2e^(−81/2) > 1 − 10⁻¹⁷, whatever is drawn;
/// that all figures have no noise at all has probability below 10⁻⁷ (five times at most 1/(σ·√2π) < 0.03).
#[test]
fn answers_with_gaussian_noise_are_within_what_explain_prints_and_not_exact() {
    let world = world("gaussian", "delta_digits = 5");
    let sql = "SELECT k, COUNT(*) AS n, COUNT(DISTINCT person_id) AS p FROM t GROUP BY k ORDER BY k";
    let text = explained(&world, sql);
    assert!(text.contains("discrete Gaussian, ε = 0.5, δ = 10^-7"), "{text}");
    let deviations = standard_deviations(&text);
    let told = &answers(&world.ask(&ASKED, &[sql]))[0];
    println!("deviations {deviations:?}, told {told}");
    let (mut apart, rows) = (false, told.as_array().unwrap());
    assert!(rows.len() == 5 && deviations.len() == 2 && deviations.iter().all(|spread| *spread > 14.0));
    for row in rows {
        // Four values, and NULL, which nobody has.
        let of_k = |k: i64| row[0].as_i64() == Some(k);
        let (entries, patients) = (world.rows(|p| of_k(p.k)), world.patients.iter().filter(|p| of_k(p.k)).count());
        for ((exact, told), spread) in [(entries, &row[1]), (patients as i64, &row[2])].into_iter().zip(&deviations) {
            let told = told.as_i64().unwrap();
            assert!((told - exact).abs() as f64 <= 9.0 * spread, "{told} for {exact}");
            apart |= told != exact;
        }
    }
    assert!(apart, "there is noise");
}

#[test]
fn gaussian_noise_cannot_be_averaged_away() {
    // Of ten parts of δ each question takes one.
    let world = world("gaussian-averaging", "delta_digits = 6\ndelta_digits_per_release = 7\ndelta_digits_in_all = 6");
    let states = Scratch::new("gaussian-averaging-state");
    let state = states.at("kept").to_string_lossy().into_owned();
    let asked = [&ASKED[..], &["--state", &state]].concat();
    let exact = world.rows(|_| true);
    let same = world.ask(&asked, &[EVERYBODY; 4]);
    println!("exactly {exact}; the same question four times: {:?}", numbers(&same));
    assert!(numbers(&same).len() == 4 && numbers(&same).windows(2).all(|pair| pair[0] == pair[1]), "{}", same.all());
    let other: Vec<String> = (0..12).map(|x| format!("SELECT COUNT(*) AS n FROM t WHERE x > -{x} - 1")).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let more = world.ask(&asked, &other);
    println!("in other words: {:?}, then {}", numbers(&more), more.error());
    assert_eq!((numbers(&more).len(), more.code().as_str()), (9, "BUDGET_EXHAUSTED"), "{}", more.all());
    assert!(more.error().contains("a δ of 0 left, and this takes 10^-7"), "{}", more.error());
    // Also the smallest δ is more than nothing. ε is left, and takes no δ.
    let smaller =
        world.ask(&[&asked[..], &["--delta-digits", "18"]].concat(), &["SELECT COUNT(*) AS n FROM t WHERE k = 1"]);
    assert_eq!(smaller.code(), "BUDGET_EXHAUSTED", "{}", smaller.all());
    let laplace = world.ask(&["--epsilon", "0.5", "--state", &state], &["SELECT COUNT(*) AS n FROM t WHERE k = 1"]);
    assert_eq!(laplace.answers().len(), 1, "{}", laplace.all());
}

#[test]
fn no_question_takes_more_delta_or_another_mechanism_than_a_site_allows() {
    let world = world("gaussian-refused", "delta_digits = 6");
    let code = |asked: &[&str]| world.ask(asked, &[EVERYBODY]).code();
    let greedy = code(&[&ASKED[..], &["--delta-digits", "7"]].concat());
    let void = code(&[&ASKED[..], &["--delta-digits", "2"]].concat());
    let of_laplace = code(&["--epsilon", "0.5", "--delta-digits", "9"]);
    world.folder.write("A/policy.toml", policy("90", "0.5"));
    let silent = code(&ASKED);
    let unnamed = code(&[&ASKED[..], &["--delta-digits", "9"]].concat());
    world
        .folder
        .write("A/policy.toml", format!("{}delta_digits = 6\nmechanisms = [\"gaussian\"]\n", policy("90", "0.5")));
    let alone = code(&["--epsilon", "0.5"]);
    let codes = [&greedy, &void, &of_laplace, &silent, &unnamed, &alone];
    println!(
        "too much δ, no promise, δ of Laplace noise, δ of nobody, a site without δ, a site without Laplace: {codes:?}"
    );
    let not_allowed = "MECHANISM_NOT_ALLOWED";
    assert_eq!(codes, ["DELTA_TOO_LARGE", "BAD_DELTA", "BAD_DELTA", "BAD_DELTA", not_allowed, not_allowed]);
}

#[test]
fn a_budget_of_delta_is_not_given_back_when_a_run_breaks_off() {
    let world = world("gaussian-broken-off", "delta_digits = 7\ndelta_digits_per_release = 7");
    let states = Scratch::new("gaussian-broken-off-state");
    let state = states.at("kept").to_string_lossy().into_owned();
    let ask = |more: &[&str]| world.ask(&[&ASKED[..], &["--state", &state], more].concat(), &[EVERYBODY]);
    let broken = ask(&["--drill", "C:connected"]);
    let after = ask(&[]);
    println!("broken off: {}; then {}", broken.code(), after.code());
    assert!(broken.stdout.is_empty() && broken.status != Some(0), "{}", broken.all());
    assert_eq!(after.code(), "BUDGET_EXHAUSTED", "{}", after.all());
}

#[test]
fn of_two_questions_that_race_for_the_last_delta_one_begins_at_every_site() {
    let nodes =
        Nodes::new("race-delta", &format!("{}delta_digits = 7\ndelta_digits_per_release = 7\n", policy("9", "0.5")));
    let questions = [EVERYBODY, "SELECT COUNT(*) AS n FROM t WHERE k = 1"];
    let world = &nodes.world;
    let runs = thread::scope(|scope| {
        let asking = questions.map(|sql| scope.spawn(move || Nodes::ask(world, sql, &ASKED)));
        asking.map(|run| run.join().unwrap())
    });
    let answered = runs.iter().filter(|run| run.status == Some(0)).count();
    println!("answered {answered}, codes {:?}", [runs[0].code(), runs[1].code()]);
    assert!(answered <= 1, "{}{}", runs[0].all(), runs[1].all());
    for site in SITES {
        let ledger = nodes.ledger(site);
        println!("{site}: {}", ledger.lines().last().unwrap_or_default());
        let spent = "study budget: ε of 0.5 spent, 8.5 of 9 left; δ of 10^-7 spent, 0 of 10^-7 left";
        assert!(ledger.contains(spent), "{site}: {ledger}");
        assert_eq!(ledger.matches("analyst analyst").count(), 1, "one release began at {site}: {ledger}");
    }
    assert_eq!(Nodes::ask(world, "SELECT COUNT(*) AS n FROM t WHERE k = 2", &ASKED).code(), "BUDGET_EXHAUSTED");
}
