//! Every operation of an engine by name, for tests that go through all of them.

#![allow(dead_code, reason = "every test file uses its own part")]

use mpc_core::{PowerOfTwo, Result, Z64, Z128};
use protocols::additive::demand::{Link, budget};
use protocols::correlation::Budget;
use protocols::{ArithShare, BitShare, Engine, Rows};

use crate::conformance::Case;

/// An operation on inputs that all parties of a test know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Mul64,
    Mul128,
    And,
    A2b,
    Negative,
    IsZero,
    B2a64,
    B2a128,
    Select64,
    Select128,
    Shuffle,
    Place,
}

use Operation::*;

pub const ALL: [Operation; 12] =
    [Mul64, Mul128, And, A2b, Negative, IsZero, B2a64, B2a128, Select64, Select128, Shuffle, Place];

/// How many rows, and of how many bits where the operation has bits.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rows: usize,
    pub bits: usize,
}

/// What comes out.
pub enum Output {
    Numbers(ArithShare<Z64>),
    Wide(ArithShare<Z128>),
    Bits(BitShare),
    Rows(Rows),
}

impl Operation {
    /// Makes the inputs, the same ones in every run of a case.
    fn inputs<E: Engine>(self, e: &mut E, case: &mut Case, size: Size) -> Vec<Output> {
        let Size { rows, bits } = size;
        let mut numbers = |case: &mut Case| {
            let column = case.column(rows, 64);
            Output::Numbers(case.share_numbers(e, &column))
        };
        match self {
            Mul64 => vec![numbers(case), numbers(case)],
            A2b | Negative => vec![numbers(case)],
            IsZero => {
                let column: Vec<u64> = (0..rows as u64).map(|i| if i % 2 == 0 { 0 } else { i }).collect();
                vec![Output::Numbers(case.share_numbers(e, &column))]
            }
            Mul128 => vec![wide(e, case, rows), wide(e, case, rows)],
            And => vec![some_bits(e, case, rows, bits), some_bits(e, case, rows, bits)],
            B2a64 | B2a128 => vec![some_bits(e, case, rows, bits)],
            Select64 => vec![numbers(case), some_bits(e, case, rows, 1)],
            Select128 => vec![wide(e, case, rows), some_bits(e, case, rows, 1)],
            Shuffle | Place => {
                let places: Vec<u64> = (0..rows as u64).rev().collect();
                let table = Rows { bits: share_bits(e, case, rows, bits), columns: vec![share_numbers(e, case, rows)] };
                vec![Output::Rows(table), Output::Numbers(case.share_numbers(e, &places))]
            }
        }
    }

    /// Makes the inputs and runs; `before` comes between.
    pub async fn run<E: Engine>(
        self,
        e: &mut E,
        case: &mut Case,
        size: Size,
        before: impl AsyncFnOnce(&mut E) -> Result<()>,
    ) -> Result<Output> {
        let inputs = self.inputs(e, case, size);
        before(e).await?;
        let mut inputs = inputs.into_iter();
        use Output::*;
        Ok(match (self, inputs.next(), inputs.next()) {
            (Mul64, Some(Numbers(a)), Some(Numbers(b))) => Numbers(e.mul(&a, &b).await?),
            (Mul128, Some(Wide(a)), Some(Wide(b))) => Wide(e.mul(&a, &b).await?),
            (And, Some(Bits(a)), Some(Bits(b))) => Bits(e.and(&a, &b).await?),
            (A2b, Some(Numbers(a)), _) => Bits(e.a2b(&a, size.bits).await?),
            (Negative, Some(Numbers(a)), _) => Bits(e.negative(&a, size.bits).await?),
            (IsZero, Some(Numbers(a)), _) => Bits(e.is_zero(&a, size.bits).await?),
            (B2a64, Some(Bits(a)), _) => Numbers(e.b2a(&a).await?),
            (B2a128, Some(Bits(a)), _) => Wide(e.b2a(&a).await?),
            (Select64, Some(Numbers(a)), Some(Bits(bit))) => Numbers(e.select(&bit, &a).await?),
            (Select128, Some(Wide(a)), Some(Bits(bit))) => Wide(e.select(&bit, &a).await?),
            (Shuffle, Some(Rows(rows)), _) => Rows(e.shuffle(rows).await?),
            (Place, Some(Rows(rows)), Some(Numbers(places))) => Rows(e.place(rows, places).await?),
            _ => unreachable!("inputs are those of the operation"),
        })
    }

    /// What the operation takes, and what opening its output takes besides.
    pub fn budgets(self, sites: usize, link: Link, size: Size, seed: u64) -> (Budget, Budget) {
        let run = |opens: bool| {
            budget(sites, link, async move |e| {
                let mut case = Case::at(0, sites, seed);
                let output = self.run(e, &mut case, size, async |_| Ok(())).await?;
                if opens { output.open(e, &mut case).await.map(drop) } else { Ok(()) }
            })
            .expect("an operation can be counted")
        };
        let (operation, all) = (run(false), run(true));
        (operation.clone(), all.without(&operation))
    }
}

fn share_numbers<E: Engine>(e: &mut E, case: &mut Case, rows: usize) -> ArithShare<Z64> {
    let column = case.column(rows, 64);
    case.share_numbers(e, &column)
}

fn share_bits<E: Engine>(e: &mut E, case: &mut Case, rows: usize, bits: usize) -> BitShare {
    let column = case.column(rows, bits);
    case.share_bits(e, &column, bits)
}

fn some_bits<E: Engine>(e: &mut E, case: &mut Case, rows: usize, bits: usize) -> Output {
    Output::Bits(share_bits(e, case, rows, bits))
}

fn wide<E: Engine>(e: &mut E, case: &mut Case, rows: usize) -> Output {
    let number = |case: &mut Case| Z128::from_low(u128::from(case.random()) << 64 | u128::from(case.random()));
    let column: Vec<Z128> = (0..rows).map(|_| number(case)).collect();
    Output::Wide(case.share(e, &column))
}

impl Output {
    /// Opened to everybody.
    pub async fn open<E: Engine>(self, e: &mut E, case: &mut Case) -> Result<Vec<u128>> {
        let widen = |column: Vec<u64>| column.into_iter().map(u128::from).collect();
        match self {
            Output::Numbers(column) => case.open_numbers(e, column).await.map(widen),
            Output::Wide(column) => Ok(case.open(e, column).await?.iter().map(|x| x.to_low()).collect()),
            Output::Bits(bits) => {
                let numbers = e.b2a::<Z64>(&bits).await?;
                case.open_numbers(e, numbers).await.map(widen)
            }
            Output::Rows(rows) => {
                let mut numbers = e.b2a::<Z64>(&rows.bits).await?;
                for column in &rows.columns {
                    numbers = ArithShare::concat(&[&numbers, column]);
                }
                case.open_numbers(e, numbers).await.map(widen)
            }
        }
    }
}
