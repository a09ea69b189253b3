//! Patients of several sites side by side: one site's patients in its bins, and in each bin the other sites' values for the same
//! patient, as shares among all sites.
//!
//! A run names a receiver and the senders it is matched against, one circuit-PSI for each. All of them use the same bins of the
//! receiver, so that their rows are about the same patients; OPRF, tags and masks are fresh for each pair. Which patient is in which bin the
//! receiver alone knows; who of the senders has that patient nobody does.
//!
//! Where patients have keys for several passes, or several keys in a pass, every pass has bins of its own, and a segment's rows are
//! the receiver's, in the order in which it entered them: see `passes`.
//!
//! # Security
//! Semi-honest, dishonest majority: of a pair only its two sites hold anything but zeros, so shares of a bin are as safe as
//! the two do not collude, and what is computed from them with other sites' shares is as safe as that protocol.

use std::time::Duration;

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PartyId, Result, Session, Z64};

use super::circuit_psi::{Bins, Choices, receive, send};
use super::passes;
use super::table::{Entered, PatientTable, Places, Shape, rows};
use crate::additive::Additive;
use crate::ot::Ot;
use crate::parameters::matching::{MAX_PASSES, MAX_PATIENTS};
use crate::share::{ArithShare, BitShare};

/// One receiver's bins, shares among all sites; sites that hold no part of a column hold zeros.
#[derive(Debug)]
pub struct Segment {
    /// Whose patients the bins hold.
    pub receiver: PartyId,
    /// How many bins; where a row may have several keys, how many rows the receiver enters.
    pub rows: usize,
    /// The senders in order, and then the receiver itself.
    pub holders: Vec<Holder>,
    /// At the receiver where its rows are; empty at every other party.
    pub places: Places,
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
    Segment { receiver: *receiver, rows, holders, places: Places::default() }
}

/// Goes through the runs in order: each receiver's patients in its bins, with the values of all its senders. A receiver without
/// senders enters its rows as they stand. `shapes` are all sites', by site; `own` is this site's table, None where it has none.
///
/// Every site calls it with the same shapes and runs. Pairs of sites that have nothing to do with each other work side by side.
/// Rounds and bytes: [`crate::cost::align`]. Memory at 2^20 patients about 210 MB at each site of a pair, and 30 MB more for each
/// word of a row.
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
    let (mut segments, mut schedule) = (empty(shapes, runs), Schedule::new(shapes.len()));
    if !engine.session().is_site() {
        runs.iter().for_each(|run| schedule.all(run, shapes));
        engine.session().wait_longer(schedule.end());
        return Ok(segments);
    }
    let (session, ot) = engine.session_and_ot().await?;
    let mut session = session.step("align");
    let shape = shapes[session.me().index()];
    let entered = Entered::new(&mut session, own, shape)?;
    for (segment, run) in segments.iter_mut().zip(runs) {
        one_run(&mut session.step("receiver"), ot, shapes, run, &entered, &mut schedule, segment).await?;
    }
    meet(&mut session, schedule.end()).await?;
    Ok(segments)
}

/// What this site does in a run, for each pass.
enum Role {
    Receiver(Vec<Bins>),
    Sender(Vec<Choices>),
    /// Takes the same steps, but has no part.
    Outside,
}

impl Role {
    fn of(session: &mut Session, shapes: &[Shape], (receiver, senders): &Run, entered: &Entered) -> Result<Role> {
        let me = session.me();
        Ok(match (me == *receiver && !senders.is_empty(), senders.contains(&me)) {
            (true, _) => Role::Receiver(passes::bins(session, entered)?),
            (_, true) => Role::Sender(passes::choices(session, &shapes[receiver.index()])),
            _ => Role::Outside,
        })
    }
}

async fn one_run(
    session: &mut Session,
    ot: &mut Ot,
    shapes: &[Shape],
    run: &Run,
    entered: &Entered,
    schedule: &mut Schedule,
    segment: &mut Segment,
) -> Result<()> {
    let (me, (receiver, senders)) = (session.me(), run);
    let role = Role::of(session, shapes, run, entered)?;
    for (sender, holder) in senders.iter().zip(&mut segment.holders) {
        let mut session = session.step("pair");
        session.wait_longer(schedule.next(*receiver, *sender, work(&shapes[receiver.index()])));
        let of_pair = (&shapes[receiver.index()], &shapes[sender.index()]);
        match &role {
            Role::Receiver(bins) => *holder = as_receiver(&mut session, ot, *sender, bins, of_pair).await?,
            Role::Sender(choices) if *sender == me => {
                *holder = as_sender(&mut session, ot, *receiver, choices, (of_pair.0, entered)).await?
            }
            _ => {}
        }
    }
    let own = match &role {
        Role::Receiver(bins) if shapes[receiver.index()].is_by_bins() => Some(entered.in_bins(me, &bins[0])),
        _ if me == *receiver => Some(entered.as_they_stand(me)),
        _ => None,
    };
    if let (Some((own, places)), Some(last)) = (own, segment.holders.last_mut()) {
        *last = own;
        segment.places = places;
    }
    Ok(())
}

async fn as_receiver(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    bins: &[Bins],
    (own, sender): (&Shape, &Shape),
) -> Result<Holder> {
    match bins {
        [bins] if own.is_by_bins() => receive(session, ot, from, bins, sender).await,
        _ => passes::receive(session, ot, from, bins, (own, sender)).await,
    }
}

async fn as_sender(
    session: &mut Session,
    ot: &mut Ot,
    to: PartyId,
    choices: &[Choices],
    (receiver, entered): (&Shape, &Entered),
) -> Result<Holder> {
    match choices {
        [choices] if receiver.is_by_bins() => send(session, ot, to, choices, (entered, 0)).await,
        _ => passes::send(session, ot, to, choices, (receiver, entered)).await,
    }
}

/// Bins of a pair, in all passes.
fn work(receiver: &Shape) -> usize {
    rows(receiver.keys()) * receiver.passes
}

/// One round after which no site is busy with pairs any more, so that later steps need no patience. Two sites have met already.
async fn meet(session: &mut Session, patience: Duration) -> Result<()> {
    let mut session = session.step("meet");
    session.wait_longer(patience);
    if session.parties().site_count() > 2 {
        session.exchange(&[0u8]).await?;
    }
    Ok(())
}

/// How long a site may be busy before it comes to a pair: public, the same at all sites.
struct Schedule {
    busy: Vec<Duration>,
}

impl Schedule {
    fn new(sites: usize) -> Self {
        Self { busy: vec![Duration::ZERO; sites] }
    }

    /// Whoever waits in the next pair waits so much longer: a lost site is named by the pair before, which gives up first.
    fn next(&mut self, receiver: PartyId, sender: PartyId, bins: usize) -> Duration {
        let pair = [receiver.index(), sender.index()];
        let start = pair.map(|site| self.busy[site]).into_iter().max().unwrap_or_default();
        let end = start + PAIR_MARGIN + PATIENCE_PER_BIN * bins as u32;
        pair.into_iter().for_each(|site| self.busy[site] = end);
        start
    }

    fn all(&mut self, (receiver, senders): &Run, shapes: &[Shape]) {
        let bins = work(&shapes[receiver.index()]);
        for sender in senders {
            self.next(*receiver, *sender, bins);
        }
    }

    fn end(&self) -> Duration {
        self.busy.iter().max().copied().unwrap_or_default()
    }
}

/// Several times what a pair takes for each bin and pass on a slow machine.
const PATIENCE_PER_BIN: Duration = Duration::from_micros(50);

/// More than the session's own margin between an early round and a late one.
const PAIR_MARGIN: Duration = Duration::from_secs(3);

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
    if shapes.iter().any(|shape| shape.keys() > MAX_PATIENTS) {
        return refused("a table of patients is larger than the reviewed sizes");
    }
    if shapes.iter().any(|shape| shape.further.rows > shape.patients) {
        return refused("further keys are of rows");
    }
    let is_sound = |(receiver, senders): &Run| {
        let apart = |(at, sender): (usize, &PartyId)| sender != receiver && !senders[..at].contains(sender);
        parties.is_site(*receiver)
            && senders.iter().all(|sender| parties.is_site(*sender))
            && senders.iter().enumerate().all(apart)
    };
    if runs.iter().all(is_sound) { Ok(()) } else { refused("a run has a site and other sites, each once") }
}
