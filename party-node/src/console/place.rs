//! Where in a question something is wrong, as far as the planner's words tell.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::refused::{Place, Refused};
use crate::fault::NodeError;

/// A refusal of a question, with its place where the parser says one or the binder names a word of it.
pub fn placed(error: NodeError, sql: &str) -> Refused {
    let first = error.message.lines().next().unwrap_or_default().to_owned();
    let (place, message) = match counted(&first) {
        Some((place, rest)) => (Some(place), rest.to_owned()),
        None => (named(&error.code, &first, sql), first),
    };
    Refused { place, ..Refused::from(NodeError { message, ..error }) }
}

/// `line 2, column 7: what`, and the words without it; or `… at line 2, column 7` at the end.
fn counted(message: &str) -> Option<(Place, &str)> {
    if let Some(rest) = message.strip_prefix("line ") {
        let (line, rest) = rest.split_once(", column ")?;
        let (column, rest) = rest.split_once(": ")?;
        return Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, rest));
    }
    let (_, place) = message.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(", column ")?;
    Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, message))
}

/// The first word of the question that is the name which the binder did not find.
fn named(code: &str, message: &str, sql: &str) -> Option<Place> {
    if !["UNKNOWN_COLUMN", "UNKNOWN_TABLE", "UNKNOWN_SITE", "UNKNOWN_FUNCTION", "AMBIGUOUS_COLUMN"].contains(&code) {
        return None;
    }
    // A table's message may name the site before it.
    let name = message.split('\'').nth(1)?;
    let name = name.rsplit('.').next()?.trim_matches('"');
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().ok()?;
    let is_it = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
    let found = tokens.iter().find(|token| is_it(&token.token))?.span.start;
    (found.line > 0).then_some(Place { line: found.line, column: found.column })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(code: &'static str, message: &str, sql: &str) -> Option<(u64, u64)> {
        placed(NodeError::new(code, message), sql).place.map(|place| (place.line, place.column))
    }

    #[test]
    fn a_syntax_error_keeps_its_sentence_and_loses_its_caret() {
        let error = NodeError::new("SQL_SYNTAX", "line 2, column 7: Expected: FROM\n  SELECT\n       ^");
        let refused = placed(error, "");
        assert_eq!(refused.message, "Expected: FROM");
        assert_eq!(refused.place, Some(Place { line: 2, column: 7 }));
    }

    #[test]
    fn a_name_is_found_outside_of_texts_and_comments() {
        let sql = "SELECT 'persn' -- persn\nFROM 患 JOIN Persn p";
        assert_eq!(place("UNKNOWN_TABLE", "there is no table 'persn' in the catalogue", sql), Some((2, 13)));
        assert_eq!(place("UNKNOWN_COLUMN", "there is no column 'p.\"persn\"'", sql), Some((2, 13)));
        assert_eq!(place("UNKNOWN_COLUMN", "there is no column 'other'", sql), None);
        assert_eq!(place("TYPE_MISMATCH", "'persn' is of another type", sql), None);
        assert_eq!(place("CONTROL_CHARACTERS", "the query holds U+0007 at line 3, column 2", sql), Some((3, 2)));
    }
}
