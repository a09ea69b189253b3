//! The additive engine's non-linear operations, with correlated randomness from the sites' own OTs.

use mpc_core::world::{Net, World};
use mpc_core::{Result, Session, Z64, Z128};
use protocols::additive::{Additive, demand};
use protocols::{Audience, Engine, Release};

async fn program<E: Engine>(e: &mut E, own: Vec<u64>) -> Result<Option<Vec<Z64>>> {
    let n = own.len();
    let x = e.input(own.iter().map(|x| Z64(*x)).collect());
    let y = e.input(own.iter().map(|x| Z64(x.rotate_left(13) % 1000)).collect());
    let product = e.mul(&x, &y).await?;
    let bits = e.a2b(&x, 64).await?;
    let other = e.a2b(&y, 64).await?;
    let both = e.and(&bits, &other).await?;
    let numbers = e.b2a::<Z64>(&both.planes(0..3)).await?;
    let sign = e.negative(&x, 64).await?;
    let zero = e.is_zero(&y, 5).await?;
    let chosen = e.select(&sign, &y).await?;
    let flags = e.b2a::<Z64>(&protocols::BitShare::beside(&[&sign, &zero])).await?;
    let wide = e.input(own.iter().map(|x| Z128::from_signed(i128::from(*x as i64) << 40)).collect());
    let wide = e.select(&zero, &wide).await?;
    let _ = wide;
    let all = protocols::ArithShare::concat(&[&product, &numbers, &chosen, &flags]);
    e.declare(Release::of::<Z64>("all", 7 * n, Audience::Everyone));
    e.reveal(all, "all").await
}

fn expected(columns: &[Vec<u64>]) -> Vec<u64> {
    let n = columns[0].len();
    let x: Vec<u64> = (0..n).map(|i| columns.iter().fold(0u64, |a, c| a.wrapping_add(c[i]))).collect();
    let y: Vec<u64> = (0..n).map(|i| columns.iter().map(|c| c[i].rotate_left(13) % 1000).sum()).collect();
    let mut out: Vec<u64> = x.iter().zip(&y).map(|(x, y)| x.wrapping_mul(*y)).collect();
    for bit in 0..3 {
        out.extend(x.iter().zip(&y).map(|(x, y)| (x & y) >> bit & 1));
    }
    out.extend(x.iter().zip(&y).map(|(x, y)| if x >> 63 == 1 { *y } else { 0 }));
    out.extend(x.iter().map(|x| x >> 63));
    out.extend(y.iter().map(|y| u64::from(y % 32 == 0)));
    out
}

#[test]
fn every_operation_gives_the_plain_result() {
    for (sites, net) in [(2, Net::Memory), (3, Net::Memory), (5, Net::Memory), (8, Net::Memory), (3, Net::Quic)] {
        let n = 100;
        let columns: Vec<Vec<u64>> = (0..sites as u64)
            .map(|p| {
                (0..n)
                    .map(|i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ p << 32).rotate_left(p as u32))
                    .collect()
            })
            .collect();
        let budget = demand::budget(sites, async |e| program(e, vec![0; n as usize]).await).unwrap();
        let run = move |session: Session, own: Vec<u64>| {
            let budget = budget.clone();
            async move {
                let mut engine = Additive::new(session, vec![]);
                let result = match engine.prepare(&budget).await {
                    Ok(()) => program(&mut engine, own).await,
                    Err(e) => Err(e),
                };
                (engine.into_session(), result)
            }
        };
        let outcomes = World::new(sites).over(net).run(run, columns.clone());
        for outcome in outcomes {
            let opened: Vec<u64> = outcome.result.unwrap().unwrap().iter().map(|x| x.0).collect();
            assert_eq!(opened, expected(&columns), "{sites} sites");
        }
    }
}
