//! A protocol of one's own: three parties agree on the largest of three public bids, over a simulated wide-area link,
//! and one that tells two stories is caught.
//!
//! `cargo run -p examples --example broadcast`

use mpc_core::transport::memory::Link;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, World};
use mpc_core::{PartyId, Result, Session, Z64};

fn main() {
    let world = World::new(3).over(Net::Simulated(Link::wan()));
    println!("everybody is honest:");
    report(&world);
    println!("party 1 tells party 2 another bid than party 0:");
    // Its frames are numbered: the first goes to party 0, the second to party 2.
    report(&world.tamper(PartyId(1), 1, Change::FlipBody(0)));
}

fn report(world: &World) {
    for (party, outcome) in world.run(bidder, vec![Z64(40), Z64(70), Z64(55)]).into_iter().enumerate() {
        let ms = outcome.elapsed.as_millis();
        match outcome.result {
            Ok(best) => println!("    party {party}: the best bid is {best}, known after {ms} ms"),
            Err(error) => println!("    party {party}: {error}; suspects {:?}", error.blamed()),
        }
    }
}

/// A protocol is an async function over a session: it reads down, and each `await` is a round.
async fn bidder(mut session: Session, bid: Z64) -> (Session, Result<u64>) {
    let result = best(&mut session, bid).await;
    (session, result)
}

async fn best(session: &mut Session, bid: Z64) -> Result<u64> {
    let bids = session.step("bid").broadcast_checked(&[bid]).await?;
    Ok(bids.concat().iter().map(|b| b.0).max().unwrap_or(0))
}
