//! One connection: a transaction that sees one moment. Every statement is answered within a time or given up; what is given up, or
//! what nobody waits for any more, is cancelled at the database too, which would go on with it otherwise.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinSet};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, NoTls, Row, Statement, ToStatement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{gone, refused, silent};
use crate::fault::NodeError;
use crate::source::left::Left;

/// How long a cancellation, and the last words of a connection, may take.
const LEAVING: Duration = Duration::from_secs(10);
/// How much longer than the database's own limit a statement is waited for.
const MARGIN: Duration = Duration::from_secs(5);

/// A connection with its transaction, which ends, and has changed nothing, when this is dropped.
pub(super) struct Connection {
    client: Client,
    /// How it is encrypted, if it is.
    tls: Option<MakeRustlsConnect>,
    /// What reads and writes the socket.
    driver: AbortHandle,
    /// How long a statement may take.
    patience: Duration,
    left: Left,
    /// Statements whose end has not been heard.
    open: AtomicUsize,
}

impl Connection {
    /// Takes over a client whose `driver` is running; `limit` is what the database itself allows a statement.
    pub fn new(
        client: Client,
        driver: AbortHandle,
        tls: Option<MakeRustlsConnect>,
        (limit, left): (Duration, Left),
    ) -> Self {
        Self { client, tls, driver, patience: limit + MARGIN, left, open: AtomicUsize::new(0) }
    }

    /// All rows of a statement.
    ///
    /// # Errors
    /// Those of a failed statement, `DATABASE_SILENT`, `ANALYST_LEFT`; as all others here.
    pub async fn query<T: ?Sized + ToStatement + Sync>(
        &self,
        statement: &T,
        bound: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, NodeError> {
        self.answered(self.client.query(statement, bound)).await
    }

    /// The only row of a statement.
    pub async fn query_one(&self, sql: &str, bound: &[&(dyn ToSql + Sync)]) -> Result<Row, NodeError> {
        self.answered(self.client.query_one(sql, bound)).await
    }

    /// Hands on each row of a statement when it comes.
    pub async fn each(&self, sql: &str, mut take: impl FnMut(Row) -> Result<(), Error>) -> Result<(), NodeError> {
        let all = async {
            let mut rows = pin!(self.client.query_raw(sql, Vec::<String>::new()).await?);
            while let Some(row) = rows.next().await {
                take(row?)?;
            }
            Ok(())
        };
        self.answered(all).await
    }

    /// A statement without rows.
    pub async fn execute(&self, sql: &str, bound: &[&(dyn ToSql + Sync)]) -> Result<(), NodeError> {
        self.answered(self.client.execute(sql, bound)).await.map(drop)
    }

    /// Several statements that bind nothing.
    pub async fn run(&self, sql: &str) -> Result<(), NodeError> {
        self.answered(self.client.batch_execute(sql)).await
    }

    /// A statement that is asked again and again.
    pub async fn prepare(&self, sql: &str) -> Result<Statement, NodeError> {
        self.answered(self.client.prepare(sql)).await
    }

    async fn answered<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, NodeError> {
        self.open.fetch_add(1, Ordering::Relaxed);
        // Given up here or dropped while it waits, it stays open: see `drop`.
        let done = within(self.patience, &self.left, work).await?.ok_or_else(silent)?;
        self.open.fetch_sub(1, Ordering::Relaxed);
        done.map_err(|e| refused(&e))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Ok(runtime) = runtime() else { return };
        let is_open = self.open.load(Ordering::Relaxed) > 0;
        let (token, tls, driver) = (self.client.cancel_token(), self.tls.take(), self.driver.clone());
        runtime.spawn(async move {
            let cancel = async {
                match tls {
                    _ if !is_open => Ok(()),
                    Some(tls) => token.cancel_query(tls).await,
                    None => token.cancel_query(NoTls).await,
                }
            };
            // A database that cannot be reached has lost the connection too, or loses it now.
            let _ = tokio::time::timeout(LEAVING, cancel).await;
            tokio::time::sleep(LEAVING).await;
            driver.abort();
        });
    }
}

/// None for what takes longer. The time is the connections' own runtime's: whoever waits may drive one without a clock.
///
/// # Errors
/// `ANALYST_LEFT`.
pub(super) async fn within<T>(
    patience: Duration,
    left: &Left,
    work: impl Future<Output = T>,
) -> Result<Option<T>, NodeError> {
    let mut clock = JoinSet::new();
    clock.spawn_on(async move { tokio::time::sleep(patience).await }, runtime()?.handle());
    tokio::select! {
        done = work => Ok(Some(done)),
        _ = clock.join_next() => Ok(None),
        () = left.has_left() => Err(gone()),
    }
}

/// What drives all connections of this process.
pub(super) fn runtime() -> Result<&'static Runtime, NodeError> {
    static RUNTIME: std::sync::OnceLock<Option<Runtime>> = std::sync::OnceLock::new();
    let start = || Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build().ok();
    RUNTIME.get_or_init(start).as_ref().ok_or_else(|| NodeError::new("LOCAL_FAILED", "no runtime for the database"))
}
