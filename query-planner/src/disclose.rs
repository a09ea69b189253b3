//! What a secure sum reveals, and to whom, in words.

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

use crate::approx_distinct::error_words;
use crate::approximate::{LEVELS, REGISTERS};
use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::cells::gates;
use crate::matched::{Matching, What};
use crate::matching;
use crate::plan::{
    Audience, Disclosure, Fraction, Groups, JointPlan, Number, Order, Output, Point, Scale, SecureSum, SketchOf, Slot,
    Summand,
};
use crate::slots::ONCE;
use crate::words::words;

/// One line for each number that is revealed, for agreed keys, for what is left out and for what is hidden. `works` is
/// what the contributors run, one for each sum.
pub(crate) fn disclosures(plan: &JointPlan, works: &[LogicalPlan], catalog: &Catalog) -> Vec<Disclosure> {
    let mut out = Vec::new();
    for (sum, work) in plan.sums.iter().zip(works) {
        of_sum(plan, sum, &source(work), catalog, &mut out);
    }
    let to = to_words(plan.audience);
    if let Some(matching) = plan.sums.iter().find_map(|sum| sum.matching.as_ref()) {
        let further = matching.further_keys.map_or_else(String::new, |further| {
            format!(", {} of them with several keys in a pass and {} more each", further.patients, further.each)
        });
        let what = format!(
            "that a site has at most {} patients{further}, and nothing about which of them others know",
            matching.max_patients
        );
        out.push(Disclosure { what, to: to_words(Audience::Everyone).into() });
        let what = format!(
            "what a guessed {0} adds to these figures: whoever adds it to its own rows can test it, and only policy limits that",
            catalog.patient_key
        );
        out.push(Disclosure { what, to: "a site that guesses, with the receiver of the answer".into() });
    }
    if plan.hides() {
        let zeros = if plan.zero_allowed { "zeros are shown" } else { "zeros too" };
        let by_patients = plan.sums.iter().all(|sum| !sum.patients.is_empty());
        let what = format!(
            "which of these figures are hidden: those with fewer than {0} {1} behind them ({zeros}), and those from which one of \
             them would follow; both are shown as <{0}",
            plan.min_patients,
            if by_patients {
                "patients"
            } else {
                if plan.sums.iter().all(|sum| sum.patients.is_empty()) { "rows" } else { "rows or patients" }
            }
        );
        out.push(Disclosure { what, to: to.into() });
    }
    if plan.audience == Audience::Everyone && plan.sums.iter().any(|sum| sum.contributors.len() == 2) {
        let what = "the other's part of each sum of two sites, exactly: the answer less its own part";
        out.push(Disclosure { what: what.into(), to: "each of the two sites".into() });
    }
    out
}

fn of_sum(plan: &JointPlan, sum: &SecureSum, source: &str, catalog: &Catalog, out: &mut Vec<Disclosure>) {
    let to = to_words(plan.audience);
    if let Groups::Agreed { threshold, .. } = sum.groups {
        let what = match threshold {
            0 | 1 => format!("the values of {} that occur {} in {source}", key_list(sum), whose(sum, catalog)),
            least => format!(
                "the values of {} that occur in at least {least} rows {} in {source}, and nothing about other values",
                key_list(sum),
                over(sum, catalog)
            ),
        };
        out.push(Disclosure { what, to: to_words(Audience::Everyone).into() });
    }
    let place = format!("{} {} in {source}", per_group(sum), over(sum, catalog));
    if let Some(top) = &sum.top {
        let slot = slot_words(&sum.slots[top.slot], sum);
        let (which, bound) = if top.descending { ("largest", "at most") } else { ("smallest", "at least") };
        let what = format!(
            "which {} values of {} have the {which} figure for {slot}, in their order: every row left out has {bound} the last \
             one's, or is hidden or empty",
            top.limit,
            key_list(sum)
        );
        out.push(Disclosure { what, to: to.into() });
    }
    let only = if sum.top.is_some() { ", of these rows only" } else { "" };
    for slot in opened(plan, sum) {
        let what = slot_words(&sum.slots[slot], sum);
        out.push(Disclosure { what: format!("{what}{place}{only}"), to: to.into() });
    }
    for order in &sum.orders {
        for point in &order.points {
            let one = if point.is_one_rows_value() { ": the exact value of one patient" } else { "" };
            let what = point_words(*point, order, &sum.columns);
            out.push(Disclosure { what: format!("{what}{place}{only}{one}"), to: to.into() });
        }
    }
    for sketch in &sum.sketches {
        let what = format!(
            "how many of {REGISTERS} registers of a sketch of {} reach each of {LEVELS} levels{place}{only}: the number of values \
             approximately ({}), for few almost exactly; whoever knows all of them but one may see whether that one is there",
            sketch_words(sketch, sum),
            error_words()
        );
        out.push(Disclosure { what, to: to.into() });
    }
}

/// What a sketch counts, as a reader would say it.
pub(crate) fn sketch_words(sketch: &SketchOf, sum: &SecureSum) -> String {
    let text = |column: usize| sum.columns.get(column).map_or("?", String::as_str);
    let what = format!("the distinct {}", text(sketch.column));
    match sketch.filter {
        Some(filter) => format!("{what} ({})", text(filter)),
        None => what,
    }
}

/// The slots that are opened: all of them, or where cells are hidden those that something shown needs.
fn opened(plan: &JointPlan, sum: &SecureSum) -> Vec<usize> {
    let gates = gates(sum);
    (0..sum.slots.len()).filter(|slot| !plan.hides() || gates[*slot].is_some()).collect()
}

/// Who receives the answer, in words.
pub(crate) fn to_words(audience: Audience) -> &'static str {
    match audience {
        Audience::Analyst => "analyst",
        Audience::Everyone => "every site and the analyst",
    }
}

/// What an analyst should know about the sums.
pub(crate) fn notes(plan: &mut JointPlan, works: &[LogicalPlan], catalog: &Catalog) {
    let mut notes = std::mem::take(&mut plan.notes);
    for (sum, work) in plan.sums.iter().zip(works) {
        notes_of_sum(plan, sum, work, catalog, &mut notes);
    }
    if plan.hides() {
        let k = plan.min_patients;
        notes
            .push(format!("min_patients is {k}: figures are hidden inside the computation, before anything is opened"));
        notes.push(HIDDEN_CELLS.into());
        if plan.audience == Audience::Everyone {
            notes.push(format!(
                "every site sees the answer: a figure is shown only if what is left without a site's own rows is 0 or at least {k}"
            ));
        }
    }
    plan.notes = notes;
}

fn notes_of_sum(plan: &JointPlan, sum: &SecureSum, work: &LogicalPlan, catalog: &Catalog, notes: &mut Vec<String>) {
    let mut add = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    if matches!(sum.groups, Groups::Agreed { threshold: 2.., .. }) && !sum.patients.is_empty() {
        add("which keys are agreed is judged by their rows, what is shown of them by their patients".into());
    }
    if let Some(matching) = &sum.matching {
        notes_of_matching(sum, matching, catalog, &mut add);
    }
    if counts_rows(sum) && reads_patients(work, catalog) {
        add(format!("counts are of rows, not of patients: one {} may have several rows", catalog.patient_key));
    }
    if plan.hides() && sum.patients.is_empty() && reads_patients(work, catalog) {
        add("small cells are judged by their rows, not by their patients".into());
    }
    for slot in sum.slots.iter().filter(|s| !s.proven && matches!(s.scale, Scale::Decimal(_))) {
        let what = slot_words(slot, sum);
        add(format!("{what} is not bounded by declared ranges: each site checks its own before it shares anything"));
    }
    for order in sum.orders.iter().filter(|o| o.encoding.checked) {
        let what = sum.columns.get(order.column).map_or("?", String::as_str);
        add(format!(
            "{what} is sorted in {} bits without a declared range: each site checks its own values",
            order.encoding.bits
        ));
    }
    for sketch in &sum.sketches {
        let what = sketch_words(sketch, sum);
        add(format!(
            "the number of {what} is approximate: {}; asked again of the same rows it is the same",
            error_words()
        ));
    }
    if sum.orders.iter().any(|o| matches!(o.encoding.number, Number::Fixed(_))) {
        add("percentiles of real numbers are exact to nine decimals".into());
    }
    if sum.slots.iter().any(|s| matches!(s.scale, Scale::Binary(_))) {
        add(format!(
            "sums of real numbers are rounded once per site: off by at most {} · 2^-41",
            sum.contributors.len()
        ));
    }
}

fn notes_of_matching(sum: &SecureSum, matching: &Matching, catalog: &Catalog, add: &mut dyn FnMut(String)) {
    let key = &catalog.patient_key;
    add(format!("a patient is known by {key}: patients are counted once, however many sites know them"));
    if sum.local_work.is_empty() {
        add(format!("rows without {key} are left out, also for NOT IN and NOT EXISTS"));
    }
    if matching.features.iter().any(|feature| matches!(feature.what, What::Events { .. })) {
        add(format!("a site with more than {} rows of one patient to be ordered refuses", catalog.max_events));
    }
}

const HIDDEN_CELLS: &str = "a hidden cell is NULL for WHERE, HAVING and LIMIT; ORDER BY puts it behind all others in both \
                            directions; what is computed from it, also by COALESCE or CASE, is hidden too";

/// A point as a reader would say it.
pub(crate) fn point_words(point: Point, order: &Order, texts: &[String]) -> String {
    let text = |column: usize| texts.get(column).map_or("?", String::as_str);
    let column = text(order.column);
    let what = match point {
        Point::Min => format!("the smallest {column}"),
        Point::Max => format!("the largest {column}"),
        Point::Cont { share: Fraction::HALF } => format!("the median of {column}"),
        Point::Cont { share } => format!("the interpolated {} percentile of {column}", share_words(share)),
        Point::Disc { share, descending } => {
            let from = if descending { " from the largest down" } else { "" };
            format!("the value of {column} at {}{from}", share_words(share))
        }
    };
    match order.filter {
        Some(filter) => format!("{what} ({})", text(filter)),
        None => what,
    }
}

fn share_words(share: Fraction) -> String {
    format!("{}/{}", share.numerator, share.denominator)
}

/// A slot as a reader would say it.
pub(crate) fn slot_words(slot: &Slot, sum: &SecureSum) -> String {
    let text = |column: usize| sum.columns.get(column).map_or("?", String::as_str);
    let what = match slot.what {
        Summand::Rows => "the number of rows".to_owned(),
        Summand::NotNull(c) => format!("the number of rows where {} is not NULL", text(c)),
        Summand::Value(c) => format!("the sum of {}", text(c)),
        Summand::Square(c) => format!("the sum of squares of {}", text(c)),
        Summand::Product(a, b) => format!("the sum of {} times {}", text(a), text(b)),
        Summand::BothNotNull(a, b) => format!("the number of rows where {} and {} are not NULL", text(a), text(b)),
        Summand::Patients(node) => matching::slot_words(sum, node),
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
        if let (Summand::Patients(node), Some(matching)) = (sum.slots[*slot].what, &sum.matching) {
            return matching.nodes[node].bits > 1;
        }
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
