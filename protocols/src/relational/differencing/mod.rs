//! Is a set of patients that a release is asked about close to the set of an earlier release? One bit, opened to everybody.
//!
//! A patient is in joint set c if any site says so, or where sets are [`Counted`] if that follows from what all sites know of the patient. The check says "too close" if the symmetric difference of any of the named pairs of
//! joint sets has fewer than `least` patients; none at all is fewer, too, but for those that [may be equal](Ledgered::or_equal). Two of these of
//! which neither has so many patients that it is [shown](Ledgered::shown) are not too close, whatever is between them.
//!
//! There are two forms, of which the one with fewer OTs is taken ([`Ledgered::in_cheapest_form`]). [`Form::Once`]:
//!
//! 1. Every site's patients in its bins, with the bits of all other sites beside them ([`crate::matching::align()`], all against all). A
//!    patient is taken where its first site has it: a bin of site j is masked by "no site i < j has this patient", so that each patient of the
//!    union is in exactly one bin, with what the sites j, j + 1, … know of it, which are all sites that have it: the OR of their bits, or the
//!    flags of a circuit ([`crate::relational::patients`]).
//! 2. Then the bins of all sites are columns of shared bits, one for each set, and a symmetric difference is a XOR: no message.
//! 3. Its ones are counted with one AND for each bin, or, where that is dear, the column is first thrown into few buckets by public
//!    random hashes, of which only the parity is taken: no message either. See [`Method`].
//! 4. Counts are compared with `least`, the results joined, and the one bit goes through the engine's `reveal`.
//!
//! [`Form::Telescoped`]: every site's patients with the bits of the sites before it, half the pairs of sites; a bin counts a difference by what the sites up to its
//! own say, less one by what those before say, as numbers, of which the sum over all bins is the number of differing patients; then as 4. Exact.
//!
//! # Privacy
//! Nothing is opened but that bit; sizes, numbers of sets and pairs are public, and there is no early exit. "Not too close" says that
//! all pairs differ by at least `least` patients, "too close" that some pair does not (not which): the caller charges a refusal for it.
//! Telescoped, products and numbers are made by OTs whose choices are the sites' own shares, and every output has masks of its own: what a site sees of
//! them are corrections under the streams of base OTs, and messages under masks that it did not choose. OTs of a pair of sets are the sums of theirs, hashed under
//! numbers of their own: what that asks of the hash is at `Received::join` (`ot/soft_spoken.rs`).
//! # Source
//! Each patient once, at its first site: as in [`super::frequent_keys`]. Full adders on bit planes: Boyar–Peralta–Pochuev 2000, one AND
//! each. Parities of random buckets against collisions are ours, argued at [`Method`].
//! # Deviations
//! What telescopes are signed counts, which need a number for each bin and pair of sets, where bits of patients that appear once are thrown together
//! for nothing: many pairs of sets are compared in the first form.
//! With several passes being found is no equivalence (see `matching/passes.rs`): where one patient is found for two, who is one patient is not
//! defined, and the figure may differ from that of another order of the sites by the patients concerned.

pub mod clear;
mod counter;
mod forecast;
mod form;
mod method;
mod once;
mod shape;
mod telescope;
mod views;

use mpc_core::error::LocalFault;
use mpc_core::random::PublicSeed;
use mpc_core::{PartyId, Result, Session, Z32, Z64};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::additive::Additive;
use crate::additive::demand::Link;
use crate::additive::low;
use crate::correlation::held::Among;
use crate::engine::Engine;
use crate::matching::{Run, Segment, Shape, align, empty};
use crate::parameters::matching::MAX_PATIENTS;
use crate::relational::patients::{self, Flagged, flags};
use crate::relational::shape::beneath;
use crate::share::{ArithShare, BitShare};
use counter::{Ands, products};
pub use form::Form;
pub use method::Method;
use once::{counted_sets, differences, first_seen, joint_sets};
pub use shape::{Columns, Counted, Ledgered, SetTable};
use views::{Seen, of_others};

/// Has any of the pairs a symmetric difference of fewer than `least` patients? Opens one element, `name`, which the plan has declared to
/// everybody; without pairs nothing is opened. `own` is this site's table, none at a party that has none. Makes the correlations it takes.
/// A party that is no site needs no [`Counted`], if it is ready to wait for those who do the work.
///
/// Rounds and bytes: [`crate::cost::align`], the preparation, and [`Check::online`].
///
/// # Errors
/// `Local(Other)` when the shape is beyond the reviewed sizes or the table does not fit it, or when what was opened is no bit (a site deviated);
/// as [`align()`] and the engine's operations.
pub async fn too_close(
    engine: &mut Additive,
    shape: &Ledgered,
    counted: Option<&Counted>,
    own: Option<SetTable>,
    (name, link): (&str, Link),
) -> Result<bool> {
    if shape.pairs.is_empty() && shape.or_equal.is_empty() {
        return Ok(false);
    }
    let session = engine.session();
    let (sites, seed) = (session.parties().site_count(), seed(session, name));
    let check = match counted {
        Some(counted) => Check::of(shape, counted, sites, seed),
        None => Check::new(shape, sites, seed),
    };
    let check = check.map_err(|why| engine.fault(LocalFault::Other(why.into())))?;
    let segments = align(engine, check.shapes(), check.runs(), own.map(|table| table.0)).await?;
    check.ask(engine, &segments, (name, link)).await
}

/// The seed of a check's buckets: public, and not known before the session, so that sets do not depend on it.
pub fn seed(session: &Session, name: &str) -> PublicSeed {
    let hash = Sha256::new().chain_update(b"consilium differencing v1\0").chain_update(session.id().0);
    PublicSeed(hash.chain_update(name).finalize().into())
}

/// One check as all parties know it.
#[derive(Debug, Clone)]
pub struct Check {
    ledgered: Ledgered,
    counted: Option<Counted>,
    shapes: Vec<Shape>,
    runs: Vec<Run>,
    method: Method,
    seed: PublicSeed,
}

impl Check {
    /// Among so many sites, with the seed of its buckets: every site enters a bit for each set. There is at least one pair.
    ///
    /// # Errors
    /// What is wrong with the shape, in words.
    pub fn new(ledgered: &Ledgered, sites: usize, seed: PublicSeed) -> std::result::Result<Self, &'static str> {
        let columns = vec![Columns { numbers: 0, bits: ledgered.sets }; sites];
        Self::over(ledgered, &columns, None, seed)
    }

    /// The same where sets are counted.
    ///
    /// # Errors
    /// As [`Check::new`].
    pub fn of(
        ledgered: &Ledgered,
        counted: &Counted,
        sites: usize,
        seed: PublicSeed,
    ) -> std::result::Result<Self, &'static str> {
        if counted.columns.len() != sites {
            return Err("every site has its columns");
        }
        Self::over(ledgered, &counted.columns, Some(counted.clone()), seed)
    }

    fn over(
        ledgered: &Ledgered,
        columns: &[Columns],
        counted: Option<Counted>,
        seed: PublicSeed,
    ) -> std::result::Result<Self, &'static str> {
        if !(2..=MAX_LEAST).contains(&ledgered.least) || ledgered.shown > MAX_LEAST {
            return Err("fewer than 2 to 10,000 differing patients are too few");
        }
        if ledgered.patients > MAX_PATIENTS {
            return Err("a table of patients is larger than the reviewed sizes");
        }
        let named = || ledgered.pairs.iter().chain(&ledgered.or_equal);
        if named().next().is_none() || named().chain(&ledgered.seen).any(|(new, old)| *new.max(old) >= ledgered.sets) {
            return Err("pairs are of sets, and there is at least one");
        }
        if counted.as_ref().is_some_and(|counted| !ledgered.seen_sets().iter().all(|set| counted.is_said(*set))) {
            return Err("a set that every site sees is said");
        }
        let Ledgered { patients, passes, further, .. } = *ledgered;
        let shape =
            |Columns { numbers, bits }: &Columns| Shape { patients, passes, further, numbers: *numbers, bits: *bits };
        let (shapes, runs): (Vec<Shape>, _) = (columns.iter().map(shape).collect(), runs(ledgered.form, columns.len()));
        let segments = empty(&shapes, &runs);
        let rows = segments.iter().map(|segment| segment.rows).sum();
        if ledgered.form == Form::Telescoped && !ledgered.can_telescope() {
            return Err(
                "what every site sees, and patients with several keys, are not counted over half the pairs of sites",
            );
        }
        let (method, ands) = ledgered.counting(columns.len(), rows);
        let sets = counted.as_ref().map_or(Ok(0), |counted| patients::ands(&counted.circuit, &segments))?;
        // Telescoped, circuits are evaluated more often: what the other form can compare is not refused for that.
        let sets = sets.saturating_mul(columns.len()) / ledgered.form.evaluations(columns.len());
        if ands.saturating_add(sets) > MAX_ANDS {
            return Err("more pairs of sets of so many patients than the reviewed sizes");
        }
        Ok(Self { ledgered: ledgered.clone(), counted, shapes, runs, method, seed })
    }

    /// The same with another way to count.
    pub fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// How differences are counted.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What every site enters, by site.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Whose bins there are, and who is matched with them.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
    ///
    /// # Errors
    /// As [`too_close`].
    pub async fn ask(&self, engine: &mut Additive, segments: &[Segment], (name, link): (&str, Link)) -> Result<bool> {
        engine.prepare(&self.budget(link)?).await?;
        self.decide(engine, segments, name).await
    }

    /// The same where the correlations are there.
    ///
    /// # Errors
    /// As [`too_close`].
    pub async fn decide(&self, engine: &mut Additive, segments: &[Segment], name: &str) -> Result<bool> {
        let far = self.bit(engine, segments).await?;
        opened(engine, &far, name).await
    }

    /// The bit before it is opened, as a share of one row: do all pairs differ by enough patients?
    ///
    /// # Errors
    /// The engine's own.
    pub async fn bit(&self, engine: &mut Additive, segments: &[Segment]) -> Result<BitShare> {
        match self.ledgered.form {
            Form::Once => self.far(engine, segments).await,
            Form::Telescoped => {
                let flagged = self.flagged(engine, segments).await?;
                let counts = self.counts(engine, segments, &flagged).await?;
                self.far_counts(&mut Ands::new(engine), &counts).await
            }
        }
    }

    /// The same of the form [`Form::Once`], which needs no OTs of its own and so runs on any engine.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn far<E: Engine>(&self, e: &mut E, segments: &[Segment]) -> Result<BitShare> {
        self.all_far(&mut Ands::new(e), segments).await
    }

    /// How many patients each pair differs by.
    async fn counts(
        &self,
        engine: &mut Additive,
        segments: &[Segment],
        flagged: &[Flagged],
    ) -> Result<ArithShare<Z64>> {
        if !engine.session().is_site() {
            return Ok(self.no_counts());
        }
        let (session, ot) = engine.session_and_ot().await?;
        let mut session = session.step("telescope");
        let mut among = Among { session: &mut session, ot };
        let counts = Zeroizing::new(telescope::counts(&mut among, self, segments, flagged).await?);
        // The low bits of a sum mod 2^32, which are all that is asked for, are those of these summands' sum mod 2^64. What is above them is no part
        // of a count.
        let asked = |count: &Z32| Z64(low(count.0.into(), self.count_bits()));
        Ok(ArithShare::new(counts.iter().map(asked).collect()))
    }

    fn no_counts(&self) -> ArithShare<Z64> {
        ArithShare::zeros(self.ledgered.all(self.shapes.len()).len() + self.ledgered.sized().len())
    }

    /// One bit from these counts: do all pairs differ by enough patients?
    async fn far_counts<E: Engine>(&self, ands: &mut Ands<'_, E>, counts: &ArithShare<Z64>) -> Result<BitShare> {
        let (rest, all) = (self.ledgered.pairs.len(), self.ledgered.all(self.shapes.len()).len());
        let (pairs, sizes) = (counts.slice(0..all), counts.slice(all..counts.len()));
        let may_be_equal = pairs.slice(rest..all);
        let compared = ArithShare::concat(&[&pairs, &may_be_equal, &may_be_equal, &sizes]);
        let (below_one, sized) = (all..2 * all - rest, 3 * all - 2 * rest..compared.len());
        let least = |at: usize| match at {
            at if at < all => self.ledgered.least,
            at if sized.contains(&at) => self.ledgered.shown,
            at => u64::from(below_one.contains(&at)),
        };
        let minus = (0..compared.len()).map(|at| Z64(least(at).wrapping_neg())).collect::<Vec<_>>();
        let less = ands.e.add_public(&compared, &minus)?;
        let few = ands.e.negative(&less, self.count_bits()).await?;
        let of = |rows: std::ops::Range<usize>| few.gather(&rows.collect::<Vec<_>>());
        // Below one and not below zero: a number of patients that were negative would not pass for equal sets.
        let same = of(below_one.clone()).xor(&of(below_one.end..sized.start));
        self.none_near(ands, &of(0..all), &same, &of(sized)).await
    }

    /// Is none of the pairs too close? Of all whether they are close, of those that may be equal, which are the last, whether they are, and of
    /// the sets of which that is asked whether they are too small to be shown.
    async fn none_near<E: Engine>(
        &self,
        ands: &mut Ands<'_, E>,
        close: &BitShare,
        same: &BitShare,
        unshown: &BitShare,
    ) -> Result<BitShare> {
        let rest = self.ledgered.pairs.len();
        let [of_pairs, of_others] = [0..rest, rest..close.rows()].map(|of| close.gather(&of.collect::<Vec<_>>()));
        if of_others.rows() == 0 {
            return counter::none(ands, &of_pairs).await;
        }
        let mut factors = vec![of_others, ands.e.not(same)];
        if unshown.rows() > 0 {
            let places = self.ledgered.shown_by(self.shapes.len());
            // Behind all of them stands a set that is shown in any case.
            let (any, unshown) = (unshown.rows(), beneath(&[unshown, &BitShare::zeros(1, 1)]));
            let side = |of: fn((usize, usize)) -> usize| {
                unshown.gather(&places.iter().map(|place| place.map_or(any, of)).collect::<Vec<_>>())
            };
            let neither = products(ands, vec![vec![side(|place| place.0), side(|place| place.1)]]).await?.remove(0);
            factors.push(ands.e.not(&neither));
        }
        let near = products(ands, vec![factors]).await?.remove(0);
        counter::none(ands, &beneath(&[&of_pairs, &near])).await
    }

    /// Bits of a count less k, with its sign.
    fn count_bits(&self) -> usize {
        let most = (self.rows() as u64).max(self.ledgered.least).max(self.ledgered.shown);
        (u64::BITS - most.leading_zeros()) as usize + 1
    }

    /// Of all bins.
    fn rows(&self) -> usize {
        empty(&self.shapes, &self.runs).iter().map(|segment| segment.rows).sum()
    }

    /// Who is in the sets that are not said; none where all are.
    async fn flagged<E: Engine>(&self, e: &mut E, segments: &[Segment]) -> Result<Vec<Flagged>> {
        match &self.counted {
            Some(counted) => flags(e, &counted.circuit, segments).await,
            None => Ok(Vec::new()),
        }
    }

    /// The sets that sites say.
    fn said_sets(&self) -> Vec<usize> {
        match &self.counted {
            Some(counted) => counted.said.keys().copied().collect(),
            None => (0..self.ledgered.sets).collect(),
        }
    }

    /// In which of its bits a site says who is in a set that is said.
    fn column(&self, set: usize, site: usize) -> usize {
        self.counted.as_ref().map_or(set, |counted| counted.said[&set][site])
    }

    async fn all_far<E: Engine>(&self, ands: &mut Ands<'_, E>, segments: &[Segment]) -> Result<BitShare> {
        let first = first_seen(ands, segments).await?;
        let joint = match &self.counted {
            Some(counted) => counted_sets(ands, segments, &first, (counted, self.ledgered.sets)).await?,
            None => joint_sets(ands, segments, &first, self.ledgered.sets).await?,
        };
        let mut sets = vec![beneath(&joint.iter().collect::<Vec<_>>())];
        if !self.ledgered.seen.is_empty() {
            let numbers = self.ledgered.seen_sets();
            let columns = (0..segments.len()).map(|site| numbers.iter().map(|set| self.column(*set, site)).collect());
            let seen = Seen { columns: columns.collect(), sets: numbers, joint: &joint };
            sets.extend(of_others(ands, segments, &first, &seen).await?);
        }
        let sets = BitShare::beside(&sets.iter().collect::<Vec<_>>());
        let parts = self.method.columns(&sets, &self.seed);
        drop(joint);
        let of_two =
            |pairs: Vec<(usize, usize)>| pairs.into_iter().map(|(new, old)| (new, Some(old))).collect::<Vec<_>>();
        let (all, or_equal) = (self.ledgered.all(self.shapes.len()), self.ledgered.may_be_equal(self.shapes.len()));
        let close = self.fewer(ands, &parts, &of_two(all), self.ledgered.least).await?;
        let same = match or_equal.is_empty() {
            true => BitShare::zeros(0, 1),
            false => self.fewer(ands, &parts, &of_two(or_equal), 1).await?,
        };
        let unshown = self.unshown(ands, &sets).await?;
        self.none_near(ands, &close, &same, &unshown).await
    }

    /// One bit for each set of which that is asked: has it too few patients to be shown?
    async fn unshown<E: Engine>(&self, ands: &mut Ands<'_, E>, sets: &BitShare) -> Result<BitShare> {
        let sized = self.ledgered.sized();
        if sized.is_empty() {
            return Ok(BitShare::zeros(0, 1));
        }
        let method = Method::certain(self.ledgered.shown, sets.rows(), sized.len());
        let parts = method.columns(sets, &self.seed);
        self.fewer(ands, &parts, &sized.into_iter().map(|set| (set, None)).collect::<Vec<_>>(), self.ledgered.shown)
            .await
    }

    /// One bit for each pair: do its sets differ by fewer patients? Of a set alone: has it fewer?
    async fn fewer<E: Engine>(
        &self,
        ands: &mut Ands<'_, E>,
        parts: &[BitShare],
        pairs: &[(usize, Option<usize>)],
        least: u64,
    ) -> Result<BitShare> {
        let words = differences(parts, pairs);
        let enough = counter::at_least(ands, words, pairs.len() * parts.len(), least).await?;
        // No bucket takes more than one patient for a difference: one hash that finds enough is believed.
        let few = ands.e.not(&enough);
        let by_hash =
            (0..parts.len()).map(|at| few.gather(&(at * pairs.len()..(at + 1) * pairs.len()).collect::<Vec<_>>()));
        Ok(products(ands, vec![by_hash.collect()]).await?.remove(0))
    }
}

/// Reveals the bit: is it too close?
async fn opened<E: Engine>(e: &mut E, far: &BitShare, name: &str) -> Result<bool> {
    let far = e.b2a::<Z64>(far).await?;
    let permit = e.permit(name, 1)?;
    let opened = e.reveal(far, permit).await?.unwrap_or_default();
    match opened[..] {
        [Z64(far @ 0..=1)] => Ok(far == 0),
        _ => Err(e.fault(LocalFault::Other("what a check opened is no bit: a site deviated".into()))),
    }
}

/// Every site's bins, against all others or those before it. The senders begin behind the receiver, so that receivers need not wait for each
/// other.
fn runs(form: Form, sites: usize) -> Vec<Run> {
    let party = |site: usize| PartyId((site % sites) as u8);
    let senders = |site: usize| match form {
        Form::Once => (1..sites).map(|behind| party(site + behind)).collect(),
        Form::Telescoped => (0..site).map(party).collect(),
    };
    (0..sites).map(|site| (party(site), senders(site))).collect()
}

const NO_SET: &str = "a flag of a set that is not compared";

/// Largest number of differing patients that can be asked for.
const MAX_LEAST: u64 = 10_000;

/// Counting takes no more ANDs: a few minutes, and 32 MiB for each column of them.
pub const MAX_ANDS: usize = 1 << 28;
