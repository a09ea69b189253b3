//! An opened intersection: two sites match their patients, everybody else waits until the receiver says that it is done.

use std::time::Duration;

use mpc_core::error::LocalFault;
use mpc_core::{PartyId, PeerFault, Result, Session};
use protocols::additive::Additive;
use protocols::matching::psi;
use protocols::ot::Ot;
use query_planner::catalog::SiteName;
use query_planner::disclosure::DisclosureId;
use query_planner::intersection::{Intersection, Method};
use query_planner::{Audience, JointPlan};

use super::Ended;
use crate::fault::NodeError;
use crate::govern::sets::{Person, Sets};
use crate::local::common::OwnSet;

/// Runs the plan's intersection at this party. The two sites give their sets; a site notes its patients before anything is sent, and the
/// receiver `deliver`s the positions of the patients in common, in its own set, before it says that it is done.
///
/// # Errors
/// The protocols' own; `Local` for a plan that contradicts itself, and as `note` and `deliver`.
pub async fn run(
    engine: &mut Additive,
    (plan, found): (&JointPlan, &Intersection),
    own: Option<&OwnSet>,
    note: impl AsyncFnOnce(Sets) -> std::result::Result<(), NodeError>,
    deliver: impl AsyncFnOnce(Vec<usize>) -> std::result::Result<(), NodeError>,
) -> Result<Ended> {
    let session = &mut *engine.session().step("intersection");
    let failed = |session: &Session, why: String| session.local(LocalFault::Other(why));
    // Nothing is opened that the plan does not disclose, here as elsewhere.
    if !plan.disclosures.iter().any(|disclosure| disclosure.id == DisclosureId::intersection()) {
        return Err(failed(session, "an intersection that is not disclosed".into()));
    }
    let place = |site: &SiteName| plan.sites.iter().position(|known| known.same(site)).map(|at| PartyId(at as u8));
    let (Some(receiver), Some(sender)) = (place(&found.receiver), place(&found.sender)) else {
        return Err(failed(session, "an intersection of a site that does not compute".into()));
    };
    let me = session.me();
    if session.is_site() {
        note(noted([receiver, sender], me, own)).await.map_err(|error| failed(session, error.to_string()))?;
    }
    let set = || own.ok_or_else(|| "a site that has not read its patients".to_owned());
    let [size, other_size] = found.sizes.map(|size| size as usize);
    if me == receiver {
        let set = set().map_err(|why| failed(session, why))?;
        let keys = psi::padded(session, &set.keys, size)?;
        let (mut ot, method) = prepared(session, found.method, sender).await?;
        let positions = psi::receive(session, &mut ot, method, sender, &keys, other_size).await?;
        // A dummy is nobody's, and matches nothing.
        let positions = positions.into_iter().filter(|at| *at < set.keys.len()).collect();
        deliver(positions).await.map_err(|error| failed(session, error.to_string()))?;
        let parties = session.parties();
        let others: Vec<PartyId> = parties.sites().chain(parties.analyst()).filter(|party| *party != me).collect();
        session.send_all(&others, &[DONE])?;
    } else {
        if me == sender {
            let set = set().map_err(|why| failed(session, why))?;
            let keys = psi::padded(session, &set.keys, other_size)?;
            let (mut ot, method) = prepared(session, found.method, receiver).await?;
            psi::send(session, &mut ot, method, receiver, &keys, size).await?;
        }
        session.wait_longer(patience(found));
        if session.recv::<u64>(receiver, 1).await? != [DONE] {
            return Err(session.peer(receiver, PeerFault::NonCanonical("word that it is done")));
        }
    }
    let told = !session.is_site() || plan.audience == Audience::Everyone;
    Ok(Ended::Released(told.then(Vec::new)))
}

/// The plan's choice in the protocols' words, with the base OTs that it needs.
async fn prepared(session: &mut Session, method: Method, with: PartyId) -> Result<(Ot, psi::Method)> {
    Ok(match method {
        Method::Ecdh => (Ot::none(), psi::Method::DiffieHellman),
        Method::Oprf => (Ot::setup_with_one(session, with).await?, psi::Method::Vole),
    })
}

/// Two sets, the receiver's and the sender's, of which a site knows its own.
fn noted(parts: [PartyId; 2], me: PartyId, own: Option<&OwnSet>) -> Sets {
    let keys = own.map(|own| &own.keys[..]).unwrap_or_default();
    let all: Vec<u32> = (0..keys.len() as u32).collect();
    let members = parts.map(|part| if part == me { all.clone() } else { Vec::new() });
    let domain = own.map(|own| own.domain).unwrap_or_default();
    Sets::said(domain, keys.iter().map(|key| Person::of(vec![Some(key.to_le_bytes())])).collect(), members.into())
}

/// What the two compute while others wait for nothing else.
fn patience(found: &Intersection) -> Duration {
    Duration::from_micros(10 * found.sizes.iter().sum::<u64>())
}

const DONE: u64 = 1;
