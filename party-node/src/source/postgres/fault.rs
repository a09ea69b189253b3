//! A database's errors in our words. Its own messages may quote a value of a row, so none of them is passed on.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::settings::Settings;
use crate::fault::{NodeError, printable};
use crate::source::left::ANALYST_LEFT;

/// Why there is no connection.
pub(super) fn unreachable(settings: &Settings, error: &Error) -> NodeError {
    let place = printable(&format!("database {} at {}", settings.dbname, settings.host));
    let Some(state) = error.code() else {
        return match is_tls(error) {
            true => {
                NodeError::new("DATABASE_TLS", format!("{place}: it has no certificate that 'ca_file' vouches for"))
                    .hint("'host' must be a name in its certificate, and it must speak TLS 1.3")
            }
            false => unanswered(settings),
        };
    };
    let what = match state {
        &SqlState::INVALID_PASSWORD => "it refuses this user and password",
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => "it lets this user not in from here",
        &SqlState::INVALID_CATALOG_NAME => "there is no database of that name",
        &SqlState::TOO_MANY_CONNECTIONS => "it has no connection left",
        other => return NodeError::new("DATABASE_REFUSED", format!("{place}: SQLSTATE {}", other.code())),
    };
    NodeError::new("DATABASE_REFUSED", format!("{place}: {what}"))
}

/// Nothing that could be understood came back.
pub(super) fn unanswered(settings: &Settings) -> NodeError {
    let place = printable(&format!("database {} at {}", settings.dbname, settings.host));
    NodeError::new("DATABASE_UNREACHABLE", format!("{place} does not answer, or lets nobody in"))
        .hint("is it running, is 'port' right, does pg_hba.conf let the role in, is a 'password_file' missing?")
}

/// A statement was not answered, nor ended by the database's own limit.
pub(super) fn silent() -> NodeError {
    NodeError::new("DATABASE_SILENT", "the database did not answer within statement_timeout_ms")
}

/// Nobody waits for a statement's end any more.
pub(super) fn gone() -> NodeError {
    NodeError::new(ANALYST_LEFT, "whoever asked left before the work was done")
}

fn is_tls(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<rustls::Error>() {
            return true;
        }
        let io = inner.downcast_ref::<std::io::Error>();
        if io.and_then(|io| io.get_ref()).is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        source = inner.source();
    }
    // The driver has no type of its own for a server that does not offer TLS.
    error.to_string().contains("TLS")
}

/// Why a statement failed.
pub(super) fn refused(error: &Error) -> NodeError {
    let Some(state) = error.code() else {
        return NodeError::new("DATABASE_UNREACHABLE", "the connection to the database broke off");
    };
    let (code, what) = match state {
        &SqlState::DIVISION_BY_ZERO => ("DIVISION_BY_ZERO", "a division by zero"),
        &SqlState::NUMERIC_VALUE_OUT_OF_RANGE => ("ARITHMETIC_OVERFLOW", "a result that does not fit its type"),
        &SqlState::QUERY_CANCELED => ("DATABASE_TIMEOUT", "a statement took longer than statement_timeout_ms"),
        &SqlState::INSUFFICIENT_PRIVILEGE => (
            "DATABASE_DENIED",
            "its user may not read what is asked for, or a row-level policy hides rows of it from this user",
        ),
        &SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN => {
            ("DATABASE_CHANGED", "a table or column is gone since the node started")
        }
        &SqlState::DISK_FULL | &SqlState::OUT_OF_MEMORY => ("DATABASE_FAILED", "the database has no room left"),
        other => {
            return NodeError::new(
                "DATABASE_FAILED",
                format!("the database refuses a statement: SQLSTATE {}", other.code()),
            );
        }
    };
    NodeError::new(code, format!("the database: {what}"))
}
