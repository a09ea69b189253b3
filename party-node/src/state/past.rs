//! What a new release meets: earlier ones of its study with this site's own patients behind each figure, and the ends of the other
//! sites' logs.

use std::collections::BTreeSet;

use query_planner::catalog::SiteName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit::{Event, Head, SiteHead};
use super::ledger::{Progress, Release, digest, find, going_on, is_latest, outlines};
use super::store::{self, Change, Rows, Table};
use super::{State, audit};
use crate::agree::Signed;
use crate::fault::NodeError;
use crate::govern::meeting::{Earlier, Extent, Kept, Past};
use crate::govern::sets::Sets;

impl State {
    /// Keeps this site's own patients behind figures of a begun release: durable before its keys are agreed, and before its answer is
    /// opened. Whatever began since was not compared with them, so that nothing more of this one may come out.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE`, `RELEASE_ENDED`, `LEDGER_MOVED`, `STUDY_CLOSED`: nothing would delete them.
    pub fn note(&self, release: &[u8; 16], of: Extent, sets: &Sets) -> Result<(), NodeError> {
        self.change(|change| {
            going_on(change, release)?;
            is_latest(change, release)?;
            change.put_bytes(Table::Sets, &sets_key(release, of), &store::to_record(sets)?)?;
            change.put(Table::Sets, &outline_key(release, of), &Outline::of(sets))?;
            change.log(Event::Noted { release: *release, sets: sets.figures.sets() as u64 });
            Ok(())
        })
    }

    /// This site's own patients behind the figures of earlier releases that are compared; none of a release that this site did not come to.
    pub fn noted(&self, earlier: &[Earlier]) -> Result<Vec<Sets>, NodeError> {
        let view = self.view()?;
        let noted = |past: &Earlier| {
            let record = view.bytes(Table::Sets, &sets_key(&past.id, past.of))?;
            record.map_or(Ok(Sets::default()), |record| store::from_record(Table::Sets, &record))
        };
        earlier.iter().map(noted).collect()
    }

    /// The study's releases that count, and what they have to do with the site's data as it is.
    pub fn past(&self, study: &[u8; 32], snapshot: &[u8; 32]) -> Result<Vec<Past>, NodeError> {
        let view = self.view()?;
        let releases = outlines(&view, study)?.into_iter().filter(|release| release.progress.counts());
        let past = |release: Release| {
            Ok(Past {
                id: release.id,
                plan: release.plan,
                whole: kept(&view, &release.id, Extent::Whole)?,
                all: kept(&view, &release.id, Extent::All)?,
                unhidden: release.unhidden,
                same_data: release.snapshot == *snapshot,
                released: release.progress == Progress::Released,
            })
        };
        releases.map(past).collect()
    }

    /// What a release must find when it begins as it was when its words were compared: the releases that count, and which sets are kept of
    /// each.
    pub fn standing(&self, study: &[u8; 32]) -> Result<[u8; 32], NodeError> {
        standing(&self.view()?, study)
    }

    /// The words were said over the ledger as it is: no release that counts here is missing from them, this site's own says which sets it
    /// keeps of each, and patients are known by the same keys as then.
    ///
    /// # Errors
    /// `LEDGER_MOVED`, `LEDGER_OTHER_KEYS`.
    pub fn not_moved(
        &self,
        study: &[u8; 32],
        domain: &[u8; 32],
        (words, me): (&[Signed], usize),
    ) -> Result<(), NodeError> {
        let view = self.view()?;
        let own = words.get(me).map(|said| &said.word.past[..]).unwrap_or_default();
        for past in own {
            let kept = [Extent::Whole, Extent::All].map(|of| Ok(kept(&view, &past.id, of)? == past.kept(of)));
            if !kept.into_iter().collect::<Result<Vec<bool>, NodeError>>()?.into_iter().all(|same| same) {
                let message = "another release of this study went on since the sites said that they were ready";
                return Err(NodeError::new("LEDGER_MOVED", message).hint("ask again"));
            }
        }
        let said: BTreeSet<[u8; 16]> = words.iter().flat_map(|said| &said.word.past).map(|past| past.id).collect();
        for release in self.outlines(study)?.iter().filter(|release| release.progress.counts()) {
            if !said.contains(&release.id) {
                let message = "another release of this study began since the sites said that they were ready";
                return Err(NodeError::new("LEDGER_MOVED", message).hint("ask again"));
            }
            if domains(&view, &release.id)?.iter().any(|known| known != domain) {
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
                Err(error)
                    if error.code == "NO_SUCH_RELEASE" && (past.released || past.whole.or(past.all).is_some()) =>
                {
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

/// See [`State::standing`].
pub(super) fn standing(rows: &impl Rows, study: &[u8; 32]) -> Result<[u8; 32], NodeError> {
    let releases = outlines(rows, study)?;
    let mut hash = Sha256::new().chain_update(b"consilium standing v1\0").chain_update(digest(study, &releases));
    for release in releases.iter().filter(|release| release.progress.counts()) {
        for of in [Extent::Whole, Extent::All] {
            hash.update([u8::from(kept(rows, &release.id, of)?.is_some())]);
        }
    }
    Ok(hash.finalize().into())
}

/// What is kept of a release's patients.
fn kept(rows: &impl Rows, release: &[u8; 16], of: Extent) -> Result<Option<Kept>, NodeError> {
    let outline: Option<Outline> = rows.get(Table::Sets, &outline_key(release, of))?;
    Ok(outline.map(|Outline { sets, figures, busy_ms, everyone, .. }| Kept { sets, figures, busy_ms, everyone }))
}

/// What the keys of its patients are hashes under.
fn domains(rows: &impl Rows, release: &[u8; 16]) -> Result<Vec<[u8; 32]>, NodeError> {
    let of = |of| rows.get::<Outline>(Table::Sets, &outline_key(release, of));
    let outlines = [of(Extent::Whole)?, of(Extent::All)?];
    Ok(outlines.into_iter().flatten().filter_map(|outline| outline.domain).collect())
}

/// Deletes what is kept of a release's patients. How many sets there were; those of the whole are among all.
pub(super) fn delete_sets(change: &mut Change, release: &[u8; 16]) -> Result<u64, NodeError> {
    let mut sets = 0;
    for of in [Extent::Whole, Extent::All] {
        sets = sets.max(kept(change, release, of)?.map_or(0, |kept| kept.sets));
        change.remove(Table::Sets, &sets_key(release, of))?;
        change.remove(Table::Sets, &outline_key(release, of))?;
    }
    Ok(sets.into())
}

fn sets_key(release: &[u8; 16], of: Extent) -> Vec<u8> {
    let of: &[u8] = match of {
        Extent::Whole => b" whole",
        Extent::All => b"",
    };
    [release, of].concat()
}

fn outline_key(release: &[u8; 16], of: Extent) -> Vec<u8> {
    [&sets_key(release, of), b" outline".as_slice()].concat()
}

fn seen_key(site: &str) -> Vec<u8> {
    format!("seen/{}", site.to_lowercase()).into_bytes()
}
