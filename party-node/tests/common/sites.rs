//! Sites in this process, which talk over real QUIC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mpc_core::handshake::ControlStream;
use mpc_core::identity::Identity;
use mpc_core::random::os_bytes;
use party_node::agree::{Greeting, PROTOCOL_VERSION, Propose};
use party_node::analyst::{Analyst, Quiet, Who};
use party_node::child::loopback;
use party_node::config::Account;
use party_node::connect::{self, Link};
use party_node::govern::gate::{self, Posted};
use party_node::govern::study::Study;
use party_node::network::{AnalystEntry, NETWORK_VERSION, Network, Reach, SiteEntry};
use party_node::site::{Site, Startup};
use party_node::source::SiteData;
use party_node::state::State;
use query_planner::Settings;
use query_planner::catalog::SiteName;
use query_planner::merge::SiteSchema;
use quinn::Endpoint;

use super::Scratch;

pub const SITES: [&str; 3] = ["a", "b", "c"];
/// Rows of all sites.
pub const ROWS: i64 = 60;
/// How long a step waits.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Three sites; the first has the accounts. Row `n` of all has `x = n`, and lies at site `n` modulo 3.
pub struct Sites {
    pub served: Vec<Arc<Site>>,
    pub keys: Vec<Identity>,
    pub network: Network,
    pub accounts: Vec<Account>,
    pub study: Study,
}

impl Sites {
    pub fn start(folder: &Scratch, settings: &str, policies: [&str; 3], accounts: &[&str]) -> Self {
        let key = || Identity::generate().unwrap();
        let account = |name: &&str| Account { name: (*name).to_owned(), identity: Arc::new(key()) };
        let accounts: Vec<Account> = accounts.iter().map(account).collect();
        let keys: Vec<Identity> = SITES.iter().map(|_| key()).collect();
        let mut network = Network {
            version: NETWORK_VERSION,
            settings: Settings::from_toml(settings).unwrap(),
            site: Vec::new(),
            analyst: accounts.iter().map(entry).collect(),
        };
        let mut own = Vec::new();
        for (at, site) in SITES.into_iter().enumerate() {
            let rows = (0..ROWS).filter(|n| n % 3 == at as i64).map(|n| format!("{},{n}\n", 1000 + n));
            folder.write(&format!("{site}/t.csv"), format!("person_id,x\n{}", rows.collect::<String>()));
            let data = SiteData::open(&folder.at(site)).unwrap();
            let policy = Posted::read(folder.write(&format!("{site}.toml"), policies[at])).unwrap();
            network.settings.publish(site, &policy.policy);
            let (endpoint, address) = loopback().unwrap();
            network.site.push(site_entry(site, address, &keys[at], data.schema("person_id")));
            own.push(Own { name: site, data, policy, endpoint });
        }
        let network = network.checked().unwrap();
        let study = study(&accounts.iter().map(|account| &*account.name).collect::<Vec<_>>(), &SITES);
        let serve = |(own, identity)| serve(folder, own, again(identity), &network, &study);
        let served = own.into_iter().zip(&keys).map(serve).collect();
        Self { served, keys, network, accounts, study }
    }

    /// The first account as an analyst who asks by itself.
    pub fn analyst(&self) -> Analyst {
        analyst(self.accounts[0].identity.clone(), &self.network, &self.study)
    }
}

/// What a site has of its own.
pub struct Own {
    pub name: &'static str,
    pub data: SiteData,
    pub policy: Posted,
    pub endpoint: Endpoint,
}

/// A site that serves from now on.
pub fn serve(folder: &Scratch, own: Own, identity: Identity, network: &Network, study: &Study) -> Arc<Site> {
    let Own { name, data, policy, endpoint } = own;
    let state = folder.at(&format!("{name}-state"));
    let state = State::open(&state, &state.with_extension("key"), &identity).unwrap();
    connect::listen(&endpoint, &identity, network, connect::idle(DEADLINE)).unwrap();
    let (name, catalog) = (SiteName(name.into()), network.catalog(None).unwrap());
    let data = gate::left_out(data.bind(&catalog, &name).unwrap(), &policy, &catalog, &name).unwrap();
    let (network, deadline, drill, studies) = (network.clone(), DEADLINE, None, vec![study.clone()]);
    let start = Startup { identity, network, catalog, name, data, endpoint, deadline, drill, policy, studies, state };
    let site = Site::new(start).unwrap();
    tokio::spawn(site.clone().serve());
    site
}

pub fn site_entry(name: &str, address: SocketAddr, key: &Identity, schema: SiteSchema) -> SiteEntry {
    SiteEntry { name: SiteName(name.into()), address, pins: vec![key.pin()], schema, reach: Reach::Both }
}

/// An account of the first site.
pub fn entry(account: &Account) -> AnalystEntry {
    let (name, pins) = (account.name.clone(), vec![account.identity.pin()]);
    AnalystEntry { name, at: Some(SiteName(SITES[0].into())), pins }
}

pub fn study(analysts: &[&str], sites: &[&str]) -> Study {
    let text = format!(
        "name = 's'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = {analysts:?}\nsites = {sites:?}\ntables = ['t']\nends = '9999-01-01'\n"
    );
    Study::from_toml(&text).unwrap()
}

pub fn analyst(identity: Arc<Identity>, network: &Network, study: &Study) -> Analyst {
    let (catalog, endpoint) = (Arc::new(network.catalog(None).unwrap()), any_port());
    let who = Who { identity, network: Arc::new(network.clone()), catalog };
    Analyst::new(who, study.clone(), endpoint, DEADLINE, Arc::new(Quiet))
}

/// Proposes a question to a site, and hears nothing yet.
pub async fn propose(analyst: &Analyst, site: usize, question: &Propose) -> Link {
    let Analyst { who, endpoint, .. } = analyst;
    let run = os_bytes().unwrap()[..16].try_into().unwrap();
    let connection = connect::dial(endpoint, &who.identity, &who.network, site, DEADLINE, DEADLINE).await.unwrap();
    let mut control = ControlStream::open(&connection, DEADLINE).await.unwrap();
    control.send(&Greeting::Question { version: PROTOCOL_VERSION, run }).await.unwrap();
    control.send(question).await.unwrap();
    Link { connection, control }
}

/// For whoever dials only.
pub fn any_port() -> Endpoint {
    connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

fn again(identity: &Identity) -> Identity {
    Identity::from_pkcs8(identity.pkcs8().to_vec()).unwrap()
}
