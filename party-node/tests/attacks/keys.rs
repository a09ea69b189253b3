//! The ledger and group keys that are agreed in the run: what needs none of them is compared before they are out.

use crate::common::Scratch;
use crate::world::{World, answers};

/// The answer of the question under these ledgers, or the code of its refusal.
fn asked(world: &World, state: &Scratch, sql: &str) -> Result<(), String> {
    let run = world.ask_again(state.path(), &[sql]);
    let came_out = !answers(&run).is_empty();
    println!("{sql}\n  {}", if came_out { "answered".into() } else { run.code() });
    if came_out { Ok(()) } else { Err(run.code()) }
}

const TOO_CLOSE: &str = "RELEASE_TOO_CLOSE";

#[test]
fn a_table_that_is_near_as_a_whole_is_refused_before_its_keys_and_tells_no_more_than_a_bit() {
    let world = World::new("keys-whole");
    let (state, target) = (Scratch::new("keys-whole-state"), world.target().z);
    let of_f = "COUNT(*) AS n FROM t WHERE x > 30 AND f = 1";
    assert_eq!(asked(&world, &state, "SELECT COUNT(*) AS n FROM t WHERE x > 30"), Ok(()));
    let table = format!("SELECT f, COUNT(*) AS n FROM t WHERE x > 30 AND z <> {target} GROUP BY f");
    assert_eq!(asked(&world, &state, &table), Err(TOO_CLOSE.into()));
    // The refused table's group is near to this, but no key of it came out: it is no release.
    assert_eq!(asked(&world, &state, &format!("SELECT {of_f}")), Ok(()));
}

#[test]
fn a_table_that_is_near_by_a_group_has_told_its_keys_and_stays_a_release() {
    let world = World::new("keys-group");
    let (state, target) = (Scratch::new("keys-group-state"), world.target().z);
    assert_eq!(asked(&world, &state, "SELECT COUNT(*) AS n FROM t WHERE f = 1"), Ok(()));
    // All of f = 0 are in it as well, so that as a whole it is far.
    let table = format!("SELECT f, COUNT(*) AS n FROM t WHERE z <> {target} GROUP BY f");
    assert_eq!(asked(&world, &state, &table), Err(TOO_CLOSE.into()));
    // Near to the refused table and to nothing else.
    let near = "SELECT COUNT(*) AS n FROM t";
    assert_eq!(asked(&world, &state, near), Err(TOO_CLOSE.into()));
    let alone = Scratch::new("keys-group-alone");
    assert_eq!(asked(&world, &alone, "SELECT COUNT(*) AS n FROM t WHERE f = 1"), Ok(()));
    assert_eq!(asked(&world, &alone, near), Ok(()));
}

/// Keys are listed by whose rows they are, whoever is counted: B's part of the join moves the result away, and A's patients are one apart.
#[test]
fn a_table_of_matched_patients_whose_keys_are_of_nearly_the_same_patients_is_refused_before_its_keys() {
    let world = World::new("keys-matched");
    let target = world.target().z;
    let joined = |select: &str, more: &str| {
        format!(
            "SELECT {select}COUNT(DISTINCT a.person_id) AS n FROM A.t a JOIN B.t b ON a.person_id = b.person_id WHERE a.x > 30{more}"
        )
    };
    let table = |more: &str| format!("{} GROUP BY a.f", joined("a.f, ", more));
    let apart = table(&format!(" AND a.z <> {target} AND b.k < 4"));
    let near = joined("", &format!(" AND a.z <> {target} AND b.k < 4"));
    for (at, first) in ["SELECT COUNT(*) AS n FROM A.t WHERE x > 30".to_owned(), table("")].iter().enumerate() {
        let state = Scratch::new(&format!("keys-matched-{at}"));
        assert_eq!(asked(&world, &state, first), Ok(()));
        assert_eq!(asked(&world, &state, &apart), Err(TOO_CLOSE.into()), "after {first}");
        if at == 0 {
            // The same patients as the refused table counts over all its groups, of which no key came out: it is no release.
            assert_eq!(asked(&world, &state, &near), Ok(()));
        }
    }
    let alone = Scratch::new("keys-matched-alone");
    assert_eq!(asked(&world, &alone, &apart), Ok(()));
    assert_eq!(asked(&world, &alone, &near), Err(TOO_CLOSE.into()), "as a release it is in the way");
}
