//! What a client's text asks for: one command for each statement.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value,
    Visit, VisitMut, Visitor, VisitorMut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use query_planner::Catalog;

use super::browse;
use crate::fault::{NodeError, printable};

/// What one statement asks for.
#[derive(Clone)]
pub enum Command {
    /// The sites, together.
    Ask(Asked),
    /// What a question would do; or only what it would reveal.
    Explain {
        /// The question.
        asked: Asked,
        /// Only what it would reveal.
        disclosure: bool,
    },
    /// The node: its catalogue, its jobs, a constant.
    Browse(Box<Query>),
    /// The kept answer of a job.
    Answer(JobName),
    /// A setting of the connection gets a value; its default where there is none.
    Set(String, Option<String>),
    /// A setting's value.
    Show(String),
    /// All settings get what the connection began with.
    ResetAll,
    /// And what is prepared is forgotten.
    DiscardAll,
    /// A prepared statement is forgotten, or all.
    Deallocate(Option<String>),
    /// A transaction begins: nothing is written, so it changes nothing.
    Begin,
    /// And ends, with this word.
    End(&'static str),
    /// Nothing, under this word.
    Nothing(&'static str),
}

/// A question of SELECT.
#[derive(Clone)]
pub struct Asked {
    /// As the client wrote it.
    pub text: String,
    /// Parsed; names of the schema `public` stand without it.
    pub statement: Box<Statement>,
    /// Was something of it rewritten, so that `text` is not what is to be asked?
    pub rewritten: bool,
}

/// How a job is named.
#[derive(Clone)]
pub enum JobName {
    /// By a literal.
    Text(String),
    /// By the parameter of this number, from 0.
    Parameter(usize),
}

/// Statements of one text.
const MAX_STATEMENTS: usize = 100;

/// The statements of a text, without those that say nothing.
///
/// # Errors
/// `SQL_SYNTAX` for what has no tokens, `TOO_MANY_STATEMENTS`.
pub fn statements(sql: &str) -> Result<Vec<&str>, NodeError> {
    let tokens = tokens(sql)?;
    let mut starts = vec![0];
    let semicolons = tokens.iter().filter(|token| token.token == Token::SemiColon);
    if semicolons.clone().count() > MAX_STATEMENTS {
        let message = format!("one text has at most {MAX_STATEMENTS} statements");
        return Err(NodeError::new("TOO_MANY_STATEMENTS", message));
    }
    starts.extend(semicolons.map(|token| offset(sql, token.span.end)));
    let ends = starts.iter().skip(1).copied().chain([sql.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| sql[*start..end].trim_end_matches(';'));
    let says = |part: &&str| self::tokens(part).is_ok_and(|tokens| !words(&tokens).is_empty());
    Ok(parts.filter(says).collect())
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, NodeError> {
    let read = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    read.map_err(|e| {
        let Location { line, column } = e.location;
        NodeError::new("SQL_SYNTAX", format!("line {line}, column {column}: {}", printable(&e.message)))
    })
}

/// Bytes before a place.
fn offset(sql: &str, place: Location) -> usize {
    let line_start: usize = sql.split_inclusive('\n').take(place.line.saturating_sub(1) as usize).map(str::len).sum();
    let line = &sql[line_start..];
    let before = line.char_indices().nth(place.column.saturating_sub(1) as usize);
    line_start + before.map_or(line.len(), |(at, _)| at)
}

/// Without spaces, comments and semicolons.
fn words(tokens: &[TokenWithSpan]) -> Vec<&TokenWithSpan> {
    let says = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF);
    tokens.iter().filter(says).collect()
}

/// What one statement asks for.
///
/// # Errors
/// `SQL_SYNTAX` and the other refusals of a text, `UNSUPPORTED` for a question of the sites and of the node's catalogue together,
/// `NOT_A_QUERY` for what would write.
pub fn command(sql: &str, catalog: &Catalog) -> Result<Command, NodeError> {
    let tokens = tokens(sql)?;
    let words = words(&tokens);
    let keyword = |at: usize| match words.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let value = |from: usize| words.iter().skip(from).map(|token| &token.token);
    Ok(match keyword(0).as_str() {
        "SET" => return set(&words),
        "SHOW" if keyword(1) == "TRANSACTION" => Command::Show("transaction_isolation".into()),
        "SHOW" => Command::Show(setting_name(value(1))?),
        "RESET" if keyword(1) == "ALL" => Command::ResetAll,
        "RESET" => Command::Set(setting_name(value(1))?, None),
        "BEGIN" | "START" => Command::Begin,
        "COMMIT" | "END" => Command::End("COMMIT"),
        "ROLLBACK" if keyword(1) == "TO" => Command::Nothing("ROLLBACK"),
        "ROLLBACK" | "ABORT" => Command::End("ROLLBACK"),
        "SAVEPOINT" => Command::Nothing("SAVEPOINT"),
        "RELEASE" => Command::Nothing("RELEASE"),
        "DISCARD" if keyword(1) == "ALL" => Command::DiscardAll,
        "DISCARD" => Command::Nothing("DISCARD"),
        "DEALLOCATE" => {
            let at = if keyword(1) == "PREPARE" { 2 } else { 1 };
            let all = keyword(at) == "ALL" || words.len() <= at;
            Command::Deallocate(if all { None } else { Some(name_of(&words[at].token)) })
        }
        "CLOSE" => Command::Nothing("CLOSE CURSOR"),
        "UNLISTEN" => Command::Nothing("UNLISTEN"),
        "EXPLAIN" => {
            let (question, disclosure) = explained(sql, &words)?;
            let asked = Asked::parse(&question, catalog)?;
            Command::Explain { asked, disclosure }
        }
        _ => query(sql, catalog)?,
    })
}

/// The text behind EXPLAIN and its options, and whether only what is revealed is asked for.
fn explained(sql: &str, words: &[&TokenWithSpan]) -> Result<(String, bool), NodeError> {
    let word = |at: usize| match words.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => word.value.to_uppercase(),
        _ => String::new(),
    };
    let is = |at: usize, token: &Token| words.get(at).is_some_and(|word| word.token == *token);
    // A parenthesis may also begin the question.
    let listed = is(1, &Token::LParen) && !["", "SELECT", "WITH", "VALUES"].contains(&&*word(2));
    let (mut at, mut disclosure) = (if listed { 2 } else { 1 }, false);
    loop {
        match &*word(at) {
            "DISCLOSURE" => disclosure = true,
            "VERBOSE" => (),
            "ANALYZE" | "ANALYSE" => {
                return Err(NodeError::new("UNSUPPORTED", "EXPLAIN runs nothing")
                    .hint("without ANALYZE it says what a question would cost"));
            }
            _ if listed && is(at, &Token::Comma) => (),
            _ if listed && is(at, &Token::RParen) => {
                at += 1;
                break;
            }
            _ if listed => {
                return Err(NodeError::new("UNSUPPORTED", "EXPLAIN has the options DISCLOSURE and VERBOSE"));
            }
            _ => break,
        }
        at += 1;
    }
    let start = words.get(at).map_or(sql.len(), |token| offset(sql, token.span.start));
    Ok((sql[start..].to_owned(), disclosure))
}

fn set(words: &[&TokenWithSpan]) -> Result<Command, NodeError> {
    let is = |at: usize, word: &str| matches!(words.get(at).map(|t| &t.token), Some(Token::Word(w)) if w.value.eq_ignore_ascii_case(word));
    let mut from = 1;
    if is(1, "SESSION") && (is(2, "CHARACTERISTICS") || is(2, "AUTHORIZATION"))
        || is(1, "TRANSACTION")
        || is(1, "CONSTRAINTS")
    {
        return Ok(Command::Nothing("SET"));
    }
    let is_local = is(from, "LOCAL");
    if is(from, "SESSION") || is_local {
        from += 1;
    }
    if is(from, "TRANSACTION") {
        return Ok(Command::Nothing("SET"));
    }
    let (name, mut at) = if is(from, "TIME") && is(from + 1, "ZONE") {
        ("timezone".to_owned(), from + 2)
    } else if is(from, "NAMES") {
        ("client_encoding".to_owned(), from + 1)
    } else {
        let is_end = |token: &Token| {
            *token == Token::Eq || matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case("to"))
        };
        let length = words[from..].iter().take_while(|token| !is_end(&token.token)).count();
        (setting_name(words[from..from + length].iter().map(|token| &token.token))?, from + length + 1)
    };
    if is_local && name.starts_with("consilium.") {
        return Err(NodeError::new("UNSUPPORTED", "a transaction has no settings of its own here")
            .hint("say SET without LOCAL"));
    }
    if is(at, "DEFAULT") && words.len() == at + 1 {
        return Ok(Command::Set(name, None));
    }
    if words.len() <= at {
        return Err(NodeError::new("SQL_SYNTAX", "SET needs a value: SET name = 'value'"));
    }
    let mut value = String::new();
    while let Some(token) = words.get(at).map(|token| &token.token) {
        value += &match token {
            Token::SingleQuotedString(text) => text.clone(),
            Token::Word(word) => word.value.clone(),
            Token::Comma => ", ".to_owned(),
            other => other.to_string(),
        };
        at += 1;
    }
    Ok(Command::Set(name, Some(value)))
}

/// A name as it is meant: in lower case unless it is quoted.
fn name_of(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
        Token::Word(word) => word.value.clone(),
        other => other.to_string(),
    }
}

fn setting_name<'a>(tokens: impl Iterator<Item = &'a Token>) -> Result<String, NodeError> {
    let part = |token: &Token| match token {
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        Token::Period => Some(".".to_owned()),
        _ => None,
    };
    let name: Option<String> = tokens.map(part).collect();
    name.filter(|name| !name.is_empty()).ok_or_else(|| NodeError::new("SQL_SYNTAX", "that is no name of a setting"))
}

fn query(sql: &str, catalog: &Catalog) -> Result<Command, NodeError> {
    let statement = query_planner::statement(sql)?;
    let Statement::Query(query) = &statement else {
        return Err(NodeError::new("NOT_A_QUERY", "only SELECT can be asked: nothing is written at a site"));
    };
    if let Some(name) = answer_of(query)? {
        return Ok(Command::Answer(name));
    }
    let (local, joint) = relations(query, catalog);
    match (local, joint) {
        (false, true) => Ok(Command::Ask(Asked::of(sql, statement)?)),
        (_, false) => Ok(Command::Browse(query.clone())),
        (true, true) => {
            Err(NodeError::new("UNSUPPORTED", "one question asks the sites or the node's own catalogue, not both"))
        }
    }
}

/// Does it read the node's own tables, and those of the sites?
fn relations(query: &Query, catalog: &Catalog) -> (bool, bool) {
    let mut names = Ctes::default();
    let _ = query.visit(&mut names);
    let (mut local, mut joint) = (false, false);
    let _ = visit_relations(query, |name| {
        match place(name, &names, catalog) {
            Place::Node => local = true,
            Place::Sites => joint = true,
            Place::Question => (),
        }
        ControlFlow::<()>::Continue(())
    });
    (local, joint)
}

enum Place {
    Node,
    Sites,
    /// A WITH clause of the question.
    Question,
}

fn place(name: &ObjectName, ctes: &Ctes, catalog: &Catalog) -> Place {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |i| i.value.to_lowercase()))
        .collect();
    match parts.as_slice() {
        [table] if ctes.0.contains(table) => Place::Question,
        [table] if catalog.table(table).is_none() && browse::knows(table) => Place::Node,
        [.., schema, _] if browse::is_schema(schema) => Place::Node,
        _ => Place::Sites,
    }
}

#[derive(Default)]
struct Ctes(Vec<String>);

impl Visitor for Ctes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.0
            .extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }
}

/// `SELECT * FROM consilium.answer('ID')`, and nothing else with that function.
fn answer_of(query: &Query) -> Result<Option<JobName>, NodeError> {
    let other = || NodeError::new("UNSUPPORTED", "an answer is read whole: SELECT * FROM consilium.answer('ID')");
    let mut named = false;
    let _ = visit_relations(query, |name| {
        named |= name.to_string().eq_ignore_ascii_case("consilium.answer");
        ControlFlow::<()>::Continue(())
    });
    if !named {
        return Ok(None);
    }
    let plain =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_ref() else { return Err(other()) };
    let Select { projection, from, selection, having, distinct, .. } = select.as_ref();
    let whole = matches!(projection.as_slice(), [SelectItem::Wildcard(_)]);
    if !plain || !whole || selection.is_some() || having.is_some() || distinct.is_some() {
        return Err(other());
    }
    let [table] = from.as_slice() else { return Err(other()) };
    let TableFactor::Table { args: Some(args), .. } = &table.relation else { return Err(other()) };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = args.args.as_slice() else {
        return Err(other());
    };
    match (&value.value, table.joins.is_empty()) {
        (Value::SingleQuotedString(text), true) => Ok(Some(JobName::Text(text.clone()))),
        (Value::Placeholder(name), true) => {
            super::params::number(name).map(|at| Some(JobName::Parameter(at))).ok_or_else(other)
        }
        _ => Err(other()),
    }
}

impl Asked {
    fn parse(sql: &str, catalog: &Catalog) -> Result<Self, NodeError> {
        let statement = query_planner::statement(sql)?;
        let Statement::Query(query) = &statement else {
            return Err(NodeError::new("NOT_A_QUERY", "only SELECT can be asked: nothing is written at a site"));
        };
        match relations(query, catalog) {
            (false, true) => Self::of(sql, statement),
            _ => Err(NodeError::new(
                "UNSUPPORTED",
                "only questions of the sites have a plan: the node answers the rest by itself",
            )),
        }
    }

    fn of(sql: &str, mut statement: Statement) -> Result<Self, NodeError> {
        let mut clauses = Ctes::default();
        let _ = statement.visit(&mut clauses);
        let mut rewriter = WithoutPublic { clauses, found: false };
        if let ControlFlow::Break(name) = VisitMut::visit(&mut statement, &mut rewriter) {
            let message = format!("public.{} and a WITH clause have one name", printable(&name));
            return Err(NodeError::new("UNSUPPORTED", message).hint("give the WITH clause another name"));
        }
        Ok(Self { text: sql.to_owned(), statement: Box::new(statement), rewritten: rewriter.found })
    }
}

/// Takes the schema `public`, in which programs look for the joint tables, off their names; breaks where such a name would mean a WITH clause.
struct WithoutPublic {
    clauses: Ctes,
    found: bool,
}

const PUBLIC: &str = "public";

impl VisitorMut for WithoutPublic {
    type Break = String;

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<String> {
        let is_public =
            name.0.len() == 2 && name.0[0].as_ident().is_some_and(|schema| schema.value.eq_ignore_ascii_case(PUBLIC));
        if is_public {
            name.0.remove(0);
            self.found = true;
            let table = name.0[0].as_ident().map(|table| table.value.to_lowercase()).unwrap_or_default();
            if self.clauses.0.contains(&table) {
                return ControlFlow::Break(table);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Expr::CompoundIdentifier(parts) = expr
            && parts.len() == 3
            && parts[0].value.eq_ignore_ascii_case(PUBLIC)
        {
            parts.remove(0);
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}
