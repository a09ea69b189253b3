//! Lists and texts, part by part.

use query_planner::{Compiled, Options, explain};

use super::{Budget, Desk, Entry, Line, PART_BYTES, Reply, Used, language};
use crate::fault::{NodeError, printable};
use crate::govern::approval::short;
use crate::state::inbox::{QUERY_CHARS, Waiting};
use crate::state::ledger::{Progress, Release};
use crate::state::limits::Spent;

/// Most entries of a list in one reply: with questions of four bytes a character they fit a control message.
const PART_ENTRIES: usize = 100;

pub(super) fn inbox(desk: &Desk<'_>, name: Option<&str>, from: u64) -> Result<Reply, NodeError> {
    let plans = match name {
        Some(name) => vec![desk.gate.state.waiting(name)?],
        None => desk.gate.state.inbox()?,
    };
    let (plans, next) = part(&plans, from, entry);
    Ok(Reply::Inbox { plans, next })
}

pub(super) fn plan(desk: &Desk<'_>, name: &str, chinese: bool, from: u64) -> Result<Reply, NodeError> {
    let waiting = desk.gate.state.waiting(name)?;
    let mut all = waiting.explained.clone();
    if chinese {
        all += &explain::disclosures(&planned(desk, &waiting)?.joint, language(chinese));
    }
    Ok(text(&all, from))
}

/// The plan that waits, derived again: what was stored is its text.
///
/// # Errors
/// `PLAN_DIFFERS`, and what the planner refuses.
pub fn planned(desk: &Desk<'_>, waiting: &Waiting) -> Result<Compiled, NodeError> {
    let options = Options { now_ms: waiting.now_ms, audience: waiting.audience, noise: waiting.noise };
    let compiled = query_planner::plan(&waiting.query, desk.catalog, &options)?;
    if compiled.joint.digest() == waiting.plan {
        return Ok(compiled);
    }
    Err(NodeError::new("PLAN_DIFFERS", "network or program changed since this was asked: the plan is another one now")
        .hint("reject it, and let the analyst ask again"))
}

pub(super) fn ledger(desk: &Desk<'_>, study: Option<&str>, from: u64) -> Result<Reply, NodeError> {
    let digest = study.map(|name| digest_of(desk, name)).transpose()?;
    let (releases, next) = part(&desk.gate.state.releases(digest.as_ref())?, from, |release| line(desk, release));
    let budgets = if from == 0 { budgets(desk, digest.as_ref())? } else { Vec::new() };
    Ok(Reply::Ledger { releases, budgets, next })
}

/// What is left of ε and δ, of every study or of one.
pub fn budgets(desk: &Desk<'_>, only: Option<&[u8; 32]>) -> Result<Vec<Budget>, NodeError> {
    let Some(privacy) = &desk.gate.policy.policy.privacy else { return Ok(Vec::new()) };
    let Some([limit, _]) = privacy.limits() else { return Ok(Vec::new()) };
    let asked = desk.gate.studies.iter().filter(|study| only.is_none_or(|only| study.digest() == *only));
    let mut all = Vec::new();
    for study in asked {
        let Spent { epsilon, delta } = desk.gate.state.spent(&study.digest())?;
        let of_delta = privacy.delta_digits.map(|_| privacy.delta_limit());
        all.push(Budget {
            study: Some(study.name.clone()),
            epsilon: Some(Used { spent: epsilon.in_study, limit: limit.0 }),
            delta: of_delta.map(|limit| Used { spent: delta.in_study, limit: limit.0 }),
        });
    }
    let (epsilon, delta) = (privacy.limit_in_all(), privacy.delta_limit_in_all());
    if epsilon.is_some() || delta.is_some() {
        let spent = desk.gate.state.spent_in_all()?;
        all.push(Budget {
            study: None,
            epsilon: epsilon.map(|limit| Used { spent: spent[0], limit: limit.0 }),
            delta: delta.map(|limit| Used { spent: spent[1], limit: limit.0 }),
        });
    }
    Ok(all)
}

/// Text from a place on.
pub(super) fn text(all: &str, from: u64) -> Reply {
    let from = all.floor_char_boundary(usize::try_from(from).unwrap_or(usize::MAX));
    let end = all.floor_char_boundary(from + PART_BYTES);
    Reply::Text { text: all[from..end].to_owned(), next: (end < all.len()).then_some(end as u64) }
}

fn part<T, R>(all: &[T], from: u64, each: impl Fn(&T) -> R) -> (Vec<R>, Option<u64>) {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
    let end = (from + PART_ENTRIES).min(all.len());
    (all[from..end].iter().map(each).collect(), (end < all.len()).then_some(end as u64))
}

fn entry(waiting: &Waiting) -> Entry {
    Entry {
        plan: waiting.case(),
        study: waiting.study_name.clone(),
        analyst: waiting.analyst.clone(),
        since_ms: waiting.since_ms,
        query: clipped(&waiting.query),
        consents: waiting.consents.iter().map(|consent| consent.by.clone()).collect(),
    }
}

/// A release as it stands in a list.
pub fn line(desk: &Desk<'_>, release: &Release) -> Line {
    let study = desk.gate.studies.iter().find(|study| study.digest() == release.study);
    Line {
        id: release.id,
        study: study.map_or_else(|| short(&release.study), |study| study.name.clone()),
        analyst: printable(&release.analyst),
        at_ms: release.at_ms,
        state: match &release.progress {
            Progress::Begun => "begun".into(),
            Progress::Released => "released".into(),
            Progress::Refused { code } => code.clone(),
        },
        query: clipped(&release.text),
    }
}

/// The study of this name.
///
/// # Errors
/// `NO_SUCH_STUDY`.
pub fn digest_of(desk: &Desk<'_>, name: &str) -> Result<[u8; 32], NodeError> {
    let study = desk.gate.studies.iter().find(|study| study.name == name);
    study.map(|study| study.digest()).ok_or_else(|| {
        let known: Vec<String> = desk.gate.studies.iter().map(|study| printable(&study.name)).collect();
        let message = format!("this site takes part in no study {}", printable(name));
        NodeError::new("NO_SUCH_STUDY", message).hint(format!("it takes part in: {}", known.join(", ")))
    })
}

fn clipped(query: &str) -> String {
    match query.char_indices().nth(QUERY_CHARS) {
        Some((end, _)) => format!("{}…", &query[..end]),
        None => query.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_comes_whole_in_parts_whatever_its_characters() {
        let all = "ab患者".repeat(PART_BYTES / 4);
        let (mut got, mut from) = (String::new(), Some(0));
        while let Some(at) = from {
            let Reply::Text { text, next } = text(&all, at) else { panic!("text is text") };
            assert!(text.len() <= PART_BYTES && !text.is_empty());
            (got, from) = (got + &text, next);
        }
        assert_eq!(got, all);
        assert_eq!(text("", 0), Reply::Text { text: String::new(), next: None });
        assert_eq!(text("a", u64::MAX), Reply::Text { text: String::new(), next: None });
    }

    #[test]
    fn a_list_comes_whole_in_parts() {
        let all: Vec<usize> = (0..2 * PART_ENTRIES + 1).collect();
        let (mut got, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let (some, next) = part(&all, at, |n| *n);
            got.extend(some);
            from = next;
        }
        assert_eq!(got, all);
        assert_eq!(part(&all, u64::MAX, |n| *n), (vec![], None));
    }
}
