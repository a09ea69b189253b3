//! Replies as stewards read them.

use std::fmt::{self, Write};

use mpc_core::identity::Pin;
use query_planner::noise::{Delta, Epsilon};

use crate::clock::utc;
use crate::fault::hostile;
use crate::govern::approval::short;
use crate::govern::steward::{Budget, Counted, DryRun, Entry, Line, Reply, Used};
use crate::state::hex;

/// A reply that comes alone; none for parts of lists and texts.
pub(super) fn reply(reply: Reply) -> Option<String> {
    Some(match reply {
        Reply::Approved { plan, until_ms } => {
            format!("plan {} may run until {}\n", short(&plan), utc(until_ms.unsigned_abs()))
        }
        Reply::OneOfTwo { plan, by } => {
            format!("{by} approves plan {}; it waits for a second steward\n", short(&plan))
        }
        Reply::Rejected { plan } => format!("plan {} is rejected\n", short(&plan)),
        Reply::Withdrawn { plan, begun } => {
            let note = if begun { "; a run of it had begun before, and its answer may be out" } else { "" };
            format!("nothing is decided about plan {} any more{note}\n", short(&plan))
        }
        Reply::DryRun(found) => dry_run(&found),
        Reply::Verified { lines, hash, times_ms, keys } => verified(lines, &hash, times_ms, &keys),
        Reply::Receipt { line } => line + "\n",
        Reply::Inbox { .. } | Reply::Text { .. } | Reply::Ledger { .. } | Reply::Export { .. } => return None,
    })
}

pub(super) fn inbox(plans: &[Entry]) -> String {
    if plans.is_empty() {
        return "no plan waits\n".into();
    }
    let entry = |Entry { plan, study, analyst, since_ms, query, consents }: &Entry| {
        let said = if consents.is_empty() { String::new() } else { format!("  approved by {}", consents.join(", ")) };
        let (plan, since) = (name(plan, plans), utc(*since_ms));
        clean(&format!("{plan}  study {study}  analyst {analyst}  since {since}{said}\n{}", indented(query)))
    };
    plans.iter().map(entry).collect()
}

/// As many digits as tell it from the others: two analysts may ask the same.
fn name(plan: &[u8; 32], all: &[Entry]) -> String {
    let alike = all.iter().filter(|other| other.plan[..8] == plan[..8]).count();
    if alike > 1 { hex::text(&plan[..12]) } else { short(plan) }
}

pub(super) fn ledger(releases: &[Line], budgets: &[Budget]) -> String {
    let nothing = releases.is_empty().then(|| "nothing came out\n".to_owned());
    let budget = |Budget { study, epsilon, delta }: &Budget| {
        let whose = study.as_ref().map_or_else(|| "all studies together".into(), |study| format!("study {study}"));
        let used = [epsilon.map(|used| of("ε", used, Epsilon)), delta.map(|used| of("δ", used, Delta))];
        clean(&format!("{whose}: {}\n", used.into_iter().flatten().collect::<Vec<_>>().join("; ")))
    };
    let line = |Line { id, study, analyst, at_ms, state, query }: &Line| {
        let (id, at) = (&hex::text(id)[..16], utc(*at_ms));
        clean(&format!("{id}  {at}  {state}  study {study}  analyst {analyst}\n{}", indented(query)))
    };
    nothing.into_iter().chain(releases.iter().map(line)).chain(budgets.iter().map(budget)).collect()
}

/// What of ε or δ is spent, and what is left.
fn of<U: fmt::Display>(what: &str, Used { spent, limit }: Used, unit: fn(u64) -> U) -> String {
    format!("{what} of {} spent, {} of {} left", unit(spent), unit(limit.saturating_sub(spent)), unit(limit))
}

pub(super) fn verified(lines: u64, hash: &[u8; 32], times_ms: Option<(u64, u64)>, keys: &[Pin]) -> String {
    let mut out = format!("the log stands as it was written: {lines} lines");
    // Writing to a String never fails.
    if let Some((first, last)) = times_ms {
        let _ = write!(out, ", {} to {}", utc(first), utc(last));
    }
    let _ = writeln!(out, "\nlast line {}", hex::text(hash));
    keys.iter().for_each(|key| out += &format!("signed by {key}\n"));
    out
}

fn dry_run(DryRun { plan, refused, sums }: &DryRun) -> String {
    let allowed = refused.as_ref().map_or("this site's policy allows it".into(), |why| format!("refused: {why}"));
    let mut out = format!("plan {}: {allowed}\n", short(plan));
    for (sum, Counted { rows, groups, patients, excluded }) in sums.iter().enumerate() {
        let _ = write!(out, "sum {sum}: {rows} rows");
        match patients {
            Some(patients) => out += &format!(", {patients} patients"),
            None => out += ", patients are not told apart by this plan",
        }
        groups.iter().for_each(|groups| out += &format!(", {groups} groups"));
        if *excluded > 0 {
            out += &format!(", {excluded} patients without a valid linkage key");
        }
        out.push('\n');
    }
    out
}

fn indented(query: &str) -> String {
    query.lines().map(|line| format!("    {line}\n")).collect()
}

/// A name or a question may hold characters that forge lines.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
