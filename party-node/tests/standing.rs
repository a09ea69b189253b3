//! A site that nobody can dial, as real processes: it is asked on the way that its own connections came.

#![cfg(unix)]

mod common;

use std::fs;

use common::Scratch;
use common::sites::{self, Own, Sites};
use common::wire::{ACCOUNTS, BY_RULE, Net, Plan, SITES, data, table, until};
use mpc_core::identity::Identity;
use party_node::child::loopback;
use party_node::govern::gate::Posted;
use party_node::network::Reach;
use party_node::source::SiteData;
use tokio_postgres::NoTls;

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_nobody_can_dial_takes_part_in_what_accounts_elsewhere_ask() {
    let folder = Scratch::new("standing");
    for site in SITES {
        table(&folder, site, "drug", "person_id,dose\n1,5\n2,7\n");
    }
    let plan = Plan {
        label: "standing",
        sites: SITES,
        data: data(&folder),
        settings: "",
        by_hand: BY_RULE,
        tables: &["drug"],
        wire: "",
        listen: "127.0.0.1",
    };
    let net = Net::new(&plan, folder);
    only_dials(&net, SITES[2]);
    let mut net = net.up();
    until("it calls", || asked(&net).is_ok());
    // The node with the accounts starts anew: it is called again.
    net.signal(0, "KILL");
    net.start(0);
    until("it calls again", || asked(&net).is_ok());
    let log = net.log(2);
    assert!(!log.contains("violation"), "{log}");
}

/// The network file of all sites, in which a site has an address that leads nowhere.
fn only_dials(net: &Net, site: &str) {
    for other in SITES {
        let file = net.folder.at(&format!("{other}/network.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let entry = text.find(&format!("name = \"{site}\"")).unwrap();
        let (before, entry) = text.split_at(entry);
        let (line, rest) = entry.split_once("address = \"").unwrap();
        let rest = rest.split_once('"').unwrap().1;
        fs::write(&file, format!("{before}{line}reach = \"out\"\naddress = \"{NOWHERE}\"{rest}")).unwrap();
    }
}

/// A count of all sites' rows, or why there is none.
fn asked(net: &Net) -> Result<(), tokio_postgres::Error> {
    let mut config = net.client(ACCOUNTS[0]);
    config.options("-c consilium.wait=20s");
    let asked = async {
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT COUNT(*) AS n FROM drug", &[]).await;
        connection.abort();
        assert_eq!(row?.get::<_, i64>(0), 6);
        Ok(())
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked))
}

#[tokio::test]
async fn a_connection_that_the_other_site_does_not_keep_is_no_meeting() {
    let folder = Scratch::new("not-kept");
    let all = Sites::start(&folder, "min_sites = 3", ["allow_all = true\n"; 3], &["ana"]);
    // Under the key of site c, and under one that the others know as no site's.
    for (label, key, met) in [("site", &all.keys[2], true), ("analyst", &all.accounts[0].identity, false)] {
        let folder = Scratch::new(&format!("not-kept-{label}"));
        folder.write("c/t.csv", "person_id,x\n1,1\n");
        let policy = Posted::read(folder.write("c.toml", "allow_all = true\n")).unwrap();
        let data = SiteData::open(&folder.at("c")).unwrap();
        let mut network = all.network.clone();
        network.site[2].reach = Reach::Out;
        network.site[2].pins = vec![key.pin()];
        let own = Own { name: "c", data, policy, endpoint: loopback().unwrap().0 };
        let identity = Identity::from_pkcs8(key.pkcs8().to_vec()).unwrap();
        let site = sites::serve(&folder, own, identity, &network, &all.study);
        let standing = tokio::spawn(site.clone().stand());
        let is_met = || site.figures().contains("consilium_peer_last_met_seconds{");
        // Time for three tries, or as long as one takes.
        let waited = std::time::Instant::now();
        while waited.elapsed().as_secs() < if met { 60 } else { 4 } && !is_met() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(is_met(), met, "as {label}");
        standing.abort();
    }
}
