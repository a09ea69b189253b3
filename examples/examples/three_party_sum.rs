//! Three hospitals add up their bed counts by ward. Nobody sees another's column; everybody sees the sum.
//!
//! `cargo run -p examples --example three_party_sum`

use mpc_core::world::{Net, World};
use mpc_core::{Result, Session, Z64};
use protocols::additive::Additive;
use protocols::{Engine, Item, Statement};

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
    // What may be opened is stated before anything runs; `reveal` takes a permit, and only the statement gives one.
    let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone("beds")]));
    let beds = engine.input(own.to_vec());
    let total = match engine.permit("beds", WARDS.len()) {
        Ok(permit) => engine.reveal(beds, permit).await,
        Err(error) => Err(error),
    };
    (engine.into_session(), total)
}
