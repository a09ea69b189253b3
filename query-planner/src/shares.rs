//! Answers that say something about every patient of a group: all of it, or none of it, has what was counted.

use crate::cells::is_alike;
use crate::decode::Opened;
use crate::disclose::{slot_words, to_words};
use crate::plan::{Disclosure, JointPlan, Output, SecureSum, Summand};

/// A line for each count that is shown beside its group's number of rows and equals it, or is 0. Nothing where the
/// policy does not ask for it.
pub fn extreme_shares(plan: &JointPlan, opened: &[Opened]) -> Vec<Disclosure> {
    if !plan.flag_extreme_shares {
        return Vec::new();
    }
    let lines = plan.sums.iter().zip(opened).flat_map(|(sum, opened)| of_sum(sum, opened));
    lines.map(|what| Disclosure { what, to: to_words(plan.audience).into() }).collect()
}

fn of_sum(sum: &SecureSum, opened: &Opened) -> Vec<String> {
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
    let whom = if matches!(sum.slots[0].what, Summand::Patients(_)) { "patients" } else { "rows" };
    let mut lines = Vec::new();
    for group in 0..opened.groups.len() {
        let Some(rows) = opened.totals[0][group].filter(|rows| *rows > 0) else { continue };
        for slot in slots.iter().filter(|slot| **slot != 0) {
            let share = match opened.totals[*slot][group] {
                Some(count) if count == rows => "all",
                Some(0) => "none",
                _ => continue,
            };
            let (what, place) = (slot_words(&sum.slots[*slot], sum), place(sum, &opened.groups[group]));
            lines
                .push(format!("{share} of the {whom}{place} count for {what}: the answer holds for every one of them"));
        }
    }
    lines
}

fn place(sum: &SecureSum, group: &[crate::value::Value]) -> String {
    let keys: Vec<String> =
        sum.keys.iter().zip(group).map(|(key, value)| format!("{} = {value}", key.expression)).collect();
    if keys.is_empty() { String::new() } else { format!(" where {}", keys.join(", ")) }
}
