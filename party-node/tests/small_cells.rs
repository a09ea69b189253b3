//! Small cells are hidden before anything is opened, in three real processes, and nothing that is shown tells a hidden
//! one.

mod common;

use common::{Scratch, sandbox, shared};
use serde_json::{Value, json};

/// Three sites whose rows are these counts of key and flag: `(key, flag, rows at A, B, C)`; flag 2 is NULL. Every row is of a patient of
/// its own, so that rows and patients are the same number.
fn network(cells: &[(i64, i64, [usize; 3])], settings: &str) -> Scratch {
    let folder = Scratch::new("small");
    for (site, name) in ["A", "B", "C"].iter().enumerate() {
        let mut text = String::from("person_id,k,f,x\n");
        let mut person = 1000 * site;
        for (key, flag, rows) in cells {
            for row in 0..rows[site] {
                let flag = if *flag == 2 { String::new() } else { flag.to_string() };
                text += &format!("{person},{key},{flag},{}\n", 10 * key + row as i64);
                person += 1;
            }
        }
        folder.write(&format!("{name}/t.csv"), text);
    }
    folder.write("network.toml", settings);
    folder
}

const DECLARED: &str = "min_patients = 11\n[tables.t.columns.k]\ndomain = [1, 2, 3, 4]\n";

fn answer(folder: &Scratch, more: &[&str], sql: &str) -> Value {
    sandbox(folder.path(), &[&["--format", "json", "-e", sql], more].concat()).answers().remove(0)
}

/// Rows with the label in the place of hidden cells, as a reader sees them.
fn seen(answer: &Value) -> Vec<Vec<Value>> {
    let names: Vec<&str> = answer["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let mut rows: Vec<Vec<Value>> =
        answer["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
    for hidden in answer["suppressed"].as_array().unwrap() {
        let at = names.iter().position(|name| *name == hidden["column"]).unwrap();
        let cell = &mut rows[hidden["row"].as_u64().unwrap() as usize][at];
        assert_eq!(*cell, Value::Null, "a suppressed cell is null in the rows");
        *cell = hidden["label"].clone();
    }
    rows
}

/// The rows by their first column: ORDER BY leaves the order of ties open.
fn any_order(answer: &Value) -> Vec<Vec<Value>> {
    let mut rows = seen(answer);
    rows.sort_by_key(|row| row[0].as_i64());
    rows
}

fn rows(value: Value) -> Vec<Vec<Value>> {
    value.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect()
}

#[test]
fn small_cells_of_the_three_hospitals_come_back_hidden() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let queries = std::fs::read(data.join("queries.json")).unwrap();
    let queries: Vec<Value> = serde_json::from_slice(&queries).unwrap();
    let query = queries.iter().find(|query| query["id"] == "small_cells").unwrap();
    let arguments = ["--format", "json", "--set", "min_patients=11", "-e", query["sql"].as_str().unwrap()];
    let expected: Vec<Vec<Value>> = rows(query["rows"].clone())
        .into_iter()
        .map(|row| if row[1].as_u64().unwrap() < 11 { vec![row[0].clone(), json!("<11")] } else { row })
        .collect();
    assert_eq!(seen(&sandbox(&data, &arguments).answers()[0]), expected);
}

#[test]
fn the_limit_is_for_the_total_of_all_sites_and_every_declared_group_is_a_row() {
    let cells = [(1, 0, [5, 5, 5]), (2, 0, [10, 0, 0]), (3, 0, [0, 11, 0])];
    let folder = network(&cells, DECLARED);
    let sql = "SELECT k, COUNT(*) AS n, SUM(x) AS s, MAX(x) AS m FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k";
    let hidden = "<11";
    let expected =
        json!([[1, 15, 180, 14], [2, hidden, hidden, hidden], [3, 11, 385, 40], [4, hidden, hidden, hidden]]);
    assert_eq!(seen(&answer(&folder, &[], sql)), rows(expected));
    let zero = answer(
        &folder,
        &["--set", "zero_allowed=true"],
        "SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k",
    );
    assert_eq!(seen(&zero), rows(json!([[1, 15], [2, hidden], [3, 11], [4, 0]])));
    // The strictest site wins.
    let strict = answer(
        &folder,
        &["--set", "sites.B.min_patients=12"],
        "SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k",
    );
    assert_eq!(seen(&strict), rows(json!([[1, 15], [2, "<12"], [3, "<12"], [4, "<12"]])));
}

#[test]
fn the_limit_is_for_patients_however_many_rows_and_hospitals_they_have() {
    let folder = Scratch::new("patients");
    // Ten patients at all three sites, with two rows each; eleven more at one site.
    for name in ["A", "B", "C"] {
        let few = (0..20).map(|row| format!("{},1\n", row / 2)).collect::<String>();
        let enough = (0..11).map(|row| format!("{},2\n", 100 + row)).collect::<String>();
        folder.write(&format!("{name}/t.csv"), format!("person_id,k\n{few}{}", if name == "A" { &enough } else { "" }));
    }
    folder.write("network.toml", "min_patients = 11\n[tables.t.columns.k]\ndomain = [1, 2]\n");
    let sql =
        "SELECT k, COUNT(*) AS n, COUNT(DISTINCT person_id) AS p FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k";
    assert_eq!(seen(&answer(&folder, &[], sql)), rows(json!([[1, "<11", "<11"], [2, 11, 11]])));
}

#[test]
fn patients_of_a_rare_diagnosis_come_back_as_fewer_than_the_limit() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let queries: Vec<Value> = serde_json::from_slice(&std::fs::read(data.join("queries.json")).unwrap()).unwrap();
    let query = queries.iter().find(|query| query["id"] == "small_patients").unwrap();
    let arguments = ["--format", "json", "--set", "min_patients=11", "-e", query["sql"].as_str().unwrap()];
    assert_eq!(seen(&sandbox(&data, &arguments).answers()[0]), rows(json!([["<11"]])));
}

#[test]
fn rare_keys_that_nobody_declared_stay_unknown() {
    let cells = [(1, 0, [5, 5, 5]), (2, 0, [5, 5, 0]), (3, 0, [4, 4, 4])];
    let folder = network(&cells, "min_patients = 11\nmax_groups = 16\n");
    let answered = answer(&folder, &[], "SELECT k, COUNT(*) AS n FROM t GROUP BY k ORDER BY k");
    assert_eq!(seen(&answered), rows(json!([[1, 15], [3, 12]])));
    assert!(answered["disclosures"].to_string().contains("at least 11 patients"));
    // One site keeps its rare keys back by itself.
    assert_eq!(seen(&answer(&folder, &[], "SELECT k, COUNT(*) AS n FROM A.t GROUP BY k")), rows(json!([])));
}

#[test]
fn a_choice_of_rows_that_leaves_few_out_is_hidden_too() {
    // 40 rows of key 1: 35 with flag 1, 5 without.
    let folder = network(&[(1, 1, [12, 12, 11]), (1, 2, [2, 2, 1])], "min_patients = 11\n");
    let sql = "SELECT COUNT(*) AS n, COUNT(f) AS known, COUNT(*) FILTER (WHERE f = 1) AS yes, SUM(CASE WHEN f = 1 THEN 1 ELSE 0 END) AS ones FROM t";
    assert_eq!(seen(&answer(&folder, &[], sql)), rows(json!([[40, "<11", "<11", "<11"]])));
}

#[test]
fn a_choice_of_rows_that_leaves_many_rows_of_one_patient_out_is_hidden_too() {
    let folder = Scratch::new("one-patient-between");
    for name in ["A", "B", "C"] {
        // Twelve rows of patient 1 at each site, and one of each of twenty others.
        let one = "1,0\n".repeat(12);
        let others = (0..20).map(|row| format!("{},1\n", 100 + row)).collect::<String>();
        folder.write(&format!("{name}/t.csv"), format!("person_id,f\n{one}{others}"));
    }
    folder.write("network.toml", "min_patients = 11\n");
    let sql = "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE f = 1) AS yes FROM t";
    assert_eq!(seen(&answer(&folder, &[], sql)), rows(json!([[96, "<11"]])));
}

#[test]
fn a_total_beside_its_parts_hides_a_second_part() {
    let cells = [(1, 0, [5, 5, 5]), (2, 0, [2, 1, 0]), (3, 0, [20, 20, 20]), (4, 0, [9, 9, 9])];
    let folder = network(&cells, DECLARED);
    let sql = "SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k UNION ALL SELECT NULL, COUNT(*) FROM t WHERE k IS NOT NULL";
    let seen = seen(&answer(&folder, &[], sql));
    let count = |key: Value| seen.iter().find(|row| row[0] == key).map(|row| row[1].clone()).unwrap();
    assert_eq!(count(json!(2)), "<11");
    // What is hidden together must leave every hidden cell anything from 0 to 10.
    let total = count(Value::Null);
    let shown: i64 = [1, 2, 3, 4].iter().filter_map(|key| count(json!(key)).as_i64()).sum();
    let hidden = [1, 2, 3, 4].iter().filter(|key| count(json!(key)) == "<11").count();
    assert!(total == "<11" || hidden >= 2 && total.as_i64().unwrap() - shown >= 10, "{seen:?}");
}

/// Numbers from a printed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Can the hidden counts be completed to what is shown with the cell at `at` equal to `value`? Counts may be any number
/// from 0 up, so it is enough that the rest can take up what is left.
fn possible(parts: &[Option<i64>], total: Option<i64>, at: usize, value: i64) -> bool {
    let Some(total) = total else { return true };
    let shown: i64 = parts.iter().flatten().sum();
    let others = parts.iter().enumerate().filter(|(i, part)| *i != at && part.is_none()).count();
    let left = total - shown - value;
    if others > 0 { left >= 0 } else { left == 0 }
}

#[test]
fn from_all_that_is_shown_a_hidden_cell_may_be_anything_below_the_limit() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = Random(seed);
    for round in 0..12 {
        let mut cells = Vec::new();
        for key in 1..=4 {
            let most = [3, 5, 30, 60][random.below(4) as usize];
            cells.push((key, 0, [0; 3].map(|_: usize| random.below(most) as usize)));
        }
        let folder = network(&cells, DECLARED);
        let sql = "SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k UNION ALL SELECT NULL, COUNT(*) FROM t WHERE k IS NOT NULL";
        let seen = seen(&answer(&folder, &[], sql));
        let shown = |key: Value| seen.iter().find(|row| row[0] == key).and_then(|row| row[1].as_i64());
        let parts: Vec<Option<i64>> = (1..=4).map(|key| shown(json!(key))).collect();
        let total = shown(Value::Null);
        for (at, (_, _, rows)) in cells.iter().enumerate() {
            let count = rows.iter().sum::<usize>() as i64;
            match parts[at] {
                Some(n) => assert!(n == count && n >= 11, "round {round}: {seen:?}"),
                None => assert!(
                    (0..11).all(|value| possible(&parts, total, at, value)),
                    "round {round}: {cells:?} is answered by {seen:?}"
                ),
            }
        }
    }
}

#[test]
fn what_derives_from_a_hidden_cell_is_hidden_wherever_it_goes() {
    let cells = [(1, 0, [5, 5, 5]), (2, 0, [2, 1, 0]), (3, 0, [20, 20, 20]), (4, 0, [9, 9, 9])];
    let folder = network(&cells, DECLARED);
    let from = "FROM t WHERE k IS NOT NULL GROUP BY k";
    let ask = |sql: &str| seen(&answer(&folder, &[], sql));
    // Hidden cells sort last in both directions, and LIMIT cuts after that.
    let h = "<11";
    assert_eq!(
        ask(&format!("SELECT k, COUNT(*) AS n {from} ORDER BY n DESC")),
        rows(json!([[3, 60], [4, 27], [1, 15], [2, h]]))
    );
    assert_eq!(
        ask(&format!("SELECT k, COUNT(*) AS n {from} ORDER BY n")),
        rows(json!([[1, 15], [4, 27], [3, 60], [2, h]]))
    );
    // A made-up value is not shown, a branch that does not look at the cell is.
    let sql = format!(
        "SELECT k, COALESCE(COUNT(*), 0) AS a, CASE WHEN k = 2 THEN -1 ELSE COUNT(*) END AS b, CASE WHEN COUNT(*) > 20 THEN 'many' \
         ELSE 'few' END AS c, k * 2 AS d {from} ORDER BY k"
    );
    let expected = json!([[1, 15, 15, "few", 2], [2, h, -1, h, 4], [3, 60, 60, "many", 6], [4, 27, 27, "many", 8]]);
    assert_eq!(ask(&sql), rows(expected));
    // HAVING drops what it cannot know.
    assert_eq!(ask(&format!("SELECT k {from} HAVING COUNT(*) < 20 ORDER BY k")), rows(json!([[1]])));
    assert_eq!(ask(&format!("SELECT k {from} HAVING COUNT(*) IS NOT NULL ORDER BY k")), rows(json!([[1], [3], [4]])));
    // Through subqueries, aggregates over revealed rows and windows.
    assert_eq!(ask(&format!("SELECT MAX(n) AS m FROM (SELECT k, COUNT(*) AS n {from}) s")), rows(json!([[h]])));
    assert_eq!(
        ask(&format!("SELECT MAX(n) AS m FROM (SELECT k, COUNT(*) AS n {from}) s WHERE k IN (3, 4)")),
        rows(json!([[60]]))
    );
    let share = "SELECT (SELECT COUNT(*) FROM t WHERE k = 2) * 1.0 / (SELECT COUNT(*) FROM t) AS share";
    assert_eq!(ask(share), rows(json!([[h]])));
}

#[test]
fn the_first_groups_come_without_the_others() {
    let cells = [(1, 0, [5, 5, 5]), (2, 0, [2, 1, 0]), (3, 0, [5, 5, 5]), (4, 0, [9, 9, 9])];
    let folder = network(
        &cells,
        "max_groups = 16\n[tables.t.columns.k]\ndomain = [1, 2, 3, 4, 5]\n[tables.t.columns.x]\nrange = [0, 1000]\n",
    );
    let from = "FROM t WHERE k IS NOT NULL GROUP BY k";
    let ask = |sql: &str, more: &[&str]| answer(&folder, more, sql);
    let top = ask(&format!("SELECT k, COUNT(*) AS n, SUM(x) AS s {from} ORDER BY n DESC, k DESC LIMIT 2"), &[]);
    assert_eq!(seen(&top), rows(json!([[4, 27, 1188], [3, 15, 480]])));
    assert!(top["disclosures"].to_string().contains("every row left out has at most the last one's"));
    // A group without rows is none of the smallest; ties go by the order of the groups.
    let least = ask(&format!("SELECT k, COUNT(*) AS n {from} ORDER BY n LIMIT 2"), &[]);
    assert_eq!(seen(&least), rows(json!([[2, 3], [1, 15]])));
    // Hidden groups come last, and fill up what is left.
    let hiding = ["--set", "min_patients=11"];
    let least = ask(&format!("SELECT k, COUNT(*) AS n {from} ORDER BY n LIMIT 2"), &hiding);
    assert_eq!(any_order(&least), rows(json!([[1, 15], [3, 15]])));
    let most = ask(&format!("SELECT k, COUNT(*) AS n {from} ORDER BY n DESC LIMIT 4"), &hiding);
    assert_eq!(seen(&most)[3], [json!(2), json!("<11")]);
    assert_eq!(any_order(&most), rows(json!([[1, 15], [2, "<11"], [3, 15], [4, 27]])));
}

#[test]
fn an_answer_for_everyone_hides_what_a_site_could_compute_by_its_own_rows() {
    // Without A's 20 rows, 3 are left.
    let folder = network(&[(1, 0, [20, 2, 1]), (2, 0, [20, 11, 12])], DECLARED);
    let sql = "SELECT k, COUNT(*) AS n FROM t WHERE k IN (1, 2) GROUP BY k ORDER BY k";
    assert_eq!(seen(&answer(&folder, &[], sql)), rows(json!([[1, 23], [2, 43]])));
    assert_eq!(seen(&answer(&folder, &["--to", "everyone"], sql)), rows(json!([[1, "<11"], [2, 43]])));
}

#[test]
fn an_answer_for_everyone_is_judged_by_patients_too() {
    let folder = Scratch::new("everyone");
    let text = |of: &[(usize, usize)]| of.iter().map(|(person, k)| format!("{person},{k}\n")).collect::<String>();
    // Of k = 1 the others have fifteen rows of one patient; of k = 2 all is fine; of k = 3 A has everybody whom B has.
    let of = |from: usize, count: usize, k: usize| (from..from + count).map(move |person| (person, k));
    let a: Vec<_> = of(100, 20, 1).chain(of(200, 20, 2)).chain(of(300, 20, 3)).collect();
    let b: Vec<_> = std::iter::repeat_n((500, 1), 15).chain(of(600, 20, 2)).chain(of(300, 15, 3)).collect();
    let c: Vec<_> = of(700, 20, 2).collect();
    for (name, own) in [("A", &a), ("B", &b), ("C", &c)] {
        folder.write(&format!("{name}/t.csv"), format!("person_id,k\n{}", text(own)));
    }
    folder.write("network.toml", "min_patients = 11\n[tables.t.columns.k]\ndomain = [1, 2, 3]\n");
    let sql = "SELECT k, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k";
    assert_eq!(seen(&answer(&folder, &[], sql)), self::rows(json!([[1, 35], [2, 60], [3, 35]])));
    let everyone = answer(&folder, &["--to", "everyone"], sql);
    assert_eq!(seen(&everyone), self::rows(json!([[1, "<11"], [2, 60], [3, "<11"]])));
}

#[test]
fn an_answer_that_holds_for_every_patient_of_a_group_says_so() {
    let folder = network(&[(1, 1, [8, 8, 8]), (2, 0, [8, 8, 8])], DECLARED);
    let sql =
        "SELECT k, COUNT(*) AS n, COUNT(*) FILTER (WHERE f = 1) AS yes FROM t WHERE k IN (1, 2) GROUP BY k ORDER BY k";
    let flagged = answer(&folder, &[], sql)["disclosures"].to_string();
    assert!(flagged.contains("all of the rows where t.k = 1 count for"), "{flagged}");
    let quiet = answer(&folder, &["--set", "flag_extreme_shares=false"], sql)["disclosures"].to_string();
    assert!(!quiet.contains("all of the rows"), "{quiet}");
}

#[test]
fn labels_stand_in_tables_and_files() {
    let folder = network(&[(1, 0, [5, 5, 5]), (2, 0, [2, 1, 0])], DECLARED);
    let sql = "SELECT k, COUNT(*) AS n FROM t WHERE k IN (1, 2) GROUP BY k ORDER BY k";
    let csv = sandbox(folder.path(), &["--format", "csv", "-e", sql]);
    assert_eq!(csv.stdout, "k,n\r\n1,15\r\n2,<11\r\n", "{}", csv.stderr);
    assert!(sandbox(folder.path(), &["-e", sql]).stdout.contains("2 | <11"));
}
