//! What every site verifies of everybody's words before it computes: the same study and plan, consented to by each site's own
//! key, ledgers that know the same releases, and logs that nobody has cut.

use std::collections::BTreeMap;

use mpc_core::identity::PublicKey;
use serde::{Deserialize, Serialize};

use super::approval::{Asked, agrees};
use crate::agree::{RunId, Signed, Start};
use crate::fault::NodeError;
use crate::network::Network;
use crate::state::audit::Head;

/// An earlier release of the study that counts, as one site knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its id.
    pub id: [u8; 16],
    /// Digest of its plan.
    pub plan: [u8; 32],
    /// The sets of patients that this site kept before any group key was agreed; none where it keeps none, or no key is agreed.
    pub whole: Option<Kept>,
    /// All of its sets; none where this site keeps none of it, or not all.
    pub all: Option<Kept>,
    /// Were small cells shown?
    pub unhidden: bool,
    /// Is this site's data what it was then?
    pub same_data: bool,
    /// Did its answer come out, as far as this site knows?
    pub released: bool,
}

impl Past {
    /// What this site keeps of it.
    pub fn kept(&self, of: Extent) -> Option<Kept> {
        match of {
            Extent::Whole => self.whole,
            Extent::All => self.all,
        }
    }
}

/// Which of a release's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those that need no agreed key: kept before keys are agreed.
    Whole,
    /// All of them, with the former among them: kept before a figure is opened.
    All,
}

/// What a site says of sets that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How many.
    pub sets: u32,
    /// How they are made, as a digest.
    pub figures: [u8; 32],
    /// What working them out on shares may take whoever waits for it.
    pub busy_ms: u64,
    /// Did every site receive the answer?
    pub everyone: bool,
}

/// An earlier release that a new one is compared with. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub id: [u8; 16],
    /// Which of its sets.
    pub of: Extent,
    /// How many these are.
    pub sets: usize,
    /// What working them out on shares may take whoever waits for it.
    pub busy_ms: u64,
    /// Did every site receive the answer?
    pub everyone: bool,
}

/// Why there is nothing that a new release can be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// These runs answered the same question from the same data: their ids.
    Repeated(Vec<RunId>),
    /// Sites cannot have been at the same releases, or small cells were shown.
    Refused(NodeError),
}

impl From<Unmet> for NodeError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Repeated(_) => {
                let message = "the same question was answered from the same data before";
                NodeError::new("ALREADY_RELEASED", message).hint("the analyst keeps the answer")
            }
            Unmet::Refused(why) => why,
        }
    }
}

/// The releases that count at any site, by id. The same plan on the same data at every site tells nothing new, and is not compared. Nor is
/// what not every site keeps sets of: sites keep them before they open anything together, so that such a release broke off before.
///
/// Where all sites keep all sets of a release, these are compared: the ones that were kept before its keys are among them. Where they came
/// to keep those only, it may have told its keys and no figure, and those are compared. It follows from everybody's words, so that a site
/// that fell over between its two writes changes nothing at the others, and all compare the same.
///
/// # Errors
/// [`Unmet::Repeated`] (`ALREADY_RELEASED`) when that answer came out before: the analyst has it. `ANSWERED_UNHIDDEN` when something may have come out of which no
/// site keeps patients, because small cells were shown. `LEDGER_DIFFERS`, `LEDGER_ROLLED_BACK` when sites cannot have
/// been at the same release.
pub fn earlier(words: &[Signed], plan: &[u8; 32]) -> Result<Vec<Earlier>, Unmet> {
    let mut all: BTreeMap<[u8; 16], Vec<&Past>> = BTreeMap::new();
    for past in words.iter().flat_map(|said| &said.word.past) {
        all.entry(past.id).or_default().push(past);
    }
    let everywhere = |known: &[&Past]| known.len() == words.len();
    let same = |known: &[&Past]| everywhere(known) && known.iter().all(|past| past.plan == *plan && past.same_data);
    let answered = all.iter().filter(|(_, known)| same(known) && known.iter().any(|past| past.released));
    let repeated: Vec<RunId> = answered.map(|(id, _)| *id).collect();
    if !repeated.is_empty() {
        return Err(Unmet::Repeated(repeated));
    }
    let mut earlier = Vec::new();
    for (id, known) in all {
        if known.iter().any(|past| past.unhidden) {
            let message = "questions of this study were answered before small cells were hidden: nothing can be compared with them";
            return Err(Unmet::Refused(NodeError::new("ANSWERED_UNHIDDEN", message).hint("agree on another study")));
        }
        if !same(&known) {
            earlier.extend(kept(id, &known, everywhere(&known)).map_err(Unmet::Refused)?);
        }
    }
    Ok(earlier)
}

/// What all sites keep of a release, if they do.
fn kept(id: [u8; 16], known: &[&Past], everywhere: bool) -> Result<Option<Earlier>, NodeError> {
    let [all, whole] = [Extent::All, Extent::Whole].map(|of| by_all(id, of, known, everywhere));
    let (all, whole) = (all?, whole?);
    // Keys are agreed after every site has kept the sets that need none, and all sets are made of the keys.
    let is_without_whole = whole.is_none() && known.iter().any(|past| past.whole.is_some() && past.all.is_some());
    // Of what has noise, or was not compared then, nobody keeps sets.
    let is_kept = known.iter().any(|past| past.all.is_some() || past.whole.is_some());
    if all.is_none() && is_kept && (is_without_whole || known.iter().any(|past| past.released)) {
        let message = "keys or an answer of this study came out, and a site does not keep its patients";
        return Err(NodeError::new("LEDGER_ROLLED_BACK", message)
            .hint("restore the newest ledger and log; nothing is answered from this one"));
    }
    Ok(all.or(whole))
}

/// These sets of a release, if all sites keep them.
fn by_all(id: [u8; 16], of: Extent, known: &[&Past], everywhere: bool) -> Result<Option<Earlier>, NodeError> {
    let kept: Vec<Kept> = known.iter().filter_map(|past| past.kept(of)).collect();
    let Some(first) = kept.first() else { return Ok(None) };
    let made = |kept: &Kept| (kept.figures, kept.sets, kept.busy_ms);
    if kept.iter().any(|other| made(other) != made(first)) {
        let message = "sites keep sets of patients of the same release that were not made in the same way";
        return Err(
            NodeError::new("LEDGER_DIFFERS", message).hint("ask the stewards to compare what `consilium ledger` lists")
        );
    }
    let everyone = kept.iter().any(|kept| kept.everyone);
    let earlier = Earlier { id, of, sets: first.sets as usize, busy_ms: first.busy_ms, everyone };
    Ok((everywhere && kept.len() == known.len()).then_some(earlier))
}

/// Every site's word is its own and of this run, everybody consents to exactly this plan, and nobody's log is shorter than it was.
///
/// # Errors
/// `PROTOCOL_VIOLATION` for words that are not those of the network's sites, `NOT_APPROVED`, `STUDY_NOT_SIGNED`,
/// `PEER_ROLLED_BACK`. They name the site.
pub fn verify(
    network: &Network,
    (run, start): (&RunId, &Start),
    asked: &Asked,
    seen: &[Head],
    now_ms: i64,
) -> Result<(), NodeError> {
    if start.words.len() != network.site.len() {
        return Err(NodeError::new("PROTOCOL_VIOLATION", "the analyst did not bring every site's word"));
    }
    for ((site, said), seen) in network.site.iter().zip(&start.words).zip(seen) {
        let of = |error: NodeError| NodeError::remote(&site.name.0, &error.code, &error.message, error.hint.as_deref());
        let (key, word) = (PublicKey(said.word.key), &said.word);
        if !site.pins.contains(&key.pin()) {
            return Err(of(NodeError::new("PROTOCOL_VIOLATION", "a word under a key that is not pinned")));
        }
        if !said.is_of(&key) || word.run != *run {
            return Err(of(NodeError::new("PROTOCOL_VIOLATION", "not its word of this run")));
        }
        if !agrees(&key, &asked.network, &asked.study, &word.agreement) {
            return Err(of(NodeError::new("STUDY_NOT_SIGNED", "it has not signed this study under this network file")));
        }
        word.approval.covers(asked, &key, now_ms).map_err(of)?;
        if word.head.seq < seen.seq || (word.head.seq == seen.seq && word.head.hash != seen.hash) {
            let message = "its log is older than it was when this site last computed with it";
            return Err(of(NodeError::new("PEER_ROLLED_BACK", message)
                .hint("its ledger may have been put back: ask its steward before anything else")));
        }
    }
    Ok(())
}

/// The ends of one's own log that the others remember.
pub fn remembered(words: &[Signed], me: usize) -> impl Iterator<Item = &Head> {
    words.iter().filter_map(move |said| said.word.seen.get(me))
}
