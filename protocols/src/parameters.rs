//! The reviewed parameter table: what a security claim rests on, with its source. Sizes outside it are refused.

pub mod matching;
pub mod okvs;
pub mod psi;

/// The linear code that compresses the sparse noise of a silent OT batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Expander weight 7, convolution state 24. Its distance is an aggressive estimate.
    ExpandConvolute7,
    /// Expander weight 21, convolution state 24: the conservative one, at about twice the time for the expander.
    ExpandConvolute21,
}

impl Code {
    /// Columns of the expander that each row adds up.
    pub const fn expander_weight(self) -> usize {
        match self {
            Code::ExpandConvolute7 => 7,
            Code::ExpandConvolute21 => 21,
        }
    }

    /// The pseudo minimum distance, as a share of the code's length: no lighter codeword is expected to be found.
    pub const fn pseudo_distance(self) -> f64 {
        match self {
            Code::ExpandConvolute7 => 0.15,
            Code::ExpandConvolute21 => 0.20,
        }
    }
}

/// Earlier positions that a convolution may add to each position; the one before them is always added.
pub const CONVOLUTION_STATE: usize = 24;

/// One instance of dual LPN with regular noise: a code of length 2n and dimension n, and t noise blocks of one 1 each.
///
/// # Source
/// Protocol and regular noise: Boyle et al., CCS'19 (ePrint 2019/1159), Figure 3. Code: Raghuraman, Rindal, Tanguy, Crypto'23
/// (ePrint 2023/882). The numbers are those of the authors' own implementation, libOTe (github.com/osu-crypto/libOTe), read on
/// 2026-11-22: expander weight, state, rate 1/2 and the pseudo distances 0.15 and 0.20 from `TwoChooseOne/ConfigureCode.cpp`,
/// `ExConvConfigure`; systematic form, two wrapped convolutions and half-regular expander from `Tools/ExConvCode/ExConvCode.h`. They
/// are estimates, not proven distances, and were not derived again.
/// # Estimates
/// - Linear tests: a test of relative weight δ is biased by (1 − 2δ)^t, so t ≥ 128 / −log2(1 − 2δ): 249 for δ = 0.15 and
///   174 for δ = 0.20 (`getRegNoiseWeight` at commit 08df6fba). Its newest version asks for 64 bits only, since δ is itself an
///   estimate, but for no fewer than 128 noise positions; we keep 128 bits.
/// - Generic decoding by pooled Gauss, which information-set decoding approaches for noise this sparse: n − t positions
///   without noise are guessed, evenly over the blocks, whose parities are known; (1 − (n − t)/2n)^−t ≥ 2^249.
/// - Algebraic attacks on regular noise (Briaud, Øygarden, Eurocrypt'23): the newest `getRegNoiseWeight` asks for 128
///   positions, 144 for lengths up to 2048; t = 256 and lengths of at least 2^15 are above both.
/// # Estimates for noise in GF(2^128)
/// For VOLE the value at each noisy position is uniform in GF(2^128), and the code has a constant of that field in it (a binary code
/// with such noise falls to linear algebra, see [`Element`](crate::ot::silent::expand_convolute::Element)).
/// - Linear tests: what a word of relative weight δ gives is not uniform only where it misses all noise, with probability (1 − δ)^t and
///   not (1 − 2δ)^t, so t ≥ 128 / −log2(1 − δ): 546 for δ = 0.15 and 398 for δ = 0.20. The newest `getRegNoiseWeight` has the same
///   formula (`SdNoiseSecurityModel`, factor 1) and asks for 64 bits by it; we keep 128.
/// - Generic decoding: as above, 2^249 and more for t ≥ 256. Algebraic attacks: the positions asked for are the same.
/// # Deviations
/// t = 256 for both codes, so that all trees are full and of one depth. For VOLE t = 576 and 448, multiples of 64; lengths are
/// any multiple of t, so that trees are of one length and may lack leaves at the last level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lpn {
    /// Correlations that come out, n; a power of two for OT, a multiple of t/2 for VOLE.
    pub outputs: usize,
    /// Noise blocks, t; each has one noisy position.
    pub noise_blocks: usize,
    /// Positions of one noise block: 2n / t.
    pub block_len: usize,
    /// The code.
    pub code: Code,
}

/// Noise blocks of every instance.
const NOISE_BLOCKS: usize = 256;

/// The sizes of the table, as logarithms: 2^14 keeps blocks of 128 positions, 2^22 keeps 128 MiB for each party.
pub const SILENT_LOG_OUTPUTS: std::ops::RangeInclusive<u32> = 14..=22;

/// The sizes of VOLE: shorter ones are cut from this one, which is as long as the shortest of silent OT.
pub const VOLE_MIN_OUTPUTS: usize = 1 << 14;
/// Room for an encoding of 2^24 keys; 1.6 GiB at the side that compresses two columns.
pub const VOLE_MAX_OUTPUTS: usize = 3 << 23;

impl Lpn {
    /// The instance for `outputs` correlations, or None when the table has no such size.
    pub fn silent(outputs: usize, code: Code) -> Option<Self> {
        let listed = outputs.is_power_of_two() && SILENT_LOG_OUTPUTS.contains(&outputs.ilog2());
        listed.then_some(Self { outputs, noise_blocks: NOISE_BLOCKS, block_len: 2 * outputs / NOISE_BLOCKS, code })
    }

    /// The smallest instance for at least `needed` elements of a VOLE over GF(2^128), or None above [`VOLE_MAX_OUTPUTS`].
    pub fn vole(needed: usize, code: Code) -> Option<Self> {
        let noise_blocks = match code {
            Code::ExpandConvolute7 => 576,
            Code::ExpandConvolute21 => 448,
        };
        let block_len = (2 * needed.max(VOLE_MIN_OUTPUTS)).div_ceil(noise_blocks);
        let instance = Self { outputs: noise_blocks / 2 * block_len, noise_blocks, block_len, code };
        (needed <= VOLE_MAX_OUTPUTS).then_some(instance)
    }

    /// Length of the noise, 2n.
    pub fn code_len(&self) -> usize {
        2 * self.outputs
    }

    /// Levels of each tree.
    pub fn depth(&self) -> usize {
        self.block_len.next_power_of_two().ilog2() as usize
    }

    /// Base OTs of a batch: one for each tree and level.
    pub fn base_ots(&self) -> usize {
        self.noise_blocks * self.depth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> impl Iterator<Item = Lpn> {
        let codes = [Code::ExpandConvolute7, Code::ExpandConvolute21];
        let sizes = move |code| SILENT_LOG_OUTPUTS.map(move |log| Lpn::silent(1 << log, code).expect("a listed size"));
        codes.into_iter().flat_map(sizes)
    }

    #[test]
    fn every_instance_withstands_linear_tests_and_pooled_gauss_with_128_bits() {
        for lpn in table() {
            let t = lpn.noise_blocks as f64;
            let linear = -t * (1.0 - 2.0 * lpn.code.pseudo_distance()).log2();
            let guessed = (lpn.outputs as f64 - t) / lpn.code_len() as f64;
            let gauss = -t * (1.0 - guessed).log2();
            println!("{lpn:?}: linear tests {linear:.1} bits, pooled Gauss {gauss:.1} bits");
            assert!(linear >= 128.0 && gauss >= 128.0, "{lpn:?}");
        }
    }

    #[test]
    fn every_instance_is_outside_the_range_of_the_algebraic_attacks_and_its_blocks_fill_the_code() {
        for lpn in table() {
            assert!(lpn.noise_blocks >= 144 && lpn.code_len() > 2048, "{lpn:?}");
            assert_eq!(lpn.noise_blocks * lpn.block_len, lpn.code_len());
            assert_eq!(1 << lpn.depth(), lpn.block_len);
        }
    }

    fn voles() -> impl Iterator<Item = Lpn> {
        let needed = [1, 1 << 14, (1 << 14) + 1, 1_409_286, (1 << 20) - 1, 3 << 23];
        let sizes = move |code| needed.map(move |n| Lpn::vole(n, code).expect("a listed size"));
        [Code::ExpandConvolute7, Code::ExpandConvolute21].into_iter().flat_map(sizes)
    }

    #[test]
    fn every_vole_withstands_linear_tests_and_pooled_gauss_over_the_large_field_with_128_bits() {
        for lpn in voles() {
            let t = lpn.noise_blocks as f64;
            let linear = -t * (1.0 - lpn.code.pseudo_distance()).log2();
            let gauss = -t * (1.0 - (lpn.outputs as f64 - t) / lpn.code_len() as f64).log2();
            println!("{lpn:?}: linear tests {linear:.1} bits, pooled Gauss {gauss:.1} bits");
            assert!(linear >= 128.0 && gauss >= 128.0 && lpn.code_len() >= 1 << 15, "{lpn:?}");
        }
    }

    #[test]
    fn the_trees_of_a_vole_fill_its_code_and_its_base_ots_fill_words() {
        for lpn in voles() {
            assert_eq!(lpn.noise_blocks * lpn.block_len, lpn.code_len());
            assert!(lpn.base_ots().is_multiple_of(64) && lpn.outputs.is_multiple_of(4), "{lpn:?}");
            assert!(1 << lpn.depth() >= lpn.block_len && 1 << (lpn.depth() - 1) < lpn.block_len, "{lpn:?}");
        }
        for needed in [1 << 14, 1_409_286, 3 << 23] {
            let outputs = Lpn::vole(needed, Code::ExpandConvolute7).unwrap().outputs;
            assert!(outputs >= needed && outputs < needed + 288, "{outputs} for {needed}");
        }
    }

    #[test]
    fn sizes_outside_the_table_are_refused() {
        assert_eq!(Lpn::vole((3 << 23) + 1, Code::ExpandConvolute7), None);
        for outputs in [0, 1, 1 << 13, (1 << 14) + 1, 3 << 14, 1 << 23] {
            assert_eq!(Lpn::silent(outputs, Code::ExpandConvolute7), None, "{outputs}");
        }
    }
}
