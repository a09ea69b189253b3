//! What three counts tell together that no two of them tell.
//!
//! By each of three choices a patient is in or out, and so at a corner of a cube. What follows from the counts by adding and subtracting is the sum
//! over all patients of a·x + b·y + c·z − d, where d needs a count of all. It tells something of few if this is 0 for all others: if
//! they are on a plane. Is there for each plane through corners of the cube that it is spanned by nobody beside it, or enough, then that holds for every
//! plane: of the corners that are on one, and any other that is not, some spanned plane has the first and not the second.
//! Twenty planes are spanned by corners: six faces (a count, or what a total has besides), six through opposite edges (whom two counts
//! count both or neither, or one alone), which are looked at for one and two choices (`people.rs`), and eight through the three corners that are beside a
//! [`Corner`]: exactly one of three is as it is not there.

use datafusion_expr::Expr;

/// Of so many choices all that follows from their counts is looked at. Of four there would be 176 planes.
pub(crate) const JUDGED_TOGETHER: usize = 3;

/// In which choices somebody is.
pub(crate) type Corner = [bool; 3];

/// All of them.
pub(crate) const CORNERS: [Corner; 8] = [
    [false, false, false],
    [true, false, false],
    [false, true, false],
    [true, true, false],
    [false, false, true],
    [true, false, true],
    [false, true, true],
    [true, true, true],
];

/// Is its plane through the corner of those whom no choice takes? Then it is said without a count of all.
pub(crate) fn needs_no_total(corner: &Corner) -> bool {
    corner.iter().filter(|is_in| **is_in).count() == 1
}

/// Rows that are not on a corner's plane.
pub(crate) fn off_plane(choices: &[Expr; 3], corner: Corner) -> Expr {
    let [a, b, c] = [0, 1, 2].map(|at| {
        let is_in = Expr::IsTrue(choices[at].clone().into());
        if corner[at] { choices[at].clone().is_not_true() } else { is_in }
    });
    // Not exactly one of them: an even number, or all three.
    a.clone().not_eq(b.clone()).not_eq(c).is_not_true().or(a.and(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight([x, y, z]: Corner, [a, b, c, d]: [i32; 4]) -> i32 {
        a * i32::from(x) + b * i32::from(y) + c * i32::from(z) - d
    }

    /// As `off_plane` says it of rows.
    fn is_off(at: Corner, corner: Corner) -> bool {
        (0..3).filter(|i| at[*i] != corner[*i]).count() != 1
    }

    /// The corners on the planes that are looked at: faces, opposite edges, and those beside a corner.
    fn planes() -> Vec<Vec<Corner>> {
        let on = |holds: &dyn Fn(&Corner) -> bool| CORNERS.into_iter().filter(holds).collect::<Vec<Corner>>();
        let mut planes = Vec::new();
        for is_in in [false, true] {
            (0..3).for_each(|i| planes.push(on(&|at: &Corner| at[i] == is_in)));
            [(0, 1), (0, 2), (1, 2)]
                .iter()
                .for_each(|(i, j)| planes.push(on(&|at: &Corner| (at[*i] == at[*j]) == is_in)));
        }
        planes.extend(CORNERS.map(|corner| on(&|at: &Corner| !is_off(*at, corner))));
        planes
    }

    #[test]
    fn whatever_follows_for_few_from_three_counts_is_off_a_plane_that_is_looked_at() {
        let planes = planes();
        // Each of four weights between -3 and 3.
        for number in 0..7i32.pow(4) {
            let weights = [1, 7, 49, 343].map(|unit| number / unit % 7 - 3);
            let zero: Vec<Corner> = CORNERS.into_iter().filter(|at| weight(*at, weights) == 0).collect();
            for told in CORNERS.into_iter().filter(|at| weight(*at, weights) != 0) {
                let found =
                    planes.iter().any(|plane| zero.iter().all(|at| plane.contains(at)) && !plane.contains(&told));
                assert!(found, "{weights:?} tells of {told:?}");
            }
        }
    }
}
