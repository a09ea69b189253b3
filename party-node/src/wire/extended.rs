//! The extended protocol: statements prepared, bound, described and run.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Sink, SinkExt};
use pgwire::api::portal::Portal;
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{DescribePortalResponse, Response};
use pgwire::api::stmt::StoredStatement;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete};

use super::Talk;
use super::cells::Shown;
use super::errors::refusal;
use super::run::{Given, PORTAL, Prepared, ROWS, STATEMENT, fields, read};
use crate::fault::NodeError;

/// The extended protocol of a connection.
pub struct Extended(pub Arc<Talk>);

#[async_trait]
impl ExtendedQueryHandler for Extended {
    type Statement = Arc<Prepared>;
    type QueryParser = Talk;

    fn query_parser(&self) -> Arc<Talk> {
        self.0.clone()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let parsed = StoredStatement::parse(client, &message, self.query_parser()).await?;
        let bytes = parsed.as_ref().map_or(0, |parsed| parsed.statement.bytes());
        self.0.keep(STATEMENT, name, bytes).map_err(|error| refusal(&error, None))?;
        match parsed {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(name),
        }
        client.send(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, mut message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Values are parts of what was read, which would stay in memory with them.
        message.parameters.iter_mut().flatten().for_each(|value| *value = Bytes::copy_from_slice(value));
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let values = message.parameters.iter().map(|value| value.as_ref().map_or(0, Bytes::len) + size_of::<Bytes>());
        let formats = message.parameter_format_codes.len() + message.result_column_format_codes.len();
        let bytes = values.sum::<usize>() + 2 * formats;
        let keep = || self.0.keep(PORTAL, portal, bytes).map_err(|error| refusal(&error, None));
        self.0.kept().remove(&format!("{ROWS}{portal}"));
        match client.portal_store().get_statement(statement) {
            Some(Entry::Value(stored)) => {
                fits(&message, &stored.statement).map_err(|error| refusal(&error, None))?;
                keep()?;
                client.portal_store().put_portal(Arc::new(Portal::try_new(&message, stored)?));
            }
            Some(Entry::Empty) => {
                keep()?;
                client.portal_store().put_empty_portal(portal);
            }
            None => return Err(PgWireError::StatementNotFound(statement.to_owned())),
        }
        client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (name, kind) = (message.name.as_deref().unwrap_or(DEFAULT_NAME), char::from(message.target_type));
        self.0.kept().remove(&format!("{kind}{name}"));
        match kind {
            STATEMENT => client.portal_store().rm_statement(name),
            _ => {
                self.0.kept().remove(&format!("{ROWS}{name}"));
                client.portal_store().rm_portal(name);
            }
        }
        client.send(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn on_execute<C>(&self, client: &mut C, mut message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // The crate makes room for as many rows as are asked for. Without a limit all come; under one, a part is no mistake.
        message.max_rows = message.max_rows.clamp(0, MOST_ROWS);
        self._on_execute(client, message).await
    }

    async fn do_describe_portal<C>(
        &self,
        _client: &mut C,
        portal: &Portal<Arc<Prepared>>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let columns = self.0.columns(portal).await.map_err(|error| refusal(&error, None))?;
        Ok(DescribePortalResponse::new(fields(&columns, Some(&portal.result_column_format))))
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Prepared>>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = portal.statement.statement.clone();
        let done = async {
            let values = read(portal)?;
            let command = self.0.command(&prepared.text).await?;
            // Those of now: noise that was set since then is added.
            let settings = self.0.settings().asking();
            let given = self.0.perform(client, &command, &values, settings).await?;
            if let Given::Rows(rows) = &given {
                let kinds = |columns: &[Shown]| columns.iter().map(|c| c.kind.clone()).collect::<Vec<_>>();
                if prepared.job.is_none() && kinds(&rows.columns) != kinds(&prepared.columns) {
                    return Err(NodeError::new(
                        "RESULT_CHANGED",
                        "the answer has other types with these values than it was prepared with",
                    )
                    .hint("state the parameters' types, or ask without parameters"));
                }
            }
            if max_rows > 0 {
                self.0
                    .keep(ROWS, &portal.name, given.bytes())
                    .map_err(|error| error.hint("fetch the rows without a limit of rows at a time"))?;
            }
            Ok(given.respond(|at| portal.result_column_format.format_for(at)))
        };
        let text = prepared.parameters.is_empty().then_some(prepared.text.as_str());
        done.await.map_err(|error| refusal(&error, text))
    }
}

/// Rows that are fetched at a time.
const MOST_ROWS: i32 = 10_000;

/// As many formats and values as there are columns and parameters, or one or no format for all.
fn fits(bind: &Bind, prepared: &Prepared) -> Result<(), NodeError> {
    let parameters = prepared.parameters.len();
    let one_or = |formats: &[i16], count: usize| formats.len() <= 1 || formats.len() == count;
    if bind.parameters.len() != parameters {
        let message = format!("{} values for {parameters} parameters", bind.parameters.len());
        return Err(NodeError::new("PARAMETERS_DIFFER", message));
    }
    let results = &bind.result_column_format_codes;
    if !one_or(&bind.parameter_format_codes, parameters)
        || if prepared.job.is_some() { results.len() > 1 } else { !one_or(results, prepared.columns.len()) }
    {
        return Err(NodeError::new(
            "PARAMETERS_DIFFER",
            "formats are stated for all values and columns, for one, or for none",
        ));
    }
    Ok(())
}
