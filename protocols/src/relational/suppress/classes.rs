//! Classes of groups that are judged together: k-anonymity and distinct l-diversity of a table of counts.
//!
//! # Source
//! Sweeney, IJUFKS 10(5), 2002 (k-anonymity); Machanavajjhala, Gehrke, Kifer and Venkitasubramaniam, TKDD 1(1), 2007, section 4
//! (l-diversity; distinct values, each sensitive key by itself).
//!
//! # Deviations
//! The papers generalise rows until every class will do. Here the cells of a class that does not are hidden.

use mpc_core::{Result, Z64};

use super::super::shape;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// Groups that agree in everything an outsider may know. Groups are numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// At least one.
    pub groups: Vec<usize>,
    /// For each sensitive key and each of its values, in which of these groups.
    pub values: Vec<Vec<Vec<usize>>>,
    /// Is everybody in one group only? Then the class holds the sum of them. If not, it holds at least the largest.
    pub apart: bool,
}

/// What a class must be to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// k: it holds at least so many.
    pub least: u64,
    /// l: of each sensitive key at least so many values have somebody.
    pub diverse: u64,
    /// Is a class that holds nobody fine?
    pub zero_allowed: bool,
    /// Every group holds less than 2^`bound_bits`.
    pub bound_bits: usize,
}

/// One bit for each class: is it to be hidden? `views` are the same groups' counts as seen by the analyst, and by each site that
/// receives the answer without its own part: a class must do in all of them.
///
/// g groups, c classes, v views: one `is_zero` and at most one `negative` of v·g, an OR tree over the groups of each value, one `b2a`
/// of a bit for each value, a `negative` of c·v for the sums and one of the sensitive keys, two OR trees and two ANDs. Nothing is
/// opened.
///
/// # Errors
/// As the engine's operations.
pub async fn unfit<E: Engine>(
    e: &mut E,
    demand: Demand,
    classes: &[Class],
    views: &[&ArithShare<Z64>],
) -> Result<BitShare> {
    let groups = views.first().map_or(0, |view| view.len());
    let counts = ArithShare::concat(views);
    let moved = |view: usize, list: &[usize]| list.iter().map(|group| view * groups + group).collect::<Vec<_>>();
    let seen = |view: usize, class: &Class| Class {
        groups: moved(view, &class.groups),
        values: class.values.iter().map(|key| key.iter().map(|value| moved(view, value)).collect()).collect(),
        apart: class.apart,
    };
    let all: Vec<Class> =
        (0..views.len()).flat_map(|view| classes.iter().map(move |class| seen(view, class))).collect();
    let zero = e.is_zero(&counts, demand.bound_bits + 1).await?;
    let present = e.not(&zero);
    let small = small(e, demand, &all, &counts).await?;
    let uniform = uniform(e, demand, &all, &present).await?;
    let mut unfit = shape::or(e, &small, &uniform).await?;
    if demand.zero_allowed {
        let members: Vec<Vec<usize>> = all.iter().map(|class| class.groups.clone()).collect();
        let somebody = shape::any_of(e, &present, &members).await?;
        unfit = e.and(&unfit, &somebody).await?;
    }
    let of_class = |class: usize| (0..views.len()).map(|view| view * classes.len() + class).collect();
    shape::any_of(e, &unfit, &(0..classes.len()).map(of_class).collect::<Vec<Vec<usize>>>()).await
}

/// One bit for each class: are there fewer than k in it?
async fn small<E: Engine>(e: &mut E, demand: Demand, classes: &[Class], counts: &ArithShare<Z64>) -> Result<BitShare> {
    // Of a class that is not apart each group is compared by itself.
    let (mut sums, mut lists) = (Vec::new(), Vec::new());
    for class in classes {
        let members = counts.gather(&class.groups);
        let compared = if class.apart { shape::total(&members) } else { members };
        let first = lists.last().and_then(|list: &Vec<usize>| list.last()).map_or(0, |last| last + 1);
        lists.push((first..first + compared.len()).collect());
        sums.push(compared);
    }
    let sums = ArithShare::concat(&sums.iter().collect::<Vec<_>>());
    let most = classes.iter().map(|class| class.groups.len()).max().unwrap_or(0);
    let bits = (demand.bound_bits + bits_of(most as u64)).max(bits_of(demand.least)) + 1;
    let less = e.less_than_public(&sums, &vec![Z64(demand.least); sums.len()], bits).await?;
    let enough = e.not(&less);
    let enough = shape::any_of(e, &enough, &lists).await?;
    Ok(e.not(&enough))
}

/// One bit for each class: has some sensitive key fewer than l values in it?
async fn uniform<E: Engine>(e: &mut E, demand: Demand, classes: &[Class], present: &BitShare) -> Result<BitShare> {
    let keys = || classes.iter().flat_map(|class| &class.values);
    if demand.diverse <= 1 || keys().next().is_none() {
        return Ok(BitShare::zeros(classes.len(), 1));
    }
    let values: Vec<Vec<usize>> = keys().flatten().cloned().collect();
    let found = shape::any_of(e, present, &values).await?;
    let found = shape::numbers(e, &found).await?;
    let mut sums = Vec::new();
    let mut at = 0;
    for key in keys() {
        sums.push(shape::total(&found.slice(at..at + key.len())));
        at += key.len();
    }
    let sums = ArithShare::concat(&sums.iter().collect::<Vec<_>>());
    let most = keys().map(Vec::len).max().unwrap_or(0);
    let bits = bits_of(most as u64).max(bits_of(demand.diverse)) + 1;
    let few = e.less_than_public(&sums, &vec![Z64(demand.diverse); sums.len()], bits).await?;
    let mut next = 0..;
    let lists = classes.iter().map(|class| next.by_ref().take(class.values.len()).collect());
    let lists: Vec<Vec<usize>> = lists.collect();
    shape::any_of(e, &few, &lists).await
}

fn bits_of(x: u64) -> usize {
    64 - x.leading_zeros() as usize
}
