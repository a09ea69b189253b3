//! How much of a sum is whose: attacks that make a total one patient's value, by values that are 0 for everybody else or that are fixed
//! for them, and the questions beside them that are answered.

use std::fs;

use serde_json::{Value, json};

use crate::world::{Attack, LEAST, Patient, Random, World, answers};

/// Table `t` with a column `d` more: 0 for half of the patients, a value of their own for the others.
fn dose(p: &Patient) -> i64 {
    if p.z % 2 == 0 { 0 } else { 1 + p.x }
}

/// A score from 1 to 40: 1 for the same half, more for the others.
fn score(p: &Patient) -> i64 {
    if p.z % 2 == 0 { 1 } else { 2 + p.x % 30 }
}

fn world(label: &str) -> World {
    world_of(label, dose)
}

/// With the score in the place of the dose, and its range declared.
fn scored(label: &str) -> World {
    let world = world_of(label, score);
    let network = fs::read_to_string(world.folder.path().join("network.toml")).unwrap();
    world.folder.write("network.toml", format!("{network}[tables.t.columns.d]\nrange = [1, 40]\n"));
    world
}

fn world_of(label: &str, value: fn(&Patient) -> i64) -> World {
    let world = World::new(label);
    for site in ["A", "B", "C"] {
        let own = world.patients.iter().filter(|patient| patient.sites.contains(&site));
        let rows: String = own.map(|p| format!("{},{},{},{},{},{}\n", p.id, p.k, p.f, p.x, p.z, value(p))).collect();
        world.folder.write(&format!("{site}/t.csv"), format!("person_id,k,f,x,z,d\n{rows}"));
    }
    world
}

/// Somebody with a value, whom A alone knows.
fn target(world: &World) -> &Patient {
    world.patients.iter().find(|p| p.sites == ["A"] && dose(p) != 0).expect("somebody has a value")
}

/// Places of patients with nothing.
fn nothing(world: &World, many: usize) -> String {
    let none = world.patients.iter().filter(|p| p.sites == ["A"] && dose(p) == 0);
    let list: Vec<String> = none.take(many).map(|p| p.z.to_string()).collect();
    assert_eq!(list.len(), many, "so many have nothing");
    list.join(", ")
}

/// What is hidden of an answer, and its first row.
fn shown(world: &World, sql: &str) -> (Value, Value) {
    let run = world.ask(&[], &[sql]);
    println!("{sql}\n  {} {}", run.code(), run.stdout.trim());
    let answer = run.answers().first().cloned().unwrap_or_else(|| panic!("no answer to {sql}: {}", run.all()));
    (answer["suppressed"].clone(), answer["rows"][0].clone())
}

fn code(world: &World, sql: &str) -> String {
    let run = world.ask(&[], &[sql]);
    println!("{sql}\n  {}", run.code());
    assert!(run.stdout.is_empty(), "{sql}: {}", run.all());
    run.code()
}

#[test]
fn a_sum_over_many_of_whom_one_has_something_is_hidden() {
    let world = world("sum-zeros");
    let (target, zeros) = (target(&world), nothing(&world, 2 * LEAST));
    let cohort = format!("z IN ({}, {zeros})", target.z);
    for what in ["SUM(d)", "AVG(d)", "VAR_SAMP(d)", "SUM(d + 3 * x)", "SUM(CASE WHEN x >= 0 THEN d ELSE 0 END)"] {
        let (hidden, row) = shown(&world, &format!("SELECT {what} AS s FROM t WHERE {cohort}"));
        assert_eq!((hidden.as_array().unwrap().len(), &row[0]), (1, &Value::Null), "{what}");
    }
    // The patients themselves are enough to be counted.
    let (hidden, row) = shown(&world, &format!("SELECT COUNT(d) AS n FROM t WHERE {cohort}"));
    assert_eq!((hidden, row), (json!([]), json!([2 * LEAST + 1])));
    let by_k = format!("SELECT f, SUM(d) AS s, COUNT(*) AS n FROM A.t WHERE {cohort} GROUP BY f ORDER BY f");
    let run = world.ask(&[], &[&by_k]);
    println!("{by_k}\n  {} {}", run.code(), run.stdout.trim());
    let rows = run.answers()[0]["rows"].clone();
    let told = |row: &Value| row[1] == json!(dose(target));
    assert!(!rows.as_array().unwrap().iter().any(told), "{rows}");
}

#[test]
fn two_sums_that_differ_by_one_value_and_many_zeros_are_too_close() {
    let world = world("sum-pair");
    let (target, zeros) = (target(&world), nothing(&world, 2 * LEAST));
    let some = format!("z NOT IN ({}, {zeros})", target.z);
    let all = "z > 0";
    let sum = |table: &str, what: &str, condition: &str| format!("SELECT {what} AS s FROM {table} WHERE {condition}");
    let joined = |what: &str, condition: &str| {
        format!("SELECT SUM(a.{what}) AS s FROM A.t a LEFT JOIN B.t b ON a.person_id = b.person_id WHERE a.{condition}")
    };
    let attacks = [
        Attack::new("two sums of rows", sum("t", "SUM(d)", all), sum("t", "SUM(d)", &some)),
        Attack::new("the smaller first", sum("t", "SUM(d)", &some), sum("t", "SUM(d)", all)),
        Attack::new("an average and a sum", sum("t", "AVG(d)", all), sum("t", "SUM(d)", &some)),
        Attack::new("one term of two", sum("t", "SUM(x + 1000 * d)", all), sum("t", "SUM(d)", &some)),
        Attack::new(
            "a sum and a CASE",
            sum("t", "SUM(d)", all),
            sum("t", &format!("SUM(CASE WHEN {some} THEN d ELSE 0 END)"), "z > 1"),
        ),
        Attack::new("matched patients", joined("d", all), joined("d", &some)),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
    // Without the one patient the same zeros change nothing that was not known: but the set is the same, and equal sets are refused too. Far
    // apart by values they are answered.
    let far: Vec<String> =
        world.patients.iter().filter(|p| dose(p) != 0).take(LEAST).map(|p| p.z.to_string()).collect();
    let run =
        world.ask(&[], &[&sum("t", "SUM(d)", all), &sum("t", "SUM(d)", &format!("z NOT IN ({})", far.join(", ")))]);
    assert_eq!(answers(&run).len(), 2, "{}", run.all());
}

#[test]
fn a_score_that_is_the_lowest_for_all_but_one_is_not_told_by_its_sum() {
    let world = scored("sum-lowest");
    let (target, lowest) = (target(&world), nothing(&world, 2 * LEAST));
    assert!(score(target) > 1);
    let cohort = format!("z IN ({}, {lowest})", target.z);
    let highest = score(target);
    for (what, condition) in [
        ("SUM(d)", String::new()),
        ("AVG(d)", String::new()),
        ("VAR_SAMP(d)", String::new()),
        ("SUM(d * d)", String::new()),
        ("SUM(100 - d)", String::new()),
        ("SUM(CASE WHEN x >= 0 THEN d ELSE 0 END)", String::new()),
        ("SUM(d)", format!(" AND d BETWEEN 1 AND {highest}")),
        ("SUM(d) FILTER (WHERE d > 0)", String::new()),
    ] {
        let (hidden, row) = shown(&world, &format!("SELECT {what} AS s FROM t WHERE {cohort}{condition}"));
        assert_eq!((hidden.as_array().unwrap().len(), &row[0]), (1, &Value::Null), "{what}{condition}");
    }
    let (hidden, row) = shown(&world, &format!("SELECT COUNT(d) AS n FROM t WHERE {cohort}"));
    assert_eq!((hidden, row), (json!([]), json!([2 * LEAST + 1])));
    let rows = || world.patients.iter().flat_map(|p| p.sites.iter().map(move |_| p));
    let (hidden, row) = shown(&world, "SELECT SUM(d) AS s FROM t");
    assert_eq!((hidden, row), (json!([]), json!([rows().map(score).sum::<i64>()])));
}

#[test]
fn sums_that_differ_by_one_score_and_many_lowest_ones_are_too_close_and_so_are_two_powers_of_the_same_rows() {
    let world = scored("sum-lowest-pair");
    let some = format!("z NOT IN ({}, {})", target(&world).z, nothing(&world, 2 * LEAST));
    let sum = |what: &str, condition: &str| format!("SELECT {what} AS s FROM t WHERE {condition}");
    for attack in [
        Attack::new("two sums of rows", sum("SUM(d)", "z > 0"), sum("SUM(d)", &some)),
        Attack::new("an average and a sum", sum("SUM(d)", &some), sum("AVG(d)", "z > 0")),
        Attack::new("a sum, and the squares of the same rows", sum("SUM(d)", "z > 0"), sum("SUM(d * d)", "z > 1")),
    ] {
        attack.fails_in(&world);
    }
}

#[test]
fn conditions_and_expressions_that_fix_the_others_values_are_refused() {
    let world = world("sum-pins");
    let target = target(&world).z;
    let sum = |what: &str, condition: &str| format!("SELECT {what} AS s FROM t WHERE {condition}");
    for fixed in ["d = 0", "d = 7", "d BETWEEN 7 AND 9", "NOT (d > 0)", "d IN (3, 5)"] {
        assert_eq!(code(&world, &sum("SUM(d)", &format!("z = {target} OR {fixed}"))), "MEASURE_IN_CONDITION");
    }
    assert_eq!(
        code(&world, &sum(&format!("SUM(d) FILTER (WHERE z = {target} OR d = 7)"), "z > 0")),
        "MEASURE_IN_CONDITION"
    );
    let expressions = ["SUM(GREATEST(d, 50))", "SUM(LEAST(d, 1))", "SUM(d / 100)", "SUM(ABS(d - 7))", "SUM(d % 10)"];
    for expression in expressions {
        assert_eq!(code(&world, &sum(expression, "z > 0")), "SUM_NOT_JUDGED");
    }
    let union = format!(
        "SELECT SUM(v) AS s FROM (SELECT d AS v FROM A.t WHERE z <> {target} UNION ALL SELECT 100000 * d FROM B.t) u"
    );
    assert_eq!(code(&world, &union), "SUM_NOT_JUDGED");
    let twice =
        format!("SELECT SUM(v) AS s FROM (SELECT d AS v FROM t UNION ALL SELECT d FROM t WHERE z = {target}) u");
    assert_eq!(code(&world, &twice), "SUM_NOT_JUDGED");
    // A weight for one patient is a term with one patient.
    let weight = sum(&format!("SUM(x + CASE WHEN z = {target} THEN 1000000 * d ELSE 0 END)"), "z > 0");
    assert_eq!(shown(&world, &weight).1[0], Value::Null);
}

#[test]
fn a_difference_of_two_tallies_is_judged_by_each_and_not_of_one_column_twice() {
    let world = world("sum-tallies");
    let target = target(&world).z;
    let of = |first: &str, second: &str, condition: &str| {
        format!(
            "SELECT SUM(a.n - COALESCE(b.n, 0)) AS s FROM (SELECT person_id, {first} AS n FROM t GROUP BY person_id) a \
             LEFT JOIN (SELECT person_id, {second} AS n FROM t WHERE {condition} GROUP BY person_id) b ON a.person_id = b.person_id"
        )
    };
    // Many have part in the first; in the second the target alone.
    assert_eq!(shown(&world, &of("SUM(d)", "SUM(x)", &format!("z = {target}"))).1[0], Value::Null);
    let (hidden, row) = shown(&world, &of("SUM(d)", "SUM(x)", "f = 1"));
    let rows = || world.patients.iter().flat_map(|p| p.sites.iter().map(move |_| p));
    let expected: i64 = rows().map(|p| dose(p) - p.f * p.x).sum();
    assert_eq!((hidden, row), (json!([]), json!([expected])));
    // Everybody's rows, less those of all but the target.
    assert_eq!(code(&world, &of("COUNT(*)", "COUNT(*)", &format!("z <> {target}"))), "SUM_NOT_JUDGED");
}

#[test]
fn plain_sums_are_answered_as_plain_sql_does() {
    let world = world("sum-plain");
    let rows = || world.patients.iter().flat_map(|p| p.sites.iter().map(move |_| p));
    let total = |of: &dyn Fn(&Patient) -> i64| rows().map(of).sum::<i64>();
    let mean = |of: &dyn Fn(&Patient) -> Option<i64>| {
        let values: Vec<i64> = rows().filter_map(of).collect();
        values.iter().sum::<i64>() as f64 / values.len() as f64
    };
    let whole = [
        ("SELECT SUM(d) AS s FROM t", total(&dose)),
        ("SELECT SUM(d - x) AS s FROM t", total(&|p| dose(p) - p.x)),
        ("SELECT SUM(2 * d + 1000000 * x - 5) AS s FROM t", total(&|p| 2 * dose(p) + 1_000_000 * p.x - 5)),
        ("SELECT SUM(d * x) AS s FROM t", total(&|p| dose(p) * p.x)),
        ("SELECT SUM(CASE WHEN f = 1 THEN d ELSE 0 END) AS s FROM t", total(&|p| p.f * dose(p))),
        ("SELECT SUM(CASE WHEN f = 1 THEN d ELSE x END) AS s FROM t", total(&|p| if p.f == 1 { dose(p) } else { p.x })),
        ("SELECT SUM(d) FILTER (WHERE f = 1) AS s FROM t", total(&|p| p.f * dose(p))),
        ("SELECT SUM(v) AS s FROM (SELECT d - x AS v FROM t) u", total(&|p| dose(p) - p.x)),
    ];
    for (sql, expected) in whole {
        let (hidden, row) = shown(&world, sql);
        assert_eq!((hidden, &row[0]), (json!([]), &json!(expected)), "{sql}");
    }
    let means = [
        ("SELECT AVG(d) AS a FROM t", mean(&|p| Some(dose(p)))),
        (
            "SELECT AVG(d) AS a FROM t WHERE d BETWEEN 1 AND 60",
            mean(&|p| Some(dose(p)).filter(|d| (1..=60).contains(d))),
        ),
        (
            "SELECT AVG(100 - d) AS a FROM t WHERE d >= 1 AND f = 1",
            mean(&|p| Some(100 - dose(p)).filter(|_| dose(p) > 0 && p.f == 1)),
        ),
    ];
    for (sql, expected) in means {
        let (hidden, row) = shown(&world, sql);
        let found = row[0].as_f64().unwrap();
        assert!(hidden == json!([]) && (found - expected).abs() < 1e-9, "{sql}: {found}, not {expected}");
    }
}

/// A patient's value for each term of a sum.
type Terms = Vec<fn(&Patient) -> i64>;

/// A sum in both meanings: SQL, and plainly.
fn sum_of(at: usize) -> (&'static str, Terms) {
    match at {
        0 => ("d", vec![dose]),
        1 => ("3 * d - 2 * x", vec![|p| 3 * dose(p), |p| -2 * p.x]),
        2 => ("CASE WHEN f = 1 THEN d ELSE 0 END", vec![|p| p.f * dose(p)]),
        3 => (
            "CASE WHEN k = 1 THEN d WHEN k = 2 THEN x END",
            vec![|p| i64::from(p.k == 1) * dose(p), |p| i64::from(p.k == 2) * p.x],
        ),
        4 => ("d * f", vec![|p| p.f * dose(p)]),
        _ => ("CASE WHEN k < 3 THEN 2 * d END", vec![|p| i64::from(p.k < 3) * 2 * dose(p)]),
    }
}

#[test]
fn random_sums_are_shown_if_and_only_if_every_term_has_enough_patients() {
    let world = world("sum-random");
    let seed = 20_261_124;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut shown_sums, mut hidden_sums) = (0, 0);
    for round in 0..18 {
        let (what, terms) = sum_of(round % 6);
        let (least, most) = (5000 + random.below(150) as i64, 5000 + random.below(150) as i64);
        let (least, most) = (least.min(most), least.max(most));
        let cohort: Vec<&Patient> = world.patients.iter().filter(|p| (least..=most).contains(&p.z)).collect();
        let enough = |of: &dyn Fn(&Patient) -> bool| cohort.iter().filter(|p| of(p)).count() >= LEAST;
        let expected = cohort.len() >= LEAST && terms.iter().all(|term| enough(&|p| term(p) != 0));
        let sql = format!("SELECT SUM({what}) AS s FROM t WHERE z BETWEEN {least} AND {most}");
        let (hidden, row) = shown(&world, &sql);
        let total: i64 =
            cohort.iter().map(|p| terms.iter().map(|term| term(p)).sum::<i64>() * p.sites.len() as i64).sum();
        assert_eq!(hidden == json!([]), expected, "{sql}");
        assert_eq!(row[0], if expected { json!(total) } else { Value::Null }, "{sql}");
        if expected { shown_sums += 1 } else { hidden_sums += 1 }
    }
    println!("{shown_sums} shown, {hidden_sums} hidden");
    assert!(shown_sums > 3 && hidden_sums > 3);
}
