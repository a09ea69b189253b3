//! Silent OT and its parts: `cargo bench -p benches --bench silent`. A batch of two parties runs in one thread, so its rate is that
//! of both parties' work on one core.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_core::doubling::Doubling;
use mpc_core::random::PublicSeed;
use mpc_core::world::World;
use mpc_core::{Block, PartyId, Result, Session};
use protocols::ot::silent::expand_convolute::ExpandConvolute;
use protocols::ot::{CALL_WORDS, Extension, Ot, OtReceiver, OtSender};
use protocols::parameters::{Code, Lpn};

const LOG_SIZES: [u32; 2] = [18, 20];

fn code(c: &mut Criterion) {
    for (name, kind) in
        [("expand_convolute_7", Code::ExpandConvolute7), ("expand_convolute_21", Code::ExpandConvolute21)]
    {
        let mut group = c.benchmark_group(name);
        for log in LOG_SIZES {
            let code = ExpandConvolute::new(kind, PublicSeed([1; 32]));
            group.throughput(Throughput::Elements(1 << log));
            group.bench_function(BenchmarkId::from_parameter(format!("2^{log} outputs")), |b| {
                b.iter_batched(
                    || vec![Block(5); 2 << log],
                    |mut noise| code.compress(&mut noise),
                    BatchSize::PerIteration,
                )
            });
        }
        group.finish();
    }
}

fn trees(c: &mut Criterion) {
    let doubling = Doubling::new([1; 16], [2; 16]);
    let mut group = c.benchmark_group("trees");
    for log in LOG_SIZES {
        let lpn = Lpn::silent(1 << log, Code::ExpandConvolute7).expect("a size of the table");
        group.throughput(Throughput::Elements(1 << log));
        group.bench_function(BenchmarkId::from_parameter(format!("2^{log} outputs")), |b| {
            let grow = |mut leaves: Vec<Block>| {
                for tree in leaves.chunks_mut(lpn.block_len) {
                    (0..lpn.depth())
                        .for_each(|level| _ = black_box(doubling.double(&mut tree[..2 << level], 1 << level)));
                }
            };
            b.iter_batched(|| vec![Block(7); lpn.code_len()], grow, BatchSize::PerIteration)
        });
    }
    group.finish();
}

/// One batch in one direction, all of it used for single bits.
async fn batch(session: &mut Session, log: u32) -> Result<()> {
    let silent = Extension::Silent { batch: 1 << log, code: Code::ExpandConvolute7 };
    let mut ot = Ot::setup_with(session, silent).await?;
    let with = session.other_sites()[0];
    let calls = (1 << log) / 64 / CALL_WORDS;
    if session.me() == PartyId(0) {
        let OtSender::Silent(sender) = ot.sender(with) else { unreachable!("silent was asked for") };
        sender.prepare(session).await?;
        for _ in 0..calls {
            black_box(sender.offer(session, CALL_WORDS).await?.hash_bits());
        }
    } else {
        let OtReceiver::Silent(receiver) = ot.receiver(with) else { unreachable!("silent was asked for") };
        receiver.prepare(session).await?;
        for _ in 0..calls {
            black_box(receiver.choose(session, &[0x0f0f; CALL_WORDS])?.hash_bits());
        }
    }
    Ok(())
}

/// Set-up included, about 40 ms for both parties.
fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("silent_batch_of_two_parties");
    for log in LOG_SIZES {
        group.throughput(Throughput::Elements(1 << log));
        group.bench_function(BenchmarkId::from_parameter(format!("2^{log} OTs")), |b| {
            b.iter(|| {
                let program = move |mut session: Session, (): ()| async move {
                    let result = batch(&mut session, log).await;
                    (session, result)
                };
                let outcomes = World::new(2).run(program, vec![(), ()]);
                assert!(outcomes.iter().all(|o| o.result.is_ok()));
            })
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

criterion_group! { name = silent; config = short(); targets = code, trees, batches }
criterion_main!(silent);
