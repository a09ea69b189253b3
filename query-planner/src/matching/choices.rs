//! What figures of matched patients choose by, and what a count of all tells beside them.

use datafusion_expr::Expr;

use crate::error::PlanError;
use crate::matching::between::Behind;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::tally::{Only, Tally};
use crate::plan::Exclusive;
use crate::small::{excludes, narrows, overlapping};

/// By what a count chooses rows and patients; nothing where it counts all whose values are there.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub only: Only,
    /// Is it a condition of the question, and not where a column is empty that joins or expressions made?
    pub asked: bool,
}

impl Choice {
    fn is_all(&self) -> bool {
        self.only.rows.is_none() && self.only.bit == Bit::Yes
    }

    fn is(&self, other: &Choice) -> bool {
        self.only.rows == other.only.rows && self.only.bit == other.only.bit
    }

    /// Can no row meet both?
    fn excludes(&self, other: &Choice, nodes: &mut Nodes<'_>) -> bool {
        let rows =
            matches!((&self.only.rows, &other.only.rows), (Some((p, f)), Some((q, g))) if p == q && excludes(f, g));
        rows || nodes.and(self.only.bit, other.only.bit) == Bit::No
    }

    /// Does every row that meets it meet the other?
    fn narrows(&self, other: &Choice, nodes: &mut Nodes<'_>) -> bool {
        let rows = match (&self.only.rows, &other.only.rows) {
            (_, None) => true,
            (Some((p, f)), Some((q, g))) => p == q && narrows(f, g),
            (None, Some(_)) => false,
        };
        rows && nodes.and(self.only.bit, other.only.bit) == self.only.bit
    }
}

/// Counts that are shown, or that a figure is shown with: none of them twice.
pub(crate) struct Choices<'b> {
    /// Those that choose nothing.
    all: Vec<&'b Behind>,
    /// The others; of several that choose alike the first.
    chosen: Vec<&'b Behind>,
    /// All of the others.
    every: Vec<&'b Behind>,
}

impl<'b> Choices<'b> {
    /// Of these counts.
    pub fn of(counts: impl Iterator<Item = &'b Behind>) -> Self {
        let (all, every): (Vec<_>, Vec<_>) = counts.partition(|of| of.choice.is_all());
        let mut chosen: Vec<&Behind> = Vec::new();
        for of in &every {
            if !chosen.iter().any(|known| known.choice.is(&of.choice)) {
                chosen.push(of);
            }
        }
        Self { all, chosen, every }
    }

    /// Refuses three and more choices whose relation is not plain: from counts of overlapping choices the count of a further one follows.
    ///
    /// # Errors
    /// `RELATED_TABLES`.
    pub fn understood(&self, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
        let asked: Vec<&Choice> = self.chosen.iter().map(|of| &of.choice).filter(|choice| choice.asked).collect();
        let mut all = |holds: fn(&Choice, &Choice, &mut Nodes<'_>) -> bool| {
            asked.iter().enumerate().all(|(at, a)| asked[at + 1..].iter().all(|b| holds(a, b, nodes)))
        };
        let one_in_other = |a: &Choice, b: &Choice, nodes: &mut Nodes<'_>| a.narrows(b, nodes) || b.narrows(a, nodes);
        if asked.len() < 3 || all(Choice::excludes) || all(one_in_other) { Ok(()) } else { Err(overlapping()) }
    }

    /// Sets of counts that have no row in common, and the count of all that is shown beside them. `counts_patients` says of a slot whether it counts
    /// patients, and not their rows; slot 0 is the number of all patients.
    pub fn disjoint(&self, nodes: &mut Nodes<'_>, counts_patients: impl Fn(usize) -> bool) -> Vec<Exclusive> {
        let mut sets: Vec<Vec<&Behind>> = Vec::new();
        for of in &self.every {
            let mut fits = |set: &&mut Vec<&Behind>| {
                let alike = |other: &&Behind| counts_patients(other.cell) == counts_patients(of.cell);
                set.iter().all(|other| alike(other) && other.choice.excludes(&of.choice, nodes))
            };
            match sets.iter_mut().find(|set| fits(set)) {
                Some(set) => set.push(of),
                None => sets.push(vec![of]),
            }
        }
        sets.retain(|set| set.len() > 1);
        let parts: Vec<usize> = sets.iter().flatten().map(|of| of.cell).collect();
        let mut exclusive = |set: Vec<&Behind>| {
            let rows = self.all.iter().map(|all| all.cell).find(|cell| !counts_patients(*cell));
            let of_patients = counts_patients(set[0].cell);
            let total = if of_patients { None } else { rows };
            let is_total = |of: &&Behind| !of.choice.asked && !parts.contains(&of.cell);
            let some = self.chosen.iter().copied().find(is_total).map(|of| of.cell);
            let total = total.or((!self.all.is_empty()).then_some(0)).or(some);
            let cells = set.iter().map(|of| of.cell).collect();
            // Who has several rows may be in several sets, unless it is the patient who is chosen.
            let mut by_patient = |a: &Behind, b: &Behind| nodes.and(a.choice.only.bit, b.choice.only.bit) == Bit::No;
            let mut each_once = true;
            for (at, a) in set.iter().enumerate() {
                each_once &= set[at + 1..].iter().all(|b| by_patient(a, b));
            }
            let overlap = if of_patients { !each_once || total != Some(0) } else { total != rows };
            Exclusive { cells, total, overlap }
        };
        sets.into_iter().map(&mut exclusive).collect()
    }

    /// A count of all tells of each other count how many it leaves out, which is a count beside the others, too: whom two leave out or both
    /// count, and whom all leave out that have no row in common. With each the cell that they hide where they are few.
    ///
    /// # Errors
    /// As [`Tally::exists`].
    pub fn beside_all(
        &self,
        sets: &[Exclusive],
        tally: &mut Tally<'_, '_, '_>,
    ) -> Result<Vec<(usize, Bit)>, PlanError> {
        let mut told = Vec::new();
        for made in self.chosen.iter().filter(|of| !of.choice.asked) {
            told.extend(self.beside_some(made, tally)?);
        }
        if self.all.is_empty() {
            return Ok(told);
        }
        let all = tally.exists(&Only::ALL)?;
        for (at, a) in self.chosen.iter().enumerate() {
            for b in &self.chosen[at + 1..] {
                let (ours, theirs) = (&a.choice, &b.choice);
                let is_plain = ours.narrows(theirs, tally.nodes) || theirs.narrows(ours, tally.nodes);
                let set = sets.iter().find(|set| set.cells.contains(&a.cell) && set.cells.contains(&b.cell));
                if is_plain || set.is_some_and(|set| set.cells.len() > 2) {
                    continue;
                }
                let (p, q) = (tally.exists(&ours.only)?, tally.exists(&theirs.only)?);
                let in_one = tally.nodes.differ(p, q);
                told.push((b.cell, tally.nodes.differ(all, in_one)));
                told.push((b.cell, in_both_or_neither(&ours.only, &theirs.only, tally)?));
            }
        }
        for set in sets.iter().filter(|set| set.cells.len() > 2) {
            let members: Vec<&Behind> = self.every.iter().copied().filter(|of| set.cells.contains(&of.cell)).collect();
            let last = set.cells.last().copied().unwrap_or_default();
            let mut any = Bit::No;
            for of in &members {
                let patients = tally.exists(&of.choice.only)?;
                any = tally.nodes.or(any, patients);
            }
            told.push((last, tally.nodes.differ(all, any)));
            if let Some(outside) = outside(&members) {
                told.push((last, tally.exists(&outside)?));
            }
        }
        told.retain(|(_, bit)| *bit != Bit::No);
        Ok(told)
    }

    /// The same beside a count of patients for whom a column is not empty.
    fn beside_some(&self, some: &Behind, tally: &mut Tally<'_, '_, '_>) -> Result<Vec<(usize, Bit)>, PlanError> {
        let total = tally.exists(&some.choice.only)?;
        let others: Vec<&&Behind> = self.chosen.iter().filter(|of| of.cell != some.cell).collect();
        let mut told = Vec::new();
        for (at, a) in others.iter().enumerate() {
            for b in &others[at + 1..] {
                let (p, q) = (tally.exists(&a.choice.only)?, tally.exists(&b.choice.only)?);
                let in_one = tally.nodes.differ(p, q);
                told.push((b.cell, tally.nodes.differ(total, in_one)));
            }
        }
        told.retain(|(_, bit)| *bit != Bit::No);
        Ok(told)
    }
}

/// Who has a row that both choose, or neither does.
fn in_both_or_neither(a: &Only, b: &Only, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
    let (not_a, not_b) = (tally.nodes.not(a.bit), tally.nodes.not(b.bit));
    // By whether the patient is one whose rows may be chosen by each.
    let cases = [
        (tally.nodes.and(a.bit, b.bit), alike(a.rows.as_ref(), b.rows.as_ref())),
        (tally.nodes.and(a.bit, not_b), outside_of(a)),
        (tally.nodes.and(not_a, b.bit), outside_of(b)),
        (tally.nodes.and(not_a, not_b), vec![vec![None]]),
    ];
    let mut any = Bit::No;
    for (bit, ways) in cases {
        for rows in ways.into_iter().filter(|_| bit != Bit::No) {
            let mut both = Bit::Yes;
            for rows in rows {
                let exists = tally.exists(&Only { rows, bit })?;
                both = tally.nodes.and(both, exists);
            }
            any = tally.nodes.or(any, both);
        }
    }
    Ok(any)
}

/// Rows of a part.
type Rows = Option<(usize, Expr)>;

/// Rows that meet both conditions or neither, in other words: for each way what rows there are of each part. All rows of a patient's parts stand
/// beside each other.
fn alike(a: Option<&(usize, Expr)>, b: Option<&(usize, Expr)>) -> Vec<Vec<Rows>> {
    let is_true = |rows: &Expr| Expr::IsTrue(rows.clone().into());
    let fails = |part: usize, rows: &Expr| Some((part, Expr::IsNotTrue(rows.clone().into())));
    match (a, b) {
        (Some((p, f)), Some((q, g))) if p == q => vec![vec![Some((*p, is_true(f).eq(is_true(g))))]],
        (Some((p, f)), Some((q, g))) => {
            let both = vec![Some((*p, f.clone())), Some((*q, g.clone()))];
            vec![both, vec![fails(*p, f), fails(*q, g)]]
        }
        (Some(rows), None) | (None, Some(rows)) => vec![vec![Some(rows.clone())]],
        (None, None) => vec![vec![None]],
    }
}

/// Rows that are not chosen of a patient whose rows may be.
fn outside_of(only: &Only) -> Vec<Vec<Rows>> {
    let fails = |(part, rows): &(usize, Expr)| vec![Some((*part, Expr::IsNotTrue(rows.clone().into())))];
    only.rows.iter().map(fails).collect()
}

/// Rows that none of several choices of one part's rows take; none where patients are chosen, too.
fn outside(members: &[&Behind]) -> Option<Only> {
    let (part, _) = members.first()?.choice.only.rows.as_ref()?;
    let rows = members.iter().map(|of| match (&of.choice.only.rows, of.choice.only.bit) {
        (Some((of, rows)), Bit::Yes) if of == part => Some(rows.clone()),
        _ => None,
    });
    let any = rows.collect::<Option<Vec<Expr>>>()?.into_iter().reduce(Expr::or)?;
    Some(Only { rows: Some((*part, Expr::IsNotTrue(any.into()))), bit: Bit::Yes })
}
