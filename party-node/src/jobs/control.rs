//! What an analyst with an account orders over the node's control, and how the reply travels: as JSON in the words of
//! [`super::job`], in parts.

use std::sync::Arc;

use mpc_core::identity::Pin;
use query_planner::{Audience, noise};
use serde::{Deserialize, Serialize};

use super::Jobs;
use super::job::Job;
use crate::fault::NodeError;

/// One order. A job is named by the first digits of its id, at least four.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOrder {
    /// A new job.
    Submit(Submission),
    /// The account's jobs, the newest first, from a place in the list on.
    List {
        /// 0 at first.
        from: u64,
    },
    /// One job.
    Show {
        /// Its name.
        job: String,
    },
    /// One job, once it is newer than this revision or a while has passed.
    Follow {
        /// Its name.
        job: String,
        /// The revision that is known.
        after: u64,
    },
    /// A part of its answer, from a row on.
    Fetch {
        /// Its name.
        job: String,
        /// 0 at first.
        from: u64,
    },
    /// It is not wanted any more.
    Cancel {
        /// Its name.
        job: String,
    },
}

/// A question that is to be asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The SQL text.
    pub sql: String,
    /// Name of the study; the node's first that the account may ask in where there is none.
    pub study: Option<String>,
    /// Who receives the answer.
    pub audience: Audience,
    /// What is added to every figure, if anything is.
    pub noise: Option<noise::Asked>,
    /// What `now()` means; the moment at which the node plans where there is none.
    pub now_ms: Option<i64>,
    /// Digest of the plan that was shown; the node refuses to run another one.
    pub plan: Option<[u8; 32]>,
}

/// Some jobs.
#[derive(Serialize, Deserialize)]
pub struct Listed {
    /// The newest first.
    pub items: Vec<Job>,
    /// Where the next are.
    pub next: Option<u64>,
}

/// A part of a reply's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The part.
    pub text: String,
    /// Does more follow?
    pub more: bool,
}

/// The longest part: a control message has 1 MiB.
const PART_BYTES: usize = 256 << 10;

/// A text in parts, one at least.
pub fn parts(all: &str) -> impl Iterator<Item = Part> {
    let (mut from, mut ended) = (0, false);
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let end = all.floor_char_boundary((from + PART_BYTES).min(all.len()));
        let part = Part { text: all[from..end].to_owned(), more: end < all.len() };
        (from, ended) = (end, end == all.len());
        Some(part)
    })
}

impl Jobs {
    /// Does what somebody with this key orders; the reply as JSON.
    ///
    /// # Errors
    /// `NOT_AN_ACCOUNT` for a key that is no account's here, and those of the order.
    pub async fn perform(self: &Arc<Self>, pin: Pin, order: JobOrder) -> Result<String, NodeError> {
        let account = self.account_of(pin)?;
        match order {
            JobOrder::Submit(submission) => json(&self.submit(&account, submission).await?),
            JobOrder::List { from } => {
                let (items, next) = self.list(&account, from).await?;
                json(&Listed { items, next })
            }
            JobOrder::Show { job } => json(&self.show(&account, &job).await?),
            JobOrder::Follow { job, after } => json(&self.follow(&account, &job, after).await?),
            JobOrder::Fetch { job, from } => json(&self.page(&account, &job, from).await?),
            JobOrder::Cancel { job } => json(&self.cancel(&account, &job).await?),
        }
    }
}

fn json(value: &impl Serialize) -> Result<String, NodeError> {
    serde_json::to_string(value).map_err(|e| NodeError::new("INTERNAL", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_whole_whatever_its_length_and_characters() {
        for all in [String::new(), "é".repeat(PART_BYTES), "abc".repeat(PART_BYTES)] {
            let got: Vec<Part> = parts(&all).collect();
            assert!(got.iter().all(|part| part.text.len() <= PART_BYTES));
            let more: Vec<bool> = got.iter().map(|part| part.more).collect();
            assert!(more.iter().rev().skip(1).all(|more| *more) && more.last() == Some(&false));
            assert!(got.into_iter().map(|part| part.text).collect::<String>() == all);
        }
    }
}
