//! Refusals and faults in PostgreSQL's words: our stable code in front of the message, and the SQLSTATE that fits.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};
use pgwire::error::{ErrorInfo, PgWireError};

use crate::fault::{NodeError, printable};

/// Of an error that ends a statement, with the place where `text` is what the client sent.
pub fn refusal(error: &NodeError, text: Option<&str>) -> PgWireError {
    PgWireError::UserError(Box::new(info("ERROR", error, text)))
}

/// Of one that ends the connection.
pub fn fatal(error: &NodeError) -> PgWireError {
    PgWireError::UserError(Box::new(info("FATAL", error, None)))
}

fn info(severity: &str, error: &NodeError, text: Option<&str>) -> ErrorInfo {
    // The planner draws a caret below its sentence; here it has a place of its own.
    let (sentence, rest) = error.message.split_once('\n').unwrap_or((&error.message, ""));
    let message = format!("{}: {}", error.code, printable(sentence));
    let mut info = ErrorInfo::new(severity.to_owned(), sqlstate(&error.code).to_owned(), cut(&message));
    info.severity_nonlocalized = Some(severity.to_owned());
    info.hint = error.hint.as_deref().map(cut);
    info.position = text.and_then(|text| position(&error.code, sentence, text)).map(|at| at.to_string());
    info.detail = (!rest.is_empty() && info.position.is_none()).then(|| cut(rest));
    info
}

/// Errors have a bounded length on the wire.
fn cut(text: &str) -> String {
    text.chars().take(4_000).collect()
}

/// The place in characters from 1, if the sentence says it or names something that stands in the text.
fn position(code: &str, sentence: &str, text: &str) -> Option<usize> {
    if let Some(place) = sentence.strip_prefix("line ") {
        let (line, rest) = place.split_once(", column ")?;
        let column = rest.split_once(':')?.0;
        return Some(offset(text, Location { line: line.parse().ok()?, column: column.parse().ok()? }));
    }
    if !["UNKNOWN_TABLE", "UNKNOWN_COLUMN", "UNKNOWN_SITE", "AMBIGUOUS_COLUMN"].contains(&code) {
        return None;
    }
    let named = sentence.split('\'').nth(1)?;
    let last = named.rsplit('.').next()?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
    let is_it = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(last));
    tokens.iter().find(|token| is_it(&token.token)).map(|token| offset(text, token.span.start))
}

/// A line and column as characters from 1.
fn offset(text: &str, place: Location) -> usize {
    let before = text.split_inclusive('\n').take(place.line.saturating_sub(1) as usize);
    before.map(|line| line.chars().count()).sum::<usize>() + place.column as usize
}

/// The class of error that programs look at.
pub fn sqlstate(code: &str) -> &'static str {
    match code {
        "SQL_SYNTAX" | "INVALID_QUERY" | "ONE_STATEMENT" => "42601",
        "UNKNOWN_TABLE" | "TABLE_MISSING" => "42P01",
        "UNKNOWN_SITE" => "3F000",
        "UNKNOWN_COLUMN" => "42703",
        "AMBIGUOUS_COLUMN" => "42702",
        "DUPLICATE_NAME" => "42712",
        "UNKNOWN_FUNCTION" => "42883",
        "TYPE_MISMATCH" => "42804",
        "UNKNOWN_SETTING" => "42704",
        "BAD_SETTING" | "BAD_EPSILON" | "BAD_DELTA" | "EPSILON_TOO_SMALL" => "22023",
        "BAD_PARAMETER" => "22P02",
        "PARAMETERS_DIFFER" | "BAD_MESSAGE" => "08P01",
        "CONTROL_CHARACTERS" => "22021",
        "NOT_A_QUERY" => "25006",
        "DIVISION_BY_ZERO" => "22012",
        "ARITHMETIC_OVERFLOW" | "SUM_OVERFLOW" | "SUM_TOO_LARGE" | "INTEGER_OVERFLOW" | "NUMBER_TOO_WIDE" => "22003",
        "CAST_FAILED" => "22P02",
        "QUERY_TOO_LONG"
        | "QUERY_TOO_DEEP"
        | "TOO_MANY_GROUPS"
        | "TOO_MANY_ROWS"
        | "TOO_MANY_FIGURES"
        | "MATCHING_TOO_LARGE"
        | "MESSAGE_TOO_LONG"
        | "TOO_MANY_STATEMENTS"
        | "TOO_MUCH_WORK" => "54000",
        "TOO_MANY_JOBS" | "TOO_MANY_CONNECTIONS" | "INBOX_FULL" | "SITE_BUSY" => "53300",
        "TLS_REQUIRED" | "NOT_AN_ACCOUNT" => "28000",
        "BAD_PASSWORD" => "28P01",
        "JOB_CANCELLED" => "57014",
        "NODE_STOPPED" | "NODE_RESTARTED" | "SITE_STOPPING" => "57P01",
        "WAITING_FOR_APPROVAL" | "PLAN_DIFFERS" => "55000",
        "NO_SUCH_JOB" | "NO_SUCH_ANSWER" => "42704",
        "SITE_UNREACHABLE" | "SITE_LOST" | "SITE_SILENT" | "LOCAL_FAILED" | "SESSION_STOPPED" | "SESSION_FAILED" => {
            "58000"
        }
        "INTERNAL" | "PLAN_INVALID" => "XX000",
        "NOT_YET" | "UNSUPPORTED" | "UNMATCHABLE" | "RELATED_TABLES" | "CONDITIONAL_VALUE" | "RESULT_CHANGED" => {
            "0A000"
        }
        // What a policy, a study, a ledger or a steward does not let happen.
        _ => "42501",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: &'static str, message: &str, text: &str) -> ErrorInfo {
        info("ERROR", &NodeError::new(code, message), Some(text))
    }

    #[test]
    fn an_error_says_its_code_its_class_and_its_place() {
        let error = shown("SQL_SYNTAX", "line 2, column 3: Expected: x\n  ab\n  ^", "é\nabc");
        assert_eq!((&*error.code, error.position.as_deref(), error.detail), ("42601", Some("5"), None));
        assert_eq!(error.message, "SQL_SYNTAX: line 2, column 3: Expected: x");
        let error = shown("UNKNOWN_COLUMN", "there is no column 'p.sx'", "SELECT p.sex, P.SX FROM p");
        assert_eq!((&*error.code, error.position.as_deref()), ("42703", Some("17")));
        assert_eq!(shown("COLUMN_NOT_ALLOWED", "'sx'", "sx").position, None);
        assert_eq!(shown("COLUMN_NOT_ALLOWED", "'sx'", "sx").code, "42501");
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(shown("REJECTED", "a\r\u{1b}b", "").message, "REJECTED: a\u{fffd}\u{fffd}b");
    }
}
