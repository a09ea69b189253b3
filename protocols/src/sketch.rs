//! A linear sketch of a set of keys that can be read from the sum of all sites' sketches.

use std::collections::BTreeSet;

use mpc_core::Ring;
use mpc_core::field::F61;
use mpc_core::random::Prg;
use sha2::{Digest, Sha256};

/// Subtables, and so cells each key falls into. With twice as many cells as keys the peeling threshold of six hashes
/// (load 0.64) is far away; what remains is two keys that share all six cells. With n keys that happens with probability
/// n²/2 divided by the sixth power of the subtable's size: below 2^-41 for every n, because subtables have at least
/// n/3 and at least 2048 cells.
const HASHES: usize = 6;
/// Cells for each key the sketch must be able to carry.
const CELLS_PER_KEY: usize = 2;
/// Smallest subtable: see [`HASHES`].
const MIN_SUBTABLE: usize = 2048;

/// The public shape of a sketch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    max_keys: usize,
    max_key_bytes: usize,
    subtable: usize,
    /// Bound to the session: keys that collide in one run do not in the next.
    seed: [u8; 32],
}

/// Why a sum of sketches cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more keys than the plan allows, or a site that did not follow the protocol")]
pub struct Overfull;

impl Shape {
    /// A sketch that carries `max_keys` keys of at most `max_key_bytes` bytes, hashed under a public seed.
    pub fn new(max_keys: usize, max_key_bytes: usize, seed: [u8; 32]) -> Self {
        let subtable = (max_keys * CELLS_PER_KEY).div_ceil(HASHES).max(MIN_SUBTABLE);
        Self { max_keys, max_key_bytes, subtable, seed }
    }

    /// Field elements of the sketch.
    pub fn elements(&self) -> usize {
        HASHES * self.subtable * self.cell_width()
    }

    /// A cell holds the weight, the weighted key in pieces of seven bytes, and the weighted check value.
    fn cell_width(&self) -> usize {
        2 + self.pieces()
    }

    fn pieces(&self) -> usize {
        (self.max_key_bytes + 2).div_ceil(F61::PAYLOAD_BYTES)
    }

    /// One site's sketch: each key enters its cells with a random weight of its own, so that the sum over the sites says
    /// that somebody has the key and nothing about who or how many. Keys longer than `max_key_bytes` are a bug of the
    /// caller, who checked them.
    pub fn build(&self, keys: &[Vec<u8>], weights: &mut Prg) -> Vec<F61> {
        let mut cells = vec![F61::default(); self.elements()];
        for key in keys {
            let weight = weights.element();
            self.add(&mut cells, &self.entry(key), &self.places(key), weight);
        }
        cells
    }

    /// The keys in a sum of sketches, sorted. Peels: a cell that holds one key shows it, and it is taken out elsewhere.
    ///
    /// # Errors
    /// [`Overfull`] when there are more than `max_keys` keys, when cells remain that show no key, and when a key comes up
    /// twice (which takes a site that put it into some of its cells only, and would go on for ever).
    pub fn read(&self, mut cells: Vec<F61>) -> Result<Vec<Vec<u8>>, Overfull> {
        let mut keys = BTreeSet::new();
        let mut work: Vec<usize> = (0..HASHES * self.subtable).collect();
        while let Some(cell) = work.pop() {
            let Some((key, weight)) = self.single(&cells, cell) else { continue };
            let places = self.places(&key);
            self.add(&mut cells, &self.entry(&key), &places, F61::default().sub(weight));
            work.extend(places);
            if !keys.insert(key) || keys.len() > self.max_keys {
                return Err(Overfull);
            }
        }
        if cells.iter().any(|c| *c != F61::default()) {
            return Err(Overfull);
        }
        Ok(keys.into_iter().collect())
    }

    /// The one key of a cell and its weight, if the cell holds exactly one. A mixture passes for one key with
    /// probability 2^-61.
    fn single(&self, cells: &[F61], cell: usize) -> Option<(Vec<u8>, F61)> {
        let width = self.cell_width();
        let content = &cells[cell * width..(cell + 1) * width];
        let weight = content[0];
        if weight == F61::default() {
            return None;
        }
        let inverse = weight.invert();
        let pieces: Vec<F61> = content[1..].iter().map(|c| c.times(inverse)).collect();
        let key = self.decode(&pieces[..self.pieces()])?;
        let check = *pieces.last().expect("a cell ends with its check value");
        (check == self.check(&key) && self.places(&key).contains(&cell)).then_some((key, weight))
    }

    fn add(&self, cells: &mut [F61], entry: &[F61], places: &[usize], weight: F61) {
        for place in places {
            let cell = &mut cells[place * entry.len()..][..entry.len()];
            cell.iter_mut().zip(entry).for_each(|(c, e)| *c = c.add(e.times(weight)));
        }
    }

    /// What a cell holds for a key of weight one.
    fn entry(&self, key: &[u8]) -> Vec<F61> {
        let mut bytes = u16::try_from(key.len()).expect("keys are shorter than 64 KiB").to_le_bytes().to_vec();
        bytes.extend_from_slice(key);
        bytes.resize(self.pieces() * F61::PAYLOAD_BYTES, 0);
        let pieces = bytes.chunks(F61::PAYLOAD_BYTES).map(|piece| {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            F61::reduce(u64::from_le_bytes(word))
        });
        let mut entry = vec![F61::ONE];
        entry.extend(pieces);
        entry.push(self.check(key));
        entry
    }

    fn decode(&self, pieces: &[F61]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(pieces.len() * F61::PAYLOAD_BYTES);
        for piece in pieces {
            let word = piece.value().to_le_bytes();
            (word[F61::PAYLOAD_BYTES] == 0).then(|| bytes.extend_from_slice(&word[..F61::PAYLOAD_BYTES]))?;
        }
        let len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let key = bytes.get(2..2 + len).filter(|_| len <= self.max_key_bytes)?.to_vec();
        bytes[2 + len..].iter().all(|b| *b == 0).then_some(key)
    }

    /// One cell in each subtable.
    fn places(&self, key: &[u8]) -> [usize; HASHES] {
        let digest = self.hash(b"places", key);
        std::array::from_fn(|i| {
            let word = u32::from_le_bytes(digest[4 * i..4 * i + 4].try_into().expect("a slice of 4 is 4 long"));
            i * self.subtable + word as usize % self.subtable
        })
    }

    fn check(&self, key: &[u8]) -> F61 {
        let digest = self.hash(b"check", key);
        F61::reduce(u64::from_le_bytes(digest[..8].try_into().expect("a slice of 8 is 8 long")) >> 3)
    }

    fn hash(&self, purpose: &[u8], key: &[u8]) -> [u8; 32] {
        let hash = Sha256::new().chain_update(b"consilium sketch v1\0").chain_update(self.seed);
        hash.chain_update([purpose.len() as u8]).chain_update(purpose).chain_update(key).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpc_core::random::{Domain, PrivateSeed};
    use mpc_core::step::StepPath;
    use proptest::prelude::*;

    fn weights(seed: u8) -> Prg {
        PrivateSeed::new([seed; 32]).prg(Domain::SketchWeight, &StepPath::root())
    }

    fn union_of(shape: &Shape, sites: &[Vec<Vec<u8>>]) -> Result<Vec<Vec<u8>>, Overfull> {
        let mut sum = vec![F61::default(); shape.elements()];
        for (i, keys) in sites.iter().enumerate() {
            F61::add_columns(&mut sum, &shape.build(keys, &mut weights(i as u8)));
        }
        shape.read(sum)
    }

    proptest! {
        #[test]
        fn the_sum_of_sketches_shows_the_union(
            sites in prop::collection::vec(prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..20), 0..60), 1..5)
        ) {
            let shape = Shape::new(300, 20, [7; 32]);
            let sites: Vec<Vec<Vec<u8>>> = sites.into_iter().map(|s| s.into_iter().collect()).collect();
            let mut expected: Vec<Vec<u8>> = sites.concat();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(union_of(&shape, &sites), Ok(expected));
        }
    }

    #[test]
    fn a_full_sketch_can_be_read_and_an_overfull_one_is_an_error() {
        let shape = Shape::new(1000, 9, [1; 32]);
        let keys = |n: u32| (0..n).map(|i| i.to_le_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(union_of(&shape, &[keys(1000), keys(500)]).map(|k| k.len()), Ok(1000));
        assert_eq!(union_of(&shape, &[keys(1001)]), Err(Overfull));
        assert_eq!(union_of(&shape, &[keys(20_000)]), Err(Overfull));
    }

    #[test]
    fn a_key_in_one_of_its_cells_only_ends_the_reading() {
        let shape = Shape::new(10, 9, [1; 32]);
        let mut cells = shape.build(&[b"k".to_vec()], &mut weights(1));
        let width = shape.cell_width();
        let kept = shape.places(b"k")[2];
        for (i, element) in cells.iter_mut().enumerate() {
            if i / width != kept {
                *element = F61::default();
            }
        }
        assert_eq!(shape.read(cells), Err(Overfull));
    }

    #[test]
    fn holders_do_not_show_in_the_sum() {
        // The same union, held by one site or by two: what is opened differs only by uniform weights, so no cell is equal.
        let shape = Shape::new(10, 9, [1; 32]);
        let key = vec![b"k".to_vec()];
        let one = shape.build(&key, &mut weights(1));
        let mut two = shape.build(&key, &mut weights(2));
        F61::add_columns(&mut two, &shape.build(&key, &mut weights(3)));
        assert!(one.iter().zip(&two).all(|(a, b)| *a == F61::default() || a != b));
    }
}
