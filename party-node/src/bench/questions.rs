//! Benchmarks of questions whose patients are counted once: SQL over generated files, asked of real node processes over QUIC. The
//! time is what an analyst waits, from the submission to the answer; the nodes have read their files before.

mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use query_planner::Audience;
use serde_json::Value;

use super::measure::median;
use super::psi::cannot_write;
use crate::analyst::{Question as Asked, Quiet, options_now};
use crate::fault::NodeError;
use crate::output::{Cost, Format};
use crate::sandbox::{Running, Sandbox};
use tables::Files;

/// A question that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How many patients are there? Elements are the patients of each site; each shares half of them with the next.
    Distinct,
    /// How many patients took aspirin on or after the day of a heart disease? Elements are the rows of each of the two tables, over
    /// all sites; there are half as many patients.
    Aspirin,
    /// How many patients have an infection 15 to 56 days after the one before? Elements are the patients of each site, with one
    /// to four events there; each site shares half of them with the next.
    Recurrence,
}

impl Question {
    fn name(self) -> &'static str {
        match self {
            Question::Distinct => "distinct",
            Question::Aspirin => "aspirin",
            Question::Recurrence => "recurrence",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Question::Distinct => "SELECT COUNT(DISTINCT person_id) AS patients FROM person",
            Question::Aspirin => {
                "WITH dx AS (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence \
                 WHERE condition_concept_id = 317576 GROUP BY person_id), \
                 rx AS (SELECT person_id, MAX(drug_exposure_start_date) AS m FROM drug_exposure \
                 WHERE drug_concept_id IN (1112807, 19059056) GROUP BY person_id) \
                 SELECT COUNT(*) AS patients FROM dx JOIN rx ON dx.person_id = rx.person_id WHERE dx.d <= rx.m"
            }
            Question::Recurrence => {
                "WITH e AS (SELECT person_id, condition_start_date AS d, \
                 ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) AS r \
                 FROM condition_occurrence WHERE condition_concept_id = 40481087) \
                 SELECT COUNT(DISTINCT a.person_id) AS patients FROM e a \
                 JOIN e b ON a.person_id = b.person_id AND b.r = a.r + 1 WHERE b.d - a.d BETWEEN 15 AND 56"
            }
        }
    }
}

/// One benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// What is asked.
    pub question: Question,
    /// How many sites.
    pub parties: usize,
    /// As [`Question`] says.
    pub elements: usize,
    /// How often it is asked; the median counts.
    pub runs: usize,
}

/// What a benchmark found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measurement {
    /// The question's name.
    pub protocol: String,
    /// Sites.
    pub parties: usize,
    /// Elements.
    pub elements: usize,
    /// The answer, which is the one of the pooled rows.
    pub answer: u64,
    /// Median over the runs: from submission to the answer, preprocessing included.
    pub wall_ms: f64,
    /// Sent by all parties in one run.
    pub bytes: u64,
    /// Longest chain of messages.
    pub rounds: u64,
}

/// Asks the question over generated files and compares the answer with the one of the pooled rows.
///
/// # Errors
/// `BAD_NUMBER_OF_SITES`, `BAD_NUMBER_OF_ELEMENTS`, `CANNOT_WRITE`, `WRONG_RESULT`, and what the nodes refuse.
pub fn run(bench: Bench) -> Result<Measurement, NodeError> {
    if !(2..=8).contains(&bench.parties) {
        return Err(NodeError::new("BAD_NUMBER_OF_SITES", "a question over patients has 2 to 8 sites here"));
    }
    if !(1..=MAX_ELEMENTS).contains(&bench.elements) {
        let message = format!("a question is measured with 1 to {MAX_ELEMENTS} elements");
        return Err(NodeError::new("BAD_NUMBER_OF_ELEMENTS", message));
    }
    let folder = Folder(std::env::temp_dir().join(format!("consilium-bench-{}", std::process::id())));
    let files = tables::generate(bench);
    folder.write(&files)?;
    let mut sandbox = Sandbox::open(&folder.0, &[])?;
    sandbox.settings.set(&format!("min_sites={}", bench.parties.min(3)))?;
    if bench.question == Question::Recurrence {
        sandbox.settings.set(&format!("max_events={}", tables::MAX_EVENTS))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| NodeError::new("CANNOT_START", e.to_string()))?;
    let costs = runtime.block_on(async {
        let running = sandbox.start(Arc::new(Quiet)).await?;
        let asked = ask(&running, bench, files.answer).await;
        running.close().await;
        asked
    })?;
    let last = costs.last().copied().unwrap_or(Cost { rounds: 0, bytes: 0, wall_ms: 0, parties: 0 });
    Ok(Measurement {
        protocol: bench.question.name().into(),
        parties: bench.parties,
        elements: bench.elements,
        answer: files.answer,
        wall_ms: median(costs.iter().map(|cost| cost.wall_ms as f64).collect()),
        bytes: last.bytes,
        rounds: last.rounds,
    })
}

/// Two tables of so many rows at eight sites take some 500 MB on disk.
const MAX_ELEMENTS: usize = 1 << 22;

async fn ask(running: &Running, bench: Bench, expected: u64) -> Result<Vec<Cost>, NodeError> {
    let mut costs = Vec::with_capacity(bench.runs);
    for _ in 0..bench.runs {
        let asked = Asked { sql: bench.question.text(), options: options_now(Audience::Analyst, None) };
        let answer = running.analyst.ask(asked).await?;
        let shown: Value = serde_json::from_str(&answer.render(Format::Json)).unwrap_or_default();
        if shown["rows"][0][0].as_u64() != Some(expected) {
            return Err(NodeError::new("WRONG_RESULT", "the answer is not the one of the pooled rows"));
        }
        costs.push(answer.cost);
    }
    Ok(costs)
}

/// A folder that vanishes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn write(&self, files: &Files) -> Result<(), NodeError> {
        for (name, text) in &files.texts {
            let path = self.0.join(name);
            let folder = path.parent().unwrap_or(&self.0);
            std::fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
            std::fs::write(&path, text).map_err(|e| cannot_write(&path, &e))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
