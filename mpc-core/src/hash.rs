//! The hash that turns correlated OT rows into independent masks.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::block::Block;
use crate::party::PartyId;
use crate::session::SessionId;
use crate::simd::WideAes;
use crate::step::StepPath;

/// Blocks hashed at a time: two cipher batches, in the first-level cache.
const TILE: usize = 128;

/// A tweakable correlation-robust hash of blocks: H(x, i) = π(π(x) ⊕ i) ⊕ π(x), where π is AES-128 under a public key. For
/// one secret Δ the values H(x ⊕ Δ, i) look random to whoever knows the x, as long as no tweak i repeats for a Δ.
///
/// Two AES calls for a hash. Time and memory access depend on lengths only.
///
/// # Source
/// Guo, Katz, Wang, Yu, Efficient and Secure Multiparty Computation from Fixed-Key Block Ciphers, S&P 2020, §7.4 (TMMO).
/// # Deviations
/// The public key is not one constant but derived from session, step and direction, so that no work against one session
/// helps against another.
pub struct CorrelationHash {
    cipher: Cipher,
}

enum Cipher {
    Wide(WideAes),
    Portable(Aes128Enc),
}

impl CorrelationHash {
    /// The hash of the direction `from` → `to` that was set up at `step`.
    pub fn new(session: SessionId, step: &StepPath, from: PartyId, to: PartyId) -> Self {
        let digest = Sha256::new()
            .chain_update(b"consilium correlation hash v1\0")
            .chain_update(session.0)
            .chain_update([from.0, to.0])
            .chain_update(step.as_str().as_bytes())
            .finalize();
        let key = Block::from_le_bytes(digest[..16].try_into().expect("16 of 32 bytes"));
        Self { cipher: WideAes::new(key).map_or_else(|| Cipher::portable(key), Cipher::Wide) }
    }

    /// `out[i] = H(rows[i] ⊕ offset, first + i)`. Both columns have the same length.
    pub fn hash(&self, rows: &[Block], offset: Block, first: u64, out: &mut [Block]) {
        assert_eq!(rows.len(), out.len(), "one hash for each row");
        match &self.cipher {
            Cipher::Wide(cipher) => cipher.tmmo(rows, offset, first, out),
            Cipher::Portable(cipher) => tmmo(cipher, rows, offset, first, out),
        }
    }

    /// The lowest bit of each `H(rows[i] ⊕ offset, first + i)`, 64 per word, little end first. `rows.len()` is 64·`out.len()`.
    pub fn hash_bits(&self, rows: &[Block], offset: Block, first: u64, out: &mut [u64]) {
        assert_eq!(rows.len(), 64 * out.len(), "one bit for each row");
        match &self.cipher {
            Cipher::Wide(cipher) => cipher.tmmo_bits(rows, offset, first, out),
            Cipher::Portable(cipher) => tmmo_bits(cipher, rows, offset, first, out),
        }
    }
}

/// x ↦ π(x) ⊕ x with π AES-128 under a public key, for placing keys in tables. Whoever has x can compute it: it hides nothing
/// that can be guessed.
///
/// One AES call for a hash. Time and memory access depend on lengths only.
///
/// # Source
/// The Matyas–Meyer–Oseas form of fixed-key AES (Guo, Katz, Wang, Yu, S&P 2020); π is modelled as an ideal cipher.
pub struct PlacementHash {
    cipher: Cipher,
}

impl PlacementHash {
    /// The hash of a public key.
    pub fn new(key: Block) -> Self {
        Self { cipher: WideAes::new(key).map_or_else(|| Cipher::portable(key), Cipher::Wide) }
    }

    /// Replaces each block by its hash.
    pub fn replace(&self, blocks: &mut [Block]) {
        match &self.cipher {
            Cipher::Wide(cipher) => _ = cipher.mmo(blocks),
            Cipher::Portable(cipher) => mmo(cipher, blocks),
        }
    }
}

fn mmo(cipher: &Aes128Enc, blocks: &mut [Block]) {
    let mut tiles = Tiles::default();
    for blocks in blocks.chunks_mut(TILE) {
        let inner = &mut tiles.inner[..blocks.len()];
        inner.copy_from_slice(blocks);
        encrypt(cipher, blocks);
        blocks.iter_mut().zip(inner).for_each(|(hash, x)| *hash ^= *x);
    }
}

impl Cipher {
    fn portable(key: Block) -> Self {
        Cipher::Portable(Aes128Enc::new(&Array::from(key.to_le_bytes())))
    }
}

fn tmmo(cipher: &Aes128Enc, rows: &[Block], offset: Block, first: u64, out: &mut [Block]) {
    let mut tiles = Tiles::default();
    for (tile, (rows, out)) in rows.chunks(TILE).zip(out.chunks_mut(TILE)).enumerate() {
        tmmo_tile(cipher, rows, offset, first + (tile * TILE) as u64, &mut tiles);
        for (out, (outer, inner)) in out.iter_mut().zip(tiles.outer.iter().zip(&tiles.inner)) {
            *out = *outer ^ *inner;
        }
    }
}

fn tmmo_bits(cipher: &Aes128Enc, rows: &[Block], offset: Block, first: u64, out: &mut [u64]) {
    let mut tiles = Tiles::default();
    for (tile, (rows, out)) in rows.chunks(TILE).zip(out.chunks_mut(TILE / 64)).enumerate() {
        tmmo_tile(cipher, rows, offset, first + (tile * TILE) as u64, &mut tiles);
        for (word, (outer, inner)) in out.iter_mut().zip(tiles.outer.chunks(64).zip(tiles.inner.chunks(64))) {
            *word = lowest_bits(outer, inner);
        }
    }
}

/// Leaves π(x) and π(π(x) ⊕ i) in `tiles`, for the x and i of these rows.
fn tmmo_tile(cipher: &Aes128Enc, rows: &[Block], offset: Block, first: u64, tiles: &mut Tiles) {
    let (inner, outer) = (&mut tiles.inner[..rows.len()], &mut tiles.outer[..rows.len()]);
    for (x, row) in inner.iter_mut().zip(rows) {
        *x = *row ^ offset;
    }
    encrypt(cipher, inner);
    for ((x, inner), i) in outer.iter_mut().zip(inner.iter()).zip(first..) {
        *x = *inner ^ Block(u128::from(i));
    }
    encrypt(cipher, outer);
}

/// Values between and after the two calls of the cipher; wiped when dropped.
struct Tiles {
    inner: [Block; TILE],
    outer: [Block; TILE],
}

impl Default for Tiles {
    fn default() -> Self {
        Self { inner: [Block::ZERO; TILE], outer: [Block::ZERO; TILE] }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The cipher reads and writes bytes, little end first, on every machine.
pub(crate) fn encrypt(cipher: &Aes128Enc, blocks: &mut [Block]) {
    let swap = |blocks: &mut [Block]| {
        if cfg!(target_endian = "big") {
            blocks.iter_mut().for_each(|b| b.0 = b.0.swap_bytes());
        }
    };
    swap(blocks);
    cipher.encrypt_blocks(Array::cast_slice_from_core_mut(bytemuck::cast_slice_mut::<Block, [u8; 16]>(blocks)));
    swap(blocks);
}

fn lowest_bits(a: &[Block], b: &[Block]) -> u64 {
    a.iter().zip(b).enumerate().fold(0, |word, (i, (a, b))| word | (((a.0 ^ b.0) as u64 & 1) << i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Domain, PrivateSeed};

    const SEED: u8 = 6;

    fn rows(len: usize) -> Vec<Block> {
        println!("seed {SEED}");
        let mut rows = vec![Block::ZERO; len];
        let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root());
        prg.fill(bytemuck::cast_slice_mut(&mut rows));
        rows
    }

    const KEY: Block = Block(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100);

    /// The hash with each kernel that this processor has.
    fn kernels() -> Vec<CorrelationHash> {
        let wide = WideAes::new(KEY).map(Cipher::Wide);
        println!("seed {SEED}, wide kernel: {}", wide.is_some());
        [Some(Cipher::portable(KEY)), wide].into_iter().flatten().map(|cipher| CorrelationHash { cipher }).collect()
    }

    /// The formula of the paper, one block at a time.
    fn plain(x: Block, i: u64) -> Block {
        let cipher = Aes128Enc::new(&Array::from(KEY.to_le_bytes()));
        let pi = |x: Block| {
            let mut block = Array::from(x.to_le_bytes());
            cipher.encrypt_block(&mut block);
            Block::from_le_bytes(block.into())
        };
        pi(pi(x) ^ Block(i.into())) ^ pi(x)
    }

    #[test]
    fn every_kernel_follows_the_formula_at_every_length() {
        let delta = Block(0x1234_5678 << 70);
        for (h, len) in kernels().iter().flat_map(|h| [0, 1, 3, 31, 32, 33, 64, 127, 128, 129, 1000].map(|n| (h, n))) {
            let rows = rows(len);
            let mut out = vec![Block::ZERO; len];
            h.hash(&rows, delta, u64::from(u32::MAX) - 5, &mut out);
            for (i, (row, out)) in rows.iter().zip(&out).enumerate() {
                assert!(*out == plain(*row ^ delta, u64::from(u32::MAX) - 5 + i as u64), "row {i} of {len}");
            }
        }
    }

    #[test]
    fn bits_are_the_lowest_of_each_hash() {
        for (h, words) in kernels().iter().flat_map(|h| [0, 1, 2, 5].map(|n| (h, n))) {
            let rows = rows(64 * words);
            let mut bits = vec![0; words];
            h.hash_bits(&rows, Block(9), 3, &mut bits);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(bits[i / 64] >> (i % 64) & 1, plain(*row ^ Block(9), 3 + i as u64).0 as u64 & 1, "row {i}");
            }
        }
    }

    #[test]
    fn every_kernel_of_the_placement_hash_follows_its_formula() {
        let cipher = Aes128Enc::new(&Array::from(KEY.to_le_bytes()));
        let plain = |x: &Block| {
            let mut block = Array::from(x.to_le_bytes());
            cipher.encrypt_block(&mut block);
            Block::from_le_bytes(block.into()) ^ *x
        };
        for CorrelationHash { cipher } in kernels() {
            let hash = PlacementHash { cipher };
            for len in [0, 1, 31, 33, 129, 300] {
                let mut hashes = rows(len);
                hash.replace(&mut hashes);
                assert!(hashes == rows(len).iter().map(plain).collect::<Vec<_>>(), "{len} blocks");
            }
        }
    }

    #[test]
    fn directions_steps_sessions_and_tweaks_give_other_hashes() {
        let x = rows(1);
        let hash = |session: u8, step: &StepPath, from: u8, to: u8, tweak: u64| {
            let mut out = [Block::ZERO];
            CorrelationHash::new(SessionId([session; 32]), step, PartyId(from), PartyId(to)).hash(
                &x,
                Block::ZERO,
                tweak,
                &mut out,
            );
            out[0].0
        };
        let (root, child) = (StepPath::root(), StepPath::root().child("a", 0));
        let mut all = vec![
            hash(1, &root, 0, 1, 0),
            hash(2, &root, 0, 1, 0),
            hash(1, &child, 0, 1, 0),
            hash(1, &root, 1, 0, 0),
            hash(1, &root, 0, 1, 1),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }
}
