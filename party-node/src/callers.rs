//! Sites that nobody can dial. Each keeps a connection open to every other site, and on the way that it came the others dial it: a NAT or a
//! firewall lets through what goes back and forth between the same two addresses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use quinn::{Connection, Endpoint};

/// Who keeps a connection open to this node.
#[derive(Debug)]
pub struct Callers {
    /// Where the connections arrive, and where alone the way back begins.
    endpoint: Endpoint,
    open: Mutex<HashMap<usize, Connection>>,
}

impl Callers {
    /// Nobody yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: Mutex::default() }
    }

    /// A site keeps this connection open; the newest counts.
    pub fn arrived(&self, site: usize, connection: Connection) {
        let before = self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(site, connection);
        before.inspect(|before| before.close(0u32.into(), b"there is a newer one"));
    }

    /// Where a site is dialled from and at, if it keeps a connection open.
    pub fn way_to(&self, site: usize) -> Option<(Endpoint, SocketAddr)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = open.get(&site).filter(|connection| connection.close_reason().is_none())?;
        Some((self.endpoint.clone(), connection.remote_address()))
    }
}
