//! What touches every byte of a protocol, on one thread: `cargo bench -p benches --bench kernels`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mpc_core::random::{Domain, PairSeed, Prg, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::{Z64, wire};
use protocols::sketch::Shape;

/// A column as secure sums have them: 8 MiB, beyond the second-level cache.
const ELEMENTS: usize = 1 << 20;
const KEYS: u32 = 1000;

fn prg(c: &mut Criterion) {
    let mut group = c.benchmark_group("prg");
    group.throughput(Throughput::Bytes(8 * ELEMENTS as u64));
    let mut column = vec![Z64(0); ELEMENTS];
    let mut stream = PairSeed::new([1; 32]).prg(Domain::Test, &StepPath::root());
    group.bench_function("add_to Z64 2^20", |b| b.iter(|| stream.add_to(black_box(&mut column))));
    group.finish();
}

/// The hash of commitments, keyed and fed as `reveal` does.
fn commitment(c: &mut Criterion) {
    let mut group = c.benchmark_group("commitment");
    group.throughput(Throughput::Bytes(8 * ELEMENTS as u64));
    let column = vec![Z64(7); ELEMENTS];
    group.bench_function("hash Z64 2^20", |b| {
        b.iter(|| {
            let mut hash = blake3::Hasher::new_derive_key("benchmark of commitments");
            hash.update(&wire::as_le_bytes(black_box(&column)));
            hash.finalize()
        })
    });
    group.finish();
}

fn sketch(c: &mut Criterion) {
    let mut group = c.benchmark_group("sketch");
    group.throughput(Throughput::Elements(KEYS.into()));
    let shape = Shape::new(KEYS as usize, 16, [3; 32]);
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|k| format!("concept {k}").into_bytes()).collect();
    let weights = || -> Prg { PrivateSeed::new([5; 32]).prg(Domain::Test, &StepPath::root()) };
    group.bench_function("build 1000 keys", |b| b.iter(|| shape.build(black_box(&keys), &mut weights())));
    let cells = shape.build(&keys, &mut weights());
    group.bench_function("read 1000 keys", |b| {
        b.iter_batched(|| cells.clone(), |cells| shape.read(cells), BatchSize::LargeInput)
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
}

criterion_group! { name = kernels; config = short(); targets = prg, commitment, sketch }
criterion_main!(kernels);
