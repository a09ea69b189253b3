//! Where keys go: their hashes, sorted by bin.

use mpc_core::Block;
use mpc_core::hash::PlacementHash;
use mpc_core::random::{Domain, PublicSeed};
use mpc_core::step::StepPath;
use mpc_core::wire::Wire;
use zeroize::Zeroizing;

use crate::parameters::okvs::OkvsShape;

/// Hashes keys under a public seed and says in which of `bins` bins they are.
pub(super) struct Placement {
    hash: PlacementHash,
    bins: usize,
}

impl Placement {
    pub(super) fn new(shape: &OkvsShape, seed: PublicSeed) -> Self {
        let mut key = [0; Block::BYTES];
        seed.prg(Domain::OkvsHash, &StepPath::root()).fill(&mut key);
        Self { hash: PlacementHash::new(Block::from_le_bytes(key)), bins: shape.bins }
    }

    /// Replaces keys by their hashes.
    pub(super) fn hash(&self, keys: &mut [Block]) {
        self.hash.replace(keys);
    }

    /// The bin of a hash: its upper 32 bits, scaled. No bin is favoured by more than bins/2^32.
    fn bin(&self, hash: Block) -> usize {
        ((u64::from((hash.0 >> 96) as u32) * self.bins as u64) >> 32) as usize
    }

    /// The keys' hashes and places in order of their bins.
    pub(super) fn sort(&self, keys: &[Block]) -> Sorted {
        let mut starts = vec![0; self.bins + 1];
        self.each_hash(keys, |_, hash| starts[self.bin(hash) + 1] += 1);
        for bin in 0..self.bins {
            starts[bin + 1] += starts[bin];
        }
        let mut next = starts.clone();
        let mut hashes = Zeroizing::new(vec![Block::ZERO; keys.len()]);
        let mut places = Zeroizing::new(vec![0; keys.len()]);
        self.each_hash(keys, |place, hash| {
            let next = &mut next[self.bin(hash)];
            (hashes[*next], places[*next]) = (hash, place);
            *next += 1;
        });
        Sorted { hashes, places, starts }
    }

    /// Hashing twice is quicker than keeping the hashes between two passes.
    #[inline(always)]
    fn each_hash(&self, keys: &[Block], mut take: impl FnMut(u32, Block)) {
        let mut tile = Zeroizing::new([Block::ZERO; TILE]);
        let mut place = 0;
        for keys in keys.chunks(TILE) {
            let hashes = &mut tile[..keys.len()];
            hashes.copy_from_slice(keys);
            self.hash.replace(hashes);
            for hash in hashes {
                take(place, *hash);
                place += 1;
            }
        }
    }
}

/// Keys hashed at a time: 8 KiB.
const TILE: usize = 512;

/// Hashes in order of their bins, each with the place of its key.
pub(super) struct Sorted {
    hashes: Zeroizing<Vec<Block>>,
    places: Zeroizing<Vec<u32>>,
    starts: Vec<usize>,
}

impl Sorted {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Hashes and places of one bin.
    pub(super) fn bin(&self, index: usize) -> (&[Block], &[u32]) {
        let bin = self.starts[index]..self.starts[index + 1];
        (&self.hashes[bin.clone()], &self.places[bin])
    }
}

/// Three different rows below `sparse`, from the lower 64 bits of a hash: uniform up to sparse³/2^64.
#[inline(always)]
pub(super) fn rows(hash: Block, sparse: usize) -> [u16; 3] {
    let mut fraction = hash.0 as u64;
    let mut below = |bound: u64| {
        let product = u128::from(fraction) * u128::from(bound);
        fraction = product as u64;
        (product >> 64) as u16
    };
    let a = below(sparse as u64);
    let mut b = below(sparse as u64 - 1);
    b += u16::from(b >= a);
    let mut c = below(sparse as u64 - 2);
    c += u16::from(c >= a.min(b));
    c += u16::from(c >= a.max(b));
    [a, b, c]
}
