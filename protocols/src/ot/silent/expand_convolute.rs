//! The expand-convolute code: compresses 2n positions of which few are noisy to n that look random.

mod lanes;

use std::ops::Range;

use mpc_core::Block;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::simd::{prefetch, widest};
use mpc_core::step::StepPath;
use zeroize::Zeroize;

pub use lanes::{Element, Lanes, Pair};

use crate::parameters::{CONVOLUTION_STATE, Code};

/// The parity-check map e ↦ e₀ ⊕ B·A₂·A₁·e₁ of a systematic code, for e = (e₀, e₁) with two halves of n positions.
///
/// A₁ and A₂ are recursive convolutions: each position takes the one 25 before it, then is multiplied by a constant θ, then takes a
/// uniformly random subset of the 24 before it. After the last position the first 25 do so too, as if the positions were a ring, so
/// that a second pass spreads what sits at the end. B adds up `expander_weight` positions for each output: one in each of ⌈w/2⌉
/// equal regions, the others anywhere, with repetition.
///
/// θ depends on what is compressed: 1 for blocks whose bits are compressed alike (OT), x for elements of GF(2^128) (VOLE), see
/// [`Lanes`]. The matrix is public; memory access and control flow depend on it and never on what is compressed.
///
/// # Source
/// Raghuraman, Rindal, Tanguy, Expand-Convolute Codes, Crypto'23 (ePrint 2023/882): expander times convolution. The systematic
/// form, the second convolution, the ring, θ (`mulConst`) and the half-regular expander are those of the authors' libOTe `ExConvCode`.
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
        assert!(noise.len().is_multiple_of(8), "the table has no odd sizes");
        let (systematic, parity) = noise.split_at_mut(n);
        self.add_parity(parity, |at, sum| systematic[at] ^= sum);
        noise.truncate(n);
        noise.shrink_to_fit();
    }

    /// Calls `add` with each output's place and what the second half of the noise adds to it, in order. Wipes `parity`.
    ///
    /// Panics when the length is no multiple of 4 or below 32, as in [`ExpandConvolute::compress`].
    pub fn add_parity<L: Lanes>(&self, parity: &mut [L], mut add: impl FnMut(usize, L)) {
        let mut sweep = self.sweep(parity.len());
        while sweep.step(parity, &mut add) {}
    }

    /// The same in steps, for `len` positions.
    pub fn sweep<L: Lanes>(&self, len: usize) -> Sweep<L> {
        assert!(len.is_multiple_of(4) && len >= 32, "the table has no such size");
        let passes = [Convolution::new(self.stream("first")), Convolution::new(self.stream("second"))];
        Sweep { code: self.code, len, passes, columns: self.stream("expand"), expanded: 0 }
    }

    fn stream(&self, pass: &'static str) -> Prg {
        self.seed.prg(Domain::CodeMatrix, &StepPath::root().child(pass, 0))
    }
}

/// One more than the state: this far back a position is always added.
const REACH: usize = CONVOLUTION_STATE + 1;
const STATE_MASK: u32 = (1 << CONVOLUTION_STATE) - 1;

/// Positions of a step: at most a few milliseconds.
const STEP: usize = 1 << 15;

/// What [`ExpandConvolute::add_parity`] does, a part at a time, so that messages may travel between.
pub struct Sweep<L: Lanes> {
    code: Code,
    len: usize,
    passes: [Convolution<L>; 2],
    columns: Prg,
    expanded: usize,
}

impl<L: Lanes> Sweep<L> {
    /// The next part; each call has the same `parity` and `add`. False when nothing is left to do.
    pub fn step(&mut self, parity: &mut [L], add: &mut impl FnMut(usize, L)) -> bool {
        assert_eq!(parity.len(), self.len, "the positions it was made for");
        if let Some(pass) = self.passes.iter_mut().find(|pass| pass.done < parity.len()) {
            pass.step(parity);
            return true;
        }
        let rows = self.expanded..self.len.min(self.expanded + STEP);
        self.expanded = rows.end;
        match self.code {
            Code::ExpandConvolute7 => expand::<L, 4, 3>(parity, rows, &mut self.columns, add),
            Code::ExpandConvolute21 => expand::<L, 11, 10>(parity, rows, &mut self.columns, add),
        }
        if self.expanded < self.len {
            return true;
        }
        // The convolved half is the noise in another form.
        parity.zeroize();
        false
    }
}

/// One wrapped recursive convolution in place. The stream gives a word for each position, then for the first 25 again; bit p
/// of a word stands for the position 24 − p before.
struct Convolution<L: Lanes> {
    stream: Prg,
    sums: SubsetSums<L>,
    done: usize,
}

impl<L: Lanes> Convolution<L> {
    fn new(stream: Prg) -> Self {
        Self { stream, sums: SubsetSums([[L::default(); 16]; 8]), done: 0 }
    }

    fn step(&mut self, x: &mut [L]) {
        let part = self.done..x.len().min(self.done + STEP);
        self.done = part.end;
        let (stream, sums) = (&mut self.stream, &mut self.sums);
        widest(
            #[inline(always)]
            || convolve(x, part, stream, sums),
        );
        if self.done == x.len() {
            let mut words = [0; REACH];
            self.stream.fill_u32s(&mut words);
            wrap(x, &words);
        }
    }
}

impl<L: Lanes> Drop for Convolution<L> {
    fn drop(&mut self) {
        self.sums.0.zeroize();
    }
}

#[inline(always)]
fn convolve<L: Lanes>(x: &mut [L], part: Range<usize>, stream: &mut Prg, sums: &mut SubsetSums<L>) {
    let mut words = [0; TILE];
    for start in part.clone().step_by(TILE) {
        let words = &mut words[..TILE.min(part.end - start)];
        stream.fill_u32s(words);
        for (group, words) in words.chunks_exact(4).enumerate() {
            let at = start + 4 * group;
            let values = sums.next_group(at / 4, window_start(x, at), words);
            x[at..at + 4].copy_from_slice(&values);
        }
    }
}

/// Four positions, each with the one 25 before it where there is one.
#[inline(always)]
fn window_start<L: Lanes>(x: &[L], at: usize) -> [L; 4] {
    let start = |at: usize| if at < REACH { x[at] } else { x[at].plus(x[at - REACH]).times_theta() };
    std::array::from_fn(|lane| start(at + lane))
}

/// The first 25 positions take the last ones, as if the positions were a ring.
fn wrap<L: Lanes>(x: &mut [L], words: &[u32]) {
    let n = x.len();
    for (position, word) in words.iter().enumerate() {
        let start = x[position].plus(x[n + position - REACH]).times_theta();
        let subset = (position + 1..REACH).filter(|back| word >> (CONVOLUTION_STATE - back) & 1 == 1);
        x[position] = subset.fold(start, |sum, back| sum.plus(x[n + position - back]));
    }
}

/// Subset sums of the last eight groups of four positions.
struct SubsetSums<L>([[L; 16]; 8]);

impl<L: Lanes> SubsetSums<L> {
    /// Convolves one group of four: `values` plus the subsets of earlier positions that `words` choose.
    #[inline(always)]
    fn next_group(&mut self, group: usize, mut values: [L; 4], words: &[u32]) -> [L; 4] {
        for lane in 0..4 {
            values[lane] = values[lane].plus(self.earlier_groups(group, (words[lane] & STATE_MASK) << lane));
        }
        // Within the group each position waits for the one before: masks are quicker than tables here.
        for lane in 1..4 {
            for before in 0..lane {
                values[lane] = values[lane].plus(chosen(values[before], words[lane], lane - before));
            }
        }
        let table = &mut self.0[group & 7];
        for lane in 0..4 {
            for subset in 0..1 << lane {
                table[(1 << lane) + subset] = table[subset].plus(values[lane]);
            }
        }
        values
    }

    /// `window` has a bit for each of the 24 positions of the six groups before, the oldest lowest.
    #[inline(always)]
    fn earlier_groups(&self, group: usize, window: u32) -> L {
        let part = |nibble: usize| self.0[(group + 2 + nibble) & 7][(window >> (4 * nibble)) as usize & 15];
        part(0).plus(part(1)).plus(part(2).plus(part(3))).plus(part(4).plus(part(5)))
    }
}

/// The value if the word chooses the position so far back, else zero.
#[inline(always)]
fn chosen<L: Lanes>(value: L, word: u32, back: usize) -> L {
    value.masked(0u64.wrapping_sub(u64::from(word >> (CONVOLUTION_STATE - back) & 1)))
}

/// Sums up the expander's columns of `from` for each of these outputs: one in each of `REGULAR` equal regions and `FREE` anywhere.
fn expand<L: Lanes, const REGULAR: usize, const FREE: usize>(
    from: &[L],
    rows: Range<usize>,
    stream: &mut Prg,
    add: &mut impl FnMut(usize, L),
) {
    let weight = REGULAR + FREE;
    let mut columns = vec![0; TILE * weight];
    for start in rows.clone().step_by(TILE) {
        let columns = &mut columns[..TILE.min(rows.end - start) * weight];
        stream.fill_u32s(columns);
        widest(
            #[inline(always)]
            || {
                place::<REGULAR>(columns, weight, from.len());
                sum_columns(from, columns, weight, |row, sum| add(start + row, sum));
            },
        );
    }
}

/// Makes uniform words the columns of rows.
#[inline(always)]
fn place<const REGULAR: usize>(words: &mut [u32], weight: usize, len: usize) {
    let region = len / REGULAR;
    for words in words.chunks_exact_mut(weight) {
        let (regular, free) = words.split_at_mut(REGULAR);
        for (index, word) in regular.iter_mut().enumerate() {
            *word = (index * region + below(*word, region)) as u32;
        }
        free.iter_mut().for_each(|word| *word = below(*word, len) as u32);
    }
}

/// Columns are far apart and in no order: those of a row are asked for while rows before it are summed.
#[inline(always)]
fn sum_columns<L: Lanes>(from: &[L], columns: &[u32], weight: usize, mut add: impl FnMut(usize, L)) {
    for (row, own) in columns.chunks_exact(weight).enumerate() {
        let ahead = columns.get((row + AHEAD) * weight..).unwrap_or_default();
        ahead.iter().take(weight).for_each(|column| prefetch(from, *column as usize));
        add(row, own.iter().fold(L::default(), |sum, column| sum.plus(from[*column as usize])));
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

/// Rows between asking for columns and reading them: about as many lines as a core can wait for at once.
const AHEAD: usize = 8;

#[cfg(test)]
mod tests;
