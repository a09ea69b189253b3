//! Classes of groups: k-anonymous and l-diverse or not, against plain counting.

use mpc_core::{Result, Z64};
use protocols::relational::suppress::classes::{Class, Demand, unfit};
use protocols::relational::suppress::without_each;
use protocols::{ArithShare, Engine};

use super::Case;

const TABLES: usize = 25;

/// A table of classes with one or two sensitive keys, and every site's part of its groups.
struct Tried {
    demand: Demand,
    classes: Vec<Class>,
    parts: Vec<Vec<u64>>,
}

/// A random table. Its groups are numbered class by class, and a few belong to no class.
fn draw(case: &mut Case) -> Tried {
    let mut classes = Vec::new();
    let mut groups = case.below(3) as usize;
    for _ in 0..1 + case.below(5) {
        let members: Vec<usize> = (groups..groups + 1 + case.below(5) as usize).collect();
        groups += members.len();
        let key = |case: &mut Case| {
            let mut values = vec![Vec::new(); 1 + case.below(4) as usize];
            for group in &members {
                // The one behind the last value is NULL.
                let value = case.below(values.len() as u64 + 1) as usize;
                values.get_mut(value).into_iter().for_each(|of| of.push(*group));
            }
            values
        };
        let values = (0..case.below(3)).map(|_| key(case)).collect();
        classes.push(Class { values, apart: case.below(2) == 1, groups: members });
    }
    groups += case.below(3) as usize;
    let most = 1 + case.below(8);
    let part = |case: &mut Case| (0..groups).map(|_| if case.below(2) == 1 { 0 } else { case.below(most) }).collect();
    let parts = (0..case.sites).map(|_| part(case)).collect();
    let demand = Demand {
        least: 1 + case.below(12),
        diverse: 1 + case.below(3),
        zero_allowed: case.below(2) == 1,
        bound_bits: 7,
    };
    Tried { demand, classes, parts }
}

/// The same by counting.
fn is_unfit(demand: &Demand, class: &Class, counts: &[u64]) -> bool {
    let members: Vec<u64> = class.groups.iter().map(|group| counts[*group]).collect();
    if demand.zero_allowed && members.iter().all(|count| *count == 0) {
        return false;
    }
    let holds: u64 = if class.apart { members.iter().sum() } else { members.iter().copied().max().unwrap_or(0) };
    let present = |value: &&Vec<usize>| value.iter().any(|group| counts[*group] > 0);
    let uniform = |key: &Vec<Vec<usize>>| (key.iter().filter(present).count() as u64) < demand.diverse;
    holds < demand.least || demand.diverse > 1 && class.values.iter().any(uniform)
}

/// Random tables: a class is hidden exactly where counting says so, in the sum of all sites or in that of all but one who is told.
pub async fn classes_are_judged_as_counting_does<E: Engine>(e: &mut E, case: &mut Case) -> Result<()> {
    let (mut hidden, mut all) = (0, 0);
    for _ in 0..TABLES {
        let tried = draw(case);
        let told = case.below(2) == 1;
        let groups = tried.parts[0].len();
        let nothing = vec![0; groups];
        let own: Vec<Z64> = tried.parts.get(case.me).unwrap_or(&nothing).iter().copied().map(Z64).collect();
        let counts = e.input(own.clone());
        let without = if told { without_each(e, &own, case.me, case.sites) } else { Vec::new() };
        let views: Vec<&ArithShare<Z64>> = std::iter::once(&counts).chain(&without).collect();
        let bits = unfit(e, tried.demand, &tried.classes, &views).await?;
        let bits = case.open_bits(e, &bits).await?;
        let sum = |but: Option<usize>| -> Vec<u64> {
            let parts = || tried.parts.iter().enumerate().filter(|(site, _)| Some(*site) != but);
            (0..groups).map(|group| parts().map(|(_, part)| part[group]).sum()).collect()
        };
        let seen: Vec<Vec<u64>> =
            std::iter::once(None).chain((0..case.sites).filter(|_| told).map(Some)).map(sum).collect();
        let want = |class| u64::from(seen.iter().any(|counts| is_unfit(&tried.demand, class, counts)));
        let want: Vec<u64> = tried.classes.iter().map(want).collect();
        assert_eq!(bits, want, "{:?} {:?} {:?} told {told}", tried.demand, tried.classes, tried.parts);
        hidden += want.iter().filter(|bit| **bit == 1).count();
        all += want.len();
    }
    assert!(hidden > 0 && hidden < all, "{hidden} of {all}: the test says nothing");
    Ok(())
}
