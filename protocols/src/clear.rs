//! The plaintext twin of every engine: the same operations on columns that all parties see. For tests only: conformance
//! suites run a program on both and compare.

use mpc_core::error::LocalFault;
use mpc_core::{Result, Ring, Session};

use crate::engine::Engine;
use crate::release::{Audience, Declared, Release};

/// An engine without any secrecy.
pub struct Clear {
    session: Session,
    declared: Declared,
}

/// A site's summand, in the clear.
#[derive(Debug, Clone, PartialEq)]
pub struct ClearColumn<R>(Vec<R>);

impl Clear {
    /// Takes over a session whose plan declares these releases.
    pub fn new(session: Session, releases: Vec<Release>) -> Self {
        Self { session, declared: Declared::new(releases) }
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }

    fn zip<R: Ring>(&self, a: &[R], b: &[R], operation: fn(R, R) -> R) -> Result<ClearColumn<R>> {
        if a.len() != b.len() {
            return Err(self.session.local(LocalFault::Lengths { left: a.len(), right: b.len() }));
        }
        Ok(ClearColumn(a.iter().zip(b).map(|(x, y)| operation(*x, *y)).collect()))
    }
}

impl Engine for Clear {
    type Arith<R: Ring> = ClearColumn<R>;

    fn input<R: Ring>(&mut self, own: Vec<R>) -> ClearColumn<R> {
        ClearColumn(own)
    }

    fn add<R: Ring>(&mut self, a: &ClearColumn<R>, b: &ClearColumn<R>) -> Result<ClearColumn<R>> {
        self.zip(&a.0, &b.0, R::add)
    }

    fn sub<R: Ring>(&mut self, a: &ClearColumn<R>, b: &ClearColumn<R>) -> Result<ClearColumn<R>> {
        self.zip(&a.0, &b.0, R::sub)
    }

    fn add_public<R: Ring>(&mut self, a: &ClearColumn<R>, public: &[R]) -> Result<ClearColumn<R>> {
        let first = self.session.me().index() == 0;
        self.zip(&a.0, public, if first { R::add } else { |own, _| own })
    }

    fn declare(&mut self, release: Release) {
        self.declared.declare(release);
    }

    async fn reveal<R: Ring>(&mut self, column: ClearColumn<R>, name: &str) -> Result<Option<Vec<R>>> {
        let release = self.declared.take::<R>(&self.session, name)?;
        let mut s = self.session.step("reveal in the clear");
        let analyst = s.parties().analyst();
        if s.is_site() {
            if column.0.len() != release.elements {
                return Err(s.local(LocalFault::Lengths { left: column.0.len(), right: release.elements }));
            }
            let audience: Vec<_> = match release.audience {
                Audience::Analyst => analyst.into_iter().collect(),
                Audience::Everyone => s.other_sites().into_iter().chain(analyst).collect(),
            };
            s.send_all(&audience, &column.0)?;
            if release.audience == Audience::Analyst {
                return Ok(None);
            }
        }
        let mut sum = vec![R::default(); release.elements];
        for site in s.parties().sites() {
            let part = if site == s.me() { column.0.clone() } else { s.recv(site, release.elements).await? };
            R::add_columns(&mut sum, &part);
        }
        Ok(Some(sum))
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let mut declared = labels.map(|label| self.declared.split(label)).into_iter();
        self.session.fork(labels).map(|session| Self { session, declared: declared.next().unwrap_or_default() })
    }
}
