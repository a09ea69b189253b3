//! `consilium demo`: three hospitals as three processes answer questions over the bundled data.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use query_planner::Audience;

use crate::analyst::{Question, Quiet, options_now};
use crate::config;
use crate::fault::NodeError;
use crate::output::Format;
use crate::sandbox::{Running, Sandbox};

macro_rules! bundled {
    ($($site:literal: [$($table:literal),*]),* $(,)?) => {
        &[$(($site, &[$(($table, include_bytes!(concat!("../../examples/data/omop/", $site, "/", $table, ".parquet")))),*])),*]
    };
}

type Tables = &'static [(&'static str, &'static [u8])];

/// Synthetic records; source and licence in `examples/data/ATTRIBUTION.md`.
const SITES: &[(&str, Tables)] = bundled! {
    "hospital_A": ["person", "condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence", "visit_occurrence"],
    "hospital_B": ["person", "condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence", "visit_occurrence"],
    "hospital_C": ["person", "condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence", "visit_occurrence"],
};

const QUESTIONS: &[(&str, &str)] = &[
    (
        "How many diagnoses do the three hospitals hold together?",
        "SELECT COUNT(*) AS diagnoses FROM condition_occurrence",
    ),
    (
        "How many records are there of women and of men?",
        "SELECT gender_concept_id, COUNT(*) AS records FROM person GROUP BY gender_concept_id ORDER BY gender_concept_id",
    ),
    (
        "How old are they, on average, and how widely does it vary?",
        "SELECT COUNT(*) AS n, AVG(2019 - year_of_birth) AS mean_age, STDDEV_SAMP(2019 - year_of_birth) AS sd_age FROM person",
    ),
    (
        "How do diagnoses spread over the decades? (only decades with more than 9,000)",
        "SELECT CAST(FLOOR(EXTRACT(YEAR FROM condition_start_date) / 10) * 10 AS INTEGER) AS decade, COUNT(*) AS n \
         FROM condition_occurrence GROUP BY 1 HAVING COUNT(*) > 9000 ORDER BY 1",
    ),
    (
        "Inside one hospital, tables join freely: sinusitis by sex at hospital A.",
        "SELECT p.gender_concept_id, COUNT(*) AS n FROM hospital_A.person p JOIN hospital_A.condition_occurrence c \
         ON p.person_id = c.person_id WHERE c.condition_concept_id = 40481087 GROUP BY p.gender_concept_id ORDER BY 1",
    ),
    (
        "Which share of all drug exposures is aspirin?",
        "SELECT 100.0 * SUM(CASE WHEN drug_concept_id IN (1112807, 19059056) THEN 1 ELSE 0 END) / COUNT(*) AS percent_aspirin \
         FROM drug_exposure",
    ),
    (
        "Half of the patients' records are of people younger than what age? (Sorted on shares; only the median is opened.)",
        "SELECT MEDIAN(2019 - year_of_birth) AS median_age FROM person",
    ),
    ("May I see a row? (No: only figures over many rows come out.)", "SELECT person_id, year_of_birth FROM person"),
    (
        "How many patients, each counted once? (Matched without anybody seeing who is at two hospitals.)",
        "SELECT COUNT(DISTINCT person_id) AS patients FROM person",
    ),
    (
        "How many patients took aspirin on or after their first coronary diagnosis, wherever each was recorded?",
        "WITH dx AS (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence WHERE condition_concept_id = 317576 \
         GROUP BY person_id), rx AS (SELECT person_id, MAX(drug_exposure_start_date) AS m FROM drug_exposure WHERE drug_concept_id \
         IN (1112807, 19059056) GROUP BY person_id) SELECT COUNT(*) AS patients FROM dx JOIN rx ON dx.person_id = rx.person_id \
         WHERE dx.d <= rx.m",
    ),
];

/// Asked of the same hospitals under a policy that hides small cells.
const SMALL: (&str, &str) = (
    "The same hospitals, but no figure over fewer than 11 patients may come out: how often were these diagnoses made?",
    "SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence \
     WHERE condition_concept_id IN (80809, 198199, 317009, 4066995, 192671) GROUP BY 1 ORDER BY 1",
);

/// Runs the tour.
///
/// # Errors
/// Whatever stops a question that should be answered, and a question that should be refused but is not.
pub async fn run(format: Format) -> Result<(), NodeError> {
    let folder = Unpacked::new()?;
    let began = Instant::now();
    let running = Sandbox::open(&folder.0, &[])?.start(Arc::new(Quiet)).await?;
    println!(
        "Three hospitals are up as three processes ({:.1} s). Nobody deals randomness, nobody sees",
        began.elapsed().as_secs_f64()
    );
    println!("another's rows; the analyst alone receives the answers.");
    for (number, (title, sql)) in QUESTIONS.iter().enumerate() {
        println!("\n{}. {title}\n   {sql}\n", number + 1);
        ask(&running, sql, format).await?;
    }
    drop(running);
    let strict = Sandbox::open(&folder.0, &["min_patients=11".into()])?.start(Arc::new(Quiet)).await?;
    println!("\n{}. {}\n   {}\n", QUESTIONS.len() + 1, SMALL.0, SMALL.1);
    ask(&strict, SMALL.1, format).await
}

async fn ask(running: &Running, sql: &str, format: Format) -> Result<(), NodeError> {
    let question = Question { sql, options: options_now(Audience::Analyst, None) };
    match running.analyst.ask(question).await {
        Ok(answer) => print!("{}", answer.render(format)),
        Err(error) if REFUSALS.contains(&&*error.code) => println!("Refused. {error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What the planner says to the questions that are there to be refused.
const REFUSALS: &[&str] = &["ROWS_NOT_RELEASED"];

/// The bundled files in a folder of their own, removed when dropped.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new() -> Result<Self, NodeError> {
        let unique = format!("consilium-demo-{}", std::process::id());
        let unpacked = Self(std::env::temp_dir().join(unique));
        for (site, tables) in SITES {
            let folder = unpacked.0.join(site);
            let failed = |e: std::io::Error| NodeError::new("FILE_FAILED", format!("{}: {e}", folder.display()));
            fs::create_dir_all(&folder).map_err(failed)?;
            for (table, bytes) in *tables {
                fs::write(folder.join(format!("{table}.parquet")), bytes).map_err(failed)?;
            }
        }
        config::write(&unpacked.0.join("network.toml"), "patient_key = \"person_id\"\n")?;
        Ok(unpacked)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // A folder that cannot be removed is synthetic data in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
