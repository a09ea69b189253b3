//! The expand-convolute code: compresses 2n positions of which few are noisy to n that look random.

use mpc_core::Block;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::step::StepPath;
use zeroize::Zeroize;

use crate::parameters::{CONVOLUTION_STATE, Code};

/// The parity-check map e ↦ e₀ ⊕ B·A₂·A₁·e₁ of a systematic code, for e = (e₀, e₁) with two halves of n blocks.
///
/// A₁ and A₂ are recursive convolutions: each position adds a uniformly random subset of the 24 before it and always the 25th.
/// After the last position the first 25 take such sums too, as if the positions were a ring, so that a second pass spreads what
/// sits at the end. B adds up `expander_weight` positions for each output: one in each of ⌈w/2⌉ equal regions, the others anywhere,
/// with repetition.
///
/// The matrix is public; memory access and control flow depend on it and never on the blocks.
///
/// # Source
/// Raghuraman, Rindal, Tanguy, Expand-Convolute Codes, Crypto'23 (ePrint 2023/882): expander times convolution. The systematic
/// form, the second convolution, the ring and the half-regular expander are those of the authors' libOTe `ExConvCode`.
/// # Deviations
/// Coefficients are drawn for the position that takes the sum and not for the one that is added: the same distribution.
/// Sums of four neighbours come from a table of their 16 subset sums (Arlazarov et al., 1970).
pub struct ExpandConvolute {
    code: Code,
    seed: PublicSeed,
}

impl ExpandConvolute {
    /// The code of a public seed.
    pub fn new(code: Code, seed: PublicSeed) -> Self {
        Self { code, seed }
    }

    /// Replaces the first half of `noise` by the code's image of all of it and cuts the rest off.
    ///
    /// Panics when the length is no multiple of 8 or below 64: the table of parameters has no such size.
    pub fn compress(&self, noise: &mut Vec<Block>) {
        let n = noise.len() / 2;
        assert!(noise.len().is_multiple_of(8) && n >= 32, "the table's sizes are powers of two");
        let (systematic, parity) = noise.split_at_mut(n);
        convolve(parity, &mut self.stream("first"));
        convolve(parity, &mut self.stream("second"));
        let mut columns = self.stream("expand");
        match self.code {
            Code::ExpandConvolute7 => expand::<4, 3>(systematic, parity, &mut columns),
            Code::ExpandConvolute21 => expand::<11, 10>(systematic, parity, &mut columns),
        }
        // The convolved half is the noise in another form.
        parity.zeroize();
        noise.truncate(n);
        noise.shrink_to_fit();
    }

    fn stream(&self, pass: &'static str) -> Prg {
        self.seed.prg(Domain::CodeMatrix, &StepPath::root().child(pass, 0))
    }
}

/// One more than the state: this far back a position is always added.
const REACH: usize = CONVOLUTION_STATE + 1;
const STATE_MASK: u32 = (1 << CONVOLUTION_STATE) - 1;

/// One wrapped recursive convolution in place. The stream gives a word for each position, then for the first 25 again; bit p
/// of a word stands for the position 24 − p before.
fn convolve(x: &mut [Block], stream: &mut Prg) {
    let mut words = [0; TILE];
    let mut sums = SubsetSums([[Block::default(); 16]; 8]);
    for start in (0..x.len()).step_by(TILE) {
        let words = &mut words[..TILE.min(x.len() - start)];
        stream.fill_u32s(words);
        for (group, words) in words.chunks_exact(4).enumerate() {
            let at = start + 4 * group;
            let values = sums.next_group(at / 4, window_start(x, at), words);
            x[at..at + 4].copy_from_slice(&values);
        }
    }
    sums.0.zeroize();
    let words = &mut words[..REACH];
    stream.fill_u32s(words);
    wrap(x, words);
}

/// Four positions, each with the one 25 before it where there is one.
#[inline(always)]
fn window_start(x: &[Block], at: usize) -> [Block; 4] {
    let always = |lane: usize| if at + lane < REACH { Block::default() } else { x[at + lane - REACH] };
    std::array::from_fn(|lane| x[at + lane] ^ always(lane))
}

/// The first 25 positions take sums of the last ones, as if the positions were a ring.
fn wrap(x: &mut [Block], words: &[u32]) {
    let n = x.len();
    for (position, word) in words.iter().enumerate() {
        let subset = (position + 1..REACH).filter(|back| word >> (CONVOLUTION_STATE - back) & 1 == 1);
        let sum = subset.fold(x[n + position - REACH], |sum, back| sum ^ x[n + position - back]);
        x[position] ^= sum;
    }
}

/// Subset sums of the last eight groups of four positions.
struct SubsetSums([[Block; 16]; 8]);

impl SubsetSums {
    /// Convolves one group of four: `values` plus the subsets of earlier positions that `words` choose.
    #[inline(always)]
    fn next_group(&mut self, group: usize, mut values: [Block; 4], words: &[u32]) -> [Block; 4] {
        for lane in 0..4 {
            values[lane] ^= self.earlier_groups(group, (words[lane] & STATE_MASK) << lane);
        }
        // Within the group each position waits for the one before: masks are quicker than tables here.
        values[1] ^= chosen(values[0], words[1], 1);
        values[2] ^= chosen(values[0], words[2], 2) ^ chosen(values[1], words[2], 1);
        values[3] ^= chosen(values[0], words[3], 3) ^ chosen(values[1], words[3], 2) ^ chosen(values[2], words[3], 1);
        let table = &mut self.0[group & 7];
        for lane in 0..4 {
            for subset in 0..1 << lane {
                table[(1 << lane) + subset] = table[subset] ^ values[lane];
            }
        }
        values
    }

    /// `window` has a bit for each of the 24 positions of the six groups before, the oldest lowest.
    #[inline(always)]
    fn earlier_groups(&self, group: usize, window: u32) -> Block {
        let part = |nibble: usize| self.0[(group + 2 + nibble) & 7][(window >> (4 * nibble)) as usize & 15];
        ((part(0) ^ part(1)) ^ (part(2) ^ part(3))) ^ (part(4) ^ part(5))
    }
}

/// The value if the word chooses the position so far back, else zero.
#[inline(always)]
fn chosen(value: Block, word: u32, back: usize) -> Block {
    Block(value.0 & 0u128.wrapping_sub(u128::from(word >> (CONVOLUTION_STATE - back) & 1)))
}

/// Adds the expander's columns of `from` to each output: one in each of `REGULAR` equal regions and `FREE` anywhere.
fn expand<const REGULAR: usize, const FREE: usize>(outputs: &mut [Block], from: &[Block], stream: &mut Prg) {
    let region = from.len() / REGULAR;
    let weight = REGULAR + FREE;
    let mut words = vec![0; TILE * weight];
    for outputs in outputs.chunks_mut(TILE) {
        let words = &mut words[..outputs.len() * weight];
        stream.fill_u32s(words);
        for (output, words) in outputs.iter_mut().zip(words.chunks_exact(weight)) {
            let (regular, free) = words.split_at(REGULAR);
            let mut sum = *output;
            for (index, word) in regular.iter().enumerate() {
                sum ^= from[index * region + below(*word, region)];
            }
            for word in free {
                sum ^= from[below(*word, from.len())];
            }
            *output = sum;
        }
    }
}

/// A public uniform word as an index below `len`; no index is favoured where `len` is a power of two, none by more than
/// len/2^32 elsewhere.
#[inline(always)]
fn below(word: u32, len: usize) -> usize {
    ((u64::from(word) * len as u64) >> 32) as usize
}

/// Rows whose coefficients are drawn at a time: 2 KiB of them for a convolution, 14 KiB for an expander of weight 7.
const TILE: usize = 512;

#[cfg(test)]
mod tests;
