//! A running node as its stewards reach it: over its control, and at its console.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::sync::watch;

use super::Site;
use crate::agree::Checked;
use crate::check;
use crate::connect;
use crate::fault::NodeError;
use crate::govern::steward::{Desk, Order, Reply, perform};
use crate::metrics::Meter;
use crate::network::Network;

impl Site {
    /// Does what a steward orders, beside whatever runs, and wakes whoever waits for a decision.
    ///
    /// # Errors
    /// As [`perform`].
    pub async fn order(self: &Arc<Self>, order: Order) -> Result<Reply, NodeError> {
        let (decides, closes) = (order.decides(), order.closes());
        let done = self.look(|desk| perform(desk, order)).await;
        // Not for a look: pages look again when they hear of a change.
        if decides {
            self.beside.decided.notify_waiters();
            self.beside.inbox.send_replace(());
        }
        if let (Ok(_), Some(study), Some(jobs)) = (&done, closes, self.jobs.get()) {
            jobs.study_closed(&study).await;
        }
        done
    }

    /// Work at the site's desk, which may block.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn look<R: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Desk<'_>) -> Result<R, NodeError> + Send + 'static,
    ) -> Result<R, NodeError> {
        let site = self.clone();
        let work = move || {
            let pins = &site.network.site[site.me.index()].pins;
            look(&Desk { gate: &site.gate, catalog: &site.catalog, data: Some(&site.data), pins })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the order ended unexpectedly")))
    }

    /// Hears when the inbox may have changed.
    pub fn inbox_changes(&self) -> watch::Receiver<()> {
        self.beside.inbox.subscribe()
    }

    /// The network.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// This site's number.
    pub fn number(&self) -> usize {
        self.me.index()
    }

    /// What it has, as others are told.
    pub fn own(&self) -> Checked {
        self.compared()
    }

    /// When it last met whom.
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Does this site keep a connection open to this node?
    pub fn is_called_by(&self, site: usize) -> bool {
        self.callers.way_to(site).is_some()
    }

    /// Dials another site and asks what it has; how long that took. It waits for at most `patience`.
    ///
    /// # Errors
    /// As [`connect::dial`], and `VERSION_MISMATCH`.
    pub async fn visit(&self, site: usize, patience: Duration) -> Result<(Checked, Duration), NodeError> {
        let (entry, way) = (&self.network.site[site], self.callers.way_to(site));
        let (endpoint, address) = way.unwrap_or_else(|| (self.endpoint.clone(), entry.address));
        let dialled = connect::dial_at((&endpoint, address), &self.gate.identity, entry, patience, patience).await?;
        let began = Instant::now();
        let told = told(&dialled, patience).await;
        dialled.close(0u32.into(), b"checked");
        Ok((told?, began.elapsed()))
    }
}

async fn told(peer: &Connection, patience: Duration) -> Result<Checked, NodeError> {
    let silent = |_| NodeError::new("SITE_SILENT", "it does not say what it has");
    tokio::time::timeout(patience, check::told(peer)).await.map_err(silent)?
}
