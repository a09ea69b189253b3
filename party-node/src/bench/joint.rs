//! Benchmarks of the work on shares: preprocessing from the plan's budget, then the operation.

use std::time::Instant;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::additive::demand;
use protocols::relational::sort;
use protocols::{ArithShare, BitShare, Engine, Item, Statement};

use super::measure::Found;
use super::{Bench, Protocol};

/// So many results are opened after the clock has stopped, and compared with plain arithmetic.
const CHECKED: usize = 1024;

/// Bits of a key to sort by.
const KEY_BITS: usize = 32;

/// A party's inputs.
#[derive(Clone)]
struct Inputs {
    numbers: [Vec<Z64>; 2],
    bits: [Bits; 2],
}

/// What an operation gives, still shared.
enum Outcome {
    Numbers(ArithShare<Z64>),
    Bits(BitShare),
    Nothing,
}

/// Runs the operation `bench.runs` times in one session and checks the first results of each run.
pub async fn program(session: Session, bench: Bench) -> (Session, Result<Found>) {
    let checked = (0..bench.runs).map(|run| Item::to_everyone(checked(run)));
    let mut engine = Additive::new(session, Statement::new(checked.collect()));
    let result = runs(&mut engine, bench).await;
    (engine.into_session(), result)
}

async fn runs(engine: &mut Additive, bench: Bench) -> Result<Found> {
    let me = engine.session().me();
    let budget = demand::budget(bench.parties, bench.link, async |e| operate(e, bench, &inputs(bench, me)).await)?;
    let after = demand::budget(bench.parties, bench.link, async |e| {
        let outcome = operate(e, bench, &inputs(bench, me)).await?;
        open(e, outcome, 0).await
    })?
    .without(&budget);
    let mut found = Found::default();
    for run in 0..bench.runs {
        let own = inputs(bench, me);
        line_up(engine).await?;
        let before = engine.session().stats();
        let began = Instant::now();
        engine.prepare(&budget).await?;
        line_up(engine).await?;
        let (prepared, online) = (engine.session().stats(), Instant::now());
        let outcome = operate(engine, bench, &own).await?;
        found.seconds.push(began.elapsed().as_secs_f64());
        found.online_seconds.push(online.elapsed().as_secs_f64());
        let done = engine.session().stats();
        found.bytes = done.bytes() - before.bytes();
        found.online_bytes = done.bytes() - prepared.bytes();
        found.rounds = done.rounds - prepared.rounds;
        engine.prepare(&after).await?;
        if let Some(opened) = open(engine, outcome, run).await? {
            check(engine.session(), bench, &opened)?;
        }
    }
    Ok(found)
}

/// Nobody's clock starts while another party still prepares.
async fn line_up(engine: &mut Additive) -> Result<()> {
    engine.session().step("line up").exchange(&[0u8]).await.map(drop)
}

async fn operate<E: Engine>(e: &mut E, bench: Bench, own: &Inputs) -> Result<Outcome> {
    let [x, y] = own.numbers.clone().map(|own| e.input(own));
    Ok(match bench.protocol {
        Protocol::Mul => Outcome::Numbers(e.mul(&x, &y).await?),
        Protocol::Compare => Outcome::Bits(e.less_than(&x, &y, 64).await?),
        Protocol::And => {
            let [x, y] = own.bits.clone().map(|own| e.input_bits(own));
            Outcome::Bits(e.and(&x, &y).await?)
        }
        // Bit triples, with the ANDs that use them up.
        Protocol::Triples => {
            let [x, y] = own.bits.clone().map(|own| e.input_bits(own));
            Outcome::Bits(e.and(&x, &y).await?)
        }
        Protocol::Sort => {
            let keys = e.input_bits(own.bits[0].clone());
            Outcome::Bits(sort::sort_keys(e, keys).await?)
        }
        Protocol::Sum | Protocol::Sum128 | Protocol::PsiCount | Protocol::PsiSum => Outcome::Nothing,
    })
}

async fn open<E: Engine>(e: &mut E, outcome: Outcome, run: usize) -> Result<Option<Vec<Z64>>> {
    let numbers = match outcome {
        Outcome::Nothing => return Ok(None),
        Outcome::Numbers(numbers) => numbers.slice(0..numbers.len().min(CHECKED)),
        Outcome::Bits(bits) => {
            let rows: Vec<usize> = (0..bits.rows().min(CHECKED)).collect();
            e.b2a(&bits.gather(&rows)).await?
        }
    };
    let permit = e.permit(&checked(run), numbers.len())?;
    e.reveal(numbers, permit).await
}

fn checked(run: usize) -> String {
    format!("checked/{run}")
}

fn inputs(bench: Bench, me: PartyId) -> Inputs {
    let column = |salt: u64| -> Vec<u64> { (0..bench.elements as u64).map(|i| input(me, i, salt)).collect() };
    let columns = [column(1), column(2)];
    let width = match bench.protocol {
        Protocol::And | Protocol::Triples => 1,
        Protocol::Sort => KEY_BITS,
        _ => 0,
    };
    let bits = columns.clone().map(|c| Bits::from_column(&c, width));
    Inputs { numbers: columns.map(|c| c.into_iter().map(Z64).collect()), bits }
}

/// Party p's i-th input: a signed number that stays below 2^62 in absolute value when twenty are added.
fn input(party: PartyId, i: u64, salt: u64) -> u64 {
    let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 57 | u64::from(party.0) << 40);
    ((mixed ^ mixed >> 29) as i64 >> 6) as u64
}

fn check(session: &Session, bench: Bench, opened: &[Z64]) -> Result<()> {
    let parties = || (0..bench.parties).map(|p| PartyId(p as u8));
    let number = |i: usize, salt: u64| parties().map(|p| input(p, i as u64, salt)).fold(0u64, u64::wrapping_add);
    let bits = |i: usize, salt: u64| parties().fold(0, |bits, p| bits ^ input(p, i as u64, salt));
    let rows = 0..bench.elements.min(CHECKED);
    let expected: Vec<u64> = match bench.protocol {
        Protocol::Mul => rows.map(|i| number(i, 1).wrapping_mul(number(i, 2))).collect(),
        Protocol::Compare => rows.map(|i| u64::from((number(i, 1) as i64) < number(i, 2) as i64)).collect(),
        Protocol::And | Protocol::Triples => rows.map(|i| bits(i, 1) & bits(i, 2) & 1).collect(),
        Protocol::Sort => {
            let mut keys: Vec<u64> = (0..bench.elements).map(|i| bits(i, 1) & ((1 << KEY_BITS) - 1)).collect();
            keys.sort_unstable();
            // Opened plane by plane.
            (0..KEY_BITS)
                .flat_map(|plane| rows.clone().map(move |i| (i, plane)))
                .map(|(i, p)| keys[i] >> p & 1)
                .collect()
        }
        Protocol::Sum | Protocol::Sum128 | Protocol::PsiCount | Protocol::PsiSum => Vec::new(),
    };
    if opened.iter().map(|x| x.0).eq(expected) {
        Ok(())
    } else {
        Err(session.local(LocalFault::Other("the opened results are wrong".into())))
    }
}
