//! A node's log: one line for each event on standard error, as text for people or as JSON for machines. Names, codes, digests and
//! counts; no literal of a question and no value of a row.

use std::io::Write;
use std::sync::OnceLock;

use query_planner::catalog::SiteName;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fault::{NodeError, printable};
use crate::state::{hex, now_ms};

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogForm {
    /// `[site] what happened`: whoever collects the lines adds the time.
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `site`, `event`, `code`, `job`, `text`.
    Json,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Info,
    /// A question was not answered, or a peer did what it should not.
    Warn,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// How much it matters.
    pub level: Level,
    /// What kind of thing happened: a word that stays the same between versions.
    pub event: &'static str,
    /// The code of a refusal or fault.
    pub code: Option<&'a str>,
    /// The run or job that it is about.
    pub job: Option<[u8; 16]>,
    /// In words.
    pub text: &'a str,
}

#[derive(Serialize)]
struct Json<'a> {
    time: String,
    level: Level,
    site: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    text: &'a str,
}

static FORM: OnceLock<LogForm> = OnceLock::new();

/// Chooses the form for the rest of the process; the first choice stands.
pub fn choose(form: LogForm) {
    let _ = FORM.set(form);
}

/// The form of this process.
pub fn form() -> LogForm {
    FORM.get().copied().unwrap_or_default()
}

/// Something that is as it should be.
pub fn say(site: &SiteName, event: &'static str, text: &str) {
    write(site, Entry { level: Level::Info, event, code: None, job: None, text });
}

/// A refusal or a fault, of a run or job if there is one.
pub fn fault(site: &SiteName, event: &'static str, job: Option<[u8; 16]>, error: &NodeError) {
    let text = error.to_string();
    write(site, Entry { level: Level::Warn, event, code: Some(&error.code), job, text: &text });
}

/// Writes a line at once, so that nodes that share a standard error do not garble each other's.
pub fn write(site: &SiteName, entry: Entry<'_>) {
    let line = line(form(), site, &entry, now_ms());
    // Without a standard error nobody reads the log.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn line(form: LogForm, site: &SiteName, entry: &Entry<'_>, at_ms: u64) -> String {
    let text = printable(&entry.text.replace('\n', " "));
    match form {
        LogForm::Text => format!("[{site}] {text}\n"),
        LogForm::Json => {
            let Entry { level, event, code, job, .. } = *entry;
            let job = job.map(|job| hex::text(&job));
            let json = Json { time: clock::rfc3339(at_ms), level, site: &site.0, event, code, job, text: &text };
            serde_json::to_string(&json).expect("texts have a JSON form") + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: LogForm) -> String {
        let text = "REJECTED: no\n\u{1b}[31mforged";
        let entry =
            Entry { level: Level::Warn, event: "question", code: Some("REJECTED"), job: Some([0xab; 16]), text };
        line(form, &SiteName("huaxi".into()), &entry, 1_795_353_605_007)
    }

    #[test]
    fn a_line_is_one_line_whatever_its_text() {
        for form in [LogForm::Text, LogForm::Json] {
            let line = written(form);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.ends_with('\n') && !line.contains('\u{1b}'), "{line}");
        }
    }

    #[test]
    fn json_says_when_how_much_where_what_why_and_of_which_job() {
        let json: serde_json::Value = serde_json::from_str(&written(LogForm::Json)).unwrap();
        let field = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(field("time"), "2026-11-22T13:20:05.007Z");
        assert_eq!([field("level"), field("site"), field("event")], ["warn", "huaxi", "question"]);
        assert_eq!((field("code"), field("job")), ("REJECTED".to_owned(), "ab".repeat(16)));
    }
}
