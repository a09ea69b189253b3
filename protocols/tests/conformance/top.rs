//! Top k.

use mpc_core::Result;
use protocols::Engine;
use protocols::relational::top_k::{Best, Direction, PAIRWISE_ROWS, top_k};

use super::{Case, low};

fn signed(value: u64, bits: usize) -> i64 {
    let shift = 64 - bits;
    ((low(value, bits) << shift) as i64) >> shift
}

async fn check<E: Engine>(e: &mut E, case: &mut Case, rows: usize, best: Best, some_ineligible: bool) -> Result<()> {
    // Few distinct totals, so that there are ties; both ends of the range among them.
    let ends = [1 << (best.bits - 1), (1 << (best.bits - 1)) - 1, 0, 1, u64::MAX];
    let pick = |case: &mut Case| if case.below(4) == 0 { case.random() } else { ends[case.below(5) as usize] };
    let totals: Vec<i64> = (0..rows).map(|_| signed(pick(case), best.bits)).collect();
    let eligible: Vec<u64> = (0..rows).map(|_| u64::from(!some_ineligible || case.below(3) > 0)).collect();
    let extra = case.column(rows, 64);

    let shared = case.share_numbers(e, &totals.iter().map(|t| *t as u64).collect::<Vec<_>>());
    let bit = case.share_bits(e, &eligible, 1);
    let carried = vec![case.share_numbers(e, &extra), shared.slice(0..rows)];
    let top = top_k(e, &shared, best, some_ineligible.then_some(&bit), carried).await?;

    let mut want: Vec<usize> = (0..rows).collect();
    want.sort_by_key(|row| {
        let total = i128::from(totals[*row]);
        let cost = if best.direction == Direction::Descending { -total } else { total };
        if eligible[*row] == 1 { (0, cost) } else { (1, 0) }
    });
    want.truncate(best.limit);
    let positions = case.open_numbers(e, top.positions).await?;
    assert_eq!(
        positions,
        want.iter().map(|row| *row as u64).collect::<Vec<_>>(),
        "{best:?} of {totals:?} {eligible:?}"
    );
    let mut carried = top.carried.into_iter();
    let first = case.open_numbers(e, carried.next().expect("two columns")).await?;
    assert_eq!(first, want.iter().map(|row| extra[*row]).collect::<Vec<_>>());
    let second = case.open_numbers(e, carried.next().expect("two columns")).await?;
    assert_eq!(second, want.iter().map(|row| totals[*row] as u64).collect::<Vec<_>>());
    Ok(())
}

/// The best totals come first, ties to the earlier position, the ineligible last: by counting ranks and by sorting.
pub async fn top_k_takes_the_best<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for direction in [Direction::Ascending, Direction::Descending] {
        for (rows, bits, limit) in
            [(0, 8, 3), (1, 1, 1), (1, 64, 0), (9, 1, 4), (10, 62, 20), (30, 5, 7), (20, 63, 7), (12, 64, 12)]
        {
            for some_ineligible in [false, true] {
                check(e, case, rows, Best { bits, limit, direction }, some_ineligible).await?;
            }
        }
        check(e, case, PAIRWISE_ROWS, Best { bits: 6, limit: 10, direction }, true).await?;
        check(e, case, PAIRWISE_ROWS + 1, Best { bits: 6, limit: 10, direction }, true).await?;
    }
    Ok(())
}
