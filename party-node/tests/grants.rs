//! What `explain --grants` prints is enough for a question to run, and less is not: on the bundled hospitals, with real runs.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, Scratch, consilium, run, sandbox, shared};
use serde_json::Value;

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];
/// Bundled questions of five forms, one of them over one site alone.
const QUESTIONS: [&str; 5] =
    ["count_rows", "prevalence_by_sex", "age_mean_var", "conditions_by_decade", "site_local_join"];
/// Whatever a policy allows needs nobody's decision.
const BY_RULE: &str = "\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching', 'extreme']\n";

/// The hospitals' tables, and no policy: nothing is allowed until one is written.
fn hospitals(data: &Path) -> Scratch {
    let folder = Scratch::new("grants");
    for site in SITES {
        for file in fs::read_dir(data.join(site)).unwrap() {
            let file = file.unwrap();
            let bytes = fs::read(file.path()).unwrap();
            folder.write(&format!("{site}/{}", file.file_name().to_string_lossy()), bytes);
        }
        folder.write(&format!("{site}/policy.toml"), "tell_reasons = true\n");
    }
    folder
}

/// What each site would have to allow.
fn granted(folder: &Scratch, sql: &str, more: &[&str]) -> Vec<toml::Table> {
    let data = folder.path().to_string_lossy();
    let ended = run(consilium(&["explain", "--grants", "--data", &data, "-e", sql]).args(more));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let of = |site: &&str| {
        let (_, policy) = ended.stdout.split_once(&format!("# {site}\n")).expect("every site is named");
        policy.split("# ").next().unwrap().parse::<toml::Table>().unwrap()
    };
    SITES.iter().map(of).collect()
}

fn asked_under(folder: &Scratch, policies: &[toml::Table], sql: &str) -> Run {
    for (site, policy) in SITES.iter().zip(policies) {
        let mut policy = policy.clone();
        policy.insert("tell_reasons".into(), true.into());
        let text = toml::to_string(&policy).unwrap();
        folder.write(&format!("{site}/policy.toml"), text + BY_RULE);
    }
    sandbox(folder.path(), &["--format", "json", "-e", sql])
}

/// Takes the first use of a column away, or a class where rows are only counted. Was there one?
fn one_less(policy: &mut toml::Table) -> bool {
    let columns = policy.get_mut("columns").and_then(toml::Value::as_table_mut);
    let uses = columns.into_iter().flat_map(|tables| tables.iter_mut()).filter_map(|(_, table)| table.as_table_mut());
    for column in uses.flat_map(|table| table.iter_mut().map(|(_, column)| column)) {
        let uses = match column {
            toml::Value::Array(uses) => Some(uses),
            other => other.get_mut("uses").and_then(toml::Value::as_array_mut),
        };
        if uses.is_some_and(|uses| uses.pop().is_some()) {
            return true;
        }
    }
    policy.get_mut("classes").and_then(toml::Value::as_array_mut).is_some_and(|classes| classes.pop().is_some())
}

#[test]
fn five_bundled_questions_run_under_the_policies_printed_for_them_and_not_under_less() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let queries: Vec<Value> = serde_json::from_slice(&fs::read(data.join("queries.json")).unwrap()).unwrap();
    let folder = hospitals(&data);
    for name in QUESTIONS {
        let query = queries.iter().find(|query| query["id"] == name).expect("it is one of the bundled questions");
        let sql = query["sql"].as_str().unwrap();
        let empty = sandbox(folder.path(), &["-e", sql]);
        assert!(["COLUMN_NOT_ALLOWED", "CLASS_NOT_ALLOWED"].contains(&&*empty.code()), "{name}: {}", empty.all());
        let mut policies = granted(&folder, sql, &["--min-patients", "1"]);
        let answer = asked_under(&folder, &policies, sql).answers().remove(0);
        let same = answer["rows"] == query["rows"] || close(&answer["rows"], &query["rows"]);
        assert!(same, "{name}: {} is not {}", answer["rows"], query["rows"]);
        // At one site, the last that has something to take away.
        assert!(policies.iter_mut().rev().any(one_less), "{name}: nothing is asked for");
        let less = asked_under(&folder, &policies, sql);
        assert!(["COLUMN_NOT_ALLOWED", "CLASS_NOT_ALLOWED"].contains(&&*less.code()), "{name}: {}", less.all());
        SITES.iter().for_each(|site| drop(folder.write(&format!("{site}/policy.toml"), "tell_reasons = true\n")));
    }
}

#[test]
fn unless_told_otherwise_the_policies_printed_hide_cells_of_fewer_than_eleven_patients() {
    let Some(data) = shared("data/omop_3hospitals") else { return };
    let folder = hospitals(&data);
    let sql = "SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence \
               WHERE condition_concept_id IN (317009, 192671) GROUP BY condition_concept_id ORDER BY 1";
    let policies = granted(&folder, sql, &[]);
    assert!(policies.iter().all(|policy| policy["min_patients"].as_integer() == Some(11)), "{policies:?}");
    let answer = asked_under(&folder, &policies, sql).answers().remove(0);
    assert_eq!(answer["rows"][0][1], 479, "{answer}");
    assert_eq!(answer["rows"][1][1], Value::Null, "5 are fewer than 11: {answer}");
    let other = granted(&folder, sql, &["--min-patients", "3"]);
    assert!(other.iter().all(|policy| policy["min_patients"].as_integer() == Some(3)), "{other:?}");
}

/// Numbers of rows that are equal but for rounding.
fn close(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| close(left, right))
        }
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= 1e-6 * right.abs()
        }
        _ => left == right,
    }
}
