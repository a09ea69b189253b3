//! A site that nobody can dial, as real processes: it is asked on the way that its own connections came.

#![cfg(unix)]

mod common;

use std::fs;

use common::Scratch;
use common::wire::{ACCOUNTS, BY_RULE, Net, Plan, SITES, data, table, until};
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
