//! Answers that an analyst keeps: the same question about the same data is answered from here, because asking the sites again
//! would be another release. Each is that of one run: the same question about other data is another answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::agree::RunId;
use crate::output::Answer;

/// Where an analyst's answers are.
pub enum Answers {
    /// Here, while the program runs.
    Here(Mutex<HashMap<RunId, Answer>>),
    /// Those of these runs are kept somewhere else.
    Elsewhere(BTreeSet<RunId>),
}

/// An answer that is kept.
pub enum Kept {
    /// It.
    Here(Box<Answer>),
    /// That of this run, somewhere else.
    Elsewhere(RunId),
}

impl Default for Answers {
    fn default() -> Self {
        Self::Here(Mutex::default())
    }
}

impl Answers {
    /// The answer of one of these runs, if one is kept.
    pub fn of(&self, runs: &[RunId]) -> Option<Kept> {
        match self {
            Self::Here(kept) => {
                let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                runs.iter().find_map(|run| kept.get(run)).map(|answer| Kept::Here(Box::new(answer.clone())))
            }
            Self::Elsewhere(kept) => runs.iter().find(|run| kept.contains(*run)).map(|run| Kept::Elsewhere(*run)),
        }
    }

    /// Keeps the answer of a run, where answers are kept here.
    pub fn keep(&self, run: RunId, answer: &Answer) {
        if let Self::Here(kept) = self {
            kept.lock().unwrap_or_else(PoisonError::into_inner).insert(run, answer.clone());
        }
    }
}
