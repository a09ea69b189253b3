//! What a secure sum reveals, and to whom, in words.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::plan::{Audience, Disclosure, Groups, Output, Scale, SecureSum, Slot, Summand};
use crate::slots::ONCE;
use crate::words::words;

/// One line for each number that is revealed, and one for agreed keys. `work` is what the contributors run.
pub(crate) fn disclosures(
    sum: &SecureSum,
    work: &LogicalPlan,
    audience: Audience,
    catalog: &Catalog,
) -> Vec<Disclosure> {
    let source = source(work);
    let mut out = Vec::new();
    if let Groups::Agreed { .. } = sum.groups {
        let what = format!("the values of {} that occur {} in {source}", key_list(sum), whose(sum, catalog));
        out.push(Disclosure { what, to: to_words(Audience::Everyone).into() });
    }
    for slot in &sum.slots {
        let (what, groups) = (slot_words(slot, &sum.columns), per_group(sum));
        let what = format!("{what}{groups} {} in {source}", over(sum, catalog));
        out.push(Disclosure { what, to: to_words(audience).into() });
    }
    out
}

/// Who receives the answer, in words.
pub(crate) fn to_words(audience: Audience) -> &'static str {
    match audience {
        Audience::Analyst => "analyst",
        Audience::Everyone => "every site and the analyst",
    }
}

/// What an analyst should know about this sum.
pub(crate) fn notes(sum: &SecureSum, work: &LogicalPlan, catalog: &Catalog, notes: &mut Vec<String>) {
    let mut add = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    if counts_rows(sum) && reads_patients(work, catalog) {
        add(format!("counts are of rows, not of patients: one {} may have several rows", catalog.patient_key));
    }
    for slot in sum.slots.iter().filter(|s| !s.proven && matches!(s.scale, Scale::Decimal(_))) {
        let what = slot_words(slot, &sum.columns);
        add(format!("{what} is not bounded by declared ranges: each site checks its own before it shares anything"));
    }
    if sum.slots.iter().any(|s| matches!(s.scale, Scale::Binary(_))) {
        add(format!(
            "sums of real numbers are rounded once per site: off by at most {} · 2^-41",
            sum.contributors.len()
        ));
    }
}

/// A slot as a reader would say it.
pub(crate) fn slot_words(slot: &Slot, texts: &[String]) -> String {
    let text = |column: usize| texts.get(column).map_or("?", String::as_str);
    let what = match slot.what {
        Summand::Rows => "the number of rows".to_owned(),
        Summand::NotNull(c) => format!("the number of rows where {} is not NULL", text(c)),
        Summand::Value(c) => format!("the sum of {}", text(c)),
        Summand::Square(c) => format!("the sum of squares of {}", text(c)),
        Summand::Product(a, b) => format!("the sum of {} times {}", text(a), text(b)),
        Summand::BothNotNull(a, b) => format!("the number of rows where {} and {} are not NULL", text(a), text(b)),
    };
    match slot.filter {
        Some(filter) => format!("{what} ({})", text(filter)),
        None => what,
    }
}

/// Is a count of rows among the outputs, rather than of distinct values?
fn counts_rows(sum: &SecureSum) -> bool {
    sum.outputs.iter().any(|output| {
        let Output::Count(slot) = output else { return false };
        let filter = sum.slots[*slot].filter.and_then(|c| sum.columns.get(c));
        !filter.is_some_and(|text| text.starts_with(ONCE))
    })
}

fn reads_patients(work: &LogicalPlan, catalog: &Catalog) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = work.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            found |= network.table.columns.iter().any(|c| catalog.is_patient_key(&c.name));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The rows a site looks at: `person, condition_occurrence where …`.
fn source(work: &LogicalPlan) -> String {
    let (mut tables, mut conditions, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let add = |list: &mut Vec<String>, text: String| {
        if !list.contains(&text) {
            list.push(text);
        }
    };
    // The closure never fails.
    let _ = work.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => add(&mut tables, scan.table_name.to_string()),
            LogicalPlan::Filter(filter) => add(&mut conditions, words(&filter.predicate)),
            LogicalPlan::Aggregate(a) => a.group_expr.iter().for_each(|key| add(&mut groups, words(key))),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let mut text = tables.join(", ");
    if !conditions.is_empty() {
        text += &format!(" where {}", conditions.join(" AND "));
    }
    if !groups.is_empty() {
        text += &format!(", first grouped by {}", groups.join(", "));
    }
    text
}

fn per_group(sum: &SecureSum) -> String {
    if sum.keys.is_empty() { String::new() } else { format!(" for each value of {}", key_list(sum)) }
}

fn key_list(sum: &SecureSum) -> String {
    sum.keys.iter().map(|k| k.expression.as_str()).collect::<Vec<_>>().join(", ")
}

/// Over which sites a number is summed.
fn over(sum: &SecureSum, catalog: &Catalog) -> String {
    match &sum.contributors[..] {
        [only] => format!("at {only} alone"),
        some if some.len() == catalog.sites.len() => "over all sites".into(),
        some => format!("over {}", some.iter().map(|s| s.0.as_str()).collect::<Vec<_>>().join(" and ")),
    }
}

/// At which sites an agreed key occurs.
fn whose(sum: &SecureSum, catalog: &Catalog) -> String {
    match &sum.contributors[..] {
        [_] => over(sum, catalog),
        // Whoever knows its own keys knows what the other of two sites alone has.
        [one, other] => format!("at {one} or {other} (each of the two then knows which the other alone has)"),
        some if some.len() == catalog.sites.len() => "at any site (not which)".into(),
        some => format!("at {} (not which)", some.iter().map(|s| s.0.as_str()).collect::<Vec<_>>().join(" or ")),
    }
}
