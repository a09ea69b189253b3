//! The paths of `console/src/api.ts`.

use std::sync::Arc;

use serde::Serialize;

use super::door::body;
use super::refused::Refused;
use super::tokens::Role;
use super::view::Study;
use super::view::catalog::Catalog;
use super::{Console, Visit, done, json};
use crate::http::{Asked, Reply};
use crate::state::hex;

#[derive(Serialize)]
struct Me {
    site: String,
    name: String,
    roles: Vec<Role>,
    csrf: String,
    version: &'static str,
    network: String,
    sites: Vec<String>,
    studies: Vec<Study>,
}

impl Console {
    pub(super) async fn routed(self: &Arc<Self>, path: &str, visit: Visit, asked: Asked) -> Result<Reply, Refused> {
        let (method, parts) = (asked.method().clone(), path.split('/').collect::<Vec<_>>());
        may(&visit, parts[0])?;
        match (method.as_str(), &parts[..]) {
            ("GET", ["me"]) => json(&self.me(&visit)),
            ("GET", ["events"]) => self.events(visit),
            ("POST", ["logout"]) => {
                self.sessions.close(&visit.cookie);
                Ok(done())
            }

            ("GET", ["catalog"]) => json(&Catalog::of(&self.site.home().catalog)),
            ("POST", ["plan"]) => json(&self.plan(&visit, body(asked).await?).await?),
            ("POST", ["jobs"]) => json(&self.submit(&visit, body(asked).await?).await?),
            ("GET", ["jobs"]) => json(&self.list(&visit).await?),
            ("GET", ["jobs", id]) => json(&self.job(&visit, id).await?),
            ("POST", ["jobs", id, "cancel"]) => json(&self.cancel(&visit, id).await?),
            ("GET", ["jobs", id, "answer"]) => json(&self.answer_of(&visit, id).await?),

            ("GET", ["inbox"]) => json(&self.inbox(&visit).await?),
            ("GET", ["inbox", plan]) => json(&self.review(&visit, plan).await?),
            ("POST", ["inbox", plan, "dry-run"]) => json(&self.dry_run(plan).await?),
            ("POST", ["inbox", plan, "approve"]) => json(&self.approve(&visit, plan, body(asked).await?).await?),
            ("POST", ["inbox", plan, "reject"]) => {
                self.reject(&visit, plan, body(asked).await?).await?;
                Ok(done())
            }
            ("GET", ["decided"]) => json(&self.decided(&visit).await?),
            ("POST", ["decided", plan, "withdraw"]) => json(&self.withdraw(&visit, plan, body(asked).await?).await?),
            ("GET", ["releases"]) => json(&self.releases(&visit).await?),
            ("GET", ["releases", id]) => json(&self.trail(id).await?),
            ("GET", ["policy"]) => json(&self.policy().await?),
            ("GET", ["gauges"]) => json(&self.gauges().await?),
            ("GET", ["peers"]) => json(&self.peers.known(&self.site).await),
            ("POST", ["peers", "check"]) => json(&self.peers.check(&self.site).await),
            ("GET", ["log"]) => json(&self.log(&visit).await?),
            ("POST", ["log", "verify"]) => json(&self.verify().await?),
            ("GET", ["log", "export"]) => self.export().await,
            _ => Err(Refused::new("NO_SUCH_PATH", "there is nothing here")),
        }
    }

    fn me(&self, visit: &Visit) -> Me {
        let home = self.site.home();
        let own = |study: &&crate::govern::study::Study| {
            visit.is(Role::Steward) || study.analysts.iter().any(|name| name == visit.name())
        };
        Me {
            site: home.name.0.clone(),
            name: visit.name().to_owned(),
            roles: visit.session.holder.roles.clone(),
            csrf: visit.session.csrf.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            network: hex::text(&home.gate.network),
            sites: home.network.site.iter().map(|site| site.name.0.clone()).collect(),
            studies: home.gate.studies.iter().filter(own).map(Study::of).collect(),
        }
    }
}

/// Which role a path needs is said by its first part; what is not listed here is for everybody who is logged in.
fn may(visit: &Visit, first: &str) -> Result<(), Refused> {
    let needed = match first {
        "catalog" | "plan" | "jobs" => Role::Analyst,
        "inbox" | "decided" | "releases" | "policy" | "gauges" | "peers" | "log" => Role::Steward,
        _ => return Ok(()),
    };
    if visit.is(needed) { Ok(()) } else { Err(Refused::new("NOT_YOURS", "this account may not do this")) }
}
