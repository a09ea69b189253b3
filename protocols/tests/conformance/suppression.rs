//! Suppression: nothing small is shown, and nothing small follows from what is shown.

use mpc_core::{Result, Z64};
use protocols::Engine;
use protocols::relational::suppress::{Also, Rules, Table, mask, visible, visible_but, without_each};

use super::Case;
use super::intervals::{equations, excluded, is_excluded};

const TABLES: usize = 40;

/// Kinds of tables: name, cells, and how the cells add up.
fn kinds() -> Vec<(&'static str, usize, Vec<Table>)> {
    let sum = |total: usize, parts: std::ops::Range<usize>| Table::Sum { total, parts: parts.collect() };
    vec![
        ("no table", 4, vec![]),
        ("one way", 6, vec![sum(5, 0..5)]),
        ("one part", 4, vec![sum(1, 0..1), Table::Sum { total: 3, parts: vec![1, 2] }]),
        ("nested", 12, vec![sum(8, 0..3), sum(9, 3..5), sum(10, 5..8), sum(11, 8..11)]),
        ("deep", 10, vec![sum(6, 0..2), Table::Sum { total: 7, parts: vec![6, 2] }, sum(8, 3..6), sum(9, 7..9)]),
        ("two ways without details", 7, vec![sum(6, 0..3), Table::Sum { total: 6, parts: vec![3, 4, 5] }]),
        ("cube of 1", 5, vec![cube(&[4])]),
        ("cube of 2", 12, vec![cube(&[3, 2])]),
        ("cube of 2, wider", 20, vec![cube(&[3, 4])]),
        ("cube of 3", 27, vec![cube(&[2, 2, 2])]),
        ("cube of 3, wider", 36, vec![cube(&[2, 3, 2])]),
    ]
}

fn cube(sizes: &[usize]) -> Table {
    Table::Cube { sizes: sizes.to_vec(), cells: (0..sizes.iter().map(|s| s + 1).product()).collect() }
}

/// One site's part of every cell, adding up as the tables say.
fn part(case: &mut Case, cells: usize, tables: &[Table], mood: u64) -> Vec<u64> {
    let mut counts: Vec<u64> = (0..cells).map(|_| amount(case, mood)).collect();
    let equations = equations(tables);
    // Often enough for the deepest nesting; where margins meet, one of the "two ways" sums gives way.
    for _ in 0..4 {
        for (total, parts) in &equations {
            counts[*total] = parts.iter().map(|p| counts[*p]).sum();
        }
    }
    for (total, parts) in &equations {
        let sum: u64 = parts.iter().map(|p| counts[*p]).sum();
        if sum != counts[*total] {
            balance(&mut counts, *total, parts, sum);
        }
    }
    counts
}

/// Of two lists of parts with one total: the other list takes up the difference in its first part, or in the total.
fn balance(counts: &mut [u64], total: usize, parts: &[usize], sum: u64) {
    let want = counts[total];
    if want > sum {
        counts[parts[0]] += want - sum;
    } else {
        let mut excess = sum - want;
        for part in parts {
            let less = excess.min(counts[*part]);
            counts[*part] -= less;
            excess -= less;
        }
    }
}

fn amount(case: &mut Case, mood: u64) -> u64 {
    match (mood, case.below(6)) {
        (0, _) => case.below(4),
        (1, 0..=3) => 0,
        (2, 0) => case.below(3),
        (_, 5) => case.below(40),
        _ => 3 + case.below(9),
    }
}

struct Tried {
    rules: Rules,
    parts: Vec<Vec<u64>>,
    counts: Vec<u64>,
}

fn draw(case: &mut Case, cells: usize, tables: &[Table]) -> Tried {
    let mood = case.below(4);
    let parts: Vec<Vec<u64>> = (0..case.sites).map(|_| part(case, cells, tables, mood)).collect();
    let counts: Vec<u64> = (0..cells).map(|cell| parts.iter().map(|p| p[cell]).sum()).collect();
    let mut differences = Vec::new();
    for _ in 0..case.below(3) {
        let (a, b) = (case.below(cells as u64) as usize, case.below(cells as u64) as usize);
        // A cell inside another: no site has more in it.
        if a != b && parts.iter().all(|p| p[a] <= p[b]) && says_nothing_alone(tables, &differences, (a, b), &counts) {
            differences.push((a, b));
        }
    }
    let (threshold, zero_allowed) = (1 + case.below(6), case.below(2) == 1);
    Tried {
        rules: Rules {
            threshold,
            between: case.below(2) * case.below(12),
            zero_allowed,
            bound_bits: 12,
            differences,
            unseen: vec![],
            peopled: vec![],
            rests: rests(case, tables),
            tables: tables.to_vec(),
        },
        parts,
        counts,
    }
}

/// Of some sums the last part is what the others leave, if nothing adds up to it.
fn rests(case: &mut Case, tables: &[Table]) -> Vec<usize> {
    let sums = tables.iter().filter_map(|table| match table {
        Table::Sum { total, parts } => Some((*total, *parts.last()?)),
        Table::Cube { .. } => None,
    });
    let sums: Vec<(usize, usize)> = sums.collect();
    let leaves = sums.iter().map(|(_, last)| *last).filter(|last| sums.iter().all(|(total, _)| total != last));
    leaves.filter(|_| case.below(2) == 1).collect()
}

/// A pair may say with the tables alone that a cell is 0 or not small; that is nothing an answer could hide.
fn says_nothing_alone(tables: &[Table], pairs: &[(usize, usize)], pair: (usize, usize), counts: &[u64]) -> bool {
    let differences = [pairs, &[pair]].concat();
    let rules = of_rules(8, true, differences, tables.to_vec());
    excluded(&rules, counts, &vec![false; counts.len()], &[0, 7]).is_none()
}

fn of_rules(threshold: u64, zero_allowed: bool, differences: Vec<(usize, usize)>, tables: Vec<Table>) -> Rules {
    Rules {
        threshold,
        between: 0,
        zero_allowed,
        bound_bits: 12,
        differences,
        unseen: vec![],
        peopled: vec![],
        rests: vec![],
        tables,
    }
}

async fn shown<E: Engine>(e: &mut E, case: &mut Case, tried: &Tried, rules: &Rules, told: bool) -> Result<Vec<bool>> {
    let nothing = vec![0; tried.counts.len()];
    let own: Vec<Z64> = tried.parts.get(case.me).unwrap_or(&nothing).iter().copied().map(Z64).collect();
    let counts = e.input(own.clone());
    let without = if told { without_each(e, &own, case.me, case.sites) } else { Vec::new() };
    let bits = visible(e, rules, &counts, &without).await?;
    Ok(case.open_bits(e, &bits).await?.into_iter().map(|bit| bit == 1).collect())
}

/// A broken promise, in words.
fn fault(tried: &Tried, shown: &[bool], told: bool) -> Option<String> {
    let Rules { threshold, between, zero_allowed, differences, rests, .. } = &tried.rules;
    let may_be_zero = |cell: usize| *zero_allowed || rests.contains(&cell);
    let views = if told { tried.parts.len() } else { 0 };
    let without = |site: usize| (0..shown.len()).map(move |cell| tried.counts[cell] - tried.parts[site][cell]);
    let fine = |count: u64, zero: bool| count >= *threshold || count == 0 && zero;
    for cell in (0..shown.len()).filter(|cell| shown[*cell]) {
        if !fine(tried.counts[cell], may_be_zero(cell)) {
            return Some(format!("cell {cell} is small and shown"));
        }
        if (0..views).any(|site| !fine(tried.counts[cell] - tried.parts[site][cell], may_be_zero(cell))) {
            return Some(format!("cell {cell} is shown to a site that knows most of it"));
        }
    }
    for (a, b) in differences.iter().filter(|(a, b)| shown[*a] && shown[*b]) {
        let difference = tried.counts[*b] - tried.counts[*a];
        // Beside a 0 it is the other cell's own count.
        let is_count = tried.counts[*a] == 0 && *zero_allowed;
        if !fine(difference, true) || !is_count && (1..*between).contains(&difference) {
            return Some(format!("the difference of {b} and {a} is small and shown"));
        }
    }
    let values = if *threshold > 1 { vec![0, (threshold - 1) / 2, threshold - 1] } else { vec![0] };
    if let Some((cell, value)) = excluded(&tried.rules, &tried.counts, shown, &values) {
        return Some(format!("cell {cell} is hidden but known not to be {value}"));
    }
    for site in 0..views {
        let others: Vec<u64> = without(site).collect();
        // That the others have nothing in a cell may be known: then it is as good as shown.
        let nothing = (0..shown.len()).filter(|cell| others[*cell] == 0 && *zero_allowed);
        let known: Vec<usize> = nothing.filter(|cell| is_excluded(&tried.rules, &others, shown, *cell, 1)).collect();
        let seen: Vec<bool> = (0..shown.len()).map(|cell| shown[cell] || known.contains(&cell)).collect();
        if let Some((cell, value)) = excluded(&tried.rules, &others, &seen, &values) {
            return Some(format!("site {site} knows that the others have not {value} in cell {cell}"));
        }
    }
    None
}

/// Random tables of every kind: every promise holds; and enough is shown for the promise to mean something.
pub async fn nothing_small_follows_from_what_is_shown<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (kind, cells, tables) in kinds() {
        let (mut visible_cells, mut large) = (0, 0);
        for _ in 0..TABLES {
            let tried = draw(case, cells, &tables);
            let told = case.below(2) == 1;
            let bits = shown(e, case, &tried, &tried.rules, told).await?;
            // One party looks.
            if case.me == 0 {
                let fault = fault(&tried, &bits, told);
                assert!(fault.is_none(), "{kind}: {fault:?}; {:?} {:?} {bits:?}", tried.rules, tried.parts);
            }
            visible_cells += bits.iter().filter(|b| **b).count();
            large += tried.counts.iter().filter(|n| **n >= tried.rules.threshold).count();
        }
        if case.me == 0 {
            println!("{kind}: {visible_cells} cells shown, {large} are large");
        }
    }
    Ok(())
}

/// What random tables seldom show: a part hidden for a difference, where the total is that part alone, or is 0 and
/// shown.
pub async fn a_total_that_tells_its_hidden_part_is_hidden<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let sum = |total, parts: &[usize]| Table::Sum { total, parts: parts.to_vec() };
    let trials = [
        (vec![7, 7, 9], (0, 2), vec![sum(1, &[0])]),
        (vec![7, 7, 9, 16, 16], (0, 2), vec![sum(1, &[0]), sum(3, &[1, 2]), sum(4, &[3])]),
        (vec![0, 0, 0, 2], (0, 3), vec![sum(2, &[0, 1])]),
        (vec![0, 0, 0, 2, 30, 30], (0, 3), vec![sum(2, &[0, 1]), sum(5, &[2, 4])]),
    ];
    for (counts, difference, tables) in trials {
        let rules = Rules {
            threshold: 5,
            between: 0,
            zero_allowed: true,
            bound_bits: 8,
            differences: vec![difference],
            unseen: vec![],
            peopled: vec![],
            rests: vec![],
            tables,
        };
        let mut parts = vec![vec![0; counts.len()]; case.sites];
        parts[0] = counts.clone();
        let tried = Tried { rules, parts, counts };
        let bits = shown(e, case, &tried, &tried.rules, false).await?;
        let fault = fault(&tried, &bits, false);
        assert!(fault.is_none() && !bits[difference.0], "{fault:?}: {:?} {bits:?}", tried.rules);
    }
    Ok(())
}

/// COUNT(x) and COUNT(*) over the same groups bound each other: both hide the same groups, or what is shown of one tells
/// of the other. Also a column without a total, a filter, and hidden cells that are small together.
pub async fn what_lies_within_another_cell_does_not_tell_it<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let sum = |total, parts: &[usize]| Table::Sum { total, parts: parts.to_vec() };
    let two = |parts: usize| {
        let (first, second): (Vec<usize>, Vec<usize>) = ((0..parts).collect(), (parts + 1..=2 * parts).collect());
        let pairs: Vec<(usize, usize)> = (0..=parts).map(|at| (parts + 1 + at, at)).collect();
        (pairs, vec![sum(parts, &first), sum(2 * parts + 1, &second)])
    };
    let trials = [
        ("men and women on a drug", true, vec![3, 50, 53, 50], (vec![(3, 1)], vec![sum(2, &[0, 1])])),
        ("small together", true, vec![91, 4, 5, 100], (vec![], vec![sum(3, &[0, 1, 2])])),
        ("zeros", true, vec![38, 4, 18, 48, 108, 38, 4, 5, 0, 47], two(4)),
        ("caps", false, vec![38, 59, 38, 0, 135, 38, 23, 33, 0, 94], two(4)),
        ("caps with zeros", true, vec![50, 10, 60, 48, 5, 53], two(2)),
        ("a cap outside", true, vec![48, 5, 53, 50], (vec![(0, 3)], vec![sum(2, &[0, 1])])),
        ("no total", true, vec![30, 4, 60, 94, 15, 58], (vec![(4, 0), (5, 2)], vec![sum(3, &[0, 1, 2])])),
        ("crosswise", true, vec![30, 20, 4, 54, 20, 30, 4, 54], {
            (vec![(4, 0), (1, 5)], vec![sum(3, &[0, 1, 2]), sum(7, &[4, 5, 6])])
        }),
    ];
    for (name, zero_allowed, counts, (pairs, tables)) in trials {
        let rules = of_rules(10, zero_allowed, pairs, tables);
        let mut parts = vec![vec![0; counts.len()]; case.sites];
        parts[case.sites - 1] = counts.clone();
        let tried = Tried { rules, parts, counts };
        let bits = shown(e, case, &tried, &tried.rules, false).await?;
        let fault = fault(&tried, &bits, false);
        assert!(fault.is_none(), "{name}: {fault:?}: {:?} {bits:?}", tried.rules);
        let small_together = name == "small together";
        assert!(!small_together || bits == [false, false, false, true], "{bits:?}");
    }
    Ok(())
}

/// Random tables of a column within another, over the same groups, with and without all the pairs' totals, nested.
pub async fn nothing_small_follows_from_paired_tables<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let sum = |total, parts: &[usize]| Table::Sum { total, parts: parts.to_vec() };
    let nested = |at: usize| vec![sum(at + 2, &[at, at + 1]), sum(at + 4, &[at + 2, at + 3])];
    let (mut visible_cells, mut large) = (0, 0);
    for round in 0..2 * TABLES {
        let mut tried = draw(case, 10, &[nested(0), nested(5)].concat());
        for part in &mut tried.parts {
            for at in [0, 1, 3] {
                part[5 + at] = case.below(part[at] + 1).max(case.below(2) * part[at]);
            }
            (part[7], part[9]) = (part[5] + part[6], part[5] + part[6] + part[8]);
        }
        tried.counts = (0..10).map(|cell| tried.parts.iter().map(|p| p[cell]).sum()).collect();
        tried.rules.differences = (0..5).map(|at| (5 + at, at)).collect();
        // The rest of a sum need not be named.
        if round % 3 == 0 {
            tried.rules.differences.retain(|pair| pair.0 != 8);
        }
        if round % 4 == 0 {
            tried.rules.tables.truncate(3);
        }
        let told = case.below(2) == 1;
        let bits = shown(e, case, &tried, &tried.rules, told).await?;
        if case.me == 0 {
            let fault = fault(&tried, &bits, told);
            assert!(fault.is_none(), "{fault:?}; {:?} {:?} {bits:?}", tried.rules, tried.parts);
        }
        visible_cells += bits.iter().filter(|b| **b).count();
        large += tried.counts.iter().filter(|n| **n >= tried.rules.threshold).count();
    }
    if case.me == 0 {
        println!("paired: {visible_cells} cells shown, {large} are large");
    }
    Ok(())
}

/// Where zero is hidden, a site that receives the answer does not learn from a label that the others have nobody.
pub async fn a_label_does_not_tell_whether_others_have_somebody<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (zero_allowed, others) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
        let mut parts = vec![vec![0]; case.sites];
        (parts[0], parts[1]) = (vec![50], vec![others]);
        let tried = Tried { rules: of_rules(10, zero_allowed, vec![], vec![]), parts, counts: vec![50 + others] };
        let bits = shown(e, case, &tried, &tried.rules, true).await?;
        assert_eq!(bits, [zero_allowed && others == 0]);
    }
    Ok(())
}

/// The check is no formality: without complementary suppression it fails.
pub async fn primary_suppression_alone_is_caught<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let mut all = 0;
    for (kind, cells, tables) in kinds().into_iter().filter(|kind| !kind.2.is_empty()) {
        let mut caught = 0;
        for _ in 0..TABLES {
            let tried = draw(case, cells, &tables);
            let primary_only = Rules { tables: Vec::new(), ..tried.rules.clone() };
            let bits = shown(e, case, &tried, &primary_only, false).await?;
            caught += usize::from(case.me == 0 && fault(&tried, &bits, false).is_some());
        }
        // With many sites few of the random counts are small.
        assert!(case.me > 0 || case.sites > 3 || caught > 0, "{kind}: primary suppression alone was never caught");
        all += caught;
    }
    assert!(case.me > 0 || all > 0, "primary suppression alone was never caught");
    Ok(())
}

/// A table where nothing is small and nobody is told is shown whole.
pub async fn tables_of_large_counts_are_shown_whole<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (kind, cells, tables) in kinds() {
        let mut tried = draw(case, cells, &tables);
        tried.parts.iter_mut().for_each(|part| *part = vec![0; cells]);
        tried.parts[0] = part(case, cells, &tables, 3).iter().map(|n| n * 100).collect();
        tried.rules.differences.clear();
        tried.rules.zero_allowed = true;
        tried.rules.bound_bits = 20;
        let bits = shown(e, case, &tried, &tried.rules, false).await?;
        assert!(bits.iter().all(|bit| *bit), "{kind}: {:?}", tried.parts[0]);
    }
    Ok(())
}

/// Rules that contradict themselves are refused.
pub async fn impossible_rules_are_refused<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let sum = |total, parts: &[usize]| Table::Sum { total, parts: parts.to_vec() };
    let wrong = [
        vec![sum(9, &[0, 1])],
        vec![sum(2, &[])],
        vec![sum(2, &[0, 1]), sum(3, &[1])],
        vec![sum(0, &[1]), sum(1, &[0])],
        vec![Table::Cube { sizes: vec![1, 2], cells: (0..6).collect() }],
        vec![Table::Cube { sizes: vec![2], cells: vec![0, 1] }],
        vec![Table::Cube { sizes: vec![2], cells: vec![0, 1, 1] }],
    ];
    for tables in wrong {
        let rules = Rules {
            threshold: 3,
            between: 0,
            zero_allowed: false,
            bound_bits: 5,
            differences: vec![],
            unseen: vec![],
            peopled: vec![],
            rests: vec![],
            tables,
        };
        let counts = case.share_numbers(e, &[9; 6]);
        assert!(visible(e, &rules, &counts, &[]).await.is_err(), "{:?}", rules.tables);
    }
    Ok(())
}

/// Hidden cells' values become zero, the others stay.
pub async fn mask_hides_values<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    for (cells, per_cell) in [(0, 2), (1, 1), (70, 3)] {
        let (bits, values) = (case.column(cells, 1), case.column(cells * per_cell, 64));
        let (shown, shared) = (case.share_bits(e, &bits, 1), case.share_numbers(e, &values));
        let masked = mask(e, &shown, &shared, per_cell).await?;
        let want: Vec<u64> = (0..values.len()).map(|i| values[i] * bits[i / per_cell]).collect();
        assert_eq!(case.open_numbers(e, masked).await?, want);
    }
    Ok(())
}

/// Random cells are hidden for a reason of their own: every promise holds of them too, and hidden parts of a shown total hold
/// what is asked for, if they are not all of it.
pub async fn cells_hidden_for_other_reasons_do_not_follow_either<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let sums = |kind: &(_, _, Vec<Table>)| !kind.2.iter().any(|table| matches!(table, Table::Cube { .. }));
    for (kind, cells, tables) in kinds().into_iter().filter(sums) {
        let (mut hidden_cells, mut all) = (0, 0);
        for _ in 0..TABLES / 2 {
            let tried = draw(case, cells, &tables);
            let mut also: Vec<u64> = (0..cells).map(|_| u64::from(case.below(6) == 0)).collect();
            let pairs = &tried.rules.differences;
            pairs.iter().chain(pairs).for_each(|(a, b)| also[*b] |= also[*a]);
            let together = case.below(40);
            let nothing = vec![0; cells];
            let own: Vec<Z64> = tried.parts.get(case.me).unwrap_or(&nothing).iter().copied().map(Z64).collect();
            let counts = e.input(own);
            let reason = Also { bits: case.share_bits(e, &also, 1), of: (0..cells).map(Some).collect(), together };
            let bits = visible_but(e, &tried.rules, &reason, &counts, &[]).await?;
            let bits: Vec<bool> = case.open_bits(e, &bits).await?.into_iter().map(|bit| bit == 1).collect();
            if case.me == 0 {
                let fault = fault(&tried, &bits, false).or_else(|| told_together(&tried, &bits, together));
                assert!(fault.is_none(), "{kind}: {fault:?}; {:?} {:?} {also:?} {bits:?}", tried.rules, tried.parts);
                assert!((0..cells).all(|cell| also[cell] == 0 || !bits[cell]), "{kind}: {also:?} {bits:?}");
            }
            hidden_cells += bits.iter().filter(|bit| !**bit).count();
            all += cells;
        }
        println!("{kind}: {hidden_cells} of {all} cells hidden");
        assert!(hidden_cells < all, "{kind}: everything is hidden");
    }
    Ok(())
}

/// Hidden parts of a shown total that hold less than `together`, though more could have been hidden.
fn told_together(tried: &Tried, shown: &[bool], together: u64) -> Option<String> {
    let sums = tried.rules.tables.iter().filter_map(|table| match table {
        Table::Sum { total, parts } => Some((total, parts)),
        Table::Cube { .. } => None,
    });
    for (total, parts) in sums.filter(|(total, _)| shown[**total]) {
        let hidden: Vec<usize> = parts.iter().copied().filter(|part| !shown[*part]).collect();
        let held: u64 = hidden.iter().map(|part| tried.counts[*part]).sum();
        if !hidden.is_empty() && hidden.len() < parts.len() && held < together {
            return Some(format!("the hidden parts of {total} hold {held}"));
        }
    }
    None
}
