//! Kernels for wide vector registers, picked at run time. The one file of the repository with `unsafe` code.
//!
//! All of it is calls of functions that are compiled for more instructions than the rest of the program; each stands behind
//! a check that the processor has them. No pointer is read or written: vectors come from arrays and go into arrays by safe casts;
//! `prefetch` alone makes an address, of a reference, and only names it to the cache.
//! What the kernels compute is held against portable twins in `leaves.rs`, `hash.rs`, `doubling.rs`, `gf128.rs` and `block.rs` on
//! random inputs, by the tests there. Why the file exists, and what it buys, is in `DECISIONS.md` ("One file may use `unsafe`").
#![allow(unsafe_code)]

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use other::{Clmul, WideAes};
#[cfg(not(target_arch = "x86_64"))]
pub use other::{prefetch, widest};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Clmul, WideAes};
#[cfg(target_arch = "x86_64")]
pub use x86::{prefetch, widest};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use zeroize::Zeroize;

    use crate::block::Block;

    /// Runs `work` compiled for 256-bit registers where the processor has them. Only what is inlined into `work` gains.
    pub fn widest<R>(work: impl FnOnce() -> R) -> R {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has avx2.
            unsafe { with_avx2(work) }
        } else {
            work()
        }
    }

    /// Asks for `column[index]` to be near when it is read soon; nothing happens for an index outside. Reads nothing itself.
    #[inline(always)]
    pub fn prefetch<T>(column: &[T], index: usize) {
        if let Some(element) = column.get(index) {
            // SAFETY: every x86-64 processor has SSE; the instruction does not access memory, and the address is a reference's.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) }
        }
    }

    #[target_feature(enable = "avx2")]
    fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Products in GF(2^128), see `gf128.rs`. Exists only where the processor has pclmulqdq.
    #[derive(Clone, Copy)]
    pub(crate) struct Clmul(());

    impl Clmul {
        /// None where the processor cannot.
        #[inline]
        pub(crate) fn new() -> Option<Self> {
            is_x86_feature_detected!("pclmulqdq").then_some(Self(()))
        }

        /// a·b.
        #[inline]
        pub(crate) fn mul(self, a: Block, b: Block) -> Block {
            // SAFETY: `self` exists, so the processor has pclmulqdq.
            unsafe { gf128::mul(a, b) }
        }

        /// `acc[i] += scalar·xs[i]`.
        pub(crate) fn mul_add_into(self, acc: &mut [Block], scalar: Block, xs: &[Block]) {
            // SAFETY: as in `mul`.
            unsafe { gf128::mul_add_into(acc, scalar, xs) }
        }

        /// `xs[i] = scalar·xs[i]`.
        pub(crate) fn scale(self, xs: &mut [Block], scalar: Block) {
            // SAFETY: as in `mul`.
            unsafe { gf128::scale(xs, scalar) }
        }

        /// `acc[i] += xs[i]·ys[i]`.
        pub(crate) fn mul_each_add_into(self, acc: &mut [Block], xs: &[Block], ys: &[Block]) {
            // SAFETY: as in `mul`.
            unsafe { gf128::mul_each_add_into(acc, xs, ys) }
        }

        /// The sum of all `xs[i]·ys[i]`.
        pub(crate) fn inner_product(self, xs: &[Block], ys: &[Block]) -> Block {
            // SAFETY: as in `mul`.
            unsafe { gf128::inner_product(xs, ys) }
        }
    }

    mod gf128 {
        use std::arch::x86_64::*;

        use crate::block::Block;
        use crate::gf128::REDUCTION;

        #[target_feature(enable = "pclmulqdq")]
        pub(super) fn mul(a: Block, b: Block) -> Block {
            product(bytemuck::cast(a), bytemuck::cast(b))
        }

        #[target_feature(enable = "pclmulqdq")]
        pub(super) fn mul_add_into(acc: &mut [Block], scalar: Block, xs: &[Block]) {
            let scalar = bytemuck::cast(scalar);
            for (acc, x) in acc.iter_mut().zip(xs) {
                *acc ^= product(scalar, bytemuck::cast(*x));
            }
        }

        #[target_feature(enable = "pclmulqdq")]
        pub(super) fn scale(xs: &mut [Block], scalar: Block) {
            let scalar = bytemuck::cast(scalar);
            for x in xs {
                *x = product(scalar, bytemuck::cast(*x));
            }
        }

        #[target_feature(enable = "pclmulqdq")]
        pub(super) fn mul_each_add_into(acc: &mut [Block], xs: &[Block], ys: &[Block]) {
            for (acc, (x, y)) in acc.iter_mut().zip(xs.iter().zip(ys)) {
                *acc ^= product(bytemuck::cast(*x), bytemuck::cast(*y));
            }
        }

        /// Reduces once, at the end.
        #[target_feature(enable = "pclmulqdq")]
        pub(super) fn inner_product(xs: &[Block], ys: &[Block]) -> Block {
            let mut sum = [_mm_setzero_si128(); 2];
            for (x, y) in xs.iter().zip(ys) {
                let [low, high] = wide_product(bytemuck::cast(*x), bytemuck::cast(*y));
                sum = [_mm_xor_si128(sum[0], low), _mm_xor_si128(sum[1], high)];
            }
            reduce(sum)
        }

        #[inline]
        #[target_feature(enable = "pclmulqdq")]
        fn product(a: __m128i, b: __m128i) -> Block {
            reduce(wide_product(a, b))
        }

        /// All 255 bits of a product, as low and high half.
        #[inline]
        #[target_feature(enable = "pclmulqdq")]
        fn wide_product(a: __m128i, b: __m128i) -> [__m128i; 2] {
            let (low, high) = (_mm_clmulepi64_si128::<0x00>(a, b), _mm_clmulepi64_si128::<0x11>(a, b));
            let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
            [_mm_xor_si128(low, _mm_slli_si128::<8>(middle)), _mm_xor_si128(high, _mm_srli_si128::<8>(middle))]
        }

        /// low + x^128·high: first the upper word of `high`, which reaches into the lower one, then that.
        #[inline]
        #[target_feature(enable = "pclmulqdq")]
        fn reduce([low, high]: [__m128i; 2]) -> Block {
            let polynomial: __m128i = bytemuck::cast(REDUCTION);
            let upper = _mm_clmulepi64_si128::<0x01>(high, polynomial);
            let low = _mm_xor_si128(low, _mm_slli_si128::<8>(upper));
            let high = _mm_xor_si128(high, _mm_srli_si128::<8>(upper));
            bytemuck::cast(_mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(high, polynomial)))
        }
    }

    const ROUND_KEYS: usize = 11;

    /// The round keys, each four times.
    type Keys = [__m512i; ROUND_KEYS];

    /// Blocks of a vector.
    const WIDTH: usize = 4;

    /// AES-128 on four blocks at a time. Exists only where the processor has avx512f, vaes and aes. Wiped when dropped.
    pub(crate) struct WideAes {
        keys: [Block; ROUND_KEYS],
    }

    impl WideAes {
        /// None where the processor cannot.
        pub(crate) fn new(key: Block) -> Option<Self> {
            let can = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("vaes")
                && is_x86_feature_detected!("aes");
            // SAFETY: the processor has avx512f, vaes and aes.
            can.then(|| Self { keys: unsafe { expand(key) } })
        }

        /// `out[i] = π(first + i)`.
        pub(crate) fn stream(&self, first: u64, out: &mut [Block]) {
            // SAFETY: `self` exists, so the processor has avx512f and vaes.
            unsafe { stream(&self.keys, first, out) }
        }

        /// `out[i] = π(π(x) ⊕ t) ⊕ π(x)` with x = rows[i] ⊕ offset and t = first + i.
        pub(crate) fn tmmo(&self, rows: &[Block], offset: Block, first: u64, out: &mut [Block]) {
            // SAFETY: as in `stream`.
            unsafe { tmmo(&self.keys, rows, offset, first, out) }
        }

        /// The lowest bit of each block that [`WideAes::tmmo`] gives, 64 per word. `rows` has 64 blocks for each word.
        pub(crate) fn tmmo_bits(&self, rows: &[Block], offset: Block, first: u64, out: &mut [u64]) {
            // SAFETY: as in `stream`.
            unsafe { tmmo_bits(&self.keys, rows, offset, first, out) }
        }

        /// Replaces each block x by π(x) ⊕ x and returns their XOR.
        pub(crate) fn mmo(&self, blocks: &mut [Block]) -> Block {
            // SAFETY: as in `stream`.
            unsafe { mmo(&self.keys, blocks) }
        }
    }

    impl Drop for WideAes {
        fn drop(&mut self) {
            self.keys.zeroize();
        }
    }

    /// The key schedule of FIPS 197, §5.2.
    #[target_feature(enable = "aes,avx512f,vaes")]
    fn expand(key: Block) -> [Block; ROUND_KEYS] {
        let mut keys = [bytemuck::cast(key); ROUND_KEYS];
        keys[1] = next_key::<0x01>(keys[0]);
        keys[2] = next_key::<0x02>(keys[1]);
        keys[3] = next_key::<0x04>(keys[2]);
        keys[4] = next_key::<0x08>(keys[3]);
        keys[5] = next_key::<0x10>(keys[4]);
        keys[6] = next_key::<0x20>(keys[5]);
        keys[7] = next_key::<0x40>(keys[6]);
        keys[8] = next_key::<0x80>(keys[7]);
        keys[9] = next_key::<0x1b>(keys[8]);
        keys[10] = next_key::<0x36>(keys[9]);
        bytemuck::cast(keys)
    }

    #[inline]
    #[target_feature(enable = "aes,avx512f,vaes")]
    fn next_key<const RCON: i32>(key: __m128i) -> __m128i {
        let word = _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<RCON>(key));
        let sums = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
        let sums = _mm_xor_si128(sums, _mm_slli_si128::<8>(sums));
        _mm_xor_si128(sums, word)
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn broadcast(keys: &[Block; ROUND_KEYS]) -> Keys {
        let mut wide = [_mm512_setzero_si512(); ROUND_KEYS];
        for (wide, key) in wide.iter_mut().zip(keys) {
            *wide = _mm512_broadcast_i32x4(bytemuck::cast(*key));
        }
        wide
    }

    /// Encrypts `N` vectors, side by side so that the rounds of one fill the waits of the others.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt<const N: usize>(keys: &Keys, x: &mut [__m512i; N]) {
        for x in x.iter_mut() {
            *x = _mm512_xor_si512(*x, keys[0]);
        }
        for key in &keys[1..ROUND_KEYS - 1] {
            for x in x.iter_mut() {
                *x = _mm512_aesenc_epi128(*x, *key);
            }
        }
        for x in x.iter_mut() {
            *x = _mm512_aesenclast_epi128(*x, keys[ROUND_KEYS - 1]);
        }
    }

    /// The blocks `first` to `first + 3`.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn count(first: u64) -> __m512i {
        let first = first as i64;
        _mm512_add_epi64(
            _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0),
            _mm512_set_epi64(0, first, 0, first, 0, first, 0, first),
        )
    }

    #[target_feature(enable = "avx512f,vaes")]
    fn stream(keys: &[Block; ROUND_KEYS], first: u64, out: &mut [Block]) {
        let keys = broadcast(keys);
        let (long, rest) = out.as_chunks_mut::<{ 16 * WIDTH }>();
        let mut next = first;
        for out in long {
            stream_batch::<16>(&keys, next, out.as_chunks_mut().0);
            next += 16 * WIDTH as u64;
        }
        for out in rest.chunks_mut(4 * WIDTH) {
            let mut batch = [[Block::ZERO; WIDTH]; 4];
            stream_batch::<4>(&keys, next, &mut batch);
            out.copy_from_slice(&batch.as_flattened()[..out.len()]);
            next += 4 * WIDTH as u64;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn stream_batch<const N: usize>(keys: &Keys, first: u64, out: &mut [[Block; WIDTH]]) {
        let mut x = [_mm512_setzero_si512(); N];
        for (x, first) in x.iter_mut().zip((first..).step_by(WIDTH)) {
            *x = count(first);
        }
        encrypt(keys, &mut x);
        for (out, x) in out.iter_mut().zip(x) {
            *out = bytemuck::cast(x);
        }
    }

    /// Vectors hashed side by side: half of the registers for π(x), half for what follows.
    const HASHED: usize = 8;

    #[target_feature(enable = "avx512f,vaes")]
    fn tmmo(keys: &[Block; ROUND_KEYS], rows: &[Block], offset: Block, first: u64, out: &mut [Block]) {
        let (keys, offset) = (broadcast(keys), _mm512_broadcast_i32x4(bytemuck::cast(offset)));
        let batches = rows.chunks(HASHED * WIDTH).zip(out.chunks_mut(HASHED * WIDTH));
        for ((rows, out), first) in batches.zip((first..).step_by(HASHED * WIDTH)) {
            let hashes = match rows.as_chunks::<WIDTH>() {
                (rows, []) if rows.len() == HASHED => tmmo_batch(&keys, rows, offset, first),
                _ => {
                    let mut padded = [[Block::ZERO; WIDTH]; HASHED];
                    padded.as_flattened_mut()[..rows.len()].copy_from_slice(rows);
                    tmmo_batch(&keys, &padded, offset, first)
                }
            };
            let blocks: [Block; HASHED * WIDTH] = bytemuck::cast(hashes);
            out.copy_from_slice(&blocks[..out.len()]);
        }
    }

    #[target_feature(enable = "avx512f,vaes")]
    fn tmmo_bits(keys: &[Block; ROUND_KEYS], rows: &[Block], offset: Block, first: u64, out: &mut [u64]) {
        let (keys, offset) = (broadcast(keys), _mm512_broadcast_i32x4(bytemuck::cast(offset)));
        let (vectors, _) = rows.as_chunks::<WIDTH>();
        for ((rows, word), first) in vectors.chunks_exact(2 * HASHED).zip(out).zip((first..).step_by(64)) {
            let low = lowest_bits(&tmmo_batch(&keys, &rows[..HASHED], offset, first));
            let high = lowest_bits(&tmmo_batch(&keys, &rows[HASHED..], offset, first + 32));
            *word = u64::from(low) | u64::from(high) << 32;
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn tmmo_batch(keys: &Keys, rows: &[[Block; WIDTH]], offset: __m512i, first: u64) -> [__m512i; HASHED] {
        let mut inner = [_mm512_setzero_si512(); HASHED];
        for (x, row) in inner.iter_mut().zip(rows) {
            *x = _mm512_xor_si512(bytemuck::cast(*row), offset);
        }
        encrypt(keys, &mut inner);
        let mut outer = inner;
        for (x, first) in outer.iter_mut().zip((first..).step_by(WIDTH)) {
            *x = _mm512_xor_si512(*x, count(first));
        }
        encrypt(keys, &mut outer);
        for (x, inner) in outer.iter_mut().zip(inner) {
            *x = _mm512_xor_si512(*x, inner);
        }
        outer
    }

    #[target_feature(enable = "avx512f,vaes")]
    fn mmo(keys: &[Block; ROUND_KEYS], blocks: &mut [Block]) -> Block {
        let keys = broadcast(keys);
        let (long, rest) = blocks.as_chunks_mut::<{ HASHED * WIDTH }>();
        let mut sums = _mm512_setzero_si512();
        for blocks in long {
            sums = _mm512_xor_si512(sums, mmo_batch(&keys, blocks.as_chunks_mut().0));
        }
        let mut padded = [[Block::ZERO; WIDTH]; HASHED];
        padded.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
        if !rest.is_empty() {
            mmo_batch(&keys, &mut padded);
        }
        rest.copy_from_slice(&padded.as_flattened()[..rest.len()]);
        padded.zeroize();
        let sums: [Block; WIDTH] = bytemuck::cast(sums);
        rest.iter().chain(&sums).fold(Block::ZERO, |sum, block| sum ^ *block)
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn mmo_batch(keys: &Keys, blocks: &mut [[Block; WIDTH]]) -> __m512i {
        let mut x = [_mm512_setzero_si512(); HASHED];
        for (x, block) in x.iter_mut().zip(blocks.iter()) {
            *x = bytemuck::cast(*block);
        }
        encrypt(keys, &mut x);
        let mut sum = _mm512_setzero_si512();
        for (x, block) in x.iter().zip(blocks) {
            let hash = _mm512_xor_si512(*x, bytemuck::cast(*block));
            sum = _mm512_xor_si512(sum, hash);
            *block = bytemuck::cast(hash);
        }
        sum
    }

    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn lowest_bits(hashes: &[__m512i; HASHED]) -> u32 {
        let low_halves = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
        let mut bits = 0;
        for (i, [a, b]) in hashes.as_chunks::<2>().0.iter().enumerate() {
            let words = _mm512_permutex2var_epi64(*a, low_halves, *b);
            bits |= u32::from(_mm512_test_epi64_mask(words, _mm512_set1_epi64(1))) << (8 * i);
        }
        bits
    }
}

/// Other processors have the portable kernels.
#[cfg(not(target_arch = "x86_64"))]
mod other {
    use crate::block::Block;

    pub fn widest<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    pub fn prefetch<T>(_column: &[T], _index: usize) {}

    #[derive(Clone, Copy)]
    pub(crate) enum Clmul {}

    impl Clmul {
        pub(crate) fn new() -> Option<Self> {
            None
        }

        pub(crate) fn mul(self, _a: Block, _b: Block) -> Block {
            match self {}
        }

        pub(crate) fn mul_add_into(self, _acc: &mut [Block], _scalar: Block, _xs: &[Block]) {
            match self {}
        }

        pub(crate) fn scale(self, _xs: &mut [Block], _scalar: Block) {
            match self {}
        }

        pub(crate) fn mul_each_add_into(self, _acc: &mut [Block], _xs: &[Block], _ys: &[Block]) {
            match self {}
        }

        pub(crate) fn inner_product(self, _xs: &[Block], _ys: &[Block]) -> Block {
            match self {}
        }
    }

    pub(crate) enum WideAes {}

    impl WideAes {
        pub(crate) fn new(_key: Block) -> Option<Self> {
            None
        }

        pub(crate) fn stream(&self, _first: u64, _out: &mut [Block]) {
            match *self {}
        }

        pub(crate) fn tmmo(&self, _rows: &[Block], _offset: Block, _first: u64, _out: &mut [Block]) {
            match *self {}
        }

        pub(crate) fn tmmo_bits(&self, _rows: &[Block], _offset: Block, _first: u64, _out: &mut [u64]) {
            match *self {}
        }

        pub(crate) fn mmo(&self, _blocks: &mut [Block]) -> Block {
            match *self {}
        }
    }
}
