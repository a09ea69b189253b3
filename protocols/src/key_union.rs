//! Agreeing the group keys that occur at any site, without showing which site holds one.

use std::time::Duration;

use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::field::F61;
use mpc_core::random::Domain;
use mpc_core::wire::Bytes32;
use mpc_core::{PartyId, Result, Session};
use sha2::{Digest, Sha256};

use crate::additive::Additive;
use crate::engine::Engine;
use crate::sketch::Shape;

/// The public limits of one key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most distinct keys of one site, and of the union.
    pub max_keys: usize,
    /// How many sites have keys.
    pub contributors: usize,
    /// Most bytes of one key.
    pub max_key_bytes: usize,
}

impl Limits {
    /// Field elements of the sketch that is revealed to the analyst.
    pub fn sketch_elements(self) -> usize {
        self.shape([0; 32]).elements()
    }

    /// Room for every contributor's keys, so that no honest input overfills the sketch and shows a part of itself.
    fn shape(self, seed: [u8; 32]) -> Shape {
        Shape::new(self.max_keys * self.contributors, self.max_key_bytes, seed)
    }
}

/// Every party learns the union of the sites' keys, sorted. `own` is this site's keys (the analyst has none), `id` what the
/// statement calls the keys, whose sketch is opened to the analyst. A sealed sum, then two rounds: the list comes back and the sites
/// compare what they got.
///
/// # Source
/// Sketch: Goodrich–Mitzenmacher, Invertible Bloom Lookup Tables, 2011, made linear over a field.
/// # Privacy
/// Each site enters a key with a fresh uniform weight; the analyst sees, for each key of the union, the sum of its
/// holders' weights, which is uniform whoever holds it; sites see the union only. A coalition of the analyst and all
/// other sites knows its own weights and so can tell whether the remaining site holds a key. It can tell the same from
/// the answer: callers release the exact row count of each key to the same analyst, and a count minus the coalition's own
/// rows is positive exactly when the site holds the key. Used where counts stay hidden, this protocol would leak; the
/// planner never does. A run that fails after the sketch was opened has released the keys without the counts: the same
/// coalition then knows which of them the remaining site holds, and a retry shows nothing new.
/// # Errors
/// `Local` when the union has more than `max_keys` keys; `Peer(Echo)` when the analyst gave the sites different lists.
pub async fn agree(engine: &mut Additive, own: &[Vec<u8>], limits: Limits, id: &str) -> Result<Vec<Vec<u8>>> {
    let analyst = engine.session().parties().analyst();
    let Some(analyst) = analyst else {
        return Err(engine.session().local(LocalFault::Role("agreeing keys needs an analyst")));
    };
    let shape = limits.shape(sketch_seed(engine.session(), id));
    let sketch = if engine.session().is_site() {
        let mut weights = engine.session().step("sketch").private_rng(Domain::SketchWeight)?;
        shape.build(own, &mut weights)
    } else {
        Vec::new()
    };
    let sketch = engine.input(sketch);
    let permit = engine.permit::<F61>(id, limits.sketch_elements())?.by_way_of_the_analyst();
    match engine.reveal(sketch, permit).await? {
        Some(sum) => {
            let s = engine.session();
            let keys = shape.read(sum).map_err(|e| s.local(LocalFault::Other(e.to_string())))?;
            if keys.len() > limits.max_keys {
                let message = format!("{} group keys: the plan allows {}", keys.len(), limits.max_keys);
                return Err(s.local(LocalFault::Other(message)));
            }
            send_list(s, &keys)?;
            Ok(keys)
        }
        None => receive_list(engine.session(), analyst, limits).await,
    }
}

/// How much longer than one step a site waits for what the analyst makes of everybody's messages.
const RELAY_MARGIN: Duration = Duration::from_secs(3);

fn sketch_seed(s: &Session, id: &str) -> [u8; 32] {
    Sha256::new().chain_update(b"consilium sketch seed v1\0").chain_update(s.id().0).chain_update(id).finalize().into()
}

fn send_list(s: &mut Session, keys: &[Vec<u8>]) -> Result<()> {
    let sites: Vec<PartyId> = s.parties().sites().collect();
    let lengths: Vec<u32> = keys.iter().map(|k| u32::try_from(k.len()).expect("a key fits its sketch")).collect();
    let mut s = s.step("list");
    s.send_all(&sites, &[u32::try_from(keys.len()).expect("keys fit their sketch")])?;
    s.send_all(&sites, &lengths)?;
    s.send_all(&sites, &keys.concat())
}

async fn receive_list(session: &mut Session, analyst: PartyId, limits: Limits) -> Result<Vec<Vec<u8>>> {
    let mut s = session.step("list");
    // The analyst may still wait for a site that is lost; it will say so.
    s.wait_longer(RELAY_MARGIN);
    let count = s.recv::<u32>(analyst, 1).await?[0] as usize;
    if count > limits.max_keys {
        return Err(s.peer(analyst, PeerFault::Disagrees("the number of keys")));
    }
    let lengths: Vec<usize> = s.recv::<u32>(analyst, count).await?.iter().map(|l| *l as usize).collect();
    if lengths.iter().any(|l| *l > limits.max_key_bytes) {
        return Err(s.peer(analyst, PeerFault::Disagrees("the length of a key")));
    }
    let bytes: Vec<u8> = s.recv(analyst, lengths.iter().sum()).await?;
    drop(s);
    let mut rest = bytes.as_slice();
    let keys: Vec<Vec<u8>> = lengths
        .into_iter()
        .map(|len| {
            let (key, tail) = rest.split_at(len);
            rest = tail;
            key.to_vec()
        })
        .collect();
    if !keys.is_sorted_by(|a, b| a < b) {
        return Err(session.peer(analyst, PeerFault::Disagrees("the order of the keys")));
    }
    compare(session, analyst, &keys).await?;
    Ok(keys)
}

/// All sites must have the same list, or the analyst could make a site stand out by giving it another one.
async fn compare(session: &mut Session, analyst: PartyId, keys: &[Vec<u8>]) -> Result<()> {
    let mut hash = Sha256::new().chain_update(b"consilium key list v1\0").chain_update(session.id().0);
    for key in keys {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
    }
    let mine: Bytes32 = hash.finalize().into();
    let mut s = session.step("compare");
    let all = s.exchange(&[mine]).await?;
    let differs = s.parties().sites().find(|site| all[site.index()] != [mine]);
    differs.map_or(Ok(()), |site| Err(s.peer(site, PeerFault::Echo { suspects: vec![analyst] })))
}
