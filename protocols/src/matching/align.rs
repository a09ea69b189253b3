//! Patients of several sites side by side: one site's patients in its bins, and in each bin the other sites' values for the same
//! patient, as shares among all sites.
//!
//! A run names a receiver and the senders it is matched against, one circuit-PSI for each. All of them use the same bins of the
//! receiver, so that their rows are about the same patients; OPRF, tags and masks are fresh for each pair. Which patient is in which bin the
//! receiver alone knows; who of the senders has that patient nobody does.
//!
//! Where patients have keys for several passes, every pass has bins of its own, and a segment's rows are the receiver's, in the order
//! in which it entered them: see `passes`.
//!
//! # Security
//! Semi-honest, dishonest majority: of a pair only its two sites hold anything but zeros, so shares of a bin are as safe as
//! the two do not collude, and what is computed from them with other sites' shares is as safe as that protocol.

use std::time::Duration;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PartyId, Result, Session, Z64};

use super::circuit_psi::{Bins, Choices, receive, send};
use super::passes;
use super::table::{Entered, PatientTable, Shape, rows};
use crate::additive::Additive;
use crate::ot::Ot;
use crate::parameters::matching::{MAX_PASSES, MAX_PATIENTS};
use crate::share::{ArithShare, BitShare};

/// One receiver's bins, shares among all sites; sites that hold no part of a column hold zeros.
#[derive(Debug)]
pub struct Segment {
    /// Whose patients the bins hold.
    pub receiver: PartyId,
    /// How many bins; with several passes, how many rows the receiver enters.
    pub rows: usize,
    /// The senders in order, and then the receiver itself.
    pub holders: Vec<Holder>,
}

/// What one site has for the patients of a segment.
#[derive(Debug)]
pub struct Holder {
    /// The site.
    pub site: PartyId,
    /// One bit: does the site have this bin's patient? The receiver's own is 1 where the bin has a patient.
    pub member: BitShare,
    /// The site's numbers for it; zero where it has none.
    pub numbers: Vec<ArithShare<Z64>>,
    /// The site's bits for it; zero where it has none.
    pub bits: BitShare,
}

impl Holder {
    /// This party's part, from rows of words.
    pub(super) fn new(site: PartyId, shape: &Shape, member: Bits, words: &[u64]) -> Self {
        let (numbers, bits) = shape.columns(words, member.rows());
        Self { site, member: BitShare::new(member), numbers, bits }
    }

    fn zeros(site: PartyId, shape: &Shape, rows: usize) -> Self {
        let numbers = (0..shape.numbers).map(|_| ArithShare::zeros(rows)).collect();
        Self { site, member: BitShare::zeros(rows, 1), numbers, bits: BitShare::zeros(rows, shape.bits) }
    }
}

/// Who is matched: a receiver and its senders.
pub type Run = (PartyId, Vec<PartyId>);

/// The segments of these runs with zeros everywhere: at a party that is no site, and for counting what comes after.
pub fn empty(shapes: &[Shape], runs: &[Run]) -> Vec<Segment> {
    runs.iter().map(|run| empty_segment(shapes, run)).collect()
}

fn empty_segment(shapes: &[Shape], (receiver, senders): &Run) -> Segment {
    let shape = &shapes[receiver.index()];
    // Nobody asks about the rows of a site without senders: they need no bins.
    let rows = if senders.is_empty() { shape.patients } else { shape.segment_rows() };
    let holders = senders.iter().chain([receiver]);
    let holders = holders.map(|site| Holder::zeros(*site, &shapes[site.index()], rows)).collect();
    Segment { receiver: *receiver, rows, holders }
}

/// Goes through the runs in order: each receiver's patients in its bins, with the values of all its senders. A receiver without
/// senders enters its rows as they stand. `shapes` are all sites', by site; `own` is this site's table, None where it has none.
///
/// Every site calls it with the same shapes and runs. Pairs of sites that have nothing to do with each other work side by side.
/// Rounds and bytes: [`crate::cost::align`]. Memory at 2^20 patients about 300 MB; it grows by 16 bytes a bin for each word of a row.
///
/// # Errors
/// `Local` when shapes or runs do not fit the session, the table not its shape, or (with probability below 2^-40) the keys not their
/// bins; as [`Session::recv`] says.
pub async fn align(
    engine: &mut Additive,
    shapes: &[Shape],
    runs: &[Run],
    own: Option<PatientTable>,
) -> Result<Vec<Segment>> {
    check(engine.session(), shapes, runs)?;
    let mut segments = empty(shapes, runs);
    if !engine.session().is_site() || runs.is_empty() {
        return Ok(segments);
    }
    let (session, ot) = engine.session_and_ot().await?;
    let mut session = session.step("align");
    let shape = shapes[session.me().index()];
    let entered = Entered::new(&mut session, own, shape)?;
    let mut bins_before = 0;
    for (segment, run) in segments.iter_mut().zip(runs) {
        // A peer may still be busy with the pairs before.
        session.wait_longer(PATIENCE_PER_BIN * bins_before);
        let mut session = session.step("receiver");
        if run.0 == session.me() {
            as_receiver(&mut session, ot, shapes, run, &entered, segment).await?;
        } else {
            as_sender(&mut session, ot, shapes, run, &entered, segment).await?;
        }
        let pair = rows(shapes[run.0.index()].patients) * shape.passes;
        bins_before += (pair * run.1.len()) as u32;
    }
    Ok(segments)
}

/// Several times what a pair takes for each bin and pass on a slow machine.
const PATIENCE_PER_BIN: Duration = Duration::from_micros(50);

async fn as_receiver(
    session: &mut Session,
    ot: &mut Ot,
    shapes: &[Shape],
    (receiver, senders): &Run,
    entered: &Entered,
    segment: &mut Segment,
) -> Result<()> {
    if senders.is_empty() {
        segment.holders = vec![entered.as_they_stand(*receiver)];
        return Ok(());
    }
    let shape = &entered.shape;
    if shape.passes > 1 {
        let bins = passes::bins(session, entered)?;
        for (sender, holder) in senders.iter().zip(&mut segment.holders) {
            let mut session = session.step("pair");
            let shapes = (shape, &shapes[sender.index()]);
            *holder = passes::receive(&mut session, ot, *sender, &bins, shapes).await?;
        }
        segment.holders[senders.len()] = entered.as_they_stand(*receiver);
        return Ok(());
    }
    let bins = Bins::new(session, entered, 0)?;
    for (sender, holder) in senders.iter().zip(&mut segment.holders) {
        let mut session = session.step("pair");
        *holder = receive(&mut session, ot, *sender, &bins, &shapes[sender.index()]).await?;
    }
    if let Some(own) = segment.holders.last_mut() {
        *own = entered.in_bins(*receiver, &bins);
    }
    Ok(())
}

/// At a sender, and at a site that has no part in the run but takes the same steps.
async fn as_sender(
    session: &mut Session,
    ot: &mut Ot,
    shapes: &[Shape],
    (receiver, senders): &Run,
    entered: &Entered,
    segment: &mut Segment,
) -> Result<()> {
    let me = session.me();
    if !senders.contains(&me) {
        return Ok(());
    }
    let shape = &shapes[receiver.index()];
    if shape.passes > 1 {
        let choices = passes::choices(session, shape);
        for (sender, holder) in senders.iter().zip(&mut segment.holders) {
            let mut session = session.step("pair");
            if *sender == me {
                *holder = passes::send(&mut session, ot, *receiver, &choices, (shape, entered)).await?;
            }
        }
        return Ok(());
    }
    let choices = Choices::new(session, shape.patients);
    for (sender, holder) in senders.iter().zip(&mut segment.holders) {
        let mut session = session.step("pair");
        if *sender == me {
            *holder = send(&mut session, ot, *receiver, &choices, (entered, 0)).await?;
        }
    }
    Ok(())
}

fn check(session: &Session, shapes: &[Shape], runs: &[Run]) -> Result<()> {
    let refused = |why: &str| Err(session.local(LocalFault::Other(why.into())));
    let parties = session.parties();
    if shapes.len() != parties.site_count() {
        return refused("every site has one shape");
    }
    let passes = shapes.first().map_or(1, |shape| shape.passes);
    if !(1..=MAX_PASSES).contains(&passes) || shapes.iter().any(|shape| shape.passes != passes) {
        return refused("all sites match in the same passes, of which there is at least one");
    }
    if shapes.iter().any(|shape| shape.patients > MAX_PATIENTS) {
        return refused("a table of patients is larger than the reviewed sizes");
    }
    let is_sound = |(receiver, senders): &Run| {
        let apart = |(at, sender): (usize, &PartyId)| sender != receiver && !senders[..at].contains(sender);
        parties.is_site(*receiver)
            && senders.iter().all(|sender| parties.is_site(*sender))
            && senders.iter().enumerate().all(apart)
    };
    if runs.iter().all(is_sound) { Ok(()) } else { refused("a run has a site and other sites, each once") }
}
