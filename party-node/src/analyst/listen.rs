//! Who hears how a run goes: the terminal, or a job.

use std::sync::Arc;

use mpc_core::stats::Counters;
use query_planner::catalog::SiteName;

use super::Awaited;
use crate::agree::RunId;
use crate::fault::NodeError;

/// What happens in a run, in the order in which the analyst hears of it. Sites are numbered as in the network file.
pub enum News<'a> {
    /// The question goes to every site, as a run of this id.
    Proposed {
        /// Its id.
        run: RunId,
    },
    /// A site has done its own work.
    Ready {
        /// Which.
        site: usize,
        /// Its name.
        name: &'a SiteName,
    },
    /// Somebody at a site must decide.
    Awaited {
        /// Which.
        site: usize,
        /// For whom.
        awaited: &'a Awaited,
    },
    /// A site refuses, or does not answer.
    Refused {
        /// Which.
        site: usize,
        /// Why.
        why: &'a NodeError,
    },
    /// Every site is ready, and this run answered the same question from the same data before.
    Repeated {
        /// Its id.
        run: RunId,
    },
    /// Every site is ready and hears so: from here on sites may begin a release.
    Starting,
    /// A site has verified everybody's words: from here on the run counts as a release there.
    Entered {
        /// Which.
        site: usize,
    },
    /// The session runs.
    Computing {
        /// What it counts as it goes.
        counters: Arc<Counters>,
    },
    /// Something that changes nothing about the answer.
    Note {
        /// In words.
        text: &'a str,
    },
}

/// Hears how runs go. It is called between messages and must not block.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn hear(&self, news: News<'_>);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Listener for Quiet {
    fn hear(&self, _: News<'_>) {}
}

/// A person at a terminal, on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Terminal;

impl Listener for Terminal {
    fn hear(&self, news: News<'_>) {
        match news {
            News::Ready { name, .. } => eprintln!("{name}: ready"),
            News::Computing { .. } => eprintln!("all sites are ready; computing"),
            News::Note { text } => eprintln!("{text}"),
            News::Proposed { .. } | News::Awaited { .. } | News::Refused { .. } | News::Repeated { .. } => (),
            News::Starting | News::Entered { .. } => (),
        }
    }
}
