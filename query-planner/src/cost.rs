//! What a plan costs before it runs: rounds and bytes from public sizes only. The formulas are those of the protocols;
//! a test of the node holds them against the protocols' own and against what sessions count.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::approximate::{LEVELS, MAX_SKETCHES, REGISTERS};
use crate::bounds::site_bits;
use crate::cells::gates;
use crate::matched::{Matching, Node, What};
use crate::plan::{Audience, Groups, JointPlan, Key, Order, Path, Ring, SecureSum};

/// Rounds and bytes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Longest chain of dependent messages.
    pub rounds: u32,
    /// Sent by one site; exact but for agreed keys, which are counted at their bound.
    pub bytes_per_site: u64,
    /// Sent by all sites and the analyst.
    pub bytes_total: u64,
}

/// The cost of a plan. Agreed groups are counted at their bound.
pub fn cost(plan: &JointPlan) -> Cost {
    if let Some(intersection) = &plan.intersection {
        return intersection.cost(plan.sites.len() as u64);
    }
    let sites = plan.sites.len() as u64;
    let mut total = Cost { rounds: 0, bytes_per_site: 0, bytes_total: 0 };
    let mut analyst = 0;
    for sum in &plan.sums {
        if let Groups::Agreed { max_groups, max_key_bytes, threshold } = sum.groups
            && (threshold == 0 || sum.contributors.len() == 1)
        {
            let sketch = sketch_elements(sum.contributors.len(), max_groups, max_key_bytes);
            total.bytes_per_site += opening(sites, Audience::Analyst, sketch, 8);
            // The sites compare the lists they got.
            total.bytes_per_site += (sites - 1) * message(HASH_BYTES);
            total.rounds += opening_rounds(sites) + LIST_ROUNDS;
            let (groups, key_bytes) = (u64::from(max_groups), u64::from(max_key_bytes));
            analyst += sites * (message(4) + message(4 * groups) + message(groups * key_bytes));
        }
    }
    let elements = |ring| plan.sums.iter().map(|sum| vector(plan, sum, ring)).sum::<u64>();
    total.bytes_per_site += opening(sites, plan.audience, elements(Ring::Z64), 8);
    if elements(Ring::Z128) > 0 {
        total.bytes_per_site += opening(sites, plan.audience, elements(Ring::Z128), 16);
    }
    total.rounds += opening_rounds(sites);
    total.bytes_total = sites.saturating_mul(total.bytes_per_site).saturating_add(analyst);
    total
}

/// Work on shared values whose cost the protocols know. All numbers are public bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Keys that enough rows have together, of one sum.
    FrequentKeys {
        /// Position in `sums`.
        sum: usize,
    },
    /// Choosing the cells that may be shown.
    Visible {
        /// Numbers of rows, and of patients where these are counted beside.
        cells: u64,
        /// Bits of each.
        bits: u32,
        /// Pairs whose difference is compared, by rows and by patients.
        differences: u64,
        /// Equations that bind them.
        equations: u64,
    },
    /// Judging all groups that agree in keys that are not sensitive.
    Classes {
        /// Classes, at most.
        classes: u64,
        /// Their groups together.
        groups: u64,
        /// Bits of a group's number.
        bits: u32,
    },
    /// Multiplying what is opened by what may be shown.
    Mask {
        /// Elements of 64 bits.
        narrow: u64,
        /// Elements of 128 bits.
        wide: u64,
    },
    /// Positions found in counts of each value.
    Histogram {
        /// Groups.
        groups: u64,
        /// Values.
        cells: u64,
        /// Positions in each group.
        points: u64,
        /// Bits of a group's rows.
        bits: u32,
    },
    /// Positions found by sorting.
    Sort {
        /// Rows of all sites, padding included.
        rows: u64,
        /// Bits of a key, the group's number included.
        bits: u32,
        /// Groups.
        groups: u64,
        /// Positions in each group.
        points: u64,
    },
    /// Uniting the sites' sketches.
    Sketch {
        /// Sites with rows.
        sites: u64,
        /// Sketches, over all groups.
        sketches: u64,
    },
    /// Matching the patients of several sites.
    Matching {
        /// Sites with patients.
        sites: u64,
        /// Patients of each, padding included.
        patients: u64,
        /// Bits and numbers that a site enters for each of its patients, for all groups.
        values: u64,
        /// Operations on shares for each patient, those for each group counted for each.
        operations: u64,
    },
    /// The groups with the largest totals.
    TopK {
        /// Groups.
        groups: u64,
        /// Bits of a total, its sign included.
        bits: u32,
        /// How many are wanted.
        limit: u64,
    },
}

/// What a plan does with shared values beyond adding and opening; nothing for plans of sums alone.
pub fn work(plan: &JointPlan) -> Vec<Work> {
    let sites = site_bits(plan.sites.len());
    let mut out = Vec::new();
    for (index, sum) in plan.sums.iter().enumerate() {
        out.extend(sum.matching.as_ref().map(|matching| matching_work(sum, matching)));
        if matches!(sum.groups, Groups::Agreed { threshold: 1.., .. }) && sum.contributors.len() > 1 {
            out.push(Work::FrequentKeys { sum: index });
        }
        out.extend(sum.orders.iter().filter_map(|order| order_work(sum, order, sites)));
        if !sum.sketches.is_empty() {
            // No run unites more, however many keys may be agreed.
            let sketches = (sum.sketches.len() as u64).saturating_mul(max_groups(sum)).min(MAX_SKETCHES as u64);
            out.push(Work::Sketch { sites: sum.contributors.len() as u64, sketches });
        }
    }
    out.extend(visible_work(plan, sites));
    for sum in &plan.sums {
        if let Some(top) = &sum.top {
            let bits = sum.slots[top.slot].partial_bits + sites + 1;
            out.push(Work::TopK { groups: max_groups(sum), bits, limit: top.limit });
        }
    }
    out
}

fn matching_work(sum: &SecureSum, matching: &Matching) -> Work {
    let (wide, tuples) = (matching.is_wide(), row_tuples(sum, matching));
    let times = |wide: bool| if wide { tuples } else { 1 };
    let values = matching.features.iter().map(|feature| match feature.what {
        What::Events { bound, .. } => u64::from(bound) * times(!feature.keys.is_empty()),
        _ => times(!feature.keys.is_empty()),
    });
    let computed = |node: &Node| !matches!(node, Node::Feature(_) | Node::Constant(_));
    let operations = matching.nodes.iter().zip(&wide).filter(|(step, _)| computed(&step.node));
    Work::Matching {
        sites: matching.sites.len() as u64,
        patients: matching.max_patients,
        values: values.fold(0u64, u64::saturating_add),
        operations: operations.map(|(_, wide)| times(*wide)).fold(0u64, u64::saturating_add),
    }
}

/// Most tuples of the keys that are columns.
fn row_tuples(sum: &SecureSum, matching: &Matching) -> u64 {
    match &sum.groups {
        Groups::Agreed { max_groups, .. } => u64::from(*max_groups),
        _ => {
            let sizes =
                matching.row_keys.iter().map(|key| sum.keys[*key].domain.as_ref().map_or(1, |d| d.len() as u64));
            sizes.fold(1u64, u64::saturating_mul)
        }
    }
}

fn visible_work(plan: &JointPlan, sites: u32) -> Vec<Work> {
    if !plan.hides() {
        return Vec::new();
    }
    let sums = || plan.sums.iter().map(|sum| (sum, max_groups(sum)));
    let pairs = |sum: &SecureSum| (sum.cells.len() * (sum.cells.len() - 1) + sum.between.len()) as u64;
    let counted = |sum: &SecureSum| {
        let patients = sum.cells.iter().zip(&sum.patients).filter(|(cell, patients)| cell != patients);
        (sum.cells.len() + patients.count()) as u64
    };
    let bits = sums().flat_map(|(sum, _)| sum.cells.iter().map(|slot| sum.slots[*slot].partial_bits + sites)).max();
    let margins = plan.margins.iter().map(|m| m.slots.len() as u64 * max_groups(&plan.sums[m.total]));
    let sets = |sum: &SecureSum| sum.disjoint.iter().filter(|set| set.parts).count() as u64;
    let opened = |ring| {
        let slots = |sum| gates(sum).iter().zip(&sum.slots).filter(|(g, s)| g.is_some() && s.ring == ring).count();
        sums().map(|(sum, groups)| slots(sum) as u64 * groups).sum::<u64>()
    };
    let judged = || sums().filter(|(sum, _)| plan.released_tables.asks() && !sum.keys.is_empty());
    let classes = Work::Classes {
        classes: judged().map(|(sum, groups)| (groups / sensitive_tuples(sum)).max(1)).sum(),
        groups: judged().map(|(_, groups)| groups).sum(),
        bits: bits.unwrap_or(0),
    };
    let points = sums().map(|(sum, groups)| groups * sum.orders.iter().map(|o| o.points.len() as u64).sum::<u64>());
    let classes = judged().next().is_some().then_some(classes);
    let mut out: Vec<Work> = classes.into_iter().collect();
    out.extend([
        Work::Visible {
            cells: sums().map(|(sum, groups)| counted(sum) * groups).sum(),
            bits: bits.unwrap_or(0),
            differences: sums().map(|(sum, groups)| pairs(sum) * groups).sum(),
            equations: sums().map(|(sum, groups)| sets(sum) * groups).chain(margins).sum(),
        },
        Work::Mask { narrow: opened(Ring::Z64) + points.sum::<u64>(), wide: opened(Ring::Z128) },
    ]);
    out
}

/// Groups of a class where all keys are declared; 1 where nobody knows.
fn sensitive_tuples(sum: &SecureSum) -> u64 {
    let sizes = sum.sensitive.iter().map(|key| sum.keys[*key].domain.as_ref().map_or(1, |d| d.len() as u64));
    if sum.groups == Groups::Declared { sizes.fold(1u64, u64::saturating_mul).max(1) } else { 1 }
}

fn order_work(sum: &SecureSum, order: &Order, sites: u32) -> Option<Work> {
    let (groups, points) = (max_groups(sum), order.points.len() as u64);
    let row_bits = sum.slots[order.count].partial_bits + sites;
    match order.path {
        Path::Local => None,
        Path::Histogram { cells } => Some(Work::Histogram { groups, cells: cells.into(), points, bits: row_bits }),
        Path::Sort { rows_per_site } => {
            let rows = rows_per_site * sum.contributors.len() as u64;
            let group_bits = u64::BITS - (groups - 1).leading_zeros();
            Some(Work::Sort { rows, bits: order.encoding.bits + group_bits, groups, points })
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::FrequentKeys { sum } => write!(f, "agreeing the keys of sum {sum} that are frequent enough"),
            Work::Visible { cells, bits, differences, equations } => write!(
                f,
                "comparing at most {cells} counts of {bits} bits, {differences} differences, {equations} equations"
            ),
            Work::Classes { classes, groups, bits } => {
                write!(f, "judging at most {classes} combinations of keys by {groups} counts of {bits} bits")
            }
            Work::Mask { narrow, wide: 0 } => write!(f, "masking {narrow} numbers of 64 bits"),
            Work::Mask { narrow, wide } => write!(f, "masking {narrow} numbers of 64 bits, {wide} of 128"),
            Work::Histogram { groups, cells, points, .. } => {
                write!(f, "searching {groups} · {cells} counts for {points} positions each")
            }
            Work::Sort { rows, bits, points, .. } => {
                write!(f, "sorting {rows} keys of {bits} bits for {points} positions in each group")
            }
            Work::Sketch { sites, sketches } => {
                write!(f, "uniting at most {sketches} sketches of {REGISTERS} · {LEVELS} bits of each of {sites} sites")
            }
            Work::Matching { sites, patients, values, operations } => write!(
                f,
                "matching {patients} patients of each of {sites} sites, at most {values} values and {operations} operations for each"
            ),
            Work::TopK { groups, bits, limit } => {
                write!(f, "finding the first {limit} of {groups} totals of {bits} bits")
            }
        }
    }
}

/// Most groups a sum can have.
pub fn max_groups(sum: &SecureSum) -> u64 {
    most_groups(&sum.keys, &sum.groups)
}

/// Most groups that keys can make.
pub(crate) fn most_groups(keys: &[Key], groups: &Groups) -> u64 {
    match groups {
        Groups::Whole => 1,
        Groups::Declared => {
            let sizes = keys.iter().map(|k| k.domain.as_ref().map_or(1, |d| d.len() as u64));
            sizes.fold(1u64, u64::saturating_mul)
        }
        Groups::Agreed { max_groups, .. } => u64::from(*max_groups),
    }
}

/// Field elements of the sketch that carries every contributor's keys: six subtables, two cells for each key, and in
/// each cell a weight, a check value and the key with its length in pieces of seven bytes.
pub fn sketch_elements(contributors: usize, max_groups: u32, max_key_bytes: u32) -> u64 {
    let subtable = (2 * contributors as u64 * u64::from(max_groups)).div_ceil(6).max(2048);
    6 * subtable * (2 + (u64::from(max_key_bytes) + 2).div_ceil(7))
}

/// Numbers of a sum that are opened in one ring: slots, positions, and where only some groups are revealed which ones.
fn vector(plan: &JointPlan, sum: &SecureSum, ring: Ring) -> u64 {
    let gates = gates(sum);
    let slots = sum.slots.iter().zip(&gates);
    let opened =
        slots.filter(|(slot, gate)| slot.ring == ring && (!plan.opens_needed() || gate.is_some())).count() as u64;
    let points = sum.orders.iter().map(|o| o.points.len() as u64).sum::<u64>();
    let narrow = if ring == Ring::Z64 { points + sum.sketches.len() as u64 * u64::from(LEVELS) } else { 0 };
    match &sum.top {
        // With the groups' own numbers.
        Some(top) if ring == Ring::Z64 => (opened + narrow + 1).saturating_mul(top.limit),
        _ => (opened + narrow).saturating_mul(max_groups(sum)),
    }
}

/// A site's bytes when a column is opened: commitments to the other sites, echoes to them (three sites or more) and to
/// the analyst, salt and column to the audience.
fn opening(sites: u64, audience: Audience, elements: u64, element_bytes: u64) -> u64 {
    let others = sites - 1;
    let echoes = 1 + if others < 2 { 0 } else { others };
    let openings = 1 + if audience == Audience::Everyone { others } else { 0 };
    let column = message(elements.saturating_mul(element_bytes));
    others * message(HASH_BYTES) + echoes * message(HASH_BYTES * sites) + openings * (message(HASH_BYTES) + column)
}

/// Commit, echo, open; two sites need no echo.
fn opening_rounds(sites: u64) -> u32 {
    if sites < 3 { 2 } else { 3 }
}

/// A body and a header for each started frame.
pub(crate) fn message(body_bytes: u64) -> u64 {
    body_bytes.saturating_add(HEADER_BYTES * body_bytes.div_ceil(FRAME_BYTES).max(1))
}

/// The list of keys comes back from the analyst, and the sites compare it.
const LIST_ROUNDS: u32 = 2;
const HASH_BYTES: u64 = 32;
const HEADER_BYTES: u64 = 32;
const FRAME_BYTES: u64 = 1 << 20;
