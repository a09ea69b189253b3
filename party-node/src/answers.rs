//! Answers that an analyst keeps: the same question about the same data is answered from here, because asking the sites again
//! would be another release.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::agree::Propose;
use crate::output::Answer;

/// By study and plan, while the program runs.
#[derive(Default)]
pub struct Answers(Mutex<HashMap<Key, Answer>>);

/// Digests of the study and of the plan.
type Key = ([u8; 32], [u8; 32]);

impl Answers {
    /// The answer to this question, if it was kept.
    pub fn get(&self, propose: &Propose) -> Option<Answer> {
        self.0.lock().expect("no code panics while it holds the answers").get(&(propose.study, propose.plan)).cloned()
    }

    /// Keeps an answer.
    pub fn keep(&self, propose: &Propose, answer: &Answer) {
        let mut kept = self.0.lock().expect("no code panics while it holds the answers");
        kept.insert((propose.study, propose.plan), answer.clone());
    }
}
