//! From text to one statement: limits first, so that nothing below meets a text it could not bear.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Query, Statement, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut, visit_relations,
};
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::PlanError;

/// A parsed question: exactly one SELECT.
#[derive(Debug)]
pub(crate) struct Question {
    pub statement: Statement,
    /// The statement printed again: comments and layout are gone. As it came where that would not read back the same.
    pub text: String,
}

/// Parses one query of PostgreSQL's dialect.
///
/// # Errors
/// `QUERY_TOO_LONG`, `CONTROL_CHARACTERS`, `QUERY_TOO_DEEP`, `SQL_SYNTAX`, `ONE_STATEMENT`, `NOT_A_QUERY`.
pub(crate) fn parse(sql: &str) -> Result<Question, PlanError> {
    let statement = statement(sql)?;
    check_expansion(&statement)?;
    let text = printed(&statement).unwrap_or_else(|_| sql.trim().to_owned());
    Ok(Question { statement, text })
}

/// The one SELECT of a text, within the limits on length and depth, bound to nothing.
///
/// # Errors
/// `QUERY_TOO_LONG`, `CONTROL_CHARACTERS`, `QUERY_TOO_DEEP`, `SQL_SYNTAX`, `ONE_STATEMENT`, `NOT_A_QUERY`.
pub fn statement(sql: &str) -> Result<Statement, PlanError> {
    check_text(sql)?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|e| syntax(sql, &e.message, Some(e.location)))?;
    check_tokens(&tokens)?;
    let statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(MAX_RECURSION)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|e| parser_error(sql, e))?;
    only(statements)
}

/// A text that reads back as this statement.
///
/// # Errors
/// As [`statement`], and `UNSUPPORTED` where what is printed would be another one.
pub fn printed(statement: &Statement) -> Result<String, PlanError> {
    let mut copy = statement.clone();
    let _ = VisitMut::visit(&mut copy, &mut Doubler);
    let text = copy.to_string();
    match self::statement(&text) {
        Ok(again) if again == *statement => Ok(text),
        Err(error) if error.code != "SQL_SYNTAX" => Err(error),
        _ => Err(PlanError::new("UNSUPPORTED", "the question cannot be written with these values")),
    }
}

/// The printer takes a quote that follows a backslash or another quote for one that is doubled already: so it gets doubled ones.
struct Doubler;

impl VisitorMut for Doubler {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::SingleQuotedString(text) = &mut value.value {
            *text = text.replace('\'', "''");
        }
        ControlFlow::Continue(())
    }
}

fn check_text(sql: &str) -> Result<(), PlanError> {
    if sql.len() > MAX_BYTES {
        return Err(PlanError::new(
            "QUERY_TOO_LONG",
            format!("the query has {} bytes, at most {MAX_BYTES}", sql.len()),
        ));
    }
    let Some((at, c)) = sql.char_indices().find(|(_, c)| is_hidden(*c)) else {
        return Ok(());
    };
    let (line, column) = position(sql, at);
    let text = format!("the query holds the character U+{:04X} at line {line}, column {column}", u32::from(c));
    Err(PlanError::new("CONTROL_CHARACTERS", text).hint("remove it: a reader would not see it, or see another order"))
}

/// Control characters, and those that reorder text, so that what a steward reads is what runs.
fn is_hidden(c: char) -> bool {
    let layout = matches!(c, '\n' | '\r' | '\t');
    (c.is_control() && !layout)
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn position(sql: &str, at: usize) -> (usize, usize) {
    let before = &sql[..at];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Bounds the shape of the tree before there is one: brackets nest, calls nest, operators chain.
fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), PlanError> {
    let mut links = 0usize;
    // For each open bracket: does it hold the arguments of a call, or a subquery inside an expression?
    let mut open: Vec<bool> = Vec::new();
    let mut before = None;
    let mut rest = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_))).peekable();
    while let Some(token) = rest.next() {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(before.is_some_and(is_callee) || starts_subquery(before, rest.peek().copied()));
            }
            Token::RParen | Token::RBracket | Token::RBrace => _ = open.pop(),
            other => links += usize::from(is_link(other)),
        }
        if open.len() > MAX_DEPTH {
            return Err(too_deep(&format!("brackets nest deeper than {MAX_DEPTH} levels")));
        }
        if open.iter().filter(|call| **call).count() > MAX_CALLS {
            return Err(too_deep(&format!("calls and subqueries in expressions nest deeper than {MAX_CALLS} levels")));
        }
        before = Some(token);
    }
    if links > MAX_LINKS {
        return Err(too_deep(&format!("the query chains {links} operators, joins and unions, at most {MAX_LINKS}")));
    }
    Ok(())
}

/// Does a bracket between these tokens open a subquery that is a value? It doubles the work as a call does; a subquery
/// that is a table does not.
fn starts_subquery(before: Option<&Token>, after: Option<&Token>) -> bool {
    use Keyword as K;
    let keyword = |token: Option<&Token>| match token {
        Some(Token::Word(word)) => word.keyword,
        _ => K::NoKeyword,
    };
    let is_table = matches!(
        keyword(before),
        K::FROM
            | K::JOIN
            | K::LATERAL
            | K::AS
            | K::MATERIALIZED
            | K::UNION
            | K::ALL
            | K::DISTINCT
            | K::EXCEPT
            | K::INTERSECT
    );
    before.is_some() && !is_table && matches!(keyword(after), K::SELECT | K::WITH | K::VALUES)
}

/// Is a bracket after this token the argument list of a call? The parser reads each argument twice (it might be named),
/// and DataFusion derives types from arguments more than once, so each level of calls doubles the work of both.
fn is_callee(token: &Token) -> bool {
    use Keyword as K;
    match token {
        Token::Word(word) => !matches!(
            word.keyword,
            K::SELECT
                | K::DISTINCT
                | K::FROM
                | K::JOIN
                | K::LATERAL
                | K::ON
                | K::USING
                | K::WHERE
                | K::HAVING
                | K::BY
                | K::LIMIT
                | K::OFFSET
                | K::AS
                | K::MATERIALIZED
                | K::VALUES
                | K::UNION
                | K::EXCEPT
                | K::INTERSECT
                | K::ALL
                | K::ANY
                | K::SOME
                | K::EXISTS
                | K::IN
                | K::NOT
                | K::AND
                | K::OR
                | K::BETWEEN
                | K::LIKE
                | K::IS
                | K::CASE
                | K::WHEN
                | K::THEN
                | K::ELSE
                | K::OVER
                | K::FILTER
                | K::GROUP
        ),
        Token::DoubleQuotedString(_) => true,
        _ => false,
    }
}

fn is_link(token: &Token) -> bool {
    use Keyword as K;
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            K::AND
                | K::OR
                | K::NOT
                | K::UNION
                | K::INTERSECT
                | K::EXCEPT
                | K::JOIN
                | K::CASE
                | K::WITH
                | K::IS
                | K::LIKE
        ),
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SemiColon | Token::Period | Token::EOF => {
            false
        }
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => false,
        _ => true,
    }
}

fn too_deep(text: &str) -> PlanError {
    PlanError::new("QUERY_TOO_DEEP", text).hint("split the question, or use IN (…) instead of a chain of ORs")
}

fn only(mut statements: Vec<Statement>) -> Result<Statement, PlanError> {
    if statements.len() > 1 {
        let text = format!("one statement at a time, not {}", statements.len());
        return Err(PlanError::new("ONE_STATEMENT", text));
    }
    match statements.pop() {
        Some(query @ Statement::Query(_)) => Ok(query),
        Some(_) => Err(PlanError::new("NOT_A_QUERY", "only SELECT can be asked: nothing is written at a site")),
        None => Err(PlanError::new("NOT_A_QUERY", "the query is empty")),
    }
}

fn parser_error(sql: &str, error: ParserError) -> PlanError {
    match error {
        ParserError::RecursionLimitExceeded => too_deep("the query nests too deep"),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            let (message, location) = split_location(&text);
            syntax(sql, message, location)
        }
    }
}

/// The parser writes the place at the end of its message: `… at Line: 1, Column: 8`.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let read = || {
        let (message, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Location { line: line.parse().ok()?, column: column.parse().ok()? }))
    };
    match read() {
        Some((message, location)) => (message, Some(location)),
        None => (text, None),
    }
}

fn syntax(sql: &str, message: &str, location: Option<Location>) -> PlanError {
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    match location.filter(|l| l.line > 0 && l.column > 0) {
        Some(l) => {
            let text = format!("line {}, column {}: {message}\n{}", l.line, l.column, caret(sql, l));
            PlanError::new("SQL_SYNTAX", text)
        }
        None => PlanError::new("SQL_SYNTAX", format!("at the end of the query: {message}")),
    }
}

/// The line with a caret under the column, cut to a window that fits a terminal.
fn caret(sql: &str, location: Location) -> String {
    let line = sql.lines().nth(location.line as usize - 1).unwrap_or_default();
    let column = (location.column as usize - 1).min(line.chars().count());
    let skip = column.saturating_sub(60);
    let window: String = line.chars().skip(skip).take(100).map(|c| if c == '\t' { ' ' } else { c }).collect();
    format!("  {window}\n  {}^", " ".repeat(column - skip))
}

/// A common table expression is copied wherever it is named: refuses texts whose copies explode (each naming the one
/// before it twice doubles the plan).
fn check_expansion(statement: &Statement) -> Result<(), PlanError> {
    let mut ctes = Ctes::default();
    let _ = statement.visit(&mut ctes);
    let mut known = BTreeMap::new();
    let total = relations(statement).iter().fold(0u64, |sum, name| sum.saturating_add(ctes.weight(name, &mut known)));
    if total > MAX_SCANS {
        return Err(too_deep(&format!(
            "the query reads more than {MAX_SCANS} tables once its WITH clauses are written out"
        )));
    }
    Ok(())
}

#[derive(Default)]
struct Ctes {
    bodies: BTreeMap<String, Vec<String>>,
}

impl Visitor for Ctes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            self.bodies.entry(cte.alias.name.value.to_lowercase()).or_default().extend(relations(&cte.query));
        }
        ControlFlow::Continue(())
    }
}

impl Ctes {
    /// Table scans behind a name. While a name is being counted it counts as a table: a body that names itself means
    /// the table of that name.
    fn weight(&self, name: &str, known: &mut BTreeMap<String, u64>) -> u64 {
        if let Some(weight) = known.get(name) {
            return *weight;
        }
        let Some(body) = self.bodies.get(name) else { return 1 };
        known.insert(name.to_owned(), 1);
        let weight = body.iter().fold(0u64, |sum, inner| sum.saturating_add(self.weight(inner, known)));
        known.insert(name.to_owned(), weight);
        weight
    }
}

fn relations<T: Visit>(node: &T) -> Vec<String> {
    let mut names = Vec::new();
    let _ = visit_relations(node, |name| {
        names.push(name.0.last().map(|part| part.to_string().to_lowercase()).unwrap_or_default());
        ControlFlow::<()>::Continue(())
    });
    names
}

/// 64 KiB: far above any question, far below what would slow the parser.
const MAX_BYTES: usize = 64 * 1024;
/// Levels of brackets.
const MAX_DEPTH: usize = 64;
/// The parser spends up to four of its levels on one of ours (query, table, expression, call).
const MAX_RECURSION: usize = 4 * MAX_DEPTH;
/// Levels of function calls: ten take a few milliseconds, twenty would take seconds.
pub(crate) const MAX_CALLS: usize = 10;
/// Operators in the whole text: a chain of them is a tree as deep as the chain is long.
const MAX_LINKS: usize = 1024;
/// Tables read, with each WITH clause written out.
const MAX_SCANS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> PlanError {
        parse(sql).unwrap_err()
    }

    #[test]
    fn the_text_that_is_shown_reads_back_as_what_runs() {
        for literal in [r"'\'", "''''", r"'\''; x'", r"'\\''b'", "'a''''b'", r"E'\' OR 1=1 --'", "'it''s'"] {
            let sql = format!("SELECT  COUNT(*) /* . */ FROM t WHERE a = {literal} AND \"b\"\"c\" = 1");
            let Question { statement: runs, text } = parse(&sql).unwrap();
            assert_eq!(statement(&text).unwrap(), runs, "{sql} is shown as {text}");
        }
        assert_eq!(parse("select 1 -- one\n from  t").unwrap().text, "SELECT 1 FROM t");
    }

    #[test]
    fn a_syntax_error_has_a_line_a_column_and_a_caret() {
        let error = refused("SELECT 1\nFROM (");
        assert_eq!(error.code, "SQL_SYNTAX");
        let error = refused("SELECT COUNT(*)\nFROMM t x y");
        assert!(error.message.starts_with("line 2, column 7"), "{error}");
        assert!(error.message.ends_with("\n        ^"), "{error}");
    }

    #[test]
    fn limits_are_checked_before_parsing() {
        assert_eq!(refused(&" ".repeat(MAX_BYTES + 1)).code, "QUERY_TOO_LONG");
        assert_eq!(refused(&format!("SELECT {}1{}", "(".repeat(65), ")".repeat(65))).code, "QUERY_TOO_DEEP");
        assert_eq!(refused(&format!("SELECT {}1", "- ".repeat(2000))).code, "QUERY_TOO_DEEP");
        assert_eq!(refused(&format!("SELECT 1{}", " AND 1".repeat(2000))).code, "QUERY_TOO_DEEP");
        assert_eq!(refused("SELECT \u{202e}1").code, "CONTROL_CHARACTERS");
        assert!(refused("SELECT\n 1\u{7}").message.contains("line 2, column 3"));
    }

    #[test]
    fn one_select_and_nothing_else() {
        assert_eq!(refused("SELECT 1; SELECT 2").code, "ONE_STATEMENT");
        assert_eq!(refused("DROP TABLE person").code, "NOT_A_QUERY");
        assert_eq!(refused("").code, "NOT_A_QUERY");
        assert!(parse("SELECT 1;").is_ok());
    }

    #[test]
    fn common_table_expressions_may_not_explode() {
        let mut sql = "WITH a0 AS (SELECT * FROM t)".to_owned();
        for i in 1..40 {
            sql += &format!(", a{i} AS (SELECT * FROM a{} x, a{} y)", i - 1, i - 1);
        }
        assert_eq!(refused(&format!("{sql} SELECT COUNT(*) FROM a39")).code, "QUERY_TOO_DEEP");
    }
}
