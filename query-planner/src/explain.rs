//! The plan as a steward reads it. This text is what is approved and what the snapshots hold.

use std::fmt::{self, Write};

use crate::cost::{cost, max_groups};
use crate::disclose::{slot_words, to_words};
use crate::plan::{Compiled, Groups, JointPlan, Key, Output, Ring, Scale, SecureSum, Slot};
use crate::value::Value;

/// The whole plan: question, sites, each sum with its owners, visibility and bounds, the reveal, the analyst's work,
/// the cost, every disclosure, the promise, notes.
pub fn explain(compiled: &Compiled) -> String {
    let mut out = String::new();
    // Writing to a String never fails.
    let _ = write_plan(&mut out, &compiled.joint);
    out
}

/// Only what is revealed, and to whom.
pub fn disclosures(plan: &JointPlan) -> String {
    let mut out = String::new();
    let _ = write_disclosures(&mut out, plan);
    out
}

fn write_plan(out: &mut String, plan: &JointPlan) -> fmt::Result {
    writeln!(out, "Question\n  {}", plan.query)?;
    let sites: Vec<&str> = plan.sites.iter().map(|s| s.0.as_str()).collect();
    writeln!(out, "Sites\n  {}", sites.join(", "))?;
    for (i, sum) in plan.sums.iter().enumerate() {
        write_sum(out, i, sum, plan)?;
    }
    writeln!(out, "Finish: Public, by the analyst, on revealed rows")?;
    indented(out, &plan.finish)?;
    let cost = cost(plan);
    let (site, all) = (cost.bytes_per_site, cost.bytes_total);
    writeln!(out, "Cost\n  {} rounds, at most {site} bytes from each site, {all} in all", cost.rounds)?;
    write_disclosures(out, plan)?;
    writeln!(out, "Promise\n  {PROMISE}")?;
    if !plan.notes.is_empty() {
        writeln!(out, "Notes")?;
    }
    plan.notes.iter().try_for_each(|note| writeln!(out, "  - {note}"))
}

fn write_sum(out: &mut String, index: usize, sum: &SecureSum, plan: &JointPlan) -> fmt::Result {
    let owners: Vec<&str> = sum.contributors.iter().map(|s| s.0.as_str()).collect();
    writeln!(out, "Sum {index}: revealed_{index}")?;
    writeln!(out, "  Local work: Private(each of {}), at most {} rows each", owners.join(", "), sum.row_bound)?;
    for line in sum.local_work.lines() {
        writeln!(out, "    {line}")?;
    }
    writeln!(out, "  Groups: Public, {}", groups_words(sum))?;
    sum.keys.iter().enumerate().try_for_each(|(i, key)| writeln!(out, "    key {}: {}", i + 1, key_words(key)))?;
    writeln!(out, "  Vectors: Shared, one number per group and slot")?;
    for (i, slot) in sum.slots.iter().enumerate() {
        writeln!(out, "    slot {i}: {}", slot_line(slot, &sum.columns, sum.contributors.len()))?;
    }
    let outputs: Vec<String> = sum.outputs.iter().map(output_words).collect();
    writeln!(out, "  Reveal to {}: {}", to_words(plan.audience), outputs.join(", "))
}

fn slot_line(slot: &Slot, texts: &[String], contributors: usize) -> String {
    let ring = match slot.ring {
        Ring::Z64 => "mod 2^64",
        Ring::Z128 => "mod 2^128",
    };
    let scale = match slot.scale {
        Scale::Decimal(0) => "exact".to_owned(),
        Scale::Decimal(digits) => format!("exact to {digits} decimals"),
        Scale::Binary(bits) => format!("real, rounded once per site, off by at most {contributors} · 2^-{}", bits + 1),
    };
    let bound = if slot.proven { "proven" } else { "checked at the site" };
    format!("{}; {ring}, {scale}, partial below 2^{} ({bound})", slot_words(slot, texts), slot.partial_bits)
}

fn groups_words(sum: &SecureSum) -> String {
    match &sum.groups {
        Groups::Whole => "one row".to_owned(),
        Groups::Declared => format!("declared, {} groups (empty ones are dropped)", max_groups(sum)),
        Groups::Agreed { max_groups, max_key_bytes } => {
            format!("agreed: the union of the sites' keys, at most {max_groups} of at most {max_key_bytes} bytes")
        }
    }
}

fn key_words(key: &Key) -> String {
    match &key.domain {
        None => format!("{} (values agreed)", key.expression),
        Some(domain) if domain.len() <= SHOWN => {
            let values: Vec<String> = domain.iter().map(Value::to_string).collect();
            format!("{} in ({})", key.expression, values.join(", "))
        }
        Some(domain) => {
            let values: Vec<String> = domain.iter().take(SHOWN).map(Value::to_string).collect();
            format!("{} in ({}, … {} values)", key.expression, values.join(", "), domain.len())
        }
    }
}

fn output_words(output: &Output) -> String {
    match output {
        Output::Key(i) => format!("key {}", i + 1),
        Output::Count(slot) => format!("count = slot {slot}"),
        Output::Sum { sum, count } => format!("sum = slot {sum} (NULL if slot {count} is 0)"),
        Output::Avg { sum, count } => format!("average = slot {sum} / slot {count}"),
        Output::Variance { sum, squares, count, form, root } => {
            let name = if *root { "standard deviation" } else { "variance" };
            let form = format!("{form:?}").to_lowercase();
            format!("{form} {name} from slots {count}, {sum}, {squares}")
        }
    }
}

fn write_disclosures(out: &mut String, plan: &JointPlan) -> fmt::Result {
    writeln!(out, "Disclosures")?;
    plan.disclosures.iter().try_for_each(|d| writeln!(out, "  - to {}: {}", d.to, d.what))
}

fn indented(out: &mut String, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Domain values printed in full.
const SHOWN: usize = 20;

const PROMISE: &str = "semi-honest, dishonest majority: sites that follow the protocol, even all but one of them together, \
                       learn only the disclosures above, and whether a site's own work failed";
