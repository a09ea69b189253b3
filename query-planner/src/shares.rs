//! Answers that say something about every patient of a group: all of it, or none of it, has what was counted.

use crate::cells::is_alike;
use crate::decode::Opened;
use crate::disclosure::{Disclosure, DisclosureId, Figure, Kind, Revealed, Why};
use crate::plan::{JointPlan, Output, SecureSum, Summand};

/// A disclosure for each count that is shown beside its group's number of rows and equals it, or is 0. Nothing where the
/// policy does not ask for it.
pub fn extreme_shares(plan: &JointPlan, opened: &[Opened]) -> Vec<Disclosure> {
    if !plan.flag_extreme_shares {
        return Vec::new();
    }
    let sums = plan.sums.iter().zip(opened).enumerate();
    let found = sums.flat_map(|(index, (sum, opened))| of_sum(index, sum, opened));
    let to = plan.audience.into();
    found.map(|(id, what)| Disclosure { id, kind: Kind::Bit, what, to, why: Why::Warning }).collect()
}

fn of_sum(index: usize, sum: &SecureSum, opened: &Opened) -> Vec<(DisclosureId, Revealed)> {
    let counted = |output: &Output| match output {
        Output::Count(slot) => Some(*slot),
        // A sum that is a cell adds ones.
        Output::Sum { sum: slot, .. } | Output::Avg { sum: slot, .. } if sum.cells.contains(slot) => Some(*slot),
        _ => None,
    };
    let mut slots: Vec<usize> = sum.outputs.iter().filter_map(counted).collect();
    slots.sort_unstable();
    slots.dedup();
    slots.retain(|slot| is_alike(&sum.slots[*slot], &sum.slots[0], sum));
    let patients = matches!(sum.slots[0].what, Summand::Patients(_));
    let mut lines = Vec::new();
    for group in 0..opened.groups.len() {
        let Some(rows) = opened.totals[0][group].filter(|rows| *rows > 0) else { continue };
        for slot in slots.iter().filter(|slot| **slot != 0) {
            let all = match opened.totals[*slot][group] {
                Some(count) if count == rows => true,
                Some(0) => false,
                _ => continue,
            };
            let figure = Figure::of(&sum.slots[*slot], sum);
            let what = Revealed::Share { all, patients, group: named(sum, &opened.groups[group]), figure };
            lines.push((DisclosureId::share(index, *slot, group), what));
        }
    }
    lines
}

fn named(sum: &SecureSum, group: &[crate::value::Value]) -> Vec<(String, String)> {
    sum.keys.iter().zip(group).map(|(key, value)| (key.expression.clone(), value.to_string())).collect()
}
