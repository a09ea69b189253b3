//! What figures of matched patients choose by, and what a count of all tells beside them.

use datafusion_expr::Expr;

use crate::cube::{CORNERS, Corner, JUDGED_TOGETHER, beside_total, needs_no_total, off_plane_of};
use crate::error::PlanError;
use crate::matching::between::Behind;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::tally::{Only, Tally};
use crate::plan::Exclusive;
use crate::small::{excludes, narrows, overlapping};

impl Only {
    fn is_all(&self) -> bool {
        self.rows.is_none() && self.bit == Bit::Yes
    }

    fn is(&self, other: &Only) -> bool {
        self.rows == other.rows && self.bit == other.bit
    }

    /// Can no row meet both?
    fn excludes(&self, other: &Only, nodes: &mut Nodes<'_>) -> bool {
        let rows = matches!((&self.rows, &other.rows), (Some((p, f)), Some((q, g))) if p == q && excludes(f, g));
        rows || nodes.and(self.bit, other.bit) == Bit::No
    }

    /// Does every row that meets it meet the other?
    fn narrows(&self, other: &Only, nodes: &mut Nodes<'_>) -> bool {
        let rows = match (&self.rows, &other.rows) {
            (_, None) => true,
            (Some((p, f)), Some((q, g))) => p == q && narrows(f, g),
            (None, Some(_)) => false,
        };
        rows && nodes.and(self.bit, other.bit) == self.bit
    }

    /// The same of rows that meet this, too, where it is a condition on the same rows.
    fn within(&self, total: &Only, nodes: &mut Nodes<'_>) -> Only {
        let rows = match (&self.rows, &total.rows) {
            (Some((p, f)), Some((q, g))) if p == q => Some((*p, f.clone().and(g.clone()))),
            (None, rows) | (rows, _) => rows.clone(),
        };
        Only { rows, bit: nodes.and(self.bit, total.bit) }
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

    /// Refuses choices whose relation is not plain, where they are more than are judged together: three of patients or of one part's rows, else two. From counts of
    /// overlapping choices the count of a further one follows.
    ///
    /// # Errors
    /// `RELATED_TABLES`.
    pub fn understood(&self, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
        let is_judged = self.chosen.len() < JUDGED_TOGETHER || self.three().is_some();
        if is_judged || self.are_plain(nodes) { Ok(()) } else { Err(overlapping()) }
    }

    /// Do any two exclude or contain each other?
    fn are_plain(&self, nodes: &mut Nodes<'_>) -> bool {
        let mut is_plain = |a: &Only, b: &Only| a.excludes(b, nodes) || a.narrows(b, nodes) || b.narrows(a, nodes);
        let of = |at: usize| &self.chosen[at].choice;
        (0..self.chosen.len()).all(|a| (a + 1..self.chosen.len()).all(|b| is_plain(of(a), of(b))))
    }

    /// Three choices of patients, or of the rows of one part, if that is what there is.
    fn three(&self) -> Option<Three<'b>> {
        let of: [&Behind; 3] = self.chosen.clone().try_into().ok()?;
        if of.iter().all(|of| of.choice.rows.is_none()) {
            return Some(Three { of, rows: None });
        }
        let (part, _) = of[0].choice.rows.as_ref()?;
        let rows = of.map(|of| match (&of.choice.rows, of.choice.bit) {
            (Some((of, rows)), Bit::Yes) if of == part => Some(rows.clone()),
            _ => None,
        });
        let [Some(a), Some(b), Some(c)] = rows else { return None };
        Some(Three { of, rows: Some((*part, [a, b, c])) })
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
        let mut exclusive = |set: Vec<&Behind>| {
            let of_patients = counts_patients(set[0].cell);
            let rows = self.all.iter().find(|all| !counts_patients(all.cell) && all.only.is_all()).map(|all| all.cell);
            let total = rows.filter(|_| !of_patients).or((!self.all.is_empty()).then_some(0));
            // Who has several rows may be in several sets, unless it is the patient who is chosen.
            let mut each_once = true;
            for (at, a) in set.iter().enumerate() {
                each_once &= set[at + 1..].iter().all(|b| nodes.and(a.choice.bit, b.choice.bit) == Bit::No);
            }
            let overlap = if of_patients { !each_once } else { total != rows };
            Exclusive { cells: set.iter().map(|of| of.cell).collect(), parts: true, total, overlap }
        };
        let all: Vec<Exclusive> = sets.iter().filter(|set| set.len() > 1).cloned().map(&mut exclusive).collect();
        let mut others = Vec::new();
        for (at, set) in sets.iter().enumerate() {
            for (a, b) in set.iter().flat_map(|a| sets[at + 1..].iter().flatten().map(move |b| (a, b))) {
                if a.choice.excludes(&b.choice, nodes) {
                    others.push(Exclusive::pair(a.cell, b.cell));
                }
            }
        }
        all.into_iter().chain(others).collect()
    }

    /// A count tells of those that count some of its rows how many they leave out, which is a count beside the others, too: of two that overlap,
    /// whom both count and whom neither; of those that exclude each other, whom none does. With each the cell that they hide where they are few.
    ///
    /// # Errors
    /// As [`Tally::exists`].
    pub fn beside_others(&self, tally: &mut Tally<'_, '_, '_>) -> Result<Vec<(usize, Bit)>, PlanError> {
        if let Some(three) = self.three().filter(|_| !self.are_plain(tally.nodes)) {
            return self.of_three(&three, tally);
        }
        let mut around: Vec<(&Only, Vec<&Behind>)> = Vec::new();
        for total in self.all.iter().map(|all| &all.only) {
            if !around.iter().any(|(known, _)| known.is(total)) {
                around.push((total, self.inside(None, tally.nodes)));
            }
        }
        for of in &self.chosen {
            around.push((&of.choice, self.inside(Some(&of.choice), tally.nodes)));
        }
        let mut told = Vec::new();
        for (around, inside) in around {
            let choices: Vec<&Only> = inside.iter().map(|of| &of.choice).collect();
            let Some(cell) = inside.last().map(|of| of.cell) else { continue };
            let bits = match choices[..] {
                [] | [_] => continue,
                [a, b] if !a.excludes(b, tally.nodes) => in_both_or_neither(around, [a, b], tally)?,
                _ => in_none(around, &choices, tally)?,
            };
            told.extend(bits.into_iter().filter(|bit| *bit != Bit::No).map(|bit| (cell, bit)));
        }
        Ok(told)
    }

    /// Whom three choices tell together, beside each count of all and by themselves: see [`crate::cube`].
    fn of_three(&self, three: &Three<'b>, tally: &mut Tally<'_, '_, '_>) -> Result<Vec<(usize, Bit)>, PlanError> {
        let [a, b, c] = three.of;
        let bits = [tally.exists(&a.choice)?, tally.exists(&b.choice)?, tally.exists(&c.choice)?];
        let mut told = Vec::new();
        for total in self.all.iter().map(|all| &all.only) {
            for [a, b] in [[a, b], [a, c], [b, c]] {
                let told_by_two = in_both_or_neither(total, [&a.choice, &b.choice], tally)?;
                told.extend(told_by_two.map(|bit| (b.cell, bit)));
            }
            let all = tally.exists(total)?;
            for corner in CORNERS.into_iter().filter(|corner| !needs_no_total(corner)) {
                told.push((c.cell, patients_off(bits, corner, all, tally)));
                told.push((c.cell, three.rows_off(corner, total, tally)?));
            }
        }
        for corner in CORNERS.into_iter().filter(needs_no_total) {
            told.push((c.cell, tally.nodes.off_plane(bits, corner)));
            told.push((c.cell, three.rows_off(corner, &Only::ALL, tally)?));
        }
        told.retain(|(_, bit)| *bit != Bit::No);
        told.dedup();
        Ok(told)
    }

    /// The largest choices whose rows are all among those of another one, or of all.
    fn inside(&self, around: Option<&Only>, nodes: &mut Nodes<'_>) -> Vec<&'b Behind> {
        // The same conditions in another order are not inside each other.
        let mut is_inside = |a: &Only, b: &Only| a.narrows(b, nodes) && !b.narrows(a, nodes);
        let mut inside: Vec<&Behind> = self.chosen.clone();
        inside.retain(|of| around.is_none_or(|around| is_inside(&of.choice, around)));
        let mut largest = inside.clone();
        largest.retain(|of| !inside.iter().any(|other| is_inside(&of.choice, &other.choice)));
        largest
    }
}

/// Choices that are judged together.
struct Three<'b> {
    of: [&'b Behind; 3],
    /// The part and what its rows meet, where it is rows that are chosen.
    rows: Option<(usize, [Expr; 3])>,
}

impl Three<'_> {
    /// Who has a row of a total that is not on a corner's plane, or another row that counts.
    fn rows_off(&self, corner: Corner, total: &Only, tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
        let Some((part, rows)) = &self.rows else { return Ok(Bit::No) };
        let own = total.rows.as_ref().filter(|(of, _)| of == part).map(|(_, rows)| rows);
        let off = Only { rows: Some((*part, off_plane_of(own, rows, corner))), bit: Bit::Yes };
        let others = Only { rows: total.rows.clone().filter(|(of, _)| of != part), bit: total.bit };
        let within = off.within(&others, tally.nodes);
        tally.exists(&within)
    }
}

/// Of the patients of a total those who are not on a corner's plane, and others who count.
fn patients_off(bits: [Bit; 3], corner: Corner, all: Bit, tally: &mut Tally<'_, '_, '_>) -> Bit {
    let nodes = &mut *tally.nodes;
    let off = nodes.off_plane(bits, corner);
    let outside = match beside_total(corner) {
        Some(corner) => nodes.off_plane(bits, corner),
        None => {
            let [a, b, c] = bits;
            let any = nodes.or(a, b);
            nodes.or(any, c)
        }
    };
    let not_all = nodes.not(all);
    let (own, others) = (nodes.and(all, off), nodes.and(not_all, outside));
    nodes.or(own, others)
}

/// Who is counted by none of several choices of a total, which exclude each other, and who has a row that none of them takes: of more than two
/// only where they choose rows of one table.
fn in_none(total: &Only, choices: &[&Only], tally: &mut Tally<'_, '_, '_>) -> Result<[Bit; 2], PlanError> {
    let (all, mut any) = (tally.exists(total)?, Bit::No);
    for choice in choices {
        let within = choice.within(total, tally.nodes);
        let patients = tally.exists(&within)?;
        any = tally.nodes.or(any, patients);
    }
    let rows = match (outside(choices), choices) {
        (Some(outside), _) => {
            let within = outside.within(total, tally.nodes);
            tally.exists(&within)?
        }
        (None, [a, b]) => rows_of_both_or_neither(total, [a, b], tally)?,
        (None, _) => Bit::No,
    };
    Ok([tally.nodes.differ(all, any), rows])
}

/// Of a total's patients those whom two choices count both or neither, and who has a row that both take, or neither does.
fn in_both_or_neither(total: &Only, either: [&Only; 2], tally: &mut Tally<'_, '_, '_>) -> Result<[Bit; 2], PlanError> {
    let all = tally.exists(total)?;
    let [ours, theirs] = either.map(|choice| choice.within(total, tally.nodes));
    let (p, q) = (tally.exists(&ours)?, tally.exists(&theirs)?);
    let in_one = tally.nodes.differ(p, q);
    let rows = rows_of_both_or_neither(total, either, tally)?;
    Ok([tally.nodes.differ(all, in_one), rows])
}

fn rows_of_both_or_neither(total: &Only, [a, b]: [&Only; 2], tally: &mut Tally<'_, '_, '_>) -> Result<Bit, PlanError> {
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
                let within = Only { rows, bit }.within(total, tally.nodes);
                let exists = tally.exists(&within)?;
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
fn outside(choices: &[&Only]) -> Option<Only> {
    let (part, _) = choices.first()?.rows.as_ref()?;
    let rows = choices.iter().map(|choice| match (&choice.rows, choice.bit) {
        (Some((of, rows)), Bit::Yes) if of == part => Some(rows.clone()),
        _ => None,
    });
    let any = rows.collect::<Option<Vec<Expr>>>()?.into_iter().reduce(Expr::or)?;
    Some(Only { rows: Some((*part, Expr::IsNotTrue(any.into()))), bit: Bit::Yes })
}
