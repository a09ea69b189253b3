//! Opening a shared column: re-randomise, commit, echo, open.

use blake3::Hasher;
use mpc_core::error::PeerFault;
use mpc_core::random::Domain;
use mpc_core::step::StepPath;
use mpc_core::wire::{self, Bytes32};
use mpc_core::{PartyId, Result, Ring, Session};

use super::masking::add_zero_share;
use crate::release::{Audience, Release};
use crate::share::ArithShare;

/// A site's side of opening a column to its audience. Three rounds, two for two sites (who need no echo).
///
/// 1. Re-randomise: the summand gets a fresh zero-share, so that it is uniform but for the sum.
/// 2. Commit: a 32-byte commitment to the summand goes to every other site.
/// 3. Echo: the list of all commitments goes to every other site (N > 2) and to a waiting analyst.
/// 4. Open: salt and summand go to the audience, but not before every site has echoed the same list.
///
/// Commitments keep the last site to open from choosing the sum, the echo keeps a site from committing to different
/// things towards different sites. Neither makes a site's input true.
///
/// # Source
/// Masking: `masking.rs`. Hash commitments with echo broadcast: Goldwasser–Lindell, Secure Computation Without
/// Agreement, J. Cryptology 2005, protocol 1. The whole list is echoed, not its hash, so that a mismatch names two
/// suspects instead of none.
/// # Errors
/// `Peer(Echo)` names everybody who may have caused a contradiction; `Peer(Commitment)` a site that opened something else.
pub(super) async fn open<R: Ring>(
    session: &mut Session,
    mut share: ArithShare<R>,
    release: &Release,
) -> Result<Option<Vec<R>>> {
    let mut s = session.step("reveal");
    add_zero_share(&mut s, Domain::ReleaseZeroShare, share.column_mut())?;
    let mut salt = [0; 32];
    s.private_rng(Domain::CommitSalt)?.fill(&mut salt);
    let place = s.path().clone();
    let mine = commit(&s, &place, &salt, share.column());

    let others = s.other_sites();
    let commitments = s.step("commit").exchange(&[mine]).await?;
    let commitments: Vec<Bytes32> = commitments.into_iter().flatten().collect();
    let analyst = s.parties().analyst();
    echo(&mut s, &others, analyst, &commitments).await?;

    let mut s = s.step("open");
    let mut audience = match release.audience {
        Audience::Analyst => Vec::new(),
        Audience::Everyone => others.clone(),
    };
    audience.extend(analyst);
    s.send_all(&audience, &[salt])?;
    s.send_all(&audience, share.column())?;
    if release.audience == Audience::Analyst {
        return Ok(None);
    }
    let mut sum = Unchecked { place, column: share.into_column() };
    for from in others {
        sum.add_opening(&mut s, from, &commitments[from.index()]).await?;
    }
    Ok(Some(sum.column))
}

/// The analyst's side: accepts only openings of commitments on which all sites agree. Owns no summand.
///
/// # Errors
/// As for [`open`].
pub(super) async fn receive<R: Ring>(session: &mut Session, release: &Release) -> Result<Vec<R>> {
    let mut s = session.step("reveal");
    let place = s.path().clone();
    let sites: Vec<PartyId> = s.parties().sites().collect();
    let commitments = {
        let mut s = s.step("echo");
        let first: Vec<Bytes32> = s.recv(sites[0], sites.len()).await?;
        for from in &sites[1..] {
            let list = s.recv(*from, sites.len()).await?;
            s.same_reports(*from, &first, &list, Some(sites[0]))?;
        }
        first
    };
    let mut s = s.step("open");
    let mut sum = Unchecked { place, column: vec![R::default(); release.elements] };
    for from in sites {
        sum.add_opening(&mut s, from, &commitments[from.index()]).await?;
    }
    Ok(sum.column)
}

async fn echo(s: &mut Session, others: &[PartyId], analyst: Option<PartyId>, commitments: &[Bytes32]) -> Result<()> {
    let mut s = s.step("echo");
    if let Some(analyst) = analyst {
        s.send(analyst, commitments)?;
    }
    s.echo(others, commitments).await
}

/// Openings that no commitment has vouched for yet. The column leaves this file only after every check passed.
struct Unchecked<R> {
    place: StepPath,
    column: Vec<R>,
}

impl<R: Ring> Unchecked<R> {
    /// Adds one site's opening, hashing it as it arrives, and checks it against its commitment.
    async fn add_opening(&mut self, s: &mut Session, from: PartyId, commitment: &Bytes32) -> Result<()> {
        let salt: Vec<Bytes32> = s.recv(from, 1).await?;
        let mut hash = commitment_hash(s, &self.place, from, &salt[0], self.column.len());
        let mut at = 0;
        let len = self.column.len();
        let column = &mut self.column;
        s.recv_blocks(from, len, |block: &[R]| {
            hash.update(&wire::as_le_bytes(block));
            R::add_columns(&mut column[at..at + block.len()], block);
            at += block.len();
        })
        .await?;
        let opened: Bytes32 = hash.finalize().into();
        if opened == *commitment { Ok(()) } else { Err(s.peer(from, PeerFault::Commitment)) }
    }
}

fn commit<R: Ring>(s: &Session, place: &StepPath, salt: &Bytes32, column: &[R]) -> Bytes32 {
    let mut hash = commitment_hash(s, place, s.me(), salt, column.len());
    hash.update(&wire::as_le_bytes(column));
    hash.finalize().into()
}

/// BLAKE3 (four times as fast as SHA-256 here, and it hashes every released byte) over domain, session, step, party, length and salt; the column follows.
fn commitment_hash(s: &Session, place: &StepPath, party: PartyId, salt: &Bytes32, elements: usize) -> Hasher {
    let mut hash = Hasher::new_derive_key("consilium 2026-11-22 commitment v1");
    hash.update(&s.id().0);
    hash.update(&place.id().0);
    hash.update(&[party.0]);
    hash.update(&(elements as u64).to_le_bytes());
    hash.update(salt);
    hash
}
