//! Additive sharing over a ring: each site holds one summand. Semi-honest, dishonest majority.

mod adder;
mod and;
mod compare;
pub mod demand;
mod gate;
mod masking;
mod multiply;
pub(crate) mod opening;
mod prefix;
mod reveal;
mod rows;
pub(crate) mod traffic;

use demand::Link;
pub use gate::Gate;
use gate::Hold;
use mpc_core::error::LocalFault;
use mpc_core::{Bits, PowerOfTwo, Result, Ring, Session, Z64};

use crate::correlation::{Budget, Group, Pool};
use crate::engine::{Engine, Rows};
use crate::ot::Ot;
use crate::release::{Permit, Statement};
use crate::share::{ArithShare, BitShare};

/// The additive engine of one party in one session.
pub struct Additive {
    session: Session,
    statement: Statement,
    pool: Pool,
    /// None: whatever the statement says may be opened at once.
    hold: Option<Hold>,
}

impl Additive {
    /// Takes over a session that may open what the statement says.
    pub fn new(session: Session, statement: Statement) -> Self {
        Self { session, statement, pool: Pool::default(), hold: None }
    }

    /// Makes the correlated randomness that the steps to come will take. Data-independent: it may run before any input exists.
    ///
    /// # Errors
    /// The protocols' own.
    pub async fn prepare(&mut self, budget: &Budget) -> Result<()> {
        if !self.computes() {
            self.session.wait_longer(budget.patience());
        }
        self.pool.fill(&mut self.session, budget).await
    }

    /// From now on nothing is revealed, here or in forks, before the gate is opened; a reveal waits for it.
    pub fn hold(&mut self) -> Gate {
        let (gate, hold) = Gate::new();
        self.hold = Some(hold);
        gate
    }

    /// An engine of its own lanes that works beside this one and may open these of what this one might have; all parties ask for
    /// it at the same step. Its OTs come from the same base OTs, which are made now if they were not yet.
    ///
    /// # Errors
    /// As [`crate::ot::Ot::setup`].
    pub async fn beside(&mut self, label: &'static str, opens: &[&str], link: Link) -> Result<Self> {
        self.pool.choose(link);
        let ot = self.pool.ot(&mut self.session).await?;
        let [mut session] = self.session.fork([label]);
        let pool = Pool::over(ot.split(&mut session)?, link);
        Ok(Self { session, statement: self.statement.give(opens), pool, hold: None })
    }

    fn computes(&self) -> bool {
        self.session.is_site()
    }

    /// The session, for steps that are no engine operation.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The session and the OTs with all other sites, set up if that was not done yet.
    pub(crate) async fn session_and_ot(&mut self) -> Result<(&mut Session, &mut Ot)> {
        let ot = self.pool.ot(&mut self.session).await?;
        Ok((&mut self.session, ot))
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }
}

/// All computing sites.
fn all_sites(s: &Session) -> Group {
    s.parties().sites().collect()
}

/// The low bits of a number.
pub(crate) fn low(value: u64, bits: usize) -> u64 {
    if bits >= 64 { value } else { value & ((1 << bits) - 1) }
}

/// Shares of the bits of the sum of the sites' own numbers, for making edaBits.
pub(crate) async fn sum_of_private(s: &mut Session, pool: &mut Pool, own: &Bits) -> Result<Bits> {
    let levels = adder::levels(&all_sites(s));
    adder::sum_planes(s, pool, &levels, own, 0..own.width()).await
}

/// EdaBits of `bits` bits for so many words of rows, and the bit triples they are made of.
pub(crate) fn demand_edabits(budget: &mut Budget, sites: &Group, bits: usize, words: usize) {
    adder::demand(budget, &adder::levels(sites), words, bits, &(0..bits));
    budget.add_edabits(bits, words);
}

impl Engine for Additive {
    fn input<R: Ring>(&mut self, own: Vec<R>) -> ArithShare<R> {
        // A site's own column is its summand as it stands: it never leaves without the zero-share of `reveal`.
        ArithShare::new(own)
    }

    fn input_bits(&mut self, own: Bits) -> BitShare {
        BitShare::new(own)
    }

    async fn mul<R: PowerOfTwo>(&mut self, a: &ArithShare<R>, b: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(a.len(), b.len())?;
        match self.computes() {
            true => multiply::mul(&mut self.session, &mut self.pool, a, b).await,
            false => Ok(ArithShare::zeros(a.len())),
        }
    }

    async fn and(&mut self, a: &BitShare, b: &BitShare) -> Result<BitShare> {
        self.same_length(a.bits().words().len(), b.bits().words().len())?;
        if !self.computes() {
            return Ok(BitShare::zeros(a.rows(), a.width()));
        }
        let mut s = self.session.step("and");
        let (left, right) = (a.bits().words().to_vec(), b.bits().words().to_vec());
        let and = and::And { group: all_sites(&s), left, right };
        let words = and::and_all(&mut s, &mut self.pool, vec![and]).await?.remove(0);
        Ok(BitShare::new(Bits::from_words(a.rows(), a.width(), words)))
    }

    async fn a2b(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        match self.computes() {
            true => compare::a2b(&mut self.session, &mut self.pool, a, bits).await,
            false => Ok(BitShare::zeros(a.len(), bits)),
        }
    }

    async fn negative(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        match self.computes() {
            true => compare::negative(&mut self.session, &mut self.pool, a, bits).await,
            false => Ok(BitShare::zeros(a.len(), 1)),
        }
    }

    async fn is_zero(&mut self, a: &ArithShare<Z64>, bits: usize) -> Result<BitShare> {
        match self.computes() {
            true => compare::is_zero(&mut self.session, &mut self.pool, a, bits).await,
            false => Ok(BitShare::zeros(a.len(), 1)),
        }
    }

    async fn b2a<R: PowerOfTwo>(&mut self, bits: &BitShare) -> Result<ArithShare<R>> {
        match self.computes() {
            true => multiply::b2a(&mut self.session, &mut self.pool, bits).await,
            false => Ok(ArithShare::zeros(bits.rows() * bits.width())),
        }
    }

    async fn select<R: PowerOfTwo>(&mut self, choice: &BitShare, a: &ArithShare<R>) -> Result<ArithShare<R>> {
        self.same_length(choice.rows(), a.len())?;
        match self.computes() {
            true => multiply::select(&mut self.session, &mut self.pool, choice.bits(), a).await,
            false => Ok(ArithShare::zeros(a.len())),
        }
    }

    async fn shuffle(&mut self, rows: Rows) -> Result<Rows> {
        match self.computes() {
            true => rows::shuffle(&mut self.session, &mut self.pool, rows).await,
            false => Ok(rows),
        }
    }

    async fn place(&mut self, rows: Rows, places: ArithShare<Z64>) -> Result<Rows> {
        self.same_length(rows.len(), places.len())?;
        match self.computes() {
            true => rows::place(&mut self.session, &mut self.pool, rows, places).await,
            false => Ok(rows),
        }
    }

    fn statement(&mut self) -> &mut Statement {
        &mut self.statement
    }

    async fn reveal<R: Ring>(&mut self, column: ArithShare<R>, permit: Permit<R>) -> Result<Option<Vec<R>>> {
        if let Some(hold) = &self.hold
            && !hold.is_open().await
        {
            return Err(self.fault(LocalFault::Held));
        }
        let release = self.statement.use_up(permit, self.session.is_site().then_some(column.len()))?;
        if self.session.is_site() {
            reveal::open(&mut self.session, column, &release).await
        } else {
            reveal::receive(&mut self.session, &release).await.map(Some)
        }
    }

    fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Self; K] {
        let statement = &self.statement;
        let forks = self.session.fork(labels);
        let hold = &self.hold;
        forks.map(|session| Self { session, statement: statement.of_fork(), pool: Pool::default(), hold: hold.clone() })
    }

    fn is_first(&self) -> bool {
        self.session.me().index() == 0
    }

    fn fault(&self, fault: LocalFault) -> mpc_core::Error {
        self.session.local(fault)
    }
}
