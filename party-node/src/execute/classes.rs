//! Which classes of groups are to be hidden, in the plan's words.

use mpc_core::{Result, Z64};
use protocols::relational::suppress::Also;
use protocols::relational::suppress::classes::{self, Demand};
use protocols::{ArithShare, Engine};
use query_planner::released_tables::Class;

use super::program::Public;

/// What hides all cells of a class that is not k-anonymous or not l-diverse. `counts`: for each sum and group how many are in it;
/// `without`, for each site that receives the answer, the same without its part.
///
/// # Errors
/// As [`classes::unfit`].
pub async fn also<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    counts: &ArithShare<Z64>,
    without: &[ArithShare<Z64>],
) -> Result<Also> {
    let (plan, asked) = (public.plan, &public.plan.released_tables);
    let views: Vec<&ArithShare<Z64>> = std::iter::once(counts).chain(without).collect();
    let bits = plan.sums.iter().map(|sum| sum.slots[sum.members()].partial_bits).max().unwrap_or(0);
    let demand = Demand {
        least: asked.k_anonymous.into(),
        diverse: asked.l_diverse.into(),
        zero_allowed: plan.zero_allowed,
        bound_bits: (bits + public.site_bits()) as usize,
    };
    let placed: Vec<classes::Class> = public.classes.iter().map(|class| placed(public, class)).collect();
    let bits = classes::unfit(e, demand, &placed, &views).await?;
    Ok(Also { bits, of: hiding(public), together: asked.k_anonymous.into() })
}

/// The class with its groups numbered over all sums.
fn placed(public: &Public<'_>, class: &Class) -> classes::Class {
    let first: usize = public.groups[..class.sum].iter().map(Vec::len).sum();
    let at = |groups: &Vec<usize>| groups.iter().map(|group| first + group).collect::<Vec<_>>();
    classes::Class {
        groups: at(&class.groups),
        values: class.values.iter().map(|key| key.iter().map(at).collect()).collect(),
        apart: class.apart,
    }
}

/// For each cell the class of its group; none for sums without group keys.
fn hiding(public: &Public<'_>) -> Vec<Option<usize>> {
    let mut class_of: Vec<Vec<Option<usize>>> = public.groups.iter().map(|groups| vec![None; groups.len()]).collect();
    for (at, class) in public.classes.iter().enumerate() {
        class.groups.iter().for_each(|group| class_of[class.sum][*group] = Some(at));
    }
    public.table.cells.iter().map(|cell| class_of[cell.sum][cell.group]).collect()
}
