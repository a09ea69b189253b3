//! The plaintext twin of every engine: the same operations on columns that all parties see. For tests only: conformance
//! suites run a program on both and compare.

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PowerOfTwo, Result, Ring, Session, Z64};

use crate::additive::low;
use crate::engine::{Engine, Rows};
use crate::release::{Audience, Permit, Statement};
use crate::share::{ArithShare, BitShare};

/// An engine without any secrecy: whatever is not linear is told to every site, computed in plain Rust, and put back as the
/// first site's summand.
pub struct Clear {
    session: Session,
    statement: Statement,
}

impl Clear {
    /// Takes over a session that may open what the statement says.
    pub fn new(session: Session, statement: Statement) -> Self {
        Self { session, statement }
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// The column itself, at every site.
    async fn tell<R: Ring>(&mut self, a: &ArithShare<R>) -> Result<Vec<R>> {
        let mut s = self.session.step("tell");
        let mut sum = ArithShare::zeros(a.len());
        if s.is_site() {
            s.exchange(a.column()).await?.iter().for_each(|part| R::add_columns(sum.column_mut(), part));
        }
        Ok(sum.into_column())
    }

    /// The bits themselves, at every site.
    async fn tell_bits(&mut self, a: &BitShare) -> Result<Bits> {
        let mut s = self.session.step("tell");
        let mut sum = Bits::zeros(a.rows(), a.width());
        if s.is_site() {
            let parts = s.exchange(a.bits().words()).await?;
            parts.iter().for_each(|part| mpc_core::bits::xor_words(sum.words_mut(), part));
        }
        Ok(sum)
    }

    fn put<R: Ring>(&self, column: Vec<R>) -> ArithShare<R> {
        if self.is_first() { ArithShare::new(column) } else { ArithShare::zeros(column.len()) }
    }

    fn put_bits(&self, bits: Bits) -> BitShare {
        if self.is_first() { BitShare::new(bits) } else { BitShare::zeros(bits.rows(), bits.width()) }
    }

    async fn test(&mut self, a: &ArithShare<Z64>, holds: impl Fn(u64) -> bool + Send) -> Result<BitShare> {
        let column: Vec<u64> = self.tell(a).await?.iter().map(|x| u64::from(holds(x.0))).collect();
        Ok(self.put_bits(Bits::from_column(&column, 1)))
    }
}

impl Engine for Clear {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        ArithShare::new(own)
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        BitShare::new(own)
    }

    async fn mul<R: PowerOfTwo>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a.len(), b.len())?;
        let (a, b) = (self.tell(a).await?, self.tell(b).await?);
        Ok(self.put(a.iter().zip(&b).map(|(a, b)| a.mul(*b)).collect()))
    }

    async fn and(&mut self, a: &BitShare, b: &BitShare) -> Result<BitShare> {
        self.same_length(a.bits().words().len(), b.bits().words().len())?;
        let (mut a, b) = (self.tell_bits(a).await?, self.tell_bits(b).await?);
        a.words_mut().iter_mut().zip(b.words()).for_each(|(a, b)| *a &= b);
        Ok(self.put_bits(a))
    }

    async fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        let column: Vec<u64> = self.tell(a).await?.iter().map(|x| x.0).collect();
        Ok(self.put_bits(Bits::from_column(&column, bits)))
    }

    async fn negative(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        self.test(a, |x| x >> (bits - 1) & 1 == 1).await
    }

    async fn is_zero(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        self.test(a, |x| low(x, bits) == 0).await
    }

    async fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> Result<ArithShare<R>> {
        let bits = self.tell_bits(bits).await?;
        let places = (0..bits.width()).flat_map(|plane| (0..bits.rows()).map(move |row| (row, plane)));
        Ok(self.put(places.map(|(row, plane)| R::from_low(u128::from(bits.get(row, plane)))).collect()))
    }

    async fn select<R: PowerOfTwo>(&mut self, choice: &BitShare, a: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(choice.rows(), a.len())?;
        let (choice, a) = (self.tell_bits(choice).await?, self.tell(a).await?);
        Ok(self.put(a.iter().enumerate().map(|(i, a)| if choice.get(i, 0) { *a } else { R::default() }).collect()))
    }

    async fn shuffle(&mut self, rows: Rows) -> Result<Rows> {
        // A public order serves a test as well as a secret one.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.rotate_left(rows.len() / 3);
        Ok(rows.gather(&order))
    }

    async fn place(&mut self, rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
        self.same_length(rows.len(), places.len())?;
        let places: Vec<usize> = self.tell(&places).await?.iter().map(|x| x.0 as usize).collect();
        if !self.session.is_site() {
            return Ok(rows);
        }
        let order =
            inverse(&places).ok_or_else(|| self.fault(LocalFault::Other("places are no permutation".into())))?;
        Ok(rows.gather(&order))
    }

    fn statement(&mut self) -> &mut Statement {
        &mut self.statement
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, permit: Permit<R>) -> Result<Option<Vec<R>>> {
        let release = self.statement.use_up(permit, self.session.is_site().then_some(column.len()))?;
        let mut s = self.session.step("reveal in the clear");
        let analyst = s.parties().analyst();
        if s.is_site() {
            let audience: Vec<_> = match release.audience {
                Audience::Analyst => analyst.into_iter().collect(),
                Audience::Everyone => s.other_sites().into_iter().chain(analyst).collect(),
            };
            s.send_all(&audience, column.column())?;
            if release.audience == Audience::Analyst {
                return Ok(None);
            }
        }
        let mut sum = vec![R::default(); release.elements];
        for site in s.parties().sites() {
            let part = if site == s.me() { column.column().to_vec() } else { s.recv(site, release.elements).await? };
            R::add_columns(&mut sum, &part);
        }
        Ok(Some(sum))
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let statement = &self.statement;
        self.session.fork(labels).map(|session| Self { session, statement: statement.of_fork() })
    }

    fn is_first(&self) -> bool {
        self.session.me().index() == 0
    }

    fn fault(&self, fault: LocalFault) -> mpc_core::Error {
        self.session.local(fault)
    }
}

/// The order that brings row i to place `places[i]`; None when the places are no permutation.
pub(crate) fn inverse(places: &[usize]) -> Option<Vec<usize>> {
    let mut order = vec![usize::MAX; places.len()];
    for (row, place) in places.iter().enumerate() {
        let slot = order.get_mut(*place).filter(|slot| **slot == usize::MAX)?;
        *slot = row;
    }
    Some(order)
}
