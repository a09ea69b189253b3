//! Sorting.

use mpc_core::Result;
use protocols::relational::sort::{order, sort, sort_keys};
use protocols::{BitShare, Engine, Rows};

use super::Case;

/// Sizes and key widths; few bits make many ties.
const SHAPES: [(usize, usize); 9] = [(0, 5), (1, 64), (2, 1), (7, 0), (10, 3), (65, 2), (40, 5), (33, 64), (130, 17)];

/// Rows come out by key, equal keys in their old order, and everything in a row stays together.
pub async fn sort_sorts_stably<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (rows, width) in SHAPES {
        for (bits, columns) in [(0, 0), (9, 0), (9, 2), (0, 1)] {
            let keys = case.column(rows, width);
            let extra = case.column(rows, bits);
            let numbers: Vec<Vec<u64>> = (0..columns).map(|_| case.column(rows, 64)).collect();
            let payload = Rows {
                bits: case.share_bits(e, &extra, bits),
                columns: numbers.iter().map(|column| case.share_numbers(e, column)).collect(),
            };
            let shared = case.share_bits(e, &keys, width);
            let (sorted, moved) = sort(e, shared, payload).await?;

            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by_key(|row| keys[*row]);
            let want = |column: &[u64]| order.iter().map(|row| column[*row]).collect::<Vec<_>>();
            assert_eq!(case.open_bits(e, &sorted).await?, want(&keys), "{rows} keys of {width} bits");
            assert_eq!(case.open_bits(e, &moved.bits).await?, want(&extra), "bits of {rows} rows");
            assert_eq!(moved.columns.len(), columns);
            for (column, plain) in moved.columns.into_iter().zip(&numbers) {
                assert_eq!(case.open_numbers(e, column).await?, want(plain), "numbers of {rows} rows");
            }
        }
    }
    Ok(())
}

/// Keys alone come out sorted; flipped bits sort downwards.
pub async fn sort_keys_sorts_up_and_with_flipped_bits_down<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (rows, width) in SHAPES {
        let mut keys = case.column(rows, width);
        let shared = case.share_bits(e, &keys, width);
        let flipped = e.not(&shared);
        let up = sort_keys(e, shared).await?;
        let down = sort_keys(e, flipped).await?;
        let down: BitShare = e.not(&down);
        keys.sort_unstable();
        assert_eq!(case.open_bits(e, &up).await?, keys);
        keys.reverse();
        assert_eq!(case.open_bits(e, &down).await?, keys);
    }
    Ok(())
}

/// The order is the place every row would go to.
pub async fn order_is_the_permutation_of_the_stable_sort<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (rows, width) in SHAPES {
        let keys = case.column(rows, width);
        let shared = case.share_bits(e, &keys, width);
        let places = order(e, &shared).await?;
        let places = case.open_numbers(e, places).await?;
        let place = |row: usize| {
            let before = |other: &usize| (keys[*other], *other) < (keys[row], row);
            (0..rows).filter(before).count() as u64
        };
        assert_eq!(places, (0..rows).map(place).collect::<Vec<_>>(), "{rows} keys of {width} bits");
    }
    Ok(())
}
