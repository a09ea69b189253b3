//! Additive sharing over a ring: each site holds one summand. Semi-honest, dishonest majority.

mod masking;
mod reveal;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PowerOfTwo, Result, Ring, Session, Z64};

use crate::engine::{Engine, Rows};
use crate::release::{Declared, Release};
use crate::share::{ArithShare, BitShare};

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
}

impl Engine for Additive {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        // A site's own column is its summand as it stands: it never leaves without the zero-share of `reveal`.
        ArithShare::new(own)
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        BitShare::new(own)
    }

    async fn mul<R: PowerOfTwo>(&mut self, _a: &ArithShare<R>, _b: &ArithShare<R>) -> Result<ArithShare<R>> {
        Err(not_yet(&self.session))
    }

    async fn and(&mut self, _a: &BitShare, _b: &BitShare) -> Result<BitShare> {
        Err(not_yet(&self.session))
    }

    async fn a2b(&mut self, _a: &ArithShare<Z64>, _bits: usize) -> Result<BitShare> {
        Err(not_yet(&self.session))
    }

    async fn negative(&mut self, _a: &ArithShare<Z64>, _bits: usize) -> Result<BitShare> {
        Err(not_yet(&self.session))
    }

    async fn is_zero(&mut self, _a: &ArithShare<Z64>, _bits: usize) -> Result<BitShare> {
        Err(not_yet(&self.session))
    }

    async fn b2a<R: PowerOfTwo>(&mut self, _bits: &BitShare) -> Result<ArithShare<R>> {
        Err(not_yet(&self.session))
    }

    async fn select<R: PowerOfTwo>(&mut self, _choice: &BitShare, _a: &ArithShare<R>) -> Result<ArithShare<R>> {
        Err(not_yet(&self.session))
    }

    async fn shuffle(&mut self, _rows: Rows) -> Result<Rows> {
        Err(not_yet(&self.session))
    }

    async fn place(&mut self, _rows: Rows, _places: ArithShare<Z64>) -> Result<Rows> {
        Err(not_yet(&self.session))
    }

    fn declare(&mut self, release: Release) {
        self.declared.declare(release);
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, name: &str) -> Result<Option<Vec<R>>> {
        let release = self.declared.take::<R>(&self.session, name)?;
        if self.session.is_site() {
            self.same_length(column.len(), release.elements)?;
            reveal::open(&mut self.session, column, &release).await
        } else {
            reveal::receive(&mut self.session, &release).await.map(Some)
        }
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let mut declared = labels.map(|label| self.declared.split(label)).into_iter();
        self.session.fork(labels).map(|session| Self { session, declared: declared.next().unwrap_or_default() })
    }

    fn is_first(&self) -> bool {
        self.session.me().index() == 0
    }

    fn fault(&self, fault: LocalFault) -> mpc_core::Error {
        self.session.local(fault)
    }
}

fn not_yet(session: &Session) -> mpc_core::Error {
    session.local(LocalFault::Other("not built in".into()))
}
