use super::*;
use crate::random::{Domain, PrivateSeed};
use crate::step::StepPath;

const SEED: u8 = 128;

fn random(len: usize, label: &'static str) -> Vec<Block> {
    println!("seed {SEED}, {label}, carry-less instructions: {}", Clmul::new().is_some());
    let mut out = vec![Block::ZERO; len];
    let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root().child(label, 0));
    prg.fill(bytemuck::cast_slice_mut(&mut out));
    out
}

/// Shift and add, one bit at a time, as the definition says.
fn by_definition(a: Block, b: Block) -> Block {
    let times_x = |a: u128| a << 1 ^ if a >> 127 == 1 { REDUCTION } else { 0 };
    let (mut sum, mut shifted) = (0, a.0);
    for bit in 0..128 {
        sum ^= if b.0 >> bit & 1 == 1 { shifted } else { 0 };
        shifted = times_x(shifted);
    }
    Block(sum)
}

/// Random elements and those at the edges of words.
fn elements(label: &'static str) -> Vec<Block> {
    let edges = [0, 1, 2, u128::MAX, 1 << 63, 1 << 64, 1 << 127, u64::MAX.into(), (u64::MAX as u128) << 64];
    edges.into_iter().map(Block).chain(random(60, label)).collect()
}

fn pairs() -> Vec<(Block, Block)> {
    let (left, right) = (elements("left"), elements("right"));
    left.iter().flat_map(|a| right.iter().map(|b| (*a, *b))).collect()
}

#[test]
fn both_kernels_multiply_as_the_definition_says() {
    for (a, b) in pairs() {
        let expected = by_definition(a, b);
        assert!(portable::mul(a, b) == expected, "portable {:x} {:x}", a.0, b.0);
        assert!(mul(a, b) == expected, "best {:x} {:x}", a.0, b.0);
    }
}

#[test]
fn the_elements_are_a_commutative_ring_without_zero_divisors() {
    let c = random(1, "third")[0];
    for (a, b) in pairs() {
        assert!(mul(a, b) == mul(b, a));
        assert!(mul(mul(a, b), c) == mul(a, mul(b, c)));
        assert!(mul(a ^ b, c) == mul(a, c) ^ mul(b, c));
        assert!(mul(a, ONE) == a && mul(a, Block::ZERO) == Block::ZERO);
        assert_eq!(mul(a, b) == Block::ZERO, a == Block::ZERO || b == Block::ZERO);
    }
}

#[test]
fn every_element_but_zero_has_an_inverse_and_zero_gives_zero() {
    for x in elements("inverse") {
        let product = if x == Block::ZERO { Block::ZERO } else { ONE };
        assert!(mul(x, invert(x)) == product, "{:x}", x.0);
    }
}

/// x^128 = x^7 + x^2 + x + 1, and squaring 128 times is the identity, as in a field of 2^128 elements and in none of 2^64.
#[test]
fn the_field_has_the_polynomial_and_the_frobenius_map_of_its_size() {
    assert!(mul(Block(1 << 127), Block(2)) == Block(REDUCTION));
    assert!(powers(Block(2), 128)[127] == Block(REDUCTION));
    for x in random(20, "frobenius") {
        assert!(squared(x, 128) == x && squared(x, 64) != x);
    }
}

/// McGrew, Viega, The Galois/Counter Mode of Operation, test case 2: GHASH of one block under H, then of the lengths.
#[test]
fn products_are_those_of_gcm_with_bits_reversed() {
    let gcm = |hex: u128| Block(hex.reverse_bits());
    let h = gcm(0x66e94bd4ef8a2c3b884cfa59ca342b2e);
    let ciphertext = gcm(0x0388dace60b6a392f328c2b971b2fe78);
    let first = mul(ciphertext, h);
    assert!(first == gcm(0x5e2ec746917062882c85b0685353deb7));
    let lengths = gcm(0x80);
    assert!(mul(first ^ lengths, h) == gcm(0xf38cbb1ad69223dcc3457ae5b6b0f885));
}

#[test]
fn slices_are_multiplied_like_single_elements_at_every_length() {
    for len in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 100] {
        let (xs, ys, start, scalar) =
            (random(len, "xs"), random(len, "ys"), random(len, "start"), random(1, "scalar")[0]);
        let sums = |product: &dyn Fn(usize) -> Block| (0..len).map(|i| start[i] ^ product(i)).collect::<Vec<_>>();
        let mut acc = start.clone();
        mul_add_into(&mut acc, scalar, &xs);
        assert!(acc == sums(&|i| by_definition(scalar, xs[i])), "scalar, {len}");
        let mut acc = start.clone();
        mul_each_add_into(&mut acc, &xs, &ys);
        assert!(acc == sums(&|i| by_definition(xs[i], ys[i])), "each, {len}");
        let mut scaled = xs.clone();
        scale(&mut scaled, scalar);
        assert!((0..len).all(|i| scaled[i] == by_definition(scalar, xs[i])), "scaled, {len}");
        let sum = (0..len).fold(Block::ZERO, |sum, i| sum ^ by_definition(xs[i], ys[i]));
        assert!(inner_product(&xs, &ys) == sum, "inner product, {len}");
    }
}

#[test]
fn multiples_by_the_bits_of_an_element_compose_to_its_product() {
    let (elements, delta) = (random(20, "composed"), random(1, "delta")[0]);
    for a in elements {
        let bits = std::array::from_fn(|i| if a.0 >> i & 1 == 1 { delta } else { Block::ZERO });
        assert!(compose(&bits) == by_definition(a, delta) && times_x(a) == by_definition(a, Block(2)));
    }
}
