use mpc_core::gf128;
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;

use super::*;

const SEED: u8 = 31;

fn prg(label: &'static str) -> Prg {
    println!("seed {SEED}, stream {label}");
    PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root().child(label, 0))
}

fn random(prg: &mut Prg, len: usize) -> Vec<Block> {
    let mut blocks = vec![Block::ZERO; len];
    fill(prg, &mut blocks);
    blocks
}

fn store(items: usize) -> Okvs {
    Okvs::new(items, PublicSeed([SEED; 32])).expect("in the table")
}

fn decode(store: &Okvs, encoded: &[Block], width: usize, keys: &[Block]) -> Vec<Block> {
    let mut out = vec![Block(1); keys.len() * width];
    store.decode_into(encoded, width, keys, &mut out);
    out
}

#[test]
fn every_key_decodes_to_its_value_at_every_size() {
    let mut prg = prg("sizes");
    for items in [1, 2, 10, 32, 33, 100, 1000, 1 << 14, (1 << 16) + 1, 1 << 18] {
        let (store, keys, values) = (store(items), random(&mut prg, items), random(&mut prg, items));
        let encoded = store.encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
        assert_eq!(encoded.len(), store.blocks());
        assert!(decode(&store, &encoded, 1, &keys) == values, "{items} keys");
    }
}

#[test]
fn fewer_keys_than_the_shape_is_for_decode_too() {
    let mut prg = prg("fewer");
    for (items, entered) in [(10, 0), (1000, 0), (1000, 3), (100_000, 99_000)] {
        let (store, keys, values) = (store(items), random(&mut prg, entered), random(&mut prg, entered));
        let encoded = store.encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
        assert!(decode(&store, &encoded, 1, &keys) == values, "{entered} of {items} keys");
    }
}

#[test]
fn an_encoding_that_arrives_in_pieces_is_decoded_as_a_whole_one_is() {
    let mut prg = prg("pieces");
    for (items, piece) in [(100, 7), (100_000, 65_536), (100_000, 1), (100_000, 200_000)] {
        let (store, keys, values) = (store(items), random(&mut prg, items), random(&mut prg, items));
        let mut encoding = store.begin(&keys, 1, &mut prg);
        while encoding.solve_bin(&values).expect("fails with probability 2^-40") {}
        let mut encoded = Vec::new();
        while let Some(rows) = encoding.next_bin(&values) {
            encoded.extend_from_slice(rows);
        }
        let others = random(&mut prg, 1000);
        let mut arriving = store.decode_arriving(&others);
        (0..encoded.len()).step_by(piece).for_each(|arrived| arriving.advance(&store, &encoded[..arrived]));
        let whole = decode(&store, &encoded, 1, &others);
        assert!(arriving.finish(&store, &encoded, &others) == whole, "{items} keys, pieces of {piece}");
        let own = encoding.decode_others().finish(&store, &encoded, &keys);
        assert!(own == values, "{items} keys");
    }
}

#[test]
fn several_columns_are_what_each_of_them_is_alone() {
    let mut prg = prg("columns");
    for (items, width) in [(5, 2), (3000, 3), (50_000, 4)] {
        let (store, keys, values) = (store(items), random(&mut prg, items), random(&mut prg, items * width));
        let encoded = store.encode(&keys, &values, width, &mut prg).expect("fails with probability 2^-40");
        assert!(decode(&store, &encoded, width, &keys) == values, "{items} keys");
        let others = random(&mut prg, 100);
        let together = decode(&store, &encoded, width, &others);
        for lane in 0..width {
            let column = |all: &[Block]| -> Vec<Block> { all.iter().skip(lane).step_by(width).copied().collect() };
            assert!(
                column(&together) == decode(&store, &column(&encoded), 1, &others),
                "column {lane} of {items} keys"
            );
        }
    }
}

#[test]
fn decoding_is_linear_over_the_field() {
    let mut prg = prg("linear");
    for items in [7, 2000, 60_000] {
        let store = store(items);
        let (p, q, keys) = (random(&mut prg, store.blocks()), random(&mut prg, store.blocks()), random(&mut prg, 1000));
        let factor = random(&mut prg, 1)[0];
        let mut combined = q.clone();
        gf128::mul_add_into(&mut combined, factor, &p);
        let mut expected = decode(&store, &q, 1, &keys);
        gf128::mul_add_into(&mut expected, factor, &decode(&store, &p, 1, &keys));
        assert!(decode(&store, &combined, 1, &keys) == expected, "{items} keys");
    }
}

#[test]
fn equal_keys_are_refused() {
    let mut prg = prg("equal");
    for items in [2, 32, 33, 1000, 100_000] {
        let mut keys = random(&mut prg, items);
        keys[items - 1] = keys[0];
        let values = random(&mut prg, items);
        assert!(store(items).encode(&keys, &values, 1, &mut prg).is_none(), "{items} keys, two values");
        let values = vec![values[0]; items];
        assert!(store(items).encode(&keys, &values, 1, &mut prg).is_none(), "{items} keys, one value");
    }
}

#[test]
fn another_seed_gives_another_encoding_of_the_same_shape() {
    let mut prg = prg("another");
    let (keys, values) = (random(&mut prg, 500), random(&mut prg, 500));
    let other = Okvs::new(500, PublicSeed([SEED + 1; 32])).expect("in the table");
    let encoded = store(500).encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
    assert_eq!(other.blocks(), store(500).blocks());
    assert!(decode(&other, &encoded, 1, &keys).iter().zip(&values).all(|(a, b)| a != b));
}

/// Bytes of all rows: 255 degrees of freedom, 380 is beyond 2^-20.
fn assert_uniform(rows: &[Block], what: &str) {
    let mut counts = [0u32; 256];
    let bytes: &[u8] = bytemuck::cast_slice(rows);
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let expected = bytes.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    println!("{what}: chi-square {chi:.1}");
    assert!(chi < 380.0, "{what}");
}

#[test]
fn encodings_of_random_values_look_uniform_in_every_kind_of_row() {
    let mut prg = prg("uniform");
    for (items, runs) in [(3, 4000), (300, 200), (3000, 20), (50_000, 1)] {
        let (shape, keys) = (OkvsShape::new(items).expect("in the table"), random(&mut prg, items));
        let (mut sparse, mut dense) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            // The same keys each time: rows that one set favours would show.
            let values = random(&mut prg, items);
            let encoded = store(items).encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
            for bin in encoded.chunks_exact(shape.bin_rows()) {
                sparse.extend_from_slice(&bin[..shape.sparse]);
                dense.extend_from_slice(&bin[shape.sparse..]);
            }
        }
        assert_uniform(&sparse, &format!("sparse rows of {items} keys"));
        if dense.len() >= 1000 {
            assert_uniform(&dense, &format!("dense rows of {items} keys"));
        }
    }
}

#[test]
fn keys_that_were_not_entered_decode_to_noise() {
    let mut prg = prg("noise");
    let (keys, values, others) = (random(&mut prg, 2000), vec![Block::ZERO; 2000], random(&mut prg, 50_000));
    let encoded = store(2000).encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
    assert!(decode(&store(2000), &encoded, 1, &keys) == values);
    assert_uniform(&decode(&store(2000), &encoded, 1, &others), "values of other keys");
}

/// Failures in so many encodings of random keys in a shape.
fn failures(shape: OkvsShape, items: usize, runs: u32, prg: &mut Prg) -> u32 {
    let values = vec![Block::ZERO; items];
    let mut fails = |_: &u32| {
        let keys = random(prg, items);
        Okvs::with_shape(shape, PublicSeed([SEED; 32])).encode(&keys, &values, 1, prg).is_none()
    };
    (0..runs).filter(|run| fails(run)).count() as u32
}

/// The fit of the source, where it can be counted: λ for keys in rows.
fn fitted_bits(items: usize, sparse: usize) -> f64 {
    let slope = (0.555 * (items as f64).log2() + 2.336).exp2();
    slope * (sparse as f64 / items as f64 - 1.223) - 9.2
}

#[test]
fn too_few_rows_fail_no_more_often_than_the_source_says() {
    let mut prg = prg("failures");
    for (items, runs) in [(100, 6000), (400, 3000), (1000, 1500), (4000, 400)] {
        for bits in [1.0, 3.0, 5.0] {
            let slope = (0.555 * (items as f64).log2() + 2.336).exp2();
            let sparse = (items as f64 * (1.223 + (bits + 9.2) / slope)).ceil() as usize;
            let dense = OkvsShape::new(items).expect("in the table").dense;
            let failed = failures(OkvsShape { bins: 1, sparse, dense }, items, runs, &mut prg);
            let expected = f64::from(runs) * (-fitted_bits(items, sparse)).exp2();
            println!(
                "{items} keys, {sparse} rows, {dense} dense: {failed} of {runs} failed, the source says {expected:.0}"
            );
            // Five standard deviations of a count, and one failure where none is expected.
            assert!(f64::from(failed) <= expected + 5.0 * expected.sqrt() + 1.0, "{items} keys, {bits} bits");
        }
    }
}

#[test]
fn pairs_on_the_same_rows_are_as_rare_as_the_table_assumes() {
    let mut prg = prg("pairs");
    for (items, runs) in [(64, 20_000), (500, 20_000), (4000, 3000)] {
        let OkvsShape { sparse, .. } = OkvsShape::new(items).expect("in the table");
        let (m, rows) = (items as f64, sparse as f64);
        let pairs = m * (m - 1.0) / 2.0 / (rows * (rows - 1.0) * (rows - 2.0) / 6.0);
        for gap in 0..2 {
            let failed = failures(OkvsShape { bins: 1, sparse, dense: gap }, items, runs, &mut prg);
            let expected = f64::from(runs) * pairs.powi(gap as i32 + 1) / (gap + 1) as f64;
            println!("{items} keys: a gap above {gap} in {failed} of {runs}, expected {expected:.2}");
            // Larger cores are of lower order in the number of keys: a third more at the smallest size.
            assert!(f64::from(failed) <= 1.34 * expected + 5.0 * expected.sqrt() + 1.0, "{items} keys, gap {gap}");
        }
    }
}

#[test]
fn sizes_outside_the_table_are_refused() {
    for items in [0, (1 << 24) + 1, usize::MAX] {
        assert!(Okvs::new(items, PublicSeed([0; 32])).is_none(), "{items}");
    }
}
