//! Additive sharing over a ring: each site holds one summand. Semi-honest, dishonest majority.

mod masking;
mod reveal;
mod share;

use mpc_core::error::LocalFault;
use mpc_core::{Result, Ring, Session};

pub use share::ArithShare;

use crate::engine::Engine;
use crate::release::{Declared, Release};

/// The additive engine of one party in one session.
pub struct Additive {
    session: Session,
    declared: Declared,
}

impl Additive {
    /// Takes over a session whose plan declares these releases.
    pub fn new(session: Session, releases: Vec<Release>) -> Self {
        Self { session, declared: Declared::new(releases) }
    }

    /// The session, for steps that are no engine operation.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }

    fn same_length<R: Ring>(&self, a: &ArithShare<R>, right: usize) -> Result<()> {
        let left = a.len();
        if left == right { Ok(()) } else { Err(self.session.local(LocalFault::Lengths { left, right })) }
    }
}

impl Engine for Additive {
    type Arith<R: Ring> = ArithShare<R>;

    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        // A site's own column is its summand as it stands: it never leaves without the zero-share of `reveal`.
        ArithShare::new(own)
    }

    fn add<R: Ring>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a, b.len())?;
        Ok(a.zip_with(b.column(), R::add))
    }

    fn sub<R: Ring>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a, b.len())?;
        Ok(a.zip_with(b.column(), R::sub))
    }

    fn add_public<R: Ring>(&mut self, a: &ArithShare<R>, public: &[R]) -> Result<ArithShare<R>> {
        self.same_length(a, public.len())?;
        // One site adds it, so that it enters the sum once.
        let first = self.session.me().index() == 0;
        Ok(a.zip_with(public, if first { R::add } else { |own, _| own }))
    }

    fn declare(&mut self, release: Release) {
        self.declared.declare(release);
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, name: &str) -> Result<Option<Vec<R>>> {
        let release = self.declared.take::<R>(&self.session, name)?;
        if self.session.is_site() {
            self.same_length(&column, release.elements)?;
            reveal::open(&mut self.session, column, &release).await
        } else {
            reveal::receive(&mut self.session, &release).await.map(Some)
        }
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let mut declared = labels.map(|label| self.declared.split(label)).into_iter();
        self.session.fork(labels).map(|session| Self { session, declared: declared.next().unwrap_or_default() })
    }
}
