//! Which classes of groups, and which other figures, are to be hidden where policy asks for anonymous tables, in the plan's words.

use mpc_core::{Result, Z64};
use protocols::relational::suppress::Also;
use protocols::relational::suppress::classes::{self, Demand};
use protocols::{ArithShare, BitShare, Engine};
use query_planner::JointPlan;
use query_planner::plan::SecureSum;
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

/// The cells that a class does not speak for, with the slots of their patients: of a sum without group keys all, of others those that are of a part
/// of a group.
pub fn alone(plan: &JointPlan, sum: &SecureSum) -> Vec<(usize, usize)> {
    if plan.released_tables.k_anonymous <= plan.min_patients {
        return Vec::new();
    }
    let patients = |at: usize, cell: usize| sum.patients.get(at).copied().unwrap_or(cell);
    let cells = sum.cells.iter().enumerate().map(|(at, cell)| (*cell, patients(at, *cell)));
    cells.filter(|(_, patients)| sum.keys.is_empty() || *patients != sum.members()).collect()
}

/// Hides such cells of fewer than k patients, too. `counts`: their patients, sum by sum, cell by cell and group by group; `without`, for each
/// site that receives the answer, the same without its own. One comparison, `is_zero` and OR each; an OR more of those in a class.
///
/// # Errors
/// The engine's own.
pub async fn and_alone<E: Engine>(
    e: &mut E,
    public: &Public<'_>,
    also: Option<Also>,
    (counts, without): (&ArithShare<Z64>, &[ArithShare<Z64>]),
) -> Result<Option<Also>> {
    let plan = public.plan;
    let mut about = Vec::with_capacity(counts.len());
    for (index, sum) in plan.sums.iter().enumerate() {
        for (cell, _) in alone(plan, sum) {
            about.extend((0..public.groups[index].len()).filter_map(|group| public.cell(index, cell, group)));
        }
    }
    if about.is_empty() {
        return Ok(also);
    }
    let least = plan.released_tables.k_anonymous;
    let mut enough = enough(e, public, counts, least).await?;
    for view in without {
        let others = self::enough(e, public, view, least).await?;
        enough = e.and(&enough, &others).await?;
    }
    let mut of: Vec<Option<usize>> = vec![None; public.table.cells.len()];
    let mut classed = BitShare::zeros(about.len(), 1);
    let mut bits = Vec::new();
    if let Some(also) = also {
        // A class's bit, or no reason to hide.
        let class = |cell: &usize| also.of[*cell].unwrap_or(also.bits.rows());
        let with_none = BitShare::beneath(&[&also.bits, &BitShare::zeros(1, 1)]);
        classed = with_none.gather(&about.iter().map(class).collect::<Vec<_>>());
        of = also.of;
        bits.push(also.bits);
    }
    let fine = e.not(&classed);
    let fine = e.and(&fine, &enough).await?;
    let first: usize = bits.iter().map(BitShare::rows).sum();
    about.iter().enumerate().for_each(|(at, cell)| of[*cell] = Some(first + at));
    bits.push(e.not(&fine));
    let bits = BitShare::beneath(&bits.iter().collect::<Vec<_>>());
    Ok(Some(Also { bits, of, together: least.into() }))
}

/// One bit for each count: is it large enough, or 0 where that may be shown?
async fn enough<E: Engine>(e: &mut E, public: &Public<'_>, counts: &ArithShare<Z64>, least: u32) -> Result<BitShare> {
    let plan = public.plan;
    let slots =
        plan.sums.iter().flat_map(|sum| alone(plan, sum).into_iter().map(|(_, slot)| sum.slots[slot].partial_bits));
    let bits = (slots.max().unwrap_or(0) + public.site_bits()).max(u32::BITS - least.leading_zeros()) as usize + 1;
    let few = e.less_than_public(counts, &vec![Z64(least.into()); counts.len()], bits).await?;
    let enough = e.not(&few);
    if !plan.zero_allowed {
        return Ok(enough);
    }
    // A zero is few: no number is both.
    let zero = e.is_zero(counts, bits).await?;
    Ok(enough.xor(&zero))
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
