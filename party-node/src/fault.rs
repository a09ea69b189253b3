//! What a node refuses or cannot do, as a stable code and a sentence. Never holds a row value.

use std::borrow::Cow;
use std::fmt;

use query_planner::PlanError;

/// A refusal or a fault, with a stable code. Its text goes to logs, terminals and other sites, so it names tables, files,
/// lines, columns and rules, and never a value of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NodeError {
    /// Stable, upper-case, in the README's tables of errors: `RAGGED_ROW`, `SUM_OVERFLOW`…
    pub code: Cow<'static, str>,
    /// One sentence: what is wrong, and where.
    pub message: String,
    /// What to do about it, when we know it.
    pub hint: Option<String>,
}

impl NodeError {
    /// A fault without a hint.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None }
    }

    /// What a site answered: its own code, with its name before its words. What is no code of ours is not repeated.
    pub fn remote(site: &str, code: &str, message: &str, hint: Option<&str>) -> Self {
        let known = !code.is_empty()
            && code.len() < 64
            && code.bytes().all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b));
        let code = if known { Cow::Owned(code.to_owned()) } else { "SITE_REFUSED".into() };
        Self { code, message: format!("site {}: {}", printable(site), printable(message)), hint: hint.map(printable) }
    }

    /// The same fault with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  help: {hint}"))
    }
}

impl From<PlanError> for NodeError {
    fn from(error: PlanError) -> Self {
        Self { code: error.code.into(), message: error.message, hint: error.hint }
    }
}

/// Replaces control and direction-changing characters, so that a name from a file cannot forge a line of a log.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Control characters, and the bidirectional controls that make a terminal show text out of order.
pub(crate) fn hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_its_code_its_sentence_and_its_help() {
        let error = NodeError::new("EMPTY_FILE", "file a.csv is empty").hint("write a header line");
        assert_eq!(error.to_string(), "EMPTY_FILE: file a.csv is empty\n  help: write a header line");
    }

    #[test]
    fn a_planner_error_keeps_its_code_and_hint() {
        let error = NodeError::from(PlanError::new("UNKNOWN_TABLE", "no table x").hint("y?"));
        assert_eq!((&*error.code, error.hint.as_deref()), ("UNKNOWN_TABLE", Some("y?")));
    }

    #[test]
    fn names_cannot_forge_a_line_or_turn_the_text_round() {
        assert_eq!(printable("a\n\u{202e}b\u{1b}"), "a\u{fffd}\u{fffd}b\u{fffd}");
    }
}
