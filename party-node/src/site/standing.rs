//! Where other sites cannot dial this one, it keeps a connection open to each of them: see [`crate::callers`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mpc_core::handshake::ControlStream;
use quinn::Connection;
use tokio::time::{sleep, timeout};

use super::{GREETING_PATIENCE, Site};
use crate::agree::{Greeting, PROTOCOL_VERSION};
use crate::connect;
use crate::fault::NodeError;
use crate::log;
use crate::network::Reach;

/// Between two tries, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a site may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that ends sooner was refused: whoever refuses it only ends it.
const STANDS: Duration = Duration::from_secs(1);

impl Site {
    /// Keeps the connections open while the node runs; at once where others dial this site.
    pub async fn stand(self: Arc<Self>) {
        let me = self.me.index();
        if self.network.site[me].reach == Reach::Out {
            let others = (0..self.network.site.len()).filter(|other| *other != me);
            join_all(others.map(|other| self.stand_at(other))).await;
        }
    }

    async fn stand_at(&self, other: usize) {
        let (mut pause, mut is_told) = (PAUSES.0, false);
        loop {
            match self.call(other).await {
                Ok(connection) => {
                    (pause, is_told) = (PAUSES.0, false);
                    self.meter.met(other);
                    connection.closed().await;
                    sleep(pause).await;
                    continue;
                }
                // Said once for each time that it begins to be so.
                Err(error) if !is_told => log::fault(self.name(), "standing", None, &error),
                Err(_) => (),
            }
            is_told = true;
            sleep(pause).await;
            pause = (2 * pause).min(PAUSES.1);
        }
    }

    /// A connection that the other site keeps.
    async fn call(&self, other: usize) -> Result<Connection, NodeError> {
        let (identity, idle) = (&self.gate.identity, connect::idle(self.deadline));
        let connection = connect::dial(&self.endpoint, identity, &self.network, other, PATIENCE, idle).await?;
        let greeted = async {
            let mut control = ControlStream::open(&connection, GREETING_PATIENCE).await?;
            control.send(&Greeting::Stand { version: PROTOCOL_VERSION }).await
        };
        let lost = |why: String| NodeError::new("SITE_LOST", format!("{}: {why}", self.network.site[other].name));
        greeted.await.map_err(|error| lost(error.to_string()))?;
        match timeout(STANDS, connection.closed()).await {
            Ok(ended) => Err(lost(format!("it keeps no connection from here: {ended}"))),
            Err(_) => Ok(connection),
        }
    }
}
