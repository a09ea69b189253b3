//! Set intersection and its parts: `cargo bench -p benches --bench psi`. Whole runs go over QUIC on loopback, each party on a thread
//! and a runtime of its own; base OTs, about 20 ms, are not counted.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_core::random::{Domain, Prg, PrivateSeed, PublicSeed};
use mpc_core::step::StepPath;
use mpc_core::world::{Net, World};
use mpc_core::{Block, PartyId, Result, Session};
use protocols::matching::okvs::Okvs;
use protocols::matching::psi::{self, Method};
use protocols::ot::Ot;

fn random(prg: &mut Prg, len: usize) -> Vec<Block> {
    let bytes = (0..len).map(|_| {
        let mut block = [0; 16];
        prg.fill(&mut block);
        Block::from_le_bytes(block)
    });
    bytes.collect()
}

fn prg() -> Prg {
    PrivateSeed::new([9; 32]).prg(Domain::Test, &StepPath::root())
}

fn okvs(c: &mut Criterion) {
    let mut group = c.benchmark_group("okvs");
    for log in [16, 20] {
        let (items, mut prg) = (1 << log, prg());
        let (keys, values) = (random(&mut prg, items), random(&mut prg, items));
        let store = Okvs::new(items, PublicSeed([1; 32])).expect("a size of the table");
        let encoded = store.encode(&keys, &values, 1, &mut prg).expect("fails with probability 2^-40");
        let mut out = vec![Block::ZERO; items];
        group.throughput(Throughput::Elements(items as u64));
        group.bench_function(BenchmarkId::new("encode", format!("2^{log}")), |b| {
            b.iter(|| store.encode(&keys, &values, 1, &mut prg))
        });
        group.bench_function(BenchmarkId::new("decode", format!("2^{log}")), |b| {
            b.iter(|| store.decode_into(&encoded, 1, &keys, black_box(&mut out)))
        });
    }
    group.finish();
}

/// The time of one matching at one party.
async fn matched(session: &mut Session, method: Method, keys: &[Block], theirs: usize) -> Result<Duration> {
    let mut ot = Ot::setup(session).await?;
    session.step("line up").exchange(&[0u8]).await?;
    let began = Instant::now();
    let other = session.other_sites()[0];
    if session.me() == PartyId(0) {
        psi::send(session, &mut ot, method, other, keys, theirs).await?;
    } else {
        black_box(psi::receive(session, &mut ot, method, other, keys, theirs).await?);
    }
    Ok(began.elapsed())
}

fn run(method: Method, sender: usize, receiver: usize) -> Duration {
    let common = sender.min(receiver) / 2;
    let all = random(&mut prg(), sender + receiver - common);
    let sets = vec![all[..sender].to_vec(), all[sender - common..].to_vec()];
    let program = move |mut session: Session, keys: Vec<Block>| async move {
        let theirs = if session.me() == PartyId(0) { receiver } else { sender };
        let result = matched(&mut session, method, &keys, theirs).await;
        (session, result)
    };
    let outcomes = World::new(2).over(Net::Quic).run(program, sets);
    outcomes.into_iter().map(|outcome| outcome.result.expect("both are honest")).max().expect("two parties")
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("psi");
    group.sample_size(10);
    let equal = [8, 12, 14, 16, 18, 20].map(|log| (Method::Vole, 1 << log, 1 << log));
    let unequal = [(Method::Vole, 10, 1 << 20), (Method::Vole, 1 << 20, 10)];
    let small = [1, 16, 64, 256].map(|items| (Method::DiffieHellman, items, items));
    let small_vole = [1, 16, 64].map(|items| (Method::Vole, items, items));
    let sizes = equal.into_iter().chain(unequal).chain(small).chain(small_vole);
    for (method, sender, receiver) in sizes {
        let name = BenchmarkId::new(format!("{method:?}"), format!("{sender} against {receiver}"));
        group.bench_function(name, |b| b.iter_custom(|runs| (0..runs).map(|_| run(method, sender, receiver)).sum()));
    }
    group.finish();
}

criterion_group!(benches, okvs, whole);
criterion_main!(benches);
