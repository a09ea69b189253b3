//! The example network: a study of twenty questions under three policies that approve by rule, over the bundled data.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use common::{Scratch, sandbox};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use serde_json::Value;

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The example network with the tables of the bundled data in its folders.
fn network() -> Scratch {
    let folder = Scratch::new("study");
    let copy = |from: &Path, to: &str| drop(folder.write(to, fs::read(from).unwrap()));
    for file in ["network.toml", "study.toml"] {
        copy(&examples().join("network").join(file), file);
    }
    for site in SITES {
        copy(&examples().join("network").join(site).join("policy.toml"), &format!("{site}/policy.toml"));
        for entry in fs::read_dir(examples().join("data/omop").join(site)).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &format!("{site}/{}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    folder
}

/// One question a line.
fn questions() -> Vec<String> {
    let text = fs::read_to_string(examples().join("network/questions.sql")).unwrap();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// All rows of the three hospitals in one place.
async fn pooled() -> SessionContext {
    let context = SessionContext::new();
    for table in ["person", "condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence"] {
        let file =
            |site: &str| examples().join(format!("data/omop/{site}/{table}.parquet")).to_string_lossy().into_owned();
        let options = ParquetReadOptions::default();
        let rows = context.read_parquet(SITES.map(file).to_vec(), options).await.unwrap();
        context.register_table(table, rows.into_view()).unwrap();
    }
    context
}

/// Rows as texts; reals with as many digits as two ways to add them up agree on.
fn plain(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let cell = |batch: &RecordBatch, row: usize, column: usize| {
        let text = array_value_to_string(batch.column(column), row).unwrap();
        let real = matches!(batch.column(column).data_type(), DataType::Float64);
        if real { rounded(text.parse().unwrap()) } else { text }
    };
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| (0..batch.num_columns()).map(|column| cell(batch, row, column)).collect()).collect()
}

fn answered(answer: &Value) -> Vec<Vec<String>> {
    let cell = |value: &Value| match value {
        Value::Number(number) if number.is_f64() => rounded(number.as_f64().unwrap()),
        other => other.to_string(),
    };
    answer["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
}

fn rounded(real: f64) -> String {
    format!("{real:.9}")
}

#[tokio::test]
async fn a_study_of_twenty_questions_is_answered_as_plain_sql_answers_it() {
    let (folder, questions, context) = (network(), questions(), pooled().await);
    assert_eq!(questions.len(), 20);
    let asked = questions.iter().flat_map(|sql| ["-e", sql]);
    let arguments: Vec<&str> = ["--format", "json"].into_iter().chain(asked).collect();
    let run = sandbox(folder.path(), &arguments);
    let answers = run.answers();
    assert_eq!(answers.len(), questions.len());
    for (sql, answer) in questions.iter().zip(&answers) {
        // DataFusion's MEDIAN of integers is an integer; ours is PostgreSQL's.
        let sql = sql.replace("MEDIAN(2019 - year_of_birth)", "MEDIAN(CAST(2019 - year_of_birth AS DOUBLE))");
        let expected = plain(&context.sql(&sql).await.unwrap().collect().await.unwrap());
        println!("{sql}\n  {:?}, {} ms", answered(answer), answer["cost"]["wall_ms"]);
        assert_eq!(answered(answer), expected, "{sql}");
        assert_eq!(answer["suppressed"], serde_json::json!([]), "{sql}");
    }
}

#[test]
fn each_policy_refuses_what_it_does_not_list() {
    let folder = network();
    let refused = [
        ("hospital_A", "COLUMN_NOT_ALLOWED", "SELECT COUNT(*) AS n FROM person WHERE gender_concept_id = 8507"),
        (
            "hospital_B",
            "COLUMN_NOT_ALLOWED",
            "SELECT COUNT(*) AS n FROM condition_occurrence WHERE condition_start_date >= DATE '2000-01-01'",
        ),
        (
            "hospital_C",
            "POLICY_REFUSES",
            "SELECT drug_concept_id, COUNT(*) AS n FROM drug_exposure WHERE drug_concept_id IN (40213198, 19128022) GROUP BY 1",
        ),
        // No policy lists this table; the first site says so.
        ("hospital_A", "TABLE_NOT_ALLOWED", "SELECT COUNT(*) AS n FROM visit_occurrence WHERE visit_concept_id = 9201"),
    ];
    for (site, code, sql) in refused {
        let run = sandbox(folder.path(), &["-e", sql]);
        println!("{sql}\n  {}", run.error());
        assert_eq!(run.code(), code, "{}", run.all());
        assert!(run.error().contains(site) && run.stdout.is_empty(), "{}", run.all());
    }
}

#[test]
fn a_question_outside_the_study_is_refused_whatever_the_policies_say() {
    let folder = network();
    for site in SITES {
        folder.write(&format!("{site}/policy.toml"), "allow_all = true\n");
    }
    let run = sandbox(folder.path(), &["-e", "SELECT COUNT(*) AS n FROM visit_occurrence"]);
    assert_eq!(run.code(), "NOT_IN_STUDY", "{}", run.all());
}
