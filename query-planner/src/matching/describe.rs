//! A matching in words, for EXPLAIN.

use std::fmt::{self, Write};

use crate::disclosure::{Facts, feature_words};
use crate::matched::{Matching, Node, Relation};

/// The lines of EXPLAIN.
pub(crate) fn write_matching(out: &mut String, matching: &Matching) -> fmt::Result {
    let sites: Vec<&str> = matching.sites.iter().map(|s| s.0.as_str()).collect();
    let runs = sites.len() * sites.len().saturating_sub(1) / 2;
    writeln!(out, "  Matching: Shared, patients of {}, each counted once", sites.join(", "))?;
    writeln!(
        out,
        "    by circuit-PSI, {runs} runs between pairs of sites at most, {} patients of each site, padded",
        matching.max_patients
    )?;
    if matching.passes > 1 {
        writeln!(
            out,
            "    found by any of {} passes, each a run of its own; the first that finds decides",
            matching.passes
        )?;
    }
    if let Some(further) = matching.further_keys {
        writeln!(
            out,
            "    up to {} patients of each site have up to {} keys more in a pass and are found by any of them, padded",
            further.patients, further.each
        )?;
    }
    matching.relations.iter().enumerate().try_for_each(|(i, relation)| write_relation(out, i, relation))?;
    for (i, feature) in matching.features.iter().enumerate() {
        writeln!(out, "    feature {i}: {}; {} bits", feature_words(&Facts::of(matching, feature)), feature.bits)?;
    }
    for (i, step) in matching.nodes.iter().enumerate() {
        writeln!(out, "    node {i}: {}; {} bits", node_line(&step.node), step.bits)?;
    }
    for key in &matching.patient_keys {
        let bits: Vec<String> = key.values.iter().map(|bit| format!("node {bit}")).collect();
        writeln!(out, "    key {} is computed: its values in order are {}", key.key + 1, bits.join(", "))?;
    }
    Ok(())
}

/// Whose rows it has, and what these do to have them.
pub(crate) fn write_relation(out: &mut String, index: usize, relation: &Relation) -> fmt::Result {
    let owners: Vec<&str> = relation.contributors.iter().map(|s| s.0.as_str()).collect();
    let rows = relation.row_bound;
    writeln!(out, "    relation {index}: Private(each of {}), at most {rows} rows each", owners.join(", "))?;
    relation.local_work.lines().try_for_each(|line| writeln!(out, "      {line}"))
}

fn node_line(node: &Node) -> String {
    match node {
        Node::Feature(a) => format!("feature {a}"),
        Node::Constant(x) => format!("{x}"),
        Node::Not(a) => format!("not node {a}"),
        Node::And(a, b) => format!("node {a} and node {b}"),
        Node::Or(a, b) => format!("node {a} or node {b}"),
        Node::Differ(a, b) => format!("node {a} or node {b}, not both"),
        Node::Less(a, b) => format!("node {a} < node {b}"),
        Node::Equal(a, b) => format!("node {a} = node {b}"),
        Node::Add(a, b) => format!("node {a} + node {b}"),
        Node::Subtract(a, b) => format!("node {a} - node {b}"),
        Node::Multiply(a, b) => format!("node {a} · node {b}"),
        Node::Number(a) => format!("1 if node {a}"),
        Node::Select(a, b) => format!("node {b} if node {a}"),
        Node::Gaps { feature, at_least, at_most } => {
            format!("neighbours in feature {feature} {}", gap_words(*at_least, *at_most))
        }
        Node::Nth { feature, n } => format!("value {} of feature {feature}", n + 1),
        Node::Length(feature) => format!("the number of values of feature {feature}"),
    }
}

fn gap_words(at_least: u64, at_most: Option<u64>) -> String {
    match at_most {
        Some(most) => format!("that are {at_least} to {most} apart"),
        None => format!("that are {at_least} or more apart"),
    }
}
