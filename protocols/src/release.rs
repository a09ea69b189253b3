//! What may be opened: declared before the run, opened once, by name.

use mpc_core::error::LocalFault;
use mpc_core::{Result, Ring, Session};

/// Who receives an opened column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Sealed: only the analyst, a party of its own.
    Analyst,
    /// Every site, and the analyst if there is one.
    Everyone,
}

/// A column that the plan declares to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name in the plan.
    pub name: String,
    /// How many elements it has.
    pub elements: usize,
    /// [`Ring::NAME`] of its elements.
    pub ring: &'static str,
    /// Who receives it.
    pub audience: Audience,
}

impl Release {
    /// Declares a column of `elements` elements of `R`.
    pub fn of<R: Ring>(name: impl Into<String>, elements: usize, audience: Audience) -> Self {
        Self { name: name.into(), elements, ring: R::NAME, audience }
    }
}

/// The releases a plan declares, each to be used once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared(Vec<Release>);

impl Declared {
    /// Of a plan.
    pub fn new(releases: Vec<Release>) -> Self {
        Self(releases)
    }

    /// Adds one that became known during the run (its length follows from an earlier release).
    pub fn declare(&mut self, release: Release) {
        self.0.push(release);
    }

    /// Takes out the releases of a fork: those named `label` or `label/…`.
    pub fn split(&mut self, label: &str) -> Declared {
        let ours =
            |r: &Release| r.name.strip_prefix(label).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let (fork, rest) = std::mem::take(&mut self.0).into_iter().partition(ours);
        self.0 = rest;
        Declared(fork)
    }

    /// Takes the named release out: it cannot be opened twice.
    ///
    /// # Errors
    /// `Local(Undeclared)` when the plan does not declare it, or declares another ring.
    pub fn take<R: Ring>(&mut self, session: &Session, name: &str) -> Result<Release> {
        let at = self.0.iter().position(|r| r.name == name && r.ring == R::NAME);
        at.map(|i| self.0.swap_remove(i)).ok_or_else(|| session.local(LocalFault::Undeclared(name.into())))
    }
}
