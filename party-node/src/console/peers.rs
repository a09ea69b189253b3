//! The other sites, as this node last met them. Source: `party-node/console/src/api/steward.ts`, `Peer`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;

use super::refused::Refused;
use crate::agree::Checked;
use crate::check::compared;
use crate::fault::NodeError;
use crate::network::{Reach, SiteEntry};
use crate::site::Site;
use crate::state::now_ms;

/// How long a site may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found, by the site's number. Who looks while others look waits for them.
#[derive(Default)]
pub struct Peers(Mutex<BTreeMap<usize, Peer>>);

/// Another site.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    site: String,
    address: String,
    state: Health,
    refusal: Option<Refused>,
    asked_ms: u64,
    answered_ms: Option<u64>,
    round_trip_ms: Option<u64>,
    clock_ms: Option<i64>,
    version: Option<String>,
    same_network: Option<bool>,
    pin: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Well,
    Silent,
    Wrong,
}

impl Peers {
    /// As last met; at first they are dialled.
    pub async fn known(&self, site: &Arc<Site>) -> Vec<Peer> {
        let mut known = self.0.lock().await;
        if known.is_empty() {
            *known = looked(site, &known).await;
        }
        let met = site.meter().last_met();
        let newer = |(at, peer): (&usize, &Peer)| {
            let entry = &site.network().site[*at];
            let peer = Peer { answered_ms: peer.answered_ms.max(met.get(at).copied()), ..peer.clone() };
            // It may have come since.
            let was_missed = peer.refusal.as_ref().is_some_and(|refusal| refusal.code == ONLY_DIALS);
            if was_missed && is_known_by_visits(site, *at) { only_dials(peer, entry) } else { peer }
        };
        known.iter().map(newer).collect()
    }

    /// Dials all of them.
    pub async fn check(&self, site: &Arc<Site>) -> Vec<Peer> {
        let mut known = self.0.lock().await;
        *known = looked(site, &known).await;
        known.values().cloned().collect()
    }
}

async fn looked(site: &Arc<Site>, before: &BTreeMap<usize, Peer>) -> BTreeMap<usize, Peer> {
    let others = (0..site.network().site.len()).filter(|other| *other != site.number());
    let each = others.map(async |other| (other, look(site, other, before.get(&other)).await));
    join_all(each).await.into_iter().collect()
}

async fn look(site: &Arc<Site>, other: usize, before: Option<&Peer>) -> Peer {
    let (entry, met) = (&site.network().site[other], site.meter().last_met().get(&other).copied());
    let peer = Peer {
        site: entry.name.0.clone(),
        address: entry.address.to_string(),
        state: Health::Silent,
        refusal: None,
        asked_ms: now_ms(),
        answered_ms: met.max(before.and_then(|before| before.answered_ms)),
        round_trip_ms: None,
        clock_ms: None,
        version: None,
        same_network: None,
        pin: entry.pins.first().map(ToString::to_string).unwrap_or_default(),
    };
    if is_known_by_visits(site, other) {
        return only_dials(peer, entry);
    }
    match site.visit(other, PATIENCE).await {
        Ok((theirs, took)) => answered(peer, &site.own(), &theirs, took),
        Err(error) => {
            let silent = ["SITE_UNREACHABLE", "SITE_SILENT"].contains(&&*error.code);
            let state = if silent { Health::Silent } else { Health::Wrong };
            Peer { state, refusal: Some(error.into()), ..peer }
        }
    }
}

fn answered(peer: Peer, own: &Checked, theirs: &Checked, took: Duration) -> Peer {
    let wrong = compared(own, theirs).into_iter().find_map(|(_, found)| found.err());
    let half = took.as_millis() as i64 / 2;
    Peer {
        state: if wrong.is_some() { Health::Wrong } else { Health::Well },
        refusal: wrong.map(Refused::from),
        answered_ms: Some(now_ms()),
        round_trip_ms: Some(took.as_millis() as u64),
        clock_ms: Some(theirs.at_ms as i64 + half - own.at_ms as i64),
        version: Some(format!("protocol {}", theirs.version)),
        same_network: Some(theirs.network == own.network),
        ..peer
    }
}

/// Is there no way to it now but the connections that it makes for runs?
fn is_known_by_visits(site: &Site, other: usize) -> bool {
    site.network().site[other].reach == Reach::Out && !site.is_called_by(other)
}

const ONLY_DIALS: &str = "ONLY_DIALS";

/// A site that nobody can dial is known by its own visits.
fn only_dials(peer: Peer, entry: &SiteEntry) -> Peer {
    if peer.answered_ms.is_some() {
        return Peer { state: Health::Well, refusal: None, ..peer };
    }
    let message = format!("{} dials this node, which cannot dial it, and has not since this node started", entry.name);
    Peer { refusal: Some(NodeError::new(ONLY_DIALS, message).into()), ..peer }
}
