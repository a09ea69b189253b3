//! What costs predict is what sessions count: every operation, and making what it takes, for every kind of network.

mod conformance;
mod operations;

use conformance::Case;
use mpc_core::world::World;
use mpc_core::{Result, Session};
use operations::{ALL, Operation, Size};
use protocols::additive::Additive;
use protocols::additive::demand::Link;
use protocols::correlation::{Budget, Layout, WordKind};
use protocols::cost::{self, SiteCost};

use Operation::*;

const SEED: u64 = 20_261_122;

/// What is predicted for an operation on this size, among so many sites.
fn predicted(operation: Operation, sites: u64, link: Link, size: Size) -> SiteCost {
    let (rows, bits, chains) = (size.rows as u64, size.bits as u64, link.chains());
    let lanes = |places: &[WordKind]| {
        let width = if size.bits > 32 { WordKind::Xor } else { WordKind::Xor32 };
        Layout::new(&[&[width, WordKind::Add], places].concat()).lanes() as u64
    };
    match operation {
        Mul64 => cost::mul(sites, rows, 8),
        Mul128 => cost::mul(sites, rows, 16),
        And => cost::and(sites, rows, bits),
        A2b => cost::a2b(sites, chains, rows, bits),
        Negative => cost::negative(sites, chains, rows, bits),
        IsZero => cost::is_zero(sites, chains, rows, bits),
        B2a64 | B2a128 => cost::b2a(sites, rows, bits),
        Select64 => cost::select(sites, rows, 8),
        Select128 => cost::select(sites, rows, 16),
        Shuffle => cost::shuffle(sites, rows, lanes(&[])),
        Place => cost::place(sites, rows, lanes(&[WordKind::Add32])),
    }
}

/// Bytes and rounds of one site after set-up, before the operation and after it.
type Counts = [SiteCost; 3];

fn so_far(engine: &mut Additive) -> SiteCost {
    let stats = engine.session().stats();
    SiteCost { rounds: stats.rounds, bytes: stats.bytes() }
}

/// Two rounds after which all sites are equally far.
async fn meet(engine: &mut Additive) -> Result<()> {
    for _ in 0..2 {
        engine.session().step("meet").exchange(&[0u64]).await?;
    }
    Ok(())
}

async fn count(engine: &mut Additive, operation: Operation, size: Size, budget: &Budget) -> Result<Counts> {
    let mut case = Case::new(engine.session(), SEED);
    engine.prepare(budget).await?;
    let prepared = so_far(engine);
    let mut before = SiteCost::default();
    let meet = async |engine: &mut Additive| {
        meet(engine).await?;
        before = so_far(engine);
        Ok(())
    };
    operation.run(engine, &mut case, size, meet).await?;
    Ok([prepared, before, so_far(engine)])
}

/// The most of any site.
fn most(counts: &[Counts], of: impl Fn(&Counts) -> SiteCost) -> SiteCost {
    let costs = || counts.iter().map(&of);
    SiteCost { rounds: costs().map(|c| c.rounds).max().unwrap(), bytes: costs().map(|c| c.bytes).max().unwrap() }
}

fn is_as_predicted(operation: Operation, sites: usize, link: Link, size: Size) {
    println!("seed {SEED}, {operation:?}, {sites} sites, {link:?}, {size:?}");
    let (budget, _) = operation.budgets(sites, link, size, SEED);
    let preparation = cost::of(&budget, sites as u64);
    let program = move |session: Session, (): ()| {
        let budget = budget.clone();
        async move {
            let mut engine = Additive::new(session, protocols::Statement::new(Vec::new()));
            let result = count(&mut engine, operation, size, &budget).await;
            (engine.into_session(), result)
        }
    };
    let outcomes = World::new(sites).seed(SEED).run(program, vec![(); sites]);
    let counts: Vec<Counts> = outcomes.into_iter().map(|o| o.result.expect("all sites are honest")).collect();
    assert_eq!(most(&counts, |c| c[0]), preparation, "preparation of {operation:?}, {sites} sites, {link:?}, {size:?}");
    let rounds = most(&counts, |c| c[2]).rounds - most(&counts, |c| c[1]).rounds;
    let bytes = most(&counts, |c| SiteCost { rounds: 0, bytes: c[2].bytes - c[1].bytes }).bytes;
    let online = SiteCost { rounds, bytes };
    assert_eq!(
        online,
        predicted(operation, sites as u64, link, size),
        "{operation:?}, {sites} sites, {link:?}, {size:?}"
    );
}

#[test]
fn operations_on_few_rows_cost_what_is_predicted_for_every_number_of_sites() {
    for (operation, sites) in ALL.into_iter().flat_map(|operation| [2, 3, 5, 8].map(|sites| (operation, sites))) {
        for link in [Link::Local, Link::Far] {
            is_as_predicted(operation, sites, link, Size { rows: 70, bits: 11 });
        }
    }
}

#[test]
fn odd_widths_cost_what_is_predicted() {
    for bits in [1, 2, 33, 64] {
        for (operation, sites) in [And, A2b, Negative, IsZero].into_iter().flat_map(|op| [2, 3, 5].map(|n| (op, n))) {
            for link in [Link::Local, Link::Far] {
                is_as_predicted(operation, sites, link, Size { rows: 3, bits });
            }
        }
    }
}

#[test]
fn operations_with_reduce_scatter_and_several_batches_cost_what_is_predicted() {
    for sites in [2, 3, 5] {
        for operation in [Mul64, Mul128, And, B2a64, Select64, Select128, Place] {
            is_as_predicted(operation, sites, Link::Local, Size { rows: 5000, bits: 60 });
        }
    }
    for link in [Link::Local, Link::Far] {
        is_as_predicted(Negative, 4, link, Size { rows: 130_000, bits: 3 });
        is_as_predicted(A2b, 5, link, Size { rows: 130_000, bits: 3 });
        is_as_predicted(IsZero, 5, link, Size { rows: 130_000, bits: 3 });
    }
    is_as_predicted(Select64, 5, Link::Local, Size { rows: 70_000, bits: 1 });
    is_as_predicted(B2a128, 8, Link::Local, Size { rows: 70_000, bits: 1 });
}

#[test]
fn preparation_with_silent_ot_costs_what_is_predicted() {
    for operation in [Mul64, Negative, B2a64, Select64, Place] {
        for sites in [2, 3] {
            is_as_predicted(operation, sites, Link::Narrow, Size { rows: 1000, bits: 8 });
        }
    }
}
