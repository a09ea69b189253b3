//! What a check takes and sends, known before it runs.

use std::time::Duration;

use mpc_core::{PartyId, Result};

use super::counter::Ands;
use super::{Check, Form, opened, telescope};
use crate::additive::demand::{self, Link};
use crate::additive::traffic;
use crate::correlation::{Budget, Group};
use crate::cost::{self, Preparation, SiteCost};
use crate::matching::empty;
use crate::relational::patients;
use crate::release::Audience;

impl Check {
    /// What [`Check::decide`] takes from the pool.
    ///
    /// # Errors
    /// None: it is counted on zeros.
    pub fn budget(&self, link: Link) -> Result<Budget> {
        let segments = empty(&self.shapes, &self.runs);
        demand::budget(self.shapes.len(), link, async |e| {
            let far = match self.ledgered.form {
                Form::Once => self.far(e, &segments).await?,
                Form::Telescoped => {
                    self.flagged(e, &segments).await?;
                    self.far_counts(&mut Ands::new(e), &self.no_counts()).await?
                }
            };
            opened(e, &far, "").await
        })
    }

    /// How long whoever waits for the answer should be ready to wait.
    ///
    /// # Errors
    /// As [`Check::budget`].
    pub fn patience(&self, link: Link) -> Result<Duration> {
        let held = match self.ledgered.form {
            Form::Once => 0,
            Form::Telescoped => self.ledgered.telescoped_ots(self.shapes.len(), self.rows()),
        };
        // As for the correlations: thirty times what OTs take. Who has no circuit knows what it takes from those who have.
        let circuits = if self.counted.is_some() { Duration::ZERO } else { self.busy() };
        Ok(self.budget(link)?.patience() + Duration::from_micros(held as u64) + circuits)
    }

    /// What working out counted sets may take in the form of this check.
    fn busy(&self) -> Duration {
        self.ledgered.busy_in(self.ledgered.form, self.shapes.len()).min(MOST_PATIENCE)
    }

    /// What [`Check::decide`] sends: the circuit of the sets, what is counted, an AND in each step, a bit to a number, an opening. All in one
    /// tally: telescoped, the site that is done last is not always the one that the next step waits for.
    ///
    /// # Errors
    /// As [`Check::budget`].
    pub fn online(&self, analyst: bool, link: Link) -> Result<SiteCost> {
        let (sites, segments) = (self.shapes.len(), empty(&self.shapes, &self.runs));
        let all: Group = (0..sites as u8).map(PartyId).collect();
        let mut count = Preparation::new(link.extension(), sites);
        if let Some(of) = &self.counted {
            count.open_all(&patients::opened(&of.circuit, &segments, (&all, link.chains())).map_err(demand::fault)?);
        }
        let mut words = Vec::new();
        demand::budget(sites, link, async |e| {
            if self.ledgered.form == Form::Telescoped {
                let flagged = self.flagged(e, &segments).await?;
                telescope::counts(&mut count, self, &segments, &flagged).await?;
                let rows = self.no_counts().len() + 2 * self.ledgered.or_equal.len();
                count.open_all(&traffic::negative(&all, link.chains(), rows, self.count_bits()));
            }
            let mut ands = Ands::new(e);
            match self.ledgered.form {
                Form::Once => self.all_far(&mut ands, &segments).await?,
                Form::Telescoped => self.far_counts(&mut ands, &self.no_counts()).await?,
            };
            words = ands.words;
            Ok(())
        })?;
        words.into_iter().for_each(|words| count.open_all(&traffic::and(&all, 64 * words, 1)));
        count.open_all(&traffic::b2a(&all, 1, 1));
        Ok(count.cost().then(cost::reveal(sites as u64, analyst, Audience::Everyone, 1, 8)))
    }
}

/// Nobody waits longer for circuits: what others say they take is no more than advice.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);
