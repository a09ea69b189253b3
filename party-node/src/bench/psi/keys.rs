//! Keys of identifiers: hashed, the empty ones left out, each once.

use mpc_core::Block;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::source::Ids;

/// The distinct keys of a file. Does not print; wiped when dropped.
pub struct Keys {
    /// In the order in which identifiers occur first.
    pub keys: Zeroizing<Vec<Block>>,
    /// The row of each.
    rows: Zeroizing<Vec<u32>>,
    /// Rows without an identifier.
    pub empty: usize,
    /// Rows whose identifier stood further up.
    pub duplicates: usize,
}

impl Keys {
    /// The keys of a column. 20 bytes of memory for each, and while it works 16 to 32 more.
    pub fn of(ids: &Ids) -> Keys {
        let (mut keys, mut rows) = (with_capacity(ids.len()), with_capacity(ids.len()));
        let (mut seen, mut empty) = (Seen::new(ids.len()), 0);
        for row in 0..ids.len() {
            let id = ids.get(row);
            if id.is_empty() {
                empty += 1;
                continue;
            }
            let key = hashed(id);
            if seen.is_new(key, &keys) {
                keys.push(key);
                rows.push(row as u32);
            }
        }
        let duplicates = ids.len() - empty - keys.len();
        Keys { keys, rows, empty, duplicates }
    }

    /// The row in which a key's identifier occurs first.
    pub fn row(&self, key: usize) -> usize {
        self.rows[key] as usize
    }
}

fn with_capacity<T: zeroize::Zeroize>(len: usize) -> Zeroizing<Vec<T>> {
    Zeroizing::new(Vec::with_capacity(len))
}

/// 128 bits of SHA-256: nobody finds two identifiers with one key.
fn hashed(id: &[u8]) -> Block {
    let digest = Sha256::new().chain_update(b"consilium psi id v1\0").chain_update(id).finalize();
    Block::from_le_bytes(digest[..KEY_BYTES].try_into().expect("16 of 32 bytes"))
}

/// The keys so far: a table with open addressing, at most half full. A place holds one more than the key's number, under the
/// key's high bits, so that other keys are seldom looked at.
struct Seen {
    places: Zeroizing<Vec<u64>>,
    shift: u32,
}

impl Seen {
    fn new(keys: usize) -> Self {
        let places = (2 * keys).next_power_of_two().max(2);
        Self { places: Zeroizing::new(vec![0; places]), shift: u64::BITS - places.ilog2() }
    }

    /// Is the key none of `keys`? Then it becomes the next one.
    fn is_new(&mut self, key: Block, keys: &[Block]) -> bool {
        let high = (key.0 >> 64) as u64 & !u64::from(u32::MAX);
        let mut at = ((key.0 as u64) >> self.shift) as usize;
        loop {
            let place = self.places[at];
            if place == 0 {
                self.places[at] = high | (keys.len() as u64 + 1);
                return true;
            }
            if place & !u64::from(u32::MAX) == high && keys[(place as u32 - 1) as usize] == key {
                return false;
            }
            at = (at + 1) % self.places.len();
        }
    }
}

const KEY_BYTES: usize = size_of::<Block>();
