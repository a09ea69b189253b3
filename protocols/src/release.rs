//! What may be opened: a statement, made before the run, is the only source of the permits that opening takes.
//!
//! Nothing but a [`Permit`] opens a column, and nobody can make one:
//!
//! ```compile_fail,E0451
//! use protocols::{Audience, Permit};
//! let forged: Permit<mpc_core::Z64> = Permit { parts: Vec::new(), audience: Audience::Everyone };
//! ```
//!
//! A name is no permit:
//!
//! ```compile_fail,E0308
//! use protocols::{ArithShare, Engine};
//! async fn open<E: Engine>(engine: &mut E, secret: ArithShare<mpc_core::Z64>) {
//!     let _ = engine.reveal(secret, "answer").await;
//! }
//! ```
//!
//! It is used up by what it opens, and it cannot be copied:
//!
//! ```compile_fail,E0382
//! use protocols::{ArithShare, Engine, Permit};
//! async fn twice<E: Engine>(e: &mut E, a: ArithShare<mpc_core::Z64>, b: ArithShare<mpc_core::Z64>, permit: Permit<mpc_core::Z64>) {
//!     let _ = e.reveal(a, permit).await;
//!     let _ = e.reveal(b, permit).await;
//! }
//! ```
//!
//! ```compile_fail,E0277
//! fn copies<T: Clone>() {}
//! copies::<protocols::Permit<mpc_core::Z64>>();
//! ```
//!
//! With a permit of the statement it works:
//!
//! ```
//! use protocols::{ArithShare, Engine};
//! async fn open<E: Engine>(e: &mut E, secret: ArithShare<mpc_core::Z64>) -> mpc_core::Result<Option<Vec<mpc_core::Z64>>> {
//!     let permit = e.permit("answer", secret.len())?;
//!     e.reveal(secret, permit).await
//! }
//! ```

pub mod noise;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use mpc_core::error::LocalFault;
use mpc_core::step::StepPath;
use mpc_core::{Error, Result, Ring};

/// Who receives an opened column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Sealed: only the analyst, a party of its own.
    Analyst,
    /// Every site, and the analyst if there is one.
    Everyone,
}

/// What kind of thing is disclosed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A figure.
    Value,
    /// How many there are of something.
    Size,
    /// Which come first.
    Order,
    /// Which values occur.
    Keys,
    /// Yes or no.
    Bit,
}

/// One thing that a statement lets be opened, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in the plan.
    pub id: String,
    /// Who receives it.
    pub audience: Audience,
    /// What it is.
    pub kind: Kind,
}

impl Item {
    /// Of these parts.
    pub fn new(id: impl Into<String>, audience: Audience, kind: Kind) -> Self {
        Self { id: id.into(), audience, kind }
    }

    /// A figure that everybody receives.
    pub fn to_everyone(id: impl Into<String>) -> Self {
        Self::new(id, Audience::Everyone, Kind::Value)
    }
}

/// Something that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// As stated.
    pub item: Item,
    /// How many elements.
    pub elements: usize,
    /// [`Ring::NAME`] of its elements.
    pub ring: &'static str,
}

/// All that one run may open, and what it did open. Not `Clone`: each id is opened at most once. An engine owns the
/// statement of its run and takes only permits of that one.
#[derive(Debug)]
pub struct Statement {
    may: May,
    granted: BTreeSet<String>,
    record: Record,
}

#[derive(Debug)]
enum May {
    Open(BTreeMap<String, Item>),
    /// A rehearsal's: its engine has no parties, so nothing can be opened to anybody.
    Anything,
}

type Record = Arc<Mutex<Vec<Opening>>>;

impl Statement {
    /// What a plan discloses. An id that is stated twice is one, and sealed if either is.
    pub fn new(items: Vec<Item>) -> Self {
        let mut known: BTreeMap<String, Item> = BTreeMap::new();
        for item in items {
            match known.get_mut(&item.id) {
                Some(first) if item.audience == Audience::Analyst => first.audience = Audience::Analyst,
                Some(_) => {}
                None => drop(known.insert(item.id.clone(), item)),
            }
        }
        Self::of(May::Open(known), Record::default())
    }

    /// For engines that only count.
    pub(crate) fn rehearsal() -> Self {
        Self::of(May::Anything, Record::default())
    }

    /// A fork's own, which grants nothing: a fork opens what it has permits for.
    pub(crate) fn of_fork(&self) -> Self {
        Self::of(May::Open(BTreeMap::new()), self.record.clone())
    }

    fn of(may: May, record: Record) -> Self {
        Self { may, granted: BTreeSet::new(), record }
    }

    /// The right to open one column, to whom the statement says. To be asked for when its length is known; once.
    ///
    /// # Errors
    /// `Local(Undeclared)` when the statement does not name it, or was asked for it before.
    pub fn permit<R: Ring>(&mut self, id: &str, elements: usize) -> Result<Permit<R>> {
        let item = self.grant(id)?;
        let audience = item.audience;
        Ok(self.permit_of(vec![(item, elements)], audience))
    }

    /// The right to open one column that holds these, end to end, to one audience.
    ///
    /// # Errors
    /// As [`Statement::permit`]; `Local(Undeclared)` also for one that is stated to another audience.
    pub fn permit_row<R: Ring>(&mut self, parts: Vec<(String, usize)>, audience: Audience) -> Result<Permit<R>> {
        let mut granted = Vec::with_capacity(parts.len());
        for (id, elements) in parts {
            let item = self.grant(&id)?;
            if item.audience != audience && !matches!(self.may, May::Anything) {
                return Err(undeclared(format!("{id} to {audience:?}")));
            }
            granted.push((item, elements));
        }
        Ok(self.permit_of(granted, audience))
    }

    fn grant(&mut self, id: &str) -> Result<Item> {
        let item = match &self.may {
            May::Open(items) => items.get(id).cloned(),
            May::Anything => Some(Item::new(id, Audience::Everyone, Kind::Value)),
        };
        let item = item.ok_or_else(|| undeclared(id.into()))?;
        if self.granted.insert(id.into()) { Ok(item) } else { Err(undeclared(format!("{id}, a second time,"))) }
    }

    fn permit_of<R: Ring>(&self, parts: Vec<(Item, usize)>, audience: Audience) -> Permit<R> {
        Permit { parts, audience, relayed: false, record: self.record.clone(), ring: PhantomData }
    }

    /// What was opened so far, by this party's view: also by forks, and also what was given up half-way.
    pub fn opened(&self) -> Vec<Opening> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses a permit up, just before anything is sent. `length` is that of the column, where this party has one.
    ///
    /// # Errors
    /// `Local(Undeclared)` for a permit of another statement, `Local(Lengths)` when the column has another length.
    pub(crate) fn use_up<R: Ring>(&self, permit: Permit<R>, length: Option<usize>) -> Result<Release> {
        if !Arc::ptr_eq(&permit.record, &self.record) {
            let ids: Vec<String> = permit.parts.into_iter().map(|(item, _)| item.id).collect();
            return Err(undeclared(format!("{} of another run", ids.join(", "))));
        }
        let elements = permit.elements();
        if let Some(left) = length.filter(|length| *length != elements) {
            return Err(local(LocalFault::Lengths { left, right: elements }));
        }
        let audience = if permit.relayed { Audience::Analyst } else { permit.audience };
        let openings = permit.parts.into_iter().map(|(item, elements)| Opening { item, elements, ring: R::NAME });
        self.record.lock().unwrap_or_else(PoisonError::into_inner).extend(openings);
        Ok(Release { audience, elements })
    }
}

/// The right to open one column, once.
#[must_use]
#[derive(Debug)]
pub struct Permit<R> {
    parts: Vec<(Item, usize)>,
    audience: Audience,
    relayed: bool,
    record: Record,
    ring: PhantomData<fn() -> R>,
}

impl<R: Ring> Permit<R> {
    /// How many elements it is for.
    pub fn elements(&self) -> usize {
        self.parts.iter().map(|(_, elements)| elements).sum()
    }

    /// The first thing it opens; empty for an empty column.
    pub fn id(&self) -> &str {
        self.parts.first().map_or("", |(item, _)| item.id.as_str())
    }

    /// Opens to the analyst alone, who reads the column and tells the stated audience what it says.
    pub fn by_way_of_the_analyst(mut self) -> Self {
        self.relayed = true;
        self
    }
}

/// A permit that was used up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    pub elements: usize,
    pub audience: Audience,
}

fn undeclared(what: String) -> Error {
    local(LocalFault::Undeclared(what))
}

fn local(fault: LocalFault) -> Error {
    Error::Local { step: StepPath::root(), fault }
}

#[cfg(test)]
mod tests {
    use mpc_core::Z64;

    use super::*;

    fn statement() -> Statement {
        Statement::new(vec![Item::to_everyone("a"), Item::new("b", Audience::Analyst, Kind::Keys)])
    }

    fn is_refused<T: std::fmt::Debug>(result: Result<T>) -> bool {
        matches!(result, Err(Error::Local { fault: LocalFault::Undeclared(_), .. }))
    }

    #[test]
    fn what_is_not_stated_is_not_permitted_and_nothing_is_permitted_twice() {
        let mut statement = statement();
        assert!(is_refused(statement.permit::<Z64>("c", 1)));
        let _unused = statement.permit::<Z64>("a", 1).unwrap();
        assert!(is_refused(statement.permit::<Z64>("a", 1)));
        assert!(is_refused(statement.permit_row::<Z64>(vec![("a".into(), 1)], Audience::Everyone)));
        assert!(is_refused(statement.of_fork().permit::<Z64>("b", 1)), "a fork has no statement of its own");
    }

    #[test]
    fn one_column_has_one_audience() {
        let both = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        assert!(is_refused(statement().permit_row::<Z64>(both.clone(), Audience::Everyone)));
        assert!(is_refused(statement().permit_row::<Z64>(both, Audience::Analyst)));
    }

    #[test]
    fn an_id_that_is_stated_twice_is_opened_once_and_sealed_if_either_is() {
        let sealed = Item::new("a", Audience::Analyst, Kind::Value);
        for items in [vec![Item::to_everyone("a"), sealed.clone()], vec![sealed.clone(), Item::to_everyone("a")]] {
            let mut statement = Statement::new(items);
            let permit = statement.permit::<Z64>("a", 1).unwrap();
            assert!(is_refused(statement.permit::<Z64>("a", 1)));
            assert_eq!(statement.use_up(permit, None).unwrap().audience, Audience::Analyst);
        }
    }

    #[test]
    fn a_permit_of_another_statement_or_of_a_rehearsal_opens_nothing() {
        let mut ours = statement();
        for mut other in
            [statement(), Statement::rehearsal(), ours.of_fork().of_fork(), Statement::rehearsal().of_fork()]
        {
            if let Ok(permit) = other.permit::<Z64>("a", 1) {
                assert!(is_refused(ours.use_up(permit, Some(1))));
            }
        }
        assert_eq!(ours.opened(), []);
        let permit = ours.permit::<Z64>("a", 1).unwrap();
        assert!(ours.of_fork().use_up(permit, Some(1)).is_ok(), "a fork carries the permits of its run");
    }

    #[test]
    fn what_was_opened_is_recorded_with_its_length_also_by_forks() {
        let mut statement = statement();
        let wrong = statement.permit::<Z64>("a", 1).unwrap();
        let lengths = statement.use_up(wrong, Some(2)).unwrap_err();
        assert!(matches!(lengths, Error::Local { fault: LocalFault::Lengths { left: 2, right: 1 }, .. }));
        let permit = statement.permit::<Z64>("b", 3).unwrap();
        statement.of_fork().use_up(permit, Some(3)).unwrap();
        let b = Item::new("b", Audience::Analyst, Kind::Keys);
        assert_eq!(statement.opened(), [Opening { item: b, elements: 3, ring: Z64::NAME }]);
    }
}
