//! The ledger's check in a run: are the patients of this release too near to those of an earlier one?

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use futures::future::try_join;
use mpc_core::error::LocalFault;
use mpc_core::random::PublicSeed;
use mpc_core::{Bits, Block, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::additive::demand::{self, Link};
use protocols::matching::{Part, PatientTable, Segment, Shape, align, empty};
use protocols::relational::differencing::{Check, Columns, Counted, Form, Ledgered, seed};
use protocols::relational::patients::{self, Circuit, Place, flags};
use query_planner::Compiled;
use query_planner::catalog::SiteName;
use query_planner::disclosure::{Compared, DisclosureId};

use super::nodes::mark;
use super::patients::{Layout, layout};
use super::{Met, link};
use crate::govern::figures::Figures;
use crate::govern::meeting::Earlier;
use crate::govern::sets::{self, Bounds, Entered, People, Planned, Sets};
use crate::local::Partials;

/// The release that a run is about.
pub struct New<'a> {
    /// Which of its figures these are.
    pub of: Compared,
    /// How their sets come of what sites know.
    pub figures: &'a Figures,
    /// Which of its own sets are compared with each other: see [`sets::Planned::side_by_side`].
    pub side_by_side: Vec<(usize, usize)>,
    /// And which of them may not be equal either: see [`sets::Planned::lists_apart`].
    pub lists_apart: Vec<(usize, usize)>,
    /// See [`busy_ms`].
    pub busy_ms: u64,
    /// What this site knows; none at a party that is no site.
    pub own: Option<&'a Sets>,
    /// Its patients of this question's sums, whom the figures are matched by.
    pub present: &'a [Partials],
}

/// What is asked of the ledger: is any figure of this release over patients that differ from those of an earlier figure by fewer than the
/// plan's smallest cell, or from those of another of its own, which [may be equal](New::side_by_side), or both too few to be shown?
pub struct Asked {
    check: Check,
    own: Option<PatientTable>,
    id: DisclosureId,
}

impl Asked {
    /// Nothing where there is nothing to compare. Public: the figures of all releases, which a site has in its ledger; whoever is no site
    /// only knows how many there are, and waits. No message.
    ///
    /// # Errors
    /// `Local`: what [`Unfit`] says.
    pub fn new(session: &Session, compiled: &Compiled, new: New<'_>, met: &Met<'_>) -> Result<Option<Self>> {
        let seed = seed(session, DisclosureId::difference(new.of).as_str());
        let asked = Self::of(compiled, (new, met), (session.me().index(), seed));
        asked.map_err(|unfit| session.local(LocalFault::Other(unfit.to_string())))
    }

    /// The same at a party, with a seed of the check's buckets.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of(
        compiled: &Compiled,
        (new, met): (New<'_>, &Met<'_>),
        (me, seed): (usize, PublicSeed),
    ) -> std::result::Result<Option<Self>, Unfit> {
        let (count, old) = (new.figures.sets(), met.earlier.iter().map(|past| past.sets).sum::<usize>());
        if count == 0 || (old == 0 && new.side_by_side.is_empty() && new.lists_apart.is_empty()) {
            return Ok(None);
        }
        let earlier = (0..count).flat_map(|n| (count..count + old).map(move |o| (n, o)));
        let pairs = new.lists_apart.iter().copied().chain(earlier).collect();
        let Bounds { patients, passes, further } = sets::bounds(compiled).map_err(Unfit::Sizes)?;
        let (least, seen) = (compiled.joint.least_between().into(), seen(&new, met.earlier));
        let or_equal = new.side_by_side.clone();
        let sets = count + old;
        let busy_ms = met.earlier.iter().map(|past| past.busy_ms).fold(new.busy_ms, u64::saturating_add);
        let (busy, form) = (Duration::from_millis(busy_ms), Form::default());
        let shown = compiled.joint.min_patients.into();
        let shape = Ledgered { patients, passes, sets, pairs, or_equal, seen, further, least, shown, busy, form };
        let shape = shape.in_cheapest_form(compiled.joint.sites.len());
        let (sites, id) = (&compiled.joint.sites, DisclosureId::difference(new.of));
        let sizes = |why: &str| Unfit::Sizes(why.into());
        let Some(own) = new.own else {
            let check = Check::new(&shape, sites.len(), seed).map_err(sizes)?;
            return Ok(Some(Self { check, own: None, id }));
        };
        let releases: Vec<&Sets> = [own].into_iter().chain(met.noted).collect();
        let figures: Vec<&Figures> = releases.iter().map(|sets| &sets.figures).collect();
        let made = Made::new(sites, &figures, shape.form).map_err(Unfit::Sizes)?;
        let columns = *made.columns.get(me).ok_or_else(|| Unfit::Sizes("sets of a party that is no site".into()))?;
        let check = match made.counted() {
            Some(counted) => Check::of(&shape, &counted, sites.len(), seed),
            None => Check::new(&shape, sites.len(), seed),
        };
        let check = check.map_err(sizes)?;
        let own = Some(table(&shape, columns, (new.present, &releases)).map_err(Unfit::Patients)?);
        Ok(Some(Self { check, own, id }))
    }

    /// An engine for the answer, beside another: it may open that bit alone. All parties ask for it at the same step.
    ///
    /// # Errors
    /// The protocol's own.
    pub async fn engine(&self, engine: &mut Additive, label: &'static str, link: Link) -> Result<Additive> {
        engine.beside(label, &[self.id.as_str()], link).await
    }

    /// The bins in which it is asked.
    pub fn part(&self) -> Part {
        Part { shapes: self.check.shapes().to_vec(), runs: self.check.runs().to_vec() }
    }

    /// What this site enters for them; None at a party that is no site, and when it was taken before.
    pub fn table(&mut self) -> Option<PatientTable> {
        self.own.take()
    }

    /// The answer, from bins of its own, and not before this is done.
    ///
    /// # Errors
    /// As [`Asked::answer`], and as `before`.
    pub async fn alone(
        mut self,
        engine: &mut Additive,
        before: impl Future<Output = Result<()>>,
        link: Link,
    ) -> Result<bool> {
        let mut engine = self.engine(engine, "whole", link).await?;
        let Part { shapes, runs } = self.part();
        let own = self.table();
        let ((), segments) = try_join(before, align(&mut engine, &shapes, &runs, own)).await?;
        self.answer(&mut engine, &segments, link).await
    }

    /// The answer, from those bins, by an engine of its own: the plan's bit is opened.
    ///
    /// # Errors
    /// The protocol's own.
    pub async fn answer(&self, engine: &mut Additive, segments: &[Segment], link: Link) -> Result<bool> {
        if !engine.session().is_site() {
            // Others align before they ask, and work longer on sets that this party does not know.
            align(engine, self.check.shapes(), self.check.runs(), None).await?;
            let patience = self.check.patience(link)?;
            engine.session().wait_longer(patience);
        }
        self.check.ask(engine, segments, (self.id.as_str(), link)).await
    }
}

/// Of what is compared, all of which every site has seen or is to see. These sets are said: a figure over matched patients is for the
/// analyst alone (SEAL_TO_ANALYST), and otherwise the check refuses.
fn seen(new: &New<'_>, earlier: &[Earlier]) -> Vec<(usize, usize)> {
    if !new.figures.everyone {
        return Vec::new();
    }
    let (count, mut first) = (new.figures.sets(), new.figures.sets());
    let mut seen = new.side_by_side.clone();
    for past in earlier {
        let old = first..first + past.sets;
        first = old.end;
        if past.everyone {
            seen.extend((0..count).flat_map(|n| old.clone().map(move |o| (n, o))));
        }
    }
    seen
}

/// What working out a release's counted sets may take: for whoever waits for the sites without working. Nothing for those that are said, whose
/// joining everybody foresees. It depends on sizes only.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub fn busy_ms(compiled: &Compiled, figures: &Figures) -> std::result::Result<u64, String> {
    if figures.counted.is_empty() {
        return Ok(0);
    }
    let counted = Figures { said: 0, ..figures.clone() };
    let made = Made::new(&compiled.joint.sites, &[&counted], Form::Once)?;
    let segments = made.bins(compiled)?;
    let budget = demand::budget(made.columns.len(), link(&compiled.joint), async |e| {
        flags(e, &made.circuit, &segments).await.map(drop)
    });
    let busy = budget.map_err(|error| error.to_string())?.busy();
    Ok(u64::try_from(busy.as_millis()).unwrap_or(u64::MAX))
}

/// About how many ANDs a release's sets take in every later comparison, and in its own those that it compares with each other. It depends
/// on sizes only.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub fn ands(compiled: &Compiled, planned: &Planned) -> std::result::Result<usize, String> {
    let (plan, figures) = (&compiled.joint, planned.figures());
    let made = Made::new(&plan.sites, &[figures], Form::Once)?;
    let bins = made.bins(compiled)?;
    let or_equal = planned.side_by_side(&plan.side_by_side);
    let seen = if figures.everyone { or_equal.clone() } else { Vec::new() };
    let pairs = planned.lists_apart(&plan.lists_apart);
    let (least, shown) = (plan.least_between().into(), plan.min_patients.into());
    let own = Ledgered { pairs, or_equal, seen, least, shown, ..Ledgered::default() };
    let (_, counting) = own.counting(plan.sites.len(), bins.iter().map(|segment| segment.rows).sum());
    Ok(patients::ands(&made.circuit, &bins)?.saturating_add(counting))
}

/// Why a release's sets cannot be compared, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It follows from sizes, which every site knows.
    Sizes(String),
    /// It says something about this site's patients.
    Patients(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Unfit::Sizes(why) | Unfit::Patients(why)) = self;
        f.write_str(why)
    }
}

/// Can site `me` go on with a release: can its sets be compared with these earlier ones, and with its patients later ones? Where keys are
/// agreed these are the sets that need none, and the patients of all. No message.
///
/// # Errors
/// [`Unfit`].
pub fn comparable(
    compiled: &Compiled,
    (me, partials): (usize, &[Partials]),
    met: &Met<'_>,
) -> std::result::Result<(), Unfit> {
    let plan = &compiled.joint;
    let planned = Planned::whole(compiled).map_err(Unfit::Sizes)?;
    let own = planned.own(&plan.sites, me, partials, (met.domain, 0));
    let mut people = present(partials);
    [&own].into_iter().chain(met.noted).for_each(|sets| people.meet(sets));
    // Without a bound nobody is matched here.
    let most = sets::bounds(compiled).map_err(Unfit::Sizes)?.patients;
    if most > 0 && people.all().len() > most {
        return Err(Unfit::Patients(TOO_MANY.into()));
    }
    let side_by_side = planned.side_by_side(&plan.side_by_side);
    let lists_apart = planned.lists_apart(&plan.lists_apart);
    // What the bit is called makes no difference here, nor do the buckets.
    let of = Compared::All;
    let figures = planned.figures();
    let busy_ms = busy_ms(compiled, figures).map_err(Unfit::Sizes)?;
    let new = New { of, figures, side_by_side, lists_apart, busy_ms, own: Some(&own), present: partials };
    Asked::of(compiled, (new, met), (me, PublicSeed([0; 32]))).map(drop)
}

/// The sets of several releases as all sites make them: public.
struct Made {
    circuit: Circuit,
    columns: Vec<Columns>,
    said: BTreeMap<usize, Vec<usize>>,
    is_counted: bool,
}

impl Made {
    fn new(sites: &[SiteName], releases: &[&Figures], form: Form) -> std::result::Result<Self, String> {
        let mut columns = vec![Columns::default(); sites.len()];
        let (mut circuit, mut said, mut first) = (Circuit::default(), BTreeMap::new(), 0);
        for figures in releases {
            let place = |set| (first + set, columns.iter().map(|columns| columns.bits + set).collect());
            said.extend((0..figures.said).map(place));
            // Telescoped, what is said is put together without a circuit.
            if form == Form::Once {
                flag_said(&mut circuit, &columns, (first, figures.said));
            }
            columns.iter_mut().for_each(|columns| columns.bits += figures.said);
            first += figures.said;
            for counted in &figures.counted {
                let own = |site: &SiteName| layout(&counted.matching, site, counted.tuples);
                let layouts: Vec<Layout> = sites.iter().map(own).collect();
                let widths: Vec<(usize, usize)> = layouts.iter().map(|own| (own.bits, own.numbers)).collect();
                let behind = |(own, at): (Layout, &Columns)| own.behind(&counted.matching, at.bits, at.numbers);
                let layouts: Vec<Layout> = layouts.into_iter().zip(&columns).map(behind).collect();
                circuit = mark(counted, (&counted.parties(sites)?, &layouts), (first, form), circuit)?;
                for (columns, (bits, numbers)) in columns.iter_mut().zip(widths) {
                    columns.bits += bits;
                    columns.numbers += numbers;
                }
                first += counted.sets();
            }
        }
        let is_counted = releases.iter().any(|figures| !figures.counted.is_empty());
        Ok(Self { circuit, columns, said, is_counted })
    }

    /// The bins of a comparison without anybody in them.
    fn bins(&self, compiled: &Compiled) -> std::result::Result<Vec<Segment>, String> {
        let Bounds { patients, passes, further } = sets::bounds(compiled)?;
        let shape =
            |Columns { numbers, bits }: &Columns| Shape { patients, passes, further, numbers: *numbers, bits: *bits };
        let shapes: Vec<Shape> = self.columns.iter().map(shape).collect();
        let party = |site: usize| PartyId(site as u8);
        let others = |site: usize| (0..shapes.len()).filter(|other| *other != site).map(party).collect();
        let runs: Vec<_> = (0..shapes.len()).map(|site| (party(site), others(site))).collect();
        Ok(empty(&shapes, &runs))
    }

    /// Where all sets are said, no circuit is needed.
    fn counted(self) -> Option<Counted> {
        self.is_counted.then_some(Counted { circuit: self.circuit, columns: self.columns, said: self.said })
    }
}

/// Flags for so many sets, from `first` on, whoever is said to be in them. Their bits begin behind these columns.
fn flag_said(circuit: &mut Circuit, columns: &[Columns], (first, sets): (usize, usize)) {
    let party = |site: usize| PartyId(site as u8);
    for receiver in 0..columns.len() {
        for set in 0..sets {
            let place =
                |site: usize| Place { receiver: party(receiver), site: party(site), column: columns[site].bits + set };
            let mut any = circuit.bit(false);
            for site in receiver..columns.len() {
                let bit = circuit.known_bit(place(site));
                any = circuit.or(any, bit);
            }
            circuit.flag(first + set, party(receiver), any);
        }
    }
}

/// The patients by whom sums are matched. They come first in a table, so that whoever is gone and shares a key with one of them is that one:
/// the sums' tables, which stand in the same alignment ([`protocols::matching::Beside`]), then have no key that another row has here.
fn present(partials: &[Partials]) -> People {
    let mut people = People::default();
    partials.iter().filter_map(|partials| partials.patients.as_ref()).for_each(|known| people.meet_all(known));
    people
}

/// This site's patients, of today and of then, and what it knows of each.
fn table(
    shape: &Ledgered,
    columns: Columns,
    (partials, releases): (&[Partials], &[&Sets]),
) -> std::result::Result<PatientTable, String> {
    let (mut people, mut entered) = (present(partials), Entered::default());
    releases.iter().for_each(|sets| people.take(sets, &mut entered));
    let (all, rows) = (people.all(), people.all().len());
    if rows > shape.patients {
        return Err(TOO_MANY.into());
    }
    // Only the first rows have places for further keys.
    let (several, one): (Vec<usize>, Vec<usize>) = (0..rows).partition(|at| !all[*at].further.is_empty());
    if several.len() > shape.further.rows {
        return Err("more patients in the ledger have several keys than the linkage file declares".into());
    }
    let mut row = vec![0; rows];
    several.iter().chain(&one).enumerate().for_each(|(place, at)| row[*at] = place);
    if (entered.bits.len(), entered.numbers.len()) != (columns.bits, columns.numbers) {
        return Err("a release is not in the ledger as its figures say".into());
    }
    let mut bits = Bits::zeros(rows, columns.bits);
    for (column, members) in entered.bits.iter().enumerate() {
        members.iter().for_each(|patient| bits.set(row[*patient as usize], column, true));
    }
    let mut numbers = vec![vec![Z64(0); rows]; columns.numbers];
    for (column, known) in numbers.iter_mut().zip(&entered.numbers) {
        known.iter().for_each(|(patient, number)| column[row[*patient as usize]] = Z64(*number));
    }
    let mut keys = vec![vec![None; rows]; shape.passes];
    let mut further = vec![Vec::new(); shape.passes];
    let mut taken: HashSet<(usize, [u8; 16])> = HashSet::new();
    for (person, row) in all.iter().zip(&row) {
        for (pass, key) in person.keys.iter().take(shape.passes).enumerate() {
            // A key that two patients had at different times is the later one's.
            let key = key.filter(|key| taken.insert((pass, *key)));
            keys[pass][*row] = key.map(Block::from_le_bytes);
        }
    }
    for (person, row) in all.iter().zip(&row) {
        for (pass, key) in person.further.iter().map(|(pass, key)| (*pass as usize, *key)) {
            if pass < shape.passes && taken.insert((pass, key)) {
                further[pass].push((*row, Block::from_le_bytes(key)));
            }
        }
    }
    Ok(PatientTable { keys, further, numbers, bits })
}

const TOO_MANY: &str =
    "more patients in the ledger than the network declares for a site, with those who cannot be linked or are gone";

#[cfg(test)]
mod tests {
    use protocols::matching::{Beside, Further};

    use super::*;
    use crate::govern::sets::Person;
    use crate::local::patients::Patients;

    #[test]
    fn who_is_gone_and_shares_a_key_with_somebody_present_is_no_second_row_of_an_alignment() {
        let key = |number: u128| Some(Block(number));
        let mut patients = Patients::default();
        patients.keys = vec![vec![key(1), key(2)], vec![key(5), None]];
        let (patients, cohort, noised) = (Some(patients), None, false);
        let (keys, slots, orders, sketches) = Default::default();
        let partials = [Partials { keys, slots, orders, sketches, patients, cohort, noised }];
        // Nobody present was in a set. One who is gone had a key that somebody has now; another has none in common with anybody.
        let old = |keys: [Option<Block>; 2]| Person::of(keys.map(|key| key.map(|key| key.to_le_bytes())).to_vec());
        let gone = Sets::said([0; 32], vec![old([key(3), key(2)]), old([key(7), None])], vec![vec![0, 1]]);
        let columns = Columns { numbers: 0, bits: 1 };
        let shape = Ledgered { patients: 4, passes: 2, sets: 1, ..Ledgered::default() };
        let ledger = table(&shape, columns, (&partials, &[&gone])).unwrap();
        let keys = vec![vec![key(1), key(5)], vec![key(2), None]];
        let sum = PatientTable { keys, further: Vec::new(), numbers: Vec::new(), bits: Bits::zeros(2, 1) };
        let shape = Shape { patients: 4, passes: 2, further: Further::NONE, numbers: 0, bits: 1 };
        let part = Part { shapes: vec![shape], runs: Vec::new() };
        let both = Beside::one(part.clone()).with(&part).unwrap().table(0, vec![Some(ledger), Some(sum)]).unwrap();
        assert_eq!(both.rows(), 3);
        for keys in &both.keys {
            let known: Vec<u128> = keys.iter().flatten().map(|key| key.0).collect();
            assert_eq!(known.len(), known.iter().collect::<HashSet<_>>().len(), "{known:?}");
        }
        assert_eq!((0..3).filter(|row| both.bits.get(*row, 0)).count(), 2, "both who are gone are in their set");
    }
}
