//! Connections to a database. Each question has its own, with one transaction that sees one moment and can change nothing.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, runtime, within};
use super::fault::{unanswered, unreachable};
use super::settings::{Settings, Tls};
use crate::config::missing;
use crate::fault::NodeError;
use crate::secret_file;
use crate::source::left::Left;

/// How long a database may take to let us in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long bytes may lie unacknowledged, and how long nothing may come before the other side is asked whether it is there.
const UNHEARD: Duration = Duration::from_secs(30);
/// How often it is asked, so many times.
const ASKED_EVERY: Duration = Duration::from_secs(10);
const ASKED: u32 = 3;

/// Runs a future of a connection to its end while the calling thread waits, which may drive a runtime of its own: reading a folder
/// blocks it as well.
pub(super) fn wait<T: Send + 'static>(
    work: impl Future<Output = Result<T, NodeError>> + Send + 'static,
) -> Result<T, NodeError> {
    let (sender, receiver) = mpsc::channel();
    runtime()?.spawn(async move { sender.send(work.await) });
    receiver.recv().unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the database's work ended unexpectedly")))
}

/// Opens a connection and begins a transaction in it: repeatable read, read only. Its work is given up when whoever asked has left.
///
/// # Errors
/// `DATABASE_UNREACHABLE`, `DATABASE_REFUSED`, `DATABASE_TLS`, `DATABASE_SILENT`, `KEY_FILE_OPEN` and `NO_SUCH_FILE` for the files it is
/// told; `ANALYST_LEFT`.
pub(super) async fn begin(settings: &Settings, left: &Left) -> Result<Arc<Connection>, NodeError> {
    let config = config(settings)?;
    let tls = match settings.tls {
        Tls::Off => None,
        Tls::Required => Some(MakeRustlsConnect::new(tls(settings)?)),
    };
    // The driver's own limit is for the socket alone: a server may accept it and say nothing.
    let opened = within(CONNECT_PATIENCE, left, open(&config, tls.clone())).await?;
    let opened = opened.ok_or_else(|| unanswered(settings))??;
    let (client, driver) = opened.map_err(|e| unreachable(settings, &e))?;
    let connection = Connection::new(client, driver, tls, (settings.patience(), left.clone()));
    connection.run(&opening(settings)).await?;
    Ok(Arc::new(connection))
}

/// The client, and what drives it.
async fn open(
    config: &Config,
    tls: Option<MakeRustlsConnect>,
) -> Result<Result<(Client, AbortHandle), Error>, NodeError> {
    let runtime = runtime()?;
    Ok(match tls {
        None => config.connect(NoTls).await.map(|(client, driver)| (client, runtime.spawn(driver).abort_handle())),
        Some(tls) => config.connect(tls).await.map(|(client, driver)| (client, runtime.spawn(driver).abort_handle())),
    })
}

/// Nothing of this depends on how the database or the role is set up: names of functions and operators mean PostgreSQL's own, texts of
/// days, moments and doubles have one form each. Where a row-level policy would hide rows from the role, statements fail: a part of a table
/// is not the table.
fn opening(settings: &Settings) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\
         SET LOCAL search_path = pg_catalog;\
         SET LOCAL row_security = off;\
         SET LOCAL statement_timeout = {};\
         SET LOCAL TimeZone = 'UTC';\
         SET LOCAL DateStyle = 'ISO, YMD';\
         SET LOCAL extra_float_digits = 3;\
         SET LOCAL standard_conforming_strings = on;\
         SET LOCAL cursor_tuple_fraction = 1;",
        settings.statement_timeout_ms
    )
}

fn config(settings: &Settings) -> Result<Config, NodeError> {
    let mut config = Config::new();
    config.host(&settings.host).port(settings.port).dbname(&settings.dbname).user(&settings.user);
    config.application_name("consilium").connect_timeout(CONNECT_PATIENCE);
    config.tcp_user_timeout(UNHEARD).keepalives_idle(UNHEARD);
    config.keepalives_interval(ASKED_EVERY).keepalives_retries(ASKED);
    config.ssl_mode(match settings.tls {
        Tls::Required => tokio_postgres::config::SslMode::Require,
        Tls::Off => tokio_postgres::config::SslMode::Disable,
    });
    if let Some(file) = &settings.password_file {
        let password = secret_file::read(file)?;
        config.password(password.trim_ascii_end());
    }
    Ok(config)
}

/// TLS 1.3 with these roots and no others: a hospital's database is vouched for by the hospital.
fn tls(settings: &Settings) -> Result<ClientConfig, NodeError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &settings.ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|_| bad_certificate(file))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.map_err(|_| NodeError::new("INTERNAL", "TLS 1.3 is not to be had"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, NodeError> {
    let open = File::open(file).map_err(|e| missing(file, &e))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(open)).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| bad_certificate(file))
}

fn bad_certificate(file: &Path) -> NodeError {
    NodeError::new("BAD_CONFIG", format!("{}: no certificate in PEM that can be used", file.display()))
}
