//! What every site verifies of everybody's words before it computes: the same study and plan, consented to by each site's own
//! key, ledgers that know the same releases, and logs that nobody has cut.

use std::collections::BTreeMap;

use mpc_core::identity::PublicKey;
use serde::{Deserialize, Serialize};

use super::approval::{Asked, agrees};
use crate::agree::{JobId, Signed, Start};
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
    /// How many sets of patients it has.
    pub sets: u32,
    /// How they are made, as a digest; none where this site keeps no sets of it.
    pub figures: Option<[u8; 32]>,
    /// What working them out on shares may take whoever waits for it.
    pub busy_ms: u64,
    /// Did every site receive the answer?
    pub everyone: bool,
    /// Were small cells shown?
    pub unhidden: bool,
    /// Is this site's data what it was then?
    pub same_data: bool,
    /// Did its answer come out, as far as this site knows?
    pub released: bool,
}

/// An earlier release that a new one is compared with. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub id: [u8; 16],
    /// How many sets of patients it has.
    pub sets: usize,
    /// What working them out on shares may take whoever waits for it.
    pub busy_ms: u64,
    /// Did every site receive the answer?
    pub everyone: bool,
}

/// The releases that count at any site, by id. The same plan on the same data at every site tells nothing new, and is not compared. Nor is
/// what not every site keeps sets of: sites keep them before they open a figure together, so that such a release broke off before.
///
/// # Errors
/// `ALREADY_RELEASED` when that answer came out before: the analyst has it. `ANSWERED_UNHIDDEN` when something may have come out of which no
/// site keeps patients, because small cells were shown. `LEDGER_DIFFERS`, `LEDGER_ROLLED_BACK` when sites cannot have
/// been at the same release.
pub fn earlier(words: &[Signed], plan: &[u8; 32]) -> Result<Vec<Earlier>, NodeError> {
    let mut all: BTreeMap<[u8; 16], Vec<&Past>> = BTreeMap::new();
    for past in words.iter().flat_map(|said| &said.word.past) {
        all.entry(past.id).or_default().push(past);
    }
    let mut earlier = Vec::new();
    for (id, known) in all {
        let everywhere = known.len() == words.len();
        let same = everywhere && known.iter().all(|past| past.plan == *plan && past.same_data);
        if same && known.iter().any(|past| past.released) {
            let message = "the same question was answered from the same data before";
            return Err(NodeError::new("ALREADY_RELEASED", message).hint("the analyst keeps the answer"));
        }
        if known.iter().any(|past| past.unhidden) {
            let message = "questions of this study were answered before small cells were hidden: nothing can be compared with them";
            return Err(NodeError::new("ANSWERED_UNHIDDEN", message).hint("agree on another study"));
        }
        if !same && let Some(sets) = kept(&known, everywhere)? {
            let busy_ms = known.iter().map(|past| past.busy_ms).max().unwrap_or_default();
            let everyone = known.iter().any(|past| past.everyone);
            earlier.push(Earlier { id, sets, busy_ms, everyone });
        }
    }
    Ok(earlier)
}

/// How many sets all sites keep of a release, if they do.
fn kept(known: &[&Past], everywhere: bool) -> Result<Option<usize>, NodeError> {
    let mut kept = known.iter().filter_map(|past| Some((past.figures?, past.sets)));
    let Some(first) = kept.next() else { return Ok(None) };
    if kept.any(|other| other != first) {
        let message = "sites keep sets of patients of the same release that were not made in the same way";
        return Err(
            NodeError::new("LEDGER_DIFFERS", message).hint("ask the stewards to compare what `consilium ledger` lists")
        );
    }
    let by_all = everywhere && known.iter().all(|past| past.figures.is_some());
    if !by_all && known.iter().any(|past| past.released) {
        let message = "an answer of this study came out, and a site does not keep its patients";
        return Err(NodeError::new("LEDGER_ROLLED_BACK", message)
            .hint("restore the newest ledger and log; nothing is answered from this one"));
    }
    Ok(by_all.then_some(first.1 as usize))
}

/// Every site's word is its own and of this run, everybody consents to exactly this plan, and nobody's log is shorter than it was.
///
/// # Errors
/// `PROTOCOL_VIOLATION` for words that are not those of the network's sites, `NOT_APPROVED`, `STUDY_NOT_SIGNED`,
/// `PEER_ROLLED_BACK`. They name the site.
pub fn verify(
    network: &Network,
    (job, start): (&JobId, &Start),
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
        if !said.is_of(&key) || word.job != *job {
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
