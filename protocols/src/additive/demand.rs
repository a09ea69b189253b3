//! What a program will take from the pool: it runs once, without data, on an engine that only counts.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mpc_core::error::LocalFault;
use mpc_core::step::StepPath;
use mpc_core::{Bits, Error, PartyId, PowerOfTwo, Result, Ring, Z64};

use super::{adder, compare, rows};
use crate::correlation::{Budget, Chains, Group};
use crate::engine::{Engine, Rows};
use crate::ot::Extension;
use crate::parameters::Code;
use crate::release::{Permit, Statement};
use crate::share::{ArithShare, BitShare};

/// The budget of a program among so many sites.
///
/// # Errors
/// The program's own, on columns of zeros.
pub fn budget<T>(
    sites: usize,
    link: Link,
    program: impl AsyncFnOnce(&mut Counting<Zeros>) -> Result<T>,
) -> Result<Budget> {
    let mut engine = Counting::new(Zeros::new(), sites, link);
    {
        let run = pin!(program(&mut engine));
        // No operation of this engine waits for anything, so a program is done when it was polled once.
        match run.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(drop)?,
            Poll::Pending => return Err(fault("a program waits for something that is no operation of its engine")),
        }
    }
    Ok(engine.budget)
}

pub(crate) fn fault(text: &str) -> Error {
    Error::Local { step: StepPath::root(), fault: LocalFault::Other(text.into()) }
}

/// The kind of network, which decides between bytes and rounds on one side and computation on the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// Rounds and bytes are cheap: ripple chains, SoftSpoken OT.
    #[default]
    Local,
    /// Rounds are dear: prefix chains, SoftSpoken OT.
    Far,
    /// Rounds and bytes are dear (slower than about 30 MB/s): prefix chains, silent OT.
    Narrow,
}

impl Link {
    /// All of them, by the names they have in plans and on command lines.
    pub const NAMES: [(&'static str, Link); 3] = [("local", Link::Local), ("far", Link::Far), ("narrow", Link::Narrow)];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Link> {
        Self::NAMES.into_iter().find_map(|(known, link)| (known == name).then_some(link))
    }

    /// How carries run.
    pub fn chains(self) -> Chains {
        self.budget().chains
    }

    /// How OTs are made.
    pub fn extension(self) -> Extension {
        self.budget().extension
    }

    fn budget(self) -> Budget {
        let silent = Extension::Silent { batch: SILENT_BATCH, code: Code::ExpandConvolute7 };
        match self {
            Link::Local => Budget::default(),
            Link::Far => Budget::empty(Chains::Prefix, Extension::SoftSpoken),
            Link::Narrow => Budget::empty(Chains::Prefix, silent),
        }
    }
}

/// OTs of a silent batch: reads from 4 MiB at random, where larger ones wait for memory.
const SILENT_BATCH: usize = 1 << 18;

/// Counts what the additive engine would take for the operations of another engine. Control flow depends on public values only,
/// so what it counts on zeros is what every run takes.
pub struct Counting<E> {
    inner: E,
    sites: Group,
    budget: Budget,
}

impl<E: Engine> Counting<E> {
    /// For a program among so many sites.
    pub fn new(inner: E, sites: usize, link: Link) -> Self {
        let sites = (0..sites as u8).map(PartyId).collect();
        Self { inner, sites, budget: link.budget() }
    }

    /// The engine, and what was counted.
    pub fn into_parts(self) -> (E, Budget) {
        (self.inner, self.budget)
    }
}

impl<E: Engine> Engine for Counting<E> {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        self.inner.input(own)
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        self.inner.input_bits(own)
    }

    async fn mul<R: PowerOfTwo>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.budget.add_ring_triples::<R>(a.len());
        self.inner.mul(a, b).await
    }

    async fn and(&mut self, a: &BitShare, b: &BitShare) -> Result<BitShare> {
        self.budget.add_bit_triples(&self.sites, a.rows().div_ceil(64) * a.width());
        self.inner.and(a, b).await
    }

    async fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        adder::demand(&mut self.budget, &adder::levels(&self.sites), a.len().div_ceil(64), bits, &(0..bits));
        self.inner.a2b(a, bits).await
    }

    async fn negative(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        compare::demand_negative(&mut self.budget, &self.sites, a.len().div_ceil(64), bits);
        self.inner.negative(a, bits).await
    }

    async fn is_zero(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        compare::demand_is_zero(&mut self.budget, &self.sites, a.len().div_ceil(64), bits);
        self.inner.is_zero(a, bits).await
    }

    async fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> Result<ArithShare<R>> {
        self.budget.add_dabits::<R>(bits.rows().div_ceil(64) * bits.width());
        self.inner.b2a(bits).await
    }

    async fn select<R: PowerOfTwo>(&mut self, choice: &BitShare, a: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.budget.add_selections::<R>(a.len().div_ceil(64));
        self.inner.select(choice, a).await
    }

    async fn shuffle(&mut self, rows: Rows) -> Result<Rows> {
        self.budget.shuffles.push((rows.len(), rows::words_of(&rows)));
        self.inner.shuffle(rows).await
    }

    async fn place(&mut self, rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
        self.budget.shuffles.push((rows.len(), rows::words_with_places(&rows)));
        self.inner.place(rows, places).await
    }

    fn statement(&mut self) -> &mut Statement {
        self.inner.statement()
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, permit: Permit<R>) -> Result<Option<Vec<R>>> {
        self.inner.reveal(column, permit).await
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let (sites, budget) = (self.sites.clone(), Budget::empty(self.budget.chains, self.budget.extension));
        self.inner.fork(labels).map(|inner| Self { inner, sites: sites.clone(), budget: budget.clone() })
    }

    fn is_first(&self) -> bool {
        self.inner.is_first()
    }

    fn fault(&self, fault: LocalFault) -> Error {
        self.inner.fault(fault)
    }
}

/// An engine without parties: every column is zero. Its permits open nothing elsewhere.
pub struct Zeros(Statement);

impl Zeros {
    fn new() -> Self {
        Self(Statement::rehearsal())
    }
}

impl Engine for Zeros {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        ArithShare::zeros(own.len())
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        BitShare::zeros(own.rows(), own.width())
    }

    async fn mul<R: PowerOfTwo>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a.len(), b.len())?;
        Ok(ArithShare::zeros(a.len()))
    }

    async fn and(&mut self, a: &BitShare, b: &BitShare) -> Result<BitShare> {
        self.same_length(a.bits().words().len(), b.bits().words().len())?;
        Ok(BitShare::zeros(a.rows(), a.width()))
    }

    async fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        Ok(BitShare::zeros(a.len(), bits))
    }

    async fn negative(&mut self, a: &ArithShare<Z64>, _: usize) -> Result<BitShare> {
        Ok(BitShare::zeros(a.len(), 1))
    }

    async fn is_zero(&mut self, a: &ArithShare<Z64>, _: usize) -> Result<BitShare> {
        Ok(BitShare::zeros(a.len(), 1))
    }

    async fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> Result<ArithShare<R>> {
        Ok(ArithShare::zeros(bits.rows() * bits.width()))
    }

    async fn select<R: PowerOfTwo>(&mut self, choice: &BitShare, a: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(choice.rows(), a.len())?;
        Ok(ArithShare::zeros(a.len()))
    }

    async fn shuffle(&mut self, rows: Rows) -> Result<Rows> {
        Ok(rows)
    }

    async fn place(&mut self, rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
        self.same_length(rows.len(), places.len())?;
        Ok(rows)
    }

    fn statement(&mut self) -> &mut Statement {
        &mut self.0
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, permit: Permit<R>) -> Result<Option<Vec<R>>> {
        self.0.use_up(permit, Some(column.len()))?;
        Ok(Some(vec![R::default(); column.len()]))
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        labels.map(|_| Self(self.0.of_fork()))
    }

    fn is_first(&self) -> bool {
        false
    }

    fn fault(&self, fault: LocalFault) -> Error {
        Error::Local { step: StepPath::root(), fault }
    }
}
