//! Randomness: AES-128 in counter mode, keyed by seed, domain and step. The only file that names rand_core.

use std::convert::Infallible;
use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ring::{Ring, Sign};
use crate::step::StepPath;

/// What a stream is for. Numbers are part of the protocol and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Domain {
    /// The zero-share that re-randomises a vector before it is released.
    ReleaseZeroShare = 1,
    /// The zero-share of a masked sum that stays shared.
    SumZeroShare = 2,
    /// Salts of commitments.
    CommitSalt = 3,
    /// Weights of the key-union sketch.
    SketchWeight = 4,
    /// One's own summands of correlated randomness.
    Triple = 6,
    /// Secrets of base OTs, the choices of their receiver included.
    BaseOt = 5,
    /// Offsets of silent OT, at its sender.
    SilentOffset = 40,
    /// Roots of the trees of silent OT, at its sender.
    SilentRoots = 41,
    /// Noise positions of silent OT, at its receiver.
    SilentNoise = 42,
    /// Keys of the tree generator of silent OT, from a public seed.
    TreeKeys = 43,
    /// The matrix of a code, from its public seed.
    CodeMatrix = 44,
    /// A random permutation of rows that one site knows.
    Permutation = 20,
    /// What a site masks rows with that another site permutes.
    PermutationMask = 21,
    /// The public permutation that hashes the keys of an oblivious key-value store.
    OkvsHash = 60,
    /// The secret exponent of a site in matching by Diffie–Hellman.
    MatchExponent = 61,
    /// Keys that fill a table of patients up to its bound.
    MatchingDummy = 70,
    /// Targets of bins and what is subtracted from payloads, at the sender of a matching.
    MatchingTarget = 71,
    /// Which bins a key may take, from a public seed.
    MatchingHash = 72,
    /// Public seeds of the stores of a matching, and their free rows.
    MatchingSeed = 73,
    /// What the receiver of a matching asks in empty bins.
    MatchingPoint = 75,
    /// Keys of the hashes that stretch the masks of programmed values, from public numbers.
    MatchingStretch = 76,
    /// Masks of the results of equality tests.
    EqualityMask = 74,
    /// The offset Δ of a VOLE, at its sender.
    VoleDelta = 45,
    /// Roots of the trees of a VOLE, at its sender.
    VoleRoots = 46,
    /// Noise of a VOLE, positions and values, at its receiver.
    VoleNoise = 47,
    /// Seeds of an OPRF's key-value store, at its receiver, and the store's free positions.
    OprfStore = 48,
    /// Buckets of patients in a differencing check, from a public seed.
    DifferencingHash = 80,
    /// The noise that a site adds to its part of a figure.
    FigureNoise = 90,
    /// Tests.
    Test = 0xffff,
}

/// A seed two parties share and nobody else knows.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairSeed([u8; 32]);

/// A seed that one party alone knows.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateSeed([u8; 32]);

/// A seed that may be known to anybody: of a code or a hash, never of a mask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicSeed(pub [u8; 32]);

impl PublicSeed {
    /// The stream of this seed at a step.
    pub fn prg(&self, domain: Domain, step: &StepPath) -> Prg {
        Prg::derive(b"public", &self.0, domain, step)
    }
}

impl PairSeed {
    /// From 32 bytes both parties derived.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stream of this seed at a step.
    pub fn prg(&self, domain: Domain, step: &StepPath) -> Prg {
        Prg::derive(b"pair", &self.0, domain, step)
    }
}

impl PrivateSeed {
    /// From 32 bytes nobody else knows.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Fresh from the operating system.
    pub fn from_os() -> std::result::Result<Self, getrandom::Error> {
        os_bytes().map(Self)
    }

    /// The stream of this seed at a step.
    pub fn prg(&self, domain: Domain, step: &StepPath) -> Prg {
        Prg::derive(b"private", &self.0, domain, step)
    }
}

impl fmt::Debug for PublicSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicSeed")
    }
}

impl fmt::Debug for PairSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairSeed")
    }
}

impl fmt::Debug for PrivateSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateSeed")
    }
}

/// 32 bytes from the operating system.
pub fn os_bytes() -> std::result::Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Blocks encrypted at a time: 64 KiB stays in the second-level cache beside the column it is added to.
const TILE_BLOCKS: usize = 4096;
const BLOCK: usize = 16;

/// A pseudo-random stream. Used forwards once; it cannot be cloned.
pub struct Prg {
    cipher: Aes128,
    counter: u128,
    /// Unused bytes of the last block of a `fill`.
    spare: [u8; BLOCK],
    spare_len: usize,
    tile: Vec<Array<u8, aes::cipher::consts::U16>>,
}

impl Prg {
    fn derive(kind: &[u8], seed: &[u8; 32], domain: Domain, step: &StepPath) -> Self {
        let digest = Sha256::new()
            .chain_update(b"consilium prg v1\0")
            .chain_update([kind.len() as u8])
            .chain_update(kind)
            .chain_update(seed)
            .chain_update((domain as u16).to_le_bytes())
            .chain_update(step.as_str().as_bytes())
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let cipher = Aes128::new(&Array::from(key));
        key.zeroize();
        Self { cipher, counter: 0, spare: [0; BLOCK], spare_len: 0, tile: Vec::new() }
    }

    /// Fills `out` with the next bytes of the stream.
    pub fn fill(&mut self, mut out: &mut [u8]) {
        let take = self.spare_len.min(out.len());
        let from = BLOCK - self.spare_len;
        out[..take].copy_from_slice(&self.spare[from..from + take]);
        self.spare_len -= take;
        out = &mut out[take..];
        let whole = out.len() / BLOCK * BLOCK;
        let (head, rest) = out.split_at_mut(whole);
        for part in head.chunks_mut(TILE_BLOCKS * BLOCK) {
            let (blocks, _) = Array::slice_as_chunks_mut(part);
            self.next_blocks(blocks);
        }
        out = rest;
        if !out.is_empty() {
            self.next_tile(1);
            self.spare.copy_from_slice(&self.tile[0]);
            out.copy_from_slice(&self.spare[..out.len()]);
            self.spare_len = BLOCK - out.len();
        }
    }

    /// Fills `out` with the next words of the stream.
    pub fn fill_words(&mut self, out: &mut [u64]) {
        self.fill(bytemuck::cast_slice_mut(out));
        if cfg!(target_endian = "big") {
            out.iter_mut().for_each(|word| *word = word.swap_bytes());
        }
    }

    /// Fills `out` with the next half words of the stream, little end first.
    pub fn fill_u32s(&mut self, out: &mut [u32]) {
        self.fill(bytemuck::cast_slice_mut(out));
        out.iter_mut().for_each(|word| *word = u32::from_le(*word));
    }

    /// The next element, by rejection where the type needs it.
    pub fn element<R: Ring>(&mut self) -> R {
        let mut bytes = [0; BLOCK];
        loop {
            self.fill(&mut bytes[..R::BYTES]);
            if let Some(element) = R::from_uniform(&bytes[..R::BYTES]) {
                return element;
            }
        }
    }

    /// A uniform number below `bound`, by rejection.
    ///
    /// # Panics
    /// When the bound is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        // 2^32 mod bound of the 2^32 draws are too many (Lemire, ACM TOMACS 2019, algorithm 5).
        let surplus = bound.wrapping_neg() % bound;
        loop {
            let mut bytes = [0; 4];
            self.fill(&mut bytes);
            let product = u64::from(u32::from_le_bytes(bytes)) * u64::from(bound);
            if product as u32 >= surplus {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniform permutation of 0 to n − 1 (Fisher–Yates). Its memory accesses show it: for permutations that this party
    /// may know.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let n = u32::try_from(n).expect("at most 2^32 rows");
        let mut map: Vec<u32> = (0..n).collect();
        (1..n).rev().for_each(|last| map.swap(last as usize, self.below(last + 1) as usize));
        map
    }

    /// `acc[i] += stream[i]`, 64 KiB at a time.
    pub fn add_to<R: Ring>(&mut self, acc: &mut [R]) {
        self.mask(acc, Sign::Plus);
    }

    /// `acc[i] -= stream[i]`, 64 KiB at a time.
    pub fn sub_from<R: Ring>(&mut self, acc: &mut [R]) {
        self.mask(acc, Sign::Minus);
    }

    fn mask<R: Ring>(&mut self, acc: &mut [R], sign: Sign) {
        for part in acc.chunks_mut(TILE_BLOCKS * BLOCK / R::BYTES) {
            self.next_tile((part.len() * R::BYTES).div_ceil(BLOCK));
            let tile = std::mem::take(&mut self.tile);
            // A rejected element (only F61 rejects, once in 2^61) is drawn again from the stream that follows.
            R::mask_column(part, tile.as_flattened_bytes(), sign, &mut || self.element());
            self.tile = tile;
        }
    }

    fn next_tile(&mut self, blocks: usize) {
        let mut tile = std::mem::take(&mut self.tile);
        tile.resize(blocks, Array::default());
        self.next_blocks(&mut tile);
        self.tile = tile;
    }

    fn next_blocks(&mut self, blocks: &mut [Array<u8, aes::cipher::consts::U16>]) {
        for block in blocks.iter_mut() {
            *block = Array::from(self.counter.to_le_bytes());
            self.counter += 1;
        }
        self.cipher.encrypt_blocks(blocks);
    }
}

/// A view of cipher blocks as bytes.
trait Flatten {
    fn as_flattened_bytes(&self) -> &[u8];
}

impl Flatten for Vec<Array<u8, aes::cipher::consts::U16>> {
    fn as_flattened_bytes(&self) -> &[u8] {
        Array::slice_as_flattened(self)
    }
}

impl Drop for Prg {
    fn drop(&mut self) {
        self.spare.zeroize();
        self.tile.iter_mut().for_each(|block| block.zeroize());
    }
}

impl fmt::Debug for Prg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prg")
    }
}

impl TryRng for Prg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Prg {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::F61;
    use crate::ring::{Z64, Z128};

    fn stream(seed: u8, domain: Domain, label: &str) -> Prg {
        PairSeed::new([seed; 32]).prg(domain, &StepPath::root().child(label, 0))
    }

    #[test]
    fn a_stream_does_not_depend_on_how_it_is_cut() {
        let mut whole = vec![0; 200_000];
        stream(1, Domain::Test, "a").fill(&mut whole);
        let mut cut = vec![0; 200_000];
        let mut prg = stream(1, Domain::Test, "a");
        for part in cut.chunks_mut(777) {
            prg.fill(part);
        }
        assert_eq!(whole, cut);
    }

    #[test]
    fn seed_domain_and_step_each_give_another_stream() {
        let first = |mut prg: Prg| prg.try_next_u64().unwrap();
        let base = first(stream(1, Domain::Test, "a"));
        assert_ne!(base, first(stream(2, Domain::Test, "a")));
        assert_ne!(base, first(stream(1, Domain::CommitSalt, "a")));
        assert_ne!(base, first(stream(1, Domain::Test, "b")));
    }

    fn masks_cancel<R: Ring>(len: usize) {
        let mut column = vec![R::default(); len];
        stream(3, Domain::Test, "mask").add_to(&mut column);
        assert!(column.iter().any(|v| *v != R::default()));
        stream(3, Domain::Test, "mask").sub_from(&mut column);
        assert!(column.iter().all(|v| *v == R::default()));
    }

    #[test]
    fn adding_and_subtracting_the_same_stream_cancels_in_every_ring() {
        masks_cancel::<Z64>(20_001);
        masks_cancel::<Z128>(20_001);
        masks_cancel::<F61>(20_001);
    }

    /// Chi-square over the top byte of 2^18 elements: 255 degrees of freedom, 380 is beyond 2^-20.
    fn top_bytes_are_uniform<R: Ring>(top: fn(R) -> u8) {
        let mut prg = stream(9, Domain::Test, R::NAME);
        let mut counts = [0u32; 256];
        let draws = 1 << 18;
        (0..draws).for_each(|_| counts[usize::from(top(prg.element()))] += 1);
        let expected = f64::from(draws) / 256.0;
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        assert!(chi < 380.0, "chi-square {chi} for {}", R::NAME);
    }

    #[test]
    fn all_permutations_are_equally_likely() {
        let mut prg = stream(5, Domain::Test, "permutation");
        let mut counts = std::collections::HashMap::<Vec<u32>, u32>::new();
        let draws = 24 << 12;
        (0..draws).for_each(|_| *counts.entry(prg.permutation(4)).or_default() += 1);
        let expected = f64::from(draws) / 24.0;
        let chi: f64 = counts.values().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        // 23 degrees of freedom: 70 is beyond 2^-20.
        assert!(counts.len() == 24 && chi < 70.0, "chi-square {chi}");
    }

    #[test]
    fn elements_cover_the_full_range_evenly() {
        top_bytes_are_uniform::<Z64>(|x| (x.0 >> 56) as u8);
        top_bytes_are_uniform::<Z128>(|x| (x.0 >> 120) as u8);
        top_bytes_are_uniform::<F61>(|x| (x.value() >> 53) as u8);
    }
}
