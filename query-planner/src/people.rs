//! Counts of distinct patients beside sums of rows: those asked for, and those behind cells that may be too small.

use arrow::datatypes::DataType;
use datafusion_common::Column;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, cast, lit};

use crate::bounds::partial_bits;
use crate::cube::{CORNERS, Corner, needs_no_total, off_plane, off_plane_of};
use crate::plan::{Between, Exclusive, Output, Ring, Scale, Slot, Summand};
use crate::slots::{Slots, first_of};
use crate::small::{are_plain, excludes, narrows};
use crate::supports::{AddedUp, Support, are_apart_in, measure_alike};

impl Slots<'_> {
    /// Is it the column by which rows of several sites are matched?
    pub(crate) fn is_patient_key(&self, expr: &Expr) -> bool {
        let column = match expr {
            Expr::Alias(alias) => return self.is_patient_key(&alias.expr),
            Expr::Column(column) => column,
            _ => return false,
        };
        let place = |c: &Column| self.scope.position(c);
        self.patient_key.as_ref().is_some_and(|key| place(key).is_some() && place(key) == place(column))
    }

    /// A count of the distinct patients of rows that meet a condition.
    pub(crate) fn patients(&mut self, condition: Option<Expr>) -> usize {
        self.counted(Whom::With(condition))
    }

    fn counted(&mut self, whom: Whom) -> usize {
        let at = self.people.iter().position(|known| *known == whom).unwrap_or(self.people.len());
        if at == self.people.len() {
            self.people.push(whom);
        }
        let partial_bits = partial_bits(self.catalog.max_patients, 1).unwrap_or(64);
        let (what, scale) = (Summand::Patients(at), Scale::Decimal(0));
        self.slot(Slot { what, filter: None, ring: Ring::Z64, scale, partial_bits, proven: true })
    }

    /// For each cell, the slot that counts the patients behind it.
    pub(crate) fn patients_behind(&mut self, cells: &[usize]) -> Vec<usize> {
        cells.iter().map(|cell| self.patients_of(*cell)).collect()
    }

    fn patients_of(&mut self, cell: usize) -> usize {
        let says_rows = self.support_rows(cell).is_some();
        if !says_rows && matches!(self.slots[cell].what, Summand::Patients(_)) {
            return cell;
        }
        let condition = self.rows_of(cell);
        self.patients(condition)
    }

    pub(crate) fn support_rows(&self, cell: usize) -> Option<&Expr> {
        self.supports.iter().find(|support| support.cell == cell)?.rows.as_ref()
    }

    /// What the rows or patients of a cell must meet to be counted; none where all are.
    fn rows_of(&self, cell: usize) -> Option<Expr> {
        if let Some(rows) = self.support_rows(cell) {
            return Some(rows.clone());
        }
        let slot = &self.slots[cell];
        let column = |at: usize| self.columns[at].1.clone();
        let filter = slot.filter.and_then(|at| self.of_every_row(&self.columns[at].1));
        let what = match slot.what {
            Summand::Patients(at) => return self.people[at].condition().cloned(),
            Summand::NotNull(a) => Some(column(a).is_not_null()),
            // Such a cell adds ones.
            Summand::Value(a) => Some(cast(column(a), DataType::Int64).eq(lit(1i64))),
            _ => None,
        };
        what.into_iter().chain(filter).reduce(Expr::and)
    }

    /// A filter without what DISTINCT leaves out: patients are those of every row with the value, not of the row that counts for it, and
    /// what a window numbers is not there to be asked for again.
    pub(crate) fn of_every_row(&self, filter: &Expr) -> Option<Expr> {
        let is_first = |expr: &Expr| (0..self.windows.len()).any(|window| *expr == first_of(window));
        split_conjunction(filter).into_iter().filter(|expr| !is_first(expr)).cloned().reduce(Expr::and)
    }

    /// For each two cells that can tell something together: the patients of rows that one of them counts and the other does not, unless no row
    /// is in both; and those who have a row of one and none of the other. Those are the counts that the outputs show, and the cells of sums
    /// that measure something in common.
    pub(crate) fn patients_between(
        &mut self,
        cells: &[usize],
        outputs: &[Output],
        (supports, disjoint): (&[Support], &[Exclusive]),
    ) -> Vec<Between> {
        let shown = outputs.iter().filter_map(|output| output.count(&self.orders));
        let literals = supports.iter().filter(|support| support.leaves.is_empty()).map(|support| support.cell);
        let counts: Vec<usize> = shown.chain(self.ones.iter().copied()).chain(literals).collect();
        let count = |a: usize, b: usize| counts.contains(&a) && counts.contains(&b);
        let apart = |a: usize, b: usize| are_apart_in(disjoint, supports, a, b);
        let rows: Vec<(usize, Option<Expr>)> = cells.iter().map(|cell| (*cell, self.rows_of(*cell))).collect();
        let mut between = Vec::new();
        for (at, (first, ours)) in rows.iter().enumerate() {
            for (second, theirs) in rows[at + 1..].iter().filter(|(_, theirs)| ours != theirs) {
                let (are_counts, are_apart) = (count(*first, *second), apart(*first, *second));
                if !are_counts && (are_apart || !measure_alike(supports, *first, *second)) {
                    continue;
                }
                let is_ours = matches!((ours, theirs), (Some(ours), theirs) if theirs.as_ref().is_none_or(|all| narrows(ours, all)));
                let cell = if is_ours { *first } else { *second };
                // Rows that exclude each other may be those of the same patients.
                let of_rows = if are_apart { None } else { in_one_only(ours.as_ref(), theirs.as_ref()) };
                let whom = of_rows.map(|rows| Whom::With(Some(rows)));
                for whom in whom.into_iter().chain([Whom::InOneOnly(ours.clone(), theirs.clone())]) {
                    between.push(Between { cell, patients: self.counted(whom) });
                }
            }
        }
        let told = if cells.is_empty() { Vec::new() } else { self.beside_others(&counts) };
        let told = told.into_iter().chain(self.beside_each_other()).filter(|(cell, _)| cells.contains(cell));
        for (cell, whom) in told {
            between.push(Between { cell, patients: self.counted(whom) });
        }
        between
    }

    /// A count tells of those that count some of its rows how many they leave out, which is a count beside the others, too: of two that overlap,
    /// whom both count and whom neither; of those that exclude each other, whom none does. What a count of all has are the rows whose value is
    /// there, where that is counted.
    fn beside_others(&self, counts: &[usize]) -> Vec<(usize, Whom)> {
        let (mut totals, mut chosen): (Vec<Option<Expr>>, Vec<(usize, Expr)>) = Default::default();
        for cell in counts {
            match self.choice(*cell) {
                Some(rows) if chosen.iter().any(|(_, known)| narrows(known, &rows) && narrows(&rows, known)) => {}
                Some(rows) => chosen.push((*cell, rows)),
                None => totals.push(self.rows_of(*cell)),
            }
        }
        totals.dedup();
        if let [a, b, c] = &chosen[..]
            && !are_plain(&chosen.iter().map(|(_, rows)| rows).collect::<Vec<_>>())
        {
            return totals
                .iter()
                .flat_map(|total| of_three(total.as_ref(), [a, b, c]))
                .chain(without_total([a, b, c]))
                .collect();
        }
        let inner = chosen.iter().map(|(_, rows)| Some(rows.clone()));
        let around = totals.into_iter().map(|rows| (rows, None)).chain(inner.map(|rows| (rows.clone(), rows)));
        around.flat_map(|(rows, choice)| beside(rows.as_ref(), &inside(choice.as_ref(), &chosen))).collect()
    }
}

impl Slots<'_> {
    /// Of rolled up columns that are added up: for whom a figure adds not 1, which is the number of rows, and for whom two add not the same.
    fn beside_each_other(&self) -> Vec<(usize, Whom)> {
        let float = |value: &Expr| cast(value.clone(), DataType::Float64);
        let mut told = Vec::new();
        for (at, AddedUp { cell, value, rows }) in self.added_up.iter().enumerate() {
            let differs = float(value).not_eq(lit(1.0));
            told.push((*cell, rows.iter().cloned().fold(differs, |differs, rows| rows.and(differs))));
            let others = self.added_up[at + 1..].iter().filter(|other| other.value != *value);
            told.extend(others.map(|other| (other.cell, float(value).not_eq(float(&other.value)))));
        }
        told.into_iter().map(|(cell, rows)| (cell, Whom::With(Some(rows)))).collect()
    }
}

/// Who is told by three choices of a total's rows, and the cell that is hidden where those are few: see [`crate::cube`].
fn of_three(total: Option<&Expr>, chosen: [&(usize, Expr); 3]) -> Vec<(usize, Whom)> {
    let of_pair =
        |[(_, a), (cell, b)]: [&(usize, Expr); 2]| in_both_or_neither(total, [a, b]).map(|whom| (*cell, whom));
    let [a, b, c] = chosen;
    let pairs = [[a, b], [a, c], [b, c]].into_iter().flat_map(of_pair);
    let choices = chosen.map(|(_, rows)| rows.clone());
    let planes = CORNERS.into_iter().filter(|corner| !needs_no_total(corner)).flat_map(|corner| {
        let rows = Whom::With(Some(off_plane_of(total, &choices, corner)));
        [rows, Whom::OffPlane(total.cloned(), choices.clone(), corner)]
    });
    pairs.chain(planes.map(|whom| (c.0, whom))).collect()
}

/// The same of what they tell by themselves.
fn without_total(chosen: [&(usize, Expr); 3]) -> Vec<(usize, Whom)> {
    let choices = chosen.map(|(_, rows)| rows.clone());
    let planes = CORNERS.into_iter().filter(needs_no_total).flat_map(|corner| {
        [Whom::With(Some(off_plane(&choices, corner))), Whom::OffPlane(None, choices.clone(), corner)]
    });
    planes.map(|whom| (chosen[2].0, whom)).collect()
}

/// Of the patients of a total those who have rows of two choices or of neither, and who has a row that both take, or neither does.
fn in_both_or_neither(total: Option<&Expr>, [a, b]: [&Expr; 2]) -> [Whom; 2] {
    let within = |rows: Expr| total.map_or(rows.clone(), |total| total.clone().and(rows));
    let is_true = |rows: &Expr| Expr::IsTrue(rows.clone().into());
    let rows = Whom::With(Some(within(is_true(a).eq(is_true(b)))));
    [rows, Whom::InBothOrNeither(total.cloned(), [a, b].map(|rows| within(rows.clone())))]
}

/// The largest of these choices whose rows are all among those of another one, or of all.
fn inside<'c>(around: Option<&Expr>, chosen: &'c [(usize, Expr)]) -> Vec<&'c (usize, Expr)> {
    let is_inside = |rows: &Expr, around: &Expr| rows != around && narrows(rows, around);
    let among = |rows: &Expr| around.is_none_or(|around| is_inside(rows, around));
    let inside: Vec<&(usize, Expr)> = chosen.iter().filter(|(_, rows)| among(rows)).collect();
    let is_largest = |rows: &Expr| !inside.iter().any(|(_, other)| is_inside(rows, other));
    inside.iter().copied().filter(|(_, rows)| is_largest(rows)).collect()
}

/// Who is told by what these rows have beside several choices of them, and the cell that is hidden where those are few.
fn beside(around: Option<&Expr>, chosen: &[&(usize, Expr)]) -> Vec<(usize, Whom)> {
    let [(_, a), .., (cell, b)] = chosen else { return Vec::new() };
    let within = |rows: Expr| around.map_or(rows.clone(), |around| around.clone().and(rows));
    if chosen.len() == 2 && !excludes(a, b) {
        return in_both_or_neither(around, [a, b]).map(|whom| (*cell, whom)).into();
    }
    let Some(any) = chosen.iter().map(|(_, rows)| rows.clone()).reduce(Expr::or) else { return Vec::new() };
    let rows = Whom::With(Some(within(Expr::IsNotTrue(any.clone().into()))));
    vec![(*cell, rows), (*cell, Whom::InOneOnly(around.cloned(), Some(within(any))))]
}

/// Which patients of the rows are counted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Whom {
    /// Those of a row that meets this; of any, if there is nothing to meet.
    With(Option<Expr>),
    /// Those of a row that meets one of these, and of none that meets the other.
    InOneOnly(Option<Expr>, Option<Expr>),
    /// Of those with a row that meets the first, if there is something to meet: those with rows that meet both others, and those with none that
    /// meets either.
    InBothOrNeither(Option<Expr>, [Expr; 2]),
    /// Of the same those who by rows that meet each of three are not on a corner's plane, and those of other rows that count.
    OffPlane(Option<Expr>, [Expr; 3], Corner),
}

impl Whom {
    /// What one of their rows meets.
    pub(crate) fn condition(&self) -> Option<&Expr> {
        match self {
            Whom::With(condition) => condition.as_ref(),
            Whom::InOneOnly(..) | Whom::InBothOrNeither(..) | Whom::OffPlane(..) => None,
        }
    }
}

/// What rows meet that are in one of two cells alone. None where there is no such row, or no row of both.
fn in_one_only(ours: Option<&Expr>, theirs: Option<&Expr>) -> Option<Expr> {
    let outside = |part: &Expr| Expr::IsNotTrue(part.clone().into());
    let is_true = |rows: &Expr| Expr::IsTrue(rows.clone().into());
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if excludes(ours, theirs) => None,
        (Some(ours), Some(theirs)) => Some(is_true(ours).not_eq(is_true(theirs))),
        (Some(part), None) | (None, Some(part)) => Some(outside(part)),
        (None, None) => None,
    }
}
