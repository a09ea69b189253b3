//! What a program will take from the pool: it runs once, without data, on an engine that only counts.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mpc_core::error::LocalFault;
use mpc_core::step::StepPath;
use mpc_core::{Bits, Error, PartyId, PowerOfTwo, Result, Ring, Z64};

use super::{adder, compare, rows};
use crate::correlation::{Budget, Group};
use crate::engine::{Engine, Rows};
use crate::release::Release;
use crate::share::{ArithShare, BitShare};

/// An engine whose columns are all zero and that counts the correlated randomness the additive engine would take. Control
/// flow depends on public values only, so what it counts is what a run takes.
pub struct Tally {
    sites: Group,
    budget: Budget,
}

/// The budget of a program among so many sites.
///
/// # Errors
/// The program's own, on columns of zeros.
pub fn budget<T>(sites: usize, program: impl AsyncFnOnce(&mut Tally) -> Result<T>) -> Result<Budget> {
    let mut tally = Tally::new(sites);
    {
        let run = pin!(program(&mut tally));
        // No operation of this engine waits for anything, so a program is done when it was polled once.
        match run.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(drop)?,
            Poll::Pending => return Err(stuck()),
        }
    }
    Ok(tally.budget)
}

fn stuck() -> Error {
    Error::Local { step: StepPath::root(), fault: LocalFault::Other("a program waits for something else".into()) }
}

impl Tally {
    fn new(sites: usize) -> Self {
        Self { sites: (0..sites as u8).map(PartyId).collect(), budget: Budget::default() }
    }

    fn chain(&mut self, words: usize, bits: usize) {
        self.budget.add_bit_triples(&self.sites, words * bits);
    }
}

impl Engine for Tally {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        ArithShare::zeros(own.len())
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        BitShare::zeros(own.rows(), own.width())
    }

    async fn mul<R: PowerOfTwo>(&mut self, a: &ArithShare<R>, _: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.budget.add_ring_triples::<R>(a.len());
        Ok(ArithShare::zeros(a.len()))
    }

    async fn and(&mut self, a: &BitShare, _: &BitShare) -> Result<BitShare> {
        self.chain(a.rows().div_ceil(64), a.width());
        Ok(BitShare::zeros(a.rows(), a.width()))
    }

    async fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        adder::demand(&mut self.budget, &adder::levels(&self.sites), a.len().div_ceil(64), bits);
        Ok(BitShare::zeros(a.len(), bits))
    }

    async fn negative(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        compare::demand_negative(&mut self.budget, &self.sites, a.len().div_ceil(64), bits);
        Ok(BitShare::zeros(a.len(), 1))
    }

    async fn is_zero(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        compare::demand_is_zero(&mut self.budget, &self.sites, a.len().div_ceil(64), bits);
        Ok(BitShare::zeros(a.len(), 1))
    }

    async fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> Result<ArithShare<R>> {
        self.budget.add_dabits::<R>(bits.rows().div_ceil(64) * bits.width());
        Ok(ArithShare::zeros(bits.rows() * bits.width()))
    }

    async fn select<R: PowerOfTwo>(&mut self, _: &BitShare, a: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.budget.add_selections::<R>(a.len().div_ceil(64));
        Ok(ArithShare::zeros(a.len()))
    }

    async fn shuffle(&mut self, rows: Rows) -> Result<Rows> {
        self.budget.shuffles.push((rows.len(), rows::words_of(&rows)));
        Ok(rows)
    }

    async fn place(&mut self, mut rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
        rows.columns.push(places);
        self.budget.shuffles.push((rows.len(), rows::words_with_places(&rows)));
        rows.columns.pop();
        Ok(rows)
    }

    fn declare(&mut self, _: Release) {}

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, _: &str) -> Result<Option<Vec<R>>> {
        Ok(Some(vec![R::default(); column.len()]))
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        labels.map(|_| Self { sites: self.sites.clone(), budget: Budget::default() })
    }

    fn is_first(&self) -> bool {
        false
    }

    fn fault(&self, fault: LocalFault) -> Error {
        Error::Local { step: StepPath::root(), fault }
    }
}
