//! Several tables of the same patients in one alignment: their columns stand side by side, and each gets its own bins back.
//!
//! A patient that several of a site's tables have is one row; rows without any key stay apart. What is not in a table has zeros in its
//! columns, as a patient that a site does not have. So one circuit-PSI for each pair of sites serves all of them, and its cost is that of the
//! widest, with longer rows.

use std::collections::HashMap;

use mpc_core::{Bits, Block, PartyId, Z64};
use zeroize::Zeroize;

use super::align::{Holder, Run, Segment};
use super::table::{PatientTable, Places, Shape};
use crate::share::ArithShare;

/// One of the tables, as all parties know it.
#[derive(Debug, Clone)]
pub struct Part {
    /// What every site enters, by site.
    pub shapes: Vec<Shape>,
    /// Whose bins it needs, and who is matched with them.
    pub runs: Vec<Run>,
}

/// Tables side by side.
#[derive(Debug, Clone)]
pub struct Beside {
    parts: Vec<Part>,
}

impl Beside {
    /// One alone.
    pub fn one(part: Part) -> Self {
        Self { parts: vec![part] }
    }

    /// With one more at the end. None where it cannot stand beside the others: other bounds or passes, or rows with further keys.
    pub fn with(&self, part: &Part) -> Option<Self> {
        let size = |shape: &Shape| (shape.patients, shape.passes, shape.further.keys());
        let mut sizes = self.parts.iter().chain([part]).flat_map(|part| &part.shapes).map(size);
        let first = sizes.next()?;
        let fits = part.shapes.len() == self.parts[0].shapes.len() && first.2 == 0 && sizes.all(|next| next == first);
        fits.then(|| Self { parts: self.parts.iter().chain([part]).cloned().collect() })
    }

    /// What every site enters, by site.
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shapes = self.parts[0].shapes.clone();
        for part in &self.parts[1..] {
            for (shape, more) in shapes.iter_mut().zip(&part.shapes) {
                shape.numbers += more.numbers;
                shape.bits += more.bits;
            }
        }
        shapes
    }

    /// Whose bins are needed, and who is matched with them. A receiver that one part has with senders and another without has both: without senders its rows are
    /// as they stand.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (receiver, senders) in self.parts.iter().flat_map(|part| &part.runs) {
            match runs.iter_mut().find(|run| is_of(run, *receiver, senders)) {
                Some((_, known)) => {
                    let more: Vec<PartyId> = senders.iter().copied().filter(|site| !known.contains(site)).collect();
                    known.extend(more);
                }
                None => runs.push((*receiver, senders.clone())),
            }
        }
        runs
    }

    /// Site `me`'s table, of its tables for the parts, in order; of a part without one it has nobody.
    ///
    /// # Panics
    /// When these are not as many as the parts.
    pub fn table(&self, me: usize, mut tables: Vec<Option<PatientTable>>) -> Option<PatientTable> {
        assert_eq!(tables.len(), self.parts.len(), "each part has its table, or none");
        if tables.len() == 1 {
            return tables.remove(0);
        }
        let tables = self.parts.iter().zip(tables);
        let tables: Vec<PatientTable> =
            tables.map(|(part, table)| table.unwrap_or_else(|| PatientTable::empty(&part.shapes[me]))).collect();
        let mut rows = Rows::default();
        let places: Vec<Vec<usize>> = tables.iter().map(|table| rows.of(table)).collect();
        let count = rows.keys.len();
        let mut numbers = Vec::new();
        let mut bits = Bits::zeros(count, tables.iter().map(|table| table.bits.width()).sum());
        let mut first = 0;
        for (table, places) in tables.iter().zip(&places) {
            for column in &table.numbers {
                let mut moved = vec![Z64(0); count];
                column.iter().zip(places).for_each(|(number, place)| moved[*place] = *number);
                numbers.push(moved);
            }
            for plane in 0..table.bits.width() {
                let with = places.iter().enumerate().filter(|(row, _)| table.bits.get(*row, plane));
                with.for_each(|(_, place)| bits.set(*place, first + plane, true));
            }
            first += table.bits.width();
        }
        let passes = self.parts[0].shapes[0].passes;
        let keys = (0..passes).map(|pass| rows.keys.iter().map(|keys| keys[pass]).collect()).collect();
        Some(PatientTable { keys, further: Vec::new(), numbers, bits })
    }

    /// Each part's own bins, of those of all. Where there are several, nobody is told where its rows are: [`Segment::places`] is empty.
    pub fn cut(&self, segments: Vec<Segment>) -> Vec<Vec<Segment>> {
        match self.parts.len() {
            1 => vec![segments],
            count => (0..count).map(|part| self.cut_one(&segments, part)).collect(),
        }
    }

    fn cut_one(&self, segments: &[Segment], part: usize) -> Vec<Segment> {
        let before = &self.parts[..part];
        let of_run = |(receiver, senders): &Run| {
            let segment = segments.iter().find(|segment| is_bins_of(segment, *receiver, senders));
            let segment = segment.expect("the runs of all have those of each");
            let holder = |site: &PartyId| {
                let all = segment.holders.iter().find(|holder| holder.site == *site).expect("as for the runs");
                let at = site.index();
                let first = |width: fn(&Shape) -> usize| before.iter().map(|part| width(&part.shapes[at])).sum();
                let shape = &self.parts[part].shapes[at];
                columns(all, shape, (first(|shape| shape.numbers), first(|shape| shape.bits)))
            };
            let holders = senders.iter().chain([receiver]).map(holder).collect();
            Segment { receiver: *receiver, rows: segment.rows, holders, places: Places::default() }
        };
        self.parts[part].runs.iter().map(of_run).collect()
    }
}

/// Has this run the bins of a receiver with these senders?
fn is_of(run: &Run, receiver: PartyId, senders: &[PartyId]) -> bool {
    run.0 == receiver && run.1.is_empty() == senders.is_empty()
}

fn is_bins_of(segment: &Segment, receiver: PartyId, senders: &[PartyId]) -> bool {
    segment.receiver == receiver && (segment.holders.len() == 1) == senders.is_empty()
}

/// A holder's columns of this shape, behind so many of numbers and of bits.
fn columns(all: &Holder, shape: &Shape, (numbers, bits): (usize, usize)) -> Holder {
    let copied = |column: &ArithShare<Z64>| column.slice(0..column.len());
    Holder {
        site: all.site,
        member: all.member.plane(0),
        numbers: all.numbers[numbers..][..shape.numbers].iter().map(copied).collect(),
        bits: all.bits.planes(bits..bits + shape.bits),
    }
}

/// The rows of all tables: private, wiped when dropped.
#[derive(Default)]
struct Rows {
    keys: Vec<Vec<Option<Block>>>,
    places: HashMap<Vec<Option<u128>>, usize>,
}

impl Rows {
    /// Where the rows of a table are, which join those of other tables. The same keys twice in a table stay two rows, which a matching
    /// refuses.
    fn of(&mut self, table: &PatientTable) -> Vec<usize> {
        let before = self.keys.len();
        let mut is_taken = vec![false; before];
        let mut places = Vec::with_capacity(table.rows());
        for row in 0..table.rows() {
            let keys: Vec<Option<Block>> = table.keys.iter().map(|pass| pass[row]).collect();
            let words = keys.iter().map(|key| key.map(|key| key.0)).collect();
            let known = keys.iter().any(Option::is_some).then(|| *self.places.entry(words).or_insert(self.keys.len()));
            places.push(match known.filter(|place| *place < before && !is_taken[*place]) {
                Some(place) => {
                    is_taken[place] = true;
                    place
                }
                None => {
                    self.keys.push(keys);
                    self.keys.len() - 1
                }
            });
        }
        places
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.keys.iter_mut().flatten().for_each(Zeroize::zeroize);
        for (mut keys, _) in self.places.drain() {
            keys.zeroize();
        }
    }
}
