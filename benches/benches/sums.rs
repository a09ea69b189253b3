//! Whole protocols with all parties in this process: `cargo bench -p benches --bench sums`. Over real sockets and with
//! one process for each party: `consilium bench`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_core::world::World;
use mpc_core::{Result, Session, Z64};
use protocols::additive::Additive;
use protocols::{Engine, Item, Statement};

const ELEMENTS: usize = 100_000;

/// Each party puts in a column; the sum is opened to all.
async fn sum(session: Session, own: Vec<Z64>) -> (Session, Result<Option<Vec<Z64>>>) {
    let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone("sum")]));
    let column = engine.input(own);
    let total = match engine.permit("sum", ELEMENTS) {
        Ok(permit) => engine.reveal(column, permit).await,
        Err(error) => Err(error),
    };
    (engine.into_session(), total)
}

fn sum_memory(c: &mut Criterion) {
    let mut group = c.benchmark_group("sum_memory");
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    for parties in [3, 8] {
        let world = World::new(parties);
        group.bench_function(BenchmarkId::from_parameter(format!("{parties} parties x 100000")), |b| {
            b.iter(|| {
                let outcomes = world.run(sum, vec![vec![Z64(1); ELEMENTS]; parties]);
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

criterion_group! { name = sums; config = short(); targets = sum_memory }
criterion_main!(sums);
