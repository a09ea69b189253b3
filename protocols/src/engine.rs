//! The seam between operators and ways of sharing. Operators are written once, against this trait.

use std::future::Future;

use mpc_core::{Result, Ring};

use crate::release::Release;

/// Operations on columns that no party sees. A shared column is the element-wise sum of what the sites put in.
pub trait Engine: Sized + Send {
    /// A shared arithmetic column.
    type Arith<R: Ring>: Send;

    /// Every site's own column becomes one shared column: their sum. No message.
    fn input<R: Ring>(&mut self, own: Vec<R>) -> Self::Arith<R>;

    /// Element-wise sum. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn add<R: Ring>(&mut self, a: &Self::Arith<R>, b: &Self::Arith<R>) -> Result<Self::Arith<R>>;

    /// Element-wise difference. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn sub<R: Ring>(&mut self, a: &Self::Arith<R>, b: &Self::Arith<R>) -> Result<Self::Arith<R>>;

    /// Adds a column everybody knows. No message.
    ///
    /// # Errors
    /// `Local(Lengths)` when the columns differ in length.
    fn add_public<R: Ring>(&mut self, a: &Self::Arith<R>, public: &[R]) -> Result<Self::Arith<R>>;

    /// Announces a release whose length follows from an earlier one.
    fn declare(&mut self, release: Release);

    /// Opens a column to the audience its declaration names; the others get `None`.
    ///
    /// # Errors
    /// `Local(Undeclared)` when the plan does not declare it (or it was opened before), `Local(Lengths)` when it has
    /// another length, and the protocol's own.
    fn reveal<R: Ring>(
        &mut self,
        column: Self::Arith<R>,
        name: &str,
    ) -> impl Future<Output = Result<Option<Vec<R>>>> + Send;

    /// Independent continuations, to be awaited together. A fork takes its declared releases with it: fork "z64" may open
    /// "z64" and "z64/…", and nobody else may.
    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K];
}
