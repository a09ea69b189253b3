//! What the nodes of a matching mean, on values in the clear: the definition that the work on shares must meet.

use crate::matched::{Matching, Node, What};

/// What is known of one patient: for each tuple of row keys, or one for the whole patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// [`What::Any`].
    Bit(bool),
    /// Counts, sums and codes, with the codes that stand for "none".
    Number(i128),
    /// [`What::Events`]: codes in ascending order.
    Events(Vec<u64>),
}

/// What a feature is for a patient without such rows.
pub fn absent(matching: &Matching, feature: usize) -> Known {
    let feature = &matching.features[feature];
    match feature.what {
        What::Any => Known::Bit(false),
        What::Count(_) | What::Sum(..) => Known::Number(0),
        What::Least(..) => Known::Number(1i128 << feature.bits),
        What::Greatest(..) => Known::Number(-1),
        What::Events { .. } => Known::Events(Vec::new()),
    }
}

/// What two sites know together.
///
/// # Panics
/// If the two are of different kinds.
pub fn combined(matching: &Matching, feature: usize, a: &Known, b: &Known) -> Known {
    match (matching.features[feature].what, a, b) {
        (What::Any, Known::Bit(a), Known::Bit(b)) => Known::Bit(*a || *b),
        (What::Least(..), Known::Number(a), Known::Number(b)) => Known::Number(*a.min(b)),
        (What::Greatest(..), Known::Number(a), Known::Number(b)) => Known::Number(*a.max(b)),
        (_, Known::Number(a), Known::Number(b)) => Known::Number(a + b),
        (_, Known::Events(a), Known::Events(b)) => {
            let mut all = [&a[..], &b[..]].concat();
            all.sort_unstable();
            Known::Events(all)
        }
        _ => panic!("a feature has one kind of value"),
    }
}

/// The value of every node for one patient and one tuple of row keys; bits are 0 and 1. `features` holds what is known
/// there, all sites together.
///
/// # Panics
/// If a node names what is not there, or an operand of the wrong kind.
pub fn nodes(matching: &Matching, features: &[Known]) -> Vec<i128> {
    let mut values: Vec<i128> = Vec::with_capacity(matching.nodes.len());
    for step in &matching.nodes {
        let value = |at: usize| values[at];
        let bit = |at: usize| values[at] != 0;
        let events = |at: usize| match &features[at] {
            Known::Events(events) => events,
            _ => panic!("events are wanted"),
        };
        let result = match &step.node {
            Node::Feature(at) => match &features[*at] {
                Known::Bit(bit) => i128::from(*bit),
                Known::Number(number) => *number,
                Known::Events(_) => panic!("events are no number"),
            },
            Node::Constant(number) => (*number).into(),
            Node::Not(a) => i128::from(!bit(*a)),
            Node::And(a, b) => i128::from(bit(*a) && bit(*b)),
            Node::Or(a, b) => i128::from(bit(*a) || bit(*b)),
            Node::Differ(a, b) => i128::from(bit(*a) != bit(*b)),
            Node::Less(a, b) => i128::from(value(*a) < value(*b)),
            Node::Equal(a, b) => i128::from(value(*a) == value(*b)),
            Node::Add(a, b) => value(*a) + value(*b),
            Node::Subtract(a, b) => value(*a) - value(*b),
            Node::Multiply(a, b) => value(*a) * value(*b),
            Node::Number(a) => value(*a),
            Node::Select(bit_at, number) => value(*bit_at) * value(*number),
            Node::Gaps { feature, at_least, at_most } => {
                let gaps = events(*feature).windows(2).map(|pair| pair[1] - pair[0]);
                gaps.filter(|gap| gap >= at_least && at_most.is_none_or(|most| *gap <= most)).count() as i128
            }
            Node::Nth { feature, n } => match events(*feature).get(*n as usize) {
                Some(code) => (*code).into(),
                None => 1i128 << matching.features[*feature].bits,
            },
            Node::Length(feature) => events(*feature).len() as i128,
        };
        values.push(result);
    }
    values
}
