//! Oblivious transfer: its kernels, then both parties of it on one thread: `cargo bench -p benches --bench ot`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mpc_core::block::{Block, Planes, TILE_WORDS, transpose_128};
use mpc_core::hash::CorrelationHash;
use mpc_core::leaves::{LEAF_BITS, LEAVES, Leaves, Streams, TILE_BLOCKS};
use mpc_core::session::SessionId;
use mpc_core::step::StepPath;
use mpc_core::world::World;
use mpc_core::{PartyId, Result, Session};
use protocols::ot::{CALL_WORDS, Ot};

const TILE_OTS: usize = 64 * TILE_WORDS;

/// One tile of 8192 OTs; the fold is of one group of 32.
fn kernels(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot_kernels");
    group.throughput(Throughput::Elements(TILE_OTS as u64));
    let planes = Box::new(Planes::default());
    let mut rows = vec![Block::ZERO; TILE_OTS];
    group.bench_function("transpose 8192 rows", |b| b.iter(|| transpose_128(black_box(&planes), &mut rows)));
    let hash = CorrelationHash::new(SessionId([1; 32]), &StepPath::root(), PartyId(0), PartyId(1));
    let (mut out, mut bits) = (rows.clone(), vec![0; TILE_WORDS]);
    group.bench_function("hash 8192 rows", |b| b.iter(|| hash.hash(black_box(&rows), Block(3), 0, &mut out)));
    group.bench_function("hash 8192 rows to bits", |b| {
        b.iter(|| hash.hash_bits(black_box(&rows), Block(3), 0, &mut bits))
    });
    let leaves = Leaves::new(&[Block(5); LEAVES]);
    let (mut streams, mut sum) = (Streams::new(), [0; TILE_WORDS]);
    let mut folds = [[0; TILE_WORDS]; LEAF_BITS];
    streams.seek(0, TILE_BLOCKS);
    group.bench_function("fold a group of 8192 OTs", |b| b.iter(|| leaves.fold(&mut streams, &mut sum, &mut folds)));
    group.finish();
}

/// Calls of 2^18 OTs from party 1 to party 0, masks of one bit; the time from the end of the set-up.
async fn random_bits(mut session: Session, calls: u64) -> (Session, Result<Duration>) {
    let result = extend(&mut session, calls).await;
    (session, result)
}

async fn extend(session: &mut Session, calls: u64) -> Result<Duration> {
    let mut ot = Ot::setup(session).await?;
    let with = session.other_sites()[0];
    let choices = vec![0x5555_5555_5555_5555; CALL_WORDS];
    let start = Instant::now();
    for _ in 0..calls {
        if session.me() == PartyId(0) {
            black_box(ot.receiver(with).choose(session, &choices)?.hash_bits());
            // Lets the other party take the correction before we make the next.
            tokio::task::yield_now().await;
        } else {
            black_box(ot.sender(with).offer(session, CALL_WORDS).await?.hash_bits());
        }
    }
    Ok(start.elapsed())
}

/// Sender and receiver take turns on one thread, so the time is the work of both.
fn extension(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot_extension");
    group.throughput(Throughput::Elements(64 * CALL_WORDS as u64));
    group.bench_function("both parties, 2^18 OTs to one bit", |b| {
        b.iter_custom(|calls| {
            let outcomes = World::new(2).run(random_bits, vec![calls; 2]);
            outcomes.into_iter().map(|o| o.result.expect("nobody deviates")).max().expect("two parties")
        })
    });
    group.finish();
}

fn set_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot_set_up");
    let program = |mut session: Session, (): ()| async move {
        let result = Ot::setup(&mut session).await.map(drop);
        (session, result)
    };
    for parties in [2, 3] {
        group.bench_function(format!("{parties} parties on one thread"), |b| {
            b.iter(|| assert!(World::new(parties).run(program, vec![(); parties]).iter().all(|o| o.result.is_ok())))
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
}

criterion_group! { name = ot; config = short(); targets = kernels, extension, set_up }
criterion_main!(ot);
