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
pub fn events() -> Scratch {
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

/// Thirty patients at A and twelve at B. Table `m` has a row of each, f = 1 for the first eleven, z = 100 and the patient's number; `v` has these
/// rows twice, as kind 1 and 2; `k` has the kinds alone, and `l` the numbers 1 and 2. Who asks knows patient 15 by z = 115, and patient 1 by 101.
pub fn copies(name: &str, declared: bool) -> Scratch {
    let folder = Scratch::new(name);
    for (site, patients) in [("A", 1..=30), ("B", 31..=42)] {
        let rows = |of: &dyn Fn(u32) -> String| patients.clone().map(of).collect::<String>();
        let f = |n: u32| u32::from(n <= 11);
        let once = rows(&|n| format!("{n},{},{}\n", f(n), 100 + n));
        let twice = rows(&|n| [1, 2].map(|kind| format!("{n},{kind},{},{}\n", f(n), 100 + n)).concat());
        let kinds = rows(&|n| [1, 2].map(|kind| format!("{n},{kind}\n")).concat());
        // Three each at both sites have a rare value, six other patients.
        let rare = rows(&|n| format!("{n},{}\n", if patients.clone().rev().take(3).any(|p| p == n) { 3 } else { 1 }));
        folder.write(&format!("{site}/m.csv"), format!("person_id,f,z\n{once}"));
        folder.write(&format!("{site}/m2.csv"), format!("person_id,f,z\n{once}"));
        folder.write(&format!("{site}/v.csv"), format!("person_id,kind,f,z\n{twice}"));
        folder.write(&format!("{site}/k.csv"), format!("person_id,kind\n{kinds}"));
        folder.write(&format!("{site}/r.csv"), format!("person_id,c\n{rare}"));
        folder.write(&format!("{site}/l.csv"), "g\n1\n2\n");
    }
    let domains =
        ["m.columns.f", "m2.columns.f", "v.columns.f"].map(|at| format!("[tables.{at}]\ndomain = [0, 1]\n")).concat();
    let known =
        ["v.columns.kind", "k.columns.kind", "l.columns.g"].map(|at| format!("[tables.{at}]\ndomain = [1, 2]\n"));
    let known = known.concat() + "[tables.r.columns.c]\ndomain = [1, 2, 3]\n";
    let domains = if declared { domains } else { String::new() };
    folder.write("network.toml", format!("min_patients = 11\nmin_sites = 2\n{known}{domains}"));
    folder
}

/// Asks each in a sandbox of its own.
fn asked(folder: &Scratch, questions: &[(&str, &str)]) {
    for (sql, want) in questions {
        let run = sandbox(folder.path(), &["--format", "json", "-e", sql]);
        println!("  {sql}\n    {} {:?}", run.code(), answers(&run));
        assert_eq!((run.code().as_str(), answers(&run).len()), (*want, usize::from(want.is_empty())), "{}", run.all());
    }
}

#[test]
fn groups_that_a_question_makes_of_the_same_patients_but_for_one_are_not_told() {
    asked(
        &copies("copies", true),
        &[
            // A key that says from which branch a row comes: of other tables, other sites, or both of one table.
            (
                "SELECT g, COUNT(*) AS n FROM (SELECT 1 AS g, f FROM m UNION ALL SELECT 2, f FROM v WHERE kind = 1 AND z <> 115) s \
                 WHERE f = 0 GROUP BY g",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT g, COUNT(DISTINCT person_id) AS n FROM (SELECT 1 AS g, person_id FROM m WHERE f = 0 UNION ALL SELECT 2, person_id \
                 FROM m2 WHERE f = 0 AND z <> 115) s GROUP BY g",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT g, COUNT(DISTINCT person_id) AS n FROM (SELECT 1 AS g, person_id FROM A.m WHERE f = 0 UNION ALL SELECT 2, \
                 person_id FROM A.m2 WHERE f = 0 AND z <> 115) s GROUP BY g",
                "RELEASE_TOO_CLOSE",
            ),
            // A list beside the rows: written as a query, written as values, stored.
            (
                "SELECT g, COUNT(DISTINCT person_id) AS n FROM m CROSS JOIN (SELECT 1 AS g UNION ALL SELECT 2) l WHERE f = 0 AND \
                 (g = 1 OR z <> 115) GROUP BY g",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT g, COUNT(DISTINCT person_id) AS n FROM m CROSS JOIN (VALUES (1, 0), (2, 115)) l(g, t) WHERE f = 0 AND z <> t \
                 GROUP BY g",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT l.g, COUNT(*) AS n FROM A.m m JOIN A.l l ON m.z <> 115 OR l.g = 1 WHERE f = 0 GROUP BY l.g",
                "RELEASE_TOO_CLOSE",
            ),
            // Rows of which every patient has one of each kind.
            (
                "SELECT kind, COUNT(*) AS n FROM v WHERE f = 0 AND (kind = 1 OR z <> 115) GROUP BY kind",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT kind, COUNT(*) AS n FROM A.m m JOIN A.k k ON m.person_id = k.person_id WHERE f = 0 AND (kind = 1 OR z <> 115) \
                 GROUP BY kind",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT CASE WHEN kind = 1 THEN 1 WHEN z <> 115 THEN 2 END AS k, COUNT(*) AS n FROM v WHERE f = 0 GROUP BY 1",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT kind, COUNT(*) FILTER (WHERE kind = 1 OR z <> 115) AS n FROM v WHERE f = 0 GROUP BY kind",
                "RELEASE_TOO_CLOSE",
            ),
            (
                "SELECT 1 AS k, COUNT(*) AS n FROM v WHERE kind = 1 AND f = 0 UNION ALL \
                 SELECT 2 AS k, COUNT(*) AS n FROM v WHERE kind = 2 AND f = 0 AND z <> 115",
                "RELEASE_TOO_CLOSE",
            ),
            // What tables say by themselves, a list without a choice, groups of which nobody sees that they are few.
            ("SELECT kind, COUNT(*) AS n FROM v WHERE f = 0 GROUP BY kind", ""),
            ("SELECT g, COUNT(DISTINCT person_id) AS n FROM m CROSS JOIN (VALUES (1), (2)) l(g) GROUP BY g", ""),
            ("SELECT c, COUNT(*) AS n FROM A.r GROUP BY c UNION ALL SELECT c, COUNT(*) AS n FROM B.r GROUP BY c", ""),
            (
                "SELECT g, COUNT(DISTINCT person_id) AS n FROM (SELECT 1 AS g, person_id FROM m UNION ALL SELECT 2, person_id FROM m \
                 WHERE z < 104 UNION ALL SELECT 3, person_id FROM m WHERE z > 138) s GROUP BY g",
                "",
            ),
        ],
    );
}

#[test]
fn keys_of_groups_that_a_question_makes_of_the_same_patients_are_not_agreed() {
    asked(
        &copies("copied-keys", false),
        &[
            (
                "SELECT g, f, COUNT(DISTINCT person_id) AS n FROM (SELECT 1 AS g, f, person_id FROM m UNION ALL SELECT 2, f, person_id \
                 FROM m2 WHERE z <> 101) s GROUP BY g, f",
                "KEYS_NOT_AGREEABLE",
            ),
            (
                "SELECT g, f, COUNT(DISTINCT person_id) AS n FROM m CROSS JOIN (SELECT 1 AS g UNION ALL SELECT 2) l WHERE g = 1 OR \
                 z <> 101 GROUP BY g, f",
                "KEYS_NOT_AGREEABLE",
            ),
            (
                "SELECT f, COUNT(*) AS n FROM v WHERE kind = 1 GROUP BY f UNION ALL \
                 SELECT f, COUNT(*) AS n FROM v WHERE kind = 2 AND z <> 101 GROUP BY f",
                "RELEASE_TOO_CLOSE",
            ),
            // A cohort that is chosen by a union or a list, labels of codes, and rows of several sites or tables are no copies.
            (
                "SELECT f, COUNT(DISTINCT person_id) AS n FROM m WHERE person_id IN (SELECT person_id FROM v WHERE f = 1 UNION SELECT \
                 person_id FROM v WHERE f = 0) GROUP BY f",
                "",
            ),
            (
                "SELECT c.name, COUNT(DISTINCT person_id) AS n FROM m JOIN (VALUES (0, 'no'), (1, 'yes')) c(code, name) ON m.f = c.code \
                 GROUP BY c.name",
                "",
            ),
            (
                "SELECT f, COUNT(DISTINCT person_id) AS n FROM (SELECT f, person_id FROM m WHERE z < 110 UNION ALL SELECT f, person_id \
                 FROM m WHERE z >= 110) s GROUP BY f",
                "",
            ),
            ("SELECT f, COUNT(*) AS n FROM (SELECT f FROM m UNION ALL SELECT f FROM m2) s GROUP BY f", ""),
        ],
    );
}

#[test]
fn of_two_counts_with_few_patients_between_them_one_is_hidden_though_many_rows_are() {
    let folder = copies("kinds", true);
    let cells = |sql: &str| {
        let run = sandbox(folder.path(), &["--format", "json", "-e", sql]);
        assert_eq!(run.answers().len(), 1, "{}", run.all());
        println!("  {sql}\n    {}", run.answers()[0]["rows"]);
        run.answers()[0]["rows"][0].clone()
    };
    // Of every patient there is a row of each kind: the second count is over all but patient 15.
    let all_and =
        |condition: &str| format!("SELECT COUNT(*) AS a, COUNT(*) FILTER (WHERE {condition}) AS b FROM v WHERE f = 0");
    assert_eq!(cells(&all_and("kind = 2 AND z <> 115")), json!([62, null]));
    assert_eq!(cells(&all_and("kind = 2")), json!([62, 31]));
    let kinds = |condition: &str| {
        format!(
            "SELECT COUNT(*) FILTER (WHERE kind = 1) AS a, COUNT(*) FILTER (WHERE {condition}) AS b FROM v WHERE f = 0"
        )
    };
    assert_eq!(cells(&kinds("kind = 2 AND z <> 115")), json!([31, null]));
    // The same patients, and nobody sees how many rows there are besides.
    assert_eq!(cells(&kinds("kind = 2")), json!([31, 31]));
    // Matched patients.
    let matched = |condition: &str| {
        format!(
            "SELECT COUNT(DISTINCT m.person_id) AS a, COUNT(DISTINCT CASE WHEN {condition} THEN m.person_id END) AS b \
             FROM A.m m JOIN A.v v ON m.person_id = v.person_id WHERE v.f = 0"
        )
    };
    assert_eq!(cells(&matched("v.kind = 2 AND v.z <> 115")), json!([19, null]));
    assert_eq!(cells(&matched("v.kind = 2")), json!([19, 19]));
}
