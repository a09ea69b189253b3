//! Order statistics, by histogram and by sort, against sorted plain values.

use mpc_core::Result;
use protocols::Engine;
use protocols::relational::fraction::remainders;
use protocols::relational::quantile::{Groups, ONE_LEVEL_CELLS, Point, by_histogram, by_sort, by_sort_grouped};

use super::Case;

const POINTS: [Point; 15] = [
    Point::Min,
    Point::Max,
    Point::Disc { num: 0, den: 1 },
    Point::Disc { num: 1, den: 1 },
    Point::Disc { num: 1, den: 2 },
    Point::Disc { num: 25, den: 100 },
    Point::Disc { num: 333_333, den: 1_000_000 },
    Point::Cont { num: 1, den: 2 },
    Point::Cont { num: 50, den: 100 },
    Point::Cont { num: 0, den: 7 },
    Point::Cont { num: 7, den: 7 },
    Point::Cont { num: 9, den: 10 },
    Point::Cont { num: 1, den: 3 },
    Point::Cont { num: 999_999, den: 1_000_000 },
    Point::Cont { num: 123_457, den: 999_983 },
];

/// PostgreSQL's answer, times the denominator for `Cont`; values are sorted.
fn plain(values: &[u64], point: Point) -> u64 {
    let n = values.len() as u64;
    match point {
        Point::Min => values[0],
        Point::Max => values[values.len() - 1],
        Point::Disc { num, den } => values[((num * n).div_ceil(den).max(1) - 1) as usize],
        Point::Cont { num, den } => {
            let (lower, rest) = (num * (n - 1) / den, num * (n - 1) % den);
            let upper = if rest == 0 { lower } else { lower + 1 };
            let (lower, upper) = (values[lower as usize], values[upper as usize]);
            lower.wrapping_mul(den - rest).wrapping_add(upper.wrapping_mul(rest))
        }
    }
}

fn check(got: &[u64], groups: &[Vec<u64>], points: &[Point], what: &str) {
    assert_eq!(got.len(), groups.len() * points.len(), "{what}: shape");
    for (group, values) in groups.iter().enumerate() {
        let mut values = values.clone();
        values.sort_unstable();
        for (at, point) in points.iter().enumerate().filter(|_| !values.is_empty()) {
            let found = got[group * points.len() + at];
            assert_eq!(found, plain(&values, *point), "{what}: {point:?} of {values:?}");
        }
    }
}

/// Groups of 0, 1, 2 and more values; few cells make ties.
fn groups(case: &mut Case, sizes: &[usize], cells: u64) -> Vec<Vec<u64>> {
    sizes.iter().map(|len| (0..*len).map(|_| case.below(cells)).collect()).collect()
}

pub async fn by_histogram_finds_the_cell<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for cells in [1, 2, 13, 150] {
        let plain = groups(case, &[0, 1, 2, 3, 50, 101], cells as u64);
        histogram_case(e, case, &plain, cells, &POINTS).await?;
    }
    histogram_case(e, case, &[], 5, &POINTS).await
}

/// Above the bound the search has two levels; the last block is not full.
pub async fn by_histogram_refines_many_cells<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for cells in [ONE_LEVEL_CELLS + 1, 34 * 34 + 5] {
        let mut plain = groups(case, &[0, 1, 2, 40], cells as u64);
        plain.push(vec![0, 0, cells as u64 - 1]);
        plain.push(vec![cells as u64 - 1; 4]);
        let points = [POINTS[0], POINTS[1], POINTS[4], POINTS[8], POINTS[10], POINTS[14]];
        histogram_case(e, case, &plain, cells, &points).await?;
    }
    Ok(())
}

async fn histogram_case<E: Engine>(
    e: &mut E,
    case: &mut Case,
    groups: &[Vec<u64>],
    cells: usize,
    points: &[Point],
) -> Result<()> {
    let mut counts = vec![0; groups.len() * cells];
    for (group, values) in groups.iter().enumerate() {
        values.iter().for_each(|v| counts[group * cells + *v as usize] += 1);
    }
    let histogram = case.share_numbers(e, &counts);
    let found = by_histogram(e, &histogram, (groups.len(), cells), 7, points).await?;
    let found = case.open_numbers(e, found).await?;
    check(&found, groups, points, &format!("{cells} cells"));
    Ok(())
}

pub async fn by_sort_finds_the_value<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (rows, width) in [(0, 4), (1, 1), (2, 64), (30, 3), (61, 64), (64, 20)] {
        for mode in 0..3 {
            let values = case.column(rows, width);
            // All valid, some, none.
            let valid: Vec<u64> =
                (0..rows).map(|_| if mode == 1 { case.below(2) } else { u64::from(mode == 0) }).collect();
            let (v, ok) = (case.share_bits(e, &values, width), case.share_bits(e, &valid, 1));
            let found = by_sort(e, &v, &ok, 7, &POINTS).await?;
            let found = case.open_numbers(e, found).await?;
            let counted = values.iter().zip(&valid).filter(|(_, ok)| **ok == 1).map(|(v, _)| *v).collect();
            check(&found, &[counted], &POINTS, &format!("{rows} rows of {width} bits"));
        }
    }
    Ok(())
}

pub async fn by_sort_grouped_finds_each_groups_value<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let (rows, width, count) = (70, 9, 5);
    let values = case.column(rows, width);
    // Group 3 stays empty.
    let ids: Vec<u64> = (0..rows).map(|_| [0, 1, 2, 4][case.below(4) as usize]).collect();
    let valid: Vec<u64> = (0..rows).map(|_| u64::from(case.below(4) > 0)).collect();
    let of = |group: u64| {
        let rows = (0..rows).filter(|row| ids[*row] == group && valid[*row] == 1);
        rows.map(|row| values[row]).collect::<Vec<_>>()
    };
    let plain: Vec<Vec<u64>> = (0..count).map(of).collect();
    let counts: Vec<u64> = plain.iter().map(|g| g.len() as u64).collect();
    let (v, ok) = (case.share_bits(e, &values, width), case.share_bits(e, &valid, 1));
    let groups = Groups { ids: case.share_bits(e, &ids, 3), counts: case.share_numbers(e, &counts) };
    let found = by_sort_grouped(e, &v, &ok, groups, 7, &POINTS).await?;
    let found = case.open_numbers(e, found).await?;
    check(&found, &plain, &POINTS, "groups");
    Ok(())
}

pub async fn remainders_are_those_of_division<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for den in [1, 2, 3, 7, 10, 64, 100, 999_983, 1_000_000] {
        for bits in [1, 4, 20, 40] {
            let mut column = case.column(30, bits);
            column.extend([0, 1, super::low(u64::MAX, bits), (den - 1) & super::low(u64::MAX, bits)]);
            let shared = case.share_numbers(e, &column);
            let rest = remainders(e, &shared, bits, den).await?;
            let want: Vec<u64> = column.iter().map(|x| x % den).collect();
            assert_eq!(case.open_numbers(e, rest).await?, want, "{bits} bits by {den}");
        }
    }
    Ok(())
}
