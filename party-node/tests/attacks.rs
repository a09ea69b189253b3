//! Attacks on what comes out, tried on real nodes in a sandbox. Each prints its questions, what came out and the code of the
//! refusal, and asks the refused question alone, so that it is the ledger that refuses and not the question that is bad.

mod common;
#[path = "attacks/counted.rs"]
mod counted;
#[path = "attacks/gaussian.rs"]
mod gaussian;
#[path = "attacks/keys.rs"]
mod keys;
#[path = "attacks/linked.rs"]
mod linked;
#[path = "attacks/noise.rs"]
mod noise;
#[path = "attacks/one_question.rs"]
mod one_question;
#[path = "attacks/records.rs"]
mod records;
#[path = "attacks/sums.rs"]
mod sums;
#[path = "attacks/totals.rs"]
mod totals;
#[path = "attacks/world.rs"]
mod world;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::consilium;
use serde_json::json;
use world::{Attack, LEAST, World, answers};

/// The cohort of these attacks, and the same without one patient.
const ALL: &str = "x > 30";

fn without(world: &World) -> String {
    format!("{ALL} AND z <> {}", world.target().z)
}

fn count(condition: &str) -> String {
    format!("SELECT COUNT(*) AS n FROM t WHERE {condition}")
}

/// Everything is allowed, and by rule.
const OPEN: &str =
    "allow_all = true\n[[approve]]\nclasses = [\"count\", \"sum\", \"table\", \"matching\", \"extreme\"]\n";

#[test]
fn differencing_by_one_patient_is_refused_whatever_the_two_figures_are() {
    let world = World::new("one-patient");
    let (less, target) = (without(&world), world.target());
    let by_k = format!("SELECT k, COUNT(*) AS n FROM t WHERE {ALL} AND k IN (1, 2, 3, 4) GROUP BY k ORDER BY k");
    let of = |what: &str, condition: &str| format!("SELECT {what} AS n FROM t WHERE {condition}");
    let attacks = [
        Attack::new("two counts", count(ALL), count(&less)),
        Attack::new("two counts, the smaller first", count(&less), count(ALL)),
        Attack::new(
            "two counts of patients",
            of("COUNT(DISTINCT person_id)", ALL),
            of("COUNT(DISTINCT person_id)", &less),
        ),
        Attack::new("count of rows and of patients", count(ALL), of("COUNT(DISTINCT person_id)", &less)),
        Attack::new("count and sum", count(ALL), of("SUM(x)", &less)),
        Attack::new("count and sum of the same patients", count(ALL), of("SUM(x)", ALL)),
        Attack::new("sum and average", of("SUM(x)", ALL), of("AVG(x)", &less)),
        Attack::new("count and median", count(ALL), of("MEDIAN(x)", &less)),
        Attack::new("table and its margin", by_k.clone(), count(&format!("{less} AND k IN (1, 2, 3, 4)"))),
        Attack::new("a table's cell and a count", by_k, count(&format!("{less} AND k = {}", target.k))),
        Attack::new("a count and a table's cell", count(&format!("{ALL} AND k = {}", target.k)), {
            format!("SELECT k, COUNT(*) AS n FROM t WHERE {less} AND k IN (1, 2, 3, 4) GROUP BY k ORDER BY k")
        }),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
}

#[test]
fn a_condition_in_another_place_is_the_same_condition() {
    let world = World::new("disguised");
    let less = without(&world);
    let of = |what: &str| format!("SELECT {what} AS n FROM t");
    let attacks = [
        Attack::new("FILTER", of(&format!("COUNT(*) FILTER (WHERE {ALL})")), count(&less)),
        Attack::new("CASE", count(ALL), of(&format!("SUM(CASE WHEN {less} THEN 1 ELSE 0 END)"))),
        Attack::new("a truth value as a number", count(ALL), of(&format!("SUM(CAST({less} AS INTEGER))"))),
        Attack::new("NULLIF", count(ALL), of(&format!("COUNT(NULLIF({less}, FALSE))"))),
        Attack::new("average of a CASE", count(ALL), of(&format!("AVG(CASE WHEN {less} THEN 1 ELSE 0 END)"))),
        Attack::new("a subquery", count(ALL), format!("SELECT COUNT(*) AS n FROM (SELECT x, z FROM t WHERE {less}) s")),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
}

#[test]
fn filter_and_complement_and_swapped_patients_are_refused() {
    let world = World::new("complement");
    let (target, other) = (world.target().z, world.outsider().z);
    let attacks = [
        Attack::new(
            "everybody, and everybody but one",
            "SELECT COUNT(*) AS n FROM t",
            count(&format!("NOT (z = {target})")),
        ),
        Attack::new(
            "a filter beside its total, and the total without one",
            format!("SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE {ALL}) AS yes FROM t"),
            format!("SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE NOT ({ALL})) AS no FROM t WHERE z <> {target}"),
        ),
        Attack::new("one patient for another", count(ALL), count(&format!("({ALL} AND z <> {target}) OR z = {other}"))),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
}

#[test]
fn sets_that_differ_by_ten_are_too_close_and_by_eleven_are_not() {
    let world = World::new("boundary");
    let of_cohort = world.patients.iter().filter(|p| p.x > 30).take(LEAST).map(|p| p.z.to_string()).collect::<Vec<_>>();
    let all_but = |number: usize| count(&format!("{ALL} AND z NOT IN ({})", of_cohort[..number].join(", ")));
    Attack::new("ten patients fewer", count(ALL), all_but(LEAST - 1)).fails_in(&world);
    let run = world.ask(&[], &[&count(ALL), &all_but(LEAST)]);
    println!("eleven patients fewer: {:?}", answers(&run));
    assert_eq!(run.answers().len(), 2, "{}", run.stderr);
}

#[test]
fn leaving_out_a_site_or_asking_another_table_is_no_way_around() {
    let world = World::new("site-left-out");
    let alone = world.patients.iter().filter(|p| p.sites == ["C"]).count();
    println!("{alone} patients are at C alone");
    let two = "SELECT COUNT(*) AS n FROM (SELECT person_id FROM A.t UNION ALL SELECT person_id FROM B.t) s";
    let all = "SELECT COUNT(*) AS n FROM t";
    let attacks = [
        Attack::new("all three sites, then two", all, two),
        Attack::new("two sites, then all three", two, all),
        Attack::new("the table that two sites hold", all, "SELECT COUNT(*) AS n FROM u"),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
}

#[test]
fn a_question_that_loses_its_patients_is_no_cover_for_another() {
    let world = World::new("lost");
    let table = format!("(SELECT DISTINCT z, x FROM A.t WHERE {ALL}) s");
    let hides = [
        ("DISTINCT", table),
        ("GROUP BY", format!("(SELECT z, COUNT(*) AS m FROM A.t WHERE {ALL} GROUP BY z) s")),
        ("GROUP BY and HAVING", "(SELECT z, COUNT(*) AS m FROM A.t GROUP BY z HAVING SUM(x) > 30) s".to_owned()),
        ("LIMIT", format!("(SELECT z, x FROM A.t WHERE {ALL} LIMIT 1000) s")),
        ("EXCEPT", format!("(SELECT z, x FROM A.t WHERE {ALL} EXCEPT SELECT z, x FROM A.t WHERE z = 1) s")),
        ("one value for all", "A.t WHERE (SELECT SUM(x) FROM A.t WHERE z = 1) > 0".to_owned()),
    ];
    for (name, from) in hides {
        let run = world.ask(&[], &[&format!("SELECT COUNT(*) AS n FROM {from}")]);
        println!("{name}: {}", run.code());
        assert_eq!(run.code(), "PATIENTS_LOST", "{name}: {}", run.all());
    }
    let kept = format!("SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id, z FROM A.t WHERE {ALL}) s");
    let second = format!("SELECT COUNT(*) AS n FROM A.t WHERE {}", without(&world));
    Attack::new("DISTINCT with the patient", kept, second.clone()).fails_in(&world);
    let once = format!("SELECT COUNT(*) AS m, COUNT(DISTINCT z) FILTER (WHERE {ALL}) AS n FROM A.t");
    Attack::new("distinct values of a part", once, second).fails_in(&world);
}

#[test]
fn a_table_with_more_cells_than_are_compared_is_refused() {
    let world = World::new("wide");
    let domain = (1..=1100).map(|k| k.to_string()).collect::<Vec<_>>().join(", ");
    world.folder.write("network.toml", format!("min_patients = 11\n[tables.t.columns.k]\ndomain = [{domain}]\n"));
    let run = world.ask(&[], &["SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k"]);
    println!("1100 groups: {}", run.error());
    assert!(run.stdout.is_empty() && run.error().contains("at most 1024"), "{}", run.all());
}

#[test]
fn the_same_cohort_a_week_later_is_refused() {
    let mut world = World::new("week-later");
    let states = common::Scratch::new("week-later-state");
    let first = world.ask_again(&states.at("kept"), &[&count(ALL)]);
    let again = world.ask_again(&states.at("kept"), &[&count(ALL)]);
    println!("first {:?}, the same data again: {}", answers(&first), again.code());
    assert_eq!(first.answers().len(), 1);
    assert_eq!(again.code(), "ALREADY_RELEASED", "{}", again.all());
    let mut newcomer = world.target().clone();
    (newcomer.id, newcomer.z, newcomer.sites) = (9999, 9999, vec!["B"]);
    world.patients.push(newcomer);
    world.write();
    let later = world.ask_again(&states.at("kept"), &[&count(ALL)]);
    let alone = world.ask_again(&states.at("fresh"), &[&count(ALL)]);
    println!("one patient more: {}; in a fresh study {:?}", later.code(), answers(&alone));
    assert_eq!(later.code(), "RELEASE_TOO_CLOSE", "{}", later.all());
    assert_eq!(answers(&alone), [json!([[world.rows(|p| p.x > 30)]])]);
}

#[test]
fn a_guessed_patient_added_to_ones_own_rows_is_refused() {
    let mut world = World::new("membership");
    let states = common::Scratch::new("membership-state");
    let overlap = "SELECT COUNT(DISTINCT a.person_id) AS n FROM A.t a JOIN B.t b ON a.person_id = b.person_id";
    let first = world.ask_again(&states.at("kept"), &[overlap]);
    assert_eq!(first.answers().len(), 1);
    let guess = world.patients.iter().position(|p| p.sites == ["B"]).unwrap();
    world.patients[guess].sites = vec!["A", "B"];
    world.write();
    let second = world.ask_again(&states.at("kept"), &[overlap]);
    let alone = world.ask_again(&states.at("fresh"), &[overlap]);
    println!("overlap {:?}; with a guess: {}; in a fresh study {:?}", answers(&first), second.code(), answers(&alone));
    assert_eq!(second.code(), "RELEASE_TOO_CLOSE", "{}", second.all());
    assert_ne!(answers(&alone), answers(&first), "the guess would have been confirmed");
}

#[test]
fn probing_by_refusals_ends_at_the_limit_of_refusals() {
    let world = World::new("probes");
    let states = common::Scratch::new("probes-state");
    let limited = format!("{OPEN}[refusals]\nmost = 3\ndays = 1\n");
    world.folder.write("A/policy.toml", limited);
    assert_eq!(world.ask_again(states.path(), &[&count(ALL)]).answers().len(), 1);
    let probe = |at: usize| count(&format!("{ALL} AND z <> {}", world.patients[at].z));
    let codes: Vec<String> = (0..5).map(|at| world.ask_again(states.path(), &[&probe(at)]).code()).collect();
    println!("probes: {codes:?}");
    assert_eq!(codes[..3], ["RELEASE_TOO_CLOSE"; 3]);
    assert_eq!(codes[3..], ["TOO_MANY_REFUSALS"; 2]);
    // Whatever is asked: the limit is the site's.
    let harmless = world.ask_again(states.path(), &["SELECT COUNT(*) AS n FROM t WHERE k = 1"]);
    assert_eq!(harmless.code(), "TOO_MANY_REFUSALS", "{}", harmless.all());
}

#[test]
fn a_policy_that_changes_between_start_and_run_is_noticed() {
    let world = World::new("policy-changed");
    world.folder.write("B/policy.toml", OPEN);
    // Nothing is compared where nothing is hidden; any number of questions may be asked.
    let questions: Vec<String> = (0..40).map(|x| count(&format!("x > {x}"))).collect();
    let folder = world.folder.path().to_string_lossy().into_owned();
    let mut command = consilium(&["sandbox", "--data", &folder, "--format", "json", "--set", "min_patients=1"]);
    command.args(questions.iter().flat_map(|sql| ["-e", sql]));
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(out.next().unwrap().unwrap().contains("rows"), "the first is answered");
    world.folder.write("B/policy.toml", format!("max_groups = 5\n{OPEN}"));
    let more = out.count();
    let ended = process.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    println!("{} answers before the change was noticed: {error}", 1 + more);
    assert!(!ended.status.success() && 1 + more < questions.len());
    assert!(error.contains("POLICY_CHANGED"), "{error}");
}

#[test]
fn patients_who_opted_out_are_in_no_figure() {
    let mut world = World::new("opt-out");
    let out: Vec<i64> = world.patients.iter().filter(|p| p.x > 30).step_by(4).map(|p| p.id).collect();
    for site in ["A", "B", "C"] {
        world.folder.write(&format!("{site}/policy.toml"), format!("{OPEN}[opt_out]\nfile = \"opt_out.csv\"\n"));
        let list: String = out.iter().map(|id| format!("{id}\n")).collect();
        world.folder.write(&format!("{site}/opt_out.csv"), format!("person_id\n{list}"));
    }
    let sql = format!("SELECT COUNT(*) AS n, SUM(x) AS s, COUNT(DISTINCT person_id) AS p FROM t WHERE {ALL}");
    let run = world.ask(&[], &[&sql]);
    let before = world.rows(|p| p.x > 30);
    world.patients.retain(|p| !out.contains(&p.id));
    let sum: i64 = world.patients.iter().filter(|p| p.x > 30).map(|p| p.x * p.sites.len() as i64).sum();
    let people = world.patients.iter().filter(|p| p.x > 30).count();
    println!(
        "{} of {before} rows are of patients who opted out; told {:?}",
        before - world.rows(|p| p.x > 30),
        answers(&run)
    );
    assert_eq!(run.answers()[0]["rows"], json!([[world.rows(|p| p.x > 30), sum, people]]), "{}", run.stderr);
}
