//! Keys of identifiers that are texts: hashed, the empty ones left out, each once.

use mpc_core::Block;
use mpc_core::simd::prefetch;
use mpc_core::wire::Wire;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::texts::Texts;

/// Keys hashed before the table is looked at: their places come near meanwhile.
const TILE: usize = 64;

/// The distinct keys of a column of identifiers. Does not print; wiped when dropped.
pub struct Keys {
    /// In the order in which identifiers occur first.
    pub keys: Zeroizing<Vec<Block>>,
    rows: Zeroizing<Vec<u32>>,
    /// Rows without an identifier.
    pub empty: usize,
    /// Rows whose identifier stood further up.
    pub duplicates: usize,
}

impl Keys {
    /// The keys of texts, one for each row. Identifiers are the same byte by byte or not at all: whatever spelling they have in
    /// common is made before. 20 bytes of memory for each key, and 16 to 32 more while it works.
    ///
    /// # Panics
    /// When there are 2^32 of them.
    pub fn new(texts: &Texts) -> Keys {
        assert!(u32::try_from(texts.len()).is_ok(), "rows have numbers of 32 bits");
        let (mut keys, mut rows) = (with_capacity(texts.len()), with_capacity(texts.len()));
        let (mut seen, mut empty) = (Seen::new(texts.len()), 0);
        let mut tile: Zeroizing<Vec<(u32, Block)>> = with_capacity(TILE);
        for start in (0..texts.len()).step_by(TILE) {
            tile.clear();
            for row in start..texts.len().min(start + TILE) {
                match texts.get(row) {
                    [] => empty += 1,
                    id => tile.push((row as u32, hashed(id))),
                }
            }
            tile.iter().for_each(|(_, key)| seen.ask_for(*key));
            for (row, key) in tile.iter() {
                if seen.is_new(*key, &keys) {
                    keys.push(*key);
                    rows.push(*row);
                }
            }
        }
        let duplicates = texts.len() - empty - keys.len();
        Keys { keys, rows, empty, duplicates }
    }

    /// The row in which a key's identifier occurs first.
    pub fn row(&self, key: usize) -> usize {
        self.rows[key] as usize
    }
}

fn with_capacity<T: Zeroize>(len: usize) -> Zeroizing<Vec<T>> {
    Zeroizing::new(Vec::with_capacity(len))
}

/// 128 bits of SHA-256: nobody finds two identifiers with one key.
fn hashed(id: &[u8]) -> Block {
    let digest = Sha256::new().chain_update(b"consilium psi id v1\0").chain_update(id).finalize();
    Block::from_le_bytes(digest[..Block::BYTES].try_into().expect("16 of 32 bytes"))
}

/// The keys so far: a table with open addressing, at most half full. A place holds one more than the key's number, under the
/// key's high bits, so that other keys are seldom looked at.
struct Seen {
    places: Zeroizing<Vec<u64>>,
    shift: u32,
}

/// The key's part of a place.
const HIGH: u64 = !(u32::MAX as u64);

impl Seen {
    fn new(keys: usize) -> Self {
        let places = (2 * keys).next_power_of_two().max(2);
        Self { places: Zeroizing::new(vec![0; places]), shift: u64::BITS - places.ilog2() }
    }

    fn first_place(&self, key: Block) -> usize {
        (key.0 as u64 >> self.shift) as usize
    }

    /// Asks for the key's place to be near soon.
    fn ask_for(&self, key: Block) {
        prefetch(&self.places, self.first_place(key));
    }

    /// Is the key none of `keys`? Then it becomes the next one.
    fn is_new(&mut self, key: Block, keys: &[Block]) -> bool {
        let high = (key.0 >> 64) as u64 & HIGH;
        let mut at = self.first_place(key);
        loop {
            let place = self.places[at];
            if place == 0 {
                self.places[at] = high | (keys.len() as u64 + 1);
                return true;
            }
            if place & HIGH == high && keys[(place & !HIGH) as usize - 1] == key {
                return false;
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> Keys {
        let mut texts = Texts::default();
        ids.iter().for_each(|id| texts.push(id));
        Keys::new(&texts)
    }

    #[test]
    fn an_identifier_counts_once_where_it_occurs_first_and_an_empty_one_never() {
        let found = keys(&["b", "", "a", "b", "b", "", "ab"]);
        assert_eq!((found.keys.len(), found.empty, found.duplicates), (3, 2, 2));
        assert_eq!([0, 1, 2].map(|key| found.row(key)), [0, 2, 6]);
    }

    #[test]
    fn no_identifiers_have_no_keys() {
        assert!(keys(&[]).keys.is_empty() && keys(&[""]).keys.is_empty());
    }

    #[test]
    fn many_identifiers_are_told_apart_and_found_again() {
        let ids: Vec<String> = (0..5000).map(|n| format!("id {}", n % 3000)).collect();
        let found = keys(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((found.keys.len(), found.duplicates), (3000, 2000));
        assert!((0..3000).all(|key| found.row(key) == key));
    }
}
