//! A digest of what a site's tables hold: two questions over the same snapshot see the same rows.

use arrow::array::{Array, ArrayData};
use sha2::{Digest, Sha256};

use super::BoundData;

impl BoundData {
    /// SHA-256 over every table, its columns' names and types, and the rows in their order. The same files give the same
    /// digest; it is a site's own and tells nobody else anything but whether its data changed.
    pub fn snapshot(&self) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(b"consilium snapshot v1\0");
        for (name, table) in self.tables() {
            hash.update(format!("{name}\0{:?}\0{}\0", table.schema(), table.rows()));
            for batch in table.batches() {
                batch.columns().iter().for_each(|column| add(&mut hash, &column.to_data()));
            }
        }
        hash.finalize().into()
    }
}

/// Lengths stand before everything that has one, so that no two tables hash the same bytes.
fn add(hash: &mut Sha256, data: &ArrayData) {
    hash.update((data.len() as u64).to_le_bytes());
    hash.update((data.offset() as u64).to_le_bytes());
    if let Some(nulls) = data.nulls() {
        let valid: Vec<u8> = nulls.iter().map(u8::from).collect();
        hash.update(valid);
    }
    for buffer in data.buffers() {
        hash.update((buffer.len() as u64).to_le_bytes());
        hash.update(buffer.as_slice());
    }
    data.child_data().iter().for_each(|child| add(hash, child));
}
