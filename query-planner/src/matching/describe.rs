//! A matching in words: for EXPLAIN and for what is disclosed.

use std::fmt::{self, Write};

use crate::matched::{Feature, Matching, Node, What};
use crate::plan::SecureSum;

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
    for (i, relation) in matching.relations.iter().enumerate() {
        let owners: Vec<&str> = relation.contributors.iter().map(|s| s.0.as_str()).collect();
        let rows = relation.row_bound;
        writeln!(out, "    relation {i}: Private(each of {}), at most {rows} rows each", owners.join(", "))?;
        relation.local_work.lines().try_for_each(|line| writeln!(out, "      {line}"))?;
    }
    for (i, feature) in matching.features.iter().enumerate() {
        writeln!(out, "    feature {i}: {}; {} bits", feature_words(matching, feature), feature.bits)?;
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

/// What a slot over patients adds up.
pub(crate) fn slot_words(sum: &SecureSum, node: usize) -> String {
    let Some(matching) = &sum.matching else { return format!("node {node}") };
    match &matching.nodes[node] {
        step if step.node.is_bit() || step.bits == 1 => {
            format!("the number of patients with {}", words(matching, node, DEPTH))
        }
        _ => format!("the sum over patients of {}", words(matching, node, DEPTH)),
    }
}

fn feature_words(matching: &Matching, feature: &Feature) -> String {
    let columns = &matching.relations[feature.relation].columns;
    let text = |column: usize| columns.get(column).map_or("?", String::as_str);
    let rows = format!("rows of relation {}", feature.relation);
    let what = match feature.what {
        What::Any => format!("any {rows}"),
        What::Count(None) => format!("the number of {rows}"),
        What::Count(Some(column)) => format!("the number of {rows} where {} is not NULL", text(column)),
        What::Sum(column, _) => format!("the sum of {} over {rows}", text(column)),
        What::Least(column, _) => format!("the smallest {} in {rows}", text(column)),
        What::Greatest(column, _) => format!("the largest {} in {rows}", text(column)),
        What::Events { column, bound, .. } => {
            format!("each {} in {rows} in order, at most {bound} at a site", text(column))
        }
    };
    let filter = feature.filter.map(|column| format!(", {}", text(column))).unwrap_or_default();
    let keys: Vec<&str> = feature.keys.iter().map(|column| text(*column)).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(", for each {}", keys.join(", ")) };
    format!("{what}{filter}{keys}")
}

fn node_line(node: &Node) -> String {
    match node {
        Node::Feature(a) => format!("feature {a}"),
        Node::Constant(x) => format!("{x}"),
        Node::Not(a) => format!("not node {a}"),
        Node::And(a, b) => format!("node {a} and node {b}"),
        Node::Or(a, b) => format!("node {a} or node {b}"),
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

/// A node as an expression, down to a depth.
fn words(matching: &Matching, node: usize, depth: usize) -> String {
    let Some(deeper) = depth.checked_sub(1) else { return format!("node {node}") };
    let inner = |at: &usize| match &matching.nodes[*at].node {
        Node::And(..) | Node::Or(..) | Node::Less(..) | Node::Equal(..) | Node::Add(..) | Node::Subtract(..) => {
            format!("({})", words(matching, *at, deeper))
        }
        _ => words(matching, *at, deeper),
    };
    match &matching.nodes[node].node {
        Node::Feature(at) => feature_words(matching, &matching.features[*at]),
        Node::Constant(x) => format!("{x}"),
        Node::Not(a) => format!("not {}", inner(a)),
        Node::And(a, b) => format!("{} and {}", words(matching, *a, deeper), words(matching, *b, deeper)),
        Node::Or(a, b) => format!("{} or {}", inner(a), inner(b)),
        Node::Less(a, b) => format!("{} < {}", inner(a), inner(b)),
        Node::Equal(a, b) => format!("{} = {}", inner(a), inner(b)),
        Node::Add(a, b) => format!("{} + {}", inner(a), inner(b)),
        Node::Subtract(a, b) => format!("{} - {}", inner(a), inner(b)),
        Node::Multiply(a, b) => format!("{} · {}", inner(a), inner(b)),
        Node::Number(a) => format!("1 if {}", inner(a)),
        Node::Select(a, b) => format!("{} if {}", inner(b), inner(a)),
        Node::Gaps { feature, at_least, at_most } => {
            let events = feature_words(matching, &matching.features[*feature]);
            format!("neighbours {} ({events})", gap_words(*at_least, *at_most))
        }
        Node::Nth { feature, n } => {
            format!("value {} of {}", n + 1, feature_words(matching, &matching.features[*feature]))
        }
        Node::Length(feature) => {
            format!("the number of {}", feature_words(matching, &matching.features[*feature]))
        }
    }
}

/// Deeper expressions are named by their node, which EXPLAIN lists.
const DEPTH: usize = 8;
