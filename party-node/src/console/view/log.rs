//! Lines of the log, and what they say of a release. Source: `party-node/console/src/api/steward.ts`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::exact;
use super::steward::Release;
use crate::clock;
use crate::fault::{NodeError, printable};
use crate::state::audit::{Entry, Event, SiteHead};
use crate::state::hex;

/// One line.
#[derive(Serialize)]
pub struct LogLine {
    seq: u64,
    at_ms: u64,
    kind: String,
    about: BTreeMap<String, String>,
}

/// What the log says of a release.
#[derive(Serialize)]
pub struct Trail {
    release: Release,
    plan: String,
    sites: Vec<String>,
    sent: Vec<Sent>,
    heads: Vec<Head>,
    lines: Vec<LogLine>,
}

#[derive(Serialize)]
struct Sent {
    step: String,
    messages: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Head {
    site: String,
    seq: u64,
    hash: String,
}

impl LogLine {
    /// The event's own fields as text.
    ///
    /// # Errors
    /// `INTERNAL` for an event that is no object.
    pub fn of(entry: &Entry) -> Result<Self, NodeError> {
        let internal = || NodeError::new("INTERNAL", "an event without a form");
        let Ok(Value::Object(mut fields)) = serde_json::to_value(&entry.event) else { return Err(internal()) };
        let kind = fields.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).ok_or_else(internal)?;
        let mut about: BTreeMap<String, String> =
            fields.into_iter().map(|(name, value)| (name, printable(&plain(&value)))).collect();
        let times: Vec<String> = about.keys().filter(|name| name.ends_with("_ms")).cloned().collect();
        for name in times {
            let ms = about.remove(&name).and_then(|ms| ms.parse().ok()).unwrap_or(0);
            let text = if ms == 0 { "–".to_owned() } else { clock::utc(ms) };
            about.insert(name.trim_end_matches("_ms").to_owned(), text);
        }
        if let Event::Sent { steps, .. } = &entry.event {
            // Step by step it stands with its release.
            about.remove("steps");
            about.insert("bytes".into(), steps.iter().map(|step| step.bytes).sum::<u64>().to_string());
        }
        if let Event::Heads { heads, .. } = &entry.event {
            let heads: Vec<String> = heads.iter().map(|of| format!("{} {}", of.site, of.head.seq)).collect();
            about.insert("heads".into(), printable(&heads.join(", ")));
        }
        Ok(Self { seq: entry.seq, at_ms: entry.at_ms, kind, about })
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl Trail {
    /// Of a release's lines, in order.
    ///
    /// # Errors
    /// As [`LogLine::of`].
    pub fn of(release: Release, plan: &[u8; 32], sites: Vec<String>, entries: &[Entry]) -> Result<Self, NodeError> {
        let (mut sent, mut heads) = (Vec::new(), Vec::new());
        for entry in entries {
            match &entry.event {
                Event::Sent { steps, .. } => sent.extend(steps.iter().map(|step| Sent {
                    step: printable(&step.step),
                    messages: step.messages,
                    bytes: exact(step.bytes),
                })),
                Event::Heads { heads: of, .. } => heads = of.iter().map(head).collect(),
                _ => (),
            }
        }
        let lines = entries.iter().map(LogLine::of).collect::<Result<_, _>>()?;
        Ok(Self { release, plan: hex::text(plan), sites, sent, heads, lines })
    }
}

fn head(of: &SiteHead) -> Head {
    Head { site: printable(&of.site), seq: of.head.seq, hash: hex::text(&of.head.hash) }
}
