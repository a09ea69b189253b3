//! What every engine must do: programs over any engine that open their results and compare them with plain Rust. A test
//! file chooses the engine, the parties and the network.

#![allow(dead_code, reason = "every test file uses its own part")]

pub mod classes;
pub mod intervals;
pub mod keys;
pub mod primitives;
pub mod quantiles;
pub mod sketches;
pub mod sorting;
pub mod suppression;
pub mod top;

use mpc_core::random::{Domain, Prg, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::{Bits, PowerOfTwo, Result, Ring, Session, Z64};
use protocols::{ArithShare, BitShare, Engine, Item, Statement};

/// What all parties of a test know: the seed of all inputs, who they are, and how many releases there have been.
pub struct Case {
    seed: u64,
    pub me: usize,
    pub sites: usize,
    opened: usize,
    prg: Prg,
}

impl Case {
    pub fn new(session: &Session, seed: u64) -> Self {
        Self::at(session.me().index(), session.parties().sites().count(), seed)
    }

    /// The same without a session.
    pub fn at(me: usize, sites: usize, seed: u64) -> Self {
        Self { seed, me, sites, opened: 0, prg: stream(seed, "inputs") }
    }

    pub fn is_site(&self) -> bool {
        self.me < self.sites
    }

    /// A uniform number, the same at every party.
    pub fn random(&mut self) -> u64 {
        self.prg.element::<Z64>().0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound
    }

    pub fn column(&mut self, len: usize, bits: usize) -> Vec<u64> {
        (0..len).map(|_| low(self.random(), bits)).collect()
    }

    /// Shares a column all parties of the test know: random summands that add up to it.
    pub fn share<E: Engine, R: PowerOfTwo>(&mut self, e: &mut E, column: &[R]) -> ArithShare<R> {
        let mut masks: Vec<Vec<R>> =
            (1..self.sites).map(|_| column.iter().map(|_| self.prg.element()).collect()).collect();
        let rest = |i: usize| masks.iter().fold(column[i], |left, mask| left.sub(mask[i]));
        let first: Vec<R> = (0..column.len()).map(rest).collect();
        masks.insert(0, first);
        masks.push(vec![R::default(); column.len()]);
        e.input(masks.swap_remove(self.me.min(self.sites)))
    }

    pub fn share_numbers<E: Engine>(&mut self, e: &mut E, column: &[u64]) -> ArithShare<Z64> {
        let column: Vec<Z64> = column.iter().copied().map(Z64).collect();
        self.share(e, &column)
    }

    /// Shares the low `width` bits of numbers.
    pub fn share_bits<E: Engine>(&mut self, e: &mut E, column: &[u64], width: usize) -> BitShare {
        let masks: Vec<Vec<u64>> = (1..self.sites).map(|_| column.iter().map(|_| self.random()).collect()).collect();
        let own = match self.me {
            0 => (0..column.len()).map(|i| masks.iter().fold(column[i], |left, mask| left ^ mask[i])).collect(),
            me if me < self.sites => masks[me - 1].clone(),
            _ => vec![0; column.len()],
        };
        e.input_bits(Bits::from_column(&own, width))
    }

    /// Opens a column to everybody.
    pub async fn open<E: Engine, R: Ring>(&mut self, e: &mut E, column: ArithShare<R>) -> Result<Vec<R>> {
        self.opened += 1;
        let permit = e.permit(&format!("result {}", self.opened), column.len())?;
        Ok(e.reveal(column, permit).await?.expect("everybody is in the audience"))
    }

    pub async fn open_numbers<E: Engine>(&mut self, e: &mut E, column: ArithShare<Z64>) -> Result<Vec<u64>> {
        Ok(self.open(e, column).await?.into_iter().map(|x| x.0).collect())
    }

    /// Opens bits to everybody; every row as a number.
    pub async fn open_bits<E: Engine>(&mut self, e: &mut E, bits: &BitShare) -> Result<Vec<u64>> {
        let (rows, width) = (bits.rows(), bits.width());
        let places = e.b2a::<Z64>(bits).await?;
        let places = self.open_numbers(e, places).await?;
        assert!(places.iter().all(|bit| *bit <= 1), "a converted bit is 0 or 1");
        Ok((0..rows).map(|row| (0..width).map(|plane| places[plane * rows + row] << plane).sum()).collect())
    }
}

/// What a case may open: everything to everybody.
pub fn statement() -> Statement {
    let results = (1..=MOST_RESULTS).map(|result| format!("result {result}"));
    let keys = (0..keys::EXCHANGES).flat_map(|exchange| [format!("keys {exchange}"), format!("keys {exchange}/count")]);
    Statement::new(results.chain(keys).map(Item::to_everyone).collect())
}

/// More than any case opens.
const MOST_RESULTS: usize = 10_000;

pub fn low(value: u64, bits: usize) -> u64 {
    if bits >= 64 { value } else { value & ((1 << bits) - 1) }
}

fn stream(seed: u64, label: &'static str) -> Prg {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    PrivateSeed::new(bytes).prg(Domain::Test, &StepPath::root().child(label, 0))
}

/// Runs conformance functions on the plaintext engine: in each of the worlds (sites, analyst), from each of the seeds.
#[macro_export]
macro_rules! on_clear {
    ($worlds:expr, $seeds:expr; $($name:ident => $function:path;)*) => {$(
        #[test]
        fn $name() {
            for (sites, analyst) in $worlds {
                for seed in $seeds {
                    println!("seed {seed}, {sites} sites, analyst {analyst}");
                    let world = mpc_core::world::World::new(sites).seed(seed);
                    let world = if analyst { world.with_analyst() } else { world };
                    let program = move |session: mpc_core::Session, _: ()| async move {
                        let mut case = conformance::Case::new(&session, seed);
                        let mut engine = protocols::clear::Clear::new(session, conformance::statement());
                        let result = $function(&mut engine, &mut case).await;
                        (engine.into_session(), result)
                    };
                    for outcome in world.run(program, vec![(); sites + usize::from(analyst)]) {
                        outcome.result.unwrap();
                    }
                }
            }
        }
    )*};
}
