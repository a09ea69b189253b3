//! What came out of this site, study by study. The site's own patients behind each release are kept beside it: see [`State::note`].
//!
//! A release is begun, durably, before anything leaves the site, and from then on it counts: as one of the limit's, as one
//! that later releases are compared with, as spent ε. It is finished or refused later; one that a crash left behind stays begun,
//! and a begun release may have come out. A refused one is no longer compared with: nothing but the refusal came out of
//! it. Refusals are charged by themselves.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::audit::{Asked, Event, SiteHead, Step};
use super::limits::{Limit, Spend};
use super::store::{self, Change, Rows, Table};
use super::vault::fresh;
use super::{State, budget, hex, inbox, past};
use crate::fault::{NodeError, printable};
use crate::govern::approval::Approval;

/// One release. Its text does not print and is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id, the same at every site and never used twice.
    #[serde(with = "hex")]
    pub id: [u8; 16],
    /// Digest of the study.
    #[serde(with = "hex")]
    pub study: [u8; 32],
    /// Digest of the plan.
    #[serde(with = "hex")]
    pub plan: [u8; 32],
    /// Digest of the disclosure statement.
    #[serde(with = "hex")]
    pub disclosure: [u8; 32],
    /// The question. Empty when the study was closed.
    pub text: String,
    /// The sites that take part.
    pub sites: Vec<String>,
    /// Who asked.
    pub analyst: String,
    /// When it began here, in ms since 1970.
    pub at_ms: u64,
    /// Digest of the site's data.
    #[serde(with = "hex")]
    pub snapshot: [u8; 32],
    /// Were small cells shown, so that no sets of patients are kept of it? Not where figures have noise.
    pub unhidden: bool,
    /// How far it came.
    pub progress: Progress,
}

/// How far a release came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// It began; its answer may have come out.
    Begun,
    /// Its answer came out.
    Released,
    /// It was refused, with a stable code, before an answer came out.
    Refused {
        /// The code.
        code: String,
    },
}

impl Progress {
    /// Is a later release compared with it?
    pub fn counts(&self) -> bool {
        !matches!(self, Progress::Refused { .. })
    }
}

/// What a release must obey at the moment when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The study's [`State::standing`] when the sites' words were compared. Of two releases that were compared with the same ones, one begins.
    pub after: [u8; 32],
    /// Of releases per period.
    pub releases: Option<Limit>,
    /// Of refusals per period.
    pub refusals: Option<Limit>,
    /// ε and δ that it takes.
    pub privacy: Option<Spend>,
}

/// Where a release is.
#[derive(Serialize, Deserialize)]
struct Place {
    #[serde(with = "hex")]
    study: [u8; 32],
    order: u64,
}

/// What counts against a limit per period, as a key begins with it.
#[derive(Clone, Copy)]
enum Charge {
    Release = 0,
    Refusal = 1,
}

/// Who is charged: an analyst in a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The name.
    pub analyst: String,
    /// Digest of the study.
    #[serde(with = "hex")]
    pub study: [u8; 32],
}

impl Who {
    /// By a name of the network file, as the log spells it.
    pub fn new(analyst: &str, study: [u8; 32]) -> Self {
        Self { analyst: printable(analyst), study }
    }

    fn of(release: &Release) -> Self {
        Self::new(&release.analyst, release.study)
    }

    /// Is this its charge? One that an older version wrote names nobody, and is everybody's.
    fn is_charged(&self, record: &[u8]) -> bool {
        store::from_bytes::<Who>(Table::Charges, record).map_or(true, |who| who == *self)
    }
}

impl State {
    /// Begins a release: durable before anything leaves. Limits are checked, and ε and δ taken, in the same step, so that of
    /// two races one wins.
    ///
    /// # Errors
    /// `LEDGER_MOVED` when another release of the study began since the sites compared, `RELEASE_EXISTS` for an id that was
    /// used, `STUDY_CLOSED` after [`State::forget`], `TOO_MANY_RELEASES`, `TOO_MANY_REFUSALS`, `BUDGET_EXHAUSTED`.
    pub fn begin(&self, release: &Release, terms: &Terms) -> Result<(), NodeError> {
        self.change(|change| begin(change, release, terms))
    }

    /// The same under an approval, which must stand at the moment when it begins. Where the logs of the others end is kept with it:
    /// one write, so that no release begins whose heads this site would not remember.
    ///
    /// # Errors
    /// As [`State::begin`], and `NOT_APPROVED` when the approval was withdrawn.
    pub fn begin_under(
        &self,
        approval: &Approval,
        release: &Release,
        terms: &Terms,
        heads: Vec<SiteHead>,
    ) -> Result<(), NodeError> {
        self.change(|change| {
            inbox::stands(change, approval)?;
            begin(change, release, terms)?;
            past::remember(change, &release.id, heads)
        })
    }

    /// The answer of a begun release came out, and this was sent for it. It is kept, if this site may, for the same plan on the same
    /// data.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE`, `RELEASE_ENDED`.
    pub fn finish(&self, id: &[u8; 16], answer: Option<&[u8]>, sent: Vec<Step>) -> Result<(), NodeError> {
        self.change(|change| {
            let release = end(change, id, Progress::Released)?;
            if let Some(answer) = answer {
                let key = answer_key(&release.study, &release.plan, &release.snapshot);
                change.put_bytes(Table::Answers, &key, answer)?;
            }
            change.log(Event::Released { release: *id });
            change.log(Event::Sent { release: *id, steps: sent });
            Ok(())
        })
    }

    /// A begun release was refused before its answer came out, and this was sent for it. The refusal is charged; ε, δ and the release
    /// are not given back.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE`, `RELEASE_ENDED`.
    pub fn refuse(&self, id: &[u8; 16], code: &str, at_ms: u64, sent: Vec<Step>) -> Result<(), NodeError> {
        self.change(|change| {
            let release = end(change, id, Progress::Refused { code: code.to_owned() })?;
            charge(change, Charge::Refusal, at_ms, &Who::of(&release))?;
            change.log(Event::Refused { release: *id, code: code.to_owned() });
            change.log(Event::Sent { release: *id, steps: sent });
            Ok(())
        })
    }

    /// A run broke off after its release began, and this was sent in it. The release counts; and it is charged as a refusal, because the
    /// comparison's bit may have been told before. A release that has ended is left as it is. Where it broke off for a reason of its own,
    /// the log says so.
    pub fn broke_off(&self, id: &[u8; 16], why: Option<&str>, at_ms: u64, sent: Vec<Step>) -> Result<(), NodeError> {
        self.change(|change| {
            match begun(change, id) {
                Ok((_, release)) => charge(change, Charge::Refusal, at_ms, &Who::of(&release))?,
                Err(ended) if ended.code == "RELEASE_ENDED" => {}
                Err(error) => return Err(error),
            }
            if let Some(code) = why {
                change.log(Event::Refused { release: *id, code: code.to_owned() });
                change.log(Event::Counted { release: *id });
            }
            change.log(Event::Sent { release: *id, steps: sent });
            Ok(())
        })
    }

    /// A question was refused before it began. The refusal is charged.
    pub fn deny(&self, asked: Asked, code: &str, at_ms: u64) -> Result<(), NodeError> {
        self.change(|change| {
            charge(change, Charge::Refusal, at_ms, &Who::new(&asked.analyst, asked.study))?;
            change.log(Event::Denied { asked, code: code.to_owned() });
            Ok(())
        })
    }

    /// Lets a refused release count again, because at another site it does (that site fell over before it wrote the refusal).
    /// Sites then have the same ones in common, at the price of comparing with one more.
    ///
    /// # Errors
    /// `NO_SUCH_RELEASE`.
    pub fn count(&self, id: &[u8; 16]) -> Result<(), NodeError> {
        self.change(|change| {
            let (key, mut release) = find(change, id)?;
            if !release.progress.counts() {
                release.progress = Progress::Begun;
                change.put(Table::Releases, &key, &release)?;
                change.log(Event::Counted { release: *id });
            }
            Ok(())
        })
    }

    /// Takes up a release that began at other sites while this one had fallen over: none of its own patients are behind it.
    ///
    /// # Errors
    /// `RELEASE_EXISTS`.
    pub fn adopt(&self, release: &Release) -> Result<(), NodeError> {
        self.change(|change| {
            if change.bytes(Table::Places, &release.id)?.is_some() {
                return Err(NodeError::new("RELEASE_EXISTS", "a release with this id began before"));
            }
            let order = outlines(change, &release.study)?.len() as u64;
            change.put(Table::Places, &release.id, &Place { study: release.study, order })?;
            change.put(Table::Releases, &row(&release.study, order), release)?;
            change.log(Event::Counted { release: release.id });
            Ok(())
        })
    }

    /// The releases of a study in the order in which they began here.
    pub fn outlines(&self, study: &[u8; 32]) -> Result<Vec<Release>, NodeError> {
        outlines(&self.view()?, study)
    }

    /// What every site must have in common before a release of this study: SHA-256 over the study, then, for each release
    /// that counts, in order, over the digest before it, its id and its plan.
    pub fn digest_of(&self, study: &[u8; 32]) -> Result<[u8; 32], NodeError> {
        Ok(digest(study, &self.outlines(study)?))
    }

    /// Refuses when the limits would: for a question that has not come to [`State::begin`].
    ///
    /// # Errors
    /// `TOO_MANY_RELEASES`, `TOO_MANY_REFUSALS`.
    pub fn within(
        &self,
        who: &Who,
        releases: Option<Limit>,
        refusals: Option<Limit>,
        at_ms: u64,
    ) -> Result<(), NodeError> {
        within(&self.view()?, who, releases, refusals, at_ms)
    }

    /// How many releases, or refusals, count against a limit now: everybody's.
    pub fn charged(&self, refusals: bool, limit: Limit, at_ms: u64) -> Result<usize, NodeError> {
        let kind = if refusals { Charge::Refusal } else { Charge::Release };
        let from = charge_key(kind, limit.since_ms(at_ms));
        Ok(self.view()?.rows(Table::Charges, &[kind as u8], &from)?.len())
    }

    /// The answer to the same plan on the same data, if it was kept.
    pub fn answer(
        &self,
        study: &[u8; 32],
        plan: &[u8; 32],
        snapshot: &[u8; 32],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
        self.view()?.bytes(Table::Answers, &answer_key(study, plan, snapshot))
    }
}

fn begin(change: &mut Change, release: &Release, terms: &Terms) -> Result<(), NodeError> {
    let order = admit(change, release, terms)?;
    if let Some(spend) = &terms.privacy {
        budget::spend(change, &release.study, spend)?;
    }
    change.put(Table::Places, &release.id, &Place { study: release.study, order })?;
    change.put(Table::Releases, &row(&release.study, order), release)?;
    charge(change, Charge::Release, release.at_ms, &Who::of(release))?;
    change.log(begun_event(release));
    Ok(())
}

/// May it begin? Its place in the study's order.
fn admit(change: &Change, release: &Release, terms: &Terms) -> Result<u64, NodeError> {
    if release.progress != Progress::Begun {
        return Err(NodeError::new("INTERNAL", "a release begins before it ends"));
    }
    still_open(change, &release.study)?;
    if change.bytes(Table::Places, &release.id)?.is_some() {
        return Err(NodeError::new("RELEASE_EXISTS", "a release with this id began before"));
    }
    let before = outlines(change, &release.study)?;
    if past::standing(change, &release.study)? != terms.after {
        let message = "another release of this study began, or was refused, since the sites compared their ledgers";
        return Err(NodeError::new("LEDGER_MOVED", message).hint("ask again"));
    }
    within(change, &Who::of(release), terms.releases, terms.refusals, release.at_ms)?;
    Ok(before.len() as u64)
}

fn within(
    rows: &impl Rows,
    who: &Who,
    releases: Option<Limit>,
    refusals: Option<Limit>,
    at_ms: u64,
) -> Result<(), NodeError> {
    let room = |kind, limit: Limit, code, what| {
        let charged = rows.rows(Table::Charges, &[kind as u8], &charge_key(kind, limit.since_ms(at_ms)))?;
        let own = charged.iter().filter(|(_, record)| who.is_charged(record)).count();
        limit.one_more(own, charged.len(), code, what)
    };
    if let Some(limit) = releases {
        room(Charge::Release, limit, "TOO_MANY_RELEASES", "releases")?;
    }
    if let Some(limit) = refusals {
        room(Charge::Refusal, limit, "TOO_MANY_REFUSALS", "refusals")?;
    }
    Ok(())
}

/// A release that has begun and not ended, in a study that is open.
pub(super) fn going_on(change: &Change, id: &[u8; 16]) -> Result<(), NodeError> {
    let (_, release) = begun(change, id)?;
    still_open(change, &release.study)
}

/// Nothing that counts began behind it in its study.
pub(super) fn is_latest(rows: &impl Rows, id: &[u8; 16]) -> Result<(), NodeError> {
    let place: Option<Place> = rows.get(Table::Places, id)?;
    let Some(Place { study, order }) = place else { return Ok(()) };
    let later = rows.rows(Table::Releases, &study, &row(&study, order + 1))?;
    for (_, record) in later {
        if store::from_bytes::<Release>(Table::Releases, &record)?.progress.counts() {
            let message = "another release of this study began while this one was going on";
            return Err(NodeError::new("LEDGER_MOVED", message).hint("ask one question of a study after the other"));
        }
    }
    Ok(())
}

/// Ends a begun release.
fn end(change: &mut Change, id: &[u8; 16], progress: Progress) -> Result<Release, NodeError> {
    let (key, mut release) = begun(change, id)?;
    release.progress = progress;
    change.put(Table::Releases, &key, &release)?;
    Ok(release)
}

fn begun(rows: &impl Rows, id: &[u8; 16]) -> Result<(Vec<u8>, Release), NodeError> {
    let (key, release) = find(rows, id)?;
    if release.progress != Progress::Begun {
        return Err(NodeError::new("RELEASE_ENDED", format!("release {} has ended before", hex::text(id))));
    }
    Ok((key, release))
}

pub(super) fn still_open(rows: &impl Rows, study: &[u8; 32]) -> Result<(), NodeError> {
    let closed = || NodeError::new("STUDY_CLOSED", "the study's patient sets were deleted: it takes no more questions");
    rows.bytes(Table::Closed, study)?.map_or(Ok(()), |_| Err(closed()))
}

pub(super) fn find(rows: &impl Rows, id: &[u8; 16]) -> Result<(Vec<u8>, Release), NodeError> {
    let missing = || NodeError::new("NO_SUCH_RELEASE", format!("no release {} began here", hex::text(id)));
    let place: Place = rows.get(Table::Places, id)?.ok_or_else(missing)?;
    let key = row(&place.study, place.order);
    let release = rows.get(Table::Releases, &key)?.ok_or_else(missing)?;
    Ok((key, release))
}

pub(super) fn outlines(rows: &impl Rows, study: &[u8; 32]) -> Result<Vec<Release>, NodeError> {
    Ok(rows.list(Table::Releases, study)?.into_iter().map(|(_, release)| release).collect())
}

pub(super) fn digest(study: &[u8; 32], releases: &[Release]) -> [u8; 32] {
    let first = Sha256::new().chain_update(b"consilium ledger v1\0").chain_update(study).finalize().into();
    releases.iter().filter(|release| release.progress.counts()).fold(first, |before: [u8; 32], release| {
        Sha256::new().chain_update(before).chain_update(release.id).chain_update(release.plan).finalize().into()
    })
}

fn charge(change: &mut Change, kind: Charge, at_ms: u64, who: &Who) -> Result<(), NodeError> {
    let key = [charge_key(kind, at_ms), fresh::<8>()?.to_vec()].concat();
    change.put(Table::Charges, &key, who)
}

fn charge_key(kind: Charge, at_ms: u64) -> Vec<u8> {
    [&[kind as u8], at_ms.to_be_bytes().as_slice()].concat()
}

pub(super) fn row(study: &[u8; 32], order: u64) -> Vec<u8> {
    [study.as_slice(), &order.to_be_bytes()].concat()
}

fn answer_key(study: &[u8; 32], plan: &[u8; 32], snapshot: &[u8; 32]) -> Vec<u8> {
    [study.as_slice(), plan, snapshot].concat()
}

fn begun_event(release: &Release) -> Event {
    Event::Begun {
        release: release.id,
        asked: Asked {
            study: release.study,
            plan: release.plan,
            disclosure: release.disclosure,
            analyst: release.analyst.clone(),
        },
        text: Sha256::digest(&release.text).into(),
        snapshot: release.snapshot,
        sites: release.sites.clone(),
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Release({}, {:?})", hex::text(&self.id), self.progress)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}
