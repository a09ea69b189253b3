//! Every correlation is used once: what is taken is gone, and nobody gets more than was made.

use mpc_core::Session;
use mpc_core::error::{Error, LocalFault};
use mpc_core::world::World;

use super::super::{Budget, Chains, Pool, WordKind};
use super::SEED;
use super::relations::{Column, KINDS, Kind};

fn is_short<T>(result: &mpc_core::Result<T>) -> bool {
    matches!(result, Err(Error::Local { fault: LocalFault::Budget, .. }))
}

/// Fills a pool with `words` words and lets every party use it.
fn with_pool<T: Send + 'static>(
    kind: Kind,
    words: usize,
    test: impl Fn(&Session, &mut Pool) -> T + Send + Sync + Copy + 'static,
) -> Vec<T> {
    println!("seed {SEED}, {kind:?}");
    let budget = kind.budget(2, words, Chains::Ripple);
    let program = move |mut session: Session, (): ()| {
        let budget = budget.clone();
        async move {
            let mut pool = Pool::default();
            let result = pool.fill(&mut session, &budget).await.map(|()| test(&session, &mut pool));
            (session, result)
        }
    };
    let outcomes = World::new(2).seed(SEED).run(program, vec![(); 2]);
    outcomes.into_iter().map(|o| o.result.expect("both sites are honest")).collect()
}

#[test]
fn more_than_was_made_is_refused_and_what_was_made_stays() {
    for kind in KINDS {
        let outcomes = with_pool(kind, 3, move |s, pool| {
            let before = is_short(&kind.take(s, pool, 4));
            let all = kind.take(s, pool, 3).is_ok();
            (before, all, is_short(&kind.take(s, pool, 1)))
        });
        assert_eq!(outcomes, [(true, true, true); 2], "{kind:?}");
    }
}

#[test]
fn nothing_is_handed_out_twice() {
    for kind in KINDS {
        let outcomes = with_pool(kind, 3, move |s, pool| {
            let parts: Vec<Vec<Column>> = (0..3).map(|_| kind.take(s, pool, 1).expect("three were made")).collect();
            (parts, is_short(&kind.take(s, pool, 1)))
        });
        for (parts, short) in outcomes {
            assert!(short, "{kind:?}: a fourth word was handed out");
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                let same = parts[i].iter().zip(&parts[j]).any(|(a, b)| a == b);
                assert!(!same, "{kind:?}: a column was handed out twice");
            }
        }
    }
}

#[test]
fn a_pool_without_a_budget_has_nothing() {
    for kind in KINDS {
        let outcomes = with_pool(kind, 0, move |s, pool| is_short(&kind.take(s, pool, 1)));
        assert_eq!(outcomes, [true; 2], "{kind:?}");
    }
}

#[test]
fn a_shuffle_is_used_once_and_only_for_the_rows_it_was_made_for() {
    println!("seed {SEED}");
    let shuffles = vec![(10, vec![WordKind::Add]), (10, vec![WordKind::Xor])];
    let budget = Budget { shuffles, ..Budget::default() };
    let program = move |mut session: Session, (): ()| {
        let budget = budget.clone();
        async move {
            let mut pool = Pool::default();
            let result = pool.fill(&mut session, &budget).await.map(|()| {
                let first = pool.shuffle(&session, 10, &[WordKind::Add]).is_ok();
                let other = is_short(&pool.shuffle(&session, 11, &[WordKind::Xor]));
                (first, other, is_short(&pool.shuffle(&session, 10, &[WordKind::Add])))
            });
            (session, result)
        }
    };
    for outcome in World::new(2).seed(SEED).run(program, vec![(); 2]) {
        assert_eq!(outcome.result, Ok((true, true, true)));
    }
}
