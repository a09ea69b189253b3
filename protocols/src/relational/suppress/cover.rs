//! Enlarging a set of hidden members until it holds enough.

use mpc_core::{Result, Z64};

use super::super::shape;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// Members in a public order, some of them chosen, and what the chosen ones must hold.
pub struct Problem {
    pub members: usize,
    pub rows: Vec<Row>,
}

/// The chosen members' amounts must add up to at least this much, or to nothing if that is enough.
pub struct Row {
    /// For each member where its amount stands.
    pub amounts: Vec<usize>,
    /// At least this much.
    pub least: u64,
    pub zero_is_enough: bool,
}

/// Adds members in their order to those chosen, as few as will do: let J(t) be the chosen members and the first t. The
/// result is J(t) for the first t from 0 to m − 1 whose sums satisfy all rows, all members when none does, and no
/// member where none was chosen. `chosen` and the result have one bit for each member, problem after problem.
///
/// All t are tried at once: J(t)'s sum is the chosen sum and a prefix sum of the rest. One `select`, one `negative` and
/// one `is_zero` of rows·members, ⌈log2 rows⌉ + 2·⌈log2 members⌉ + 2 rounds of `and`.
pub async fn cover<E: Engine>(
    e: &mut E,
    chosen: &BitShare,
    problems: &[Problem],
    amounts: &ArithShare<Z64>,
    bits: usize,
) -> Result<BitShare> {
    let sums = sums_of_tries(e, chosen, problems, amounts).await?;
    let enough = enough(e, &sums, problems, bits).await?;
    let good = shape::lined_up(e, &enough, &rows_of_tries(problems), true);
    let good = shape::all(e, &good).await?;
    let members: Vec<Vec<usize>> = segments(problems).flat_map(|s| vec![s.clone().collect(); s.len()]).collect();
    let trouble = shape::any_of(e, chosen, &members).await?;
    let bad = e.not(&good);
    let bad = e.and(&bad, &trouble).await?;
    // Member b is added when none of the tries 0 to b was good.
    let added = bad_so_far(e, bad, problems).await?;
    shape::or(e, chosen, &added).await
}

/// The members of each problem, as a range over all.
fn segments(problems: &[Problem]) -> impl Iterator<Item = std::ops::Range<usize>> {
    problems.iter().scan(0, |start, problem| {
        let segment = *start..*start + problem.members;
        *start = segment.end;
        Some(segment)
    })
}

/// A row that asks for nothing is left out: the xor in `enough` needs that zero is less than `least`.
fn rows(problem: &Problem) -> impl Iterator<Item = &Row> {
    problem.rows.iter().filter(|row| row.least > 0)
}

/// Element (problem, row, t): the sum over J(t).
async fn sums_of_tries<E: Engine>(
    e: &mut E,
    chosen: &BitShare,
    problems: &[Problem],
    amounts: &ArithShare<Z64>,
) -> Result<ArithShare<Z64>> {
    let (mut choices, mut places) = (Vec::new(), Vec::new());
    for (problem, segment) in problems.iter().zip(segments(problems)) {
        for row in rows(problem) {
            choices.extend(segment.clone());
            places.extend_from_slice(&row.amounts);
        }
    }
    let all = amounts.gather(&places);
    let inside = e.select(&chosen.gather(&choices), &all).await?;
    let outside = e.sub(&all, &inside)?;
    let mut at = 0;
    let mut sums = Vec::new();
    for problem in problems {
        for _ in rows(problem) {
            let range = at..at + problem.members;
            at = range.end;
            let (inside, outside) = (inside.slice(range.clone()), outside.slice(range));
            let first = e.sub(&outside.prefix_sums(), &outside)?;
            sums.push(e.add(&first, &shape::total(&inside).gather(&vec![0; problem.members]))?);
        }
    }
    Ok(ArithShare::concat(&sums.iter().collect::<Vec<_>>()))
}

/// One bit for each sum: does it satisfy its row?
async fn enough<E: Engine>(e: &mut E, sums: &ArithShare<Z64>, problems: &[Problem], bits: usize) -> Result<BitShare> {
    let of_sums = problems.iter().flat_map(|p| rows(p).flat_map(move |row| std::iter::repeat_n(row, p.members)));
    let of_sums: Vec<&Row> = of_sums.collect();
    let least: Vec<Z64> = of_sums.iter().map(|row| Z64(row.least)).collect();
    let less = e.less_than_public(sums, &least, bits).await?;
    let forgiving: Vec<usize> = (0..sums.len()).filter(|i| of_sums[*i].zero_is_enough).collect();
    let zero = e.is_zero(&sums.gather(&forgiving), bits).await?;
    let mut lists = vec![Vec::new(); sums.len()];
    forgiving.iter().enumerate().for_each(|(at, sum)| lists[*sum].push(at));
    let zero = shape::lined_up(e, &zero, &lists, false);
    let failed = if zero.width() == 0 { less } else { less.xor(&zero) };
    Ok(e.not(&failed))
}

/// For each (problem, t) where the bits of its rows stand.
fn rows_of_tries(problems: &[Problem]) -> Vec<Vec<usize>> {
    let mut at = 0;
    let mut lists = Vec::new();
    for problem in problems {
        let count = rows(problem).count();
        lists.extend((0..problem.members).map(|t| (0..count).map(|row| at + row * problem.members + t).collect()));
        at += count * problem.members;
    }
    lists
}

/// The AND of a problem's bits up to each one.
async fn bad_so_far<E: Engine>(e: &mut E, mut bad: BitShare, problems: &[Problem]) -> Result<BitShare> {
    let longest = problems.iter().map(|p| p.members).max().unwrap_or(0);
    let mut reach = 1;
    while reach < longest {
        let before = |segment: std::ops::Range<usize>| {
            segment.clone().map(move |i| if i >= segment.start + reach { vec![i - reach] } else { vec![] })
        };
        let lists: Vec<Vec<usize>> = segments(problems).flat_map(before).collect();
        let earlier = shape::lined_up(e, &bad, &lists, true);
        bad = e.and(&bad, &earlier).await?;
        reach *= 2;
    }
    Ok(bad)
}
