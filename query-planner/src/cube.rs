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

/// Rows that are not on a corner's plane: at least two of three are as they are not there, or none is.
pub(crate) fn off_plane(choices: &[Expr; 3], corner: Corner) -> Expr {
    let met = |at: usize, holds: bool| {
        let rows = Box::new(choices[at].clone());
        if holds { Expr::IsTrue(rows) } else { Expr::IsNotTrue(rows) }
    };
    let [a, b, c] = [0, 1, 2].map(|at| met(at, !corner[at]));
    let [at_a, at_b, at_c] = [0, 1, 2].map(|at| met(at, corner[at]));
    let two = a.clone().and(b.clone()).or(a.and(c.clone())).or(b.and(c));
    two.or(at_a.and(at_b).and(at_c))
}

/// A plane that needs a total is a·x + b·y + c·z = d of the total's rows, and of all others that this is 0: whether no choice takes them where
/// the weights are alike, else the plane of another corner.
pub(crate) fn beside_total(corner: Corner) -> Option<Corner> {
    let others = corner.map(|is_in| !is_in);
    needs_no_total(&others).then_some(others)
}

/// Rows of a total that are not on a corner's plane, and rows that are not its own and count all the same.
pub(crate) fn off_plane_of(total: Option<&Expr>, choices: &[Expr; 3], corner: Corner) -> Expr {
    let off = off_plane(choices, corner);
    let Some(total) = total else { return off };
    let [a, b, c] = choices.each_ref().map(|rows| rows.clone().is_true());
    let outside = match beside_total(corner) {
        Some(corner) => off_plane(choices, corner),
        None => a.or(b).or(c),
    };
    total.clone().and(off).or(total.clone().is_not_true().and(outside))
}

#[cfg(test)]
mod tests {
    use datafusion_common::ScalarValue;
    use datafusion_expr::{BinaryExpr, Operator, lit};

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

    fn holds(expr: &Expr) -> bool {
        match expr {
            Expr::Literal(ScalarValue::Boolean(value), _) => *value == Some(true),
            Expr::IsTrue(of) => holds(of),
            Expr::IsNotTrue(of) => !holds(of),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => holds(left) && holds(right),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => holds(left) || holds(right),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn rows_off_a_plane_are_said_as_corners_off_it() {
        for (at, corner) in CORNERS.into_iter().flat_map(|at| CORNERS.map(|corner| (at, corner))) {
            assert_eq!(holds(&off_plane(&at.map(lit), corner)), is_off(at, corner), "{at:?}, {corner:?}");
        }
        // An unknown condition is one that does not hold.
        let unknown = [lit(true), lit(ScalarValue::Boolean(None)), lit(false)];
        assert!(!holds(&off_plane(&unknown, [false; 3])));
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
