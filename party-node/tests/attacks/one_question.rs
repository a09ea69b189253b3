//! Two figures of one question that differ by few patients.

use serde_json::json;

use crate::common::{Scratch, sandbox};
use crate::world::{World, answers};
use crate::{ALL, without};

/// What of a question is hidden when it is the first of a study.
fn hidden(world: &World, sql: &str) -> serde_json::Value {
    let run = sandbox(world.folder.path(), &["--format", "json", "-e", sql]);
    let answer = &run.answers()[0];
    println!("  {sql}\n    {} {}", answer["rows"], answer["suppressed"]);
    let columns = answer["suppressed"].as_array().unwrap().iter().map(|cell| cell["column"].clone());
    columns.collect()
}

#[test]
fn of_two_figures_of_one_question_with_few_patients_between_them_one_is_hidden() {
    let world = World::new("one-question");
    let (less, target) = (without(&world), world.target().z);
    // Of two rows like the target, so that the rows tell nothing.
    let other = world.patients.iter().find(|p| p.x > 30 && p.z != target && p.sites.len() == 2).unwrap().z;
    let swapped = format!("{ALL} AND z <> {other}");
    let of = |first: &str, a: &str, second: &str, b: &str| {
        format!("SELECT {first} FILTER (WHERE {a}) AS a, {second} FILTER (WHERE {b}) AS b FROM t")
    };
    for (first, second) in [
        ("COUNT(*)", "COUNT(DISTINCT person_id)"),
        ("COUNT(DISTINCT person_id)", "COUNT(*)"),
        ("SUM(x)", "COUNT(DISTINCT person_id)"),
    ] {
        assert_eq!(hidden(&world, &of(first, ALL, second, &less)), json!(["b"]), "{first} and {second}");
    }
    // As many rows, and other patients.
    assert_eq!(hidden(&world, &of("SUM(x)", &less, "SUM(x)", &swapped)), json!(["b"]));
    // What differs by many is shown, and what is of the same patients.
    assert_eq!(hidden(&world, &of("SUM(x)", ALL, "COUNT(DISTINCT person_id)", &format!("{ALL} AND k < 3"))), json!([]));
    assert_eq!(hidden(&world, &of("COUNT(*)", ALL, "COUNT(DISTINCT person_id)", ALL)), json!([]));
}

#[test]
fn figures_of_tables_with_nearly_the_same_patients_are_refused_in_one_question_too() {
    let world = World::new("two-tables");
    let (target, by_table) = (world.target().z, "SELECT COUNT(*) AS n FROM");
    let both = |one: &str, other: &str| format!("SELECT ({by_table} {one}) AS a, ({by_table} {other}) AS b");
    // Every row twice, but for one patient's, by groups that say which is which.
    let copies = format!(
        "SELECT g, COUNT(*) AS n FROM (SELECT 1 AS g, person_id FROM t UNION ALL SELECT 2 AS g, person_id FROM t WHERE z <> {target}) s \
         GROUP BY g"
    );
    let by_other = both("A.t", &format!("A.u WHERE z <> {target}"));
    for (sql, code) in
        [(both("t", "u"), "RELEASE_TOO_CLOSE"), (by_other, "RELEASE_TOO_CLOSE"), (copies, "SUM_NOT_JUDGED")]
    {
        let run = world.ask(&[], &[&sql]);
        println!("  {sql}\n    {}", run.code());
        assert_eq!(run.code(), code, "{}", run.all());
    }
    // Many patients are between these, and none between those.
    for sql in [both("t WHERE k < 3", "u"), both("A.t", "A.u")] {
        let run = world.ask(&[], &[&sql]);
        println!("  {sql}\n    {:?}", answers(&run));
        assert_eq!(answers(&run).len(), 1, "{}", run.all());
    }
}

/// Twelve of the cohort at A alone, and one patient at B alone, or one at both: A has a row of that one, and learns of B's.
#[test]
fn what_two_answers_to_everyone_tell_a_site_is_about_enough_patients_of_others() {
    let world = World::new("everyone");
    let of = |site: &str| {
        let own = world.patients.iter().filter(move |p| p.x > 30 && p.sites == [site]);
        own.map(|p| p.z.to_string()).collect::<Vec<_>>()
    };
    let without =
        |left_out: &[String]| format!("SELECT COUNT(*) AS n FROM t WHERE {ALL} AND z NOT IN ({})", left_out.join(", "));
    let all = format!("SELECT COUNT(*) AS n FROM t WHERE {ALL}");
    let few_of_b = without(&[&of("A")[..12], &of("B")[..1]].concat());
    let many_of_b = without(&[&of("A")[..12], &of("B")[..12]].concat());
    let one_of_both = without(&[&of("A")[..12], &[world.target().z.to_string()]].concat());
    let none_of_b = without(&of("A")[..12]);
    for (second, to, come) in [
        (&few_of_b, "analyst", true),
        (&few_of_b, "everyone", false),
        (&one_of_both, "analyst", true),
        (&one_of_both, "everyone", false),
        (&many_of_b, "everyone", true),
        (&none_of_b, "everyone", true),
    ] {
        let run = world.ask(&["--to", to], &[&all, second]);
        // Sites print what they receive, too.
        let refused = run.stderr.contains("RELEASE_TOO_CLOSE: ");
        println!("  to {to}: {second}\n    {:?}, refused: {refused}", answers(&run));
        assert_eq!((answers(&run).len(), refused), (1 + usize::from(come), !come), "{}", run.all());
    }
}

/// Thirty patients at A and twelve at B, each with an event; eleven of A, of whom patient 1 is one, with a second one of another kind, the
/// number of which is 200 and the patient's. Table `e2` has the same rows.
fn events() -> Scratch {
    let folder = Scratch::new("events");
    let rows = |patients: std::ops::RangeInclusive<u32>| {
        let of = |n: u32| {
            let second = if n <= 11 { format!("{n},1,{}\n", 200 + n) } else { String::new() };
            format!("{n},0,{}\n{second}", 100 + n)
        };
        format!("person_id,f,z\n{}", patients.map(of).collect::<String>())
    };
    for table in ["e", "e2"] {
        folder.write(&format!("A/{table}.csv"), rows(1..=30));
        folder.write(&format!("B/{table}.csv"), rows(31..=42));
    }
    folder.write("network.toml", "min_patients = 11\nmin_sites = 2\n");
    folder
}

#[test]
fn two_lists_of_keys_in_one_question_are_not_of_the_same_patients_but_for_one_row() {
    let folder = events();
    let both = |one: &str, other: &str| {
        format!(
            "SELECT f, COUNT(*) AS n FROM {one} GROUP BY f UNION ALL SELECT f, COUNT(*) AS n FROM {other} GROUP BY f"
        )
    };
    let apart = "SELECT z / 1000 AS h, COUNT(*) AS n FROM e WHERE f = 0 AND z <= 111 GROUP BY h UNION ALL \
                 SELECT z / 1000 AS h, COUNT(*) AS n FROM e WHERE f = 1 GROUP BY h";
    let total = "SELECT f, COUNT(*) AS n FROM e GROUP BY f UNION ALL SELECT NULL AS f, COUNT(*) AS n FROM e";
    for (sql, want) in [
        // Ten patients have the value without that row: it would be in the first list alone, and say what patient 1 has.
        (both("e", "e WHERE z <> 201"), "RELEASE_TOO_CLOSE"),
        (both("e", "e2 WHERE z <> 201"), "RELEASE_TOO_CLOSE"),
        // The conditions exclude each other, and the patients are the same.
        (apart.to_owned(), "RELEASE_TOO_CLOSE"),
        // Nobody is in both, and one list beside its total.
        (both("A.e", "B.e"), ""),
        (total.to_owned(), ""),
    ] {
        let run = sandbox(folder.path(), &["--format", "json", "-e", &sql]);
        println!("  {sql}\n    {} {:?}", run.code(), answers(&run));
        assert_eq!((run.code().as_str(), answers(&run).len()), (want, usize::from(want.is_empty())), "{}", run.all());
    }
}
