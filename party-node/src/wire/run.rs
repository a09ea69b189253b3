//! Statements prepared and performed, and the simple protocol.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt, StreamExt, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::SimpleQueryHandler;
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::ParameterStatus;

use super::ask::{Asker, Ends, asked_to_end, notice};
use super::browse::{self, World};
use super::cells::{self, Shown};
use super::errors::refusal;
use super::params::{self, Literal};
use super::session::REPORTED;
use super::statement::{Asked, Command, JobName, command, statements};
use super::{Session, Talk};
use crate::fault::NodeError;
use crate::output::{Cell, Sheet};

/// Statements and portals that a connection keeps.
const MAX_KEPT: usize = 500;
/// All they keep, in bytes.
const MAX_KEPT_BYTES: usize = 4 << 20;
/// Rows of the answers to one text that wait to be sent, in bytes, beside the last one.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// What is kept under a name: a prepared statement, a portal, the rows of a portal that are not fetched yet.
pub(super) const STATEMENT: char = 'S';
pub(super) const PORTAL: char = 'P';
pub(super) const ROWS: char = 'R';

/// A statement that may be run again and again. It is read anew each time: its text takes little memory, its syntax tree much.
pub struct Prepared {
    pub(super) text: String,
    /// The parameter that names a job whose answer is asked for, from 0: the columns are not known without it.
    pub(super) job: Option<usize>,
    pub(super) parameters: Vec<Type>,
    /// The columns of its rows, as far as they are known before it has values; none where it has no rows.
    pub(super) columns: Vec<Shown>,
}

/// What a statement gives.
pub(super) enum Given {
    Rows(Rows),
    Word(&'static str),
    Begun,
    Ended(&'static str),
}

/// Rows under their description.
pub(super) struct Rows {
    pub(super) columns: Vec<Shown>,
    rows: Vec<Vec<Cell>>,
    tag: &'static str,
}

impl Rows {
    fn texts(column: &str, lines: impl IntoIterator<Item = String>, tag: &'static str) -> Self {
        let rows = lines.into_iter().map(|line| vec![Cell::Text(line)]).collect();
        Self { columns: vec![Shown::new(column, Type::TEXT)], rows, tag }
    }

    fn respond(self, format: impl Fn(usize) -> FieldFormat) -> Response {
        let fields = self.columns.iter().enumerate().map(|(at, column)| column.field(format(at))).collect();
        let fields: Arc<Vec<FieldInfo>> = Arc::new(fields);
        let described = fields.clone();
        // Each as it is sent, and the network has its turn between them.
        let rows = stream::iter(self.rows).then(move |row| {
            let fields = described.clone();
            async move {
                tokio::task::consume_budget().await;
                cells::row(&row, &fields).map_err(|error| refusal(&error, None))
            }
        });
        let mut response = QueryResponse::new(fields, rows);
        response.set_command_tag(self.tag);
        Response::Query(response)
    }
}

impl Given {
    /// What its rows take, about.
    pub(super) fn bytes(&self) -> usize {
        let Given::Rows(rows) = self else { return 0 };
        let beside = |cell: &Cell| match cell {
            Cell::Hidden(text) | Cell::Number(text) | Cell::Text(text) => text.len(),
            Cell::Null | Cell::Bool(_) => 0,
        };
        rows.rows.iter().flatten().map(|cell| size_of::<Cell>() + beside(cell)).sum()
    }

    /// As the protocol says it, with the format of each column.
    pub(super) fn respond(self, format: impl Fn(usize) -> FieldFormat) -> Response {
        match self {
            Given::Rows(rows) => rows.respond(format),
            Given::Word(tag) => Response::Execution(Tag::new(tag)),
            Given::Begun => Response::TransactionStart(Tag::new("BEGIN")),
            Given::Ended(tag) => Response::TransactionEnd(Tag::new(tag)),
        }
    }
}

impl Talk {
    fn asker(&self, settings: Session) -> Result<Asker, NodeError> {
        let (jobs, desk) = (self.door.jobs.clone(), self.door.desk.clone());
        Ok(Asker { jobs, account: self.who()?.account.clone(), settings, desk })
    }

    /// Reads a statement.
    pub(super) async fn command(&self, text: &str) -> Result<Command, NodeError> {
        let (text, catalog) = (text.to_owned(), self.door.jobs.catalog().clone());
        self.asker(Session::default())?.work(move || command(&text, &catalog)).await
    }

    /// The text that is asked, with these values.
    async fn bound(&self, asked: &Asked, values: &[Literal]) -> Result<String, NodeError> {
        let (asked, values) = (asked.clone(), values.to_vec());
        self.asker(Session::default())?.work(move || asked.with(&values)).await
    }

    /// The statements of a text.
    async fn statements(&self, text: &str) -> Result<Vec<String>, NodeError> {
        let text = text.to_owned();
        let read = move || Ok(statements(&text)?.into_iter().map(str::to_owned).collect());
        self.asker(Session::default())?.work(read).await
    }

    /// Prepares a statement; its columns are those that it has with values of its parameters' types.
    async fn prepare(&self, text: &str, given: &[Option<Type>]) -> Result<Prepared, NodeError> {
        let (command, settings) = (self.command(text).await?, self.settings().asking());
        let catalog = self.door.jobs.catalog();
        let parameters = match &command {
            Command::Ask(asked) | Command::Explain { asked, .. } => params::kinds(&*asked.statement, catalog, given)?,
            Command::Browse(query) => params::kinds(query, catalog, given)?,
            Command::Answer(JobName::Parameter(at)) => vec![Type::TEXT; at + 1],
            _ => Vec::new(),
        };
        let samples: Vec<Literal> = parameters.iter().map(params::sample).collect();
        let asker = self.asker(settings.clone())?;
        let columns = match &command {
            Command::Ask(asked) => {
                let text = self.bound(asked, &samples).await?;
                with_reasons(asker.plan(&text).await?.columns, &settings)
            }
            Command::Explain { .. } => vec![Shown::new(PLAN, Type::TEXT)],
            Command::Show(name) => self.show(name)?.columns,
            Command::Browse(query) => self.browse(query, &vec![Literal::Null; parameters.len()]).await?.columns,
            Command::Answer(JobName::Text(name)) => with_reasons(shown(&asker.answer(name).await?), &settings),
            _ => Vec::new(),
        };
        let job = match command {
            Command::Answer(JobName::Parameter(at)) => Some(at),
            _ => None,
        };
        Ok(Prepared { text: text.to_owned(), job, parameters, columns })
    }

    /// Does what a statement asks for.
    pub(super) async fn perform<C>(
        &self,
        client: &mut C,
        command: &Command,
        values: &[Literal],
        settings: Session,
    ) -> Result<Given, NodeError>
    where
        C: ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send,
        C::PortalStore: PortalStore,
    {
        let rows = match command {
            Command::Ask(asked) => self.ask(client, &self.bound(asked, values).await?, settings).await?,
            Command::Explain { asked, disclosure } => {
                let text = self.bound(asked, values).await?;
                let lines = self.asker(settings)?.explain(&text, *disclosure).await?;
                Rows::texts(PLAN, lines, "EXPLAIN")
            }
            Command::Browse(query) => self.browse(query, values).await?,
            Command::Answer(name) => {
                let name = match name {
                    JobName::Text(name) => name,
                    JobName::Parameter(at) => match values.get(*at) {
                        Some(Literal::Text(name)) => name,
                        _ => return Err(NodeError::new("BAD_PARAMETER", "a job is named by a text")),
                    },
                };
                let asker = self.asker(settings)?;
                let sheet = asker.answer(name).await?;
                about(client, &asker.settings, &sheet).await;
                of_sheet(sheet, &asker.settings)
            }
            Command::Show(name) => self.show(name)?,
            Command::Set(name, value) => {
                match value {
                    Some(value) => self.settings().set(name, Some(value))?,
                    None => self.settings().reset(name, self.first()?)?,
                }
                self.report(client, name).await;
                return Ok(Given::Word(if value.is_some() { "SET" } else { "RESET" }));
            }
            Command::ResetAll => {
                *self.settings() = self.first()?.clone();
                return Ok(Given::Word("RESET"));
            }
            Command::DiscardAll => {
                *self.settings() = self.first()?.clone();
                client.portal_store().clear_portals();
                self.deallocate(client, None);
                return Ok(Given::Word("DISCARD ALL"));
            }
            Command::Deallocate(name) => {
                self.deallocate(client, name.as_deref());
                return Ok(Given::Word("DEALLOCATE"));
            }
            Command::Begin => return Ok(Given::Begun),
            Command::End(tag) => return Ok(Given::Ended(tag)),
            Command::Nothing(tag) => return Ok(Given::Word(tag)),
        };
        Ok(Given::Rows(rows))
    }

    /// Asks the sites, and says what there is to say beside the answer.
    async fn ask<C>(&self, client: &mut C, text: &str, settings: Session) -> Result<Rows, NodeError>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
    {
        let asker = self.asker(settings)?;
        let mut ends = Ends { cancel: self.cancel.subscribe(), stopping: self.door.stopping.subscribe() };
        let planned = tokio::select! {
            planned = asker.plan(text) => planned?,
            () = asked_to_end(&mut ends.cancel) => {
                return Err(NodeError::new("JOB_CANCELLED", "the question was taken back before it was asked"));
            }
        };
        notice(client, &asker.settings, &planned.reveals).await;
        let awaited = asker.submit(text, &planned).await?;
        let done = asker.wait(awaited, ends, client).await?;
        let sheet = asker.answer(&crate::state::hex::text(&done.id)).await?;
        about(client, &asker.settings, &sheet).await;
        Ok(of_sheet(sheet, &asker.settings))
    }

    /// Answers from the node's own catalogue.
    async fn browse(
        &self,
        query: &datafusion::sql::sqlparser::ast::Query,
        values: &[Literal],
    ) -> Result<Rows, NodeError> {
        let who = self.who()?;
        let jobs = match browse::reads_jobs(query) {
            true => self.door.jobs.all(&who.account).await?,
            false => Vec::new(),
        };
        let world = World {
            catalog: self.door.jobs.catalog().clone(),
            account: who.account.clone(),
            database: who.database.clone(),
            settings: self.settings().all(),
            jobs,
        };
        let (query, values) = (Box::new(query.clone()), values.to_vec());
        let asker = self.asker(Session::default())?;
        let (columns, rows) = asker.work(move || browse::run(*query, &values, world)).await?;
        Ok(Rows { columns, rows, tag: "SELECT" })
    }

    fn show(&self, name: &str) -> Result<Rows, NodeError> {
        let settings = self.settings();
        if name == "all" {
            let rows = settings.all().into_iter();
            let rows = rows.map(|(name, value)| vec![Cell::Text(name), Cell::Text(value), Cell::Text(String::new())]);
            let columns = ["name", "setting", "description"].map(|column| Shown::new(column, Type::TEXT)).to_vec();
            return Ok(Rows { columns, rows: rows.collect(), tag: "SHOW" });
        }
        let unknown =
            || NodeError::new("UNKNOWN_SETTING", format!("there is no setting {}", crate::fault::printable(name)));
        Ok(Rows::texts(name, [settings.show(name).ok_or_else(unknown)?], "SHOW"))
    }

    /// Programs keep some settings by what the node reports of them.
    async fn report<C>(&self, client: &mut C, name: &str)
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
    {
        let Some(reported) = REPORTED.iter().find(|reported| reported.eq_ignore_ascii_case(name)) else { return };
        let value = self.settings().show(name).unwrap_or_default();
        let status = ParameterStatus::new((*reported).to_owned(), value);
        // A client that left is noticed elsewhere.
        let _ = client.feed(PgWireBackendMessage::ParameterStatus(status)).await;
    }

    /// The columns of an answer whose name came with the values.
    pub(super) async fn columns(&self, portal: &Portal<Arc<Prepared>>) -> Result<Vec<Shown>, NodeError> {
        let prepared = &portal.statement.statement;
        let Some(at) = prepared.job else { return Ok(prepared.columns.clone()) };
        let values = read(portal)?;
        let Some(Literal::Text(name)) = values.get(at) else {
            return Err(NodeError::new("BAD_PARAMETER", "a job is named by a text"));
        };
        let settings = self.settings().asking();
        let sheet = self.asker(settings.clone())?.answer(name).await?;
        Ok(with_reasons(shown(&sheet), &settings))
    }

    /// Forgets a prepared statement, or all.
    fn deallocate<C>(&self, client: &C, name: Option<&str>)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        let is_meant = |key: &str| key.strip_prefix(STATEMENT).is_some_and(|own| name.is_none_or(|name| name == own));
        self.kept().retain(|key, _| {
            let goes = is_meant(key);
            if goes {
                client.portal_store().rm_statement(&key[STATEMENT.len_utf8()..]);
            }
            !goes
        });
    }

    /// Counts what a statement, a portal or its waiting rows keep under this name, in the place of what was there before. What has no name is
    /// one at a time and has room.
    ///
    /// # Errors
    /// `TOO_MANY_STATEMENTS`.
    pub(super) fn keep(&self, kind: char, name: &str, bytes: usize) -> Result<(), NodeError> {
        if name.is_empty() && kind != ROWS {
            return Ok(());
        }
        let mut kept = self.kept();
        let key = format!("{kind}{name}");
        let others = kept.iter().filter(|(known, _)| **known != key).map(|(_, bytes)| bytes);
        let (count, sum) = (others.clone().count(), others.sum::<usize>());
        let bytes = bytes + 2 * name.len();
        if count >= MAX_KEPT || sum + bytes > MAX_KEPT_BYTES {
            return Err(NodeError::new(
                "TOO_MANY_STATEMENTS",
                format!("a connection keeps {MAX_KEPT} statements and portals, and {MAX_KEPT_BYTES} bytes of them"),
            )
            .hint("close some, or use the unnamed ones"));
        }
        kept.insert(key, bytes);
        Ok(())
    }
}

impl Prepared {
    /// The memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| size_of::<Shown>() + column.name.len());
        size_of::<Self>() + self.text.len() + columns.sum::<usize>() + self.parameters.len() * size_of::<Type>()
    }
}

const PLAN: &str = "QUERY PLAN";

impl Asked {
    /// The text that is asked, with these values.
    fn with(&self, values: &[Literal]) -> Result<String, NodeError> {
        if values.is_empty() && !self.rewritten {
            return Ok(self.text.clone());
        }
        params::bound(&self.statement, values)
    }
}

/// What a run cost, and what is hidden.
async fn about<C>(client: &mut C, settings: &Session, sheet: &Sheet)
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
{
    let hidden: Vec<_> = sheet.hidden().collect();
    if let Some((_, _, label)) = hidden.first() {
        let cells = if hidden.len() == 1 { "1 cell is".to_owned() } else { format!("{} cells are", hidden.len()) };
        let text =
            format!("{cells} hidden and NULL here: {}; SET consilium.suppressed = on tells which", reason(label));
        notice(client, settings, &text).await;
    }
    let cost = sheet.cost;
    let text =
        format!("cost: {} rounds, {} bytes, {} ms, {} parties", cost.rounds, cost.bytes, cost.wall_ms, cost.parties);
    notice(client, settings, &text).await;
}

fn reason(label: &str) -> String {
    label.strip_prefix('<').map_or_else(|| label.to_owned(), |least| format!("fewer than {least}"))
}

fn shown(sheet: &Sheet) -> Vec<Shown> {
    sheet.columns.iter().map(|(name, data_type)| Shown::of(name, data_type)).collect()
}

/// With a column for each that says why its cell is hidden, if the connection wants them.
fn with_reasons(columns: Vec<Shown>, settings: &Session) -> Vec<Shown> {
    let reasons = columns.iter().filter(|_| settings.suppressed);
    let reasons: Vec<Shown> =
        reasons.map(|column| Shown::new(format!("{}_suppressed", column.name), Type::TEXT)).collect();
    columns.into_iter().chain(reasons).collect()
}

fn of_sheet(sheet: Sheet, settings: &Session) -> Rows {
    let columns = with_reasons(shown(&sheet), settings);
    let with = |mut row: Vec<Cell>| {
        let reasons = row.iter().filter(|_| settings.suppressed);
        let reasons: Vec<Cell> =
            reasons.map(|cell| cell.label().map_or(Cell::Null, |label| Cell::Text(reason(label)))).collect();
        row.extend(reasons);
        row
    };
    Rows { columns, rows: sheet.rows.into_iter().map(with).collect(), tag: "SELECT" }
}

/// The values of a portal.
pub(super) fn read(portal: &Portal<Arc<Prepared>>) -> Result<Vec<Literal>, NodeError> {
    let kinds = &portal.statement.statement.parameters;
    let value = |(at, kind): (usize, &Type)| {
        let bytes = portal.parameters.get(at).and_then(Option::as_deref);
        params::read(bytes, kind, portal.parameter_format.is_binary(at))
    };
    kinds.iter().enumerate().map(value).collect()
}

fn error_info(error: PgWireError) -> Box<ErrorInfo> {
    Box::new(error.into())
}

#[async_trait]
impl SimpleQueryHandler for Talk {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = Vec::new();
        let texts = self.statements(query).await.map_err(|error| refusal(&error, Some(query)))?;
        let (alone, mut waiting) = (texts.len() == 1, 0);
        for text in &texts {
            let settings = self.settings().asking();
            let done = async {
                if waiting > MAX_WAITING_BYTES {
                    return Err(NodeError::new("TOO_MUCH_WORK", "the answers to one text are too long")
                        .hint("send the statements one after the other"));
                }
                let command = self.command(text).await?;
                let given = self.perform(client, &command, &[], settings).await?;
                waiting += given.bytes();
                Ok(given.respond(|_| FieldFormat::Text))
            };
            match done.await {
                Ok(response) => responses.push(response),
                Err(error) => {
                    // What came before has happened; what comes after does not.
                    responses.push(Response::Error(error_info(refusal(&error, alone.then_some(text)))));
                    break;
                }
            }
        }
        if responses.is_empty() {
            responses.push(Response::EmptyQuery);
        }
        Ok(responses)
    }
}

#[async_trait]
impl QueryParser for Talk {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(&self, _client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Arc<Prepared>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let told = |error: NodeError| refusal(&error, Some(sql));
        let texts = self.statements(sql).await.map_err(told)?;
        match texts.as_slice() {
            [] => Ok(None),
            [text] => self.prepare(text, types).await.map(Arc::new).map(Some).map_err(told),
            _ => Err(told(NodeError::new("ONE_STATEMENT", "one statement is prepared at a time"))),
        }
    }

    fn get_parameter_types(&self, prepared: &Arc<Prepared>) -> PgWireResult<Vec<Type>> {
        Ok(prepared.parameters.clone())
    }

    fn get_result_schema(&self, prepared: &Arc<Prepared>, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        Ok(fields(&prepared.columns, format))
    }
}

pub(super) fn fields(columns: &[Shown], format: Option<&Format>) -> Vec<FieldInfo> {
    let format = |at| format.map_or(FieldFormat::Text, |format| format.format_for(at));
    columns.iter().enumerate().map(|(at, column)| column.field(format(at))).collect()
}
