//! What a site enters into a matching, and how it is padded to its public shape.

use std::fmt;

use mpc_core::error::LocalFault;
use mpc_core::random::Domain;
use mpc_core::{Bits, Block, PartyId, Result, Session, Z64};
use zeroize::{Zeroize, Zeroizing};

use super::align::Holder;
use super::circuit_psi::Bins;
use crate::correlation::{Layout, WordKind};
use crate::parameters::matching::cuckoo_bins;
use crate::share::{ArithShare, BitShare};

/// What a site enters: one row for each of its patients. Private: it does not print and is wiped when dropped.
#[derive(Default)]
pub struct PatientTable {
    /// For each pass, 128-bit hashes of the patients' identifiers, distinct within the pass; none where a patient has no
    /// such identifier, and is not found by it. Patients are the same if the keys of any pass are.
    pub keys: Vec<Vec<Option<Block>>>,
    /// For each pass, further keys and the rows they stand for, in the order in which they decide; empty where no row has any. They
    /// are distinct from all keys of the pass.
    pub further: Vec<Vec<(usize, Block)>>,
    /// Columns of numbers.
    pub numbers: Vec<Vec<Z64>>,
    /// Bits, rows × width.
    pub bits: Bits,
}

/// What a site's table looks like from outside: public. Tables are padded to `patients` rows with dummies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// A bound of the rows, at most [`crate::parameters::matching::MAX_PATIENTS`].
    pub patients: usize,
    /// Ways to find a patient, the same at all sites, at most [`crate::parameters::matching::MAX_PASSES`].
    pub passes: usize,
    /// Rows that may have several keys in a pass.
    pub further: Further,
    /// Columns of numbers.
    pub numbers: usize,
    /// Bits of a row.
    pub bits: usize,
}

/// A bound of the further keys of a table, the same for each pass: public, and what a matching takes depends on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Further {
    /// Only the first so many rows have any, at most all of them.
    pub rows: usize,
    /// Each of them has at most so many beside its first key, in each pass.
    pub each: usize,
}

impl Further {
    /// Every row has at most one key in each pass.
    pub const NONE: Self = Self { rows: 0, each: 0 };

    /// Places for keys, in each pass.
    pub(crate) fn keys(self) -> usize {
        self.rows.saturating_mul(self.each)
    }
}

impl Shape {
    /// The words of a row: its numbers, then its bits, 64 to a word.
    pub(crate) fn layout(&self) -> Layout {
        let numbers = std::iter::repeat_n(WordKind::Add, self.numbers);
        let bits = std::iter::repeat_n(WordKind::Xor, self.bits.div_ceil(64));
        Layout::new(&numbers.chain(bits).collect::<Vec<_>>())
    }

    /// So many rows of words as columns of shares.
    pub(crate) fn columns(&self, words: &[u64], rows: usize) -> (Vec<ArithShare<Z64>>, BitShare) {
        let lanes = self.layout().lanes();
        let column = |lane: usize| words.iter().skip(lane).step_by(lanes.max(1)).copied();
        let numbers = (0..self.numbers).map(|lane| ArithShare::new(column(lane).map(Z64).collect())).collect();
        let wide = |(lane, at): (usize, usize)| {
            let column = Zeroizing::new(column(lane).collect::<Vec<_>>());
            BitShare::new(Bits::from_column(&column, (self.bits - at).min(64)))
        };
        let parts: Vec<BitShare> = (self.numbers..lanes).zip((0..self.bits).step_by(64)).map(wide).collect();
        let bits = BitShare::beside(&parts.iter().collect::<Vec<_>>());
        (numbers, if parts.is_empty() { BitShare::zeros(rows, 0) } else { bits })
    }

    /// A bound of the keys in each pass: every row has a place for one, and behind them stand, layer by layer, the places of the
    /// first rows for further ones.
    pub fn keys(&self) -> usize {
        self.patients.saturating_add(self.further.keys())
    }

    /// How many rows, the first, have a place in each layer.
    pub(crate) fn layers(&self) -> impl Iterator<Item = usize> + use<> {
        std::iter::once(self.patients).chain(std::iter::repeat_n(self.further.rows, self.further.each))
    }

    /// The row of a place.
    pub(super) fn row(&self, place: usize) -> usize {
        if place < self.padded() { place } else { (place - self.padded()) % self.further.rows }
    }

    /// Has every row of a receiver one bin at most, so that a segment is its bins?
    pub(crate) fn is_by_bins(&self) -> bool {
        self.passes == 1 && self.further.keys() == 0
    }

    /// Rows of a receiver's segment: its bins, or where a row may have several its rows as they stand.
    pub(crate) fn segment_rows(&self) -> usize {
        if self.is_by_bins() { rows(self.patients) } else { self.patients }
    }

    /// Rows a site enters: a store needs a key, so there is a dummy where there may be no patient.
    pub(crate) fn padded(&self) -> usize {
        self.patients.max(1)
    }

    /// Keys a site enters in each pass.
    pub(crate) fn padded_keys(&self) -> usize {
        self.padded() + self.further.keys()
    }

    /// The words of the table's rows; zeros in dummies.
    fn words(&self, table: &PatientTable) -> Zeroizing<Vec<u64>> {
        let lanes = self.layout().lanes();
        let mut words = Zeroizing::new(vec![0; self.padded() * lanes]);
        let mut put = |lane: usize, column: &[u64]| {
            words.iter_mut().skip(lane).step_by(lanes).zip(column).for_each(|(word, value)| *word = *value);
        };
        for (lane, column) in table.numbers.iter().enumerate() {
            put(lane, bytemuck::cast_slice(column));
        }
        for (lane, at) in (self.numbers..).zip((0..self.bits).step_by(64)) {
            let planes = table.bits.planes(at..self.bits.min(at + 64));
            put(lane, &Zeroizing::new(planes.to_column()));
        }
        words
    }
}

/// Bins of a receiver whose table has at most so many keys in a pass.
///
/// # Panics
/// When there are more than [`crate::parameters::matching::MAX_PATIENTS`].
pub fn rows(keys: usize) -> usize {
    cuckoo_bins(keys).expect("shapes have a reviewed size")
}

/// A site's table, padded to its shape: dummies have random keys, which no site's hashes meet, and a valid bit of 0. So is the
/// key of a patient that has none in a pass. Wiped when dropped.
pub struct Entered {
    pub(super) shape: Shape,
    /// For each pass, in the places of the shape.
    pub(super) keys: Vec<Zeroizing<Vec<Block>>>,
    /// 64 rows to a word.
    pub(super) valid: Zeroizing<Vec<u64>>,
    /// Row by row.
    pub(super) words: Zeroizing<Vec<u64>>,
}

impl Entered {
    /// Pads a table; a site without one enters dummies alone.
    ///
    /// # Errors
    /// `Local` when the table has more rows or further keys than its shape or other columns, when two keys of a pass are the same, or
    /// when the shape is larger than the reviewed sizes.
    pub fn new(session: &mut Session, table: Option<PatientTable>, shape: Shape) -> Result<Entered> {
        let refused = |session: &Session, why: &str| Err(session.local(LocalFault::Other(why.into())));
        let mut table = table.unwrap_or_else(|| PatientTable::empty(&shape));
        if cuckoo_bins(shape.keys()).is_none() {
            return refused(session, "a table of patients is larger than the reviewed sizes");
        }
        if !table.fits(&shape) {
            return refused(session, "a table of patients does not have the declared shape");
        }
        let rows = table.rows();
        let mut dummies = session.private_rng(Domain::MatchingDummy)?;
        let mut keys = Vec::with_capacity(shape.passes);
        for pass in 0..shape.passes {
            let Some(placed) = table.placed(&shape, pass) else {
                return refused(session, "a table of patients has more further keys than declared");
            };
            if !are_distinct(&placed) {
                return refused(session, "a table of patients has the same key twice");
            }
            let mut padded = Zeroizing::new(vec![Block::ZERO; shape.padded_keys()]);
            dummies.fill(bytemuck::cast_slice_mut(&mut padded[..]));
            padded.iter_mut().zip(placed.iter()).for_each(|(dummy, key)| *dummy = key.unwrap_or(*dummy));
            keys.push(padded);
        }
        let mut valid = Zeroizing::new(vec![0; shape.padded().div_ceil(64)]);
        (0..rows).for_each(|row| valid[row / 64] |= 1 << (row % 64));
        let words = shape.words(&table);
        table.wipe();
        Ok(Entered { shape, keys, valid, words })
    }

    /// The rows as they stand, as this site's own part of a segment.
    pub(super) fn as_they_stand(&self, site: PartyId) -> (Holder, Places) {
        self.arranged(site, self.shape.patients, Some)
    }

    /// The rows in bins, and zeros where a bin is empty.
    pub(super) fn in_bins(&self, site: PartyId, bins: &Bins) -> (Holder, Places) {
        self.arranged(site, bins.len(), |bin| bins.row(bin))
    }

    fn arranged(&self, site: PartyId, count: usize, row_at: impl Fn(usize) -> Option<usize>) -> (Holder, Places) {
        let lanes = self.shape.layout().lanes();
        let (mut words, mut member) = (Zeroizing::new(vec![0; count * lanes]), Bits::zeros(count, 1));
        let mut places = Zeroizing::new(vec![None; count]);
        for place in 0..count {
            let Some(row) = row_at(place) else { continue };
            let valid = self.valid[row / 64] >> (row % 64) & 1;
            words[place * lanes..][..lanes].copy_from_slice(&self.words[row * lanes..][..lanes]);
            member.words_mut()[place / 64] |= valid << (place % 64);
            places[place] = (valid == 1).then_some(row);
        }
        (Holder::new(site, &self.shape, member, &words), Places(places))
    }
}

/// Which row of its table a receiver has in each bin. Private: it does not print and is wiped when dropped.
#[derive(Default)]
pub struct Places(Zeroizing<Vec<Option<usize>>>);

impl Places {
    /// The row in each bin, none where there is none or a dummy.
    pub fn new(rows: Vec<Option<usize>>) -> Self {
        Self(Zeroizing::new(rows))
    }

    /// Bins that have a row, each with the row.
    pub fn taken(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().filter_map(|(bin, row)| Some((bin, (*row)?)))
    }
}

impl PatientTable {
    /// Nobody.
    pub fn empty(shape: &Shape) -> Self {
        let keys = vec![Vec::new(); shape.passes];
        Self { keys, further: Vec::new(), numbers: vec![Vec::new(); shape.numbers], bits: Bits::zeros(0, shape.bits) }
    }

    /// Patients.
    pub fn rows(&self) -> usize {
        self.keys.first().map_or(0, Vec::len)
    }

    fn fits(&self, shape: &Shape) -> bool {
        let rows = self.rows();
        rows <= shape.patients
            && self.keys.len() == shape.passes
            && self.keys.iter().all(|pass| pass.len() == rows)
            && self.further.len() <= shape.passes
            && self.further.iter().flatten().all(|(row, _)| *row < rows)
            && self.numbers.len() == shape.numbers
            && self.numbers.iter().all(|column| column.len() == rows)
            && (self.bits.rows(), self.bits.width()) == (rows, shape.bits)
    }

    /// The keys of a pass in the places of the shape; none if there are more further ones than it has places for.
    fn placed(&self, shape: &Shape, pass: usize) -> Option<Zeroizing<Vec<Option<Block>>>> {
        let mut placed = Zeroizing::new(vec![None; shape.padded_keys()]);
        placed[..self.rows()].copy_from_slice(&self.keys[pass]);
        for (row, key) in self.further.get(pass).into_iter().flatten() {
            if *row >= shape.further.rows {
                return None;
            }
            let mut places = (shape.padded() + row..placed.len()).step_by(shape.further.rows);
            let place = places.find(|place| placed[*place].is_none())?;
            placed[place] = Some(*key);
        }
        Some(placed)
    }

    fn wipe(&mut self) {
        self.keys.iter_mut().flatten().for_each(Zeroize::zeroize);
        self.further.iter_mut().flatten().for_each(|(_, key)| key.zeroize());
        self.numbers.iter_mut().for_each(|column| bytemuck::cast_slice_mut::<Z64, u64>(column).zeroize());
        self.bits.wipe();
    }
}

fn are_distinct(keys: &[Option<Block>]) -> bool {
    let mut sorted = Zeroizing::new(Vec::with_capacity(keys.len()));
    sorted.extend(keys.iter().flatten().copied());
    sorted.sort_unstable_by_key(|key: &Block| key.0);
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

impl fmt::Debug for PatientTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatientTable({} rows, {} numbers, {} bits)", self.rows(), self.numbers.len(), self.bits.width())
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entered({:?})", self.shape)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({} bins)", self.0.len())
    }
}

impl Drop for PatientTable {
    fn drop(&mut self) {
        self.wipe();
    }
}
