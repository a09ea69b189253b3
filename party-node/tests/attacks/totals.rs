//! A total beside its parts: what it leaves over is a figure, too.

use serde_json::{Value, json};

use crate::common::{Scratch, sandbox};
use crate::one_question::{copies, events};

/// The rows of a question that is answered, in a sandbox of its own.
fn rows(folder: &Scratch, sql: &str) -> Vec<Value> {
    let run = sandbox(folder.path(), &["--format", "json", "-e", sql]);
    assert_eq!(run.answers().len(), 1, "{sql}: {}", run.all());
    let rows = run.answers()[0]["rows"].clone();
    println!("  {sql}\n    {rows}");
    rows.as_array().unwrap().clone()
}

/// Of each question's one row: is a cell behind the first one hidden?
fn hides(folder: &Scratch, sql: &str) -> bool {
    let rows = rows(folder, sql);
    let cells = rows[0].as_array().unwrap();
    assert!(!cells[0].is_null(), "{sql}: the total is shown");
    cells.iter().any(Value::is_null)
}

/// Eleven of A's thirty patients have f = 1, and of the others only patient 15 is left out: with all three figures f of that patient is known.
#[test]
fn exclusive_counts_that_leave_one_patient_of_a_total_over_do_not_come_out_whatever_counts_them() {
    let folder = copies("left-over", true);
    let (few, one) = ("f = 0 AND z <> 115", "f = 1");
    let of = |total: &str, first: &str, second: &str, from: &str| {
        format!("SELECT {total}, {first} FILTER (WHERE {few}) AS a, {second} FILTER (WHERE {one}) AS b FROM {from}")
    };
    let (all, patients) = ("COUNT(*)", "COUNT(DISTINCT person_id)");
    for from in ["m", "A.m"] {
        for (total, first, second) in [
            (all, all, all),
            ("COUNT(z)", all, all),
            (patients, patients, patients),
            (patients, all, patients),
            (all, "COUNT(z)", "COUNT(z)"),
        ] {
            let sql = of(total, first, second, from);
            assert!(hides(&folder, &sql), "{sql}");
        }
    }
    // Three parts, of several kinds.
    let third = "COUNT(*) FILTER (WHERE f = 0 AND z > 130) AS c";
    let few = "f = 0 AND z BETWEEN 112 AND 129";
    for first in [all, patients] {
        let sql =
            format!("SELECT {all}, {first} FILTER (WHERE {few}) AS a, {all} FILTER (WHERE {one}) AS b, {third} FROM m");
        assert!(hides(&folder, &sql), "{sql}");
    }
    let few = "f = 0 AND z <> 115";
    // Those of whom a value is there, of whom one has neither f = 0 nor f = 1; of fifteen others there is none.
    let row = |n: u32| format!("{n},{},{}\n", (n - 1) / 20, if n <= 41 { "7" } else { "" });
    folder.write("A/h.csv", format!("person_id,f,h\n{}", (1..=56).map(row).collect::<String>()));
    let values = "SELECT COUNT(h), COUNT(h) FILTER (WHERE f = 0) AS a, COUNT(h) FILTER (WHERE f = 1) AS b FROM A.h";
    assert!(hides(&folder, values));
    // The same in every group, and by conditions of which the planner does not see that they exclude each other or that nobody is left.
    for sql in [
        format!(
            "SELECT {all}, COUNT(CASE WHEN {few} THEN 1 END) AS a, COUNT(CASE WHEN {one} THEN 1 END) AS b FROM A.m"
        ),
        format!("SELECT {all}, {all} FILTER (WHERE {few}) AS a, {all} FILTER (WHERE f + 0 = 1) AS b FROM A.m"),
        format!(
            "SELECT {all}, {all} FILTER (WHERE f = 0 OR z = 115) AS a, {all} FILTER (WHERE f + 0 = 1) AS b FROM A.m WHERE z <> 101"
        ),
        format!(
            "SELECT {all}, COUNT(w.f) AS a, COUNT(y.f) AS b FROM m v LEFT JOIN m w ON v.person_id = w.person_id AND w.f = 0 AND w.z <> 115 \
                 LEFT JOIN m y ON v.person_id = y.person_id AND y.f = 1"
        ),
        format!(
            "SELECT {all}, COUNT(w1.g) AS a, COUNT(w2.g) AS b FROM A.m v LEFT JOIN A.l w1 ON CASE WHEN v.f = 0 AND v.z <> 115 THEN 1 END = \
                 w1.g LEFT JOIN A.l w2 ON CASE WHEN v.f = 1 THEN 1 END = w2.g"
        ),
        format!(
            "SELECT {all}, COUNT(a) AS a, COUNT(b) AS b FROM (SELECT person_id, CASE WHEN {few} THEN 1 END AS a, NULLIF(f, 0) AS b \
                 FROM A.m) s"
        ),
        format!(
            "SELECT kind, {patients}, {all} FILTER (WHERE {few}) AS a, {all} FILTER (WHERE {one}) AS b FROM v GROUP BY kind"
        ),
    ] {
        assert!(hides(&folder, &sql), "{sql}");
    }
    // Of four and more that may overlap nobody says what follows.
    for sql in [
        format!("{}, COUNT(*) FILTER (WHERE z % 2 = 0) AS c FROM A.m", of("COUNT(NULLIF(f, 3))", all, all, "A.m").replace(" FROM A.m", "")),
        "SELECT COUNT(w.f), COUNT(*) FILTER (WHERE w.f = 0 AND v.z <> 115) AS a, COUNT(*) FILTER (WHERE w.f = 1) AS b, COUNT(*) FILTER \
         (WHERE w.z > 120) AS c FROM A.v v LEFT JOIN A.m w ON v.person_id = w.person_id AND v.kind = 1"
            .to_owned(),
        "SELECT COUNT(*), COUNT(NULLIF(f, 0)) AS a, COUNT(NULLIF(z, 115)) AS b, COUNT(NULLIF(f, 1)) AS c, COUNT(NULLIF(z, 116)) AS d FROM A.m".to_owned(),
    ] {
        let run = sandbox(folder.path(), &["-e", &sql]);
        println!("  {sql}\n    {}", run.code());
        assert_eq!(run.code(), "RELATED_TABLES", "{}", run.all());
    }
}

/// What is said of each patient in a table of them, below the figures: `a` of all but patient 15, `b` of eleven, `c` of the others but patient 15.
fn flags(kind: &str, from: &str) -> String {
    let of = |condition: &str| match kind {
        "COUNT" => format!("COUNT(*) FILTER (WHERE {condition})"),
        _ => format!("{kind}(CASE WHEN {condition} THEN 1 ELSE 0 END)"),
    };
    let (a, b, c) = (of("f = 1 OR z <> 115"), of("f = 1"), of("f = 0 AND z <> 115"));
    format!("FROM (SELECT person_id, {a} AS a, {b} AS b, {c} AS c FROM {from} GROUP BY person_id) s")
}

#[test]
fn a_flag_that_is_made_for_each_patient_and_added_up_is_a_count_like_others() {
    let folder = copies("flags", true);
    for kind in ["MAX", "MIN", "SUM", "COUNT"] {
        for from in ["m", "A.m"] {
            let from = flags(kind, from);
            for figures in
                ["COUNT(*), SUM(a)", "COUNT(*), AVG(a)", "COUNT(*), SUM(b), SUM(c)", "SUM(a), SUM(b), SUM(c)"]
            {
                let sql = format!("SELECT {figures} {from}");
                let run = sandbox(folder.path(), &["--format", "json", "-e", &sql]);
                println!("  {sql}\n    {}", run.all());
                let refused = matches!(run.code().as_str(), "CONDITIONAL_VALUE" | "SUM_NOT_JUDGED" | "NOT_YET");
                let all_shown = || run.answers()[0]["rows"][0].as_array().unwrap().iter().all(|cell| !cell.is_null());
                assert!(refused || !all_shown(), "{sql}: {}", run.all());
            }
        }
        let mean = format!("SELECT AVG(a) {}", flags(kind, "A.m"));
        assert_eq!(rows(&folder, &mean), [json!([null])], "{mean}");
    }
    // Of patient 15 another number of rows is counted than of all others.
    for from in ["v", "A.v"] {
        let of = |what: &str, condition: &str| {
            format!("SELECT person_id, COUNT(*) AS n, {what} AS a FROM {from} {condition} GROUP BY person_id")
        };
        let filter = of("COUNT(*) FILTER (WHERE kind = 1 OR z <> 115)", "");
        let case = of("SUM(CASE WHEN kind = 1 OR z <> 115 THEN 1 ELSE 0 END)", "");
        let once = of("1", "WHERE kind = 1 OR z = 115");
        for sql in [
            format!("SELECT SUM(n), SUM(a) FROM ({filter}) s"),
            format!("SELECT AVG(n), AVG(a) FROM ({filter}) s"),
            format!("SELECT SUM(n - a) FROM ({filter}) s"),
            format!("SELECT SUM(n), SUM(a) FROM ({case}) s"),
            format!("SELECT COUNT(*), SUM(n) FROM ({once}) s"),
            format!("SELECT AVG(n) FROM ({once}) s"),
        ] {
            let cells = rows(&folder, &sql);
            assert!(cells[0].as_array().unwrap().iter().any(Value::is_null), "{sql}: {cells:?}");
        }
    }
    // Visits of each patient, which no condition makes.
    let visits = "SELECT COUNT(*), SUM(n) FROM (SELECT person_id, COUNT(*) AS n FROM v GROUP BY person_id) s";
    assert_eq!(rows(&folder, visits), [json!([42, 84])]);
}

/// Each of three is large, and any two and a total say nothing of few.
#[test]
fn three_choices_that_tell_of_one_patient_together_do_not_all_come_out() {
    let folder = copies("three", true);
    let (a, b) = ("z <= 113", "z > 130");
    // Whom exactly one of three takes, and whom the third takes and no other.
    let (rest, union) = ("z + 0 > 113 AND z + 0 <= 130 AND z <> 115", "z + 0 <= 113 OR z + 0 > 130 OR z = 115");
    for from in ["m", "v"] {
        for count in ["COUNT(*)", "COUNT(DISTINCT person_id)"] {
            let of = |condition: &str| format!("{count} FILTER (WHERE {condition})");
            for (total, third) in [("COUNT(*), ", rest), ("", union), ("COUNT(*), ", union)] {
                let figures = [a, b, third].map(of).join(", ");
                let cells = rows(&folder, &format!("SELECT {total}{figures} FROM {from}"));
                assert!(cells[0].as_array().unwrap().iter().any(Value::is_null), "{total}{third}: {cells:?}");
            }
        }
        let flag = |condition: &str| format!("MAX(CASE WHEN {condition} THEN 1 ELSE 0 END)");
        for third in [rest, union] {
            let [a, b, third] = [a, b, third].map(flag);
            let patients = format!("SELECT person_id, {a} AS a, {b} AS b, {third} AS c FROM {from} GROUP BY person_id");
            let cells = rows(&folder, &format!("SELECT COUNT(*), SUM(a), SUM(b), SUM(c) FROM ({patients}) s"));
            assert!(cells[0].as_array().unwrap().iter().any(Value::is_null), "{third}: {cells:?}");
        }
    }
}

/// Of 120 patients forty each are in two of three choices and have a value, and three are in one and have none.
#[test]
fn three_choices_beside_a_count_of_those_who_have_a_value_tell_of_none_who_has_not() {
    let folder = Scratch::new("three-and-a-value");
    for (site, from) in [("A", 0), ("B", 200)] {
        let row = |n: u32| {
            let [p, q, r] = [1, 2, 3].map(|which| u32::from(n < 60 && n % 3 + 1 != which || n >= 117 && which == 1));
            format!("{},{p},{q},{r},{}\n", from + n, if n < 60 { "7" } else { "" })
        };
        folder.write(&format!("{site}/q.csv"), format!("person_id,p,q,r,h\n{}", (0..120).map(row).collect::<String>()));
    }
    folder.write("network.toml", "min_patients = 11\nmin_sites = 2\n");
    for from in ["A.q", "q"] {
        let three = ["p", "q", "r"].map(|which| format!("COUNT(*) FILTER (WHERE {which} = 1) AS {which}")).join(", ");
        let cells = rows(&folder, &format!("SELECT COUNT(h), {three} FROM {from}"));
        // At both sites six are left: they are few, too.
        assert!(cells[0].as_array().unwrap().iter().any(Value::is_null), "{from}: {cells:?}");
    }
}

/// Sixteen of A's thirty have f = 0 and z above 113, one of them z = 115.
#[test]
fn the_largest_value_of_a_patient_is_read_with_what_is_declared_and_asked_of_it() {
    let folder = copies("largest", true);
    // Stored zeros and ones of patients whom several sites may have: a count beside its total and another.
    let flags = "SELECT person_id, MAX(f) AS a, MAX(CASE WHEN f = 0 AND z <> 115 THEN 1 ELSE 0 END) AS b FROM v GROUP BY person_id";
    let cells = rows(&folder, &format!("SELECT COUNT(*), SUM(a), SUM(b) FROM ({flags}) s"));
    assert!(cells[0].as_array().unwrap().iter().any(Value::is_null), "{cells:?}");
    // Values of which a condition leaves two: one of one patient, one of all others.
    let row = |n: u32| format!("{n},{}\n{n},0\n", if n == 15 { 3 } else { 2 });
    for site in ["A", "B"] {
        folder.write(&format!("{site}/c.csv"), format!("person_id,code\n{}", (1..=30).map(row).collect::<String>()));
    }
    let network = std::fs::read_to_string(folder.at("network.toml")).unwrap();
    folder.write("network.toml", network + "[tables.c.columns.code]\ndomain = [0, 1, 2, 3]\n");
    for from in ["A.c", "c"] {
        for largest in ["MAX(code) FILTER (WHERE code > 1)", "MAX(CASE WHEN code > 1 THEN code END)"] {
            let patients = format!("SELECT person_id, {largest} AS k FROM {from} GROUP BY person_id");
            let run = sandbox(
                folder.path(),
                &["--format", "json", "-e", &format!("SELECT COUNT(k), SUM(k) FROM ({patients}) s")],
            );
            println!("  {largest} {from}: {}", run.all());
            let refused = matches!(run.code().as_str(), "SUM_NOT_JUDGED" | "NOT_YET");
            assert!(refused || run.answers()[0]["rows"][0][1].is_null(), "{largest}, {from}: {}", run.all());
        }
    }
}

#[test]
fn three_choices_that_overlap_at_random_come_out_beside_the_total() {
    let folder = Scratch::new("three-at-random");
    for (site, patients) in [("A", 1..=80), ("B", 61..=120)] {
        let row = |n: u32| {
            format!(
                "{n},{},{},{}\n",
                u32::from(n.is_multiple_of(2)),
                u32::from(n.is_multiple_of(3)),
                u32::from(n <= 90)
            )
        };
        folder.write(&format!("{site}/w.csv"), format!("person_id,x,y,q\n{}", patients.map(row).collect::<String>()));
    }
    folder.write("network.toml", "min_patients = 11\nmin_sites = 2\n");
    let three =
        "COUNT(*) FILTER (WHERE x = 1) AS x, COUNT(*) FILTER (WHERE y = 1) AS y, COUNT(*) FILTER (WHERE q = 1) AS q";
    assert_eq!(rows(&folder, &format!("SELECT COUNT(*) AS n, {three} FROM w")), [json!([140, 70, 46, 110])]);
    let patients = "SELECT person_id, MAX(x) AS x, MAX(CASE WHEN y = 1 THEN 1 ELSE 0 END) AS y, MAX(q) AS q FROM w GROUP BY person_id";
    let three = "COUNT(*) FILTER (WHERE x = 1) AS x, SUM(y) AS y, COUNT(*) FILTER (WHERE q = 1) AS q";
    assert_eq!(
        rows(&folder, &format!("SELECT COUNT(*) AS n, {three} FROM ({patients}) s")),
        [json!([120, 60, 40, 90])]
    );
}

#[test]
fn exclusive_counts_of_matched_patients_that_leave_few_over_do_not_come_out_beside_the_total() {
    let folder = copies("matched-left-over", true);
    let joined = "FROM A.m m JOIN A.v v ON m.person_id = v.person_id WHERE v.kind = 1";
    let of = |total: &str, part: &str, second: &str| {
        format!("SELECT {total}, {part} FILTER (WHERE m.z < 115) AS a, {part} FILTER (WHERE {second}) AS b {joined}")
    };
    let both_sites = |sql: String| sql.replace("A.v v", "v");
    let (all, patients) = ("COUNT(*)", "COUNT(DISTINCT m.person_id)");
    for (total, part) in [(all, all), (patients, patients), ("COUNT(m.f)", all), ("COUNT(v.z)", "COUNT(m.f)")] {
        let seconds = if part == "COUNT(m.f)" { &["m.z > 116"][..] } else { &["m.z > 116", "v.z > 116"] };
        for second in seconds {
            for sql in [of(total, part, second), both_sites(of(total, part, second))] {
                assert!(hides(&folder, &sql), "{sql}");
            }
        }
    }
}

#[test]
fn a_group_that_all_but_few_of_its_total_are_in_does_not_come_out_beside_it() {
    // Only patient 12 has no late row.
    let folder = events();
    for (what, from) in [("COUNT(DISTINCT person_id)", "A.e"), ("COUNT(*)", "A.e"), ("COUNT(*)", "e")] {
        let sql = format!(
            "SELECT 2 AS late, {what} AS n FROM {from} UNION ALL SELECT CASE WHEN z > 112 THEN 1 ELSE 0 END AS late, {what} AS n \
             FROM {from} GROUP BY 1"
        );
        let late: Vec<Value> = rows(&folder, &sql).into_iter().filter(|row| row[0] == json!(1)).collect();
        assert!(late.iter().all(|row| row[1].is_null()), "{sql}: {late:?}");
    }
}

#[test]
fn a_total_comes_out_with_parts_that_leave_many_over() {
    let folder = copies("many-over", true);
    let (all, patients) = ("COUNT(*)", "COUNT(DISTINCT person_id)");
    for (what, from, want) in [
        (all, "m", [42, 11, 19]),
        (patients, "m", [42, 11, 19]),
        (all, "v", [84, 22, 38]),
        (patients, "v", [42, 11, 19]),
    ] {
        let sql = format!(
            "SELECT {what} AS t, {what} FILTER (WHERE f = 1) AS a, {what} FILTER (WHERE f = 0 AND z <= 130) AS b FROM {from}"
        );
        assert_eq!(rows(&folder, &sql), [json!(want)], "{sql}");
    }
    // Twenty-one and fourteen, of whom twenty-one are in one alone.
    let overlap = format!("SELECT {all} FILTER (WHERE z % 2 = 0) AS a, {all} FILTER (WHERE z % 3 = 0) AS b FROM m");
    assert_eq!(rows(&folder, &overlap), [json!([21, 14])]);
    // All patients have rows of both kinds: together more than the total.
    let kinds = format!(
        "SELECT {patients} AS t, {patients} FILTER (WHERE kind = 1) AS a, {patients} FILTER (WHERE kind = 2) AS b FROM v"
    );
    assert_eq!(rows(&folder, &kinds), [json!([42, 42, 42])]);
    assert_eq!(rows(&folder, &kinds.replace("FROM v", "FROM A.v")), [json!([30, 30, 30])]);
    // All rows in two parts, with the mean of each, or of all: of sixteen and fourteen patients.
    let measured = |n: u32| format!("{n},{},{}\n", 100 + n, 3 * n);
    folder.write("A/w.csv", format!("person_id,z,x\n{}", (1..=30).map(measured).collect::<String>()));
    let (young, old) = ("FILTER (WHERE z <= 116)", "FILTER (WHERE z > 116)");
    for sql in [
        format!("SELECT {all} AS t, {all} {young} AS a, {all} {old} AS b FROM A.w"),
        format!("SELECT {all} {young} AS a, AVG(x) {young} AS c, {all} {old} AS b, AVG(x) {old} AS d FROM A.w"),
        format!("SELECT AVG(x) AS t, {all} {young} AS a, {all} {old} AS b FROM A.w"),
        format!(
            "SELECT {all} AS t, {all} {young} AS a, {all} {old} AS b, {all} FILTER (WHERE z > 116 AND z <= 130) AS c FROM m"
        ),
        format!("SELECT {patients} AS t, AVG(x) {young} AS a, SUM(1) {old} AS b FROM A.w"),
    ] {
        assert!(rows(&folder, &sql)[0].as_array().unwrap().iter().all(|cell| !cell.is_null()), "{sql}");
    }
    // Counts that nobody chose anything for, and one choice.
    let figures = "SELECT AVG(x) AS x, COUNT(x) AS n, COUNT(z) AS m, COUNT(*) FILTER (WHERE z <= 116) AS a FROM A.w";
    assert_eq!(rows(&folder, figures)[0].as_array().unwrap().iter().filter(|cell| cell.is_null()).count(), 0);
}
