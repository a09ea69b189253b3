//! The plan as a steward reads it. This text is what is approved and what the snapshots hold.

use std::fmt::{self, Write};

use crate::approx_distinct::{error_words, size_words};
use crate::cost::{cost, max_groups, work};
use crate::disclose::{sketch_words, slot_words};
use crate::disclosure::{self, Language, PointOf, point_words, to_words};
use crate::matching::{write_matching, write_relation};
use crate::noise::{Delta, Noise, Shape};
use crate::plan::{Between, Compiled, Groups, JointPlan, Key, Order, Output, Path, Ring, Scale, SecureSum, Slot};
use crate::released_tables::ReleasedTables;
use crate::value::Value;

/// The whole plan: question, sites, each sum with its owners, visibility and bounds, the reveal, the analyst's work,
/// the cost, every disclosure, the promise, notes.
pub fn explain(compiled: &Compiled) -> String {
    explain_with(compiled, &[])
}

/// [`explain`] with lines on the cost of comparing and sorting shared values, which the protocols know
/// ([`crate::cost::work`] says what they will do).
pub fn explain_with(compiled: &Compiled, joint_cost: &[String]) -> String {
    let mut out = String::new();
    // Writing to a String never fails.
    let _ = write_plan(&mut out, &compiled.joint, joint_cost);
    out
}

/// Only what is revealed, to whom, of what kind and why.
pub fn disclosures(plan: &JointPlan, language: Language) -> String {
    disclosure::list(&plan.disclosures, language)
}

fn write_plan(out: &mut String, plan: &JointPlan, joint_cost: &[String]) -> fmt::Result {
    writeln!(out, "Question\n  {}", plan.query)?;
    let sites: Vec<&str> = plan.sites.iter().map(|s| s.0.as_str()).collect();
    writeln!(out, "Sites\n  {}", sites.join(", "))?;
    write_uses(out, plan)?;
    for (i, sum) in plan.sums.iter().enumerate() {
        write_sum(out, i, sum, plan)?;
    }
    write_intersection(out, plan)?;
    write_margins(out, plan)?;
    write_noise(out, plan)?;
    writeln!(out, "Finish: Public, by the analyst, on revealed rows")?;
    indented(out, &plan.finish)?;
    let cost = cost(plan);
    let (site, all) = (cost.bytes_per_site, cost.bytes_total);
    writeln!(out, "Cost\n  {} rounds, at most {site} bytes from each site, {all} in all", cost.rounds)?;
    work(plan).iter().try_for_each(|work| writeln!(out, "  and {work}"))?;
    if plan.is_ledgered() {
        // Which there are, the plan does not say.
        writeln!(
            out,
            "  and, after earlier answers of the study, matching the patients behind its figures with theirs: not counted here"
        )?;
    }
    if !plan.is_linear() && plan.intersection.is_none() {
        writeln!(out, "  on shares: {}", plan.link.words())?;
    }
    joint_cost.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    out.write_str(&disclosures(plan, Language::English))?;
    writeln!(out, "Promise\n  {PROMISE}")?;
    if !plan.notes.is_empty() {
        writeln!(out, "Notes")?;
    }
    plan.notes.iter().try_for_each(|note| writeln!(out, "  - {note}"))
}

/// What sites must allow.
fn write_uses(out: &mut String, plan: &JointPlan) -> fmt::Result {
    let classes: Vec<&str> = plan.classes.iter().map(|class| class.name()).collect();
    writeln!(out, "Asks\n  for: {}", classes.join(", "))?;
    for of_column in plan.uses.chunk_by(|a, b| (&a.table, &a.column, &a.sites) == (&b.table, &b.column, &b.sites)) {
        let [first, ..] = of_column else { continue };
        let purposes: Vec<&str> = of_column.iter().map(|used| used.purpose.name()).collect();
        let (place, purposes) = (format!("{}.{}", first.table, first.column), purposes.join(", "));
        if first.sites.len() == plan.sites.len() {
            writeln!(out, "  of {place}: {purposes}")?;
        } else {
            let sites: Vec<&str> = first.sites.iter().map(|site| site.0.as_str()).collect();
            writeln!(out, "  of {place} at {}: {purposes}", sites.join(", "))?;
        }
    }
    Ok(())
}

fn write_sum(out: &mut String, index: usize, sum: &SecureSum, plan: &JointPlan) -> fmt::Result {
    let owners: Vec<&str> = sum.contributors.iter().map(|s| s.0.as_str()).collect();
    writeln!(out, "Sum {index}: revealed_{index}")?;
    if !sum.local_work.is_empty() {
        writeln!(out, "  Local work: Private(each of {}), at most {} rows each", owners.join(", "), sum.row_bound)?;
    }
    sum.local_work.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    if let Some(matching) = &sum.matching {
        write_matching(out, matching)?;
    }
    writeln!(out, "  Groups: Public, {}", groups_words(sum, plan))?;
    sum.keys.iter().enumerate().try_for_each(|(i, key)| writeln!(out, "    key {}: {}", i + 1, key_words(key)))?;
    writeln!(out, "  Vectors: Shared, one number per group and slot")?;
    for (i, slot) in sum.slots.iter().enumerate() {
        writeln!(out, "    slot {i}: {}", slot_line(slot, sum))?;
    }
    write_order(out, sum)?;
    write_sketches(out, sum)?;
    write_small(out, sum, plan)?;
    if let Some(top) = &sum.top {
        let which = if top.descending { "largest" } else { "smallest" };
        writeln!(out, "  Top: Shared, only the {} groups with the {which} slot {} go on", top.limit, top.slot)?;
    }
    let outputs: Vec<String> = sum.outputs.iter().map(|output| output_words(output, sum)).collect();
    writeln!(out, "  Reveal to {}: {}", to_words(plan.audience.into()), outputs.join(", "))
}

/// Who learns which patients, by what, and why by that.
fn write_intersection(out: &mut String, plan: &JointPlan) -> fmt::Result {
    let Some(found) = &plan.intersection else { return Ok(()) };
    let (receiver, sender, [own, other]) = (&found.receiver, &found.sender, found.sizes);
    writeln!(out, "Intersection: patients of {receiver} that {sender} has too")?;
    writeln!(out, "  Method: {}", found.method.name())?;
    writeln!(out, "    because it is {}", found.why)?;
    writeln!(out, "  Sets: Private, padded with dummies to {own} keys of {receiver} and {other} of {sender}")?;
    found.relations.iter().enumerate().try_for_each(|(i, relation)| write_relation(out, i, relation))?;
    writeln!(out, "  Reveal to {receiver} alone: the patients, in a file there")
}

fn write_order(out: &mut String, sum: &SecureSum) -> fmt::Result {
    for (i, order) in sum.orders.iter().enumerate() {
        let points: Vec<String> = order.points.iter().map(|p| point_words(&PointOf::of(*p, order, sum))).collect();
        writeln!(out, "    order {i}: {}; {}", points.join(", "), path_words(order))?;
    }
    Ok(())
}

fn write_sketches(out: &mut String, sum: &SecureSum) -> fmt::Result {
    sum.sketches.iter().enumerate().try_for_each(|(i, sketch)| {
        let (what, size) = (sketch_words(sketch, sum), size_words());
        writeln!(out, "    sketch {i}: of {what}; {size}, united by OR; approximate, {}", error_words())
    })
}

fn path_words(order: &Order) -> String {
    let bits = order.encoding.bits;
    let bound = if order.encoding.checked { "checked at the site" } else { "proven" };
    match order.path {
        Path::Local => "found by the one site alone".to_owned(),
        Path::Histogram { cells } => format!("from shared counts of {cells} values ({bound})"),
        Path::Sort { rows_per_site } => {
            format!("by sorting keys of {bits} bits ({bound}), {rows_per_site} rows of each site, padded")
        }
    }
}

/// Which cells are compared, and what binds them.
fn write_small(out: &mut String, sum: &SecureSum, plan: &JointPlan) -> fmt::Result {
    if !plan.hides() {
        return Ok(());
    }
    let slots: Vec<String> = sum.cells.iter().map(usize::to_string).collect();
    writeln!(out, "  Small cells: Shared, slots {} of each group against {}", slots.join(", "), plan.min_patients)?;
    if !sum.patients.is_empty() {
        let slots: Vec<String> = sum.patients.iter().map(usize::to_string).collect();
        writeln!(out, "    by the patients behind them, slots {}", slots.join(", "))?;
    }
    sum.between.iter().try_for_each(|Between { cell, patients }| {
        writeln!(out, "    slot {cell} is hidden where slot {patients}, the patients between it and another, is small")
    })?;
    write_classes(out, sum, plan)?;
    for support in &sum.supports {
        let sums: Vec<String> = support.figures.iter().map(usize::to_string).collect();
        let opened = if sum.is_support_only(support.cell) { ": whether it is enough, not the number" } else { "" };
        writeln!(out, "    slot {} counts who has part in slot {}{opened}", support.cell, sums.join(", "))?;
    }
    sum.disjoint.iter().filter(|set| set.parts).try_for_each(|set| {
        let slots: Vec<String> = set.cells.iter().map(usize::to_string).collect();
        let beside = set.total.map_or_else(String::new, |total| format!(", beside slot {total}, which counts all"));
        writeln!(out, "    slots {} count different rows{beside}", slots.join(", "))
    })
}

/// Which groups are judged together, and against what.
fn write_classes(out: &mut String, sum: &SecureSum, plan: &JointPlan) -> fmt::Result {
    let ReleasedTables { k_anonymous, l_diverse, .. } = plan.released_tables;
    if sum.keys.is_empty() || !plan.released_tables.asks() {
        return Ok(());
    }
    let name = |keys: Vec<usize>| match keys.is_empty() {
        true => "no key".to_owned(),
        false => keys.iter().map(|key| format!("key {}", key + 1)).collect::<Vec<_>>().join(", "),
    };
    let known = (0..sum.keys.len()).filter(|key| !sum.sensitive.contains(key)).collect();
    let (known, sensitive, slot) = (name(known), name(sum.sensitive.clone()), sum.members());
    writeln!(
        out,
        "    all groups that agree in {known}: slot {slot} against {k_anonymous}, values of {sensitive} against {l_diverse}"
    )
}

/// How tables add up to each other.
fn write_margins(out: &mut String, plan: &JointPlan) -> fmt::Result {
    for margin in &plan.margins {
        let details: Vec<String> = margin.details.iter().map(|d| format!("sum {}", d.sum)).collect();
        let rest = if margin.rest { " and rows that are not shown" } else { "" };
        writeln!(out, "Margin: sum {} holds the totals of {}{rest}", margin.total, details.join(", "))?;
    }
    Ok(())
}

fn rows_words(rows: u64) -> String {
    if rows == 1 { "row".into() } else { format!("{rows} rows") }
}

/// What ε and δ mean.
fn promise(noise: &Noise) -> String {
    let plus = match noise.delta() {
        Delta(0) => String::new(),
        delta => format!(", plus {delta}"),
    };
    format!(
        "any outcome has at most e^{} times the probability that it has without that patient's data{plus}",
        noise.epsilon
    )
}

/// What is added to each figure, and how far that takes it.
fn write_noise(out: &mut String, plan: &JointPlan) -> fmt::Result {
    let Some(noise) = &plan.noise else { return Ok(()) };
    let (sites, honest) = (plan.sites.len(), noise.honest_sites);
    let kind = noise.shape.kind();
    match noise.delta() {
        Delta(0) => writeln!(out, "Noise: Private(each of {sites} sites), {kind}, ε = {}", noise.epsilon)?,
        delta => writeln!(out, "Noise: Private(each of {sites} sites), {kind}, ε = {}, δ = {delta}", noise.epsilon)?,
    }
    writeln!(
        out,
        "  for one patient with everything it has at all sites, if {honest} of the {sites} sites add their noise and keep it to themselves"
    )?;
    writeln!(out, "  {}", promise(noise))?;
    for kept in &noise.tables {
        writeln!(
            out,
            "  {}: of one patient each site keeps at most the first {} (by all columns), and nothing without a key",
            kept.table,
            rows_words(kept.rows)
        )?;
    }
    for (index, sum) in plan.sums.iter().enumerate() {
        for noised in &sum.noised {
            let slot = &sum.slots[noised.slot];
            let unit = match slot.scale {
                Scale::Decimal(digits) => 10f64.powi(digits.into()),
                Scale::Binary(bits) => 2f64.powi(bits.into()),
            };
            let what = slot_words(slot, sum);
            let (most, spread) = (noised.sensitivity as f64 / unit, noise.standard_deviation(noised, sites) / unit);
            writeln!(out, "  sum {index}, slot {}: {what}: one patient moves it by at most {most}", noised.slot)?;
            match noise.shape {
                Shape::Laplace { each } => writeln!(out, "    ε = {each}, standard deviation {spread:.1}")?,
                Shape::Gaussian { .. } => {
                    let most = (noised.squares as f64).sqrt() / unit;
                    writeln!(out, "    in Euclidean length by at most {most:.1}, standard deviation {spread:.1}")?;
                }
            }
        }
    }
    Ok(())
}

fn slot_line(slot: &Slot, sum: &SecureSum) -> String {
    let contributors = sum.contributors.len();
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
    format!("{}; {ring}, {scale}, partial below 2^{} ({bound})", slot_words(slot, sum), slot.partial_bits)
}

fn groups_words(sum: &SecureSum, plan: &JointPlan) -> String {
    match &sum.groups {
        Groups::Whole => "one row".to_owned(),
        Groups::Declared if plan.opens_needed() => format!("declared, {} groups (each is a row)", max_groups(sum)),
        Groups::Declared => format!("declared, {} groups (empty ones are dropped)", max_groups(sum)),
        Groups::Agreed { max_groups, max_key_bytes, threshold: 0 | 1 } => {
            format!("agreed: the union of the sites' keys, at most {max_groups} of at most {max_key_bytes} bytes")
        }
        Groups::Agreed { max_groups, max_key_bytes, threshold } => format!(
            "agreed: the sites' keys with {threshold} rows or more together, of at most {max_groups} of at most {max_key_bytes} bytes"
        ),
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

fn output_words(output: &Output, sum: &SecureSum) -> String {
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
        Output::Point { order, point } => {
            let count = sum.orders.get(*order).map_or(0, |o| o.count);
            format!("point {} of order {order} (NULL if slot {count} is 0)", point + 1)
        }
        Output::Approximate(sketch) => format!("estimate from the levels of sketch {sketch}"),
    }
}

fn indented(out: &mut String, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Domain values printed in full.
const SHOWN: usize = 20;

const PROMISE: &str = "semi-honest, dishonest majority: sites that follow the protocol, even all but one of them together, \
                       learn only the disclosures above, and whether a site's own work failed";
