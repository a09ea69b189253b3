//! What a new release meets: earlier ones of its study with this site's own patients behind each figure, and the ends of the other
//! sites' logs.

use std::collections::BTreeSet;

use query_planner::catalog::SiteName;
use serde::{Deserialize, Serialize};

use super::audit::{Event, Head, SiteHead};
use super::ledger::{Progress, Release, find, going_on};
use super::store::{self, Change, Rows, Table};
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
            change.put_bytes(Table::Sets, release, &store::to_record(sets)?)?;
            change.put(Table::Sets, &outline_key(release), &Outline::of(sets))?;
            change.log(Event::Noted { release: *release, sets: sets.figures.sets() as u64 });
            Ok(())
        })
    }

    /// This site's own patients behind each figure of earlier releases; none of a release that this site did not come to.
    pub fn noted(&self, earlier: &[Earlier]) -> Result<Vec<Sets>, NodeError> {
        let view = self.view()?;
        let noted = |past: &Earlier| {
            let record = view.bytes(Table::Sets, &past.id)?;
            record.map_or(Ok(Sets::default()), |record| store::from_record(Table::Sets, &record))
        };
        earlier.iter().map(noted).collect()
    }

    /// The study's releases that count, and what they have to do with the site's data as it is.
    pub fn past(&self, study: &[u8; 32], snapshot: &[u8; 32]) -> Result<Vec<Past>, NodeError> {
        let view = self.view()?;
        let releases = self.outlines(study)?.into_iter().filter(|release| release.progress.counts());
        let past = |release: Release| {
            let outline: Option<Outline> = view.get(Table::Sets, &outline_key(&release.id))?;
            Ok(Past {
                id: release.id,
                plan: release.plan,
                sets: outline.as_ref().map_or(0, |outline| outline.sets),
                figures: outline.as_ref().map(|outline| outline.figures),
                busy_ms: outline.as_ref().map_or(0, |outline| outline.busy_ms),
                everyone: outline.is_some_and(|outline| outline.everyone),
                unhidden: release.unhidden,
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
            let outline: Option<Outline> = view.get(Table::Sets, &outline_key(&release.id))?;
            if outline.is_some_and(|outline| outline.domain.is_some_and(|known| known != *domain)) {
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
        let counting = self.counting(words)?;
        for past in words.iter().flat_map(|said| &said.word.past).filter(|past| !counting.contains(&past.id)) {
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
                    // Of it this site knows no more than that it began.
                    adopted.unhidden = past.unhidden;
                    (adopted.text, adopted.analyst, adopted.disclosure) = (String::new(), String::new(), [0; 32]);
                    self.adopt(&adopted)?;
                }
                counted => counted?,
            }
        }
        Ok(())
    }

    /// Those of the releases that the sites name which count here: most runs find all of them, and change nothing.
    fn counting(&self, words: &[Signed]) -> Result<BTreeSet<[u8; 16]>, NodeError> {
        let view = self.view()?;
        let named: BTreeSet<[u8; 16]> = words.iter().flat_map(|said| &said.word.past).map(|past| past.id).collect();
        let mut counting = BTreeSet::new();
        for id in named {
            if find(&view, &id).is_ok_and(|(_, release)| release.progress.counts()) {
                counting.insert(id);
            }
        }
        Ok(counting)
    }

    /// Where the logs of these sites ended when this one last computed with them.
    pub fn seen(&self, sites: &[SiteName]) -> Result<Vec<Head>, NodeError> {
        let view = self.view()?;
        let head = |site: &SiteName| Ok(view.get(Table::Counters, &seen_key(&site.0))?.unwrap_or(Head::EMPTY));
        sites.iter().map(head).collect()
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

/// Keeps where the logs of the others end.
pub(super) fn remember(change: &mut Change, release: &[u8; 16], heads: Vec<SiteHead>) -> Result<(), NodeError> {
    for SiteHead { site, head } in &heads {
        change.put(Table::Counters, &seen_key(site), head)?;
    }
    change.log(Event::Heads { release: *release, heads });
    Ok(())
}

/// What every later release asks of a release's sets, without the sets.
#[derive(Serialize, Deserialize)]
struct Outline {
    /// How many there are.
    sets: u32,
    /// See [`crate::govern::figures::Figures::digest`].
    figures: [u8; 32],
    /// See [`Sets::busy_ms`].
    busy_ms: u64,
    /// See [`crate::govern::figures::Figures::everyone`].
    everyone: bool,
    /// What their patients' keys are hashes under; none without patients.
    domain: Option<[u8; 32]>,
}

impl Outline {
    fn of(sets: &Sets) -> Self {
        Self {
            sets: sets.figures.sets() as u32,
            figures: sets.figures.digest(),
            busy_ms: sets.busy_ms,
            everyone: sets.figures.everyone,
            domain: (!sets.people.is_empty()).then_some(sets.domain),
        }
    }
}

/// Deletes what is kept of a release's patients. How many sets there were.
pub(super) fn delete_sets(change: &mut Change, release: &[u8; 16]) -> Result<u64, NodeError> {
    let outline: Option<Outline> = change.get(Table::Sets, &outline_key(release))?;
    change.remove(Table::Sets, release)?;
    change.remove(Table::Sets, &outline_key(release))?;
    Ok(outline.map_or(0, |outline| outline.sets.into()))
}

fn outline_key(release: &[u8; 16]) -> Vec<u8> {
    [release.as_slice(), b" outline"].concat()
}

fn seen_key(site: &str) -> Vec<u8> {
    format!("seen/{}", site.to_lowercase()).into_bytes()
}
