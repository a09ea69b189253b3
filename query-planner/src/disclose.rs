//! What each node of a plan reveals, and what an analyst should know about it.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

use crate::catalog::Catalog;
use crate::cells::gates;
use crate::disclosure::{
    Compared, Disclosure, DisclosureId, Figure, Judged, Kind, Place, PointOf, Recipient, Revealed, Rows, Sites, Spread,
    Why, distinct_words, figure_words,
};
use crate::matched::{Matching, What};
use crate::noise::Noised;
use crate::notes::Note;
use crate::plan::{Audience, Groups, JointPlan, Number, Output, Scale, SecureSum, SketchOf, Slot, Summand, Top};
use crate::policy::knows_patients;
use crate::released_tables::ReleasedTables;
use crate::slots::ONCE;
use crate::words::words;

/// Everything that a plan reveals: each of its nodes states its own. `works` is what the contributors run, one for each
/// sum.
pub(crate) fn disclosures(plan: &JointPlan, works: &[LogicalPlan], catalog: &Catalog) -> Vec<Disclosure> {
    let mut out = Vec::new();
    for (index, (sum, work)) in plan.sums.iter().zip(works).enumerate() {
        let place = Place {
            keys: key_texts(sum),
            sites: Sites { names: sum.contributors.clone(), all: sum.contributors.len() == catalog.sites.len() },
            rows: rows(work),
            first_only: sum.top.is_some(),
        };
        let of = OfSum { plan, sum, index, place };
        out.extend(of.keys());
        out.extend(of.top());
        out.extend(of.slots());
        out.extend(of.points());
        out.extend(of.sketches());
    }
    out.extend(common(plan, works));
    out.extend(matched(plan, catalog));
    out.extend(hidden(plan));
    let own = plan.compares_own();
    let difference = |of: &Compared| Disclosure::difference(plan.least_between(), &catalog.patient_key, *of, own);
    out.extend(compared(plan).iter().map(difference));
    out.extend(noised(plan));
    out.extend(remainders(plan));
    out
}

/// What is asked of the ledger.
fn compared(plan: &JointPlan) -> &'static [Compared] {
    match (plan.is_ledgered(), plan.is_asked_twice()) {
        (false, _) => &[],
        (_, true) => &[Compared::Whole, Compared::Groups],
        _ => &[Compared::All],
    }
}

/// The disclosures of one sum.
struct OfSum<'p> {
    plan: &'p JointPlan,
    sum: &'p SecureSum,
    index: usize,
    place: Place,
}

impl OfSum<'_> {
    /// Something that the receiver of the answer gets.
    fn answered(&self, id: DisclosureId, kind: Kind, what: Revealed, why: Why) -> Disclosure {
        Disclosure { id, kind, what, to: self.plan.audience.into(), why }
    }

    fn keys(&self) -> Vec<Disclosure> {
        let Groups::Agreed { threshold: least, .. } = self.sum.groups else { return Vec::new() };
        let Place { keys, sites, rows, .. } = self.place.clone();
        let to = Recipient::Everyone;
        let id = DisclosureId::key_count(self.index);
        let what = Revealed::KeyCount { keys: keys.clone(), least };
        let count = Disclosure { id, kind: Kind::Size, what, to, why: Why::Listing };
        let what = Revealed::Keys { keys, least, sites, rows };
        let keys = Disclosure { id: DisclosureId::keys(self.index), kind: Kind::Keys, what, to, why: Why::Grouping };
        if self.sum.counts_keys() { vec![keys, count] } else { vec![keys] }
    }

    fn top(&self) -> Option<Disclosure> {
        let Top { slot, descending, limit, .. } = *self.sum.top.as_ref()?;
        let figure = Figure::of(&self.sum.slots[slot], self.sum);
        let what = Revealed::First { limit, descending, keys: self.place.keys.clone(), figure };
        Some(self.answered(DisclosureId::top(self.index), Kind::Order, what, Why::Limit))
    }

    fn slots(&self) -> Vec<Disclosure> {
        let of_slot = |slot: usize| {
            let figure = Figure::of(&self.sum.slots[slot], self.sum);
            if self.sum.is_support_only(slot) {
                let what = Revealed::Enough { least: self.plan.min_patients, figure, place: self.place.clone() };
                return self.answered(DisclosureId::slot(self.index, slot), Kind::Bit, what, Why::Enough);
            }
            let what = Revealed::Figure { figure, place: self.place.clone() };
            self.answered(DisclosureId::slot(self.index, slot), Kind::Value, what, why(self.sum, slot))
        };
        opened(self.plan, self.sum).into_iter().map(of_slot).collect()
    }

    fn points(&self) -> Vec<Disclosure> {
        let mut out = Vec::new();
        for (at, order) in self.sum.orders.iter().enumerate() {
            for (nth, point) in order.points.iter().enumerate() {
                let what = Revealed::Point {
                    point: PointOf::of(*point, order, self.sum),
                    place: self.place.clone(),
                    of_one: point.is_one_rows_value(),
                };
                out.push(self.answered(DisclosureId::point(self.index, at, nth), Kind::Value, what, Why::Asked));
            }
        }
        out
    }

    fn sketches(&self) -> Vec<Disclosure> {
        let of_sketch = |(at, sketch): (usize, &SketchOf)| {
            let (column, filter) = sketched(sketch, self.sum);
            let what = Revealed::Levels { column, filter, place: self.place.clone() };
            self.answered(DisclosureId::sketch(self.index, at), Kind::Value, what, Why::Estimate)
        };
        self.sum.sketches.iter().enumerate().map(of_sketch).collect()
    }
}

/// What the answer needs a slot for: the plainest use counts.
fn why(sum: &SecureSum, slot: usize) -> Why {
    let used = |output: &Output| match output {
        Output::Count(of) | Output::Sum { sum: of, .. } if *of == slot => Some(Why::Asked),
        Output::Avg { sum, count } if [*sum, *count].contains(&slot) => Some(Why::Average),
        Output::Variance { sum, squares, count, .. } if [*sum, *squares, *count].contains(&slot) => Some(Why::Variance),
        other if other.slots(sum).contains(&slot) => Some(Why::Empty),
        _ => None,
    };
    let uses: Vec<Why> = sum.outputs.iter().filter_map(used).collect();
    let plainest = [Why::Asked, Why::Average, Why::Variance, Why::Empty].into_iter().find(|why| uses.contains(why));
    plainest.unwrap_or(if sum.groups == Groups::Whole { Why::Beside } else { Why::Present })
}

/// What an intersection tells its receiver, and the sizes that everybody knows. `works`: the receiver's, then the sender's.
fn common(plan: &JointPlan, works: &[LogicalPlan]) -> Vec<Disclosure> {
    let (Some(found), [own, other, ..]) = (&plan.intersection, works) else { return Vec::new() };
    let (receiver, sender, [most, most_other]) = (found.receiver.clone(), found.sender.clone(), found.sizes);
    let entered = Revealed::Entered { receiver: (receiver.clone(), most), sender: (sender.clone(), most_other) };
    let patients = Revealed::Common { receiver, own: rows(own), sender, other: rows(other) };
    vec![
        Disclosure {
            id: DisclosureId::intersection(),
            kind: Kind::Keys,
            what: patients,
            to: Recipient::Receiver,
            why: Why::Common,
        },
        Disclosure {
            id: DisclosureId::entered(),
            kind: Kind::Size,
            what: entered,
            to: Recipient::Everyone,
            why: Why::Padding,
        },
    ]
}

/// What matching says by its sizes, and what a guess can find out.
fn matched(plan: &JointPlan, catalog: &Catalog) -> Vec<Disclosure> {
    let mut matched = plan.sums.iter().enumerate().filter_map(|(index, sum)| Some((index, sum.matching.as_ref()?)));
    let Some((index, matching)) = matched.next() else { return Vec::new() };
    let size = Disclosure {
        id: DisclosureId::patients(index),
        kind: Kind::Size,
        what: Revealed::Patients { most: matching.max_patients, further: matching.further_keys },
        to: Recipient::Everyone,
        why: Why::Padding,
    };
    let guess = Disclosure {
        id: DisclosureId::guess(),
        kind: Kind::Bit,
        what: Revealed::Guess { patient_key: catalog.patient_key.clone() },
        to: Recipient::Guesser,
        why: Why::Follows,
    };
    vec![size, guess]
}

fn hidden(plan: &JointPlan) -> Option<Disclosure> {
    let judged = if plan.sums.iter().all(|sum| !sum.patients.is_empty()) {
        Judged::Patients
    } else if plan.sums.iter().all(|sum| sum.patients.is_empty()) {
        Judged::Rows
    } else {
        Judged::RowsOrPatients
    };
    let zeros_shown = plan.zero_allowed;
    let has_keys = plan.sums.iter().any(|sum| !sum.keys.is_empty());
    // Without a table every figure is of so many.
    let (least, tables) = match has_keys {
        true => (plan.min_patients, plan.released_tables.clone()),
        false => (plan.min_patients.max(plan.released_tables.k_anonymous), ReleasedTables::default()),
    };
    let what = Revealed::Hidden { least, zeros_shown, judged, tables };
    let to = plan.audience.into();
    plan.hides().then(|| Disclosure { id: DisclosureId::hidden(), kind: Kind::Bit, what, to, why: Why::SmallCells })
}

fn noised(plan: &JointPlan) -> Option<Disclosure> {
    let noise = plan.noise.clone()?;
    let spread = |(sum, noised): (&SecureSum, &Noised)| {
        let slot = &sum.slots[noised.slot];
        let unit = match slot.scale {
            Scale::Decimal(digits) => 10u128.pow(digits.into()),
            Scale::Binary(bits) => 1 << bits,
        };
        let tenths = noise.deviation_tenths(noised, plan.sites.len()).div_ceil(unit);
        Spread { figure: Figure::of(slot, sum), tenths: u64::try_from(tenths).unwrap_or(u64::MAX) }
    };
    let noised = plan.sums.iter().flat_map(|sum| sum.noised.iter().map(move |noised| (sum, noised)));
    let figures = noised.map(spread).collect();
    let what = Revealed::Noised { noise: noise.clone(), sites: plan.sites.len() as u32, hides: plan.hides(), figures };
    let to = plan.audience.into();
    Some(Disclosure { id: DisclosureId::noise(), kind: Kind::Value, what, to, why: Why::Noise })
}

fn remainders(plan: &JointPlan) -> Option<Disclosure> {
    let index = plan.sums.iter().position(|sum| sum.contributors.len() == 2)?;
    let to = Recipient::EachOfTwo;
    let id = DisclosureId::remainder(index);
    // Less its own part a noised total is a noised one.
    let told = plan.audience == Audience::Everyone && plan.noise.is_none();
    told.then_some(Disclosure { id, kind: Kind::Value, what: Revealed::Remainder, to, why: Why::Follows })
}

/// What a sketch counts, as a reader would say it.
pub(crate) fn sketch_words(sketch: &SketchOf, sum: &SecureSum) -> String {
    let (column, filter) = sketched(sketch, sum);
    distinct_words(&column, filter.as_deref())
}

fn sketched(sketch: &SketchOf, sum: &SecureSum) -> (String, Option<String>) {
    let text = |column: usize| sum.columns.get(column).cloned().unwrap_or_else(|| "?".into());
    (text(sketch.column), sketch.filter.map(text))
}

/// The slots that are opened: all of them, or where cells are hidden or noised those that something shown needs.
fn opened(plan: &JointPlan, sum: &SecureSum) -> Vec<usize> {
    let gates = gates(sum);
    (0..sum.slots.len()).filter(|slot| !plan.opens_needed() || gates[*slot].is_some()).collect()
}

/// What an analyst should know about the sums.
pub(crate) fn notes(plan: &mut JointPlan, works: &[LogicalPlan], catalog: &Catalog) {
    let mut notes = std::mem::take(&mut plan.notes);
    for (sum, work) in plan.sums.iter().zip(works) {
        notes_of_sum(plan, sum, work, catalog, &mut notes);
    }
    if plan.hides() {
        let least = plan.min_patients;
        notes.extend([Note::HiddenInside { least }, Note::HiddenCells]);
        if plan.audience == Audience::Everyone {
            notes.push(Note::LessOwnRows { least });
        }
    }
    plan.notes = notes;
}

fn notes_of_sum(plan: &JointPlan, sum: &SecureSum, work: &LogicalPlan, catalog: &Catalog, notes: &mut Vec<Note>) {
    let mut add = |note: Note| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    if matches!(sum.groups, Groups::Agreed { threshold: 2.., .. }) && !sum.patients.is_empty() {
        add(Note::KeysByRows);
    }
    if let Some(matching) = &sum.matching {
        notes_of_matching(sum, matching, catalog, &mut add);
    }
    if counts_rows(sum) && knows_patients(work, catalog) {
        add(Note::RowsNotPatients { patient_key: catalog.patient_key.clone() });
    }
    let least = plan.released_tables.k_anonymous;
    if least > 1 && !sum.sensitive.is_empty() && !sum.has_groups_apart() {
        add(Note::SensitiveValues { least });
    }
    if plan.hides() && sum.patients.is_empty() && knows_patients(work, catalog) {
        add(Note::JudgedByRows);
    }
    for slot in sum.slots.iter().filter(|s| !s.proven && matches!(s.scale, Scale::Decimal(_))) {
        add(Note::Unbounded(Figure::of(slot, sum)));
    }
    for order in sum.orders.iter().filter(|o| o.encoding.checked) {
        let column = sum.columns.get(order.column).cloned().unwrap_or_else(|| "?".into());
        add(Note::SortedUnbounded { column, bits: order.encoding.bits });
    }
    for sketch in &sum.sketches {
        let (column, filter) = sketched(sketch, sum);
        add(Note::Approximate { column, filter });
    }
    if sum.orders.iter().any(|o| matches!(o.encoding.number, Number::Fixed(_))) {
        add(Note::NineDecimals);
    }
    if sum.slots.iter().any(|s| matches!(s.scale, Scale::Binary(_))) {
        add(Note::Rounded { sites: sum.contributors.len() as u32 });
    }
}

fn notes_of_matching(sum: &SecureSum, matching: &Matching, catalog: &Catalog, add: &mut dyn FnMut(Note)) {
    let patient_key = &catalog.patient_key;
    add(Note::KnownBy { patient_key: patient_key.clone() });
    if sum.local_work.is_empty() {
        add(Note::WithoutKey { patient_key: patient_key.clone() });
    }
    if matching.features.iter().any(|feature| matches!(feature.what, What::Events { .. })) {
        add(Note::MostEvents { most: catalog.max_events });
    }
}

/// A slot as a reader would say it.
pub(crate) fn slot_words(slot: &Slot, sum: &SecureSum) -> String {
    figure_words(&Figure::of(slot, sum))
}

/// Is a count of rows among the outputs, rather than of distinct values?
fn counts_rows(sum: &SecureSum) -> bool {
    sum.outputs.iter().any(|output| {
        let Output::Count(slot) = output else { return false };
        if let (Summand::Patients(node), Some(matching)) = (sum.slots[*slot].what, &sum.matching) {
            return matching.nodes[node].bits > 1;
        }
        let filter = sum.slots[*slot].filter.and_then(|c| sum.columns.get(c));
        !filter.is_some_and(|text| text.starts_with(ONCE))
    })
}

/// The rows a site looks at.
fn rows(work: &LogicalPlan) -> Rows {
    let mut rows = Rows::default();
    let add = |list: &mut Vec<String>, text: String| {
        if !list.contains(&text) {
            list.push(text);
        }
    };
    // The closure never fails.
    let _ = work.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => add(&mut rows.tables, scan.table_name.to_string()),
            LogicalPlan::Filter(filter) => add(&mut rows.conditions, words(&filter.predicate)),
            LogicalPlan::Aggregate(a) => a.group_expr.iter().for_each(|key| add(&mut rows.grouped, words(key))),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    rows
}

fn key_texts(sum: &SecureSum) -> Vec<String> {
    sum.keys.iter().map(|key| key.expression.clone()).collect()
}
