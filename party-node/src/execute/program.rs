//! The joint program, written once for every engine: sums, what may be shown, positions, the first groups, and one
//! opening.

use std::collections::BTreeMap;

use futures::future::try_join;
use mpc_core::error::LocalFault;
use mpc_core::{Result, Z64, Z128};
use protocols::matching::Segment;
use protocols::relational::suppress::Also;
use protocols::{ArithShare, BitShare, Engine};
use query_planner::approximate::MAX_SKETCHES;
use query_planner::cells::CellTable;
use query_planner::decode::Opened;
use query_planner::plan::{Groups, Ring, SecureSum, Top};
use query_planner::released_tables::{self, Class};
use query_planner::value::Value;
use query_planner::{Audience, JointPlan};

use super::audience;
use super::inputs::Own;
use super::layout::{OpenedSlot, Reader, levels_of, limit, narrow_parts, opened_slots, points, tie_order, wide_parts};
use super::{Matched, classes};
use crate::joint::{self, Few, Policy};

/// What everybody knows before the program runs.
pub struct Public<'p> {
    pub(super) plan: &'p JointPlan,
    pub(super) groups: Vec<Vec<Vec<Value>>>,
    pub(super) table: CellTable,
    pub(super) classes: Vec<Class>,
    matched: Vec<Option<Matched>>,
    me: usize,
}

/// What is put on shares: this party's own numbers, and the totals over matched patients, by sum and slot.
struct Given<'o> {
    own: Own<'o>,
    patients: Vec<BTreeMap<usize, ArithShare<Z64>>>,
}

impl Given<'_> {
    /// A slot's numbers by group.
    fn slot<E: Engine>(&self, e: &mut E, sum: usize, slot: usize) -> ArithShare<Z64> {
        match self.patients[sum].get(&slot) {
            Some(totals) => totals.slice(0..totals.len()),
            None => e.input(self.own.slot(sum, slot, |x| Z64(x as u64))),
        }
    }
}

impl<'p> Public<'p> {
    /// Of a plan whose groups are known, as party `me` sees it.
    ///
    /// # Errors
    /// What contradicts itself in a plan over matched patients, in words.
    pub fn new(plan: &'p JointPlan, groups: Vec<Vec<Vec<Value>>>, me: usize) -> std::result::Result<Self, String> {
        let table = CellTable::new(plan, &groups);
        let classes = released_tables::classes(plan, &groups);
        let matched = plan.sums.iter().zip(&groups).map(|(sum, groups)| Matched::new(&plan.sites, sum, groups));
        let matched = matched.collect::<std::result::Result<_, _>>()?;
        Ok(Self { plan, groups, table, classes, matched, me })
    }

    /// What each sum does with matched patients.
    pub fn matched(&self) -> &[Option<Matched>] {
        &self.matched
    }

    /// Bins without patients, for each sum.
    pub fn empty(&self) -> Vec<Vec<Segment>> {
        self.matched.iter().map(|matched| matched.as_ref().map(Matched::empty).unwrap_or_default()).collect()
    }

    fn sites(&self) -> usize {
        self.plan.sites.len()
    }

    /// Bits that adding up all sites' partials can add.
    pub(super) fn site_bits(&self) -> u32 {
        self.sites().next_power_of_two().trailing_zeros()
    }

    pub(super) fn cell(&self, sum: usize, slot: usize, group: usize) -> Option<usize> {
        self.table.position(&self.plan.sums[sum], sum, slot, group, self.groups[sum].len())
    }
}

/// Everything behind the agreement on keys and the matching, whose bins are `segments`, for each sum. Whoever is in the plan's audience gets what was opened.
///
/// # Errors
/// The engine's and the operators' own.
pub async fn program<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    own: Own<'_>,
    segments: Vec<Vec<Segment>>,
) -> Result<Option<Vec<Opened>>> {
    let patients = patients(e, public, &own, segments).await?;
    let own = Given { own, patients };
    let shown = shown(e, public, &own).await?;
    let column = |e: &mut E, sum, slot| own.slot(e, sum, slot);
    let narrow = slots(e, public, column, shown.as_ref(), Ring::Z64).await?;
    let column = |e: &mut E, sum, slot| e.input(own.own.slot(sum, slot, Z128::from_signed));
    let wide = slots(e, public, column, shown.as_ref(), Ring::Z128).await?;
    let positions = positions(e, public, &own, shown.as_ref()).await?;
    let levels = levels(e, public, &own.own).await?;
    let top = public.plan.sums.iter().find_map(|sum| sum.top.as_ref().map(|top| (sum, top)));
    let narrow = match top {
        Some((sum, top)) => first(e, public, (sum, top), &own, shown.as_ref(), &[narrow, positions, levels]).await?,
        None => ArithShare::concat(&[&narrow, &positions, &levels]),
    };
    let opened = open(e, public, narrow, wide).await?;
    Ok(opened.map(|(narrow, wide)| {
        let narrow: Vec<u64> = narrow.into_iter().map(|x| x.0).collect();
        let wide: Vec<i128> = wide.into_iter().map(Z128::to_signed).collect();
        let (plan, groups) = (public.plan, &public.groups[..]);
        Reader { plan, groups, narrow: narrow.into_iter(), wide: wide.into_iter() }.read()
    }))
}

/// The totals over matched patients, each with every site's noise where it is noised, before anybody looks at it. The bins are forgotten as
/// soon as they are counted.
async fn patients<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    own: &Own<'_>,
    segments: Vec<Vec<Segment>>,
) -> Result<Vec<BTreeMap<usize, ArithShare<Z64>>>> {
    let mut all = Vec::with_capacity(public.matched.len());
    for (index, (matched, segments)) in public.matched.iter().zip(segments).enumerate() {
        let mut totals = match matched {
            Some(matched) => matched.totals(e, &segments).await?,
            None => BTreeMap::new(),
        };
        for (slot, total) in &mut totals {
            if public.plan.sums[index].is_noised(*slot) {
                // Of such a slot a site's own number is its noise alone.
                let noise = e.input(own.slot(index, *slot, |x| Z64(x as u64)));
                *total = e.add(total, &noise)?;
            }
        }
        all.push(totals);
    }
    Ok(all)
}

/// One bit for each cell, where small cells are hidden.
async fn shown<E: Engine>(e: &mut E, public: &Public<'_>, own: &Given<'_>) -> Result<Option<BitShare>> {
    let plan = public.plan;
    if !plan.hides() {
        return Ok(None);
    }
    let mut counts = Vec::with_capacity(public.table.cells.len());
    for (index, sum) in plan.sums.iter().enumerate() {
        counts.extend(sum.cells.iter().map(|slot| own.slot(e, index, *slot)));
    }
    let counts = ArithShare::concat(&counts.iter().collect::<Vec<_>>());
    let without = without(e, public, own, |sum| sum.cells.clone(), &counts)?;
    let cells = plan.sums.iter().flat_map(|sum| sum.cells.iter().map(|slot| sum.slots[*slot].partial_bits));
    let policy = Policy {
        threshold: plan.min_patients.into(),
        between: plan.least_between().into(),
        zero_allowed: plan.zero_allowed,
        bits: (cells.max().unwrap_or(0) + public.site_bits()) as usize,
    };
    let few = few(e, public, own)?;
    let also = also(e, public, own).await?;
    joint::visible(e, &public.table, policy, &few, also, (&counts, &without)).await.map(Some)
}

/// The cells of all groups whose class is not anonymous or not diverse enough, and of other figures of too few, where policy asks for that.
async fn also<E: Engine>(e: &mut E, public: &Public<'_>, own: &Given<'_>) -> Result<Option<Also>> {
    let mut also = None;
    if !public.classes.is_empty() {
        let counts = public.plan.sums.iter().enumerate().map(|(index, sum)| own.slot(e, index, sum.members()));
        let counts = ArithShare::concat(&counts.collect::<Vec<_>>().iter().collect::<Vec<_>>());
        let without = without(e, public, own, |sum| vec![sum.members()], &counts)?;
        also = Some(classes::also(e, public, &counts, &without).await?);
    }
    let slots = |sum: &SecureSum| classes::alone(public.plan, sum).into_iter().map(|(_, patients)| patients).collect();
    let mut counts = Vec::new();
    for (index, sum) in public.plan.sums.iter().enumerate() {
        counts.extend(Vec::into_iter(slots(sum)).map(|slot| own.slot(e, index, slot)));
    }
    let counts = ArithShare::concat(&counts.iter().collect::<Vec<_>>());
    let without = without(e, public, own, slots, &counts)?;
    classes::and_alone(e, public, also, (&counts, &without)).await
}

/// The cells whose patients are counted, but for those that are that count; then the later of two with few patients between them; then parts of
/// other sums' totals.
fn few<E: Engine>(e: &mut E, public: &Public<'_>, own: &Given<'_>) -> Result<Few> {
    let kinds: [fn(&SecureSum) -> Pairs; 2] = [behind, between];
    let (mut cells, mut all, mut views, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for kind in kinds {
        let mut columns = Vec::new();
        for (index, sum) in public.plan.sums.iter().enumerate() {
            for (cell, patients) in kind(sum) {
                let groups = public.groups[index].len();
                cells.extend((0..groups).filter_map(|group| public.cell(index, cell, group)));
                columns.push(own.slot(e, index, patients));
            }
        }
        let columns = ArithShare::concat(&columns.iter().collect::<Vec<_>>());
        let slots = |sum: &SecureSum| kind(sum).into_iter().map(|(_, patients)| patients).collect();
        views.push(without(e, public, own, slots, &columns)?);
        all.push(columns);
        ends.push(cells.len());
    }
    let (outside, outside_without) = outside(e, public, own)?;
    cells.extend(public.table.among.iter().map(|(part, _)| *part));
    all.push(outside);
    views.push(outside_without);
    let together = |parts: &[ArithShare<Z64>]| ArithShare::concat(&parts.iter().collect::<Vec<_>>());
    let of_site = |site: usize| ArithShare::concat(&views.iter().map(|view| &view[site]).collect::<Vec<_>>());
    let without = (0..views[0].len()).map(of_site).collect();
    Ok(Few { cells, own: ends[0], patients: together(&all), without })
}

/// How many patients stand behind a total and not behind its part, for each pair that the table names: all who stand behind the part stand
/// behind the total. And the same without each site's own.
fn outside<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    own: &Given<'_>,
) -> Result<(ArithShare<Z64>, Vec<ArithShare<Z64>>)> {
    let among = &public.table.among;
    let mut columns = Vec::new();
    for (index, sum) in public.plan.sums.iter().enumerate().filter(|_| !among.is_empty()) {
        columns.extend(patients_of_cells(sum).into_iter().map(|patients| own.slot(e, index, patients)));
    }
    let columns = ArithShare::concat(&columns.iter().collect::<Vec<_>>());
    let slots = |sum: &SecureSum| if among.is_empty() { Vec::new() } else { patients_of_cells(sum) };
    let views = without(e, public, own, slots, &columns)?;
    let [parts, totals]: [Vec<usize>; 2] =
        [among.iter().map(|(part, _)| *part).collect(), among.iter().map(|(_, total)| *total).collect()];
    let outside = |e: &mut E, behind: &ArithShare<Z64>| e.sub(&behind.gather(&totals), &behind.gather(&parts));
    let of_views = views.iter().map(|view| outside(e, view)).collect::<Result<_>>()?;
    Ok((outside(e, &columns)?, of_views))
}

/// For each cell the slot of the patients behind it; the cell itself where nobody counts them, so that there is one for each.
fn patients_of_cells(sum: &SecureSum) -> Vec<usize> {
    if sum.patients.is_empty() { sum.cells.clone() } else { sum.patients.clone() }
}

/// Cells with the slots of their patients.
type Pairs = Vec<(usize, usize)>;

fn behind(sum: &SecureSum) -> Pairs {
    let pairs = sum.cells.iter().copied().zip(sum.patients.iter().copied());
    pairs.filter(|(cell, patients)| cell != patients).collect()
}

fn between(sum: &SecureSum) -> Pairs {
    sum.between.iter().map(|pair| (pair.cell, pair.patients)).collect()
}

/// The same counts without each site's own part, where all sites receive the answer: a site knows its own rows and patients. With noise a part
/// without a site would be one with less of it.
fn without<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    own: &Given<'_>,
    slots: impl Fn(&SecureSum) -> Vec<usize>,
    counts: &ArithShare<Z64>,
) -> Result<Vec<ArithShare<Z64>>> {
    if public.plan.audience == Audience::Analyst || public.plan.noise.is_some() {
        return Ok(Vec::new());
    }
    let mut parts = Vec::with_capacity(counts.len());
    for (index, sum) in public.plan.sums.iter().enumerate() {
        // That a sum is one site's own is public, and it may see it.
        let alone = sum.contributors.len() == 1;
        for slot in slots(sum) {
            let column = own.own.known(index, slot);
            parts.extend(column.into_iter().map(|x| if alone { Z64(0) } else { x }));
        }
    }
    let part = |site: usize| if site == public.me { parts.clone() } else { vec![Z64(0); parts.len()] };
    (0..public.sites())
        .map(|site| {
            let part = e.input(part(site));
            e.sub(counts, &part)
        })
        .collect()
}

/// The slots of one ring that are opened, hidden where they must be; counts that can be hidden are one larger.
async fn slots<E: Engine, R: mpc_core::PowerOfTwo>(
    e: &mut E,
    public: &Public<'_>,
    given: impl Fn(&mut E, usize, usize) -> ArithShare<R>,
    shown: Option<&BitShare>,
    ring: Ring,
) -> Result<ArithShare<R>> {
    let opened = opened_slots(public.plan, ring);
    let mut parts = Vec::with_capacity(opened.len());
    for OpenedSlot { sum, slot, .. } in &opened {
        let mut column = given(e, *sum, *slot);
        let of = &public.plan.sums[*sum];
        if of.is_support_only(*slot) {
            // That it is large enough is all that comes out of it.
            column = e.sub(&column, &column)?;
        }
        let ones = vec![R::from_low(u128::from(of.cells.contains(slot))); column.len()];
        parts.push(e.add_public(&column, &ones)?);
    }
    let all = ArithShare::concat(&parts.iter().collect::<Vec<_>>());
    let Some(shown) = shown.filter(|_| !all.is_empty()) else { return Ok(all) };
    let choice = gates(e, public, shown, &opened).await?;
    e.select(&choice, &all).await
}

/// One bit for each group of each slot: may it be opened?
async fn gates<E: Engine>(e: &mut E, public: &Public<'_>, shown: &BitShare, opened: &[OpenedSlot]) -> Result<BitShare> {
    let cells = |nth: usize| {
        let of_slot = |slot: &OpenedSlot| {
            let cell = slot.gate.get(nth).or(slot.gate.last()).copied().unwrap_or_default();
            (0..public.groups[slot.sum].len())
                .filter_map(|group| public.cell(slot.sum, cell, group))
                .collect::<Vec<_>>()
        };
        opened.iter().flat_map(of_slot).collect::<Vec<usize>>()
    };
    let most = opened.iter().map(|slot| slot.gate.len()).max().unwrap_or(0);
    let first = cells(0);
    let mut bits = shown.gather(&first);
    for nth in 1..most {
        let other = cells(nth);
        if other != first {
            bits = e.and(&bits, &shown.gather(&other)).await?;
        }
    }
    Ok(bits)
}

/// Every position by group, zero where it is hidden or there are no values.
async fn positions<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    own: &Given<'_>,
    shown: Option<&BitShare>,
) -> Result<ArithShare<Z64>> {
    let mut columns = Vec::new();
    for (index, sum) in public.plan.sums.iter().enumerate() {
        let groups = public.groups[index].len();
        for (at, order) in sum.orders.iter().enumerate().filter(|_| groups > 0) {
            let counts = own.slot(e, index, order.count);
            let found = joint::points(e, order, own.own.values(index, at), &counts).await?;
            // Without rows there is no position: what was found then is some other group's value.
            let bits = sum.slots[order.count].partial_bits + public.site_bits();
            let none = e.is_zero(&counts, bits as usize).await?;
            let some = e.not(&none);
            let known = match shown {
                Some(shown) => {
                    let cells: Vec<usize> = (0..groups).filter_map(|g| public.cell(index, order.count, g)).collect();
                    e.and(&shown.gather(&cells), &some).await?
                }
                None => some,
            };
            let points = order.points.len();
            let by_point: Vec<usize> = (0..groups * points).map(|i| i % groups * points + i / groups).collect();
            let choices: Vec<usize> = (0..groups * points).map(|i| i % groups).collect();
            columns.push(e.select(&known.gather(&choices), &found.gather(&by_point)).await?);
        }
    }
    Ok(ArithShare::concat(&columns.iter().collect::<Vec<_>>()))
}

/// Every level of every sketch by group.
async fn levels<E: Engine>(e: &mut E, public: &Public<'_>, own: &Own<'_>) -> Result<ArithShare<Z64>> {
    let mut columns = Vec::new();
    for (index, sum) in public.plan.sums.iter().enumerate() {
        let groups = public.groups[index].len();
        if groups.saturating_mul(sum.sketches.len()) > MAX_SKETCHES {
            let text = format!("{groups} groups are too many for sketches: at most {MAX_SKETCHES} sketches in all");
            return Err(e.fault(LocalFault::Other(text)));
        }
        for sketch in (0..sum.sketches.len()).filter(|_| groups > 0) {
            let (sketches, seat) = own.sketches(index, sketch);
            columns.push(joint::levels(e, &sketches, groups, seat).await?);
        }
    }
    Ok(ArithShare::concat(&columns.iter().collect::<Vec<_>>()))
}

/// Only the first groups: which they are, then their part of every column.
async fn first<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    (sum, top): (&SecureSum, &Top),
    own: &Given<'_>,
    shown: Option<&BitShare>,
    columns: &[ArithShare<Z64>],
) -> Result<ArithShare<Z64>> {
    let groups = public.groups[0].len();
    let order = tie_order(top, &public.groups[0]);
    let all = ArithShare::concat(&columns.iter().collect::<Vec<_>>());
    let in_order = |column: usize| order.iter().map(|group| column * groups + group).collect::<Vec<_>>();
    let count = opened_slots(public.plan, Ring::Z64).len() + points(sum).count() + levels_of(sum).count();
    let carried = (0..count).map(|column| all.gather(&in_order(column))).collect();
    let totals = own.slot(e, 0, top.slot).gather(&order);
    let eligible = match shown {
        Some(shown) => {
            let cells: Vec<usize> =
                order.iter().filter_map(|group| public.cell(0, gate_of(sum, top), *group)).collect();
            Some(shown.gather(&cells))
        }
        // A declared group without rows is no row of the answer.
        None if sum.groups == Groups::Declared => {
            let rows = own.slot(e, 0, 0).gather(&order);
            let bits = sum.slots[0].partial_bits + public.site_bits();
            let none = e.is_zero(&rows, bits as usize).await?;
            Some(e.not(&none))
        }
        None => None,
    };
    let bits = (sum.slots[top.slot].partial_bits + public.site_bits() + 1) as usize;
    joint::top(e, &totals, eligible.as_ref(), carried, (bits, limit(top, groups), top.descending)).await
}

/// The cell behind the total that groups compete by: itself, or the rows it is summed over.
fn gate_of(sum: &SecureSum, top: &Top) -> usize {
    if sum.cells.contains(&top.slot) { top.slot } else { 0 }
}

type Columns = Option<(Vec<Z64>, Vec<Z128>)>;

/// Opens both columns, side by side when there are two.
async fn open<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    narrow: ArithShare<Z64>,
    wide: ArithShare<Z128>,
) -> Result<Columns> {
    let groups: Vec<usize> = public.groups.iter().map(Vec::len).collect();
    let to = audience(public.plan);
    let of_narrow = e.statement().permit_row(narrow_parts(public.plan, &groups), to)?;
    if wide.is_empty() {
        let opened = e.reveal(narrow, of_narrow).await?;
        return Ok(opened.map(|values| (values, Vec::new())));
    }
    let of_wide = e.statement().permit_row(wide_parts(public.plan, &groups), to)?;
    let [mut left, mut right] = e.fork(["sums64", "sums128"]);
    let (narrow, wide) = try_join(left.reveal(narrow, of_narrow), right.reveal(wide, of_wide)).await?;
    Ok(narrow.zip(wide))
}
