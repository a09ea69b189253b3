//! The log, for stewards and auditors.

use std::fmt::Write;

use mpc_core::identity::{Pin, PublicKey};

use super::{Desk, PART_BYTES, Reply, look};
use crate::clock;
use crate::fault::{NodeError, printable};
use crate::state::audit::{Entry, Event};
use crate::state::hex;

pub(super) fn show(desk: &Desk<'_>, release: &str, from: u64) -> Result<Reply, NodeError> {
    let entries = desk.gate.state.trail(release)?;
    let mut out = String::new();
    for entry in &entries {
        // Writing to a String never fails.
        let _ = write(&mut out, entry);
    }
    Ok(look::text(&out, from))
}

pub(super) fn verify(desk: &Desk<'_>, before: &[Pin]) -> Result<Reply, NodeError> {
    let pins = [desk.pins, before].concat();
    let summary = desk.gate.state.check_log(&pins)?;
    Ok(Reply::Verified {
        lines: summary.head.seq,
        hash: summary.head.hash,
        times_ms: summary.times_ms,
        keys: summary.keys.iter().map(PublicKey::pin).collect(),
    })
}

pub(super) fn export(desk: &Desk<'_>, from: u64) -> Result<Reply, NodeError> {
    let (bytes, next) = desk.gate.state.export_part(from, PART_BYTES as u64)?;
    Ok(Reply::Export { bytes, next })
}

fn write(out: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(out, "{}  line {}: ", clock::utc(entry.at_ms), entry.seq)?;
    match &entry.event {
        Event::Begun { release, asked, sites, .. } => {
            writeln!(out, "release {} began, asked by {}", hex::text(release), printable(&asked.analyst))?;
            writeln!(out, "    plan {}", hex::text(&asked.plan))?;
            writeln!(out, "    disclosure {}", hex::text(&asked.disclosure))?;
            writeln!(out, "    study {}", hex::text(&asked.study))?;
            writeln!(out, "    sites {}", printable(&sites.join(", ")))
        }
        Event::Noted { sets, .. } => writeln!(out, "the site's own patients behind {sets} figure(s) are kept"),
        Event::Released { .. } => writeln!(out, "its answer came out"),
        Event::Refused { code, .. } => writeln!(out, "it was refused: {}", printable(code)),
        Event::Counted { .. } => writeln!(out, "it counts because it does at another site"),
        Event::Heads { heads, .. } => {
            writeln!(out, "the other sites' logs ended at")?;
            heads.iter().try_for_each(|of| {
                writeln!(out, "    {} line {} {}", printable(&of.site), of.head.seq, hex::text(&of.head.hash))
            })
        }
        Event::Sent { steps, .. } => {
            let (messages, bytes) = steps.iter().fold((0, 0), |(m, b), step| (m + step.messages, b + step.bytes));
            writeln!(out, "sent {bytes} bytes in {messages} messages")?;
            steps.iter().try_for_each(|step| {
                writeln!(out, "    {:>12} bytes {:>8} messages  {}", step.bytes, step.messages, printable(&step.step))
            })
        }
        _ => writeln!(out, "something else"),
    }
}
