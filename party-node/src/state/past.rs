//! What a new release meets: earlier ones of its study with this site's own patients behind each figure, and the ends of the other
//! sites' logs.

use std::collections::BTreeSet;

use query_planner::catalog::SiteName;

use super::audit::{Event, Head, SiteHead};
use super::ledger::{Progress, Release, going_on};
use super::store::{Rows, Table};
use super::{State, audit};
use crate::agree::Signed;
use crate::fault::NodeError;
use crate::govern::meeting::{Earlier, Past};
use crate::govern::sets::Sets;

impl State {
    /// Keeps this site's own patients behind each figure of a begun release: durable before its answer is opened.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE`, `RELEASE_ENDED`, `STUDY_CLOSED`: nothing would delete them.
    pub fn note(&self, release: &[u8; 16], sets: &Sets) -> Result<(), NodeError> {
        self.change(|change| {
            going_on(change, release)?;
            change.put(Table::Sets, release, sets)?;
            change.log(Event::Noted { release: *release, sets: sets.figures.sets() as u64 });
            Ok(())
        })
    }

    /// This site's own patients behind each figure of earlier releases; none of a release that this site did not come to.
    pub fn noted(&self, earlier: &[Earlier]) -> Result<Vec<Sets>, NodeError> {
        let view = self.view()?;
        let noted = |past: &Earlier| Ok(view.get(Table::Sets, &past.id)?.unwrap_or_default());
        earlier.iter().map(noted).collect()
    }

    /// The study's releases that count, and what they have to do with the site's data as it is.
    pub fn past(&self, study: &[u8; 32], snapshot: &[u8; 32]) -> Result<Vec<Past>, NodeError> {
        let view = self.view()?;
        let releases = self.outlines(study)?.into_iter().filter(|release| release.progress.counts());
        let past = |release: Release| {
            let sets: Option<Sets> = view.get(Table::Sets, &release.id)?;
            Ok(Past {
                id: release.id,
                plan: release.plan,
                sets: sets.as_ref().map_or(0, |sets| sets.figures.sets() as u32),
                figures: sets.as_ref().map(|sets| sets.figures.digest()),
                busy_ms: sets.map_or(0, |sets| sets.busy_ms),
                same_data: release.snapshot == *snapshot,
                released: release.progress == Progress::Released,
            })
        };
        releases.map(past).collect()
    }

    /// The words were said over the ledger as it is: no release that counts here is missing from them, and patients are
    /// known by the same keys as then.
    ///
    /// # Errors
    /// `LEDGER_MOVED`, `LEDGER_OTHER_KEYS`.
    pub fn not_moved(&self, study: &[u8; 32], domain: &[u8; 32], words: &[Signed]) -> Result<(), NodeError> {
        let view = self.view()?;
        let said: BTreeSet<[u8; 16]> = words.iter().flat_map(|said| &said.word.past).map(|past| past.id).collect();
        for release in self.outlines(study)?.iter().filter(|release| release.progress.counts()) {
            if !said.contains(&release.id) {
                let message = "another release of this study began since the sites said that they were ready";
                return Err(NodeError::new("LEDGER_MOVED", message).hint("ask again"));
            }
            let sets: Option<Sets> = view.get(Table::Sets, &release.id)?;
            if sets.is_some_and(|sets| !sets.people.is_empty() && sets.domain != *domain) {
                let message = "patients are known by other keys than in earlier releases of this study";
                return Err(NodeError::new("LEDGER_OTHER_KEYS", message)
                    .hint("another linkage or patient key is another study"));
            }
        }
        Ok(())
    }

    /// Makes this site's ledger know the releases that count at others: one that was refused here counts again (the other site fell
    /// over before it wrote the refusal), one that never began here has no patients of this site.
    pub fn catch_up(&self, words: &[Signed], template: &Release) -> Result<(), NodeError> {
        for past in words.iter().flat_map(|said| &said.word.past) {
            match self.count(&past.id) {
                // Sets are kept, and answers come out, only after every site has begun.
                Err(error) if error.code == "NO_SUCH_RELEASE" && (past.released || past.sets > 0) => {
                    let message = "another site has an answer of this study that this site's ledger does not know";
                    return Err(NodeError::new("LEDGER_ROLLED_BACK", message)
                        .hint("restore the newest ledger and log; nothing is answered from this one"));
                }
                Err(error) if error.code == "NO_SUCH_RELEASE" => {
                    let mut adopted = template.clone();
                    (adopted.id, adopted.plan) = (past.id, past.plan);
                    self.adopt(&adopted)?;
                }
                counted => counted?,
            }
        }
        Ok(())
    }

    /// Where the logs of these sites ended when this one last computed with them.
    pub fn seen(&self, sites: &[SiteName]) -> Result<Vec<Head>, NodeError> {
        let view = self.view()?;
        let head = |site: &SiteName| Ok(view.get(Table::Counters, &seen_key(&site.0))?.unwrap_or(Head::EMPTY));
        sites.iter().map(head).collect()
    }

    /// Keeps where the logs of the others end.
    pub fn remember(&self, release: &[u8; 16], heads: Vec<SiteHead>) -> Result<(), NodeError> {
        self.change(|change| {
            for SiteHead { site, head } in &heads {
                change.put(Table::Counters, &seen_key(site), head)?;
            }
            change.log(Event::Heads { release: *release, heads });
            Ok(())
        })
    }

    /// This site's own log has every line that another site remembers.
    ///
    /// # Errors
    /// `LEDGER_ROLLED_BACK`.
    pub fn holds<'a>(&self, remembered: impl Iterator<Item = &'a Head>) -> Result<(), NodeError> {
        let latest = remembered.max_by_key(|head| head.seq);
        let Some(latest) = latest.filter(|head| head.seq > 0) else { return Ok(()) };
        if audit::line_hash(self.log_path(), latest.seq)? == Some(latest.hash) {
            return Ok(());
        }
        let message = "another site remembers a later log of this site: its ledger was put back to an earlier state";
        Err(NodeError::new("LEDGER_ROLLED_BACK", message)
            .hint("restore the newest ledger and log; nothing is answered from this one"))
    }
}

fn seen_key(site: &str) -> Vec<u8> {
    format!("seen/{}", site.to_lowercase()).into_bytes()
}
