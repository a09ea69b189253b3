//! What the opened columns hold, element by element. All of it is public.

use std::cmp::Ordering;

use query_planner::JointPlan;
use query_planner::approximate::LEVELS;
use query_planner::cells::gates;
use query_planner::decode::Opened;
use query_planner::disclosure::DisclosureId;
use query_planner::plan::{Ring, SecureSum, Tie, Top};
use query_planner::value::Value;

/// A slot of one sum that is opened, and the cells that must be shown for it.
#[derive(Debug, Clone)]
pub(super) struct OpenedSlot {
    pub sum: usize,
    pub slot: usize,
    /// Slots of the sum; none where nothing is hidden.
    pub gate: Vec<usize>,
}

/// The slots of one ring that are opened, sum by sum.
pub(super) fn opened_slots(plan: &JointPlan, ring: Ring) -> Vec<OpenedSlot> {
    let of_sum = |(index, sum): (usize, &SecureSum)| {
        let gates = gates(sum).into_iter().zip(&sum.slots).enumerate();
        let chosen = gates.filter_map(|(slot, (gate, what))| {
            let gate = if plan.opens_needed() { gate? } else { Vec::new() };
            (what.ring == ring).then_some(OpenedSlot { sum: index, slot, gate })
        });
        chosen.collect::<Vec<_>>()
    };
    plan.sums.iter().enumerate().flat_map(of_sum).collect()
}

/// The groups in the order in which equal totals come.
pub(super) fn tie_order(top: &Top, groups: &[Vec<Value>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let earlier = |a: &usize, b: &usize| {
        let by = |tie: &Tie| compare(&groups[*a][tie.key], &groups[*b][tie.key], tie);
        top.ties.iter().map(by).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    };
    // A stable sort: what the ties leave open keeps the order of the groups.
    order.sort_by(earlier);
    order
}

fn compare(a: &Value, b: &Value, tie: &Tie) -> Ordering {
    let nulls = |first: bool| if first { Ordering::Less } else { Ordering::Greater };
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => nulls(tie.nulls_first),
        (_, Value::Null) => nulls(!tie.nulls_first),
        (Value::Real(a), Value::Real(b)) => turned(f64::from_bits(*a).total_cmp(&f64::from_bits(*b)), tie),
        (a, b) => turned(a.cmp(b), tie),
    }
}

fn turned(order: Ordering, tie: &Tie) -> Ordering {
    if tie.descending { order.reverse() } else { order }
}

/// Reads opened columns: first every slot by group, then every position, then every level of every sketch.
pub(super) struct Reader<'p> {
    pub plan: &'p JointPlan,
    pub groups: &'p [Vec<Vec<Value>>],
    pub narrow: std::vec::IntoIter<u64>,
    pub wide: std::vec::IntoIter<i128>,
}

impl Reader<'_> {
    /// What each sum revealed.
    pub fn read(mut self) -> Vec<Opened> {
        let plan = self.plan;
        let top = plan.sums.iter().find_map(|sum| sum.top.as_ref().map(|top| (sum, top)));
        let groups: Vec<Vec<Vec<Value>>> = match top {
            Some((_, top)) => vec![self.chosen(top)],
            None => self.groups.to_vec(),
        };
        let empty = |(sum, groups): (&SecureSum, &Vec<Vec<Value>>)| Opened {
            groups: groups.clone(),
            totals: vec![vec![None; groups.len()]; sum.slots.len()],
            points: sum.orders.iter().map(|order| vec![vec![0; groups.len()]; order.points.len()]).collect(),
            levels: vec![vec![vec![0; LEVELS as usize]; groups.len()]; sum.sketches.len()],
        };
        let mut opened: Vec<Opened> = plan.sums.iter().zip(&groups).map(empty).collect();
        for OpenedSlot { sum, slot, .. } in opened_slots(plan, Ring::Z64) {
            for group in 0..groups[sum].len() {
                let value = i128::from(self.number() as i64);
                opened[sum].totals[slot][group] = shown(&plan.sums[sum], slot, value);
            }
        }
        for OpenedSlot { sum, slot, .. } in opened_slots(plan, Ring::Z128) {
            for group in 0..groups[sum].len() {
                opened[sum].totals[slot][group] = self.wide.next();
            }
        }
        for (index, sum) in plan.sums.iter().enumerate() {
            for (order, point) in points(sum) {
                for group in 0..groups[index].len() {
                    opened[index].points[order][point][group] = self.number().into();
                }
            }
        }
        for (index, sum) in plan.sums.iter().enumerate() {
            for (sketch, level) in levels_of(sum) {
                for group in 0..groups[index].len() {
                    opened[index].levels[sketch][group][level] = self.number();
                }
            }
        }
        opened
    }

    fn number(&mut self) -> u64 {
        self.narrow.next().unwrap_or_default()
    }

    /// The groups that come first, by their positions.
    fn chosen(&mut self, top: &Top) -> Vec<Vec<Value>> {
        let all = &self.groups[0];
        let order = tie_order(top, all);
        let limit = limit(top, all.len());
        let positions = (0..limit).map(|_| self.number() as usize).collect::<Vec<_>>();
        positions.into_iter().filter_map(|at| order.get(at).map(|group| all[*group].clone())).collect()
    }
}

/// The disclosures that the narrow column holds, in its order, and how many elements of each.
pub(super) fn narrow_parts(plan: &JointPlan, groups: &[usize]) -> Vec<(String, usize)> {
    let mut parts = Vec::new();
    for (index, sum) in plan.sums.iter().enumerate() {
        let top = sum.top.as_ref().map(|top| (DisclosureId::top(index), limit(top, groups[index])));
        parts.extend(top);
    }
    parts.extend(slot_parts(plan, groups, Ring::Z64));
    for (index, sum) in plan.sums.iter().enumerate() {
        let rows = rows_of(sum, groups[index]);
        parts.extend(points(sum).map(|(order, point)| (DisclosureId::point(index, order, point), rows)));
    }
    for (index, sum) in plan.sums.iter().enumerate() {
        let rows = rows_of(sum, groups[index]) * LEVELS as usize;
        parts.extend((0..sum.sketches.len()).map(|sketch| (DisclosureId::sketch(index, sketch), rows)));
    }
    parts.into_iter().map(|(id, elements)| (id.to_string(), elements)).collect()
}

/// The same for the wide column.
pub(super) fn wide_parts(plan: &JointPlan, groups: &[usize]) -> Vec<(String, usize)> {
    slot_parts(plan, groups, Ring::Z128).into_iter().map(|(id, elements)| (id.to_string(), elements)).collect()
}

fn slot_parts(plan: &JointPlan, groups: &[usize], ring: Ring) -> Vec<(DisclosureId, usize)> {
    let part = |OpenedSlot { sum, slot, .. }| {
        let whole: &SecureSum = &plan.sums[sum];
        // A choice of the first groups carries only narrow columns along.
        let rows = if ring == Ring::Z64 { rows_of(whole, groups[sum]) } else { groups[sum] };
        (DisclosureId::slot(sum, slot), rows)
    };
    opened_slots(plan, ring).into_iter().map(part).collect()
}

/// How many groups of a sum are opened.
fn rows_of(sum: &SecureSum, groups: usize) -> usize {
    sum.top.as_ref().map_or(groups, |top| limit(top, groups))
}

/// How many groups a top leaves.
pub(super) fn limit(top: &Top, groups: usize) -> usize {
    usize::try_from(top.limit).map_or(groups, |limit| limit.min(groups))
}

/// All positions of a sum: order and point.
pub(super) fn points(sum: &SecureSum) -> impl Iterator<Item = (usize, usize)> {
    sum.orders.iter().enumerate().flat_map(|(order, what)| (0..what.points.len()).map(move |point| (order, point)))
}

/// All levels of a sum's sketches: sketch and level.
pub(super) fn levels_of(sum: &SecureSum) -> impl Iterator<Item = (usize, usize)> {
    (0..sum.sketches.len()).flat_map(|sketch| (0..LEVELS as usize).map(move |level| (sketch, level)))
}

/// Cells are opened plus one, so that 0 says hidden.
fn shown(sum: &SecureSum, slot: usize, value: i128) -> Option<i128> {
    if sum.cells.contains(&slot) { (value != 0).then_some(value - 1) } else { Some(value) }
}
