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
        parity.iter_mut().zeroize();
        noise.truncate(n);
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
    let mut tables = SubsetSums([[Block::default(); 16]; 8]);
    let mut words = Words::new(stream);
    for group in 0..x.len() / 4 {
        for lane in 0..4 {
            let at = 4 * group + lane;
            let always = if at >= REACH { x[at - REACH] } else { Block::default() };
            let window = (words.next() & STATE_MASK) << lane;
            let value = x[at] ^ always ^ tables.sum(group, window);
            x[at] = value;
            tables.extend(group, lane, value);
        }
    }
    tables.0.zeroize();
    wrap(x, &mut words);
}

/// The first 25 positions take sums of the last ones, as if the positions were a ring.
fn wrap(x: &mut [Block], words: &mut Words<'_>) {
    let n = x.len();
    for position in 0..REACH {
        let word = words.next();
        let subset = (position + 1..REACH).filter(|back| word >> (CONVOLUTION_STATE - back) & 1 == 1);
        let sum = subset.fold(x[n + position - REACH], |sum, back| sum ^ x[n + position - back]);
        x[position] ^= sum;
    }
}

/// Subset sums of the last groups of four positions; those of the current group grow with it.
struct SubsetSums([[Block; 16]; 8]);

impl SubsetSums {
    /// `window` has a bit for each of the 28 positions from six groups back to the current group, the oldest lowest.
    #[inline(always)]
    fn sum(&self, group: usize, window: u32) -> Block {
        let part = |nibble: usize| self.0[(group + 2 + nibble) & 7][(window >> (4 * nibble)) as usize & 15];
        // The newest part is ready last.
        ((part(0) ^ part(1)) ^ (part(2) ^ part(3))) ^ (part(4) ^ part(5)) ^ part(6)
    }

    #[inline(always)]
    fn extend(&mut self, group: usize, lane: usize, value: Block) {
        let table = &mut self.0[group & 7];
        for subset in 0..1 << lane {
            table[(1 << lane) + subset] = table[subset] ^ value;
        }
    }
}

/// Adds the expander's columns of `from` to each output: one in each of `REGULAR` equal regions and `FREE` anywhere.
fn expand<const REGULAR: usize, const FREE: usize>(outputs: &mut [Block], from: &[Block], stream: &mut Prg) {
    let region = from.len() / REGULAR;
    let mut words = Words::new(stream);
    for output in outputs {
        let mut sum = *output;
        for index in 0..REGULAR {
            sum ^= from[index * region + below(words.next(), region)];
        }
        for _ in 0..FREE {
            sum ^= from[below(words.next(), from.len())];
        }
        *output = sum;
    }
}

/// A public uniform word as an index below `len`; no index is favoured where `len` is a power of two, none by more than
/// len/2^32 elsewhere.
#[inline(always)]
fn below(word: u32, len: usize) -> usize {
    ((u64::from(word) * len as u64) >> 32) as usize
}

/// A stream read word by word.
struct Words<'a> {
    stream: &'a mut Prg,
    buffer: Box<[u32]>,
    at: usize,
}

/// 16 KiB: half of the first-level cache.
const BUFFER_WORDS: usize = 4096;

impl<'a> Words<'a> {
    fn new(stream: &'a mut Prg) -> Self {
        Self { stream, buffer: vec![0; BUFFER_WORDS].into(), at: BUFFER_WORDS }
    }

    #[inline(always)]
    fn next(&mut self) -> u32 {
        if self.at == BUFFER_WORDS {
            self.stream.fill_words(&mut self.buffer);
            self.at = 0;
        }
        self.at += 1;
        self.buffer[self.at - 1]
    }
}

#[cfg(test)]
mod tests;
