//! The measured programs, and runs with all parties in one process.

use std::time::{Duration, Instant};

use mpc_core::error::LocalFault;
use mpc_core::world::{Net, World};
use mpc_core::{Error, PartyId, Result, Ring, Session, Z64, Z128};
use protocols::additive::Additive;
use protocols::{Engine, Item, Statement};

use super::{Bench, Measurement, Protocol, joint, matched};
use crate::fault::NodeError;

/// What one party found in one session.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// Of each run.
    pub seconds: Vec<f64>,
    /// Of each run, without preprocessing.
    pub online_seconds: Vec<f64>,
    /// Sent in one run.
    pub bytes: u64,
    /// Sent in one run, without preprocessing.
    pub online_bytes: u64,
    /// Of one run.
    pub rounds: u32,
}

/// Runs the protocol `bench.runs` times in one session, on inputs whose sums are known, and checks the sums.
pub async fn program(session: Session, bench: Bench) -> (Session, Result<Found>) {
    match bench.protocol {
        Protocol::Sum => sums(session, bench, |x| Z64::from_signed(x as i64)).await,
        Protocol::Sum128 => sums(session, bench, |x| Z128::from_signed(i128::from(x))).await,
        Protocol::PsiCount | Protocol::PsiSum => matched::program(session, bench).await,
        _ => joint::program(session, bench).await,
    }
}

async fn sums<R: Ring>(session: Session, bench: Bench, element: fn(u32) -> R) -> (Session, Result<Found>) {
    let me = session.me();
    let sums = (0..bench.runs).map(|run| Item::to_everyone(run.to_string()));
    let mut engine = Additive::new(session, Statement::new(sums.collect()));
    let mut found = Found::default();
    let mut result = Ok(());
    for run in 0..bench.runs {
        let own: Vec<R> = (0..bench.elements as u32).map(|i| element(input(me, i))).collect();
        // Nobody's clock starts while another party still makes its input or checks the last sum.
        result = engine.session().step("line up").exchange(&[0u8]).await.map(drop);
        if result.is_err() {
            break;
        }
        let before = engine.session().stats();
        let began = Instant::now();
        let column = engine.input(own);
        let opened = match engine.permit(&run.to_string(), bench.elements) {
            Ok(permit) => engine.reveal(column, permit).await,
            Err(error) => Err(error),
        };
        found.seconds.push(began.elapsed().as_secs_f64());
        found.online_seconds.clone_from(&found.seconds);
        let after = engine.session().stats();
        found.bytes = after.bytes() - before.bytes();
        found.online_bytes = found.bytes;
        found.rounds = after.rounds - before.rounds;
        result = opened.and_then(|sum| check(engine.session(), &sum.unwrap_or_default(), bench, element));
        if result.is_err() {
            break;
        }
    }
    (engine.into_session(), result.map(|()| found))
}

/// Party p's i-th input; below 2^27, so that twenty of them add up within 32 bits.
fn input(party: PartyId, i: u32) -> u32 {
    (i.wrapping_mul(2_654_435_761).wrapping_add(u32::from(party.0)) >> 5) & 0x07ff_ffff
}

fn check<R: Ring>(session: &Session, sum: &[R], bench: Bench, element: fn(u32) -> R) -> Result<()> {
    let expected = |i: u32| element((0..bench.parties).map(|p| input(PartyId(p as u8), i)).sum());
    let right = sum.len() == bench.elements && sum.iter().zip(0..).all(|(x, i)| *x == expected(i));
    if right { Ok(()) } else { Err(session.local(LocalFault::Other("the opened sums are wrong".into()))) }
}

/// All parties in this process. On a simulated link the clock stands still while parties compute, so the reported time is
/// the network's plus all parties' compute time on this machine: more than parties on machines of their own would need.
pub fn in_process(bench: Bench, net: Net) -> std::result::Result<Measurement, NodeError> {
    let mut walls = Vec::new();
    let mut onlines = Vec::new();
    let mut computes = Vec::new();
    let mut last = None;
    for _ in 0..bench.runs {
        let one = Bench { runs: 1, ..bench };
        let world = World::new(bench.parties).seed(1).over(net);
        let began = Instant::now();
        let outcomes = world.run(program, vec![one; bench.parties]);
        let compute = began.elapsed();
        let network = outcomes.iter().map(|o| o.elapsed).max().unwrap_or(Duration::ZERO);
        let simulated = matches!(net, Net::Simulated(_));
        walls.push(if simulated { network + compute } else { compute }.as_secs_f64());
        computes.push(compute.as_secs_f64());
        let found: Result<Vec<Found>> = outcomes.into_iter().map(|o| o.result).collect();
        let found = found.map_err(|e: Error| NodeError::new("SESSION_FAILED", e.to_string()))?;
        onlines.push(slowest(&found, 0, |f| &f.online_seconds));
        last = Some(found);
    }
    let found = last.unwrap_or_default();
    let simulated = matches!(net, Net::Simulated(_));
    Ok(summary(bench, [walls, onlines], &found, peak_rss_mb(), simulated.then(|| median(computes) * 1e3)))
}

/// The longest time that a party took for a run.
pub fn slowest(found: &[Found], run: usize, times: fn(&Found) -> &Vec<f64>) -> f64 {
    found.iter().map(|f| times(f)[run]).fold(0.0, f64::max)
}

/// One line of results.
pub fn summary(
    bench: Bench,
    [walls, onlines]: [Vec<f64>; 2],
    found: &[Found],
    peak_rss_mb: f64,
    compute_ms: Option<f64>,
) -> Measurement {
    let milliseconds = |times: Vec<f64>| (median(times) * 1e6).round() / 1e3;
    Measurement {
        protocol: bench.protocol.name().into(),
        parties: bench.parties,
        elements: bench.elements,
        network: bench.network.to_string(),
        wall_ms: milliseconds(walls),
        online_ms: milliseconds(onlines),
        bytes_per_party: found.iter().map(|f| f.bytes).max().unwrap_or(0),
        online_bytes_per_party: found.iter().map(|f| f.online_bytes).max().unwrap_or(0),
        rounds: found.iter().map(|f| f.rounds).max().unwrap_or(0),
        peak_rss_mb,
        compute_ms,
    }
}

/// The median; of an even number of values the upper one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The largest resident memory of this process so far.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().split(' ').next()).and_then(|n| n.parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib / 1024.0)
}
