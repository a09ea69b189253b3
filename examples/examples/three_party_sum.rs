//! Three hospitals add up their bed counts by ward. Nobody sees another's column; everybody sees the sum.
//!
//! `cargo run -p examples --example three_party_sum`

use mpc_core::world::{Net, World};
use mpc_core::{Result, Session, Z64};
use protocols::additive::Additive;
use protocols::{Audience, Engine, Release};

const WARDS: [&str; 4] = ["cardiology", "oncology", "paediatrics", "surgery"];

fn main() -> Result<()> {
    let beds = vec![[30, 12, 44, 61].map(Z64), [8, 55, 0, 23].map(Z64), [17, 17, 90, 5].map(Z64)];
    // Three parties, each with a thread of its own, over real QUIC on loopback.
    for (party, outcome) in World::new(3).over(Net::Quic).run(hospital, beds).into_iter().enumerate() {
        let totals = outcome.result?;
        println!("hospital {party}: {} bytes sent, {} rounds", outcome.stats.bytes(), outcome.stats.rounds);
        for (ward, total) in WARDS.iter().zip(totals.into_iter().flatten()) {
            println!("    {ward:<12} {:>4}", total.0);
        }
    }
    Ok(())
}

/// What each hospital runs. It hands its session back, so that the world can close it or tell the others of a failure.
async fn hospital(session: Session, own: [Z64; 4]) -> (Session, Result<Option<Vec<Z64>>>) {
    // What may be opened is declared before anything runs; `reveal` opens nothing else.
    let releases = vec![Release::of::<Z64>("beds", WARDS.len(), Audience::Everyone)];
    let mut engine = Additive::new(session, releases);
    let beds = engine.input(own.to_vec());
    let total = engine.reveal(beds, "beds").await;
    (engine.into_session(), total)
}
