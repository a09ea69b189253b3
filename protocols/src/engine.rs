//! The seam between operators and ways of sharing. Operators are written once, against this trait.

use std::future::Future;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PowerOfTwo, Result, Ring, Z64};

use crate::release::{Permit, Statement};
use crate::share::{ArithShare, BitShare};

/// Rows of shared data that move together.
#[derive(Debug)]
pub struct Rows {
    /// Bits of every row.
    pub bits: BitShare,
    /// Numbers of every row.
    pub columns: Vec<ArithShare<Z64>>,
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.bits.rows()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows at public positions, in this order.
    pub fn gather(&self, at: &[usize]) -> Self {
        Self { bits: self.bits.gather(at), columns: self.columns.iter().map(|c| c.gather(at)).collect() }
    }
}

/// Operations on columns that no party sees. A shared column is the element-wise sum of what the sites put in, a shared bit
/// matrix the XOR. At a party that is no site (an analyst) every operation but `reveal` is empty: it returns zeros of the
/// right shape, so that all parties run the same program.
///
/// Rounds and bytes of each operation are those of the engine; see [`crate::cost`].
pub trait Engine: Sized + Send {
    /// Every site's own column becomes one shared column: their sum. No message.
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R>;

    /// Every site's own bits become one shared matrix: their XOR. No message.
    fn input_bits(&mut self, own: Bits) -> BitShare;

    /// Element-wise sum. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn add<R: Ring>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a.len(), b.len())?;
        Ok(a.zip_with(b.column(), R::add))
    }

    /// Element-wise difference. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn sub<R: Ring>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a.len(), b.len())?;
        Ok(a.zip_with(b.column(), R::sub))
    }

    /// Adds a column everybody knows. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn add_public<R: Ring>(&mut self, a: &ArithShare<R>, public: &[R]) -> Result<ArithShare<R>> {
        self.same_length(a.len(), public.len())?;
        // One site adds it, so that it enters the sum once.
        let first = self.is_first();
        Ok(a.zip_with(public, if first { R::add } else { |own, _| own }))
    }

    /// XOR with bits everybody knows. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the shapes differ.
    fn xor_public(&mut self, a: &BitShare, public: &Bits) -> Result<BitShare> {
        self.same_length(a.bits().words().len(), public.words().len())?;
        let mut out = a.bits().clone();
        if self.is_first() {
            out.xor_assign(public);
        }
        Ok(BitShare::new(out))
    }

    /// Every bit flipped. No message.
    fn not(&mut self, a: &BitShare) -> BitShare {
        let mut out = a.bits().clone();
        if self.is_first() {
            out.words_mut().iter_mut().for_each(|w| *w = !*w);
        }
        BitShare::new(out)
    }

    /// Element-wise product.
    ///
    /// # Errors
    /// `Local(Lengths)`, `Local(Budget)` when the pool holds too few triples, and the protocol's own.
    fn mul<R: PowerOfTwo>(
        &mut self,
        a: &ArithShare<R>,
        b: &ArithShare<R>,
    ) -> impl Future<Output = Result<ArithShare<R>>> + Send;

    /// Element-wise AND.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn and(&mut self, a: &BitShare, b: &BitShare) -> impl Future<Output = Result<BitShare>> + Send;

    /// The low `bits` bits of every number.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> impl Future<Output = Result<BitShare>> + Send;

    /// One bit: is the number, read as a signed number of `bits` bits, below zero? (Bit `bits − 1` of it.)
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn negative(&mut self, a: &ArithShare<Z64>, bits: usize) -> impl Future<Output = Result<BitShare>> + Send;

    /// One bit: are the low `bits` bits of the number all zero?
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn is_zero(&mut self, a: &ArithShare<Z64>, bits: usize) -> impl Future<Output = Result<BitShare>> + Send;

    /// Every bit as a number 0 or 1, plane by plane: element `plane·rows + row`.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> impl Future<Output = Result<ArithShare<R>>> + Send;

    /// The element where the bit is 1, zero where it is 0.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn select<R: PowerOfTwo>(
        &mut self,
        choice: &BitShare,
        a: &ArithShare<R>,
    ) -> impl Future<Output = Result<ArithShare<R>>> + Send;

    /// The rows in an order that is uniform and that nobody knows.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn shuffle(&mut self, rows: Rows) -> impl Future<Output = Result<Rows>> + Send;

    /// Applies a shared permutation: row i goes to place `places[i]`, which must be a permutation of 0 to n − 1. Nobody
    /// learns it: rows and places are shuffled together, and only shuffled places are opened to the sites.
    ///
    /// # Errors
    /// As [`Engine::mul`]; `Local(Other)` when the places are no permutation.
    fn place(&mut self, rows: Rows, places: ArithShare<Z64>) -> impl Future<Output = Result<Rows>> + Send;

    /// One bit: a < b, where the difference fits a signed number of `bits` bits: −2^(bits−1) ≤ a − b < 2^(bits−1).
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn less_than(
        &mut self,
        a: &ArithShare<Z64>,
        b: &ArithShare<Z64>,
        bits: usize,
    ) -> impl Future<Output = Result<BitShare>> + Send {
        async move {
            let difference = self.sub(a, b)?;
            self.negative(&difference, bits).await
        }
    }

    /// One bit: a < b for numbers b that everybody knows; bits as for [`Engine::less_than`].
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn less_than_public(
        &mut self,
        a: &ArithShare<Z64>,
        b: &[Z64],
        bits: usize,
    ) -> impl Future<Output = Result<BitShare>> + Send {
        async move {
            let minus: Vec<Z64> = b.iter().map(|b| Z64::default().sub(*b)).collect();
            let difference = self.add_public(a, &minus)?;
            self.negative(&difference, bits).await
        }
    }

    /// One bit: are the low `bits` bits of both numbers the same?
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn equals(
        &mut self,
        a: &ArithShare<Z64>,
        b: &ArithShare<Z64>,
        bits: usize,
    ) -> impl Future<Output = Result<BitShare>> + Send {
        async move {
            let difference = self.sub(a, b)?;
            self.is_zero(&difference, bits).await
        }
    }

    /// `choice ? a : b`, element-wise.
    ///
    /// # Errors
    /// As [`Engine::mul`].
    fn mux<R: PowerOfTwo>(
        &mut self,
        choice: &BitShare,
        a: &ArithShare<R>,
        b: &ArithShare<R>,
    ) -> impl Future<Output = Result<ArithShare<R>>> + Send {
        async move {
            let difference = self.sub(a, b)?;
            let chosen = self.select(choice, &difference).await?;
            self.add(b, &chosen)
        }
    }

    /// What this run may open.
    fn statement(&mut self) -> &mut Statement;

    /// The right to open a column of so many elements: [`Statement::permit`].
    ///
    /// # Errors
    /// `Local(Undeclared)` when the statement does not name it, or was asked for it before.
    fn permit<R: Ring>(&mut self, id: &str, elements: usize) -> Result<Permit<R>> {
        self.statement().permit(id, elements)
    }

    /// Opens a column to the audience its permit names; the others get `None`.
    ///
    /// # Errors
    /// `Local(Undeclared)` for a permit of another run, `Local(Lengths)` when the column has another length, and the
    /// protocol's own.
    fn reveal<R: Ring>(
        &mut self,
        column: ArithShare<R>,
        permit: Permit<R>,
    ) -> impl Future<Output = Result<Option<Vec<R>>>> + Send;

    /// Independent continuations, to be awaited together. A fork's statement grants nothing: what it is to open, it opens
    /// with permits from before. Forks hold no correlations: they add, subtract and reveal.
    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K];

    /// Is this party the one that adds public numbers?
    fn is_first(&self) -> bool;

    /// An error of our own, here.
    fn fault(&self, fault: LocalFault) -> mpc_core::Error;

    /// # Errors
    /// `Local(Lengths)` when the lengths differ.
    fn same_length(&self, left: usize, right: usize) -> Result<()> {
        if left == right { Ok(()) } else { Err(self.fault(LocalFault::Lengths { left, right })) }
    }
}
