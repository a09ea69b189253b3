//! The operations every operator is made of.

use mpc_core::{PowerOfTwo, Result, Z64, Z128};
use protocols::{Engine, Rows};

use super::{Case, low};

/// Below, at and above a word of bits.
const LENGTHS: [usize; 6] = [0, 1, 63, 64, 65, 200];

/// Numbers around zero, the ends and the middle of `bits` bits, then random ones.
fn telling(case: &mut Case, bits: usize) -> Vec<u64> {
    let half = 1u64 << (bits - 1);
    let mut column = vec![0, 1, half, half.wrapping_sub(1), low(u64::MAX, bits), half.wrapping_add(1)];
    column.extend(case.column(60, 64));
    column
}

async fn mul_in<E: Engine, R: PowerOfTwo>(e: &mut E, case: &mut Case) -> Result<()> {
    for len in LENGTHS {
        let wide = |case: &mut Case| R::from_low(u128::from(case.random()) << 64 | u128::from(case.random()));
        let a: Vec<R> = (0..len).map(|_| wide(case)).collect();
        let b: Vec<R> = (0..len).map(|_| wide(case)).collect();
        let (x, y) = (case.share(e, &a), case.share(e, &b));
        let product = e.mul(&x, &y).await?;
        let product = case.open(e, product).await?;
        let want: Vec<R> = a.iter().zip(&b).map(|(a, b)| a.mul(*b)).collect();
        assert!(product == want, "{len} products in {}", R::NAME);
    }
    Ok(())
}

pub async fn mul_multiplies_in_both_rings<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    mul_in::<E, Z64>(e, case).await?;
    mul_in::<E, Z128>(e, case).await
}

pub async fn and_is_bitwise<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for len in LENGTHS {
        for width in [1, 2, 33, 64] {
            let (a, b) = (case.column(len, width), case.column(len, width));
            let (x, y) = (case.share_bits(e, &a, width), case.share_bits(e, &b, width));
            let both = e.and(&x, &y).await?;
            let want: Vec<u64> = a.iter().zip(&b).map(|(a, b)| a & b).collect();
            assert_eq!(case.open_bits(e, &both).await?, want, "{len} rows of {width} bits");
        }
    }
    Ok(())
}

pub async fn a2b_gives_the_low_bits_at_every_width<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for bits in 1..=64 {
        let column = telling(case, bits);
        let shared = case.share_numbers(e, &column);
        let out = e.a2b(&shared, bits).await?;
        let want: Vec<u64> = column.iter().map(|x| low(*x, bits)).collect();
        assert_eq!(case.open_bits(e, &out).await?, want, "{bits} bits");
    }
    Ok(())
}

pub async fn negative_is_the_top_bit_at_every_width<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for bits in 1..=64 {
        let column = telling(case, bits);
        let shared = case.share_numbers(e, &column);
        let out = e.negative(&shared, bits).await?;
        let want: Vec<u64> = column.iter().map(|x| x >> (bits - 1) & 1).collect();
        assert_eq!(case.open_bits(e, &out).await?, want, "{bits} bits");
    }
    Ok(())
}

pub async fn is_zero_looks_at_the_low_bits_only<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for bits in 1..=64 {
        let mut column = telling(case, bits);
        if bits < 64 {
            column.extend([1 << bits, u64::MAX << bits]);
        }
        let shared = case.share_numbers(e, &column);
        let out = e.is_zero(&shared, bits).await?;
        let want: Vec<u64> = column.iter().map(|x| u64::from(low(*x, bits) == 0)).collect();
        assert_eq!(case.open_bits(e, &out).await?, want, "{bits} bits");
    }
    Ok(())
}

async fn b2a_in<E: Engine, R: PowerOfTwo>(e: &mut E, case: &mut Case) -> Result<()> {
    for len in LENGTHS {
        for width in [1, 3] {
            let column = case.column(len, width);
            let bits = case.share_bits(e, &column, width);
            let numbers = e.b2a::<R>(&bits).await?;
            let numbers = case.open(e, numbers).await?;
            let want = (0..width).flat_map(|plane| column.iter().map(move |x| R::from_low(u128::from(x >> plane & 1))));
            assert!(numbers == want.collect::<Vec<R>>(), "{len} rows of {width} bits in {}", R::NAME);
        }
    }
    Ok(())
}

pub async fn b2a_goes_plane_by_plane_in_both_rings<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    b2a_in::<E, Z64>(e, case).await?;
    b2a_in::<E, Z128>(e, case).await
}

async fn choose_in<E: Engine, R: PowerOfTwo>(e: &mut E, case: &mut Case) -> Result<()> {
    for len in LENGTHS {
        let choice = case.column(len, 1);
        let wide = |case: &mut Case| R::from_low(u128::from(case.random()) << 64 | u128::from(case.random()));
        let a: Vec<R> = (0..len).map(|_| wide(case)).collect();
        let b: Vec<R> = (0..len).map(|_| wide(case)).collect();
        let bit = case.share_bits(e, &choice, 1);
        let (x, y) = (case.share(e, &a), case.share(e, &b));
        let (selected, muxed) = (e.select(&bit, &x).await?, e.mux(&bit, &x, &y).await?);
        let pick = |zero: &dyn Fn(usize) -> R| -> Vec<R> {
            (0..len).map(|i| if choice[i] == 1 { a[i] } else { zero(i) }).collect()
        };
        assert!(case.open(e, selected).await? == pick(&|_| R::default()), "select of {len} in {}", R::NAME);
        assert!(case.open(e, muxed).await? == pick(&|i| b[i]), "mux of {len} in {}", R::NAME);
    }
    Ok(())
}

pub async fn select_and_mux_choose_in_both_rings<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    choose_in::<E, Z64>(e, case).await?;
    choose_in::<E, Z128>(e, case).await
}

/// Pairs whose difference just fits, pairs that differ by one, and equal ones.
pub async fn comparisons_are_those_of_signed_numbers<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for bits in [1, 2, 5, 17, 33, 63, 64] {
        let half = 1i128 << (bits - 1);
        let mut pairs: Vec<(i64, i64)> = vec![(0, 0), (-1, 0), (-((half / 2) as i64), (half - half / 2) as i64)];
        for _ in 0..70 {
            let base = (case.random() >> 2) as i64;
            let offset = (i128::from(case.random()) % (2 * half) - half) as i64;
            pairs.extend(base.checked_add(offset).map(|a| (a, base)));
        }
        let column = |of: fn(&(i64, i64)) -> i64| pairs.iter().map(|p| of(p) as u64).collect::<Vec<_>>();
        let (a, b) = (column(|p| p.0), column(|p| p.1));
        let (x, y) = (case.share_numbers(e, &a), case.share_numbers(e, &b));
        let public: Vec<Z64> = b.iter().copied().map(Z64).collect();
        let less = e.less_than(&x, &y, bits).await?;
        let less_public = e.less_than_public(&x, &public, bits).await?;
        let same = e.equals(&x, &y, bits).await?;
        let want: Vec<u64> = pairs.iter().map(|(a, b)| u64::from(a < b)).collect();
        assert_eq!(case.open_bits(e, &less).await?, want, "less than, {bits} bits");
        assert_eq!(case.open_bits(e, &less_public).await?, want, "less than public, {bits} bits");
        let want: Vec<u64> = a.iter().zip(&b).map(|(a, b)| u64::from(low(*a, bits) == low(*b, bits))).collect();
        assert_eq!(case.open_bits(e, &same).await?, want, "equals, {bits} bits");
    }
    Ok(())
}

fn table(case: &mut Case, rows: usize) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    (case.column(rows, 11), case.column(rows, 64), case.column(rows, 3))
}

fn shared_table<E: Engine>(e: &mut E, case: &mut Case, table: &(Vec<u64>, Vec<u64>, Vec<u64>)) -> Rows {
    let bits = case.share_bits(e, &table.0, 11);
    Rows { bits, columns: vec![case.share_numbers(e, &table.1), case.share_numbers(e, &table.2)] }
}

async fn open_table<E: Engine>(e: &mut E, case: &mut Case, mut rows: Rows) -> Result<Vec<(u64, u64, u64)>> {
    let bits = case.open_bits(e, &rows.bits).await?;
    let last = rows.columns.pop().expect("two columns");
    let first = rows.columns.pop().expect("two columns");
    let (first, last) = (case.open_numbers(e, first).await?, case.open_numbers(e, last).await?);
    Ok(bits.into_iter().zip(first).zip(last).map(|((a, b), c)| (a, b, c)).collect())
}

/// The same rows as a multiset, each of them whole.
pub async fn shuffle_keeps_rows_whole<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for rows in [0, 1, 2, 63, 64, 150] {
        let plain = table(case, rows);
        let shared = shared_table(e, case, &plain);
        let shuffled = e.shuffle(shared).await?;
        let mut got = open_table(e, case, shuffled).await?;
        let mut want: Vec<_> = (0..rows).map(|i| (plain.0[i], plain.1[i], plain.2[i])).collect();
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want);
    }
    Ok(())
}

/// Row i is at place `places[i]` afterwards.
pub async fn place_puts_rows_where_they_belong<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for rows in [0, 1, 2, 63, 64, 150] {
        let plain = table(case, rows);
        let mut places: Vec<u64> = (0..rows as u64).collect();
        (1..rows).rev().for_each(|i| places.swap(i, case.below(i as u64 + 1) as usize));
        let shared = shared_table(e, case, &plain);
        let shared_places = case.share_numbers(e, &places);
        let placed = e.place(shared, shared_places).await?;
        let got = open_table(e, case, placed).await?;
        for (row, place) in places.iter().enumerate() {
            assert_eq!(got[*place as usize], (plain.0[row], plain.1[row], plain.2[row]), "row {row} of {rows}");
        }
    }
    Ok(())
}
