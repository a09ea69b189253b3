//! A run that is held against earlier releases of its study.

use futures::future::try_join;
use mpc_core::Result;
use mpc_core::error::LocalFault;
use protocols::Engine;
use protocols::additive::Additive;
use query_planner::Compiled;
use query_planner::disclosure::Compared;
use query_planner::plan::Groups;

use super::aligned::aligned;
use super::near::{self, Asked};
use super::{Ended, Keep, Met, Own, Public, at_home, figures, link, unless_held};
use crate::govern::meeting::Extent;
use crate::govern::sets::{Planned, Sets};
use crate::local::Partials;

/// A run at this party, a site if it has partials.
pub struct Ledgered<'a> {
    pub compiled: &'a Compiled,
    pub own: Option<&'a [Partials]>,
    pub met: &'a Met<'a>,
}

impl Ledgered<'_> {
    /// Asks the ledger before any group key is agreed, if the plan says so, and gives what was asked about: the sets that need no agreed
    /// key. Are any of them too near to earlier ones? This site's part of them is kept before that is answered: the keys that follow are
    /// opened by all sites together, so that whatever comes of the run, every site can compare later questions with it.
    ///
    /// # Errors
    /// The protocols' own, and as `keep`.
    pub async fn ask_whole(&self, engine: &mut Additive, keep: Keep<'_>) -> Result<(Planned, bool)> {
        let plan = &self.compiled.joint;
        if !plan.is_asked_twice() {
            return Ok((Planned::default(), false));
        }
        let whole = Planned::whole(self.compiled).map_err(at_home)?;
        let (busy_ms, sets) = self.sets(engine, &whole)?;
        let asked = self.asked(engine, (&whole, busy_ms, sets.as_ref()), Compared::Whole)?;
        let keeping = kept(keep, Extent::Whole, sets);
        let close = match asked {
            Some(asked) => asked.alone(engine, keeping, link(plan)).await?,
            None => {
                keeping.await?;
                false
            }
        };
        Ok((whole, close))
    }

    /// The figures, beside the question whether the sets that were not asked about are far from earlier ones: nothing is revealed before
    /// that is answered, and that not before this site's part is kept.
    ///
    /// # Errors
    /// The protocols' own, and as `keep`.
    pub async fn figures(
        &self,
        engine: &mut Additive,
        (public, encoded): (&Public<'_>, &[Vec<Vec<u8>>]),
        (planned, whole): (Planned, Planned),
        keep: Keep<'_>,
    ) -> Result<Ended> {
        let plan = &self.compiled.joint;
        let (busy_ms, all) = self.sets(engine, &planned)?;
        let mut asked = if plan.is_asked_twice() {
            // Sets that are compared with each other are all asked about together.
            let left = if plan.side_by_side.is_empty() { planned.without(&whole) } else { planned };
            let (busy_ms, sets) = self.sets(engine, &left)?;
            self.asked(engine, (&left, busy_ms, sets.as_ref()), Compared::Groups)?
        } else {
            self.asked(engine, (&planned, busy_ms, all.as_ref()), Compared::All)?
        };
        let mut ledger = match &asked {
            Some(asked) => Some(asked.engine(engine, "ledger", link(plan)).await?),
            None => None,
        };
        let keeping = kept(keep, Extent::All, all);
        let ((), bins) = try_join(keeping, aligned(engine, public, self.own, asked.as_mut())).await?;
        let far = engine.hold();
        let asking = async {
            let close = match asked.as_ref().zip(ledger.as_mut()) {
                Some((asked, ledger)) => asked.answer(ledger, &bins.ledger, link(plan)).await?,
                None => false,
            };
            if !close {
                far.open();
            }
            Ok(close)
        };
        let inputs = Own::new(plan, encoded, self.own, engine.session().me().index());
        let work = unless_held(figures(engine, public, (inputs, encoded), bins.sums));
        let (close, opened) = try_join(asking, work).await?;
        Ok(match close {
            true => Ended::TooClose { after_keys: plan.sums.iter().any(is_agreed) },
            false => Ended::Released(opened),
        })
    }

    fn asked(
        &self,
        engine: &mut Additive,
        (planned, busy_ms, own): (&Planned, u64, Option<&Sets>),
        of: Compared,
    ) -> Result<Option<Asked>> {
        let plan = &self.compiled.joint;
        let side_by_side = planned.side_by_side(&plan.side_by_side);
        let lists_apart = planned.lists_apart(&plan.lists_apart);
        let (figures, present) = (planned.figures(), self.own.unwrap_or_default());
        let new = near::New { of, figures, side_by_side, lists_apart, busy_ms, own, present };
        Asked::new(engine.session(), self.compiled, new, self.met)
    }

    /// This site's part of these sets, and what working them out may take whoever waits for it.
    fn sets(&self, engine: &mut Additive, planned: &Planned) -> Result<(u64, Option<Sets>)> {
        let busy_ms =
            near::busy_ms(self.compiled, planned.figures()).map_err(|why| engine.fault(LocalFault::Other(why)))?;
        let (sites, me) = (&self.compiled.joint.sites, engine.session().me().index());
        let own = self.own.map(|partials| planned.own(sites, me, partials, (self.met.domain, busy_ms)));
        Ok((busy_ms, own))
    }
}

/// Keeps these sets, if this party has any.
async fn kept(keep: Keep<'_>, of: Extent, sets: Option<Sets>) -> Result<()> {
    match sets {
        Some(sets) => keep(of, sets).await.map_err(|error| at_home(error.to_string())),
        None => Ok(()),
    }
}

fn is_agreed(sum: &query_planner::plan::SecureSum) -> bool {
    matches!(sum.groups, Groups::Agreed { .. })
}
