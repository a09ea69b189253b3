//! Figures over matched patients: it is who counts that is compared, and not whose rows enter.

use crate::world::{Attack, LEAST, Patient, World, answers};

/// The places of some patients, as SQL's list.
fn places<'p>(patients: impl Iterator<Item = &'p Patient>) -> String {
    patients.map(|patient| patient.z.to_string()).collect::<Vec<_>>().join(", ")
}

/// Every set that enters differs by the smallest cell or more from every earlier one, the result by the target alone.
struct Moved {
    /// Patients who are at A alone, and so many at B alone.
    a: String,
    b: String,
    /// Patients at both, without the target.
    both: String,
    target: i64,
}

impl Moved {
    fn new(world: &World) -> Self {
        let target = world.target().z;
        let cohort =
            |sites: &'static [&'static str]| world.patients.iter().filter(move |p| p.x > 30 && p.sites == sites);
        let both = world.patients.iter().filter(|p| p.x > 30 && p.z != target && p.sites.starts_with(&["A", "B"]));
        let [a, b] = [cohort(&["A"]), cohort(&["B"])].map(|only| places(only.take(LEAST)));
        let moved = Self { a, b, both: places(both.take(LEAST)), target };
        assert!([&moved.a, &moved.b, &moved.both].iter().all(|list| list.split(", ").count() == LEAST));
        moved
    }
}

#[test]
fn conditions_that_move_every_set_that_enters_and_the_result_by_one_patient_are_refused() {
    let world = World::new("counted");
    let Moved { a, b, both, target } = Moved::new(&world);
    let join = |left: &str, right: &str| {
        format!(
            "SELECT COUNT(DISTINCT a.person_id) AS n FROM A.t a JOIN B.t b ON a.person_id = b.person_id WHERE a.x > 30{left} AND b.x > 30{right}"
        )
    };
    let rows = |left: &str, right: &str| join(left, right).replace("COUNT(DISTINCT a.person_id)", "COUNT(*)");
    let total = |left: &str, right: &str| join(left, right).replace("COUNT(DISTINCT a.person_id)", "SUM(a.x)");
    let (left, right) = (format!(" AND a.z NOT IN ({a}, {target})"), format!(" AND b.z NOT IN ({b})"));
    let is_in = |left: &str, right: &str| {
        format!(
            "SELECT COUNT(DISTINCT person_id) AS n FROM A.t a WHERE x > 30{left} AND person_id IN (SELECT person_id FROM B.t b WHERE b.x > 30{right})"
        )
    };
    let missing = |left: &str, right: &str| {
        format!(
            "SELECT COUNT(DISTINCT a.person_id) AS n FROM A.t a WHERE a.x > 30{left} AND NOT EXISTS \
             (SELECT 1 FROM B.t b WHERE b.person_id = a.person_id AND b.x > 30{right})"
        )
    };
    // Whom B has anyway can leave A's rows; whom A does not have can leave B's.
    let (none, back) = (format!(" AND a.z NOT IN ({both})"), format!(" AND b.z NOT IN ({b}, {target})"));
    let twice = |more: &str| {
        format!(
            "SELECT COUNT(*) AS n FROM (SELECT person_id FROM t WHERE x > 30{more} GROUP BY person_id HAVING COUNT(*) >= 2) s"
        )
    };
    let fewer = format!(" AND z NOT IN ({a}, {target})");
    let attacks = [
        Attack::new("a join", join("", ""), join(&left, &right)),
        Attack::new("a join, the smaller first", join(&left, &right), join("", "")),
        Attack::new("patients and rows of a join", join("", ""), rows(&left, &right)),
        Attack::new("rows and a sum of a join", rows("", ""), total(&left, &right)),
        Attack::new("IN", is_in("", ""), is_in(&left, &right)),
        Attack::new("a join and IN", join("", ""), is_in(&left, &right)),
        Attack::new("NOT EXISTS", missing("", ""), missing(&none, &back)),
        Attack::new("HAVING by patient", twice(""), twice(&fewer)),
    ];
    attacks.iter().for_each(|attack| attack.fails_in(&world));
}

#[test]
fn questions_whose_results_are_far_apart_are_answered_although_the_same_rows_enter() {
    let world = World::new("counted-far");
    let overlap = |f: i64| {
        format!(
            "SELECT COUNT(DISTINCT a.person_id) AS n FROM A.t a JOIN B.t b ON a.person_id = b.person_id WHERE b.f = {f}"
        )
    };
    let run = world.ask(&[], &[&overlap(0), &overlap(1)]);
    println!("two halves of an overlap: {:?}", answers(&run));
    let of = |f: i64| world.patients.iter().filter(|p| p.f == f && p.sites.starts_with(&["A", "B"])).count();
    assert!(of(0) >= LEAST && of(1) >= LEAST, "{} and {} patients", of(0), of(1));
    assert_eq!(answers(&run), [serde_json::json!([[of(0)]]), serde_json::json!([[of(1)]])], "{}", run.all());
}
