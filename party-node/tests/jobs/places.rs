//! What accounts order at a node at a time.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mpc_core::handshake::ControlStream;
use party_node::agree::{Greeting, PROTOCOL_VERSION};
use party_node::connect;
use party_node::fault::NodeError;
use party_node::govern::steward::Refusal;
use party_node::jobs::control::{JobOrder, Part};

use crate::common::sites::{DEADLINE, any_port};
use crate::{BY_HAND, BY_RULE, PATIENCE, World, below, name, settings};

/// What one account may follow at a time.
const OF_ONE: usize = 16;

/// The node's reply: a part of a text, or a code.
async fn reply(world: &World, account: usize, order: &JobOrder) -> Result<String, String> {
    let (endpoint, identity) = (any_port(), &world.sites.accounts[account].identity);
    let network = &world.sites.network;
    let connection = connect::dial(&endpoint, identity, network, 0, DEADLINE, DEADLINE).await.unwrap();
    let mut control = ControlStream::open(&connection, DEADLINE).await.unwrap();
    control.send(&Greeting::Jobs { version: PROTOCOL_VERSION }).await.unwrap();
    control.send(order).await.unwrap();
    let reply = control.recv_within::<Result<Part, Refusal>>(PATIENCE).await.unwrap();
    reply.map(|part| part.text).map_err(|refusal| NodeError::from(refusal).code.into_owned())
}

#[tokio::test]
async fn who_follows_as_many_jobs_as_it_may_still_orders_and_so_does_everybody_else() {
    let world = World::new("places", 2, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let job = name(&world.submit(0, &below(30).0).await);
    // No news ever.
    let follow = JobOrder::Follow { job: job.clone(), after: u64::MAX };
    let more = 4;
    let mut following: FuturesUnordered<_> = (0..OF_ONE + more).map(|_| reply(&world, 0, &follow)).collect();
    for _ in 0..more {
        assert_eq!(following.next().await, Some(Err("SITE_BUSY".into())));
    }
    let others = async {
        assert!(reply(&world, 1, &JobOrder::List { from: 0 }).await.is_ok());
        assert!(reply(&world, 0, &JobOrder::List { from: 0 }).await.is_ok());
        let cancelled = reply(&world, 0, &JobOrder::Cancel { job: job.clone() }).await;
        assert!(cancelled.is_ok_and(|job| job.contains("cancelled")));
    };
    let still_following = async {
        while following.next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = others => (),
        () = still_following => (),
    }
}
