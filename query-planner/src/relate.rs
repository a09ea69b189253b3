//! How the tables of one question relate: a total beside its parts lets a hidden part be computed, unless the relation
//! is known when cells are chosen. What is not provably a margin, disjoint or apart is refused.

use std::collections::BTreeSet;

use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan};
use serde::{Deserialize, Serialize};

use crate::bind::NetworkTable;
use crate::catalog::Catalog;
use crate::domain::{exclude, listed};
use crate::error::PlanError;
use crate::measured::Atom;
use crate::near_groups::Near;
use crate::plan::{Groups, SecureSum, Slot, Summand};
use crate::slots::Slots;
use crate::split::{Sites, sites_of};
use crate::supports::Drawn;
use crate::value::Value;
use crate::wording::{exactly, indented_exactly, name, passes_through, wording};

/// A sum whose groups are made of groups of others: for each of its groups and each line of `slots`, the total is the
/// sum over the details' groups with the same key values, plus, if there is a rest, a number of rows that no table
/// shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margin {
    /// The sum that holds the totals.
    pub total: usize,
    /// The sums that hold the parts; no row is in two of them.
    pub details: Vec<Detail>,
    /// The slot of the total, then the slot of each detail, that count alike.
    pub slots: Vec<Vec<usize>>,
    /// May rows of the total be in no detail?
    pub rest: bool,
}

/// The parts of a margin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Position in `sums`.
    pub sum: usize,
    /// For each key of the total, the key of this sum that is the same.
    pub keys: Vec<usize>,
}

/// The rows a sum is over, and its keys and slots, in a wording in which equal things are equal texts.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    tables: BTreeSet<String>,
    sites: Sites,
    /// Everything below the filters that stand directly above it.
    core: String,
    conditions: Vec<Expr>,
    keys: Vec<String>,
    /// The columns in each key, where the rows are those of a table as it stands; none where they are made of others.
    columns: Option<Vec<BTreeSet<String>>>,
    slots: Vec<String>,
    /// What is measured, each with the cell of whom.
    measured: BTreeSet<(Atom, String)>,
    near: Near,
}

impl Footprint {
    /// Of the sum that `slots` collected for an aggregate.
    pub fn new(aggregate: &Aggregate, slots: &Slots<'_>, catalog: &Catalog) -> Footprint {
        let input = aggregate.input.as_ref();
        let mut conditions = Vec::new();
        let (core, is_table) = match has_subqueries(input) {
            // Their plans would not show in the wording of an expression.
            true => (indented_exactly(input), false),
            false => core(input, &mut conditions),
        };
        let wording = |expr: &Expr| exactly(&plain(expr, is_table));
        let mut conditions: Vec<Expr> = conditions.iter().map(|c| plain(c, is_table)).collect();
        conditions.sort_by_key(Expr::to_string);
        conditions.dedup();
        let texts: Vec<String> = slots.slots.iter().map(|slot| slot_wording(slot, slots, &wording)).collect();
        let measured = |drawn: &Drawn| -> Vec<(Atom, String)> {
            drawn.leaves.iter().map(|leaf| (slots.leaves[*leaf].0.clone(), texts[drawn.cell].clone())).collect()
        };
        Footprint {
            tables: tables(input),
            sites: sites_of(input),
            core,
            conditions,
            keys: aggregate.group_expr.iter().map(wording).collect(),
            columns: is_table.then(|| aggregate.group_expr.iter().map(columns_of).collect()),
            measured: slots.supports.iter().flat_map(measured).collect(),
            slots: texts,
            near: Near::of(aggregate, catalog),
        }
    }

    /// Of a sum over matched patients: how it relates to others is not known, unless they share no table.
    pub fn of_matched(aggregate: &Aggregate, sites: Sites, slots: usize, catalog: &Catalog) -> Footprint {
        let core = indented_exactly(&aggregate.input);
        let keys: Vec<String> = aggregate.group_expr.iter().map(exactly).collect();
        // Patients of two groups are not those of both together: no two of these add up to anything.
        let asked: Vec<String> = aggregate.aggr_expr.iter().map(exactly).collect();
        let (keys_text, asked) = (keys.join(", "), asked.join(", "));
        let slots = (0..slots).map(|slot| format!("patients {slot} of {asked} of {core} by {keys_text}")).collect();
        let (tables, conditions, columns) = (tables(&aggregate.input), Vec::new(), None);
        let (measured, near) = (BTreeSet::new(), Near::of(aggregate, catalog));
        Footprint { tables, sites, core, conditions, keys, columns, slots, measured, near }
    }

    fn same_rows(&self, other: &Footprint) -> bool {
        self.core == other.core && self.sites == other.sites && self.conditions == other.conditions
    }

    /// Is whatever both measure measured of the same rows?
    fn measures_alike(&self, other: &Footprint) -> bool {
        let of = |print: &Footprint, atom: &Atom| -> BTreeSet<String> {
            print.measured.iter().filter(|(known, _)| known == atom).map(|(_, cell)| cell.clone()).collect()
        };
        self.measured.iter().all(|(atom, _)| {
            let theirs = of(other, atom);
            theirs.is_empty() || theirs == of(self, atom)
        })
    }

    /// Is every row of this one provably a row of `other`?
    fn rows_within(&self, other: &Footprint) -> bool {
        let conditions = other.conditions.iter().all(|c| self.conditions.contains(c));
        self.core == other.core && self.sites.is_subset(&other.sites) && conditions
    }

    /// Is no row in both?
    fn is_disjoint(&self, other: &Footprint) -> bool {
        let contradict = |a: &Expr| other.conditions.iter().any(|b| contradicts(a, b));
        self.sites.is_disjoint(&other.sites) || self.core == other.core && self.conditions.iter().any(contradict)
    }

    /// Do the keys that the two do not share come from different columns? Else one can be a function of the other.
    fn keys_are_independent(&self, other: &Footprint) -> bool {
        let own = |a: &Footprint, b: &Footprint| -> Option<BTreeSet<String>> {
            let alone = a.keys.iter().zip(a.columns.as_ref()?).filter(|(key, _)| !b.keys.contains(key));
            Some(alone.flat_map(|(_, columns)| columns.iter().cloned()).collect())
        };
        matches!((own(self, other), own(other, self)), (Some(a), Some(b)) if a.is_disjoint(&b))
    }

    fn is_apart(&self, other: &Footprint) -> bool {
        self.tables.is_disjoint(&other.tables) || self.is_disjoint(other)
    }

    /// For each key of `total`, the position of the same key here; none when one is missing.
    fn keys_of(&self, total: &Footprint) -> Option<Vec<usize>> {
        total.keys.iter().map(|key| self.keys.iter().position(|own| own == key)).collect()
    }

    /// Are this sum's groups parts of the groups of `total`?
    fn details(&self, total: &Footprint) -> Option<Vec<usize>> {
        if self.rows_within(total) { self.keys_of(total) } else { None }
    }
}

/// The margins of a question whose small cells are hidden.
///
/// # Errors
/// `RELATED_TABLES` when two sums share tables in a way that is not understood.
pub(crate) fn margins(sums: &[SecureSum], prints: &[Footprint]) -> Result<Vec<Margin>, PlanError> {
    let pairs = (0..sums.len()).flat_map(|a| (a + 1..sums.len()).map(move |b| (a, b)));
    for (a, b) in pairs {
        // What is judged for a sum alone, and is in one of them only, adds up to nothing.
        let alone = |x: usize, y: usize| {
            let mut counted = sums[x].cells.iter().filter(|slot| sums[x].counts(**slot));
            counted.any(|slot| !counts(y, sums, prints).any(|other| *other == prints[x].slots[*slot]))
        };
        let alike = prints[a].is_apart(&prints[b]) || !alone(a, b) && !alone(b, a);
        if !alike || !is_understood(a, b, prints) {
            return Err(related(a, b, prints));
        }
    }
    let cells = sums.iter().zip(prints).flat_map(|(sum, print)| sum.cells.iter().map(|slot| &print.slots[*slot]));
    let wordings: BTreeSet<&String> = cells.collect();
    let mut margins: Vec<Margin> = Vec::new();
    for wording in wordings {
        for margin in grouped(wording, &tree(wording, sums, prints)?, sums, prints) {
            let alike = |m: &&mut Margin| m.total == margin.total && m.details == margin.details;
            match margins.iter_mut().find(alike) {
                Some(known) => known.slots.extend(margin.slots),
                None => margins.push(margin),
            }
        }
    }
    margins.iter_mut().for_each(|margin| margin.slots.sort_unstable());
    margins.sort_by_key(|margin| (margin.total, margin.details.iter().map(|d| d.sum).collect::<Vec<_>>()));
    Ok(margins)
}

/// Pairs of sums of which it is not known that their rows are the same, and what is added up the same of them: rows of different
/// tables, sites or conditions may be those of the same patients but for a few, also where no row is in both. A sum with itself where its
/// [groups may be](Near).
pub(crate) fn side_by_side(prints: &[Footprint]) -> Vec<(usize, usize)> {
    let pairs = (0..prints.len()).flat_map(|a| (a..prints.len()).map(move |b| (a, b)));
    let are_known = |(a, b): &(usize, usize)| {
        let (ours, theirs) = (&prints[*a], &prints[*b]);
        if a == b { !ours.near.figures } else { ours.same_rows(theirs) && ours.measures_alike(theirs) }
    };
    pairs.filter(|pair| !are_known(pair)).collect()
}

/// Are the keys that sums agree on those that tables have, and chosen alike? Else the list itself would tell groups of the same patients apart,
/// before they are compared.
///
/// # Errors
/// `KEYS_NOT_AGREEABLE` naming the key.
pub(crate) fn agreeable(sums: &[SecureSum], prints: &[Footprint]) -> Result<(), PlanError> {
    let is_agreed = |sum: &SecureSum| matches!(sum.groups, Groups::Agreed { .. });
    let near = sums.iter().zip(prints).find(|(sum, print)| is_agreed(sum) && print.near.keys);
    let Some((sum, _)) = near else { return Ok(()) };
    let undeclared = sum.keys.iter().find(|key| key.domain.is_none()).or(sum.keys.first());
    let text = format!(
        "the values of {} may not be agreed as group keys: which rows are in which group depends on several columns at once, on the branch of a \
         UNION or on a list, so that a value might be listed, or not, because of one patient",
        undeclared.map_or("a key", |key| &key.expression)
    );
    Err(PlanError::new("KEYS_NOT_AGREEABLE", text)
        .hint(
        "declare its domain in network.toml, group by a CASE with constant results, or group by columns as they are and choose rows by each \
         column for itself",
    ))
}

/// Pairs of sums that both tell an agreed list of keys, but for those of the same rows, which are told by each of them. Also where conditions
/// exclude each other: of a patient with several rows one may be under the first and another under the second.
pub(crate) fn lists_apart(sums: &[SecureSum], prints: &[Footprint]) -> Vec<(usize, usize)> {
    let is_agreed = |sum: &usize| matches!(sums[*sum].groups, Groups::Agreed { .. });
    let agreed: Vec<usize> = (0..sums.len()).filter(is_agreed).collect();
    let pairs = agreed.iter().flat_map(|a| agreed.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a < b && !prints[*a].same_rows(&prints[*b])).collect()
}

/// The wordings of what a sum counts.
fn counts<'a>(sum: usize, sums: &'a [SecureSum], prints: &'a [Footprint]) -> impl Iterator<Item = &'a String> {
    sums[sum].cells.iter().map(move |slot| &prints[sum].slots[*slot])
}

fn is_understood(a: usize, b: usize, prints: &[Footprint]) -> bool {
    let (x, y) = (&prints[a], &prints[b]);
    x.is_apart(y) || x.details(y).is_some() || y.details(x).is_some() || has_link(x, y, prints)
}

/// Is there a third sum that holds all that binds the two: the margin both share?
fn has_link(x: &Footprint, y: &Footprint, prints: &[Footprint]) -> bool {
    let shared = |z: &Footprint| {
        let common = x.keys.iter().filter(|key| y.keys.contains(key)).count();
        x.keys_of(z).is_some() && y.keys_of(z).is_some() && z.keys.len() == common
    };
    x.same_rows(y) && x.keys_are_independent(y) && prints.iter().any(|z| z.same_rows(x) && shared(z))
}

/// What the counts of one wording add up to: pairs (detail, total) without those that follow from others, so that the
/// counts make trees.
///
/// # Errors
/// `RELATED_TABLES` when a table has two margins that are not margins of each other, or margins across its own choices
/// of rows.
fn tree(wording: &str, sums: &[SecureSum], prints: &[Footprint]) -> Result<Vec<(usize, usize)>, PlanError> {
    let cell = |sum: usize| {
        let slot = prints[sum].slots.iter().position(|text| text == wording)?;
        sums[sum].cells.contains(&slot).then_some(slot)
    };
    let holders: Vec<usize> = (0..sums.len()).filter(|sum| cell(*sum).is_some()).collect();
    // Equal rows and keys make each a detail of the other: the earlier one is taken for the total.
    let is_detail = |part: usize, total: usize| {
        let mirrored = prints[total].details(&prints[part]).is_some();
        part != total && prints[part].details(&prints[total]).is_some() && !(mirrored && part < total)
    };
    let mut pairs = Vec::new();
    for part in &holders {
        let totals: Vec<usize> = holders.iter().copied().filter(|total| is_detail(*part, *total)).collect();
        let direct = |total: &&usize| !totals.iter().any(|between| is_detail(*between, **total));
        let direct: Vec<usize> = totals.iter().filter(direct).copied().collect();
        let within = sums[*part]
            .disjoint
            .iter()
            .filter(|set| set.parts)
            .flat_map(|set| &set.cells)
            .any(|slot| Some(*slot) == cell(*part));
        if direct.len() > 1 || within && !direct.is_empty() {
            return Err(related(*part, direct[0], prints));
        }
        pairs.extend(direct.into_iter().map(|total| (*part, total)));
    }
    Ok(pairs)
}

/// One margin for each total and each set of its details that share no row.
fn grouped(wording: &str, pairs: &[(usize, usize)], sums: &[SecureSum], prints: &[Footprint]) -> Vec<Margin> {
    let mut sets: Vec<(usize, Vec<usize>)> = Vec::new();
    for (part, total) in pairs {
        let fits = |(of, set): &&mut (usize, Vec<usize>)| {
            of == total && set.iter().all(|other| prints[*part].is_disjoint(&prints[*other]))
        };
        match sets.iter_mut().find(fits) {
            Some((_, set)) => set.push(*part),
            None => sets.push((*total, vec![*part])),
        }
    }
    sets.into_iter().map(|(total, set)| margin(wording, total, &set, sums, prints)).collect()
}

fn margin(wording: &str, total: usize, set: &[usize], sums: &[SecureSum], prints: &[Footprint]) -> Margin {
    let whole = &prints[total];
    let sites: Sites = set.iter().flat_map(|part| prints[*part].sites.iter().copied()).collect();
    let same_conditions = set.iter().all(|part| prints[*part].conditions == whole.conditions);
    let all_known = set.iter().all(|part| !matches!(sums[*part].groups, Groups::Agreed { .. }));
    let details = set.iter().map(|part| Detail { sum: *part, keys: prints[*part].details(whole).unwrap_or_default() });
    let slot = |sum: &usize| prints[*sum].slots.iter().position(|text| text == wording).unwrap_or_default();
    Margin {
        total,
        details: details.collect(),
        slots: vec![std::iter::once(&total).chain(set).map(slot).collect()],
        rest: !(same_conditions && sites == whole.sites && all_known),
    }
}

fn related(a: usize, b: usize, prints: &[Footprint]) -> PlanError {
    let shared: Vec<&str> = prints[a].tables.intersection(&prints[b].tables).map(String::as_str).collect();
    let text = format!(
        "two parts of the question count rows of {} in ways whose relation is not known, so that a hidden small cell might \
         follow from them together",
        shared.join(", ")
    );
    PlanError::new("RELATED_TABLES", text).hint(
        "keep FROM and WHERE the same and drop GROUP BY columns only, or narrow the WHERE of one by a further AND; else ask the \
         questions apart",
    )
}

/// The wording of a plan below its outermost filters, which are collected. Is it a table as it stands? Then names need
/// no qualifier, and another alias is no other relation.
fn core(plan: &LogicalPlan, conditions: &mut Vec<Expr>) -> (String, bool) {
    match plan {
        LogicalPlan::Filter(filter) => {
            conditions.extend(split_conjunction(&filter.predicate).into_iter().cloned());
            core(&filter.input, conditions)
        }
        LogicalPlan::Projection(p) if passes_through(p) => core(&p.input, conditions),
        LogicalPlan::SubqueryAlias(alias) => {
            let before = conditions.len();
            match core(&alias.input, conditions) {
                (text, true) => (text, true),
                _ => {
                    // Below a renamed join the qualifiers are others than above it.
                    conditions.truncate(before);
                    (wording(plan), false)
                }
            }
        }
        LogicalPlan::TableScan(scan) => (name(scan), true),
        other => (wording(other), false),
    }
}

fn columns_of(expr: &Expr) -> BTreeSet<String> {
    expr.column_refs().into_iter().map(|column| column.name.to_lowercase()).collect()
}

fn has_subqueries(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closures never fail.
    let _ = plan.apply(|node| {
        let _ = node.apply_subqueries(|_| {
            found = true;
            Ok(TreeNodeRecursion::Stop)
        });
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn tables(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(network) = scan.source.downcast_ref::<NetworkTable>()
        {
            names.insert(network.table.name.to_lowercase());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

/// An expression without aliases, and over a single table without qualifiers.
fn plain(expr: &Expr, is_table: bool) -> Expr {
    let strip = |e: Expr| {
        Ok(match e {
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            Expr::Column(column) if is_table => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    };
    expr.clone().transform_up(strip).map_or_else(|_| expr.clone(), |t| t.data)
}

fn slot_wording(slot: &Slot, slots: &Slots<'_>, wording: &dyn Fn(&Expr) -> String) -> String {
    let column = |i: usize| slots.columns.get(i).map(|(_, expr)| wording(expr)).unwrap_or_default();
    let what = match slot.what {
        Summand::Rows => "rows".to_owned(),
        Summand::NotNull(a) => format!("not null {}", column(a)),
        Summand::Value(a) => format!("sum {}", column(a)),
        Summand::Square(a) => format!("squares {}", column(a)),
        Summand::Product(a, b) => format!("products {} by {}", column(a), column(b)),
        Summand::BothNotNull(a, b) => format!("not null {} and {}", column(a), column(b)),
        // Patients of two groups are not those of both together.
        Summand::Patients(node) => format!("patients {node} by {}", slots.texts.join(", ")),
    };
    match slot.filter {
        Some(filter) => format!("{what} where {}", column(filter)),
        None => what,
    }
}

/// Can no row meet both? `x = 1` and `x IN (2, 3)`; `x < 5` and `x >= 5`; `x <= 17` and `x BETWEEN 18 AND 64`.
pub(crate) fn contradicts(a: &Expr, b: &Expr) -> bool {
    if let (Some((column, ours)), Some((other, theirs))) = (listed(a), listed(b)) {
        return column == other && ours.iter().all(|value: &Value| !theirs.contains(value));
    }
    if exclude(a, b) {
        return true;
    }
    match (a, b) {
        (Expr::BinaryExpr(a), Expr::BinaryExpr(b)) => is_negation(a, b),
        (Expr::IsNull(a), Expr::IsNotNull(b)) | (Expr::IsNotNull(a), Expr::IsNull(b)) => a == b,
        (Expr::Not(a), b) | (b, Expr::Not(a)) => **a == *b,
        (Expr::IsNotTrue(a), b) | (b, Expr::IsNotTrue(a)) => **a == *b,
        _ => false,
    }
}

fn is_negation(a: &BinaryExpr, b: &BinaryExpr) -> bool {
    let opposite = a.op.negate() == Some(b.op) && a.left == b.left && a.right == b.right;
    let swapped = b.op.swap().is_some_and(|op| a.op.negate() == Some(op)) && a.left == b.right && a.right == b.left;
    opposite || swapped
}
