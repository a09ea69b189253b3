//! Known answers on synthetic hospitals, and no trace of a record in anything the processes leave behind.

mod common;

use std::fs;
use std::path::Path;

use common::{Scratch, consilium, run, sandbox, shared};
use serde_json::{Value, json};

#[test]
fn sums_on_the_three_hospitals_equal_the_pooled_answers() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let queries: Vec<Value> = serde_json::from_slice(&fs::read(data.join("queries.json")).unwrap()).unwrap();
    let sums = |query: &&Value| {
        ["sum", "site-local", "quantile"].iter().any(|kind| query["kind"].as_str().unwrap().starts_with(kind))
    };
    let queries: Vec<&Value> = queries.iter().filter(sums).collect();
    assert!(queries.len() >= 5, "only {} queries of this class", queries.len());
    let mut arguments = vec!["--format", "json"];
    queries.iter().for_each(|query| arguments.extend(["-e", query["sql"].as_str().unwrap()]));
    let answers = sandbox(&data, &arguments).answers();
    assert_eq!(answers.len(), queries.len());
    for (query, answer) in queries.iter().zip(&answers) {
        let names: Vec<&Value> = answer["columns"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
        assert_eq!(names, query["columns"].as_array().unwrap().iter().collect::<Vec<_>>(), "{}", query["id"]);
        assert!(same(&answer["rows"], &query["rows"]), "{}: {} is not {}", query["id"], answer["rows"], query["rows"]);
        assert_eq!(answer["suppressed"], Value::Array(vec![]), "{}", query["id"]);
        println!("{}: ok", query["id"]);
    }
}

/// Three sites with the same four rows, one key NULL.
fn with_null_keys() -> Scratch {
    let folder = Scratch::new("nulls");
    for site in ["A", "B", "C"] {
        folder.write(&format!("{site}/t.csv"), "person_id,k,n\n1,0,5\n2,1,6\n3,,7\n4,3,8\n");
    }
    folder
}

fn rows_of(folder: &Scratch, sql: &str) -> Value {
    sandbox(folder.path(), &["--format", "json", "-e", sql]).answers().remove(0)["rows"].clone()
}

#[test]
fn a_row_whose_condition_is_null_is_not_counted() {
    let folder = with_null_keys();
    // Each holds for every number and is NULL for NULL, so each counts the rows where k is not NULL: three at each
    // site.
    let conditions = [
        "k IS NOT NULL",
        "k NOT IN (1, 2) OR k NOT IN (0, 3)",
        "NOT (k IN (1, 2) AND k IN (0, 3))",
        "k <> 1 OR k <> 2",
        "k > 1 OR NOT (k > 1)",
        "k = k",
        "k * 0 = 0",
        "NOT (k > 5 AND k < 2)",
        "k IN (0, 1) OR k NOT IN (0, 1)",
    ];
    let counted = |condition: &&str| rows_of(&folder, &format!("SELECT COUNT(*) FROM t WHERE {condition}"));
    let wrong: Vec<&&str> = conditions.iter().filter(|condition| counted(condition) != json!([[9]])).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_same_key_may_be_grouped_by_twice() {
    let expected = json!([[0, 0, 3], [1, 1, 3], [3, 3, 3], [null, null, 3]]);
    let sql = "SELECT k AS a, k AS b, COUNT(*) FROM t GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(rows_of(&with_null_keys(), sql), expected);
}

#[test]
fn the_same_aggregate_may_be_asked_for_twice() {
    assert_eq!(rows_of(&with_null_keys(), "SELECT COUNT(*), COUNT(*) FROM t"), json!([[12, 12]]));
}

#[test]
fn the_average_of_decimals_keeps_nine_digits() {
    let folder = Scratch::new("average");
    folder.write("network.toml", "[tables.t.columns.cost]\ntype = \"decimal(10,2)\"\n");
    for (site, cost) in ["0.01", "0.01", "0.02"].iter().enumerate() {
        folder.write(&format!("site{site}/t.csv"), format!("person_id,cost\n1,{cost}\n"));
    }
    let average = rows_of(&folder, "SELECT AVG(cost) FROM t");
    assert!(same(&average, &json!([[0.04 / 3.0]])), "{average}");
}

#[test]
fn good_but_unusual_files_are_read() {
    let folder = Scratch::new("good");
    folder.write("A/t.csv", "person_id,n,x,note\n");
    let quoted = "1,5,0.5,\"Mill, John \"\"Jack\"\"\"\r\n2,,,\"two\nlines\"\r\n";
    folder.write("B/t.csv", format!("\u{feff}person_id,n,x,note\r\n{quoted}"));
    folder.write("C/T.CSV", " Person_ID ,N,X,Note\n3,-7,1e3,\"\"\n\n4,,.25,x");
    let answer = |sql: &str| rows_of(&folder, sql);
    let sql = "SELECT COUNT(*), COUNT(n), SUM(n), COUNT(note), SUM(x) FROM t";
    assert_eq!(answer(sql), json!([[4, 2, -2, 3, 1000.75]]));
    let sql = "SELECT COUNT(*) FROM t WHERE note LIKE 'Mill, John \"J%' OR note = 'two\nlines'";
    assert_eq!(answer(sql), json!([[2]]));
    // Of nothing: a count is 0, everything else is NULL; and no group has no row.
    let sql = "SELECT COUNT(*), SUM(n), AVG(n), STDDEV(x) FROM t WHERE n > 1000";
    assert_eq!(answer(sql), json!([[0, null, null, null]]));
    assert_eq!(answer("SELECT AVG(n), VAR_SAMP(n) FROM A.t"), json!([[null, null]]));
    assert_eq!(answer("SELECT note, COUNT(*) FROM A.t GROUP BY note"), json!([]));
    assert_eq!(answer("SELECT VAR_SAMP(n), VAR_POP(n) FROM B.t"), json!([[null, 0.0]]));
}

/// Equal, real numbers to nine digits.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}

/// Distinct enough to be found anywhere, and typed as a person's source value, a number and a text.
const CANARIES: [&str; 3] = ["Quaxolotl-7731-Zz", "773177317731", "Zanzibaralda"];

#[test]
fn no_record_is_in_the_output_the_errors_or_the_files_of_a_run() {
    let (folder, private) = (Scratch::new("canary"), Scratch::new("canary-tmp"));
    for site in ["A", "B", "C"] {
        let row = format!("1,{},{},{}\n", CANARIES[0], CANARIES[1], CANARIES[2]);
        folder.write(&format!("{site}/person.csv"), format!("person_id,person_source_value,code,name\n{row}2,x,1,y\n"));
    }
    let before = listing(folder.path());
    for sql in [
        "SELECT COUNT(*) FROM person",
        "SELECT COUNT(name) FROM person WHERE person_source_value LIKE 'Q%'",
        "SELECT SUM(code) / NULLIF(COUNT(*), 99) > 0 FROM person WHERE name IS NOT NULL",
        // Refused at the sites, with the canary in the cell that stops them.
        "SELECT SUM(CAST(name AS INTEGER)) FROM person",
        "SELECT SUM(1 / (code - 773177317730 - 1)) FROM person",
        "SELECT SUM(code * code) FROM person",
    ] {
        let path = private.path().to_string_lossy();
        let mut command = consilium(&["sandbox", "--data", &folder.path().to_string_lossy(), "-e", sql]);
        let ended = run(command.env("TMPDIR", &*path).current_dir(private.path()));
        for canary in CANARIES {
            let asked = sql.matches(canary).count();
            assert_eq!(ended.all().matches(canary).count(), asked, "{sql}: {}", ended.all());
        }
    }
    assert_eq!(listing(folder.path()), before, "the data folder is as it was");
    let written = listing(private.path());
    for (path, bytes) in &written {
        for canary in CANARIES {
            assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{canary} is in {path}");
        }
    }
    println!("{} files were written", written.len());
}

/// Every file below a folder with its bytes.
fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(listing(&path));
        } else {
            all.push((path.to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}
