//! Benchmarks of matching into shares: how many keys two sites have in common, or the sum of the sender's values for them.
//!
//! Half of each site's keys are common. A run has its own base OTs, its own bins, and opens one number to both sites; nothing is
//! prepared before the clock starts.

use std::time::Instant;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Block, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::matching::{Further, PatientTable, Shape, align};
use protocols::{Engine, Item, Statement};

use super::measure::Found;
use super::{Bench, Protocol};

/// Whose bins they are; the other site sends.
const RECEIVER: PartyId = PartyId(0);
const SENDER: PartyId = PartyId(1);

/// Runs the matching `bench.runs` times and checks each result.
pub async fn program(mut session: Session, bench: Bench) -> (Session, Result<Found>) {
    let mut found = Found::default();
    for _ in 0..bench.runs {
        let lined_up = session.step("line up").exchange(&[0u8]).await;
        if let Err(error) = lined_up {
            return (session, Err(error));
        }
        let before = session.stats();
        let table = table(bench, session.me());
        let began = Instant::now();
        let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone(TOTAL)]));
        let total = total(&mut engine, bench.elements, table).await;
        found.seconds.push(began.elapsed().as_secs_f64());
        session = engine.into_session();
        let after = session.stats();
        found.bytes = after.bytes() - before.bytes();
        found.rounds = after.rounds - before.rounds;
        if let Err(error) = total.and_then(|total| check(&session, bench, total)) {
            return (session, Err(error));
        }
    }
    (found.online_seconds, found.online_bytes) = (found.seconds.clone(), found.bytes);
    (session, Ok(found))
}

const TOTAL: &str = "total";

async fn total(engine: &mut Additive, elements: usize, table: PatientTable) -> Result<Option<Vec<Z64>>> {
    let shapes =
        [0, 1].map(|numbers| Shape { patients: elements, numbers, bits: 0, passes: 1, further: Further::NONE });
    let segments = align(engine, &shapes, &[(RECEIVER, vec![SENDER])], Some(table)).await?;
    let [segment] = segments.as_slice() else { return Ok(None) };
    // The sender's number is zero where it does not have the bin's key.
    let total = segment.holders[0].numbers[0].block_sums(segment.rows);
    let permit = engine.permit(TOTAL, total.len())?;
    engine.reveal(total, permit).await
}

fn table(bench: Bench, me: PartyId) -> PatientTable {
    let numbers = match me {
        RECEIVER => Vec::new(),
        _ => vec![range(bench.elements, me).map(|key| value(bench.protocol, key)).collect()],
    };
    let keys: Vec<Option<Block>> = range(bench.elements, me).map(key).map(Some).collect();
    PatientTable { bits: Bits::zeros(keys.len(), 0), keys: vec![keys], further: Vec::new(), numbers }
}

/// A site's keys by number: the sender's begin in the middle of the receiver's.
fn range(elements: usize, party: PartyId) -> std::ops::Range<u64> {
    let first = u64::from(party.0) * (elements as u64 / 2);
    first..first + elements as u64
}

/// Keys are hashes: their bits look random. Odd factors and shifts keep them apart.
fn key(number: u64) -> Block {
    let mix = |x: u64| {
        let x = (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let low = mix(number + 1);
    Block(u128::from(low) | u128::from(mix(low ^ number)) << 64)
}

/// What the sender has for a key.
fn value(protocol: Protocol, number: u64) -> Z64 {
    match protocol {
        Protocol::PsiCount => Z64(1),
        _ => Z64(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

fn check(session: &Session, bench: Bench, total: Option<Vec<Z64>>) -> Result<()> {
    let common = range(bench.elements, SENDER).start..range(bench.elements, RECEIVER).end;
    let expected = common.fold(0u64, |sum, number| sum.wrapping_add(value(bench.protocol, number).0));
    match total.as_deref() {
        Some([total]) if total.0 == expected => Ok(()),
        _ => Err(session.local(LocalFault::Other("the opened total is wrong".into()))),
    }
}
