use mpc_core::random::PrivateSeed;

use super::*;

const SEED: u8 = 22;

fn random(n: usize, label: &str) -> Vec<Block> {
    println!("seed {SEED}, {label}");
    let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root().child(label, 0));
    let mut words = vec![0; 4 * n];
    prg.fill_u32s(&mut words);
    words.chunks_exact(4).map(|w| Block(w.iter().fold(0, |x, word| x << 32 | u128::from(*word)))).collect()
}

fn code(code: Code) -> ExpandConvolute {
    ExpandConvolute::new(code, PublicSeed([SEED; 32]))
}

fn words(code: &ExpandConvolute, pass: &'static str, count: usize) -> Vec<u32> {
    let mut words = vec![0; count];
    code.stream(pass).fill_u32s(&mut words);
    words
}

/// The convolution as its definition says, one coefficient at a time.
fn naive_convolve<L: Lanes>(x: &mut [L], words: &[u32]) {
    let n = x.len();
    for row in 0..n + REACH {
        let reached = |back: &usize| if row < n { *back <= row } else { *back > row - n };
        if reached(&REACH) {
            x[row % n] = x[row % n].plus(x[row - REACH]).times_theta();
        }
        let taken = |back: &usize| words[row] >> (CONVOLUTION_STATE - back) & 1 == 1;
        let subset = (1..REACH).filter(reached).filter(taken);
        x[row % n] = subset.fold(x[row % n], |sum, back| sum.plus(x[row - back]));
    }
}

fn naive_compress<L: Lanes>(code: &ExpandConvolute, noise: &[L]) -> Vec<L> {
    let n = noise.len() / 2;
    let (systematic, parity) = noise.split_at(n);
    let mut parity = parity.to_vec();
    naive_convolve(&mut parity, &words(code, "first", n + REACH));
    naive_convolve(&mut parity, &words(code, "second", n + REACH));
    let weight = code.code.expander_weight();
    let regular = weight.div_ceil(2);
    let columns = words(code, "expand", weight * n);
    let rows = systematic.iter().zip(columns.chunks_exact(weight));
    rows.map(|(own, columns)| {
        let column = |(index, word): (usize, &u32)| {
            let (start, len) = if index < regular { (index * (n / regular), n / regular) } else { (0, n) };
            start + (u64::from(*word) * len as u64 / (1 << 32)) as usize
        };
        columns.iter().enumerate().map(column).fold(*own, |sum, column| sum.plus(parity[column]))
    })
    .collect()
}

const CODES: [Code; 2] = [Code::ExpandConvolute7, Code::ExpandConvolute21];

#[test]
fn compressing_equals_the_naive_matrix_product() {
    for kind in CODES {
        for n in [32, 36, 100, 1024, 5000] {
            let noise = random(2 * n, "noise");
            let mut ours = noise.clone();
            code(kind).compress(&mut ours);
            assert!(ours == naive_compress(&code(kind), &noise), "{kind:?}, {n} outputs");
        }
    }
}

/// What [`ExpandConvolute::add_parity`] makes of noise.
fn compress<L: Lanes>(code: &ExpandConvolute, mut noise: Vec<L>) -> Vec<L> {
    let mut parity = noise.split_off(noise.len() / 2);
    code.add_parity(&mut parity, |at, sum| noise[at] = noise[at].plus(sum));
    noise
}

#[test]
fn elements_and_pairs_are_compressed_as_the_naive_matrix_product_with_theta_says() {
    for kind in CODES {
        for n in [32, 36, 288, 1024, 5000] {
            let elements = |label| random(2 * n, label).into_iter().map(Element).collect::<Vec<_>>();
            let (a, b) = (elements("a"), elements("b"));
            let pairs = a.iter().zip(&b).map(|(a, b)| Pair([*a, *b])).collect();
            let expected = [naive_compress(&code(kind), &a), naive_compress(&code(kind), &b)];
            assert!(compress(&code(kind), a) == expected[0], "{kind:?}, {n} elements");
            let pairs: Vec<Pair> = compress(&code(kind), pairs);
            assert!((0..n).all(|i| pairs[i].0 == [expected[0][i], expected[1][i]]), "{kind:?}, {n} pairs");
        }
    }
}

#[test]
fn compressing_elements_is_linear_over_the_large_field() {
    let factor = random(1, "factor")[0];
    let times = |x: &Element| Element(mpc_core::gf128::mul(factor, x.0));
    let noise: Vec<Element> = random(2048, "noise").into_iter().map(Element).collect();
    let scaled = noise.iter().map(times).collect();
    let image = compress(&code(Code::ExpandConvolute7), noise);
    assert!(compress(&code(Code::ExpandConvolute7), scaled) == image.iter().map(times).collect::<Vec<_>>());
}

/// The dimension of the span of blocks over the field of two elements.
fn rank(blocks: impl Iterator<Item = Block>) -> usize {
    let mut basis: Vec<u128> = Vec::new();
    for block in blocks {
        let rest = basis.iter().fold(block.0, |rest, b| rest.min(rest ^ b));
        if rest != 0 {
            basis.push(rest);
        }
    }
    basis.len()
}

/// A binary matrix would make multiples of the one value by 0 and 1 only, and the same of all bits of many values.
#[test]
fn one_noisy_element_of_the_parity_half_spreads_over_all_128_bits_of_elements() {
    let n = 1 << 14;
    for at in [0, 1, n / 2, n - 2, n - 1] {
        let mut noise = vec![Element::default(); 2 * n];
        noise[n + at] = Element(Block(1));
        let image = compress(&code(Code::ExpandConvolute7), noise);
        assert_eq!(rank(image.iter().map(|x| x.0)), 128, "position {at}");
        let bits = |bit: u32| image.iter().filter(|x| x.0.0 >> bit & 1 == 1).count();
        // 10 deviations around n/2 are ± 640.
        assert!((0..128).all(|bit| bits(bit).abs_diff(n / 2) < 640), "position {at}");
    }
}

#[test]
fn compressing_is_linear() {
    for kind in CODES {
        let compress = |mut noise: Vec<Block>| {
            code(kind).compress(&mut noise);
            noise
        };
        let (a, b) = (random(2048, "a"), random(2048, "b"));
        let sum = a.iter().zip(&b).map(|(a, b)| *a ^ *b).collect();
        let (a, b) = (compress(a), compress(b));
        assert!(compress(sum).iter().zip(a.iter().zip(&b)).all(|(sum, (a, b))| *sum == *a ^ *b), "{kind:?}");
    }
}

/// Bit b of the blocks carries its own unit vector, so that one run reads 128 columns of the matrix.
#[test]
fn a_single_noisy_position_anywhere_in_the_parity_half_reaches_about_half_of_the_outputs() {
    let n = 1 << 14;
    let spread = |positions: &dyn Fn(usize) -> usize| {
        let mut noise = vec![Block::default(); 2 * n];
        (0..128).for_each(|bit| noise[n + positions(bit)] ^= Block(1 << bit));
        code(Code::ExpandConvolute7).compress(&mut noise);
        let weight = move |bit: u32| noise.iter().filter(|block| block.0 >> bit & 1 == 1).count();
        (0..128).map(weight).collect::<Vec<_>>()
    };
    // The first, the last (which only the ring can spread) and some between: 10 deviations around n/2 are ± 640.
    for weights in [spread(&|bit| bit), spread(&|bit| n - 1 - bit), spread(&|bit| bit * 127)] {
        assert!(weights.iter().all(|w| w.abs_diff(n / 2) < 640), "{weights:?}");
    }
}

#[test]
fn another_seed_is_another_code() {
    let noise = random(2048, "noise");
    let mut images =
        [1, 2].map(|seed| (ExpandConvolute::new(Code::ExpandConvolute7, PublicSeed([seed; 32])), noise.clone()));
    images.iter_mut().for_each(|(code, noise)| code.compress(noise));
    assert!(images[0].1 != images[1].1);
}
